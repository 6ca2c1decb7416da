//! A database from a snapshot: everything that a node needs to go on from its height, and nothing
//! of what was before.
//!
//! Each part is checked again while it is read, so a snapshot that has lain on a disk is believed
//! no more than one that has just come. Records come with the snapshot; the tree's pages, lineages
//! and status pages are made from them; headers, numbers of transactions and the tree over the
//! blocks from the headers carried. What licences went through before is not known afterwards
//! ([`Kept`]). The database is a node's only when its schema record is written, which is last.

use std::path::Path;

use rocksdb::{WriteBatch, WriteOptions};
use symbolon_genesis::Genesis;
use symbolon_ledger::{
    block::{Block, Header, header_hash},
    codec::{self, local},
    log::{Frontier, leaf_hash},
    records::{LicenceRecord, LineageRecord, RECORD_VERSION, Record as _},
    state::StateKey,
    tree::whole::Builder,
};
use thiserror::Error;

use super::{
    DATABASE, Entry, StorageError, Store, View, lock, mark_founded, open_database,
    schema::{Kept, Location, MAGIC, SCHEMA_VERSION, cf, height_key, meta},
    status_pages, synced,
    view::read_state_key,
};
use crate::snapshot::{
    BUNDLE, Checked, FIRST_CHUNK, Flaw, MANIFEST, Snapshot, first_header,
    manifest::{CarriedBlock, Chunk, LEAF_BYTES},
    trust::{Followed, follow},
};

/// Bytes written at once while a database is made.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// First byte of the key of a licence and its number, by which licences are neighbours.
const LICENCES: [u8; 2] = [0x82, 9];

/// Why no database was made of a snapshot.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A file of the snapshot.
    #[error("the snapshot cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// A part is missing.
    #[error("part {0} of the snapshot is missing")]
    Missing(u64),
    /// A part is not what the certified header says.
    #[error("part {part} of the snapshot: {flaw}")]
    Flaw {
        /// Its number.
        part: u64,
        /// What is wrong with it.
        flaw: Flaw,
    },
}

fn part(snapshot: &Snapshot, number: u64) -> Result<Vec<u8>, RestoreError> {
    snapshot.part(number)?.ok_or(RestoreError::Missing(number))
}

impl Store {
    /// Makes the database of a node in `folder`, which has none yet, from a snapshot. `progress`
    /// hears how many of how many chunks are done.
    ///
    /// # Errors
    ///
    /// [`RestoreError`]; what is in `folder` is then of no use.
    pub fn restore(
        folder: &Path,
        genesis: &Genesis,
        snapshot: &Snapshot,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Self, RestoreError> {
        let flaw = |part| move |flaw| RestoreError::Flaw { part, flaw };
        let followed = follow(&part(snapshot, BUNDLE)?, genesis).map_err(flaw(BUNDLE))?;
        let manifest = part(snapshot, MANIFEST)?;
        let checked = Checked::new(&manifest, &followed.header).map_err(flaw(MANIFEST))?;
        let at = |source| StorageError::Folder { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(at)?;
        let lock = lock(folder)?;
        let store = Self::around(open_database(&folder.join(DATABASE))?, genesis, folder, lock);
        let mut filling = Filling::new(&store, &checked);
        filling.trust(&followed);
        let root = genesis.state_root();
        let header = genesis.block_zero(root);
        filling.founding(&Block { header, transactions: Vec::new() });
        for chunk in 0..checked.chunks() {
            let bytes = part(snapshot, FIRST_CHUNK + chunk)?;
            match checked.chunk(chunk, &bytes).map_err(flaw(FIRST_CHUNK + chunk))? {
                Chunk::History { first, blocks } => filling.blocks(first, &blocks)?,
                Chunk::State { leaves, records } => {
                    for leaf in leaves {
                        filling.tree.push(leaf).map_err(StorageError::damaged)?;
                    }
                    filling.records(&records)?;
                }
            }
            progress(chunk + 1, checked.chunks());
        }
        filling.finish(&followed.header)?;
        let view = store.view()?;
        derive(&store, &view)?;
        drop(view);
        store.seal()?;
        store.commits.send_replace(checked.height());
        Ok(store)
    }

    /// Has all that was written on the disk, and only then says what it is.
    fn seal(&self) -> Result<(), StorageError> {
        for name in cf::ALL {
            self.db.flush_cf(self.cf(name))?;
        }
        let version = [&MAGIC[..], &SCHEMA_VERSION.to_be_bytes()].concat();
        self.db.put_cf_opt(self.cf(cf::META), meta::SCHEMA, version, &synced())?;
        mark_founded(&self.folder, self.chain_id)
    }
}

/// Writes that are on the disk only after a flush.
fn unlogged() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

/// A database that is being made.
struct Filling<'a> {
    store: &'a Store,
    batch: WriteBatch,
    tree: Builder,
    frontier: Frontier,
}

impl<'a> Filling<'a> {
    fn new(store: &'a Store, checked: &Checked) -> Self {
        let (tree, frontier) = (Builder::default(), checked.before().clone());
        let mut batch = WriteBatch::default();
        let size = frontier.size();
        let begins = Frontier::places(size).zip(frontier.peaks().iter().copied());
        store.put_subtrees(&mut batch, &begins.collect::<Vec<_>>());
        Self { store, batch, tree, frontier }
    }

