//! Processes that die, freeze, come back, or are there twice.

use nix::sys::signal::Signal;
use symbolon_tests::{
    devnet::await_that,
    faults::{
        checks,
        field::Field,
        say,
        table::{Meanwhile, Row, run},
    },
};

use crate::NODES;

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "one node killed (SIGKILL)",
        short: true,
        inject: |field| field.nodes[1].end(Signal::SIGKILL),
        meanwhile: Meanwhile::OnBut(&[1]),
        heal: Field::start_all,
        guilty: &[],
    },
    Row {
        name: "one node paused (SIGSTOP)",
        short: false,
        inject: |field| field.nodes[2].signal(Signal::SIGSTOP),
        meanwhile: Meanwhile::OnBut(&[2]),
        heal: |field| field.nodes[2].signal(Signal::SIGCONT),
        guilty: &[],
    },
    Row {
        name: "two of four paused: no quorum",
        short: false,
        inject: |field| [1, 2].iter().for_each(|n| field.nodes[*n].signal(Signal::SIGSTOP)),
        meanwhile: Meanwhile::Stall,
        heal: |field| [1, 2].iter().for_each(|n| field.nodes[*n].signal(Signal::SIGCONT)),
        guilty: &[],
    },
    Row {
        name: "all nodes killed at once",
        short: true,
        inject: |field| {
            field.nodes.iter().for_each(|node| node.signal(Signal::SIGKILL));
            field.nodes.iter().for_each(|node| node.end(Signal::SIGKILL));
        },
        meanwhile: Meanwhile::Stall,
        heal: Field::start_all,
        guilty: &[],
    },
    Row {
        name: "every node restarted in order, one after the other (SIGTERM)",
        short: false,
        inject: |field| {
            for node in &field.nodes {
                node.end(Signal::SIGTERM);
                node.start();
                field.await_height(field.highest());
            }
        },
        meanwhile: Meanwhile::OnBut(&[]),
        heal: |_| (),
        guilty: &[],
    },
    Row {
        name: "crash storm: every node killed behind a new block, three times",
        short: false,
        inject: |field| {
            for n in (0..3 * field.nodes.len()).map(|n| n % field.nodes.len()) {
                let height = field.highest();
                await_that("a new block", || field.highest() > height);
                field.nodes[n].end(Signal::SIGKILL);
                field.nodes[n].start();
            }
        },
        meanwhile: Meanwhile::OnBut(&[]),
        heal: |_| (),
        guilty: &[],
    },
    Row {
        name: "a second process with one node's key, on another machine with a chain of its own",
        short: false,
        inject: |field| field.twin.spawn(),
        meanwhile: Meanwhile::OnBut(&[]),
        heal: |field| field.twin.end(Signal::SIGKILL),
        // That key did it, and no other is named (I9). Beijing is node 0.
        guilty: &["11"],
    },
];

#[test]
fn processes_that_die_freeze_and_return() {
    let Some(field) = crate::in_the_whole_set(NODES) else { return };
    a_second_process_on_one_data_folder_is_refused(&field);
    run("process", &field, ROWS);
}

/// The configuration of node 0 once more, in the twin's namespace: nothing is in its way but the
/// folder.
fn a_second_process_on_one_data_folder_is_refused(field: &Field) {
    let data = format!("{:?}", field.nodes[0].data());
    let path = field.twin.folder.join("config.toml");
    let own = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, own.replace("\"data\"", &data)).unwrap();
    field.twin.spawn();
    let mut ended = None;
    await_that("the second process ends", || {
        ended = field.twin.ended();
        ended.is_some()
    });
    checks::it_says_why_it_stopped(&field.twin, ended.unwrap(), &["in use by another process"]);
    say("fault: process: a second process on one data folder is refused");
    std::fs::write(&path, own).unwrap();
}
