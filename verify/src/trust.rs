//! What a verifier believes, and headers checked against it.
//!
//! A verifier starts from an [`Anchor`] of its own keeping: the founding document, or a block that
//! it pinned before. [`Trust::check`] follows a trust bundle from there to a newer block, which is
//! the pin from then on; [`Trust::extend`] only ever goes on from a pin. A header is then believed
//! when more than two thirds of the validators of its height signed it, and at or below the pin
//! only when it is in the pin's own history, too: keys of a former set, stolen later, cannot
//! rewrite the time in which they were good.
//!
//! A bundle is not refused for its age: see [`Trust::standing`]. Fetching and keeping it is the
//! caller's. Read [`header`] for headers, `eras` for the sets, `inclusion` for the history.

mod eras;
mod header;
mod inclusion;

pub use header::{CheckedHeader, HeaderError};
pub use inclusion::InclusionError;

use symbolon_ledger::{
    block::Header,
    codec::{self, DecodeError},
    hash::{BlockHash, ChainId, Digest},
    trust_bundle::{
        BundleHead, MAX_SET_CHANGES, MAX_TRUST_BUNDLE_BYTES, SetChange, TRUST_BUNDLE_VERSION,
        TrustBundle,
    },
    validators::ValidatorSet,
};
use thiserror::Error;

pub use eras::ChangeError;
use eras::Eras;

/// How far a pinned block may be ahead of this machine's clock, in milliseconds: a clock at a
/// counter may be minutes wrong. Beyond it the pin's age means nothing.
pub const MAX_CLOCK_LAG_MS: u64 = 600_000;

/// From where a bundle is followed. It comes from the verifier's own keeping, never from what is
/// to be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor<'a> {
    /// The founding document.
    Genesis {
        /// The chain.
        chain_id: ChainId,
        /// Hash of the founding block.
        block: BlockHash,
        /// Hash of the founding validator set.
        validators: Digest,
    },
    /// A block that was believed before.
    Pin {
        /// Its height.
        height: u64,
        /// Its hash.
        block: BlockHash,
        /// Its inclusion under the bundle's head; needed when the bundle ends above it.
        link: Option<&'a [u8]>,
    },
    /// The bundle itself, which the verifier checked before and has kept since. Never for bytes
    /// that came with what is to be verified.
    Kept,
}

impl Anchor<'_> {
    /// The anchor that the founding block's header is.
    #[must_use]
    pub fn founding(header: &Header) -> Self {
        Self::Genesis {
            chain_id: header.chain_id,
            block: header.hash(),
            validators: header.validators_hash,
        }
    }
}

/// Why a header and a set do not found a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FoundingError {
    /// Not at height 0.
    #[error("the founding block has height 0, not {0}")]
    Height(u64),
    /// The header names another set.
    #[error("the founding block names validator set {named}, not {given}")]
    OtherSet {
        /// The set that the header names.
        named: Digest,
        /// The set given.
        given: Digest,
    },
}

/// Why a trust bundle is not believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BundleError {
    /// Not a trust bundle.
    #[error("the trust bundle cannot be read: {0}")]
    Encoding(DecodeError),
    /// A form that this program does not know.
    #[error("trust bundle version {0} is unknown; a newer verifier is needed")]
    Version(u8),
    /// More changes of the set than are read.
    #[error("{0} changes of the validator set, more than the {MAX_SET_CHANGES} that are read")]
    TooManyChanges(usize),
    /// A bundle of another chain.
    #[error("the trust bundle is of chain {found}, not of {trusted}")]
    OtherChain {
        /// The chain that the bundle names.
        found: ChainId,
        /// The chain that is trusted.
        trusted: ChainId,
    },
    /// Another founding block.
    #[error("the trust bundle begins with block {found}, not with the trusted {trusted}")]
    OtherGenesis {
        /// The founding block that the bundle names.
        found: BlockHash,
        /// The trusted one.
        trusted: BlockHash,
    },
    /// Other founding validators.
    #[error("the trust bundle begins with validator set {found}, not with the trusted {trusted}")]
    OtherFoundingSet {
        /// Hash of the set that the bundle has.
        found: Digest,
        /// Hash of the trusted one.
        trusted: Digest,
    },
    /// A change of the set that the set before did not make.
    #[error("change {index} of the validator set: {source}")]
    Change {
        /// Its place in the bundle.
        index: usize,
        /// What is wrong with it.
        source: ChangeError,
    },
    /// A change of the set above the head.
    #[error("the validator set changes at height {change}, above the head at {head}")]
    ChangeAboveHead {
        /// Height of the change.
        change: u64,
        /// Height of the head.
        head: u64,
    },
    /// The head is not believed.
    #[error("the head: {0}")]
    Head(HeaderError),
    /// The last change is at the height of the head and is another block.
    #[error("the last change of the validator set and the head are two blocks of height {0}")]
    TwoHeads(u64),
    /// The head names another next set than the changes lead to: one is missing.
    #[error("the head names {named} as the next validator set, the changes lead to {found}")]
    HeadSet {
        /// Hash of the set that the head names.
        named: Digest,
        /// Hash of the last set of the bundle.
        found: Digest,
    },
    /// The head is from the future of this machine's clock.
    #[error("the head was made {0} ms after the present of this machine's clock; set the clock")]
    Future(u64),
    /// It does not go on from the pin.
    #[error(transparent)]
    Pin(#[from] PinError),
}

