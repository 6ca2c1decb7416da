//! Pages of the tree: which parts of it lie together, and their bytes.
//!
//! A place of the tree is a [`PageKey`]: the bits that lead to it. Two kinds of pages stand at
//! places:
//!
//! - A **bucket** has all leaves of a subtree, in ascending order, where they are at most
//!   [`BUCKET_LEAVES`] and the subtree around it has more (or there is none: the root).
//! - An **inner page** stands where more leaves lie under a depth that is a multiple of [`SPAN`]. It
//!   has the forks of the next [`SPAN`] levels, and at the end of each way: nothing, a bucket (its
//!   hash and how many leaves it has, so that two buckets are known to be one before they are read),
//!   or the hash of another inner page.
//!
//! The bytes of a bucket are [`BUCKET`], then key and value hash of each leaf. Those of an inner page
//! are [`INNER`], then its nodes, each before what is under it and left before right: [`FORK`];
//! [`EMPTY`]; the number of leaves of a bucket and its hash; [`BELOW`] and the hash of an inner page.
//! Hashes of forks are not written: they follow, and with them the page's own hash, which is checked
//! whenever a page is read. How pages change is `grow.rs`.

use std::{fmt, sync::Arc};

use data_encoding::HEXLOWER;
use thiserror::Error;

use super::{
    hash,
    whole::{KEY_BITS, Leaf, bit},
};
use crate::{
    hash::{DIGEST_LEN, Digest},
    state_proof::{INNER_PREFIX, LEAF_PREFIX, PLACEHOLDER},
};

/// Most leaves of a bucket. Each change writes one bucket and each proof reads one, so few make both
/// small: 16 are 1 KiB. Fewer would make more pages, each with a key and a place in an index.
pub const BUCKET_LEAVES: usize = 16;
/// Levels of an inner page. A change writes every inner page on its way, so high pages make that
/// much; low ones make long ways. Six levels are at most 2,176 bytes, and three pages lead to millions.
pub const SPAN: usize = 6;
/// No page stands deeper: where more leaves than a bucket takes begin with the same bits, so many
/// bits are left to tell them apart.
const DEEPEST: usize = KEY_BITS - BUCKET_LEAVES.ilog2() as usize;
/// Bytes of a leaf in a page.
const LEAF_BYTES: usize = 2 * DIGEST_LEN;

/// First byte of a bucket.
pub const BUCKET: u8 = 0;
/// First byte of an inner page.
pub const INNER: u8 = 1;
/// A way that ends where no leaf is.
pub const EMPTY: u8 = 0;
/// A way that goes on in another page, 32 bytes of whose hash follow.
pub const BELOW: u8 = 0xfe;
/// A place from which two ways go on in this page: what is on the left of it follows, then the right.
pub const FORK: u8 = 0xff;

const _: () = assert!(BUCKET_LEAVES < BELOW as usize && DEEPEST <= u8::MAX as usize);
/// An inner page with all its forks: its nodes are counted in a byte.
const MOST_NODES: usize = (2 << SPAN) - 1;
const _: () = assert!(MOST_NODES <= u8::MAX as usize);

/// A place of the tree: how many bits lead there, then these bits, filled up with zeros. In the
/// order of keys, places of one depth are neighbours.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageKey([u8; 1 + DIGEST_LEN]);

impl PageKey {
    /// Where the whole tree is.
    pub const ROOT: Self = Self([0; 1 + DIGEST_LEN]);

