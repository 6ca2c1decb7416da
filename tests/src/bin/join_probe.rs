//! What joining by snapshot costs, and that it is copying which bounds it: a chain of so many
//! licences (a million unless the first argument says otherwise) is grown, a snapshot made, and a
//! new node takes it from three peers over loopback. Beside each other: the time to execute what
//! the new node did not execute, to make the snapshot, to join. Prints one line of JSON.
//!
//! Not part of `make test` nor of `make bench`: a million licences take some minutes and gigabytes.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use symbolon_ledger::hash::{BlockHash, Digest};
use symbolon_node::{
    join::{self, JoinParts, Told},
    network::{
        ChainReader, NetworkConfig, NetworkCounters, NetworkEvent, peer_id_of_seed, prepare,
    },
    snapshot::{Snapshot, make::make},
    storage::Store,
};
use symbolon_tests::chain::Chain;

/// Licences unless another number is given.
const LICENCES: usize = 1_000_000;
/// Licences of a block: 32 transactions, well within 4 MiB.
const OF_A_BLOCK: usize = 8_192;
/// Peers that give.
const PEERS: u8 = 3;
/// Kilobytes in `VmHWM` of this process.
const KIB: f64 = 1_024.0;

struct Giver(Arc<Snapshot>);

impl ChainReader for Giver {
    fn tip(&self) -> (u64, BlockHash) {
        (self.0.height(), Digest::ZERO)
    }

    fn block_with_certificate(&self, _: u64) -> Option<(Vec<u8>, Vec<u8>)> {
        None
    }

    fn body(&self, _: &BlockHash) -> Option<Vec<u8>> {
        None
    }

    fn snapshots(&self) -> Vec<(u64, Digest)> {
        vec![(self.0.height(), self.0.hash())]
    }

    fn snapshot_part(&self, _: u64, part: u64) -> Option<Vec<u8>> {
        self.0.part(part).ok().flatten()
    }
}

#[expect(clippy::print_stdout, reason = "the figures are the program's output")]
fn main() {
    let asked = std::env::args().nth(1).map(|n| n.parse().expect("a number of licences"));
    let licences = asked.unwrap_or(LICENCES);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut chain = Chain::founded(&folder.path().join("theirs"));
    let executing = time(|| grow(&mut chain, licences));
    let path = folder.path().join("snapshot");
    let making = time(|| make(&chain.store.view().expect("a view"), &path).expect("it is made"));
    let snapshot = Arc::new(Snapshot::open(&path).expect("it was just made"));
    let bytes = bytes_of(&path);
    let joining = time(|| join_from(&chain, &snapshot, &folder.path().join("ours")));
    let ours = Store::open(&folder.path().join("ours"), &chain.genesis).expect("it has joined");
    let (ours, theirs) = (ours.view().expect("a view"), chain.store.view().expect("a view"));
    assert_eq!(ours.tip(), theirs.tip());
    println!(
        "{}",
        json!({
            "name": "join by snapshot",
            "licences": licences,
            "blocks": chain.height(),
            "executing_s": round(executing),
            "making_s": round(making),
            "snapshot_mib": (bytes as f64 / KIB / KIB).round(),
            "joining_s": round(joining),
            "joining_mib_per_s": (bytes as f64 / KIB / KIB / joining.as_secs_f64() * 10.0).round() / 10.0,
            "peak_memory_mib": peak_mib(),
        })
    );
}

fn time(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

fn round(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

fn grow(chain: &mut Chain, licences: usize) {
    let mut left = licences;
    while left > 0 {
        let batch = left.min(OF_A_BLOCK);
        let operations: Vec<_> = (0..batch).map(|_| chain.issue()).collect();
        chain.commit(&operations);
        left -= batch;
    }
}

fn bytes_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("it was just made");
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}

fn peak_mib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default().to_owned();
    let kib = line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0);
    (kib / KIB).round()
}

/// Joins, up to the database that the next start finds.
fn join_from(chain: &Chain, snapshot: &Arc<Snapshot>, data: &Path) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _within = runtime.enter();
    let config = |seed: u8| NetworkConfig {
        chain_id: chain.genesis.chain_id(),
        keypair_seed: [seed; 32],
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().expect("an address")],
        peers: Vec::new(),
        observers: Vec::new(),
    };
    let counters = || Arc::new(NetworkCounters::default());
    let mut own = config(PEERS);
    let mut kept = Vec::new();
    for seed in 0..PEERS {
        let mut theirs = config(seed);
        theirs.peers.push((peer_id_of_seed([PEERS; 32]), Vec::new()));
        let network = prepare(theirs, counters()).expect("a network");
        let mut listening = network.handle().listening();
        kept.push(network.open(Arc::new(Giver(snapshot.clone()))).expect("it opens"));
        let address = runtime.block_on(async {
            let addresses = listening.wait_for(|a| !a.is_empty()).await.expect("it listens");
            addresses[0].clone()
        });
        own.peers.push((peer_id_of_seed([seed; 32]), vec![address]));
    }
    let store = Store::open(data, &chain.genesis).expect("an empty folder");
    let store = Arc::new(store);
    let network = prepare(own, counters()).expect("a network");
    let parts = JoinParts {
        data: data.to_owned(),
        genesis: Arc::new(chain.genesis.clone()),
        network: network.handle(),
        store: Arc::downgrade(&store),
        commits: store.commits(),
        snapshot_every: 1,
    };
    let (joiner, mut joined) = join::start(parts).expect("a thread");
    let mut events = network.open(Arc::new(Giver(snapshot.clone()))).expect("it opens").events;
    runtime.block_on(async {
        let mut connected = 0;
        loop {
            tokio::select! {
                _ = joined.wait_for(|joined| *joined) => break,
                event = events.recv() => match event.expect("the network runs") {
                    NetworkEvent::Connected { .. } => {
                        connected += 1;
                        if connected == PEERS {
                            assert!(joiner.considers(1, u64::MAX));
                        }
                    }
                    NetworkEvent::Snapshots { from, offers } => {
                        joiner.hear(Told::Snapshots(from, offers));
                    }
                    NetworkEvent::SnapshotPart { manifest, part, found } => {
                        joiner.hear(Told::Part { manifest, part, found });
                    }
                    _ => {}
                },
            }
        }
    });
    drop((store, kept));
}
