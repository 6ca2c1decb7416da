//! A state proof, put together entry by entry within the bounds that its readers set.
//!
//! What a proof says and how it is checked is [`symbolon_ledger::state_proof`]'s and
//! `symbolon-verify`'s; which places an answer rests on, the HTTP modules say.

use std::collections::BTreeSet;

use symbolon_ledger::{
    codec,
    state::StateKey,
    state_proof::{MAX_ENTRIES, MAX_STATE_PROOF_BYTES, ProofEntry},
    tree,
};

use super::{StorageError, View};

/// Bytes that the head of the list of entries may take.
const LIST_HEAD_BYTES: usize = 9;

/// A state proof at the tip of a view, as far as it is put together.
#[derive(Debug)]
pub struct ProofBuilder<'a, 'v> {
    view: &'a View<'v>,
    places: BTreeSet<StateKey>,
    /// The entries, encoded, one after the other.
    entries: Vec<u8>,
}

impl<'a, 'v> ProofBuilder<'a, 'v> {
    /// A proof of nothing yet.
    #[must_use]
    pub fn new(view: &'a View<'v>) -> Self {
        Self { view, places: BTreeSet::new(), entries: Vec::new() }
    }

    /// Adds all of `keys` that are not in it yet, or none of them: false when it would be larger
    /// than its readers take.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn add(&mut self, keys: &[StateKey]) -> Result<bool, StorageError> {
        let head = self.view.standing().head.as_bytes().len().saturating_add(LIST_HEAD_BYTES);
        let (before, mut places) = (self.entries.len(), BTreeSet::new());
        for key in keys {
            if self.places.contains(key) || !places.insert(key.clone()) {
                continue;
            }
            self.prove(key)?;
            let bytes = head.saturating_add(self.entries.len());
            let count = self.places.len().saturating_add(places.len());
            if bytes > MAX_STATE_PROOF_BYTES || count > MAX_ENTRIES {
                self.entries.truncate(before);
                return Ok(false);
            }
        }
        self.places.append(&mut places);
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
        self.view.standing().head.proof(self.places.len(), &self.entries)
    }

    /// Appends the entry of `key`. That of a place on which many answers rest is made once a
    /// height.
    fn prove(&mut self, key: &StateKey) -> Result<(), StorageError> {
        let view = self.view;
        match view.place(key)? {
            Some(place) => {
                let entry = place.entry(|record| entry(view, key, record.map(<[u8]>::to_vec)))?;
                self.entries.extend_from_slice(entry);
            }
            None => self.entries.append(&mut entry(view, key, view.raw(key)?)?),
        }
        Ok(())
    }
}

/// The encoded entry of a place with this record.
fn entry(
    view: &View<'_>,
    key: &StateKey,
    record: Option<Vec<u8>>,
) -> Result<Vec<u8>, StorageError> {
    let root = view.tip().header.state_root;
    let path = tree::prove(view, root, key.map_key()).map_err(StorageError::damaged)?;
    let entry = ProofEntry { key: key.encode().into(), record: record.map(Into::into), path };
    Ok(codec::encode(&entry))
}
