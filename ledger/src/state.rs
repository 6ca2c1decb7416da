//! Where each thing that is true now stands: the keys of the state.
//!
//! A key's CBOR is `[number, [parts...]]`. In the authenticated map it stands under
//! `SHA-256("symbolon/state/1" || CBOR)`; in the database under the CBOR itself, so that keys of
//! one kind are neighbours.

use minicbor::{Decode, Encode};

use crate::{
    codec,
    codes::{ProvinceCode, TypeCode, Uscc},
    hash::{Cid, Digest, domain, tagged_hash},
    operation::Actor,
};

/// Most bytes of a key: two short codes and a long type code.
pub const MAX_STATE_KEY_BYTES: usize = 128;

/// A place in the state. The record that may stand there is named at each variant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum StateKey {
    /// [`crate::records::ParametersRecord`].
    #[n(0)]
    Parameters,
    /// [`crate::records::ValidatorsRecord`]: the set that votes on the next block.
    #[n(1)]
    Validators,
    /// [`crate::records::CountersRecord`].
    #[n(2)]
    Counters,
    /// [`crate::records::ProvinceRecord`].
    #[n(3)]
    Province(#[n(0)] ProvinceCode),
    /// [`crate::records::AgencyRecord`].
    #[n(4)]
    Agency(#[n(0)] Uscc),
    /// [`crate::records::AgencyIndexRecord`].
    #[n(5)]
    AgencyByIndex(#[n(0)] u32),
    /// [`crate::records::KeyRecord`]: key number of an actor.
    #[n(6)]
    Key(#[n(0)] Actor, #[n(1)] u32),
    /// [`crate::catalogue::LicenceTypeRecord`].
    #[n(7)]
    LicenceType(#[n(0)] TypeCode),
    /// [`crate::records::TypeIndexRecord`].
    #[n(8)]
    LicenceTypeByIndex(#[n(0)] u16),
    /// [`crate::records::LicenceRecord`].
    #[n(9)]
    Licence(#[n(0)] Cid),
    /// [`crate::records::SlotBlockRecord`]: a block of status slots of a province.
    #[n(10)]
    SlotBlock(#[n(0)] ProvinceCode, #[n(1)] u32),
    /// [`crate::records::RecognitionRecord`]: recognising province, issuing province, type.
    #[n(11)]
    Recognition(#[n(0)] ProvinceCode, #[n(1)] ProvinceCode, #[n(2)] TypeCode),
    /// [`crate::records::LineageRecord`]: agency index and lineage tag. Derived from the licence
    /// records, so it stands in the database and not in the authenticated map.
    #[n(12)]
    Lineage(#[n(0)] u32, #[n(1)] Digest),
    /// [`crate::governance::GovernanceRecord`].
    #[n(13)]
    Governance,
    /// [`crate::governance::ProposalRecord`]: a proposal by its number.
    #[n(14)]
    Proposal(#[n(0)] u32),
    /// [`crate::governance::TermsRecord`]: the keys of a province's validator.
    #[n(15)]
    Terms(#[n(0)] ProvinceCode),
    /// [`crate::governance::FeaturesRecord`].
    #[n(16)]
    Features,
    /// [`crate::governance::EvidenceRecord`]: a province whose validator signed twice at a height.
    #[n(17)]
    Evidence(#[n(0)] ProvinceCode, #[n(1)] u64),
}

impl StateKey {
    /// The key's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Where the key stands in the authenticated map.
    #[must_use]
    pub fn map_key(&self) -> Digest {
        map_key(&self.encode())
    }

    /// Whether the key stands in the authenticated map. The others can be derived from those
    /// that do.
    #[must_use]
    pub const fn is_authenticated(&self) -> bool {
        !matches!(self, Self::Lineage(..))
    }
}

/// Where the key with these bytes stands in the authenticated map.
#[must_use]
pub fn map_key(key: &[u8]) -> Digest {
    tagged_hash(domain::STATE, &[key])
}