/// Why a bundle does not go on from a pinned block.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PinError {
    /// It ends below the pin.
    #[error("the trust bundle ends at height {head}, below the pinned block at {pin}")]
    Backwards {
        /// Height at which it ends.
        head: u64,
        /// Height of the pin.
        pin: u64,
    },
    /// It has another block at the height of the pin, and the pin's own validators vouch for it:
    /// more than a third of them signed both, or their keys are in other hands.
    #[error(
        "a proven fork: at height {height} block {pinned} is pinned, and block {found} is certified as well"
    )]
    Fork {
        /// The height.
        height: u64,
        /// The pinned block.
        pinned: BlockHash,
        /// The other one.
        found: BlockHash,
    },
    /// It has another block at the height of the pin. Which validators vouch for that one is not
    /// known, so nothing more is proven.
    #[error("at height {height} the trust bundle has block {found}, not the pinned {pinned}")]
    OtherBlock {
        /// The height.
        height: u64,
        /// The pinned block.
        pinned: BlockHash,
        /// The other one.
        found: BlockHash,
    },
    /// It ends above the pin, and nothing shows that the pinned block is in its history.
    #[error(
        "the trust bundle ends at height {head}; the inclusion of the pinned block {pin} under it is needed"
    )]
    NoLink {
        /// Height at which it ends.
        head: u64,
        /// Height of the pin.
        pin: u64,
    },
    /// The inclusion of the pinned block does not hold.
    #[error("the inclusion of the pinned block: {0}")]
    Link(InclusionError),
    /// The blocks before the pinned one are not those that it was made on.
    #[error("the history before the pinned block is another one than it was made on")]
    Rewritten,
    /// The bundle has another set in force at the pin than the pinned block names.
    #[error("the pinned block names validator set {named}, the trust bundle has {found}")]
    OtherSet {
        /// The set that the pinned header names.
        named: Digest,
        /// The set that the bundle has.
        found: Digest,
    },
}

/// Why a trust bundle does not extend the one that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExtendError {
    /// It would not be believed by itself, or does not go on from the pin.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A change that was believed before is another one, or is missing.
    #[error("change {0} of the validator set is not the one that was believed before")]
    OldChange(usize),
    /// A change that was not believed before, at or below the pin.
    #[error(
        "the validator set is said to change at height {change}, which the pinned block {pin} denies"
    )]
    ChangeBelowPin {
        /// Height of the change.
        change: u64,
        /// Height of the pin.
        pin: u64,
    },
}

/// Whether the pin is young enough to be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Current,
    /// It is older than the chain's `bundle_max_age`: extend it first.
    TooOld {
        /// Its age in milliseconds.
        age_ms: u64,
    },
    /// It is from the future by more than [`MAX_CLOCK_LAG_MS`]: the clock is wrong.
    ClockBehind,
}

/// What a verifier believes: the sets of validators up to a pinned block. There is no other way to
/// make one than [`Trust::founded`], [`Trust::check`] and [`Trust::extend`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    chain_id: ChainId,
    genesis: BlockHash,
    /// Whether the founding block's hash is the verifier's own knowledge. Under a pin alone it is
    /// the bundle's word.
    founding_known: bool,
    eras: Eras,
    changes: Vec<SetChange>,
    pin: CheckedHeader,
    certificate: Option<Vec<u8>>,
}

impl Trust {
    /// What the founding document alone vouches for: block 0 is the pin.
    ///
    /// # Errors
    ///
    /// [`FoundingError`].
    pub fn founded(header: &Header, validators: ValidatorSet) -> Result<Self, FoundingError> {
        if header.height != 0 {
            return Err(FoundingError::Height(header.height));
        }
        let (named, given) = (header.validators_hash, validators.hash());
        if named != given {
            return Err(FoundingError::OtherSet { named, given });
        }
        Ok(Self {
            chain_id: header.chain_id,
            genesis: header.hash(),
            founding_known: true,
            eras: Eras::new(validators),
            changes: Vec::new(),
            pin: CheckedHeader::new(header.clone(), header.hash()),
            certificate: None,
        })
    }

