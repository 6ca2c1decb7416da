//! Reading: everything through one [`View`] is at one height.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rocksdb::{
    DB, Direction, ErrorKind, IteratorMode, ReadOptions, ReadTier, SnapshotWithThreadMode,
};
use symbolon_contracts::{StateFault, StateView};
use symbolon_ledger::{
    block::{Block, Header},
    codec,
    codes::ProvinceCode,
    hash::{BlockHash, ChainId, Cid, Digest, TransactionId},
    log::Frontier,
    operation::Actor,
    receipt::{RECEIPT_VERSION, Receipt},
    records::{Record, SlotBlockRecord},
    state::{MAX_STATE_KEY_BYTES, StateKey},
    transaction::VALIDITY_WINDOW,
    tree::{Page, PageKey, PageStore, StoreError},
};

use super::{
    ProofBuilder, StorageError, Store,
    recent::BlockTree,
    schema::{self, EventPlace, Location, MAX_LOCAL_VALUE, StoredEvent, cf, height_key, meta},
    standing::{Place, Standing},
};

/// Most bytes of the frontier: 64 peaks.
const MAX_FRONTIER_BYTES: usize = 4 * 1024;

/// The bytes of a key and of what stands there.
pub type Entry = (Box<[u8]>, Box<[u8]>);

/// The newest block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub hash: BlockHash,
    /// Its header.
    pub header: Header,
}

/// One event in a licence's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Where in the chain it is.
    pub place: EventPlace,
    /// The transaction.
    pub transaction: TransactionId,
    /// The operation's name.
    pub event: String,
    /// The licence's status after it.
    pub status: String,
    /// The licence that it replaced or that replaced it.
    pub related: Option<Cid>,
    /// Who signed the transaction.
    pub actor: Actor,
    /// Class of the revocation.
    pub revocation_class: Option<String>,
}

/// A snapshot of the chain.
pub struct View<'a> {
    store: &'a Store,
    snapshot: SnapshotWithThreadMode<'a, DB>,
    standing: Arc<Standing>,
    depth: Depth,
    missed: AtomicBool,
}

/// How far a view reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// To the disk, where it must.
    Disk,
    /// No further than what the database has in memory.
    Memory,
}

impl Depth {
    fn options(self) -> ReadOptions {
        let mut options = ReadOptions::default();
        if self == Self::Memory {
            options.set_read_tier(ReadTier::BlockCache);
        }
        options
    }
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("tip", self.tip()).finish_non_exhaustive()
    }
}

impl<'a> View<'a> {
    pub(super) fn new(store: &'a Store, depth: Depth) -> Result<Self, StorageError> {
        let snapshot = store.db.snapshot();
        let get =
            |family: &str, key: &[u8]| snapshot.get_cf_opt(store.cf(family), key, depth.options());
        let height = get(cf::META, meta::TIP)?
            .ok_or_else(|| StorageError::damaged("it has no tip"))?
            .try_into()
            .map(u64::from_be_bytes)
            .map_err(|_| StorageError::damaged("its tip is no height"))?;
        let read = || {
            let header = get(cf::HEADERS, &height_key(height))?
                .ok_or_else(|| StorageError::damaged(format!("header {height} is missing")))?;
            let certificate = get(cf::CERTIFICATES, &height_key(height))?;
            Standing::of(height, &header, certificate.as_deref())
        };
        let standing = store.newest.at(height, read)?;
        Ok(Self { store, snapshot, standing, depth, missed: AtomicBool::new(false) })
    }

    /// Whether something was not in memory, of a view that reads no further: then what it gave
    /// was an error, and says nothing about the database.
    #[must_use]
    pub fn has_missed(&self) -> bool {
        self.missed.load(Ordering::Relaxed)
    }

    /// Digest of the newest block's header and of its certificate as this node has it: the same as
    /// long as all that this node says of the state is the same.
    #[must_use]
    pub fn mark(&self) -> Digest {
        self.standing.mark
    }

    /// The chain.
    #[must_use]
    pub fn chain_id(&self) -> ChainId {
        self.store.chain_id
    }

    /// The newest block.
    #[must_use]
    pub fn tip(&self) -> &Tip {
        &self.standing.tip
    }

