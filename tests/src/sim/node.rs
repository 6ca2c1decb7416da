//! What a simulated node keeps: a disk, which survives, and everything else, which does not.
//!
//! The disk tells flushed from merely written. A crash keeps what was flushed, and of what was
//! only appended to the log a part that chance decides, as an operating system would.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use symbolon_consensus::{Config, Effect, Host, HostError, Timer, Timing, edge::Edge};
use symbolon_ledger::{
    block::Block, certificate::Certificate, codes::ProvinceCode, hash::BlockHash,
};

use super::{
    dice::Dice,
    founding::Founding,
    machine::{Executed, Machine},
    plan::{EPOCH_MS, Plan},
};

/// Pause before a node asks for the same height again.
const ASK_AGAIN_MS: u64 = 300;

/// A committed block.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The block.
    pub block: Block,
    /// Its certificate.
    pub certificate: Certificate,
}

/// What survives a crash.
#[derive(Debug)]
pub struct Disk {
    /// Blocks 1 and up.
    pub chain: Vec<Committed>,
    /// The state after them, in the same batch as the last one.
    pub machine: Machine,
    /// Bodies of the undecided height.
    pub bodies: BTreeMap<BlockHash, Block>,
    log: Vec<Vec<u8>>,
    flushed: usize,
    lies: bool,
}

impl Disk {
    fn new(plan: &Plan) -> Self {
        Self {
            chain: Vec::new(),
            machine: Machine::founded(plan),
            bodies: BTreeMap::new(),
            log: Vec::new(),
            flushed: 0,
            lies: plan.lying_disks,
        }
    }

    /// Height of the tip.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.machine.tip().height
    }

    /// The committed block at `height`, if it is there.
    #[must_use]
    pub fn committed(&self, height: u64) -> Option<&Committed> {
        let at = usize::try_from(height.checked_sub(1)?).ok()?;
        self.chain.get(at)
    }

    /// Empties the log.
    pub fn reset_log(&mut self) {
        self.log.clear();
        self.flushed = 0;
    }

    /// Appends to the log.
    pub fn append(&mut self, entry: &[u8]) {
        self.log.push(entry.to_vec());
    }

    /// Makes the log durable.
    pub fn flush(&mut self) {
        if !self.lies {
            self.flushed = self.log.len();
        }
    }

    fn lose(&mut self, dice: &mut Dice) {
        let unflushed = (self.log.len() - self.flushed) as u64;
        let kept = usize::try_from(dice.below(unflushed + 1)).expect("few entries");
        self.log.truncate(self.flushed + kept);
    }
}

/// What a crash takes.
#[derive(Debug)]
pub struct Memory {
    /// The host.
    pub host: Host,
    /// What stands in front of it.
    pub edge: Edge,
    /// Bodies built or fetched and not yet stored.
    pub pool: BTreeMap<BlockHash, Block>,
    /// What was executed and not yet committed.
    pub executed: BTreeMap<BlockHash, Executed>,
    /// Nodes that offered a body.
    pub holders: BTreeMap<BlockHash, BTreeSet<usize>>,
    /// Running timers, each with the time at which it ends.
    pub timers: BTreeMap<Timer, u64>,
    /// The height last asked for, and when.
    asked: (u64, u64),
}

/// One node.
#[derive(Debug)]
pub struct Node {
    /// Its place in the world.
    pub id: usize,
    /// Its seat; none for an observer.
    pub seat: Option<usize>,
    /// Whether it keeps the rules.
    pub honest: bool,
    /// How far its clock is ahead, in milliseconds.
    pub skew_ms: i64,
    founding: Arc<Founding>,
    /// What survives a crash.
    pub disk: Disk,
    /// What does not; none while it is down.
    pub memory: Option<Memory>,
    /// Counts its lives, so that events of an earlier one are void.
    pub life: u64,
    /// After so many more effects it crashes.
    pub doom: Option<u64>,
}

impl Node {
    /// A node that has never run.
    #[must_use]
    pub fn new(id: usize, seat: Option<usize>, honest: bool, plan: &Plan, dice: &mut Dice) -> Self {
        let small = |ms: u64| i64::try_from(ms).expect("small");
        let skew_ms = small(dice.below(2 * plan.skew_ms + 1)) - small(plan.skew_ms);
        let disk = Disk::new(plan);
        let founding = Founding::of(plan.validators);
        Self { id, seat, honest, skew_ms, founding, disk, memory: None, life: 0, doom: None }
    }

    /// The province whose seat it has.
    #[must_use]
    pub fn province(&self) -> Option<ProvinceCode> {
        self.seat.map(|seat| self.founding.province(seat))
    }

    /// What its clock shows `now_ms` after the founding.
    #[must_use]
    pub fn clock(&self, now_ms: u64) -> u64 {
        (EPOCH_MS + now_ms).saturating_add_signed(self.skew_ms)
    }

    /// Starts it from its disk.
    ///
    /// # Errors
    ///
    /// What the host says against the disk.
    pub fn start(&mut self, now_ms: u64) -> Result<Vec<Effect>, HostError> {
        let bodies = self.disk.bodies.values().map(|b| b.header.clone()).collect();
        let start = self.disk.machine.start();
        let clock = self.clock(now_ms);
        let (host, effects) = Host::recover(self.config(), start, &self.disk.log, bodies, clock)?;
        self.life += 1;
        self.doom = None;
        self.memory = Some(Memory {
            edge: Edge::new(self.founding.chain_id, host.start()),
            host,
            pool: BTreeMap::new(),
            executed: BTreeMap::new(),
            holders: BTreeMap::new(),
            timers: BTreeMap::new(),
            asked: (0, 0),
        });
        Ok(effects)
    }

    /// Begins the height after the tip with an empty log, after a block came from elsewhere.
    ///
    /// # Errors
    ///
    /// What the host says against the disk.
    pub fn start_afresh(&mut self, now_ms: u64) -> Result<Vec<Effect>, HostError> {
        let (start, clock) = (self.disk.machine.start(), self.clock(now_ms));
        let (host, effects) = Host::recover(self.config(), start, &[], vec![], clock)?;
        if let Some(memory) = &mut self.memory {
            memory.host = host;
            memory.pool.clear();
            memory.executed.clear();
            memory.timers.clear();
        }
        Ok(effects)
    }

    fn config(&self) -> Config {
        let identity =
            self.seat.map(|seat| (self.founding.province(seat), self.founding.voting_key(seat)));
        let (chain_id, timing) = (self.founding.chain_id, Timing::default());
        Config { chain_id, identity, next_key: None, timing }
    }

    /// Stops it, as a power failure does.
    pub fn crash(&mut self, dice: &mut Dice) {
        self.memory = None;
        self.disk.lose(dice);
    }

    /// Whether it is time to ask for `height` (again).
    pub fn may_ask(&mut self, height: u64, now_ms: u64) -> bool {
        let Some(memory) = &mut self.memory else { return false };
        let (last, when) = memory.asked;
        let may = last != height || now_ms >= when + ASK_AGAIN_MS;
        if may {
            memory.asked = (height, now_ms);
        }
        may
    }

    /// A body, from wherever it has it.
    #[must_use]
    pub fn body(&self, block: &BlockHash) -> Option<Block> {
        let pooled = self.memory.as_ref().and_then(|m| m.pool.get(block));
        let decided =
            || self.disk.chain.iter().rev().map(|c| &c.block).find(|b| b.hash() == *block);
        pooled.or_else(|| self.disk.bodies.get(block)).or_else(decided).cloned()
    }
}
