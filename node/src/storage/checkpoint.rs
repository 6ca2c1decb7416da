//! The database held fast as it stands, in a folder beside it: what a backup is copied from, while
//! the engine goes on writing.
//!
//! RocksDB writes what is in memory to files, links the files that never change and copies the
//! rest: that costs moments and hardly any room. A link is no second copy, and pins what is
//! compacted away meanwhile: so a checkpoint is removed as soon as it was copied, and at a start.
//! A node that has dropped old blocks has its snapshots held fast too, since without one nobody can
//! execute again what it has. Copying and checking is `crate::backup`'s.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use rocksdb::{DB, IteratorMode, Options, checkpoint::Checkpoint};
use symbolon_ledger::{
    block::{Header, header_hash},
    codec::local,
    codes::ProvinceCode,
    hash::{BlockHash, ChainId, Digest},
    keys::PublicKey,
};
use thiserror::Error;

use super::{
    DATABASE, FOUNDED_FILE, LOCK_FILE, StorageError, Store, check_columns, lock, mark_founded,
    schema::{Kept, MAGIC, MAX_LOCAL_VALUE, SCHEMA_VERSION, cf, height_key, meta},
    validator_sets::read_set,
};
use crate::snapshot::folder::{SNAPSHOTS, sync};

/// Folder of the checkpoint in the data folder.
const CHECKPOINT: &str = "checkpoint";
/// Folder in which a backup arrives until all of it is there.
const ARRIVING: &str = "restoring";
/// What a folder may hold and still count as empty: the lock of whoever looked before, and what
/// some file systems put at their top.
const OF_NO_ACCOUNT: [&str; 2] = [LOCK_FILE, "lost+found"];

/// Why there is no checkpoint.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is one already.
    #[error(
        "there is a checkpoint already in {}; remove it if no backup is being made",
        .0.display()
    )]
    Exists(PathBuf),
    /// The folder cannot be made.
    #[error("checkpoint {}: {source}", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Where the checkpoint of a data folder lies: a database, and perhaps snapshots.
#[must_use]
pub fn checkpoint_folder(data: &Path) -> PathBuf {
    data.join(CHECKPOINT)
}

/// Removes the checkpoint of a data folder, if there is one.
///
/// # Errors
///
/// What the system says.
pub fn remove_checkpoint(data: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(checkpoint_folder(data)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Store {
    /// Holds the database fast as it stands, in [`checkpoint_folder`]; the height that it has at
    /// least.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`].
    pub fn checkpoint(&self) -> Result<u64, CheckpointError> {
        let _alone = self.checkpoints.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let path = checkpoint_folder(self.folder());
        let at = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => CheckpointError::Exists(path.clone()),
            _ => CheckpointError::Folder { path: path.clone(), source },
        };
        std::fs::create_dir(&path).map_err(at)?;
        let made = self.hold_fast(&path, &at);
        if made.is_err() {
            let _ = std::fs::remove_dir_all(&path);
        }
        made
    }

    fn hold_fast(
        &self,
        path: &Path,
        at: &dyn Fn(io::Error) -> CheckpointError,
    ) -> Result<u64, CheckpointError> {
        let view = self.view()?;
        // Before the database: so none of them is newer than it.
        if view.kept()?.blocks > 0 {
            link_snapshots(&self.folder().join(SNAPSHOTS), &path.join(SNAPSHOTS)).map_err(at)?;
        }
        let height = view.tip().height;
        drop(view);
        let checkpoint = Checkpoint::new(&self.db).map_err(StorageError::from)?;
        checkpoint.create_checkpoint(path.join(DATABASE)).map_err(StorageError::from)?;
        Ok(height)
    }
}

/// Links each whole snapshot, or copies it where links are not possible. One that is dropped
/// meanwhile is left out: there is a newer one.
fn link_snapshots(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_none_or(|name| name.parse::<u64>().is_err()) {
            continue;
        }
        let there = to.join(name);
        match link_files(&entry.path(), &there) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::fs::remove_dir_all(&there)?;
            }
            linked => linked?,
        }
    }
    Ok(())
}

fn link_files(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let there = to.join(entry.file_name());
        match std::fs::hard_link(entry.path(), &there) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                std::fs::copy(entry.path(), &there)?;
            }
            linked => linked?,
        }
    }
    Ok(())
}

/// What a database that nobody has open says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stands {
    /// The chain.
    pub chain: ChainId,
    /// Height of the newest block.
    pub height: u64,
    /// Its hash.
    pub block: BlockHash,
    /// Root of the state after it.
    pub state_root: Digest,
    /// The first block that is kept besides the founding block; 0 for an archive.
    pub blocks_from: u64,
}

