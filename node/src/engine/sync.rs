//! Catching up: a node that was down or is new takes committed blocks from its peers.
//!
//! A fetched block is believed for its certificate alone: more than two thirds of the set in
//! this node's own state have signed its hash. A worker checks that and executes the block; the
//! engine commits it like any other, and consensus starts afresh at the height after it.
//!
//! A node that is very far behind copies a snapshot as well (`crate::join`). This gives it a head start,
//! and then goes on as far as peers serve the next block: nobody can stop it by what it says of
//! snapshots.
//!
//! One range is asked for at a time, and the next only when it has come or has failed. What a
//! peer says of its own height decides whom to ask, and whether this node calls itself behind. Who
//! claims what nobody could serve is believed again only after a pause, which is longer each time;
//! what the others say meanwhile is looked into at once.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use symbolon_consensus::{HeightStart, Host, reach::TARGET, validity::check_committed};
use symbolon_ledger::{
    block::Block,
    certificate::{Certificate, MAX_CERTIFICATE_BYTES},
    codec,
    hash::BlockHash,
    validators::may_fail,
};

use super::{
    Engine, EngineError, Event,
    bodies::{Body, Prepared, prepare},
    config, height_start,
};
use crate::{
    execution::ExecutionError,
    join::Told,
    network::PeerIndex,
    pool::Pool,
    storage::{StorageError, Store},
    workers,
};

/// How long a peer may be ahead before this node asks for blocks: within it the running height
/// is usually decided here as well.
const GRACE: Duration = Duration::from_millis(400);
/// The same for one that has just committed a fetched block. It has missed what was said of the height
/// that is running elsewhere, and where several heights go by within the longer grace it would not fall
/// into step. More than peers of one region are apart in time, and a fraction of
/// [`AWAY`](symbolon_consensus::timing::AWAY): at the latest while the others wait for its own
/// proposal it has their blocks.
const GRACE_CATCHING_UP: Duration = Duration::from_millis(50);
/// How long after such a block a node is taken to be catching up: longer than the others' heights take,
/// also one whose proposer is not waited for.
const CATCHING_UP: Duration = TARGET.saturating_mul(2);
/// How long the next blocks of a range may take before another peer is asked.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most blocks asked for at once.
const BATCH: u64 = 128;
/// First pause after nobody could serve what was claimed.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// It doubles to at most this, so that a lying tip costs next to nothing.
const PAUSE_LONGEST: Duration = Duration::from_secs(60);

/// What the log says then.
const NOBODY_SERVES: &str = "no peer gives the next block, and they say that they are further; asking again after a pause. An archive needs a peer that has all blocks: name one in network.peers, or join by snapshot by setting history.keep_blocks";

/// A block that came and is not committed yet.
#[derive(Debug, Clone)]
struct Fetched {
    height: u64,
    block: Arc<Vec<u8>>,
    certificate: Vec<u8>,
    from: PeerIndex,
}

/// A peer that claims what nobody could serve is not believed until then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doubt {
    pub(super) pause: Duration,
    pub(super) until: Instant,
}

/// A range that was asked for.
#[derive(Debug)]
struct Asked {
    last: u64,
    until: Instant,
}

/// Who claims which height, what was asked, and what has come.
#[derive(Debug, Default)]
pub(super) struct Sync {
    /// What each peer said of its own height last.
    pub(super) claims: BTreeMap<PeerIndex, u64>,
    /// It outlives the connection, so that nobody ends his pause by connecting anew.
    pub(super) doubts: BTreeMap<PeerIndex, Doubt>,
    asked: Option<Asked>,
    /// The next height, when peers claimed to have it at the last look. It outlives that nothing
    /// is asked for: while a snapshot is copied, and in the pause after nobody could serve.
    behind_at: Option<u64>,
    /// When this node was last found to be behind, on its clock.
    pub(super) behind_ms: Option<u64>,
    /// In order of height, the first of them after the tip.
    blocks: VecDeque<Fetched>,
    /// A worker has the first of them.
    pub(super) checking: bool,
    /// When the last one that had come was committed.
    last_committed: Option<Instant>,
    look_again: Option<Instant>,
    turn: usize,
}

