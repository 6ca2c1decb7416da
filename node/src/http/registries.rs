//! What is registered: provinces, licence types, recognition, validators, parameters. Agencies
//! are in [`super::agencies`], which lists them in the same way; what the provinces are about to
//! change is in [`super::proposals`].
//!
//! Every answer is read from one snapshot. `?proof=true` adds a state proof over the places that
//! the answer was read from ([`Shown`]), so that nobody need believe this node. A proof has
//! bounds: a page ends early rather than pass them, and an actor's ended keys may be left out.
//! Recognition is listed in [`super::recognition`].

use std::{str::FromStr, sync::Arc};

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use symbolon_contracts::keys::MAX_KEYS;
use symbolon_credential::long_text::Base64UrlText;
use symbolon_ledger::{
    catalogue::LicenceTypeRecord,
    codes::{ProvinceCode, TypeCode},
    governance::FeaturesRecord,
    operation::Actor,
    records::{KeyRecord, ParametersRecord, ProvinceRecord, ValidatorsRecord},
    state::StateKey,
    state_proof::MAX_ENTRIES,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    catalogue::LicenceType,
    error::{Problem, ProblemDocument},
    extract::{Asked, LICENCE_TYPES, Named, PROVINCES, code},
    proposals::peer_id,
    proven::{Proof, Shown},
    words::{Key, hex, proof_if, public_key, record},
};
use crate::storage::{StorageError, View};

/// Numbers of the kinds of [`StateKey`] that are listed.
mod kind {
    pub(super) const PROVINCE: u8 = 3;
    pub(super) const LICENCE_TYPE: u8 = 7;
}

/// Items of a page when no `limit` is given.
const DEFAULT_PAGE: usize = 200;
/// Most items of a page: fewer than a state proof may have entries.
const MAX_PAGE: usize = 1_000;
const _: () = assert!(MAX_PAGE <= MAX_ENTRIES);

/// The routes of this module.
pub(super) fn routes() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::default()
        .routes(routes!(list_provinces))
        .routes(routes!(get_province))
        .routes(routes!(list_licence_types))
        .routes(routes!(get_licence_type))
        .merge(super::recognition::routes())
        .routes(routes!(list_validators))
        .routes(routes!(get_parameters))
}

/// Which part of a list, and whether to prove it.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Add a state proof over the items.
    #[serde(default)]
    pub(super) proof: bool,
    /// Begin after this item: `next` of the page before.
    pub(super) after: Option<String>,
    /// Most items, 1 to 1,000; 200 when absent.
    pub(super) limit: Option<usize>,
}

/// Whether to prove one item.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Single {
    /// Add a state proof.
    #[serde(default)]
    pub(super) proof: bool,
}

/// A page of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct List<T> {
    /// Height of the snapshot.
    pub(super) height: u64,
    /// The items.
    pub(super) items: Vec<T>,
    /// What to give as `after` for the next page; null at the end.
    pub(super) next: Option<String>,
    /// State proof of the items, base64url, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) proof: Option<Base64UrlText>,
}

/// One item with the height of its snapshot.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct One<T> {
    /// The item.
    #[serde(flatten)]
    pub(super) item: T,
    /// Height of the snapshot.
    pub(super) height: u64,
    /// State proof, base64url, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) proof: Option<Base64UrlText>,
}

/// How many items a page may have, of those asked for.
pub(super) fn page_size(limit: Option<usize>) -> Result<usize, Problem> {
    match limit {
        None => Ok(DEFAULT_PAGE),
        Some(n) if (1..=MAX_PAGE).contains(&n) => Ok(n),
        Some(n) => {
            let hint = format!("give a limit of 1 to {MAX_PAGE}, and follow next");
            Err(Problem::bad("bad_query", format!("limit is {n}"), &hint))
        }
    }
}

/// Reads the `after` of a list whose items are named by a `T`.
pub(super) fn place<T: FromStr>(after: Option<&str>) -> Result<Option<T>, Problem> {
    after.map(|text| text.parse().map_err(|_| no_place())).transpose()
}

/// `after` names no item that this list could have.
pub(super) fn no_place() -> Problem {
    Problem::bad("bad_query", "after is no place in this list", "give next of the page before")
}