    /// The key's bytes: the depth, then as many whole bytes as its bits take.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0[..1 + self.depth().div_ceil(8)]
    }

    /// How many bits lead there.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0[0].into()
    }

    /// The place at `depth`, at most [`DEEPEST`], on the way to `key`.
    pub(super) fn on_the_way(key: &Digest, depth: usize) -> Self {
        let mut place = Self::ROOT;
        let (bytes, bits) = (depth / 8, depth % 8);
        place.0[1..=bytes].copy_from_slice(&key.0[..bytes]);
        if bits > 0 {
            place.0[1 + bytes] = key.0[bytes] & !(0xff >> bits);
        }
        place.0[0] = depth.try_into().expect("a depth is a byte");
        place
    }

    /// One bit further; this place is above [`DEEPEST`].
    pub(super) fn child(mut self, right: bool) -> Self {
        let depth = self.depth();
        if right {
            self.0[1 + depth / 8] |= 0x80 >> (depth % 8);
        }
        self.0[0] += 1;
        self
    }

    fn leads_to(&self, key: &Digest) -> bool {
        Self::on_the_way(key, self.depth()) == *self
    }
}

/// In hexadecimal digits, as a tool that reads the database shows it.
impl fmt::Display for PageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(self.as_bytes()))
    }
}

impl fmt::Debug for PageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageKey({self})")
    }
}

/// A leaf with its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hashed {
    pub(super) leaf: Leaf,
    pub(super) hash: Digest,
}

impl From<Leaf> for Hashed {
    fn from(leaf: Leaf) -> Self {
        Self { leaf, hash: hash(LEAF_PREFIX, &leaf.key, &leaf.value) }
    }
}

/// The two halves of the leaves at a place of this depth.
pub(super) fn halves(leaves: &[Hashed], depth: usize) -> (&[Hashed], &[Hashed]) {
    leaves.split_at(leaves.partition_point(|hashed| !bit(&hashed.leaf.key, depth)))
}

/// The hash of the place at `depth` with these leaves, in ascending order and each key once.
pub(super) fn fold(leaves: &[Hashed], depth: usize) -> Digest {
    match leaves {
        [] => PLACEHOLDER,
        [only] => only.hash,
        _ => {
            let (left, right) = halves(leaves, depth);
            fork_hash(&fold(left, depth + 1), &fold(right, depth + 1))
        }
    }
}

pub(super) fn fork_hash(left: &Digest, right: &Digest) -> Digest {
    hash(INNER_PREFIX, left, right)
}

/// All leaves of a small subtree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    leaves: Vec<Hashed>,
    hash: Digest,
}

impl Bucket {
    /// The bucket at a place of this depth.
    pub(super) fn new(leaves: Vec<Hashed>, depth: usize) -> Self {
        let hash = fold(&leaves, depth);
        Self { leaves, hash }
    }

    pub(super) fn leaves(&self) -> &[Hashed] {
        &self.leaves
    }

    pub(super) fn into_leaves(self) -> Vec<Hashed> {
        self.leaves
    }

    pub(super) fn hash(&self) -> Digest {
        self.hash
    }
}

/// What stands at a place within an inner page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) hash: Digest,
    pub(super) kind: Kind,
}

/// What kind of node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// No leaf.
    Empty,
    /// A bucket with so many leaves.
    Bucket(u8),
    /// An inner page.
    Below,
    /// Two ways; so many nodes lie on the left of it, and follow it.
    Fork(u8),
}

impl Node {
    pub(super) const EMPTY: Self = Self { hash: PLACEHOLDER, kind: Kind::Empty };
}

/// The upper levels of a large subtree: its nodes, each before what is under it, the first a fork.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inner(Vec<Node>);

impl Inner {
    /// The nodes are those of a whole page.
    pub(super) fn new(nodes: Vec<Node>) -> Self {
        Self(nodes)
    }

    pub(super) fn nodes(&self) -> &[Node] {
        &self.0
    }

    /// Its hash: that of the subtree.
    #[must_use]
    pub fn hash(&self) -> Digest {
        self.0[0].hash
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.0.capacity() * size_of::<Node>()
    }
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// All leaves of a small subtree.
    Bucket(Bucket),
    /// The upper levels of a large one.
    Inner(Arc<Inner>),
}

