//! The upper pages of the state tree that were read or written lately, decoded and checked. Every
//! proof and every change goes through them, and they are few: with a million licences 4,000 pages
//! lead to all buckets. Buckets themselves are not kept here; the database has its own memory for
//! blocks that it read.
//!
//! A page is remembered by its place, and given only to one who names its hash. So whoever reads an
//! older snapshot than the one it belongs to reads its own, and nobody is given what was replaced.

use std::{fmt, sync::Arc};

use quick_cache::{Weighter, sync::Cache};
use symbolon_ledger::{
    hash::Digest,
    tree::{
        Page, PageKey, StoreError, TreeUpdate,
        page::{Inner, PageFlaw},
    },
};

/// Memory for pages. With five million licences all but the lowest inner pages fit in.
const PAGES_BYTES: u64 = 32 * 1024 * 1024;
/// Memory that an entry takes beside its page: its key twice (in the entry and in the table), the
/// counts of the `Arc`, and what the cache itself needs.
const ENTRY_BYTES: u64 = 128;
/// About what a page takes, by which the cache sizes its table at first.
const TYPICAL_PAGE_BYTES: u64 = 2 * 1024;

#[derive(Clone)]
struct ByMemory;

impl Weighter<PageKey, Arc<Inner>> for ByMemory {
    fn weight(&self, _: &PageKey, page: &Arc<Inner>) -> u64 {
        page.memory() as u64 + ENTRY_BYTES
    }
}

/// Pages that are remembered.
pub(super) struct Pages(Cache<PageKey, Arc<Inner>, ByMemory>);

impl Default for Pages {
    fn default() -> Self {
        let typical = usize::try_from(PAGES_BYTES / TYPICAL_PAGE_BYTES).expect("a few thousand");
        Self(Cache::with_weighter(typical, PAGES_BYTES, ByMemory))
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl Pages {
    /// The page at `key` with this hash if it is remembered, and otherwise what `read` gives. No
    /// lock is held while it reads.
    pub(super) fn page<B: AsRef<[u8]>, E: fmt::Display>(
        &self,
        key: &PageKey,
        hash: &Digest,
        read: impl FnOnce() -> Result<Option<B>, E>,
    ) -> Result<Option<Page>, StoreError> {
        if let Some(page) = self.0.get(key).filter(|page| page.hash() == *hash) {
            return Ok(Some(Page::Inner(page)));
        }
        let Some(bytes) = read().map_err(|e| StoreError(e.to_string()))? else { return Ok(None) };
        let page = Page::decode(key, bytes.as_ref())
            .map_err(|flaw: PageFlaw| StoreError(format!("page {key}: {flaw}")))?;
        if let Page::Inner(inner) = &page
            && inner.hash() == *hash
        {
            self.0.insert(*key, inner.clone());
        }
        Ok(Some(page))
    }

    /// Remembers what has just been written.
    pub(super) fn follow(&self, update: &TreeUpdate) {
        for key in &update.gone {
            self.0.remove(key);
        }
        for (key, page) in &update.put {
            match page {
                Page::Inner(inner) => self.0.insert(*key, inner.clone()),
                // An inner page may have stood there.
                Page::Bucket(_) => drop(self.0.remove(key)),
            }
        }
    }

    /// Memory that they take.
    pub(super) fn bytes(&self) -> u64 {
        self.0.weight()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use symbolon_ledger::{
        hash::sha256,
        state_proof::PLACEHOLDER,
        tree::{Change, Memory, update},
    };

    use super::*;

    /// The topmost page of a map, before and after a change, and what the change wrote.
    fn two_roots() -> ([Page; 2], TreeUpdate) {
        let change = |n: u8| Change::new(sha256(&[n]), Some(b"record"));
        let mut tree = Memory::default();
        let first = update(&tree, PLACEHOLDER, (0..200).map(change).collect()).unwrap();
        tree.apply(&first);
        let before = tree.pages()[&PageKey::ROOT].clone();
        let second = update(&tree, first.root, vec![change(200)]).unwrap();
        tree.apply(&second);
        ([before, tree.pages()[&PageKey::ROOT].clone()], second)
    }

    #[test]
    fn a_page_is_given_to_whoever_names_its_hash_and_others_read_their_own() {
        let ([before, after], update) = two_roots();
        let (pages, reads) = (Pages::default(), Cell::new(0));
        let read = |page: &Page| {
            let read = || {
                reads.set(reads.get() + 1);
                Ok::<_, String>(Some(page.encode()))
            };
            pages.page(&PageKey::ROOT, &page.hash(), read)
        };
        for (page, times) in [(&before, 1), (&before, 1)] {
            assert_eq!((read(page), reads.get()), (Ok(Some(page.clone())), times));
        }
        pages.follow(&update);
        // The newest is remembered, a reader of the older snapshot reads its own.
        for (page, times) in [(&after, 1), (&before, 2)] {
            assert_eq!((read(page), reads.get()), (Ok(Some(page.clone())), times));
        }
        assert!(pages.bytes() > 0);
        let gone = TreeUpdate { root: PLACEHOLDER, put: vec![], gone: vec![PageKey::ROOT] };
        pages.follow(&gone);
        assert_eq!((read(&before), reads.get()), (Ok(Some(before.clone())), 3));
    }

    #[test]
    fn a_page_with_another_hash_is_not_remembered_and_bytes_that_are_none_are_named() {
        let ([before, after], _) = two_roots();
        let pages = Pages::default();
        let read = |bytes: &[u8]| {
            let bytes = bytes.to_vec();
            pages.page(&PageKey::ROOT, &after.hash(), || Ok::<_, String>(Some(bytes)))
        };
        assert_eq!(read(&before.encode()), Ok(Some(before.clone())));
        assert_eq!(pages.bytes(), 0);
        let error = read(&[7]).unwrap_err().to_string();
        assert!(error.contains("page 00: its first byte is 7"), "{error}");
    }
}