/// Cuts one page out of all `items`, in the order of their names. The database has another one: in
/// CBOR the shorter of two texts comes first. With a proof the page ends before the item that would
/// make it too large to be read.
pub(super) fn page<R, T>(
    view: &View<'_>,
    items: &[R],
    page: &Page,
    name: impl Fn(&R) -> String,
    show: impl Fn(&R) -> Result<Shown<T>, StorageError>,
) -> Result<List<T>, Problem> {
    let size = page_size(page.limit)?;
    let mut rest: Vec<_> = items.iter().map(|record| (name(record), record)).collect();
    rest.retain(|(name, _)| page.after.as_ref().is_none_or(|after| name > after));
    rest.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut proof = Proof::start(page.proof, view);
    let mut items = Vec::new();
    for (_, record) in rest.iter().take(size) {
        let shown = show(record)?;
        if !proof.cover(&shown, items.is_empty())? {
            break;
        }
        items.push(shown.item);
    }
    let more = items.len() < rest.len();
    let last = items.len().checked_sub(1).and_then(|last| rest.get(last));
    let next = last.filter(|_| more).map(|(name, _)| name.clone());
    Ok(List { height: view.tip().height, items, next, proof: proof.finish()? })
}

/// What [`page`] needs of items that come in the order of their names: those after the page's
/// beginning, one more than it may have, since that one says that there are more. `name` is none
/// for those that are not asked for.
pub(super) fn beginning<R>(
    items: impl Iterator<Item = Result<R, StorageError>>,
    page: &Page,
    name: impl Fn(&R) -> Option<String>,
) -> Result<Vec<R>, Problem> {
    let most = page_size(page.limit)?.saturating_add(1);
    let is_in = |name: String| page.after.as_ref().is_none_or(|after| name > *after);
    let few = items.filter(|item| item.as_ref().map_or(true, |r| name(r).is_some_and(is_in)));
    Ok(few.take(most).collect::<Result<_, _>>()?)
}

/// An answer of one item.
pub(super) fn one<T>(view: &View<'_>, proof: bool, shown: Shown<T>) -> Result<One<T>, Problem> {
    let mut proof = Proof::start(proof, view);
    proof.cover(&shown, true)?;
    Ok(One { item: shown.item, height: view.tip().height, proof: proof.finish()? })
}

/// What was scanned, without its places.
pub(super) fn records<R>(scanned: Vec<(StateKey, R)>) -> Vec<R> {
    scanned.into_iter().map(|(_, record)| record).collect()
}

/// The keys of an actor.
pub(super) struct Keys {
    /// All of them, by number.
    pub(super) shown: Vec<Key>,
    /// Places of those in force, newest first.
    pub(super) in_force: Vec<StateKey>,
    /// Places of the others, newest first.
    pub(super) ended: Vec<StateKey>,
}

/// The keys of an actor: at most as many as the contracts let it ever have.
pub(super) fn keys_of(view: &View<'_>, actor: Actor, next_key: u32) -> Result<Keys, StorageError> {
    let height = view.tip().height;
    let mut keys = Keys { shown: Vec::new(), in_force: Vec::new(), ended: Vec::new() };
    for id in (0..next_key.min(MAX_KEYS)).rev() {
        let place = StateKey::Key(actor, id);
        let Some(record) = view.record::<KeyRecord>(&place)? else { continue };
        keys.shown.push(Key::new(id, &record, height));
        let in_force = record.is_valid_at(height);
        if in_force { keys.in_force.push(place) } else { keys.ended.push(place) }
    }
    keys.shown.reverse();
    Ok(keys)
}

/// A problem that says "there is none", with the proof of it when asked for.
pub(super) fn absent<T>(
    view: &View<'_>,
    problem: Problem,
    key: &StateKey,
    proof: bool,
) -> Result<T, Problem> {
    let proof = proof_if(proof, view, std::slice::from_ref(key))?;
    let problem = problem.at(view.tip().height);
    Err(match proof {
        Some(proof) => problem.proven(proof),
        None => problem,
    })
}

/// Reads the province of a filter.
pub(super) fn province_code(text: &str) -> Result<ProvinceCode, Problem> {
    code(text, "bad_province", PROVINCES)
}

/// Refuses a filter by a province that is not on this chain.
pub(super) fn must_be_here(
    view: &View<'_>,
    name: &str,
    province: Option<ProvinceCode>,
) -> Result<(), Problem> {
    let Some(province) = province else { return Ok(()) };
    if view.raw(&StateKey::Province(province))?.is_some() {
        return Ok(());
    }
    Err(Problem::bad("bad_province", format!("{name}: no province {province}"), PROVINCES))
}

