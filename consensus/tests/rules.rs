//! The rules of our own that the host keeps beyond its contract: membership, turns, blocks from
//! the future, catching up, evidence, pacing; and the bytes on the wire.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use support::*;
use symbolon_consensus::{
    BadMessage, Config, Effect, Evidence, Host, HostError, Input, Message, TimerStep, Verified,
    WireError,
    validity::{
        InvalidBlock, NotCommitted, Outcome, check_committed, check_header, check_outcome,
        proposal_time,
    },
    wire::MAX_ROUND,
};
use symbolon_ledger::{
    block::{Header, MAX_BLOCK_BYTES, MAX_BLOCK_TRANSACTIONS},
    certificate::Certificate,
    hash::sha256,
    keys::Signature,
    operation::Operation,
    validators::ValidatorSet,
    vote::VoteKind,
};

fn bystander() -> usize {
    (turn(1, 0) + 1) % 4
}

fn others() -> Vec<usize> {
    (0..4).filter(|i| *i != bystander()).collect()
}

fn honest_block() -> Header {
    block(&first(), turn(1, 0), NOW)
}

// Who votes

#[test]
fn a_set_that_the_tip_does_not_name_is_refused() {
    let mut start = first();
    start.validators = ValidatorSet::new(set().validators()[..3].to_vec()).unwrap();
    let error = Host::new(config(0), start).unwrap_err();
    assert!(matches!(error, HostError::Membership(_)), "{error}");
    let mut start = first();
    start.parent.chain_id = sha256(b"another chain");
    let error = Host::new(config(0), start).unwrap_err();
    assert!(matches!(error, HostError::WrongChain { .. }), "{error}");
}

#[test]
fn only_the_key_in_the_set_votes() {
    let outdated = Config { identity: Some((province(bystander()), key(9))), ..observer() };
    let stranger = Config { identity: Some(("65".parse().unwrap(), key(9))), ..observer() };
    for who in [observer(), outdated, stranger] {
        let mut rig = Rig::begun(who);
        let good = honest_block();
        let mut effects = rig.hear(proposal(turn(1, 0), 1, 0, good.hash(), None));
        effects.extend(rig.body(&good, true));
        effects.extend(rig.time_out(0, TimerStep::Rebroadcast));
        for i in others() {
            effects.extend(rig.hear(precommit(i, 1, 0, Some(good.hash()))));
        }
        assert!(votes(&effects).is_empty());
        assert_eq!(decided(&effects).unwrap().0, good.hash(), "it still follows");
    }
}

/// So a validator's key is rotated while the node runs.
#[test]
fn of_two_keys_the_one_in_the_set_votes() {
    let own = bystander();
    for (first_key, next_key) in [(own, 9), (9, own)] {
        let identity = Some((province(own), key(first_key)));
        let mut rig = Rig::begun(Config { identity, next_key: Some(key(next_key)), ..observer() });
        let good = honest_block();
        let mut effects = rig.hear(proposal(turn(1, 0), 1, 0, good.hash(), None));
        effects.extend(rig.body(&good, true));
        let expected = vote(own, VoteKind::Prevote, 1, 0, Some(good.hash()));
        assert_eq!(votes(&effects), [expected], "{first_key} {next_key}");
    }
}

#[test]
fn messages_of_strangers_and_bad_signatures_are_blamed() {
    let mut rig = Rig::begun(config(bystander()));
    let Message::Vote(mut stranger) = prevote(0, 1, 0, None) else { panic!("a vote") };
    stranger.province = "65".parse().unwrap();
    let Message::Vote(mut forged) = prevote(0, 1, 0, None) else { panic!("a vote") };
    forged.round = 1;
    let not_a_validator = BadMessage::NotAValidator { province: stranger.province };
    let bad_signature = BadMessage::BadSignature { province: forged.province };
    for (vote, reason) in [(stranger, not_a_validator), (forged, bad_signature)] {
        let blamed = rig.hear(Message::Vote(vote.clone()));
        let expected = Effect::Misbehaved { peer: PEER, reason };
        assert_eq!(blamed, [expected]);
        Verified::check(&chain(), &set(), Message::Vote(vote)).unwrap_err();
    }
}

