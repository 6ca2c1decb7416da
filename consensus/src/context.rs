//! The nouns of the round, in the shape Malachite asks for: height, address, value, vote,
//! proposal and validator set over the ledger's own types.
//!
//! Nothing here decides anything but one thing: whose turn it is to propose. The value that the
//! round agrees on is a block's hash; the body travels apart. What other modules and other
//! crates see is in [`crate::wire`].
//!
//! Malachite's real manual is `arc-malachitebft-engine/src/consensus.rs` of the same release:
//! the interface listed in its README is out of date (host contract 10).

use std::fmt;

use malachite_types::{self as bft, NilOrVal, Round, SignedExtension, VoteType};
use symbolon_ledger::{
    codes::ProvinceCode,
    hash::BlockHash,
    keys::{KeyError, PublicKey, SIGNATURE_LEN, Signature},
};

use crate::membership::{Member, Members};

/// The set of types that Malachite is instantiated with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ledger;

/// A signed vote, as the core keeps it.
pub(crate) type SignedVote = bft::SignedVote<Ledger>;
/// A signed proposal, as the core keeps it.
pub(crate) type SignedProposal = bft::SignedProposal<Ledger>;

/// A block height.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Height(pub(crate) u64);

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl bft::Height for Height {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

/// Who sits at this node: a province's validator, or somebody who only follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Address {
    /// The validator of a province.
    Province(ProvinceCode),
    /// A node in no validator set. Never on the wire.
    Observer,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Province(code) => f.write_str(code.as_str()),
            Self::Observer => f.write_str("observer"),
        }
    }
}

impl bft::Address for Address {}

/// What is agreed on: the hash of a block's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Block(pub(crate) BlockHash);

impl bft::Value for Block {
    type Id = BlockHash;

    fn id(&self) -> BlockHash {
        self.0
    }
}

/// Bodies travel outside the core, so there are no parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoPart {}

impl bft::ProposalPart<Ledger> for NoPart {
    fn is_first(&self) -> bool {
        match *self {}
    }

    fn is_last(&self) -> bool {
        match *self {}
    }
}

// host contract 8: equality covers exactly what is signed plus the voter, and both are functions
// of the message alone, so a vote derived again at replay equals the one in the log.
/// A prevote or precommit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vote {
    pub(crate) kind: VoteType,
    pub(crate) height: Height,
    pub(crate) round: Round,
    pub(crate) value: NilOrVal<BlockHash>,
    pub(crate) voter: Address,
}

impl bft::Vote<Ledger> for Vote {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<BlockHash> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<BlockHash> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Address {
        &self.voter
    }

    fn extension(&self) -> Option<&SignedExtension<Ledger>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedExtension<Ledger>> {
        None
    }

    /// Vote extensions are disabled at every height, so there is nothing to extend with.
    fn extend(self, _: SignedExtension<Ledger>) -> Self {
        self
    }
}

/// "This block, in this round", by the round's proposer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub(crate) height: Height,
    pub(crate) round: Round,
    pub(crate) block: Block,
    pub(crate) pol_round: Round,
    pub(crate) proposer: Address,
}

impl bft::Proposal<Ledger> for Proposal {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &Block {
        &self.block
    }

    fn take_value(self) -> Block {
        self.block
    }

    fn pol_round(&self) -> Round {
        self.pol_round
    }

    fn validator_address(&self) -> &Address {
        &self.proposer
    }
}

/// A signature with the order that Malachite wants of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sealed(pub(crate) Signature);

impl PartialOrd for Sealed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Sealed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.0.cmp(&other.0.0)
    }
}

/// Ed25519 as the ledger checks it. The core never holds a private key: the host signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ed25519;

impl bft::SigningScheme for Ed25519 {
    type DecodingError = KeyError;
    type Signature = Sealed;
    type PublicKey = PublicKey;
    type PrivateKey = ();

    fn decode_signature(bytes: &[u8]) -> Result<Sealed, KeyError> {
        let bytes: [u8; SIGNATURE_LEN] = bytes.try_into().map_err(|_| KeyError::BadSignature)?;
        Ok(Sealed(Signature(bytes)))
    }

    fn encode_signature(signature: &Sealed) -> Vec<u8> {
        signature.0.0.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<PublicKey, KeyError> {
        PublicKey::from_bytes(bytes)
    }

    fn encode_public_key(key: &PublicKey) -> Vec<u8> {
        key.as_bytes().to_vec()
    }
}

impl bft::Context for Ledger {
    type Address = Address;
    type Height = Height;
    type ProposalPart = NoPart;
    type Proposal = Proposal;
    type Validator = Member;
    type ValidatorSet = Members;
    type Timeouts = bft::LinearTimeouts;
    type Value = Block;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = Ed25519;

    fn select_proposer<'a>(&self, set: &'a Members, height: Height, round: Round) -> &'a Member {
        set.proposer(height.0, round.as_u32().unwrap_or(0))
    }

    fn new_proposal(
        &self,
        height: Height,
        round: Round,
        block: Block,
        pol_round: Round,
        proposer: Address,
    ) -> Proposal {
        Proposal { height, round, block, pol_round, proposer }
    }

    fn new_prevote(
        &self,
        height: Height,
        round: Round,
        value: NilOrVal<BlockHash>,
        voter: Address,
    ) -> Vote {
        Vote { kind: VoteType::Prevote, height, round, value, voter }
    }

    fn new_precommit(
        &self,
        height: Height,
        round: Round,
        value: NilOrVal<BlockHash>,
        voter: Address,
    ) -> Vote {
        Vote { kind: VoteType::Precommit, height, round, value, voter }
    }
}
