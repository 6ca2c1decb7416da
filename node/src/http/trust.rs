//! What an offline verifier takes home: the trust bundle, and the inclusion of an old block under
//! a newer one. Neither need be believed: `symbolon-verify` checks both.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use symbolon_ledger::{
    block::{Header, header_hash},
    codec,
    hash::{Digest, sha256},
    trust_bundle::{MAX_SET_CHANGES, MAX_TRUST_BUNDLE_BYTES, SetChange, TrustBundle},
    validators::ValidatorSet,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    blocks::unknown_block,
    error::{Problem, ProblemDocument},
    extract::{
        APPLICATION_CBOR, APPLICATION_JSON, Asked, HeightPart, Named, to_base64url, wants_cbor,
    },
    kept::{Tag, in_the_form_asked_for, unchanging},
    words::{hex, instant},
};
use crate::storage::{StorageError, View};

/// The routes of this module.
pub(super) fn routes() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::default().routes(routes!(get_trust_bundle)).routes(routes!(get_inclusion))
}

/// A set of validators.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct SetBody {
    /// Its hash, as headers carry it.
    validators_hash: String,
    /// Codes of the provinces that vote.
    provinces: Vec<String>,
}

impl From<&ValidatorSet> for SetBody {
    fn from(set: &ValidatorSet) -> Self {
        Self {
            validators_hash: hex(&set.hash()),
            provinces: set.validators().iter().map(|v| v.province.to_string()).collect(),
        }
    }
}

/// A block that changed the validator set.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct SetChangeBody {
    /// Its height; the new set votes from the next one on.
    height: u64,
    /// Its time, RFC 3339.
    time: String,
    /// Its hash.
    hash: String,
    /// The new set.
    set: SetBody,
}

/// What an offline verifier pins. The exact keys and certificates are in `bundle`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct TrustBundleBody {
    /// The chain.
    chain_id: String,
    /// Hash of the founding block.
    genesis: String,
    /// The founding set.
    founding: SetBody,
    /// Every change of the set, oldest first.
    changes: Vec<SetChangeBody>,
    /// Height of the block at which the bundle ends. With `hash` it is what to pin.
    height: u64,
    /// Hash of that block.
    hash: String,
    /// Its time, RFC 3339.
    time: String,
    /// The trust bundle, base64url of its CBOR.
    bundle: String,
}

/// The bundle of one height in both forms.
struct Served {
    height: u64,
    /// Of its bytes: nodes may have different certificates of the blocks in it.
    digest: Digest,
    cbor: Bytes,
    json: Bytes,
}

/// The newest bundle that was asked for: made once a block, whoever asks.
#[derive(Default)]
pub(super) struct BundleCache(Mutex<Option<Arc<Served>>>);

impl BundleCache {
    fn at_tip(&self, view: &View<'_>) -> Result<Arc<Served>, Problem> {
        // Held while the bundle is made, so that a crowd waits for one. What is in it is whole.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(served) = last.as_ref()
            && served.height >= view.tip().height
        {
            return Ok(served.clone());
        }
        let served = Arc::new(serve(view)?);
        *last = Some(served.clone());
        Ok(served)
    }
}

fn serve(view: &View<'_>) -> Result<Served, Problem> {
    let bundle = view.trust_bundle()?;
    let cbor = codec::encode(&bundle);
    if bundle.changes.len() > MAX_SET_CHANGES || cbor.len() > MAX_TRUST_BUNDLE_BYTES {
        return Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "trust_bundle_too_large",
            "the validators changed more often than a trust bundle of this version can hold",
            "found your trust on a recent block: GET /v1/blocks/{height}, compared at several nodes",
        ));
    }
    let json = serde_json::to_vec(&describe(&bundle, &cbor)?).map_err(StorageError::damaged)?;
    let (height, digest) = (view.tip().height, sha256(&cbor));
    Ok(Served { height, digest, cbor: cbor.into(), json: json.into() })
}

fn read(bytes: &[u8]) -> Result<Header, StorageError> {
    Header::decode(bytes).map_err(|e| StorageError::damaged(format!("a header: {e}")))
}

