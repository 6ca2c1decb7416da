//! Submitting transactions and asking what became of them.
//!
//! A submitter who waits is answered by the block, not by a guess: 200 carries the receipt. Who
//! waits for a transaction that does not apply is told why after the next block, and this node
//! forgets it. Other nodes to which it was passed on before may still commit it in its window.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{FromRequest as _, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use symbolon_contracts::Rejection;
use symbolon_ledger::hash::TransactionId;
use tokio::{sync::watch, time::Instant};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    blocks::no_block,
    error::{Problem, ProblemDocument},
    extract::{
        APPLICATION_CBOR, APPLICATION_COSE, Asked, Body, JsonBody, Named, TransactionPart,
        from_base64url, is_type, takes_at_most, to_base64url, unsupported, wants_cbor,
    },
    kept::unchanging,
    limits::{DEFAULT_COMMIT_WAIT, MAX_COMMIT_WAIT, MAX_TRANSACTION_BODY},
    words::hex,
};
use crate::{
    metrics::Kind,
    pool::{PoolStatus, SubmitError, Submitted},
    storage::{StorageError, View},
};

/// How long a transaction that does not apply is given, when no block comes: another one, on
/// which it rests, may be on its way.
const FAILING_PATIENCE: Duration = Duration::from_secs(3);

/// The routes that anybody may read.
pub(super) fn routes() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::default().routes(routes!(get_transaction)).routes(routes!(get_receipt))
}

/// The route that takes transactions. It is not for web pages of other origins.
pub(super) fn submit_route() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::default().routes(routes!(submit)).layer(takes_at_most(MAX_TRANSACTION_BODY))
}

/// Whether to wait.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Waiting {
    /// `commit`: answer when the transaction is committed.
    #[param(inline)]
    wait: Option<WaitFor>,
    /// Longest wait in milliseconds, at most 60,000; 10,000 when absent.
    timeout_ms: Option<u64>,
}

/// What to wait for.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum WaitFor {
    /// The commit.
    Commit,
}

impl Waiting {
    fn patience(&self) -> Result<Option<Duration>, Problem> {
        let asked = self.timeout_ms.map(Duration::from_millis);
        match (self.wait, asked) {
            (None, None) => Ok(None),
            (None, Some(_)) => {
                Err(Problem::bad("bad_query", "timeout_ms without wait", "add wait=commit"))
            }
            (Some(_), Some(asked)) if asked > MAX_COMMIT_WAIT => {
                let hint = "give at most 60000, and then ask GET /v1/transactions/{id}";
                Err(Problem::bad("bad_query", "timeout_ms is more than 60000", hint))
            }
            (Some(WaitFor::Commit), asked) => Ok(Some(asked.unwrap_or(DEFAULT_COMMIT_WAIT))),
        }
    }
}

/// A transaction in JSON.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SubmitBody {
    /// The COSE_Sign1's bytes, base64url without padding.
    transaction: String,
}

/// Why a transaction does not apply.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Failure {
    /// Stable code.
    code: &'static str,
    /// The operation; null for the transaction as a whole.
    operation_index: Option<usize>,
    /// How to mend it.
    hint: &'static str,
}

impl From<&Rejection> for Failure {
    fn from(why: &Rejection) -> Self {
        let (code, hint) = (why.code.name(), why.code.hint());
        Self { code, operation_index: why.operation_index, hint }
    }
}

/// Where a transaction stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum Standing {
    /// This node does not know it. What was refused at once was not kept, and is unknown too.
    Unknown,
    /// It waits.
    Pending {
        /// Why it did not apply when it was last tried.
        last_failure: Option<Failure>,
    },
    /// It is in a final block.
    Committed {
        /// Height of the block.
        height: u64,
        /// Its place in the block.
        index: u32,
    },
    /// It did not apply and this node dropped it. Another node that had it before may still commit
    /// it, and its bytes may be sent again while they are valid.
    Rejected(Failure),
    /// It was not committed in its window and never will be.
    Expired,
}

/// A transaction and where it stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct TransactionStanding {
    /// The transaction.
    id: String,
    /// Height of the answering node's newest block.
    tip: u64,
    /// The first height whose transactions the answering node knows. What was committed before is
    /// `unknown` to it.
    known_from: u64,
    #[serde(flatten)]
    standing: Standing,
}

/// A transaction that waits.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Accepted {
    /// The transaction.
    id: String,
    /// `pending`.
    state: &'static str,
    /// Why it did not apply when it was last tried.
    last_failure: Option<Failure>,
}

/// A committed transaction with its receipt.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Committed {
    /// The transaction.
    id: String,
    /// `committed`.
    state: &'static str,
    /// Height of its block.
    height: u64,
    /// The receipt, base64url of its CBOR.
    receipt: String,
}

/// A receipt in JSON.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ReceiptBody {
    /// The transaction.
    id: String,
    /// Height of its block.
    height: u64,
    /// Its place in the block.
    index: u32,
    /// The receipt, base64url of its CBOR.
    receipt: String,
}

