//! Proposals of the provinces: what would change, who is for it, how many are missing.
//!
//! An answer tells the votes of those who have one now, since only these count. What an action would
//! change is for whoever asks to see: it stands here in full, and what it replaces in the registries
//! ([`super::registries`]), at the height of the answer.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use symbolon_ledger::{
    governance::{Action, GovernanceRecord, ProposalRecord, ProposalStatus},
    operation::KeyPurpose,
    records::ValidatorsRecord,
    state::StateKey,
    validators::ValidatorSet,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    catalogue::LicenceType,
    error::{Problem, ProblemDocument},
    extract::{Asked, Named, PathPart},
    proven::{Proof, Shown},
    registries::{List, One, Single, absent, one, page_size},
    words::{public_key, record},
};
use crate::storage::{StorageError, View};

/// The routes of this module.
pub(super) fn routes() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::default().routes(routes!(list_proposals)).routes(routes!(get_proposal))
}

/// A proposal.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Proposal {
    /// Its number.
    number: u32,
    /// `open`, `executed`, `rejected` or `expired`.
    state: &'static str,
    /// Code of the province that proposed it.
    proposer: String,
    /// What would change.
    action: ActionShown,
    /// Height of the proposal.
    proposed_at: u64,
    /// Last height at which it can be decided.
    expires_at_height: u64,
    /// Height at which it was decided; null while it is not.
    decided_at: Option<u64>,
    /// The newest word of every province that has spoken.
    votes: Vec<Vote>,
    /// Approvals of provinces that have a vote now.
    approvals: usize,
    /// Approvals that it takes with the provinces that have a vote now.
    needed: usize,
    /// Codes of the provinces that have a vote and have not spoken.
    silent: Vec<String>,
    /// The record, base64url of its CBOR.
    record: String,
}

/// What a province said.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Vote {
    /// Code of the province.
    province: String,
    /// Whether it approves; otherwise it rejects.
    approves: bool,
    /// Height at which it said so.
    at: u64,
    /// Whether it has a vote now, so that this is counted.
    counts: bool,
}

/// What would change. Its name, and what else belongs to it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "name", rename_all = "snake_case")]
pub(super) enum ActionShown {
    /// Let a province in.
    AddProvince {
        /// Its code.
        province: String,
        /// Chinese name.
        name_zh: String,
        /// English name.
        name_en: String,
        /// The origin under which its agencies will issue.
        issuer_origin: String,
        /// Raw public key of its authority, base64url.
        authority_key: String,
        /// Raw public key of its status lists, base64url.
        status_key: Option<String>,
    },
    /// Shut a province out.
    RemoveProvince {
        /// Its code.
        province: String,
    },
    /// Give a province a validator.
    AddValidator {
        /// Code of the province.
        province: String,
        /// Raw public key of its votes, base64url.
        key: String,
        /// Its libp2p peer id.
        peer_id: String,
    },
    /// Take a province's validator away.
    RemoveValidator {
        /// Code of the province.
        province: String,
    },
    /// Give a province's validator another key or peer id.
    RotateValidator {
        /// Code of the province.
        province: String,
        /// Raw public key of its votes, base64url.
        key: String,
        /// Its libp2p peer id.
        peer_id: String,
    },
    /// Add a licence type, or change one.
    SetLicenceType {
        /// The entry; of a new type, the chain gives the number.
        entry: Box<LicenceType>,
    },
    /// Replace a key with which a province signs transactions.
    RotateProvinceKey {
        /// Code of the province.
        province: String,
        /// Number of the key that ends.
        key_id: u32,
        /// Raw public key that takes its place, base64url.
        key: String,
        /// `transaction`.
        purpose: &'static str,
        /// Last height at which it is valid; null for no end.
        valid_until: Option<u64>,
    },
    /// Replace the parameters of the chain.
    SetParameters {
        /// Longest time between two blocks when nothing happens, in milliseconds.
        idle_block_interval_ms: u64,
        /// Greatest age of a header on which `valid` and `unknown` may rest, in milliseconds.
        max_staleness_ms: u64,
        /// Greatest age of an offline verifier's trust bundle, in milliseconds.
        bundle_max_age_ms: u64,
    },
    /// Let a rule begin at a height.
    ActivateFeature {
        /// Its number.
        feature: u32,
        /// Its name; null when this node does not know it, and would stop at that height.
        feature_name: Option<String>,
        /// First height at which it holds.
        height: u64,
    },
}

