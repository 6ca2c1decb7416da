//! Governance: what the provinces decide together, and what is kept of their decisions.
//!
//! An [`Action`] says what would change; a [`ProposalRecord`] who is for it and what came of it.
//! Beside them stands what governance needs to remember: which validator voted under which key
//! ([`TermsRecord`]), which rules begin at which height ([`FeaturesRecord`]), and who has signed
//! against itself ([`EvidenceRecord`]). Who may decide what, and when, is `contracts`.

use minicbor::{Decode, Encode};

use crate::{
    catalogue::LicenceTypeRecord,
    codec,
    codes::{Label, Origin, ProvinceCode},
    hash::{Digest, domain, tagged_hash},
    keys::PublicKey,
    operation::NewKey,
    validators::Validator,
    vote::Step,
};

/// Most bytes of an action: eight times the largest entry of the national catalogue. Its proposal,
/// with every vote, stays far within the bound of a record.
pub const MAX_ACTION_BYTES: usize = 32 * 1024;
/// Most features that are ever activated on a chain: one a month for twenty years.
pub const MAX_FEATURES: usize = 256;
/// Most terms that are kept of a province: a new validator key every day of a month, and more.
pub const MAX_TERMS: usize = 32;

/// A province that is to join.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct NewProvince {
    /// Its code.
    #[n(0)]
    pub code: ProvinceCode,
    /// Chinese name.
    #[n(1)]
    pub name_zh: Label,
    /// English name.
    #[n(2)]
    pub name_en: Label,
    /// The origin under which its agencies will issue; it never changes.
    #[n(3)]
    pub issuer_origin: Origin,
    /// Signs the transactions of its authority; its key number 0.
    #[n(4)]
    pub authority_key: PublicKey,
    /// Signs its status lists; its key number 1. A province without one names it later.
    #[n(5)]
    pub status_key: Option<PublicKey>,
}

/// What the provinces may decide. CBOR: `[number, [fields...]]`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Action {
    /// Let a province in. It has no vote until it has a validator.
    #[n(0)]
    AddProvince {
        /// The province.
        #[n(0)]
        province: Box<NewProvince>,
    },
    /// Shut a province out, and its validator with it. What its agencies issued stays.
    #[n(1)]
    RemoveProvince {
        /// The province.
        #[n(0)]
        province: ProvinceCode,
    },
    /// Give a province a validator, and so a vote.
    #[n(2)]
    AddValidator {
        /// The validator.
        #[n(0)]
        validator: Box<Validator>,
    },
    /// Take a province's validator away, and so its vote.
    #[n(3)]
    RemoveValidator {
        /// The province.
        #[n(0)]
        province: ProvinceCode,
    },
    /// Give a province's validator another key, another peer id, or both.
    #[n(4)]
    RotateValidator {
        /// The validator as it will be.
        #[n(0)]
        validator: Box<Validator>,
    },
    /// Add a licence type, or write a newer version of one. Its index is 0 here: the chain numbers
    /// it.
    #[n(5)]
    SetLicenceType {
        /// The entry.
        #[n(0)]
        entry: Box<LicenceTypeRecord>,
    },
    /// Replace a key with which a province signs transactions.
    #[n(6)]
    RotateProvinceKey {
        /// The province.
        #[n(0)]
        province: ProvinceCode,
        /// Number of the key that ends.
        #[n(1)]
        key_id: u32,
        /// The key that takes its place.
        #[n(2)]
        key: Box<NewKey>,
    },
    /// Replace the parameters of the chain, all of them in milliseconds.
    #[n(7)]
    SetParameters {
        /// As [`crate::records::ParametersRecord::idle_block_interval_ms`].
        #[n(0)]
        idle_block_interval_ms: u64,
        /// As [`crate::records::ParametersRecord::max_staleness_ms`].
        #[n(1)]
        max_staleness_ms: u64,
        /// As [`crate::records::ParametersRecord::bundle_max_age_ms`].
        #[n(2)]
        bundle_max_age_ms: u64,
    },
    /// Let a rule that the nodes know, and do not follow yet, begin at a height.
    #[n(8)]
    ActivateFeature {
        /// Its number.
        #[n(0)]
        feature: u32,
        /// First height at which it holds.
        #[n(1)]
        height: u64,
    },
}

impl Action {
    /// The action's name in JSON, events and messages.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::AddProvince { .. } => "add_province",
            Self::RemoveProvince { .. } => "remove_province",
            Self::AddValidator { .. } => "add_validator",
            Self::RemoveValidator { .. } => "remove_validator",
            Self::RotateValidator { .. } => "rotate_validator",
            Self::SetLicenceType { .. } => "set_licence_type",
            Self::RotateProvinceKey { .. } => "rotate_province_key",
            Self::SetParameters { .. } => "set_parameters",
            Self::ActivateFeature { .. } => "activate_feature",
        }
    }

    /// The digest by which a vote names what it is about, so that it never counts for another
    /// action: `symbolon/action/1` and the action's CBOR. Whoever votes computes it from the action
    /// that he has read, and takes it from nobody.
    #[must_use]
    pub fn digest(&self) -> Digest {
        tagged_hash(domain::ACTION, &[&codec::encode(self)])
    }
}

/// What a province says to a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ProposalVote {
    /// The province.
    #[n(0)]
    pub province: ProvinceCode,
    /// Whether it approves; otherwise it rejects.
    #[n(1)]
    pub approves: bool,
    /// The height at which it said so.
    #[n(2)]
    pub at: u64,
}

