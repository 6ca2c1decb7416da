//! The append-only Merkle tree of RFC 9162, section 2.1, with SHA-256: over the blocks' hashes
//! (`history_root`) and over a block's transactions (`transactions_root`).

use minicbor::{Decode, Decoder, Encode, decode};
use sha2::{Digest as _, Sha256};

use crate::{
    hash::{Digest, sha256},
    mutants::{self, Mutant},
};

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
            .chain_update([u8::from(!mutants::is(Mutant::LeavesHashedAsNodes))])
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
/// there is no such leaf. Whoever wants several paths of one tree makes a [`Tree`].
#[must_use]
pub fn path(leaves: &[Digest], index: usize) -> Option<Vec<Digest>> {
    Tree::of(leaves.to_vec()).path(index)
}

/// All hashes of a tree, so that each path out of it only has to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The leaf hashes, then the hashes above them, up to the root. A hash without a sibling stands
    /// in the level above as it is: it is that subtree's root.
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    /// The tree over leaf hashes.
    #[must_use]
    pub fn of(leaves: Vec<Digest>) -> Self {
        let above = |level: &Vec<Digest>| -> Option<Vec<Digest>> {
            let join = |pair: &[Digest]| match pair {
                [left, right] => node_hash(left, right),
                _ => pair[0],
            };
            (level.len() > 1).then(|| level.chunks(2).map(join).collect())
        };
        Self { levels: std::iter::successors(Some(leaves), above).collect() }
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> usize {
        self.levels.first().map_or(0, Vec::len)
    }

    /// The inclusion path of leaf `index`, as [`path`].
    #[must_use]
    pub fn path(&self, index: usize) -> Option<Vec<Digest>> {
        if index >= self.size() {
            return None;
        }
        let sibling =
            |(height, level): (usize, &Vec<Digest>)| level.get((index >> height) ^ 1).copied();
        Some(self.levels.iter().enumerate().filter_map(sibling).collect())
    }
}

/// The root that a leaf, its place and its path lead to (RFC 9162, section 2.1.3.2); none when
/// the path does not fit a tree of `size` leaves.
#[must_use]
pub fn root_from_path(leaf: Digest, index: u64, size: u64, path: &[Digest]) -> Option<Digest> {
    let mut hash = leaf;
    climb(index, size, path, |on_left, sibling| {
        hash = if on_left { node_hash(sibling, &hash) } else { node_hash(&hash, sibling) };
    })?;
    Some(hash)
}

/// The root over the leaves before leaf `index`, read off that leaf's own path: what lies on the
/// left of the way are the complete subtrees of the smaller tree. So one path shows both that a
/// leaf is in the tree and that the tree has not changed before it. None when the path does not
/// fit a tree of `size` leaves.
#[must_use]
pub fn root_before(index: u64, size: u64, path: &[Digest]) -> Option<Digest> {
    let mut before = None;
    climb(index, size, path, |on_left, sibling| {
        if on_left {
            before = Some(before.map_or(*sibling, |right| node_hash(sibling, &right)));
        }
    })?;
    Some(before.unwrap_or_else(|| sha256(b"")))
}

