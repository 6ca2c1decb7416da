//! The sentences that must be true of every run. Each is a function; each error names who broke
//! it and where.

use std::collections::BTreeMap;

use symbolon_consensus::{Evidence, Message};
use symbolon_ledger::{
    block::Header,
    certificate::Certificate,
    codes::ProvinceCode,
    hash::{BlockHash, ChainId, Digest, TransactionId},
    validators::ValidatorSet,
};

use super::{founding::Founding, node::Node, plan::Plan};

type Slot = (ProvinceCode, u64, u32, &'static str);

/// What has been seen of everybody.
#[derive(Debug, Default)]
pub struct Witness {
    decided: BTreeMap<u64, BlockHash>,
    roots: BTreeMap<u64, Digest>,
    said: BTreeMap<Slot, Message>,
    acknowledged: BTreeMap<usize, u64>,
    receipts: BTreeMap<TransactionId, u64>,
}

fn holds(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}

impl Witness {
    /// Heights decided by anybody honest.
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.decided.keys().next_back().copied().unwrap_or(0)
    }

    /// # Errors
    ///
    /// When another honest node decided another block at this height.
    pub fn no_two_honest_nodes_decide_differently(
        &mut self,
        node: &Node,
        height: u64,
        block: BlockHash,
    ) -> Result<(), String> {
        let first = *self.decided.entry(height).or_insert(block);
        holds(first == block, || {
            format!("fork: node {} decided {block} at height {height}, others {first}", node.id)
        })
    }

    /// # Errors
    ///
    /// When another honest node has another state after this height.
    pub fn the_same_height_has_the_same_state_root(
        &mut self,
        node: &Node,
        header: &Header,
        root: Digest,
    ) -> Result<(), String> {
        let first = *self.roots.entry(header.height).or_insert(root);
        holds(first == root && header.state_root == root, || {
            let (id, height) = (node.id, header.height);
            format!("node {id} has state root {root} at height {height}, others {first}")
        })
    }

    /// # Errors
    ///
    /// When a decision's certificate does not verify under the set of its height.
    pub fn every_certificate_verifies(
        chain: &ChainId,
        certificate: &Certificate,
        set: &ValidatorSet,
    ) -> Result<(), String> {
        let height = certificate.height;
        certificate
            .verify(chain, set)
            .map_err(|error| format!("the certificate of height {height} proves nothing: {error}"))
    }

    /// # Errors
    ///
    /// When an honest node signs a second, different message for one kind, height and round.
    pub fn no_honest_node_contradicts_itself(
        &mut self,
        node: &Node,
        message: &Message,
    ) -> Result<(), String> {
        let slot = match message {
            Message::Vote(v) => {
                let kind = if v.kind == symbolon_ledger::vote::VoteKind::Prevote {
                    "prevote"
                } else {
                    "precommit"
                };
                (v.province, v.height, v.round, kind)
            }
            Message::Proposal(p) => (p.province, p.height, p.round, "proposal"),
            Message::Polka(_) | Message::Round(_) => return Ok(()),
        };
        if !node.honest || node.province() != Some(slot.0) {
            return Ok(());
        }
        let first = self.said.entry(slot).or_insert_with(|| message.clone());
        holds(first == message, || {
            format!("node {} contradicted itself: {first:?}, then {message:?}", node.id)
        })
    }

    /// Notes that a decision of this node was executed: its clients have their receipts.
    pub fn acknowledge(&mut self, node: &Node) {
        self.acknowledged.insert(node.id, node.disk.height());
        if let Some(committed) = node.disk.chain.last().filter(|_| node.honest) {
            let block = &committed.block;
            let receipts = block.transactions.iter().map(|t| (t.id(), block.header.height));
            self.receipts.extend(receipts);
        }
    }

    /// # Errors
    ///
    /// When a transaction that an honest node has acknowledged to its client stands at another
    /// height in this node's chain, or in none of its blocks.
    pub fn no_acknowledged_transaction_is_lost(&self, node: &Node) -> Result<(), String> {
        let blocks = node.disk.chain.iter().filter(|_| node.honest).map(|c| &c.block);
        let has: BTreeMap<_, _> =
            blocks.flat_map(|b| b.transactions.iter().map(|t| (t.id(), b.header.height))).collect();
        let due = self.receipts.iter().filter(|(_, height)| **height <= node.disk.height());
        for (id, height) in due.filter(|_| node.honest) {
            holds(has.get(id) == Some(height), || {
                let found = has.get(id);
                format!("node {} has {id} at {found:?}, acknowledged at {height}", node.id)
            })?;
        }
        Ok(())
    }

    /// # Errors
    ///
    /// When a node's disk lacks a block that it had committed, or has another in its place.
    pub fn no_committed_block_is_lost(&self, node: &Node) -> Result<(), String> {
        let acknowledged = self.acknowledged.get(&node.id).copied().unwrap_or(0);
        holds(node.disk.height() >= acknowledged, || {
            format!("node {} lost its blocks after {}", node.id, node.disk.height())
        })?;
        for committed in node.disk.chain.iter().filter(|_| node.honest) {
            let (height, block) = (committed.block.header.height, committed.block.hash());
            holds(self.decided.get(&height) == Some(&block), || {
                format!("node {} has block {block} at height {height}, never decided", node.id)
            })?;
        }
        Ok(())
    }

    /// # Errors
    ///
    /// When evidence accuses an honest seat, or is none.
    pub fn only_liars_are_accused(plan: &Plan, evidence: &Evidence) -> Result<(), String> {
        let seat = Founding::of(plan.validators).seat(evidence.province);
        let liar = seat.is_some_and(|seat| plan.is_liar(seat));
        holds(liar && evidence.first != evidence.second, || format!("false evidence: {evidence:?}"))
    }

    /// # Errors
    ///
    /// When an honest node has not reached `goal`.
    pub fn everybody_honest_goes_on_after_it_heals(
        nodes: &[Node],
        goal: u64,
    ) -> Result<(), String> {
        let behind: Vec<_> = nodes
            .iter()
            .filter(|n| n.honest && n.disk.height() < goal)
            .map(|n| (n.id, n.disk.height(), n.memory.as_ref().and_then(|m| m.host.round())))
            .collect();
        holds(behind.is_empty(), || {
            format!(
                "no progress to height {goal} after it healed: (node, height, round) {behind:?}"
            )
        })
    }
}