#[test]
fn a_message_checked_elsewhere_is_checked_again_under_another_key() {
    // Checked under a set in which province 0 has another key.
    let mut validators = set().validators().to_vec();
    validators[0].key = key(9).public_key();
    let other_set = ValidatorSet::new(validators).unwrap();
    let Message::Vote(mut vote) = prevote(0, 1, 0, None) else { panic!("a vote") };
    let bytes = symbolon_ledger::vote::vote_bytes(VoteKind::Prevote, &chain(), 1, 0, None);
    vote.signature = key(9).sign(&bytes);
    let message = Verified::check(&chain(), &other_set, Message::Vote(vote)).unwrap();
    let mut rig = Rig::begun(config(bystander()));
    let effects = rig.step(Input::Verified { message, from: PEER });
    assert!(matches!(effects[..], [Effect::Misbehaved { .. }]), "{effects:?}");
    let message = Verified::check(&chain(), &set(), prevote(0, 1, 0, None)).unwrap();
    let effects = rig.step(Input::Verified { message, from: PEER });
    assert!(matches!(effects[..], [Effect::WalAppend(_)]), "{effects:?}");
}

// Whose turn it is

#[test]
fn a_proposal_out_of_turn_is_blamed() {
    let mut rig = Rig::begun(config(bystander()));
    let usurper = (turn(1, 0) + 2) % 4;
    let own = block(&first(), usurper, NOW);
    let effects = rig.hear(proposal(usurper, 1, 0, own.hash(), None));
    let reason = BadMessage::OutOfTurn { province: province(usurper), round: 0 };
    assert_eq!(effects, [Effect::Misbehaved { peer: PEER, reason: reason.clone() }]);
    // Nobody honest passes it on, so whoever delivers it may be blamed for it.
    let message = proposal(usurper, 1, 0, own.hash(), None);
    assert_eq!(Verified::check(&chain(), &set(), message), Err(reason));
}

#[test]
fn another_provinces_block_needs_a_proof_of_lock() {
    // The proposer of round 1 repeats the block of round 0; a third province listens.
    let (old, again, me) = (honest_block(), turn(1, 1), (turn(1, 0) + 2) % 4);
    let all: Vec<usize> = (0..4).filter(|i| *i != me).collect();
    let mut rig = Rig::begun(config(me));
    rig.hear(nil_round(&all, 1, 0));
    rig.time_out(0, TimerStep::Precommit);
    assert_eq!(rig.host.round(), Some(1));
    rig.hear(proposal(again, 1, 1, old.hash(), None));
    let effects = rig.body(&old, true);
    assert!(votes(&effects).is_empty(), "without a proof of lock it counts for nothing");
    // Honest peers pass such a proposal on before they have the body: nobody is blamed.
    assert!(matches!(effects[..], [Effect::Warning(_), ..]), "{effects:?}");
    assert!(!effects.iter().any(|e| matches!(e, Effect::Misbehaved { .. })), "{effects:?}");
    let known = rig.hear(proposal(again, 1, 1, old.hash(), None));
    assert!(matches!(known[..], [Effect::Warning(_)]), "{known:?}");
    rig.hear(polka(&all, 1, 0, old.hash()));
    let heard = rig.hear(proposal(again, 1, 1, old.hash(), Some(0)));
    assert_eq!(votes(&heard)[0].block, Some(old.hash()));
}

// Blocks

#[test]
fn a_header_is_held_against_its_parent() {
    let start = first();
    let good = honest_block();
    check_header(&chain(), &start, &good).unwrap();
    let odd = sha256(b"odd");
    let time = |time_ms| Header { time_ms, ..good.clone() };
    for (name, bad) in [
        ("version", Header { version: 9, ..good.clone() }),
        ("chain_id", Header { chain_id: odd, ..good.clone() }),
        ("height", Header { height: 2, ..good.clone() }),
        ("parent", Header { parent: odd, ..good.clone() }),
        ("history_root", Header { history_root: odd, ..good.clone() }),
        ("validators_hash", Header { validators_hash: odd, ..good.clone() }),
    ] {
        let error = check_header(&chain(), &start, &bad).unwrap_err();
        assert!(matches!(error, InvalidBlock::Field { field, .. } if field == name), "{error}");
    }
    for bad in [time(start.parent.time_ms), time(0)] {
        let error = check_header(&chain(), &start, &bad).unwrap_err();
        assert!(matches!(error, InvalidBlock::Time { .. }), "{error}");
    }
    for proposer in [None, Some("65".parse().unwrap())] {
        let error =
            check_header(&chain(), &start, &Header { proposer, ..good.clone() }).unwrap_err();
        assert_eq!(error, InvalidBlock::Proposer { province: proposer });
    }
    check_header(&chain(), &start, &time(u64::MAX)).expect("no clock enters validity");
}

