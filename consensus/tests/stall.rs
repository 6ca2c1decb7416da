//! A height that cannot be decided for a long time: no wait grows past its cap, and when the
//! quorum is back the height is decided without a restart. The clock is the test's own.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;

use support::*;
use symbolon_consensus::{
    Effect, Input, Timer,
    timing::{LONGEST, REBROADCAST},
};
use symbolon_ledger::block::Header;

/// A validator that does not propose in round 0 of height 1.
fn bystander() -> usize {
    (turn(1, 0) + 1) % 4
}

fn others() -> Vec<usize> {
    (0..4).filter(|i| *i != bystander()).collect()
}

/// A host and its timers, which end when the clock of this test says so.
struct Clocked {
    rig: Rig,
    timers: BTreeMap<Timer, u64>,
    longest_ms: u64,
}

impl Clocked {
    fn begun() -> Self {
        let rig = Rig::new(config(bystander()));
        let mut clocked = Self { rig, timers: BTreeMap::new(), longest_ms: 0 };
        clocked.step(Input::Begin);
        clocked
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        let effects = self.rig.step(input);
        self.note(&effects);
        effects
    }

    fn note(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::ScheduleTimer { timer, after } => {
                    let after_ms = u64::try_from(after.as_millis()).unwrap();
                    self.longest_ms = self.longest_ms.max(after_ms);
                    self.timers.insert(*timer, self.rig.now_ms + after_ms);
                }
                Effect::CancelTimer(timer) => {
                    self.timers.remove(timer);
                }
                Effect::CancelAllTimers => self.timers.clear(),
                _ => {}
            }
        }
    }

    /// Lets the time pass until the next timer ends.
    fn wait(&mut self) -> Vec<Effect> {
        let (timer, at) = self.timers.iter().min_by_key(|(_, at)| **at).unwrap();
        let (timer, at) = (*timer, *at);
        self.timers.remove(&timer);
        self.rig.now_ms = self.rig.now_ms.max(at);
        self.step(Input::TimeoutElapsed(timer))
    }

    fn decide(&mut self, block: &Header, round: u32) {
        let hash = block.hash();
        let mut effects = self.rig.hear(proposal(turn(1, round), 1, round, hash, None));
        effects.extend(self.rig.body(block, true));
        for i in others() {
            effects.extend(self.rig.hear(prevote(i, 1, round, Some(hash))));
        }
        effects.extend(self.rig.commit(&others(), round, hash));
        assert_eq!(decided(&effects).map(|(block, _)| block), Some(hash));
    }
}

#[test]
fn an_hour_without_a_quorum_ends_when_the_quorum_is_back() {
    let mut clocked = Clocked::begun();
    let (start, mut spoke) = (clocked.rig.now_ms, clocked.rig.now_ms);
    while clocked.rig.now_ms < start + 3_600_000 {
        let effects = clocked.wait();
        let spoken = !votes(&effects).is_empty();
        // Whoever comes back hears this node within the longest wait.
        let longest = u64::try_from(LONGEST.as_millis()).unwrap();
        assert!(clocked.rig.now_ms <= spoke + longest, "silent since {spoke}");
        if spoken {
            spoke = clocked.rig.now_ms;
        }
    }
    assert_eq!(clocked.rig.host.round(), Some(0), "one node alone enters no round");
    let block = block(&first(), turn(1, 0), NOW);
    clocked.decide(&block, 0);
}

#[test]
fn hundreds_of_failed_rounds_end_with_the_first_good_one() {
    let mut clocked = Clocked::begun();
    let mut round = 0;
    // The last round is one whose proposer is another node.
    while round < 300 || turn(1, round) == bystander() {
        let effects = clocked.rig.hear(nil_round(&others(), 1, round));
        clocked.note(&effects);
        round += 1;
        while clocked.rig.host.round() != Some(round) {
            clocked.wait();
        }
    }
    let longest = u64::try_from(LONGEST.as_millis()).unwrap();
    assert_eq!(clocked.longest_ms, longest, "the waits grow, and no further than their cap");
    assert!(REBROADCAST < LONGEST);
    let block = block(&first(), turn(1, round), NOW);
    clocked.decide(&block, round);
}
