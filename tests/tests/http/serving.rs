//! How the node serves: limits, slow callers, event streams, the operator's listener, and what
//! it never tells.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};
use symbolon_node::{
    engine::EngineStatus,
    http::{
        CHECKPOINT_PATH, HttpAddresses, HttpError, HttpLimits, HttpListeners, Share, TlsFiles,
        description, operator_authorization,
    },
    storage::remove_checkpoint,
};

use crate::support::{Node, read_answer, request};

/// A stream of server-sent events.
struct Events(BufReader<TcpStream>);

impl Events {
    fn open(node: &Node, path: &str, header: &str) -> Self {
        let (mut events, status) = Self::ask(node, path, header);
        assert!(status.contains(" 200 "), "{status}");
        while events.line().is_some_and(|line| !line.is_empty()) {}
        events
    }

    /// The stream behind the first line of the answer, and that line.
    fn ask(node: &Node, path: &str, header: &str) -> (Self, String) {
        let mut stream = TcpStream::connect(node.public).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: node\r\n{header}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut events = Self(BufReader::new(stream));
        let status = events.line().unwrap();
        (events, status)
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).unwrap();
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// The next event's id and data; none at the end.
    fn next(&mut self) -> Option<(u64, Value)> {
        let mut id = None;
        loop {
            let line = self.line()?;
            if let Some(height) = line.strip_prefix("id: ") {
                id = Some(height.parse().unwrap());
            } else if let Some(data) = line.strip_prefix("data: ") {
                let json: Value = serde_json::from_str(data).unwrap();
                // The id may come after the data in the same event.
                while id.is_none() {
                    let line = self.line()?;
                    id = line.strip_prefix("id: ").map(|height| height.parse().unwrap());
                }
                return id.map(|id| (id, json));
            }
        }
    }
}

#[test]
fn events_follow_the_chain_and_go_on_where_they_stopped() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    let mut events = Events::open(&node, "/v1/events?from=0", "");
    for height in 0..=2 {
        let (id, data) = events.next().unwrap();
        assert_eq!((id, &data["height"]), (height, &json!(height)));
        assert_eq!(data["hash"], node.get(&format!("/v1/blocks/{height}")).json()["hash"]);
    }
    node.commit();
    let (id, data) = events.next().unwrap();
    assert_eq!((id, &data["transactions"]), (3, &json!(0)));

    let mut resumed = Events::open(&node, "/v1/events", "last-event-id: 1\r\n");
    let (id, data) = resumed.next().unwrap();
    assert_eq!(id, 2);
    assert_eq!(data["licences_total"], 1);
    assert_eq!(data["licences"][0]["cid"], json!(licence.cid.to_string()));
    assert_eq!(data["licences"][0]["event"], "issue");

    let mut newest = Events::open(&node, "/v1/events", "");
    assert_eq!(newest.next().unwrap().0, 3);
}

#[test]
fn event_streams_are_bounded_and_end_with_the_node() {
    let node = Node::start_with(HttpLimits { streams: 1, ..HttpLimits::default() });
    let mut events = Events::open(&node, "/v1/events?from=0", "");
    assert_eq!(events.next().unwrap().0, 0);
    let refused = node.get("/v1/events");
    assert_eq!((refused.status, refused.problem().as_str()), (503, "overloaded"));
    assert!(refused.headers.contains_key("retry-after"));
    drop(node);
    while events.next().is_some() {}
}

#[test]
fn a_full_house_says_when_to_come_back() {
    let node = Node::start_with(HttpLimits { requests: 0, ..HttpLimits::default() });
    let answer = node.get("/v1/status");
    assert_eq!((answer.status, answer.problem().as_str()), (503, "overloaded"));
    assert!(answer.headers.contains_key("retry-after"));

    let node = Node::start_with(HttpLimits { batches: 0, ..HttpLimits::default() });
    let answer = node.post_json("/v1/verify/batch", &json!({"items": []}));
    assert_eq!((answer.status, answer.problem().as_str()), (503, "overloaded"));

    let node = Node::start_with(HttpLimits { connections: 1, ..HttpLimits::default() });
    let held = Events::open(&node, "/v1/events", "");
    let mut second = TcpStream::connect(node.public).unwrap();
    let _ = second.write_all(b"GET /v1/status HTTP/1.1\r\nhost: node\r\n\r\n");
    let mut nothing = Vec::new();
    let _ = second.read_to_end(&mut nothing);
    assert!(nothing.is_empty(), "a connection past the limit was served");
    drop(held);
}

