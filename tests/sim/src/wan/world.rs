//! The scheduler of the wide network: one queue of events, one clock in nanoseconds, one pair of dice.

use std::{collections::BTreeMap, sync::Arc};

use symbolon_consensus::Verified;
use symbolon_ledger::{
    hash::{BlockHash, Digest, sha256},
    transaction::SignedTransaction,
};

use super::{
    Plan,
    chain::{Body, Chain},
    engine::Work,
    figures::{Counts, Figures, Kind, Processor, quantile},
    load::Load,
    mesh::Mesh,
    node::Node,
    pipes::{Piece, Pipes, SECOND_NS, Stream},
    sizes::{self, Topic},
};
use crate::{dice::Dice, founding::Founding, plan::EPOCH_MS};

/// Nanoseconds of a millisecond.
pub(super) const MS: u64 = 1_000_000;
/// When the first licences are handed in: by then the first blocks are committed.
const LOAD_FROM_NS: u64 = 4 * SECOND_NS;
/// How long the load lasts before anything is measured.
const WARM_UP_NS: u64 = 2 * SECOND_NS;
/// How long after it the run waits for what was handed in.
const DRAIN_NS: u64 = 15 * SECOND_NS;
/// `FIRST_BLOCK_DELAY` of the node.
const FIRST_BLOCK_NS: u64 = SECOND_NS;
/// `STATUS_WHEN_MOVED` of the node.
const STATUS_NS: u64 = 500 * MS;
/// `GOSSIP_HEARTBEAT` of the node.
const HEARTBEAT_NS: u64 = 700 * MS;

/// A message of consensus, and what it is on the line.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) verified: Verified,
    pub(super) kind: Kind,
    pub(super) bytes: u64,
}

/// Transactions, by their places in the run's list.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) places: Vec<u32>,
    pub(super) bytes: u64,
}

/// What a message of gossip says.
#[derive(Debug, Clone)]
pub(super) enum Talk {
    Said(Arc<Said>),
    Batch(Arc<Batch>),
}

impl Talk {
    pub(super) const fn topic(&self) -> Topic {
        match self {
            Self::Said(_) => Topic::Consensus,
            Self::Batch(_) => Topic::Transactions,
        }
    }

    pub(super) fn data(&self) -> (Kind, u64) {
        match self {
            Self::Said(said) => (said.kind, said.bytes),
            Self::Batch(batch) => (Kind::Transactions, batch.bytes),
        }
    }
}

/// A message of gossip: its number, who said it, and who sent it on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    pub(super) id: u64,
    pub(super) author: usize,
    pub(super) from: usize,
}

/// What travels.
#[derive(Debug, Clone)]
pub(super) enum Letter {
    /// A message of gossip, by its number: the same number is the same message.
    Gossip { id: u64, author: usize, talk: Talk },
    /// How many messages its sender has, for peers that missed one. Nobody misses any here.
    Have(Topic, u64),
    /// "Do not send me this."
    Unwanted(u64),
    /// Will you speak this protocol? The request follows when the other side has agreed.
    Open(Box<Letter>),
    /// The other side has.
    Opened(Box<Letter>),
    /// "I have this body", and the body itself when it is small.
    Announce { block: BlockHash, body: Option<Arc<Body>> },
    /// "Noted."
    Noted,
    /// "Send me this body." All that are timed carry the time at which they were asked.
    WantBody { block: BlockHash, asked_ns: u64 },
    /// The body, from whoever has it.
    GiveBody { block: BlockHash, body: Option<Arc<Body>>, asked_ns: u64 },
    /// "My tip is at this height; and yours?"
    Status(u64),
    /// "At this one."
    StatusIs(u64),
    /// "Send me blocks from this height on."
    WantBlocks { from: u64, asked_ns: u64 },
    /// So many of them.
    GiveBlocks { from: u64, count: u64, asked_ns: u64 },
}

/// A letter with its envelope.
#[derive(Debug, Clone)]
pub(super) struct Post {
    pub(super) from: usize,
    kind: Kind,
    bytes: u64,
    pub(super) letter: Letter,
}

