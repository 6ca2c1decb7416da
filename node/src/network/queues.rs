//! The bounded queues between the network and the rest of the node, ordered by importance.
//!
//! [`Mailbox`] is what is wanted of the network, consensus before transactions; its lock is held for a
//! push or a swap, never while anything waits. [`Outbox`] is what the engine has yet to hear, and the
//! transactions that have yet to be checked: neither waits for the other. What does not fit is
//! dropped, oldest first, and counted; of what peers send, the oldest of the peer that sends most
//! ([`Fair`]).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
};

use libp2p::Multiaddr;
use symbolon_ledger::{
    hash::{BlockHash, Digest},
    transaction::MAX_TRANSACTION_BYTES,
};
use tokio::sync::Notify;

use super::{
    Acceptance, NetworkEvent, PeerIndex, TransactionBatch,
    bodies::Sources,
    counters::{NetworkCounters, count},
    fair::Fair,
    gossip::GossipId,
    limits::{
        BATCH_BYTES, BATCH_TRANSACTIONS, CONSENSUS_MESSAGE_BYTES, OUTGOING_CONSENSUS,
        OUTGOING_ORDERS, OUTGOING_TRANSACTION_BYTES, WAITING_CONSENSUS, WAITING_TRANSACTION_BYTES,
    },
};

/// What a transaction takes in memory beside its bytes, so that many small ones weigh what they cost.
const TRANSACTION_OVERHEAD: usize = 64;

/// Validators to admit: peer ids and addresses.
pub(super) type Admitted = Vec<(Vec<u8>, Vec<Multiaddr>)>;

/// An order of the engine.
#[derive(Debug)]
pub(super) enum Order {
    Announce { block: BlockHash, height: u64, bytes: Arc<Vec<u8>> },
    FetchBody { block: BlockHash, height: u64, sources: Sources },
    FetchBlocks { from: u64, to: u64, peer: Option<PeerIndex> },
    AskSnapshots,
    FetchPart { snapshot: (u64, Digest), part: u64, avoid: Vec<PeerIndex> },
    Report { id: GossipId, verdict: Acceptance },
    Blame { peer: PeerIndex },
}

#[derive(Debug, Default)]
struct Waiting {
    admitted: Option<Admitted>,
    orders: VecDeque<Order>,
    consensus: VecDeque<Vec<u8>>,
    transactions: VecDeque<Vec<u8>>,
    transaction_bytes: usize,
}

/// What the engine wants done.
#[derive(Debug)]
pub(super) struct Mailbox {
    waiting: Mutex<Waiting>,
    counters: Arc<NetworkCounters>,
    /// Wakes the task.
    pub(super) wake: Notify,
}

/// Everything but transactions, taken at once.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) admitted: Option<Admitted>,
    pub(super) consensus: VecDeque<Vec<u8>>,
    pub(super) orders: VecDeque<Order>,
}

