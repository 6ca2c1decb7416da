//! The scheduler: one queue of events, one clock, one pair of dice.

use std::collections::BTreeMap;

use symbolon_consensus::{Effect, Input, Timer, validity};
use symbolon_ledger::{
    block::Block,
    hash::{BlockHash, Digest, sha256},
};
use thiserror::Error;

use super::{
    agency,
    dice::Dice,
    founding::Founding,
    invariants::Witness,
    node::Node,
    plan::{Plan, Splits},
    post::Packet,
    twin,
};

/// After it has healed, everybody honest has this long to reach the goal.
const PATIENCE_MS: u64 = 20 * 60_000;
/// A run with more events than this goes in circles.
const MOST_EVENTS: u64 = 5_000_000;

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
        body: Block,
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

/// What a run was like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Hash of everything that happened, in order.
    pub history: Digest,
    /// Highest height decided.
    pub height: u64,
    /// Highest round begun.
    pub round: u32,
    /// Crashes.
    pub crashes: u64,
    /// Restarts that replayed a log.
    pub replays: u64,
    /// Packets sent.
    pub packets: u64,
    /// Transactions committed, counted once for every node.
    pub transactions: u64,
    /// Blocks that were committed through block sync.
    pub synced: u64,
    /// Pairs of contradictions found.
    pub evidence: u64,
    /// Blocks that had to wait for a clock.
    pub held: u64,
}

/// A sentence did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{at_ms} ms after the founding: {what}\nreplay with SYMBOLON_SEED={seed}; the plan was {plan:?}"
)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
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
    pub(super) dice: Dice,
    pub(super) now_ms: u64,
    pub(super) nodes: Vec<Node>,
    pub(super) witness: Witness,
    pub(super) report: Report,
    queue: BTreeMap<(u64, u64), Event>,
    number: u64,
    pub(super) sides: Vec<u64>,
    pub(super) healed: bool,
    goal: Option<u64>,
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
        Err(what) => Err(Failure {
            seed: plan.seed,
            at_ms: world.now_ms,
            what,
            plan: Box::new(plan.clone()),
        }),
    }
}

