//! What can go wrong with the database. Each of these stops the node: it never serves or votes
//! on doubtful data.

use std::path::PathBuf;

use symbolon_ledger::hash::ChainId;
use thiserror::Error;

use super::schema::SCHEMA_VERSION;

/// Why the database cannot be used.
#[derive(Debug, Error)]
pub enum StorageError {
    /// Another process has the folder.
    #[error("data folder {} is in use by another process; stop that one, or choose another data_dir", .0.display())]
    Locked(PathBuf),
    /// The folder cannot be made or read.
    #[error("data folder {}: {source}", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// No chain where one must be.
    #[error("{} holds no chain; give the configuration of a node that has run", .0.display())]
    Absent(PathBuf),
    /// A folder that is to be filled holds something.
    #[error(
        "data folder {} is not empty, and nothing in it is replaced; stop its node and move it away, or choose another data_dir",
        .0.display()
    )]
    NotEmpty(PathBuf),
    /// A RocksDB database that is not ours.
    #[error("{} holds a database that is not Symbolon's; choose another data_dir", .0.display())]
    Foreign(PathBuf),
    /// A database of another version of this software.
    #[error(
        "the database has schema version {found}, this software reads version {SCHEMA_VERSION}; use the software that wrote it, or move data_dir away and let the node fetch the chain (docs/operating/recovery.md)"
    )]
    Schema {
        /// The version found.
        found: u32,
    },
    /// A database of another chain.
    #[error(
        "the database belongs to chain {found}, the genesis file founds chain {expected}; give the genesis of that chain, or another data_dir"
    )]
    OtherChain {
        /// The chain in the database.
        found: ChainId,
        /// The chain of the genesis file.
        expected: ChainId,
    },
    /// Something in the database is missing or not what it must be.
    #[error(
        "the database is damaged: {0}; move data_dir away and let the node fetch the chain; a validator is silent up to the height of its sign state, which must not be an old copy (docs/operating/recovery.md)"
    )]
    Damaged(String),
    /// A rule has begun that this version does not know.
    #[error(
        "feature {feature} holds from height {from} on, and this version does not know it; install one that does and start the node again"
    )]
    Feature {
        /// The feature's number.
        feature: u32,
        /// The height at which it begins.
        from: u64,
    },
    /// RocksDB refused: a full disk, a read error, a failed sync.
    #[error("the database failed: {0}")]
    Database(#[from] rocksdb::Error),
}

impl StorageError {
    /// Shorthand for [`StorageError::Damaged`].
    pub(crate) fn damaged(what: impl std::fmt::Display) -> Self {
        Self::Damaged(what.to_string())
    }
}
