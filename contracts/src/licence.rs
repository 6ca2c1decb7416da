//! Licences: from issue to the end, and between agencies.
//!
//! | operation | from | to |
//! |---|---|---|
//! | `Issue` | nothing | Active |
//! | `Supersede` | Active | Superseded, and a new Active one |
//! | `TransferIn` | TransferPending | Superseded, and a new Active one of the other agency |
//! | `Suspend` | Active | Suspended |
//! | `Resume` | Suspended | Active |
//! | `Revoke` | Active, Suspended, TransferPending | Revoked |
//! | `TransferOut` | Active | TransferPending |
//! | `CancelTransfer` | TransferPending | Active |
//!
//! The first three make a licence and need scope; the others need ownership only, so that an
//! agency that may not issue a type any more can still end what it issued. Final states are
//! never left: nothing here writes over them.

use std::sync::Arc;

use symbolon_ledger::{
    catalogue::LicenceTypeRecord,
    codes::{Month, Uscc, cid},
    hash::Cid,
    operation::{Actor, KeyPurpose, NewLicence, Operation, RevocationClass},
    records::{
        AgencyIndexRecord, AgencyRecord, AgencyStatus, KeyRecord, LicenceRecord, LicenceStatus,
        LineageRecord, RECORD_VERSION, TypeIndexRecord,
    },
    state::StateKey,
};

use crate::{
    feature,
    rejection::{RejectionCode as Code, Stop, ensure},
    slots,
    transaction::{Run, Who},
    view::{StateFault, StateView},
};

/// How many successors of successors are followed to the agency that administers a licence.
/// Every step takes a deregistration, so a longer chain is an accident; its province can name a
/// nearer successor.
pub const MAX_SUCCESSIONS: usize = 8;
/// The earliest expiry month, January 1970.
pub const FIRST_MONTH: Month = Month(1970 * 12);
/// The last expiry month, December 9999: the last that a four-digit year can say.
pub const LAST_MONTH: Month = Month(9999 * 12 + 11);

/// Applies an operation of the group.
pub(crate) fn apply<V: StateView>(
    run: &mut Run<'_, '_, V>,
    operation: &Operation,
) -> Result<(), Stop> {
    match operation {
        Operation::Issue { licence } => issue(run, operation, licence),
        Operation::Supersede { previous, licence } => supersede(run, operation, previous, licence),
        Operation::TransferIn { previous, licence } => {
            transfer_in(run, operation, previous, licence)
        }
        Operation::Suspend { cid } => suspend(run, operation, cid),
        Operation::Resume { cid } => resume(run, operation, cid),
        Operation::Revoke { cid, class } => revoke(run, operation, cid, *class),
        Operation::TransferOut { cid, to } => transfer_out(run, operation, cid, to),
        Operation::CancelTransfer { cid } => cancel_transfer(run, operation, cid),
        _ => Err(Code::NotActive.into()),
    }
}

fn issue<V: StateView>(
    run: &mut Run<'_, '_, V>,
    operation: &Operation,
    new: &NewLicence,
) -> Result<(), Stop> {
    let agency = run.signer.agency()?;
    let (cid, licence) = register(run, &agency, new, None)?;
    run.happened(operation, Some(cid), Some(licence), None);
    Ok(())
}

/// Only the issuing agency itself: a lineage tag is made with its secret, which a successor does
/// not have. A successor takes a licence over by a transfer.
fn supersede<V: StateView>(
    run: &mut Run<'_, '_, V>,
    operation: &Operation,
    previous: &Cid,
    new: &NewLicence,
) -> Result<(), Stop> {
    let agency = run.signer.agency()?;
    let old = licence(run, previous)?;
    ensure(old.agency_index == agency.index, Code::NotOwner)?;
    must_be_active(&old)?;
    same_type(run, &old, new)?;
    ensure(old.lineage == new.lineage, Code::LineageDiffers)?;
    replace(run, operation, &agency, (previous, &old), new)
}

