//! Catching up: a node that was down or is new takes committed blocks from its peers.
//!
//! A fetched block is believed for its certificate alone: more than two thirds of the set in
//! this node's own state have signed its hash. It is then executed and compared like any other,
//! and committed the same way; consensus starts afresh at the height after it. What a peer says
//! of its own height only decides whom to ask.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use symbolon_consensus::{HeightStart, Host, validity::check_header};
use symbolon_ledger::{
    certificate::{Certificate, MAX_CERTIFICATE_BYTES},
    codec,
};

use super::{
    Engine, EngineError,
    bodies::{Body, prepare},
    config, decode_block, height_start, is_set,
};
use crate::{execution::ExecutionError, network::PeerIndex};

/// How long a peer may be ahead before this node asks for blocks: within it the running height
/// is usually decided here as well.
const GRACE: Duration = Duration::from_millis(400);
/// How long an answer may take before another peer is asked.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most blocks asked for at once.
const BATCH: u64 = 128;

/// Who has which height, and what was asked.
#[derive(Debug, Default)]
pub(super) struct Sync {
    tips: BTreeMap<PeerIndex, u64>,
    asked: Option<Instant>,
    look_again: Option<Instant>,
    turn: usize,
}

impl Sync {
    /// When to look again whether this node is behind.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.asked.map(|at| at + PATIENCE).or(self.look_again)
    }

    /// Whether blocks were asked for.
    pub(super) fn is_running(&self) -> bool {
        self.asked.is_some()
    }

    pub(super) fn failed(&mut self) {
        self.asked = None;
        self.turn = self.turn.wrapping_add(1);
    }

    pub(super) fn gone(&mut self, peer: PeerIndex) {
        self.tips.remove(&peer);
    }
}

impl Engine {
    /// A peer says that it has, or must have, committed `height`.
    pub(super) fn heard_of_height(&mut self, peer: PeerIndex, height: u64) {
        let known = self.sync.tips.entry(peer).or_default();
        *known = height.max(*known);
        if height >= self.host.height() && self.sync.deadline().is_none() {
            self.sync.look_again = Some(Instant::now() + GRACE);
        }
    }

    /// Asks for the next blocks when a peer has them.
    pub(super) fn sync_if_behind(&mut self) {
        if self.sync.asked.take().is_some() {
            // No answer in time: it is another peer's turn.
            self.sync.turn = self.sync.turn.wrapping_add(1);
        }
        self.sync.look_again = None;
        let next = self.host.height();
        let ahead: Vec<_> =
            self.sync.tips.iter().filter(|(_, tip)| **tip >= next).map(|(p, t)| (*p, *t)).collect();
        if ahead.is_empty() {
            return;
        }
        let (peer, tip) = ahead[self.sync.turn % ahead.len()];
        let last = tip.min(next.saturating_add(BATCH - 1));
        self.sync.asked = Some(Instant::now());
        self.parts.network.fetch_blocks(next, last, Some(peer));
    }

    /// Commits fetched blocks, as far as they hold.
    pub(super) fn synced(
        &mut self,
        blocks: Vec<(Vec<u8>, Vec<u8>)>,
        from: PeerIndex,
    ) -> Result<(), EngineError> {
        let before = self.host.height();
        let mut start = height_start(&self.parts.store)?;
        for (block, certificate) in blocks {
            match self.commit_synced(&start, block, &certificate)? {
                Verdict::Committed => start = height_start(&self.parts.store)?,
                Verdict::Old => {}
                Verdict::Bad(reason) => {
                    tracing::warn!(
                        peer = from.0,
                        height = start.height(),
                        reason,
                        "a peer sent a bad block"
                    );
                    self.parts.network.blame(from);
                    self.sync.tips.remove(&from);
                    break;
                }
            }
        }
        if start.height() == before {
            self.sync.failed();
            self.sync.look_again = Some(Instant::now() + GRACE);
            return Ok(());
        }
        tracing::info!(from = before, to = start.height() - 1, "caught up by block sync");
        self.restart_consensus(start)?;
        self.sync.asked = None;
        self.sync_if_behind();
        Ok(())
    }

    fn commit_synced(
        &mut self,
        start: &HeightStart,
        bytes: Vec<u8>,
        certificate: &[u8],
    ) -> Result<Verdict, EngineError> {
        let bad = |reason: &dyn std::fmt::Display| Ok(Verdict::Bad(reason.to_string()));
        let block = match decode_block(&bytes) {
            Ok(block) => block,
            Err(error) => return bad(&error),
        };
        if block.header.height < start.height() {
            return Ok(Verdict::Old);
        }
        let certificate: Certificate = match codec::decode(certificate, MAX_CERTIFICATE_BYTES) {
            Ok(certificate) => certificate,
            Err(error) => return bad(&error),
        };
        if let Err(error) = check_header(&self.parts.store.chain_id(), start, &block.header) {
            return bad(&error);
        }
        if certificate.block != block.hash() || certificate.height != block.header.height {
            return bad(&"the certificate is another block's");
        }
        if !is_set(&start.validators, &block.header.validators_hash) {
            return bad(&"the header names another validator set");
        }
        if let Err(error) = certificate.verify(&self.parts.store.chain_id(), &start.validators) {
            return bad(&error);
        }
        let hash = certificate.block;
        let body = {
            let view = self.parts.store.view()?;
            prepare(&view, &self.parts.pool, block, Arc::new(bytes))
        };
        match body {
            Ok(Body::Valid(prepared)) => {
                self.commit(&prepared, &certificate)?;
                Ok(Verdict::Committed)
            }
            // More than two thirds committed it, so it is this node that is wrong.
            Ok(Body::Invalid(_)) => Err(EngineError::Decided {
                block: hash,
                reason: "it is invalid here: this node's state or release differs".into(),
            }),
            Err(ExecutionError::Storage(error)) => Err(error.into()),
            Err(error) => bad(&error),
        }
    }

    /// Consensus begins anew at the height after the tip. Everything signed for earlier heights
    /// is past: they are committed, and the log of the new height is empty.
    fn restart_consensus(&mut self, start: HeightStart) -> Result<(), EngineError> {
        self.checks.move_to(start.clone());
        self.bodies.clear();
        self.examining.clear();
        self.wanted.clear();
        self.timers.clear();
        self.wake_at = None;
        let now = (self.parts.clock)();
        let (host, effects) = Host::recover(config(&self.parts), start, &[], Vec::new(), now)?;
        self.host = host;
        let mut inputs = VecDeque::new();
        for effect in effects {
            inputs.extend(self.execute(effect)?);
        }
        self.drive(inputs)?;
        self.unasked.begin(self.host.height());
        self.examine_ahead();
        self.plan_begin();
        Ok(())
    }
}

enum Verdict {
    Committed,
    /// It was committed here before.
    Old,
    Bad(String),
}
