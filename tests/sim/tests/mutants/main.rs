//! Would the suite notice? Every deliberate break of `symbolon_ledger::mutants` is switched on, one
//! at a time, and must be caught: by the runs that `simulation.rs` is made of, or by a check of one
//! rule where no liar can bring the break about. What catches it is written beside it.
//!
//! Built with the feature `mutants`, in a cargo call of its own (`scripts/mutants.sh`).

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod alone;

mod probes;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

use symbolon_ledger::mutants::{ALL, MARKER, Mutant, choose};
use symbolon_sim::{Plan, Splits, Vice, founding::Founding, run, twins::Case};

/// Most runs until a break must have been noticed.
const MOST_RUNS: u64 = 400;

/// What catches a break.
#[derive(Debug, Clone, Copy)]
enum Catch {
    /// The first of these runs that fails.
    Runs(fn(u64) -> Plan),
    /// One rule, checked where it is kept.
    Rule(fn() -> Result<(), String>),
}

/// What catches which break, and a part of what is then said.
fn caught_by(mutant: Mutant) -> (Catch, &'static str) {
    use Catch::{Rule, Runs};
    use Mutant as M;
    match mutant {
        M::QuorumInRounds => (Runs(calm), "the certificate of height"),
        M::QuorumInCertificates => (Runs(lying_sync_peer), "which decides nothing"),
        M::LockDropped => (Runs(schemer), "fork"),
        M::FsyncSkipped => (Runs(crashes), "contradicted itself"),
        M::SentBeforeFsync => (Runs(crashes), "contradicted itself"),
        M::LogNotReplayed => (Runs(crashes), "contradicted itself"),
        M::MarkIgnored => (Runs(restored), "contradicted itself"),
        M::WatchSkipped => (Runs(restored), "contradicted itself"),
        M::BodyNotStored => (Runs(crashes), "without its body"),
        M::DomainTagDropped => (Runs(replayer), "for what"),
        M::ChainDropped => (Runs(replayer), "for what"),
        M::RoundDropped => (Runs(replayer), "for what"),
        M::MembersOfAnotherHeight => (Runs(governs), "blames honest node"),
        M::SignersCountedTwice => (Runs(forger), "voters for enough"),
        M::TurnIgnored => (Runs(bad_builder), "propose out of turn"),
        M::ProposerIgnored => (Runs(bad_builder), "it was the turn of"),
        M::TimeIgnored => (Runs(bad_builder), "time runs backwards"),
        M::StateRootIgnored => (Runs(bad_builder), "has state root"),
        M::GuardDropped => (Runs(council), "and leaves"),
        M::ApprovalsTooFew => (Runs(council), "too few have approved"),
        M::VotesByNumber => (Rule(probes::a_vote_counts_for_the_action_it_names), "for another"),
        M::ReplayWindowIgnored => (Runs(rough), "valid until"),
        M::ReplayIgnored => (Runs(rough), "stands at heights"),
        M::SignerIgnored => (Rule(probes::a_transaction_counts_for_its_signer), "another's key"),
        M::EndedKeysTaken => (Rule(probes::an_ended_key_signs_nothing), "an ended key"),
        M::WeakKeysTaken => (Rule(probes::weak_keys_are_refused), "small order"),
        M::LooseSignatures => (Rule(probes::signatures_have_one_answer), "case 2"),
        M::AbsenceUnchecked => (Rule(probes::what_is_there_is_not_absent), "proved absent"),
        M::SecondSpellingTaken => (Rule(probes::a_value_has_one_spelling), "second spelling"),
        M::LeavesHashedAsNodes => (Rule(probes::a_leaf_is_no_node), "passes for a leaf"),
    }
}

fn calm(seed: u64) -> Plan {
    Plan::calm(seed, 4)
}

fn rough(seed: u64) -> Plan {
    Plan::rough(seed, 4)
}

/// Nobody keeps a mark: the log alone has to do.
fn crashes(seed: u64) -> Plan {
    Plan {
        liars: Vec::new(),
        fragile: 0,
        marks: false,
        crashes: true,
        loss: 15,
        ..Plan::rough(seed, 4)
    }
}

/// Disks are set up anew, or come back as they were once; so the mark has to do.
fn restored(seed: u64) -> Plan {
    Plan { liars: Vec::new(), fragile: 1, marks: true, loss: 15, ..Plan::rough(seed, 4) }
}

