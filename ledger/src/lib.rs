//! The nouns of the chain: what is signed, hashed, proved and kept.
//!
//! This crate fixes names and bytes and decides nothing: who may do what is `contracts`, how the
//! provinces agree is `consensus`, how a proof is checked is `verify`. It holds no personal data
//! and has no place to put any: licence operations carry codes, digests and dates.
//!
//! Read in this order: [`hash`] and [`codec`] (how anything becomes bytes), [`codes`] and
//! [`keys`] (the smallest nouns), [`operation`] and [`transaction`] (what an agency says),
//! [`block`], [`vote`], [`validators`] and [`certificate`] (what the provinces agree on),
//! [`governance`] (what they decide about themselves), [`state`] and [`records`] (what is then
//! true), [`status_page`] (what follows of it for status
//! lists), [`log`] and `tree` (how it is committed to), [`receipt`], [`state_proof`],
//! [`inclusion`] and [`trust_bundle`] (how it is shown to a stranger).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod hash;

pub mod codec;

pub mod codes;

pub mod keys;

pub mod catalogue;

pub mod operation;

pub mod transaction;

pub mod validators;

pub mod vote;

pub mod governance;

pub mod certificate;

pub mod block;

pub mod state;

pub mod records;

pub mod status_page;

pub mod log;

#[cfg(feature = "tree")]
pub mod tree;

pub mod receipt;

pub mod state_proof;

pub mod inclusion;

pub mod trust_bundle;
