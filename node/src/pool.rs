//! The pool: transactions that wait for a block.
//!
//! A transaction enters when its form, chain, window and signature are right. If it also applies
//! at the tip it is gossiped; if it does not, it stays in this node's pool only, since it may
//! apply once another one arrives (a `Resume` after its `Suspend`), for at most
//! [`MAX_FAILED_HEIGHTS`] heights. What a refusal can never turn into success for is refused at
//! once. Nothing here decides what is true: the chain does, and a status from here is a view of
//! one node.
//!
//! No signer delays another: each has a share of the places and of the work of [`trials`], and
//! blocks are filled by turns. Nor does one with a key of his that has ended, or has another purpose,
//! take his share.

mod refusal;
#[cfg(test)]
mod tests;
mod trials;
mod waiting;
mod watcher;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use symbolon_contracts::{
    ApplyError, BlockContext, Overlay, Rejection, RejectionCode, is_heavy, signer_key,
    try_transaction,
};
use symbolon_ledger::{
    hash::TransactionId,
    transaction::{SignedTransaction, Verified},
};
use tokio::sync::mpsc;

pub use refusal::{SubmitError, SubmitErrorKind};
use refusal::{check_window, malformed, rejected, tried_enough};
use trials::{NotTried, home_of};
use waiting::Inner;
pub use waiting::{
    MAX_POOL_BYTES, MAX_POOL_BYTES_OF_ONE, MAX_POOL_TRANSACTIONS, MAX_POOL_TRANSACTIONS_OF_ONE,
    OFFER_AGAIN_AFTER, Offerer,
};
pub use watcher::Watcher;

use crate::{
    execution::{Known, Refused},
    storage::{StorageError, Store, View},
};

/// How many heights a transaction that does not apply is tried before it is dropped.
pub const MAX_FAILED_HEIGHTS: u64 = 20;
/// Code of a signature that does not hold under a key which the chain knows. Key numbers are never
/// given twice, so it holds nowhere.
const BAD_SIGNATURE: &str = RejectionCode::WrongKey.name();

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// It waits for a block.
    Pending(TransactionId),
    /// It was committed before: a second submission is harmless.
    Committed {
        /// The transaction.
        id: TransactionId,
        /// Height of its block.
        height: u64,
    },
}

/// What this node knows of a transaction that is not committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolStatus {
    /// It waits.
    Pending {
        /// Why it did not apply when it was last tried.
        last_failure: Option<Rejection>,
    },
    /// It was dropped; it may still be submitted again.
    Rejected(Rejection),
    /// Its window has passed: it can never be committed.
    Expired,
}

/// What to do with transactions that another node has sent together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// One of them is new and applies, and no signature in the batch is bad: the others should hear
    /// of it.
    PassOn,
    /// Nothing new, or nothing that this node could vouch for as a whole. Nobody is to blame.
    OfNoUse,
    /// No honest node passes it on.
    Bad,
}

/// Who is told of new transactions.
#[derive(Debug, Clone)]
pub struct PoolOutlets {
    /// Transactions for the other nodes.
    pub gossip: mpsc::Sender<Arc<Verified>>,
    /// The engine: there is work.
    pub work: mpsc::Sender<()>,
}

/// Transactions that wait for a block.
#[derive(Debug)]
pub struct Pool {
    store: Arc<Store>,
    outlets: PoolOutlets,
    inner: Mutex<Inner>,
}

impl Pool {
    /// An empty pool over `store`.
    #[must_use]
    pub fn new(store: Arc<Store>, outlets: PoolOutlets) -> Self {
        Self { store, outlets, inner: Mutex::default() }
    }

    /// Takes a transaction from its submitter. Checks a signature and executes against the tip:
    /// not for an asynchronous task.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: then this node has forgotten the transaction.
    pub fn submit(&self, bytes: &[u8]) -> Result<Submitted, SubmitError> {
        let transaction = SignedTransaction::decode(bytes).map_err(|e| malformed(&e))?;
        let id = transaction.id();
        let view = self.store.view().map_err(|e| self.fault(id, &e))?;
        match self.look_at(&view, transaction)? {
            Standing::Committed(height) => Ok(Submitted::Committed { id, height }),
            Standing::Waits { transaction, applies } => {
                self.lock().offer_here(&id);
                // Its submitter has doubts, so perhaps nobody heard of it.
                if applies {
                    self.offer(transaction);
                }
                Ok(Submitted::Pending(id))
            }
            Standing::New(transaction) => {
                let (transaction, applies) =
                    self.take((&view, &mut Overlay::new(&view)), transaction, Offerer::Here)?;
                if applies {
                    self.offer(transaction);
                }
                Ok(Submitted::Pending(id))
            }
        }
    }

