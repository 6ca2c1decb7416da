//! Answers to other nodes, and what this node tells them of itself.
//!
//! Every request costs its peer an allowance; the database is read on blocking threads, a few at
//! a time. Who asks for too much hears "busy" and may ask another.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use libp2p::{PeerId, request_response::ResponseChannel};
use tokio::task::JoinError;
use tracing::{debug, error};

use super::{
    ChainReader,
    counters::count,
    exchange::Frame,
    limits::{
        SERVING, STATUS_INTERVAL, STATUS_WHEN_MOVED, SYNC_BLOCK_OVERHEAD, SYNC_BLOCKS, SYNC_BYTES,
    },
    task::{Asked, Task},
    wire::{Request, Response, Tip, hash_of},
};
use crate::snapshot::SNAPSHOTS_KEPT;

/// A job that has read the database.
pub(super) enum Done {
    /// An answer for a peer.
    Answer { peer: PeerId, channel: ResponseChannel<Frame<Response>>, response: Response },
    /// Our own tip.
    Tip(Tip),
}

/// What this node tells of its tip.
#[derive(Debug)]
pub(super) struct Telling {
    tip: Tip,
    told: Tip,
    told_at: Instant,
    read_at: Instant,
    reading: bool,
}

impl Telling {
    pub(super) fn new(tip: Tip, now: Instant) -> Self {
        Self { tip, told: tip, told_at: now, read_at: now, reading: false }
    }
}

impl Task {
    /// Answers a request, or has it answered.
    pub(super) fn serve(
        &mut self,
        id: PeerId,
        request: Request,
        channel: ResponseChannel<Frame<Response>>,
    ) {
        let now = Instant::now();
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let body = match &request {
            Request::Announce { body: Some(body), .. } => body.len() as u64,
            _ => 0,
        };
        // One byte in hand: whoever has used up its bytes waits, whatever an answer will cost.
        if !peer.requests.take(1, now) || !peer.exchanged.take(body.max(1), now) {
            self.refuse(channel);
            return;
        }
        match request {
            Request::Status(tip) => {
                self.note_tip(id, tip);
                self.answer(channel, Response::Status(self.telling.tip));
            }
            Request::Announce { block, height, body } => {
                self.answer(channel, Response::Noted);
                self.on_announced(id, hash_of(block), height, body);
            }
            Request::Body { block, .. } => {
                let block = hash_of(block);
                if let Some(bytes) = self.bodies.own(&block) {
                    peer_charge(self, id, bytes.len());
                    self.answer(channel, Response::Body(Some(bytes)));
                } else {
                    self.read(id, channel, move |reader| {
                        Response::Body(reader.body(&block).map(Arc::new))
                    });
                }
            }
            Request::Blocks { from, to } => {
                self.read(id, channel, move |reader| {
                    Response::Blocks(read_blocks(reader, from, to))
                });
            }
            Request::Snapshots => {
                self.read(id, channel, |reader| Response::Snapshots(read_offers(reader)));
            }
            Request::SnapshotPart { height, part } => {
                self.read(id, channel, move |reader| {
                    Response::SnapshotPart(reader.snapshot_part(height, part))
                });
            }
        }
    }

    /// Reads the database for a peer.
    fn read(
        &mut self,
        id: PeerId,
        channel: ResponseChannel<Frame<Response>>,
        read: impl FnOnce(&dyn ChainReader) -> Response + Send + 'static,
    ) {
        let permit = self.peers.get(&id).and_then(|peer| {
            if self.jobs.len() < SERVING {
                peer.serving.clone().try_acquire_owned().ok()
            } else {
                None
            }
        });
        let Some(permit) = permit else {
            self.refuse(channel);
            return;
        };
        let reader = self.reader.clone();
        self.jobs.spawn_blocking(move || {
            let response = read(reader.as_ref());
            drop(permit);
            Done::Answer { peer: id, channel, response }
        });
    }

