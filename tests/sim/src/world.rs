//! The scheduler: one queue of events, one clock, one pair of dice.

use std::{collections::BTreeMap, sync::Arc};

use symbolon_consensus::{Effect, Input, Timer, validity};
use symbolon_genesis::founding::AUTHORITY_KEY_ID;
use symbolon_ledger::{
    block::Block,
    hash::{BlockHash, Digest, sha256},
    operation::Actor,
    transaction::SignedTransaction,
};
use thiserror::Error;

use super::{
    agency,
    byzantine::{self, Vice},
    council,
    dice::Dice,
    founding::Founding,
    invariants::Witness,
    links::{Links, Place},
    node::{Node, Unfit},
    plan::Plan,
    post::Packet,
    shared::Shared,
};

/// After it has healed, everybody honest has this long to reach the goal.
const PATIENCE_MS: u64 = 20 * 60_000;
/// A run with more events than this goes in circles.
const MOST_EVENTS: u64 = 5_000_000;
/// Most equivocations that one block's builder brings to it.
const MOST_EVIDENCE: usize = 4;

#[derive(Debug)]
pub(super) enum Event {
    Packet {
        to: usize,
        from: usize,
        packet: Packet,
    },
    /// The rest concern one life of one node.
    Timer {
        node: usize,
        life: u64,
        timer: Timer,
    },
    Tick {
        node: usize,
        life: u64,
    },
    Build {
        node: usize,
        life: u64,
        round: u32,
    },
    Body {
        node: usize,
        life: u64,
        body: Arc<Block>,
    },
    Retry {
        node: usize,
        life: u64,
        height: u64,
        block: BlockHash,
    },
    Begin {
        node: usize,
        life: u64,
    },
    Restart {
        node: usize,
    },
    Gossip {
        node: usize,
    },
    Weather,
    Heal,
}

impl Event {
    /// The node that has to be running for it.
    fn of(&self) -> Option<usize> {
        match self {
            Self::Packet { to: node, .. }
            | Self::Timer { node, .. }
            | Self::Tick { node, .. }
            | Self::Build { node, .. }
            | Self::Body { node, .. }
            | Self::Retry { node, .. }
            | Self::Begin { node, .. }
            | Self::Gossip { node } => Some(*node),
            Self::Restart { .. } | Self::Weather | Self::Heal => None,
        }
    }
}

/// What a run was like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Hash of everything that happened, in order.
    pub history: Digest,
    /// Events that happened.
    pub events: u64,
    /// Highest height decided.
    pub height: u64,
    /// Highest round begun.
    pub round: u32,
    /// Crashes.
    pub crashes: u64,
    /// Crashes that tore an entry of the log in two.
    pub torn: u64,
    /// Restarts that replayed a log.
    pub replays: u64,
    /// Times that a node stopped because its disk refused.
    pub refused: u64,
    /// Disks with turned bits.
    pub flips: u64,
    /// Nodes that had to begin anew.
    pub anew: u64,
    /// Nodes that stood still for a while.
    pub pauses: u64,
    /// Clocks that jumped.
    pub jumps: u64,
    /// Packets sent.
    pub packets: u64,
    /// Transactions committed, counted once for every node.
    pub transactions: u64,
    /// Blocks that were committed through block sync.
    pub synced: u64,
    /// Pairs of contradictions found.
    pub evidence: u64,
    /// Messages and blocks for which a liar was blamed.
    pub blamed: u64,
    /// Blocks that had to wait for a clock.
    pub held: u64,
    /// Changes of the validator set, counted once for every node.
    pub changes: u64,
    /// Disks that came back as they were once, or their logs.
    pub restored: u64,
    /// Equivocations that stand in the state at the end.
    pub convicted: u64,
}

/// A sentence did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{at_ms} ms after the founding: {what}\nreplay: SYMBOLON_REPLAY={} cargo test --release \
     --workspace --locked --test simulation replay -- --nocapture\nthe plan was {plan:?}",
    plan.name
)]
pub struct Failure {
    /// When.
    pub at_ms: u64,
    /// Which sentence, and who broke it.
    pub what: String,
    /// The plan.
    pub plan: Box<Plan>,
}

