//! What always holds of a whole state, each as a function named by the sentence it checks.
//!
//! For tests, and for whoever holds a whole state and wants to know that the rules made it: a
//! founding state, a database after re-execution. It is no part of executing a block, and it says
//! nothing of how one state became another.

use std::collections::{BTreeMap, BTreeSet};

use symbolon_ledger::{
    catalogue::LicenceTypeRecord,
    codec::DecodeError,
    codes::{LAST_DAY, ProvinceCode, Uscc},
    governance::{
        EvidenceRecord, FeaturesRecord, GovernanceRecord, MAX_TERMS, ProposalRecord,
        ProposalStatus, Term, TermsRecord,
    },
    hash::{Cid, Digest},
    operation::{Actor, KeyPurpose},
    records::{
        AgencyIndexRecord, AgencyRecord, AgencyStatus, CountersRecord, KeyRecord, LicenceRecord,
        LicenceStatus, LineageRecord, MAX_INTERVALS, MAX_SCOPE, ParametersRecord, ProvinceRecord,
        RecognitionRecord, Record, SLOTS_PER_BLOCK, SlotBlockRecord, TypeIndexRecord,
        ValidatorsRecord, slot_block,
    },
    state::StateKey,
    validators::ValidatorSet,
};

use crate::{evidence::voting_key, governance::MAX_OPEN_PROPOSALS};

/// Something that should hold and does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Name of the function that found it, which is the sentence that does not hold.
    pub sentence: &'static str,
    /// Where.
    pub detail: String,
}

/// A whole state, decoded.
#[derive(Debug, Default)]
struct Whole {
    counters: Vec<CountersRecord>,
    singles: usize,
    provinces: BTreeMap<ProvinceCode, ProvinceRecord>,
    agencies: BTreeMap<Uscc, AgencyRecord>,
    agency_numbers: BTreeMap<u32, Uscc>,
    keys: BTreeMap<(Actor, u32), KeyRecord>,
    types: BTreeMap<String, LicenceTypeRecord>,
    type_numbers: BTreeMap<u16, String>,
    licences: BTreeMap<Cid, LicenceRecord>,
    blocks: BTreeMap<(ProvinceCode, u32), SlotBlockRecord>,
    recognitions: Vec<(StateKey, RecognitionRecord)>,
    lineages: BTreeMap<(u32, Digest), Cid>,
    validators: Option<ValidatorSet>,
    governance: Option<GovernanceRecord>,
    proposals: BTreeMap<u32, ProposalRecord>,
    terms: BTreeMap<ProvinceCode, TermsRecord>,
    features: Option<FeaturesRecord>,
    evidence: BTreeMap<(ProvinceCode, u64), EvidenceRecord>,
}

type Check = fn(&Whole, &mut dyn FnMut(String));

macro_rules! checks {
    ($($name:ident),* $(,)?) => { [$((stringify!($name), $name as Check)),*] };
}

/// Everything that does not hold of the state that consists of `records`.
pub fn check(records: impl IntoIterator<Item = (StateKey, Vec<u8>)>) -> Vec<Violation> {
    let mut whole = Whole::default();
    let mut found = Vec::new();
    for (key, bytes) in records {
        if let Err(error) = whole.insert(&key, &bytes) {
            let detail = format!("{key:?}: {error}");
            found.push(Violation { sentence: "every_record_is_what_its_key_says", detail });
        }
    }
    let checks = checks![
        the_singular_records_exist,
        agencies_are_numbered_without_a_gap,
        licence_types_are_numbered_without_a_gap,
        every_agency_has_a_province_and_a_scope_in_the_catalogue,
        only_a_deregistered_agency_has_a_successor,
        keys_are_numbered_without_a_gap,
        no_actor_has_the_same_key_twice,
        no_key_of_a_province_is_another_ones_or_a_validators,
        a_compromise_covers_the_keys_added_since,
        every_licence_names_what_exists,
        two_licences_in_force_never_share_a_lineage,
        every_lineage_names_its_licence_in_force,
        every_superseded_licence_has_its_successor,
        every_licence_has_a_slot_of_its_own,
        slot_blocks_are_granted_in_order,
        every_agency_counts_its_open_slot_blocks,
        recognitions_are_between_provinces_and_in_order,
        every_validator_is_of_a_province_that_takes_part,
        proposals_are_numbered_without_a_gap_and_counted_while_undecided,
        every_word_about_a_proposal_falls_in_its_life,
        terms_follow_each_other_and_end_in_the_set,
        every_feature_is_decided_once,
        evidence_names_the_key_that_had_the_vote,
    ];
    for (sentence, check) in checks {
        check(&whole, &mut |detail| found.push(Violation { sentence, detail }));
    }
    found
}

