//! Every bound of the network, with its reason.
//!
//! Whatever a peer sends, holds open or asks for ends at a constant of this file. Bounds of the
//! chain itself (a transaction, a block, a certificate) are the ledger's. The specification for
//! other implementations is `docs/spec/network.md`.

use std::time::Duration;

use symbolon_consensus::wire::MAX_MESSAGE_LEN;
use symbolon_ledger::{
    block::MAX_BLOCK_BYTES, certificate::MAX_CERTIFICATE_BYTES, transaction::MAX_TRANSACTION_BYTES,
    validators::MAX_VALIDATORS,
};

use crate::snapshot::MAX_PART_BYTES;

// Connections.

/// Most observers that one node admits: enough to scale verification, few enough to feed.
pub const MAX_OBSERVERS: usize = 64;
/// Most peers that a node knows at once.
pub const MAX_ADMITTED: usize = MAX_VALIDATORS + MAX_OBSERVERS;
/// Most addresses kept of one peer: TCP and QUIC on IPv4, IPv6 and a name, and some to spare.
pub const MAX_ADDRESSES_PER_PEER: usize = 8;
/// Most connections with one peer. Both sides may dial at once over a stale connection that
/// neither has noticed to be dead yet.
pub const CONNECTIONS_PER_PEER: u32 = 4;
/// Most connections in all: every admitted peer, twice.
pub const CONNECTIONS: u32 = 2 * MAX_ADMITTED as u32;
/// Most incoming connections whose peer id is not known yet. Strangers are refused only after
/// the handshake, so this is what a flood of them can hold.
pub const PENDING_INCOMING: u32 = 512;
/// Most of these from one address: all validators of the largest set that start at once behind
/// one, and a sixteenth of all, so that one machine cannot keep the others out.
pub const PENDING_INCOMING_OF_ONE: usize = 32;
/// Most outgoing connections under way.
pub const PENDING_OUTGOING: u32 = 64;
/// New connections are refused while the process holds more than this share of the machine's
/// memory.
pub const MEMORY_SHARE: f64 = 0.85;
/// Most streams of one connection, both directions: gossip and ping take four, exchanges the
/// rest.
pub const STREAMS_PER_CONNECTION: usize = 128;
/// Most incoming streams of one connection whose protocol is not agreed yet.
pub const NEGOTIATING_STREAMS: usize = 32;
/// Most exchanges under way on one connection, both directions.
pub const EXCHANGES_PER_CONNECTION: usize = 48;
/// A connection that carries nothing for so long is closed. The status exchange keeps the
/// connection of a live peer busy.
pub const IDLE_CONNECTION: Duration = Duration::from_secs(60);
/// Pause between two pings of one connection.
pub const PING_INTERVAL: Duration = Duration::from_secs(5);
/// A connection whose ping is not answered for so long is dead and is closed.
pub const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Receive window of one QUIC stream: a block in one round trip.
pub const QUIC_STREAM_WINDOW: u32 = MAX_BLOCK_BYTES as u32;
/// Receive window of one QUIC connection.
pub const QUIC_CONNECTION_WINDOW: u32 = 4 * QUIC_STREAM_WINDOW;

// Redial.

/// Pause before the first redial.
pub const REDIAL_FIRST: Duration = Duration::from_millis(250);
/// The pause doubles to at most this, so that a province that comes back is found soon.
pub const REDIAL_LONGEST: Duration = Duration::from_secs(15);
/// The peer with the larger id lets the other dial first, so that one connection comes about
/// and not two.
pub const REDIAL_COURTESY: Duration = Duration::from_millis(500);
/// How often due work is looked for: redials, silent exchanges, the status to tell.
pub const TICK: Duration = Duration::from_millis(100);

// Gossip.

