//! How large a block a proposer makes, so that it reaches the others while they wait for it.
//!
//! A proposer's line carries a copy of the body for each of the others. A body that is too large for
//! that fails its round; more comes to wait meanwhile, and the next body is larger still: with a fixed
//! bound, a network under more load than its lines carry comes to a standstill. So a proposer learns
//! what the lines carry from how long the last heights took, as TCP does with its window (RFC 5681):
//! less after a slow one, twice as much after a quick one, and in each further round of a height half as
//! much.
//!
//! What a proposal has in it depends on it and nothing else: whether a block is valid does not, so a
//! node that has learnt something else, or a proposer that holds to none of it, is no fault. A liar who
//! draws out the heights of its own turns makes the others' blocks smaller, down to [`LEAST`].

use std::time::Duration;

use symbolon_ledger::{block::MAX_BLOCK_BYTES, transaction::MAX_TRANSACTION_BYTES};

/// How long a height may take before its block was too large: a third of the wait for a proposal
/// ([`crate::timing::PROPOSE`]), so that a block twice as large as one that was quick is still in time.
pub const TARGET: Duration = Duration::from_secs(1);
/// A block is at least so large when enough waits, and of smaller ones nothing is learnt: they take as
/// long as delays and disks do. 31 copies of it take a third of a second at 100 Mbit/s.
pub const LEAST: usize = 128 * 1024;

// A transaction of any size has its block.
const _: () = assert!(LEAST > MAX_TRANSACTION_BYTES + MAX_TRANSACTION_BYTES / 2);

/// What a node has learnt since it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    bytes: usize,
}

impl Default for Reach {
    /// Nothing: blocks are as large as they may be.
    fn default() -> Self {
        Self { bytes: MAX_BLOCK_BYTES }
    }
}

impl Reach {
    /// Most bytes of a block that is proposed in `round`: [`LEAST`] to [`MAX_BLOCK_BYTES`].
    #[must_use]
    pub fn most(&self, round: u32) -> usize {
        self.bytes.checked_shr(round).unwrap_or(0).max(LEAST)
    }

    /// A height whose decided block has so many bytes took so long here, from its first round to its
    /// decision.
    pub fn learn(&mut self, bytes: usize, took: Duration) {
        if took > TARGET && bytes >= LEAST {
            let carried = bytes as f64 * TARGET.as_secs_f64() / took.as_secs_f64();
            self.bytes = self.bytes.min(carried as usize).max(LEAST);
        } else if took <= TARGET / 2 && bytes >= self.bytes / 2 {
            self.bytes = self.bytes.max(2 * bytes).min(MAX_BLOCK_BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heights of blocks as large as they may be, over lines that carry so many bytes a second; and
    /// what they come to.
    fn after(heights: u32, bytes_per_second: usize, mut reach: Reach) -> Reach {
        for _ in 0..heights {
            let bytes = reach.most(0);
            reach.learn(bytes, Duration::from_secs_f64(bytes as f64 / bytes_per_second as f64));
        }
        reach
    }

    #[test]
    fn blocks_become_as_large_as_the_lines_carry_in_time_and_no_larger() {
        for bytes_per_second in [200_000, 400_000, 1_000_000, 3_000_000] {
            let narrow = after(10, bytes_per_second, Reach::default());
            let most = narrow.most(0);
            assert!(most <= bytes_per_second.max(LEAST), "{bytes_per_second}: {most}");
            assert!(
                most >= (bytes_per_second / 2).min(MAX_BLOCK_BYTES),
                "{bytes_per_second}: {most}"
            );
            assert_eq!(after(10, 100_000_000, narrow), Reach::default(), "it is wider again");
        }
        assert_eq!(after(10, 1, Reach::default()).most(0), LEAST);
    }

    #[test]
    fn small_blocks_say_nothing_and_each_round_halves() {
        let mut reach = Reach::default();
        reach.learn(LEAST - 1, Duration::from_secs(60));
        assert_eq!(reach, Reach::default(), "somebody was away");
        assert_eq!(reach.most(1), MAX_BLOCK_BYTES / 2);
        assert_eq!((reach.most(10), reach.most(u32::MAX)), (LEAST, LEAST));
        let narrow = after(10, 400_000, reach);
        let mut same = narrow;
        same.learn(LEAST / 2, Duration::ZERO);
        assert_eq!(same, narrow, "a small block is quick over any line");
    }
}
