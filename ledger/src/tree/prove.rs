//! Showing a place of the map: the hashes beside the way to it.

use super::{
    PageKey, PageStore, TreeError, bucket, inner,
    page::{Hashed, Kind, Page, fold, halves},
    root,
    whole::bit,
};
use crate::{
    hash::Digest,
    state_proof::{MapPath, OtherLeaf},
};

/// The way from `key` to the root, whether something stands there or not. `state_root` is the root
/// that the tree has.
///
/// # Errors
///
/// [`TreeError`].
pub fn prove<S: PageStore>(
    store: &S,
    state_root: Digest,
    key: Digest,
) -> Result<MapPath, TreeError> {
    let mut way = Way { key, at: PageKey::ROOT, siblings: Vec::new() };
    let mut page = match root(store, state_root)? {
        None => return Ok(way.end(None)),
        Some(Page::Bucket(only)) => return Ok(way.through_bucket(only.leaves())),
        Some(Page::Inner(page)) => page,
    };
    let mut place = 0;
    loop {
        let nodes = page.nodes();
        let node = nodes[place];
        match node.kind {
            Kind::Fork(left) => {
                let children = [place + 1, place + 1 + usize::from(left)];
                let right = way.turn(|right| nodes[children[usize::from(!right)]].hash);
                place = children[usize::from(right)];
            }
            Kind::Empty => return Ok(way.end(None)),
            Kind::Bucket(count) => {
                let leaves = bucket(store, way.at, count, &node.hash)?;
                return Ok(way.through_bucket(leaves.leaves()));
            }
            Kind::Below => {
                page = inner(store, way.at, &node.hash)?;
                place = 0;
            }
        }
    }
}

/// The way down to a key, as far as it has been gone.
struct Way {
    key: Digest,
    at: PageKey,
    /// From the root down.
    siblings: Vec<Digest>,
}

impl Way {
    /// Goes one level further, past the place whose hash `other` gives; says whether to the right.
    fn turn(&mut self, other: impl FnOnce(bool) -> Digest) -> bool {
        let right = bit(&self.key, self.at.depth());
        self.siblings.push(other(right));
        self.at = self.at.child(right);
        right
    }

    /// Goes to its end, within leaves that are all at the place that was reached.
    fn through_bucket(mut self, leaves: &[Hashed]) -> MapPath {
        let (mut leaves, mut depth) = (leaves, self.at.depth());
        // Bits of a key may go on where no page stands.
        while leaves.len() > 1 {
            let (left, right) = halves(leaves, depth);
            depth += 1;
            let (own, other) =
                if bit(&self.key, depth - 1) { (right, left) } else { (left, right) };
            self.siblings.push(fold(other, depth));
            leaves = own;
        }
        self.end(leaves.first())
    }

    /// The path of a way that ends at this leaf, or at none.
    fn end(mut self, leaf: Option<&Hashed>) -> MapPath {
        self.siblings.reverse();
        let other = leaf.map(|hashed| hashed.leaf).filter(|leaf| leaf.key != self.key);
        let other = other.map(|leaf| OtherLeaf { key: leaf.key, value: leaf.value });
        MapPath { siblings: self.siblings, other }
    }
}
