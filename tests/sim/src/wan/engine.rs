//! A node's engine: one input after the other, each effect finished before the next, and the clock
//! moved by every synced write on the way. What each effect does is what the node's `engine/` does.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use symbolon_consensus::{Effect, Input, Peer, Timer, Verified, validity};
use symbolon_ledger::{certificate::Certificate, hash::BlockHash};

use super::{
    chain::Body,
    pipes::SECOND_NS,
    world::{Event, MS, World},
};
use crate::plan::EPOCH_MS;

/// An idle network makes a block this often (`DEFAULT_IDLE_BLOCK_INTERVAL_MS`).
const IDLE_NS: u64 = 10 * SECOND_NS;
/// Transactions that a proposer looks at, at most (`MAX_CANDIDATES`).
const MAX_CANDIDATES: usize = 5_000;

/// What the engine has to do.
#[derive(Debug)]
pub(super) enum Work {
    /// Something for the host.
    Step(Box<Input>),
    /// A message that passed the edge.
    Hear { message: Box<Verified>, from: usize },
    /// There are transactions.
    Begin,
    /// The idle interval has passed.
    Due { height: u64 },
    /// A timer may have run out.
    Timer(Timer),
    /// A body came.
    Body(Arc<Body>),
    /// A body was executed.
    Examined(Arc<Body>),
    /// A block was built.
    Built { round: u32, body: Arc<Body> },
    /// A body was not to be had.
    Failed { block: BlockHash, height: u64 },
    /// Blocks came for a node that is behind.
    Synced { first: u64, count: u64 },
}

impl World {
    pub(super) fn work(&mut self, id: usize, work: Work) -> Result<(), String> {
        let node = &mut self.nodes[id];
        let height = node.host.height();
        match work {
            Work::Step(input) => self.step(id, *input),
            Work::Hear { message, from } => {
                self.step(id, Input::Verified { message: *message, from: Peer(from as u64) })
            }
            Work::Begin if node.host.is_begun() || node.pool.is_empty() => Ok(()),
            Work::Due { height: due } if node.host.is_begun() || height != due => Ok(()),
            Work::Begin | Work::Due { .. } => self.step(id, Input::Begin),
            Work::Timer(timer) => {
                if node.timers.get(&timer).is_none_or(|ends_ns| *ends_ns > self.now_ns) {
                    return Ok(());
                }
                node.timers.remove(&timer);
                self.step(id, Input::TimeoutElapsed(timer))
            }
            Work::Body(body) => {
                self.received(id, body);
                Ok(())
            }
            Work::Examined(body) => self.examined(id, body),
            Work::Built { round, body } => self.built(id, round, body),
            Work::Failed { block, height: of } => {
                if of == height && node.wanted.contains(&block) {
                    self.fetch(id, block, height, None);
                }
                Ok(())
            }
            Work::Synced { first, count } => self.synced(id, first, count),
        }
    }

    fn step(&mut self, id: usize, input: Input) -> Result<(), String> {
        self.drive(id, self.now_ns, VecDeque::from([input]))
    }

    /// Does what a host has asked for at its start, and what follows.
    pub(super) fn execute(&mut self, id: usize, effects: Vec<Effect>) -> Result<(), String> {
        let (mut at_ns, mut inputs) = (self.now_ns, VecDeque::new());
        for effect in effects {
            self.perform(id, effect, &mut at_ns, &mut inputs)?;
        }
        self.drive(id, at_ns, inputs)
    }

    /// Gives inputs to the host until nothing follows from them any more.
    pub(super) fn drive(
        &mut self,
        id: usize,
        from_ns: u64,
        mut inputs: VecDeque<Input>,
    ) -> Result<(), String> {
        let (mut at_ns, before) = (from_ns, self.nodes[id].tip);
        while let Some(input) = inputs.pop_front() {
            let begun = (self.clock)();
            let effects = self.nodes[id].host.step(Self::wall_ms(at_ns), input);
            self.processor.step_ns += (self.clock)().saturating_sub(begun);
            self.counts.steps += 1;
            for effect in effects.map_err(|error| format!("node {id} stopped: {error}"))? {
                self.perform(id, effect, &mut at_ns, &mut inputs)?;
            }
        }
        self.nodes[id].engine_free_ns = at_ns;
        if self.nodes[id].tip != before {
            self.examine_ahead(id);
        }
        Ok(())
    }

