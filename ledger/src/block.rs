//! Blocks: a header, which the provinces sign, and the transactions it commits to.
//!
//! A block is its header and the exact bytes of its transactions. Its name is the hash of the
//! header alone; the body is bound by `transactions_root`, the outcome by `state_root` of the
//! *same* block.

use minicbor::{Decode, Decoder, Encode, bytes::ByteVec};
use thiserror::Error;

use crate::{
    codec::{self, DecodeError},
    codes::ProvinceCode,
    hash::{BlockHash, ChainId, Digest, TransactionId, domain, tagged_hash},
    log,
    transaction::{SignedTransaction, TransactionError},
};

/// Version of the header's form.
pub const HEADER_VERSION: u8 = 1;
/// Most bytes of a header; one takes about 300.
pub const MAX_HEADER_BYTES: usize = 512;
/// Most bytes of a block's body.
pub const MAX_BLOCK_BYTES: usize = 4 * 1024 * 1024;
/// Most transactions of a block.
pub const MAX_BLOCK_TRANSACTIONS: usize = 4_096;

/// A block's header.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Header {
    /// [`HEADER_VERSION`].
    #[n(0)]
    pub version: u8,
    /// The chain.
    #[n(1)]
    pub chain_id: ChainId,
    /// Number of the block; 0 is the founding block.
    #[n(2)]
    pub height: u64,
    /// Milliseconds since 1970-01-01T00:00:00Z, greater than the parent's.
    #[n(3)]
    pub time_ms: u64,
    /// Hash of the block before; zero for block 0.
    #[n(4)]
    pub parent: BlockHash,
    /// RFC 9162 tree over the hashes of blocks 0 to `height - 1`.
    #[n(5)]
    pub history_root: Digest,
    /// RFC 9162 tree over the transactions' leaves.
    #[n(6)]
    pub transactions_root: Digest,
    /// Root of the authenticated state after this block.
    #[n(7)]
    pub state_root: Digest,
    /// Hash of the set that votes on this block.
    #[n(8)]
    pub validators_hash: Digest,
    /// Hash of the set that votes on the next one.
    #[n(9)]
    pub next_validators_hash: Digest,
    /// Whoever proposed it first; none in block 0.
    #[n(10)]
    pub proposer: Option<ProvinceCode>,
}

impl Header {
    /// The block's name.
    #[must_use]
    pub fn hash(&self) -> BlockHash {
        header_hash(&codec::encode(self))
    }

    /// Reads a header's exact bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes, MAX_HEADER_BYTES)
    }
}

/// The name of the block whose header has these bytes.
#[must_use]
pub fn header_hash(header: &[u8]) -> BlockHash {
    tagged_hash(domain::BLOCK, &[header])
}

/// A block as it travels and rests: header and transactions, each as its exact bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// The transactions, in the order of execution.
    pub transactions: Vec<SignedTransaction>,
}

/// Why bytes are not a block.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BlockError {
    /// Too long, malformed, or not deterministic.
    #[error(transparent)]
    Encoding(#[from] DecodeError),
    /// More transactions than a block may have.
    #[error("{0} transactions; a block has at most {MAX_BLOCK_TRANSACTIONS}")]
    TooMany(usize),
    /// A transaction is malformed.
    #[error("transaction {index}: {source}")]
    Transaction {
        /// Its place in the block.
        index: usize,
        /// What is wrong with it.
        source: TransactionError,
    },
    /// The transactions are not those that the header commits to.
    #[error("the transactions do not match the header's transactions_root")]
    TransactionsRoot,
}

#[derive(Encode, Decode)]
struct WireBlock {
    #[n(0)]
    header: ByteVec,
    #[n(1)]
    transactions: Vec<ByteVec>,
}

impl Block {
    /// The block's name.
    #[must_use]
    pub fn hash(&self) -> BlockHash {
        self.header.hash()
    }

    /// `[header, [transaction...]]`, each a byte string.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(&WireBlock {
            header: codec::encode(&self.header).into(),
            transactions: self.transactions.iter().map(|t| t.as_bytes().to_vec().into()).collect(),
        })
    }

    /// Reads a block and checks that its transactions are those of its header. Signatures and
    /// rules are not checked here.
    ///
    /// # Errors
    ///
    /// [`BlockError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BlockError> {
        Self::decode_with(bytes, |_| None)
    }

    /// The same, with transactions that are read already: see
    /// [`SignedTransaction::decode_unless_known`].
    ///
    /// # Errors
    ///
    /// [`BlockError`].
    pub fn decode_with(
        bytes: &[u8],
        known: impl Fn(&TransactionId) -> Option<SignedTransaction>,
    ) -> Result<Self, BlockError> {
        check_transaction_count(bytes)?;
        let wire: WireBlock = codec::decode(bytes, MAX_BLOCK_BYTES)?;
        let header = Header::decode(&wire.header)?;
        let transactions = wire
            .transactions
            .iter()
            .enumerate()
            .map(|(index, bytes)| {
                SignedTransaction::decode_unless_known(bytes, &known)
                    .map_err(|source| BlockError::Transaction { index, source })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if transactions_root(&transactions) != header.transactions_root {
            return Err(BlockError::TransactionsRoot);
        }
        Ok(Self { header, transactions })
    }
}

/// Checks the number of transactions that a block announces before any is read: an empty one takes
/// one byte, and many times that in memory.
fn check_transaction_count(block: &[u8]) -> Result<(), BlockError> {
    let malformed = |e: minicbor::decode::Error| DecodeError::Malformed(e.to_string());
    let mut d = Decoder::new(block);
    d.array().map_err(malformed)?;
    d.bytes().map_err(malformed)?;
    let announced = d.array().map_err(malformed)?.ok_or(DecodeError::NotDeterministic)?;
    let count = usize::try_from(announced).unwrap_or(usize::MAX);
    if count > MAX_BLOCK_TRANSACTIONS {
        return Err(BlockError::TooMany(count));
    }
    Ok(())
}

/// RFC 9162 root over the leaves of `transactions`.
#[must_use]
pub fn transactions_root(transactions: &[SignedTransaction]) -> Digest {
    log::root(&transactions.iter().map(|t| log::leaf_hash(&t.leaf())).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_are_counted_before_any_is_read() {
        let check = |bytes: &[u8], expected: BlockError| {
            assert_eq!(Block::decode(bytes), Err(expected), "{bytes:02x?}");
        };
        // The header is no header, and nothing stands in the array: neither is looked at.
        check(&[0x82, 0x40, 0x99, 0x10, 0x01], BlockError::TooMany(4_097));
        let most = [0x82, 0x40, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        check(&most, BlockError::TooMany(usize::MAX));
        check(&[0x82, 0x40, 0x9f, 0xff], DecodeError::NotDeterministic.into());
        let at_the_bound = Block::decode(&[0x82, 0x40, 0x99, 0x10, 0x00]);
        assert!(matches!(at_the_bound, Err(BlockError::Encoding(DecodeError::Malformed(_)))));
    }
}
