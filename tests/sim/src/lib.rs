//! A whole network in one thread, with one seed: real hosts, real transactions, the real rules
//! and a real state tree over a simulated network, simulated disks and simulated clocks.
//!
//! A run has two phases. In the *safety phase* packets are lost, delayed, repeated and
//! reordered, the network falls apart in many ways, disks fail, clocks drift and jump, nodes crash
//! between any two effects and lose whatever was not flushed, and some seats are taken by liars.
//! Then everything heals, and in the *liveness phase* all honest nodes have to go on deciding
//! together. The sentences that must hold in both are the functions of [`invariants`].
//!
//! The same seed gives the same run, byte for byte: [`Report::history`] is the hash of everything
//! that happened. A run has a name, [`Plan::name`], which is enough to run it again. Not
//! simulated: libp2p, RocksDB and threads; those have their own tests.
//!
//! Read [`plan`] (what is simulated), [`world`] (how it runs), [`node`] and [`disk`] (what a node
//! keeps and what a crash leaves), [`links`] and [`clock`] (what else goes wrong), [`effects`]
//! (what each effect of a host does), [`post`] (what travels), [`founding`], [`machine`] and
//! [`shared`] (the state), [`agency`] and [`council`] (what is asked of it), [`byzantine`] (the
//! liars, one file each), [`twins`] (their systematic cases), [`invariants`] and [`quorum`],
//! [`sweep`] (many runs at once). Apart from all this stands [`wan`]: what a large network takes when
//! nothing goes wrong.

pub mod plan;

pub mod world;

pub mod effects;

pub mod post;

pub mod node;

pub mod disk;

pub mod links;

pub mod clock;

pub mod weather;

pub mod founding;

pub mod machine;

pub mod shared;

pub mod agency;

pub mod council;

pub mod byzantine;

pub mod twins;

pub mod invariants;

pub mod quorum;

pub mod sweep;

pub mod wan;

pub mod dice;

pub use byzantine::Vice;
pub use links::Splits;
pub use plan::Plan;
pub use sweep::{Sum, sweep};
pub use world::{Failure, Report, run};
