//! HTTP: the node's outside interface.
//!
//! It reads snapshots and hands transactions to the pool; it never writes the chain. Read
//! [`limits`] and [`callers`] for what a caller may take, [`error`] for how a refusal looks,
//! [`extract`], [`queries`] and [`bodies`] for how requests are read, [`reading`] for how the
//! database is, [`kept`] for what callers may keep, [`memory`] for what is remembered between
//! requests, then the modules of the addresses: [`transactions`], [`licences`], [`staple`],
//! [`verify`], [`tickets`], [`compat`], [`agencies`], [`reversals`], [`registries`], [`proposals`],
//! [`blocks`], [`evidence`], [`trust`], [`events`]; then [`status_lists`], [`well_known`] and
//! [`type_metadata`], which are read without any knowledge of the ledger; [`admin`] for the
//! operator; and [`threads`] for who serves all of it. The shapes are described at `/docs` of a
//! running node and in `docs/reference/http-api.md`.

mod limits;

mod callers;

mod error;

mod extract;

mod bodies;

mod words;

mod reading;

mod kept;

mod memory;

mod idempotency;

mod origin;

mod proven;

mod transactions;

mod licences;

mod staple;

mod verify;

mod tickets;

mod compat;

mod agencies;

mod reversals;

mod registries;

mod proposals;

mod catalogue;

mod recognition;

mod status_lists;

mod well_known;

mod type_metadata;

mod blocks;

mod evidence;

mod trust;

mod events;

mod openapi;

mod operator;

mod queries;

mod admin;

mod tls;

mod threads;

pub use admin::CHECKPOINT_PATH;
pub use callers::Share;
pub use limits::{CHECKPOINT_TIMEOUT, HttpLimits, MAX_SHOWINGS, MIN_SHOWINGS, SHOWINGS};
pub use operator::operator_authorization;
pub use origin::{NotAnOrigin, PublicOrigin};
pub use threads::{HttpThreads, MAX_HTTP_WORKERS, Serving};
pub use tls::TlsFiles;

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::{MatchedPath, Request},
    http::{HeaderName, Method, StatusCode, header},
    middleware::{self, Next},
};
use axum_server::{
    Handle,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use hyper_util::rt::TokioTimer;
use symbolon_ledger::codes::ProvinceCode;
use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use tower_http::cors::{Any, CorsLayer};
use utoipa::{OpenApi as _, openapi::OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::{
    engine::{Clock, EngineStatus},
    metrics::Metrics,
    pool::Pool,
    status_signer::StatusSigner,
    storage::Store,
};
use bodies::Budget;
use callers::Callers;
use error::Problem;
use idempotency::{Answers, IDEMPOTENCY_KEY};
use limits::{
    FIRST_REQUEST_TIMEOUT, Gate, HEADER_TIMEOUT, HTTP2_PING_INTERVAL, MAX_HTTP1_HEADER_BYTES,
    MAX_HTTP2_HEADER_BYTES, MAX_HTTP2_STREAMS, MAX_LARGE_BODIES,
};
use operator::OperatorToken;
use tickets::Tickets;
use tls::Doorkeeper;
use verify::{recall::Recall, signatures::Signatures};

/// How long open requests may go on after the node was told to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// How long a browser may keep the answer to a preflight request.
const PREFLIGHT_AGE: Duration = Duration::from_secs(3_600);

/// What the handlers answer from.
#[derive(Clone)]
pub struct HttpContext {
    /// The chain.
    pub store: Arc<Store>,
    /// Transactions that wait.
    pub pool: Arc<Pool>,
    /// What the engine says of itself.
    pub status: watch::Receiver<EngineStatus>,
    /// The province whose node this is.
    pub province: Option<ProvinceCode>,
    /// `validator` or `observer`.
    pub role: &'static str,
    /// Milliseconds since 1970-01-01T00:00Z.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What this node signs its province's status lists with.
    pub status_signer: Option<Arc<StatusSigner>>,
    /// How much of the machine HTTP may take.
    pub limits: HttpLimits,
    /// Under which address outsiders reach this node, if it was told.
    pub public_origin: Option<PublicOrigin>,
}

impl fmt::Debug for HttpContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpContext")
            .field("province", &self.province)
            .field("role", &self.role)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAddresses {
    /// The outside interface.
    pub public: SocketAddr,
    /// The operator's interface.
    pub admin: SocketAddr,
    /// Certificate and key of the outside interface.
    pub tls: Option<TlsFiles>,
    /// Offer plain HTTP to other machines all the same, for a proxy that terminates TLS. Never the
    /// operator's interface.
    pub insecure_public: bool,
}

/// Why HTTP cannot be served.
#[derive(Debug, Error)]
pub enum HttpError {
    /// The address is in use, not ours, or forbidden.
    #[error("cannot listen on {address}: {source}; stop whatever holds it, or configure another")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Plain HTTP to the world.
    #[error(
        "refusing to offer plain HTTP on {0}: configure a certificate, listen on 127.0.0.1, or pass --insecure-public behind a proxy that terminates TLS"
    )]
    NotLoopback(SocketAddr),
    /// The operator's interface to the world.
    #[error(
        "refusing to offer the operator's interface on {0}: it has no TLS and no login; listen on 127.0.0.1 or ::1, and reach it from this machine"
    )]
    AdminNotLoopback(SocketAddr),
    /// A certificate or its key.
    #[error("TLS file {}: {what}", .path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The file that shows who the operator is.
    #[error("cannot make {}: {source}; the node's user must be able to write data_dir", .path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system gives no threads.
    #[error("cannot start the verification threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// The system gives no threads.
    #[error("cannot start the threads that serve HTTP: {0}")]
    Workers(io::Error),
    /// A listener failed.
    #[error("the HTTP listener failed: {0}")]
    Serve(io::Error),
}

