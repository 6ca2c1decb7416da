//! Bodies of the running height: built, received, executed on the worker threads, kept.
//!
//! A body is on disk before the host hears of it (host contract 5), and it is executed before
//! this node votes for it. An answer `valid: false` is given only for what is wrong for everybody
//! and for ever; a body that cannot be fetched or read is no verdict and is asked for again.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use symbolon_consensus::{
    Input, Peer,
    validity::{Outcome, check_outcome, proposal_time},
};
use symbolon_ledger::{
    block::{Block, HEADER_VERSION, Header, transactions_root},
    codes::ProvinceCode,
    hash::BlockHash,
};

use super::{
    Engine, EngineError, EngineParts, Event,
    shelf::{Need, Shelf},
};
use crate::{
    execution::{self, Executed, ExecutionError, Refused},
    network::{self, PeerIndex, Sources},
    pool::Pool,
    storage::Store,
    workers,
};

/// Most transactions that a proposer looks at: some may not apply.
const MAX_CANDIDATES: usize = 5_000;

/// Most bodies kept that nobody has asked for: those of the proposers of this height and the
/// next, and of a few that claim to be. The network sends none along that is large.
const MAX_UNASKED: usize = 8;
/// Most of them from one peer, so that a liar crowds out its own.
const MAX_UNASKED_OF_PEER: usize = 2;

/// A body's bytes and the peer that sent them; none when they come from this node's own disk.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) from: Option<PeerIndex>,
    /// Sent unasked: the sender vouches for it.
    pub(super) pushed: bool,
}

/// A body that came unasked.
#[derive(Debug)]
struct Early {
    block: BlockHash,
    height: u64,
    body: Received,
}

/// Bodies that came unasked, oldest first, and the rounds of the running height for which one
/// was executed ahead.
#[derive(Debug, Default)]
pub(super) struct Unasked {
    bodies: VecDeque<Early>,
    examined: BTreeSet<u32>,
}

impl Unasked {
    fn keep(&mut self, early: Early) {
        let from = early.body.from;
        let own = |kept: &Early| kept.body.from == from;
        if self.bodies.iter().any(|kept| kept.block == early.block) {
            return;
        }
        if self.bodies.iter().filter(|kept| own(kept)).count() >= MAX_UNASKED_OF_PEER {
            let oldest = self.bodies.iter().position(own).expect("there are some");
            self.bodies.remove(oldest);
        } else if self.bodies.len() >= MAX_UNASKED {
            self.bodies.pop_front();
        }
        self.bodies.push_back(early);
    }

    fn take(&mut self, block: &BlockHash) -> Option<Received> {
        let at = self.bodies.iter().position(|kept| kept.block == *block)?;
        self.bodies.remove(at).map(|early| early.body)
    }

    /// A height begins: what is older is of no use.
    pub(super) fn begin(&mut self, height: u64) {
        self.examined.clear();
        self.bodies.retain(|kept| kept.height >= height);
    }
}

/// A block with what it does.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) block: Block,
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) executed: Executed,
}

/// A body that was executed.
#[derive(Debug, Clone)]
pub(super) enum Body {
    Valid(Arc<Prepared>),
    /// Wrong for everybody and for ever.
    Invalid(Box<Header>),
}

impl Body {
    pub(super) fn header(&self) -> &Header {
        match self {
            Self::Valid(prepared) => &prepared.block.header,
            Self::Invalid(header) => header,
        }
    }
}

/// What came of building a block.
pub(super) struct Built {
    pub(super) prepared: Prepared,
    refused: Vec<Refused>,
}

impl Engine {
    /// Builds a block on a worker thread.
    pub(super) fn build(&mut self, round: u32) {
        let Some((province, _)) = &self.parts.identity else { return };
        let (province, now) = (*province, (self.parts.clock)());
        let (store, pool) = (self.parts.store.clone(), self.parts.pool.clone());
        let (events, parent) = (self.to_self.clone(), self.host.start().parent.hash());
        let most_bytes = self.reach.most_bytes(round);
        workers::spawn(move || {
            let result = build(&store, &pool, province, (now, most_bytes)).map(Box::new);
            events.answer(Event::Built { round, parent, result });
        });
    }

