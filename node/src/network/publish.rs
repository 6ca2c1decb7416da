//! What this node publishes, and its verdicts on what others did.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use libp2p::gossipsub::{MessageAcceptance, PublishError};
use tracing::warn;

use super::{
    Acceptance, TransactionBatch,
    counters::count,
    gossip::GossipId,
    limits::{BATCH_BYTES, BATCH_INTERVAL, BATCH_SHORTEST},
    task::Task,
    wire::encode_batch,
};

impl Task {
    pub(super) fn publish_consensus(&mut self, bytes: Vec<u8>) {
        match self.swarm.behaviour_mut().gossip.publish(self.topics.consensus.clone(), bytes) {
            Ok(_) => count(&self.counters.consensus_published),
            Err(error) => self.unpublished(&error, 1, true),
        }
    }

    pub(super) fn publish_batch(&mut self) {
        let now = Instant::now();
        if now < self.next_batch || !self.may_publish_batch() {
            return;
        }
        let batch = self.mailbox.take_batch();
        let bytes = encode_batch(&batch);
        self.next_batch = now + pause_after(bytes.len());
        match self.swarm.behaviour_mut().gossip.publish(self.topics.transactions.clone(), bytes) {
            Ok(_) => count(&self.counters.batches_published),
            Err(error) => self.unpublished(&error, batch.len() as u64, false),
        }
    }

    /// Whether transactions wait and some peer hears of them, or nobody ever will. What was submitted
    /// to a node in its first moments would otherwise be known to it alone for heights.
    pub(super) fn may_publish_batch(&self) -> bool {
        self.mailbox.has_transactions() && (self.peers.hearing() > 0 || self.peers.is_empty())
    }

    /// Nobody there, or every peer too slow: counted, and told to the log only when it is more
    /// than that. The round repeats itself and the pool offers again.
    fn unpublished(&self, error: &PublishError, messages: u64, consensus: bool) {
        let counter = if consensus {
            &self.counters.consensus_dropped
        } else {
            &self.counters.transactions_dropped_outgoing
        };
        match error {
            PublishError::Duplicate => {}
            PublishError::NoPeersSubscribedToTopic | PublishError::AllQueuesFull(_) => {
                counter.fetch_add(messages, Relaxed);
            }
            other => {
                counter.fetch_add(messages, Relaxed);
                warn!(error = %other, "cannot publish");
            }
        }
    }

    pub(super) fn report(&mut self, id: &GossipId, verdict: Acceptance) {
        let is_bad = verdict == Acceptance::Reject;
        let verdict = match verdict {
            Acceptance::Accept => MessageAcceptance::Accept,
            Acceptance::Ignore => MessageAcceptance::Ignore,
            Acceptance::Reject => MessageAcceptance::Reject,
        };
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        let in_time = gossip.report_message_validation_result(&id.message, &id.from, verdict);
        if is_bad && !in_time {
            self.blame(id.from, "a bad message, found long after it came");
        }
    }

    /// A batch of transactions that nobody will check.
    pub(super) fn throw_away(&mut self, batch: &TransactionBatch) {
        let counter = &self.counters.transactions_dropped_incoming;
        counter.fetch_add(batch.txs.len() as u64, Relaxed);
        self.report(&batch.id, Acceptance::Ignore);
    }
}

/// How long no other batch leaves after one of so many bytes.
fn pause_after(bytes: usize) -> Duration {
    let share = bytes as f64 / BATCH_BYTES as f64;
    BATCH_INTERVAL.mul_f64(share).max(BATCH_SHORTEST)
}
