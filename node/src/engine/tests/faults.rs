//! Faults at run time: what cannot be made durable is never sent, and the engine stops. Who is
//! silent is missed.

use symbolon_consensus::{Input, Verified, wire::Message};
use symbolon_ledger::{block::Block, vote::VoteKind};

use super::{super::EngineError, disk::Disk, rig::Rig};
use crate::storage::StorageError;

/// The other three's votes of one kind.
fn votes(rig: &mut Rig, kind: VoteKind, block: &Block) -> Result<(), EngineError> {
    for i in 1..4 {
        if rig.engine.host.height() == block.header.height {
            rig.try_hear(Message::Vote(rig.vote(i, kind, 0, Some(block.hash()))))?;
        }
    }
    Ok(())
}

/// Everything up to the precommits that decide a block.
fn prevoted(rig: &mut Rig, block: &Block) -> Result<(), EngineError> {
    rig.engine.step(Input::Begin)?;
    rig.try_hear(rig.proposal(0, block.hash()))?;
    rig.receive(block);
    rig.try_work()?;
    votes(rig, VoteKind::Prevote, block)
}

fn height(rig: &mut Rig, block: &Block) -> Result<(), EngineError> {
    prevoted(rig, block)?;
    votes(rig, VoteKind::Precommit, block)
}

/// Every vote that left is on the disk for good.
fn assert_nothing_left_too_early(rig: &Rig) -> usize {
    let votes = rig.votes();
    // When the height is over, the log is another's.
    for vote in votes.iter().filter(|_| rig.engine.host.height() == 1) {
        assert!(rig.disk.keeps(&vote.signature.0), "sent before it was durable: {vote:?}");
    }
    votes.len()
}

#[test]
fn a_vote_that_cannot_be_made_durable_is_never_sent_and_the_engine_stops() {
    let check = |fail: fn(&Disk, u64), step: u64| {
        let (mut faults, mut sent) = (0, Vec::new());
        loop {
            let mut rig = Rig::new();
            let block = rig.block(0, rig.now());
            fail(&rig.disk, faults);
            let outcome = height(&mut rig, &block);
            sent.push(assert_nothing_left_too_early(&rig));
            match outcome {
                Err(error) => assert!(matches!(error, EngineError::Wal(_)), "{error}"),
                Ok(()) => break,
            }
            faults += step;
        }
        assert_eq!(sent.last(), Some(&2), "one prevote, one precommit");
        assert!(sent.contains(&0) && sent.contains(&1), "{sent:?}");
    };
    check(Disk::fail_after_syncs, 1);
    // An entry takes four writes.
    check(Disk::fail_after_writes, 3);
}

#[test]
fn a_block_that_cannot_be_committed_stops_the_engine_and_nobody_hears_of_it() {
    let mut rig = Rig::new();
    let block = rig.block(0, rig.now());
    // Something else has written the chain meanwhile: the batch does not fit on its tip.
    let mut other = rig.block(0, rig.now() + 1);
    other.header.time_ms += 1;
    prevoted(&mut rig, &block).unwrap();
    rig.write_behind_its_back(&other);
    let error = votes(&mut rig, VoteKind::Precommit, &block).unwrap_err();
    assert!(matches!(error, EngineError::Storage(StorageError::Damaged(_))), "{error}");
    assert_eq!(rig.engine.status.borrow().last_commit_ms, 0);
}

#[test]
fn a_decided_block_is_on_disk_before_the_height_is_over() {
    let mut rig = Rig::new();
    let block = rig.block(0, rig.now());
    height(&mut rig, &block).unwrap();
    let mut rig = rig.restart().unwrap();
    assert_eq!(rig.engine.parts.store.view().unwrap().tip().hash, block.hash());
    assert!(rig.wishes().published.is_empty(), "what was signed for it is past");
    rig.engine.step(Input::Begin).unwrap();
    assert_eq!(rig.engine.host.height(), 2);
}

#[test]
fn nobody_is_silent_before_a_node_could_hear_them_and_everybody_is_after_that() {
    let mut rig = Rig::begun();
    let idle = u64::try_from(rig.engine.idle_interval.as_millis()).unwrap();
    let others: Vec<_> = rig.keys[1..].iter().map(|keys| keys.province).collect();
    assert!(rig.engine.missing().is_empty());
    rig.pass(3 * idle);
    assert!(rig.engine.missing().is_empty());
    rig.pass(idle);
    assert_eq!(rig.engine.missing(), others);
    let block = rig.block(0, rig.now());
    let vote = Message::Vote(rig.vote(1, VoteKind::Prevote, 0, Some(block.hash())));
    let set = rig.engine.host.start().validators.clone();
    let chain = rig.engine.parts.store.chain_id();
    rig.engine.note_heard(&Verified::check(&chain, &set, vote).unwrap());
    rig.pass(3 * idle);
    assert_eq!(rig.engine.missing(), others[1..]);
    rig.pass(idle);
    assert_eq!(rig.engine.missing(), others);
}
