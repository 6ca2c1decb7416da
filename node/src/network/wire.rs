//! What two nodes say to each other outside the round: requests, answers, batches.
//!
//! bincode through `ledger::codec::local`, since only our own nodes read it. The first four
//! bytes name the kind, and the kind sets the cap that holds before anything else is read.
//! Blocks, certificates and transactions travel as their exact bytes and are not judged here.

use std::sync::Arc;

use bincode::{Decode, Encode};
use symbolon_ledger::{
    block::{Header, MAX_HEADER_BYTES, header_hash},
    codec::{DecodeError, local},
    hash::{BlockHash, Digest},
    transaction::MAX_TRANSACTION_BYTES,
};
use thiserror::Error;

use super::limits::{
    ANNOUNCE_FRAME_BYTES, BATCH_BYTES, BATCH_TRANSACTIONS, BODY_FRAME_BYTES, GOSSIP_ENVELOPE_BYTES,
    PART_FRAME_BYTES, SMALL_FRAME_BYTES, SYNC_BLOCKS, SYNC_FRAME_BYTES,
};

/// Length of the number in front of a frame that names its kind.
pub(super) const KIND_BYTES: usize = 4;

/// What one node asks or tells another.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) enum Request {
    /// Kind 0: my tip; what is yours?
    Status(Tip),
    /// Kind 1: I have this block, and here it is if it is small.
    Announce { block: [u8; 32], height: u64, body: Option<Arc<Vec<u8>>> },
    /// Kind 2: give me this block, decided or not.
    Body { block: [u8; 32], height: u64 },
    /// Kind 3: give me committed blocks, `from` to `to`, as many of them as you like.
    Blocks { from: u64, to: u64 },
    /// Kind 4: which snapshots do you have?
    Snapshots,
    /// Kind 5: give me a part of the snapshot of this height.
    SnapshotPart { height: u64, part: u64 },
}

/// What the other answers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) enum Response {
    /// Kind 0: my tip.
    Status(Tip),
    /// Kind 1: noted.
    Noted,
    /// Kind 2: the block, if I have it.
    Body(Option<Arc<Vec<u8>>>),
    /// Kind 3: blocks and their certificates in order, beginning at the first one asked for.
    /// Empty: I have none of them.
    Blocks(Vec<(Vec<u8>, Vec<u8>)>),
    /// Kind 4: you ask for too much at once; try again or ask another.
    Busy,
    /// Kind 5: the snapshots that I have, each by its height and the hash of its manifest.
    Snapshots(Vec<(u64, [u8; 32])>),
    /// Kind 6: the part, if I have it.
    SnapshotPart(Option<Vec<u8>>),
}

/// A node's last committed block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(super) struct Tip {
    pub(super) height: u64,
    pub(super) hash: [u8; 32],
}

/// Why bytes from a peer were refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum WireError {
    #[error("the stream ended within the frame's kind")]
    NoKind,
    #[error("kind {0} is unknown")]
    UnknownKind(u32),
    #[error(transparent)]
    Encoding(#[from] DecodeError),
    #[error("{count} blocks, more than the {SYNC_BLOCKS} allowed")]
    TooManyBlocks { count: usize },
    #[error("a batch of {count} transactions; it has 1 to {BATCH_TRANSACTIONS}")]
    BatchCount { count: usize },
    #[error("a batch of {bytes} bytes, more than the {BATCH_BYTES} allowed")]
    BatchBytes { bytes: usize },
    #[error("transaction {index} has {bytes} bytes; it has 1 to {MAX_TRANSACTION_BYTES}")]
    TransactionBytes { index: usize, bytes: usize },
}

/// Most bytes of a request of this kind, its kind included.
pub(super) fn request_cap(kind: u32) -> Result<usize, WireError> {
    match kind {
        0 | 2..=5 => Ok(SMALL_FRAME_BYTES),
        1 => Ok(ANNOUNCE_FRAME_BYTES),
        other => Err(WireError::UnknownKind(other)),
    }
}

