//! The liars: each is a validator with one vice, in a file of its own.
//!
//! A liar runs a real host, so it knows where the round stands; what its host asks for goes
//! through the liar's hands. It has its own keys and nobody else's, and may say anything to anybody
//! at any time. What honest nodes make of it is checked by [`super::invariants`]; that every vice
//! is survived, and noticed where it leaves a trace, by `tests/byzantine.rs`.

use std::sync::Arc;

use symbolon_consensus::{
    Message, Verified,
    wire::{Proposal, Vote},
};
use symbolon_ledger::{
    block::Block,
    hash::{BlockHash, sha256},
    keys::SecretKey,
    vote::{VoteKind, proposal_bytes, vote_bytes},
};

use super::{disk::Committed, post::Packet, world::World};

mod twin;

mod equivocating_proposer;

mod equivocating_voter;

mod amnesiac;

mod schemer;

mod silent_leader;

mod mute;

mod withholder;

mod selective_sender;

mod nil_spammer;

mod forger;

mod impersonator;

mod flooder;

mod lying_sync_peer;

mod bad_builder;

mod replayer;

/// A way to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vice {
    /// Two nodes with one key, each of which keeps the rules by itself.
    Twin,
    /// Proposes two blocks, one to each half.
    EquivocatingProposer,
    /// Votes one way to one half and another way to the other.
    EquivocatingVoter,
    /// Votes for whatever is proposed, and knows of no lock.
    Amnesiac,
    /// Never proposes.
    SilentLeader,
    /// Never says anything.
    Mute,
    /// Proposes, and gives the body to nobody.
    Withholder,
    /// Lets a few hear what all should hear, and another few every round.
    SelectiveSender,
    /// Votes for nothing, always and at once.
    NilSpammer,
    /// Makes certificates of too few, false, repeated and strange signatures.
    Forger,
    /// Speaks under the names of others.
    Impersonator,
    /// Sends what is long past, far ahead or no message at all, and much of it.
    Flooder,
    /// Gives false blocks and certificates to whoever has to catch up.
    LyingSyncPeer,
    /// Proposes blocks that do not follow, under wrong names and out of turn.
    BadBuilder,
    /// Shows what others have signed as if they had signed something else.
    Replayer,
    /// Lets one node decide, and leads the others elsewhere.
    Schemer,
}

impl Vice {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Twin,
        Self::EquivocatingProposer,
        Self::EquivocatingVoter,
        Self::Amnesiac,
        Self::SilentLeader,
        Self::Mute,
        Self::Withholder,
        Self::SelectiveSender,
        Self::NilSpammer,
        Self::Forger,
        Self::Impersonator,
        Self::Flooder,
        Self::LyingSyncPeer,
        Self::BadBuilder,
        Self::Replayer,
        Self::Schemer,
    ];
}

/// What a liar does in place of what an honest node does. Whatever it leaves out it does honestly.
pub(super) trait Actor: Sync {
    /// Its host wants this sent to everybody.
    fn publish(&self, world: &mut World, me: usize, message: Verified) {
        world.tell_all(me, message);
    }

    /// It is its turn, and this block would follow.
    fn build(&self, world: &mut World, me: usize, round: u32, block: Block) -> Result<(), String> {
        world.offer(me, round, block)
    }

    /// It has heard this, and could check it.
    fn hear(&self, _: &mut World, _me: usize, _: &Message) {}

    /// Nothing happens. It comes by once a second.
    fn idle(&self, _: &mut World, _me: usize) {}

    /// Somebody wants this body of it.
    fn body(&self, _: &mut World, _me: usize, body: Option<Arc<Block>>) -> Option<Arc<Block>> {
        body
    }

    /// Somebody wants this committed block of it.
    fn answer(
        &self,
        _: &mut World,
        _me: usize,
        committed: Option<Arc<Committed>>,
    ) -> Option<Arc<Committed>> {
        committed
    }
}

