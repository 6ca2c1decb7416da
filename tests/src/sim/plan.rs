//! What a run simulates: who takes part, and what goes wrong until it heals.

use super::dice::Dice;

/// The founding instant of every simulated chain, in milliseconds since 1970.
pub const EPOCH_MS: u64 = 1_800_000_000_000;

/// How the network falls apart in two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Splits {
    /// It does not.
    Never,
    /// Anyhow, changing every second or so.
    AtRandom,
    /// Most of the time, with half of the honest nodes and one node of every liar on each side,
    /// so that each side hears its own story.
    AlongTheLiars,
}

/// The parameters of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Everything that is left to chance follows from it.
    pub seed: u64,
    /// Seats with a vote.
    pub validators: usize,
    /// Nodes without a seat, which follow and never vote.
    pub observers: usize,
    /// Seats taken by two nodes with one key, each with its own blocks. Safe up to a third less
    /// one.
    pub twins: usize,
    /// How long things go wrong, in milliseconds.
    pub chaos_ms: u64,
    /// Heights that all honest nodes have to decide after it.
    pub goal: u64,
    /// Of a hundred packets, lost.
    pub loss: u64,
    /// Of a hundred packets, delivered twice.
    pub repeats: u64,
    /// Longest delay of a packet, in milliseconds.
    pub delay_ms: u64,
    /// How far clocks are off at most, either way, in milliseconds.
    pub skew_ms: u64,
    /// Whether a node asks again by itself for a body that does not come, and not only when its
    /// host repeats the wish.
    pub retries: bool,
    /// How the network splits.
    pub splits: Splits,
    /// Whether nodes crash.
    pub crashes: bool,
    /// Whether the validator set changes every few heights, one seat standing out in turn.
    pub rotates: bool,
    /// Whether every node reads every message from its bytes and checks every signature. If not,
    /// a message arrives as its sender's [`symbolon_consensus::Verified`], as if another thread
    /// had checked it.
    pub exact: bool,
    /// Whether no body of a block arrives until it heals, so that round after round fails.
    pub no_bodies: bool,
    /// Whether the disks lie: they say "flushed" and keep nothing. For showing that a run
    /// notices.
    pub lying_disks: bool,
}

impl Plan {
    /// A network where nothing goes wrong.
    #[must_use]
    pub fn calm(seed: u64, validators: usize) -> Self {
        Self {
            seed,
            validators,
            observers: 0,
            twins: 0,
            chaos_ms: 3_000,
            goal: 3,
            loss: 0,
            repeats: 0,
            delay_ms: 60,
            skew_ms: 300,
            retries: true,
            splits: Splits::Never,
            crashes: false,
            rotates: false,
            exact: false,
            no_bodies: false,
            lying_disks: false,
        }
    }

    /// A network that is stuck at its first height for more than an hour, in ever new rounds,
    /// with a liar who names two blocks whenever it may.
    #[must_use]
    pub fn stuck(seed: u64) -> Self {
        Self {
            twins: 1,
            chaos_ms: 75 * 60_000,
            no_bodies: true,
            retries: false,
            ..Self::calm(seed, 4)
        }
    }

    /// A network where the seed chooses what goes wrong.
    #[must_use]
    pub fn rough(seed: u64, validators: usize) -> Self {
        let mut dice = Dice::new(seed ^ 0x706c_616e);
        Self {
            observers: usize::from(dice.chance(25)),
            twins: if dice.chance(40) { (validators - 1) / 3 } else { 0 },
            chaos_ms: dice.between(5_000, 20_000),
            loss: [0, 5, 15, 30][dice.index(4)],
            repeats: [0, 5, 20][dice.index(3)],
            delay_ms: [60, 300, 1_500][dice.index(3)],
            skew_ms: [100, 700, 1_500][dice.index(3)],
            retries: dice.chance(50),
            splits: [Splits::Never, Splits::AtRandom, Splits::AlongTheLiars][dice.index(3)],
            crashes: dice.chance(60),
            // A set of four that changes has three voters at a time: no room for a liar.
            rotates: validators > 4 && dice.chance(25),
            ..Self::calm(seed, validators)
        }
        .without_liars_in_a_rotating_set()
    }

    fn without_liars_in_a_rotating_set(mut self) -> Self {
        if self.rotates {
            self.twins = (self.validators - 2) / 3;
        }
        self
    }

    /// Whether a seat is taken by liars: the last ones are.
    #[must_use]
    pub fn is_liar(&self, seat: usize) -> bool {
        seat < self.validators && seat >= self.validators - self.twins
    }
}
