//! The network: who may connect, what is gossiped, how bodies and blocks are fetched.
//!
//! One task owns the libp2p swarm. The engine talks to it through [`NetworkHandle`], whose
//! methods neither block nor await, and hears from it through one bounded channel of
//! [`NetworkEvent`]s. Transactions have a channel of their own, to whoever checks them, and wait for
//! it. When a side is slow, what has waited longest is dropped and counted:
//! a round repeats its messages and whoever took a transaction offers it again, so nothing rests on
//! one delivery.
//!
//! Everything in an event is untrusted bytes. The network checks who sent them, their size, and
//! that a body begins with the header it was asked for; what they mean is the engine's to judge.
//!
//! Read in this order: [`limits`], `wire` (frames), `gossip` and `exchange` (the two protocols),
//! `peers`, `queues`, `task` (the loop), `publish`, `bodies`, `sync`, `parts`, `serve`. The specification is
//! `docs/spec/network.md`.

pub mod limits;

mod wire;

mod gossip;

mod exchange;

mod doorstep;

mod behaviour;

mod peers;

mod fair;

mod queues;

mod counters;

mod troubles;

mod task;

mod publish;

mod bodies;

mod sync;

mod parts;

mod serve;

use std::{fmt, io, sync::Arc};

use libp2p::{Multiaddr, PeerId, Swarm, identity::Keypair};
use symbolon_ledger::hash::{BlockHash, ChainId, Digest};
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use self::{
    behaviour::Protocols,
    peers::Peers,
    queues::{Mailbox, Order},
    task::Task,
};
pub use self::{bodies::Sources, counters::NetworkCounters, gossip::GossipId};

/// What the network needs to start.
#[derive(Clone)]
pub struct NetworkConfig {
    /// The chain; it names the topics and the protocol, so that two chains never mix.
    pub chain_id: ChainId,
    /// Seed of the node's Ed25519 libp2p identity (RFC 8032 private key).
    pub keypair_seed: [u8; 32],
    /// Addresses to listen on, TCP or QUIC; port 0 takes a free one.
    pub listen: Vec<Multiaddr>,
    /// The validators: peer id (multihash bytes) and addresses. One's own is skipped.
    pub peers: Vec<(Vec<u8>, Vec<Multiaddr>)>,
    /// Peer ids of the observers that this node admits.
    pub observers: Vec<Vec<u8>>,
}

impl fmt::Debug for NetworkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkConfig")
            .field("chain_id", &self.chain_id)
            .field("listen", &self.listen)
            .field("peers", &self.peers.len())
            .field("observers", &self.observers.len())
            .finish_non_exhaustive()
    }
}

/// Why the network did not start.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// No tokio runtime around the call.
    #[error("the network is started within a tokio runtime")]
    NoRuntime,
    /// The transport could not be made.
    #[error("cannot set up the transport: {0}")]
    Transport(String),
    /// A constant of [`limits`] is not acceptable to libp2p.
    #[error("cannot configure the protocols: {0}")]
    Protocol(String),
    /// Bytes that are no peer id.
    #[error("{what} {index} has no valid libp2p peer id (a multihash); check the configuration")]
    PeerId {
        /// `validator` or `observer`.
        what: &'static str,
        /// Its place in the configuration.
        index: usize,
    },
    /// More peers than a node knows.
    #[error("{count} peers, more than the {} allowed", limits::MAX_ADMITTED)]
    TooManyPeers {
        /// How many the configuration has.
        count: usize,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; is the port free and the address one's own?")]
    Listen {
        /// The address.
        address: Multiaddr,
        /// What the system said.
        source: io::Error,
    },
}

/// What the network may read in order to answer other nodes. Called on blocking threads.
pub trait ChainReader: Send + Sync {
    /// Height and hash of the last committed block.
    fn tip(&self) -> (u64, BlockHash);
    /// The exact bytes of a committed block and of its certificate; none above the tip, and none
    /// for block 0, which every node has from the founding document.
    fn block_with_certificate(&self, height: u64) -> Option<(Vec<u8>, Vec<u8>)>;
    /// The exact bytes of a block, committed or not yet decided.
    fn body(&self, block: &BlockHash) -> Option<Vec<u8>>;
    /// The snapshots that this node has: height, and hash of the manifest. At most two are told.
    fn snapshots(&self) -> Vec<(u64, Digest)> {
        Vec::new()
    }
    /// A part of the snapshot of a height, at most `crate::snapshot::MAX_PART_BYTES` long.
    fn snapshot_part(&self, _height: u64, _part: u64) -> Option<Vec<u8>> {
        None
    }
}

/// A peer's number, given when its id is first admitted and kept while the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerIndex(pub u64);

