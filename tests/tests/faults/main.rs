//! Faults of real nodes: processes in network namespaces under load, one table of faults for each
//! family, and the invariants I1 to I10 checked from outside after each.
//!
//! `make test` runs the short set, `make faults` the whole. How a row is run is in
//! `tests/src/faults/table.rs`. Not here: lying nodes and exhaustive schedules (the simulator),
//! and hostile strangers (`doors`). Where this user may not make namespaces, all is skipped.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(missing_docs, reason = "tests say what they check in their names")]

mod clock;
mod disk;
mod files;
mod links;
mod process;

/// Nodes of a network, but where a row needs seven.
const NODES: usize = 4;
