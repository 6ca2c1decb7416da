//! The sentences that must be true of every run. Each is a function; each error names who broke
//! it and where.

use std::collections::{BTreeMap, BTreeSet};

use symbolon_consensus::{
    Evidence, Message,
    wire::{RoundReason, RoundSeal, Seal},
};
use symbolon_contracts::read;
use symbolon_ledger::{
    block::{Block, Header},
    certificate::{Certificate, CertificateError},
    codes::ProvinceCode,
    governance::{GovernanceRecord, ProposalRecord, ProposalStatus, ProposalVote},
    hash::{BlockHash, Digest, TransactionId},
    state::StateKey,
    transaction::VALIDITY_WINDOW,
    validators::{Validator, ValidatorSet},
    vote::VoteKind,
};

use super::{founding::Founding, node::Node, plan::Plan, quorum};

/// Where what somebody says excludes everything else that he might say.
type Slot = (u64, u32, Kind, ProvinceCode);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Proposal,
    Prevote,
    Precommit,
}

impl From<VoteKind> for Kind {
    fn from(kind: VoteKind) -> Self {
        match kind {
            VoteKind::Prevote => Self::Prevote,
            VoteKind::Precommit => Self::Precommit,
        }
    }
}

/// A block or none, and the round of a proof-of-lock or none.
type Said = (Option<BlockHash>, Option<u32>);

/// What has been seen of everybody.
#[derive(Debug)]
pub struct Witness {
    /// The set that votes after each height.
    sets: BTreeMap<u64, ValidatorSet>,
    liars: BTreeSet<ProvinceCode>,
    decided: BTreeMap<u64, BlockHash>,
    roots: BTreeMap<u64, Digest>,
    said: BTreeMap<Slot, Said>,
    transactions: BTreeMap<TransactionId, u64>,
    acknowledged: BTreeMap<usize, u64>,
    receipts: BTreeMap<TransactionId, u64>,
}

fn holds(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}

impl Witness {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(plan: &Plan, founding: &Founding) -> Self {
        Self {
            sets: BTreeMap::from([(0, founding.set().clone())]),
            liars: (0..plan.validators)
                .filter(|seat| plan.vice(*seat).is_some())
                .map(|seat| founding.province(seat))
                .collect(),
            decided: BTreeMap::new(),
            roots: BTreeMap::new(),
            said: BTreeMap::new(),
            transactions: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            receipts: BTreeMap::new(),
        }
    }

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
    /// When a decision's certificate does not verify under the set of its height, or has, counted
    /// here, not more than two thirds of its provinces.
    pub fn every_certificate_verifies(
        certificate: &Certificate,
        set: &ValidatorSet,
        verified: Result<(), CertificateError>,
    ) -> Result<(), String> {
        let height = certificate.height;
        verified.map_err(|error| {
            format!("the certificate of height {height} proves nothing: {error}")
        })?;
        let signers: BTreeSet<_> = certificate.signatures.iter().map(|s| s.province).collect();
        let voters = signers.iter().filter(|province| set.get(**province).is_some()).count();
        holds(quorum::decides(voters, set.validators().len()), || {
            format!("the certificate of height {height} has {voters} voters, which decides nothing")
        })
    }

    /// # Errors
    ///
    /// When a header names another height or parent than it follows, or its time stands still.
    pub fn every_header_follows_from_its_parent(
        header: &Header,
        parent: &Header,
    ) -> Result<(), String> {
        let follows = header.height == parent.height + 1 && header.parent == parent.hash();
        let height = header.height;
        holds(follows, || format!("block {height} does not follow block {}", parent.height))?;
        holds(header.time_ms > parent.time_ms, || {
            let (time_ms, parent_ms) = (header.time_ms, parent.time_ms);
            format!("time runs backwards at height {height}: {time_ms} after {parent_ms}")
        })
    }

    /// # Errors
    ///
    /// When this node's newest block was committed in a first round, where nothing can have been
    /// proposed again, under another's name than the proposer's.
    pub fn a_first_rounds_block_is_its_proposers_own(
        &self,
        node: &Node,
        set: &ValidatorSet,
    ) -> Result<(), String> {
        let Some(committed) = node.disk.chain.last() else { return Ok(()) };
        let header = &committed.block.header;
        let proposer = Some(quorum::turn(set, header.height, 0));
        holds(committed.certificate.round > 0 || header.proposer == proposer, || {
            let (height, named) = (header.height, header.proposer);
            format!("block {height} of round 0 names {named:?}, it was the turn of {proposer:?}")
        })
    }

