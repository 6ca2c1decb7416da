//! What the engine says of itself: for readiness, metrics, and the question who is missing.
//!
//! Time here is the clock that the engine was given, so that a stall can be tested without waiting
//! for one.

use std::time::Instant;

use symbolon_consensus::{Signed, Verified, wire::Message};
use symbolon_ledger::codes::ProvinceCode;

use super::{Engine, deadlines::HEARTBEAT};

/// A validator from which nothing was heard for this many idle intervals counts as missing.
const MISSING_AFTER_INTERVALS: u32 = 3;

/// What the node knows of itself, for readiness and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineStatus {
    /// Height of the newest block.
    pub height: u64,
    /// Round of the running height.
    pub round: u32,
    /// Whether it is behind: it fetches blocks that others have, copies a snapshot, or waits
    /// because nobody could serve. One peer of several that claims to have more is not enough: it
    /// may lie.
    pub syncing: bool,
    /// When the newest block was committed here, in milliseconds since 1970.
    pub last_commit_ms: u64,
    /// Peers connected.
    pub peers_connected: usize,
    /// Whether this node votes, and if not, why.
    pub voting: Voting,
    /// Every other validator of the current set, and what it said last.
    pub validators: Vec<LastHeard>,
    /// Validators of the current set from which nothing was heard lately; none while it is behind.
    pub validators_missing: Vec<ProvinceCode>,
    /// Why no block is made: too few validators answer.
    pub stall: Option<Stall>,
    /// Why the engine stopped.
    pub fault: Option<String>,
}

/// Whether a node votes at the running height.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Voting {
    /// It does.
    Votes,
    /// It only follows.
    #[default]
    Observes,
    /// It has a validator's key, which has no vote at this height.
    NoVote,
    /// It has signed for this height or a later one, and its log does not say all of it.
    BelowMark,
    /// It does not know what its key has signed, and looks on for whole heights.
    LooksOn,
}

impl Voting {
    /// The word in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Votes => "votes",
            Self::Observes => "observes",
            Self::NoVote => "no_vote",
            Self::BelowMark => "below_mark",
            Self::LooksOn => "looks_on",
        }
    }
}

/// What a validator said last, in a vote or proposal that this node has checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastHeard {
    /// The validator's province.
    pub province: ProvinceCode,
    /// When, and of which height and round; none since this node was started.
    pub last: Option<Heard>,
}

/// A moment in a validator's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The height that it spoke of.
    pub height: u64,
    /// The round.
    pub round: u32,
    /// When it was heard here, in milliseconds since 1970.
    pub at_ms: u64,
}

/// The chain stands still, since too few validators answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stall {
    /// When progress ended here, in milliseconds since 1970.
    pub since_ms: u64,
    /// Height that cannot be decided.
    pub height: u64,
    /// Validators that answer, this node with them if it votes.
    pub answering: usize,
    /// Validators that it takes.
    pub quorum: usize,
    /// Those that do not answer.
    pub missing: Vec<LastHeard>,
}

impl Engine {
    pub(super) fn note_heard(&mut self, message: &Verified) {
        let province = match message.message() {
            Message::Vote(vote) => vote.province,
            Message::Proposal(proposal) => proposal.province,
            Message::Polka(_) | Message::Round(_) => return,
        };
        let (height, round) = (message.message().height(), message.message().round());
        self.heard.insert(province, Heard { height, round, at_ms: (self.parts.clock)() });
    }

    /// Every validator but this node's own, as it was heard last.
    fn others(&self) -> Vec<LastHeard> {
        let own = self.parts.identity.as_ref().map(|(province, _)| *province);
        let set = self.host.start().validators.validators();
        let others = set.iter().map(|v| v.province).filter(|p| Some(*p) != own);
        others.map(|p| LastHeard { province: p, last: self.heard.get(&p).copied() }).collect()
    }

    fn patience_ms(&self) -> u64 {
        let patience = self.idle_interval.saturating_mul(MISSING_AFTER_INTERVALS);
        u64::try_from(patience.as_millis()).unwrap_or(u64::MAX)
    }

