//! Single rules, each checked where it is kept: for breaks that no liar of a simulated network can
//! bring about.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use symbolon_contracts::{
    ApplyError, BlockContext, Changes, Overlay, RejectionCode, StateFault, StateView,
    apply_transaction,
};
use symbolon_genesis::{founding::TRANSACTION_KEY_ID, presets::devnet_uscc};
use symbolon_ledger::{
    codec,
    codes::Day,
    governance::Action,
    hash::{Digest, TransactionId, sha256},
    keys::{PublicKey, SecretKey, Signature},
    log,
    operation::{Actor, Interval, Operation},
    state::StateKey,
    state_proof::{LEAF_PREFIX, MapPath, OtherLeaf},
    transaction::{NONCE_LEN, PAYLOAD_VERSION, Payload, SignedTransaction},
};
use symbolon_sim::{founding::Founding, machine::Machine};
use symbolon_verify::state_proof::check_path;

const VECTORS: &str = include_str!("../../../vectors/ed25519-speccheck.json");

fn holds(holds: bool, broken: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken.to_owned()) }
}

/// The founding state of four provinces, and what was changed since.
struct Book(BTreeMap<StateKey, Vec<u8>>);

impl StateView for Book {
    fn get(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StateFault> {
        Ok(self.0.get(key).cloned())
    }

    fn committed_at(&self, _: &TransactionId) -> Result<Option<u64>, StateFault> {
        Ok(None)
    }
}

impl Book {
    fn founded() -> Self {
        let machine = Machine::founded(Founding::of(4));
        Self(machine.records().collect())
    }