#[derive(Debug)]
pub(super) enum Event {
    /// A piece has left a way out.
    Left {
        from: usize,
    },
    /// The last byte of a piece has come to a way in.
    Came {
        to: usize,
        bytes: u64,
        post: Option<Post>,
    },
    /// A letter is through the way in.
    Post {
        to: usize,
        post: Post,
    },
    /// A message of consensus was looked at.
    Checked {
        node: usize,
        heard: Heard,
        said: Arc<Said>,
    },
    /// A batch of transactions was.
    Admitted {
        node: usize,
        batch: Arc<Batch>,
    },
    /// A message of consensus that everybody should have was kept back long enough.
    Withheld {
        node: usize,
        heard: Heard,
        said: Arc<Said>,
    },
    /// The next transaction is handed in.
    Submit,
    /// A transaction that was handed in here was looked at.
    Taken {
        node: usize,
        place: u32,
    },
    /// The next batch may leave.
    Batch {
        node: usize,
    },
    /// The engine has something to do.
    Engine {
        node: usize,
        work: Work,
    },
    /// A message of its own leaves.
    Publish {
        node: usize,
        message: Box<Verified>,
    },
    /// A body is spread.
    Spread {
        node: usize,
        body: Arc<Body>,
    },
    /// Due: another peer for a fetch, blocks for one that is behind, its tip for the others, gossip's
    /// heartbeat.
    Drive {
        node: usize,
    },
    Sync {
        node: usize,
    },
    Status {
        node: usize,
    },
    Heartbeat {
        node: usize,
    },
}

/// A transaction of the run.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) signed: SignedTransaction,
    pub(super) bytes: u64,
    pub(super) operations: u64,
    pub(super) seat: usize,
    pub(super) submitted_ns: u64,
    /// The height of its block.
    pub(super) height: Option<u64>,
    /// When it was committed at the node that took it.
    pub(super) final_ns: Option<u64>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) founding: Arc<Founding>,
    pub(super) dice: Dice,
    pub(super) now_ns: u64,
    pub(super) nodes: Vec<Node>,
    pub(super) chain: Chain,
    pub(super) meshes: BTreeMap<Topic, Mesh>,
    pub(super) load: Load,
    pub(super) transactions: Vec<Transaction>,
    pub(super) counts: Counts,
    pub(super) processor: Processor,
    /// Processor time, in nanoseconds since any moment.
    pub(super) clock: fn() -> u64,
    pub(super) history: Digest,
    pub(super) round: u32,
    /// When a proposal of each block left first.
    pub(super) proposed_ns: BTreeMap<BlockHash, u64>,
    /// From then to each commit within the time that is measured.
    pub(super) decision_ns: Vec<u64>,
    pub(super) next_message: u64,
    pipes: Pipes<Post>,
    queue: BTreeMap<(u64, u64), Event>,
    number: u64,
}

/// Runs a plan to its end. `clock` tells processor time in nanoseconds, for what is measured beside
/// the simulation.
///
/// # Errors
///
/// What an honest network must never do: it names the node.
pub fn run(plan: &Plan, clock: fn() -> u64) -> Result<Figures, String> {
    let mut world = World::new(*plan, clock)?;
    let (from, to) = world.measured();
    world.live_until(from)?;
    let (before, busy) = (world.counts, world.busy_ns());
    world.live_until(to)?;
    let (counts, busy_after) = (world.counts.since(&before), world.busy_ns());
    while world.now_ns < to + DRAIN_NS && world.is_awaited(from, to) {
        world.live_until(world.now_ns + SECOND_NS / 10)?;
    }
    let share = |at: usize| (busy_after[at] - busy[at]) as f64 / (to - from) as f64;
    let shares = [0, 1, 2, 3].map(share);
    Ok(world.figures((from, to), counts, shares))
}

impl World {
    fn new(plan: Plan, clock: fn() -> u64) -> Result<Self, String> {
        let founding = Founding::of(plan.validators);
        let (mut dice, chain) = (Dice::new(plan.seed), Chain::founded(&founding));
        let mesh = |topic| (topic, Mesh::grown(plan.validators, &mut dice));
        let meshes = [Topic::Consensus, Topic::Transactions].map(mesh).into();
        let load = Load::new(&founding, plan.offered, plan.batch);
        let mut world = Self {
            pipes: Pipes::new(plan.validators, plan.bits_per_second),
            plan,
            founding,
            dice,
            now_ns: 0,
            nodes: Vec::new(),
            chain,
            meshes,
            load,
            transactions: Vec::new(),
            counts: Counts::default(),
            processor: Processor::default(),
            clock,
            history: Digest::ZERO,
            round: 0,
            proposed_ns: BTreeMap::new(),
            decision_ns: Vec::new(),
            next_message: 0,
            queue: BTreeMap::new(),
            number: 0,
        };
        world.begin()?;
        Ok(world)
    }

