//! A state and its proofs, made by the plainest way to hash a Jellyfish Merkle tree: for tests that
//! need a few records proven, and as a second opinion on the checker.

use std::collections::BTreeMap;

use symbolon_ledger::{
    codec::encode,
    hash::{Digest, sha256},
    records::Record,
    state::StateKey,
    state_proof::{
        INNER_PREFIX, LEAF_PREFIX, MapPath, OtherLeaf, PLACEHOLDER, ProofEntry,
        STATE_PROOF_VERSION, StateProof,
    },
};

use super::chain::Chain;

/// Records by their keys.
#[derive(Default, Clone)]
pub(crate) struct Map(BTreeMap<StateKey, Vec<u8>>);

type Leaf = (Digest, Digest);

fn bit(key: &Digest, index: usize) -> bool {
    key.0[index / 8] >> (7 - index % 8) & 1 == 1
}

fn hash(prefix: &[u8], left: &Digest, right: &Digest) -> Digest {
    sha256(&[prefix, left.as_bytes(), right.as_bytes()].concat())
}

fn split(leaves: &[Leaf], depth: usize) -> [Vec<Leaf>; 2] {
    let (right, left) = leaves.iter().partition(|(key, _)| bit(key, depth));
    [left, right]
}

fn root(leaves: &[Leaf], depth: usize) -> Digest {
    match leaves {
        [] => PLACEHOLDER,
        [(key, value)] => hash(LEAF_PREFIX, key, value),
        _ => {
            let [left, right] = split(leaves, depth);
            hash(INNER_PREFIX, &root(&left, depth + 1), &root(&right, depth + 1))
        }
    }
}

fn path(leaves: &[Leaf], key: &Digest, depth: usize) -> MapPath {
    if let [] | [_] = leaves {
        let other = leaves.first().filter(|(found, _)| found != key);
        let other = other.map(|(key, value)| OtherLeaf { key: *key, value: *value });
        return MapPath { siblings: Vec::new(), other };
    }
    let sides = split(leaves, depth);
    let own = usize::from(bit(key, depth));
    let mut path = path(&sides[own], key, depth + 1);
    path.siblings.push(root(&sides[1 - own], depth + 1));
    path
}

impl Map {
    pub(crate) fn put<R: Record>(&mut self, key: StateKey, record: &R) {
        self.0.insert(key, record.to_bytes());
    }

    pub(crate) fn get(&self, key: &StateKey) -> Option<&Vec<u8>> {
        self.0.get(key)
    }

    fn leaves(&self) -> Vec<Leaf> {
        self.0.iter().map(|(key, record)| (key.map_key(), sha256(record))).collect()
    }

    pub(crate) fn root(&self) -> Digest {
        root(&self.leaves(), 0)
    }

    /// What stands at `keys` in the state of block `height`, whose root must be this map's.
    pub(crate) fn proof(&self, chain: &Chain, height: u64, keys: &[StateKey]) -> StateProof {
        let entry = |key: &StateKey| ProofEntry {
            key: key.encode().into(),
            record: self.0.get(key).cloned().map(Into::into),
            path: path(&self.leaves(), &key.map_key(), 0),
        };
        StateProof {
            version: STATE_PROOF_VERSION,
            header: encode(chain.header(height)).into(),
            certificate: (height > 0).then(|| encode(&chain.certificate(height)).into()),
            entries: keys.iter().map(entry).collect(),
        }
    }
}
