//! What the engine says of itself: for readiness, metrics, and the question who is missing.

use std::time::Instant;

use symbolon_consensus::{Verified, wire::Message};
use symbolon_ledger::codes::ProvinceCode;

use super::{Engine, HEARTBEAT};

/// A validator from which nothing was heard for this many idle intervals counts as missing.
const MISSING_AFTER_INTERVALS: u32 = 3;

/// What the node knows of itself, for readiness and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineStatus {
    /// Height of the newest block.
    pub height: u64,
    /// Round of the running height.
    pub round: u32,
    /// Whether it fetches blocks that others have. One peer that claims to have some is not
    /// enough: it may lie.
    pub syncing: bool,
    /// When the newest block was committed here, in milliseconds since 1970.
    pub last_commit_ms: u64,
    /// Peers connected.
    pub peers_connected: usize,
    /// Validators of the current set from which nothing was heard lately.
    pub validators_missing: Vec<ProvinceCode>,
    /// Why the engine stopped.
    pub fault: Option<String>,
}

impl Engine {
    pub(super) fn note_heard(&mut self, message: &Verified) {
        let province = match message.message() {
            Message::Vote(vote) => vote.province,
            Message::Proposal(proposal) => proposal.province,
            Message::Polka(_) | Message::Round(_) => return,
        };
        self.heard.insert(province, Instant::now());
    }

    /// The validators from which nothing was heard lately.
    pub(super) fn missing(&self) -> Vec<ProvinceCode> {
        self.missing_at(Instant::now())
    }

    /// Those that are silent at `now`. Silence begins at the start of this node at the earliest:
    /// nobody could be heard before.
    pub(super) fn missing_at(&self, now: Instant) -> Vec<ProvinceCode> {
        let patience = self.idle_interval.saturating_mul(MISSING_AFTER_INTERVALS);
        let own = self.parts.identity.as_ref().map(|(province, _)| *province);
        let silent = |province: &ProvinceCode| {
            let since = *self.heard.get(province).unwrap_or(&self.started);
            now.saturating_duration_since(since) > patience
        };
        let set = &self.host.start().validators;
        let provinces = set.validators().iter().map(|v| v.province);
        provinces.filter(|p| Some(*p) != own && silent(p)).collect()
    }

    /// Publishes the status now and then, however busy the engine is.
    pub(super) fn publish_status_in_time(&mut self) {
        if self.published.elapsed() >= HEARTBEAT {
            self.publish_status();
        }
    }

    pub(super) fn publish_status(&mut self) {
        self.published = Instant::now();
        let (missing, peers) = (self.missing(), self.peers.len());
        let next = self.host.height();
        let may_lie = self.host.start().validators.validators().len().saturating_sub(1) / 3;
        let (height, syncing) = (next.saturating_sub(1), self.sync.is_syncing(next, may_lie));
        let round = self.host.round().unwrap_or(0);
        self.status.send_if_modified(|status| {
            let next = EngineStatus {
                height,
                round,
                syncing,
                peers_connected: peers,
                validators_missing: missing,
                ..status.clone()
            };
            let changed = *status != next;
            *status = next;
            changed
        });
    }
}
