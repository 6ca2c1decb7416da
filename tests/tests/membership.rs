//! Who takes part changes while the network runs: a province joins, votes, rotates its key, another
//! one leaves; and all that a trust bundle pinned at the founding needs is still there.
//!
//! One network of real nodes, since what is new here lies between the processes: whom the network
//! lets in, and who votes from the next height on. The rules are in `contracts/governance.rs`.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use symbolon_consensus::{Message, wire::Vote};
use symbolon_genesis::peer_id::PeerId;
use symbolon_ledger::{
    hash::{ChainId, sha256},
    keys::SecretKey,
    vote::{VoteKind, vote_bytes},
};
use symbolon_tests::{
    agency::{Agency, any, commit, height_of},
    devnet::{Devnet, await_that, binary, free_base_port, get, json_of, symbolon},
    faults::ear::Ear,
};

/// The province that joins.
const NEW: &str = "62";

/// A process that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The new province: its keys as files, and its node.
struct Newcomer {
    folder: PathBuf,
    base: u16,
}

impl Newcomer {
    fn new(folder: &Path) -> Self {
        let folder = folder.join("newcomer");
        std::fs::create_dir_all(&folder).unwrap();
        let this = Self { folder, base: free_base_port(1) + 1 };
        for (seed, name) in (0xa0..).zip(["authority", "validator", "next", "network", "later"]) {
            let mut file = std::fs::OpenOptions::new();
            let mut file =
                file.write(true).create_new(true).mode(0o600).open(this.file(name)).unwrap();
            file.write_all(Self::key(seed).to_pem().as_bytes()).unwrap();
        }
        this
    }

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed(&[seed; 32])
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pem"))
    }

    fn peer_id() -> String {
        PeerId::of(&Self::key(0xa3).public_key()).to_string()
    }

    fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.base)
    }

    fn config(&self) -> PathBuf {
        self.folder.join("config.toml")
    }

    /// Starts its node, which votes with one of these keys, the first or the next. It dials those
    /// that genesis names.
    fn start(&self, net: &Devnet, keys: &[&str]) -> Running {
        let names = ["validator_key", "next_validator_key"].iter();
        let keys: String =
            names.zip(keys).map(|(name, key)| format!("{name} = {:?}\n", self.file(key))).collect();
        let text = format!(
            "genesis = {:?}\ndata_dir = {:?}\nrole = \"validator\"\nprovince = {NEW:?}\n\
             {keys}network_key = {:?}\n\
             [http]\nlisten = \"127.0.0.1:{}\"\n[admin]\nlisten = \"127.0.0.1:{}\"\n\
             [network]\nlisten = [\"/ip4/127.0.0.1/tcp/{}\"]\n",
            net.folder().join("genesis.toml"),
            self.folder.join("data"),
            self.file("network"),
            self.base,
            self.base + 100,
            self.base + 200,
        );
        std::fs::write(self.config(), text).unwrap();
        let mut node = Command::new(binary("symbolon-node"));
        let node = node.arg("run").arg("--config").arg(self.config()).stderr(Stdio::null());
        Running(node.spawn().unwrap())
    }

    fn height(&self) -> Option<u64> {
        get(&format!("{}/v1/status", self.http())).ok()?.1["height"].as_u64()
    }
}

