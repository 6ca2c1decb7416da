//! Who votes at a height, and whose turn it is to propose: functions of committed state alone.
//!
//! The set that stands in the state after block h governs h + 1, and the header of h names its
//! hash. So a node cannot be talked into another set: `Members::governing` takes the set only
//! together with the header that names it.

use malachite_types::{self as bft, ThresholdParam, ThresholdParams};
use symbolon_ledger::{
    block::Header,
    codes::ProvinceCode,
    hash::Digest,
    keys::PublicKey,
    mutants::{self, Mutant},
    validators::{Validator, ValidatorSet},
};
use thiserror::Error;

use crate::context::{Address, Ledger};

/// The tip's header names another set than the one given.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("validator set {actual} is not {expected}, which the header of height {height} names")]
pub struct NotTheNamedSet {
    /// Height of the tip.
    pub height: u64,
    /// `next_validators_hash` of the tip.
    pub expected: Digest,
    /// Hash of the set given.
    pub actual: Digest,
}

/// How many votes decide: more than two thirds; and how many have an honest one among them: more
/// than a third.
pub(crate) fn thresholds() -> ThresholdParams {
    let thresholds = ThresholdParams::default();
    if mutants::is(Mutant::QuorumInRounds) {
        // Less than a half: two of four, four of seven.
        return ThresholdParams { quorum: ThresholdParam::new(49, 100), ..thresholds };
    }
    thresholds
}

/// One voter. Every province has one vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) address: Address,
    pub(crate) key: PublicKey,
}

impl bft::Validator<Ledger> for Member {
    fn address(&self) -> &Address {
        &self.address
    }

    fn public_key(&self) -> &PublicKey {
        &self.key
    }

    fn voting_power(&self) -> bft::VotingPower {
        1
    }
}

/// The voters of one height, in the one order all nodes use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Members {
    set: ValidatorSet,
    // host contract 11: ascending province codes; a `ValidatorSet` has no other order.
    members: Vec<Member>,
}

impl Members {
    /// The voters of height `parent.height + 1`.
    ///
    /// # Errors
    ///
    /// [`NotTheNamedSet`] when `parent` names another set.
    pub(crate) fn governing(parent: &Header, set: &ValidatorSet) -> Result<Self, NotTheNamedSet> {
        let (expected, actual) = (parent.next_validators_hash, set.hash());
        if expected != actual {
            return Err(NotTheNamedSet { height: parent.height, expected, actual });
        }
        Ok(Self::of(set))
    }

    pub(crate) fn of(set: &ValidatorSet) -> Self {
        let member = |v: &Validator| Member { address: Address::Province(v.province), key: v.key };
        Self { set: set.clone(), members: set.validators().iter().map(member).collect() }
    }

    pub(crate) fn key_of(&self, province: ProvinceCode) -> Option<&PublicKey> {
        self.set.get(province).map(|v| &v.key)
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Whose turn it is in `round` of `height`.
    // host contract 11: a function of the set, the height and the round, and of nothing else.
    pub(crate) fn proposer(&self, height: u64, round: u32) -> &Member {
        let at = self.index_of(&Address::Province(self.turn(height, round)));
        &self.members[at.expect("a set's proposer is in the set")]
    }

    /// The same, by province alone.
    pub(crate) fn turn(&self, height: u64, round: u32) -> ProvinceCode {
        self.set.proposer(height, round).province
    }

    fn index_of(&self, address: &Address) -> Option<usize> {
        self.members.binary_search_by_key(address, |m| m.address).ok()
    }
}

impl bft::ValidatorSet<Ledger> for Members {
    fn count(&self) -> usize {
        self.members.len()
    }

    fn total_voting_power(&self) -> bft::VotingPower {
        self.members.len() as u64
    }

    fn get_by_address(&self, address: &Address) -> Option<&Member> {
        self.index_of(address).map(|at| &self.members[at])
    }

    fn get_by_index(&self, index: usize) -> Option<&Member> {
        self.members.get(index)
    }
}
