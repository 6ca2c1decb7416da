//! Has no lock: prevotes whatever is proposed in a round and precommits whatever it hears a prevote
//! for, as if it had never voted before. In one round it does not contradict itself, so that no
//! pair of its votes convicts it.

use symbolon_consensus::{Message, Verified};
use symbolon_ledger::{hash::BlockHash, vote::VoteKind};

use super::Actor;
use crate::world::World;

pub(super) struct Amnesiac;

impl Actor for Amnesiac {
    fn publish(&self, world: &mut World, me: usize, message: Verified) {
        match message.message() {
            // What its host would vote is what somebody with a memory votes.
            Message::Vote(_) => {}
            _ => world.tell_all(me, message),
        }
    }

    fn hear(&self, world: &mut World, me: usize, message: &Message) {
        let place = (message.height(), message.round());
        match message {
            Message::Proposal(p) => vote_once(world, me, VoteKind::Prevote, place, p.block),
            Message::Vote(v) => {
                if let (VoteKind::Prevote, Some(block)) = (v.kind, v.block) {
                    vote_once(world, me, VoteKind::Precommit, place, block);
                }
            }
            Message::Polka(_) | Message::Round(_) => {}
        }
    }
}

fn vote_once(world: &mut World, me: usize, kind: VoteKind, place: (u64, u32), block: BlockHash) {
    if world.nodes[me].notes.said.insert((place.0, place.1, kind))
        && let Some(vote) = world.sign_vote(me, kind, place, Some(block))
    {
        world.shout(me, &Message::Vote(vote));
    }
}
