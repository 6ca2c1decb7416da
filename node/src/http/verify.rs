//! Verification: a presentation and the ledger at one height give one verdict.
//!
//! [`court`] reads and proves, [`symbolon_verify`] judges, [`recall`] remembers what was shown
//! here, [`challenges`] gives nonces. What a presentation says of a person is in the answer and
//! nowhere else: it is not logged, not counted, and not kept, but for the answer to a request with
//! an `Idempotency-Key` ([`super::idempotency`]).

pub(super) mod unpack;

pub(super) mod court;

mod challenges;

pub(super) mod recall;

pub(super) mod signatures;

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Request, State},
    response::Response,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use symbolon_verify::verdict::{Outcome, Verdict};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    bodies::{AtMost, LargeBody, parse_list},
    callers::Caller,
    error::{Problem, ProblemDocument},
    extract::{JsonBytes, must_be_json, parse_json, parse_object, takes_at_most},
    idempotency::{Asked, once},
    limits::{MAX_BATCH, MAX_BATCH_BODY, MAX_VERIFY_BODY},
    openapi::VerdictBody,
    words::json_bytes,
};
use crate::{metrics::Kind, storage::View};
use court::{Court, VerifyBody};
use recall::Heard;

/// Longest audience or nonce, in bytes.
const MAX_BINDING_TEXT: usize = 512;

/// The routes of this module.
pub(super) fn routes() -> OpenApiRouter<Arc<Server>> {
    let one =
        OpenApiRouter::default().routes(routes!(verify)).layer(takes_at_most(MAX_VERIFY_BODY));
    one.routes(routes!(verify_batch)).merge(challenges::routes())
}

/// Presentations to be verified at one height.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchBody {
    /// 1 to 1,000 of them.
    /// An item is read by itself, so that one of another shape costs no other its verdict.
    #[schema(value_type = Vec<VerifyBody>)]
    items: AtMost<Box<RawValue>, MAX_BATCH>,
    /// Whether each verdict carries its state proof; true when absent.
    #[serde(default = "yes")]
    proof: bool,
}

fn yes() -> bool {
    true
}

/// The verdicts, in the order of the items.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Verdicts {
    /// Height at which all were judged.
    height: u64,
    /// One for each item.
    #[schema(value_type = Vec<Answer>)]
    verdicts: Vec<Box<RawValue>>,
}

/// A verdict, or why there is none.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Answer {
    /// The verdict.
    #[schema(value_type = VerdictBody)]
    Verdict(Box<Verdict>),
    /// The item cannot be read, or its holder has shown too much.
    Refused {
        /// Why.
        error: ItemError,
    },
}

/// Why an item of a batch has no verdict.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ItemError {
    /// Stable code, as of a problem document.
    code: String,
    /// What is wrong.
    detail: String,
    /// How to mend it.
    hint: String,
}

impl From<Problem> for ItemError {
    fn from(problem: Problem) -> Self {
        let Problem { code, detail, hint, .. } = problem;
        Self { code: code.into_owned(), detail, hint }
    }
}

/// Verifies a presentation.
///
/// Anything that can be parsed gets 200 and a verdict, also when the answer is no. A presentation
/// that its holder signed is accepted once at this node; a retry with the same `Idempotency-Key`
/// and body gets the same answer, or 410 when it was too much to keep.
#[utoipa::path(post, path = "/v1/verify", tag = "verification", request_body = VerifyBody,
    params(("idempotency-key" = Option<String>, Header, description = "A random text of 1 to 128 characters, new for each request and the same for its retries")),
    responses((status = 200, body = VerdictBody), (status = 400, body = ProblemDocument),
        (status = 409, body = ProblemDocument), (status = 410, body = ProblemDocument),
        (status = 413, body = ProblemDocument), (status = 415, body = ProblemDocument),
        (status = 422, body = ProblemDocument), (status = 429, body = ProblemDocument),
        (status = 503, body = ProblemDocument)))]
pub(super) async fn verify(
    State(server): State<Arc<Server>>,
    caller: Caller,
    JsonBytes { headers, bytes }: JsonBytes,
) -> Result<Response, Problem> {
    let work = judge_one(server.clone(), caller, bytes.clone());
    let asked = Asked { route: "/v1/verify", headers: &headers, body: &bytes, caller };
    once(&server, asked, work).await
}

async fn judge_one(server: Arc<Server>, caller: Caller, bytes: Bytes) -> Result<Bytes, Problem> {
    let body: VerifyBody = parse_json(&bytes)?;
    let worker = server.clone();
    let judge = move |view: &View<'_>| Court::open(&worker, view, (caller, true))?.verdict(&body);
    // Nothing is remembered before everything was read, so it may be called again.
    let verdict = server.check_at_once(judge).await?;
    count(&server, verdict.outcome);
    Ok(json_bytes(&verdict))
}