    pub(super) fn on_done(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Answer { peer, channel, response }) => {
                let bytes = match &response {
                    Response::Body(Some(bytes)) => bytes.len(),
                    Response::Blocks(blocks) => blocks.iter().map(|(b, c)| b.len() + c.len()).sum(),
                    Response::SnapshotPart(Some(bytes)) => bytes.len(),
                    _ => 0,
                };
                peer_charge(self, peer, bytes);
                self.answer(channel, response);
            }
            Ok(Done::Tip(tip)) => {
                self.telling.reading = false;
                self.telling.tip = tip;
            }
            Err(failed) => {
                self.telling.reading = false;
                error!(error = %failed, "reading the chain for a peer failed");
            }
        }
    }

    fn answer(&mut self, channel: ResponseChannel<Frame<Response>>, response: Response) {
        count(&self.counters.requests_served);
        let exchange = &mut self.swarm.behaviour_mut().exchange;
        if exchange.send_response(channel, Frame::Good(response)).is_err() {
            debug!("an answer came too late");
        }
    }

    fn refuse(&mut self, channel: ResponseChannel<Frame<Response>>) {
        count(&self.counters.requests_refused);
        let exchange = &mut self.swarm.behaviour_mut().exchange;
        if exchange.send_response(channel, Frame::Good(Response::Busy)).is_err() {
            debug!("a refusal came too late");
        }
    }

    /// What a peer says of its tip.
    pub(super) fn note_tip(&mut self, id: PeerId, tip: Tip) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.height = tip.height;
            // The engine hears of peers that it knows to be connected.
            if peer.told {
                self.outbox.tip(peer.index, tip.height);
            }
        }
    }

    /// Tells a peer our tip and asks for its own.
    pub(super) fn tell_status(&mut self, id: PeerId) {
        self.ask(id, Request::Status(self.telling.tip), Asked::Status);
    }

    /// Reads our tip now and then, and tells it when it has moved or after a while.
    pub(super) fn tell_tip(&mut self, now: Instant) {
        let since = |then: Instant| -> Duration { now.saturating_duration_since(then) };
        if !self.telling.reading && since(self.telling.read_at) >= STATUS_WHEN_MOVED {
            (self.telling.reading, self.telling.read_at) = (true, now);
            let reader = self.reader.clone();
            self.jobs.spawn_blocking(move || {
                let (height, hash) = reader.tip();
                Done::Tip(Tip { height, hash: hash.0 })
            });
        }
        let moved = self.telling.tip != self.telling.told
            && since(self.telling.told_at) >= STATUS_WHEN_MOVED;
        if moved || since(self.telling.told_at) >= STATUS_INTERVAL {
            (self.telling.told, self.telling.told_at) = (self.telling.tip, now);
            let peers = self.peers.connected().filter(|(_, peer)| peer.told);
            let peers = peers.map(|(id, _)| id).collect::<Vec<_>>();
            for id in peers {
                self.tell_status(id);
            }
        }
    }
}

fn peer_charge(task: &mut Task, id: PeerId, bytes: usize) {
    if let Some(peer) = task.peers.get_mut(&id) {
        peer.exchanged.charge(bytes as u64, Instant::now());
    }
}

/// The newest snapshots, as many as an answer has room for.
fn read_offers(reader: &dyn ChainReader) -> Vec<(u64, [u8; 32])> {
    let mut offers = reader.snapshots();
    offers.sort_unstable();
    offers.iter().rev().take(SNAPSHOTS_KEPT).map(|(height, hash)| (*height, hash.0)).collect()
}

/// As many of the blocks as one answer may hold.
fn read_blocks(reader: &dyn ChainReader, from: u64, to: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut blocks = Vec::new();
    let mut bytes = 0;
    for height in (from..=to).take(usize::try_from(SYNC_BLOCKS).unwrap_or(usize::MAX)) {
        let Some((block, certificate)) = reader.block_with_certificate(height) else { break };
        bytes += block.len() + certificate.len() + SYNC_BLOCK_OVERHEAD;
        if bytes > SYNC_BYTES {
            break;
        }
        blocks.push((block, certificate));
    }
    blocks
}