    pub(super) fn built(
        &mut self,
        round: u32,
        parent: BlockHash,
        result: Result<Box<Built>, ExecutionError>,
    ) -> Result<(), EngineError> {
        if parent != self.host.start().parent.hash() {
            return Ok(());
        }
        let Built { prepared, refused } = match result {
            Ok(built) => *built,
            Err(ExecutionError::Storage(error)) => return Err(error.into()),
            Err(error) => {
                tracing::error!(%error, "could not build a block");
                return Ok(());
            }
        };
        self.built = Some((round, prepared.bytes.len()));
        let header = prepared.block.header.clone();
        self.parts.pool.refused(header.height, refused);
        self.bodies.keep(header.hash(), Body::Valid(Arc::new(prepared)), Need::Asked);
        self.step(Input::BlockBuilt { round, header })
    }

    /// A later round begins: what this node proposed before was perhaps too large for its line, and
    /// certainly says nothing for a larger block.
    pub(super) fn learn_from_lost(&mut self, round: u32) {
        let Some((of, bytes)) = self.built.filter(|(of, _)| *of < round) else { return };
        if let Some(began) = self.rounds_began.get(&of) {
            self.reach.learn(bytes, round, began.elapsed());
        }
        self.built = None;
    }

    /// The height is over.
    pub(super) fn forget_rounds(&mut self) {
        self.rounds_began.clear();
        self.built = None;
    }

    /// Where a body may come from.
    pub(super) fn sources(&self, proposer: Option<ProvinceCode>, from: Option<Peer>) -> Sources {
        let validators = &self.host.start().validators;
        let proposer = proposer.and_then(|province| validators.get(province));
        Sources {
            spoke: from.map(|peer| PeerIndex(peer.0)),
            proposer: proposer.map(|validator| validator.peer_id.clone()),
        }
    }

    /// The host wants to know about a body.
    pub(super) fn request_body(
        &mut self,
        block: BlockHash,
        height: u64,
        sources: Sources,
    ) -> Result<Vec<Input>, EngineError> {
        self.bodies.need(&block, Need::Asked);
        if let Some(body) = self.bodies.get(&block) {
            return Ok(vec![answer(body)]);
        }
        self.wanted.insert(block);
        if self.examining.contains(&block) {
            return Ok(Vec::new());
        }
        if let Some(body) = self.unasked.take(&block) {
            self.examine(block, body);
            return Ok(Vec::new());
        }
        match self.parts.store.body(&block)? {
            Some(bytes) => self.examine(block, own(bytes)),
            None => {
                self.parts.network.fetch_body(block, height, sources);
            }
        }
        Ok(Vec::new())
    }

    /// A body came, asked for or sent along by its proposer.
    pub(super) fn received(&mut self, block: BlockHash, height: u64, body: Received) {
        let running = self.host.height();
        if self.bodies.contains(&block) || self.examining.contains(&block) {
            return;
        }
        if height == running && self.wanted.contains(&block) {
            self.examine(block, body);
        } else if height == running || height == running.saturating_add(1) {
            self.unasked.keep(Early { block, height, body });
            self.examine_ahead();
        }
    }

    /// Executes ahead what the host will most likely ask for in a moment: of the proposers of
    /// this round and the next, one body each. Anything else waits until it is asked for, so
    /// that nobody makes this node execute what was never proposed.
    pub(super) fn examine_ahead(&mut self) {
        let (start, round) = (self.host.start(), self.host.round().unwrap_or(0));
        let height = start.height();
        let turn = |round: u32| (round, start.validators.proposer(height, round).province);
        for (round, proposer) in [turn(round), turn(round.saturating_add(1))] {
            let is_due = |kept: &&Early| {
                kept.height == height && proposer_of(&kept.body.bytes) == Some(proposer)
            };
            let due = self.unasked.bodies.iter().find(is_due).map(|kept| kept.block);
            if let Some(block) = due.filter(|_| !self.unasked.examined.contains(&round))
                && let Some(body) = self.unasked.take(&block)
            {
                self.unasked.examined.insert(round);
                self.examine(block, body);
            }
        }
    }

