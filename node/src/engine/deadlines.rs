//! When something is due: the start of a height, what consensus waits for, a look at the peers.

use std::time::{Duration, Instant};

use symbolon_consensus::{Input, TimerStep};
use symbolon_ledger::{records::ParametersRecord, state::StateKey};

use super::{Engine, EngineError};
use crate::storage::{StorageError, Store};

/// How long a node of a new chain waits for its peers before the first block.
const FIRST_BLOCK_DELAY: Duration = Duration::from_secs(1);
/// How long a peer that has come waits for what was said before: those that come at about the same
/// time share one repetition.
const COME_TOGETHER: Duration = Duration::from_millis(50);
/// Shortest time between two repetitions for peers that have come, so that one that comes and goes
/// does not have everybody told the same again and again.
const COME_AGAIN: Duration = Duration::from_millis(250);
/// Longest time between two looks at the timers and the status.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(500);

impl Engine {
    /// When transactions wait, a height begins at once; otherwise when the idle interval has
    /// passed since the last block.
    pub(super) fn plan_begin(&mut self) {
        let tip_ms = self.host.start().parent.time_ms;
        let age = Duration::from_millis((self.parts.clock)().saturating_sub(tip_ms));
        let wait = match self.host.height() {
            // Nobody can be ready before the first block, so it does not wait to be idle.
            1 => FIRST_BLOCK_DELAY,
            _ => self.idle_interval.saturating_sub(age),
        };
        self.begin_at = Some(Instant::now() + wait);
    }

    /// Begins when transactions wait, unless the height is over everywhere else: a proposal for it
    /// would cost synced writes and be of use to nobody. After block sync the others may wait for this
    /// node's proposal, and for what was submitted to it meanwhile.
    pub(super) fn begin_if_prepared(&mut self) -> Result<(), EngineError> {
        let idle = self.host.is_begun() || !self.wants_to_begin();
        if idle { Ok(()) } else { self.step(Input::Begin) }
    }

    /// Whether transactions wait, for a height that is not over everywhere else. Should it turn out
    /// that it is not, it begins soon.
    pub(super) fn wants_to_begin(&mut self) -> bool {
        let now = Instant::now();
        let (waits, fed) = (self.parts.pool.has_work(), self.is_fed(now));
        if waits && fed {
            let soon = now + HEARTBEAT;
            self.begin_at = Some(self.begin_at.map_or(soon, |at| at.min(soon)));
        }
        waits && !fed
    }

    /// Repeats soon what this node has said in the running round, when the peer that has come is a
    /// validator: it cannot have heard it. Whoever is started when it is his turn proposes before he
    /// has any peers, and they would otherwise wait for it until the next repetition, or for the whole
    /// round. Those that have heard it already do not pass it on (`symbolon_consensus::edge`).
    pub(super) fn repeat_for(&mut self, peer_id: &[u8]) {
        let now = Instant::now();
        let votes = self.host.start().validators.validators().iter().any(|v| v.peer_id == peer_id);
        if !votes || self.repeated.is_some_and(|at| at > now) {
            return;
        }
        let soon = (now + COME_TOGETHER).max(self.repeated.map_or(now, |at| at + COME_AGAIN));
        self.repeated = Some(soon);
        for (timer, at) in &mut self.timers {
            if timer.step == TimerStep::Rebroadcast {
                *at = soon.min(*at);
            }
        }
    }

    pub(super) fn until_next_deadline(&self) -> Duration {
        let deadlines = self.timers.values().chain(self.wakes.first()).chain(&self.begin_at);
        let next = deadlines.chain(self.sync.deadline().as_ref()).min().copied();
        let now = Instant::now();
        next.map_or(HEARTBEAT, |at| at.saturating_duration_since(now)).min(HEARTBEAT)
    }

    pub(super) fn fire_due(&mut self) -> Result<(), EngineError> {
        let now = Instant::now();
        if self.begin_at.is_some_and(|at| at <= now) {
            let fed = self.is_fed(now);
            self.begin_at = fed.then_some(now + HEARTBEAT);
            if !fed {
                self.step(Input::Begin)?;
            }
        }
        if self.wakes.first().is_some_and(|at| *at <= now) {
            self.wakes.retain(|at| *at > now);
            self.step(Input::Tick)?;
        }
        let due: Vec<_> =
            self.timers.iter().filter(|(_, at)| **at <= now).map(|(timer, _)| *timer).collect();
        for timer in due {
            if self.timers.remove(&timer).is_some() {
                self.step(Input::TimeoutElapsed(timer))?;
            }
        }
        if self.sync.deadline().is_some_and(|at| at <= now) {
            self.sync_if_behind();
        }
        Ok(())
    }
}

pub(super) fn idle_interval(store: &Store) -> Result<Duration, StorageError> {
    let parameters: ParametersRecord = store
        .view()?
        .record(&StateKey::Parameters)?
        .ok_or_else(|| StorageError::damaged("the state has no parameters"))?;
    Ok(Duration::from_millis(parameters.idle_block_interval_ms))
}
