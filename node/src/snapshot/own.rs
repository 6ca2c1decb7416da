//! Whether a snapshot goes on from the chain that this node has already.
//!
//! What leads from the founding to a snapshot are signatures of former sets too, and who holds the
//! keys of more than two thirds of one could sign another chain from there on. So a node that has
//! blocks takes a snapshot only of a chain in which they are: each change of the set that it knows
//! must be the bundle's, and its newest block must stand under the snapshot's header. That is seen
//! from the blocks that the manifest names, or else proved by a peer that knows the block
//! ([`OWN_BLOCK`]). A node that has the founding block alone has nothing to lose.

use std::collections::BTreeMap;

use symbolon_ledger::{
    block::{Header, header_hash},
    codec,
    hash::BlockHash,
    inclusion::{INCLUSION_VERSION, Inclusion, MAX_INCLUSION_BYTES},
    log,
};
use thiserror::Error;

use super::{Checked, Flaw, Shelf, trust::Followed};
use crate::storage::{StorageError, Store, View};

/// Parts from this number on are no files: such a part is the inclusion of the block whose height
/// is added to it, under the snapshot's header (`docs/spec/snapshot.md`).
pub const OWN_BLOCK: u64 = 1 << 63;

/// The snapshot is of a chain that has split from this node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fork {
    /// One of them has a change of the validator set that the other has not.
    #[error(
        "the snapshot is of another chain: at height {0} its validator set does not change as here; compare block {0} with other provinces' before anything else"
    )]
    Sets(u64),
    /// They have different blocks of one height.
    #[error(
        "the snapshot is of another chain: its block {0} is not the one of this node; compare it with other provinces' before anything else"
    )]
    Block(u64),
}

/// What a node has of the chain, as far as a snapshot must agree with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    height: u64,
    hash: BlockHash,
    /// The headers that changed the validator set, by height.
    changes: BTreeMap<u64, Vec<u8>>,
}

impl Own {
    /// That of a view's tip.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn of(view: &View<'_>) -> Result<Self, StorageError> {
        let (height, hash) = (view.tip().height, view.tip().hash);
        let bundle = view.trust_bundle()?;
        let headers = bundle.changes.iter().map(|change| &change.header[..]);
        let changes = by_height(headers)
            .map_err(|error| StorageError::damaged(format!("a change of the set: {error}")))?;
        Ok(Self { height, hash, changes })
    }

    /// Height of its newest block.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.height
    }

    /// Holds the bundle's changes of the set, up to the own tip, against its own.
    ///
    /// # Errors
    ///
    /// [`Fork::Sets`], for the first one that only one of them has.
    pub fn check_changes(&self, followed: &Followed) -> Result<(), Fork> {
        let headers = followed.bundle.changes.iter().map(|change| &change.header[..]);
        // Each of them was read when the bundle was followed.
        let mut theirs = by_height(headers).unwrap_or_default();
        theirs.retain(|height, _| *height <= self.height);
        let heights = self.changes.keys().chain(theirs.keys());
        let differs = heights.filter(|at| self.changes.get(at) != theirs.get(at)).min();
        differs.map_or(Ok(()), |height| Err(Fork::Sets(*height)))
    }

    /// Whether the own tip is in the snapshot's chain, if the manifest alone tells.
    #[must_use]
    pub fn carried(&self, checked: &Checked) -> Option<Result<(), Fork>> {
        if self.height == 0 {
            return Some(Ok(()));
        }
        checked.block(self.height).map(|hash| self.check_block(hash))
    }

    /// Holds the block of the own tip's height in the snapshot's chain against it.
    ///
    /// # Errors
    ///
    /// [`Fork::Block`].
    pub fn check_block(&self, hash: BlockHash) -> Result<(), Fork> {
        if hash == self.hash { Ok(()) } else { Err(Fork::Block(self.height)) }
    }

    /// Reads which block of the own tip's height is under `header`, from a peer's inclusion.
    ///
    /// # Errors
    ///
    /// [`Flaw::Inclusion`]: it proves none.
    pub fn read_inclusion(&self, bytes: &[u8], header: &Header) -> Result<BlockHash, Flaw> {
        let inclusion: Inclusion = codec::decode(bytes, MAX_INCLUSION_BYTES)?;
        let hash = header_hash(&inclusion.header);
        let leaf = log::leaf_hash(hash.as_bytes());
        let root = log::root_from_path(leaf, self.height, inclusion.size, &inclusion.path);
        let proves = inclusion.version == INCLUSION_VERSION
            && inclusion.size == header.height
            && root == Some(header.history_root);
        if proves { Ok(hash) } else { Err(Flaw::Inclusion(self.height)) }
    }
}

