//! Temporary.
#![allow(missing_docs, unreachable_pub, dead_code)]
extern crate self as symbolon_tests;
#[path = "../../tests/src/sim/mod.rs"]
pub mod sim;
#[path = "../../tests/tests/simulation.rs"]
mod simulation;
#[test]
fn zz_probe() {
    use sim::{Plan, Splits, run};
    for (name, plan) in [
        ("calm", Plan { chaos_ms: 20_000, ..Plan::calm(1, 4) }),
        ("twin", Plan { chaos_ms: 20_000, twins: 1, ..Plan::calm(1, 4) }),
        ("loss5", Plan { chaos_ms: 20_000, loss: 5, ..Plan::calm(1, 4) }),
        ("loss15", Plan { chaos_ms: 20_000, loss: 15, ..Plan::calm(1, 4) }),
        ("crash", Plan { chaos_ms: 20_000, crashes: true, ..Plan::calm(1, 4) }),
        ("split", Plan { chaos_ms: 20_000, splits: Splits::AtRandom, ..Plan::calm(1, 4) }),
        ("slow", Plan { chaos_ms: 20_000, delay_ms: 1500, ..Plan::calm(1, 4) }),
    ] {
        println!("{name}: {:?}", run(&plan));
    }
    let mut counts = std::collections::BTreeMap::new();
    for seed in 0..200 {
        let what = match run(&Plan { chaos_ms: 20_000, twins: 2, splits: Splits::AlongTheLiars, ..Plan::calm(seed, 4) }) { Ok(r) => { *counts.entry("heights".to_string()).or_insert(0) += r.height; "ok".to_string() }, Err(f) => f.what[..12].to_string() };
        *counts.entry(what).or_insert(0) += 1;
    }
    println!("{counts:?}");
}
#[test]
fn zz_long() {
    use sim::{Plan, run};
    let mut bad = 0;
    for seed in 10_000..14_000 { if let Err(f) = run(&Plan { chaos_ms: 30_000, ..Plan::rough(seed, 4) }) { println!("{f}"); bad += 1; } }
    for seed in 10_000..10_300 { if let Err(f) = run(&Plan { chaos_ms: 30_000, ..Plan::rough(seed, 7) }) { println!("{f}"); bad += 1; } }
    for seed in 10_000..10_030 { if let Err(f) = run(&Plan { chaos_ms: 30_000, ..Plan::rough(seed, 13) }) { println!("{f}"); bad += 1; } }
    assert_eq!(bad, 0);
}
