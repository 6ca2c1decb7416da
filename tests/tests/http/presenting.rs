//! Presentations that holders sign: the levels, what is remembered of them, challenges. Tickets are
//! in [`super::tickets`]. The clock is the test's.

use std::sync::atomic::Ordering::SeqCst;

use serde_json::{Value, json};
use symbolon_credential::elc1;
use symbolon_ledger::{
    hash::sha256,
    keys::SecretKey,
    operation::{Operation, RevocationClass},
};
use symbolon_node::http::{HttpLimits, Share};

use crate::support::{Answer, Licence, Node, START_MS, TYPE, request};

pub(crate) const SELF: &str = "urn:elic:qr";
const SHOWN: &[&str] = &["name", "vehicle_class", "address"];

pub(crate) fn holder() -> SecretKey {
    SecretKey::from_seed(&[61; 32])
}

/// A node, and a licence of Guangdong that has a holder.
pub(crate) fn scene() -> (Node, Licence) {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue_to("44", 0, &holder());
    (node, licence)
}

pub(crate) fn shown(node: &Node, licence: &Licence, audience: &str, nonce: &str) -> String {
    node.present(licence, (SHOWN, &holder()), (audience, nonce))
}

#[track_caller]
pub(crate) fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.problem().as_str(), answer.status), (code, status), "{}", answer.json());
}

/// Outcome, reason and holder of a verdict.
pub(crate) fn of(verdict: &Value) -> (&str, &str, Option<bool>) {
    let text = |name: &str| verdict[name].as_str().unwrap_or_default();
    (text("outcome"), text("reason"), verdict["holder_bound"].as_bool())
}

pub(crate) const VALID: (&str, &str, Option<bool>) = ("valid", "", Some(true));

fn invalid(reason: &str) -> (&str, &str, Option<bool>) {
    ("invalid", reason, Some(false))
}

#[test]
fn a_code_is_valid_once_then_replayed_and_after_a_minute_stale() {
    let (node, licence) = scene();
    let first = shown(&node, &licence, SELF, "n1");
    let body = json!({"presentation": first});
    let verdict = node.verify(&body).json();
    assert_eq!(of(&verdict), VALID, "{verdict}");
    assert!(verdict["message"]["en"].as_str().unwrap().contains("The holder signed"), "{verdict}");
    let again = node.verify(&body).json();
    assert_eq!(of(&again), invalid("replayed"), "{again}");
    assert_eq!(again["checks"][8]["result"], "fail");
    assert_eq!(again["claims"], verdict["claims"], "what was shown is shown");
    assert!(again["proof"].is_string());

    // A fresh code of the same licence is another showing; so is the other holder's.
    let fresh = shown(&node, &licence, SELF, "n2");
    assert_eq!(of(&node.verify(&json!({"presentation": fresh})).json()), VALID);

    let old = shown(&node, &licence, SELF, "n3");
    let old = json!({"presentation": old});
    node.wait_and_commit(60);
    assert_eq!(of(&node.verify(&old).json()), VALID, "sixty seconds are in time");
    let older = json!({"presentation": shown(&node, &licence, SELF, "n4")});
    node.wait_and_commit(61);
    assert_eq!(of(&node.verify(&older).json()), invalid("stale_presentation"));
    assert_eq!(of(&node.verify(&body).json()), invalid("stale_presentation"));

    let revoke = Operation::Revoke { cid: licence.cid, class: RevocationClass::Withdrawn };
    node.apply(&node.by_agency("44", vec![revoke]));
    let verdict = node.verify(&json!({"presentation": shown(&node, &licence, SELF, "n5")})).json();
    assert_eq!(of(&verdict), ("invalid", "revoked", Some(true)), "{verdict}");
}

