//! The projection of the licences into status lists, kept in step with the blocks.
//!
//! A page changes in the same synced batch as the block that changed it, so a snapshot's pages are
//! those of its tip. Beside them lies what each block replaced: with it a list can be shown as it
//! stood some blocks ago, and a signed list held against the state that it names. What a page is
//! stands in `symbolon_ledger::status_page`; lists are compressed and signed in
//! `http/status_lists.rs`.
//!
//! Nothing here is authenticated by itself. It follows from the blocks, `verify-chain` makes it
//! again, and every other node has the same.

use std::collections::{BTreeMap, BTreeSet, btree_map};

use rocksdb::WriteBatch;
use symbolon_contracts::Changes;
use symbolon_ledger::{
    codes::ProvinceCode,
    records::{
        AgencyIndexRecord, AgencyRecord, LicenceRecord, Record, SLOTS_PER_BLOCK, slot_block,
    },
    state::StateKey,
    status_page::{
        LIST_LEN, PAGE_LEN, PAGES_PER_LIST, STATUS_BITS, VALID, differences, set_status,
    },
};
use thiserror::Error;

use super::{StorageError, Store, schema::cf, view::View};
use crate::execution::Executed;

/// How many blocks back a list can be shown. At the idle pace of one block in ten seconds that is
/// longer than the 24 hours for which a signed list may be relied on.
pub const REWIND_BLOCKS: u64 = 10_000;
/// Most bytes of replaced statuses that are read to show a list as it was: 5.6 million changes,
/// five for every slot of the list.
pub const MAX_REWIND_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of one replaced status: index in the list, and the status before.
const CHANGE_LEN: usize = 3;

/// Why a list cannot be shown as it was at an earlier height.
#[derive(Debug, Error)]
pub enum RewindError {
    /// Too long ago.
    #[error("the lists of heights before {oldest} are not kept any more")]
    TooOld {
        /// The earliest height of which they are.
        oldest: u64,
    },
    /// Too much has happened since.
    #[error("more than {MAX_REWIND_BYTES} bytes of changes have been made since")]
    TooMuch,
    /// The database cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Key of a page: province, block of slots. A list has 256 pages, so the last byte is the page's
/// number in its list, and the rest names the list.
///
/// Maps here have these bytes as their keys, and not tuples of province and number: rustc 1.95
/// stores a wrong number for keys with padding in some optimised loops over `BTreeMap::entry`.
type PageKey = [u8; 6];
/// Key of a list, and prefix of its pages' keys.
type ListKey = [u8; 5];

/// What a block changes of the pages.
#[derive(Debug, Default)]
pub(super) struct StatusChanges {
    pages: BTreeMap<PageKey, PageChange>,
}

/// A page before and after a block.
#[derive(Debug)]
struct PageChange {
    before: Vec<u8>,
    after: Vec<u8>,
}

/// Computes what `executed` changes of the pages as `view` has them.
///
/// # Errors
///
/// [`StorageError`] when a page or an agency's record cannot be read.
pub(super) fn project(view: &View<'_>, executed: &Executed) -> Result<StatusChanges, StorageError> {
    let mut changes = StatusChanges::default();
    let mut provinces: BTreeMap<u32, ProvinceCode> = BTreeMap::new();
    // A licence may change more than once in a block: events stand in the order of execution.
    for licence in executed.events.iter().flatten().filter_map(|e| e.licence_after.as_ref()) {
        let index = licence.agency_index;
        let province = match provinces.get(&index) {
            Some(province) => *province,
            None => province_of(view, &executed.changes, index)?,
        };
        provinces.insert(index, province);
        let (block, offset) = slot_block(licence.slot);
        let page = changes.page(view, page_key(province, block))?;
        set_status(&mut page.after, offset, licence.status.list_value())
            .ok_or_else(|| StorageError::damaged("a licence's slot is past its page"))?;
    }
    Ok(changes)
}

/// Writes the pages that follow from the licences alone, for a state that came as a whole. When a
/// list last changed is not known then, but not after `height`.
///
/// # Errors
///
/// [`StorageError`] when a record cannot be read.
pub(super) fn rebuild(
    view: &View<'_>,
    licences: impl Iterator<Item = Result<LicenceRecord, StorageError>>,
    height: u64,
    mut put: impl FnMut(&[u8], &[u8]),
) -> Result<(), StorageError> {
    let (mut pages, mut provinces) = (BTreeMap::<PageKey, Vec<u8>>::new(), BTreeMap::new());
    for licence in licences {
        let licence = licence?;
        // A page of zeros is no page.
        if licence.status.list_value() == VALID {
            continue;
        }
        let index = licence.agency_index;
        let province = match provinces.get(&index) {
            Some(province) => *province,
            None => province_of(view, &Changes::new(), index)?,
        };
        provinces.insert(index, province);
        let (block, offset) = slot_block(licence.slot);
        let page = pages.entry(page_key(province, block)).or_insert_with(|| vec![0; PAGE_LEN]);
        set_status(page, offset, licence.status.list_value())
            .ok_or_else(|| StorageError::damaged("a licence's slot is past its page"))?;
    }
    let lists: BTreeSet<_> = pages.keys().map(|key| split(key).0).collect();
    pages.iter().for_each(|(key, page)| put(key, page));
    lists.iter().for_each(|list| put(list, &height.to_be_bytes()));
    Ok(())
}

/// The province of agency `index`, which may have been registered in the same block.
fn province_of(
    view: &View<'_>,
    changes: &Changes,
    index: u32,
) -> Result<ProvinceCode, StorageError> {
    let number: AgencyIndexRecord = record(view, changes, &StateKey::AgencyByIndex(index))?;
    let agency: AgencyRecord = record(view, changes, &StateKey::Agency(number.uscc))?;
    Ok(agency.province)
}

/// A record as the block leaves it, which another one says must exist.
fn record<R: Record>(
    view: &View<'_>,
    changes: &Changes,
    key: &StateKey,
) -> Result<R, StorageError> {
    let written = match changes.get(key) {
        Some(Some(bytes)) => Some(R::from_bytes(bytes).map_err(StorageError::damaged)?),
        _ => view.record(key)?,
    };
    written.ok_or_else(|| StorageError::damaged(format!("{key:?} is missing")))
}

impl StatusChanges {
    fn page(&mut self, view: &View<'_>, key: PageKey) -> Result<&mut PageChange, StorageError> {
        match self.pages.entry(key) {
            btree_map::Entry::Occupied(known) => Ok(known.into_mut()),
            btree_map::Entry::Vacant(new) => {
                let before = read_page(view, &key)?;
                Ok(new.insert(PageChange { after: before.clone(), before }))
            }
        }
    }

