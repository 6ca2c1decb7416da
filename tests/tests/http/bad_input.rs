//! Bad requests: each is named, told how to be mended, and never a 5xx.

use serde_json::{Value, json};
use symbolon_credential::sd_jwt::MAX_PRESENTATION_LEN;
use symbolon_ledger::{
    codes::Label,
    hash::{Digest, sha256},
    keys::SecretKey,
    operation::{Actor, Operation, RevocationClass},
    transaction::{Payload, SignedTransaction, VALIDITY_WINDOW},
};

use crate::support::{Answer, Node, TYPE, base64url, request};

const JSON: (&str, &str) = ("content-type", "application/json");
const COSE: (&str, &str) = ("content-type", "application/cose");

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.problem().as_str(), answer.status), (code, status), "{}", answer.json());
}

#[test]
fn wrong_addresses_and_methods_are_named() {
    let node = Node::start();
    let upper = "AB".repeat(32);
    for (path, status, code) in [
        ("/", 404, "not_found"),
        ("/v1", 404, "not_found"),
        ("/v1/licences", 404, "not_found"),
        ("/v2/status", 404, "not_found"),
        ("/v1/licences/abc", 400, "bad_cid"),
        (&format!("/v1/licences/{upper}"), 400, "bad_cid"),
        ("/v1/licences/%FF", 400, "bad_utf8"),
        ("/v1/licences/%00/history", 400, "bad_cid"),
        ("/v1/transactions/xyz", 400, "bad_transaction_id"),
        ("/v1/transactions/xyz/receipt", 400, "bad_transaction_id"),
        ("/v1/agencies/11100000000013127E", 400, "bad_uscc"),
        ("/v1/agencies/short", 400, "bad_uscc"),
        ("/v1/agencies/11100000000013127D", 404, "unknown_agency"),
        ("/v1/agencies/11100000000013127D/slots", 404, "unknown_agency"),
        ("/v1/agencies?province=4", 400, "bad_province"),
        ("/v1/agencies?province=99", 400, "bad_province"),
        ("/v1/agencies?after=zzz", 400, "bad_query"),
        ("/v1/agencies?limit=0", 400, "bad_query"),
        ("/v1/agencies?limit=1001", 400, "bad_query"),
        ("/v1/agencies?limit=x", 400, "bad_query"),
        ("/v1/agencies?proof=maybe", 400, "bad_query"),
        ("/v1/agencies?prof=true", 400, "bad_query"),
        ("/v1/provinces?after=zzz", 400, "bad_query"),
        ("/v1/provinces/4", 400, "bad_province"),
        ("/v1/provinces/99", 404, "unknown_province"),
        ("/v1/licence-types?after=zzz", 400, "bad_query"),
        ("/v1/licence-types/nothing", 400, "bad_licence_type"),
        ("/v1/licence-types/local:nothing", 404, "unknown_licence_type"),
        ("/v1/recognition?type=nothing", 400, "bad_licence_type"),
        ("/v1/recognition?issuing=99", 400, "bad_province"),
        ("/v1/recognition?issuing=none", 400, "bad_province"),
        ("/v1/recognition?recognising=99", 400, "bad_province"),
        ("/v1/recognition?after=zzz", 400, "bad_query"),
        ("/v1/recognition?after=44.31", 400, "bad_query"),
        ("/v1/blocks/-1", 400, "bad_height"),
        ("/v1/blocks/007", 400, "bad_height"),
        ("/v1/blocks/18446744073709551616", 400, "bad_height"),
        ("/v1/blocks/18446744073709551615", 404, "unknown_block"),
        ("/v1/blocks/5/certificate", 404, "unknown_block"),
        ("/v1/blocks/0/certificate", 404, "no_certificate"),
        ("/v1/blocks?after=x", 400, "bad_query"),
        ("/v1/events?from=x", 400, "bad_query"),
        ("/v1/verify", 405, "method_not_allowed"),
        ("/v1/transactions", 405, "method_not_allowed"),
    ] {
        let answer = node.get(path);
        assert_eq!((answer.status, answer.problem().as_str()), (status, code), "{path}");
    }
    let unknown = sha256(b"no such transaction").to_string();
    refused(&node.get(&format!("/v1/transactions/{unknown}/receipt")), 404, "unknown_transaction");
    let state = node.get(&format!("/v1/transactions/{unknown}")).json();
    assert_eq!(state, json!({"id": unknown, "state": "unknown", "tip": 0, "known_from": 0}));
    for method in ["POST", "PUT", "DELETE", "PATCH", "BREW"] {
        let answer = request(node.public, method, "/v1/status", &[], b"");
        refused(&answer, 405, "method_not_allowed");
        assert!(answer.headers["allow"].contains("GET"));
    }
    let bad = node.get_with("/v1/events", &[("last-event-id", "x")]);
    refused(&bad, 400, "bad_height");
}