    fn begin(&mut self) -> Result<(), String> {
        for seat in 0..self.plan.validators {
            let start = self.chain.start_after(0).clone();
            let (node, effects) = Node::founded(&self.founding, seat, start, EPOCH_MS)
                .map_err(|error| format!("node {seat} does not start: {error}"))?;
            self.nodes.push(node);
            self.execute(seat, effects)?;
            let work = Work::Due { height: 1 };
            self.at(FIRST_BLOCK_NS, Event::Engine { node: seat, work });
            let (one, other) = (self.dice.below(STATUS_NS), self.dice.below(HEARTBEAT_NS));
            self.at(one, Event::Status { node: seat });
            self.at(other, Event::Heartbeat { node: seat });
        }
        for seat in 0..self.plan.validators {
            let place = self.list(Load::reservation(&self.founding, seat), seat);
            // In every pool from the beginning: this is not what is measured.
            for node in &mut self.nodes {
                node.pool.insert(place, None);
            }
        }
        self.at(LOAD_FROM_NS, Event::Submit);
        Ok(())
    }

    /// The time that is measured.
    pub(super) fn measured(&self) -> (u64, u64) {
        let from = LOAD_FROM_NS + WARM_UP_NS;
        (from, from + self.plan.seconds * SECOND_NS)
    }

    pub(super) fn is_measured(&self, at_ns: u64) -> bool {
        let (from, to) = self.measured();
        (from..to).contains(&at_ns)
    }