/// A province.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Province {
    /// Its two-digit code.
    code: String,
    /// Chinese name.
    name_zh: String,
    /// English name.
    name_en: String,
    /// The origin under which its agencies' `iss` lie.
    issuer_origin: String,
    /// Whether it votes.
    validator: bool,
    /// Height at which it was shut out; null while it takes part.
    removed_at: Option<u64>,
    /// The number of the key that signs its status lists.
    status_key: Option<u32>,
    /// Number that its next key gets.
    next_key: u32,
    /// Its keys.
    keys: Vec<Key>,
    /// The record, base64url of its CBOR.
    record: String,
}

fn show_province(
    view: &View<'_>,
    province: &ProvinceRecord,
) -> Result<Shown<Province>, StorageError> {
    let validators = find_validators(view)?;
    let keys = keys_of(view, Actor::Province(province.code), province.next_key)?;
    let item = Province {
        code: province.code.to_string(),
        name_zh: province.name_zh.to_string(),
        name_en: province.name_en.to_string(),
        issuer_origin: province.issuer_origin.to_string(),
        validator: validators.set.get(province.code).is_some(),
        removed_at: province.removed_at,
        status_key: province.status_key,
        next_key: province.next_key,
        keys: keys.shown,
        record: record(province),
    };
    let mut places = vec![StateKey::Province(province.code), StateKey::Validators];
    places.extend(keys.in_force);
    Ok(Shown { item, places, ended: keys.ended })
}

/// The provinces of this chain.
#[utoipa::path(get, path = "/v1/provinces", tag = "registries", params(Page),
    responses((status = 200, body = List<Province>)))]
pub(super) async fn list_provinces(
    State(server): State<Arc<Server>>,
    Asked(asked): Asked<Page>,
) -> Result<Json<List<Province>>, Problem> {
    place::<ProvinceCode>(asked.after.as_deref())?;
    let show = move |view: &View<'_>| {
        let all = records(view.scan::<ProvinceRecord>(kind::PROVINCE)?);
        page(view, &all, &asked, |p| p.code.to_string(), |p| show_province(view, p))
    };
    server.read(show).await.map(Json)
}

/// One province.
#[utoipa::path(get, path = "/v1/provinces/{code}", tag = "registries",
    params(("code" = String, Path, description = "Two-digit code"), Single),
    responses((status = 200, body = One<Province>), (status = 404, body = ProblemDocument)))]
pub(super) async fn get_province(
    State(server): State<Arc<Server>>,
    Named(code): Named<ProvinceCode>,
    Asked(asked): Asked<Single>,
) -> Result<Json<One<Province>>, Problem> {
    let show = move |view: &View<'_>| {
        let key = StateKey::Province(code);
        let Some(province) = view.record::<ProvinceRecord>(&key)? else {
            let detail = format!("no province {code}");
            let problem = Problem::missing("unknown_province", detail, PROVINCES);
            return absent(view, problem, &key, asked.proof);
        };
        one(view, asked.proof, show_province(view, &province)?)
    };
    server.read(show).await.map(Json)
}

/// The catalogue of licence types.
#[utoipa::path(get, path = "/v1/licence-types", tag = "registries", params(Page),
    responses((status = 200, body = List<LicenceType>)))]
pub(super) async fn list_licence_types(
    State(server): State<Arc<Server>>,
    Asked(asked): Asked<Page>,
) -> Result<Json<List<LicenceType>>, Problem> {
    place::<TypeCode>(asked.after.as_deref())?;
    let show = move |view: &View<'_>| {
        let all = records(view.scan::<LicenceTypeRecord>(kind::LICENCE_TYPE)?);
        let show = |entry: &LicenceTypeRecord| {
            let place = StateKey::LicenceType(entry.code.clone());
            Ok(Shown::at(place, LicenceType::from(entry)))
        };
        page(view, &all, &asked, |t| t.code.to_string(), show)
    };
    server.read(show).await.map(Json)
}

/// One licence type.
#[utoipa::path(get, path = "/v1/licence-types/{code}", tag = "registries",
    params(("code" = String, Path, description = "National code, or local: and a name"), Single),
    responses((status = 200, body = One<LicenceType>), (status = 404, body = ProblemDocument)))]
pub(super) async fn get_licence_type(
    State(server): State<Arc<Server>>,
    Named(code): Named<TypeCode>,
    Asked(asked): Asked<Single>,
) -> Result<Json<One<LicenceType>>, Problem> {
    let show = move |view: &View<'_>| {
        let detail = format!("no licence type {code}");
        let key = StateKey::LicenceType(code);
        let Some(entry) = view.record::<LicenceTypeRecord>(&key)? else {
            let problem = Problem::missing("unknown_licence_type", detail, LICENCE_TYPES);
            return absent(view, problem, &key, asked.proof);
        };
        one(view, asked.proof, Shown::at(key, LicenceType::from(&entry)))
    };
    server.read(show).await.map(Json)
}

