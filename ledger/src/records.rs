//! The records of the state. Each is deterministic CBOR with its form's version under key 0, and
//! what a proof shows is exactly these bytes.

use minicbor::{Decode, Encode};

use crate::{
    codec::{self, DecodeError},
    codes::{Label, Month, Origin, ProvinceCode, TypeCode, Uscc},
    hash::{Cid, Digest},
    keys::PublicKey,
    operation::{Actor, Interval, KeyPurpose, RevocationClass},
    status_page,
    validators::ValidatorSet,
};

/// Version of every record's form.
pub const RECORD_VERSION: u8 = 1;
/// Most bytes of a record: a licence type with all its claims is the largest.
pub const MAX_RECORD_BYTES: usize = 64 * 1024;
/// Slots of a block that `ReserveSlots` grants.
pub const SLOTS_PER_BLOCK: u32 = 4_096;
/// Slots of one status list, as a power of two: lists of a million hide whose status is read.
pub const SLOTS_PER_LIST_BITS: u32 = 20;
/// Most intervals of one recognition.
pub const MAX_INTERVALS: usize = 16;
/// Most types in an agency's scope.
pub const MAX_SCOPE: usize = 256;
/// Shortest interval of any parameter, in milliseconds: a shorter one would fill the disks with
/// empty blocks.
pub const SHORTEST_PARAMETER_MS: u64 = 100;
/// Longest interval of any parameter, in milliseconds: a year.
pub const LONGEST_PARAMETER_MS: u64 = 366 * 24 * 3_600_000;

/// Anything that can stand in the state.
pub trait Record: Sized + Encode<()> + for<'b> Decode<'b, ()> {
    /// The record's bytes.
    fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a record's bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError`].
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes, MAX_RECORD_BYTES)
    }
}

/// Parameters of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ParametersRecord {
    /// [`RECORD_VERSION`].
    #[n(0)]
    pub version: u8,
    /// How long a proposer waits for transactions before it proposes an empty block, in
    /// milliseconds: so "as of" stays fresh.
    #[n(1)]
    pub idle_block_interval_ms: u64,
    /// Greatest age of a header on which `valid` or `unknown` may rest, in milliseconds.
    #[n(2)]
    pub max_staleness_ms: u64,
    /// Greatest age of a pinned header on which an offline verifier may rest, in milliseconds.
    #[n(3)]
    pub bundle_max_age_ms: u64,
}

impl ParametersRecord {
    /// Whether a chain can live with them: every interval within its bounds, and a staleness that
    /// an idle chain does not pass.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let intervals =
            [self.idle_block_interval_ms, self.max_staleness_ms, self.bundle_max_age_ms];
        let bounds = SHORTEST_PARAMETER_MS..=LONGEST_PARAMETER_MS;
        intervals.iter().all(|ms| bounds.contains(ms))
            && self.idle_block_interval_ms < self.max_staleness_ms
    }
}

/// The validator set.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ValidatorsRecord {
    /// [`RECORD_VERSION`].
    #[n(0)]
    pub version: u8,
    /// The set.
    #[n(1)]
    pub set: ValidatorSet,
}

/// How many agencies and types have been numbered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CountersRecord {
    /// [`RECORD_VERSION`].
    #[n(0)]
    pub version: u8,
    /// Number of the next agency.
    #[n(1)]
    pub next_agency: u32,
    /// Number of the next licence type.
    #[n(2)]
    pub next_type: u16,
}

/// A province.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ProvinceRecord {
    /// [`RECORD_VERSION`].
    #[n(0)]
    pub version: u8,
    /// Its code.
    #[n(1)]
    pub code: ProvinceCode,
    /// Chinese name.
    #[n(2)]
    pub name_zh: Label,
    /// English name.
    #[n(3)]
    pub name_en: Label,
    /// The origin under which its agencies issue; it never changes.
    #[n(4)]
    pub issuer_origin: Origin,
    /// Number of its next key.
    #[n(5)]
    pub next_key: u32,
    /// Number of the key that signs its status lists.
    #[n(6)]
    pub status_key: Option<u32>,
    /// Number of the next block of status slots.
    #[n(7)]
    pub next_slot_block: u32,
    /// Height at which it was shut out; none while it takes part. It never comes back.
    #[n(8)]
    pub removed_at: Option<u64>,
}

/// Whether an agency may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum AgencyStatus {
    /// It may.
    #[n(0)]
    Active,
    /// Not until its province resumes it.
    #[n(1)]
    Suspended,
    /// Never again.
    #[n(2)]
    Deregistered,
}