/// Reads where the chain of the database in `folder` stands. Writes nothing.
///
/// # Errors
///
/// [`StorageError`]: there is none, it is not ours, of another version, or damaged.
pub fn stands(folder: &Path) -> Result<Stands, StorageError> {
    let path = folder.join(DATABASE);
    if !path.join("CURRENT").exists() {
        return Err(StorageError::Absent(folder.to_owned()));
    }
    check_columns(&path, true)?;
    let db = DB::open_cf_for_read_only(&Options::default(), &path, cf::ALL, false)?;
    let get = |family: &str, key: &[u8]| -> Result<Option<Vec<u8>>, StorageError> {
        let family = db.cf_handle(family).expect("every column family of the schema was opened");
        Ok(db.get_cf(family, key)?)
    };
    let foreign = || StorageError::Foreign(path.clone());
    let schema = get(cf::META, meta::SCHEMA)?.ok_or_else(foreign)?;
    let version = schema.strip_prefix(&MAGIC[..]).ok_or_else(foreign)?;
    let found = u32::from_be_bytes(version.try_into().map_err(|_| foreign())?);
    if found != SCHEMA_VERSION {
        return Err(StorageError::Schema { found });
    }
    let chain = get(cf::META, meta::CHAIN)?.ok_or_else(foreign)?;
    let tip = get(cf::META, meta::TIP)?.and_then(|tip| tip.try_into().ok());
    let height = tip.map(u64::from_be_bytes).ok_or_else(|| StorageError::damaged("no tip"))?;
    let bytes = get(cf::HEADERS, &height_key(height))?
        .ok_or_else(|| StorageError::damaged(format!("header {height} is missing")))?;
    let header = Header::decode(&bytes)
        .map_err(|error| StorageError::damaged(format!("header {height}: {error}")))?;
    let kept = match get(cf::META, meta::KEPT)? {
        Some(kept) => local::decode::<Kept>(&kept, MAX_LOCAL_VALUE)
            .map_err(|error| StorageError::damaged(format!("what is kept: {error}")))?,
        None => Kept::default(),
    };
    Ok(Stands {
        chain: Digest(chain.try_into().map_err(|_| foreign())?),
        height,
        block: header_hash(&bytes),
        state_root: header.state_root,
        blocks_from: kept.blocks,
    })
}

/// Height of the newest block in the database of `folder`, when `key` had the vote of `province` at any
/// height up to there; none also when there is no database. Writes nothing.
///
/// # Errors
///
/// [`StorageError`], as [`stands`].
pub fn had_vote(
    folder: &Path,
    province: ProvinceCode,
    key: &PublicKey,
) -> Result<Option<u64>, StorageError> {
    let path = folder.join(DATABASE);
    if !path.join("CURRENT").exists() {
        return Ok(None);
    }
    let height = stands(folder)?.height;
    let db = DB::open_cf_for_read_only(&Options::default(), &path, cf::ALL, false)?;
    let sets = db.cf_handle(cf::VALIDATOR_SETS).expect("every column family was opened");
    for entry in db.iterator_cf(sets, IteratorMode::Start) {
        let (made, set) = read_set(&entry?)?;
        // It votes from the block after the one that made it.
        if made < height && set.get(province).is_some_and(|validator| validator.key == *key) {
            return Ok(Some(height));
        }
    }
    Ok(None)
}

/// An empty data folder into which a database is put. Nobody else has it meanwhile, and a node that
/// is started on a half of it says that it is damaged: the mark of a founded chain is written first,
/// the database comes last.
#[derive(Debug)]
pub struct Vacant {
    folder: PathBuf,
    settled: bool,
    _lock: File,
}

impl Vacant {
    /// Takes a folder, which is made if need be.
    ///
    /// # Errors
    ///
    /// [`StorageError::NotEmpty`], that another process has it, or what the system says.
    pub fn take(folder: &Path, chain: ChainId) -> Result<Self, StorageError> {
        let at = |source| StorageError::Folder { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(at)?;
        for entry in std::fs::read_dir(folder).map_err(at)? {
            let name = entry.map_err(at)?.file_name();
            if !OF_NO_ACCOUNT.iter().any(|known| name == *known) {
                return Err(StorageError::NotEmpty(folder.to_owned()));
            }
        }
        let vacant = Self { folder: folder.to_owned(), settled: false, _lock: lock(folder)? };
        mark_founded(folder, chain)?;
        std::fs::create_dir(vacant.arriving()).map_err(at)?;
        Ok(vacant)
    }

    /// Where everything is put until it is whole: as it lies in a data folder.
    #[must_use]
    pub fn arriving(&self) -> PathBuf {
        self.folder.join(ARRIVING)
    }

    /// All of it is there, and on the disk: from now on it is the node's.
    ///
    /// # Errors
    ///
    /// [`StorageError::Folder`].
    pub fn settle(mut self) -> Result<(), StorageError> {
        let at = |source| StorageError::Folder { path: self.folder.clone(), source };
        let arriving = self.arriving();
        for name in [SNAPSHOTS, DATABASE] {
            let own = arriving.join(name);
            if own.exists() {
                std::fs::rename(&own, self.folder.join(name)).map_err(at)?;
            }
        }
        std::fs::remove_dir_all(&arriving).map_err(at)?;
        sync(&self.folder).map_err(at)?;
        self.settled = true;
        Ok(())
    }
}

impl Drop for Vacant {
    /// What came to nothing leaves the folder as it was found.
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let _ = std::fs::remove_dir_all(self.arriving());
        for name in [SNAPSHOTS, DATABASE] {
            let _ = std::fs::remove_dir_all(self.folder.join(name));
        }
        let _ = std::fs::remove_file(self.folder.join(FOUNDED_FILE));
        let _ = std::fs::remove_file(self.folder.join(LOCK_FILE));
    }
}
