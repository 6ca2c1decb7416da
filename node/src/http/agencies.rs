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
    registries::{List, One, Page, Single, absent, keys_of, page, page_size, province_code},
    words::{Key, proof_if, record},
};
use crate::storage::{StorageError, View};

/// Numbers of the kinds of [`StateKey`] that are listed.
mod kind {
    pub(super) const AGENCY: u8 = 4;
    pub(super) const SLOT_BLOCK: u8 = 10;
}

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

fn show_agency(view: &View<'_>, agency: &AgencyRecord) -> Result<Agency, StorageError> {
    let province: ProvinceRecord = view
        .record(&StateKey::Province(agency.province))?
        .ok_or_else(|| StorageError::damaged(format!("province {} is missing", agency.province)))?;
    Ok(Agency {
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
    })
}

fn find_agency(view: &View<'_>, uscc: &Uscc, proof: bool) -> Result<AgencyRecord, Problem> {
    let key = StateKey::Agency(*uscc);
    match view.record(&key)? {
        Some(agency) => Ok(agency),
        None => {
            let detail = format!("no agency {uscc} is registered");
            let hint = "GET /v1/agencies lists the registered agencies";
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
    let show = move |view: &View<'_>| {
        let mut all = view.scan::<AgencyRecord>(kind::AGENCY)?;
        all.retain(|(_, agency)| province.is_none_or(|p| agency.province == p));
        page(view, all, &part, |agency| agency.uscc.to_string(), |a| show_agency(view, a))
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
        let (keys, mut places) = keys_of(view, Actor::Agency(uscc), agency.next_key)?;
        places.insert(0, StateKey::Agency(uscc));
        let item = AgencyWithKeys { agency: show_agency(view, &agency)?, keys };
        let proof = proof_if(asked.proof, view, &places)?;
        Ok(One { item, height: view.tip().height, proof })
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
    /// Begin after this block.
    after: Option<u32>,
    /// Most items, 1 to 1,000; 200 when absent.
    limit: Option<usize>,
}

/// The blocks of status slots reserved for an agency, and which of their slots are used.
#[utoipa::path(get, path = "/v1/agencies/{uscc}/slots", tag = "registries",
    params(("uscc" = String, Path, description = "Unified social credit code"), SlotPage),
    responses((status = 200, body = Slots), (status = 404, body = ProblemDocument)))]
pub(super) async fn list_slots(
    State(server): State<Arc<Server>>,
    Named(uscc): Named<Uscc>,
    Asked(asked): Asked<SlotPage>,
) -> Result<Json<Slots>, Problem> {
    let size = page_size(asked.limit)?;
    let show = move |view: &View<'_>| {
        let agency = find_agency(view, &uscc, false)?;
        let province = agency.province;
        let mut items: Vec<SlotBlock> = Vec::new();
        let mut next = None;
        for (key, block) in view.scan::<SlotBlockRecord>(kind::SLOT_BLOCK)? {
            let StateKey::SlotBlock(of, number) = key else { continue };
            let wanted = of == province
                && block.agency_index == agency.index
                && asked.after.is_none_or(|after| number > after);
            let shown = show_slots(number, &block);
            if !wanted || (asked.free && shown.free == 0) {
                continue;
            }
            if items.len() == size {
                next = items.last().map(|last| last.block.to_string());
                break;
            }
            items.push(shown);
        }
        let list = List { height: view.tip().height, items, next, proof: None };
        Ok(Slots { province: province.to_string(), list })
    };
    server.read(show).await.map(Json)
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