/// Whoever has this vice.
pub(super) fn of(vice: Vice) -> &'static dyn Actor {
    match vice {
        Vice::Twin => &twin::Twin,
        Vice::EquivocatingProposer => &equivocating_proposer::EquivocatingProposer,
        Vice::EquivocatingVoter => &equivocating_voter::EquivocatingVoter,
        Vice::Amnesiac => &amnesiac::Amnesiac,
        Vice::SilentLeader => &silent_leader::SilentLeader,
        Vice::Mute => &mute::Mute,
        Vice::Withholder => &withholder::Withholder,
        Vice::SelectiveSender => &selective_sender::SelectiveSender,
        Vice::NilSpammer => &nil_spammer::NilSpammer,
        Vice::Forger => &forger::Forger,
        Vice::Impersonator => &impersonator::Impersonator,
        Vice::Flooder => &flooder::Flooder,
        Vice::LyingSyncPeer => &lying_sync_peer::LyingSyncPeer,
        Vice::BadBuilder => &bad_builder::BadBuilder,
        Vice::Replayer => &replayer::Replayer,
        Vice::Schemer => &schemer::Schemer,
    }
}

// The tools of their trade.
impl World {
    /// The height and the round that a liar's host is in; none while it is down.
    fn place_of(&self, me: usize) -> Option<(u64, u32)> {
        let host = &self.nodes[me].memory.as_ref()?.host;
        Some((host.height(), host.round().unwrap_or(0)))
    }

    /// The key that a liar's seat votes with at its height.
    fn key_of(&self, me: usize, seat: usize) -> &SecretKey {
        let set = self.nodes[me].disk.machine.state().validators();
        let now = set.get(self.founding.province(seat)).map(|validator| validator.key);
        let next = self.founding.voting_key(seat, true);
        if now == Some(next.public_key()) { next } else { self.founding.voting_key(seat, false) }
    }

    /// A vote, signed with the liar's key.
    fn sign_vote(
        &self,
        me: usize,
        kind: VoteKind,
        (height, round): (u64, u32),
        block: Option<BlockHash>,
    ) -> Option<Vote> {
        let seat = self.nodes[me].seat?;
        let bytes = vote_bytes(kind, &self.founding.chain_id, height, round, block.as_ref());
        let signature = self.key_of(me, seat).sign(&bytes);
        let province = self.founding.province(seat);
        Some(Vote { kind, height, round, block, province, signature })
    }

    /// A first proposal, signed with the liar's key.
    fn sign_proposal(
        &self,
        me: usize,
        (height, round): (u64, u32),
        block: BlockHash,
    ) -> Option<Proposal> {
        let seat = self.nodes[me].seat?;
        let bytes = proposal_bytes(&self.founding.chain_id, height, round, &block, None);
        let signature = self.key_of(me, seat).sign(&bytes);
        let province = self.founding.province(seat);
        Some(Proposal { height, round, block, pol_round: None, province, signature })
    }

    /// Tells one node something, as bytes that it has to check.
    fn whisper(&mut self, me: usize, to: usize, message: &Message) {
        if to != me {
            self.send(me, to, Packet::Bytes(message.encode()));
        }
    }

    /// Tells everybody something.
    fn shout(&mut self, me: usize, message: &Message) {
        self.send_to_all(me, &Packet::Bytes(message.encode()));
    }

    /// Tells one half of the nodes one thing and the other half another.
    fn tell_halves(&mut self, me: usize, one: &Message, other: &Message) {
        let turn = self.dice.index(2);
        for to in 0..self.nodes.len() {
            let message = if to % 2 == turn { one } else { other };
            self.whisper(me, to, message);
        }
    }

    /// Another block in the place of this one, of the liar's own; it has the body.
    fn another_block(&mut self, me: usize, old: &BlockHash) -> Option<BlockHash> {
        let mut new = (*self.nodes[me].body(old)?).clone();
        new.header.time_ms += 1;
        new.header.proposer = self.nodes[me].province();
        let hash = new.hash();
        if let Some(memory) = &mut self.nodes[me].memory {
            memory.pool.insert(hash, Arc::new(new));
        }
        Some(hash)
    }

    /// The name of a block that nobody has.
    fn nobodys_block(&mut self) -> BlockHash {
        sha256(&self.dice.roll().to_be_bytes())
    }
}
