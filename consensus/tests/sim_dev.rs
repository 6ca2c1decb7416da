//! Temporary.
#![allow(missing_docs, unreachable_pub, dead_code)]
extern crate self as symbolon_tests;
#[path = "../../tests/src/sim/mod.rs"]
pub mod sim;
#[path = "../../tests/tests/simulation.rs"]
mod simulation;
