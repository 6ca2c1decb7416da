//! The verdict: one answer for people and machines. Its JSON form is `docs/spec/verdict.md`.
//!
//! How it is found is [`crate::judge`]'s. `Debug` shows no claim's value.

use std::fmt;
use symbolon_credential::long_text::Base64UrlText;

use serde::{Deserialize, Serialize};

/// The four answers. They never blur.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything holds.
    Valid,
    /// Something is proven wrong.
    Invalid,
    /// All that can be checked without the ledger holds, and the ledger proves that it has no
    /// such licence.
    Unknown,
    /// It could not be decided now; the message says what to do next.
    Undetermined,
}

/// Why the outcome is not `valid`. The words are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Invalid: not a presentation.
    MalformedPresentation,
    /// Invalid: the issuer or its key is not registered for this.
    IssuerNotAuthorised,
    /// Invalid: the issuer's key did not sign it.
    BadSignature,
    /// Invalid: a disclosure is not among those signed.
    BadDisclosure,
    /// Invalid: the credential says otherwise than its registration.
    LedgerMismatch,
    /// Invalid: issued with a key that may have been in other hands.
    IssuerKeyCompromised,
    /// Invalid: revoked.
    Revoked,
    /// Invalid: a successor is in its place.
    Superseded,
    /// Invalid: suspended.
    Suspended,
    /// Invalid: released to another agency.
    TransferPending,
    /// Invalid: its first day is yet to come.
    NotYetValid,
    /// Invalid: its last day is past.
    Expired,
    /// Invalid: the holder's signature does not hold, or is for somebody else.
    BadHolderBinding,
    /// Invalid: the holder's signature is too old or from the future. Undetermined: it is from
    /// before the verifier's memory begins.
    StalePresentation,
    /// Invalid: the same presentation was shown before.
    Replayed,
    /// Unknown: the ledger has no such licence.
    NotOnLedger,
    /// Undetermined: what is known of the ledger is too old.
    StaleLedger,
    /// Undetermined: the ledger could not be read.
    LedgerUnavailable,
    /// Undetermined: asked for a time of which nothing is kept.
    BeforeRetainedWindow,
}

/// What the ledger says of the licence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerStatus {
    /// In force.
    Active,
    /// Suspended.
    Suspended,
    /// Released to another agency.
    TransferPending,
    /// Replaced.
    Superseded,
    /// Revoked.
    Revoked,
    /// Nothing is known of it.
    None,
}

/// Why a licence is recognised, or is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecognitionReason {
    /// The asking province is the issuer's own.
    OwnProvince,
    /// The type is recognised everywhere.
    National,
    /// An agreement is in force on that day.
    Agreement,
    /// There is no agreement.
    NoAgreement,
    /// There is an agreement, but not for that day.
    AgreementNotInForce,
    /// The issuer, the type or the ledger is not known, so it cannot be said.
    NotDetermined,
}

/// Whether the asking province recognises such licences. It never changes the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recognised {
    /// Whether it does.
    pub value: bool,
    /// Why.
    pub reason: RecognitionReason,
}

/// The licence's type, from the ledger's catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeName {
    /// Code.
    pub code: String,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
}

/// The issuer, from the ledger and never from the presentation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// Credit code.
    pub uscc: String,
    /// Name.
    pub name: String,
    /// Code of its province.
    pub province: String,
}

/// A claim that was shown and that the issuer signed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownClaim {
    /// Its key in the catalogue.
    pub key: String,
    /// Chinese label.
    pub label_zh: String,
    /// English label.
    pub label_en: String,
    /// Its value: personal data, exactly as the issuer signed it.
    pub value: String,
    /// The value as people are shown it: masked as its class demands, and with the characters
    /// that do not show written out ([`crate::display`]).
    pub display: String,
}

impl fmt::Debug for ShownClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShownClaim({})", self.key)
    }
}

/// The block whose state the verdict rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsOfBlock {
    /// Its height.
    pub height: u64,
    /// Its time, RFC 3339 in UTC.
    pub time: String,
    /// Its state root, 64 hexadecimal digits.
    pub state_root: String,
}

/// The checks, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckName {
    /// It is a presentation of a licence.
    Format,
    /// The issuer and its key were registered when it was issued.
    IssuerKey,
    /// The issuer's key signed it.
    Signature,
    /// What is shown is among what was signed.
    Disclosures,
    /// The ledger has it, and says the same of it.
    Ledger,
    /// No key behind it was in other hands.
    Compromise,
    /// It is in force.
    Status,
    /// The day lies between its first and its last.
    Dates,
    /// The holder signed this presentation.
    HolderBinding,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// It holds.
    Pass,
    /// It is proven not to hold.
    Fail,
    /// It could not be made, or there was nothing to check; the detail says which.
    Skipped,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Which.
    pub name: CheckName,
    /// How it went.
    pub result: CheckResult,
    /// What was found, in English. Never contains a claim's value.
    pub detail: String,
}

/// The answer in a sentence or two, for the person at the counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// In Chinese.
    pub zh: String,
    /// In English.
    pub en: String,
}

/// The answer to "is this licence good?".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The answer.
    pub outcome: Outcome,
    /// Why; absent when valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What the ledger says of it.
    pub ledger_status: LedgerStatus,
    /// Whether the asking province recognises it.
    pub recognised: Recognised,
    /// Whether the holder signed this presentation; null when no signature was presented.
    pub holder_bound: Option<bool>,
    /// The licence's name on the ledger; null when it names no issuer of this network.
    pub cid: Option<String>,
    /// Its type; null when the ledger does not know it.
    pub licence_type: Option<TypeName>,
    /// Its issuer; null when the ledger does not know it.
    pub issuer: Option<Issuer>,
    /// What was shown, in catalogue order; empty unless signature and disclosures hold.
    pub claims: Vec<ShownClaim>,
    /// First day, `YYYY-MM-DD`; null unless the signature holds.
    pub valid_from: Option<String>,
    /// Last day; null for no expiry, and unless the signature holds.
    pub valid_until: Option<String>,
    /// Its successor, when it is superseded.
    pub superseded_by: Option<String>,
    /// The block that the verdict rests on; null when the ledger could not be read.
    pub as_of: Option<AsOfBlock>,
    /// Every check, in order.
    pub checks: Vec<Check>,
    /// For people.
    pub message: Message,
    /// The state proof of the records behind it, base64url of its CBOR; null when not asked for.
    pub proof: Option<Base64UrlText>,
}

impl Verdict {
    /// How the check `name` went.
    #[must_use]
    pub fn check(&self, name: CheckName) -> Option<&Check> {
        self.checks.iter().find(|c| c.name == name)
    }
}
