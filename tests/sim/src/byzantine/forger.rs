//! Makes certificates for a block that nobody has: of its own signature under every name, of its
//! own signature as often as it takes, of too few, of good ones with a bad one among them, of
//! provinces that there are none of.

use symbolon_consensus::{
    Message,
    wire::{PolkaCertificate, RoundCertificate, RoundReason, RoundSeal, Seal},
};
use symbolon_ledger::{codes::ProvinceCode, keys::Signature, vote::VoteKind};

use super::Actor;
use crate::world::World;

pub(super) struct Forger;

impl Actor for Forger {
    fn idle(&self, world: &mut World, me: usize) {
        let Some((height, round)) = world.place_of(me) else { return };
        let round = round + u32::try_from(world.dice.below(2)).expect("below two");
        let block = world.nobodys_block();
        let kind = if world.dice.chance(50) { VoteKind::Prevote } else { VoteKind::Precommit };
        let Some(own) = world.sign_vote(me, kind, (height, round), Some(block)) else { return };
        let signers = signers(world, own.province);
        let seals: Vec<Seal> = signers
            .into_iter()
            .map(|province| Seal { province, signature: own.signature })
            .collect();
        let seals = spoil(world, seals);
        let forged = if kind == VoteKind::Prevote && world.dice.chance(60) {
            Message::Polka(PolkaCertificate { height, round, block, seals })
        } else {
            let skip = world.dice.chance(50);
            let reason = if skip { RoundReason::Skip } else { RoundReason::Precommit };
            let seal = |s: Seal| RoundSeal {
                kind,
                block: Some(block),
                province: s.province,
                signature: s.signature,
            };
            let seals = seals.into_iter().map(seal).collect();
            Message::Round(RoundCertificate { height, round, reason, seals })
        };
        let to = world.dice.index(world.nodes.len());
        world.whisper(me, to, &forged);
    }
}

/// In whose names: in its own again and again, or in everybody's.
fn signers(world: &mut World, own: ProvinceCode) -> Vec<ProvinceCode> {
    let seats = world.founding.seats();
    let enough = seats * 2 / 3 + 1;
    match world.dice.below(3) {
        0 => vec![own; enough],
        1 => (0..enough).map(|seat| world.founding.province(seat)).collect(),
        _ => vec![own],
    }
}

fn spoil(world: &mut World, mut seals: Vec<Seal>) -> Vec<Seal> {
    if world.dice.chance(20) {
        let at = world.dice.index(seals.len());
        seals[at].signature = Signature([0x5a; 64]);
    }
    seals
}
