//! Every vice of `symbolon_sim::byzantine`, alone, as often as there may be liars: survived, and
//! noticed where it leaves a trace.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use symbolon_sim::{Plan, Sum, Vice, run, sweep};

/// Seeds of each vice over four seats, and over seven.
const SEEDS: (u64, u64) = (40, 6);

fn all_hold(vice: Vice) -> Sum {
    let four = (0..SEEDS.0).map(move |seed| Plan::with_vice(vice, seed, 4));
    let seven = (0..SEEDS.1).map(move |seed| Plan::with_vice(vice, seed, 7));
    let plans: Vec<Plan> = four.chain(seven).collect();
    sweep(plans).unwrap_or_else(|failure| panic!("{vice:?}: {failure}"))
}

/// What a vice leaves behind.
enum Trace {
    /// Two signed messages that exclude each other; they end up on the chain.
    Evidence,
    /// Messages or blocks for which whoever sent them is blamed.
    Blame,
    /// Nothing that could be held against it.
    Nothing,
}

#[test]
fn every_vice_is_survived_and_noticed_where_it_leaves_a_trace() {
    for vice in Vice::ALL {
        let sum = all_hold(vice);
        println!("{vice:?}: {sum:?}");
        assert!(sum.lowest >= 10, "{vice:?}: {sum:?}");
        let trace = match vice {
            Vice::Twin | Vice::EquivocatingProposer | Vice::EquivocatingVoter => Trace::Evidence,
            Vice::Schemer => Trace::Evidence,
            Vice::Forger | Vice::Impersonator | Vice::Flooder => Trace::Blame,
            Vice::LyingSyncPeer | Vice::BadBuilder | Vice::Replayer => Trace::Blame,
            Vice::Amnesiac | Vice::SilentLeader | Vice::Withholder => Trace::Nothing,
            Vice::SelectiveSender | Vice::NilSpammer | Vice::Mute => Trace::Nothing,
        };
        match trace {
            Trace::Evidence => {
                assert!(sum.evidence > 10, "{vice:?} was not caught: {sum:?}");
                assert!(sum.convicted > 5, "the chain does not name {vice:?}: {sum:?}");
            }
            Trace::Blame => assert!(sum.blamed > 10, "{vice:?} was not blamed: {sum:?}"),
            Trace::Nothing => {}
        }
    }
}

#[test]
fn one_mute_seat_too_many_stops_the_chain_and_forks_nothing() {
    for seed in 0..5 {
        let plan = Plan { liars: vec![Vice::Mute; 2], fragile: 0, ..Plan::rough(seed, 4) };
        let failure = run(&plan).unwrap_err();
        assert!(failure.what.starts_with("no progress"), "{failure}");
    }
}

#[test]
fn nobody_is_blamed_or_accused_where_nobody_lies() {
    let honest = |seed| Plan { liars: Vec::new(), ..Plan::rough(seed, 4) };
    let sum = sweep((0..200).map(honest)).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!((sum.evidence, sum.blamed), (0, 0), "{sum:?}");
}
