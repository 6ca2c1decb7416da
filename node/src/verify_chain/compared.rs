//! What two databases of one chain must have in common, when one of them may have begun later.
//!
//! A database that was made from a snapshot knows nothing of events before it, and says of each
//! status list only by when it had changed. So from its height on everything is compared, and of
//! what was before whatever the snapshot carries. The pages of the tree are the same in both.

use symbolon_ledger::codec::local;

use super::VerifyError;
use crate::storage::{
    LEAVES_KEPT, Location, StorageError, View,
    schema::{MAX_LOCAL_VALUE, cf, read_history_key},
};

/// Which part of the chain both have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// Height with which the second database began: 0 for the founding.
    pub(super) base: u64,
    /// The first height whose header it has.
    pub(super) first: u64,
    /// The newest height.
    pub(super) tip: u64,
}

/// Length of the key of a status page; that of a list is shorter.
const PAGE_KEY: usize = 6;

impl Span {
    /// Whether an entry belongs to what both have. An entry that cannot be read always does.
    fn covers(self, family: &str, key: &[u8], value: &[u8]) -> bool {
        let Self { base, first, tip } = self;
        let big = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).ok();
        let oldest_leaves = tip.saturating_add(1).saturating_sub(LEAVES_KEPT).max(first);
        let from = match family {
            // The first leaves go in every database, sooner or later.
            cf::LEAVES => big(key).map(|height| height >= oldest_leaves),
            _ if base == 0 => None,
            cf::HEIGHTS => big(value).map(|height| height == 0 || height > base),
            cf::TRANSACTIONS => local::decode::<Location>(value, MAX_LOCAL_VALUE)
                .ok()
                .map(|location| location.height >= first),
            cf::HISTORY => read_history_key(key).map(|place| place.height > base),
            cf::HISTORY_TREE => subtree_end(key).map(|end| end > first),
            cf::STATUS_PAGES => Some(key.len() == PAGE_KEY),
            cf::STATUS_CHANGES => key.last_chunk().map(|at| u64::from_be_bytes(*at) > base),
            _ => None,
        };
        from.unwrap_or(true)
    }
}

/// The leaf behind the last one of a subtree of at least two leaves; 0 for a single leaf.
fn subtree_end(key: &[u8]) -> Option<u64> {
    let (level, index) = key.split_first()?;
    let index = u64::from_be_bytes(index.try_into().ok()?);
    if *level == 0 {
        return Some(0);
    }
    index.checked_add(1)?.checked_mul(1u64.checked_shl((*level).into())?)
}

/// Both databases hold the same in this column family; gives how much.
pub(super) fn entries(
    view: &View<'_>,
    again: &View<'_>,
    family: &'static str,
    span: Span,
) -> Result<u64, VerifyError> {
    let differ = |what| VerifyError::Differs { family, what };
    let covered = |entry: &Result<crate::storage::Entry, StorageError>| {
        entry.as_ref().map_or(true, |(key, value)| span.covers(family, key, value))
    };
    let mut count = 0;
    let mut expected = again.entries(family, &[]).filter(covered);
    for found in view.entries(family, &[]).filter(covered) {
        let (found, expected) = (found?, expected.next().transpose()?);
        if expected != Some(found) {
            return Err(differ("an entry was changed, added or removed"));
        }
        count += 1;
    }
    if expected.next().is_some() {
        return Err(differ("an entry is missing"));
    }
    Ok(count)
}
