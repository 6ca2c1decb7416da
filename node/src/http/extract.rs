//! From a request to checked values. Whatever does not fit gets a problem document that names
//! the part at fault and its right form.

use std::{fmt::Display, str::FromStr};

use axum::{
    Extension,
    body::{Bytes, HttpBody as _},
    extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::de::DeserializeOwned;
use symbolon_ledger::{
    codes::{ProvinceCode, TypeCode, Uscc},
    hash::{Cid, DIGEST_LEN, Digest, TransactionId},
};

use super::{
    error::Problem,
    limits::{BODY_READ_TIMEOUT, within},
};

/// Media type of a transaction.
pub(super) const APPLICATION_COSE: &str = "application/cose";
/// Media type of receipts, proofs, bundles, blocks and certificates in CBOR.
pub(super) const APPLICATION_CBOR: &str = "application/cbor";
/// Media type of everything else.
pub(super) const APPLICATION_JSON: &str = "application/json";

/// Most bytes of a body where an address says nothing else: axum's own bound.
const UNSAID_BODY_LIMIT: usize = 2 * 1024 * 1024;

/// Where the provinces are listed. No command asks a node for them.
pub(super) const PROVINCES: &str = "GET /v1/provinces lists the provinces of this chain; \
                                    symbolon genesis show FILE, those of its founding";
/// Where the licence types are listed.
pub(super) const LICENCE_TYPES: &str = "GET /v1/licence-types lists the types of this chain; \
                                        symbolon genesis show FILE, those of its founding";

/// The one variable part of a path, checked.
#[derive(Debug, Clone)]
pub(super) struct Named<T>(pub(super) T);

/// What may stand as a variable part of a path.
pub(super) trait PathPart: Sized {
    /// Reads it.
    fn read(text: &str) -> Result<Self, Problem>;
}

/// A licence's name in a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct CidPart(pub(super) Cid);

/// A transaction's name in a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct TransactionPart(pub(super) TransactionId);

/// A height in a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeightPart(pub(super) u64);

impl PathPart for CidPart {
    fn read(text: &str) -> Result<Self, Problem> {
        digest(text, "bad_cid", "licence").map(Self)
    }
}

impl PathPart for TransactionPart {
    fn read(text: &str) -> Result<Self, Problem> {
        digest(text, "bad_transaction_id", "transaction").map(Self)
    }
}

impl PathPart for HeightPart {
    fn read(text: &str) -> Result<Self, Problem> {
        // `parse` would also take "+7" and "007", two more spellings of one address.
        let canonical = text.parse::<u64>().ok().filter(|height| height.to_string() == text);
        canonical.map(Self).ok_or_else(|| {
            Problem::bad("bad_height", "not a height", "give a decimal number, or latest")
        })
    }
}

impl PathPart for Uscc {
    fn read(text: &str) -> Result<Self, Problem> {
        code(text, "bad_uscc", "compare the unified social credit code with its document")
    }
}

impl PathPart for TypeCode {
    fn read(text: &str) -> Result<Self, Problem> {
        code(text, "bad_licence_type", LICENCE_TYPES)
    }
}

impl PathPart for ProvinceCode {
    fn read(text: &str) -> Result<Self, Problem> {
        code(text, "bad_province", PROVINCES)
    }
}

fn digest(text: &str, error: &'static str, what: &str) -> Result<Digest, Problem> {
    text.parse().map_err(|_| {
        let detail = format!("the name of a {what} has 64 lower-case hexadecimal digits");
        Problem::bad(error, detail, &no_digest(text))
    })
}

/// How to mend a text that is no digest.
fn no_digest(text: &str) -> String {
    let found = text.chars().count();
    if found != 2 * DIGEST_LEN {
        return format!("{found} characters were given; copy it whole");
    }
    match text.chars().position(|c| !c.is_ascii_hexdigit()) {
        Some(at) => format!("character {} is no hexadecimal digit; copy it anew", at + 1),
        None => "write its letters in lower case".to_owned(),
    }
}

/// Reads a code whose error says what it should be.
pub(super) fn code<T>(text: &str, error: &'static str, hint: &str) -> Result<T, Problem>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|e: T::Err| Problem::bad(error, e.to_string(), hint))
}

impl<S: Send + Sync, T: PathPart> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| {
            Problem::bad("bad_utf8", "the path is not UTF-8", "percent-encode it as UTF-8")
        })?;
        T::read(&text).map(Self)
    }
}

