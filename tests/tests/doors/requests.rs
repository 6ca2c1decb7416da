//! HTTP from somebody who means harm: too large, endless, too many, never read. Each row ends in an
//! answer or a closed connection, and others are served meanwhile.
//!
//! Slow heads and slow bodies are in `http/serving.rs`, oversized bodies of every address in
//! `http/bad_input.rs`.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use symbolon_tests::{devnet::await_that, faults::whole};

use crate::support::{Node, exchange, request};

/// A hang, not a slow machine.
const HANG: Duration = Duration::from_secs(90);

fn open(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    stream.set_write_timeout(Some(HANG)).unwrap();
    stream
}

/// Others are served.
#[track_caller]
fn serves(node: &Node) {
    assert_eq!(node.get("/v1/status").status, 200);
    assert_eq!(request(node.admin, "GET", "/livez", &[], b"").status, 200);
}

/// Sends `piece` again and again until the other side has enough, and waits for its end. The
/// bytes that it took.
fn pour(mut stream: TcpStream, head: &[u8], piece: &[u8], most: usize) -> usize {
    let mut sent = 0;
    let mut result = stream.write_all(head);
    while result.is_ok() && sent < most {
        result = stream.write_all(piece);
        sent += piece.len();
    }
    let mut rest = Vec::new();
    if let Err(error) = stream.read_to_end(&mut rest) {
        assert!(error.kind() != ErrorKind::WouldBlock, "still open after {HANG:?}");
    }
    sent
}

#[test]
fn heads_that_are_too_large_are_refused() {
    let node = Node::start();
    let long = "x".repeat(70_000);
    let many = (0..3_000).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    for head in [
        format!("GET /v1/{long} HTTP/1.1\r\nhost: n\r\n\r\n"),
        format!("GET /v1/status?{long} HTTP/1.1\r\nhost: n\r\n\r\n"),
        format!("GET /v1/status HTTP/1.1\r\nhost: n\r\nx: {long}\r\n\r\n"),
        format!("GET /v1/status HTTP/1.1\r\nhost: n\r\n{many}\r\n"),
        format!("{long} /v1/status HTTP/1.1\r\nhost: n\r\n\r\n"),
    ] {
        let answer = exchange(node.public, head.as_bytes());
        assert!([400, 414, 431].contains(&answer.status), "{}", answer.status);
        serves(&node);
    }
}

#[test]
fn bodies_that_claim_or_are_too_much_are_refused() {
    let node = Node::start();
    let head = "POST /v1/verify HTTP/1.1\r\nhost: n\r\ncontent-type: application/json\r\n\
                connection: close\r\n";
    // No number of bytes at all is the library's to refuse: the head's own fault.
    for (claim, expected) in
        [("999999999999999999", 413), ("17179869184", 413), ("18446744073709551615", 431)]
    {
        let bytes = format!("{head}content-length: {claim}\r\n\r\n{{");
        assert_eq!(exchange(node.public, bytes.as_bytes()).status, expected, "{claim}");
    }
    for claim in ["-1", "1, 2", "99999999999999999999999", "x"] {
        let bytes = format!("{head}content-length: {claim}\r\n\r\n{{");
        assert_eq!(exchange(node.public, bytes.as_bytes()).status, 400, "{claim}");
    }
    // Chunks without an end.
    let chunk = format!("{:x}\r\n{}\r\n", 8_192, " ".repeat(8_192));
    let head = format!("{head}transfer-encoding: chunked\r\n\r\n");
    const MOST: usize = 64 * 1024 * 1024;
    let sent = pour(open(node.public), head.as_bytes(), chunk.as_bytes(), MOST);
    assert!(sent < MOST, "{sent} bytes were taken");
    // A size of a chunk without an end: nothing of it is kept, and the time for a body ends it.
    let stream = open(node.public);
    let endless = thread::spawn(move || {
        pour(stream, head.as_bytes(), &[b'0'; 8_192], usize::MAX);
    });
    serves(&node);
    await_that("the node ends it", || endless.is_finished());
    serves(&node);
}

/// One HTTP/2 frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const END_STREAM: u8 = 1;
/// `GET http://n/` (RFC 7541: three indexed fields, one literal).
const GET: [u8; 6] = [0x82, 0x86, 0x84, 0x41, 1, b'n'];
/// `POST http://n/`.
const POST: [u8; 6] = [0x83, 0x86, 0x84, 0x41, 1, b'n'];

fn http2() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(SETTINGS, 0, 0, &[])].concat()
}