/// What all handlers share.
struct Server {
    context: HttpContext,
    /// Places for requests being answered.
    requests: Semaphore,
    /// Whose requests they are.
    requesting: Callers,
    /// Places for the operator's requests being answered.
    operator_requests: Semaphore,
    /// What shows who may have the database held fast.
    operator: OperatorToken,
    /// Blocking reads of the database for the operator.
    operator_reads: Gate,
    /// Places for submitters who wait.
    waits: Arc<Semaphore>,
    /// Places for event streams.
    streams: Arc<Semaphore>,
    /// Whose event streams they are.
    streaming: Callers,
    /// The newest blocks as the streams send them.
    told: events::Told,
    /// Blocking reads of the database.
    reads: Gate,
    /// Blocking work that verifies presentations.
    checks: Gate,
    /// Blocking work that admits transactions.
    submissions: Gate,
    /// Bytes of batches that are being read or worked on.
    large: Budget,
    /// Batches that are worked on.
    batches: Gate,
    /// What was shown here, and the challenges given here.
    recall: Recall,
    /// Issuers' signatures that were found to hold.
    signatures: Signatures,
    /// Presentations that are left here for a minute.
    tickets: Tickets,
    /// Answers to requests that may be sent again.
    answers: Answers,
    /// Whether this node itself serves HTTPS.
    encrypted: bool,
    /// Status lists compressed and signed lately.
    status_lists: status_lists::Shelf,
    /// Threads for batches. Their own, so that no batch can hold up the engine's.
    workers: rayon::ThreadPool,
    /// The newest trust bundle that was asked for.
    bundle: trust::BundleCache,
    /// Told when the node goes down, so that streams end.
    stopping: watch::Sender<bool>,
}

