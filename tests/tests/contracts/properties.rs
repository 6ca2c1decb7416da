//! What holds of any sequence of transactions, each as a function named by its sentence.
//!
//! A story is drawn at random: blocks of transactions by agencies and provinces over a few
//! licences, lineages and slots, so that they often collide. Of a failure, proptest prints the
//! shortest story that fails, which is all it takes to tell it again.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*, test_runner::Config};
use symbolon_contracts::{ApplyError, Event, Overlay, RejectionCode, try_transaction};
use symbolon_ledger::{
    codes::Day,
    hash::{Cid, Digest},
    operation::{Actor, Interval, KeyPurpose, NewKey, NewLicence, Operation, RevocationClass},
    records::{
        AgencyRecord, AgencyStatus, KeyRecord, LicenceRecord, LicenceStatus, ProvinceRecord,
        Record as _,
    },
    state::StateKey,
    transaction::Verified,
};

use crate::world::*;

/// Stories a property is tried on. With the width of a story this runs in seconds.
const STORIES: u32 = 48;
/// Stories that together must have drawn everything that can happen: some of it needs three others.
const STORIES_FOR_ALL: u32 = 400;
/// Agencies 1 and 2 of province 44, 3 of 51.
const AGENCIES: [(u8, &str); 3] = [(1, "44"), (2, "44"), (3, "51")];
/// Licences, lineages and slots that an agency has to choose from.
const NAMES: u8 = 12;
const LINEAGES: u8 = 4;
const SLOTS: u8 = 32;

/// Agencies that may be registered in a story; they say nothing.
const NEWCOMERS: [u8; 2] = [4, 5];
/// Kinds of operations on licences, and of all operations.
const LICENCE_KINDS: std::ops::Range<u8> = 0..8;
const OTHER_KINDS: std::ops::Range<u8> = 8..26;

/// An operation in small numbers, made into a real one when it is said.
#[derive(Debug, Clone)]
struct Draft {
    kind: u8,
    agency: u8,
    name: u8,
    lineage: u8,
    slot: u8,
    code: u8,
}

/// Who says which operations, and with which of its keys.
type Said = (u8, u8, Vec<Draft>);
/// Blocks of transactions.
type Story = Vec<Vec<Said>>;

fn draft(kind: impl Strategy<Value = u8>) -> impl Strategy<Value = Draft> {
    (kind, 0u8..3, 0..NAMES, 0..LINEAGES, 0..SLOTS, 0u8..8).prop_map(
        |(kind, agency, name, lineage, slot, code)| Draft {
            kind,
            agency,
            name,
            lineage,
            slot,
            code,
        },
    )
}

/// Mostly agencies that speak of licences, sometimes a province; both also say what is not for
/// them to say. Mostly one operation, since one that is refused takes the others with it.
fn said() -> impl Strategy<Value = Said> {
    let of_licences =
        prop_oneof![3 => Just(0u8), 12 => LICENCE_KINDS, 1 => Just(18u8), 1 => OTHER_KINDS];
    // What applies only after something else has is said more often.
    let after_others = prop_oneof![Just(14u8), Just(15u8), Just(21u8)];
    let of_agencies = prop_oneof![12 => OTHER_KINDS, 4 => after_others, 1 => LICENCE_KINDS];
    let count = || prop_oneof![4 => Just(1usize), 1 => Just(2), 1 => Just(3)];
    let agency = (0u8..3, 0u8..16, vec(draft(of_licences), 3), count());
    let province = (3u8..6, 0u8..16, vec(draft(of_agencies), 3), count());
    prop_oneof![5 => agency, 2 => province].prop_map(|(actor, key, drafts, count)| {
        (actor, key, drafts.into_iter().take(count).collect())
    })
}

fn story() -> impl Strategy<Value = Story> {
    vec(vec(said(), 1..5), 1..30)
}