    /// Executes a body on a worker thread.
    fn examine(&mut self, block: BlockHash, Received { bytes, from, pushed }: Received) {
        self.examining.insert(block);
        let (store, pool) = (self.parts.store.clone(), self.parts.pool.clone());
        let (events, parent) = (self.to_self.clone(), self.host.start().parent.hash());
        workers::spawn(move || {
            let body = examine(&store, &pool, block, bytes);
            events.answer(Event::Examined { block, parent, body, from, pushed });
        });
    }

    pub(super) fn examined(
        &mut self,
        block: BlockHash,
        parent: BlockHash,
        body: Result<Body, ExecutionError>,
        from: Option<PeerIndex>,
        pushed: bool,
    ) -> Result<(), EngineError> {
        self.examining.remove(&block);
        if parent != self.host.start().parent.hash() {
            return Ok(());
        }
        match body {
            Ok(body) => {
                if let Body::Invalid(header) = &body {
                    tracing::warn!(%block, height = header.height, "a proposed block is invalid");
                    // Nobody honest sends along what it has not executed itself.
                    if let Some(peer) = from.filter(|_| pushed) {
                        self.parts.network.blame(peer);
                    }
                }
                let answer = answer(&body);
                let asked = self.wanted.remove(&block);
                self.bodies.keep(block, body, if asked { Need::Asked } else { Need::Unasked });
                if asked { self.step(answer) } else { Ok(()) }
            }
            Err(ExecutionError::Storage(error)) => Err(error.into()),
            Err(error) => {
                if let Some(peer) = from {
                    tracing::warn!(peer = peer.0, %error, "a peer sent a bad body");
                    self.parts.network.blame(peer);
                }
                if self.wanted.contains(&block) {
                    self.parts.network.fetch_body(block, self.host.height(), Sources::default());
                }
                Ok(())
            }
        }
    }

    /// Host contract 5: the body is on disk when this returns without an error, for the log may
    /// name it next.
    pub(super) fn store_body(&mut self, block: BlockHash) -> Result<(), EngineError> {
        let height = self.host.height();
        if let Some(Body::Valid(prepared)) = self.bodies.get(&block) {
            self.parts.store.keep_undecided(height, &block, &prepared.bytes)?;
            self.bodies.need(&block, Need::Done);
        } else if self.parts.store.body(&block)?.is_none() {
            return Err(EngineError::BodyGone { block, height });
        }
        Ok(())
    }

    pub(super) fn spread_body(&mut self, block: BlockHash) -> Result<(), EngineError> {
        let bytes = match self.bodies.get(&block) {
            Some(Body::Valid(prepared)) => Some(prepared.bytes.clone()),
            _ => self.parts.store.body(&block)?.map(Arc::new),
        };
        if let Some(bytes) = bytes {
            self.parts.network.announce_body(block, self.host.height(), bytes);
        }
        Ok(())
    }

    /// The body of a decided block: in memory, or kept on disk before a restart.
    pub(super) fn decided_body(&mut self, block: BlockHash) -> Result<Arc<Prepared>, EngineError> {
        let fail = |reason: String| EngineError::Decided { block, reason };
        let body = match self.bodies.take(&block) {
            Some(body) => body,
            None => {
                let (store, pool) = (&self.parts.store, &self.parts.pool);
                let bytes = store.body(&block)?.ok_or_else(|| fail("its body is gone".into()))?;
                examine(store, pool, block, Arc::new(bytes)).map_err(|e| fail(e.to_string()))?
            }
        };
        match body {
            Body::Valid(prepared) => Ok(prepared),
            Body::Invalid(_) => Err(fail("it is invalid here".into())),
        }
    }
}

/// A body from this node's own disk.
fn own(bytes: Vec<u8>) -> Received {
    Received { bytes: Arc::new(bytes), from: None, pushed: false }
}

/// Who proposes the block with these bytes, as its header says.
fn proposer_of(bytes: &[u8]) -> Option<ProvinceCode> {
    network::header_of(bytes).and_then(|header| header.proposer)
}

fn answer(body: &Body) -> Input {
    let valid = matches!(body, Body::Valid(_));
    Input::BodyValidated { header: body.header().clone(), valid }
}

