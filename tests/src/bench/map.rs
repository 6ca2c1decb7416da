//! The authenticated map alone: batches of new keys over RocksDB, each one synced, on top of many.
//! Beside it the `jmt` crate, which defines the hashing and was the engine before, over a table of
//! its own with the same settings. Part of `make bench`.
//!
//! Both take turns, so that what else the machine does meets both; every root of one must be that of
//! the other.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};
use symbolon_ledger::{
    codec,
    hash::{Digest, sha256},
    state_proof::PLACEHOLDER,
    tree::Change,
};
use symbolon_node::storage::Measured;
use symbolon_oracle::{Table, grow};

use super::{
    Scale,
    limits::Limits,
    report::{Figure, Section, Target, quantile},
};

/// Keys of a batch that is measured.
const BATCH: u64 = 1_000;
/// Batches of a turn.
const TURN: u64 = 10;
/// Keys of a batch while the map is filled, which is not measured.
const FILLING: u64 = 20_000;
/// Bytes of a record: about a licence's.
const RECORD: usize = 110;
/// Proofs that are weighed.
const PROOFS: u64 = 1_000;
/// Bounds of the figures.
const LEAST_TIMES_THE_CRATE: f64 = 4.0;
const MOST_MIB: f64 = 64.0;
const MOST_PROOF_BYTES: f64 = 750.0;
const MIB: f64 = 1_048_576.0;

/// The chapter.
///
/// # Panics
///
/// When a table cannot be made, or the two roots differ.
#[must_use]
pub fn section(scale: &Scale, limits: &Limits) -> Section {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut ours = Paged::open(&folder.path().join("pages"));
    let mut theirs = Crate::open(&folder.path().join("jmt"));
    for first in (0..scale.map_keys).step_by(FILLING as usize) {
        let last = (first + FILLING).min(scale.map_keys);
        ours.grow(first..last);
        theirs.grow(first..last);
        assert_eq!(ours.root, theirs.root, "after {last} keys");
    }
    let (mut our_cost, mut their_cost) = (Cost::default(), Cost::default());
    let mut next = scale.map_keys;
    for _ in 0..scale.map_turns {
        let batches = (0..TURN).map(|n| next + n * BATCH..next + (n + 1) * BATCH);
        our_cost.add(|| batches.clone().for_each(|keys| ours.grow(keys)));
        their_cost.add(|| batches.clone().for_each(|keys| theirs.grow(keys)));
        next += TURN * BATCH;
        assert_eq!(ours.root, theirs.root, "after {next} keys");
    }
    let keys = u64::from(scale.map_turns) * TURN * BATCH;
    let rate = |cost: &Cost| keys as f64 / cost.wall.as_secs_f64();
    let processor = |cost: &Cost| keys as f64 / cost.processor.as_secs_f64();
    let (median, longest) = ours.proofs(scale.map_keys);
    Section {
        name: "authenticated map",
        how: format!(
            "{} keys, then {keys} more in synced batches of {BATCH}, both engines in turns of {TURN}; \
             ours changes parts of the tree on all cores, the crate on one",
            scale.map_keys
        ),
        figures: vec![
            Figure::new("new keys", rate(&our_cost), "/s")
                .of("those of the jmt crate", rate(&their_cost))
                .with(Target::AtLeast(LEAST_TIMES_THE_CRATE)),
            Figure::new("the same", rate(&our_cost), "/s")
                .of("records of such batches without a tree", limits.records_per_second()),
            Figure::new("new keys a second of processor", processor(&our_cost), "/s")
                .of("those of the jmt crate", processor(&their_cost)),
            Figure::new(
                "memory of the pages remembered",
                ours.table.remembered() as f64 / MIB,
                "MiB",
            )
            .of("64 MiB", MOST_MIB)
            .with(Target::AtMost(1.0)),
            Figure::new("proof of one place, p50", median, "B")
                .of("750 bytes", MOST_PROOF_BYTES)
                .with(Target::AtMost(1.0)),
            Figure::new("proof of one place, longest", longest, "B"),
        ],
    }
}

fn key(n: u64) -> Digest {
    sha256(&n.to_be_bytes())
}

fn record(n: u64) -> Vec<u8> {
    let mut record = vec![7; RECORD];
    record[..8].copy_from_slice(&n.to_be_bytes());
    record
}

/// What turns have taken.
#[derive(Default)]
struct Cost {
    wall: Duration,
    /// Of all threads, those of the database included.
    processor: Duration,
}

impl Cost {
    fn add(&mut self, work: impl FnOnce()) {
        let (begun, before) = (Instant::now(), processor());
        work();
        self.processor += processor() - before;
        self.wall += begun.elapsed();
    }
}

fn processor() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the system knows what it gave");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros.try_into().expect("time goes forwards"))
}

/// The ledger's engine.
struct Paged {
    table: Measured,
    root: Digest,
}

impl Paged {
    fn open(folder: &Path) -> Self {
        Self { table: Measured::open(folder).expect("an empty folder"), root: PLACEHOLDER }
    }

    fn grow(&mut self, keys: std::ops::Range<u64>) {
        let changes = keys.map(|n| Change::new(key(n), Some(&record(n)))).collect();
        self.root = self.table.update(self.root, changes).expect("the map grows");
    }

    /// Median and maximum of the bytes of proofs, half of them of keys that are not there.
    fn proofs(&self, keys: u64) -> (f64, f64) {
        let step = usize::try_from((2 * keys / PROOFS).max(1)).expect("a few thousand");
        let sizes = (0..2 * keys).step_by(step).map(|n| {
            // The second half was never given out.
            let n = if n < keys { n } else { u64::MAX - n };
            let path = self.table.prove(self.root, key(n)).expect("the map has a proof");
            codec::encode(&path).len() as f64
        });
        let mut sizes: Vec<f64> = sizes.collect();
        (quantile(&mut sizes, 0.5), quantile(&mut sizes, 1.0))
    }
}

/// The crate, as it was the engine: its nodes in the same batches, stale ones removed with them.
struct Crate {
    table: Nodes,
    root: Digest,
    version: u64,
}

struct Nodes(Measured);

impl Table for Nodes {
    fn get(&self, key: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(self.0.get(key)?)
    }
}

impl Crate {
    fn open(folder: &Path) -> Self {
        let table = Nodes(Measured::open(folder).expect("an empty folder"));
        Self { table, root: PLACEHOLDER, version: 0 }
    }

    fn grow(&mut self, keys: std::ops::Range<u64>) {
        let changes = keys.map(|n| (key(n), Some(record(n)))).collect();
        let grown = grow(&self.table, self.version, changes).expect("the crate grows");
        self.table.0.write(grown.put, grown.gone).expect("its nodes are written");
        (self.root, self.version) = (grown.root, self.version + 1);
    }
}
