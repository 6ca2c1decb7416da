//! The verdict with no node to ask: from proofs, perhaps a status list, and a trust bundle.
//!
//! [`crate::judge`] decides, by the same rules as at a node; this only finds what it may decide on
//! and says how old that is. Each piece ages by a rule of its own:
//!
//! | piece | counts | afterwards |
//! |---|---|---|
//! | pinned block of the trust bundle | for `bundle_max_age` | nothing is decided: undetermined, never invalid |
//! | state proof | for `max_staleness` | final statuses and proven failures still count; what may have changed is undetermined |
//! | status list | until its `exp` | it is as if it were not there |
//!
//! A list makes the *status* fresh and nothing else: issuer, keys, type and registration stay as
//! old as their proof. So a compromise of the issuer's key that was noted since, or a recognition
//! withdrawn since, is not seen; proofs older than `bundle_max_age` therefore take no list.

mod wording;

pub use wording::age;

use symbolon_credential::{
    sd_jwt::Parsed,
    status_list::{Checked, ListAddress},
};
use symbolon_ledger::{
    records::{AgencyRecord, LicenceRecord, ProvinceRecord, Record, slot_list},
    state::StateKey,
};

use crate::{
    judge::{Ledger, Request, Unavailable, judge},
    state_proof::CheckedState,
    status_list::contradicted,
    trust::{MAX_CLOCK_LAG_MS, Standing, Trust},
    verdict::Verdict,
    view::{AsOf, LedgerView, ReadError, StatusEvidence},
};

/// What is at hand about one licence, all of it checked.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'e> {
    /// State proofs, of any heights. Together they must cover the licence, its agency, its keys
    /// and its type; without the asking province's recognition that is not determined.
    pub states: &'e [CheckedState],
    /// A status list of the issuer's province, if one is at hand.
    pub list: Option<&'e Checked>,
}

/// Judges a well-formed presentation without asking anybody.
///
/// `bundle_max_age_ms` is the chain's parameter of that name, of which the verifier knows from a
/// proof of the parameters or from the founding document; `request.max_staleness_ms` likewise.
///
/// ```no_run
/// # use symbolon_credential::{sd_jwt::Parsed, status_list::Checked};
/// # use symbolon_verify::{judge::Request, offline::{Evidence, verify}, state_proof, trust::Trust};
/// # use symbolon_verify::verdict::Verdict;
/// # fn f(presentation: &Parsed, proof: &[u8], trust: &Trust, request: &Request)
/// #     -> Result<Verdict, Box<dyn std::error::Error>> {
/// const WEEK_MS: u64 = 7 * 24 * 3_600_000;
/// let states = [state_proof::check(proof, trust)?];
/// let evidence = Evidence { states: &states, list: None };
/// let verdict = verify(presentation, &evidence, trust, WEEK_MS, request);
/// # Ok(verdict)
/// # }
/// ```
#[must_use]
pub fn verify(
    presentation: &Parsed,
    evidence: &Evidence<'_>,
    trust: &Trust,
    bundle_max_age_ms: u64,
    request: &Request,
) -> Verdict {
    let ledger = match view(presentation, evidence, trust, bundle_max_age_ms, request) {
        Ok(view) => Ledger::At(Box::new(view)),
        Err(why) => Ledger::Unavailable(why),
    };
    let verdict = judge(presentation, &ledger, request);
    match &ledger {
        Ledger::At(view) | Ledger::Late(view, _) => wording::dated(verdict, view, request),
        Ledger::Unavailable(why) => wording::unavailable(verdict, *why),
    }
}

/// The status list on which a presented licence is, by what the newest proofs have of it; none
/// when they do not cover it.
#[must_use]
pub fn list_of(presentation: &Parsed, states: &[CheckedState]) -> Option<ListAddress> {
    let agency: AgencyRecord =
        newest(states, &StateKey::Agency(presentation.claimed_issuer()?.agency))?;
    let licence: LicenceRecord = newest(states, &StateKey::Licence(presentation.claimed_cid()?))?;
    let province: ProvinceRecord = newest(states, &StateKey::Province(agency.province))?;
    let (list, _) = slot_list(licence.slot);
    Some(ListAddress { origin: province.issuer_origin, province: agency.province, list })
}

fn newest<R: Record>(states: &[CheckedState], key: &StateKey) -> Option<R> {
    let found = states.iter().filter_map(|state| {
        let record = state.get(key).ok().flatten()?;
        Some((state.header().header().height, record))
    });
    found.max_by_key(|(height, _)| *height).map(|(_, record)| record)
}

