//! Speaking with a node over HTTP: bounded in time and size, with its problem documents turned
//! into errors that people read.
//!
//! A node is believed no more than its proofs: what a command keeps (receipts) can be checked
//! later without the node. Retrying is the caller's: see [`crate::signing`].

use std::{net::IpAddr, thread, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use symbolon_ledger::{hash::TransactionId, receipt::MAX_RECEIPT_BYTES, records::Record};
use ureq::{Agent, Body, http::Response};

use crate::{
    args::Context,
    output::{Failure, Status},
};

/// How long to wait for a connection: a node of one's own province is near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an answer may take, beyond a wait that was asked for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How often long work asks again, [`PAUSE`] apart, before the node counts as gone: twenty seconds,
/// in which one that was started again answers.
const PATIENT_ATTEMPTS: u32 = 40;
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// Most bytes of an answer: a page of 1,000 registry entries with their proof.
const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;
/// Most pages of one list that are followed: a million entries.
const MAX_PAGES: usize = 1_000;
/// Entries asked for at once.
const PAGE: usize = 1_000;
/// Most characters of a problem document's text that are shown: a node's own have a few hundred.
const MAX_PROBLEM_TEXT: usize = 1_000;

/// A node.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    url: String,
    agent: Agent,
    /// How often a question that got no answer is asked again.
    patience: u32,
}

/// Why a node did not do what it was asked.
#[derive(Debug, Clone)]
pub(crate) enum NodeError {
    /// No answer, or none that makes sense.
    Unreachable(Failure),
    /// It answered with a problem document.
    Problem(Box<Problem>),
}

/// A problem document (RFC 9457).
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    /// HTTP status.
    pub(crate) status: u16,
    /// Stable word.
    pub(crate) code: String,
    /// What is wrong.
    pub(crate) detail: String,
    /// How to mend it.
    pub(crate) hint: String,
    /// The operation at fault, of a refused transaction.
    pub(crate) operation_index: Option<usize>,
    /// The whole document.
    pub(crate) body: Value,
}

impl Problem {
    /// Whether another attempt may succeed without anything being mended.
    pub(crate) fn is_passing(&self) -> bool {
        self.status >= 500 || self.status == 408
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Unreachable(failure) => failure,
            NodeError::Problem(problem) => (*problem).into(),
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let status = if problem.is_passing() { Status::Unreachable } else { Status::Refused };
        // Most commands sign one operation, and its number would only puzzle.
        let message = match problem.operation_index {
            Some(0) | None => problem.detail,
            Some(at) => format!("{} (operation {at})", problem.detail),
        };
        Self::new(status, problem.code, message, problem.hint)
    }
}

/// What a node says to a transaction.
#[derive(Debug, Clone)]
pub(crate) enum Submitted {
    /// It is in a block; with its receipt.
    Committed { height: u64, receipt: Vec<u8> },
    /// Not yet.
    Pending,
}

impl Node {
    /// The node that the command line names.
    ///
    /// # Errors
    ///
    /// When it names none.
    pub(crate) fn of(context: &Context) -> Result<Self, Failure> {
        Ok(Self::at(&context.node_url()?))
    }

    /// The node at an origin.
    pub(crate) fn at(url: &str) -> Self {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .user_agent(concat!("symbolon/", env!("CARGO_PKG_VERSION")));
        if is_loopback(url) {
            config = config.proxy(None);
        }
        let agent = Agent::new_with_config(config.build());
        Self { url: url.to_owned(), agent, patience: 0 }
    }

    /// The same node, which answered before and may be started again: long work waits for it.
    pub(crate) fn patient(self) -> Self {
        Self { patience: PATIENT_ATTEMPTS, ..self }
    }

    /// How often a question that got no answer is asked again.
    pub(crate) const fn patience(&self) -> u32 {
        self.patience
    }

