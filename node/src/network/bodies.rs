//! Bodies of blocks: telling who has one, sending small ones along, fetching the rest.
//!
//! The first to have a body, the proposer, sends it along to every validator when it is small, once;
//! whoever has it from another, or tells of it again, only announces it. Nobody asks for what is on its way
//! for a while. So each validator gets it once, and one that was away, or whose proposer is slow or gone,
//! fetches it from any peer.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Instant,
};

use libp2p::{PeerId, request_response::OutboundRequestId};
use symbolon_ledger::hash::BlockHash;
use tracing::debug;

use super::{
    NetworkEvent, PeerIndex,
    counters::count,
    limits::{
        FETCH_GRACE, FETCH_HEDGE, FETCH_LONGEST, FETCH_PUSHED, FETCHES, OWN_BODIES, PUSH_BYTES,
        WAITING_BODIES,
    },
    peers::{Peer, Peers, Role},
    task::{Asked, Task},
    wire::{Request, height_of, is_body_of},
};

/// A body that this node announced.
#[derive(Debug)]
struct Own {
    block: BlockHash,
    height: u64,
    bytes: Arc<Vec<u8>>,
}

/// Where a body may come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// Who spoke of it, and is asked first.
    pub spoke: Option<PeerIndex>,
    /// Peer id of its proposer, who may be sending it along.
    pub proposer: Option<Vec<u8>>,
}

/// A body that the engine waits for.
#[derive(Debug)]
struct Fetch {
    height: u64,
    prefer: Option<PeerId>,
    proposer: Option<PeerId>,
    started: Instant,
    last_asked: Instant,
    asked: BTreeSet<PeerId>,
    under_way: BTreeSet<OutboundRequestId>,
}

/// Bodies announced by this node and bodies being fetched.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    own: VecDeque<Own>,
    fetches: BTreeMap<BlockHash, Fetch>,
}

impl Bodies {
    /// A body that this node announced lately.
    pub(super) fn own(&self, block: &BlockHash) -> Option<Arc<Vec<u8>>> {
        self.own.iter().find(|own| own.block == *block).map(|own| own.bytes.clone())
    }

    fn remember(&mut self, own: Own) {
        self.own.retain(|known| known.block != own.block);
        if self.own.len() == OWN_BODIES {
            self.own.pop_front();
        }
        self.own.push_back(own);
    }
}

/// Whom to ask next: the preferred one, then those that announced it, those first that have not
/// sent it already; validators before observers, the less blamed first. A proposer that was waited for
/// in vain comes after them, and whoever has sent it in vain is the last resort.
fn next_to_ask(peers: &Peers, block: &BlockHash, fetch: &Fetch) -> Option<PeerId> {
    peers
        .connected()
        .filter(|(id, _)| !fetch.asked.contains(id))
        .min_by_key(|(id, peer)| {
            (
                peer.delivers_in_vain(block),
                // It was waited for, and its line is full or it does not want to.
                fetch.proposer == Some(*id) && !peer.has_announced(block),
                fetch.prefer != Some(*id),
                !peer.has_announced(block),
                peer.has_delivered(block),
                peer.role,
                peer.blames,
                peer.outstanding,
            )
        })
        .map(|(id, _)| id)
}

/// Whether the proposer may be sending the body along: it is connected and has not said that it has it.
/// What is too large for that it announces without its bytes, and so what another proposed before.
fn is_on_its_way(peers: &Peers, block: &BlockHash, fetch: &Fetch) -> bool {
    let may_send = |peer: &Peer| peer.told && !peer.has_announced(block);
    peers.connected().any(|(id, peer)| fetch.proposer == Some(id) && may_send(peer))
}

impl Task {
    /// Tells every peer; the first time, sends it along to validators when it is small and our own.
    pub(super) fn announce(&mut self, block: BlockHash, height: u64, bytes: &Arc<Vec<u8>>) {
        let from_another = self.peers.iter().any(|(_, peer)| peer.has_delivered(&block));
        let push = bytes.len() <= PUSH_BYTES && !from_another && self.bodies.own(&block).is_none();
        let tell = self
            .peers
            .connected()
            .filter(|(_, peer)| peer.told)
            .map(|(id, peer)| {
                let body = push && peer.role == Role::Validator && !peer.has_announced(&block);
                (id, body)
            })
            .collect::<Vec<_>>();
        self.bodies.remember(Own { block, height, bytes: bytes.clone() });
        for (id, with_body) in tell {
            let body = with_body.then(|| bytes.clone());
            let request = Request::Announce { block: block.0, height, body };
            if self.ask(id, request, Asked::Announce).is_none() {
                debug!(peer = %id, %block, "too many requests under way, not announced");
            } else if with_body {
                count(&self.counters.bodies_pushed);
            }
        }
    }

    /// Tells a peer that has just connected what bodies there are to fetch.
    pub(super) fn tell_bodies(&mut self, id: PeerId) {
        let known = self.bodies.own.iter().map(|own| (own.block, own.height)).collect::<Vec<_>>();
        for (block, height) in known {
            let request = Request::Announce { block: block.0, height, body: None };
            self.ask(id, request, Asked::Announce);
        }
    }

