//! The chain itself: blocks, certificates, and how this node stands.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use symbolon_ledger::{
    block::{Block, Header},
    certificate::{Certificate, MAX_CERTIFICATE_BYTES},
    codec,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    error::{Problem, ProblemDocument},
    extract::{APPLICATION_CBOR, Asked, HeightPart, Named, to_base64url, wants_cbor},
    kept::unchanging,
    registries::{List, page_size},
    words::{hex, instant},
};
use crate::{
    engine::{LastHeard, Stall},
    storage::{Kept, StorageError, View},
};

/// The routes of this module.
pub(super) fn routes() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::default()
        .routes(routes!(list_blocks))
        .routes(routes!(latest_block))
        .routes(routes!(get_block))
        .routes(routes!(get_certificate))
        .routes(routes!(get_status))
}

/// A block's header.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct HeaderBody {
    /// Version of the header's form.
    version: u8,
    /// The chain.
    chain_id: String,
    /// Number of the block.
    height: u64,
    /// Its time, RFC 3339.
    time: String,
    /// Its time in milliseconds since 1970.
    time_ms: u64,
    /// Hash of the block before.
    parent: String,
    /// RFC 9162 tree over the hashes of all earlier blocks.
    history_root: String,
    /// RFC 9162 tree over its transactions.
    transactions_root: String,
    /// Root of the state after it.
    state_root: String,
    /// Hash of the set that votes on it.
    validators_hash: String,
    /// Hash of the set that votes on the next one.
    next_validators_hash: String,
    /// Code of the province that proposed it first; null for block 0.
    proposer: Option<String>,
}

/// A block: the same on every node.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct BlockBody {
    /// Its hash.
    hash: String,
    /// Its header.
    header: HeaderBody,
    /// Its transactions' ids, in the order of execution.
    transactions: Vec<String>,
}

impl From<&Header> for HeaderBody {
    fn from(header: &Header) -> Self {
        Self {
            version: header.version,
            chain_id: hex(&header.chain_id),
            height: header.height,
            time: instant(header.time_ms),
            time_ms: header.time_ms,
            parent: hex(&header.parent),
            history_root: hex(&header.history_root),
            transactions_root: hex(&header.transactions_root),
            state_root: hex(&header.state_root),
            validators_hash: hex(&header.validators_hash),
            next_validators_hash: hex(&header.next_validators_hash),
            proposer: header.proposer.map(|province| province.to_string()),
        }
    }
}

impl From<&Block> for BlockBody {
    fn from(block: &Block) -> Self {
        Self {
            hash: hex(&block.hash()),
            header: HeaderBody::from(&block.header),
            transactions: block.transactions.iter().map(|t| hex(&t.id())).collect(),
        }
    }
}

/// The header of a block that exists.
pub(super) fn header(view: &View<'_>, height: u64) -> Result<Header, StorageError> {
    let bytes = view
        .header_bytes(height)?
        .ok_or_else(|| StorageError::damaged(format!("header {height} is missing")))?;
    Header::decode(&bytes).map_err(|e| StorageError::damaged(format!("header {height}: {e}")))
}

/// The problem of a height past the tip.
pub(super) fn unknown_block(view: &View<'_>, height: u64) -> Problem {
    let tip = view.tip().height;
    let detail = format!("there is no block {height}; the newest here is {tip}");
    Problem::missing("unknown_block", detail, "wait for it, or ask GET /v1/blocks/latest").at(tip)
}

/// The problem of a block that is not here: past the tip, or not kept any more.
///
/// # Errors
///
/// When it should be here.
pub(super) fn no_block(view: &View<'_>, height: u64) -> Result<Problem, StorageError> {
    let (tip, first) = (view.tip().height, view.kept()?.blocks);
    if height > tip {
        return Ok(unknown_block(view, height));
    }
    if height >= first {
        return Err(StorageError::damaged(format!("block {height} is missing")));
    }
    let detail = format!("block {height} is not kept any more; the first here is {first}");
    Ok(Problem::pruned(detail).at(tip))
}

/// A block in a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct BlockLine {
    /// Its number.
    height: u64,
    /// Its hash.
    hash: String,
    /// Its time, RFC 3339.
    time: String,
    /// Code of the province that proposed it first; null for block 0.
    proposer: Option<String>,
}

/// Which blocks to list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BlockPage {
    /// Begin below this height; at the newest when absent.
    after: Option<u64>,
    /// Most items, 1 to 1,000; 200 when absent.
    limit: Option<usize>,
}

/// Blocks, newest first.
#[utoipa::path(get, path = "/v1/blocks", tag = "chain", params(BlockPage),
    responses((status = 200, body = List<BlockLine>), (status = 400, body = ProblemDocument),
        (status = 410, body = ProblemDocument)))]
