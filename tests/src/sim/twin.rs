//! The liar: a seat with two nodes that share its key and know nothing of each other.
//!
//! Each keeps the rules by itself, so together they propose two blocks, vote both ways and are
//! convincing to whichever side of a split hears which. On top, a liar's blocks sometimes carry
//! a wrong state root or a time far in the future.

use symbolon_ledger::{block::Header, hash::sha256};

use super::dice::Dice;

/// How far in the future a lying proposer may put a block, in milliseconds.
const FUTURE_MS: u64 = 60_000;

/// What becomes of a block in the hands of a liar.
pub fn falsify(header: &mut Header, dice: &mut Dice) {
    match dice.below(4) {
        0 => header.state_root = sha256(b"a root of nothing"),
        1 => header.time_ms += FUTURE_MS,
        _ => header.time_ms += 1 + dice.below(50),
    }
}
