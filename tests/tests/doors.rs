//! Doors: what a stranger, a neighbour on the machine, or a greedy agency may not do.
//!
//! Each file is one door: [`keys`] (who reads a private key), [`requests`] (HTTP that is slow, huge,
//! endless or too much), [`share`] (one agency against the others). The peer-to-peer network's
//! doors need raw connections and are in `node/tests/network.rs` and `node/tests/network_doors`.
//! What a citizen's data may not reach is in `privacy.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(clippy::panic, reason = "a test fails by panicking")]
#![allow(missing_docs, reason = "tests say what they check in their names")]

#[path = "http/support.rs"]
#[allow(dead_code, reason = "made for the tests of the outside interface; some is used here")]
mod support;

#[path = "doors/keys.rs"]
mod keys;

#[path = "doors/requests.rs"]
mod requests;

#[path = "doors/share.rs"]
mod share;