    /// The node's origin.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The JSON at `path`.
    ///
    /// # Errors
    ///
    /// [`NodeError`].
    pub(crate) fn get(&self, path: &str) -> Result<Value, NodeError> {
        let mut attempts = 0;
        loop {
            match self.get_once(path) {
                Err(NodeError::Unreachable(_)) if attempts < self.patience => {
                    attempts += 1;
                    thread::sleep(PAUSE);
                }
                answer => return answer,
            }
        }
    }

    fn get_once(&self, path: &str) -> Result<Value, NodeError> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let request = request.config().timeout_global(Some(ANSWER_TIMEOUT)).build();
        let answer = request.header("accept", "application/json").call();
        self.json(answer).map(|(_, value)| value)
    }

    /// The text of `media_type` at `path`, at most `limit` bytes of it.
    ///
    /// # Errors
    ///
    /// [`NodeError`].
    pub(crate) fn text(
        &self,
        path: &str,
        media_type: &str,
        limit: u64,
    ) -> Result<String, NodeError> {
        let bytes = self.bytes(path, media_type, limit)?;
        String::from_utf8(bytes).map_err(|_| self.strange("a text that is not UTF-8"))
    }

    /// The CBOR at `path`, as its exact bytes: at most `limit` of them.
    ///
    /// # Errors
    ///
    /// [`NodeError`].
    pub(crate) fn cbor(&self, path: &str, limit: usize) -> Result<Vec<u8>, NodeError> {
        self.bytes(path, "application/cbor", limit as u64)
    }

    fn bytes(&self, path: &str, media_type: &str, limit: u64) -> Result<Vec<u8>, NodeError> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let request = request.config().timeout_global(Some(ANSWER_TIMEOUT)).build();
        let answer = request.header("accept", media_type).call();
        let answer = answer.map_err(|e| self.unreachable(&e))?;
        let said = answer.headers().get("content-type").and_then(|v| v.to_str().ok());
        if said.and_then(|v| v.split(';').next()).map(str::trim) != Some(media_type) {
            // A problem document, or not such a node at all.
            self.json(Ok(answer))?;
            return Err(self.strange(&format!("something else than {media_type}")));
        }
        let mut body = answer.into_body();
        let bytes = body.with_config().limit(limit).read_to_vec();
        bytes.map_err(|e| self.unreachable(&e))
    }

    /// Every item of the list at `path`, page by page.
    ///
    /// # Errors
    ///
    /// [`NodeError`].
    pub(crate) fn list(&self, path: &str) -> Result<Vec<Value>, NodeError> {
        let mut items = Vec::new();
        let mut after = String::new();
        for _ in 0..MAX_PAGES {
            let separator = if path.contains('?') { '&' } else { '?' };
            let mut page = self.get(&format!("{path}{separator}limit={PAGE}{after}"))?;
            if let Some(Value::Array(found)) = page.get_mut("items").map(Value::take) {
                items.extend(found);
            }
            match page.get("next") {
                Some(Value::String(next)) => after = format!("&after={}", escape(next)),
                Some(Value::Number(next)) => after = format!("&after={next}"),
                _ => return Ok(items),
            }
        }
        Err(self.strange(&format!("the list {path} has more than {MAX_PAGES} pages")))
    }

    /// Sends `body` to `path` and gives the JSON that comes back.
    ///
    /// # Errors
    ///
    /// [`NodeError`].
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, NodeError> {
        let request = self.agent.post(format!("{}{path}", self.url));
        let request = request.config().timeout_global(Some(ANSWER_TIMEOUT)).build();
        let answer = request.content_type("application/json").send(body.to_string());
        self.json(answer).map(|(_, value)| value)
    }

    /// Sends a transaction and waits up to `wait` for its block.
    ///
    /// # Errors
    ///
    /// [`NodeError`].
    pub(crate) fn submit(&self, bytes: &[u8], wait: Duration) -> Result<Submitted, NodeError> {
        let path = format!("/v1/transactions?wait=commit&timeout_ms={}", wait.as_millis());
        let request = self.agent.post(format!("{}{path}", self.url));
        let request = request.config().timeout_global(Some(ANSWER_TIMEOUT + wait)).build();
        let answer = request.content_type("application/cose").send(bytes);
        let (status, value) = self.json(answer)?;
        if status != 200 {
            return Ok(Submitted::Pending);
        }
        let height = value.get("height").and_then(Value::as_u64);
        let receipt = value.get("receipt").and_then(Value::as_str).map(from_base64url);
        match (height, receipt) {
            (Some(height), Some(Some(receipt))) => Ok(Submitted::Committed { height, receipt }),
            _ => Err(self.strange("a committed transaction without its height and receipt")),
        }
    }

    /// A transaction's state: the answer of `GET /v1/transactions/{id}`.
    ///
    /// # Errors
    ///
    /// [`NodeError`].
    pub(crate) fn transaction(&self, id: &TransactionId) -> Result<Value, NodeError> {
        self.get(&format!("/v1/transactions/{id}"))
    }

    /// A transaction's receipt, as its exact bytes.
    ///
    /// # Errors
    ///
    /// [`NodeError`].
    pub(crate) fn receipt(&self, id: &TransactionId) -> Result<Vec<u8>, NodeError> {
        let value = self.get(&format!("/v1/transactions/{id}/receipt"))?;
        let receipt = value.get("receipt").and_then(Value::as_str).and_then(from_base64url);
        match receipt {
            Some(bytes) if bytes.len() <= MAX_RECEIPT_BYTES => Ok(bytes),
            _ => Err(self.strange("no receipt where one should be")),
        }
    }

    /// The record that stands in a registry's answer.
    ///
    /// # Errors
    ///
    /// When there is none, or it cannot be read.
    pub(crate) fn record<R: Record>(&self, answer: &Value) -> Result<R, NodeError> {
        let bytes = answer.get("record").and_then(Value::as_str).and_then(from_base64url);
        let bytes = bytes.ok_or_else(|| self.strange("an answer without its record"))?;
        R::from_bytes(&bytes)
            .map_err(|e| self.strange(&format!("a record that cannot be read: {e}")))
    }

    /// The text at `path`, of at most `limit` bytes, as it came.
    ///
    /// # Errors
    ///
    /// [`NodeError`].
    pub(crate) fn plain(&self, path: &str, accept: &str, limit: u64) -> Result<String, NodeError> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let request = request.config().timeout_global(Some(ANSWER_TIMEOUT)).build();
        let answer = request.header("accept", accept).call().map_err(|e| self.unreachable(&e))?;
        if answer.status().as_u16() != 200 {
            return self.json(Ok(answer)).and_then(|(status, _)| {
                Err(self.strange(&format!("HTTP status {status} where a text should be")))
            });
        }
        let mut body = answer.into_body();
        body.with_config().limit(limit).read_to_string().map_err(|e| self.unreachable(&e))
    }

    /// Status and body of an answer, or why there is none.
    fn json(&self, answer: Result<Response<Body>, ureq::Error>) -> Result<(u16, Value), NodeError> {
        let answer = answer.map_err(|e| self.unreachable(&e))?;
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        let bytes = body.with_config().limit(MAX_ANSWER_BYTES).read_to_vec();
        let bytes = bytes.map_err(|e| self.unreachable(&e))?;
        let value = serde_json::from_slice::<Value>(&bytes).ok();
        match value {
            Some(value) if (200..300).contains(&status) => Ok((status, value)),
            Some(value) if value.get("code").is_some() => {
                Err(NodeError::Problem(Box::new(problem(status, value))))
            }
            _ => Err(self.strange(&format!("HTTP status {status} with a body that is not its"))),
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> NodeError {
        let hint = match self.url.strip_prefix("https://") {
            // What the TLS library says of bytes that are no TLS: it has no type of its own here.
            Some(host) if error.to_string().contains("InvalidContentType") => {
                format!("this port speaks http, without TLS: name it as http://{host}")
            }
            _ => {
                "check that it runs and that --node names it; `symbolon doctor` looks for the cause"
                    .to_owned()
            }
        };
        NodeError::Unreachable(Failure::unreachable(
            "unreachable",
            format!("the node {} does not answer: {error}", self.url),
            hint,
        ))
    }

    /// The failure of a node that answers, and not as one of this kind does: it gave `what`.
    pub(crate) fn strange(&self, what: &str) -> NodeError {
        NodeError::Unreachable(Failure::unreachable(
            "strange_answer",
            format!("{} gave {what}", self.url),
            "check that --node names a symbolon node of this version, not its admin listener",
        ))
    }
}

fn problem(status: u16, body: Value) -> Problem {
    let text = |name: &str| shown(body.get(name).and_then(Value::as_str).unwrap_or_default());
    let detail = match text("detail") {
        empty if empty.is_empty() => text("title"),
        detail => detail,
    };
    let index = body.get("operation_index").and_then(Value::as_u64);
    let place = index.map(|at| format!("operation {at}: ")).unwrap_or_default();
    Problem {
        status,
        code: text("code"),
        detail: detail.strip_prefix(&place).unwrap_or(&detail).to_owned(),
        hint: text("hint"),
        operation_index: index.and_then(|i| usize::try_from(i).ok()),
        body,
    }
}

/// Text of a problem document for people: cut to [`MAX_PROBLEM_TEXT`], and with what would give a
/// terminal orders written out. A link may lead to a stranger's node.
pub(crate) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(MAX_PROBLEM_TEXT).collect();
    let mark = if cut.len() < text.len() { "…" } else { "" };
    symbolon_verify::display::escaped(&cut) + mark
}

