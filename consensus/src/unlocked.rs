//! The lock rule dropped, for the tests that must notice it: see [`symbolon_ledger::mutants`].
//!
//! The lock is kept inside Malachite's core, which nothing here can reach. So the break sits
//! where the core's votes are signed: a prevote for nothing becomes one for the valid block that
//! was proposed in that round, which is what a validator without a lock would have prevoted.
//! Without the feature `mutants` an [`Unlocked`] has no fields and does nothing.

use malachite_consensus::Input as CoreInput;

use crate::context::{Ledger, Vote};

/// What a validator without a lock remembers.
#[derive(Debug, Default)]
pub(crate) struct Unlocked {
    #[cfg(feature = "mutants")]
    heard: heard::Heard,
}

#[cfg(not(feature = "mutants"))]
impl Unlocked {
    #[inline(always)]
    pub(crate) fn hear(&mut self, _: &CoreInput<Ledger>) {}

    #[inline(always)]
    pub(crate) fn vote(&self, vote: Vote) -> Vote {
        vote
    }
}

#[cfg(feature = "mutants")]
impl Unlocked {
    pub(crate) fn hear(&mut self, input: &CoreInput<Ledger>) {
        self.heard.hear(input);
    }

    pub(crate) fn vote(&self, vote: Vote) -> Vote {
        self.heard.vote(vote)
    }
}

#[cfg(feature = "mutants")]
mod heard {
    use std::collections::{BTreeMap, BTreeSet};

    use malachite_consensus::Input as CoreInput;
    use malachite_types::{NilOrVal, Round, VoteType};
    use symbolon_ledger::{
        hash::BlockHash,
        mutants::{self, Mutant},
    };

    use crate::context::{Ledger, Vote};

    #[derive(Debug, Default)]
    pub(super) struct Heard {
        proposed: BTreeMap<(u64, Round), BlockHash>,
        valid: BTreeSet<BlockHash>,
    }

    impl Heard {
        pub(super) fn hear(&mut self, input: &CoreInput<Ledger>) {
            match input {
                CoreInput::Proposal(signed) => {
                    let proposal = &signed.message;
                    let round = (proposal.height.0, proposal.round);
                    self.proposed.entry(round).or_insert(proposal.block.0);
                }
                CoreInput::ProposedValue(value, _) if value.validity.is_valid() => {
                    self.valid.insert(value.value.0);
                }
                _ => {}
            }
        }

        pub(super) fn vote(&self, mut vote: Vote) -> Vote {
            let proposed = self.proposed.get(&(vote.height.0, vote.round));
            if mutants::is(Mutant::LockDropped)
                && vote.kind == VoteType::Prevote
                && vote.value == NilOrVal::Nil
                && let Some(block) = proposed.filter(|block| self.valid.contains(*block))
            {
                vote.value = NilOrVal::Val(*block);
            }
            vote
        }
    }
}
