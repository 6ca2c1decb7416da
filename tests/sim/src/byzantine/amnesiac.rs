//! Has no lock: prevotes whatever is proposed in a round and precommits whatever it hears a prevote
//! for, as if it had never voted before, and proposes a new block where its host proposes an old
//! one again. In one round it does not contradict itself, so that no pair of its messages convicts
//! it.

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
            Message::Proposal(p) if p.pol_round.is_some() => {
                let (place, old) = ((p.height, p.round), p.block);
                propose_anew(world, me, place, old);
            }
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

/// Proposes a block like the old one, of its own.
fn propose_anew(world: &mut World, me: usize, place: (u64, u32), old: BlockHash) {
    let Some(new) = world.another_block(me, &old) else { return };
    if let Some(proposal) = world.sign_proposal(me, place, new) {
        world.shout(me, &Message::Proposal(proposal));
    }
}

fn vote_once(world: &mut World, me: usize, kind: VoteKind, place: (u64, u32), block: BlockHash) {
    if world.nodes[me].notes.said.insert((place.0, place.1, kind))
        && let Some(vote) = world.sign_vote(me, kind, place, Some(block))
    {
        world.shout(me, &Message::Vote(vote));
    }
}
