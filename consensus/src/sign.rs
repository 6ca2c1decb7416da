//! Signatures: what is signed, who has to have signed, and which signatures were already checked.
//!
//! The bytes that are signed are the ledger's ([`symbolon_ledger::vote`]); each kind of message
//! has its own domain and every one names the chain. One Ed25519 check costs more than all the
//! rest of a round, and the same signature is met up to four times (as a vote, in a certificate,
//! when the block is decided, when somebody repeats it), so what was checked is remembered for
//! as long as its height lasts.
//!
//! [`Verified`] lets the node check messages on other threads. It is a shortcut, never a
//! permission: the host looks every signature up under the key that *its* validator set holds,
//! and checks whatever it does not find.

use std::collections::{BTreeMap, BTreeSet};

use symbolon_ledger::{
    certificate::Certificate,
    codes::ProvinceCode,
    hash::{BlockHash, ChainId, Digest, tagged_hash},
    keys::{PublicKey, SecretKey, Signature},
    mutants::{self, Mutant},
    validators::ValidatorSet,
    vote::{Statement, Step, VoteKind},
};
use thiserror::Error;

use crate::{
    context::Address,
    membership::{Members, thresholds},
    wire::{MAX_SIGNATURES, Message, RoundReason, WireError},
};

/// Most remembered signatures of one height: two votes of every validator in dozens of rounds.
/// Beyond it signatures are checked again, which is slower and just as right.
const MAX_SEALS: usize = 64 * 2 * MAX_SIGNATURES;
/// Names in memory only: never signed, never sent, never stored.
const SEAL_DOMAIN: &str = "symbolon/local/seal";
/// Most heights with remembered signatures: the current one and the few whose messages may
/// arrive before it ends.
const MAX_SEALED_HEIGHTS: usize = 4;

/// Why a well-formed message counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadMessage {
    /// Its form is wrong.
    #[error(transparent)]
    Form(#[from] WireError),
    /// Signed by somebody who has no vote at this height.
    #[error("{province} has no vote at this height")]
    NotAValidator {
        /// The alleged signer.
        province: ProvinceCode,
    },
    /// Two signatures of one province in one certificate.
    #[error("{province} appears twice in a certificate")]
    Twice {
        /// The province.
        province: ProvinceCode,
    },
    /// A signature that does not hold.
    #[error("the signature of {province} does not hold")]
    BadSignature {
        /// The alleged signer.
        province: ProvinceCode,
    },
    /// A certificate with too few votes.
    #[error("{votes} votes of {of} are too few")]
    TooFew {
        /// Valid votes in it.
        votes: u64,
        /// Votes there are.
        of: u64,
    },
    /// A proposal of a province whose turn it is not. Everybody can tell, so nobody honest
    /// passes it on.
    #[error("it is not the turn of {province} to propose in round {round}")]
    OutOfTurn {
        /// The alleged proposer.
        province: ProvinceCode,
        /// The round.
        round: u32,
    },
    /// A prevote in a certificate of precommits.
    #[error("a prevote of {province} in a certificate of precommits")]
    WrongKind {
        /// The voter.
        province: ProvinceCode,
    },
}

/// What one signature says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) height: u64,
    pub(crate) round: u32,
    pub(crate) says: Says,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    Vote(VoteKind, Option<BlockHash>),
    Propose { block: BlockHash, pol_round: Option<u32> },
}

impl Says {
    /// Which of the three that a validator signs in a round.
    pub(crate) fn step(&self) -> Step {
        match self {
            Self::Propose { .. } => Step::Proposal,
            Self::Vote(VoteKind::Prevote, _) => Step::Prevote,
            Self::Vote(VoteKind::Precommit, _) => Step::Precommit,
        }
    }
}

impl Claim {
    /// What is signed: a function of the claim and the chain.
    pub(crate) fn statement(&self, chain: &ChainId) -> Statement {
        let (block, pol_round) = match self.says {
            Says::Vote(_, block) => (block, None),
            Says::Propose { block, pol_round } => (Some(block), pol_round),
        };
        let (step, height, round) = (self.says.step(), self.height, self.round);
        Statement { step, chain: *chain, height, round, block, pol_round }
    }

    /// The bytes that are signed.
    pub(crate) fn bytes(&self, chain: &ChainId) -> Vec<u8> {
        self.statement(chain).bytes()
    }
}

