//! Which validators voted at which height, followed from the founding set change by change.

use symbolon_ledger::{
    hash::{ChainId, Digest},
    trust_bundle::SetChange,
    validators::ValidatorSet,
};
use thiserror::Error;

use super::header::{HeaderError, Read, check_certified};

/// Why a change of the validator set is not believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// The set before did not make its block final.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Not above the change before it.
    #[error("it is at height {height}, not above the change before it at {before}")]
    Order {
        /// Height of its block.
        height: u64,
        /// Height of the change before it; 0 for the founding.
        before: u64,
    },
    /// The header names another set than the one given.
    #[error("its block names {named} as the next validator set, not {given}")]
    OtherSet {
        /// Hash of the set that the header names.
        named: Digest,
        /// Hash of the set given.
        given: Digest,
    },
    /// The set stays what it is.
    #[error("its block does not change the validator set")]
    NoChange,
}

/// A set and the first height on which it votes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Era {
    from: u64,
    set: ValidatorSet,
    hash: Digest,
}

impl Era {
    pub(super) fn from(&self) -> u64 {
        self.from
    }

    pub(super) fn set(&self) -> &ValidatorSet {
        &self.set
    }

    pub(super) fn hash(&self) -> Digest {
        self.hash
    }
}

/// The sets, oldest first; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Eras {
    first: Era,
    later: Vec<Era>,
}

impl Eras {
    /// The founding set, which block 0 names as its own.
    pub(super) fn new(founding: ValidatorSet) -> Self {
        let hash = founding.hash();
        Self { first: Era { from: 0, set: founding, hash }, later: Vec::new() }
    }

    pub(super) fn founding(&self) -> &ValidatorSet {
        &self.first.set
    }

    pub(super) fn last(&self) -> &Era {
        self.later.last().unwrap_or(&self.first)
    }

    /// The set that votes at `height`, as far as the changes go.
    pub(super) fn at(&self, height: u64) -> &Era {
        let after = self.later.partition_point(|era| era.from <= height);
        after.checked_sub(1).map_or(&self.first, |at| &self.later[at])
    }

    /// Adds the set of a change that the last set made final.
    pub(super) fn follow(
        &mut self,
        chain: &ChainId,
        change: &SetChange,
    ) -> Result<(), ChangeError> {
        let last = self.last();
        let read = Read::of(&change.header)?;
        let (header, _) = check_certified(chain, last, read, &change.certificate)?;
        if header.height < last.from {
            let before = last.from.saturating_sub(1);
            return Err(ChangeError::Order { height: header.height, before });
        }
        let (named, given) = (header.next_validators_hash, change.validators.hash());
        if named != given {
            return Err(ChangeError::OtherSet { named, given });
        }
        if given == last.hash {
            return Err(ChangeError::NoChange);
        }
        let from = header.height.saturating_add(1);
        self.later.push(Era { from, set: change.validators.clone(), hash: given });
        Ok(())
    }
}
