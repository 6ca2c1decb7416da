//! Gossip: what a node says goes to everybody at once, what it has heard and found good to its mesh.
//!
//! The constants are those of the node's `network/limits.rs` and of gossipsub 0.50; the names behind
//! them are theirs.

use std::{collections::BTreeSet, sync::Arc};

use symbolon_consensus::{Message, Peer, Verified, edge::Passage};

use super::{
    engine::Work,
    figures::Kind,
    node::SPOKEN_OF,
    sizes::{self, Topic},
    world::{Batch, Event, Heard, Letter, MS, Said, Talk, World},
};

/// A longer message makes its receiver tell its mesh not to send it, too
/// (`idontwant_message_size_threshold`).
const UNWANTED_BYTES: u64 = 1_000;
/// Batches looked at at once; more are not looked at (`MAX_BATCHES_IN_CHECK`).
const MOST_BATCHES: usize = 4;
/// Peers outside the mesh that hear what a node has, at least (`gossip_lazy`).
const LAZY: usize = 6;
/// And at least this share of them: one in so many (`gossip_factor` is 0.25).
const LAZY_ONE_IN: usize = 4;
/// For how long a vote or a proposal that came from its author is not passed on (`WITHHELD` of the
/// node's engine).
pub const WITHHELD_NS: u64 = 500 * MS;
/// Most messages that it names to one of them (`GOSSIP_CONTROL_IDS`).
pub const HAVE_IDS: u64 = 400;
/// Heartbeats for which a message is known as seen (`GOSSIP_SEEN`, 30 s).
const SEEN: usize = 43;

impl World {
    /// A message of its own leaves.
    pub(super) fn publish(&mut self, node: usize, verified: Verified) {
        let kind = match verified.message() {
            Message::Vote(_) => Kind::Votes,
            Message::Proposal(proposal) => {
                self.proposed_ns.entry(proposal.block).or_insert(self.now_ns);
                Kind::Proposals
            }
            Message::Polka(_) | Message::Round(_) => Kind::Certificates,
        };
        let bytes = verified.message().encode().len() as u64;
        self.flood(node, &Talk::Said(Arc::new(Said { verified, kind, bytes })));
    }

    /// Sends something new to everybody (`flood_publish`).
    pub(super) fn flood(&mut self, node: usize, talk: &Talk) {
        let id = self.next_message;
        self.next_message += 1;
        self.accept(node, talk.topic());
        let all = self.nodes.len();
        for other in (1..all).map(|step| (node + step) % all) {
            self.post(node, other, Letter::Gossip { id, author: node, talk: talk.clone() });
        }
    }

    /// A message of gossip came.
    pub(super) fn hear(&mut self, to: usize, heard: Heard, talk: Talk, bytes: u64) {
        self.counts.copies += 1;
        let (kind, data) = talk.data();
        if let Some(others) = self.nodes[to].gossip.seen.get_mut(&heard.id) {
            if let Some(others) = others {
                others.insert(heard.from);
            }
            self.counts.repeated.add(kind, bytes);
            return;
        }
        self.nodes[to].gossip.seen.insert(heard.id, Some(BTreeSet::new()));
        if sizes::message(talk.topic(), data) > UNWANTED_BYTES {
            for peer in self.neighbours(to, talk.topic(), heard) {
                self.post(to, peer, Letter::Unwanted(heard.id));
            }
        }
        let (now_ns, costs) = (self.now_ns, self.plan.costs);
        match talk {
            Talk::Said(said) => {
                let node = &mut self.nodes[to];
                // What is about a height that is over is put away unchecked.
                let is_old = said.verified.message().height() <= node.tip;
                let at_ns = node.checker.done_ns(now_ns, if is_old { 0 } else { costs.check_ns });
                self.at(at_ns, Event::Checked { node: to, heard, said });
            }
            Talk::Batch(batch) => {
                if self.nodes[to].gossip.batches == MOST_BATCHES {
                    self.counts.batches_ignored += 1;
                    return;
                }
                let takes = batch.places.iter().map(|place| self.admission_ns(to, *place)).sum();
                let node = &mut self.nodes[to];
                node.gossip.batches += 1;
                let at_ns = node.admitter.done_ns(now_ns, takes);
                self.at(at_ns, Event::Admitted { node: to, batch });
            }
        }
    }

