//! One Ed25519: whoever checks a signature in this network gives the same answer, also where
//! libraries disagree.
//!
//! The ten published vectors go before the ledger's keys (which nodes, the command line and
//! `symbolon-verify` all use) and the JavaScript verifier; signatures of the same ten kinds, made in
//! `odd_signatures`, go the whole way: in a transaction, a credential, and the certificate of a
//! receipt that the library, the command line and the JavaScript verifier check. A node is asked
//! over HTTP in `tests/tests/http/one_ed25519.rs`.

use std::ffi::OsStr;

use ed25519_dalek::Verifier as _;
use serde_json::{Value, json};
use symbolon_credential::{encoding::to_base64url, sd_jwt::Parsed};
use symbolon_genesis::{Genesis, presets};
use symbolon_ledger::{
    block::{HEADER_VERSION, Header},
    certificate::{CERTIFICATE_VERSION, Certificate, CommitSignature},
    codec::encode,
    hash::{Digest, sha256},
    keys::{PublicKey, SecretKey, Signature},
    log,
    operation::{Actor, Operation, RevocationClass},
    receipt::{RECEIPT_VERSION, Receipt},
    transaction::{PAYLOAD_VERSION, Payload, SignedTransaction},
    validators::Validator,
    vote::{VoteKind, vote_bytes},
};
use symbolon_tests::devnet::{json_of, symbolon};
use symbolon_verify::{receipt, trust::Trust};
use tempfile::TempDir;

use crate::{
    material::{credential, parts},
    odd_signatures::{GOOD_KIND, KINDS, OddSigner, transaction_message},
    proofs::{ask, from_hex, hex},
};

const VECTORS: &str = include_str!("../../vectors/ed25519-speccheck.json");

/// The only one of ten that holds.
fn only_the_good_kind() -> Vec<bool> {
    (0..KINDS).map(|kind| kind == GOOD_KIND).collect()
}

fn holds(key: &[u8], message: &[u8], signature: &[u8; 64]) -> bool {
    PublicKey::from_bytes(key).is_ok_and(|key| key.verify(message, &Signature(*signature)).is_ok())
}

#[test]
fn the_published_vectors_have_one_answer() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    let expected: Vec<bool> = cases.iter().map(|c| c["holds"].as_bool().unwrap()).collect();
    assert_eq!(expected, only_the_good_kind());
    let bytes = |case: &Value, name: &str| from_hex(case[name].as_str().unwrap());
    let ledger = cases.iter().map(|case| {
        let signature = bytes(case, "signature").try_into().unwrap();
        holds(&bytes(case, "public_key"), &bytes(case, "message"), &signature)
    });
    assert_eq!(ledger.collect::<Vec<_>>(), expected, "the ledger's keys");
    let javascript = ask(&json!({"signatures": cases}));
    assert_eq!(Value::from(javascript), json!(expected), "docs/spec/verify.mjs");
}

/// A lenient check takes those that are right but for a point of small order.
#[test]
fn the_made_signatures_are_of_their_kinds() {
    let message = |salt: u32| salt.to_be_bytes().to_vec();
    let mut given = Vec::new();
    let (mut lenient, mut strict) = (Vec::new(), Vec::new());
    for kind in 0..KINDS {
        let signer = OddSigner::new(kind);
        let signed = signer.sign(message);
        let (key, message) = (signer.public_key(), message(signed.salt));
        strict.push(holds(&key, &message, &signed.signature));
        let signature = ed25519_dalek::Signature::from_bytes(&signed.signature);
        let key_of = ed25519_dalek::VerifyingKey::from_bytes(&key).unwrap();
        lenient.push(key_of.verify(&message, &signature).is_ok());
        given.push(json!({"public_key": hex(&key), "message": hex(&message),
            "signature": hex(&signed.signature)}));
    }
    assert_eq!(strict, only_the_good_kind());
    assert_eq!(lenient, (0..KINDS).map(|kind| kind < 4).collect::<Vec<_>>());
    assert_eq!(Value::from(ask(&json!({"signatures": given}))), json!(strict));
}