impl AgencyStatus {
    /// The word in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deregistered => "deregistered",
        }
    }
}

/// An issuing agency.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AgencyRecord {
    /// [`RECORD_VERSION`].
    #[n(0)]
    pub version: u8,
    /// Its number on this chain.
    #[n(1)]
    pub index: u32,
    /// Its credit code.
    #[n(2)]
    pub uscc: Uscc,
    /// Its name.
    #[n(3)]
    pub name: Label,
    /// The province that answers for it.
    #[n(4)]
    pub province: ProvinceCode,
    /// Whether it may act.
    #[n(5)]
    pub status: AgencyStatus,
    /// The types that it may issue, ascending.
    #[n(6)]
    pub scope: Vec<TypeCode>,
    /// Number of its next key.
    #[n(7)]
    pub next_key: u32,
    /// The agency that administers its licences once it is deregistered.
    #[n(8)]
    pub successor: Option<Uscc>,
    /// Height of registration.
    #[n(9)]
    pub registered_at: u64,
    /// Height of the last change of anything above.
    #[n(10)]
    pub changed_at: u64,
    /// How many blocks of status slots are granted to it of which less than half is used.
    #[n(11)]
    pub open_blocks: u32,
}

/// The agency of a number.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AgencyIndexRecord {
    /// [`RECORD_VERSION`].
    #[n(0)]
    pub version: u8,
    /// Its credit code.
    #[n(1)]
    pub uscc: Uscc,
}

/// The licence type of a number.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct TypeIndexRecord {
    /// [`RECORD_VERSION`].
    #[n(0)]
    pub version: u8,
    /// Its code.
    #[n(1)]
    pub code: TypeCode,
}

/// The key that registered another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct AddedBy {
    /// Whose key it was.
    #[n(0)]
    pub actor: Actor,
    /// Its number.
    #[n(1)]
    pub key_id: u32,
}

/// A key of a province or an agency. Records are never removed, and numbers never used again.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct KeyRecord {
    /// [`RECORD_VERSION`].
    #[n(0)]
    pub version: u8,
    /// The key.
    #[n(1)]
    pub key: PublicKey,
    /// Its one purpose.
    #[n(2)]
    pub purpose: KeyPurpose,
    /// First height at which it is valid: that of its registration.
    #[n(3)]
    pub valid_from: u64,
    /// Last height at which it is valid; none for no end.
    #[n(4)]
    pub valid_until: Option<u64>,
    /// The key that registered it; none for keys of genesis and of governance.
    #[n(5)]
    pub added_by: Option<AddedBy>,
    /// First height at which it may have been in other hands.
    #[n(6)]
    pub compromised_from: Option<u64>,
}

impl KeyRecord {
    /// Whether the key may be used at `height`.
    #[must_use]
    pub fn is_valid_at(&self, height: u64) -> bool {
        self.valid_from <= height
            && self.valid_until.is_none_or(|until| height <= until)
            && !self.is_compromised_at(height)
    }

    /// Whether what the key signed at `height` may be somebody else's.
    #[must_use]
    pub fn is_compromised_at(&self, height: u64) -> bool {
        self.compromised_from.is_some_and(|from| from <= height)
    }
}

/// Where a licence stands. Expired is computed from its dates, never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum LicenceStatus {
    /// In force.
    #[n(0)]
    Active,
    /// Suspended by its agency or its province.
    #[n(1)]
    Suspended,
    /// Released to another agency, which has not taken it over.
    #[n(2)]
    TransferPending {
        /// Number of that agency.
        #[n(0)]
        to: u32,
    },
    /// Final: a successor is in its place.
    #[n(3)]
    Superseded {
        /// The successor.
        #[n(0)]
        by: Cid,
    },
    /// Final.
    #[n(4)]
    Revoked {
        /// The class of the revocation.
        #[n(0)]
        class: RevocationClass,
    },
}

impl LicenceStatus {
    /// Whether no operation can ever change it.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Superseded { .. } | Self::Revoked { .. })
    }

    /// The word in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::TransferPending { .. } => "transfer_pending",
            Self::Superseded { .. } => "superseded",
            Self::Revoked { .. } => "revoked",
        }
    }

    /// Its value in a status list: one of [`crate::status_page`]'s.
    #[must_use]
    pub const fn list_value(&self) -> u8 {
        match self {
            Self::Active => status_page::VALID,
            Self::Superseded { .. } | Self::Revoked { .. } => status_page::INVALID,
            Self::Suspended | Self::TransferPending { .. } => status_page::SUSPENDED,
        }
    }
}

