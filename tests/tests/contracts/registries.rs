//! Every combination of an agency's state, an operation of the agency group and an actor; the
//! same for recognition; and what compromise and rotation do to keys.

use symbolon_ledger::{
    codes::Day,
    operation::{Actor, Interval, KeyPurpose, Operation},
    records::RecognitionRecord,
    state::StateKey,
};

use crate::world::*;

/// One row: operation, state of the agency, and the answer to each actor of [`ACTORS`].
const TABLE: &str = "
operation         state         province                 elsewhere                itself              other

register_agency   none          ok                       ok                       unknown_actor       wrong_actor
register_agency   active        agency_exists            agency_exists            wrong_actor         wrong_actor
register_agency   suspended     agency_exists            agency_exists            signer_suspended    wrong_actor
register_agency   deregistered  agency_exists            agency_exists            signer_deregistered wrong_actor

set_scope         none          unknown_agency           unknown_agency           unknown_actor       wrong_actor
set_scope         active        ok                       not_its_province         wrong_actor         wrong_actor
set_scope         suspended     ok                       not_its_province         signer_suspended    wrong_actor
set_scope         deregistered  agency_deregistered      not_its_province         signer_deregistered wrong_actor

suspend_agency    none          unknown_agency           unknown_agency           unknown_actor       wrong_actor
suspend_agency    active        ok                       not_its_province         wrong_actor         wrong_actor
suspend_agency    suspended     agency_not_active        not_its_province         signer_suspended    wrong_actor
suspend_agency    deregistered  agency_deregistered      not_its_province         signer_deregistered wrong_actor

resume_agency     none          unknown_agency           unknown_agency           unknown_actor       wrong_actor
resume_agency     active        agency_not_suspended     not_its_province         wrong_actor         wrong_actor
resume_agency     suspended     ok                       not_its_province         signer_suspended    wrong_actor
resume_agency     deregistered  agency_deregistered      not_its_province         signer_deregistered wrong_actor

deregister_agency none          unknown_agency           unknown_agency           unknown_actor       wrong_actor
deregister_agency active        ok                       not_its_province         wrong_actor         wrong_actor
deregister_agency suspended     ok                       not_its_province         signer_suspended    wrong_actor
deregister_agency deregistered  agency_deregistered      not_its_province         signer_deregistered wrong_actor

assign_successor  none          unknown_agency           unknown_agency           unknown_actor       wrong_actor
assign_successor  active        agency_not_deregistered  not_its_province         wrong_actor         wrong_actor
assign_successor  suspended     agency_not_deregistered  not_its_province         signer_suspended    wrong_actor
assign_successor  deregistered  ok                       not_its_province         signer_deregistered wrong_actor

reserve_slots     none          unknown_agency           unknown_agency           unknown_actor       wrong_actor
reserve_slots     active        ok                       not_its_province         ok                  wrong_actor
reserve_slots     suspended     ok                       not_its_province         signer_suspended    wrong_actor
reserve_slots     deregistered  agency_deregistered      not_its_province         signer_deregistered wrong_actor

add_key           none          unknown_agency           unknown_agency           unknown_actor       wrong_actor
add_key           active        ok                       not_its_province         wrong_actor         wrong_actor
add_key           suspended     ok                       not_its_province         signer_suspended    wrong_actor
add_key           deregistered  agency_deregistered      not_its_province         signer_deregistered wrong_actor

rotate_key        none          unknown_agency           unknown_agency           unknown_actor       wrong_actor
rotate_key        active        ok                       not_its_province         ok                  wrong_actor
rotate_key        suspended     ok                       not_its_province         signer_suspended    wrong_actor
rotate_key        deregistered  agency_deregistered      not_its_province         signer_deregistered wrong_actor

revoke_key        none          unknown_agency           unknown_agency           unknown_actor       wrong_actor
revoke_key        active        ok                       not_its_province         wrong_actor         wrong_actor
revoke_key        suspended     ok                       not_its_province         signer_suspended    wrong_actor
revoke_key        deregistered  agency_deregistered      not_its_province         signer_deregistered wrong_actor

mark_compromised  none          unknown_agency           unknown_agency           unknown_actor       wrong_actor
mark_compromised  active        ok                       not_its_province         wrong_actor         wrong_actor
mark_compromised  suspended     ok                       not_its_province         signer_suspended    wrong_actor
mark_compromised  deregistered  ok                       not_its_province         signer_deregistered wrong_actor