fn actor(n: u8) -> Actor {
    match n {
        0..3 => of_agency(AGENCIES[usize::from(n)].0),
        3 => of_province("44"),
        4 => of_province("51"),
        _ => of_province("11"),
    }
}

fn start() -> World {
    let mut world = World::founded();
    for (n, home) in AGENCIES {
        world.with_agency(n, home, &[DRIVING]);
        let slot = world.first_slot(n);
        world.commits(of_agency(n), vec![issue("licence 0", "lineage 0", slot)]);
    }
    world
}

/// Number of the next key of an actor. Its secret is made of the number that it will have, so that
/// whoever signs later finds it again.
fn next_key(world: &World, actor: Actor) -> u32 {
    match actor {
        Actor::Agency(uscc) => {
            world.record::<AgencyRecord>(&StateKey::Agency(uscc)).unwrap().next_key
        }
        Actor::Province(code) => {
            world.record::<ProvinceRecord>(&StateKey::Province(code)).unwrap().next_key
        }
    }
}

/// Numbers of the actor's keys of a purpose whose secret is known: those that are valid, and all.
fn keys(world: &World, actor: Actor, purpose: KeyPurpose) -> (Vec<u32>, Vec<u32>) {
    let known = |id: &u32| {
        let key = world.key(actor, *id);
        key.purpose == purpose && key.key == secret(actor, *id).public_key()
    };
    let all: Vec<u32> = (0..next_key(world, actor)).filter(known).collect();
    let live = all.iter().filter(|id| world.key(actor, **id).is_valid_at(world.height));
    (live.copied().collect(), all)
}

/// One of the keys of a purpose: three times in four a valid one, as far as there is one.
fn some_key(world: &World, actor: Actor, purpose: KeyPurpose, pick: u8) -> u32 {
    let (live, all) = keys(world, actor, purpose);
    let from = if pick < 12 && !live.is_empty() { live } else { all };
    from.get(usize::from(pick) % from.len().max(1)).copied().unwrap_or_default()
}

/// The operation that a draft stands for.
fn operation(world: &World, signer: Actor, draft: &Draft) -> Operation {
    // Three times in four one speaks of one's own, as far as there is something.
    let at_home = draft.code < 6;
    let own = |(n, home): &&(u8, &str)| of_agency(*n) == signer || of_province(home) == signer;
    let other = AGENCIES[usize::from(draft.agency)];
    let (n, _) = *AGENCIES.iter().find(|a| at_home && own(a)).unwrap_or(&other);
    let issuer = if draft.kind == 2 { other.0 } else { n };
    let (agency, cid) = (uscc(n), some_licence(world, issuer, draft.name));
    let key = |purpose| {
        let until = (draft.lineage == 0).then(|| world.height + u64::from(draft.slot));
        NewKey {
            valid_until: until,
            ..new_key(of_agency(n), next_key(world, of_agency(n)), purpose)
        }
    };
    let (from_province, licence_type) = (province("51"), type_code(DRIVING));
    let (key_id, effective) = (u32::from(draft.code % 4), Day(u32::from(draft.slot) * 5));
    match draft.kind {
        0 => Operation::Issue { licence: new_licence(world, signer, draft) },
        1 => {
            let mut licence = new_licence(world, signer, draft);
            if let Some(previous) = world.licence(&cid).filter(|_| at_home) {
                licence.lineage = previous.lineage;
            }
            Operation::Supersede { previous: cid, licence }
        }
        2 => Operation::TransferIn { previous: cid, licence: new_licence(world, signer, draft) },
        3 => Operation::Suspend { cid },
        4 => Operation::Resume { cid },
        5 => Operation::Revoke { cid, class: RevocationClass::Withdrawn },
        6 => {
            let (to, _) = AGENCIES[usize::from(draft.code) % AGENCIES.len()];
            Operation::TransferOut { cid, to: uscc(to) }
        }
        7 => Operation::CancelTransfer { cid },
        8 => Operation::SetScope { agency, scope: vec![] },
        9 | 10 => Operation::SetScope { agency, scope: vec![type_code(DRIVING)] },
        11 => Operation::SuspendAgency { agency },
        12 | 13 => Operation::ResumeAgency { agency },
        14 if draft.code == 0 => Operation::DeregisterAgency { agency },
        15 => Operation::AssignSuccessor { agency, successor: uscc(1 + draft.code % 3) },
        16 => Operation::ReserveSlots { agency, blocks: u16::from(draft.code) },
        17 => Operation::AddKey { agency, key: key(KeyPurpose::Credential) },
        18 => {
            let known = world.record::<KeyRecord>(&StateKey::Key(of_agency(n), key_id));
            let purpose = known.map_or(KeyPurpose::Credential, |known| known.purpose);
            Operation::RotateKey { agency, key_id, key: key(purpose) }
        }
        19 if draft.code < 2 => {
            Operation::MarkCompromised { agency, key_id, from_height: world.height - 1 }
        }
        20 => {
            let until = (draft.code > 1).then(|| Day(effective.0 + u32::from(draft.code)));
            let interval = Interval { from: effective, until };
            Operation::Recognise { from_province, licence_type, interval }
        }
        21 => Operation::WithdrawRecognition { from_province, licence_type, effective },
        22 => register(NEWCOMERS[usize::from(draft.code) % NEWCOMERS.len()], &[DRIVING]),
        23 if draft.code < 4 => Operation::RevokeKey { agency, key_id },
        24 => {
            let id = next_key(world, signer);
            Operation::SetStatusKey { key: new_key(signer, id, KeyPurpose::Status) }
        }
        25 => Operation::AddKey { agency, key: key(KeyPurpose::Transaction) },
        _ => Operation::Approve { proposal: u32::from(draft.code), action: Digest::ZERO },
    }
}