pub(super) async fn list_blocks(
    State(server): State<Arc<Server>>,
    Asked(asked): Asked<BlockPage>,
) -> Result<Json<List<BlockLine>>, Problem> {
    let size = page_size(asked.limit)?;
    let look = move |view: &View<'_>| {
        let (tip, first) = (view.tip().height, view.kept()?.headers);
        let end = asked.after.map_or(tip.saturating_add(1), |after| after.min(tip + 1));
        if first > 0 && end <= first {
            let detail = format!("headers before {first} are not kept here");
            return Err(Problem::pruned(detail).at(tip));
        }
        let start = end.saturating_sub(size as u64).max(first);
        let line = |height: u64| {
            // Headers only: a page of full blocks would be hundreds of megabytes.
            let header = header(view, height)?;
            Ok(BlockLine {
                height,
                hash: hex(&header.hash()),
                time: instant(header.time_ms),
                proposer: header.proposer.map(|province| province.to_string()),
            })
        };
        let items = (start..end).rev().map(line).collect::<Result<Vec<_>, StorageError>>()?;
        let next = (start > first).then(|| start.to_string());
        Ok(List { height: tip, items, next, proof: None })
    };
    server.read(look).await.map(Json)
}

fn block_answer(view: &View<'_>, height: u64, cbor: bool) -> Result<Response, Problem> {
    if cbor {
        let Some(bytes) = view.block_bytes(height)? else { return Err(no_block(view, height)?) };
        return Ok(([(header::CONTENT_TYPE, APPLICATION_CBOR)], bytes).into_response());
    }
    let Some(block) = view.block(height)? else { return Err(no_block(view, height)?) };
    Ok(Json(BlockBody::from(&block)).into_response())
}

/// The newest block.
#[utoipa::path(get, path = "/v1/blocks/latest", tag = "chain",
    responses((status = 200, content((BlockBody = "application/json"),
        (Vec<u8> = "application/cbor"))), (status = 410, body = ProblemDocument)))]
pub(super) async fn latest_block(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let cbor = wants_cbor(&headers);
    server.read(move |view| block_answer(view, view.tip().height, cbor)).await
}

/// A block, equal on every node.
#[utoipa::path(get, path = "/v1/blocks/{height}", tag = "chain",
    params(("height" = u64, Path, description = "Number of the block")),
    responses((status = 200, content((BlockBody = "application/json"),
        (Vec<u8> = "application/cbor"))), (status = 404, body = ProblemDocument),
        (status = 410, body = ProblemDocument)))]
pub(super) async fn get_block(
    State(server): State<Arc<Server>>,
    Named(HeightPart(height)): Named<HeightPart>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let cbor = wants_cbor(&headers);
    server.read(move |view| block_answer(view, height, cbor)).await.map(unchanging)
}

/// A precommit in a certificate.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct CommitSignature {
    /// Code of the province that signed.
    province: String,
    /// The signature, base64url.
    signature: String,
}

/// The precommits that made a block final. Nodes may hold different ones; each proves the same.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct CertificateBody {
    /// Height of the block.
    height: u64,
    /// Round in which it was committed.
    round: u32,
    /// Hash of the block.
    block: String,
    /// The precommits, in the order of their provinces.
    signatures: Vec<CommitSignature>,
    /// The certificate, base64url of its CBOR.
    certificate: String,
}

/// The certificate that this node holds of a block.
#[utoipa::path(get, path = "/v1/blocks/{height}/certificate", tag = "chain",
    params(("height" = u64, Path, description = "Number of the block")),
    responses((status = 200, content((CertificateBody = "application/json"),
        (Vec<u8> = "application/cbor"))), (status = 404, body = ProblemDocument),
        (status = 410, body = ProblemDocument)))]
pub(super) async fn get_certificate(
    State(server): State<Arc<Server>>,
    Named(HeightPart(height)): Named<HeightPart>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let cbor = wants_cbor(&headers);
    let look = move |view: &View<'_>| {
        if height == 0 {
            let hint = "block 0 is vouched for by the founding document";
            return Err(Problem::missing("no_certificate", "block 0 has no certificate", hint));
        }
        let bytes = view.certificate_bytes(height)?;
        let Some(bytes) = bytes else { return Err(no_block(view, height)?) };
        if cbor {
            return Ok(([(header::CONTENT_TYPE, APPLICATION_CBOR)], bytes).into_response());
        }
        let certificate: Certificate = codec::decode(&bytes, MAX_CERTIFICATE_BYTES)
            .map_err(|e| StorageError::damaged(format!("certificate {height}: {e}")))?;
        let signatures = certificate.signatures.iter().map(|s| CommitSignature {
            province: s.province.to_string(),
            signature: to_base64url(&s.signature.0),
        });
        let body = CertificateBody {
            height: certificate.height,
            round: certificate.round,
            block: hex(&certificate.block),
            signatures: signatures.collect(),
            certificate: to_base64url(&bytes),
        };
        Ok(Json(body).into_response())
    };
    server.read(look).await.map(unchanging)
}

