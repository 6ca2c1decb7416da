//! Catching up: who is asked, what is believed, who is blamed, and how consensus goes on.

use std::time::{Duration, Instant};

use symbolon_consensus::{Input, Message, timing};
use symbolon_ledger::{codec, hash::sha256, vote::VoteKind};

use super::{
    super::{EngineError, Event},
    log::said,
    rig::{PEER, Rig},
};
use crate::{join::HEAD_START, network::PeerIndex, pool::Offerer};

const OTHER: PeerIndex = PeerIndex(8);

/// A chain of so many blocks as another node has it.
fn chain(length: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut donor = Rig::new();
    (0..length).map(|_| donor.grow()).collect()
}

/// One that has heard of a chain of so many blocks and has asked for it.
fn behind(length: u64) -> Rig {
    let mut rig = Rig::new();
    rig.engine.heard_of_tip(PEER, length);
    rig.engine.sync_if_behind();
    assert_eq!(rig.wishes().blocks, [(1, length.min(128), Some(PEER))]);
    rig
}

fn syncing(rig: &mut Rig) -> bool {
    rig.engine.publish_status();
    rig.engine.status.borrow().syncing
}

#[test]
fn a_node_that_was_away_catches_up_and_goes_on_with_consensus() {
    let blocks = chain(4);
    let mut rig = behind(4);
    rig.engine.fetched(1, blocks[..2].to_vec(), PEER);
    assert!(syncing(&mut rig), "blocks are coming");
    rig.engine.fetched(3, blocks[2..].to_vec(), PEER);
    // Nothing is asked for again while what was asked for is on its way.
    rig.engine.heard_of_tip(OTHER, 4);
    rig.engine.sync_if_behind();
    rig.check_fetched().unwrap();
    assert_eq!(rig.engine.host.height(), 5);
    assert!(rig.wishes().blocks.is_empty() && !syncing(&mut rig));
    // The next height is decided like any other.
    rig.engine.step(Input::Begin).unwrap();
    let block = rig.block(0, rig.now() + 10);
    rig.hear(rig.proposal(0, block.hash()));
    rig.receive(&block);
    rig.work();
    for kind in [VoteKind::Prevote, VoteKind::Precommit] {
        for i in 1..4 {
            if rig.engine.host.height() == 5 {
                rig.hear(Message::Vote(rig.vote(i, kind, 0, Some(block.hash()))));
            }
        }
    }
    assert_eq!(rig.engine.host.height(), 6);
    assert_eq!(rig.engine.parts.store.view().unwrap().tip().hash, block.hash());
}

#[test]
fn what_was_submitted_meanwhile_begins_a_height_once_the_node_has_caught_up() {
    let blocks = chain(6);
    let mut rig = behind(6);
    let waiting = rig.transaction(1, &rig.keys[1].authority);
    rig.engine.parts.pool.receive(&[waiting], Offerer::Elsewhere);
    // All of them are so old that an idle chain would have its next block by now.
    rig.pass(24 * 60 * 60 * 1_000);
    rig.engine.fetched(1, blocks, PEER);
    let mut turns = 0;
    while rig.engine.host.height() < 6 {
        rig.check_one_fetched().unwrap();
        rig.engine.handle(Event::Work).unwrap();
        rig.engine.fire_due().unwrap();
        turns += u32::from(rig.turn(0) == 0);
        assert!(!rig.engine.host.is_begun(), "the height is over everywhere else");
    }
    assert!(turns > 0, "one of them would have been this node's to propose");
    assert!(rig.wishes().published.is_empty());
    rig.check_fetched().unwrap();
    assert!(rig.engine.host.height() == 7 && rig.engine.host.is_begun());
}

#[test]
fn only_blocks_that_come_keep_a_node_from_beginning_and_no_claims() {
    let blocks = chain(2);
    let mut rig = behind(1_000_000);
    rig.engine.heard_of_tip(OTHER, 1_000_000);
    assert!(syncing(&mut rig), "more peers than may lie say so");
    let before = Instant::now();
    assert!(!rig.engine.is_fed(before));
    rig.engine.fetched(1, blocks[..1].to_vec(), PEER);
    assert!(rig.engine.is_fed(before), "one has come");
    rig.check_fetched().unwrap();
    let after = Instant::now();
    assert!(rig.engine.is_fed(before), "one was committed just now");
    assert!(!rig.engine.is_fed(after + Duration::from_secs(60)), "no other has come since");
    rig.engine.sync_failed(2);
    assert!(!rig.engine.is_fed(before), "nothing is asked for any more");
}

