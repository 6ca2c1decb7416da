//! The holder's signature over one presentation: for whom it is, how old it is, and whether it was
//! shown before. `docs/spec/presentation.md` has the levels that come of it.
//!
//! Remembering is not done here: this crate has no memory. [`Showing`] names what a memory goes
//! by, and [`Judged::verdict`] takes what the memory says. A memory is asked only about what both
//! the issuer and the holder signed, so nobody can fill it with noise.

use std::fmt;

use symbolon_credential::sd_jwt::{KeyBinding, SELF_PRESENTED, SignatureChecked};
use symbolon_ledger::{
    hash::{Digest, sha256, tagged_hash},
    keys::PublicKey,
};

use crate::{
    judge::{MAX_CHALLENGE_AGE_S, MAX_CLOCK_LEAD_S, MAX_PRESENTATION_AGE_S, Request},
    message::{answer, joined},
    verdict::{CheckName, CheckResult, Message, Outcome, Reason, Verdict},
};

/// What the digest of a showing begins with. It stays in a verifier's memory: no wire format.
const SHOWING: &str = "symbolon/showing/1";

/// One showing: a holder signed it, for this request, and it is fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Showing {
    /// Digest of holder's key, audience and nonce. Two showings have the same only when one is a
    /// copy of the other, or a holder used a nonce twice.
    pub digest: Digest,
    /// Digest of the holder's key, so that a memory can give each holder a share. It says no more
    /// of a person than the key does, and is for no eyes.
    pub holder: Digest,
    /// When the holder signed it, by the holder's clock, in seconds since 1970-01-01T00:00Z.
    pub signed_at_s: u64,
    /// The last second, since 1970-01-01T00:00Z, at which any request counts it as fresh: it must
    /// be remembered to the end of it. A request with its nonce counts it longest, whatever this
    /// one asked for.
    pub fresh_until_s: u64,
}

/// What a verifier's memory says about a showing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It was not shown here before, or nothing is remembered here.
    First,
    /// It was shown here, or its challenge was answered, before.
    Before,
    /// Its challenge is one of this verifier's, whose time is over.
    ChallengeOver,
    /// Its challenge has the form of this verifier's, which never gave it to this audience.
    ChallengeUnknown,
    /// It was signed before this verifier's memory begins, so it may have been shown here.
    Forgotten,
    /// Its challenge may have been given here before this verifier's memory begins.
    ChallengeForgotten,
}

impl Seen {
    /// What follows for the check, if anything does. Only what is proven makes it invalid.
    fn fault(self) -> Option<(Outcome, Reason, &'static str)> {
        let invalid = |reason, detail| Some((Outcome::Invalid, reason, detail));
        let doubt = |detail| Some((Outcome::Undetermined, Reason::StalePresentation, detail));
        match self {
            Self::First => None,
            Self::Before => invalid(Reason::Replayed, "this presentation was shown here before"),
            Self::ChallengeOver => invalid(
                Reason::StalePresentation,
                "the challenge is over; make a new one and ask the holder to sign it",
            ),
            Self::ChallengeUnknown => invalid(
                Reason::BadHolderBinding,
                "this node gave no such challenge; verify at the node that gave it",
            ),
            Self::Forgotten => doubt(
                "signed before this node was started, which does not know whether it was shown here; ask the holder to show it anew",
            ),
            Self::ChallengeForgotten => doubt(
                "the challenge may be from before this node was started; make a new one and ask the holder to sign it",
            ),
        }
    }
}

/// A verdict for which only a memory has not been asked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    pub(crate) verdict: Verdict,
    pub(crate) showing: Option<Showing>,
    /// What the message begins with: that the licence is not recognised, if it is not.
    pub(crate) lead: Message,
}

impl Judged {
    /// What a memory should be asked about; `None` when nobody signed the presentation, when a
    /// signature does not hold, and when it is for another request or too old.
    #[must_use]
    pub fn showing(&self) -> Option<&Showing> {
        self.showing.as_ref()
    }

    /// Whether nothing is decided. Such a showing is not to be remembered: nobody has got an
    /// answer, and its holder may show it again.
    #[must_use]
    pub fn is_undetermined(&self) -> bool {
        self.verdict.outcome == Outcome::Undetermined
    }

    /// The verdict, once a memory was asked.
    #[must_use]
    pub fn verdict(self, seen: Seen) -> Verdict {
        let mut verdict = self.verdict;
        let (Some(_), Some((outcome, reason, detail))) = (self.showing, seen.fault()) else {
            return verdict;
        };
        let fails = outcome == Outcome::Invalid;
        if let Some(check) = verdict.checks.iter_mut().find(|c| c.name == CheckName::HolderBinding)
        {
            check.result = if fails { CheckResult::Fail } else { CheckResult::Skipped };
            detail.clone_into(&mut check.detail);
        }
        verdict.holder_bound = fails.then_some(false);
        // It is the last check: what was proven before stays the reason, and so does a doubt
        // beside another one.
        let stands = |found| match found {
            Outcome::Invalid => true,
            Outcome::Undetermined => !fails,
            Outcome::Valid | Outcome::Unknown => false,
        };
        if !stands(verdict.outcome) {
            verdict.outcome = outcome;
            verdict.reason = Some(reason);
            let said = answer(verdict.outcome, verdict.reason, None);
            verdict.message = joined(&self.lead, &said);
        }
        verdict
    }
}