fn transfer_in<V: StateView>(
    run: &mut Run<'_, '_, V>,
    operation: &Operation,
    previous: &Cid,
    new: &NewLicence,
) -> Result<(), Stop> {
    let agency = run.signer.agency()?;
    let old = licence(run, previous)?;
    ensure(!old.status.is_final(), Code::LicenceFinal)?;
    let LicenceStatus::TransferPending { to } = old.status else {
        return Err(Code::NotReleased.into());
    };
    ensure(to == agency.index, Code::NotTransferTarget)?;
    same_type(run, &old, new)?;
    must_be_transferable(run, &old, &agency)?;
    replace(run, operation, &agency, (previous, &old), new)
}

/// Ends the old licence and registers the new one: in this order, since the old one holds the
/// lineage until it ends.
fn replace<V: StateView>(
    run: &mut Run<'_, '_, V>,
    operation: &Operation,
    agency: &AgencyRecord,
    (previous, old): (&Cid, &LicenceRecord),
    new: &NewLicence,
) -> Result<(), Stop> {
    let by = cid(&agency.uscc, &new.inner);
    let ended = set_status(run, previous, old, LicenceStatus::Superseded { by })?;
    let (made, licence) = register(run, agency, new, Some(*previous))?;
    run.happened(operation, Some(*previous), Some(ended), Some(made));
    run.happened(operation, Some(made), Some(licence), Some(*previous));
    Ok(())
}

fn suspend<V: StateView>(
    run: &mut Run<'_, '_, V>,
    operation: &Operation,
    cid: &Cid,
) -> Result<(), Stop> {
    let old = licence(run, cid)?;
    owner_or_its_province(run, &old)?;
    must_be_active(&old)?;
    ensure(type_of(run, &old)?.suspendable, Code::NotSuspendable)?;
    move_to(run, operation, cid, &old, LicenceStatus::Suspended)
}

fn resume<V: StateView>(
    run: &mut Run<'_, '_, V>,
    operation: &Operation,
    cid: &Cid,
) -> Result<(), Stop> {
    agency_or_reversing_province(run)?;
    let old = licence(run, cid)?;
    owner_or_its_province(run, &old)?;
    ensure(!old.status.is_final(), Code::LicenceFinal)?;
    ensure(old.status == LicenceStatus::Suspended, Code::NotSuspended)?;
    move_to(run, operation, cid, &old, LicenceStatus::Active)
}

fn revoke<V: StateView>(
    run: &mut Run<'_, '_, V>,
    operation: &Operation,
    cid: &Cid,
    class: RevocationClass,
) -> Result<(), Stop> {
    let old = licence(run, cid)?;
    owner_or_its_province(run, &old)?;
    ensure(!old.status.is_final(), Code::LicenceFinal)?;
    move_to(run, operation, cid, &old, LicenceStatus::Revoked { class })
}

fn transfer_out<V: StateView>(
    run: &mut Run<'_, '_, V>,
    operation: &Operation,
    cid: &Cid,
    to: &Uscc,
) -> Result<(), Stop> {
    run.signer.agency()?;
    let old = licence(run, cid)?;
    owner_or_its_province(run, &old)?;
    must_be_active(&old)?;
    let target = run.agency(to)?;
    ensure(target.status == AgencyStatus::Active, Code::TargetNotActive)?;
    ensure(target.index != old.agency_index, Code::TransferToItself)?;
    must_be_transferable(run, &old, &target)?;
    move_to(run, operation, cid, &old, LicenceStatus::TransferPending { to: target.index })
}

fn cancel_transfer<V: StateView>(
    run: &mut Run<'_, '_, V>,
    operation: &Operation,
    cid: &Cid,
) -> Result<(), Stop> {
    agency_or_reversing_province(run)?;
    let old = licence(run, cid)?;
    owner_or_its_province(run, &old)?;
    ensure(!old.status.is_final(), Code::LicenceFinal)?;
    let released = matches!(old.status, LicenceStatus::TransferPending { .. });
    ensure(released, Code::NotReleased)?;
    move_to(run, operation, cid, &old, LicenceStatus::Active)
}

fn licence<V: StateView>(run: &mut Run<'_, '_, V>, cid: &Cid) -> Result<Arc<LicenceRecord>, Stop> {
    Ok(run.overlay.get(&StateKey::Licence(*cid))?.ok_or(Code::UnknownLicence)?)
}

