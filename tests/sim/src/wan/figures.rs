//! What a run is asked for: bytes by what they were for, times, work.

use symbolon_ledger::hash::Digest;

/// What bytes were sent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Prevotes and precommits.
    Votes,
    /// Proposals: the names of blocks.
    Proposals,
    /// Certificates of rounds that did not end well.
    Certificates,
    /// Batches of transactions.
    Transactions,
    /// Bodies of blocks, sent along or fetched.
    Bodies,
    /// Committed blocks for those that are behind.
    Sync,
    /// What keeps the rest going: openings of streams, short requests and answers, tips, and what
    /// gossip says of its messages.
    Control,
}

/// All kinds.
pub const KINDS: [Kind; 7] = [
    Kind::Votes,
    Kind::Proposals,
    Kind::Certificates,
    Kind::Transactions,
    Kind::Bodies,
    Kind::Sync,
    Kind::Control,
];

impl Kind {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Votes => "votes",
            Self::Proposals => "proposals",
            Self::Certificates => "certificates",
            Self::Transactions => "transactions",
            Self::Bodies => "bodies",
            Self::Sync => "sync",
            Self::Control => "control",
        }
    }
}

/// Bytes of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bytes([u64; KINDS.len()]);

impl Bytes {
    /// Those of one kind.
    #[must_use]
    pub const fn of(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    /// All of them.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(super) fn add(&mut self, kind: Kind, bytes: u64) {
        self.0[kind as usize] += bytes;
    }

    pub(super) fn since(&self, before: &Self) -> Self {
        Self(std::array::from_fn(|kind| self.0[kind] - before.0[kind]))
    }
}

/// What is counted all the time, over all nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes that were handed to the lines.
    pub sent: Bytes,
    /// Bytes that came.
    pub received: Bytes,
    /// Of those, what came too late to be of use: the exchange had timed out.
    pub lost: Bytes,
    /// Of those that came, gossip that the receiver had already.
    pub repeated: Bytes,
    /// Gossiped messages that came, repeated ones too: each costs the check of its author's
    /// signature.
    pub copies: u64,
    /// Consensus messages that were weighed at an edge.
    pub weighed: u64,
    /// Batches of transactions that were not looked at, since too many waited.
    pub batches_ignored: u64,
    /// Transactions that a node offered again, since they waited for long.
    pub offered_again: u64,
    /// Steps of hosts.
    pub steps: u64,
}

impl Counts {
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            sent: self.sent.since(&before.sent),
            received: self.received.since(&before.received),
            lost: self.lost.since(&before.lost),
            repeated: self.repeated.since(&before.repeated),
            copies: self.copies - before.copies,
            weighed: self.weighed - before.weighed,
            batches_ignored: self.batches_ignored - before.batches_ignored,
            offered_again: self.offered_again - before.offered_again,
            steps: self.steps - before.steps,
        }
    }
}

/// Processor time as it was measured, in nanoseconds. It is no part of the simulated clock, and
/// differs from run to run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Processor {
    /// `Host::step`, all nodes.
    pub step_ns: u64,
    /// The edge of node 0, which checks every signature itself.
    pub edge_ns: u64,
    /// Messages that it weighed.
    pub edge_messages: u64,
    /// Building blocks: rules and tree.
    pub build_ns: u64,
    /// Licences in them.
    pub built: u64,
}

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Hash of every commit: who, when, what. The same for the same plan.
    pub history: Digest,
    /// Heights committed first within the time that is measured.
    pub heights: u64,
    /// Highest round of any height.
    pub round: u32,
    /// Length of the time that is measured, in nanoseconds.
    pub span_ns: u64,
    /// Licences handed in within it.
    pub offered: u64,
    /// Licences committed within it.
    pub committed: u64,
    /// Licences handed in within it and not committed when the run ended.
    pub unfinished: u64,
    /// Submit to commit at the submitter's node, ascending, of what was handed in within it.
    pub finality_ns: Vec<u64>,
    /// The medians of that for its first half and its second half.
    pub halves_ns: [u64; 2],
    /// From the moment that a proposal leaves to its commit at each node, ascending.
    pub decision_ns: Vec<u64>,
    /// Mean length of a block, in bytes.
    pub block_bytes: u64,
    /// What was counted within it.
    pub counts: Counts,
    /// What was counted in the whole run.
    pub whole: Counts,
    /// Bytes that were under way when the run ended.
    pub under_way: u64,
    /// Share of the time that ways out were in use: mean of all nodes.
    pub way_out: f64,
    /// Share of the time that node 0 executed blocks.
    pub executing: f64,
    /// Share of the time that it checked transactions.
    pub admitting: f64,
    /// Share of the time that it checked messages of consensus.
    pub checking: f64,
    /// As measured, in the whole run.
    pub processor: Processor,
}

impl Figures {
    /// Whether finality kept within bounds: what was offered was committed, and nobody waited longer
    /// and longer.
    #[must_use]
    pub fn keeps_up(&self) -> bool {
        let [first, second] = self.halves_ns;
        self.unfinished == 0
            && self.committed * 100 >= self.offered * 90
            && second * 2 <= first * 3 + 2 * super::pipes::SECOND_NS / 10
    }
}

/// The value below which the share `q` of ascending `times` lies; 0 without any.
#[must_use]
pub fn quantile(times: &[u64], q: f64) -> u64 {
    let last = times.len().saturating_sub(1) as f64;
    times.get((last * q).round() as usize).copied().unwrap_or(0)
}
