//! The rules of the ledger, through their public door: tables of every combination, one case for
//! every rejection, and properties that hold of any sequence of transactions.
//!
//! Not here: how blocks are made of transactions (`simulation.rs`, `cluster.rs`), and how the
//! state is hashed (`state_proofs.rs`).

#![allow(clippy::unwrap_used, clippy::panic)]

mod world;

mod licences;

mod registries;

mod keys;

mod governance;

mod governance_cases;

mod governance_stories;

mod evidence;

mod rejections;

mod limits;

mod faults;

mod properties;
