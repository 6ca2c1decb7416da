//! The eleven duties of a host (host contract 1 to 11), one test or more for each. What is true
//! of every sequence of effects is asserted in the rig (`support`); the rest of the host's rules
//! are in `rules.rs`.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use support::*;
use symbolon_consensus::{
    Effect, Host, HostError, Input, Message, TimerStep, WireError, wire::MAX_MESSAGE_LEN,
};
use symbolon_ledger::{
    hash::sha256,
    keys::Signature,
    validators::{SetError, ValidatorSet},
    vote::VoteKind,
};

/// A validator that does not propose in round 0 of height 1.
fn bystander() -> usize {
    (turn(1, 0) + 1) % 4
}

fn others_than(me: usize) -> Vec<usize> {
    (0..4).filter(|i| *i != me).collect()
}

// 1

#[test]
fn the_verdict_on_the_body_decides_the_prevote() {
    let good = block(&first(), turn(1, 0), NOW);
    for (valid, expected) in [(true, Some(good.hash())), (false, None)] {
        let mut rig = Rig::begun(config(bystander()));
        let heard = rig.hear(proposal(turn(1, 0), 1, 0, good.hash(), None));
        assert!(votes(&heard).is_empty(), "voted before the body was known");
        assert_eq!(requests(&heard), [good.hash()]);
        let votes = votes(&rig.body(&good, valid));
        assert_eq!(votes.len(), 1);
        assert_eq!((votes[0].kind, votes[0].block), (VoteKind::Prevote, expected));
    }
}

// 2

#[test]
fn nothing_leaves_before_the_log_is_flushed() {
    let me = bystander();
    let mut rig = Rig::begun(config(me));
    let good = block(&first(), turn(1, 0), NOW);
    let mut flushes = 0;
    let mut count = |effects: &[Effect]| {
        flushes += effects.iter().filter(|e| **e == Effect::WalFlush).count();
    };
    count(&rig.hear(proposal(turn(1, 0), 1, 0, good.hash(), None)));
    count(&rig.body(&good, true));
    let mut decision = None;
    for i in others_than(me) {
        count(&rig.hear(prevote(i, 1, 0, Some(good.hash()))));
    }
    for i in others_than(me) {
        let effects = rig.hear(precommit(i, 1, 0, Some(good.hash())));
        decision = decision.or(decided(&effects));
        count(&effects);
    }
    let (block, certificate) = decision.unwrap();
    assert_eq!(block, good.hash());
    certificate.verify(&chain(), &set()).unwrap();
    assert_eq!(flushes, 3, "one for the prevote, one for the precommit, one for the decision");
}

// 3

#[test]
fn hostile_certificates_change_nothing() {
    let me = bystander();
    let mut rig = Rig::begun(config(me));
    let good = block(&first(), turn(1, 0), NOW);
    let everybody = others_than(me);
    let spoil = |message: Message| match message {
        Message::Polka(mut m) => {
            m.seals[0].signature = Signature([1; 64]);
            Message::Polka(m)
        }
        Message::Round(mut m) => {
            m.seals[0].signature = Signature([1; 64]);
            Message::Round(m)
        }
        other => other,
    };
    for bad in [
        spoil(polka(&everybody, 1, 0, good.hash())),
        polka(&everybody[..2], 1, 0, good.hash()),
        polka(&[everybody[0], everybody[0], everybody[0]], 1, 0, good.hash()),
        spoil(nil_round(&everybody, 1, 0)),
        nil_round(&everybody[..2], 1, 0),
    ] {
        let effects = rig.hear(bad);
        assert!(matches!(effects[..], [Effect::Misbehaved { peer: PEER, .. }]), "{effects:?}");
    }
    assert!(requests(&rig.commit(&everybody[..2], 0, good.hash())).is_empty());
    assert_eq!(requests(&rig.commit(&everybody[2..], 0, good.hash())), [good.hash()]);
    assert_eq!(decided(&rig.body(&good, true)).unwrap().0, good.hash());
}

// 4

/// A host that has prevoted `header` in round 0.
fn prevoted(me: usize, header: &symbolon_ledger::block::Header) -> Rig {
    let mut rig = Rig::begun(config(me));
    rig.hear(proposal(turn(1, 0), 1, 0, header.hash(), None));
    assert_eq!(votes(&rig.body(header, true))[0].block, Some(header.hash()));
    rig
}

