//! Bounds on what a caller may take: bytes, time, and a place among others.
//!
//! Every request passes [`guard`] or [`guard_operator`]: it has a place or is told to come back, it ends in time, a
//! panic does not end the connection, and it is counted. Work that reads the database or checks
//! signatures takes a place at a [`Gate`]; what may be long or wait for a disk runs on blocking
//! threads ([`super::reading`]). A request that was given up keeps its place until its work ends.

use std::{net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt as _;
use symbolon_credential::sd_jwt::MAX_PRESENTATION_LEN;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::{Instant, error::Elapsed},
};

use super::{
    CHECKPOINT_PATH, Server,
    callers::{Caller, Held, Share, Spent},
    error::Problem,
    not_found,
};

/// Most bytes of a body of `POST /v1/transactions`: a transaction of 64 KiB in base64url, with
/// its JSON around it.
pub(super) const MAX_TRANSACTION_BODY: usize = 96 * 1024;
/// Most bytes of a body of `POST /v1/verify`: the longest presentation, with room for JSON and the
/// other members.
pub(super) const MAX_VERIFY_BODY: usize = MAX_PRESENTATION_LEN + 4 * 1024;
/// Most bytes of a body of `POST /v1/verify/batch`: 1,000 presentations of 16 KiB.
pub(super) const MAX_BATCH_BODY: usize = 16 * 1024 * 1024;
/// Bytes of bodies of batches that may be in memory at once: four of the largest.
pub(super) const MAX_LARGE_BODIES: usize = 4 * MAX_BATCH_BODY;
/// Most presentations of one batch.
pub(super) const MAX_BATCH: usize = 1_000;
/// Longest presentation that may be left as a ticket. Those of the catalogue's licences have a few
/// thousand bytes; whatever is longer is handed over as a file.
pub(super) const MAX_TICKET_LEN: usize = 16 * 1024;
/// Most bytes of a body of `POST /v1/tickets`: the longest of these, with room for JSON.
pub(super) const MAX_TICKET_BODY: usize = MAX_TICKET_LEN + 4 * 1024;
/// Tickets that can be open at once.
pub(super) const MAX_TICKETS: usize = 8_192;
/// Challenges that can be open at once: a hundred a second for their five minutes. A verifier
/// that gets none makes its own nonce, so a flood of them stops nobody.
pub(super) const MAX_CHALLENGES: usize = 32_768;
/// Showings remembered at once, unless the configuration says otherwise: over seven hundred a second,
/// each for its five minutes and the margin. Some 110 MiB.
pub const SHOWINGS: usize = 262_144;
/// Most that the configuration may ask for: 23,000 a second, in some 3.5 GiB.
pub const MAX_SHOWINGS: usize = 8_388_608;
/// Fewest: an eighth, the share of one address, takes one whole batch.
pub const MIN_SHOWINGS: usize = 8 * MAX_BATCH;
/// Showings of one holder's key among them: one every six seconds, for all the time that each is
/// remembered. A telephone that renews its code every ten makes fewer. So it takes four thousand
/// licences to fill the memory of a node that is not configured otherwise, and not one.
pub(super) const MAX_SHOWINGS_OF_ONE_HOLDER: usize = 64;
/// Keys of requests that may be sent again, remembered at once.
pub(super) const MAX_KEYS: usize = 8_192;
/// Bytes of the answers kept under them.
pub(super) const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// A request's headers must be here in this time. A clerk's worst link needs well under a second.
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// A new connection must have sent a request in this time: covers the TLS handshake and the
/// detection of the protocol, which hyper does not time.
pub(super) const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(8);
/// A body must be here in this time: 16 MiB at 13 Mbit/s.
pub(super) const BODY_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// A caller who takes no bytes for this long is let go.
pub(super) const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Any answer but those below must be ready in this time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// A batch of 1,000 presentations takes about a second of two cores; a busy node may take more.
const BATCH_TIMEOUT: Duration = Duration::from_secs(60);
/// A database is held fast in this time: what is in memory goes to the disk before.
pub const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest wait for a commit that may be asked for.
pub(super) const MAX_COMMIT_WAIT: Duration = Duration::from_secs(60);
/// Wait for a commit when no `timeout_ms` is given.
pub(super) const DEFAULT_COMMIT_WAIT: Duration = Duration::from_secs(10);
/// How long a request waits for a place at a [`Gate`] before it is told to come back.
const GATE_PATIENCE: Duration = Duration::from_secs(3);