/// One of the licences that the agency has issued, if there is one.
fn some_licence(world: &World, n: u8, name: u8) -> Cid {
    let cids = (0..NAMES).map(|name| cid_of(n, &format!("licence {name}")));
    let known: Vec<Cid> = cids.filter(|cid| world.licence(cid).is_some()).collect();
    match known.len() {
        0 => cid_of(n, "licence 0"),
        count => known[usize::from(name) % count],
    }
}

fn new_licence(world: &World, signer: Actor, draft: &Draft) -> NewLicence {
    let own = AGENCIES.iter().find(|(n, _)| of_agency(*n) == signer);
    let first = own.map_or(0, |(n, _)| world.first_slot(*n));
    // Issued under its own name, or in the place of another one.
    let name = if draft.kind == 0 { draft.name } else { (draft.name + 3) % NAMES };
    let lineage = draft.lineage;
    let mut licence = licence(
        &format!("licence {name}"),
        &format!("lineage {lineage}"),
        first + u32::from(draft.slot),
    );
    if draft.code == 7 {
        licence.licence_type = type_code(RARE);
    }
    if own.is_some() {
        let pick = draft.slot % 16;
        licence.credential_key = some_key(world, signer, KeyPurpose::Credential, pick);
    }
    licence
}

/// A block of the story, signed as it is told.
fn block(world: &World, told: &[Said]) -> Vec<Verified> {
    let transaction = |(n, key, drafts): &Said| {
        let signer = actor(*n);
        let operations = drafts.iter().map(|draft| operation(world, signer, draft)).collect();
        let mut payload = world.payload(signer, operations);
        payload.key_id = some_key(world, signer, KeyPurpose::Transaction, *key);
        sign_with(&payload, &secret(signer, payload.key_id))
    };
    told.iter().map(transaction).collect()
}

type Outcomes = Vec<Result<Vec<Event>, RejectionCode>>;

