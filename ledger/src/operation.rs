//! Operations: everything that can be said on the chain.
//!
//! All numbers are assigned, those of governance included, so that an old node knows a new
//! operation by number and refuses it by name (`not_active`). Who may say what, and when it is
//! refused, is `contracts`.

use std::fmt;

use minicbor::{Decode, Encode};

use crate::{
    codes::{Day, Label, Month, ProvinceCode, TypeCode, Uscc, cid},
    hash::{Cid, Digest},
    keys::PublicKey,
};

/// Whoever signs a transaction: an agency, or a province's authority.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Actor {
    /// A province.
    #[n(0)]
    Province(#[n(0)] ProvinceCode),
    /// An issuing agency.
    #[n(1)]
    Agency(#[n(0)] Uscc),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Province(code) => write!(f, "province {code}"),
            Self::Agency(uscc) => write!(f, "agency {uscc}"),
        }
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Actor({self})")
    }
}

/// What a key may be used for; one purpose each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum KeyPurpose {
    /// Signs transactions.
    #[n(0)]
    Transaction,
    /// Signs credentials.
    #[n(1)]
    Credential,
    /// Signs a province's status lists.
    #[n(2)]
    Status,
}

/// A key to be registered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct NewKey {
    /// The key.
    #[n(0)]
    pub key: PublicKey,
    /// Its one purpose.
    #[n(1)]
    pub purpose: KeyPurpose,
    /// Last height at which it is valid; none for no end.
    #[n(2)]
    pub valid_until: Option<u64>,
}

/// What an issuer says of a new licence. The agency is the signer, never a field.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct NewLicence {
    /// SHA-256 of the issuer-signed JWT; the contract makes the `cid` of it.
    #[n(0)]
    pub inner: Digest,
    /// Its type.
    #[n(1)]
    pub licence_type: TypeCode,
    /// Number of the agency's credential key that signed the JWT.
    #[n(2)]
    pub credential_key: u32,
    /// Status slot in the lists of the agency's province.
    #[n(3)]
    pub slot: u32,
    /// The month in which it ends; none for long-term licences.
    #[n(4)]
    pub expiry: Option<Month>,
    /// Names the document whose versions follow each other: an HMAC under the agency's secret.
    #[n(5)]
    pub lineage: Digest,
}

/// Class of a revocation. Its cause stays with the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum RevocationClass {
    /// Not said.
    #[n(0)]
    Unspecified,
    /// 注销: given up, or ended in the ordinary way.
    #[n(1)]
    Cancelled,
    /// 撤销: the grant itself is withdrawn.
    #[n(2)]
    Withdrawn,
    /// 吊销: a penalty.
    #[n(3)]
    Penalty,
    /// It should never have been issued.
    #[n(4)]
    IssuedInError,
}

impl RevocationClass {
    /// All classes.
    pub const ALL: [Self; 5] =
        [Self::Unspecified, Self::Cancelled, Self::Withdrawn, Self::Penalty, Self::IssuedInError];

    /// The word used on the command line and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Cancelled => "cancelled",
            Self::Withdrawn => "withdrawn",
            Self::Penalty => "penalty",
            Self::IssuedInError => "issued_in_error",
        }
    }
}

/// A span of days, both ends included; no end means until withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Interval {
    /// First day.
    #[n(0)]
    pub from: Day,
    /// Last day.
    #[n(1)]
    pub until: Option<Day>,
}

impl Interval {
    /// Whether `day` lies in the span.
    #[must_use]
    pub fn contains(&self, day: Day) -> bool {
        self.from <= day && self.until.is_none_or(|until| day <= until)
    }

    /// Whether two spans share a day.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.until.is_none_or(|until| other.from <= until)
            && other.until.is_none_or(|until| self.from <= until)
    }
}

