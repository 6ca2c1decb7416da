//! Bodies: what is kept, what is executed ahead, who is blamed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use symbolon_consensus::{Input, reach::Reach};
use symbolon_ledger::block::MAX_BLOCK_BYTES;

use super::{
    super::{
        bodies::{self, Body, Prepared},
        shelf::Need,
    },
    rig::{PEER, Rig},
};
use crate::network::Sources;

#[test]
fn a_body_that_waits_for_the_clock_outlives_a_flood_of_others() {
    let mut rig = Rig::begun();
    let now = rig.now();
    // The liar's first block is the one with the smallest name, and waits for the clock.
    let mut blocks: Vec<_> = (0..40).map(|n| rig.block(0, now + 2_000 + n)).collect();
    blocks.sort_by_key(symbolon_ledger::block::Block::hash);
    let held = blocks.remove(0);
    rig.hear(rig.proposal(0, held.hash()));
    rig.receive(&held);
    rig.work();
    for unasked in &blocks[..20] {
        rig.receive(unasked);
        rig.work();
    }
    let second = &blocks[20];
    rig.hear(rig.proposal(0, second.hash()));
    rig.receive(second);
    rig.work();
    assert!(rig.votes().is_empty(), "voted for a block from the future");
    rig.pass(3_000);
    rig.engine.step(Input::Tick).unwrap();
    assert_eq!(rig.votes()[0].block, Some(held.hash()));
    assert!(rig.engine.parts.store.body(&held.hash()).unwrap().is_some(), "it is on disk");
}

#[test]
fn a_body_that_is_gone_cannot_be_stored() {
    let mut rig = Rig::begun();
    let block = rig.block(0, rig.now());
    assert!(rig.engine.store_body(block.hash()).is_err());
}

#[test]
fn only_what_its_turn_proposes_is_executed_ahead_and_one_of_it() {
    let mut rig = Rig::begun();
    let now = rig.now();
    let of_round = |rig: &Rig, round, ms| rig.block(round, now + ms);
    // The proposers of this round and the next: one each.
    for round in [0, 1] {
        for ms in 0..5 {
            rig.receive(&of_round(&rig, round, ms));
        }
    }
    assert_eq!(rig.engine.examining.len(), 2);
    rig.work();
    // Those of later rounds wait until they are asked for.
    let later = of_round(&rig, 2, 0);
    rig.receive(&later);
    assert!(rig.engine.examining.is_empty());
    rig.engine.request_body(later.hash(), 1, Sources::default()).unwrap();
    assert!(rig.engine.examining.contains(&later.hash()), "it is there and need not be fetched");
    rig.work();
    let wishes = rig.wishes();
    assert!(wishes.bodies.is_empty() && wishes.blamed.is_empty(), "{wishes:?}");
}

#[test]
fn whoever_sends_an_invalid_body_unasked_is_blamed_and_whoever_answers_is_not() {
    let mut rig = Rig::begun();
    let invalid = |rig: &Rig, ms| {
        let mut block = rig.block(0, rig.now() + ms);
        block.header.state_root = symbolon_ledger::hash::sha256(b"a lie");
        block
    };
    let (asked, pushed) = (invalid(&rig, 1), invalid(&rig, 2));
    rig.hear(rig.proposal(0, asked.hash()));
    rig.receive(&asked);
    rig.work();
    assert!(rig.wishes().blamed.is_empty());
    rig.receive(&pushed);
    rig.work();
    assert_eq!(rig.wishes().blamed, [PEER]);
}

#[test]
fn every_block_that_waits_for_the_clock_is_woken() {
    let mut rig = Rig::begun();
    let now = rig.now();
    let (soon, late) = (rig.block(0, now + 1_020), rig.block(0, now + 3_600_000));
    for block in [&soon, &late] {
        rig.hear(rig.proposal(0, block.hash()));
        rig.receive(block);
        rig.work();
    }
    assert_eq!(rig.engine.wakes.len(), 2);
    // The second, which waits an hour, does not make the first wait as long.
    rig.pass(20);
    while rig.engine.wakes.len() == 2 {
        std::thread::yield_now();
        rig.engine.fire_due().unwrap();
    }
    assert_eq!(rig.votes()[0].block, Some(soon.hash()));
}

#[test]
fn how_long_a_block_took_from_its_round_on_bounds_the_next_one() {
    let check = |bytes: usize, took: Duration, bounds: bool| {
        let mut rig = Rig::begun();
        let (parts, now) = (&rig.engine.parts, rig.now());
        let province = rig.keys[rig.turn(0)].province;
        let built = bodies::build(&parts.store, &parts.pool, province, (now, MAX_BLOCK_BYTES));
        let Prepared { block, executed, .. } = built.unwrap().prepared;
        let (hash, certificate) = (block.hash(), rig.certificate(&block));
        let prepared = Prepared { block, bytes: Arc::new(vec![0; bytes]), executed };
        rig.engine.bodies.keep(hash, Body::Valid(Arc::new(prepared)), Need::Asked);
        rig.engine.rounds_began.insert(0, Instant::now() - took);
        rig.engine.decide(hash, &certificate).unwrap();
        assert_eq!(rig.engine.reach != Reach::default(), bounds, "{bytes} in {took:?}");
    };
    check(MAX_BLOCK_BYTES, Duration::from_secs(10), true);
    check(1_000, Duration::from_secs(10), false);
}

#[test]
fn a_proposer_learns_from_a_round_that_its_block_lost() {
    let mut rig = Rig::begun();
    rig.engine.built = Some((0, MAX_BLOCK_BYTES));
    rig.engine.rounds_began.insert(0, Instant::now() - Duration::from_secs(3));
    rig.engine.round_started(1, 1);
    let learnt = rig.engine.reach;
    assert!(learnt.most_bytes(0) < MAX_BLOCK_BYTES, "{learnt:?}");
    rig.engine.round_started(1, 2);
    assert_eq!(rig.engine.reach, learnt, "once");
    rig.engine.built = Some((2, MAX_BLOCK_BYTES));
    rig.engine.round_started(1, 3);
    assert_eq!(rig.engine.reach, learnt, "a round that was lost at once is not a quick one");
}
