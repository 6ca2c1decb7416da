//! The state proof: what stood at some places of the state, all at one height.
//!
//! A verdict rests on licence, keys, agency, type and recognition together, so one proof carries
//! them all under one header. How it is checked is `symbolon-verify`'s.

use minicbor::{Decode, Encode, bytes::ByteVec};

use crate::hash::Digest;

/// Version of the proof's form.
pub const STATE_PROOF_VERSION: u8 = 1;
/// Most bytes of a proof.
pub const MAX_STATE_PROOF_BYTES: usize = 512 * 1024;
/// Most entries of a proof; a registry of a few hundred agencies is the largest.
pub const MAX_ENTRIES: usize = 1_024;
/// Most siblings of a path: one a bit of the key.
pub const MAX_SIBLINGS: usize = 256;

/// Prefix of a leaf's hash in the Jellyfish Merkle tree.
pub const LEAF_PREFIX: &[u8] = b"JMT::LeafNode";
/// Prefix of an inner node's hash (spelt so in the `jmt` crate).
pub const INNER_PREFIX: &[u8] = b"JMT::IntrnalNode";
/// What stands for an empty subtree.
pub const PLACEHOLDER: Digest = Digest(*b"SPARSE_MERKLE_PLACEHOLDER_HASH__");

/// A leaf of the map that stands where another key would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct OtherLeaf {
    /// Its key in the map.
    #[n(0)]
    pub key: Digest,
    /// The hash of its record.
    #[n(1)]
    pub value: Digest,
}

/// The way from a place in the map to its root.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct MapPath {
    /// Hashes beside the way, from the leaf up.
    #[n(0)]
    pub siblings: Vec<Digest>,
    /// Only for an absent key: the leaf that stands at the end of its way; none when nothing
    /// does.
    #[n(1)]
    pub other: Option<OtherLeaf>,
}

/// One place of the state and what stood there.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ProofEntry {
    /// The bytes of a [`crate::state::StateKey`].
    #[n(0)]
    pub key: ByteVec,
    /// The record's bytes; none when nothing stood there.
    #[n(1)]
    pub record: Option<ByteVec>,
    /// The way to the root.
    #[n(2)]
    pub path: MapPath,
}

/// A state proof, as it is encoded. Nothing in it has been checked.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StateProof {
    /// [`STATE_PROOF_VERSION`].
    #[n(0)]
    pub version: u8,
    /// The header's exact bytes.
    #[n(1)]
    pub header: ByteVec,
    /// The certificate's exact bytes; none for block 0, which genesis itself vouches for.
    #[n(2)]
    pub certificate: Option<ByteVec>,
    /// The places.
    #[n(3)]
    pub entries: Vec<ProofEntry>,
}
