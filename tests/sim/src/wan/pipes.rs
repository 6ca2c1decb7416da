//! Lines with a bandwidth: every node has one way out and one way in, and what it sends takes its
//! length on both.
//!
//! The way out is shared as connections share it: each stream to each peer has a lane of its own,
//! lanes take turns piece by piece, and within a lane the order is kept. So a vote does not wait for
//! thirty bodies, and thirty bodies that are sent at once are all there at about the same time. The
//! way in takes pieces in the order in which they come. Not simulated: loss, the slow start of a
//! connection, its windows, acknowledgements. How long a message is: [`super::sizes`].

use std::collections::{BTreeMap, VecDeque};

/// Pieces in which streams take turns: what yamux 0.14 splits a write into
/// (`DEFAULT_SPLIT_SEND_SIZE`).
pub const PIECE_BYTES: u64 = 16 * 1024;
/// Nanoseconds of a second.
pub const SECOND_NS: u64 = 1_000_000_000;

/// The streams of a connection that carry more than a few bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// Messages that are gossiped.
    Gossip,
    /// Requests and their answers.
    Exchange,
}

/// A message on its way out.
#[derive(Debug)]
struct Parcel<T> {
    left: u64,
    cargo: T,
}

/// One node's end of the line.
#[derive(Debug)]
struct End<T> {
    lanes: BTreeMap<(usize, Stream), VecDeque<Parcel<T>>>,
    /// Lanes with something in them, the next in turn first.
    turns: VecDeque<(usize, Stream)>,
    sending: bool,
    way_in_free_ns: u64,
    /// How long its way out has been in use.
    busy_ns: u64,
}

/// A piece that is leaving: who it is for, when it has left, and the message if it is its last.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece<T> {
    /// To whom.
    pub to: usize,
    /// Its length.
    pub bytes: u64,
    /// When its last byte has left.
    pub left_ns: u64,
    /// The whole message, with its last piece.
    pub cargo: Option<T>,
}

/// See the module.
#[derive(Debug)]
pub struct Pipes<T> {
    bits_per_second: u64,
    ends: Vec<End<T>>,
}

impl<T> Pipes<T> {
    /// Lines of this bandwidth for so many nodes.
    #[must_use]
    pub fn new(nodes: usize, bits_per_second: u64) -> Self {
        let end = |_| End {
            lanes: BTreeMap::new(),
            turns: VecDeque::new(),
            sending: false,
            way_in_free_ns: 0,
            busy_ns: 0,
        };
        Self { bits_per_second, ends: (0..nodes).map(end).collect() }
    }

    /// How long so many bytes take, rounded up.
    #[must_use]
    pub fn takes_ns(&self, bytes: u64) -> u64 {
        let bits = u128::from(bytes) * 8 * u128::from(SECOND_NS);
        u64::try_from(bits.div_ceil(u128::from(self.bits_per_second))).unwrap_or(u64::MAX)
    }

    /// Puts a message of so many bytes into its lane. When the way out was idle, its first piece
    /// leaves at once and is given back: [`Pipes::next`] is due when it has left.
    pub fn push(
        &mut self,
        now_ns: u64,
        from: usize,
        (to, stream): (usize, Stream),
        bytes: u64,
        cargo: T,
    ) -> Option<Piece<T>> {
        let end = &mut self.ends[from];
        let lane = end.lanes.entry((to, stream)).or_default();
        if lane.is_empty() {
            end.turns.push_back((to, stream));
        }
        lane.push_back(Parcel { left: bytes.max(1), cargo });
        if end.sending { None } else { self.next(now_ns, from) }
    }

    /// The next piece of a way out that has become idle.
    pub fn next(&mut self, now_ns: u64, from: usize) -> Option<Piece<T>> {
        let end = &mut self.ends[from];
        let Some((to, stream)) = end.turns.pop_front() else {
            end.sending = false;
            return None;
        };
        let lane = end.lanes.get_mut(&(to, stream)).expect("a lane in turn is there");
        let first = lane.front_mut().expect("a lane in turn has something in it");
        let bytes = first.left.min(PIECE_BYTES);
        first.left -= bytes;
        let is_last = first.left == 0;
        let cargo = if is_last { lane.pop_front().map(|parcel| parcel.cargo) } else { None };
        if !lane.is_empty() {
            end.turns.push_back((to, stream));
        }
        end.sending = true;
        let takes = self.takes_ns(bytes);
        self.ends[from].busy_ns += takes;
        Some(Piece { to, bytes, left_ns: now_ns.saturating_add(takes), cargo })
    }

    /// When a piece whose last byte comes at `now_ns` is through the way in: at once, unless pieces of
    /// others keep it busy.
    pub fn arrives_ns(&mut self, now_ns: u64, to: usize, bytes: u64) -> u64 {
        let takes = self.takes_ns(bytes);
        let end = &mut self.ends[to];
        end.way_in_free_ns = now_ns.max(end.way_in_free_ns.saturating_add(takes));
        end.way_in_free_ns
    }

    /// How long a node's way out has been in use.
    #[must_use]
    pub fn busy_ns(&self, node: usize) -> u64 {
        self.ends[node].busy_ns
    }

    /// The messages that have not wholly left.
    pub fn waiting(&self) -> impl Iterator<Item = &T> {
        let lanes = self.ends.iter().flat_map(|end| end.lanes.values());
        lanes.flatten().map(|parcel| &parcel.cargo)
    }
}