/// The engine's verdict on a gossiped message. Without one it is not forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    /// Forward it.
    Accept,
    /// Drop it: old, known or not of use here; nobody is to blame.
    Ignore,
    /// Drop it and hold it against those who sent it: it can never be valid.
    Reject,
}

/// What the network tells the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkEvent {
    /// A gossiped consensus message, at most [`limits::CONSENSUS_MESSAGE_BYTES`] long.
    Consensus {
        /// The message's bytes.
        bytes: Vec<u8>,
        /// Who passed it on; not necessarily its author.
        from: PeerIndex,
        /// To be given to [`NetworkHandle::report`].
        id: GossipId,
    },
    /// A block's bytes, fetched or sent along with an announcement. They begin with the header
    /// that `block` is the hash of; the transactions are unchecked.
    Body {
        /// The block.
        block: BlockHash,
        /// Its height: as asked for, or as its header says.
        height: u64,
        /// The block's bytes.
        bytes: Vec<u8>,
        /// Who sent them: to be blamed if the transactions are not the header's.
        from: PeerIndex,
        /// Whether nobody had asked for them: then their sender vouches for the block.
        pushed: bool,
    },
    /// Nobody could give a body that was fetched. Ask again if it is still needed.
    BodyFailed {
        /// The block.
        block: BlockHash,
        /// Its height.
        height: u64,
    },
    /// Committed blocks with their certificates, in order, as somebody claims.
    Blocks {
        /// Height of the first.
        from_height: u64,
        /// Each block's bytes and its certificate's; 1 to [`limits::SYNC_BLOCKS`] of them.
        blocks: Vec<(Vec<u8>, Vec<u8>)>,
        /// Who sent them.
        from: PeerIndex,
    },
    /// Block sync ended before its range did.
    BlocksFailed {
        /// The first block that is missing.
        from_height: u64,
        /// The last peer that was asked.
        from: Option<PeerIndex>,
    },
    /// The snapshots that a peer says it has.
    Snapshots {
        /// The peer.
        from: PeerIndex,
        /// Height and hash of the manifest; a few.
        offers: Vec<(u64, Digest)>,
    },
    /// A part of a snapshot that was fetched, unchecked.
    SnapshotPart {
        /// Hash of the snapshot's manifest.
        manifest: Digest,
        /// Number of the part.
        part: u64,
        /// Its bytes and who sent them; none when nobody could give it.
        found: Option<(Vec<u8>, PeerIndex)>,
    },
    /// What a peer says of its tip: on connecting, when it moves, and now and then.
    PeerTip {
        /// The peer.
        peer: PeerIndex,
        /// The height it claims.
        height: u64,
    },
    /// A peer is connected and takes part in the gossip: what is published now reaches it.
    Connected {
        /// The peer.
        peer: PeerIndex,
        /// Its peer id (multihash bytes), proved by the connection.
        peer_id: Vec<u8>,
    },
    /// The last connection with a peer is gone.
    Disconnected {
        /// The peer.
        peer: PeerIndex,
    },
}

/// A gossiped batch of 1 to [`limits::BATCH_TRANSACTIONS`] transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionBatch {
    /// The transactions' bytes, none longer than a transaction may be.
    pub txs: Vec<Vec<u8>>,
    /// Who passed it on.
    pub from: PeerIndex,
    /// To be given to [`NetworkHandle::report`].
    pub id: GossipId,
}

/// What an open network tells.
#[derive(Debug)]
pub struct Receivers {
    /// Everything but transactions. To be read without long pauses; dropping it stops the network.
    pub events: mpsc::Receiver<NetworkEvent>,
    /// Transactions, which keep nothing else waiting. Until they are taken they wait, up to
    /// [`limits::WAITING_TRANSACTION_BYTES`]; then the oldest of whoever sent most are dropped. Whoever
    /// wants none drops the receiver: they are thrown away, and all else goes on.
    pub transactions: mpsc::Receiver<TransactionBatch>,
}

/// Gives the network its orders. Cheap to clone; no method blocks or awaits.
///
/// The network stops when the receiver of its events is dropped.
#[derive(Clone)]
pub struct NetworkHandle {
    mailbox: Arc<Mailbox>,
    counters: Arc<NetworkCounters>,
    peer_id: PeerId,
    listening: watch::Receiver<Vec<Multiaddr>>,
}

impl fmt::Debug for NetworkHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkHandle").field("peer_id", &self.peer_id).finish_non_exhaustive()
    }
}

impl NetworkHandle {
    /// Gossips a consensus message to every validator and observer. The same bytes may be
    /// published again; a message that is too long is dropped and counted.
    pub fn publish_consensus(&self, bytes: Vec<u8>) {
        self.mailbox.consensus(bytes);
    }

