//! Governance: every combination of a proposal's state, a word and an actor; what each action
//! needs and does; when the validator set changes.

use symbolon_contracts::action::FEWEST_VALIDATORS;
use symbolon_ledger::{
    codes::ProvinceCode,
    governance::{Action, NewProvince, ProposalRecord, ProposalStatus, TermsRecord},
    hash::{Cid, Digest},
    keys::SecretKey,
    operation::{Actor, KeyPurpose, Operation},
    records::{CountersRecord, LicenceStatus, ParametersRecord, ProvinceRecord, ValidatorsRecord},
    state::StateKey,
    validators::{ED25519_PEER_ID, Validator, ValidatorSet},
};

use crate::world::*;

/// Provinces with a validator each: four of them decide, two stop.
pub(crate) const FIVE: [&str; 5] = ["11", "31", "44", "51", "61"];
/// Heights that a proposal lives here.
pub(crate) const LIFE: u64 = 50;

/// Five validators, province 64 without one, and 65, which is shut out.
pub(crate) fn world() -> World {
    let mut world = World::founded_with(&FIVE);
    world.found_province("64");
    world.found_province("65");
    decide(&mut world, Action::RemoveProvince { province: province("65") });
    world.with_agency(1, "44", &[DRIVING]);
    world
}

/// The keys of the `n`th validator of a province since genesis.
pub(crate) fn validator_secret(code: &str, n: u32) -> SecretKey {
    secret(of_province(code), 1_000 + n)
}

pub(crate) fn validator(code: &str, n: u32) -> Validator {
    let node = secret(of_province(code), 2_000 + n).public_key();
    Validator {
        province: province(code),
        key: validator_secret(code, n).public_key(),
        peer_id: [&ED25519_PEER_ID[..], node.as_bytes()].concat(),
    }
}

pub(crate) fn proposing(world: &World, action: Action) -> Operation {
    Operation::Propose { action: Box::new(action), expires_at_height: world.height + LIFE }
}

/// Proposes as `by`; gives the proposal's number.
pub(crate) fn propose(world: &mut World, by: &str, action: Action) -> u32 {
    let operation = proposing(world, action);
    world.commits(of_province(by), vec![operation]);
    let governance: symbolon_ledger::governance::GovernanceRecord =
        world.record(&StateKey::Governance).unwrap();
    governance.next_proposal - 1
}

/// The digest of the action of a proposal; of one that there is not, any.
fn about(world: &World, number: u32) -> Digest {
    let known: Option<ProposalRecord> = world.record(&StateKey::Proposal(number));
    known.map_or(Digest::ZERO, |proposal| proposal.action.digest())
}

pub(crate) fn approving(world: &World, proposal: u32) -> Operation {
    Operation::Approve { proposal, action: about(world, proposal) }
}

pub(crate) fn rejecting(world: &World, proposal: u32) -> Operation {
    Operation::Reject { proposal, action: about(world, proposal) }
}

pub(crate) fn approve(world: &mut World, by: &[&str], proposal: u32) {
    for code in by {
        world.commits(of_province(code), vec![approving(world, proposal)]);
    }
}

/// Proposes and approves until it takes effect; gives the proposal's number.
pub(crate) fn decide(world: &mut World, action: Action) -> u32 {
    let number = propose(world, "11", action);
    for code in ["31", "44", "51"] {
        assert_eq!(status(world, number), ProposalStatus::Open);
        approve(world, &[code], number);
    }
    assert!(matches!(status(world, number), ProposalStatus::Executed { .. }));
    number
}

pub(crate) fn proposal(world: &World, number: u32) -> ProposalRecord {
    world.record(&StateKey::Proposal(number)).unwrap()
}

fn status(world: &World, number: u32) -> ProposalStatus {
    proposal(world, number).status
}

pub(crate) fn set(world: &World) -> ValidatorSet {
    world.record::<ValidatorsRecord>(&StateKey::Validators).unwrap().set
}

pub(crate) fn voters(world: &World) -> Vec<String> {
    set(world).validators().iter().map(|v| v.province.to_string()).collect()
}