#[test]
fn one_that_has_just_caught_up_looks_again_before_the_others_have_gone_on_far() {
    let mut rig = Rig::new();
    let now = Instant::now();
    rig.engine.heard_of_tip_at(PEER, 1, now);
    let grace = rig.engine.sync.deadline().unwrap() - now;
    rig.engine.sync_if_behind();
    rig.engine.fetched(1, chain(1), PEER);
    rig.check_fetched().unwrap();
    rig.engine.heard_of_tip_at(PEER, 2, now);
    let short = rig.engine.sync.deadline().unwrap() - now;
    assert!(short < timing::AWAY / 4 && timing::AWAY < grace, "{short:?} and {grace:?}");
    let later = Instant::now() + Duration::from_secs(60);
    rig.engine.sync.gone(PEER);
    rig.engine.sync_if_behind();
    rig.engine.heard_of_tip_at(PEER, 2, later);
    assert_eq!(rig.engine.sync.deadline(), Some(later + grace), "it is in step since long");
}

#[test]
fn what_comes_twice_or_after_a_gap_is_nobodys_fault() {
    let blocks = chain(4);
    let mut rig = behind(4);
    rig.engine.fetched(1, blocks[..1].to_vec(), PEER);
    rig.engine.fetched(1, blocks[..2].to_vec(), PEER);
    rig.engine.fetched(4, blocks[3..].to_vec(), PEER);
    rig.check_fetched().unwrap();
    assert_eq!(rig.engine.host.height(), 3);
    rig.engine.fetched(3, blocks[2..].to_vec(), PEER);
    rig.check_fetched().unwrap();
    assert_eq!(rig.engine.host.height(), 5);
    let wishes = rig.wishes();
    assert!(wishes.blamed.is_empty() && wishes.blocks.is_empty(), "{wishes:?}");
}

#[test]
fn what_proves_nothing_is_blamed_and_another_peer_is_asked() {
    let blocks = chain(2);
    let few = {
        let rig = Rig::new();
        let mut few =
            rig.certificate(&symbolon_ledger::block::Block::decode(&blocks[0].0).unwrap());
        few.signatures.truncate(2);
        codec::encode(&few)
    };
    let mut torn = blocks[0].0.clone();
    torn.pop();
    for bad in [
        (blocks[0].0.clone(), few),
        (blocks[0].0.clone(), blocks[1].1.clone()),
        (blocks[1].0.clone(), blocks[1].1.clone()),
        (blocks[0].0.clone(), vec![0xff]),
        (torn, blocks[0].1.clone()),
    ] {
        let mut rig = behind(2);
        rig.engine.heard_of_tip(OTHER, 2);
        rig.engine.fetched(1, vec![bad, blocks[1].clone()], PEER);
        rig.check_fetched().unwrap();
        assert_eq!(rig.wishes().blamed, [PEER]);
        assert_eq!(rig.engine.host.height(), 1);
        rig.engine.sync_if_behind();
        assert_eq!(rig.wishes().blocks, [(1, 2, Some(OTHER))]);
        rig.engine.fetched(1, blocks.clone(), OTHER);
        rig.check_fetched().unwrap();
        assert_eq!(rig.engine.host.height(), 3);
    }
}

#[test]
fn a_peer_that_gives_nothing_more_has_its_time_and_then_another_is_asked() {
    let blocks = chain(4);
    let mut rig = behind(4);
    rig.engine.heard_of_tip(OTHER, 4);
    for (first, came, other) in [(1, 0, OTHER), (1, 1, PEER), (2, 1, OTHER)] {
        // A block that came begins the time anew, and what is here is not asked for again.
        for height in first..first + came {
            rig.engine.fetched(height as u64, vec![blocks[height - 1].clone()], PEER);
            rig.check_fetched().unwrap();
        }
        let until = rig.engine.sync.deadline().unwrap();
        assert!(until <= Instant::now() + Duration::from_secs(10), "it has all the time");
        rig.engine.sync_if_behind_at(until - Duration::from_millis(1));
        assert_eq!(rig.wishes().blocks, []);
        rig.engine.sync_if_behind_at(until);
        assert_eq!(rig.wishes().blocks, [((first + came) as u64, 4, Some(other))]);
    }
    // Nobody is blamed for being slow, and what it had begun is taken from whoever sends it.
    rig.engine.fetched(3, blocks[2..].to_vec(), PEER);
    rig.check_fetched().unwrap();
    assert_eq!((rig.engine.host.height(), rig.wishes().blamed), (5, vec![]));
}

