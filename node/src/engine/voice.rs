//! What this node says to the others in a round: nothing of its own before its mark is on the disk.

use symbolon_consensus::Verified;

use super::{Engine, EngineError};

impl Engine {
    /// Order: what this node states itself is beside its key, durable, and only then does anybody
    /// hear of it. What it repeats is below the mark already.
    pub(super) fn publish(&mut self, message: &Verified) -> Result<(), EngineError> {
        let stated = message.message().statement(&self.parts.store.chain_id());
        if let (Some(marks), Some((province, statement, _))) = (&mut self.parts.marks, stated)
            && self.parts.identity.as_ref().is_some_and(|(own, _)| *own == province)
        {
            marks.keep(&statement).map_err(EngineError::SignState)?;
        }
        self.parts.network.publish_consensus(message.message().encode());
        Ok(())
    }
}