impl Sync {
    /// When to look again whether this node is behind.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.asked.as_ref().map(|asked| asked.until).or(self.look_again)
    }

    /// Whether this node is catching up, as far as it can tell: blocks are coming, or it has
    /// looked for them and more peers than may lie say that there are some after `next - 1`.
    fn is_syncing(&self, next: u64, may_lie: usize) -> bool {
        let claim = self.claims.values().filter(|tip| **tip >= next).count();
        let looked = self.asked.is_some() || self.behind_at == Some(next);
        !self.blocks.is_empty() || (looked && claim > may_lie)
    }

    fn is_catching_up(&self, now: Instant) -> bool {
        self.last_committed.is_some_and(|at| now.saturating_duration_since(at) < CATCHING_UP)
    }

    pub(super) fn gone(&mut self, peer: PeerIndex) {
        self.claims.remove(&peer);
    }

    /// Until when what a peer claims is not asked for.
    fn doubted_until(&self, peer: PeerIndex, now: Instant) -> Option<Instant> {
        self.doubts.get(&peer).map(|doubt| doubt.until).filter(|until| *until > now)
    }

    /// Looks again after the grace, or once the peer that gives the reason is believed again.
    fn look_after(&mut self, reason: PeerIndex, now: Instant) {
        let grace = if self.is_catching_up(now) { GRACE_CATCHING_UP } else { GRACE };
        let at = self.doubted_until(reason, now).unwrap_or(now + grace);
        self.look_again = Some(self.look_again.map_or(at, |known| known.min(at)));
    }

    /// The answer did not come, or was wrong: it is another peer's turn.
    fn failed(&mut self, now: Instant) {
        self.asked = None;
        self.turn = self.turn.wrapping_add(1);
        for peer in self.claims.keys().copied().collect::<Vec<_>>() {
            self.look_after(peer, now);
        }
    }

    /// Nobody could give the block at `height`: whoever claims it may be lying, or have dropped it.
    /// The longest of their pauses.
    fn doubt(&mut self, height: u64, now: Instant) -> Duration {
        let mut longest = PAUSE_FIRST;
        for (peer, _) in self.claims.iter().filter(|(_, tip)| **tip >= height) {
            let known = self.doubts.get(peer).map(|doubt| doubt.pause);
            let pause = known.map_or(PAUSE_FIRST, |pause| (2 * pause).min(PAUSE_LONGEST));
            self.doubts.insert(*peer, Doubt { pause, until: now + pause });
            longest = longest.max(pause);
        }
        longest
    }
}

/// What a worker found out about a fetched block.
pub(super) enum Checked {
    Good(Box<Certificate>, Arc<Prepared>),
    /// Its sender is to blame.
    Bad(String),
    /// More than two thirds committed it, so it is this node that is wrong.
    WrongHere(BlockHash),
    Fault(StorageError),
}

impl Engine {
    /// A peer says what its tip is. The newest word counts.
    pub(super) fn heard_of_tip(&mut self, peer: PeerIndex, height: u64) {
        self.heard_of_tip_at(peer, height, Instant::now());
    }

    /// The same at a moment that a test chooses.
    pub(super) fn heard_of_tip_at(&mut self, peer: PeerIndex, height: u64, now: Instant) {
        self.sync.claims.insert(peer, height);
        if height >= self.host.height() && self.sync.asked.is_none() {
            self.sync.look_after(peer, now);
        }
    }

    /// A peer speaks of a height that begins only when `height` is committed.
    pub(super) fn heard_of_height(&mut self, peer: PeerIndex, height: u64) {
        let doubted = self.sync.doubted_until(peer, Instant::now()).is_some();
        let known = self.sync.claims.get(&peer).filter(|_| !doubted);
        self.heard_of_tip(peer, known.map_or(height, |tip| (*tip).max(height)));
    }

    /// Whether this node is behind. Who has fewer peers than may lie has nobody else to ask: all
    /// of them must say so.
    pub(super) fn is_behind(&self) -> bool {
        self.sync.is_syncing(self.host.height(), self.may_lie())
    }

    /// Whether the running height is over elsewhere, as blocks show and not claims alone, with which
    /// peers could keep a validator from beginning: some have come, or this node is behind and
    /// has asked for more, and one was committed just now.
    pub(super) fn is_fed(&self, now: Instant) -> bool {
        let is_asking = self.sync.asked.is_some() && self.sync.is_catching_up(now);
        !self.sync.blocks.is_empty() || (is_asking && self.is_behind())
    }

