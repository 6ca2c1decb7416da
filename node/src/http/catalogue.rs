//! Licence types in JSON.

use serde::Serialize;
use symbolon_ledger::catalogue::{ClaimRole, ClaimSpec, ClaimType, Disclosure, LicenceTypeRecord};
use utoipa::ToSchema;

use super::words::record;

/// A licence type.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct LicenceType {
    /// Its code.
    pub(super) code: String,
    /// Its number on this chain.
    index: u16,
    /// Version of the entry.
    schema_version: u32,
    /// The `vct` of its credentials.
    vct: String,
    /// Chinese name.
    name_zh: String,
    /// English name.
    name_en: String,
    /// Credit code of the authority that defines it.
    authority: Option<String>,
    /// Whether a source confirms the code.
    verified: bool,
    /// The source.
    source: String,
    /// Recognised in every province without an agreement.
    national: bool,
    /// Names an organisation and may be disclosed in full.
    public_subject: bool,
    /// May be suspended.
    suspendable: bool,
    /// May move to another agency.
    transferable: bool,
    /// Its claims, in the order of display.
    claims: Vec<Claim>,
    /// Keys of the claims shown when the holder does not choose.
    default_disclosure: Vec<String>,
    /// The record, base64url of its CBOR.
    record: String,
}

/// A claim of a licence type.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Claim {
    /// Its name in the credential.
    key: String,
    /// Chinese label.
    label_zh: String,
    /// English label.
    label_en: String,
    /// The form of its value.
    value: ClaimForm,
    /// Whether a licence must have it.
    mandatory: bool,
    /// `allowed`, `always` or `never`.
    disclosure: &'static str,
    /// Class of government data, 1 (least sensitive) to 4.
    sensitivity: u8,
    /// Whether it is among the claims that together name one licence.
    unique: bool,
    /// `valid_from`, `valid_until`, `birth_date` or `holder_number`.
    role: Option<&'static str>,
}

/// The form of a claim's value.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum ClaimForm {
    /// Text.
    Text {
        /// Most characters.
        max: u32,
    },
    /// `YYYY-MM-DD`.
    Date,
    /// `YYYY-MM-DD` or `长期`.
    EndDate,
    /// One of a list.
    Choice {
        /// The list.
        of: Vec<String>,
    },
    /// One or more of a list, joined without a separator.
    Classes {
        /// The list.
        of: Vec<String>,
    },
    /// A unified social credit code.
    Uscc,
    /// A resident identity number.
    ResidentId,
}

fn texts(labels: &[symbolon_ledger::codes::Label]) -> Vec<String> {
    labels.iter().map(ToString::to_string).collect()
}

impl From<&LicenceTypeRecord> for LicenceType {
    fn from(entry: &LicenceTypeRecord) -> Self {
        Self {
            code: entry.code.to_string(),
            index: entry.index,
            schema_version: entry.schema_version,
            vct: entry.vct(),
            name_zh: entry.name_zh.to_string(),
            name_en: entry.name_en.to_string(),
            authority: entry.authority.map(|uscc| uscc.to_string()),
            verified: entry.verified,
            source: entry.source.to_string(),
            national: entry.national,
            public_subject: entry.public_subject,
            suspendable: entry.suspendable,
            transferable: entry.transferable,
            claims: entry.claims.iter().map(Claim::from).collect(),
            default_disclosure: texts(&entry.default_disclosure),
            record: record(entry),
        }
    }
}

impl From<&ClaimSpec> for Claim {
    fn from(claim: &ClaimSpec) -> Self {
        Self {
            key: claim.key.to_string(),
            label_zh: claim.label_zh.to_string(),
            label_en: claim.label_en.to_string(),
            value: match &claim.value {
                ClaimType::Text { max } => ClaimForm::Text { max: *max },
                ClaimType::Date => ClaimForm::Date,
                ClaimType::EndDate => ClaimForm::EndDate,
                ClaimType::Choice { of } => ClaimForm::Choice { of: texts(of) },
                ClaimType::Classes { of } => ClaimForm::Classes { of: texts(of) },
                ClaimType::Uscc => ClaimForm::Uscc,
                ClaimType::ResidentId => ClaimForm::ResidentId,
            },
            mandatory: claim.mandatory,
            disclosure: match claim.disclosure {
                Disclosure::Allowed => "allowed",
                Disclosure::Always => "always",
                Disclosure::Never => "never",
            },
            sensitivity: claim.sensitivity,
            unique: claim.unique,
            role: claim.role.map(|role| match role {
                ClaimRole::ValidFrom => "valid_from",
                ClaimRole::ValidUntil => "valid_until",
                ClaimRole::BirthDate => "birth_date",
                ClaimRole::HolderNumber => "holder_number",
            }),
        }
    }
}
