//! A whole network in one thread, with one seed: real hosts, real transactions, the real rules
//! and a real state tree over a simulated network, simulated disks and simulated clocks.
//!
//! A run has two phases. In the *safety phase* packets are lost, delayed, repeated and
//! reordered, the network splits, nodes crash between any two effects and lose whatever was not
//! flushed, and some seats are taken by liars. Then everything heals, and in the *liveness
//! phase* all honest nodes have to go on deciding together. The sentences that must hold in both
//! are the functions of [`invariants`].
//!
//! The same seed gives the same run, byte for byte: [`Report::history`] is the hash of everything
//! that happened. Not simulated: libp2p, RocksDB and threads; those have their own tests.
//!
//! Read [`plan`] (what is simulated), [`world`] (how it runs), [`node`] (what a node keeps and
//! what a crash leaves), [`effects`] (what each effect of a host does), [`post`] (what
//! travels), [`founding`] and [`machine`] (the state), [`agency`] (what is asked of it), [`twin`]
//! (the liars), [`invariants`].

pub mod plan;

pub mod world;

pub mod effects;

pub mod post;

pub mod node;

pub mod founding;

pub mod machine;

pub mod agency;

pub mod twin;

pub mod invariants;

pub mod dice;

pub use plan::{Plan, Splits};
pub use world::{Failure, Report, run};
