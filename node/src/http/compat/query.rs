//! `queryCertInfo`: where a licence stands, by its cid or by a presentation of it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use symbolon_credential::date::{self, NO_EXPIRY};
use symbolon_ledger::{
    codes::TypeCode,
    hash::Cid,
    operation::Actor,
    records::{KeyRecord, LicenceRecord, LicenceStatus},
    state::StateKey,
};
use symbolon_verify::verdict::{LedgerStatus, Reason, Verdict};
use utoipa::ToSchema;

use super::{ReplyHead, RequestHead, bad, check_head, check_use_cause, codes::Reply, unknown_type};
use crate::{
    http::{
        Server,
        callers::Caller,
        error::{Problem, ProblemDocument},
        extract::{CidPart, JsonBody, PathPart as _},
        licences,
        registries::find_parameters,
        verify::{
            count,
            court::{Court, VerifyBody},
        },
        words::{AsOf, hex},
    },
    storage::{StorageError, View},
};

/// A question about one licence.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct QueryCertInfo {
    #[serde(default)]
    head: RequestHead,
    data: QueryCertData,
}

/// Which licence: by one of `cid` and `presentation`.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::http) struct QueryCertData {
    /// Code of the licence type that is expected.
    cert_type_code: Option<String>,
    /// The licence's name on the ledger.
    cid: Option<String>,
    /// A presentation of it.
    presentation: Option<String>,
    /// What it is needed for: at most 200 characters, kept nowhere.
    use_cause: Option<String>,
}

/// Where a licence stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(in crate::http) struct QueryCertReply {
    head: ReplyHead,
    /// Absent unless the ledger has the licence.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<CertInfo>,
}

/// A licence in the words of the shared service. From the ledger, but for what a presentation
/// showed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(in crate::http) struct CertInfo {
    /// The licence's name on the ledger.
    cid: String,
    /// Name of the type.
    #[serde(rename = "ZZMC")]
    type_name: String,
    /// Code of the type.
    #[serde(rename = "ZZLXDM")]
    type_code: String,
    /// Name of the issuing agency.
    #[serde(rename = "ZZBFJG")]
    issuer_name: String,
    /// Credit code of the issuing agency.
    #[serde(rename = "ZZBFJGDM")]
    issuer_code: String,
    /// First day, of a presentation whose signature holds.
    #[serde(rename = "ZZYXQQSRQ", skip_serializing_if = "Option::is_none")]
    valid_from: Option<String>,
    /// Last day, or 长期, of a presentation whose signature holds.
    #[serde(rename = "ZZYXQJZRQ", skip_serializing_if = "Option::is_none")]
    valid_until: Option<String>,
    /// `active`, `suspended`, `transfer_pending`, `superseded` or `revoked`.
    #[serde(rename = "ledgerStatus")]
    ledger_status: String,
    /// Its successor, when superseded.
    #[serde(rename = "supersededBy", skip_serializing_if = "Option::is_none")]
    superseded_by: Option<String>,
    /// What the presentation showed, by Chinese label; of status 0 only.
    #[serde(rename = "certData", skip_serializing_if = "Option::is_none")]
    cert_data: Option<BTreeMap<String, String>>,
    /// The block on which this rests.
    #[serde(rename = "asOf")]
    as_of: AsOf,
}

/// What is asked, complete.
enum Asked {
    Cid(Cid),
    Presentation(Box<VerifyBody>),
}

struct Question {
    licence_type: Option<TypeCode>,
    asked: Asked,
}

/// Says where a licence stands.
///
/// By cid, what the ledger knows; by presentation, the whole verdict in one code. Nothing personal
/// is in the answer but what the presentation itself showed.
#[utoipa::path(post, path = "/v1/compat/queryCertInfo", tag = "compatibility",
    request_body = QueryCertInfo,
    responses((status = 200, body = QueryCertReply), (status = 400, body = ProblemDocument),
        (status = 413, body = ProblemDocument), (status = 415, body = ProblemDocument),
        (status = 429, body = ProblemDocument), (status = 503, body = ProblemDocument)))]
pub(in crate::http) async fn query_cert_info(
    State(server): State<Arc<Server>>,
    caller: Caller,
    JsonBody(QueryCertInfo { head, data }): JsonBody<QueryCertInfo>,
) -> Result<Json<QueryCertReply>, Problem> {
    check_head(&head)?;
    let question = match read_question(data)? {
        Ok(question) => question,
        Err(reply) => return Ok(Json(QueryCertReply { head: (&reply).into(), data: None })),
    };
    let worker = server.clone();
    let look = move |view: &View<'_>| answer((&worker, caller), view, &question);
    let (reply, data) = server.check(look).await?;
    Ok(Json(QueryCertReply { head: (&reply).into(), data }))
}

fn read_question(data: QueryCertData) -> Result<Result<Question, Reply>, Problem> {
    let given = |text: Option<String>| text.filter(|t| !t.trim().is_empty());
    if let Some(cause) = &data.use_cause {
        check_use_cause(cause)?;
    }
    let asked = match (given(data.cid), given(data.presentation)) {
        (Some(_), Some(_)) => {
            return Err(bad("data has both cid and presentation", "give one of them"));
        }
        (None, None) => return Ok(Err(Reply::Missing("cid or presentation"))),
        (Some(cid), None) => Asked::Cid(CidPart::read(&cid)?.0),
        (None, Some(text)) => Asked::Presentation(Box::new(VerifyBody::of(text))),
    };
    let licence_type = match given(data.cert_type_code).map(|code| code.parse()).transpose() {
        Ok(licence_type) => licence_type,
        Err(_) => return Ok(Err(Reply::BadTypeCode)),
    };
    Ok(Ok(Question { licence_type, asked }))
}

