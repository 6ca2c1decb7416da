//! Bodies of blocks: sent along when they are small, announced and fetched when not, executed before
//! anybody votes. The constants are those of the node's `network/limits.rs`; what it does with them is
//! in its `network/bodies.rs` and `engine/bodies.rs`.

use std::{collections::BTreeSet, sync::Arc};

use symbolon_consensus::Input;
use symbolon_ledger::hash::BlockHash;

use super::{
    chain::Body,
    engine::Work,
    node::Fetch,
    pipes::SECOND_NS,
    world::{Event, Letter, MS, World},
};

/// A body of at most this size is sent along with its announcement (`PUSH_BYTES`).
pub const PUSH_BYTES: u64 = 1024 * 1024;
/// An exchange that takes longer has failed (`EXCHANGE_TIMEOUT`).
pub(super) const EXCHANGE_TIMEOUT_NS: u64 = 10 * SECOND_NS;
/// A peer that has not answered for so long is joined by another (`FETCH_HEDGE`).
const HEDGE_NS: u64 = SECOND_NS;
/// How long a body is waited for that its proposer sends along (`FETCH_PUSHED`).
pub const PUSHED_NS: u64 = 3 * SECOND_NS / 2;
/// A fetch that nobody could answer waits so long for an announcement (`FETCH_GRACE`).
const GRACE_NS: u64 = SECOND_NS;
/// No fetch takes longer (`FETCH_LONGEST`).
const LONGEST_NS: u64 = 12 * SECOND_NS;
/// How often due work is looked for (`TICK`).
const TICK_NS: u64 = 100 * MS;

impl World {
    /// A body that a node has.
    pub(super) fn body(&self, id: usize, block: &BlockHash) -> Option<Arc<Body>> {
        let node = &self.nodes[id];
        let stored = || {
            let heights = (1..=node.tip).rev();
            let committed = heights.filter_map(|height| self.chain.at(height));
            committed.map(|c| &c.body).find(|body| body.hash == *block)
        };
        node.bodies.get(block).or_else(stored).cloned()
    }

    /// Tells every peer; sends it along when it is small and this node's own.
    pub(super) fn spread(&mut self, id: usize, body: &Arc<Body>) {
        let from_another = self.nodes[id].delivered.contains(&body.hash);
        let push = body.bytes <= PUSH_BYTES && !from_another;
        let all = self.nodes.len();
        for other in (1..all).map(|step| (id + step) % all) {
            let knows =
                self.nodes[id].announced.get(&body.hash).is_some_and(|a| a.contains(&other));
            let along = (push && !knows).then(|| body.clone());
            self.request(id, other, Letter::Announce { block: body.hash, body: along });
        }
    }

    /// A peer has a body, and perhaps sent it along.
    pub(super) fn on_announced(
        &mut self,
        id: usize,
        from: usize,
        block: BlockHash,
        body: Option<Arc<Body>>,
    ) {
        self.post(id, from, Letter::Noted);
        let node = &mut self.nodes[id];
        let is_news = node.announced.entry(block).or_default().insert(from);
        match body {
            Some(body) => {
                node.fetches.remove(&block);
                node.delivered.insert(block);
                self.at(self.now_ns, Event::Engine { node: id, work: Work::Body(body) });
            }
            None => {
                if let Some(fetch) = node.fetches.get_mut(&block).filter(|_| is_news) {
                    fetch.asked.remove(&from);
                }
                self.drive_fetch(id, block);
            }
        }
    }

    /// A body came: it is executed when the host wants it or soon will.
    pub(super) fn received(&mut self, id: usize, body: Arc<Body>) {
        let node = &mut self.nodes[id];
        let (running, height) = (node.host.height(), body.block.header.height);
        if node.bodies.contains_key(&body.hash) || node.examining.contains(&body.hash) {
            return;
        }
        if height == running && node.wanted.contains(&body.hash) {
            self.examine(id, body);
        } else if height == running || height == running + 1 {
            node.unasked.insert(body.hash, body);
            self.examine_ahead(id);
        }
    }

    /// Executes ahead what the proposers of this round and the next have sent.
    pub(super) fn examine_ahead(&mut self, id: usize) {
        let node = &self.nodes[id];
        let (start, round) = (node.host.start(), node.host.round().unwrap_or(0));
        let height = start.height();
        let turns = [round, round + 1].map(|r| Some(start.validators.proposer(height, r).province));
        let is_due = |body: &&Arc<Body>| {
            let header = &body.block.header;
            header.height == height && turns.contains(&header.proposer)
        };
        let due: Vec<_> = node.unasked.values().filter(is_due).cloned().collect();
        for body in due {
            self.nodes[id].unasked.remove(&body.hash);
            self.examine(id, body);
        }
    }

    /// Executes a body on a worker thread. What it finds is known: its builder is honest.
    fn examine(&mut self, id: usize, body: Arc<Body>) {
        let node = &mut self.nodes[id];
        node.examining.insert(body.hash);
        let takes_ns = self.plan.costs.execute_ns * body.operations;
        let done_ns = node.executor.done_ns(self.now_ns, takes_ns);
        self.at(done_ns, Event::Engine { node: id, work: Work::Examined(body) });
    }

