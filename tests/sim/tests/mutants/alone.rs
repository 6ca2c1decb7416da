//! Which fault brings which break to light by itself: for the table in `docs/reliability.md`.

use symbolon_ledger::mutants::{ALL, Mutant, choose};
use symbolon_sim::{Plan, Splits, Vice};

use crate::{Catch, attempt, caught_by};

/// Runs in which a fault alone has the chance to bring a break to light.
const RUNS: u64 = 10;

/// What goes wrong in a plan in which nothing else does.
type Fault = fn(&mut Plan);

const FAULTS: [(&str, Fault); 21] = [
    ("nothing", |_| {}),
    ("loss", |p| p.loss = 30),
    ("delay", |p| p.delay_ms = 1_500),
    ("repeats", |p| p.repeats = 20),
    ("in two", |p| p.splits = Splits::AtRandom),
    ("along the liars", |p| p.splits = Splits::AlongTheLiars),
    ("one way", |p| p.splits = Splits::OneWay),
    ("in part", |p| p.splits = Splits::Partial),
    ("flapping", |p| p.splits = Splits::Flapping),
    ("eclipse", |p| p.splits = Splits::Eclipse),
    ("crashes", |p| p.crashes = true),
    ("crashes, no mark", |p| (p.crashes, p.marks) = (true, false)),
    ("pauses", |p| p.pauses = true),
    ("disk trouble", |p| p.trouble = true),
    ("disk trouble, no mark", |p| (p.trouble, p.marks) = (true, false)),
    ("damage and backups", |p| p.fragile = 1),
    ("skew", |p| p.skew_ms = 1_500),
    ("drift", |p| p.drift_ppm = 500),
    ("jumps", |p| p.jumpers = 1),
    ("governance", |p| p.governs = true),
    ("no transactions", |p| p.wishes = false),
];

fn quiet(seed: u64) -> Plan {
    Plan { chaos_ms: 12_000, least: 10, ..Plan::calm(seed, 4) }
}

/// Breaks that it takes nothing to bring to light, so that every fault does.
const OBVIOUS: [Mutant; 4] = [
    Mutant::QuorumInRounds,
    Mutant::BodyNotStored,
    Mutant::ReplayWindowIgnored,
    Mutant::ReplayIgnored,
];

fn show(fault: &str, plan_of: impl Fn(u64) -> Plan) {
    let shows = |mutant: Mutant| {
        if OBVIOUS.contains(&mutant) || matches!(caught_by(mutant).0, Catch::Rule(_)) {
            return false;
        }
        choose(Some(mutant));
        let fails = (0..RUNS).any(|seed| attempt(&plan_of(seed)).is_err());
        choose(None);
        fails
    };
    let shown: Vec<_> = ALL.iter().map(|(mutant, _)| *mutant).filter(|m| shows(*m)).collect();
    println!("{fault}: {shown:?}");
}

#[test]
#[ignore = "takes minutes and asserts nothing: for the table in docs/reliability.md"]
fn what_each_fault_brings_to_light_by_itself() {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (fault, add) in FAULTS {
                show(fault, |seed| {
                    let mut plan = quiet(seed);
                    add(&mut plan);
                    plan
                });
            }
        });
        scope.spawn(|| {
            for vice in Vice::ALL {
                let plan_of = |seed| Plan { liars: vec![vice], ..quiet(seed) };
                show(&format!("{vice:?}"), plan_of);
                let loss = |seed| Plan { loss: 30, splits: Splits::AtRandom, ..plan_of(seed) };
                show(&format!("{vice:?}, loss and splits"), loss);
            }
        });
    });
}
