//! What an offline verifier takes from a node, and that it holds without the node.

use std::sync::atomic::Ordering;

use serde_json::json;
use symbolon_credential::sd_jwt::Parsed;
use symbolon_ledger::{
    codes::Day,
    keys::SecretKey,
    operation::{Actor, Interval, KeyPurpose, NewKey, Operation, RevocationClass},
    records::{KeyRecord, ParametersRecord, ProvinceRecord},
    state::StateKey,
};
use symbolon_verify::{
    judge::Request,
    offline::{Evidence, verify},
    receipt,
    state_proof::{self, CheckedState},
    trust::{Anchor, HeaderError, Trust},
    verdict::{Outcome, RecognitionReason, Verdict},
    view::{AsOf, LedgerView},
};

use crate::support::{Answer, Licence, Node, START_MS, TYPE, bytes, digest};

const CBOR: (&str, &str) = ("accept", "application/cbor");
const WEEK_MS: u64 = 7 * 24 * 3_600_000;

fn founding(node: &Node) -> Trust {
    node.trust()
}

/// The node's newest bundle, checked from the founding block.
fn pinned(node: &Node) -> Trust {
    let answer = node.get_with("/v1/trust-bundle", &[CBOR]);
    assert_eq!(answer.headers["content-type"], "application/cbor");
    let genesis = founding(node);
    let anchor = Anchor::founding(genesis.pin().header());
    Trust::check(&answer.body, &anchor, START_MS).unwrap()
}

fn inclusion(node: &Node, height: u64, head: u64) -> Vec<u8> {
    let answer = node.get_with(&format!("/v1/blocks/{height}/inclusion?head={head}"), &[CBOR]);
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    answer.body
}

#[test]
fn the_trust_bundle_holds_from_the_founding_block_and_follows_the_chain() {
    let node = Node::start();
    for blocks in 0..3 {
        let trust = pinned(&node);
        assert_eq!(trust.pin().header().height, blocks);
        let shown = node.get("/v1/trust-bundle").json();
        assert_eq!(bytes(&shown["bundle"]), trust.to_bytes());
        assert_eq!(shown["height"], blocks);
        assert_eq!(digest(&shown["hash"]), trust.pin().hash());
        assert_eq!(digest(&shown["chain_id"]), trust.chain_id());
        assert_eq!(shown["genesis"], node.get("/v1/blocks/0").json()["hash"]);
        assert_eq!(shown["founding"]["provinces"], json!(["11", "31", "44", "51"]));
        assert_eq!(shown["changes"], json!([]));
        node.commit();
    }
    // One block, one bundle: whoever asks gets the same bytes.
    assert_eq!(node.get("/v1/trust-bundle").body, node.get("/v1/trust-bundle").body);
}

#[test]
fn a_pin_is_extended_with_the_inclusion_that_the_node_gives() {
    let node = Node::start();
    let mut trust = founding(&node);
    for blocks in [1, 2, 5, 8] {
        for _ in 0..blocks {
            node.commit();
        }
        let newer = node.get_with("/v1/trust-bundle", &[CBOR]).body;
        let head = pinned(&node).pin().header().height;
        let link = inclusion(&node, trust.pin().header().height, head);
        trust = trust.extend(&newer, Some(&link), START_MS).unwrap();
        assert_eq!(trust.pin().header().height, head);
    }
    assert_eq!(trust, pinned(&node));
}

#[test]
fn receipts_and_proofs_from_below_the_pin_hold_with_their_inclusion() {
    let node = Node::start();
    let agency = node.agency("44");
    let operation = Operation::ReserveSlots { agency, blocks: 1 };
    let transaction = node.by_agency("44", vec![operation]);
    let height = node.apply(&transaction);
    let path = format!("/v1/transactions/{}/receipt", transaction.id());
    let receipt = node.get_with(&path, &[CBOR]).body;
    let proof = bytes(&node.get("/v1/parameters?proof=true").json()["proof"]);
    for _ in 0..6 {
        node.commit();
    }
    let trust = pinned(&node);
    let pin = trust.pin().header().height;
    let missing = HeaderError::NoInclusion { height, pin };
    let refused = receipt::check(&receipt, &trust).unwrap_err();
    assert_eq!(refused, receipt::ReceiptError::Header(missing.clone()));
    let refused = state_proof::check(&proof, &trust).unwrap_err();
    assert_eq!(refused, state_proof::StateProofError::Header(missing));

    let shown = node.get(&format!("/v1/blocks/{height}/inclusion")).json();
    assert_eq!((&shown["height"], &shown["head"]), (&json!(height), &json!(pin)));
    assert_eq!(digest(&shown["history_root"]), trust.pin().header().history_root);
    assert_eq!(shown["hash"], node.get(&format!("/v1/blocks/{height}")).json()["hash"]);
    let included = bytes(&shown["inclusion"]);
    assert_eq!(included, inclusion(&node, height, pin));
    let checked = receipt::check_included(&receipt, &trust, Some(&included)).unwrap();
    assert_eq!(checked.transaction(), transaction.id());
    let checked = state_proof::check_included(&proof, &trust, Some(&included)).unwrap();
    assert!(checked.get::<ParametersRecord>(&StateKey::Parameters).unwrap().is_some());
}

