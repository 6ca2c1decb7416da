//! The transaction trees of the newest blocks. All who wait for a block's receipts ask at once, and a
//! receipt is a path through that block's tree: it is kept when the block is committed, and of an
//! older block read, decoded and hashed once for all who ask.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use symbolon_ledger::{
    block::Block,
    hash::Digest,
    log::{self, Tree},
};

use super::StorageError;

/// Blocks that are remembered: those of the last seconds, in which receipts are asked for. A full
/// one takes 400 KiB.
const KEPT: usize = 8;

/// What the receipts of one block have in common.
#[derive(Debug)]
pub(super) struct BlockTree {
    pub(super) signature_hashes: Vec<Digest>,
    pub(super) tree: Tree,
}

impl BlockTree {
    fn of(block: &Block) -> Self {
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
    /// Keeps the tree of a block that was just committed.
    pub(super) fn keep(&self, block: &Block) {
        let tree = Arc::new(BlockTree::of(block));
        let mut trees = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        insert(&mut trees, block.header.height, tree);
    }

    /// The tree of the block at `height`, which `read` gives if it is not remembered.
    pub(super) fn at(
        &self,
        height: u64,
        read: impl FnOnce() -> Result<Block, StorageError>,
    ) -> Result<Arc<BlockTree>, StorageError> {
        // Held while a tree is made, so that a crowd waits for one. What is in it is whole.
        let mut trees = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tree) = trees.get(&height) {
            return Ok(tree.clone());
        }
        let is_old = trees.len() >= KEPT && trees.keys().next().is_some_and(|low| height < *low);
        if is_old {
            drop(trees);
            return Ok(Arc::new(BlockTree::of(&read()?)));
        }
        let tree = Arc::new(BlockTree::of(&read()?));
        insert(&mut trees, height, tree.clone());
        Ok(tree)
    }
}

fn insert(trees: &mut BTreeMap<u64, Arc<BlockTree>>, height: u64, tree: Arc<BlockTree>) {
    trees.insert(height, tree);
    if trees.len() > KEPT {
        trees.pop_first();
    }
}