#[test]
fn a_packed_code_is_the_same_showing_as_its_text() {
    let (node, licence) = scene();
    let presentation = shown(&node, &licence, SELF, "n1");
    let packed = elc1::encode(&presentation).unwrap();
    let body = |text: &str| json!({"presentation": text});
    assert_eq!(of(&node.verify(&body(&format!(" {packed}\n"))).json()), VALID);
    for text in [&packed, &presentation] {
        assert_eq!(of(&node.verify(&body(text)).json()), invalid("replayed"));
    }
    // A ticket holds the text, however it was left.
    let left = node.post_json("/v1/tickets", &body(&packed)).json();
    let path = left["url"].as_str().unwrap().split(&node.public.to_string()).nth(1).unwrap();
    assert_eq!(node.get(path).body, presentation.as_bytes());
    let items = json!({"items": [body(&packed), body(&packed[..packed.len() - 2]), body("ELC1:")]});
    let batch = node.post_json("/v1/verify/batch", &items).json();
    assert_eq!(of(&batch["verdicts"][0]), invalid("replayed"));
    for place in [1, 2] {
        assert_eq!(batch["verdicts"][place]["error"]["code"], "malformed_presentation");
    }
    let compared = json!({"data": {"certTypeCode": TYPE, "certData": {"name": "x"},
        "useCause": "x", "presentation": packed}});
    assert_eq!(node.post_json("/v1/compat/verifyCertInfo", &compared).status, 200);
    for wrong in ["ELC1:", "ELC1:!", "ELC1:6BF", &packed.replace("ELC1", "ELC2"), &packed[..60]] {
        refused(&node.verify(&body(wrong)), 400, "malformed_presentation");
        refused(&node.post_json("/v1/tickets", &body(wrong)), 400, "malformed_presentation");
    }
}

/// For each second after it was signed, asked twice: never accepted a second time.
#[test]
fn no_presentation_is_accepted_twice_whenever_it_comes() {
    let (node, licence) = scene();
    let one = json!({"presentation": shown(&node, &licence, SELF, "n1")});
    let own = json!({
        "presentation": shown(&node, &licence, "https://police.example", "mine"),
        "audience": "https://police.example", "nonce": "mine",
    });
    assert_eq!(of(&node.verify(&one).json()), VALID);
    assert_eq!(of(&node.verify(&own).json()), VALID);
    for step in [1, 29, 30, 1, 9, 1, 60, 60, 60, 48, 1, 1, 1, 60, 60] {
        node.wait_and_commit(step);
        for body in [&one, &own] {
            let verdict = node.verify(body).json();
            assert_eq!(verdict["outcome"], "invalid", "{verdict}");
            let reason = verdict["reason"].as_str().unwrap();
            assert!(["replayed", "stale_presentation"].contains(&reason), "{reason}");
        }
    }
}

/// The same presentation, asked about in other words: its nonce is a challenge's, the verifier's own,
/// or not asked for.
#[test]
fn no_presentation_is_accepted_twice_however_it_is_asked_about() {
    let (node, licence) = scene();
    let police = "https://police.example";
    let challenge = node.post_json("/v1/challenges", &json!({"audience": police})).json();
    let given = challenge["nonce"].as_str().unwrap();
    let valid_then_replayed = |audience: &str, nonce: &str, asked: [(bool, bool); 2]| {
        let presentation = shown(&node, &licence, audience, nonce);
        let verdicts = asked.map(|(by_audience, by_nonce)| {
            let mut body = json!({"presentation": presentation});
            if by_audience {
                body["audience"] = json!(audience);
            }
            if by_nonce {
                body["nonce"] = json!(nonce);
            }
            node.verify(&body).json()
        });
        assert_eq!(of(&verdicts[0]), VALID, "{audience} {nonce} {asked:?}");
        assert_eq!(of(&verdicts[1]), invalid("replayed"), "{audience} {nonce} {asked:?}");
    };
    valid_then_replayed(police, given, [(false, true), (true, false)]);
    let another = node.post_json("/v1/challenges", &json!({"audience": police})).json();
    let given = another["nonce"].as_str().unwrap();
    valid_then_replayed(police, given, [(true, false), (false, true)]);
    valid_then_replayed(police, "mine", [(true, true), (true, false)]);
    valid_then_replayed(police, "mine too", [(true, false), (true, true)]);
    valid_then_replayed(SELF, "n1", [(false, false), (false, true)]);
    valid_then_replayed(SELF, "n2", [(false, true), (false, false)]);

    // A nonce makes it count as fresh for longer than a minute, so it is remembered for longer.
    for audience in [police, SELF] {
        let presentation = shown(&node, &licence, audience, "late");
        let first = json!({"presentation": presentation, "audience": audience});
        let second = json!({"presentation": presentation, "audience": audience, "nonce": "late"});
        assert_eq!(of(&node.verify(&first).json()), VALID);
        node.wait_and_commit(200);
        assert_eq!(of(&node.verify(&second).json()), invalid("replayed"), "{audience}");
    }
}

