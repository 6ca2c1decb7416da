//! Deliberate breaks, for the one question that a suite of tests cannot answer by passing: would
//! it notice?
//!
//! With the feature `mutants`, a test chooses one break for its own thread, and the suite must
//! fail. Without the feature, which is how everything is shipped, [`is`] is the constant `false`:
//! no break is compiled in, and none can be chosen. What each break is caught by stands in
//! `tests/sim/tests/mutants/main.rs`; that shipped programs have none is checked by
//! `tests/tests/shipped.rs`.
//!
//! Not here: breaks of what Malachite's core decides. Its thresholds are ours to give, so they
//! break where they are given; its lock is undone where its votes are signed, see
//! `symbolon-consensus`.

macro_rules! mutants {
    ($(#[doc = $says:literal] $name:ident,)*) => {
        /// One break.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mutant {
            $(#[doc = $says] $name,)*
        }

        /// All breaks, each with what it does.
        #[cfg(feature = "mutants")]
        pub const ALL: &[(Mutant, &str)] = &[$((Mutant::$name, $says)),*];
    };
}

mutants! {
    /// The round decides with one vote too few.
    QuorumInRounds,
    /// A certificate proves a block with one signature too few.
    QuorumInCertificates,
    /// A validator prevotes what is proposed, whatever it is locked on.
    LockDropped,
    /// The log is never made durable.
    FsyncSkipped,
    /// A message leaves before the log that it rests on is durable.
    SentBeforeFsync,
    /// The log is not read after a crash.
    LogNotReplayed,
    /// A validator signs below its mark.
    MarkIgnored,
    /// A validator that has lost its mark votes at once.
    WatchSkipped,
    /// A valid body is voted for and never stored.
    BodyNotStored,
    /// Prevotes and precommits are signed under the same domain tag.
    DomainTagDropped,
    /// What is signed does not name the chain.
    ChainDropped,
    /// What is signed does not name the round.
    RoundDropped,
    /// The set of an earlier height goes on voting.
    MembersOfAnotherHeight,
    /// One province's signature counts as often as it stands in a certificate.
    SignersCountedTwice,
    /// Anybody may propose in any round.
    TurnIgnored,
    /// A block may be proposed under another proposer's name.
    ProposerIgnored,
    /// A block's time may stand still or run backwards.
    TimeIgnored,
    /// A block may claim any state root.
    StateRootIgnored,
    /// A change may leave too few validators.
    GuardDropped,
    /// A proposal takes effect with one approval too few.
    ApprovalsTooFew,
    /// A vote counts for whatever stands under its number.
    VotesByNumber,
    /// A transaction may wait longer than its id is remembered.
    ReplayWindowIgnored,
    /// A transaction may be committed again.
    ReplayIgnored,
    /// A transaction counts for whoever it names, whoever signed it.
    SignerIgnored,
    /// An ended key goes on signing.
    EndedKeysTaken,
    /// Public keys of small order are taken.
    WeakKeysTaken,
    /// Signatures are checked in the loose way.
    LooseSignatures,
    /// A record's own leaf proves that the record is absent.
    AbsenceUnchecked,
    /// A second spelling of the same value is taken.
    SecondSpellingTaken,
    /// A leaf and an inner node of a log are hashed alike.
    LeavesHashedAsNodes,
}

/// Whether this break is chosen on this thread.
#[cfg(not(feature = "mutants"))]
#[must_use]
#[inline(always)]
pub const fn is(_: Mutant) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub use chosen::{MARKER, choose, is};

#[cfg(feature = "mutants")]
mod chosen {
    use std::cell::Cell;

    use super::Mutant;

    /// Stands in every program that can break itself, and in no other.
    pub const MARKER: &str = "deliberate breaks are compiled into this program";

    thread_local! {
        static CHOSEN: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Chooses a break for this thread, or none.
    pub fn choose(mutant: Option<Mutant>) {
        CHOSEN.set(mutant);
        std::hint::black_box(MARKER);
    }

    /// Whether this break is chosen on this thread.
    #[must_use]
    pub fn is(mutant: Mutant) -> bool {
        CHOSEN.get() == Some(mutant)
    }
}
