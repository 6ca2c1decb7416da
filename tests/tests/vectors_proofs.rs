//! The vectors of receipts and state proofs: the code still makes and checks exactly these bytes.
//!
//! `receipts.json` and `state-proofs.json` are made by this file from fixed keys. A change of their
//! bytes is a change of the format; `UPDATE_EXPECT=1` writes them anew. An outsider reads them with
//! `docs/spec/receipt.md` and `docs/spec/state-proof.md` beside them.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;

use expect_test::expect_file;
use serde_json::{Value, json};
use symbolon_ledger::{
    block::{HEADER_VERSION, Header},
    certificate::{CERTIFICATE_VERSION, Certificate, CommitSignature},
    codec::encode,
    codes::ProvinceCode,
    hash::{ChainId, Digest, sha256},
    keys::SecretKey,
    log,
    operation::RevocationClass,
    receipt::{RECEIPT_VERSION, Receipt},
    records::{CountersRecord, LicenceRecord, LicenceStatus, Record as _},
    state::StateKey,
    state_proof::{PLACEHOLDER, ProofEntry, STATE_PROOF_VERSION, StateProof},
    tree::{self, Change, Memory},
    validators::{Validator, ValidatorSet},
    vote::{VoteKind, vote_bytes},
};
use symbolon_verify::{receipt, state_proof, trust::Trust};

const PROVINCES: [&str; 4] = ["11", "31", "44", "51"];
const HEIGHT: u64 = 42;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn key(i: usize) -> SecretKey {
    SecretKey::from_seed(&[u8::try_from(i + 1).unwrap(); 32])
}

fn chain() -> ChainId {
    sha256(b"symbolon vectors")
}

fn validators() -> ValidatorSet {
    let validator = |i: usize| Validator {
        province: PROVINCES[i].parse().unwrap(),
        key: key(i).public_key(),
        peer_id: [&[0x00, 0x24, 0x08, 0x01, 0x12, 0x20][..], &[0xb0; 32]]
            .concat()
            .into_iter()
            .map(|b| if b == 0xb0 { b + u8::try_from(i).unwrap() } else { b })
            .collect(),
    };
    ValidatorSet::new((0..4).map(validator).collect()).unwrap()
}

fn header(height: u64, transactions_root: Digest, state_root: Digest) -> Header {
    let set = validators().hash();
    let parent = if height == 0 { Digest::ZERO } else { sha256(b"parent") };
    Header {
        version: HEADER_VERSION,
        chain_id: chain(),
        height,
        time_ms: 1_795_406_400_000 + height,
        parent,
        history_root: sha256(b"history"),
        transactions_root,
        state_root,
        validators_hash: set,
        next_validators_hash: set,
        proposer: (height > 0).then(|| "44".parse::<ProvinceCode>().unwrap()),
    }
}

fn certificate(header: &Header, signers: &[usize]) -> Certificate {
    let (height, round, block) = (header.height, 1, header.hash());
    let message = vote_bytes(VoteKind::Precommit, &chain(), height, round, Some(&block));
    let sign = |i: &usize| CommitSignature {
        province: PROVINCES[*i].parse().unwrap(),
        signature: key(*i).sign(&message),
    };
    let signatures = signers.iter().map(sign).collect();
    Certificate { version: CERTIFICATE_VERSION, height, round, block, signatures }
}

fn trust(genesis: &Header) -> Trust {
    Trust::founded(genesis, validators()).unwrap()
}

fn trust_json(trust: &Trust) -> Value {
    let validator = |(i, v): (usize, &Validator)| {
        json!({
            "province": v.province.as_str(), "public_key": hex(v.key.as_bytes()),
            "seed": hex(&key(i).to_seed()[..]), "peer_id": hex(&v.peer_id),
        })
    };
    let set = trust.validators();
    json!({
        "chain_id": trust.chain_id().to_string(),
        "genesis": trust.pin().hash().to_string(),
        "genesis_header": hex(&encode(trust.pin().header())),
        "validators": set.validators().iter().enumerate().map(validator).collect::<Vec<_>>(),
        "validators_cbor": hex(&encode(set)),
        "validators_hash": set.hash().to_string(),
    })
}

fn refused<E: std::fmt::Display>(
    cases: Vec<(&str, Vec<u8>)>,
    check: impl Fn(&[u8]) -> Result<(), E>,
) -> Vec<Value> {
    let case = |(why, bytes): (&str, Vec<u8>)| {
        let error = check(&bytes).expect_err(why).to_string();
        json!({"why": why, "error": error, "cbor": hex(&bytes)})
    };
    cases.into_iter().map(case).collect()
}