#[test]
fn what_may_be_from_before_the_start_is_neither_accepted_nor_refused() {
    let (node, licence) = scene();
    let undetermined = ("undetermined", "stale_presentation", None);
    // Signed while the node, or the one that ran here before it, was not yet started.
    node.now_ms.store(START_MS - 1_000, SeqCst);
    let early = shown(&node, &licence, SELF, "n1");
    let early_own = shown(&node, &licence, SELF, "mine");
    let before = Node::start();
    let old = before.post_json("/v1/challenges", &json!({})).json();
    before.wait(1);
    let foreign = before.post_json("/v1/challenges", &json!({})).json();
    node.now_ms.store(START_MS, SeqCst);
    for body in
        [json!({"presentation": early}), json!({"presentation": early_own, "nonce": "mine"})]
    {
        for _ in 0..2 {
            let verdict = node.verify(&body).json();
            assert_eq!(of(&verdict), undetermined, "{verdict}");
            let check = &verdict["checks"][8];
            assert_eq!(check["result"], "skipped", "{check}");
            assert!(check["detail"].as_str().unwrap().contains("ask the holder to show it anew"));
        }
    }
    let answer = |challenge: &Value| {
        let (audience, nonce) =
            (challenge["audience"].as_str().unwrap(), challenge["nonce"].as_str().unwrap());
        json!({"presentation": shown(&node, &licence, audience, nonce), "nonce": nonce})
    };
    let verdict = node.verify(&answer(&old)).json();
    assert_eq!(of(&verdict), undetermined, "{verdict}");
    let detail = verdict["checks"][8]["detail"].as_str().unwrap();
    assert!(detail.contains("make a new one"), "{detail}");
    // A second later it cannot be this node's any more.
    assert_eq!(of(&node.verify(&answer(&foreign)).json()), invalid("bad_holder_binding"));

    // What is proven wrong stays so, and what is new is judged as ever.
    let fresh = json!({"presentation": shown(&node, &licence, SELF, "n2")});
    assert_eq!(of(&node.verify(&fresh).json()), VALID);
    assert_eq!(of(&node.verify(&fresh).json()), invalid("replayed"));
    let given = node.post_json("/v1/challenges", &json!({})).json();
    assert_eq!(of(&node.verify(&answer(&given)).json()), VALID);
    let revoke = Operation::Revoke { cid: licence.cid, class: RevocationClass::Withdrawn };
    node.apply(&node.by_agency("44", vec![revoke]));
    let verdict = node.verify(&json!({"presentation": early})).json();
    assert_eq!(of(&verdict), ("invalid", "revoked", None), "{verdict}");
}

#[test]
fn of_many_who_show_one_code_at_once_one_is_let_through() {
    let (node, licence) = scene();
    let body = json!({"presentation": shown(&node, &licence, SELF, "n1")});
    let verdicts: Vec<Value> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| node.verify(&body).json())).collect();
        asked.into_iter().map(|a| a.join().unwrap()).collect()
    });
    let valid = verdicts.iter().filter(|v| of(v) == VALID).count();
    let replayed = verdicts.iter().filter(|v| of(v) == invalid("replayed")).count();
    assert_eq!((valid, replayed), (1, 7));
}

#[test]
fn what_is_not_signed_for_this_request_is_not_remembered() {
    let (node, licence) = scene();
    let good = shown(&node, &licence, "https://police.example", "n1");
    let ask = |audience: &str| json!({"presentation": good, "audience": audience});
    // Somebody else's request, and noise, use nothing up.
    let wrong = node.verify(&ask("https://bank.example")).json();
    assert_eq!(of(&wrong), invalid("bad_holder_binding"));
    assert_eq!(
        of(&node.verify(&json!({"presentation": good})).json()),
        invalid("bad_holder_binding")
    );
    let stranger = SecretKey::from_seed(&[62; 32]);
    let forged = node.present(&licence, (SHOWN, &stranger), ("https://police.example", "n1"));
    let forged = json!({"presentation": forged, "audience": "https://police.example"});
    for _ in 0..2 {
        assert_eq!(of(&node.verify(&forged).json()), invalid("bad_holder_binding"));
    }
    assert_eq!(of(&node.verify(&ask("https://police.example")).json()), VALID);
    assert_eq!(of(&node.verify(&ask("https://police.example")).json()), invalid("replayed"));
}

