//! The mark: the newest thing that a validator's key has signed, kept beside the key.
//!
//! The log and the database are gone when their folder is, or come back as they were last week;
//! the mark says what was signed all the same. It is an upper bound: nothing above it was signed.
//! At its own height the log knows more, so a node votes there only when the log reaches the mark.
//! Whoever has no mark looks on for a window of whole heights first.
//!
//! Only the rule is here. Where the mark lies, and that it is durable before a signature leaves,
//! is the driver's; it gives what it knows as [`crate::Config::signed`].

use symbolon_ledger::{
    block::Header,
    mutants::{self, Mutant},
    vote::{Statement, Step},
};

use crate::timing::CLOCK_TOLERANCE_MS;

/// Whole heights that a validator without a mark looks on at. One would do: a block that is later
/// than its start was not decided before it, so its key has signed nothing for a later height. The
/// second is for whoever's clock was set wrong by a little.
pub const WATCHED_HEIGHTS: u64 = 2;
/// The same where the key is at a second site. The other one may have voted at the first height that
/// counts, unheard here, and votes at two more before it must see that it is not heard.
pub const WATCHED_AT_TWO_SITES: u64 = 3;
/// A block counts as later than a moment when its time is so much later, in milliseconds: no
/// validator takes a block that is more than [`CLOCK_TOLERANCE_MS`] ahead of its clock, and the
/// clocks of two validators may differ by several times that.
pub const WATCH_MARGIN_MS: u64 = 10 * CLOCK_TOLERANCE_MS;

/// What is known of what a node's key has signed before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signed {
    /// Nothing above this mark; without one, nothing at all.
    UpTo(Option<Statement>),
    /// It is not known any more.
    Unknown(Watch),
}

/// What a validator that does not know its mark has seen since it began to look on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    since_ms: u64,
    seen: u64,
    /// Height of the last block that was looked at.
    last: u64,
    /// The newest thing that this node has signed itself, where that is known: all above it was
    /// signed elsewhere.
    own: Option<Statement>,
    /// Whole heights that it takes.
    heights: u64,
}

impl Default for Signed {
    /// Nothing was signed.
    fn default() -> Self {
        Self::UpTo(None)
    }
}

impl Signed {
    /// It is not known, and the node begins to look on at `now_ms` (milliseconds since 1970).
    #[must_use]
    pub fn lost(now_ms: u64) -> Self {
        Self::Unknown(Watch {
            since_ms: now_ms,
            seen: 0,
            last: 0,
            heights: WATCHED_HEIGHTS,
            own: None,
        })
    }

    /// The same for a key that is at a second site too. What this node has signed itself it still
    /// knows; what its key has signed elsewhere meanwhile it does not.
    #[must_use]
    pub fn absent_from_two_sites(self, now_ms: u64) -> Self {
        let own = match self {
            Self::UpTo(mark) => mark,
            Self::Unknown(watch) => watch.own,
        };
        let heights = WATCHED_AT_TWO_SITES;
        Self::Unknown(Watch { since_ms: now_ms, seen: 0, last: 0, heights, own })
    }

    /// Takes note of a committed block, whoever decided it.
    pub(crate) fn see(&mut self, committed: &Header) {
        if let Self::Unknown(watch) = self
            && committed.height > watch.last
        {
            watch.last = committed.height;
            let later = watch.since_ms.saturating_add(WATCH_MARGIN_MS);
            watch.seen = watch.seen.saturating_add(u64::from(committed.time_ms >= later));
        }
    }

    /// Whether `statement`, which bears this key's signature, was signed elsewhere: it is above the
    /// mark, or contradicts it. Whoever looks on and does not even know its own words knows it of
    /// the heights that began after it did, since before that it may have been itself.
    #[must_use]
    pub fn is_foreign(&self, statement: &Statement) -> bool {
        let beyond = |mark: &Statement| {
            place(statement) > place(mark) || (place(statement) == place(mark) && statement != mark)
        };
        match self {
            Self::UpTo(mark) => mark.as_ref().is_none_or(beyond),
            Self::Unknown(Watch { own: Some(own), .. }) => beyond(own),
            Self::Unknown(watch) => watch.seen > 0 && statement.height > watch.last,
        }
    }

    /// Whether anything may be signed at `height`, when `logged` tells what the log of this height
    /// holds of this node's own for a round and step.
    pub(crate) fn allows(
        &self,
        height: u64,
        logged: impl FnOnce(u32, Step) -> Option<Statement>,
    ) -> bool {
        match self {
            Self::UpTo(_) if mutants::is(Mutant::MarkIgnored) => true,
            Self::UpTo(None) => true,
            Self::UpTo(Some(mark)) => {
                mark.height < height
                    || (mark.height == height
                        && logged(mark.round, mark.step).as_ref() == Some(mark))
            }
            Self::Unknown(watch) => {
                watch.seen >= watch.heights || mutants::is(Mutant::WatchSkipped)
            }
        }
    }

    /// The mark that forbids `statement`, if there is one: it is later, or says something else in
    /// the same place.
    pub(crate) fn forbids(&self, statement: &Statement) -> Option<&Statement> {
        let Self::UpTo(Some(mark)) = self else { return None };
        let above = place(mark) > place(statement);
        let against = place(mark) == place(statement) && mark != statement;
        ((above || against) && !mutants::is(Mutant::MarkIgnored)).then_some(mark)
    }

    /// `statement` is signed from now on.
    pub(crate) fn raise(&mut self, statement: &Statement) {
        let known = match self {
            Self::UpTo(mark) => mark.as_ref(),
            Self::Unknown(_) => None,
        };
        if known.is_none_or(|mark| place(mark) < place(statement)) {
            *self = Self::UpTo(Some(statement.clone()));
        }
    }
}

