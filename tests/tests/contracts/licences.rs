//! Every combination of a licence's state, an operation and an actor.

use symbolon_ledger::operation::{Actor, NewLicence, Operation, RevocationClass};

use crate::world::*;

/// One row: operation, state of the licence, and the answer to each actor of [`ACTORS`].
const TABLE: &str = "
operation       state      owner               in_scope            no_scope            successor           province          elsewhere        suspended        target          gone                target_province  heir

issue           none       ok                  ok                  out_of_scope        ok                  wrong_actor       wrong_actor      signer_suspended ok              signer_deregistered wrong_actor      ok
issue           active     lineage_in_use      ok                  out_of_scope        ok                  wrong_actor       wrong_actor      signer_suspended ok              signer_deregistered wrong_actor      ok
issue           suspended  lineage_in_use      ok                  out_of_scope        ok                  wrong_actor       wrong_actor      signer_suspended ok              signer_deregistered wrong_actor      ok
issue           released   lineage_in_use      ok                  out_of_scope        ok                  wrong_actor       wrong_actor      signer_suspended ok              signer_deregistered wrong_actor      ok
issue           superseded lineage_in_use      ok                  out_of_scope        ok                  wrong_actor       wrong_actor      signer_suspended ok              signer_deregistered wrong_actor      ok
issue           revoked    ok                  ok                  out_of_scope        ok                  wrong_actor       wrong_actor      signer_suspended ok              signer_deregistered wrong_actor      ok

supersede       none       unknown_licence     unknown_licence     unknown_licence     unknown_licence     wrong_actor       wrong_actor      signer_suspended unknown_licence signer_deregistered wrong_actor      unknown_licence
supersede       active     ok                  not_owner           not_owner           not_owner           wrong_actor       wrong_actor      signer_suspended not_owner       signer_deregistered wrong_actor      not_owner
supersede       suspended  licence_suspended   not_owner           not_owner           not_owner           wrong_actor       wrong_actor      signer_suspended not_owner       signer_deregistered wrong_actor      not_owner
supersede       released   transfer_pending    not_owner           not_owner           not_owner           wrong_actor       wrong_actor      signer_suspended not_owner       signer_deregistered wrong_actor      not_owner
supersede       superseded licence_final       not_owner           not_owner           not_owner           wrong_actor       wrong_actor      signer_suspended not_owner       signer_deregistered wrong_actor      not_owner
supersede       revoked    licence_final       not_owner           not_owner           not_owner           wrong_actor       wrong_actor      signer_suspended not_owner       signer_deregistered wrong_actor      not_owner

transfer_in     none       unknown_licence     unknown_licence     unknown_licence     unknown_licence     wrong_actor       wrong_actor      signer_suspended unknown_licence signer_deregistered wrong_actor      unknown_licence
transfer_in     active     not_released        not_released        not_released        not_released        wrong_actor       wrong_actor      signer_suspended not_released    signer_deregistered wrong_actor      not_released
transfer_in     suspended  not_released        not_released        not_released        not_released        wrong_actor       wrong_actor      signer_suspended not_released    signer_deregistered wrong_actor      not_released
transfer_in     released   not_transfer_target not_transfer_target not_transfer_target not_transfer_target wrong_actor       wrong_actor      signer_suspended ok              signer_deregistered wrong_actor      not_transfer_target
transfer_in     superseded licence_final       licence_final       licence_final       licence_final       wrong_actor       wrong_actor      signer_suspended licence_final   signer_deregistered wrong_actor      licence_final
transfer_in     revoked    licence_final       licence_final       licence_final       licence_final       wrong_actor       wrong_actor      signer_suspended licence_final   signer_deregistered wrong_actor      licence_final

suspend         none       unknown_licence     unknown_licence     unknown_licence     unknown_licence     unknown_licence   unknown_licence  signer_suspended unknown_licence signer_deregistered unknown_licence  unknown_licence
suspend         active     ok                  not_owner           not_owner           ok                  ok                not_its_province signer_suspended not_owner       signer_deregistered not_its_province not_owner
suspend         suspended  licence_suspended   not_owner           not_owner           licence_suspended   licence_suspended not_its_province signer_suspended not_owner       signer_deregistered not_its_province not_owner
suspend         released   transfer_pending    not_owner           not_owner           transfer_pending    transfer_pending  not_its_province signer_suspended not_owner       signer_deregistered not_its_province not_owner
suspend         superseded licence_final       not_owner           not_owner           licence_final       licence_final     not_its_province signer_suspended not_owner       signer_deregistered not_its_province not_owner
suspend         revoked    licence_final       not_owner           not_owner           licence_final       licence_final     not_its_province signer_suspended not_owner       signer_deregistered not_its_province not_owner

