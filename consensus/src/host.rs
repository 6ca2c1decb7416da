//! The host of the round: what goes in, what comes out, and the one function in between.
//!
//! [`Host::step`] takes the time and one input and returns what has to happen, in order. It owns
//! no clock, file or socket; it holds the core's state machine, feeds it one input at a time
//! (in `Host::feed`) and writes down the core's wishes as effects (in
//! `desk`). Restarting is `recover`; how to drive it all stands on the first
//! page of this crate.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use malachite_consensus::{Error as CoreError, Input as CoreInput, State, process};
use malachite_types::VoteExtensionPolicy;
use symbolon_ledger::{
    block::Header,
    certificate::Certificate,
    codes::ProvinceCode,
    hash::{BlockHash, ChainId, Digest},
    keys::SecretKey,
    validators::ValidatorSet,
    vote::{Statement, Step, VoteKind},
};
use thiserror::Error;

use crate::{
    context::{Height, Ledger},
    desk::Desk,
    hold::Bodies,
    mark::Signed,
    membership::NotTheNamedSet,
    sign::{BadMessage, Verified},
    timing::{Timer, Timing},
    validity::InvalidBlock,
    wal::WalError,
    wire::Message,
};

/// A peer, by a number of the driver's own choosing. It comes back in effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer(pub u64);

/// Who this node is.
#[derive(Debug)]
pub struct Config {
    /// The chain.
    pub chain_id: ChainId,
    /// The province and key that this node votes with; none for an observer. A key that the
    /// validator set does not hold for the province votes at no height.
    pub identity: Option<(ProvinceCode, SecretKey)>,
    /// A second key: this node votes with it at every height whose set holds it for the province.
    /// So a validator's key is rotated while the node runs.
    pub next_key: Option<SecretKey>,
    /// How long to wait for what.
    pub timing: Timing,
    /// What its key has signed before, as far as is known apart from the log.
    pub signed: Signed,
}

/// What is committed, and so governs the next height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeightStart {
    /// The tip's header.
    pub parent: Header,
    /// RFC 9162 root over the hashes of all blocks up to and with the tip.
    pub history_root: Digest,
    /// The validator set in the state after the tip.
    pub validators: ValidatorSet,
}

impl HeightStart {
    /// The height that starts.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.parent.height.saturating_add(1)
    }
}

/// What the driver tells the host.
#[derive(Debug)]
pub enum Input {
    /// The decided block is committed: prepare the next height. Nothing is sent before it
    /// begins.
    StartHeight(HeightStart),
    /// Begin the prepared height: there is work, or the idle interval has passed. The checked
    /// messages of others begin it as well, when they are reason enough.
    Begin,
    /// A well-formed message. The host checks its signatures.
    Message {
        /// The message.
        message: Message,
        /// Who delivered it.
        from: Peer,
    },
    /// A message that was checked on another thread.
    Verified {
        /// The message.
        message: Verified,
        /// Who delivered it.
        from: Peer,
    },
    /// A timer ran out.
    TimeoutElapsed(Timer),
    /// Answer to [`Effect::BuildBlock`].
    BlockBuilt {
        /// The round it was built for.
        round: u32,
        /// The header of the executed block. Its body must be at hand.
        header: Header,
    },
    /// Answer to [`Effect::RequestBody`].
    BodyValidated {
        /// The body's header.
        header: Header,
        /// Whether execution bears the header out, see [`crate::validity::check_outcome`].
        valid: bool,
    },
    /// The time asked for by [`Effect::WakeAt`] has come. Harmless at any other time.
    Tick,
}

