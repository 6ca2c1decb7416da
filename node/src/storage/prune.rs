//! Forgetting: what a node with a window of blocks removes, and what it keeps for ever.
//!
//! Blocks, their certificates and the way from a block's hash to it go. Headers stay, and the tree
//! over them, so that any old receipt or proof can still be shown to be in the chain's history;
//! so do the certificates of blocks that changed the validator set, of which trust bundles are
//! made, the numbers of transactions, and the events of licences. Which answers follow from that
//! stands in `docs/operating/history.md`, and when it is done in `crate::keeper`.
//!
//! Readers hold snapshots of the database, so nothing is taken away under them.

use std::path::Path;

use rocksdb::WriteBatch;
use symbolon_ledger::{block::header_hash, codec::local, transaction::VALIDITY_WINDOW};

use super::{
    DATABASE, StorageError, Store, View,
    schema::{Kept, MAX_LOCAL_VALUE, cf, height_key, meta},
    synced,
};

/// How many of the newest blocks have their transactions' leaves kept: the window in which a
/// transaction may be valid, which a snapshot carries.
pub const LEAVES_KEPT: u64 = VALIDITY_WINDOW;
/// Most blocks forgotten in one batch: their hashes are read one by one.
const MAX_STEP: u64 = 100_000;

/// What was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// How many blocks.
    pub blocks: u64,
    /// The first block that is left.
    pub from: u64,
    /// Bytes of the database's files before.
    pub bytes_before: u64,
    /// Bytes of the database's files after.
    pub bytes_after: u64,
}

impl Store {
    /// Forgets the blocks before `from`, at most [`MAX_STEP`] of them, and gives their space back
    /// to the disk; none when they are forgotten already. The tip is never forgotten.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn prune(&self, from: u64) -> Result<Option<Pruned>, StorageError> {
        let view = self.view()?;
        let mut kept = view.kept()?;
        let first = kept.blocks.max(1);
        let from = from.min(view.tip().height).min(first.saturating_add(MAX_STEP));
        if from <= first {
            return Ok(None);
        }
        let bytes_before = self.disk_bytes()?;
        let mut batch = WriteBatch::default();
        for height in first..from {
            let header = view.header_bytes(height)?;
            let header = header.ok_or_else(|| StorageError::damaged(format!("header {height}")))?;
            batch.delete_cf(self.cf(cf::HEIGHTS), header_hash(&header).as_bytes());
        }
        batch.delete_range_cf(self.cf(cf::BLOCKS), height_key(first), height_key(from));
        let mut begin = first;
        for change in view.set_changes(first, from)?.into_iter().chain([from]) {
            let (begins, ends) = (height_key(begin), height_key(change));
            batch.delete_range_cf(self.cf(cf::CERTIFICATES), begins, ends);
            begin = change.saturating_add(1);
        }
        kept.blocks = from;
        batch.put_cf(self.cf(cf::META), meta::KEPT, local::encode(&kept));
        drop(view);
        self.db.write_opt(batch, &synced())?;
        // The log of writes has the blocks, too, until no family needs it any more.
        self.flush_all()?;
        for family in [cf::BLOCKS, cf::CERTIFICATES] {
            let (begins, ends) = (height_key(first), height_key(from));
            self.db.compact_range_cf(self.cf(family), Some(begins), Some(ends));
        }
        self.db.compact_range_cf(self.cf(cf::HEIGHTS), None::<&[u8]>, None::<&[u8]>);
        let bytes_after = self.disk_bytes()?;
        Ok(Some(Pruned { blocks: from - first, from, bytes_before, bytes_after }))
    }

    /// Forgets the leaves of blocks that no snapshot will carry any more.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn trim_leaves(&self) -> Result<(), StorageError> {
        let tip = *self.commits().borrow();
        let end = tip.saturating_add(1).saturating_sub(LEAVES_KEPT);
        if end > 0 {
            let mut batch = WriteBatch::default();
            batch.delete_range_cf(self.cf(cf::LEAVES), height_key(0), height_key(end));
            self.db.write(batch)?;
        }
        Ok(())
    }

    fn flush_all(&self) -> Result<(), StorageError> {
        cf::ALL.iter().try_for_each(|name| Ok(self.db.flush_cf(self.cf(name))?))
    }

    /// Merges all files of the database, as it does by itself in the long run: then its size says
    /// what is in it.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn compact(&self) -> Result<(), StorageError> {
        self.flush_all()?;
        for name in cf::ALL {
            self.db.compact_range_cf(self.cf(name), None::<&[u8]>, None::<&[u8]>);
        }
        Ok(())
    }

    /// Bytes of the sorted files of each column family.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn family_bytes(&self) -> Result<Vec<(&'static str, u64)>, StorageError> {
        let files = self.db.live_files()?;
        let of = |name: &str| {
            let ours = files.iter().filter(|file| file.column_family_name == name);
            ours.map(|file| file.size as u64).sum()
        };
        Ok(cf::ALL.iter().map(|name| (*name, of(name))).collect())
    }

    /// Bytes of the database's files.
    ///
    /// # Errors
    ///
    /// [`StorageError::Folder`] when they cannot be listed.
    pub fn disk_bytes(&self) -> Result<u64, StorageError> {
        let path = self.folder.join(DATABASE);
        bytes_in(&path).map_err(|source| StorageError::Folder { path, source })
    }
}

