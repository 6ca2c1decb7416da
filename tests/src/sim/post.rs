//! What travels between nodes, and what a node does with what arrives: what its network and its
//! router do. A message is passed on by whoever could check it, as over the gossip's mesh, so
//! that what a liar tells one node alone reaches the others through an honest one.

use symbolon_consensus::{Input, Message, Peer, Verified, edge::Passage};
use symbolon_ledger::{block::Block, hash::BlockHash};

use super::{
    node::Committed,
    twin,
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
    Body(Block),
    /// "My tip is at this height."
    Status(u64),
    /// "Send me the block and certificate of this height."
    Ask(u64),
    /// A committed block and its certificate.
    Synced(Committed),
}

impl World {
    pub(super) fn deliver(&mut self, to: usize, from: usize, packet: Packet) -> Result<(), String> {
        let Some(memory) = &mut self.nodes[to].memory else { return Ok(()) };
        let height = memory.host.height();
        match packet {
            Packet::Message(message) => {
                memory.edge.learn(&message);
                self.hear(to, from, message.into_message())
            }
            Packet::Bytes(bytes) => {
                let message = Message::decode(&bytes).map_err(|e| format!("on the wire: {e}"))?;
                self.hear(to, from, message)
            }
            Packet::Offer(block) => {
                memory.holders.entry(block).or_default().insert(from);
                Ok(())
            }
            Packet::Want(block) => {
                if let Some(body) = self.nodes[to].body(&block) {
                    self.send(to, from, Packet::Body(body));
                }
                Ok(())
            }
            Packet::Body(body) => self.give_body(to, body),
            Packet::Status(tip) => {
                if tip >= height {
                    self.send(to, from, Packet::Ask(height));
                }
                Ok(())
            }
            Packet::Ask(asked) => {
                if let Some(committed) = self.nodes[to].disk.committed(asked) {
                    let mut committed = committed.clone();
                    if !self.nodes[to].honest {
                        twin::forge(&mut committed, &mut self.dice);
                    }
                    self.send(to, from, Packet::Synced(committed));
                }
                Ok(())
            }
            Packet::Synced(committed) => {
                // Of another height than the one asked for: old.
                if committed.certificate.height == height {
                    self.catch_up(to, from, committed)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// What passes the edge goes to the host, and now and then on to another node.
    fn hear(&mut self, to: usize, from: usize, message: Message) -> Result<(), String> {
        let (now_ms, peer) = (self.now_ms, Peer(from as u64));
        let Some(memory) = &mut self.nodes[to].memory else { return Ok(()) };
        match memory.edge.weigh(now_ms, message, peer) {
            Passage::Pass(message) => {
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
        if self.healed {
            let delay = self.dice.between(1, CALM_DELAY_MS);
            self.at(delay, Event::Packet { to, from, packet });
            return;
        }
        if self.plan.no_bodies && matches!(packet, Packet::Body(_)) {
            return;
        }
        if self.sides[from] != self.sides[to] || self.dice.chance(self.plan.loss) {
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
        if !self.nodes[node].honest {
            self.lie_out_of_turn(node);
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
