//! Votes as its host does to one half of the nodes, and for something else to the other: for
//! nothing where its host is for a block, for a block that nobody has where it is for nothing.

use symbolon_consensus::{Message, Verified};

use super::Actor;
use crate::world::World;

pub(super) struct EquivocatingVoter;

impl Actor for EquivocatingVoter {
    fn publish(&self, world: &mut World, me: usize, message: Verified) {
        let Message::Vote(vote) = message.message() else { return world.tell_all(me, message) };
        let other = if vote.block.is_some() { None } else { Some(world.nobodys_block()) };
        if let Some(other) = world.sign_vote(me, vote.kind, (vote.height, vote.round), other) {
            world.tell_halves(me, message.message(), &Message::Vote(other));
        }
    }
}
