//! The loop that owns the swarm: one event, one order, one answer at a time, never waiting for
//! the engine.
//!
//! What is published and judged, bodies, block sync, parts of snapshots and answers to others are
//! `publish`, `bodies`, `sync`, `parts` and `serve`, each a part of this task's methods.

use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm,
    gossipsub::{self, TopicHash},
    ping,
    request_response::{self, OutboundRequestId},
    swarm::{
        SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use symbolon_ledger::hash::{BlockHash, ChainId};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep_until},
};
use tracing::{debug, info, warn};

use super::{
    Acceptance, ChainReader, NetworkCounters, NetworkEvent, PeerIndex, TransactionBatch,
    behaviour::{Protocols, ProtocolsEvent},
    bodies::Bodies,
    counters::count,
    exchange::Frame,
    gossip::{GossipId, Topics},
    limits::{
        BAN, BLAME_LIMIT, BLAME_SCORE, CONSENSUS_MESSAGE_BYTES, FIRST_PEERS, REQUESTS_PER_PEER,
        TICK,
    },
    parts::{PartName, Parts},
    peers::Peers,
    queues::{Admitted, Mailbox, Order, Outbox},
    serve::{Done, Telling},
    sync::Sync,
    troubles::Troubles,
    wire::{Request, Response, Tip, WireError, decode_batch},
};

/// What the log says of a peer that takes no part: one that does not admit this node finds out who
/// it is only after the handshake.
const CLOSED_AT_ONCE: &str = "it closed the connection at once; does it admit this node's peer id?";

/// What a request of ours was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Status,
    Announce,
    Body(BlockHash),
    Blocks,
    Snapshots,
    Part(PartName),
}

/// The task.
pub(super) struct Task {
    pub(super) swarm: Swarm<Protocols>,
    pub(super) peers: Peers,
    pub(super) reader: Arc<dyn ChainReader>,
    pub(super) counters: Arc<NetworkCounters>,
    pub(super) outbox: Outbox,
    pub(super) bodies: Bodies,
    pub(super) sync: Option<Sync>,
    pub(super) parts: Parts,
    pub(super) telling: Telling,
    troubles: Troubles,
    /// Database reads for others, and of our own tip.
    pub(super) jobs: JoinSet<Done>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) topics: Topics,
    transactions_topic: TopicHash,
    /// Our requests under way; bounded by [`REQUESTS_PER_PEER`] of every peer.
    requests: HashMap<OutboundRequestId, (PeerId, Asked)>,
    pub(super) next_batch: Instant,
}

impl Task {
    pub(super) fn new(
        swarm: Swarm<Protocols>,
        peers: Peers,
        chain_id: ChainId,
        reader: Arc<dyn ChainReader>,
        mailbox: Arc<Mailbox>,
        counters: Arc<NetworkCounters>,
    ) -> Self {
        let topics = Topics::new(&chain_id);
        let (height, hash) = reader.tip();
        let now = Instant::now();
        Self {
            swarm,
            peers,
            counters,
            outbox: Outbox::default(),
            bodies: Bodies::default(),
            sync: None,
            parts: Parts::default(),
            telling: Telling::new(Tip { height, hash: hash.0 }, now),
            troubles: Troubles::default(),
            jobs: JoinSet::new(),
            mailbox,
            transactions_topic: topics.transactions.hash(),
            topics,
            requests: HashMap::new(),
            next_batch: now,
            reader,
        }
    }

