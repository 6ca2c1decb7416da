//! Links that are cut, one-sided, lossy, narrow or slow. Loss, resets and narrow lines are the
//! kernel's (nft, tc); delay is the relay's.

use symbolon_tests::faults::{
    field::Field,
    say,
    table::{Meanwhile, Row, run},
    wires::Loss,
};

/// The links are those of seven nodes, of which two may fail.
const MORE_NODES: usize = 7;

fn everywhere(field: &Field, loss: Loss<'_>) {
    (0..field.nodes.len()).for_each(|n| field.wires.lose(n, loss).unwrap());
}

fn mend(field: &Field) {
    field.mend_links().unwrap();
}

/// All but `left`.
fn but(left: &[usize], field: &Field) -> Vec<usize> {
    (0..field.nodes.len()).filter(|n| !left.contains(n)).collect()
}

/// Provinces whose agencies each make a transaction of 256 licences. A block with all of them takes
/// a line of 1 Mbit/s to six others longer than the first round waits, and not so long that an
/// exchange has failed.
const LARGE: [usize; 4] = [1, 2, 3, 4];

const ALL: [usize; MORE_NODES] = [0, 1, 2, 3, 4, 5, 6];

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "split in halves: no quorum on either side",
        short: true,
        inject: |field| {
            let half = field.nodes.len() / 2;
            field.wires.split(&[&ALL[..half], &ALL[half..field.nodes.len()]]).unwrap();
        },
        meanwhile: Meanwhile::Stall,
        heal: mend,
        guilty: &[],
    },
    Row {
        name: "one node hears nobody, and everybody hears it",
        short: true,
        inject: |field| {
            field.wires.lose(0, Loss::AllFrom(&but(&[0], field))).unwrap();
        },
        meanwhile: Meanwhile::OnBut(&[0]),
        heal: mend,
        guilty: &[],
    },
    Row {
        name: "one node hears everybody, and nobody hears it",
        short: false,
        inject: |field| {
            for n in but(&[0], field) {
                field.wires.lose(n, Loss::AllFrom(&[0])).unwrap();
            }
        },
        meanwhile: Meanwhile::OnBut(&[0]),
        heal: mend,
        guilty: &[],
    },
    Row {
        name: "one node cut off",
        short: false,
        inject: |field| {
            field.wires.split(&[&[0], &but(&[0], field)]).unwrap();
        },
        meanwhile: Meanwhile::OnBut(&[0]),
        heal: mend,
        guilty: &[],
    },
    Row {
        name: "one node's cable pulled",
        short: false,
        inject: |field| field.wires.plug(3, false).unwrap(),
        meanwhile: Meanwhile::OnBut(&[3]),
        heal: |field| field.wires.plug(3, true).unwrap(),
        guilty: &[],
    },
    Row {
        name: "everybody cut off from everybody",
        short: false,
        inject: |field| field.wires.split(&[]).unwrap(),
        meanwhile: Meanwhile::Stall,
        heal: mend,
        guilty: &[],
    },
    Row {
        name: "two nodes do not hear each other, the others hear both",
        short: false,
        inject: |field| {
            field.wires.lose(0, Loss::AllFrom(&[1])).unwrap();
            field.wires.lose(1, Loss::AllFrom(&[0])).unwrap();
        },
        meanwhile: Meanwhile::OnBut(&[]),
        heal: mend,
        guilty: &[],
    },
    Row {
        name: "a ring: everybody hears only two neighbours",
        short: false,
        inject: |field| {
            let count = field.nodes.len();
            for n in 0..count {
                let near = [n, (n + 1) % count, (n + count - 1) % count];
                field.wires.lose(n, Loss::AllFrom(&but(&near, field))).unwrap();
            }
        },
        meanwhile: Meanwhile::OnBut(&[]),
        heal: mend,
        guilty: &[],
    },
    Row {
        name: "one node's cable pulled and plugged ten times",
        short: false,
        inject: |field| {
            for _ in 0..10 {
                field.wires.plug(2, false).unwrap();
                let height = field.highest();
                field.await_height_of(&[0, 1, 3], height + 1);
                field.wires.plug(2, true).unwrap();
            }
        },
        meanwhile: Meanwhile::OnBut(&[2]),
        heal: |_| (),
        guilty: &[],
    },
    Row {
        name: "one packet of ten lost, everywhere",
        short: false,
        inject: |field| everywhere(field, Loss::Percent(10)),
        meanwhile: Meanwhile::OnBut(&[]),
        heal: mend,
        guilty: &[],
    },
    Row {
        name: "connections reset at random, everywhere",
        short: false,
        inject: |field| everywhere(field, Loss::ResetPerMille(2)),
        meanwhile: Meanwhile::OnBut(&[]),
        heal: mend,
        guilty: &[],
    },
    Row {
        name: "1 Mbit/s out of every node",
        short: false,
        inject: |field| {
            crate::before_a_large_block(field, &LARGE, || {
                (0..field.nodes.len()).for_each(|n| field.wires.narrow(n, 1_000).unwrap());
            });
        },
        meanwhile: Meanwhile::OnBut(&[]),
        heal: |field| (0..field.nodes.len()).for_each(|n| field.wires.narrow(n, 0).unwrap()),
        guilty: &[],
    },
    Row {
        name: "100 ms and up to 50 ms more each way, between all",
        short: false,
        inject: |field| field.make_late(100, 50).unwrap(),
        meanwhile: Meanwhile::OnBut(&[]),
        heal: mend,
        guilty: &[],
    },
    Row {
        name: "one second each way, between all",
        short: false,
        inject: |field| field.make_late(1_000, 0).unwrap(),
        meanwhile: Meanwhile::OnBut(&[]),
        heal: mend,
        guilty: &[],
    },
];

#[test]
fn links_that_are_cut_one_sided_lossy_narrow_or_slow() {
    let Some(field) = crate::in_the_whole_set(MORE_NODES) else { return };
    if let Err(why) = field.wires.can_lose() {
        say(&format!("skipped: packets cannot be lost here: {why}"));
        return;
    }
    run("links", &field, ROWS);
}
