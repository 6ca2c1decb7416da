//! The network between real swarms on loopback: who may connect, what is delivered, what is
//! passed on, and that hostile bytes cost nothing but their sender's connection.
//!
//! Every wait is for an event; the long limit around it only turns a hang into a failure.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod network_doors;
mod network_forwarding;
mod network_raw;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use libp2p::Multiaddr;
use network_raw::{Dripped, Line, Raw, blocks_answer, drip, exchange_protocol};
use symbolon_ledger::{
    block::{Block, HEADER_VERSION, Header, transactions_root},
    hash::{BlockHash, ChainId, Digest},
};
use symbolon_node::network::{
    ChainReader, NetworkConfig, NetworkCounters, NetworkEvent, NetworkHandle, PeerIndex, Receivers,
    Sources, TransactionBatch, limits, peer_id_of_seed, prepare,
};
use tokio::sync::mpsc::Receiver;

/// A hang, not a slow machine.
const HANG: Duration = Duration::from_secs(60);
const CHAIN: ChainId = Digest([0xc4; 32]);
const TCP: &str = "/ip4/127.0.0.1/tcp/0";
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// A block's bytes and its certificate's.
type Committed = (Vec<u8>, Vec<u8>);

/// A chain in memory.
#[derive(Default)]
struct Chain {
    blocks: Mutex<BTreeMap<u64, Committed>>,
    bodies: Mutex<BTreeMap<BlockHash, Vec<u8>>>,
}

impl ChainReader for Chain {
    fn tip(&self) -> (u64, BlockHash) {
        let height = self.blocks.lock().unwrap().keys().last().copied().unwrap_or(0);
        (height, Digest([height as u8; 32]))
    }

    fn block_with_certificate(&self, height: u64) -> Option<Committed> {
        self.blocks.lock().unwrap().get(&height).cloned()
    }

    fn body(&self, block: &BlockHash) -> Option<Vec<u8>> {
        self.bodies.lock().unwrap().get(block).cloned()
    }
}

fn header(height: u64) -> Header {
    Header {
        version: HEADER_VERSION,
        chain_id: CHAIN,
        height,
        time_ms: height,
        parent: Digest([2; 32]),
        history_root: Digest([3; 32]),
        transactions_root: transactions_root(&[]),
        state_root: Digest([4; 32]),
        validators_hash: Digest([5; 32]),
        next_validators_hash: Digest([6; 32]),
        proposer: None,
    }
}

/// A block's name and bytes.
fn block(height: u64) -> (BlockHash, Vec<u8>) {
    let block = Block { header: header(height), transactions: Vec::new() };
    (block.hash(), block.encode())
}

/// One with so many bytes behind its header: the network does not look at them.
fn padded_block(height: u64, bytes: usize) -> (BlockHash, Vec<u8>) {
    let (hash, mut body) = block(height);
    body.resize(bytes, 0x77);
    (hash, body)
}

struct Node {
    seed: u8,
    handle: NetworkHandle,
    events: Receiver<NetworkEvent>,
    transactions: Receiver<TransactionBatch>,
    address: Multiaddr,
}

fn peer(seed: u8) -> Vec<u8> {
    peer_id_of_seed([seed; 32])
}

/// Starts a node that admits `peers`, some of them with an address.
async fn node(seed: u8, listen: &str, peers: &[(u8, Option<&Multiaddr>)]) -> Node {
    node_with(seed, listen, peers, Arc::new(Chain::default())).await
}

async fn node_with(
    seed: u8,
    listen: &str,
    peers: &[(u8, Option<&Multiaddr>)],
    chain: Arc<Chain>,
) -> Node {
    run(seed, config(seed, listen, peers), chain).await
}

fn config(seed: u8, listen: &str, peers: &[(u8, Option<&Multiaddr>)]) -> NetworkConfig {
    NetworkConfig {
        chain_id: CHAIN,
        keypair_seed: [seed; 32],
        listen: vec![listen.parse().unwrap()],
        peers: peers
            .iter()
            .map(|(seed, address)| (peer(*seed), address.iter().map(|a| (*a).clone()).collect()))
            .collect(),
        observers: Vec::new(),
    }
}