impl Mailbox {
    pub(super) fn new(counters: Arc<NetworkCounters>) -> Self {
        Self { waiting: Mutex::default(), counters, wake: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Every change below is complete before the lock can be poisoned.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn order(&self, order: Order) {
        let dropped = push(&mut self.lock().orders, order, OUTGOING_ORDERS);
        if dropped.is_some() {
            count(&self.counters.orders_dropped);
        }
        self.wake.notify_one();
    }

    pub(super) fn admit(&self, peers: Admitted) {
        self.lock().admitted = Some(peers);
        self.wake.notify_one();
    }

    pub(super) fn consensus(&self, bytes: Vec<u8>) {
        if bytes.len() > CONSENSUS_MESSAGE_BYTES {
            count(&self.counters.consensus_dropped);
            return;
        }
        if push(&mut self.lock().consensus, bytes, OUTGOING_CONSENSUS).is_some() {
            count(&self.counters.consensus_dropped);
        }
        self.wake.notify_one();
    }

    pub(super) fn transactions(&self, transactions: Vec<Vec<u8>>) {
        let mut dropped = 0;
        {
            let mut waiting = self.lock();
            for transaction in transactions {
                if transaction.is_empty() || transaction.len() > MAX_TRANSACTION_BYTES {
                    dropped += 1;
                    continue;
                }
                waiting.transaction_bytes += transaction.len();
                waiting.transactions.push_back(transaction);
                while waiting.transaction_bytes > OUTGOING_TRANSACTION_BYTES {
                    let Some(oldest) = waiting.transactions.pop_front() else { break };
                    waiting.transaction_bytes -= oldest.len();
                    dropped += 1;
                }
            }
        }
        self.counters.transactions_dropped_outgoing.fetch_add(dropped, Relaxed);
        self.wake.notify_one();
    }

    /// Takes all orders and consensus messages.
    pub(super) fn take(&self) -> Taken {
        let mut waiting = self.lock();
        Taken {
            admitted: waiting.admitted.take(),
            consensus: std::mem::take(&mut waiting.consensus),
            orders: std::mem::take(&mut waiting.orders),
        }
    }

    pub(super) fn has_transactions(&self) -> bool {
        !self.lock().transactions.is_empty()
    }

    /// Takes as many transactions as one batch may have.
    pub(super) fn take_batch(&self) -> Vec<Vec<u8>> {
        let mut waiting = self.lock();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_TRANSACTIONS {
            let Some(next) = waiting.transactions.front() else { break };
            if bytes + next.len() > BATCH_BYTES {
                break;
            }
            bytes += next.len();
            batch.extend(waiting.transactions.pop_front());
        }
        waiting.transaction_bytes -= bytes;
        batch
    }
}

/// Appends, and gives back the oldest when there is no room.
fn push<T>(queue: &mut VecDeque<T>, item: T, bound: usize) -> Option<T> {
    let dropped = if queue.len() >= bound { queue.pop_front() } else { None };
    queue.push_back(item);
    dropped
}

/// What the engine has yet to hear, and whoever checks transactions.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    peers: VecDeque<NetworkEvent>,
    bodies: VecDeque<NetworkEvent>,
    consensus: Fair<NetworkEvent>,
    tips: BTreeMap<PeerIndex, u64>,
    transactions: Fair<TransactionBatch>,
}

impl Outbox {
    /// Whether there is no event. Transactions may wait.
    pub(super) fn is_empty(&self) -> bool {
        self.peers.is_empty()
            && self.bodies.is_empty()
            && self.consensus.is_empty()
            && self.tips.is_empty()
    }

    pub(super) fn has_transactions(&self) -> bool {
        !self.transactions.is_empty()
    }

    /// The most important event.
    pub(super) fn pop(&mut self) -> Option<NetworkEvent> {
        if let Some(event) = self.peers.pop_front() {
            return Some(event);
        }
        if let Some(event) = self.bodies.pop_front().or_else(|| self.consensus.pop()) {
            return Some(event);
        }
        let (peer, height) = self.tips.pop_first()?;
        Some(NetworkEvent::PeerTip { peer, height })
    }

    /// The next transactions.
    pub(super) fn pop_transactions(&mut self) -> Option<TransactionBatch> {
        self.transactions.pop()
    }

    pub(super) fn connected(&mut self, peer: PeerIndex, peer_id: Vec<u8>) {
        self.peers.push_back(NetworkEvent::Connected { peer, peer_id });
    }

    /// A connection that came and went unheard is not told, so that a peer has at most two
    /// events here.
    pub(super) fn disconnected(&mut self, peer: PeerIndex) {
        self.tips.remove(&peer);
        let unheard = |event: &NetworkEvent| matches!(event, NetworkEvent::Connected { peer: told, .. } if *told == peer);
        match self.peers.iter().rposition(unheard) {
            Some(position) => {
                self.peers.remove(position);
            }
            None => self.peers.push_back(NetworkEvent::Disconnected { peer }),
        }
    }

    pub(super) fn tip(&mut self, peer: PeerIndex, height: u64) {
        self.tips.insert(peer, height);
    }

    /// A body, blocks, or the failure to get them; bounded by whoever asked.
    pub(super) fn body(&mut self, event: NetworkEvent) {
        self.bodies.push_back(event);
    }

    pub(super) fn bodies_waiting(&self) -> usize {
        self.bodies.len()
    }

    pub(super) fn blocks_waiting(&self) -> usize {
        self.bodies.iter().filter(|event| matches!(event, NetworkEvent::Blocks { .. })).count()
    }

    /// Gives back the id of the message that had to make room, if one had to.
    pub(super) fn consensus(&mut self, event: NetworkEvent) -> Option<GossipId> {
        let NetworkEvent::Consensus { from, .. } = &event else { return None };
        let from = *from;
        match self.consensus.push(from, 1, event, WAITING_CONSENSUS).pop() {
            Some(NetworkEvent::Consensus { id, .. }) => Some(id),
            _ => None,
        }
    }

    /// Gives back the batches that had to make room.
    pub(super) fn transactions(&mut self, batch: TransactionBatch) -> Vec<TransactionBatch> {
        let weigh = |transaction: &Vec<u8>| transaction.len() + TRANSACTION_OVERHEAD;
        let weight = batch.txs.iter().map(weigh).sum();
        self.transactions.push(batch.from, weight, batch, WAITING_TRANSACTION_BYTES)
    }