#[test]
fn a_restart_repeats_what_was_signed() {
    let me = bystander();
    let good = block(&first(), turn(1, 0), NOW);
    let other = block(&first(), turn(1, 0), NOW + 1);
    let rig = prevoted(me, &good);
    let before = rig.log.clone();
    let (mut rig, effects) = rig.crash(config(me), vec![good.clone()]).unwrap();
    let again = votes(&effects);
    assert_eq!(again.len(), 1);
    assert_eq!(again[0], vote(me, VoteKind::Prevote, 1, 0, Some(good.hash())));
    assert_eq!(rig.log, before, "nothing is appended twice");
    let flush = effects.iter().position(|e| *e == Effect::WalFlush).unwrap();
    let sent = effects.iter().position(|e| matches!(e, Effect::Publish(_))).unwrap();
    assert!(flush < sent, "what was read back may not be durable yet");
    // The proposer now shows its other face. It is too late.
    rig.hear(proposal(turn(1, 0), 1, 0, other.hash(), None));
    let effects = rig.body(&other, true);
    assert!(votes(&effects).is_empty());
}

#[test]
fn a_restart_refuses_to_contradict_the_log() {
    let me = bystander();
    let (one, two) = (block(&first(), turn(1, 0), NOW), block(&first(), turn(1, 0), NOW + 1));
    let (mut rig, stranger) = (prevoted(me, &one), prevoted(me, &two));
    let own_vote = rig.log.len() - 1;
    rig.log[own_vote] = stranger.log.last().unwrap().clone();
    let error = rig.crash(config(me), vec![one]).unwrap_err();
    assert!(
        matches!(&error, HostError::Core(text) if text.contains("does not match the recorded")),
        "{error}"
    );
}

#[test]
fn a_vote_that_never_reached_the_log_is_logged_at_replay() {
    let me = bystander();
    let good = block(&first(), turn(1, 0), NOW);
    let mut rig = prevoted(me, &good);
    let entries = rig.log.clone();
    rig.durable -= 1;
    let (rig, effects) = rig.crash(config(me), vec![good]).unwrap();
    assert_eq!(votes(&effects).len(), 1);
    assert_eq!(rig.log, entries);
}

#[test]
fn a_log_of_another_height_is_forgotten_or_fatal() {
    let good = block(&first(), turn(1, 0), NOW);
    let rig = prevoted(bystander(), &good);
    let second = start_after(&[genesis(), good.clone()]);
    let me = || config(bystander());
    let (host, effects) = Host::recover(me(), second, &rig.log, vec![], NOW).unwrap();
    assert_eq!(effects, [Effect::WalReset { height: 2 }]);
    assert!(!host.is_begun());
    let mut ahead = Rig::over(host);
    ahead.step(Input::Begin);
    ahead.time_out(0, TimerStep::Propose);
    let error = Host::recover(me(), first(), &ahead.log, vec![], NOW).unwrap_err();
    assert_eq!(error, HostError::WalAhead { wal: 2, next: 1 });
    let error = Host::recover(me(), first(), &[vec![0xff]], vec![], NOW).unwrap_err();
    assert!(matches!(error, HostError::Wal { index: 0, .. }));
}

// 5

#[test]
fn a_log_that_names_a_body_which_is_gone_is_fatal() {
    let good = block(&first(), turn(1, 0), NOW);
    let rig = prevoted(bystander(), &good);
    assert!(rig.stored.contains(&good.hash()));
    let error = rig.crash(config(bystander()), vec![]).unwrap_err();
    assert_eq!(error, HostError::BodyMissing { block: good.hash(), height: 1 });
}

#[test]
fn our_own_body_is_stored_before_it_is_proposed() {
    let me = turn(1, 0);
    let mut rig = Rig::new(config(me));
    let begun = rig.step(Input::Begin);
    assert!(begun.iter().any(|e| matches!(e, Effect::BuildBlock { height: 1, round: 0, .. })));
    let own = block(&first(), me, NOW);
    let effects = rig.step(Input::BlockBuilt { round: 0, header: own.clone() });
    assert_eq!(effects[0], Effect::StoreBody { block: own.hash() });
    let spread = effects.iter().position(|e| *e == Effect::SpreadBody { block: own.hash() });
    assert!(spread.is_some());
    assert!(rig.step(Input::BlockBuilt { round: 0, header: own }).is_empty(), "asked for once");
}

// 6

#[test]
fn a_height_is_never_started_twice() {
    let good = block(&first(), turn(1, 0), NOW);
    let mut rig = prevoted(bystander(), &good);
    let log = rig.log.clone();
    let effects = rig.step(Input::StartHeight(first()));
    assert!(matches!(effects[..], [Effect::Warning(_)]), "{effects:?}");
    assert!(rig.step(Input::Begin).is_empty());
    assert_eq!(rig.log, log);
}

// 7

