//! The status slots of one machine: which blocks the ledger granted, and which slots are spent.
//!
//! A slot goes into a credential before the ledger hears of it, and no slot may be used twice. So
//! each machine reserves blocks of its own and, before it signs, notes in `<credit code>.slots`
//! what it spends. Slots are drawn at random: their order must not tell when a licence was issued.
//! A slot spent on a credential that was never committed is lost, which costs nothing.
//!
//! Losing the file is harmless: new blocks are reserved. Copying it to a second machine is what
//! must not be done; the ledger then refuses the second use, and other slots are drawn.

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use symbolon_ledger::records::{SLOTS_PER_BLOCK, SlotBlockRecord, slot_block};

use crate::{entropy, files, output::Failure, signing::Signer};

/// Most bytes of the file: 1,024 blocks with free slots, far more than one machine keeps.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// Version of the file's form.
const VERSION: u8 = 1;
/// Blocks asked for at once: the most that one operation may reserve.
const MAX_BLOCKS_AT_ONCE: usize = 256;

/// The slots of one agency on one machine.
#[derive(Debug)]
pub(crate) struct Slots {
    path: PathBuf,
    owner: Owner,
}

/// Whose slots they are: a file of another chain or agency is set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    version: u8,
    chain_id: String,
    actor: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct SlotFile {
    owner: Owner,
    blocks: Vec<StoredBlock>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredBlock {
    block: u32,
    /// Base64url of the bitmap of spent slots, as in [`SlotBlockRecord`].
    used: String,
}

/// A block and its spent slots.
#[derive(Debug, Clone)]
struct Block {
    number: u32,
    used: SlotBlockRecord,
}

impl Slots {
    /// The slots that lie beside a signer's key.
    pub(crate) fn beside(signer: &Signer) -> Self {
        Self::at(signer.beside(".slots"), signer.chain_id.to_string(), signer.actor.to_string())
    }

    fn at(path: PathBuf, chain_id: String, actor: String) -> Self {
        Self { path, owner: Owner { version: VERSION, chain_id, actor } }
    }

    /// Takes `count` slots for good. `reserve` asks the ledger for that many blocks and gives
    /// their numbers; it is called when the blocks at hand do not suffice.
    ///
    /// # Errors
    ///
    /// When the file cannot be kept, or `reserve` fails.
    pub(crate) fn take(
        &self,
        count: usize,
        mut reserve: impl FnMut(u16) -> Result<Vec<u32>, Failure>,
    ) -> Result<Vec<u32>, Failure> {
        let _lock = files::lock(&files::suffixed(&self.path, ".lock"), true)?;
        let mut blocks = self.load()?;
        let mut free = free_slots(&blocks);
        while free.len() < count {
            let missing = (count - free.len()).div_ceil(SLOTS_PER_BLOCK as usize);
            let granted = reserve(u16::try_from(missing.min(MAX_BLOCKS_AT_ONCE)).unwrap_or(1))?;
            let known = |number: &u32| blocks.iter().any(|b| b.number == *number);
            let new: Vec<u32> = granted.into_iter().filter(|n| !known(n)).collect();
            if new.is_empty() {
                return Err(Failure::refused(
                    "no_slots",
                    "the ledger granted no new block of status slots",
                    "run the command again; `symbolon agency show` lists what is granted",
                ));
            }
            for number in new {
                blocks.push(Block { number, used: SlotBlockRecord::new(0) });
            }
            free = free_slots(&blocks);
        }
        let taken = draw(free, count)?;
        for slot in &taken {
            let (number, offset) = slot_block(*slot);
            if let Some(block) = blocks.iter_mut().find(|b| b.number == number) {
                block.used.take(offset);
            }
        }
        self.store(&blocks)?;
        Ok(taken)
    }

    /// How many slots at hand are free.
    ///
    /// # Errors
    ///
    /// When the file cannot be kept.
    pub(crate) fn free(&self) -> Result<usize, Failure> {
        let _lock = files::lock(&files::suffixed(&self.path, ".lock"), true)?;
        Ok(free_slots(&self.load()?).len())
    }

    /// Keeps blocks that the ledger granted. Those that are here already stay as they are.
    ///
    /// # Errors
    ///
    /// When the file cannot be kept.
    pub(crate) fn add(&self, granted: &[u32]) -> Result<(), Failure> {
        let _lock = files::lock(&files::suffixed(&self.path, ".lock"), true)?;
        let mut blocks = self.load()?;
        for number in granted {
            if !blocks.iter().any(|b| b.number == *number) {
                blocks.push(Block { number: *number, used: SlotBlockRecord::new(0) });
            }
        }
        self.store(&blocks)
    }

    /// Takes back slots that were taken and that nothing was signed for.
    ///
    /// # Errors
    ///
    /// When the file cannot be kept.
    pub(crate) fn give_back(&self, slots: &[u32]) -> Result<(), Failure> {
        let _lock = files::lock(&files::suffixed(&self.path, ".lock"), true)?;
        let mut blocks = self.load()?;
        for slot in slots {
            let (number, offset) = slot_block(*slot);
            let place = blocks.iter().position(|b| b.number == number).unwrap_or_else(|| {
                // It was left out because all of it was spent.
                let mut used = SlotBlockRecord::new(0);
                used.used.fill(u8::MAX);
                blocks.push(Block { number, used });
                blocks.len() - 1
            });
            blocks[place].used.used[offset as usize / 8] &= !(1 << (offset % 8));
        }
        self.store(&blocks)
    }

    /// Uses the block of `slot` no more: the ledger says that it is another's.
    ///
    /// # Errors
    ///
    /// When the file cannot be kept.
    pub(crate) fn forget_block_of(&self, slot: u32) -> Result<(), Failure> {
        let _lock = files::lock(&files::suffixed(&self.path, ".lock"), true)?;
        let mut blocks = self.load()?;
        blocks.retain(|b| b.number != slot_block(slot).0);
        self.store(&blocks)
    }

    fn load(&self) -> Result<Vec<Block>, Failure> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        let bytes = files::read(&self.path, MAX_FILE_BYTES, "the list of status slots")?;
        let damaged = || {
            Failure::refused(
                "damaged_slots",
                format!("{} is damaged", self.path.display()),
                "remove it: new status slots are reserved then",
            )
        };
        let file: SlotFile = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
        if file.owner != self.owner {
            return Ok(Vec::new());
        }
        file.blocks
            .into_iter()
            .map(|stored| {
                let mut used = SlotBlockRecord::new(0);
                let bitmap = URL_SAFE_NO_PAD.decode(&stored.used).map_err(|_| damaged())?;
                if bitmap.len() != used.used.len() {
                    return Err(damaged());
                }
                used.used = bitmap;
                Ok(Block { number: stored.block, used })
            })
            .collect()
    }

    /// Blocks without a free slot are of no more use and left out.
    fn store(&self, blocks: &[Block]) -> Result<(), Failure> {
        let open = blocks.iter().filter(|b| !free_of(b).is_empty());
        let blocks = open
            .map(|b| StoredBlock { block: b.number, used: URL_SAFE_NO_PAD.encode(&b.used.used) })
            .collect();
        let file = SlotFile { owner: self.owner.clone(), blocks };
        let text = serde_json::to_vec(&file).expect("numbers and strings have a JSON form");
        files::write(&self.path, &text)
    }
}

