//! The append-only Merkle tree of RFC 9162, section 2.1, with SHA-256: over the blocks' hashes
//! (`history_root`) and over a block's transactions (`transactions_root`).

use minicbor::{Decode, Decoder, Encode, decode};
use sha2::{Digest as _, Sha256};

use crate::hash::{Digest, sha256};

/// Longest inclusion path: a tree of 2^64 leaves.
pub const MAX_PATH: usize = 64;

/// `SHA-256(0x00 || leaf)`.
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    Digest(Sha256::new().chain_update([0]).chain_update(leaf).finalize().into())
}

/// `SHA-256(0x01 || left || right)`.
#[must_use]
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest(
        Sha256::new()
            .chain_update([1])
            .chain_update(left.as_bytes())
            .chain_update(right.as_bytes())
            .finalize()
            .into(),
    )
}

/// The root over leaf hashes; SHA-256 of nothing for none.
#[must_use]
pub fn root(leaves: &[Digest]) -> Digest {
    let mut frontier = Frontier::default();
    for leaf in leaves {
        frontier.push(*leaf);
    }
    frontier.root()
}

/// The inclusion path of leaf `index`, from the leaf up (RFC 9162, section 2.1.3.1); none when
/// there is no such leaf.
#[must_use]
pub fn path(leaves: &[Digest], index: usize) -> Option<Vec<Digest>> {
    if index >= leaves.len() {
        return None;
    }
    let (mut leaves, mut index, mut path) = (leaves, index, Vec::new());
    while leaves.len() > 1 {
        let (left, right) = leaves.split_at(split(leaves.len()));
        if index < left.len() {
            path.push(root(right));
            leaves = left;
        } else {
            path.push(root(left));
            index -= left.len();
            leaves = right;
        }
    }
    path.reverse();
    Some(path)
}

/// The root that a leaf, its place and its path lead to (RFC 9162, section 2.1.3.2); none when
/// the path does not fit a tree of `size` leaves.
#[must_use]
pub fn root_from_path(leaf: Digest, index: u64, size: u64, path: &[Digest]) -> Option<Digest> {
    if index >= size || path.len() > MAX_PATH {
        return None;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = leaf;
    for sibling in path {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// The largest power of two smaller than `n`, which is at least 2.
fn split(n: usize) -> usize {
    1 << (usize::BITS - 1 - (n - 1).leading_zeros())
}

/// What must be kept of a tree to append to it: the roots of its complete subtrees, largest
/// first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode)]
pub struct Frontier {
    #[n(0)]
    size: u64,
    #[n(1)]
    peaks: Vec<Digest>,
}

impl Frontier {
    /// How many leaves the tree has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf's hash.
    pub fn push(&mut self, leaf: Digest) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            let left = self.peaks.pop().expect("a peak for each one in the size's binary form");
            hash = node_hash(&left, &hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => sha256(b""),
            Some(last) => peaks.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

impl<'b, C> Decode<'b, C> for Frontier {
    /// Refuses a frontier of another size than its roots make: it could not be appended to.
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let refuse = |why: &str| decode::Error::message(why).at(at);
        if d.array()? != Some(2) {
            return Err(refuse("a frontier is an array of size and roots"));
        }
        let size = d.u64()?;
        let peaks: Vec<Digest> = d.decode_with(ctx)?;
        if peaks.len() != size.count_ones() as usize || size == u64::MAX {
            return Err(refuse("a frontier has one root for each one in its size's binary form"));
        }
        Ok(Self { size, peaks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_of_every_small_tree_has_a_path_to_its_root_and_to_no_other() {
        for size in 1..=33usize {
            let leaves: Vec<_> = (0..size).map(|i| leaf_hash(&[i as u8])).collect();
            let expected = root(&leaves);
            for index in 0..size {
                let path = path(&leaves, index).unwrap();
                let lead = |i: usize| root_from_path(leaves[index], i as u64, size as u64, &path);
                assert_eq!(lead(index), Some(expected), "leaf {index} of {size}");
                for other in (0..size).filter(|o| *o != index) {
                    assert_ne!(lead(other), Some(expected), "leaf {index} of {size} as {other}");
                }
            }
        }
    }

    #[test]
    fn known_roots() {
        assert_eq!(root(&[]), sha256(b""));
        assert_eq!(root(&[leaf_hash(b"")]), leaf_hash(b""));
        let [a, b, c] = [leaf_hash(b"a"), leaf_hash(b"b"), leaf_hash(b"c")];
        assert_eq!(root(&[a, b, c]), node_hash(&node_hash(&a, &b), &c));
    }

    #[test]
    fn a_frontier_reads_back_and_one_that_cannot_be_appended_to_is_refused() {
        let mut frontier = Frontier::default();
        for i in 0..11 {
            let bytes = crate::codec::encode(&frontier);
            assert_eq!(crate::codec::decode::<Frontier>(&bytes, 512).as_ref(), Ok(&frontier));
            frontier.push(leaf_hash(&[i]));
        }
        let check = |size, peaks: usize| {
            let damaged = Frontier { size, peaks: vec![leaf_hash(b""); peaks] };
            let bytes = crate::codec::encode(&damaged);
            assert!(crate::codec::decode::<Frontier>(&bytes, 4096).is_err(), "{size} {peaks}");
        };
        check(1, 0);
        check(0, 1);
        check(7, 2);
        check(8, 2);
        check(u64::MAX, 64);
    }
}