/// Most bytes of one consensus message, as the round's own codec has it.
pub const CONSENSUS_MESSAGE_BYTES: usize = MAX_MESSAGE_LEN;
/// Most bytes of one gossiped batch of transactions: four of the largest, or hundreds of the
/// common kind, so that the gossip's own signature is shared by many.
pub const BATCH_BYTES: usize = 4 * MAX_TRANSACTION_BYTES;
/// Most transactions of one batch.
pub const BATCH_TRANSACTIONS: usize = 1_024;
/// What the gossip protocol wraps around a message: author, number, topic, signature, framing.
pub const GOSSIP_ENVELOPE_BYTES: usize = 1_024;
/// Pause after a full batch of this node's transactions, and less after a smaller one. With
/// [`BATCH_BYTES`] it caps what a node publishes at 12.5 MiB a second, less than what its peers
/// take ([`GOSSIP_BYTES_PER_SECOND`]).
pub const BATCH_INTERVAL: Duration = Duration::from_millis(20);
/// Shortest pause between two batches; what arrives meanwhile shares the next one. Every message
/// costs each peer the check of a signature, and every transaction waits for this at most.
pub const BATCH_SHORTEST: Duration = Duration::from_millis(10);
/// How long what has waited for the first peer waits for the others: they are dialled together, and
/// whoever has a transaction from its author passes it on to nobody while all are there.
pub const FIRST_PEERS: Duration = Duration::from_millis(500);
/// Messages waiting for one slow peer. More are dropped and count against it.
pub const GOSSIP_QUEUE: usize = 512;
/// A message of our own that could not be sent for so long is dropped: the round repeats it.
pub const GOSSIP_PUBLISH_WAIT: Duration = Duration::from_secs(3);
/// The same for another's message that we forward.
pub const GOSSIP_FORWARD_WAIT: Duration = Duration::from_secs(1);
/// The gossip protocol's housekeeping. Publishing and forwarding never wait for it.
pub const GOSSIP_HEARTBEAT: Duration = Duration::from_millis(700);
/// Heartbeats for which a message waits for its verdict, and can be asked for by others.
pub const GOSSIP_HISTORY: usize = 14;
/// Most bytes of gossip control (subscriptions, requests for missed messages) in one frame. Whoever
/// receives a longer one ends the stream, and gossipsub opens no more than a few of them for as long as
/// a connection lasts.
pub const GOSSIP_CONTROL_BYTES: usize = 16 * 1024;
/// Most messages that a node names to a peer at once, for messages that it missed: what fits into
/// [`GOSSIP_CONTROL_BYTES`]. A busy chain of 32 validators has thousands in [`GOSSIP_HISTORY`].
pub const GOSSIP_CONTROL_IDS: usize = 400;
/// Bytes of such a name: a SHA-256 with its tag and its length.
const GOSSIP_ID_BYTES: usize = 34;
/// How long a seen message is known as seen.
pub const GOSSIP_SEEN: Duration = Duration::from_secs(30);
/// Peers that a node forwards others' messages to. Its own go to every peer at once, so
/// forwarding only bridges links that are missing.
pub const GOSSIP_MESH: usize = 4;
/// Fewest such peers before more are added. A network of four has all of its three in the mesh.
pub const GOSSIP_MESH_LOW: usize = 3;
/// Most such peers before some are removed. Every copy of a message costs the check of a
/// signature, so this is as small as bridging allows.
pub const GOSSIP_MESH_HIGH: usize = 6;
/// Messages a second of gossip taken from one peer, on average: 32 validators' votes at ten
/// heights a second, were they all to come through one of them.
pub const GOSSIP_MESSAGES_PER_SECOND: u64 = 4_000;
/// Messages of gossip that one peer may send at once.
pub const GOSSIP_MESSAGES_BURST: u64 = 16_000;
/// Bytes a second of gossip taken from one peer, on average.
pub const GOSSIP_BYTES_PER_SECOND: u64 = 16 * 1024 * 1024;
/// Bytes of gossip that one peer may send at once.
pub const GOSSIP_BYTES_BURST: u64 = 64 * 1024 * 1024;

// Bodies and blocks.