/// A claim, and who is said to have signed it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed {
    pub(crate) claim: Claim,
    pub(crate) province: ProvinceCode,
    pub(crate) signature: Signature,
}

impl Message {
    /// What the message itself states, and who signed it; none for a certificate, which only
    /// repeats what others have stated.
    #[must_use]
    pub fn statement(&self, chain: &ChainId) -> Option<(ProvinceCode, Statement, Signature)> {
        if !matches!(self, Self::Vote(_) | Self::Proposal(_)) {
            return None;
        }
        let signed = self.signatures().pop()?;
        Some((signed.province, signed.claim.statement(chain), signed.signature))
    }

    /// Every signature in the message.
    pub(crate) fn signatures(&self) -> Vec<Signed> {
        let (height, round) = (self.height(), self.round());
        let signed = |says, province, signature| Signed {
            claim: Claim { height, round, says },
            province,
            signature,
        };
        match self {
            Self::Vote(m) => vec![signed(Says::Vote(m.kind, m.block), m.province, m.signature)],
            Self::Proposal(m) => {
                let says = Says::Propose { block: m.block, pol_round: m.pol_round };
                vec![signed(says, m.province, m.signature)]
            }
            Self::Polka(m) => {
                let says = Says::Vote(VoteKind::Prevote, Some(m.block));
                m.seals.iter().map(|s| signed(says, s.province, s.signature)).collect()
            }
            Self::Round(m) => m
                .seals
                .iter()
                .map(|s| signed(Says::Vote(s.kind, s.block), s.province, s.signature))
                .collect(),
        }
    }
}

/// How many votes a message needs behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    One,
    MoreThanAThird,
    MoreThanTwoThirds,
}

impl Need {
    pub(crate) fn is_met(self, votes: u64, of: u64) -> bool {
        let thresholds = thresholds();
        match self {
            Self::One => votes >= 1,
            Self::MoreThanAThird => thresholds.honest.is_met(votes, of),
            Self::MoreThanTwoThirds => thresholds.quorum.is_met(votes, of),
        }
    }
}

/// Checks a whole message against a validator set.
pub(crate) fn check_message(
    chain: &ChainId,
    members: &Members,
    message: &Message,
    seals: &mut Seals,
) -> Result<(), BadMessage> {
    message.check_form()?;
    let need = match message {
        Message::Vote(_) => Need::One,
        Message::Proposal(m) => {
            let turn = members.proposer(m.height, m.round).address;
            let its_turn = turn == Address::Province(m.province);
            if !its_turn && !mutants::is(Mutant::TurnIgnored) {
                return Err(BadMessage::OutOfTurn { province: m.province, round: m.round });
            }
            Need::One
        }
        Message::Polka(_) => Need::MoreThanTwoThirds,
        Message::Round(m) if m.reason == RoundReason::Skip => Need::MoreThanAThird,
        Message::Round(m) => {
            if let Some(seal) = m.seals.iter().find(|s| s.kind == VoteKind::Prevote) {
                return Err(BadMessage::WrongKind { province: seal.province });
            }
            Need::MoreThanTwoThirds
        }
    };
    check_signatures(chain, members, &message.signatures(), need, seals)
}

/// Checks a commit certificate against a validator set.
pub(crate) fn check_commit(
    chain: &ChainId,
    members: &Members,
    certificate: &Certificate,
    seals: &mut Seals,
) -> Result<(), BadMessage> {
    let says = Says::Vote(VoteKind::Precommit, Some(certificate.block));
    let claim = Claim { height: certificate.height, round: certificate.round, says };
    let signed: Vec<Signed> = certificate
        .signatures
        .iter()
        .map(|s| Signed { claim, province: s.province, signature: s.signature })
        .collect();
    check_signatures(chain, members, &signed, Need::MoreThanTwoThirds, seals)
}

