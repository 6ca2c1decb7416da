//! How a database that was made from a snapshot takes the place of the one before.
//!
//! It is made in a folder of its own, `incoming/`, beside the running one, and a file says when it
//! is whole. The next start moves it, step by step, each of which may be the last before a crash:
//! whatever was done is seen by what is there. The snapshot moves as well, since others may ask
//! for it and `verify-chain` begins from it.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{DATABASE, StorageError};
use crate::snapshot::folder::{SNAPSHOTS, sync};

/// Folder of what is being fetched and made.
const INCOMING: &str = "incoming";
/// File that says that it is whole, with the snapshot's height.
const READY: &str = "ready";
/// Where the database before goes until the new one is in its place.
const REPLACED: &str = "rocksdb.replaced";

/// The folder in a data folder in which a snapshot is fetched and made into a database.
#[derive(Debug, Clone)]
pub struct Incoming {
    data: PathBuf,
}

impl Incoming {
    /// That of a data folder.
    #[must_use]
    pub fn of(data: &Path) -> Self {
        Self { data: data.to_owned() }
    }

    /// The folder, in which the new database lies.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.data.join(INCOMING)
    }

    /// Folder of the snapshot of a height.
    #[must_use]
    pub fn snapshot(&self, height: u64) -> PathBuf {
        self.folder().join(height.to_string())
    }

    /// Height of the snapshot of which parts are here already.
    #[must_use]
    pub fn begun(&self) -> Option<u64> {
        let entries = std::fs::read_dir(self.folder()).ok()?;
        let names = entries.flatten().map(|entry| entry.file_name());
        names.filter_map(|name| name.to_str()?.parse().ok()).max()
    }

    /// Begins, or goes on, with the snapshot of a height: whatever else is here goes.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn begin(&self, height: u64) -> io::Result<PathBuf> {
        let own = self.snapshot(height);
        if let Ok(entries) = std::fs::read_dir(self.folder()) {
            for entry in entries {
                let path = entry?.path();
                if path.is_dir() && path != own {
                    std::fs::remove_dir_all(&path)?;
                } else if path.is_file() {
                    std::fs::remove_file(&path)?;
                }
            }
        }
        std::fs::create_dir_all(&own)?;
        Ok(own)
    }

    /// Says, durably, that database and snapshot are whole.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn ready(&self, height: u64) -> io::Result<()> {
        let path = self.folder().join(READY);
        std::fs::write(&path, height.to_string())?;
        sync(&path)?;
        sync(&self.folder())
    }

    /// Puts what is ready in its place, if anything is. Nothing else may have the data folder.
    ///
    /// # Errors
    ///
    /// [`StorageError::Folder`].
    pub(super) fn take_over(&self) -> Result<(), StorageError> {
        let at = |source| StorageError::Folder { path: self.folder(), source };
        let ready = self.folder().join(READY);
        if !ready.exists() {
            return Ok(());
        }
        let height = std::fs::read_to_string(&ready).map_err(at)?;
        self.exchange(height.trim()).map_err(at)?;
        tracing::info!(height = height.trim(), "the database was made from a snapshot");
        Ok(())
    }

    fn exchange(&self, height: &str) -> io::Result<()> {
        let (fresh, own) = (self.folder().join(DATABASE), self.data.join(DATABASE));
        let (replaced, snapshots) = (self.data.join(REPLACED), self.data.join(SNAPSHOTS));
        if fresh.exists() {
            if own.exists() {
                remove(&replaced)?;
                std::fs::rename(&own, &replaced)?;
            }
            std::fs::rename(&fresh, &own)?;
            sync(&self.data)?;
        }
        let snapshot = self.folder().join(height);
        if snapshot.exists() {
            std::fs::create_dir_all(&snapshots)?;
            remove(&snapshots.join(height))?;
            std::fs::rename(&snapshot, snapshots.join(height))?;
            sync(&snapshots)?;
        }
        remove(&self.folder())?;
        remove(&replaced)?;
        sync(&self.data)
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    if folder.exists() { std::fs::remove_dir_all(folder) } else { Ok(()) }
}
