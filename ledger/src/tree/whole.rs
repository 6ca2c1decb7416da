//! The whole tree from all its leaves, in the order of their keys: what a node that joins by
//! snapshot makes of the records that it was given.
//!
//! [`subtree`] says what stands where all keys with some first bits are, and [`join`] what two
//! halves make: with them a part of the map is checked against its root without the rest.
//! [`Builder`] gives the pages of a tree, each once, holding few leaves at a time: the same pages
//! as those of a tree that has grown.

use super::{
    Page, PageKey, TreeError,
    grow::{Few, Grower, Part, named},
    hash,
    memory::{Memory, NOTHING},
    page::{Hashed, Node, SPAN},
};
use crate::{
    hash::Digest,
    state_proof::{INNER_PREFIX, LEAF_PREFIX, PLACEHOLDER},
};

/// Bits of a key.
pub const KEY_BITS: usize = 256;
/// Depth of the parts of which a [`Builder`] makes the tree. It holds the leaves of one part: with
/// hashes as keys a few hundred of a million, of which each takes 96 bytes.
const PARTS: usize = 2 * SPAN;

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

/// The leaves were not given in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the leaves of a tree must come in ascending order, each key once")]
pub struct OutOfOrder;

/// Makes a tree from its leaves.
#[derive(Debug)]
pub struct Builder {
    grower: Grower<'static, Memory>,
    /// The leaves of the newest part.
    newest: Vec<Hashed>,
    /// The parts before it that have leaves.
    parts: Vec<(PageKey, Part)>,
}

impl Default for Builder {
    fn default() -> Self {
        Self { grower: Grower::new(&NOTHING), newest: Vec::new(), parts: Vec::new() }
    }
}

/// Parts in the order of their places.
type Parts = std::iter::Peekable<std::vec::IntoIter<(PageKey, Part)>>;

const NOTHING_IS_READ: &str = "a tree that is made from its leaves reads no page";

impl Builder {
    /// Takes the next leaf.
    ///
    /// # Errors
    ///
    /// [`OutOfOrder`].
    pub fn push(&mut self, leaf: Leaf) -> Result<(), OutOfOrder> {
        if let Some(before) = self.newest.last() {
            if before.leaf.key >= leaf.key {
                return Err(OutOfOrder);
            }
            if place_of(before) != PageKey::on_the_way(&leaf.key, PARTS) {
                self.close();
            }
        }
        self.newest.push(leaf.into());
        Ok(())
    }

    /// The pages that became complete since the last call.
    pub fn take(&mut self) -> Vec<(PageKey, Page)> {
        std::mem::take(&mut self.grower.pages.put)
    }

    /// The root, and the last pages.
    #[must_use]
    pub fn finish(mut self) -> (Digest, Vec<(PageKey, Page)>) {
        self.close();
        let mut parts = std::mem::take(&mut self.parts).into_iter().peekable();
        let part = assemble(&mut self.grower, PageKey::ROOT, &mut parts, &mut Vec::new());
        let mut node = Node::EMPTY;
        let root = self.grower.settle(part.expect(NOTHING_IS_READ), PageKey::ROOT, &mut node);
        (root, self.take())
    }

    /// Puts down the newest part.
    fn close(&mut self) {
        let leaves = std::mem::take(&mut self.newest);
        let Some(first) = leaves.first() else { return };
        let place = place_of(first);
        // Its name in the page above is written when that page is made.
        let part = self.grower.build(place, &leaves, &mut Vec::new());
        self.parts.push((place, part.expect(NOTHING_IS_READ)));
    }
}

fn place_of(hashed: &Hashed) -> PageKey {
    PageKey::on_the_way(&hashed.leaf.key, PARTS)
}

/// Makes what stands at `at` of the parts under it.
fn assemble(
    grower: &mut Grower<'static, Memory>,
    at: PageKey,
    parts: &mut Parts,
    out: &mut Vec<Node>,
) -> Result<Part, TreeError> {
    if at.depth() < PARTS {
        return grower.levels(at, out, |grower, at, _, out| assemble(grower, at, parts, out));
    }
    let part = parts.next_if(|(place, _)| *place == at);
    Ok(named(part.map_or(Part::Few(Few::Nothing), |(_, part)| part), out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hash::sha256, tree::tests::leaves_of};

    #[test]
    fn parts_of_any_depth_join_to_the_root() {
        for crowded in [false, true] {
            let leaves = leaves_of(300, crowded);
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
            let mut builder = Builder::default();
            builder.push(leaf(first)).unwrap();
            assert_eq!(builder.push(leaf(second)), Err(OutOfOrder));
        }
    }

    #[test]
    fn the_builder_leads_to_the_root_of_the_leaves_and_an_empty_one_to_none() {
        assert_eq!(Builder::default().finish(), (PLACEHOLDER, Vec::new()));
        let only = Leaf { key: sha256(b"key"), value: sha256(b"record") };
        for leaves in [vec![only], leaves_of(17, true), leaves_of(3_000, false)] {
            let mut builder = Builder::default();
            leaves.iter().for_each(|leaf| builder.push(*leaf).unwrap());
            assert_eq!(builder.finish().0, subtree(&leaves, 0).hash());
        }
    }
}
