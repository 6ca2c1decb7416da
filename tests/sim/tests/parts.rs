//! Parts of the simulator by themselves: the disk, the names of runs, the enumerated cases, long lines
//! and a small network over them.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use symbolon_sim::{
    Plan, Vice,
    dice::Dice,
    disk::{Damaged, Disk, Mark, Refused, Trouble},
    founding::Founding,
    machine::Machine,
    twins::{Case, ENUMERATED, SEATS},
    wan::{
        self, Costs, Figures,
        figures::Kind,
        mesh::{DEGREE, HIGH, LOW, Mesh},
        pipes::{PIECE_BYTES, Piece, Pipes, SECOND_NS, Stream},
    },
};

fn disk() -> Disk {
    Disk::new(Machine::founded(Founding::of(4)), Mark::NotKept, false)
}

#[test]
fn a_crash_keeps_what_was_flushed_and_never_half_an_entry() {
    for seed in 0..200 {
        let (mut disk, mut dice) = (disk(), Dice::new(seed));
        disk.append(b"flushed").unwrap();
        disk.flush().unwrap();
        disk.append(b"written").unwrap();
        disk.append(b"and more").unwrap();
        disk.lose(&mut dice);
        let all: [&[u8]; 3] = [b"flushed", b"written", b"and more"];
        let kept = disk.entries().unwrap();
        assert!((1..=3).contains(&kept.len()) && kept == all[..kept.len()], "{kept:?}");
    }
}

#[test]
fn a_turned_bit_before_the_last_entry_is_damage() {
    for seed in 0..200 {
        let (mut disk, mut dice) = (disk(), Dice::new(seed));
        for entry in [b"one", b"two", b"six"] {
            disk.append(entry).unwrap();
        }
        disk.flush().unwrap();
        disk.flip(&mut dice);
        assert_eq!(disk.entries(), Err(Damaged), "seed {seed}");
    }
}

#[test]
fn a_disk_in_trouble_refuses() {
    let mut disk = disk();
    disk.trouble = Some(Trouble::Full);
    assert_eq!(disk.append(b"entry"), Err(Refused));
    disk.trouble = Some(Trouble::FailingSync);
    assert_eq!((disk.append(b"entry"), disk.flush()), (Ok(()), Err(Refused)));
}

#[test]
fn a_name_is_enough_to_run_a_plan_again() {
    for plan in [
        Plan::calm(3, 7),
        Plan::rough(44, 10),
        Plan::stuck(2),
        Plan::with_vice(Vice::ALL[5], 9, 4),
        Plan::crash_at(2, 77),
        Case::enumerated(1_234).plan(),
        Case::sampled(5).plan(),
    ] {
        assert_eq!(Plan::named(&plan.name), Some(plan));
    }
    for name in ["", "rough", "rough/4", "rough/4/x", "rough/3/1", "other/4/1", "rough/4/1/1"] {
        assert_eq!(Plan::named(name), None, "{name}");
    }
}

#[test]
fn all_enumerated_cases_differ() {
    let cases: BTreeSet<_> = (0..ENUMERATED).map(|i| Case::enumerated(i).sides).collect();
    assert_eq!(cases.len() as u64, ENUMERATED - (SEATS as u64 - 1), "all whole is one case");
}

/// Bytes a second of the lines below.
const LINE_BYTES: u64 = 1_000_000;

/// Lets everything leave a way out, and tells when each message's last byte has.
fn all_that_leaves(pipes: &mut Pipes<u32>, first: Option<Piece<u32>>) -> Vec<(u32, u64)> {
    let (mut piece, mut left) = (first, Vec::new());
    while let Some(Piece { left_ns, cargo, .. }) = piece {
        left.extend(cargo.map(|cargo| (cargo, left_ns)));
        piece = pipes.next(left_ns, 0);
    }
    left
}

