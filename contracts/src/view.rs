//! Reading the state, and what a block writes on top of it.
//!
//! An [`Overlay`] holds every record that a block has read or written, decoded once. A record is
//! encoded once, when the block is done: 256 licences in one block of slots write its bitmap
//! once. What a transaction overwrites is kept until its last operation has applied, so that a
//! refused transaction leaves no trace. Which records may be written is not decided here.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet, btree_map},
    fmt,
    sync::Arc,
};

use symbolon_ledger::{hash::TransactionId, records::Record, state::StateKey};
use thiserror::Error;

use crate::transaction::Group;

/// What a block changes: the new bytes of each record, or none where it is removed.
pub type Changes = BTreeMap<StateKey, Option<Vec<u8>>>;

/// The store cannot tell what stands in the state, or what stands there cannot be. No rule
/// decides on doubtful data: the node must stop.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the state cannot be read: {0}")]
pub struct StateFault(pub String);

/// Read access to the state after the parent block.
pub trait StateView {
    /// The bytes of the record at `key`.
    ///
    /// # Errors
    ///
    /// [`StateFault`] when the store cannot tell.
    fn get(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StateFault>;

    /// The record at `key`, decoded: of the bytes that [`StateView::get`] gives. A store that is
    /// asked for the same record by many transactions may decode it once for all of them; nobody changes
    /// what is shared.
    ///
    /// # Errors
    ///
    /// [`StateFault`] when the store cannot tell, or what stands there is no such record.
    fn shared<R>(&self, key: &StateKey) -> Result<Option<Arc<R>>, StateFault>
    where
        Self: Sized,
        R: Record + Send + Sync + 'static,
    {
        Ok(read(self, key)?.map(Arc::new))
    }

    /// The height at which a transaction was committed, when that is within the last
    /// [`VALIDITY_WINDOW`](symbolon_ledger::transaction::VALIDITY_WINDOW) blocks. Older ones may
    /// be known or not: such a transaction has expired, and that is checked first.
    ///
    /// # Errors
    ///
    /// [`StateFault`] when the store cannot tell.
    fn committed_at(&self, id: &TransactionId) -> Result<Option<u64>, StateFault>;
}

/// The record at `key`.
///
/// # Errors
///
/// [`StateFault`] when the store cannot tell, or what stands there is no such record.
pub fn read<V: StateView, R: Record>(view: &V, key: &StateKey) -> Result<Option<R>, StateFault> {
    let Some(bytes) = view.get(key)? else { return Ok(None) };
    R::from_bytes(&bytes).map(Some).map_err(|e| StateFault(format!("record {key:?}: {e}")))
}

/// A record that the overlay can hold decoded.
pub(crate) trait Held: Record + Clone + Send + Sync + 'static {}

impl<R: Record + Clone + Send + Sync + 'static> Held for R {}

type AnyRecord = Arc<dyn Any + Send + Sync>;

/// What is known of one place of the state.
#[derive(Clone)]
struct Entry {
    /// What stands there now.
    record: Option<AnyRecord>,
    /// Whether something stands there in the base.
    in_base: bool,
    /// How to encode it, once it was written.
    written: Option<fn(&AnyRecord) -> Vec<u8>>,
}

fn encode_as<R: Held>(record: &AnyRecord) -> Vec<u8> {
    record.downcast_ref::<R>().expect("stored beside the function of its own type").to_bytes()
}

/// What a block has written so far, on top of the state after its parent.
pub struct Overlay<'a, V: StateView> {
    base: &'a V,
    entries: BTreeMap<StateKey, Entry>,
    /// What the current transaction has overwritten.
    undo: BTreeMap<StateKey, Option<Entry>>,
    /// Transactions of this block.
    applied: BTreeSet<TransactionId>,
    /// How many bounded operations each group has said in this block.
    bounded_operations: BTreeMap<Group, u32>,
    work: u64,
}

impl<V: StateView> fmt::Debug for Overlay<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay")
            .field("known", &self.entries.len())
            .field("transactions", &self.applied.len())
            .finish_non_exhaustive()
    }
}

impl<'a, V: StateView> Overlay<'a, V> {
    /// Nothing written yet.
    #[must_use]
    pub fn new(base: &'a V) -> Self {
        let (entries, undo, applied) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { base, entries, undo, applied, bounded_operations: BTreeMap::new(), work: 0 }
    }

    /// What the block changes, each record encoded once. What it made and removed again is not
    /// among it.
    #[must_use]
    pub fn into_changes(self) -> Changes {
        let change = |(key, entry): (StateKey, Entry)| {
            let encode = entry.written?;
            match &entry.record {
                Some(record) => Some((key, Some(encode(record)))),
                None => entry.in_base.then_some((key, None)),
            }
        };
        self.entries.into_iter().filter_map(change).collect()
    }