#[test]
fn a_header_is_held_against_its_execution() {
    let good = honest_block();
    let outcome = Outcome {
        transactions_root: good.transactions_root,
        state_root: good.state_root,
        next_validators_hash: good.next_validators_hash,
        transactions: MAX_BLOCK_TRANSACTIONS,
        bytes: MAX_BLOCK_BYTES,
    };
    check_outcome(&good, &outcome).unwrap();
    let odd = sha256(b"odd");
    for bad in [
        Outcome { transactions_root: odd, ..outcome },
        Outcome { state_root: odd, ..outcome },
        Outcome { next_validators_hash: odd, ..outcome },
        Outcome { transactions: MAX_BLOCK_TRANSACTIONS + 1, ..outcome },
        Outcome { bytes: MAX_BLOCK_BYTES + 1, ..outcome },
    ] {
        check_outcome(&good, &bad).unwrap_err();
    }
    assert_eq!(proposal_time(5, &good), good.time_ms + 1);
    assert_eq!(proposal_time(good.time_ms + 5, &good), good.time_ms + 5);
}

#[test]
fn an_invalid_header_is_prevoted_nil_whatever_execution_says() {
    let bad = Header { parent: sha256(b"odd"), ..honest_block() };
    let mut rig = Rig::begun(config(bystander()));
    rig.hear(proposal(turn(1, 0), 1, 0, bad.hash(), None));
    let effects = rig.body(&bad, true);
    assert_eq!(votes(&effects)[0].block, None);
    assert!(rig.stored.is_empty());
}

#[test]
fn a_block_from_the_future_is_held_until_the_clock_reaches_it() {
    let early = block(&first(), turn(1, 0), NOW + 2_500);
    let mut rig = Rig::begun(config(bystander()));
    rig.hear(proposal(turn(1, 0), 1, 0, early.hash(), None));
    let effects = rig.body(&early, true);
    let until_ms = NOW + 1_500;
    let expected =
        [Effect::Held { block: early.hash(), until_ms }, Effect::WakeAt { time_ms: until_ms }];
    assert!(effects.ends_with(&expected), "{effects:?}");
    assert!(rig.stored.is_empty() && votes(&effects).is_empty());
    rig.now_ms = until_ms - 1;
    assert!(rig.step(Input::Tick).is_empty());
    rig.now_ms = until_ms;
    assert_eq!(votes(&rig.step(Input::Tick))[0].block, Some(early.hash()));
}

#[test]
fn a_block_from_the_future_is_fed_at_once_when_a_quorum_accepts_it() {
    let early = block(&first(), turn(1, 0), NOW + 1_000_000);
    let held = || {
        let mut rig = Rig::begun(config(bystander()));
        rig.hear(proposal(turn(1, 0), 1, 0, early.hash(), None));
        rig.body(&early, true);
        assert!(rig.stored.is_empty());
        rig
    };
    // Two prevotes are no polka; the third makes one.
    let mut rig = held();
    for (i, accepted) in others().into_iter().zip([false, false, true]) {
        rig.hear(prevote(i, 1, 0, Some(early.hash())));
        assert_eq!(rig.stored.contains(&early.hash()), accepted);
    }
    let mut rig = held();
    rig.hear(polka(&others(), 1, 0, early.hash()));
    assert!(rig.stored.contains(&early.hash()));
    let mut rig = held();
    let effects: Vec<_> = others()
        .into_iter()
        .flat_map(|i| rig.hear(precommit(i, 1, 0, Some(early.hash()))))
        .collect();
    assert_eq!(decided(&effects).unwrap().0, early.hash());
}

// Catching up

#[test]
fn a_commit_is_followed_without_the_proposal() {
    let good = honest_block();
    let mut rig = Rig::begun(config(bystander()));
    let effects: Vec<_> = others()
        .into_iter()
        .flat_map(|i| rig.hear(precommit(i, 1, 0, Some(good.hash()))))
        .collect();
    assert_eq!(requests(&effects), [good.hash()]);
    assert_eq!(decided(&rig.body(&good, true)).unwrap().0, good.hash());
}

#[test]
fn a_polka_asks_for_the_body_it_is_about() {
    let good = honest_block();
    let mut rig = Rig::begun(config(bystander()));
    assert_eq!(requests(&rig.hear(polka(&others(), 1, 0, good.hash()))), [good.hash()]);
    let repeated = rig.time_out(0, TimerStep::Rebroadcast);
    assert_eq!(requests(&repeated), [good.hash()], "asked again while it is missing");
    rig.body(&good, true);
    assert!(requests(&rig.time_out(0, TimerStep::Rebroadcast)).is_empty());
}