/// Submits a signed transaction.
///
/// The body is the COSE_Sign1 itself (`application/cose`) or JSON around it. 202: it waits, and
/// `last_failure` says why when it does not apply now. 200: it is committed, with the receipt.
/// Sending the same bytes again is harmless.
#[utoipa::path(post, path = "/v1/transactions", tag = "transactions", params(Waiting),
    request_body(content((SubmitBody = "application/json"), (Vec<u8> = "application/cose"))),
    responses((status = 200, body = Committed), (status = 202, body = Accepted),
        (status = 400, body = ProblemDocument), (status = 413, body = ProblemDocument),
        (status = 415, body = ProblemDocument), (status = 422, body = ProblemDocument),
        (status = 503, body = ProblemDocument)))]
pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    Asked(waiting): Asked<Waiting>,
    request: Request,
) -> Result<Response, Problem> {
    let patience = waiting.patience()?;
    let bytes = read_transaction(request).await?;
    // Subscribed before the submission, so that its block cannot slip by.
    let commits = server.context.store.commits();
    let pool = server.context.pool.clone();
    let submitted = server.submissions.run(move || Ok(pool.submit(&bytes))).await?;
    match submitted {
        Ok(Submitted::Committed { id, .. }) => {
            let missing = || StorageError::damaged(format!("transaction {id} has no receipt"));
            Ok(committed(&server, id).await?.ok_or_else(missing)?)
        }
        Ok(Submitted::Pending(id)) => match patience {
            Some(patience) => wait(&server, id, commits, patience).await,
            None => Ok(accepted(&server, id)),
        },
        Err(error) => Err(refuse(&server, error)),
    }
}

fn refuse(server: &Server, error: SubmitError) -> Problem {
    server.context.metrics.refused.get_or_create(&Kind { kind: error.code }).inc();
    error.into()
}

async fn read_transaction(request: Request) -> Result<Vec<u8>, Problem> {
    if is_type(request.headers(), APPLICATION_COSE) {
        let Body(bytes) = Body::from_request(request, &()).await?;
        return Ok(bytes.to_vec());
    }
    if is_type(request.headers(), "application/json") {
        let JsonBody(SubmitBody { transaction }) = JsonBody::from_request(request, &()).await?;
        return from_base64url(&transaction);
    }
    Err(unsupported("application/cose (or application/json)"))
}

fn accepted(server: &Server, id: TransactionId) -> Response {
    let last_failure = match server.context.pool.status(&id) {
        Some(PoolStatus::Pending { last_failure: Some(why) }) => Some(Failure::from(&why)),
        _ => None,
    };
    let body = Accepted { id: hex(&id), state: "pending", last_failure };
    (StatusCode::ACCEPTED, Json(body)).into_response()
}

/// The answer with the receipt, once the transaction is committed.
async fn committed(server: &Arc<Server>, id: TransactionId) -> Result<Option<Response>, Problem> {
    let look = move |view: &View<'_>| match view.transaction(&id)? {
        Some(_) => read_receipt(view, &id).map(Some),
        None => Ok(None),
    };
    let Some((height, _, receipt)) = server.glance(look).await? else { return Ok(None) };
    let receipt = to_base64url(&receipt);
    let body = Committed { id: hex(&id), state: "committed", height, receipt };
    Ok(Some(Json(body).into_response()))
}

/// Height, place and receipt of a committed transaction.
fn read_receipt(view: &View<'_>, id: &TransactionId) -> Result<(u64, u32, Vec<u8>), Problem> {
    let missing = || StorageError::damaged(format!("transaction {id} has no receipt"));
    let location = view.transaction(id)?.ok_or_else(missing)?;
    if location.height < view.kept()?.blocks {
        return Err(no_block(view, location.height)?.about(Some(hex(id))));
    }
    let receipt = view.receipt(id)?.ok_or_else(missing)?;
    Ok((location.height, location.index, receipt))
}

