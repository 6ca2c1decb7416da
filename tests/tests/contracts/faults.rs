//! A damaged state: execution stops with a fault, and neither applies nor refuses.

use symbolon_contracts::{ApplyError, Overlay, apply_transaction};
use symbolon_ledger::{
    operation::{Operation, RevocationClass},
    records::{LineageRecord, RECORD_VERSION, Record as _},
    state::StateKey,
};

use crate::world::*;

/// Agency 1 has the licences `old` and `other` in force, and `revoked`.
fn world() -> World {
    let mut world = World::founded();
    world.with_agency(1, "44", &[DRIVING]);
    let slot = world.first_slot(1);
    for (i, name) in (0..).zip(["old", "other", "revoked"]) {
        world.commits(of_agency(1), vec![issue(name, name, slot + i)]);
    }
    world.commits(of_agency(1), vec![revoke("revoked")]);
    world
}

fn revoke(name: &str) -> Operation {
    Operation::Revoke { cid: cid_of(1, name), class: RevocationClass::Cancelled }
}

fn lineage(world: &World, name: &str) -> StateKey {
    StateKey::Lineage(world.agency(1).index, digest(name))
}

/// Asserts that the operation meets a fault when the lineage `damaged` names what it does not
/// belong to (or nothing), and that it does not otherwise.
fn check(damaged: &str, names: Option<&str>, operation: Operation) {
    let mut world = world();
    let transaction = world.sign(of_agency(1), vec![operation]);
    let outcome =
        |world: &World| apply_transaction(&mut Overlay::new(world), &world.context(), &transaction);
    assert!(!matches!(outcome(&world), Err(ApplyError::Fault(_))));
    let key = lineage(&world, damaged);
    match names {
        Some(name) => {
            let record = LineageRecord { version: RECORD_VERSION, newest: cid_of(1, name) };
            world.state.insert(key, record.to_bytes());
        }
        None => drop(world.state.remove(&key)),
    }
    let answer = outcome(&world);
    assert!(matches!(answer, Err(ApplyError::Fault(_))), "{damaged} {names:?}: {answer:?}");
}

#[test]
fn a_lineage_that_disagrees_with_its_licence_stops_the_node() {
    let again = |name| issue("new", name, 40);
    check("old", Some("other"), again("old"));
    check("old", Some("revoked"), again("old"));
    check("old", Some("none"), again("old"));
    check("revoked", Some("revoked"), again("revoked"));
    check("revoked", Some("old"), again("revoked"));
    check("old", Some("other"), revoke("old"));
    check("old", None, revoke("old"));
}
