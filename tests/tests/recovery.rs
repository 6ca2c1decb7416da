//! Real nodes that have lost something, or are new: what they fetch, and what they refuse.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use symbolon_consensus::{Message, evidence::Equivocation, wire::Vote};
use symbolon_genesis::peer_id::PeerId;
use symbolon_ledger::{
    hash::{Digest, sha256},
    keys::SecretKey,
    vote::{VoteKind, vote_bytes},
};
use symbolon_tests::{
    devnet::{Devnet, await_that, binary, free_base_port, get, symbolon},
    faults::ear::Ear,
};
use tempfile::TempDir;

const PROVINCES: [&str; 4] = ["11", "31", "44", "51"];

fn config(net: &Devnet, province: &str) -> PathBuf {
    net.node(province).data_dir.parent().unwrap().join("config.toml")
}

fn node(config: &Path) -> Command {
    let mut command = Command::new(binary("symbolon-node"));
    command.args(["run", "--config"]).arg(config).env("SYMBOLON_LOG", "info");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn block(origin: &str, height: u64) -> String {
    get(&format!("{origin}/v1/blocks/{height}")).unwrap().1.to_string()
}

#[test]
fn a_node_that_lost_its_folder_fetches_the_chain_and_takes_part_again() {
    let net = Devnet::start(4);
    await_that("some blocks", || net.height("11").is_some_and(|h| h >= 2));
    net.kill("31");
    std::fs::remove_dir_all(&net.node("31").data_dir).unwrap();
    net.restart("31");
    let height = net.height("11").unwrap();
    net.await_height(height + 1);
    for h in 0..=height + 1 {
        assert_eq!(block(&net.node("31").http, h), block(&net.node("11").http, h));
    }
    // Two of the others are enough with it, and not without it.
    net.kill("44");
    let height = net.height("31").unwrap();
    await_that("a block with its vote", || net.height("31").is_some_and(|h| h > height));
}

#[test]
fn a_node_whose_log_contradicts_itself_opens_no_port() {
    let net = Devnet::start(4);
    await_that("a block", || net.height("11").is_some_and(|h| h >= 1));
    net.kill("11");
    // A whole entry that says nothing: its byte, its length, its checksum, and one byte.
    let path = net.node("11").data_dir.join("consensus.wal");
    let mut log = std::fs::read(&path).unwrap();
    log.truncate(12);
    log.extend([0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0, 0xff]);
    std::fs::write(&path, log).unwrap();
    let output = node(&config(&net, "11")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("error: entry 0 of the write-ahead log"), "{text}");
    assert!(!text.contains("listening"), "it heard others before it knew itself: {text}");
}

/// Has these nodes admit the observer with this key.
fn admit(net: &Devnet, provinces: &[&str], key: &SecretKey) {
    let peer_id = PeerId::of(&key.public_key()).to_string();
    for province in provinces {
        net.kill(province);
        let path = config(net, province);
        let text = std::fs::read_to_string(&path).unwrap();
        let admitted = text.replace("observers = []", &format!("observers = [{peer_id:?}]"));
        assert_ne!(text, admitted);
        std::fs::write(&path, admitted).unwrap();
        net.restart(province);
    }
}

#[test]
fn no_node_votes_twice_in_a_round_however_often_it_is_killed() {
    let net = Devnet::start(4);
    admit(&net, &PROVINCES, &Ear::key());
    let peer = |node: &symbolon_tests::devnet::Node| {
        let (address, id) = node.p2p.split_once("/p2p/").unwrap();
        (id.parse().unwrap(), address.to_owned())
    };
    let peers: Vec<_> = net.file.nodes.iter().map(peer).collect();
    let ear = Ear::open(None, net.file.chain_id.parse().unwrap(), &peers);
    let last_of = |province: &str| ear.last_of(province);
    for province in PROVINCES {
        await_that("everybody is heard", || last_of(province) > 0);
    }
    for victim in PROVINCES {
        // Right behind a vote of its own, whichever it was.
        let before = last_of(victim);
        await_that("its next vote", || last_of(victim) > before);
        let voted = last_of(victim);
        net.kill(victim);
        net.restart(victim);
        await_that("it votes again", || last_of(victim) > voted);
    }
    assert!(ear.contradicting().is_empty(), "{}", ear.contradictions());
    evidence_reaches_every_node_and_the_chain(&net, &ear);
}

/// Whoever has the key of a validator signs two precommits of one round with it.
fn evidence_reaches_every_node_and_the_chain(net: &Devnet, ear: &Ear) {
    let chain = net.file.chain_id.parse().unwrap();
    let path = net.node("51").data_dir.parent().unwrap().join("validator.pem");
    let key = SecretKey::from_pem(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (kind, height, round, province) = (VoteKind::Precommit, 1, 9, "51".parse().unwrap());
    let vote = |block: Option<Digest>| {
        let signature = key.sign(&vote_bytes(kind, &chain, height, round, block.as_ref()));
        Message::Vote(Vote { kind, height, round, block, province, signature })
    };
    let one = vote(None);
    let evidence = Equivocation::of(&chain, &one, &vote(Some(sha256(b"block")))).unwrap();
    for node in PROVINCES {
        let known =
            || net.get(node, "/v1/evidence").ok().filter(|(_, e)| e["items"][0].is_object());
        await_that("every node knows it", || {
            ear.say(evidence.encode());
            known().is_some()
        });
        let (_, answer) = known().unwrap();
        assert_eq!(answer["items"].as_array().unwrap().len(), 1, "{answer}");
        assert_eq!(answer["items"][0]["province"], "51");
    }
    for expected in ["reported at height", "known"] {
        let done = net.symbolon(&["--as", "11", "gov", "report"]);
        let text = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{text}{}", String::from_utf8_lossy(&done.stderr));
        assert!(text.contains("province 51, two of a precommit at height 1: "), "{text}");
        assert!(text.contains(expected), "{text}");
    }
    // It stays a validator.
    let (_, set) = net.get("11", "/v1/validators").unwrap();
    assert_eq!(set["items"].as_array().unwrap().len(), PROVINCES.len());
}

/// A process that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes the configuration of an observer that knows the nodes 11 and 44, and gives its origin.
fn observer_config(net: &Devnet, folder: &Path, key: &SecretKey) -> (PathBuf, String) {
    let key_file = folder.join("network.pem");
    std::fs::write(&key_file, key.to_pem().as_bytes()).unwrap();
    std::fs::set_permissions(&key_file, PermissionsExt::from_mode(0o600)).unwrap();
    let base = free_base_port(1) + 1;
    let text = format!(
        "genesis = {:?}\ndata_dir = {:?}\nrole = \"observer\"\nprovince = \"11\"\n\
         network_key = {key_file:?}\n[http]\nlisten = \"127.0.0.1:{base}\"\n\
         [admin]\nlisten = \"127.0.0.1:{}\"\n\
         [network]\nlisten = [\"/ip4/127.0.0.1/tcp/{}\"]\npeers = [{:?}, {:?}]\n",
        net.folder().join("genesis.toml"),
        folder.join("data"),
        base + 100,
        base + 200,
        net.node("11").p2p,
        net.node("44").p2p,
    );
    let path = folder.join("config.toml");
    std::fs::write(&path, text).unwrap();
    (path, format!("http://127.0.0.1:{base}"))
}

fn height_at(origin: &str) -> Option<u64> {
    get(&format!("{origin}/v1/status")).ok().and_then(|(_, s)| s["height"].as_u64())
}

/// Issues licences in Guangdong and gives the file of one of them.
fn import(net: &Devnet) -> PathBuf {
    let out = net.folder().join("licences");
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/business-licences.jsonl");
    let out_text = out.to_string_lossy();
    let kind = "11100000MB0143028R001";
    let done = net.symbolon(&["--as", "44", "import", "--type", kind, "--out", &out_text, data]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let files = std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == "sdjwt")).min().unwrap()
}

#[test]
fn an_observer_serves_every_reader_takes_transactions_and_never_counts_as_a_vote() {
    let net = Devnet::start(4);
    let folder = TempDir::new().unwrap();
    let key = SecretKey::from_seed(&[0x0b; 32]);
    admit(&net, &["11", "44"], &key);
    let (path, origin) = observer_config(&net, folder.path(), &key);
    let _observer = Running(node(&path).stderr(Stdio::null()).spawn().unwrap());
    let licence = import(&net);
    let cid = licence.file_stem().unwrap().to_str().unwrap().to_owned();
    // Of the node that answered the import: the others may be a block behind.
    let reached = net.height("44").unwrap();
    await_that("the observer has caught up", || height_at(&origin).is_some_and(|h| h >= reached));
    await_that("it follows", || height_at(&origin).is_some_and(|h| h > reached));
    await_that("so do the others", || {
        PROVINCES.iter().all(|province| net.height(province).is_some_and(|h| h >= reached))
    });
    for h in 0..=reached {
        for province in PROVINCES {
            assert_eq!(block(&origin, h), block(&net.node(province).http, h));
        }
    }
    every_reader_is_answered(&net, &origin, &cid, reached);
    // Verification is any node's; and what is handed to an observer reaches the validators.
    let file = licence.to_string_lossy();
    let verified = symbolon(["--node", &origin, "verify", &file]);
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stderr));
    let agency = net.agency("44").key_file.to_string_lossy().into_owned();
    let revoked = symbolon(["--node", &origin, "--key", &agency, "revoke", &cid]);
    assert!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));
    let verified = symbolon(["--node", &origin, "verify", &file]);
    assert_eq!(verified.status.code(), Some(1), "{}", String::from_utf8_lossy(&verified.stdout));
    // Two of four and an observer are no quorum: no block is made, and who is missing is told.
    net.kill("31");
    net.kill("51");
    let stall = || net.get("11", "/v1/status").unwrap().1["stall"].clone();
    await_that("the stall is told", || stall().is_object());
    let stalled = net.height("11").unwrap();
    let text = stall().to_string();
    assert!(text.contains("\"31\"") && text.contains("\"51\""), "who is missing: {text}");
    assert_eq!(height_at(&origin), Some(stalled), "two votes of four made a block");
    net.restart("31");
    await_that("a quorum is there again", || height_at(&origin).is_some_and(|h| h > stalled));
}

/// Everything that a node answers about one height, the observer answers alike.
fn every_reader_is_answered(net: &Devnet, origin: &str, cid: &str, height: u64) {
    let validator = &net.node("31").http;
    let inclusion = format!("/v1/blocks/1/inclusion?head={height}");
    for (path, member) in [
        (format!("/v1/licences/{cid}"), "record"),
        (format!("/v1/licences/{cid}/history"), "items"),
        ("/v1/agencies".into(), "items"),
        ("/v1/provinces".into(), "items"),
        ("/v1/licence-types".into(), "items"),
        ("/v1/recognition".into(), "items"),
        ("/v1/validators".into(), "items"),
        ("/v1/trust-bundle".into(), "genesis"),
        ("/v1/status-lists/44/0".into(), "lst"),
        ("/.well-known/jwt-vc-issuer/status-lists/44".into(), "jwks"),
        (inclusion, "inclusion"),
    ] {
        let (status, own) = get(&format!("{origin}{path}")).unwrap();
        assert_eq!(status, 200, "{path}: {own}");
        let (_, other) = get(&format!("{validator}{path}")).unwrap();
        assert!(!own[member].is_null(), "{path} has no {member}: {own}");
        assert_eq!(own[member], other[member], "{path}");
    }
}