/// A body of at most this size is sent along with its announcement; a larger one is fetched,
/// from whoever has it by then.
pub const PUSH_BYTES: usize = 1024 * 1024;
/// Most bytes of a small request or answer: numbers and hashes.
pub const SMALL_FRAME_BYTES: usize = 128;
/// Most bytes of an announcement.
pub const ANNOUNCE_FRAME_BYTES: usize = PUSH_BYTES + SMALL_FRAME_BYTES;
/// Most bytes of an answer with a body.
pub const BODY_FRAME_BYTES: usize = MAX_BLOCK_BYTES + SMALL_FRAME_BYTES;
/// Most blocks of one answer to a request for blocks.
pub const SYNC_BLOCKS: u64 = 64;
/// What the framing adds to one block of such an answer.
pub const SYNC_BLOCK_OVERHEAD: usize = 16;
/// Most bytes of the blocks and certificates of one answer: the largest always fits.
pub const SYNC_BYTES: usize = MAX_BLOCK_BYTES + MAX_CERTIFICATE_BYTES + SYNC_BLOCK_OVERHEAD;
/// Most bytes of such an answer.
pub const SYNC_FRAME_BYTES: usize = SYNC_BYTES + SMALL_FRAME_BYTES;
/// Most bytes of an answer with a part of a snapshot.
pub const PART_FRAME_BYTES: usize = MAX_PART_BYTES + SMALL_FRAME_BYTES;
/// Parts of snapshots asked of one peer at once: what it reads for one peer at a time.
pub const PARTS_PER_PEER: usize = SERVING_PER_PEER;
/// Parts of snapshots fetched at once. With [`PARTS_PER_PEER`] that is as many peers as are of use.
pub const PARTS: usize = 16;
/// A part of a snapshot that nobody could give for so long is not to be had.
pub const PART_LONGEST: Duration = Duration::from_secs(30);
/// An exchange that takes longer has failed: 4 MiB at 4 Mbit/s.
pub const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Exchanges that this node has under way with one peer; within [`EXCHANGES_PER_CONNECTION`] of
/// the other side.
pub const REQUESTS_PER_PEER: usize = 16;
/// Bodies fetched at once: a height has one, rounds and held blocks add a few.
pub const FETCHES: usize = 16;
/// A peer that has not answered for so long is joined by another in the same fetch.
pub const FETCH_HEDGE: Duration = Duration::from_millis(1_000);
/// How long a body is waited for that its proposer may be sending along, before anybody is asked for it:
/// the proposal has overtaken it, and to ask would have it sent twice over a line that is busy with it.
/// Longer than most bodies take that are as large as lines carry (`symbolon_consensus::reach`), and half
/// of the wait for a proposal, so that others can be asked as well.
pub const FETCH_PUSHED: Duration = Duration::from_millis(1_500);
/// A fetch that nobody could answer waits so long for an announcement before it fails.
pub const FETCH_GRACE: Duration = Duration::from_millis(1_000);
/// No fetch takes longer; whoever needs the body asks again.
pub const FETCH_LONGEST: Duration = Duration::from_secs(12);
/// Pause of block sync after a peer said that it is busy.
pub const SYNC_PAUSE: Duration = Duration::from_millis(250);
/// A peer whose answer to block sync took so long is asked again only when no other can be: a
/// full answer of 4 MiB comes within it at 12 Mbit/s. Who gives one block just before
/// [`EXCHANGE_TIMEOUT`], and again, would hold up a node for as long as it likes.
pub const SYNC_SLOW: Duration = Duration::from_secs(3);
/// Block sync that got nothing for so long has failed.
pub const SYNC_LONGEST: Duration = Duration::from_secs(30);
/// Bodies announced by this node that are served from memory: of the running height and the
/// last ones.
pub const OWN_BODIES: usize = 4;
/// Announcements remembered of one peer.
pub const ANNOUNCED_PER_PEER: usize = 32;
/// Answers being read from the database at once, for all peers.
pub const SERVING: usize = 8;
/// The same for one peer.
pub const SERVING_PER_PEER: usize = 2;
/// Requests a second answered to one peer, on average.
pub const REQUESTS_PER_SECOND: u64 = 64;
/// Requests that one peer may send at once.
pub const REQUESTS_BURST: u64 = 256;
/// Bytes a second of bodies and blocks exchanged with one peer, on average.
pub const EXCHANGE_BYTES_PER_SECOND: u64 = 16 * 1024 * 1024;
/// Bytes of bodies and blocks exchanged with one peer at once.
pub const EXCHANGE_BYTES_BURST: u64 = 64 * 1024 * 1024;
/// How often peers are told of the tip when it has moved.
pub const STATUS_WHEN_MOVED: Duration = Duration::from_millis(500);
/// How often when it has not.
pub const STATUS_INTERVAL: Duration = Duration::from_secs(5);

// Blame.

/// A peer blamed so often is disconnected for [`BAN`].
pub const BLAME_LIMIT: u32 = 10;
/// One blame is forgiven in so long.
pub const BLAME_DECAY: Duration = Duration::from_secs(30);
/// How long a peer is refused after too many blames. A validator is needed again once it is
/// mended, so this is short.
pub const BAN: Duration = Duration::from_secs(60);
/// What one blame takes off a peer's gossip score.
pub const BLAME_SCORE: f64 = 20.0;

