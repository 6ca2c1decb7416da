//! Checking a receipt: that a transaction is in a block that the provinces made final.
//!
//! A transaction is in a block only if all its operations applied, so a receipt says both.

use symbolon_ledger::{
    codec::{self, DecodeError},
    hash::{Digest, TransactionId},
    log::{leaf_hash, root_from_path},
    receipt::{MAX_RECEIPT_BYTES, RECEIPT_VERSION, Receipt},
};
use thiserror::Error;

use crate::trust::{CheckedHeader, HeaderError, Trust};

/// Why a receipt proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReceiptError {
    /// Not a receipt.
    #[error("the receipt cannot be read: {0}")]
    Encoding(DecodeError),
    /// A form that this program does not know.
    #[error("receipt version {0} is unknown; a newer verifier is needed")]
    Version(u8),
    /// Its header is not believed.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The path does not fit a block of that many transactions.
    #[error("the path does not fit place {index} of {size} transactions")]
    Path {
        /// Place that the receipt names.
        index: u64,
        /// Number of transactions that it names.
        size: u64,
    },
    /// The path leads to another root than the header's.
    #[error("the transaction is not at that place of the block")]
    NotInBlock,
}

/// A receipt that holds. There is no other way to make one than [`check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedReceipt {
    transaction: TransactionId,
    signature_hash: Digest,
    index: u64,
    header: CheckedHeader,
}

impl CheckedReceipt {
    /// The transaction that is final.
    #[must_use]
    pub fn transaction(&self) -> TransactionId {
        self.transaction
    }

    /// SHA-256 of the signature with which it was committed.
    #[must_use]
    pub fn signature_hash(&self) -> Digest {
        self.signature_hash
    }

    /// Its place in the block.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The block's header.
    #[must_use]
    pub fn header(&self) -> &CheckedHeader {
        &self.header
    }
}

/// Checks a receipt's exact bytes.
///
/// ```
/// # use symbolon_verify::{receipt::{ReceiptError, check}, trust::Trust};
/// # fn f(trust: &Trust) {
/// assert!(matches!(check(b"nonsense", trust), Err(ReceiptError::Encoding(_))));
/// # }
/// ```
///
/// # Errors
///
/// [`ReceiptError`]; a receipt from below the pin needs [`check_included`].
pub fn check(bytes: &[u8], trust: &Trust) -> Result<CheckedReceipt, ReceiptError> {
    check_included(bytes, trust, None)
}

/// As [`check`], with the exact bytes of the inclusion of the receipt's block under the pinned
/// one.
///
/// # Errors
///
/// [`ReceiptError`].
pub fn check_included(
    bytes: &[u8],
    trust: &Trust,
    inclusion: Option<&[u8]>,
) -> Result<CheckedReceipt, ReceiptError> {
    let receipt: Receipt =
        codec::decode(bytes, MAX_RECEIPT_BYTES).map_err(ReceiptError::Encoding)?;
    if receipt.version != RECEIPT_VERSION {
        return Err(ReceiptError::Version(receipt.version));
    }
    let header = trust.check_header(&receipt.header, Some(&receipt.certificate), inclusion)?;
    let Receipt { transaction, signature_hash, index, size, path, .. } = receipt;
    let leaf = [*transaction.as_bytes(), *signature_hash.as_bytes()].concat();
    let root = root_from_path(leaf_hash(&leaf), index, size, &path)
        .ok_or(ReceiptError::Path { index, size })?;
    if root != header.header().transactions_root {
        return Err(ReceiptError::NotInBlock);
    }
    Ok(CheckedReceipt { transaction, signature_hash, index, header })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use symbolon_ledger::{codec::encode, hash::sha256, log};

    use super::*;
    use crate::samples::{Network, flips::for_every_bit};

    fn leaf(i: u64) -> (Digest, Digest) {
        (sha256(&[b"transaction", &i.to_be_bytes()[..]].concat()), sha256(&i.to_be_bytes()))
    }

    fn receipt(network: &Network, index: u64, size: u64) -> Receipt {
        let leaves: Vec<Digest> = (0..size)
            .map(leaf)
            .map(|(id, sig)| leaf_hash(&[*id.as_bytes(), *sig.as_bytes()].concat()))
            .collect();
        let header = network.header(7, log::root(&leaves), Digest([4; 32]));
        let (transaction, signature_hash) = leaf(index);
        Receipt {
            version: RECEIPT_VERSION,
            transaction,
            signature_hash,
            index,
            size,
            path: log::path(&leaves, usize::try_from(index).unwrap()).unwrap(),
            header: encode(&header).into(),
            certificate: encode(&network.certify(&header, &[0, 2, 3])).into(),
        }
    }

    #[test]
    fn receipts_of_every_place_hold() {
        let network = Network::new();
        for (index, size) in [(0, 1), (0, 2), (1, 2), (4, 5), (2, 7)] {
            let given = receipt(&network, index, size);
            let checked = check(&encode(&given), &network.trust()).unwrap();
            assert_eq!(checked.transaction(), given.transaction);
            assert_eq!((checked.index(), checked.header().header().height), (index, 7));
        }
    }

    #[test]
    fn every_way_to_fail_has_its_own_error() {
        let network = Network::new();
        let good = receipt(&network, 2, 5);
        let fails = |receipt: &Receipt| check(&encode(receipt), &network.trust()).unwrap_err();
        assert_eq!(fails(&Receipt { version: 2, ..good.clone() }), ReceiptError::Version(2));
        let other = Receipt { transaction: sha256(b"another"), ..good.clone() };
        assert_eq!(fails(&other), ReceiptError::NotInBlock);
        let other = Receipt { signature_hash: sha256(b"another"), ..good.clone() };
        assert_eq!(fails(&other), ReceiptError::NotInBlock);
        let moved = Receipt { index: 3, ..good.clone() };
        assert_eq!(fails(&moved), ReceiptError::NotInBlock);
        let outside = Receipt { index: 5, ..good.clone() };
        assert_eq!(fails(&outside), ReceiptError::Path { index: 5, size: 5 });
        let short = Receipt { path: good.path[1..].to_vec(), ..good.clone() };
        assert_eq!(fails(&short), ReceiptError::Path { index: 2, size: 5 });
        let uncertified = Receipt { certificate: vec![0xa0].into(), ..good.clone() };
        assert!(matches!(
            fails(&uncertified),
            ReceiptError::Header(HeaderError::CertificateEncoding(_))
        ));

        let mut trailing = encode(&good);
        trailing.push(0);
        let refused = check(&trailing, &network.trust());
        assert!(matches!(refused, Err(ReceiptError::Encoding(_))));
        let long = vec![0; MAX_RECEIPT_BYTES + 1];
        let refused = check(&long, &network.trust());
        assert!(matches!(refused, Err(ReceiptError::Encoding(DecodeError::TooLong { .. }))));
    }

    #[test]
    fn no_flipped_bit_of_a_receipt_is_believed_to_say_something_else() {
        let network = Network::new();
        let (good, trust) = (receipt(&network, 2, 5), network.trust());
        let bytes = encode(&good);
        let held = check(&bytes, &trust).unwrap();
        let mut believed = Vec::new();
        for_every_bit(&bytes, |place, bytes| {
            if let Ok(checked) = check(bytes, &trust) {
                assert_eq!(checked, held, "{place}");
                believed.push(bytes.to_vec());
            }
        });
        // The number of transactions alone is not committed to, and is not handed on: the path of
        // place 2 is the same among 5 and among 7.
        assert_eq!(believed, [encode(&Receipt { size: 7, ..good })]);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(check(&bytes, &Network::new().trust()).is_err());
        }
    }
}