    /// Those of which nothing was heard for long. Whoever is behind hears nothing of its own
    /// height, since the others speak of later ones: it misses nobody until it has listened again.
    fn silent(&self) -> Vec<LastHeard> {
        let (now, patience) = ((self.parts.clock)(), self.patience_ms());
        let mut others = self.others();
        others.retain(|validator| {
            // Nobody could be heard before this node was started.
            let heard = validator.last.map(|heard| heard.at_ms).max(self.sync.behind_ms);
            now.saturating_sub(heard.unwrap_or(0).max(self.started_ms)) > patience
        });
        others
    }

    /// The validators from which nothing was heard lately.
    pub(super) fn missing(&self) -> Vec<ProvinceCode> {
        self.silent().iter().map(|validator| validator.province).collect()
    }

    /// The stall, when nothing was decided for as long as a validator may be silent, and those
    /// that answer are too few.
    fn stall(&self, silent: &[LastHeard], syncing: bool) -> Option<Stall> {
        let now = (self.parts.clock)();
        let set = &self.host.start().validators;
        let (others, own) = (self.others().len(), usize::from(self.host.votes()));
        let answering = others.saturating_sub(silent.len()) + own;
        let is_long = now.saturating_sub(self.progress_ms) > self.patience_ms();
        (!syncing && is_long && answering < set.quorum()).then(|| Stall {
            since_ms: self.progress_ms,
            height: self.host.height(),
            answering,
            quorum: set.quorum(),
            missing: silent.to_vec(),
        })
    }

    fn voting(&self) -> Voting {
        match (&self.parts.identity, self.host.signed()) {
            (None, _) => Voting::Observes,
            _ if self.host.votes() => Voting::Votes,
            _ if !self.host.has_vote() => Voting::NoVote,
            (_, Signed::UpTo(_)) => Voting::BelowMark,
            (_, Signed::Unknown(_)) => Voting::LooksOn,
        }
    }

    /// Publishes the status now and then, however busy the engine is.
    pub(super) fn publish_status_in_time(&mut self) {
        if self.published.elapsed() >= HEARTBEAT {
            self.publish_status();
        }
    }

    pub(super) fn publish_status(&mut self) {
        self.published = Instant::now();
        let (height, syncing) = (self.host.height().saturating_sub(1), self.is_behind());
        if syncing {
            self.sync.behind_ms = Some((self.parts.clock)());
        }
        let silent = self.silent();
        let (stall, voting) = (self.stall(&silent, syncing), self.voting());
        let before = self.status.borrow().clone();
        say_changes(&before, stall.as_ref(), voting);
        let status = EngineStatus {
            height,
            round: self.host.round().unwrap_or(0),
            syncing,
            peers_connected: self.peers.len(),
            voting,
            validators: self.others(),
            validators_missing: silent.iter().map(|validator| validator.province).collect(),
            stall,
            ..before
        };
        self.status.send_if_modified(|known| {
            let changed = *known != status;
            *known = status;
            changed
        });
    }
}

/// Tells the log when a stall begins, changes and ends, and when a validator falls silent or finds
/// its voice: once each.
fn say_changes(before: &EngineStatus, stall: Option<&Stall>, voting: Voting) {
    if before.voting != voting {
        tracing::info!(voting = voting.name(), "whether this node votes");
    }
    match (&before.stall, stall) {
        (Some(was), None) => {
            tracing::info!(height = was.height, "a quorum answers again; progress resumes");
        }
        (was, Some(stall)) if was.as_ref().is_none_or(|was| was.missing != stall.missing) => {
            let missing: Vec<String> = stall.missing.iter().map(describe).collect();
            tracing::warn!(
                height = stall.height,
                answering = stall.answering,
                quorum = stall.quorum,
                missing = missing.join(", "),
                "no quorum: no block is made until more validators answer"
            );
        }
        _ => {}
    }
}

/// A validator and its last word, for people.
pub(crate) fn describe(validator: &LastHeard) -> String {
    let province = validator.province;
    match validator.last {
        Some(Heard { height, round, .. }) => {
            format!("{province} (last heard at height {height}, round {round})")
        }
        None => format!("{province} (not heard since this node was started)"),
    }
}