#[test]
fn a_commit_of_a_later_round_replays_to_that_round_and_signs_nothing_else() {
    // Precommits of round 3 carry this node there; it votes there; it crashes.
    let good = honest_block();
    let me = bystander();
    let mut rig = Rig::begun(config(me));
    rig.commit(&others(), 3, good.hash());
    assert_eq!(rig.host.round(), Some(3));
    let before = votes(&rig.time_out(3, TimerStep::Propose));
    assert_eq!((before[0].round, before[0].block), (3, None));
    let (rig, effects) = rig.crash(config(me), vec![]).unwrap();
    assert_eq!(rig.host.round(), Some(3));
    assert!(votes(&effects).contains(&before[0]));
    assert_eq!(requests(&effects), [good.hash()], "the commit is known from the log");
}

#[test]
fn a_fetched_block_needs_a_certificate_of_its_own() {
    let (start, good) = (first(), honest_block());
    let check = |header: &Header, certificate: &Certificate| {
        check_committed(&chain(), &start, header, certificate)
    };
    let all = others();
    check(&good, &certificate(&all, 1, 5, good.hash())).unwrap();
    let few = check(&good, &certificate(&all[..2], 1, 0, good.hash())).unwrap_err();
    assert!(matches!(few, NotCommitted::Certificate(_)), "{few}");
    let mut forged = certificate(&all, 1, 0, good.hash());
    forged.round = 1;
    assert!(matches!(check(&good, &forged), Err(NotCommitted::Certificate(_))));
    let other = certificate(&all, 1, 0, sha256(b"another"));
    assert!(matches!(check(&good, &other), Err(NotCommitted::OtherBlock { .. })));
    let later = Header { height: 2, ..good.clone() };
    let certified = certificate(&all, 2, 0, later.hash());
    assert!(matches!(check(&later, &certified), Err(NotCommitted::Block(_))));
}

#[test]
fn a_missing_body_is_asked_for_again_until_it_comes() {
    // Locked voters may have nothing to propose but the block whose body got lost on the way.
    let (old, again, me) = (honest_block(), turn(1, 1), (turn(1, 0) + 2) % 4);
    let all: Vec<usize> = (0..4).filter(|i| *i != me).collect();
    let mut rig = Rig::begun(config(me));
    assert_eq!(requests(&rig.hear(proposal(turn(1, 0), 1, 0, old.hash(), None))), [old.hash()]);
    rig.hear(nil_round(&all, 1, 0));
    let entered = rig.time_out(0, TimerStep::Precommit);
    assert_eq!(requests(&entered), [old.hash()], "in every round");
    let proposed = rig.hear(proposal(again, 1, 1, old.hash(), Some(0)));
    assert_eq!(requests(&proposed), [old.hash()], "and when somebody has it to propose");
    rig.body(&old, true);
    assert!(requests(&rig.hear(proposal(again, 1, 1, old.hash(), Some(0)))).is_empty());
}

#[test]
fn a_height_outlasts_any_number_of_failed_rounds() {
    let me = bystander();
    let all: Vec<usize> = (0..4).filter(|i| *i != me).collect();
    let fail = |rig: &mut Rig, round: u32| {
        // Two blocks a round that nobody ever gives.
        for n in [0, 1] {
            let name = sha256(&[round.to_be_bytes(), [n; 4]].concat());
            if turn(1, round) != me {
                rig.hear(proposal(turn(1, round), 1, round, name, None));
            }
        }
        rig.hear(nil_round(&all, 1, round));
        rig.time_out(round, TimerStep::Precommit)
    };
    let last = (70..).find(|round| turn(1, *round) != me).unwrap();
    for restarts in [false, true] {
        let mut rig = Rig::begun(config(me));
        for round in 0..last {
            let asked = requests(&fail(&mut rig, round)).len();
            assert!(asked <= 22, "{asked} bodies are waited for in round {round}");
        }
        if restarts {
            rig = rig.crash(config(me), vec![]).unwrap().0;
        }
        assert_eq!(rig.host.round(), Some(last));
        let good = block(&first(), turn(1, last), NOW);
        let heard = rig.hear(proposal(turn(1, last), 1, last, good.hash(), None));
        assert_eq!(requests(&heard), [good.hash()], "restarts: {restarts}");
        assert_eq!(votes(&rig.body(&good, true))[0].block, Some(good.hash()));
    }
}