#[test]
fn after_a_fault_the_host_does_nothing() {
    let me = bystander();
    let good = block(&first(), turn(1, 0), NOW);
    let mut rig = Rig::begun(config(me));
    rig.commit(&others_than(me), 0, good.hash());
    // More than two thirds committed what does not hold here.
    let fault = rig.try_step(Input::BodyValidated { header: good.clone(), valid: false });
    let expected = HostError::CertifiedBlockInvalid { block: good.hash(), height: 1 };
    assert_eq!(fault.unwrap_err(), expected);
    assert_eq!(rig.try_step(Input::Tick).unwrap_err(), HostError::Stopped);
    let heard = Input::Message { message: prevote(0, 1, 0, None), from: PEER };
    assert_eq!(rig.try_step(heard).unwrap_err(), HostError::Stopped);
}

#[test]
fn a_tip_that_was_not_decided_is_fatal() {
    let good = block(&first(), turn(1, 0), NOW);
    let mut rig = Rig::begun(config(bystander()));
    rig.commit(&others_than(bystander()), 0, good.hash());
    rig.body(&good, true);
    let other = block(&first(), turn(1, 0), NOW + 1);
    let start = start_after(&[genesis(), other.clone()]);
    let error = rig.try_step(Input::StartHeight(start)).unwrap_err();
    let (decided, actual) = (good.hash(), other.hash());
    assert_eq!(error, HostError::WrongParent { height: 1, decided, actual });
}

// 8

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let run = || {
        let mut rig = Rig::new(config(bystander()));
        let good = block(&first(), turn(1, 0), NOW);
        let mut all = rig.step(Input::Begin);
        all.extend(rig.hear(proposal(turn(1, 0), 1, 0, good.hash(), None)));
        all.extend(rig.body(&good, true));
        all.extend(rig.time_out(0, TimerStep::Rebroadcast));
        for i in 0..4 {
            all.extend(rig.hear(prevote(i, 1, 0, None)));
        }
        all.extend(rig.time_out(0, TimerStep::Prevote));
        (all, rig.log)
    };
    assert_eq!(run(), run());
}

// 9

#[test]
fn floods_are_bounded() {
    let me = bystander();
    let mut rig = Rig::begun(config(me));
    // Rounds out of sight cost nothing.
    for round in 100..1_100 {
        assert!(rig.hear(prevote(0, 1, round, None)).is_empty());
    }
    // A proposer that names a thousand blocks makes us fetch two.
    let asked: usize = (0..1_000u64)
        .map(|n| {
            requests(&rig.hear(proposal(turn(1, 0), 1, 0, sha256(&n.to_be_bytes()), None))).len()
        })
        .sum();
    assert_eq!(asked, 2);
    let named = || proposal(turn(1, 0), 1, 0, sha256(&0u64.to_be_bytes()), None);
    let again: usize = (0..100).map(|_| rig.hear(named()).len()).sum();
    assert_eq!(again, 0, "asked for once in a round");
    // A voter that contradicts itself is written down a few times, and then not read any more.
    let logged: usize = (0..1_000u64)
        .map(|n| rig.hear(prevote(0, 1, 0, Some(sha256(&n.to_be_bytes())))).len())
        .sum();
    assert!(logged <= 5, "{logged} effects for one liar");
    // Other heights are not even looked at; what is kept of the next one is the edge's.
    assert!(rig.hear(prevote(0, 2, 0, None)).is_empty());
    // And what is too long is not even read.
    let error = Message::decode(&vec![0; MAX_MESSAGE_LEN + 1]).unwrap_err();
    assert!(matches!(error, WireError::Encoding(_)));
}

// 10

#[test]
fn the_core_is_the_release_whose_manual_was_read() {
    let manifest = include_str!("../../Cargo.toml");
    for name in ["arc-malachitebft-core-consensus", "arc-malachitebft-core-types"] {
        let pin = format!("package = \"{name}\", version = \"=0.8.2\"");
        assert!(manifest.contains(&pin), "{name} must be pinned; read its manual before moving on");
    }
}

// 11

#[test]
fn everybody_knows_the_same_proposer() {
    let mut shuffled = set().validators().to_vec();
    shuffled.swap(0, 3);
    assert_eq!(ValidatorSet::new(shuffled), Err(SetError::Order));
    let proposers = |me: usize| {
        let mut rig = Rig::new(config(me));
        let mut effects = rig.step(Input::Begin);
        for round in 0..8 {
            effects.extend(rig.hear(nil_round(&others_than(me)[..3], 1, round)));
            effects.extend(rig.time_out(round, TimerStep::Precommit));
        }
        let proposer = |effect: &Effect| match effect {
            Effect::StartedRound { round, proposer, .. } => Some((*round, *proposer)),
            _ => None,
        };
        effects.iter().filter_map(proposer).collect::<Vec<_>>()
    };
    let expected: Vec<_> = (0..9).map(|round| (round, province(turn(1, round)))).collect();
    for me in 0..4 {
        assert_eq!(proposers(me), expected);
    }
}
