//! The replicated state: a few records in a real Jellyfish Merkle tree, held in memory.
//!
//! Blocks are empty here, so what a block does is derived from its height, time and proposer:
//! enough for every node to compute the root by itself, and for a wrong root to be noticed.

use std::collections::BTreeMap;

use symbolon_consensus::{HeightStart, validity::Outcome};
use symbolon_ledger::{
    block::{HEADER_VERSION, Header, transactions_root},
    codec,
    codes::ProvinceCode,
    hash::{ChainId, Digest, sha256},
    log::{self, Frontier},
    tree::{NodeStore, StoreError, TreeUpdate, update},
};

use super::plan::{EPOCH_MS, Plan};

/// Records that blocks write to, in turn.
const RECORDS: u64 = 16;

#[derive(Debug, Clone, Default)]
struct Nodes(BTreeMap<Vec<u8>, Vec<u8>>);

impl NodeStore for Nodes {
    fn node(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(key).cloned())
    }
}

impl Nodes {
    fn apply(&mut self, change: TreeUpdate) {
        for key in change.stale {
            self.0.remove(&key);
        }
        self.0.extend(change.nodes);
    }
}

/// The name of the simulated chain.
#[must_use]
pub fn chain_id() -> ChainId {
    sha256(b"the simulated chain")
}

/// The state after the tip.
#[derive(Debug, Clone)]
pub struct Machine {
    tip: Header,
    history: Frontier,
    nodes: Nodes,
    plan: Plan,
}

impl Machine {
    /// The state after block 0.
    ///
    /// # Panics
    ///
    /// Never: a tree in memory can be read.
    #[must_use]
    pub fn founded(plan: &Plan) -> Self {
        let mut nodes = Nodes::default();
        let change = update(&nodes, 0, None, [record(0, EPOCH_MS, None)]).expect("a new tree");
        let state_root = change.root;
        nodes.apply(change);
        let validators_hash = plan.set_after(0).hash();
        let tip = Header {
            version: HEADER_VERSION,
            chain_id: chain_id(),
            height: 0,
            time_ms: EPOCH_MS,
            parent: Digest::ZERO,
            history_root: Frontier::default().root(),
            transactions_root: transactions_root(&[]),
            state_root,
            validators_hash,
            next_validators_hash: validators_hash,
            proposer: None,
        };
        let mut history = Frontier::default();
        history.push(log::leaf_hash(tip.hash().as_bytes()));
        Self { tip, history, nodes, plan: plan.clone() }
    }

    /// The tip.
    #[must_use]
    pub fn tip(&self) -> &Header {
        &self.tip
    }

    /// What governs the next height.
    #[must_use]
    pub fn start(&self) -> HeightStart {
        HeightStart {
            parent: self.tip.clone(),
            history_root: self.history.root(),
            validators: self.plan.set_after(self.tip.height),
        }
    }

    /// The next block, executed.
    ///
    /// # Panics
    ///
    /// When the tree in memory is damaged.
    #[must_use]
    pub fn build(&self, proposer: ProvinceCode, time_ms: u64) -> Header {
        let height = self.tip.height + 1;
        let mut header = Header {
            height,
            time_ms,
            parent: self.tip.hash(),
            history_root: self.history.root(),
            validators_hash: self.tip.next_validators_hash,
            next_validators_hash: self.plan.set_after(height).hash(),
            proposer: Some(proposer),
            ..self.tip.clone()
        };
        header.state_root = self.execute(&header).root;
        header
    }

    /// What executing a block gives.
    #[must_use]
    pub fn outcome(&self, header: &Header) -> Outcome {
        Outcome {
            transactions_root: transactions_root(&[]),
            state_root: self.execute(header).root,
            next_validators_hash: self.plan.set_after(self.tip.height + 1).hash(),
            transactions: 0,
            bytes: 0,
        }
    }

    fn execute(&self, header: &Header) -> TreeUpdate {
        let written = record(header.height, header.time_ms, header.proposer);
        update(&self.nodes, self.tip.height + 1, Some(self.tip.state_root), [written])
            .expect("the tree in memory has the tip's root")
    }

    /// Makes `header` the tip and gives the root that its execution has here.
    pub fn commit(&mut self, header: &Header) -> Digest {
        let change = self.execute(header);
        let root = change.root;
        self.nodes.apply(change);
        self.history.push(log::leaf_hash(header.hash().as_bytes()));
        self.tip = header.clone();
        root
    }
}

fn record(height: u64, time_ms: u64, proposer: Option<ProvinceCode>) -> (Digest, Option<Vec<u8>>) {
    let key = sha256(&(height % RECORDS).to_be_bytes());
    (key, Some(codec::encode(&(height, time_ms, proposer))))
}
