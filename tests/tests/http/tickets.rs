//! Tickets: a presentation that lies at a node for a minute, and is given once. The clock is the
//! test's.

use serde_json::json;
use symbolon_credential::elc1;
use symbolon_node::http::{HttpLimits, Share};

use crate::{
    presenting::{SELF, VALID, holder, of, refused, scene, shown},
    support::{Node, exchange, request},
};

#[test]
fn a_ticket_gives_the_presentation_once_and_within_a_minute() {
    let (node, licence) = scene();
    let presentation = shown(&node, &licence, SELF, "n1");
    let leave = |text: &str| node.post_json("/v1/tickets", &json!({"presentation": text}));
    let left = leave(&format!(" {presentation}\n"));
    assert_eq!(left.status, 201);
    let left = left.json();
    assert_eq!(left["expires_at"], "2026-11-23T00:01:00.000Z");
    let url = left["url"].as_str().unwrap();
    let path = url.strip_prefix(&format!("http://{}", node.public)).unwrap();
    assert_eq!((path.len(), &path[..3]), (3 + 22, "/t/"), "{path}");

    for _ in 0..2 {
        let head = request(node.public, "HEAD", path, &[], b"");
        assert_eq!((head.status, head.body.len()), (200, 0), "HEAD uses nothing up");
    }
    let taken = node.get(path);
    assert_eq!(taken.status, 200);
    assert_eq!(taken.headers["content-type"], "application/dc+sd-jwt");
    assert_eq!(taken.headers["cache-control"], "no-store");
    assert_eq!(taken.body, presentation.as_bytes());
    assert_eq!(of(&node.verify(&json!({"presentation": presentation})).json()), VALID);

    // Used, over, never given, and of no form: one answer.
    let over = leave(&presentation).json()["url"].as_str().unwrap().to_owned();
    let over = over.strip_prefix(&format!("http://{}", node.public)).unwrap().to_owned();
    node.wait(60);
    let used = node.get(path);
    refused(&used, 404, "unknown_ticket");
    for path in
        [over.as_str(), "/t/AAAAAAAAAAAAAAAAAAAAAA", "/t/x", "/t/%00", "/t/AAAAAAAAAAAAAAAAAAAAAAA"]
    {
        let answer = node.get(path);
        assert_eq!((answer.status, &answer.body), (404, &used.body), "{path}");
        assert_eq!(request(node.public, "HEAD", path, &[], b"").status, 404, "{path}");
    }
}

#[test]
fn one_caller_has_a_share_of_the_tickets() {
    let share = Share { other_machine: 0, this_machine: 2 };
    let limits = HttpLimits { tickets_of_one: share, ..HttpLimits::default() };
    let node = Node::start_with(limits);
    node.reserve_slots("44");
    let licence = node.issue_to("44", 0, &holder());
    let body = json!({"presentation": shown(&node, &licence, SELF, "n1")});
    let leave = || node.post_json("/v1/tickets", &body);
    let first = leave().json()["url"].as_str().unwrap().to_owned();
    assert_eq!(leave().status, 201);
    refused(&leave(), 503, "overloaded");
    // A ticket that is fetched, or over, is its caller's no more.
    let path = first.strip_prefix(&format!("http://{}", node.public)).unwrap();
    assert_eq!(node.get(path).status, 200);
    assert_eq!(leave().status, 201);
    refused(&leave(), 503, "overloaded");
    node.wait(60);
    assert_eq!(leave().status, 201);
}

#[test]
fn of_many_who_fetch_a_ticket_at_once_one_gets_it() {
    let (node, licence) = scene();
    let presentation = shown(&node, &licence, SELF, "n1");
    let left = node.post_json("/v1/tickets", &json!({"presentation": presentation})).json();
    let url = left["url"].as_str().unwrap();
    let path = url.strip_prefix(&format!("http://{}", node.public)).unwrap();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| node.get(path).status)).collect();
        asked.into_iter().map(|a| a.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|s| **s == 404).count(), 7, "{statuses:?}");
}

#[test]
fn what_is_no_presentation_gets_no_ticket_and_no_link_leads_astray() {
    let (node, licence) = scene();
    let body = |text: &str| json!({"presentation": text});
    for text in ["", "no licence", &licence.text[..200]] {
        refused(&node.post_json("/v1/tickets", &body(text)), 400, "malformed_presentation");
    }
    refused(&node.post_json("/v1/tickets", &json!({})), 400, "bad_json");
    // Nobody signed it, or it is longer than what is left here, also when it is packed.
    refused(&node.post_json("/v1/tickets", &body(&licence.text)), 400, "no_holder_binding");
    let presentation = shown(&node, &licence, SELF, "n1");
    let disclosures = format!("~{}", "WyJhIl0".repeat(1_000)).repeat(3);
    let long = presentation.replacen('~', &format!("{disclosures}~"), 1);
    let packed = elc1::encode(&long).unwrap();
    assert!(packed.len() < 4_096, "{} packed", packed.len());
    for text in [&long, &packed] {
        refused(&node.post_json("/v1/tickets", &body(text)), 413, "body_too_large");
    }
    let bytes = serde_json::to_vec(&body(&presentation)).unwrap();
    // Another host than this machine, in the clear; or no host at all.
    for host in ["evil.example", "127.0.0.1.evil.example", "a/b", ""] {
        let head = format!(
            "POST /v1/tickets HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            bytes.len()
        );
        let answer = exchange(node.public, &[head.as_bytes(), &bytes].concat());
        assert!([400, 501].contains(&answer.status), "{host}: {}", answer.status);
        assert!(!String::from_utf8_lossy(&answer.body).contains("/t/"), "{host}");
    }
}

#[test]
fn the_configured_origin_stands_in_every_link() {
    let node = Node::start_at("https://licences.guangdong.example");
    node.reserve_slots("44");
    let licence = node.issue_to("44", 0, &holder());
    let presentation = shown(&node, &licence, SELF, "n1");
    let left = node.post_json("/v1/tickets", &json!({"presentation": presentation})).json();
    let url = left["url"].as_str().unwrap();
    assert!(url.starts_with("https://licences.guangdong.example/t/"), "{url}");
}
