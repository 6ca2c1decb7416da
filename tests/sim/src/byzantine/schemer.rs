//! Lets one node decide and leads the others elsewhere: its precommit for a block goes to one node
//! alone, all others hear that it commits to nothing; and where it leads the next round, it has
//! another block ready there, with its own votes for it. Only what the others are locked on keeps
//! them from following.

use symbolon_consensus::{Message, Verified};
use symbolon_ledger::{hash::BlockHash, vote::VoteKind};

use super::Actor;
use crate::{quorum, world::World};

pub(super) struct Schemer;

impl Actor for Schemer {
    fn publish(&self, world: &mut World, me: usize, message: Verified) {
        let Message::Vote(vote) = message.message() else { return world.tell_all(me, message) };
        let (VoteKind::Precommit, Some(block)) = (vote.kind, vote.block) else {
            return world.tell_all(me, message);
        };
        let place = (vote.height, vote.round);
        if !world.nodes[me].notes.said.insert((place.0, place.1, vote.kind)) {
            return;
        }
        let Some(nothing) = world.sign_vote(me, vote.kind, place, None) else { return };
        let victim = world.dice.index(world.nodes.len());
        for to in 0..world.nodes.len() {
            let said = if to == victim { vote } else { &nothing };
            world.whisper(me, to, &Message::Vote(said.clone()));
        }
        lead_elsewhere(world, me, (vote.height, vote.round.saturating_add(1)), &block);
    }
}

fn lead_elsewhere(world: &mut World, me: usize, place: (u64, u32), old: &BlockHash) {
    let set = world.nodes[me].disk.machine.state().validators();
    if Some(quorum::turn(set, place.0, place.1)) != world.nodes[me].province() {
        return;
    }
    let Some(new) = world.another_block(me, old) else { return };
    let proposal = world.sign_proposal(me, place, new).map(Message::Proposal);
    let vote = |world: &World, kind| world.sign_vote(me, kind, place, Some(new)).map(Message::Vote);
    let votes = [vote(world, VoteKind::Prevote), vote(world, VoteKind::Precommit)];
    for message in std::iter::once(proposal).chain(votes).flatten() {
        world.shout(me, &message);
    }
}
