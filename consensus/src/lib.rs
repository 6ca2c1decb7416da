//! The BFT round as pure logic: no clock, no IO, no randomness.
//!
//! Ordering is Tendermint's round (propose, prevote, precommit) as Malachite's core implements
//! it. This crate is the host of that core: it gives it the ledger's types, makes and checks
//! signatures, keeps the rules of the log, and turns its wishes into plain effects. Only this
//! crate names Malachite. It never sees a transaction: blocks are headers and hashes here.
//!
//! # How to drive it
//!
//! One owner, one loop: take an input, [`Host::step`] it with the wall clock, execute the
//! effects **in order, each finished before the next**, then take the next input.
//!
//! ```text
//! input ──► Host::step(now_ms, input) ──► [WalAppend, WalAppend, WalFlush, Publish, ScheduleTimer]
//! ```
//!
//! The order carries the safety. `WalFlush` (fsync) stands before every `Publish`, `Decide` and
//! `StartedRound` that rests on an entry, so no signature is seen by others before it survives a
//! crash. `StoreBody` is durable before the log names the body. `Decide` is one durable batch of
//! block, certificate, state and tip. If a log or a database call fails, stop and **stay down**:
//! a node that restarts by itself after such a fault may contradict itself. If `step` gives a
//! [`HostError`] or panics, the same: end the process (the node sets a panic hook that aborts).
//!
//! **A height.** After `Decide` is executed, give [`Input::StartHeight`] with the new tip's
//! header, the root of the history and the validator set in the new state. The height is then
//! prepared: nothing is sent. Give [`Input::Begin`] when transactions wait, or when the idle
//! interval has passed. The first proposal begins it too, or votes of more than a third, or any
//! vote once the parent is a second old.
//! `BuildBlock` wants a block made and executed on the tip, with
//! [`validity::proposal_time`], answered by [`Input::BlockBuilt`]; keep the body at hand, since
//! `StoreBody`, `SpreadBody` and perhaps `Decide` follow.
//!
//! **Bodies.** `RequestBody` wants a body fetched (from any peer that offers it), executed on
//! the tip, compared by [`validity::check_outcome`] and answered by [`Input::BodyValidated`].
//! Answer `valid: false` only for what is wrong for everybody and for ever: a body that could
//! not be fetched, or a local fault, is no verdict. The request is repeated in every
//! round and whenever the block is proposed again, while it is open.
//!
//! **Messages.** [`Message::decode`] the bytes and show them to an [`edge::Edge`], on another
//! thread. What passes there is given as [`Input::Verified`], which spares the host the
//! signatures, and forwarded to others; nothing else is.
//!
//! **Timers.** A [`Timer`] is a name: scheduling it again replaces it, and a late one is
//! ignored. `WakeAt` is apart from the timers, is not cancelled, and is answered by `Tick`.
//!
//! **Falling behind.** [`edge::Passage::Ahead`] names a peer that speaks of a later height. Fetch
//! the block and the certificate of *this* height, check them ([`validity::check_committed`]),
//! execute and commit them, and make a new host at the tip with an empty log
//! ([`Host::recover`]): what was signed for a height that is committed is past.
//!
//! **Evidence.** [`Effect::EvidenceFound`] comes as soon as two messages of one validator exclude
//! each other, once for each of its steps, again after a restart. Keep it and pass it on.
//!
//! **The mark.** The newest own statement of what is published is durable beside the key before
//! it leaves; after a restart it is given back as [`Config::signed`] ([`mark`] has the rule).
//!
//! **Restart.** Open the chain; read the log; [`Host::recover`] with the tip, the log's entries
//! and the headers of the bodies stored for the next height; execute its effects; then open the
//! network. A `Decide` among them is executed as always and followed by `StartHeight`.
//!
//! # Read on
//!
//! [`host`] (inputs, effects, the step), [`edge`] (what is let in and passed on), `incoming` (what each input leads to), `desk` (what
//! the core asks for), `recover` (restart), `hold` (what waits), [`wire`] and [`sign`] (messages),
//! [`mark`] (what was signed before), [`evidence`] (who signed against itself), [`validity`]
//! (blocks), [`membership`] (who votes), [`timing`] and `away` (how long is waited), [`reach`] (how
//! large a block is made).
//!
//! Eleven duties of a host, on which safety rests, are marked `host contract 1` to `11` where
//! they are kept; `tests/contract.rs` has a test for each.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod host;

pub mod edge;

mod incoming;

mod desk;

mod recover;

mod away;

mod hold;

mod wal;

pub mod wire;

pub mod sign;

pub mod mark;

pub mod evidence;

pub mod validity;

pub mod membership;

pub mod timing;

pub mod reach;

mod context;

mod unlocked;

pub use host::{Config, Effect, Evidence, HeightStart, Host, HostError, Input, Peer};
pub use mark::Signed;
pub use sign::{BadMessage, Verified};
pub use timing::{Timer, TimerStep, Timing};
pub use wal::{MAX_ENTRY_LEN, WalError};
pub use wire::{Message, WireError};
