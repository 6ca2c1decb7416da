//! Governance: the provinces propose, approve and reject, each with one vote.
//!
//! The electorate is the provinces that have a validator in the set that votes on the block in
//! hand, so it is fixed before the block's first operation. An action takes effect in the block
//! in which more than two thirds of it approve, once. What it needs and what it does is `action`'s;
//! it is asked when the action is proposed, and again when it takes effect.
//!
//! A vote names the action beside the number, so that it counts for nothing else than what its
//! signer has read, whenever it reaches the chain.
//!
//! A province may change its mind as long as nothing is decided. When so many reject that the rest
//! is no quorum, the proposal is over. Nothing happens by time alone: an expired proposal stays in
//! the state as it was, and every word about it is refused.

use std::sync::Arc;

use symbolon_ledger::{
    codec,
    codes::ProvinceCode,
    governance::{
        Action, GovernanceRecord, MAX_ACTION_BYTES, OpenProposal, ProposalRecord, ProposalStatus,
        ProposalVote,
    },
    hash::Digest,
    mutants::{self, Mutant},
    operation::Operation,
    records::{RECORD_VERSION, ValidatorsRecord},
    state::StateKey,
    validators::ValidatorSet,
};

use crate::{
    action, evidence,
    rejection::{RejectionCode as Code, Stop, ensure},
    transaction::Run,
    view::{StateFault, StateView},
};

/// Most undecided proposals of one province at a time.
pub const MAX_OPEN_PROPOSALS: usize = 8;
/// Fewest heights that a proposal lives. With the bound above it limits what a stolen key can
/// write into the state.
pub const SHORTEST_VOTE: u64 = 10;
/// Most heights that a proposal lives: eleven days of idle blocks, a day of full ones.
pub const LONGEST_VOTE: u64 = 100_000;

/// Applies an operation of the group.
pub(crate) fn apply<V: StateView>(
    run: &mut Run<'_, '_, V>,
    operation: &Operation,
) -> Result<(), Stop> {
    let province = run.signer.province()?;
    match operation {
        Operation::Propose { action, expires_at_height } => {
            propose(run, province, action, *expires_at_height)
        }
        Operation::Approve { proposal, action } => vote(run, province, *proposal, action, true),
        Operation::Reject { proposal, action } => vote(run, province, *proposal, action, false),
        Operation::Evidence { province, first, second } => {
            evidence::apply(run, *province, first, second)
        }
        _ => Err(Code::NotActive.into()),
    }
}

/// Whoever proposes and has a vote approves.
fn propose<V: StateView>(
    run: &mut Run<'_, '_, V>,
    proposer: ProvinceCode,
    action: &Action,
    expires_at: u64,
) -> Result<(), Stop> {
    ensure(codec::encode(action).len() <= MAX_ACTION_BYTES, Code::ActionTooLong)?;
    let life = expires_at.checked_sub(run.height);
    let fits = life.is_some_and(|life| (SHORTEST_VOTE..=LONGEST_VOTE).contains(&life));
    ensure(fits, Code::BadExpiryHeight)?;
    let mut governance = record(run)?;
    governance.open.retain(|p| p.can_be_decided_at(run.height));
    let own = governance.open.iter().filter(|p| p.proposer == proposer).count();
    ensure(own < MAX_OPEN_PROPOSALS, Code::TooManyProposals)?;
    action::effect(run, action)?;
    let number = governance.next_proposal;
    governance.next_proposal = number.checked_add(1).ok_or(Code::TooManyProposals)?;
    governance.open.push(OpenProposal { number, proposer, expires_at });
    let electorate = electorate(run)?;
    let vote = ProposalVote { province: proposer, approves: true, at: run.height };
    let votes = electorate.get(proposer).map(|_| vote).into_iter().collect();
    let proposal = ProposalRecord {
        version: RECORD_VERSION,
        proposer,
        action: action.clone(),
        proposed_at: run.height,
        expires_at,
        votes,
        status: ProposalStatus::Open,
    };
    run.overlay.put(StateKey::Proposal(number), proposal)?;
    run.overlay.put(StateKey::Governance, governance)?;
    tally(run, number, &electorate)?;
    Ok(())
}

