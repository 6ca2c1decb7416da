//! What callers may keep of an answer, and what this node keeps for the next one: neither is ever
//! old, torn, or believed for another question.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use symbolon_ledger::{
    operation::Operation,
    records::{LicenceRecord, ProvinceRecord, Record as _},
    state::StateKey,
};
use symbolon_verify::state_proof;

use crate::support::{Answer, Licence, Node, TYPE, bytes};

const UNCHANGING: &str = "public, max-age=86400, immutable";
const ASKED_AGAIN: &str = "public, no-cache";

fn kept(answer: &Answer) -> &str {
    &answer.headers["cache-control"]
}

#[test]
fn what_never_changes_may_be_kept_and_what_is_judged_or_refused_may_not() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    let suspend = node.by_agency("44", vec![Operation::Suspend { cid: licence.cid }]);
    node.apply(&suspend);
    let check = |path: &str, status: u16, expected: &str| {
        for accept in ["application/json", "application/cbor"] {
            let answer = node.get_with(path, &[("accept", accept)]);
            assert_eq!((answer.status, kept(&answer)), (status, expected), "{path}");
        }
    };
    let id = suspend.id();
    check("/v1/blocks/0", 200, UNCHANGING);
    check("/v1/blocks/2", 200, UNCHANGING);
    check("/v1/blocks/2/certificate", 200, UNCHANGING);
    check("/v1/blocks/0/inclusion?head=2", 200, UNCHANGING);
    check(&format!("/v1/transactions/{id}/receipt"), 200, UNCHANGING);
    check(&format!("/vct/{TYPE}:1"), 200, UNCHANGING);
    check(&format!("/vct/{TYPE}"), 200, "public, max-age=3600");
    check("/v1/blocks/latest", 200, "no-store");
    check("/v1/blocks/0/inclusion", 200, "no-store");
    check("/v1/blocks/99", 404, "no-store");
    check("/v1/blocks/0/certificate", 404, "no-store");
    check(&format!("/v1/transactions/{id}"), 200, "no-store");
    check(&format!("/v1/licences/{}", "ab".repeat(32)), 404, "no-store");
    check("/v1/status", 200, "no-store");
    let verdict = node.verify(&json!({"presentation": licence.text}));
    assert_eq!((verdict.status, kept(&verdict)), (200, "no-store"));
    // One address has two forms, which a cache between must tell apart.
    let vary = node.get("/v1/blocks/2").headers["vary"].clone();
    assert!(vary.split(", ").any(|name| name == "accept"), "{vary}");
}

#[test]
fn a_licence_is_as_it_was_until_the_next_block_and_then_it_is_new() {
    let node = Node::start();
    node.reserve_slots("44");
    let (one, other) = (node.issue("44", 0), node.issue("44", 1));
    let path = format!("/v1/licences/{}", one.cid);
    let ask = |path: &str, tag: &str| node.get_with(path, &[("if-none-match", tag)]);
    let first = node.get(&path);
    assert_eq!((first.status, kept(&first)), (200, ASKED_AGAIN));
    let tag = first.headers["etag"].clone();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let again = ask(&path, &known);
        assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
        assert_eq!((&again.headers["etag"], kept(&again)), (&tag, ASKED_AGAIN), "{known}");
    }
    let other_path = format!("/v1/licences/{}", other.cid);
    assert_eq!(ask(&other_path, &tag).status, 200, "the tag of another licence");
    let absent = ask(&format!("/v1/licences/{}", "ab".repeat(32)), "*");
    assert_eq!((absent.status, absent.problem().as_str()), (404, "unknown_licence"));

    // Of any block: the proof is another one, also where the licence is the same.
    let height = node.commit_nothing();
    let next = ask(&path, &tag);
    assert_eq!((next.status, &next.json()["height"]), (200, &json!(height)));
    assert_ne!(next.headers["etag"], tag);
    node.apply(&node.by_agency("44", vec![Operation::Suspend { cid: one.cid }]));
    let suspended = ask(&path, &next.headers["etag"]);
    assert_eq!((suspended.status, &suspended.json()["status"]), (200, &json!("suspended")));
}

#[test]
fn what_offline_verifiers_take_home_is_as_it_was_until_the_next_block() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    let staple = format!("/v1/licences/{}/proof", licence.cid);
    let (json, cbor) = ("application/json", "application/cbor");
    let ask = |path: &str, accept: &str, tag: &str| {
        node.get_with(path, &[("accept", accept), ("if-none-match", tag)])
    };
    for path in ["/v1/trust-bundle", &staple] {
        let tag = |accept: &str| {
            let answer = ask(path, accept, "\"none\"");
            assert_eq!((answer.status, kept(&answer)), (200, ASKED_AGAIN), "{path}");
            assert!(answer.headers["vary"].split(", ").any(|name| name == "accept"), "{path}");
            answer.headers["etag"].clone()
        };
        let (first, other) = (tag(json), tag(cbor));
        assert_ne!(first, other, "{path} in its two forms");
        let again = ask(path, json, &first);
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        assert_eq!(ask(path, cbor, &first).status, 200, "{path}: the tag of the other form");
        node.commit_nothing();
        assert_eq!(ask(path, json, &first).status, 200, "{path} after a block");
    }
    // Another question has another answer, and an absence none that may be kept.
    let tag = ask(&staple, json, "\"none\"").headers["etag"].clone();
    assert_eq!(ask(&format!("{staple}?status=false"), json, &tag).status, 200);
    let absent = ask(&format!("/v1/licences/{}/proof", "ab".repeat(32)), json, "*");
    assert_eq!((absent.status, kept(&absent)), (404, "no-store"));
}

