//! Real nodes under faults: processes in network namespaces, a load on them, and what must hold
//! whatever is done to them.
//!
//! A fault is a [`table::Row`]: how it is injected, what must hold meanwhile, how it is healed.
//! The rows are in `tests/faults/`, one file for each family. Those that are marked as short are a
//! first look, run on one network; with `SYMBOLON_FAULTS=whole` in the environment, as `make faults`
//! sets it, all of them run, longer, and every chain is executed again after each;
//! `SYMBOLON_FAULTS_ROWS=disk` runs those alone whose names have this word. Read [`field`] first, then
//! [`table`] and [`checks`].

pub mod field;

pub mod table;

pub mod checks;

pub mod load;

pub mod ear;

pub mod machine;

pub mod wires;

pub mod relay;

pub mod space;

pub mod cage;

pub mod preload;

use std::{io::Write as _, time::Duration};

/// How long a look at a node's height waits: a paused node takes the connection and says nothing.
const QUICK: Duration = Duration::from_millis(1_500);

/// Whether all rows are to run.
#[must_use]
pub fn whole() -> bool {
    std::env::var("SYMBOLON_FAULTS").is_ok_and(|set| set == "whole")
}

/// What the names of the rows to run have in common; nothing, unless `SYMBOLON_FAULTS_ROWS` says.
#[must_use]
pub fn wanted() -> String {
    std::env::var("SYMBOLON_FAULTS_ROWS").unwrap_or_default()
}

/// Says something to whoever watches the test, also when it passes.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A client of a node of this machine that waits so long for an answer of any status.
#[must_use]
pub fn agent_of(patience: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(patience))
        .proxy(None)
        .build()
        .into()
}

fn quick_agent() -> ureq::Agent {
    agent_of(QUICK)
}
