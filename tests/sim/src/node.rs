//! What a simulated node keeps: a disk, which survives, and everything else, which does not.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use symbolon_consensus::{
    Config, Effect, Host, HostError, Message, Signed, Timer, Timing, edge::Edge,
};
use symbolon_ledger::{
    block::Block, codes::ProvinceCode, hash::BlockHash, keys::SecretKey, operation::Operation,
    vote::VoteKind,
};

use super::{
    byzantine::Vice,
    clock::Clock,
    dice::Dice,
    disk::{Damaged, Disk, Mark},
    founding::Founding,
    machine::Machine,
    plan::Plan,
};

/// Pause before a node asks for the same height again.
const ASK_AGAIN_MS: u64 = 300;

/// What a crash takes.
#[derive(Debug)]
pub struct Memory {
    /// The host.
    pub host: Host,
    /// What stands in front of it.
    pub edge: Edge,
    /// Bodies built or fetched and not yet stored.
    pub pool: BTreeMap<BlockHash, Arc<Block>>,
    /// Nodes that offered a body.
    pub holders: BTreeMap<BlockHash, BTreeSet<usize>>,
    /// What convicts somebody, for the blocks that it builds.
    pub evidence: Vec<Operation>,
    /// Running timers, each with the time at which it ends.
    pub timers: BTreeMap<Timer, u64>,
    /// When its host entered the round that it is in.
    pub round_since_ms: u64,
    /// The height last asked for, and when.
    asked: (u64, u64),
}

/// What a liar keeps for its purposes, whatever happens to its machine.
#[derive(Debug, Default)]
pub struct Notes {
    /// What it has signed beside its host, so that it contradicts itself only where it means to.
    pub said: BTreeSet<(u64, u32, VoteKind)>,
    /// What others have signed, to be shown in another light.
    pub overheard: Vec<Message>,
}

/// Why a node does not start.
#[derive(Debug)]
pub enum Unfit {
    /// Its disk is damaged.
    Damaged,
    /// Its host refuses what is on it.
    Host(HostError),
}

/// One node.
#[derive(Debug)]
pub struct Node {
    /// Its place in the world.
    pub id: usize,
    /// Its seat; none for an observer.
    pub seat: Option<usize>,
    /// Its vice; none when it keeps the rules.
    pub vice: Option<Vice>,
    /// Its clock.
    pub clock: Clock,
    /// What survives a crash.
    pub disk: Disk,
    /// What does not; none while it is down.
    pub memory: Option<Memory>,
    /// Counts its lives, so that events of an earlier one are void.
    pub life: u64,
    /// After so many more effects it crashes.
    pub doom: Option<u64>,
    /// Until then it stands still: what comes for it waits.
    pub paused_until: u64,
    /// A liar's.
    pub notes: Notes,
    founding: Arc<Founding>,
}

impl Node {
    /// A node that has never run.
    #[must_use]
    pub fn new(
        id: usize,
        seat: Option<usize>,
        founding: &Arc<Founding>,
        plan: &Plan,
        dice: &mut Dice,
    ) -> Self {
        let founded = Machine::founded(founding.clone());
        let mark = if plan.marks { Mark::Kept(None) } else { Mark::NotKept };
        Self {
            id,
            seat,
            vice: seat.and_then(|seat| plan.vice(seat)),
            clock: Clock::new(plan, dice),
            disk: Disk::new(founded, mark, plan.lying_disks),
            memory: None,
            life: 0,
            doom: plan.crash_at.filter(|(node, _)| *node == id).map(|(_, effect)| effect),
            paused_until: 0,
            notes: Notes::default(),
            founding: founding.clone(),
        }
    }

    /// Whether it keeps the rules.
    #[must_use]
    pub fn is_honest(&self) -> bool {
        self.vice.is_none()
    }

    /// The province whose seat it has.
    #[must_use]
    pub fn province(&self) -> Option<ProvinceCode> {
        self.seat.map(|seat| self.founding.province(seat))
    }

    /// Starts it from its disk.
    ///
    /// # Errors
    ///
    /// [`Unfit`].
    pub fn start(&mut self, now_ms: u64) -> Result<Vec<Effect>, Unfit> {
        let log = self.disk.entries().map_err(|Damaged| Unfit::Damaged)?;
        let bodies = self.disk.bodies.values().map(|b| b.header.clone()).collect();
        let (start, clock) = (self.disk.machine.start(), self.clock.read(now_ms));
        let config = self.config(self.disk.signed(clock));
        let recovered = Host::recover(config, start, &log, bodies, clock);
        let (host, effects) = recovered.map_err(Unfit::Host)?;
        self.life += 1;
        self.memory = Some(Memory {
            edge: Edge::new(self.founding.chain_id, host.start()),
            host,
            pool: BTreeMap::new(),
            holders: BTreeMap::new(),
            evidence: Vec::new(),
            timers: BTreeMap::new(),
            round_since_ms: now_ms,
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
        let (start, clock) = (self.disk.machine.start(), self.clock.read(now_ms));
        let signed = self.memory.as_ref().map(|m| m.host.signed().clone());
        let config = self.config(signed.unwrap_or_else(|| self.disk.signed(clock)));
        let (host, effects) = Host::recover(config, start, &[], vec![], clock)?;
        if let Some(memory) = &mut self.memory {
            memory.host = host;
            memory.pool.clear();
            memory.timers.clear();
        }
        Ok(effects)
    }

    fn config(&self, signed: Signed) -> Config {
        let key = |seat, next| {
            let seed = self.founding.voting_key(seat, next).to_seed();
            (self.founding.province(seat), SecretKey::from_seed(&seed))
        };
        Config {
            chain_id: self.founding.chain_id,
            identity: self.seat.map(|seat| key(seat, false)),
            next_key: self.seat.map(|seat| key(seat, true).1),
            timing: Timing::default(),
            signed,
        }
    }

    /// Stops it, as a power failure does. Says whether an entry of the log was torn in two.
    pub fn crash(&mut self, dice: &mut Dice) -> bool {
        self.memory = None;
        self.doom = None;
        self.paused_until = 0;
        self.disk.lose(dice)
    }

    /// Gives up its disk, and its mark with it or not.
    pub fn begin_anew(&mut self, mark_too: bool) {
        self.disk.wipe(Machine::founded(self.founding.clone()), mark_too);
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
    pub fn body(&self, block: &BlockHash) -> Option<Arc<Block>> {
        let pooled = self.memory.as_ref().and_then(|m| m.pool.get(block));
        let decided = || self.disk.chain.iter().rev().find(|c| c.hash == *block).map(|c| &c.block);
        pooled.or_else(|| self.disk.bodies.get(block)).or_else(decided).cloned()
    }
}
