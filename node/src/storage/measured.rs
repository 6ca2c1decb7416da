//! The table of the state tree by itself, for the measurement of the authenticated map: a database
//! with this one family, and the settings, the memory and the synced batches of a node's. Nothing of
//! a node uses it.

use std::path::Path;

use rocksdb::{DB, WriteBatch};
use symbolon_ledger::{
    hash::Digest,
    state_proof::MapPath,
    tree::{self, Change, Page, PageKey, PageStore, StoreError},
};

use super::{StorageError, open_families, pages::Pages, schema::cf, synced};
use crate::execution::AllCores;

/// A database with the table of the state tree alone.
#[derive(Debug)]
pub struct Measured {
    db: DB,
    pages: Pages,
}

impl Measured {
    /// Opens it in `folder`, and makes it when there is none.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn open(folder: &Path) -> Result<Self, StorageError> {
        Ok(Self { db: open_families(folder, &[cf::PAGES])?, pages: Pages::default() })
    }

    /// Changes the map whose root is `parent`, durably, and gives its new root.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn update(&self, parent: Digest, changes: Vec<Change>) -> Result<Digest, StorageError> {
        let update = tree::update_with(self, parent, changes, &AllCores);
        let update = update.map_err(StorageError::damaged)?;
        let put = update.put.iter().map(|(key, page)| (key.as_bytes(), page.encode()));
        self.write(put, update.gone.iter().map(PageKey::as_bytes))?;
        self.pages.follow(&update);
        Ok(update.root)
    }

    /// The proof of a place.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn prove(&self, root: Digest, key: Digest) -> Result<MapPath, StorageError> {
        tree::prove(self, root, key).map_err(StorageError::damaged)
    }

    /// Bytes of memory of the pages that are remembered.
    #[must_use]
    pub fn remembered(&self) -> u64 {
        self.pages.bytes()
    }

    /// What stands at a key: for another engine than this one.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.db.get_cf(self.family(), key)?)
    }

    /// Writes and removes in one synced batch: for another engine than this one.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn write<K: AsRef<[u8]>>(
        &self,
        put: impl IntoIterator<Item = (K, Vec<u8>)>,
        gone: impl IntoIterator<Item = K>,
    ) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        for (key, value) in put {
            batch.put_cf(self.family(), key, value);
        }
        for key in gone {
            batch.delete_cf(self.family(), key);
        }
        Ok(self.db.write_opt(batch, &synced())?)
    }

    fn family(&self) -> &rocksdb::ColumnFamily {
        self.db.cf_handle(cf::PAGES).expect("it was opened with this family")
    }
}

impl PageStore for Measured {
    fn page(&self, key: &PageKey, hash: &Digest) -> Result<Option<Page>, StoreError> {
        self.pages.page(key, hash, || self.db.get_pinned_cf(self.family(), key.as_bytes()))
    }
}
