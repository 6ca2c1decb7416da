//! Validators that sign against themselves: what consensus finds and what peers show is kept, and
//! passed on.
//!
//! It travels where the messages of a round do, and is checked where they are ([`super::router`]).
//! What becomes of it is for the provinces to decide; nothing here takes a vote away.

use symbolon_consensus::{Evidence, evidence::Equivocation};

use super::{Engine, EngineError};

/// Blocks after which all evidence that is kept is sent again, for nodes that were away.
const REPEAT_AFTER: u64 = 100;

impl Engine {
    /// Consensus has two messages that exclude each other; it has checked both signatures.
    pub(super) fn evidence_found(&mut self, found: &Evidence) -> Result<(), EngineError> {
        let chain = self.parts.store.chain_id();
        match Equivocation::of(&chain, &found.first, &found.second) {
            Ok(evidence) if self.keep_if_new(&evidence)? => {
                self.parts.network.publish_consensus(evidence.encode());
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "what consensus found is no evidence"),
        }
        Ok(())
    }

    /// A peer has shown evidence that holds. Whoever checked it passes it on.
    pub(super) fn keep_evidence(&mut self, evidence: &Equivocation) -> Result<(), EngineError> {
        self.keep_if_new(evidence).map(|_| ())
    }

    fn keep_if_new(&mut self, evidence: &Equivocation) -> Result<bool, EngineError> {
        let Ok((first, _)) = evidence.statements(&self.parts.store.chain_id()) else {
            return Ok(false);
        };
        let is_new = self.parts.store.keep_evidence(first.height, evidence)?;
        if is_new {
            self.parts.metrics.evidence.inc();
            let (province, step) = (evidence.province, first.step.name());
            let (height, round) = (first.height, first.round);
            tracing::warn!(
                %province, height, round, step,
                "a validator signed two messages that exclude each other: its key is in two places, or in wrong hands; the evidence is at /v1/evidence"
            );
        }
        Ok(is_new)
    }

    /// Sends again, now and then, what is kept.
    pub(super) fn repeat_evidence(&self) -> Result<(), EngineError> {
        let view = self.parts.store.view()?;
        if view.tip().height % REPEAT_AFTER == 0 {
            for evidence in view.evidence()? {
                self.parts.network.publish_consensus(evidence.encode());
            }
        }
        Ok(())
    }
}
