//! Processes that die, freeze, starve, come back, or are there twice.

use std::{
    os::unix::process::ExitStatusExt as _,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use nix::sys::signal::Signal;
use symbolon_tests::{
    devnet::await_that,
    faults::{
        cage::Cage,
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
        name: "one node paused until thirty more blocks are made",
        short: false,
        inject: |field| {
            let paused = field.highest();
            field.nodes[2].signal(Signal::SIGSTOP);
            field.await_height_of(&[0, 1, 3], paused + 30);
        },
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
            while_somebody_reads(field, || {
                for node in &field.nodes {
                    node.end(Signal::SIGTERM);
                    node.start();
                    field.await_height(field.highest());
                }
            });
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

/// Thousandths of a processor with which a network still goes on.
const LITTLE: u64 = 50;
/// Provinces whose agencies each make a transaction of 256 licences. A block with all of them takes
/// so much of a processor that no node has it executed at once.
const LARGE: [usize; 3] = [1, 2, 3];
/// Thousandths with which a node makes no block in its turn.
const NEXT_TO_NOTHING: u64 = 2;
/// Blocks that the others make meanwhile: it has its turn several times.
const WITHOUT_IT: u64 = 20;

/// Rows that take control groups.
const STARVING: &[Row] = &[
    Row {
        name: "one node asks for memory that is not there: the system kills it",
        short: false,
        inject: |field| {
            let node = &field.nodes[1];
            field.leave_no_memory(1).unwrap();
            let mut ended = None;
            await_that("the system kills it", || {
                ended = node.ended();
                ended.is_some()
            });
            let signal = ended.unwrap().signal();
            assert_eq!(signal, Some(Signal::SIGKILL as i32), "{}", node.said());
        },
        meanwhile: Meanwhile::OnBut(&[1]),
        heal: open_and_start,
        guilty: &[],
    },
    Row {
        name: "one node has next to nothing of a processor",
        short: false,
        inject: |field| {
            let starved = field.highest();
            field.leave_thousandths(2, NEXT_TO_NOTHING).unwrap();
            field.await_height_of(&[0, 1, 3], starved + WITHOUT_IT);
        },
        meanwhile: Meanwhile::OnBut(&[2]),
        heal: open_and_start,
        guilty: &[],
    },
    Row {
        name: "every node has a twentieth of a processor",
        short: false,
        inject: |field| {
            crate::before_a_large_block(field, &LARGE, || {
                (0..NODES).for_each(|n| field.leave_thousandths(n, LITTLE).unwrap());
            });
        },
        meanwhile: Meanwhile::OnBut(&[]),
        heal: open_and_start,
        guilty: &[],
    },
];

/// Says that it is over, also when a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Does `work` while somebody reads who asks the next node when one does not answer: there is
/// always one that does.
fn while_somebody_reads(field: &Field, work: impl FnOnce()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (over, _ends) = (&over, Over(&over));
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !over.load(SeqCst) {
                let read = field.nodes.iter().find_map(|node| node.get("/v1/blocks/latest"));
                assert_eq!(read.map(|(status, _)| status), Some(200), "read {reads} failed");
                reads += 1;
            }
            reads
        });
        work();
        over.store(true, SeqCst);
        let reads = reader.join().unwrap();
        say(&format!("  {reads} reads, all answered"));
    });
}

fn open_and_start(field: &Field) {
    field.open_cages().unwrap();
    field.start_all();
}

#[test]
fn processes_that_die_freeze_starve_and_return() {
    let Some(field) = crate::in_the_whole_set(NODES) else { return };
    a_second_process_on_one_data_folder_is_refused(&field);
    let mut rows = ROWS.to_vec();
    match Cage::permitted() {
        Ok(()) => rows.extend(STARVING),
        Err(why) => say(&format!("skipped: memory and time of a node cannot be bounded: {why}")),
    }
    run("process", &field, &rows);
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