#[test]
fn a_full_house_does_not_make_the_node_look_dead() {
    let limits = HttpLimits { requests: 0, reads: 0, ..HttpLimits::default() };
    let node = Node::start_with(limits);
    node.commit();
    assert_eq!(node.get("/v1/status").status, 503);
    for path in ["/livez", "/readyz", "/metrics", "/version"] {
        let answer = request(node.admin, "GET", path, &[], b"");
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    }
}

#[test]
fn one_caller_cannot_take_the_places_of_all() {
    let share = Share { other_machine: 1, this_machine: 2 };
    let node = Node::start_with(HttpLimits { streams_of_one: share, ..HttpLimits::default() });
    let first = Events::open(&node, "/v1/events", "");
    let second = Events::open(&node, "/v1/events", "");
    let refused = node.get("/v1/events");
    assert_eq!((refused.status, refused.problem().as_str()), (503, "overloaded"));
    assert_eq!(node.get("/v1/status").status, 200);
    drop((first, second));
    // A place is free again once the node has seen, in writing to it, that its reader is gone.
    while node.get("/v1/events?from=18446744073709551615").status == 503 {
        node.commit();
    }

    let node = Node::start_with(HttpLimits { connections_of_one: share, ..HttpLimits::default() });
    let held = (Events::open(&node, "/v1/events", ""), Events::open(&node, "/v1/events", ""));
    let mut third = TcpStream::connect(node.public).unwrap();
    let _ = third.write_all(b"GET /v1/status HTTP/1.1\r\nhost: node\r\n\r\n");
    let mut nothing = Vec::new();
    let _ = third.read_to_end(&mut nothing);
    assert!(nothing.is_empty(), "a connection past its caller's share was served");
    // The operator's listener counts by itself.
    assert_eq!(request(node.admin, "GET", "/livez", &[], b"").status, 200);
    drop(held);
}

/// In these a proxy says for whom it speaks. Anybody can write them.
const NAMED_BY_PROXIES: [&str; 9] = [
    "x-forwarded-for: 203.0.113.9",
    "x-forwarded-for: 203.0.113.9, 198.51.100.7",
    "forwarded: for=203.0.113.9;proto=https",
    "forwarded: for=\"[2001:db8::9]\"",
    "x-real-ip: 203.0.113.9",
    "x-client-ip: 203.0.113.9",
    "x-cluster-client-ip: 203.0.113.9",
    "true-client-ip: 203.0.113.9",
    "cf-connecting-ip: 203.0.113.9",
];

#[test]
fn an_address_that_a_caller_names_itself_gives_it_no_second_share() {
    // Another machine would have places enough.
    let share = Share { other_machine: 100, this_machine: 1 };
    let node = Node::start_with(HttpLimits { streams_of_one: share, ..HttpLimits::default() });
    // Nor does it cost another its share: the first is counted for its connection as well.
    let first = Events::open(&node, "/v1/events", "x-forwarded-for: 203.0.113.9\r\n");
    for header in NAMED_BY_PROXIES {
        let (_, status) = Events::ask(&node, "/v1/events", &format!("{header}\r\n"));
        assert!(status.contains(" 503 "), "{header}: {status}");
    }
    drop(first);
}

