//! How a node changes as its chain grows: `bench growth [SIZE...]`, once, as long as it takes.
//!
//! A network of four is founded and stopped. One node's database is loaded by block replay, that is
//! by the code that executes and commits fetched blocks, and copied to the others. At each size the
//! four run on it: start-up after a clean stop and after `kill -9`, issuance through consensus,
//! reads and verdicts, memory, disk; and a snapshot is made.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use hyper::StatusCode;
use nix::sys::signal::Signal;
use symbolon_ledger::keys::SecretKey;
use symbolon_node::{config, snapshot::make::make};

use crate::{
    chain::Chain,
    devnet::{Devnet, await_that},
};

use super::{
    ISSUER, Scale, VERIFIER,
    client::{Ask, per_second},
    issuance::Bench,
    limits::Limits,
    machine::memory_mib,
    peers::Peers,
    report::{Figure, Section, Target},
    wallet::Wallet,
};

/// Sizes unless others are given.
pub const SIZES: [u64; 3] = [10_000, 1_000_000, 5_000_000];
/// Licences of a replayed block: 32 transactions, well within 4 MiB.
const OF_A_BLOCK: u64 = 8_192;
/// The replay's speed at a size is that of the last so many licences.
const LAST: u64 = 100_000;
/// Connections that read.
const CONNECTIONS: usize = 32;
/// Bytes of a mebibyte.
const MIB: f64 = 1_048_576.0;
/// Most memory of a node that has all of the licences and serves, in MiB.
pub(super) const MOST_MIB: f64 = 512.0;
/// Most bytes on disk for a licence and node.
const MOST_BYTES: f64 = 450.0;
/// Longest start after a clean stop, and after `kill -9`, in seconds.
const MOST_START: f64 = 3.0;
const MOST_START_KILLED: f64 = 10.0;

