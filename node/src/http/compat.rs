//! The shapes of the national shared service, for systems that speak them: `verifyCertInfo` says
//! whether data match a presented licence, `queryCertInfo` where a licence stands.
//!
//! Only envelope and reply codes are taken over ([`codes`]); the answers come from the same verdict
//! as [`super::verify`]'s. Their tokens are passwords in disguise and open nothing here: they are
//! read for their form and dropped. The use cause is demanded, since whoever asks must have one,
//! and is kept nowhere. `docs/reference/compat.md` is the page for callers.

mod codes;

mod query;

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use symbolon_credential::encoding::parse_json;
use symbolon_ledger::{catalogue::MAX_CLAIMS, codes::TypeCode, state::StateKey};
use symbolon_verify::verdict::{Outcome, Verdict};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    callers::Caller,
    error::{Problem, ProblemDocument},
    extract::{JsonBody, takes_at_most},
    limits::MAX_VERIFY_BODY,
    verify::{
        count,
        court::{Court, VerifyBody},
    },
};
use crate::storage::View;
use codes::Reply;

/// Longest use cause, in characters, as the shared service has it.
const MAX_USE_CAUSE: usize = 200;
/// Longest access id or token, in bytes.
const MAX_ACCESS: usize = 512;

/// The routes of this module.
pub(super) fn routes() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::default()
        .routes(routes!(verify_cert_info))
        .routes(routes!(query::query_cert_info))
        .layer(takes_at_most(MAX_VERIFY_BODY))
}

/// Who asks, as the shared service wants to know it. Read for its form; it opens nothing here.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RequestHead {
    access_id: Option<String>,
    access_token: Option<String>,
}

/// How the answer begins.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ReplyHead {
    /// 0 done, 10 not found, 12 a parameter is missing, 13 no such type, 21 revoked or superseded,
    /// 22 expired, 23 suspended or being transferred, 113 a bad type code, 901 the presentation is
    /// proven wrong, 902 cannot be decided now.
    status: u16,
    /// The same in words, Chinese and English.
    message: String,
}

impl From<&Reply> for ReplyHead {
    fn from(reply: &Reply) -> Self {
        Self { status: reply.code(), message: reply.message() }
    }
}

/// A request to compare.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyCertInfo {
    #[serde(default)]
    head: RequestHead,
    data: VerifyCertData,
}

/// What is to be compared with what.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct VerifyCertData {
    /// Code of the licence type.
    cert_type_code: Option<String>,
    /// What stands on the face, by Chinese label or by key: an object of texts, or a text that
    /// is the JSON of one.
    #[schema(value_type = Object)]
    cert_data: Option<Value>,
    /// What it is needed for: 1 to 200 characters, kept nowhere.
    use_cause: Option<String>,
    /// The presentation to compare with.
    presentation: Option<String>,
}

/// Whether it matches.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct VerifyCertReply {
    head: ReplyHead,
    /// Absent from every answer but those of status 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Match>,
}

/// The one thing that is told.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Match {
    /// Whether the licence holds here and now, is of this type, and says all of this.
    r#match: bool,
}

/// Says whether data match a presented licence, and nothing else.
///
/// It compares only what the presentation shows: a field that is withheld does not match. Which
/// field differs is not told, nor whether it is a field or the licence that fails.
#[utoipa::path(post, path = "/v1/compat/verifyCertInfo", tag = "compatibility",
    request_body = VerifyCertInfo,
    responses((status = 200, body = VerifyCertReply), (status = 400, body = ProblemDocument),
        (status = 413, body = ProblemDocument), (status = 415, body = ProblemDocument),
        (status = 429, body = ProblemDocument), (status = 503, body = ProblemDocument)))]
