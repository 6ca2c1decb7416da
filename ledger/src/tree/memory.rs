//! Pages in memory: for a tree that nobody has to find again.

use std::collections::BTreeMap;

use super::{Page, PageKey, PageStore, StoreError, TreeUpdate};
use crate::hash::Digest;

/// A tree that is lost with the program: of the simulator and of tests, and the empty one that a
/// chain begins with.
#[derive(Debug, Clone, Default)]
pub struct Memory(BTreeMap<PageKey, Page>);

/// The tree of an empty map.
pub(super) static NOTHING: Memory = Memory(BTreeMap::new());

impl Memory {
    /// Writes and removes the pages of an update of this tree.
    pub fn apply(&mut self, update: &TreeUpdate) {
        for key in &update.gone {
            self.0.remove(key);
        }
        self.0.extend(update.put.iter().cloned());
    }

    /// Every page.
    #[must_use]
    pub fn pages(&self) -> &BTreeMap<PageKey, Page> {
        &self.0
    }

    /// The same, to be altered: what is done about it?
    #[cfg(test)]
    pub(super) fn pages_mut(&mut self) -> &mut BTreeMap<PageKey, Page> {
        &mut self.0
    }
}

impl PageStore for Memory {
    fn page(&self, key: &PageKey, _: &Digest) -> Result<Option<Page>, StoreError> {
        Ok(self.0.get(key).cloned())
    }
}