/// A node on this machine is never asked through a proxy that the environment names.
pub(crate) fn is_loopback(url: &str) -> bool {
    let host = url.split("://").nth(1).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    let plain = name.trim_start_matches('[').trim_end_matches(']');
    plain == "localhost" || plain.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whatever may not stand in a query, as `%XX`.
pub(crate) fn escape(text: &str) -> String {
    use std::fmt::Write as _;
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    escaped
}

/// Base64url without padding, as answers carry bytes.
pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The text of `name` in an answer; empty when there is none.
pub(crate) fn text<'v>(answer: &'v Value, name: &str) -> &'v str {
    answer.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_becomes_what_wherein_and_a_hint() {
        let body = json!({"code": "slot_used", "detail": "operation 3: the slot is used", "hint": "take another",
            "operation_index": 3});
        let failure = Failure::from(problem(422, body));
        assert_eq!(failure.code, "slot_used");
        assert_eq!(failure.message, "the slot is used (operation 3)");
        assert_eq!(failure.status, Status::Refused);
        let failure = Failure::from(problem(503, json!({"code": "pool_full", "title": "full"})));
        assert_eq!((failure.status, failure.message.as_str()), (Status::Unreachable, "full"));
        let long = "a".repeat(5_000);
        let hostile = json!({"code": "x\u{1b}", "detail": "\u{1b}[2J\nVALID", "hint": long});
        let failure = Failure::from(problem(404, hostile));
        assert_eq!(failure.code, "x\\u{1b}");
        assert_eq!(failure.message, "\\u{1b}[2J\\u{a}VALID");
        assert_eq!(failure.hint.chars().count(), MAX_PROBLEM_TEXT + 1);
    }

    #[test]
    fn queries_carry_any_text() {
        assert_eq!(escape("local:a b/c&d=é"), "local:a%20b%2Fc%26d%3D%C3%A9");
        for near in ["http://127.0.0.1:8101", "http://localhost", "http://[::1]:8101"] {
            assert!(is_loopback(near), "{near}");
        }
        for far in ["https://a.example", "http://127.0.0.1.a.example", "http://localhost.example"] {
            assert!(!is_loopback(far), "{far}");
        }
    }
}
