//! The chain on disk: RocksDB, opened once, written by the engine alone.
//!
//! [`Store`] opens and writes; [`View`] reads, everything at one height. A block is one synced
//! batch ([`Store::commit`]): block, certificate, state, tree, indices and tip become durable
//! together or not at all. What lies where is [`schema`].

pub mod error;
pub mod schema;

mod checkpoint;
mod commit;
mod evidence;
mod history_tree;
mod incoming;
mod look;
mod measured;
mod pages;
mod proof;
mod prune;
mod recent;
mod restore;
mod standing;
mod status_pages;
mod validator_sets;
mod view;

pub use checkpoint::{
    CheckpointError, Stands, Vacant, checkpoint_folder, had_vote, remove_checkpoint, stands,
};
pub use commit::Commit;
pub use error::StorageError;
pub use evidence::{EVIDENCE_KEPT_FOR, EVIDENCE_PER_PROVINCE};
pub use incoming::Incoming;
pub use measured::Measured;
pub use proof::ProofBuilder;
pub use prune::{LEAVES_KEPT, Pruned};
pub use restore::RestoreError;
pub use schema::{EventPlace, Kept, Location};
pub use status_pages::{MAX_REWIND_BYTES, REWIND_BLOCKS, RewindError};
pub use view::{Entry, HistoryEntry, Tip, View};

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::Mutex,
};

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRecoveryMode, LiveFile, Options, WriteOptions,
};
use symbolon_genesis::Genesis;
use symbolon_ledger::hash::{BlockHash, ChainId, Digest};
use tokio::sync::watch;

use pages::Pages;
use recent::RecentTrees;
use schema::{MAGIC, SCHEMA_VERSION, cf, meta};
use standing::Newest;
use view::Depth;

/// Memory for blocks of the database read lately. Four nodes share a small machine in the
/// demonstration network.
const BLOCK_CACHE_BYTES: usize = 64 * 1024 * 1024;
/// The cache finds out by itself how large what it holds is.
const ESTIMATED_BY_ITSELF: usize = 0;
/// Memory for writes not yet sorted into files, over all column families.
const WRITE_BUFFER_BYTES: usize = 64 * 1024 * 1024;
/// Files that the database keeps open.
const MAX_OPEN_FILES: i32 = 512;
/// Background threads of the database for flushes and compactions.
const BACKGROUND_JOBS: i32 = 2;
/// Size of a piece of an index or a filter: a filter of so many bytes is over 26,000 keys, and each
/// file has few enough pieces to find one fast.
const METADATA_BLOCK_BYTES: usize = 32 * 1024;
/// Bits a key in the filters that answer "not here" without a read.
const BLOOM_BITS: f64 = 10.0;
/// Size of the filter over what is not yet in a file, as a share of the buffer: some 30 bits for a
/// record with its key. Without one, each look for what is not there searches the buffer.
const BUFFER_BLOOM: f64 = 0.02;
/// Name of the file whose lock keeps a second process out.
const LOCK_FILE: &str = "node.lock";
/// Name of the file that says that the chain was founded here.
const FOUNDED_FILE: &str = "founded";
/// Folder of the database in the data folder.
const DATABASE: &str = "rocksdb";

/// The chain on disk.
#[derive(Debug)]
pub struct Store {
    db: DB,
    chain_id: ChainId,
    commits: watch::Sender<u64>,
    fault: watch::Sender<Option<String>>,
    recent: RecentTrees,
    pages: Pages,
    newest: Newest,
    folder: PathBuf,
    /// Whoever holds it is the only one who makes a checkpoint.
    checkpoints: Mutex<()>,
    _lock: File,
}

/// A key of the database, and what stands there.
type KeyAndValue = (Box<[u8]>, Box<[u8]>);