fn must_be_active(licence: &LicenceRecord) -> Result<(), Code> {
    match licence.status {
        LicenceStatus::Active => Ok(()),
        LicenceStatus::Suspended => Err(Code::LicenceSuspended),
        LicenceStatus::TransferPending { .. } => Err(Code::TransferPending),
        LicenceStatus::Superseded { .. } | LicenceStatus::Revoked { .. } => Err(Code::LicenceFinal),
    }
}

/// The catalogue's entry of a licence.
fn type_of<V: StateView>(
    run: &mut Run<'_, '_, V>,
    licence: &LicenceRecord,
) -> Result<Arc<LicenceTypeRecord>, StateFault> {
    let key = StateKey::LicenceTypeByIndex(licence.type_index);
    let code = run.overlay.must::<TypeIndexRecord>(&key)?.code.clone();
    run.overlay.must(&StateKey::LicenceType(code))
}

/// Whether a licence may move to `target`: its type lets it, or `target` administers it already, in
/// the place of a deregistered agency. Otherwise nobody could ever renew it.
fn must_be_transferable<V: StateView>(
    run: &mut Run<'_, '_, V>,
    licence: &LicenceRecord,
    target: &AgencyRecord,
) -> Result<(), Stop> {
    let moves = type_of(run, licence)?.transferable
        || administrator(run, licence.agency_index)?.index == target.index;
    Ok(ensure(moves, Code::NotTransferable)?)
}

fn same_type<V: StateView>(
    run: &mut Run<'_, '_, V>,
    old: &LicenceRecord,
    new: &NewLicence,
) -> Result<(), Stop> {
    let index = run.licence_type(&new.licence_type)?.index;
    Ok(ensure(old.type_index == index, Code::TypeDiffers)?)
}

/// The signer administers the licence, or is the province of the agency that issued it.
fn owner_or_its_province<V: StateView>(
    run: &mut Run<'_, '_, V>,
    licence: &LicenceRecord,
) -> Result<(), Stop> {
    match run.signer.who.clone() {
        Who::Province(code) => {
            let issuer = agency_of_index(run, licence.agency_index)?;
            Ok(ensure(issuer.province == code, Code::NotItsProvince)?)
        }
        Who::Agency(signer) if signer.index == licence.agency_index => Ok(()),
        Who::Agency(signer) => {
            let owner = administrator(run, licence.agency_index)?;
            Ok(ensure(owner.index == signer.index, Code::NotOwner)?)
        }
    }
}

/// An agency; or a province, once it may reverse what was done with a stolen key.
fn agency_or_reversing_province<V: StateView>(run: &mut Run<'_, '_, V>) -> Result<(), Stop> {
    let agency = run.signer.agency().is_ok();
    Ok(ensure(agency || feature::is_active(run, feature::PROVINCE_REVERSAL)?, Code::NotActive)?)
}

/// The agency that answers for the licences of agency `index`: itself, or once it is
/// deregistered its successor, or the successor's.
fn administrator<V: StateView>(
    run: &mut Run<'_, '_, V>,
    index: u32,
) -> Result<Arc<AgencyRecord>, StateFault> {
    let mut agency = agency_of_index(run, index)?;
    for _ in 0..MAX_SUCCESSIONS {
        match agency.successor {
            Some(next) if agency.status == AgencyStatus::Deregistered => {
                agency = run.overlay.must(&StateKey::Agency(next))?;
            }
            _ => break,
        }
    }
    Ok(agency)
}

fn agency_of_index<V: StateView>(
    run: &mut Run<'_, '_, V>,
    index: u32,
) -> Result<Arc<AgencyRecord>, StateFault> {
    let uscc = run.overlay.must::<AgencyIndexRecord>(&StateKey::AgencyByIndex(index))?.uscc;
    run.overlay.must(&StateKey::Agency(uscc))
}

fn move_to<V: StateView>(
    run: &mut Run<'_, '_, V>,
    operation: &Operation,
    cid: &Cid,
    old: &LicenceRecord,
    status: LicenceStatus,
) -> Result<(), Stop> {
    let licence = set_status(run, cid, old, status)?;
    run.happened(operation, Some(*cid), Some(licence), None);
    Ok(())
}

