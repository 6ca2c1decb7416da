//! Votes for nothing: in place of every vote of its host, and at once in every round that begins
//! near by, again and again.

use symbolon_consensus::{Message, Verified};
use symbolon_ledger::vote::VoteKind;

use super::Actor;
use crate::world::World;

/// For so many rounds ahead.
const ROUNDS: u32 = 3;

pub(super) struct NilSpammer;

impl Actor for NilSpammer {
    fn publish(&self, world: &mut World, me: usize, message: Verified) {
        match message.message() {
            Message::Vote(_) => self.idle(world, me),
            _ => world.tell_all(me, message),
        }
    }

    fn idle(&self, world: &mut World, me: usize) {
        let Some((height, round)) = world.place_of(me) else { return };
        for round in round..round.saturating_add(ROUNDS) {
            for kind in [VoteKind::Prevote, VoteKind::Precommit] {
                if let Some(vote) = world.sign_vote(me, kind, (height, round), None) {
                    world.shout(me, &Message::Vote(vote));
                }
            }
        }
    }
}