    /// A message of consensus comes to the edge.
    pub(super) fn checked(
        &mut self,
        id: usize,
        heard: Heard,
        said: &Arc<Said>,
    ) -> Result<(), String> {
        let (now_ms, peer) = (self.now_ns / MS, Peer(heard.from as u64));
        let node = &mut self.nodes[id];
        // One node checks every signature itself; for the others it would be the same again.
        let is_watched = id == 0;
        if !is_watched {
            node.edge.learn(&said.verified);
        }
        let begun = (self.clock)();
        let passage = node.edge.weigh(now_ms, said.verified.message().clone(), peer);
        if is_watched {
            self.processor.edge_ns += (self.clock)().saturating_sub(begun);
            self.processor.edge_messages += 1;
        }
        self.counts.weighed += 1;
        match passage {
            Passage::Pass(message) => {
                if heard.from == heard.author && matches!(said.kind, Kind::Votes | Kind::Proposals)
                {
                    let said = said.clone();
                    self.at(self.now_ns + WITHHELD_NS, Event::Withheld { node: id, heard, said });
                } else {
                    self.forward(id, heard, &Talk::Said(said.clone()));
                }
                let work = Work::Hear { message: Box::new(message), from: heard.from };
                self.at(self.now_ns, Event::Engine { node: id, work });
            }
            Passage::Ahead { height } => self.heard_of_tip(id, heard.from, height - 1),
            Passage::OfNoUse => {}
            Passage::Bad(reason) => {
                return Err(format!("node {id} finds a message of {} bad: {reason}", heard.author));
            }
        }
        Ok(())
    }

    /// Passes on what its author gave to everybody, unless its height is over.
    pub(super) fn pass_on_late(&mut self, node: usize, heard: Heard, said: &Arc<Said>) {
        if self.nodes[node].tip < said.verified.message().height() {
            self.forward(node, heard, &Talk::Said(said.clone()));
        }
    }

    /// Passes on what was found good.
    pub(super) fn forward(&mut self, node: usize, heard: Heard, talk: &Talk) {
        self.accept(node, talk.topic());
        let gossip = &mut self.nodes[node].gossip;
        let others = gossip.seen.get_mut(&heard.id).and_then(Option::take).unwrap_or_default();
        let mut to = self.neighbours(node, talk.topic(), heard);
        let unwanted = &self.nodes[node].gossip.unwanted;
        to.retain(|peer| !others.contains(peer) && !unwanted.contains(&(heard.id, *peer)));
        for peer in to {
            let Heard { id, author, .. } = heard;
            self.post(node, peer, Letter::Gossip { id, author, talk: talk.clone() });
        }
    }

    /// Housekeeping: tells some peers outside the mesh what there is, and forgets what is old.
    pub(super) fn heartbeat(&mut self, node: usize) {
        for topic in [Topic::Consensus, Topic::Transactions] {
            let accepted = self.nodes[node].gossip.accepted.entry(topic).or_default();
            let ids = accepted.iter().sum::<u64>().min(HAVE_IDS);
            accepted.rotate_right(1);
            accepted[0] = 0;
            if ids > 0 {
                for peer in self.lazy_peers(node, topic) {
                    self.post(node, peer, Letter::Have(topic, ids));
                }
            }
        }
        let next = self.next_message;
        let gossip = &mut self.nodes[node].gossip;
        gossip.marks.push_back(next);
        if gossip.marks.len() > SEEN {
            let oldest = gossip.marks.pop_front().unwrap_or(0);
            gossip.seen = gossip.seen.split_off(&oldest);
            gossip.unwanted = gossip.unwanted.split_off(&(oldest, 0));
        }
    }

    fn lazy_peers(&mut self, node: usize, topic: Topic) -> Vec<usize> {
        let mesh: BTreeSet<usize> = self.meshes[&topic].of(node).collect();
        let mut outside: Vec<usize> =
            (0..self.nodes.len()).filter(|other| *other != node && !mesh.contains(other)).collect();
        let count = LAZY.max(outside.len() / LAZY_ONE_IN).min(outside.len());
        (0..count).map(|_| outside.swap_remove(self.dice.index(outside.len()))).collect()
    }

    /// The mesh without those who have the message for certain.
    fn neighbours(&self, node: usize, topic: Topic, heard: Heard) -> Vec<usize> {
        let others = self.meshes[&topic].of(node);
        others.filter(|peer| *peer != heard.from && *peer != heard.author).collect()
    }

    fn accept(&mut self, node: usize, topic: Topic) {
        let accepted: &mut [u64; SPOKEN_OF] =
            self.nodes[node].gossip.accepted.entry(topic).or_default();
        accepted[0] += 1;
    }
}

impl Batch {
    /// The transactions at these places of the run's list.
    pub(super) fn of(world: &World, places: Vec<u32>) -> Self {
        let sizes = places.iter().map(|place| world.transactions[*place as usize].bytes);
        let bytes = sizes::batch(places.len() as u64, sizes.sum());
        Self { places, bytes }
    }
}
