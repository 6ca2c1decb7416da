//! Block sync: fetching committed blocks, batch by batch, for an engine that is behind.
//!
//! One range at a time. A batch is asked for only when the engine has taken those before it.
//! The network checks counts, sizes and that heights follow one another; certificates and
//! blocks are the engine's to verify, and whoever it blames is not asked again. Who is slow is
//! asked again behind all others.

use std::{collections::BTreeSet, time::Instant};

use libp2p::{PeerId, request_response::OutboundRequestId};
use tracing::debug;

use super::{
    NetworkEvent, PeerIndex,
    limits::{
        FETCH_GRACE, SYNC_BLOCKS, SYNC_BYTES, SYNC_LONGEST, SYNC_PAUSE, SYNC_SLOW, WAITING_SYNC,
    },
    task::{Asked, Task},
    wire::{Request, height_of},
};

/// A range being fetched.
#[derive(Debug)]
pub(super) struct Sync {
    /// The next height that is missing.
    next: u64,
    /// The last height wanted.
    to: u64,
    peer: Option<PeerId>,
    /// Those that had nothing for `next`.
    tried: BTreeSet<PeerId>,
    under_way: Option<(OutboundRequestId, PeerId)>,
    /// When what is under way was asked for.
    asked_at: Instant,
    paused_until: Option<Instant>,
    last_progress: Instant,
}

impl Sync {
    /// Whether `from` is still to come, or follows what is.
    fn covers(&self, from: u64) -> bool {
        (self.next..=self.to.saturating_add(1)).contains(&from)
    }
}

impl Task {
    /// Begins a range, or extends the one that runs.
    pub(super) fn fetch_blocks(&mut self, from: u64, to: u64, peer: Option<PeerIndex>) {
        let now = Instant::now();
        let peer = peer.and_then(|index| self.peers.id_of(index));
        match &mut self.sync {
            Some(sync) if sync.covers(from) && (peer.is_none() || peer == sync.peer) => {
                sync.to = sync.to.max(to);
            }
            _ => {
                self.sync = Some(Sync {
                    next: from,
                    to,
                    peer,
                    tried: BTreeSet::new(),
                    under_way: None,
                    asked_at: now,
                    paused_until: None,
                    last_progress: now,
                });
            }
        }
        self.drive_sync(now);
    }

    /// Asks for the next batch when the time has come.
    pub(super) fn drive_sync(&mut self, now: Instant) {
        let Some(sync) = &mut self.sync else { return };
        if sync.next > sync.to {
            self.sync = None;
            return;
        }
        if sync.under_way.is_some() || self.outbox.blocks_waiting() >= WAITING_SYNC {
            return;
        }
        if sync.paused_until.is_some_and(|until| now < until) {
            return;
        }
        sync.paused_until = None;
        let waited = now.saturating_duration_since(sync.last_progress);
        let next = sync.next;
        // The one that served the last batch in time and in full, then whoever claims to be highest.
        // Of those that were slow, meagre or busy, the one that was so longest ago.
        let candidate = self
            .peers
            .connected()
            .filter(|(id, _)| !sync.tried.contains(id))
            .min_by_key(|(id, peer)| {
                let (lower, slow) = (peer.height < next, peer.slow_at);
                let another = sync.peer != Some(*id) || slow.is_some();
                (another, lower, slow, peer.blames, peer.outstanding, peer.role)
            })
            .map(|(id, _)| id);
        let request = Request::Blocks { from: sync.next, to: sync.to };
        match candidate {
            Some(_) if waited >= SYNC_LONGEST => self.fail_sync(),
            Some(id) => {
                let asked = self.ask(id, request, Asked::Blocks);
                let Some(sync) = &mut self.sync else { return };
                sync.peer = Some(id);
                match asked {
                    Some(request_id) => {
                        (sync.under_way, sync.asked_at) = (Some((request_id, id)), now);
                    }
                    None => sync.paused_until = Some(now + SYNC_PAUSE),
                }
            }
            // Peers may be connecting.
            None if waited < FETCH_GRACE => {}
            None => self.fail_sync(),
        }
    }