async fn run(seed: u8, config: NetworkConfig, chain: Arc<Chain>) -> Node {
    let network = prepare(config, Arc::new(NetworkCounters::default())).unwrap();
    let handle = network.handle();
    let Receivers { events, transactions } = network.open(chain).unwrap();
    let mut listening = handle.listening();
    let addresses = listening.wait_for(|addresses| !addresses.is_empty()).await.unwrap();
    let address = addresses[0].clone();
    drop(addresses);
    Node { seed, handle, events, transactions, address }
}

impl Node {
    async fn next(&mut self) -> NetworkEvent {
        let event = tokio::time::timeout(HANG, self.events.recv()).await;
        event.unwrap_or_else(|_| panic!("node {} hears nothing", self.seed)).unwrap()
    }

    /// Waits for the first event that `wanted` takes.
    async fn until<T>(&mut self, mut wanted: impl FnMut(NetworkEvent) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.next().await) {
                return found;
            }
        }
    }

    async fn connected_to(&mut self, seed: u8) -> PeerIndex {
        self.until(|event| match event {
            NetworkEvent::Connected { peer: index, peer_id } if peer_id == peer(seed) => {
                Some(index)
            }
            _ => None,
        })
        .await
    }

    async fn disconnected(&mut self) -> PeerIndex {
        self.until(|event| match event {
            NetworkEvent::Disconnected { peer } => Some(peer),
            _ => None,
        })
        .await
    }

    /// The next consensus message, and what is needed to judge it.
    async fn consensus(&mut self) -> (Vec<u8>, symbolon_node::network::GossipId) {
        self.until(|event| match event {
            NetworkEvent::Consensus { bytes, id, .. } => Some((bytes, id)),
            _ => None,
        })
        .await
    }

    async fn batch(&mut self) -> TransactionBatch {
        let batch = tokio::time::timeout(HANG, self.transactions.recv()).await;
        batch.unwrap_or_else(|_| panic!("node {} hears of no transactions", self.seed)).unwrap()
    }

    async fn transactions(&mut self) -> Vec<Vec<u8>> {
        self.batch().await.txs
    }

    /// Fetches a body as the engine does: again when the time of a fetch ran out before anybody
    /// had announced the body.
    async fn fetched(&mut self, hash: BlockHash, height: u64) -> Vec<u8> {
        self.handle.fetch_body(hash, height, Sources::default());
        loop {
            match self.next().await {
                NetworkEvent::Body { block, bytes, .. } if block == hash => return bytes,
                NetworkEvent::BodyFailed { .. } => {
                    self.handle.fetch_body(hash, height, Sources::default())
                }
                _ => {}
            }
        }
    }

    async fn body(&mut self) -> (BlockHash, u64, Vec<u8>, PeerIndex) {
        self.until(|event| match event {
            NetworkEvent::Body { block, height, bytes, from, .. } => {
                Some((block, height, bytes, from))
            }
            NetworkEvent::BodyFailed { .. } => panic!("the fetch failed"),
            _ => None,
        })
        .await
    }

    /// Stops it, and waits until its ports are free.
    async fn stop(self) {
        let mut listening = self.handle.listening();
        drop(self.events);
        while listening.changed().await.is_ok() {}
    }
}

async fn pair(listen: &str) -> (Node, Node) {
    let mut first = node(1, listen, &[(2, None)]).await;
    let mut second = node(2, listen, &[(1, Some(&first.address))]).await;
    first.connected_to(2).await;
    second.connected_to(1).await;
    (first, second)
}

/// Three nodes of which the first and the last know only the middle one.
async fn line() -> (Node, Node, Node) {
    line_over(config(2, TCP, &[(1, None), (3, None)])).await
}

