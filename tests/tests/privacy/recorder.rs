//! What the command line asks a node: a listener that notes method, address and header fields of
//! every request, and hands the request on. Bodies are not noted: a credential may be in one.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, Response, header},
};
use symbolon_tests::devnet::agent;
use tokio::runtime::Runtime;

/// More than any answer of these tests.
const MAX_BODY: usize = 64 << 20;

/// Listeners before the nodes of a network.
pub(crate) struct Recorder {
    runtime: Runtime,
    noted: Arc<Mutex<Vec<String>>>,
}

/// One listener.
#[derive(Clone)]
struct Desk {
    node: String,
    noted: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self { runtime: Runtime::new().unwrap(), noted: Arc::default() }
    }

    /// The origin of a listener that hands everything on to `node`.
    pub(crate) fn before(&self, node: &str) -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let desk = Desk { node: node.to_owned(), noted: self.noted.clone() };
        self.runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, Router::new().fallback(hand_on).with_state(desk)).await.unwrap();
        });
        format!("http://{address}")
    }

    /// Every request so far, a line each.
    pub(crate) fn noted(&self) -> Vec<String> {
        self.noted.lock().unwrap().clone()
    }
}

async fn hand_on(State(desk): State<Desk>, request: Request) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let line = format!("{} {} {:?}", parts.method, parts.uri, parts.headers);
    desk.noted.lock().unwrap().push(line);
    let body = to_bytes(body, MAX_BODY).await.unwrap().to_vec();
    let address = format!("{}{}", desk.node, parts.uri);
    let answer = tokio::task::spawn_blocking(move || {
        parts.uri = address.parse().unwrap();
        without_connection(&mut parts.headers);
        let request = axum::http::Request::from_parts(parts, body);
        let mut answer = if request.method() == Method::GET {
            agent().run(request.map(|_| ()))
        } else {
            agent().run(request)
        }
        .unwrap();
        let bytes = answer.body_mut().with_config().limit(MAX_BODY as u64).read_to_vec().unwrap();
        (answer.into_parts().0, bytes)
    });
    let (mut parts, bytes) = answer.await.unwrap();
    without_connection(&mut parts.headers);
    Response::from_parts(parts, Body::from(bytes))
}

/// What belongs to one connection, and is another one's on the next.
fn without_connection(headers: &mut HeaderMap) {
    for name in [
        header::HOST,
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
    ] {
        headers.remove(name);
    }
}
