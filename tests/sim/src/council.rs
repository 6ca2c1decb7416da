//! What the provinces decide together in a run: one validator leaves, comes back, or votes with
//! another key. Nothing here changes a set: there are only the transactions of governance, and the
//! rules of `contracts/` do the rest.
//!
//! One change is under way at a time, and at most one seat stands out, so that what a plan may
//! lose stays known. Whoever builds a block brings what some provinces have said, as if their
//! transactions had come to it before.

use symbolon_contracts::{governance::SHORTEST_VOTE, read};
use symbolon_genesis::founding::AUTHORITY_KEY_ID;
use symbolon_ledger::{
    governance::{Action, GovernanceRecord, ProposalRecord, ProposalStatus},
    hash::Digest,
    operation::{Actor, Operation},
    state::StateKey,
    transaction::SignedTransaction,
    validators::ValidatorSet,
};

use super::{agency::sign, dice::Dice, founding::Founding, machine::State};

/// How many provinces' words a builder brings to a block at most.
const WORDS: u64 = 4;
/// Of a hundred words, those against a proposal.
const AGAINST: u64 = 8;
/// Of a hundred blocks without an open proposal, those that bring one.
const PROPOSES: u64 = 60;

/// What some provinces say after this state.
pub fn words(founding: &Founding, state: &State, dice: &mut Dice) -> Vec<SignedTransaction> {
    let height = state.height() + 1;
    let said = match open_proposal(state, height) {
        Some((number, action)) => votes(founding, number, action, dice),
        None if dice.chance(PROPOSES) => {
            let life = dice.between(SHORTEST_VOTE, 2 * SHORTEST_VOTE);
            let action = change(founding, state.validators(), dice);
            let operation =
                Operation::Propose { action: Box::new(action), expires_at_height: height + life };
            vec![(dice.index(founding.seats()), operation)]
        }
        None => Vec::new(),
    };
    let word = |(seat, operation): (usize, Operation)| {
        let keys = founding.keys(seat);
        let actor = Actor::Province(keys.province);
        sign(founding, (actor, AUTHORITY_KEY_ID, &keys.authority), operation, height, dice)
    };
    said.into_iter().map(word).collect()
}

fn votes(
    founding: &Founding,
    proposal: u32,
    action: Digest,
    dice: &mut Dice,
) -> Vec<(usize, Operation)> {
    let words = 1 + dice.below(WORDS);
    let word = |_| {
        let against = dice.chance(AGAINST);
        let word = if against {
            Operation::Reject { proposal, action }
        } else {
            Operation::Approve { proposal, action }
        };
        (dice.index(founding.seats()), word)
    };
    (0..words).map(word).collect()
}

/// The proposal that may still be decided at `height`, and the digest of its action.
fn open_proposal(state: &State, height: u64) -> Option<(u32, Digest)> {
    let governance: GovernanceRecord = read(state, &StateKey::Governance).ok()??;
    let open = governance.open.iter().filter(|p| p.can_be_decided_at(height));
    open.map(|p| p.number).find_map(|number| {
        let place = StateKey::Proposal(number);
        let proposal: ProposalRecord = read(state, &place).ok().flatten()?;
        (proposal.status == ProposalStatus::Open).then(|| (number, proposal.action.digest()))
    })
}

/// The seat that stands out comes back, or one leaves, or one votes with another key.
fn change(founding: &Founding, set: &ValidatorSet, dice: &mut Dice) -> Action {
    let out = (0..founding.seats()).find(|seat| set.get(founding.province(*seat)).is_none());
    let seat = dice.index(founding.seats());
    match out {
        Some(out) if out == seat || dice.chance(60) => {
            let validator = founding.validator(out, dice.chance(50));
            Action::AddValidator { validator: Box::new(validator) }
        }
        None if dice.chance(50) => Action::RemoveValidator { province: founding.province(seat) },
        _ => {
            let now = set.get(founding.province(seat)).map(|validator| validator.key);
            let first = founding.validator(seat, false);
            let validator =
                if now == Some(first.key) { founding.validator(seat, true) } else { first };
            Action::RotateValidator { validator: Box::new(validator) }
        }
    }
}