#[test]
fn an_inclusion_that_there_cannot_be_is_refused_with_a_reason() {
    let node = Node::start();
    node.commit();
    node.commit();
    let refused = |path: &str| {
        let answer = node.get(path);
        (answer.status, answer.problem())
    };
    let rows = [
        ("/v1/blocks/2/inclusion", 404, "no_inclusion"),
        ("/v1/blocks/3/inclusion", 404, "unknown_block"),
        ("/v1/blocks/1/inclusion?head=3", 404, "unknown_block"),
        ("/v1/blocks/1/inclusion?head=1", 400, "bad_query"),
        ("/v1/blocks/2/inclusion?head=1", 400, "bad_query"),
        ("/v1/blocks/1/inclusion?head=x", 400, "bad_query"),
        ("/v1/blocks/1/inclusion?height=1", 400, "bad_query"),
        ("/v1/blocks/01/inclusion", 400, "bad_height"),
        ("/v1/blocks/18446744073709551616/inclusion", 400, "bad_height"),
        ("/v1/blocks/1/inclusion?head=18446744073709551615", 404, "unknown_block"),
    ];
    for (path, status, code) in rows {
        assert_eq!(refused(path), (status, code.to_owned()), "{path}");
    }
}

/// A staple, checked against the trust of before its block.
fn staple(node: &Node, trust: &Trust, answer: &Answer) -> CheckedState {
    let pin = trust.pin().header().height;
    let bytes = if answer.status == 200 && answer.headers["content-type"] == "application/cbor" {
        answer.body.clone()
    } else {
        bytes(&answer.json()["proof"])
    };
    let head = node.get("/v1/status").json()["height"].as_u64().unwrap();
    assert!(head > pin, "the staple is newer than the pin");
    state_proof::check(&bytes, trust).unwrap()
}

fn judge(licence: &Licence, state: CheckedState, trust: &Trust, asking: &str) -> Verdict {
    let request = Request {
        recognising_province: asking.parse().unwrap(),
        audience: None,
        nonce: None,
        now_ms: START_MS + 10_000,
        at_ms: None,
        earliest_at_ms: None,
        max_staleness_ms: 60_000,
    };
    let evidence = Evidence { states: &[state], list: None };
    verify(&Parsed::parse(&licence.text).unwrap(), &evidence, trust, WEEK_MS, &request)
}

#[test]
fn a_staple_proves_everything_that_a_verdict_rests_on() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    let recognise = Operation::Recognise {
        licence_type: TYPE.parse().unwrap(),
        from_province: "44".parse().unwrap(),
        interval: Interval { from: Day(0), until: None },
    };
    node.apply(&node.by_province("51", vec![recognise]));
    let trust = pinned(&node);
    node.now_ms.store(START_MS + 10_000, Ordering::SeqCst);
    node.commit();

    let path = format!("/v1/licences/{}/proof?recognising_province=11,51", licence.cid);
    let answer = node.get_with(&path, &[CBOR]);
    let state = staple(&node, &trust, &answer);
    let shown = node.get(&path).json();
    assert_eq!(bytes(&shown["proof"]), answer.body);
    assert_eq!(shown["entries"], state.entries().len());
    assert_eq!((&shown["cid"], &shown["height"]), (&json!(licence.cid.to_string()), &json!(4)));

    for (asking, reason) in
        [("11", RecognitionReason::NoAgreement), ("51", RecognitionReason::Agreement)]
    {
        let offline = judge(&licence, state.clone(), &trust, asking);
        assert_eq!(offline.outcome, Outcome::Valid, "{offline:?}");
        assert_eq!(offline.recognised.reason, reason);
        let body = json!({"presentation": licence.text, "recognising_province": asking});
        let online: Verdict = serde_json::from_slice(&node.verify(&body).body).unwrap();
        let same =
            Verdict { message: online.message.clone(), proof: online.proof.clone(), ..offline };
        assert_eq!(same, online);
    }
    // Whatever a node would read for its verdict is in the staple.
    let parsed = Parsed::parse(&licence.text).unwrap();
    let as_of = AsOf::of(state.header().header());
    let view = LedgerView::read(as_of, &parsed, "11".parse().unwrap(), |key| {
        state.bytes_at(key).map(|record| record.map(<[u8]>::to_vec))
    });
    assert!(view.is_ok());
    let parameters = state.get::<ParametersRecord>(&StateKey::Parameters).unwrap().unwrap();
    assert_eq!(parameters.max_staleness_ms, node.genesis.chain.max_staleness_ms);

    let revoke = Operation::Revoke { cid: licence.cid, class: RevocationClass::Penalty };
    node.apply(&node.by_agency("44", vec![revoke]));
    let state = staple(&node, &trust, &node.get_with(&path, &[CBOR]));
    assert_eq!(judge(&licence, state, &trust, "11").outcome, Outcome::Invalid);
}

