//! What one node of a world has worked out and the others need not work out again.
//!
//! Nearly all of a run's time would go into checking the same signatures and executing the same
//! blocks once for every node. Whatever is kept here is named by all that it depends on, and was
//! made by the real check once; a world that is [`exact`](super::Plan::exact) shares nothing, so
//! that in those runs every node does everything itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use symbolon_ledger::{
    certificate::{Certificate, CertificateError, CommitSignature},
    codec,
    hash::{BlockHash, ChainId, Digest, TransactionId, sha256},
    keys::PublicKey,
    transaction::{SignedTransaction, Verified},
    validators::ValidatorSet,
};

use super::machine::{Executed, State};

/// A transaction, its signature and the key that it is checked under.
type Checked = (TransactionId, Digest, [u8; 32]);

/// See the module.
#[derive(Debug, Default)]
pub struct Shared {
    exact: bool,
    transactions: BTreeMap<Checked, Verified>,
    executed: BTreeMap<(BlockHash, BlockHash), Option<Arc<Executed>>>,
    states: BTreeMap<BlockHash, Arc<State>>,
    /// Signatures of certificates, each by itself under its set.
    seals: BTreeSet<(Digest, Digest)>,
}

impl Shared {
    /// Nothing yet; and nothing ever, when the world is `exact`.
    #[must_use]
    pub fn new(exact: bool) -> Self {
        Self { exact, ..Self::default() }
    }

    /// The transaction with its signature checked under `key`; none when it does not hold.
    pub(super) fn verify(
        &mut self,
        transaction: &SignedTransaction,
        key: &PublicKey,
    ) -> Option<Verified> {
        let name = (transaction.id(), transaction.signature_hash(), *key.as_bytes());
        if let Some(verified) = self.transactions.get(&name) {
            return Some(verified.clone());
        }
        let verified = transaction.clone().verify(key).ok()?;
        if !self.exact {
            self.transactions.insert(name, verified.clone());
        }
        Some(verified)
    }

    /// What executing a block on its parent gives.
    pub(super) fn execute(
        &mut self,
        parent: BlockHash,
        block: BlockHash,
        execute: impl FnOnce(&mut Self) -> Option<Executed>,
    ) -> Option<Arc<Executed>> {
        if let Some(executed) = self.executed.get(&(parent, block)) {
            return executed.clone();
        }
        let executed = execute(self).map(Arc::new);
        if !self.exact {
            self.executed.insert((parent, block), executed.clone());
        }
        executed
    }

    /// The state after a committed block, if another node has it.
    pub(super) fn state(&self, block: &BlockHash) -> Option<Arc<State>> {
        self.states.get(block).cloned()
    }

    /// Keeps the state after a committed block.
    pub(super) fn keep(&mut self, block: BlockHash, state: &Arc<State>) {
        if !self.exact {
            self.states.insert(block, state.clone());
        }
    }

    /// Checks a certificate. One whose signatures were all in certificates that have been checked,
    /// and stand in order, has nothing new in it: the nodes' certificates of a block differ in who
    /// is among the signers.
    pub(super) fn certify(
        &mut self,
        chain: &ChainId,
        certificate: &Certificate,
        set: &ValidatorSet,
    ) -> Result<(), CertificateError> {
        let (under, signatures) = (set.hash(), &certificate.signatures);
        let seal = |signature: &CommitSignature| {
            let alone = Certificate { signatures: vec![signature.clone()], ..head_of(certificate) };
            (sha256(&codec::encode(&alone)), under)
        };
        let seals: BTreeSet<_> = signatures.iter().map(seal).collect();
        let in_order = signatures.is_sorted_by(|a, b| a.province < b.province);
        let nothing_new = in_order && seals.is_subset(&self.seals);
        if nothing_new && signatures.len() >= set.quorum() {
            return Ok(());
        }
        certificate.verify(chain, set)?;
        if !self.exact {
            self.seals.extend(seals);
        }
        Ok(())
    }
}

/// What all its signatures sign.
fn head_of(certificate: &Certificate) -> Certificate {
    let Certificate { version, height, round, block, .. } = *certificate;
    Certificate { version, height, round, block, signatures: Vec::new() }
}
