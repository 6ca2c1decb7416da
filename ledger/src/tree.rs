//! The engine of the authenticated map: the `jmt` crate behind four functions, and in [`whole`] the
//! same tree made from all its leaves at once.
//!
//! The tree holds hashes only; the records stand elsewhere. Two traps of the crate are closed
//! here. A missing root reads as an *empty* tree, so [`update`] takes the root that the caller
//! believes in and refuses any other. And a version without writes leaves no root behind, so
//! [`update`] writes the root again at every version, even when nothing else changes.

pub mod whole;

use borsh::{BorshDeserialize, BorshSerialize};
use jmt::{
    JellyfishMerkleTree, KeyHash, OwnedValue, SimpleHasher, Version,
    proof::SparseMerkleProof,
    storage::{LeafNode, Node, NodeKey, TreeReader},
};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::{
    hash::Digest,
    state_proof::{INNER_PREFIX, LEAF_PREFIX, MapPath, OtherLeaf, PLACEHOLDER},
};

/// Where the tree's nodes rest.
pub trait NodeStore {
    /// The node at `key`, if there is one.
    ///
    /// # Errors
    ///
    /// What the store says when it cannot tell.
    fn node(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
}

/// The store could not answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the state tree cannot be read: {0}")]
pub struct StoreError(pub String);

/// Why the tree could not be read or written. All of them mean a broken database.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TreeError {
    /// The tree does not have the root that the tip's header names.
    #[error("the state tree at height {version} has root {found}, the tip names {expected}")]
    WrongRoot {
        /// The version asked for.
        version: u64,
        /// The root that it has; the placeholder for none.
        found: Digest,
        /// The root that it should have.
        expected: Digest,
    },
    /// A node is missing or damaged.
    #[error("the state tree is damaged: {0}")]
    Damaged(String),
}

/// What one block does to the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeUpdate {
    /// The new root.
    pub root: Digest,
    /// Nodes to be written: key, node.
    pub nodes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Keys of the nodes that are not part of this version any more.
    pub stale: Vec<Vec<u8>>,
}

/// SHA-256 as the `jmt` crate wants it.
#[derive(Debug)]
struct Hasher(Sha256);

impl SimpleHasher for Hasher {
    fn new() -> Self {
        Self(Sha256::new())
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

struct Reader<'a, S>(&'a S);

impl<S: NodeStore> TreeReader for Reader<'_, S> {
    fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
        match self.0.node(&borsh::to_vec(key)?)? {
            Some(bytes) => Ok(Some(Node::try_from_slice(&bytes)?)),
            None => Ok(None),
        }
    }

    /// The crate reads a value only to hand it on beside its proof. Ours rest elsewhere.
    fn get_value_option(&self, _: Version, _: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        Ok(Some(OwnedValue::new()))
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Ok(None)
    }
}

fn damaged(error: impl std::fmt::Display) -> TreeError {
    TreeError::Damaged(format!("{error:#}"))
}

/// Writes `records` (map key, record's bytes or none to remove it) on top of version
/// `version - 1`, whose root must be `parent`. Version 0 stands on nothing and takes no `parent`.
///
/// # Errors
///
/// [`TreeError`].
pub fn update<S: NodeStore>(
    store: &S,
    version: u64,
    parent: Option<Digest>,
    records: impl IntoIterator<Item = (Digest, Option<Vec<u8>>)>,
) -> Result<TreeUpdate, TreeError> {
    let reader = Reader(store);
    if let Some(expected) = parent {
        check_root(store, version.saturating_sub(1), expected)?;
    }
    let tree = JellyfishMerkleTree::<_, Hasher>::new(&reader);
    let mut records = records.into_iter().map(|(key, value)| (KeyHash(key.0), value)).peekable();
    if records.peek().is_none() {
        return carry_root(&reader, version, parent);
    }
    let (root, batch) = tree.put_value_set(records, version).map_err(damaged)?;
    let bytes = |value: &dyn Fn() -> std::io::Result<Vec<u8>>| value().map_err(damaged);
    let nodes = batch
        .node_batch
        .nodes()
        .iter()
        .map(|(key, node)| Ok((bytes(&|| borsh::to_vec(key))?, bytes(&|| borsh::to_vec(node))?)))
        .collect::<Result<_, TreeError>>()?;
    let stale = batch
        .stale_node_index_batch
        .iter()
        .map(|index| bytes(&|| borsh::to_vec(&index.node_key)))
        .collect::<Result<_, _>>()?;
    Ok(TreeUpdate { root: Digest(root.0), nodes, stale })
}

/// A version without writes: the same root node under the new version.
fn carry_root<S: NodeStore>(
    reader: &Reader<'_, S>,
    version: u64,
    parent: Option<Digest>,
) -> Result<TreeUpdate, TreeError> {
    let root = parent.ok_or_else(|| damaged("version 0 has no records"))?;
    let old = root_key(version.saturating_sub(1)).map_err(damaged)?;
    let node =
        reader.get_node(&NodeKey::try_from_slice(&old).map_err(damaged)?).map_err(damaged)?;
    let new = root_key(version).map_err(damaged)?;
    let node = borsh::to_vec(&node).map_err(damaged)?;
    Ok(TreeUpdate { root, nodes: vec![(new, node)], stale: vec![old] })
}

