//! Where the core's wishes arrive: signatures are made and checked here at once, everything
//! else is written down as an effect, in order.
//!
//! Two rules are kept here and nowhere else. Nothing leaves before the log that it rests on is
//! flushed, and nothing is signed that contradicts what was signed before. The desk does not
//! know what a body is or when a height begins; that is [`crate::host`].

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    time::Duration,
};

use malachite_consensus::{
    ConsensusMsg, Effect as CoreEffect, Input as CoreInput, LivenessMsg, MisbehaviorEvidence,
    Resumable, Resume, Role, SignedConsensusMsg, VoteExtensionError,
};
use malachite_types::{
    CertificateError, CommitCertificate, ExtendedCommitCertificate, Round, SignedMessage, Timeout,
};
use symbolon_ledger::{
    certificate::{CERTIFICATE_VERSION, Certificate, CommitSignature},
    codes::ProvinceCode,
    hash::{BlockHash, ChainId},
    keys::{PublicKey, SIGNATURE_LEN, SecretKey, Signature},
    mutants::{self, Mutant},
    validators::quorum_of,
    vote::Step,
};

use crate::{
    away::Away,
    context::{Address, Ledger, Sealed, SignedProposal, SignedVote},
    host::{Config, Effect, Evidence, HeightStart, HostError, Peer},
    mark::Signed,
    membership::Members,
    sign::{BadMessage, Claim, Says, Seals, Verified, check_commit, check_message},
    timing::{Timer, TimerStep, Timing},
    unlocked::Unlocked,
    wal::{Entry, Record},
    wire::{
        Message, PolkaCertificate, Proposal, RoundCertificate, Vote, kind_of_core, province_of,
    },
};

type CoreResult = Result<(), CertificateError<Ledger>>;

/// A block that a certificate commits at the current height.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Certified {
    pub(crate) block: BlockHash,
    pub(crate) round: u32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) chain_id: ChainId,
    pub(crate) timing: Timing,
    identity: Option<(ProvinceCode, SecretKey)>,
    next_key: Option<SecretKey>,
    /// Whether the height's set holds the second key.
    is_rotated: bool,
    height: u64,
    pub(crate) members: Members,
    pub(crate) seals: Seals,
    pub(crate) now_ms: u64,
    pub(crate) effects: Vec<Effect>,
    /// Entries that are in the log but not known to be durable.
    pub(crate) unflushed: bool,
    pub(crate) replaying: bool,
    pub(crate) fault: Option<HostError>,
    pub(crate) decided: Option<BlockHash>,
    pub(crate) certified: Option<Certified>,
    /// The round that a block of ours is awaited for.
    pub(crate) build: Option<u32>,
    /// Our last proposal of this height.
    proposed: Option<Verified>,
    /// Who delivered the input at hand.
    pub(crate) from: Option<Peer>,
    /// What this node has signed at this height.
    said: BTreeMap<(u32, Step), Says>,
    /// Which contradictions of this height were reported.
    pub(crate) reported: BTreeSet<(ProvinceCode, u32, Step)>,
    /// What its key has signed, at any height.
    pub(crate) signed: Signed,
    pub(crate) away: Away,
    /// What it signed while replaying: not in the log yet.
    fresh: BTreeSet<(u32, Step)>,
    /// Nothing, in what is shipped.
    pub(crate) unlocked: Unlocked,
}

impl Desk {
    pub(crate) fn new(config: Config, start: &HeightStart) -> Result<Self, HostError> {
        let Config { chain_id, identity, next_key, timing, signed } = config;
        let mut desk = Self {
            chain_id,
            timing,
            identity,
            next_key,
            is_rotated: false,
            height: 0,
            members: Members::of(&start.validators),
            seals: Seals::default(),
            now_ms: 0,
            effects: Vec::new(),
            unflushed: false,
            replaying: false,
            fault: None,
            decided: None,
            certified: None,
            build: None,
            proposed: None,
            from: None,
            said: BTreeMap::new(),
            reported: BTreeSet::new(),
            signed,
            away: Away::default(),
            fresh: BTreeSet::new(),
            unlocked: Unlocked::default(),
        };
        desk.prepare(start)?;
        Ok(desk)
    }

