//! `symbolon-node verify-chain`: believes nothing in the database but the genesis file.
//!
//! Every block is executed again from genesis into a second, empty database; every parent hash,
//! every root, every validator set and every certificate is compared, and in the end every
//! record of the state and every status page.

use std::path::Path;

use symbolon_consensus::{HeightStart, validity::check_header};
use symbolon_genesis::Genesis;
use symbolon_ledger::{
    certificate::{Certificate, MAX_CERTIFICATE_BYTES},
    codec,
    hash::Digest,
};
use thiserror::Error;

use crate::{
    execution::{self, ExecutionError, Known},
    storage::{Commit, StorageError, Store},
};

/// What was found to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
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
    /// The state is not what the blocks lead to.
    #[error("the state differs from what the blocks lead to: {0}")]
    State(String),
    /// The status pages are not those of the licences.
    #[error("the status lists differ from what the blocks lead to")]
    StatusLists,
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
    let again = Store::open(&scratch.0, genesis)?;
    let view = store.view()?;
    let tip = view.tip().height;
    let mut transactions = 0;
    compare_founding(&view, &again)?;
    for height in 1..=tip {
        transactions += execute_again(&view, &again, height)?;
        progress(height, tip);
    }
    let records = compare_states(&view, &again.view()?)?;
    compare_status_lists(&view, &again.view()?)?;
    Ok(Report { height: tip, transactions, records, state_root: view.tip().header.state_root })
}

fn compare_founding(view: &crate::storage::View<'_>, again: &Store) -> Result<(), VerifyError> {
    if view.header_bytes(0)? == again.view()?.header_bytes(0)? {
        Ok(())
    } else {
        Err(VerifyError::Block { height: 0, reason: "it is not the one of genesis".into() })
    }
}

/// Executes one block on `again` and commits it there.
fn execute_again(
    view: &crate::storage::View<'_>,
    again: &Store,
    height: u64,
) -> Result<u64, VerifyError> {
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

/// Both databases hold the same records, and every one is proved by the tip's root.
fn compare_states(
    view: &crate::storage::View<'_>,
    again: &crate::storage::View<'_>,
) -> Result<u64, VerifyError> {
    let differ = |what: &str| VerifyError::State(what.to_owned());
    let mut records = 0;
    let mut expected = again.state_records(&[]);
    for found in view.state_records(&[]) {
        let (found, expected) = (found?, expected.next().transpose()?);
        if expected != Some(found) {
            return Err(differ("a record was changed, added or removed"));
        }
        records += 1;
    }
    if expected.next().is_some() {
        return Err(differ("a record is missing"));
    }
    Ok(records)
}

/// Both databases hold the same status pages, and the same of what they replaced.
fn compare_status_lists(
    view: &crate::storage::View<'_>,
    again: &crate::storage::View<'_>,
) -> Result<(), VerifyError> {
    let mut expected = again.status_rows();
    for found in view.status_rows() {
        if expected.next().transpose()? != Some(found?) {
            return Err(VerifyError::StatusLists);
        }
    }
    if expected.next().is_some() { Err(VerifyError::StatusLists) } else { Ok(()) }
}

/// A folder that goes when it is no longer needed.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(beside: &Path) -> std::io::Result<Self> {
        let path = beside.join(format!("verify-chain.{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
