//! A stall explains itself, and ends by itself. The clock is the test's.

use symbolon_consensus::{Input, Message, Peer, Verified, mark::WATCH_MARGIN_MS};
use symbolon_ledger::vote::VoteKind;

use super::{
    super::{Event, Heard, Stall, Voting},
    rig::{PEER, Rig, sign_state},
};

/// Longer than a validator of this chain may be silent.
const LONG_MS: u64 = 31_000;

/// Hears a message as it comes from the network.
fn hear(rig: &mut Rig, message: Message) {
    let (chain, set) = (rig.engine.parts.store.chain_id(), &rig.engine.host.start().validators);
    let message = Verified::check(&chain, set, message).unwrap();
    rig.engine.handle(Event::Checked { message, from: Peer(PEER.0) }).unwrap();
}

fn stall(rig: &mut Rig) -> Option<Stall> {
    rig.engine.publish_status();
    rig.engine.status.borrow().stall.clone()
}

#[test]
fn a_stall_names_who_is_missing_and_where_they_were_and_ends_with_the_quorum() {
    let mut rig = Rig::begun();
    assert_eq!(stall(&mut rig), None, "nobody is missed so soon");
    let message = Message::Vote(rig.vote(1, VoteKind::Prevote, 0, None));
    hear(&mut rig, message);
    let heard_ms = rig.now();
    rig.pass(LONG_MS);
    let found = stall(&mut rig).unwrap();
    assert_eq!((found.height, found.answering, found.quorum), (1, 1, 3));
    assert_eq!(found.since_ms, heard_ms);
    let mut named: Vec<_> = found.missing.iter().map(|v| (v.province, v.last)).collect();
    named.sort_by_key(|(province, _)| *province);
    let last = Heard { height: 1, round: 0, at_ms: heard_ms };
    let mut expected: Vec<_> = (1..4).map(|i| (rig.keys[i].province, None)).collect();
    expected[0].1 = Some(last);
    expected.sort_by_key(|(province, _)| *province);
    assert_eq!(named, expected);
    // One of them speaks again: two of three answer.
    let message = Message::Vote(rig.vote(2, VoteKind::Prevote, 0, None));
    hear(&mut rig, message);
    let found = stall(&mut rig).unwrap();
    assert_eq!((found.answering, found.missing.len()), (2, 2));
    // With a third it is no stall any more, before anything is decided; and then it is decided.
    let block = rig.block(0, rig.now());
    let message = rig.proposal(0, block.hash());
    hear(&mut rig, message);
    rig.receive(&block);
    rig.work();
    let message = Message::Vote(rig.vote(1, VoteKind::Precommit, 0, Some(block.hash())));
    hear(&mut rig, message);
    assert_eq!(stall(&mut rig), None);
    for i in 2..4 {
        let message = Message::Vote(rig.vote(i, VoteKind::Precommit, 0, Some(block.hash())));
        hear(&mut rig, message);
    }
    assert_eq!(rig.engine.host.height(), 2);
    assert_eq!(stall(&mut rig), None);
}

#[test]
fn a_node_that_catches_up_does_not_call_it_a_stall() {
    let mut rig = Rig::begun();
    rig.pass(LONG_MS);
    assert!(stall(&mut rig).is_some());
    for peer in [7, 8] {
        rig.engine.heard_of_tip(crate::network::PeerIndex(peer), 5);
    }
    rig.engine.sync_if_behind();
    check_behind(&mut rig);
}

/// Checks that it calls itself behind, and nothing else.
fn check_behind(rig: &mut Rig) {
    assert_eq!(stall(rig), None);
    let status = rig.engine.status.borrow();
    assert!(status.syncing && status.validators_missing.is_empty(), "{status:?}");
}

#[test]
fn a_node_that_waits_for_a_snapshot_or_for_a_peer_is_behind_and_names_no_stall() {
    let check = |wait: &dyn Fn(&mut Rig)| {
        let mut rig = Rig::begun();
        rig.engine.peers.extend([7, 8].map(crate::network::PeerIndex));
        let claim = |rig: &mut Rig, tip| {
            for peer in [7, 8] {
                rig.engine.heard_of_tip(crate::network::PeerIndex(peer), tip);
            }
        };
        claim(&mut rig, 5);
        wait(&mut rig);
        rig.pass(LONG_MS);
        check_behind(&mut rig);
        // They take it back: now it listens for as long as anybody may be silent.
        claim(&mut rig, 0);
        assert_eq!(stall(&mut rig), None);
        assert!(!rig.engine.status.borrow().syncing);
        rig.pass(LONG_MS);
        assert!(stall(&mut rig).is_some());
    };
    check(&|rig| {
        rig.join_by_snapshot();
        rig.engine.sync_if_behind();
        assert!(rig.wishes().blocks.is_empty(), "block sync waits");
    });
    check(&|rig| {
        rig.engine.sync_if_behind();
        rig.engine.sync_failed(1);
    });
}

#[test]
fn a_node_with_one_peer_believes_that_it_is_behind() {
    let mut rig = Rig::begun();
    rig.engine.peers.insert(PEER);
    rig.engine.heard_of_tip(PEER, 5);
    rig.engine.sync_if_behind();
    rig.pass(LONG_MS);
    check_behind(&mut rig);
}

#[test]
fn a_node_says_whether_it_votes_and_why_not() {
    let voting = |rig: &mut Rig| {
        rig.engine.publish_status();
        rig.engine.status.borrow().voting
    };
    let mut rig = Rig::begun();
    assert_eq!(voting(&mut rig), Voting::Votes);
    let block = rig.block(0, rig.now());
    let message = rig.proposal(0, block.hash());
    hear(&mut rig, message);
    rig.receive(&block);
    rig.work();
    let mut rig = rig.restart_after(|_, disk| disk.wipe()).unwrap();
    assert_eq!(voting(&mut rig), Voting::BelowMark);
    let mut rig =
        rig.restart_after(|folder, _| std::fs::remove_file(sign_state(folder)).unwrap()).unwrap();
    assert_eq!(voting(&mut rig), Voting::LooksOn);
    rig.pass(WATCH_MARGIN_MS);
    rig.grow();
    rig.grow();
    rig.engine.step(Input::Begin).unwrap();
    assert_eq!(voting(&mut rig), Voting::Votes);
}
