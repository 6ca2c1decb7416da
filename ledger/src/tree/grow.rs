//! Changing the tree: down once with all changes, and up with what they make.
//!
//! Going up, a place is a [`Part`]: few leaves, which are a bucket if the place above has more, or
//! many, whose nodes are written down already. Where two parts meet ([`Grower::fork`]) it is decided:
//! few and few that are few together are one part, everything else is a fork. So the pages are the
//! same whether leaves were added one by one, all at once (`whole.rs`), or added and removed again.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Change, Page, PageKey, PageStore, TreeError, bucket, inner,
    page::{BUCKET_LEAVES, Bucket, Hashed, Inner, Kind, Node, SPAN, fork_hash, fork_of, halves},
    root,
    whole::{Leaf, bit},
};
use crate::{hash::Digest, state_proof::PLACEHOLDER};

/// Changes from which on it pays to do parts of the tree at once: with fewer, handing them out takes
/// about as long as doing them.
const SPREAD_FROM: usize = 64;

/// What changes do to the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeUpdate {
    /// The new root.
    pub root: Digest,
    /// Pages to be written, over those that rest at their keys. No key is in both lists.
    pub put: Vec<(PageKey, Page)>,
    /// Keys of the pages to be removed. All of them are there.
    pub gone: Vec<PageKey>,
}

/// Who does parts of a piece of work that do not depend on each other.
pub trait Hands {
    /// Does `work` with each of `parts`; the results are in their order.
    fn spread<T: Send, R: Send>(&self, parts: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R>;
}

/// Does one part after the other.
#[derive(Debug, Clone, Copy)]
pub struct OneByOne;

impl Hands for OneByOne {
    fn spread<T: Send, R: Send>(&self, parts: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
        parts.into_iter().map(work).collect()
    }
}

/// What `changes`, in any order, do to the tree whose root must be `parent`: that of an empty map is
/// [`PLACEHOLDER`]. Of two changes of one key the later counts.
///
/// # Errors
///
/// [`TreeError`].
pub fn update<S: PageStore>(
    store: &S,
    parent: Digest,
    changes: Vec<Change>,
) -> Result<TreeUpdate, TreeError> {
    update_with(store, parent, changes, &OneByOne)
}

/// As [`update`], the parts under the topmost page by these hands.
///
/// # Errors
///
/// [`TreeError`].
pub fn update_with<S: PageStore>(
    store: &S,
    parent: Digest,
    changes: Vec<Change>,
    hands: &impl Hands,
) -> Result<TreeUpdate, TreeError> {
    let topmost = root(store, parent)?;
    let changes = sorted(changes);
    if changes.is_empty() {
        return Ok(TreeUpdate { root: parent, put: Vec::new(), gone: Vec::new() });
    }
    let mut grower = Grower::new(store);
    let (at, mut above) = (PageKey::ROOT, Vec::new());
    let part = match topmost {
        None => grower.build(at, &fresh(&changes), &mut above)?,
        Some(Page::Bucket(old)) => grower.refill(at, &old, &changes, &mut above)?,
        Some(Page::Inner(page)) => {
            if changes.len() >= SPREAD_FROM {
                grower.ahead(&page, &changes, hands)?;
            }
            grower.turn(at, &page, &changes)?
        }
    };
    let mut node = Node::EMPTY;
    let root = grower.settle(part, at, &mut node);
    let Pages { put, gone } = grower.pages;
    Ok(TreeUpdate { root, put, gone })
}

/// In ascending order, each key once.
fn sorted(mut changes: Vec<Change>) -> Vec<Change> {
    // The sort keeps the order of equal keys, and the first of them stays.
    changes.reverse();
    changes.sort_by_key(|change| change.key);
    changes.dedup_by_key(|change| change.key);
    changes
}

/// The leaves that changes make where there were none.
fn fresh(changes: &[Change]) -> Vec<Hashed> {
    changes.iter().filter_map(leaf_of).collect()
}

fn leaf_of(change: &Change) -> Option<Hashed> {
    Some(Leaf { key: change.key, value: change.value? }.into())
}

/// The leaves that changes make of these.
fn changed(old: &[Hashed], changes: &[Change]) -> Vec<Hashed> {
    let mut leaves = Vec::with_capacity(old.len() + changes.len());
    let mut rest = old;
    for change in changes {
        let before = rest.partition_point(|hashed| hashed.leaf.key < change.key);
        leaves.extend_from_slice(&rest[..before]);
        rest = &rest[before..];
        match rest.split_first() {
            Some((same, others)) if same.leaf.key == change.key => {
                rest = others;
                // Its hash is known.
                if change.value == Some(same.leaf.value) {
                    leaves.push(*same);
                } else {
                    leaves.extend(leaf_of(change));
                }
            }
            _ => leaves.extend(leaf_of(change)),
        }
    }
    leaves.extend_from_slice(rest);
    leaves
}

/// What stands at a place, while it is open in which page.
#[derive(Debug)]
pub(super) enum Part {
    /// As many leaves as a bucket takes, or none.
    Few(Few),
    /// More: their nodes are written down, and this is their hash.
    Many(Digest),
}

fn byte(count: usize) -> u8 {
    count.try_into().expect("a bucket has fewer leaves than a byte counts")
}

/// A bucket, or none.
#[derive(Debug)]
pub(super) enum Few {
    /// No leaf and no page.
    Nothing,
    /// It has not changed, and rests at its place.
    Kept { count: u8, hash: Digest },
    /// It is made of these leaves; `over` says whether a page rests at its place, which it replaces.
    Made { leaves: Vec<Hashed>, over: bool },
}

impl Few {
    fn count(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Kept { count, .. } => (*count).into(),
            Self::Made { leaves, .. } => leaves.len(),
        }
    }

