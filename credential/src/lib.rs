//! The licence a citizen holds: identifiers, claims, the SD-JWT VC that carries them.
//!
//! Personal data stops here. Nothing in this crate shows a claim's value in a `Debug` form or in
//! an error, and what it hands to the ledger (a digest, a slot, a lineage tag) names nobody.
//!
//! It does not read the ledger, hold a clock, or make randomness: times, salts and keys are
//! arguments. Whether a credential is good is judged in `symbolon-verify`.
//!
//! Read in this order: [`date`] and [`identifier`] (the smallest words), [`claims`] (what a
//! licence says and when an agency may say it), [`sd_jwt`] (how it is written, signed and read),
//! [`elc1`] (the same as the text of a QR code), [`lineage`] (how renewals of one licence are
//! linked on the ledger without naming it), [`status_list`] (whether many licences stand, in one
//! signed list for stock software),
//! [`encoding`] (the two strict decoders beneath), [`long_text`] (how a proof stands in JSON).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod date;

pub mod identifier;

pub mod claims;

pub mod sd_jwt;

pub mod elc1;

pub mod lineage;

pub mod status_list;

pub mod encoding;

pub mod long_text;

#[cfg(test)]
mod samples;
