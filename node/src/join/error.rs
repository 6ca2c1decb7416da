//! Why a node did not join by snapshot. What follows from each is [`super`]'s; what an operator does is
//! `docs/operating/runbook.md`.

use std::io;

use thiserror::Error;

use crate::{
    snapshot::own::Fork,
    storage::{RestoreError, StorageError},
};

/// Why an attempt came to nothing.
#[derive(Debug, Error)]
pub(super) enum JoinError {
    #[error("the node goes down")]
    Stopped,
    #[error("no peer has a snapshot above this node's height")]
    NoOffer,
    #[error("nobody could give part {0} of the snapshot")]
    Nobody(u64),
    #[error("peers give the snapshot too slowly")]
    TooSlow,
    #[error("this node has come as far by itself")]
    Overtaken,
    #[error(transparent)]
    Fork(#[from] Fork),
    #[error(
        "no peer proves that this node's block {0} is in the snapshot's chain, and unproved nothing is replaced; name a peer that has all blocks in network.peers, or move data_dir away and begin from the founding document"
    )]
    Unproved(u64),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("cannot write the snapshot: {0}")]
    Write(#[from] io::Error),
    #[error(transparent)]
    Restore(#[from] RestoreError),
}

impl JoinError {
    /// Whether the snapshot, and not the disk, is why no database was made of it.
    pub(super) fn is_flaw(&self) -> bool {
        matches!(
            self,
            Self::Restore(
                RestoreError::Flaw { .. }
                    | RestoreError::Missing(_)
                    | RestoreError::Storage(StorageError::Damaged(_))
            )
        )
    }
}