fn free_of(block: &Block) -> Vec<u32> {
    let first = block.number.saturating_mul(SLOTS_PER_BLOCK);
    let free = (0..SLOTS_PER_BLOCK).filter(|offset| !block.used.is_used(*offset));
    free.map(|offset| first.saturating_add(offset)).collect()
}

fn free_slots(blocks: &[Block]) -> Vec<u32> {
    blocks.iter().flat_map(free_of).collect()
}

/// `count` of `slots`, each with the same chance (the beginning of a Fisher-Yates shuffle).
fn draw(mut slots: Vec<u32>, count: usize) -> Result<Vec<u32>, Failure> {
    for i in 0..count {
        let other = i + entropy::below(slots.len() - i)?;
        slots.swap(i, other);
    }
    slots.truncate(count);
    Ok(slots)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn slots(dir: &std::path::Path, chain: &str) -> Slots {
        Slots::at(dir.join("x.slots"), chain.to_owned(), "agency X".to_owned())
    }

    fn no_reserve(_: u16) -> Result<Vec<u32>, Failure> {
        panic!("no block is needed")
    }

    #[test]
    fn no_slot_is_taken_twice_and_their_order_is_random() {
        let dir = tempfile::tempdir().unwrap();
        let slots = slots(dir.path(), "c");
        let mut all = slots.take(256, |n| Ok((7..7 + u32::from(n)).collect())).unwrap();
        assert!(!all.is_sorted(), "in order of number: as likely as 1 in 256!");
        all.extend(slots.take(3_840, no_reserve).unwrap());
        let distinct: BTreeSet<u32> = all.iter().copied().collect();
        assert_eq!(distinct, (7 * 4_096..8 * 4_096).collect());
        let next = slots.take(5_000, |n| Ok((20..20 + u32::from(n)).collect())).unwrap();
        assert_eq!(next.len(), 5_000);
        assert!(next.iter().all(|s| [20, 21].contains(&slot_block(*s).0)));
    }

    #[test]
    fn another_chains_file_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        slots(dir.path(), "c").take(1, |_| Ok(vec![1])).unwrap();
        let taken = slots(dir.path(), "d").take(1, |_| Ok(vec![2])).unwrap();
        assert_eq!(slot_block(taken[0]).0, 2);
    }

    #[test]
    fn a_block_that_is_anothers_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let slots = slots(dir.path(), "c");
        let taken = slots.take(1, |_| Ok(vec![1])).unwrap();
        slots.forget_block_of(taken[0]).unwrap();
        let next = slots.take(1, |_| Ok(vec![3])).unwrap();
        assert_eq!(slot_block(next[0]).0, 3);
        let code = slots.take(9_000, |_| Ok(vec![3])).unwrap_err().code;
        assert_eq!(code, "no_slots");
    }

    #[test]
    fn slots_that_were_given_back_are_the_only_ones_taken_again() {
        let dir = tempfile::tempdir().unwrap();
        let slots = slots(dir.path(), "c");
        slots.add(&[7, 8]).unwrap();
        let all = slots.take(8_192, no_reserve).unwrap();
        slots.add(&[]).unwrap();
        assert_eq!(slots.free().unwrap(), 0);
        slots.give_back(&all[..300]).unwrap();
        assert_eq!(slots.free().unwrap(), 300);
        let again: BTreeSet<u32> = slots.take(300, no_reserve).unwrap().into_iter().collect();
        assert_eq!(again, all[..300].iter().copied().collect());
    }

    #[test]
    fn a_damaged_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        files::write(&dir.path().join("x.slots"), b"{").unwrap();
        let failure = slots(dir.path(), "c").take(1, no_reserve).unwrap_err();
        assert_eq!(failure.code, "damaged_slots");
    }
}
