//! The replicated state: the records and the Jellyfish Merkle tree of a node, held in memory,
//! and the real rules that change them.

use std::{collections::BTreeMap, sync::Arc};

use symbolon_consensus::{HeightStart, validity::Outcome};
use symbolon_contracts::{
    BlockContext, Changes, Overlay, StateFault, StateView, apply_transaction, signer_key,
};
use symbolon_ledger::{
    block::{Block, Header, transactions_root},
    codes::ProvinceCode,
    hash::{Digest, TransactionId},
    log::{self, Frontier},
    state::StateKey,
    transaction::{SignedTransaction, Verified},
    tree::{NodeStore, StoreError, TreeUpdate, update},
};

use super::{founding::Founding, plan::Plan};

/// The tree's nodes.
#[derive(Debug, Clone, Default)]
pub(super) struct Nodes(BTreeMap<Vec<u8>, Vec<u8>>);

impl NodeStore for Nodes {
    fn node(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(key).cloned())
    }
}

impl Nodes {
    pub(super) fn apply(&mut self, change: TreeUpdate) {
        for key in change.stale {
            self.0.remove(&key);
        }
        self.0.extend(change.nodes);
    }
}

/// What a block does.
#[derive(Debug, Clone)]
pub struct Executed {
    changes: Changes,
    tree: TreeUpdate,
}

/// The state after the tip.
#[derive(Debug, Clone)]
pub struct Machine {
    founding: Arc<Founding>,
    plan: Plan,
    tip: Header,
    history: Frontier,
    records: BTreeMap<StateKey, Vec<u8>>,
    nodes: Nodes,
    committed: BTreeMap<TransactionId, u64>,
}

impl StateView for Machine {
    fn get(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StateFault> {
        Ok(self.records.get(key).cloned())
    }

    fn committed_at(&self, id: &TransactionId) -> Result<Option<u64>, StateFault> {
        Ok(self.committed.get(id).copied())
    }
}

impl Machine {
    /// The state after block 0.
    #[must_use]
    pub fn founded(plan: &Plan) -> Self {
        let founding = Founding::of(plan.validators);
        let tip = founding.block_zero.clone();
        let mut history = Frontier::default();
        history.push(log::leaf_hash(tip.hash().as_bytes()));
        let (records, nodes) = (founding.records.clone(), founding.nodes.clone());
        let committed = BTreeMap::new();
        Self { founding, plan: plan.clone(), tip, history, records, nodes, committed }
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
            validators: self.founding.set_after(&self.plan, self.tip.height),
        }
    }

    /// The next block, with those of the candidates that apply.
    ///
    /// # Panics
    ///
    /// When the tree in memory is damaged.
    #[must_use]
    pub fn build(
        &self,
        proposer: ProvinceCode,
        time_ms: u64,
        candidates: Vec<SignedTransaction>,
    ) -> Block {
        let mut overlay = Overlay::new(self);
        let mut transactions = Vec::new();
        for candidate in candidates {
            let Some(verified) = self.verify(&candidate) else { continue };
            if apply_transaction(&mut overlay, &self.context(), &verified).is_ok() {
                transactions.push(candidate);
            }
        }
        let executed = self.finish(overlay.into_changes());
        let height = self.tip.height + 1;
        let header = Header {
            height,
            time_ms,
            parent: self.tip.hash(),
            history_root: self.history.root(),
            transactions_root: transactions_root(&transactions),
            state_root: executed.tree.root,
            validators_hash: self.tip.next_validators_hash,
            next_validators_hash: self.founding.set_after(&self.plan, height).hash(),
            proposer: Some(proposer),
            ..self.tip.clone()
        };
        Block { header, transactions }
    }

    /// Executes a block; none when one of its transactions does not apply.
    #[must_use]
    pub fn execute(&self, block: &Block) -> Option<Executed> {
        let mut overlay = Overlay::new(self);
        for transaction in &block.transactions {
            let verified = self.verify(transaction)?;
            apply_transaction(&mut overlay, &self.context(), &verified).ok()?;
        }
        Some(self.finish(overlay.into_changes()))
    }

    /// What the header has to say about an execution.
    #[must_use]
    pub fn outcome(&self, block: &Block, executed: &Executed) -> Outcome {
        let next = self.founding.set_after(&self.plan, self.tip.height + 1);
        Outcome {
            transactions_root: transactions_root(&block.transactions),
            state_root: executed.tree.root,
            next_validators_hash: next.hash(),
            transactions: block.transactions.len(),
            bytes: block.encode().len(),
        }
    }

    /// Makes `block` the tip and gives the root that its execution has here; none when it does
    /// not apply.
    pub fn commit(&mut self, block: &Block, executed: Option<Executed>) -> Option<Digest> {
        let Executed { changes, tree } = executed.or_else(|| self.execute(block))?;
        let root = tree.root;
        self.nodes.apply(tree);
        for (key, record) in changes {
            match record {
                Some(bytes) => self.records.insert(key, bytes),
                None => self.records.remove(&key),
            };
        }
        let height = block.header.height;
        self.committed.extend(block.transactions.iter().map(|t| (t.id(), height)));
        self.history.push(log::leaf_hash(block.hash().as_bytes()));
        self.tip = block.header.clone();
        Some(root)
    }

    fn context(&self) -> BlockContext {
        BlockContext { chain_id: self.founding.chain_id, height: self.tip.height + 1 }
    }

    fn verify(&self, transaction: &SignedTransaction) -> Option<Verified> {
        let payload = transaction.payload();
        let key = signer_key(self, payload.actor, payload.key_id).ok()??;
        transaction.clone().verify(&key).ok()
    }

    fn finish(&self, changes: Changes) -> Executed {
        let authenticated = changes
            .iter()
            .filter(|(key, _)| key.is_authenticated())
            .map(|(key, record)| (key.map_key(), record.clone()));
        let (version, parent) = (self.tip.height + 1, Some(self.tip.state_root));
        let tree = update(&self.nodes, version, parent, authenticated)
            .expect("the tree in memory has the tip's root");
        Executed { changes, tree }
    }
}
