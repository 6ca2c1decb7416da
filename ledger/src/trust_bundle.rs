//! The trust bundle: how the founding validators became those of today.
//!
//! Whoever believes the founding document follows every change of the validator set, each made
//! final by more than two thirds of the set before, up to a certified header. That header is then
//! pinned. Headers and certificates stand in it as their exact bytes. How it is checked and
//! extended is `symbolon-verify`'s.

use minicbor::{Decode, Encode, bytes::ByteVec};

use crate::{
    hash::{BlockHash, ChainId},
    validators::ValidatorSet,
};

/// Version of the bundle's form.
pub const TRUST_BUNDLE_VERSION: u8 = 1;
/// Most changes of the validator set: were each of 32 provinces to exchange its key twice a year,
/// enough for thirty years.
pub const MAX_SET_CHANGES: usize = 2_048;
/// Most bytes of a bundle: with 32 validators a change takes 5 KiB, and 2,048 of them 10 MiB.
pub const MAX_TRUST_BUNDLE_BYTES: usize = 12 * 1024 * 1024;

/// A block that changed the validator set.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SetChange {
    /// The header's exact bytes. Its `next_validators_hash` names the new set.
    #[n(0)]
    pub header: ByteVec,
    /// The exact bytes of its certificate, by the set before.
    #[n(1)]
    pub certificate: ByteVec,
    /// The new set, which votes from the next block on.
    #[n(2)]
    pub validators: ValidatorSet,
}

/// The header at which a bundle ends.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct BundleHead {
    /// The header's exact bytes.
    #[n(0)]
    pub header: ByteVec,
    /// The certificate's exact bytes; none for block 0, which genesis itself vouches for.
    #[n(1)]
    pub certificate: Option<ByteVec>,
}

/// A trust bundle, as it is encoded. Nothing in it has been checked.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct TrustBundle {
    /// [`TRUST_BUNDLE_VERSION`].
    #[n(0)]
    pub version: u8,
    /// The chain.
    #[n(1)]
    pub chain_id: ChainId,
    /// Hash of the founding block.
    #[n(2)]
    pub genesis: BlockHash,
    /// The founding validators, which vote from block 1 on.
    #[n(3)]
    pub validators: ValidatorSet,
    /// Every change of the set up to the head, oldest first.
    #[n(4)]
    pub changes: Vec<SetChange>,
    /// The header that is pinned.
    #[n(5)]
    pub head: BundleHead,
}