/// Why bytes are no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PageFlaw {
    /// They end too early.
    #[error("it ends too early")]
    Cut,
    /// More bytes than a page has.
    #[error("{0} bytes follow its end")]
    Trailing(usize),
    /// Neither kind of page.
    #[error("its first byte is {0}")]
    Kind(u8),
    /// Not a number of leaves that a bucket has.
    #[error("it has {0} bytes of leaves")]
    Size(usize),
    /// Leaves that do not ascend.
    #[error("its leaves are not in ascending order")]
    Order,
    /// Leaves of another place.
    #[error("its leaves belong elsewhere")]
    Elsewhere,
    /// A depth at which no inner page stands.
    #[error("no inner page stands at depth {0}")]
    Depth(usize),
    /// Not a kind of node.
    #[error("{0} is no kind of node")]
    Node(u8),
    /// A way that does not end at the page's last level.
    #[error("it has more levels than a page")]
    Deep,
    /// A way that goes on in another page before the last level.
    #[error("a way goes on in another page too early")]
    Early,
    /// A fork whose leaves would be a bucket.
    #[error("a fork has too few leaves")]
    Few,
}

impl Page {
    /// The hash of the subtree that stands there.
    #[must_use]
    pub fn hash(&self) -> Digest {
        match self {
            Self::Bucket(bucket) => bucket.hash,
            Self::Inner(inner) => inner.hash(),
        }
    }

    /// The page's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.encode_to(&mut bytes);
        bytes
    }

    /// The same in place of what is in `bytes`: a block writes thousands of pages, and one piece of
    /// memory does for all of them.
    pub fn encode_to(&self, bytes: &mut Vec<u8>) {
        bytes.clear();
        match self {
            Self::Bucket(bucket) => {
                bytes.reserve(1 + LEAF_BYTES * bucket.leaves.len());
                bytes.push(BUCKET);
                for Hashed { leaf, .. } in &bucket.leaves {
                    bytes.extend_from_slice(&leaf.key.0);
                    bytes.extend_from_slice(&leaf.value.0);
                }
            }
            Self::Inner(inner) => {
                // Every second node, and one more, is the end of a way.
                let nodes = inner.0.len();
                bytes.reserve(1 + nodes + (nodes / 2 + 1) * DIGEST_LEN);
                bytes.push(INNER);
                for node in &inner.0 {
                    match node.kind {
                        Kind::Empty => bytes.push(EMPTY),
                        Kind::Fork(_) => bytes.push(FORK),
                        Kind::Bucket(count) => put(bytes, count, &node.hash),
                        Kind::Below => put(bytes, BELOW, &node.hash),
                    }
                }
            }
        }
    }

    /// Reads what rests at `at`, and computes its hash.
    ///
    /// # Errors
    ///
    /// [`PageFlaw`].
    pub fn decode(at: &PageKey, bytes: &[u8]) -> Result<Self, PageFlaw> {
        match bytes.split_first() {
            None => Err(PageFlaw::Cut),
            Some((&BUCKET, leaves)) => Ok(Self::Bucket(read_bucket(at, leaves)?)),
            Some((&INNER, nodes)) => Ok(Self::Inner(Arc::new(read_inner(at, nodes)?))),
            Some((&other, _)) => Err(PageFlaw::Kind(other)),
        }
    }
}

fn put(bytes: &mut Vec<u8>, tag: u8, hash: &Digest) {
    bytes.push(tag);
    bytes.extend_from_slice(&hash.0);
}

