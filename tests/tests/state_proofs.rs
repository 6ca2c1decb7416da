//! The checker of `symbolon-verify` against the `jmt` crate: the same roots, the same proofs
//! accepted, and the same altered proofs refused.
//!
//! Two trees are grown from one list of random changes: one by `symbolon_ledger::tree`, one by the
//! crate itself. A proof of the crate is altered in its published form and
//! then given to both checkers. Not here: headers and certificates (unit tests of `verify`), and
//! histories of many changes (`map.rs`).

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;

use jmt::{KeyHash, RootHash, proof::SparseMerkleProof};
use rand::{RngExt as _, SeedableRng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use symbolon_ledger::{
    hash::{Digest, sha256, tagged_hash},
    state_proof::{MapPath, OtherLeaf, PLACEHOLDER},
    tree::{self, Change, Memory},
};
use symbolon_oracle::{Hasher, Oracle};
use symbolon_verify::state_proof::{PathError, check_path};

/// Histories, each from its own seed.
const SEEDS: u64 = 24;
/// Versions of each history.
const VERSIONS: u64 = 8;
/// Alterations tried on each proof.
const ALTERATIONS: usize = 12;

/// The crate's proof.
type Proof = SparseMerkleProof<Hasher>;

/// One history: both trees and what stands in them.
struct History {
    rng: ChaCha8Rng,
    ours: Memory,
    oracle: Oracle,
    records: BTreeMap<Digest, Vec<u8>>,
    root: Digest,
}

impl History {
    fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            ours: Memory::default(),
            oracle: Oracle::default(),
            records: BTreeMap::new(),
            root: PLACEHOLDER,
        }
    }

    /// A key, now and then one that shares a long prefix with another.
    fn new_key(&mut self) -> Digest {
        let mut key: [u8; 32] = self.rng.random();
        let keys: Vec<Digest> = self.records.keys().copied().collect();
        if let Some(other) = keys.choose(&mut self.rng)
            && self.rng.random_bool(0.3)
        {
            let shared = self.rng.random_range(1..=31);
            key[..shared].copy_from_slice(&other.0[..shared]);
        }
        Digest(key)
    }

    fn grow(&mut self) {
        let mut changes = BTreeMap::new();
        for _ in 0..self.rng.random_range(1..20) {
            let keys: Vec<Digest> = self.records.keys().copied().collect();
            let old = keys.choose(&mut self.rng).copied();
            let change = match (old, self.rng.random_range(0..4)) {
                (Some(key), 0) => (key, None),
                (Some(key), 1) => (key, Some(vec![self.rng.random(), 1])),
                _ => (self.new_key(), Some(vec![self.rng.random(), 2])),
            };
            changes.insert(change.0, change.1);
        }
        let changes: Vec<_> = changes.into_iter().collect();
        let expected = self.oracle.apply(changes.clone()).unwrap();
        let ours = changes.iter().map(|(key, record)| Change::new(*key, record.as_deref()));
        let update = tree::update(&self.ours, self.root, ours.collect()).unwrap();
        assert_eq!(update.root, expected);
        self.ours.apply(&update);
        self.root = expected;
        for (key, value) in changes {
            match value {
                Some(value) => self.records.insert(key, value),
                None => self.records.remove(&key),
            };
        }
    }

    fn check_all(&mut self) {
        let absent: Vec<Digest> = (0..20).map(|_| self.new_key()).collect();
        let keys: Vec<Digest> = self.records.keys().copied().chain(absent).collect();
        let root = self.root;
        for key in keys {
            let record = self.records.get(&key).cloned();
            let path = tree::prove(&self.ours, root, key).unwrap();
            assert_eq!(check_path(&root, &key, record.as_deref(), &path), Ok(()));
            let proof = serde_json::to_value(self.oracle.proof(key).unwrap()).unwrap();
            assert_eq!(path_of(&proof, &key, record.is_some()), Some(path));
            for _ in 0..ALTERATIONS {
                self.alter_and_compare(root, key, record.clone(), proof.clone());
            }
        }
    }

    /// Alters what is claimed, or the proof, and asks both checkers.
    fn alter_and_compare(
        &mut self,
        mut root: Digest,
        mut key: Digest,
        mut record: Option<Vec<u8>>,
        mut proof: Value,
    ) {
        let siblings = proof["siblings"].as_array().unwrap().len();
        let at = self.rng.random_range(0..siblings.max(1));
        match self.rng.random_range(0..10) {
            0 if siblings > 0 => drop(siblings_of(&mut proof).remove(at)),
            1 => siblings_of(&mut proof).insert(at.min(siblings), json!("Null")),
            2 if siblings > 0 => siblings_of(&mut proof)[at] = json!("Null"),
            3 if siblings > 1 => siblings_of(&mut proof).swap(at, 0),
            4 => key.0[self.rng.random_range(0..32)] ^= 1 << self.rng.random_range(0..8),
            5 => root.0[self.rng.random_range(0..32)] ^= 1,
            6 => record = if record.is_some() { None } else { Some(vec![1, 2]) },
            7 => record = record.map(|r| [r, vec![0]].concat()),
            8 => {
                let other = self.records.iter().next().map(|(k, v)| (*k, sha256(v)));
                proof["leaf"] = other.map_or(Value::Null, |(key, value)| leaf(&key, &value));
            }
            _ => proof["leaf"] = Value::Null,
        }
        // A present record's leaf is made of its key and its bytes in our form, so a proof that
        // names another cannot be written in it.
        let Some(path) = path_of(&proof, &key, record.is_some()) else { return };
        let theirs: Proof = serde_json::from_value(proof).unwrap();
        let theirs = theirs.verify(RootHash(root.0), KeyHash(key.0), record.as_ref());
        let ours = check_path(&root, &key, record.as_deref(), &path);
        assert_eq!(ours.is_ok(), theirs.is_ok(), "ours {ours:?}, theirs {theirs:?}");
    }
}

