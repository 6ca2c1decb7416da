//! A peer that has the blocks and gives them a byte at a time. All else it says at once.

use std::{io, time::Duration};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, StreamProtocol, SwarmBuilder,
    identity::Keypair,
    noise,
    request_response::{self, Behaviour, Codec, Config, ProtocolSupport},
    swarm::{SwarmEvent, dial_opts::DialOpts},
    tcp, yamux,
};
use symbolon_ledger::hash::ChainId;
use tokio::sync::mpsc::UnboundedSender;

use super::exchange_protocol;

/// Its own bound of one answer: it never gives up first.
const ITS_PATIENCE: Duration = Duration::from_secs(3_600);
/// The first byte that tells a request for blocks, and an answer to one, from the others
/// (`docs/spec/network.md`): the last of the kind's four.
const BLOCKS: u8 = 3;

/// What it is asked and what has become of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Dripped {
    /// The other side knows its tip.
    Known,
    /// It was asked for blocks.
    Asked,
}

/// Time between two bytes of an answer with blocks. It is the fault itself: no condition is
/// waited for.
#[derive(Clone, Copy)]
struct Drops(Duration);

impl Codec for Drops {
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

    async fn read_response<T>(&mut self, p: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        self.read_request(p, io).await
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
        if bytes.get(3) != Some(&BLOCKS) {
            return io.write_all(&bytes).await;
        }
        for byte in bytes {
            io.write_all(&[byte]).await?;
            io.flush().await?;
            tokio::time::sleep(self.0).await;
        }
        Ok(())
    }
}

/// An answer with these blocks, each with its certificate.
pub(crate) fn blocks_answer(blocks: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let counted = |bytes: &Vec<u8>| [&(bytes.len() as u64).to_be_bytes()[..], bytes].concat();
    let mut answer = vec![0, 0, 0, BLOCKS];
    answer.extend((blocks.len() as u64).to_be_bytes());
    for (block, certificate) in blocks {
        answer.extend([counted(block), counted(certificate)].concat());
    }
    answer
}

/// Connects to a node that admits `seed`, claims `tip`, and answers every request for blocks with
/// `answer`, a byte each `pause`, until it is aborted.
pub(crate) async fn drip(
    (seed, chain): (u8, ChainId),
    to: Multiaddr,
    (tip, answer, pause): (u64, Vec<u8>, Duration),
    happened: UnboundedSender<Dripped>,
) {
    let protocol = StreamProtocol::try_from_owned(exchange_protocol(chain)).unwrap();
    let config = Config::default().with_request_timeout(ITS_PATIENCE);
    let exchange = Behaviour::with_codec(Drops(pause), [(protocol, ProtocolSupport::Full)], config);
    let key = Keypair::ed25519_from_bytes([seed; 32]).unwrap();
    let mut swarm = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| exchange)
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(ITS_PATIENCE))
        .build();
    let status = [&[0; 4][..], &tip.to_be_bytes(), &[0; 32]].concat();
    swarm.dial(DialOpts::from(to)).unwrap();
    loop {
        use request_response::{Event, Message};
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                swarm.behaviour_mut().send_request(&peer_id, status.clone());
            }
            SwarmEvent::Behaviour(Event::Message { message, .. }) => match message {
                Message::Response { .. } => happened.send(Dripped::Known).unwrap(),
                Message::Request { request, channel, .. } => {
                    let blocks = request.get(3) == Some(&BLOCKS);
                    let answer = if blocks { answer.clone() } else { status.clone() };
                    let _ = swarm.behaviour_mut().send_response(channel, answer);
                    if blocks {
                        happened.send(Dripped::Asked).unwrap();
                    }
                }
            },
            _ => {}
        }
    }
}
