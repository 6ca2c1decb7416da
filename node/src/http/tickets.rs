//! One-time tickets: a presentation that a holder leaves here for a minute, for whoever gets the
//! link. `docs/spec/presentation.md`, level C.
//!
//! It holds personal data of a holder who chose to leave it, so it lies in memory only, is given
//! out once, and is gone after a minute. Never given, used and over look the same.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use symbolon_credential::encoding::{from_base64url, to_base64url};
use symbolon_verify::judge::MAX_PRESENTATION_AGE_S;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Server,
    callers::{Caller, Callers, Held, Share},
    error::{Problem, ProblemDocument},
    extract::{JsonBody, Named, PathPart, takes_at_most},
    limits::{MAX_TICKET_BODY, MAX_TICKET_LEN, MAX_TICKETS},
    memory::{Bounds, Memory},
    origin::{PublicOrigin, of_request},
    random_bytes,
    verify::unpack,
    words::instant,
};

/// How long a ticket can be used, in milliseconds: as long as a presentation that its holder
/// signed for whoever scans it is fresh.
const LIFETIME_MS: u64 = MAX_PRESENTATION_AGE_S * 1_000;
/// Tickets that can be open at once, and the bytes of their presentations: a quarter of what the
/// longest ones would take.
const TICKETS: Bounds = Bounds { entries: MAX_TICKETS, bytes: 32 * 1024 * 1024 };
/// Random bytes of a ticket: 128 bits, so that none is ever guessed.
const TICKET_LEN: usize = 16;
/// Media type of SD-JWT text.
pub(super) const DC_SD_JWT: &str = "application/dc+sd-jwt";

type Ticket = [u8; TICKET_LEN];

/// The routes of this module.
pub(super) fn routes() -> OpenApiRouter<Arc<Server>> {
    let leave = OpenApiRouter::default()
        .routes(routes!(leave_ticket))
        .layer(takes_at_most(MAX_TICKET_BODY));
    leave.routes(routes!(take_ticket))
}

/// A presentation, in its holder's share.
struct Kept {
    presentation: String,
    _held: Option<Held>,
}

/// The tickets that are open.
pub(super) struct Tickets {
    kept: Mutex<Memory<Ticket, Kept>>,
    /// Whose they are.
    leaving: Callers,
}

impl Tickets {
    pub(super) fn new(share: Share) -> Self {
        Self { kept: Mutex::new(Memory::new(TICKETS)), leaving: Callers::new(share) }
    }

    fn lock(&self) -> MutexGuard<'_, Memory<Ticket, Kept>> {
        // Every change is complete when the lock is released, also by a panic.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A ticket in a path. What has not its form was never given.
pub(super) struct TicketPart(Option<Ticket>);

impl PathPart for TicketPart {
    fn read(text: &str) -> Result<Self, Problem> {
        Ok(Self(from_base64url(text).ok().and_then(|bytes| bytes.try_into().ok())))
    }
}

/// What is to be left.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TicketBody {
    /// A presentation that its holder signed, of at most 16 KiB: SD-JWT text, or the same packed
    /// for QR codes.
    presentation: String,
}

/// A ticket.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Left {
    /// Where it can be fetched, once. Whoever has this can.
    url: String,
    /// When it is gone, RFC 3339.
    expires_at: String,
}

/// Leaves a presentation for a minute, to be fetched once.
#[utoipa::path(post, path = "/v1/tickets", tag = "verification", request_body = TicketBody,
    responses((status = 201, body = Left), (status = 400, body = ProblemDocument),
        (status = 413, body = ProblemDocument), (status = 415, body = ProblemDocument),
        (status = 501, body = ProblemDocument), (status = 503, body = ProblemDocument)))]
pub(super) async fn leave_ticket(
    State(server): State<Arc<Server>>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    JsonBody(body): JsonBody<TicketBody>,
) -> Result<(StatusCode, Json<Left>), Problem> {
    let origin = origin(&server, &uri, &headers)?;
    let presentation = presentation(&body)?;
    let now_ms = (server.context.clock)();
    let end_ms = now_ms.saturating_add(LIFETIME_MS);
    let ticket: Ticket = random_bytes()?;
    let bytes = presentation.len();
    let mut tickets = server.tickets.lock();
    // What is over gives its holder's share back.
    tickets.forget(now_ms);
    let held = server.tickets.leaving.take_for(caller, 1);
    let held = held.map_err(|_| Problem::overloaded("tickets of one caller"))?;
    let left = tickets.insert(ticket, Kept { presentation, _held: held }, bytes, (now_ms, end_ms));
    left.map_err(|_| Problem::overloaded("tickets"))?;
    drop(tickets);
    let url = format!("{origin}/t/{}", to_base64url(&ticket));
    Ok((StatusCode::CREATED, Json(Left { url, expires_at: instant(end_ms) })))
}

/// What is to be left: only what can be of use to whoever fetches it.
fn presentation(body: &TicketBody) -> Result<String, Problem> {
    let parsed = unpack::parse(&body.presentation)?;
    let Some(binding) = parsed.key_binding_jwt() else {
        return Err(Problem::bad(
            "no_holder_binding",
            "a ticket is for a presentation that its holder signed",
            "sign it with the holder's key; a paper licence is shown on paper",
        ));
    };
    let presentation = parsed.sd_jwt() + binding;
    if presentation.len() > MAX_TICKET_LEN {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("a ticket is for a presentation of at most {MAX_TICKET_LEN} bytes"),
            "show fewer claims, or hand it over as a file",
        ));
    }
    Ok(presentation)
}

fn origin(server: &Server, uri: &Uri, headers: &HeaderMap) -> Result<PublicOrigin, Problem> {
    let configured = server.context.public_origin.clone();
    configured.or_else(|| of_request(uri, headers, server.encrypted)).ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "no_public_origin",
            "this node does not know under which https address outsiders reach it",
            "its operator sets http.public_origin; until then, show a QR code instead",
        )
    })
}

/// Gives a presentation that was left here, once.
///
/// Whether a ticket was never given, was used, or is over, cannot be told from the answer. `HEAD`
/// does not use it up.
#[utoipa::path(get, path = "/t/{ticket}", tag = "verification",
    params(("ticket" = String, Path, description = "22 characters of base64url")),
    responses((status = 200, body = String, content_type = "application/dc+sd-jwt"),
        (status = 404, body = ProblemDocument)))]
pub(super) async fn take_ticket(
    State(server): State<Arc<Server>>,
    method: Method,
    Named(TicketPart(ticket)): Named<TicketPart>,
) -> Result<Response, Problem> {
    let now_ms = (server.context.clock)();
    let mut tickets = server.tickets.lock();
    let open = ticket.filter(|ticket| tickets.get(ticket, now_ms).is_some());
    let ticket = open.ok_or_else(|| {
        let detail = "there is no such ticket: it was used, or its minute is over, or it never was";
        Problem::missing("unknown_ticket", detail, "ask the holder for a new one")
    })?;
    let presentation = match method {
        Method::HEAD => String::new(),
        _ => tickets.take(&ticket).map(|kept| kept.presentation).unwrap_or_default(),
    };
    Ok(([(header::CONTENT_TYPE, DC_SD_JWT)], presentation).into_response())
}