fn describe(bundle: &TrustBundle, cbor: &[u8]) -> Result<TrustBundleBody, StorageError> {
    let change = |change: &SetChange| {
        let header = read(&change.header)?;
        Ok(SetChangeBody {
            height: header.height,
            time: instant(header.time_ms),
            hash: hex(&header_hash(&change.header)),
            set: SetBody::from(&change.validators),
        })
    };
    let head = read(&bundle.head.header)?;
    Ok(TrustBundleBody {
        chain_id: hex(&bundle.chain_id),
        genesis: hex(&bundle.genesis),
        founding: SetBody::from(&bundle.validators),
        changes: bundle.changes.iter().map(change).collect::<Result<_, StorageError>>()?,
        height: head.height,
        hash: hex(&header_hash(&bundle.head.header)),
        time: instant(head.time_ms),
        bundle: to_base64url(cbor),
    })
}

/// The trust bundle that ends at the newest block.
///
/// It carries every change of the validator set since the founding. Two nodes may give different
/// certificates, both good. It may be kept, and with `If-None-Match` be asked for again: 304 until the
/// next block.
#[utoipa::path(get, path = "/v1/trust-bundle", tag = "chain",
    params(("if-none-match" = Option<String>, Header, description = "ETag of the answer at hand")),
    responses((status = 200, content((TrustBundleBody = "application/json"),
        (Vec<u8> = "application/cbor"))),
        (status = 304, description = "There is no newer block than that of the answer at hand"),
        (status = 500, body = ProblemDocument)))]
pub(super) async fn get_trust_bundle(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let holder = server.clone();
    let served = server.read(move |view| holder.bundle.at_tip(view)).await?;
    let (media_type, body) = if wants_cbor(&headers) {
        (APPLICATION_CBOR, served.cbor.clone())
    } else {
        (APPLICATION_JSON, served.json.clone())
    };
    let tag = Tag::of(&served.digest, &sha256(media_type.as_bytes()));
    let answer = (!tag.is_known(&headers)).then_some(([(header::CONTENT_TYPE, media_type)], body));
    Ok(in_the_form_asked_for(tag.on(answer)))
}

/// Under which block an earlier one is to be shown.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Under {
    /// Height of the later block, such as the one that a verifier has pinned; the newest when
    /// absent.
    head: Option<u64>,
}

/// That a block is in the history of a later one.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct InclusionBody {
    /// Height of the earlier block.
    height: u64,
    /// Its hash.
    hash: String,
    /// Height of the later block.
    head: u64,
    /// The root over all blocks before the later one, to which the path leads.
    history_root: String,
    /// The inclusion, base64url of its CBOR.
    inclusion: String,
}

fn not_above(height: u64, head: u64, asked: bool) -> Problem {
    if asked {
        let detail = format!("head is {head}, which is not above block {height}");
        return Problem::bad("bad_query", detail, "give the height of a later block as head");
    }
    let detail = format!("block {height} is the newest here; no later one has it in its history");
    Problem::missing("no_inclusion", detail, "ask again after the next block").at(head)
}

/// That a block is in the history of a later one: what a verifier needs to believe a receipt or a
/// state proof from below the block that it has pinned.
#[utoipa::path(get, path = "/v1/blocks/{height}/inclusion", tag = "chain",
    params(("height" = u64, Path, description = "Number of the block"), Under),
    responses((status = 200, content((InclusionBody = "application/json"),
        (Vec<u8> = "application/cbor"))), (status = 400, body = ProblemDocument),
        (status = 404, body = ProblemDocument), (status = 410, body = ProblemDocument)))]
pub(super) async fn get_inclusion(
    State(server): State<Arc<Server>>,
    Named(HeightPart(height)): Named<HeightPart>,
    Asked(asked): Asked<Under>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (cbor, is_fixed) = (wants_cbor(&headers), asked.head.is_some());
    let look = move |view: &View<'_>| {
        let head = asked.head.unwrap_or(view.tip().height);
        if let Some(unknown) = [height, head].into_iter().find(|h| *h > view.tip().height) {
            return Err(unknown_block(view, unknown));
        }
        let first = view.kept()?.headers;
        if height < first {
            let detail = format!("headers before {first} are not kept here");
            return Err(Problem::pruned(detail).at(view.tip().height));
        }
        let inclusion = view.inclusion(height, head)?;
        let inclusion = inclusion.ok_or_else(|| not_above(height, head, asked.head.is_some()))?;
        if cbor {
            return Ok(([(header::CONTENT_TYPE, APPLICATION_CBOR)], inclusion).into_response());
        }
        let body = InclusionBody {
            height,
            hash: hex(&super::blocks::header(view, height)?.hash()),
            head,
            history_root: hex(&super::blocks::header(view, head)?.history_root),
            inclusion: to_base64url(&inclusion),
        };
        Ok(Json(body).into_response())
    };
    let answer = server.read(look).await?;
    Ok(if is_fixed { unchanging(answer) } else { answer })
}
