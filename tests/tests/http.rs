//! The outside interface of a node, over real sockets: what a caller gets for good requests and
//! for bad ones.
//!
//! Not here: several nodes and consensus ([`cluster`](../cluster.rs)). The chain grows when a
//! test says so; see `http/support.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(clippy::panic, reason = "a test fails by panicking")]
#![allow(missing_docs, reason = "tests say what they check in their names")]

#[path = "http/support.rs"]
mod support;

#[path = "http/bad_input.rs"]
mod bad_input;

#[path = "http/lists.rs"]
mod lists;

#[path = "http/described.rs"]
mod described;

#[path = "http/governance.rs"]
mod governance;

#[path = "http/serving.rs"]
mod serving;

#[path = "http/trust.rs"]
mod trust;

#[path = "http/kept.rs"]
mod kept;

#[path = "http/waiting.rs"]
mod waiting;

#[path = "http/encrypted.rs"]
mod encrypted;

#[path = "http/presenting.rs"]
mod presenting;

#[path = "http/tickets.rs"]
mod tickets;

#[path = "http/retries.rs"]
mod retries;

#[path = "http/compat.rs"]
mod compat;

#[path = "http/status_pages.rs"]
mod status_pages;

#[path = "http/status_lists.rs"]
mod status_lists;

#[path = "http/stock_software.rs"]
mod stock_software;

#[path = "http/one_ed25519.rs"]
mod one_ed25519;

#[path = "interop/odd_signatures.rs"]
mod odd_signatures;

use serde_json::{Value, json};
use support::{Node, TYPE, base64url, bytes, digest};
use symbolon_ledger::{
    block::Block,
    certificate::Certificate,
    codec,
    codes::{Day, TypeCode},
    operation::{Interval, Operation, RevocationClass},
    records::{AgencyRecord, LicenceRecord, LicenceStatus, Record as _},
    state::StateKey,
};

fn recognise(from: &str) -> Operation {
    Operation::Recognise {
        licence_type: TYPE.parse().unwrap(),
        from_province: from.parse().unwrap(),
        interval: Interval { from: Day(0), until: None },
    }
}

#[test]
fn a_transaction_is_submitted_waited_for_and_proven_by_its_receipt() {
    let node = Node::start();
    let agency = node.agency("44");
    let transaction = node.by_agency("44", vec![Operation::ReserveSlots { agency, blocks: 1 }]);
    let id = transaction.id().to_string();

    let accepted = node.post_cose("/v1/transactions", transaction.as_bytes());
    assert_eq!(accepted.status, 202);
    let expected = json!({"id": id, "state": "pending", "last_failure": null});
    assert_eq!(accepted.json(), expected);
    let at = node.get(&format!("/v1/transactions/{id}")).json();
    let expected =
        json!({"id": id, "state": "pending", "last_failure": null, "tip": 0, "known_from": 0});
    assert_eq!(at, expected);
    let missing = node.get(&format!("/v1/transactions/{id}/receipt"));
    assert_eq!((missing.status, missing.problem().as_str()), (404, "not_committed"));

    // The same bytes again, in JSON, by somebody who waits.
    let body = json!({"transaction": base64url(transaction.as_bytes())});
    let answer = std::thread::scope(|scope| {
        let waiting =
            scope.spawn(|| node.post_json("/v1/transactions?wait=commit&timeout_ms=60000", &body));
        node.commit();
        waiting.join().unwrap()
    });
    assert_eq!(answer.status, 200);
    let committed = answer.json();
    assert_eq!((&committed["id"], &committed["height"]), (&json!(id), &json!(1)));
    assert_eq!(committed["state"], "committed");

    let receipt = bytes(&committed["receipt"]);
    let checked = symbolon_verify::receipt::check(&receipt, &node.trust()).unwrap();
    assert_eq!(checked.transaction(), transaction.id());
    let path = format!("/v1/transactions/{id}/receipt");
    let cbor = node.get_with(&path, &[("accept", "application/cbor")]);
    assert_eq!(cbor.headers["content-type"], "application/cbor");
    assert_eq!(cbor.body, receipt);
    let in_json = node.get(&path).json();
    assert_eq!(bytes(&in_json["receipt"]), receipt);
    assert_eq!((&in_json["height"], &in_json["index"]), (&json!(1), &json!(0)));

    // Once more: harmless, and answered at once.
    let again = node.post_cose("/v1/transactions", transaction.as_bytes());
    assert_eq!((again.status, again.json()), (200, committed));
    let at = node.get(&format!("/v1/transactions/{id}")).json();
    let expected = json!({"id": id, "state": "committed", "height": 1, "index": 0, "tip": 1,
        "known_from": 0});
    assert_eq!(at, expected);
}

