//! One engine without its thread, and everything that the other provinces would say to it.

use std::{
    collections::VecDeque,
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use symbolon_consensus::{
    Input, Message, Peer, Timing, Verified,
    wire::{Proposal, Vote},
};
use symbolon_genesis::{
    Genesis,
    founding::TRANSACTION_KEY_ID,
    presets::{DevnetKeys, devnet_from_seed},
};
use symbolon_ledger::{
    block::{Block, MAX_BLOCK_BYTES},
    certificate::{CERTIFICATE_VERSION, Certificate, CommitSignature},
    codec,
    codes::Day,
    hash::BlockHash,
    keys::SecretKey,
    operation::{Actor, Interval, Operation},
    transaction::{NONCE_LEN, PAYLOAD_VERSION, Payload, SignedTransaction},
    vote::{VoteKind, proposal_bytes, vote_bytes},
};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::super::{
    Engine, EngineError, EngineParts, EngineStatus, Event, bodies, queue::Queue, router::Checks,
};
use super::disk::Disk;
use crate::{
    join::{self, JoinParts, Ticks},
    metrics::Metrics,
    network::{NetworkEvent, NetworkHandle, PeerIndex, detached::Wishes},
    pool::{Pool, PoolOutlets},
    sign_state::{Owner, SignState, Standing},
    storage::{Commit, Store},
};

/// When the chain of these tests was founded.
pub(super) const FOUNDED_MS: u64 = 1_800_000_000_000;
/// A hang, not a slow machine.
const HANG: Duration = Duration::from_secs(60);
/// Longer than any test: what is repeated has its cause in the test.
const NEVER: Duration = Duration::from_secs(3_600);
/// Whoever says what the tests say.
pub(super) const PEER: PeerIndex = PeerIndex(7);

pub(super) struct Rig {
    pub(super) engine: Engine,
    pub(super) network: NetworkHandle,
    pub(super) now_ms: Arc<AtomicU64>,
    pub(super) keys: Vec<DevnetKeys>,
    pub(super) disk: Disk,
    folder: TempDir,
    genesis: Genesis,
    me: usize,
}

fn parts(
    folder: &Path,
    genesis: &Genesis,
    keys: &DevnetKeys,
    network: NetworkHandle,
    now_ms: Arc<AtomicU64>,
    disk: &Disk,
) -> Result<EngineParts, EngineError> {
    let store = Arc::new(Store::open(folder, genesis)?);
    let (gossip, _) = mpsc::channel(1);
    let (work, _) = mpsc::channel(1);
    let owner = Owner {
        chain: genesis.chain_id(),
        province: keys.province,
        key: keys.validator.public_key(),
    };
    let marks = SignState::take(&sign_state(folder), owner).unwrap();
    let signed = marks.signed(now_ms.load(Relaxed));
    Ok(EngineParts {
        pool: Arc::new(Pool::new(store.clone(), PoolOutlets { gossip, work })),
        store,
        wal: Box::new(disk.wal()),
        network,
        clock: Arc::new(move || now_ms.load(Relaxed)),
        metrics: Arc::new(Metrics::default()),
        identity: Some((keys.province, again(&keys.validator))),
        next_key: None,
        signed,
        marks: Some(Box::new(marks)),
        timing: Timing { rebroadcast: NEVER, longest: NEVER, ..Timing::default() },
        keeper: None,
        joiner: None,
    })
}

/// Where the mark of the key lies.
pub(super) fn sign_state(folder: &Path) -> PathBuf {
    folder.join("validator.signed")
}

fn open(parts: EngineParts) -> Result<Engine, EngineError> {
    let (to_self, events) = Queue::new();
    let (status, _) = tokio::sync::watch::channel(EngineStatus::default());
    let start = super::super::height_start(&parts.store)?;
    let (checks, _) = Checks::new();
    Engine::recover(parts, start, to_self, events, status, checks)
}

/// Drops an engine and waits until the workers have let its database go.
fn end(engine: Engine) {
    let lock = engine.parts.store.folder().join("node.lock");
    drop(engine);
    // It is closed when its lock is free, and not yet when the last worker lets it go.
    while File::open(&lock).unwrap().try_lock().is_err() {
        std::thread::yield_now();
    }
}

fn again(key: &SecretKey) -> SecretKey {
    SecretKey::from_seed(&key.to_seed())
}

impl Rig {
    /// The engine of a validator whose turn it is in none of the first two rounds of height 1.
    pub(super) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let (genesis, keys) = devnet_from_seed(4, &[5; 32], FOUNDED_MS, 1);
        let (network, now_ms) = (NetworkHandle::detached(), Arc::new(AtomicU64::new(0)));
        now_ms.store(FOUNDED_MS + 60_000, Relaxed);
        let (me, disk) = (0, Disk::default());
        let (path, clock) = (folder.path(), now_ms.clone());
        let (chain, key) = (genesis.chain_id(), keys[me].validator.public_key());
        let owner = Owner { chain, province: keys[me].province, key };
        drop(SignState::create(&sign_state(path), owner, Standing::Known(None)).unwrap());
        let parts = parts(path, &genesis, &keys[me], network.clone(), clock, &disk).unwrap();
        let engine = open(parts).unwrap();
        Self { engine, network, now_ms, keys, disk, folder, genesis, me }
    }

    /// One that has begun height 1.
    pub(super) fn begun() -> Self {
        let mut rig = Self::new();
        rig.engine.step(Input::Begin).unwrap();
        rig
    }

    /// Ends the engine as a kill does, and starts it again over the same folder.
    pub(super) fn restart(self) -> Result<Self, EngineError> {
        self.restart_after(|_, _| {})
    }

    /// The same, and meanwhile something happens to its folder and its log.
    pub(super) fn restart_after(
        self,
        harm: impl FnOnce(&Path, &Disk),
    ) -> Result<Self, EngineError> {
        let Self { engine, now_ms, keys, disk, folder, genesis, me, .. } = self;
        end(engine);
        disk.lose_power();
        harm(folder.path(), &disk);
        let (network, clock) = (NetworkHandle::detached(), now_ms.clone());
        let path = folder.path();
        let parts = parts(path, &genesis, &keys[me], network.clone(), clock, &disk)?;
        let engine = open(parts)?;
        Ok(Self { engine, network, now_ms, keys, disk, folder, genesis, me })
    }

    /// Ends the engine as a kill does, and gives what another one is started from.
    pub(super) fn end(self) -> (EngineParts, NetworkHandle, TempDir) {
        let Self { engine, now_ms, keys, disk, folder, genesis, me, .. } = self;
        end(engine);
        let network = NetworkHandle::detached();
        disk.lose_power();
        let path = folder.path();
        let parts = parts(path, &genesis, &keys[me], network.clone(), now_ms, &disk).unwrap();
        (parts, network, folder)
    }

    pub(super) fn now(&self) -> u64 {
        self.now_ms.load(Relaxed)
    }

    pub(super) fn pass(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Relaxed);
    }

    /// The place among `keys` of whoever proposes in `round` of the running height.
    pub(super) fn turn(&self, round: u32) -> usize {
        let start = self.engine.host.start();
        let province = start.validators.proposer(start.height(), round).province;
        self.keys.iter().position(|keys| keys.province == province).unwrap()
    }

    /// A block on the tip, by the proposer of `round`.
    pub(super) fn block(&self, round: u32, time_ms: u64) -> Block {
        let (store, pool) = (&self.engine.parts.store, &self.engine.parts.pool);
        let province = self.keys[self.turn(round)].province;
        let built = bodies::build(store, pool, province, (time_ms, MAX_BLOCK_BYTES)).unwrap();
        built.prepared.block
    }

    /// A transaction of another province, which applies if the key is its authority's.
    pub(super) fn transaction(&self, nonce: u8, key: &SecretKey) -> Vec<u8> {
        let interval = Interval { from: Day(20_000), until: None };
        let licence_type = "local:driving-licence".parse().unwrap();
        let from_province = self.keys[2].province;
        let payload = Payload {
            version: PAYLOAD_VERSION,
            chain_id: self.genesis.chain_id(),
            actor: Actor::Province(self.keys[1].province),
            key_id: TRANSACTION_KEY_ID,
            nonce: [nonce; NONCE_LEN],
            valid_until_height: 100,
            operations: vec![Operation::Recognise { from_province, licence_type, interval }],
        };
        SignedTransaction::sign(&payload, key).unwrap().as_bytes().to_vec()
    }

    pub(super) fn proposal(&self, round: u32, block: BlockHash) -> Message {
        let keys = &self.keys[self.turn(round)];
        let height = self.engine.host.height();
        let bytes = proposal_bytes(&self.genesis.chain_id(), height, round, &block, None);
        let (province, signature) = (keys.province, keys.validator.sign(&bytes));
        Message::Proposal(Proposal { height, round, block, pol_round: None, province, signature })
    }

    pub(super) fn vote(
        &self,
        i: usize,
        kind: VoteKind,
        round: u32,
        block: Option<BlockHash>,
    ) -> Vote {
        let (keys, height) = (&self.keys[i], self.engine.host.height());
        let bytes = vote_bytes(kind, &self.genesis.chain_id(), height, round, block.as_ref());
        let (province, signature) = (keys.province, keys.validator.sign(&bytes));
        Vote { kind, height, round, block, province, signature }
    }

    /// A certificate of the other three for a block.
    pub(super) fn certificate(&self, block: &Block) -> Certificate {
        let (height, block) = (block.header.height, block.hash());
        let bytes =
            vote_bytes(VoteKind::Precommit, &self.genesis.chain_id(), height, 0, Some(&block));
        let sign = |keys: &DevnetKeys| CommitSignature {
            province: keys.province,
            signature: keys.validator.sign(&bytes),
        };
        let signatures = (0..4).filter(|i| *i != self.me).map(|i| sign(&self.keys[i])).collect();
        Certificate { version: CERTIFICATE_VERSION, height, round: 0, block, signatures }
    }

    pub(super) fn try_hear(&mut self, message: Message) -> Result<(), EngineError> {
        let set = self.engine.host.start().validators.clone();
        let message = Verified::check(&self.genesis.chain_id(), &set, message).unwrap();
        self.engine.step(Input::Verified { message, from: Peer(PEER.0) })
    }

    pub(super) fn hear(&mut self, message: Message) {
        self.try_hear(message).unwrap();
    }

    /// A body comes over the network, unasked unless this node is fetching it.
    pub(super) fn receive(&mut self, block: &Block) {
        let pushed = !self.engine.wanted.contains(&block.hash());
        let event = NetworkEvent::Body {
            block: block.hash(),
            height: block.header.height,
            bytes: block.encode(),
            from: PEER,
            pushed,
        };
        self.engine.handle(Event::Network(event)).unwrap();
    }

    /// A block on the tip by whoever's turn it is, with a certificate, committed here.
    pub(super) fn grow(&mut self) -> (Vec<u8>, Vec<u8>) {
        let block = self.block(0, self.now() + self.engine.host.height());
        let fetched = (block.encode(), codec::encode(&self.certificate(&block)));
        self.fetch(&fetched);
        fetched
    }

    /// Commits a block that was committed before, fetched from a peer.
    pub(super) fn fetch(&mut self, fetched: &(Vec<u8>, Vec<u8>)) {
        let height = self.engine.host.height();
        self.engine.heard_of_tip(PEER, height);
        self.engine.sync_if_behind();
        self.engine.fetched(height, vec![fetched.clone()], PEER);
        self.check_fetched().unwrap();
        assert_eq!(self.engine.host.height(), height + 1);
    }

    /// Handles what the workers answer until no fetched block waits.
    pub(super) fn check_fetched(&mut self) -> Result<(), EngineError> {
        while self.engine.sync.checking {
            self.check_one_fetched()?;
        }
        Ok(())
    }

    /// Handles what a worker answers about the fetched block that it has.
    pub(super) fn check_one_fetched(&mut self) -> Result<(), EngineError> {
        let queued = self.engine.events.recv_timeout(HANG).expect("a worker answers");
        self.engine.handle(queued.event)
    }

    /// Handles what the workers answer until nothing is being executed.
    pub(super) fn try_work(&mut self) -> Result<(), EngineError> {
        while !self.engine.examining.is_empty() {
            let queued = self.engine.events.recv_timeout(HANG).expect("a worker answers");
            self.engine.handle(queued.event)?;
        }
        Ok(())
    }

    pub(super) fn work(&mut self) {
        self.try_work().unwrap();
    }

    /// Commits a block to the database without the engine.
    pub(super) fn write_behind_its_back(&self, block: &Block) {
        let (store, pool) = (&self.engine.parts.store, &self.engine.parts.pool);
        let view = store.view().unwrap();
        let bytes = Arc::new(block.encode());
        let Ok(bodies::Body::Valid(prepared)) = bodies::prepare(&view, pool, block.clone(), bytes)
        else {
            panic!("a valid block");
        };
        let certificate = self.certificate(block);
        let bodies::Prepared { block, executed, .. } = &*prepared;
        store.commit(&Commit { block, certificate: &certificate, executed }).unwrap();
    }

    /// Joins by snapshot from now on, when it is two blocks behind.
    pub(super) fn join_by_snapshot(&mut self) {
        let parts = JoinParts {
            data: self.folder.path().to_owned(),
            genesis: Arc::new(self.genesis.clone()),
            network: self.network.clone(),
            store: Arc::downgrade(&self.engine.parts.store),
            commits: self.engine.parts.store.commits(),
            snapshot_every: 1,
        };
        let (from, begun, now) = (Instant::now(), self.now(), self.now_ms.clone());
        let ticks: Ticks =
            Arc::new(move || from + Duration::from_millis(now.load(Relaxed).saturating_sub(begun)));
        self.engine.parts.joiner = Some(join::start_with(parts, ticks).unwrap().0);
    }

    /// What was published since the last look.
    pub(super) fn wishes(&self) -> Wishes {
        self.network.wishes()
    }

    /// The votes among it.
    pub(super) fn votes(&self) -> VecDeque<Vote> {
        let vote = |bytes: Vec<u8>| match Message::decode(&bytes) {
            Ok(Message::Vote(vote)) => Some(vote),
            // A message of another kind, or evidence.
            _ => None,
        };
        self.wishes().published.into_iter().filter_map(vote).collect()
    }
}
