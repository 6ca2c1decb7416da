//! Software that nobody here wrote, and what it makes of our credentials, presentations, status
//! lists, receipts and state proofs.
//!
//! `stock` holds the rows for npm's and PyPI's SD-JWT packages; `proofs` those for
//! `docs/spec/verify.mjs` on the vectors and on damaged ones, `spellings` those on what is right but
//! for its spelling, `live` those on what a real network gives, and `by_hand` the scripts of
//! `docs/verifying/by-hand.md` on the same; `one_ed25519` those about signatures on which verifiers
//! disagree. Everything that they need is installed by scripts/setup-interop.sh, but for `openssl`.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "interop/programs.rs"]
mod programs;

#[path = "interop/material.rs"]
mod material;

#[path = "interop/lists.rs"]
mod lists;

#[path = "interop/stock.rs"]
mod stock;

#[path = "interop/proofs.rs"]
mod proofs;

#[path = "interop/spellings.rs"]
mod spellings;

#[path = "interop/live.rs"]
mod live;

#[path = "interop/by_hand.rs"]
mod by_hand;

#[path = "interop/one_ed25519.rs"]
mod one_ed25519;

#[path = "interop/odd_signatures.rs"]
mod odd_signatures;