    fn live_until(&mut self, until_ns: u64) -> Result<(), String> {
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 < until_ns) {
            let ((at_ns, number), event) = entry.remove_entry();
            self.now_ns = at_ns;
            // The engine does one thing after the other; what comes meanwhile keeps its order.
            if let Event::Engine { node, .. } = &event
                && self.nodes[*node].engine_free_ns > at_ns
            {
                self.queue.insert((self.nodes[*node].engine_free_ns, number), event);
                continue;
            }
            self.happen(event)?;
        }
        self.now_ns = until_ns;
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Left { from } => {
                let piece = self.pipes.next(self.now_ns, from);
                self.leave(from, piece);
            }
            Event::Came { to, bytes, post } => {
                let at_ns = self.pipes.arrives_ns(self.now_ns, to, bytes);
                match post {
                    Some(post) if at_ns == self.now_ns => return self.receive(to, post),
                    Some(post) => self.at(at_ns, Event::Post { to, post }),
                    None => {}
                }
            }
            Event::Post { to, post } => return self.receive(to, post),
            Event::Checked { node, heard, said } => return self.checked(node, heard, &said),
            Event::Admitted { node, batch } => self.admitted(node, &batch),
            Event::Withheld { node, heard, said } => self.pass_on_late(node, heard, &said),
            Event::Submit => self.submit()?,
            Event::Taken { node, place } => self.taken(node, place),
            Event::Batch { node } => self.publish_batch(node),
            Event::Engine { node, work } => return self.work(node, work),
            Event::Publish { node, message } => self.publish(node, *message),
            Event::Spread { node, body } => self.spread(node, &body),
            Event::Drive { node } => self.drive_fetches(node),
            Event::Sync { node } => self.sync(node),
            Event::Status { node } => {
                self.tell_tip(node);
                self.at(self.now_ns + STATUS_NS, Event::Status { node });
            }
            Event::Heartbeat { node } => {
                self.heartbeat(node);
                self.at(self.now_ns + HEARTBEAT_NS, Event::Heartbeat { node });
            }
        }
        Ok(())
    }

    /// Has `event` happen at a time.
    pub(super) fn at(&mut self, at_ns: u64, event: Event) {
        self.number += 1;
        self.queue.insert((at_ns, self.number), event);
    }

    /// What a clock on the wall shows at a time, in milliseconds since 1970.
    pub(super) const fn wall_ms(at_ns: u64) -> u64 {
        EPOCH_MS + at_ns / MS
    }

    /// Adds to the history.
    pub(super) fn note(&mut self, node: usize, at_ns: u64, block: &BlockHash) {
        let numbers = [node as u64, at_ns].map(u64::to_be_bytes).concat();
        self.history = sha256(&[&self.history.0[..], &numbers, &block.0].concat());
    }

    /// Takes a transaction into the run's list.
    pub(super) fn list(&mut self, signed: SignedTransaction, seat: usize) -> u32 {
        let place = u32::try_from(self.transactions.len()).expect("a run is short");
        self.chain.note(&signed, place);
        self.transactions.push(Transaction {
            bytes: signed.as_bytes().len() as u64,
            operations: signed.payload().operations.len() as u64,
            signed,
            seat,
            submitted_ns: self.now_ns,
            height: None,
            final_ns: None,
        });
        place
    }

    /// Sends a letter.
    pub(super) fn post(&mut self, from: usize, to: usize, letter: Letter) {
        let (kind, bytes, stream) = self.weigh(&letter);
        self.counts.sent.add(kind, bytes);
        let post = Post { from, kind, bytes, letter };
        let piece = self.pipes.push(self.now_ns, from, (to, stream), bytes, post);
        self.leave(from, piece);
    }

    /// Sends a request on a stream of its own.
    pub(super) fn request(&mut self, from: usize, to: usize, letter: Letter) {
        let letter = if self.plan.eager_streams { letter } else { Letter::Open(Box::new(letter)) };
        self.post(from, to, letter);
    }

    fn leave(&mut self, from: usize, piece: Option<Piece<Post>>) {
        let Some(Piece { to, bytes, left_ns, cargo }) = piece else { return };
        self.at(left_ns, Event::Left { from });
        let came_ns = left_ns + self.plan.delay_ms * MS;
        self.at(came_ns, Event::Came { to, bytes, post: cargo });
    }

    /// What a letter is for, its length on the line, and the stream that it takes.
    fn weigh(&self, letter: &Letter) -> (Kind, u64, Stream) {
        let exchange = |kind, bytes| (kind, bytes, Stream::Exchange);
        match letter {
            Letter::Gossip { talk, .. } => {
                let (kind, data) = talk.data();
                (kind, sizes::gossiped(talk.topic(), data), Stream::Gossip)
            }
            Letter::Have(topic, ids) => (Kind::Control, sizes::have(*topic, *ids), Stream::Gossip),
            Letter::Unwanted(_) => (Kind::Control, sizes::unwanted(), Stream::Gossip),
            Letter::Open(_) | Letter::Opened(_) => exchange(Kind::Control, sizes::opening()),
            Letter::Announce { body: Some(body), .. } => {
                exchange(Kind::Bodies, sizes::request(body.bytes))
            }
            Letter::GiveBody { body: Some(body), .. } => {
                exchange(Kind::Bodies, sizes::answer(body.bytes))
            }
            Letter::Announce { .. }
            | Letter::WantBody { .. }
            | Letter::Status(_)
            | Letter::WantBlocks { .. } => exchange(Kind::Control, sizes::request(0)),
            Letter::GiveBody { .. } | Letter::Noted | Letter::StatusIs(_) => {
                exchange(Kind::Control, sizes::answer(0))
            }
            Letter::GiveBlocks { from, count, .. } => {
                let bytes = |height| {
                    self.chain.at(height).map_or(0, |c| c.body.bytes + c.certificate_bytes)
                };
                exchange(Kind::Sync, sizes::answer((*from..from + count).map(bytes).sum()))
            }
        }
    }

    fn busy_ns(&self) -> [u64; 4] {
        let nodes = self.nodes.len() as u64;
        let out: u64 = (0..self.nodes.len()).map(|node| self.pipes.busy_ns(node)).sum();
        let first = &self.nodes[0];
        let lanes = [&first.executor, &first.admitter, &first.checker].map(|lane| lane.busy_ns);
        [out / nodes, lanes[0], lanes[1], lanes[2]]
    }

    /// Whether something that was handed in within the time is not final.
    fn is_awaited(&self, from: u64, to: u64) -> bool {
        let within = |t: &&Transaction| (from..to).contains(&t.submitted_ns);
        self.transactions.iter().filter(within).any(|t| t.final_ns.is_none())
    }

    fn receive(&mut self, to: usize, post: Post) -> Result<(), String> {
        let Post { from, kind, bytes, letter } = post;
        let late = |asked_ns: u64| self.now_ns > asked_ns + super::bodies::EXCHANGE_TIMEOUT_NS;
        let lost = match &letter {
            Letter::GiveBody { asked_ns, .. } | Letter::GiveBlocks { asked_ns, .. } => {
                late(*asked_ns)
            }
            _ => false,
        };
        if lost {
            self.counts.lost.add(kind, bytes);
            self.missed(to, &letter);
            return Ok(());
        }
        self.counts.received.add(kind, bytes);
        match letter {
            Letter::Gossip { id, author, talk } => {
                self.hear(to, Heard { id, author, from }, talk, bytes);
            }
            Letter::Have(..) | Letter::Noted => {}
            Letter::Unwanted(id) => {
                self.nodes[to].gossip.unwanted.insert((id, from));
            }
            Letter::Open(letter) => self.post(to, from, Letter::Opened(letter)),
            Letter::Opened(letter) => self.post(to, from, *letter),
            Letter::Announce { block, body } => self.on_announced(to, from, block, body),
            Letter::WantBody { block, asked_ns } => self.give_body(to, from, block, asked_ns),
            Letter::GiveBody { block, body, .. } => self.on_given(to, block, body),
            Letter::Status(tip) => {
                let own = self.nodes[to].tip;
                self.post(to, from, Letter::StatusIs(own));
                self.heard_of_tip(to, from, tip);
            }
            Letter::StatusIs(tip) => self.heard_of_tip(to, from, tip),
            Letter::WantBlocks { from: first, asked_ns } => {
                self.give_blocks(to, from, first, asked_ns);
            }
            Letter::GiveBlocks { from: first, count, .. } => {
                self.at(
                    self.now_ns,
                    Event::Engine { node: to, work: Work::Synced { first, count } },
                );
            }
        }
        Ok(())
    }

    /// Bytes that are neither received nor lost: in a lane, on the line or at a way in.
    fn under_way(&self) -> u64 {
        let on_the_line = self.queue.values().filter_map(|event| match event {
            Event::Came { post: Some(post), .. } | Event::Post { post, .. } => Some(post.bytes),
            _ => None,
        });
        self.pipes.waiting().map(|post| post.bytes).chain(on_the_line).sum()
    }

    fn figures(mut self, (from, to): (u64, u64), counts: Counts, shares: [f64; 4]) -> Figures {
        let within = |at_ns: u64| (from..to).contains(&at_ns);
        let heights: Vec<_> = (1..=self.chain.height())
            .filter_map(|height| self.chain.at(height))
            .filter(|committed| within(committed.at_ns))
            .collect();
        let committed = heights.iter().map(|c| c.body.operations).sum();
        let bytes: u64 = heights.iter().map(|c| c.body.bytes).sum();
        let handed_in: Vec<_> =
            self.transactions.iter().filter(|t| within(t.submitted_ns)).collect();
        let times = |of: &[&Transaction]| {
            let took = |t: &&Transaction| Some(t.final_ns? - t.submitted_ns);
            let mut times: Vec<u64> = of.iter().filter_map(took).collect();
            times.sort_unstable();
            times
        };
        let (first, second) = handed_in.split_at(handed_in.len() / 2);
        let licences = |t: &&Transaction| t.operations;
        let unfinished = handed_in.iter().filter(|t| t.final_ns.is_none()).map(licences).sum();
        self.decision_ns.sort_unstable();
        Figures {
            history: self.history,
            heights: heights.len() as u64,
            round: self.round,
            span_ns: to - from,
            offered: handed_in.iter().map(licences).sum(),
            committed,
            unfinished,
            finality_ns: times(&handed_in),
            halves_ns: [first, second].map(|half| quantile(&times(half), 0.5)),
            block_bytes: bytes / (heights.len() as u64).max(1),
            counts,
            under_way: self.under_way(),
            way_out: shares[0],
            executing: shares[1],
            admitting: shares[2],
            checking: shares[3],
            processor: self.processor,
            whole: self.counts,
            decision_ns: self.decision_ns,
        }
    }
}