fn write(file: &expect_test::ExpectFile, mut vectors: Value) {
    vectors.sort_all_objects();
    file.assert_eq(&format!("{}\n", serde_json::to_string_pretty(&vectors).unwrap()));
}

/// The leaf of transaction `i`: its id and the hash of its signature.
fn leaf(i: u8) -> (Digest, Digest) {
    (sha256(&[b't', i]), sha256(&[b's', i]))
}

fn receipt(index: usize, size: u8, signers: &[usize]) -> Receipt {
    let hash = |(id, signature): (Digest, Digest)| {
        log::leaf_hash(&[*id.as_bytes(), *signature.as_bytes()].concat())
    };
    let leaves: Vec<Digest> = (0..size).map(leaf).map(hash).collect();
    let header = header(HEIGHT, log::root(&leaves), sha256(b"state"));
    let (transaction, signature_hash) = leaf(u8::try_from(index).unwrap());
    Receipt {
        version: RECEIPT_VERSION,
        transaction,
        signature_hash,
        index: index as u64,
        size: u64::from(size),
        path: log::path(&leaves, index).unwrap(),
        header: encode(&header).into(),
        certificate: encode(&certificate(&header, signers)).into(),
    }
}

#[test]
fn receipts_are_made_and_checked_as_the_vectors_say() {
    let trust = trust(&header(0, sha256(b""), sha256(b"genesis state")));
    let valid = |index, size, signers: &[usize]| {
        let bytes = encode(&receipt(index, size, signers));
        let checked = receipt::check(&bytes, &trust).unwrap();
        let header = checked.header();
        json!({
            "cbor": hex(&bytes), "transaction": checked.transaction().to_string(),
            "signature_hash": checked.signature_hash().to_string(), "index": checked.index(),
            "height": header.header().height, "block": header.hash().to_string(),
            "header": hex(&encode(header.header())),
        })
    };
    let good = || receipt(4, 6, &[0, 1, 3]);
    let altered = |change: &dyn Fn(&mut Receipt)| {
        let mut receipt = good();
        change(&mut receipt);
        encode(&receipt)
    };
    let other_header = encode(&header(HEIGHT, sha256(b"other"), sha256(b"state")));
    let cases = vec![
        ("two of four signatures", encode(&receipt(4, 6, &[0, 3]))),
        ("a signer twice", encode(&receipt(4, 6, &[0, 0, 3]))),
        ("signers out of order", encode(&receipt(4, 6, &[3, 1, 0]))),
        ("another transaction", altered(&|r| r.transaction = sha256(b"x"))),
        ("another signature hash", altered(&|r| r.signature_hash = sha256(b"x"))),
        ("another place", altered(&|r| r.index = 5)),
        ("a place outside", altered(&|r| r.index = 6)),
        ("a shorter path", altered(&|r| _ = r.path.pop())),
        ("another header", altered(&|r| r.header = other_header.clone().into())),
        ("version 2", altered(&|r| r.version = 2)),
        ("a trailing byte", [encode(&good()), vec![0]].concat()),
        ("nothing", Vec::new()),
    ];
    let vectors = json!({
        "description": "Receipts under one trusted validator set. docs/spec/receipt.md",
        "trust": trust_json(&trust),
        "valid": [valid(0, 1, &[0, 1, 2, 3]), valid(4, 6, &[0, 1, 3]), valid(2, 7, &[1, 2, 3])],
        "refused": refused(cases, |bytes| receipt::check(bytes, &trust).map(drop)),
    });
    write(&expect_file!["../vectors/receipts.json"], vectors);
}

fn licence(status: LicenceStatus) -> LicenceRecord {
    LicenceRecord {
        version: 1,
        type_index: 3,
        agency_index: 2,
        credential_key: 3,
        transaction_key: 1,
        slot: 4_711,
        expiry: None,
        lineage: sha256(b"lineage"),
        previous: None,
        status,
        issued_at: 7,
        changed_at: 9,
    }
}

/// A state of a few records, in its tree.
struct State {
    records: BTreeMap<StateKey, Vec<u8>>,
    pages: Memory,
    root: Digest,
}