/// The same, with this one in the middle.
async fn line_over(middle: NetworkConfig) -> (Node, Node, Node) {
    let mut middle = run(2, middle, Arc::new(Chain::default())).await;
    let mut first = node(1, TCP, &[(2, Some(&middle.address))]).await;
    let mut last = node(3, TCP, &[(2, Some(&middle.address))]).await;
    first.connected_to(2).await;
    last.connected_to(2).await;
    let mut seen = BTreeSet::new();
    while seen.len() < 2 {
        seen.insert(
            middle
                .until(|event| match event {
                    NetworkEvent::Connected { peer_id, .. } => Some(peer_id),
                    _ => None,
                })
                .await,
        );
    }
    (first, middle, last)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gossip_is_delivered_over_tcp_and_quic() {
    for listen in [TCP, QUIC] {
        let (first, mut second) = pair(listen).await;
        first.handle.publish_consensus(b"vote".to_vec());
        assert_eq!(second.consensus().await.0, b"vote");
        second.handle.publish_transactions(vec![vec![1], vec![2; limits::BATCH_BYTES / 4]]);
        let mut first = first;
        assert_eq!(first.transactions().await, vec![vec![1], vec![2; limits::BATCH_BYTES / 4]]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_that_is_repeated_arrives_again() {
    let (first, mut second) = pair(TCP).await;
    for _ in 0..3 {
        first.handle.publish_consensus(b"the same vote".to_vec());
        assert_eq!(second.consensus().await.0, b"the same vote");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_wait_for_the_first_peer() {
    let first = node(1, TCP, &[(2, None)]).await;
    first.handle.publish_transactions(vec![b"early".to_vec()]);
    let mut second = node(2, TCP, &[(1, Some(&first.address))]).await;
    assert_eq!(second.transactions().await, [b"early".to_vec()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_refused_and_the_others_are_not_disturbed() {
    let (first, mut second) = pair(TCP).await;
    let mut stranger = Raw::new([77; 32], CHAIN);
    stranger.refused_by(&first.address).await;
    assert!(first.handle.counters().connections_refused.load(Relaxed) >= 1);
    assert_eq!(first.handle.counters().connected_peers.load(Relaxed), 1);
    first.handle.publish_consensus(b"still here".to_vec());
    assert_eq!(second.consensus().await.0, b"still here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_body_is_sent_along_with_its_announcement() {
    let (first, mut second) = pair(TCP).await;
    let (hash, bytes) = padded_block(7, limits::PUSH_BYTES);
    first.handle.announce_body(hash, 7, Arc::new(bytes.clone()));
    let (block, height, body, from) = second.body().await;
    assert_eq!((block, height, &body), (hash, 7, &bytes));
    // Told again, as a round that lasts does, or by one that did not make it: no second copy.
    first.handle.announce_body(hash, 7, Arc::new(bytes));
    second.handle.announce_body(hash, 7, Arc::new(vec![1]));
    let mut first = first;
    first.handle.fetch_body(hash, 7, Sources::default());
    let failed = first.until(|event| match event {
        NetworkEvent::BodyFailed { block, .. } => Some(block),
        NetworkEvent::Body { .. } => panic!("these bytes are no body of this block"),
        _ => None,
    });
    assert_eq!(failed.await, hash);
    assert_eq!(first.handle.counters().bodies_pushed.load(Relaxed), 1);
    second.handle.blame(from);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_does_not_wait_until_the_other_side_has_agreed_to_its_stream() {
    let mut second = node(2, TCP, &[(1, None)]).await;
    let line = Line::to(&second.address).await;
    let mut first = node(1, TCP, &[(2, Some(&line.address))]).await;
    first.connected_to(2).await;
    second.connected_to(1).await;
    line.hold_answers();
    let (hash, bytes) = block(7);
    first.handle.announce_body(hash, 7, Arc::new(bytes.clone()));
    assert_eq!(second.body().await.2, bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_is_fetched_from_one_that_is_not_its_proposer() {
    let (proposer, mut middle, mut last) = line().await;
    let (hash, bytes) = padded_block(9, 3 * limits::PUSH_BYTES);
    // The last node asks before anybody has it; the announcement answers.
    last.handle.fetch_body(hash, 9, Sources::default());
    proposer.handle.announce_body(hash, 9, Arc::new(bytes.clone()));
    let fetched = middle.fetched(hash, 9).await;
    assert_eq!(fetched, bytes);
    middle.handle.announce_body(hash, 9, Arc::new(fetched));
    assert_eq!(last.fetched(hash, 9).await, bytes);
    assert_eq!(proposer.handle.counters().bodies_pushed.load(Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_body_is_served_and_an_unknown_one_fails() {
    let chain = Arc::new(Chain::default());
    let (hash, bytes) = block(3);
    chain.bodies.lock().unwrap().insert(hash, bytes.clone());
    let mut first = node_with(1, TCP, &[(2, None)], chain).await;
    let mut second = node(2, TCP, &[(1, Some(&first.address))]).await;
    let index = second.connected_to(1).await;
    first.connected_to(2).await;
    let begun = Instant::now();
    let proposer = Some(peer_id_of_seed([1; 32]));
    second.handle.fetch_body(hash, 3, Sources { spoke: None, proposer });
    assert_eq!(second.body().await, (hash, 3, bytes, index));
    assert!(begun.elapsed() >= limits::FETCH_PUSHED, "it might have been on its way");
    let spoke = Sources { spoke: Some(index), proposer: None };
    second.handle.fetch_body(Digest([9; 32]), 4, spoke);
    let failure = NetworkEvent::BodyFailed { block: Digest([9; 32]), height: 4 };
    second.until(|event| (event == failure).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_come_in_order_and_in_batches() {
    const TIP: u64 = 150;
    let chain = Arc::new(Chain::default());
    for height in 1..=TIP {
        let certificate = height.to_be_bytes().to_vec();
        chain.blocks.lock().unwrap().insert(height, (block(height).1, certificate));
    }
    // One so large that it fills an answer alone.
    let largest = padded_block(70, symbolon_ledger::block::MAX_BLOCK_BYTES).1;
    chain.blocks.lock().unwrap().insert(70, (largest, vec![0; 4_000]));
    let mut first = node_with(1, TCP, &[(2, None)], chain.clone()).await;
    let mut second = node(2, TCP, &[(1, Some(&first.address))]).await;
    let index = second.connected_to(1).await;
    first.connected_to(2).await;
    let tip = second.until(|event| match event {
        NetworkEvent::PeerTip { peer, height } => Some((peer, height)),
        _ => None,
    });
    assert_eq!(tip.await, (index, TIP));

    second.handle.fetch_blocks(1, TIP + 10, None);
    let (mut next, mut batches) = (1, 0);
    let failed = loop {
        match second.next().await {
            NetworkEvent::Blocks { from_height, blocks, from } => {
                assert_eq!((from_height, from), (next, index));
                for pair in &blocks {
                    assert_eq!(Some(pair), chain.blocks.lock().unwrap().get(&next));
                    next += 1;
                }
                batches += 1;
            }
            NetworkEvent::BlocksFailed { from_height, .. } => break from_height,
            _ => {}
        }
    };
    assert_eq!((next, failed), (TIP + 1, TIP + 1));
    assert!(batches >= 4, "{batches} batches");
}

/// Has a node fetch three blocks from two peers: it asks one first that gives the first block
/// alone, a byte each `pause`, and the other has all and is honest. From whom each block came, the
/// honest one or not.
async fn beside_one_that_drips(pause: Duration) -> Vec<(u64, bool)> {
    const TIP: u64 = 3;
    let chain = Arc::new(Chain::default());
    for height in 1..=TIP {
        chain.blocks.lock().unwrap().insert(height, (block(height).1, vec![0; 64]));
    }
    // A validator is asked before an observer, where all else is alike.
    let mut admits = config(1, TCP, &[(66, None)]);
    admits.observers = vec![peer(2)];
    let mut first = run(1, admits, Arc::new(Chain::default())).await;
    let _honest = node_with(2, TCP, &[(1, Some(&first.address))], chain.clone()).await;
    let honest = first.connected_to(2).await;
    let answer = blocks_answer(&[chain.block_with_certificate(1).unwrap()]);
    let (happened, mut happens) = tokio::sync::mpsc::unbounded_channel();
    let to = first.address.clone();
    let dripper = tokio::spawn(drip((66, CHAIN), to, (TIP, answer, pause), happened));
    assert_eq!(happens.recv().await, Some(Dripped::Known));
    first.handle.fetch_blocks(1, TIP, None);
    assert_eq!(happens.recv().await, Some(Dripped::Asked), "it is not asked first");
    let mut came = Vec::new();
    while came.len() < TIP as usize {
        match first.next().await {
            NetworkEvent::Blocks { from_height, blocks, from } => {
                came.extend(
                    (from_height..).zip(blocks).map(|(height, _)| (height, from == honest)),
                );
            }
            NetworkEvent::BlocksFailed { from_height, .. } => panic!("nobody gave {from_height}"),
            _ => {}
        }
    }
    assert_eq!(happens.try_recv().ok(), None, "it is asked again");
    dripper.abort();
    came
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits ten seconds for the bound of an exchange: make faults"]
async fn a_peer_that_drips_blocks_without_end_is_left_for_another() {
    // A byte each second: the answer would take minutes.
    let came = beside_one_that_drips(Duration::from_secs(1)).await;
    assert_eq!(came, [(1, true), (2, true), (3, true)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_drips_just_fast_enough_is_not_asked_again() {
    let bytes = blocks_answer(&[(block(1).1, vec![0; 64])]).len() as u32;
    let came = beside_one_that_drips(limits::SYNC_SLOW / bytes).await;
    assert_eq!(came, [(1, false), (2, true), (3, true)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_gives_a_block_at_a_time_loses_its_turn() {
    let came = beside_one_that_drips(Duration::ZERO).await;
    assert_eq!(came, [(1, false), (2, true), (3, true)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_restarts_is_found_again() {
    let (first, mut second) = pair(TCP).await;
    let address = first.address.to_string();
    first.stop().await;
    let index = second.disconnected().await;
    let mut first = node(1, &address, &[(2, None)]).await;
    assert_eq!(second.connected_to(1).await, index, "a peer keeps its number");
    first.connected_to(2).await;
    second.handle.publish_consensus(b"welcome back".to_vec());
    assert_eq!(first.consensus().await.0, b"welcome back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_set_lets_in_and_shuts_out() {
    let (mut first, mut second) = pair(TCP).await;
    let mut third = node(3, TCP, &[(1, Some(&first.address))]).await;
    first.handle.set_admitted(vec![(peer(1), vec![]), (peer(3), vec![])]);
    first.disconnected().await;
    second.disconnected().await;
    first.connected_to(3).await;
    third.connected_to(1).await;
    first.handle.publish_consensus(b"to the new set".to_vec());
    assert_eq!(third.consensus().await.0, b"to the new set");
    assert_eq!(first.handle.counters().connected_peers.load(Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_hears_the_votes_and_fetches_its_bodies() {
    let mut admits = config(1, TCP, &[]);
    admits.observers = vec![peer(8)];
    let mut first = run(1, admits, Arc::new(Chain::default())).await;
    let mut observer = node(8, TCP, &[(1, Some(&first.address))]).await;
    first.connected_to(8).await;
    let index = observer.connected_to(1).await;
    first.handle.publish_consensus(b"vote".to_vec());
    assert_eq!(observer.consensus().await.0, b"vote");
    let (hash, bytes) = block(4);
    first.handle.announce_body(hash, 4, Arc::new(bytes.clone()));
    observer.handle.fetch_body(hash, 4, Sources::default());
    assert_eq!(observer.body().await, (hash, 4, bytes, index));
    assert_eq!(first.handle.counters().bodies_pushed.load(Relaxed), 0);
    // It stays when the validators change.
    first.handle.set_admitted(vec![(peer(5), vec![])]);
    first.handle.publish_consensus(b"after the change".to_vec());
    assert_eq!(observer.consensus().await.0, b"after the change");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consensus_is_heard_while_transactions_pile_up() {
    const BATCHES: u8 = 40;
    let (mut first, mut second) = pair(TCP).await;
    for n in 0..BATCHES {
        first.handle.publish_transactions(vec![vec![n; limits::BATCH_BYTES / 4]; 4]);
    }
    first.handle.publish_consensus(b"vote".to_vec());
    // Nobody takes the second node's transactions until its network has taken most of it in: it
    // answers a fetch only after that, on the same connection, from the same task.
    let counters = second.handle.counters().clone();
    while counters.batches_received.load(Relaxed) < u64::from(BATCHES / 2)
        || counters.consensus_received.load(Relaxed) == 0
    {
        first.handle.fetch_body(Digest([7; 32]), 1, Sources::default());
        first.until(|event| matches!(event, NetworkEvent::BodyFailed { .. }).then_some(())).await;
    }
    assert_eq!(second.consensus().await.0, b"vote");
    // They have waited, and none is lost.
    for n in 0..BATCHES {
        assert_eq!(second.transactions().await[0][0], n);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_and_oversize_requests_cost_their_sender_the_connection() {
    let mut first = node(1, TCP, &[(2, None), (66, None)]).await;
    let mut second = node(2, TCP, &[(1, Some(&first.address))]).await;
    first.connected_to(2).await;
    second.connected_to(1).await;

    let mut raw = Raw::new([66; 32], CHAIN);
    raw.connect(&first.address).await;
    let kind = |kind: u32, rest: usize| [kind.to_be_bytes().to_vec(), vec![0xff; rest]].concat();
    let mut frames = vec![
        kind(0, limits::SMALL_FRAME_BYTES),    // oversize status
        kind(1, limits::ANNOUNCE_FRAME_BYTES), // oversize announcement
        kind(2, 3),                            // torn
        kind(3, 100_000),                      // oversize request for blocks
        kind(4_000_000_000, 8),                // unknown kind
    ];
    // An announcement whose body is of another block.
    let (hash, _) = block(5);
    let (_, other) = block(6);
    let mut lie = [1u32.to_be_bytes().as_slice(), hash.as_bytes(), &5u64.to_be_bytes()].concat();
    lie.push(1);
    lie.extend((other.len() as u64).to_be_bytes());
    lie.extend(&other);
    frames.push(lie);
    let mut sent = 0;
    while raw.is_connected() {
        raw.send(exchange_protocol(CHAIN), frames[sent % frames.len()].clone()).await;
        sent += 1;
    }
    assert!(sent >= limits::BLAME_LIMIT as usize, "closed after {sent} frames");
    assert_eq!(first.handle.counters().bans.load(Relaxed), 1);
    raw.refused_by(&first.address).await;

    first.handle.publish_consensus(b"unharmed".to_vec());
    assert_eq!(second.consensus().await.0, b"unharmed");
    assert_eq!(first.handle.counters().bodies_received.load(Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_gossip_frames_crash_nothing_and_deliver_nothing() {
    let mut first = node(1, TCP, &[(2, None), (66, None)]).await;
    let mut second = node(2, TCP, &[(1, Some(&first.address))]).await;
    first.connected_to(2).await;
    second.connected_to(1).await;
    let mut raw = Raw::new([66; 32], CHAIN);
    raw.connect(&first.address).await;
    for frame in network_raw::hostile_gossip(CHAIN) {
        raw.send("/meshsub/1.1.0".to_owned(), frame).await;
        if !raw.is_connected() {
            raw.connect(&first.address).await;
        }
    }
    second.handle.publish_consensus(b"unharmed".to_vec());
    // Nothing of the hostile peer's was delivered before it.
    assert_eq!(first.consensus().await.0, b"unharmed");
    first.handle.publish_consensus(b"both ways".to_vec());
    assert_eq!(second.consensus().await.0, b"both ways");
}