/// Walks from a leaf to the root and says at each sibling whether it is on the left; none when
/// the path does not fit.
fn climb(
    index: u64,
    size: u64,
    path: &[Digest],
    mut pass: impl FnMut(bool, &Digest),
) -> Option<()> {
    if index >= size || path.len() > MAX_PATH {
        return None;
    }
    let (mut node, mut last) = (index, size - 1);
    for sibling in path {
        if last == 0 {
            return None;
        }
        let on_left = node & 1 == 1 || node == last;
        pass(on_left, sibling);
        if on_left {
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(())
}

/// A complete subtree: the `2^level` leaves from `index * 2^level` on. Once its leaves are there
/// it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subtree {
    /// Power of two that is its number of leaves; 0 is a leaf.
    pub level: u32,
    /// Its number among those of its level, from the left.
    pub index: u64,
}

/// The inclusion path of leaf `index` in the tree of the first `size` leaves, as [`path`] gives
/// it, from the hashes of complete subtrees: at most twice [`MAX_PATH`] of them are asked for.
/// None when there is no such leaf.
///
/// # Errors
///
/// What `hash` says.
pub fn path_from<E>(
    index: u64,
    size: u64,
    mut hash: impl FnMut(Subtree) -> Result<Digest, E>,
) -> Result<Option<Vec<Digest>>, E> {
    if index >= size {
        return Ok(None);
    }
    let (mut begin, mut end, mut path) = (0, size, Vec::new());
    while end - begin > 1 {
        let middle = begin + (1 << (end - begin - 1).ilog2());
        if index < middle {
            path.push(range_hash(middle, end, &mut hash)?);
            end = middle;
        } else {
            path.push(range_hash(begin, middle, &mut hash)?);
            begin = middle;
        }
    }
    path.reverse();
    Ok(Some(path))
}

/// The root over leaves `begin` to `end - 1`, where `begin` is where a right half begins.
fn range_hash<E>(
    mut begin: u64,
    end: u64,
    hash: &mut impl FnMut(Subtree) -> Result<Digest, E>,
) -> Result<Digest, E> {
    let mut peaks = Vec::new();
    while begin < end {
        let level = (end - begin).ilog2();
        peaks.push(hash(Subtree { level, index: begin >> level })?);
        begin += 1 << level;
    }
    Ok(bag(&peaks))
}

/// The root over complete subtrees, largest first.
fn bag(peaks: &[Digest]) -> Digest {
    let mut peaks = peaks.iter().rev();
    match peaks.next() {
        None => sha256(b""),
        Some(last) => peaks.fold(*last, |right, left| node_hash(left, &right)),
    }
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
    /// The frontier of a tree of `size` leaves with these complete subtrees, largest first; none
    /// when a tree of that size has another number of them.
    #[must_use]
    pub fn from_peaks(size: u64, peaks: Vec<Digest>) -> Option<Self> {
        let fits = peaks.len() == size.count_ones() as usize && size != u64::MAX;
        fits.then_some(Self { size, peaks })
    }

    /// The complete subtrees of a tree of `size` leaves, largest first.
    pub fn places(size: u64) -> impl Iterator<Item = Subtree> {
        let levels = (0..u64::BITS).rev().filter(move |level| size >> level & 1 == 1);
        levels.map(move |level| Subtree { level, index: (size >> level) - 1 })
    }

    /// The roots of its complete subtrees, largest first.
    #[must_use]
    pub fn peaks(&self) -> &[Digest] {
        &self.peaks
    }

    /// How many leaves the tree has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf's hash.
    pub fn push(&mut self, leaf: Digest) {
        self.append(leaf);
    }

    /// Appends a leaf's hash, and gives the subtrees that this leaf completes, itself left out:
    /// one for each leaf on average.
    pub fn append(&mut self, leaf: Digest) -> Vec<(Subtree, Digest)> {
        let mut completed = Vec::new();
        let (mut hash, mut place) = (leaf, Subtree { level: 0, index: self.size });
        for _ in 0..self.size.trailing_ones() {
            let left = self.peaks.pop().expect("a peak for each one in the size's binary form");
            hash = node_hash(&left, &hash);
            place = Subtree { level: place.level + 1, index: place.index >> 1 };
            completed.push((place, hash));
        }
        self.peaks.push(hash);
        self.size += 1;
        completed
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Digest {
        bag(&self.peaks)
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
        Self::from_peaks(size, peaks)
            .ok_or_else(|| refuse("a frontier has one root for each one in its size's binary form"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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
    fn complete_subtrees_give_every_path_of_every_size_and_the_root_before_every_leaf() {
        const LEAVES: usize = 70;
        let leaves: Vec<_> = (0..LEAVES).map(|i| leaf_hash(&[i as u8])).collect();
        let (mut frontier, mut subtrees) = (Frontier::default(), BTreeMap::new());
        for (index, leaf) in (0..).zip(&leaves) {
            subtrees.insert(Subtree { level: 0, index }, *leaf);
            subtrees.extend(frontier.append(*leaf));
            let size = frontier.size();
            let peaks = Frontier::places(size).map(|place| subtrees[&place]).collect();
            assert_eq!(Frontier::from_peaks(size, peaks).as_ref(), Some(&frontier));
            assert!(subtrees.len() <= 2 * (index as usize + 1), "one more a leaf, on average");
        }
        for size in 1..=LEAVES {
            let known = |place| subtrees.get(&place).copied().ok_or(place);
            for index in 0..size {
                let found = path_from(index as u64, size as u64, known).unwrap().unwrap();
                assert_eq!(Some(&found), path(&leaves[..size], index).as_ref());
                let before = root_before(index as u64, size as u64, &found);
                assert_eq!(before, Some(root(&leaves[..index])), "leaf {index} of {size}");
            }
            assert_eq!(path_from(size as u64, size as u64, known), Ok(None));
        }
        assert_eq!(root_before(3, 3, &[]), None);
        assert_eq!(root_before(0, 3, &[Digest::ZERO]), None);
    }

    #[test]
    fn a_subtree_that_is_missing_is_named() {
        let place = Subtree { level: 1, index: 1 };
        let missing = |at: Subtree| if at == place { Err(at) } else { Ok(Digest::ZERO) };
        assert_eq!(path_from(0, 4, missing), Err(place));
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