    /// Takes transactions that another node has sent together.
    ///
    /// A batch is passed on as it came, and whoever passes on a bad signature is blamed for it. So
    /// it is passed on only when every signature in it was checked here, byte by byte. What is good of
    /// another one waits here like the rest, and is offered to the others when that takes long, if this
    /// node is the `offerer`.
    pub fn receive(&self, batch: &[Vec<u8>], offerer: Offerer) -> Received {
        let Ok(decoded) =
            batch.iter().map(|b| SignedTransaction::decode(b)).collect::<Result<Vec<_>, _>>()
        else {
            return Received::Bad;
        };
        let view = match self.store.view() {
            Ok(view) => view,
            Err(error) => {
                self.store.note_fault(&error);
                return Received::OfNoUse;
            }
        };
        let mut trial = Overlay::new(&view);
        let (mut is_fresh, mut vouched) = (false, true);
        for (bytes, transaction) in batch.iter().zip(decoded) {
            match self.look_at(&view, transaction) {
                Ok(Standing::New(transaction)) => {
                    let taken = self.take((&view, &mut trial), transaction, offerer);
                    if let Ok((_, true)) = taken {
                        is_fresh = true;
                        let _ = self.outlets.work.try_send(());
                    }
                }
                Ok(Standing::Waits { transaction, .. }) => {
                    vouched &= transaction.transaction().as_bytes() == bytes.as_slice();
                }
                Err(error) if error.code == BAD_SIGNATURE => return Received::Bad,
                Ok(Standing::Committed(_)) | Err(_) => vouched = false,
            }
        }
        if is_fresh && vouched { Received::PassOn } else { Received::OfNoUse }
    }

    /// What this node knows of a transaction that is not committed.
    #[must_use]
    pub fn status(&self, id: &TransactionId) -> Option<PoolStatus> {
        let inner = self.lock();
        match inner.waiting.get(id) {
            Some(waiting) => {
                Some(PoolStatus::Pending { last_failure: waiting.failure.map(|(_, why)| why) })
            }
            None => inner.dropped.get(id).map(|(_, status)| status.clone()),
        }
    }

    /// Tries a transaction once more at the tip, for a submitter who will wait no longer. If it
    /// applies now it is passed on and goes on waiting, and it goes on waiting if its signer has made
    /// enough work before the next block; if it does not apply, it is dropped, so that this node
    /// proposes nothing after its submitter was told no. Copies that were passed on while
    /// it applied may still be committed. Executes: not for an asynchronous task.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: why it was dropped.
    pub fn retry_or_drop(&self, id: &TransactionId) -> Result<(), SubmitError> {
        let waiting = self.lock().waiting.get(id).map(|w| w.transaction.clone());
        let Some(transaction) = waiting else { return Ok(()) };
        let view = self.store.view().map_err(|e| self.fault(*id, &e))?;
        match self.attempt(&mut Overlay::new(&view), &view, &transaction) {
            Ok(()) => {
                self.lock().set_failure(id, None);
                self.offer(transaction);
                Ok(())
            }
            Err(NotTried::Enough) => Ok(()),
            Err(NotTried::Rejected(why)) => {
                self.lock().drop_as(*id, PoolStatus::Rejected(why));
                Err(rejected(*id, &why))
            }
            Err(NotTried::Fault(fault)) => Err(self.fault(*id, &fault)),
        }
    }

