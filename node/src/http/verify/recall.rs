//! What this node remembers of verification, so that nothing is accepted here twice: challenges
//! that it gave, and showings that holders signed.
//!
//! Only what issuer and holder signed is remembered, as digests, and only as long as it would
//! count as fresh. None of it names a person, reaches a disk, or is told to another node: the same
//! presentation can be shown once at each node. A node that was started again has forgotten it all:
//! what may be from before its start is then neither accepted nor refused.
//! `docs/spec/presentation.md` says what follows.

use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use symbolon_credential::long_text::Base64UrlText;
use symbolon_ledger::hash::Digest;
use symbolon_verify::{
    showing::{Judged, Seen, Showing},
    verdict::Verdict,
};

use super::challenges::OwnNonce;
use crate::http::{
    callers::{Caller, Callers, Held, Holders, Spent},
    error::Problem,
    limits::{HttpLimits, MAX_CHALLENGES, MAX_SHOWINGS_OF_ONE_HOLDER},
    memory::{Bounds, Memory},
};

/// Challenges that can be open at once, and the bytes of their audiences.
const CHALLENGES: Bounds = Bounds { entries: MAX_CHALLENGES, bytes: 8 * 1024 * 1024 };
/// Bytes of one showing, with what the memory needs to find it and to know whose it is.
const SHOWING_BYTES: usize = 450;
/// How much longer than it is fresh a showing is remembered, in milliseconds: as long as the
/// longest request takes, which judges by the time at which it began.
const MARGIN_MS: u64 = 60_000;

/// A challenge of this node's.
struct Given {
    audience: String,
    answered: bool,
    /// In the share of the address that asked for it.
    _held: Option<Held>,
}

/// A showing that is remembered, in the shares of those whose it is.
struct Remembered {
    /// The holder whose signature it is.
    _holder: Held<Digest>,
    /// The address that showed it here.
    _caller: Option<Held>,
}

struct Inner {
    /// When this memory begins, in milliseconds since 1970-01-01T00:00Z.
    began_ms: u64,
    challenges: Memory<OwnNonce, Given>,
    showings: Memory<Digest, Remembered>,
}

/// The memory of one node.
pub(in crate::http) struct Recall {
    inner: Mutex<Inner>,
    /// Whose challenges they are.
    asking: Callers,
    /// From where the showings came.
    showing: Callers,
    /// Whose showings they are, by digests of the holders' keys.
    holders: Holders<Digest>,
}

/// A presentation that was judged, with the nonce of this node's that was asked for.
pub(in crate::http) struct Heard {
    pub(super) judged: Judged,
    pub(super) nonce: Option<OwnNonce>,
    /// State proof of the records behind it, base64url, when it was asked for.
    pub(super) proof: Option<Base64UrlText>,
}

impl Heard {
    /// The showing that may have to be remembered, if there is one. Also that of a challenge: the
    /// same presentation could come again without its nonce.
    fn to_remember(&self) -> Option<Showing> {
        self.judged.showing().copied().filter(|_| !self.judged.is_undetermined())
    }
}

