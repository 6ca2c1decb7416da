//! Receipts and state proofs: whoever cannot sign proves nothing but what the vectors prove.

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::Value;
use symbolon_ledger::{block::Header, codec, hash::Digest, validators::ValidatorSet};
use symbolon_verify::{receipt as receipts, state_proof as state_proofs, trust::Trust};

use super::{from_hex, list_at, text_at, vectors};

static RECEIPTS: LazyLock<Value> =
    LazyLock::new(|| vectors(include_str!("../../vectors/receipts.json")));
static STATE_PROOFS: LazyLock<Value> =
    LazyLock::new(|| vectors(include_str!("../../vectors/state-proofs.json")));

/// Most bytes of a validator set in the vectors.
const MAX_SET_BYTES: usize = 16 * 1024;

/// What the vectors vouch for.
struct Facts {
    trust: Trust,
    blocks: Vec<Digest>,
    /// (transaction, hash of its signature).
    transactions: Vec<(Digest, Digest)>,
    /// The records at some keys' bytes; none where nothing stands.
    entries: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

fn digest(text: &str) -> Digest {
    text.parse().expect("the vectors have digests")
}

fn facts(vectors: &Value) -> Facts {
    let set = from_hex(text_at(vectors, "/trust/validators_cbor"));
    let validators: ValidatorSet =
        codec::decode(&set, MAX_SET_BYTES).expect("the vectors have a validator set");
    let genesis = Header::decode(&from_hex(text_at(vectors, "/trust/genesis_header")))
        .expect("the vectors have a founding block");
    let valid = list_at(vectors, "/valid");
    let named = |v: &Value, name: &str| v.get(name).and_then(Value::as_str).map(digest);
    let entries = valid.iter().filter_map(|v| v["entries"].as_array()).flatten();
    Facts {
        trust: Trust::founded(&genesis, validators).expect("the vectors' founding block"),
        blocks: valid.iter().filter_map(|v| named(v, "block").or(named(v, "state_root"))).collect(),
        transactions: valid
            .iter()
            .filter_map(|v| Some((named(v, "transaction")?, named(v, "signature_hash")?)))
            .collect(),
        entries: entries
            .map(|e| (from_hex(text_at(e, "/key")), e["record"].as_str().map(from_hex)))
            .collect(),
    }
}

fn seeds(vectors: &Value) -> Vec<Vec<u8>> {
    list_at(vectors, "/valid").iter().map(|v| from_hex(text_at(v, "/cbor"))).collect()
}

/// A receipt that holds has one spelling, and is of a transaction that the vectors have.
pub(super) fn receipt(bytes: &[u8]) -> bool {
    static FACTS: LazyLock<Facts> = LazyLock::new(|| facts(&RECEIPTS));
    let Ok(checked) = receipts::check(bytes, &FACTS.trust) else { return false };
    assert!(FACTS.blocks.contains(&checked.header().hash()), "a header that nobody signed");
    let transaction = (checked.transaction(), checked.signature_hash());
    assert!(FACTS.transactions.contains(&transaction), "a transaction in no block");
    true
}

/// Every receipt of the vectors.
pub(super) fn receipt_seeds() -> Vec<Vec<u8>> {
    seeds(&RECEIPTS)
}

/// A state proof that holds says of each key what the vectors say; of one that they do not have,
/// only that nothing stands there.
pub(super) fn state_proof(bytes: &[u8]) -> bool {
    static FACTS: LazyLock<Facts> = LazyLock::new(|| facts(&STATE_PROOFS));
    let Ok(checked) = state_proofs::check(bytes, &FACTS.trust) else { return false };
    let root = checked.header().header().state_root;
    assert!(FACTS.blocks.contains(&root), "a state that nobody signed");
    for (key, record) in checked.entries() {
        match FACTS.entries.get(&key.encode()) {
            Some(known) => assert_eq!(record, known, "another record at {key:?}"),
            None => assert_eq!(*record, None, "a record at {key:?}, where nothing stands"),
        }
    }
    true
}

/// Every state proof of the vectors.
pub(super) fn state_proof_seeds() -> Vec<Vec<u8>> {
    seeds(&STATE_PROOFS)
}
