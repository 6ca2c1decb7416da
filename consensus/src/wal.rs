//! The entries of the write-ahead log: what the core must see again after a crash so that this
//! node never contradicts what it has signed.
//!
//! Only bytes are made and read here; the file, its checksums and its fsync are the driver's.
//! An entry names its height, so that a log left over from an earlier height is recognised.

use malachite_consensus::{Input as CoreInput, ProposedValue};
use malachite_types::{Round, Validity, ValueOrigin};
use minicbor::{Decode, Encode};
use symbolon_ledger::{
    codec::{self, DecodeError},
    codes::ProvinceCode,
    hash::BlockHash,
};
use thiserror::Error;

use crate::{
    context::{Address, Block, Height, Ledger},
    timing::{Timer, TimerStep},
    wire::{MAX_MESSAGE_LEN, PolkaCertificate, Proposal, Vote, province_of},
};

/// Version of the entries.
const VERSION: u8 = 1;
/// Most bytes of one entry: the longest is a certificate.
pub const MAX_ENTRY_LEN: usize = MAX_MESSAGE_LEN + 64;

/// Why an entry of the log cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WalError {
    /// Not an entry.
    #[error(transparent)]
    Encoding(#[from] DecodeError),
    /// Written by another release.
    #[error("log entry version {found}, expected {VERSION}")]
    Version {
        /// Version found.
        found: u8,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct Envelope {
    #[n(0)]
    version: u8,
    #[n(1)]
    height: u64,
    #[n(2)]
    record: Record,
}

/// One input that changed what the core holds.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Record {
    #[n(0)]
    Vote(#[n(0)] Vote),
    #[n(1)]
    Proposal(#[n(0)] Proposal),
    #[n(2)]
    Polka(#[n(0)] PolkaCertificate),
    #[n(3)]
    Timeout(#[n(0)] u32, #[n(1)] u8),
    #[n(4)]
    Verdict(#[n(0)] Verdict),
}

/// The verdict on a body, as it was fed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Verdict {
    #[n(0)]
    pub(crate) block: BlockHash,
    #[n(1)]
    pub(crate) valid: bool,
    #[n(2)]
    pub(crate) round: u32,
    #[n(3)]
    pub(crate) valid_round: Option<u32>,
    #[n(4)]
    pub(crate) proposer: Option<ProvinceCode>,
}

/// An entry, read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) height: u64,
    pub(crate) record: Record,
}

const STEPS: [TimerStep; 3] = [TimerStep::Propose, TimerStep::Prevote, TimerStep::Precommit];

impl Record {
    /// The record of a core input, or none for the inputs that need not survive.
    pub(crate) fn of_core(input: &CoreInput<Ledger>) -> Option<Self> {
        match input {
            CoreInput::Vote(vote) => Vote::of_core(vote).map(Self::Vote),
            CoreInput::Proposal(proposal) => Proposal::of_core(proposal).map(Self::Proposal),
            CoreInput::PolkaCertificate(polka) => PolkaCertificate::of_core(polka).map(Self::Polka),
            CoreInput::TimeoutElapsed(timeout) => {
                let timer = Timer::of_core(0, *timeout)?;
                let step = STEPS.iter().position(|s| *s == timer.step)?;
                Some(Self::Timeout(timer.round, u8::try_from(step).ok()?))
            }
            CoreInput::ProposedValue(value, _) => Some(Self::Verdict(Verdict {
                block: value.value.0,
                valid: value.validity.is_valid(),
                round: value.round.as_u32()?,
                valid_round: value.valid_round.as_u32(),
                proposer: province_of(&value.proposer),
            })),
            _ => None,
        }
    }

    /// The core input that this record stands for.
    pub(crate) fn to_core(&self, height: u64) -> Option<CoreInput<Ledger>> {
        Some(match self {
            Self::Vote(vote) => CoreInput::Vote(vote.to_core()),
            Self::Proposal(proposal) => CoreInput::Proposal(proposal.to_core()),
            Self::Polka(polka) => CoreInput::PolkaCertificate(polka.to_core()),
            Self::Timeout(round, step) => {
                let step = *STEPS.get(usize::from(*step))?;
                CoreInput::TimeoutElapsed(Timer { height, round: *round, step }.to_core())
            }
            Self::Verdict(v) => {
                let value = ProposedValue {
                    height: Height(height),
                    round: Round::new(v.round),
                    valid_round: Round::from(v.valid_round),
                    proposer: v.proposer.map_or(Address::Observer, Address::Province),
                    value: Block(v.block),
                    validity: Validity::from_bool(v.valid),
                };
                // A verdict on a synced body comes back as an ordinary one: its certificate is
                // not in the log and will be synced again.
                CoreInput::ProposedValue(value, ValueOrigin::Consensus)
            }
        })
    }
}

impl Entry {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { height, record } = self.clone();
        codec::encode(&Envelope { version: VERSION, height, record })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, WalError> {
        let Envelope { version, height, record } = codec::decode(bytes, MAX_ENTRY_LEN)?;
        if version != VERSION {
            return Err(WalError::Version { found: version });
        }
        Ok(Self { height, record })
    }
}
