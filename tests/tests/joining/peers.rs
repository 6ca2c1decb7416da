//! One node that joins, and peers that give it parts over loopback: true ones, altered ones, none.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use symbolon_ledger::{
    certificate::MAX_CERTIFICATE_BYTES,
    codec::{self, local},
    hash::{BlockHash, Digest, sha256},
};
use symbolon_node::{
    join::{self, JoinParts, Joiner, Ticks, Told},
    network::{
        ChainReader, NetworkConfig, NetworkCounters, NetworkEvent, NetworkHandle, peer_id_of_seed,
        prepare,
    },
    snapshot::{
        FIRST_CHUNK, MANIFEST, Snapshot,
        make::make,
        manifest::{HistoryPart, Manifest, Place, StatePart},
    },
    storage::Store,
};
use symbolon_tests::{
    chain::{Chain, add_to},
    devnet::await_that,
};
use tempfile::TempDir;
use tokio::sync::watch;

/// Distance of two snapshots, so that the chain of these tests is far ahead.
const EVERY: u64 = 2;

/// What a peer does to the parts that it gives.
type Alter = Box<dyn Fn(u64, Vec<u8>) -> Option<Vec<u8>> + Send + Sync>;

/// A peer with one snapshot.
struct Giver {
    snapshot: Arc<Snapshot>,
    hash: Digest,
    alter: Alter,
    /// How often each part was asked for.
    asked: Mutex<BTreeMap<u64, u32>>,
}

impl ChainReader for Giver {
    fn tip(&self) -> (u64, BlockHash) {
        (self.snapshot.height(), Digest::ZERO)
    }

    fn block_with_certificate(&self, _: u64) -> Option<(Vec<u8>, Vec<u8>)> {
        None
    }

    fn body(&self, _: &BlockHash) -> Option<Vec<u8>> {
        None
    }

    fn snapshots(&self) -> Vec<(u64, Digest)> {
        vec![(self.snapshot.height(), self.hash)]
    }

    fn snapshot_part(&self, height: u64, part: u64) -> Option<Vec<u8>> {
        assert_eq!(height, self.snapshot.height());
        *self.asked.lock().unwrap().entry(part).or_default() += 1;
        (self.alter)(part, self.snapshot.part(part).unwrap()?)
    }
}

impl Giver {
    fn new(snapshot: &Arc<Snapshot>, alter: Alter) -> Arc<Self> {
        let (snapshot, hash) = (snapshot.clone(), snapshot.hash());
        Arc::new(Self { snapshot, hash, alter, asked: Mutex::default() })
    }

    fn honest(snapshot: &Arc<Snapshot>) -> Arc<Self> {
        Self::new(snapshot, Box::new(|_, bytes| Some(bytes)))
    }

    fn asked(&self, part: u64) -> u32 {
        self.asked.lock().unwrap().get(&part).copied().unwrap_or(0)
    }
}

/// A chain with some hundred licences and a snapshot of its tip.
struct Scene {
    chain: Chain,
    snapshot: Arc<Snapshot>,
    folder: TempDir,
    runtime: tokio::runtime::Runtime,
    /// Seconds by which the joining node's clock is ahead.
    late: Arc<AtomicU64>,
}

