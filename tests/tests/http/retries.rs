//! Retries with an `Idempotency-Key`: the same request gets the same answer, byte for byte.

use serde_json::{Value, json};
use symbolon_ledger::keys::SecretKey;
use symbolon_node::http::{HttpLimits, Share};

use crate::support::{Answer, Licence, Node, request};

const SELF: &str = "urn:elic:qr";

fn holder() -> SecretKey {
    SecretKey::from_seed(&[61; 32])
}

fn scene() -> (Node, Licence) {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue_to("44", 0, &holder());
    (node, licence)
}

fn shown(node: &Node, licence: &Licence, nonce: &str) -> Value {
    json!({"presentation": node.present(licence, (&["name"], &holder()), (SELF, nonce))})
}

fn ask(node: &Node, path: &str, key: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    request(node.public, "POST", path, &headers, &serde_json::to_vec(body).unwrap())
}

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.problem().as_str(), answer.status), (code, status), "{}", answer.json());
}

#[test]
fn a_retry_gets_the_same_verdict_and_another_key_does_not() {
    let (node, licence) = scene();
    let body = shown(&node, &licence, "n1");
    let first = ask(&node, "/v1/verify", "\"k1\"", &body);
    assert_eq!((first.status, &first.json()["outcome"]), (200, &json!("valid")));
    assert_eq!(first.headers["content-type"], "application/json");
    node.wait_and_commit(30);
    for key in ["\"k1\"", "k1"] {
        let again = ask(&node, "/v1/verify", key, &body);
        assert_eq!((again.status, &again.body), (200, &first.body), "{key}");
        assert_eq!(again.headers["content-type"], "application/json");
    }
    let other = ask(&node, "/v1/verify", "\"k2\"", &body).json();
    assert_eq!(other["reason"], "replayed");
    assert_eq!(node.verify(&body).json()["reason"], "replayed");
    // An answer of no is an answer, too.
    let again = ask(&node, "/v1/verify", "\"k2\"", &body).json();
    assert_eq!(again, other);
}

#[test]
fn a_batch_is_retried_like_one() {
    let (node, licence) = scene();
    let items: Vec<Value> = (0..5).map(|i| shown(&node, &licence, &format!("n{i}"))).collect();
    let body = json!({"items": items});
    let first = ask(&node, "/v1/verify/batch", "\"k1\"", &body);
    assert_eq!(first.status, 200);
    node.commit();
    let again = ask(&node, "/v1/verify/batch", "\"k1\"", &body);
    assert_eq!((again.status, &again.body), (200, &first.body));
    let verdicts = again.json()["verdicts"].as_array().unwrap().clone();
    assert!(verdicts.iter().all(|v| v["outcome"] == "valid"), "{verdicts:?}");
    // One key at two addresses is two requests.
    let one = ask(&node, "/v1/verify", "\"k1\"", &shown(&node, &licence, "other")).json();
    assert_eq!(one["outcome"], "valid");
}

#[test]
fn an_answer_that_is_too_long_to_keep_is_given_once_and_keeps_nobody_out() {
    let (node, licence) = scene();
    let mut items: Vec<Value> = (0..60).map(|_| json!({"presentation": licence.text})).collect();
    items.push(shown(&node, &licence, "n1"));
    let body = json!({"items": items});
    let first = ask(&node, "/v1/verify/batch", "\"k1\"", &body);
    assert_eq!(first.status, 200);
    assert!(first.body.len() > 256 * 1024, "{} bytes", first.body.len());
    refused(&ask(&node, "/v1/verify/batch", "\"k1\"", &body), 410, "answer_not_kept");
    // Nothing was judged again, and whoever asks without a key is told what became of it.
    let again = node.post_json("/v1/verify/batch", &body).json();
    assert_eq!(again["verdicts"][0]["outcome"], "valid");
    assert_eq!(again["verdicts"][60]["reason"], "replayed");
    node.wait_and_commit(310);
    assert_eq!(ask(&node, "/v1/verify/batch", "\"k1\"", &body).status, 200);
}