/// Waits for the commit. Without a place to wait in, or in time, the answer is "pending".
async fn wait(
    server: &Arc<Server>,
    id: TransactionId,
    mut commits: watch::Receiver<u64>,
    patience: Duration,
) -> Result<Response, Problem> {
    let Ok(_place) = server.waits.clone().try_acquire_owned() else {
        return Ok(accepted(server, id));
    };
    let pool = &server.context.pool;
    // Before the first look, so that nothing can happen in between.
    let mut fate = pool.watch(id);
    let mut stopping = server.stopping.subscribe();
    let submitted_at = *commits.borrow_and_update();
    let now = Instant::now();
    let (deadline, failing_deadline) = (now + patience, now + FAILING_PATIENCE.min(patience));
    let mut retried_at = None;
    loop {
        let height = *commits.borrow_and_update();
        if let Some(committed) = committed(server, id).await? {
            return Ok(committed);
        }
        let failing = match pool.status(&id) {
            Some(PoolStatus::Rejected(why)) => return Err(refused(id, &why)),
            Some(PoolStatus::Expired) => return Err(expired(id)),
            Some(PoolStatus::Pending { last_failure }) => last_failure.is_some(),
            None => false,
        };
        let had_its_chance = height > submitted_at || Instant::now() >= failing_deadline;
        // Once a height: before the next one, the answer would be the same.
        let to_retry = failing && retried_at != Some(height);
        if to_retry && had_its_chance {
            retried_at = Some(height);
            let pool = pool.clone();
            let tried = server.submissions.run(move || Ok(pool.retry_or_drop(&id))).await?;
            tried.map_err(|error| refuse(server, error))?;
        }
        if Instant::now() >= deadline {
            return Ok(accepted(server, id));
        }
        let until = if to_retry && !had_its_chance { failing_deadline } else { deadline };
        tokio::select! {
            () = fate.changed() => {}
            // What fails may apply after any block.
            _ = commits.changed(), if failing => {}
            () = tokio::time::sleep_until(until) => {}
            // The node goes down, and the wait with it.
            _ = stopping.wait_for(|stopping| *stopping) => return Ok(accepted(server, id)),
        }
    }
}

fn refused(id: TransactionId, why: &Rejection) -> Problem {
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let mut problem = Problem::new(status, why.code.name(), why.to_string(), why.code.hint());
    problem.more.operation_index = Some(why.operation_index);
    problem.about(Some(hex(&id)))
}

fn expired(id: TransactionId) -> Problem {
    let detail = "it was not committed before its valid_until_height, and never will be";
    let hint = "sign it again with a later valid_until_height";
    let mut problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "expired", detail, hint);
    problem.more.operation_index = Some(None);
    problem.about(Some(hex(&id)))
}

/// Where a transaction stands, as this node sees it.
///
/// `committed` is final. The other states are one node's view: ask again, or ask another node.
#[utoipa::path(get, path = "/v1/transactions/{id}", tag = "transactions",
    params(("id" = String, Path, description = "64 hexadecimal digits")),
    responses((status = 200, body = TransactionStanding), (status = 400, body = ProblemDocument)))]
pub(super) async fn get_transaction(
    State(server): State<Arc<Server>>,
    Named(TransactionPart(id)): Named<TransactionPart>,
) -> Result<Json<TransactionStanding>, Problem> {
    // The pool is asked first: what leaves it for a block is in the snapshot taken after.
    let waiting = server.context.pool.status(&id);
    let look = move |view: &View<'_>| {
        let standing = match (view.transaction(&id)?, &waiting) {
            (Some(at), _) => Standing::Committed { height: at.height, index: at.index },
            (None, Some(PoolStatus::Pending { last_failure })) => {
                Standing::Pending { last_failure: last_failure.as_ref().map(Failure::from) }
            }
            (None, Some(PoolStatus::Rejected(why))) => Standing::Rejected(Failure::from(why)),
            (None, Some(PoolStatus::Expired)) => Standing::Expired,
            (None, None) => Standing::Unknown,
        };
        let known_from = view.kept()?.headers;
        Ok(TransactionStanding { id: hex(&id), tip: view.tip().height, known_from, standing })
    };
    server.glance(look).await.map(Json)
}

/// The receipt of a committed transaction. Its bytes, once given, never change.
#[utoipa::path(get, path = "/v1/transactions/{id}/receipt", tag = "transactions",
    params(("id" = String, Path, description = "64 hexadecimal digits")),
    responses((status = 200, content((ReceiptBody = "application/json"),
        (Vec<u8> = "application/cbor"))), (status = 404, body = ProblemDocument),
        (status = 410, body = ProblemDocument)))]
pub(super) async fn get_receipt(
    State(server): State<Arc<Server>>,
    Named(TransactionPart(id)): Named<TransactionPart>,
    headers: axum::http::HeaderMap,
) -> Result<Response, Problem> {
    let waiting = server.context.pool.status(&id);
    let look = move |view: &View<'_>| match view.transaction(&id)? {
        Some(_) => read_receipt(view, &id),
        None => Err(no_receipt(id, waiting.is_some()).at(view.tip().height)),
    };
    let (height, index, receipt) = server.read(look).await?;
    if wants_cbor(&headers) {
        return Ok(unchanging(([(header::CONTENT_TYPE, APPLICATION_CBOR)], receipt)));
    }
    let receipt = to_base64url(&receipt);
    Ok(unchanging(Json(ReceiptBody { id: hex(&id), height, index, receipt })))
}

fn no_receipt(id: TransactionId, known: bool) -> Problem {
    let problem = if known {
        let hint = "symbolon receipt get, or GET /v1/transactions/{id}, says where it stands";
        Problem::missing("not_committed", "the transaction is not committed", hint)
    } else {
        let hint = "submit it, or ask the node to which it was submitted";
        Problem::missing("unknown_transaction", "this node knows no such transaction", hint)
    };
    problem.about(Some(hex(&id)))
}