#[test]
fn our_proposal_is_repeated_with_our_votes() {
    let me = turn(1, 0);
    let mut rig = Rig::begun(config(me));
    let own = block(&first(), me, NOW);
    rig.step(Input::BlockBuilt { round: 0, header: own.clone() });
    let repeated = rig.time_out(0, TimerStep::Rebroadcast);
    let again = proposal(me, 1, 0, own.hash(), None);
    let is_it = |e: &Effect| matches!(e, Effect::Publish(v) if *v.message() == again);
    assert!(repeated.contains(&Effect::SpreadBody { block: own.hash() }));
    assert!(repeated.iter().any(is_it));
    assert_eq!(votes(&repeated).len(), 1);
    // In the next round it is somebody else's turn.
    let all: Vec<usize> = (0..4).filter(|i| *i != me).collect();
    rig.hear(nil_round(&all, 1, 0));
    rig.time_out(0, TimerStep::Precommit);
    assert!(!rig.time_out(1, TimerStep::Rebroadcast).iter().any(is_it));
}

// Pacing

#[test]
fn a_prepared_height_is_silent_until_work_or_a_checked_message() {
    let mut rig = Rig::new(config(bystander()));
    assert!(!rig.host.is_begun());
    let Message::Vote(mut forged) = prevote(0, 1, 0, None) else { panic!("a vote") };
    forged.signature = Signature([3; 64]);
    rig.hear(Message::Vote(forged));
    assert!(!rig.host.is_begun(), "a forged message begins nothing");
    rig.hear(prevote(0, 1, 0, None));
    assert!(rig.host.is_begun());
}

#[test]
fn one_voter_alone_starts_no_height_before_its_time() {
    let fresh = || {
        let mut rig = Rig::new(config(bystander()));
        rig.now_ms = genesis().time_ms + 10;
        rig
    };
    let logged =
        |effects: &[Effect]| effects.iter().filter(|e| matches!(e, Effect::WalAppend(_))).count();
    let (liar, other) = (others()[1], others()[2]);
    let time_ms = genesis().time_ms + 1_000;
    let called = || {
        let mut rig = fresh();
        assert_eq!(rig.hear(prevote(liar, 1, 0, None)), [Effect::WakeAt { time_ms }]);
        for round in 0..10 {
            rig.hear(prevote(liar, 1, round, Some(sha256(b"block"))));
            rig.hear(precommit(liar, 1, round, None));
        }
        assert!(!rig.host.is_begun(), "one liar started the height");
        rig
    };
    // A second voter is more than a third of four; what waited is heard.
    let mut rig = called();
    let effects = rig.hear(prevote(other, 1, 0, None));
    assert!(rig.host.is_begun());
    assert!(logged(&effects) >= 3, "{effects:?}");
    // So is the first proposal, and the time.
    let mut rig = called();
    rig.hear(proposal(turn(1, 0), 1, 0, honest_block().hash(), None));
    assert!(rig.host.is_begun());
    let mut rig = called();
    rig.now_ms = time_ms - 1;
    rig.step(Input::Tick);
    assert!(!rig.host.is_begun());
    rig.now_ms = time_ms;
    assert!(logged(&rig.step(Input::Tick)) >= 2);
    assert!(rig.host.is_begun());
}

// Evidence

#[test]
fn two_votes_of_one_round_are_evidence() {
    let good = honest_block();
    let liar = others()[0];
    let mut rig = Rig::begun(config(bystander()));
    rig.hear(proposal(turn(1, 0), 1, 0, good.hash(), None));
    rig.body(&good, true);
    let (one, two) = (prevote(liar, 1, 0, None), prevote(liar, 1, 0, Some(good.hash())));
    rig.hear(one.clone());
    // At once: the height may never end.
    let mut effects = rig.hear(two.clone());
    assert_eq!(effects.iter().filter(|e| matches!(e, Effect::EvidenceFound(_))).count(), 1);
    // And once, though the core hands it over again at the end.
    effects
        .extend(others().into_iter().flat_map(|i| rig.hear(precommit(i, 1, 0, Some(good.hash())))));
    let found: Vec<_> = effects
        .iter()
        .filter_map(|e| match e {
            Effect::EvidenceFound(evidence) => Some(evidence),
            _ => None,
        })
        .collect();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].province, &found[0].first, &found[0].second),
        (province(liar), &one, &two)
    );
}