fn vote<V: StateView>(
    run: &mut Run<'_, '_, V>,
    province: ProvinceCode,
    number: u32,
    action: &Digest,
    approves: bool,
) -> Result<(), Stop> {
    let place = StateKey::Proposal(number);
    let proposal: Arc<ProposalRecord> = run.overlay.get(&place)?.ok_or(Code::UnknownProposal)?;
    let meant = proposal.action.digest() == *action;
    ensure(meant || mutants::is(Mutant::VotesByNumber), Code::OtherAction)?;
    ensure(proposal.status == ProposalStatus::Open, Code::ProposalClosed)?;
    ensure(proposal.can_be_decided_at(run.height), Code::ProposalExpired)?;
    let electorate = electorate(run)?;
    ensure(electorate.get(province).is_some(), Code::NoVote)?;
    let at = proposal.votes.binary_search_by_key(&province, |vote| vote.province);
    let said = at.is_ok_and(|at| proposal.votes[at].approves == approves);
    drop(proposal);
    if !said {
        let vote = ProposalVote { province, approves, at: run.height };
        run.overlay.change(&place, |p: &mut ProposalRecord| match at {
            Ok(at) => p.votes[at] = vote,
            Err(at) => p.votes.insert(at, vote),
        })?;
    }
    // The same word again counts only when it decides now: the electorate may have become smaller
    // since, or what stood in the way may be gone.
    let decided = tally(run, number, &electorate)?;
    Ok(ensure(decided || !said, Code::AlreadyVoted)?)
}

/// Counts the votes of those who have one; true when they decide. Who has none any more is not
/// counted.
fn tally<V: StateView>(
    run: &mut Run<'_, '_, V>,
    number: u32,
    electorate: &ValidatorSet,
) -> Result<bool, Stop> {
    let place = StateKey::Proposal(number);
    let proposal = run.overlay.must::<ProposalRecord>(&place)?;
    let counted = proposal.votes.iter().filter(|vote| electorate.get(vote.province).is_some());
    let (approve, reject): (Vec<&ProposalVote>, Vec<&ProposalVote>) =
        counted.partition(|vote| vote.approves);
    let left = electorate.validators().len().saturating_sub(reject.len());
    let missing = usize::from(mutants::is(Mutant::ApprovalsTooFew));
    let status = if approve.len().saturating_add(missing) >= electorate.quorum() {
        ProposalStatus::Executed { at: run.height }
    } else if left < electorate.quorum() {
        ProposalStatus::Rejected { at: run.height }
    } else {
        return Ok(false);
    };
    let mut governance = record(run)?;
    governance.open.retain(|p| p.number != number);
    run.overlay.put(StateKey::Governance, governance)?;
    run.overlay.change(&place, |p: &mut ProposalRecord| p.status = status)?;
    if matches!(status, ProposalStatus::Executed { .. }) {
        // Its guard is checked here once more: what was proposed may have become impossible.
        action::effect(run, &proposal.action)?.write(run)?;
        run.note(proposal.action.name());
    }
    Ok(true)
}

/// What governance counts; before the first proposal, nothing.
pub(crate) fn record<V: StateView>(
    run: &mut Run<'_, '_, V>,
) -> Result<GovernanceRecord, StateFault> {
    let record: Option<Arc<GovernanceRecord>> = run.overlay.get(&StateKey::Governance)?;
    let none = || GovernanceRecord {
        version: RECORD_VERSION,
        next_proposal: 0,
        open: Vec::new(),
        validators_changed_at: 0,
    };
    Ok(record.map_or_else(none, |record| GovernanceRecord::clone(&record)))
}

/// The set that votes on the block in hand.
fn electorate<V: StateView>(run: &mut Run<'_, '_, V>) -> Result<ValidatorSet, StateFault> {
    let place = StateKey::Validators;
    let record: Option<ValidatorsRecord> = run.overlay.before(&place)?;
    record
        .map(|record| record.set)
        .ok_or_else(|| StateFault(format!("record {place:?} is missing")))
}
