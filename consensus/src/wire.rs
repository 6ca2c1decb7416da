//! What provinces say to each other during a round, and its bytes.
//!
//! Deterministic CBOR behind a version number, with a cap on the whole and on every list, so
//! that decoding hostile bytes costs little and never panics. A decoded [`Message`] is only
//! well-formed; that its signatures hold is what [`Verified`](crate::sign::Verified) says.
//! Bodies of blocks are not here: they travel by request, see the node.

use malachite_types::{
    self as bft, NilOrVal, PolkaSignature, Round, RoundSignature, SignedMessage,
};
use minicbor::{Decode, Encode};
use symbolon_ledger::{
    codec::{self, DecodeError},
    codes::ProvinceCode,
    hash::BlockHash,
    keys::Signature,
    validators::MAX_VALIDATORS,
    vote::VoteKind,
};
use thiserror::Error;

use crate::context::{self, Address, Block, Height, Ledger, Sealed, SignedProposal, SignedVote};

/// Version of every message here. A node refuses others.
pub const VERSION: u8 = 1;
/// Most signatures in one certificate: one of every validator.
pub const MAX_SIGNATURES: usize = MAX_VALIDATORS;
/// Most bytes of one signature with what it signs: 64 of signature, 34 of block hash, the rest
/// for a province, a kind and framing.
const MAX_SIGNATURE_LEN: usize = 120;
/// Most bytes of one message.
pub const MAX_MESSAGE_LEN: usize = MAX_SIGNATURES * MAX_SIGNATURE_LEN + 128;
/// No round has a higher number: a thousand years at a second a round, and no arithmetic on
/// rounds comes near its type's end.
pub const MAX_ROUND: u32 = 1 << 30;

/// Why bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WireError {
    /// Not the deterministic encoding of a message, or too long.
    #[error(transparent)]
    Encoding(#[from] DecodeError),
    /// From another release.
    #[error("message version {found}, expected {VERSION}")]
    Version {
        /// Version found.
        found: u8,
    },
    /// More signatures than [`MAX_SIGNATURES`], or none.
    #[error("{count} signatures in a certificate, expected 1 to {MAX_SIGNATURES}")]
    SignatureCount {
        /// Signatures found.
        count: usize,
    },
    /// A round above [`MAX_ROUND`].
    #[error("round {round} is above {MAX_ROUND}")]
    Round {
        /// Round found.
        round: u32,
    },
    /// A proposal that claims a lock from its own round or a later one.
    #[error("proof-of-lock round {pol_round} is not below round {round}")]
    PolRound {
        /// The proposal's round.
        round: u32,
        /// The round it claims a lock from.
        pol_round: u32,
    },
}

/// How a kind of vote is written: 0 a prevote, 1 a precommit.
mod kind_code {
    use minicbor::{
        Decoder, Encoder,
        decode::Error as Refused,
        encode::{Error as Failed, Write},
    };

    use super::VoteKind;

    pub(super) fn encode<C, W: Write>(
        kind: &VoteKind,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), Failed<W::Error>> {
        e.u8(match kind {
            VoteKind::Prevote => 0,
            VoteKind::Precommit => 1,
        })?
        .ok()
    }

    pub(super) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<VoteKind, Refused> {
        let at = d.position();
        match d.u8()? {
            0 => Ok(VoteKind::Prevote),
            1 => Ok(VoteKind::Precommit),
            _ => Err(Refused::message("a vote is 0 (prevote) or 1 (precommit)").at(at)),
        }
    }
}

/// A signed prevote or precommit.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Vote {
    /// Prevote or precommit.
    #[cbor(n(0), with = "kind_code")]
    pub kind: VoteKind,
    /// The height voted at.
    #[n(1)]
    pub height: u64,
    /// The round voted in.
    #[n(2)]
    pub round: u32,
    /// The block voted for, or none.
    #[n(3)]
    pub block: Option<BlockHash>,
    /// The voter.
    #[n(4)]
    pub province: ProvinceCode,
    /// Over the domain of the kind, the chain, the height, the round and the block.
    #[n(5)]
    pub signature: Signature,
}

/// A signed proposal: the block's name; its body is fetched by that name.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Proposal {
    /// The height proposed at.
    #[n(0)]
    pub height: u64,
    /// The round proposed in.
    #[n(1)]
    pub round: u32,
    /// The block proposed.
    #[n(2)]
    pub block: BlockHash,
    /// The earlier round in which a quorum prevoted this block, when it is proposed again.
    #[n(3)]
    pub pol_round: Option<u32>,
    /// The proposer of this round.
    #[n(4)]
    pub province: ProvinceCode,
    /// Over the domain, the chain and all of the above but the proposer.
    #[n(5)]
    pub signature: Signature,
}

