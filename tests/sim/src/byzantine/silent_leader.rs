//! Votes like everybody and never proposes.

use symbolon_ledger::block::Block;

use super::Actor;
use crate::world::World;

pub(super) struct SilentLeader;

impl Actor for SilentLeader {
    fn build(&self, _: &mut World, _me: usize, _round: u32, _: Block) -> Result<(), String> {
        Ok(())
    }
}