    /// # Errors
    ///
    /// When a transaction stands at two heights, or outside the heights for which its id is
    /// remembered.
    pub fn every_transaction_stands_once_and_in_its_window(
        &mut self,
        block: &Block,
    ) -> Result<(), String> {
        let height = block.header.height;
        let mut here = BTreeSet::new();
        for transaction in &block.transactions {
            let (id, until) = (transaction.id(), transaction.payload().valid_until_height);
            let first = *self.transactions.entry(id).or_insert(height);
            holds(first == height && here.insert(id), || {
                format!("transaction {id} stands at heights {first} and {height}")
            })?;
            holds((height..=height + VALIDITY_WINDOW).contains(&until), || {
                format!("transaction {id}, valid until {until}, stands at height {height}")
            })?;
        }
        Ok(())
    }

    /// # Errors
    ///
    /// When an honest node signs a second, different message for one kind, height and round. What it
    /// has signed may be seen in a certificate first: it counts its own vote before it sends it.
    pub fn no_honest_node_contradicts_itself(
        &mut self,
        node: &Node,
        message: &Message,
    ) -> Result<(), String> {
        let province = node.province().filter(|_| node.is_honest());
        for (slot, says) in statements(message) {
            if province == Some(slot.3) {
                let first = *self.said.entry(slot).or_insert(says);
                holds(first == says, || {
                    format!("node {} contradicted itself: {first:?}, then {message:?}", node.id)
                })?;
            }
        }
        Ok(())
    }

    /// # Errors
    ///
    /// When what an honest node takes for signed by an honest seat was never said there; when it
    /// takes a certificate in which too few have signed, or a proposal out of turn.
    pub fn nobody_is_quoted_with_what_he_did_not_say(
        &self,
        node: &Node,
        message: &Message,
    ) -> Result<(), String> {
        let Some(set) = self.sets.get(&message.height().saturating_sub(1)) else {
            return Err(format!("node {} hears of a height ahead of all: {message:?}", node.id));
        };
        let voters = set.validators().len();
        for (slot, says) in statements(message) {
            let said = self.said.get(&slot);
            holds(self.liars.contains(&slot.3) || said == Some(&says), || {
                format!("node {} takes {says:?} for what {} said: {said:?}", node.id, slot.3)
            })?;
        }
        let (signers, are_enough): (BTreeSet<_>, fn(usize, usize) -> bool) = match message {
            Message::Vote(_) => return Ok(()),
            Message::Proposal(p) => {
                let in_turn = p.province == quorum::turn(set, p.height, p.round);
                let heard = || format!("node {} heard {} propose out of turn", node.id, p.province);
                return holds(in_turn, heard);
            }
            Message::Polka(m) => (m.seals.iter().map(|s| s.province).collect(), quorum::decides),
            Message::Round(m) => {
                let signers = m.seals.iter().map(|s| s.province).collect();
                let skips = m.reason == RoundReason::Skip;
                (signers, if skips { quorum::has_an_honest_one } else { quorum::decides })
            }
        };
        let signed = signers.iter().filter(|province| set.get(**province).is_some()).count();
        holds(are_enough(signed, voters), || {
            format!("node {} takes {signed} voters for enough: {message:?}", node.id)
        })
    }

    /// # Errors
    ///
    /// When the records of this node's state do not agree with each other, by the rules' own
    /// invariants.
    pub fn every_record_agrees_with_every_other(node: &Node) -> Result<(), String> {
        let violations = symbolon_contracts::invariants::check(node.disk.machine.records());
        holds(violations.is_empty(), || format!("the state contradicts itself: {violations:?}"))
    }

    /// # Errors
    ///
    /// When the newest block of this node leaves another set than its header says, other nodes
    /// have, or one change leads to from `before`; or one that is too small.
    pub fn a_block_changes_one_validator_at_most(
        &mut self,
        node: &Node,
        before: &ValidatorSet,
    ) -> Result<(), String> {
        let (tip, set) = (node.disk.machine.tip(), node.disk.machine.state().validators());
        let height = tip.height;
        let named = tip.validators_hash == before.hash() && tip.next_validators_hash == set.hash();
        holds(named, || format!("block {height} names another validator set than stands"))?;
        let same = *self.sets.entry(height).or_insert_with(|| set.clone()) == *set;
        holds(same, || format!("node {} has another validator set after {height}", node.id))?;
        let new = |a: &ValidatorSet, b: &ValidatorSet| {
            let stays = |v: &&Validator| b.get(v.province) == Some(*v);
            a.validators().iter().filter(|v| !stays(v)).map(|v| v.province).collect::<BTreeSet<_>>()
        };
        let changed: BTreeSet<_> = new(before, set).union(&new(set, before)).copied().collect();
        let size = set.validators().len();
        holds(changed.len() <= 1 && size >= quorum::FEWEST, || {
            format!("block {height} changes {changed:?} and leaves {size} validators")
        })?;
        holds(changed.is_empty() || decided_by_enough(node, before), || {
            format!("block {height} changes {changed:?}, which too few have approved")
        })
    }

