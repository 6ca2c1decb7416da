//! The pool: transactions that wait for a block.
//!
//! A transaction enters when its form, chain, window and signature are right. If it also applies
//! at the tip it is gossiped; if it does not, it stays in this node's pool only, since it may
//! apply once another one arrives (a `Resume` after its `Suspend`), for at most
//! [`MAX_FAILED_HEIGHTS`] heights. What a refusal can never turn into success for is refused at
//! once. Nothing here decides what is true: the chain does, and a status from here is a view of
//! one node.
//!
//! No signer delays another: each has a share of the places, and blocks are filled by turns. Nor
//! does one with a key of his that has ended, or has another purpose, take his share.

mod refusal;
mod waiting;
mod watcher;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use symbolon_contracts::{
    ApplyError, BlockContext, Overlay, Rejection, RejectionCode, signer_key, try_transaction,
};
use symbolon_ledger::{
    hash::TransactionId,
    transaction::{SignedTransaction, Verified},
};
use tokio::sync::mpsc;

pub use refusal::{SubmitError, SubmitErrorKind};
use refusal::{check_window, malformed, rejected};
use waiting::Inner;
pub use waiting::{
    MAX_POOL_BYTES, MAX_POOL_BYTES_OF_ONE, MAX_POOL_TRANSACTIONS, MAX_POOL_TRANSACTIONS_OF_ONE,
    OFFER_AGAIN_AFTER,
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
                // Its submitter has doubts, so perhaps nobody heard of it.
                if applies {
                    self.offer(transaction);
                }
                Ok(Submitted::Pending(id))
            }
            Standing::New(transaction) => {
                let (transaction, applies) =
                    self.take(&view, &mut Overlay::new(&view), transaction)?;
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
    /// another one waits here like the rest, and is offered to the others when that takes long.
    pub fn receive(&self, batch: &[Vec<u8>]) -> Received {
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
                    if let Ok((_, true)) = self.take(&view, &mut trial, transaction) {
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
    /// applies now it is passed on and goes on waiting; if it does not, it is dropped, so that
    /// this node proposes nothing after its submitter was told no. Copies that were passed on while
    /// it applied may still be committed. Executes: not for an asynchronous task.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: why it was dropped.
    pub fn retry_or_drop(&self, id: &TransactionId) -> Result<(), SubmitError> {
        let waiting = self.lock().waiting.get(id).map(|w| w.transaction.clone());
        let Some(transaction) = waiting else { return Ok(()) };
        let view = self.store.view().map_err(|e| self.fault(*id, &e))?;
        let Some((_, why)) = self.try_at_tip(&mut Overlay::new(&view), &view, &transaction)? else {
            if let Some(waiting) = self.lock().waiting.get_mut(id) {
                waiting.failure = None;
            }
            self.offer(transaction);
            return Ok(());
        };
        self.lock().drop_as(*id, PoolStatus::Rejected(why));
        Err(rejected(*id, &why))
    }

    /// Tries what has waited for [`OFFER_AGAIN_AFTER`] heights once more at the tip, in the order of
    /// [`Pool::candidates`] and a bounded number: what applies is offered to the others again, what does not is noted.
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
        for transaction in due {
            let id = transaction.transaction().id();
            match apply_at_tip(&mut trial, &view, &transaction) {
                Ok(()) => {
                    if let Some(waiting) = self.lock().waiting.get_mut(&id) {
                        waiting.failure = None;
                    }
                    self.offer(transaction);
                }
                Err(ApplyError::Rejected(why)) => self.refused(height + 1, vec![(id, why)]),
                Err(ApplyError::Fault(f)) => return Err(StorageError::Damaged(f.0)),
            }
        }
        Ok(())
    }

    /// Tells the other nodes and the engine of a transaction that applies. A full channel only
    /// delays it: [`Pool::revisit`] offers it again.
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
        self.lock().waiting.values().any(|waiting| waiting.failure.is_none())
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
            let Some(waiting) = inner.waiting.get_mut(&id) else { continue };
            let first = waiting.failure.map_or(height, |(first, _)| first);
            waiting.failure = Some((first, why));
            inner.tell(&id);
            if why.code.is_final() || height.saturating_sub(first) >= MAX_FAILED_HEIGHTS {
                inner.drop_as(id, PoolStatus::Rejected(why));
            }
        }
    }

    /// Forgets what the block at `height` committed and what can never be committed after it.
    pub fn committed(&self, height: u64, ids: impl Iterator<Item = TransactionId>) {
        let mut inner = self.lock();
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
        view: &View<'v>,
        trial: &mut Overlay<'_, View<'v>>,
        transaction: Verified,
    ) -> Result<(Arc<Verified>, bool), SubmitError> {
        let id = transaction.transaction().id();
        let transaction = Arc::new(transaction);
        let failure = self.try_at_tip(trial, view, &transaction)?;
        let applies = failure.is_none();
        self.lock().insert(id, transaction.clone(), failure, view.tip().height)?;
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

    fn try_at_tip<'v>(
        &self,
        trial: &mut Overlay<'_, View<'v>>,
        view: &View<'v>,
        transaction: &Verified,
    ) -> Result<Option<(u64, Rejection)>, SubmitError> {
        let id = transaction.transaction().id();
        match apply_at_tip(trial, view, transaction) {
            Ok(()) => Ok(None),
            Err(ApplyError::Rejected(why)) if why.code.is_final() => Err(rejected(id, &why)),
            Err(ApplyError::Rejected(why)) => Ok(Some((view.tip().height + 1, why))),
            Err(ApplyError::Fault(f)) => Err(self.fault(id, &StorageError::Damaged(f.0))),
        }
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

/// Whether a transaction applies to the view's state, of which `trial` has read some.
fn apply_at_tip<'v>(
    trial: &mut Overlay<'_, View<'v>>,
    view: &View<'v>,
    transaction: &Verified,
) -> Result<(), ApplyError> {
    let context = BlockContext { chain_id: view.chain_id(), height: view.tip().height + 1 };
    try_transaction(trial, &context, transaction)
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

#[cfg(test)]
mod tests {
    use symbolon_genesis::{
        founding::TRANSACTION_KEY_ID,
        presets::{DevnetKeys, devnet_from_seed, devnet_uscc},
    };
    use symbolon_ledger::{
        keys::SecretKey,
        operation::{Actor, Operation},
        transaction::{PAYLOAD_VERSION, Payload},
    };

    use super::*;

    struct Pooled {
        _folder: tempfile::TempDir,
        store: Arc<Store>,
        keys: Vec<DevnetKeys>,
        pool: Pool,
        worked: mpsc::Receiver<()>,
    }

    /// An empty pool over a new chain.
    fn pooled() -> Pooled {
        let folder = tempfile::tempdir().unwrap();
        let (genesis, keys) = devnet_from_seed(4, &[5; 32], 1_800_000_000_000, 1);
        let store = Arc::new(Store::open(folder.path(), &genesis).unwrap());
        let (gossip, _) = mpsc::channel(1);
        let (work, worked) = mpsc::channel(1);
        let pool = Pool::new(store.clone(), PoolOutlets { gossip, work });
        Pooled { _folder: folder, store, keys, pool, worked }
    }

    fn reservation(store: &Store, keys: &DevnetKeys, key: &SecretKey, nonce: u8) -> Vec<u8> {
        signed(store, keys, key, nonce, 10)
    }

    /// A reservation of slots by the agency of these keys' province, signed with `key`.
    fn signed(
        store: &Store,
        keys: &DevnetKeys,
        key: &SecretKey,
        nonce: u8,
        valid_until_height: u64,
    ) -> Vec<u8> {
        let agency = devnet_uscc(keys.province);
        let payload = Payload {
            version: PAYLOAD_VERSION,
            chain_id: store.chain_id(),
            actor: Actor::Agency(agency),
            key_id: TRANSACTION_KEY_ID,
            nonce: [nonce; 16],
            valid_until_height,
            operations: vec![Operation::ReserveSlots { agency, blocks: 1 }],
        };
        SignedTransaction::sign(&payload, key).unwrap().as_bytes().to_vec()
    }

    #[test]
    fn what_is_bad_in_a_batch_keeps_nobody_from_what_came_before_it() {
        let Pooled { store, keys, pool, mut worked, .. } = pooled();
        let own = &keys[0];
        let good = reservation(&store, own, &own.transaction, 1);
        let forged = reservation(&store, own, &keys[1].transaction, 2);
        assert_eq!(pool.receive(&[good.clone(), forged]), Received::Bad);
        assert_eq!((pool.len(), worked.try_recv()), (1, Ok(())));
        // Again, or no transaction at all.
        assert_eq!(pool.receive(std::slice::from_ref(&good)), Received::OfNoUse);
        assert_eq!(pool.receive(&[good, vec![0]]), Received::Bad);
        assert!(worked.try_recv().is_err());
    }

    #[test]
    fn no_batch_is_passed_on_with_a_signature_that_was_not_checked_here() {
        let Pooled { store, keys, pool, .. } = pooled();
        let (own, other) = (&keys[0], &keys[1].transaction);
        let known = reservation(&store, own, &own.transaction, 1);
        assert_eq!(pool.receive(std::slice::from_ref(&known)), Received::PassOn);
        let fresh = |nonce| reservation(&store, own, &own.transaction, nonce);
        // The very bytes that wait here are vouched for.
        assert_eq!(pool.receive(&[known, fresh(2)]), Received::PassOn);
        // The name of what waits, over another signature; and two whose signatures this node does
        // not look at, while another one may. What is good beside them waits here.
        let renamed = reservation(&store, own, other, 1);
        let over = signed(&store, own, other, 3, 0);
        let far = signed(&store, own, other, 4, u64::MAX);
        for (nonce, unchecked) in [(10, renamed), (11, over), (12, far)] {
            let fresh = fresh(nonce);
            let before = pool.len();
            assert_eq!(pool.receive(&[unchecked, fresh]), Received::OfNoUse);
            assert_eq!(pool.len(), before + 1);
        }
    }
}
