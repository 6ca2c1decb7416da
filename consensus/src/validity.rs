//! Which blocks may follow a given block: a pure function of the parent state and the block.
//!
//! The core stores a verdict by the block's hash and never asks again, so nothing that may
//! differ between nodes or change with time enters it: no clock (see `hold` for blocks
//! from the future), no round (the rule about the round's proposer stands with the proposal,
//! in `proposer_fits`).
//!
//! The header's claims about its own transactions are checked by whoever executes them, through
//! [`check_outcome`].

use symbolon_ledger::{
    block::{HEADER_VERSION, Header, MAX_BLOCK_BYTES, MAX_BLOCK_TRANSACTIONS},
    certificate::{Certificate, CertificateError},
    codes::ProvinceCode,
    hash::{BlockHash, ChainId, Digest},
    mutants::{self, Mutant},
};
use thiserror::Error;

use crate::host::HeightStart;

/// Why a block may not follow its parent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidBlock {
    /// A field that the parent state determines has another value.
    #[error("header field {field} is {actual}, expected {expected}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What stands in the header.
        actual: String,
        /// What must stand there.
        expected: String,
    },
    /// Time stands still or runs backwards.
    #[error("block time {time_ms} is not after its parent's {parent_ms}")]
    Time {
        /// The block's time in milliseconds since 1970.
        time_ms: u64,
        /// The parent's.
        parent_ms: u64,
    },
    /// No proposer, or one that has no vote at this height.
    #[error("proposer {province:?} has no vote at this height")]
    Proposer {
        /// The proposer named.
        province: Option<ProvinceCode>,
    },
    /// Too many transactions.
    #[error("{count} transactions, more than {MAX_BLOCK_TRANSACTIONS}")]
    TooManyTransactions {
        /// Transactions in the body.
        count: usize,
    },
    /// Too many bytes.
    #[error("{bytes} bytes, more than {MAX_BLOCK_BYTES}")]
    TooLong {
        /// Bytes of the body.
        bytes: usize,
    },
}

/// What executing a block's transactions on the parent state gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Root over the transactions, in order.
    pub transactions_root: Digest,
    /// Root of the state after them.
    pub state_root: Digest,
    /// Hash of the validator set in that state.
    pub next_validators_hash: Digest,
    /// How many there are.
    pub transactions: usize,
    /// Length of the body in bytes.
    pub bytes: usize,
}

/// The time a proposer puts into its block: now, or just after the parent.
#[must_use]
pub fn proposal_time(now_ms: u64, parent: &Header) -> u64 {
    now_ms.max(parent.time_ms.saturating_add(1))
}

/// Checks what the parent state determines about a header.
///
/// # Errors
///
/// [`InvalidBlock`], naming the first field that is wrong.
pub fn check_header(
    chain_id: &ChainId,
    start: &HeightStart,
    header: &Header,
) -> Result<(), InvalidBlock> {
    let parent = &start.parent;
    same("version", &header.version, &HEADER_VERSION)?;
    same("chain_id", &header.chain_id, chain_id)?;
    same("height", &header.height, &start.height())?;
    same("parent", &header.parent, &parent.hash())?;
    same("history_root", &header.history_root, &start.history_root)?;
    same("validators_hash", &header.validators_hash, &parent.next_validators_hash)?;
    if header.time_ms <= parent.time_ms && !mutants::is(Mutant::TimeIgnored) {
        let (time_ms, parent_ms) = (header.time_ms, parent.time_ms);
        return Err(InvalidBlock::Time { time_ms, parent_ms });
    }
    if header.proposer.and_then(|p| start.validators.get(p)).is_none() {
        return Err(InvalidBlock::Proposer { province: header.proposer });
    }
    Ok(())
}

/// Why a block is not one that was committed after a given parent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotCommitted {
    /// The block does not follow.
    #[error(transparent)]
    Block(#[from] InvalidBlock),
    /// The certificate is about something else.
    #[error("the certificate is for block {block} at height {height}")]
    OtherBlock {
        /// The block that it is for.
        block: BlockHash,
        /// That block's height.
        height: u64,
    },
    /// The certificate proves nothing.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Checks that a block from block sync was committed at the height that `start` governs: it
/// follows the tip, and more than two thirds of the set have signed it. Whether its transactions
/// do what it says is for its execution.
///
/// # Errors
///
/// [`NotCommitted`]: whoever sent it is to blame.
pub fn check_committed(
    chain_id: &ChainId,
    start: &HeightStart,
    header: &Header,
    certificate: &Certificate,
) -> Result<(), NotCommitted> {
    check_header(chain_id, start, header)?;
    if certificate.block != header.hash() || certificate.height != header.height {
        let (block, height) = (certificate.block, certificate.height);
        return Err(NotCommitted::OtherBlock { block, height });
    }
    Ok(certificate.verify(chain_id, &start.validators)?)
}

/// Checks what a header says about its own transactions.
///
/// # Errors
///
/// [`InvalidBlock`], naming the first claim that execution does not bear out.
pub fn check_outcome(header: &Header, outcome: &Outcome) -> Result<(), InvalidBlock> {
    if outcome.transactions > MAX_BLOCK_TRANSACTIONS {
        return Err(InvalidBlock::TooManyTransactions { count: outcome.transactions });
    }
    if outcome.bytes > MAX_BLOCK_BYTES {
        return Err(InvalidBlock::TooLong { bytes: outcome.bytes });
    }
    same("transactions_root", &header.transactions_root, &outcome.transactions_root)?;
    if !mutants::is(Mutant::StateRootIgnored) {
        same("state_root", &header.state_root, &outcome.state_root)?;
    }
    same("next_validators_hash", &header.next_validators_hash, &outcome.next_validators_hash)
}

/// Whether the round's proposer may propose this block: its own, or in a later round any that a
/// quorum has prevoted before.
#[must_use]
pub(crate) fn proposer_fits(
    header: &Header,
    proposer: ProvinceCode,
    pol_round: Option<u32>,
) -> bool {
    pol_round.is_some() || header.proposer == Some(proposer) || mutants::is(Mutant::ProposerIgnored)
}

fn same<T: PartialEq + std::fmt::Display>(
    field: &'static str,
    actual: &T,
    expected: &T,
) -> Result<(), InvalidBlock> {
    if actual == expected {
        return Ok(());
    }
    let (actual, expected) = (actual.to_string(), expected.to_string());
    Err(InvalidBlock::Field { field, actual, expected })
}