impl Store {
    /// Opens the chain of `genesis` in `folder`, and founds it when the folder is empty.
    ///
    /// # Errors
    ///
    /// [`StorageError`]: the folder is taken, foreign, damaged, of another version or chain.
    pub fn open(folder: &Path, genesis: &Genesis) -> Result<Self, StorageError> {
        let at = |source| StorageError::Folder { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(at)?;
        let lock = lock(folder)?;
        Incoming::of(folder).take_over()?;
        // Whoever copied it is gone, or will find it gone.
        remove_checkpoint(folder).map_err(at)?;
        let path = folder.join(DATABASE);
        let fresh = !path.join("CURRENT").exists();
        if !fresh {
            check_columns(&path, folder.join(FOUNDED_FILE).exists())?;
        }
        let db = open_database(&path)?;
        check_files(&db, &path)?;
        let store = Self::around(db, genesis, folder, lock);
        if store.raw(cf::META, meta::SCHEMA)?.is_none() {
            store.found_once(genesis)?;
        }
        store.check_schema(&path)?;
        let tip = store.view()?.tip().height;
        store.commits.send_replace(tip);
        Ok(store)
    }

    fn around(db: DB, genesis: &Genesis, folder: &Path, lock: File) -> Self {
        let (commits, _) = watch::channel(0);
        let (fault, _) = watch::channel(None);
        let (chain_id, folder) = (genesis.chain_id(), folder.to_owned());
        let (recent, pages, newest) = (RecentTrees::default(), Pages::default(), Newest::default());
        let checkpoints = Mutex::default();
        Self {
            db,
            chain_id,
            commits,
            fault,
            recent,
            pages,
            newest,
            folder,
            checkpoints,
            _lock: lock,
        }
    }

    /// As [`Store::open`], and never founds.
    ///
    /// # Errors
    ///
    /// [`StorageError::Absent`] when there is no chain in `folder`.
    pub fn open_existing(folder: &Path, genesis: &Genesis) -> Result<Self, StorageError> {
        if !folder.join(DATABASE).join("CURRENT").exists() {
            return Err(StorageError::Absent(folder.to_owned()));
        }
        Self::open(folder, genesis)
    }

    /// The chain.
    #[must_use]
    pub fn chain_id(&self) -> ChainId {
        self.chain_id
    }

    /// The folder in which the chain lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The height of the newest block, which changes after each durable commit.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    /// Notes that the database cannot be trusted any more, whoever found it: the node stops. Only
    /// the first fault is kept.
    pub fn note_fault(&self, error: &StorageError) {
        tracing::error!(%error, "the database failed");
        self.fault.send_if_modified(|fault| {
            let first = fault.is_none();
            fault.get_or_insert_with(|| error.to_string());
            first
        });
    }

    /// The first fault that was noted.
    #[must_use]
    pub fn fault(&self) -> watch::Receiver<Option<String>> {
        self.fault.subscribe()
    }

    /// Everything as it stands now, at one height.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the tip cannot be read.
    pub fn view(&self) -> Result<View<'_>, StorageError> {
        View::new(self, Depth::Disk)
    }

