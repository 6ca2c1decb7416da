//! How large a block a proposer makes, so that it reaches the others while they wait for it.
//!
//! A proposer's line carries a copy of the body for each of the others. A body that is too large for
//! that fails its round; more comes to wait meanwhile, and the next body is larger still: with a fixed
//! bound, a network under more load than its lines carry comes to a standstill. So every node learns
//! what the lines carry from how long the last decided blocks took: less after a slow one, down to half;
//! twice as much after one that was quick and full, a little more after one that was in time; and in each
//! further round of a height half as much.
//!
//! It bounds what this node proposes. Whether a block is valid does not depend on it, so nodes that
//! have learnt different things agree on everything. Whoever proposes large blocks and draws out their
//! rounds makes the next one half as large, until that was quick.

use std::time::Duration;

use symbolon_ledger::{block::MAX_BLOCK_BYTES, transaction::MAX_TRANSACTION_BYTES};

use crate::timing::PROPOSE;

/// How long a block may take from the beginning of its round to its decision before it was too
/// large. A block twice as large as one that took half as long is in time for [`PROPOSE`] by far.
pub const TARGET: Duration = Duration::from_secs(1);
/// A block is at least so large when enough waits, and no smaller one is too large: what it took was
/// delays and disks. 31 copies take a third of a second at 100 Mbit/s, and 99 a whole one.
pub const LEAST: usize = 128 * 1024;

/// What a block is larger after one that was in time and not quick.
const STEP: usize = LEAST / 4;

const _: () = assert!(PROPOSE.as_millis() >= 3 * TARGET.as_millis());
// A transaction of any size has its block, with what is around it.
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
    pub fn most_bytes(&self, round: u32) -> usize {
        self.bytes.checked_shr(round).unwrap_or(0).max(LEAST)
    }

    /// A block of so many bytes was decided in `round`, which took so long here; or it lost its round to
    /// that one. In a later round it may have been spread in earlier ones. So only in round 0 does it say
    /// anything for a larger one.
    pub fn learn(&mut self, bytes: usize, round: u32, took: Duration) {
        let is_full = round == 0 && bytes >= self.bytes / 2;
        let learnt = if took > TARGET && bytes >= LEAST {
            let carried = bytes as f64 * TARGET.as_secs_f64() / took.as_secs_f64();
            self.bytes.min(carried as usize).max(self.bytes / 2)
        } else if is_full && took <= TARGET / 2 {
            self.bytes.max(2 * bytes.min(self.bytes))
        } else if is_full && took <= TARGET {
            self.bytes + STEP
        } else {
            self.bytes
        };
        self.bytes = learnt.clamp(LEAST, MAX_BLOCK_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heights of blocks as large as they may be, over lines that carry so many bytes a second and
    /// delay each block by so many milliseconds; and what they come to.
    fn after(heights: u32, (bytes_per_second, ms): (usize, u64), mut reach: Reach) -> Reach {
        for _ in 0..heights {
            let bytes = reach.most_bytes(0);
            let spreading = Duration::from_secs_f64(bytes as f64 / bytes_per_second as f64);
            reach.learn(bytes, 0, spreading + Duration::from_millis(ms));
        }
        reach
    }

    #[test]
    fn blocks_become_as_large_as_the_lines_carry_in_time_and_no_larger() {
        for bytes_per_second in [200_000, 400_000, 1_000_000, 3_000_000] {
            for ms in [0, 240] {
                let narrow = after(20, (bytes_per_second, ms), Reach::default());
                let most = narrow.most_bytes(0);
                assert!(
                    most <= bytes_per_second.max(LEAST) + STEP,
                    "{bytes_per_second}, {ms}: {most}"
                );
                let least = (bytes_per_second / 5 * 2).min(MAX_BLOCK_BYTES);
                assert!(most >= least, "{bytes_per_second}, {ms}: {most}");
                let wide = after(10, (100_000_000, ms), narrow);
                assert_eq!(wide, Reach::default(), "it is wider again");
            }
        }
        assert_eq!(after(10, (1, 0), Reach::default()).most_bytes(0), LEAST);
    }

    #[test]
    fn what_was_cut_for_another_reason_comes_back_over_narrow_lines_too() {
        let mut reach = Reach::default();
        reach.learn(LEAST, 0, Duration::from_secs(60));
        assert_eq!(reach.most_bytes(0), MAX_BLOCK_BYTES / 2, "at most by half");
        for _ in 0..10 {
            reach.learn(MAX_BLOCK_BYTES, 0, Duration::from_secs(60));
        }
        assert_eq!(reach.most_bytes(0), LEAST);
        let mut once = reach;
        once.learn(MAX_BLOCK_BYTES, 0, Duration::ZERO);
        assert_eq!(once.most_bytes(0), 2 * LEAST, "at most twice");
        // A third of a second for the copies, and three delays of 80 ms.
        let again = after(20, (403_000, 240), reach);
        assert!(again.most_bytes(0) > LEAST * 5 / 4, "{again:?}");
    }

    #[test]
    fn small_blocks_and_later_rounds_say_nothing_for_or_against() {
        let mut reach = Reach::default();
        reach.learn(LEAST - 1, 0, Duration::from_secs(60));
        assert_eq!(reach, Reach::default(), "somebody was away");
        assert_eq!(reach.most_bytes(1), MAX_BLOCK_BYTES / 2);
        assert_eq!((reach.most_bytes(10), reach.most_bytes(u32::MAX)), (LEAST, LEAST));
        let narrow = after(20, (400_000, 0), reach);
        let mut same = narrow;
        same.learn(LEAST / 2, 0, Duration::ZERO);
        assert_eq!(same, narrow, "a small block is quick over any line");
        same.learn(MAX_BLOCK_BYTES, 1, Duration::ZERO);
        assert_eq!(same, narrow, "it had reached them before");
    }
}
