//! What a validator signs: proposals, prevotes and precommits.
//!
//! The signed bytes are a deterministic CBOR array that begins with the domain tag and names the
//! chain, the height and the round, so that no signature means anything elsewhere. They do not
//! name the signer: all precommits of a block sign the same bytes, and a certificate is checked
//! against one message.

use minicbor::Encoder;

use crate::{
    codec,
    hash::{BlockHash, ChainId, Digest, domain},
    mutants::{self, Mutant},
};

/// The kinds of vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum VoteKind {
    /// First vote of a round.
    Prevote,
    /// Second vote of a round; more than two thirds of them commit a block.
    Precommit,
}

impl VoteKind {
    fn domain(self) -> &'static str {
        match self {
            Self::Precommit if mutants::is(Mutant::DomainTagDropped) => domain::PREVOTE,
            Self::Prevote => domain::PREVOTE,
            Self::Precommit => domain::PRECOMMIT,
        }
    }
}

/// `[domain, chain id, height, round, block hash or null]`.
#[must_use]
pub fn vote_bytes(
    kind: VoteKind,
    chain: &ChainId,
    height: u64,
    round: u32,
    block: Option<&BlockHash>,
) -> Vec<u8> {
    signed_array(kind.domain(), chain, height, round, block, None)
}

/// `[domain, chain id, height, round, block hash, round of the polka or null]`.
#[must_use]
pub fn proposal_bytes(
    chain: &ChainId,
    height: u64,
    round: u32,
    block: &BlockHash,
    pol_round: Option<u32>,
) -> Vec<u8> {
    signed_array(domain::PROPOSAL, chain, height, round, Some(block), Some(pol_round))
}

fn signed_array(
    tag: &str,
    chain: &ChainId,
    height: u64,
    round: u32,
    block: Option<&BlockHash>,
    pol_round: Option<Option<u32>>,
) -> Vec<u8> {
    let chain = if mutants::is(Mutant::ChainDropped) { &Digest::ZERO } else { chain };
    let round = if mutants::is(Mutant::RoundDropped) { 0 } else { round };
    let mut e = Encoder::new(Vec::with_capacity(112));
    e.array(if pol_round.is_some() { 6 } else { 5 })
        .and_then(|e| e.str(tag))
        .and_then(|e| e.bytes(chain.as_bytes()))
        .and_then(|e| e.u64(height))
        .and_then(|e| e.u32(round))
        .expect("writing to a vector cannot fail");
    let mut bytes = e.into_writer();
    bytes.extend(codec::encode(&block.copied()));
    if let Some(round) = pol_round {
        bytes.extend(codec::encode(&round));
    }
    bytes
}
