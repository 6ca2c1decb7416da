//! A key at two sites: whoever was away looks on, and whoever hears the key elsewhere stops.

use std::io;

use symbolon_consensus::{
    Input, Message, Peer, Timer, TimerStep, Verified,
    mark::{WATCH_MARGIN_MS, WATCHED_AT_TWO_SITES},
};
use symbolon_ledger::{
    certificate::CommitSignature,
    codec,
    vote::{Statement, VoteKind, vote_bytes},
};

use super::{
    super::{EngineError, Event},
    rig::{PEER, Rig, sign_state},
};
use crate::sign_state::{Marks, Owner, SignState, SignStateError};

/// Marks of a key that is at a second site too.
struct Shared(Box<dyn Marks>);

impl Marks for Shared {
    fn keep(&mut self, statement: &Statement) -> io::Result<()> {
        self.0.keep(statement)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn give_up(&mut self) -> io::Result<()> {
        self.0.give_up()
    }
}

/// A validator whose key is at a second site, at height 1.
fn shared() -> Rig {
    let mut rig = Rig::new();
    let marks = rig.engine.parts.marks.take().unwrap();
    rig.engine.parts.marks = Some(Box::new(Shared(marks)));
    rig
}

/// Lets the running height begin and its first proposal fail to come; gives the votes of this node.
fn votes_of(rig: &mut Rig) -> usize {
    rig.engine.step(Input::Begin).unwrap();
    let (height, step) = (rig.engine.host.height(), TimerStep::Propose);
    rig.engine.step(Input::TimeoutElapsed(Timer { height, round: 0, step })).unwrap();
    rig.votes().len()
}

fn hears(rig: &mut Rig, message: Message) -> Result<(), EngineError> {
    let set = rig.engine.host.start().validators.clone();
    let chain = rig.engine.parts.store.chain_id();
    let message = Verified::check(&chain, &set, message).unwrap();
    rig.engine.handle(Event::Checked { message, from: Peer(PEER.0) })
}

/// What a node finds that is started again with this sign state.
fn taken_again(rig: Rig) -> Result<SignState, SignStateError> {
    let (chain, keys) = (rig.engine.parts.store.chain_id(), &rig.keys[0]);
    let owner = Owner { chain, province: keys.province, key: keys.validator.public_key() };
    let folder = rig.engine.parts.store.folder().to_owned();
    drop(rig.engine.parts.marks);
    SignState::take(&sign_state(&folder), owner)
}

#[test]
fn after_an_absence_a_key_at_two_sites_is_silent_for_whole_heights() {
    let mut alone = Rig::new();
    alone.grow();
    assert_eq!(votes_of(&mut alone), 1, "nobody else has the key");

    let mut rig = shared();
    assert_eq!(votes_of(&mut rig), 1, "it was not away yet");
    rig.grow();
    assert_eq!(votes_of(&mut rig), 0, "the height went on without it");
    rig.grow();
    assert_eq!(votes_of(&mut rig), 0, "these blocks are older than its return");
    rig.pass(WATCH_MARGIN_MS);
    for seen in 0..WATCHED_AT_TWO_SITES {
        assert_eq!(votes_of(&mut rig), 0, "after {seen} whole heights");
        rig.grow();
    }
    assert_eq!(votes_of(&mut rig), 1);
}

/// Has the running height decided by the others, with this node's signature or without.
fn decide(rig: &mut Rig, heard: bool) {
    let height = rig.engine.host.height();
    rig.engine.step(Input::Begin).unwrap();
    let block = rig.block(0, rig.now() + height);
    rig.hear(rig.proposal(0, block.hash()));
    rig.receive(&block);
    rig.work();
    // Without their prevotes it has no reason to give its own precommit.
    let kinds = [VoteKind::Prevote, VoteKind::Precommit];
    for kind in &kinds[usize::from(!heard)..] {
        for i in 1..4 {
            if rig.engine.host.height() == height {
                rig.hear(Message::Vote(rig.vote(i, *kind, 0, Some(block.hash()))));
            }
        }
    }
    assert_eq!(rig.engine.host.height(), height + 1);
    rig.wishes();
}

#[test]
fn who_hears_the_others_and_is_under_none_of_two_blocks_looks_on_where_the_key_is_shared() {
    let check = |mut rig: Rig, heard: [bool; 2], votes: usize| {
        heard.into_iter().for_each(|heard| decide(&mut rig, heard));
        assert_eq!(votes_of(&mut rig), votes, "{heard:?}");
        rig
    };
    check(Rig::new(), [false, false], 1);
    check(shared(), [true, true], 1);
    check(shared(), [false, true], 1);
    check(shared(), [true, false], 1);
    let mut rig = check(shared(), [false, false], 0);
    rig.pass(WATCH_MARGIN_MS);
    for seen in 0..WATCHED_AT_TWO_SITES {
        assert_eq!(votes_of(&mut rig), 0, "after {seen} whole heights");
        rig.grow();
    }
    assert_eq!(votes_of(&mut rig), 1);
}

#[test]
fn a_vote_of_its_key_that_is_not_its_own_stops_it_also_at_the_next_start() {
    let mut rig = shared();
    assert_eq!(votes_of(&mut rig), 1);
    // Its own word comes back.
    let own = rig.vote(0, VoteKind::Prevote, 0, None);
    hears(&mut rig, Message::Vote(own)).unwrap();
    let block = rig.block(0, rig.now());
    let other = rig.vote(0, VoteKind::Precommit, 0, Some(block.hash()));
    let stopped = hears(&mut rig, Message::Vote(other)).unwrap_err();
    assert!(matches!(stopped, EngineError::VotesElsewhere(1)), "{stopped}");
    let refused = taken_again(rig).unwrap_err();
    assert!(matches!(refused, SignStateError::HandedOver { .. }), "{refused}");
}

#[test]
fn its_signature_under_a_fetched_block_that_it_never_gave_stops_it() {
    let mut rig = shared();
    let block = rig.block(0, rig.now());
    let mut certificate = rig.certificate(&block);
    let (chain, hash) = (block.header.chain_id, block.hash());
    let bytes = vote_bytes(VoteKind::Precommit, &chain, 1, 0, Some(&hash));
    let keys = &rig.keys[0];
    let signature = keys.validator.sign(&bytes);
    certificate.signatures.push(CommitSignature { province: keys.province, signature });
    certificate.signatures.sort_by_key(|signature| signature.province);
    rig.engine.heard_of_tip(PEER, 1);
    rig.engine.sync_if_behind();
    rig.engine.fetched(1, vec![(block.encode(), codec::encode(&certificate))], PEER);
    let stopped = rig.check_fetched().unwrap_err();
    assert!(matches!(stopped, EngineError::VotesElsewhere(1)), "{stopped}");
}

#[test]
fn whoever_looks_on_stops_when_the_key_still_speaks() {
    let mut rig = shared();
    rig.grow();
    // What it may have said itself before it was away.
    let early = rig.vote(0, VoteKind::Prevote, 0, None);
    hears(&mut rig, Message::Vote(early)).unwrap();
    rig.pass(WATCH_MARGIN_MS);
    rig.grow();
    let late = rig.vote(0, VoteKind::Prevote, 0, None);
    let stopped = hears(&mut rig, Message::Vote(late)).unwrap_err();
    assert!(matches!(stopped, EngineError::VotesElsewhere(3)), "{stopped}");
}

#[test]
fn whoever_comes_back_and_hears_its_key_stops_at_once() {
    let mut rig = shared();
    assert_eq!(votes_of(&mut rig), 1);
    rig.grow();
    assert_eq!(votes_of(&mut rig), 0, "it looks on, and knows what it has said itself");
    let elsewhere = rig.vote(0, VoteKind::Prevote, 0, None);
    let stopped = hears(&mut rig, Message::Vote(elsewhere)).unwrap_err();
    assert!(matches!(stopped, EngineError::VotesElsewhere(_)), "{stopped}");
}
