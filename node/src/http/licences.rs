//! A licence as the ledger has it: its record, its proof, its history. No personal data: the
//! ledger has none.

use std::sync::Arc;

use axum::{Json, extract::State, http::HeaderMap, response::Response};
use serde::{Deserialize, Serialize};
use symbolon_credential::long_text::Base64UrlText;
use symbolon_ledger::{
    catalogue::LicenceTypeRecord,
    hash::Cid,
    operation::Actor,
    records::{
        AgencyIndexRecord, AgencyRecord, LicenceRecord, LicenceStatus, ProvinceRecord, Record,
        TypeIndexRecord, slot_list,
    },
    state::StateKey,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    error::{Problem, ProblemDocument},
    extract::{Asked, CidPart, Named},
    kept::Tag,
    registries::page_size,
    words::{AsOf, hex, instant, json_answer, json_bytes, month, record},
};
use crate::storage::{EventPlace, HistoryEntry, StorageError, View};

/// The routes of this module.
pub(super) fn routes() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::default().routes(routes!(get_licence)).routes(routes!(get_history))
}

/// A licence type by name.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct TypeName {
    /// Its code.
    code: String,
    /// Chinese name.
    name_zh: String,
    /// English name.
    name_en: String,
}

/// An issuing agency by name.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct IssuerName {
    /// Its credit code.
    uscc: String,
    /// Its name.
    name: String,
    /// Code of its province.
    province: String,
}

/// Where stock software finds a licence's status.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct StatusPlace {
    /// Address of the status list.
    uri: String,
    /// Place in the list.
    index: u32,
}

/// A licence.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Licence {
    /// Its name on the ledger.
    cid: String,
    /// Height of the snapshot.
    height: u64,
    /// `active`, `suspended`, `transfer_pending`, `superseded` or `revoked`. Expiry is not a
    /// status: compare `expiry`, or ask `POST /v1/verify`.
    status: &'static str,
    /// Class of the revocation, when revoked.
    revocation_class: Option<&'static str>,
    /// Its successor, when superseded.
    superseded_by: Option<String>,
    /// Credit code of the agency that may take it over, when a transfer is pending.
    transfer_to: Option<String>,
    /// Its type.
    licence_type: TypeName,
    /// The agency that has it.
    issuer: IssuerName,
    /// Number of the agency's key that signed the credential.
    credential_key: u32,
    /// Number of the agency's key that signed the transaction of issue.
    transaction_key: u32,
    /// Its status slot in the province.
    slot: u32,
    /// The same slot, as a place in a status list.
    status_list: StatusPlace,
    /// The month in which it ends, `YYYY-MM`; null for no end.
    expiry: Option<String>,
    /// Names the document whose versions follow each other.
    lineage: String,
    /// The licence that it replaced.
    previous: Option<String>,
    /// Height of its issue.
    issued_at: u64,
    /// Height of its last change.
    changed_at: u64,
    /// The record, base64url of its CBOR.
    record: String,
    /// State proof of the licence, its type, its agency, the agency's province and, when a
    /// transfer is pending, the number of the agency that may take it over, base64url.
    #[schema(value_type = String)]
    proof: Base64UrlText,
    /// The block on which this rests.
    as_of: AsOf,
}

/// What a licence refers to by number, and where all of it stands.
pub(super) struct Context {
    pub(super) licence_type: Arc<LicenceTypeRecord>,
    pub(super) agency: Arc<AgencyRecord>,
    places: Vec<StateKey>,
}

/// Reads a record that another one refers to: it must be there.
fn referred<R>(
    view: &View<'_>,
    places: &mut Vec<StateKey>,
    key: StateKey,
) -> Result<Arc<R>, StorageError>
where
    R: Record + Send + Sync + 'static,
{
    let record =
        view.shared(&key)?.ok_or_else(|| StorageError::damaged(format!("{key:?} is missing")))?;
    places.push(key);
    Ok(record)
}

/// Reads the type and the agency of a licence.
pub(super) fn context(
    view: &View<'_>,
    cid: Cid,
    licence: &LicenceRecord,
) -> Result<Context, StorageError> {
    let mut places = vec![StateKey::Licence(cid)];
    let number = StateKey::LicenceTypeByIndex(licence.type_index);
    let index: Arc<TypeIndexRecord> = referred(view, &mut places, number)?;
    let licence_type = referred(view, &mut places, StateKey::LicenceType(index.code.clone()))?;
    let number = StateKey::AgencyByIndex(licence.agency_index);
    let index: Arc<AgencyIndexRecord> = referred(view, &mut places, number)?;
    let agency = referred(view, &mut places, StateKey::Agency(index.uscc))?;
    Ok(Context { licence_type, agency, places })
}