/// A validator.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Validator {
    /// Code of the province for which it votes.
    province: String,
    /// JOSE name of its key's algorithm.
    alg: &'static str,
    /// Its raw public key, base64url.
    key: String,
    /// Its libp2p peer id.
    peer_id: String,
}

/// The validators that vote on the next block.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Validators {
    /// Height of the snapshot.
    height: u64,
    /// Votes that make a block final.
    quorum: usize,
    /// Hash of the set, as headers carry it.
    validators_hash: String,
    /// The validators, in the order of their provinces.
    items: Vec<Validator>,
    /// The record, base64url of its CBOR.
    record: String,
    /// State proof, base64url, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    proof: Option<Base64UrlText>,
}

fn find_validators(view: &View<'_>) -> Result<ValidatorsRecord, StorageError> {
    view.record(&StateKey::Validators)?
        .ok_or_else(|| StorageError::damaged("the validators are missing"))
}

/// The validators that vote on the next block.
#[utoipa::path(get, path = "/v1/validators", tag = "registries", params(Single),
    responses((status = 200, body = Validators)))]
pub(super) async fn list_validators(
    State(server): State<Arc<Server>>,
    Asked(asked): Asked<Single>,
) -> Result<Json<Validators>, Problem> {
    let show = move |view: &View<'_>| {
        let validators = find_validators(view)?;
        let show = |validator: &symbolon_ledger::validators::Validator| Validator {
            province: validator.province.to_string(),
            alg: "Ed25519",
            key: public_key(&validator.key),
            peer_id: peer_id(&validator.peer_id),
        };
        Ok(Validators {
            height: view.tip().height,
            quorum: validators.set.quorum(),
            validators_hash: hex(&validators.set.hash()),
            items: validators.set.validators().iter().map(show).collect(),
            record: record(&validators),
            proof: proof_if(asked.proof, view, &[StateKey::Validators])?,
        })
    };
    server.read(show).await.map(Json)
}

/// The chain's parameters.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Parameters {
    /// Longest time between two blocks when nothing happens, in milliseconds.
    idle_block_interval_ms: u64,
    /// Greatest age of a header on which `valid` and `unknown` may rest, in milliseconds.
    max_staleness_ms: u64,
    /// Greatest age of an offline verifier's trust bundle, in milliseconds.
    bundle_max_age_ms: u64,
    /// Rules that begin, or have begun, at a height which the provinces decided.
    features: Vec<Feature>,
    /// The record, base64url of its CBOR.
    record: String,
}

/// A rule that begins at a height.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Feature {
    /// Its number.
    feature: u32,
    /// Its name; null when this node does not know it, and stops at that height.
    name: Option<&'static str>,
    /// First height at which it holds.
    from: u64,
    /// Whether it holds for the next block.
    active: bool,
}

fn features(view: &View<'_>) -> Result<Vec<Feature>, StorageError> {
    let record: Option<FeaturesRecord> = view.record(&StateKey::Features)?;
    let next = view.tip().height.saturating_add(1);
    let show = |activation: symbolon_ledger::governance::Activation| Feature {
        feature: activation.feature,
        name: symbolon_contracts::feature::name(activation.feature),
        from: activation.from,
        active: activation.from <= next,
    };
    Ok(record.map(|r| r.features.into_iter().map(show).collect()).unwrap_or_default())
}

/// Reads the chain's parameters.
pub(super) fn find_parameters(view: &View<'_>) -> Result<Arc<ParametersRecord>, StorageError> {
    view.shared(&StateKey::Parameters)?
        .ok_or_else(|| StorageError::damaged("the parameters are missing"))
}

/// The chain's parameters.
#[utoipa::path(get, path = "/v1/parameters", tag = "registries", params(Single),
    responses((status = 200, body = One<Parameters>)))]
pub(super) async fn get_parameters(
    State(server): State<Arc<Server>>,
    Asked(asked): Asked<Single>,
) -> Result<Json<One<Parameters>>, Problem> {
    let show = move |view: &View<'_>| {
        let parameters = find_parameters(view)?;
        let item = Parameters {
            idle_block_interval_ms: parameters.idle_block_interval_ms,
            max_staleness_ms: parameters.max_staleness_ms,
            bundle_max_age_ms: parameters.bundle_max_age_ms,
            features: features(view)?,
            record: record(&*parameters),
        };
        let places = vec![StateKey::Parameters, StateKey::Features];
        one(view, asked.proof, Shown { item, places, ended: Vec::new() })
    };
    server.read(show).await.map(Json)
}
