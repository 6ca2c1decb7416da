//! The liar: a seat with two nodes that share its key and know nothing of each other.
//!
//! Each keeps the rules by itself, so together they propose two blocks, vote both ways and are
//! convincing to whichever side of a split hears which. On top, a liar's blocks sometimes carry
//! a wrong state root, a time far in the future, a transaction twice, or another's name; and it
//! tells single nodes of proposals that are not its to make, for them to pass on.

use symbolon_consensus::{Message, wire::Proposal};
use symbolon_ledger::{
    block::{Block, transactions_root},
    codes::ProvinceCode,
    hash::{BlockHash, sha256},
    vote::proposal_bytes,
};

use super::{dice::Dice, founding::Founding, node::Committed, post::Packet, world::World};

/// How far in the future a lying proposer may put a block, in milliseconds.
const FUTURE_MS: u64 = 60_000;

/// What becomes of a block in the hands of a liar.
pub fn falsify(block: &mut Block, another: ProvinceCode, dice: &mut Dice) {
    let header = &mut block.header;
    match dice.below(7) {
        0 => header.state_root = sha256(b"a root of nothing"),
        1 => header.time_ms += FUTURE_MS,
        2 => {
            let again = block.transactions.first().cloned();
            block.transactions.extend(again);
            header.transactions_root = transactions_root(&block.transactions);
        }
        3 => header.proposer = Some(another),
        _ => header.time_ms += 1 + dice.below(50),
    }
}

/// What becomes of a committed block that a liar is asked for: now and then its certificate
/// proves nothing, or its body is another's.
pub fn forge(committed: &mut Committed, dice: &mut Dice) {
    match dice.below(5) {
        0 => committed.certificate.signatures.truncate(1),
        1 => committed.certificate.round += 1,
        2 => committed.block.header.time_ms += 1,
        _ => {}
    }
}

impl World {
    /// Proposes what the liar's own host would refuse to propose, to one node alone.
    pub(super) fn lie(&mut self, id: usize, round: u32, block: BlockHash) {
        let node = &self.nodes[id];
        let (Some(memory), Some(seat)) = (&node.memory, node.seat) else { return };
        let founding = Founding::of(self.plan.validators);
        let height = memory.host.height();
        let bytes = proposal_bytes(&founding.chain_id, height, round, &block, None);
        let (province, signature) =
            (founding.province(seat), founding.voting_key(seat).sign(&bytes));
        let proposal = Proposal { height, round, block, pol_round: None, province, signature };
        let to = self.dice.index(self.nodes.len());
        if to != id {
            self.send(id, to, Packet::Bytes(Message::Proposal(proposal).encode()));
        }
    }

    /// Proposes in a round near its own, whoever's turn it is, a block that nobody has.
    pub(super) fn lie_out_of_turn(&mut self, id: usize) {
        let Some(memory) = &self.nodes[id].memory else { return };
        let round = memory.host.round().unwrap_or(0);
        let round = round + u32::try_from(self.dice.below(3)).expect("below three");
        let block = sha256(&self.dice.roll().to_be_bytes());
        self.lie(id, round, block);
    }
}
