//! A validator's key at two sites: only one of them votes, whatever becomes of the other.
//!
//! No file can know what a copy of the key signs elsewhere, so each site keeps two rules. Whoever has
//! missed heights, or has voted and found its signature under no block of two heights, looks on before
//! it votes again: in that time the other one may have begun. And whoever hears the key say what it
//! has not said itself stops; it goes on to know its own last words while it looks on. The second site
//! begins without a mark and so looks on first: the heights that it looks on at are those after which
//! the first one no longer votes by itself.
//!
//! Both rules cost a province its vote for some heights after each absence, so they hold only where
//! the configuration says that there is a second site (`two_sites`).

use symbolon_consensus::{
    HeightStart, Signed, Verified,
    mark::{WATCHED_AT_TWO_SITES, WATCHED_HEIGHTS},
};
use symbolon_ledger::{
    certificate::Certificate,
    codes::ProvinceCode,
    vote::{Statement, Step},
};

use super::{Engine, EngineError, EngineParts};

/// Heights in a row after whose decision this node looks on when none of them bears its signature: it
/// hears the others, and they do not hear it. The other site counts one more before it votes.
const UNHEARD_HEIGHTS: u64 = WATCHED_AT_TWO_SITES - 1;

/// What is known of what this node's key has signed, at a start: heights that were committed above
/// the mark were committed without this node.
pub(super) fn at_start(parts: &EngineParts, start: &HeightStart, now_ms: u64) -> Signed {
    let voiced = voiced(&parts.signed);
    after_absence(parts, parts.signed.clone(), start, voiced, now_ms)
}

/// The height up to which this node spoke for its key.
pub(super) fn voiced(signed: &Signed) -> u64 {
    match signed {
        Signed::UpTo(mark) => mark.as_ref().map_or(0, |mark| mark.height),
        Signed::Unknown(_) => 0,
    }
}

fn after_absence(
    parts: &EngineParts,
    signed: Signed,
    start: &HeightStart,
    voiced: u64,
    now_ms: u64,
) -> Signed {
    let shared = parts.marks.as_ref().is_some_and(|marks| marks.is_shared());
    let missed = start.height() >= voiced.saturating_add(WATCHED_HEIGHTS);
    if !shared || !missed || !matches!(signed, Signed::UpTo(_)) {
        return signed;
    }
    tracing::warn!(
        height = start.height(),
        voiced,
        heights = WATCHED_AT_TWO_SITES,
        "the chain went on without this node, and its key is at two sites: it looks on for whole heights before it votes"
    );
    signed.absent_from_two_sites(now_ms)
}

impl Engine {
    /// What is known of what this node's key has signed, when it goes on at `start` after blocks
    /// that it has fetched.
    pub(super) fn after_sync(&self, start: &HeightStart) -> Signed {
        let (signed, now) = (self.host.signed().clone(), (self.parts.clock)());
        after_absence(&self.parts, signed, start, self.voiced, now)
    }

    /// A block was committed. The others have heard this node where its signature is under it; where it
    /// has no vote, or looks on, there was nothing to hear.
    pub(super) fn note_voice(&mut self, under: &Certificate) {
        let silent = !self.host.has_vote() || matches!(self.host.signed(), Signed::Unknown(_));
        if silent || under.signatures.iter().any(|signature| self.is_own(signature.province)) {
            self.voiced = self.voiced.max(under.height);
        }
    }

    /// Whether this node is to look on from the height after those that it has decided, because the
    /// others do not hear it and its key is at a second site too.
    pub(super) fn is_unheard(&self, start: &HeightStart) -> bool {
        let shared = self.parts.marks.as_ref().is_some_and(|marks| marks.is_shared());
        shared && start.height() > self.voiced.saturating_add(UNHEARD_HEIGHTS)
    }

    /// Refuses to go on when a message bears this node's signature and is not its own.
    pub(super) fn check_own_voice(&mut self, message: &Verified) -> Result<(), EngineError> {
        match message.message().statement(&self.parts.store.chain_id()) {
            Some((province, statement, _)) if self.is_own(province) => self.check_own(&statement),
            _ => Ok(()),
        }
    }

    /// The same for the signatures under a block that was decided.
    pub(super) fn check_own_signature(&mut self, under: &Certificate) -> Result<(), EngineError> {
        if !under.signatures.iter().any(|signature| self.is_own(signature.province)) {
            return Ok(());
        }
        let Certificate { height, round, block, .. } = *under;
        let (step, chain) = (Step::Precommit, self.parts.store.chain_id());
        let block = Some(block);
        self.check_own(&Statement { step, chain, height, round, block, pol_round: None })
    }

    fn is_own(&self, province: ProvinceCode) -> bool {
        let own = self.parts.identity.as_ref().map(|(own, _)| *own);
        // Under another key its province speaks for itself.
        own == Some(province) && self.host.has_vote()
    }

    fn check_own(&mut self, statement: &Statement) -> Result<(), EngineError> {
        let Some(marks) = self.parts.marks.as_mut().filter(|marks| marks.is_shared()) else {
            return Ok(());
        };
        if !self.host.signed().is_foreign(statement) {
            return Ok(());
        }
        // On the disk first: started again, this node must not find its mark good.
        marks.give_up().map_err(EngineError::SignState)?;
        Err(EngineError::VotesElsewhere(statement.height))
    }
}
