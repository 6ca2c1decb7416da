//! Actions: what each needs, and what it does.
//!
//! `effect` writes nothing. It says what an action would write, or why it may not: asked when the
//! action is proposed and again when it takes effect, so that both ask the same. Who may decide is
//! `governance`'s.
//!
//! **The guard of the validator set**: a change never leaves fewer than four validators, nor fewer
//! than before where there were not even four; and the validators that it leaves as they are make
//! up a quorum of the new set, so that the chain goes on when a new node does not come up. There is
//! one change a block, and what stands in the state after it governs the next.

use std::sync::Arc;

use symbolon_ledger::{
    catalogue::LicenceTypeRecord,
    codes::{Origin, ProvinceCode},
    governance::{
        Action, Activation, FeaturesRecord, MAX_FEATURES, MAX_TERMS, NewProvince, Term, TermsRecord,
    },
    mutants::{self, Mutant},
    operation::{Actor, KeyPurpose, NewKey},
    records::{
        CountersRecord, KeyRecord, MAX_SCOPE, ParametersRecord, ProvinceRecord, RECORD_VERSION,
        TypeIndexRecord, ValidatorsRecord,
    },
    state::StateKey,
    validators::{SetError, Validator, ValidatorSet},
};

use crate::{
    governance, keys,
    rejection::{RejectionCode as Code, Stop, ensure},
    transaction::Run,
    view::{StateFault, StateView},
};

/// Fewest validators of which one may fail; no change leaves fewer.
pub const FEWEST_VALIDATORS: usize = 4;
/// Numbers of a new province's keys.
const AUTHORITY_KEY_ID: u32 = 0;
const STATUS_KEY_ID: u32 = 1;

/// What an action writes.
#[derive(Debug, Default)]
pub(crate) struct Effect {
    provinces: Vec<ProvinceRecord>,
    keys: Vec<(Actor, u32, KeyRecord)>,
    licence_type: Option<LicenceTypeRecord>,
    counters: Option<CountersRecord>,
    parameters: Option<ParametersRecord>,
    features: Option<FeaturesRecord>,
    /// The new set, and the one province whose validator is another, or none any more.
    validators: Option<(ValidatorSet, ProvinceCode)>,
}

/// What `action` would do now.
pub(crate) fn effect<V: StateView>(
    run: &mut Run<'_, '_, V>,
    action: &Action,
) -> Result<Effect, Stop> {
    match action {
        Action::AddProvince { province } => add_province(run, province),
        Action::RemoveProvince { province } => remove_province(run, *province),
        Action::AddValidator { validator } => add_validator(run, validator),
        Action::RemoveValidator { province } => remove_validator(run, *province),
        Action::RotateValidator { validator } => rotate_validator(run, validator),
        Action::SetLicenceType { entry } => set_licence_type(run, entry),
        Action::RotateProvinceKey { province, key_id, key } => {
            rotate_province_key(run, *province, *key_id, key)
        }
        Action::SetParameters { idle_block_interval_ms, max_staleness_ms, bundle_max_age_ms } => {
            set_parameters(*idle_block_interval_ms, *max_staleness_ms, *bundle_max_age_ms)
        }
        Action::ActivateFeature { feature, height } => activate_feature(run, *feature, *height),
    }
}

impl Effect {
    /// Writes it.
    pub(crate) fn write<V: StateView>(self, run: &mut Run<'_, '_, V>) -> Result<(), Stop> {
        for province in self.provinces {
            run.overlay.put(StateKey::Province(province.code), province)?;
        }
        for (actor, id, key) in self.keys {
            run.overlay.put(StateKey::Key(actor, id), key)?;
        }
        if let Some(entry) = self.licence_type {
            let index = TypeIndexRecord { version: RECORD_VERSION, code: entry.code.clone() };
            run.overlay.put(StateKey::LicenceTypeByIndex(entry.index), index)?;
            run.overlay.put(StateKey::LicenceType(entry.code.clone()), entry)?;
        }
        if let Some(counters) = self.counters {
            run.overlay.put(StateKey::Counters, counters)?;
        }
        if let Some(parameters) = self.parameters {
            run.overlay.put(StateKey::Parameters, parameters)?;
        }
        if let Some(features) = self.features {
            run.overlay.put(StateKey::Features, features)?;
        }
        match self.validators {
            Some((set, changed)) => replace_validators(run, set, changed),
            None => Ok(()),
        }
    }
}

