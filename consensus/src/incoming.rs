//! What each input leads to, and what follows once the core has taken it.
//!
//! A message is checked in the order of cost: height, round, turn, signatures. Bodies and
//! proposals go through [`crate::hold`]. After every input, [`Host::settle`] looks whether a
//! quorum or the clock has freed something that waited.

use std::{collections::BTreeSet, time::Duration};

use malachite_consensus::{
    Input as CoreInput, LocallyProposedValue, MAX_FUTURE_ROUND_LOOKAHEAD, PeerId, ProposedValue,
};
use malachite_types::{
    ExtendedCommitCertificate, Round, Threshold, Validity, ValueOrigin, ValueResponse, VoteType,
};
use symbolon_ledger::{
    block::Header,
    codes::ProvinceCode,
    hash::BlockHash,
    mutants::{self, Mutant},
};

use crate::{
    context::{Block, Height, Ledger},
    desk::{proposals_of_core, votes_of_core},
    host::{Effect, Host, HostError, Peer, Phase},
    sign::{BadMessage, Need, check_message},
    timing::{PACE_MS, Timer, TimerStep},
    validity::{check_header, proposer_fits},
    wire::{Message, Proposal, block_of_core, province_of},
};

impl Host {
    pub(crate) fn on_message(&mut self, message: &Message, from: Peer) -> Result<(), HostError> {
        // What comes before its height does is kept by the edge.
        let of_no_use = message.height() != self.height()
            || matches!(self.phase, Phase::Decided(_))
            || self.is_too_far_ahead(message)
            || self.is_counted(message);
        if of_no_use {
            return Ok(());
        }
        let desk = &mut self.desk;
        if let Err(bad) = check_message(&desk.chain_id, &desk.members, message, &mut desk.seals) {
            self.blame(from, bad);
            return Ok(());
        }
        self.desk.away.hear(message);
        if self.phase == Phase::Prepared {
            if !self.calls_to_begin(message, from) {
                return Ok(());
            }
            self.begin_and_hear()?;
            if !self.is_running() || self.is_counted(message) {
                return Ok(());
            }
        }
        self.desk.from = Some(from);
        match message {
            Message::Vote(vote) => self.feed(CoreInput::Vote(vote.to_core()))?,
            Message::Polka(polka) => self.feed(CoreInput::PolkaCertificate(polka.to_core()))?,
            Message::Round(votes) => self.feed(CoreInput::RoundCertificate(votes.to_core()))?,
            Message::Proposal(proposal) => self.on_proposal(proposal.clone(), from)?,
        }
        self.watch(message);
        Ok(())
    }

    /// Whether this message begins the prepared height: the proposal of its first round, or what
    /// more than a third of the voters have signed. Other votes wait, the first of a kind, voter
    /// and round; they are heard when the height begins, at the latest once its parent is old
    /// enough.
    fn calls_to_begin(&mut self, message: &Message, from: Peer) -> bool {
        match message {
            Message::Proposal(proposal) => proposal.round == 0 || self.parent_is_old(),
            Message::Polka(_) | Message::Round(_) => true,
            Message::Vote(vote) => {
                if self.calls.is_empty() && !self.parent_is_old() {
                    let time_ms = self.start.parent.time_ms.saturating_add(PACE_MS);
                    self.desk.effects.push(Effect::WakeAt { time_ms });
                }
                let call = (message.clone(), from);
                self.calls.entry((vote.province, vote.kind, vote.round)).or_insert(call);
                self.is_called()
            }
        }
    }

    /// Whether the votes that wait are reason enough to begin the prepared height.
    pub(crate) fn is_called(&self) -> bool {
        let callers: BTreeSet<_> = self.calls.keys().map(|(province, ..)| province).collect();
        let enough =
            Need::MoreThanAThird.is_met(callers.len() as u64, self.desk.members.len() as u64);
        self.phase == Phase::Prepared && !callers.is_empty() && (enough || self.parent_is_old())
    }

    fn parent_is_old(&self) -> bool {
        self.desk.now_ms >= self.start.parent.time_ms.saturating_add(PACE_MS)
    }

