//! The doorstep: how many connections of one address may be without a name at once.
//!
//! A stranger is known as one only after the handshake, so without this a single machine that opens
//! connections and says nothing could hold every place of [`PENDING_INCOMING`], and the validators
//! could not come in.
//!
//! [`PENDING_INCOMING`]: super::limits::PENDING_INCOMING

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fmt,
    net::IpAddr,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    multiaddr::Protocol,
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, behaviour::ListenFailure, dummy,
    },
};

use super::limits::PENDING_INCOMING_OF_ONE;

/// Somebody's address, as far as he cannot choose it: an IPv6 network of 64 bits is one customer.
type Origin = IpAddr;

/// Counts who waits to be known.
#[derive(Debug, Default)]
pub(super) struct Doorstep {
    waiting: HashMap<ConnectionId, Origin>,
    counts: BTreeMap<Origin, usize>,
}

/// Too many connections of one address are without a name.
#[derive(Debug)]
struct Crowded;

impl fmt::Display for Crowded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PENDING_INCOMING_OF_ONE} connections of this address wait to be known already")
    }
}

impl std::error::Error for Crowded {}

impl Doorstep {
    fn leave(&mut self, connection: ConnectionId) {
        let Some(origin) = self.waiting.remove(&connection) else { return };
        if let Some(count) = self.counts.get_mut(&origin) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&origin);
            }
        }
    }
}

fn origin_of(address: &Multiaddr) -> Option<Origin> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => {
            let network = u128::from(ip) >> 64 << 64;
            Some(ip.to_ipv4_mapped().map_or_else(|| IpAddr::V6(network.into()), IpAddr::from))
        }
        _ => None,
    })
}

impl NetworkBehaviour for Doorstep {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let Some(origin) = origin_of(remote) else { return Ok(()) };
        let count = self.counts.entry(origin).or_default();
        if *count >= PENDING_INCOMING_OF_ONE {
            return Err(ConnectionDenied::new(Crowded));
        }
        *count += 1;
        self.waiting.insert(connection, origin);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.leave(connection);
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) = event {
            self.leave(connection_id);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_what_its_owner_cannot_choose() {
        let origin = |text: &str| origin_of(&text.parse().unwrap()).map(|ip| ip.to_string());
        assert_eq!(origin("/ip4/192.0.2.1/tcp/1"), origin("/ip4/192.0.2.1/udp/2/quic-v1"));
        assert_ne!(origin("/ip4/192.0.2.1/tcp/1"), origin("/ip4/192.0.2.2/tcp/1"));
        assert_eq!(origin("/ip6/2001:db8::1/tcp/1"), origin("/ip6/2001:db8::ffff:1/tcp/1"));
        assert_ne!(origin("/ip6/2001:db8::1/tcp/1"), origin("/ip6/2001:db8:0:1::1/tcp/1"));
        assert_eq!(origin("/ip6/::ffff:192.0.2.1/tcp/1"), origin("/ip4/192.0.2.1/tcp/1"));
        assert_eq!(origin("/memory/1"), None);
    }
}
