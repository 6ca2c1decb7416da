//! Joining by snapshot: over real connections from several peers, of which one lies, and between
//! real processes of which some have dropped their past.
//!
//! Not here: what a snapshot is and that no part of it can be altered (`snapshots.rs`).

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "joining/peers.rs"]
mod peers;
#[path = "joining/processes.rs"]
mod processes;
