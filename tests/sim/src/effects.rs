//! What each effect of a host does in the simulated world: what the node's driver does with
//! RocksDB and libp2p. Effects run in order, and a doomed node crashes between two of them. When a
//! disk refuses, the node stops at that effect and does none of those behind it.

use std::sync::Arc;

use symbolon_consensus::{Effect, Input, Verified, validity};
use symbolon_ledger::{
    block::Block, certificate::Certificate, codes::ProvinceCode, hash::BlockHash,
};

use super::{
    byzantine,
    disk::{Committed, Refused, Trouble},
    invariants::Witness,
    post::Packet,
    world::{Event, World},
};

/// Longest wait between a commit and the next height, when no peer begins it before.
const IDLE_MS: u64 = 600;

/// Pause before a node asks again for a body.
const RETRY_MS: u64 = 400;

fn word(block: &BlockHash) -> u64 {
    u64::from_be_bytes(block.0[..8].try_into().expect("eight of thirty-two bytes"))
}

impl World {
    pub(super) fn execute(&mut self, id: usize, effects: Vec<Effect>) -> Result<(), String> {
        let mut decided = false;
        for effect in effects {
            match &mut self.nodes[id].doom {
                Some(0) => {
                    self.crash(id);
                    return Ok(());
                }
                Some(left) => *left -= 1,
                None => {}
            }
            decided |= matches!(effect, Effect::Decide { .. });
            self.perform(id, effect)?;
            if self.nodes[id].memory.is_none() {
                return Ok(());
            }
        }
        if !decided {
            return Ok(());
        }
        let start = self.nodes[id].disk.machine.start();
        self.step(id, Input::StartHeight(start))?;
        self.prepared(id)
    }

    /// A height is prepared: it begins after a while, and what came early for it is heard.
    fn prepared(&mut self, id: usize) -> Result<(), String> {
        let idle = self.dice.below(IDLE_MS);
        self.at(idle, Event::Begin { node: id, life: self.nodes[id].life });
        let (now_ms, start) = (self.now_ms, self.nodes[id].disk.machine.start());
        let early = match &mut self.nodes[id].memory {
            Some(memory) => memory.edge.move_to(now_ms, &start),
            None => Vec::new(),
        };
        for (message, from) in early {
            self.step(id, Input::Verified { message, from })?;
        }
        Ok(())
    }

    /// A committed block came: it is believed for its certificate, executed and committed, and
    /// consensus starts afresh after it, as in the node.
    pub(super) fn catch_up(
        &mut self,
        id: usize,
        from: usize,
        committed: &Committed,
    ) -> Result<(), String> {
        let Committed { block, certificate, .. } = committed;
        let (machine, header) = (&self.nodes[id].disk.machine, &block.header);
        let (chain, start) = (self.founding.chain_id, machine.start());
        if let Err(error) = validity::check_committed(&chain, &start, header, certificate) {
            return self.blame(id, from as u64, &error.to_string());
        }
        let executed = machine.execute(&mut self.shared, block);
        let holds =
            executed.is_some_and(|done| validity::check_outcome(header, done.outcome()).is_ok());
        if !holds {
            return Err(format!("block {} is certified but invalid at node {id}", block.hash()));
        }
        self.report.synced += 1;
        self.commit_block(id, block, certificate)?;
        // A crash may come between the commit and the reset of the log.
        if self.nodes[id].doom.is_some_and(|left| left == 0) {
            self.crash(id);
        }
        if self.nodes[id].memory.is_none() { Ok(()) } else { self.begin_afresh(id) }
    }

    /// A new host at the tip, with an empty log.
    fn begin_afresh(&mut self, id: usize) -> Result<(), String> {
        match self.nodes[id].start_afresh(self.now_ms) {
            Ok(effects) => self.execute(id, effects)?,
            Err(error) => return Err(format!("node {id} does not go on: {error}")),
        }
        self.prepared(id)
    }

