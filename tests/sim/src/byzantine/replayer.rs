//! Shows what others have signed as if they had signed something else: a prevote as a precommit, a
//! vote of one round in another, and what the same provinces have signed on a chain of rehearsal.

use symbolon_consensus::{Message, wire::Vote};
use symbolon_ledger::{
    hash::sha256,
    vote::{VoteKind, vote_bytes},
};

use super::Actor;
use crate::world::World;

/// So many votes it keeps.
const KEPT: usize = 12;

pub(super) struct Replayer;

impl Actor for Replayer {
    fn hear(&self, world: &mut World, me: usize, message: &Message) {
        let overheard = &mut world.nodes[me].notes.overheard;
        if matches!(message, Message::Vote(_)) {
            if overheard.len() == KEPT {
                overheard.remove(0);
            }
            overheard.push(message.clone());
        }
    }

    fn idle(&self, world: &mut World, me: usize) {
        let Some((height, round)) = world.place_of(me) else { return };
        let overheard = world.nodes[me].notes.overheard.clone();
        for message in overheard {
            let Message::Vote(vote) = message else { continue };
            let shown = match world.dice.below(4) {
                0 => Vote { kind: other(vote.kind), ..vote },
                1 => Vote { round: vote.round + 1, ..vote },
                2 => Vote { height, round, ..vote },
                _ => continue,
            };
            let to = world.dice.index(world.nodes.len());
            world.whisper(me, to, &Message::Vote(shown));
        }
        let vote = rehearsed(world, (height, round));
        world.shout(me, &Message::Vote(vote));
    }
}

fn other(kind: VoteKind) -> VoteKind {
    match kind {
        VoteKind::Prevote => VoteKind::Precommit,
        VoteKind::Precommit => VoteKind::Prevote,
    }
}

/// What some province voted on another chain, where it used the same key.
fn rehearsed(world: &mut World, (height, round): (u64, u32)) -> Vote {
    let seat = world.dice.index(world.founding.seats());
    let (province, key) = (world.founding.province(seat), &world.founding.keys(seat).validator);
    let block = Some(sha256(b"a block of the rehearsal"));
    let chain = sha256(b"the rehearsal");
    let kind = VoteKind::Precommit;
    let signature = key.sign(&vote_bytes(kind, &chain, height, round, block.as_ref()));
    Vote { kind, height, round, block, province, signature }
}
