//! What a run simulates: who takes part, and what goes wrong until it heals.

use super::{byzantine::Vice, dice::Dice, links::Splits, twins};

/// The founding instant of every simulated chain, in milliseconds since 1970.
pub const EPOCH_MS: u64 = 1_800_000_000_000;
/// Every run of a sweep decides at least so many heights.
pub const LEAST_HEIGHTS: u64 = 10;
/// Every so many seeds, nothing is shared between nodes and every byte is read by everybody.
const EXACT_EVERY: u64 = 16;
/// How far a clock jumps at most, either way: a time server that is an hour off.
pub const JUMP_MS: u64 = 3_600_000;

/// The parameters of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What [`Plan::named`] makes this plan of.
    pub name: String,
    /// Everything that is left to chance follows from it.
    pub seed: u64,
    /// Seats with a vote.
    pub validators: usize,
    /// Nodes without a seat, which follow and never vote.
    pub observers: usize,
    /// The vices of the last seats, one seat each. Safe up to a third less one.
    pub liars: Vec<Vice>,
    /// Seats before those whose disks may be damaged, so that they have to begin anew. Safe as
    /// long as they and the liars are no more than a third less one.
    pub fragile: usize,
    /// Seats from the first on whose clocks jump. A third less one at most: a quorum with wrong
    /// clocks decides what time it is.
    pub jumpers: usize,
    /// How long things go wrong, in milliseconds.
    pub chaos_ms: u64,
    /// Heights that all honest nodes have to decide after it.
    pub goal: u64,
    /// Heights that they have to reach in any case.
    pub least: u64,
    /// Of a hundred packets, lost.
    pub loss: u64,
    /// Of a hundred packets, delivered twice.
    pub repeats: u64,
    /// Longest delay of a packet, in milliseconds.
    pub delay_ms: u64,
    /// How the network splits.
    pub splits: Splits,
    /// How far clocks are off at most, either way, in milliseconds.
    pub skew_ms: u64,
    /// How much too fast or slow they run at most, in parts of a million.
    pub drift_ppm: u64,
    /// Whether a node asks again by itself for a body that does not come, and not only when its
    /// host repeats the wish.
    pub retries: bool,
    /// Whether nodes crash.
    pub crashes: bool,
    /// Whether nodes stand still for a while, as a machine that swaps or is moved.
    pub pauses: bool,
    /// Whether disks are full, or fail to make durable what they have written.
    pub trouble: bool,
    /// Whether the provinces change the validator set again and again: one leaves, comes back, votes
    /// with another key.
    pub governs: bool,
    /// Whether nodes keep a mark of what they have signed. Without it, the log alone has to do.
    pub marks: bool,
    /// Whether provinces and agencies want anything.
    pub wishes: bool,
    /// Whether every node reads every message from its bytes, checks every signature and executes
    /// every block. If not, a message arrives as its sender's
    /// [`symbolon_consensus::Verified`], as if another thread had checked it, and what one node
    /// has checked or executed the others take over: see [`super::shared`].
    pub exact: bool,
    /// Whether no body of a block arrives until it heals, so that round after round fails.
    pub no_bodies: bool,
    /// Whether the disks lie: they say "flushed" and keep nothing. For showing that a run
    /// notices.
    pub lying_disks: bool,
    /// A node that crashes before its so many-th effect.
    pub crash_at: Option<(usize, u64)>,
    /// Partitions by height and round, in place of all other weather.
    pub twins: Option<twins::Case>,
}

impl Plan {
    /// A network where nothing goes wrong.
    #[must_use]
    pub fn calm(seed: u64, validators: usize) -> Self {
        Self {
            name: format!("calm/{validators}/{seed}"),
            seed,
            validators,
            observers: 0,
            liars: Vec::new(),
            fragile: 0,
            jumpers: 0,
            chaos_ms: 3_000,
            goal: 3,
            least: 0,
            loss: 0,
            repeats: 0,
            delay_ms: 60,
            splits: Splits::Never,
            skew_ms: 300,
            drift_ppm: 0,
            retries: true,
            crashes: false,
            pauses: false,
            trouble: false,
            governs: false,
            marks: true,
            wishes: true,
            exact: false,
            no_bodies: false,
            lying_disks: false,
            crash_at: None,
            twins: None,
        }
    }

