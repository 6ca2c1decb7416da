//! How long each step of a round may take. The host names the timers; the driver runs them.
//!
//! Every wait grows with the round and is capped: it grows so that some round is long enough
//! for any network that delivers at all, and it is capped so that no chain of bad rounds ever
//! needs a restart to recover.

use std::time::Duration;

use malachite_types::{LinearTimeouts, Round, Timeout, TimeoutKind};

/// Wait for a proposal and its body in round 0. Long enough to fetch and execute a block across the
/// country that is as large as its line carries ([`crate::reach`]).
pub const PROPOSE: Duration = Duration::from_millis(3_000);
/// Wait in round 0 for the proposal of a validator that let its last turn there pass and was not heard
/// since (`away`): long enough to arrive across the country for one that is just back.
pub const AWAY: Duration = Duration::from_millis(300);
/// Wait for a quorum to agree after a quorum has prevoted. Covers the slowest round trip.
pub const PREVOTE: Duration = Duration::from_millis(1_000);
/// The same for precommits. A round in which a quorum has precommitted nothing ends at once.
pub const PRECOMMIT: Duration = Duration::from_millis(1_000);
/// What each of the three waits grows by in every round.
pub const GROWTH: Duration = Duration::from_millis(500);
/// Pause before a node repeats its own votes, for peers that missed them.
pub const REBROADCAST: Duration = Duration::from_millis(2_000);
/// No wait is longer than this.
pub const LONGEST: Duration = Duration::from_secs(30);
/// Once its parent is so old, in milliseconds, any vote begins a height. Before, it takes more
/// than a third of the voters or a proposal, so that one liar cannot have empty blocks made one
/// after the other.
pub const PACE_MS: u64 = 1_000;
/// A block whose time is at most this far ahead of the local clock is taken as it is: the
/// clocks of two well-kept machines differ by less.
pub const CLOCK_TOLERANCE_MS: u64 = 1_000;

/// The waits of a host. The default is the constants above; tests shorten them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// See [`PROPOSE`].
    pub propose: Duration,
    /// See [`AWAY`].
    pub away: Duration,
    /// See [`PREVOTE`].
    pub prevote: Duration,
    /// See [`PRECOMMIT`].
    pub precommit: Duration,
    /// See [`GROWTH`].
    pub growth: Duration,
    /// See [`REBROADCAST`].
    pub rebroadcast: Duration,
    /// See [`LONGEST`].
    pub longest: Duration,
    /// See [`CLOCK_TOLERANCE_MS`].
    pub clock_tolerance_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            propose: PROPOSE,
            away: AWAY,
            prevote: PREVOTE,
            precommit: PRECOMMIT,
            growth: GROWTH,
            rebroadcast: REBROADCAST,
            longest: LONGEST,
            clock_tolerance_ms: CLOCK_TOLERANCE_MS,
        }
    }
}

/// What a timer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerStep {
    /// The round's proposal.
    Propose,
    /// A quorum of equal prevotes.
    Prevote,
    /// A quorum of equal precommits.
    Precommit,
    /// The next repetition of our own votes.
    Rebroadcast,
}

/// The name of a timer. Scheduling a name again replaces the timer that runs under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    /// The height it belongs to; the host ignores timers of other heights.
    pub height: u64,
    /// The round it belongs to.
    pub round: u32,
    /// What it waits for.
    pub step: TimerStep,
}

impl Timing {
    /// How long `timer` runs.
    #[must_use]
    pub fn duration_of(&self, timer: Timer) -> Duration {
        let waits = LinearTimeouts {
            propose: self.propose,
            propose_delta: self.growth,
            prevote: self.prevote,
            prevote_delta: self.growth,
            precommit: self.precommit,
            precommit_delta: self.growth,
            rebroadcast: self.rebroadcast,
            max_timeout: self.longest,
        };
        waits.duration_for(timer.to_core())
    }
}

impl Timer {
    /// The core's timeout, unless it is one that this host never lets arise.
    pub(crate) fn of_core(height: u64, timeout: Timeout) -> Option<Self> {
        let step = match timeout.kind {
            TimeoutKind::Propose => TimerStep::Propose,
            TimeoutKind::Prevote => TimerStep::Prevote,
            TimeoutKind::Precommit => TimerStep::Precommit,
            TimeoutKind::Rebroadcast => TimerStep::Rebroadcast,
            // Needs a target time, which no height is given.
            TimeoutKind::FinalizeHeight(_) => return None,
        };
        Some(Self { height, round: timeout.round.as_u32()?, step })
    }

    pub(crate) fn to_core(self) -> Timeout {
        let kind = match self.step {
            TimerStep::Propose => TimeoutKind::Propose,
            TimerStep::Prevote => TimeoutKind::Prevote,
            TimerStep::Precommit => TimeoutKind::Precommit,
            TimerStep::Rebroadcast => TimeoutKind::Rebroadcast,
        };
        Timeout::new(Round::new(self.round), kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_capped() {
        let wait = |round, step| Timing::default().duration_of(Timer { height: 1, round, step });
        assert_eq!(wait(0, TimerStep::Propose), PROPOSE);
        assert_eq!(wait(2, TimerStep::Prevote), PREVOTE + 2 * GROWTH);
        assert!(wait(3, TimerStep::Precommit) > wait(2, TimerStep::Precommit));
        for step in [TimerStep::Propose, TimerStep::Prevote, TimerStep::Rebroadcast] {
            assert_eq!(wait(u32::MAX, step), LONGEST);
        }
    }
}
