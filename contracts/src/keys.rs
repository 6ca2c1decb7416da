//! Keys: registered, replaced, ended, and declared stolen.
//!
//! A key has one actor, one number, one purpose, and a span of heights. Records are never
//! removed and numbers never used again, so that what was signed long ago can still be judged.
//! Whether a key of a province or a validator is registered already is decided here, also for what
//! governance registers. What a compromise means for licences that were issued since is the verifier's to say: nothing
//! here touches a licence.
//!
//! A key that ends at a height is still valid in the rest of that height's block: transactions
//! of one block have no order that their signers could know.

use std::{collections::BTreeMap, sync::Arc};

use symbolon_ledger::{
    codes::Uscc,
    keys::PublicKey,
    operation::{Actor, KeyPurpose, NewKey, Operation},
    records::{
        AddedBy, AgencyRecord, AgencyStatus, KeyRecord, ProvinceRecord, RECORD_VERSION,
        ValidatorsRecord,
    },
    state::StateKey,
    validators::Validator,
};

use crate::{
    rejection::{RejectionCode as Code, Stop, ensure},
    transaction::Run,
    view::{StateFault, StateView},
};

/// Most keys that an actor may ever have: twenty years of a new one every week. A compromise
/// walks all of them, and so does the search for a key that is registered twice.
pub const MAX_KEYS: u32 = 1_024;
/// Most keys that an agency has after a rotation of its own. Whoever steals its transaction key can
/// use up no more numbers than these: the province, which has the other half, lets it go on.
pub const MAX_OWN_KEYS: u32 = MAX_KEYS / 2;
/// Most keys with which an agency is registered.
pub const MAX_FIRST_KEYS: usize = 8;

/// Applies an operation of the group.
pub(crate) fn apply<V: StateView>(
    run: &mut Run<'_, '_, V>,
    operation: &Operation,
) -> Result<(), Stop> {
    match operation {
        Operation::AddKey { agency, key } => add(run, agency, key),
        Operation::RotateKey { agency, key_id, key } => rotate(run, agency, *key_id, key),
        Operation::RevokeKey { agency, key_id } => revoke(run, agency, *key_id),
        Operation::MarkCompromised { agency, key_id, from_height } => {
            mark_compromised(run, agency, *key_id, *from_height)
        }
        Operation::SetStatusKey { key } => set_status_key(run, key),
        _ => Err(Code::NotActive.into()),
    }
}

/// Whether these may be an agency's first keys.
pub(crate) fn check_first(keys: &[NewKey], height: u64) -> Result<(), Code> {
    ensure((1..=MAX_FIRST_KEYS).contains(&keys.len()), Code::BadFirstKeys)?;
    let signs = keys.iter().any(|k| k.purpose == KeyPurpose::Transaction);
    ensure(signs, Code::BadFirstKeys)?;
    for (i, key) in keys.iter().enumerate() {
        ensure(keys[..i].iter().all(|k| k.key != key.key), Code::BadFirstKeys)?;
        check_new(key, height)?;
    }
    Ok(())
}

/// Whether an agency may have such a key.
fn check_new(key: &NewKey, height: u64) -> Result<(), Code> {
    ensure(key.purpose != KeyPurpose::Status, Code::BadPurpose)?;
    check_end(key, height)
}

/// Whether the key's last height is still to come, or this one.
pub(crate) fn check_end(key: &NewKey, height: u64) -> Result<(), Code> {
    ensure(key.valid_until.is_none_or(|until| height <= until), Code::KeyOver)
}

/// The record of a key that is registered at `height`, by whoever signed for it, if one did.
pub(crate) fn made(key: &NewKey, height: u64, added_by: Option<AddedBy>) -> KeyRecord {
    KeyRecord {
        version: RECORD_VERSION,
        key: key.key,
        purpose: key.purpose,
        valid_from: height,
        valid_until: key.valid_until,
        added_by,
        compromised_from: None,
    }
}

/// Lets a key end with the block of `height`, unless it has ended before.
pub(crate) fn end(key: &mut KeyRecord, height: u64) {
    key.valid_until = Some(key.valid_until.map_or(height, |until| until.min(height)));
}

/// Writes a key under its number, added by the signer.
pub(crate) fn write<V: StateView>(
    run: &mut Run<'_, '_, V>,
    actor: Actor,
    id: u32,
    key: &NewKey,
) -> Result<(), Stop> {
    let record = made(key, run.height, Some(run.signer.key));
    Ok(run.overlay.put(StateKey::Key(actor, id), record)?)
}

