//! Clocks that are wrong or jump. The wall clock only: what runs out in a node is measured by the
//! monotonic one, which no operator can set.

use symbolon_tests::faults::{
    field::Field,
    preload::Deed,
    table::{Meanwhile, Row, run},
};

use crate::NODES;

const HOUR_MS: i64 = 3_600_000;

fn set(field: &Field, n: usize, ms: i64) {
    field.nodes[n].page.as_ref().unwrap().set(Deed::Clock, ms).unwrap();
}

fn right(field: &Field) {
    (0..field.nodes.len()).for_each(|n| set(field, n, 0));
}

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "one clock jumps an hour ahead",
        short: true,
        inject: |field| set(field, 0, HOUR_MS),
        meanwhile: Meanwhile::OnBut(&[]),
        heal: right,
        guilty: &[],
    },
    Row {
        name: "one clock jumps an hour back",
        short: false,
        inject: |field| set(field, 0, -HOUR_MS),
        meanwhile: Meanwhile::OnBut(&[]),
        heal: right,
        guilty: &[],
    },
    Row {
        name: "four clocks, all wrong, within two seconds",
        short: false,
        inject: |field| (0..NODES).for_each(|n| set(field, n, 700 * n as i64)),
        meanwhile: Meanwhile::OnBut(&[]),
        heal: right,
        guilty: &[],
    },
    Row {
        name: "one clock jumps to and fro by ten minutes, behind every block",
        short: false,
        inject: |field| {
            for n in 0..8 {
                set(field, 1, if n % 2 == 0 { HOUR_MS / 6 } else { -HOUR_MS / 6 });
                let height = field.highest();
                field.await_height_of(&[0, 2, 3], height + 1);
            }
        },
        meanwhile: Meanwhile::OnBut(&[]),
        heal: right,
        guilty: &[],
    },
];

#[test]
fn clocks_that_are_wrong_or_jump() {
    let Some(field) = crate::in_the_whole_set(NODES) else { return };
    if !field.has_pages() {
        return;
    }
    run("clock", &field, ROWS);
}