resume          none       unknown_licence     unknown_licence     unknown_licence     unknown_licence     not_active        not_active       signer_suspended unknown_licence signer_deregistered not_active       unknown_licence
resume          active     not_suspended       not_owner           not_owner           not_suspended       not_active        not_active       signer_suspended not_owner       signer_deregistered not_active       not_owner
resume          suspended  ok                  not_owner           not_owner           ok                  not_active        not_active       signer_suspended not_owner       signer_deregistered not_active       not_owner
resume          released   not_suspended       not_owner           not_owner           not_suspended       not_active        not_active       signer_suspended not_owner       signer_deregistered not_active       not_owner
resume          superseded licence_final       not_owner           not_owner           licence_final       not_active        not_active       signer_suspended not_owner       signer_deregistered not_active       not_owner
resume          revoked    licence_final       not_owner           not_owner           licence_final       not_active        not_active       signer_suspended not_owner       signer_deregistered not_active       not_owner

revoke          none       unknown_licence     unknown_licence     unknown_licence     unknown_licence     unknown_licence   unknown_licence  signer_suspended unknown_licence signer_deregistered unknown_licence  unknown_licence
revoke          active     ok                  not_owner           not_owner           ok                  ok                not_its_province signer_suspended not_owner       signer_deregistered not_its_province not_owner
revoke          suspended  ok                  not_owner           not_owner           ok                  ok                not_its_province signer_suspended not_owner       signer_deregistered not_its_province not_owner
revoke          released   ok                  not_owner           not_owner           ok                  ok                not_its_province signer_suspended not_owner       signer_deregistered not_its_province not_owner
revoke          superseded licence_final       not_owner           not_owner           licence_final       licence_final     not_its_province signer_suspended not_owner       signer_deregistered not_its_province not_owner
revoke          revoked    licence_final       not_owner           not_owner           licence_final       licence_final     not_its_province signer_suspended not_owner       signer_deregistered not_its_province not_owner

transfer_out    none       unknown_licence     unknown_licence     unknown_licence     unknown_licence     wrong_actor       wrong_actor      signer_suspended unknown_licence signer_deregistered wrong_actor      unknown_licence
transfer_out    active     ok                  not_owner           not_owner           ok                  wrong_actor       wrong_actor      signer_suspended not_owner       signer_deregistered wrong_actor      not_owner
transfer_out    suspended  licence_suspended   not_owner           not_owner           licence_suspended   wrong_actor       wrong_actor      signer_suspended not_owner       signer_deregistered wrong_actor      not_owner
transfer_out    released   transfer_pending    not_owner           not_owner           transfer_pending    wrong_actor       wrong_actor      signer_suspended not_owner       signer_deregistered wrong_actor      not_owner
transfer_out    superseded licence_final       not_owner           not_owner           licence_final       wrong_actor       wrong_actor      signer_suspended not_owner       signer_deregistered wrong_actor      not_owner
transfer_out    revoked    licence_final       not_owner           not_owner           licence_final       wrong_actor       wrong_actor      signer_suspended not_owner       signer_deregistered wrong_actor      not_owner

cancel_transfer none       unknown_licence     unknown_licence     unknown_licence     unknown_licence     not_active        not_active       signer_suspended unknown_licence signer_deregistered not_active       unknown_licence
cancel_transfer active     not_released        not_owner           not_owner           not_released        not_active        not_active       signer_suspended not_owner       signer_deregistered not_active       not_owner
cancel_transfer suspended  not_released        not_owner           not_owner           not_released        not_active        not_active       signer_suspended not_owner       signer_deregistered not_active       not_owner
cancel_transfer released   ok                  not_owner           not_owner           ok                  not_active        not_active       signer_suspended not_owner       signer_deregistered not_active       not_owner
cancel_transfer superseded licence_final       not_owner           not_owner           licence_final       not_active        not_active       signer_suspended not_owner       signer_deregistered not_active       not_owner
cancel_transfer revoked    licence_final       not_owner           not_owner           licence_final       not_active        not_active       signer_suspended not_owner       signer_deregistered not_active       not_owner
";

