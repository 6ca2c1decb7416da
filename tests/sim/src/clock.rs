//! A node's wall clock: off by a constant, running fast or slow, and sometimes set to another
//! time. What is never set back is the simulated time itself, from which it is computed.

use super::{
    dice::Dice,
    plan::{EPOCH_MS, Plan},
};

/// A million: drift is given in parts of it.
const MILLION: i64 = 1_000_000;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    ahead_ms: i64,
    drift_ppm: i64,
}

impl Clock {
    /// The clock of one node.
    #[must_use]
    pub fn new(plan: &Plan, dice: &mut Dice) -> Self {
        let ahead_ms = either_way(plan.skew_ms, dice);
        // Without drift no dice are thrown, so that a plan without it is the plan it was.
        let drift_ppm = if plan.drift_ppm == 0 { 0 } else { either_way(plan.drift_ppm, dice) };
        Self { ahead_ms, drift_ppm }
    }

    /// What it shows `now_ms` after the founding, in milliseconds since 1970.
    #[must_use]
    pub fn read(&self, now_ms: u64) -> u64 {
        let now = i64::try_from(now_ms).expect("a run is short");
        let drifted = now / MILLION * self.drift_ppm + now % MILLION * self.drift_ppm / MILLION;
        (EPOCH_MS + now_ms).saturating_add_signed(self.ahead_ms + drifted)
    }

    /// Somebody sets it, or a time server that lies.
    pub fn jump(&mut self, by_ms: i64) {
        self.ahead_ms += by_ms;
    }

    /// It is set right again, as far as clocks are.
    pub fn set_right(&mut self, plan: &Plan, dice: &mut Dice) {
        *self = Self { ahead_ms: either_way(plan.skew_ms, dice), drift_ppm: 0 };
    }
}

/// A number from `-most` to `most`.
pub(super) fn either_way(most: u64, dice: &mut Dice) -> i64 {
    let small = |n: u64| i64::try_from(n).expect("small");
    small(dice.below(2 * most + 1)) - small(most)
}