    /// Begins the prepared height and hears the votes that waited for it.
    pub(crate) fn begin_and_hear(&mut self) -> Result<(), HostError> {
        self.begin()?;
        for (message, from) in std::mem::take(&mut self.calls).into_values() {
            self.on_message(&message, from)?;
        }
        Ok(())
    }

    /// Whether the core has this very vote, or can learn nothing more from this voter's
    /// contradictions. Then its signature need not be looked at.
    fn is_counted(&self, message: &Message) -> bool {
        let Message::Vote(vote) = message else { return false };
        let (votes, vote) = (self.core.driver.votes(), vote.to_core());
        self.is_running() && (votes.has_vote(&vote) || votes.is_saturated_conflict(&vote))
    }

    // host contract 9: rounds ahead and blocks per round are bounded before a signature is
    // checked or anything is kept; what may come in at all, and how often, is the edge's.
    /// The core drops such votes and proposals unread; so nothing is spent on them here either.
    fn is_too_far_ahead(&self, message: &Message) -> bool {
        let latest = self.round().unwrap_or(0).saturating_add(MAX_FUTURE_ROUND_LOOKAHEAD);
        matches!(message, Message::Vote(_) | Message::Proposal(_)) && message.round() > latest
    }

    fn blame(&mut self, peer: Peer, reason: BadMessage) {
        self.desk.effects.push(Effect::Misbehaved { peer, reason });
    }

    fn proposer_of(&self, round: u32) -> Option<ProvinceCode> {
        province_of(&self.desk.members.proposer(self.height(), round).address)
    }

    fn on_proposal(&mut self, proposal: Proposal, from: Peer) -> Result<(), HostError> {
        if !self.bodies.admits(&proposal, self.round().unwrap_or(0)) {
            return Ok(());
        }
        let block = proposal.block;
        self.want(block, proposal.round, Some(proposal.province), Some(from));
        if proposal.pol_round.is_some() {
            self.bodies.excuse(block);
        }
        let fits = self
            .bodies
            .get(&block)
            .map(|body| proposer_fits(&body.header, proposal.province, proposal.pol_round));
        match fits {
            Some(false) => {
                self.refuse(&proposal);
                Ok(())
            }
            None if proposal.pol_round.is_none() => {
                self.bodies.withhold(proposal);
                Ok(())
            }
            _ => self.feed(CoreInput::Proposal(proposal.to_core())),
        }
    }

    /// A first proposal of somebody else's block. The peer that delivered it could not know: it
    /// passes proposals on before it has their bodies. The signature names the culprit.
    fn refuse(&mut self, proposal: &Proposal) {
        let Proposal { province, round, block, .. } = proposal;
        self.desk.warn(format!("{province} proposed another's block {block} in round {round}"));
    }

    fn want(
        &mut self,
        block: BlockHash,
        round: u32,
        proposer: Option<ProvinceCode>,
        from: Option<Peer>,
    ) {
        if self.bodies.want(block, round, proposer) {
            self.request(block, proposer, from);
        }
    }

    fn request(&mut self, block: BlockHash, proposer: Option<ProvinceCode>, from: Option<Peer>) {
        let height = self.height();
        self.desk.effects.push(Effect::RequestBody { block, height, proposer, from });
    }

    /// Forgets what was proposed long ago, so that a height may last for any number of rounds.
    pub(crate) fn forget_old(&mut self) {
        for block in self.bodies.forget_old(self.round().unwrap_or(0)) {
            self.desk.effects.push(Effect::ForgetBody { block });
        }
    }

    /// Asks again for every body that is still missing.
    pub(crate) fn request_missing(&mut self) {
        for (block, proposer) in self.bodies.missing() {
            self.request(block, proposer, None);
        }
    }

