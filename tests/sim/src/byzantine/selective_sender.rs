//! Says what everybody should hear to a third of the nodes only, and to another third every
//! round: what it takes to have some lock on a block that the others know nothing of.

use symbolon_consensus::Verified;

use super::Actor;
use crate::world::World;

pub(super) struct SelectiveSender;

impl Actor for SelectiveSender {
    fn publish(&self, world: &mut World, me: usize, message: Verified) {
        let (height, round) = (message.message().height(), message.message().round());
        let turn = usize::try_from((height + u64::from(round)) % 3).expect("below three");
        let packet = world.wrap(message);
        for to in (0..world.nodes.len()).filter(|to| *to != me && to % 3 == turn) {
            world.send(me, to, packet.clone());
        }
    }
}