    fn perform(&mut self, id: usize, effect: Effect) -> Result<(), String> {
        let (node, life) = (id, self.nodes[id].life);
        match effect {
            Effect::WalReset { .. } => self.nodes[id].disk.reset_log(),
            Effect::WalAppend(entry) => {
                let written = self.nodes[id].disk.append(&entry);
                self.or_stop(id, written);
            }
            Effect::WalFlush => {
                let durable = self.nodes[id].disk.flush();
                self.or_stop(id, durable);
            }
            Effect::StoreBody { block } => self.store(id, block)?,
            Effect::Publish(message) => self.publish(id, message)?,
            Effect::SpreadBody { block } => self.send_to_all(id, &Packet::Offer(block)),
            Effect::RequestBody { block, proposer, from, .. } => {
                self.request(id, block, proposer, from.and_then(|p| usize::try_from(p.0).ok()));
            }
            Effect::ForgetBody { block } => {
                self.memory(id).pool.remove(&block);
            }
            Effect::BuildBlock { round, .. } => {
                let takes = self.dice.between(5, 80);
                self.at(takes, Event::Build { node, life, round });
            }
            Effect::ScheduleTimer { timer, after } => {
                let wait = u64::try_from(after.as_millis()).expect("a short wait");
                let ends_ms = self.now_ms + wait;
                self.memory(id).timers.insert(timer, ends_ms);
                self.at(wait, Event::Timer { node, life, timer });
            }
            Effect::CancelTimer(timer) => {
                self.memory(id).timers.remove(&timer);
            }
            Effect::CancelAllTimers => self.memory(id).timers.clear(),
            Effect::WakeAt { time_ms } => {
                let wait = time_ms.saturating_sub(self.nodes[id].clock.read(self.now_ms));
                self.at(wait, Event::Tick { node, life });
            }
            Effect::StartedRound { height, round, .. } => {
                let now_ms = self.now_ms;
                let memory = self.memory(id);
                memory.edge.enter(height, round);
                memory.round_since_ms = now_ms;
                self.report.round = self.report.round.max(round);
                self.note("round", &[id as u64, height, u64::from(round)]);
            }
            Effect::Decide { block, certificate } => self.commit(id, block, &certificate)?,
            Effect::EvidenceFound(evidence) => {
                self.report.evidence += 1;
                if self.nodes[id].is_honest() {
                    Witness::only_liars_are_accused(&self.plan, &self.founding, &evidence)?;
                    let operation = evidence.operation(&self.founding.chain_id);
                    self.memory(id).evidence.extend(operation);
                }
            }
            Effect::Held { block, .. } => {
                self.report.held += 1;
                self.note("held", &[id as u64, word(&block)]);
            }
            Effect::Misbehaved { peer, reason } => self.blame(id, peer.0, &reason.to_string())?,
            Effect::Warning(_) => {}
        }
        Ok(())
    }

    /// Where a disk refuses, the node stops.
    fn or_stop(&mut self, id: usize, done: Result<(), Refused>) {
        if done == Err(Refused) {
            self.report.refused += 1;
            self.note("refused", &[id as u64]);
            self.crash(id);
        }
    }

    fn memory(&mut self, id: usize) -> &mut super::node::Memory {
        self.nodes[id].memory.as_mut().expect("effects come from a living host")
    }

    fn store(&mut self, id: usize, block: BlockHash) -> Result<(), String> {
        let body = self.nodes[id].body(&block);
        let body = body.ok_or_else(|| format!("node {id} has no body of {block} to store"))?;
        let stored = self.nodes[id].disk.store(block, body);
        self.or_stop(id, stored);
        Ok(())
    }

    fn publish(&mut self, id: usize, message: Verified) -> Result<(), String> {
        let stated = message.message().statement(&self.founding.chain_id);
        if let Some((province, statement, _)) = stated
            && self.nodes[id].province() == Some(province)
        {
            // Order: the mark is durable before anybody hears of it.
            let kept = self.nodes[id].disk.keep_mark(statement);
            self.or_stop(id, kept);
            if self.nodes[id].memory.is_none() {
                return Ok(());
            }
        }
        self.witness.no_honest_node_contradicts_itself(&self.nodes[id], message.message())?;
        let (height, round) = (message.message().height(), message.message().round());
        self.note("publish", &[id as u64, height, u64::from(round)]);
        match self.nodes[id].vice {
            None => self.tell_all(id, message),
            Some(vice) => byzantine::of(vice).publish(self, id, message),
        }
        Ok(())
    }

    /// Sends a message to everybody.
    pub(super) fn tell_all(&mut self, id: usize, message: Verified) {
        let packet = self.wrap(message);
        self.send_to_all(id, &packet);
    }