    pub(crate) fn on_body(&mut self, header: Header, valid: bool) -> Result<(), HostError> {
        let block = header.hash();
        if !self.is_running() || !self.bodies.is_wanted(&block) || self.bodies.get(&block).is_some()
        {
            return Ok(());
        }
        let checked = check_header(&self.desk.chain_id, &self.start, &header);
        if let Err(error) = &checked {
            self.desk.warn(format!("block {block}: {error}"));
        }
        let (valid, time_ms) = (valid && checked.is_ok(), header.time_ms);
        self.bodies.learn(header, valid, false);
        for proposal in self.bodies.release(&block) {
            if !self.body_fits(&proposal) {
                self.refuse(&proposal);
            } else if self.is_running() {
                self.feed(CoreInput::Proposal(proposal.to_core()))?;
            }
        }
        self.settle()?;
        if self.is_running() && self.bodies.get(&block).is_some_and(|body| !body.fed) {
            let until_ms = time_ms.saturating_sub(self.desk.timing.clock_tolerance_ms);
            self.desk.effects.push(Effect::Held { block, until_ms });
            self.desk.effects.push(Effect::WakeAt { time_ms: until_ms });
        }
        Ok(())
    }

    fn body_fits(&self, proposal: &Proposal) -> bool {
        let fits = |header: &Header| proposer_fits(header, proposal.province, proposal.pol_round);
        self.bodies.get(&proposal.block).is_some_and(|body| fits(&body.header))
    }

    pub(crate) fn on_built(&mut self, round: u32, header: Header) -> Result<(), HostError> {
        let due = self.is_running()
            && self.desk.build == Some(round)
            && self.round() == Some(round)
            && self.core.driver.step_is_propose();
        if !due {
            return Ok(());
        }
        if let Err(error) = check_header(&self.desk.chain_id, &self.start, &header) {
            self.refuse_own(&error);
            return Ok(());
        }
        if header.proposer != self.proposer_of(round) {
            self.desk.warn(format!("own block names {:?} as its proposer", header.proposer));
            return Ok(());
        }
        self.desk.build = None;
        let block = self.bodies.learn(header, true, true);
        self.bodies.want(block, round, None);
        // host contract 5: the body is durable before anything that names it is logged or sent.
        self.desk.effects.push(Effect::StoreBody { block });
        let height = Height(self.height());
        let value = LocallyProposedValue::new(height, Round::new(round), Block(block));
        self.feed(CoreInput::Propose(value))
    }

    /// Gives the core a commit certificate, and itself the body it is about.
    fn certify(&mut self, certificate: ExtendedCommitCertificate<Ledger>) -> Result<(), HostError> {
        if !self.is_running() {
            return Ok(());
        }
        let (block, round) = (certificate.value_id, certificate.round.as_u32().unwrap_or(0));
        // Who delivered it is this step's peer; the core's own peer type is not used.
        let nobody = PeerId::from_bytes(&[0, 0]).expect("an empty identity multihash is a peer id");
        let response = ValueResponse::new(nobody, Default::default(), certificate);
        self.feed(CoreInput::SyncValueResponse(response))?;
        if self.is_running() {
            self.bodies.excuse(block);
            let from = self.desk.from;
            self.want(block, round, None, from);
            self.feed_certified_again(&block)?;
        }
        Ok(())
    }

    /// A body that was fed before its certificate came has to meet it.
    fn feed_certified_again(&mut self, block: &BlockHash) -> Result<(), HostError> {
        let known = self.bodies.get(block).map(|body| body.fed);
        if known == Some(true) && self.desk.certified.as_ref().is_some_and(|c| c.block == *block) {
            self.feed_body(*block)?;
        }
        Ok(())
    }

    /// Feeds what no longer has to wait, until nothing more follows from it.
    pub(crate) fn settle(&mut self) -> Result<(), HostError> {
        if self.is_running() && self.asked_in_round != self.round() {
            self.asked_in_round = self.round();
            self.forget_old();
            self.request_missing();
        }
        while self.is_running() {
            self.notice_quorums()?;
            let ready = self.bodies.ready(self.desk.now_ms, self.desk.timing.clock_tolerance_ms);
            if ready.is_empty() {
                break;
            }
            for block in ready {
                if self.is_running() {
                    self.feed_body(block)?;
                }
            }
        }
        Ok(())
    }

