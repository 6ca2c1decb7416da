//! Bodies: what is kept, what is executed ahead, who is blamed.

use symbolon_consensus::Input;

use super::rig::Rig;

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
