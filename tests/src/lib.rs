//! Simulation, multi-process, HTTP, interop, vectors, benches.

pub mod devnet;

pub mod faults;

pub mod sim;

pub mod elc1;

pub mod status_bench;