#[test]
fn one_caller_has_a_share_of_the_keys_and_of_the_bytes_under_them() {
    let share = |this_machine| Share { other_machine: 0, this_machine };
    let start = |limits| {
        let node = Node::start_with(limits);
        node.reserve_slots("44");
        let licence = node.issue_to("44", 0, &holder());
        (node, licence)
    };
    let (node, licence) = start(HttpLimits { keys_of_one: share(1), ..HttpLimits::default() });
    let (one, two) = (shown(&node, &licence, "n1"), shown(&node, &licence, "n2"));
    let first = ask(&node, "/v1/verify", "\"k1\"", &one);
    assert_eq!(first.json()["outcome"], "valid");
    refused(&ask(&node, "/v1/verify", "\"k2\"", &two), 503, "overloaded");
    assert_eq!(ask(&node, "/v1/verify", "\"k1\"", &one).body, first.body);
    assert_eq!(node.verify(&two).json()["outcome"], "valid", "without a key, as ever");
    node.wait_and_commit(310);
    let later = ask(&node, "/v1/verify", "\"k2\"", &shown(&node, &licence, "n3"));
    assert_eq!(later.json()["outcome"], "valid");

    let bytes = first.body.len() * 3 / 2;
    let limits = HttpLimits { answer_bytes_of_one: share(bytes), ..HttpLimits::default() };
    let (node, licence) = start(limits);
    let (one, two) = (shown(&node, &licence, "n1"), shown(&node, &licence, "n2"));
    for (key, body) in [("\"k1\"", &one), ("\"k2\"", &two)] {
        assert_eq!(ask(&node, "/v1/verify", key, body).json()["outcome"], "valid", "{key}");
    }
    assert_eq!(ask(&node, "/v1/verify", "\"k1\"", &one).json()["outcome"], "valid");
    refused(&ask(&node, "/v1/verify", "\"k2\"", &two), 410, "answer_not_kept");
}

#[test]
fn a_key_with_another_body_is_refused_and_uses_nothing_up() {
    let (node, licence) = scene();
    let (one, two) = (shown(&node, &licence, "n1"), shown(&node, &licence, "n2"));
    assert_eq!(ask(&node, "/v1/verify", "\"k1\"", &one).json()["outcome"], "valid");
    refused(&ask(&node, "/v1/verify", "\"k1\"", &two), 422, "idempotency_key_reused");
    assert_eq!(ask(&node, "/v1/verify", "\"k2\"", &two).json()["outcome"], "valid");
}

#[test]
fn what_failed_may_be_mended_under_the_same_key() {
    let (node, licence) = scene();
    let bad = json!({"presentation": "no licence"});
    refused(&ask(&node, "/v1/verify", "\"k1\"", &bad), 400, "malformed_presentation");
    refused(&ask(&node, "/v1/verify", "\"k1\"", &json!([])), 400, "bad_json");
    let good = shown(&node, &licence, "n1");
    assert_eq!(ask(&node, "/v1/verify", "\"k1\"", &good).json()["outcome"], "valid");
}

#[test]
fn an_answer_is_forgotten_after_its_window() {
    let (node, licence) = scene();
    let body = shown(&node, &licence, "n1");
    let first = ask(&node, "/v1/verify", "\"k1\"", &body);
    node.wait_and_commit(309);
    assert_eq!(ask(&node, "/v1/verify", "\"k1\"", &body).body, first.body);
    node.wait_and_commit(1);
    let late = ask(&node, "/v1/verify", "\"k1\"", &body).json();
    assert_eq!(late["reason"], "stale_presentation");
}

#[test]
fn of_many_equal_retries_at_once_none_is_told_replayed() {
    let (node, licence) = scene();
    let body = shown(&node, &licence, "n1");
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let asked: Vec<_> =
            (0..8).map(|_| scope.spawn(|| ask(&node, "/v1/verify", "\"k1\"", &body))).collect();
        asked.into_iter().map(|a| a.join().unwrap()).collect()
    });
    for answer in &answers {
        match answer.status {
            200 => assert_eq!(answer.json()["outcome"], "valid"),
            _ => refused(answer, 409, "request_in_progress"),
        }
    }
    assert!(answers.iter().any(|a| a.status == 200));
}

#[test]
fn keys_of_no_form_are_refused() {
    let (node, licence) = scene();
    let body = shown(&node, &licence, "n1");
    let long = "k".repeat(129);
    for key in ["", "\"\"", "\"a", "a\"b", "\"a\\\"b\"", long.as_str()] {
        refused(&ask(&node, "/v1/verify", key, &body), 400, "bad_idempotency_key");
    }
    let headers =
        [("content-type", "application/json"), ("idempotency-key", "a"), ("idempotency-key", "b")];
    let bytes = serde_json::to_vec(&body).unwrap();
    let twice = request(node.public, "POST", "/v1/verify", &headers, &bytes);
    refused(&twice, 400, "bad_idempotency_key");
    assert_eq!(node.verify(&body).json()["outcome"], "valid", "nothing was used up");
}
