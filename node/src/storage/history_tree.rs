//! The tree over all blocks' hashes (RFC 9162), kept so that a path through it costs a few reads
//! instead of all headers.
//!
//! Only complete subtrees of two leaves and more rest here: one more small entry a block on
//! average, and none ever changes. Leaves are the headers themselves (but for one that a snapshot
//! may have left behind), and what is incomplete is hashed when it is asked for. What the tree is for: `docs/spec/trust-bundle.md`.

use rocksdb::WriteBatch;
use symbolon_ledger::{
    block::{Header, header_hash},
    codec,
    hash::{DIGEST_LEN, Digest},
    inclusion::{INCLUSION_VERSION, Inclusion},
    log::{self, Frontier, Subtree},
};

use super::{StorageError, Store, View, schema::cf};

/// Key of a subtree: its level, and its number in its level.
fn key(place: Subtree) -> [u8; 9] {
    let mut key = [0; 9];
    key[0] = u8::try_from(place.level).expect("a tree of 2^64 leaves has 64 levels");
    key[1..].copy_from_slice(&place.index.to_be_bytes());
    key
}

impl Store {
    /// Writes subtrees: those that a block completes, or those that a snapshot begins with.
    pub(super) fn put_subtrees(&self, batch: &mut WriteBatch, completed: &[(Subtree, Digest)]) {
        for (place, hash) in completed {
            batch.put_cf(self.cf(cf::HISTORY_TREE), key(*place), hash.as_bytes());
        }
    }
}

impl View<'_> {
    /// The inclusion of block `height` under `head`: none unless `height < head`, and `head` is
    /// not past the tip. Its bytes never change.
    ///
    /// # Errors
    ///
    /// [`StorageError`], also when the tree does not lead to the root that the header of `head`
    /// names.
    pub fn inclusion(&self, height: u64, head: u64) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(path) = self.history_path(height, head)? else { return Ok(None) };
        let (Some(header), Some(later)) = (self.header_bytes(height)?, self.header_bytes(head)?)
        else {
            return Ok(None);
        };
        let later = Header::decode(&later)
            .map_err(|e| StorageError::damaged(format!("header {head}: {e}")))?;
        let leaf = log::leaf_hash(header_hash(&header).as_bytes());
        if log::root_from_path(leaf, height, head, &path) != Some(later.history_root) {
            let what = format!("the history of block {head} does not lead to its history_root");
            return Err(StorageError::damaged(what));
        }
        let inclusion =
            Inclusion { version: INCLUSION_VERSION, header: header.into(), size: head, path };
        Ok(Some(codec::encode(&inclusion)))
    }

    /// What must be kept of the tree over the first `size` blocks to append to it.
    ///
    /// # Errors
    ///
    /// [`StorageError`], also when the blocks before are not known here.
    pub fn frontier_at(&self, size: u64) -> Result<Frontier, StorageError> {
        let peaks = Frontier::places(size).map(|place| self.subtree(place));
        let peaks = peaks.collect::<Result<_, _>>()?;
        Frontier::from_peaks(size, peaks)
            .ok_or_else(|| StorageError::damaged("a tree over more blocks than there can be"))
    }

    fn history_path(&self, height: u64, head: u64) -> Result<Option<Vec<Digest>>, StorageError> {
        if head > self.tip().height {
            return Ok(None);
        }
        log::path_from(height, head, |place| self.subtree(place))
    }

    fn subtree(&self, place: Subtree) -> Result<Digest, StorageError> {
        let missing = || {
            let Subtree { level, index } = place;
            StorageError::damaged(format!("subtree {index} of level {level} of the history"))
        };
        if place.level == 0
            && let Some(header) = self.header_bytes(place.index)?
        {
            return Ok(log::leaf_hash(header_hash(&header).as_bytes()));
        }
        let bytes = self.get(cf::HISTORY_TREE, &key(place))?.ok_or_else(missing)?;
        let hash: [u8; DIGEST_LEN] = bytes.try_into().map_err(|_| missing())?;
        Ok(Digest(hash))
    }
}