// The log.

/// A peer that cannot be reached is named again after so long: six lines an hour for one that is
/// down.
pub const UNREACHED_AGAIN: Duration = Duration::from_secs(600);
/// Of those that are refused, one is told in so long, whoever knocks.
pub const REFUSED_AGAIN: Duration = Duration::from_secs(60);

// Queues between the network, the engine and whoever checks transactions.

/// Events handed over to the engine at once. Small: what waits behind it is ordered by importance.
pub const EVENT_CHANNEL: usize = 8;
/// Batches of transactions handed over at once to whoever checks them. The rest waits where the peers
/// take turns.
pub const BATCH_CHANNEL: usize = 1;
/// Consensus messages waiting for the engine: several rounds of every validator.
pub const WAITING_CONSENSUS: usize = 2_048;
/// Bytes of transactions waiting to be checked: eight full blocks, which a busy node has checked in
/// some seconds. What waits longer than [`GOSSIP_HISTORY`] is of use here and is not passed on.
pub const WAITING_TRANSACTION_BYTES: usize = 32 * 1024 * 1024;
/// Bodies and batches of blocks waiting for the engine.
pub const WAITING_BODIES: usize = 16;
/// Batches of blocks waiting for the engine before block sync pauses.
pub const WAITING_SYNC: usize = 2;
/// Consensus messages waiting to be published.
pub const OUTGOING_CONSENSUS: usize = 1_024;
/// Bytes of transactions waiting to be published: as many.
pub const OUTGOING_TRANSACTION_BYTES: usize = 32 * 1024 * 1024;
/// Verdicts and other orders of the engine waiting for the network.
pub const OUTGOING_ORDERS: usize = 4_096;

const _: () = assert!(EXCHANGES_PER_CONNECTION >= 2 * REQUESTS_PER_PEER);
const _: () = assert!(MAX_TRANSACTION_BYTES < BATCH_BYTES);
const _: () = assert!(SYNC_SLOW.as_millis() < EXCHANGE_TIMEOUT.as_millis());
const _: () = assert!(2 * EXCHANGES_PER_CONNECTION + 8 <= STREAMS_PER_CONNECTION);
const _: () =
    assert!(GOSSIP_CONTROL_IDS * GOSSIP_ID_BYTES + GOSSIP_ENVELOPE_BYTES <= GOSSIP_CONTROL_BYTES);
const _: () = assert!(GOSSIP_MESH_LOW <= GOSSIP_MESH && GOSSIP_MESH <= GOSSIP_MESH_HIGH);

/// An allowance that refills with time: so much at once, so much a second on average.
#[derive(Debug, Clone)]
pub struct Allowance {
    burst: u64,
    per_second: u64,
    left: u64,
    refilled: std::time::Instant,
}

impl Allowance {
    /// A full allowance.
    #[must_use]
    pub fn new(burst: u64, per_second: u64, now: std::time::Instant) -> Self {
        Self { burst, per_second, left: burst, refilled: now }
    }

    /// Takes `amount` if that much is left.
    pub fn take(&mut self, amount: u64, now: std::time::Instant) -> bool {
        self.refill(now);
        let enough = amount <= self.left;
        if enough {
            self.left -= amount;
        }
        enough
    }

    /// Takes `amount`, or what is left of it: for work whose size is known only afterwards.
    pub fn charge(&mut self, amount: u64, now: std::time::Instant) {
        self.refill(now);
        self.left = self.left.saturating_sub(amount);
    }

    fn refill(&mut self, now: std::time::Instant) {
        let elapsed = now.saturating_duration_since(self.refilled);
        let gained = u128::from(self.per_second) * elapsed.as_millis() / 1_000;
        if gained == 0 {
            return;
        }
        self.refilled = now;
        self.left = u64::try_from(gained).unwrap_or(u64::MAX).saturating_add(self.left);
        self.left = self.left.min(self.burst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn an_allowance_refills_to_its_burst_and_no_further() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut allowance = Allowance::new(10, 5, start);
        assert!(allowance.take(10, at(0)));
        assert!(!allowance.take(1, at(100)));
        assert!(allowance.take(5, at(1_000)));
        assert!(!allowance.take(1, at(1_000)));
        assert!(allowance.take(10, at(60_000)));
        assert!(!allowance.take(1, at(60_000)));
        allowance.charge(100, at(61_000));
        assert!(!allowance.take(1, at(61_000)));
    }
}
