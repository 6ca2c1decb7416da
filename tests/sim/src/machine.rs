//! The replicated state: the records and the authenticated map of a node, held in memory,
//! and the real rules that change them.

use std::{collections::BTreeMap, sync::Arc};

use symbolon_consensus::{HeightStart, validity::Outcome};
use symbolon_contracts::{
    BlockContext, Changes, Overlay, StateFault, StateView, apply_transaction, signer_key,
};
use symbolon_ledger::{
    block::{Block, Header, transactions_root},
    codes::ProvinceCode,
    hash::{BlockHash, Digest, TransactionId},
    log::{self, Frontier},
    records::{Record as _, ValidatorsRecord},
    state::StateKey,
    transaction::{SignedTransaction, Verified},
    tree::{Change, Memory, TreeUpdate, update},
    validators::ValidatorSet,
};

use super::{founding::Founding, shared::Shared};

/// What a block does.
#[derive(Debug, Clone)]
pub struct Executed {
    changes: Changes,
    tree: TreeUpdate,
    next: ValidatorSet,
    outcome: Outcome,
}

impl Executed {
    /// What the header has to say about it.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }
}

/// The state after a block.
#[derive(Debug, Clone)]
pub struct State {
    tip: Header,
    tip_hash: BlockHash,
    /// The root that execution has, whatever the header says.
    root: Digest,
    history: Frontier,
    records: BTreeMap<StateKey, Vec<u8>>,
    pages: Memory,
    committed: BTreeMap<TransactionId, u64>,
    /// The set that stands in the records.
    validators: ValidatorSet,
}

impl State {
    /// The tip's height.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.tip.height
    }

    /// The set that votes on the next block.
    #[must_use]
    pub fn validators(&self) -> &ValidatorSet {
        &self.validators
    }
}

impl StateView for State {
    fn get(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StateFault> {
        Ok(self.records.get(key).cloned())
    }

    fn committed_at(&self, id: &TransactionId) -> Result<Option<u64>, StateFault> {
        Ok(self.committed.get(id).copied())
    }
}

/// A node's state.
#[derive(Debug, Clone)]
pub struct Machine {
    founding: Arc<Founding>,
    state: Arc<State>,
}

impl Machine {
    /// The state after block 0.
    #[must_use]
    pub fn founded(founding: Arc<Founding>) -> Self {
        let tip = founding.block_zero.clone();
        let mut history = Frontier::default();
        history.push(log::leaf_hash(tip.hash().as_bytes()));
        let state = State {
            tip_hash: tip.hash(),
            root: tip.state_root,
            tip,
            history,
            records: founding.records.clone(),
            pages: founding.pages.clone(),
            committed: BTreeMap::new(),
            validators: founding.set().clone(),
        };
        Self { founding, state: Arc::new(state) }
    }

    /// The tip.
    #[must_use]
    pub fn tip(&self) -> &Header {
        &self.state.tip
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// All records.
    pub fn records(&self) -> impl Iterator<Item = (StateKey, Vec<u8>)> {
        self.state.records.iter().map(|(key, record)| (key.clone(), record.clone()))
    }

    /// What governs the next height.
    #[must_use]
    pub fn start(&self) -> HeightStart {
        HeightStart {
            parent: self.tip().clone(),
            history_root: self.state.history.root(),
            validators: self.state.validators.clone(),
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
        shared: &mut Shared,
        proposer: ProvinceCode,
        time_ms: u64,
        candidates: Vec<SignedTransaction>,
    ) -> Block {
        let mut overlay = Overlay::new(self.state.as_ref());
        let mut transactions = Vec::new();
        for candidate in candidates {
            let Some(verified) = self.verify(shared, &candidate) else { continue };
            if apply_transaction(&mut overlay, &self.context(), &verified).is_ok() {
                transactions.push(candidate);
            }
        }
        let changes = overlay.into_changes();
        let (tree, next) = (self.grow(&changes), self.next_set(&changes));
        let height = self.tip().height + 1;
        let header = Header {
            height,
            time_ms,
            parent: self.state.tip_hash,
            history_root: self.state.history.root(),
            transactions_root: transactions_root(&transactions),
            state_root: tree.root,
            validators_hash: self.tip().next_validators_hash,
            next_validators_hash: next.hash(),
            proposer: Some(proposer),
            ..self.tip().clone()
        };
        Block { header, transactions }
    }

    /// Executes a block; none when one of its transactions does not apply.
    #[must_use]
    pub fn execute(&self, shared: &mut Shared, block: &Block) -> Option<Arc<Executed>> {
        let (parent, hash) = (self.state.tip_hash, block.hash());
        shared.execute(parent, hash, |shared| {
            let mut overlay = Overlay::new(self.state.as_ref());
            for transaction in &block.transactions {
                let verified = self.verify(shared, transaction)?;
                apply_transaction(&mut overlay, &self.context(), &verified).ok()?;
            }
            let changes = overlay.into_changes();
            let tree = self.grow(&changes);
            let next = self.next_set(&changes);
            let outcome = Outcome {
                transactions_root: transactions_root(&block.transactions),
                state_root: tree.root,
                next_validators_hash: next.hash(),
                transactions: block.transactions.len(),
                bytes: block.encode().len(),
            };
            Some(Executed { changes, tree, next, outcome })
        })
    }

    /// Makes `block` the tip and gives the root that its execution has here; none when it does
    /// not apply.
    pub fn commit(&mut self, shared: &mut Shared, block: &Block) -> Option<Digest> {
        let hash = block.hash();
        if let Some(state) = shared.state(&hash) {
            self.state = state;
            return Some(self.state.root);
        }
        let executed = self.execute(shared, block)?;
        let state = Arc::make_mut(&mut self.state);
        state.pages.apply(&executed.tree);
        for (key, record) in &executed.changes {
            match record {
                Some(bytes) => state.records.insert(key.clone(), bytes.clone()),
                None => state.records.remove(key),
            };
        }
        let height = block.header.height;
        state.committed.extend(block.transactions.iter().map(|t| (t.id(), height)));
        state.history.push(log::leaf_hash(hash.as_bytes()));
        state.tip = block.header.clone();
        state.tip_hash = hash;
        state.root = executed.tree.root;
        state.validators = executed.next.clone();
        shared.keep(hash, &self.state);
        Some(self.state.root)
    }

    /// Where execution of the next block stands.
    #[must_use]
    pub fn context(&self) -> BlockContext {
        BlockContext { chain_id: self.founding.chain_id, height: self.tip().height + 1 }
    }

    fn verify(&self, shared: &mut Shared, transaction: &SignedTransaction) -> Option<Verified> {
        let payload = transaction.payload();
        let key = signer_key(self.state.as_ref(), payload.actor, payload.key_id).ok()??;
        shared.verify(transaction, &key)
    }

    /// The set that stands in the state after these changes.
    fn next_set(&self, changes: &Changes) -> ValidatorSet {
        let written = changes.get(&StateKey::Validators).and_then(Option::as_deref);
        let written = written.map(|bytes| {
            ValidatorsRecord::from_bytes(bytes).expect("the rules write what they can read")
        });
        written.map_or_else(|| self.state.validators.clone(), |record| record.set)
    }

    fn grow(&self, changes: &Changes) -> TreeUpdate {
        let authenticated = changes
            .iter()
            .filter(|(key, _)| key.is_authenticated())
            .map(|(key, record)| Change::new(key.map_key(), record.as_deref()));
        update(&self.state.pages, self.state.root, authenticated.collect())
            .expect("the tree in memory has the root that its last growth gave it")
    }
}