/// A network and all that happens to it.
#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) founding: Arc<Founding>,
    pub(super) shared: Shared,
    pub(super) dice: Dice,
    pub(super) now_ms: u64,
    pub(super) nodes: Vec<Node>,
    pub(super) witness: Witness,
    pub(super) report: Report,
    pub(super) links: Links,
    pub(super) healed: bool,
    pub(super) goal: Option<u64>,
    queue: BTreeMap<(u64, u64), Event>,
    number: u64,
}

/// Runs a plan to its end.
///
/// # Errors
///
/// [`Failure`] when a sentence of [`super::invariants`] does not hold.
pub fn run(plan: &Plan) -> Result<Report, Failure> {
    let mut world = World::new(plan.clone());
    match world.live() {
        Ok(()) => Ok(world.report),
        Err(what) => Err(Failure { at_ms: world.now_ms, what, plan: Box::new(plan.clone()) }),
    }
}

impl World {
    fn new(plan: Plan) -> Self {
        let (mut dice, founding) = (Dice::new(plan.seed), Founding::of(plan.validators));
        // Every seat once, every twin's seat a second time, then the observers.
        let twins = (0..plan.validators).filter(|seat| plan.vice(*seat) == Some(Vice::Twin));
        let seats: Vec<Option<usize>> = (0..plan.validators)
            .chain(twins)
            .map(Some)
            .chain(std::iter::repeat_n(None, plan.observers))
            .collect();
        let node =
            |(id, seat): (usize, Option<usize>)| Node::new(id, seat, &founding, &plan, &mut dice);
        let nodes: Vec<Node> = seats.into_iter().enumerate().map(node).collect();
        let place = |node: &Node| Place {
            honest: node.is_honest(),
            side: match node.vice {
                None => Some(node.id % 2),
                Some(Vice::Twin) => Some(usize::from(node.id >= plan.validators)),
                Some(_) => None,
            },
        };
        Self {
            links: Links::new(nodes.iter().map(place).collect()),
            shared: Shared::new(plan.exact),
            witness: Witness::new(&plan, &founding),
            founding,
            plan,
            dice,
            now_ms: 0,
            nodes,
            report: Report::default(),
            queue: BTreeMap::new(),
            number: 0,
            healed: false,
            goal: None,
        }
    }

    fn live(&mut self) -> Result<(), String> {
        for node in 0..self.nodes.len() {
            self.start(node)?;
            self.at(node as u64 * 10, Event::Gossip { node });
        }
        self.at(500, Event::Weather);
        self.at(self.plan.chaos_ms, Event::Heal);
        while let Some(((at_ms, number), event)) = self.queue.pop_first() {
            self.now_ms = at_ms;
            let paused_until = event.of().map_or(0, |node| self.nodes[node].paused_until);
            if paused_until > at_ms {
                self.queue.insert((paused_until, number), event);
                continue;
            }
            self.report.events += 1;
            self.happen(event)?;
            if let Some(goal) = self.goal {
                if self.nodes.iter().all(|n| !n.is_honest() || n.disk.height() >= goal) {
                    return self.conclude();
                }
                let late = at_ms > self.plan.chaos_ms + PATIENCE_MS || number > MOST_EVENTS;
                if late {
                    Witness::everybody_honest_goes_on_after_it_heals(&self.nodes, goal)?;
                }
            }
        }
        Err("nothing left to happen".into())
    }

    fn conclude(&mut self) -> Result<(), String> {
        self.report.height = self.witness.highest();
        self.nodes.iter().try_for_each(|node| {
            self.witness.no_committed_block_is_lost(node)?;
            self.witness.no_acknowledged_transaction_is_lost(node)
        })?;
        let honest = self.nodes.iter().find(|node| node.is_honest());
        let Some(node) = honest else { return Ok(()) };
        Witness::every_record_agrees_with_every_other(node)?;
        self.report.convicted = self.witness.the_chain_accuses_only_liars(node)?;
        Ok(())
    }