#[test]
fn a_staple_carries_the_key_of_the_status_lists_unless_it_is_left_out() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    let secret = SecretKey::from_seed(&[99; 32]);
    let (key, purpose) = (secret.public_key(), KeyPurpose::Status);
    let new_key = NewKey { key, purpose, valid_until: None };
    let set = Operation::SetStatusKey { key: new_key };
    let trust = pinned(&node);
    node.apply(&node.by_province("44", vec![set]));
    let home = "44".parse().unwrap();
    let path = format!("/v1/licences/{}/proof", licence.cid);
    let state = staple(&node, &trust, &node.get(&path));
    let province: ProvinceRecord = state.get(&StateKey::Province(home)).unwrap().unwrap();
    let place = StateKey::Key(Actor::Province(home), province.status_key.unwrap());
    let record: KeyRecord = state.get(&place).unwrap().unwrap();
    assert_eq!(record.key, secret.public_key());
    let without = staple(&node, &trust, &node.get(&format!("{path}?status=false")));
    assert!(without.bytes_at(&place).is_err());
}

#[test]
fn a_staple_of_a_licence_that_is_not_there_proves_that_with_its_issuer() {
    let node = Node::start();
    node.reserve_slots("44");
    let trust = pinned(&node);
    node.commit();
    let (never, _) = node.prepare_licence("44", 1);
    let (agency, cid) = (node.agency("44"), never.cid);
    let bare = node.get_with(&format!("/v1/licences/{cid}/proof"), &[CBOR]);
    assert_eq!((bare.status, bare.problem().as_str()), (404, "unknown_licence"));
    let state = staple(&node, &trust, &bare);
    assert_eq!(state.bytes_at(&StateKey::Licence(cid)).unwrap(), None);

    let path = format!("/v1/licences/{cid}/proof?issuer={agency}&key_id=1&licence_type={TYPE}");
    let answer = node.get(&path);
    assert_eq!((answer.status, answer.problem().as_str()), (404, "unknown_licence"));
    let state = staple(&node, &trust, &answer);
    assert_eq!(judge(&never, state, &trust, "44").outcome, Outcome::Unknown);
}

#[test]
fn a_staple_that_cannot_be_asked_for_is_refused_with_a_reason() {
    let node = Node::start();
    node.commit();
    let cid = "ab".repeat(32);
    let many = vec!["11"; 41].join(",");
    let rows = [
        ("/v1/licences/AB/proof".to_owned(), "bad_cid"),
        (format!("/v1/licences/{cid}/proof?recognising_province=1"), "bad_province"),
        (format!("/v1/licences/{cid}/proof?recognising_province=11,"), "bad_province"),
        (format!("/v1/licences/{cid}/proof?recognising_province=99"), "bad_province"),
        (format!("/v1/licences/{cid}/proof?recognising_province=11,99"), "bad_province"),
        (format!("/v1/licences/{cid}/proof?recognising_province={many}"), "bad_query"),
        (format!("/v1/licences/{cid}/proof?issuer=1"), "bad_uscc"),
        (format!("/v1/licences/{cid}/proof?licence_type=x"), "bad_licence_type"),
        (format!("/v1/licences/{cid}/proof?key_id=-1"), "bad_query"),
        (format!("/v1/licences/{cid}/proof?statuses=true"), "bad_query"),
    ];
    for (path, code) in rows {
        let answer = node.get(&path);
        assert_eq!((answer.status, answer.problem().as_str()), (400, code), "{path}");
    }
}
