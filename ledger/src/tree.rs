//! The authenticated map: a sparse Merkle tree in pages, with the hashing of the `jmt` crate.
//!
//! The tree is binary and addressed by the bits of a key; a subtree with one leaf *is* that leaf.
//! So its root, and every proof, is a function of what is in the map alone. It rests in *pages*
//! ([`page`]): the few leaves of a small subtree are one page, the upper levels of a large one are
//! another. Which pages there are follows from the leaves as well, so two databases of one state
//! are equal byte by byte, whatever was written and removed before.
//!
//! The tree holds hashes only; the records stand elsewhere. No page is believed before its hash is
//! the one that the page above names, and for the topmost one the caller: a page that is missing or
//! altered is an error, and never an empty tree.
//!
//! [`update`] changes the map, [`prove`] shows a place of it, [`whole`] makes it from all its leaves,
//! [`Memory`] keeps it without a database.

pub mod page;
pub mod whole;

mod grow;
mod memory;
mod prove;

use std::sync::Arc;

use thiserror::Error;

use crate::{
    hash::{DIGEST_LEN, Digest, sha256},
    state_proof::{INNER_PREFIX, LEAF_PREFIX, PLACEHOLDER},
};

pub use grow::{Hands, OneByOne, TreeUpdate, update, update_with};
pub use memory::Memory;
pub use page::{Page, PageKey};
pub use prove::prove;

use page::{Bucket, Inner};

/// Where the pages rest.
pub trait PageStore: Sync {
    /// The page at `key`, if there is one. The page above names `hash`: a store that remembers
    /// pages may give one that it remembers if that is its hash, and must read it otherwise.
    ///
    /// # Errors
    ///
    /// What the store says when it cannot tell, or when what rests there is no page.
    fn page(&self, key: &PageKey, hash: &Digest) -> Result<Option<Page>, StoreError>;
}

/// The store could not answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the state tree cannot be read: {0}")]
pub struct StoreError(pub String);

/// Why the tree could not be read or written. All of them mean a broken database.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TreeError {
    /// The tree does not have the root that the tip's header names.
    #[error("the state tree has root {found}, the tip names {expected}")]
    WrongRoot {
        /// The root that it has; the placeholder for none.
        found: Digest,
        /// The root that it should have.
        expected: Digest,
    },
    /// A page that the page above it names is not there.
    #[error("the state tree is damaged: page {0} is missing")]
    Missing(PageKey),
    /// A page has another hash than the page above it names.
    #[error("the state tree is damaged: page {0} is not the one that the page above it names")]
    OtherPage(PageKey),
    /// A page has the right hash, and is not of the kind and size that the page above it names.
    #[error("the state tree is damaged: page {0} is of another kind than the page above it names")]
    OtherKind(PageKey),
    /// The store could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A key of the map, and the hash of the record that is to stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The key in the map.
    pub key: Digest,
    /// SHA-256 of the record; none to remove it.
    pub value: Option<Digest>,
}

impl Change {
    /// Writes `record` under `key`, or with none removes what stands there.
    #[must_use]
    pub fn new(key: Digest, record: Option<&[u8]>) -> Self {
        Self { key, value: record.map(sha256) }
    }
}

/// A block has thousands of these, and one call for all the bytes of a node takes the least time.
fn hash(prefix: &[u8], left: &Digest, right: &Digest) -> Digest {
    const MOST: usize = INNER_PREFIX.len() + 2 * DIGEST_LEN;
    const _: () = assert!(LEAF_PREFIX.len() <= INNER_PREFIX.len());
    let mut bytes = [0; MOST];
    let (own, digests) = bytes.split_at_mut(prefix.len());
    own.copy_from_slice(prefix);
    digests[..DIGEST_LEN].copy_from_slice(&left.0);
    digests[DIGEST_LEN..2 * DIGEST_LEN].copy_from_slice(&right.0);
    sha256(&bytes[..prefix.len() + 2 * DIGEST_LEN])
}

/// The topmost page, if the tree has the root that is expected; none when that of the empty tree
/// is expected and there is no page.
fn root<S: PageStore>(store: &S, expected: Digest) -> Result<Option<Page>, TreeError> {
    let page = store.page(&PageKey::ROOT, &expected)?;
    let found = page.as_ref().map_or(PLACEHOLDER, Page::hash);
    if found == expected { Ok(page) } else { Err(TreeError::WrongRoot { found, expected }) }
}

fn load<S: PageStore>(store: &S, at: PageKey, hash: &Digest) -> Result<Page, TreeError> {
    match store.page(&at, hash)? {
        None => Err(TreeError::Missing(at)),
        Some(page) if page.hash() != *hash => Err(TreeError::OtherPage(at)),
        Some(page) => Ok(page),
    }
}

fn inner<S: PageStore>(store: &S, at: PageKey, hash: &Digest) -> Result<Arc<Inner>, TreeError> {
    match load(store, at, hash)? {
        Page::Inner(page) => Ok(page),
        Page::Bucket(_) => Err(TreeError::OtherKind(at)),
    }
}

fn bucket<S: PageStore>(
    store: &S,
    at: PageKey,
    count: u8,
    hash: &Digest,
) -> Result<Bucket, TreeError> {
    match load(store, at, hash)? {
        Page::Bucket(page) if page.leaves().len() == usize::from(count) => Ok(page),
        _ => Err(TreeError::OtherKind(at)),
    }
}

#[cfg(test)]
mod tests;
