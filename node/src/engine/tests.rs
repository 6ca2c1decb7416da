//! The engine, driven event by event over a real database, with an injected clock and a network
//! that only remembers what it was told.

mod bodies;
mod disk;
mod evidence;
mod faults;
mod log;
mod marks;
mod restart;
mod rig;
mod router;
mod sites;
mod stall;
mod sync;
