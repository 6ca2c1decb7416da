//! The issuing agencies: who they are, what they may issue, their keys and their status slots.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use symbolon_ledger::{
    codes::Uscc,
    operation::Actor,
    records::{AgencyRecord, ProvinceRecord, SLOTS_PER_BLOCK, SlotBlockRecord},
    state::StateKey,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    error::{Problem, ProblemDocument},
    extract::{Asked, Named, to_base64url},
    proven::{Proof, Shown},
    registries::{
        List, One, Page, Single, absent, beginning, keys_of, must_be_here, one, page, page_size,
        place, province_code,
    },
    words::{Key, record},
};
use crate::storage::{StorageError, View};

/// Number of the kind of [`StateKey`] that is listed.
mod kind {
    pub(super) const AGENCY: u8 = 4;
}

/// Most slot blocks of a province that are read for one page, of 530 bytes each. A province may
/// have a million, and those of one agency lie anywhere among them.
const MAX_BLOCKS_LOOKED_AT: usize = 4_096;

/// The routes of this module.
pub(super) fn routes() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::default()
        .routes(routes!(list_agencies))
        .routes(routes!(get_agency))
        .routes(routes!(list_slots))
}

/// An issuing agency.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Agency {
    /// Its credit code.
    uscc: String,
    /// Its number on this chain.
    index: u32,
    /// Its name.
    name: String,
    /// Code of its province.
    province: String,
    /// `active`, `suspended` or `deregistered`.
    status: &'static str,
    /// The `iss` of its credentials.
    issuer: String,
    /// Licence types that it may issue.
    scope: Vec<String>,
    /// Number that its next key gets.
    next_key: u32,
    /// The agency that took its licences over.
    successor: Option<String>,
    /// Height of its registration.
    registered_at: u64,
    /// Height of its last change.
    changed_at: u64,
    /// The record, base64url of its CBOR.
    record: String,
}

/// An agency with its keys.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct AgencyWithKeys {
    #[serde(flatten)]
    agency: Agency,
    /// Its keys.
    keys: Vec<Key>,
}

fn show_agency(view: &View<'_>, agency: &AgencyRecord) -> Result<Shown<Agency>, StorageError> {
    let home = StateKey::Province(agency.province);
    let province: ProvinceRecord = view
        .record(&home)?
        .ok_or_else(|| StorageError::damaged(format!("province {} is missing", agency.province)))?;
    let item = Agency {
        uscc: agency.uscc.to_string(),
        index: agency.index,
        name: agency.name.to_string(),
        province: agency.province.to_string(),
        status: agency.status.name(),
        issuer: province.issuer_origin.issuer(&agency.uscc),
        scope: agency.scope.iter().map(ToString::to_string).collect(),
        next_key: agency.next_key,
        successor: agency.successor.map(|uscc| uscc.to_string()),
        registered_at: agency.registered_at,
        changed_at: agency.changed_at,
        record: record(agency),
    };
    let places = vec![StateKey::Agency(agency.uscc), home];
    Ok(Shown { item, places, ended: Vec::new() })
}

/// A registered agency; otherwise the problem that there is none, with the proof of it if asked.
pub(super) fn find_agency(
    view: &View<'_>,
    uscc: &Uscc,
    proof: bool,
) -> Result<AgencyRecord, Problem> {
    let key = StateKey::Agency(*uscc);
    match view.record(&key)? {
        Some(agency) => Ok(agency),
        None => {
            let detail = format!("no agency {uscc} is registered");
            let hint = "symbolon agency list, or GET /v1/agencies, shows who is registered";
            absent(view, Problem::missing("unknown_agency", detail, hint), &key, proof)
        }
    }
}

/// Which agencies to list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AgencyPage {
    /// Only those of this province.
    province: Option<String>,
    /// Add a state proof over the items.
    #[serde(default)]
    proof: bool,
    /// Begin after this credit code.
    after: Option<String>,
    /// Most items, 1 to 1,000; 200 when absent.
    limit: Option<usize>,
}

/// The registered agencies.
#[utoipa::path(get, path = "/v1/agencies", tag = "registries", params(AgencyPage), responses(
    (status = 200, body = List<Agency>), (status = 400, body = ProblemDocument)))]
pub(super) async fn list_agencies(
    State(server): State<Arc<Server>>,
    Asked(asked): Asked<AgencyPage>,
) -> Result<Json<List<Agency>>, Problem> {
    let province = asked.province.as_deref().map(province_code).transpose()?;
    let part = Page { proof: asked.proof, after: asked.after, limit: asked.limit };
    let after: Option<Uscc> = place(part.after.as_deref())?;
    let show = move |view: &View<'_>| {
        must_be_here(view, "province", province)?;
        // Credit codes are all of one length, so the database has them in the order of their names.
        let first = after.map_or_else(Vec::new, |uscc| StateKey::Agency(uscc).encode());
        let all = view.scan_at::<AgencyRecord>(kind::AGENCY, &first);
        let all = all.map(|item| item.map(|(_, agency)| agency));
        let wanted = |a: &AgencyRecord| province.is_none_or(|p| a.province == p);
        let name = |agency: &AgencyRecord| agency.uscc.to_string();
        let few = beginning(all, &part, |agency| wanted(agency).then(|| name(agency)))?;
        page(view, &few, &part, name, |agency| show_agency(view, agency))
    };
    server.read(show).await.map(Json)
}

