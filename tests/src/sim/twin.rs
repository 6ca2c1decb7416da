//! The liar: a seat with two nodes that share its key and know nothing of each other.
//!
//! Each keeps the rules by itself, so together they propose two blocks, vote both ways and are
//! convincing to whichever side of a split hears which. On top, a liar's blocks sometimes carry
//! a wrong state root, a time far in the future, or a transaction twice.

use symbolon_ledger::{
    block::{Block, transactions_root},
    hash::sha256,
};

use super::dice::Dice;

/// How far in the future a lying proposer may put a block, in milliseconds.
const FUTURE_MS: u64 = 60_000;

/// What becomes of a block in the hands of a liar.
pub fn falsify(block: &mut Block, dice: &mut Dice) {
    let header = &mut block.header;
    match dice.below(6) {
        0 => header.state_root = sha256(b"a root of nothing"),
        1 => header.time_ms += FUTURE_MS,
        2 => {
            let again = block.transactions.first().cloned();
            block.transactions.extend(again);
            header.transactions_root = transactions_root(&block.transactions);
        }
        _ => header.time_ms += 1 + dice.below(50),
    }
}