/// One change a block: a verifier follows the sets header by header.
fn replace_validators<V: StateView>(
    run: &mut Run<'_, '_, V>,
    set: ValidatorSet,
    changed: ProvinceCode,
) -> Result<(), Stop> {
    let mut governance = governance::record(run)?;
    ensure(governance.validators_changed_at != run.height, Code::ValidatorsBusy)?;
    governance.validators_changed_at = run.height;
    let before = validators(run)?;
    let terms = next_terms(run, &before, &set, changed)?;
    run.overlay.put(StateKey::Governance, governance)?;
    run.overlay.put(StateKey::Terms(changed), terms)?;
    run.overlay.put(StateKey::Validators, ValidatorsRecord { version: RECORD_VERSION, set })?;
    Ok(())
}

/// The terms of the province whose validator changes: the running one ends with this block, and
/// whoever is in the new set votes from the next one on.
fn next_terms<V: StateView>(
    run: &mut Run<'_, '_, V>,
    before: &ValidatorSet,
    after: &ValidatorSet,
    province: ProvinceCode,
) -> Result<TermsRecord, StateFault> {
    let known: Option<Arc<TermsRecord>> = run.overlay.get(&StateKey::Terms(province))?;
    let mut terms = match known {
        Some(known) => known.terms.clone(),
        // As genesis founded it: block 1 is the first that anybody votes on.
        None => before
            .get(province)
            .map(|v| Term { key: v.key, from: 1, until: None })
            .into_iter()
            .collect(),
    };
    if let Some(running) = terms.last_mut().filter(|term| term.until.is_none()) {
        running.until = Some(run.height);
    }
    if let Some(validator) = after.get(province) {
        let from = run.height.saturating_add(1);
        terms.push(Term { key: validator.key, from, until: None });
    }
    terms.drain(..terms.len().saturating_sub(MAX_TERMS));
    Ok(TermsRecord { version: RECORD_VERSION, terms })
}

fn validators<V: StateView>(run: &mut Run<'_, '_, V>) -> Result<ValidatorSet, StateFault> {
    Ok(run.overlay.must::<ValidatorsRecord>(&StateKey::Validators)?.set.clone())
}

/// The guard: the new set, when it may follow.
fn guarded(before: &ValidatorSet, after: Vec<Validator>) -> Result<ValidatorSet, Code> {
    let least = FEWEST_VALIDATORS.min(before.validators().len());
    let unguarded = mutants::is(Mutant::GuardDropped);
    ensure(after.len() >= least || unguarded, Code::TooFewValidators)?;
    let kept = after.iter().filter(|v| before.get(v.province) == Some(*v)).count();
    let set = ValidatorSet::new(after).map_err(|error| match error {
        SetError::Size(0) => Code::TooFewValidators,
        SetError::Size(_) => Code::TooManyValidators,
        SetError::Shared | SetError::PeerId | SetError::Order => Code::BadValidator,
    })?;
    ensure(kept >= set.quorum() || unguarded, Code::NoQuorumLeft)?;
    Ok(set)
}

/// The set with this validator in the place of its province's.
fn with(before: &ValidatorSet, validator: &Validator) -> Result<ValidatorSet, Code> {
    let others = before.validators().iter().filter(|v| v.province != validator.province);
    let mut after: Vec<Validator> = others.cloned().collect();
    after.push(validator.clone());
    after.sort_by_key(|v| v.province);
    guarded(before, after)
}

fn without(before: &ValidatorSet, province: ProvinceCode) -> Result<ValidatorSet, Code> {
    let others = before.validators().iter().filter(|v| v.province != province);
    guarded(before, others.cloned().collect())
}

/// A province that takes part.
fn member<V: StateView>(
    run: &mut Run<'_, '_, V>,
    code: ProvinceCode,
) -> Result<Arc<ProvinceRecord>, Stop> {
    let province: Arc<ProvinceRecord> =
        run.overlay.get(&StateKey::Province(code))?.ok_or(Code::UnknownProvince)?;
    ensure(province.removed_at.is_none(), Code::ProvinceRemoved)?;
    Ok(province)
}

