//! `POST /v1/challenges`: a nonce for one holder to sign, for one verifier, once.
//!
//! A nonce of this node's can be told by its form, so that one which is over, was answered, or was
//! never given is refused as such and not taken for a verifier's own. What became of a challenge
//! is remembered in [`super::recall`]. `docs/spec/presentation.md`, level B.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use symbolon_credential::{
    encoding::{from_base64url, to_base64url},
    sd_jwt::SELF_PRESENTED,
};
use symbolon_ledger::codes::{ProvinceCode, is_invisible};
use symbolon_verify::judge::MAX_CHALLENGE_AGE_S;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::MAX_BINDING_TEXT;
use crate::http::{
    Server,
    callers::Caller,
    error::{Problem, ProblemDocument},
    extract::{JsonBody, takes_at_most},
    random_bytes,
    words::instant,
};

/// How long a challenge can be answered, in milliseconds: as long as its answer may be old.
pub(super) const CHALLENGE_LIFETIME_MS: u64 = MAX_CHALLENGE_AGE_S * 1_000;
/// Most bytes of a body of `POST /v1/challenges`: an audience, with much room for JSON.
const MAX_CHALLENGE_BODY: usize = 16 * 1024;
/// How every nonce of a node begins. Four characters of base64url are three bytes, so the nonce
/// as a whole is base64url and packs well into a QR code.
const MARK: &str = "elic";
/// Random bytes of a nonce: 128 bits.
const RANDOM_LEN: usize = 16;
/// Bytes after the mark: the second at which it ends, and the random ones.
const BODY_LEN: usize = 4 + RANDOM_LEN;

/// The routes of this module.
pub(super) fn routes() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::default().routes(routes!(challenge)).layer(takes_at_most(MAX_CHALLENGE_BODY))
}

/// A nonce that has the form of a node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct OwnNonce([u8; BODY_LEN]);

impl OwnNonce {
    /// A new one, which ends at `end_ms`.
    fn new(end_ms: u64, random: [u8; RANDOM_LEN]) -> Self {
        let end_s = u32::try_from(end_ms / 1_000).unwrap_or(u32::MAX);
        let mut body = [0; BODY_LEN];
        body[..4].copy_from_slice(&end_s.to_be_bytes());
        body[4..].copy_from_slice(&random);
        Self(body)
    }

    /// Reads a nonce; `None` when it is a verifier's own.
    pub(super) fn read(nonce: &str) -> Option<Self> {
        let body = from_base64url(nonce.strip_prefix(MARK)?).ok()?;
        body.try_into().ok().map(Self)
    }

    fn text(&self) -> String {
        format!("{MARK}{}", to_base64url(&self.0))
    }

    /// Whether its own word for its end is past. Nobody signed that word: it only chooses between
    /// two reasons for a refusal.
    pub(super) fn is_over(&self, now_ms: u64) -> bool {
        self.end_s() <= now_ms / 1_000
    }

    /// Whether it may have been given before `start_ms`: it ends within the life of a challenge
    /// that was given at that moment. Nobody signed that either.
    pub(super) fn may_be_from_before(&self, start_ms: u64) -> bool {
        self.end_s() <= start_ms.saturating_add(CHALLENGE_LIFETIME_MS) / 1_000
    }

    /// The second at which it ends, by its own word.
    fn end_s(&self) -> u64 {
        let [a, b, c, d, ..] = self.0;
        u64::from(u32::from_be_bytes([a, b, c, d]))
    }
}

/// Whom the challenge is for.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChallengeBody {
    /// The verifier, as the holder is to name it in `aud`: its address on the web, or any name
    /// that it goes by. The answering node's province when absent.
    audience: Option<String>,
}

/// A challenge.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Challenge {
    /// What the holder is to sign as `nonce`.
    nonce: String,
    /// What the holder is to sign as `aud`.
    audience: String,
    /// When it can no longer be answered, RFC 3339.
    expires_at: String,
}

/// The audience of challenges for which none was given.
pub(super) fn default_audience(home: Option<ProvinceCode>) -> Option<String> {
    home.map(|province| format!("urn:elic:verifier:{province}"))
}

/// Gives a challenge, which can be answered once and within five minutes.
///
/// Give `nonce` and `audience` to the holder, and `nonce` with the presentation that comes back
/// to `POST /v1/verify` of this same node.
#[utoipa::path(post, path = "/v1/challenges", tag = "verification", request_body = ChallengeBody,
    responses((status = 201, body = Challenge), (status = 400, body = ProblemDocument),
        (status = 413, body = ProblemDocument), (status = 415, body = ProblemDocument),
        (status = 503, body = ProblemDocument)))]
pub(super) async fn challenge(
    State(server): State<Arc<Server>>,
    caller: Caller,
    JsonBody(body): JsonBody<ChallengeBody>,
) -> Result<(StatusCode, Json<Challenge>), Problem> {
    let audience = match body.audience {
        Some(audience) => checked_audience(audience)?,
        None => default_audience(server.context.province).ok_or_else(|| {
            bad_audience("audience is missing", "give one: this node belongs to no province")
        })?,
    };
    let now_ms = (server.context.clock)();
    let end_ms = now_ms.saturating_add(CHALLENGE_LIFETIME_MS);
    let nonce = OwnNonce::new(end_ms, random_bytes()?);
    server.recall.give(caller, (nonce, &audience), (now_ms, end_ms))?;
    let expires_at = instant(end_ms);
    Ok((StatusCode::CREATED, Json(Challenge { nonce: nonce.text(), audience, expires_at })))
}

fn checked_audience(audience: String) -> Result<String, Problem> {
    let count = audience.len();
    // The holder reads it before signing.
    let hides = audience.chars().any(|c| c.is_control() || is_invisible(c));
    if !(1..=MAX_BINDING_TEXT).contains(&count) || hides {
        let detail =
            format!("audience has 1 to {MAX_BINDING_TEXT} bytes, all of them characters that show");
        return Err(bad_audience(&detail, "give the verifier's address on the web"));
    }
    if audience == SELF_PRESENTED {
        let detail =
            format!("{SELF_PRESENTED} is the audience of those who show without being asked");
        return Err(bad_audience(&detail, "name the verifier, or leave audience out"));
    }
    Ok(audience)
}

/// The audience cannot be asked for.
pub(super) fn bad_audience(detail: &str, hint: &str) -> Problem {
    Problem::bad("bad_audience", detail, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_told_by_its_form_and_by_nothing_else() {
        let nonce = OwnNonce::new(1_795_406_700_000, [0xab; RANDOM_LEN]);
        let text = nonce.text();
        assert_eq!(text.len(), 31);
        assert!(from_base64url(&text).is_ok(), "{text} is base64url as a whole");
        assert_eq!(OwnNonce::read(&text), Some(nonce));
        for foreign in [
            "",
            "elic",
            "n-0S6_WzA2Mj",
            &text[1..],
            &text[..30],
            &format!("{text}A"),
            &text.to_uppercase(),
            &format!("{}_", &text[..30]),
        ] {
            assert_eq!(OwnNonce::read(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_nonce_says_when_it_ends() {
        let nonce = OwnNonce::new(1_000_000, [0; RANDOM_LEN]);
        assert!(!nonce.is_over(999_999));
        assert!(nonce.is_over(1_000_000));
        assert!(nonce.may_be_from_before(700_000));
        assert!(!nonce.may_be_from_before(699_999));
    }
}