#[test]
fn a_transaction_holds_when_its_signature_is_strictly_right() {
    let sealed = |salt: u32| {
        let mut nonce = [0; 16];
        nonce[..4].copy_from_slice(&salt.to_be_bytes());
        let payload = Payload {
            version: PAYLOAD_VERSION,
            chain_id: sha256(b"chain"),
            actor: Actor::Agency("11310000MB2F30170G".parse().unwrap()),
            key_id: 0,
            nonce,
            valid_until_height: 9,
            operations: vec![Operation::Revoke {
                cid: sha256(b"cid"),
                class: RevocationClass::Unspecified,
            }],
        };
        let signed = SignedTransaction::sign(&payload, &SecretKey::from_seed(&[1; 32])).unwrap();
        (signed.as_bytes().to_vec(), encode(&payload))
    };
    let message = |salt: u32| transaction_message(&sealed(salt).1);
    let answers = (0..KINDS).map(|kind| {
        let signer = OddSigner::new(kind);
        let signed = signer.sign(message);
        let (mut bytes, _) = sealed(signed.salt);
        let at = bytes.len() - 64;
        bytes[at..].copy_from_slice(&signed.signature);
        let transaction = SignedTransaction::decode(&bytes).unwrap();
        PublicKey::from_bytes(&signer.public_key())
            .is_ok_and(|key| transaction.verify(&key).is_ok())
    });
    assert_eq!(answers.collect::<Vec<_>>(), only_the_good_kind());
}

#[test]
fn a_credential_holds_when_its_signature_is_strictly_right() {
    let whole = credential(true);
    let (jwt, rest) = whole.split_once('~').unwrap();
    let (header, payload) = parts(jwt);
    let input = |salt: u32| {
        let mut payload = payload.clone();
        payload["iat"] = json!(salt);
        let part = |value: &Value| to_base64url(value.to_string().as_bytes());
        format!("{}.{}", part(&header), part(&payload))
    };
    let answers = (0..KINDS).map(|kind| {
        let signer = OddSigner::new(kind);
        let signed = signer.sign(|salt| input(salt).into_bytes());
        let signature = to_base64url(&signed.signature);
        let parsed = Parsed::parse(&format!("{}.{signature}~{rest}", input(signed.salt))).unwrap();
        PublicKey::from_bytes(&signer.public_key())
            .is_ok_and(|key| parsed.check_signature(&key).is_ok())
    });
    assert_eq!(answers.collect::<Vec<_>>(), only_the_good_kind());
}

/// A network whose first validator signs in one of the ten kinds.
struct Odd {
    signer: OddSigner,
    /// The founding document's text.
    document: String,
    /// What it vouches for; none where no such key is let in.
    trust: Option<Trust>,
    keys: Vec<SecretKey>,
}

impl Odd {
    fn new(kind: usize) -> Self {
        let signer = OddSigner::new(kind);
        let keys: Vec<SecretKey> = (1..=4).map(|i| SecretKey::from_seed(&[i; 32])).collect();
        let (mut genesis, _) = presets::devnet_from_seed(4, &[7; 32], 1_767_225_600_000, 8300);
        for (validator, key) in genesis.validators.iter_mut().zip(&keys) {
            validator.key = key.public_key();
        }
        let text = genesis.to_toml();
        let document = text.replace(&keys[0].public_key().to_string(), &hex(&signer.public_key()));
        assert_ne!(document, text);
        let trust = Genesis::parse(&document).ok().map(|genesis| {
            let block = genesis.block_zero(genesis.state_root());
            Trust::founded(&block, genesis.validator_set()).unwrap()
        });
        Self { signer, document, trust, keys }
    }

