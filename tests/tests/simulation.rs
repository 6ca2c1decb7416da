//! Seeded runs of whole networks: see `symbolon_tests::sim`.
//!
//! A failure prints its seed; `SYMBOLON_SEED=n cargo test --release -p symbolon-tests --test
//! simulation` replays that seed alone, in every size. `SYMBOLON_SEEDS=n` runs so many seeds over
//! four nodes instead of a thousand.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use symbolon_tests::sim::{Plan, Report, Splits, run};

/// Seeds of the sweep over four nodes.
const SEEDS: u64 = 1_000;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text}, not a number")))
}

/// The seeds to run: all, or the one that the caller wants to see again.
fn seeds(all: std::ops::Range<u64>) -> Vec<u64> {
    match number("SYMBOLON_SEED") {
        Some(seed) => vec![seed],
        None => all.collect(),
    }
}

fn holds(plan: &Plan) -> Report {
    run(plan).unwrap_or_else(|failure| panic!("{failure}"))
}

/// What a sweep has met, so that a sweep in which nothing goes wrong is noticed.
#[derive(Debug, Default)]
struct Sum {
    heights: u64,
    transactions: u64,
    rounds: u32,
    crashes: u64,
    replays: u64,
    synced: u64,
    evidence: u64,
    held: u64,
}

fn sweep(plans: impl IntoIterator<Item = Plan>) -> Sum {
    let mut sum = Sum::default();
    for plan in plans {
        let report = holds(&plan);
        sum.heights += report.height;
        sum.transactions += report.transactions;
        sum.rounds = sum.rounds.max(report.round);
        sum.crashes += report.crashes;
        sum.replays += report.replays;
        sum.synced += report.synced;
        sum.evidence += report.evidence;
        sum.held += report.held;
    }
    println!("{sum:?}");
    sum
}

#[test]
fn four_nodes_agree_in_a_thousand_rough_runs() {
    let seeds = seeds(0..number("SYMBOLON_SEEDS").unwrap_or(SEEDS));
    let all = seeds.len() as u64 >= SEEDS;
    let sum = sweep(seeds.into_iter().map(|seed| Plan::rough(seed, 4)));
    if all {
        assert!(sum.crashes > 1_000 && sum.replays > 500, "too few crashes: {sum:?}");
        assert!(sum.transactions > 10_000, "too few transactions: {sum:?}");
        assert!(sum.evidence > 100, "too few liars were caught: {sum:?}");
        assert!(sum.synced > 1_000 && sum.held > 10 && sum.rounds > 3, "too calm: {sum:?}");
    }
}

#[test]
fn seven_nodes_agree_in_rough_runs() {
    sweep(seeds(0..60).into_iter().map(|seed| Plan::rough(seed, 7)));
}

#[test]
fn thirty_two_nodes_agree() {
    let plan = |seed| Plan { chaos_ms: 8_000, crashes: true, ..Plan::rough(seed, 32) };
    sweep(seeds(0..6).into_iter().map(plan));
}

#[test]
fn every_signature_is_checked_from_its_bytes() {
    let exact = |seed, validators| Plan { exact: true, ..Plan::rough(seed, validators) };
    sweep(seeds(0..20).into_iter().map(|seed| exact(seed, 4)));
    sweep(seeds(0..2).into_iter().map(|seed| exact(seed, 7)));
}

#[test]
fn a_height_may_last_for_any_number_of_rounds() {
    for seed in seeds(0..3) {
        let report = holds(&Plan::stuck(seed));
        assert!(report.round > 64, "the height ended too early: {report:?}");
    }
}

#[test]
fn a_calm_network_needs_one_round_a_height() {
    let report = holds(&Plan::calm(7, 4));
    assert_eq!((report.round, report.crashes, report.evidence), (0, 0, 0));
    assert!(report.height >= 3);
}

/// What the first failing seed breaks.
fn first_failure(plans: impl IntoIterator<Item = Plan>) -> String {
    let failure = plans.into_iter().find_map(|plan| run(&plan).err());
    failure.expect("the simulation has lost its teeth: nothing was noticed").what
}

#[test]
fn a_disk_that_forgets_what_was_flushed_is_noticed() {
    let plans = (0..200).map(|seed| Plan {
        lying_disks: true,
        crashes: true,
        twins: 0,
        ..Plan::rough(seed, 4)
    });
    let what = first_failure(plans);
    assert!(what.contains("contradicted itself"), "{what}");
}

#[test]
fn more_liars_than_a_third_are_noticed() {
    // With half of the seats lying, a run may also stand still; that alone would be no fork.
    let plan = |seed| Plan { twins: 2, splits: Splits::AlongTheLiars, ..Plan::rough(seed, 4) };
    let failures = (0..200).filter_map(|seed| run(&plan(seed)).err());
    let forks = failures.filter(|failure| failure.what.starts_with("fork")).count();
    assert!(forks > 0, "the simulation has lost its teeth: no fork in 200 runs");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in seeds(0..10) {
        for plan in [Plan::rough(seed, 4), Plan::rough(seed, 7)] {
            assert_eq!(holds(&plan), holds(&plan));
        }
    }
    let history = |seed| holds(&Plan::calm(seed, 4)).history;
    assert_ne!(history(1), history(2));
}
