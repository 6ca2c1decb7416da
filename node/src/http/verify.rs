//! Verification: a presentation and the ledger at one height give one verdict.
//!
//! This module reads and proves; [`symbolon_verify`] judges. What a presentation says of a person
//! is in the answer and nowhere else: it is not logged, not counted and not kept.

use std::sync::Arc;

use axum::{
    Json,
    extract::{DefaultBodyLimit, FromRequest as _, Request, State},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use symbolon_credential::sd_jwt::Parsed;
use symbolon_ledger::{codes::ProvinceCode, state::StateKey};
use symbolon_verify::{
    judge::{Ledger, Request as Question, judge},
    verdict::{Outcome, Verdict},
    view::{AsOf, LedgerView, ReadError},
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    error::{Problem, ProblemDocument},
    extract::{JsonBody, code, to_base64url},
    limits::{MAX_BATCH, MAX_BATCH_BODY, MAX_VERIFY_BODY},
    openapi::VerdictBody,
    registries::find_parameters,
};
use crate::{
    metrics::Kind,
    storage::{StorageError, View},
};

/// How a presentation packed for QR codes begins.
const QR_PREFIX: &str = "ELC1:";
/// Longest audience or nonce, in bytes.
const MAX_BINDING_TEXT: usize = 512;
/// Beijing is eight hours ahead of UTC.
const BEIJING_OFFSET: &str = "+08:00";

/// The routes of this module.
pub(super) fn routes() -> OpenApiRouter<Arc<Server>> {
    let one = OpenApiRouter::default()
        .routes(routes!(verify))
        .layer(DefaultBodyLimit::max(MAX_VERIFY_BODY));
    let batch = OpenApiRouter::default()
        .routes(routes!(verify_batch))
        .layer(DefaultBodyLimit::max(MAX_BATCH_BODY));
    one.merge(batch)
}

/// What is to be verified, and for whom.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyBody {
    /// SD-JWT text: the issuer-signed JWT, disclosures and perhaps a key-binding JWT, each after
    /// a `~`.
    presentation: String,
    /// Whom the holder's signature must be meant for.
    audience: Option<String>,
    /// The challenge that the holder must have signed.
    nonce: Option<String>,
    /// Code of the province whose recognition is asked for; the answering node's when absent.
    recognising_province: Option<String>,
    /// Another time at which licence dates and recognition are judged: RFC 3339, or a day
    /// `YYYY-MM-DD` in Beijing. It never moves the freshness of the presentation.
    at: Option<String>,
}

/// Presentations to be verified at one height.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchBody {
    /// 1 to 1,000 of them.
    items: Vec<VerifyBody>,
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
    verdicts: Vec<Answer>,
}

/// A verdict, or why there is none.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Answer {
    /// The verdict.
    #[schema(value_type = VerdictBody)]
    Verdict(Box<Verdict>),
    /// The item cannot be read.
    Unreadable {
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

/// A question that can be put to the judge.
struct Case {
    presentation: Parsed,
    question: Question,
}

/// What all cases of one request share.
struct Court<'a, 'v> {
    view: &'a View<'v>,
    max_staleness_ms: u64,
    now_ms: u64,
    home: Option<ProvinceCode>,
    proof: bool,
}

/// Verifies a presentation.
///
/// Anything that can be parsed gets 200 and a verdict, also when the answer is no.
#[utoipa::path(post, path = "/v1/verify", tag = "verification", request_body = VerifyBody,
    responses((status = 200, body = VerdictBody), (status = 400, body = ProblemDocument),
        (status = 413, body = ProblemDocument), (status = 415, body = ProblemDocument),
        (status = 503, body = ProblemDocument)))]
pub(super) async fn verify(
    State(server): State<Arc<Server>>,
    JsonBody(body): JsonBody<VerifyBody>,
) -> Result<Json<Verdict>, Problem> {
    let worker = server.clone();
    let hear = move |view: &View<'_>| Court::open(&worker, view, true)?.answer(&body);
    let verdict = server.check(hear).await?;
    count(&server, &verdict);
    Ok(Json(verdict))
}

/// Verifies up to 1,000 presentations, all at one height.
///
/// An item that cannot be read has `{"error": {code, detail, hint}}` in its place.
#[utoipa::path(post, path = "/v1/verify/batch", tag = "verification", request_body = BatchBody,
    responses((status = 200, body = Verdicts), (status = 400, body = ProblemDocument),
        (status = 413, body = ProblemDocument), (status = 415, body = ProblemDocument),
        (status = 503, body = ProblemDocument)))]
pub(super) async fn verify_batch(
    State(server): State<Arc<Server>>,
    request: Request,
) -> Result<Json<Verdicts>, Problem> {
    let _place = server.batches.enter().await?;
    let JsonBody(body) = JsonBody::<BatchBody>::from_request(request, &()).await?;
    if !(1..=MAX_BATCH).contains(&body.items.len()) {
        let detail = format!("{} items; a batch has 1 to {MAX_BATCH}", body.items.len());
        return Err(Problem::bad("too_many_items", detail, "split the batch"));
    }
    let worker = server.clone();
    let hear = move |view: &View<'_>| {
        let court = Court::open(&worker, view, body.proof)?;
        let answers = worker.workers.install(|| {
            body.items.par_iter().map(|item| court.answer_item(item)).collect::<Result<_, _>>()
        })?;
        Ok(Verdicts { height: view.tip().height, verdicts: answers })
    };
    let verdicts = server.check(hear).await?;
    for answer in &verdicts.verdicts {
        if let Answer::Verdict(verdict) = answer {
            count(&server, verdict);
        }
    }
    Ok(Json(verdicts))
}