/// The part of an address after `?`, checked: unknown names are refused.
#[derive(Debug, Clone)]
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(query) = Query::<T>::from_request_parts(parts, state).await.map_err(|e| {
            Problem::bad("bad_query", e.body_text(), "/docs lists what may follow the ? here")
        })?;
        Ok(Self(query))
    }
}

/// Most bytes of a body that an address takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyLimit(usize);

/// Lets the addresses under it take bodies of at most `most` bytes, and say so when one is longer.
pub(super) fn takes_at_most(most: usize) -> (DefaultBodyLimit, Extension<BodyLimit>) {
    (DefaultBodyLimit::max(most), Extension(BodyLimit(most)))
}

/// A body's exact bytes, read within [`BODY_READ_TIMEOUT`].
#[derive(Debug, Clone)]
pub(super) struct Body(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let limit = request.extensions().get::<BodyLimit>();
        let most = limit.map_or(UNSAID_BODY_LIMIT, |limit| limit.0);
        refuse_announced(&request, most)?;
        let read = Bytes::from_request(request, state);
        let Ok(read) = within(BODY_READ_TIMEOUT, read).await else {
            return Err(Problem::timeout("the request's body"));
        };
        let bytes = read.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => body_too_large(most),
            _ => broken_body(),
        })?;
        Ok(Self(bytes))
    }
}

/// Refuses a body that says itself that it is larger than `most` bytes: nobody waits for it.
pub(super) fn refuse_announced(request: &Request, most: usize) -> Result<(), Problem> {
    let announced = request.body().size_hint().lower();
    if announced > most as u64 { Err(body_too_large(most)) } else { Ok(()) }
}

/// The body is larger than the `most` bytes that are allowed.
pub(super) fn body_too_large(most: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("the request's body is larger than the {most} bytes that this address takes"),
        "send less at once; docs/reference/http-api.md lists the limits",
    )
}

/// The connection broke within the body.
pub(super) fn broken_body() -> Problem {
    Problem::bad("bad_body", "the body did not arrive whole", "send it again")
}

/// A body that is said to be JSON, as its exact bytes, with the headers that came with it.
#[derive(Debug, Clone)]
pub(super) struct JsonBytes {
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for JsonBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        must_be_json(request.headers())?;
        let headers = request.headers().clone();
        let Body(bytes) = Body::from_request(request, state).await?;
        Ok(Self { headers, bytes })
    }
}

/// A JSON body.
#[derive(Debug, Clone)]
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let JsonBytes { bytes, .. } = JsonBytes::from_request(request, state).await?;
        parse_json(&bytes).map(Self)
    }
}

/// Reads a JSON text.
pub(super) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if bytes.is_empty() {
        return Err(Problem::bad("bad_json", "the body is empty", "send a JSON object"));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let detail = format!("the body is not UTF-8 at byte {}", e.valid_up_to());
        Problem::bad("bad_utf8", detail, "send the body in UTF-8, without a byte order mark")
    })?;
    parse_object(text, "the body")
}

/// Reads the JSON object `text`, which the answer calls `what`.
pub(super) fn parse_object<T: DeserializeOwned>(text: &str, what: &str) -> Result<T, Problem> {
    // A list would be read as the members in their order, and one value too few or too many would
    // be told in words of the code.
    if !text.trim_start().starts_with('{') {
        let detail = format!("{what} is no JSON object");
        return Err(Problem::bad("bad_json", detail, "/docs shows its form"));
    }
    serde_json::from_str(text).map_err(|e| {
        Problem::bad("bad_json", without_value(&e), "/docs shows the form of the body")
    })
}

/// What is wrong with a text, without the value that it found: it may be somebody's name.
fn without_value(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let value = text.find(['"', '`']).filter(|_| text.starts_with("invalid "));
    match (value, text.rfind(", expected")) {
        (Some(from), Some(to)) if from < to => {
            format!("{}{}", text[..from].trim_end(), &text[to..])
        }
        _ => text,
    }
}

/// Refuses a body that is not said to be JSON.
pub(super) fn must_be_json(headers: &HeaderMap) -> Result<(), Problem> {
    if is_type(headers, APPLICATION_JSON) { Ok(()) } else { Err(unsupported(APPLICATION_JSON)) }
}

