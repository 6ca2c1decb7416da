//! Checking an inclusion: that a block is in the history of a later one.

use symbolon_ledger::{
    block::{Header, header_hash},
    codec::{self, DecodeError},
    hash::{BlockHash, Digest},
    inclusion::{INCLUSION_VERSION, Inclusion, MAX_INCLUSION_BYTES},
    log,
};
use thiserror::Error;

use super::header::CheckedHeader;

/// Why an inclusion proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InclusionError {
    /// Not an inclusion.
    #[error("the inclusion cannot be read: {0}")]
    Encoding(DecodeError),
    /// A form that this program does not know.
    #[error("inclusion version {0} is unknown; a newer verifier is needed")]
    Version(u8),
    /// What stands in it is no header.
    #[error("the header in the inclusion cannot be read: {0}")]
    Header(DecodeError),
    /// It leads to another block than the pinned one.
    #[error("the inclusion leads to block {size}, the pinned block is {pin}")]
    OtherHead {
        /// Height of the block that it leads to.
        size: u64,
        /// Height of the pinned block.
        pin: u64,
    },
    /// The path does not fit a history of that length.
    #[error("the path does not fit block {index} of {size}")]
    Path {
        /// Height of the earlier block.
        index: u64,
        /// Height of the later one.
        size: u64,
    },
    /// The path leads to another root than the pinned header's.
    #[error("the block is not in the history of the pinned block")]
    NotInHistory,
    /// It is of another block than the one under check.
    #[error("the inclusion is of block {found}, not of {wanted}")]
    OtherBlock {
        /// The block that it is of.
        found: BlockHash,
        /// The block under check.
        wanted: BlockHash,
    },
    /// It is of another height than the one under check.
    #[error("the inclusion is of height {found}, not of {wanted}")]
    OtherHeight {
        /// The height that it is of.
        found: u64,
        /// The height under check.
        wanted: u64,
    },
}

/// A block that is in the history of a believed one.
pub(super) struct Included {
    pub(super) header: Header,
    pub(super) hash: BlockHash,
    /// Root over all blocks before it, as the later block has them.
    pub(super) before: Digest,
}

/// Checks an inclusion's exact bytes under `head`.
pub(super) fn check(bytes: &[u8], head: &CheckedHeader) -> Result<Included, InclusionError> {
    let inclusion: Inclusion =
        codec::decode(bytes, MAX_INCLUSION_BYTES).map_err(InclusionError::Encoding)?;
    if inclusion.version != INCLUSION_VERSION {
        return Err(InclusionError::Version(inclusion.version));
    }
    let header = Header::decode(&inclusion.header).map_err(InclusionError::Header)?;
    let hash = header_hash(&inclusion.header);
    let (size, pin) = (inclusion.size, head.header().height);
    if size != pin {
        return Err(InclusionError::OtherHead { size, pin });
    }
    let index = header.height;
    let misfit = InclusionError::Path { index, size };
    let leaf = log::leaf_hash(hash.as_bytes());
    let Some(root) = log::root_from_path(leaf, index, size, &inclusion.path) else {
        return Err(misfit);
    };
    if root != head.header().history_root {
        return Err(InclusionError::NotInHistory);
    }
    let before = log::root_before(index, size, &inclusion.path).ok_or(misfit)?;
    Ok(Included { header, hash, before })
}