#[test]
fn one_caller_cannot_take_every_place_of_a_request() {
    let share = Share { other_machine: 0, this_machine: 2 };
    let node = Node::start_with(HttpLimits { requests_of_one: share, ..HttpLimits::default() });
    // Bodies that are asked for and never come: each holds its request's place until it is let go.
    let head = b"POST /v1/verify HTTP/1.1\r\nhost: n\r\ncontent-type: application/json\r\n\
        expect: 100-continue\r\ncontent-length: 100\r\n\r\n";
    let hold = || loop {
        let mut stream = TcpStream::connect(node.public).unwrap();
        stream.write_all(head).unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        if line.starts_with("HTTP/1.1 100") {
            return stream;
        }
        // The place of the request before is not given back yet.
        assert!(line.starts_with("HTTP/1.1 503"), "{line}");
    };
    let held = [hold(), hold()];
    let refused = node.get("/v1/status");
    assert_eq!((refused.status, refused.problem().as_str()), (503, "overloaded"));
    // The operator's listener counts by itself.
    assert_eq!(request(node.admin, "GET", "/version", &[], b"").status, 200);
    drop(held);
    while node.get("/v1/status").status == 503 {
        std::thread::yield_now();
    }
}

#[test]
fn nobody_waits_for_blocks_that_are_far_off() {
    let node = Node::start();
    for (path, header) in [
        ("/v1/events?from=2", None),
        ("/v1/events?from=18446744073709551615", None),
        ("/v1/events", Some(("last-event-id", "18446744073709551615"))),
    ] {
        let answer = node.get_with(path, header.as_slice());
        assert_eq!((answer.status, answer.problem().as_str()), (400, "bad_height"), "{path}");
    }
    let mut next = Events::open(&node, "/v1/events?from=1", "");
    let mut from_another_node = Events::open(&node, "/v1/events", "last-event-id: 1\r\n");
    node.commit();
    node.commit();
    assert_eq!(next.next().unwrap().0, 1);
    assert_eq!(from_another_node.next().unwrap().0, 2);
}

#[test]
fn submitters_past_the_limit_are_answered_without_waiting() {
    let node = Node::start_with(HttpLimits { waits: 0, ..HttpLimits::default() });
    let agency = node.agency("44");
    let operation = symbolon_ledger::operation::Operation::ReserveSlots { agency, blocks: 1 };
    let transaction = node.by_agency("44", vec![operation]);
    let path = "/v1/transactions?wait=commit&timeout_ms=60000";
    assert_eq!(node.post_cose(path, transaction.as_bytes()).status, 202);
}

#[test]
fn a_node_that_goes_down_lets_its_waiting_submitters_go() {
    let node = Node::start();
    let agency = node.agency("44");
    let operation = symbolon_ledger::operation::Operation::ReserveSlots { agency, blocks: 1 };
    let transaction = node.by_agency("44", vec![operation]);
    let mut stream = TcpStream::connect(node.public).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "POST /v1/transactions?wait=commit&timeout_ms=60000 HTTP/1.1\r\nhost: n\r\n\
         content-type: application/cose\r\ncontent-length: {}\r\n\r\n",
        transaction.as_bytes().len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(transaction.as_bytes()).unwrap();
    while node.pool.is_empty() {
        std::thread::yield_now();
    }
    node.stop();
    let answer = read_answer(&mut stream);
    assert_eq!((answer.status, &answer.json()["state"]), (202, &json!("pending")));
}

#[test]
fn slow_callers_are_let_go_and_others_are_served() {
    let node = Node::start();
    let half_head = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(node.public).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    };
    let mut silent: Vec<_> = (0..20).map(|_| half_head(b"")).collect();
    let mut heads: Vec<_> =
        (0..20).map(|_| half_head(b"GET /v1/status HTTP/1.1\r\nhost:")).collect();
    let body = b"POST /v1/verify HTTP/1.1\r\nhost: n\r\ncontent-type: application/json\r\n\
        content-length: 100\r\n\r\n{";
    let mut bodies: Vec<_> = (0..20).map(|_| half_head(body)).collect();
    assert_eq!(node.get("/v1/status").status, 200);
    for stream in heads.iter_mut().chain(&mut silent) {
        let mut rest = Vec::new();
        // Closed, with or without an answer: a read that only timed out would be an error.
        let _ = stream.read_to_end(&mut rest).map_err(|e| {
            assert_ne!(e.kind(), std::io::ErrorKind::WouldBlock, "still open after a minute");
        });
    }
    for stream in &mut bodies {
        let answer = read_answer(stream);
        assert_eq!((answer.status, answer.problem().as_str()), (408, "request_timeout"));
    }
}

