//! A crash at every write point: before every single effect of a node, one run for each.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use symbolon_sim::{Plan, run, sweep};

/// Effects of a node in the quiet heights that it is given before the network heals; later ones
/// are repetitions.
const EFFECTS: u64 = 160;
/// The nodes that crash: in four heights each of them has its turn to propose.
const NODES: usize = 2;

#[test]
fn a_crash_before_any_effect_loses_nothing_and_contradicts_nothing() {
    let plans =
        (0..NODES).flat_map(|node| (0..EFFECTS).map(move |effect| Plan::crash_at(node, effect)));
    let sum = sweep(plans).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{sum:?}");
    assert_eq!(sum.crashes, sum.runs, "every one of them crashed: {sum:?}");
    assert!(sum.replays > sum.runs / 2 && sum.torn > 0, "{sum:?}");
}

#[test]
fn a_node_that_does_not_crash_there_goes_on() {
    let report = run(&Plan { crash_at: None, ..Plan::crash_at(0, 1) }).unwrap();
    assert_eq!((report.crashes, report.replays), (0, 0));
}