/// How the holder's part of a presentation stands before a request.
pub(crate) struct HolderFinding {
    pub(crate) result: CheckResult,
    /// Why it failed.
    pub(crate) reason: Option<Reason>,
    pub(crate) detail: String,
    pub(crate) bound: Option<bool>,
    pub(crate) showing: Option<Showing>,
}

impl HolderFinding {
    /// Not checked, since there is nothing to check.
    pub(crate) fn skipped(detail: &str) -> Self {
        let (result, detail) = (CheckResult::Skipped, detail.to_owned());
        Self { result, reason: None, detail, bound: None, showing: None }
    }

    fn failed(reason: Reason, detail: impl fmt::Display, bound: Option<bool>) -> Self {
        let (result, detail) = (CheckResult::Fail, detail.to_string());
        Self { result, reason: Some(reason), detail, bound, showing: None }
    }
}

/// Judges the holder's signature of a presentation whose issuer's signature holds.
pub(crate) fn holder(checked: SignatureChecked<'_>, request: &Request) -> HolderFinding {
    let (binding, key) = match (checked.key_binding(), checked.holder_key()) {
        (Ok(Some(binding)), Some(key)) => (binding, key),
        (Ok(_), _) if request.nonce.is_some() => {
            let detail = "a challenge was made and the holder did not sign it";
            return HolderFinding::failed(Reason::BadHolderBinding, detail, None);
        }
        (Ok(_), None) => {
            return HolderFinding::skipped(
                "a paper licence, which names no holder's key: compare the person",
            );
        }
        (Ok(_), Some(_)) => {
            return HolderFinding::skipped(
                "no holder's signature was presented: compare the person",
            );
        }
        (Err(error), _) => {
            return HolderFinding::failed(Reason::BadHolderBinding, error, Some(false));
        }
    };
    if let Some((reason, detail)) = fault(&binding, request) {
        return HolderFinding::failed(reason, detail, Some(false));
    }
    HolderFinding {
        result: CheckResult::Pass,
        reason: None,
        detail: "the holder signed this presentation".to_owned(),
        bound: Some(true),
        showing: Some(showing(key, &binding)),
    }
}

/// The age up to which a holder's signature counts.
fn max_age_s(request: &Request) -> u64 {
    if request.nonce.is_some() { MAX_CHALLENGE_AGE_S } else { MAX_PRESENTATION_AGE_S }
}

/// Whom it is for, then the challenge, then its age, which `at_ms` does not move.
fn fault(binding: &KeyBinding, request: &Request) -> Option<(Reason, &'static str)> {
    match &request.audience {
        Some(audience) if *audience == binding.audience => {}
        Some(_) => return Some((Reason::BadHolderBinding, "signed for another verifier")),
        None if binding.audience == SELF_PRESENTED => {}
        None => {
            let detail = "signed for one verifier, and the request names no audience";
            return Some((Reason::BadHolderBinding, detail));
        }
    }
    if request.nonce.as_ref().is_some_and(|nonce| *nonce != binding.nonce) {
        return Some((Reason::BadHolderBinding, "signed for another challenge"));
    }
    let now = request.now_ms / 1_000;
    if binding.issued_at > now.saturating_add(MAX_CLOCK_LEAD_S) {
        return Some((Reason::StalePresentation, "signed in the future; check both clocks"));
    }
    if now.saturating_sub(binding.issued_at) > max_age_s(request) {
        let detail = match request.nonce {
            None => "signed more than a minute ago; ask the holder to show it anew",
            Some(_) => "signed more than five minutes ago; make a new challenge",
        };
        return Some((Reason::StalePresentation, detail));
    }
    None
}

fn showing(key: &PublicKey, binding: &KeyBinding) -> Showing {
    let (audience, nonce) = (sha256(binding.audience.as_bytes()), sha256(binding.nonce.as_bytes()));
    Showing {
        digest: tagged_hash(SHOWING, &[key.as_bytes(), audience.as_bytes(), nonce.as_bytes()]),
        holder: sha256(key.as_bytes()),
        signed_at_s: binding.issued_at,
        fresh_until_s: binding.issued_at.saturating_add(MAX_CHALLENGE_AGE_S),
    }
}

#[cfg(test)]
#[path = "showing_tests.rs"]
mod tests;