/// One statement of a transaction. CBOR: `[number, {fields}]`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Operation {
    /// Register a new licence.
    #[n(1)]
    #[cbor(map)]
    Issue {
        /// The licence.
        #[n(0)]
        licence: NewLicence,
    },
    /// End a licence and register its successor, in one step.
    #[n(2)]
    #[cbor(map)]
    Supersede {
        /// The licence that ends.
        #[n(0)]
        previous: Cid,
        /// Its successor.
        #[n(1)]
        licence: NewLicence,
    },
    /// Take over a licence that its agency has released to the signer, under a new credential.
    #[n(3)]
    #[cbor(map)]
    TransferIn {
        /// The released licence.
        #[n(0)]
        previous: Cid,
        /// Its successor.
        #[n(1)]
        licence: NewLicence,
    },
    /// Suspend an active licence.
    #[n(4)]
    #[cbor(map)]
    Suspend {
        /// The licence.
        #[n(0)]
        cid: Cid,
    },
    /// End a suspension.
    #[n(5)]
    #[cbor(map)]
    Resume {
        /// The licence.
        #[n(0)]
        cid: Cid,
    },
    /// End a licence for good.
    #[n(6)]
    #[cbor(map)]
    Revoke {
        /// The licence.
        #[n(0)]
        cid: Cid,
        /// The class of the revocation.
        #[n(1)]
        class: RevocationClass,
    },
    /// Release a licence to another agency.
    #[n(7)]
    #[cbor(map)]
    TransferOut {
        /// The licence.
        #[n(0)]
        cid: Cid,
        /// The agency that may take it over.
        #[n(1)]
        to: Uscc,
    },
    /// Take a release back.
    #[n(8)]
    #[cbor(map)]
    CancelTransfer {
        /// The licence.
        #[n(0)]
        cid: Cid,
    },
    /// Register an agency of the signing province.
    #[n(16)]
    #[cbor(map)]
    RegisterAgency {
        /// Its credit code.
        #[n(0)]
        agency: Uscc,
        /// Its name.
        #[n(1)]
        name: Label,
        /// The types that it may issue.
        #[n(2)]
        scope: Vec<TypeCode>,
        /// Its first keys, numbered from 0.
        #[n(3)]
        keys: Vec<NewKey>,
    },
    /// Replace the types that an agency may issue.
    #[n(17)]
    #[cbor(map)]
    SetScope {
        /// The agency.
        #[n(0)]
        agency: Uscc,
        /// All types that it may issue from now on.
        #[n(1)]
        scope: Vec<TypeCode>,
    },
    /// Stop an agency from acting.
    #[n(18)]
    #[cbor(map)]
    SuspendAgency {
        /// The agency.
        #[n(0)]
        agency: Uscc,
    },
    /// Let a suspended agency act again.
    #[n(19)]
    #[cbor(map)]
    ResumeAgency {
        /// The agency.
        #[n(0)]
        agency: Uscc,
    },
    /// End an agency for good. Its licences stay.
    #[n(20)]
    #[cbor(map)]
    DeregisterAgency {
        /// The agency.
        #[n(0)]
        agency: Uscc,
    },
    /// Name the agency that administers the licences of a deregistered one.
    #[n(21)]
    #[cbor(map)]
    AssignSuccessor {
        /// The deregistered agency.
        #[n(0)]
        agency: Uscc,
        /// Its successor.
        #[n(1)]
        successor: Uscc,
    },
    /// Grant an agency blocks of status slots.
    #[n(22)]
    #[cbor(map)]
    ReserveSlots {
        /// The agency.
        #[n(0)]
        agency: Uscc,
        /// How many blocks of 4,096 slots.
        #[n(1)]
        blocks: u16,
    },
    /// Register one more key of an agency.
    #[n(23)]
    #[cbor(map)]
    AddKey {
        /// The agency.
        #[n(0)]
        agency: Uscc,
        /// The key.
        #[n(1)]
        key: NewKey,
    },
    /// Replace a key by a new one of the same purpose, from this height on.
    #[n(24)]
    #[cbor(map)]
    RotateKey {
        /// The agency.
        #[n(0)]
        agency: Uscc,
        /// Number of the key that ends.
        #[n(1)]
        key_id: u32,
        /// The key that takes its place.
        #[n(2)]
        key: NewKey,
    },
    /// End a key from this height on.
    #[n(25)]
    #[cbor(map)]
    RevokeKey {
        /// The agency.
        #[n(0)]
        agency: Uscc,
        /// Number of the key.
        #[n(1)]
        key_id: u32,
    },
    /// Declare a key stolen from a height on: what it issued since is invalid.
    #[n(26)]
    #[cbor(map)]
    MarkCompromised {
        /// The agency.
        #[n(0)]
        agency: Uscc,
        /// Number of the key.
        #[n(1)]
        key_id: u32,
        /// First height at which it may have been in other hands.
        #[n(2)]
        from_height: u64,
    },
    /// Name the key that signs the province's status lists.
    #[n(27)]
    #[cbor(map)]
    SetStatusKey {
        /// The key; its purpose is status.
        #[n(0)]
        key: NewKey,
    },
    /// Recognise licences of a type from another province.
    #[n(32)]
    #[cbor(map)]
    Recognise {
        /// The issuing province.
        #[n(0)]
        from_province: ProvinceCode,
        /// The type.
        #[n(1)]
        licence_type: TypeCode,
        /// The days of verification for which it holds.
        #[n(2)]
        interval: Interval,
    },
    /// End a recognition, also for licences already issued.
    #[n(33)]
    #[cbor(map)]
    WithdrawRecognition {
        /// The issuing province.
        #[n(0)]
        from_province: ProvinceCode,
        /// The type.
        #[n(1)]
        licence_type: TypeCode,
        /// First day without recognition.
        #[n(2)]
        effective: Day,
    },
    /// Reserved for governance: a proposal. Refused as `not_active`.
    #[n(48)]
    #[cbor(map)]
    Propose {},
    /// Reserved for governance: an approval. Refused as `not_active`.
    #[n(49)]
    #[cbor(map)]
    Approve {},
    /// Reserved for governance: a rejection. Refused as `not_active`.
    #[n(50)]
    #[cbor(map)]
    Reject {},
    /// Reserved for governance: evidence of equivocation. Refused as `not_active`.
    #[n(51)]
    #[cbor(map)]
    Evidence {},
}