/// Reads a licence and everything that proves it, of one height that is not below `least`.
fn read_whole(node: &Node, licence: &Licence, least: u64) {
    let shown = node.get(&format!("/v1/licences/{}", licence.cid)).json();
    let height = shown["height"].as_u64().unwrap();
    assert!(height >= least, "of height {height}, and {least} was committed before");
    let proof = state_proof::check(&bytes(&shown["proof"]), &node.trust()).unwrap();
    let header = proof.header().header();
    assert_eq!(header.height, height);
    assert_eq!(shown["as_of"]["height"], json!(height));
    assert_eq!(shown["as_of"]["state_root"], json!(header.state_root.to_string()));
    let record: LicenceRecord = proof.get(&StateKey::Licence(licence.cid)).unwrap().unwrap();
    assert_eq!(record.to_bytes(), bytes(&shown["record"]));
    assert_eq!(json!(record.status.name()), shown["status"]);
    // Every block changes it.
    assert_eq!(record.changed_at, height, "{shown}");
    let expected = if height % 2 == 1 { "suspended" } else { "active" };
    assert_eq!(shown["status"], expected, "{shown}");
    let home: Option<ProvinceRecord> =
        proof.get(&StateKey::Province("44".parse().unwrap())).unwrap();
    assert!(home.is_some(), "a place that all answers of a height have in common");

    let verdict = node.verify(&json!({"presentation": licence.text})).json();
    let judged = verdict["as_of"]["height"].as_u64().unwrap();
    assert!(judged >= height, "judged at {judged}, after an answer of {height}");
    let proof = state_proof::check(&bytes(&verdict["proof"]), &node.trust()).unwrap();
    let record: LicenceRecord = proof.get(&StateKey::Licence(licence.cid)).unwrap().unwrap();
    assert_eq!(proof.header().header().height, judged);
    assert_eq!(verdict["ledger_status"], json!(record.status.name()));
}

#[test]
fn whoever_reads_while_blocks_are_committed_reads_one_height_and_none_that_is_past() {
    const BLOCKS: u64 = 24;
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let read = || {
            let mut answers = 0;
            while !done.load(Ordering::SeqCst) {
                let least = *node.store.commits().borrow();
                read_whole(&node, &licence, least);
                answers += 1;
            }
            answers
        };
        let readers: Vec<_> = (0..3).map(|_| scope.spawn(read)).collect();
        for _ in 0..BLOCKS / 2 {
            for change in
                [Operation::Suspend { cid: licence.cid }, Operation::Resume { cid: licence.cid }]
            {
                node.apply(&node.by_agency("44", vec![change]));
                // By the one who has just committed it, too.
                read_whole(&node, &licence, *node.store.commits().borrow());
            }
        }
        done.store(true, Ordering::SeqCst);
        for reader in readers {
            let answers: u64 = reader.join().unwrap();
            assert!(answers > 0, "a reader got no answer while blocks were committed");
        }
    });
}

#[test]
fn a_signature_that_was_checked_before_vouches_for_nothing_else() {
    let node = Node::start();
    node.reserve_slots("44");
    let (licence, other) = (node.issue("44", 0), node.issue("44", 1));
    let judge = |text: &str| node.verify(&json!({"presentation": text}));
    let reason = |text: &str| judge(text).json()["reason"].clone();
    for text in [&licence.text, &licence.text, &other.text] {
        assert_eq!(judge(text).json()["outcome"], "valid");
    }
    let split = |text: &str| {
        let (jwt, shown) = text.split_once('~').unwrap();
        let (signed, signature) = jwt.rsplit_once('.').unwrap();
        (signed.to_owned(), signature.to_owned(), shown.to_owned())
    };
    let (signed, signature, shown) = split(&licence.text);
    let (other_signed, other_signature, other_shown) = split(&other.text);
    let whole =
        |signed: &str, signature: &str, shown: &str| format!("{signed}.{signature}~{shown}");
    assert_eq!(whole(&signed, &signature, &shown), licence.text);
    // What another licence says under this one's signature, and the other way round.
    assert_eq!(reason(&whole(&other_signed, &signature, &shown)), "bad_signature");
    assert_eq!(reason(&whole(&signed, &other_signature, &shown)), "bad_signature");
    assert_eq!(reason(&whole(&signed, &signature, &other_shown)), "bad_disclosure");
    let mut tried = 0;
    for at in (signed.find('.').unwrap() + 1..signed.len()).step_by(7) {
        let letter = if signed.as_bytes()[at] == b'A' { "B" } else { "A" };
        let mut changed = signed.clone();
        changed.replace_range(at..=at, letter);
        let answer = judge(&whole(&changed, &signature, &shown));
        // What is no credential any more is told so.
        if answer.status == 200 {
            assert_eq!(answer.json()["outcome"], "invalid", "character {at}");
            tried += 1;
        }
    }
    assert!(tried > 20, "only {tried} of them were credentials");
    assert_eq!(judge(&licence.text).json()["outcome"], "valid");

    // That its signature holds keeps nobody from looking at the key and at the licence.
    let stolen =
        Operation::MarkCompromised { agency: node.agency("44"), key_id: 1, from_height: 1 };
    node.apply(&node.by_province("44", vec![stolen]));
    assert_eq!(reason(&licence.text), "issuer_key_compromised");
}