impl Whole {
    fn insert(&mut self, key: &StateKey, bytes: &[u8]) -> Result<(), DecodeError> {
        match key.clone() {
            StateKey::Parameters => {
                ParametersRecord::from_bytes(bytes)?;
                self.singles += 1;
            }
            StateKey::Validators => {
                self.validators = Some(ValidatorsRecord::from_bytes(bytes)?.set);
                self.singles += 1;
            }
            StateKey::Counters => self.counters.push(Record::from_bytes(bytes)?),
            StateKey::Province(code) => {
                self.provinces.insert(code, Record::from_bytes(bytes)?);
            }
            StateKey::Agency(uscc) => {
                self.agencies.insert(uscc, Record::from_bytes(bytes)?);
            }
            StateKey::AgencyByIndex(index) => {
                self.agency_numbers.insert(index, AgencyIndexRecord::from_bytes(bytes)?.uscc);
            }
            StateKey::Key(actor, id) => {
                self.keys.insert((actor, id), Record::from_bytes(bytes)?);
            }
            StateKey::LicenceType(code) => {
                self.types.insert(code.to_string(), Record::from_bytes(bytes)?);
            }
            StateKey::LicenceTypeByIndex(index) => {
                let code = TypeIndexRecord::from_bytes(bytes)?.code.to_string();
                self.type_numbers.insert(index, code);
            }
            StateKey::Licence(cid) => {
                self.licences.insert(cid, Record::from_bytes(bytes)?);
            }
            StateKey::SlotBlock(province, block) => {
                self.blocks.insert((province, block), Record::from_bytes(bytes)?);
            }
            StateKey::Recognition(..) => {
                self.recognitions.push((key.clone(), Record::from_bytes(bytes)?));
            }
            StateKey::Lineage(agency, tag) => {
                let newest = LineageRecord::from_bytes(bytes)?.newest;
                self.lineages.insert((agency, tag), newest);
            }
            StateKey::Governance => self.governance = Some(Record::from_bytes(bytes)?),
            StateKey::Proposal(number) => {
                self.proposals.insert(number, Record::from_bytes(bytes)?);
            }
            StateKey::Terms(province) => {
                self.terms.insert(province, Record::from_bytes(bytes)?);
            }
            StateKey::Features => self.features = Some(Record::from_bytes(bytes)?),
            StateKey::Evidence(province, height) => {
                self.evidence.insert((province, height), Record::from_bytes(bytes)?);
            }
        }
        Ok(())
    }

    fn agency(&self, index: u32) -> Option<&AgencyRecord> {
        self.agencies.get(self.agency_numbers.get(&index)?)
    }

    /// Licences that are not in a final status.
    fn in_force(&self) -> impl Iterator<Item = (&Cid, &LicenceRecord)> {
        self.licences.iter().filter(|(_, licence)| !licence.status.is_final())
    }
}

fn the_singular_records_exist(state: &Whole, report: &mut dyn FnMut(String)) {
    if state.singles != 2 || state.counters.len() != 1 {
        report("parameters, validators or counters are missing".into());
    }
}

fn agencies_are_numbered_without_a_gap(state: &Whole, report: &mut dyn FnMut(String)) {
    let next = state.counters.first().map_or(0, |c| c.next_agency);
    let numbers: Vec<u32> = state.agency_numbers.keys().copied().collect();
    if numbers != (0..next).collect::<Vec<_>>() || numbers.len() != state.agencies.len() {
        report(format!("{} agencies, {} numbers", state.agencies.len(), numbers.len()));
    }
    for (uscc, agency) in &state.agencies {
        if agency.uscc != *uscc || state.agency_numbers.get(&agency.index) != Some(uscc) {
            report(format!("agency {uscc}"));
        }
    }
}

fn licence_types_are_numbered_without_a_gap(state: &Whole, report: &mut dyn FnMut(String)) {
    let next = state.counters.first().map_or(0, |c| c.next_type);
    let numbers: Vec<u16> = state.type_numbers.keys().copied().collect();
    if numbers != (0..next).collect::<Vec<_>>() || numbers.len() != state.types.len() {
        report(format!("{} types, {} numbers", state.types.len(), numbers.len()));
    }
    for (code, entry) in &state.types {
        if entry.code.as_str() != code || state.type_numbers.get(&entry.index) != Some(code) {
            report(format!("type {code}"));
        }
    }
}

