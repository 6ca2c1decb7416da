//! The doors of the peer-to-peer network against raw bytes: connections that say nothing, broken
//! handshakes, hostile yamux frames, floods of streams. Whatever comes, the others are heard.
//!
//! Hostile gossip and exchange frames are in `network.rs`: they take an honest connection.

use std::{io::ErrorKind, net::SocketAddr, sync::atomic::Ordering::Relaxed, time::Duration};

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::{
    Multiaddr, Transport as _,
    core::{
        Endpoint,
        transport::{DialOpts, PortUse},
        upgrade::OutboundConnectionUpgrade as _,
    },
    identity::Keypair,
    multiaddr::Protocol,
    noise, tcp,
};
use symbolon_node::network::limits;
use tokio::net::{TcpSocket, TcpStream};

use super::{HANG, Node, TCP, node};

/// The name and the version of multistream-select (its specification), which every step begins
/// with, as a line with its length.
const MULTISTREAM: &[u8] = b"\x13/multistream/1.0.0\n";

fn socket_address(address: &Multiaddr) -> SocketAddr {
    let mut parts = address.iter();
    match (parts.next(), parts.next()) {
        (Some(Protocol::Ip4(ip)), Some(Protocol::Tcp(port))) => (ip, port).into(),
        other => panic!("{other:?}"),
    }
}

/// A TCP connection from an address of this machine.
async fn connect_from(from: &str, to: &Multiaddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // A node dials from the port that it listens on, whatever the address. Of so many sockets one
    // may have that number by chance, and would keep the node from it.
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0))?;
    socket.connect(socket_address(to)).await
}

/// Asks for a protocol, and reads the other side's agreement.
async fn agree<S>(stream: &mut S, protocol: &str)
where
    S: futures::AsyncRead + futures::AsyncWrite + Unpin,
{
    let line = [&[protocol.len() as u8 + 1], protocol.as_bytes(), b"\n"].concat();
    stream.write_all(&[MULTISTREAM, &line].concat()).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = vec![0; MULTISTREAM.len() + line.len()];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, [MULTISTREAM, &line].concat());
}

/// An admitted peer's connection up to where yamux begins: TCP, noise, and nothing said yet.
async fn up_to_yamux(
    seed: u8,
    to: &Multiaddr,
) -> impl futures::AsyncRead + futures::AsyncWrite + Unpin + use<> {
    let mut transport = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
    let mut stream = transport.dial(to.clone(), options).unwrap().await.unwrap();
    agree(&mut stream, "/noise").await;
    let key = Keypair::ed25519_from_bytes([seed; 32]).unwrap();
    let noise = noise::Config::new(&key).unwrap();
    let (_, mut secure) = noise.upgrade_outbound(stream, "/noise").await.unwrap();
    agree(&mut secure, "/yamux/1.0.0").await;
    secure
}

/// One yamux frame (the hashicorp specification): version, type, flags, stream, length.
fn frame(kind: u8, flags: u16, stream: u32, length: u32) -> Vec<u8> {
    [&[0, kind][..], &flags.to_be_bytes(), &stream.to_be_bytes(), &length.to_be_bytes()].concat()
}

const DATA: u8 = 0;
const WINDOW: u8 = 1;
const PING: u8 = 2;
const GO_AWAY: u8 = 3;
const SYN: u16 = 1;
const ACK: u16 = 2;
const FIN: u16 = 4;
const RST: u16 = 8;

