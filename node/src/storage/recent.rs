//! The transaction trees of the newest blocks. All who wait for a block's receipts ask at once, and a
//! receipt is a path through that block's tree: it is kept when the block is committed. Of an older
//! block it is read, decoded and hashed for each who asks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use symbolon_ledger::{
    block::Block,
    hash::Digest,
    log::{self, Tree},
};

/// Blocks that are remembered: those of the last seconds, in which receipts are asked for. A full
/// one takes 400 KiB.
pub(super) const KEPT: usize = 8;

/// What the receipts of one block have in common.
#[derive(Debug)]
pub(super) struct BlockTree {
    pub(super) signature_hashes: Vec<Digest>,
    pub(super) tree: Tree,
}

impl BlockTree {
    pub(super) fn of(block: &Block) -> Self {
        let leaf = |t: &symbolon_ledger::transaction::SignedTransaction| log::leaf_hash(&t.leaf());
        Self {
            signature_hashes: block.transactions.iter().map(|t| t.signature_hash()).collect(),
            tree: Tree::of(block.transactions.iter().map(leaf).collect()),
        }
    }
}

/// The newest blocks' trees, by height.
#[derive(Debug, Default)]
pub(super) struct RecentTrees(Mutex<BTreeMap<u64, Arc<BlockTree>>>);

impl RecentTrees {
    /// Keeps the tree of a block that is about to be committed.
    pub(super) fn keep(&self, block: &Block) {
        let tree = Arc::new(BlockTree::of(block));
        let mut trees = self.lock();
        trees.insert(block.header.height, tree);
        if trees.len() > KEPT {
            trees.pop_first();
        }
    }

    /// The tree of the block at `height`, if it is one of the newest since this node has started.
    pub(super) fn get(&self, height: u64) -> Option<Arc<BlockTree>> {
        self.lock().get(&height).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<BlockTree>>> {
        // What is in it is whole, also after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