    /// The record at `key`, as the operations so far have left it.
    pub(crate) fn get<R: Held>(&mut self, key: &StateKey) -> Result<Option<Arc<R>>, StateFault> {
        self.work += 1;
        let record = match self.entries.get(key) {
            Some(entry) => entry.record.clone(),
            None => {
                let record = self.base.shared::<R>(key)?.map(|r| r as AnyRecord);
                let in_base = record.is_some();
                let entry = Entry { in_base, record: record.clone(), written: None };
                self.entries.insert(key.clone(), entry);
                record
            }
        };
        let Some(record) = record else { return Ok(None) };
        match record.downcast::<R>() {
            Ok(record) => Ok(Some(record)),
            Err(_) => Err(StateFault(format!("record {key:?} was read as another kind"))),
        }
    }

    /// The record at `key`, which another record says must exist.
    pub(crate) fn must<R: Held>(&mut self, key: &StateKey) -> Result<Arc<R>, StateFault> {
        self.get(key)?.ok_or_else(|| StateFault(format!("record {key:?} is missing")))
    }

    /// Writes a record.
    pub(crate) fn put<R: Held>(&mut self, key: StateKey, record: R) -> Result<(), StateFault> {
        self.write::<R>(key, Some(Arc::new(record)))
    }

    /// Writes a record that is shared; a clone is made only when somebody else still holds it.
    pub(crate) fn put_shared<R: Held>(
        &mut self,
        key: StateKey,
        record: Arc<R>,
    ) -> Result<(), StateFault> {
        self.write::<R>(key, Some(record))
    }

    /// Removes a record.
    pub(crate) fn remove<R: Held>(&mut self, key: StateKey) -> Result<(), StateFault> {
        self.write::<R>(key, None)
    }

    /// Changes the record at `key` in place, which must exist. It is copied at most once a
    /// transaction, for the undo.
    pub(crate) fn change<R: Held, T>(
        &mut self,
        key: &StateKey,
        change: impl FnOnce(&mut R) -> T,
    ) -> Result<T, StateFault> {
        let mut record = self.must::<R>(key)?;
        self.remember(key);
        // Let go of the entry's own reference, so that the record is copied only if the undo
        // holds it.
        if let Some(entry) = self.entries.get_mut(key) {
            entry.record = None;
        }
        let result = change(Arc::make_mut(&mut record));
        self.put_shared(key.clone(), record)?;
        Ok(result)
    }

    fn remember(&mut self, key: &StateKey) {
        if !self.undo.contains_key(key) {
            self.undo.insert(key.clone(), self.entries.get(key).cloned());
        }
    }

    fn write<R: Held>(&mut self, key: StateKey, record: Option<Arc<R>>) -> Result<(), StateFault> {
        self.work += 1;
        self.remember(&key);
        let record = record.map(|r| r as AnyRecord);
        let written = Some(encode_as::<R> as fn(&AnyRecord) -> Vec<u8>);
        match self.entries.entry(key) {
            btree_map::Entry::Occupied(mut known) => {
                let in_base = known.get().in_base;
                known.insert(Entry { record, in_base, written });
            }
            btree_map::Entry::Vacant(place) => {
                let in_base = self.base.get(place.key())?.is_some();
                place.insert(Entry { record, in_base, written });
            }
        }
        Ok(())
    }

    /// How many times a record was looked up or written here, also by what did not apply: the
    /// measure of the work that transactions make.
    #[must_use]
    pub fn work(&self) -> u64 {
        self.work
    }

    /// How many bounded operations a group has said in this block.
    pub(crate) fn bounded_operations(&self, group: Group) -> u32 {
        self.bounded_operations.get(&group).copied().unwrap_or_default()
    }

    /// Keeps what the current transaction wrote, and how many bounded operations its signer's group
    /// has said by now.
    pub(crate) fn keep(&mut self, id: TransactionId, group: Group, bounded_operations: u32) {
        self.undo.clear();
        self.applied.insert(id);
        if bounded_operations > 0 {
            self.bounded_operations.insert(group, bounded_operations);
        }
    }

    /// Takes back what the current transaction wrote.
    pub(crate) fn undo(&mut self) {
        for (key, before) in std::mem::take(&mut self.undo) {
            match before {
                Some(entry) => self.entries.insert(key, entry),
                None => self.entries.remove(&key),
            };
        }
    }

    /// Whether a transaction is in this block or in one that is remembered.
    pub(crate) fn is_committed(&self, id: &TransactionId) -> Result<bool, StateFault> {
        Ok(self.applied.contains(id) || self.base.committed_at(id)?.is_some())
    }

    /// The record at `key` as the parent block left it.
    pub(crate) fn before<R: Record>(&self, key: &StateKey) -> Result<Option<R>, StateFault> {
        read(self.base, key)
    }
}
