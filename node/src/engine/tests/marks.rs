//! The mark beside the key: what was signed is never contradicted, whatever else is lost.

use std::{io, path::Path};

use symbolon_consensus::{
    Input, Timer, TimerStep,
    mark::{WATCH_MARGIN_MS, WATCHED_HEIGHTS},
};
use symbolon_ledger::vote::{Statement, VoteKind};

use super::{
    super::EngineError,
    rig::{Rig, sign_state},
};
use crate::sign_state::Marks;

/// A committed block and its certificate, as a peer gives them.
type Fetched = (Vec<u8>, Vec<u8>);

/// Lets the running height begin and its first proposal fail to come; gives the votes of this node.
fn votes_of(rig: &mut Rig) -> usize {
    rig.engine.step(Input::Begin).unwrap();
    let (height, step) = (rig.engine.host.height(), TimerStep::Propose);
    rig.engine.step(Input::TimeoutElapsed(Timer { height, round: 0, step })).unwrap();
    rig.votes().len()
}

/// A validator that has committed three blocks and has voted for none of them, and then votes at
/// height 4; the blocks.
fn voted_at_4() -> (Rig, Vec<Fetched>) {
    let mut rig = Rig::new();
    let blocks = (0..3).map(|_| rig.grow()).collect();
    assert_eq!(votes_of(&mut rig), 1);
    (rig, blocks)
}

/// The chain is gone, and that it was ever here.
fn delete_database(folder: &Path) {
    std::fs::remove_dir_all(folder.join("rocksdb")).unwrap();
    std::fs::remove_file(folder.join("founded")).unwrap();
}

/// Checks that the validator is silent until height 4 is decided, and then votes.
fn check_silent_through_4(mut rig: Rig, blocks: &[Fetched]) {
    for height in rig.engine.host.height()..=3 {
        assert_eq!(votes_of(&mut rig), 0, "at height {height}");
        rig.fetch(&blocks[usize::try_from(height).unwrap() - 1]);
    }
    assert_eq!(rig.engine.host.height(), 4);
    assert_eq!(votes_of(&mut rig), 0, "at the height of the mark");
    rig.grow();
    assert_eq!(votes_of(&mut rig), 1, "above the mark");
}

#[test]
fn a_validator_without_its_log_is_silent_at_the_height_of_its_mark() {
    let (rig, blocks) = voted_at_4();
    check_silent_through_4(rig.restart_after(|_, disk| disk.wipe()).unwrap(), &blocks);
}

#[test]
fn a_deleted_database_under_a_kept_key_signs_nothing_again() {
    let (rig, blocks) = voted_at_4();
    let rig = rig.restart_after(|folder, disk| {
        disk.wipe();
        delete_database(folder);
    });
    let rig = rig.unwrap();
    assert_eq!(rig.engine.host.height(), 1);
    check_silent_through_4(rig, &blocks);
}

#[test]
fn an_old_database_and_log_under_the_same_key_sign_nothing_again() {
    let mut rig = Rig::new();
    let mut blocks = vec![rig.grow()];
    // The backup: one block, and the log with a vote at height 2.
    assert_eq!(votes_of(&mut rig), 1);
    let kept = tempfile::TempDir::new().unwrap();
    let copy = |from: &Path, to: &Path| {
        let done = std::process::Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap();
        assert!(done.success());
    };
    let mut rig = rig
        .restart_after(|folder, disk| {
            copy(&folder.join("rocksdb"), kept.path());
            disk.back_up();
        })
        .unwrap();
    blocks.extend((0..2).map(|_| rig.grow()));
    rig.votes();
    assert_eq!(votes_of(&mut rig), 1);
    let rig = rig.restart_after(|folder, disk| {
        std::fs::remove_dir_all(folder.join("rocksdb")).unwrap();
        copy(&kept.path().join("rocksdb"), folder);
        disk.restore();
    });
    let rig = rig.unwrap();
    assert_eq!(rig.engine.host.height(), 2);
    // The log says again what it said then, which is no second vote; nothing new is signed.
    let said = rig.votes();
    assert!(said.iter().all(|vote| vote.height == 2 && vote.block.is_none()), "{said:?}");
    check_silent_through_4(rig, &blocks);
}

#[test]
fn a_validator_that_lost_its_mark_looks_on_for_whole_heights() {
    let (rig, blocks) = voted_at_4();
    let mut rig = rig
        .restart_after(|folder, disk| {
            disk.wipe();
            delete_database(folder);
            std::fs::remove_file(sign_state(folder)).unwrap();
        })
        .unwrap();
    for block in &blocks {
        assert_eq!(votes_of(&mut rig), 0, "at a height that was decided before it began");
        rig.fetch(block);
    }
    rig.pass(WATCH_MARGIN_MS);
    for seen in 0..WATCHED_HEIGHTS {
        assert_eq!(votes_of(&mut rig), 0, "after {seen} whole heights");
        rig.grow();
    }
    assert_eq!(votes_of(&mut rig), 1);
    // From here on it has a mark again.
    let mut rig = rig.restart_after(|_, disk| disk.wipe()).unwrap();
    assert_eq!(votes_of(&mut rig), 0);
    rig.grow();
    assert_eq!(votes_of(&mut rig), 1);
}

/// Fails as a kill does: before the mark is written, or between the mark and the message.
struct Killed(Option<Box<dyn Marks>>);

impl Marks for Killed {
    fn keep(&mut self, statement: &Statement) -> io::Result<()> {
        if let Some(marks) = &mut self.0 {
            marks.keep(statement)?;
        }
        Err(io::Error::other("killed"))
    }
}

#[test]
fn a_kill_before_or_after_the_mark_sends_nothing_and_loses_no_vote() {
    for is_marked in [false, true] {
        let mut rig = Rig::begun();
        let marks = rig.engine.parts.marks.take();
        rig.engine.parts.marks = Some(Box::new(Killed(marks.filter(|_| is_marked))));
        let timer = Timer { height: 1, round: 0, step: TimerStep::Propose };
        let stopped = rig.engine.step(Input::TimeoutElapsed(timer)).unwrap_err();
        assert!(matches!(stopped, EngineError::SignState(_)), "{stopped}");
        assert!(rig.wishes().published.is_empty(), "sent without a mark");
        // The log holds the vote: it is said now, and it is the one that was signed.
        let rig = rig.restart().unwrap();
        let votes = rig.votes();
        assert_eq!(votes.len(), 1);
        let vote = &votes[0];
        assert_eq!((vote.kind, vote.round, vote.block), (VoteKind::Prevote, 0, None));
        let rig = rig.restart_after(|_, disk| disk.wipe()).unwrap();
        assert!(!rig.engine.host.votes(), "the mark was not written at last");
    }
}
