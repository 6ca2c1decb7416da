//! Real nodes that have lost something, or are new: what they fetch, and what they refuse.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use symbolon_consensus::{Message, wire::Vote};
use symbolon_genesis::peer_id::PeerId;
use symbolon_ledger::{
    codes::ProvinceCode,
    hash::{BlockHash, Digest},
    keys::SecretKey,
    vote::VoteKind,
};
use symbolon_node::network::{ChainReader, NetworkConfig, NetworkCounters, NetworkEvent, prepare};
use symbolon_tests::devnet::{Devnet, await_that, binary, free_base_port, get};
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

/// The chain of somebody who only listens.
struct Listener;

impl ChainReader for Listener {
    fn tip(&self) -> (u64, BlockHash) {
        (0, Digest::ZERO)
    }

    fn block_with_certificate(&self, _: u64) -> Option<(Vec<u8>, Vec<u8>)> {
        None
    }

    fn body(&self, _: &BlockHash) -> Option<Vec<u8>> {
        None
    }
}

/// What every province said in every slot, and how often it said something else.
#[derive(Debug, Default)]
struct Heard {
    votes: BTreeMap<(ProvinceCode, u64, u32, VoteKind), Vote>,
    contradictions: Vec<(Vote, Vote)>,
}

impl Heard {
    fn hear(&mut self, message: Message) {
        let Message::Vote(vote) = message else { return };
        let slot = (vote.province, vote.height, vote.round, vote.kind);
        let first = self.votes.entry(slot).or_insert_with(|| vote.clone());
        if *first != vote {
            self.contradictions.push((first.clone(), vote));
        }
    }

    /// The highest height at which a province was heard.
    fn last_of(&self, province: &str) -> u64 {
        let own = self.votes.keys().filter(|(code, ..)| code.as_str() == province);
        own.map(|(_, height, ..)| *height).max().unwrap_or(0)
    }
}

#[test]
fn no_node_votes_twice_in_a_round_however_often_it_is_killed() {
    let net = Devnet::start(4);
    let seed = [0x0c; 32];
    admit(&net, &PROVINCES, &SecretKey::from_seed(&seed));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _within = runtime.enter();
    let peer = |node: &symbolon_tests::devnet::Node| {
        let (address, id) = node.p2p.split_once("/p2p/").unwrap();
        let id: PeerId = id.parse().unwrap();
        (id.as_bytes().to_vec(), vec![address.parse().unwrap()])
    };
    let config = NetworkConfig {
        chain_id: net.file.chain_id.parse().unwrap(),
        keypair_seed: seed,
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        peers: net.file.nodes.iter().map(peer).collect(),
        observers: Vec::new(),
    };
    let network = prepare(config, Arc::new(NetworkCounters::default())).unwrap();
    let mut events = network.open(Arc::new(Listener)).unwrap();
    let heard = Arc::new(Mutex::new(Heard::default()));
    let ear = heard.clone();
    runtime.spawn(async move {
        while let Some(event) = events.recv().await {
            if let NetworkEvent::Consensus { bytes, .. } = event {
                ear.lock().unwrap().hear(Message::decode(&bytes).unwrap());
            }
        }
    });
    let last_of = |province: &str| heard.lock().unwrap().last_of(province);
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
    let heard = heard.lock().unwrap();
    assert!(heard.contradictions.is_empty(), "{:?}", heard.contradictions);
}

/// A process that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_observer_follows_and_answers() {
    let net = Devnet::start(4);
    let folder = TempDir::new().unwrap();
    let key = SecretKey::from_seed(&[0x0b; 32]);
    let key_file = folder.path().join("network.pem");
    std::fs::write(&key_file, key.to_pem().as_bytes()).unwrap();
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    admit(&net, &["11", "44"], &key);
    let base = free_base_port(1) + 1;
    let text = format!(
        "genesis = {:?}\ndata_dir = {:?}\nrole = \"observer\"\nprovince = \"11\"\n\
         network_key = {key_file:?}\n[http]\nlisten = \"127.0.0.1:{base}\"\n\
         [admin]\nlisten = \"127.0.0.1:{}\"\n\
         [network]\nlisten = [\"/ip4/127.0.0.1/tcp/{}\"]\npeers = [{:?}, {:?}]\n",
        net.folder().join("genesis.toml"),
        folder.path().join("data"),
        base + 100,
        base + 200,
        net.node("11").p2p,
        net.node("44").p2p,
    );
    let path = folder.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    let _observer = Running(node(&path).stderr(Stdio::null()).spawn().unwrap());
    let origin = format!("http://127.0.0.1:{base}");
    let height = |origin: &str| {
        get(&format!("{origin}/v1/status")).ok().and_then(|(_, s)| s["height"].as_u64())
    };
    await_that("a block of the four", || net.height("31").is_some_and(|h| h >= 2));
    let reached = net.height("31").unwrap();
    await_that("the observer has caught up", || height(&origin).is_some_and(|h| h >= reached));
    await_that("it follows", || height(&origin).is_some_and(|h| h > reached));
    for h in 0..=reached {
        for province in PROVINCES {
            assert_eq!(block(&origin, h), block(&net.node(province).http, h));
        }
    }
}