    /// A peer has a body, and perhaps sent it along.
    pub(super) fn on_announced(
        &mut self,
        id: PeerId,
        block: BlockHash,
        height: u64,
        body: Option<Arc<Vec<u8>>>,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let news = !peer.has_announced(&block);
        peer.note_announced(block);
        let Some(bytes) = body else {
            if news && let Some(fetch) = self.bodies.fetches.get_mut(&block) {
                // Asked before it had the body, it said no; it would not say so now.
                fetch.asked.remove(&id);
            }
            self.drive_fetch(block, Instant::now());
            return;
        };
        if !is_body_of(&bytes, &block) || height_of(&bytes) != Some(height) {
            self.blame(id, "a body that is not of the block it was announced as");
            return;
        }
        let wanted = self.bodies.fetches.remove(&block).is_some();
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if !wanted && peer.has_delivered(&block) {
            return;
        }
        if !wanted && self.outbox.bodies_waiting() >= WAITING_BODIES {
            count(&self.counters.bodies_dropped);
            return;
        }
        peer.note_delivered(block);
        let from = peer.index;
        self.deliver(block, height, bytes, from, !wanted);
    }

    fn deliver(
        &mut self,
        block: BlockHash,
        height: u64,
        bytes: Arc<Vec<u8>>,
        from: PeerIndex,
        pushed: bool,
    ) {
        count(&self.counters.bodies_received);
        let bytes = Arc::unwrap_or_clone(bytes);
        self.outbox.body(NetworkEvent::Body { block, height, bytes, from, pushed });
    }

    /// Begins a fetch, or turns one that runs to another preferred peer.
    pub(super) fn fetch(&mut self, block: BlockHash, height: u64, sources: &Sources) {
        let now = Instant::now();
        let prefer = sources.spoke.and_then(|index| self.peers.id_of(index));
        let proposer = sources.proposer.as_deref().and_then(|id| PeerId::from_bytes(id).ok());
        if self.bodies.fetches.len() >= FETCHES && !self.bodies.fetches.contains_key(&block) {
            let oldest = self.bodies.fetches.iter().min_by_key(|(_, fetch)| fetch.started);
            if let Some(oldest) = oldest.map(|(block, _)| *block) {
                self.fail_fetch(oldest);
            }
        }
        let fetch = self.bodies.fetches.entry(block).or_insert_with(|| Fetch {
            height,
            prefer,
            proposer,
            started: now,
            last_asked: now,
            asked: BTreeSet::new(),
            under_way: BTreeSet::new(),
        });
        fetch.prefer = prefer.or(fetch.prefer);
        self.drive_fetch(block, now);
    }

    pub(super) fn drive_fetches(&mut self, now: Instant) {
        let blocks = self.bodies.fetches.keys().copied().collect::<Vec<_>>();
        for block in blocks {
            self.drive_fetch(block, now);
        }
    }

    /// Asks one more peer when nobody is being asked or who is takes long, and when the body is not on
    /// its way unasked; fails when it has lasted too long or there is nobody left.
    fn drive_fetch(&mut self, block: BlockHash, now: Instant) {
        let Some(fetch) = self.bodies.fetches.get(&block) else { return };
        let age = now.saturating_duration_since(fetch.started);
        let silent = now.saturating_duration_since(fetch.last_asked) >= FETCH_HEDGE;
        if age >= FETCH_LONGEST {
            self.fail_fetch(block);
            return;
        }
        let on_its_way = age < FETCH_PUSHED && is_on_its_way(&self.peers, &block, fetch);
        if on_its_way || (!fetch.under_way.is_empty() && !silent) {
            return;
        }
        let (height, idle) = (fetch.height, fetch.under_way.is_empty());
        let Some(id) = next_to_ask(&self.peers, &block, fetch) else {
            if idle && age >= FETCH_GRACE {
                self.fail_fetch(block);
            }
            return;
        };
        let request = Request::Body { block: block.0, height };
        let asked = self.ask(id, request, Asked::Body(block));
        let Some(fetch) = self.bodies.fetches.get_mut(&block) else { return };
        fetch.asked.insert(id);
        fetch.last_asked = now;
        fetch.under_way.extend(asked);
    }

    pub(super) fn on_fetched(
        &mut self,
        id: PeerId,
        request_id: OutboundRequestId,
        block: BlockHash,
        bytes: Arc<Vec<u8>>,
    ) {
        let now = Instant::now();
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.exchanged.charge(bytes.len() as u64, now);
        }
        if !is_body_of(&bytes, &block) {
            self.blame(id, "a body of another block than the one asked for");
            self.on_fetch_missed(request_id, block);
            return;
        }
        // A slower second answer to a fetch that is over is dropped.
        let Some(fetch) = self.bodies.fetches.remove(&block) else { return };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.note_delivered(block);
        let from = peer.index;
        self.deliver(block, fetch.height, bytes, from, false);
    }

    pub(super) fn on_fetch_missed(&mut self, request_id: OutboundRequestId, block: BlockHash) {
        if let Some(fetch) = self.bodies.fetches.get_mut(&block) {
            fetch.under_way.remove(&request_id);
            self.drive_fetch(block, Instant::now());
        }
    }

    fn fail_fetch(&mut self, block: BlockHash) {
        if let Some(fetch) = self.bodies.fetches.remove(&block) {
            count(&self.counters.fetches_failed);
            self.outbox.body(NetworkEvent::BodyFailed { block, height: fetch.height });
        }
    }
}