/// Loads up to each size and measures there, and hands each chapter to `show`.
///
/// # Panics
///
/// When a part of Symbolon refuses what it must accept.
pub fn run(sizes: &[u64], scale: &Scale, mut show: impl FnMut(&Section)) {
    let limits = Limits::measure(scale.phase);
    show(&limits.section());
    let net = Devnet::start(4);
    let wallet = Wallet::fill(&net);
    let peers = Peers::measure(&Scale { peer: None, ..*scale });
    let bench = Bench { net: &net, scale, limits: &limits, peers: &peers };
    for size in sizes {
        net.stop();
        let loaded = load(&net, *size);
        spread(&net);
        net.start_again();
        for section in measure(&bench, &wallet, &loaded) {
            show(&section);
        }
    }
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

/// What loading to a size took and gave.
struct Loaded {
    licences: u64,
    height: u64,
    /// Licences a second of the last ones.
    replayed: f64,
    bytes: u64,
    families: Vec<(&'static str, u64)>,
    snapshot_seconds: f64,
    snapshot_bytes: u64,
}

fn node_folder(net: &Devnet, province: &str) -> PathBuf {
    let data = &net.node(province).data_dir;
    data.parent().expect("a data folder lies in its node's").to_owned()
}

/// Loads the issuing node's database by replay until it has `size` licences.
fn load(net: &Devnet, size: u64) -> Loaded {
    let mut chain = open(net);
    let mut licences = count(&chain);
    let mut seconds = 0.0;
    let mut last = 0;
    while licences < size {
        let batch = OF_A_BLOCK.min(size - licences);
        let operations: Vec<_> = (0..batch).map(|_| chain.issue()).collect();
        let block = chain.block(&operations);
        let begun = Instant::now();
        chain.add(&block);
        if size - licences <= LAST {
            seconds += begun.elapsed().as_secs_f64();
            last += batch;
        }
        licences += batch;
    }
    chain.store.compact().expect("the database can be compacted");
    let view = chain.store.view().expect("a view");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("snapshot");
    let begun = Instant::now();
    make(&view, &path).expect("a snapshot");
    Loaded {
        licences,
        height: view.tip().height,
        replayed: last as f64 / seconds.max(f64::MIN_POSITIVE),
        bytes: chain.store.disk_bytes().expect("the database's files"),
        families: chain.store.family_bytes().expect("the database's files"),
        snapshot_seconds: begun.elapsed().as_secs_f64(),
        snapshot_bytes: bytes_of(&path),
    }
}

/// The issuing node's chain, with the keys of all: nobody else has it open.
fn open(net: &Devnet) -> Chain {
    let read = |province: &str| {
        let path = node_folder(net, province).join("config.toml");
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

/// Copies the issuing node's database to the others.
fn spread(net: &Devnet) {
    let from = net.node(ISSUER).data_dir.join("rocksdb");
    for node in net.file.nodes.iter().filter(|node| node.province != ISSUER) {
        let to = node.data_dir.join("rocksdb");
        std::fs::remove_dir_all(&to).expect("an older database");
        let copied = Command::new("cp").arg("-a").args([&from, &to]).status();
        assert!(copied.is_ok_and(|status| status.success()), "the database is copied");
    }
}

fn measure(bench: &Bench<'_>, wallet: &Wallet, loaded: &Loaded) -> Vec<Section> {
    let (net, scale) = (bench.net, bench.scale);
    let at_start = memory_mib(net.pid(VERIFIER), "VmRSS:");
    let (batches, _) = bench.batches("issuing, 256 licences a transaction, at this size", None);
    let (singles, _) = bench.singles();
    let licences = format!("{}/v1/licences", net.node(VERIFIER).http);
    let read = |cid: &str, status| {
        per_second(&format!("{licences}/{cid}"), CONNECTIONS, Ask::Get, status, scale.phase)
    };
    let reads = read(&wallet.cid, StatusCode::OK);
    let absences = read(&"ab".repeat(32), StatusCode::NOT_FOUND);
    let peak = memory_mib(net.pid(VERIFIER), "VmHWM:");
    let killed = restart_seconds(net, Signal::SIGKILL);
    let stopped = restart_seconds(net, Signal::SIGTERM);
    let many = loaded.licences as f64;
    let at_most_one = Target::AtMost(1.0);
    let mut figures = vec![
        Figure::new("licences", many, ""),
        Figure::new("height", loaded.height as f64, ""),
        Figure::new("block replay, licences a second", loaded.replayed, "/s"),
        Figure::new("licence with its proof, a second", reads, "/s"),
        Figure::new("proof of absence, a second", absences, "/s"),
        Figure::new("memory of a node when ready", at_start, "MiB"),
        Figure::new("its peak, after all of this", peak, "MiB")
            .of("allowed", MOST_MIB)
            .with(at_most_one),
        Figure::new("disk for a licence, compacted", loaded.bytes as f64 / many, "B")
            .of("allowed", MOST_BYTES)
            .with(at_most_one),
        Figure::new("start after a clean stop, until ready", stopped, "s")
            .of("allowed", MOST_START)
            .with(at_most_one),
        Figure::new("start after kill -9, until ready", killed, "s")
            .of("allowed", MOST_START_KILLED)
            .with(at_most_one),
        Figure::new("snapshot made in", loaded.snapshot_seconds, "s"),
        Figure::new("bytes of a snapshot", loaded.snapshot_bytes as f64 / MIB, "MiB"),
    ];
    for (family, bytes) in loaded.families.iter().filter(|(_, bytes)| *bytes > 0) {
        figures.push(Figure::new(family, *bytes as f64 / many, "B"));
    }
    let how = "loaded by block replay; then each column family's bytes a licence".to_owned();
    vec![Section { name: "growth", how, figures }, batches, singles]
}

/// Ends a node and starts it again among the three that go on: seconds until it is ready.
fn restart_seconds(net: &Devnet, signal: Signal) -> f64 {
    net.signal(VERIFIER, signal);
    await_that("the node has ended", || !net.answers(VERIFIER));
    let begun = Instant::now();
    net.restart(VERIFIER);
    begun.elapsed().as_secs_f64()
}

fn bytes_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("it was just made");
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}
