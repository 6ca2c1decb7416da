//! Backups: the chain of a node as files in a folder of their own, each with its hash, from which an
//! empty data folder is filled again.
//!
//! A backup has the database as it stood at one moment ([`crate::storage::Store::checkpoint`]), the
//! founding document, the snapshots of a node that has dropped old blocks, and a [`manifest`] that
//! names chain, height, block, state root, and every file with its SHA-256. It has no key, and not
//! what a key has signed: that is a mark which must never go back ([`crate::sign_state`]), so a
//! node that was restored is silent up to its mark, or looks on, as after any other loss.
//!
//! [`create`] makes one, of a running node too; [`check`] looks whether one is whole and what it
//! holds, and executes it again if asked; [`restore`] brings one back. [`command`] is what an
//! operator says. The form is `docs/spec/backup.md`, why it is so `docs/adr/0013-backups.md`, and
//! when which is used `docs/operating/recovery.md`.

pub mod manifest;

pub mod create;

pub mod check;

pub mod restore;

pub mod command;

mod copy;

use std::path::{Path, PathBuf};

use symbolon_ledger::hash::ChainId;
use thiserror::Error;

use crate::{
    config::ConfigError,
    storage::{CheckpointError, StorageError},
    verify_chain::VerifyError,
};

pub use manifest::Manifest;

/// The founding document in a backup.
const GENESIS: &str = "genesis.toml";

/// Why a backup was not made, does not hold, or was not brought back.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The node's configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// No checkpoint was made.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Something that is no file of a database.
    #[error(
        "{} is a link or no regular file, and nothing else is read or written here; look who put it there, and remove it",
        .0.display()
    )]
    NotRegular(PathBuf),
    /// The folder of a new backup has no place.
    #[error(
        "there is no folder {} for the backup to lie in; mount the disk, or make the folder",
        .0.display()
    )]
    NoParent(PathBuf),
    /// The node at the admin listener has another data folder.
    #[error(
        "the node at {address} holds another data_dir, in which it has made a checkpoint now; correct admin.listen or data_dir in the configuration, and remove `checkpoint` from that node's data_dir"
    )]
    OtherNode {
        /// The admin listener.
        address: String,
    },
    /// The folder of a new backup is in use.
    #[error(
        "{} is there already, and a backup replaces nothing; name a new folder, such as one with today's date",
        .0.display()
    )]
    Taken(PathBuf),
    /// A backup inside what it is a backup of.
    #[error(
        "{} lies in data_dir and would be lost with it; name a folder on another disk",
        .0.display()
    )]
    Inside(PathBuf),
    /// Somebody else makes one.
    #[error("another backup of {} is being made; wait for its end", .0.display())]
    Busy(PathBuf),
    /// The data folder is in use, and no node answers for it.
    #[error(
        "the data folder is in use, and no node answers at {address}: {problem}; if admin.listen has changed, start the node again"
    )]
    NoAnswer {
        /// The admin listener.
        address: String,
        /// What the connection says.
        problem: String,
    },
    /// The running node makes no checkpoint.
    #[error("the running node makes no checkpoint: {0}")]
    Refused(String),
    /// A file that was to be copied went away.
    #[error(
        "{} went away while it was copied: the node was started again meanwhile; make the backup again",
        .0.display()
    )]
    Vanished(PathBuf),
    /// Not a backup, or one that was not finished.
    #[error(
        "{} holds no whole backup: it has no {}; use another backup",
        .0.display(),
        manifest::FILE
    )]
    NoManifest(PathBuf),
    /// The manifest is not one of ours.
    #[error("{}: {problem}; use another backup", .path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A backup of another release.
    #[error(
        "the backup has version {found}, this software reads version {}; use the software that made it",
        manifest::VERSION
    )]
    Version {
        /// The version found.
        found: u32,
    },
    /// A file of the backup is not the one that was put there.
    #[error("the backup is damaged: {}: {flaw}; use another backup", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// In what way.
        flaw: Flaw,
    },
    /// A backup of another chain.
    #[error(
        "the backup is of chain {found}, the configured genesis founds chain {expected}; use a backup of that chain, or its genesis"
    )]
    OtherChain {
        /// The chain of the backup.
        found: ChainId,
        /// The chain of the configuration.
        expected: ChainId,
    },
    /// The database is not what the manifest says.
    #[error("the manifest says {what} {said}, the database has {found}; use another backup")]
    Differs {
        /// What of it.
        what: &'static str,
        /// What the manifest says.
        said: String,
        /// What the database has.
        found: String,
    },
    /// The blocks do not lead to what the backup holds.
    #[error("executed again, the backup does not hold: {0}; use another backup")]
    Execution(#[from] VerifyError),
}

/// In what way a file is not the one of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Flaw {
    /// It is not there.
    #[error("it is missing")]
    Missing,
    /// It is a link, a device, a folder.
    #[error("it is a link or no regular file")]
    NotRegular,
    /// It has another length.
    #[error("it has {found} bytes, the manifest says {expected}")]
    Length {
        /// Its length.
        found: u64,
        /// That of the manifest.
        expected: u64,
    },
    /// It has another hash.
    #[error("its SHA-256 is {found}, the manifest says {expected}")]
    Hash {
        /// Its hash.
        found: String,
        /// That of the manifest.
        expected: String,
    },
    /// The manifest does not name it.
    #[error("the manifest does not name it")]
    Extra,
}

/// What the system says of a file, with its name.
fn at(path: &Path) -> impl FnOnce(std::io::Error) -> BackupError {
    move |source| BackupError::File { path: path.to_owned(), source }
}