impl Server {
    fn new(context: HttpContext, encrypted: bool) -> Result<Arc<Self>, HttpError> {
        let limits = context.limits;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = rayon::ThreadPoolBuilder::new()
            .num_threads(cores)
            .thread_name(|n| format!("verify-{n}"))
            .build()?;
        let operator = OperatorToken::make(context.store.folder())?;
        let recall = Recall::new((context.clock)(), &limits);
        Ok(Arc::new(Self {
            context,
            requests: Semaphore::new(limits.requests),
            requesting: Callers::new(limits.requests_of_one),
            operator_requests: Semaphore::new(limits::OPERATOR_REQUESTS),
            operator,
            operator_reads: Gate::new(limits::OPERATOR_READS, "reads"),
            waits: Arc::new(Semaphore::new(limits.waits)),
            streams: Arc::new(Semaphore::new(limits.streams)),
            streaming: Callers::new(limits.streams_of_one),
            told: events::Told::default(),
            reads: Gate::new(limits.reads, "reads"),
            checks: Gate::new(limits.checks, "verifications"),
            submissions: Gate::new(limits.submissions, "submissions"),
            large: Budget::new(MAX_LARGE_BODIES),
            batches: Gate::new(limits.batches, "batches"),
            recall,
            signatures: Signatures::default(),
            tickets: Tickets::new(limits.tickets_of_one),
            answers: Answers::new(limits.keys_of_one, limits.answer_bytes_of_one),
            encrypted,
            status_lists: status_lists::Shelf::default(),
            workers,
            bundle: trust::BundleCache::default(),
            stopping: watch::Sender::new(false),
        }))
    }
}

/// The outside interface.
///
/// # Errors
///
/// [`HttpError::Threads`].
pub fn router(context: HttpContext) -> Result<Router, HttpError> {
    Ok(public_routes(Server::new(context, false)?))
}

/// The OpenAPI description of the outside interface.
#[must_use]
pub fn description() -> OpenApi {
    all_routes().1
}

fn all_routes() -> (Router<Arc<Server>>, OpenApi) {
    let open = OpenApiRouter::with_openapi(openapi::Description::openapi())
        .merge(transactions::routes())
        .merge(licences::routes())
        .merge(staple::routes())
        .merge(verify::routes())
        .merge(tickets::routes())
        .merge(compat::routes())
        .merge(agencies::routes())
        .merge(reversals::routes())
        .merge(registries::routes())
        .merge(proposals::routes())
        .merge(blocks::routes())
        .merge(evidence::routes())
        .merge(trust::routes())
        .merge(events::routes())
        .merge(status_lists::routes())
        .merge(well_known::routes())
        .merge(type_metadata::routes());
    let (open, mut description) = open.split_for_parts();
    let (submit, submit_description) = transactions::submit_route().split_for_parts();
    description.merge(submit_description);
    openapi::complete(&mut description);
    // Reading and verifying are open to web pages of any origin: there are no cookies, and what
    // they get is public or their own. Submitting is for programs that hold a key. The fallback
    // comes before the layer, which then answers a preflight to an address that takes no OPTIONS.
    let without = queries::WithoutQuery::of(&description);
    let check = move |pattern: Option<MatchedPath>, request: Request, next: Next| {
        queries::refuse_unread(without.clone(), pattern, request, next)
    };
    let open = open.method_not_allowed_fallback(wrong_method);
    let open = open.layer(middleware::from_fn(check)).layer(cors());
    (open.merge(submit), description)
}

fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers([
            header::ACCEPT,
            header::CONTENT_TYPE,
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static(IDEMPOTENCY_KEY),
        ])
        .max_age(PREFLIGHT_AGE)
}

fn public_routes(server: Arc<Server>) -> Router {
    let (routes, description) = all_routes();
    routes
        .merge(SwaggerUi::new(openapi::BROWSER_PATH).url(openapi::DESCRIPTION_PATH, description))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(server.clone(), limits::guard))
        .with_state(server)
}

/// Fresh random bytes.
fn random_bytes<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the system gives no random bytes");
        Problem::internal()
    })?;
    Ok(bytes)
}

async fn not_found() -> Problem {
    Problem::missing("not_found", "there is nothing at this address", "/docs lists the addresses")
}

async fn wrong_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this address does not take this method",
        "the allow header names the methods that it takes; /docs describes them",
    )
}