/// What came of a proposal. Expired is computed from its height, never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum ProposalStatus {
    /// Undecided.
    #[n(0)]
    Open,
    /// Final: its action took effect.
    #[n(1)]
    Executed {
        /// In the block of this height.
        #[n(0)]
        at: u64,
    },
    /// Final: so many rejected it that it cannot be approved any more.
    #[n(2)]
    Rejected {
        /// In the block of this height.
        #[n(0)]
        at: u64,
    },
}

/// A proposal. Its number is in its place.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ProposalRecord {
    /// [`crate::records::RECORD_VERSION`].
    #[n(0)]
    pub version: u8,
    /// The province that proposed it.
    #[n(1)]
    pub proposer: ProvinceCode,
    /// What would change.
    #[n(2)]
    pub action: Action,
    /// Height of the proposal.
    #[n(3)]
    pub proposed_at: u64,
    /// Last height at which it can be decided.
    #[n(4)]
    pub expires_at: u64,
    /// The newest word of every province that has spoken, ascending by province.
    #[n(5)]
    pub votes: Vec<ProposalVote>,
    /// What came of it.
    #[n(6)]
    pub status: ProposalStatus,
}

impl ProposalRecord {
    /// Whether the block of `height` falls in its life: the last height still counts.
    #[must_use]
    pub const fn can_be_decided_at(&self, height: u64) -> bool {
        lives_at(self.expires_at, height)
    }

    /// The word for where it stands at `height`.
    #[must_use]
    pub const fn state_at(&self, height: u64) -> &'static str {
        match self.status {
            ProposalStatus::Open if !self.can_be_decided_at(height) => "expired",
            ProposalStatus::Open => "open",
            ProposalStatus::Executed { .. } => "executed",
            ProposalStatus::Rejected { .. } => "rejected",
        }
    }
}

/// A proposal that counts against the bound of its proposer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OpenProposal {
    /// Its number.
    #[n(0)]
    pub number: u32,
    /// The province that proposed it.
    #[n(1)]
    pub proposer: ProvinceCode,
    /// Last height at which it can be decided.
    #[n(2)]
    pub expires_at: u64,
}

impl OpenProposal {
    /// As [`ProposalRecord::can_be_decided_at`].
    #[must_use]
    pub const fn can_be_decided_at(&self, height: u64) -> bool {
        lives_at(self.expires_at, height)
    }
}

const fn lives_at(expires_at: u64, height: u64) -> bool {
    height <= expires_at
}

/// What governance counts. There is no such record before the first proposal.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct GovernanceRecord {
    /// [`crate::records::RECORD_VERSION`].
    #[n(0)]
    pub version: u8,
    /// Number of the next proposal.
    #[n(1)]
    pub next_proposal: u32,
    /// Undecided proposals, ascending by number; the expired leave it with the next proposal.
    #[n(2)]
    pub open: Vec<OpenProposal>,
    /// Height of the last change of the validator set; 0 when it is that of genesis.
    #[n(3)]
    pub validators_changed_at: u64,
}

/// A span of heights in which a province's validator voted under one key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Term {
    /// The key.
    #[n(0)]
    pub key: PublicKey,
    /// First height at which it had the vote.
    #[n(1)]
    pub from: u64,
    /// Last height at which it had the vote; none while it has it.
    #[n(2)]
    pub until: Option<u64>,
}

impl Term {
    /// Whether the key had the vote at `height`.
    #[must_use]
    pub fn covers(&self, height: u64) -> bool {
        self.from <= height && self.until.is_none_or(|until| height <= until)
    }
}

/// Under which keys a province's validator has voted, so that evidence of an earlier height can be
/// judged. There is no such record while the validator, or its absence, is that of genesis.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct TermsRecord {
    /// [`crate::records::RECORD_VERSION`].
    #[n(0)]
    pub version: u8,
    /// The newest [`MAX_TERMS`] terms, ascending.
    #[n(1)]
    pub terms: Vec<Term>,
}

impl TermsRecord {
    /// The key that had the vote at `height`, as far as its term is kept.
    #[must_use]
    pub fn key_at(&self, height: u64) -> Option<PublicKey> {
        self.terms.iter().find(|term| term.covers(height)).map(|term| term.key)
    }
}

/// A feature and the height at which it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Activation {
    /// The feature's number.
    #[n(0)]
    pub feature: u32,
    /// First height at which it holds.
    #[n(1)]
    pub from: u64,
}

/// Every feature with a height. There is no such record before the first one.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct FeaturesRecord {
    /// [`crate::records::RECORD_VERSION`].
    #[n(0)]
    pub version: u8,
    /// Ascending by number, each once.
    #[n(1)]
    pub features: Vec<Activation>,
}

impl FeaturesRecord {
    /// Whether `feature` holds at `height`.
    #[must_use]
    pub fn is_active(&self, feature: u32, height: u64) -> bool {
        self.features.iter().any(|a| a.feature == feature && a.from <= height)
    }
}

/// A validator key that signed two messages which exclude each other. Its place names the province
/// and the height; the messages themselves are in the block of `reported_at`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct EvidenceRecord {
    /// [`crate::records::RECORD_VERSION`].
    #[n(0)]
    pub version: u8,
    /// The guilty key.
    #[n(1)]
    pub key: PublicKey,
    /// The round in which it did so.
    #[n(2)]
    pub round: u32,
    /// What it signed twice.
    #[n(3)]
    pub step: Step,
    /// Height of the block with the evidence.
    #[n(4)]
    pub reported_at: u64,
}