    /// What one operation of `actor`, signed with `key`, comes to at `height`.
    fn apply(
        &self,
        actor: Actor,
        key: &SecretKey,
        operation: Operation,
        height: u64,
    ) -> Result<Changes, RejectionCode> {
        let chain_id = Founding::of(4).chain_id;
        let payload = Payload {
            version: PAYLOAD_VERSION,
            chain_id,
            actor,
            key_id: TRANSACTION_KEY_ID,
            nonce: [1; NONCE_LEN],
            valid_until_height: height + 10,
            operations: vec![operation],
        };
        let signed = SignedTransaction::sign(&payload, key).unwrap();
        let verified = signed.verify(&key.public_key()).unwrap();
        let mut overlay = Overlay::new(self);
        let context = BlockContext { chain_id, height };
        match apply_transaction(&mut overlay, &context, &verified) {
            Ok(_) => Ok(overlay.into_changes()),
            Err(ApplyError::Rejected(why)) => Err(why.code),
            Err(ApplyError::Fault(fault)) => panic!("{fault}"),
        }
    }
}

pub(crate) fn a_transaction_counts_for_its_signer() -> Result<(), String> {
    let founding = Founding::of(4);
    let (victim, thief) = (founding.keys(0), founding.keys(1));
    let actor = Actor::Province(victim.province);
    let recognise = || Operation::Recognise {
        from_province: thief.province,
        licence_type: founding.types[0].clone(),
        interval: Interval { from: Day(20_000), until: None },
    };
    let book = Book::founded();
    let own = book.apply(actor, &victim.authority, recognise(), 1);
    holds(own.is_ok(), "a province's own transaction was refused")?;
    let stolen = book.apply(actor, &thief.authority, recognise(), 1);
    holds(stolen == Err(RejectionCode::WrongKey), "a transaction was taken under another's key")
}

pub(crate) fn an_ended_key_signs_nothing() -> Result<(), String> {
    let founding = Founding::of(4);
    let keys = founding.keys(0);
    let agency = devnet_uscc(keys.province);
    let mut book = Book::founded();
    let revoke = Operation::RevokeKey { agency, key_id: TRANSACTION_KEY_ID };
    let province = Actor::Province(keys.province);
    let changes = book.apply(province, &keys.authority, revoke, 5).unwrap();
    book.take(changes);
    let reserve = Operation::ReserveSlots { agency, blocks: 1 };
    let said = book.apply(Actor::Agency(agency), &keys.transaction, reserve, 7);
    holds(said == Err(RejectionCode::KeyNotValid), "an ended key signed a transaction")
}

pub(crate) fn a_vote_counts_for_the_action_it_names() -> Result<(), String> {
    let founding = Founding::of(4);
    let (proposer, voter) = (founding.keys(0), founding.keys(1));
    let leave = |seat| Action::RemoveProvince { province: founding.province(seat) };
    let ready = |idle| Action::SetParameters {
        idle_block_interval_ms: idle,
        max_staleness_ms: 60_000,
        bundle_max_age_ms: 600_000,
    };
    let mut book = Book::founded();
    let propose = Operation::Propose { action: Box::new(ready(500)), expires_at_height: 100 };
    let by = Actor::Province(proposer.province);
    let changes = book.apply(by, &proposer.authority, propose, 5).unwrap();
    book.take(changes);
    let approve = |action: &Action| Operation::Approve { proposal: 0, action: action.digest() };
    let voter_is = Actor::Province(voter.province);
    let said = book.apply(voter_is, &voter.authority, approve(&ready(500)), 6);
    holds(said.is_ok(), "a vote for what was proposed was refused")?;
    let other = book.apply(voter_is, &voter.authority, approve(&leave(2)), 6);
    holds(other == Err(RejectionCode::OtherAction), "a vote for another action was counted")
}

impl Book {
    fn take(&mut self, changes: Changes) {
        for (key, record) in changes {
            match record {
                Some(record) => self.0.insert(key, record),
                None => self.0.remove(&key),
            };
        }
    }
}

fn vectors() -> Vec<(Vec<u8>, Vec<u8>, [u8; 64], bool)> {
    let vectors: serde_json::Value = serde_json::from_str(VECTORS).unwrap();
    let case = |case: &serde_json::Value| {
        let bytes = |name: &str| HEXLOWER.decode(case[name].as_str().unwrap().as_bytes()).unwrap();
        let signature = bytes("signature").try_into().unwrap();
        let holds = case["holds"].as_bool().unwrap();
        (bytes("public_key"), bytes("message"), signature, holds)
    };
    vectors["cases"].as_array().unwrap().iter().map(case).collect()
}

pub(crate) fn weak_keys_are_refused() -> Result<(), String> {
    let mut identity = [0; 32];
    identity[0] = 1;
    let weak = &vectors()[0].0;
    let refused = PublicKey::from_bytes(&identity).is_err() && PublicKey::from_bytes(weak).is_err();
    holds(refused, "a public key of small order was taken")
}

pub(crate) fn signatures_have_one_answer() -> Result<(), String> {
    for (number, (key, message, signature, expected)) in vectors().into_iter().enumerate() {
        let key = PublicKey::from_bytes(&key);
        let answer = key.is_ok_and(|key| key.verify(&message, &Signature(signature)).is_ok());
        holds(answer == expected, &format!("a published signature, case {number}: {answer}"))?;
    }
    Ok(())
}

pub(crate) fn what_is_there_is_not_absent() -> Result<(), String> {
    let (key, record) = (sha256(b"key"), b"record");
    let leaf = [LEAF_PREFIX, key.as_bytes(), sha256(record).as_bytes()].concat();
    let root: Digest = sha256(&leaf);
    let there = check_path(&root, &key, Some(record), &MapPath::default());
    holds(there.is_ok(), "a record could not be proved")?;
    let other = Some(OtherLeaf { key, value: sha256(record) });
    let absent = check_path(&root, &key, None, &MapPath { siblings: Vec::new(), other });
    holds(absent.is_err(), "a record that is there was proved absent")
}

pub(crate) fn a_value_has_one_spelling() -> Result<(), String> {
    holds(codec::decode::<u64>(&[0x05], 8) == Ok(5), "a number was refused")?;
    let second = codec::decode::<u64>(&[0x18, 0x05], 8);
    holds(second.is_err(), "a second spelling of a number was taken")
}

pub(crate) fn a_leaf_is_no_node() -> Result<(), String> {
    let (left, right) = (log::leaf_hash(b"one"), log::leaf_hash(b"two"));
    let pair = [left.as_bytes().as_slice(), right.as_bytes()].concat();
    holds(log::leaf_hash(&pair) != log::node_hash(&left, &right), "a node passes for a leaf")
}