    /// Checks a bundle's exact bytes, from the anchor to its head, which becomes the pin.
    ///
    /// Every certificate in it is checked, so a bundle of some hundred changes takes a second.
    ///
    /// ```
    /// use symbolon_verify::trust::{Anchor, BundleError, Trust};
    /// let refused = Trust::check(b"nonsense", &Anchor::Kept, 0);
    /// assert!(matches!(refused, Err(BundleError::Encoding(_))));
    /// ```
    ///
    /// # Errors
    ///
    /// [`BundleError`].
    pub fn check(bytes: &[u8], anchor: &Anchor<'_>, now_ms: u64) -> Result<Self, BundleError> {
        let bundle = decode(bytes)?;
        if let Anchor::Genesis { chain_id, block, validators } = anchor {
            same_founding(&bundle, *chain_id, *block, *validators)?;
        }
        let eras = Eras::new(bundle.validators);
        let founding_known = !matches!(anchor, Anchor::Pin { .. });
        let start = Start { chain_id: bundle.chain_id, genesis: bundle.genesis, founding_known };
        let trust = start.follow(eras, Vec::new(), bundle.changes, bundle.head, now_ms)?;
        if let Anchor::Pin { height, block, link } = anchor {
            trust.goes_on_from(*height, *block, *link)?;
        }
        Ok(trust)
    }

    /// Goes on from this pin with a newer bundle. What was believed before stays as it is, down to
    /// the certificates; only what is new is read from `newer`. `link` is the inclusion of the
    /// pinned block under the newer head, needed unless the heads are one.
    ///
    /// # Errors
    ///
    /// [`ExtendError`]. A different block at the pin's height is a proven fork,
    /// [`PinError::Fork`].
    pub fn extend(
        &self,
        newer: &[u8],
        link: Option<&[u8]>,
        now_ms: u64,
    ) -> Result<Self, ExtendError> {
        let mut bundle = decode(newer)?;
        same_founding(&bundle, self.chain_id, self.genesis, self.eras.founding().hash())?;
        let pin = self.pin.header().height;
        let head = header::decode(&bundle.head.header).map_err(BundleError::Head)?.height;
        if head < pin {
            return Err(BundleError::from(PinError::Backwards { head, pin }).into());
        }
        let same = |(ours, theirs): (&SetChange, &SetChange)| {
            ours.header == theirs.header && ours.validators == theirs.validators
        };
        let known = self.changes.iter().zip(&bundle.changes).take_while(|pair| same(*pair));
        let known = known.count();
        if known < self.changes.len() {
            return Err(ExtendError::OldChange(known));
        }
        let new = bundle.changes.split_off(known);
        if let Some(change) = new.first()
            && let Ok(header) = header::decode(&change.header)
            && header.height <= pin
        {
            return Err(ExtendError::ChangeBelowPin { change: header.height, pin });
        }
        let start = Start {
            chain_id: self.chain_id,
            genesis: self.genesis,
            founding_known: self.founding_known,
        };
        let (eras, old) = (self.eras.clone(), self.changes.clone());
        let trust = start.follow(eras, old, new, bundle.head, now_ms)?;
        // The set at the pin is our own knowledge, so another block there is more than a
        // disagreement.
        trust.goes_on_from(pin, self.pin.hash(), link).map_err(|error| match error {
            PinError::OtherBlock { height, pinned, found } => {
                BundleError::from(PinError::Fork { height, pinned, found })
            }
            error => error.into(),
        })?;
        Ok(trust)
    }