#[test]
fn a_wait_that_ends_without_a_block_says_pending() {
    let node = Node::start();
    let agency = node.agency("44");
    let transaction = node.by_agency("44", vec![Operation::ReserveSlots { agency, blocks: 1 }]);
    let path = "/v1/transactions?wait=commit&timeout_ms=1";
    let answer = node.post_cose(path, transaction.as_bytes());
    assert_eq!((answer.status, &answer.json()["state"]), (202, &json!("pending")));
}

#[test]
fn who_waits_for_what_does_not_apply_is_told_why_and_it_never_comes_true() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    let resume = node.by_agency("44", vec![Operation::Resume { cid: licence.cid }]);
    let answer = node.post_cose("/v1/transactions?wait=commit&timeout_ms=60000", resume.as_bytes());
    assert_eq!(answer.status, 422);
    let code = answer.problem();
    let problem = answer.json();
    assert_eq!(problem["operation_index"], 0);
    assert_eq!(problem["id"], json!(resume.id().to_string()));
    let at = node.get(&format!("/v1/transactions/{}", resume.id())).json();
    assert_eq!((&at["state"], &at["code"]), (&json!("rejected"), &json!(code)));

    // What it waited for happens; the refused one stays undone.
    node.apply(&node.by_agency("44", vec![Operation::Suspend { cid: licence.cid }]));
    node.commit();
    let status = node.get(&format!("/v1/licences/{}", licence.cid)).json()["status"].clone();
    assert_eq!(status, "suspended");
    // Sent again, it applies.
    node.apply(&resume);
    let status = node.get(&format!("/v1/licences/{}", licence.cid)).json()["status"].clone();
    assert_eq!(status, "active");
}

#[test]
fn what_does_not_apply_yet_is_kept_for_those_who_do_not_wait() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    let resume = node.by_agency("44", vec![Operation::Resume { cid: licence.cid }]);
    let answer = node.post_cose("/v1/transactions", resume.as_bytes());
    assert_eq!(answer.status, 202);
    let failure = &answer.json()["last_failure"];
    assert!(failure["code"].is_string() && failure["hint"].is_string(), "{failure}");
    assert_eq!(failure["operation_index"], 0);
    let suspend = node.by_agency("44", vec![Operation::Suspend { cid: licence.cid }]);
    node.pool.submit(suspend.as_bytes()).unwrap();
    node.commit();
    node.commit();
    let at = node.get(&format!("/v1/transactions/{}", resume.id())).json();
    assert_eq!(at["state"], "committed", "{at}");
}

#[test]
fn a_licence_is_shown_with_its_record_its_proof_and_its_history() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 7);
    let revoke = Operation::Revoke { cid: licence.cid, class: RevocationClass::Penalty };
    node.apply(&node.by_agency("44", vec![revoke]));

    let path = format!("/v1/licences/{}", licence.cid);
    let shown = node.get(&path).json();
    assert_eq!(shown["status"], "revoked");
    assert_eq!(shown["revocation_class"], "penalty");
    assert_eq!(shown["licence_type"]["code"], TYPE);
    assert_eq!(shown["issuer"]["uscc"], json!(node.agency("44").to_string()));
    assert_eq!(shown["issuer"]["province"], "44");
    assert_eq!((&shown["slot"], &shown["status_list"]["index"]), (&json!(7), &json!(7)));
    assert_eq!((&shown["issued_at"], &shown["changed_at"]), (&json!(2), &json!(3)));
    assert_eq!(shown["height"], shown["as_of"]["height"]);

    let record = LicenceRecord::from_bytes(&bytes(&shown["record"])).unwrap();
    assert_eq!(record.status, LicenceStatus::Revoked { class: RevocationClass::Penalty });
    let proof =
        symbolon_verify::state_proof::check(&bytes(&shown["proof"]), &node.trust()).unwrap();
    let proven: LicenceRecord = proof.get(&StateKey::Licence(licence.cid)).unwrap().unwrap();
    assert_eq!(proven, record);

    let history = node.get(&format!("{path}/history")).json();
    let events: Vec<_> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["event"].as_str().unwrap(), e["status"].as_str().unwrap(), &e["height"]))
        .collect();
    assert_eq!(
        events,
        [("issue", "active", &json!(2)), ("revoke", "revoked", &json!(3))],
        "{history}"
    );
    // The issuer of the licence, in the same words.
    let by = &shown["issuer"];
    for (event, class) in [(0, json!(null)), (1, json!("penalty"))] {
        let event = &history["items"][event];
        assert_eq!((&event["actor"], &event["revocation_class"]), (by, &class), "{event}");
    }
}

