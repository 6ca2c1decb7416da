//! What an applied operation did, for histories, indices and listeners.
//!
//! Events are derived from the blocks: they are no part of the authenticated state, and nothing
//! is decided by them.

use symbolon_ledger::{hash::Cid, records::LicenceRecord};

/// One thing that an operation did: one a licence touched, one for any other operation, and before
/// that of an approval one for the action that took effect by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Place of the operation in its transaction.
    pub operation_index: usize,
    /// Name of the operation, or of the action.
    pub name: &'static str,
    /// The licence touched.
    pub cid: Option<Cid>,
    /// That licence after the operation.
    pub licence_after: Option<LicenceRecord>,
    /// The licence that took its place, or whose place it took.
    pub related: Option<Cid>,
}