#[test]
fn http2_floods_end_the_connection_and_nothing_else() {
    const MOST: usize = 32 * 1024 * 1024;
    let node = Node::start();
    // Opened and reset at once, each on a stream of its own (rapid reset).
    let resets: Vec<u8> = (0..200_000u32)
        .flat_map(|n| {
            let stream = 2 * n + 1;
            let headers = frame(HEADERS, END_HEADERS | END_STREAM, stream, &GET);
            [headers, frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())].concat()
        })
        .collect();
    // Headers that go on and on: `a: vvv…`, 253 bytes long.
    let begun = [http2(), frame(HEADERS, END_STREAM, 1, &GET)].concat();
    let line = [&[0x00, 1, b'a', 0x7f, 0x7e][..], &[b'v'; 253]].concat();
    let more = frame(CONTINUATION, 0, 1, &line);
    // Bodies of nothing.
    let empty = [http2(), frame(HEADERS, END_HEADERS, 1, &POST)].concat();
    let mut floods = vec![
        ("rapid reset", http2(), resets),
        ("endless headers", begun, more),
        ("empty data", empty, frame(DATA, 0, 1, &[])),
        ("a frame longer than allowed", http2(), frame(DATA, 0, 1, &vec![0; 1 << 20])),
    ];
    if whole() {
        // Answered, and the answers are not read: these end when the node has waited long enough.
        floods.push(("settings", http2(), frame(SETTINGS, 0, 0, &[])));
        floods.push(("pings", http2(), frame(PING, 0, 0, &[0; 8])));
    }
    for (what, head, piece) in floods {
        let flooding = AtomicBool::new(true);
        thread::scope(|scope| {
            let flood = scope.spawn(|| {
                let mut stream = open(node.public);
                let mut sent = 0;
                let mut result = stream.write_all(&head);
                while result.is_ok() && sent < MOST {
                    result = stream.write_all(&piece);
                    sent += piece.len();
                }
                flooding.store(false, SeqCst);
                result.is_err()
            });
            while flooding.load(SeqCst) {
                serves(&node);
            }
            assert!(flood.join().unwrap(), "{what}: all of it was taken");
        });
        serves(&node);
    }
}

#[test]
fn a_flood_of_requests_leaves_the_others_and_the_operator_their_answers() {
    let node = Node::start();
    let (stop, flooders) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (odd, answered) = (AtomicUsize::new(0), [const { AtomicUsize::new(0) }; 3]);
    thread::scope(|scope| {
        for n in 0..48 {
            let (node, stop, flooders) = (&node, &stop, &flooders);
            let (odd, answered) = (&odd, &answered);
            scope.spawn(move || {
                flooders.fetch_add(1, SeqCst);
                while !stop.load(SeqCst) {
                    let answer = match n % 3 {
                        0 => node.get("/v1/trust-bundle"),
                        1 => node.get("/openapi.json"),
                        _ => {
                            node.post_json("/v1/verify", &serde_json::json!({"presentation": "x"}))
                        }
                    };
                    let told = answer.status == 503 && answer.headers.contains_key("retry-after");
                    if [200, 400].contains(&answer.status) {
                        answered[n % 3].fetch_add(1, SeqCst);
                    } else if !told {
                        odd.fetch_add(1, SeqCst);
                    }
                }
            });
        }
        while flooders.load(SeqCst) < 48 {
            thread::yield_now();
        }
        for _ in 0..20 {
            serves(&node);
            assert_eq!(request(node.admin, "GET", "/metrics", &[], b"").status, 200);
        }
        // Those who flood are answered in turn, too: to be told to come back is not all they get.
        let all = || answered.iter().all(|kind| kind.load(SeqCst) > 0);
        let begun = Instant::now();
        while !all() && begun.elapsed() < HANG {
            thread::yield_now();
        }
        stop.store(true, SeqCst);
    });
    assert_eq!(odd.load(SeqCst), 0, "answers that are neither right nor a word to come back");
    let answered = answered.map(AtomicUsize::into_inner);
    assert!(answered.iter().all(|count| *count > 0), "a kind is never answered: {answered:?}");
}

/// Asks for much and reads nothing.
fn deaf(to: SocketAddr) -> TcpStream {
    let mut stream = open(to);
    let ask = "GET /openapi.json HTTP/1.1\r\nhost: n\r\n\r\n".repeat(200);
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let _ = stream.write_all(ask.as_bytes());
    stream
}

#[test]
fn callers_who_read_nothing_hold_up_nobody() {
    let node = Node::start();
    let streams: Vec<TcpStream> = (0..16).map(|_| deaf(node.public)).collect();
    for _ in 0..20 {
        serves(&node);
    }
    if whole() {
        for stream in &streams {
            stream.set_nonblocking(true).unwrap();
            await_that("who reads nothing is let go", || gone(stream));
        }
        serves(&node);
    }
}

/// Whether the other side has ended the connection; what it sent before is not read.
fn gone(mut stream: &TcpStream) -> bool {
    let failed = stream.write_all(b"x").is_err_and(|e| e.kind() != ErrorKind::WouldBlock);
    failed || stream.take_error().unwrap().is_some()
}