#[test]
fn an_answer_that_decides_nothing_uses_nothing_up() {
    let (node, licence) = scene();
    let staleness_s = node.genesis.chain.max_staleness_ms / 1_000;
    node.wait(staleness_s + 1);
    let body = json!({"presentation": shown(&node, &licence, SELF, "n1")});
    let challenge = node.post_json("/v1/challenges", &json!({})).json();
    let (audience, nonce) =
        (challenge["audience"].as_str().unwrap(), challenge["nonce"].as_str().unwrap());
    let answer = json!({"presentation": shown(&node, &licence, audience, nonce), "nonce": nonce});
    for _ in 0..2 {
        for body in [&body, &answer] {
            let verdict = node.verify(body).json();
            assert_eq!(verdict["reason"], "stale_ledger", "{verdict}");
        }
    }
    node.commit();
    for body in [&body, &answer] {
        assert_eq!(of(&node.verify(body).json()), VALID);
        assert_eq!(of(&node.verify(body).json()), invalid("replayed"));
    }
}

#[test]
fn a_paper_licence_is_valid_as_often_as_it_is_shown_and_says_so() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    for _ in 0..2 {
        let verdict = node.verify(&json!({"presentation": licence.text})).json();
        assert_eq!(of(&verdict), ("valid", "", None));
        let message = &verdict["message"];
        assert!(
            message["en"].as_str().unwrap().contains("the holder is not verified"),
            "{message}"
        );
        assert!(message["zh"].as_str().unwrap().contains("未核验持证人"), "{message}");
    }
}

#[test]
fn a_challenge_is_answered_once_by_one_holder_within_its_time() {
    let (node, licence) = scene();
    let other = SecretKey::from_seed(&[63; 32]);
    let another = node.issue_to("44", 1, &other);
    let police = json!({"audience": "https://police.example"});
    let given = node.post_json("/v1/challenges", &police);
    assert_eq!(given.status, 201);
    let challenge = given.json();
    assert_eq!(challenge["audience"], "https://police.example");
    assert_eq!(challenge["expires_at"], "2026-11-23T00:05:00.000Z");
    let nonce = challenge["nonce"].as_str().unwrap().to_owned();
    let second = node.post_json("/v1/challenges", &police).json();
    assert_ne!(second["nonce"], challenge["nonce"]);

    let answer = |presentation: String| json!({"presentation": presentation, "nonce": nonce});
    let good = answer(shown(&node, &licence, "https://police.example", &nonce));
    // Whatever does not hold leaves the challenge open.
    let unsigned = node.verify(&answer(licence.text.clone())).json();
    assert_eq!(of(&unsigned), ("invalid", "bad_holder_binding", None));
    for wrong in [
        shown(&node, &licence, "https://bank.example", &nonce),
        shown(&node, &licence, "https://police.example", "another nonce"),
        node.present(&licence, (SHOWN, &other), ("https://police.example", &nonce)),
    ] {
        assert_eq!(of(&node.verify(&answer(wrong)).json()), invalid("bad_holder_binding"));
    }
    let mut asked_for_another = good.clone();
    asked_for_another["audience"] = json!("https://bank.example");
    refused(&node.verify(&asked_for_another), 400, "bad_audience");
    let mut with_audience = good.clone();
    with_audience["audience"] = json!("https://police.example");

    assert_eq!(of(&node.verify(&with_audience).json()), VALID);
    assert_eq!(of(&node.verify(&good).json()), invalid("replayed"));
    let late = node.present(&another, (SHOWN, &other), ("https://police.example", &nonce));
    assert_eq!(of(&node.verify(&answer(late)).json()), invalid("replayed"), "another holder");
}