/// Frames that have crashed or filled up yamux libraries (GHSA-vxx9-2994-q338,
/// GHSA-4w32-2493-32g7), and others that break its rules.
fn hostile_yamux() -> Vec<(&'static str, Vec<u8>)> {
    let with = |frame: Vec<u8>, body: usize| [frame, vec![0x41; body]].concat();
    vec![
        (
            "data that opens a stream, longer than its window",
            with(frame(DATA, SYN, 1, 300_000), 300_000),
        ),
        ("data that opens a stream, of all lengths", frame(DATA, SYN, 1, u32::MAX)),
        ("data that opens and ends a stream at once", with(frame(DATA, SYN | FIN, 1, 1), 1)),
        (
            "a window as large as can be",
            [frame(WINDOW, SYN, 1, u32::MAX), frame(WINDOW, 0, 1, u32::MAX)].concat(),
        ),
        (
            "a window that overflows step by step",
            [frame(WINDOW, SYN, 1, 0), frame(WINDOW, 0, 1, u32::MAX).repeat(3)].concat(),
        ),
        ("a stream opened twice", frame(WINDOW, SYN, 1, 0).repeat(2)),
        ("a stream with our own numbers", frame(WINDOW, SYN, 2, 0)),
        ("a stream with the session's number", frame(WINDOW, SYN, 0, 0)),
        ("data for no stream", with(frame(DATA, 0, 99, 10), 10)),
        ("data for the session", with(frame(DATA, 0, 0, 10), 10)),
        ("an end of no stream", frame(DATA, FIN | RST, 77, 0)),
        ("an agreement to nothing", frame(WINDOW, ACK, 5, 0).repeat(100)),
        ("pings without end", frame(PING, SYN, 0, 7).repeat(20_000)),
        ("answers to no ping", frame(PING, ACK, 0, 7).repeat(1_000)),
        ("a good-bye, and then more", [frame(GO_AWAY, 0, 0, 0), frame(WINDOW, SYN, 1, 0)].concat()),
        ("a good-bye of no kind", frame(GO_AWAY, 0, 0, 99)),
        ("a frame of no kind", frame(9, 0, 1, 0)),
        ("a frame of another version", [vec![7], frame(DATA, SYN, 1, 0)[1..].to_vec()].concat()),
        ("half a frame", frame(DATA, SYN, 1, 10)[..7].to_vec()),
        (
            "ten thousand streams",
            (0..10_000).flat_map(|n| frame(WINDOW, SYN, 2 * n + 1, 0)).collect(),
        ),
        (
            "streams opened and reset",
            (0..10_000)
                .flat_map(|n| {
                    [frame(WINDOW, SYN, 2 * n + 1, 0), frame(WINDOW, RST, 2 * n + 1, 0)].concat()
                })
                .collect(),
        ),
        (
            "nothing but noise",
            (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect(),
        ),
    ]
}

/// The first node hears the second.
async fn hears(first: &mut Node, second: &Node) {
    second.handle.publish_consensus(b"unharmed".to_vec());
    assert_eq!(first.consensus().await.0, b"unharmed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_yamux_frames_end_at_most_their_own_connection() {
    let mut first = node(1, TCP, &[(2, None), (66, None)]).await;
    let mut second = node(2, TCP, &[(1, Some(&first.address))]).await;
    first.connected_to(2).await;
    second.connected_to(1).await;
    for (what, bytes) in hostile_yamux() {
        let address = first.address.clone();
        let attack = async {
            let mut stream = up_to_yamux(66, &address).await;
            // The other side may have had enough before it has all.
            let _ = stream.write_all(&bytes).await;
            let _ = stream.flush().await;
            stream
        };
        let attack = tokio::time::timeout(HANG, attack).await;
        let stream = attack.unwrap_or_else(|_| panic!("{what}: neither taken nor refused"));
        hears(&mut first, &second).await;
        drop(stream);
    }
    assert_eq!(first.handle.counters().bodies_received.load(Relaxed), 0);
}

/// Whether an answer to a ping comes next, or a good-bye.
async fn ping_or_good_bye<S: futures::AsyncRead + Unpin>(stream: &mut S) -> u8 {
    loop {
        let mut head = vec![0; 12];
        stream.read_exact(&mut head).await.unwrap();
        if head[1] == DATA {
            let length = u32::from_be_bytes(head[8..].try_into().unwrap());
            stream.read_exact(&mut vec![0; length as usize]).await.unwrap();
        } else if head[1] == GO_AWAY || head[..4] == frame(PING, ACK, 0, 0)[..4] {
            return head[1];
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_has_so_many_streams_and_no_more() {
    const ALL: u32 = limits::STREAMS_PER_CONNECTION as u32;
    let first = node(1, TCP, &[(66, None)]).await;
    let attack = async {
        let mut stream = up_to_yamux(66, &first.address).await;
        // The node's own take their places as well.
        for (opened, expected) in [(0..ALL / 2, PING), (ALL / 2..ALL + 1, GO_AWAY)] {
            let streams = opened.clone().flat_map(|n| frame(WINDOW, SYN, 2 * n + 1, 0));
            let frames: Vec<u8> = streams.chain(frame(PING, SYN, 0, 7)).collect();
            stream.write_all(&frames).await.unwrap();
            stream.flush().await.unwrap();
            assert_eq!(ping_or_good_bye(&mut stream).await, expected, "{opened:?}");
        }
    };
    tokio::time::timeout(HANG, attack).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_break_off_or_go_wrong_are_dropped() {
    let mut first = node(1, TCP, &[(2, None)]).await;
    let mut second = node(2, TCP, &[(1, Some(&first.address))]).await;
    first.connected_to(2).await;
    second.connected_to(1).await;
    for bytes in [
        b"".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        MULTISTREAM.to_vec(),
        [MULTISTREAM, b"\x07/noise\n"].concat(),
        [MULTISTREAM, b"\x07/noise\n", &[0xff; 4], &[0x41; 70_000]].concat(),
        [MULTISTREAM, b"\x0b/plaintext\n"].concat(),
        [MULTISTREAM, b"\x0d/tls/1.0.0\n"].concat(),
        [MULTISTREAM, &[0xff; 100]].concat(),
        [MULTISTREAM, &b"\x03ls\n".repeat(10_000)].concat(),
        vec![0xff; 200_000],
        vec![0; 200_000],
    ] {
        let stream = connect_from("127.0.0.1", &first.address).await.unwrap();
        let write = tokio::task::spawn_blocking(move || {
            let mut stream = stream.into_std().unwrap();
            stream.set_nonblocking(false).unwrap();
            // The other side may have had enough before it has all.
            let _ = std::io::Write::write_all(&mut stream, &bytes);
            stream
        });
        let _held = tokio::time::timeout(HANG, write).await.unwrap().unwrap();
        hears(&mut first, &second).await;
    }
    assert_eq!(first.handle.counters().connected_peers.load(Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_opens_connections_and_says_nothing_keeps_nobody_out() {
    let mut first = node(1, TCP, &[(2, None)]).await;
    let mut silent = Vec::new();
    // More than may wait in all, were they of different addresses.
    for _ in 0..limits::PENDING_INCOMING + 64 {
        silent.extend(connect_from("127.0.0.2", &first.address).await);
    }
    let mut second = node(2, TCP, &[(1, Some(&first.address))]).await;
    second.connected_to(1).await;
    first.connected_to(2).await;
    hears(&mut first, &second).await;
    // It came in beside them, not when they had been given up: the first of them still wait.
    let waiting = silent[0].try_read(&mut [0; 64]);
    assert_eq!(waiting.map_err(|e| e.kind()), Err(ErrorKind::WouldBlock));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits some ten seconds for the bound of a handshake: make faults"]
async fn many_machines_that_say_nothing_are_let_go_and_a_peer_comes_in() {
    let mut first = node(1, TCP, &[(2, None)]).await;
    let mut silent = Vec::new();
    // Together they take every place of those that have not said who they are.
    let machines = limits::PENDING_INCOMING / limits::PENDING_INCOMING_OF_ONE as u32 + 4;
    for machine in 2..2 + machines {
        for _ in 0..limits::PENDING_INCOMING_OF_ONE {
            let from = format!("127.0.0.{machine}");
            silent.extend(connect_from(&from, &first.address).await);
        }
    }
    assert!(silent.len() > limits::PENDING_INCOMING as usize);
    let mut second = node(2, TCP, &[(1, Some(&first.address))]).await;
    second.connected_to(1).await;
    first.connected_to(2).await;
    hears(&mut first, &second).await;
    assert_eq!(first.handle.counters().connected_peers.load(Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_floods_with_messages_does_not_mute_another() {
    let mut first = node(1, TCP, &[(2, None), (3, None)]).await;
    let mut flooder = node(2, TCP, &[(1, Some(&first.address))]).await;
    let mut quiet = node(3, TCP, &[(1, Some(&first.address))]).await;
    flooder.connected_to(1).await;
    quiet.connected_to(1).await;
    // The first node's engine hears nothing meanwhile. What the quiet one says comes behind more
    // than may wait for it, and before as much again.
    let much = limits::WAITING_CONSENSUS + limits::EVENT_CHANNEL;
    flood(&flooder, &first, 0..much as u64, 0).await;
    quiet.handle.publish_consensus(b"unharmed".to_vec());
    await_received(&first, much as u64 + 1).await;
    flood(&flooder, &first, much as u64..2 * much as u64, 1).await;
    let mut before = 0;
    while first.consensus().await.0 != b"unharmed" {
        before += 1;
    }
    assert!(before < limits::WAITING_CONSENSUS, "{before} of the flooder's came before");
}

/// Has the flooder say these numbers, and waits until the other has them, besides so many messages
/// of others. A few at once, so that the flooder does not drop them itself.
async fn flood(flooder: &Node, to: &Node, numbers: std::ops::Range<u64>, others: u64) {
    for number in numbers.clone() {
        flooder.handle.publish_consensus(number.to_be_bytes().to_vec());
        if number % 100 == 99 || number + 1 == numbers.end {
            await_received(to, number + 1 + others).await;
        }
    }
}

/// Waits until a node's network has received so many messages.
async fn await_received(node: &Node, count: u64) {
    let received = async {
        while node.handle.counters().consensus_received.load(Relaxed) < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(HANG, received).await.expect("the messages arrive");
}