    /// Gives back the batches of a peer that nothing is taken from any more.
    pub(super) fn refuse(&mut self, peer: PeerIndex) -> Vec<TransactionBatch> {
        self.transactions.remove(peer)
    }
}

#[cfg(test)]
mod tests {
    use libp2p::{PeerId, gossipsub::MessageId};

    use super::*;

    fn id(n: u8) -> GossipId {
        let peer = PeerId::from_bytes(&super::super::peer_id_of_seed([1; 32])).unwrap();
        let message = MessageId::new(&[n]);
        GossipId { message, from: peer, is_of_validator: false, is_everywhere: false }
    }

    fn consensus(n: u8) -> NetworkEvent {
        NetworkEvent::Consensus { bytes: vec![n], from: PeerIndex(0), id: id(n) }
    }

    fn batch(n: u8, txs: Vec<Vec<u8>>) -> TransactionBatch {
        TransactionBatch { txs, from: PeerIndex(0), id: id(n) }
    }

    #[test]
    fn consensus_does_not_wait_for_transactions() {
        let mut outbox = Outbox::default();
        assert!(outbox.transactions(batch(1, vec![vec![0; 10]])).is_empty());
        assert!(outbox.is_empty() && outbox.has_transactions());
        assert!(outbox.consensus(consensus(2)).is_none());
        outbox.tip(PeerIndex(0), 7);
        assert_eq!(outbox.pop(), Some(consensus(2)));
        assert_eq!(outbox.pop(), Some(NetworkEvent::PeerTip { peer: PeerIndex(0), height: 7 }));
        assert!(outbox.is_empty() && outbox.pop().is_none());
        assert_eq!(outbox.pop_transactions().map(|batch| batch.id), Some(id(1)));
        assert!(!outbox.has_transactions());
    }

    #[test]
    fn a_slow_engine_costs_the_oldest_messages_and_bounded_memory() {
        let mut outbox = Outbox::default();
        for n in 0..WAITING_CONSENSUS {
            assert!(outbox.consensus(consensus(n as u8)).is_none());
        }
        assert_eq!(outbox.consensus(consensus(9)), Some(id(0)));
        let large = |n| batch(n, vec![vec![0; MAX_TRANSACTION_BYTES]; 4]);
        let fitting =
            WAITING_TRANSACTION_BYTES / (4 * (MAX_TRANSACTION_BYTES + TRANSACTION_OVERHEAD));
        for _ in 0..fitting {
            assert!(outbox.transactions(large(1)).is_empty());
        }
        assert_eq!(outbox.transactions(large(2)), [large(1)]);
        // Of small ones, no more than they take.
        let mut small = 0;
        while outbox.transactions(batch(3, vec![vec![0]; 1_024])).is_empty() {
            small += 1;
        }
        assert!(small * 1_024 * TRANSACTION_OVERHEAD <= 4 * MAX_TRANSACTION_BYTES);
        assert!(!outbox.refuse(PeerIndex(0)).is_empty() && !outbox.has_transactions());
    }

    #[test]
    fn a_connection_that_came_and_went_unheard_is_not_told() {
        let mut outbox = Outbox::default();
        for _ in 0..100 {
            outbox.connected(PeerIndex(1), vec![1]);
            outbox.disconnected(PeerIndex(1));
        }
        assert!(outbox.is_empty());
        outbox.disconnected(PeerIndex(1));
        for _ in 0..100 {
            outbox.connected(PeerIndex(1), vec![1]);
            outbox.disconnected(PeerIndex(1));
        }
        assert_eq!(outbox.pop(), Some(NetworkEvent::Disconnected { peer: PeerIndex(1) }));
        assert!(outbox.is_empty());
    }

    #[test]
    fn batches_hold_what_fits() {
        let counters = Arc::new(NetworkCounters::default());
        let mailbox = Mailbox::new(counters.clone());
        mailbox.transactions(vec![vec![1; MAX_TRANSACTION_BYTES]; 5]);
        mailbox.transactions(vec![vec![], vec![0; MAX_TRANSACTION_BYTES + 1]]);
        assert_eq!(counters.transactions_dropped_outgoing.load(Relaxed), 2);
        assert_eq!(mailbox.take_batch().len(), 4);
        assert_eq!(mailbox.take_batch().len(), 1);
        assert!(!mailbox.has_transactions());
    }
}