impl World {
    fn new(plan: Plan) -> Self {
        let mut dice = Dice::new(plan.seed);
        // Every seat once, every liar's seat a second time, then the observers.
        let liars = (0..plan.validators).filter(|seat| plan.is_liar(*seat));
        let seats: Vec<Option<usize>> = (0..plan.validators)
            .chain(liars)
            .map(Some)
            .chain(std::iter::repeat_n(None, plan.observers))
            .collect();
        let node = |(id, seat): (usize, Option<usize>)| {
            let honest = seat.is_none_or(|seat| !plan.is_liar(seat));
            Node::new(id, seat, honest, &plan, &mut dice)
        };
        let nodes: Vec<Node> = seats.into_iter().enumerate().map(node).collect();
        Self {
            sides: vec![0; nodes.len()],
            plan,
            dice,
            now_ms: 0,
            nodes,
            witness: Witness::default(),
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
            self.happen(event)?;
            if let Some(goal) = self.goal {
                if self.nodes.iter().all(|n| !n.honest || n.disk.height() >= goal) {
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
        })
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
                self.healed = true;
                self.sides.fill(0);
                self.nodes.iter_mut().for_each(|n| n.doom = None);
                self.goal = Some(self.witness.highest() + self.plan.goal);
                self.note("heal", &[]);
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
        let due = memory.timers.get(&timer).is_some_and(|ends_ms| *ends_ms == now_ms);
        if due {
            memory.timers.remove(&timer);
        }
        due
    }

    pub(super) fn start(&mut self, id: usize) -> Result<(), String> {
        let effects = match self.nodes[id].start(self.now_ms) {
            Ok(effects) => effects,
            Err(error) if self.nodes[id].honest => {
                return Err(format!("node {id} does not start: {error}"));
            }
            // Its log holds votes of its twin under its own name: it finds itself a liar.
            Err(_) => return Ok(()),
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

    pub(super) fn crash(&mut self, id: usize) {
        self.nodes[id].crash(&mut self.dice);
        self.report.crashes += 1;
        self.note("crash", &[id as u64]);
        let rest = self.dice.between(50, 4_000);
        self.at(rest, Event::Restart { node: id });
    }

    /// Gives a host one input and does what it asks for.
    pub(super) fn step(&mut self, id: usize, input: Input) -> Result<(), String> {
        let clock = self.nodes[id].clock(self.now_ms);
        let Some(memory) = &mut self.nodes[id].memory else { return Ok(()) };
        match memory.host.step(clock, input) {
            Ok(effects) => self.execute(id, effects),
            Err(error) if self.nodes[id].honest => Err(format!("node {id} stopped: {error}")),
            // A liar that has talked itself into a corner stays there.
            Err(_) => {
                self.nodes[id].memory = None;
                Ok(())
            }
        }
    }

    fn build(&mut self, id: usize, life: u64, round: u32) -> Result<(), String> {
        let (true, Some(seat)) = (self.lives(id, life), self.nodes[id].seat) else {
            return Ok(());
        };
        let founding = Founding::of(self.plan.validators);
        let node = &mut self.nodes[id];
        let machine = &node.disk.machine;
        let time_ms = validity::proposal_time(node.clock(self.now_ms), machine.tip());
        let mut wishes = agency::wishes(&founding, seat, node.disk.height() + 1, &mut self.dice);
        // Something that was committed already is handed in again.
        let last = node.disk.chain.last();
        wishes.extend(last.and_then(|committed| committed.block.transactions.first()).cloned());
        let mut block = machine.build(founding.province(seat), time_ms, wishes);
        if !node.honest {
            let another = founding.province((seat + 1) % founding.seats());
            twin::falsify(&mut block, another, &mut self.dice);
        }
        let header = block.header.clone();
        let memory = node.memory.as_mut().expect("it lives");
        if memory.host.height() != header.height {
            return Ok(());
        }
        memory.pool.insert(block.hash(), block);
        if header.proposer != Some(founding.province(seat)) {
            self.lie(id, round, header.hash());
            return Ok(());
        }
        self.step(id, Input::BlockBuilt { round, header })
    }

    pub(super) fn give_body(&mut self, id: usize, block: Block) -> Result<(), String> {
        let node = &mut self.nodes[id];
        let Some(memory) = &mut node.memory else { return Ok(()) };
        let (header, hash) = (block.header.clone(), block.hash());
        if memory.host.height() != header.height {
            return Ok(());
        }
        let machine = &node.disk.machine;
        let valid = match machine.execute(&block) {
            None => false,
            Some(executed) => {
                let outcome = machine.outcome(&block, &executed);
                memory.executed.insert(hash, executed);
                validity::check_outcome(&header, &outcome).is_ok()
            }
        };
        memory.pool.insert(hash, block);
        self.step(id, Input::BodyValidated { header, valid })
    }

    fn weather(&mut self) {
        if self.healed {
            return;
        }
        for id in 0..self.nodes.len() {
            self.sides[id] = match self.plan.splits {
                Splits::Never => 0,
                Splits::AtRandom => self.dice.below(2),
                Splits::AlongTheLiars if self.nodes[id].honest => id as u64 % 2,
                Splits::AlongTheLiars => u64::from(id >= self.plan.validators),
            };
        }
        if self.plan.splits == Splits::AtRandom && self.dice.chance(50)
            || self.plan.splits == Splits::AlongTheLiars && self.dice.chance(25)
        {
            self.sides.fill(0);
        }
        if self.plan.crashes && self.dice.chance(60) {
            let victim = self.dice.index(self.nodes.len());
            self.nodes[victim].doom = Some(self.dice.below(30));
        }
        self.note("weather", &self.sides.clone());
        let pause = self.dice.between(200, 1_200);
        self.at(pause, Event::Weather);
    }
}