impl Scene {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut chain = Chain::founded(&folder.path().join("theirs"));
        for _ in 0..8 {
            let operations: Vec<_> = (0..1_500).map(|_| chain.issue()).collect();
            chain.commit(&operations);
        }
        let path = folder.path().join("snapshot");
        make(&chain.store.view().unwrap(), &path).unwrap();
        let snapshot = Arc::new(Snapshot::open(&path).unwrap());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        Self { chain, snapshot, folder, runtime, late: Arc::default() }
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("ours")
    }

    fn chunks(&self) -> u64 {
        (0..).take_while(|n| self.snapshot.part(FIRST_CHUNK + n).unwrap().is_some()).count() as u64
    }

    /// Has a node in `data` join from these peers.
    fn join(&self, givers: &[Arc<Giver>]) -> Joining {
        let _within = self.runtime.enter();
        let seed = |n: usize| [u8::try_from(n).unwrap() + 1; 32];
        let own = seed(givers.len());
        let mut peers = Vec::new();
        let mut ends = Vec::new();
        for (n, giver) in givers.iter().enumerate() {
            let reader: Arc<dyn ChainReader> = giver.clone();
            let mut config = self.config(seed(n));
            config.peers.push((peer_id_of_seed(own), Vec::new()));
            let network = prepare(config, Arc::new(NetworkCounters::default())).unwrap();
            let (handle, events) = (network.handle(), network.open(reader).unwrap());
            let mut listening = handle.listening();
            let address = self.runtime.block_on(async {
                listening.wait_for(|addresses| !addresses.is_empty()).await.unwrap()[0].clone()
            });
            peers.push((peer_id_of_seed(seed(n)), vec![address]));
            ends.push(events);
        }
        let store = Arc::new(Store::open(&self.data(), &self.chain.genesis).unwrap());
        let config = NetworkConfig { peers, ..self.config(own) };
        let network = prepare(config, Arc::new(NetworkCounters::default())).unwrap();
        let handle = network.handle();
        let parts = JoinParts {
            data: self.data(),
            genesis: Arc::new(self.chain.genesis.clone()),
            network: handle.clone(),
            store: Arc::downgrade(&store),
            commits: store.commits(),
            snapshot_every: EVERY,
        };
        let late = self.late.clone();
        let ticks: Ticks =
            Arc::new(move || Instant::now() + Duration::from_secs(late.load(SeqCst)));
        let (joiner, joined) = join::start_with(parts, ticks).unwrap();
        let mut events = network.open(Arc::new(Nothing)).unwrap().events;
        let (ear, connected) = (joiner.clone(), watch::channel(0usize));
        let count = connected.0;
        let hearing = self.runtime.spawn(async move {
            let _ends = ends;
            while let Some(event) = events.recv().await {
                match event {
                    NetworkEvent::Connected { .. } => count.send_modify(|n| *n += 1),
                    NetworkEvent::Snapshots { from, offers } => {
                        ear.hear(Told::Snapshots(from, offers));
                    }
                    NetworkEvent::SnapshotPart { manifest, part, found } => {
                        ear.hear(Told::Part { manifest, part, found });
                    }
                    _ => {}
                }
            }
        });
        let (wanted, mut connected) = (givers.len(), connected.1);
        self.runtime.block_on(async {
            connected.wait_for(|n| *n == wanted).await.unwrap();
        });
        assert!(joiner.considers(1, self.snapshot.height()), "it is far behind");
        Joining { joiner, joined, handle, hearing, store }
    }

    fn config(&self, keypair_seed: [u8; 32]) -> NetworkConfig {
        NetworkConfig {
            chain_id: self.chain.genesis.chain_id(),
            keypair_seed,
            listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
            peers: Vec::new(),
            observers: Vec::new(),
        }
    }

    /// The database that a start finds is the one that the snapshot leads to.
    fn assert_joined(&self) {
        let store = Store::open(&self.data(), &self.chain.genesis).unwrap();
        let (ours, theirs) = (store.view().unwrap(), self.chain.store.view().unwrap());
        assert_eq!(ours.tip(), theirs.tip());
        assert!(!self.data().join("incoming").exists(), "nothing is left behind");
        let own = self.data().join("snapshots").join(self.snapshot.height().to_string());
        assert_eq!(Snapshot::open(&own).unwrap().hash(), self.snapshot.hash());
    }
}

/// Waits until the attempt has ended without a snapshot: an own block is far enough for the next one.
fn await_refusal(joining: &Joining) {
    await_that("the attempt has ended", || !joining.joiner.considers(u64::MAX, u64::MAX));
    assert!(!*joining.joined.borrow());
}

/// A chain of somebody who has nothing.
struct Nothing;

impl ChainReader for Nothing {
    fn tip(&self) -> (u64, BlockHash) {
        (0, Digest::ZERO)
    }

    fn block_with_certificate(&self, _: u64) -> Option<(Vec<u8>, Vec<u8>)> {
        None
    }

    fn body(&self, _: &BlockHash) -> Option<Vec<u8>> {
        None
    }
}

struct Joining {
    joiner: Joiner,
    joined: watch::Receiver<bool>,
    handle: NetworkHandle,
    hearing: tokio::task::JoinHandle<()>,
    store: Arc<Store>,
}

