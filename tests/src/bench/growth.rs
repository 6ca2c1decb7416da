//! How a node changes as its chain grows: `bench growth [SIZE...]`, once, as long as it takes.
//!
//! At each size a database is loaded by block replay, that is by the code that executes and commits
//! fetched blocks, and weighed, and a snapshot of it is made. And a network of four is loaded by
//! consensus, with the load that users have: what is read and judged a second, what memory a node has,
//! how long it takes to start after a clean stop and after `kill -9`, and what is issued on top.

use std::{path::Path, time::Instant};

use hyper::StatusCode;
use symbolon_ledger::keys::SecretKey;
use symbolon_node::{config, snapshot::make::make, storage::Store};
use tempfile::TempDir;

use crate::{
    chain::{Chain, add_to},
    devnet::Devnet,
};

use super::{
    ISSUER, Scale, VERIFIER,
    client::{Ask, Expected, address, per_second},
    issuance::Bench,
    limits::Limits,
    machine::{disk_bytes, memory_mib},
    peers::Peers,
    reading::{self, CONNECTIONS},
    report::{Figure, Section, Target},
    wallet::Wallet,
};

/// Sizes unless others are given.
pub const SIZES: [u64; 3] = [10_000, 1_000_000, 5_000_000];
/// Licences of a replayed block: 32 transactions, well within 4 MiB.
const OF_A_BLOCK: u64 = 8_192;
/// The replay's speed at a size is that of the last so many licences.
const LAST: u64 = 100_000;
/// Bytes of a mebibyte.
const MIB: f64 = 1_048_576.0;
/// Most memory of a node that has all of the licences and serves, in MiB.
pub(super) const MOST_MIB: f64 = 512.0;
/// Most bytes on disk for a licence and node.
const MOST_BYTES: f64 = 450.0;
/// Longest start after a clean stop, and after `kill -9`, in seconds.
const MOST_START: f64 = 3.0;
const MOST_START_KILLED: f64 = 10.0;
/// Length of a load at a size, and of what goes before it: short, so that a small ledger stays one.
const LOAD: std::time::Duration = std::time::Duration::from_secs(5);
const WARM_UP: std::time::Duration = std::time::Duration::from_secs(1);

/// Loads up to each size and measures there, and hands each chapter to `show`.
///
/// # Panics
///
/// When a part of Symbolon refuses what it must accept.
pub fn run(sizes: &[u64], scale: &Scale, mut show: impl FnMut(&Section)) {
    let limits = Limits::measure(scale.phase);
    show(&limits.section());
    let peers = Peers::measure(&Scale { peer: None, ..*scale });
    let mut replay = Replay::start();
    for size in sizes {
        show(&replay.load(*size));
    }
    drop(replay);
    let net = Devnet::start(4);
    let wallet = Wallet::fill(&net, scale.shown);
    for (run, size) in sizes.iter().enumerate() {
        let scale = &Scale { licences: *size, load: LOAD, warm_up: WARM_UP, runs: 1, ..*scale };
        let bench = Bench { net: &net, scale, limits: &limits, peers: &peers };
        show(&bench.fill());
        show(&served(&bench, &wallet, run));
        show(&bench.batches("issuing, 256 licences a transaction, at this size", None).0);
        show(&bench.singles().0);
    }
    show(&weighed(&net));
}

/// Stops the network and weighs the issuing node's database, all in, once it is compacted.
///
/// # Panics
///
/// When the database cannot be opened.
#[must_use]
pub fn weighed(net: &Devnet) -> Section {
    net.stop();
    let chain = open(net);
    chain.store.compact().expect("the database can be compacted");
    let bytes = chain.store.disk_bytes().expect("the database's files") as f64;
    let many = count(&chain) as f64;
    let figures = vec![
        Figure::new("licences", many, ""),
        Figure::new("disk for a licence, compacted", bytes / many, "B")
            .of("allowed", MOST_BYTES)
            .with(Target::AtMost(1.0)),
    ];
    let how =
        "the issuing node's database, stopped, compacted; everything above is in it".to_owned();
    Section { name: "disk", how, figures }
}

/// The issuing node's chain, with the keys of all: nobody else has it open.
fn open(net: &Devnet) -> Chain {
    let read = |province: &str| {
        let data = &net.node(province).data_dir;
        let path = data.with_file_name("config.toml");
        config::load(&path).expect("a node's configuration")
    };
    let own = read(ISSUER);
    let validators = net.file.nodes.iter().map(|node| read(&node.province).identity);
    let pem = std::fs::read_to_string(&net.agency(ISSUER).key_file).expect("the agency's key");
    Chain::over(
        &own.config.data_dir,
        own.genesis,
        validators.map(|identity| identity.expect("a validator")).collect(),
        SecretKey::from_pem(&pem).expect("a key"),
    )
}

/// Licences of a chain: the keys of their records are neighbours.
fn count(chain: &Chain) -> u64 {
    let view = chain.store.view().expect("a view");
    let licences = view.records().filter(|entry| {
        let (key, _) = entry.as_ref().expect("the state can be read");
        // CBOR of [9, [cid]]: `StateKey::Licence`.
        key.starts_with(&[0x82, 9])
    });
    licences.count() as u64
}

/// A database that is loaded by block replay, and the one that its blocks are made on.
struct Replay {
    makes: Chain,
    store: Store,
    licences: u64,
    folders: [TempDir; 2],
}

