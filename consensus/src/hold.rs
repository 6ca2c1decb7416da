//! The bodies of the current height: which are wanted, which are known, and which wait.
//!
//! Two things wait here, so that the core only ever sees what is settled:
//!
//! - **a block from the future**: one whose time is too far ahead of the local clock. The core
//!   asks for a verdict once and keeps it for ever, so "too early" must not become "invalid".
//!   It is fed when the clock reaches it, and at once when a quorum has shown that it accepts
//!   it, by a proof-of-lock round, a polka, precommits or a certificate;
//! - **a first proposal whose block is not known yet**: whether the round's proposer may propose
//!   a block depends on the header, and the same block may be proposed again by others, so this
//!   is a rule about the proposal and not about the block.
//!
//! Nothing is executed here; what a verdict means is decided in [`crate::validity`].

use std::collections::{BTreeMap, BTreeSet};

use symbolon_ledger::{block::Header, codes::ProvinceCode, hash::BlockHash};

use crate::wire::Proposal;

/// Most different blocks that one round's proposer may name: an honest one names one, and two
/// are enough to prove that it is not.
const MAX_BLOCKS_PER_ROUND: usize = 2;
/// For how many rounds a block is remembered that no quorum has spoken for. With the bound on a
/// round it bounds what lying proposers can make this node fetch and keep at once, and in no way
/// how long a height may last.
const ROUNDS_REMEMBERED: u32 = 10;

/// A body that the driver has executed.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(crate) header: Header,
    pub(crate) valid: bool,
    pub(crate) fed: bool,
}

/// A body that is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Who proposed it, when known.
    pub(crate) proposer: Option<ProvinceCode>,
    /// The round it was first named in.
    pub(crate) round: u32,
    /// The round it was last named in.
    last: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    known: BTreeMap<BlockHash, Body>,
    wanted: BTreeMap<BlockHash, Wanted>,
    named: BTreeMap<u32, BTreeSet<BlockHash>>,
    withheld: Vec<Proposal>,
    excused: BTreeSet<BlockHash>,
}

impl Bodies {
    pub(crate) fn get(&self, block: &BlockHash) -> Option<&Body> {
        self.known.get(block)
    }

    /// The round in which `block` was first named.
    pub(crate) fn round_of(&self, block: &BlockHash) -> Option<u32> {
        self.wanted.get(block).map(|w| w.round)
    }

    /// Bodies asked for and not yet given, and who proposed them.
    pub(crate) fn missing(&self) -> Vec<(BlockHash, Option<ProvinceCode>)> {
        let missing = self.wanted.iter().filter(|(block, _)| !self.known.contains_key(block));
        missing.map(|(block, wanted)| (*block, wanted.proposer)).collect()
    }

    pub(crate) fn is_wanted(&self, block: &BlockHash) -> bool {
        self.wanted.contains_key(block)
    }

    /// Whether a proposal that comes in round `now` keeps within the bounds on what one proposer
    /// may name.
    pub(crate) fn admits(&self, proposal: &Proposal, now: u32) -> bool {
        self.excused.contains(&proposal.block)
            || self.wanted.contains_key(&proposal.block)
            || (proposal.round >= oldest(now)
                && self.named.get(&proposal.round).map_or(0, BTreeSet::len) < MAX_BLOCKS_PER_ROUND)
    }

    /// Forgets the blocks that were last named long before round `now` and that no quorum has
    /// spoken for: nobody here is locked on them. Should one be needed after all, it is asked for
    /// again.
    pub(crate) fn forget_old(&mut self, now: u32) -> Vec<BlockHash> {
        let oldest = oldest(now);
        let excused = &self.excused;
        let is_old = |block: &BlockHash, w: &Wanted| w.last < oldest && !excused.contains(block);
        let old: Vec<_> =
            self.wanted.iter().filter(|(b, w)| is_old(b, w)).map(|(block, _)| *block).collect();
        self.named = self.named.split_off(&oldest);
        for block in &old {
            self.wanted.remove(block);
            self.known.remove(block);
            self.withheld.retain(|proposal| proposal.block != *block);
        }
        old
    }

    /// Asks for a body. Whether it is missing, and it is named for the first time, or for the
    /// first time in this round: who proposes a block again has its body, whoever failed to give
    /// it before.
    pub(crate) fn want(
        &mut self,
        block: BlockHash,
        round: u32,
        proposer: Option<ProvinceCode>,
    ) -> bool {
        let named = proposer.is_some() && self.named.entry(round).or_default().insert(block);
        let new = !self.wanted.contains_key(&block);
        let wanted = self.wanted.entry(block).or_insert(Wanted { proposer, round, last: round });
        wanted.last = wanted.last.max(round);
        (named || new) && !self.known.contains_key(&block)
    }

