//! Sends much of what is long past, far ahead, or no message at all: votes of heights that are
//! decided and of heights and rounds that nobody has come to, and noise.

use symbolon_consensus::Message;
use symbolon_ledger::vote::VoteKind;

use super::Actor;
use crate::{post::Packet, world::World};

/// So many of each kind at a time.
const FLOOD: u64 = 6;
/// Rounds that nobody comes to.
const FAR_ROUND: u32 = 1 << 20;
/// Most bytes of noise.
const NOISE: u64 = 200;

pub(super) struct Flooder;

impl Actor for Flooder {
    fn idle(&self, world: &mut World, me: usize) {
        let Some((height, round)) = world.place_of(me) else { return };
        let to = world.dice.index(world.nodes.len());
        for n in 0..FLOOD {
            let block = Some(world.nobodys_block());
            let number = u32::try_from(n).expect("a few");
            for place in [
                (height.saturating_sub(1 + n % 3), round),
                (height + 1 + n % 4, number),
                (height + 1_000_000 + n, 0),
                (height, round.saturating_add(FAR_ROUND + number)),
                (height, round.saturating_add(number)),
            ] {
                if let Some(vote) = world.sign_vote(me, VoteKind::Prevote, place, block) {
                    world.whisper(me, to, &Message::Vote(vote));
                }
            }
        }
        let length = world.dice.below(NOISE);
        let noise: Vec<u8> = (0..length).map(|_| world.dice.roll().to_be_bytes()[0]).collect();
        if to != me {
            world.send(me, to, Packet::Bytes(noise));
        }
    }
}