    /// Writes the pages, what they held before, and when their lists changed.
    pub(super) fn put(self, store: &Store, batch: &mut WriteBatch, height: u64) {
        let mut replaced: BTreeMap<ListKey, Vec<u8>> = BTreeMap::new();
        for (key, page) in self.pages {
            if page.after == page.before {
                continue;
            }
            if page.after.iter().all(|byte| *byte == 0) {
                batch.delete_cf(store.cf(cf::STATUS_PAGES), key);
            } else {
                batch.put_cf(store.cf(cf::STATUS_PAGES), key, &page.after);
            }
            let (list, number) = split(&key);
            let first = u32::from(number) * SLOTS_PER_BLOCK;
            let changes = replaced.entry(list).or_default();
            for (offset, before, _) in differences(&page.before, &page.after) {
                changes.extend_from_slice(&change(first + offset, before));
            }
        }
        for (list, before) in replaced {
            batch.put_cf(store.cf(cf::STATUS_PAGES), list, height.to_be_bytes());
            batch.put_cf(store.cf(cf::STATUS_CHANGES), change_key(&list, height), before);
            if let Some(past) = height.checked_sub(REWIND_BLOCKS) {
                // What this list replaced too long ago to be of use goes when it changes again.
                let first = change_key(&list, 0);
                let end = change_key(&list, past.saturating_add(1));
                batch.delete_range_cf(store.cf(cf::STATUS_CHANGES), first, end);
            }
        }
    }
}

impl View<'_> {
    /// The height at which a status list last changed; 0 when it never did.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn status_list_changed_at(
        &self,
        province: ProvinceCode,
        list: u32,
    ) -> Result<u64, StorageError> {
        let row = self.get(cf::STATUS_PAGES, &list_key(province, list))?;
        row.map_or(Ok(0), |bytes| read_height(&bytes))
    }

    /// A status list at the tip, packed: [`LIST_LEN`] bytes.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn status_list(&self, province: ProvinceCode, list: u32) -> Result<Vec<u8>, StorageError> {
        let mut packed = vec![0; LIST_LEN];
        for row in self.scan_prefix(cf::STATUS_PAGES, &list_key(province, list)) {
            let (key, page) = row?;
            // The row that says when the list changed has a shorter key than its pages.
            let Ok(key) = PageKey::try_from(&key[..]) else { continue };
            let first = usize::from(split(&key).1) * PAGE_LEN;
            let place = packed.get_mut(first..first + PAGE_LEN).filter(|p| p.len() == page.len());
            place.ok_or_else(damaged_page)?.copy_from_slice(&page);
        }
        Ok(packed)
    }

    /// A status list as it stood at `height`, at or below the tip.
    ///
    /// # Errors
    ///
    /// [`RewindError`].
    pub fn status_list_at(
        &self,
        province: ProvinceCode,
        list: u32,
        height: u64,
    ) -> Result<Vec<u8>, RewindError> {
        let rewound = self.tip().height.saturating_sub(REWIND_BLOCKS);
        // What a snapshot's own block replaced is not in it; the list after it is.
        let oldest = rewound.max(self.kept()?.events.saturating_sub(1));
        if height < oldest {
            return Err(RewindError::TooOld { oldest });
        }
        let prefix = list_key(province, list);
        let first = change_key(&prefix, height.saturating_add(1));
        let (mut since, mut bytes) = (Vec::new(), 0);
        for row in self.scan_from(cf::STATUS_CHANGES, &prefix, &first) {
            let (_, replaced) = row?;
            bytes += replaced.len();
            if bytes > MAX_REWIND_BYTES {
                return Err(RewindError::TooMuch);
            }
            since.push(replaced);
        }
        let mut packed = self.status_list(province, list)?;
        // The newest first: a slot that changed twice ends with what it held before both.
        for replaced in since.iter().rev() {
            undo(&mut packed, replaced).ok_or_else(damaged_page)?;
        }
        Ok(packed)
    }
}

