//! An ear at what the nodes say: an observer that only listens, and notes who contradicts himself.
//!
//! What it hears is what left the nodes, so it finds a second vote that no block would show. It
//! judges nothing and forwards nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use symbolon_consensus::{Message, mark::place};
use symbolon_genesis::peer_id::PeerId;
use symbolon_ledger::{
    codes::ProvinceCode,
    hash::{BlockHash, ChainId, Digest},
    keys::SecretKey,
    vote::{Statement, Step},
};
use symbolon_node::network::{
    ChainReader, NetworkConfig, NetworkCounters, NetworkEvent, NetworkHandle, prepare,
};
use tokio::runtime::Runtime;

use super::space::Space;

/// Seed of the ear's key.
const SEED: [u8; 32] = [0x0c; 32];

/// What every province said in every place, and where it said something else.
#[derive(Debug, Default)]
struct Heard {
    said: BTreeMap<(ProvinceCode, Place), Statement>,
    contradictions: Vec<(ProvinceCode, Statement, Statement)>,
}

/// A height, a round and a step.
type Place = (u64, u32, Step);

impl Heard {
    fn hear(&mut self, province: ProvinceCode, statement: Statement) {
        let slot = (province, place(&statement));
        let first = self.said.entry(slot).or_insert_with(|| statement.clone());
        if *first != statement {
            self.contradictions.push((province, first.clone(), statement));
        }
    }
}

/// The chain of somebody who only listens.
struct Listener;

impl ChainReader for Listener {
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

/// The ear; deaf when it is dropped.
#[derive(Debug)]
pub struct Ear {
    heard: Arc<Mutex<Heard>>,
    network: NetworkHandle,
    _runtime: Runtime,
}

impl Ear {
    /// The key that the nodes must admit as an observer's.
    #[must_use]
    pub fn key() -> SecretKey {
        SecretKey::from_seed(&SEED)
    }

    /// Begins to listen to these nodes, each by its id and its address, from `space` or from where
    /// the test is.
    ///
    /// # Panics
    ///
    /// When the network cannot be opened.
    #[must_use]
    pub fn open(space: Option<&Space>, chain: ChainId, nodes: &[(PeerId, String)]) -> Self {
        let inside = space.cloned();
        let enter = move || {
            let entered = inside.as_ref().map_or(Ok(()), Space::enter);
            entered.expect("a namespace that is open can be entered");
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .on_thread_start(enter)
            .enable_all()
            .build()
            .expect("a runtime");
        let peer = |(id, address): &(PeerId, String)| {
            (id.as_bytes().to_vec(), vec![address.parse().expect("a multiaddr")])
        };
        let config = NetworkConfig {
            chain_id: chain,
            keypair_seed: SEED,
            listen: vec!["/ip4/127.0.0.1/tcp/0".parse().expect("a multiaddr")],
            peers: nodes.iter().map(peer).collect(),
            observers: Vec::new(),
        };
        let heard = Arc::new(Mutex::new(Heard::default()));
        let ear = heard.clone();
        let open = || {
            let _within = runtime.enter();
            let network = prepare(config, Arc::new(NetworkCounters::default()));
            let network = network.expect("the network can be prepared");
            let handle = network.handle();
            (handle, network.open(Arc::new(Listener)).expect("the network opens").events)
        };
        let (network, mut events) = match space {
            Some(space) => space.within(open),
            None => open(),
        };
        runtime.spawn(async move {
            while let Some(event) = events.recv().await {
                let NetworkEvent::Consensus { bytes, .. } = event else { continue };
                let said = Message::decode(&bytes).ok().and_then(|m| m.statement(&chain));
                if let Some((province, statement, _)) = said {
                    ear.lock().expect("no panic while it is held").hear(province, statement);
                }
            }
        });
        Self { heard, network, _runtime: runtime }
    }

    /// Says something itself, where the nodes speak of a round.
    pub fn say(&self, bytes: Vec<u8>) {
        self.network.publish_consensus(bytes);
    }

    /// The highest height at which a province was heard; 0 when it was not.
    #[must_use]
    pub fn last_of(&self, province: &str) -> u64 {
        let heard = self.heard.lock().expect("no panic while it is held");
        let own = heard.said.keys().filter(|(code, _)| code.as_str() == province);
        own.map(|(_, (height, ..))| *height).max().unwrap_or(0)
    }

    /// How many proposals and votes were heard.
    #[must_use]
    pub fn statements(&self) -> usize {
        self.heard.lock().expect("no panic while it is held").said.len()
    }

    /// The provinces that proposed or voted twice, differently, in one place.
    #[must_use]
    pub fn contradicting(&self) -> BTreeSet<String> {
        let heard = self.heard.lock().expect("no panic while it is held");
        heard.contradictions.iter().map(|(province, ..)| province.as_str().to_owned()).collect()
    }

    /// What was said twice, for a message.
    #[must_use]
    pub fn contradictions(&self) -> String {
        let heard = self.heard.lock().expect("no panic while it is held");
        format!("{:?}", heard.contradictions)
    }
}
