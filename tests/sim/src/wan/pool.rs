//! Transactions: handed in, looked at, gossiped in batches, kept until they are committed, offered
//! again by the node that took them when that takes long. The constants are those of the node's `pool.rs` and `network/limits.rs`.

use std::sync::Arc;

use super::{
    engine::Work,
    world::{Batch, Event, MS, Talk, World},
};

/// Pause after a full batch, and less after a smaller one (`BATCH_INTERVAL`).
pub const BATCH_NS: u64 = 20 * MS;
/// Shortest pause (`BATCH_SHORTEST`).
pub const BATCH_SHORTEST_NS: u64 = 10 * MS;
/// Most bytes of a batch (`BATCH_BYTES`).
pub const BATCH_BYTES: u64 = 256 * 1024;
/// Most transactions of a batch (`BATCH_TRANSACTIONS`).
pub const BATCH_TRANSACTIONS: usize = 1_024;
/// Heights after which what waits is offered again (`OFFER_AGAIN_AFTER`).
pub const OFFER_AGAIN_AFTER: u64 = 5;
/// Most operations that are offered again after one block (`MAX_OPERATIONS_AGAIN`).
const MOST_AGAIN: u64 = 2_048;

impl World {
    /// The next transaction is handed in, at one of the validators.
    pub(super) fn submit(&mut self) -> Result<(), String> {
        if self.chain.height() == 0 {
            return Err("no block was committed before the load begins".into());
        }
        if self.now_ns >= self.measured().1 {
            return Ok(());
        }
        let seat = self.dice.index(self.nodes.len());
        let founding = self.founding.clone();
        let signed = self.load.licences(&founding, seat, &mut self.dice);
        let place = self.list(signed, seat);
        let takes = self.admission_ns(seat, place);
        let at_ns = self.nodes[seat].admitter.done_ns(self.now_ns, takes);
        self.at(at_ns, Event::Taken { node: seat, place });
        let pause = self.load.pause_ns(&mut self.dice);
        self.at(self.now_ns + pause, Event::Submit);
        Ok(())
    }

    /// What looking at a transaction takes: its signature, and a trial at the tip.
    pub(super) fn admission_ns(&self, node: usize, place: u32) -> u64 {
        let costs = self.plan.costs;
        let transaction = &self.transactions[place as usize];
        if self.is_known(node, place) {
            0
        } else {
            costs.check_ns + costs.execute_ns * transaction.operations
        }
    }

    fn is_known(&self, id: usize, place: u32) -> bool {
        let (node, transaction) = (&self.nodes[id], &self.transactions[place as usize]);
        let is_committed = transaction.height.is_some_and(|height| height <= node.tip);
        is_committed || node.pool.contains_key(&place)
    }

    /// A transaction that was handed in here was found good.
    pub(super) fn taken(&mut self, node: usize, place: u32) {
        let tip = self.nodes[node].tip;
        let again = Some((tip + OFFER_AGAIN_AFTER, OFFER_AGAIN_AFTER));
        self.nodes[node].pool.insert(place, again);
        self.offer(node, [place]);
        self.at(self.now_ns, Event::Engine { node, work: Work::Begin });
    }

    /// A batch of others was looked at. It came from its author, to everybody: all are connected
    /// here, so nobody passes it on.
    pub(super) fn admitted(&mut self, node: usize, batch: &Batch) {
        self.nodes[node].gossip.batches -= 1;
        let mut is_new = false;
        for place in &batch.places {
            if !self.is_known(node, *place) {
                self.nodes[node].pool.insert(*place, None);
                is_new = true;
            }
        }
        if is_new {
            self.at(self.now_ns, Event::Engine { node, work: Work::Begin });
        }
    }

    /// Has transactions gossiped with the next batch.
    fn offer(&mut self, node: usize, places: impl IntoIterator<Item = u32>) {
        self.nodes[node].outbox.extend(places);
        let at_ns = self.now_ns.max(self.nodes[node].next_batch_ns);
        self.at(at_ns, Event::Batch { node });
    }

    pub(super) fn publish_batch(&mut self, id: usize) {
        let node = &mut self.nodes[id];
        if self.now_ns < node.next_batch_ns || node.outbox.is_empty() {
            return;
        }
        let (mut places, mut bytes) = (Vec::new(), 0);
        while let Some(place) = node.outbox.front().filter(|_| places.len() < BATCH_TRANSACTIONS) {
            let more = self.transactions[*place as usize].bytes;
            if bytes + more > BATCH_BYTES {
                break;
            }
            bytes += more;
            places.extend(node.outbox.pop_front());
        }
        let pause = (BATCH_NS * bytes / BATCH_BYTES).max(BATCH_SHORTEST_NS);
        node.next_batch_ns = self.now_ns + pause;
        let next_ns = node.next_batch_ns;
        if !node.outbox.is_empty() {
            self.at(next_ns, Event::Batch { node: id });
        }
        let batch = Batch::of(self, places);
        self.flood(id, &Talk::Batch(Arc::new(batch)));
    }

    /// After a block: tries again what was taken here and has waited for some heights, and offers it to
    /// everybody. What came from others is tried as well, which is not in here.
    pub(super) fn offer_again(&mut self, id: usize) {
        let tip = self.nodes[id].tip;
        let (mut dues, mut operations) = (Vec::new(), 0);
        for (place, again) in &mut self.nodes[id].pool {
            let Some((due, pause)) = again.as_mut().filter(|(due, _)| *due <= tip) else {
                continue;
            };
            operations += self.transactions[*place as usize].operations;
            if operations > MOST_AGAIN {
                break;
            }
            *pause *= 2;
            *due = tip + *pause;
            dues.push(*place);
        }
        if dues.is_empty() {
            return;
        }
        self.counts.offered_again += dues.len() as u64;
        let takes = operations.min(MOST_AGAIN) * self.plan.costs.execute_ns;
        self.nodes[id].admitter.done_ns(self.now_ns, takes);
        self.offer(id, dues);
    }
}
