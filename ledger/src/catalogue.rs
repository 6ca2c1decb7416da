//! The catalogue entry of a licence type: what such a licence says, and the rules it is under.
//!
//! Entries are data on the chain, founded by genesis and changed by governance. The credential
//! crate validates a licence's claims against them; the contracts obey their flags.

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};

use crate::{
    codes::{Label, TypeCode, Uscc},
    records::RECORD_VERSION,
};

/// Most claims of one type; the largest real entry has 25.
pub const MAX_CLAIMS: usize = 64;
/// Most values of one enumerated claim.
pub const MAX_CHOICES: usize = 64;
/// Most characters that a text claim may allow: no face of a licence holds more.
pub const MAX_TEXT_CHARS: u32 = 2_000;
/// Longest key of a claim, in bytes: it stands in every credential and every QR code.
pub const MAX_KEY_LEN: usize = 32;
/// Names that mean something else in an SD-JWT VC, or in the credential's own header.
pub const RESERVED_KEYS: [&str; 15] = [
    "iss", "sub", "aud", "iat", "nbf", "exp", "jti", "cnf", "vct", "status", "zzbs", "nonce",
    "sd_hash", "_sd", "_sd_alg",
];

/// Most sensitive class that a claim shown by default may have, unless the type's subject is
/// public: of the four classes of government data, 3 and 4 are shown only when the holder says so.
pub const MAX_DEFAULT_SENSITIVITY: u8 = 2;

/// What a claim's value must look like.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ClaimType {
    /// Text of at most `max` characters.
    #[n(0)]
    Text {
        /// Most characters.
        #[n(0)]
        max: u32,
    },
    /// A date, `YYYY-MM-DD`.
    #[n(1)]
    Date,
    /// An end date, `YYYY-MM-DD` or `长期` for none.
    #[n(2)]
    EndDate,
    /// One of a list.
    #[n(3)]
    Choice {
        /// The values allowed.
        #[n(0)]
        of: Vec<Label>,
    },
    /// One or more different values of a list, joined without a separator (`A1A2`).
    #[n(4)]
    Classes {
        /// The values allowed.
        #[n(0)]
        of: Vec<Label>,
    },
    /// A unified social credit code.
    #[n(5)]
    Uscc,
    /// A resident identity number (GB 11643).
    #[n(6)]
    ResidentId,
}

/// Whether a claim may be withheld or shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Disclosure {
    /// The holder chooses.
    #[n(0)]
    Allowed,
    /// Always shown: it stands open in the credential.
    #[n(1)]
    Always,
    /// Never shown to a verifier.
    #[n(2)]
    Never,
}

/// What a claim is for, where the program must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ClaimRole {
    /// First day of validity.
    #[n(0)]
    ValidFrom,
    /// Last day of validity.
    #[n(1)]
    ValidUntil,
    /// The holder's date of birth.
    #[n(2)]
    BirthDate,
    /// A number that contains the date of birth and must agree with it.
    #[n(3)]
    HolderNumber,
}

/// One claim of a licence type.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ClaimSpec {
    /// Name in the credential: `a-z`, `0-9` and `_`.
    #[n(0)]
    pub key: Label,
    /// Chinese label, also accepted as a column name.
    #[n(1)]
    pub label_zh: Label,
    /// English label.
    #[n(2)]
    pub label_en: Label,
    /// The form of its value.
    #[n(3)]
    pub value: ClaimType,
    /// Whether a licence must have it.
    #[n(4)]
    pub mandatory: bool,
    /// Whether it may be withheld.
    #[n(5)]
    pub disclosure: Disclosure,
    /// Class of government data, 1 (least sensitive) to 4.
    #[n(6)]
    pub sensitivity: u8,
    /// Whether it is among the claims that together name one licence: no two rows of an import
    /// may agree in all of them.
    #[n(7)]
    pub unique: bool,
    /// What the program must know about it.
    #[n(8)]
    pub role: Option<ClaimRole>,
}