    fn kept(bucket: &Bucket) -> Self {
        let count = bucket.leaves().len();
        Self::Kept { count: byte(count), hash: bucket.hash() }
    }

    fn made(leaves: Vec<Hashed>) -> Self {
        if leaves.is_empty() { Self::Nothing } else { Self::Made { leaves, over: false } }
    }
}

/// The pages that were changed.
#[derive(Debug, Default)]
pub(super) struct Pages {
    pub(super) put: Vec<(PageKey, Page)>,
    gone: Vec<PageKey>,
}

/// Changes a tree.
#[derive(Debug)]
pub(super) struct Grower<'a, S> {
    store: &'a S,
    pub(super) pages: Pages,
    /// Parts under the topmost page that are done.
    done: BTreeMap<PageKey, Part>,
}

/// An inner page to be changed: where it is, its hash, and what changes in it.
type Task<'c> = (PageKey, Digest, &'c [Change]);

/// Collects the inner pages under a node that change.
fn tasks<'c>(at: PageKey, nodes: &[Node], changes: &'c [Change], found: &mut Vec<Task<'c>>) {
    let [node, under @ ..] = nodes else { return };
    match node.kind {
        _ if changes.is_empty() => {}
        Kind::Below => found.push((at, node.hash, changes)),
        Kind::Fork(left) => {
            let (a, b) = under.split_at(left.into());
            let (x, y) = parted(changes, at.depth());
            tasks(at.child(false), a, x, found);
            tasks(at.child(true), b, y, found);
        }
        Kind::Empty | Kind::Bucket(_) => {}
    }
}

fn parted(changes: &[Change], depth: usize) -> (&[Change], &[Change]) {
    changes.split_at(changes.partition_point(|change| !bit(&change.key, depth)))
}

impl<'a, S: PageStore> Grower<'a, S> {
    pub(super) fn new(store: &'a S) -> Self {
        Self { store, pages: Pages::default(), done: BTreeMap::new() }
    }

