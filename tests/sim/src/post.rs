//! What travels between nodes, and what a node does with what arrives: what its network and its
//! router do. A message is passed on by whoever could check it, as over the gossip's mesh, so
//! that what a liar tells one node alone reaches the others through an honest one.

use std::sync::Arc;

use symbolon_consensus::{Input, Message, Peer, Verified, edge::Passage};
use symbolon_ledger::{
    block::{Block, transactions_root},
    codes::ProvinceCode,
    hash::BlockHash,
};

use super::{
    byzantine::{self, Vice},
    disk::Committed,
    world::{Event, World},
};

/// Longest delay of a packet once it has healed.
const CALM_DELAY_MS: u64 = 50;
/// Of a hundred messages that a node could check, those that it passes on to somebody.
const RELAYED: u64 = 15;

/// What travels.
#[derive(Debug, Clone)]
pub(super) enum Packet {
    /// A consensus message, checked.
    Message(Verified),
    /// The same, as bytes.
    Bytes(Vec<u8>),
    /// "I have this body."
    Offer(BlockHash),
    /// "Send me this body."
    Want(BlockHash),
    /// A body.
    Body(Arc<Block>),
    /// "My tip is at this height."
    Status(u64),
    /// "Send me the block and certificate of this height."
    Ask(u64),
    /// A committed block and its certificate.
    Synced(Arc<Committed>),
}

impl World {
    pub(super) fn deliver(&mut self, to: usize, from: usize, packet: Packet) -> Result<(), String> {
        let vice = self.nodes[to].vice;
        let Some(memory) = &mut self.nodes[to].memory else { return Ok(()) };
        let height = memory.host.height();
        match packet {
            Packet::Message(message) => {
                memory.edge.learn(&message);
                self.hear(to, from, message.into_message())
            }
            Packet::Bytes(bytes) => match Message::decode(&bytes) {
                Ok(message) => self.hear(to, from, message),
                Err(error) => self.blame(to, from as u64, &error.to_string()),
            },
            Packet::Offer(block) => {
                memory.holders.entry(block).or_default().insert(from);
                Ok(())
            }
            Packet::Want(block) => {
                let body = self.nodes[to].body(&block);
                let body = vice.map_or(body.clone(), |v| byzantine::of(v).body(self, to, body));
                if let Some(body) = body {
                    self.send(to, from, Packet::Body(body));
                }
                Ok(())
            }
            // Decoding a body checks that its transactions are those of its header.
            Packet::Body(body) if is_whole(&body) => self.give_body(to, body),
            Packet::Body(_) => self.blame(to, from as u64, "not the body of its header"),
            Packet::Status(tip) => {
                if tip >= height {
                    self.send(to, from, Packet::Ask(height));
                }
                Ok(())
            }
            Packet::Ask(asked) => {
                let committed = self.nodes[to].disk.committed(asked).cloned();
                let committed = match vice {
                    None => committed,
                    Some(vice) => byzantine::of(vice).answer(self, to, committed),
                };
                if let Some(committed) = committed {
                    self.send(to, from, Packet::Synced(committed));
                }
                Ok(())
            }
            Packet::Synced(committed) => {
                // Of another height than the one asked for: old.
                if committed.certificate.height != height {
                    return Ok(());
                }
                if !is_whole(&committed.block) {
                    return self.blame(to, from as u64, "not the body of its header");
                }
                self.catch_up(to, from, &committed)
            }
        }
    }

    /// What passes the edge goes to the host, and now and then on to another node.
    fn hear(&mut self, to: usize, from: usize, message: Message) -> Result<(), String> {
        let (now_ms, peer) = (self.now_ms, Peer(from as u64));
        let node = &mut self.nodes[to];
        if node.vice.is_some_and(|vice| vice != Vice::Twin) && says(&message) == node.province() {
            // A liar knows what it has said, and keeps it from its host.
            return Ok(());
        }
        let Some(memory) = &mut node.memory else { return Ok(()) };
        match memory.edge.weigh(now_ms, message, peer) {
            Passage::Pass(message) => {
                match self.nodes[to].vice {
                    Some(vice) => byzantine::of(vice).hear(self, to, message.message()),
                    None => self.witness.nobody_is_quoted_with_what_he_did_not_say(
                        &self.nodes[to],
                        message.message(),
                    )?,
                }
                let another = self.dice.index(self.nodes.len());
                if another != to && another != from && self.dice.chance(RELAYED) {
                    let packet = self.wrap(message.clone());
                    self.send(to, another, packet);
                }
                self.step(to, Input::Verified { message, from: peer })
            }
            Passage::Ahead { .. } => {
                self.ask(to, Some(from));
                Ok(())
            }
            Passage::OfNoUse => Ok(()),
            Passage::Bad(reason) => self.blame(to, peer.0, &reason.to_string()),
        }
    }

    /// Puts a packet on its way, if the weather lets it through.
    pub(super) fn send(&mut self, from: usize, to: usize, packet: Packet) {
        self.report.packets += 1;
        if self.plan.twins.is_some() {
            if self.twins_let_through(from, to) {
                let delay = self.dice.between(1, CALM_DELAY_MS);
                self.at(delay, Event::Packet { to, from, packet });
            }
            return;
        }
        if self.healed {
            let delay = self.dice.between(1, CALM_DELAY_MS);
            self.at(delay, Event::Packet { to, from, packet });
            return;
        }
        if self.plan.no_bodies && matches!(packet, Packet::Body(_)) {
            return;
        }
        if !self.links.lead(from, to) || self.dice.chance(self.plan.loss) {
            return;
        }
        if self.dice.chance(self.plan.repeats) {
            let delay = self.dice.between(1, 4 * self.plan.delay_ms);
            self.at(delay, Event::Packet { to, from, packet: packet.clone() });
        }
        let delay = self.dice.between(1, self.plan.delay_ms);
        self.at(delay, Event::Packet { to, from, packet });
    }

    pub(super) fn send_to_all(&mut self, from: usize, packet: &Packet) {
        for to in (0..self.nodes.len()).filter(|to| *to != from) {
            self.send(from, to, packet.clone());
        }
    }

    /// Tells two others how far it is, so that whoever missed everything finds out.
    pub(super) fn gossip(&mut self, node: usize) {
        if let Some(vice) = self.nodes[node].vice {
            byzantine::of(vice).idle(self, node);
        }
        if self.nodes[node].memory.is_some() {
            let tip = self.nodes[node].disk.height();
            for _ in 0..2 {
                let to = self.dice.index(self.nodes.len());
                self.send(node, to, Packet::Status(tip));
            }
        }
        let pause = self.dice.between(700, 1_300);
        self.at(pause, Event::Gossip { node });
    }

    /// A message as it travels.
    pub(super) fn wrap(&self, message: Verified) -> Packet {
        if self.plan.exact {
            Packet::Bytes(message.message().encode())
        } else {
            Packet::Message(message)
        }
    }
}

fn is_whole(block: &Block) -> bool {
    transactions_root(&block.transactions) == block.header.transactions_root
}

/// Who says it, if it is one province.
fn says(message: &Message) -> Option<ProvinceCode> {
    match message {
        Message::Vote(vote) => Some(vote.province),
        Message::Proposal(proposal) => Some(proposal.province),
        Message::Polka(_) | Message::Round(_) => None,
    }
}