#[test]
fn a_challenge_that_is_over_or_was_never_given_is_named_as_such() {
    let (node, licence) = scene();
    let ask = |challenge: &Value| {
        let (audience, nonce) =
            (challenge["audience"].as_str().unwrap(), challenge["nonce"].as_str().unwrap());
        json!({"presentation": shown(&node, &licence, audience, nonce), "nonce": nonce})
    };
    let challenge = node.post_json("/v1/challenges", &json!({})).json();
    assert_eq!(challenge["audience"], "urn:elic:verifier:44");
    node.wait_and_commit(299);
    assert_eq!(of(&node.verify(&ask(&challenge)).json()), VALID, "in its last second");

    let challenge = node.post_json("/v1/challenges", &json!({})).json();
    node.wait_and_commit(300);
    let verdict = node.verify(&ask(&challenge)).json();
    assert_eq!(of(&verdict), invalid("stale_presentation"), "{verdict}");
    let detail = verdict["checks"][8]["detail"].as_str().unwrap();
    assert!(detail.contains("the challenge is over"), "{detail}");

    // Another node's. At the moment of this one's start it could be from before that.
    let elsewhere = Node::start();
    elsewhere.wait(1);
    let foreign = elsewhere.post_json("/v1/challenges", &json!({})).json();
    node.now_ms.store(START_MS, SeqCst);
    let verdict = node.verify(&ask(&foreign)).json();
    assert_eq!(of(&verdict), invalid("bad_holder_binding"), "{verdict}");
    let detail = verdict["checks"][8]["detail"].as_str().unwrap();
    assert!(detail.contains("gave no such challenge"), "{detail}");
}

#[test]
fn a_verifiers_own_nonce_is_compared_and_good_once() {
    let (node, licence) = scene();
    let presentation = shown(&node, &licence, SELF, "n-0S6_WzA2Mj");
    let ask = |nonce: &str| json!({"presentation": presentation, "nonce": nonce});
    assert_eq!(of(&node.verify(&ask("another")).json()), invalid("bad_holder_binding"));
    node.wait_and_commit(120);
    assert_eq!(of(&node.verify(&ask("n-0S6_WzA2Mj")).json()), VALID, "fresh by the nonce");
    assert_eq!(of(&node.verify(&ask("n-0S6_WzA2Mj")).json()), invalid("replayed"));
    node.wait_and_commit(181);
    assert_eq!(of(&node.verify(&ask("n-0S6_WzA2Mj")).json()), invalid("stale_presentation"));
}

#[test]
fn in_a_batch_the_second_of_two_equal_ones_is_refused() {
    let (node, licence) = scene();
    let one = shown(&node, &licence, SELF, "n1");
    let challenge = node.post_json("/v1/challenges", &json!({})).json();
    let nonce = challenge["nonce"].as_str().unwrap();
    let answer = json!({
        "presentation": shown(&node, &licence, challenge["audience"].as_str().unwrap(), nonce),
        "nonce": nonce,
    });
    let mut items: Vec<Value> = (0..40)
        .map(|i| json!({"presentation": shown(&node, &licence, SELF, &format!("filler {i}"))}))
        .collect();
    items.insert(0, json!({"presentation": one}));
    items.insert(1, answer.clone());
    items.push(json!({"presentation": "no licence"}));
    items.push(answer);
    items.push(json!({"presentation": one}));
    let answer = node.post_json("/v1/verify/batch", &json!({"items": items})).json();
    let verdicts = answer["verdicts"].as_array().unwrap();
    for verdict in &verdicts[..42] {
        assert_eq!(of(verdict), VALID, "{verdict}");
    }
    assert_eq!(verdicts[42]["error"]["code"], "malformed_presentation");
    assert_eq!(of(&verdicts[43]), invalid("replayed"));
    assert_eq!(of(&verdicts[44]), invalid("replayed"));
    assert_eq!(of(&node.verify(&json!({"presentation": one})).json()), invalid("replayed"));
}

