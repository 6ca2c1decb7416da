//! What holds and is not passed on yet.
//!
//! A vote or a proposal that came from its author went to everybody at once. A node that is
//! connected to every validator presumes that the others are, too, and keeps it back: each copy
//! costs whoever gets it the check of a signature, and everybody would pass on everything to
//! nearly everybody.
//!
//! When its height is not over after [`WITHHELD`], a connection may be missing somewhere, or the
//! author gave it to some alone: then it is passed on. So what one correct node has all have a
//! little later, which is what the round asks of its network ("gossip communication" in section
//! 2.1 of Buchman, Kwon and Milosevic, "The latest gossip on BFT consensus", 2018); unless the
//! height is over first, and whoever lacked something takes its block by sync.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::network::GossipId;

/// How long a message is kept back. Longer than a height takes, also of busy nodes; half of the
/// shortest wait of a round; and well within the time for which gossip keeps a message that has no
/// verdict (`GOSSIP_HISTORY`).
pub const WITHHELD: Duration = Duration::from_millis(500);
/// Most messages kept back: all votes and proposals of two rounds of 250 validators. Past it they
/// are passed on at once.
const MAX_WITHHELD: usize = 1_024;

/// See the module.
#[derive(Debug)]
pub(super) struct Withheld {
    time: Duration,
    /// Each with its deadline, the first one first.
    ids: VecDeque<(Instant, GossipId)>,
}

impl Withheld {
    /// Nothing yet. What comes is kept back for `time`.
    pub(super) fn new(time: Duration) -> Self {
        Self { time, ids: VecDeque::new() }
    }

    /// Keeps a message back from `now` on. Gives back one that there is no room for.
    pub(super) fn keep(&mut self, now: Instant, id: GossipId) -> Option<GossipId> {
        if self.ids.len() >= MAX_WITHHELD {
            return Some(id);
        }
        self.ids.push_back((now + self.time, id));
        None
    }

    /// When the first of them is to be passed on.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ids.front().map(|(at, _)| *at)
    }

    /// The next one to be passed on at `now`, if there is one.
    pub(super) fn due(&mut self, now: Instant) -> Option<GossipId> {
        self.deadline().is_some_and(|at| at <= now).then(|| self.ids.pop_front())?.map(|(_, id)| id)
    }

    /// The height is over: nobody needs them any more.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = GossipId> {
        std::mem::take(&mut self.ids).into_iter().map(|(_, id)| id)
    }
}
