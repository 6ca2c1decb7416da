//! The engine: the one writer of the chain.
//!
//! One thread owns the consensus host, the log and the right to commit. It takes one event at a
//! time, steps the host, and executes the effects strictly in order: an entry is on the disk
//! before the vote that rests on it leaves, a block is durable before it is acknowledged. It
//! never checks a transaction's signature, never executes a block of the running height (but for
//! the bodies that it finds on the disk when it starts) and never waits for the network:
//! [`bodies`] does the first two on the worker threads, [`router`] brings in messages that are
//! already checked, [`sync`] catches up when this node is behind.
//!
//! A fault of the log or the database, or a broken rule of consensus, ends the thread with an
//! error. The node then stops and stays down: going on could mean a second vote.

mod bodies;
mod deadlines;
mod evidence;
mod handle;
mod queue;
mod router;
mod shelf;
mod sites;
mod status;
mod sync;
mod voice;
mod withheld;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use symbolon_consensus::{
    Config, Effect, HeightStart, Host, HostError, Input, Peer, Signed, Timer, Timing, Verified,
    evidence::Equivocation, reach::Reach,
};
use symbolon_ledger::{
    certificate::Certificate, codes::ProvinceCode, hash::BlockHash, keys::SecretKey,
    state::StateKey, validators::ValidatorSet,
};
use thiserror::Error;
use tokio::sync::watch;

use crate::{
    execution::{self, ExecutionError},
    join::{Joiner, Told},
    keeper::Keeper,
    metrics::Metrics,
    network::{NetworkEvent, NetworkHandle, PeerIndex, Sources},
    pool::Pool,
    sign_state::Marks,
    storage::{Commit, StorageError, Store},
    wal::Journal,
};
use bodies::{Body, Prepared, Received, Unasked};
use deadlines::idle_interval;
pub use handle::{EngineHandle, Outside, THREAD, abort_on_panic, start};
use queue::{Queue, Queued};
use router::Checks;
use shelf::Shelf;
pub(crate) use status::describe;
pub use status::{EngineStatus, Heard, LastHeard, Stall, Voting};
use sync::Sync;
pub use withheld::WITHHELD;

/// Milliseconds since 1970-01-01T00:00Z.
pub type Clock = Arc<dyn Fn() -> u64 + Send + std::marker::Sync>;

/// What the engine is made of.
pub struct EngineParts {
    /// The chain.
    pub store: Arc<Store>,
    /// Transactions that wait.
    pub pool: Arc<Pool>,
    /// The log.
    pub wal: Box<dyn Journal>,
    /// The network.
    pub network: NetworkHandle,
    /// The wall clock.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The province and key with which this node votes; none for an observer.
    pub identity: Option<(ProvinceCode, SecretKey)>,
    /// The key that it votes with once the provinces have rotated to it.
    pub next_key: Option<SecretKey>,
    /// What that key has signed before, as far as is known apart from the log.
    pub signed: Signed,
    /// Where that is kept; none for an observer.
    pub marks: Option<Box<dyn Marks>>,
    /// Round timeouts.
    pub timing: Timing,
    /// Makes snapshots and forgets old blocks; none where nothing of the past is touched.
    pub keeper: Option<Arc<Keeper>>,
    /// Joins by snapshot; none for an archive, which executes everything.
    pub joiner: Option<Joiner>,
}

