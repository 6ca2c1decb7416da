//! Gives false blocks and certificates to whoever has to catch up, false bodies to whoever asks for
//! one, and boasts of heights that it does not have.

use std::sync::Arc;

use symbolon_ledger::block::Block;

use super::Actor;
use crate::{disk::Committed, post::Packet, world::World};

pub(super) struct LyingSyncPeer;

impl Actor for LyingSyncPeer {
    fn idle(&self, world: &mut World, me: usize) {
        if let Some((height, _)) = world.place_of(me) {
            world.send_to_all(me, &Packet::Status(height + 5));
        }
    }

    fn body(&self, world: &mut World, _me: usize, body: Option<Arc<Block>>) -> Option<Arc<Block>> {
        let mut body = (*body?).clone();
        match world.dice.below(4) {
            0 => body.header.time_ms += 1,
            1 => {
                body.transactions.pop()?;
            }
            _ => {}
        }
        Some(Arc::new(body))
    }

    fn answer(
        &self,
        world: &mut World,
        _me: usize,
        committed: Option<Arc<Committed>>,
    ) -> Option<Arc<Committed>> {
        let mut committed = (*committed?).clone();
        let mut block = (*committed.block).clone();
        let certificate = &mut committed.certificate;
        match world.dice.below(9) {
            0 => certificate.signatures.truncate(1),
            1 => {
                // One fewer than it takes.
                certificate.signatures.truncate(world.founding.seats() * 2 / 3);
            }
            2 => certificate.round += 1,
            3 => block.header.time_ms += 1,
            4 => {
                let first = certificate.signatures[0].clone();
                certificate.signatures.fill(first);
            }
            5 => {
                block.header.time_ms += 1;
                certificate.block = block.header.hash();
            }
            6 => {
                block.transactions.pop();
            }
            7 => return None,
            _ => {}
        }
        committed.block = Arc::new(block);
        Some(Arc::new(committed))
    }
}
