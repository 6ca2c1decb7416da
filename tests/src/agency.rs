//! An agency of a development network that signs by itself, without the command line: for tests in
//! which it matters what is said to which node at which moment.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use rand::RngExt as _;
use serde_json::Value;
use symbolon_ledger::{
    codes::Uscc,
    hash::{ChainId, Digest, TransactionId},
    keys::SecretKey,
    operation::{Actor, NewLicence, Operation},
    transaction::{PAYLOAD_VERSION, Payload, SignedTransaction},
};

use crate::devnet::{Devnet, agent, get};

/// Heights for which what it signs is valid: longer than any test goes on.
const VALID_FOR: u64 = 5_000;
/// Credential key of a devnet's agency.
const CREDENTIAL_KEY: u32 = 1;
/// Asks a node to answer once the transaction is committed.
pub const COMMITTED: &str = "?wait=commit&timeout_ms=60000";

/// The agency.
#[derive(Debug)]
pub struct Agency {
    /// Its credit code.
    pub code: Uscc,
    key: SecretKey,
    chain: ChainId,
    valid_until_height: u64,
    slots: AtomicU32,
}

impl Agency {
    /// That of a province. It begins with the first slot of its lists, so nobody else may sign for
    /// it in the same network.
    ///
    /// # Panics
    ///
    /// When the network is not as it was founded, or its node does not answer.
    #[must_use]
    pub fn of(net: &Devnet, province: &str) -> Self {
        let agency = net.agency(province);
        let key = std::fs::read_to_string(&agency.key_file).expect("the agency's key is there");
        let height = net.height(province).expect("the node answers");
        Self {
            code: agency.uscc.parse().expect("a credit code"),
            key: SecretKey::from_pem(&key).expect("a key"),
            chain: net.file.chain_id.parse().expect("a chain"),
            valid_until_height: height + VALID_FOR,
            slots: AtomicU32::new(0),
        }
    }

    /// Signs these operations.
    ///
    /// # Panics
    ///
    /// When they do not fit into one transaction.
    #[must_use]
    pub fn sign(&self, operations: Vec<Operation>) -> SignedTransaction {
        let payload = Payload {
            version: PAYLOAD_VERSION,
            chain_id: self.chain,
            actor: Actor::Agency(self.code),
            key_id: 0,
            nonce: rand::rng().random(),
            valid_until_height: self.valid_until_height,
            operations,
        };
        SignedTransaction::sign(&payload, &self.key).expect("it fits")
    }

    /// Reserves so many blocks of 4,096 slots.
    #[must_use]
    pub fn reserve(&self, blocks: u16) -> SignedTransaction {
        self.sign(vec![Operation::ReserveSlots { agency: self.code, blocks }])
    }

    /// The issue of a credential, in the next slot.
    ///
    /// # Panics
    ///
    /// Never: the type is one of the devnet.
    #[must_use]
    pub fn issue(&self, inner: Digest) -> Operation {
        let licence = NewLicence {
            inner,
            licence_type: "local:driving-licence".parse().expect("a type of the devnet"),
            credential_key: CREDENTIAL_KEY,
            slot: self.slots.fetch_add(1, SeqCst),
            expiry: None,
            lineage: any(),
        };
        Operation::Issue { licence }
    }
}

/// A digest like no other.
#[must_use]
pub fn any() -> Digest {
    Digest(rand::rng().random())
}

/// What a node answers to a transaction, at once or as `query` asks it to.
///
/// # Panics
///
/// When it does not answer in JSON.
#[must_use]
pub fn submit(origin: &str, query: &str, transaction: &SignedTransaction) -> (u16, Value) {
    let post = agent().post(format!("{origin}/v1/transactions{query}"));
    let sent = post.header("content-type", "application/cose").send(transaction.as_bytes());
    let mut answer = sent.expect("the node answers");
    (answer.status().as_u16(), answer.body_mut().read_json().expect("it answers in JSON"))
}

/// Has a transaction committed; its height.
///
/// # Panics
///
/// When it is not.
pub fn commit(origin: &str, transaction: &SignedTransaction) -> u64 {
    let (status, answer) = submit(origin, COMMITTED, transaction);
    assert_eq!(status, 200, "{answer}");
    answer["height"].as_u64().expect("a height")
}

/// The height at which a node has a transaction, if it has.
///
/// # Panics
///
/// When it does not answer.
#[must_use]
pub fn height_of(origin: &str, id: TransactionId) -> Option<u64> {
    let standing = get(&format!("{origin}/v1/transactions/{id}")).expect("the node answers").1;
    (standing["state"] == "committed").then(|| standing["height"].as_u64().expect("a height"))
}