/// What was signed is read back from the operation, and holds under the key of the liar.
#[test]
fn evidence_becomes_an_operation_with_the_bytes_that_were_signed() {
    let block = |name: &[u8]| sha256(name);
    for (first, second) in [
        (prevote(2, 7, 3, None), prevote(2, 7, 3, Some(block(b"a")))),
        (precommit(2, 7, 3, Some(block(b"b"))), precommit(2, 7, 3, Some(block(b"a")))),
        (proposal(2, 7, 3, block(b"a"), None), proposal(2, 7, 3, block(b"a"), Some(1))),
    ] {
        let evidence = Evidence { province: province(2), first, second };
        let turned = Evidence {
            first: evidence.second.clone(),
            second: evidence.first.clone(),
            ..evidence.clone()
        };
        let operation = evidence.operation(&chain()).unwrap();
        assert_eq!(turned.operation(&chain()), Some(operation.clone()), "one spelling");
        let Operation::Evidence { province: guilty, first, second } = operation else {
            panic!("another operation");
        };
        assert_eq!(guilty, province(2));
        assert!(first.statement < second.statement);
        for said in [first, second] {
            said.verify(&key(2).public_key()).unwrap();
            let read = said.read().unwrap();
            assert_eq!((read.chain, read.height, read.round), (chain(), 7, 3));
        }
    }
    let certificate = polka(&[0, 1, 2], 1, 0, block(b"a"));
    let (first, second) = (certificate.clone(), certificate);
    let none = Evidence { province: province(2), first, second };
    assert_eq!(none.operation(&chain()), None);
}

// Bytes

#[test]
fn messages_read_back_and_have_one_spelling() {
    let some = Some(sha256(b"block"));
    let all = [
        prevote(0, 1, 0, None),
        precommit(1, u64::MAX, MAX_ROUND, some),
        proposal(2, 3, 4, sha256(b"block"), Some(3)),
        polka(&[0, 1, 2], 1, 0, sha256(b"block")),
        nil_round(&[0, 1, 3], 1, 2),
    ];
    for message in &all {
        let bytes = message.encode();
        assert_eq!(Message::decode(&bytes).as_ref(), Ok(message));
        for cut in 0..bytes.len() {
            Message::decode(&bytes[..cut]).unwrap_err();
        }
        // Whatever a flipped byte makes of it, it is an error or another message, never a panic
        // and never a second spelling.
        for at in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut hostile = bytes.clone();
                hostile[at] ^= flip;
                if let Ok(read) = Message::decode(&hostile) {
                    assert_ne!(&read, message);
                    assert_eq!(read.encode(), hostile);
                }
            }
        }
    }
    // Changing what stands on the wire is a deliberate act: raise `wire::VERSION` with it.
    let together: Vec<u8> = all.iter().flat_map(Message::encode).collect();
    let fixture = "b0f5381e59bc5d1d52328a366ad913c243d04acc92494d71efd47dfdb7fd3af1";
    assert_eq!(sha256(&together).to_string(), fixture);
}

#[test]
fn misshapen_messages_are_refused() {
    let block = sha256(b"block");
    let empty = |message: Message| match message {
        Message::Polka(mut m) => {
            m.seals.clear();
            Message::Polka(m)
        }
        other => other,
    };
    let many = |message: Message| match message {
        Message::Polka(mut m) => {
            m.seals = vec![m.seals[0].clone(); 65];
            Message::Polka(m)
        }
        other => other,
    };
    let refused = |message: Message| Message::decode(&message.encode()).unwrap_err();
    assert_eq!(refused(empty(polka(&[0], 1, 0, block))), WireError::SignatureCount { count: 0 });
    assert_eq!(refused(many(polka(&[0], 1, 0, block))), WireError::SignatureCount { count: 65 });
    let round = MAX_ROUND + 1;
    assert_eq!(refused(prevote(0, 1, round, None)), WireError::Round { round });
    let same = refused(proposal(0, 1, 2, block, Some(2)));
    assert_eq!(same, WireError::PolRound { round: 2, pol_round: 2 });
    let mut other_version = prevote(0, 1, 0, None).encode();
    other_version[1] = 2;
    assert_eq!(Message::decode(&other_version), Err(WireError::Version { found: 2 }));
}

#[test]
fn a_host_may_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Host>();
    is_send::<Input>();
    is_send::<Effect>();
}