pub(crate) fn parameters(idle: u64) -> Action {
    Action::SetParameters {
        idle_block_interval_ms: idle,
        max_staleness_ms: 60_000,
        bundle_max_age_ms: 600_000,
    }
}

/// One row: what is said, the state of the proposal, and the answer to each actor of [`ACTORS`].
/// Province 11 has proposed. `approved` and `rejecting`: province 31 has said so.
const TABLE: &str = "
said    state     voter            proposer         member           removed        agency      suspended

propose none      ok               ok               ok               signer_removed wrong_actor signer_suspended

approve none      unknown_proposal unknown_proposal unknown_proposal signer_removed wrong_actor signer_suspended
approve open      ok               already_voted    no_vote          signer_removed wrong_actor signer_suspended
approve approved  already_voted    already_voted    no_vote          signer_removed wrong_actor signer_suspended
approve rejecting ok               already_voted    no_vote          signer_removed wrong_actor signer_suspended
approve expired   proposal_expired proposal_expired proposal_expired signer_removed wrong_actor signer_suspended
approve executed  proposal_closed  proposal_closed  proposal_closed  signer_removed wrong_actor signer_suspended
approve rejected  proposal_closed  proposal_closed  proposal_closed  signer_removed wrong_actor signer_suspended

reject  none      unknown_proposal unknown_proposal unknown_proposal signer_removed wrong_actor signer_suspended
reject  open      ok               ok               no_vote          signer_removed wrong_actor signer_suspended
reject  approved  ok               ok               no_vote          signer_removed wrong_actor signer_suspended
reject  rejecting already_voted    ok               no_vote          signer_removed wrong_actor signer_suspended
reject  expired   proposal_expired proposal_expired proposal_expired signer_removed wrong_actor signer_suspended
reject  executed  proposal_closed  proposal_closed  proposal_closed  signer_removed wrong_actor signer_suspended
reject  rejected  proposal_closed  proposal_closed  proposal_closed  signer_removed wrong_actor signer_suspended
";

const ACTORS: [&str; 6] = ["voter", "proposer", "member", "removed", "agency", "suspended"];

fn actor_of(name: &str) -> Actor {
    match name {
        "voter" => of_province("31"),
        "proposer" => of_province("11"),
        "member" => of_province("64"),
        "removed" => of_province("65"),
        "agency" => of_agency(1),
        "suspended" => of_agency(2),
        other => panic!("{other}"),
    }
}

/// A world with a proposal in `state`, and its number.
fn world_with(state: &str) -> (World, u32) {
    let mut world = world();
    world.with_agency(2, "44", &[DRIVING]);
    world.commits(of_province("44"), vec![Operation::SuspendAgency { agency: uscc(2) }]);
    if state == "none" {
        return (world, 99);
    }
    let number = propose(&mut world, "11", parameters(5_000));
    let reject = |code: &str, world: &mut World| {
        world.commits(of_province(code), vec![rejecting(world, number)]);
    };
    match state {
        "open" => {}
        "approved" => approve(&mut world, &["31"], number),
        "rejecting" => reject("31", &mut world),
        "expired" => world.height += LIFE,
        "executed" => approve(&mut world, &["31", "44", "51"], number),
        "rejected" => {
            reject("31", &mut world);
            reject("44", &mut world);
        }
        other => panic!("{other}"),
    }
    (world, number)
}