#[test]
fn the_right_check_character_is_told() {
    let node = Node::start();
    let answer = node.get("/v1/agencies/11100000000013127E");
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("should be D"), "{detail}");
}

#[test]
fn an_absent_registry_item_is_proven_absent_on_request() {
    let node = Node::start();
    for path in [
        "/v1/agencies/11100000000013127D?proof=true",
        "/v1/provinces/99?proof=true",
        "/v1/licence-types/local:nothing?proof=true",
    ] {
        let answer = node.get(path);
        assert_eq!(answer.status, 404);
        let name = path.trim_end_matches("?proof=true").rsplit('/').next().unwrap();
        assert!(answer.json()["detail"].as_str().unwrap().contains(name), "{path}");
        let proof = crate::support::bytes(&answer.json()["proof"]);
        let checked = symbolon_verify::state_proof::check(&proof, &node.trust()).unwrap();
        assert!(checked.entries().values().all(Option::is_none), "{path}");
    }
}

#[test]
fn bodies_that_cannot_be_read_are_named() {
    let node = Node::start();
    let post = |path: &str, headers: &[(&str, &str)], body: &[u8]| {
        request(node.public, "POST", path, headers, body)
    };
    for path in [
        "/v1/verify",
        "/v1/verify/batch",
        "/v1/challenges",
        "/v1/tickets",
        "/v1/compat/verifyCertInfo",
        "/v1/compat/queryCertInfo",
        "/v1/transactions",
    ] {
        refused(&post(path, &[], b"{}"), 415, "unsupported_media_type");
        refused(
            &post(path, &[("content-type", "text/plain")], b"{}"),
            415,
            "unsupported_media_type",
        );
        refused(&post(path, &[JSON], b""), 400, "bad_json");
        refused(&post(path, &[JSON], b"{"), 400, "bad_json");
        let list = post(path, &[JSON], b"[\"x\", null, null, null, null]");
        refused(&list, 400, "bad_json");
        assert_eq!(list.json()["detail"], "the body is no JSON object", "{path}");
        refused(&post(path, &[JSON], b"[]"), 400, "bad_json");
        refused(&post(path, &[JSON], b"null"), 400, "bad_json");
        refused(&post(path, &[JSON], b"{\"unknown\": 1}"), 400, "bad_json");
        refused(&post(path, &[JSON], b"{\"a\": \"\xff\xfe\"}"), 400, "bad_utf8");
        refused(&post(path, &[JSON], "[".repeat(10_000).as_bytes()), 400, "bad_json");
    }
    let too_large = vec![b' '; 17 * 1024 * 1024];
    for (path, size) in [
        ("/v1/verify", MAX_PRESENTATION_LEN + 4 * 1024 + 1),
        ("/v1/tickets", 20 * 1024 + 1),
        ("/v1/compat/verifyCertInfo", MAX_PRESENTATION_LEN + 4 * 1024 + 1),
        ("/v1/challenges", 16 * 1024 + 1),
        ("/v1/transactions", 96 * 1024 + 1),
        ("/v1/verify/batch", 16 * 1024 * 1024 + 1),
    ] {
        let answer = post(path, &[JSON], &too_large[..size]);
        refused(&answer, 413, "body_too_large");
        let (detail, most) = (answer.json()["detail"].to_string(), size - 1);
        assert!(detail.contains(&format!(" {most} bytes")), "{path}: {detail}");
    }
    refused(&post("/v1/transactions", &[COSE], b""), 400, "malformed_transaction");
    refused(&post("/v1/transactions", &[JSON], b"{\"transaction\": \"=\"}"), 400, "bad_base64");
    refused(
        &post("/v1/transactions", &[JSON], b"{\"transaction\": \"\"}"),
        400,
        "malformed_transaction",
    );
    let large = vec![0xd2; 70 * 1024];
    refused(&post("/v1/transactions", &[COSE], &large), 400, "malformed_transaction");
    for query in
        ["wait=finality", "timeout_ms=5", "wait=commit&timeout_ms=60001", "wait=commit&x=1"]
    {
        let path = format!("/v1/transactions?{query}");
        refused(&post(&path, &[COSE], b""), 400, "bad_query");
    }
}

