//! What is the same for everybody who reads at one height, made once: the tip, the head of every
//! proof, and the records that many answers rest on, read, decoded and proven.
//!
//! The state after a block never changes, so nothing here can be out of date: a [`super::View`]
//! takes the standing of its own snapshot's height, and only the newest one is kept for the next.
//! Readers and whoever tries or executes transactions share it, and nobody reads the database while
//! others wait for its lock. Licences are not among the records: there are too many, and few are asked
//! for twice.

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use symbolon_ledger::{
    block::{Header, header_hash},
    hash::{Digest, sha256},
    records::Record,
    state::StateKey,
    state_proof::ProofHead,
};

use super::{StorageError, Tip};

/// Most places that are remembered of a height: the agencies, keys and types of the licences that
/// are asked for between two blocks. A place takes some five kilobytes, a type with many claims
/// twenty; whatever comes after is read anew each time.
const MAX_PLACES: usize = 2_048;
/// Most of them at which nothing stands: provinces that recognise nothing, and what somebody made up,
/// who must not take the others' room.
const MAX_ABSENT: usize = MAX_PLACES / 4;

/// A height, as all who read at it see it.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) tip: Tip,
    /// What every proof at this height begins with.
    pub(super) head: ProofHead,
    /// Digest of that head: it names the height with what this node says of it.
    pub(super) mark: Digest,
    places: RwLock<Places>,
}

#[derive(Debug, Default)]
struct Places {
    known: BTreeMap<StateKey, Arc<Place>>,
    /// How many of them have no record.
    absent: usize,
}

impl Places {
    fn have_room_for(&self, place: &Place) -> bool {
        let is_full = place.bytes.is_none() && self.absent >= MAX_ABSENT;
        !is_full && self.known.len() < MAX_PLACES
    }

    fn insert(&mut self, key: StateKey, place: Arc<Place>) {
        let is_absent = place.bytes.is_none();
        if self.known.insert(key, place).is_none() {
            self.absent += usize::from(is_absent);
        }
    }
}

/// A place of the state at one height.
#[derive(Debug)]
pub(super) struct Place {
    key: StateKey,
    /// The record's bytes; none when nothing stands there.
    bytes: Option<Vec<u8>>,
    /// The record, decoded when it is first asked for.
    record: OnceLock<Arc<dyn Any + Send + Sync>>,
    /// The entry of a proof, encoded when it is first asked for.
    entry: OnceLock<Vec<u8>>,
}

impl Standing {
    /// Of the block whose header and certificate these are.
    pub(super) fn of(
        height: u64,
        header: &[u8],
        certificate: Option<&[u8]>,
    ) -> Result<Self, StorageError> {
        let decoded = Header::decode(header)
            .map_err(|e| StorageError::damaged(format!("header {height}: {e}")))?;
        let head = ProofHead::new(header, certificate);
        Ok(Self {
            tip: Tip { height, hash: header_hash(header), header: decoded },
            mark: sha256(head.as_bytes()),
            head,
            places: RwLock::default(),
        })
    }

    /// The place `key`, whose record's bytes `read` gives if it is not remembered; none when it is
    /// of a kind that is never remembered.
    pub(super) fn place(
        &self,
        key: &StateKey,
        read: impl FnOnce() -> Result<Option<Vec<u8>>, StorageError>,
    ) -> Result<Option<Arc<Place>>, StorageError> {
        if !is_shared(key) {
            return Ok(None);
        }
        // Every change of it is complete when the lock is released, also by a panic.
        let places = || self.places.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = places().known.get(key) {
            return Ok(Some(known.clone()));
        }
        // Read without the lock: several may do so at once, and they read the same.
        let place = Arc::new(Place::new(key.clone(), read()?));
        if places().have_room_for(&place) {
            let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
            if places.have_room_for(&place) {
                places.insert(key.clone(), place.clone());
            }
        }
        Ok(Some(place))
    }
}

impl Place {
    fn new(key: StateKey, bytes: Option<Vec<u8>>) -> Self {
        Self { key, bytes, record: OnceLock::new(), entry: OnceLock::new() }
    }

    /// The record's bytes.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        self.bytes.as_deref()
    }

    /// The record, which is read once.
    pub(super) fn record<R>(&self) -> Result<Option<Arc<R>>, StorageError>
    where
        R: Record + Send + Sync + 'static,
    {
        let Some(bytes) = &self.bytes else { return Ok(None) };
        let known = self.record.get().and_then(|record| record.clone().downcast().ok());
        if known.is_some() {
            return Ok(known);
        }
        let record = R::from_bytes(bytes)
            .map_err(|e| StorageError::damaged(format!("record {:?}: {e}", self.key)))?;
        let record = Arc::new(record);
        // Whoever else has read it meanwhile has the same.
        let _ = self.record.set(record.clone());
        Ok(Some(record))
    }

    /// The entry of a proof, which `prove` encodes when it was not asked for before.
    pub(super) fn entry(
        &self,
        prove: impl FnOnce(Option<&[u8]>) -> Result<Vec<u8>, StorageError>,
    ) -> Result<&[u8], StorageError> {
        if let Some(entry) = self.entry.get() {
            return Ok(entry);
        }
        let entry = prove(self.bytes())?;
        Ok(self.entry.get_or_init(|| entry))
    }
}

/// Whether many answers rest on the place: it is of the registries, and not of one licence.
fn is_shared(key: &StateKey) -> bool {
    use StateKey as K;
    match key {
        K::Parameters
        | K::Validators
        | K::Features
        | K::Province(_)
        | K::Agency(_)
        | K::AgencyByIndex(_)
        | K::Key(..)
        | K::LicenceType(_)
        | K::LicenceTypeByIndex(_)
        | K::Recognition(..) => true,
        K::Counters
        | K::Licence(_)
        | K::SlotBlock(..)
        | K::Lineage(..)
        | K::Governance
        | K::Proposal(_)
        | K::Terms(_)
        | K::Evidence(..) => false,
    }
}

/// The standing of the newest height that anybody has read at.
#[derive(Debug, Default)]
pub(super) struct Newest(RwLock<Option<Arc<Standing>>>);

impl Newest {
    /// The standing of `height`, which `make` gives if it is not this one.
    pub(super) fn at(
        &self,
        height: u64,
        make: impl FnOnce() -> Result<Standing, StorageError>,
    ) -> Result<Arc<Standing>, StorageError> {
        let newest = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(standing) = newest.filter(|standing| standing.tip.height == height) {
            return Ok(standing);
        }
        let made = Arc::new(make()?);
        let mut newest = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match &*newest {
            // Somebody else was faster: all of this height share one memory.
            Some(standing) if standing.tip.height == height => Ok(standing.clone()),
            // A reader of an older snapshot leaves the newer one in its place.
            Some(standing) if standing.tip.height > height => Ok(made),
            _ => {
                *newest = Some(made.clone());
                Ok(made)
            }
        }
    }
}
