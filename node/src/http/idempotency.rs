//! `Idempotency-Key`: a retry gets the answer that its first attempt got, byte for byte
//! (draft-ietf-httpapi-idempotency-key-header).
//!
//! Without it, whoever lost the answer to a verification and asks again is told `replayed`. The
//! answer is kept in memory for the window in which that could happen, and nowhere else; it may
//! say what a presentation says of a person. Only answers of 200 are kept: whatever failed may
//! be tried again under the same key.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use symbolon_ledger::hash::{Digest, sha256};
use symbolon_verify::judge::{MAX_CHALLENGE_AGE_S, MAX_CLOCK_LEAD_S};

use super::{
    Server,
    error::Problem,
    memory::{Bounds, Memory},
};

/// The header.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Longest key, in characters: three times a UUID.
const MAX_KEY_LEN: usize = 128;
/// How long an answer is kept, in milliseconds: as long as the presentation in it could otherwise
/// be refused as shown before.
const LIFETIME_MS: u64 = (MAX_CHALLENGE_AGE_S + MAX_CLOCK_LEAD_S) * 1_000;
/// Answers kept at once. Their bytes may pass the bound by the answers that are being made.
const ANSWERS: Bounds = Bounds { entries: 8_192, bytes: 64 * 1024 * 1024 };

/// What became of a request with a key.
struct Kept {
    /// Digest of its body.
    body: Digest,
    /// `None` while it is being worked on.
    answer: Option<Bytes>,
}

/// The answers that are kept.
pub(super) struct Answers(Mutex<Memory<Digest, Kept>>);

/// What is known of a request with a key when it arrives.
enum Begun {
    /// Nothing: it is worked on from now on, under this place.
    First(Place),
    /// It was answered.
    Answered(Bytes),
}

/// The place of a request that is worked on; when it is dropped without an answer, the key is free
/// again.
struct Place {
    server: Arc<Server>,
    key: Digest,
    body: Digest,
    end_ms: u64,
}

impl Answers {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Memory::new(ANSWERS)))
    }

    fn lock(&self) -> MutexGuard<'_, Memory<Digest, Kept>> {
        // Every change is complete when the lock is released, also by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Takes the place of `key`, or says what stands there.
    fn take(server: &Arc<Server>, key: Digest, body: Digest) -> Result<Begun, Problem> {
        let now_ms = (server.context.clock)();
        let end_ms = now_ms.saturating_add(LIFETIME_MS);
        let mut answers = server.answers.lock();
        match answers.get(&key, now_ms) {
            Some(kept) if kept.body != body => return Err(reused()),
            Some(Kept { answer: Some(answer), .. }) => return Ok(Begun::Answered(answer.clone())),
            Some(Kept { answer: None, .. }) => return Err(in_progress()),
            None => {}
        }
        let kept = Kept { body, answer: None };
        let inserted = answers.insert(key, kept, 0, (now_ms, end_ms));
        inserted.map_err(|_| Problem::overloaded("answers that it must remember"))?;
        Ok(Begun::First(Self { server: server.clone(), key, body, end_ms }))
    }

    /// Keeps the answer, before anybody gets it.
    fn keep(&self, answer: &Bytes) {
        let kept = Kept { body: self.body, answer: Some(answer.clone()) };
        self.server.answers.lock().replace(self.key, kept, answer.len(), self.end_ms);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut answers = self.server.answers.lock();
        let is_open = answers.get(&self.key, 0).is_some_and(|kept| kept.answer.is_none());
        if is_open {
            answers.take(&self.key);
        }
    }
}

/// Answers a request of `route`: with `work`, or with what the same request got before.
///
/// With a key, the work goes on when the caller hangs up: it may have used up a presentation, and
/// the retry must find the answer.
pub(super) async fn once<W>(
    server: &Arc<Server>,
    (route, headers, bytes): (&'static str, &HeaderMap, &Bytes),
    work: W,
) -> Result<Response, Problem>
where
    W: Future<Output = Result<Bytes, Problem>> + Send + 'static,
{
    let Some(key) = read_key(headers)? else { return work.await.map(json_answer) };
    let key = sha256(format!("{route} {key}").as_bytes());
    let body = digest(bytes.clone()).await?;
    let place = match Place::take(server, key, body)? {
        Begun::Answered(answer) => return Ok(json_answer(answer)),
        Begun::First(place) => place,
    };
    let worked = tokio::spawn(async move {
        let answer = work.await?;
        place.keep(&answer);
        Ok(answer)
    });
    worked.await.unwrap_or_else(|_| Err(Problem::internal())).map(json_answer)
}

/// The digest of a body, which may have 16 MiB: on a blocking thread.
async fn digest(body: Bytes) -> Result<Digest, Problem> {
    tokio::task::spawn_blocking(move || sha256(&body)).await.map_err(|_| Problem::internal())
}

/// A value as the bytes of its JSON.
pub(super) fn json_bytes<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).expect("text and numbers always serialise").into()
}

fn json_answer(bytes: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}

/// The key: a string in quotes as the draft has it, or the same without them.
fn read_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let bad = || {
        let detail =
            format!("{IDEMPOTENCY_KEY} is one text of 1 to {MAX_KEY_LEN} visible characters");
        Problem::bad("bad_idempotency_key", detail, "give a new UUID for each request, in quotes")
    };
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = given.next() else { return Ok(None) };
    let text = value.to_str().map_err(|_| bad())?.trim();
    let key = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').ok_or_else(bad)?,
        None => text,
    };
    // No quote and no backslash inside: what would need an escape is no good key.
    let known = |b: u8| (b.is_ascii_graphic() || b == b' ') && !b"\"\\".contains(&b);
    if given.next().is_some() || !(1..=MAX_KEY_LEN).contains(&key.len()) || !key.bytes().all(known)
    {
        return Err(bad());
    }
    Ok(Some(key.to_owned()))
}

fn reused() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "idempotency_key_reused",
        "this idempotency-key was used for a request with another body",
        "give each request its own key, and only its retries the same",
    )
}

fn in_progress() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "request_in_progress",
        "a request with this idempotency-key is being answered",
        "send it again in a second",
    )
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn key(values: &[&'static str]) -> Option<Option<String>> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static(value));
        }
        read_key(&headers).ok()
    }

    #[test]
    fn a_key_is_one_short_visible_text_with_or_without_quotes() {
        let some = |text: &str| Some(Some(text.to_owned()));
        assert_eq!(key(&[]), Some(None));
        assert_eq!(key(&["\"8e03978e-40d5\""]), some("8e03978e-40d5"));
        assert_eq!(key(&["8e03978e-40d5"]), some("8e03978e-40d5"));
        assert_eq!(key(&["\"a b\""]), some("a b"));
        for wrong in ["", "\"\"", "\"", "\"a", "a\"b", "\"a\\\"b\"", "\"a\"; p=1"] {
            assert_eq!(key(&[wrong]), None, "{wrong}");
        }
        assert_eq!(key(&["a", "b"]), None);
        let long: &'static str = Box::leak("k".repeat(MAX_KEY_LEN + 1).into_boxed_str());
        assert_eq!(key(&[long]), None);
        assert!(key(&[&long[1..]]).is_some());
    }
}