impl std::fmt::Debug for EngineParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineParts").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Why the engine stopped.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The consensus log.
    #[error("the consensus log failed: {0}")]
    Wal(#[from] std::io::Error),
    /// The mark of what the validator's key has signed.
    #[error("the sign state failed, and nothing was sent: {0}")]
    SignState(std::io::Error),
    /// The validator's key is used at its other site.
    #[error(
        "this validator's key has voted at height {0}, and not here: its other site is on, and two votes must not come of it; run this one as an observer, or hand the mark back with symbolon-node sign-state export there and import here (docs/operating/recovery.md)"
    )]
    VotesElsewhere(u64),
    /// Consensus.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A part that this node cannot do without has ended, and nobody asked it to.
    #[error("{0} has stopped; start the node again, and see the log for why")]
    HelperGone(&'static str),
    /// A thread of the router.
    #[error("no thread for the router: {0}")]
    Thread(std::io::Error),
    /// Consensus has the body of a block stored which is neither in memory nor on disk.
    #[error("the body of block {block} at height {height} is to be stored and is not at hand")]
    BodyGone {
        /// The block.
        block: BlockHash,
        /// Its height.
        height: u64,
    },
    /// A block that was decided cannot be executed here.
    #[error("decided block {block} cannot be executed: {reason}")]
    Decided {
        /// The block.
        block: BlockHash,
        /// Why.
        reason: String,
    },
}

/// What happens to the engine.
enum Event {
    /// A checked consensus message for the running height.
    Checked { message: Verified, from: Peer },
    /// A peer speaks of a later height; nothing of it is checked.
    Ahead { peer: PeerIndex, height: u64 },
    /// A peer has shown evidence, which was checked.
    Evidence(Box<Equivocation>),
    /// Transactions wait.
    Work,
    /// A block was built.
    Built { round: u32, parent: BlockHash, result: Result<Box<bodies::Built>, ExecutionError> },
    /// A body was executed.
    Examined {
        block: BlockHash,
        parent: BlockHash,
        body: Result<Body, ExecutionError>,
        from: Option<PeerIndex>,
        pushed: bool,
    },
    /// A worker has looked at a block that was fetched.
    SyncChecked { parent: BlockHash, checked: sync::Checked, from: PeerIndex },
    /// Something from the network that is not for the host.
    Network(NetworkEvent),
    /// A thread that feeds the engine has ended.
    HelperGone(&'static str),
    /// The node goes down.
    Stop,
}

/// What governs the height after the tip. A node that does not know its rules does not begin it.
fn height_start(store: &Store) -> Result<HeightStart, StorageError> {
    let view = store.view()?;
    execution::check_features(&view)?;
    Ok(HeightStart {
        parent: view.tip().header.clone(),
        history_root: view.frontier()?.root(),
        validators: execution::validators(&view)?.set,
    })
}

struct Engine {
    parts: EngineParts,
    host: Host,
    events: Receiver<Queued>,
    to_self: Queue,
    status: watch::Sender<EngineStatus>,
    checks: Checks,
    idle_interval: Duration,
    /// Bodies of the running height that were executed, valid or not.
    bodies: Shelf,
    /// Bodies that nobody has asked for yet, not looked at.
    unasked: Unasked,
    /// Bodies that a worker thread executes now.
    examining: BTreeSet<BlockHash>,
    /// Bodies that the host has asked for.
    wanted: BTreeSet<BlockHash>,
    timers: BTreeMap<Timer, Instant>,
    /// When to tell the host the time: one for every block that waits for the clock.
    wakes: BTreeSet<Instant>,
    begin_at: Option<Instant>,
    /// When the rounds of the running height began here.
    rounds_began: BTreeMap<u32, Instant>,
    /// Round and bytes of the block that was last built for this height.
    built: Option<(u32, usize)>,
    /// What was learnt of how large a block may be.
    reach: Reach,
    /// When what was said is repeated for peers that have come, or last was.
    repeated: Option<Instant>,
    sync: Sync,
    peers: BTreeSet<PeerIndex>,
    heard: BTreeMap<ProvinceCode, Heard>,
    /// The newest height that bears this node's signature, or at which it had nothing to say.
    voiced: u64,
    /// What it looks on from, when it has just found that the others do not hear it.
    unheard: Option<HeightStart>,
    /// When a block was last committed here, or the engine was started.
    progress_ms: u64,
    /// When this engine was started.
    started_ms: u64,
    /// When the status was last published.
    published: Instant,
}

impl Engine {
    /// Host contract 4: chain, then log, then bodies, then replay. The network is not open yet;
    /// what is published here waits in its queues.
    fn recover(
        mut parts: EngineParts,
        start: HeightStart,
        to_self: Queue,
        events: Receiver<Queued>,
        status: watch::Sender<EngineStatus>,
        checks: Checks,
    ) -> Result<Self, EngineError> {
        let now = (parts.clock)();
        let log = parts.wal.entries()?;
        let bodies = bodies::kept(&parts, start.height())?;
        let headers = bodies.headers();
        let (signed, voiced) = (sites::at_start(&parts, &start, now), sites::voiced(&parts.signed));
        let (host, effects) = Host::recover(config(&parts, signed), start, &log, headers, now)?;
        let idle_interval = idle_interval(&parts.store)?;
        let mut engine = Self {
            parts,
            host,
            events,
            to_self,
            status,
            checks,
            idle_interval,
            bodies,
            unasked: Unasked::default(),
            examining: BTreeSet::new(),
            wanted: BTreeSet::new(),
            timers: BTreeMap::new(),
            wakes: BTreeSet::new(),
            begin_at: None,
            rounds_began: BTreeMap::new(),
            built: None,
            reach: Reach::default(),
            repeated: None,
            sync: Sync::default(),
            peers: BTreeSet::new(),
            heard: BTreeMap::new(),
            voiced,
            unheard: None,
            progress_ms: now,
            started_ms: now,
            published: Instant::now(),
        };
        // The founding document names the founders; who has the vote now, the state.
        engine.admit(&engine.host.start().validators);
        engine.plan_begin();
        let mut inputs = VecDeque::new();
        for effect in effects {
            inputs.extend(engine.execute(effect)?);
        }
        engine.drive(inputs)?;
        engine.publish_status();
        Ok(engine)
    }