/// A licence. Never a name, a number of a document or person, a holder's key, nor a digest of
/// any of them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LicenceRecord {
    /// [`RECORD_VERSION`].
    #[n(0)]
    pub version: u8,
    /// Number of its type.
    #[n(1)]
    pub type_index: u16,
    /// Number of the agency that issued it.
    #[n(2)]
    pub agency_index: u32,
    /// Number of the agency's key that signed the credential.
    #[n(3)]
    pub credential_key: u32,
    /// Number of the agency's key that signed the transaction.
    #[n(4)]
    pub transaction_key: u32,
    /// Status slot in the lists of the agency's province.
    #[n(5)]
    pub slot: u32,
    /// The month in which it ends; none for long-term licences.
    #[n(6)]
    pub expiry: Option<Month>,
    /// The document whose versions follow each other; unique per agency.
    #[n(7)]
    pub lineage: Digest,
    /// The licence that it replaced.
    #[n(8)]
    pub previous: Option<Cid>,
    /// Where it stands.
    #[n(9)]
    pub status: LicenceStatus,
    /// Height of issue.
    #[n(10)]
    pub issued_at: u64,
    /// Height of the last change.
    #[n(11)]
    pub changed_at: u64,
}

/// A block of status slots, granted to an agency.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SlotBlockRecord {
    /// [`RECORD_VERSION`].
    #[n(0)]
    pub version: u8,
    /// Number of the agency.
    #[n(1)]
    pub agency_index: u32,
    /// One bit a slot, least significant first: whether a licence ever used it.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub used: Vec<u8>,
}

impl SlotBlockRecord {
    /// A block in which no slot is used.
    #[must_use]
    pub fn new(agency_index: u32) -> Self {
        let used = vec![0; SLOTS_PER_BLOCK as usize / 8];
        Self { version: RECORD_VERSION, agency_index, used }
    }

    /// Whether the slot at `offset` in the block is used. Offsets past the end count as used.
    #[must_use]
    pub fn is_used(&self, offset: u32) -> bool {
        self.used.get(offset as usize / 8).is_none_or(|byte| byte >> (offset % 8) & 1 == 1)
    }

    /// Marks the slot at `offset` as used; `false` when it was used before or does not exist.
    pub fn take(&mut self, offset: u32) -> bool {
        if self.is_used(offset) {
            return false;
        }
        self.used[offset as usize / 8] |= 1 << (offset % 8);
        true
    }

    /// How many slots are used.
    #[must_use]
    pub fn used_count(&self) -> u32 {
        self.used.iter().map(|byte| byte.count_ones()).sum()
    }

    /// Whether less than half of the slots are used.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.used_count() < SLOTS_PER_BLOCK / 2
    }
}

/// The block of a province's status slots in which `slot` lies, and its place there.
#[must_use]
pub const fn slot_block(slot: u32) -> (u32, u32) {
    (slot / SLOTS_PER_BLOCK, slot % SLOTS_PER_BLOCK)
}

/// The status list of a province in which `slot` lies, and its index there.
#[must_use]
pub const fn slot_list(slot: u32) -> (u32, u32) {
    (slot >> SLOTS_PER_LIST_BITS, slot & ((1 << SLOTS_PER_LIST_BITS) - 1))
}

/// When a province recognises a type from another one.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RecognitionRecord {
    /// [`RECORD_VERSION`].
    #[n(0)]
    pub version: u8,
    /// Up to [`MAX_INTERVALS`] spans of days, ascending and without a common day.
    #[n(1)]
    pub intervals: Vec<Interval>,
}

/// The licence of a lineage that is not final; no record stands when all of them are.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LineageRecord {
    /// [`RECORD_VERSION`].
    #[n(0)]
    pub version: u8,
    /// The licence.
    #[n(1)]
    pub newest: Cid,
}

macro_rules! records {
    ($($name:ty),* $(,)?) => { $(impl Record for $name {})* };
}

records!(
    ParametersRecord,
    ValidatorsRecord,
    CountersRecord,
    ProvinceRecord,
    AgencyRecord,
    AgencyIndexRecord,
    KeyRecord,
    crate::catalogue::LicenceTypeRecord,
    TypeIndexRecord,
    LicenceRecord,
    SlotBlockRecord,
    RecognitionRecord,
    LineageRecord,
    crate::governance::GovernanceRecord,
    crate::governance::ProposalRecord,
    crate::governance::TermsRecord,
    crate::governance::FeaturesRecord,
    crate::governance::EvidenceRecord,
);
