//! Execution: what a block does to the state, computed before anybody votes for it.
//!
//! [`execute`] is deterministic in (the state of the view, height, transactions). Its result is
//! kept until the block is decided and then only written, never computed a second time.

use std::{collections::BTreeMap, sync::Arc};

use rayon::prelude::*;
use symbolon_contracts::{
    ApplyError, BlockContext, Changes, Event, Overlay, Rejection, StateFault, apply_transaction,
    feature, signer_key,
};
use symbolon_ledger::{
    block::{Block, Header, MAX_BLOCK_TRANSACTIONS},
    hash::{Digest, TransactionId},
    operation::Actor,
    records::{Record as _, ValidatorsRecord},
    state::StateKey,
    transaction::{MAX_OPERATIONS, SignedTransaction, Verified},
    tree::{self, Change, Hands, TreeError, TreeUpdate},
    validators::ValidatorSet,
};
use thiserror::Error;

use crate::storage::{StorageError, View};

/// Bytes of a block that are not its transactions: header, and the heads of the CBOR arrays.
const BLOCK_OVERHEAD: usize = 1_024;
/// Most work of transactions that do not apply, in records looked up or written, before a block is
/// made of what was found so far: a proposer must be done in time, whatever waits in its pool. It is
/// that of sixteen full transactions of licences, some tens of milliseconds.
const MAX_WASTED_WORK: u64 = 16 * 8 * MAX_OPERATIONS as u64;
/// The most of it for one signer; what else it has waits for the next block.
const MAX_WASTED_OF_ONE: u64 = MAX_WASTED_WORK / 4;
/// Fewer signatures than these are checked here and not spread over the cores: to wake a sleeping
/// thread, and to wait for it, takes as long as one or two of them.
const FEW_SIGNATURES: usize = 4;
/// Fewer changes than these are made here, for the same reason: each takes some tens of microseconds.
const FEW_CHANGES: usize = 32;
/// Bytes that a transaction's length takes beside its own.
const TRANSACTION_OVERHEAD: usize = 5;

/// What a block does.
#[derive(Debug, Clone)]
pub struct Executed {
    /// Records written and removed.
    pub changes: Changes,
    /// What it does to the state tree; holds the new state root.
    pub tree: TreeUpdate,
    /// Per transaction, in order, what happened.
    pub events: Vec<Vec<Event>>,
    /// The set that votes on the next block.
    pub next_validators: ValidatorSet,
}

impl Executed {
    /// The root of the state after the block.
    #[must_use]
    pub fn state_root(&self) -> Digest {
        self.tree.root
    }
}

/// Why a block could not be executed.
#[derive(Debug, Error)]
pub enum ExecutionError {
    /// A transaction does not apply: the block is invalid.
    #[error("transaction {index} does not apply: {rejection}")]
    Rejected {
        /// Its place in the block.
        index: usize,
        /// Why.
        rejection: Rejection,
    },
    /// A signature does not hold, or the signer is unknown: the block is invalid.
    #[error("transaction {index} is not signed by its actor")]
    Signature {
        /// Its place in the block.
        index: usize,
    },
    /// These bytes are not the block's body; somebody else may have it.
    #[error("not the body of this block: {0}")]
    OtherBody(String),
    /// The database cannot be trusted: the node stops.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<StateFault> for ExecutionError {
    fn from(fault: StateFault) -> Self {
        Self::Storage(StorageError::Damaged(fault.0))
    }
}

impl From<TreeError> for ExecutionError {
    fn from(error: TreeError) -> Self {
        Self::Storage(StorageError::damaged(error))
    }
}

/// Transactions whose signatures this node has checked before, by id.
pub type Known = BTreeMap<TransactionId, Arc<Verified>>;

/// Checks the signatures of `transactions` in parallel, but for those in `known`, which this
/// node has checked before. Equal ids are not enough for that: a signer can make two signatures
/// of one statement, so the bytes must be equal too.
///
/// # Errors
///
/// [`ExecutionError::Signature`] names the first that does not hold.
pub fn verify_signatures(
    view: &View<'_>,
    transactions: &[SignedTransaction],
    known: &Known,
) -> Result<Vec<Arc<Verified>>, ExecutionError> {
    let checked = |transaction: &SignedTransaction| {
        known.get(&transaction.id()).filter(|verified| verified.transaction() == transaction)
    };
    let verify = |(index, transaction): (usize, &SignedTransaction)| {
        if let Some(verified) = checked(transaction) {
            return Ok(verified.clone());
        }
        let payload = transaction.payload();
        let key = signer_key(view, payload.actor, payload.key_id)?
            .ok_or(ExecutionError::Signature { index })?;
        let verified = transaction.clone().verify(&key);
        verified.map(Arc::new).map_err(|_| ExecutionError::Signature { index })
    };
    if transactions.iter().filter(|t| checked(t).is_none()).take(FEW_SIGNATURES).count()
        < FEW_SIGNATURES
    {
        return transactions.iter().enumerate().map(verify).collect();
    }
    transactions.par_iter().enumerate().map(verify).collect()
}