    /// A receipt that stands or falls with the odd signature.
    fn receipt(&self, trust: &Trust) -> Vec<u8> {
        let set = trust.validators().hash();
        let (transaction, signature_hash) = (sha256(b"t"), sha256(b"s"));
        let leaf = [*transaction.as_bytes(), *signature_hash.as_bytes()].concat();
        let header = Header {
            version: HEADER_VERSION,
            chain_id: trust.chain_id(),
            height: 42,
            time_ms: 1_795_406_400_000,
            parent: sha256(b"parent"),
            history_root: sha256(b"history"),
            transactions_root: log::leaf_hash(&leaf),
            state_root: sha256(b"state"),
            validators_hash: set,
            next_validators_hash: set,
            proposer: None,
        };
        let certificate = self.certificate(trust, header.height, header.hash());
        encode(&Receipt {
            version: RECEIPT_VERSION,
            transaction,
            signature_hash,
            index: 0,
            size: 1,
            path: Vec::new(),
            header: encode(&header).into(),
            certificate: encode(&certificate).into(),
        })
    }

    /// Three of four signatures, the first of them odd. The round makes messages to choose from.
    fn certificate(&self, trust: &Trust, height: u64, block: Digest) -> Certificate {
        let message = |round: u32| {
            vote_bytes(VoteKind::Precommit, &trust.chain_id(), height, round, Some(&block))
        };
        let odd = self.signer.sign(message);
        let validators = trust.validators().validators();
        let sign = |(i, key): (usize, &SecretKey)| CommitSignature {
            province: validators[i].province,
            signature: if i == 0 { Signature(odd.signature) } else { key.sign(&message(odd.salt)) },
        };
        let signatures = self.keys.iter().enumerate().take(3).map(sign).collect();
        Certificate { version: CERTIFICATE_VERSION, height, round: odd.salt, block, signatures }
    }
}

/// Whether `symbolon receipt verify` accepts.
fn command_line_accepts(document: &str, receipt: &[u8]) -> bool {
    let folder = TempDir::new().unwrap();
    let (genesis, file) = (folder.path().join("genesis.toml"), folder.path().join("receipt.cbor"));
    std::fs::write(&genesis, document).unwrap();
    std::fs::write(&file, receipt).unwrap();
    let words = ["receipt", "verify", "--json", "--genesis"].map(OsStr::new);
    let output = symbolon(words.into_iter().chain([genesis.as_os_str(), file.as_os_str()]));
    let said = json_of(&output);
    assert_eq!(output.status.success(), said["valid"] == true, "{said}");
    output.status.success()
}

#[test]
fn a_receipt_holds_when_the_signatures_of_its_certificate_are_strictly_right() {
    let (mut library, mut cli, mut javascript) = (Vec::new(), Vec::new(), Vec::new());
    for kind in 0..KINDS {
        let odd = Odd::new(kind);
        let Some(trust) = &odd.trust else {
            // A key of small order: no document with it is read, so nothing it signs is believed.
            assert!(kind < 2, "the key of kind {kind} is refused");
            assert!(!command_line_accepts(&odd.document, b""));
            continue;
        };
        let receipt = odd.receipt(trust);
        library.push(receipt::check(&receipt, trust).is_ok());
        cli.push(command_line_accepts(&odd.document, &receipt));
        let proofs = json!([{"kind": "receipt", "cbor": hex(&receipt)}]);
        let answers = ask(&json!({"trust": javascript_trust(trust), "proofs": proofs}));
        javascript.push(answers[0]["valid"] == true);
    }
    let expected = &only_the_good_kind()[2..];
    assert_eq!(library, expected, "symbolon-verify");
    assert_eq!(cli, expected, "symbolon receipt verify");
    assert_eq!(javascript, expected, "docs/spec/verify.mjs");
}

fn javascript_trust(trust: &Trust) -> Value {
    let validator = |v: &Validator| {
        json!({"province": v.province.as_str(), "key": hex(v.key.as_bytes()),
            "peer_id": hex(&v.peer_id)})
    };
    let validators: Vec<Value> = trust.validators().validators().iter().map(validator).collect();
    let (chain_id, genesis) = (trust.chain_id().to_string(), trust.pin().hash().to_string());
    json!({"chain_id": chain_id, "genesis": genesis, "validators": validators})
}
