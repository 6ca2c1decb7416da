//! A rig for one host: keys of all four provinces, a log that knows what is durable, and the
//! rules of order, asserted on every effect of every test.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value
)]

use std::collections::BTreeSet;

use symbolon_consensus::{
    Config, Effect, HeightStart, Host, HostError, Input, Message, Peer, Signed, Timer, TimerStep,
    Timing,
    wire::{PolkaCertificate, Proposal, RoundCertificate, RoundReason, RoundSeal, Seal, Vote},
};
use symbolon_ledger::{
    block::{HEADER_VERSION, Header},
    certificate::{CERTIFICATE_VERSION, Certificate, CommitSignature},
    codes::ProvinceCode,
    hash::{BlockHash, ChainId, Digest, sha256},
    keys::SecretKey,
    log,
    validators::{Validator, ValidatorSet},
    vote::{VoteKind, proposal_bytes, vote_bytes},
};

pub const PROVINCES: [&str; 4] = ["11", "31", "44", "51"];
/// The wall clock of most tests, in milliseconds.
pub const NOW: u64 = 1_800_000_000_000;
pub const PEER: Peer = Peer(7);

pub fn chain() -> ChainId {
    sha256(b"the chain of these tests")
}

pub fn key(i: usize) -> SecretKey {
    SecretKey::from_seed(&[u8::try_from(i).unwrap() + 1; 32])
}

pub fn province(i: usize) -> ProvinceCode {
    PROVINCES[i].parse().unwrap()
}

pub fn set() -> ValidatorSet {
    let validator = |i: usize| Validator {
        province: province(i),
        key: key(i).public_key(),
        peer_id: vec![u8::try_from(i).unwrap() + 1],
    };
    ValidatorSet::new((0..4).map(validator).collect()).unwrap()
}

pub fn genesis() -> Header {
    Header {
        version: HEADER_VERSION,
        chain_id: chain(),
        height: 0,
        time_ms: NOW - 60_000,
        parent: Digest::ZERO,
        history_root: log::root(&[]),
        transactions_root: log::root(&[]),
        state_root: sha256(b"state"),
        validators_hash: set().hash(),
        next_validators_hash: set().hash(),
        proposer: None,
    }
}

pub fn start_after(parents: &[Header]) -> HeightStart {
    let leaves: Vec<Digest> = parents.iter().map(|h| log::leaf_hash(h.hash().as_bytes())).collect();
    HeightStart {
        parent: parents.last().unwrap().clone(),
        history_root: log::root(&leaves),
        validators: set(),
    }
}

pub fn first() -> HeightStart {
    start_after(&[genesis()])
}

/// A block that may follow, by the validator with this index.
pub fn block(start: &HeightStart, proposer: usize, time_ms: u64) -> Header {
    Header {
        height: start.height(),
        time_ms,
        parent: start.parent.hash(),
        history_root: start.history_root,
        validators_hash: start.parent.next_validators_hash,
        proposer: Some(province(proposer)),
        ..start.parent.clone()
    }
}

/// The index of the proposer.
pub fn turn(height: u64, round: u32) -> usize {
    let code = set().proposer(height, round).province;
    (0..4).find(|i| province(*i) == code).unwrap()
}

pub fn vote(i: usize, kind: VoteKind, height: u64, round: u32, block: Option<BlockHash>) -> Vote {
    let signature = key(i).sign(&vote_bytes(kind, &chain(), height, round, block.as_ref()));
    Vote { kind, height, round, block, province: province(i), signature }
}

pub fn prevote(i: usize, height: u64, round: u32, block: Option<BlockHash>) -> Message {
    Message::Vote(vote(i, VoteKind::Prevote, height, round, block))
}

pub fn precommit(i: usize, height: u64, round: u32, block: Option<BlockHash>) -> Message {
    Message::Vote(vote(i, VoteKind::Precommit, height, round, block))
}

pub fn proposal(
    i: usize,
    height: u64,
    round: u32,
    block: BlockHash,
    pol_round: Option<u32>,
) -> Message {
    let signature = key(i).sign(&proposal_bytes(&chain(), height, round, &block, pol_round));
    Message::Proposal(Proposal {
        height,
        round,
        block,
        pol_round,
        province: province(i),
        signature,
    })
}

pub fn polka(signers: &[usize], height: u64, round: u32, block: BlockHash) -> Message {
    let seal = |i: &usize| {
        let vote = vote(*i, VoteKind::Prevote, height, round, Some(block));
        Seal { province: vote.province, signature: vote.signature }
    };
    let seals = signers.iter().map(seal).collect();
    Message::Polka(PolkaCertificate { height, round, block, seals })
}

pub fn nil_round(signers: &[usize], height: u64, round: u32) -> Message {
    let seal = |i: &usize| {
        let vote = vote(*i, VoteKind::Precommit, height, round, None);
        RoundSeal {
            kind: vote.kind,
            block: None,
            province: vote.province,
            signature: vote.signature,
        }
    };
    let seals = signers.iter().map(seal).collect();
    Message::Round(RoundCertificate { height, round, reason: RoundReason::Precommit, seals })
}

