//! A simulated disk: what it has written, what it has made durable, and how it fails.
//!
//! The log is bytes, each entry behind its length and its checksum, as in the node. A crash keeps
//! what was flushed, and of what was only written any number of bytes, perhaps with zeros where
//! the rest would have been. A last entry that is torn is dropped, as the node does; an entry that
//! is wrong with whole ones after it is damage, and the node stays down.
//!
//! The mark beside the key is a file of its own and may outlive the rest: a disk can be set up anew
//! or come back as it was some time ago, and the mark still says what was signed.
//!
//! The database is a tip that moves in whole synced batches, as RocksDB gives it. That a flipped
//! bit in it is found by its own checksums is RocksDB's promise and not simulated; what the network
//! does about such a node is.

use std::{collections::BTreeMap, sync::Arc};

use symbolon_consensus::{Signed, mark::place};
use symbolon_ledger::{block::Block, certificate::Certificate, hash::BlockHash, vote::Statement};

use super::{dice::Dice, machine::Machine};

/// Length and checksum in front of an entry.
const ENTRY_HEAD: usize = 8;

/// A committed block.
#[derive(Debug, Clone)]
pub struct Committed {
    /// Its hash, as it was when it was committed.
    pub hash: BlockHash,
    /// The block.
    pub block: Arc<Block>,
    /// Its certificate.
    pub certificate: Certificate,
}

/// How a disk fails, until somebody mends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// There is no space left: nothing can be written.
    Full,
    /// What is written cannot be made durable. Whether it is there later is open.
    FailingSync,
}

/// What is known beside the key of what it has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// Nobody keeps one: the log alone has to do.
    NotKept,
    /// The newest statement; none when nothing was signed.
    Kept(Option<Statement>),
    /// It is gone, as is perhaps the log.
    Lost,
}

/// A copy of the disk as it was once.
#[derive(Debug, Clone)]
struct Backup {
    chain: Vec<Arc<Committed>>,
    machine: Machine,
    bodies: BTreeMap<BlockHash, Arc<Block>>,
    log: Vec<u8>,
}

/// The disk refuses: the node must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// Bits have changed: the node stays down until somebody has looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

/// What survives a crash.
#[derive(Debug)]
pub struct Disk {
    /// Blocks 1 and up.
    pub chain: Vec<Arc<Committed>>,
    /// The state after them, in the same batch as the last one.
    pub machine: Machine,
    /// Bodies of the undecided height.
    pub bodies: BTreeMap<BlockHash, Arc<Block>>,
    /// How it fails at present.
    pub trouble: Option<Trouble>,
    /// What its key has signed.
    pub mark: Mark,
    backup: Option<Box<Backup>>,
    log: Vec<u8>,
    flushed: usize,
    lies: bool,
    damaged: bool,
}

impl Disk {
    /// The disk of a node that has never run. One that `lies` says "flushed" and keeps nothing.
    #[must_use]
    pub fn new(machine: Machine, mark: Mark, lies: bool) -> Self {
        Self {
            chain: Vec::new(),
            machine,
            bodies: BTreeMap::new(),
            trouble: None,
            mark,
            backup: None,
            log: Vec::new(),
            flushed: 0,
            lies,
            damaged: false,
        }
    }

