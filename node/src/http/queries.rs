//! What may follow the `?` of an address: nothing, where the interface's description names nothing.
//!
//! An address that reads a query refuses unknown names itself ([`super::extract::Asked`]). This is
//! the same rule for all others, in one place, so that a misspelt or misplaced name, such as a
//! `nonce` beside the body of a verification, is never ignored.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::{MatchedPath, Request},
    http::Method,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use utoipa::openapi::{
    OpenApi, RefOr,
    path::{Operation, ParameterIn, PathItem},
};

use super::error::Problem;

/// The described operations that take no query: pattern of the address, and method.
#[derive(Debug, Clone, Default)]
pub(super) struct WithoutQuery(Arc<BTreeSet<(String, Method)>>);

impl WithoutQuery {
    /// Those of a description.
    pub(super) fn of(description: &OpenApi) -> Self {
        let operations = description.paths.paths.iter().flat_map(|(pattern, item)| {
            let silent =
                operations(item).into_iter().filter(|(_, operation)| !takes_query(operation));
            silent.map(move |(method, _)| (pattern.clone(), method))
        });
        Self(Arc::new(operations.collect()))
    }

    fn has(&self, pattern: &str, method: &Method) -> bool {
        // What GET takes, HEAD takes.
        let method = if *method == Method::HEAD { Method::GET } else { method.clone() };
        self.0.contains(&(pattern.to_owned(), method))
    }
}

/// Refuses a query where none is taken.
pub(super) async fn refuse_unread(
    without: WithoutQuery,
    pattern: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let is_asked = request.uri().query().is_some_and(|query| !query.is_empty());
    if is_asked && pattern.is_some_and(|p| without.has(p.as_str(), request.method())) {
        let detail = "this address takes nothing after the ?";
        let hint = "leave it out; /docs shows what belongs into the path or the body here";
        return Problem::bad("bad_query", detail, hint).into_response();
    }
    next.run(request).await
}

fn operations(item: &PathItem) -> Vec<(Method, &Operation)> {
    let all = [(Method::GET, &item.get), (Method::POST, &item.post), (Method::PUT, &item.put)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?))).collect()
}

fn takes_query(operation: &Operation) -> bool {
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    parameters.iter().any(|parameter| match parameter {
        RefOr::T(parameter) => matches!(parameter.parameter_in, ParameterIn::Query),
        // Described elsewhere: what it is stands with the handler, which reads it.
        RefOr::Ref(_) => true,
    })
}
