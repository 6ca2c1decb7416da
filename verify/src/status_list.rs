//! Status lists against the ledger: whose key signed one, and whether it tells the truth.
//!
//! A list is signed by one province's key and believed on its word. Every node can compute the same
//! list from the ledger, so a lie can be told; here it is proven to a third party who asks no node,
//! from the signed list and state proofs alone. Reading a list is `symbolon_credential::status_list`.

use std::cmp::Ordering;

use symbolon_credential::status_list::{
    CheckError, Checked, Expected, ListedStatus, OutOfRange, Parsed, Seen,
};
use symbolon_ledger::{
    block::Header,
    hash::{Cid, Digest},
    operation::{Actor, KeyPurpose},
    records::{
        AgencyIndexRecord, AgencyRecord, KeyRecord, LicenceRecord, ProvinceRecord, Record,
        slot_list,
    },
    state::StateKey,
    status_page,
};
use thiserror::Error;

use crate::state_proof::{CheckedState, LookupError, NotProven};

/// Why a list cannot be relied on, judged by state proofs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StatusListError {
    /// No proof covers a place that is needed, or a record there is of a newer form.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The ledger has no such province, or it issues under another origin.
    #[error("the ledger has no province whose status lists have this address")]
    Province,
    /// The province never had such a key.
    #[error("province {province} has no key {key_id}")]
    NoSuchKey {
        /// The province, two digits.
        province: String,
        /// The number that the list names.
        key_id: u32,
    },
    /// The key has another purpose.
    #[error("key {key_id} of the province is not for status lists")]
    Purpose {
        /// Its number.
        key_id: u32,
    },
    /// The key was not valid at the height that the list names.
    #[error("key {key_id} of the province was not valid at height {height}")]
    KeyNotValid {
        /// Its number.
        key_id: u32,
        /// The height.
        height: u64,
    },
    /// The list itself.
    #[error(transparent)]
    Check(#[from] CheckError),
}

/// How a list contradicts the ledger. Each is a proof of the province's fault, or of its key's
/// being in other hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contradiction {
    /// It names a state root that the block of its height does not have.
    StateRoot {
        /// The height.
        height: u64,
        /// The root that it names.
        named: Digest,
        /// The root of the certified header.
        certified: Digest,
    },
    /// Its `iat` is not the time of the block of its height.
    IssuedAt {
        /// The height.
        height: u64,
        /// `iat`.
        named_s: u64,
        /// Time of the certified header, in whole seconds.
        certified_s: u64,
    },
    /// It was signed from an old state when a newer one was final.
    Outdated {
        /// The height that it names.
        height: u64,
        /// The height of the certified header, whose time lies before `iat`.
        certified_height: u64,
    },
    /// Its `iat` lies before the time of a block that came before its own.
    Predated {
        /// The height that it names.
        height: u64,
        /// The height of the certified header, whose time lies after `iat`.
        certified_height: u64,
    },
    /// It lists another status than the licence had.
    Status {
        /// The licence.
        cid: Cid,
        /// What it lists.
        listed: ListedStatus,
        /// What followed from the licence's record at that height.
        proven: ListedStatus,
    },
}

/// Why list and proof do not contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoContradiction {
    /// They say the same.
    #[error("the list and the proof say the same")]
    Agreement,
    /// The proof says nothing about the height of the list: the licence changed between the two,
    /// or the list is newer than the proof.
    #[error(
        "the proof of height {proven} says nothing about the licence at height {listed}, of which the list is"
    )]
    OtherTime {
        /// Height of the proof.
        proven: u64,
        /// Height of the list.
        listed: u64,
    },
    /// The licence is on another list.
    #[error("the licence is not on this list")]
    OtherList,
    /// The ledger has no such licence.
    #[error("the ledger has no such licence")]
    NoLicence,
    /// The licence's slot is past the list.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// No proof covers a place that is needed, or a record there is of a newer form.
    #[error(transparent)]
    Lookup(#[from] LookupError),
}