    /// The bundle's bytes, to be kept.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(&TrustBundle {
            version: TRUST_BUNDLE_VERSION,
            chain_id: self.chain_id,
            genesis: self.genesis,
            validators: self.eras.founding().clone(),
            changes: self.changes.clone(),
            head: BundleHead {
                header: codec::encode(self.pin.header()).into(),
                certificate: self.certificate.clone().map(Into::into),
            },
        })
    }

    /// The chain.
    #[must_use]
    pub fn chain_id(&self) -> ChainId {
        self.chain_id
    }

    /// The newest block that is believed without a further signature.
    #[must_use]
    pub fn pin(&self) -> &CheckedHeader {
        &self.pin
    }

    /// The set that votes on the block after the pin.
    #[must_use]
    pub fn validators(&self) -> &ValidatorSet {
        self.eras.last().set()
    }

    /// How often the set changed up to the pin.
    #[must_use]
    pub fn set_changes(&self) -> usize {
        self.changes.len()
    }

    /// Whether the pin may be relied on at `now_ms`. `max_age_ms` is the chain's parameter
    /// `bundle_max_age_ms`: past it the keys of the pinned set may be anybody's. What rests on
    /// too old a pin is undetermined, and never invalid.
    #[must_use]
    pub fn standing(&self, now_ms: u64, max_age_ms: u64) -> Standing {
        let age_ms = self.pin.age_ms(now_ms);
        if self.pin.header().time_ms > now_ms.saturating_add(MAX_CLOCK_LAG_MS) {
            Standing::ClockBehind
        } else if age_ms > max_age_ms {
            Standing::TooOld { age_ms }
        } else {
            Standing::Current
        }
    }

    /// Checks that the block at `height` that was pinned before is the head or in its history,
    /// and that the sets in force there are those that it names.
    fn goes_on_from(
        &self,
        height: u64,
        pinned: BlockHash,
        link: Option<&[u8]>,
    ) -> Result<(), PinError> {
        let head = self.pin.header().height;
        if head < height {
            return Err(PinError::Backwards { head, pin: height });
        }
        if head == height {
            let found = self.pin.hash();
            let same = found == pinned;
            return if same { Ok(()) } else { Err(PinError::OtherBlock { height, pinned, found }) };
        }
        let link = link.ok_or(PinError::NoLink { head, pin: height })?;
        let included = inclusion::check(link, &self.pin).map_err(PinError::Link)?;
        if included.header.height != height {
            let (found, wanted) = (included.header.height, height);
            return Err(PinError::Link(InclusionError::OtherHeight { found, wanted }));
        }
        if included.hash != pinned {
            return Err(PinError::OtherBlock { height, pinned, found: included.hash });
        }
        if included.before != included.header.history_root {
            return Err(PinError::Rewritten);
        }
        let named = included.header.next_validators_hash;
        let found = self.eras.at(height.saturating_add(1)).hash();
        if named == found { Ok(()) } else { Err(PinError::OtherSet { named, found }) }
    }
}

/// What is known before a bundle is followed.
struct Start {
    chain_id: ChainId,
    genesis: BlockHash,
    founding_known: bool,
}

impl Start {
    fn follow(
        self,
        mut eras: Eras,
        mut changes: Vec<SetChange>,
        new: Vec<SetChange>,
        head: BundleHead,
        now_ms: u64,
    ) -> Result<Trust, BundleError> {
        for (index, change) in (changes.len()..).zip(&new) {
            eras.follow(&self.chain_id, change)
                .map_err(|source| BundleError::Change { index, source })?;
        }
        changes.extend(new);
        let certificate = head.certificate.map(Vec::from);
        let pin = header::check_head(&self, &eras, &head.header, certificate.as_deref())
            .map_err(BundleError::Head)?;
        let at = pin.header().height;
        let change = eras.last().from().saturating_sub(1);
        if change > at {
            return Err(BundleError::ChangeAboveHead { change, head: at });
        }
        if let Some(last) = changes.last()
            && change == at
            && last.header != head.header
        {
            return Err(BundleError::TwoHeads(at));
        }
        let (named, found) = (pin.header().next_validators_hash, eras.last().hash());
        if named != found {
            return Err(BundleError::HeadSet { named, found });
        }
        let ahead = pin.header().time_ms.saturating_sub(now_ms);
        if ahead > MAX_CLOCK_LAG_MS {
            return Err(BundleError::Future(ahead));
        }
        let Self { chain_id, genesis, founding_known } = self;
        Ok(Trust { chain_id, genesis, founding_known, eras, changes, pin, certificate })
    }
}

fn decode(bytes: &[u8]) -> Result<TrustBundle, BundleError> {
    let bundle: TrustBundle =
        codec::decode(bytes, MAX_TRUST_BUNDLE_BYTES).map_err(BundleError::Encoding)?;
    if bundle.version != TRUST_BUNDLE_VERSION {
        return Err(BundleError::Version(bundle.version));
    }
    if bundle.changes.len() > MAX_SET_CHANGES {
        return Err(BundleError::TooManyChanges(bundle.changes.len()));
    }
    Ok(bundle)
}

fn same_founding(
    bundle: &TrustBundle,
    chain_id: ChainId,
    block: BlockHash,
    validators: Digest,
) -> Result<(), BundleError> {
    if bundle.chain_id != chain_id {
        return Err(BundleError::OtherChain { found: bundle.chain_id, trusted: chain_id });
    }
    if bundle.genesis != block {
        return Err(BundleError::OtherGenesis { found: bundle.genesis, trusted: block });
    }
    let found = bundle.validators.hash();
    if found != validators {
        return Err(BundleError::OtherFoundingSet { found, trusted: validators });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
