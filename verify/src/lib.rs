//! What a third party needs to check anything the network says, and nothing more.
//!
//! It takes bytes and a few trusted facts, and gives checked values that cannot be made otherwise,
//! or the one reason why not. No network, clock, file or randomness: whoever calls says what time
//! it is and brings the bytes. It never asks an issuer anything.
//!
//! Read in this order: [`trust`] (what is believed, and headers checked against it), [`receipt`]
//! (a transaction is final), [`state_proof`] (what stood in the state), [`status_list`] (whose list
//! it is, and whether it tells the truth), [`verdict`] (the one answer for people and machines),
//! [`view`] (the records that an answer rests on), [`judge`] (how the answer is found), [`showing`]
//! (the holder's part of it), [`display`] (claims as people are shown them), [`instant`] (and
//! times), [`offline`] (the same answer with no node to ask).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod trust;

pub mod receipt;

pub mod state_proof;

pub mod status_list;

pub mod verdict;

pub mod view;

pub mod judge;

pub mod showing;

pub mod display;

pub mod instant;

pub mod offline;

mod listed;

mod naming;

mod message;

#[cfg(test)]
mod samples;