/// The bodies kept on disk for `height`, executed before consensus goes on where it stopped: the
/// log may end in the decision of one of them.
pub(super) fn kept(parts: &EngineParts, height: u64) -> Result<Shelf, EngineError> {
    let mut shelf = Shelf::default();
    for bytes in parts.store.undecided(height)? {
        let Some(block) = network::header_of(&bytes).map(|header| header.hash()) else { continue };
        match examine(&parts.store, &parts.pool, block, Arc::new(bytes)) {
            Ok(body) => shelf.keep(block, body, Need::Asked),
            Err(ExecutionError::Storage(error)) => return Err(error.into()),
            // Not a body of this height: the log will not name it.
            Err(error) => tracing::warn!(%block, %error, "a kept body is of no use"),
        }
    }
    Ok(shelf)
}

/// A block of at most `most_bytes` on the tip, proposed `now`.
pub(super) fn build(
    store: &Store,
    pool: &Pool,
    province: ProvinceCode,
    (now, most_bytes): (u64, usize),
) -> Result<Built, ExecutionError> {
    let view = store.view()?;
    let tip = view.tip();
    let (transactions, executed, refused) =
        execution::select(&view, pool.candidates(MAX_CANDIDATES), most_bytes)?;
    let header = Header {
        version: HEADER_VERSION,
        chain_id: view.chain_id(),
        height: tip.height + 1,
        time_ms: proposal_time(now, &tip.header),
        parent: tip.hash,
        history_root: view.frontier()?.root(),
        transactions_root: transactions_root(&transactions),
        state_root: executed.state_root(),
        validators_hash: tip.header.next_validators_hash,
        next_validators_hash: executed.next_validators.hash(),
        proposer: Some(province),
    };
    let block = Block { header, transactions };
    let bytes = Arc::new(block.encode());
    Ok(Built { prepared: Prepared { block, bytes, executed }, refused })
}

/// Reads and executes a body.
///
/// # Errors
///
/// [`ExecutionError::Storage`] is a fault of this node; anything else means that these bytes are
/// not the body of `block`, and another peer may have it.
fn examine(
    store: &Store,
    pool: &Pool,
    block: BlockHash,
    bytes: Arc<Vec<u8>>,
) -> Result<Body, ExecutionError> {
    let decoded = Block::decode_with(&bytes, |id| pool.transaction(id))
        .map_err(|e| ExecutionError::OtherBody(e.to_string()))?;
    if decoded.hash() != block {
        return Err(ExecutionError::OtherBody("another block".into()));
    }
    let view = store.view()?;
    let tip = view.tip();
    if decoded.header.height != tip.height + 1 {
        return Err(ExecutionError::OtherBody("a block of another height".into()));
    }
    if decoded.header.parent != tip.hash {
        return Ok(Body::Invalid(Box::new(decoded.header)));
    }
    prepare(&view, pool, decoded, bytes)
}

/// Executes a block on the view's tip and compares what its header says.
pub(super) fn prepare(
    view: &crate::storage::View<'_>,
    pool: &Pool,
    block: Block,
    bytes: Arc<Vec<u8>>,
) -> Result<Body, ExecutionError> {
    let known = pool.known(block.transactions.iter().map(|t| t.id()));
    let executed = match execution::execute_block(view, &block, &known) {
        Ok(executed) => executed,
        Err(ExecutionError::Storage(error)) => return Err(error.into()),
        Err(_) => return Ok(Body::Invalid(Box::new(block.header))),
    };
    let outcome = Outcome {
        transactions_root: transactions_root(&block.transactions),
        state_root: executed.state_root(),
        next_validators_hash: executed.next_validators.hash(),
        transactions: block.transactions.len(),
        bytes: bytes.len(),
    };
    match check_outcome(&block.header, &outcome) {
        Ok(()) => Ok(Body::Valid(Arc::new(Prepared { block, bytes, executed }))),
        Err(error) => {
            tracing::warn!(%error, "a proposed block does not tell the truth");
            Ok(Body::Invalid(Box::new(block.header)))
        }
    }
}