fn view(
    presentation: &Parsed,
    evidence: &Evidence<'_>,
    trust: &Trust,
    bundle_max_age_ms: u64,
    request: &Request,
) -> Result<LedgerView, Unavailable> {
    match trust.standing(request.now_ms, bundle_max_age_ms) {
        Standing::Current => {}
        Standing::TooOld { .. } => return Err(Unavailable::TrustTooOld),
        Standing::ClockBehind => return Err(Unavailable::ClockBehind),
    }
    let mut records = Records::of(evidence.states, trust).ok_or(Unavailable::NotProven)?;
    let newest = records.newest;
    if newest.time_ms > request.now_ms.saturating_add(MAX_CLOCK_LAG_MS) {
        return Err(Unavailable::ClockBehind);
    }
    let asking = request.recognising_province;
    let read = LedgerView::read(newest, presentation, asking, |key| records.get(key));
    let mut view = read.map_err(|error| match error {
        ReadError::Source(NotCovered) => Unavailable::NotProven,
        ReadError::Record { .. } => Unavailable::UnknownForm,
    })?;
    view.as_of = records.oldest_used.unwrap_or(newest);
    view.licence_as_of = records.licence.unwrap_or(newest);
    view.recognition_known = !records.without_recognition;
    let age_ms = request.now_ms.saturating_sub(view.as_of.time_ms);
    let slot = view.licence.as_ref().map(|licence| licence.slot);
    view.listed = evidence
        .list
        .zip(slot)
        .and_then(|(list, slot)| StatusEvidence::of(list, slot))
        .filter(|list| age_ms <= bundle_max_age_ms && agrees(list, evidence.states, trust));
    Ok(view)
}

/// Whether no certified header that is at hand contradicts the list. One whose key was ended is
/// found out here: it must name a height at which the key was valid, and a header from after its
/// end, which who knows of that end has, is then older than the list says it is.
fn agrees(list: &StatusEvidence, states: &[CheckedState], trust: &Trust) -> bool {
    let mut headers = states.iter().map(CheckedState::header).chain([trust.pin()]);
    headers.all(|header| contradicted(&list.made(), header.header()).is_none())
}

/// The proofs do not cover a place that the answer rests on.
struct NotCovered;

/// What proofs of several heights say together.
struct Records<'e> {
    /// Newest first.
    states: Vec<&'e CheckedState>,
    newest: AsOf,
    /// The oldest block of which a record was taken.
    oldest_used: Option<AsOf>,
    /// The block of which the licence's record was taken.
    licence: Option<AsOf>,
    without_recognition: bool,
}

impl<'e> Records<'e> {
    /// None without any proof of this chain.
    fn of(states: &'e [CheckedState], trust: &Trust) -> Option<Self> {
        let of_chain = |state: &&CheckedState| state.header().header().chain_id == trust.chain_id();
        let mut states: Vec<_> = states.iter().filter(of_chain).collect();
        states.sort_by_key(|state| std::cmp::Reverse(state.header().header().height));
        let newest = AsOf::of(states.first()?.header().header());
        Some(Self { states, newest, oldest_used: None, licence: None, without_recognition: false })
    }

    /// The newest record at `key`. That nothing stands there counts only in the newest proof:
    /// by an older one it may have come since.
    fn get(&mut self, key: &StateKey) -> Result<Option<Vec<u8>>, NotCovered> {
        for state in &self.states {
            let as_of = AsOf::of(state.header().header());
            match state.bytes_at(key) {
                Ok(None) if as_of.height < self.newest.height => {}
                Ok(record) => {
                    let older = |used: &AsOf| used.height <= as_of.height;
                    self.oldest_used = self.oldest_used.filter(older).or(Some(as_of));
                    if matches!(key, StateKey::Licence(_)) {
                        self.licence = Some(as_of);
                    }
                    return Ok(record.map(<[u8]>::to_vec));
                }
                Err(_) => {}
            }
        }
        match key {
            // The name of the asking province, or a doubt of the judge about the issuer's.
            StateKey::Province(_) => Ok(None),
            StateKey::Recognition(..) => {
                self.without_recognition = true;
                Ok(None)
            }
            _ => Err(NotCovered),
        }
    }
}

#[cfg(test)]
#[path = "offline/tests.rs"]
mod tests;