#[test]
fn the_longest_presentation_fits_into_a_request() {
    let node = Node::start();
    let (licence, _) = node.prepare_licence("44", 0);
    // Not a disclosure of this licence: read to its end, and told what is wrong with it.
    let mut text = licence.text;
    text.push_str(&"A".repeat(MAX_PRESENTATION_LEN - text.len() - 1));
    text.push('~');
    assert_eq!(text.len(), MAX_PRESENTATION_LEN);
    let body = json!({"presentation": text, "recognising_province": "11", "at": "2026-11-24"});
    refused(&node.verify(&body), 400, "malformed_presentation");
    let longer = json!({"presentation": format!("{text}~")});
    refused(&node.verify(&longer), 400, "malformed_presentation");
}

#[test]
fn requests_for_verification_that_make_no_sense_are_named() {
    let node = Node::start();
    let (licence, _) = node.prepare_licence("44", 0);
    let text = licence.text;
    let with = |name: &str, value: Value| {
        let mut body = json!({"presentation": text});
        body[name] = value;
        body
    };
    for (body, code) in [
        (json!({"presentation": ""}), "malformed_presentation"),
        (json!({"presentation": "eyJ"}), "malformed_presentation"),
        (json!({"presentation": format!("{text}x")}), "malformed_presentation"),
        (json!({"presentation": &text[..text.len() / 2]}), "malformed_presentation"),
        (json!({"presentation": "ELC1:6BF"}), "malformed_presentation"),
        (json!({"presentation": format!("{text}\u{0}")}), "malformed_presentation"),
        (json!({"presentation": 7}), "bad_json"),
        (with("recognising_province", json!("1")), "bad_province"),
        (with("recognising_province", json!("99")), "bad_province"),
        (with("at", json!("tomorrow")), "bad_at"),
        (with("at", json!("2026-02-30")), "bad_at"),
        (with("audience", json!("a".repeat(600))), "bad_json"),
        (with("recognizing_province", json!("11")), "bad_json"),
    ] {
        refused(&node.verify(&body), 400, code);
    }
    let none = json!({"items": []});
    refused(&node.post_json("/v1/verify/batch", &none), 400, "too_many_items");
    let many: Vec<_> = (0..1_001).map(|_| json!({"presentation": "x"})).collect();
    refused(&node.post_json("/v1/verify/batch", &json!({"items": many})), 400, "too_many_items");
}

fn submit(node: &Node, transaction: &SignedTransaction) -> Answer {
    node.post_cose("/v1/transactions?wait=commit&timeout_ms=60000", transaction.as_bytes())
}

fn revoke(cid: Digest) -> Operation {
    Operation::Revoke { cid, class: RevocationClass::Unspecified }
}