    /// Has `event` happen in so many milliseconds. Gives its number.
    pub(super) fn at(&mut self, in_ms: u64, event: Event) -> u64 {
        self.number += 1;
        self.queue.insert((self.now_ms + in_ms, self.number), event);
        self.number
    }

    /// Adds to the history.
    pub(super) fn note(&mut self, what: &str, numbers: &[u64]) {
        let mut bytes = self.report.history.0.to_vec();
        bytes.extend(what.as_bytes());
        bytes.extend(self.now_ms.to_be_bytes());
        bytes.extend(numbers.iter().flat_map(|n| n.to_be_bytes()));
        self.report.history = sha256(&bytes);
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Packet { to, from, packet } => self.deliver(to, from, packet),
            Event::Timer { node, life, timer } => {
                let ends = self.ends(node, life, timer);
                if ends { self.step(node, Input::TimeoutElapsed(timer)) } else { Ok(()) }
            }
            Event::Tick { node, life } => self.if_alive(node, life, Input::Tick),
            Event::Begin { node, life } => self.if_alive(node, life, Input::Begin),
            Event::Build { node, life, round } => self.build(node, life, round),
            Event::Body { node, life, body } => {
                if self.lives(node, life) {
                    self.give_body(node, body)
                } else {
                    Ok(())
                }
            }
            Event::Retry { node, life, height, block } => {
                if self.lives(node, life) && self.nodes[node].disk.height() + 1 == height {
                    self.retry(node, block);
                }
                Ok(())
            }
            Event::Restart { node } => self.start(node),
            Event::Gossip { node } => {
                self.gossip(node);
                Ok(())
            }
            Event::Weather => {
                self.weather();
                Ok(())
            }
            Event::Heal => {
                self.heal();
                Ok(())
            }
        }
    }

    fn lives(&self, node: usize, life: u64) -> bool {
        self.nodes[node].life == life && self.nodes[node].memory.is_some()
    }

    fn if_alive(&mut self, node: usize, life: u64, input: Input) -> Result<(), String> {
        if self.lives(node, life) { self.step(node, input) } else { Ok(()) }
    }

    /// Whether this event is the one that ends the timer, and not one of an earlier schedule.
    fn ends(&mut self, node: usize, life: u64, timer: Timer) -> bool {
        if !self.lives(node, life) {
            return false;
        }
        let now_ms = self.now_ms;
        let memory = self.nodes[node].memory.as_mut().expect("it lives");
        let due = memory.timers.get(&timer).is_some_and(|ends_ms| *ends_ms <= now_ms);
        if due {
            memory.timers.remove(&timer);
        }
        due
    }

    pub(super) fn start(&mut self, id: usize) -> Result<(), String> {
        let effects = match self.nodes[id].start(self.now_ms) {
            Ok(effects) => effects,
            Err(Unfit::Damaged) => {
                self.begin_anew(id);
                return Ok(());
            }
            Err(Unfit::Host(error)) if self.nodes[id].is_honest() => {
                return Err(format!("node {id} does not start: {error}"));
            }
            // Its log holds votes of its twin under its own name: it finds itself a liar.
            Err(Unfit::Host(_)) => return Ok(()),
        };
        self.witness.no_committed_block_is_lost(&self.nodes[id])?;
        self.witness.no_acknowledged_transaction_is_lost(&self.nodes[id])?;
        let replayed = effects.iter().any(|e| matches!(e, Effect::StartedRound { .. }));
        self.report.replays += u64::from(replayed);
        self.note("start", &[id as u64, u64::from(replayed)]);
        self.execute(id, effects)?;
        let begin = self.dice.below(500);
        self.at(begin, Event::Begin { node: id, life: self.nodes[id].life });
        Ok(())
    }

    /// The operator of a node with a damaged disk gives the disk up. What the node has signed is
    /// known by its mark, or not at all: then it looks on for a while.
    fn begin_anew(&mut self, id: usize) {
        let mark_too = self.dice.chance(50);
        self.nodes[id].begin_anew(mark_too);
        self.witness.forgive(id);
        self.report.anew += 1;
        self.note("anew", &[id as u64, u64::from(mark_too)]);
        let rest = self.dice.between(1_000, 8_000);
        self.at(rest, Event::Restart { node: id });
    }

    pub(super) fn crash(&mut self, id: usize) {
        let torn = self.nodes[id].crash(&mut self.dice);
        self.report.torn += u64::from(torn);
        self.report.crashes += 1;
        self.note("crash", &[id as u64]);
        let rest = self.dice.between(50, 4_000);
        self.at(rest, Event::Restart { node: id });
    }

    /// Gives a host one input and does what it asks for.
    pub(super) fn step(&mut self, id: usize, input: Input) -> Result<(), String> {
        let node = &mut self.nodes[id];
        let clock = node.clock.read(self.now_ms);
        let Some(memory) = &mut node.memory else { return Ok(()) };
        match memory.host.step(clock, input) {
            Ok(effects) => self.execute(id, effects),
            Err(error) if node.is_honest() => Err(format!("node {id} stopped: {error}")),
            // A liar that has talked itself into a corner stays there.
            Err(_) => {
                node.memory = None;
                Ok(())
            }
        }
    }

    fn build(&mut self, id: usize, life: u64, round: u32) -> Result<(), String> {
        let (true, Some(seat)) = (self.lives(id, life), self.nodes[id].seat) else {
            return Ok(());
        };
        let wishes = self.wishes(id, seat);
        let (node, now_ms) = (&self.nodes[id], self.now_ms);
        let machine = &node.disk.machine;
        let time_ms = validity::proposal_time(node.clock.read(now_ms), machine.tip());
        let block = machine.build(&mut self.shared, self.founding.province(seat), time_ms, wishes);
        match self.nodes[id].vice {
            None => self.offer(id, round, block),
            Some(vice) => byzantine::of(vice).build(self, id, round, block),
        }
    }

    /// What a builder has at hand: the wishes of its province and agency, the words of the provinces,
    /// and what convicts a liar.
    fn wishes(&mut self, id: usize, seat: usize) -> Vec<SignedTransaction> {
        let (founding, disk, dice) = (&self.founding, &self.nodes[id].disk, &mut self.dice);
        let mut wishes = Vec::new();
        if self.plan.wishes {
            wishes.extend(agency::wishes(founding, seat, &disk.chain, dice));
        }
        if self.plan.governs {
            wishes.extend(council::words(founding, disk.machine.state(), dice));
        }
        if let Some(memory) = &self.nodes[id].memory {
            let (keys, height) = (founding.keys(seat), disk.height() + 1);
            let signer = (Actor::Province(keys.province), AUTHORITY_KEY_ID, &keys.authority);
            let newest = memory.evidence.iter().rev().take(MOST_EVIDENCE).cloned();
            wishes.extend(newest.map(|found| agency::sign(founding, signer, found, height, dice)));
        }
        wishes
    }

    /// Hands a host the block that it asked for.
    pub(super) fn offer(&mut self, id: usize, round: u32, block: Block) -> Result<(), String> {
        let header = block.header.clone();
        let Some(memory) = &mut self.nodes[id].memory else { return Ok(()) };
        if memory.host.height() != header.height {
            return Ok(());
        }
        memory.pool.insert(header.hash(), Arc::new(block));
        self.step(id, Input::BlockBuilt { round, header })
    }

    /// Hands a node a body: it executes it and tells its host what it is worth.
    pub(super) fn give_body(&mut self, id: usize, block: Arc<Block>) -> Result<(), String> {
        let node = &mut self.nodes[id];
        let Some(memory) = &mut node.memory else { return Ok(()) };
        let (header, hash) = (block.header.clone(), block.hash());
        if memory.host.height() != header.height {
            return Ok(());
        }
        let executed = node.disk.machine.execute(&mut self.shared, &block);
        let valid = executed
            .is_some_and(|executed| validity::check_outcome(&header, executed.outcome()).is_ok());
        memory.pool.insert(hash, block);
        self.step(id, Input::BodyValidated { header, valid })
    }
}