impl From<&Action> for ActionShown {
    fn from(action: &Action) -> Self {
        match action {
            Action::AddProvince { province: new } => Self::AddProvince {
                province: new.code.to_string(),
                name_zh: new.name_zh.to_string(),
                name_en: new.name_en.to_string(),
                issuer_origin: new.issuer_origin.to_string(),
                authority_key: public_key(&new.authority_key),
                status_key: new.status_key.as_ref().map(public_key),
            },
            Action::RemoveProvince { province } => {
                Self::RemoveProvince { province: province.to_string() }
            }
            Action::AddValidator { validator: v } => Self::AddValidator {
                province: v.province.to_string(),
                key: public_key(&v.key),
                peer_id: peer_id(&v.peer_id),
            },
            Action::RemoveValidator { province } => {
                Self::RemoveValidator { province: province.to_string() }
            }
            Action::RotateValidator { validator: v } => Self::RotateValidator {
                province: v.province.to_string(),
                key: public_key(&v.key),
                peer_id: peer_id(&v.peer_id),
            },
            Action::SetLicenceType { entry } => {
                Self::SetLicenceType { entry: Box::new(LicenceType::from(&**entry)) }
            }
            Action::RotateProvinceKey { province, key_id, key } => Self::RotateProvinceKey {
                province: province.to_string(),
                key_id: *key_id,
                key: public_key(&key.key),
                purpose: match key.purpose {
                    KeyPurpose::Transaction => "transaction",
                    KeyPurpose::Credential => "credential",
                    KeyPurpose::Status => "status",
                },
                valid_until: key.valid_until,
            },
            Action::SetParameters {
                idle_block_interval_ms,
                max_staleness_ms,
                bundle_max_age_ms,
            } => Self::SetParameters {
                idle_block_interval_ms: *idle_block_interval_ms,
                max_staleness_ms: *max_staleness_ms,
                bundle_max_age_ms: *bundle_max_age_ms,
            },
            Action::ActivateFeature { feature, height } => Self::ActivateFeature {
                feature: *feature,
                feature_name: symbolon_contracts::feature::name(*feature).map(Into::into),
                height: *height,
            },
        }
    }
}

/// A peer id as it is written; what is none is empty.
pub(super) fn peer_id(bytes: &[u8]) -> String {
    libp2p::PeerId::from_bytes(bytes).map_or_else(|_| String::new(), |id| id.to_string())
}

/// Who has a vote on the next block.
fn electorate(view: &View<'_>) -> Result<ValidatorSet, StorageError> {
    let record: Option<ValidatorsRecord> = view.record(&StateKey::Validators)?;
    record.map(|r| r.set).ok_or_else(|| StorageError::damaged("the validators are missing"))
}

fn show(
    view: &View<'_>,
    number: u32,
    proposal: &ProposalRecord,
) -> Result<Shown<Proposal>, StorageError> {
    let electorate = electorate(view)?;
    let vote = |vote: &symbolon_ledger::governance::ProposalVote| Vote {
        province: vote.province.to_string(),
        approves: vote.approves,
        at: vote.at,
        counts: electorate.get(vote.province).is_some(),
    };
    let votes: Vec<Vote> = proposal.votes.iter().map(vote).collect();
    let codes = electorate.validators().iter().map(|v| v.province);
    let silent = codes.filter(|code| proposal.votes.iter().all(|vote| vote.province != *code));
    let item = Proposal {
        number,
        // What can be decided is what the next block decides.
        state: proposal.state_at(view.tip().height.saturating_add(1)),
        proposer: proposal.proposer.to_string(),
        action: ActionShown::from(&proposal.action),
        proposed_at: proposal.proposed_at,
        expires_at_height: proposal.expires_at,
        decided_at: match proposal.status {
            ProposalStatus::Open => None,
            ProposalStatus::Executed { at } | ProposalStatus::Rejected { at } => Some(at),
        },
        approvals: votes.iter().filter(|vote| vote.approves && vote.counts).count(),
        needed: electorate.quorum(),
        silent: silent.map(|code| code.to_string()).collect(),
        votes,
        record: record(proposal),
    };
    let places = vec![StateKey::Proposal(number), StateKey::Validators];
    Ok(Shown { item, places, ended: Vec::new() })
}

