//! `Idempotency-Key`: a retry gets the answer that its first attempt got, byte for byte
//! (draft-ietf-httpapi-idempotency-key-header).
//!
//! Without it, whoever lost the answer to a verification and asks again is told `replayed`. The
//! answer is kept in memory for the window in which that could happen, and nowhere else; it may
//! say what a presentation says of a person. Only answers of 200 are kept: whatever failed may
//! be tried again under the same key. An answer that is too long to be kept, or that its caller's
//! share has no room for, is given once: a retry is then told so, and nothing is judged again.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use symbolon_ledger::hash::{Digest, sha256};
use symbolon_verify::judge::{MAX_CHALLENGE_AGE_S, MAX_CLOCK_LEAD_S};

use super::{
    Server,
    callers::{Caller, Callers, Held, Share, Spent},
    error::Problem,
    limits::{MAX_ANSWER_BYTES, MAX_KEYS},
    memory::{Bounds, Memory},
    words::json_answer,
};

/// The header.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Longest key, in characters: three times a UUID.
const MAX_KEY_LEN: usize = 128;
/// How long an answer is kept, in milliseconds: as long as the presentation in it could otherwise
/// be refused as shown before.
const LIFETIME_MS: u64 = (MAX_CHALLENGE_AGE_S + MAX_CLOCK_LEAD_S) * 1_000;
/// Keys remembered at once, and the bytes of their answers.
const ANSWERS: Bounds = Bounds { entries: MAX_KEYS, bytes: MAX_ANSWER_BYTES };
/// Longest answer that is kept: a verdict with its proof, or a batch of some twenty. Whoever sends
/// many at once can send them again one by one.
const MAX_KEPT_LEN: usize = 256 * 1024;

/// What became of a request with a key.
struct Kept {
    /// Digest of its body.
    body: Digest,
    became: Became,
    /// Its place in its caller's share.
    key: Option<Held>,
}

enum Became {
    /// It is being worked on.
    Open,
    /// It was answered; the bytes are in its caller's share.
    Answered { answer: Bytes, _held: Option<Held> },
    /// It was answered, and the answer is not kept.
    Gone,
}

/// The answers that are kept.
pub(super) struct Answers {
    kept: Mutex<Memory<Digest, Kept>>,
    /// Whose keys they are.
    asking: Callers,
    /// Whose bytes they are.
    filling: Callers,
}

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
    caller: Caller,
    end_ms: u64,
}

impl Answers {
    pub(super) fn new(keys: Share, bytes: Share) -> Self {
        let kept = Mutex::new(Memory::new(ANSWERS));
        Self { kept, asking: Callers::new(keys), filling: Callers::new(bytes) }
    }

    fn lock(&self) -> MutexGuard<'_, Memory<Digest, Kept>> {
        // Every change is complete when the lock is released, also by a panic.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Takes the place of `key`, or says what stands there.
    fn take(
        server: &Arc<Server>,
        caller: Caller,
        (key, body): (Digest, Digest),
    ) -> Result<Begun, Problem> {
        let now_ms = (server.context.clock)();
        let end_ms = now_ms.saturating_add(LIFETIME_MS);
        let mut answers = server.answers.lock();
        if let Some(kept) = answers.get(&key, now_ms) {
            return match &kept.became {
                _ if kept.body != body => Err(reused()),
                Became::Answered { answer, .. } => Ok(Begun::Answered(answer.clone())),
                Became::Open => Err(in_progress()),
                Became::Gone => Err(not_kept()),
            };
        }
        let held = server.answers.asking.take_for(caller, 1);
        let held = held.map_err(|_| Problem::overloaded("keys of one caller"))?;
        let kept = Kept { body, became: Became::Open, key: held };
        let inserted = answers.insert(key, kept, 0, (now_ms, end_ms));
        inserted.map_err(|_| Problem::overloaded("answers that it must remember"))?;
        Ok(Begun::First(Self { server: server.clone(), key, body, caller, end_ms }))
    }

    /// Keeps the answer, before anybody gets it, or that there was one.
    fn keep(&self, answer: &Bytes) {
        let Answers { filling, .. } = &self.server.answers;
        let mut answers = self.server.answers.lock();
        let fits = answer.len() <= MAX_KEPT_LEN && answers.fits(answer.len());
        let held = if fits { filling.take_for(self.caller, answer.len()) } else { Err(Spent) };
        let (became, bytes) = match held {
            Ok(held) => {
                // A copy: what was written has room for more than it has, which nobody counts.
                let answer = Bytes::copy_from_slice(answer);
                let length = answer.len();
                (Became::Answered { answer, _held: held }, length)
            }
            Err(Spent) => (Became::Gone, 0),
        };
        let key = answers.take(&self.key).and_then(|kept| kept.key);
        answers.replace(self.key, Kept { body: self.body, became, key }, bytes, self.end_ms);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut answers = self.server.answers.lock();
        let is_open =
            answers.get(&self.key, 0).is_some_and(|kept| matches!(kept.became, Became::Open));
        if is_open {
            answers.take(&self.key);
        }
    }
}

/// A request that may carry a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'r> {
    pub(super) route: &'static str,
    pub(super) headers: &'r HeaderMap,
    pub(super) body: &'r Bytes,
    pub(super) caller: Caller,
}

/// Answers a request: with `work`, or with what the same request got before.
///
/// With a key, the work goes on when the caller hangs up: it may have used up a presentation, and
/// the retry must find the answer.
pub(super) async fn once<W>(
    server: &Arc<Server>,
    Asked { route, headers, body, caller }: Asked<'_>,
    work: W,
) -> Result<Response, Problem>
where
    W: Future<Output = Result<Bytes, Problem>> + Send + 'static,
{
    let Some(key) = read_key(headers)? else { return work.await.map(json_answer) };
    let key = sha256(format!("{route} {key}").as_bytes());
    let body = digest(body.clone()).await?;
    let place = match Place::take(server, caller, (key, body))? {
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

fn not_kept() -> Problem {
    Problem::new(
        StatusCode::GONE,
        "answer_not_kept",
        "the request with this idempotency-key was answered, and the answer was too much to keep",
        "ask without a key what became of each presentation: one that was accepted is now replayed",
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
