//! Evidence: two signed messages of one validator that exclude each other.
//!
//! A validator signs one proposal, one prevote and one precommit a round. Two different ones of a
//! kind, both under the key that had the vote at their height, prove that whoever holds that key
//! signed against itself. The record names this key and nobody else; to take its vote away stays a
//! decision of the provinces. One record stands for a province and height, however often it is
//! shown.

use std::sync::Arc;

use symbolon_ledger::{
    codes::ProvinceCode,
    governance::{EvidenceRecord, TermsRecord},
    keys::PublicKey,
    records::{RECORD_VERSION, ValidatorsRecord},
    state::StateKey,
    validators::ValidatorSet,
    vote::{SignedStatement, contradiction},
};

use crate::{
    rejection::{RejectionCode as Code, Stop, ensure},
    transaction::Run,
    view::StateView,
};

/// Heights for which evidence is heard: eleven days of idle blocks. The keys of that time are in
/// the state; without a bound a validator could fill it with what it signed for every height.
pub const EVIDENCE_WINDOW: u64 = 100_000;

/// Registers what two statements prove.
pub(crate) fn apply<V: StateView>(
    run: &mut Run<'_, '_, V>,
    province: ProvinceCode,
    first: &SignedStatement,
    second: &SignedStatement,
) -> Result<(), Stop> {
    let said = contradiction(&run.chain_id, first, second);
    let (a, _) = said.map_err(|_| Code::NotEquivocation)?;
    let age = run.height.checked_sub(a.height);
    ensure(age.is_some_and(|age| age <= EVIDENCE_WINDOW), Code::EvidenceOutOfWindow)?;
    let terms: Option<Arc<TermsRecord>> = run.overlay.get(&StateKey::Terms(province))?;
    let set = run.overlay.must::<ValidatorsRecord>(&StateKey::Validators)?;
    let key = voting_key(terms.as_deref(), &set.set, province, a.height);
    let key = key.ok_or(Code::NoValidatorThen)?;
    let place = StateKey::Evidence(province, a.height);
    let known: Option<Arc<EvidenceRecord>> = run.overlay.get(&place)?;
    ensure(known.is_none(), Code::EvidenceKnown)?;
    let signed = first.verify(&key).is_ok() && second.verify(&key).is_ok();
    ensure(signed, Code::BadEvidenceSignature)?;
    let record = EvidenceRecord {
        version: RECORD_VERSION,
        key,
        round: a.round,
        step: a.step,
        reported_at: run.height,
    };
    Ok(run.overlay.put(place, record)?)
}

/// The key that voted for `province` at `height`, when it had a validator then and that is still
/// known. Without a record of terms its validator is that of genesis; nobody votes on block 0.
pub(crate) fn voting_key(
    terms: Option<&TermsRecord>,
    set: &ValidatorSet,
    province: ProvinceCode,
    height: u64,
) -> Option<PublicKey> {
    match terms {
        Some(terms) => terms.key_at(height),
        None => set.get(province).filter(|_| height > 0).map(|v| v.key),
    }
}