fn every_agency_has_a_province_and_a_scope_in_the_catalogue(
    state: &Whole,
    report: &mut dyn FnMut(String),
) {
    for (uscc, agency) in &state.agencies {
        let scope = &agency.scope;
        let known = scope.iter().all(|code| state.types.contains_key(code.as_str()));
        let ordered = scope.is_sorted_by(|a, b| a < b) && scope.len() <= MAX_SCOPE;
        if !known || !ordered || !state.provinces.contains_key(&agency.province) {
            report(format!("agency {uscc}"));
        }
    }
}

fn only_a_deregistered_agency_has_a_successor(state: &Whole, report: &mut dyn FnMut(String)) {
    for (uscc, agency) in &state.agencies {
        let Some(next) = agency.successor else { continue };
        let same_province =
            state.agencies.get(&next).is_some_and(|a| a.province == agency.province);
        if agency.status != AgencyStatus::Deregistered || !same_province || next == *uscc {
            report(format!("agency {uscc}"));
        }
    }
}

fn actors(state: &Whole) -> impl Iterator<Item = (Actor, u32)> {
    let provinces = state.provinces.iter().map(|(code, p)| (Actor::Province(*code), p.next_key));
    provinces.chain(state.agencies.iter().map(|(uscc, a)| (Actor::Agency(*uscc), a.next_key)))
}

fn keys_are_numbered_without_a_gap(state: &Whole, report: &mut dyn FnMut(String)) {
    let mut expected = 0;
    for (actor, next) in actors(state) {
        expected += next as usize;
        if !(0..next).all(|id| state.keys.contains_key(&(actor, id))) {
            report(format!("keys of {actor}"));
        }
    }
    if expected != state.keys.len() {
        report(format!("{} keys, {expected} numbers", state.keys.len()));
    }
    for (code, province) in &state.provinces {
        let status = |id| state.keys.get(&(Actor::Province(*code), id)).map(|k| k.purpose);
        if province.status_key.is_some_and(|id| status(id) != Some(KeyPurpose::Status)) {
            report(format!("status key of province {code}"));
        }
    }
}

fn no_actor_has_the_same_key_twice(state: &Whole, report: &mut dyn FnMut(String)) {
    let mut seen = BTreeSet::new();
    for ((actor, id), key) in &state.keys {
        if !seen.insert((*actor, key.key)) {
            report(format!("key {id} of {actor}"));
        }
    }
}

/// Keys of agencies are not among them: theirs are unique to each agency.
fn no_key_of_a_province_is_another_ones_or_a_validators(
    state: &Whole,
    report: &mut dyn FnMut(String),
) {
    let mut seen = BTreeSet::new();
    for ((actor, id), key) in &state.keys {
        if matches!(actor, Actor::Province(_)) && !seen.insert(key.key) {
            report(format!("key {id} of {actor}"));
        }
    }
    for validator in state.validators.iter().flat_map(ValidatorSet::validators) {
        for key in [Some(validator.key), validator.node_key()].into_iter().flatten() {
            if !seen.insert(key) {
                report(format!("validator of {}", validator.province));
            }
        }
    }
}

fn a_compromise_covers_the_keys_added_since(state: &Whole, report: &mut dyn FnMut(String)) {
    for ((actor, id), key) in &state.keys {
        let Some(by) = key.added_by else { continue };
        let adder = state.keys.get(&(by.actor, by.key_id));
        let stolen =
            by.actor == *actor && adder.is_some_and(|a| a.is_compromised_at(key.valid_from));
        if stolen && !key.is_compromised_at(key.valid_from) {
            report(format!("key {id} of {actor}"));
        }
    }
}

fn every_licence_names_what_exists(state: &Whole, report: &mut dyn FnMut(String)) {
    for (cid, licence) in &state.licences {
        let whole = state.agency(licence.agency_index).is_some_and(|agency| {
            let purpose = |id| {
                let key = state.keys.get(&(Actor::Agency(agency.uscc), id));
                key.filter(|k| k.valid_from <= licence.issued_at).map(|k| k.purpose)
            };
            purpose(licence.transaction_key) == Some(KeyPurpose::Transaction)
                && purpose(licence.credential_key) == Some(KeyPurpose::Credential)
        });
        let to = match licence.status {
            LicenceStatus::TransferPending { to } => state.agency(to).is_some(),
            _ => true,
        };
        let known_type = state.type_numbers.contains_key(&licence.type_index);
        let previous = licence.previous.is_none_or(|p| state.licences.contains_key(&p));
        if !whole || !to || !known_type || !previous || licence.changed_at < licence.issued_at {
            report(format!("licence {cid}"));
        }
    }
}

