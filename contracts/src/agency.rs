//! Agencies: registered, limited, stopped and ended by their province.
//!
//! A deregistered agency never acts again, but its licences stay as they are. Its successor
//! administers them; how a successor is found is `licence`'s. Keys and slots of an agency have
//! modules of their own.

use symbolon_ledger::{
    codes::{Label, TypeCode, Uscc},
    operation::{Actor, NewKey, Operation},
    records::{
        AgencyIndexRecord, AgencyRecord, AgencyStatus, CountersRecord, MAX_SCOPE, RECORD_VERSION,
    },
    state::StateKey,
};

use crate::{
    keys,
    rejection::{RejectionCode as Code, Stop, ensure},
    transaction::Run,
    view::StateView,
};

/// Applies an operation of the group.
pub(crate) fn apply<V: StateView>(
    run: &mut Run<'_, '_, V>,
    operation: &Operation,
) -> Result<(), Stop> {
    use AgencyStatus::{Active, Deregistered, Suspended};
    match operation {
        Operation::RegisterAgency { agency, name, scope, keys } => {
            register(run, agency, name, scope, keys)
        }
        Operation::SetScope { agency, scope } => set_scope(run, agency, scope),
        Operation::SuspendAgency { agency } => {
            set_status(run, agency, Some(Active), Suspended, Code::AgencyNotActive)
        }
        Operation::ResumeAgency { agency } => {
            set_status(run, agency, Some(Suspended), Active, Code::AgencyNotSuspended)
        }
        Operation::DeregisterAgency { agency } => {
            set_status(run, agency, None, Deregistered, Code::AgencyDeregistered)
        }
        Operation::AssignSuccessor { agency, successor } => {
            assign_successor(run, agency, successor)
        }
        _ => Err(Code::NotActive.into()),
    }
}

fn register<V: StateView>(
    run: &mut Run<'_, '_, V>,
    uscc: &Uscc,
    name: &Label,
    scope: &[TypeCode],
    first_keys: &[NewKey],
) -> Result<(), Stop> {
    let province = run.signer.province()?;
    let known = run.overlay.get::<AgencyRecord>(&StateKey::Agency(*uscc))?;
    ensure(known.is_none(), Code::AgencyExists)?;
    keys::check_first(first_keys, run.height)?;
    let scope = checked_scope(run, scope)?;
    let index = run.overlay.must::<CountersRecord>(&StateKey::Counters)?.next_agency;
    let next = index.checked_add(1).ok_or(Code::TooManyAgencies)?;
    let actor = Actor::Agency(*uscc);
    for (id, key) in (0..).zip(first_keys) {
        keys::write(run, actor, id, key)?;
    }
    let by_index = AgencyIndexRecord { version: RECORD_VERSION, uscc: *uscc };
    run.overlay.put(StateKey::AgencyByIndex(index), by_index)?;
    run.overlay.change(&StateKey::Counters, |c: &mut CountersRecord| c.next_agency = next)?;
    let agency = AgencyRecord {
        version: RECORD_VERSION,
        index,
        uscc: *uscc,
        name: name.clone(),
        province,
        status: AgencyStatus::Active,
        scope,
        next_key: u32::try_from(first_keys.len()).expect("at most MAX_FIRST_KEYS"),
        successor: None,
        registered_at: run.height,
        changed_at: run.height,
        open_blocks: 0,
    };
    Ok(run.overlay.put(StateKey::Agency(*uscc), agency)?)
}

/// A scope in ascending order, each type once and in the catalogue.
fn checked_scope<V: StateView>(
    run: &mut Run<'_, '_, V>,
    scope: &[TypeCode],
) -> Result<Vec<TypeCode>, Stop> {
    ensure(scope.len() <= MAX_SCOPE, Code::BadScope)?;
    let mut scope = scope.to_vec();
    scope.sort();
    ensure(scope.is_sorted_by(|a, b| a < b), Code::BadScope)?;
    for code in &scope {
        run.licence_type(code)?;
    }
    Ok(scope)
}

fn set_scope<V: StateView>(
    run: &mut Run<'_, '_, V>,
    uscc: &Uscc,
    scope: &[TypeCode],
) -> Result<(), Stop> {
    let agency = run.own_agency(uscc)?;
    ensure(agency.status != AgencyStatus::Deregistered, Code::AgencyDeregistered)?;
    let scope = checked_scope(run, scope)?;
    change(run, uscc, |a| a.scope = scope)
}

/// Moves an agency from `from`, or from any status, to `to`. Deregistered is never left.
fn set_status<V: StateView>(
    run: &mut Run<'_, '_, V>,
    uscc: &Uscc,
    from: Option<AgencyStatus>,
    to: AgencyStatus,
    otherwise: Code,
) -> Result<(), Stop> {
    let agency = run.own_agency(uscc)?;
    ensure(agency.status != AgencyStatus::Deregistered, Code::AgencyDeregistered)?;
    ensure(from.is_none_or(|from| agency.status == from), otherwise)?;
    // Let go of it, or the change copies its scope.
    drop(agency);
    change(run, uscc, |a| a.status = to)
}

/// A successor is active when it is named, and only the deregistered have one, for good: so a
/// chain of successors never comes back to where it began. It may be named again, for example
/// when the successor is itself gone.
fn assign_successor<V: StateView>(
    run: &mut Run<'_, '_, V>,
    uscc: &Uscc,
    successor: &Uscc,
) -> Result<(), Stop> {
    let agency = run.own_agency(uscc)?;
    ensure(agency.status == AgencyStatus::Deregistered, Code::AgencyNotDeregistered)?;
    let next = run.agency(successor)?;
    ensure(next.province == agency.province, Code::SuccessorElsewhere)?;
    ensure(next.status == AgencyStatus::Active, Code::AgencyNotActive)?;
    change(run, uscc, |a| a.successor = Some(next.uscc))
}

fn change<V: StateView>(
    run: &mut Run<'_, '_, V>,
    uscc: &Uscc,
    change: impl FnOnce(&mut AgencyRecord),
) -> Result<(), Stop> {
    let height = run.height;
    let and_date = |agency: &mut AgencyRecord| {
        change(agency);
        agency.changed_at = height;
    };
    Ok(run.overlay.change(&StateKey::Agency(*uscc), and_date)?)
}
