//! The state proof: what stood at some places of the state, all at one height.
//!
//! A verdict rests on licence, keys, agency, type and recognition together, so one proof carries
//! them all under one header. How it is checked is `symbolon-verify`'s.

use minicbor::{Decode, Encode, Encoder, bytes::ByteVec};

use crate::{codec, hash::Digest};

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

/// What all state proofs of one block begin with, encoded: everything but the entries.
///
/// A node answers thousands of questions at one height, and only the entries differ.
///
/// ```
/// use symbolon_ledger::{codec, state_proof::{MapPath, ProofEntry, ProofHead, StateProof}};
/// let entry = ProofEntry { key: vec![1].into(), record: None, path: MapPath::default() };
/// let head = ProofHead::new(&[7], None);
/// let proof = head.proof(1, &codec::encode(&entry));
/// let read: StateProof = codec::decode(&proof, 64).unwrap();
/// assert_eq!(read.entries, [entry]);
/// assert_eq!(&read.header[..], [7]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofHead(Vec<u8>);

impl ProofHead {
    /// The head of a block with this header and certificate, of which both are the exact bytes.
    #[must_use]
    pub fn new(header: &[u8], certificate: Option<&[u8]>) -> Self {
        let proof = StateProof {
            version: STATE_PROOF_VERSION,
            header: header.to_vec().into(),
            certificate: certificate.map(|bytes| bytes.to_vec().into()),
            entries: Vec::new(),
        };
        let mut bytes = codec::encode(&proof);
        // The list of entries stands last, and an empty one is one byte.
        let list = bytes.pop();
        assert_eq!(list, Some(EMPTY_LIST), "a state proof ends in its entries");
        Self(bytes)
    }

    /// The bytes before the list of entries.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes of the proof with `count` entries, which stand encoded one after the other in
    /// `entries`.
    #[must_use]
    pub fn proof(&self, count: usize, entries: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() + LIST_HEAD_BYTES + entries.len());
        bytes.extend_from_slice(&self.0);
        let mut list = Encoder::new(&mut bytes);
        list.array(count as u64).expect("writing to a vector cannot fail");
        bytes.extend_from_slice(entries);
        bytes
    }
}

/// A list of nothing in CBOR.
const EMPTY_LIST: u8 = 0x80;
/// Most bytes of the head of a list in CBOR.
const LIST_HEAD_BYTES: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_put_together_is_the_proof_encoded_as_a_whole() {
        let entry = |n: usize| ProofEntry {
            key: vec![1; n % 40].into(),
            record: (!n.is_multiple_of(3)).then(|| vec![2; n].into()),
            path: MapPath {
                siblings: vec![PLACEHOLDER; n % 19],
                other: n
                    .is_multiple_of(3)
                    .then_some(OtherLeaf { key: PLACEHOLDER, value: PLACEHOLDER }),
            },
        };
        for certificate in [None, Some(&[9; 300][..])] {
            let head = ProofHead::new(&[8; 200], certificate);
            for count in [0, 1, 2, 23, 24, 255, 256, MAX_ENTRIES] {
                let entries: Vec<_> = (0..count).map(entry).collect();
                let parts: Vec<u8> = entries.iter().flat_map(codec::encode).collect();
                let whole = StateProof {
                    version: STATE_PROOF_VERSION,
                    header: vec![8; 200].into(),
                    certificate: certificate.map(|bytes| bytes.to_vec().into()),
                    entries,
                };
                assert_eq!(head.proof(count, &parts), codec::encode(&whole), "{count} entries");
            }
        }
    }
}