/// Whether a key may stand under the actor's next number. The same key under two numbers could be
/// compromised under one and valid under the other; and a key of a province is nobody else's, so
/// that what it signs is never booked for another one.
pub(crate) fn check_next<V: StateView>(
    run: &mut Run<'_, '_, V>,
    actor: Actor,
    next: u32,
    key: &PublicKey,
) -> Result<(), Stop> {
    ensure(next < MAX_KEYS, Code::TooManyKeys)?;
    let taken = match actor {
        Actor::Province(_) => is_a_provinces(run, key)? || is_a_validators(run, key)?,
        Actor::Agency(_) => has(run, actor, next, key)?,
    };
    Ok(ensure(!taken, Code::KeyRegistered)?)
}

/// Whether one of the actor's first `count` keys is this one.
fn has<V: StateView>(
    run: &mut Run<'_, '_, V>,
    actor: Actor,
    count: u32,
    key: &PublicKey,
) -> Result<bool, StateFault> {
    for id in 0..count {
        if run.overlay.must::<KeyRecord>(&StateKey::Key(actor, id))?.key == *key {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether some province, one that was removed included, has or had this key, whatever for. Keys
/// of agencies are not looked at: there may be a hundred thousand of them, and none decides here.
pub(crate) fn is_a_provinces<V: StateView>(
    run: &mut Run<'_, '_, V>,
    key: &PublicKey,
) -> Result<bool, StateFault> {
    for province in provinces(run)? {
        if has(run, Actor::Province(province.code), province.next_key, key)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether some validator of the set votes with this key, or its node connects with it.
fn is_a_validators<V: StateView>(
    run: &mut Run<'_, '_, V>,
    key: &PublicKey,
) -> Result<bool, StateFault> {
    let record = run.overlay.must::<ValidatorsRecord>(&StateKey::Validators)?;
    Ok(record.set.validators().iter().any(|v| uses(v, key)))
}

/// Whether a validator votes with this key, or its node connects with it.
pub(crate) fn uses(validator: &Validator, key: &PublicKey) -> bool {
    validator.key == *key || validator.node_key() == Some(*key)
}

/// Every province that takes part or did. There are a hundred codes, so all are asked.
pub(crate) fn provinces<V: StateView>(
    run: &mut Run<'_, '_, V>,
) -> Result<Vec<Arc<ProvinceRecord>>, StateFault> {
    let mut known = Vec::new();
    for number in 0..100 {
        let code = format!("{number:02}").parse().expect("two digits are a province's code");
        known.extend(run.overlay.get(&StateKey::Province(code))?);
    }
    Ok(known)
}

/// Registers a key under the actor's next number, which the caller then moves on.
fn append<V: StateView>(
    run: &mut Run<'_, '_, V>,
    actor: Actor,
    next: u32,
    key: &NewKey,
) -> Result<(), Stop> {
    check_next(run, actor, next, &key.key)?;
    write(run, actor, next, key)
}

fn append_to_agency<V: StateView>(
    run: &mut Run<'_, '_, V>,
    agency: &AgencyRecord,
    key: &NewKey,
) -> Result<(), Stop> {
    append(run, Actor::Agency(agency.uscc), agency.next_key, key)?;
    let height = run.height;
    let count = |a: &mut AgencyRecord| {
        a.next_key += 1;
        a.changed_at = height;
    };
    Ok(run.overlay.change(&StateKey::Agency(agency.uscc), count)?)
}

fn add<V: StateView>(run: &mut Run<'_, '_, V>, uscc: &Uscc, key: &NewKey) -> Result<(), Stop> {
    let agency = run.own_agency(uscc)?;
    ensure(agency.status != AgencyStatus::Deregistered, Code::AgencyDeregistered)?;
    check_new(key, run.height)?;
    append_to_agency(run, &agency, key)
}

fn rotate<V: StateView>(
    run: &mut Run<'_, '_, V>,
    uscc: &Uscc,
    id: u32,
    key: &NewKey,
) -> Result<(), Stop> {
    let agency = run.itself_or_own_agency(uscc)?;
    ensure(agency.status != AgencyStatus::Deregistered, Code::AgencyDeregistered)?;
    check_new(key, run.height)?;
    let old = end_running(run, uscc, id)?;
    ensure(old.purpose == key.purpose, Code::PurposeDiffers)?;
    if run.signer.agency().is_ok() {
        ensure(ends_no_later(key, &old), Code::KeyOutlives)?;
        ensure(agency.next_key < MAX_OWN_KEYS, Code::RotationsUsedUp)?;
    }
    append_to_agency(run, &agency, key)
}

/// Whether the new key ends when the old one would have, or before: a life that the province has
/// set is not prolonged by the agency.
fn ends_no_later(new: &NewKey, old: &KeyRecord) -> bool {
    old.valid_until.is_none_or(|old| new.valid_until.is_some_and(|new| new <= old))
}

/// Also the last key for transactions may end: the province can always add another.
fn revoke<V: StateView>(run: &mut Run<'_, '_, V>, uscc: &Uscc, id: u32) -> Result<(), Stop> {
    let agency = run.own_agency(uscc)?;
    ensure(agency.status != AgencyStatus::Deregistered, Code::AgencyDeregistered)?;
    end_running(run, uscc, id)?;
    Ok(())
}

/// Ends a key with this block that has not ended; gives the key as it was.
fn end_running<V: StateView>(
    run: &mut Run<'_, '_, V>,
    uscc: &Uscc,
    id: u32,
) -> Result<Arc<KeyRecord>, Stop> {
    let place = StateKey::Key(Actor::Agency(*uscc), id);
    let old: Arc<KeyRecord> = run.overlay.get(&place)?.ok_or(Code::UnknownTargetKey)?;
    let height = run.height;
    let open = old.is_valid_at(height) && old.valid_until != Some(height);
    ensure(open, Code::KeyEnded)?;
    run.overlay.change(&place, |k: &mut KeyRecord| end(k, height))?;
    Ok(old)
}

/// Marks a key, and every key that it added since, and every key that those added: whoever held
/// the first may have made the others. Numbers ascend, so a key stands after the one that added
/// it and one walk finds them all.
fn mark_compromised<V: StateView>(
    run: &mut Run<'_, '_, V>,
    uscc: &Uscc,
    id: u32,
    from: u64,
) -> Result<(), Stop> {
    let agency = run.own_agency(uscc)?;
    let actor = Actor::Agency(*uscc);
    let key: Arc<KeyRecord> =
        run.overlay.get(&StateKey::Key(actor, id))?.ok_or(Code::UnknownTargetKey)?;
    ensure(from <= run.height, Code::CompromiseInFuture)?;
    ensure(key.compromised_from.is_none_or(|known| from < known), Code::CompromiseNotEarlier)?;
    let mut stolen = BTreeMap::from([(id, from)]);
    for later in id.saturating_add(1)..agency.next_key {
        let key = run.overlay.must::<KeyRecord>(&StateKey::Key(actor, later))?;
        let added_since = |by: AddedBy| {
            by.actor == actor && stolen.get(&by.key_id).is_some_and(|from| *from <= key.valid_from)
        };
        if key.added_by.is_some_and(added_since) {
            stolen.insert(later, key.valid_from);
        }
    }
    for (id, from) in stolen {
        let lower = |k: &mut KeyRecord| {
            k.compromised_from = Some(k.compromised_from.map_or(from, |known| known.min(from)));
        };
        run.overlay.change(&StateKey::Key(actor, id), lower)?;
    }
    Ok(())
}

/// The new status key takes the place of the old one, which ends.
fn set_status_key<V: StateView>(run: &mut Run<'_, '_, V>, key: &NewKey) -> Result<(), Stop> {
    let code = run.signer.province()?;
    let height = run.height;
    ensure(key.purpose == KeyPurpose::Status, Code::BadPurpose)?;
    check_end(key, height)?;
    let place = StateKey::Province(code);
    let province = run.overlay.must::<ProvinceRecord>(&place)?;
    let (actor, next) = (Actor::Province(code), province.next_key);
    append(run, actor, next, key)?;
    if let Some(old) = province.status_key {
        run.overlay.change(&StateKey::Key(actor, old), |k: &mut KeyRecord| end(k, height))?;
    }
    let name = |p: &mut ProvinceRecord| {
        p.next_key += 1;
        p.status_key = Some(next);
    };
    Ok(run.overlay.change(&place, name)?)
}