    /// The exact bytes of a header; none past the tip.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn header_bytes(&self, height: u64) -> Result<Option<Vec<u8>>, StorageError> {
        self.get(cf::HEADERS, &height_key(height))
    }

    /// The exact bytes of a block; none past the tip.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn block_bytes(&self, height: u64) -> Result<Option<Vec<u8>>, StorageError> {
        self.get(cf::BLOCKS, &height_key(height))
    }

    /// A block; none past the tip.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn block(&self, height: u64) -> Result<Option<Block>, StorageError> {
        let Some(bytes) = self.block_bytes(height)? else { return Ok(None) };
        Block::decode(&bytes)
            .map(Some)
            .map_err(|e| StorageError::damaged(format!("block {height}: {e}")))
    }

    /// The exact bytes of a certificate; none past the tip, and none for block 0.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn certificate_bytes(&self, height: u64) -> Result<Option<Vec<u8>>, StorageError> {
        self.get(cf::CERTIFICATES, &height_key(height))
    }

    /// The tree over the hashes of all blocks up to the tip.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn frontier(&self) -> Result<Frontier, StorageError> {
        let bytes = self
            .get(cf::META, meta::FRONTIER)?
            .ok_or_else(|| StorageError::damaged("it has no frontier"))?;
        codec::decode(&bytes, MAX_FRONTIER_BYTES)
            .map_err(|e| StorageError::damaged(format!("frontier: {e}")))
    }

    /// The bytes of a record.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn raw(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StorageError> {
        self.get(cf::STATE, &key.encode())
    }

    /// A record.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn record<R: Record>(&self, key: &StateKey) -> Result<Option<R>, StorageError> {
        let Some(bytes) = self.raw(key)? else { return Ok(None) };
        R::from_bytes(&bytes)
            .map(Some)
            .map_err(|e| StorageError::damaged(format!("record {key:?}: {e}")))
    }

    /// A record, which is read and decoded once for all who ask at this height where it is one of
    /// the registries.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn shared<R>(&self, key: &StateKey) -> Result<Option<Arc<R>>, StorageError>
    where
        R: Record + Send + Sync + 'static,
    {
        match self.place(key)? {
            Some(place) => place.record(),
            None => Ok(self.record(key)?.map(Arc::new)),
        }
    }

    /// What is remembered of a place at this height; none when nothing ever is.
    pub(super) fn place(&self, key: &StateKey) -> Result<Option<Arc<Place>>, StorageError> {
        self.standing.place(key, || self.raw(key))
    }

    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// All records of one kind of key, given by its number. For the registries, which are small.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn scan<R: Record>(&self, kind: u8) -> Result<Vec<(StateKey, R)>, StorageError> {
        self.scan_at(kind, &[]).collect()
    }

    /// As [`View::scan`], one at a time in the order of the keys' bytes, from the first key on that
    /// is not below `from`: all of them when it is empty.
    pub fn scan_at<'s, R: Record>(
        &'s self,
        kind: u8,
        from: &[u8],
    ) -> impl Iterator<Item = Result<(StateKey, R), StorageError>> + use<'s, 'a, R> {
        // Every key is an array of the kind's number and what it is about.
        let prefix = [0x82, kind];
        self.scan_from(cf::STATE, &prefix, from.max(&prefix)).map(|item| {
            let (key, bytes) = item?;
            let key = read_state_key(&key)?;
            let record = R::from_bytes(&bytes)
                .map_err(|e| StorageError::damaged(format!("record {key:?}: {e}")))?;
            Ok((key, record))
        })
    }

    /// Key and bytes of every authenticated record, in the order of the keys.
    pub fn records(&self) -> impl Iterator<Item = Result<Entry, StorageError>> {
        let authenticated = |entry: &Result<Entry, StorageError>| match entry {
            Ok((key, _)) => read_state_key(key).is_ok_and(|key| key.is_authenticated()),
            Err(_) => true,
        };
        self.entries(cf::STATE, &[]).filter(authenticated)
    }

    /// The bytes of all keys that begin with `prefix` in a column family, and of what stands there.
    pub fn entries(
        &self,
        family: &str,
        prefix: &[u8],
    ) -> impl Iterator<Item = Result<Entry, StorageError>> {
        self.scan_prefix(family, prefix)
    }

    /// The blocks of status slots of a province in the order of their numbers, after block `after`.
    pub fn slot_blocks(
        &self,
        province: ProvinceCode,
        after: Option<u32>,
    ) -> impl Iterator<Item = Result<(u32, SlotBlockRecord), StorageError>> {
        // The encodings of numbers are in the order of the numbers.
        let first = StateKey::SlotBlock(province, 0).encode();
        let prefix = first.split_last().map_or(&[][..], |(_, prefix)| prefix);
        let from =
            after.map_or_else(|| first.clone(), |n| StateKey::SlotBlock(province, n).encode());
        let items = self.scan_from(cf::STATE, prefix, &from).map(|item| {
            let (key, bytes) = item?;
            let StateKey::SlotBlock(_, number) = read_state_key(&key)? else {
                return Err(StorageError::damaged("a block of slots has another key"));
            };
            let record = SlotBlockRecord::from_bytes(&bytes)
                .map_err(|e| StorageError::damaged(format!("slot block {number}: {e}")))?;
            Ok((number, record))
        });
        items.skip_while(move |item| {
            item.as_ref().is_ok_and(|(number, _)| after.is_some_and(|after| *number <= after))
        })
    }

    /// Where a transaction lies.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn transaction(&self, id: &TransactionId) -> Result<Option<Location>, StorageError> {
        let Some(bytes) = self.get(cf::TRANSACTIONS, id.as_bytes())? else { return Ok(None) };
        codec::local::decode(&bytes, MAX_LOCAL_VALUE)
            .map(Some)
            .map_err(|e| StorageError::damaged(format!("location of transaction {id}: {e}")))
    }

    /// The receipt of a committed transaction. Its bytes never change.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn receipt(&self, id: &TransactionId) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(Location { height, index }) = self.transaction(id)? else { return Ok(None) };
        let missing = || StorageError::damaged(format!("block {height} is incomplete"));
        let block = match self.store.recent.get(height) {
            Some(tree) => tree,
            None => Arc::new(self.tree_of(height)?.ok_or_else(missing)?),
        };
        let at = usize::try_from(index).map_err(|_| missing())?;
        let receipt = Receipt {
            version: RECEIPT_VERSION,
            transaction: *id,
            signature_hash: *block.signature_hashes.get(at).ok_or_else(missing)?,
            index: index.into(),
            size: block.tree.size() as u64,
            path: block.tree.path(at).ok_or_else(missing)?,
            header: self.header_bytes(height)?.ok_or_else(missing)?.into(),
            certificate: self.certificate_bytes(height)?.ok_or_else(missing)?.into(),
        };
        Ok(Some(codec::encode(&receipt)))
    }

    /// The tree of a block that is not among the newest. To make it takes longer than whoever reads
    /// memory alone may take.
    fn tree_of(&self, height: u64) -> Result<Option<BlockTree>, StorageError> {
        if self.depth == Depth::Memory {
            self.missed.store(true, Ordering::Relaxed);
            return Err(StorageError::damaged(format!("block {height} is not in memory")));
        }
        Ok(self.block(height)?.as_ref().map(BlockTree::of))
    }

    /// What stands at `keys`, with the proof of it, at the tip. For the few places behind one
    /// answer: a list is proven with a [`ProofBuilder`], which knows when to stop.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    ///
    /// # Panics
    ///
    /// When the proof would be larger than its readers take, which a few places cannot make it.
    pub fn state_proof(&self, keys: &[StateKey]) -> Result<Vec<u8>, StorageError> {
        let mut proof = ProofBuilder::new(self);
        assert!(proof.add(keys)?, "a proof of {} places is too large to be read", keys.len());
        Ok(proof.finish())
    }

    /// The events of a licence, oldest first, those after `after`. A licence has a handful; only
    /// an attack with valid keys would make more, so whoever reads them decides how many.
    pub fn history<'s>(
        &'s self,
        cid: &Cid,
        after: Option<EventPlace>,
    ) -> impl Iterator<Item = Result<HistoryEntry, StorageError>> + use<'s, 'a> {
        let from = after.map_or_else(
            || cid.as_bytes().to_vec(),
            |at| schema::history_key(cid, at.height, at.transaction_index, at.operation_index),
        );
        self.scan_from(cf::HISTORY, cid.as_bytes(), &from)
            .map(|item| item.and_then(|(key, value)| read_event(&key, &value)))
            .skip_while(move |event| event.as_ref().is_ok_and(|event| Some(event.place) <= after))
    }

    /// The licence events of one block of the chain, in the order of execution.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn events(&self, block: &Block) -> Result<Vec<(Cid, HistoryEntry)>, StorageError> {
        let height = block.header.height;
        let mut events = Vec::new();
        for (index, transaction) in (0u32..).zip(&block.transactions) {
            let payload = transaction.payload();
            for (place, operation) in (0u32..).zip(&payload.operations) {
                for cid in operation.licences(&payload.actor) {
                    let key = schema::history_key(&cid, height, index, place);
                    if let Some(value) = self.get(cf::HISTORY, &key)? {
                        events.push((cid, read_event(&key, &value)?));
                    }
                }
            }
        }
        Ok(events)
    }

    pub(super) fn get(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let found = self.snapshot.get_cf_opt(self.store.cf(family), key, self.depth.options());
        found.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: rocksdb::Error) -> StorageError {
        if error.kind() == ErrorKind::Incomplete {
            self.missed.store(true, Ordering::Relaxed);
        }
        error.into()
    }

    pub(super) fn scan_prefix<'s>(
        &'s self,
        family: &str,
        prefix: &[u8],
    ) -> impl Iterator<Item = Result<Entry, StorageError>> + use<'s, 'a> {
        self.scan_from(family, prefix, prefix)
    }

    /// As [`View::scan_prefix`], from the first key on that is not below `from`.
    pub(super) fn scan_from<'s>(
        &'s self,
        family: &str,
        prefix: &[u8],
        from: &[u8],
    ) -> impl Iterator<Item = Result<Entry, StorageError>> + use<'s, 'a> {
        let prefix = prefix.to_vec();
        let mode = IteratorMode::From(from, Direction::Forward);
        let options = self.depth.options();
        let items = self.snapshot.iterator_cf_opt(self.store.cf(family), options, mode);
        items
            .map(move |item| item.map_err(|error| self.failed(error)))
            .take_while(move |item| item.as_ref().map_or(true, |(key, _)| key.starts_with(&prefix)))
    }
}