set_status_key    none          ok                       ok                       unknown_actor       wrong_actor
set_status_key    active        ok                       ok                       wrong_actor         wrong_actor
set_status_key    suspended     ok                       ok                       signer_suspended    wrong_actor
set_status_key    deregistered  ok                       ok                       signer_deregistered wrong_actor
";

const OPERATIONS: [&str; 12] = [
    "register_agency",
    "set_scope",
    "suspend_agency",
    "resume_agency",
    "deregister_agency",
    "assign_successor",
    "reserve_slots",
    "add_key",
    "rotate_key",
    "revoke_key",
    "mark_compromised",
    "set_status_key",
];
const STATES: [&str; 4] = ["none", "active", "suspended", "deregistered"];
const ACTORS: [&str; 4] = ["province", "elsewhere", "itself", "other"];

const SUBJECT: u8 = 1;
const OTHER: u8 = 2;

fn actor_of(name: &str) -> Actor {
    match name {
        "province" => of_province("44"),
        "elsewhere" => of_province("11"),
        "itself" => of_agency(SUBJECT),
        "other" => of_agency(OTHER),
        other => panic!("{other}"),
    }
}

fn world_with(state: &str) -> World {
    let mut world = World::founded();
    let province = of_province("44");
    world.with_agency(OTHER, "44", &[DRIVING]);
    if state != "none" {
        world.with_agency(SUBJECT, "44", &[DRIVING]);
    }
    let agency = uscc(SUBJECT);
    match state {
        "suspended" => world.commits(province, vec![Operation::SuspendAgency { agency }]),
        "deregistered" => world.commits(province, vec![Operation::DeregisterAgency { agency }]),
        _ => {}
    }
    world
}

fn operation(name: &str, signer: Actor) -> Operation {
    let agency = uscc(SUBJECT);
    let itself = of_agency(SUBJECT);
    let key = new_key(itself, 50, KeyPurpose::Credential);
    match name {
        "register_agency" => register(SUBJECT, &[DRIVING]),
        "set_scope" => Operation::SetScope { agency, scope: vec![type_code(FIXED)] },
        "suspend_agency" => Operation::SuspendAgency { agency },
        "resume_agency" => Operation::ResumeAgency { agency },
        "deregister_agency" => Operation::DeregisterAgency { agency },
        "assign_successor" => Operation::AssignSuccessor { agency, successor: uscc(OTHER) },
        "reserve_slots" => Operation::ReserveSlots { agency, blocks: 2 },
        "add_key" => Operation::AddKey { agency, key },
        "rotate_key" => Operation::RotateKey { agency, key_id: CREDENTIAL_KEY, key },
        "revoke_key" => Operation::RevokeKey { agency, key_id: CREDENTIAL_KEY },
        "mark_compromised" => {
            Operation::MarkCompromised { agency, key_id: CREDENTIAL_KEY, from_height: 1 }
        }
        "set_status_key" => {
            Operation::SetStatusKey { key: new_key(signer, 60, KeyPurpose::Status) }
        }
        other => panic!("{other}"),
    }
}

