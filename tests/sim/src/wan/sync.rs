//! Catching up: who is behind takes committed blocks with their certificates from a peer and begins
//! anew at its tip. The constants are those of the node's `engine/sync.rs` and `network/limits.rs`.

use symbolon_consensus::Host;
use symbolon_ledger::{block::MAX_BLOCK_BYTES, validators::quorum_of};

use super::{
    engine::Work,
    node::config,
    pipes::SECOND_NS,
    world::{Event, Letter, MS, World},
};

/// How long a peer may be ahead before this node asks for blocks (`GRACE`).
const GRACE_NS: u64 = 400 * MS;
/// The same soon after a block that came so (`GRACE_CATCHING_UP`), and how long that is soon
/// (`CATCHING_UP`).
const GRACE_CATCHING_UP_NS: u64 = 50 * MS;
const CATCHING_UP_NS: u64 = 2 * SECOND_NS;
/// How long an answer may take before another peer is asked (`PATIENCE`).
const PATIENCE_NS: u64 = 10 * SECOND_NS;
/// Most blocks of one answer (`SYNC_BLOCKS`).
const MOST_BLOCKS: u64 = 64;

impl World {
    /// Tells all peers its tip when it has moved.
    pub(super) fn tell_tip(&mut self, id: usize) {
        let tip = self.nodes[id].tip;
        if tip == self.nodes[id].told {
            return;
        }
        self.nodes[id].told = tip;
        let all = self.nodes.len();
        for other in (1..all).map(|step| (id + step) % all) {
            self.request(id, other, Letter::Status(tip));
        }
    }

    /// A peer says what its tip is, or speaks of a height that begins only after it.
    pub(super) fn heard_of_tip(&mut self, id: usize, peer: usize, tip: u64) {
        let now_ns = self.now_ns;
        let node = &mut self.nodes[id];
        let claim = node.claims.entry(peer).or_default();
        *claim = tip.max(*claim);
        if tip >= node.host.height() && node.sync_at_ns.is_none() {
            let soon = node.synced_ns.is_some_and(|at_ns| now_ns < at_ns + CATCHING_UP_NS);
            let at_ns = now_ns + if soon { GRACE_CATCHING_UP_NS } else { GRACE_NS };
            node.sync_at_ns = Some(at_ns);
            self.at(at_ns, Event::Sync { node: id });
        }
    }

    /// Asks for blocks if this node is still behind.
    pub(super) fn sync(&mut self, id: usize) {
        let now_ns = self.now_ns;
        let node = &mut self.nodes[id];
        if node.sync_at_ns.is_none_or(|at_ns| at_ns > now_ns) {
            return;
        }
        node.sync_at_ns = None;
        let next = node.host.height();
        let ahead: Vec<usize> =
            node.claims.iter().filter(|(_, tip)| **tip >= next).map(|(peer, _)| *peer).collect();
        if ahead.is_empty() {
            return;
        }
        let peer = ahead[self.dice.index(ahead.len())];
        self.nodes[id].sync_at_ns = Some(now_ns + PATIENCE_NS);
        self.at(now_ns + PATIENCE_NS, Event::Sync { node: id });
        self.request(id, peer, Letter::WantBlocks { from: next, asked_ns: now_ns });
    }

    /// Gives a peer as many blocks as one answer holds.
    pub(super) fn give_blocks(&mut self, id: usize, to: usize, from: u64, asked_ns: u64) {
        let (mut count, mut bytes) = (0, 0);
        for height in (from..=self.nodes[id].tip).take(MOST_BLOCKS as usize) {
            let Some(committed) = self.chain.at(height) else { break };
            bytes += committed.body.bytes + committed.certificate_bytes;
            if bytes > MAX_BLOCK_BYTES as u64 && count > 0 {
                break;
            }
            count += 1;
        }
        self.post(id, to, Letter::GiveBlocks { from, count, asked_ns });
    }

    /// Commits blocks that came, and begins consensus anew after them.
    pub(super) fn synced(&mut self, id: usize, first: u64, count: u64) -> Result<(), String> {
        self.nodes[id].sync_at_ns = None;
        let (costs, mut at_ns) = (self.plan.costs, self.now_ns);
        let quorum = quorum_of(self.plan.validators);
        for height in first..first + count {
            if height != self.nodes[id].host.height() {
                continue;
            }
            let body = self.chain.at(height).map(|committed| committed.body.clone());
            let body = body.ok_or_else(|| format!("node {id} was given height {height}"))?;
            at_ns += costs.check_ns * quorum as u64 + costs.execute_ns * body.operations;
            at_ns += costs.sync_ns;
            self.commit(id, &body, quorum, at_ns)?;
            let start = self.chain.start_after(height).clone();
            let signed = self.nodes[id].host.signed().clone();
            let config = config(&self.founding, id, signed);
            let (host, effects) = Host::recover(config, start, &[], vec![], Self::wall_ms(at_ns))
                .map_err(|error| format!("node {id} does not go on: {error}"))?;
            self.nodes[id].host = host;
            self.nodes[id].synced_ns = Some(at_ns);
            self.nodes[id].timers.clear();
            self.prepared(id, at_ns);
            self.execute(id, effects)?;
        }
        self.nodes[id].engine_free_ns = at_ns;
        self.at(at_ns, Event::Engine { node: id, work: Work::Begin });
        let behind = self.nodes[id].host.height();
        if self.nodes[id].claims.values().any(|tip| *tip >= behind) {
            self.nodes[id].sync_at_ns = Some(at_ns);
            self.at(at_ns, Event::Sync { node: id });
        }
        Ok(())
    }
}
