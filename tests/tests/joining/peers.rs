//! One node that joins, and peers that give it parts over loopback: true ones, altered ones, none.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, atomic::Ordering::SeqCst},
};

use symbolon_ledger::{
    codec::local,
    hash::{BlockHash, Digest, sha256},
};
use symbolon_node::{
    join::{self, JoinParts, Joiner, Told},
    network::{
        ChainReader, NetworkConfig, NetworkCounters, NetworkEvent, NetworkHandle, peer_id_of_seed,
        prepare,
    },
    snapshot::{
        FIRST_CHUNK, MANIFEST, Snapshot,
        make::make,
        manifest::{Manifest, Place, StatePart},
    },
    storage::Store,
};
use symbolon_tests::{chain::Chain, devnet::await_that};
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
        Self { chain, snapshot, folder, runtime }
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
        let store = Store::open(&self.data(), &self.chain.genesis).unwrap();
        let config = NetworkConfig { peers, ..self.config(own) };
        let network = prepare(config, Arc::new(NetworkCounters::default())).unwrap();
        let handle = network.handle();
        let parts = JoinParts {
            data: self.data(),
            genesis: Arc::new(self.chain.genesis.clone()),
            network: handle.clone(),
            commits: store.commits(),
            snapshot_every: EVERY,
        };
        let (joiner, joined) = join::start(parts).unwrap();
        let mut events = network.open(Arc::new(Nothing)).unwrap();
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
        Joining { joiner, joined, handle, hearing, _store: store }
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
    _store: Store,
}

impl Joining {
    fn wait(&mut self, scene: &Scene) -> u64 {
        scene.runtime.block_on(async {
            self.joined.wait_for(|joined| *joined).await.unwrap();
        });
        assert!(self.joiner.considers(1, u64::MAX), "block sync waits for the start");
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