fn siblings_of(proof: &mut Value) -> &mut Vec<Value> {
    proof["siblings"].as_array_mut().unwrap()
}

fn leaf(key: &Digest, value: &Digest) -> Value {
    json!({"key_hash": key.0, "value_hash": value.0})
}

fn digest(value: &Value) -> Digest {
    Digest(serde_json::from_value(value.clone()).unwrap())
}

/// The crate's proof in our form; none where our form cannot say it.
fn path_of(proof: &Value, key: &Digest, present: bool) -> Option<MapPath> {
    let hash = |sibling: &Value| match (sibling.get("Internal"), sibling.get("Leaf")) {
        (Some(node), _) => inner_hash(node),
        (_, Some(leaf)) => leaf_hash(leaf),
        _ => PLACEHOLDER,
    };
    let siblings = proof["siblings"].as_array()?.iter().map(hash).collect();
    let leaf = &proof["leaf"];
    let named = (!leaf.is_null()).then(|| digest(&leaf["key_hash"]));
    let other = match (present, named) {
        (true, Some(named)) if named == *key => None,
        (true, _) => return None,
        (false, named) => named.map(|key| OtherLeaf { key, value: digest(&leaf["value_hash"]) }),
    };
    Some(MapPath { siblings, other })
}

fn inner_hash(node: &Value) -> Digest {
    let (left, right) = (digest(&node["left_child"]), digest(&node["right_child"]));
    tagged_hash("JMT::IntrnalNode", &[left.as_bytes(), right.as_bytes()])
}

fn leaf_hash(leaf: &Value) -> Digest {
    let (key, value) = (digest(&leaf["key_hash"]), digest(&leaf["value_hash"]));
    tagged_hash("JMT::LeafNode", &[key.as_bytes(), value.as_bytes()])
}

#[test]
fn our_checker_and_the_crate_agree_on_every_proof() {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let mut history = History::new(seed);
        for _ in 0..VERSIONS {
            history.grow();
            history.check_all();
        }
    }
}

#[test]
fn an_empty_map_proves_absence_and_nothing_else() {
    let key = sha256(b"key");
    assert_eq!(check_path(&PLACEHOLDER, &key, None, &MapPath::default()), Ok(()));
    let path = MapPath::default();
    assert_eq!(check_path(&PLACEHOLDER, &key, Some(b""), &path), Err(PathError::Root));
}
