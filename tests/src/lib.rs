//! Simulation, multi-process, HTTP, interop, vectors, benches.

pub mod devnet;

pub mod agency;

pub mod faults;

pub mod personal;

pub use symbolon_sim as sim;

pub mod elc1;

pub mod bench;

pub mod chain;