    /// Changes the pages right under the topmost one, which do not depend on each other.
    fn ahead(
        &mut self,
        topmost: &Inner,
        changes: &[Change],
        hands: &impl Hands,
    ) -> Result<(), TreeError> {
        let mut found = Vec::new();
        tasks(PageKey::ROOT, topmost.nodes(), changes, &mut found);
        let store = self.store;
        let done = hands.spread(found, |(at, hash, changes): Task<'_>| {
            let mut own = Grower::new(store);
            let page = inner(store, at, &hash)?;
            let part = own.turn(at, &page, changes)?;
            Ok::<_, TreeError>((at, part, own.pages))
        });
        for one in done {
            let (at, part, mut pages) = one?;
            self.done.insert(at, part);
            self.pages.put.append(&mut pages.put);
            self.pages.gone.append(&mut pages.gone);
        }
        Ok(())
    }

    /// Changes the inner page at `at`.
    fn turn(&mut self, at: PageKey, page: &Inner, changes: &[Change]) -> Result<Part, TreeError> {
        let nodes = page.nodes();
        // A bucket that is split takes the place of a node.
        let mut now = Vec::with_capacity(nodes.len() + 4);
        let part = self.node(at, nodes, changes, &mut now)?;
        match part {
            Part::Many(hash) if hash == page.hash() => {}
            Part::Many(_) => self.put_inner(at, now),
            Part::Few(Few::Made { leaves, .. }) => {
                return Ok(Part::Few(Few::Made { leaves, over: true }));
            }
            Part::Few(_) => self.pages.gone.push(at),
        }
        Ok(part)
    }

    fn put_inner(&mut self, at: PageKey, nodes: Vec<Node>) {
        self.pages.put.push((at, Page::Inner(Arc::new(Inner::new(nodes)))));
    }

    /// Changes what stands at `at`, the first of `nodes`; the others are under it.
    fn node(
        &mut self,
        at: PageKey,
        nodes: &[Node],
        changes: &[Change],
        out: &mut Vec<Node>,
    ) -> Result<Part, TreeError> {
        let (node, under) = nodes.split_first().expect("a place in a page has a node");
        match node.kind {
            Kind::Empty => self.build(at, &fresh(changes), out),
            Kind::Bucket(count) if changes.is_empty() => {
                Ok(Part::Few(Few::Kept { count, hash: node.hash }))
            }
            Kind::Bucket(count) => {
                let old = bucket(self.store, at, count, &node.hash)?;
                self.refill(at, &old, changes, out)
            }
            Kind::Below | Kind::Fork(_) if changes.is_empty() => {
                out.extend_from_slice(nodes);
                Ok(Part::Many(node.hash))
            }
            Kind::Below => {
                let part = match self.done.remove(&at) {
                    Some(part) => part,
                    None => {
                        let page = inner(self.store, at, &node.hash)?;
                        self.turn(at, &page, changes)?
                    }
                };
                Ok(named(part, out))
            }
            Kind::Fork(left) => {
                let (a, b) = under.split_at(left.into());
                let (x, y) = parted(changes, at.depth());
                let sides = [(a, x), (b, y)];
                self.fork(at, out, |grower, at, right, out| {
                    let (nodes, changes) = sides[usize::from(right)];
                    grower.node(at, nodes, changes, out)
                })
            }
        }
    }

    /// Changes the bucket at `at`.
    fn refill(
        &mut self,
        at: PageKey,
        old: &Bucket,
        changes: &[Change],
        out: &mut Vec<Node>,
    ) -> Result<Part, TreeError> {
        let leaves = changed(old.leaves(), changes);
        if leaves == old.leaves() {
            return Ok(Part::Few(Few::kept(old)));
        }
        if leaves.is_empty() {
            self.pages.gone.push(at);
            return Ok(Part::Few(Few::Nothing));
        }
        if leaves.len() <= BUCKET_LEAVES {
            return Ok(Part::Few(Few::Made { leaves, over: true }));
        }
        // Where an inner page may stand, one takes its place.
        if !at.depth().is_multiple_of(SPAN) {
            self.pages.gone.push(at);
        }
        self.build(at, &leaves, out)
    }

    /// Puts `leaves` at `at`, where nothing is.
    pub(super) fn build(
        &mut self,
        at: PageKey,
        leaves: &[Hashed],
        out: &mut Vec<Node>,
    ) -> Result<Part, TreeError> {
        if leaves.len() <= BUCKET_LEAVES {
            return Ok(Part::Few(Few::made(leaves.to_vec())));
        }
        let (left, right) = halves(leaves, at.depth());
        let sides = [left, right];
        self.levels(at, out, |grower, at, right, out| {
            grower.build(at, sides[usize::from(right)], out)
        })
    }

    /// As [`Self::fork`], where nothing was; begins a page where one begins.
    pub(super) fn levels(
        &mut self,
        at: PageKey,
        out: &mut Vec<Node>,
        child: impl FnMut(&mut Self, PageKey, bool, &mut Vec<Node>) -> Result<Part, TreeError>,
    ) -> Result<Part, TreeError> {
        if !at.depth().is_multiple_of(SPAN) {
            return self.fork(at, out, child);
        }
        let mut nodes = Vec::new();
        let part = self.fork(at, &mut nodes, child)?;
        if let Part::Many(_) = part {
            self.put_inner(at, nodes);
        }
        Ok(named(part, out))
    }

    /// What the two sides of `at`, which `child` gives, left before right, make together.
    fn fork(
        &mut self,
        at: PageKey,
        out: &mut Vec<Node>,
        mut child: impl FnMut(&mut Self, PageKey, bool, &mut Vec<Node>) -> Result<Part, TreeError>,
    ) -> Result<Part, TreeError> {
        let fork = out.len();
        let mut side = |grower: &mut Self, right: bool, out: &mut Vec<Node>| {
            let part = child(grower, at.child(right), right, out)?;
            // It gets its node when it is clear that it stays by itself.
            if let Part::Few(_) = part {
                out.push(Node::EMPTY);
            }
            Ok::<_, TreeError>(part)
        };
        out.push(Node::EMPTY);
        let left = side(self, false, out)?;
        let middle = out.len();
        let right = side(self, true, out)?;
        let (left, right) = match (left, right) {
            (Part::Few(left), Part::Few(right))
                if left.count() + right.count() <= BUCKET_LEAVES =>
            {
                out.truncate(fork);
                let mut leaves = self.take(left, at.child(false))?;
                leaves.append(&mut self.take(right, at.child(true))?);
                return Ok(Part::Few(Few::made(leaves)));
            }
            sides => sides,
        };
        let left = self.settle(left, at.child(false), &mut out[fork + 1]);
        let right = self.settle(right, at.child(true), &mut out[middle]);
        let hash = fork_hash(&left, &right);
        out[fork] = Node { hash, kind: fork_of(middle - fork - 1) };
        Ok(Part::Many(hash))
    }

    /// The leaves of a bucket that does not stay by itself.
    fn take(&mut self, few: Few, at: PageKey) -> Result<Vec<Hashed>, TreeError> {
        match few {
            Few::Nothing => Ok(Vec::new()),
            Few::Kept { count, hash } => {
                self.pages.gone.push(at);
                Ok(bucket(self.store, at, count, &hash)?.into_leaves())
            }
            Few::Made { leaves, over } => {
                if over {
                    self.pages.gone.push(at);
                }
                Ok(leaves)
            }
        }
    }

    /// Gives a part that stays by itself its page, if it is a new bucket, and its node.
    pub(super) fn settle(&mut self, part: Part, at: PageKey, node: &mut Node) -> Digest {
        let few = match part {
            Part::Many(hash) => return hash,
            Part::Few(few) => few,
        };
        let count = byte(few.count());
        let hash = match few {
            Few::Nothing => return PLACEHOLDER,
            Few::Kept { hash, .. } => hash,
            Few::Made { leaves, .. } => {
                let page = Page::Bucket(Bucket::new(leaves, at.depth()));
                let hash = page.hash();
                self.pages.put.push((at, page));
                hash
            }
        };
        *node = Node { hash, kind: Kind::Bucket(count) };
        hash
    }
}

/// Names a part that is a page of its own in the page above.
pub(super) fn named(part: Part, above: &mut Vec<Node>) -> Part {
    if let Part::Many(hash) = part {
        above.push(Node { hash, kind: Kind::Below });
    }
    part
}