/// One province's signature in a certificate about one block.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Seal {
    /// The signer.
    #[n(0)]
    pub province: ProvinceCode,
    /// Its signature.
    #[n(1)]
    pub signature: Signature,
}

/// A quorum's prevotes for one block.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PolkaCertificate {
    /// The height voted at.
    #[n(0)]
    pub height: u64,
    /// The round voted in.
    #[n(1)]
    pub round: u32,
    /// The block voted for.
    #[n(2)]
    pub block: BlockHash,
    /// The prevotes.
    #[n(3)]
    pub seals: Vec<Seal>,
}

/// Why a round may be entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum RoundReason {
    /// More than a third are already there.
    #[n(0)]
    Skip,
    /// More than two thirds have precommitted in the round before.
    #[n(1)]
    Precommit,
}

/// One province's vote in a certificate about a round.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RoundSeal {
    /// Prevote or precommit.
    #[cbor(n(0), with = "kind_code")]
    pub kind: VoteKind,
    /// The block voted for, or none.
    #[n(1)]
    pub block: Option<BlockHash>,
    /// The signer.
    #[n(2)]
    pub province: ProvinceCode,
    /// Its signature.
    #[n(3)]
    pub signature: Signature,
}

/// Votes that justify entering a round.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RoundCertificate {
    /// The height voted at.
    #[n(0)]
    pub height: u64,
    /// The round voted in.
    #[n(1)]
    pub round: u32,
    /// What the votes justify.
    #[n(2)]
    pub reason: RoundReason,
    /// The votes.
    #[n(3)]
    pub seals: Vec<RoundSeal>,
}