pub(super) fn read_state_key(bytes: &[u8]) -> Result<StateKey, StorageError> {
    codec::decode(bytes, MAX_STATE_KEY_BYTES)
        .map_err(|e| StorageError::damaged(format!("a key of the state: {e}")))
}

fn read_event(key: &[u8], value: &[u8]) -> Result<HistoryEntry, StorageError> {
    let place =
        schema::read_history_key(key).ok_or_else(|| StorageError::damaged("a key of a history"))?;
    let damaged =
        |e: codec::DecodeError| StorageError::damaged(format!("an event of a history: {e}"));
    let stored: StoredEvent = codec::local::decode(value, MAX_LOCAL_VALUE).map_err(damaged)?;
    let actor = codec::decode(&stored.actor, MAX_LOCAL_VALUE).map_err(damaged)?;
    Ok(HistoryEntry {
        place,
        transaction: Digest(stored.transaction),
        event: stored.event,
        status: stored.status,
        related: stored.related.map(Digest),
        actor,
        revocation_class: stored.revocation_class,
    })
}

impl StateView for View<'_> {
    fn get(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StateFault> {
        self.raw(key).map_err(|e| StateFault(e.to_string()))
    }

    fn shared<R>(&self, key: &StateKey) -> Result<Option<Arc<R>>, StateFault>
    where
        R: Record + Send + Sync + 'static,
    {
        self.shared(key).map_err(|e| StateFault(e.to_string()))
    }

    fn committed_at(&self, id: &TransactionId) -> Result<Option<u64>, StateFault> {
        let location = self.transaction(id).map_err(|e| StateFault(e.to_string()))?;
        let oldest = (self.tip().height + 1).saturating_sub(VALIDITY_WINDOW);
        Ok(location.map(|l| l.height).filter(|height| *height >= oldest))
    }
}

impl PageStore for View<'_> {
    fn page(&self, key: &PageKey, hash: &Digest) -> Result<Option<Page>, StoreError> {
        self.store.pages.page(key, hash, || {
            let (pages, options) = (self.store.cf(cf::PAGES), self.depth.options());
            let found = self.snapshot.get_pinned_cf_opt(pages, key.as_bytes(), options);
            found.map_err(|error| self.failed(error))
        })
    }
}
