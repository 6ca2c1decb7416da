//! Snapshots: the whole state of a fixed height as files, from which a new node begins.
//!
//! A snapshot has three kinds of parts. The *bundle* leads from the founding validators to the
//! certified header of its height. The *manifest* names the hash of each of the last blocks and
//! what stands at each place of the state tree that a chunk covers; both must lead to that header
//! ([`manifest`]). The *chunks* are the headers with their transactions' leaves, and then the
//! records, in the order of their keys. So every chunk is checked by itself, in any order, whoever
//! sent it, and nothing is believed but the founding document and the signatures of validators.
//!
//! [`make`] writes one, [`folder`] keeps and reads them, [`own`] holds one against the own chain. A database is made from one in
//! `storage/restore.rs`; fetching one is `crate::join`; when they are made is `crate::keeper`.
//! The specification is `docs/spec/snapshot.md`.

pub mod folder;
pub mod make;
pub mod manifest;
pub mod own;
pub mod trust;

pub use folder::{Shelf, Snapshot};
pub use manifest::{Checked, Flaw};

use symbolon_ledger::{block::MAX_BLOCK_BYTES, transaction::VALIDITY_WINDOW};

/// How many snapshots a node keeps: while the newest is made and announced, others still fetch the
/// one before.
pub const SNAPSHOTS_KEPT: usize = 2;
/// Most bytes of a chunk: small enough that a bad one costs little, large enough that a million
/// licences are some hundreds of requests.
pub const CHUNK_BYTES: usize = 512 * 1024;
/// Most bytes of bundle and manifest: what one answer of the exchange may hold. A manifest of this
/// size names 100,000 chunks, 50 GiB of state.
pub const MAX_PART_BYTES: usize = MAX_BLOCK_BYTES;
/// How many headers are carried, that of the snapshot included: the window of blocks in which a
/// transaction could be a replay.
pub const HEADERS_CARRIED: u64 = VALIDITY_WINDOW;
/// Number of the bundle among a snapshot's parts.
pub const BUNDLE: u64 = 0;
/// Number of the manifest.
pub const MANIFEST: u64 = 1;
/// Number of the first chunk.
pub const FIRST_CHUNK: u64 = 2;

/// The first height whose header is carried by the snapshot of `height`.
#[must_use]
pub const fn first_header(height: u64) -> u64 {
    height.saturating_sub(HEADERS_CARRIED - 1)
}
