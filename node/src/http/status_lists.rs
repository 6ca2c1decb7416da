//! Status lists: the licences of a province in the form that stock wallets and verifiers read.
//!
//! Signed at `/status-lists/{province}/{n}`, by a node that holds its province's status key; the
//! same list unsigned, from any node and for recent heights, at `/v1/status-lists/{province}/{n}`,
//! so that a list that lies can be told from one that does not. When a list is compressed and
//! signed stands in [`shelf`]; its form in docs/spec/status-list.md.

mod shelf;

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use symbolon_credential::status_list::{ListAddress, MEDIA_TYPE, TTL_S, lst};
use symbolon_ledger::{
    codes::ProvinceCode,
    records::ProvinceRecord,
    state::StateKey,
    status_page::{LISTS_PER_PROVINCE, PAGES_PER_LIST, STATUS_BITS},
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) use shelf::Shelf;

use super::{
    Server,
    blocks::{header as header_at, unknown_block},
    error::{Problem, ProblemDocument},
    extract::{Asked, PROVINCES, PathPart},
    kept::{is_known, tagged},
    words::{hex, instant},
};
use crate::{
    status_signer::Standing,
    storage::{REWIND_BLOCKS, RewindError, View},
};

/// The routes of this module.
pub(super) fn routes() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::default().routes(routes!(get_signed)).routes(routes!(get_projection))
}

/// A list's two variable parts of a path, checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListPart {
    province: ProvinceCode,
    list: u32,
}

impl<S: Send + Sync> FromRequestParts<S> for ListPart {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((province, number)) = path.map_err(|_| {
            Problem::bad("bad_utf8", "the path is not UTF-8", "percent-encode it as UTF-8")
        })?;
        let canonical = |n: &u32| *n < LISTS_PER_PROVINCE && n.to_string() == number;
        let list = number.parse().ok().filter(canonical).ok_or_else(|| {
            let hint = format!("give a number from 0 to {}", LISTS_PER_PROVINCE - 1);
            Problem::bad("bad_list", "not the number of a status list", &hint)
        })?;
        Ok(Self { province: ProvinceCode::read(&province)?, list })
    }
}

/// What may be asked of the signed list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AtTime {
    /// The list of an earlier time, in seconds since 1970. Never offered: answered with 501.
    time: Option<u64>,
}

/// The status list of a province as its node signs it: a Token Status List in a JWT, for stock
/// wallets and verifiers.
#[utoipa::path(get, path = "/status-lists/{province}/{list}", tag = "stock software",
    params(("province" = String, Path, description = "Two-digit code"),
        ("list" = u32, Path, description = "Number of the list, from 0"), AtTime),
    responses((status = 200, body = String, content_type = MEDIA_TYPE,
            description = "The signed list; `iat` is the time of its block"),
        (status = 304, description = "It is the one that `If-None-Match` names"),
        (status = 404, body = ProblemDocument), (status = 501, body = ProblemDocument)))]
pub(super) async fn get_signed(
    State(server): State<Arc<Server>>,
    part: ListPart,
    Asked(asked): Asked<AtTime>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if asked.time.is_some() {
        return Err(no_history(part));
    }
    let place = (part.province, part.list);
    let height = *server.context.store.commits().borrow();
    if let Some(token) = server.status_lists.current(place, height) {
        return Ok(token_answer(&token, &headers));
    }
    let work = server.clone();
    let token = server.reads.run(move || sign(&work, part)).await?;
    Ok(token_answer(&token, &headers))
}

/// Signs a list, or takes the token that is still current.
fn sign(server: &Server, part: ListPart) -> Result<shelf::Token, Problem> {
    let store = &server.context.store;
    // Before the list takes a place on the shelf: only lists that there are may have one.
    let address = find(&store.view()?, part)?;
    let signer = server.context.status_signer.as_ref();
    let Some(signer) = signer.filter(|signer| signer.province() == part.province) else {
        return Err(not_signed_here(&address, "this node does not sign for that province"));
    };
    let list = server.status_lists.list((part.province, part.list));
    let mut list = shelf::lock(&list);
    let view = store.view()?;
    match signer.standing(&view)? {
        Standing::Current(key_id) => Ok(list.token(&view, &address, signer, key_id)?),
        Standing::NoneNamed => {
            Err(not_signed_here(&address, "the province has named no status key"))
        }
        Standing::Other(_) | Standing::Over(_) => {
            Err(not_signed_here(&address, "this node's key is not the province's status key"))
        }
    }
}

fn token_answer(token: &shelf::Token, headers: &HeaderMap) -> Response {
    let response = if is_known(headers, &token.tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, MEDIA_TYPE)], token.bytes.clone()).into_response()
    };
    tagged(response, &token.tag, &format!("public, max-age={TTL_S}"))
}

/// Which height is asked for.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AtHeight {
    /// Show the list as it stood after this block, at most 10,000 blocks ago; the newest when
    /// absent.
    height: Option<u64>,
}