#[test]
fn web_pages_of_other_origins_may_read_and_verify_but_not_submit() {
    let node = Node::start();
    let origin = ("origin", "https://verifier.example");
    let read = node.get_with("/v1/status", &[origin]);
    assert_eq!(read.headers["access-control-allow-origin"], "*");
    let preflight = |path: &str| {
        let headers = [
            origin,
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,idempotency-key"),
        ];
        request(node.public, "OPTIONS", path, &headers, b"")
    };
    assert!(preflight("/v1/verify").headers.contains_key("access-control-allow-origin"));
    assert!(!preflight("/v1/transactions").headers.contains_key("access-control-allow-origin"));
}

#[test]
fn the_description_names_every_address_and_is_browsable_offline() {
    let node = Node::start();
    let served = node.get("/openapi.json").json();
    assert_eq!(served, serde_json::to_value(description()).unwrap());
    let paths = served["paths"].as_object().unwrap();
    for path in [
        "/v1/transactions",
        "/v1/transactions/{id}",
        "/v1/transactions/{id}/receipt",
        "/v1/licences/{cid}",
        "/v1/licences/{cid}/history",
        "/v1/licences/{cid}/proof",
        "/v1/verify",
        "/v1/verify/batch",
        "/v1/challenges",
        "/v1/tickets",
        "/t/{ticket}",
        "/v1/compat/verifyCertInfo",
        "/v1/compat/queryCertInfo",
        "/v1/agencies",
        "/v1/agencies/{uscc}",
        "/v1/licence-types",
        "/v1/licence-types/{code}",
        "/v1/provinces",
        "/v1/recognition",
        "/v1/validators",
        "/v1/proposals",
        "/v1/proposals/{number}",
        "/v1/agencies/{uscc}/reversals",
        "/v1/blocks",
        "/v1/blocks/{height}",
        "/v1/blocks/latest",
        "/v1/blocks/{height}/certificate",
        "/v1/blocks/{height}/inclusion",
        "/v1/trust-bundle",
        "/v1/evidence",
        "/v1/status",
        "/v1/events",
    ] {
        let operations = paths.get(path).unwrap_or_else(|| panic!("{path} is not described"));
        for operation in operations.as_object().unwrap().values() {
            assert!(operation["summary"].is_string(), "{path} has no summary");
            assert!(operation["tags"].is_array(), "{path} has no tag");
        }
    }
    // Every schema that is referred to is there.
    let text = served.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(served["components"]["schemas"].get(name).is_some(), "{name} is missing");
    }
    let page = node.get("/docs/");
    assert_eq!(page.status, 200);
    let html = String::from_utf8(page.body).unwrap();
    assert!(html.contains("swagger"));
    assert!(!html.contains("https://"), "the page needs the network");
    assert_eq!(node.get("/docs/swagger-ui-bundle.js").status, 200);
    let missing = node.get("/docs/no-such-file.js");
    assert_eq!((missing.status, missing.problem().as_str()), (404, "not_found"));
}

#[test]
fn only_who_can_read_the_nodes_files_has_its_database_held_fast() {
    let node = Node::start();
    let ask = |headers: &[(&str, &str)]| request(node.admin, "POST", CHECKPOINT_PATH, headers, b"");
    assert_eq!(ask(&[]).status, 401);
    let right = operator_authorization(node.store.folder()).unwrap();
    for wrong in [&[("authorization", "Bearer x")][..], &[], &[("authorization", &right[7..])]] {
        let answer = ask(wrong);
        assert_eq!((answer.status, answer.problem().as_str()), (401, "no_operator_token"));
    }
    let page = ask(&[("authorization", &right), ("origin", "https://a.example")]);
    assert_eq!((page.status, page.problem().as_str()), (403, "not_for_pages"));
    assert!(!node.store.folder().join("checkpoint").exists());
    assert_eq!(ask(&[("authorization", &right)]).status, 201);
    assert!(node.store.folder().join("checkpoint").exists());
    let again = ask(&[("authorization", &right)]);
    assert_eq!((again.status, again.problem().as_str()), (409, "checkpoint_exists"));
    remove_checkpoint(node.store.folder()).unwrap();
}