/// A holder has so many showings remembered, and what he shows beyond costs nobody else an answer.
#[test]
fn one_holder_does_not_fill_what_is_remembered_for_all() {
    let (node, licence) = scene();
    let other = SecretKey::from_seed(&[63; 32]);
    let another = node.issue_to("44", 1, &other);
    let show = |n: usize| json!({"presentation": shown(&node, &licence, SELF, &format!("n{n}"))});
    let of_other = |nonce: &str| json!({"presentation": node.present(&another, (SHOWN, &other), (SELF, nonce))});
    let mut items: Vec<Value> = (0..66).map(show).collect();
    items.push(of_other("o1"));
    let answer = node.post_json("/v1/verify/batch", &json!({"items": items})).json();
    let verdicts = answer["verdicts"].as_array().unwrap();
    for place in (0..64).chain([66]) {
        assert_eq!(of(&verdicts[place]), VALID, "{place}: {}", verdicts[place]);
    }
    for place in [64, 65] {
        assert_eq!(verdicts[place]["error"]["code"], "too_many_showings", "{place}");
    }
    refused(&node.verify(&show(70)), 429, "too_many_showings");
    let compared = json!({"data": {"certTypeCode": TYPE, "certData": {"name": "x"},
        "useCause": "x", "presentation": show(70)["presentation"]}});
    for (path, body) in [
        ("/v1/compat/verifyCertInfo", compared),
        ("/v1/compat/queryCertInfo", json!({"data": show(70)})),
    ] {
        refused(&node.post_json(path, &body), 429, "too_many_showings");
    }
    assert_eq!(of(&node.verify(&of_other("o2")).json()), VALID, "another holder");
    assert_eq!(of(&node.verify(&show(0)).json()), invalid("replayed"), "what is remembered");
    // Paper names no holder, and nothing is remembered of it.
    assert_eq!(node.verify(&json!({"presentation": licence.text})).json()["outcome"], "valid");
    node.wait_and_commit(361);
    assert_eq!(of(&node.verify(&show(70)).json()), VALID, "what is over counts no more");
}

#[test]
fn one_caller_has_a_share_of_the_challenges_and_of_what_is_remembered() {
    let share = |this_machine| Share { other_machine: 0, this_machine };
    let node = Node::start_with(HttpLimits {
        challenges_of_one: share(2),
        showings_of_one: share(3),
        ..HttpLimits::default()
    });
    node.reserve_slots("44");
    let licence = node.issue_to("44", 0, &holder());
    let ask = || node.post_json("/v1/challenges", &json!({}));
    assert_eq!((ask().status, ask().status), (201, 201));
    refused(&ask(), 503, "overloaded");
    let show = |nonce: &str| json!({"presentation": shown(&node, &licence, SELF, nonce)});
    assert_eq!(of(&node.verify(&show("n1")).json()), VALID);
    // A batch that does not fit takes nothing.
    let batch = |nonces: &[&str]| {
        let items: Vec<Value> = nonces.iter().map(|nonce| show(nonce)).collect();
        node.post_json("/v1/verify/batch", &json!({"items": items}))
    };
    refused(&batch(&["n2", "n3", "n4"]), 503, "overloaded");
    assert_eq!(batch(&["n2", "n3"]).status, 200);
    refused(&node.verify(&show("n4")), 503, "overloaded");
    node.wait_and_commit(361);
    assert_eq!(ask().status, 201, "what is over gives its share back");
    assert_eq!(of(&node.verify(&show("n4")).json()), VALID);
}

/// What the configuration allows, and no more until something is over.
#[test]
fn as_many_showings_are_remembered_as_the_node_is_to_and_then_none_is_judged() {
    let node = Node::start_with(HttpLimits::default().remembering(2));
    node.reserve_slots("44");
    let licence = node.issue_to("44", 0, &holder());
    let show = |nonce: &str| json!({"presentation": shown(&node, &licence, SELF, nonce)});
    for nonce in ["n1", "n2"] {
        assert_eq!(of(&node.verify(&show(nonce)).json()), VALID);
    }
    refused(&node.verify(&show("n3")), 503, "overloaded");
    let told = |remembered: &str| {
        let metrics = request(node.admin, "GET", "/metrics", &[], b"");
        let text = String::from_utf8(metrics.body).unwrap();
        assert!(text.contains(&format!("\nsymbolon_showings {remembered}\n")), "{text}");
        assert!(text.contains("\nsymbolon_showings_limit 2\n"), "{text}");
    };
    told("2");
    node.wait_and_commit(361);
    told("0");
    assert_eq!(of(&node.verify(&show("n4")).json()), VALID);
}

#[test]
fn audiences_that_cannot_be_asked_for_are_refused() {
    let node = Node::start();
    for audience in ["", SELF, "a\nb", "bank\u{202e}", &"a".repeat(513)] {
        let answer = node.post_json("/v1/challenges", &json!({"audience": audience}));
        refused(&answer, 400, "bad_audience");
    }
    refused(&node.post_json("/v1/challenges", &json!({"nonce": "x"})), 400, "bad_json");
    let (licence, _) = node.prepare_licence("44", 0);
    for name in ["audience", "nonce"] {
        let mut body = json!({"presentation": licence.text});
        body[name] = json!("");
        refused(&node.verify(&body), 400, "bad_json");
    }
}

