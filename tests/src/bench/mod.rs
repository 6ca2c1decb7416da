//! What Symbolon costs, measured: four co-located validators over loopback, driven through their
//! public HTTP, and the parts that need no network in this process.
//!
//! Every figure stands beside the limit that it is held against, taken in the same run, since the
//! machine's own speed varies. The order of the chapters is [`run`]; each chapter is a file.
//! `docs/performance.md` has the figures of the day.

pub mod report;

pub mod limits;

pub mod machine;

pub mod client;

pub mod constant;

pub mod peers;

pub mod issuance;

pub mod wallet;

pub mod reading;

pub mod busy;

pub mod stress;

pub mod growth;

pub mod offline;

pub mod codes;

pub mod status_list;

pub mod map;

use std::time::Duration;

use issuance::Bench;
use limits::Limits;
use peers::Peers;
use report::Section;

/// Province whose agency issues, and whose node takes the transactions.
pub const ISSUER: &str = "44";
/// Province whose node reads and verifies.
pub const VERIFIER: &str = "11";

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Length of each phase that time ends.
    pub phase: Duration,
    /// Length of a load, and of what goes before it uncounted.
    pub load: Duration,
    /// See [`Scale::load`].
    pub warm_up: Duration,
    /// How often a load is repeated.
    pub runs: usize,
    /// Length of a run of a peer; none when peers are left out.
    pub peer: Option<Duration>,
    /// Licences on the ledger when the network is idle and read from.
    pub licences: u64,
    /// Quiet time over which an idle network is measured.
    pub idle: Duration,
    /// Licences that are shown and read.
    pub shown: usize,
    /// Presentations of a run. With 2,000 licences seven runs fit into what a node remembers of one
    /// holder.
    pub presentations: usize,
    /// Licences that are issued and revoked on the status list.
    pub revoked: u32,
    /// Keys of the authenticated map before it is measured.
    pub map_keys: u64,
    /// Turns of each engine of the map.
    pub map_turns: u32,
}

impl Scale {
    /// Licences when reading is measured alone: enough that the tree has several levels of pages.
    const FEW: u64 = 100_000;
    /// The scale of the published figures.
    pub const FULL: Self = Self {
        phase: Duration::from_secs(10),
        load: Duration::from_secs(15),
        warm_up: Duration::from_secs(2),
        runs: 3,
        peer: Some(Duration::from_secs(10)),
        licences: 1_000_000,
        idle: Duration::from_secs(30),
        shown: 2_000,
        presentations: 16_000,
        revoked: 10_000,
        map_keys: 1_000_000,
        map_turns: 12,
    };
    /// Enough to see that every chapter still works; its figures mean nothing.
    pub const QUICK: Self = Self {
        phase: Duration::from_millis(300),
        load: Duration::from_millis(300),
        warm_up: Duration::from_millis(100),
        runs: 1,
        peer: None,
        licences: 4_096,
        idle: Duration::from_millis(300),
        shown: 10,
        presentations: 50,
        revoked: 256,
        map_keys: 4_000,
        map_turns: 1,
    };
}

/// Measures everything, and hands each chapter to `show` as soon as it ends.
///
/// # Panics
///
/// When a part of Symbolon refuses what it must accept, naming it.
pub fn run(scale: &Scale, mut show: impl FnMut(&Section)) {
    let limits = Limits::measure(scale.phase);
    show(&limits.section());
    // Nothing of ours runs beside them.
    let peers = Peers::measure(scale);
    show(&peers.section());
    show(&codes::section(scale.phase));
    show(&status_list::section(scale));
    show(&map::section(scale, &limits));
    let (net, start) = machine::start();
    show(&start);
    issue(&Bench { net: &net, scale, limits: &limits, peers: &peers }, &mut show);
    show(&machine::idle(&net, scale.idle));
    let wallet = wallet::Wallet::fill(&net, scale.shown);
    show(&reading::section(&net, &wallet, scale, &limits, &peers));
    show(&busy::section(&net, &wallet, scale, &limits));
    show(&offline::section(&net, &wallet, scale.phase));
    show(&growth::weighed(&net));
}

/// Measures reading alone, on a new network of [`Scale::FEW`] licences: what to run before and after a
/// change that is to make it faster. No peers are asked.
///
/// # Panics
///
/// See [`run`].
pub fn run_reading(scale: &Scale, mut show: impl FnMut(&Section)) {
    let scale = &Scale { peer: None, licences: scale.licences.min(Scale::FEW), ..*scale };
    let limits = Limits::measure(scale.phase);
    show(&limits.section());
    let peers = Peers::measure(scale);
    let (net, _) = machine::start();
    show(&Bench { net: &net, scale, limits: &limits, peers: &peers }.fill());
    let wallet = wallet::Wallet::fill(&net, scale.shown);
    show(&reading::section(&net, &wallet, scale, &limits, &peers));
    show(&busy::section(&net, &wallet, scale, &limits));
}

/// The chapters of issuing: full transactions come first, on an empty ledger, and last, on a full one.
fn issue(bench: &Bench<'_>, show: &mut impl FnMut(&Section)) {
    let (empty, before) = bench.batches("issuing, 256 licences a transaction", None);
    show(&empty);
    let (singles, highest) = bench.singles();
    show(&singles);
    show(&bench.light());
    show(&bench.steady());
    show(&bench.busy(highest));
    show(&bench.fill());
    show(&bench.batches("the same on a full ledger", Some(before)).0);
}