/// Executes `transactions` as the block after the view's tip.
///
/// # Errors
///
/// [`ExecutionError`].
pub fn execute(
    view: &View<'_>,
    transactions: &[Arc<Verified>],
) -> Result<Executed, ExecutionError> {
    let context = context(view)?;
    let mut overlay = Overlay::new(view);
    let mut events = Vec::with_capacity(transactions.len());
    for (index, transaction) in transactions.iter().enumerate() {
        match apply_transaction(&mut overlay, &context, transaction) {
            Ok(happened) => events.push(happened),
            Err(ApplyError::Rejected(rejection)) => {
                return Err(ExecutionError::Rejected { index, rejection });
            }
            Err(ApplyError::Fault(fault)) => return Err(fault.into()),
        }
    }
    finish(view, overlay.into_changes(), events)
}

/// A transaction that the selection left out, and why.
pub type Refused = (TransactionId, Rejection);

/// Takes from `candidates`, in order, what applies after the view's tip and fits into a block of
/// `most_bytes`.
///
/// # Errors
///
/// [`ExecutionError::Storage`] only: a transaction that does not apply is left out and named.
pub fn select(
    view: &View<'_>,
    candidates: Vec<Arc<Verified>>,
    most_bytes: usize,
) -> Result<(Vec<SignedTransaction>, Executed, Vec<Refused>), ExecutionError> {
    let context = context(view)?;
    let mut overlay = Overlay::new(view);
    let (mut chosen, mut events, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    let (mut bytes, mut wasted) = (BLOCK_OVERHEAD, 0);
    let mut wasted_of: BTreeMap<Actor, u64> = BTreeMap::new();
    for candidate in candidates {
        let size = candidate.transaction().as_bytes().len() + TRANSACTION_OVERHEAD;
        let full = chosen.len() == MAX_BLOCK_TRANSACTIONS || bytes + size > most_bytes;
        if full || wasted > MAX_WASTED_WORK {
            break;
        }
        let signer = candidate.transaction().payload().actor;
        if wasted_of.get(&signer).is_some_and(|work| *work > MAX_WASTED_OF_ONE) {
            continue;
        }
        let before = overlay.work();
        match apply_transaction(&mut overlay, &context, &candidate) {
            Ok(happened) => {
                bytes += size;
                events.push(happened);
                chosen.push(candidate.transaction().clone());
            }
            Err(ApplyError::Rejected(rejection)) => {
                let work = overlay.work() - before;
                wasted += work;
                *wasted_of.entry(signer).or_default() += work;
                refused.push((candidate.transaction().id(), rejection));
            }
            Err(ApplyError::Fault(fault)) => return Err(fault.into()),
        }
    }
    let executed = finish(view, overlay.into_changes(), events)?;
    Ok((chosen, executed, refused))
}

/// Executes a whole block. Whether its header tells the truth about the outcome, [`agrees`] says.
///
/// # Errors
///
/// [`ExecutionError`]; a header that does not agree is no error.
pub fn execute_block(
    view: &View<'_>,
    block: &Block,
    known: &Known,
) -> Result<Executed, ExecutionError> {
    execute(view, &verify_signatures(view, &block.transactions, known)?)
}

/// Whether `header` names the outcome that was computed.
#[must_use]
pub fn agrees(header: &Header, executed: &Executed) -> bool {
    header.state_root == executed.state_root()
        && header.next_validators_hash == executed.next_validators.hash()
}

/// Whether this version knows every rule that holds for the block after the view's tip: to execute
/// it without one would give another state than the others have.
///
/// # Errors
///
/// [`StorageError::Feature`], or what the database says.
pub fn check_features(view: &View<'_>) -> Result<(), StorageError> {
    let next = view.tip().height.saturating_add(1);
    match feature::unknown(view, next).map_err(|fault| StorageError::Damaged(fault.0))? {
        Some((feature, from)) => Err(StorageError::Feature { feature, from }),
        None => Ok(()),
    }
}

fn context(view: &View<'_>) -> Result<BlockContext, ExecutionError> {
    check_features(view)?;
    Ok(BlockContext { chain_id: view.chain_id(), height: view.tip().height + 1 })
}

fn finish(
    view: &View<'_>,
    changes: Changes,
    events: Vec<Vec<Event>>,
) -> Result<Executed, ExecutionError> {
    let tip = view.tip();
    let change = |(key, record): (&StateKey, &Option<Vec<u8>>)| {
        key.is_authenticated().then(|| Change::new(key.map_key(), record.as_deref()))
    };
    // The parent's root is checked against the tip's header before anything is put on top.
    let root = tip.header.state_root;
    let tree = if changes.len() < FEW_CHANGES {
        tree::update(view, root, changes.iter().filter_map(change).collect())?
    } else {
        let authenticated = changes.par_iter().filter_map(change).collect();
        tree::update_with(view, root, authenticated, &AllCores)?
    };
    let next_validators = match changes.get(&StateKey::Validators) {
        Some(Some(bytes)) => ValidatorsRecord::from_bytes(bytes).map_err(StorageError::damaged)?,
        _ => validators(view)?,
    }
    .set;
    Ok(Executed { changes, tree, events, next_validators })
}

/// Spreads work over the cores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AllCores;

impl Hands for AllCores {
    fn spread<T: Send, R: Send>(&self, parts: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
        parts.into_par_iter().map(&work).collect()
    }
}

/// The set in the state of the view, which votes on the block after its tip.
///
/// # Errors
///
/// [`StorageError`].
pub fn validators(view: &View<'_>) -> Result<ValidatorsRecord, StorageError> {
    view.record(&StateKey::Validators)?
        .ok_or_else(|| StorageError::damaged("the state has no validators"))
}
