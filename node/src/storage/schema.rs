//! The one table of what lies where in the database.
//!
//! | column family | key | value |
//! |---|---|---|
//! | `meta` | a name of [`meta`] | see there |
//! | `headers` | height (8 bytes, big endian) | the header's exact bytes |
//! | `blocks` | height | the block's exact bytes, header included |
//! | `certificates` | height | the certificate's exact bytes |
//! | `heights` | block hash | height |
//! | `undecided` | height, block hash | bytes of a block that was proposed for that height |
//! | `state` | CBOR of a `StateKey` | the record's bytes |
//! | `pages` | place in the state tree (`symbolon_ledger::tree::page`): depth (1 byte), the bits that lead there in whole bytes | the page that stands there |
//! | `transactions` | transaction id | [`Location`], local encoding |
//! | `history` | cid, height, transaction's place, operation's place | [`StoredEvent`], local encoding |
//! | `history_tree` | level (1 byte), number in its level (8 bytes, big endian) | hash of a complete subtree over the blocks' hashes |
//! | `validator_sets` | height of the block that made the set; 0 for the founding | CBOR of the `ValidatorSet` |
//! | `status_pages` | province, block of slots (4 bytes) | its page (`symbolon_ledger::status_page`); none while all of it is zero |
//! | | province, list (3 bytes) | height at which the list last changed |
//! | `status_changes` | province, list (3 bytes), height | the statuses that this block replaced: 3 bytes each, index in the list times 4 plus the status before |
//! | `leaves` | height | the leaves of its transactions (id, hash of the signature: 64 bytes each), for the newest blocks only |
//! | `evidence` | province, height | CBOR of the `Equivocation` of that province at that height |
//!
//! Everything but `undecided` and `evidence` is written only in the one synced batch of a block, or
//! all at once from a snapshot; `prune.rs` removes what is too old. `history_tree` has a leaf (level
//! 0) only where the header itself is not kept. A change of any line here raises
//! [`SCHEMA_VERSION`].

use bincode::{Decode, Encode};
use symbolon_ledger::{
    codes::ProvinceCode,
    hash::{BlockHash, Cid, DIGEST_LEN},
};

/// Version of this table. A database with another one is refused.
pub const SCHEMA_VERSION: u32 = 6;
/// First bytes of the schema record, by which a database of ours is known.
pub const MAGIC: &[u8; 8] = b"symbolon";

/// Column family names.
pub mod cf {
    /// See the table above.
    pub const META: &str = "meta";
    /// See the table above.
    pub const HEADERS: &str = "headers";
    /// See the table above.
    pub const BLOCKS: &str = "blocks";
    /// See the table above.
    pub const CERTIFICATES: &str = "certificates";
    /// See the table above.
    pub const HEIGHTS: &str = "heights";
    /// See the table above.
    pub const UNDECIDED: &str = "undecided";
    /// See the table above.
    pub const STATE: &str = "state";
    /// See the table above.
    pub const PAGES: &str = "pages";
    /// See the table above.
    pub const TRANSACTIONS: &str = "transactions";
    /// See the table above.
    pub const HISTORY: &str = "history";
    /// See the table above.
    pub const HISTORY_TREE: &str = "history_tree";
    /// See the table above.
    pub const VALIDATOR_SETS: &str = "validator_sets";
    /// See the table above.
    pub const STATUS_PAGES: &str = "status_pages";
    /// See the table above.
    pub const STATUS_CHANGES: &str = "status_changes";
    /// See the table above.
    pub const EVIDENCE: &str = "evidence";
    /// See the table above.
    pub const LEAVES: &str = "leaves";

    /// What follows from blocks and certificates beside the state: the same on every node.
    pub const DERIVED: [&str; 9] = [
        HEIGHTS,
        PAGES,
        TRANSACTIONS,
        HISTORY,
        HISTORY_TREE,
        VALIDATOR_SETS,
        STATUS_PAGES,
        STATUS_CHANGES,
        LEAVES,
    ];

