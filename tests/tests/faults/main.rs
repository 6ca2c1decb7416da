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

use nix::sys::signal::Signal;
use symbolon_ledger::validators::may_fail;
use symbolon_tests::{
    devnet::await_that,
    faults::{
        field::Field,
        say,
        table::{Row, run},
        whole,
    },
};

/// Nodes of a network, but where a row needs seven.
const NODES: usize = 4;

/// A network for a family of the whole set; none otherwise.
fn in_the_whole_set(nodes: usize) -> Option<Field> {
    if whole() { Field::start(nodes) } else { None }
}

/// Does harm when large transactions, one of the agency of each of these provinces, are at the nodes
/// and in no block, and waits until they have come through in one: what is left in the window is
/// small.
fn before_a_large_block(field: &Field, provinces: &[usize], harm: impl FnOnce()) {
    let large: Vec<_> = provinces.iter().map(|n| field.large_transaction(*n)).collect();
    let count = field.nodes.len();
    // Without these there is no quorum.
    let (awake, paused) = field.nodes.split_at(count - may_fail(count) - 1);
    paused.iter().for_each(|node| node.signal(Signal::SIGSTOP));
    for transaction in &large {
        awake[0].take(transaction);
        let id = transaction.id();
        let is_there = || awake.iter().all(|node| node.says_of(id, "pending"));
        await_that("the large transaction is there", is_there);
    }
    harm();
    paused.iter().for_each(|node| node.signal(Signal::SIGCONT));
    for (node, transaction) in field.nodes.iter().flat_map(|n| large.iter().map(move |t| (n, t))) {
        let committed = || node.says_of(transaction.id(), "committed");
        await_that("the large block comes through", committed);
    }
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