    /// Clears the desk for the height that `start` governs.
    pub(crate) fn prepare(&mut self, start: &HeightStart) -> Result<(), HostError> {
        if start.parent.chain_id != self.chain_id {
            let (expected, actual) = (self.chain_id, start.parent.chain_id);
            return Err(HostError::WrongChain { expected, actual });
        }
        let members = Members::governing(&start.parent, &start.validators)?;
        if !mutants::is(Mutant::MembersOfAnotherHeight) {
            self.members = members;
        }
        let held = self.identity.as_ref().and_then(|(own, _)| self.members.key_of(*own));
        let next = self.next_key.as_ref().map(SecretKey::public_key);
        self.is_rotated = next.is_some_and(|next| held == Some(&next));
        self.height = start.height();
        self.signed.see(&start.parent);
        self.seals.forget_below(self.height);
        self.unflushed = false;
        self.decided = None;
        self.certified = None;
        self.build = None;
        self.proposed = None;
        self.said.clear();
        self.reported.clear();
        self.fresh.clear();
        self.away.begin_height();
        Ok(())
    }

    /// The address that the core runs under.
    pub(crate) fn address(&self) -> Address {
        self.identity
            .as_ref()
            .map_or(Address::Observer, |(province, _)| Address::Province(*province))
    }

    /// Whether one of this node's keys is the one that the height's set holds for its province.
    pub(crate) fn has_vote(&self) -> bool {
        let holds = |(province, key): &(ProvinceCode, SecretKey)| {
            self.members.key_of(*province) == Some(&key.public_key())
        };
        self.is_rotated || self.identity.as_ref().is_some_and(holds)
    }

    /// Whether it votes: the vote is its own, and nothing that it may have signed and does not
    /// remember stands against it. Fixed before the height begins.
    pub(crate) fn may_vote(&self) -> bool {
        let logged = |round, step| {
            let says = *self.said.get(&(round, step))?;
            Some(self.claim(round, says).statement(&self.chain_id))
        };
        self.has_vote() && self.signed.allows(self.height, logged)
    }

    fn claim(&self, round: u32, says: Says) -> Claim {
        Claim { height: self.height, round, says }
    }

    pub(crate) fn warn(&mut self, text: String) {
        self.effects.push(Effect::Warning(text));
    }

    // host contract 3: the error type has no value, so no effect can be answered with the
    // untyped "continue" that the core takes for a broken host.
    pub(crate) fn answer(
        &mut self,
        effect: CoreEffect<Ledger>,
    ) -> Result<Resume<Ledger>, Infallible> {
        use CoreEffect as E;
        Ok(match effect {
            E::SignVote(vote, r) => {
                let vote = self.unlocked.vote(vote);
                let says = Says::Vote(
                    kind_of_core(vote.kind),
                    match vote.value {
                        malachite_types::NilOrVal::Nil => None,
                        malachite_types::NilOrVal::Val(block) => Some(block),
                    },
                );
                let signature = self.sign(vote.round, says);
                r.resume_with(SignedMessage::new(vote, signature))
            }
            E::SignProposal(proposal, r) => {
                let pol_round = proposal.pol_round.as_u32();
                let says = Says::Propose { block: proposal.block.0, pol_round };
                let signature = self.sign(proposal.round, says);
                r.resume_with(SignedMessage::new(proposal, signature))
            }
            E::VerifySignature(signed, key, r) => r.resume_with(self.verify(signed, &key)),
            E::VerifyCommitCertificate(c, _, _, r) => r.resume_with(self.verify_commit(&c)),
            E::VerifyExtendedCommitCertificate(c, _, _, _, r) => {
                r.resume_with(self.verify_extended(&c))
            }
            E::VerifyPolkaCertificate(c, _, _, r) => {
                let message = PolkaCertificate::of_core(&c).map(Message::Polka);
                r.resume_with(self.verify_certificate(message))
            }
            E::VerifyRoundCertificate(c, _, _, r) => {
                let message = RoundCertificate::of_core(&c).map(Message::Round);
                r.resume_with(self.verify_certificate(message))
            }
            // Never asked for: extensions are disabled at every height.
            E::ExtendVote(.., r) => r.resume_with(None),
            E::VerifyVoteExtension(.., r) => {
                r.resume_with(Err(VoteExtensionError::InvalidVoteExtension))
            }
            other => {
                self.note(other);
                Resume::Continue
            }
        })
    }