/// Tells a story block by block. `check` sees the world before a block, the block, what came of
/// each transaction, and the world after it.
fn tell(story: &Story, mut check: impl FnMut(&World, &[Verified], &Outcomes, &World)) {
    let mut world = start();
    for told in story {
        let transactions = block(&world, told);
        let before = world.clone();
        let outcomes = world.commit_block(&transactions);
        check(&before, &transactions, &outcomes, &world);
    }
}

fn licences(world: &World) -> impl Iterator<Item = (&StateKey, LicenceRecord)> {
    world.state.iter().filter_map(|(key, bytes)| match key {
        StateKey::Licence(_) => Some((key, LicenceRecord::from_bytes(bytes).unwrap())),
        _ => None,
    })
}

/// Licences that an applied transaction made, with whoever signed it.
fn made<'a>(
    transactions: &'a [Verified],
    outcomes: &'a Outcomes,
) -> impl Iterator<Item = (Actor, &'a LicenceRecord)> {
    transactions.iter().zip(outcomes).flat_map(|(transaction, outcome)| {
        let signer = transaction.transaction().payload().actor;
        let making = ["issue", "supersede", "transfer_in"];
        let events = outcome.iter().flatten().filter(move |e| making.contains(&e.name));
        // Two of these also end a licence, which is then not active.
        let touched = events.filter_map(|e| e.licence_after.as_ref());
        let new = touched.filter(|l| l.status == LicenceStatus::Active);
        new.map(move |licence| (signer, licence))
    })
}

fn no_final_status_is_left(before: &World, after: &World) {
    for (key, licence) in licences(before).filter(|(_, l)| l.status.is_final()) {
        assert_eq!(after.record::<LicenceRecord>(key), Some(licence), "{key:?}");
    }
    for (n, _) in AGENCIES {
        if before.agency(n).status == AgencyStatus::Deregistered {
            assert_eq!(after.agency(n).status, AgencyStatus::Deregistered);
        }
    }
}

fn two_licences_in_force_never_share_a_lineage(world: &World) {
    let mut seen = BTreeSet::new();
    for (key, licence) in licences(world).filter(|(_, l)| !l.status.is_final()) {
        assert!(seen.insert((licence.agency_index, licence.lineage)), "{key:?}");
    }
}

fn agency_of_index(world: &World, index: u32) -> (u8, &'static str) {
    *AGENCIES.iter().find(|(n, _)| world.agency(*n).index == index).unwrap()
}

/// For blocks of one transaction: then the state before the block is that before its operations.
fn nobody_acts_outside_their_scope(before: &World, block: &[Verified], outcomes: &Outcomes) {
    for (signer, licence) in made(block, outcomes) {
        let (n, _) = agency_of_index(before, licence.agency_index);
        assert_eq!(signer, of_agency(n));
        let agency = before.agency(n);
        assert_eq!(agency.status, AgencyStatus::Active);
        assert!(agency.scope.contains(&type_code(DRIVING)) && licence.type_index == 0);
    }
}

/// The agency that answers for the licences of agency `issuer`.
fn administrator(world: &World, issuer: u8) -> AgencyRecord {
    let mut owner = world.agency(issuer);
    while let (AgencyStatus::Deregistered, Some(next)) = (owner.status, owner.successor) {
        owner = world.record(&StateKey::Agency(next)).unwrap();
    }
    owner
}