fn show(view: &View<'_>, cid: Cid, licence: &LicenceRecord) -> Result<Licence, StorageError> {
    let Context { licence_type, agency, mut places } = context(view, cid, licence)?;
    let province: Arc<ProvinceRecord> =
        referred(view, &mut places, StateKey::Province(agency.province))?;
    let transfer_to = match licence.status {
        LicenceStatus::TransferPending { to } => {
            let key = StateKey::AgencyByIndex(to);
            let target: Arc<AgencyIndexRecord> = referred(view, &mut places, key)?;
            Some(target.uscc.to_string())
        }
        _ => None,
    };
    let (list, index) = slot_list(licence.slot);
    Ok(Licence {
        cid: hex(&cid),
        height: view.tip().height,
        status: licence.status.name(),
        revocation_class: match licence.status {
            LicenceStatus::Revoked { class } => Some(class.name()),
            _ => None,
        },
        superseded_by: match licence.status {
            LicenceStatus::Superseded { by } => Some(hex(&by)),
            _ => None,
        },
        transfer_to,
        licence_type: TypeName {
            code: licence_type.code.to_string(),
            name_zh: licence_type.name_zh.to_string(),
            name_en: licence_type.name_en.to_string(),
        },
        issuer: IssuerName {
            uscc: agency.uscc.to_string(),
            name: agency.name.to_string(),
            province: agency.province.to_string(),
        },
        credential_key: licence.credential_key,
        transaction_key: licence.transaction_key,
        slot: licence.slot,
        status_list: StatusPlace {
            uri: province.issuer_origin.status_list(&agency.province, list),
            index,
        },
        expiry: licence.expiry.map(month),
        lineage: hex(&licence.lineage),
        previous: licence.previous.as_ref().map(hex),
        issued_at: licence.issued_at,
        changed_at: licence.changed_at,
        record: record(licence),
        proof: Base64UrlText::of(&view.state_proof(&places)?),
        as_of: AsOf::from(view.tip()),
    })
}

/// The licence, or the problem that proves its absence.
fn find(view: &View<'_>, cid: Cid) -> Result<LicenceRecord, Problem> {
    let key = StateKey::Licence(cid);
    if let Some(licence) = view.record(&key)? {
        return Ok(licence);
    }
    let detail = format!("the ledger has no such licence at height {}", view.tip().height);
    let hint = "compare the cid with the credential; the proof shows that nothing stands there";
    let problem = Problem::missing("unknown_licence", detail, hint).at(view.tip().height);
    Err(problem.proven(Base64UrlText::of(&view.state_proof(&[key])?)))
}

/// A licence: record, status and state proof. The 404 proves the absence.
///
/// It may be kept, and with `If-None-Match` be asked for again: 304 until the next block.
#[utoipa::path(get, path = "/v1/licences/{cid}", tag = "licences",
    params(("cid" = String, Path, description = "64 hexadecimal digits"),
        ("if-none-match" = Option<String>, Header, description = "ETag of the answer at hand")),
    responses((status = 200, body = Licence),
        (status = 304, description = "There is no newer block than that of the answer at hand"),
        (status = 400, body = ProblemDocument),
        (status = 404, body = ProblemDocument, description = "With a proof of the absence")))]
pub(super) async fn get_licence(
    State(server): State<Arc<Server>>,
    Named(CidPart(cid)): Named<CidPart>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let look = move |view: &View<'_>| {
        let licence = find(view, cid)?;
        let tag = Tag::of(&view.mark(), &cid);
        let shown = if tag.is_known(&headers) {
            None
        } else {
            Some(json_bytes(&show(view, cid, &licence)?))
        };
        Ok((tag, shown))
    };
    let (tag, shown) = server.glance(look).await?;
    Ok(tag.on(shown.map(json_answer)))
}

/// One event of a licence.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct LicenceEvent {
    /// Height of its block.
    height: u64,
    /// Time of its block, RFC 3339.
    time: String,
    /// Its transaction.
    transaction: String,
    /// The operation's place in the transaction.
    operation_index: u32,
    /// The operation, such as `issue` or `revoke`.
    event: String,
    /// The licence's status after it.
    status: String,
    /// The licence that it replaced or that replaced it.
    related: Option<String>,
    /// Who signed it.
    actor: ActorName,
    /// Class of the revocation, when this is one.
    revocation_class: Option<String>,
}

