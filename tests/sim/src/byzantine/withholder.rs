//! Proposes, and gives the body of its block to nobody, so that nobody can vote for it.

use std::sync::Arc;

use symbolon_ledger::block::Block;

use super::Actor;
use crate::world::World;

pub(super) struct Withholder;

impl Actor for Withholder {
    fn body(&self, _: &mut World, _me: usize, _: Option<Arc<Block>>) -> Option<Arc<Block>> {
        None
    }
}