    fn run(mut self) -> Result<(), EngineError> {
        let result = self.serve();
        if let Err(error) = &result {
            tracing::error!(%error, "the engine stops and stays down");
            self.status.send_modify(|status| status.fault = Some(error.to_string()));
        }
        result
    }

    fn serve(&mut self) -> Result<(), EngineError> {
        loop {
            match self.events.recv_timeout(self.until_next_deadline()) {
                Ok(Queued { event: Event::Stop, .. }) | Err(RecvTimeoutError::Disconnected) => {
                    return Ok(());
                }
                // The place in the queue is given back when the event is done with.
                Ok(Queued { event, _place }) => self.handle(event)?,
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.fire_due()?;
            self.publish_status_in_time();
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), EngineError> {
        match event {
            Event::Checked { message, from } => {
                self.check_own_voice(&message)?;
                self.note_heard(&message);
                self.step(Input::Verified { message, from })
            }
            Event::Ahead { peer, height } => {
                self.heard_of_height(peer, height.saturating_sub(1));
                Ok(())
            }
            Event::Work => self.begin_if_prepared(),
            Event::Built { round, parent, result } => self.built(round, parent, result),
            Event::Examined { block, parent, body, from, pushed } => {
                self.examined(block, parent, body, from, pushed)
            }
            Event::SyncChecked { parent, checked, from } => {
                self.sync_checked(parent, checked, from)
            }
            Event::Network(event) => self.handle_network(event),
            Event::Evidence(evidence) => self.keep_evidence(&evidence),
            Event::HelperGone(what) => Err(EngineError::HelperGone(what)),
            Event::Stop => Ok(()),
        }
    }

    fn handle_network(&mut self, event: NetworkEvent) -> Result<(), EngineError> {
        match event {
            NetworkEvent::Body { block, height, bytes, from, pushed } => {
                let body = Received { bytes: Arc::new(bytes), from: Some(from), pushed };
                self.received(block, height, body);
                Ok(())
            }
            NetworkEvent::BodyFailed { block, height } => {
                if height == self.host.height() && self.wanted.contains(&block) {
                    self.parts.network.fetch_body(block, height, Sources::default());
                }
                Ok(())
            }
            NetworkEvent::Blocks { from_height, blocks, from } => {
                self.fetched(from_height, blocks, from);
                Ok(())
            }
            NetworkEvent::BlocksFailed { from_height, .. } => {
                self.sync_failed(from_height);
                self.begin_if_prepared()
            }
            NetworkEvent::Snapshots { from, offers } => {
                self.tell_joiner(Told::Snapshots(from, offers));
                Ok(())
            }
            NetworkEvent::SnapshotPart { manifest, part, found } => {
                self.tell_joiner(Told::Part { manifest, part, found });
                Ok(())
            }
            NetworkEvent::PeerTip { peer, height } => {
                self.heard_of_tip(peer, height);
                Ok(())
            }
            NetworkEvent::Connected { peer, peer_id } => {
                self.peers.insert(peer);
                self.repeat_for(&peer_id);
                Ok(())
            }
            NetworkEvent::Disconnected { peer } => {
                self.peers.remove(&peer);
                self.sync.gone(peer);
                Ok(())
            }
            // The router keeps these to itself.
            NetworkEvent::Consensus { .. } => Ok(()),
        }
    }

    fn step(&mut self, input: Input) -> Result<(), EngineError> {
        self.drive(VecDeque::from([input]))
    }

    /// Gives inputs to the host until nothing follows from them any more.
    fn drive(&mut self, mut inputs: VecDeque<Input>) -> Result<(), EngineError> {
        let before = self.host.height();
        while let Some(input) = inputs.pop_front() {
            for effect in self.host.step((self.parts.clock)(), input)? {
                inputs.extend(self.execute(effect)?);
            }
            if let Some(start) = self.unheard.take() {
                // What waits is of the height before.
                inputs.clear();
                self.restart_consensus(start)?;
            }
        }
        if self.host.height() != before {
            self.unasked.begin(self.host.height());
            self.examine_ahead();
        }
        Ok(())
    }

    /// Executes one effect, completely, and says what the host has to hear of it.
    fn execute(&mut self, effect: Effect) -> Result<Vec<Input>, EngineError> {
        match effect {
            Effect::WalReset { height } => self.parts.wal.reset(height)?,
            Effect::WalAppend(entry) => self.parts.wal.append(&entry)?,
            Effect::WalFlush => self.parts.wal.flush()?,
            Effect::StoreBody { block } => self.store_body(block)?,
            Effect::Publish(message) => self.publish(&message)?,
            Effect::SpreadBody { block } => self.spread_body(block)?,
            Effect::RequestBody { block, height, proposer, from } => {
                return self.request_body(block, height, self.sources(proposer, from));
            }
            Effect::ForgetBody { block } => {
                self.wanted.remove(&block);
                self.bodies.forget(&block);
            }
            Effect::BuildBlock { round, .. } => self.build(round),
            Effect::ScheduleTimer { timer, after } => {
                self.timers.insert(timer, Instant::now() + after);
            }
            Effect::CancelTimer(timer) => {
                self.timers.remove(&timer);
            }
            Effect::CancelAllTimers => self.timers.clear(),
            Effect::WakeAt { time_ms } => {
                let ahead = time_ms.saturating_sub((self.parts.clock)());
                self.wakes.insert(Instant::now() + Duration::from_millis(ahead));
            }
            Effect::StartedRound { height, round, .. } => self.round_started(height, round),
            Effect::EvidenceFound(found) => self.evidence_found(&found)?,
            Effect::Decide { block, certificate } => return self.decide(block, &certificate),
            other => self.note(other),
        }
        Ok(Vec::new())
    }

    /// Effects that change nothing here but what is known and said.
    fn note(&mut self, effect: Effect) {
        match effect {
            Effect::Misbehaved { peer, reason } => {
                tracing::warn!(peer = peer.0, %reason, "a peer delivered a bad message");
                self.parts.network.blame(PeerIndex(peer.0));
            }
            Effect::Held { block, until_ms } => {
                tracing::info!(%block, until_ms, "a block from the future waits for the clock");
            }
            Effect::Warning(what) => tracing::warn!(what, "consensus"),
            _ => {}
        }
    }

    /// Order: the block is durable, and only then does anybody hear of it.
    fn decide(
        &mut self,
        block: BlockHash,
        certificate: &Certificate,
    ) -> Result<Vec<Input>, EngineError> {
        self.check_own_signature(certificate)?;
        let prepared = self.decided_body(block)?;
        if let Some(began) = self.rounds_began.get(&certificate.round) {
            self.reach.learn(prepared.bytes.len(), certificate.round, began.elapsed());
        }
        self.forget_rounds();
        self.commit(&prepared, certificate)?;
        self.bodies.clear();
        self.wanted.clear();
        self.wakes.clear();
        let start = height_start(&self.parts.store)?;
        self.checks.move_to(start.clone());
        self.repeat_evidence()?;
        self.plan_begin();
        if self.is_unheard(&start) {
            self.unheard = Some(start);
            return Ok(Vec::new());
        }
        let mut inputs = vec![Input::StartHeight(start)];
        if self.wants_to_begin() {
            inputs.push(Input::Begin);
        }
        Ok(inputs)
    }

    fn commit(
        &mut self,
        prepared: &Prepared,
        certificate: &Certificate,
    ) -> Result<(), EngineError> {
        let Prepared { block, executed, .. } = prepared;
        self.parts.store.commit(&Commit { block, certificate, executed })?;
        let height = block.header.height;
        self.note_voice(certificate);
        if block.header.next_validators_hash != block.header.validators_hash {
            self.admit(&executed.next_validators);
        }
        if executed.changes.contains_key(&StateKey::Parameters) {
            self.idle_interval = idle_interval(&self.parts.store)?;
        }
        // Before another block can follow: a snapshot is of exactly its height.
        if let Some(keeper) = &self.parts.keeper {
            keeper.committed(height);
        }
        self.parts.pool.committed(height, block.transactions.iter().map(|t| t.id()));
        let transactions = block.transactions.len();
        tracing::debug!(height, round = certificate.round, transactions, "committed");
        let now = (self.parts.clock)();
        self.parts.metrics.committed(block, executed);
        self.progress_ms = now;
        self.status.send_modify(|status| {
            status.height = height;
            status.last_commit_ms = now;
            status.round = 0;
        });
        Ok(())
    }

    /// Lets the nodes of this set in, and those that have left it out. Where a new one is found, it
    /// says itself: it dials those that genesis names.
    fn admit(&self, set: &ValidatorSet) {
        let peers = set.validators().iter().map(|v| (v.peer_id.clone(), Vec::new())).collect();
        self.parts.network.set_admitted(peers);
        let own = self.parts.identity.as_ref().map(|(province, _)| *province);
        let province_votes = own.is_some_and(|province| set.get(province).is_some());
        tracing::info!(validators = set.validators().len(), province_votes, "the validator set");
    }

    fn round_started(&mut self, height: u64, round: u32) {
        if round > 0 {
            tracing::info!(
                height,
                round,
                missing =
                    self.missing().iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
                "another round"
            );
        }
        self.begin_at = None;
        self.learn_from_lost(round);
        self.rounds_began.insert(round, Instant::now());
        self.checks.enter(height, round);
        self.examine_ahead();
        self.status.send_modify(|status| status.round = round);
    }
}

fn config(parts: &EngineParts, signed: Signed) -> Config {
    let again = |key: &SecretKey| SecretKey::from_seed(&key.to_seed());
    Config {
        chain_id: parts.store.chain_id(),
        identity: parts.identity.as_ref().map(|(province, key)| (*province, again(key))),
        next_key: parts.next_key.as_ref().map(again),
        timing: parts.timing,
        signed,
    }
}

#[cfg(test)]
mod tests;