/// Writes a licence's new status. With a final one its lineage is free again.
fn set_status<V: StateView>(
    run: &mut Run<'_, '_, V>,
    cid: &Cid,
    old: &LicenceRecord,
    status: LicenceStatus,
) -> Result<LicenceRecord, StateFault> {
    assert!(!old.status.is_final(), "every operation has refused a final status before");
    let licence = LicenceRecord { status, changed_at: run.height, ..old.clone() };
    run.overlay.put(StateKey::Licence(*cid), licence.clone())?;
    if status.is_final() {
        let lineage = StateKey::Lineage(old.agency_index, old.lineage);
        let held = run.overlay.must::<LineageRecord>(&lineage)?.newest;
        if held != *cid {
            return Err(StateFault(format!(
                "{lineage:?} names {held} and not {cid}, which holds it"
            )));
        }
        run.overlay.remove::<LineageRecord>(lineage)?;
    }
    Ok(licence)
}

/// Registers a licence of the signing agency. Its identifier is made here, of the agency's own
/// code: nobody can take another agency's identifier by registering it first.
fn register<V: StateView>(
    run: &mut Run<'_, '_, V>,
    agency: &AgencyRecord,
    new: &NewLicence,
    previous: Option<Cid>,
) -> Result<(Cid, LicenceRecord), Stop> {
    let type_index = run.licence_type(&new.licence_type)?.index;
    ensure(agency.scope.binary_search(&new.licence_type).is_ok(), Code::OutOfScope)?;
    must_be_credential_key(run, agency, new.credential_key)?;
    let cid = cid(&agency.uscc, &new.inner);
    let known = run.overlay.get::<LicenceRecord>(&StateKey::Licence(cid))?;
    ensure(known.is_none(), Code::DuplicateLicence)?;
    let lineage = StateKey::Lineage(agency.index, new.lineage);
    must_be_free(run, &lineage)?;
    if let Some(month) = new.expiry {
        ensure((FIRST_MONTH..=LAST_MONTH).contains(&month), Code::BadExpiry)?;
    }
    slots::take(run, agency, new.slot)?;
    let licence = LicenceRecord {
        version: RECORD_VERSION,
        type_index,
        agency_index: agency.index,
        credential_key: new.credential_key,
        transaction_key: run.signer.key.key_id,
        slot: new.slot,
        expiry: new.expiry,
        lineage: new.lineage,
        previous,
        status: LicenceStatus::Active,
        issued_at: run.height,
        changed_at: run.height,
    };
    run.overlay.put(lineage, LineageRecord { version: RECORD_VERSION, newest: cid })?;
    run.overlay.put(StateKey::Licence(cid), licence.clone())?;
    Ok((cid, licence))
}

/// Whether no licence in force holds a lineage. These records lie under no root, so before one
/// decides anything it must agree with the licence that it names, which does.
fn must_be_free<V: StateView>(run: &mut Run<'_, '_, V>, lineage: &StateKey) -> Result<(), Stop> {
    let Some(held) = run.overlay.get::<LineageRecord>(lineage)? else { return Ok(()) };
    let holder = run.overlay.must::<LicenceRecord>(&StateKey::Licence(held.newest))?;
    let its_own = StateKey::Lineage(holder.agency_index, holder.lineage);
    if holder.status.is_final() || its_own != *lineage {
        let why = format!("{lineage:?} names {}, which does not hold it", held.newest);
        return Err(StateFault(why).into());
    }
    Err(Code::LineageInUse.into())
}

fn must_be_credential_key<V: StateView>(
    run: &mut Run<'_, '_, V>,
    agency: &AgencyRecord,
    id: u32,
) -> Result<(), Stop> {
    let place = StateKey::Key(Actor::Agency(agency.uscc), id);
    let key: Arc<KeyRecord> = run.overlay.get(&place)?.ok_or(Code::UnknownCredentialKey)?;
    ensure(key.purpose == KeyPurpose::Credential, Code::KeyNotForCredentials)?;
    Ok(ensure(key.is_valid_at(run.height), Code::CredentialKeyNotValid)?)
}
