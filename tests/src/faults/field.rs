//! The field: nodes that found a network of their own, each in its namespace, with a spare place
//! for one that nobody invited.

use std::{
    io,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use nix::sys::signal::Signal;
use serde_json::Value;
use symbolon_genesis::{
    Genesis,
    peer_id::PeerId,
    presets::{DevnetKeys, devnet, devnet_provinces},
};
use symbolon_ledger::{keys::SecretKey, transaction::SignedTransaction};
use symbolon_verify::trust::Trust;
use tempfile::TempDir;

use super::{
    cage::{Cage, Kind},
    ear::Ear,
    load::{self, Load},
    machine::Machine,
    preload,
    relay::{Lateness, Relay},
    say,
    wires::{Loss, PEER_PORT, Wires, address, relayed_address},
};
use crate::devnet::await_that;

/// Seed of all keys.
const SEED: [u8; 32] = [0xfa; 32];
/// Empty blocks come so often, so that progress shows without load too.
const IDLE_BLOCK_INTERVAL_MS: u64 = 1_500;

/// One field at a time: what is measured on one would be disturbed by another.
static ONE: Mutex<()> = Mutex::new(());

/// A network under faults; everything of it is gone when it is dropped.
#[derive(Debug)]
pub struct Field {
    /// The nodes.
    pub nodes: Vec<Machine>,
    /// A second process with the validator's key of node 0, for those who want one, connected under
    /// a key of its own; it does not run.
    pub twin: Machine,
    /// What lies between them.
    pub wires: Wires,
    /// The late way between them, while there is one.
    relay: Mutex<Option<Relay>>,
    /// What bounds their memory and their time; all of them open between two faults.
    cages: Mutex<Vec<Cage>>,
    /// What hears their votes.
    pub ear: Ear,
    genesis: Genesis,
    keys: Vec<DevnetKeys>,
    folder: TempDir,
    _one: MutexGuard<'static, ()>,
}

impl Field {
    /// Founds and starts a network of `count` nodes; none, with a message, where this machine
    /// does not permit it.
    #[must_use]
    pub fn start(count: usize) -> Option<Self> {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let wires = match Wires::new(count + 1) {
            Ok(wires) => wires,
            Err(why) => {
                say(&format!("skipped: no network namespaces can be made here: {why}"));
                return None;
            }
        };
        let folder = TempDir::new().expect("a temporary folder");
        let (genesis, keys) = found(count, folder.path());
        let library = preload::build(folder.path()).map_err(|why| {
            say(&format!("skipped: faults of disk and clock need a C compiler: {why}"));
        });
        let twin = twin_keys(&keys[0]);
        let observers = [Ear::key().public_key(), twin.network.public_key()];
        let observers = observers.map(|key| PeerId::of(&key).to_string());
        let machine = |n: usize, keys: &DevnetKeys, name: &str| {
            let (place, genesis) =
                ((n, folder.path().join(name)), folder.path().join("genesis.toml"));
            let library = library.as_deref().ok();
            Machine::new(place, wires.end(n).clone(), keys, (&genesis, &observers), library)
        };
        let nodes: Vec<Machine> = keys
            .iter()
            .enumerate()
            .map(|(n, keys)| machine(n, keys, &format!("node-{n}")))
            .collect();
        let twin = machine(count, &twin, "twin");
        let relay = Mutex::default();
        let peer = |(n, keys): (usize, &DevnetKeys)| {
            let id = PeerId::of(&keys.network.public_key());
            (id, format!("/ip4/{}/tcp/{PEER_PORT}", address(n)))
        };
        let peers: Vec<_> = keys.iter().enumerate().map(peer).collect();
        let ear = Ear::open(Some(wires.hub()), genesis.chain_id(), &peers);
        nodes.iter().for_each(Machine::spawn);
        let cages = Mutex::default();
        let field =
            Self { nodes, twin, wires, relay, cages, ear, genesis, keys, folder, _one: one };
        field.await_height(1);
        Some(field)
    }

    /// Begins a load on all nodes.
    #[must_use]
    pub fn load(&self) -> Load {
        let spaces = self.nodes.iter().map(|node| node.space.clone()).collect();
        Load::start(spaces, self.genesis.chain_id(), &self.keys[0])
    }

    /// A transaction with as many licences as one may hold, of the province of node `n`. No node
    /// has it yet. The load is the first province's.
    #[must_use]
    pub fn large_transaction(&self, n: usize) -> SignedTransaction {
        let spaces = self.nodes.iter().map(|node| node.space.clone()).collect();
        load::large(spaces, self.genesis.chain_id(), &self.keys[n])
    }

    /// What an outsider pins of this network.
    ///
    /// # Panics
    ///
    /// When its own founding document does not hold.
    #[must_use]
    pub fn trust(&self) -> Trust {
        let root = self.genesis.state_root();
        let zero = self.genesis.block_zero(root);
        Trust::founded(&zero, self.genesis.validator_set()).expect("genesis founds its own set")
    }

    /// A folder for what a test needs beside the nodes.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes all links between the nodes late: the relay is the only way.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn make_late(&self, delay_ms: u64, jitter_ms: u64) -> io::Result<()> {
        let lateness = Lateness { delay_ms, jitter_ms };
        let relay = Relay::start(self.wires.hub(), self.nodes.len(), lateness)?;
        *self.relay.lock().expect("no panic while it is held") = Some(relay);
        (0..self.nodes.len()).try_for_each(|n| self.wires.lose(n, Loss::AllButRelayed))
    }

    /// All links are as they were made: nothing is lost, refused or late.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn mend_links(&self) -> io::Result<()> {
        *self.relay.lock().expect("no panic while it is held") = None;
        (0..self.nodes.len()).try_for_each(|n| self.wires.mend(n))
    }

    /// Starts one node anew in a cage, and once it serves leaves it the memory that it has.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn leave_no_memory(&self, n: usize) -> io::Result<()> {
        let (node, cage) = (&self.nodes[n], Cage::new(Kind::Memory)?);
        node.end(Signal::SIGTERM);
        node.spawn();
        cage.take(node.pid().unwrap_or_default())?;
        self.await_height_of(&[n], self.highest());
        let tightened = cage.tighten();
        self.cages.lock().expect("no panic while it is held").push(cage);
        tightened
    }

    /// Leaves one node so many thousandths of one processor.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn leave_thousandths(&self, n: usize, thousandths: u64) -> io::Result<()> {
        let cage = Cage::new(Kind::Processor)?;
        cage.take(self.nodes[n].pid().unwrap_or_default())?;
        let allowed = cage.allow(thousandths);
        self.cages.lock().expect("no panic while it is held").push(cage);
        allowed
    }

    /// Takes all these bounds away. A process stays where it is, and a cage until it has none.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn open_cages(&self) -> io::Result<()> {
        self.cages.lock().expect("no panic while it is held").iter().try_for_each(Cage::open)
    }

    /// Whether the disks and clocks of the nodes can be harmed.
    #[must_use]
    pub fn has_pages(&self) -> bool {
        self.nodes.iter().all(|node| node.page.is_some())
    }

    /// The height of the highest node that answers; 0 when none does.
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.heights().into_iter().flatten().max().unwrap_or(0)
    }

    /// The heights of all nodes, asked at the same time.
    #[must_use]
    pub fn heights(&self) -> Vec<Option<u64>> {
        let statuses = self.statuses().into_iter();
        statuses.map(|status| status.and_then(|s| s["height"].as_u64())).collect()
    }

    /// Whether every node that answers says that no block is made, for lack of a quorum.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.statuses().iter().flatten().all(|status| status["stall"].is_object())
    }

    /// What all nodes say of themselves, asked at the same time.
    fn statuses(&self) -> Vec<Option<Value>> {
        std::thread::scope(|scope| {
            let asked: Vec<_> =
                self.nodes.iter().map(|node| scope.spawn(move || node.status())).collect();
            asked.into_iter().map(|thread| thread.join().expect("an answer or none")).collect()
        })
    }

    /// Waits until all nodes have `height`.
    pub fn await_height(&self, height: u64) {
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        self.await_height_of(&all, height);
    }

    /// Waits until these nodes have `height`.
    pub fn await_height_of(&self, nodes: &[usize], height: u64) {
        for n in nodes {
            let node = &self.nodes[*n];
            await_that(&format!("node {n} reaches {height}"), || {
                let ended = node.ended();
                assert!(ended.is_none(), "node {n} ended with {ended:?}: {}", node.said());
                node.height().is_some_and(|h| h >= height)
            });
        }
    }

    /// Starts all nodes that do not run, at the same time, and waits until they answer.
    pub fn start_all(&self) {
        let stopped: Vec<&Machine> = self.nodes.iter().filter(|n| n.pid().is_none()).collect();
        stopped.iter().for_each(|node| node.spawn());
        for node in stopped {
            self.await_height_of(&[node.number], 0);
        }
    }

    /// Stops all nodes in order and executes every chain again, at the same time.
    ///
    /// # Panics
    ///
    /// When a chain does not hold.
    pub fn verify_all(&self) {
        self.nodes.iter().for_each(|node| node.signal(Signal::SIGTERM));
        self.nodes.iter().for_each(|node| node.end(Signal::SIGTERM));
        std::thread::scope(|scope| {
            for node in &self.nodes {
                scope.spawn(|| node.verify_chain());
            }
        });
    }
}

