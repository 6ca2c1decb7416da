//! The whole tree from all its leaves, in the order of their keys: what a node that joins by
//! snapshot makes of the records that it was given.
//!
//! [`subtree`] says what stands where all keys with some first bits are, and [`join`] what two
//! halves make: with them a part of the map is checked against its root without the rest.
//! [`Builder`] gives the nodes of a tree in the crate's own encoding, each once, holding one path
//! at a time. The crate is the oracle of the tests: what it writes for the same records is the
//! same, byte for byte.

use borsh::BorshSerialize;
use sha2::{Digest as _, Sha256};

use crate::{
    hash::Digest,
    state_proof::{INNER_PREFIX, LEAF_PREFIX, PLACEHOLDER},
};

/// Bits of a key.
pub const KEY_BITS: usize = 256;
/// Children of an inner node: it spans four levels of the binary tree.
const WIDTH: usize = 16;
/// Half bytes of a key.
const NIBBLES: usize = KEY_BITS / 4;

/// A place of the map and the hash of what stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leaf {
    /// The key in the map.
    pub key: Digest,
    /// SHA-256 of the record.
    pub value: Digest,
}

/// What stands at a place of the binary tree. A leaf alone in its subtree stands at the subtree's
/// own place, however high.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subtree {
    /// No leaf.
    Empty,
    /// One leaf.
    Leaf(Leaf),
    /// More than one, under this hash.
    Inner(Digest),
}

impl Subtree {
    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> Digest {
        match self {
            Self::Empty => PLACEHOLDER,
            Self::Leaf(leaf) => hash(LEAF_PREFIX, &leaf.key, &leaf.value),
            Self::Inner(hash) => *hash,
        }
    }
}

fn hash(prefix: &[u8], left: &Digest, right: &Digest) -> Digest {
    let hasher = Sha256::new().chain_update(prefix);
    Digest(hasher.chain_update(left.as_bytes()).chain_update(right.as_bytes()).finalize().into())
}

/// What two neighbouring subtrees make.
#[must_use]
pub fn join(left: Subtree, right: Subtree) -> Subtree {
    match (left, right) {
        (Subtree::Empty, Subtree::Empty) => Subtree::Empty,
        (Subtree::Empty, Subtree::Leaf(leaf)) | (Subtree::Leaf(leaf), Subtree::Empty) => {
            Subtree::Leaf(leaf)
        }
        (left, right) => Subtree::Inner(hash(INNER_PREFIX, &left.hash(), &right.hash())),
    }
}

/// Bit `index` of a key, from the left.
#[must_use]
pub fn bit(key: &Digest, index: usize) -> bool {
    key.0.get(index / 8).is_some_and(|byte| byte >> (7 - index % 8) & 1 == 1)
}

/// What stands at the place of `leaves`: all that there are with the same first `depth` bits, in
/// ascending order and each key once.
#[must_use]
pub fn subtree(leaves: &[Leaf], depth: usize) -> Subtree {
    match leaves {
        [] => Subtree::Empty,
        [leaf] => Subtree::Leaf(*leaf),
        _ => {
            let middle = leaves.partition_point(|leaf| !bit(&leaf.key, depth));
            let (left, right) = leaves.split_at(middle);
            join(subtree(left, depth + 1), subtree(right, depth + 1))
        }
    }
}

/// Key and bytes of a node, as they rest.
pub type StoredNode = (Vec<u8>, Vec<u8>);

/// The crate keeps a node's parts to itself; its published encoding does not.
#[derive(BorshSerialize)]
enum NodeParts {
    #[expect(dead_code, reason = "takes the number of the empty node in the encoding")]
    Null,
    Internal {
        children: Box<[Option<ChildParts>; WIDTH]>,
        count: u64,
        leaves: u64,
    },
    Leaf {
        key: [u8; 32],
        value: [u8; 32],
    },
}

#[derive(BorshSerialize)]
struct ChildParts {
    hash: [u8; 32],
    version: u64,
    kind: ChildKind,
}

#[derive(BorshSerialize)]
enum ChildKind {
    Leaf,
    Internal { leaves: u64 },
}

/// A child of a node that is not complete yet.
#[derive(Debug, Clone, Copy)]
struct Child {
    place: Subtree,
    leaves: u64,
}