fn by_height<'a>(
    headers: impl Iterator<Item = &'a [u8]>,
) -> Result<BTreeMap<u64, Vec<u8>>, codec::DecodeError> {
    headers.map(|bytes| Ok((Header::decode(bytes)?.height, bytes.to_vec()))).collect()
}

/// The bytes of a part that a peer asks for: one of the shelf, or an inclusion under its header.
/// None when there is no such snapshot or part, or it cannot be read.
#[must_use]
pub fn part(store: &Store, shelf: &Shelf, height: u64, part: u64) -> Option<Vec<u8>> {
    let Some(block) = part.checked_sub(OWN_BLOCK) else { return shelf.part(height, part) };
    shelf.get(height)?;
    // A node that has itself begun with a snapshot does not know all blocks before it.
    store.view().ok()?.inclusion(block, height).ok().flatten()
}

#[cfg(test)]
mod tests {
    use symbolon_ledger::hash::Digest;

    use super::*;

    /// The headers' hashes of a chain of `size` blocks and the header of the block after them.
    fn chain(size: u64) -> (Vec<Vec<u8>>, Header) {
        let header = |height: u64, root: Digest| Header {
            version: symbolon_ledger::block::HEADER_VERSION,
            chain_id: Digest([1; 32]),
            height,
            time_ms: height,
            parent: Digest::ZERO,
            history_root: root,
            transactions_root: Digest::ZERO,
            state_root: Digest::ZERO,
            validators_hash: Digest::ZERO,
            next_validators_hash: Digest::ZERO,
            proposer: None,
        };
        let blocks: Vec<_> =
            (0..size).map(|height| codec::encode(&header(height, Digest::ZERO))).collect();
        let leaves: Vec<_> =
            blocks.iter().map(|b| log::leaf_hash(header_hash(b).as_bytes())).collect();
        (blocks, header(size, log::root(&leaves)))
    }

    fn inclusion(blocks: &[Vec<u8>], height: usize) -> Inclusion {
        let leaves: Vec<_> =
            blocks.iter().map(|b| log::leaf_hash(header_hash(b).as_bytes())).collect();
        Inclusion {
            version: INCLUSION_VERSION,
            header: blocks[height].clone().into(),
            size: blocks.len() as u64,
            path: log::path(&leaves, height).unwrap(),
        }
    }

    #[test]
    fn an_own_tip_that_no_manifest_names_is_proved_by_an_inclusion_or_not_at_all() {
        let (blocks, header) = chain(11);
        let own = |height: u64, hash: BlockHash| Own { height, hash, changes: BTreeMap::new() };
        let mine = own(5, header_hash(&blocks[5]));
        let good = inclusion(&blocks, 5);
        let read = |i: &Inclusion| mine.read_inclusion(&codec::encode(i), &header);
        mine.check_block(read(&good).unwrap()).unwrap();
        // The chain of the snapshot has another block there than this node.
        let split = own(5, Digest([9; 32]));
        let theirs = split.read_inclusion(&codec::encode(&good), &header).unwrap();
        assert_eq!(split.check_block(theirs), Err(Fork::Block(5)));
        for bad in [
            inclusion(&blocks, 4),
            inclusion(&blocks[..10], 5),
            Inclusion { header: blocks[4].clone().into(), ..good.clone() },
            Inclusion { path: good.path[1..].to_vec(), ..good.clone() },
            Inclusion { version: 9, ..good.clone() },
        ] {
            assert_eq!(read(&bad), Err(Flaw::Inclusion(5)), "{bad:?}");
        }
    }
}