/// Bytes of the files in a folder. A file that goes meanwhile counts as none.
fn bytes_in(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0u64;
    for entry in std::fs::read_dir(folder)? {
        let length = entry?.metadata().map_or(0, |m| if m.is_file() { m.len() } else { 0 });
        bytes = bytes.saturating_add(length);
    }
    Ok(bytes)
}

impl View<'_> {
    /// From which heights on this node has the past.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn kept(&self) -> Result<Kept, StorageError> {
        let Some(bytes) = self.get(cf::META, meta::KEPT)? else { return Ok(Kept::default()) };
        local::decode(&bytes, MAX_LOCAL_VALUE)
            .map_err(|e| StorageError::damaged(format!("the record of what is kept: {e}")))
    }

    /// The leaves of a block's transactions, 64 bytes each; none when they are not kept.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn leaves(&self, height: u64) -> Result<Option<Vec<u8>>, StorageError> {
        self.get(cf::LEAVES, &height_key(height))
    }

    /// Heights from `first` to `end - 1` whose block changed the validator set.
    fn set_changes(&self, first: u64, end: u64) -> Result<Vec<u64>, StorageError> {
        let mut heights = Vec::new();
        for entry in self.scan_from(cf::VALIDATOR_SETS, &[], &height_key(first)) {
            let (key, _) = entry?;
            let key = key[..].try_into();
            let height = key.map(u64::from_be_bytes);
            let height = height.map_err(|_| StorageError::damaged("a validator set's height"))?;
            if height >= end {
                break;
            }
            heights.push(height);
        }
        Ok(heights)
    }
}

#[cfg(test)]
mod tests {
    use symbolon_genesis::presets;
    use tempfile::TempDir;

    use super::*;
    use crate::storage::tests::grow;

    #[test]
    fn what_is_forgotten_is_gone_and_what_bundles_and_inclusions_need_is_kept() {
        let genesis = presets::devnet_from_seed(4, &[1; 32], 1_700_000_000_000, 1).0;
        let other = presets::devnet_from_seed(4, &[9; 32], 1_700_000_000_000, 1).0.validator_set();
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path(), &genesis).unwrap();
        for height in 1..=40 {
            grow(&store, (height == 7).then_some(&other));
        }
        let before = store.view().unwrap().trust_bundle().unwrap();
        let inclusion = store.view().unwrap().inclusion(3, 39).unwrap();
        assert_eq!(store.prune(1).unwrap(), None);
        let pruned = store.prune(30).unwrap().unwrap();
        assert_eq!((pruned.blocks, pruned.from), (29, 30));
        assert_eq!(store.prune(30).unwrap(), None);
        let view = store.view().unwrap();
        assert_eq!(view.kept().unwrap(), Kept { blocks: 30, ..Kept::default() });
        for height in 0..=40 {
            let kept = height == 0 || height >= 30;
            assert_eq!(view.block_bytes(height).unwrap().is_some(), kept, "{height}");
            let certified = height == 7 || height >= 30;
            assert_eq!(view.certificate_bytes(height).unwrap().is_some(), certified, "{height}");
            let header = view.header_bytes(height).unwrap().unwrap();
            assert_eq!(store.body(&header_hash(&header)).unwrap().is_some(), kept, "{height}");
        }
        assert_eq!(view.trust_bundle().unwrap(), before);
        assert_eq!(view.inclusion(3, 39).unwrap(), inclusion);
        drop(view);
        // The tip stays, whatever is asked for.
        assert_eq!(store.prune(u64::MAX).unwrap().unwrap().from, 40);
        grow(&store, None);
        assert!(store.view().unwrap().block(40).unwrap().is_some());
    }

    #[test]
    fn forgotten_blocks_give_their_bytes_back_to_the_disk() {
        const BODY: usize = 64 * 1024;
        let genesis = presets::devnet_from_seed(4, &[1; 32], 1_700_000_000_000, 1).0;
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path(), &genesis).unwrap();
        for height in 1..=400u64 {
            grow(&store, None);
            // Bytes that no compression makes smaller, in the place of an empty block.
            let mut noise = Vec::with_capacity(BODY);
            let mut word = symbolon_ledger::hash::sha256(&height.to_be_bytes());
            while noise.len() < BODY {
                word = symbolon_ledger::hash::sha256(word.as_bytes());
                noise.extend_from_slice(word.as_bytes());
            }
            store.put_for_a_test(cf::BLOCKS, &height_key(height), &noise);
        }
        let pruned = store.prune(381).unwrap().unwrap();
        let freed = pruned.bytes_before - pruned.bytes_after;
        let forgotten = 380 * BODY as u64;
        assert!(freed > forgotten * 8 / 10, "{freed} bytes freed of {forgotten}: {pruned:?}");
        assert_eq!(pruned.bytes_after, store.disk_bytes().unwrap());
    }
}