#[test]
fn the_absence_of_a_licence_is_proven() {
    let node = Node::start();
    node.commit();
    let cid = "ab".repeat(32);
    for path in [format!("/v1/licences/{cid}"), format!("/v1/licences/{cid}/history")] {
        let answer = node.get(&path);
        assert_eq!((answer.status, answer.problem().as_str()), (404, "unknown_licence"));
        let problem = answer.json();
        assert_eq!(problem["height"], 1);
        let proof =
            symbolon_verify::state_proof::check(&bytes(&problem["proof"]), &node.trust()).unwrap();
        let key = StateKey::Licence(cid.parse().unwrap());
        assert_eq!(proof.bytes_at(&key).unwrap(), None);
    }
}

#[test]
fn a_licence_is_verified_recognised_and_refused_as_the_ledger_changes() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    let ask = json!({"presentation": licence.text, "recognising_province": "11"});

    let verdict = node.verify(&ask).json();
    assert_eq!((&verdict["outcome"], verdict.get("reason")), (&json!("valid"), None), "{verdict}");
    assert_eq!(verdict["recognised"]["value"], false);
    assert_eq!(verdict["cid"], json!(licence.cid.to_string()));
    assert_eq!(verdict["holder_bound"], Value::Null);
    let proof =
        symbolon_verify::state_proof::check(&bytes(&verdict["proof"]), &node.trust()).unwrap();
    assert!(proof.bytes_at(&StateKey::Licence(licence.cid)).unwrap().is_some());

    // At home it needs no agreement.
    let home = node.verify(&json!({"presentation": licence.text})).json();
    assert_eq!((&home["outcome"], &home["recognised"]["value"]), (&json!("valid"), &json!(true)));

    node.apply(&node.by_province("11", vec![recognise("44")]));
    let verdict = node.verify(&ask).json();
    assert_eq!(verdict["recognised"], json!({"value": true, "reason": "agreement"}));

    let revoke = Operation::Revoke { cid: licence.cid, class: RevocationClass::Withdrawn };
    node.apply(&node.by_agency("44", vec![revoke]));
    let verdict = node.verify(&ask).json();
    assert_eq!(
        (&verdict["outcome"], &verdict["reason"], &verdict["ledger_status"]),
        (&json!("invalid"), &json!("revoked"), &json!("revoked"))
    );

    // Never registered: unknown, and proven.
    let (never, _) = node.prepare_licence("44", 1);
    let verdict = node.verify(&json!({"presentation": never.text})).json();
    assert_eq!(
        (&verdict["outcome"], &verdict["ledger_status"]),
        (&json!("unknown"), &json!("none"))
    );
    let proof =
        symbolon_verify::state_proof::check(&bytes(&verdict["proof"]), &node.trust()).unwrap();
    assert_eq!(proof.bytes_at(&StateKey::Licence(never.cid)).unwrap(), None);
}

#[test]
fn an_old_ledger_decides_nothing_that_may_have_changed() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    let staleness = node.genesis.chain.max_staleness_ms;
    node.now_ms.fetch_add(staleness + 60_000, std::sync::atomic::Ordering::SeqCst);
    let verdict = node.verify(&json!({"presentation": licence.text})).json();
    assert_eq!(
        (&verdict["outcome"], &verdict["reason"]),
        (&json!("undetermined"), &json!("stale_ledger"))
    );
    node.commit();
    let verdict = node.verify(&json!({"presentation": licence.text})).json();
    assert_eq!(verdict["outcome"], "valid");
}