fn answer(
    (server, caller): (&Server, Caller),
    view: &View<'_>,
    question: &Question,
) -> Result<(Reply, Option<CertInfo>), Problem> {
    if let Some(code) = &question.licence_type
        && let Some(reply) = unknown_type(view, code)?
    {
        return Ok((reply, None));
    }
    let (reply, info) = match &question.asked {
        Asked::Cid(cid) => by_cid(server, view, *cid)?,
        Asked::Presentation(body) => {
            let verdict = Court::open(server, view, (caller, false))?.verdict(body)?;
            count(server, verdict.outcome);
            by_presentation(view, &verdict)
        }
    };
    let expected = |info: &CertInfo| {
        question.licence_type.as_ref().is_none_or(|code| code.as_str() == info.type_code)
    };
    match info {
        Some(info) if !expected(&info) => Ok((Reply::NotFound, None)),
        info => Ok((reply, info)),
    }
}

/// What the ledger alone says. It knows the month of expiry, not the day: a licence counts as
/// expired once its month is over.
fn by_cid(
    server: &Server,
    view: &View<'_>,
    cid: Cid,
) -> Result<(Reply, Option<CertInfo>), Problem> {
    let now_ms = (server.context.clock)();
    let age = now_ms.saturating_sub(view.tip().header.time_ms);
    let is_stale = age > find_parameters(view)?.max_staleness_ms;
    let Some(licence) = view.record::<LicenceRecord>(&StateKey::Licence(cid))? else {
        return Ok((if is_stale { Reply::Undetermined } else { Reply::NotFound }, None));
    };
    let context = licences::context(view, cid, &licence)?;
    let info = CertInfo {
        cid: hex(&cid),
        type_name: context.licence_type.name_zh.to_string(),
        type_code: context.licence_type.code.to_string(),
        issuer_name: context.agency.name.to_string(),
        issuer_code: context.agency.uscc.to_string(),
        valid_from: None,
        valid_until: None,
        ledger_status: licence.status.name().to_owned(),
        superseded_by: match licence.status {
            LicenceStatus::Superseded { by } => Some(hex(&by)),
            _ => None,
        },
        cert_data: None,
        as_of: AsOf::from(view.tip()),
    };
    let this_month = date::month_of(date::day_of(now_ms / 1_000));
    let reply = if is_compromised(view, Actor::Agency(context.agency.uscc), &licence)? {
        Reply::Wrong(Reason::IssuerKeyCompromised)
    } else {
        match licence.status {
            LicenceStatus::Revoked { .. } | LicenceStatus::Superseded { .. } => Reply::Ended,
            _ if is_stale => Reply::Undetermined,
            LicenceStatus::Suspended | LicenceStatus::TransferPending { .. } => Reply::Restricted,
            LicenceStatus::Active if licence.expiry.is_some_and(|m| m < this_month) => {
                Reply::Expired
            }
            LicenceStatus::Active => Reply::Done,
        }
    };
    Ok((reply, Some(info)))
}

/// Whether a key behind the licence may have been in other hands when it was issued.
fn is_compromised(
    view: &View<'_>,
    agency: Actor,
    licence: &LicenceRecord,
) -> Result<bool, StorageError> {
    for id in [licence.credential_key, licence.transaction_key] {
        let place = StateKey::Key(agency, id);
        let key: Option<KeyRecord> = view.record(&place)?;
        let key = key.ok_or_else(|| StorageError::damaged(format!("{place:?} is missing")))?;
        if key.is_compromised_at(licence.issued_at) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn by_presentation(view: &View<'_>, verdict: &Verdict) -> (Reply, Option<CertInfo>) {
    let reply = Reply::of(verdict);
    let known = verdict.ledger_status != LedgerStatus::None;
    let parts = (&verdict.cid, &verdict.licence_type, &verdict.issuer);
    let (true, (Some(cid), Some(licence_type), Some(issuer))) = (known, parts) else {
        return (reply, None);
    };
    let has_days = verdict.valid_from.is_some();
    let until = verdict.valid_until.clone().unwrap_or_else(|| NO_EXPIRY.to_owned());
    let shown = || verdict.claims.iter().map(|c| (c.label_zh.clone(), c.value.clone()));
    let info = CertInfo {
        cid: cid.clone(),
        type_name: licence_type.name_zh.clone(),
        type_code: licence_type.code.clone(),
        issuer_name: issuer.name.clone(),
        issuer_code: issuer.uscc.clone(),
        valid_from: verdict.valid_from.clone(),
        valid_until: has_days.then_some(until),
        ledger_status: status_word(verdict.ledger_status).to_owned(),
        superseded_by: verdict.superseded_by.clone(),
        cert_data: (reply == Reply::Done).then(|| shown().collect()),
        as_of: AsOf::from(view.tip()),
    };
    (reply, Some(info))
}

fn status_word(status: LedgerStatus) -> &'static str {
    match status {
        LedgerStatus::Active => "active",
        LedgerStatus::Suspended => "suspended",
        LedgerStatus::TransferPending => "transfer_pending",
        LedgerStatus::Superseded => "superseded",
        LedgerStatus::Revoked => "revoked",
        LedgerStatus::None => "none",
    }
}