    /// The effects that are answered with "continue".
    fn note(&mut self, effect: CoreEffect<Ledger>) {
        use CoreEffect as E;
        match effect {
            E::CancelAllTimeouts(_) => self.effects.push(Effect::CancelAllTimers),
            E::CancelTimeout(timeout, _) => {
                self.effects.extend(self.timer(timeout).map(Effect::CancelTimer));
            }
            E::ScheduleTimeout(timeout, _) => {
                let schedule = |timer| Effect::ScheduleTimer { timer, after: self.wait_of(timer) };
                self.effects.extend(self.timer(timeout).map(schedule));
            }
            E::StartRound(_, round, proposer, role, _) => self.start_round(round, proposer, role),
            E::PublishConsensusMsg(message, _) => self.publish_signed(&message),
            E::PublishLivenessMsg(LivenessMsg::Vote(vote), _) | E::RepublishVote(vote, _) => {
                self.publish(Vote::of_core(&vote).map(Message::Vote));
            }
            E::PublishLivenessMsg(LivenessMsg::PolkaCertificate(c), _) => {
                self.publish(PolkaCertificate::of_core(&c).map(Message::Polka));
            }
            E::PublishLivenessMsg(LivenessMsg::SkipRoundCertificate(c), _)
            | E::RepublishRoundCertificate(c, _) => {
                self.publish(RoundCertificate::of_core(&c).map(Message::Round));
            }
            E::GetValue(_, round, timeout, _) => self.get_value(round, timeout),
            E::RestreamProposal(_, _, _, _, block, _) => {
                self.effects.push(Effect::SpreadBody { block });
            }
            E::CertVerifiedSyncValue(response, _, _) => {
                let certificate = &response.certificate;
                let round = certificate.round.as_u32().unwrap_or(0);
                self.certified = Some(Certified { block: certificate.value_id, round });
            }
            E::CertRejectedSyncValue(_, _, error, _) => self.warn(error.to_string()),
            E::Decide(certificate, _, _) => self.decide(&certificate),
            E::Finalize(_, _, evidence, _) => self.report_last(&evidence),
            E::WalAppend(height, input, _) => self.log(height.0, &input),
            // All others were answered before.
            _ => {}
        }
    }

    fn wait_of(&self, timer: Timer) -> Duration {
        let wait = self.timing.duration_of(timer);
        match self.first_proposer(timer) {
            Some(proposer) if self.away.is_away(proposer) => wait.min(self.timing.away),
            _ => wait,
        }
    }

    /// Which other one's proposal a timer waits for, when it is that of the first round.
    pub(crate) fn first_proposer(&self, timer: Timer) -> Option<ProvinceCode> {
        let is_first = timer.round == 0 && timer.step == TimerStep::Propose;
        let proposer = is_first.then(|| self.members.turn(self.height, 0))?;
        (self.address() != Address::Province(proposer)).then_some(proposer)
    }

    fn timer(&self, timeout: Timeout) -> Option<Timer> {
        Timer::of_core(self.height, timeout)
    }

    // host contract 2: nothing leaves, no block is decided and no round begins before everything
    // that led there is durable.
    fn flush(&mut self) {
        if self.unflushed {
            if !mutants::is(Mutant::FsyncSkipped) {
                self.effects.push(Effect::WalFlush);
            }
            self.unflushed = false;
        }
    }

    fn log(&mut self, height: u64, input: &CoreInput<Ledger>) {
        let Some(record) = Record::of_core(input) else {
            self.warn("the core asked to log something that has no form in the log".into());
            return;
        };
        // host contract 4: what is replayed is in the log already. Only what had to be signed
        // anew, because the crash came before it was logged, is appended.
        if self.replaying && !self.is_fresh(&record) {
            return;
        }
        self.effects.push(Effect::WalAppend(Entry { height, record }.encode()));
        self.unflushed = true;
    }

    fn is_fresh(&self, record: &Record) -> bool {
        let (Address::Province(own), Some((round, province, says))) =
            (self.address(), statement(record))
        else {
            return false;
        };
        province == own && self.fresh.contains(&(round, says.step()))
    }

    /// Takes note of what this node signed before the crash.
    pub(crate) fn remember(&mut self, record: &Record) {
        if let Some((round, province, says)) = statement(record)
            && self.address() == Address::Province(province)
        {
            self.said.entry((round, says.step())).or_insert(says);
            // The log is flushed before the mark is written, so it may know one message more. It
            // is no witness of what it does not hold.
            if matches!(self.signed, Signed::UpTo(_)) {
                self.signed.raise(&self.claim(round, says).statement(&self.chain_id));
            }
        }
    }