/// Whether the body is said to be of `media_type`, whatever its parameters.
pub(super) fn is_type(headers: &HeaderMap, media_type: &str) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| essence(value).eq_ignore_ascii_case(media_type))
}

/// The body is said to be of another type than `wanted`.
pub(super) fn unsupported(wanted: &str) -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "the content-type is missing or is not one that this address takes",
        format!("set content-type: {wanted}"),
    )
}

/// Whether the answer should be CBOR: the first of CBOR and JSON that `accept` names.
pub(super) fn wants_cbor(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(essence)
        .find(|t| [APPLICATION_CBOR, APPLICATION_JSON].iter().any(|k| t.eq_ignore_ascii_case(k)))
        .is_some_and(|t| t.eq_ignore_ascii_case(APPLICATION_CBOR))
}

fn essence(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

/// Bytes as they stand in JSON: base64url without padding.
pub(super) fn to_base64url(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64url without padding.
pub(super) fn from_base64url(text: &str) -> Result<Vec<u8>, Problem> {
    BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|e| {
        let hint = "use the alphabet A-Z a-z 0-9 - _ without = at the end (RFC 4648, section 5)";
        Problem::bad("bad_base64", format!("not base64url: {e}"), hint)
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn accepting(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(value))])
    }

    #[test]
    fn cbor_is_sent_to_those_who_name_it_first() {
        for (accept, expected) in [
            ("application/cbor", true),
            ("Application/CBOR; q=1", true),
            ("text/html, application/cbor", true),
            ("application/json, application/cbor", false),
            ("*/*", false),
            ("", false),
        ] {
            assert_eq!(wants_cbor(&accepting(accept)), expected, "{accept}");
        }
    }

    #[test]
    fn every_malformed_part_of_a_path_has_its_own_code() {
        fn code<T: PathPart>(text: &str) -> String {
            T::read(text).err().map(|p| p.code.into_owned()).unwrap_or_default()
        }
        let upper = "AB".repeat(32);
        assert_eq!(code::<CidPart>(&upper), "bad_cid");
        assert_eq!(no_digest(&upper), "write its letters in lower case");
        assert!(no_digest(&format!("{}g", "0".repeat(63))).starts_with("character 64 "));
        assert!(no_digest("00").starts_with("2 characters "));
        assert_eq!(code::<TransactionPart>("00"), "bad_transaction_id");
        for height in ["", "-1", "+7", "007", "1e3", "18446744073709551616"] {
            assert_eq!(code::<HeightPart>(height), "bad_height", "{height}");
        }
        assert_eq!(code::<Uscc>("11100000000013127E"), "bad_uscc");
        assert_eq!(code::<ProvinceCode>("440"), "bad_province");
        assert_eq!(code::<TypeCode>("local:UPPER"), "bad_licence_type");
    }

    #[test]
    fn a_wrong_check_character_is_answered_with_the_right_one() {
        let problem = <Uscc as PathPart>::read("11100000000013127E").unwrap_err();
        assert!(problem.detail.contains("should be D"), "{}", problem.detail);
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_not_repeated() {
        let detail = |text: &str| {
            parse_object::<std::collections::BTreeMap<String, bool>>(text, "it").unwrap_err().detail
        };
        for text in ["{\"a\": \"陆园琼\"}", "{\"a\": 440106199001011234}"] {
            let detail = detail(text);
            assert!(detail.starts_with("invalid type: "), "{detail}");
            assert!(!detail.contains("陆") && !detail.contains("4401"), "{detail}");
            assert!(detail.contains(", expected a boolean at line 1"), "{detail}");
        }
    }

    #[test]
    fn json_that_is_empty_or_not_utf8_is_named_as_such() {
        let code = |bytes: &[u8]| parse_json::<serde_json::Value>(bytes).unwrap_err().code;
        assert_eq!(code(b""), "bad_json");
        assert_eq!(code(b"{\"a\": \"\xff\"}"), "bad_utf8");
        assert_eq!(code(b"{\"a\": "), "bad_json");
        assert_eq!(code("\u{feff}{}".as_bytes()), "bad_json");
        assert_eq!(code("[".repeat(1_000).as_bytes()), "bad_json");
    }
}