/// Makes a tree of one version from its leaves.
#[derive(Debug)]
pub struct Builder {
    version: u64,
    /// The newest leaf, which waits for the next one to know how deep it lies.
    waiting: Option<Leaf>,
    /// The inner nodes on the way to it, from the root down.
    open: Vec<[Option<Child>; WIDTH]>,
    nodes: Vec<StoredNode>,
}

/// The leaves were not given in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the leaves of a tree must come in ascending order, each key once")]
pub struct OutOfOrder;

impl Builder {
    /// A tree without leaves, of this version.
    #[must_use]
    pub fn new(version: u64) -> Self {
        Self { version, waiting: None, open: Vec::new(), nodes: Vec::new() }
    }

    /// Takes the next leaf.
    ///
    /// # Errors
    ///
    /// [`OutOfOrder`].
    pub fn push(&mut self, leaf: Leaf) -> Result<(), OutOfOrder> {
        if let Some(before) = self.waiting {
            if before.key >= leaf.key {
                return Err(OutOfOrder);
            }
            let common = common_nibbles(&before.key, &leaf.key);
            self.settle(before, common);
            self.close(&before.key, common + 1);
        }
        self.waiting = Some(leaf);
        Ok(())
    }

    /// The nodes that became complete since the last call.
    pub fn take(&mut self) -> Vec<StoredNode> {
        std::mem::take(&mut self.nodes)
    }

    /// The root, and the last nodes.
    #[must_use]
    pub fn finish(mut self) -> (Digest, Vec<StoredNode>) {
        let Some(last) = self.waiting.take() else { return (PLACEHOLDER, self.nodes) };
        if self.open.is_empty() {
            self.put_leaf(last, 0);
            return (Subtree::Leaf(last).hash(), self.nodes);
        }
        self.settle(last, self.open.len() - 1);
        self.close(&last.key, 1);
        let root = self.open.pop().expect("one inner node is left open");
        (self.put_inner(&root, &last.key, 0).hash(), self.nodes)
    }

    /// Puts a leaf under the inner node at depth `at`, which shares so many half bytes with the
    /// next leaf; or deeper, where the leaf before forced it to.
    fn settle(&mut self, leaf: Leaf, at: usize) {
        while self.open.len() <= at {
            self.open.push([None; WIDTH]);
        }
        let depth = self.open.len() - 1;
        self.put_leaf(leaf, depth + 1);
        let child = Child { place: Subtree::Leaf(leaf), leaves: 1 };
        self.open[depth][nibble(&leaf.key, depth)] = Some(child);
    }

    /// Completes the inner nodes on the way to `key`, until `left` are open.
    fn close(&mut self, key: &Digest, left: usize) {
        while self.open.len() > left {
            let node = self.open.pop().expect("more are open than are left");
            let depth = self.open.len();
            let place = self.put_inner(&node, key, depth);
            let leaves = node.iter().flatten().map(|child| child.leaves).sum();
            let child = Child { place, leaves };
            self.open[depth - 1][nibble(key, depth - 1)] = Some(child);
        }
    }

    fn put_leaf(&mut self, leaf: Leaf, depth: usize) {
        let node = NodeParts::Leaf { key: leaf.key.0, value: leaf.value.0 };
        self.put(&leaf.key, depth, &node);
    }

    fn put_inner(&mut self, node: &[Option<Child>; WIDTH], key: &Digest, depth: usize) -> Subtree {
        let version = self.version;
        let parts = |child: &Child| ChildParts {
            hash: child.place.hash().0,
            version,
            kind: match child.place {
                Subtree::Leaf(_) => ChildKind::Leaf,
                _ => ChildKind::Internal { leaves: child.leaves },
            },
        };
        let stored = NodeParts::Internal {
            children: Box::new(std::array::from_fn(|i| node[i].as_ref().map(parts))),
            count: node.iter().flatten().count() as u64,
            leaves: node.iter().flatten().map(|child| child.leaves).sum(),
        };
        self.put(key, depth, &stored);
        let mut level =
            node.map(|child| child.map_or(Subtree::Empty, |child| child.place)).to_vec();
        while level.len() > 1 {
            level = level.chunks(2).map(|pair| join(pair[0], pair[1])).collect();
        }
        // A node whose leaves are all under one child is still a node.
        level[0]
    }