fn add_province<V: StateView>(run: &mut Run<'_, '_, V>, new: &NewProvince) -> Result<Effect, Stop> {
    let known: Option<Arc<ProvinceRecord>> = run.overlay.get(&StateKey::Province(new.code))?;
    ensure(known.is_none(), Code::ProvinceExists)?;
    ensure(!origin_is_taken(run, &new.issuer_origin)?, Code::OriginTaken)?;
    ensure(new.status_key != Some(new.authority_key), Code::KeyRegistered)?;
    let actor = Actor::Province(new.code);
    let authority = (AUTHORITY_KEY_ID, new.authority_key, KeyPurpose::Transaction);
    let status = new.status_key.map(|key| (STATUS_KEY_ID, key, KeyPurpose::Status));
    let mut keys = Vec::new();
    for (id, key, purpose) in [Some(authority), status].into_iter().flatten() {
        keys::check_next(run, actor, id, &key)?;
        let key = NewKey { key, purpose, valid_until: None };
        keys.push((actor, id, keys::made(&key, run.height, None)));
    }
    let status_key = new.status_key.map(|_| STATUS_KEY_ID);
    let province = ProvinceRecord {
        version: RECORD_VERSION,
        code: new.code,
        name_zh: new.name_zh.clone(),
        name_en: new.name_en.clone(),
        issuer_origin: new.issuer_origin.clone(),
        next_key: status_key.unwrap_or(AUTHORITY_KEY_ID) + 1,
        status_key,
        next_slot_block: 0,
        removed_at: None,
    };
    Ok(Effect { provinces: vec![province], keys, ..Effect::default() })
}

/// Whether another province issues under this origin.
fn origin_is_taken<V: StateView>(
    run: &mut Run<'_, '_, V>,
    origin: &Origin,
) -> Result<bool, StateFault> {
    Ok(keys::provinces(run)?.iter().any(|province| province.issuer_origin == *origin))
}

fn remove_province<V: StateView>(
    run: &mut Run<'_, '_, V>,
    code: ProvinceCode,
) -> Result<Effect, Stop> {
    let province = member(run, code)?;
    let before = validators(run)?;
    let validators = match before.get(code) {
        Some(_) => Some((without(&before, code)?, code)),
        None => None,
    };
    let removed =
        ProvinceRecord { removed_at: Some(run.height), ..ProvinceRecord::clone(&province) };
    Ok(Effect { provinces: vec![removed], validators, ..Effect::default() })
}

fn add_validator<V: StateView>(
    run: &mut Run<'_, '_, V>,
    validator: &Validator,
) -> Result<Effect, Stop> {
    member(run, validator.province)?;
    let before = validators(run)?;
    ensure(before.get(validator.province).is_none(), Code::ValidatorExists)?;
    check_keys(run, &before, validator)?;
    let set = with(&before, validator)?;
    Ok(Effect { validators: Some((set, validator.province)), ..Effect::default() })
}

fn remove_validator<V: StateView>(
    run: &mut Run<'_, '_, V>,
    province: ProvinceCode,
) -> Result<Effect, Stop> {
    member(run, province)?;
    let before = validators(run)?;
    ensure(before.get(province).is_some(), Code::NoValidator)?;
    let set = without(&before, province)?;
    Ok(Effect { validators: Some((set, province)), ..Effect::default() })
}

fn rotate_validator<V: StateView>(
    run: &mut Run<'_, '_, V>,
    validator: &Validator,
) -> Result<Effect, Stop> {
    member(run, validator.province)?;
    let before = validators(run)?;
    let old = before.get(validator.province).ok_or(Code::NoValidator)?;
    ensure(old != validator, Code::ValidatorUnchanged)?;
    check_keys(run, &before, validator)?;
    let set = with(&before, validator)?;
    Ok(Effect { validators: Some((set, validator.province)), ..Effect::default() })
}

/// A validator's keys, that of its votes and that of its connections, are no keys of a province and
/// of no other validator.
fn check_keys<V: StateView>(
    run: &mut Run<'_, '_, V>,
    before: &ValidatorSet,
    validator: &Validator,
) -> Result<(), Stop> {
    let node = validator.node_key().ok_or(Code::BadValidator)?;
    ensure(node != validator.key, Code::BadValidator)?;
    let others = || before.validators().iter().filter(|v| v.province != validator.province);
    for key in [validator.key, node] {
        ensure(!others().any(|other| keys::uses(other, &key)), Code::BadValidator)?;
        ensure(!keys::is_a_provinces(run, &key)?, Code::BadValidator)?;
    }
    Ok(())
}

