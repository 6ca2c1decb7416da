//! Votes and proposes under the names of others, with its own key and with none.

use symbolon_consensus::Message;
use symbolon_ledger::{keys::Signature, vote::VoteKind};

use super::Actor;
use crate::world::World;

pub(super) struct Impersonator;

impl Actor for Impersonator {
    fn idle(&self, world: &mut World, me: usize) {
        let Some(place) = world.place_of(me) else { return };
        let victim = world.dice.index(world.founding.seats());
        let victim = world.founding.province(victim);
        let block = world.nobodys_block();
        let signed = world.dice.chance(70);
        let forged = if world.dice.chance(50) {
            let kind = if world.dice.chance(50) { VoteKind::Prevote } else { VoteKind::Precommit };
            let Some(mut vote) = world.sign_vote(me, kind, place, Some(block)) else { return };
            vote.province = victim;
            if !signed {
                vote.signature = Signature([0; 64]);
            }
            Message::Vote(vote)
        } else {
            let Some(mut proposal) = world.sign_proposal(me, place, block) else { return };
            proposal.province = victim;
            if !signed {
                proposal.signature = Signature([0; 64]);
            }
            Message::Proposal(proposal)
        };
        if Some(victim) != world.nodes[me].province() {
            world.shout(me, &forged);
        }
    }
}
