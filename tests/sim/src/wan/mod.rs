//! A network far larger and wider than one machine: real hosts, edges and rules over lines with a
//! delay and a bandwidth, gossip over a mesh, bodies sent along and fetched, all in one thread and
//! from one seed.
//!
//! Where [`crate::world`] asks whether anything can go wrong, this asks how long it takes and what it
//! weighs. Nobody lies, nothing is lost, and no machine fails. What travels is what the node sends,
//! by the constants of its `network/`, in the bytes that it takes on the line. The clock counts
//! nanoseconds, and has in it the delay and the bandwidth of the lines, every wait of the node
//! (timers, batches, pauses), every synced write, and what [`Costs`] says of the processor.
//!
//! Not in it: loss and the slow start of connections (they are open and warm), acknowledgements, reads
//! of the database, HTTP, observers. What happens in real processor time is measured beside it
//! ([`figures::Processor`]) and moves nothing.
//!
//! Read [`pipes`], [`mesh`] and [`sizes`] (the lines), `chain` and `load` (what is decided about),
//! `world` (how it runs), `gossip`, `bodies` and `sync` (what travels), `pool` and `engine` (what a
//! node does), [`figures`] (what comes of it).

pub mod pipes;

pub mod mesh;

pub mod sizes;

mod chain;

mod load;

mod node;

mod world;

mod gossip;

mod bodies;

mod sync;

mod pool;

mod engine;

pub mod figures;

pub use bodies::{PUSH_BYTES, PUSHED_NS};
pub use figures::Figures;
pub use gossip::{HAVE_IDS, WITHHELD_NS};
pub use pool::{BATCH_BYTES, BATCH_NS, BATCH_SHORTEST_NS, BATCH_TRANSACTIONS, OFFER_AGAIN_AFTER};
pub use world::run;

/// What a run simulates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Everything that is left to chance follows from it.
    pub seed: u64,
    /// Validators. More than the presets name are made up.
    pub validators: usize,
    /// Delay of the line between any two, one way, in milliseconds.
    pub delay_ms: u64,
    /// Bandwidth of each validator's line, each way.
    pub bits_per_second: u64,
    /// Licences handed in a second, over all validators; 0 for single ones now and then.
    pub offered: u64,
    /// Licences of a transaction, 1 to 256.
    pub batch: u64,
    /// How long is measured, in simulated seconds.
    pub seconds: u64,
    /// Whether the first bytes of a request go out with the opening of its stream, or only when the
    /// other side has agreed to the protocol: one round trip later.
    pub eager_streams: bool,
    /// What work takes on the simulated clock.
    pub costs: Costs,
}

/// What work takes, in nanoseconds. On one core each: messages of consensus, transactions and blocks
/// are looked at by threads of their own, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// One strict check of a signature.
    pub check_ns: u64,
    /// One synced write: the log, the mark, a body, a block.
    pub sync_ns: u64,
    /// Applying one licence to the state: at admission, when a block is built and when it is checked.
    pub execute_ns: u64,
}

impl Costs {
    /// As fast as can be: nothing takes time but the lines.
    pub const NONE: Self = Self { check_ns: 0, sync_ns: 0, execute_ns: 0 };
}