    fn sign(&mut self, round: Round, says: Says) -> Sealed {
        let nothing = Sealed(Signature([0; SIGNATURE_LEN]));
        let first = self.identity.as_ref().map(|(_, key)| key);
        let key = if self.is_rotated { self.next_key.as_ref() } else { first };
        let (Some(round), Some(key)) = (round.as_u32(), key) else {
            self.fault = Some(HostError::Core("asked an observer, or no round, to sign".into()));
            return nothing;
        };
        let (claim, step) = (self.claim(round, says), says.step());
        match self.said.insert((round, step), says) {
            Some(before) if before != says => {
                let (what, height) = (step.name(), self.height);
                self.fault = Some(HostError::DoubleSign { what, height, round });
                return nothing;
            }
            // Again what was signed before, perhaps earlier than the mark.
            Some(_) => {}
            None => {
                let statement = claim.statement(&self.chain_id);
                if let Some(mark) = self.signed.forbids(&statement) {
                    let (mark, height) = (Box::new(mark.clone()), self.height);
                    self.fault = Some(HostError::BelowMark { step, height, round, mark });
                    return nothing;
                }
                self.signed.raise(&statement);
            }
        }
        if self.replaying {
            self.fresh.insert((round, step));
        }
        Sealed(self.seals.sign(&self.chain_id, &claim, key))
    }

    fn verify(
        &mut self,
        signed: SignedMessage<Ledger, ConsensusMsg<Ledger>>,
        key: &PublicKey,
    ) -> bool {
        let SignedMessage { message, signature } = signed;
        let message = match message {
            ConsensusMsg::Vote(vote) => {
                Vote::of_core(&SignedMessage::new(vote, signature)).map(Message::Vote)
            }
            ConsensusMsg::Proposal(proposal) => {
                Proposal::of_core(&SignedMessage::new(proposal, signature)).map(Message::Proposal)
            }
        };
        let signatures = message.map(|m| m.signatures()).unwrap_or_default();
        !signatures.is_empty()
            && signatures.iter().all(|s| self.seals.holds(&self.chain_id, s, key))
    }

    fn verify_certificate(&mut self, message: Option<Message>) -> CoreResult {
        let Some(message) = message else { return Err(CertificateError::VerificationError(None)) };
        check_message(&self.chain_id, &self.members, &message, &mut self.seals)
            .map_err(|e| core_error(&e))
    }

    fn verify_commit(&mut self, certificate: &CommitCertificate<Ledger>) -> CoreResult {
        let Some(certificate) = certificate_of_core(certificate) else {
            return Err(CertificateError::VerificationError(None));
        };
        check_commit(&self.chain_id, &self.members, &certificate, &mut self.seals)
            .map_err(|e| core_error(&e))
    }

    fn verify_extended(&mut self, certificate: &ExtendedCommitCertificate<Ledger>) -> CoreResult {
        let extended = certificate.commit_signatures.iter().find(|s| s.extension.is_some());
        if let Some(signature) = extended {
            return Err(CertificateError::UnexpectedVoteExtension(signature.address));
        }
        self.verify_commit(&certificate.trim_vote_extensions())
    }

    fn publish(&mut self, message: Option<Message>) {
        let Some(message) = message else {
            self.warn("the core asked to publish something that has no form on the wire".into());
            return;
        };
        let message = Verified::own(&self.chain_id, &self.members, message);
        if matches!(message.message(), Message::Proposal(_)) {
            self.proposed = Some(message.clone());
        }
        if mutants::is(Mutant::SentBeforeFsync) {
            self.effects.push(Effect::Publish(message));
            return self.flush();
        }
        self.flush();
        self.effects.push(Effect::Publish(message));
    }

    fn publish_signed(&mut self, message: &SignedConsensusMsg<Ledger>) {
        match message {
            SignedConsensusMsg::Vote(vote) => self.publish(Vote::of_core(vote).map(Message::Vote)),
            SignedConsensusMsg::Proposal(proposal) => {
                self.effects.push(Effect::SpreadBody { block: proposal.message.block.0 });
                self.publish(Proposal::of_core(proposal).map(Message::Proposal));
            }
        }
    }

    /// Repeats our proposal of `round`: the core repeats votes and certificates only, and
    /// without the proposal nobody can vote for it.
    pub(crate) fn repeat_proposal(&mut self, round: u32) {
        let ours = self.proposed.clone().filter(|p| p.message().round() == round);
        if let Some(message) = ours
            && let Message::Proposal(proposal) = message.message()
            && self.said.contains_key(&(round, Step::Proposal))
        {
            self.flush();
            self.effects.push(Effect::SpreadBody { block: proposal.block });
            self.effects.push(Effect::Publish(message));
        }
    }

    fn start_round(&mut self, round: Round, proposer: Address, role: Role) {
        self.flush();
        self.build = None;
        if let (Some(round), Some(proposer)) = (round.as_u32(), province_of(&proposer)) {
            let is_proposer = role == Role::Proposer && self.may_vote();
            let height = self.height;
            self.effects.push(Effect::StartedRound { height, round, proposer, is_proposer });
        }
    }

