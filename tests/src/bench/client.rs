//! An HTTP client that takes little of the machine: some connections that stay open, one thread,
//! one request after another on each.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use futures::future::join_all;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, StatusCode, Uri,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    runtime::{Builder, Runtime},
};

/// What is asked of one server.
#[derive(Debug, Clone, Copy)]
pub enum Ask<'a> {
    /// `GET` of these addresses by turns, again and again.
    Get(&'a [Uri]),
    /// `POST` of JSON to an address, each body once.
    Post(&'a Uri, &'a [Bytes]),
}

impl<'a> Ask<'a> {
    /// Request number `n`, if there is one: the address, and the body of a `POST`.
    fn number(self, n: usize) -> Option<(&'a Uri, Option<Bytes>)> {
        match self {
            Self::Get(addresses) => Some((&addresses[n % addresses.len()], None)),
            Self::Post(address, bodies) => Some((address, Some(bodies.get(n)?.clone()))),
        }
    }
}

/// An address.
///
/// # Panics
///
/// When it is none.
#[must_use]
pub fn address(text: &str) -> Uri {
    text.parse().expect("a server's address")
}

/// What each answer must be.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// Its status.
    pub status: StatusCode,
    /// What stands near the beginning of its body.
    pub says: &'static str,
}

impl Expected {
    /// Any body.
    pub const OK: Self = Self { status: StatusCode::OK, says: "" };
    /// A verdict, or the first of several.
    pub const VALID: Self = Self { status: StatusCode::OK, says: r#"{"outcome":"valid""# };
    /// Bytes of a body that are looked at.
    const BEGINNING: usize = 64;

    fn is_met(self, status: StatusCode, body: &[u8]) -> bool {
        let beginning = &body[..body.len().min(Self::BEGINNING)];
        let says = || String::from_utf8_lossy(beginning).contains(self.says);
        status == self.status && (self.says.is_empty() || says())
    }
}

/// How many times a second a server answers as `expected` over `connections` within `span`, or until
/// there are no more bodies.
///
/// # Panics
///
/// When the server answers anything else.
#[must_use]
pub fn per_second(ask: Ask<'_>, connections: usize, expected: Expected, span: Duration) -> f64 {
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let begun = Instant::now();
    let client = async || {
        let Some((server, _)) = ask.number(0) else { return };
        let mut connection = connect(server).await;
        while begun.elapsed() < span {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((uri, body)) = ask.number(number) else { break };
            let (status, answer) = send(&mut connection, uri, body).await;
            let as_expected = expected.is_met(status, &answer);
            assert!(as_expected, "{uri}: {status}: {}", String::from_utf8_lossy(&answer));
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    runtime().block_on(join_all((0..connections).map(|_| client())));
    done.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

/// The body of the answer to one `GET`.
///
/// # Panics
///
/// When the server gives none.
#[must_use]
pub fn body_of(uri: &Uri) -> Bytes {
    runtime().block_on(async {
        let mut connection = connect(uri).await;
        send(&mut connection, uri, None).await.1
    })
}

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("the system gives a runtime")
}

async fn connect(uri: &Uri) -> SendRequest<Full<Bytes>> {
    let authority = uri.authority().expect("a node's address has one").as_str();
    let stream = TcpStream::connect(authority).await.expect("the server listens");
    stream.set_nodelay(true).expect("a socket's option");
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    sender
}

async fn send(
    connection: &mut SendRequest<Full<Bytes>>,
    uri: &Uri,
    body: Option<Bytes>,
) -> (StatusCode, Bytes) {
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let host = uri.authority().expect("a node's address has one").as_str();
    let request = Request::builder()
        .method(method)
        .uri(uri.path())
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body.unwrap_or_default()))
        .expect("a request of fixed form");
    connection.ready().await.expect("the connection stays open");
    let answer = connection.send_request(request).await.expect("an answer");
    let status = answer.status();
    (status, answer.into_body().collect().await.expect("a whole body").to_bytes())
}
