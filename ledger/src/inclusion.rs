//! The inclusion: that a block is in the history of a later one.
//!
//! Every header commits to all earlier blocks (`history_root`). So whoever believes one header can
//! be shown any block before it, however long ago the set of validators that signed it is gone.
//! How it is checked is `symbolon-verify`'s; the tree is [`crate::log`]'s.

use minicbor::{Decode, Encode, bytes::ByteVec};

use crate::hash::Digest;

/// Version of the inclusion's form.
pub const INCLUSION_VERSION: u8 = 1;
/// Most bytes of an inclusion: a header of 512 bytes and a path of 64 hashes take 2.7 KiB.
pub const MAX_INCLUSION_BYTES: usize = 4 * 1024;

/// An inclusion, as it is encoded. Nothing in it has been checked.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Inclusion {
    /// [`INCLUSION_VERSION`].
    #[n(0)]
    pub version: u8,
    /// The earlier header's exact bytes. Its height is its place among the leaves.
    #[n(1)]
    pub header: ByteVec,
    /// The later header's height: the number of leaves under its `history_root`.
    #[n(2)]
    pub size: u64,
    /// Path from the leaf to the later header's `history_root` (RFC 9162, section 2.1.3).
    #[n(3)]
    pub path: Vec<Digest>,
}