/// An agency or a province by name.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ActorName {
    /// Credit code of the agency; null when it was a province itself.
    uscc: Option<String>,
    /// Its name; a province's is Chinese.
    name: String,
    /// Code of its province.
    province: String,
}

/// A page of a licence's events, oldest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct History {
    /// The licence.
    cid: String,
    /// Height of the snapshot.
    height: u64,
    /// Its events.
    items: Vec<LicenceEvent>,
    /// What to give as `after` for the next page; null at the end.
    next: Option<String>,
}

/// Which events to list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryPage {
    /// Begin after this event: `next` of the page before.
    after: Option<String>,
    /// Most items, 1 to 1,000; 200 when absent.
    limit: Option<usize>,
}

/// An event's place in words: height, transaction and operation, such as `12.0.3`.
fn name_place(place: EventPlace) -> String {
    let EventPlace { height, transaction_index, operation_index } = place;
    format!("{height}.{transaction_index}.{operation_index}")
}

fn read_place(text: &str) -> Result<EventPlace, Problem> {
    let read = || {
        let mut parts = text.splitn(3, '.');
        Some(EventPlace {
            height: parts.next()?.parse().ok()?,
            transaction_index: parts.next()?.parse().ok()?,
            operation_index: parts.next()?.parse().ok()?,
        })
    };
    read().ok_or_else(|| {
        Problem::bad("bad_query", "after is no place in a history", "give next of the page before")
    })
}

fn name_actor(view: &View<'_>, actor: Actor) -> Result<ActorName, StorageError> {
    let mut places = Vec::new();
    Ok(match actor {
        Actor::Agency(uscc) => {
            let agency: Arc<AgencyRecord> = referred(view, &mut places, StateKey::Agency(uscc))?;
            let province = agency.province.to_string();
            ActorName { uscc: Some(uscc.to_string()), name: agency.name.to_string(), province }
        }
        Actor::Province(code) => {
            let record: Arc<ProvinceRecord> =
                referred(view, &mut places, StateKey::Province(code))?;
            ActorName { uscc: None, name: record.name_zh.to_string(), province: code.to_string() }
        }
    })
}

fn show_event(view: &View<'_>, entry: &HistoryEntry) -> Result<LicenceEvent, StorageError> {
    Ok(LicenceEvent {
        height: entry.place.height,
        time: instant(super::blocks::header(view, entry.place.height)?.time_ms),
        transaction: hex(&entry.transaction),
        operation_index: entry.place.operation_index,
        event: entry.event.clone(),
        status: entry.status.clone(),
        related: entry.related.as_ref().map(hex),
        actor: name_actor(view, entry.actor)?,
        revocation_class: entry.revocation_class.clone(),
    })
}

/// Every event of a licence, oldest first.
#[utoipa::path(get, path = "/v1/licences/{cid}/history", tag = "licences",
    params(("cid" = String, Path, description = "64 hexadecimal digits"), HistoryPage),
    responses((status = 200, body = History), (status = 400, body = ProblemDocument),
        (status = 404, body = ProblemDocument, description = "With a proof of the absence"),
        (status = 410, body = ProblemDocument)))]
pub(super) async fn get_history(
    State(server): State<Arc<Server>>,
    Named(CidPart(cid)): Named<CidPart>,
    Asked(asked): Asked<HistoryPage>,
) -> Result<Json<History>, Problem> {
    let size = page_size(asked.limit)?;
    let after = asked.after.as_deref().map(read_place).transpose()?;
    let look = move |view: &View<'_>| {
        let licence = find(view, cid)?;
        let first = view.kept()?.events;
        if licence.issued_at < first && after.is_none_or(|after| after.height < first) {
            let detail = format!("its events before height {first} are not kept here");
            return Err(Problem::pruned(detail).at(view.tip().height));
        }
        let more_than_a_page = size.saturating_add(1);
        let mut events =
            view.history(&cid, after).take(more_than_a_page).collect::<Result<Vec<_>, _>>()?;
        let more = events.len() > size;
        events.truncate(size);
        let next = events.last().filter(|_| more).map(|last| name_place(last.place));
        let items = events.iter().map(|e| show_event(view, e)).collect::<Result<_, _>>()?;
        Ok(History { cid: hex(&cid), height: view.tip().height, items, next })
    };
    server.read(look).await.map(Json)
}