/// The keys of a second process: all that the first one has but its connections. With those it
/// would be taken for the first one, and hear nothing.
fn twin_keys(of: &DevnetKeys) -> DevnetKeys {
    let network = SecretKey::from_seed(&[0xfb; 32]);
    DevnetKeys { network, ..DevnetKeys::from_seed(&SEED, of.province) }
}

/// Writes the founding document of `count` provinces into `folder`.
fn found(count: usize, folder: &Path) -> (Genesis, Vec<DevnetKeys>) {
    let provinces = devnet_provinces(count);
    let keys: Vec<DevnetKeys> =
        provinces.iter().map(|p| DevnetKeys::from_seed(&SEED, p.code)).collect();
    let members: Vec<_> = provinces
        .iter()
        .zip(&keys)
        .enumerate()
        .map(|(n, (province, keys))| {
            let to = |host: String| format!("/ip4/{host}/tcp/{PEER_PORT}");
            keys.member(province, vec![to(address(n)), to(relayed_address(n))])
        })
        .collect();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let now = u64::try_from(since.as_millis()).expect("before the year 500 million");
    let mut genesis = devnet(now, &members);
    genesis.chain.idle_block_interval_ms = IDLE_BLOCK_INTERVAL_MS;
    std::fs::write(folder.join("genesis.toml"), genesis.to_toml()).expect("a founding document");
    (genesis, keys)
}
