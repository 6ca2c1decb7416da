//! Operations: everything that can be said on the chain.
//!
//! Who may say what, and when it is refused, is `contracts`. A new operation takes a new number,
//! and a rule that begins later a feature, see [`crate::governance::Action::ActivateFeature`].

use std::fmt;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::{
    codes::{Day, Label, Month, ProvinceCode, TypeCode, Uscc, cid},
    governance::Action,
    hash::{Cid, Digest},
    keys::PublicKey,
    vote::SignedStatement,
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

/// One row an operation: number, variant, name, then its fields, each with its number.
macro_rules! operations {
    (
        $($(#[$doc:meta])* $number:literal $variant:ident $name:literal {
            $($(#[$field_doc:meta])* $key:literal $field:ident: $type:ty,)*
        })*
    ) => {
        /// One statement of a transaction. CBOR: `[number, {fields}]`.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Operation {
            $($(#[$doc])* $variant { $($(#[$field_doc])* $field: $type,)* },)*
        }

        impl Operation {
            /// The operation's name in JSON, events and messages.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name,)*
                }
            }
        }

        impl<C> Encode<C> for Operation {
            fn encode<W: encode::Write>(
                &self,
                e: &mut Encoder<W>,
                ctx: &mut C,
            ) -> Result<(), encode::Error<W::Error>> {
                match self {
                    $(Self::$variant { $($field),* } => {
                        e.array(2)?.u8($number)?.map([$($key),*].len() as u64)?;
                        $(e.u8($key)?.encode_with($field, ctx)?;)*
                    })*
                }
                Ok(())
            }
        }

        impl<'b, C> Decode<'b, C> for Operation {
            fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
                let at = d.position();
                if d.array()? != Some(2) {
                    let why = "an operation is an array of its number and its fields";
                    return Err(decode::Error::message(why).at(at));
                }
                match d.u32()? {
                    $($number => {
                        read_count(d, [$($key),*].len() as u64)?;
                        Ok(Self::$variant { $($field: read_field(d, ctx, $key)?),* })
                    })*
                    other => Err(decode::Error::unknown_variant(other.into()).at(at)),
                }
            }
        }
    };
}

fn read_count(d: &mut Decoder<'_>, count: u64) -> Result<(), decode::Error> {
    let at = d.position();
    if d.map()? == Some(count) {
        return Ok(());
    }
    Err(decode::Error::message(format!("this operation has {count} fields")).at(at))
}

fn read_field<'b, C, T: Decode<'b, C>>(
    d: &mut Decoder<'b>,
    ctx: &mut C,
    key: u8,
) -> Result<T, decode::Error> {
    let at = d.position();
    if d.u8()? == key {
        return d.decode_with(ctx);
    }
    Err(decode::Error::message(format!("field {key} is expected here")).at(at))
}

operations! {
    /// Register a new licence.
    1 Issue "issue" {
        /// The licence.
        0 licence: NewLicence,
    }
    /// End a licence and register its successor, in one step.
    2 Supersede "supersede" {
        /// The licence that ends.
        0 previous: Cid,
        /// Its successor.
        1 licence: NewLicence,
    }
    /// Take over a licence that its agency has released to the signer, under a new credential.
    3 TransferIn "transfer_in" {
        /// The released licence.
        0 previous: Cid,
        /// Its successor.
        1 licence: NewLicence,
    }
    /// Suspend an active licence.
    4 Suspend "suspend" {
        /// The licence.
        0 cid: Cid,
    }
    /// End a suspension.
    5 Resume "resume" {
        /// The licence.
        0 cid: Cid,
    }
    /// End a licence for good.
    6 Revoke "revoke" {
        /// The licence.
        0 cid: Cid,
        /// The class of the revocation.
        1 class: RevocationClass,
    }
    /// Release a licence to another agency.
    7 TransferOut "transfer_out" {
        /// The licence.
        0 cid: Cid,
        /// The agency that may take it over.
        1 to: Uscc,
    }
    /// Take a release back.
    8 CancelTransfer "cancel_transfer" {
        /// The licence.
        0 cid: Cid,
    }
    /// Register an agency of the signing province.
    16 RegisterAgency "register_agency" {
        /// Its credit code.
        0 agency: Uscc,
        /// Its name.
        1 name: Label,
        /// The types that it may issue.
        2 scope: Vec<TypeCode>,
        /// Its first keys, numbered from 0.
        3 keys: Vec<NewKey>,
    }
    /// Replace the types that an agency may issue.
    17 SetScope "set_scope" {
        /// The agency.
        0 agency: Uscc,
        /// All types that it may issue from now on.
        1 scope: Vec<TypeCode>,
    }
    /// Stop an agency from acting.
    18 SuspendAgency "suspend_agency" {
        /// The agency.
        0 agency: Uscc,
    }
    /// Let a suspended agency act again.
    19 ResumeAgency "resume_agency" {
        /// The agency.
        0 agency: Uscc,
    }
    /// End an agency for good. Its licences stay.
    20 DeregisterAgency "deregister_agency" {
        /// The agency.
        0 agency: Uscc,
    }
    /// Name the agency that administers the licences of a deregistered one.
    21 AssignSuccessor "assign_successor" {
        /// The deregistered agency.
        0 agency: Uscc,
        /// Its successor.
        1 successor: Uscc,
    }
    /// Grant an agency blocks of status slots.
    22 ReserveSlots "reserve_slots" {
        /// The agency.
        0 agency: Uscc,
        /// How many blocks of 4,096 slots.
        1 blocks: u16,
    }
    /// Register one more key of an agency.
    23 AddKey "add_key" {
        /// The agency.
        0 agency: Uscc,
        /// The key.
        1 key: NewKey,
    }
    /// Replace a key by a new one of the same purpose, from this height on.
    24 RotateKey "rotate_key" {
        /// The agency.
        0 agency: Uscc,
        /// Number of the key that ends.
        1 key_id: u32,
        /// The key that takes its place.
        2 key: NewKey,
    }
    /// End a key from this height on.
    25 RevokeKey "revoke_key" {
        /// The agency.
        0 agency: Uscc,
        /// Number of the key.
        1 key_id: u32,
    }
    /// Declare a key stolen from a height on: what it issued since is invalid.
    26 MarkCompromised "mark_compromised" {
        /// The agency.
        0 agency: Uscc,
        /// Number of the key.
        1 key_id: u32,
        /// First height at which it may have been in other hands.
        2 from_height: u64,
    }
    /// Name the key that signs the province's status lists.
    27 SetStatusKey "set_status_key" {
        /// The key; its purpose is status.
        0 key: NewKey,
    }
    /// Recognise licences of a type from another province.
    32 Recognise "recognise" {
        /// The issuing province.
        0 from_province: ProvinceCode,
        /// The type.
        1 licence_type: TypeCode,
        /// The days of verification for which it holds.
        2 interval: Interval,
    }
    /// End a recognition, also for licences already issued.
    33 WithdrawRecognition "withdraw_recognition" {
        /// The issuing province.
        0 from_province: ProvinceCode,
        /// The type.
        1 licence_type: TypeCode,
        /// First day without recognition.
        2 effective: Day,
    }
    /// Propose an action to the provinces. Who proposes it and has a vote approves it.
    48 Propose "propose" {
        /// What would change.
        0 action: Box<Action>,
        /// Last height at which it can be decided.
        1 expires_at_height: u64,
    }
    /// Approve a proposal. With more than two thirds it takes effect.
    49 Approve "approve" {
        /// Its number.
        0 proposal: u32,
        /// [`Action::digest`] of what the signer has read: a number alone may come to name
        /// another proposal than the one that was meant.
        1 action: Digest,
    }
    /// Reject a proposal.
    50 Reject "reject" {
        /// Its number.
        0 proposal: u32,
        /// As in an approval.
        1 action: Digest,
    }
    /// Show that a validator has signed two messages that exclude each other.
    51 Evidence "evidence" {
        /// The province whose validator it is.
        0 province: ProvinceCode,
        /// The message whose bytes come first.
        1 first: SignedStatement,
        /// The other one.
        2 second: SignedStatement,
    }
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{DecodeError, decode};

    #[test]
    fn what_is_no_operation_is_refused() {
        let check = |bytes: &[u8]| {
            assert!(decode::<Operation>(bytes, 64).is_err(), "{bytes:02x?}");
        };
        let digest = [&[0x58, 0x20][..], &[7; 32]].concat();
        let approve = [&[0x82, 0x18, 49, 0xa2, 0x00, 0x07, 0x01][..], &digest].concat();
        assert!(decode::<Operation>(&approve, 64).is_ok());
        check(&[0x82, 0x18, 49, 0x80]); // fields that are no map
        check(&approve[..approve.len() - 1]); // fields that end too early
        check(&[&approve[..], &[0x00]].concat()); // something behind them
        check(&[0x82, 0x18, 49, 0xa1, 0x00, 0x07]); // an approval of a number alone
        check(&[0x81, 0x18, 49]); // no fields
        check(&[0x82, 0x18, 52, 0xa0]); // a number that is not assigned
        check(&[0x82, 0x04, 0xa0]); // a suspension of nothing
        let cid = [&[0x58, 0x20][..], &[7; 32]].concat();
        let suspend = |before: &[u8], after: &[u8]| [before, &cid, after].concat();
        assert!(decode::<Operation>(&suspend(&[0x82, 0x04, 0xa1, 0x00], &[]), 64).is_ok());
        check(&suspend(&[0x82, 0x04, 0xa1, 0x01], &[])); // another field
        check(&suspend(&[0x82, 0x04, 0xa2, 0x00], &[0x01, 0x00])); // one field more
        check(&suspend(&[0x9f, 0x04, 0xa1, 0x00], &[0xff])); // indefinite length
        let overlong = suspend(&[0x82, 0x18, 0x04, 0xa1, 0x00], &[]);
        assert_eq!(decode::<Operation>(&overlong, 64), Err(DecodeError::NotDeterministic));
    }
}