#[test]
fn a_licence_that_was_renewed_or_taken_over_names_its_successor() {
    let node = Node::start();
    node.reserve_slots("44");
    node.reserve_slots("11");
    let verdict = |text: &str| node.verify(&json!({"presentation": text})).json();
    let first = node.issue("44", 0);
    let (renewed, Operation::Issue { mut licence }) = node.prepare_licence("44", 1) else {
        unreachable!("a new licence is issued")
    };
    licence.lineage = sha256(b"lineage 44 0");
    let supersede = Operation::Supersede { previous: first.cid, licence };
    node.apply(&node.by_agency("44", vec![supersede]));
    let old = verdict(&first.text);
    assert_eq!(of(&old), ("invalid", "superseded", None));
    assert_eq!(old["superseded_by"], json!(renewed.cid.to_string()));
    assert_eq!(of(&verdict(&renewed.text)), ("valid", "", None));

    let out = Operation::TransferOut { cid: renewed.cid, to: node.agency("11") };
    node.apply(&node.by_agency("44", vec![out]));
    assert_eq!(of(&verdict(&renewed.text)), ("invalid", "transfer_pending", None));
    let (taken, Operation::Issue { licence }) = node.prepare_licence("11", 0) else {
        unreachable!("a new licence is issued")
    };
    let take = Operation::TransferIn { previous: renewed.cid, licence };
    node.apply(&node.by_agency("11", vec![take]));
    let moved = verdict(&renewed.text);
    assert_eq!(of(&moved), ("invalid", "superseded", None));
    assert_eq!(moved["superseded_by"], json!(taken.cid.to_string()));
    let new = verdict(&taken.text);
    assert_eq!((of(&new), &new["issuer"]["province"]), (("valid", "", None), &json!("11")));
    // The first names its own successor, which is superseded in turn.
    assert_eq!(verdict(&first.text)["superseded_by"], json!(renewed.cid.to_string()));
}

#[test]
fn nothing_that_was_shown_left_or_asked_reaches_the_metrics() {
    let (node, licence) = scene();
    let presentation = shown(&node, &licence, SELF, "n1");
    let left = node.post_json("/v1/tickets", &json!({"presentation": presentation})).json();
    let url = left["url"].as_str().unwrap();
    let path = url.strip_prefix(&format!("http://{}", node.public)).unwrap();
    assert_eq!(node.get(path).status, 200);
    let challenge = node.post_json("/v1/challenges", &json!({"audience": "desk 3"})).json();
    let verdict = node.verify(&json!({"presentation": presentation})).json();
    let compared = json!({"data": {"certTypeCode": TYPE, "certData": {"姓名": "陆园琼"},
        "useCause": "办理落户手续", "presentation": presentation}});
    assert_eq!(node.post_json("/v1/compat/verifyCertInfo", &compared).status, 200);
    let metrics = request(node.admin, "GET", "/metrics", &[], b"");
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(text.contains("route=\"/t/{ticket}\""), "{text}");
    let mut secrets = vec!["陆园琼", "办理落户手续", "desk 3", &path[3..]];
    secrets.push(challenge["nonce"].as_str().unwrap());
    secrets.extend(verdict["claims"].as_array().unwrap().iter().filter_map(|c| {
        let value = c["value"].as_str().unwrap();
        // Short values such as a class occur in any text.
        (value.chars().count() > 2).then_some(value)
    }));
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} is in the metrics");
    }
}

#[test]
fn sensitive_claims_are_whole_for_programs_and_masked_for_people() {
    let (node, licence) = scene();
    let verdict = node.verify(&json!({"presentation": licence.text})).json();
    let claim = |key: &str| {
        let claims = verdict["claims"].as_array().unwrap();
        claims.iter().find(|c| c["key"] == key).unwrap_or_else(|| panic!("{key}")).clone()
    };
    assert_eq!(claim("name")["display"], claim("name")["value"]);
    let number = claim("licence_number");
    let value = number["value"].as_str().unwrap();
    assert_eq!(number["display"], format!("{}********{}", &value[..6], &value[14..]));
    let address = claim("address");
    let first: String = address["value"].as_str().unwrap().chars().take(6).collect();
    assert_eq!(address["display"], format!("{first}***"));
}
