//! Proposes blocks that do not follow from their parent: with a wrong state root, from the far
//! future or the past, with a transaction twice, under another's name; and it tells single nodes
//! of proposals that are not its to make, for them to pass on.

use std::sync::Arc;

use symbolon_consensus::{Input, Message};
use symbolon_ledger::{
    block::{Block, transactions_root},
    codes::ProvinceCode,
    hash::{BlockHash, sha256},
};

use super::Actor;
use crate::{dice::Dice, world::World};

/// How far in the future it may put a block, in milliseconds.
const FUTURE_MS: u64 = 60_000;

pub(super) struct BadBuilder;

impl Actor for BadBuilder {
    fn build(
        &self,
        world: &mut World,
        me: usize,
        round: u32,
        mut block: Block,
    ) -> Result<(), String> {
        let seat = world.nodes[me].seat.unwrap_or_default();
        let another = world.founding.province((seat + 1) % world.founding.seats());
        let parent_ms = world.nodes[me].disk.machine.tip().time_ms;
        falsify(&mut block, another, parent_ms, &mut world.dice);
        let header = block.header.clone();
        let Some(memory) = &mut world.nodes[me].memory else { return Ok(()) };
        memory.pool.insert(block.hash(), Arc::new(block));
        if header.proposer == Some(another) || header.time_ms <= parent_ms {
            // Its own host refuses to propose that.
            lie(world, me, round, header.hash());
            return Ok(());
        }
        world.step(me, Input::BlockBuilt { round, header })
    }

    /// Proposes in a round near its own, whoever's turn it is, a block that nobody has.
    fn idle(&self, world: &mut World, me: usize) {
        let Some((_, round)) = world.place_of(me) else { return };
        let round = round + u32::try_from(world.dice.below(3)).expect("below three");
        let block = world.nobodys_block();
        lie(world, me, round, block);
    }
}

/// What becomes of a block in its hands.
fn falsify(block: &mut Block, another: ProvinceCode, parent_ms: u64, dice: &mut Dice) {
    let header = &mut block.header;
    match dice.below(8) {
        0 => header.state_root = sha256(b"a root of nothing"),
        1 => header.time_ms += FUTURE_MS,
        2 => {
            let again = block.transactions.first().cloned();
            block.transactions.extend(again);
            header.transactions_root = transactions_root(&block.transactions);
        }
        3 => header.proposer = Some(another),
        4 => header.time_ms = parent_ms,
        _ => header.time_ms += 1 + dice.below(50),
    }
}

/// Tells everybody, or one node alone, of a proposal.
fn lie(world: &mut World, me: usize, round: u32, block: BlockHash) {
    let Some((height, _)) = world.place_of(me) else { return };
    let Some(proposal) = world.sign_proposal(me, (height, round), block) else { return };
    let proposal = Message::Proposal(proposal);
    if world.dice.chance(50) {
        world.shout(me, &proposal);
    } else {
        let to = world.dice.index(world.nodes.len());
        world.whisper(me, to, &proposal);
    }
}