/// A status list as it follows from the ledger, which nobody signed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Projection {
    /// Code of the province.
    province: String,
    /// Number of the list.
    list: u32,
    /// Its address: `sub` of the signed list, `uri` in credentials.
    uri: String,
    /// Bits of a status: 2.
    bits: u32,
    /// The list, base64url of a ZLIB stream. Compare what it inflates to, not its bytes.
    lst: String,
    /// Height of the block after which it stood so.
    height: u64,
    /// That block's time, RFC 3339.
    time: String,
    /// That block's time in milliseconds since 1970. `iat` of a signed list is its whole seconds.
    time_ms: u64,
    /// Root of the state after that block.
    state_root: String,
}

/// A status list as any node computes it from the ledger, unsigned: to hold a signed one against.
#[utoipa::path(get, path = "/v1/status-lists/{province}/{list}", tag = "registries",
    params(("province" = String, Path, description = "Two-digit code"),
        ("list" = u32, Path, description = "Number of the list, from 0"), AtHeight),
    responses((status = 200, body = Projection), (status = 404, body = ProblemDocument),
        (status = 410, body = ProblemDocument, description = "Too long ago")))]
pub(super) async fn get_projection(
    State(server): State<Arc<Server>>,
    part: ListPart,
    Asked(asked): Asked<AtHeight>,
) -> Result<Json<Projection>, Problem> {
    let work = server.clone();
    server.reads.run(move || project(&work, part, asked.height)).await.map(Json)
}

fn project(server: &Server, part: ListPart, at: Option<u64>) -> Result<Projection, Problem> {
    let store = &server.context.store;
    let view = store.view()?;
    let address = find(&view, part)?;
    let tip = view.tip().height;
    match at {
        Some(height) if height > tip => Err(unknown_block(&view, height)),
        Some(height) if height < tip => {
            let packed = view.status_list_at(part.province, part.list, height);
            let packed = packed.map_err(|error| gone(error, tip))?;
            projection(&view, &address, height, lst(&packed))
        }
        Some(_) => {
            let packed = view.status_list(part.province, part.list)?;
            projection(&view, &address, tip, lst(&packed))
        }
        None => {
            let list = server.status_lists.list((part.province, part.list));
            let mut list = shelf::lock(&list);
            let view = store.view()?;
            let content = list.content(&view, (part.province, part.list))?;
            projection(&view, &address, view.tip().height, content.lst.to_string())
        }
    }
}

fn projection(
    view: &View<'_>,
    address: &ListAddress,
    height: u64,
    lst: String,
) -> Result<Projection, Problem> {
    let header = header_at(view, height)?;
    Ok(Projection {
        province: address.province.to_string(),
        list: address.list,
        uri: address.uri(),
        bits: STATUS_BITS,
        lst,
        height,
        time: instant(header.time_ms),
        time_ms: header.time_ms,
        state_root: hex(&header.state_root),
    })
}

/// A list that credentials may name: the first of any province, and every other in which slots
/// have been granted.
fn find(view: &View<'_>, part: ListPart) -> Result<ListAddress, Problem> {
    let ListPart { province, list } = part;
    let tip = view.tip().height;
    let Some(record) = view.record::<ProvinceRecord>(&StateKey::Province(province))? else {
        let detail = format!("no province {province}");
        return Err(Problem::missing("unknown_province", detail, PROVINCES).at(tip));
    };
    let first_block = list.saturating_mul(PAGES_PER_LIST);
    if list > 0 && first_block >= record.next_slot_block {
        let detail = format!("province {province} has granted no slot of list {list} yet");
        let hint = "compare the number with the uri in the credential; lists count from 0";
        return Err(Problem::missing("unknown_status_list", detail, hint).at(tip));
    }
    Ok(ListAddress { origin: record.issuer_origin, province, list })
}

fn not_signed_here(address: &ListAddress, why: &str) -> Problem {
    let ListAddress { origin, province, list } = address;
    let detail = format!(
        "{why}; the signed list of province {province} is at {origin}, as {}",
        address.uri()
    );
    let hint = format!("the same list, unsigned, is here at /v1/status-lists/{province}/{list}");
    Problem::missing("not_signed_here", detail, &hint)
}

/// The draft lets a server say so (section 8.4): a signed past would help those who watch when
/// somebody's licence changed.
fn no_history(part: ListPart) -> Problem {
    let ListPart { province, list } = part;
    let hint = format!("/v1/status-lists/{province}/{list}?height= shows it unsigned");
    Problem::new(
        StatusCode::NOT_IMPLEMENTED,
        "no_signed_history",
        "only the newest status list is signed; one of an earlier time is not offered",
        hint,
    )
}

fn gone(error: RewindError, tip: u64) -> Problem {
    let hint = match &error {
        RewindError::TooOld { .. } => {
            format!("ask for a height of the last {REWIND_BLOCKS} blocks, or ask an archive")
        }
        RewindError::TooMuch => "ask for a later height".to_owned(),
        RewindError::Storage(_) => String::new(),
    };
    match error {
        RewindError::Storage(error) => error.into(),
        other => Problem::new(StatusCode::GONE, "pruned", other.to_string(), hint).at(tip),
    }
}