/// Everything that goes over the consensus topic.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Message {
    /// One vote.
    #[n(0)]
    Vote(#[n(0)] Vote),
    /// One proposal.
    #[n(1)]
    Proposal(#[n(0)] Proposal),
    /// A quorum's prevotes.
    #[n(2)]
    Polka(#[n(0)] PolkaCertificate),
    /// Votes that justify a round.
    #[n(3)]
    Round(#[n(0)] RoundCertificate),
}

#[derive(Encode, Decode)]
struct Envelope {
    #[n(0)]
    version: u8,
    #[n(1)]
    message: Message,
}

impl Message {
    /// The message's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(&Envelope { version: VERSION, message: self.clone() })
    }

    /// Reads a message. Checks its form, not its signatures.
    ///
    /// # Errors
    ///
    /// [`WireError`] for anything but one well-formed message of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let Envelope { version, message } = codec::decode(bytes, MAX_MESSAGE_LEN)?;
        if version != VERSION {
            return Err(WireError::Version { found: version });
        }
        message.check_form()?;
        Ok(message)
    }

    /// The height it is about.
    #[must_use]
    pub fn height(&self) -> u64 {
        match self {
            Self::Vote(m) => m.height,
            Self::Proposal(m) => m.height,
            Self::Polka(m) => m.height,
            Self::Round(m) => m.height,
        }
    }

    /// The round it is about.
    #[must_use]
    pub fn round(&self) -> u32 {
        match self {
            Self::Vote(m) => m.round,
            Self::Proposal(m) => m.round,
            Self::Polka(m) => m.round,
            Self::Round(m) => m.round,
        }
    }

    pub(crate) fn check_form(&self) -> Result<(), WireError> {
        let round = self.round();
        if round > MAX_ROUND {
            return Err(WireError::Round { round });
        }
        let count = match self {
            Self::Polka(m) => m.seals.len(),
            Self::Round(m) => m.seals.len(),
            Self::Vote(_) => 1,
            Self::Proposal(m) => {
                if let Some(pol_round) = m.pol_round.filter(|pol| *pol >= round) {
                    return Err(WireError::PolRound { round, pol_round });
                }
                1
            }
        };
        if count == 0 || count > MAX_SIGNATURES {
            return Err(WireError::SignatureCount { count });
        }
        Ok(())
    }
}

// Between the wire and the core. Towards the core nothing can fail; from the core a message can
// have no wire form only if an observer's address or no round stood in it, which the core never
// signs and never certifies.

pub(crate) fn kind_of_core(kind: bft::VoteType) -> VoteKind {
    match kind {
        bft::VoteType::Prevote => VoteKind::Prevote,
        bft::VoteType::Precommit => VoteKind::Precommit,
    }
}

fn kind_to_core(kind: VoteKind) -> bft::VoteType {
    match kind {
        VoteKind::Prevote => bft::VoteType::Prevote,
        VoteKind::Precommit => bft::VoteType::Precommit,
    }
}

fn block_to_core(block: Option<BlockHash>) -> NilOrVal<BlockHash> {
    block.map_or(NilOrVal::Nil, NilOrVal::Val)
}

pub(crate) fn block_of_core(value: &NilOrVal<BlockHash>) -> Option<BlockHash> {
    match value {
        NilOrVal::Nil => None,
        NilOrVal::Val(block) => Some(*block),
    }
}

pub(crate) fn province_of(address: &Address) -> Option<ProvinceCode> {
    match address {
        Address::Province(code) => Some(*code),
        Address::Observer => None,
    }
}

impl Vote {
    pub(crate) fn of_core(signed: &SignedVote) -> Option<Self> {
        let vote = &signed.message;
        Some(Self {
            kind: kind_of_core(vote.kind),
            height: vote.height.0,
            round: vote.round.as_u32()?,
            block: block_of_core(&vote.value),
            province: province_of(&vote.voter)?,
            signature: signed.signature.0,
        })
    }

    pub(crate) fn to_core(&self) -> SignedVote {
        let vote = context::Vote {
            kind: kind_to_core(self.kind),
            height: Height(self.height),
            round: Round::new(self.round),
            value: block_to_core(self.block),
            voter: Address::Province(self.province),
        };
        SignedMessage::new(vote, Sealed(self.signature))
    }
}

impl Proposal {
    pub(crate) fn of_core(signed: &SignedProposal) -> Option<Self> {
        let proposal = &signed.message;
        Some(Self {
            height: proposal.height.0,
            round: proposal.round.as_u32()?,
            block: proposal.block.0,
            pol_round: proposal.pol_round.as_u32(),
            province: province_of(&proposal.proposer)?,
            signature: signed.signature.0,
        })
    }

    pub(crate) fn to_core(&self) -> SignedProposal {
        let proposal = context::Proposal {
            height: Height(self.height),
            round: Round::new(self.round),
            block: Block(self.block),
            pol_round: Round::from(self.pol_round),
            proposer: Address::Province(self.province),
        };
        SignedMessage::new(proposal, Sealed(self.signature))
    }
}

impl PolkaCertificate {
    pub(crate) fn of_core(certificate: &bft::PolkaCertificate<Ledger>) -> Option<Self> {
        let seal = |s: &PolkaSignature<Ledger>| {
            Some(Seal { province: province_of(&s.address)?, signature: s.signature.0 })
        };
        Some(Self {
            height: certificate.height.0,
            round: certificate.round.as_u32()?,
            block: certificate.value_id,
            seals: certificate.polka_signatures.iter().map(seal).collect::<Option<_>>()?,
        })
    }

    pub(crate) fn to_core(&self) -> bft::PolkaCertificate<Ledger> {
        let seal =
            |s: &Seal| PolkaSignature::new(Address::Province(s.province), Sealed(s.signature));
        bft::PolkaCertificate {
            height: Height(self.height),
            round: Round::new(self.round),
            value_id: self.block,
            polka_signatures: self.seals.iter().map(seal).collect(),
        }
    }
}

impl RoundCertificate {
    pub(crate) fn of_core(certificate: &bft::RoundCertificate<Ledger>) -> Option<Self> {
        let seal = |s: &RoundSignature<Ledger>| {
            Some(RoundSeal {
                kind: kind_of_core(s.vote_type),
                block: block_of_core(&s.value_id),
                province: province_of(&s.address)?,
                signature: s.signature.0,
            })
        };
        Some(Self {
            height: certificate.height.0,
            round: certificate.round.as_u32()?,
            reason: match certificate.cert_type {
                bft::RoundCertificateType::Skip => RoundReason::Skip,
                bft::RoundCertificateType::Precommit => RoundReason::Precommit,
            },
            seals: certificate.round_signatures.iter().map(seal).collect::<Option<_>>()?,
        })
    }

    pub(crate) fn to_core(&self) -> bft::RoundCertificate<Ledger> {
        let seal = |s: &RoundSeal| {
            RoundSignature::new(
                kind_to_core(s.kind),
                block_to_core(s.block),
                Address::Province(s.province),
                Sealed(s.signature),
            )
        };
        bft::RoundCertificate {
            height: Height(self.height),
            round: Round::new(self.round),
            cert_type: match self.reason {
                RoundReason::Skip => bft::RoundCertificateType::Skip,
                RoundReason::Precommit => bft::RoundCertificateType::Precommit,
            },
            round_signatures: self.seals.iter().map(seal).collect(),
        }
    }
}