/// One agency and its keys.
#[utoipa::path(get, path = "/v1/agencies/{uscc}", tag = "registries",
    params(("uscc" = String, Path, description = "Unified social credit code"), Single),
    responses((status = 200, body = One<AgencyWithKeys>), (status = 404, body = ProblemDocument)))]
pub(super) async fn get_agency(
    State(server): State<Arc<Server>>,
    Named(uscc): Named<Uscc>,
    Asked(asked): Asked<Single>,
) -> Result<Json<One<AgencyWithKeys>>, Problem> {
    let show = move |view: &View<'_>| {
        let agency = find_agency(view, &uscc, asked.proof)?;
        let keys = keys_of(view, Actor::Agency(uscc), agency.next_key)?;
        let Shown { item: agency, mut places, .. } = show_agency(view, &agency)?;
        places.extend(keys.in_force);
        let item = AgencyWithKeys { agency, keys: keys.shown };
        one(view, asked.proof, Shown { item, places, ended: keys.ended })
    };
    server.read(show).await.map(Json)
}

/// A block of status slots that an agency has.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct SlotBlock {
    /// Its number in the province.
    block: u32,
    /// Its first slot.
    first_slot: u32,
    /// How many of its 4,096 slots are free.
    free: u32,
    /// Bitmap of the used slots, base64url: bit `i % 8` of byte `i / 8` is slot
    /// `first_slot + i`.
    used: String,
    /// The record, base64url of its CBOR.
    record: String,
}

/// A page of an agency's status slots.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Slots {
    /// Code of the province in whose lists they are.
    province: String,
    #[serde(flatten)]
    list: List<SlotBlock>,
}

/// Which slot blocks to list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SlotPage {
    /// Only blocks with a free slot.
    #[serde(default)]
    free: bool,
    /// Add a state proof over the agency and the items.
    #[serde(default)]
    proof: bool,
    /// Begin after this block.
    after: Option<u32>,
    /// Most items, 1 to 1,000; 200 when absent.
    limit: Option<usize>,
}

/// The blocks of status slots reserved for an agency, and which of their slots are used.
///
/// The blocks of a province are looked through in their order, 4,096 at once: a page may have few
/// items or none, and goes on after `next` all the same.
#[utoipa::path(get, path = "/v1/agencies/{uscc}/slots", tag = "registries",
    params(("uscc" = String, Path, description = "Unified social credit code"), SlotPage),
    responses((status = 200, body = Slots), (status = 404, body = ProblemDocument)))]
pub(super) async fn list_slots(
    State(server): State<Arc<Server>>,
    Named(uscc): Named<Uscc>,
    Asked(asked): Asked<SlotPage>,
) -> Result<Json<Slots>, Problem> {
    page_size(asked.limit)?;
    let show = move |view: &View<'_>| {
        let agency = find_agency(view, &uscc, asked.proof)?;
        let list = slots_of(view, &agency, &asked)?;
        Ok(Slots { province: agency.province.to_string(), list })
    };
    server.read(show).await.map(Json)
}

fn slots_of(
    view: &View<'_>,
    agency: &AgencyRecord,
    asked: &SlotPage,
) -> Result<List<SlotBlock>, Problem> {
    let size = page_size(asked.limit)?;
    let mut proof = Proof::start(asked.proof, view);
    proof.cover(&Shown::at(StateKey::Agency(agency.uscc), ()), true)?;
    let (mut items, mut looked_at, mut next) = (Vec::new(), None, None);
    let blocks = view.slot_blocks(agency.province, asked.after);
    for (count, block) in blocks.enumerate() {
        let (number, block) = block?;
        let shown = show_slots(number, &block);
        let wanted = block.agency_index == agency.index && (!asked.free || shown.free > 0);
        let shown = Shown::at(StateKey::SlotBlock(agency.province, number), shown);
        let full = count == MAX_BLOCKS_LOOKED_AT || (wanted && items.len() == size);
        if full || (wanted && !proof.cover(&shown, false)?) {
            next = looked_at;
            break;
        }
        if wanted {
            items.push(shown.item);
        }
        looked_at = Some(number.to_string());
    }
    Ok(List { height: view.tip().height, items, next, proof: proof.finish()? })
}

fn show_slots(number: u32, block: &SlotBlockRecord) -> SlotBlock {
    let used: u32 = block.used.iter().map(|byte| byte.count_ones()).sum();
    SlotBlock {
        block: number,
        first_slot: number.saturating_mul(SLOTS_PER_BLOCK),
        free: SLOTS_PER_BLOCK.saturating_sub(used),
        used: to_base64url(&block.used),
        record: record(block),
    }
}
