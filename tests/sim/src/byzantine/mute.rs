//! Hears everything and says nothing: neither proposals nor votes.

use symbolon_consensus::Verified;

use super::Actor;
use crate::world::World;

pub(super) struct Mute;

impl Actor for Mute {
    fn publish(&self, _: &mut World, _me: usize, _: Verified) {}
}
