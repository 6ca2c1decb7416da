//! Simulation, multi-process, HTTP, interop, vectors, benches.

pub mod devnet;

pub mod personal;

pub mod sim;

pub mod elc1;

pub mod bench;