impl Recall {
    /// A memory that begins at `now_ms`.
    pub(in crate::http) fn new(now_ms: u64, limits: &HttpLimits) -> Self {
        let entries = limits.showings;
        let showings = Bounds { entries, bytes: entries.saturating_mul(SHOWING_BYTES) };
        Self {
            inner: Mutex::new(Inner {
                began_ms: now_ms,
                challenges: Memory::new(CHALLENGES),
                showings: Memory::new(showings),
            }),
            asking: Callers::new(limits.challenges_of_one),
            showing: Callers::new(limits.showings_of_one),
            holders: Holders::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change of `Inner` is complete when the lock is released, also by a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many showings are remembered, and how many can be.
    pub(in crate::http) fn showings(&self, now_ms: u64) -> (usize, usize) {
        self.lock().showings.filled(now_ms)
    }

    /// Remembers a challenge that `caller` asked for.
    pub(super) fn give(
        &self,
        caller: Caller,
        (nonce, audience): (OwnNonce, &str),
        span: (u64, u64),
    ) -> Result<(), Problem> {
        let mut inner = self.lock();
        // What is over gives its caller's share back.
        inner.challenges.forget(span.0);
        let held = self.asking.take_for(caller, 1);
        let held = held.map_err(|_| Problem::overloaded("challenges of one caller"))?;
        let given = Given { audience: audience.to_owned(), answered: false, _held: held };
        let given = inner.challenges.insert(nonce, given, audience.len(), span);
        given.map_err(|_| Problem::overloaded("challenges"))
    }

    /// Whom a challenge was given for, while it is remembered.
    pub(super) fn audience(&self, nonce: &OwnNonce, now_ms: u64) -> Option<String> {
        self.lock().challenges.get(nonce, now_ms).map(|given| given.audience.clone())
    }

    /// The verdicts of `heard`, in order, after what was shown here before. All that is new is
    /// remembered before any is answered; when there is no room for it, in all or in the share of
    /// `caller`, none is answered. A holder who has shown too much costs nobody else an answer.
    pub(super) fn close(
        &self,
        heard: Vec<Heard>,
        (caller, now_ms): (Caller, u64),
    ) -> Result<Vec<Result<Verdict, Problem>>, Problem> {
        let mut inner = self.lock();
        let needed = heard.iter().filter(|h| h.to_remember().is_some()).count();
        if needed > inner.showings.room(now_ms) {
            return Err(Problem::overloaded("presentations that it must remember"));
        }
        let places: Result<Vec<Option<Held>>, Spent> =
            (0..needed).map(|_| self.showing.take_for(caller, 1)).collect();
        let spent = |_| Problem::overloaded("presentations of one caller that it must remember");
        let mut places = places.map_err(spent)?.into_iter();
        let close = |heard: Heard| {
            let place = heard.to_remember().and_then(|_| places.next()).flatten();
            inner.close(heard, (&self.holders, place), now_ms)
        };
        Ok(heard.into_iter().map(close).collect())
    }
}

impl Inner {
    fn close(
        &mut self,
        heard: Heard,
        (holders, caller): (&Holders<Digest>, Option<Held>),
        now_ms: u64,
    ) -> Result<Verdict, Problem> {
        let seen = self.seen(&heard, now_ms);
        if let (Seen::First, Some(showing)) = (seen, heard.to_remember()) {
            let holder = holders.take(showing.holder, 1, MAX_SHOWINGS_OF_ONE_HOLDER);
            let holder = holder.ok_or_else(too_many)?;
            let remembered = Remembered { _holder: holder, _caller: caller };
            self.showings.replace(showing.digest, remembered, SHOWING_BYTES, end_ms(&showing));
            let given = heard.nonce.and_then(|nonce| self.challenges.get(&nonce, now_ms));
            if let Some(given) = given {
                given.answered = true;
            }
        }
        let mut verdict = heard.judged.verdict(seen);
        verdict.proof = heard.proof;
        Ok(verdict)
    }

    /// What is remembered of a showing and of the challenge that its holder signed.
    fn seen(&mut self, heard: &Heard, now_ms: u64) -> Seen {
        let Some(showing) = heard.judged.showing() else { return Seen::First };
        if self.showings.get(&showing.digest, now_ms).is_some() {
            return Seen::Before;
        }
        match heard.nonce {
            Some(nonce) => self.challenge(&nonce, now_ms),
            None if showing.signed_at_s.saturating_mul(1_000) < self.began_ms => Seen::Forgotten,
            None => Seen::First,
        }
    }

    /// What is remembered of a challenge. One that is remembered was given after the start, and so
    /// was signed after it, whatever the holder's clock says.
    fn challenge(&mut self, nonce: &OwnNonce, now_ms: u64) -> Seen {
        match self.challenges.get(nonce, now_ms) {
            Some(given) if given.answered => Seen::Before,
            Some(_) => Seen::First,
            None if nonce.is_over(now_ms) => Seen::ChallengeOver,
            None if nonce.may_be_from_before(self.began_ms) => Seen::ChallengeForgotten,
            None => Seen::ChallengeUnknown,
        }
    }
}

/// This holder has shown more than is remembered of one.
fn too_many() -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_showings",
        format!(
            "this holder's key has signed {MAX_SHOWINGS_OF_ONE_HOLDER} presentations that this node still remembers, and it remembers no more of one holder"
        ),
        "ask the holder to show it again in a few minutes, or verify at another node",
    )
}

/// When a showing may be forgotten.
fn end_ms(showing: &Showing) -> u64 {
    showing.fresh_until_s.saturating_add(1).saturating_mul(1_000).saturating_add(MARGIN_MS)
}