    /// All of them.
    pub const ALL: [&str; 16] = [
        META,
        HEADERS,
        BLOCKS,
        CERTIFICATES,
        HEIGHTS,
        UNDECIDED,
        STATE,
        PAGES,
        TRANSACTIONS,
        HISTORY,
        HISTORY_TREE,
        VALIDATOR_SETS,
        STATUS_PAGES,
        STATUS_CHANGES,
        EVIDENCE,
        LEAVES,
    ];
}

/// Keys of `meta`.
pub mod meta {
    /// [`super::MAGIC`], then [`super::SCHEMA_VERSION`] in 4 bytes, big endian.
    pub const SCHEMA: &[u8] = b"schema";
    /// The chain id, 32 bytes.
    pub const CHAIN: &[u8] = b"chain";
    /// Height of the newest block, 8 bytes, big endian.
    pub const TIP: &[u8] = b"tip";
    /// CBOR of the `log::Frontier` over the hashes of all blocks up to the tip.
    pub const FRONTIER: &[u8] = b"frontier";
    /// [`super::Kept`], local encoding; absent while everything is kept.
    pub const KEPT: &[u8] = b"kept";
}

/// From which heights on a node has the past. Zero where it has all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct Kept {
    /// Blocks and certificates. Block 0, and certificates of blocks that changed the validator
    /// set, are kept besides.
    pub blocks: u64,
    /// Headers, and the numbers of transactions. The headers that trust bundles need are kept
    /// besides.
    pub headers: u64,
    /// Events of licences, and what lists held before.
    pub events: u64,
}

/// Most bytes of a value of ours in the local encoding.
pub const MAX_LOCAL_VALUE: usize = 256;

/// Where a transaction lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Location {
    /// Height of its block.
    pub height: u64,
    /// Its place in the block.
    pub index: u32,
}

/// One event in a licence's history.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct StoredEvent {
    /// The transaction.
    pub transaction: [u8; DIGEST_LEN],
    /// The operation's name.
    pub event: String,
    /// The licence's status after it.
    pub status: String,
    /// The licence that it replaced or that replaced it.
    pub related: Option<[u8; DIGEST_LEN]>,
    /// CBOR of the `Actor` that signed the transaction.
    pub actor: Vec<u8>,
    /// Class of the revocation.
    pub revocation_class: Option<String>,
}

/// Key of a height.
#[must_use]
pub fn height_key(height: u64) -> [u8; 8] {
    height.to_be_bytes()
}

/// Key of an undecided block.
#[must_use]
pub fn undecided_key(height: u64, block: &BlockHash) -> Vec<u8> {
    [&height.to_be_bytes()[..], block.as_bytes()].concat()
}

/// Key of evidence against a province.
#[must_use]
pub fn evidence_key(province: ProvinceCode, height: u64) -> Vec<u8> {
    [province.as_str().as_bytes(), &height.to_be_bytes()].concat()
}

/// Where in the chain an event is. The order of places is the order of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventPlace {
    /// Height of the block.
    pub height: u64,
    /// The transaction's place in the block.
    pub transaction_index: u32,
    /// The operation's place in the transaction.
    pub operation_index: u32,
}

/// Key of an event in a licence's history.
#[must_use]
pub fn history_key(cid: &Cid, height: u64, transaction: u32, operation: u32) -> Vec<u8> {
    [
        &cid.as_bytes()[..],
        &height.to_be_bytes(),
        &transaction.to_be_bytes(),
        &operation.to_be_bytes(),
    ]
    .concat()
}

/// Where in the chain the event of a key of `history` is; none when it is no such key.
#[must_use]
pub fn read_history_key(key: &[u8]) -> Option<EventPlace> {
    let height = key.get(32..40)?.try_into().ok()?;
    let transaction_index = key.get(40..44)?.try_into().ok()?;
    let operation_index = key.get(44..48)?.try_into().ok()?;
    Some(EventPlace {
        height: u64::from_be_bytes(height),
        transaction_index: u32::from_be_bytes(transaction_index),
        operation_index: u32::from_be_bytes(operation_index),
    })
}