    fn put(&mut self, family: &str, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.batch.put_cf(self.store.cf(family), key, value);
    }

    fn write(&mut self) -> Result<(), StorageError> {
        Ok(self.store.db.write_opt(std::mem::take(&mut self.batch), &unlogged())?)
    }

    /// What the bundle brings: the sets and the blocks that changed them, and the founding block.
    fn trust(&mut self, followed: &Followed) {
        let bundle = &followed.bundle;
        self.store.put_validators(&mut self.batch, 0, &bundle.validators);
        for change in &bundle.changes {
            let header = Header::decode(&change.header).expect("a followed bundle has headers");
            self.store.put_validators(&mut self.batch, header.height, &change.validators);
            self.put(cf::HEADERS, height_key(header.height), &change.header[..]);
            self.put(cf::CERTIFICATES, height_key(header.height), &change.certificate[..]);
        }
        if let Some(certificate) = &bundle.head.certificate {
            self.put(cf::CERTIFICATES, height_key(followed.header.height), &certificate[..]);
        }
    }

    fn blocks(
        &mut self,
        first: u64,
        blocks: &[(Header, CarriedBlock)],
    ) -> Result<(), StorageError> {
        for (height, (_, block)) in (first..).zip(blocks) {
            let hash = header_hash(&block.header);
            let completed = self.frontier.append(leaf_hash(hash.as_bytes()));
            self.store.put_subtrees(&mut self.batch, &completed);
            self.put(cf::HEADERS, height_key(height), &block.header);
            if height > 0 {
                self.put(cf::LEAVES, height_key(height), &block.leaves);
            }
            let (leaves, _) = block.leaves.as_chunks::<LEAF_BYTES>();
            for (index, leaf) in (0u32..).zip(leaves) {
                let location = local::encode(&Location { height, index });
                self.put(cf::TRANSACTIONS, &leaf[..LEAF_BYTES / 2], location);
            }
        }
        self.write()
    }

    fn records(&mut self, records: &[(Vec<u8>, Vec<u8>)]) -> Result<(), StorageError> {
        for (key, record) in records {
            self.put(cf::STATE, key, record);
        }
        for (key, page) in self.tree.take() {
            self.put(cf::PAGES, key.as_bytes(), page.encode());
        }
        if self.batch.size_in_bytes() >= BATCH_BYTES { self.write() } else { Ok(()) }
    }

    /// The last pages of the tree, and where the chain stands.
    fn finish(mut self, header: &Header) -> Result<(), StorageError> {
        let (root, pages) = std::mem::take(&mut self.tree).finish();
        // Our own invariant: each chunk was held against its place under this root.
        if root != header.state_root {
            return Err(StorageError::damaged("the tree made of a snapshot has another root"));
        }
        for (key, page) in pages {
            self.put(cf::PAGES, key.as_bytes(), page.encode());
        }
        let (height, chain) = (header.height, self.store.chain_id);
        let first = first_header(height);
        let kept = Kept { blocks: height + 1, headers: first, events: height + 1 };
        let frontier = codec::encode(&self.frontier);
        self.put(cf::META, meta::CHAIN, chain.as_bytes());
        self.put(cf::META, meta::TIP, height_key(height));
        self.put(cf::META, meta::FRONTIER, frontier);
        self.put(cf::META, meta::KEPT, local::encode(&kept));
        self.write()
    }

    /// The founding block, which every node has.
    fn founding(&mut self, block: &Block) {
        let (header, hash) = (codec::encode(&block.header), block.hash());
        self.put(cf::HEADERS, height_key(0), header);
        self.put(cf::BLOCKS, height_key(0), block.encode());
        self.put(cf::HEIGHTS, hash.as_bytes(), height_key(0));
    }
}

/// Writes what follows from the records: lineages of licences in force, and status pages.
fn derive(store: &Store, view: &View<'_>) -> Result<(), StorageError> {
    let mut batch = WriteBatch::default();
    let write = |batch: &mut WriteBatch| store.db.write_opt(std::mem::take(batch), &unlogged());
    for entry in view.entries(cf::STATE, &LICENCES) {
        let (key, licence) = read_licence(&entry?)?;
        let StateKey::Licence(newest) = key else { continue };
        if !licence.status.is_final() {
            let lineage = StateKey::Lineage(licence.agency_index, licence.lineage);
            let record = LineageRecord { version: RECORD_VERSION, newest };
            batch.put_cf(store.cf(cf::STATE), lineage.encode(), record.to_bytes());
        }
        if batch.size_in_bytes() >= BATCH_BYTES {
            write(&mut batch)?;
        }
    }
    let licences = view.entries(cf::STATE, &LICENCES);
    let licences = licences.map(|entry| Ok(read_licence(&entry?)?.1));
    status_pages::rebuild(view, licences, view.tip().height, |key, value| {
        batch.put_cf(store.cf(cf::STATUS_PAGES), key, value);
    })?;
    Ok(write(&mut batch)?)
}

fn read_licence((key, record): &Entry) -> Result<(StateKey, LicenceRecord), StorageError> {
    let key = read_state_key(key)?;
    let licence = LicenceRecord::from_bytes(record)
        .map_err(|e| StorageError::damaged(format!("record {key:?}: {e}")))?;
    Ok((key, licence))
}