/// Requests of the operator at once: probes, a scraper and a person or two. Their own places, so
/// that nobody outside can make the node look dead or blind.
pub(super) const OPERATOR_REQUESTS: usize = 16;
/// How many of these read the database at once.
pub(super) const OPERATOR_READS: usize = 4;

/// Bytes of headers of one HTTP/1 request.
pub(super) const MAX_HTTP1_HEADER_BYTES: usize = 32 * 1024;
/// Bytes of headers of one HTTP/2 request.
pub(super) const MAX_HTTP2_HEADER_BYTES: u32 = 16 * 1024;
/// Requests at once on one HTTP/2 connection.
pub(super) const MAX_HTTP2_STREAMS: u32 = 64;
/// How often an HTTP/2 connection is asked whether anybody is there.
pub(super) const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(20);

/// Longest life of a connection: longer than anything that is answered on it. HTTP/2 knows no idle
/// time here: a caller who does nothing but answer pings would hold a place for ever.
pub(super) const MAX_CONNECTION_LIFE: Duration = Duration::from_secs(2 * 3_600);

/// How much of the machine HTTP may take. The defaults suit a province's server and a laptop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// Open connections.
    pub connections: usize,
    /// Requests being answered.
    pub requests: usize,
    /// Requests reading the database.
    pub reads: usize,
    /// Presentations being verified: about as many as there are cores.
    pub checks: usize,
    /// Transactions being admitted. Their own places, so that no crowd of verifiers can keep an
    /// agency from submitting.
    pub submissions: usize,
    /// Batches being parsed and verified: each may hold 16 MiB, and as much again once it is
    /// parsed.
    pub batches: usize,
    /// Submitters waiting for a commit.
    pub waits: usize,
    /// Event streams.
    pub streams: usize,
    /// Open connections of one address.
    pub connections_of_one: Share,
    /// Event streams of one address.
    pub streams_of_one: Share,
    /// Requests being answered of one address.
    pub requests_of_one: Share,
    /// Tickets that one address may have left.
    pub tickets_of_one: Share,
    /// Challenges that one address may have open.
    pub challenges_of_one: Share,
    /// Showings remembered; see [`HttpLimits::remembering`].
    pub showings: usize,
    /// Those of them that came from one address.
    pub showings_of_one: Share,
    /// Keys of requests that may be sent again, of one address.
    pub keys_of_one: Share,
    /// Bytes of the answers kept under them, of one address.
    pub answer_bytes_of_one: Share,
}

impl Default for HttpLimits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            connections: 1_024,
            requests: 1_024,
            reads: 32,
            checks: cores.saturating_mul(2),
            submissions: cores.saturating_mul(2),
            batches: 4,
            waits: 512,
            streams: 128,
            // Browsers open six connections to one host; an office of clerks shares an address.
            connections_of_one: Share { other_machine: 128, this_machine: 1_024 },
            streams_of_one: Share { other_machine: 16, this_machine: 128 },
            // All that one HTTP/2 connection can have open; sixteen addresses take all.
            requests_of_one: Share { other_machine: 64, this_machine: 1_024 },
            // Two a second; a company of telephones may share an address, too.
            tickets_of_one: Share { other_machine: 128, this_machine: MAX_TICKETS },
            // Thirteen a second, and ninety: a large verifier, or an office behind one address. Eight
            // addresses take all.
            challenges_of_one: Share {
                other_machine: MAX_CHALLENGES / 8,
                this_machine: MAX_CHALLENGES,
            },
            showings: SHOWINGS,
            showings_of_one: share_of_one(SHOWINGS),
            // Three a second. Of keys and of bytes, eight addresses take all.
            keys_of_one: Share { other_machine: 1_024, this_machine: MAX_KEYS },
            answer_bytes_of_one: Share {
                other_machine: MAX_ANSWER_BYTES / 8,
                this_machine: MAX_ANSWER_BYTES,
            },
        }
    }
}