fn read_page(view: &View<'_>, key: &PageKey) -> Result<Vec<u8>, StorageError> {
    match view.get(cf::STATUS_PAGES, key)? {
        None => Ok(vec![0; PAGE_LEN]),
        Some(page) if page.len() == PAGE_LEN => Ok(page),
        Some(_) => Err(damaged_page()),
    }
}

fn damaged_page() -> StorageError {
    StorageError::damaged("a status page is of another length or names a slot that is not there")
}

fn read_height(bytes: &[u8]) -> Result<u64, StorageError> {
    let bytes = bytes.try_into().map_err(|_| StorageError::damaged("a status list's height"))?;
    Ok(u64::from_be_bytes(bytes))
}

fn page_key(province: ProvinceCode, block: u32) -> PageKey {
    let [a, b, c, d] = block.to_be_bytes();
    let [first, second] = province_bytes(province);
    [first, second, a, b, c, d]
}

/// Lists past the last that a province can have give the key of none that is.
fn list_key(province: ProvinceCode, list: u32) -> ListKey {
    split(&page_key(province, list.saturating_mul(PAGES_PER_LIST))).0
}

fn province_bytes(province: ProvinceCode) -> [u8; 2] {
    province.as_str().as_bytes().try_into().expect("a province's code has two digits")
}

/// The list of a page, and the page's number in it.
fn split(key: &PageKey) -> (ListKey, u8) {
    let [list @ .., number] = *key;
    (list, number)
}

fn change_key(list: &ListKey, height: u64) -> Vec<u8> {
    [&list[..], &height.to_be_bytes()].concat()
}

/// One replaced status in three bytes: 20 bits of index, 2 of status.
fn change(index: u32, before: u8) -> [u8; CHANGE_LEN] {
    let [_, bytes @ ..] = (index << STATUS_BITS | u32::from(before)).to_be_bytes();
    bytes
}

/// Puts back what a block replaced; none when the bytes are no such list.
fn undo(packed: &mut [u8], replaced: &[u8]) -> Option<()> {
    let (changes, rest) = replaced.as_chunks::<CHANGE_LEN>();
    if !rest.is_empty() {
        return None;
    }
    for [a, b, c] in changes {
        let number = u32::from_be_bytes([0, *a, *b, *c]);
        let before = u8::try_from(number & ((1 << STATUS_BITS) - 1)).ok()?;
        set_status(packed, number >> STATUS_BITS, before)?;
    }
    Some(())
}