#[test]
fn the_operator_sees_whether_the_node_is_of_use() {
    let node = Node::start();
    let admin = |path: &str| request(node.admin, "GET", path, &[], b"");
    assert_eq!(admin("/livez").json(), json!({"status": "alive"}));
    let version = admin("/version").json();
    assert_eq!((&version["name"], &version["province"]), (&json!("symbolon-node"), &json!("44")));

    let fresh = admin("/readyz");
    assert_eq!((fresh.status, &fresh.json()["status"]), (503, &json!("not_ready")));
    assert!(!fresh.json()["reasons"].as_array().unwrap().is_empty());
    node.commit();
    let ready = admin("/readyz");
    assert_eq!((ready.status, &ready.json()["status"]), (200, &json!("ready")), "{}", ready.json());
    assert_eq!(ready.json()["height"], 1);
    node.now_ms.fetch_add(3_600_000, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(admin("/readyz").status, 503);
    node.commit();
    assert_eq!(admin("/readyz").status, 200);
    node.status.send_replace(EngineStatus { syncing: true, ..EngineStatus::default() });
    assert_eq!(admin("/readyz").status, 503);

    let metrics = admin("/metrics");
    assert!(metrics.headers["content-type"].starts_with("application/openmetrics-text"));
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(text.contains("symbolon_height 2\n"), "{text}");
    assert!(text.ends_with("# EOF\n"));
    let missing = admin("/v1/status");
    assert_eq!((missing.status, missing.problem().as_str()), (404, "not_found"));
    assert_eq!(node.get("/metrics").status, 404, "metrics are not for the outside");
}

#[test]
fn nothing_of_a_person_reaches_the_metrics() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    let verdict = node.verify(&json!({"presentation": licence.text})).json();
    let claims = verdict["claims"].as_array().unwrap();
    assert!(!claims.is_empty());
    node.get(&format!("/v1/licences/{}", licence.cid));
    node.get("/v1/陆园琼");
    let metrics = request(node.admin, "GET", "/metrics", &[], b"");
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(text.contains("symbolon_verdicts_total{kind=\"valid\"} 1"), "{text}");
    assert!(!text.contains(&licence.cid.to_string()));
    assert!(!text.contains("陆园琼"));
    for claim in claims {
        let value = claim["value"].as_str().unwrap();
        // Short values such as a class occur in any text.
        if value.chars().count() > 3 {
            assert!(!text.contains(value), "{} is in the metrics", claim["key"]);
        }
    }
}

#[test]
fn plain_http_is_not_offered_to_other_machines() {
    let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let everywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let bind = |public, admin, tls, insecure_public| {
        HttpListeners::bind(&HttpAddresses { public, admin, tls, insecure_public })
    };
    assert!(matches!(bind(everywhere, loopback, None, false), Err(HttpError::NotLoopback(_))));
    for insecure_public in [false, true] {
        let refused = bind(loopback, everywhere, None, insecure_public);
        assert!(matches!(refused, Err(HttpError::AdminNotLoopback(_))));
    }
    assert!(bind(everywhere, loopback, None, true).is_ok());
    let missing = TlsFiles { certificate: "/no/such.pem".into(), key: "/no/such.key".into() };
    let error = bind(loopback, loopback, Some(missing), false).unwrap_err();
    assert!(error.to_string().contains("/no/such.pem"), "{error}");
}

#[test]
fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let admin = "127.0.0.1:0".parse().unwrap();
    let addresses = HttpAddresses { public: address, admin, tls: None, insecure_public: false };
    let error = HttpListeners::bind(&addresses).unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}