impl HttpLimits {
    /// The same with so many showings remembered at once, an eighth of them from one address: what it
    /// can go on judging, since each is remembered for six minutes.
    #[must_use]
    pub fn remembering(self, showings: usize) -> Self {
        Self { showings, showings_of_one: share_of_one(showings), ..self }
    }

    /// The same behind a proxy, from whose one address all callers come. Their shares are the
    /// proxy's to guard.
    pub(super) fn behind_a_proxy(self) -> Self {
        let all = |places| Share { other_machine: places, this_machine: places };
        Self {
            connections_of_one: all(self.connections),
            streams_of_one: all(self.streams),
            requests_of_one: all(self.requests),
            tickets_of_one: all(MAX_TICKETS),
            challenges_of_one: all(MAX_CHALLENGES),
            showings_of_one: all(self.showings),
            keys_of_one: all(MAX_KEYS),
            answer_bytes_of_one: all(MAX_ANSWER_BYTES),
            ..self
        }
    }
}

/// Of so many showings, those of one address: eight addresses take all.
const fn share_of_one(showings: usize) -> Share {
    Share { other_machine: showings / 8, this_machine: showings }
}

/// A number of places for blocking work.
#[derive(Debug)]
pub(super) struct Gate {
    places: Arc<Semaphore>,
    what: &'static str,
    patience: Duration,
}

impl Gate {
    pub(super) fn new(places: usize, what: &'static str) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), what, patience: GATE_PATIENCE }
    }

    /// Waits for a place, which is free again when it is dropped.
    pub(super) async fn enter(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = tokio::time::timeout(self.patience, self.places.clone().acquire_owned());
        match place.await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Problem::overloaded(self.what)),
        }
    }

    /// A place, if there is one now.
    pub(super) fn enter_at_once(&self) -> Option<SemaphorePermit<'_>> {
        self.places.try_acquire().ok()
    }

    /// Runs `work` on a blocking thread once there is a place.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, Problem> + Send + 'static,
    {
        let place = self.enter().await?;
        let held = move || {
            let _place = place;
            work()
        };
        tokio::task::spawn_blocking(held).await.unwrap_or_else(|error| {
            tracing::error!(
                panicked = error.is_panic(),
                "a request's work ended without an answer"
            );
            Err(Problem::internal())
        })
    }
}

/// What every request from outside passes.
pub(super) async fn guard(
    State(server): State<Arc<Server>>,
    request: Request,
    next: Next,
) -> Response {
    let caller = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let caller = Caller(caller.map(|ConnectInfo(address)| address.ip()));
    let places = Places { all: Some(&server.requests), own: server.requesting.take_for(caller, 1) };
    pass(&server, places, request, next).await
}

/// What every request of the operator passes. Whether the process answers at all (`/livez`) does
/// not depend on how much it has to do.
pub(super) async fn guard_operator(
    State(server): State<Arc<Server>>,
    request: Request,
    next: Next,
) -> Response {
    let all = (request.uri().path() != "/livez").then_some(&server.operator_requests);
    pass(&server, Places { all, own: Ok(None) }, request, next).await
}

/// Where a request finds its place.
struct Places<'s> {
    /// Among all; none is needed where there is none.
    all: Option<&'s Semaphore>,
    /// In its caller's share, until it is answered.
    own: Result<Option<Held>, Spent>,
}

async fn pass(server: &Server, places: Places<'_>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = method_name(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let mut response = answer(places, route, method, request, next).await;
    let is_bare = !response.headers().contains_key(header::CONTENT_TYPE);
    if response.status() == StatusCode::NOT_FOUND && is_bare {
        // The pages under /docs know no problem documents.
        response = not_found().await.into_response();
    }
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let (status, elapsed) = (response.status(), started.elapsed());
    server.context.metrics.http_answered(route, method, status.as_u16(), elapsed);
    // The route's pattern, never the address: an address may be copied from a person's licence.
    tracing::debug!(method, route, status = status.as_u16(), ?elapsed, "answered");
    response
}

