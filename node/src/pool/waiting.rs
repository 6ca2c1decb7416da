//! What waits, in whose share and in which order; and what was dropped, for those who ask. When a
//! transaction applies is not decided here.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry},
    sync::Arc,
};

use symbolon_contracts::Rejection;
use symbolon_ledger::{hash::TransactionId, operation::Actor, transaction::Verified};
use tokio::sync::watch;

use super::{PoolStatus, SubmitError, SubmitErrorKind, trials::Trials};

/// Most transactions that wait: about five full blocks.
pub const MAX_POOL_TRANSACTIONS: usize = 20_000;
/// Most bytes that wait: sixteen full blocks.
pub const MAX_POOL_BYTES: usize = 64 * 1024 * 1024;
/// Most transactions of one signer that wait, so that no agency can take every place, nor two
/// together.
pub const MAX_POOL_TRANSACTIONS_OF_ONE: usize = MAX_POOL_TRANSACTIONS / 4;
/// Most bytes of one signer that wait: four full blocks.
pub const MAX_POOL_BYTES_OF_ONE: usize = MAX_POOL_BYTES / 4;
/// How many heights a transaction waits before it is tried and offered to the others once more:
/// its first message may have been lost, and proposers come round in a few heights. After each time it
/// waits for twice as many: where everything waits long, what was said before would otherwise fill the
/// lines, and nothing would come over them any more.
pub const OFFER_AGAIN_AFTER: u64 = 5;
/// Where no more than these wait, everybody offers them: bytes are of no account there, and the node
/// that took them may be gone.
const FEW: usize = 8;
/// Most operations that are tried again after one block: about a tenth of a second of one core.
const MAX_OPERATIONS_AGAIN: usize = 2_048;
/// How many dropped transactions are remembered, so that their submitters can ask why.
const MAX_REMEMBERED: usize = 10_000;

/// Who offers a transaction to the others again when it waits long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offerer {
    /// This node: it was submitted here, or some have perhaps not heard of it.
    Here,
    /// The validator that it was submitted to, from which everybody has presumably heard of it.
    Elsewhere,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) transaction: Arc<Verified>,
    turn: u64,
    /// Height at which it first failed, and why it last did. Changed by [`Inner::set_failure`].
    pub(super) failure: Option<(u64, Rejection)>,
    /// Height at which it is tried here again, and how many later the next time.
    due: u64,
    pause: u64,
    /// Who offers it to the others again.
    offerer: Offerer,
}

impl Waiting {
    fn actor(&self) -> Actor {
        self.transaction.transaction().payload().actor
    }
}

/// What waits of one signer: its transactions in turn, and their bytes.
#[derive(Debug, Default)]
struct Share {
    turns: BTreeMap<u64, TransactionId>,
    /// Those of them that did not apply when they were last tried.
    failing: BTreeSet<u64>,
    bytes: usize,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) waiting: BTreeMap<TransactionId, Waiting>,
    turns: BTreeMap<u64, TransactionId>,
    /// Turns of those that did not apply when they were last tried.
    failing: BTreeSet<u64>,
    /// What waits of each signer.
    shares: BTreeMap<Actor, Share>,
    pub(super) trials: Trials,
    next_turn: u64,
    bytes: usize,
    /// Why those last dropped were dropped, each with its place in `dropped_order`.
    pub(super) dropped: BTreeMap<TransactionId, (u64, PoolStatus)>,
    dropped_order: BTreeMap<u64, TransactionId>,
    next_drop: u64,
    /// Whoever waits for one transaction; see [`Watcher`].
    pub(super) watched: HashMap<TransactionId, watch::Sender<()>>,
}

impl Inner {
    pub(super) fn insert(
        &mut self,
        id: TransactionId,
        transaction: Arc<Verified>,
        failure: Option<(u64, Rejection)>,
        (tip, offerer): (u64, Offerer),
    ) -> Result<(), SubmitError> {
        let size = transaction.transaction().as_bytes().len();
        let (turn, pause) = (self.next_turn, OFFER_AGAIN_AFTER);
        let due = tip.saturating_add(pause);
        let waiting = Waiting { transaction, turn, failure, due, pause, offerer };
        let actor = waiting.actor();
        let full = |detail: String| SubmitError {
            code: "pool_full",
            detail,
            hint: "submit the same bytes again in a few seconds".into(),
            operation_index: None,
            id: Some(id),
            kind: SubmitErrorKind::Full,
        };
        if self.waiting.contains_key(&id) {
            if offerer == Offerer::Here {
                self.offer_here(&id);
            }
            return Ok(());
        }
        // What fails gives way to what applies, the oldest first: of the same signer, so that
        // whoever fills an owner's share with what fails does not shut the owner out; and of all.
        let may_push_out = failure.is_none();
        while let Some(share) = self.shares.get(&actor) {
            let (count, bytes) = (share.turns.len(), share.bytes);
            if count < MAX_POOL_TRANSACTIONS_OF_ONE && bytes + size <= MAX_POOL_BYTES_OF_ONE {
                break;
            }
            let oldest = self.oldest_failing(&share.failing).filter(|_| may_push_out);
            let Some((failing, why)) = oldest else {
                let waiting = format!("{count} transactions ({bytes} bytes) of {actor} wait");
                return Err(full(format!("{waiting} already")));
            };
            self.drop_as(failing, PoolStatus::Rejected(why));
        }
        while self.waiting.len() >= MAX_POOL_TRANSACTIONS || self.bytes + size > MAX_POOL_BYTES {
            let oldest = self.oldest_failing(&self.failing).filter(|_| may_push_out);
            let Some((failing, why)) = oldest else {
                return Err(full(format!("{} transactions wait already", self.waiting.len())));
            };
            self.drop_as(failing, PoolStatus::Rejected(why));
        }
        self.turns.insert(waiting.turn, id);
        let share = self.shares.entry(actor).or_default();
        share.turns.insert(waiting.turn, id);
        share.bytes += size;
        self.waiting.insert(id, waiting);
        self.set_failure(&id, failure);
        self.next_turn += 1;
        self.bytes += size;
        self.forget(&id);
        Ok(())
    }