    fn get_value(&mut self, round: Round, timeout: Timeout) {
        let (Some(round), Some(timer)) = (round.as_u32(), self.timer(timeout)) else { return };
        self.build = Some(round);
        // While replaying, the log may still hold the block that was built then.
        if !self.replaying {
            self.ask_for_block(timer);
        }
    }

    pub(crate) fn ask_for_block(&mut self, timer: Timer) {
        let wait = u64::try_from(self.timing.duration_of(timer).as_millis()).unwrap_or(u64::MAX);
        self.effects.push(Effect::BuildBlock {
            height: self.height,
            round: timer.round,
            deadline_ms: self.now_ms.saturating_add(wait),
        });
    }

    fn decide(&mut self, certificate: &CommitCertificate<Ledger>) {
        let Some(certificate) = certificate_of_core(certificate) else {
            self.fault = Some(HostError::Core("decided by a certificate without a form".into()));
            return;
        };
        self.flush();
        self.decided = Some(certificate.block);
        self.effects.push(Effect::Decide { block: certificate.block, certificate });
    }

    /// What came with the message that decided the height: the core hands it over and forgets it.
    fn report_last(&mut self, evidence: &MisbehaviorEvidence<Ledger>) {
        let votes = (&evidence.votes).into_iter().flat_map(|(_, pairs)| pairs);
        let proposals = (&evidence.proposals).into_iter().flat_map(|(_, pairs)| pairs);
        let found: Vec<_> = votes
            .filter_map(votes_of_core)
            .chain(proposals.filter_map(proposals_of_core))
            .collect();
        self.report(found);
    }

    /// Reports whoever has signed two things that exclude each other, each step of it once.
    pub(crate) fn report(&mut self, found: Vec<(Message, Message)>) {
        for (first, second) in found {
            if let Some((province, said, _)) = first.statement(&self.chain_id)
                && self.reported.insert((province, said.round, said.step))
            {
                let evidence = Evidence { province, first, second };
                self.effects.push(Effect::EvidenceFound(evidence));
            }
        }
    }
}

/// Two votes that exclude each other, as messages.
pub(crate) fn votes_of_core((a, b): &(SignedVote, SignedVote)) -> Option<(Message, Message)> {
    Some((Message::Vote(Vote::of_core(a)?), Message::Vote(Vote::of_core(b)?)))
}

/// The same of two proposals.
pub(crate) fn proposals_of_core(
    (a, b): &(SignedProposal, SignedProposal),
) -> Option<(Message, Message)> {
    Some((Message::Proposal(Proposal::of_core(a)?), Message::Proposal(Proposal::of_core(b)?)))
}

/// What a record says about who stated what, if it is a statement.
fn statement(record: &Record) -> Option<(u32, ProvinceCode, Says)> {
    match record {
        Record::Vote(v) => Some((v.round, v.province, Says::Vote(v.kind, v.block))),
        Record::Proposal(p) => {
            let says = Says::Propose { block: p.block, pol_round: p.pol_round };
            Some((p.round, p.province, says))
        }
        Record::Polka(_) | Record::Timeout(..) | Record::Verdict(_) => None,
    }
}

/// The ledger's certificate: one signature of each signer, in ascending order of province.
fn certificate_of_core(certificate: &CommitCertificate<Ledger>) -> Option<Certificate> {
    let mut signatures = certificate
        .commit_signatures
        .iter()
        .map(|s| {
            let province = province_of(&s.address)?;
            Some(CommitSignature { province, signature: s.signature.0 })
        })
        .collect::<Option<Vec<_>>>()?;
    signatures.sort_by_key(|s| s.province);
    Some(Certificate {
        version: CERTIFICATE_VERSION,
        height: certificate.height.0,
        round: certificate.round.as_u32()?,
        block: certificate.value_id,
        signatures,
    })
}

fn core_error(error: &BadMessage) -> CertificateError<Ledger> {
    match error {
        BadMessage::NotAValidator { province } => {
            CertificateError::UnknownValidator(Address::Province(*province))
        }
        BadMessage::Twice { province } => {
            CertificateError::DuplicateVote(Address::Province(*province))
        }
        BadMessage::WrongKind { province } => {
            CertificateError::InvalidVoteType(Address::Province(*province))
        }
        BadMessage::TooFew { votes, of } => CertificateError::NotEnoughVotingPower {
            signed: *votes,
            total: *of,
            expected: usize::try_from(*of).map_or(u64::MAX, |of| quorum_of(of) as u64),
        },
        BadMessage::Form(_) | BadMessage::BadSignature { .. } | BadMessage::OutOfTurn { .. } => {
            CertificateError::VerificationError(None)
        }
    }
}