#[test]
fn every_agency_state_operation_and_actor_has_the_answer_of_the_table() {
    let mut rows = TABLE.lines().filter(|line| !line.is_empty()).map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words[0], words[1], words[2..].to_vec())
    });
    assert_eq!(rows.next().unwrap().2, ACTORS);
    let mut wrong = Vec::new();
    for name in OPERATIONS {
        for state in STATES {
            let (row_name, row_state, answers) = rows.next().unwrap();
            assert_eq!((row_name, row_state, answers.len()), (name, state, ACTORS.len()));
            for (actor_name, expected) in ACTORS.iter().zip(answers) {
                let actor = actor_of(actor_name);
                let mut world = world_with(state);
                let before = world.state.clone();
                let transaction = world.sign(actor, vec![operation(name, actor)]);
                let answer = word(&world.commit_block(&[transaction])[0]);
                if answer != expected {
                    wrong.push(format!("{name} {state} {actor_name}: {answer}, not {expected}"));
                }
                assert_eq!(answer == "ok", before != world.state, "{name} {state}");
                world.assert_sound();
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(rows.next().is_none());
}

fn days(from: u32, until: Option<u32>) -> Interval {
    Interval { from: Day(from), until: until.map(Day) }
}

fn recognise(from: &str, interval: Interval) -> Operation {
    let (from_province, licence_type) = (province(from), type_code(DRIVING));
    Operation::Recognise { from_province, licence_type, interval }
}

fn withdraw(from: &str, effective: u32) -> Operation {
    let (from_province, licence_type) = (province(from), type_code(DRIVING));
    Operation::WithdrawRecognition { from_province, licence_type, effective: Day(effective) }
}

/// One row: operation, what 11 recognises of 44 before, the answer to 11, to 44 and to an agency
/// of 11, and what 11 recognises afterwards.
const RECOGNITION: &str = "
recognise:10-19   none           ok                  own_province wrong_actor 10-19
recognise:10-19   10-19          interval_overlaps   own_province wrong_actor 10-19
recognise:19-25   10-19          interval_overlaps   own_province wrong_actor 10-19
recognise:20-25   10-19          ok                  own_province wrong_actor 10-19,20-25
recognise:0-9     10-19          ok                  own_province wrong_actor 0-9,10-19
recognise:0-      10-19          interval_overlaps   own_province wrong_actor 10-19
recognise:20-     10-19          ok                  own_province wrong_actor 10-19,20-
recognise:30-30   20-            interval_overlaps   own_province wrong_actor 20-
recognise:9-8     none           bad_interval        own_province wrong_actor none
withdraw:15       none           nothing_to_withdraw own_province wrong_actor none
withdraw:15       10-19          ok                  own_province wrong_actor 10-14
withdraw:10       10-19          ok                  own_province wrong_actor none
withdraw:0        10-19          ok                  own_province wrong_actor none
withdraw:19       10-19          ok                  own_province wrong_actor 10-18
withdraw:20       10-19          nothing_to_withdraw own_province wrong_actor 10-19
withdraw:50       20-            ok                  own_province wrong_actor 20-49
withdraw:15       10-19,20-      ok                  own_province wrong_actor 10-14
withdraw:20       10-19,20-      ok                  own_province wrong_actor 10-19
";

fn parse_days(text: &str) -> Interval {
    let (from, until) = text.split_once('-').unwrap();
    days(from.parse().unwrap(), until.parse().ok())
}

fn parse_operation(text: &str) -> Operation {
    match text.split_once(':').unwrap() {
        ("recognise", span) => recognise("44", parse_days(span)),
        ("withdraw", day) => withdraw("44", day.parse().unwrap()),
        other => panic!("{other:?}"),
    }
}

fn recognised(world: &World) -> String {
    let key = StateKey::Recognition(province("11"), province("44"), type_code(DRIVING));
    let show = |i: &Interval| {
        let until = i.until.map_or(String::new(), |day| day.0.to_string());
        format!("{}-{until}", i.from.0)
    };
    match world.record::<RecognitionRecord>(&key) {
        Some(record) => record.intervals.iter().map(show).collect::<Vec<_>>().join(","),
        None => "none".into(),
    }
}

#[test]
fn every_recognition_has_the_answer_and_the_outcome_of_the_table() {
    for line in RECOGNITION.lines().filter(|line| !line.is_empty()) {
        let [asked, before, mine, theirs, agencys, after] =
            line.split_whitespace().collect::<Vec<_>>().try_into().unwrap();
        let mut world = World::founded();
        world.with_agency(1, "11", &[DRIVING]);
        for span in before.split(',').filter(|span| *span != "none") {
            world.commits(of_province("11"), vec![recognise("44", parse_days(span))]);
        }
        assert_eq!(recognised(&world), before, "{line}");
        let operation = parse_operation(asked);
        assert_eq!(world.asks(of_province("44"), vec![operation.clone()]), theirs, "{line}");
        assert_eq!(world.asks(of_agency(1), vec![operation.clone()]), agencys, "{line}");
        let transaction = world.sign(of_province("11"), vec![operation]);
        assert_eq!(word(&world.commit_block(&[transaction])[0]), mine, "{line}");
        assert_eq!(recognised(&world), after, "{line}");
        world.assert_sound();
    }
}

#[test]
fn what_is_recognised_and_withdrawn_in_one_block_leaves_no_trace() {
    let world = World::founded();
    let operations = vec![recognise("44", days(1, None)), withdraw("44", 1)];
    let transaction = world.sign(of_province("11"), operations);
    let (changes, outcomes) = world.execute(&[transaction]);
    assert!(outcomes[0].is_ok());
    assert!(changes.is_empty(), "{changes:?}");
}

fn rotate(key_id: u32, next: u32, purpose: KeyPurpose) -> Operation {
    let key = new_key(of_agency(SUBJECT), next, purpose);
    Operation::RotateKey { agency: uscc(SUBJECT), key_id, key }
}

#[test]
fn a_rotated_key_signs_to_the_end_of_its_block_and_its_successor_from_then_on() {
    let mut world = world_with("active");
    let actor = of_agency(SUBJECT);
    let reserve = || vec![Operation::ReserveSlots { agency: uscc(SUBJECT), blocks: 1 }];
    let first = world.sign(actor, vec![rotate(0, 2, KeyPurpose::Transaction)]);
    let same_block = world.sign(actor, reserve());
    let outcomes = world.commit_block(&[first, same_block]);
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(world.asks(actor, reserve()), "key_not_valid");
    let mut payload = world.payload(actor, reserve());
    payload.key_id = 2;
    assert_eq!(word(&world.attempt(&sign_with(&payload, &secret(actor, 2)))), "ok");
    world.assert_sound();
}

#[test]
fn a_compromise_reaches_the_keys_that_the_key_added_since_and_no_others() {
    let mut world = world_with("active");
    let actor = of_agency(SUBJECT);
    // Before: key 0 adds 2. Then, from `stolen` on: 0 adds 3, and 3 adds 4. The province adds 5.
    world.commits(actor, vec![rotate(CREDENTIAL_KEY, 2, KeyPurpose::Credential)]);
    let stolen = world.height;
    world.commits(actor, vec![rotate(0, 3, KeyPurpose::Transaction)]);
    let mut payload = world.payload(actor, vec![rotate(2, 4, KeyPurpose::Credential)]);
    payload.key_id = 3;
    let by_three = sign_with(&payload, &secret(actor, 3));
    assert!(world.commit_block(&[by_three])[0].is_ok());
    let key = new_key(actor, 5, KeyPurpose::Transaction);
    world.commits(of_province("44"), vec![Operation::AddKey { agency: uscc(SUBJECT), key }]);
    let mark = |from_height| {
        vec![Operation::MarkCompromised { agency: uscc(SUBJECT), key_id: 0, from_height }]
    };
    world.commits(of_province("44"), mark(stolen));
    let compromised = |world: &World| -> Vec<Option<u64>> {
        (0..6).map(|id| world.key(actor, id).compromised_from).collect()
    };
    let since = Some(stolen);
    assert_eq!(compromised(&world), [since, None, None, since, Some(stolen + 1), None]);
    // Lowered, it reaches key 2 as well.
    world.commits(of_province("44"), mark(stolen - 1));
    let (lower, two) = (Some(stolen - 1), Some(world.key(actor, 2).valid_from));
    assert_eq!(compromised(&world), [lower, None, two, since, Some(stolen + 1), None]);
    world.assert_sound();
}

#[test]
fn a_new_status_key_ends_the_old_one() {
    let mut world = World::founded();
    let actor = of_province("44");
    for id in [1, 2] {
        let key = new_key(actor, id, KeyPurpose::Status);
        world.commits(actor, vec![Operation::SetStatusKey { key }]);
    }
    let record: symbolon_ledger::records::ProvinceRecord =
        world.record(&StateKey::Province(province("44"))).unwrap();
    assert_eq!((record.status_key, record.next_key), (Some(2), 3));
    assert_eq!(world.key(actor, 1).valid_until, Some(world.height - 1));
    assert_eq!(world.key(actor, 2).valid_until, None);
    world.assert_sound();
}

#[test]
fn the_founding_state_of_the_development_network_is_sound() {
    let (genesis, _) = symbolon_genesis::presets::devnet_from_seed(4, &[1; 32], 0, 1);
    let records = genesis.changes().into_iter().map(|(key, record)| (key, record.unwrap()));
    assert_eq!(symbolon_contracts::invariants::check(records), Vec::new());
}