/// Which proposals to list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ProposalPage {
    /// Only those that can still be decided.
    #[serde(default)]
    open: bool,
    /// Add a state proof over the items.
    #[serde(default)]
    proof: bool,
    /// Begin after the proposal of this number.
    after: Option<u32>,
    /// Most items, 1 to 1,000; 200 when absent.
    limit: Option<usize>,
}

/// The proposals of the provinces, by number.
#[utoipa::path(get, path = "/v1/proposals", tag = "registries", params(ProposalPage),
    responses((status = 200, body = List<Proposal>), (status = 400, body = ProblemDocument)))]
pub(super) async fn list_proposals(
    State(server): State<Arc<Server>>,
    Asked(asked): Asked<ProposalPage>,
) -> Result<Json<List<Proposal>>, Problem> {
    let size = page_size(asked.limit)?;
    let answer = move |view: &View<'_>| {
        let first = asked.after.map_or(Some(0), |after| after.checked_add(1));
        let mut numbers = numbers(view, first.unwrap_or(u32::MAX), asked.open)?.peekable();
        let mut proof = Proof::start(asked.proof, view);
        let mut items: Vec<Proposal> = Vec::new();
        while items.len() < size
            && let Some(number) = numbers.peek().copied()
        {
            let shown = show(view, number, &find(view, number)?.ok_or_else(gap)?)?;
            if !proof.cover(&shown, items.is_empty())? {
                break;
            }
            items.push(shown.item);
            numbers.next();
        }
        let next = items.last().filter(|_| numbers.peek().is_some()).map(|p| p.number.to_string());
        Ok(List { height: view.tip().height, items, next, proof: proof.finish()? })
    };
    server.read(answer).await.map(Json)
}

/// Numbers of proposals from `first` on: all, or those that the next block can decide.
fn numbers(
    view: &View<'_>,
    first: u32,
    open: bool,
) -> Result<Box<dyn Iterator<Item = u32>>, StorageError> {
    let record: Option<GovernanceRecord> = view.record(&StateKey::Governance)?;
    let Some(record) = record else { return Ok(Box::new(std::iter::empty())) };
    if !open {
        return Ok(Box::new(first..record.next_proposal));
    }
    let next = view.tip().height.saturating_add(1);
    let undecided =
        record.open.into_iter().filter(move |p| first <= p.number && p.can_be_decided_at(next));
    Ok(Box::new(undecided.map(|p| p.number)))
}

fn find(view: &View<'_>, number: u32) -> Result<Option<ProposalRecord>, StorageError> {
    view.record(&StateKey::Proposal(number))
}

fn gap() -> StorageError {
    StorageError::damaged("a proposal is missing")
}

/// The number of a proposal in a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number(u32);

/// Where the proposals are listed.
const LISTED: &str =
    "symbolon gov show, or GET /v1/proposals, lists them with their numbers, from 0";

impl PathPart for Number {
    fn read(text: &str) -> Result<Self, Problem> {
        let canonical = text.parse::<u32>().ok().filter(|number| number.to_string() == text);
        canonical.map(Self).ok_or_else(|| {
            Problem::bad("bad_number", "this is not the number of a proposal", LISTED)
        })
    }
}

/// One proposal.
#[utoipa::path(get, path = "/v1/proposals/{number}", tag = "registries",
    params(("number" = u32, Path, description = "Its number"), Single),
    responses((status = 200, body = One<Proposal>), (status = 400, body = ProblemDocument),
        (status = 404, body = ProblemDocument)))]
pub(super) async fn get_proposal(
    State(server): State<Arc<Server>>,
    Named(Number(number)): Named<Number>,
    Asked(asked): Asked<Single>,
) -> Result<Json<One<Proposal>>, Problem> {
    let answer = move |view: &View<'_>| {
        let Some(proposal) = find(view, number)? else {
            let detail = format!("no proposal {number}");
            let problem = Problem::missing("unknown_proposal", detail, LISTED);
            return absent(view, problem, &StateKey::Proposal(number), asked.proof);
        };
        one(view, asked.proof, show(view, number, &proposal)?)
    };
    server.read(answer).await.map(Json)
}
