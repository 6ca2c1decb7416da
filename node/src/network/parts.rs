//! Parts of snapshots: who has which, and fetching them from several peers at once.
//!
//! The network knows nothing of what a part is. It asks a peer for few at a time, the least
//! blamed and then the least busy first, and for each part another one when a peer has no answer. Whoever has fetched a part
//! checks it, and names those that it must not come from again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use libp2p::PeerId;
use symbolon_ledger::hash::Digest;
use tracing::debug;

use super::{
    NetworkEvent, PeerIndex,
    limits::{PART_LONGEST, PARTS, PARTS_PER_PEER, SYNC_PAUSE},
    task::{Asked, Task},
    wire::Request,
};

/// A snapshot: its height and the hash of its manifest. Two nodes of one height may cut it into
/// other chunks, if they are of other releases or one of them lies; only those that say the same
/// are asked for the same.
pub(super) type SnapshotName = (u64, Digest);
/// A part, by its snapshot and its number.
pub(super) type PartName = (SnapshotName, u64);

/// A part that somebody waits for.
#[derive(Debug)]
struct Fetch {
    started: Instant,
    /// Those that do not have it, or whose answer is not wanted.
    avoid: BTreeSet<PeerId>,
    asked: Option<PeerId>,
    paused_until: Option<Instant>,
}

/// Who has which snapshots, and what is being fetched.
#[derive(Debug, Default)]
pub(super) struct Parts {
    offers: BTreeMap<PeerId, BTreeSet<SnapshotName>>,
    fetches: BTreeMap<PartName, Fetch>,
}

impl Parts {
    pub(super) fn gone(&mut self, id: &PeerId) {
        self.offers.remove(id);
    }

    fn under_way(&self, id: &PeerId) -> usize {
        self.fetches.values().filter(|fetch| fetch.asked.as_ref() == Some(id)).count()
    }
}

impl Task {
    /// Asks every connected peer which snapshots it has.
    pub(super) fn ask_snapshots(&mut self) {
        let peers = self.peers.connected().map(|(id, _)| id).collect::<Vec<_>>();
        for id in peers {
            self.ask(id, Request::Snapshots, Asked::Snapshots);
        }
    }

    pub(super) fn on_snapshots(&mut self, id: PeerId, offers: Vec<(u64, [u8; 32])>) {
        let Some(peer) = self.peers.get(&id) else { return };
        let from = peer.index;
        let offers: Vec<_> =
            offers.into_iter().map(|(height, hash)| (height, Digest(hash))).collect();
        self.parts.offers.insert(id, offers.iter().copied().collect());
        self.outbox.body(NetworkEvent::Snapshots { from, offers });
    }

    /// Begins to fetch a part. Nobody waits for parts of another snapshot any more: they must not take
    /// the places of this one's.
    pub(super) fn fetch_part(&mut self, name: PartName, avoid: &[PeerIndex]) {
        let now = Instant::now();
        self.parts.fetches.retain(|(snapshot, _), _| *snapshot == name.0);
        if self.parts.fetches.len() >= PARTS {
            self.tell_part(name, None);
            return;
        }
        let avoid = avoid.iter().filter_map(|index| self.peers.id_of(*index)).collect();
        let fetch = Fetch { started: now, avoid, asked: None, paused_until: None };
        self.parts.fetches.insert(name, fetch);
        self.drive_parts(now);
    }

    /// Asks for whatever waits, as far as there are peers with a place for it.
    pub(super) fn drive_parts(&mut self, now: Instant) {
        let waiting: Vec<PartName> = self.parts.fetches.keys().copied().collect();
        for name in waiting {
            self.drive_part(name, now);
        }
    }

    fn drive_part(&mut self, name: PartName, now: Instant) {
        let Some(fetch) = self.parts.fetches.get(&name) else { return };
        if fetch.asked.is_some() || fetch.paused_until.is_some_and(|until| now < until) {
            return;
        }
        let offered = |id: &PeerId| self.parts.offers.get(id).is_some_and(|o| o.contains(&name.0));
        let able =
            self.peers.connected().filter(|(id, _)| offered(id) && !fetch.avoid.contains(id));
        let best =
            able.min_by_key(|(id, peer)| (peer.blames, self.parts.under_way(id), peer.index));
        let best = best.map(|(id, _)| id);
        let late = now.saturating_duration_since(fetch.started) >= PART_LONGEST;
        match best {
            Some(id) if !late => {
                let free = self.parts.under_way(&id) < PARTS_PER_PEER;
                let request = Request::SnapshotPart { height: name.0.0, part: name.1 };
                if free && self.ask(id, request, Asked::Part(name)).is_some() {
                    self.parts.fetches.entry(name).and_modify(|fetch| fetch.asked = Some(id));
                }
            }
            _ => {
                debug!(height = name.0.0, part = name.1, "nobody has a part of a snapshot");
                self.parts.fetches.remove(&name);
                self.tell_part(name, None);
            }
        }
    }

    pub(super) fn on_part(&mut self, id: PeerId, name: PartName, found: Option<Vec<u8>>) {
        let now = Instant::now();
        let Some(bytes) = found else {
            // It said that it has the snapshot; perhaps it has dropped it since.
            if let Some(offer) = self.parts.offers.get_mut(&id) {
                offer.remove(&name.0);
            }
            self.on_part_missed(id, name);
            return;
        };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.exchanged.charge(bytes.len() as u64, now);
        let from = peer.index;
        if self.parts.fetches.get(&name).is_some_and(|fetch| fetch.asked == Some(id)) {
            self.parts.fetches.remove(&name);
            self.tell_part(name, Some((bytes, from)));
        }
        self.drive_parts(now);
    }

    fn tell_part(&mut self, name: PartName, found: Option<(Vec<u8>, PeerIndex)>) {
        let ((_, manifest), part) = name;
        self.outbox.body(NetworkEvent::SnapshotPart { manifest, part, found });
    }

    /// The peer did not answer, or has no such part: it is another one's turn.
    pub(super) fn on_part_missed(&mut self, id: PeerId, name: PartName) {
        if let Some(fetch) = self.parts.fetches.get_mut(&name).filter(|f| f.asked == Some(id)) {
            fetch.asked = None;
            fetch.avoid.insert(id);
        }
        self.drive_parts(Instant::now());
    }

    /// The peer has too much to do: later, or another one.
    pub(super) fn on_part_busy(&mut self, id: PeerId, name: PartName) {
        if let Some(fetch) = self.parts.fetches.get_mut(&name).filter(|f| f.asked == Some(id)) {
            fetch.asked = None;
            fetch.paused_until = Some(Instant::now() + SYNC_PAUSE);
        }
    }
}
