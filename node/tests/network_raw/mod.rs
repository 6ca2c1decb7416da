//! A peer that sends whatever bytes a test likes, on whatever protocol. It speaks libp2p's
//! transport honestly, and nothing above it.

mod drip;
mod line;

use std::{io, time::Duration};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder,
    identity::Keypair,
    noise,
    request_response::{self, Behaviour, Codec, Config, ProtocolSupport},
    swarm::{NetworkBehaviour, SwarmEvent, dial_opts::DialOpts},
    tcp, yamux,
};
use symbolon_ledger::hash::ChainId;

pub(crate) use drip::{Dripped, blocks_answer, drip};
pub(crate) use line::Line;

#[derive(Clone, Copy, Default)]
pub(crate) struct Bytes;

impl Codec for Bytes {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut bytes = Vec::new();
        io.read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut bytes = Vec::new();
        io.read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await
    }
}

#[derive(NetworkBehaviour)]
pub(crate) struct Streams {
    exchange: Behaviour<Bytes>,
    gossip: Behaviour<Bytes>,
}

/// The exchange protocol of a chain.
pub(crate) fn exchange_protocol(chain: ChainId) -> String {
    format!("/symbolon/{chain}/exchange/1")
}

/// The peer.
pub(crate) struct Raw {
    swarm: Swarm<Streams>,
    peer: Option<PeerId>,
}

impl Raw {
    pub(crate) fn new(seed: [u8; 32], chain: ChainId) -> Self {
        let outbound = |protocol: String| {
            let protocol = StreamProtocol::try_from_owned(protocol).unwrap();
            Behaviour::new([(protocol, ProtocolSupport::Outbound)], Config::default())
        };
        let streams = Streams {
            exchange: outbound(exchange_protocol(chain)),
            gossip: outbound("/meshsub/1.1.0".to_owned()),
        };
        let swarm =
            SwarmBuilder::with_existing_identity(Keypair::ed25519_from_bytes(seed).unwrap())
                .with_tokio()
                .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
                .unwrap()
                .with_behaviour(|_| streams)
                .unwrap()
                .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::MAX / 4))
                .build();
        Self { swarm, peer: None }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.peer.is_some_and(|peer| self.swarm.is_connected(&peer))
    }

    /// Connects and expects it to hold.
    pub(crate) async fn connect(&mut self, address: &Multiaddr) {
        self.swarm.dial(DialOpts::from(address.clone())).unwrap();
        loop {
            match self.swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                    self.peer = Some(peer_id);
                    return;
                }
                SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
                _ => {}
            }
        }
    }

    /// Connects and waits for the other side to refuse.
    pub(crate) async fn refused_by(&mut self, address: &Multiaddr) {
        self.swarm.dial(DialOpts::from(address.clone())).unwrap();
        loop {
            match self.swarm.select_next_some().await {
                SwarmEvent::ConnectionClosed { .. }
                | SwarmEvent::OutgoingConnectionError { .. } => return,
                _ => {}
            }
        }
    }

    /// Sends bytes on a new stream and waits until the other side has dealt with it: answered,
    /// closed the stream, or closed the connection.
    pub(crate) async fn send(&mut self, protocol: String, bytes: Vec<u8>) {
        let Some(peer) = self.peer else { panic!("not connected") };
        let streams = self.swarm.behaviour_mut();
        let behaviour =
            if protocol.contains("exchange") { &mut streams.exchange } else { &mut streams.gossip };
        let sent = behaviour.send_request(&peer, bytes);
        loop {
            let event = match self.swarm.select_next_some().await {
                SwarmEvent::Behaviour(StreamsEvent::Exchange(event)) => event,
                SwarmEvent::Behaviour(StreamsEvent::Gossip(event)) => event,
                SwarmEvent::ConnectionClosed { num_established: 0, .. } => return,
                _ => continue,
            };
            use request_response::{Event, Message};
            match event {
                Event::Message { message: Message::Response { request_id, .. }, .. }
                | Event::OutboundFailure { request_id, .. }
                    if request_id == sent =>
                {
                    return;
                }
                _ => {}
            }
        }
    }
}

/// One protobuf field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [vec![number << 3 | 2], varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// One protobuf field with a number.
fn number_field(number: u8, value: u64) -> Vec<u8> {
    [vec![number << 3], varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Gossip frames that have crashed or filled up other implementations, and some that are only
/// wrong. The field numbers are those of the gossipsub specification's `rpc.proto`.
pub(crate) fn hostile_gossip(chain: ChainId) -> Vec<Vec<u8>> {
    let frame = |rpc: Vec<u8>| [varint(rpc.len() as u64), rpc].concat();
    let topic = format!("symbolon/{chain}/consensus");
    let subscribe =
        |topic: &str| field(1, &[number_field(1, 1), field(2, topic.as_bytes())].concat());
    let graft = |topic: &str| field(3, &field(3, &field(1, topic.as_bytes())));
    let prune = |topic: &str, backoff: u64| {
        let prune = [field(1, topic.as_bytes()), number_field(3, backoff)].concat();
        field(3, &field(4, &prune))
    };
    let unsigned = field(2, &[field(2, b"unsigned vote"), field(4, topic.as_bytes())].concat());
    let strange_topics = (0..500).flat_map(|n| subscribe(&format!("other/{n}"))).collect();
    let strange_grafts = (0..500).flat_map(|n| graft(&format!("other/{n}"))).collect();
    let wanted = (0..400).flat_map(|n: u32| field(1, &n.to_be_bytes())).collect::<Vec<_>>();
    vec![
        // Before anything is held against its sender, and once more behind it.
        frame(unsigned.clone()),
        frame(subscribe(&topic)),
        frame(unsigned.clone()),
        frame(prune(&topic, u64::MAX)),
        frame(prune(&topic, u64::MAX / 2)),
        frame(prune("never/joined", 1)),
        frame(graft(&topic)),
        frame(graft(&topic)),
        frame(strange_topics),
        frame(strange_grafts),
        frame(field(3, &field(2, &wanted))),
        frame(field(3, &field(1, &[field(1, topic.as_bytes()), wanted].concat()))),
        frame(unsigned),
        frame((0..100).flat_map(|_| field(2, &[])).collect()),
        vec![0xff; 64],
        [varint(u64::from(u32::MAX)), vec![0; 64]].concat(),
        vec![0x00],
        vec![],
    ]
}
