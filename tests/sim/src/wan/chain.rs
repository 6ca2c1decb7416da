//! The one chain of a run: blocks are executed by the real rules once, since every node would find
//! the same, and each node knows how far along it is.
//!
//! A block is executed when it is built and again when it is committed first, so nothing is kept of
//! blocks that were not decided. What every node would spend on it is in the simulation's clock as a
//! cost a licence ([`super::Costs`]).

use std::{collections::BTreeMap, sync::Arc};

use symbolon_consensus::HeightStart;
use symbolon_ledger::{
    block::{Block, MAX_BLOCK_TRANSACTIONS},
    codes::ProvinceCode,
    hash::{BlockHash, TransactionId},
    transaction::SignedTransaction,
};

use super::sizes;
use crate::{founding::Founding, machine::Machine, shared::Shared};

/// Bytes of a block beside its transactions: header and framing.
const BLOCK_OVERHEAD: usize = 1_024;
/// Bytes in front of a transaction in a block (`TRANSACTION_OVERHEAD`).
const TRANSACTION_OVERHEAD: usize = 5;

/// A block with what is asked of it again and again.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) block: Block,
    pub(super) hash: BlockHash,
    /// Its length.
    pub(super) bytes: u64,
    /// The transactions' places in the run's list.
    pub(super) transactions: Vec<u32>,
    /// Their operations.
    pub(super) operations: u64,
}

/// A committed block.
#[derive(Debug)]
pub(super) struct Committed {
    pub(super) body: Arc<Body>,
    pub(super) certificate_bytes: u64,
    /// When a node committed it first.
    pub(super) at_ns: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Chain {
    machine: Machine,
    shared: Shared,
    places: BTreeMap<TransactionId, u32>,
    /// Blocks 1 and up.
    blocks: Vec<Committed>,
    /// What governs heights 1 and up.
    starts: Vec<HeightStart>,
}

impl Chain {
    pub(super) fn founded(founding: &Arc<Founding>) -> Self {
        let machine = Machine::founded(founding.clone());
        let starts = vec![machine.start()];
        // Nothing is shared between nodes here, since nothing is done by more than one.
        let shared = Shared::new(true);
        Self { machine, shared, places: BTreeMap::new(), blocks: Vec::new(), starts }
    }

    /// Height of the newest block.
    pub(super) fn height(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// What governs the height after `height`.
    pub(super) fn start_after(&self, height: u64) -> &HeightStart {
        &self.starts[usize::try_from(height).expect("a run is short")]
    }

    /// The committed block at `height`.
    pub(super) fn at(&self, height: u64) -> Option<&Committed> {
        self.blocks.get(usize::try_from(height.checked_sub(1)?).ok()?)
    }

    /// Takes note of a transaction's place in the run's list.
    pub(super) fn note(&mut self, transaction: &SignedTransaction, place: u32) {
        self.places.insert(transaction.id(), place);
    }

    /// A block on the newest one, of at most `most_bytes`, of as many of the candidates as it holds.
    pub(super) fn build<'a>(
        &mut self,
        proposer: ProvinceCode,
        time_ms: u64,
        candidates: impl Iterator<Item = &'a SignedTransaction>,
        most_bytes: usize,
    ) -> Arc<Body> {
        let mut left = most_bytes - BLOCK_OVERHEAD;
        let fitting = candidates.take(MAX_BLOCK_TRANSACTIONS).take_while(|transaction| {
            let size = transaction.as_bytes().len() + TRANSACTION_OVERHEAD;
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        });
        let fitting: Vec<_> = fitting.cloned().collect();
        let block = self.machine.build(&mut self.shared, proposer, time_ms, fitting);
        let place = |t: &SignedTransaction| self.places[&t.id()];
        let operations = |t: &SignedTransaction| t.payload().operations.len() as u64;
        Arc::new(Body {
            hash: block.hash(),
            bytes: block.encode().len() as u64,
            transactions: block.transactions.iter().map(place).collect(),
            operations: block.transactions.iter().map(operations).sum(),
            block,
        })
    }

    /// Commits a block, the first time that a node does; whether this was it.
    pub(super) fn commit(
        &mut self,
        body: &Arc<Body>,
        signatures: usize,
        at_ns: u64,
    ) -> Result<bool, String> {
        let height = body.block.header.height;
        if let Some(known) = self.at(height) {
            return if known.body.hash == body.hash {
                Ok(false)
            } else {
                Err(format!("fork: {} and {} at height {height}", known.body.hash, body.hash))
            };
        }
        let root = self.machine.commit(&mut self.shared, &body.block);
        if root != Some(body.block.header.state_root) {
            return Err(format!("block {} does not apply", body.hash));
        }
        let certificate_bytes = sizes::certificate(signatures as u64);
        self.blocks.push(Committed { body: body.clone(), certificate_bytes, at_ns });
        self.starts.push(self.machine.start());
        Ok(true)
    }
}
