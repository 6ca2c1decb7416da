//! The validator set: who votes at a height, and how many votes decide.

use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::{
    codec,
    codes::ProvinceCode,
    hash::{Digest, domain, tagged_hash},
    keys::PublicKey,
    mutants::{self, Mutant},
};

/// Most validators: 31 provinces, the Corps, and room for the special regions and observers
/// that are made validators later.
#[cfg(not(feature = "wide-sets"))]
pub const MAX_VALIDATORS: usize = 64;
/// In a simulation of larger networks alone: one validator for every code of two digits.
#[cfg(feature = "wide-sets")]
pub const MAX_VALIDATORS: usize = 100;
/// Longest peer id in bytes: an Ed25519 identity multihash has 38.
pub const MAX_PEER_ID_LEN: usize = 64;

/// Fewest of `validators` votes that decide: more than two thirds (3 of 4, 22 of 32).
#[must_use]
pub const fn quorum_of(validators: usize) -> usize {
    // Two thirds of `n`, rounded down, without the product that could overflow.
    validators - validators.div_ceil(3) + 1
}

/// How many of `validators` may fail or lie, and the rest still decides (1 of 4, 10 of 32).
#[must_use]
pub const fn may_fail(validators: usize) -> usize {
    validators.saturating_sub(quorum_of(validators))
}

/// One province's vote.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Validator {
    /// The province that it votes for.
    #[n(0)]
    pub province: ProvinceCode,
    /// The key that signs its votes.
    #[n(1)]
    pub key: PublicKey,
    /// The libp2p peer id of its node (a multihash), from which alone it is admitted.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub peer_id: Vec<u8>,
}

/// How the peer id of an Ed25519 key begins: an identity multihash of 36 bytes, in which a public
/// key of that type with 32 bytes follows (libp2p specification, "Peer Ids and Keys").
pub const ED25519_PEER_ID: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

impl Validator {
    /// The key of its node's connections, which its peer id holds; none when the peer id is not
    /// that of an Ed25519 key.
    #[must_use]
    pub fn node_key(&self) -> Option<PublicKey> {
        PublicKey::from_bytes(self.peer_id.strip_prefix(&ED25519_PEER_ID)?).ok()
    }
}

/// Why validators do not make a set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SetError {
    /// None, or more than [`MAX_VALIDATORS`].
    #[error("{0} validators; a set has 1 to {MAX_VALIDATORS}")]
    Size(usize),
    /// Not in ascending order of province, or a province twice.
    #[error("validators are listed once each, in ascending order of province")]
    Order,
    /// A key or a peer id stands twice.
    #[error("two validators share a key or a peer id")]
    Shared,
    /// A peer id is empty or too long.
    #[error("a peer id has 1 to {MAX_PEER_ID_LEN} bytes")]
    PeerId,
}

/// Validators in ascending order of province; each has one vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatorSet(Vec<Validator>);

impl ValidatorSet {
    /// Makes a set of `validators`, which are in ascending order of province.
    ///
    /// # Errors
    ///
    /// [`SetError`].
    pub fn new(validators: Vec<Validator>) -> Result<Self, SetError> {
        if !(1..=MAX_VALIDATORS).contains(&validators.len()) {
            return Err(SetError::Size(validators.len()));
        }
        if !validators.is_sorted_by(|a, b| a.province < b.province) {
            return Err(SetError::Order);
        }
        for (i, a) in validators.iter().enumerate() {
            if a.peer_id.is_empty() || a.peer_id.len() > MAX_PEER_ID_LEN {
                return Err(SetError::PeerId);
            }
            if validators[..i].iter().any(|b| a.key == b.key || a.peer_id == b.peer_id) {
                return Err(SetError::Shared);
            }
        }
        Ok(Self(validators))
    }

    /// The validators, in ascending order of province.
    #[must_use]
    pub fn validators(&self) -> &[Validator] {
        &self.0
    }

    /// The validator of `province`.
    #[must_use]
    pub fn get(&self, province: ProvinceCode) -> Option<&Validator> {
        self.0.binary_search_by_key(&province, |v| v.province).ok().map(|i| &self.0[i])
    }

    /// Fewest votes that decide: more than two thirds (3 of 4, 22 of 32).
    #[must_use]
    pub fn quorum(&self) -> usize {
        let missing = usize::from(mutants::is(Mutant::QuorumInCertificates));
        quorum_of(self.0.len()) - missing
    }

    /// Its hash, which headers carry.
    #[must_use]
    pub fn hash(&self) -> Digest {
        tagged_hash(domain::VALIDATORS, &[&codec::encode(self)])
    }

    /// Who proposes at `height` and `round`: each province in turn, one further every height and
    /// every round.
    #[must_use]
    pub fn proposer(&self, height: u64, round: u32) -> &Validator {
        let turn = height.wrapping_add(u64::from(round)) % self.0.len() as u64;
        &self.0[usize::try_from(turn).expect("less than the number of validators")]
    }
}

impl<C> Encode<C> for ValidatorSet {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.0.encode(e, ctx)
    }
}

impl<'b, C> Decode<'b, C> for ValidatorSet {
    fn decode(d: &mut minicbor::Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let at = d.position();
        Self::new(Vec::decode(d, ctx)?).map_err(|e| minicbor::decode::Error::message(e).at(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_two_thirds_decide_and_less_than_a_third_may_fail() {
        for validators in 1..=MAX_VALIDATORS {
            let (quorum, failing) = (quorum_of(validators), may_fail(validators));
            assert!(3 * quorum > 2 * validators && 3 * (quorum - 1) <= 2 * validators);
            assert!(3 * failing < validators && 3 * (failing + 1) >= validators, "{validators}");
        }
        assert_eq!([4, 5, 32].map(quorum_of), [3, 4, 22]);
        assert_eq!([0, 3, 4, 32].map(may_fail), [0, 0, 1, 10]);
        assert_eq!((quorum_of(usize::MAX), may_fail(0)), (usize::MAX / 3 * 2 + 1, 0));
    }
}
