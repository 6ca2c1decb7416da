//! What this node remembers for a while: bounded in number and bytes, and in memory only.
//!
//! Nothing here reaches a disk or a log, nor a metric but for how many they are, and a node that was started again remembers
//! nothing. When a memory is full it takes no more: forgetting early would let a presentation be
//! used twice. Who uses it: [`super::verify`], [`super::tickets`], [`super::idempotency`].

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

/// Most entries that are forgotten at once, so that nobody waits long after a peak: a millisecond or
/// two. More than one request adds.
const FORGOTTEN_AT_ONCE: usize = 4_096;

/// How much a memory may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Most entries.
    pub(super) entries: usize,
    /// Bytes from which on it takes no more.
    pub(super) bytes: usize,
}

/// Entries that end by themselves.
pub(super) struct Memory<K, V> {
    bounds: Bounds,
    entries: HashMap<K, Entry<V>>,
    /// (when it ends, which), so that what has ended is found first.
    ends: BTreeSet<(u64, K)>,
    bytes: usize,
}

struct Entry<V> {
    value: V,
    bytes: usize,
    end_ms: u64,
}

/// There is no room now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl<K: Copy + Eq + Hash + Ord, V> Memory<K, V> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, entries: HashMap::new(), ends: BTreeSet::new(), bytes: 0 }
    }

    /// How many entries there are, and how many there can be.
    pub(super) fn filled(&mut self, now_ms: u64) -> (usize, usize) {
        self.forget(now_ms);
        (self.entries.len(), self.bounds.entries)
    }

    /// How many entries there is room for.
    pub(super) fn room(&mut self, now_ms: u64) -> usize {
        self.forget(now_ms);
        if self.bytes >= self.bounds.bytes {
            return 0;
        }
        self.bounds.entries.saturating_sub(self.entries.len())
    }

    /// Whether there is room for so many bytes more.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        self.bytes.saturating_add(bytes) <= self.bounds.bytes
    }

    /// What is remembered under `key`.
    pub(super) fn get(&mut self, key: &K, now_ms: u64) -> Option<&mut V> {
        self.forget(now_ms);
        let entry = self.entries.get_mut(key).filter(|entry| entry.end_ms > now_ms);
        entry.map(|entry| &mut entry.value)
    }

    /// Remembers `value`, which takes `bytes`, until `end_ms`; an entry of the same key gives way.
    pub(super) fn insert(
        &mut self,
        key: K,
        value: V,
        bytes: usize,
        (now_ms, end_ms): (u64, u64),
    ) -> Result<(), Full> {
        if self.room(now_ms) == 0 || !self.fits(bytes) {
            return Err(Full);
        }
        self.replace(key, value, bytes, end_ms);
        Ok(())
    }

    /// As [`Self::insert`], for an entry for which there was room.
    pub(super) fn replace(&mut self, key: K, value: V, bytes: usize, end_ms: u64) {
        self.take(&key);
        self.bytes = self.bytes.saturating_add(bytes);
        self.ends.insert((end_ms, key));
        self.entries.insert(key, Entry { value, bytes, end_ms });
    }

    /// Forgets `key` and gives what was remembered.
    pub(super) fn take(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.remove(key)?;
        self.ends.remove(&(entry.end_ms, *key));
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        Some(entry.value)
    }

    /// Forgets what has ended, so many at once.
    pub(super) fn forget(&mut self, now_ms: u64) {
        for _ in 0..FORGOTTEN_AT_ONCE {
            match self.ends.first().copied() {
                Some((end_ms, key)) if end_ms <= now_ms => self.take(&key),
                _ => break,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Memory<u8, &'static str> {
        Memory::new(Bounds { entries: 3, bytes: 10 })
    }

    #[test]
    fn an_entry_lasts_until_its_end_and_not_longer() {
        let mut memory = memory();
        memory.insert(1, "a", 1, (100, 200)).unwrap();
        assert_eq!(memory.get(&1, 199), Some(&mut "a"));
        assert_eq!(memory.get(&1, 200), None);
        assert_eq!((memory.bytes, memory.ends.len(), memory.room(200)), (0, 0, 3));
    }

    #[test]
    fn what_has_ended_is_not_found_and_goes_a_part_at_a_time() {
        let entries = 3 * FORGOTTEN_AT_ONCE;
        let mut memory = Memory::new(Bounds { entries, bytes: entries });
        for key in 0..entries {
            memory.insert(key, (), 1, (0, 1)).unwrap();
        }
        assert_eq!(memory.get(&(entries - 1), 1), None);
        assert_eq!(memory.entries.len(), 2 * FORGOTTEN_AT_ONCE);
        assert_eq!(memory.room(1), 2 * FORGOTTEN_AT_ONCE);
    }

    #[test]
    fn a_full_memory_takes_no_more_and_forgets_nothing_early() {
        let mut memory = memory();
        for key in 1..=3 {
            memory.insert(key, "a", 1, (0, u64::from(key))).unwrap();
        }
        assert_eq!(memory.insert(4, "b", 0, (0, 9)), Err(Full));
        assert!((1..=3).all(|key| memory.get(&key, 0).is_some()));
        assert_eq!(memory.insert(4, "b", 0, (1, 9)), Ok(()), "one has ended");
        memory.take(&2);
        assert_eq!(memory.insert(5, "c", 10, (1, 9)), Err(Full), "too many bytes");
        assert_eq!(memory.insert(5, "c", 9, (1, 9)), Ok(()));
    }

    #[test]
    fn what_was_taken_or_replaced_leaves_nothing_behind() {
        let mut memory = memory();
        for round in 0..1_000 {
            memory.insert(1, "a", 9, (round, 5_000)).unwrap();
            memory.replace(1, "b", 2, 6_000);
            assert_eq!(memory.take(&1), Some("b"));
            assert_eq!(memory.take(&1), None);
        }
        assert_eq!((memory.bytes, memory.ends.len(), memory.entries.len()), (0, 0, 0));
    }
}