    /// Tries what has waited for [`OFFER_AGAIN_AFTER`] heights once more at the tip, in the order of
    /// [`Pool::candidates`] and a bounded number: what applies is offered to the others again if that is
    /// this node's to do, and what does not is noted. Then after twice as many heights, and so on.
    /// To be called after each block, also by a node that proposes none. Executes: not for an
    /// asynchronous task.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn revisit(&self) -> Result<(), StorageError> {
        let view = self.store.view()?;
        let height = view.tip().height;
        let due = self.lock().take_due(height);
        let mut trial = Overlay::new(&view);
        for (transaction, offer) in due {
            let id = transaction.transaction().id();
            match self.attempt(&mut trial, &view, &transaction) {
                Ok(()) => {
                    self.lock().set_failure(&id, None);
                    if offer {
                        self.offer(transaction);
                    }
                }
                Err(NotTried::Enough) => {}
                Err(NotTried::Rejected(why)) => self.refused(height + 1, vec![(id, why)]),
                Err(NotTried::Fault(fault)) => return Err(fault),
            }
        }
        Ok(())
    }

    /// Tells the other nodes and the engine of a transaction that applies. A full channel only
    /// delays it: [`Pool::revisit`] offers it again, and this node has its turn.
    fn offer(&self, transaction: Arc<Verified>) {
        let _ = self.outlets.gossip.try_send(transaction);
        let _ = self.outlets.work.try_send(());
    }

    /// How many transactions wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a block would have something in it: a transaction that has not failed yet waits.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.lock().has_work()
    }

    /// The transactions for the next block, at most `most` of them: the oldest of every signer,
    /// then the second of every signer, and so on, so that a signer who sends many delays nobody
    /// but himself. Those that failed before come last.
    #[must_use]
    pub fn candidates(&self, most: usize) -> Vec<Arc<Verified>> {
        let inner = self.lock();
        let (mut fresh, mut failed) = (Vec::new(), Vec::new());
        for waiting in inner.in_fair_order().filter_map(|id| inner.waiting.get(&id)) {
            if fresh.len() == most {
                break;
            }
            let kind = if waiting.failure.is_none() { &mut fresh } else { &mut failed };
            kind.push(waiting.transaction.clone());
        }
        fresh.append(&mut failed);
        fresh.truncate(most);
        fresh
    }

    /// A transaction that waits here.
    #[must_use]
    pub fn transaction(&self, id: &TransactionId) -> Option<SignedTransaction> {
        self.lock().waiting.get(id).map(|waiting| waiting.transaction.transaction().clone())
    }

    /// Those of `ids` whose signatures were checked here.
    #[must_use]
    pub fn known(&self, ids: impl Iterator<Item = TransactionId>) -> Known {
        let inner = self.lock();
        ids.filter_map(|id| inner.waiting.get(&id).map(|w| (id, w.transaction.clone()))).collect()
    }

    /// Notes that these did not apply at `height`.
    pub fn refused(&self, height: u64, refused: Vec<Refused>) {
        let mut inner = self.lock();
        for (id, why) in refused {
            let Some(waiting) = inner.waiting.get(&id) else { continue };
            let first = waiting.failure.map_or(height, |(first, _)| first);
            inner.set_failure(&id, Some((first, why)));
            inner.tell(&id);
            if why.code.is_final() || height.saturating_sub(first) >= MAX_FAILED_HEIGHTS {
                inner.drop_as(id, PoolStatus::Rejected(why));
            }
        }
    }

    /// Forgets what the block at `height` committed and what can never be committed after it.
    pub fn committed(&self, height: u64, ids: impl Iterator<Item = TransactionId>) {
        let mut inner = self.lock();
        inner.trials.move_to(height);
        for id in ids {
            inner.remove(&id);
            inner.tell(&id);
        }
        let expired: Vec<_> = inner
            .waiting
            .iter()
            .filter(|(_, w)| w.transaction.transaction().payload().valid_until_height <= height)
            .map(|(id, _)| *id)
            .collect();
        for id in expired {
            inner.drop_as(id, PoolStatus::Expired);
        }
        let failed: Vec<_> = inner
            .waiting
            .iter()
            .filter_map(|(id, w)| w.failure.map(|(first, why)| (*id, first, why)))
            .filter(|(_, first, _)| height.saturating_sub(*first) >= MAX_FAILED_HEIGHTS)
            .map(|(id, _, why)| (id, why))
            .collect();
        for (id, why) in failed {
            inner.drop_as(id, PoolStatus::Rejected(why));
        }
    }

    /// What a transaction is here. Its signature was checked only if it is new.
    fn look_at(
        &self,
        view: &View<'_>,
        transaction: SignedTransaction,
    ) -> Result<Standing, SubmitError> {
        let id = transaction.id();
        if let Some(location) = view.transaction(&id).map_err(|e| self.fault(id, &e))? {
            return Ok(Standing::Committed(location.height));
        }
        if let Some(waiting) = self.lock().waiting.get(&id) {
            let applies = waiting.failure.is_none();
            return Ok(Standing::Waits { transaction: waiting.transaction.clone(), applies });
        }
        check_window(view, &transaction)?;
        Ok(Standing::New(self.check_signature(view, transaction)?))
    }

    /// Lets a new one wait, and says whether it applies at the tip.
    fn take<'v>(
        &self,
        (view, trial): (&View<'v>, &mut Overlay<'_, View<'v>>),
        transaction: Verified,
        offerer: Offerer,
    ) -> Result<(Arc<Verified>, bool), SubmitError> {
        let id = transaction.transaction().id();
        let transaction = Arc::new(transaction);
        let failure = self.try_at_tip(trial, view, &transaction)?;
        let applies = failure.is_none();
        let (tip, waits) = (view.tip().height, transaction.clone());
        self.lock().insert(id, waits, failure, (tip, offerer))?;
        Ok((transaction, applies))
    }

    fn check_signature(
        &self,
        view: &View<'_>,
        transaction: SignedTransaction,
    ) -> Result<Verified, SubmitError> {
        let id = transaction.id();
        let (actor, key_id) = (transaction.payload().actor, transaction.payload().key_id);
        let refuse = |code: RejectionCode, detail: String| SubmitError {
            code: code.name(),
            detail,
            hint: code.hint().into(),
            operation_index: None,
            id: Some(id),
            kind: SubmitErrorKind::Rejected,
        };
        let key = signer_key(view, actor, key_id)
            .map_err(|f| self.fault(id, &StorageError::Damaged(f.0)))?
            .ok_or_else(|| {
                let detail = format!("{actor} has no key {key_id}");
                refuse(RejectionCode::UnknownKey, detail)
            })?;
        transaction.verify(&key).map_err(|_| {
            let detail = format!("the signature is not by key {key_id} of {actor}");
            refuse(RejectionCode::WrongKey, detail)
        })
    }

    /// Why a transaction does not apply at the tip, and since which height; nothing when it does.
    fn try_at_tip<'v>(
        &self,
        trial: &mut Overlay<'_, View<'v>>,
        view: &View<'v>,
        transaction: &Verified,
    ) -> Result<Option<(u64, Rejection)>, SubmitError> {
        let id = transaction.transaction().id();
        match self.attempt(trial, view, transaction) {
            Ok(()) => Ok(None),
            Err(NotTried::Rejected(why)) if why.code.is_final() => Err(rejected(id, &why)),
            Err(NotTried::Rejected(why)) => Ok(Some((view.tip().height + 1, why))),
            Err(NotTried::Enough) => {
                Err(tried_enough(id, transaction.transaction().payload().actor))
            }
            Err(NotTried::Fault(fault)) => Err(self.fault(id, &fault)),
        }
    }

    /// Whether a transaction applies to the view's state, of which `trial` has read some. What may
    /// make much work is tried within its signer's bounds only.
    fn attempt<'v>(
        &self,
        trial: &mut Overlay<'_, View<'v>>,
        view: &View<'v>,
        transaction: &Verified,
    ) -> Result<(), NotTried> {
        let context = BlockContext { chain_id: view.chain_id(), height: view.tip().height + 1 };
        let payload = transaction.transaction().payload();
        if !is_heavy(&payload.operations) {
            return Ok(try_transaction(trial, &context, transaction)?);
        }
        let (id, signer) = (transaction.transaction().id(), payload.actor);
        let home = home_of(view, signer)?;
        let tip = view.tip().height;
        self.lock().trials.allow(tip, &id, signer, home)?;
        let before = trial.work();
        let result = try_transaction(trial, &context, transaction);
        let why = match &result {
            Err(ApplyError::Rejected(why)) => Some(*why),
            _ => None,
        };
        self.lock().trials.note(tip, id, signer, home, trial.work() - before, why);
        Ok(result?)
    }

    fn fault(&self, id: TransactionId, error: &StorageError) -> SubmitError {
        self.store.note_fault(error);
        SubmitError {
            code: "node_fault",
            detail: "this node cannot read its database".into(),
            hint: "submit the same bytes to another node".into(),
            operation_index: None,
            id: Some(id),
            kind: SubmitErrorKind::Fault,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change of `Inner` is complete when the lock is released, also by a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a transaction is to this node.
enum Standing {
    /// It was committed at this height.
    Committed(u64),
    /// It waits, perhaps under other bytes: its name does not depend on its signature.
    Waits { transaction: Arc<Verified>, applies: bool },
    /// It was not seen before, and its signature holds.
    New(Verified),
}