/// The encoded key of the root node of `version`: the version, and a path of no nibbles and no
/// bytes. The crate has no public constructor for it.
fn root_key(version: u64) -> std::io::Result<Vec<u8>> {
    borsh::to_vec(&(version, 0u64, Vec::<u8>::new()))
}

/// Checks that `version` has the root `expected`.
///
/// # Errors
///
/// [`TreeError::WrongRoot`], also when the tree has no such version.
pub fn check_root<S: NodeStore>(
    store: &S,
    version: u64,
    expected: Digest,
) -> Result<(), TreeError> {
    let reader = Reader(store);
    let tree = JellyfishMerkleTree::<_, Hasher>::new(&reader);
    let found = tree
        .get_root_hash_option(version)
        .map_err(damaged)?
        .map_or(PLACEHOLDER, |root| Digest(root.0));
    if found == expected { Ok(()) } else { Err(TreeError::WrongRoot { version, found, expected }) }
}

/// The way from `key` to the root of `version`, whether something stands there or not.
///
/// # Errors
///
/// [`TreeError`], also when the version has been pruned.
pub fn prove<S: NodeStore>(store: &S, version: u64, key: Digest) -> Result<MapPath, TreeError> {
    let reader = Reader(store);
    let tree = JellyfishMerkleTree::<_, Hasher>::new(&reader);
    let (_, proof) = tree.get_with_proof(KeyHash(key.0), version).map_err(damaged)?;
    path_of(&proof, key).map_err(damaged)
}

/// Checks that the tree of `version` leads from `key` to `root` with this record.
///
/// # Errors
///
/// [`TreeError::Damaged`].
pub fn check<S: NodeStore>(
    store: &S,
    version: u64,
    root: Digest,
    key: Digest,
    record: &[u8],
) -> Result<(), TreeError> {
    let reader = Reader(store);
    let tree = JellyfishMerkleTree::<_, Hasher>::new(&reader);
    let (_, proof) = tree.get_with_proof(KeyHash(key.0), version).map_err(damaged)?;
    proof.verify_existence(jmt::RootHash(root.0), KeyHash(key.0), record).map_err(damaged)
}

/// The crate keeps a proof's parts to itself; its published encoding does not.
#[derive(BorshSerialize, BorshDeserialize)]
struct ProofParts {
    leaf: Option<LeafParts>,
    siblings: Vec<SiblingParts>,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct LeafParts {
    key: [u8; 32],
    value: [u8; 32],
}

#[derive(BorshSerialize, BorshDeserialize)]
enum SiblingParts {
    Null,
    Internal { left: [u8; 32], right: [u8; 32] },
    Leaf(LeafParts),
}

fn path_of(proof: &SparseMerkleProof<Hasher>, key: Digest) -> std::io::Result<MapPath> {
    let parts = ProofParts::try_from_slice(&borsh::to_vec(proof)?)?;
    let siblings = parts.siblings.iter().map(sibling_hash).collect();
    let other = parts
        .leaf
        .filter(|leaf| leaf.key != key.0)
        .map(|leaf| OtherLeaf { key: Digest(leaf.key), value: Digest(leaf.value) });
    Ok(MapPath { siblings, other })
}

fn sibling_hash(sibling: &SiblingParts) -> Digest {
    let hash = |prefix: &[u8], a: &[u8; 32], b: &[u8; 32]| {
        Digest(Sha256::new().chain_update(prefix).chain_update(a).chain_update(b).finalize().into())
    };
    match sibling {
        SiblingParts::Null => PLACEHOLDER,
        SiblingParts::Internal { left, right } => hash(INNER_PREFIX, left, right),
        SiblingParts::Leaf(leaf) => hash(LEAF_PREFIX, &leaf.key, &leaf.value),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::hash::sha256;

    #[derive(Default)]
    struct Memory(BTreeMap<Vec<u8>, Vec<u8>>);

    impl NodeStore for Memory {
        fn node(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(self.0.get(key).cloned())
        }
    }

    impl Memory {
        fn apply(&mut self, update: TreeUpdate) -> Digest {
            self.0.extend(update.nodes);
            for key in update.stale {
                self.0.remove(&key);
            }
            update.root
        }
    }

    #[test]
    fn a_version_without_writes_keeps_its_root_and_its_proofs() {
        let mut store = Memory::default();
        let record = (sha256(b"key"), Some(b"record".to_vec()));
        let first = update(&store, 0, None, [record]).unwrap();
        let root = store.apply(first);
        let second = update(&store, 1, Some(root), []).unwrap();
        assert_eq!(store.apply(second), root);
        assert_eq!(check_root(&store, 1, root), Ok(()));
        assert!(prove(&store, 1, sha256(b"key")).unwrap().other.is_none());
        let third = update(&store, 2, Some(root), [(sha256(b"other"), Some(vec![1]))]).unwrap();
        assert_ne!(store.apply(third), root);
    }

    #[test]
    fn a_missing_root_is_an_error_and_never_an_empty_tree() {
        let store = Memory::default();
        let expected = sha256(b"root");
        let result = update(&store, 1, Some(expected), [(sha256(b"k"), Some(vec![1]))]);
        assert_eq!(result, Err(TreeError::WrongRoot { version: 0, found: PLACEHOLDER, expected }));
    }
}