fn two_licences_in_force_never_share_a_lineage(state: &Whole, report: &mut dyn FnMut(String)) {
    let mut seen = BTreeSet::new();
    for (cid, licence) in state.in_force() {
        if !seen.insert((licence.agency_index, licence.lineage)) {
            report(format!("licence {cid}"));
        }
    }
}

fn every_lineage_names_its_licence_in_force(state: &Whole, report: &mut dyn FnMut(String)) {
    let lineage = |(cid, l): (&Cid, &LicenceRecord)| ((l.agency_index, l.lineage), *cid);
    let expected: BTreeMap<_, _> = state.in_force().map(lineage).collect();
    if expected != state.lineages {
        report(format!("{} lineages, {} in force", state.lineages.len(), expected.len()));
    }
}

fn every_superseded_licence_has_its_successor(state: &Whole, report: &mut dyn FnMut(String)) {
    for (cid, licence) in &state.licences {
        let LicenceStatus::Superseded { by } = licence.status else { continue };
        let next = state.licences.get(&by);
        let follows = next.is_some_and(|n| {
            n.previous == Some(*cid)
                && n.type_index == licence.type_index
                && n.issued_at == licence.changed_at
        });
        if !follows {
            report(format!("licence {cid}"));
        }
    }
}

fn every_licence_has_a_slot_of_its_own(state: &Whole, report: &mut dyn FnMut(String)) {
    let mut seen = BTreeSet::new();
    for (cid, licence) in &state.licences {
        let Some(agency) = state.agency(licence.agency_index) else { continue };
        let (block, offset) = slot_block(licence.slot);
        let granted = state
            .blocks
            .get(&(agency.province, block))
            .is_some_and(|b| b.agency_index == licence.agency_index && b.is_used(offset));
        if !granted || !seen.insert((agency.province, licence.slot)) {
            report(format!("licence {cid}"));
        }
    }
    let used =
        |b: &SlotBlockRecord| b.used.iter().map(|byte| byte.count_ones() as usize).sum::<usize>();
    if state.blocks.values().map(used).sum::<usize>() != state.licences.len() {
        report("more slots are used than there are licences".into());
    }
}

fn slot_blocks_are_granted_in_order(state: &Whole, report: &mut dyn FnMut(String)) {
    let mut expected = 0;
    for (code, province) in &state.provinces {
        expected += province.next_slot_block as usize;
        if !(0..province.next_slot_block).all(|b| state.blocks.contains_key(&(*code, b))) {
            report(format!("blocks of province {code}"));
        }
    }
    if expected != state.blocks.len() {
        report(format!("{} blocks, {expected} granted", state.blocks.len()));
    }
    for ((code, number), block) in &state.blocks {
        let whole = block.used.len() == SLOTS_PER_BLOCK as usize / 8;
        let owner = state.agency(block.agency_index).is_some_and(|a| a.province == *code);
        if !whole || !owner {
            report(format!("block {number} of province {code}"));
        }
    }
}

fn every_agency_counts_its_open_slot_blocks(state: &Whole, report: &mut dyn FnMut(String)) {
    let mut open: BTreeMap<u32, u32> = BTreeMap::new();
    for block in state.blocks.values().filter(|block| block.is_open()) {
        *open.entry(block.agency_index).or_default() += 1;
    }
    for (uscc, agency) in &state.agencies {
        let counted = open.get(&agency.index).copied().unwrap_or_default();
        if agency.open_blocks != counted {
            report(format!("agency {uscc}: {counted} blocks, {} counted", agency.open_blocks));
        }
    }
}

