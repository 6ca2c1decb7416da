//! Everything signed has one spelling: a second one of the same receipt or state proof is refused,
//! by the library and by `docs/spec/verify.mjs`, also where the header is signed as it is spelt.

use minicbor::Decoder;
use serde_json::{Value, json};
use symbolon_ledger::{
    block::{Header, header_hash},
    certificate::{Certificate, CommitSignature},
    codec,
    keys::SecretKey,
    receipt::Receipt,
    vote::{VoteKind, vote_bytes},
};
use symbolon_verify::{receipt, state_proof};

use crate::proofs::{RECEIPTS, STATE_PROOFS, ask, from_hex, hex, trust_of, vectors};

/// A map's members, each as its key's and its value's bytes.
type Members = Vec<(Vec<u8>, Vec<u8>)>;

fn members(bytes: &[u8]) -> Members {
    let mut decoder = Decoder::new(bytes);
    let count = decoder.map().unwrap().unwrap();
    let mut next = || {
        let from = decoder.position();
        decoder.skip().unwrap();
        bytes[from..decoder.position()].to_vec()
    };
    (0..count).map(|_| (next(), next())).collect()
}

fn joined(head: &[u8], members: &Members) -> Vec<u8> {
    let parts = members.iter().flat_map(|(key, value)| [&key[..], &value[..]].concat());
    head.iter().copied().chain(parts).collect()
}

/// The head of a map of so many members, as it must be.
fn head(count: usize) -> Vec<u8> {
    vec![0xa0 + u8::try_from(count).unwrap()]
}

/// Second spellings of a map, with what is wrong about each.
fn respelled(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let good = members(bytes);
    let count = good.len();
    assert_eq!(joined(&head(count), &good), bytes, "nothing is changed by taking it apart");
    let changed = |change: &dyn Fn(&mut Members)| {
        let mut members = good.clone();
        change(&mut members);
        joined(&head(members.len()), &members)
    };
    let long = u8::try_from(count).unwrap();
    let text = good.iter().position(|(_, value)| value[0] == 0x58 || value[0] == 0x59);
    let text = text.expect("a byte string of more than 23 bytes");
    vec![
        ("an overlong head", joined(&[0xb8, long], &good)),
        ("an indefinite map", [joined(&[0xbf], &good), vec![0xff]].concat()),
        ("an overlong key", changed(&|m| m[0].0 = vec![0x18, m[0].0[0]])),
        ("an overlong integer", changed(&|m| m[0].1 = vec![0x18, m[0].1[0]])),
        ("a longer overlong integer", changed(&|m| m[0].1 = vec![0x19, 0, m[0].1[0]])),
        (
            "the longest integer",
            changed(&|m| m[0].1 = [vec![0x1b], vec![0; 7], m[0].1.clone()].concat()),
        ),
        ("a tag", changed(&|m| m[0].1.insert(0, 0xc1))),
        ("two members swapped", changed(&|m| m.swap(0, 1))),
        ("a member twice", changed(&|m| m.insert(1, m[0].clone()))),
        ("an unknown member", changed(&|m| m.push((vec![0x14], vec![0x00])))),
        ("an unknown member that says null", changed(&|m| m.push((vec![0x14], vec![0xf6])))),
        ("a key that is text", changed(&|m| m.push((vec![0x61, 0x78], vec![0x00])))),
        ("a long head of a string", changed(&|m| lengthen(&mut m[text].1))),
        (
            "a string in pieces",
            changed(&|m| m[text].1 = [&[0x5f][..], &m[text].1, &[0xff]].concat()),
        ),
        ("a byte more", [bytes, &[0x00]].concat()),
    ]
}

/// Writes the length of a byte string in the next larger size.
fn lengthen(string: &mut Vec<u8>) {
    let (head, zeros) = if string[0] == 0x58 { (0x59, 1) } else { (0x5a, 2) };
    string.splice(..1, [vec![head], vec![0; zeros]].concat());
}

/// The vectors' receipt with another spelling of its header, signed by all as it is spelt.
fn with_header(good: &Receipt, header: Vec<u8>, vectors: &Value) -> Vec<u8> {
    let read: Header = codec::decode(&good.header, good.header.len()).unwrap();
    let was: Certificate = codec::decode(&good.certificate, good.certificate.len()).unwrap();
    let block = header_hash(&header);
    let message =
        vote_bytes(VoteKind::Precommit, &read.chain_id, read.height, was.round, Some(&block));
    let sign = |v: &Value| {
        let seed = from_hex(v["seed"].as_str().unwrap()).try_into().unwrap();
        let province = v["province"].as_str().unwrap().parse().unwrap();
        CommitSignature { province, signature: SecretKey::from_seed(&seed).sign(&message) }
    };
    let validators = vectors["trust"]["validators"].as_array().unwrap();
    let signatures = validators.iter().map(sign).collect();
    let certificate = Certificate { block, signatures, ..was };
    let certificate = codec::encode(&certificate).into();
    codec::encode(&Receipt { header: header.into(), certificate, ..good.clone() })
}

#[test]
fn a_second_spelling_proves_nothing() {
    let receipts = vectors(RECEIPTS);
    let good = from_hex(receipts["valid"][1]["cbor"].as_str().unwrap());
    let read: Receipt = codec::decode(&good, good.len()).unwrap();
    let as_it_was = with_header(&read, read.header.to_vec(), &receipts);
    assert!(receipt::check(&as_it_was, &trust_of(&receipts)).is_ok(), "signing again is no fault");
    let headers = respelled(&read.header).into_iter();
    let mut cases = respelled(&good);
    cases.extend(headers.map(|(why, header)| (why, with_header(&read, header, &receipts))));
    let trust = trust_of(&receipts);
    all_refuse("receipt", &receipts, &cases, |bytes| receipt::check(bytes, &trust).is_ok());

    let proofs = vectors(STATE_PROOFS);
    let good = from_hex(proofs["valid"][0]["cbor"].as_str().unwrap());
    let mut cases = respelled(&good);
    // The founding block has no certificate, and says so by leaving it out.
    let founding = from_hex(proofs["valid"][1]["cbor"].as_str().unwrap());
    let mut with_null = members(&founding);
    with_null.insert(2, (vec![0x02], vec![0xf6]));
    cases.push(("an absent member that says null", joined(&head(4), &with_null)));
    let trust = trust_of(&proofs);
    all_refuse("state-proof", &proofs, &cases, |bytes| state_proof::check(bytes, &trust).is_ok());
}

fn all_refuse(
    kind: &str,
    vectors: &Value,
    cases: &[(&str, Vec<u8>)],
    accepts: impl Fn(&[u8]) -> bool,
) {
    let proofs: Vec<Value> =
        cases.iter().map(|(_, bytes)| json!({"kind": kind, "cbor": hex(bytes)})).collect();
    let answers = ask(&json!({"trust": vectors["trust"], "proofs": proofs}));
    for ((why, bytes), answer) in cases.iter().zip(answers) {
        assert!(!accepts(bytes), "{kind}: symbolon-verify accepts {why}");
        assert_eq!(answer["valid"], false, "{kind}: verify.mjs accepts {why}");
    }
}
