//! What one province recognises of another's licences, listed as in [`super::registries`].

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use symbolon_ledger::{
    codes::{ProvinceCode, TypeCode},
    records::RecognitionRecord,
    state::StateKey,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    error::{Problem, ProblemDocument},
    extract::{Asked, PathPart},
    proven::Shown,
    registries::{List, Page, must_be_here, no_place, page, page_size, province_code},
    words::{day, proof_if, record},
};
use crate::storage::View;

/// Number of the kind of [`StateKey`] that is listed.
const KIND: u8 = 11;

/// The routes of this module.
pub(super) fn routes() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::default().routes(routes!(list_recognition))
}

/// What one province recognises of another's licences.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Recognition {
    /// Code of the province that recognises.
    recognising_province: String,
    /// Code of the province whose agencies issue.
    issuing_province: String,
    /// The licence type.
    licence_type: String,
    /// When.
    intervals: Vec<Days>,
    /// The record, base64url of its CBOR.
    record: String,
}

/// A span of Beijing days, both ends included.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Days {
    /// First day.
    from: String,
    /// Last day; null for no end.
    until: Option<String>,
}

/// Which recognitions to list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RecognitionPage {
    /// Only of this recognising province.
    recognising: Option<String>,
    /// Only of this issuing province.
    issuing: Option<String>,
    /// Only of this licence type.
    r#type: Option<String>,
    /// Add a state proof over the items; with all three given, over their one place, whether
    /// something stands there or not.
    #[serde(default)]
    proof: bool,
    /// Begin after this item.
    after: Option<String>,
    /// Most items, 1 to 1,000; 200 when absent.
    limit: Option<usize>,
}

/// Who recognises whose licences.
///
/// A licence type marked `national` is recognised everywhere, and a province always recognises
/// its own, without a record.
#[utoipa::path(get, path = "/v1/recognition", tag = "registries", params(RecognitionPage),
    responses((status = 200, body = List<Recognition>), (status = 400, body = ProblemDocument)))]
pub(super) async fn list_recognition(
    State(server): State<Arc<Server>>,
    Asked(asked): Asked<RecognitionPage>,
) -> Result<Json<List<Recognition>>, Problem> {
    let recognising = asked.recognising.as_deref().map(province_code).transpose()?;
    let issuing = asked.issuing.as_deref().map(province_code).transpose()?;
    let of_type = asked.r#type.as_deref().map(<TypeCode as PathPart>::read).transpose()?;
    let part = Page { proof: asked.proof, after: asked.after, limit: asked.limit };
    let first = part.after.as_deref().map(first_of_the_same_provinces);
    let first = first.map(|place| place.ok_or_else(no_place)).transpose()?.unwrap_or_default();
    let show = move |view: &View<'_>| {
        must_be_here(view, "recognising", recognising)?;
        must_be_here(view, "issuing", issuing)?;
        let wanted = |by: &ProvinceCode, of: &ProvinceCode, code: &TypeCode| {
            recognising.is_none_or(|p| p == *by)
                && issuing.is_none_or(|p| p == *of)
                && of_type.as_ref().is_none_or(|t| t == code)
        };
        let all = recognitions(view, &part, &first, wanted)?;
        let none = all.is_empty();
        let show =
            |(key, shown): &(StateKey, Recognition)| Ok(Shown::at(key.clone(), shown.clone()));
        let mut list = page(view, &all, &part, |(_, shown)| recognition_name(shown), show)?;
        if let (true, Some(by), Some(of), Some(code)) = (none, recognising, issuing, of_type) {
            list.proof = proof_if(part.proof, view, &[StateKey::Recognition(by, of, code)])?;
        }
        Ok(list)
    };
    server.read(show).await.map(Json)
}

/// What [`page`] needs of the recognitions that are `wanted`, from the place `first` on. Those of
/// two provinces lie together, in another order than that of their names, so they are read to the
/// last.
fn recognitions(
    view: &View<'_>,
    page: &Page,
    first: &[u8],
    wanted: impl Fn(&ProvinceCode, &ProvinceCode, &TypeCode) -> bool,
) -> Result<Vec<(StateKey, Recognition)>, Problem> {
    let size = page_size(page.limit)?;
    let after = page.after.as_deref();
    let (mut found, mut provinces) = (Vec::new(), None);
    for item in view.scan_at::<RecognitionRecord>(KIND, first) {
        let (key, record) = item?;
        let StateKey::Recognition(by, of, code) = &key else { continue };
        if provinces.replace((*by, *of)) != Some((*by, *of)) && found.len() > size {
            break;
        }
        let shown = show_recognition(*by, *of, code, &record);
        let is_in = after.is_none_or(|after| recognition_name(&shown).as_str() > after);
        if is_in && wanted(by, of, code) {
            found.push((key, shown));
        }
    }
    Ok(found)
}

/// Where the recognitions of the two provinces begin that the name of one names.
fn first_of_the_same_provinces(name: &str) -> Option<Vec<u8>> {
    let mut parts = name.splitn(3, '.');
    let (by, of) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let code: TypeCode = parts.next()?.parse().ok()?;
    let of_code = symbolon_ledger::codec::encode(&code).len();
    let mut key = StateKey::Recognition(by, of, code).encode();
    // The type comes last.
    key.truncate(key.len().saturating_sub(of_code));
    Some(key)
}

fn recognition_name(item: &Recognition) -> String {
    format!("{}.{}.{}", item.recognising_province, item.issuing_province, item.licence_type)
}

fn show_recognition(
    by: ProvinceCode,
    of: ProvinceCode,
    code: &TypeCode,
    recognition: &RecognitionRecord,
) -> Recognition {
    let intervals = recognition.intervals.iter();
    Recognition {
        recognising_province: by.to_string(),
        issuing_province: of.to_string(),
        licence_type: code.to_string(),
        intervals: intervals.map(|i| Days { from: day(i.from), until: i.until.map(day) }).collect(),
        record: record(recognition),
    }
}
