//! What a caller, or a cache between, may keep of an answer, and for how long.
//!
//! An answer that says nothing of this is not kept: the guard writes `no-store` over it, and every
//! refusal, every absence and every verdict is such a one. What never changes may be kept for [`UNCHANGING`]; what
//! changes with the chain may be kept and is asked for again, with its tag, each time.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use symbolon_ledger::hash::{Digest, sha256};

/// Of what never changes under its address: a block, a receipt. For a day, and not for ever: a
/// network on one machine may be founded anew at the same address.
pub(super) const UNCHANGING: &str = "public, max-age=86400, immutable";
/// Of what the next block may change: kept, and asked for again before each use.
const ASKED_AGAIN: &str = "public, no-cache";
/// Hexadecimal digits of a tag: 128 bits.
const TAG_LEN: usize = 32;

/// The name of one state of an answer, as it stands in `ETag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag(String);

impl Tag {
    /// Of the answer about `subject` at the height with this mark ([`crate::storage::View::mark`]), or
    /// with the digest of what it is made of.
    /// Another version of this software may answer otherwise.
    pub(super) fn of(mark: &Digest, subject: &Digest) -> Self {
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        let digest = sha256(&[mark.as_bytes(), subject.as_bytes(), version].concat()).to_string();
        Self(format!("\"{}\"", digest.get(..TAG_LEN).unwrap_or(&digest)))
    }

    /// Whether the caller has it: `If-None-Match` names it, weakly or not, or any.
    pub(super) fn is_known(&self, headers: &HeaderMap) -> bool {
        is_known(headers, &self.0)
    }

    /// `answer`, or that it is as the caller has it.
    pub(super) fn on<T: IntoResponse>(&self, answer: Option<T>) -> Response {
        let not_modified = || StatusCode::NOT_MODIFIED.into_response();
        tagged(answer.map_or_else(not_modified, T::into_response), &self.0, ASKED_AGAIN)
    }
}

/// Whether `If-None-Match` names `tag`, which is in quotes.
pub(super) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = given.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    tags.any(|known| matches!(known.trim(), "*") || known.trim().trim_start_matches("W/") == tag)
}

/// `response` with its tag, and how long it may be kept.
pub(super) fn tagged(mut response: Response, tag: &str, kept: &str) -> Response {
    for (name, value) in [(header::CACHE_CONTROL, kept), (header::ETAG, tag)] {
        let value = HeaderValue::from_str(value).expect("letters, digits and quotes");
        response.headers_mut().insert(name, value);
    }
    response
}

/// What never changes, in the form that `accept` asked for.
pub(super) fn unchanging(answer: impl IntoResponse) -> Response {
    let mut response = in_the_form_asked_for(answer.into_response());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(UNCHANGING));
    response
}

/// A response of an address that has two forms, which a cache between must tell apart.
pub(super) fn in_the_form_asked_for(mut response: Response) -> Response {
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_in_each_of_its_spellings_and_no_other_is() {
        let tag = Tag::of(&sha256(b"height"), &sha256(b"licence"));
        let other = Tag::of(&sha256(b"next height"), &sha256(b"licence"));
        assert_ne!(tag, other);
        assert_ne!(tag, Tag::of(&sha256(b"height"), &sha256(b"other licence")));
        let (tag, other) = (&tag.0, &other.0);
        for (given, expected) in [
            (vec![], false),
            (vec![tag.clone()], true),
            (vec![format!("W/{tag}")], true),
            (vec![format!("{other}, {tag}")], true),
            (vec![other.clone(), format!("W/{tag} ")], true),
            (vec!["*".to_owned()], true),
            (vec![other.clone()], false),
            (vec![tag.trim_matches('"').to_owned()], false),
            (vec![String::new()], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in &given {
                headers.append(header::IF_NONE_MATCH, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(is_known(&headers, tag), expected, "{given:?}");
        }
    }
}
