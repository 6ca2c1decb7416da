//! Everything that touches the world: RocksDB, libp2p, the engine, HTTP.
//!
//! A licence's way through it: [`http`] takes the transaction, [`pool`] checks it and hands it
//! to [`network`] for the others; the [`engine`] has a block of it built and executed
//! ([`execution`]), agrees with the other provinces, and makes it durable in [`storage`]; from
//! there [`http`] serves it with its proof.
//!
//! Only the engine writes the chain; the [`keeper`] removes of it what is too old and makes
//! [`snapshot`]s, from which a node that is far behind begins ([`join`]). [`config`] reads the
//! configuration and [`key_files`] private keys, [`log`] keeps an event to its line, [`node`] puts
//! the parts together, [`verify_chain`] executes a whole chain again, [`backup`] copies one and
//! brings it back, [`check`] says what would keep a node from starting, [`failure`] with which
//! status it ends.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod config;

pub mod key_files;

pub mod log;

pub mod node;

pub mod http;

pub mod status_signer;

pub mod pool;

pub mod network;

pub mod engine;

pub mod execution;

mod workers;

pub mod storage;

pub mod snapshot;

pub mod keeper;

pub mod join;

pub mod wal;

pub mod sign_state;

pub mod metrics;

pub mod verify_chain;

pub mod backup;

pub mod check;

pub mod failure;
