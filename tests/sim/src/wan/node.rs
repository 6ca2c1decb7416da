//! What a node of the wide network keeps. Nothing crashes here, so it is all in memory.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use symbolon_consensus::{
    Config, Effect, Host, HostError, Signed, Timer, Timing, edge::Edge, reach::Reach,
};
use symbolon_ledger::{codes::ProvinceCode, hash::BlockHash, keys::SecretKey};

use super::{chain::Body, sizes::Topic};
use crate::founding::Founding;

/// Heartbeats whose messages gossip speaks of: `history_gossip` of gossipsub.
pub(super) const SPOKEN_OF: usize = 3;

/// A body that is being fetched.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) height: u64,
    pub(super) prefer: Option<usize>,
    pub(super) started_ns: u64,
    pub(super) last_asked_ns: u64,
    pub(super) asked: BTreeSet<usize>,
    pub(super) under_way: u32,
}

/// A thread that does one thing after the other.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) free_ns: u64,
    pub(super) busy_ns: u64,
}

impl Lane {
    /// When work that comes at `now_ns` and takes so long is done.
    pub(super) fn done_ns(&mut self, now_ns: u64, takes_ns: u64) -> u64 {
        self.free_ns = self.free_ns.max(now_ns) + takes_ns;
        self.busy_ns += takes_ns;
        self.free_ns
    }
}

/// What a node knows of messages of gossip.
#[derive(Debug, Default)]
pub(super) struct Gossip {
    /// Messages that came, each with the peers that sent it too until it is passed on.
    pub(super) seen: BTreeMap<u64, Option<BTreeSet<usize>>>,
    /// The next message's number at the last heartbeats, the oldest first.
    pub(super) marks: VecDeque<u64>,
    /// Messages that a peer has asked not to be sent.
    pub(super) unwanted: BTreeSet<(u64, usize)>,
    /// How many messages were accepted in the running heartbeat and those before, by topic.
    pub(super) accepted: BTreeMap<Topic, [u64; SPOKEN_OF]>,
    /// Batches of transactions that are being looked at.
    pub(super) batches: usize,
}

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) province: ProvinceCode,
    pub(super) host: Host,
    pub(super) edge: Edge,
    /// Height of its newest block.
    pub(super) tip: u64,
    pub(super) gossip: Gossip,
    /// The engine: nothing else is done while a write is synced.
    pub(super) engine_free_ns: u64,
    pub(super) checker: Lane,
    pub(super) admitter: Lane,
    pub(super) executor: Lane,
    /// What it has learnt of how large a block may be.
    pub(super) reach: Reach,
    /// When the rounds of the running height began here.
    pub(super) rounds_began_ns: BTreeMap<u32, u64>,
    /// Round and bytes of the block that was last built for this height.
    pub(super) built: Option<(u32, u64)>,
    /// Transactions that wait, each with the height at which it is offered again and how many later
    /// the next time; nothing for one that another took.
    pub(super) pool: BTreeMap<u32, Option<(u64, u64)>>,
    /// Transactions that are to be gossiped.
    pub(super) outbox: VecDeque<u32>,
    pub(super) next_batch_ns: u64,
    pub(super) timers: BTreeMap<Timer, u64>,
    /// Bodies of the running height that were executed here.
    pub(super) bodies: BTreeMap<BlockHash, Arc<Body>>,
    /// Bodies that nobody has asked for yet.
    pub(super) unasked: BTreeMap<BlockHash, Arc<Body>>,
    pub(super) examining: BTreeSet<BlockHash>,
    pub(super) wanted: BTreeSet<BlockHash>,
    /// Who has announced which body.
    pub(super) announced: BTreeMap<BlockHash, BTreeSet<usize>>,
    /// Bodies that came from another.
    pub(super) delivered: BTreeSet<BlockHash>,
    pub(super) fetches: BTreeMap<BlockHash, Fetch>,
    /// What the others said of their tips.
    pub(super) claims: BTreeMap<usize, u64>,
    /// When to look whether this node is behind; or until when it waits for blocks.
    pub(super) sync_at_ns: Option<u64>,
    /// When a block that had come from a peer was last committed.
    pub(super) synced_ns: Option<u64>,
    pub(super) told: u64,
}

impl Node {
    /// A node at the founding, and what its host asks for.
    pub(super) fn founded(
        founding: &Founding,
        seat: usize,
        start: symbolon_consensus::HeightStart,
        clock_ms: u64,
    ) -> Result<(Self, Vec<Effect>), HostError> {
        let config = config(founding, seat, Signed::UpTo(None));
        let (host, effects) = Host::recover(config, start, &[], vec![], clock_ms)?;
        let node = Self {
            province: founding.province(seat),
            edge: Edge::new(founding.chain_id, host.start()),
            host,
            tip: 0,
            gossip: Gossip::default(),
            engine_free_ns: 0,
            checker: Lane::default(),
            admitter: Lane::default(),
            executor: Lane::default(),
            reach: Reach::default(),
            rounds_began_ns: BTreeMap::new(),
            built: None,
            pool: BTreeMap::new(),
            outbox: VecDeque::new(),
            next_batch_ns: 0,
            timers: BTreeMap::new(),
            bodies: BTreeMap::new(),
            unasked: BTreeMap::new(),
            examining: BTreeSet::new(),
            wanted: BTreeSet::new(),
            announced: BTreeMap::new(),
            delivered: BTreeSet::new(),
            fetches: BTreeMap::new(),
            claims: BTreeMap::new(),
            sync_at_ns: None,
            synced_ns: None,
            told: 0,
        };
        Ok((node, effects))
    }

    /// Forgets what belonged to the height before.
    pub(super) fn begin_height(&mut self) {
        let height = self.tip + 1;
        self.rounds_began_ns.clear();
        self.built = None;
        self.bodies.clear();
        self.wanted.clear();
        self.unasked.retain(|_, body| body.block.header.height >= height);
        self.fetches.retain(|_, fetch| fetch.height >= height);
    }
}

/// What the host of a seat is told of itself.
pub(super) fn config(founding: &Founding, seat: usize, signed: Signed) -> Config {
    let seed = founding.voting_key(seat, false).to_seed();
    Config {
        chain_id: founding.chain_id,
        identity: Some((founding.province(seat), SecretKey::from_seed(&seed))),
        next_key: None,
        timing: Timing::default(),
        signed,
    }
}