impl Joining {
    fn wait(&mut self, scene: &Scene) -> u64 {
        scene.runtime.block_on(async {
            self.joined.wait_for(|joined| *joined).await.unwrap();
        });
        assert!(self.joiner.is_waited_for(), "block sync waits for the start");
        self.handle.counters().blames.load(SeqCst)
    }
}

#[test]
fn a_node_joins_from_several_peers_of_which_one_poisons_what_it_gives() {
    let scene = Scene::new();
    let poison: Alter = Box::new(|part, mut bytes| {
        if part >= FIRST_CHUNK {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        Some(bytes)
    });
    let (first, second) = (Giver::honest(&scene.snapshot), Giver::honest(&scene.snapshot));
    let liar = Giver::new(&scene.snapshot, poison);
    let mut joining = scene.join(&[liar.clone(), first.clone(), second.clone()]);
    let blames = joining.wait(&scene);
    drop(joining);
    scene.assert_joined();
    let chunks = |giver: &Giver| {
        (FIRST_CHUNK..FIRST_CHUNK + scene.chunks()).map(|n| giver.asked(n)).sum::<u32>()
    };
    // Whatever it had been asked for before the first of its answers was looked at is blamed, too.
    assert!(chunks(&liar) >= 1 && blames >= 1, "the liar gave {}, {blames} blames", chunks(&liar));
    assert!(chunks(&first) > 0 && chunks(&second) > 0, "both others gave some");
}

#[test]
fn what_was_fetched_before_a_crash_is_not_fetched_again() {
    let scene = Scene::new();
    const KEPT: u64 = 2;
    assert!(scene.chunks() > KEPT + 2, "{} chunks", scene.chunks());
    let part_of_it: Alter = Box::new(|part, bytes| (part < FIRST_CHUNK + KEPT).then_some(bytes));
    let half = Giver::new(&scene.snapshot, part_of_it);
    let joining = scene.join(std::slice::from_ref(&half));
    let begun = scene.data().join("incoming").join(scene.snapshot.height().to_string());
    let wanted: u64 = (0..KEPT)
        .map(|n| scene.snapshot.part(FIRST_CHUNK + n).unwrap().unwrap().len() as u64)
        .sum();
    await_that("some chunks are here", || {
        std::fs::metadata(begun.join("chunks")).is_ok_and(|file| file.len() >= wanted)
    });
    // The process ends: nobody speaks to the joining thread any more.
    joining.hearing.abort();
    drop(joining);
    // Something torn lies behind the good chunks.
    let mut file = std::fs::read(begun.join("chunks")).unwrap();
    file.extend([0xff; 100]);
    std::fs::write(begun.join("chunks"), file).unwrap();
    let whole = Giver::honest(&scene.snapshot);
    scene.join(std::slice::from_ref(&whole)).wait(&scene);
    for part in 0..FIRST_CHUNK + KEPT {
        assert_eq!(whole.asked(part), 0, "part {part} was there");
    }
    assert!(whole.asked(FIRST_CHUNK + KEPT) >= 1);
    scene.assert_joined();
}

/// A manifest that cuts the state into one piece that is too large to be given: true, and of no
/// use to anybody.
fn cut_otherwise(snapshot: &Snapshot, root: Digest, folder: &Path) -> Vec<u8> {
    let good: Manifest =
        local::decode(&snapshot.part(MANIFEST).unwrap().unwrap(), usize::MAX).unwrap();
    let whole = StatePart { depth: 0, bytes: 1, place: Place::Inner(root.0) };
    let bytes = local::encode(&Manifest { state: vec![whole], ..good });
    std::fs::write(folder.join("lie"), &bytes).unwrap();
    bytes
}

#[test]
fn a_manifest_that_only_a_liar_has_costs_the_honest_nothing() {
    let scene = Scene::new();
    let root = scene.chain.store.view().unwrap().tip().header.state_root;
    let lie = cut_otherwise(&scene.snapshot, root, scene.folder.path());
    let hash = sha256(&lie);
    let alter: Alter =
        Box::new(move |part, bytes| Some(if part == MANIFEST { lie.clone() } else { bytes }));
    let liar = Giver { snapshot: scene.snapshot.clone(), hash, alter, asked: Mutex::default() };
    let liar = Arc::new(liar);
    let honest = [Giver::honest(&scene.snapshot), Giver::honest(&scene.snapshot)];
    let mut joining = scene.join(&[liar.clone(), honest[0].clone(), honest[1].clone()]);
    let blames = joining.wait(&scene);
    assert_eq!((blames, liar.asked(MANIFEST)), (0, 0), "two say the same, and are believed first");
    drop(joining);
    scene.assert_joined();
}

/// A peer that has named this manifest, and gives otherwise what the snapshot has.
fn with_manifest(snapshot: &Arc<Snapshot>, manifest: &Manifest) -> Arc<Giver> {
    let bytes = local::encode(manifest);
    let hash = sha256(&bytes);
    let alter: Alter =
        Box::new(move |part, good| Some(if part == MANIFEST { bytes.clone() } else { good }));
    Arc::new(Giver { snapshot: snapshot.clone(), hash, alter, asked: Mutex::default() })
}

/// A peer whose chunks wait until `gate` is open.
fn waits_at(snapshot: &Arc<Snapshot>, gate: &Arc<Mutex<()>>) -> Arc<Giver> {
    let gate = gate.clone();
    let alter: Alter = Box::new(move |part, bytes| {
        let _open = (part >= FIRST_CHUNK).then(|| gate.lock().unwrap());
        Some(bytes)
    });
    Giver::new(snapshot, alter)
}

#[test]
fn who_gives_empty_parts_or_gives_nothing_for_long_is_left_for_another() {
    let scene = Scene::new();
    let mut padded: Manifest =
        local::decode(&scene.snapshot.part(MANIFEST).unwrap().unwrap(), usize::MAX).unwrap();
    // A list of no blocks is eight bytes long.
    padded.history.splice(0..0, [HistoryPart { blocks: 0, bytes: 8 }; 50_000]);
    let padder = with_manifest(&scene.snapshot, &padded);
    // Another has the true manifest, and lets its chunks wait.
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().unwrap();
    let slow = waits_at(&scene.snapshot, &gate);
    let joining = scene.join(&[padder.clone(), slow.clone()]);
    await_that("a chunk is asked for", || (0..2).any(|n| slow.asked(FIRST_CHUNK + n) > 0));
    // Time passes, and nothing comes.
    scene.late.store(3_600, SeqCst);
    await_refusal(&joining);
    drop(held);
    assert_eq!((padder.asked(MANIFEST), padder.asked(FIRST_CHUNK)), (1, 0));
    assert_eq!(joining.handle.counters().blames.load(SeqCst), 1, "who padded is blamed");
}

#[test]
fn a_chain_that_has_split_from_the_own_one_is_not_taken() {
    let scene = Scene::new();
    // The same founding and the same keys, and another first block.
    let mut fork = Chain::founded(&scene.data());
    for _ in 0..3 {
        let operations = [fork.issue()];
        fork.commit(&operations);
    }
    let tip = fork.store.view().unwrap().tip().clone();
    drop(fork);
    let giver = Giver::honest(&scene.snapshot);
    let joining = scene.join(std::slice::from_ref(&giver));
    await_refusal(&joining);
    assert_eq!(giver.asked(FIRST_CHUNK), 0, "it is seen before anything is copied");
    assert_eq!(joining.store.view().unwrap().tip(), &tip);
    assert!(!scene.data().join("incoming").exists());
}

#[test]
fn a_node_with_blocks_of_that_chain_copies_until_it_has_come_as_far_by_itself() {
    let scene = Scene::new();
    let theirs = |height: u64| {
        let view = scene.chain.store.view().unwrap();
        let certificate = view.certificate_bytes(height).unwrap().unwrap();
        let certificate = codec::decode(&certificate, MAX_CERTIFICATE_BYTES).unwrap();
        (view.block(height).unwrap().unwrap(), certificate)
    };
    let ours = Store::open(&scene.data(), &scene.chain.genesis).unwrap();
    for height in 1..=3 {
        add_to(&ours, &theirs(height));
    }
    drop(ours);
    // Whoever has all of the chain meanwhile has no use for the snapshot.
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().unwrap();
    let giver = waits_at(&scene.snapshot, &gate);
    let joining = scene.join(std::slice::from_ref(&giver));
    await_that("it copies", || giver.asked(FIRST_CHUNK) > 0);
    for height in 4..=scene.chain.height() {
        add_to(&joining.store, &theirs(height));
    }
    await_refusal(&joining);
    drop(held);
    assert!(!scene.data().join("incoming").exists(), "a whole database is left behind");
}