/// Where a statement stands among all that one key signs: a validator goes upwards only.
#[must_use]
pub fn place(statement: &Statement) -> (u64, u32, Step) {
    (statement.height, statement.round, statement.step)
}

#[cfg(test)]
mod tests {
    use symbolon_ledger::hash::{Digest, sha256};

    use super::*;

    fn said(height: u64, round: u32, step: Step, block: Option<Digest>) -> Statement {
        Statement { step, chain: sha256(b"chain"), height, round, block, pol_round: None }
    }

    #[test]
    fn nothing_is_signed_below_the_mark_nor_twice_at_it() {
        let a = Some(sha256(b"a"));
        let mark = said(7, 2, Step::Prevote, a);
        let signed = Signed::UpTo(Some(mark.clone()));
        let check = |height, round, step, block, allowed: bool| {
            let next = said(height, round, step, block);
            assert_eq!(signed.forbids(&next).is_none(), allowed, "{next:?}");
        };
        check(7, 2, Step::Prevote, a, true);
        check(7, 2, Step::Prevote, None, false);
        check(7, 2, Step::Proposal, a, false);
        check(7, 1, Step::Precommit, a, false);
        check(6, 9, Step::Precommit, a, false);
        check(7, 2, Step::Precommit, None, true);
        check(7, 3, Step::Proposal, a, true);
        check(8, 0, Step::Proposal, None, true);
        assert_eq!(Signed::default().forbids(&mark), None);
    }

    #[test]
    fn a_height_is_voted_on_above_the_mark_or_where_the_log_reaches_it() {
        let mark = said(7, 2, Step::Prevote, None);
        let signed = Signed::UpTo(Some(mark.clone()));
        let other = said(7, 2, Step::Prevote, Some(sha256(b"b")));
        let check = |height, logged: Option<&Statement>, allowed: bool| {
            let log = |round, step| logged.filter(|s| (s.round, s.step) == (round, step)).cloned();
            assert_eq!(signed.allows(height, log), allowed, "{height} {logged:?}");
        };
        check(8, None, true);
        check(7, Some(&mark), true);
        check(7, Some(&other), false);
        check(7, Some(&said(7, 1, Step::Prevote, None)), false);
        check(7, None, false);
        check(6, Some(&mark), false);
        assert!(Signed::default().allows(1, |_, _| None));
    }

    #[test]
    fn what_this_key_signed_elsewhere_is_known_by_the_mark() {
        let a = Some(sha256(b"a"));
        let signed = Signed::UpTo(Some(said(7, 2, Step::Prevote, a)));
        let check = |signed: &Signed, height, round, step, block, foreign: bool| {
            let heard = said(height, round, step, block);
            assert_eq!(signed.is_foreign(&heard), foreign, "{heard:?}");
        };
        // Its own words come back.
        check(&signed, 7, 2, Step::Prevote, a, false);
        check(&signed, 7, 1, Step::Precommit, None, false);
        check(&signed, 6, 0, Step::Proposal, a, false);
        check(&signed, 7, 2, Step::Prevote, None, true);
        check(&signed, 7, 2, Step::Precommit, a, true);
        check(&signed, 8, 0, Step::Prevote, None, true);
        check(&Signed::default(), 1, 0, Step::Prevote, None, true);
        let watching =
            |seen| Signed::Unknown(Watch { since_ms: 0, seen, last: 7, heights: 2, own: None });
        check(&watching(0), 8, 0, Step::Prevote, None, false);
        check(&watching(1), 7, 3, Step::Precommit, None, false);
        check(&watching(1), 8, 0, Step::Prevote, None, true);
        // Whoever was absent knows its own words at once.
        let absent = signed.absent_from_two_sites(0);
        check(&absent, 7, 2, Step::Prevote, a, false);
        check(&absent, 7, 2, Step::Precommit, a, true);
        check(&absent, 8, 0, Step::Prevote, None, true);
    }

    #[test]
    fn whoever_lost_its_mark_looks_on_for_whole_heights_that_began_after_it_did() {
        let since = 1_800_000_000_000;
        let mut signed = Signed::lost(since);
        let block = |height, time_ms| Header {
            version: 1,
            chain_id: sha256(b"chain"),
            height,
            time_ms,
            parent: Digest::ZERO,
            history_root: Digest::ZERO,
            transactions_root: Digest::ZERO,
            state_root: Digest::ZERO,
            validators_hash: Digest::ZERO,
            next_validators_hash: Digest::ZERO,
            proposer: None,
        };
        let mut see = |height, time_ms| {
            signed.see(&block(height, time_ms));
            signed.allows(height + 1, |_, _| None)
        };
        // However many old blocks are fetched.
        for height in 0..100 {
            assert!(!see(height, since - 100_000 + height));
        }
        assert!(!see(100, since + WATCH_MARGIN_MS - 1));
        assert!(!see(101, since + WATCH_MARGIN_MS));
        // The same block again is no further height.
        assert!(!see(101, since + WATCH_MARGIN_MS));
        assert!(see(102, since + WATCH_MARGIN_MS + 1));
        // One more where the key is at a second site.
        let mut signed = Signed::default().absent_from_two_sites(since);
        for height in 103..106 {
            assert!(!signed.allows(height, |_, _| None));
            signed.see(&block(height, since + WATCH_MARGIN_MS + height));
        }
        assert!(signed.allows(106, |_, _| None));
    }
}