const OPERATIONS: [&str; 8] = [
    "issue",
    "supersede",
    "transfer_in",
    "suspend",
    "resume",
    "revoke",
    "transfer_out",
    "cancel_transfer",
];
const STATES: [&str; 6] = ["none", "active", "suspended", "released", "superseded", "revoked"];
const ACTORS: [&str; 11] = [
    "owner",
    "in_scope",
    "no_scope",
    "successor",
    "province",
    "elsewhere",
    "suspended",
    "target",
    "gone",
    "target_province",
    "heir",
];

const OWNER: u8 = 1;
const IN_SCOPE: u8 = 2;
const NO_SCOPE: u8 = 3;
const GONE: u8 = 4;
const SUCCESSOR: u8 = 5;
const SUSPENDED: u8 = 6;
const TARGET: u8 = 7;
const HEIR: u8 = 8;

/// Who speaks, and which agency issued the licence in question: for most the owner; for the
/// suspended and the deregistered agency their own, and for the successor its predecessor's. The
/// heir is the successor of the target.
fn cast(actor: &str) -> (Actor, u8) {
    match actor {
        "owner" => (of_agency(OWNER), OWNER),
        "in_scope" => (of_agency(IN_SCOPE), OWNER),
        "no_scope" => (of_agency(NO_SCOPE), OWNER),
        "successor" => (of_agency(SUCCESSOR), GONE),
        "province" => (of_province("44"), OWNER),
        "elsewhere" => (of_province("11"), OWNER),
        "suspended" => (of_agency(SUSPENDED), SUSPENDED),
        "target" => (of_agency(TARGET), OWNER),
        "gone" => (of_agency(GONE), GONE),
        "target_province" => (of_province("51"), OWNER),
        "heir" => (of_agency(HEIR), OWNER),
        other => panic!("{other}"),
    }
}

/// A world in which the licence `old` of agency `issuer` is in `state`.
fn world_with(issuer: u8, state: &str) -> World {
    let mut world = World::founded();
    for n in [OWNER, IN_SCOPE, GONE, SUCCESSOR, SUSPENDED] {
        world.with_agency(n, "44", &[DRIVING]);
    }
    world.with_agency(NO_SCOPE, "44", &[]);
    world.with_agency(TARGET, "51", &[DRIVING]);
    world.with_agency(HEIR, "51", &[DRIVING]);
    let slot = world.first_slot(issuer);
    if state != "none" {
        world.commits(of_agency(issuer), vec![issue("old", "lineage", slot)]);
    }
    let cid = cid_of(issuer, "old");
    let next = match state {
        "suspended" => Some(Operation::Suspend { cid }),
        "released" => Some(Operation::TransferOut { cid, to: uscc(TARGET) }),
        "superseded" => {
            let licence = licence("newer", "lineage", slot + 1);
            Some(Operation::Supersede { previous: cid, licence })
        }
        "revoked" => Some(Operation::Revoke { cid, class: RevocationClass::Cancelled }),
        _ => None,
    };
    if let Some(operation) = next {
        world.commits(of_agency(issuer), vec![operation]);
    }
    let province = of_province("44");
    world.commits(province, vec![Operation::SuspendAgency { agency: uscc(SUSPENDED) }]);
    world.commits(province, vec![Operation::DeregisterAgency { agency: uscc(GONE) }]);
    let assign = Operation::AssignSuccessor { agency: uscc(GONE), successor: uscc(SUCCESSOR) };
    world.commits(province, vec![assign]);
    world
}

/// Ends the agency to which a licence may be released, and names its successor.
fn end_target(world: &mut World) {
    let agency = uscc(TARGET);
    world.commits(of_province("51"), vec![Operation::DeregisterAgency { agency }]);
    let assign = Operation::AssignSuccessor { agency, successor: uscc(HEIR) };
    world.commits(of_province("51"), vec![assign]);
}

fn operation(name: &str, world: &World, actor: Actor, issuer: u8) -> Operation {
    let cid = cid_of(issuer, "old");
    let signer = (OWNER..=HEIR).find(|n| of_agency(*n) == actor).unwrap_or(issuer);
    let new: NewLicence = licence("new", "lineage", world.first_slot(signer) + 2);
    match name {
        "issue" => Operation::Issue { licence: new },
        "supersede" => Operation::Supersede { previous: cid, licence: new },
        "transfer_in" => Operation::TransferIn { previous: cid, licence: new },
        "suspend" => Operation::Suspend { cid },
        "resume" => Operation::Resume { cid },
        "revoke" => Operation::Revoke { cid, class: RevocationClass::Penalty },
        "transfer_out" => Operation::TransferOut { cid, to: uscc(TARGET) },
        "cancel_transfer" => Operation::CancelTransfer { cid },
        other => panic!("{other}"),
    }
}