fn read_bucket(at: &PageKey, bytes: &[u8]) -> Result<Bucket, PageFlaw> {
    let (halves, rest) = bytes.as_chunks::<DIGEST_LEN>();
    let count = halves.len() / 2;
    if !rest.is_empty() || halves.len() % 2 == 1 || !(1..=BUCKET_LEAVES).contains(&count) {
        return Err(PageFlaw::Size(bytes.len()));
    }
    let leaf = |pair: &[[u8; DIGEST_LEN]]| Leaf { key: Digest(pair[0]), value: Digest(pair[1]) };
    let leaves: Vec<Hashed> = halves.chunks(2).map(|pair| leaf(pair).into()).collect();
    if !leaves.is_sorted_by(|a, b| a.leaf.key < b.leaf.key) {
        return Err(PageFlaw::Order);
    }
    // What lies between two leaves of a place lies there, too.
    let ends = [&leaves[0], &leaves[count - 1]];
    if !ends.iter().all(|hashed| at.leads_to(&hashed.leaf.key)) {
        return Err(PageFlaw::Elsewhere);
    }
    Ok(Bucket::new(leaves, at.depth()))
}

fn read_inner(at: &PageKey, bytes: &[u8]) -> Result<Inner, PageFlaw> {
    let depth = at.depth();
    if !depth.is_multiple_of(SPAN) || depth >= DEEPEST {
        return Err(PageFlaw::Depth(depth));
    }
    // At least a tag a node, and most of them a hash for every second one.
    let guess = (2 * bytes.len() / DIGEST_LEN).min(MOST_NODES);
    let mut reader = Reader { rest: bytes, nodes: Vec::with_capacity(guess), bottom: depth + SPAN };
    if reader.node(depth)? <= BUCKET_LEAVES {
        return Err(PageFlaw::Few);
    }
    match reader.rest {
        [] => Ok(Inner::new(reader.nodes)),
        rest => Err(PageFlaw::Trailing(rest.len())),
    }
}

/// An inner page that is being read.
struct Reader<'a> {
    rest: &'a [u8],
    nodes: Vec<Node>,
    /// The depth at which its last level ends.
    bottom: usize,
}

impl Reader<'_> {
    /// Reads the node at `depth` with what is under it, and says how many leaves there are: exactly
    /// while a bucket could hold them.
    fn node(&mut self, depth: usize) -> Result<usize, PageFlaw> {
        let (&tag, rest) = self.rest.split_first().ok_or(PageFlaw::Cut)?;
        self.rest = rest;
        match tag {
            EMPTY => self.nodes.push(Node::EMPTY),
            FORK => return self.fork(depth),
            BELOW if depth < self.bottom => return Err(PageFlaw::Early),
            BELOW => {
                let hash = self.hash()?;
                self.nodes.push(Node { hash, kind: Kind::Below });
                return Ok(BUCKET_LEAVES + 1);
            }
            count if usize::from(count) <= BUCKET_LEAVES => {
                let hash = self.hash()?;
                self.nodes.push(Node { hash, kind: Kind::Bucket(count) });
                return Ok(count.into());
            }
            other => return Err(PageFlaw::Node(other)),
        }
        Ok(0)
    }

    fn fork(&mut self, depth: usize) -> Result<usize, PageFlaw> {
        if depth >= self.bottom.min(DEEPEST) {
            return Err(PageFlaw::Deep);
        }
        let fork = self.nodes.len();
        self.nodes.push(Node::EMPTY);
        let left = self.node(depth + 1)?;
        let right = self.nodes.len();
        let leaves = left + self.node(depth + 1)?;
        if leaves <= BUCKET_LEAVES {
            return Err(PageFlaw::Few);
        }
        let hash = fork_hash(&self.nodes[fork + 1].hash, &self.nodes[right].hash);
        self.nodes[fork] = Node { hash, kind: fork_of(right - fork - 1) };
        Ok(BUCKET_LEAVES + 1)
    }

    fn hash(&mut self) -> Result<Digest, PageFlaw> {
        let (hash, rest) = self.rest.split_first_chunk().ok_or(PageFlaw::Cut)?;
        self.rest = rest;
        Ok(Digest(*hash))
    }
}

/// A fork with so many nodes on the left.
pub(super) fn fork_of(left: usize) -> Kind {
    Kind::Fork(left.try_into().expect("a page has fewer nodes than a byte counts"))
}
