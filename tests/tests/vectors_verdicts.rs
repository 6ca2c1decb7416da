//! The vectors of verdicts: from these records, this presentation and this time, exactly this
//! answer.
//!
//! `verdicts.json` is made by this file from fixed keys and salts under `UPDATE_EXPECT=1`, and read
//! by it as an outsider would: from the file alone. `docs/spec/verdict.md` says why each is so.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "vectors_verdicts/scene.rs"]
mod scene;

#[path = "vectors_verdicts/cases.rs"]
mod cases;

use std::collections::{BTreeMap, BTreeSet};

use cases::CASES;
use expect_test::expect_file;
use scene::{Scene, hex};
use serde_json::{Value, json};
use symbolon_credential::sd_jwt::Parsed;
use symbolon_ledger::{hash::Digest, state::StateKey};
use symbolon_verify::{
    judge::{Ledger, Request, Unavailable, hear, malformed},
    showing::Seen,
    view::{AsOf, LedgerView},
};

const VECTORS: &str = include_str!("../vectors/verdicts.json");

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap().as_bytes();
    let digit = |d: u8| u8::try_from(char::from(d).to_digit(16).unwrap()).unwrap();
    text.chunks(2).map(|pair| digit(pair[0]) * 16 + digit(pair[1])).collect()
}

fn request(given: &Value) -> Request {
    let text = |name: &str| given[name].as_str().map(str::to_owned);
    Request {
        recognising_province: given["recognising_province"].as_str().unwrap().parse().unwrap(),
        audience: text("audience"),
        nonce: text("nonce"),
        now_ms: given["now_ms"].as_u64().unwrap(),
        at_ms: given["at_ms"].as_u64(),
        earliest_at_ms: given["earliest_at_ms"].as_u64(),
        max_staleness_ms: given["max_staleness_ms"].as_u64().unwrap(),
    }
}

fn seen(word: &str) -> Seen {
    match word {
        "first" => Seen::First,
        "before" => Seen::Before,
        "challenge_over" => Seen::ChallengeOver,
        "challenge_unknown" => Seen::ChallengeUnknown,
        other => unreachable!("{other}"),
    }
}

/// Records by the hexadecimal digits of their keys: those of all cases, with a case's own instead.
fn records(all: &Value, case: &Value) -> BTreeMap<String, Vec<u8>> {
    let mut records = BTreeMap::new();
    let own = case["records"].as_object().unwrap();
    for (key, record) in all.as_object().unwrap().iter().chain(own) {
        match record {
            Value::Null => records.remove(key),
            record => records.insert(key.clone(), bytes(record)),
        };
    }
    records
}

/// The verdict of one case, from the vectors alone.
fn judge(vectors: &Value, case: &Value) -> Value {
    let request = request(&case["request"]);
    let text = vectors["presentations"][case["presentation"].as_str().unwrap()].as_str().unwrap();
    let presentation = match Parsed::parse(text) {
        Ok(presentation) => presentation,
        Err(error) => return json!(malformed(&error, &request)),
    };
    if case["ledger"] == "unavailable" {
        let ledger = Ledger::Unavailable(Unavailable::NodeBehind);
        return json!(hear(&presentation, &ledger, &request).verdict(Seen::First));
    }
    let as_of = &case["as_of"];
    let state_root: Digest = as_of["state_root"].as_str().unwrap().parse().unwrap();
    let (height, time_ms) = (as_of["height"].as_u64().unwrap(), as_of["time_ms"].as_u64().unwrap());
    let records = records(&vectors["records"], case);
    let get = |key: &StateKey| Ok::<_, ()>(records.get(&hex(&key.encode())).cloned());
    let as_of = AsOf { height, time_ms, state_root };
    let view = LedgerView::read(as_of, &presentation, request.recognising_province, get).unwrap();
    let judged = hear(&presentation, &Ledger::At(Box::new(view)), &request);
    json!(judged.verdict(seen(case["seen"].as_str().unwrap())))
}

/// The vectors as this program makes them.
fn made() -> Value {
    let all = Scene::new().records();
    let mut vectors = json!({
        "description": "From these records, presentations and times, exactly these verdicts. A \
            case's own records stand instead of those of all cases; null takes one away. \
            docs/spec/verdict.md",
        "records": all,
        "presentations": scene::presentations(),
        "cases": [],
    });
    let cases: Vec<Value> = CASES
        .iter()
        .map(|case| {
            let mut scene = Scene::new();
            (case.change)(&mut scene);
            let mut own = BTreeMap::new();
            let records = scene.records();
            let keys: BTreeSet<&String> = all.keys().chain(records.keys()).collect();
            for key in keys.into_iter().filter(|key| all.get(*key) != records.get(*key)) {
                own.insert(key.clone(), records.get(key).cloned());
            }
            let mut made = json!({
                "why": case.why, "presentation": case.presentation, "records": own,
                "request": scene.request(), "as_of": scene.as_of(), "seen": scene.seen,
                "ledger": if scene.unavailable { "unavailable" } else { "read" },
            });
            made["verdict"] = judge(&vectors, &made);
            made
        })
        .collect();
    vectors["cases"] = json!(cases);
    vectors.sort_all_objects();
    vectors
}

#[test]
fn verdicts_are_made_as_the_vectors_say() {
    let text = format!("{}\n", serde_json::to_string_pretty(&made()).unwrap());
    expect_file!["../vectors/verdicts.json"].assert_eq(&text);
}

#[test]
fn the_vectors_alone_are_enough_to_find_every_verdict() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    for case in cases {
        assert_eq!(judge(&vectors, case), case["verdict"], "{}", case["why"]);
    }
    let reasons: BTreeSet<&str> =
        cases.iter().filter_map(|case| case["verdict"]["reason"].as_str()).collect();
    let page = include_str!("../../docs/spec/verdict.md");
    let named: BTreeSet<&str> = page.split('`').skip(1).step_by(2).collect();
    assert_eq!(reasons.len(), 19, "a reason has no vector: {reasons:?}");
    for reason in reasons {
        assert!(named.contains(reason), "docs/spec/verdict.md does not explain {reason}");
    }
}

/// Each case says what it is about; the code must agree with the words.
#[test]
fn every_case_has_the_outcome_that_it_is_there_for() {
    let vectors = made();
    for (case, made) in CASES.iter().zip(vectors["cases"].as_array().unwrap()) {
        let verdict = &made["verdict"];
        let reason = verdict["reason"].as_str().unwrap_or_default();
        let found = (verdict["outcome"].as_str().unwrap(), reason);
        assert_eq!(found, case.expected, "{}", case.why);
    }
}