    /// Notes that a transaction does not apply, or that it does.
    pub(super) fn set_failure(&mut self, id: &TransactionId, failure: Option<(u64, Rejection)>) {
        let Some(waiting) = self.waiting.get_mut(id) else { return };
        if let (None, Some((since, _))) = (waiting.failure, failure) {
            // It may apply again soon, however long it had applied before.
            waiting.pause = OFFER_AGAIN_AFTER;
            waiting.due = waiting.due.min(since.saturating_add(OFFER_AGAIN_AFTER));
        }
        waiting.failure = failure;
        let (turn, actor) = (waiting.turn, waiting.actor());
        let share = self.shares.get_mut(&actor).map(|share| &mut share.failing);
        for failing in [Some(&mut self.failing), share].into_iter().flatten() {
            match failure {
                Some(_) => failing.insert(turn),
                None => failing.remove(&turn),
            };
        }
    }

    /// It was submitted to this node as well.
    pub(super) fn offer_here(&mut self, id: &TransactionId) {
        if let Some(waiting) = self.waiting.get_mut(id) {
            waiting.offerer = Offerer::Here;
        }
    }

    /// Whether something waits that has not failed yet.
    pub(super) fn has_work(&self) -> bool {
        self.failing.len() < self.waiting.len()
    }

    /// The oldest of these that fail, and why.
    fn oldest_failing(&self, failing: &BTreeSet<u64>) -> Option<(TransactionId, Rejection)> {
        let id = self.turns.get(failing.first()?)?;
        Some((*id, self.waiting.get(id)?.failure?.1))
    }

    /// All that waits: the oldest of every signer, then the second of every signer, and so on.
    pub(super) fn in_fair_order(&self) -> impl Iterator<Item = TransactionId> {
        let mut queues: Vec<_> = self.shares.values().map(|share| share.turns.iter()).collect();
        let rows = std::iter::from_fn(move || {
            let mut row: Vec<(&u64, &TransactionId)> = Vec::with_capacity(queues.len());
            queues.retain_mut(|queue| queue.next().map(|next| row.push(next)).is_some());
            row.sort_unstable();
            (!row.is_empty()).then_some(row)
        });
        rows.flatten().map(|(_, id)| *id)
    }

    /// The transactions that were last tried long ago, in fair order, and whether they are this node's
    /// to offer; they count as tried now.
    pub(super) fn take_due(&mut self, height: u64) -> Vec<(Arc<Verified>, bool)> {
        let is_due = |waiting: &Waiting| waiting.due <= height;
        // Of most blocks, nothing is: then nothing is put in order either.
        if !self.waiting.values().any(is_due) {
            return Vec::new();
        }
        let (mut due, mut operations) = (Vec::new(), 0);
        let few = self.waiting.len() <= FEW;
        for (id, waiting) in
            self.in_fair_order().filter_map(|id| Some((id, self.waiting.get(&id)?)))
        {
            if !is_due(waiting) {
                continue;
            }
            operations += waiting.transaction.transaction().payload().operations.len();
            if operations > MAX_OPERATIONS_AGAIN {
                break;
            }
            due.push((id, waiting.transaction.clone(), few || waiting.offerer == Offerer::Here));
        }
        for (id, ..) in &due {
            if let Some(waiting) = self.waiting.get_mut(id) {
                // What fails is tried as often as before, since it waits for another.
                let applies = waiting.failure.is_none();
                let longer = waiting.pause.saturating_mul(2);
                waiting.pause = if applies { longer } else { OFFER_AGAIN_AFTER };
                waiting.due = height.saturating_add(waiting.pause);
            }
        }
        due.into_iter().map(|(_, transaction, offer)| (transaction, offer)).collect()
    }

    pub(super) fn remove(&mut self, id: &TransactionId) {
        let Some(waiting) = self.waiting.remove(id) else { return };
        let size = waiting.transaction.transaction().as_bytes().len();
        self.turns.remove(&waiting.turn);
        self.failing.remove(&waiting.turn);
        self.bytes -= size;
        if let Entry::Occupied(mut share) = self.shares.entry(waiting.actor()) {
            share.get_mut().turns.remove(&waiting.turn);
            share.get_mut().failing.remove(&waiting.turn);
            share.get_mut().bytes -= size;
            if share.get().turns.is_empty() {
                share.remove();
            }
        }
    }

    pub(super) fn drop_as(&mut self, id: TransactionId, status: PoolStatus) {
        self.remove(&id);
        self.forget(&id);
        self.tell(&id);
        self.dropped.insert(id, (self.next_drop, status));
        self.dropped_order.insert(self.next_drop, id);
        self.next_drop += 1;
        while self.dropped_order.len() > MAX_REMEMBERED {
            if let Some((_, oldest)) = self.dropped_order.pop_first() {
                self.dropped.remove(&oldest);
            }
        }
    }

    /// Forgets that a transaction was dropped.
    fn forget(&mut self, id: &TransactionId) {
        if let Some((place, _)) = self.dropped.remove(id) {
            self.dropped_order.remove(&place);
        }
    }
}