    /// Gossips transactions. Those given within a moment share a batch, and while no peer is
    /// connected they wait, for as long as that lasts: whoever hears of one that is committed or over
    /// puts it aside. Past [`limits::OUTGOING_TRANSACTION_BYTES`] the oldest are dropped, and at once those of
    /// no or too many bytes. What is dropped is counted.
    pub fn publish_transactions(&self, txs: Vec<Vec<u8>>) {
        self.mailbox.transactions(txs);
    }

    /// Tells every peer that this node has a block, and sends it along to the validators when it
    /// is small and this node was the first to have it.
    pub fn announce_body(&self, block: BlockHash, height: u64, bytes: Arc<Vec<u8>>) {
        self.mailbox.order(Order::Announce { block, height, bytes });
    }

    /// Fetches a block from `sources`, then from those that announced it, then from others.
    /// Ends with [`NetworkEvent::Body`] or, within [`limits::FETCH_LONGEST`], with
    /// [`NetworkEvent::BodyFailed`].
    pub fn fetch_body(&self, block: BlockHash, height: u64, sources: Sources) {
        self.mailbox.order(Order::FetchBody { block, height, sources });
    }

    /// Fetches the committed blocks `from` to `to`, first from `peer`. They come in order, in
    /// one or more [`NetworkEvent::Blocks`]; [`NetworkEvent::BlocksFailed`] ends a range that
    /// nobody could complete. There is one such range: a call that begins within what is still
    /// to come, and names no other peer, extends it; any other replaces it.
    pub fn fetch_blocks(&self, from: u64, to: u64, peer: Option<PeerIndex>) {
        self.mailbox.order(Order::FetchBlocks { from, to, peer });
    }

    /// Asks every peer which snapshots it has. Each that answers is a
    /// [`NetworkEvent::Snapshots`].
    pub fn ask_snapshots(&self) {
        self.mailbox.order(Order::AskSnapshots);
    }

    /// Fetches a part of a snapshot from one of those that said that they have it, by its height
    /// and the hash of its manifest, but from none of `avoid`. Ends with [`NetworkEvent::SnapshotPart`], at the latest after
    /// [`limits::PART_LONGEST`]. More than [`limits::PARTS`] at once are not fetched,
    /// and those of another snapshot are given up.
    pub fn fetch_part(&self, snapshot: (u64, Digest), part: u64, avoid: Vec<PeerIndex>) {
        self.mailbox.order(Order::FetchPart { snapshot, part, avoid });
    }

    /// Gives the verdict on a gossiped message: only an accepted one is forwarded. Verdicts
    /// later than about ten seconds are too late.
    pub fn report(&self, id: GossipId, verdict: Acceptance) {
        self.mailbox.order(Order::Report { id, verdict });
    }

    /// Replaces the validators, after the set in the state has changed. Those no longer in it
    /// are disconnected; observers stay. Entries without a valid peer id are left out.
    pub fn set_admitted(&self, peers: Vec<(Vec<u8>, Vec<Multiaddr>)>) {
        self.mailbox.admit(peers);
    }

    /// Holds something against a peer. After [`limits::BLAME_LIMIT`] such it is refused for
    /// [`limits::BAN`].
    pub fn blame(&self, peer: PeerIndex) {
        self.mailbox.order(Order::Blame { peer });
    }

    /// This node's peer id.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> &Arc<NetworkCounters> {
        &self.counters
    }

    /// The addresses on which this node listens, with the ports that were really taken. The
    /// channel closes when the network has stopped and has closed its listeners.
    #[must_use]
    pub fn listening(&self) -> watch::Receiver<Vec<Multiaddr>> {
        self.listening.clone()
    }
}

/// The header of a block with these bytes, without a look at its transactions.
#[must_use]
pub fn header_of(block: &[u8]) -> Option<symbolon_ledger::block::Header> {
    wire::header_of(block)
}

/// The peer id (multihash bytes) of the identity with this seed.
#[must_use]
pub fn peer_id_of_seed(seed: [u8; 32]) -> Vec<u8> {
    keypair(seed).public().to_peer_id().to_bytes()
}

fn keypair(mut seed: [u8; 32]) -> Keypair {
    Keypair::ed25519_from_bytes(&mut seed).expect("any 32 bytes are an Ed25519 private key")
}

