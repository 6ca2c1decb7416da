//! Looks at the text of a node's address, so that a typing error in a founding document is found
//! before a network is started with it. Only libp2p itself, in the node, gives it a meaning.
//!
//! The forms: `/ip4|ip6|dns|dns4|dns6/HOST/tcp/PORT` and `…/udp/PORT/quic-v1`, each with or
//! without `/p2p/PEER-ID` at the end.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::peer_id::PeerId;

/// Longest address: the longest host name of the DNS, and what stands around it.
const MAX_LEN: usize = 253 + 128;

/// Why a text is not an address of the node with this peer id.
pub(crate) fn check(text: &str, own: Option<&PeerId>) -> Result<(), String> {
    let form = || {
        "an address looks like /ip4/192.0.2.7/tcp/9000 or /dns/node.example/udp/9000/quic-v1"
            .to_owned()
    };
    if text.len() > MAX_LEN {
        return Err(format!("an address has at most {MAX_LEN} characters"));
    }
    let mut parts = text.split('/');
    if parts.next() != Some("") {
        return Err(form());
    }
    let host_ok = match (parts.next(), parts.next()) {
        (Some("ip4"), Some(host)) => host.parse::<Ipv4Addr>().is_ok(),
        (Some("ip6"), Some(host)) => host.parse::<Ipv6Addr>().is_ok(),
        (Some("dns" | "dns4" | "dns6"), Some(host)) => is_host_name(host),
        _ => false,
    };
    let transport_ok = match (parts.next(), parts.next()) {
        (Some("tcp"), Some(port)) => is_port(port),
        (Some("udp"), Some(port)) => is_port(port) && parts.next() == Some("quic-v1"),
        _ => false,
    };
    if !host_ok || !transport_ok {
        return Err(form());
    }
    match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => Ok(()),
        (Some("p2p"), Some(id), None) => match (id.parse::<PeerId>(), own) {
            (Ok(id), Some(own)) if id == *own => Ok(()),
            (Ok(_), Some(_)) => Err("the peer id in the address is another node's".to_owned()),
            (Ok(_), None) => Ok(()),
            (Err(e), _) => Err(e.to_string()),
        },
        _ => Err(form()),
    }
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port != 0 && port.to_string() == text)
}

fn is_host_name(text: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use symbolon_ledger::keys::SecretKey;

    use super::*;

    #[test]
    fn good_addresses_pass_and_others_do_not() {
        let own = PeerId::of(&SecretKey::from_seed(&[1; 32]).public_key());
        let other = PeerId::of(&SecretKey::from_seed(&[2; 32]).public_key());
        let ok = |text: &str| check(text, Some(&own)).is_ok();
        assert!(ok("/ip4/127.0.0.1/tcp/8301"));
        assert!(ok("/ip6/::1/udp/8301/quic-v1"));
        assert!(ok(&format!("/dns/node.beijing.example/tcp/9000/p2p/{own}")));
        for bad in [
            "",
            "/ip4/127.0.0.1",
            "ip4/127.0.0.1/tcp/1",
            "/ip4/300.0.0.1/tcp/1",
            "/ip4/127.0.0.1/tcp/0",
            "/ip4/127.0.0.1/tcp/080",
            "/ip4/127.0.0.1/udp/1",
            "/ip4/127.0.0.1/tcp/1/ws",
            "/dns/-a/tcp/1",
            "/ip4/127.0.0.1/tcp/1/",
            &format!("/ip4/127.0.0.1/tcp/1/p2p/{other}"),
        ] {
            assert!(!ok(bad), "{bad}");
        }
    }
}