/// Has these nodes admit peers that are not in the set.
fn admit(net: &Devnet, provinces: &[&str], peer_ids: &[String]) {
    for province in provinces {
        net.kill(province);
        let path = net.node(province).data_dir.parent().unwrap().join("config.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let admitted = text.replace("observers = []", &format!("observers = {peer_ids:?}"));
        assert_ne!(text, admitted);
        std::fs::write(&path, admitted).unwrap();
        net.restart(province);
    }
}

/// `symbolon` as a province of the network, or with `--node` and `--key` as the new one.
fn says(net: &Devnet, new: &Newcomer, by: &str, line: &str) -> Value {
    let mut arguments: Vec<String> = if by == NEW {
        let key = new.file("authority").to_string_lossy().into_owned();
        vec!["--node".into(), net.node("11").http.clone(), "--key".into(), key]
    } else {
        let folder = net.folder().to_string_lossy().into_owned();
        vec!["--devnet".into(), folder, "--as".into(), by.into()]
    };
    arguments.push("--json".into());
    arguments.extend(line.split(' ').map(Into::into));
    let output = symbolon(&arguments);
    let answer = json_of(&output);
    assert!(output.status.success(), "{by}: {line}: {answer}");
    answer
}

/// One province proposes, the others approve until it takes effect, and the nodes of all of them
/// have executed it: that of the last approval answers as soon as it has.
fn decide(net: &Devnet, new: &Newcomer, by: &[&str], change: &str) -> Value {
    let answer = says(net, new, by[0], &format!("gov propose {change}"));
    let number = answer["proposal"].as_u64().unwrap();
    let mut decided = None;
    for (i, province) in by.iter().enumerate().skip(1) {
        let vote = says(net, new, province, &format!("gov approve {number}"));
        let expected = if i + 1 == by.len() { "executed" } else { "open" };
        assert_eq!(vote["state"], expected, "{change}: {vote}");
        decided = vote["height"].as_u64();
    }
    let decided = decided.unwrap();
    await_that("all who decided it have executed it", || {
        by.iter().all(|province| height_at(net, new, province).is_some_and(|h| h >= decided))
    });
    answer
}

fn height_at(net: &Devnet, new: &Newcomer, province: &str) -> Option<u64> {
    if province == NEW { new.height() } else { net.height(province) }
}

fn voters(net: &Devnet, at: &str) -> Vec<String> {
    let (_, answer) = net.get(at, "/v1/validators").unwrap();
    let items = answer["items"].as_array().unwrap().iter();
    items.map(|v| v["province"].as_str().unwrap().to_owned()).collect()
}

/// Waits for a block beyond `height` in whose certificate `province` has signed.
fn await_signature_of(net: &Devnet, province: &str, beyond: u64) {
    let mut next = beyond + 1;
    await_that(&format!("{province} signs a block beyond {beyond}"), || {
        while let Ok((200, answer)) = net.get("11", &format!("/v1/blocks/{next}/certificate")) {
            next += 1;
            let signed = |s: &Value| s["province"] == province;
            if answer["signatures"].as_array().is_some_and(|all| all.iter().any(signed)) {
                return true;
            }
        }
        false
    });
}

fn height(net: &Devnet) -> u64 {
    net.height("11").unwrap()
}

fn hexadecimal(net: &Devnet, province: &str) -> String {
    let (_, answer) = net.get("11", "/v1/validators").unwrap();
    let items = answer["items"].as_array().unwrap();
    let found = items.iter().find(|v| v["province"] == province).unwrap();
    let raw = BASE64_URL_SAFE_NO_PAD.decode(found["key"].as_str().unwrap()).unwrap();
    raw.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_province_joins_votes_rotates_its_key_and_another_leaves_while_the_network_runs() {
    let net = Devnet::start(4);
    let new = Newcomer::new(net.folder());
    let ear = PeerId::of(&Ear::key().public_key()).to_string();
    admit(&net, &["11", "44"], &[Newcomer::peer_id(), ear]);
    let node = new.start(&net, &["validator", "next"]);
    blocks_come_as_often_as_the_provinces_decide(&net, &new);
    let _node = under_load(&net, &new, || {
        joins_and_votes(&net, &new);
        rotates_its_key_while_it_runs(&net, &new);
        drop(node);
        let node = starts_under_the_new_key_alone(&net, &new);
        goes_on_when_an_old_one_is_gone(&net, &new);
        node
    });
    let _old = who_was_removed_runs_on_and_counts_for_nothing(&net);
    a_bundle_pinned_at_the_founding_follows_every_change(&net);
    a_province_signs_with_the_key_that_the_others_gave_it(&net, &new);
    a_node_stops_at_a_feature_that_it_does_not_know(&net, &new);
}

/// Says that it is over, also when a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Does `work` while licences are issued at a node that always runs, one after the other. All that
/// was acknowledged stands at every node in the end, the new one among them.
fn under_load<T>(net: &Devnet, new: &Newcomer, work: impl FnOnce() -> T) -> T {
    let (agency, at, over) = (Agency::of(net, "51"), &net.node("51").http, AtomicBool::new(false));
    commit(at, &agency.reserve(1));
    let (done, told) = std::thread::scope(|scope| {
        let (over, _ends) = (&over, Over(&over));
        let load = scope.spawn(|| {
            let mut told = Vec::new();
            while !over.load(SeqCst) {
                let transaction = agency.sign(vec![agency.issue(any())]);
                told.push((transaction.id(), commit(at, &transaction)));
            }
            told
        });
        let done = work();
        over.store(true, SeqCst);
        (done, load.join().unwrap())
    });
    assert!(told.len() > 10, "{told:?}");
    for origin in [&net.node("11").http, &net.node("44").http, at, &new.http()] {
        for (id, height) in &told {
            await_that("what was acknowledged is everywhere", || {
                height_of(origin, *id) == Some(*height)
            });
        }
    }
    done
}

/// Ten seconds apart at first; nothing but the decision makes them come faster.
fn blocks_come_as_often_as_the_provinces_decide(net: &Devnet, new: &Newcomer) {
    decide(net, new, &["11", "31", "44"], "parameters --idle-block-interval-ms 400");
    let (_, parameters) = net.get("44", "/v1/parameters").unwrap();
    assert_eq!(parameters["idle_block_interval_ms"], 400);
    let decided = height(net);
    await_that("empty blocks follow each other", || height(net) > decided + 3);
}

/// It is let in by configuration, catches up, and votes once the provinces have decided.
fn joins_and_votes(net: &Devnet, new: &Newcomer) {
    await_that("a block", || net.height("11").is_some_and(|h| h >= 1));
    let reached = height(net);
    await_that("the newcomer has caught up", || new.height().is_some_and(|h| h >= reached));
    let province = format!(
        "add-province {NEW} --name-zh 甘肃省 --name-en Gansu --issuer-origin https://gansu.province.example --authority-key {}",
        new.file("authority").display()
    );
    let answer = decide(net, new, &["11", "31", "44"], &province);
    assert_eq!(answer["difference"]["changes"][0]["after"], "甘肃省 Gansu");
    let validator = format!(
        "add-validator {NEW} --validator-key {} --peer-id {}",
        new.file("validator").display(),
        Newcomer::peer_id()
    );
    // It has no vote on this: it only proposes it.
    let answer = decide(net, new, &[NEW, "11", "31", "44"], &validator);
    let note = answer["difference"]["notes"][0].as_str().unwrap();
    assert_eq!(
        note,
        "4 validators, 3 decide, 1 may fail; after it 5 validators, 4 decide, 1 may fail"
    );
    assert_eq!(voters(net, "31"), ["11", "31", "44", "51", NEW]);
    await_signature_of(net, NEW, height(net));
    let (_, province) = net.get("44", &format!("/v1/provinces/{NEW}")).unwrap();
    assert_eq!((&province["validator"], &province["removed_at"]), (&json!(true), &json!(null)));
}

fn rotates_its_key_while_it_runs(net: &Devnet, new: &Newcomer) {
    let before = hexadecimal(net, NEW);
    let change = format!("rotate-validator {NEW} --validator-key {}", new.file("next").display());
    decide(net, new, &["11", "31", "44", NEW], &change);
    let now = hexadecimal(net, NEW);
    assert_eq!(now, Newcomer::key(0xa2).public_key().to_string());
    assert_ne!(now, before);
    await_signature_of(net, NEW, height(net));
}

/// What it signed is known beside the key that took over, so it need not look on.
fn starts_under_the_new_key_alone(net: &Devnet, new: &Newcomer) -> Running {
    let node = new.start(net, &["next"]);
    let status = || get(&format!("{}/v1/status", new.http())).ok();
    await_that("it answers", || status().is_some());
    assert_ne!(status().unwrap().1["voting"], "looks_on");
    await_signature_of(net, NEW, height(net));
    node
}

/// Four of five decide: without the newcomer's vote nothing would.
fn goes_on_when_an_old_one_is_gone(net: &Devnet, new: &Newcomer) {
    net.kill("31");
    let reached = height(net);
    decide(net, new, &["11", "44", "51", NEW], "remove-validator 31");
    assert!(height(net) > reached);
    assert_eq!(voters(net, "44"), ["11", "44", "51", NEW]);
    let gone = says(net, new, "11", "gov show --open");
    assert_eq!(gone["proposals"], json!([]));
    let refused = refuses(net, "11", "gov propose remove-validator 51");
    assert_eq!(refused, "too_few_validators");
    let only_shown = refuses(net, "11", "gov propose remove-validator 51 --dry-run");
    assert_eq!(only_shown, refused, "a dry run shows nothing that cannot be");
}

/// Its node knows nothing of what was decided, since nobody lets it in any more. What it would say
/// with its key is said for it by somebody whom the others hear.
fn who_was_removed_runs_on_and_counts_for_nothing(net: &Devnet) -> Running {
    let (removed, folder) = (height(net), net.node("31").data_dir.parent().unwrap());
    let mut node = Command::new(binary("symbolon-node"));
    node.args(["run", "--config"]).arg(folder.join("config.toml")).stderr(Stdio::null());
    let node = Running(node.spawn().unwrap());
    await_that("it runs on", || net.answers("31"));
    let stands = net.height("31").unwrap();
    let key = std::fs::read_to_string(folder.join("validator.pem")).unwrap();
    let (key, chain) = (SecretKey::from_pem(&key).unwrap(), net.file.chain_id.parse().unwrap());
    let ear = Ear::open(None, chain, &["11", "44"].map(|at| peer_of(net, at)));
    let log = net.node("11").data_dir.parent().unwrap().join("log");
    await_that("its votes are heard, and refused", || {
        [VoteKind::Prevote, VoteKind::Precommit].into_iter().for_each(|kind| {
            ear.say(vote_of_the_removed(&key, &chain, kind, height(net) + 1));
        });
        std::fs::read_to_string(&log).unwrap().contains("31 has no vote at this height")
    });
    await_that("blocks come without it", || height(net) > removed + 3);
    for height in removed + 1..=height(net) {
        let (_, certificate) = net.get("11", &format!("/v1/blocks/{height}/certificate")).unwrap();
        let signed = certificate["signatures"].as_array().unwrap().iter();
        let by: Vec<_> = signed.map(|s| s["province"].as_str().unwrap()).collect();
        assert!(by.len() >= 3 && !by.contains(&"31"), "block {height} is signed by {by:?}");
    }
    assert_eq!(net.height("31"), Some(stands), "somebody gives it blocks, or it makes its own");
    assert_eq!(net.get("11", "/v1/evidence").unwrap().1["items"], json!([]));
    node
}

fn peer_of(net: &Devnet, province: &str) -> (PeerId, String) {
    let (address, id) = net.node(province).p2p.split_once("/p2p/").unwrap();
    (id.parse().unwrap(), address.to_owned())
}

fn vote_of_the_removed(key: &SecretKey, chain: &ChainId, kind: VoteKind, height: u64) -> Vec<u8> {
    let (round, block, province) = (0, Some(sha256(b"block")), "31".parse().unwrap());
    let signature = key.sign(&vote_bytes(kind, chain, height, round, block.as_ref()));
    Message::Vote(Vote { kind, height, round, block, province, signature }).encode()
}

/// The code of the refusal.
fn refuses(net: &Devnet, by: &str, line: &str) -> String {
    let mut arguments = vec!["--as", by, "--json"];
    arguments.extend(line.split(' '));
    let output = net.symbolon(&arguments);
    assert_eq!(output.status.code(), Some(1), "{line}");
    json_of(&output)["error"]["code"].as_str().unwrap().to_owned()
}

fn a_bundle_pinned_at_the_founding_follows_every_change(net: &Devnet) {
    let [bundle, genesis] = ["trust.cbor", "genesis.toml"]
        .map(|name| net.folder().join(name).to_string_lossy().into_owned());
    let (bundle, genesis) = (bundle.as_str(), genesis.as_str());
    let get = ["--as", "44", "--json", "trust-bundle", "get", "--out", bundle];
    let output = net.symbolon(&[&get[..], &["--genesis", genesis]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let checked = symbolon(["--json", "trust-bundle", "verify", bundle, "--genesis", genesis]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    let (_, shown) = net.get("44", "/v1/trust-bundle").unwrap();
    assert_eq!(shown["changes"].as_array().unwrap().len(), 3, "{shown}");
}

fn a_province_signs_with_the_key_that_the_others_gave_it(net: &Devnet, new: &Newcomer) {
    let change =
        format!("province-key {NEW} --key-id 0 --public-key {}", new.file("later").display());
    decide(net, new, &["11", "44", "51"], &change);
    let node = net.node("11").http.clone();
    let reject = |key: &str| {
        let key = new.file(key).to_string_lossy().into_owned();
        let output = symbolon(["--node", &node, "--key", &key, "--json", "gov", "reject", "0"]);
        json_of(&output)["error"]["code"].as_str().unwrap().to_owned()
    };
    // It is known as valid until the block in which it ended is past.
    let ended = reject("authority");
    assert!(["unknown_key", "key_not_valid"].contains(&ended.as_str()), "{ended}");
    assert_eq!(reject("later"), "proposal_closed", "it is known, and decided long ago");
}

/// All of them: none goes on without a rule that holds.
fn a_node_stops_at_a_feature_that_it_does_not_know(net: &Devnet, new: &Newcomer) {
    let at = height(net) + 25;
    let change = format!("feature 77 --at {at}");
    assert_eq!(refuses(net, "11", &format!("gov propose {change}")), "unknown_feature");
    let answer = decide(net, new, &["11", "44", "51"], &format!("{change} --unknown-feature"));
    let note = answer["difference"]["notes"][0].as_str().unwrap();
    assert!(note.contains("ALL nodes of this release stop"), "{note}");
    let (_, parameters) = net.get("11", "/v1/parameters").unwrap();
    let expected = json!([{"feature": 77, "name": null, "from": at, "active": false}]);
    assert_eq!(parameters["features"], expected);
    for province in ["11", "44", "51"] {
        await_that("the node has stopped", || !net.answers(province));
    }
}