/// A network that is set up and not open: it listens nowhere and knows nobody yet. What its
/// handle is given waits.
pub struct Network {
    handle: NetworkHandle,
    swarm: Swarm<Protocols>,
    peers: Peers,
    config: NetworkConfig,
    listening: watch::Sender<Vec<Multiaddr>>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Sets the network up on the current tokio runtime. `metrics` is where it counts; give a fresh
/// one.
///
/// # Errors
///
/// [`NetworkError`].
pub fn prepare(
    config: NetworkConfig,
    metrics: Arc<NetworkCounters>,
) -> Result<Network, NetworkError> {
    let identity = keypair(config.keypair_seed);
    let peer_id = identity.public().to_peer_id();
    let peers = Peers::new(peer_id, &config.peers, &config.observers)?;
    let swarm = behaviour::swarm(&identity, &config.chain_id, peers.admitted())?;
    let mailbox = Arc::new(Mailbox::new(metrics.clone()));
    let (listening_to, listening) = watch::channel(Vec::new());
    let handle = NetworkHandle { mailbox, counters: metrics, peer_id, listening };
    Ok(Network { handle, swarm, peers, config, listening: listening_to })
}

impl Network {
    /// What gives it its orders, now or when it is open.
    #[must_use]
    pub fn handle(&self) -> NetworkHandle {
        self.handle.clone()
    }

    /// Opens it: from now on it listens, dials, and does what it is told.
    ///
    /// # Errors
    ///
    /// [`NetworkError`].
    pub fn open(self, reader: Arc<dyn ChainReader>) -> Result<Receivers, NetworkError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| NetworkError::NoRuntime)?;
        let Self { handle, mut swarm, peers, config, listening } = self;
        for address in &config.listen {
            swarm.listen_on(address.clone()).map_err(|error| NetworkError::Listen {
                address: address.clone(),
                source: io::Error::other(error),
            })?;
        }
        let (to_events, events) = mpsc::channel(limits::EVENT_CHANNEL);
        let (to_transactions, transactions) = mpsc::channel(limits::BATCH_CHANNEL);
        let NetworkHandle { mailbox, counters, .. } = handle;
        let task = Task::new(swarm, peers, config.chain_id, reader, mailbox, counters);
        runtime.spawn(task.run(to_events, to_transactions, listening));
        Ok(Receivers { events, transactions })
    }
}

#[cfg(test)]
pub(crate) mod detached {
    //! A network without a network: what the engine wants done stays in the mailbox, for tests
    //! to look at.

    use super::{
        Acceptance, Arc, GossipId, Mailbox, NetworkCounters, NetworkHandle, Order, PeerIndex,
        keypair, watch,
    };
    use symbolon_ledger::hash::BlockHash;

    /// What the engine wanted done since the last look.
    #[derive(Debug, Default)]
    pub(crate) struct Wishes {
        pub(crate) published: Vec<Vec<u8>>,
        pub(crate) blamed: Vec<PeerIndex>,
        pub(crate) bodies: Vec<BlockHash>,
        pub(crate) blocks: Vec<(u64, u64, Option<PeerIndex>)>,
        pub(crate) verdicts: Vec<Acceptance>,
        pub(crate) parts: Vec<(u64, Vec<PeerIndex>)>,
        pub(crate) asked_snapshots: usize,
    }

    /// Names a message that nobody gossiped.
    pub(crate) fn gossip_id() -> GossipId {
        let from = keypair([0xde; 32]).public().to_peer_id();
        let message = libp2p::gossipsub::MessageId::new(b"none");
        GossipId { message, from, is_of_validator: false, is_everywhere: false }
    }

    /// Names one that everybody has.
    pub(crate) fn gossip_id_of_everybody() -> GossipId {
        GossipId { is_of_validator: true, is_everywhere: true, ..gossip_id() }
    }

    impl NetworkHandle {
        pub(crate) fn detached() -> Self {
            let counters = Arc::new(NetworkCounters::default());
            let mailbox = Arc::new(Mailbox::new(counters.clone()));
            let peer_id = keypair([0xde; 32]).public().to_peer_id();
            Self { mailbox, counters, peer_id, listening: watch::channel(Vec::new()).1 }
        }

        pub(crate) fn wishes(&self) -> Wishes {
            let taken = self.mailbox.take();
            let mut wishes = Wishes { published: taken.consensus.into(), ..Wishes::default() };
            for order in taken.orders {
                match order {
                    Order::Blame { peer } => wishes.blamed.push(peer),
                    Order::FetchBody { block, .. } => wishes.bodies.push(block),
                    Order::FetchBlocks { from, to, peer } => wishes.blocks.push((from, to, peer)),
                    Order::Report { verdict, .. } => wishes.verdicts.push(verdict),
                    Order::FetchPart { part, avoid, .. } => wishes.parts.push((part, avoid)),
                    Order::AskSnapshots => wishes.asked_snapshots += 1,
                    Order::Announce { .. } => {}
                }
            }
            wishes
        }
    }
}
