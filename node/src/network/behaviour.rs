//! The swarm: transports, the protocols on them, and the gates in front of them.
//!
//! A stranger is refused when the handshake has proved its peer id and before any stream is
//! opened. There is no discovery, no address exchange and no relay: peers come from the chain's
//! validator set and from the operator's own configuration.

use libp2p::{
    PeerId, Swarm, SwarmBuilder, allow_block_list, connection_limits, core::upgrade,
    identity::Keypair, noise, ping, swarm::NetworkBehaviour, tcp, yamux,
};
use symbolon_ledger::hash::ChainId;

use super::{
    NetworkError,
    doorstep::Doorstep,
    exchange::{Exchange, exchange},
    gossip::{Gossip, gossip},
    limits::{
        CONNECTIONS, CONNECTIONS_PER_PEER, IDLE_CONNECTION, MEMORY_SHARE, NEGOTIATING_STREAMS,
        PENDING_INCOMING, PENDING_OUTGOING, PING_INTERVAL, PING_TIMEOUT, QUIC_CONNECTION_WINDOW,
        QUIC_STREAM_WINDOW, STREAMS_PER_CONNECTION,
    },
};

/// Everything that runs on a connection. The gates come first: the first refusal counts.
#[derive(NetworkBehaviour)]
pub(super) struct Protocols {
    pub(super) doorstep: Doorstep,
    pub(super) limits: connection_limits::Behaviour,
    pub(super) memory: libp2p_memory_connection_limits::Behaviour,
    pub(super) admitted: allow_block_list::Behaviour<allow_block_list::AllowedPeers>,
    pub(super) ping: ping::Behaviour,
    pub(super) gossip: Gossip,
    pub(super) exchange: Exchange,
}

/// Builds the swarm; it listens nowhere and dials nobody yet.
pub(super) fn swarm(
    identity: &Keypair,
    chain_id: &ChainId,
    admitted: impl Iterator<Item = PeerId>,
) -> Result<Swarm<Protocols>, NetworkError> {
    let wrong = |error: &dyn std::fmt::Display| NetworkError::Transport(error.to_string());
    let mut protocols = Protocols {
        doorstep: Doorstep::default(),
        limits: connection_limits::Behaviour::new(connection_limits()),
        memory: libp2p_memory_connection_limits::Behaviour::with_max_percentage(MEMORY_SHARE),
        admitted: allow_block_list::Behaviour::default(),
        ping: ping::Behaviour::new(
            ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_TIMEOUT),
        ),
        gossip: gossip(identity, chain_id)?,
        exchange: exchange(chain_id)?,
    };
    for peer in admitted {
        protocols.admitted.allow_peer(peer);
    }
    let swarm = SwarmBuilder::with_existing_identity(identity.clone())
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, || {
            let mut config = yamux::Config::default();
            config.set_max_num_streams(STREAMS_PER_CONNECTION);
            config
        })
        .map_err(|error| wrong(&error))?
        .with_quic_config(|mut config| {
            config.max_concurrent_stream_limit = STREAMS_PER_CONNECTION as u32;
            config.max_stream_data = QUIC_STREAM_WINDOW;
            config.max_connection_data = QUIC_CONNECTION_WINDOW;
            config
        })
        .with_dns()
        .map_err(|error| wrong(&error))?
        .with_behaviour(|_| protocols)
        .map_err(|error| wrong(&error))?
        .with_swarm_config(|config| {
            config
                // An exchange has one protocol, so its request goes out with the name of it and does
                // not wait a round trip for the other side to agree: two delays less for a body.
                .with_substream_upgrade_protocol_override(upgrade::Version::V1Lazy)
                .with_idle_connection_timeout(IDLE_CONNECTION)
                .with_max_negotiating_inbound_streams(NEGOTIATING_STREAMS)
        })
        .build();
    Ok(swarm)
}

fn connection_limits() -> connection_limits::ConnectionLimits {
    connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(PENDING_INCOMING))
        .with_max_pending_outgoing(Some(PENDING_OUTGOING))
        .with_max_established(Some(CONNECTIONS))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER))
}