    /// This node has begun anew: what it had is not lost, but given up.
    pub fn forgive(&mut self, id: usize) {
        self.acknowledged.remove(&id);
    }

    /// Notes that a decision of this node was executed: its clients have their receipts.
    pub fn acknowledge(&mut self, node: &Node) {
        self.acknowledged.insert(node.id, node.disk.height());
        if let Some(committed) = node.disk.chain.last().filter(|_| node.is_honest()) {
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
        let blocks = node.disk.chain.iter().filter(|_| node.is_honest()).map(|c| &c.block);
        let has: BTreeMap<_, _> =
            blocks.flat_map(|b| b.transactions.iter().map(|t| (t.id(), b.header.height))).collect();
        let due = self.receipts.iter().filter(|(_, height)| **height <= node.disk.height());
        for (id, height) in due.filter(|_| node.is_honest()) {
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
        for committed in node.disk.chain.iter().filter(|_| node.is_honest()) {
            let (height, block) = (committed.block.header.height, committed.hash);
            holds(self.decided.get(&height) == Some(&block), || {
                format!("node {} has block {block} at height {height}, never decided", node.id)
            })?;
        }
        Ok(())
    }

    /// # Errors
    ///
    /// When evidence accuses an honest seat, or is none.
    pub fn only_liars_are_accused(
        plan: &Plan,
        founding: &Founding,
        evidence: &Evidence,
    ) -> Result<(), String> {
        let seat = founding.seat(evidence.province);
        let liar = seat.is_some_and(|seat| plan.vice(seat).is_some());
        holds(liar && evidence.first != evidence.second, || format!("false evidence: {evidence:?}"))
    }

    /// How many equivocations stand in a node's state.
    ///
    /// # Errors
    ///
    /// When one of them names an honest seat.
    pub fn the_chain_accuses_only_liars(&self, node: &Node) -> Result<u64, String> {
        let mut accused = node.disk.machine.records().filter_map(|(key, _)| match key {
            StateKey::Evidence(province, height) => Some((province, height)),
            _ => None,
        });
        accused.try_fold(0, |count, (province, height)| {
            holds(self.liars.contains(&province), || {
                format!("the chain accuses {province}, which is honest, of height {height}")
            })?;
            Ok(count + 1)
        })
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
            .filter(|n| n.is_honest() && n.disk.height() < goal)
            .map(|n| (n.id, n.disk.height(), n.memory.as_ref().and_then(|m| m.host.round())))
            .collect();
        holds(behind.is_empty(), || {
            format!(
                "no progress to height {goal} after it healed: (node, height, round) {behind:?}"
            )
        })
    }
}

/// Whether this node's newest block executed a proposal that more than two thirds of those with a
/// vote had approved, before it expired.
fn decided_by_enough(node: &Node, voters: &ValidatorSet) -> bool {
    let (state, height) = (node.disk.machine.state(), node.disk.height());
    let governance: Option<GovernanceRecord> = read(state, &StateKey::Governance).ok().flatten();
    let numbers = 0..governance.map_or(0, |record| record.next_proposal);
    let proposals = numbers.rev().filter_map(|number| {
        read::<_, ProposalRecord>(state, &StateKey::Proposal(number)).ok().flatten()
    });
    let mut executed = proposals.filter(|p| p.status == ProposalStatus::Executed { at: height });
    executed.any(|p| {
        let counts = |v: &&ProposalVote| v.approves && voters.get(v.province).is_some();
        let approving = p.votes.iter().filter(counts).count();
        p.expires_at >= height && quorum::decides(approving, voters.validators().len())
    })
}

/// What a message says, and who is said to have signed it.
fn statements(message: &Message) -> Vec<(Slot, Said)> {
    match message {
        Message::Vote(v) => vec![((v.height, v.round, v.kind.into(), v.province), (v.block, None))],
        Message::Proposal(p) => {
            vec![((p.height, p.round, Kind::Proposal, p.province), (Some(p.block), p.pol_round))]
        }
        Message::Polka(m) => {
            let slot = |s: &Seal| (m.height, m.round, Kind::Prevote, s.province);
            m.seals.iter().map(|seal| (slot(seal), (Some(m.block), None))).collect()
        }
        Message::Round(m) => {
            let slot = |s: &RoundSeal| (m.height, m.round, s.kind.into(), s.province);
            m.seals.iter().map(|seal| (slot(seal), (seal.block, None))).collect()
        }
    }
}