    /// Where the way of `key` has gone `depth` half bytes.
    fn put(&mut self, key: &Digest, depth: usize, node: &NodeParts) {
        let mut path = key.0[..depth.div_ceil(2)].to_vec();
        if depth % 2 == 1 {
            let last = path.last_mut().expect("an odd depth is at least one");
            *last &= 0xf0;
        }
        let key = borsh::to_vec(&(self.version, depth as u64, path));
        let node = borsh::to_vec(node);
        let written = "writing to a vector cannot fail";
        self.nodes.push((key.expect(written), node.expect(written)));
    }
}

fn nibble(key: &Digest, index: usize) -> usize {
    let byte = key.0[index / 2];
    usize::from(if index.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f })
}

fn common_nibbles(a: &Digest, b: &Digest) -> usize {
    (0..NIBBLES).take_while(|index| nibble(a, *index) == nibble(b, *index)).count()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{super::update, *};
    use crate::{
        hash::sha256,
        tree::{NodeStore, StoreError},
    };

    struct Nothing;

    impl NodeStore for Nothing {
        fn node(&self, _: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(None)
        }
    }

    /// Keys of which many share their first bytes.
    fn keys(count: u32, crowded: bool) -> BTreeMap<Digest, Vec<u8>> {
        let key = |n: u32| {
            let mut key = sha256(&n.to_be_bytes());
            if crowded {
                let deep = usize::from(key.0[31] % 24);
                key.0[..deep].fill(0xab);
            }
            key
        };
        (0..count).map(|n| (key(n), n.to_be_bytes().to_vec())).collect()
    }

    fn leaves(records: &BTreeMap<Digest, Vec<u8>>) -> Vec<Leaf> {
        records.iter().map(|(key, record)| Leaf { key: *key, value: sha256(record) }).collect()
    }

    #[test]
    fn the_nodes_are_those_that_the_crate_writes_for_the_same_records() {
        for (count, crowded) in
            [(1, false), (2, false), (3, true), (17, false), (500, true), (3_000, false)]
        {
            let records = keys(count, crowded);
            let given = records.iter().map(|(key, record)| (*key, Some(record.clone())));
            let expected = update(&Nothing, 0, None, given).unwrap();
            let mut builder = Builder::new(0);
            let mut nodes = BTreeMap::new();
            for leaf in leaves(&records) {
                builder.push(leaf).unwrap();
                nodes.extend(builder.take());
            }
            let (root, rest) = builder.finish();
            nodes.extend(rest);
            assert_eq!(root, expected.root, "{count} {crowded}");
            assert_eq!(nodes, expected.nodes.into_iter().collect(), "{count} {crowded}");
            assert_eq!(subtree(&leaves(&records), 0).hash(), root, "{count} {crowded}");
        }
    }

    #[test]
    fn parts_of_any_depth_join_to_the_root() {
        for crowded in [false, true] {
            let leaves = leaves(&keys(300, crowded));
            let whole = subtree(&leaves, 0);
            for depth in 0..12usize {
                let mut parts: Vec<_> = (0..1usize << depth)
                    .map(|prefix| {
                        let under = |leaf: &&Leaf| {
                            (0..depth)
                                .all(|i| bit(&leaf.key, i) == (prefix >> (depth - 1 - i) & 1 == 1))
                        };
                        subtree(&leaves.iter().filter(under).copied().collect::<Vec<_>>(), depth)
                    })
                    .collect();
                while parts.len() > 1 {
                    parts = parts.chunks(2).map(|pair| join(pair[0], pair[1])).collect();
                }
                assert_eq!(parts[0], whole, "{depth}");
            }
        }
    }

    #[test]
    fn leaves_out_of_order_are_refused() {
        let leaf = |n: u8| Leaf { key: Digest([n; 32]), value: Digest::ZERO };
        for (first, second) in [(2, 1), (1, 1)] {
            let mut builder = Builder::new(0);
            builder.push(leaf(first)).unwrap();
            assert_eq!(builder.push(leaf(second)), Err(OutOfOrder));
        }
    }
}
