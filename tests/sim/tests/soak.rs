//! Fresh seeds for as long as one likes: `make soak SECONDS=3600`.
//!
//! Nothing is asserted on time: when the seconds are over, the runs that have begun end, and the
//! sum is printed. A failure prints the command that runs it again.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::time::{Duration, Instant, SystemTime};

use symbolon_sim::{Plan, Sum, sweep, twins::Case};

/// Runs of one batch: as many of each size as the sweep of `simulation.rs` has, in hundredths, and
/// two hundred cases of Twins.
const BATCH: [(usize, u64); 4] = [(4, 44), (7, 5), (10, 1), (32, 1)];
const TWINS: u64 = 200;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text}, not a number")))
}

fn batch(first: u64) -> impl Iterator<Item = Plan> + Send {
    let rough = BATCH
        .into_iter()
        .flat_map(move |(size, runs)| (0..runs).map(move |n| Plan::rough(first + n, size)));
    rough.chain((0..TWINS).map(move |n| Case::sampled(first + n).plan()))
}

#[test]
#[ignore = "lasts as long as SYMBOLON_SOAK says: make soak SECONDS=3600"]
fn fresh_seeds_hold_until_the_time_is_over() {
    let seconds = number("SYMBOLON_SOAK").unwrap_or(60);
    let fresh = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() << 20;
    let first = number("SYMBOLON_SEED").unwrap_or(fresh);
    println!("{seconds} seconds of seeds from {first} on");
    let (began, mut seed, mut sum) = (Instant::now(), first, Sum::default());
    while began.elapsed() < Duration::from_secs(seconds) {
        let batch = sweep(batch(seed)).unwrap_or_else(|failure| panic!("{failure}"));
        sum.join(&batch);
        seed += TWINS;
        println!("{} s, {} runs, {} heights", began.elapsed().as_secs(), sum.runs, sum.heights);
    }
    println!("{sum:?}");
}
