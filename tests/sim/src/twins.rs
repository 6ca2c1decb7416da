//! The systematic cases of Twins: four seats, one of which is held by two nodes with one key, and
//! a network that falls apart by height and round, in every way that there is.
//!
//! After Bano and others, *Twins: BFT Systems Made Robust* (2021): equivocation, amnesia and
//! losing one's lock are all what a pair of twins does when the network shows each half another
//! twin. A case says who is apart in which round; leaders follow from height and round as ever.
//! One part of the cases is enumerated: one height of five, whose first proposer is each of the
//! seats in turn, and all sixteen ways to fall apart in two in each of its first three rounds. The
//! other part is sampled: three parts, in the first four rounds of all five heights.

use super::{byzantine::Vice, dice::Dice, plan::Plan, world::World};

/// Seats.
pub const SEATS: usize = 4;
/// Nodes: one of every seat, and the second twin.
const NODES: usize = SEATS + 1;
/// Heights of a case.
pub const HEIGHTS: u64 = 5;
/// Rounds of a height in which the network is apart.
const ROUNDS: usize = 4;
/// Rounds in which it is, when all cases are enumerated.
const ENUMERATED_ROUNDS: u32 = 3;
/// Ways for five nodes to be apart in two, or not at all.
const WAYS: u64 = 1 << (NODES - 1);
/// How many cases are enumerated.
pub const ENUMERATED: u64 = SEATS as u64 * WAYS.pow(ENUMERATED_ROUNDS);
/// A round's partition lasts for so long after a node has entered it, in milliseconds: longer than
/// the wait for a proposal, and not for ever, since no side may have a quorum.
const LASTS_MS: u64 = 4_500;

/// On which side each node is.
pub type Sides = [u8; NODES];

/// Who is apart, by height and round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    name: String,
    seed: u64,
    /// By height and round.
    pub sides: [[Sides; ROUNDS]; HEIGHTS as usize],
}

impl Case {
    /// One of the [`ENUMERATED`] cases.
    #[must_use]
    pub fn enumerated(index: u64) -> Self {
        let mut rest = index % ENUMERATED;
        let mut next = |of: u64| {
            let digit = rest % of;
            rest /= of;
            digit
        };
        let height = usize::try_from(next(SEATS as u64)).expect("a seat");
        let mut sides = [[[0; NODES]; ROUNDS]; HEIGHTS as usize];
        for round in sides[height].iter_mut().take(ENUMERATED_ROUNDS as usize) {
            let way = next(WAYS);
            for (node, side) in round.iter_mut().enumerate().skip(1) {
                *side = u8::from(way >> (node - 1) & 1 == 1);
            }
        }
        Self { name: format!("twins/{SEATS}/{index}"), seed: index, sides }
    }

    /// A case that chance has made.
    #[must_use]
    pub fn sampled(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x7477_696e);
        let mut sides = [[[0; NODES]; ROUNDS]; HEIGHTS as usize];
        for round in sides.iter_mut().flatten() {
            if dice.chance(60) {
                *round = [(); NODES].map(|()| dice.roll().to_be_bytes()[0] % 3);
            }
        }
        Self { name: format!("twins-sampled/{SEATS}/{seed}"), seed, sides }
    }

    /// A run of it.
    #[must_use]
    pub fn plan(self) -> Plan {
        Plan {
            name: self.name.clone(),
            liars: vec![Vice::Twin],
            chaos_ms: 1,
            goal: 0,
            least: HEIGHTS,
            wishes: false,
            twins: Some(self.clone()),
            ..Plan::calm(self.seed, SEATS)
        }
    }

    fn apart(&self, (height, round): (u64, u32), from: usize, to: usize) -> bool {
        let at = |n: u64| usize::try_from(n).ok();
        let rounds = height.checked_sub(1).and_then(at).and_then(|at| self.sides.get(at));
        let sides = rounds.and_then(|rounds| rounds.get(at(round.into())?));
        sides.is_some_and(|sides| sides[from] != sides[to])
    }
}

impl World {
    /// Whether a packet finds its way in a case of Twins: by the height and round of the sender,
    /// and for how long it is there.
    pub(super) fn twins_let_through(&self, from: usize, to: usize) -> bool {
        let (Some(case), Some(memory)) = (&self.plan.twins, &self.nodes[from].memory) else {
            return true;
        };
        let place = (memory.host.height(), memory.host.round().unwrap_or(0));
        let new = self.now_ms < memory.round_since_ms + LASTS_MS;
        !(new && case.apart(place, from, to))
    }
}