/// What the driver has to do, strictly in order, each finished before the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Forget all entries: the log belongs to this height from now on.
    WalReset {
        /// The height.
        height: u64,
    },
    /// Append an entry to the log.
    WalAppend(Vec<u8>),
    /// Make everything appended durable (fsync). On failure stop, and stay down.
    WalFlush,
    /// Make the body of this block durable under its height and hash.
    StoreBody {
        /// The block.
        block: BlockHash,
    },
    /// Send to everybody.
    Publish(Verified),
    /// Offer the stored body to everybody.
    SpreadBody {
        /// The block.
        block: BlockHash,
    },
    /// Fetch this body, execute it and answer with [`Input::BodyValidated`]. Repeated in every
    /// round and whenever it is proposed again, while it is missing.
    RequestBody {
        /// The block.
        block: BlockHash,
        /// Its height.
        height: u64,
        /// Who proposed it, when known.
        proposer: Option<ProvinceCode>,
        /// Who spoke of it last and so may have it.
        from: Option<Peer>,
    },
    /// This body is not waited for any more. Where it is not stored, it may be dropped.
    ForgetBody {
        /// The block.
        block: BlockHash,
    },
    /// Build and execute a block and answer with [`Input::BlockBuilt`]. A late answer is
    /// ignored.
    BuildBlock {
        /// Its height.
        height: u64,
        /// The round it is for.
        round: u32,
        /// When the others stop waiting, in milliseconds since 1970.
        deadline_ms: u64,
    },
    /// Start a timer; one that runs under the same name is replaced.
    ScheduleTimer {
        /// Its name.
        timer: Timer,
        /// How long it runs.
        after: Duration,
    },
    /// Stop a timer, if it runs.
    CancelTimer(Timer),
    /// Stop all timers. A wake-up is not a timer.
    CancelAllTimers,
    /// Give an [`Input::Tick`] at this time, in milliseconds since 1970.
    WakeAt {
        /// The time.
        time_ms: u64,
    },
    /// A round has begun.
    StartedRound {
        /// Its height.
        height: u64,
        /// The round.
        round: u32,
        /// Whose turn it is.
        proposer: ProvinceCode,
        /// Whether it is ours.
        is_proposer: bool,
    },
    /// Commit: block, certificate, state and tip in one durable batch.
    Decide {
        /// The block, whose body was stored before.
        block: BlockHash,
        /// Its certificate. Kept as it is and never extended.
        certificate: Certificate,
    },
    /// Somebody signed two things that exclude each other. As soon as the second is heard.
    EvidenceFound(Evidence),
    /// A peer delivered a message that no honest node sends or forwards.
    Misbehaved {
        /// The peer.
        peer: Peer,
        /// What is wrong with the message.
        reason: BadMessage,
    },
    /// A valid block waits for the clock.
    Held {
        /// The block.
        block: BlockHash,
        /// Until when, in milliseconds since 1970.
        until_ms: u64,
    },
    /// For the log.
    Warning(String),
}

/// Two signed messages of one province that exclude each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The province.
    pub province: ProvinceCode,
    /// The message that came first.
    pub first: Message,
    /// The one that contradicts it.
    pub second: Message,
}

/// Why the host stops. The node stops with it and stays down until a person has looked: going on
/// could mean signing against itself or serving what is not final.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HostError {
    /// A fault or a panic came before. The host does nothing any more.
    #[error("consensus stopped after an earlier fault")]
    Stopped,
    /// The core broke one of its own rules.
    #[error("consensus core: {0}")]
    Core(String),
    /// This node was about to contradict what it has signed.
    #[error("about to sign a second, different {what} at height {height}, round {round}")]
    DoubleSign {
        /// The kind of message.
        what: &'static str,
        /// Its height.
        height: u64,
        /// Its round.
        round: u32,
    },
    /// This node was about to sign below its mark.
    #[error(
        "about to sign a {} at height {height}, round {round}, below what this key signed last: a {} at height {}, round {}",
        .step.name(), .mark.step.name(), .mark.height, .mark.round
    )]
    BelowMark {
        /// The kind of message.
        step: Step,
        /// Its height.
        height: u64,
        /// Its round.
        round: u32,
        /// What was signed last.
        mark: Box<Statement>,
    },
    /// More than two thirds committed a block that does not hold here: this node's state or
    /// release differs from theirs.
    #[error("block {block} is certified at height {height} but invalid here")]
    CertifiedBlockInvalid {
        /// The block.
        block: BlockHash,
        /// Its height.
        height: u64,
    },
    /// The next height does not follow from what was decided.
    #[error("height {height} was decided as {decided}, but block {actual} was committed")]
    WrongParent {
        /// The height decided.
        height: u64,
        /// The block decided.
        decided: BlockHash,
        /// The block given as the tip.
        actual: BlockHash,
    },
    /// The tip belongs to another chain.
    #[error("the tip belongs to chain {actual}, expected {expected}")]
    WrongChain {
        /// This node's chain.
        expected: ChainId,
        /// The tip's.
        actual: ChainId,
    },
    /// The validator set given is not the one that the tip names.
    #[error(transparent)]
    Membership(#[from] NotTheNamedSet),
    /// An entry of the log cannot be read.
    #[error("entry {index} of the write-ahead log: {source}")]
    Wal {
        /// Its place.
        index: usize,
        /// What is wrong with it.
        source: WalError,
    },
    /// The log knows a height that the database does not: committed blocks are lost.
    #[error("the write-ahead log is at height {wal}, ahead of the database, which expects {next}")]
    WalAhead {
        /// The log's height.
        wal: u64,
        /// The height after the tip.
        next: u64,
    },
    /// The log holds a verdict on a body that is not stored.
    #[error("the body of block {block} at height {height} is in the log but not stored")]
    BodyMissing {
        /// The block.
        block: BlockHash,
        /// Its height.
        height: u64,
    },
}

