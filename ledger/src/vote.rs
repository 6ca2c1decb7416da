//! What a validator signs: proposals, prevotes and precommits.
//!
//! The signed bytes are a deterministic CBOR array that begins with the domain tag and names the
//! chain, the height and the round, so that no signature means anything elsewhere. They do not
//! name the signer: all precommits of a block sign the same bytes, and a certificate is checked
//! against one message.
//!
//! A [`Statement`] is what such bytes say, read back: evidence of equivocation carries two of them
//! as the exact bytes that were signed.

use minicbor::{Decode, Decoder, Encode, Encoder, bytes::ByteVec, decode};
use thiserror::Error;

use crate::{
    codec,
    hash::{BlockHash, ChainId, Digest, domain},
    keys::{KeyError, PublicKey, Signature},
    mutants::{self, Mutant},
};

/// Most bytes of a signed statement; a proposal that is made again takes 111.
pub const MAX_STATEMENT_BYTES: usize = 128;

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

/// What a validator signs once a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Step {
    /// A proposal.
    #[n(0)]
    Proposal,
    /// A prevote.
    #[n(1)]
    Prevote,
    /// A precommit.
    #[n(2)]
    Precommit,
}

impl Step {
    /// The word in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Proposal => "proposal",
            Self::Prevote => "prevote",
            Self::Precommit => "precommit",
        }
    }

    fn domain(self) -> &'static str {
        match self {
            Self::Proposal => domain::PROPOSAL,
            Self::Prevote => VoteKind::Prevote.domain(),
            Self::Precommit => VoteKind::Precommit.domain(),
        }
    }
}

/// What a validator has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What kind of message it is.
    pub step: Step,
    /// The chain.
    pub chain: ChainId,
    /// The height.
    pub height: u64,
    /// The round.
    pub round: u32,
    /// The block; none for a vote against all of them.
    pub block: Option<BlockHash>,
    /// In a proposal: the earlier round in which a quorum prevoted the block.
    pub pol_round: Option<u32>,
}

/// Why bytes are no statement.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StatementError {
    /// More than [`MAX_STATEMENT_BYTES`].
    #[error("{0} bytes, more than the {MAX_STATEMENT_BYTES} of a signed statement")]
    TooLong(usize),
    /// Not a proposal, prevote or precommit in its one encoding.
    #[error("not the signed bytes of a proposal, a prevote or a precommit")]
    Malformed,
}

impl Statement {
    /// The bytes that are signed.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let pol_round = (self.step == Step::Proposal).then_some(self.pol_round);
        let block = self.block.as_ref();
        signed_array(self.step.domain(), &self.chain, self.height, self.round, block, pol_round)
    }

    /// Reads the bytes that were signed.
    ///
    /// # Errors
    ///
    /// [`StatementError`].
    pub fn read(bytes: &[u8]) -> Result<Self, StatementError> {
        if bytes.len() > MAX_STATEMENT_BYTES {
            return Err(StatementError::TooLong(bytes.len()));
        }
        let statement = read_array(bytes).map_err(|_| StatementError::Malformed)?;
        // One spelling each: what was read is written again and must give the same bytes. That
        // also refuses what stands behind it.
        let whole = statement.step != Step::Proposal || statement.block.is_some();
        if !whole || statement.bytes() != bytes {
            return Err(StatementError::Malformed);
        }
        Ok(statement)
    }
}

fn read_array(bytes: &[u8]) -> Result<Statement, decode::Error> {
    let mut d = Decoder::new(bytes);
    d.array()?;
    let tag = d.str()?;
    let steps = [Step::Proposal, Step::Prevote, Step::Precommit];
    let step = steps.into_iter().find(|step| step.domain() == tag);
    let step = step.ok_or_else(|| decode::Error::message("another domain"))?;
    let (chain, height, round, block) = (d.decode()?, d.u64()?, d.u32()?, d.decode()?);
    let pol_round = if step == Step::Proposal { d.decode()? } else { None };
    Ok(Statement { step, chain, height, round, block, pol_round })
}

/// A statement as it travels in evidence: the exact bytes that were signed, and the signature.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SignedStatement {
    /// What [`Statement::bytes`] gives.
    #[n(0)]
    pub statement: ByteVec,
    /// The validator's signature over it.
    #[n(1)]
    pub signature: Signature,
}