#[test]
fn a_certified_block_that_is_invalid_here_stops_the_node() {
    let mut rig = behind(1);
    let mut block = rig.block(0, rig.now());
    block.header.state_root = sha256(b"another state");
    let fetched = (block.encode(), codec::encode(&rig.certificate(&block)));
    rig.engine.fetched(1, vec![fetched], PEER);
    let error = rig.check_fetched().unwrap_err();
    assert!(matches!(error, EngineError::Decided { .. }), "{error}");
}

#[test]
fn a_lying_tip_is_dropped_and_costs_less_each_time() {
    let mut rig = behind(1_000_000);
    rig.engine.peers.extend([PEER, OTHER]);
    assert!(!syncing(&mut rig), "one peer of two may lie");
    let mut last = Duration::ZERO;
    for _ in 0..3 {
        rig.engine.sync_failed(1);
        let doubt = rig.engine.sync.doubts[&PEER];
        assert!(doubt.pause > last && !syncing(&mut rig));
        last = doubt.pause;
        // It claims the same again at once, also over a new connection; nothing is asked for before
        // the pause is over.
        rig.engine.sync.gone(PEER);
        rig.engine.heard_of_tip(PEER, 1_000_000);
        rig.engine.sync_if_behind_at(doubt.until - Duration::from_millis(1));
        assert_eq!((rig.engine.sync.deadline(), rig.wishes().blocks), (Some(doubt.until), vec![]));
        rig.engine.sync_if_behind_at(doubt.until);
        assert_eq!(rig.wishes().blocks, [(1, 128, Some(PEER))]);
    }
    rig.engine.heard_of_tip(OTHER, 5);
    assert!(syncing(&mut rig), "more peers than may lie say so");
    // A claim that is taken back is gone.
    rig.engine.heard_of_tip(OTHER, 0);
    assert!(!syncing(&mut rig));
}

#[test]
fn a_lying_tip_puts_off_nobody_elses_true_one() {
    let mut rig = behind(1_000_000);
    rig.engine.sync_failed(1);
    rig.engine.heard_of_tip(OTHER, 4);
    let at = rig.engine.sync.deadline().unwrap();
    assert!(at < rig.engine.sync.doubts[&PEER].until);
    rig.engine.sync_if_behind_at(at);
    assert_eq!(rig.wishes().blocks, [(1, 4, Some(OTHER))]);
}

#[test]
fn the_log_says_when_no_peer_gives_the_next_block() {
    let check = |claims: &[PeerIndex], told: bool| {
        let mut rig = behind(4);
        rig.engine.peers.extend([PEER, OTHER]);
        for peer in claims {
            rig.engine.heard_of_tip(*peer, 4);
        }
        let said = said(|| rig.engine.sync_failed(1));
        assert_eq!(said.contains("no peer gives the next block"), told, "{said}");
    };
    check(&[PEER, OTHER], true);
    // One that lies fills nobody's log.
    check(&[PEER], false);
}

#[test]
fn a_snapshot_is_joined_by_when_more_say_so_than_may_lie_and_blocks_wait_for_it_only_so_long() {
    let check = |tips: &[u64], joins: bool| {
        let mut rig = Rig::new();
        rig.join_by_snapshot();
        for (peer, tip) in (7..).map(PeerIndex).zip(tips) {
            rig.engine.peers.insert(peer);
            rig.engine.heard_of_tip(peer, *tip);
        }
        rig.engine.sync_if_behind();
        assert_eq!(rig.wishes().blocks.is_empty(), joins, "{tips:?}: block sync waits");
        let joiner = rig.engine.parts.joiner.clone().unwrap();
        // Heights between which nothing is far: it tells whether an attempt is under way.
        assert_eq!(joiner.considers(1, 1), joins, "{tips:?}");
        if joins {
            rig.pass(u64::try_from(HEAD_START.as_millis()).unwrap());
            rig.engine.sync_if_behind();
            assert_eq!(rig.wishes().blocks.len(), 1, "{tips:?}: block sync goes on");
        }
    };
    // Two blocks are far in these tests.
    check(&[1_000_000, 1, 1], false);
    check(&[1_000_000, 900_000, 1], true);
    check(&[5, 5, 5], true);
    // Who has one peer has nobody else to ask.
    check(&[1_000_000], true);
}
