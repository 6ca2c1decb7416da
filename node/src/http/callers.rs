//! One caller's share: how many places of a kind (connections, requests, streams) or how many bytes
//! of this node's memory one address may hold, so that one of them cannot take what is for all.
//!
//! An address is an IPv4 address or the first 64 bits of an IPv6 one, which is what one customer
//! of a network is given. How many places there are in all, [`super::limits`] says.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::request::Parts,
};

/// Bits of an IPv6 address that tell callers apart.
const IPV6_PREFIX: u32 = 64;

/// How many places, or bytes, one address may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// An address of another machine.
    pub other_machine: usize,
    /// This machine: the operator, a proxy beside the node, the demonstration network.
    pub this_machine: usize,
}

/// Who holds how many places, or bytes, of one kind.
#[derive(Debug, Clone)]
pub(super) struct Holders<K: Copy + Ord>(Arc<Mutex<BTreeMap<K, usize>>>);

/// The same of those who call, by their addresses.
#[derive(Debug, Clone)]
pub(super) struct Callers {
    share: Share,
    held: Holders<IpAddr>,
}

/// What one of them holds, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Held<K: Copy + Ord = IpAddr> {
    holder: K,
    amount: usize,
    held: Holders<K>,
}

impl<K: Copy + Ord> Holders<K> {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// So many places, or bytes, for `holder`; none when it would then hold more than `share`.
    pub(super) fn take(&self, holder: K, amount: usize, share: usize) -> Option<Held<K>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.get(&holder).copied().unwrap_or(0).saturating_add(amount);
        if count > share {
            return None;
        }
        held.insert(holder, count);
        Some(Held { holder, amount, held: self.clone() })
    }
}

impl Callers {
    pub(super) fn new(share: Share) -> Self {
        Self { share, held: Holders::new() }
    }

    /// A place for `address`; none when it has its share.
    pub(super) fn take(&self, address: IpAddr) -> Option<Held> {
        self.take_many(address, 1)
    }

    /// So many places, or bytes; none when that is more than is left of its share.
    pub(super) fn take_many(&self, address: IpAddr, amount: usize) -> Option<Held> {
        let address = caller(address);
        let Share { other_machine, this_machine } = self.share;
        let share = if address.is_loopback() { this_machine } else { other_machine };
        self.held.take(address, amount, share)
    }

    /// As [`Self::take_many`], for a caller whose address may not be known, which then has no
    /// share.
    pub(super) fn take_for(
        &self,
        Caller(address): Caller,
        amount: usize,
    ) -> Result<Option<Held>, Spent> {
        address.map(|address| self.take_many(address, amount).ok_or(Spent)).transpose()
    }
}

/// A caller holds its share already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spent;

impl<K: Copy + Ord> Drop for Held<K> {
    fn drop(&mut self) {
        let mut held = self.held.0.lock().unwrap_or_else(PoisonError::into_inner);
        match held.get_mut(&self.holder) {
            Some(count) if *count > self.amount => *count -= self.amount,
            _ => drop(held.remove(&self.holder)),
        }
    }
}

/// What one caller is known by.
fn caller(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let mask = u128::MAX << (u128::BITS - IPV6_PREFIX);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
        address => address,
    }
}

/// The address from which a request came, where it is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller(pub(super) Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(address.map(|ConnectInfo(address)| address.ip())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_its_share_and_no_more_and_gives_it_back() {
        let callers = Callers::new(Share { other_machine: 2, this_machine: 3 });
        let take = |address: &str| callers.take(address.parse().unwrap());
        let held: Vec<_> = (0..2).map(|_| take("192.0.2.1")).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(take("192.0.2.1").is_none());
        assert!(take("::ffff:192.0.2.1").is_none(), "the same address in another spelling");
        assert!(take("192.0.2.2").is_some());
        drop(held);
        assert!(take("192.0.2.1").is_some());
        assert!(callers.held.0.lock().unwrap().is_empty(), "an address is kept that holds nothing");
    }

    #[test]
    fn bytes_are_counted_as_places_are() {
        let callers = Callers::new(Share { other_machine: 10, this_machine: 20 });
        let take = |amount| callers.take_many("192.0.2.1".parse().unwrap(), amount);
        let (six, four) = (take(6).unwrap(), take(4).unwrap());
        assert!(take(1).is_none());
        drop(six);
        assert!(take(7).is_none());
        let _again = (take(5).unwrap(), take(1).unwrap());
        drop(four);
        assert!(take(5).is_none() && take(4).is_some());
        let unknown = callers.take_for(Caller(None), usize::MAX);
        assert!(unknown.is_ok_and(|held| held.is_none()), "who has no address has no share");
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_caller() {
        let callers = Callers::new(Share { other_machine: 1, this_machine: 2 });
        let take = |address: &str| callers.take(address.parse().unwrap());
        let _held = take("2001:db8:0:1::1").unwrap();
        assert!(take("2001:db8:0:1:ffff::2").is_none());
        assert!(take("2001:db8:0:2::1").is_some());
        let _ours = (take("::1").unwrap(), take("::1").unwrap());
        assert!(take("::1").is_none());
    }
}