impl SignedStatement {
    /// A statement with its signature, which is not checked here.
    #[must_use]
    pub fn new(statement: &Statement, signature: Signature) -> Self {
        Self { statement: statement.bytes().into(), signature }
    }

    /// What was signed.
    ///
    /// # Errors
    ///
    /// [`StatementError`].
    pub fn read(&self) -> Result<Statement, StatementError> {
        Statement::read(&self.statement)
    }

    /// Checks that `key` has signed it.
    ///
    /// # Errors
    ///
    /// [`KeyError::BadSignature`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), KeyError> {
        key.verify(&self.statement, &self.signature)
    }
}

/// Why two signed statements convict nobody.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoContradiction {
    /// What was signed is no message of a round.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// Of another chain.
    #[error("a message for chain {actual}, expected {expected}")]
    OtherChain {
        /// This chain.
        expected: ChainId,
        /// The message's.
        actual: ChainId,
    },
    /// Both could be signed by an honest validator.
    #[error(
        "the messages do not exclude each other: they are not two of one kind, height and round"
    )]
    Compatible,
    /// The same pair has another spelling: the message whose bytes come first stands first.
    #[error("the messages are not in ascending order of their bytes")]
    Order,
}

/// What two statements say, when whoever signed both signed against itself: they are two different
/// ones of one kind, height and round of `chain`, the lesser bytes first. The signatures are not
/// looked at.
///
/// # Errors
///
/// [`NoContradiction`].
pub fn contradiction(
    chain: &ChainId,
    first: &SignedStatement,
    second: &SignedStatement,
) -> Result<(Statement, Statement), NoContradiction> {
    let (a, b) = (first.read()?, second.read()?);
    for statement in [&a, &b] {
        if statement.chain != *chain {
            let (expected, actual) = (*chain, statement.chain);
            return Err(NoContradiction::OtherChain { expected, actual });
        }
    }
    let place = |s: &Statement| (s.height, s.round, s.step);
    if place(&a) != place(&b) || a == b {
        return Err(NoContradiction::Compatible);
    }
    if first.statement >= second.statement {
        return Err(NoContradiction::Order);
    }
    Ok((a, b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::sha256;

    fn statement(step: Step, block: bool, pol_round: Option<u32>) -> Statement {
        let block = block.then(|| sha256(b"block"));
        Statement { step, chain: sha256(b"chain"), height: 7, round: 300, block, pol_round }
    }

    #[test]
    fn a_statement_reads_back_and_is_what_a_validator_signs() {
        let (chain, block) = (sha256(b"chain"), sha256(b"block"));
        for (kind, step) in
            [(VoteKind::Prevote, Step::Prevote), (VoteKind::Precommit, Step::Precommit)]
        {
            for voted in [None, Some(&block)] {
                let said = statement(step, voted.is_some(), None);
                let bytes = vote_bytes(kind, &chain, 7, 300, voted);
                assert_eq!((said.bytes(), Statement::read(&bytes)), (bytes, Ok(said)));
            }
        }
        for pol_round in [None, Some(3)] {
            let said = statement(Step::Proposal, true, pol_round);
            let bytes = proposal_bytes(&chain, 7, 300, &block, pol_round);
            assert_eq!((said.bytes(), Statement::read(&bytes)), (bytes, Ok(said)));
        }
    }

    #[test]
    fn the_longest_statement_is_within_the_bound() {
        let (height, round, pol_round) = (u64::MAX, u32::MAX, Some(u32::MAX));
        let longest =
            Statement { height, round, pol_round, ..statement(Step::Proposal, true, None) };
        assert!(longest.bytes().len() <= MAX_STATEMENT_BYTES);
        assert_eq!(Statement::read(&longest.bytes()), Ok(longest));
    }

    #[test]
    fn what_no_validator_signs_is_no_statement() {
        let good = statement(Step::Prevote, true, None).bytes();
        for at in 0..good.len() {
            assert_eq!(Statement::read(&good[..at]), Err(StatementError::Malformed), "{at}");
        }
        let longer = [&good[..], &[0]].concat();
        assert_eq!(Statement::read(&longer), Err(StatementError::Malformed));
        let no_block = statement(Step::Proposal, false, None).bytes();
        assert_eq!(Statement::read(&no_block), Err(StatementError::Malformed));
        assert_eq!(Statement::read(&[0; 129]), Err(StatementError::TooLong(129)));
    }
}
