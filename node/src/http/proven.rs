//! The state proof of a list or of an item: over the places that it was read from, and within the
//! bounds of those who check it.

use symbolon_credential::long_text::Base64UrlText;
use symbolon_ledger::state::StateKey;

use crate::storage::{ProofBuilder, StorageError, View};

/// An item of an answer, and where it was read.
#[derive(Debug)]
pub(super) struct Shown<T> {
    /// The item.
    pub(super) item: T,
    /// Places that its proof covers, what matters most first.
    pub(super) places: Vec<StateKey>,
    /// Places of what is over: covered as far as there is room.
    pub(super) ended: Vec<StateKey>,
}

impl<T> Shown<T> {
    /// An item that was read at one place.
    pub(super) fn at(place: StateKey, item: T) -> Self {
        Self { item, places: vec![place], ended: Vec::new() }
    }
}

/// The proof of an answer, if one was asked for.
pub(super) struct Proof<'a, 'v> {
    builder: Option<ProofBuilder<'a, 'v>>,
    ended: Vec<StateKey>,
}

impl<'a, 'v> Proof<'a, 'v> {
    /// A proof of nothing yet.
    pub(super) fn start(asked: bool, view: &'a View<'v>) -> Self {
        Self { builder: asked.then(|| ProofBuilder::new(view)), ended: Vec::new() }
    }

    /// Covers an item; false when there is no room for it. The first one gets what room there is.
    pub(super) fn cover<T>(&mut self, shown: &Shown<T>, first: bool) -> Result<bool, StorageError> {
        let Some(builder) = &mut self.builder else { return Ok(true) };
        if !builder.add(&shown.places)? {
            if !first {
                return Ok(false);
            }
            builder.fill(&shown.places)?;
        }
        self.ended.extend_from_slice(&shown.ended);
        Ok(true)
    }

    /// The proof, base64url.
    pub(super) fn finish(self) -> Result<Option<Base64UrlText>, StorageError> {
        let Some(mut builder) = self.builder else { return Ok(None) };
        builder.fill(&self.ended)?;
        Ok(Some(Base64UrlText::of(&builder.finish())))
    }
}
