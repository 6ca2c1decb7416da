//! Evidence: two signed messages of one validator that exclude each other, apart from the round in
//! which they were found.
//!
//! A validator signs one proposal, one prevote and one precommit a round. Two different ones of a
//! kind convict the key that signed both, and nobody else: whoever shows them, and whoever passed
//! them on, signs nothing here. What is shown are the exact bytes that were signed.
//!
//! Found in [`crate::host`], kept and passed on by the node; what the chain makes of it is an
//! operation of the provinces.

use minicbor::{Decode, Encode};
use symbolon_ledger::{
    codec::{self, DecodeError},
    codes::ProvinceCode,
    hash::ChainId,
    keys::PublicKey,
    operation::Operation,
    validators::ValidatorSet,
    vote::{MAX_STATEMENT_BYTES, NoContradiction, SignedStatement, Statement, contradiction},
};
use thiserror::Error;

use crate::{host::Evidence, wire::Message};

/// Most bytes of evidence: two statements with their signatures (64) and framing.
pub const MAX_EVIDENCE_BYTES: usize = 2 * (MAX_STATEMENT_BYTES + 64 + 16) + 16;

/// Why something is no evidence.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotEvidence {
    /// Not the one encoding of evidence.
    #[error(transparent)]
    Encoding(#[from] DecodeError),
    /// Two statements that do not exclude each other.
    #[error(transparent)]
    NoContradiction(#[from] NoContradiction),
    /// A certificate, or messages of two provinces.
    #[error("not two messages that one validator states itself")]
    NotTwoStatements,
    /// The province had no vote at that height.
    #[error("{province} had no vote at height {height}")]
    NotAValidator {
        /// The province.
        province: ProvinceCode,
        /// The height.
        height: u64,
    },
    /// A signature that does not hold under the validator's key.
    #[error("a signature does not hold under the key of {province}")]
    BadSignature {
        /// The province.
        province: ProvinceCode,
    },
}

/// Two statements of one validator that exclude each other. Made by [`Equivocation::of`] or read
/// by [`Equivocation::decode`]; neither looks at the signatures, [`Equivocation::check`] does.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Equivocation {
    /// The province whose validator it is.
    #[n(0)]
    pub province: ProvinceCode,
    /// The statement whose bytes come first.
    #[n(1)]
    pub first: SignedStatement,
    /// The other one.
    #[n(2)]
    pub second: SignedStatement,
}

/// Evidence that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The guilty key.
    pub key: PublicKey,
    /// What it stated.
    pub first: Statement,
    /// What it stated as well.
    pub second: Statement,
}

impl Equivocation {
    /// Evidence of two messages, in its one order.
    ///
    /// # Errors
    ///
    /// [`NotEvidence::NotTwoStatements`].
    pub fn of(chain: &ChainId, one: &Message, other: &Message) -> Result<Self, NotEvidence> {
        let stated = |message: &Message| message.statement(chain);
        let (Some((province, a, seal)), Some((also, b, other_seal))) = (stated(one), stated(other))
        else {
            return Err(NotEvidence::NotTwoStatements);
        };
        if province != also {
            return Err(NotEvidence::NotTwoStatements);
        }
        let (one, other) = (SignedStatement::new(&a, seal), SignedStatement::new(&b, other_seal));
        let in_order = one.statement < other.statement;
        let (first, second) = if in_order { (one, other) } else { (other, one) };
        Ok(Self { province, first, second })
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads evidence.
    ///
    /// # Errors
    ///
    /// [`NotEvidence::Encoding`].
    pub fn decode(bytes: &[u8]) -> Result<Self, NotEvidence> {
        Ok(codec::decode(bytes, MAX_EVIDENCE_BYTES)?)
    }

    /// Checks it against the set that had the vote at its height. Whoever is named is guilty.
    ///
    /// # Errors
    ///
    /// [`NotEvidence`].
    pub fn check(&self, chain: &ChainId, set: &ValidatorSet) -> Result<Proven, NotEvidence> {
        let (first, second) = self.statements(chain)?;
        let (province, height) = (self.province, first.height);
        let validator = set.get(province);
        let key = validator.ok_or(NotEvidence::NotAValidator { province, height })?.key;
        let signed = self.first.verify(&key).is_ok() && self.second.verify(&key).is_ok();
        if !signed {
            return Err(NotEvidence::BadSignature { province });
        }
        Ok(Proven { key, first, second })
    }

    /// The operation by which a province puts it on the chain.
    #[must_use]
    pub fn operation(self) -> Operation {
        let Self { province, first, second } = self;
        Operation::Evidence { province, first, second }
    }

    /// What was stated, without a look at the signatures.
    ///
    /// # Errors
    ///
    /// [`NotEvidence::NoContradiction`].
    pub fn statements(&self, chain: &ChainId) -> Result<(Statement, Statement), NotEvidence> {
        Ok(contradiction(chain, &self.first, &self.second)?)
    }
}

impl Evidence {
    /// The operation by which a province puts it on the chain. None for certificates, which nobody
    /// signs as one.
    #[must_use]
    pub fn operation(&self, chain: &ChainId) -> Option<Operation> {
        Equivocation::of(chain, &self.first, &self.second).ok().map(Equivocation::operation)
    }
}