/// Both listeners, bound: nothing can take their addresses any more.
#[derive(Debug)]
pub struct HttpListeners {
    public: TcpListener,
    admin: TcpListener,
    tls: Option<RustlsConfig>,
    behind_proxy: bool,
}

impl HttpAddresses {
    /// Checks all that needs no socket, and gives what the TLS files hold.
    ///
    /// # Errors
    ///
    /// [`HttpError`]: an address would offer plain HTTP to other machines; a TLS file is not what
    /// it must be.
    pub fn check(&self) -> Result<Option<RustlsConfig>, HttpError> {
        let tls = self.tls.as_ref();
        tls::check_exposure(self.public, tls, self.insecure_public)?;
        tls::check_operator(self.admin)?;
        tls.map(TlsFiles::load).transpose()
    }
}

impl HttpListeners {
    /// Binds both addresses and reads the certificate.
    ///
    /// # Errors
    ///
    /// [`HttpError`]: an address is taken, or would offer plain HTTP to other machines; a TLS
    /// file is not what it must be.
    pub fn bind(addresses: &HttpAddresses) -> Result<Self, HttpError> {
        let tls = addresses.check()?;
        let bind = |address| {
            TcpListener::bind(address).map_err(|source| HttpError::Listen { address, source })
        };
        Ok(Self {
            public: bind(addresses.public)?,
            admin: bind(addresses.admin)?,
            tls,
            behind_proxy: addresses.insecure_public && addresses.tls.is_none(),
        })
    }

    /// The address of the outside interface, with its real port.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn public_address(&self) -> io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// The address of the operator's interface, with its real port.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn admin_address(&self) -> io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Serves until `shutdown` is true or its sender is gone, then lets open requests end.
    ///
    /// # Errors
    ///
    /// [`HttpError::Serve`] when a listener fails.
    pub async fn serve(
        self,
        context: HttpContext,
        mut shutdown: watch::Receiver<bool>,
    ) -> Result<(), HttpError> {
        let limits = context.limits;
        let limits = if self.behind_proxy { limits.behind_a_proxy() } else { limits };
        let server = Server::new(HttpContext { limits, ..context }, self.tls.is_some())?;
        let doorkeeper = || Doorkeeper {
            places: Arc::new(Semaphore::new(limits.connections)),
            callers: Callers::new(limits.connections_of_one),
        };
        let handles = [Handle::new(), Handle::new()];
        let admin = listener(self.admin)?
            .acceptor(doorkeeper())
            .handle(handles[1].clone())
            .serve(admin::routes(server.clone()).into_make_service());
        let plain = listener(self.public)?.handle(handles[0].clone());
        let routes =
            public_routes(server.clone()).into_make_service_with_connect_info::<SocketAddr>();
        let public = async {
            match self.tls {
                None => plain.acceptor(doorkeeper()).serve(routes).await,
                Some(tls) => {
                    let acceptor = RustlsAcceptor::new(tls).handshake_timeout(HEADER_TIMEOUT);
                    plain.acceptor(acceptor.acceptor(doorkeeper())).serve(routes).await
                }
            }
        };
        let stop = async {
            let _ = shutdown.wait_for(|stop| *stop).await;
            server.stopping.send_replace(true);
            for handle in &handles {
                handle.graceful_shutdown(Some(SHUTDOWN_GRACE));
            }
        };
        let (public, admin, ()) = tokio::join!(public, admin, stop);
        public.and(admin).map_err(HttpError::Serve)
    }
}

/// A server on `listener` that is not kept waiting by slow callers (hyper by itself waits for
/// ever).
fn listener(listener: TcpListener) -> Result<axum_server::Server<SocketAddr>, HttpError> {
    let mut server = axum_server::from_tcp(listener)
        .map_err(HttpError::Serve)?
        .first_request_timeout(FIRST_REQUEST_TIMEOUT);
    let builder = server.http_builder();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HTTP1_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_HTTP2_STREAMS)
        .max_header_list_size(MAX_HTTP2_HEADER_BYTES)
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .keep_alive_timeout(HEADER_TIMEOUT);
    Ok(server)
}
