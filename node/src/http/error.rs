//! Problem documents (RFC 9457): every answer of 400 and more to a request is one. What is no
//! request, hyper refuses by itself, without a document.
//!
//! A problem says three things: a stable `code` for programs, what is wrong (`detail`), and how to
//! mend it (`hint`). What the caller need not know, such as which file of the database is
//! damaged, goes to the log and not here. Codes are listed in `docs/reference/http-api.md`.

use std::{borrow::Cow, sync::Arc};
use symbolon_credential::long_text::Base64UrlText;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    pool::{SubmitError, SubmitErrorKind},
    storage::StorageError,
};

/// Media type of a problem document.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";
/// Prefix of `type`; the code follows.
const PROBLEM_TYPE: &str = "urn:symbolon:problem:";
/// What `Retry-After` says, in seconds: a few blocks.
const RETRY_AFTER_S: &str = "2";

/// A refusal, before it is written.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    /// HTTP status.
    pub(super) status: StatusCode,
    /// Stable code.
    pub(super) code: Cow<'static, str>,
    /// What is wrong.
    pub(super) detail: String,
    /// How to mend it.
    pub(super) hint: String,
    /// Further members.
    pub(super) more: Box<More>,
    /// The database's fault behind it, for which the node stops. Never written.
    pub(super) fault: Option<Arc<StorageError>>,
}

/// Members that only some problems have.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub(super) struct More {
    /// The operation of the transaction that cannot be done; null for the transaction as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, required = false)]
    pub(super) operation_index: Option<Option<usize>>,
    /// The transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    /// State proof of the absence, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) proof: Option<Base64UrlText>,
    /// Height at which it was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) height: Option<u64>,
}

/// A problem document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemDocument {
    /// `urn:symbolon:problem:` and the code.
    r#type: String,
    /// The code in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong.
    detail: String,
    /// Stable code.
    code: String,
    /// How to mend it.
    hint: String,
    #[serde(flatten)]
    more: More,
}

impl Problem {
    /// A problem with a code, what is wrong, and how to mend it.
    pub(super) fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let (code, detail, hint) = (code.into(), detail.into(), hint.into());
        Self { status, code, detail, hint, more: Box::default(), fault: None }
    }

    /// The request is wrong.
    pub(super) fn bad(code: &'static str, detail: impl Into<String>, hint: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail, hint)
    }

    /// There is no such thing.
    pub(super) fn missing(code: &'static str, detail: impl Into<String>, hint: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail, hint)
    }

    /// There was such a thing, and this node does not keep it any more.
    pub(super) fn pruned(detail: impl Into<String>) -> Self {
        let hint = "ask an archive: a node whose GET /v1/status says history.archive";
        Self::new(StatusCode::GONE, "pruned", detail, hint)
    }

    /// Found at `height`.
    pub(super) fn at(mut self, height: u64) -> Self {
        self.more.height = Some(height);
        self
    }

    /// With a state proof of the absence.
    pub(super) fn proven(mut self, proof: Base64UrlText) -> Self {
        self.more.proof = Some(proof);
        self
    }

    /// About a transaction.
    pub(super) fn about(mut self, id: Option<String>) -> Self {
        self.more.id = id;
        self
    }

    /// Too much to do now.
    pub(super) fn overloaded(what: &str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            format!("this node has all the {what} that it takes at once"),
            "try again in a few seconds, or ask another node",
        )
    }

    /// Something went wrong that is no fault of the caller. The log has it.
    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "this node could not answer because of a fault of its own",
            "ask another node, and tell this node's operator, whose log says more",
        )
    }

    /// It took too long.
    pub(super) fn timeout(what: &str) -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            format!("{what} took too long"),
            "send the request again",
        )
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        let problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "storage_fault",
            "this node cannot read its database",
            "ask another node, and tell this node's operator, whose log says more",
        );
        Self { fault: Some(Arc::new(error)), ..problem }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let status = match error.kind {
            SubmitErrorKind::Malformed => StatusCode::BAD_REQUEST,
            SubmitErrorKind::Rejected => StatusCode::UNPROCESSABLE_ENTITY,
            SubmitErrorKind::Full | SubmitErrorKind::Fault => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut problem = Self::new(status, error.code, error.detail, error.hint);
        if error.kind == SubmitErrorKind::Rejected {
            problem.more.operation_index = Some(error.operation_index);
        }
        problem.about(error.id.map(|id| id.to_string()))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status;
        let document = ProblemDocument {
            r#type: format!("{PROBLEM_TYPE}{}", self.code),
            title: self.code.replace('_', " "),
            status: status.as_u16(),
            detail: self.detail,
            code: self.code.into_owned(),
            hint: self.hint,
            more: *self.more,
        };
        let body = serde_json::to_vec(&document).expect("text and numbers always serialise");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_problem_is_written_with_its_type_code_and_hint() {
        let problem = Problem::bad("bad_cid", "too short", "give 64 digits").at(7);
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let expected = serde_json::json!({
            "type": "urn:symbolon:problem:bad_cid", "title": "bad cid", "status": 400,
            "detail": "too short", "code": "bad_cid", "hint": "give 64 digits", "height": 7,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn an_overloaded_node_says_when_to_come_back() {
        let response = Problem::overloaded("requests").into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
    }
}
