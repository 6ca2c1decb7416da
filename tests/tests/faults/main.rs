//! Faults of real nodes: processes in network namespaces under load, one table of faults for each
//! family, and the invariants I1 to I10 checked from outside after each.
//!
//! `make faults` runs all rows, each family on a network of its own. Those that are marked as short
//! run on one network in `make test`. How a row is run is in `tests/src/faults/table.rs`.
//! Not here: lying nodes and exhaustive schedules (the simulator), and hostile strangers (`doors`).
//! Where this user may not make namespaces, all is skipped.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(missing_docs, reason = "tests say what they check in their names")]

mod clock;
mod disk;
mod files;
mod links;
mod process;

use symbolon_tests::faults::{
    field::Field,
    say,
    table::{Row, run},
    whole,
};

/// Nodes of a network, but where a row needs seven.
const NODES: usize = 4;

/// A network for a family of the whole set; none otherwise.
fn in_the_whole_set(nodes: usize) -> Option<Field> {
    if whole() { Field::start(nodes) } else { None }
}

#[test]
fn the_short_set_of_every_family() {
    if whole() {
        return;
    }
    let Some(field) = Field::start(NODES) else { return };
    let mut rows: Vec<Row> = [process::ROWS, files::ROWS].concat();
    if field.has_pages() {
        rows.extend([clock::ROWS, disk::ROWS].concat());
    }
    match field.wires.can_lose() {
        Ok(()) => rows.extend(links::ROWS),
        Err(why) => say(&format!("skipped: packets cannot be lost here: {why}")),
    }
    run("short", &field, &rows);
}