/// Checks a list by the province's key as the ledger has it, and not as anybody says.
///
/// `proofs` must together cover the province (`StateKey::Province`) and the key that the list names
/// (`StateKey::Key`): `GET /v1/provinces/{code}?proof=true` does. Proofs of an earlier height than
/// the list's do not know whether the key was ended since.
///
/// # Errors
///
/// [`StatusListError`].
pub fn check(
    list: &Parsed,
    uri: &str,
    proofs: &[CheckedState],
    now_s: u64,
    seen: Option<&Seen>,
) -> Result<Checked, StatusListError> {
    let address = list.claimed_address();
    let (key_id, height) = (list.claimed_key_id(), list.claimed_ledger().height);
    let province: Option<ProvinceRecord> = find(proofs, &StateKey::Province(address.province))?;
    if province.is_none_or(|p| p.issuer_origin != address.origin) {
        return Err(StatusListError::Province);
    }
    let actor = Actor::Province(address.province);
    let key: KeyRecord = find(proofs, &StateKey::Key(actor, key_id))?.ok_or_else(|| {
        StatusListError::NoSuchKey { province: address.province.to_string(), key_id }
    })?;
    if key.purpose != KeyPurpose::Status {
        return Err(StatusListError::Purpose { key_id });
    }
    if !key.is_valid_at(height) {
        return Err(StatusListError::KeyNotValid { key_id, height });
    }
    Ok(list.check(&Expected { uri, key_id, key: &key.key, now_s, seen })?)
}

/// Shows that a list contradicts what the provinces made final.
///
/// The first of `proofs` is held against the list: its header, and the licence `cid` that it
/// proves. It or the others must cover the licence's agency, to know on which list the licence
/// is: `GET /v1/licences/{cid}` and `GET /v1/provinces/{code}?proof=true` together do. To show
/// whose list it is, [`check`] it by the same proofs; a list that is no longer in force is checked
/// at its own `iat`.
///
/// # Errors
///
/// [`NoContradiction`]: they agree, or cannot be compared.
pub fn contradiction(
    list: &Checked,
    cid: &Cid,
    proofs: &[CheckedState],
) -> Result<Contradiction, NoContradiction> {
    let licence = StateKey::Licence(*cid);
    let Some(state) = proofs.first() else {
        return Err(LookupError::from(NotProven(licence)).into());
    };
    let ledger = list.ledger();
    let made =
        Made { height: ledger.height, state_root: ledger.state_root, issued_at: list.issued_at() };
    if let Some(found) = contradicted(&made, state.header().header()) {
        return Ok(found);
    }
    let record: LicenceRecord = state.get(&licence)?.ok_or(NoContradiction::NoLicence)?;
    let index = place(list, &record, proofs)?;
    let listed = list.status(index)?;
    let proven = status_then(&record, list.ledger().height, state.header().header().height)
        .ok_or_else(|| NoContradiction::OtherTime {
            proven: state.header().header().height,
            listed: list.ledger().height,
        })?;
    if listed == proven {
        return Err(NoContradiction::Agreement);
    }
    Ok(Contradiction::Status { cid: *cid, listed, proven })
}

/// Of which block a list says that it was made, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    pub(crate) height: u64,
    pub(crate) state_root: Digest,
    /// `iat`.
    pub(crate) issued_at: u64,
}

/// What a certified header says against a list.
pub(crate) fn contradicted(list: &Made, header: &Header) -> Option<Contradiction> {
    let (height, certified_height) = (list.height, header.height);
    let (named_s, certified_s) = (list.issued_at, header.time_ms / 1_000);
    let (named, certified) = (list.state_root, header.state_root);
    match certified_height.cmp(&height) {
        Ordering::Equal if certified != named => {
            Some(Contradiction::StateRoot { height, named, certified })
        }
        Ordering::Equal if certified_s != named_s => {
            Some(Contradiction::IssuedAt { height, named_s, certified_s })
        }
        Ordering::Greater if certified_s < named_s => {
            Some(Contradiction::Outdated { height, certified_height })
        }
        Ordering::Less if certified_s > named_s => {
            Some(Contradiction::Predated { height, certified_height })
        }
        _ => None,
    }
}

