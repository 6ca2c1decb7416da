//! One proposal, as a node tells it, and held against its state proof when the command line says
//! what to believe.
//!
//! The proof covers the proposal's record and the validators, so what would change, who is for it
//! and how many are needed. What stands now in other registries is the node's word.

use std::{thread, time::Duration};

use serde_json::{Value, json};
use symbolon_ledger::{
    governance::{ProposalRecord, ProposalStatus},
    records::ValidatorsRecord,
    state::StateKey,
    validators::ValidatorSet,
};
use symbolon_verify::state_proof::{self, StateProofError};

use super::super::trusted::{Believed, DISTRUST, dated, header_hint, is_unreached, proof_hint};
use crate::{
    client::{Node, NodeError, from_base64url, text},
    output::{Failure, Status},
};

/// A proposal.
pub(super) struct Proposal {
    /// The node's answer.
    pub(super) answer: Value,
    /// The record in it.
    pub(super) record: ProposalRecord,
    /// Which block's proof it stood against, for people; none when nothing was to be believed.
    pub(super) proof: Option<String>,
}

/// How often a node is asked for a proposal that it does not know.
#[derive(Debug, Clone, Copy)]
pub(super) enum Patience {
    /// Once: whoever looks may look again.
    None,
    /// For longer than a block takes to reach it: the proposal may just have been made elsewhere.
    Block,
}

/// How often, and with which pause between, a node is asked under [`Patience::Block`].
const ASKED: u32 = 8;
const PAUSE: Duration = Duration::from_millis(500);

/// Asks for a proposal; its proof is checked when `believed` names something.
///
/// # Errors
///
/// When the node does not answer, knows no such proposal, or its proof does not hold.
pub(super) fn read(
    number: u32,
    node: &Node,
    believed: &Believed,
    patience: Patience,
) -> Result<Proposal, Failure> {
    let path = format!("/v1/proposals/{number}");
    if !believed.is_given() {
        let answer = ask(&path, node, patience)?;
        let record = node.record(&answer)?;
        return Ok(Proposal { answer, record, proof: None });
    }
    let mut answer = ask(&format!("{path}?proof=true"), node, patience)?;
    let record: ProposalRecord = node.record(&answer)?;
    let proof = check(number, &answer, &record, believed)?;
    answer["proof_checked"] = json!(true);
    Ok(Proposal { answer, record, proof: Some(proof) })
}

fn ask(path: &str, node: &Node, patience: Patience) -> Result<Value, NodeError> {
    let attempts = match patience {
        Patience::None => 1,
        Patience::Block => ASKED,
    };
    for _ in 1..attempts {
        match node.get(path) {
            Err(NodeError::Problem(p)) if p.code == "unknown_proposal" => thread::sleep(PAUSE),
            answer => return answer,
        }
    }
    node.get(path)
}

fn check(
    number: u32,
    answer: &Value,
    record: &ProposalRecord,
    believed: &Believed,
) -> Result<String, Failure> {
    let refuse = |what: String| Failure::refused("bad_proof", what, DISTRUST);
    let trust = believed.trust()?;
    let proof = from_base64url(text(answer, "proof"));
    let proof = proof.ok_or_else(|| refuse("the answer has no proof".to_owned()))?;
    let state = state_proof::check(&proof, &trust).map_err(|error| match &error {
        StateProofError::Header(e) if is_unreached(e) => {
            let message = format!("its proof cannot be checked yet: {error}");
            Failure::new(Status::Undetermined, "more_needed", message, header_hint(e))
        }
        _ => {
            let message = format!("its proof proves nothing: {error}");
            Failure::refused("bad_proof", message, proof_hint(&error))
        }
    })?;
    let unproven = |e: state_proof::LookupError| refuse(e.to_string());
    let proven: Option<ProposalRecord> =
        state.get(&StateKey::Proposal(number)).map_err(unproven)?;
    let validators: Option<ValidatorsRecord> =
        state.get(&StateKey::Validators).map_err(unproven)?;
    let header = state.header().header();
    let told = validators.map(|v| told(record, &v.set, header.height));
    let same = |told: &Value| {
        told.as_object().is_some_and(|told| told.iter().all(|(name, v)| answer[name] == *v))
    };
    if proven.as_ref() != Some(record) || !told.as_ref().is_some_and(same) {
        return Err(refuse("the answer says otherwise than its proof".to_owned()));
    }
    Ok(format!("holds: certified by the provinces at {}", dated(header.height, header.time_ms)))
}

/// What a node's answer must say of a record at a height, where the validators are these.
fn told(record: &ProposalRecord, set: &ValidatorSet, height: u64) -> Value {
    let counts = |province| set.get(province).is_some();
    let approvals = record.votes.iter().filter(|v| v.approves && counts(v.province)).count();
    let spoken = |province| record.votes.iter().any(|vote| vote.province == province);
    let silent = set.validators().iter().map(|v| v.province).filter(|p| !spoken(*p));
    json!({
        "state": record.state_at(height.saturating_add(1)),
        "proposed_at": record.proposed_at,
        "expires_at_height": record.expires_at,
        "decided_at": match record.status {
            ProposalStatus::Open => None,
            ProposalStatus::Executed { at } | ProposalStatus::Rejected { at } => Some(at),
        },
        "approvals": approvals,
        "needed": set.quorum(),
        "silent": silent.map(|province| province.to_string()).collect::<Vec<_>>(),
    })
}