/// What a validator said last, in a vote or proposal that this node has checked. All null when it
/// was not heard since this node was started.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ValidatorHeard {
    /// Code of its province.
    province: String,
    /// Height that it spoke of last.
    last_height: Option<u64>,
    /// Round that it spoke of last.
    last_round: Option<u32>,
    /// When it was heard, RFC 3339.
    last_heard: Option<String>,
}

/// The chain stands still, since too few validators answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct StallBody {
    /// When progress ended at this node, RFC 3339.
    since: String,
    /// Height that cannot be decided.
    height: u64,
    /// Validators that answer, this node with them if it votes.
    answering: usize,
    /// Validators that it takes.
    quorum: usize,
    /// Those that do not answer.
    missing: Vec<ValidatorHeard>,
}

impl From<&LastHeard> for ValidatorHeard {
    fn from(validator: &LastHeard) -> Self {
        Self {
            province: validator.province.to_string(),
            last_height: validator.last.map(|last| last.height),
            last_round: validator.last.map(|last| last.round),
            last_heard: validator.last.map(|last| instant(last.at_ms)),
        }
    }
}

impl From<&Stall> for StallBody {
    fn from(stall: &Stall) -> Self {
        Self {
            since: instant(stall.since_ms),
            height: stall.height,
            answering: stall.answering,
            quorum: stall.quorum,
            missing: stall.missing.iter().map(ValidatorHeard::from).collect(),
        }
    }
}

/// How much of the past this node has.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct HistoryBody {
    /// Whether it has all of it: every block since the founding.
    archive: bool,
    /// The first height whose block and certificate it has.
    blocks_from: u64,
    /// The first height whose header it has; it knows the transactions of blocks since then.
    headers_from: u64,
    /// The first height whose licence events it has.
    events_from: u64,
}

impl From<Kept> for HistoryBody {
    fn from(kept: Kept) -> Self {
        Self {
            archive: kept == Kept::default(),
            blocks_from: kept.blocks,
            headers_from: kept.headers,
            events_from: kept.events,
        }
    }
}

/// How this node stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Status {
    /// The chain.
    chain_id: String,
    /// Height of the newest block.
    height: u64,
    /// Its hash.
    hash: String,
    /// Its state root.
    state_root: String,
    /// Its time, RFC 3339.
    time: String,
    /// Code of the province whose node this is; null for an observer of none.
    province: Option<String>,
    /// `validator` or `observer`.
    role: &'static str,
    /// Whether it is behind: it fetches blocks that others have, copies a snapshot, or waits for a
    /// peer that has the next block.
    syncing: bool,
    /// Round of the running height.
    round: u32,
    /// Peers connected.
    peers: usize,
    /// `votes`; `observes`; `no_vote` (its key has none at this height); `below_mark` (its key has
    /// signed for this height or a later one, and its log is gone); `looks_on` (it does not know
    /// what its key has signed).
    voting: &'static str,
    /// Every other validator, and what it said last.
    validators: Vec<ValidatorHeard>,
    /// Provinces whose validators were not heard of lately; none while the node is behind.
    validators_missing: Vec<String>,
    /// Why no block is made: too few validators answer. Null while that is not so.
    stall: Option<StallBody>,
    /// Why the node stopped taking part.
    fault: Option<String>,
    /// When it last committed a block, RFC 3339.
    last_commit: Option<String>,
    /// How much of the past it has.
    history: HistoryBody,
    /// Its clock, RFC 3339.
    now: String,
    /// Version of its software.
    version: &'static str,
}

/// How this node stands.
#[utoipa::path(get, path = "/v1/status", tag = "chain", responses((status = 200, body = Status)))]
pub(super) async fn get_status(State(server): State<Arc<Server>>) -> Result<Json<Status>, Problem> {
    let engine = server.context.status.borrow().clone();
    let now = (server.context.clock)();
    let (province, role) = (server.context.province, server.context.role);
    let look = move |view: &View<'_>| {
        let tip = view.tip();
        Ok(Status {
            chain_id: hex(&view.chain_id()),
            height: tip.height,
            hash: hex(&tip.hash),
            state_root: hex(&tip.header.state_root),
            time: instant(tip.header.time_ms),
            province: province.map(|p| p.to_string()),
            role,
            syncing: engine.syncing,
            round: engine.round,
            peers: engine.peers_connected,
            voting: engine.voting.name(),
            validators: engine.validators.iter().map(ValidatorHeard::from).collect(),
            stall: engine.stall.as_ref().map(StallBody::from),
            validators_missing: engine.validators_missing.iter().map(ToString::to_string).collect(),
            fault: engine.fault,
            last_commit: (engine.last_commit_ms > 0).then(|| instant(engine.last_commit_ms)),
            history: HistoryBody::from(view.kept()?),
            now: instant(now),
            version: env!("CARGO_PKG_VERSION"),
        })
    };
    server.read(look).await.map(Json)
}
