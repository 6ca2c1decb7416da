//! The founding document of a network: read, checked, written, and what it founds.
//!
//! Text in, values out: reading files, making keys and asking the clock are the command line's.
//! Nothing here decides what the licences' rules are (`contracts`) or runs anything (`node`).
//!
//! Read in this order: [`document`] (what it says), [`founding`] (what comes of it),
//! [`ceremony`] (how provinces write it together), [`presets`] (the nation's provinces and
//! catalogue, and a development network), [`peer_id`] and [`reader`] (the tools).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod document;

mod members;

pub mod catalogue;

pub mod founding;

mod render;

pub mod ceremony;

pub mod presets;

pub mod peer_id;

mod multiaddr;

pub mod reader;

pub use document::Genesis;
pub use reader::Problem;