    /// Fetches a body from wherever it may be.
    fn request(
        &mut self,
        id: usize,
        block: BlockHash,
        proposer: Option<ProvinceCode>,
        from: Option<usize>,
    ) {
        if let Some(body) = self.nodes[id].body(&block) {
            let life = self.nodes[id].life;
            self.at(1, Event::Body { node: id, life, body });
            return;
        }
        let mut from: std::collections::BTreeSet<usize> = from.into_iter().collect();
        from.extend(self.memory(id).holders.get(&block).into_iter().flatten());
        if let Some(province) = proposer {
            from.extend(self.nodes.iter().filter(|n| n.province() == Some(province)).map(|n| n.id));
        }
        from.insert(self.dice.index(self.nodes.len()));
        for to in from.into_iter().filter(|to| *to != id) {
            self.send(id, to, Packet::Want(block));
        }
        if self.plan.retries {
            let (life, height) = (self.nodes[id].life, self.memory(id).host.height());
            self.at(RETRY_MS, Event::Retry { node: id, life, height, block });
        }
    }

    /// Asks again for a body that has not come.
    pub(super) fn retry(&mut self, id: usize, block: BlockHash) {
        if self.nodes[id].body(&block).is_none() {
            self.request(id, block, None, None);
        }
    }

    pub(super) fn ask(&mut self, id: usize, peer: Option<usize>) {
        let height = self.memory(id).host.height();
        if let Some(peer) = peer
            && self.nodes[id].may_ask(height, self.now_ms)
        {
            self.send(id, peer, Packet::Ask(height));
        }
    }

    /// Commits: block, certificate, state and tip at once.
    fn commit(
        &mut self,
        id: usize,
        block: BlockHash,
        certificate: &Certificate,
    ) -> Result<(), String> {
        let body = self.nodes[id].disk.bodies.get(&block).cloned();
        let body = body.ok_or_else(|| format!("node {id} decided {block} without its body"))?;
        self.commit_block(id, &body, certificate)
    }

    fn commit_block(
        &mut self,
        id: usize,
        body: &Arc<Block>,
        certificate: &Certificate,
    ) -> Result<(), String> {
        let (block, height) = (body.hash(), body.header.height);
        let set = self.nodes[id].disk.machine.state().validators().clone();
        let chain = self.founding.chain_id;
        let certified = self.shared.certify(&chain, certificate, &set);
        Witness::every_certificate_verifies(certificate, &set, certified)?;
        let trouble = self.nodes[id].disk.trouble;
        // What could not be made durable may be there all the same when the node starts again.
        if trouble == Some(Trouble::Full) || trouble.is_some() && self.dice.chance(50) {
            self.or_stop(id, Err(Refused));
            return Ok(());
        }
        let disk = &mut self.nodes[id].disk;
        let parent = disk.machine.tip().clone();
        let root = disk.machine.commit(&mut self.shared, body);
        let root =
            root.ok_or_else(|| format!("node {id} decided {block}, which does not apply"))?;
        disk.bodies.clear();
        let (block_of, certificate) = (body.clone(), certificate.clone());
        disk.chain.push(Arc::new(Committed { hash: block, block: block_of, certificate }));
        self.report.changes += u64::from(*disk.machine.state().validators() != set);
        self.report.transactions += body.transactions.len() as u64;
        self.note("decide", &[id as u64, height, word(&block), word(&root)]);
        let node = &self.nodes[id];
        if node.is_honest() {
            self.witness.no_two_honest_nodes_decide_differently(node, height, block)?;
            self.witness.the_same_height_has_the_same_state_root(node, &body.header, root)?;
            Witness::every_header_follows_from_its_parent(&body.header, &parent)?;
            self.witness.a_first_rounds_block_is_its_proposers_own(node, &set)?;
            self.witness.a_block_changes_one_validator_at_most(node, &set)?;
            self.witness.every_transaction_stands_once_and_in_its_window(body)?;
        }
        if trouble.is_some() {
            self.or_stop(id, Err(Refused));
            return Ok(());
        }
        self.witness.acknowledge(&self.nodes[id]);
        Ok(())
    }

    /// Only liars may be blamed.
    pub(super) fn blame(&mut self, id: usize, peer: u64, reason: &str) -> Result<(), String> {
        let blamed = self.nodes.iter().find(|node| node.id as u64 == peer);
        if self.nodes[id].is_honest() && blamed.is_some_and(super::node::Node::is_honest) {
            return Err(format!("node {id} blames honest node {peer}: {reason}"));
        }
        self.report.blamed += 1;
        Ok(())
    }
}