    /// The same, of which nothing is read that the database does not have in memory: it never
    /// waits for a disk, and its errors mean nothing where [`View::has_missed`].
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the tip is not in memory, or cannot be read.
    pub fn view_of_memory(&self) -> Result<View<'_>, StorageError> {
        View::new(self, Depth::Memory)
    }

    /// Keeps a proposed block, durably: host contract 5, a body is on disk before consensus
    /// hears of it.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn keep_undecided(
        &self,
        height: u64,
        block: &BlockHash,
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        let key = schema::undecided_key(height, block);
        Ok(self.db.put_cf_opt(self.cf(cf::UNDECIDED), key, bytes, &synced())?)
    }

    /// The proposed blocks kept for `height`.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn undecided(&self, height: u64) -> Result<Vec<Vec<u8>>, StorageError> {
        Ok(self.kept_undecided(height)?.into_iter().map(|(_, bytes)| bytes.into_vec()).collect())
    }

    /// The proposed blocks kept for `height`, each with its key.
    fn kept_undecided(&self, height: u64) -> Result<Vec<KeyAndValue>, StorageError> {
        let prefix = schema::height_key(height);
        let mut kept = Vec::new();
        for item in self.db.prefix_iterator_cf(self.cf(cf::UNDECIDED), prefix) {
            let (key, bytes) = item?;
            if !key.starts_with(&prefix) {
                break;
            }
            kept.push((key, bytes));
        }
        Ok(kept)
    }

    /// A block by its hash, committed or proposed for the next height.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn body(&self, block: &BlockHash) -> Result<Option<Vec<u8>>, StorageError> {
        if let Some(height) = self.raw(cf::HEIGHTS, block.as_bytes())? {
            return self.raw(cf::BLOCKS, &height);
        }
        let next = self.commits.borrow().saturating_add(1);
        self.raw(cf::UNDECIDED, &schema::undecided_key(next, block))
    }

    #[cfg(test)]
    pub(crate) fn put_for_a_test(&self, family: &str, key: &[u8], value: &[u8]) {
        self.db.put_cf(self.cf(family), key, value).unwrap();
    }

    fn cf(&self, name: &str) -> &rocksdb::ColumnFamily {
        self.db.cf_handle(name).expect("every column family of the schema was opened")
    }

    fn raw(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.db.get_cf(self.cf(family), key)?)
    }

    /// Founds the chain, unless that was done before: then what it wrote is lost, and beginning
    /// again would silently forget a chain.
    fn found_once(&self, genesis: &Genesis) -> Result<(), StorageError> {
        let mark = self.folder.join(FOUNDED_FILE);
        if mark.exists() {
            return Err(StorageError::damaged("it is empty, and it was founded before"));
        }
        if self.db.latest_sequence_number() != 0 {
            return Err(StorageError::damaged("its schema record is missing"));
        }
        self.found(genesis)?;
        mark_founded(&self.folder, self.chain_id)
    }

    fn check_schema(&self, path: &Path) -> Result<(), StorageError> {
        let foreign = || StorageError::Foreign(path.to_owned());
        let record = self.raw(cf::META, meta::SCHEMA)?.ok_or_else(foreign)?;
        let version = record.strip_prefix(&MAGIC[..]).ok_or_else(foreign)?;
        let found = u32::from_be_bytes(version.try_into().map_err(|_| foreign())?);
        if found != SCHEMA_VERSION {
            return Err(StorageError::Schema { found });
        }
        let chain = self.raw(cf::META, meta::CHAIN)?.ok_or_else(foreign)?;
        let found = Digest(chain.try_into().map_err(|_| foreign())?);
        if found != self.chain_id {
            return Err(StorageError::OtherChain { found, expected: self.chain_id });
        }
        Ok(())
    }
}

/// Writes that are on the disk when they return.
fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

/// Says beside the database that there is a chain in it.
fn mark_founded(folder: &Path, chain: ChainId) -> Result<(), StorageError> {
    let mark = folder.join(FOUNDED_FILE);
    let write = || {
        std::fs::write(&mark, chain.to_string())?;
        File::open(&mark)?.sync_all()?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| StorageError::Folder { path: mark.clone(), source })
}