#[test]
fn every_state_operation_and_actor_has_the_answer_of_the_table() {
    let mut rows = TABLE.lines().filter(|line| !line.is_empty()).map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words[0], words[1], words[2..].to_vec())
    });
    assert_eq!(rows.next().unwrap().2, ACTORS);
    let mut wrong = Vec::new();
    let mut cells = 0;
    for name in OPERATIONS {
        for state in STATES {
            let (row_name, row_state, answers) = rows.next().unwrap();
            assert_eq!((row_name, row_state, answers.len()), (name, state, ACTORS.len()));
            for (actor_name, expected) in ACTORS.iter().zip(answers) {
                let (actor, issuer) = cast(actor_name);
                let mut world = world_with(issuer, state);
                if *actor_name == "heir" {
                    end_target(&mut world);
                }
                let operation = operation(name, &world, actor, issuer);
                let before = world.clone();
                let transaction = world.sign(actor, vec![operation]);
                let answer = word(&world.commit_block(&[transaction])[0]);
                if answer != expected {
                    wrong.push(format!("{name} {state} {actor_name}: {answer}, not {expected}"));
                }
                assert_eq!(answer == "ok", before.state != world.state, "{name} {state}");
                world.assert_sound();
                cells += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!((cells, rows.next().is_none()), (528, true));
}

#[test]
fn a_transfer_keeps_the_type_and_needs_it_in_the_scope_of_the_target() {
    let mut world = world_with(OWNER, "released");
    let take = |world: &World, code: &str| {
        let mut licence = licence("new", "lineage", world.first_slot(TARGET));
        licence.licence_type = type_code(code);
        let take = Operation::TransferIn { previous: cid_of(OWNER, "old"), licence };
        world.asks(of_agency(TARGET), vec![take])
    };
    assert_eq!(take(&world, DRIVING), "ok");
    assert_eq!(take(&world, FIXED), "type_differs");
    let scope = |codes: &[&str]| Operation::SetScope {
        agency: uscc(TARGET),
        scope: codes.iter().map(|code| type_code(code)).collect(),
    };
    world.commits(of_province("51"), vec![scope(&[FIXED])]);
    assert_eq!(take(&world, DRIVING), "out_of_scope");
    assert_eq!(take(&world, FIXED), "type_differs");
}

#[test]
fn a_transferred_licence_leads_from_one_agency_to_the_other() {
    let mut world = world_with(OWNER, "released");
    let (old, new) = (cid_of(OWNER, "old"), cid_of(TARGET, "new"));
    let operation = operation("transfer_in", &world, of_agency(TARGET), OWNER);
    let transaction = world.sign(of_agency(TARGET), vec![operation]);
    let events = world.commit_block(&[transaction]).remove(0).unwrap();
    let touched: Vec<_> = events.iter().map(|e| (e.name, e.cid, e.related)).collect();
    let name = "transfer_in";
    assert_eq!(touched, [(name, Some(old), Some(new)), (name, Some(new), Some(old))]);
    assert_eq!(world.licence(&old).unwrap().status.name(), "superseded");
    let licence = world.licence(&new).unwrap();
    assert_eq!((licence.status.name(), licence.previous), ("active", Some(old)));
    assert_eq!(licence.agency_index, world.agency(TARGET).index);
    assert_eq!(events[1].licence_after.as_ref(), Some(&licence));
    // The lineage of the first agency is free again.
    let again = issue("again", "lineage", world.first_slot(OWNER) + 9);
    assert_eq!(world.asks(of_agency(OWNER), vec![again]), "ok");
}

#[test]
fn a_successor_takes_over_by_a_transfer_to_itself() {
    let mut world = world_with(GONE, "active");
    let cid = cid_of(GONE, "old");
    let out = Operation::TransferOut { cid, to: uscc(SUCCESSOR) };
    let licence = licence("new", "its own lineage", world.first_slot(SUCCESSOR));
    let take = Operation::TransferIn { previous: cid, licence };
    world.commits(of_agency(SUCCESSOR), vec![out, take]);
    world.assert_sound();
}

#[test]
fn a_successor_takes_over_also_what_may_not_be_transferred_and_nobody_else_does() {
    let mut world = World::founded();
    for n in [GONE, SUCCESSOR, IN_SCOPE] {
        world.with_agency(n, "44", &[FIXED]);
    }
    let fixed = |name: &str, slot| {
        let mut licence = licence(name, name, slot);
        licence.licence_type = type_code(FIXED);
        licence
    };
    let old = fixed("old", world.first_slot(GONE));
    world.commits(of_agency(GONE), vec![Operation::Issue { licence: old }]);
    let cid = cid_of(GONE, "old");
    let release = |to| vec![Operation::TransferOut { cid, to: uscc(to) }];
    assert_eq!(world.asks(of_agency(GONE), release(SUCCESSOR)), "not_transferable");
    let province = of_province("44");
    world.commits(province, vec![Operation::DeregisterAgency { agency: uscc(GONE) }]);
    let assign = |to| Operation::AssignSuccessor { agency: uscc(GONE), successor: uscc(to) };
    world.commits(province, vec![assign(SUCCESSOR)]);
    assert_eq!(world.asks(of_agency(SUCCESSOR), release(IN_SCOPE)), "not_transferable");
    let take = |n| {
        let licence = fixed("new", world.first_slot(n));
        Operation::TransferIn { previous: cid, licence }
    };
    let (taken, other) = (take(SUCCESSOR), take(IN_SCOPE));
    world.commits(of_agency(SUCCESSOR), release(SUCCESSOR));
    let mut renamed = world.clone();
    world.commits(of_agency(SUCCESSOR), vec![taken.clone()]);
    world.assert_sound();
    // From here on it is the successor's own, and renewed like any other.
    let mut newer = fixed("newer", world.first_slot(SUCCESSOR) + 1);
    newer.lineage = digest("new");
    let renew = Operation::Supersede { previous: cid_of(SUCCESSOR, "new"), licence: newer };
    world.commits(of_agency(SUCCESSOR), vec![renew]);
    world.assert_sound();
    // A successor that is none any more does not take over what it had released to itself.
    renamed.commits(province, vec![assign(IN_SCOPE)]);
    assert_eq!(renamed.asks(of_agency(SUCCESSOR), vec![taken]), "not_transferable");
    renamed.commits(of_agency(IN_SCOPE), vec![Operation::CancelTransfer { cid }]);
    renamed.commits(of_agency(IN_SCOPE), vec![release(IN_SCOPE).remove(0), other]);
    renamed.assert_sound();
}

#[test]
fn administration_passes_along_a_chain_of_successors() {
    let mut world = world_with(GONE, "active");
    let province = of_province("44");
    let suspend = vec![Operation::Suspend { cid: cid_of(GONE, "old") }];
    world.commits(province, vec![Operation::SuspendAgency { agency: uscc(SUCCESSOR) }]);
    assert_eq!(world.asks(of_agency(SUCCESSOR), suspend.clone()), "signer_suspended");
    world.commits(province, vec![Operation::DeregisterAgency { agency: uscc(SUCCESSOR) }]);
    assert_eq!(world.asks(of_agency(IN_SCOPE), suspend.clone()), "not_owner");
    let assign = Operation::AssignSuccessor { agency: uscc(SUCCESSOR), successor: uscc(IN_SCOPE) };
    world.commits(province, vec![assign]);
    assert_eq!(world.asks(of_agency(IN_SCOPE), suspend.clone()), "ok");
    assert_eq!(world.asks(of_agency(OWNER), suspend), "not_owner");
}

#[test]
fn what_an_agency_issued_it_may_end_after_it_lost_the_type() {
    let mut world = world_with(OWNER, "active");
    world.commits(
        of_province("44"),
        vec![Operation::SetScope { agency: uscc(OWNER), scope: vec![] }],
    );
    let cid = cid_of(OWNER, "old");
    assert_eq!(world.asks(of_agency(OWNER), vec![Operation::Suspend { cid }]), "ok");
    let licence = licence("new", "lineage", world.first_slot(OWNER) + 1);
    let supersede = Operation::Supersede { previous: cid, licence };
    assert_eq!(world.asks(of_agency(OWNER), vec![supersede]), "out_of_scope");
}

#[test]
fn a_full_transaction_writes_its_slot_block_once() {
    let mut world = world_with(OWNER, "none");
    let slot = world.first_slot(OWNER);
    let name = |i: u32| format!("licence {i}");
    let operations = (0..256).map(|i| issue(&name(i), &name(i), slot + i)).collect();
    let transaction = world.sign(of_agency(OWNER), operations);
    let (changes, outcomes) = world.execute(std::slice::from_ref(&transaction));
    assert_eq!(outcomes[0].as_ref().map(Vec::len), Ok(256));
    // A licence and a lineage each, and one block of slots.
    assert_eq!(changes.len(), 256 * 2 + 1);
    world.commit_block(&[transaction]);
    world.assert_sound();
}