async fn answer(
    places: Places<'_>,
    route: &str,
    method: &'static str,
    request: Request,
    next: Next,
) -> Response {
    let Ok(_own) = places.own else {
        return Problem::overloaded("requests of one caller").into_response();
    };
    let Ok(_place) = places.all.map(Semaphore::try_acquire).transpose() else {
        return Problem::overloaded("requests").into_response();
    };
    let limit = time_limit(route, method);
    let work = AssertUnwindSafe(next.run(request)).catch_unwind();
    match within(limit, work).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!(method, route, "a request's handler panicked");
            Problem::internal().into_response()
        }
        Err(_) => Problem::overloaded("work").into_response(),
    }
}

fn time_limit(route: &str, method: &str) -> Duration {
    match (method, route) {
        ("POST", "/v1/transactions") => MAX_COMMIT_WAIT + REQUEST_TIMEOUT,
        ("POST", "/v1/verify/batch") => BATCH_TIMEOUT,
        ("POST", CHECKPOINT_PATH) => CHECKPOINT_TIMEOUT,
        _ => REQUEST_TIMEOUT,
    }
}

/// A method's name for logs and metrics: callers can make up methods, so the rest is one word.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// What comes of `work`, or nothing when that takes longer than `limit`.
///
/// The clock is looked at however much the task has done before: a task of tokio that has read as much
/// as it may in one turn is told that nothing else is ready, its own deadline included. A caller
/// who pours faster than it is read would keep it reading for ever.
pub(super) async fn within<F: Future>(limit: Duration, work: F) -> Result<F::Output, Elapsed> {
    tokio::task::unconstrained(tokio::time::timeout(limit, work)).await
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, poll_fn},
        pin::pin,
        task::Poll,
    };

    use tokio::task::consume_budget;

    use super::*;

    #[tokio::test]
    async fn whoever_finds_no_place_in_time_is_told_to_come_back() {
        let patience = Duration::from_millis(1);
        let gate = Arc::new(Gate { patience, ..Gate::new(1, "reads") });
        let (enter, entered) = std::sync::mpsc::channel::<()>();
        let (leave, left) = std::sync::mpsc::channel::<()>();
        let first = tokio::spawn({
            let gate = gate.clone();
            async move {
                gate.run(move || {
                    enter.send(()).unwrap();
                    left.recv().unwrap();
                    Ok(1)
                })
                .await
            }
        });
        tokio::task::spawn_blocking(move || entered.recv().unwrap()).await.unwrap();
        let second = gate.run(|| Ok(2)).await;
        assert_eq!(second.unwrap_err().code, "overloaded");
        leave.send(()).unwrap();
        assert_eq!(first.await.unwrap().unwrap(), 1);
    }

    #[test]
    fn behind_a_proxy_one_address_may_take_what_all_may() {
        let limits = HttpLimits::default().behind_a_proxy();
        for (share, all) in [
            (limits.connections_of_one, limits.connections),
            (limits.streams_of_one, limits.streams),
            (limits.requests_of_one, limits.requests),
            (limits.tickets_of_one, MAX_TICKETS),
            (limits.challenges_of_one, MAX_CHALLENGES),
            (limits.showings_of_one, limits.showings),
            (limits.keys_of_one, MAX_KEYS),
            (limits.answer_bytes_of_one, MAX_ANSWER_BYTES),
        ] {
            assert_eq!(share, Share { other_machine: all, this_machine: all });
        }
    }

    #[tokio::test]
    async fn a_deadline_holds_in_a_task_that_does_all_it_may_in_each_turn() {
        let mut late = pin!(within(Duration::from_millis(1), pending::<()>()));
        let begun = std::time::Instant::now();
        let ended = poll_fn(|task| {
            while pin!(consume_budget()).poll(task).is_ready() {}
            match late.as_mut().poll(task) {
                Poll::Pending if begun.elapsed() > BODY_READ_TIMEOUT => Poll::Ready(None),
                ended => ended.map(Some),
            }
        });
        assert!(matches!(ended.await, Some(Err(_))));
    }

    #[tokio::test]
    async fn a_panic_in_the_work_is_an_answer_without_detail() {
        let gate = Gate::new(1, "reads");
        let answer: Result<(), _> = gate.run(|| panic!("secret")).await;
        let problem = answer.unwrap_err();
        assert_eq!(problem.code, "internal");
        assert!(!problem.detail.contains("secret"));
    }
}