fn lock(folder: &Path) -> Result<File, StorageError> {
    let path = folder.join(LOCK_FILE);
    let file = File::create(&path)
        .map_err(|source| StorageError::Folder { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StorageError::Locked(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(StorageError::Folder { path, source }),
    }
}

/// Refuses a database with other column families before anything in it is touched. Where a chain
/// was founded, that they are not there is damage.
fn check_columns(path: &Path, founded: bool) -> Result<(), StorageError> {
    let mut found = DB::list_cf(&Options::default(), path)?;
    found.retain(|name| name != rocksdb::DEFAULT_COLUMN_FAMILY_NAME);
    let ours = |name: &String| cf::ALL.contains(&name.as_str());
    if found.iter().all(ours) && found.len() == cf::ALL.len() {
        return Ok(());
    }
    if found.iter().any(|name| name == cf::META) && found.iter().any(ours) {
        // A later version of the table may have other families; its schema record says which.
        return Err(StorageError::Schema { found: newer_schema(path, &found)? });
    }
    if founded {
        return Err(StorageError::damaged("its list of column families is lost"));
    }
    Err(StorageError::Foreign(path.to_owned()))
}

fn newer_schema(path: &Path, families: &[String]) -> Result<u32, StorageError> {
    let foreign = || StorageError::Foreign(path.to_owned());
    let db = DB::open_cf_for_read_only(&Options::default(), path, families, false)?;
    let record = db
        .cf_handle(cf::META)
        .and_then(|meta_cf| db.get_cf(meta_cf, meta::SCHEMA).transpose())
        .ok_or_else(foreign)??;
    let version = record.strip_prefix(&MAGIC[..]).ok_or_else(foreign)?;
    Ok(u32::from_be_bytes(version.try_into().map_err(|_| foreign())?))
}

fn open_database(path: &Path) -> Result<DB, StorageError> {
    open_families(path, &cf::ALL)
}

fn open_families(path: &Path, names: &[&str]) -> Result<DB, StorageError> {
    // Readers and the engine look into it at once: this kind takes no lock for that.
    let cache = Cache::new_hyper_clock_cache(BLOCK_CACHE_BYTES, ESTIMATED_BY_ITSELF);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_max_open_files(MAX_OPEN_FILES);
    options.set_max_background_jobs(BACKGROUND_JOBS);
    options.set_db_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_keep_log_file_num(4);
    // A torn last write was never acknowledged and is dropped. Damage anywhere before it is an
    // error: the default would silently go back to an older block.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    let families = names.iter().map(|name| {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&cache);
        table.set_bloom_filter(BLOOM_BITS, false);
        // Index and filter of a file are read in pieces. As a whole those of a large file take more than
        // a shard of the cache, and each look into it would read them anew.
        table.set_cache_index_and_filter_blocks(true);
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_partition_filters(true);
        table.set_metadata_block_size(METADATA_BLOCK_BYTES);
        table.set_pin_top_level_index_and_filter(true);
        let mut options = Options::default();
        options.set_block_based_table_factory(&table);
        options.set_compression_type(match *name {
            // Pages are hashes, which nothing makes smaller.
            cf::PAGES => DBCompressionType::None,
            _ => DBCompressionType::Lz4,
        });
        // Most of what is looked for here is new, and not there.
        if matches!(*name, cf::STATE | cf::TRANSACTIONS) {
            options.set_write_buffer_size(WRITE_BUFFER_BYTES);
            options.set_memtable_prefix_bloom_ratio(BUFFER_BLOOM);
            options.set_memtable_whole_key_filtering(true);
        }
        ColumnFamilyDescriptor::new(*name, options)
    });
    Ok(DB::open_cf_descriptors(&options, path, families)?)
}

/// Refuses a database of which a file is gone or has another length. RocksDB opens a few of its
/// files at the start and the others when they are read, which may be after a year.
fn check_files(db: &DB, path: &Path) -> Result<(), StorageError> {
    let files = db.live_files()?;
    let wrong: Vec<_> = files.iter().filter_map(|f| Some((f, file_fault(f, path)?))).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    // A compaction that has ended meanwhile removes what it has replaced.
    let live = db.live_files()?;
    match wrong.into_iter().find(|(file, _)| live.iter().any(|other| other.name == file.name)) {
        Some((_, fault)) => Err(StorageError::damaged(fault)),
        None => Ok(()),
    }
}

fn file_fault(file: &LiveFile, folder: &Path) -> Option<String> {
    let LiveFile { name, size, column_family_name: family, .. } = file;
    let name = name.trim_start_matches('/');
    match std::fs::metadata(folder.join(name)) {
        Ok(found) if usize::try_from(found.len()) == Ok(*size) => None,
        Ok(found) => Some(format!("{name} ({family}) has {} bytes instead of {size}", found.len())),
        Err(error) => Some(format!("{name} ({family}) cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests;