fn set_licence_type<V: StateView>(
    run: &mut Run<'_, '_, V>,
    entry: &LicenceTypeRecord,
) -> Result<Effect, Stop> {
    ensure(entry.index == 0 && entry.is_sound(), Code::BadCatalogueEntry)?;
    let place = StateKey::LicenceType(entry.code.clone());
    let known: Option<Arc<LicenceTypeRecord>> = run.overlay.get(&place)?;
    if let Some(old) = known {
        let same_form =
            old.claims == entry.claims && old.default_disclosure == entry.default_disclosure;
        let newer = entry.schema_version > old.schema_version
            || (entry.schema_version == old.schema_version && same_form);
        ensure(newer, Code::EntryNotNewer)?;
        let licence_type = Some(LicenceTypeRecord { index: old.index, ..entry.clone() });
        return Ok(Effect { licence_type, ..Effect::default() });
    }
    let known = run.overlay.must::<CountersRecord>(&StateKey::Counters)?;
    let mut counters = CountersRecord::clone(&known);
    let index = counters.next_type;
    ensure(usize::from(index) < MAX_SCOPE, Code::TooManyTypes)?;
    counters.next_type = index.saturating_add(1);
    let licence_type = Some(LicenceTypeRecord { index, ..entry.clone() });
    Ok(Effect { licence_type, counters: Some(counters), ..Effect::default() })
}

/// The old key may have ended before: a province that has lost its last one gets another like this.
fn rotate_province_key<V: StateView>(
    run: &mut Run<'_, '_, V>,
    code: ProvinceCode,
    id: u32,
    new: &NewKey,
) -> Result<Effect, Stop> {
    let province = member(run, code)?;
    let actor = Actor::Province(code);
    let old: Arc<KeyRecord> =
        run.overlay.get(&StateKey::Key(actor, id))?.ok_or(Code::UnknownTargetKey)?;
    ensure(old.purpose == KeyPurpose::Transaction, Code::PurposeDiffers)?;
    ensure(new.purpose == KeyPurpose::Transaction, Code::BadPurpose)?;
    keys::check_end(new, run.height)?;
    keys::check_next(run, actor, province.next_key, &new.key)?;
    let mut ended = KeyRecord::clone(&old);
    keys::end(&mut ended, run.height);
    let made = keys::made(new, run.height, None);
    let next_key = province.next_key.saturating_add(1);
    let keys = vec![(actor, id, ended), (actor, province.next_key, made)];
    let province = ProvinceRecord { next_key, ..ProvinceRecord::clone(&province) };
    Ok(Effect { provinces: vec![province], keys, ..Effect::default() })
}

fn set_parameters(
    idle_block_interval_ms: u64,
    max_staleness_ms: u64,
    bundle_max_age_ms: u64,
) -> Result<Effect, Stop> {
    let parameters = ParametersRecord {
        version: RECORD_VERSION,
        idle_block_interval_ms,
        max_staleness_ms,
        bundle_max_age_ms,
    };
    ensure(parameters.is_sound(), Code::BadParameters)?;
    Ok(Effect { parameters: Some(parameters), ..Effect::default() })
}

fn activate_feature<V: StateView>(
    run: &mut Run<'_, '_, V>,
    feature: u32,
    height: u64,
) -> Result<Effect, Stop> {
    let known: Option<Arc<FeaturesRecord>> = run.overlay.get(&StateKey::Features)?;
    let mut features = known.map(|known| known.features.clone()).unwrap_or_default();
    let at = features.binary_search_by_key(&feature, |a| a.feature);
    let at = at.err().ok_or(Code::FeatureDecided)?;
    ensure(height > run.height, Code::ActivationTooEarly)?;
    ensure(features.len() < MAX_FEATURES, Code::TooManyFeatures)?;
    features.insert(at, Activation { feature, from: height });
    let features = Some(FeaturesRecord { version: RECORD_VERSION, features });
    Ok(Effect { features, ..Effect::default() })
}