#[test]
fn dates_are_judged_at_the_time_asked_for() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    let verdict = |at: &str| node.verify(&json!({"presentation": licence.text, "at": at})).json();
    assert_eq!(verdict("2026-11-23")["outcome"], "valid");
    let early = verdict("1990-01-01");
    assert_eq!((&early["outcome"], &early["reason"]), (&json!("invalid"), &json!("not_yet_valid")));
}

#[test]
fn a_batch_is_answered_in_order_at_one_height() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    let (never, _) = node.prepare_licence("44", 1);
    let flipped = licence.text.replacen('.', ".A", 1);
    let items = json!([
        {"presentation": licence.text},
        {"presentation": "no licence"},
        {"presentation": never.text, "recognising_province": "51"},
        {"presentation": licence.text, "recognising_province": "99"},
        {"presentation": flipped},
        {"presentation": licence.text, "recognizing_province": "11"},
        {"presentation": 7},
        ["no object"],
        {"presentation": licence.text},
    ]);
    let answer = node.post_json("/v1/verify/batch", &json!({"items": items}));
    assert_eq!(answer.status, 200);
    let body = answer.json();
    assert_eq!(body["height"], 2);
    let verdicts = body["verdicts"].as_array().unwrap();
    assert_eq!(verdicts.len(), 9);
    assert_eq!(verdicts[0]["outcome"], "valid");
    assert_eq!(verdicts[1]["error"]["code"], "malformed_presentation");
    assert!(!verdicts[1]["error"]["hint"].as_str().unwrap().is_empty());
    assert_eq!(verdicts[2]["outcome"], "unknown");
    assert_eq!(verdicts[3]["error"]["code"], "bad_province");
    assert_eq!(verdicts[4]["error"]["code"], "malformed_presentation");
    for (place, detail) in [
        (5, "unknown field `recognizing_province`"),
        (6, "invalid type: integer, expected a string"),
        (7, "the item is no JSON object"),
    ] {
        let error = &verdicts[place]["error"];
        assert_eq!(error["code"], "bad_json");
        assert!(error["detail"].as_str().unwrap().starts_with(detail), "{error}");
    }
    assert_eq!(verdicts[8], verdicts[0]);
    assert!(verdicts[0]["proof"].is_string());

    let body = json!({"items": [{"presentation": licence.text}], "proof": false});
    let bare = node.post_json("/v1/verify/batch", &body).json();
    assert_eq!(bare["verdicts"][0]["proof"], Value::Null);

    let items: Vec<_> = (0..1_000).map(|_| json!({"presentation": licence.text})).collect();
    let many = node.post_json("/v1/verify/batch", &json!({"items": items})).json();
    let verdicts = many["verdicts"].as_array().unwrap();
    assert_eq!(verdicts.len(), 1_000);
    assert!(verdicts.iter().all(|v| v["outcome"] == "valid"));
}

