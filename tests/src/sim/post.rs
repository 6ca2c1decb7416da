//! What travels between nodes, and what a node does with what arrives: what its network and its
//! router do. A message is passed on by whoever could check it, as over the gossip's mesh, so
//! that what a liar tells one node alone reaches the others through an honest one.

use symbolon_consensus::{Input, Message, Peer, Verified};
use symbolon_ledger::{block::Block, hash::BlockHash};

use super::{
    founding::Founding,
    node::Committed,
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
        let (height, peer) = (memory.host.height(), Peer(from as u64));
        match packet {
            Packet::Message(message) => {
                self.relay(to, from, height, &message);
                self.step(to, Input::Verified { message, from: peer })
            }
            Packet::Bytes(bytes) => self.read(to, from, height, &bytes),
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
                    self.send(to, from, Packet::Synced(committed.clone()));
                }
                Ok(())
            }
            Packet::Synced(Committed { block, certificate }) => {
                if certificate.height != height {
                    return Ok(());
                }
                memory.pool.insert(block.hash(), block);
                self.report.synced += 1;
                self.step(to, Input::Synced { certificate, from: peer })
            }
        }
    }

    /// Checks a message from its bytes, as a router does, and passes it on if it holds.
    fn read(&mut self, to: usize, from: usize, height: u64, bytes: &[u8]) -> Result<(), String> {
        let peer = Peer(from as u64);
        let message = Message::decode(bytes).map_err(|e| format!("on the wire: {e}"))?;
        if message.height() != height {
            return self.step(to, Input::Message { message, from: peer });
        }
        let founding = Founding::of(self.plan.validators);
        let set = founding.set_after(&self.plan, height - 1);
        match Verified::check(&founding.chain_id, &set, message) {
            Ok(message) => {
                self.relay(to, from, height, &message);
                self.step(to, Input::Verified { message, from: peer })
            }
            Err(bad) => self.blame(to, peer.0, &bad.to_string()),
        }
    }

    /// Passes a checked message of the node's own height on to one other, now and then.
    fn relay(&mut self, node: usize, from: usize, height: u64, message: &Verified) {
        if message.message().height() != height || !self.dice.chance(RELAYED) {
            return;
        }
        let to = self.dice.index(self.nodes.len());
        if to != node && to != from {
            let packet = self.wrap(message.clone());
            self.send(node, to, packet);
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
