//! `docs/spec/verify.mjs` against the vectors, and against `symbolon-verify` on damaged bytes.
//!
//! The program was written from the specification alone. Where it and the library part, one of them
//! or the specification is wrong.

use serde_json::{Map, Value, json};
use symbolon_ledger::{
    block::Header,
    codec,
    hash::sha256,
    state::map_key,
    state_proof::{OtherLeaf, StateProof},
    validators::ValidatorSet,
};
use symbolon_verify::{receipt, state_proof, trust::Trust};
use tempfile::TempDir;

use crate::programs::{answer, node};

pub(crate) const RECEIPTS: &str = include_str!("../../vectors/receipts.json");
pub(crate) const STATE_PROOFS: &str = include_str!("../../vectors/state-proofs.json");

/// Most bytes of a validator set in the vectors.
const MAX_SET_BYTES: usize = 16 * 1024;

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// What the JavaScript verifier says of each case.
pub(crate) fn ask(given: &Value) -> Vec<Value> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("cases.json");
    std::fs::write(&file, given.to_string()).unwrap();
    let answers = answer(&node("tests/interop/proofs.mjs", &[file]));
    answers.as_array().unwrap().clone()
}

pub(crate) fn vectors(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

pub(crate) fn trust_of(vectors: &Value) -> Trust {
    let trust = &vectors["trust"];
    let genesis = from_hex(trust["genesis_header"].as_str().unwrap());
    let set = from_hex(trust["validators_cbor"].as_str().unwrap());
    let validators: ValidatorSet = codec::decode(&set, MAX_SET_BYTES).unwrap();
    Trust::founded(&Header::decode(&genesis).unwrap(), validators).unwrap()
}

#[test]
fn javascript_says_of_every_vector_what_the_vectors_say() {
    for (kind, text) in [("receipt", RECEIPTS), ("state-proof", STATE_PROOFS)] {
        let vectors = vectors(text);
        let (valid, refused) = (vectors["valid"].as_array(), vectors["refused"].as_array());
        let all: Vec<&Value> = valid.unwrap().iter().chain(refused.unwrap()).collect();
        let proofs: Vec<Value> =
            all.iter().map(|v| json!({"kind": kind, "cbor": v["cbor"]})).collect();
        let answers = ask(&json!({"trust": vectors["trust"], "proofs": proofs}));
        for (vector, answer) in all.into_iter().zip(&answers) {
            let why = vector.get("why");
            assert_eq!(answer["valid"], why.is_none(), "{kind} {why:?}: {answer}");
            if why.is_none() {
                says_the_same(vector, answer);
            }
        }
    }
}

fn says_the_same(vector: &Value, answer: &Value) {
    for name in ["transaction", "signature_hash", "index", "height", "block", "state_root"] {
        if let Some(value) = vector.get(name) {
            assert_eq!(&answer[name], value, "{name}");
        }
    }
    for entry in vector["entries"].as_array().into_iter().flatten() {
        assert_eq!(answer["entries"][entry["key"].as_str().unwrap()], entry["record"]);
    }
}

/// What the library concludes from a receipt, or null.
fn receipt_says(bytes: &[u8], trust: &Trust) -> Value {
    receipt::check(bytes, trust).map_or(Value::Null, |checked| {
        json!({
            "transaction": checked.transaction().to_string(),
            "signature_hash": checked.signature_hash().to_string(),
            "index": checked.index(), "block": checked.header().hash().to_string(),
        })
    })
}

/// What the library concludes from a state proof, or null.
fn state_proof_says(bytes: &[u8], trust: &Trust) -> Value {
    state_proof::check(bytes, trust).map_or(Value::Null, |checked| {
        let entries: Map<String, Value> = checked
            .entries()
            .iter()
            .map(|(key, record)| (hex(&key.encode()), json!(record.as_deref().map(hex))))
            .collect();
        json!({"entries": entries, "block": checked.header().hash().to_string()})
    })
}

/// The leaf that stands at a key's own place, called another's, would deny what is there.
#[test]
fn a_record_that_is_there_is_not_denied_with_its_own_leaf() {
    let vectors = vectors(STATE_PROOFS);
    let good = from_hex(vectors["valid"][0]["cbor"].as_str().unwrap());
    let mut proof: StateProof = codec::decode(&good, good.len()).unwrap();
    let entry = &mut proof.entries[0];
    let record = entry.record.take().unwrap();
    entry.path.other = Some(OtherLeaf { key: map_key(&entry.key), value: sha256(&record) });
    let denied = codec::encode(&proof);
    let proofs = json!([{"kind": "state-proof", "cbor": hex(&denied)}]);
    let answers = ask(&json!({"trust": vectors["trust"], "proofs": proofs}));
    assert_eq!(answers[0]["valid"], false, "verify.mjs: {answers:?}");
    assert!(state_proof::check(&denied, &trust_of(&vectors)).is_err(), "symbolon-verify");
}

/// `good` with one bit of each byte turned over, another bit from byte to byte.
fn damaged(good: &[u8]) -> Vec<Vec<u8>> {
    let turn = |at: usize| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 1 << (at % 8);
        bytes
    };
    (0..good.len()).map(turn).collect()
}

#[test]
fn javascript_and_rust_agree_about_every_damaged_byte() {
    type Says = fn(&[u8], &Trust) -> Value;
    let kinds: [(&str, &str, usize, Says); 2] = [
        ("receipt", RECEIPTS, 1, receipt_says),
        ("state-proof", STATE_PROOFS, 0, state_proof_says),
    ];
    for (kind, text, which, says) in kinds {
        let vectors = vectors(text);
        let trust = trust_of(&vectors);
        let good = from_hex(vectors["valid"][which]["cbor"].as_str().unwrap());
        let cases: Vec<Vec<u8>> = [good.clone()].into_iter().chain(damaged(&good)).collect();
        let proofs: Vec<Value> =
            cases.iter().map(|c| json!({"kind": kind, "cbor": hex(c)})).collect();
        let answers = ask(&json!({"trust": vectors["trust"], "proofs": proofs}));
        assert_eq!(answers.len(), cases.len());
        let mut held = 0;
        for (number, (case, answer)) in cases.iter().zip(&answers).enumerate() {
            let expected = says(case, &trust);
            let holds = !expected.is_null();
            assert_eq!(answer["valid"], holds, "{kind}, case {number}: {answer}");
            for (name, value) in expected.as_object().into_iter().flatten() {
                assert_eq!(&answer[name], value, "{kind}, case {number}: {name}");
            }
            held += usize::from(holds);
        }
        // The good one; and of the damaged ones, at most a true statement about another absent key.
        assert!((1..=8).contains(&held), "{kind}: {held} of {} hold", cases.len());
    }
}