/// For blocks of one transaction. A licence is made and superseded by the agency that issues it,
/// taken over by the one that it was released to, suspended and revoked by its administrator or
/// its province, and else touched by its administrator only.
fn only_its_agency_a_successor_or_its_province_changes_a_licence(
    before: &World,
    block: &[Verified],
    outcomes: &Outcomes,
) {
    let signer = block[0].transaction().payload().actor;
    // Statuses as the operations before have left them.
    let mut statuses: BTreeMap<Cid, LicenceStatus> = BTreeMap::new();
    for event in outcomes[0].iter().flatten() {
        let (Some(cid), Some(licence)) = (event.cid, &event.licence_after) else { continue };
        let was = statuses.get(&cid).copied().or(before.licence(&cid).map(|l| l.status));
        statuses.insert(cid, licence.status);
        let (issuer, home) = agency_of_index(before, licence.agency_index);
        let issuers_own = signer == of_agency(issuer);
        let owner = administrator(before, issuer);
        let administers =
            signer == Actor::Agency(owner.uscc) && owner.status == AgencyStatus::Active;
        let allowed = match (event.name, was) {
            ("issue", None) | ("supersede", _) | ("transfer_in", None) => issuers_own,
            ("transfer_in", Some(LicenceStatus::TransferPending { to })) => {
                signer == of_agency(agency_of_index(before, to).0)
            }
            ("suspend" | "revoke", Some(_)) => administers || signer == of_province(home),
            ("resume" | "transfer_out" | "cancel_transfer", Some(_)) => administers,
            _ => false,
        };
        assert!(allowed, "{signer}: {} of agency {issuer}, {was:?}", event.name);
    }
}

/// Keys that have ended or are marked, as seen between two blocks.
fn dead_keys(world: &World) -> BTreeSet<(Actor, u32)> {
    let dead = |(key, bytes): (&StateKey, &Vec<u8>)| match key {
        StateKey::Key(actor, id) => {
            let record = KeyRecord::from_bytes(bytes).unwrap();
            let over = record.valid_until.is_some_and(|until| until < world.height);
            (over || record.compromised_from.is_some()).then_some((*actor, *id))
        }
        _ => None,
    };
    world.state.iter().filter_map(dead).collect()
}

fn a_compromised_or_ended_key_signs_nothing_from_then_on(
    dead: &BTreeSet<(Actor, u32)>,
    block: &[Verified],
    outcomes: &Outcomes,
) {
    for (transaction, outcome) in block.iter().zip(outcomes) {
        let payload = transaction.transaction().payload();
        let signed = outcome.is_ok() && dead.contains(&(payload.actor, payload.key_id));
        assert!(!signed, "{} with key {}", payload.actor, payload.key_id);
    }
    for (signer, licence) in made(block, outcomes) {
        for id in [licence.credential_key, licence.transaction_key] {
            assert!(!dead.contains(&(signer, id)), "{signer} issues with key {id}");
        }
    }
}

fn a_refused_transaction_changes_nothing(
    before: &World,
    transactions: &[Verified],
    outcomes: &Outcomes,
) {
    let applied: Vec<Verified> = transactions
        .iter()
        .zip(outcomes)
        .filter(|(_, outcome)| outcome.is_ok())
        .map(|(transaction, _)| transaction.clone())
        .collect();
    let (with, _) = before.execute(transactions);
    let (without, again) = before.execute(&applied);
    assert!(again.iter().all(Result::is_ok));
    // Slot blocks and the like that a refused transaction only read are written by nobody.
    assert_eq!(with, without);
}

/// Each as if it stood alone, though all are tried on what one overlay has read.
fn a_trial_leaves_no_trace(before: &World, transactions: &[Verified]) {
    let mut trial = Overlay::new(before);
    for transaction in transactions {
        let tried = match try_transaction(&mut trial, &before.context(), transaction) {
            Ok(()) => Ok(()),
            Err(ApplyError::Rejected(why)) => Err(why.code),
            Err(fault) => panic!("{fault}"),
        };
        assert_eq!(tried, before.attempt(transaction).map(|_| ()));
    }
    assert!(trial.into_changes().is_empty());
}

fn a_replay_is_refused(
    before: &World,
    transactions: &[Verified],
    outcomes: &Outcomes,
    after: &World,
) {
    for (transaction, outcome) in transactions.iter().zip(outcomes) {
        if outcome.is_ok() {
            assert_eq!(after.attempt(transaction), Err(RejectionCode::AlreadyCommitted));
        }
    }
    // Also within one block.
    if outcomes[0].is_ok() {
        let first = &transactions[0];
        let twice = before.execute(&[first.clone(), first.clone()]).1;
        assert_eq!(twice[1], Err(RejectionCode::AlreadyCommitted));
    }
}

