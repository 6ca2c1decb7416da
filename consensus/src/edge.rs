//! The edge: what of the others' messages is let in, and what is passed on.
//!
//! It stands between the network and the host, on a thread of its own. It checks signatures,
//! each once; keeps what comes before its height does; and sees to it that nobody can make this
//! node repeat itself: a claim passes at most once in [`AGAIN_MS`], and of one voter in one
//! round there are two claims of a kind at most, which is what it takes to convict it. So what
//! is forwarded is bounded by the validators and the rounds, however often a peer wraps an old
//! vote anew and however many a liar signs (host contract 9).
//!
//! It decides nothing about the round: that is [`crate::host`], which looks at every signature
//! that it was not told of.

use std::collections::BTreeMap;

use malachite_consensus::MAX_FUTURE_ROUND_LOOKAHEAD;
use symbolon_ledger::{codes::ProvinceCode, hash::BlockHash, hash::ChainId, vote::VoteKind};

use crate::{
    host::{HeightStart, Peer},
    membership::Members,
    sign::{BadMessage, Seals, Verified, check_message},
    wire::{Message, RoundReason},
};

/// A claim that has passed does not pass again for so long, in milliseconds. Less than the time
/// after which a validator repeats its votes by itself, since those must travel for peers that were
/// away. What it repeats for a peer that has just come need go no further.
pub const AGAIN_MS: u64 = 1_000;
/// Most different claims of one kind by one voter in one round. Two prove that it lies.
const MAX_CLAIMS: usize = 2;
/// How many heights beyond its own messages are kept for: the one that its peers reach while
/// this node commits, and one more.
const HEIGHTS_AHEAD: u64 = 2;
/// Most messages kept of one peer for one later height: its votes and proposals of several
/// rounds. Nobody passes on what he cannot check, so they are a peer's own.
const EARLY_PER_PEER: usize = 64;
/// Most messages kept for one later height.
const EARLY: usize = 4_096;

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passage {
    /// It holds: for the host, and to be passed on.
    Pass(Verified),
    /// Nothing new, or too far off. Nobody is to blame.
    OfNoUse,
    /// About a later height. Unchecked, and kept when it is near: whoever sent it may be ahead.
    Ahead {
        /// The height it is about.
        height: u64,
    },
    /// No honest node sends or forwards it.
    Bad(BadMessage),
}

/// Where claims exclude one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Vote(u32, VoteKind, ProvinceCode),
    Proposal(u32, ProvinceCode),
    // Whose signatures a certificate has makes no difference to what it proves.
    Polka(u32, BlockHash),
    Round(u32, bool),
}

/// What is claimed in a slot.
type Claimed = (Option<BlockHash>, Option<u32>);

/// See the module.
#[derive(Debug)]
pub struct Edge {
    chain_id: ChainId,
    height: u64,
    round: u32,
    members: Members,
    seals: Seals,
    /// Claims that passed, each with the time at which it last did.
    passed: BTreeMap<Slot, Vec<(Claimed, u64)>>,
    early: BTreeMap<u64, Vec<(Message, Peer)>>,
}

impl Edge {
    /// The edge of the height that `start` governs.
    #[must_use]
    pub fn new(chain_id: ChainId, start: &HeightStart) -> Self {
        Self {
            chain_id,
            height: start.height(),
            round: 0,
            members: Members::of(&start.validators),
            seals: Seals::default(),
            passed: BTreeMap::new(),
            early: BTreeMap::new(),
        }
    }

    /// Looks at a message at `now_ms`, in milliseconds since any moment: on a clock that is never
    /// set back.
    pub fn weigh(&mut self, now_ms: u64, message: Message, from: Peer) -> Passage {
        let height = message.height();
        if height > self.height {
            self.keep_early(message, from);
            return Passage::Ahead { height };
        }
        let (slot, claimed) = place_of(&message);
        if height < self.height
            || self.is_too_far_ahead(&message)
            || !self.may_pass(slot, claimed, now_ms)
        {
            return Passage::OfNoUse;
        }
        let checked = check_message(&self.chain_id, &self.members, &message, &mut self.seals);
        if let Err(bad) = checked {
            return Passage::Bad(bad);
        }
        let claims = self.passed.entry(slot).or_default();
        claims.retain(|(known, _)| *known != claimed);
        claims.push((claimed, now_ms));
        Passage::Pass(Verified::sealed(&self.chain_id, &self.members, message))
    }

    /// The host has entered a round.
    pub fn enter(&mut self, height: u64, round: u32) {
        if height == self.height {
            self.round = round;
        }
    }

    /// The height that `start` governs begins. Gives what came too early for it, and now holds.
    pub fn move_to(&mut self, now_ms: u64, start: &HeightStart) -> Vec<(Verified, Peer)> {
        self.height = start.height();
        self.round = 0;
        self.members = Members::of(&start.validators);
        self.seals.forget_below(self.height);
        self.passed.clear();
        self.early = self.early.split_off(&self.height);
        let due = self.early.remove(&self.height).unwrap_or_default();
        let weighed = due.into_iter().map(|(message, from)| {
            let passage = self.weigh(now_ms, message, from);
            // The bad ones were not passed on by anybody, and their senders repeat themselves.
            if let Passage::Pass(message) = passage { Some((message, from)) } else { None }
        });
        weighed.flatten().collect()
    }

    /// Takes over which signatures were found to hold elsewhere.
    pub fn learn(&mut self, checked: &Verified) {
        self.seals.merge(checked);
    }

    fn keep_early(&mut self, message: Message, from: Peer) {
        let of_use = matches!(message, Message::Vote(_) | Message::Proposal(_));
        if !of_use || message.height() > self.height.saturating_add(HEIGHTS_AHEAD) {
            return;
        }
        let kept = self.early.entry(message.height()).or_default();
        let own = kept.iter().filter(|(_, peer)| *peer == from).count();
        if own < EARLY_PER_PEER && kept.len() < EARLY {
            kept.push((message, from));
        }
    }

    /// The core drops such votes and proposals unread. Certificates may come from any round:
    /// liars alone cannot make one, and they carry a node forward that was away.
    fn is_too_far_ahead(&self, message: &Message) -> bool {
        let latest = self.round.saturating_add(MAX_FUTURE_ROUND_LOOKAHEAD);
        matches!(message, Message::Vote(_) | Message::Proposal(_)) && message.round() > latest
    }

    fn may_pass(&self, slot: Slot, claimed: Claimed, now_ms: u64) -> bool {
        let claims = self.passed.get(&slot).map_or(&[][..], Vec::as_slice);
        match claims.iter().find(|(known, _)| *known == claimed) {
            Some((_, at_ms)) => now_ms >= at_ms.saturating_add(AGAIN_MS),
            None => claims.len() < MAX_CLAIMS,
        }
    }
}

fn place_of(message: &Message) -> (Slot, Claimed) {
    let round = message.round();
    match message {
        Message::Vote(m) => (Slot::Vote(round, m.kind, m.province), (m.block, None)),
        Message::Proposal(m) => (Slot::Proposal(round, m.province), (Some(m.block), m.pol_round)),
        Message::Polka(m) => (Slot::Polka(round, m.block), (None, None)),
        Message::Round(m) => (Slot::Round(round, m.reason == RoundReason::Skip), (None, None)),
    }
}
