//! Proposers that are not waited for as long as the others, since they seem to be away.
//!
//! With one validator of four away, each fourth height would wait [`PROPOSE`](crate::timing::PROPOSE)
//! for nothing. Whoever lets the turn of a first round pass, and was not heard at that height, has only
//! [`AWAY`](crate::timing::AWAY) at its next ones, until it is heard again: before its turn comes, it
//! votes on what others propose.
//!
//! Only time depends on it, so no block does. And only that of first rounds: in all later ones the waits
//! grow as ever, so that in any network that delivers at all some round is long enough.

use std::collections::BTreeSet;

use symbolon_ledger::codes::ProvinceCode;

use crate::wire::Message;

/// Who seems to be away, as far as this node has heard since it was started.
#[derive(Debug, Default)]
pub(crate) struct Away {
    away: BTreeSet<ProvinceCode>,
    /// Who was heard at this height.
    heard: BTreeSet<ProvinceCode>,
}

impl Away {
    /// Another height begins.
    pub(crate) fn begin_height(&mut self) {
        self.heard.clear();
    }

    /// A message of this height holds.
    pub(crate) fn hear(&mut self, message: &Message) {
        let author = match message {
            Message::Vote(vote) => vote.province,
            Message::Proposal(proposal) => proposal.province,
            // Whoever shows what others signed.
            Message::Polka(_) | Message::Round(_) => return,
        };
        self.away.remove(&author);
        self.heard.insert(author);
    }

    /// The wait for the proposal of the first round is over.
    pub(crate) fn missed(&mut self, proposer: ProvinceCode) {
        if !self.heard.contains(&proposer) {
            self.away.insert(proposer);
        }
    }

    pub(crate) fn is_away(&self, proposer: ProvinceCode) -> bool {
        self.away.contains(&proposer)
    }
}