    pub(super) fn on_blocks(
        &mut self,
        id: PeerId,
        request_id: OutboundRequestId,
        blocks: Vec<(Vec<u8>, Vec<u8>)>,
    ) {
        let now = Instant::now();
        let bytes = blocks.iter().map(|(block, certificate)| block.len() + certificate.len());
        let bytes = bytes.sum::<usize>() as u64;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.exchanged.charge(bytes, now);
        let from = peer.index;
        let Some(sync) = self.sync.as_mut().filter(|s| s.under_way == Some((request_id, id)))
        else {
            return;
        };
        let left = sync.to.saturating_sub(sync.next).saturating_add(1);
        // A peer that gives a block at a time would hold this node up for as long as it likes.
        // Whoever is honest and has no more loses its turn alone.
        let is_meagre =
            (blocks.len() as u64) < left.min(SYNC_BLOCKS) && bytes < SYNC_BYTES as u64 / 2;
        let slow = is_meagre || now.saturating_duration_since(sync.asked_at) >= SYNC_SLOW;
        peer.slow_at = slow.then_some(now);
        if blocks.is_empty() {
            self.on_sync_missed(request_id);
            return;
        }
        let from_height = sync.next;
        let wanted = (sync.next..=sync.to).map(Some);
        let given = blocks.iter().map(|(block, _)| height_of(block));
        if blocks.len() as u64 > left || !given.eq(wanted.take(blocks.len())) {
            self.blame(id, "blocks of other heights than those asked for");
            self.on_sync_missed(request_id);
            return;
        }
        sync.next = sync.next.saturating_add(blocks.len() as u64);
        sync.under_way = None;
        sync.tried.clear();
        sync.last_progress = now;
        let counter = &self.counters.blocks_received;
        counter.fetch_add(blocks.len() as u64, std::sync::atomic::Ordering::Relaxed);
        self.outbox.body(NetworkEvent::Blocks { from_height, blocks, from });
        self.drive_sync(now);
    }

    /// The peer has nothing for us, or did not answer.
    pub(super) fn on_sync_missed(&mut self, request_id: OutboundRequestId) {
        let Some(sync) = &mut self.sync else { return };
        if let Some((_, id)) = sync.under_way.take_if(|(asked, _)| *asked == request_id) {
            let now = Instant::now();
            sync.tried.insert(id);
            let slow = now.saturating_duration_since(sync.asked_at) >= SYNC_SLOW;
            if let Some(peer) = self.peers.get_mut(&id).filter(|_| slow) {
                peer.slow_at = Some(now);
            }
            self.drive_sync(now);
        }
    }

    /// The peer has too much to do: another one, or the same again in a moment.
    pub(super) fn on_sync_busy(&mut self, request_id: OutboundRequestId) {
        let Some(sync) = &mut self.sync else { return };
        if let Some((_, id)) = sync.under_way.take_if(|(asked, _)| *asked == request_id) {
            let now = Instant::now();
            sync.peer = None;
            sync.paused_until = Some(now + SYNC_PAUSE);
            // One that is always busy is not to be asked before all others each time.
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.slow_at = Some(now);
            }
        }
    }

    /// The engine blames a peer that blocks may have come from.
    pub(super) fn drop_sync_with(&mut self, id: PeerId) {
        if let Some(sync) = &mut self.sync {
            sync.tried.insert(id);
            sync.under_way.take_if(|(_, asked)| *asked == id);
            sync.peer.take_if(|peer| *peer == id);
        }
    }

    fn fail_sync(&mut self) {
        let Some(sync) = self.sync.take() else { return };
        let last = sync.peer.and_then(|id| self.peers.get(&id)).map(|peer| peer.index);
        debug!(height = sync.next, "block sync failed");
        self.outbox.body(NetworkEvent::BlocksFailed { from_height: sync.next, from: last });
    }
}
