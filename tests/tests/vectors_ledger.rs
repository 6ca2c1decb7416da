//! Golden vectors of everything the ledger signs or hashes: what an outsider implements from,
//! and what tells us when a byte has changed. `SYMBOLON_UPDATE_VECTORS=1` writes the file anew;
//! that is a change of the wire format and belongs into the changelog.

#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::{Value, json};
use symbolon_ledger::{
    block::{Block, HEADER_VERSION, Header, transactions_root},
    certificate::{CERTIFICATE_VERSION, Certificate, CommitSignature},
    codec,
    codes::{Day, Month, Uscc, cid},
    hash::{Digest, sha256},
    keys::SecretKey,
    log,
    operation::{Actor, Interval, NewLicence, Operation, RevocationClass, Unread},
    records::{LicenceRecord, LicenceStatus, RECORD_VERSION, RecognitionRecord, Record},
    state::StateKey,
    transaction::{PAYLOAD_VERSION, Payload, SignedTransaction},
    validators::{Validator, ValidatorSet},
    vote::{VoteKind, proposal_bytes, vote_bytes},
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/ledger.json");

#[test]
fn the_bytes_of_the_ledger_are_those_of_the_vectors() {
    let computed = serde_json::to_string_pretty(&vectors()).unwrap() + "\n";
    if std::env::var_os("SYMBOLON_UPDATE_VECTORS").is_some() {
        std::fs::write(FILE, &computed).unwrap();
    }
    let expected = std::fs::read_to_string(FILE).unwrap();
    assert!(computed == expected, "tests/vectors/ledger.json differs from:\n{computed}");
}

fn vectors() -> Value {
    json!({
        "about": "Made by tests/tests/vectors_ledger.rs. Hexadecimal bytes. Keys are Ed25519 from 32 equal seed bytes.",
        "transaction": transaction_vector(),
        "operations": operation_vectors(),
        "validator_set": { "cbor": hex(&codec::encode(&set())), "hash": set().hash().to_string() },
        "header": header_vector(),
        "votes": vote_vectors(),
        "certificate": hex(&codec::encode(&certificate())),
        "block": hex(&block().encode()),
        "state_keys": state_key_vectors(),
        "records": record_vectors(),
        "cid": cid_vector(),
        "log": log_vectors(),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn agency() -> Uscc {
    "11100000000013127D".parse().unwrap()
}

fn chain() -> Digest {
    sha256(b"chain")
}

fn licence() -> NewLicence {
    NewLicence {
        inner: sha256(b"jwt"),
        licence_type: "local:driving-licence".parse().unwrap(),
        credential_key: 1,
        slot: 4_097,
        expiry: Some(Month(24_312)),
        lineage: sha256(b"lineage"),
    }
}

fn transaction() -> SignedTransaction {
    let payload = Payload {
        version: PAYLOAD_VERSION,
        chain_id: chain(),
        actor: Actor::Agency(agency()),
        key_id: 0,
        nonce: [7; 16],
        valid_until_height: 1_000,
        operations: vec![Operation::Issue { licence: licence() }],
    };
    SignedTransaction::sign(&payload, &key(1)).unwrap()
}

fn transaction_vector() -> Value {
    let transaction = transaction();
    json!({
        "seed": hex(&[1; 32]),
        "public_key": key(1).public_key().to_string(),
        "payload": hex(&codec::encode(transaction.payload())),
        "bytes": hex(transaction.as_bytes()),
        "id": transaction.id().to_string(),
        "leaf": hex(&transaction.leaf()),
    })
}

fn operation_vectors() -> Value {
    let cid = sha256(b"cid");
    let operations = [
        Operation::Issue { licence: licence() },
        Operation::Supersede { previous: cid, licence: licence() },
        Operation::TransferIn { previous: cid, licence: licence() },
        Operation::Suspend { cid },
        Operation::Resume { cid },
        Operation::Revoke { cid, class: RevocationClass::Penalty },
        Operation::TransferOut { cid, to: agency() },
        Operation::CancelTransfer { cid },
        Operation::ReserveSlots { agency: agency(), blocks: 2 },
        Operation::Recognise {
            from_province: "44".parse().unwrap(),
            licence_type: "11100000000013338W011".parse().unwrap(),
            interval: Interval { from: Day(20_000), until: None },
        },
        Operation::Propose(Unread::default()),
    ];
    operations.iter().map(|o| json!({ "name": o.name(), "cbor": hex(&codec::encode(o)) })).collect()
}

fn set() -> ValidatorSet {
    let validator = |(seed, province): (u8, &str)| Validator {
        province: province.parse().unwrap(),
        key: key(seed).public_key(),
        peer_id: vec![seed; 38],
    };
    let provinces = [(11, "11"), (31, "31"), (44, "44"), (51, "51")];
    ValidatorSet::new(provinces.into_iter().map(validator).collect()).unwrap()
}

fn header() -> Header {
    Header {
        version: HEADER_VERSION,
        chain_id: chain(),
        height: 1,
        time_ms: 1_700_000_000_000,
        parent: sha256(b"parent"),
        history_root: log::root(&[log::leaf_hash(sha256(b"parent").as_bytes())]),
        transactions_root: transactions_root(&[transaction()]),
        state_root: sha256(b"state"),
        validators_hash: set().hash(),
        next_validators_hash: set().hash(),
        proposer: Some("31".parse().unwrap()),
    }
}

fn header_vector() -> Value {
    json!({ "cbor": hex(&codec::encode(&header())), "hash": header().hash().to_string() })
}

fn block() -> Block {
    let block = Block { header: header(), transactions: vec![transaction()] };
    assert_eq!(Block::decode(&block.encode()).unwrap(), block);
    block
}

fn vote_vectors() -> Value {
    let hash = header().hash();
    json!({
        "prevote_nil": hex(&vote_bytes(VoteKind::Prevote, &chain(), 1, 0, None)),
        "precommit": hex(&vote_bytes(VoteKind::Precommit, &chain(), 1, 2, Some(&hash))),
        "proposal": hex(&proposal_bytes(&chain(), 1, 0, &hash, None)),
        "proposal_again": hex(&proposal_bytes(&chain(), 1, 3, &hash, Some(2))),
    })
}

fn certificate() -> Certificate {
    let block = header().hash();
    let message = vote_bytes(VoteKind::Precommit, &chain(), 1, 0, Some(&block));
    let sign = |(seed, province): (u8, &str)| CommitSignature {
        province: province.parse().unwrap(),
        signature: key(seed).sign(&message),
    };
    let signatures = [(11, "11"), (31, "31"), (44, "44")].into_iter().map(sign).collect();
    let certificate =
        Certificate { version: CERTIFICATE_VERSION, height: 1, round: 0, block, signatures };
    certificate.verify(&chain(), &set()).unwrap();
    certificate
}

fn state_key_vectors() -> Value {
    let (province, other) = ("11".parse().unwrap(), "44".parse().unwrap());
    let code: symbolon_ledger::codes::TypeCode = "local:driving-licence".parse().unwrap();
    let keys = [
        StateKey::Parameters,
        StateKey::Validators,
        StateKey::Counters,
        StateKey::Province(province),
        StateKey::Agency(agency()),
        StateKey::AgencyByIndex(3),
        StateKey::Key(Actor::Agency(agency()), 1),
        StateKey::LicenceType(code.clone()),
        StateKey::LicenceTypeByIndex(2),
        StateKey::Licence(sha256(b"cid")),
        StateKey::SlotBlock(province, 7),
        StateKey::Recognition(province, other, code),
    ];
    let vector = |k: &StateKey| json!({ "key": format!("{k:?}"), "cbor": hex(&k.encode()), "map_key": k.map_key().to_string() });
    keys.iter().map(vector).collect()
}

fn record_vectors() -> Value {
    let licence = LicenceRecord {
        version: RECORD_VERSION,
        type_index: 2,
        agency_index: 3,
        credential_key: 1,
        transaction_key: 0,
        slot: 4_097,
        expiry: Some(Month(24_312)),
        lineage: sha256(b"lineage"),
        previous: None,
        status: LicenceStatus::Revoked { class: RevocationClass::Penalty },
        issued_at: 10,
        changed_at: 20,
    };
    let interval = Interval { from: Day(20_000), until: Some(Day(20_365)) };
    let recognition = RecognitionRecord { version: RECORD_VERSION, intervals: vec![interval] };
    json!({ "licence": hex(&licence.to_bytes()), "recognition": hex(&recognition.to_bytes()) })
}

fn cid_vector() -> Value {
    let inner = sha256(b"jwt");
    json!({ "issuer": agency().to_string(), "inner": inner.to_string(), "cid": cid(&agency(), &inner).to_string() })
}

fn log_vectors() -> Value {
    let leaves: Vec<_> = (0u8..7).map(|i| log::leaf_hash(&[i])).collect();
    let path = log::path(&leaves, 5).unwrap();
    json!({
        "about": "leaves are the single bytes 00 to 06",
        "roots_of_0_to_7_leaves": (0..=7).map(|n| log::root(&leaves[..n]).to_string()).collect::<Vec<_>>(),
        "path_of_leaf_5_of_7": path.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