    /// How many peers may lie about their height.
    fn may_lie(&self) -> usize {
        let may_lie = may_fail(self.host.start().validators.validators().len());
        may_lie.min(self.peers.len().saturating_sub(1))
    }

    /// Has the node join by snapshot when it is far behind what more peers than may lie say; whether
    /// block sync is to wait for that.
    fn waits_for_snapshot(&self, next: u64) -> bool {
        let Some(joiner) = &self.parts.joiner else { return false };
        let mut tips: Vec<_> = self.sync.claims.values().copied().collect();
        tips.sort_unstable_by_key(|tip| std::cmp::Reverse(*tip));
        if let Some(likely) = tips.get(self.may_lie()) {
            joiner.considers(next, *likely);
        }
        joiner.is_waited_for()
    }

    /// Asks for the next blocks when a peer claims to have them.
    pub(super) fn sync_if_behind(&mut self) {
        self.sync_if_behind_at(Instant::now());
    }

    /// The same at a moment that a test chooses.
    pub(super) fn sync_if_behind_at(&mut self, now: Instant) {
        if self.sync.asked.as_ref().is_some_and(|asked| asked.until <= now) {
            self.sync.failed(now);
        }
        if self.sync.asked.is_some() || !self.sync.blocks.is_empty() {
            return;
        }
        self.sync.look_again = None;
        let next = self.host.height();
        let claims = self.sync.claims.iter().map(|(peer, tip)| (*peer, *tip));
        let ahead: Vec<_> = claims.filter(|(_, tip)| *tip >= next).collect();
        self.sync.behind_at = (!ahead.is_empty()).then_some(next);
        if self.waits_for_snapshot(next) {
            self.sync.look_again = Some(now + PATIENCE);
            return;
        }
        let is_doubted =
            |(peer, _): &(PeerIndex, u64)| self.sync.doubted_until(*peer, now).is_some();
        let (doubted, believed): (Vec<_>, Vec<_>) = ahead.into_iter().partition(is_doubted);
        if believed.is_empty() {
            doubted.into_iter().for_each(|(peer, _)| self.sync.look_after(peer, now));
            return;
        }
        let (peer, tip) = believed[self.sync.turn % believed.len()];
        let last = tip.min(next.saturating_add(BATCH - 1));
        self.parts.network.fetch_blocks(next, last, Some(peer));
        self.sync.asked = Some(Asked { last, until: now + PATIENCE });
    }

    /// What the network says of snapshots.
    pub(super) fn tell_joiner(&self, heard: Told) {
        if let Some(joiner) = &self.parts.joiner {
            joiner.hear(heard);
        }
    }

    /// Nobody could give the block at `height`. When that was decided here meanwhile, nobody is to
    /// be doubted for it.
    pub(super) fn sync_failed(&mut self, height: u64) {
        let now = Instant::now();
        if self.sync.asked.is_none() {
            return;
        }
        if height < self.host.height() {
            self.sync.failed(now);
            return;
        }
        let was_behind = self.is_behind();
        let pause = self.sync.doubt(height, now);
        if was_behind {
            let seconds = pause.as_secs();
            let is_archive = self.parts.joiner.is_none();
            tracing::warn!(height, seconds, is_archive, "{NOBODY_SERVES}");
        }
        self.sync.failed(now);
    }

    /// Blocks have come, in order. Those of heights that are committed here are old; after a gap
    /// they belong to a range that was given up. Neither is anybody's fault.
    pub(super) fn fetched(&mut self, first: u64, blocks: Vec<(Vec<u8>, Vec<u8>)>, from: PeerIndex) {
        let Some(asked) = &mut self.sync.asked else { return };
        asked.until = Instant::now() + PATIENCE;
        for (height, (block, certificate)) in (first..).zip(blocks) {
            let next = self.sync.blocks.back().map_or(self.host.height(), |b| b.height + 1);
            if height == next {
                let block = Arc::new(block);
                self.sync.blocks.push_back(Fetched { height, block, certificate, from });
            }
        }
        self.check_next();
    }

