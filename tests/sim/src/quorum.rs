//! The rules of the round in arithmetic of their own, so that a witness does not ask the code that
//! it watches: how many votes decide, and whose turn it is.

use symbolon_ledger::{codes::ProvinceCode, validators::ValidatorSet};

/// Fewest validators of which one may fail.
pub const FEWEST: usize = 4;

/// Whether so many votes are more than two thirds.
#[must_use]
pub fn decides(votes: usize, of: usize) -> bool {
    3 * votes > 2 * of
}

/// Whether so many votes have an honest one among them.
#[must_use]
pub fn has_an_honest_one(votes: usize, of: usize) -> bool {
    3 * votes > of
}

/// Whose turn it is: the provinces in ascending order, one further every height and every round.
#[must_use]
pub fn turn(set: &ValidatorSet, height: u64, round: u32) -> ProvinceCode {
    let voters = set.validators();
    let turn = (u128::from(height) + u128::from(round)) % voters.len() as u128;
    voters[usize::try_from(turn).expect("below a length")].province
}