fn the_same_input_gives_the_same_changes(before: &World, transactions: &[Verified]) {
    assert_eq!(before.execute(transactions), before.execute(transactions));
}

proptest! {
    #![proptest_config(Config { cases: STORIES, failure_persistence: None, ..Config::default() })]

    #[test]
    fn final_is_final(story in story()) {
        tell(&story, |before, _, _, after| no_final_status_is_left(before, after));
    }

    #[test]
    fn lineages_are_not_shared(story in story()) {
        tell(&story, |_, _, _, after| two_licences_in_force_never_share_a_lineage(after));
    }

    #[test]
    fn scope_and_ownership_bind(story in story()) {
        let one_by_one: Story = story.into_iter().flatten().map(|said| vec![said]).collect();
        tell(&one_by_one, |before, block, outcomes, _| {
            nobody_acts_outside_their_scope(before, block, outcomes);
            only_its_agency_a_successor_or_its_province_changes_a_licence(before, block, outcomes);
        });
    }

    #[test]
    fn dead_keys_sign_nothing(story in story()) {
        let mut dead = BTreeSet::new();
        tell(&story, |before, block, outcomes, after| {
            assert!(dead.is_subset(&dead_keys(before)), "a key came back");
            dead = dead_keys(before);
            a_compromised_or_ended_key_signs_nothing_from_then_on(&dead, block, outcomes);
            assert!(dead.is_subset(&dead_keys(after)), "a key came back");
        });
    }

    #[test]
    fn a_trial_says_what_would_happen_and_changes_nothing(story in story()) {
        tell(&story, |before, transactions, _, _| a_trial_leaves_no_trace(before, transactions));
    }

    #[test]
    fn a_refusal_leaves_no_trace(story in story()) {
        tell(&story, |before, transactions, outcomes, _| {
            a_refused_transaction_changes_nothing(before, transactions, outcomes);
        });
    }

    #[test]
    fn a_slot_is_used_once(story in story()) {
        let mut used = BTreeMap::new();
        tell(&story, |before, transactions, outcomes, _| {
            for (_, licence) in made(transactions, outcomes) {
                let (_, home) = agency_of_index(before, licence.agency_index);
                let place = (home, licence.slot);
                assert_eq!(used.insert(place, licence.lineage), None, "{place:?}");
            }
        });
    }

    #[test]
    fn replays_are_refused(story in story()) {
        tell(&story, |before, transactions, outcomes, after| {
            a_replay_is_refused(before, transactions, outcomes, after);
        });
    }

    #[test]
    fn execution_is_deterministic(story in story()) {
        tell(&story, |before, transactions, _, _| {
            the_same_input_gives_the_same_changes(before, transactions);
        });
    }

    #[test]
    fn every_state_is_sound(story in story()) {
        tell(&story, |_, _, _, after| after.assert_sound());
    }
}

/// Stories that are all refused would prove nothing.
#[test]
fn stories_apply_and_are_refused_in_many_ways() {
    use proptest::{strategy::ValueTree as _, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let (mut names, mut refusals, mut dead_signers) = (BTreeSet::new(), BTreeSet::new(), 0);
    for _ in 0..STORIES_FOR_ALL {
        let story = story().new_tree(&mut runner).unwrap().current();
        tell(&story, |_, _, outcomes, _| {
            for outcome in outcomes {
                match outcome {
                    Err(RejectionCode::KeyNotValid) => dead_signers += 1,
                    Ok(events) => names.extend(events.iter().map(|e| e.name)),
                    Err(code) => drop(refusals.insert(code.name())),
                }
            }
        });
    }
    assert_eq!(names.len(), 22, "{names:?}");
    assert!(dead_signers > 50, "{dead_signers}");
    assert!(refusals.len() >= 24 && refusals.contains("not_owner"), "{refusals:?}");
}