/// Provinces decide on the set, where it has no validator to spare.
fn council(seed: u64) -> Plan {
    Plan { liars: Vec::new(), fragile: 0, governs: true, ..Plan::rough(seed, 4) }
}

fn governs(seed: u64) -> Plan {
    Plan { liars: Vec::new(), fragile: 0, governs: true, ..Plan::rough(seed, 7) }
}

/// One decides, the others are locked, and a liar leads who has something new for them.
fn schemer(seed: u64) -> Plan {
    Plan {
        crashes: false,
        pauses: false,
        trouble: false,
        jumpers: 0,
        chaos_ms: 20_000,
        delay_ms: 60,
        loss: 30,
        splits: Splits::Never,
        ..Plan::with_vice(Vice::Schemer, seed, 4)
    }
}

fn twins(seed: u64) -> Plan {
    Case::sampled(seed).plan()
}

fn lying_sync_peer(seed: u64) -> Plan {
    Plan { splits: Splits::AtRandom, ..Plan::with_vice(Vice::LyingSyncPeer, seed, 4) }
}

fn replayer(seed: u64) -> Plan {
    Plan::with_vice(Vice::Replayer, seed, 4)
}

fn forger(seed: u64) -> Plan {
    Plan::with_vice(Vice::Forger, seed, 4)
}

fn bad_builder(seed: u64) -> Plan {
    Plan::with_vice(Vice::BadBuilder, seed, 4)
}

/// A run, in which a panic is a failure too.
fn attempt(plan: &Plan) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(|| run(plan))) {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(failure)) => Err(failure.what),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Err(format!("panic: {}", said.unwrap_or_default()))
        }
    }
}

/// Switches a break on and gives what noticed it and what was said. Without the break, the very
/// same must hold.
fn notice(mutant: Mutant, by: Catch) -> Result<(String, String), String> {
    let without = |said: String| format!("it fails without the break: {said}");
    match by {
        Catch::Rule(rule) => {
            rule().map_err(without)?;
            choose(Some(mutant));
            let said = rule().err().ok_or("not noticed")?;
            Ok(("a rule".to_owned(), said))
        }
        Catch::Runs(plan_of) => {
            choose(Some(mutant));
            let failing = (0..MOST_RUNS).map(plan_of).find_map(|plan| {
                let said = attempt(&plan).err()?;
                Some((plan, said))
            });
            let (plan, said) = failing.ok_or("not noticed in so many runs")?;
            choose(None);
            attempt(&plan).map_err(without)?;
            Ok((plan.name, said))
        }
    }
}

fn catch(mutant: Mutant) -> Result<String, String> {
    let (by, expected) = caught_by(mutant);
    let (by, said) = notice(mutant, by)?;
    if said.contains(expected) {
        Ok(format!("{by}: {said}"))
    } else {
        Err(format!("noticed by {by} as {said:?}, expected {expected:?}"))
    }
}

#[test]
fn every_deliberate_break_is_caught() {
    assert!(ALL.len() >= 12);
    // What all runs share is made before anything is broken.
    let founded = [4, 7].map(Founding::of);
    assert_eq!(founded.map(|founding| founding.seats()), [4, 7]);
    let mut missed = Vec::new();
    thread::scope(|scope| {
        let catching: Vec<_> = ALL
            .iter()
            .map(|(mutant, does)| (mutant, does, scope.spawn(move || catch(*mutant))))
            .collect();
        for (mutant, does, thread) in catching {
            match thread.join().unwrap() {
                Ok(by) => println!("{mutant:?}:{does}\n    caught by {by:.200}"),
                Err(why) => missed.push(format!("{mutant:?}: {why}")),
            }
        }
    });
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn without_a_break_the_same_runs_hold() {
    choose(None);
    for plan_of in [
        rough,
        crashes,
        restored,
        council,
        governs,
        twins,
        lying_sync_peer,
        replayer,
        forger,
        bad_builder,
        schemer,
    ] {
        for plan in (0..10).map(plan_of) {
            assert_eq!(attempt(&plan), Ok(()), "{}", plan.name);
        }
    }
}

/// What `tests/tests/shipped.rs` looks for in the programs that are shipped is in this one.
#[test]
fn a_program_that_can_break_itself_says_so() {
    let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let marker = MARKER.as_bytes();
    assert!(bytes.windows(marker.len()).any(|window| window == marker));
}