    fn feed_body(&mut self, block: BlockHash) -> Result<(), HostError> {
        let Some(body) = self.bodies.get(&block) else { return Ok(()) };
        let (valid, first_time) = (body.valid, !body.fed);
        let certified = self.desk.certified.filter(|c| c.block == block);
        if certified.is_some() && !valid {
            return Err(HostError::CertifiedBlockInvalid { block, height: self.height() });
        }
        self.bodies.mark_fed(&block);
        if valid && first_time && !mutants::is(Mutant::BodyNotStored) {
            // host contract 5: durable before its verdict is logged, so that after a crash the
            // log never names a body that is gone.
            self.desk.effects.push(Effect::StoreBody { block });
        }
        let round = certified.map(|c| c.round).or_else(|| self.bodies.round_of(&block));
        let round = round.or_else(|| self.round()).unwrap_or(0);
        let value = ProposedValue {
            height: Height(self.height()),
            round: Round::new(round),
            valid_round: Round::Nil,
            proposer: self.desk.members.proposer(self.height(), round).address,
            value: Block(block),
            // host contract 1: with proposals and parts apart, this verdict is the only one.
            validity: Validity::from_bool(valid),
        };
        let origin = certified.map_or(ValueOrigin::Consensus, |_| ValueOrigin::Sync);
        self.feed(CoreInput::ProposedValue(value, origin))
    }

    /// Remembers for which blocks a quorum may form. Only what the core has counted is watched:
    /// one vote of a kind, voter and round, however many a liar signs.
    pub(crate) fn watch(&mut self, message: &Message) {
        let votes = self.core.driver.votes();
        let counted: Vec<(u32, BlockHash)> = match message {
            Message::Vote(vote) if votes.has_vote(&vote.to_core()) => {
                vote.block.iter().map(|block| (vote.round, *block)).collect()
            }
            Message::Polka(polka) => vec![(polka.round, polka.block)],
            Message::Round(certificate) => certificate
                .to_core()
                .votes(&Ledger)
                .filter(|vote| votes.has_vote(vote))
                .filter_map(|vote| Some((certificate.round, block_of_core(&vote.message.value)?)))
                .collect(),
            Message::Vote(_) | Message::Proposal(_) => Vec::new(),
        };
        self.watched.extend(counted);
    }

    /// Reports whoever has signed two things that exclude each other: at once and not when the
    /// height ends, since it may never end while they do.
    pub(crate) fn report_contradictions(&mut self) {
        let driver = &self.core.driver;
        let votes = driver.votes().evidence().into_iter().flat_map(|(_, pairs)| pairs);
        let proposals = driver.proposals().evidence().into_iter().flat_map(|(_, pairs)| pairs);
        let found: Vec<_> = votes
            .filter_map(votes_of_core)
            .chain(proposals.filter_map(proposals_of_core))
            .collect();
        self.desk.report(found);
    }

    /// Where more than two thirds have precommitted nothing in the running round, no block can be
    /// committed in it any more: nobody waits for the other precommits.
    pub(crate) fn end_empty_round(&mut self) {
        let round = self.core.round();
        let votes = self.core.driver.votes();
        let is_empty = votes.is_threshold_met(&round, VoteType::Precommit, Threshold::Nil);
        let Some(round) =
            round.as_u32().filter(|round| is_empty && self.empty_round != Some(*round))
        else {
            return;
        };
        self.empty_round = Some(round);
        let timer = Timer { height: self.height(), round, step: TimerStep::Precommit };
        self.desk.effects.push(Effect::ScheduleTimer { timer, after: Duration::ZERO });
    }

    /// Where more than two thirds have voted for a block, its body is wanted and its time does
    /// not matter; where they have committed it, it is decided, proposal or not.
    fn notice_quorums(&mut self) -> Result<(), HostError> {
        for (round, block) in self.watched.clone() {
            let at = Round::new(round);
            let votes = self.core.driver.votes();
            let met = |kind| votes.is_threshold_met(&at, kind, Threshold::Value(block));
            let (polka, commit) = (met(VoteType::Prevote), met(VoteType::Precommit));
            let polka = polka || self.core.driver.polka_certificate(at, &block).is_some();
            if polka || commit {
                self.bodies.excuse(block);
                self.want(block, round, None, None);
            }
            if commit && self.core.driver.commit_certificate(at, &block).is_none() {
                let height = Height(self.height());
                let votes = self.core.restore_precommits(height, at, &Block(block));
                self.certify(ExtendedCommitCertificate::from_votes(height, at, block, votes))?;
            }
            if !self.is_running() {
                break;
            }
        }
        Ok(())
    }
}