/// Most bytes of an answer of this kind, its kind included.
pub(super) fn response_cap(kind: u32) -> Result<usize, WireError> {
    match kind {
        0 | 1 | 4 | 5 => Ok(SMALL_FRAME_BYTES),
        2 => Ok(BODY_FRAME_BYTES),
        6 => Ok(PART_FRAME_BYTES),
        3 => Ok(SYNC_FRAME_BYTES),
        other => Err(WireError::UnknownKind(other)),
    }
}

impl Request {
    pub(super) fn encode(&self) -> Vec<u8> {
        local::encode(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        Ok(local::decode(bytes, request_cap(kind_of(bytes)?)?)?)
    }
}

impl Response {
    pub(super) fn encode(&self) -> Vec<u8> {
        local::encode(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let response = local::decode(bytes, response_cap(kind_of(bytes)?)?)?;
        if let Self::Blocks(blocks) = &response
            && blocks.len() as u64 > SYNC_BLOCKS
        {
            return Err(WireError::TooManyBlocks { count: blocks.len() });
        }
        Ok(response)
    }
}

fn kind_of(bytes: &[u8]) -> Result<u32, WireError> {
    bytes.first_chunk::<KIND_BYTES>().map(|kind| u32::from_be_bytes(*kind)).ok_or(WireError::NoKind)
}

/// One gossiped batch of transactions.
pub(super) fn encode_batch(transactions: &Vec<Vec<u8>>) -> Vec<u8> {
    local::encode(transactions)
}

/// Reads a batch and checks its counts and sizes; the transactions themselves are not judged.
pub(super) fn decode_batch(bytes: &[u8]) -> Result<Vec<Vec<u8>>, WireError> {
    let framing = BATCH_TRANSACTIONS * size_of::<u64>() + GOSSIP_ENVELOPE_BYTES;
    let batch: Vec<Vec<u8>> = local::decode(bytes, BATCH_BYTES + framing)?;
    if batch.is_empty() || batch.len() > BATCH_TRANSACTIONS {
        return Err(WireError::BatchCount { count: batch.len() });
    }
    let total = batch.iter().map(Vec::len).sum::<usize>();
    if total > BATCH_BYTES {
        return Err(WireError::BatchBytes { bytes: total });
    }
    let wrong = |t: &Vec<u8>| t.is_empty() || t.len() > MAX_TRANSACTION_BYTES;
    match batch.iter().position(wrong) {
        Some(index) => Err(WireError::TransactionBytes { index, bytes: batch[index].len() }),
        None => Ok(batch),
    }
}

/// The header's bytes within a block's, without reading its transactions.
///
/// A block is the CBOR array `[header, transactions]` and the header a byte string of more than
/// 23 and at most [`MAX_HEADER_BYTES`] bytes, so its length stands in one byte or two.
fn header_bytes(block: &[u8]) -> Option<&[u8]> {
    const ARRAY_OF_TWO: u8 = 0x82;
    const BYTES_LENGTH_IN_ONE: u8 = 0x58;
    const BYTES_LENGTH_IN_TWO: u8 = 0x59;
    let (length, rest) = match block {
        [ARRAY_OF_TWO, BYTES_LENGTH_IN_ONE, n, rest @ ..] => (usize::from(*n), rest),
        [ARRAY_OF_TWO, BYTES_LENGTH_IN_TWO, high, low, rest @ ..] => {
            (usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        _ => return None,
    };
    if length > MAX_HEADER_BYTES { None } else { rest.get(..length) }
}

/// Whether these bytes begin with the header that `block` is the hash of. The transactions are
/// not looked at: whoever executes the block decodes it anyway.
pub(super) fn is_body_of(bytes: &[u8], block: &BlockHash) -> bool {
    header_bytes(bytes).is_some_and(|header| header_hash(header) == *block)
}

/// The header of a block, without a look at its transactions.
pub(super) fn header_of(block: &[u8]) -> Option<Header> {
    Header::decode(header_bytes(block)?).ok()
}

/// The height that a block claims.
pub(super) fn height_of(block: &[u8]) -> Option<u64> {
    header_of(block).map(|header| header.height)
}

/// The hash that travels as plain bytes.
pub(super) const fn hash_of(bytes: [u8; 32]) -> BlockHash {
    Digest(bytes)
}

#[cfg(test)]
mod tests {
    use symbolon_ledger::block::{Block, HEADER_VERSION, transactions_root};

    use super::*;

    fn block(height: u64) -> Block {
        let header = Header {
            version: HEADER_VERSION,
            chain_id: Digest([1; 32]),
            height,
            time_ms: 1,
            parent: Digest([2; 32]),
            history_root: Digest([3; 32]),
            transactions_root: transactions_root(&[]),
            state_root: Digest([4; 32]),
            validators_hash: Digest([5; 32]),
            next_validators_hash: Digest([6; 32]),
            proposer: None,
        };
        Block { header, transactions: Vec::new() }
    }

    #[test]
    fn the_header_is_found_within_the_block() {
        for height in [0, 7, u64::MAX] {
            let block = block(height);
            let bytes = block.encode();
            assert!(is_body_of(&bytes, &block.hash()));
            assert!(!is_body_of(&bytes, &Digest([9; 32])));
            assert_eq!(height_of(&bytes), Some(height));
        }
    }

    #[test]
    fn broken_blocks_have_no_header() {
        let whole = block(7).encode();
        for end in 0..100 {
            assert_eq!(height_of(&whole[..end]), None);
        }
        for bad in [&[][..], &[0x82], &[0x82, 0x59, 0xff, 0xff], &[0x83, 0x58, 0x01, 0x00]] {
            assert_eq!(header_bytes(bad), None);
        }
    }

    #[test]
    fn frames_read_back_and_others_are_refused() {
        let requests = [
            Request::Status(Tip { height: 3, hash: [7; 32] }),
            Request::Announce { block: [1; 32], height: 3, body: Some(Arc::new(vec![1, 2, 3])) },
            Request::Body { block: [1; 32], height: 3 },
            Request::Blocks { from: 1, to: u64::MAX },
            Request::Snapshots,
            Request::SnapshotPart { height: 7, part: 2 },
        ];
        for (kind, request) in requests.iter().enumerate() {
            let mut bytes = request.encode();
            assert_eq!(kind_of(&bytes), Ok(kind as u32));
            assert_eq!(Request::decode(&bytes).as_ref(), Ok(request));
            bytes.push(0);
            assert!(Request::decode(&bytes).is_err(), "trailing byte");
            bytes.truncate(bytes.len() - 2);
            assert!(Request::decode(&bytes).is_err(), "torn");
        }
        assert_eq!(Request::decode(&[0, 0, 0]), Err(WireError::NoKind));
        assert_eq!(Request::decode(&[0, 0, 0, 9]), Err(WireError::UnknownKind(9)));
        let long = vec![0; SMALL_FRAME_BYTES + 1];
        assert!(matches!(
            Request::decode(&long),
            Err(WireError::Encoding(DecodeError::TooLong { .. }))
        ));
    }

    /// The bytes of `docs/spec/network.md`: a change here is a change of the protocol's number.
    #[test]
    fn frames_have_the_bytes_of_the_specification() {
        let check = |bytes: Vec<u8>, parts: &[&[u8]]| assert_eq!(bytes, parts.concat());
        let (one, three) = (1u64.to_be_bytes(), 3u64.to_be_bytes());
        let body = Arc::new(vec![0xaa, 0xbb, 0xcc]);
        let tip = Tip { height: 3, hash: [7; 32] };
        check(Request::Status(tip).encode(), &[&[0, 0, 0, 0], &three, &[7; 32]]);
        let announce = |body| Request::Announce { block: [9; 32], height: 3, body }.encode();
        check(announce(None), &[&[0, 0, 0, 1], &[9; 32], &three, &[0]]);
        let with_body: [&[u8]; 6] = [&[0, 0, 0, 1], &[9; 32], &three, &[1], &three, &body];
        check(announce(Some(body.clone())), &with_body);
        let request = Request::Body { block: [9; 32], height: 3 };
        check(request.encode(), &[&[0, 0, 0, 2], &[9; 32], &three]);
        check(Request::Blocks { from: 1, to: 3 }.encode(), &[&[0, 0, 0, 3], &one, &three]);
        check(Response::Status(tip).encode(), &[&[0, 0, 0, 0], &three, &[7; 32]]);
        check(Response::Noted.encode(), &[&[0, 0, 0, 1]]);
        check(Response::Body(None).encode(), &[&[0, 0, 0, 2], &[0]]);
        check(Response::Body(Some(body.clone())).encode(), &[&[0, 0, 0, 2], &[1], &three, &body]);
        let blocks = Response::Blocks(vec![(body.to_vec(), vec![0xdd])]);
        check(blocks.encode(), &[&[0, 0, 0, 3], &one, &three, &body, &one, &[0xdd]]);
        check(Response::Busy.encode(), &[&[0, 0, 0, 4]]);
        check(Request::Snapshots.encode(), &[&[0, 0, 0, 4]]);
        let request = Request::SnapshotPart { height: 3, part: 1 };
        check(request.encode(), &[&[0, 0, 0, 5], &three, &one]);
        let snapshots = Response::Snapshots(vec![(3, [7; 32])]);
        check(snapshots.encode(), &[&[0, 0, 0, 5], &one, &three, &[7; 32]]);
        check(Response::SnapshotPart(None).encode(), &[&[0, 0, 0, 6], &[0]]);
        let part = Response::SnapshotPart(Some(body.to_vec()));
        check(part.encode(), &[&[0, 0, 0, 6], &[1], &three, &body]);
        check(encode_batch(&vec![body.to_vec()]), &[&one, &three, &body]);
    }

    #[test]
    fn answers_read_back_and_hostile_lengths_allocate_nothing() {
        let answers = [
            Response::Status(Tip { height: 3, hash: [7; 32] }),
            Response::Noted,
            Response::Body(None),
            Response::Blocks(vec![(vec![1], vec![2])]),
            Response::Busy,
            Response::Snapshots(vec![(1, [1; 32]), (2, [2; 32])]),
            Response::SnapshotPart(Some(vec![1])),
        ];
        for (kind, answer) in answers.iter().enumerate() {
            let bytes = answer.encode();
            assert_eq!(kind_of(&bytes), Ok(kind as u32));
            assert_eq!(Response::decode(&bytes).as_ref(), Ok(answer));
        }
        let mut hostile = 3u32.to_be_bytes().to_vec();
        hostile.extend(u64::MAX.to_be_bytes());
        assert!(Response::decode(&hostile).is_err());
        let many = Response::Blocks(vec![(vec![], vec![]); SYNC_BLOCKS as usize + 1]);
        assert_eq!(
            Response::decode(&many.encode()),
            Err(WireError::TooManyBlocks { count: SYNC_BLOCKS as usize + 1 })
        );
    }

    #[test]
    fn batches_are_held_to_their_bounds() {
        let check = |batch: Vec<Vec<u8>>, good: bool| {
            let bytes = encode_batch(&batch);
            assert_eq!(decode_batch(&bytes).is_ok(), good, "{} transactions", batch.len());
        };
        check(vec![vec![1], vec![2; MAX_TRANSACTION_BYTES]], true);
        check(vec![vec![1; BATCH_BYTES / BATCH_TRANSACTIONS]; BATCH_TRANSACTIONS], true);
        check(vec![], false);
        check(vec![vec![]], false);
        check(vec![vec![1; MAX_TRANSACTION_BYTES + 1]], false);
        check(vec![vec![1]; BATCH_TRANSACTIONS + 1], false);
        check(vec![vec![1; MAX_TRANSACTION_BYTES]; 5], false);
    }
}
