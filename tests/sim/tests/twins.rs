//! Twenty thousand cases of Twins: see `symbolon_sim::twins`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use symbolon_sim::{
    run, sweep,
    twins::{Case, ENUMERATED, HEIGHTS},
};

/// Cases that chance makes, beside those that are enumerated.
const SAMPLED: u64 = 4_000;

#[test]
fn a_pair_of_twins_forks_nothing_however_the_network_falls_apart() {
    let began = std::time::Instant::now();
    let enumerated = (0..ENUMERATED).map(Case::enumerated);
    let cases = enumerated.chain((0..SAMPLED).map(Case::sampled));
    let sum = sweep(cases.map(Case::plan)).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{:.1} s: {sum:?}", began.elapsed().as_secs_f32());
    assert!(sum.runs >= 20_000 && sum.lowest >= HEIGHTS, "{sum:?}");
    assert!(sum.evidence > 10_000 && sum.round >= 4, "too calm: {sum:?}");
}

#[test]
fn the_same_case_is_the_same_run() {
    for case in [Case::enumerated(12_345), Case::sampled(7)] {
        let plan = case.plan();
        assert_eq!(run(&plan).unwrap(), run(&plan).unwrap());
    }
}
