//! Proposes two blocks in its round: one to one half of the nodes, one to the other. Its own host
//! knows of the first only.

use symbolon_consensus::{Message, Verified};

use super::Actor;
use crate::world::World;

pub(super) struct EquivocatingProposer;

impl Actor for EquivocatingProposer {
    fn publish(&self, world: &mut World, me: usize, message: Verified) {
        let (Message::Proposal(first), Some(place)) = (message.message(), world.place_of(me))
        else {
            return world.tell_all(me, message);
        };
        let Some(hash) = world.another_block(me, &first.block) else { return };
        if let Some(second) = world.sign_proposal(me, place, hash) {
            world.tell_halves(me, message.message(), &Message::Proposal(second));
        }
    }
}