/// Where the host stands at its height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing sent yet.
    Prepared,
    /// In a round.
    Running,
    /// Decided; waits for [`Input::StartHeight`].
    Decided(BlockHash),
}

/// One node's side of the round.
pub struct Host {
    pub(crate) core: State<Ledger>,
    pub(crate) desk: Desk,
    pub(crate) start: HeightStart,
    pub(crate) bodies: Bodies,
    pub(crate) phase: Phase,
    /// Votes and certificates seen for a block, by round: where a quorum may have formed.
    pub(crate) watched: BTreeSet<(u32, BlockHash)>,
    /// The last round in which missing bodies were asked for again.
    pub(crate) asked_in_round: Option<u32>,
    /// The last round that was found to end without a block.
    pub(crate) empty_round: Option<u32>,
    /// Votes for the prepared height, which are no reason yet to begin it.
    pub(crate) calls: BTreeMap<(ProvinceCode, VoteKind, u32), (Message, Peer)>,
    // host contract 7: set while the core runs and cleared after; a fault or a panic leaves it
    // set, and nothing is done any more.
    stopped: bool,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("height", &self.height())
            .field("round", &self.round())
            .field("phase", &self.phase)
            .field("stopped", &self.stopped)
            .finish_non_exhaustive()
    }
}

impl Host {
    pub(crate) fn assemble(core: State<Ledger>, desk: Desk, start: HeightStart) -> Self {
        Self {
            core,
            desk,
            start,
            bodies: Bodies::default(),
            phase: Phase::Prepared,
            watched: BTreeSet::new(),
            asked_in_round: None,
            empty_round: None,
            calls: BTreeMap::new(),
            stopped: false,
        }
    }

