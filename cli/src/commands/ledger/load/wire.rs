//! One node over HTTP/1.1, with as little work as possible: connections that stay open, one request
//! at a time on each, no thread of their own.
//!
//! What the rest of the program uses ([`crate::client`]) takes a thread for each request that waits.

use std::{cell::RefCell, time::Duration};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, StatusCode, Uri,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use symbolon_ledger::receipt::MAX_RECEIPT_BYTES;
use tokio::{
    net::TcpStream,
    sync::Semaphore,
    task::spawn_local,
    time::{error::Elapsed, timeout},
};

use crate::{
    client::{from_base64url, text},
    output::Failure,
};

/// Most connections to one node: it lets 1,024 in, and others want to ask it, too.
const MAX_CONNECTIONS: usize = 960;
/// How long a node is asked to wait for the block.
const WAIT: Duration = Duration::from_secs(10);
/// How long to wait for its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(25);
/// Most bytes of an answer: the longest receipt in base64url, in its JSON.
const MAX_ANSWER_BYTES: usize = 2 * MAX_RECEIPT_BYTES;
/// Most seconds of a `Retry-After` that are believed.
const MAX_RETRY_AFTER: u64 = 60;

type Sender = SendRequest<Full<Bytes>>;

/// What a node said to a transaction.
#[derive(Debug)]
pub(super) enum Said {
    /// It is in a block.
    Committed { height: u64, receipt: Vec<u8> },
    /// Not yet: it waited long enough, or has no place for one more who waits.
    Pending,
    /// 503: come back after this time, if it says when.
    Busy(Option<Duration>),
    /// No, with this code.
    Refused(String),
    /// Nothing, or nothing that makes sense.
    Nothing,
}

/// A committed transaction, as the node says it.
#[derive(Deserialize)]
struct CommittedBody<'a> {
    id: &'a str,
    height: u64,
    receipt: &'a str,
}

/// A node.
#[derive(Debug)]
pub(super) struct Wire {
    /// Host and port.
    authority: String,
    path: Uri,
    /// Connections that are open and not used.
    idle: RefCell<Vec<Sender>>,
    /// How many may be open.
    places: Semaphore,
}

impl Wire {
    /// The node at this origin.
    ///
    /// # Errors
    ///
    /// When it is to be spoken to over TLS.
    pub(super) fn to(origin: &str) -> Result<Self, Failure> {
        let plain = origin.strip_prefix("http://").ok_or_else(|| {
            Failure::usage(
                "plain_http_only",
                format!("{origin} wants TLS, and a load is sent over plain HTTP"),
                "load the node from its own machine, over its loopback address",
            )
        })?;
        let has_port = plain.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { plain.to_owned() } else { format!("{plain}:80") };
        let path = format!("/v1/transactions?wait=commit&timeout_ms={}", WAIT.as_millis());
        Ok(Self {
            authority,
            path: path.parse().expect("a path of fixed form"),
            idle: RefCell::default(),
            places: Semaphore::new(MAX_CONNECTIONS),
        })
    }

    /// Submits a transaction whose id is `id`, and waits for its block.
    pub(super) async fn submit(&self, id: &str, bytes: &Bytes) -> Said {
        let _place = self.places.acquire().await;
        let answer: Result<_, Elapsed> = timeout(ANSWER_TIMEOUT, self.exchange(bytes)).await;
        match answer {
            Ok(Some((status, retry_after, body))) => said(id, status, retry_after, &body),
            Ok(None) | Err(_) => Said::Nothing,
        }
    }

    async fn exchange(&self, bytes: &Bytes) -> Option<(StatusCode, Option<Duration>, Bytes)> {
        // One that the node let go while nobody used it is as good as none: the bytes are the same
        // and harmless to send again.
        while let Some(kept) = self.unused() {
            if let Some(answer) = self.ask(kept, bytes).await {
                return Some(answer);
            }
        }
        let stream = TcpStream::connect(&self.authority).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        spawn_local(connection);
        self.ask(sender, bytes).await
    }

    fn unused(&self) -> Option<Sender> {
        let mut idle = self.idle.borrow_mut();
        while let Some(sender) = idle.pop() {
            if !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    async fn ask(
        &self,
        mut sender: Sender,
        bytes: &Bytes,
    ) -> Option<(StatusCode, Option<Duration>, Bytes)> {
        sender.ready().await.ok()?;
        let request = Request::post(&self.path)
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/cose")
            .body(Full::new(bytes.clone()))
            .ok()?;
        let answer = sender.send_request(request).await.ok()?;
        let status = answer.status();
        let retry_after = answer.headers().get(header::RETRY_AFTER);
        let seconds = retry_after.and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await.ok()?;
        self.idle.borrow_mut().push(sender);
        let pause = seconds.map(|s| Duration::from_secs(s.min(MAX_RETRY_AFTER)));
        Some((status, pause, body.to_bytes()))
    }
}

/// What an answer means.
fn said(id: &str, status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Said {
    match status {
        StatusCode::OK => match serde_json::from_slice::<CommittedBody<'_>>(body) {
            Ok(CommittedBody { id: of, height, receipt }) if of == id => {
                let receipt = from_base64url(receipt);
                receipt.map_or(Said::Nothing, |receipt| Said::Committed { height, receipt })
            }
            _ => Said::Nothing,
        },
        StatusCode::ACCEPTED => Said::Pending,
        StatusCode::SERVICE_UNAVAILABLE => Said::Busy(retry_after),
        other if other.is_client_error() && other != StatusCode::REQUEST_TIMEOUT => {
            let problem = serde_json::from_slice::<Value>(body).unwrap_or_default();
            match text(&problem, "code") {
                "" => Said::Nothing,
                code => Said::Refused(code.to_owned()),
            }
        }
        _ => Said::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_as_a_commit_only_with_the_receipt_of_this_transaction() {
        let check = |status: u16, body: &str, expected: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            let said = match said("ab", status, None, body.as_bytes()) {
                Said::Committed { height, receipt } => format!("{height} {receipt:?}"),
                Said::Refused(code) => code,
                other => format!("{other:?}"),
            };
            assert_eq!(said, expected, "{status} {body}");
        };
        check(200, r#"{"id":"ab","state":"committed","height":7,"receipt":"AQI"}"#, "7 [1, 2]");
        check(200, r#"{"id":"cd","state":"committed","height":7,"receipt":"AQI"}"#, "Nothing");
        check(200, r#"{"id":"ab","height":7,"receipt":"?"}"#, "Nothing");
        check(200, "", "Nothing");
        check(202, "{}", "Pending");
        check(503, r#"{"code":"pool_full"}"#, "Busy(None)");
        check(422, r#"{"code":"slot_used"}"#, "slot_used");
        check(404, "not found", "Nothing");
        check(500, r#"{"code":"internal"}"#, "Nothing");
    }

    #[test]
    fn a_node_is_named_by_its_plain_origin() {
        let authority = |origin| Wire::to(origin).map(|wire| wire.authority).map_err(|f| f.code);
        assert_eq!(authority("http://127.0.0.1:8101").as_deref(), Ok("127.0.0.1:8101"));
        assert_eq!(authority("http://node.example").as_deref(), Ok("node.example:80"));
        assert_eq!(authority("http://[::1]").as_deref(), Ok("[::1]:80"));
        assert_eq!(authority("https://node.example").unwrap_err(), "plain_http_only");
    }
}