/// The licence's index on the list.
fn place(
    list: &Checked,
    licence: &LicenceRecord,
    proofs: &[CheckedState],
) -> Result<u64, NoContradiction> {
    let must = |key: &StateKey| LookupError::from(NotProven(key.clone()));
    let number = StateKey::AgencyByIndex(licence.agency_index);
    let agency: AgencyIndexRecord = find(proofs, &number)?.ok_or_else(|| must(&number))?;
    let place = StateKey::Agency(agency.uscc);
    let agency: AgencyRecord = find(proofs, &place)?.ok_or_else(|| must(&place))?;
    let (number, index) = slot_list(licence.slot);
    let address = list.address();
    if agency.province != address.province || number != address.list {
        return Err(NoContradiction::OtherList);
    }
    Ok(u64::from(index))
}

/// The status that followed from a licence's record at `height`, when it is the record at
/// `proven_at`; none when it does not say.
fn status_then(licence: &LicenceRecord, height: u64, proven_at: u64) -> Option<ListedStatus> {
    if height < licence.issued_at {
        // Nobody ever used its slot before.
        return Some(ListedStatus::of(status_page::VALID));
    }
    let unchanged_until = if licence.status.is_final() { u64::MAX } else { proven_at };
    let known = (licence.changed_at..=unchanged_until).contains(&height);
    known.then(|| ListedStatus::of(licence.status.list_value()))
}

/// A record as the newest proof that covers its place has it. What is taken from it never changes
/// (which agency has a number, an agency's province, a province's origin, a key and its purpose)
/// or only ever ends (a key).
fn find<R: Record>(proofs: &[CheckedState], key: &StateKey) -> Result<Option<R>, LookupError> {
    let covering = proofs.iter().filter(|state| state.bytes_at(key).is_ok());
    match covering.max_by_key(|state| state.header().header().height) {
        Some(state) => state.get(key),
        None => Err(NotProven(key.clone()).into()),
    }
}

#[cfg(test)]
mod tests {
    use symbolon_ledger::{operation::RevocationClass, records::LicenceStatus};

    use super::*;

    #[test]
    fn a_record_says_what_stood_as_long_as_it_did_not_change() {
        use ListedStatus::{Invalid, Suspended, Valid};
        let record = |status| LicenceRecord {
            version: 1,
            type_index: 0,
            agency_index: 0,
            credential_key: 1,
            transaction_key: 0,
            slot: 0,
            expiry: None,
            lineage: Digest([6; 32]),
            previous: None,
            status,
            issued_at: 10,
            changed_at: 20,
        };
        let revoked = LicenceStatus::Revoked { class: RevocationClass::Penalty };
        let superseded = LicenceStatus::Superseded { by: Digest([1; 32]) };
        // Status in the proof, height of the list, height of the proof, what is known.
        for (status, height, proven_at, expected) in [
            (LicenceStatus::Active, 20, 30, Some(Valid)),
            (LicenceStatus::Suspended, 30, 30, Some(Suspended)),
            (LicenceStatus::TransferPending { to: 3 }, 25, 30, Some(Suspended)),
            (revoked, 20, 30, Some(Invalid)),
            (superseded, 20, 30, Some(Invalid)),
            // Between issue and last change anything may have been.
            (revoked, 10, 30, None),
            (LicenceStatus::Active, 19, 30, None),
            // Before its issue the slot was nobody's.
            (revoked, 9, 30, Some(Valid)),
            // After the proof: only what is final still holds.
            (LicenceStatus::Suspended, 31, 30, None),
            (LicenceStatus::Active, 31, 30, None),
            (revoked, 31, 30, Some(Invalid)),
        ] {
            let known = status_then(&record(status), height, proven_at);
            assert_eq!(known, expected, "{status:?} at {height}, proven at {proven_at}");
        }
    }
}