impl Replay {
    fn start() -> Self {
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("a temporary folder"));
        let makes = Chain::founded(folders[0].path());
        let store = Store::open(folders[1].path(), &makes.genesis).expect("an empty folder");
        Self { makes, store, licences: 0, folders }
    }

    /// Loads until it has `size` licences, and weighs it.
    fn load(&mut self, size: u64) -> Section {
        assert!(size > self.licences, "sizes are in ascending order");
        let (mut seconds, mut last) = (0.0, 0);
        while self.licences < size {
            let batch = OF_A_BLOCK.min(size - self.licences);
            let operations: Vec<_> = (0..batch).map(|_| self.makes.issue()).collect();
            let block = self.makes.block(&operations);
            self.makes.add(&block);
            let height = *self.store.commits().borrow();
            // What the agency had to reserve for these.
            for missed in height + 1..block.0.header.height {
                add_to(&self.store, &self.makes.committed(missed));
            }
            let begun = Instant::now();
            add_to(&self.store, &block);
            if size - self.licences <= LAST {
                seconds += begun.elapsed().as_secs_f64();
                last += batch;
            }
            self.licences += batch;
        }
        self.store.compact().expect("the database can be compacted");
        let view = self.store.view().expect("a view");
        let path = self.folders[1].path().join("snapshot");
        let begun = Instant::now();
        make(&view, &path).expect("a snapshot");
        let took = begun.elapsed().as_secs_f64();
        let snapshot = bytes_of(&path) as f64;
        std::fs::remove_dir_all(&path).expect("it was just made");
        let many = self.licences as f64;
        let bytes = self.store.disk_bytes().expect("the database's files") as f64;
        let mut figures = vec![
            Figure::new("licences", many, ""),
            Figure::new("height", view.tip().height as f64, ""),
            Figure::new("block replay, licences a second", last as f64 / seconds, "/s"),
            Figure::new("disk for a licence, compacted", bytes / many, "B")
                .of("allowed", MOST_BYTES)
                .with(Target::AtMost(1.0)),
            Figure::new("snapshot made in", took, "s"),
            Figure::new("bytes of a snapshot", snapshot / MIB, "MiB"),
        ];
        let families = self.store.family_bytes().expect("the database's files");
        for (family, bytes) in families.iter().filter(|(_, bytes)| *bytes > 0) {
            figures.push(Figure::new(family, *bytes as f64 / many, "B"));
        }
        let how = format!(
            "blocks of {OF_A_BLOCK} licences, made on another database, whose compactions run beside; the \
             speed of the last {LAST}; each column family's bytes for a licence, compacted"
        );
        Section { name: "a database loaded by block replay", how, figures }
    }
}

/// What a node of the network serves at this size.
fn served(bench: &Bench<'_>, wallet: &Wallet, run: usize) -> Section {
    let (net, scale) = (bench.net, bench.scale);
    let at_start = memory_mib(net.pid(VERIFIER), "VmRSS:");
    let licences = reading::licences(net, wallet);
    let absent = reading::absences(net, licences.len());
    let read = |asked: &[hyper::Uri], status| {
        let expected = Expected { status, says: "" };
        per_second(Ask::Get(asked), CONNECTIONS, expected, scale.phase)
    };
    let reads = read(&licences, StatusCode::OK);
    let absences = read(&absent, StatusCode::NOT_FOUND);
    let verify = address(&format!("{}/v1/verify", net.node(VERIFIER).http));
    let verdicts = reading::verdicts(&verify, &reading::of_one(wallet, run, scale));
    let there = bench.licences() as f64;
    let peak = memory_mib(net.pid(VERIFIER), "VmHWM:");
    let disk = disk_bytes(net) / net.file.nodes.len() as f64 / there;
    let killed = restart_seconds(net, "kill");
    let stopped = restart_seconds(net, "stop-node");
    let at_most_one = Target::AtMost(1.0);
    let figures = vec![
        Figure::new("licences on the ledger", there, ""),
        Figure::new("licence with its proof, a second", reads, "/s"),
        Figure::new("proof of absence, a second", absences, "/s"),
        Figure::new("POST /v1/verify, a second", verdicts, "/s"),
        Figure::new("memory of a node, loaded", at_start, "MiB"),
        Figure::new("its peak, after all of this", peak, "MiB")
            .of("allowed", MOST_MIB)
            .with(at_most_one),
        Figure::new("disk for a licence, as it is", disk, "B"),
        Figure::new("start after a clean stop, until ready", stopped, "s")
            .of("allowed", MOST_START)
            .with(at_most_one),
        Figure::new("start after kill -9, until ready", killed, "s")
            .of("allowed", MOST_START_KILLED)
            .with(at_most_one),
    ];
    let how = format!(
        "one node of four that were loaded by consensus; {CONNECTIONS} connections, {:?} each and {} \
         verdicts; {} licences by turns",
        scale.phase,
        scale.presentations,
        licences.len()
    );
    Section { name: "growth", how, figures }
}

/// Ends a node by a command of `symbolon devnet`, which waits until it is gone, and starts it again
/// among the three that go on: seconds until it is ready.
fn restart_seconds(net: &Devnet, end: &str) -> f64 {
    net.end(VERIFIER, end);
    let begun = Instant::now();
    net.restart(VERIFIER);
    begun.elapsed().as_secs_f64()
}

fn bytes_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("it was just made");
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}