/// Verifies up to 1,000 presentations, all at one height.
///
/// An item that cannot be read, or whose holder has shown too many, has
/// `{"error": {code, detail, hint}}` in its place. A retry with
/// the same `Idempotency-Key` and body gets the same answer, or 410 when it was too much to keep.
#[utoipa::path(post, path = "/v1/verify/batch", tag = "verification", request_body = BatchBody,
    params(("idempotency-key" = Option<String>, Header, description = "As for one presentation")),
    responses((status = 200, body = Verdicts), (status = 400, body = ProblemDocument),
        (status = 409, body = ProblemDocument), (status = 410, body = ProblemDocument),
        (status = 413, body = ProblemDocument), (status = 415, body = ProblemDocument),
        (status = 422, body = ProblemDocument), (status = 503, body = ProblemDocument)))]
pub(super) async fn verify_batch(
    State(server): State<Arc<Server>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    must_be_json(request.headers())?;
    let headers = request.headers().clone();
    let body = server.large.read(request, MAX_BATCH_BODY).await?;
    let bytes = body.bytes.clone();
    let asked = Asked { route: "/v1/verify/batch", headers: &headers, body: &bytes, caller };
    once(&server, asked, judge_batch(server.clone(), caller, body)).await
}

async fn judge_batch(
    server: Arc<Server>,
    caller: Caller,
    body: LargeBody,
) -> Result<Bytes, Problem> {
    let _place = server.batches.enter().await?;
    let worker = server.clone();
    let judge = move |view: &View<'_>| {
        let batch: BatchBody = parse_list(&body.bytes)?;
        let AtMost(items) = batch.items;
        if items.is_empty() {
            let detail = format!("no items; a batch has 1 to {MAX_BATCH}");
            return Err(Problem::bad("too_many_items", detail, "give at least one"));
        }
        let court = Court::open(&worker, view, (caller, batch.proof))?;
        let hear = || items.par_iter().map(|item| hear_item(&court, item)).collect();
        let heard: Result<Vec<HeardItem>, Problem> = worker.workers.install(hear);
        let answers = close_items(&court, heard?)?;
        // A verdict with its proof has a dozen kilobytes, so this is spread as well.
        let write = || answers.par_iter().map(write_answer).unzip();
        let (outcomes, verdicts): (Vec<_>, _) = worker.workers.install(write);
        Ok((outcomes, json_bytes(&Verdicts { height: view.tip().height, verdicts })))
    };
    let (outcomes, bytes) = server.check(judge).await?;
    outcomes.into_iter().flatten().for_each(|outcome| count(&server, outcome));
    Ok(bytes)
}

/// The outcome, if there is a verdict, and the JSON.
fn write_answer(answer: &Answer) -> (Option<Outcome>, Box<RawValue>) {
    let outcome = match answer {
        Answer::Verdict(verdict) => Some(verdict.outcome),
        Answer::Refused { .. } => None,
    };
    let written = serde_json::value::to_raw_value(answer);
    (outcome, written.expect("text and numbers always serialise"))
}

/// An item that was judged, or what is wrong with the item itself.
type HeardItem = Result<Heard, ItemError>;

fn hear_item(court: &Court<'_, '_>, item: &RawValue) -> Result<HeardItem, Problem> {
    let body = parse_object(item.get(), "the item");
    match body.and_then(|body: VerifyBody| court.hear(&body)) {
        Ok(heard) => Ok(Ok(heard)),
        Err(problem) if problem.status.is_client_error() => Ok(Err(problem.into())),
        Err(fault) => Err(fault),
    }
}

/// Closes the items in their order, so that of two equal ones always the second is refused.
fn close_items(court: &Court<'_, '_>, items: Vec<HeardItem>) -> Result<Vec<Answer>, Problem> {
    let mut heard = Vec::new();
    let keep = |item: HeardItem| item.map(|h| heard.push(h)).err();
    let unreadable: Vec<Option<ItemError>> = items.into_iter().map(keep).collect();
    let mut verdicts = court.close(heard)?.into_iter();
    let answer = |error: Option<ItemError>| match error {
        Some(error) => Answer::Refused { error },
        None => match verdicts.next().expect("each item that was heard was closed") {
            Ok(verdict) => Answer::Verdict(Box::new(verdict)),
            Err(problem) => Answer::Refused { error: problem.into() },
        },
    };
    Ok(unreadable.into_iter().map(answer).collect())
}

/// Counts a verdict that was given.
pub(super) fn count(server: &Server, outcome: Outcome) {
    let kind = match outcome {
        Outcome::Valid => "valid",
        Outcome::Invalid => "invalid",
        Outcome::Unknown => "unknown",
        Outcome::Undetermined => "undetermined",
    };
    server.context.metrics.verdicts.get_or_create(&Kind { kind }).inc();
}