fn count(server: &Server, verdict: &Verdict) {
    let kind = match verdict.outcome {
        Outcome::Valid => "valid",
        Outcome::Invalid => "invalid",
        Outcome::Unknown => "unknown",
        Outcome::Undetermined => "undetermined",
    };
    server.context.metrics.verdicts.get_or_create(&Kind { kind }).inc();
}

impl<'a, 'v> Court<'a, 'v> {
    fn open(server: &Server, view: &'a View<'v>, proof: bool) -> Result<Self, Problem> {
        Ok(Self {
            view,
            max_staleness_ms: find_parameters(view)?.max_staleness_ms,
            now_ms: (server.context.clock)(),
            home: server.context.province,
            proof,
        })
    }

    fn answer_item(&self, item: &VerifyBody) -> Result<Answer, Problem> {
        match self.answer(item) {
            Ok(verdict) => Ok(Answer::Verdict(Box::new(verdict))),
            Err(problem) if problem.status.is_client_error() => {
                Ok(Answer::Unreadable { error: problem.into() })
            }
            Err(fault) => Err(fault),
        }
    }

    fn answer(&self, body: &VerifyBody) -> Result<Verdict, Problem> {
        let Case { presentation, question } = self.prepare(body)?;
        let as_of = AsOf::of(&self.view.tip().header);
        let get = |key: &StateKey| self.view.raw(key);
        let records = LedgerView::read(as_of, &presentation, question.recognising_province, get)
            .map_err(|error| match error {
                ReadError::Source(error) => error,
                record @ ReadError::Record { .. } => StorageError::damaged(record),
            })?;
        let proof = if self.proof { Some(self.view.state_proof(&records.keys)?) } else { None };
        let mut verdict = judge(&presentation, &Ledger::At(Box::new(records)), &question);
        verdict.proof = proof.as_deref().map(to_base64url);
        Ok(verdict)
    }

    fn prepare(&self, body: &VerifyBody) -> Result<Case, Problem> {
        let presentation = parse(&body.presentation)?;
        let recognising_province = match &body.recognising_province {
            Some(text) => self.province(text)?,
            None => self.home.ok_or_else(|| {
                let hint = "give recognising_province: this node belongs to no province";
                Problem::bad("bad_province", "recognising_province is missing", hint)
            })?,
        };
        for (name, text) in [("audience", &body.audience), ("nonce", &body.nonce)] {
            if text.as_ref().is_some_and(|t| t.len() > MAX_BINDING_TEXT) {
                let detail = format!("{name} is longer than {MAX_BINDING_TEXT} bytes");
                return Err(Problem::bad("bad_json", detail, "shorten it"));
            }
        }
        let question = Question {
            recognising_province,
            audience: body.audience.clone(),
            nonce: body.nonce.clone(),
            now_ms: self.now_ms,
            at_ms: body.at.as_deref().map(read_instant).transpose()?,
            // Dates and recognition are in the newest records, whatever the time asked for.
            earliest_at_ms: None,
            max_staleness_ms: self.max_staleness_ms,
        };
        Ok(Case { presentation, question })
    }

    fn province(&self, text: &str) -> Result<ProvinceCode, Problem> {
        let hint = "GET /v1/provinces lists the provinces of this chain";
        let province: ProvinceCode = code(text, "bad_province", hint)?;
        if self.view.raw(&StateKey::Province(province))?.is_none() {
            let detail = format!("recognising_province: no province {province}");
            return Err(Problem::bad("bad_province", detail, hint));
        }
        Ok(province)
    }
}

fn parse(text: &str) -> Result<Parsed, Problem> {
    let text = text.trim();
    let malformed =
        |detail: String, hint: &str| Problem::bad("malformed_presentation", detail, hint);
    if text.is_empty() {
        return Err(malformed("the presentation is empty".into(), "give the SD-JWT text"));
    }
    if text.starts_with(QR_PREFIX) {
        let hint = "this version reads SD-JWT text; give the text of the credential file";
        return Err(malformed("a presentation packed for QR codes".into(), hint));
    }
    Parsed::parse(text).map_err(|error| {
        let hint = "give the whole SD-JWT text, from eyJ to the last ~ or key-binding JWT";
        malformed(error.to_string(), hint)
    })
}

/// Reads an instant, or the first instant of a day in Beijing, as milliseconds since 1970.
fn read_instant(text: &str) -> Result<u64, Problem> {
    let bad = || {
        let hint = "give an instant such as 2026-11-23T08:00:00Z, or a day such as 2026-11-23";
        Problem::bad("bad_at", "at is no time since 1970", hint)
    };
    let day = symbolon_credential::date::parse(text).is_some();
    let spelt = if day { format!("{text}T00:00:00{BEIJING_OFFSET}") } else { text.to_owned() };
    let instant: jiff::Timestamp = spelt.parse().map_err(|_| bad())?;
    u64::try_from(instant.as_millisecond()).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_an_instant_or_a_day_in_beijing() {
        let ms = |text: &str| read_instant(text).ok();
        assert_eq!(ms("2026-11-23T16:00:00Z"), Some(1_795_449_600_000));
        assert_eq!(ms("2026-11-24"), Some(1_795_449_600_000));
        assert_eq!(ms("2026-11-24T00:00:00+08:00"), Some(1_795_449_600_000));
        for wrong in ["", "now", "2026-02-30", "1969-12-31T00:00:00Z", "2026-11-23T16:00:00"] {
            assert_eq!(ms(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_presentation_is_refused_with_a_hint() {
        for text in ["", "  ", "no licence", "ELC1:ABC", "a.b.c~"] {
            let problem = parse(text).unwrap_err();
            assert_eq!(problem.code, "malformed_presentation", "{text}");
            assert!(!problem.hint.is_empty());
        }
    }
}