impl State {
    fn new() -> Self {
        let cid = |i: u8| StateKey::Licence(sha256(&[b'c', i]));
        let mut records: BTreeMap<StateKey, Vec<u8>> =
            (0..20).map(|i| (cid(i), licence(LicenceStatus::Active).to_bytes())).collect();
        let revoked = LicenceStatus::Revoked { class: RevocationClass::Penalty };
        records.insert(cid(1), licence(revoked).to_bytes());
        let counters = CountersRecord { version: 1, next_agency: 3, next_type: 4 };
        records.insert(StateKey::Counters, counters.to_bytes());
        let mut pages = Memory::default();
        let changes = records.iter().map(|(k, v)| Change::new(k.map_key(), Some(v)));
        let update = tree::update(&pages, PLACEHOLDER, changes.collect()).unwrap();
        pages.apply(&update);
        Self { records, pages, root: update.root }
    }

    fn entry(&self, key: &StateKey) -> ProofEntry {
        ProofEntry {
            key: key.encode().into(),
            record: self.records.get(key).cloned().map(Into::into),
            path: tree::prove(&self.pages, self.root, key.map_key()).unwrap(),
        }
    }

    fn proof(&self, keys: &[StateKey]) -> StateProof {
        let header = header(HEIGHT, sha256(b""), self.root);
        StateProof {
            version: STATE_PROOF_VERSION,
            header: encode(&header).into(),
            certificate: Some(encode(&certificate(&header, &[0, 1, 2])).into()),
            entries: keys.iter().map(|k| self.entry(k)).collect(),
        }
    }
}

#[test]
fn state_proofs_are_made_and_checked_as_the_vectors_say() {
    let state = State::new();
    let genesis = header(0, sha256(b""), state.root);
    let trust = trust(&genesis);
    let present = StateKey::Licence(sha256(&[b'c', 1]));
    let absent = StateKey::Licence(sha256(b"never issued"));
    let keys = [present, absent, StateKey::Counters, StateKey::Parameters];
    let valid = |proof: &StateProof| {
        let bytes = encode(proof);
        let checked = state_proof::check(&bytes, &trust).unwrap();
        let entry = |(key, record): (&StateKey, &Option<Vec<u8>>)| {
            json!({
                "key": hex(&key.encode()), "map_key": key.map_key().to_string(),
                "record": record.as_ref().map(|r| hex(r)),
            })
        };
        json!({
            "cbor": hex(&bytes), "height": checked.header().header().height,
            "state_root": checked.header().header().state_root.to_string(),
            "entries": checked.entries().iter().map(entry).collect::<Vec<_>>(),
        })
    };
    let founding =
        StateProof { header: encode(&genesis).into(), certificate: None, ..state.proof(&keys) };
    let altered = |change: &dyn Fn(&mut StateProof)| {
        let mut proof = state.proof(&keys);
        change(&mut proof);
        encode(&proof)
    };
    let other_genesis = encode(&header(0, sha256(b"x"), state.root));
    let cases = vec![
        ("a present record denied", altered(&|p| p.entries[0].record = None)),
        ("an altered record", altered(&|p| p.entries[0].record = Some(vec![0xa0].into()))),
        ("an absent record claimed", altered(&|p| p.entries[1].record = Some(vec![0xa0].into()))),
        ("a path of another key", altered(&|p| p.entries[1].path = p.entries[3].path.clone())),
        ("a sibling less", altered(&|p| _ = p.entries[0].path.siblings.pop())),
        ("257 siblings", altered(&|p| p.entries[2].path.siblings = vec![Digest::ZERO; 257])),
        ("a key twice", altered(&|p| p.entries.push(p.entries[2].clone()))),
        (
            "a derived key",
            altered(&|p| {
                p.entries[1].key = StateKey::Lineage(1, Digest::ZERO).encode().into();
            }),
        ),
        ("no certificate", altered(&|p| p.certificate = None)),
        (
            "another founding block",
            altered(&|p| {
                p.header = other_genesis.clone().into();
                p.certificate = None;
            }),
        ),
        ("version 2", altered(&|p| p.version = 2)),
        ("a trailing byte", [altered(&|_| ()), vec![0]].concat()),
    ];
    let vectors = json!({
        "description": "State proofs under one trusted validator set. docs/spec/state-proof.md",
        "trust": trust_json(&trust),
        "valid": [valid(&state.proof(&keys)), valid(&founding)],
        "refused": refused(cases, |bytes| state_proof::check(bytes, &trust).map(drop)),
    });
    write(&expect_file!["../vectors/state-proofs.json"], vectors);
}
