//! A state proof, put together entry by entry within the bounds that its readers set.
//!
//! What a proof says and how it is checked is [`symbolon_ledger::state_proof`]'s and
//! `symbolon-verify`'s; which places an answer rests on, the HTTP modules say.

use std::collections::BTreeSet;

use symbolon_ledger::{
    codec,
    state::StateKey,
    state_proof::{
        MAX_ENTRIES, MAX_STATE_PROOF_BYTES, ProofEntry, STATE_PROOF_VERSION, StateProof,
    },
    tree,
};

use super::{StorageError, View};

/// Bytes by which the head of the list of entries may grow.
const LIST_HEAD_BYTES: usize = 8;

/// A state proof at the tip of a view, as far as it is put together.
#[derive(Debug)]
pub struct ProofBuilder<'a, 'v> {
    view: &'a View<'v>,
    proof: StateProof,
    places: BTreeSet<StateKey>,
    bytes: usize,
}

impl<'a, 'v> ProofBuilder<'a, 'v> {
    /// A proof of nothing yet.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn new(view: &'a View<'v>) -> Result<Self, StorageError> {
        let height = view.tip().height;
        let header = view
            .header_bytes(height)?
            .ok_or_else(|| StorageError::damaged(format!("header {height} is missing")))?;
        let proof = StateProof {
            version: STATE_PROOF_VERSION,
            header: header.into(),
            certificate: view.certificate_bytes(height)?.map(Into::into),
            entries: Vec::new(),
        };
        let bytes = codec::encode(&proof).len().saturating_add(LIST_HEAD_BYTES);
        Ok(Self { view, proof, places: BTreeSet::new(), bytes })
    }

    /// Adds all of `keys` that are not in it yet, or none of them: false when it would be larger
    /// than its readers take.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn add(&mut self, keys: &[StateKey]) -> Result<bool, StorageError> {
        let (mut places, mut entries, mut bytes) = (BTreeSet::new(), Vec::new(), self.bytes);
        for key in keys {
            if self.places.contains(key) || !places.insert(key.clone()) {
                continue;
            }
            let entry = self.prove(key)?;
            bytes = bytes.saturating_add(codec::encode(&entry).len());
            entries.push(entry);
            let count = self.places.len().saturating_add(entries.len());
            if bytes > MAX_STATE_PROOF_BYTES || count > MAX_ENTRIES {
                return Ok(false);
            }
        }
        self.proof.entries.append(&mut entries);
        self.places.append(&mut places);
        self.bytes = bytes;
        Ok(true)
    }

    /// Adds `keys` in their order, as many as there is room for.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn fill(&mut self, keys: &[StateKey]) -> Result<(), StorageError> {
        for key in keys {
            if !self.add(std::slice::from_ref(key))? {
                break;
            }
        }
        Ok(())
    }

    /// The proof's bytes.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        codec::encode(&self.proof)
    }

    fn prove(&self, key: &StateKey) -> Result<ProofEntry, StorageError> {
        let root = self.view.tip().header.state_root;
        let path = tree::prove(self.view, root, key.map_key()).map_err(StorageError::damaged)?;
        let record = self.view.raw(key)?.map(Into::into);
        Ok(ProofEntry { key: key.encode().into(), record, path })
    }
}