#[test]
fn transactions_of_the_wrong_chain_time_or_key_are_refused_as_such() {
    let node = Node::start();
    node.commit();
    let key = &node.keys_of("44").transaction;
    let actor = Actor::Agency(node.agency("44"));
    let nobody = Actor::Agency("11100000000013127D".parse().unwrap());
    let change = |change: &dyn Fn(&mut Payload)| {
        let mut payload = node.payload(actor, vec![revoke(sha256(b"none"))]);
        change(&mut payload);
        SignedTransaction::sign(&payload, key).unwrap()
    };
    let stranger = SecretKey::from_seed(&[99; 32]);
    for (code, transaction) in [
        ("wrong_chain", change(&|p| p.chain_id = sha256(b"another chain"))),
        ("expired", change(&|p| p.valid_until_height = 1)),
        ("too_far_ahead", change(&|p| p.valid_until_height = VALIDITY_WINDOW + 1_000)),
        ("unknown_key", change(&|p| p.key_id = 77)),
        ("unknown_key", change(&|p| p.actor = nobody)),
        ("wrong_key", node.sign(actor, &stranger, vec![revoke(sha256(b"none"))])),
    ] {
        refused(&submit(&node, &transaction), 422, code);
    }
}

#[test]
fn transactions_that_do_not_apply_are_refused_with_the_reason() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    let (again, issue_again) = node.prepare_licence("44", 0);
    assert_eq!(again.cid, licence.cid);
    let (_, mut in_used_slot) = node.prepare_licence("44", 0);
    if let Operation::Issue { licence } = &mut in_used_slot {
        licence.inner = sha256(b"another credential");
        licence.lineage = sha256(b"another document");
    }
    let (_, in_other_slot) = node.prepare_licence("44", 5_000);
    let name: Label = "某局".parse().unwrap();
    let register = Operation::RegisterAgency {
        agency: "11100000000013127D".parse().unwrap(),
        name,
        scope: vec![TYPE.parse().unwrap()],
        keys: Vec::new(),
    };
    let resume = Operation::Resume { cid: licence.cid };
    for (what, transaction) in [
        ("unknown licence", node.by_agency("44", vec![revoke(sha256(b"none"))])),
        ("another's licence", node.by_agency("11", vec![revoke(licence.cid)])),
        ("duplicate", node.by_agency("44", vec![issue_again])),
        ("used slot", node.by_agency("44", vec![in_used_slot])),
        ("slot not reserved", node.by_agency("44", vec![in_other_slot])),
        ("not a province", node.by_agency("44", vec![register])),
        ("not active", node.by_province("44", vec![resume.clone()])),
        ("not suspended", node.by_agency("44", vec![resume])),
    ] {
        let answer = submit(&node, &transaction);
        assert_eq!(answer.status, 422, "{what}: {}", answer.json());
        answer.problem();
        let problem = answer.json();
        assert_eq!(problem["id"], json!(transaction.id().to_string()), "{what}");
        assert!(problem.get("operation_index").is_some(), "{what}: {problem}");
    }

    // The second operation is at fault: it is named, and the first one was not done either.
    let suspend = Operation::Suspend { cid: licence.cid };
    let two = node.by_agency("44", vec![suspend, revoke(sha256(b"none"))]);
    let answer = submit(&node, &two);
    assert_eq!((answer.status, &answer.json()["operation_index"]), (422, &json!(1)));
    let shown = node.get(&format!("/v1/licences/{}", licence.cid)).json();
    assert_eq!(shown["status"], "active");
}

#[test]
fn no_byte_of_a_transaction_can_change_unnoticed() {
    let node = Node::start();
    let agency = node.agency("44");
    let good = node.by_agency("44", vec![Operation::ReserveSlots { agency, blocks: 1 }]);
    for at in (0..good.as_bytes().len()).step_by(3) {
        let mut bytes = good.as_bytes().to_vec();
        bytes[at] ^= 1;
        let answer = node.post_cose("/v1/transactions", &bytes);
        answer.problem();
        assert!([400, 422].contains(&answer.status), "byte {at}: {}", answer.status);
    }
    let truncated = &good.as_bytes()[..good.as_bytes().len() - 1];
    refused(&node.post_cose("/v1/transactions", truncated), 400, "malformed_transaction");
    let longer = json!({"transaction": base64url(&[good.as_bytes(), &[0]].concat())});
    refused(&node.post_json("/v1/transactions", &longer), 400, "malformed_transaction");
}