    /// A network that is stuck at its first height for more than an hour, in ever new rounds,
    /// with a liar who names two blocks whenever it may.
    #[must_use]
    pub fn stuck(seed: u64) -> Self {
        Self {
            name: format!("stuck/4/{seed}"),
            liars: vec![Vice::Twin],
            chaos_ms: 75 * 60_000,
            no_bodies: true,
            retries: false,
            ..Self::calm(seed, 4)
        }
    }

    /// A network where the seed chooses what goes wrong, and who lies.
    #[must_use]
    pub fn rough(seed: u64, validators: usize) -> Self {
        let mut dice = Dice::new(seed ^ 0x706c_616e);
        let governs = dice.chance(25);
        // Of more than four, one may stand out at a time.
        let voters = validators - usize::from(governs && validators > 4);
        let most = (voters - 1) / 3;
        let liars = if dice.chance(55) { 1 + dice.index(most) } else { 0 };
        let liars: Vec<Vice> = (0..liars).map(|_| Vice::ALL[dice.index(Vice::ALL.len())]).collect();
        let fragile = if dice.chance(30) { most - liars.len() } else { 0 };
        Self {
            name: format!("rough/{validators}/{seed}"),
            observers: usize::from(dice.chance(25)),
            liars,
            fragile,
            jumpers: if dice.chance(25) { most } else { 0 },
            chaos_ms: dice.between(5_000, 20_000),
            least: LEAST_HEIGHTS,
            loss: [0, 5, 15, 30][dice.index(4)],
            repeats: [0, 5, 20][dice.index(3)],
            delay_ms: [60, 300, 1_500][dice.index(3)],
            splits: Splits::ALL[dice.index(Splits::ALL.len())],
            skew_ms: [100, 700, 1_500][dice.index(3)],
            drift_ppm: [0, 0, 500][dice.index(3)],
            retries: dice.chance(50),
            crashes: dice.chance(60),
            pauses: dice.chance(25),
            trouble: dice.chance(25),
            governs,
            marks: dice.chance(60),
            exact: seed.is_multiple_of(EXACT_EVERY),
            ..Self::calm(seed, validators)
        }
    }

    /// A rough network in which all liars there may be have one vice.
    #[must_use]
    pub fn with_vice(vice: Vice, seed: u64, validators: usize) -> Self {
        let at = Vice::ALL.iter().position(|v| *v == vice).expect("every vice is listed");
        Self {
            name: format!("vice{at}/{validators}/{seed}"),
            liars: vec![vice; (validators - 1) / 3],
            fragile: 0,
            governs: false,
            ..Self::rough(seed, validators)
        }
    }

    /// A quiet network in which one node crashes before its so many-th effect.
    #[must_use]
    pub fn crash_at(node: usize, effect: u64) -> Self {
        Self {
            name: format!("crash{node}/4/{effect}"),
            crash_at: Some((node, effect)),
            chaos_ms: 6_000,
            ..Self::calm(effect, 4)
        }
    }

    /// The plan of this name, to run it again.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut parts = name.split('/');
        let (kind, size, number) = (parts.next()?, parts.next()?, parts.next()?);
        let (validators, number): (usize, u64) = (size.parse().ok()?, number.parse().ok()?);
        if parts.next().is_some() || !(4..=64).contains(&validators) {
            return None;
        }
        let after = |prefix: &str| kind.strip_prefix(prefix)?.parse::<usize>().ok();
        Some(match kind {
            "calm" => Self::calm(number, validators),
            "rough" => Self::rough(number, validators),
            "stuck" => Self::stuck(number),
            "twins" => twins::Case::enumerated(number).plan(),
            "twins-sampled" => twins::Case::sampled(number).plan(),
            _ => match (after("vice"), after("crash")) {
                (Some(vice), _) => Self::with_vice(*Vice::ALL.get(vice)?, number, validators),
                (_, Some(node)) if node < validators => Self::crash_at(node, number),
                _ => return None,
            },
        })
    }

    /// The vice of a seat, if a liar has it.
    #[must_use]
    pub fn vice(&self, seat: usize) -> Option<Vice> {
        let first = self.validators - self.liars.len();
        self.liars.get(seat.checked_sub(first)?).copied()
    }

    /// The seats whose disks may be damaged.
    #[must_use]
    pub fn fragile_seats(&self) -> std::ops::Range<usize> {
        let first_liar = self.validators - self.liars.len();
        first_liar - self.fragile..first_liar
    }
}
