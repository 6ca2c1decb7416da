//! The receipt: that a transaction is in a block that the provinces made final.
//!
//! Header and certificate stand in it as their exact bytes, so a receipt, once given, never
//! changes. How it is checked is `symbolon-verify`'s.

use minicbor::{Decode, Encode, bytes::ByteVec};

use crate::hash::{Digest, TransactionId};

/// Version of the receipt's form.
pub const RECEIPT_VERSION: u8 = 1;
/// Most bytes of a receipt: a header, a certificate and a path of 12 hashes take about 5 KiB.
pub const MAX_RECEIPT_BYTES: usize = 16 * 1024;

/// A receipt, as it is encoded. Nothing in it has been checked.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Receipt {
    /// [`RECEIPT_VERSION`].
    #[n(0)]
    pub version: u8,
    /// The transaction.
    #[n(1)]
    pub transaction: TransactionId,
    /// SHA-256 of the signature with which it was committed.
    #[n(2)]
    pub signature_hash: Digest,
    /// Its place in the block.
    #[n(3)]
    pub index: u64,
    /// How many transactions the block has.
    #[n(4)]
    pub size: u64,
    /// Path from its leaf to the header's `transactions_root` (RFC 9162, section 2.1.3).
    #[n(5)]
    pub path: Vec<Digest>,
    /// The header's exact bytes.
    #[n(6)]
    pub header: ByteVec,
    /// The certificate's exact bytes.
    #[n(7)]
    pub certificate: ByteVec,
}
