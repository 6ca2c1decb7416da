//! `symbolon-node verify-chain`: believes nothing in the database but the genesis file.
//!
//! Every block is executed again from genesis into a second, empty database; every parent hash,
//! every root, every validator set and every certificate is compared, and in the end every
//! record of the state and every entry of what is derived from the blocks: tree, indices, history.
//!
//! A node that has not all blocks begins with the oldest snapshot of its own after which it has
//! them: that one is checked from the founding document as a stranger's would be, and of what was
//! before only the chain of headers. What is compared then is in `compared.rs`.

mod compared;

use std::path::Path;

use symbolon_consensus::{HeightStart, validity::check_header};
use symbolon_genesis::Genesis;
use symbolon_ledger::{
    block::{Header, header_hash},
    certificate::{Certificate, MAX_CERTIFICATE_BYTES},
    codec,
    hash::Digest,
};
use thiserror::Error;

use crate::{
    execution::{self, ExecutionError, Known},
    snapshot::{Shelf, first_header},
    storage::{Commit, RestoreError, StorageError, Store, View, schema::cf},
};
use compared::Span;

/// What the name of the folder for the second database begins with; the process's number follows.
const SCRATCH: &str = "verify-chain.";

/// What was found to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Height from which blocks were executed again: 0, or that of a snapshot.
    pub base: u64,
    /// Height of the newest block.
    pub height: u64,
    /// Transactions executed.
    pub transactions: u64,
    /// Records in the state.
    pub records: u64,
    /// Root of the state.
    pub state_root: Digest,
}

/// What does not hold.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// One of the databases cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The snapshot to begin with.
    #[error("the snapshot to begin with: {0}")]
    Snapshot(#[from] RestoreError),
    /// Blocks are missing, and no snapshot is there to begin with.
    #[error(
        "blocks before {first} are not kept here, and there is no snapshot of its own at or above block {least}; run it again after the next snapshot, or on an archive"
    )]
    NoBase {
        /// The first block that is kept.
        first: u64,
        /// The lowest height at which a snapshot would do.
        least: u64,
    },
    /// The folder for the second database.
    #[error("cannot make a folder for the second database: {0}")]
    Folder(#[from] std::io::Error),
    /// A block does not follow from the one before, or its certificate proves nothing.
    #[error("block {height}: {reason}")]
    Block {
        /// Its height.
        height: u64,
        /// What is wrong.
        reason: String,
    },
    /// What is derived from the blocks is not what they lead to.
    #[error("{family} differs from what the blocks lead to: {what}")]
    Differs {
        /// The column family.
        family: &'static str,
        /// In what way.
        what: &'static str,
    },
}