    fn perform(
        &mut self,
        id: usize,
        effect: Effect,
        at_ns: &mut u64,
        inputs: &mut VecDeque<Input>,
    ) -> Result<(), String> {
        let (node, sync_ns) = (id, self.plan.costs.sync_ns);
        match effect {
            Effect::WalFlush | Effect::StoreBody { .. } => *at_ns += sync_ns,
            Effect::Publish(message) => {
                let stated = message.message().statement(&self.founding.chain_id);
                if stated.is_some_and(|(province, ..)| province == self.nodes[id].province) {
                    // The mark beside the key is durable before anybody hears of it.
                    *at_ns += sync_ns;
                }
                self.at(*at_ns, Event::Publish { node, message: Box::new(message) });
            }
            Effect::SpreadBody { block } => {
                if let Some(body) = self.body(id, &block) {
                    self.at(*at_ns, Event::Spread { node, body });
                }
            }
            Effect::RequestBody { block, height, from, .. } => {
                let from = from.and_then(|peer| usize::try_from(peer.0).ok());
                inputs.extend(self.request_body(id, block, height, from));
            }
            Effect::ForgetBody { block } => {
                self.nodes[id].wanted.remove(&block);
            }
            Effect::BuildBlock { round, .. } => self.build(id, round, *at_ns),
            Effect::StartedRound { height, round, .. } => {
                self.nodes[id].edge.enter(height, round);
                self.learn_from_lost(id, round, *at_ns);
                self.nodes[id].rounds_began_ns.insert(round, *at_ns);
                self.round = self.round.max(round);
                self.examine_ahead(id);
            }
            Effect::Decide { block, certificate } => {
                *at_ns += sync_ns;
                self.decide(id, block, &certificate, *at_ns, inputs)?;
            }
            Effect::Misbehaved { peer, reason } => {
                return Err(format!("node {id} blames node {}: {reason}", peer.0));
            }
            Effect::EvidenceFound(found) => {
                return Err(format!("node {id} convicts {}", found.province));
            }
            other => self.wait(id, &other, *at_ns),
        }
        Ok(())
    }

    /// The effects that move timers, and those that change nothing here.
    fn wait(&mut self, node: usize, effect: &Effect, at_ns: u64) {
        match effect {
            Effect::ScheduleTimer { timer, after } => {
                let after_ns = u64::try_from(after.as_nanos()).expect("a short wait");
                self.nodes[node].timers.insert(*timer, at_ns + after_ns);
                self.at(at_ns + after_ns, Event::Engine { node, work: Work::Timer(*timer) });
            }
            Effect::CancelTimer(timer) => {
                self.nodes[node].timers.remove(timer);
            }
            Effect::CancelAllTimers => self.nodes[node].timers.clear(),
            Effect::WakeAt { time_ms } => {
                let due_ns = time_ms.saturating_sub(EPOCH_MS).saturating_mul(MS).max(at_ns);
                self.at(due_ns, Event::Engine { node, work: Work::Step(Box::new(Input::Tick)) });
            }
            _ => {}
        }
    }

    /// Builds a block on a worker thread.
    fn build(&mut self, id: usize, round: u32, at_ns: u64) {
        let node = &mut self.nodes[id];
        // While this node was slow, others have decided: its block would come to nothing.
        if self.chain.height() != node.tip {
            return;
        }
        let time_ms = validity::proposal_time(Self::wall_ms(at_ns), &node.host.start().parent);
        let waiting = node.pool.keys().map(|place| &self.transactions[*place as usize].signed);
        let begun = (self.clock)();
        let (waiting, most) = (waiting.take(MAX_CANDIDATES), node.reach.most_bytes(round));
        let body = self.chain.build(node.province, time_ms, waiting, most);
        self.processor.build_ns += (self.clock)().saturating_sub(begun);
        self.processor.built += body.operations;
        let takes_ns = self.plan.costs.execute_ns * body.operations;
        let done_ns = node.executor.done_ns(at_ns, takes_ns);
        self.at(done_ns, Event::Engine { node: id, work: Work::Built { round, body } });
    }