    /// Has a worker check and execute the first block that waits; asks for more when all that
    /// was asked for is committed.
    fn check_next(&mut self) {
        if self.sync.checking {
            return;
        }
        let next = self.host.height();
        self.sync.blocks.retain(|fetched| fetched.height >= next);
        if let Some(fetched) = self.sync.blocks.front().cloned() {
            let (store, pool) = (self.parts.store.clone(), self.parts.pool.clone());
            let (events, start) = (self.to_self.clone(), self.host.start().clone());
            let from = fetched.from;
            self.sync.checking = true;
            workers::spawn(move || {
                let checked = check(&store, &pool, &start, fetched);
                let parent = start.parent.hash();
                events.answer(Event::SyncChecked { parent, checked, from });
            });
        } else if self.sync.asked.as_ref().is_some_and(|asked| asked.last < next) {
            tracing::info!(height = next.saturating_sub(1), "caught up by block sync");
            self.sync.asked = None;
            self.sync_if_behind();
        }
    }

    /// A worker has looked at a fetched block.
    pub(super) fn sync_checked(
        &mut self,
        parent: BlockHash,
        checked: Checked,
        from: PeerIndex,
    ) -> Result<(), EngineError> {
        self.sync.checking = false;
        // If consensus has decided the height meanwhile, the answer is old.
        if parent == self.host.start().parent.hash() {
            match checked {
                Checked::Good(certificate, prepared) => {
                    self.check_own_signature(&certificate)?;
                    self.commit(&prepared, &certificate)?;
                    self.sync.doubts.remove(&from);
                    self.sync.last_committed = Some(Instant::now());
                    tracing::debug!(height = certificate.height, "caught up by one block");
                    self.restart_consensus(height_start(&self.parts.store)?)?;
                }
                Checked::Bad(reason) => {
                    let height = self.host.height();
                    tracing::warn!(peer = from.0, height, reason, "a peer sent a bad block");
                    self.parts.network.blame(from);
                    self.sync.claims.remove(&from);
                    self.sync.blocks.clear();
                    self.sync.failed(Instant::now());
                }
                Checked::WrongHere(block) => {
                    let reason = "it is invalid here: this node's state or release differs".into();
                    return Err(EngineError::Decided { block, reason });
                }
                Checked::Fault(error) => return Err(error.into()),
            }
        }
        self.check_next();
        self.begin_if_prepared()
    }

    /// Consensus begins anew at the height after the tip. Everything signed for earlier heights
    /// is past: they are committed, and the log of the new height is empty.
    pub(super) fn restart_consensus(&mut self, start: HeightStart) -> Result<(), EngineError> {
        self.checks.move_to(start.clone());
        self.bodies.clear();
        self.examining.clear();
        self.wanted.clear();
        self.timers.clear();
        self.forget_rounds();
        self.wakes.clear();
        let now = (self.parts.clock)();
        let config = config(&self.parts, self.after_sync(&start));
        let (host, effects) = Host::recover(config, start, &[], Vec::new(), now)?;
        self.host = host;
        let mut inputs = VecDeque::new();
        for effect in effects {
            inputs.extend(self.execute(effect)?);
        }
        self.drive(inputs)?;
        self.unasked.begin(self.host.height());
        self.examine_ahead();
        self.plan_begin();
        Ok(())
    }
}

/// Looks at a fetched block on a worker: form, certificate, and what it does.
fn check(store: &Store, pool: &Pool, start: &HeightStart, fetched: Fetched) -> Checked {
    let bad = |reason: &dyn std::fmt::Display| Checked::Bad(reason.to_string());
    let block = match Block::decode(&fetched.block) {
        Ok(block) => block,
        Err(error) => return bad(&error),
    };
    let certificate: Certificate = match codec::decode(&fetched.certificate, MAX_CERTIFICATE_BYTES)
    {
        Ok(certificate) => certificate,
        Err(error) => return bad(&error),
    };
    if let Err(error) = check_committed(&store.chain_id(), start, &block.header, &certificate) {
        return bad(&error);
    }
    let view = match store.view() {
        Ok(view) => view,
        Err(error) => return Checked::Fault(error),
    };
    match prepare(&view, pool, block, fetched.block) {
        Ok(Body::Valid(prepared)) => Checked::Good(Box::new(certificate), prepared),
        Ok(Body::Invalid(_)) => Checked::WrongHere(certificate.block),
        Err(ExecutionError::Storage(error)) => Checked::Fault(error),
        Err(error) => bad(&error),
    }
}