#[test]
fn a_message_takes_its_length_and_does_not_wait_for_all_of_a_longer_one() {
    let mut pipes = Pipes::new(3, 8 * LINE_BYTES);
    let long = 10 * PIECE_BYTES;
    let first = pipes.push(0, 0, (1, Stream::Exchange), long, 1);
    assert!(first.is_some(), "the line was idle");
    for (lane, cargo) in [((1, Stream::Gossip), 2), ((2, Stream::Exchange), 3)] {
        assert!(pipes.push(0, 0, lane, 100, cargo).is_none(), "the line is in use");
    }
    assert_eq!(pipes.waiting().copied().collect::<BTreeSet<_>>(), [1, 2, 3].into());
    let takes = |bytes: u64| bytes * SECOND_NS / LINE_BYTES;
    let left = all_that_leaves(&mut pipes, first);
    // Two pieces of the long one had their turn before the others came to theirs.
    let before = 2 * PIECE_BYTES;
    let expected = [(2, takes(before + 100)), (3, takes(before + 200)), (1, takes(long + 200))];
    assert_eq!(left, expected);
    assert_eq!((pipes.busy_ns(0), pipes.waiting().count()), (takes(long + 200), 0));
    // A way in is one, whoever sends: the second of two that come together comes later.
    let came = [1_000, 1_000].map(|bytes| pipes.arrives_ns(SECOND_NS, 1, bytes));
    assert_eq!(came, [SECOND_NS, SECOND_NS + takes(1_000)]);
}

#[test]
fn everybody_has_enough_neighbours_and_nobody_too_many() {
    for (seed, nodes) in [(1, 2), (2, 4), (3, 7), (4, 32), (5, 64)] {
        let mesh = Mesh::grown(nodes, &mut Dice::new(seed));
        for node in 0..nodes {
            let degree = mesh.degree(node);
            assert!((LOW.min(nodes - 1)..=HIGH).contains(&degree), "{degree} of {nodes}");
            let mutual =
                mesh.of(node).all(|other| other != node && mesh.of(other).any(|n| n == node));
            assert!(mutual, "a link of {node} is no link of its other end");
        }
    }
    assert!((LOW..=HIGH).contains(&DEGREE));
}

/// Delay of the lines below, in milliseconds.
const DELAY_MS: u64 = 30;

/// A small network over long lines, offered so many licences a second.
fn wide(offered: u64) -> Figures {
    wan::run(&plan(offered), || 0).unwrap()
}

fn plan(offered: u64) -> wan::Plan {
    wan::Plan {
        seed: 1,
        validators: 4,
        delay_ms: DELAY_MS,
        bits_per_second: 100_000_000,
        offered,
        batch: 64,
        seconds: 4,
        eager_streams: true,
        costs: Costs { check_ns: 50_000, sync_ns: 300_000, execute_ns: 50_000 },
    }
}

#[test]
fn more_than_the_lines_carry_slows_a_network_down_and_does_not_stop_it() {
    let costs = Costs { check_ns: 50_000, sync_ns: 300_000, execute_ns: 5_000 };
    let narrow = wan::Plan { bits_per_second: 8_000_000, seconds: 20, costs, ..plan(4_000) };
    let figures = wan::run(&narrow, || 0).unwrap();
    let (heights, committed) = (figures.heights, figures.committed);
    assert!(!figures.keeps_up(), "it is more than they carry");
    assert!(heights >= 10 && committed >= 7_000, "{committed} licences in {heights} heights");
}

#[test]
fn no_byte_of_a_wide_network_is_lost_or_made_up_and_the_same_seed_is_the_same_run() {
    let (one, other) = (wide(1_000), wide(1_000));
    let whole = &one.whole;
    let accounted = whole.received.sum() + whole.lost.sum() + one.under_way;
    assert_eq!((whole.sent.sum(), whole.lost.sum()), (accounted, 0));
    for kind in [Kind::Votes, Kind::Proposals, Kind::Transactions, Kind::Bodies, Kind::Control] {
        assert!(one.counts.sent.of(kind) > 0, "no {}", kind.name());
    }
    assert!(one.keeps_up() && one.committed > 2_000 && one.heights > 4, "{one:?}");
    assert_eq!((one.history, one.counts), (other.history, other.counts));
    assert_eq!(one.finality_ns, other.finality_ns);
}

#[test]
fn without_load_finality_takes_at_least_three_delays_and_less_than_five() {
    let figures = wide(0);
    let delays = |n: u64| n * DELAY_MS * 1_000_000;
    let (first, last) = (figures.finality_ns.first(), figures.finality_ns.last());
    assert!(first.is_some_and(|ns| *ns >= delays(3)), "{first:?}");
    assert!(last.is_some_and(|ns| *ns < delays(5)), "{last:?}");
    assert_eq!((figures.round, figures.unfinished), (0, 0));
    // From the proposal on it is three: proposal, prevotes, precommits.
    let decided = figures.decision_ns.last();
    assert!(decided.is_some_and(|ns| *ns >= delays(2) && *ns < delays(4)), "{decided:?}");
}
