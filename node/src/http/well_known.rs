//! Issuer metadata: the keys of an issuer, where SD-JWT VC software looks for them
//! (draft-ietf-oauth-sd-jwt-vc-25, section 4).
//!
//! An agency's keys check its credentials, a province's check its status lists. Both stand on the
//! ledger, so every node answers for every issuer; whoever can check a state proof need not ask
//! here. Which keys are left out, and why, stands in docs/issuing/README.md.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use symbolon_credential::status_list::LIFETIME_S;
use symbolon_ledger::{
    codes::{ProvinceCode, Uscc},
    operation::{Actor, KeyPurpose},
    records::{AgencyRecord, KeyRecord, ProvinceRecord},
    state::StateKey,
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    blocks::header as header_at,
    error::{Problem, ProblemDocument},
    extract::Named,
    words::public_key,
};
use crate::storage::{StorageError, View};

/// How long the keys may be kept: a stolen one must soon be forgotten.
const CACHE: &str = "public, max-age=300";

/// The routes of this module.
pub(super) fn routes() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::default().routes(routes!(agency_metadata)).routes(routes!(province_metadata))
}

/// Issuer metadata.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct IssuerMetadata {
    /// The `iss` whose keys these are.
    issuer: String,
    /// The keys.
    jwks: KeySet,
}

/// A JSON Web Key set.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct KeySet {
    /// The keys, in the order of their numbers.
    keys: Vec<WebKey>,
}

/// A JSON Web Key.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct WebKey {
    /// `OKP`.
    kty: &'static str,
    /// `Ed25519`.
    crv: &'static str,
    /// The raw public key, base64url.
    x: String,
    /// Its number on the ledger, as the header of a JWT has it.
    kid: String,
    /// `Ed25519`.
    alg: &'static str,
    /// `sig`.
    r#use: &'static str,
}

fn web_key(id: u32, key: &KeyRecord) -> WebKey {
    WebKey {
        kty: "OKP",
        crv: "Ed25519",
        x: public_key(&key.key),
        kid: id.to_string(),
        alg: "Ed25519",
        r#use: "sig",
    }
}

/// The keys of `actor` for one purpose that `wanted` lets through.
fn keys(
    view: &View<'_>,
    actor: Actor,
    next_key: u32,
    purpose: KeyPurpose,
    wanted: impl Fn(&KeyRecord) -> Result<bool, StorageError>,
) -> Result<KeySet, StorageError> {
    let mut keys = Vec::new();
    for id in 0..next_key {
        let place = StateKey::Key(actor, id);
        let key: KeyRecord = view
            .record(&place)?
            .ok_or_else(|| StorageError::damaged(format!("{place:?} is missing")))?;
        if key.purpose == purpose && key.compromised_from.is_none() && wanted(&key)? {
            keys.push(web_key(id, &key));
        }
    }
    Ok(KeySet { keys })
}

fn unknown(what: &str, view: &View<'_>) -> Problem {
    let detail = format!("the ledger knows no such {what}");
    let hint = "the address is the iss of the JWT with /.well-known/jwt-vc-issuer after its host";
    Problem::missing("unknown_issuer", detail, hint).at(view.tip().height)
}

fn province(view: &View<'_>, code: ProvinceCode) -> Result<ProvinceRecord, Problem> {
    view.record(&StateKey::Province(code))?.ok_or_else(|| unknown("province", view))
}

fn cached(metadata: IssuerMetadata) -> Response {
    let mut response = Json(metadata).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE));
    response
}

/// The credential keys of an agency, for checking what it issued.
///
/// Ended and replaced keys stay in: what they signed before still holds. Compromised ones are left
/// out, since stock software cannot tell what they signed before from what a thief signed after.
#[utoipa::path(get, path = "/.well-known/jwt-vc-issuer/a/{uscc}", tag = "stock software",
    params(("uscc" = String, Path, description = "Unified social credit code")),
    responses((status = 200, body = IssuerMetadata), (status = 404, body = ProblemDocument)))]
pub(super) async fn agency_metadata(
    State(server): State<Arc<Server>>,
    Named(uscc): Named<Uscc>,
) -> Result<Response, Problem> {
    let look = move |view: &View<'_>| {
        let agency: Option<AgencyRecord> = view.record(&StateKey::Agency(uscc))?;
        let agency = agency.ok_or_else(|| unknown("agency", view))?;
        let issuer = province(view, agency.province)?.issuer_origin.issuer(&uscc);
        let actor = Actor::Agency(uscc);
        let jwks = keys(view, actor, agency.next_key, KeyPurpose::Credential, |_| Ok(true))?;
        Ok(IssuerMetadata { issuer, jwks })
    };
    server.read(look).await.map(cached)
}

/// The status keys of a province, for checking its status lists.
///
/// A replaced key stays in for a day: as long as a list that it signed may still be relied on.
#[utoipa::path(get, path = "/.well-known/jwt-vc-issuer/status-lists/{province}",
    tag = "stock software",
    params(("province" = String, Path, description = "Two-digit code")),
    responses((status = 200, body = IssuerMetadata), (status = 404, body = ProblemDocument)))]
pub(super) async fn province_metadata(
    State(server): State<Arc<Server>>,
    Named(code): Named<ProvinceCode>,
) -> Result<Response, Problem> {
    let look = move |view: &View<'_>| {
        let record = province(view, code)?;
        let issuer = record.issuer_origin.status_issuer(&code);
        let actor = Actor::Province(code);
        let wanted = |key: &KeyRecord| is_of_use(view, key);
        let jwks = keys(view, actor, record.next_key, KeyPurpose::Status, wanted)?;
        Ok(IssuerMetadata { issuer, jwks })
    };
    server.read(look).await.map(cached)
}

/// Whether a list that the key signed may still be relied on.
fn is_of_use(view: &View<'_>, key: &KeyRecord) -> Result<bool, StorageError> {
    let tip = view.tip();
    match key.valid_until {
        Some(until) if until < tip.height => {
            let ended_ms = header_at(view, until)?.time_ms;
            Ok(tip.header.time_ms.saturating_sub(ended_ms) < LIFETIME_S * 1_000)
        }
        _ => Ok(true),
    }
}