pub fn certificate(signers: &[usize], height: u64, round: u32, block: BlockHash) -> Certificate {
    let signature = |i: &usize| {
        let vote = vote(*i, VoteKind::Precommit, height, round, Some(block));
        CommitSignature { province: vote.province, signature: vote.signature }
    };
    Certificate {
        version: CERTIFICATE_VERSION,
        height,
        round,
        block,
        signatures: signers.iter().map(signature).collect(),
    }
}

pub fn config(i: usize) -> Config {
    Config { identity: Some((province(i), key(i))), ..observer() }
}

pub fn observer() -> Config {
    Config {
        chain_id: chain(),
        identity: None,
        next_key: None,
        timing: Timing::default(),
        signed: Signed::default(),
    }
}

/// One host with a log and a store, and the rules of order.
#[derive(Debug)]
pub struct Rig {
    pub host: Host,
    pub log: Vec<Vec<u8>>,
    pub durable: usize,
    pub stored: BTreeSet<BlockHash>,
    pub now_ms: u64,
}

impl Rig {
    pub fn new(config: Config) -> Self {
        Self::over(Host::new(config, first()).unwrap())
    }

    pub fn over(host: Host) -> Self {
        Self { host, log: Vec::new(), durable: 0, stored: BTreeSet::new(), now_ms: NOW }
    }

    /// A host that has begun height 1.
    pub fn begun(config: Config) -> Self {
        let mut rig = Self::new(config);
        rig.step(Input::Begin);
        rig
    }

    /// What is left after a crash: the durable entries, and a new host over them.
    pub fn crash(
        self,
        config: Config,
        bodies: Vec<Header>,
    ) -> Result<(Self, Vec<Effect>), HostError> {
        let log = self.log[..self.durable].to_vec();
        let (host, effects) = Host::recover(config, first(), &log, bodies, self.now_ms)?;
        let durable = 0;
        let mut rig = Self { host, log, durable, stored: self.stored, now_ms: self.now_ms };
        rig.execute(&effects);
        Ok((rig, effects))
    }

    pub fn try_step(&mut self, input: Input) -> Result<Vec<Effect>, HostError> {
        let effects = self.host.step(self.now_ms, input)?;
        self.execute(&effects);
        Ok(effects)
    }

    pub fn step(&mut self, input: Input) -> Vec<Effect> {
        self.try_step(input).unwrap()
    }

    pub fn hear(&mut self, message: Message) -> Vec<Effect> {
        // Through the bytes, as it would come from others.
        let message = Message::decode(&message.encode()).unwrap();
        self.step(Input::Message { message, from: PEER })
    }

    /// Precommits of `signers` for a block of this height.
    pub fn commit(&mut self, signers: &[usize], round: u32, block: BlockHash) -> Vec<Effect> {
        let height = self.host.height();
        let hear = |i: &usize| self.hear(precommit(*i, height, round, Some(block)));
        signers.iter().flat_map(hear).collect()
    }

    pub fn body(&mut self, header: &Header, valid: bool) -> Vec<Effect> {
        self.step(Input::BodyValidated { header: header.clone(), valid })
    }

    pub fn time_out(&mut self, round: u32, step: TimerStep) -> Vec<Effect> {
        let height = self.host.height();
        self.step(Input::TimeoutElapsed(Timer { height, round, step }))
    }

    fn execute(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::WalReset { .. } => {
                    self.log.clear();
                    self.durable = 0;
                }
                Effect::WalAppend(entry) => {
                    self.a_valid_verdict_names_a_stored_body(entry);
                    self.log.push(entry.clone());
                }
                Effect::WalFlush => self.durable = self.log.len(),
                Effect::StoreBody { block } => {
                    self.stored.insert(*block);
                }
                // host contract 2
                Effect::Publish(_) | Effect::Decide { .. } | Effect::StartedRound { .. } => {
                    assert_eq!(self.durable, self.log.len(), "{effect:?} before the flush");
                }
                _ => {}
            }
            if let Effect::Decide { block, .. } = effect {
                assert!(self.stored.contains(block), "decided {block} without its body");
            }
        }
    }

    // host contract 5. In an entry a verdict is a byte string of 32, the hash, followed by true.
    fn a_valid_verdict_names_a_stored_body(&self, entry: &[u8]) {
        for verdict in entry.windows(35).filter(|w| w[..2] == [0x58, 0x20] && w[34] == 0xf5) {
            let block = Digest(verdict[2..34].try_into().unwrap());
            assert!(self.stored.contains(&block), "logged a verdict on {block} before its body");
        }
    }
}

/// The votes among the effects.
pub fn votes(effects: &[Effect]) -> Vec<Vote> {
    let published = |effect: &Effect| match effect {
        Effect::Publish(verified) => match verified.message() {
            Message::Vote(vote) => Some(vote.clone()),
            _ => None,
        },
        _ => None,
    };
    effects.iter().filter_map(published).collect()
}

pub fn decided(effects: &[Effect]) -> Option<(BlockHash, Certificate)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Decide { block, certificate } => Some((*block, certificate.clone())),
        _ => None,
    })
}

pub fn requests(effects: &[Effect]) -> Vec<BlockHash> {
    let request = |effect: &Effect| match effect {
        Effect::RequestBody { block, .. } => Some(*block),
        _ => None,
    };
    effects.iter().filter_map(request).collect()
}