fn recognitions_are_between_provinces_and_in_order(state: &Whole, report: &mut dyn FnMut(String)) {
    for (key, record) in &state.recognitions {
        let StateKey::Recognition(to, from, code) = key else { continue };
        let spans = &record.intervals;
        let exist = [to, from].iter().all(|p| state.provinces.contains_key(p))
            && state.types.contains_key(code.as_str());
        let ordered = spans.iter().all(|s| {
            let last = s.until.unwrap_or(LAST_DAY);
            s.from <= last && last <= LAST_DAY
        });
        let apart = spans.windows(2).all(|w| w[0].from < w[1].from && !w[0].overlaps(&w[1]));
        if to == from || !exist || !ordered || !apart || !(1..=MAX_INTERVALS).contains(&spans.len())
        {
            report(format!("{key:?}"));
        }
    }
}

fn every_validator_is_of_a_province_that_takes_part(state: &Whole, report: &mut dyn FnMut(String)) {
    for validator in state.validators.iter().flat_map(ValidatorSet::validators) {
        let province = state.provinces.get(&validator.province);
        if province.is_none_or(|province| province.removed_at.is_some()) {
            report(format!("validator of {}", validator.province));
        }
    }
}

fn proposals_are_numbered_without_a_gap_and_counted_while_undecided(
    state: &Whole,
    report: &mut dyn FnMut(String),
) {
    let (next, open) = match &state.governance {
        Some(governance) => (governance.next_proposal, governance.open.as_slice()),
        None => (0, &[][..]),
    };
    let numbers: Vec<u32> = state.proposals.keys().copied().collect();
    if numbers != (0..next).collect::<Vec<_>>() {
        report(format!("{} proposals, next {next}", numbers.len()));
    }
    if !open.is_sorted_by(|a, b| a.number < b.number) {
        report("the undecided are out of order".into());
    }
    let mut counts: BTreeMap<ProvinceCode, usize> = BTreeMap::new();
    for counted in open {
        *counts.entry(counted.proposer).or_default() += 1;
        let agrees = state.proposals.get(&counted.number).is_some_and(|p| {
            p.status == ProposalStatus::Open
                && (p.proposer, p.expires_at) == (counted.proposer, counted.expires_at)
        });
        if !agrees {
            report(format!("proposal {}", counted.number));
        }
    }
    for (province, count) in counts.into_iter().filter(|(_, n)| *n > MAX_OPEN_PROPOSALS) {
        report(format!("{count} undecided proposals of {province}"));
    }
}

fn every_word_about_a_proposal_falls_in_its_life(state: &Whole, report: &mut dyn FnMut(String)) {
    for (number, proposal) in &state.proposals {
        let life = proposal.proposed_at..=proposal.expires_at;
        let decided = match proposal.status {
            ProposalStatus::Open => None,
            ProposalStatus::Executed { at } | ProposalStatus::Rejected { at } => Some(at),
        };
        let once = proposal.votes.is_sorted_by(|a, b| a.province < b.province);
        let in_time = proposal.votes.iter().map(|v| v.at).chain(decided).all(|h| life.contains(&h));
        if !once || !in_time {
            report(format!("proposal {number}"));
        }
    }
}

fn terms_follow_each_other_and_end_in_the_set(state: &Whole, report: &mut dyn FnMut(String)) {
    for (province, record) in &state.terms {
        let terms = &record.terms;
        let ended = |t: &Term| t.until.is_some_and(|until| t.from <= until);
        let apart = terms.windows(2).all(|w| ended(&w[0]) && w[0].until < Some(w[1].from));
        let running = terms.last().filter(|t| t.until.is_none()).map(|t| t.key);
        let votes = state.validators.as_ref().and_then(|set| set.get(*province)).map(|v| v.key);
        if !apart || running != votes || !(1..=MAX_TERMS).contains(&terms.len()) {
            report(format!("terms of {province}"));
        }
    }
}

fn every_feature_is_decided_once(state: &Whole, report: &mut dyn FnMut(String)) {
    let wrong = |record: &FeaturesRecord| {
        let features = &record.features;
        features.is_empty() || !features.is_sorted_by(|a, b| a.feature < b.feature)
    };
    if state.features.as_ref().is_some_and(wrong) {
        report("features are out of order".into());
    }
}

/// Where the term of that height is not kept any more, nothing is said.
fn evidence_names_the_key_that_had_the_vote(state: &Whole, report: &mut dyn FnMut(String)) {
    let Some(set) = &state.validators else { return };
    for ((province, height), evidence) in &state.evidence {
        let key = voting_key(state.terms.get(province), set, *province, *height);
        if key.is_some_and(|key| key != evidence.key) || evidence.reported_at < *height {
            report(format!("evidence against {province} at {height}"));
        }
    }
}