    /// Keeps a proposal until its block is known.
    pub(crate) fn withhold(&mut self, proposal: Proposal) {
        // The signature is not part of what is proposed; a liar can make any number of them.
        let same = |p: &Proposal| (p.round, p.block) == (proposal.round, proposal.block);
        if !self.withheld.iter().any(same) {
            self.withheld.push(proposal);
        }
    }

    /// The proposals that waited for `block`.
    pub(crate) fn release(&mut self, block: &BlockHash) -> Vec<Proposal> {
        let (released, kept) =
            std::mem::take(&mut self.withheld).into_iter().partition(|p| p.block == *block);
        self.withheld = kept;
        released
    }

    /// Records a verdict. The first one stands.
    pub(crate) fn learn(&mut self, header: Header, valid: bool, fed: bool) -> BlockHash {
        let block = header.hash();
        self.known.entry(block).or_insert(Body { header, valid, fed });
        block
    }

    pub(crate) fn mark_fed(&mut self, block: &BlockHash) {
        if let Some(body) = self.known.get_mut(block) {
            body.fed = true;
        }
    }

    /// A quorum accepts this block, so the local clock does not matter.
    pub(crate) fn excuse(&mut self, block: BlockHash) {
        self.excused.insert(block);
    }

    /// Bodies that may be fed now.
    pub(crate) fn ready(&self, now_ms: u64, tolerance_ms: u64) -> Vec<BlockHash> {
        let latest = now_ms.saturating_add(tolerance_ms);
        let ready = |(block, body): &(&BlockHash, &Body)| {
            !body.fed
                && (!body.valid || body.header.time_ms <= latest || self.excused.contains(*block))
        };
        self.known.iter().filter(ready).map(|(block, _)| *block).collect()
    }
}

fn oldest(now: u32) -> u32 {
    now.saturating_sub(ROUNDS_REMEMBERED)
}

#[cfg(test)]
mod tests {
    use symbolon_ledger::{
        block::HEADER_VERSION,
        hash::{Digest, sha256},
        keys::Signature,
    };

    use super::*;

    fn header(time_ms: u64) -> Header {
        Header {
            version: HEADER_VERSION,
            chain_id: Digest::ZERO,
            height: 1,
            time_ms,
            parent: Digest::ZERO,
            history_root: Digest::ZERO,
            transactions_root: Digest::ZERO,
            state_root: Digest::ZERO,
            validators_hash: Digest::ZERO,
            next_validators_hash: Digest::ZERO,
            proposer: None,
        }
    }

    #[test]
    fn a_block_from_the_future_waits_for_the_clock_or_a_quorum() {
        let mut bodies = Bodies::default();
        let early = bodies.learn(header(5_000), true, false);
        assert!(bodies.ready(3_999, 1_000).is_empty());
        assert_eq!(bodies.ready(4_000, 1_000), [early]);
        bodies.excuse(early);
        assert_eq!(bodies.ready(0, 1_000), [early]);
        bodies.mark_fed(&early);
        assert!(bodies.ready(9_000, 1_000).is_empty());
    }

    #[test]
    fn an_invalid_block_waits_for_nothing() {
        let mut bodies = Bodies::default();
        let invalid = bodies.learn(header(u64::MAX), false, false);
        assert_eq!(bodies.ready(0, 0), [invalid]);
    }

    #[test]
    fn a_proposer_names_at_most_two_blocks_unless_a_quorum_names_a_third() {
        let mut bodies = Bodies::default();
        let proposal = |text: &[u8]| Proposal {
            height: 1,
            round: 0,
            block: sha256(text),
            pol_round: None,
            province: "44".parse().unwrap(),
            signature: Signature([0; 64]),
        };
        for text in [b"a", b"b"] {
            let p = proposal(text);
            assert!(bodies.admits(&p, 0));
            assert!(bodies.want(p.block, p.round, Some(p.province)));
        }
        assert!(bodies.admits(&proposal(b"a"), 0));
        assert!(!bodies.admits(&proposal(b"c"), 0));
        bodies.excuse(sha256(b"c"));
        assert!(bodies.admits(&proposal(b"c"), 0));
    }

    #[test]
    fn what_no_quorum_spoke_for_is_forgotten_after_some_rounds() {
        let mut bodies = Bodies::default();
        let (old, kept, again) = (sha256(b"old"), sha256(b"kept"), sha256(b"again"));
        for block in [old, kept, again] {
            bodies.want(block, 0, None);
        }
        bodies.excuse(kept);
        bodies.want(again, 5, None);
        assert!(bodies.forget_old(ROUNDS_REMEMBERED).is_empty());
        assert_eq!(bodies.forget_old(ROUNDS_REMEMBERED + 1), [old]);
        assert!(bodies.is_wanted(&kept) && bodies.is_wanted(&again));
        assert_eq!(bodies.forget_old(u32::MAX), [again]);
    }
}
