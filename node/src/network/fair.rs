//! A queue that no sender can fill for the others: what waits is taken by turns, and what does not
//! fit is the oldest of whoever has the most waiting.

use std::collections::{BTreeMap, VecDeque};

use super::PeerIndex;

/// What waits of one sender, each with its weight.
#[derive(Debug)]
struct Share<T> {
    items: VecDeque<(usize, T)>,
    weight: usize,
}

impl<T> Default for Share<T> {
    fn default() -> Self {
        Self { items: VecDeque::new(), weight: 0 }
    }
}

/// What waits of all senders. A sender with nothing waiting has no entry.
#[derive(Debug)]
pub(super) struct Fair<T> {
    shares: BTreeMap<PeerIndex, Share<T>>,
    weight: usize,
    /// Whose turn was last.
    last: Option<PeerIndex>,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self { shares: BTreeMap::new(), weight: 0, last: None }
    }
}

impl<T> Fair<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.shares.is_empty()
    }

    /// Appends an item, and gives back those that had to make room, so that no more than `bound`
    /// waits.
    pub(super) fn push(&mut self, from: PeerIndex, weight: usize, item: T, bound: usize) -> Vec<T> {
        let share = self.shares.entry(from).or_default();
        share.items.push_back((weight, item));
        share.weight += weight;
        self.weight += weight;
        let mut dropped = Vec::new();
        while self.weight > bound {
            let heaviest = self.shares.iter().max_by_key(|(_, share)| share.weight);
            let Some(heaviest) = heaviest.map(|(peer, _)| *peer) else { break };
            dropped.extend(self.take(heaviest));
        }
        dropped
    }

    /// The oldest item of the sender whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let after = self.last.and_then(|last| {
            let next = (std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded);
            self.shares.range(next).next().map(|(peer, _)| *peer)
        });
        let turn = after.or_else(|| self.shares.keys().next().copied())?;
        self.last = Some(turn);
        self.take(turn)
    }

    /// All that waits of a sender.
    pub(super) fn remove(&mut self, from: PeerIndex) -> Vec<T> {
        let mut removed = Vec::new();
        while let Some(item) = self.take(from) {
            removed.push(item);
        }
        removed
    }

    fn take(&mut self, from: PeerIndex) -> Option<T> {
        let share = self.shares.get_mut(&from)?;
        let (weight, item) = share.items.pop_front()?;
        share.weight -= weight;
        self.weight -= weight;
        if share.items.is_empty() {
            self.shares.remove(&from);
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Item = (u64, u64);

    fn push(fair: &mut Fair<Item>, peer: u64, weight: usize, number: u64) -> Vec<Item> {
        fair.push(PeerIndex(peer), weight, (peer, number), 10)
    }

    #[test]
    fn senders_are_heard_by_turns_and_each_in_order() {
        let mut fair = Fair::default();
        for number in 0..5 {
            push(&mut fair, 1, 1, number);
        }
        push(&mut fair, 7, 1, 100);
        push(&mut fair, 3, 1, 200);
        push(&mut fair, 3, 1, 201);
        let heard: Vec<_> = std::iter::from_fn(|| fair.pop()).collect();
        let order = [(1, 0), (3, 200), (7, 100), (1, 1), (3, 201), (1, 2), (1, 3), (1, 4)];
        assert_eq!(heard, order);
        assert!(fair.is_empty() && fair.weight == 0);
    }

    #[test]
    fn whoever_sends_most_makes_room() {
        let mut fair = Fair::default();
        push(&mut fair, 2, 1, 500);
        for number in 0..9 {
            assert!(push(&mut fair, 1, 1, number).is_empty());
        }
        assert_eq!(push(&mut fair, 1, 1, 9), [(1, 0)]);
        // Another's message costs the flooder one, however old the other's are.
        assert_eq!(push(&mut fair, 3, 1, 600), [(1, 1)]);
        assert_eq!(push(&mut fair, 3, 3, 601), [(1, 2), (1, 3), (1, 4)]);
        // One that is too heavy for any room does not stay.
        assert!(push(&mut fair, 4, 11, 700).contains(&(4, 700)));
        assert!(fair.weight <= 10);
    }
}