    /// Height of the tip.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.machine.tip().height
    }

    /// The committed block at `height`, if it is there.
    #[must_use]
    pub fn committed(&self, height: u64) -> Option<&Arc<Committed>> {
        let at = usize::try_from(height.checked_sub(1)?).ok()?;
        self.chain.get(at)
    }

    /// Empties the log.
    pub fn reset_log(&mut self) {
        self.log.clear();
        self.flushed = 0;
    }

    /// Appends to the log.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub fn append(&mut self, entry: &[u8]) -> Result<(), Refused> {
        if self.trouble == Some(Trouble::Full) {
            return Err(Refused);
        }
        let length = u32::try_from(entry.len()).expect("an entry is short");
        self.log.extend(length.to_be_bytes());
        self.log.extend(crc32fast::hash(entry).to_be_bytes());
        self.log.extend(entry);
        Ok(())
    }

    /// Makes the log durable.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub fn flush(&mut self) -> Result<(), Refused> {
        if self.trouble == Some(Trouble::FailingSync) {
            return Err(Refused);
        }
        if !self.lies {
            self.flushed = self.log.len();
        }
        Ok(())
    }

    /// Stores a body, durably.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub fn store(&mut self, hash: BlockHash, body: Arc<Block>) -> Result<(), Refused> {
        if self.trouble.is_some() {
            return Err(Refused);
        }
        self.bodies.insert(hash, body);
        Ok(())
    }

    /// Keeps the mark, durably: one sector is written over, so it needs no space.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub fn keep_mark(&mut self, statement: Statement) -> Result<(), Refused> {
        if self.mark == Mark::NotKept || self.lies {
            return Ok(());
        }
        if self.trouble == Some(Trouble::FailingSync) {
            return Err(Refused);
        }
        let above = match &self.mark {
            Mark::Kept(Some(known)) => place(known) < place(&statement),
            _ => true,
        };
        if above {
            self.mark = Mark::Kept(Some(statement));
        }
        Ok(())
    }

    /// What a node that starts at `clock_ms` knows of what its key has signed.
    #[must_use]
    pub fn signed(&self, clock_ms: u64) -> Signed {
        match &self.mark {
            Mark::NotKept => Signed::default(),
            Mark::Kept(mark) => Signed::UpTo(mark.clone()),
            Mark::Lost => Signed::lost(clock_ms),
        }
    }

    /// All entries of the log, after what a crash has left.
    ///
    /// # Errors
    ///
    /// [`Damaged`].
    pub fn entries(&mut self) -> Result<Vec<Vec<u8>>, Damaged> {
        if self.damaged {
            return Err(Damaged);
        }
        let (mut entries, mut at) = (Vec::new(), 0);
        while let Some(end) = end_of_entry(&self.log, at) {
            entries.push(self.log[at + ENTRY_HEAD..end].to_vec());
            at = end;
        }
        if (at + 1..self.log.len()).any(|next| end_of_entry(&self.log, next).is_some()) {
            return Err(Damaged);
        }
        self.log.truncate(at);
        Ok(entries)
    }

    /// What a power failure takes. Says whether it tore an entry in two.
    pub fn lose(&mut self, dice: &mut Dice) -> bool {
        let unflushed = self.log.len().saturating_sub(self.flushed) as u64;
        let kept = usize::try_from(dice.below(unflushed + 1)).expect("few entries");
        self.log.truncate(self.flushed + kept);
        let torn = unflushed > 0 && self.ends_torn();
        if torn && dice.chance(30) {
            // The file had grown before its bytes were there.
            let zeros = dice.index(ENTRY_HEAD);
            self.log.extend(std::iter::repeat_n(0, zeros));
        }
        torn
    }

    fn ends_torn(&self) -> bool {
        let mut at = 0;
        while let Some(end) = end_of_entry(&self.log, at) {
            at = end;
        }
        at < self.log.len()
    }

    /// Turns one bit: of a log entry with whole ones after it, or else somewhere in the database.
    /// In the last entry of a log a turned bit looks like a torn end, and no log alone can tell.
    pub fn flip(&mut self, dice: &mut Dice) {
        let mut ends = Vec::new();
        while let Some(end) = end_of_entry(&self.log, ends.last().copied().unwrap_or(0)) {
            ends.push(end);
        }
        let before_last = ends.iter().rev().nth(1).copied().unwrap_or(0);
        if before_last > 0 && dice.chance(70) {
            self.log[dice.index(before_last)] ^= 1 << dice.below(8);
        } else {
            self.damaged = true;
        }
    }

    /// The operator gives up what is on it and begins anew; the mark may be lost with it.
    pub fn wipe(&mut self, founded: Machine, mark_too: bool) {
        let lost = mark_too || self.mark == Mark::NotKept;
        let mark = if lost { Mark::Lost } else { self.mark.clone() };
        *self = Self::new(founded, mark, self.lies);
    }

    /// Makes a backup, which replaces an earlier one. The mark is no part of it.
    pub fn back_up(&mut self) {
        if !self.damaged {
            let (chain, machine) = (self.chain.clone(), self.machine.clone());
            let (bodies, log) = (self.bodies.clone(), self.log.clone());
            self.backup = Some(Box::new(Backup { chain, machine, bodies, log }));
        }
    }

    /// Puts back what the backup has: the log alone, or everything. False without a backup, or
    /// where nobody keeps a mark and a node must not come back as it was.
    pub fn restore(&mut self, log_alone: bool) -> bool {
        let Some(backup) = self.backup.clone().filter(|_| self.mark != Mark::NotKept) else {
            return false;
        };
        let Backup { chain, machine, bodies, log } = *backup;
        self.log = log;
        self.flushed = self.log.len();
        if !log_alone {
            (self.chain, self.machine, self.bodies) = (chain, machine, bodies);
            self.damaged = false;
        }
        true
    }
}

/// Where the entry ends that begins at `at`, if a whole one does.
fn end_of_entry(log: &[u8], at: usize) -> Option<usize> {
    let number = |at: usize| Some(u32::from_be_bytes(log.get(at..at + 4)?.try_into().ok()?));
    let length = usize::try_from(number(at)?).ok()?;
    let checksum = number(at + 4)?;
    let end = at.checked_add(ENTRY_HEAD)?.checked_add(length)?;
    let entry = log.get(at + ENTRY_HEAD..end)?;
    (length > 0 && crc32fast::hash(entry) == checksum).then_some(end)
}
