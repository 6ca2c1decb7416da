//! Seeded runs of whole networks: see `symbolon_sim`.
//!
//! A failure prints its name and the command that runs it again: `SYMBOLON_REPLAY=rough/4/17`.
//! `make soak SECONDS=3600` goes on with fresh seeds for as long as it is told to.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use symbolon_sim::{Plan, Report, Splits, Sum, Vice, run, sweep};

/// Runs over four, seven, ten and thirty-two seats.
const SIZES: [(usize, u64); 4] = [(4, 4_400), (7, 500), (10, 80), (32, 20)];

fn holds(plan: &Plan) -> Report {
    run(plan).unwrap_or_else(|failure| panic!("{failure}"))
}

fn all_hold(plans: impl IntoIterator<Item = Plan, IntoIter: Send>) -> Sum {
    let began = std::time::Instant::now();
    let sum = sweep(plans).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{:.1} s: {sum:?}", began.elapsed().as_secs_f32());
    sum
}

/// The plans of one size.
fn rough((validators, seeds): (usize, u64)) -> impl Iterator<Item = Plan> {
    (0..seeds).map(move |seed| Plan::rough(seed, validators))
}

#[test]
fn four_seats_agree_in_thousands_of_rough_runs() {
    let sum = all_hold(rough(SIZES[0]));
    assert!(sum.runs == SIZES[0].1 && sum.lowest >= 10, "{sum:?}");
    assert!(sum.crashes > 5_000 && sum.replays > 2_000 && sum.torn > 100, "few crashes: {sum:?}");
    assert!(sum.refused > 100 && sum.flips > 100 && sum.anew > 100, "good disks: {sum:?}");
    assert!(sum.transactions > 50_000, "too few transactions: {sum:?}");
    assert!(sum.evidence > 100 && sum.blamed > 1_000, "too few liars were caught: {sum:?}");
    assert!(sum.synced > 1_000 && sum.held > 10 && sum.round > 3, "too calm: {sum:?}");
    assert!(sum.jumps > 100 && sum.pauses > 1_000, "clocks and machines are too good: {sum:?}");
    assert!(sum.restored > 100, "disks never come back as they were: {sum:?}");
    assert!(sum.changes > 2_000 && sum.convicted > 500, "the provinces decide nothing: {sum:?}");
}

#[test]
fn larger_networks_agree_in_rough_runs() {
    for size in &SIZES[1..] {
        let sum = all_hold(rough(*size));
        assert!(sum.runs == size.1 && sum.lowest >= 10, "{sum:?}");
        assert!(sum.crashes > 0 && sum.blamed > 0, "too calm: {sum:?}");
    }
}

#[test]
fn a_height_may_last_for_any_number_of_rounds() {
    for seed in 0..3 {
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
        liars: Vec::new(),
        fragile: 0,
        ..Plan::rough(seed, 4)
    });
    let what = first_failure(plans);
    assert!(what.contains("contradicted itself"), "{what}");
}

#[test]
fn more_liars_than_a_third_are_noticed() {
    // With half of the seats lying, a run may also stand still; that alone would be no fork.
    let plan = |seed| Plan {
        liars: vec![Vice::Twin; 2],
        fragile: 0,
        splits: Splits::AlongTheLiars,
        ..Plan::rough(seed, 4)
    };
    let failures = (0..200).filter_map(|seed| run(&plan(seed)).err());
    let forks = failures.filter(|failure| failure.what.starts_with("fork")).count();
    assert!(forks > 0, "the simulation has lost its teeth: no fork in 200 runs");
}

/// Plans whose histories must always be the same.
fn repeated() -> Vec<Plan> {
    let rough = (0..8).flat_map(|seed| [Plan::rough(seed, 4), Plan::rough(seed, 7)]);
    rough.chain([Plan::rough(1, 10), Plan::rough(0, 32)]).collect()
}

fn histories() -> String {
    repeated().iter().map(|plan| format!("{} {}\n", plan.name, holds(plan).history)).collect()
}

#[test]
fn the_same_seed_is_the_same_run() {
    let first = histories();
    let threads: Vec<_> = (0..2).map(|_| std::thread::spawn(histories)).collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), first, "on another thread");
    }
    // Another process has other addresses and other seeds of its hash maps.
    let program = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new(program);
    command.args(["print_the_histories", "--exact", "--nocapture", "--include-ignored"]);
    let output = command.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains(&first), "in another process: {printed}\nhere: {first}");
    let history = |seed| holds(&Plan::calm(seed, 4)).history;
    assert_ne!(history(1), history(2));
}

#[test]
#[ignore = "asked for by the test above, in a process of its own"]
fn print_the_histories() {
    println!("\n{}", histories());
}

/// Runs one plan again, by its name in `SYMBOLON_REPLAY`.
#[test]
fn replay() {
    let Ok(name) = std::env::var("SYMBOLON_REPLAY") else { return };
    let plan = Plan::named(&name).unwrap_or_else(|| panic!("no plan is called {name}"));
    println!("{:#?}", holds(&plan));
}