    /// Runs until the receiver of the events is dropped.
    pub(super) async fn run(
        mut self,
        events: mpsc::Sender<NetworkEvent>,
        transactions: mpsc::Sender<TransactionBatch>,
        listening: watch::Sender<Vec<Multiaddr>>,
    ) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            self.obey();
            self.publish_batch();
            let batch_due = self.next_batch.into();
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm(event, &listening),
                () = self.mailbox.wake.notified() => {}
                permit = events.reserve(), if !self.outbox.is_empty() => match (permit, self.outbox.pop()) {
                    (Ok(permit), Some(event)) => permit.send(event),
                    (Ok(_), None) => {}
                    (Err(_), _) => break,
                },
                permit = transactions.reserve(), if self.outbox.has_transactions() => {
                    match (permit, self.outbox.pop_transactions()) {
                        (Ok(permit), Some(batch)) => permit.send(batch),
                        // Nobody wants any.
                        (Err(_), Some(batch)) => self.throw_away(&batch),
                        (_, None) => {}
                    }
                }
                () = events.closed() => break,
                done = next_job(&mut self.jobs) => self.on_done(done),
                _ = tick.tick() => self.on_tick(Instant::now()),
                () = sleep_until(batch_due), if self.may_publish_batch() => {}
            }
        }
        // The listeners are closed before `listening` tells that they are.
        drop(self);
        info!("network stopped");
    }

    fn obey(&mut self) {
        let taken = self.mailbox.take();
        if let Some(admitted) = taken.admitted {
            self.admit(&admitted);
        }
        for bytes in taken.consensus {
            self.publish_consensus(bytes);
        }
        for order in taken.orders {
            match order {
                Order::Announce { block, height, bytes } => self.announce(block, height, &bytes),
                Order::FetchBody { block, height, sources } => self.fetch(block, height, &sources),
                Order::FetchBlocks { from, to, peer } => self.fetch_blocks(from, to, peer),
                Order::AskSnapshots => self.ask_snapshots(),
                Order::FetchPart { snapshot, part, avoid } => {
                    self.fetch_part((snapshot, part), &avoid);
                }
                Order::Report { id, verdict } => self.report(&id, verdict),
                Order::Blame { peer } => {
                    if let Some(id) = self.peers.id_of(peer) {
                        self.blame(id, "by the engine");
                    }
                }
            }
        }
    }

    fn admit(&mut self, admitted: &Admitted) {
        let change = self.peers.replace_validators(admitted, Instant::now());
        for peer in change.added {
            self.swarm.behaviour_mut().admitted.allow_peer(peer);
            info!(%peer, "peer admitted");
        }
        for peer in change.removed {
            self.swarm.behaviour_mut().admitted.disallow_peer(peer);
            info!(%peer, "peer no longer admitted");
        }
    }

    /// Holds something against a peer; after too often it is refused for a while.
    pub(super) fn blame(&mut self, id: PeerId, reason: &str) {
        count(&self.counters.blames);
        let now = Instant::now();
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.blames += 1;
        peer.last_blame = now;
        let (blames, index) = (peer.blames, peer.index);
        warn!(peer = %id, reason, blames, "peer blamed");
        let refuse = blames >= BLAME_LIMIT && peer.refused_until.is_none();
        if refuse {
            peer.refused_until = Some(now + BAN);
        }
        let protocols = self.swarm.behaviour_mut();
        protocols.gossip.set_application_score(&id, -BLAME_SCORE * f64::from(blames));
        if refuse {
            count(&self.counters.bans);
            protocols.admitted.disallow_peer(id);
            warn!(peer = %id, seconds = BAN.as_secs(), "peer refused for a while");
            for batch in self.outbox.refuse(index) {
                self.throw_away(&batch);
            }
        }
        self.drop_sync_with(id);
    }

    fn on_tick(&mut self, now: Instant) {
        for (id, peer) in self.peers.iter_mut() {
            if peer.forgive(now) {
                let score = -BLAME_SCORE * f64::from(peer.blames);
                self.swarm.behaviour_mut().gossip.set_application_score(&id, score);
            }
            if peer.refused_until.is_some_and(|until| until <= now) {
                peer.refused_until = None;
                peer.blames = 0;
                if peer.role != super::peers::Role::Former {
                    self.swarm.behaviour_mut().admitted.allow_peer(id);
                }
            }
        }
        for (id, addresses) in self.peers.due(now) {
            let dial = DialOpts::peer_id(id)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .addresses(addresses)
                .build();
            if let Err(error) = self.swarm.dial(dial) {
                debug!(peer = %id, %error, "not dialled");
            }
        }
        self.drive_fetches(now);
        self.drive_sync(now);
        self.drive_parts(now);
        self.tell_tip(now);
    }

    fn on_swarm(
        &mut self,
        event: SwarmEvent<ProtocolsEvent>,
        listening: &watch::Sender<Vec<Multiaddr>>,
    ) {
        match event {
            SwarmEvent::Behaviour(ProtocolsEvent::Gossip(event)) => self.on_gossip(event),
            SwarmEvent::Behaviour(ProtocolsEvent::Exchange(event)) => self.on_exchange(event),
            SwarmEvent::Behaviour(ProtocolsEvent::Ping(event)) => self.on_ping(&event),
            SwarmEvent::Behaviour(_) => {}
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, num_established, .. } => {
                debug!(peer = %peer_id, address = %endpoint.get_remote_address(), "connection");
                if num_established.get() == 1
                    && let Some(peer) = self.peers.get_mut(&peer_id)
                {
                    peer.connected = true;
                    count(&self.counters.connected_peers);
                }
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, cause, .. } => {
                debug!(peer = %peer_id, ?cause, "connection closed");
                self.on_disconnected(peer_id);
            }
            SwarmEvent::IncomingConnectionError { peer_id, error, .. } => {
                count(&self.counters.connections_refused);
                match peer_id {
                    Some(id) => self.troubles.refused(id, &error, Instant::now()),
                    // It has not come so far as to say who it is.
                    None => debug!(%error, "incoming connection refused"),
                }
            }
            SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => {
                count(&self.counters.dials_failed);
                match peer_id.filter(|id| self.peers.get(id).is_some()) {
                    Some(id) => self.troubles.cannot_reach(id, &error, Instant::now()),
                    None => debug!(peer = ?peer_id, %error, "cannot connect"),
                }
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                info!(%address, "listening");
                listening.send_modify(|addresses| addresses.push(address));
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                listening.send_modify(|addresses| addresses.retain(|known| *known != address));
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                warn!(?addresses, ?reason, "listener closed");
            }
            SwarmEvent::ListenerError { error, .. } => warn!(%error, "listener failed"),
            _ => {}
        }
    }

    fn on_disconnected(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if !peer.connected {
            return;
        }
        peer.disconnect(Instant::now());
        let told = std::mem::take(&mut peer.told);
        let index = peer.index;
        self.counters.connected_peers.fetch_sub(1, Relaxed);
        self.parts.gone(&id);
        if told {
            self.outbox.disconnected(index);
        } else {
            self.troubles.cannot_reach(id, &CLOSED_AT_ONCE, Instant::now());
        }
    }

    /// libp2p reports dead connections and leaves them open.
    fn on_ping(&mut self, event: &ping::Event) {
        if let Err(ping::Failure::Timeout) = event.result {
            debug!(peer = %event.peer, "no answer to a ping, closing the connection");
            self.swarm.close_connection(event.connection);
        }
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                let from = propagation_source;
                let is_of_validator =
                    message.source == Some(from) && self.peers.is_validator(&from);
                let is_everywhere = is_of_validator && self.peers.are_the_validators();
                let id = GossipId { message: message_id, from, is_of_validator, is_everywhere };
                self.on_message(id, message);
            }
            gossipsub::Event::Subscribed { peer_id, topic } => {
                let transactions = topic == self.transactions_topic;
                if let Some(peer) = self.peers.get_mut(&peer_id) {
                    peer.in_transactions |= transactions;
                    peer.in_consensus |= !transactions;
                }
                self.tell_connected(peer_id);
            }
            gossipsub::Event::SlowPeer { peer_id, .. } => {
                debug!(peer = %peer_id, "peer cannot keep up with the gossip");
            }
            gossipsub::Event::GossipsubNotSupported { peer_id } => {
                debug!(peer = %peer_id, "peer does not gossip");
            }
            gossipsub::Event::Unsubscribed { .. } => {}
        }
    }

    /// A peer counts as connected once it hears both topics.
    fn tell_connected(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.told || !peer.connected || !peer.in_consensus || !peer.in_transactions {
            return;
        }
        peer.told = true;
        let (index, height) = (peer.index, peer.height);
        self.troubles.reached(&id);
        if self.peers.hearing() == 1 {
            // The others come soon: what has waited for a peer goes to all of them at once.
            self.next_batch = self.next_batch.max(Instant::now() + FIRST_PEERS);
        }
        self.outbox.connected(index, id.to_bytes());
        if height > 0 {
            self.outbox.tip(index, height);
        }
        self.tell_status(id);
        self.tell_bodies(id);
    }

    fn on_message(&mut self, id: GossipId, message: gossipsub::Message) {
        let Some(peer) = self.peers.get_mut(&id.from) else {
            self.report(&id, Acceptance::Ignore);
            return;
        };
        let from = peer.index;
        if !peer.may_gossip(message.data.len(), Instant::now()) {
            self.report(&id, Acceptance::Ignore);
            count(&self.counters.gossip_refused);
            return;
        }
        if message.topic == self.transactions_topic {
            self.on_transactions(id, from, &message.data);
            return;
        }
        count(&self.counters.consensus_received);
        if message.data.len() > CONSENSUS_MESSAGE_BYTES {
            self.report(&id, Acceptance::Reject);
            self.blame(id.from, "consensus message too long");
            return;
        }
        let event = NetworkEvent::Consensus { bytes: message.data, from, id };
        if let Some(dropped) = self.outbox.consensus(event) {
            count(&self.counters.consensus_dropped);
            self.report(&dropped, Acceptance::Ignore);
        }
    }

    fn on_transactions(&mut self, id: GossipId, from: PeerIndex, data: &[u8]) {
        count(&self.counters.batches_received);
        match decode_batch(data) {
            Ok(txs) => {
                for dropped in self.outbox.transactions(TransactionBatch { txs, from, id }) {
                    self.throw_away(&dropped);
                }
            }
            Err(error) => {
                self.report(&id, Acceptance::Reject);
                self.blame(id.from, &error.to_string());
            }
        }
    }

    fn on_exchange(&mut self, event: request_response::Event<Frame<Request>, Frame<Response>>) {
        use request_response::{Event, Message};
        match event {
            Event::Message { peer, message, .. } => match message {
                Message::Request { request: Frame::Good(request), channel, .. } => {
                    self.serve(peer, request, channel);
                }
                Message::Request { request: Frame::Malformed(error), .. } => {
                    self.on_malformed(peer, &error);
                }
                Message::Response { request_id, response } => {
                    self.on_answer(request_id, Some(response));
                }
            },
            Event::OutboundFailure { request_id, error, peer, .. } => {
                debug!(%peer, %error, "request failed");
                self.on_answer(request_id, None);
            }
            Event::InboundFailure { peer, error, .. } => {
                debug!(%peer, %error, "answer failed");
            }
            Event::ResponseSent { .. } => {}
        }
    }

    fn on_malformed(&mut self, peer: PeerId, error: &WireError) {
        self.blame(peer, &error.to_string());
    }

    /// Sends a request, unless the peer is away or has enough of ours to answer.
    pub(super) fn ask(
        &mut self,
        id: PeerId,
        request: Request,
        asked: Asked,
    ) -> Option<OutboundRequestId> {
        let peer = self.peers.get_mut(&id)?;
        if !peer.connected || peer.outstanding >= REQUESTS_PER_PEER {
            return None;
        }
        peer.outstanding += 1;
        let request_id =
            self.swarm.behaviour_mut().exchange.send_request(&id, Frame::Good(request));
        self.requests.insert(request_id, (id, asked));
        Some(request_id)
    }

    /// An answer, or none when the request failed.
    fn on_answer(&mut self, request_id: OutboundRequestId, answer: Option<Frame<Response>>) {
        let Some((id, asked)) = self.requests.remove(&request_id) else { return };
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.outstanding = peer.outstanding.saturating_sub(1);
        }
        let answer = match answer {
            Some(Frame::Good(answer)) => Some(answer),
            Some(Frame::Malformed(error)) => {
                self.on_malformed(id, &error);
                None
            }
            None => None,
        };
        match (asked, answer) {
            (Asked::Status, Some(Response::Status(tip))) => self.note_tip(id, tip),
            (Asked::Announce, Some(Response::Noted)) => {}
            (Asked::Status | Asked::Announce, None | Some(Response::Busy)) => {}
            (Asked::Body(block), Some(Response::Body(Some(bytes)))) => {
                self.on_fetched(id, request_id, block, bytes);
            }
            (Asked::Body(block), None | Some(Response::Body(None) | Response::Busy)) => {
                self.on_fetch_missed(request_id, block);
            }
            (Asked::Blocks, Some(Response::Blocks(blocks))) => {
                self.on_blocks(id, request_id, blocks);
            }
            (Asked::Blocks, Some(Response::Busy)) => self.on_sync_busy(request_id),
            (Asked::Blocks, None) => self.on_sync_missed(request_id),
            (Asked::Snapshots, Some(Response::Snapshots(offers))) => {
                self.on_snapshots(id, offers);
            }
            (Asked::Snapshots, None | Some(Response::Busy)) => {}
            (Asked::Part(name), Some(Response::SnapshotPart(found))) => {
                self.on_part(id, name, found);
            }
            (Asked::Part(name), Some(Response::Busy)) => self.on_part_busy(id, name),
            (Asked::Part(name), None) => self.on_part_missed(id, name),
            (asked, Some(_)) => {
                self.blame(id, "an answer of another kind");
                match asked {
                    Asked::Part(name) => self.on_part_missed(id, name),
                    Asked::Body(block) => self.on_fetch_missed(request_id, block),
                    Asked::Blocks => self.on_sync_missed(request_id),
                    Asked::Status | Asked::Announce | Asked::Snapshots => {}
                }
            }
        }
    }
}

/// The next finished job; none is ever ready while there are no jobs.
async fn next_job(jobs: &mut JoinSet<Done>) -> Result<Done, tokio::task::JoinError> {
    match jobs.join_next().await {
        Some(done) => done,
        None => pending().await,
    }
}