#[test]
fn the_registries_show_records_and_prove_them() {
    let node = Node::start();
    node.reserve_slots("44");
    node.apply(&node.by_province("11", vec![recognise("44")]));
    let agency = node.agency("44");

    let list = node.get("/v1/agencies").json();
    assert_eq!((list["items"].as_array().unwrap().len(), &list["next"]), (4, &Value::Null));
    let of_44 = node.get("/v1/agencies?province=44").json();
    assert_eq!(of_44["items"][0]["uscc"], json!(agency.to_string()));
    let one = node.get(&format!("/v1/agencies/{agency}?proof=true")).json();
    assert_eq!(one["issuer"].as_str().unwrap().split("/a/").nth(1).unwrap(), agency.as_str());
    assert_eq!(one["keys"][0]["purpose"], "transaction");
    assert_eq!(one["keys"][1]["purpose"], "credential");
    assert_eq!(one["keys"][1]["valid"], true);
    let record = AgencyRecord::from_bytes(&bytes(&one["record"])).unwrap();
    let proof = symbolon_verify::state_proof::check(&bytes(&one["proof"]), &node.trust()).unwrap();
    assert_eq!(proof.get(&StateKey::Agency(agency)).unwrap(), Some(record));

    let slots = node.get(&format!("/v1/agencies/{agency}/slots")).json();
    assert_eq!(slots["province"], "44");
    assert_eq!(
        (&slots["items"][0]["block"], &slots["items"][0]["free"]),
        (&json!(0), &json!(4096))
    );

    for (path, key) in [
        ("/v1/provinces?proof=true", StateKey::Province("44".parse().unwrap())),
        ("/v1/licence-types?proof=true", StateKey::LicenceType(TYPE.parse().unwrap())),
        ("/v1/agencies?proof=true", StateKey::Agency(agency)),
        ("/v1/validators?proof=true", StateKey::Validators),
        ("/v1/parameters?proof=true", StateKey::Parameters),
        ("/v1/provinces/44?proof=true", StateKey::Province("44".parse().unwrap())),
        (
            "/v1/recognition?proof=true",
            StateKey::Recognition(
                "11".parse().unwrap(),
                "44".parse().unwrap(),
                TYPE.parse::<TypeCode>().unwrap(),
            ),
        ),
    ] {
        let answer = node.get(path).json();
        let proof = symbolon_verify::state_proof::check(&bytes(&answer["proof"]), &node.trust());
        assert!(proof.unwrap().bytes_at(&key).unwrap().is_some(), "{path}");
    }

    let none =
        node.get(&format!("/v1/recognition?recognising=51&issuing=44&type={TYPE}&proof=true"));
    let none = none.json();
    assert_eq!(none["items"], json!([]));
    let proof = symbolon_verify::state_proof::check(&bytes(&none["proof"]), &node.trust()).unwrap();
    assert_eq!(proof.entries().len(), 1);

    let validators = node.get("/v1/validators").json();
    assert_eq!(
        (&validators["quorum"], validators["items"].as_array().unwrap().len()),
        (&json!(3), 4)
    );
    assert!(validators["items"][0]["peer_id"].as_str().unwrap().starts_with("12D3KooW"));
    assert_eq!(node.get("/v1/proposals").json()["items"], json!([]));
    let licence_type = node.get(&format!("/v1/licence-types/{TYPE}")).json();
    assert!(
        licence_type["claims"]
            .as_array()
            .unwrap()
            .iter()
            .any(|c| c["key"] == "classes" || c["value"]["kind"] == "classes")
    );
}

#[test]
fn lists_are_read_page_by_page() {
    let node = Node::start();
    let mut after = String::new();
    let mut seen = Vec::new();
    loop {
        let page = node.get(&format!("/v1/provinces?limit=3{after}")).json();
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|p| p["code"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["11", "31", "44", "51"]);
}

#[test]
fn blocks_certificates_and_status_are_those_of_the_chain() {
    let node = Node::start();
    node.reserve_slots("44");
    let height = node.commit();
    let latest = node.get("/v1/blocks/latest");
    let by_height = node.get(&format!("/v1/blocks/{height}"));
    assert_eq!(latest.body, by_height.body);

    let one = node.get("/v1/blocks/1").json();
    assert_eq!(one["transactions"].as_array().unwrap().len(), 1);
    let cbor = node.get_with("/v1/blocks/1", &[("accept", "application/cbor")]);
    let block = Block::decode(&cbor.body).unwrap();
    assert_eq!(digest(&one["hash"]), block.hash());
    assert_eq!(digest(&one["header"]["state_root"]), block.header.state_root);
    let members: Vec<_> = one.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["hash", "header", "transactions"]);
    assert_eq!(node.get("/v1/blocks/0").json()["header"]["proposer"], Value::Null);

    let certificate = node.get("/v1/blocks/1/certificate").json();
    assert_eq!(certificate["block"], one["hash"]);
    let exact: Certificate = codec::decode(&bytes(&certificate["certificate"]), 10_000).unwrap();
    exact.verify(&node.store.chain_id(), &node.genesis.validator_set()).unwrap();

    let status = node.get("/v1/status").json();
    let tip = latest.json();
    assert_eq!(status["height"], height);
    assert_eq!(status["hash"], tip["hash"]);
    assert_eq!(status["state_root"], tip["header"]["state_root"]);
    assert_eq!(status["chain_id"], json!(node.genesis.chain_id().to_string()));
    assert_eq!((&status["province"], &status["role"]), (&json!("44"), &json!("validator")));

    let list = node.get("/v1/blocks?limit=2").json();
    assert_eq!(list["items"][0]["hash"], tip["hash"]);
    assert_eq!(list["next"], "1");
    let rest = node.get("/v1/blocks?after=1").json();
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
}
