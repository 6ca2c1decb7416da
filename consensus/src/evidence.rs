//! From two contradicting messages to the operation that says so on the chain.
//!
//! What the operation proves, and against whom, is the rules' (`contracts/src/evidence.rs`); when
//! it is sent, and by whom it is signed, the node's.

use symbolon_ledger::{
    hash::ChainId,
    operation::Operation,
    vote::{SignedStatement, Statement, Step, VoteKind},
};

use crate::{host::Evidence, wire::Message};

impl Evidence {
    /// The operation that shows it to everybody: both messages as the exact bytes that were signed,
    /// in ascending order. None for certificates, which nobody signs as one.
    #[must_use]
    pub fn operation(&self, chain: &ChainId) -> Option<Operation> {
        let (a, b) = (signed(&self.first, chain)?, signed(&self.second, chain)?);
        let (first, second) = if a.statement <= b.statement { (a, b) } else { (b, a) };
        Some(Operation::Evidence { province: self.province, first, second })
    }
}

fn signed(message: &Message, chain: &ChainId) -> Option<SignedStatement> {
    let chain = *chain;
    match message {
        Message::Vote(vote) => {
            let step = match vote.kind {
                VoteKind::Prevote => Step::Prevote,
                VoteKind::Precommit => Step::Precommit,
            };
            let (height, round, block) = (vote.height, vote.round, vote.block);
            let said = Statement { step, chain, height, round, block, pol_round: None };
            Some(SignedStatement::new(&said, vote.signature))
        }
        Message::Proposal(p) => {
            let (height, round, block, pol_round) = (p.height, p.round, Some(p.block), p.pol_round);
            let said = Statement { step: Step::Proposal, chain, height, round, block, pol_round };
            Some(SignedStatement::new(&said, p.signature))
        }
        Message::Polka(_) | Message::Round(_) => None,
    }
}
