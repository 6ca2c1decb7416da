//! What the network counts: plain numbers that the metrics page reads.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Counts since the start; `connected_peers` is the present number. None of them ever
        /// decides anything.
        #[derive(Debug, Default)]
        pub struct NetworkCounters {
            $($(#[$doc])* pub $name: AtomicU64,)+
        }

        impl NetworkCounters {
            /// Every counter's name and value.
            #[must_use]
            pub fn values(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(Relaxed)),)+]
            }
        }
    };
}

counters! {
    /// Peers connected now.
    connected_peers,
    /// Connections refused: strangers, or too many.
    connections_refused,
    /// Dials that failed.
    dials_failed,
    /// Consensus messages received.
    consensus_received,
    /// Consensus messages published.
    consensus_published,
    /// Consensus messages dropped because a queue was full or nobody was there.
    consensus_dropped,
    /// Messages of peers that sent too much at once, dropped unread.
    gossip_refused,
    /// Batches of transactions received.
    batches_received,
    /// Batches of transactions published.
    batches_published,
    /// Transactions of others dropped because too many waited for their check.
    transactions_dropped_incoming,
    /// Transactions of our own dropped because the queue was full or nobody was there.
    transactions_dropped_outgoing,
    /// Bodies received.
    bodies_received,
    /// Bodies sent along with an announcement.
    bodies_pushed,
    /// Bodies sent along to us and dropped because too many waited for their check.
    bodies_dropped,
    /// Body fetches that failed.
    fetches_failed,
    /// Blocks received by block sync.
    blocks_received,
    /// Requests answered.
    requests_served,
    /// Requests answered with "busy".
    requests_refused,
    /// Orders of the engine dropped because the network was slow.
    orders_dropped,
    /// Times that a peer was blamed.
    blames,
    /// Times that a peer was refused for a while.
    bans,
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