    /// A block of the round `of` was decided, or lost to the round `to`, at `at_ns`.
    fn learn(&mut self, id: usize, bytes: u64, (of, to): (u32, u32), at_ns: u64) {
        let node = &mut self.nodes[id];
        let Some(began_ns) = node.rounds_began_ns.get(&of) else { return };
        let took = Duration::from_nanos(at_ns.saturating_sub(*began_ns));
        node.reach.learn(usize::try_from(bytes).expect("a block's length"), to, took);
    }

    fn learn_from_lost(&mut self, id: usize, round: u32, at_ns: u64) {
        if let Some((of, bytes)) = self.nodes[id].built.take_if(|(of, _)| *of < round) {
            self.learn(id, bytes, (of, round), at_ns);
        }
    }

    fn built(&mut self, id: usize, round: u32, body: Arc<Body>) -> Result<(), String> {
        let node = &mut self.nodes[id];
        if body.block.header.parent != node.host.start().parent.hash() {
            return Ok(());
        }
        let header = body.block.header.clone();
        node.built = Some((round, body.bytes));
        node.bodies.insert(body.hash, body);
        self.step(id, Input::BlockBuilt { round, header })
    }

    /// Commits the decided block, and prepares the next height.
    fn decide(
        &mut self,
        id: usize,
        block: BlockHash,
        certificate: &Certificate,
        at_ns: u64,
        inputs: &mut VecDeque<Input>,
    ) -> Result<(), String> {
        let body = self.nodes[id].bodies.get(&block).cloned();
        let body = body.ok_or_else(|| format!("node {id} decided {block} without its body"))?;
        let round = certificate.round;
        self.learn(id, body.bytes, (round, round), at_ns);
        self.commit(id, &body, certificate.signatures.len(), at_ns)?;
        let start = self.chain.start_after(self.nodes[id].tip).clone();
        self.prepared(id, at_ns);
        inputs.push_back(Input::StartHeight(start));
        if !self.nodes[id].pool.is_empty() {
            inputs.push_back(Input::Begin);
        }
        Ok(())
    }

    /// A block is this node's newest.
    pub(super) fn commit(
        &mut self,
        id: usize,
        body: &Arc<Body>,
        signatures: usize,
        at_ns: u64,
    ) -> Result<(), String> {
        let height = body.block.header.height;
        let is_first = self.chain.commit(body, signatures, at_ns)?;
        let node = &mut self.nodes[id];
        node.tip = height;
        for place in &body.transactions {
            node.pool.remove(place);
            let transaction = &mut self.transactions[*place as usize];
            if is_first {
                transaction.height = Some(height);
            }
            if transaction.seat == id {
                transaction.final_ns.get_or_insert(at_ns);
            }
        }
        node.begin_height();
        self.note(id, at_ns, &body.hash);
        if let Some(proposed_ns) = self.proposed_ns.get(&body.hash).copied()
            && self.is_measured(at_ns)
        {
            self.decision_ns.push(at_ns - proposed_ns);
        }
        self.offer_again(id);
        Ok(())
    }

    /// A height is prepared: what came early for it is heard, and it begins at the latest when the
    /// idle interval has passed.
    pub(super) fn prepared(&mut self, id: usize, at_ns: u64) {
        let start = self.chain.start_after(self.nodes[id].tip).clone();
        let check_ns = self.plan.costs.check_ns;
        for (message, from) in self.nodes[id].edge.move_to(at_ns / MS, &start) {
            let done_ns = self.nodes[id].checker.done_ns(at_ns, check_ns);
            let from = usize::try_from(from.0).expect("a node's number");
            let work = Work::Hear { message: Box::new(message), from };
            self.at(done_ns, Event::Engine { node: id, work });
        }
        let work = Work::Due { height: start.height() };
        self.at(at_ns + IDLE_NS, Event::Engine { node: id, work });
    }
}
