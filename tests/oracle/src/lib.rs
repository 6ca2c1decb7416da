//! The `jmt` crate, which defines the hashing of the authenticated map and which nobody here wrote:
//! the oracle of its tests ([`Oracle`], in memory), and the engine beside which it is measured
//! ([`grow`], over any table of bytes).
//!
//! A crate of its own because the code of `jmt` is generic: it is compiled where it is used, and the
//! crate of the tests is compiled with few optimisations. Nothing that is shipped is built from it.

use std::collections::HashMap;

use borsh::BorshDeserialize;
use jmt::{
    JellyfishMerkleTree, KeyHash, OwnedValue, RootHash, SimpleHasher, Version,
    proof::SparseMerkleProof,
    storage::{LeafNode, Node, NodeKey, TreeReader, TreeUpdateBatch},
};
use sha2::{Digest as _, Sha256};
use symbolon_ledger::{
    hash::Digest,
    state_proof::{INNER_PREFIX, LEAF_PREFIX, MapPath, OtherLeaf, PLACEHOLDER},
};

/// SHA-256 as the crate wants it.
#[derive(Debug)]
pub struct Hasher(Sha256);

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

/// A key of the map, and the record that is to stand there; none to remove it.
pub type Change = (Digest, Option<Vec<u8>>);

/// The crate's tree in memory: its newest version.
#[derive(Debug, Default)]
pub struct Oracle {
    nodes: HashMap<NodeKey, Node>,
    root: Digest,
    /// That of the next changes.
    version: Version,
}

impl TreeReader for Oracle {
    fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
        Ok(self.nodes.get(key).cloned())
    }

    /// The crate reads a value only to hand it on beside its proof.
    fn get_value_option(&self, _: Version, _: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        Ok(Some(OwnedValue::new()))
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Ok(None)
    }
}

impl Oracle {
    /// Makes the changes, of which there must be one, and gives the new root.
    ///
    /// # Errors
    ///
    /// What the crate says.
    pub fn apply(&mut self, changes: Vec<Change>) -> anyhow::Result<Digest> {
        let (root, batch) = put(&*self, self.version, changes)?;
        // A version that changes nothing leaves no root behind, and would read as an empty tree.
        if batch.node_batch.nodes().is_empty() {
            return Ok(self.root);
        }
        for index in &batch.stale_node_index_batch {
            self.nodes.remove(&index.node_key);
        }
        let nodes = batch.node_batch.nodes();
        self.nodes.extend(nodes.iter().map(|(key, node)| (key.clone(), node.clone())));
        (self.root, self.version) = (Digest(root.0), self.version + 1);
        Ok(self.root)
    }

    /// The crate's proof of a place at the newest version.
    ///
    /// # Errors
    ///
    /// What the crate says.
    pub fn proof(&self, key: Digest) -> anyhow::Result<SparseMerkleProof<Hasher>> {
        let tree = JellyfishMerkleTree::<_, Hasher>::new(self);
        Ok(tree.get_with_proof(KeyHash(key.0), self.version.saturating_sub(1))?.1)
    }

    /// The same in the form of the ledger.
    ///
    /// # Errors
    ///
    /// What the crate says.
    pub fn prove(&self, key: Digest) -> anyhow::Result<MapPath> {
        path_of(&self.proof(key)?, key)
    }
}

/// Where the nodes of [`grow`] rest, by keys and values of bytes.
pub trait Table {
    /// What stands at `key`.
    ///
    /// # Errors
    ///
    /// What the table says.
    fn get(&self, key: &[u8]) -> anyhow::Result<Option<Vec<u8>>>;
}

/// What changes do to the nodes of a table.
#[derive(Debug)]
pub struct Grown {
    /// The new root.
    pub root: Digest,
    /// Nodes to be written.
    pub put: Vec<(Vec<u8>, Vec<u8>)>,
    /// Keys of nodes that are stale.
    pub gone: Vec<Vec<u8>>,
}

/// Makes `changes` on top of the version before `version`.
///
/// # Errors
///
/// What the crate or the table says.
pub fn grow(table: &dyn Table, version: Version, changes: Vec<Change>) -> anyhow::Result<Grown> {
    let (root, batch) = put(&Over(table), version, changes)?;
    let bytes = |(key, node): (&NodeKey, &Node)| Ok((borsh::to_vec(key)?, borsh::to_vec(node)?));
    let put = batch.node_batch.nodes().iter().map(bytes).collect::<anyhow::Result<_>>()?;
    let stale = batch.stale_node_index_batch.iter();
    let gone = stale.map(|index| borsh::to_vec(&index.node_key)).collect::<Result<_, _>>()?;
    Ok(Grown { root: Digest(root.0), put, gone })
}

/// A table as the crate reads it.
struct Over<'a>(&'a dyn Table);

impl TreeReader for Over<'_> {
    fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
        match self.0.get(&borsh::to_vec(key)?)? {
            Some(bytes) => Ok(Some(Node::try_from_slice(&bytes)?)),
            None => Ok(None),
        }
    }

    fn get_value_option(&self, _: Version, _: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        Ok(Some(OwnedValue::new()))
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Ok(None)
    }
}

fn put(
    reader: &impl TreeReader,
    version: Version,
    changes: Vec<Change>,
) -> anyhow::Result<(RootHash, TreeUpdateBatch)> {
    let changes = changes.into_iter().map(|(key, record)| (KeyHash(key.0), record));
    JellyfishMerkleTree::<_, Hasher>::new(reader).put_value_set(changes, version)
}

/// The crate keeps a proof's parts to itself; its published encoding does not.
#[derive(BorshDeserialize)]
struct ProofParts {
    leaf: Option<LeafParts>,
    siblings: Vec<SiblingParts>,
}

#[derive(BorshDeserialize)]
struct LeafParts {
    key: [u8; 32],
    value: [u8; 32],
}

#[derive(BorshDeserialize)]
enum SiblingParts {
    Null,
    Internal { left: [u8; 32], right: [u8; 32] },
    Leaf(LeafParts),
}

fn path_of(proof: &SparseMerkleProof<Hasher>, key: Digest) -> anyhow::Result<MapPath> {
    let parts = ProofParts::try_from_slice(&borsh::to_vec(proof)?)?;
    let siblings = parts.siblings.iter().map(sibling_hash).collect();
    let other = parts.leaf.filter(|leaf| leaf.key != key.0);
    let other = other.map(|leaf| OtherLeaf { key: Digest(leaf.key), value: Digest(leaf.value) });
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
