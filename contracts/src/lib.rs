//! The deterministic rules: who may do what to which licence.
//!
//! # The rule book
//!
//! - **A transaction** is for one chain, applies within a window of 10,000 heights, once, under
//!   a valid transaction key of a province or of an active agency. All of its operations apply,
//!   or none.
//! - **An agency** issues licences of the types in its scope, signed with a credential key of its
//!   own, in a status slot granted to it that no licence ever used. No two licences in force
//!   share a lineage of one agency. It suspends, resumes, revokes and releases what it issued,
//!   and what an agency issued whose successor it is. It rotates its own keys and reserves its
//!   own slots, as far as a stolen key may do so without harm to its province or to the agency's
//!   future.
//! - **A province** registers and stops its agencies, sets their scopes, adds and ends their keys,
//!   declares keys stolen, names successors, suspends or revokes any licence of its agencies,
//!   names its status key, and says which provinces' licences it recognises. It issues nothing.
//! - **The provinces together** decide who takes part, who votes under which key, what the catalogue
//!   and the parameters say, and when a new rule begins: by more than two thirds of those that have
//!   a validator, before the proposal expires, once. No decision leaves fewer than four validators,
//!   or a set of which the known ones are no quorum. Who signed against itself is on record; what
//!   follows of it they decide.
//! - **Final is final**: a superseded or revoked licence, a deregistered agency, a removed province,
//!   a decided proposal, a used slot, a number and a public key of an actor never come back.
//!
//! Everything here is a pure function of the state after the parent block, the height and the
//! transaction. There is no clock: dates of validity and of recognition are held against the time
//! of verification, by whoever verifies. Who orders transactions is `consensus`, where the state
//! rests is `node`; this crate reads it through [`StateView`] and hands back [`Changes`].
//!
//! Read in this order: [`view`] (what is read and written), `transaction` (who may speak),
//! `licence`, `slots`, `agency`, `keys`, `recognition`, [`governance`] with [`action`] and
//! [`evidence`] (the groups of operations), [`feature`] (rules that begin later), [`rejection`] and
//! [`event`] (what comes of it), [`invariants`] (what then always holds).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod view;

mod transaction;

pub mod licence;

pub mod slots;

mod agency;

pub mod keys;

mod recognition;

pub mod governance;

pub mod action;

pub mod evidence;

pub mod feature;

pub mod rejection;

pub mod event;

pub mod invariants;

pub use event::Event;
pub use rejection::{ApplyError, Rejection, RejectionCode};
pub use transaction::{
    BlockContext, MAX_BOUNDED_OPERATIONS, apply_transaction, is_heavy, signer_key, try_transaction,
};
pub use view::{Changes, Overlay, StateFault, StateView, read};