pub(super) async fn verify_cert_info(
    State(server): State<Arc<Server>>,
    caller: Caller,
    JsonBody(VerifyCertInfo { head, data }): JsonBody<VerifyCertInfo>,
) -> Result<Json<VerifyCertReply>, Problem> {
    check_head(&head)?;
    let question = match read_question(data)? {
        Ok(question) => question,
        Err(reply) => return Ok(Json(VerifyCertReply { head: (&reply).into(), data: None })),
    };
    let worker = server.clone();
    let compare = move |view: &View<'_>| {
        if let Some(reply) = unknown_type(view, &question.licence_type)? {
            return Ok((reply, None, None));
        }
        let court = Court::open(&worker, view, (caller, false))?;
        let verdict = court.verdict(&VerifyBody::of(question.presentation.clone()))?;
        let (reply, data) = match verdict.outcome {
            Outcome::Undetermined => (Reply::Undetermined, None),
            _ => (Reply::Done, Some(Match { r#match: question.matches(&verdict) })),
        };
        Ok((reply, data, Some(verdict)))
    };
    let (reply, data, verdict) = server.check(compare).await?;
    if let Some(verdict) = verdict {
        count(&server, verdict.outcome);
    }
    Ok(Json(VerifyCertReply { head: (&reply).into(), data }))
}

/// What is to be compared, complete.
struct Question {
    licence_type: TypeCode,
    fields: BTreeMap<String, String>,
    presentation: String,
}

impl Question {
    /// Whether a licence that holds says all of this.
    fn matches(&self, verdict: &Verdict) -> bool {
        let same_type =
            verdict.licence_type.as_ref().is_some_and(|t| t.code == self.licence_type.as_str());
        let shown = |(name, value): (&String, &String)| {
            verdict
                .claims
                .iter()
                .any(|c| (c.key == *name || c.label_zh == *name) && c.value == *value)
        };
        verdict.outcome == Outcome::Valid && same_type && self.fields.iter().all(shown)
    }
}

/// The question in `data`; or what is missing in it, which is an answer of the shared service.
fn read_question(data: VerifyCertData) -> Result<Result<Question, Reply>, Problem> {
    let given = |text: Option<String>| text.filter(|t| !t.trim().is_empty());
    let fields = match data.cert_data {
        None | Some(Value::Null) => BTreeMap::new(),
        Some(fields) => read_fields(fields)?,
    };
    let Some(code) = given(data.cert_type_code) else {
        return Ok(Err(Reply::Missing("certTypeCode")));
    };
    if fields.is_empty() {
        return Ok(Err(Reply::Missing("certData")));
    }
    let Some(cause) = given(data.use_cause) else { return Ok(Err(Reply::Missing("useCause"))) };
    check_use_cause(&cause)?;
    let Some(presentation) = given(data.presentation) else {
        return Ok(Err(Reply::Missing("presentation")));
    };
    let Ok(licence_type) = code.parse() else { return Ok(Err(Reply::BadTypeCode)) };
    Ok(Ok(Question { licence_type, fields, presentation }))
}

fn bad(detail: impl Into<String>, hint: &str) -> Problem {
    Problem::bad("bad_json", detail, hint)
}

/// The fields to compare. What they say is in no error.
fn read_fields(value: Value) -> Result<BTreeMap<String, String>, Problem> {
    let hint = "give an object of texts, such as {\"姓名\": \"…\"}, or the JSON of one as a text";
    let value = match value {
        Value::String(text) => parse_json(text.as_bytes()).map_err(|_| {
            bad("data.certData is a text that is not JSON, or names a field twice", hint)
        })?,
        value => value,
    };
    let Value::Object(fields) = value else {
        return Err(bad("data.certData is not an object", hint));
    };
    if fields.len() > MAX_CLAIMS {
        let detail = format!("data.certData has more than {MAX_CLAIMS} fields");
        return Err(bad(detail, "give what stands on one licence"));
    }
    texts(fields).ok_or_else(|| bad("a value in data.certData is not a text", hint))
}

fn texts(fields: Map<String, Value>) -> Option<BTreeMap<String, String>> {
    let text = |(name, value)| match value {
        Value::String(value) => Some((name, value)),
        _ => None,
    };
    fields.into_iter().map(text).collect()
}

fn check_use_cause(cause: &str) -> Result<(), Problem> {
    let count = cause.chars().count();
    if count > MAX_USE_CAUSE {
        let detail = format!("data.useCause has {count} characters, more than {MAX_USE_CAUSE}");
        return Err(bad(detail, "shorten it"));
    }
    Ok(())
}

fn check_head(head: &RequestHead) -> Result<(), Problem> {
    let fits = |text: &Option<String>| {
        text.as_ref().is_none_or(|t| t.len() <= MAX_ACCESS && !t.chars().any(char::is_control))
    };
    if fits(&head.access_id) && fits(&head.access_token) {
        return Ok(());
    }
    let detail =
        format!("head.accessId and head.accessToken are texts of at most {MAX_ACCESS} bytes");
    Err(bad(detail, "leave them out: they open nothing here"))
}

/// The reply when the catalogue has no such type.
fn unknown_type(view: &View<'_>, code: &TypeCode) -> Result<Option<Reply>, Problem> {
    let known = view.raw(&StateKey::LicenceType(code.clone()))?.is_some();
    Ok((!known).then_some(Reply::UnknownType))
}