/// A licence type.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LicenceTypeRecord {
    /// Version of this record's form.
    #[n(0)]
    pub version: u8,
    /// Number of the type on this chain, in the order of registration.
    #[n(1)]
    pub index: u16,
    /// The code.
    #[n(2)]
    pub code: TypeCode,
    /// Version of the entry, the last part of `vct`.
    #[n(3)]
    pub schema_version: u32,
    /// Chinese name.
    #[n(4)]
    pub name_zh: Label,
    /// English name.
    #[n(5)]
    pub name_en: Label,
    /// The authority that defines the type, if known.
    #[n(6)]
    pub authority: Option<Uscc>,
    /// Whether a source confirms the code.
    #[n(7)]
    pub verified: bool,
    /// The source, or why there is none.
    #[n(8)]
    pub source: Label,
    /// Recognised in every province without an agreement.
    #[n(9)]
    pub national: bool,
    /// Names an organisation and may be disclosed in full.
    #[n(10)]
    pub public_subject: bool,
    /// May be suspended.
    #[n(11)]
    pub suspendable: bool,
    /// May move to another agency.
    #[n(12)]
    pub transferable: bool,
    /// The claims, in the order of display.
    #[n(13)]
    pub claims: Vec<ClaimSpec>,
    /// Keys of the claims shown when the holder does not choose.
    #[n(14)]
    pub default_disclosure: Vec<Label>,
}

impl LicenceTypeRecord {
    /// The `vct` of credentials of this type and version.
    #[must_use]
    pub fn vct(&self) -> String {
        format!("urn:elic:{}:{}", self.code, self.schema_version)
    }

    /// The claim named `key`.
    #[must_use]
    pub fn claim(&self, key: &str) -> Option<&ClaimSpec> {
        self.claims.iter().find(|c| c.key.as_str() == key)
    }

    /// Whether `claim` may be shown without the holder saying so: it may be shown at all, and it is
    /// of class [`MAX_DEFAULT_SENSITIVITY`] at most or tells of a public subject.
    #[must_use]
    pub fn may_default(&self, claim: &ClaimSpec) -> bool {
        claim.disclosure != Disclosure::Never
            && (self.public_subject || claim.sensitivity <= MAX_DEFAULT_SENSITIVITY)
    }

    /// The claims shown when the holder does not choose, in the order of display.
    pub fn shown_by_default(&self) -> impl Iterator<Item = &ClaimSpec> {
        let listed = |claim: &ClaimSpec| self.default_disclosure.contains(&claim.key);
        self.claims.iter().filter(move |claim| listed(claim) && self.may_default(claim))
    }

    /// Whether credentials can be issued and shown under the entry: every claim is well formed, no
    /// name or role means two of them, and nothing is shown by default that the holder must decide
    /// to show.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let claims = &self.claims;
        let names: BTreeSet<&str> =
            claims.iter().flat_map(|c| [c.key.as_str(), c.label_zh.as_str()]).collect();
        // A claim whose key is also its Chinese label has one name, any other has two.
        let count = |c: &ClaimSpec| if c.key == c.label_zh { 1 } else { 2 };
        let roles: Vec<ClaimRole> = claims.iter().filter_map(|c| c.role).collect();
        let shown: BTreeSet<&Label> = self.default_disclosure.iter().collect();
        self.version == RECORD_VERSION
            && self.schema_version > 0
            && (1..=MAX_CLAIMS).contains(&claims.len())
            && claims.iter().all(ClaimSpec::is_sound)
            && names.len() == claims.iter().map(count).sum::<usize>()
            && (1..roles.len()).all(|i| !roles[..i].contains(&roles[i]))
            && shown.len() == self.default_disclosure.len()
            && shown.iter().all(|key| {
                self.claim(key.as_str()).is_some_and(|claim| self.may_default(claim))
            })
            // What nobody can withhold is shown by default too.
            && claims.iter().all(|c| c.disclosure != Disclosure::Always || self.may_default(c))
    }
}

impl ClaimSpec {
    /// Whether the claim is well formed by itself.
    fn is_sound(&self) -> bool {
        let key = self.key.as_str();
        let plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_');
        let form = match &self.value {
            ClaimType::Text { max } => (1..=MAX_TEXT_CHARS).contains(max),
            ClaimType::Choice { of } | ClaimType::Classes { of } => {
                let different: BTreeSet<&Label> = of.iter().collect();
                (1..=MAX_CHOICES).contains(&of.len()) && different.len() == of.len()
            }
            ClaimType::Date | ClaimType::EndDate | ClaimType::Uscc | ClaimType::ResidentId => true,
        };
        let role = match self.role {
            None => true,
            Some(ClaimRole::ValidFrom | ClaimRole::BirthDate) => self.value == ClaimType::Date,
            Some(ClaimRole::ValidUntil) => {
                matches!(self.value, ClaimType::Date | ClaimType::EndDate)
            }
            Some(ClaimRole::HolderNumber) => self.value == ClaimType::ResidentId,
        };
        key.len() <= MAX_KEY_LEN
            && key.bytes().all(plain)
            && !RESERVED_KEYS.contains(&key)
            && (1..=4).contains(&self.sensitivity)
            && form
            && role
    }
}
