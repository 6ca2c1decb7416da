//! One Ed25519 at a node's outside interface: signatures of the ten kinds on which verifiers
//! disagree, in a transaction and in a credential that are sent to a node, whose ledger has the
//! keys that they are by.
//!
//! The published vectors sign fixed messages, so no node can be asked about those; these are of the
//! same kinds, over messages that a node reads. Two of the ten have a key of small order. No node
//! ever holds one: no founding document with it is read, and no transaction that names it.

use serde_json::{Value, json};
use symbolon_credential::encoding::{from_base64url, to_base64url};
use symbolon_genesis::Genesis;
use symbolon_ledger::{
    codec::encode,
    keys::SecretKey,
    operation::{Actor, KeyPurpose, NewKey, Operation},
    transaction::{Payload, SignedTransaction},
};

use super::{
    odd_signatures::{GOOD_KIND, KINDS, OddSigner, transaction_message},
    support::Node,
};

const PROVINCE: &str = "44";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A node of a network in which the signer's key stands in place of `key`; none when no founding
/// document with it is read.
fn node_with(signer: &OddSigner, key: impl Fn(&Node) -> &SecretKey) -> Option<Node> {
    let usual = Node::start();
    let key = key(&usual).public_key().to_string();
    let text = usual.genesis.to_toml();
    let document = text.replace(&key, &hex(&signer.public_key()));
    assert_ne!(document, text, "the document has the key");
    Genesis::parse(&document).ok().map(Node::start_of)
}

/// Asserts that of ten answers, one for each kind, only the good kind's is yes.
fn check(what: &str, answer: impl Fn(&OddSigner) -> bool) {
    for kind in 0..KINDS {
        assert_eq!(answer(&OddSigner::new(kind)), kind == GOOD_KIND, "{what}, kind {kind}");
    }
}

fn has_small_order(signer: &OddSigner) -> bool {
    (0..2).any(|kind| OddSigner::new(kind).public_key() == signer.public_key())
}

#[test]
fn a_node_takes_a_transaction_when_its_signature_is_strictly_right() {
    check("a transaction", |signer| {
        let Some(node) = node_with(signer, |node| &node.keys_of(PROVINCE).transaction) else {
            assert!(has_small_order(signer));
            return false;
        };
        let agency = node.agency(PROVINCE);
        let operations = vec![Operation::ReserveSlots { agency, blocks: 1 }];
        let usual = node.payload(Actor::Agency(agency), operations);
        let payload = |salt: u32| {
            let mut nonce = [0; 16];
            nonce[..4].copy_from_slice(&salt.to_be_bytes());
            Payload { nonce, ..usual.clone() }
        };
        let signed = signer.sign(|salt| transaction_message(&encode(&payload(salt))));
        // Signed by some key for its form; the signature is the last that it has.
        let form = SignedTransaction::sign(&payload(signed.salt), &SecretKey::from_seed(&[1; 32]));
        let mut bytes = form.unwrap().as_bytes().to_vec();
        let at = bytes.len() - signed.signature.len();
        bytes[at..].copy_from_slice(&signed.signature);
        let answer = node.post_cose("/v1/transactions", &bytes);
        if answer.status == 202 {
            return true;
        }
        assert_eq!(answer.problem(), "wrong_key");
        false
    });
}

#[test]
fn a_node_takes_no_transaction_that_names_a_key_of_small_order() {
    let node = Node::start();
    let agency = node.agency(PROVINCE);
    let named = SecretKey::from_seed(&[9; 32]).public_key();
    let key = NewKey { key: named, purpose: KeyPurpose::Credential, valid_until: None };
    let whole = node.by_agency(PROVINCE, vec![Operation::AddKey { agency, key }]);
    for kind in 0..KINDS {
        let signer = OddSigner::new(kind);
        let mut bytes = whole.as_bytes().to_vec();
        let at = bytes.windows(32).position(|window| window == named.as_bytes()).unwrap();
        bytes[at..at + 32].copy_from_slice(&signer.public_key());
        let code = node.post_cose("/v1/transactions", &bytes).problem();
        // Its own signature is over the key that stood there before.
        let expected = if has_small_order(&signer) { "malformed_transaction" } else { "wrong_key" };
        assert_eq!(code, expected, "kind {kind}");
    }
}

#[test]
fn a_node_finds_a_credential_signed_when_its_signature_is_strictly_right() {
    check("a credential", |signer| {
        let Some(node) = node_with(signer, |node| &node.keys_of(PROVINCE).credential) else {
            assert!(has_small_order(signer));
            return false;
        };
        let whole = node.prepare_licence(PROVINCE, 0).0.text;
        let (jwt, rest) = whole.split_once('~').unwrap();
        let mut parts = jwt.split('.');
        let header = parts.next().unwrap();
        let payload = from_base64url(parts.next().unwrap()).unwrap();
        let payload: Value = serde_json::from_slice(&payload).unwrap();
        let input = |salt: u32| {
            let mut payload = payload.clone();
            payload["iat"] = json!(salt);
            format!("{header}.{}", to_base64url(payload.to_string().as_bytes()))
        };
        let signed = signer.sign(|salt| input(salt).into_bytes());
        let signature = to_base64url(&signed.signature);
        let presentation = format!("{}.{signature}~{rest}", input(signed.salt));
        let verdict = node.verify(&json!({"presentation": presentation})).json();
        let checks = verdict["checks"].as_array().unwrap();
        let result = |name: &str| &checks.iter().find(|c| c["name"] == name).unwrap()["result"];
        assert_eq!(result("issuer_key"), "pass", "{verdict}");
        let holds = result("signature") == "pass";
        // Nobody registered it, so that is the next that is found.
        assert_eq!(verdict["reason"], if holds { "not_on_ledger" } else { "bad_signature" });
        holds
    });
}