/// Executes the chain in `store` again, in a folder of its own beside it.
///
/// # Errors
///
/// [`VerifyError`] names the first thing that does not hold.
pub fn verify_chain(
    store: &Store,
    genesis: &Genesis,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, VerifyError> {
    let scratch = Scratch::new(store.folder())?;
    let view = store.view()?;
    let tip = view.tip().height;
    let (base, again) = begin(store, &view, genesis, &scratch.0)?;
    let mut transactions = 0;
    compare_header(&view, &again, base)?;
    for height in base + 1..=tip {
        transactions += execute_again(&view, &again, height)?;
        progress(height, tip);
    }
    let again = again.view()?;
    let span = Span { base, first: if base == 0 { 0 } else { first_header(base) }, tip };
    let records = compared::entries(&view, &again, cf::STATE, span)?;
    for family in cf::DERIVED {
        compared::entries(&view, &again, family, span)?;
    }
    Ok(Report {
        base,
        height: tip,
        transactions,
        records,
        state_root: view.tip().header.state_root,
    })
}

/// The second database: founded, or made from a snapshot when blocks are missing.
fn begin(
    store: &Store,
    view: &View<'_>,
    genesis: &Genesis,
    scratch: &Path,
) -> Result<(u64, Store), VerifyError> {
    let kept = view.kept()?;
    if kept.blocks == 0 {
        return Ok((0, Store::open(scratch, genesis)?));
    }
    let least = kept.blocks.saturating_sub(1);
    let shelf = Shelf::open(store.folder())?;
    let fits = |height: &u64| (least..=view.tip().height).contains(height);
    let snapshot = shelf.heights().into_iter().find(fits).and_then(|height| shelf.get(height));
    let snapshot = snapshot.ok_or(VerifyError::NoBase { first: kept.blocks, least })?;
    check_headers(view, kept.headers, snapshot.height())?;
    let again = Store::restore(scratch, genesis, &snapshot, |_, _| {})?;
    Ok((snapshot.height(), again))
}

/// Each header names the one before, up to that of the snapshot.
fn check_headers(view: &View<'_>, first: u64, base: u64) -> Result<(), VerifyError> {
    let mut parent = None;
    for height in first..=base {
        let wrong = |reason: &str| VerifyError::Block { height, reason: reason.into() };
        let bytes = view.header_bytes(height)?.ok_or_else(|| wrong("its header is missing"))?;
        let header = Header::decode(&bytes).map_err(|e| wrong(&e.to_string()))?;
        if header.height != height || parent.is_some_and(|parent| parent != header.parent) {
            return Err(wrong("its header does not follow from the one before"));
        }
        parent = Some(header_hash(&bytes));
    }
    Ok(())
}

/// Both begin with the same block.
fn compare_header(view: &View<'_>, again: &Store, height: u64) -> Result<(), VerifyError> {
    if view.header_bytes(height)? == again.view()?.header_bytes(height)? {
        return Ok(());
    }
    let reason = match height {
        0 => "it is not the one of genesis",
        _ => "it is not the one of the snapshot",
    };
    Err(VerifyError::Block { height, reason: reason.into() })
}

/// Executes one block on `again` and commits it there.
fn execute_again(view: &View<'_>, again: &Store, height: u64) -> Result<u64, VerifyError> {
    let wrong = |reason: String| VerifyError::Block { height, reason };
    let block = view.block(height)?.ok_or_else(|| wrong("it is missing".into()))?;
    let bytes = view
        .certificate_bytes(height)?
        .ok_or_else(|| wrong("its certificate is missing".into()))?;
    let certificate: Certificate =
        codec::decode(&bytes, MAX_CERTIFICATE_BYTES).map_err(|e| wrong(e.to_string()))?;
    if view.header_bytes(height)? != Some(codec::encode(&block.header)) {
        return Err(wrong("its header is stored twice and differs".into()));
    }
    let before = again.view()?;
    let start = HeightStart {
        parent: before.tip().header.clone(),
        history_root: before.frontier()?.root(),
        validators: execution::validators(&before)?.set,
    };
    check_header(&again.chain_id(), &start, &block.header).map_err(|e| wrong(e.to_string()))?;
    if certificate.block != block.hash() || certificate.height != height {
        return Err(wrong("its certificate is another block's".into()));
    }
    certificate
        .verify(&again.chain_id(), &start.validators)
        .map_err(|e| wrong(format!("certificate: {e}")))?;
    let executed = match execution::execute_block(&before, &block, &Known::new()) {
        Ok(executed) => executed,
        Err(ExecutionError::Storage(error)) => return Err(error.into()),
        Err(error) => return Err(wrong(error.to_string())),
    };
    if executed.state_root() != block.header.state_root {
        return Err(wrong(format!(
            "its state root is {}, execution gives {}",
            block.header.state_root,
            executed.state_root()
        )));
    }
    if executed.next_validators.hash() != block.header.next_validators_hash {
        return Err(wrong("its next validator set differs".into()));
    }
    drop(before);
    again.commit(&Commit { block: &block, certificate: &certificate, executed: &executed })?;
    Ok(block.transactions.len() as u64)
}

/// Removes what a run that was killed left in a data folder. Whoever has the folder's lock may: no
/// other run is under way then.
///
/// # Errors
///
/// What the system says.
pub fn clear(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(SCRATCH) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// A folder that goes when it is no longer needed.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(beside: &Path) -> std::io::Result<Self> {
        clear(beside)?;
        let path = beside.join(format!("{SCRATCH}{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use symbolon_genesis::presets;

    use super::*;

    #[test]
    fn what_a_killed_run_left_goes_with_the_next() {
        let (genesis, _) = presets::devnet_from_seed(4, &[1; 32], 1_700_000_000_000, 1);
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &genesis).unwrap();
        let left = folder.path().join("verify-chain.1");
        std::fs::create_dir_all(left.join("rocksdb")).unwrap();
        verify_chain(&store, &genesis, |_, _| {}).unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn an_entry_that_does_not_follow_from_the_blocks_is_found_in_every_family() {
        let (genesis, _) = presets::devnet_from_seed(4, &[1; 32], 1_700_000_000_000, 1);
        for family in [cf::STATE].into_iter().chain(cf::DERIVED) {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path(), &genesis).unwrap();
            assert_eq!(verify_chain(&store, &genesis, |_, _| {}).unwrap().height, 0);
            store.put_for_a_test(family, b"\xff", b"made up");
            let found = verify_chain(&store, &genesis, |_, _| {}).unwrap_err();
            assert!(
                matches!(found, VerifyError::Differs { family: f, .. } if f == family),
                "{found}"
            );
        }
    }
}