impl Operation {
    /// The licences that the operation touches when `actor` says it: the one that it names, and
    /// the one that it makes.
    #[must_use]
    pub fn licences(&self, actor: &Actor) -> Vec<Cid> {
        let made = |licence: &NewLicence| match actor {
            Actor::Agency(uscc) => Some(cid(uscc, &licence.inner)),
            Actor::Province(_) => None,
        };
        match self {
            Self::Issue { licence } => made(licence).into_iter().collect(),
            Self::Supersede { previous, licence } | Self::TransferIn { previous, licence } => {
                [Some(*previous), made(licence)].into_iter().flatten().collect()
            }
            Self::Suspend { cid }
            | Self::Resume { cid }
            | Self::Revoke { cid, .. }
            | Self::TransferOut { cid, .. }
            | Self::CancelTransfer { cid } => vec![*cid],
            _ => Vec::new(),
        }
    }

    /// The operation's name in JSON, events and messages.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Issue { .. } => "issue",
            Self::Supersede { .. } => "supersede",
            Self::TransferIn { .. } => "transfer_in",
            Self::Suspend { .. } => "suspend",
            Self::Resume { .. } => "resume",
            Self::Revoke { .. } => "revoke",
            Self::TransferOut { .. } => "transfer_out",
            Self::CancelTransfer { .. } => "cancel_transfer",
            Self::RegisterAgency { .. } => "register_agency",
            Self::SetScope { .. } => "set_scope",
            Self::SuspendAgency { .. } => "suspend_agency",
            Self::ResumeAgency { .. } => "resume_agency",
            Self::DeregisterAgency { .. } => "deregister_agency",
            Self::AssignSuccessor { .. } => "assign_successor",
            Self::ReserveSlots { .. } => "reserve_slots",
            Self::AddKey { .. } => "add_key",
            Self::RotateKey { .. } => "rotate_key",
            Self::RevokeKey { .. } => "revoke_key",
            Self::MarkCompromised { .. } => "mark_compromised",
            Self::SetStatusKey { .. } => "set_status_key",
            Self::Recognise { .. } => "recognise",
            Self::WithdrawRecognition { .. } => "withdraw_recognition",
            Self::Propose {} => "propose",
            Self::Approve {} => "approve",
            Self::Reject {} => "reject",
            Self::Evidence {} => "evidence",
        }
    }
}