    pub(super) fn examined(&mut self, id: usize, body: Arc<Body>) -> Result<(), String> {
        let node = &mut self.nodes[id];
        let (hash, header) = (body.hash, body.block.header.clone());
        node.examining.remove(&hash);
        if header.parent != node.host.start().parent.hash() {
            return Ok(());
        }
        node.bodies.insert(hash, body);
        if node.wanted.remove(&hash) {
            let input = Input::BodyValidated { header, valid: true };
            return self.work(id, Work::Step(Box::new(input)));
        }
        Ok(())
    }

    /// The host wants to know about a body.
    pub(super) fn request_body(
        &mut self,
        id: usize,
        block: BlockHash,
        height: u64,
        from: Option<usize>,
    ) -> Option<Input> {
        let node = &mut self.nodes[id];
        if let Some(body) = node.bodies.get(&block) {
            let header = body.block.header.clone();
            return Some(Input::BodyValidated { header, valid: true });
        }
        node.wanted.insert(block);
        if node.examining.contains(&block) {
            return None;
        }
        match node.unasked.remove(&block) {
            Some(body) => self.examine(id, body),
            None => self.fetch(id, block, height, from),
        }
        None
    }

    /// Begins a fetch, or turns one that runs to another preferred peer.
    pub(super) fn fetch(
        &mut self,
        id: usize,
        block: BlockHash,
        height: u64,
        prefer: Option<usize>,
    ) {
        let now_ns = self.now_ns;
        let fetch = self.nodes[id].fetches.entry(block).or_insert_with(|| Fetch {
            height,
            prefer,
            started_ns: now_ns,
            last_asked_ns: now_ns,
            asked: BTreeSet::new(),
            under_way: 0,
        });
        fetch.prefer = prefer.or(fetch.prefer);
        self.drive_fetch(id, block);
        self.at(now_ns + TICK_NS, Event::Drive { node: id });
    }

    pub(super) fn drive_fetches(&mut self, id: usize) {
        let blocks: Vec<_> = self.nodes[id].fetches.keys().copied().collect();
        for block in &blocks {
            self.drive_fetch(id, *block);
        }
        if !self.nodes[id].fetches.is_empty() {
            self.at(self.now_ns + TICK_NS, Event::Drive { node: id });
        }
    }

    /// Asks one more peer when nobody is being asked or who is takes long.
    fn drive_fetch(&mut self, id: usize, block: BlockHash) {
        let now_ns = self.now_ns;
        let all = self.nodes.len();
        let node = &mut self.nodes[id];
        let Some(fetch) = node.fetches.get_mut(&block) else { return };
        let age_ns = now_ns - fetch.started_ns;
        if age_ns >= LONGEST_NS {
            self.fail_fetch(id, block);
            return;
        }
        let announced = node.announced.get(&block);
        let has_announced = |peer: usize| announced.is_some_and(|by| by.contains(&peer));
        let unannounced = fetch.prefer.is_some_and(|peer| !has_announced(peer));
        let on_its_way = age_ns < PUSHED_NS && unannounced;
        if on_its_way || (fetch.under_way > 0 && now_ns - fetch.last_asked_ns < HEDGE_NS) {
            return;
        }
        let others = (1..all).map(|step| (id + step) % all);
        let next = others.filter(|peer| !fetch.asked.contains(peer)).min_by_key(|peer| {
            let in_vain = fetch.prefer == Some(*peer) && !has_announced(*peer);
            (in_vain, fetch.prefer != Some(*peer), !has_announced(*peer))
        });
        match next {
            Some(peer) => {
                fetch.asked.insert(peer);
                fetch.last_asked_ns = now_ns;
                fetch.under_way += 1;
                self.request(id, peer, Letter::WantBody { block, asked_ns: now_ns });
            }
            None if fetch.under_way == 0 && age_ns >= GRACE_NS => self.fail_fetch(id, block),
            None => {}
        }
    }

    fn fail_fetch(&mut self, id: usize, block: BlockHash) {
        if let Some(fetch) = self.nodes[id].fetches.remove(&block) {
            let work = Work::Failed { block, height: fetch.height };
            self.at(self.now_ns, Event::Engine { node: id, work });
        }
    }

    pub(super) fn give_body(&mut self, id: usize, to: usize, block: BlockHash, asked_ns: u64) {
        let body = self.body(id, &block);
        self.post(id, to, Letter::GiveBody { block, body, asked_ns });
    }

    /// An answer to a fetch.
    pub(super) fn on_given(&mut self, id: usize, block: BlockHash, body: Option<Arc<Body>>) {
        match body {
            // A slower second answer to a fetch that is over is dropped.
            Some(body) if self.nodes[id].fetches.remove(&block).is_some() => {
                self.nodes[id].delivered.insert(block);
                self.at(self.now_ns, Event::Engine { node: id, work: Work::Body(body) });
            }
            Some(_) => {}
            None => self.missed(id, &Letter::GiveBody { block, body: None, asked_ns: 0 }),
        }
    }

    /// An answer that was of no use, or came when the exchange had been given up.
    pub(super) fn missed(&mut self, id: usize, letter: &Letter) {
        match letter {
            Letter::GiveBody { block, .. } => {
                if let Some(fetch) = self.nodes[id].fetches.get_mut(block) {
                    fetch.under_way = fetch.under_way.saturating_sub(1);
                }
                self.drive_fetch(id, *block);
            }
            Letter::GiveBlocks { .. } => self.nodes[id].sync_at_ns = None,
            _ => {}
        }
    }
}