#[test]
fn every_state_of_a_proposal_has_the_answer_of_the_table() {
    let mut wrong = Vec::new();
    for row in TABLE.lines().filter(|line| !line.is_empty()).skip(1) {
        let words: Vec<&str> = row.split_whitespace().collect();
        let [said, state, expected @ ..] = words.as_slice() else { panic!("{row}") };
        assert_eq!(expected.len(), ACTORS.len(), "{row}");
        let (world, number) = world_with(state);
        for (actor, expected) in ACTORS.into_iter().zip(expected) {
            let operation = match *said {
                "propose" => proposing(&world, parameters(5_000)),
                "approve" => approving(&world, number),
                _ => rejecting(&world, number),
            };
            let transaction = world.sign(actor_of(actor), vec![operation]);
            let mut after = world.clone();
            let answer = word(&after.commit_block(&[transaction])[0]);
            after.assert_sound();
            if answer != *expected {
                wrong.push(format!("{said} {state} {actor}: {answer}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn more_than_two_thirds_of_those_with_a_vote_decide_and_only_once() {
    let mut world = world();
    let number = propose(&mut world, "64", parameters(5_000));
    assert_eq!(proposal(&world, number).votes, [], "who has no vote has not approved");
    approve(&mut world, &["11", "31", "44"], number);
    assert_eq!(status(&world, number), ProposalStatus::Open, "three of five");
    let idle = |world: &World| {
        world.record::<ParametersRecord>(&StateKey::Parameters).unwrap().idle_block_interval_ms
    };
    assert_eq!(idle(&world), 10_000);
    let (last, height) =
        (world.sign(of_province("51"), vec![approving(&world, number)]), world.height);
    let events = world.commit_block(&[last]).remove(0).unwrap();
    let names: Vec<&str> = events.iter().map(|event| event.name).collect();
    assert_eq!(names, ["set_parameters", "approve"]);
    assert_eq!(status(&world, number), ProposalStatus::Executed { at: height });
    assert_eq!(idle(&world), 5_000);
    let late = vec![approving(&world, number)];
    assert_eq!(world.asks(of_province("61"), late), "proposal_closed");
    world.assert_sound();
}

#[test]
fn one_validator_decides_alone_and_when_a_quorum_cannot_come_together_it_is_over() {
    let mut alone = World::founded_with(&["11"]);
    let number = propose(&mut alone, "11", parameters(7_000));
    assert!(matches!(status(&alone, number), ProposalStatus::Executed { .. }));
    let mut world = world();
    let number = propose(&mut world, "11", parameters(7_000));
    for code in ["31", "44"] {
        assert_eq!(status(&world, number), ProposalStatus::Open);
        world.commits(of_province(code), vec![rejecting(&world, number)]);
    }
    assert!(matches!(status(&world, number), ProposalStatus::Rejected { .. }));
    world.assert_sound();
}

/// A vote that was signed for one action counts for no other, in whatever state the proposal is
/// that has got its number.
#[test]
fn a_vote_counts_for_the_action_that_it_names_and_for_no_other() {
    let mut world = world();
    // Signed for a proposal that is not there yet, and another one gets the number.
    let meant = parameters(7_000).digest();
    let number = propose(&mut world, "11", parameters(9_000));
    for state in ["open", "rejected"] {
        for early in [
            Operation::Approve { proposal: number, action: meant },
            Operation::Reject { proposal: number, action: meant },
        ] {
            assert_eq!(
                world.asks(of_province("31"), vec![early.clone()]),
                "other_action",
                "{state}"
            );
            // So is one of a province without a vote, or of one that has said so.
            assert_eq!(world.asks(of_province("64"), vec![early.clone()]), "other_action");
            assert_eq!(world.asks(of_province("11"), vec![early]), "other_action");
        }
        for code in ["31", "44"].iter().filter(|_| state == "open") {
            world.commits(of_province(code), vec![rejecting(&world, number)]);
        }
    }
    assert_eq!(proposal(&world, number).votes.iter().filter(|vote| vote.approves).count(), 1);
    world.assert_sound();
}

/// The last height of its life still counts.
#[test]
fn a_proposal_is_decided_until_it_expires_and_not_after() {
    let mut world = world();
    let number = propose(&mut world, "11", parameters(7_000));
    world.height = proposal(&world, number).expires_at;
    let approve = vec![approving(&world, number)];
    assert_eq!(world.asks(of_province("31"), approve.clone()), "ok");
    world.height += 1;
    assert_eq!(world.asks(of_province("31"), approve), "proposal_expired");
}

/// Province 61 leaves: of the four that are left, three decide, and they have approved.
#[test]
fn the_electorate_is_the_set_of_the_block_and_not_that_of_the_proposal() {
    let mut world = world();
    let waiting = propose(&mut world, "11", parameters(7_000));
    approve(&mut world, &["31", "44"], waiting);
    let again = vec![approving(&world, waiting)];
    assert_eq!(world.asks(of_province("31"), again.clone()), "already_voted");
    decide(&mut world, Action::RemoveValidator { province: province("61") });
    assert_eq!(world.asks(of_province("61"), again.clone()), "no_vote");
    world.commits(of_province("31"), again);
    assert!(matches!(status(&world, waiting), ProposalStatus::Executed { .. }));
    world.assert_sound();
}

#[test]
fn a_vote_of_a_province_without_a_validator_any_more_is_not_counted() {
    let mut world = world();
    let waiting = propose(&mut world, "61", parameters(7_000));
    decide(&mut world, Action::RemoveValidator { province: province("61") });
    approve(&mut world, &["11", "31"], waiting);
    assert_eq!(status(&world, waiting), ProposalStatus::Open);
    approve(&mut world, &["44"], waiting);
    assert!(matches!(status(&world, waiting), ProposalStatus::Executed { .. }));
}

#[test]
fn a_set_in_the_state_after_a_block_governs_the_next_and_changes_once_a_block() {
    let mut world = world();
    let (rotated, added) = (validator("44", 1), validator("64", 1));
    let first =
        propose(&mut world, "11", Action::RotateValidator { validator: rotated.clone().into() });
    let second =
        propose(&mut world, "11", Action::AddValidator { validator: added.clone().into() });
    for number in [first, second] {
        approve(&mut world, &["31", "44"], number);
    }
    let votes = [first, second].map(|number| vec![approving(&world, number)]);
    let decide = |number| votes[usize::from(number == second)].clone();
    let both = world.sign(of_province("51"), [decide(first), decide(second)].concat());
    assert_eq!(word(&world.attempt(&both)), "validators_busy");
    let block = [
        world.sign(of_province("51"), decide(first)),
        world.sign(of_province("61"), decide(second)),
    ];
    let height = world.height;
    let answers: Vec<_> = world.commit_block(&block).iter().map(word).collect();
    assert_eq!(answers, ["ok", "validators_busy"]);
    assert_eq!(set(&world).get(province("44")), Some(&rotated));
    assert_eq!(set(&world).get(province("64")), None);
    approve(&mut world, &["51"], second);
    assert_eq!(set(&world).get(province("64")), Some(&added));
    let terms: TermsRecord = world.record(&StateKey::Terms(province("44"))).unwrap();
    let spans: Vec<_> = terms.terms.iter().map(|t| (t.from, t.until)).collect();
    assert_eq!(spans, [(1, Some(height)), (height + 1, None)]);
    world.assert_sound();
}

/// What the new province votes on is the block after the one that let it in.
#[test]
fn a_province_is_added_gets_a_validator_votes_and_leaves() {
    let mut world = world();
    let new = new_province("62", "https://p62.example");
    decide(&mut world, Action::AddProvince { province: new.into() });
    let newcomer = of_province("62");
    world.commits(newcomer, vec![register(7, &[DRIVING])]);
    let number =
        propose(&mut world, "62", Action::AddValidator { validator: validator("62", 1).into() });
    approve(&mut world, &["11", "31", "44"], number);
    let last = approving(&world, number);
    let other = propose(&mut world, "11", parameters(9_000));
    let block = [
        world.sign(of_province("51"), vec![last]),
        world.sign(newcomer, vec![approving(&world, other)]),
    ];
    let answers: Vec<_> = world.commit_block(&block).iter().map(word).collect();
    assert_eq!(answers, ["ok", "no_vote"]);
    approve(&mut world, &["62"], other);
    decide_by(
        &mut world,
        &["11", "31", "44", "51", "62"],
        Action::RemoveProvince { province: province("62") },
    );
    assert_eq!(voters(&world), FIVE);
    assert_eq!(world.asks(newcomer, vec![register(8, &[DRIVING])]), "signer_removed");
    let reserve = vec![Operation::ReserveSlots { agency: uscc(7), blocks: 1 }];
    assert_eq!(world.asks(of_agency(7), reserve), "signer_removed");
    world.assert_sound();
}

fn decide_by(world: &mut World, by: &[&str], action: Action) {
    let number = propose(world, by[0], action);
    approve(world, &by[1..], number);
    assert!(matches!(status(world, number), ProposalStatus::Executed { .. }));
}

pub(crate) fn new_province(code: &str, origin: &str) -> NewProvince {
    NewProvince {
        code: province(code),
        name_zh: "新省".parse().unwrap(),
        name_en: "New".parse().unwrap(),
        issuer_origin: origin.parse().unwrap(),
        authority_key: secret(of_province(code), 0).public_key(),
        status_key: Some(secret(of_province(code), 1).public_key()),
    }
}

#[test]
fn no_decision_leaves_fewer_than_four_validators_however_it_is_timed() {
    let mut world = world();
    // Both are possible when they are proposed; after one of them, the other is not.
    let first = propose(&mut world, "11", Action::RemoveValidator { province: province("61") });
    let second = propose(&mut world, "11", Action::RemoveProvince { province: province("51") });
    for number in [first, second] {
        approve(&mut world, &["31", "44"], number);
    }
    approve(&mut world, &["51"], first);
    assert_eq!(set(&world).validators().len(), FEWEST_VALIDATORS);
    let last = vec![approving(&world, second)];
    for code in ["11", "51"] {
        assert_eq!(world.asks(of_province(code), last.clone()), "too_few_validators");
    }
    let remove = proposing(&world, Action::RemoveValidator { province: province("11") });
    assert_eq!(world.asks(of_province("11"), vec![remove]), "too_few_validators");
    // With a fifth one it becomes possible again, and the same word decides it.
    let validator = validator("64", 1).into();
    decide_by(&mut world, &["11", "31", "44"], Action::AddValidator { validator });
    world.commits(of_province("51"), last);
    assert_eq!(voters(&world), ["11", "31", "44", "64"]);
    world.assert_sound();
}

#[test]
fn a_province_gets_another_key_also_when_it_has_lost_its_last_one() {
    let mut world = world();
    let (home, old) = (of_province("44"), world.key(of_province("44"), 0));
    let rotate = |key_id, id| Action::RotateProvinceKey {
        province: province("44"),
        key_id,
        key: new_key(home, id, KeyPurpose::Transaction).into(),
    };
    decide_by(&mut world, &["11", "31", "51", "61"], rotate(0, 1));
    let ended = world.key(home, 0);
    assert_eq!(ended.valid_until, Some(world.height - 1));
    let say = vec![Operation::SuspendAgency { agency: uscc(1) }];
    assert_eq!(world.asks(home, say.clone()), "key_not_valid");
    let mut payload = world.payload(home, say);
    payload.key_id = 1;
    assert_eq!(word(&world.attempt(&sign_with(&payload, &secret(home, 1)))), "ok");
    decide_by(&mut world, &["11", "31", "51", "61"], rotate(0, 2));
    assert_eq!(world.key(home, 0), ended, "a key ends once");
    assert_eq!(
        world.record::<ProvinceRecord>(&StateKey::Province(province("44"))).unwrap().next_key,
        3
    );
    assert_eq!(old.key, ended.key);
    world.assert_sound();
}

#[test]
fn a_catalogue_entry_is_numbered_by_the_chain_and_keeps_its_number() {
    let mut world = world();
    let types =
        |world: &World| world.record::<CountersRecord>(&StateKey::Counters).unwrap().next_type;
    let before = types(&world);
    decide(&mut world, Action::SetLicenceType { entry: entry("local:new", 1).into() });
    assert_eq!(types(&world), before + 1);
    decide(&mut world, Action::SetLicenceType { entry: entry("local:new", 2).into() });
    let place = StateKey::LicenceType(type_code("local:new"));
    let record: symbolon_ledger::catalogue::LicenceTypeRecord = world.record(&place).unwrap();
    assert_eq!((record.index, record.schema_version, types(&world)), (before, 2, before + 1));
    let scope = Operation::SetScope { agency: uscc(1), scope: vec![type_code("local:new")] };
    world.commits(of_province("44"), vec![scope]);
    world.assert_sound();
}

pub(crate) fn entry(
    code: &str,
    schema_version: u32,
) -> symbolon_ledger::catalogue::LicenceTypeRecord {
    use symbolon_ledger::catalogue::{ClaimSpec, ClaimType, Disclosure, LicenceTypeRecord};
    let claim = ClaimSpec {
        key: "name".parse().unwrap(),
        label_zh: "姓名".parse().unwrap(),
        label_en: "Name".parse().unwrap(),
        value: ClaimType::Text { max: 100 },
        mandatory: true,
        disclosure: Disclosure::Allowed,
        sensitivity: 2,
        unique: true,
        role: None,
    };
    LicenceTypeRecord {
        version: 1,
        index: 0,
        code: type_code(code),
        schema_version,
        name_zh: "新证".parse().unwrap(),
        name_en: "New licence".parse().unwrap(),
        authority: None,
        verified: false,
        source: "these tests".parse().unwrap(),
        national: false,
        public_subject: false,
        suspendable: true,
        transferable: true,
        claims: vec![claim],
        default_disclosure: vec!["name".parse().unwrap()],
    }
}

/// With feature 1 a province reverses what was done with a stolen key of its agency; not before,
/// and nobody else's.
#[test]
fn a_feature_holds_from_its_height_on() {
    let mut world = world();
    let slot = world.first_slot(1);
    world.commits(of_agency(1), vec![issue("a", "a", slot), issue("b", "b", slot + 1)]);
    let (a, b): (Cid, Cid) = (cid_of(1, "a"), cid_of(1, "b"));
    world.with_agency(2, "51", &[DRIVING]);
    let release = Operation::TransferOut { cid: b, to: uscc(2) };
    world.commits(of_agency(1), vec![Operation::Suspend { cid: a }, release]);
    let reverse = vec![Operation::Resume { cid: a }, Operation::CancelTransfer { cid: b }];
    let from = world.height + 20;
    decide(&mut world, Action::ActivateFeature { feature: 1, height: from });
    let home = of_province("44");
    assert_eq!(world.asks(home, reverse.clone()), "not_active");
    world.height = from - 1;
    assert_eq!(world.asks(home, reverse.clone()), "not_active");
    world.height = from;
    assert_eq!(world.asks(of_province("51"), reverse.clone()), "not_its_province");
    world.commits(home, reverse.clone());
    for cid in [a, b] {
        assert_eq!(world.licence(&cid).unwrap().status, LicenceStatus::Active);
    }
    assert_eq!(world.asks(home, reverse), "not_suspended");
    world.assert_sound();
}

#[test]
fn a_feature_that_this_version_does_not_know_is_named_from_its_height_on() {
    use symbolon_contracts::feature;
    let mut world = world();
    let from = world.height + 20;
    decide(&mut world, Action::ActivateFeature { feature: 1, height: from });
    decide(&mut world, Action::ActivateFeature { feature: 77, height: from });
    assert_eq!(feature::unknown(&world, from - 1), Ok(None));
    assert_eq!(feature::unknown(&world, from), Ok(Some((77, from))));
    assert!(feature::KNOWN.iter().all(|known| feature::name(*known).is_some()));
}

/// Provinces of a validator set, for those who compare two of them.
pub(crate) fn changed(before: &ValidatorSet, after: &ValidatorSet) -> Vec<ProvinceCode> {
    let all = before.validators().iter().chain(after.validators());
    let mut codes: Vec<ProvinceCode> = all.map(|v| v.province).collect();
    codes.sort();
    codes.dedup();
    codes.retain(|code| before.get(*code) != after.get(*code));
    codes
}