/// Every signer is a different validator, every signature holds, and there are enough of them.
/// One bad signature spoils the whole: nothing with a bad signature is kept or passed on.
pub(crate) fn check_signatures(
    chain: &ChainId,
    members: &Members,
    signatures: &[Signed],
    need: Need,
    seals: &mut Seals,
) -> Result<(), BadMessage> {
    let mut seen = BTreeSet::new();
    for signed in signatures {
        let province = signed.province;
        if !seen.insert(province) && !mutants::is(Mutant::SignersCountedTwice) {
            return Err(BadMessage::Twice { province });
        }
        let key = members.key_of(province).ok_or(BadMessage::NotAValidator { province })?;
        if !seals.holds(chain, signed, key) {
            return Err(BadMessage::BadSignature { province });
        }
    }
    let counted =
        if mutants::is(Mutant::SignersCountedTwice) { signatures.len() } else { seen.len() };
    let (votes, of) = (counted as u64, members.len() as u64);
    if need.is_met(votes, of) { Ok(()) } else { Err(BadMessage::TooFew { votes, of }) }
}

/// The signatures of recent heights that are known to hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seals {
    by_height: BTreeMap<u64, BTreeSet<Digest>>,
}

impl Seals {
    /// Whether the signature holds under `key`: looked up, or else checked and remembered.
    pub(crate) fn holds(&mut self, chain: &ChainId, signed: &Signed, key: &PublicKey) -> bool {
        let bytes = signed.claim.bytes(chain);
        let seal = seal_of(&bytes, key, &signed.signature);
        let height = signed.claim.height;
        if self.by_height.get(&height).is_some_and(|seals| seals.contains(&seal)) {
            return true;
        }
        let holds = key.verify(&bytes, &signed.signature).is_ok();
        if holds {
            self.insert(height, seal);
        }
        holds
    }

    fn insert(&mut self, height: u64, seal: Digest) {
        let room =
            self.by_height.len() < MAX_SEALED_HEIGHTS || self.by_height.contains_key(&height);
        if room {
            let seals = self.by_height.entry(height).or_default();
            if seals.len() < MAX_SEALS {
                seals.insert(seal);
            }
        }
    }

    /// Takes over what was checked elsewhere.
    pub(crate) fn merge(&mut self, checked: &Verified) {
        for seal in &checked.seals {
            self.insert(checked.message.height(), *seal);
        }
    }

    /// Forgets everything below `height`.
    pub(crate) fn forget_below(&mut self, height: u64) {
        self.by_height = self.by_height.split_off(&height);
    }

    /// Signs `claim`, and remembers that this signature holds.
    pub(crate) fn sign(&mut self, chain: &ChainId, claim: &Claim, key: &SecretKey) -> Signature {
        let bytes = claim.bytes(chain);
        let signature = key.sign(&bytes);
        self.insert(claim.height, seal_of(&bytes, &key.public_key(), &signature));
        signature
    }
}

/// Names "this signature of this key over these bytes holds". All parts but the last have a
/// fixed length.
fn seal_of(bytes: &[u8], key: &PublicKey, signature: &Signature) -> Digest {
    tagged_hash(SEAL_DOMAIN, &[key.as_bytes(), &signature.0, bytes])
}

/// A message whose signatures hold under some validator set.
///
/// Only [`Verified::check`] and the host itself make one. The host still looks every signature
/// up under its own set, so one made with an outdated set does no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    message: Message,
    seals: Vec<Digest>,
}

impl Verified {
    /// Checks the signatures of `message` under `set`, on any thread.
    ///
    /// # Errors
    ///
    /// [`BadMessage`] when a signer has no vote in `set` or appears twice, a signature does not
    /// hold, a certificate has too few votes, or a proposal comes out of turn.
    pub fn check(
        chain: &ChainId,
        set: &ValidatorSet,
        message: Message,
    ) -> Result<Self, BadMessage> {
        let members = Members::of(set);
        check_message(chain, &members, &message, &mut Seals::default())?;
        Ok(Self::sealed(chain, &members, message))
    }

    /// A message of our own making: our signature, or signatures that the core has checked.
    pub(crate) fn own(chain: &ChainId, members: &Members, message: Message) -> Self {
        Self::sealed(chain, members, message)
    }

    pub(crate) fn sealed(chain: &ChainId, members: &Members, message: Message) -> Self {
        let seal = |s: &Signed| {
            let key = members.key_of(s.province)?;
            Some(seal_of(&s.claim.bytes(chain), key, &s.signature))
        };
        let seals = message.signatures().iter().filter_map(seal).collect();
        Self { message, seals }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The message, without the word that it was checked.
    #[must_use]
    pub fn into_message(self) -> Message {
        self.message
    }
}
