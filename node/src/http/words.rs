//! How values of the chain are written in JSON: the small words that several answers share.

use axum::{
    body::Bytes,
    http::header,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use symbolon_credential::long_text::Base64UrlText;
use symbolon_ledger::{
    codes::{Day, Month},
    hash::Digest,
    keys::PublicKey,
    operation::KeyPurpose,
    records::{KeyRecord, Record},
};
use utoipa::ToSchema;

use super::{error::Problem, extract::to_base64url};
use crate::storage::{Tip, View};

/// Day 0.
const EPOCH: jiff::civil::Date = jiff::civil::date(1970, 1, 1);

/// What an answer with a proof seldom exceeds, in bytes: it is written where it need not be moved.
const ANSWER_BYTES: usize = 16 * 1024;

/// A value as the bytes of its JSON, for an answer that may have a proof.
pub(super) fn json_bytes<T: Serialize>(value: &T) -> Bytes {
    let mut bytes = Vec::with_capacity(ANSWER_BYTES);
    serde_json::to_writer(&mut bytes, value).expect("text and numbers always serialise");
    // One without a proof may wait for a slow reader, and does not take room for one.
    if bytes.len() < ANSWER_BYTES / 2 {
        bytes.shrink_to_fit();
    }
    bytes.into()
}

/// The answer with these bytes of JSON.
pub(super) fn json_answer(bytes: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}

/// An instant, RFC 3339 in UTC with milliseconds.
pub(super) fn instant(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    let latest = jiff::Timestamp::MAX;
    let instant = jiff::Timestamp::from_millisecond(ms).unwrap_or(latest);
    format!("{instant:.3}")
}

/// A day, `YYYY-MM-DD`.
pub(super) fn day(day: Day) -> String {
    // Later than year 9999 has no such spelling; the contracts admit no such day.
    let days = jiff::Span::new().try_days(day.0).and_then(|days| EPOCH.checked_add(days));
    days.map_or_else(|_| day.0.to_string(), |date| date.to_string())
}

/// A month, `YYYY-MM`.
pub(super) fn month(month: Month) -> String {
    format!("{:04}-{:02}", month.0 / 12, month.0 % 12 + 1)
}

/// The block on which an answer rests.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct AsOf {
    /// Its height.
    height: u64,
    /// Its time, RFC 3339.
    time: String,
    /// Its state root.
    state_root: String,
}

impl From<&Tip> for AsOf {
    fn from(tip: &Tip) -> Self {
        Self {
            height: tip.height,
            time: instant(tip.header.time_ms),
            state_root: tip.header.state_root.to_string(),
        }
    }
}

/// A registered key.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Key {
    /// Its number at its actor.
    id: u32,
    /// JOSE name of its algorithm.
    alg: &'static str,
    /// The raw public key, base64url.
    key: String,
    /// `transaction`, `credential` or `status`.
    purpose: &'static str,
    /// First height at which it is valid.
    valid_from: u64,
    /// Last height at which it is valid; null for no end.
    valid_until: Option<u64>,
    /// Height from which on it counts as being in other hands.
    compromised_from: Option<u64>,
    /// Who registered it; null for genesis.
    added_by: Option<AddedBy>,
    /// Whether it is valid at the answer's height.
    valid: bool,
    /// The record, base64url of its CBOR.
    record: String,
}

/// Whose key registered a key.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct AddedBy {
    /// `province 44` or `agency` and a credit code.
    actor: String,
    /// The number of the key.
    key_id: u32,
}

impl Key {
    /// Key `id` as it stands at `height`.
    pub(super) fn new(id: u32, key: &KeyRecord, height: u64) -> Self {
        Self {
            id,
            alg: "Ed25519",
            key: public_key(&key.key),
            purpose: match key.purpose {
                KeyPurpose::Transaction => "transaction",
                KeyPurpose::Credential => "credential",
                KeyPurpose::Status => "status",
            },
            valid_from: key.valid_from,
            valid_until: key.valid_until,
            compromised_from: key.compromised_from,
            added_by: key
                .added_by
                .map(|by| AddedBy { actor: by.actor.to_string(), key_id: by.key_id }),
            valid: key.is_valid_at(height),
            record: record(key),
        }
    }
}

/// A raw public key, base64url.
pub(super) fn public_key(key: &PublicKey) -> String {
    to_base64url(key.as_bytes())
}

/// A record's CBOR, base64url. Encoding is deterministic, so these are the stored bytes.
pub(super) fn record<R: Record>(record: &R) -> String {
    to_base64url(&record.to_bytes())
}

/// A digest, 64 hexadecimal digits.
pub(super) fn hex(digest: &Digest) -> String {
    digest.to_string()
}

/// State proof over a few `keys`, base64url, when it was asked for.
pub(super) fn proof_if(
    asked: bool,
    view: &View<'_>,
    keys: &[symbolon_ledger::state::StateKey],
) -> Result<Option<Base64UrlText>, Problem> {
    if !asked {
        return Ok(None);
    }
    Ok(Some(Base64UrlText::of(&view.state_proof(keys)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_days_and_months_are_written_in_one_way() {
        assert_eq!(instant(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(instant(1_795_449_600_123), "2026-11-23T16:00:00.123Z");
        assert_eq!(day(Day(0)), "1970-01-01");
        assert_eq!(day(symbolon_ledger::codes::LAST_DAY), "9999-12-31");
        assert_eq!(month(Month(2031 * 12 + 4)), "2031-05");
        assert_eq!(instant(u64::MAX).len(), "9999-12-30T22:00:00.999Z".len());
    }
}
