//! Whoever is away: no wait grows past its cap, when the quorum is back the height is decided without
//! a restart, and a proposer that is not there is not waited for in full again and again. The clock is
//! the test's own.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::{collections::BTreeMap, time::Duration};

use support::*;
use symbolon_consensus::{
    Effect, Input, Timer, TimerStep,
    timing::{AWAY, LONGEST, PRECOMMIT, PROPOSE, REBROADCAST},
};
use symbolon_ledger::{block::Header, hash::Digest};

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

    fn await_round(&mut self, round: u32) {
        while self.rig.host.round() != Some(round) {
            self.wait();
        }
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

    /// Decides the next height, though nothing comes from `absent`, and says how long its first
    /// proposal was waited for.
    fn decide_without(&mut self, absent: usize, chain: &mut Vec<Header>) -> Duration {
        let height = self.rig.host.height();
        self.step(Input::Begin);
        let timer = Timer { height, round: 0, step: TimerStep::Propose };
        let waited = Duration::from_millis(self.timers[&timer] - self.rig.now_ms);
        let mut round = 0;
        if turn(height, 0) == absent {
            while self.timers.contains_key(&timer) {
                self.wait();
            }
            let present: Vec<usize> = (0..4).filter(|i| *i != absent).collect();
            let effects = self.rig.hear(nil_round(&present, height, 0));
            self.note(&effects);
            round = 1;
            self.await_round(round);
        }
        self.rig.now_ms += 1;
        let proposer = turn(height, round);
        let block = block(&start_after(chain), proposer, self.rig.now_ms);
        if proposer == bystander() {
            self.step(Input::BlockBuilt { round, header: block.clone() });
        } else {
            self.rig.hear(proposal(proposer, height, round, block.hash(), None));
            self.rig.body(&block, true);
        }
        let voters: Vec<usize> = others().into_iter().filter(|i| *i != absent).collect();
        for i in &voters {
            self.rig.hear(prevote(*i, height, round, Some(block.hash())));
        }
        let effects = self.rig.commit(&voters, round, block.hash());
        assert_eq!(decided(&effects).map(|(block, _)| block), Some(block.hash()));
        chain.push(block);
        self.timers.clear();
        self.step(Input::StartHeight(start_after(chain)));
        waited
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
        clocked.await_round(round);
    }
    let longest = u64::try_from(LONGEST.as_millis()).unwrap();
    assert_eq!(clocked.longest_ms, longest, "the waits grow, and no further than their cap");
    assert!(REBROADCAST < LONGEST);
    let block = block(&first(), turn(1, round), NOW);
    clocked.decide(&block, round);
}

#[test]
fn a_proposer_that_is_away_is_waited_for_in_full_only_until_that_is_known() {
    let absent = turn(1, 0);
    let mut clocked = Clocked::begun();
    let mut chain = vec![genesis()];
    // Its first turn, and those of the others.
    for _ in 1..5 {
        assert_eq!(clocked.decide_without(absent, &mut chain), PROPOSE);
    }
    // Its second one, at which it is heard again: it has a vote on what others propose.
    assert_eq!(turn(5, 0), absent, "the turns go round");
    assert_eq!(clocked.decide_without(absent, &mut chain), AWAY);
    for height in 6..9 {
        clocked.step(Input::Begin);
        clocked.rig.hear(prevote(absent, height, 0, None));
        assert_eq!(clocked.decide_without(absent, &mut chain), PROPOSE);
    }
    // It has missed its turn here, but has its whole time.
    assert_eq!(clocked.decide_without(absent, &mut chain), PROPOSE);
}

#[test]
fn a_round_without_a_block_ends_when_a_quorum_has_precommitted_nothing_and_not_before() {
    let mut clocked = Clocked::begun();
    let mut hear = |i, block| {
        let effects = clocked.rig.hear(precommit(i, 1, 0, block));
        clocked.note(&effects);
        let timer = Timer { height: 1, round: 0, step: TimerStep::Precommit };
        clocked.timers.get(&timer).map(|at| at - clocked.rig.now_ms)
    };
    let [first, second, third] = others().try_into().unwrap();
    let wait = u64::try_from(PRECOMMIT.as_millis()).unwrap();
    assert_eq!(hear(first, None), None);
    assert_eq!(hear(second, Some(Digest([7; 32]))), None);
    // A quorum for this or that: the fourth may yet commit the block.
    assert_eq!(hear(third, None), Some(wait));
    // As this node does not: it has seen no proposal.
    let before = clocked.rig.now_ms;
    let timeout = clocked.rig.time_out(0, TimerStep::Propose);
    clocked.note(&timeout);
    for i in [first, third] {
        let effects = clocked.rig.hear(prevote(i, 1, 0, None));
        clocked.note(&effects);
    }
    clocked.await_round(1);
    assert_eq!(clocked.rig.now_ms, before);
}