    /// The height it is at.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.start.height()
    }

    /// The round it is in, once the height has begun.
    #[must_use]
    pub fn round(&self) -> Option<u32> {
        match self.phase {
            Phase::Prepared => None,
            Phase::Running | Phase::Decided(_) => self.core.round().as_u32(),
        }
    }

    /// Whether the height has begun.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.phase != Phase::Prepared
    }

    /// What its key has signed, as far as is known: for the configuration of a host that takes over
    /// from this one.
    #[must_use]
    pub fn signed(&self) -> &Signed {
        &self.desk.signed
    }

    /// Whether it votes at this height: its key has the vote, and its mark does not forbid it.
    #[must_use]
    pub fn votes(&self) -> bool {
        self.desk.may_vote()
    }

    /// Whether the vote at this height is this node's, whether or not it may use it.
    #[must_use]
    pub fn has_vote(&self) -> bool {
        self.desk.has_vote()
    }

    /// What the current height is built on.
    #[must_use]
    pub fn start(&self) -> &HeightStart {
        &self.start
    }

    /// Takes one input at `now_ms` (milliseconds since 1970) and says what has to happen.
    ///
    /// # Errors
    ///
    /// [`HostError`]: stop the node and stay down. Every later step is an error too.
    pub fn step(&mut self, now_ms: u64, input: Input) -> Result<Vec<Effect>, HostError> {
        if self.stopped {
            return Err(HostError::Stopped);
        }
        self.stopped = true;
        self.desk.now_ms = now_ms;
        self.take(input)?;
        self.settle()?;
        self.stopped = false;
        self.desk.from = None;
        Ok(std::mem::take(&mut self.desk.effects))
    }

    fn take(&mut self, input: Input) -> Result<(), HostError> {
        match input {
            Input::StartHeight(start) => self.on_start_height(start),
            Input::Begin if self.phase == Phase::Prepared => self.begin_and_hear(),
            Input::Tick if self.is_called() => self.begin_and_hear(),
            Input::Begin | Input::Tick => Ok(()),
            Input::Message { message, from } => self.on_message(&message, from),
            Input::Verified { message, from } => {
                self.desk.seals.merge(&message);
                self.on_message(&message.into_message(), from)
            }
            Input::TimeoutElapsed(timer) => self.on_timeout(timer),
            Input::BlockBuilt { round, header } => self.on_built(round, header),
            Input::BodyValidated { header, valid } => self.on_body(header, valid),
        }
    }

    fn on_start_height(&mut self, start: HeightStart) -> Result<(), HostError> {
        let Phase::Decided(decided) = self.phase else {
            // host contract 6: a height is started once; there is no way to start it again and
            // so to forget what was logged for it.
            self.desk.warn(format!("height {} is already under way", self.height()));
            return Ok(());
        };
        let (height, actual) = (self.height(), start.parent.hash());
        if start.parent.height != height || actual != decided {
            return Err(HostError::WrongParent { height, decided, actual });
        }
        self.desk.prepare(&start)?;
        self.start = start;
        self.bodies = Bodies::default();
        self.watched.clear();
        self.asked_in_round = None;
        self.empty_round = None;
        self.phase = Phase::Prepared;
        self.desk.effects.push(Effect::WalReset { height: self.height() });
        Ok(())
    }

    /// Starts round 0 of the prepared height.
    pub(crate) fn begin(&mut self) -> Result<(), HostError> {
        self.phase = Phase::Running;
        self.asked_in_round = Some(0);
        self.core.params.enabled = self.desk.may_vote();
        // host contract 6: `is_restart` would make the core forget the log; it is false always.
        let is_restart = false;
        // No target time: the driver paces heights, the core has no clock.
        self.feed(CoreInput::StartHeight(
            Height(self.height()),
            self.desk.members.clone(),
            is_restart,
            None,
            VoteExtensionPolicy::Disabled,
        ))
    }

    /// Feeds the core one input and lets the desk answer what it asks for.
    pub(crate) fn feed(&mut self, input: CoreInput<Ledger>) -> Result<(), HostError> {
        let Self { core, desk, .. } = self;
        desk.unlocked.hear(&input);
        // host contract 3: the desk's answer cannot be an error: its type has none.
        let result: Result<(), CoreError<Ledger>> = process!(
            input: input,
            state: core,
            metrics: &(),
            with: effect => desk.answer(effect)
        );
        if let Some(fault) = self.desk.fault.take() {
            return Err(fault);
        }
        if let Some(block) = self.desk.decided.take() {
            self.phase = Phase::Decided(block);
        }
        self.report_contradictions();
        self.end_empty_round();
        match result {
            Ok(()) => Ok(()),
            Err(
                error @ (CoreError::UnexpectedResume(..)
                | CoreError::DecisionNotFound(..)
                | CoreError::WalCorrupted(_)
                | CoreError::ReplayDivergence(..)),
            ) => Err(HostError::Core(error.to_string())),
            // The rest refuse one input and leave the state machine as it was.
            Err(error) => {
                self.desk.warn(format!("consensus core: {error}"));
                Ok(())
            }
        }
    }

    fn on_timeout(&mut self, timer: Timer) -> Result<(), HostError> {
        if self.phase != Phase::Running || timer.height != self.height() {
            return Ok(());
        }
        if timer.step == crate::timing::TimerStep::Rebroadcast {
            self.request_missing();
            self.desk.repeat_proposal(timer.round);
        }
        if let Some(proposer) = self.desk.first_proposer(timer) {
            self.desk.away.missed(proposer);
        }
        self.feed(CoreInput::TimeoutElapsed(timer.to_core()))
    }

    /// Whether the host can take consensus inputs for its height.
    pub(crate) fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    pub(crate) fn refuse_own(&mut self, error: &InvalidBlock) {
        self.desk.warn(format!("own block refused: {error}"));
    }
}
