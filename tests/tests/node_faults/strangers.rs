//! What strangers say to a node, and what its log makes of it.

use super::*;

/// What strangers say to the port for everybody: orders for terminals, and lines that look like
/// the log's own, in every place where text may stand.
const HOSTILE_HTTP: [&[u8]; 9] = [
    b"GET /v1/licences/%1b%5b31mEVIL%0d%0a2026-01-01T00:00:00Z%20ERROR%20forged HTTP/1.1\r\nhost: n\r\n\r\n",
    b"GET /v1/agencies/%c2%9b31m?%1b%0aforged=%0dforged HTTP/1.1\r\nhost: n\r\n\r\n",
    b"GET /v1/\x1b[31mEVIL HTTP/1.1\r\nhost: n\r\n\r\n",
    b"GET /v1/status HTTP/1.1\r\nhost: n\r\nuser-agent: \x1b]0;EVIL\x07\r\n\r\n",
    b"GET /v1/status HTTP/1.1\r\nhost: \xc2\x9b31mEVIL\r\nuser-agent: \x9b31mEVIL\r\n\r\n",
    b"POST /v1/transactions HTTP/1.1\r\nhost: n\r\ncontent-type: application/cose\r\ncontent-length: 8\r\n\r\n\x1b[31mEVI",
    b"POST /v1/verify HTTP/1.1\r\nhost: n\r\ncontent-type: application/json\r\ncontent-length: 43\r\n\r\n{\"presentation\": \"\\u001b[31mEVIL\\nforged\"}  ",
    b"EV\x1bIL / HTTP/1.1\r\nhost: n\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x0e\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x1b[31m\n",
];

/// The same for the port of the peers: names of protocols, a broken handshake, and nothing like it.
const HOSTILE_PEERS: [&[u8]; 4] = [
    b"\x13/multistream/1.0.0\n\x12/\x1b[31mEVIL\r\nforged\n",
    b"\x13/multistream/1.0.0\n\x07/noise\n\x00\x0c\x1b[31mEVIL\n\n\n",
    b"\x13/multistream/1.0.0\n\x07/noise\n\x00\x00",
    b"\x1b[31mEVIL\r\nforged\r\n",
];

#[test]
fn what_strangers_say_gives_the_log_no_orders_and_no_lines() {
    let lone = Lone::new();
    let path = lone.folder.path().join("log");
    let log = std::fs::File::create(&path).unwrap();
    let mut command = lone.command();
    let mut node = command.env("SYMBOLON_LOG", "trace").stderr(log).spawn().unwrap();
    await_that("it serves", || lone.answers());
    let to_http = HOSTILE_HTTP.iter().map(|bytes| (lone.http, bytes));
    let to_peers = HOSTILE_PEERS.iter().map(|bytes| (lone.http + 200, bytes));
    for (port, bytes) in to_http.chain(to_peers) {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // It may have had enough, and have closed the connection, before it has all.
        let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
        // It has dealt with it when it has closed the connection, in whatever way.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    node.kill().unwrap();
    node.wait().unwrap();
    let said = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
    assert!(said.lines().count() > 20, "it logs nothing: {said}");
    let text = |c: char| c == '\n' || !c.is_control();
    for line in said.lines() {
        assert!(line.chars().all(text), "an order stands in the log: {line:?}");
        assert!(line.starts_with("20"), "a line is not the log's own: {line:?}");
    }
}
