//! What people write: transactions and founding documents.

use std::sync::LazyLock;

use serde_json::Value;
use symbolon_genesis::Genesis;
use symbolon_ledger::{
    codec,
    keys::{PublicKey, SecretKey},
    operation::Operation,
    transaction::{MAX_TRANSACTION_BYTES, Payload, SignedTransaction},
};

use super::{from_hex, list_at, text_at, vectors};

static LEDGER: LazyLock<Value> =
    LazyLock::new(|| vectors(include_str!("../../vectors/ledger.json")));

/// The vectors' transaction, and one for each of their operations, signed by the same key.
static SIGNED: LazyLock<Vec<SignedTransaction>> = LazyLock::new(|| {
    let given = from_hex(text_at(&LEDGER, "/transaction/bytes"));
    let given = SignedTransaction::decode(&given).expect("the vectors have a transaction");
    let seed = from_hex(text_at(&LEDGER, "/transaction/seed"));
    let key = SecretKey::from_seed(&seed.try_into().expect("a seed has 32 bytes"));
    let operation = |o: &Value| -> Operation {
        codec::decode(&from_hex(text_at(o, "/cbor")), MAX_TRANSACTION_BYTES)
            .expect("the vectors have operations")
    };
    let sign = |o: &Value| {
        let payload = Payload { operations: vec![operation(o)], ..given.payload().clone() };
        SignedTransaction::sign(&payload, &key).expect("one operation is not too many")
    };
    let others: Vec<SignedTransaction> = list_at(&LEDGER, "/operations").iter().map(sign).collect();
    [given].into_iter().chain(others).collect()
});

static SIGNER: LazyLock<PublicKey> = LazyLock::new(|| {
    let key = from_hex(text_at(&LEDGER, "/transaction/public_key"));
    PublicKey::from_bytes(&key).expect("the vectors have a key")
});

/// A transaction has one spelling, and only its own key signed it.
pub(super) fn transaction(bytes: &[u8]) -> bool {
    let Ok(read) = SignedTransaction::decode(bytes) else { return false };
    assert!(bytes.len() <= MAX_TRANSACTION_BYTES, "longer than what is read");
    assert_eq!(read.as_bytes(), bytes, "another spelling");
    let payload = codec::encode(read.payload());
    let again: Result<Payload, _> = codec::decode(&payload, MAX_TRANSACTION_BYTES);
    assert_eq!(again.as_ref(), Ok(read.payload()), "a payload that does not read back");
    if read.clone().verify(&SIGNER).is_ok() {
        assert!(SIGNED.contains(&read), "a transaction that nobody signed");
    }
    true
}

/// The transactions that are signed.
pub(super) fn transaction_seeds() -> Vec<Vec<u8>> {
    SIGNED.iter().map(|signed| signed.as_bytes().to_vec()).collect()
}

/// A founding document reads back the same from what it is written as, and one that is refused
/// says why.
pub(super) fn genesis(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match Genesis::parse(text) {
        Ok(genesis) => {
            let again = Genesis::parse(&genesis.to_toml());
            assert_eq!(again.as_ref(), Ok(&genesis), "a document that does not read back");
            true
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            let lines = text.lines().count() + 1;
            let of_text = |line| (1..=lines).contains(&line);
            assert!(
                problems.iter().all(|p| p.line.is_none_or(of_text)),
                "a line that is not there"
            );
            false
        }
    }
}

/// The vectors' document.
pub(super) fn genesis_seeds() -> Vec<Vec<u8>> {
    vec![include_bytes!("../../vectors/genesis.toml").to_vec()]
}
