//! What a command believes without asking anybody: the founding document, a trust bundle of the
//! user's own keeping, a pinned block.
//!
//! A kept bundle is believed because of where it lies; `--genesis` or `--pin` holds it against
//! another source as well.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::Args;
use symbolon_genesis::{Genesis, document::MAX_DOCUMENT_BYTES};
use symbolon_ledger::{
    block::Header,
    hash::BlockHash,
    inclusion::{Inclusion, MAX_INCLUSION_BYTES},
    trust_bundle::MAX_TRUST_BUNDLE_BYTES,
    validators::ValidatorSet,
};
use symbolon_verify::{
    instant,
    offline::age,
    state_proof::StateProofError,
    trust::{Anchor, BundleError, HeaderError, PinError, Trust},
};

use crate::{clock, files, output::Failure};

/// What a command may be told to believe.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Believed {
    /// A trust bundle of your own keeping (`symbolon trust-bundle get --out FILE`)
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// The founding document of the chain, from a source that you trust
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// A block that you know: the trust bundle must end with it
    #[arg(long, value_name = "HEIGHT:HASH", requires = "trust", conflicts_with = "genesis")]
    pin: Option<Pin>,
}

impl Believed {
    /// Whether anything is to be believed.
    pub(super) const fn is_given(&self) -> bool {
        self.trust.is_some() || self.genesis.is_some()
    }

    /// The trust that the arguments lead to.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or is not what it must be.
    pub(super) fn trust(&self) -> Result<Trust, Failure> {
        let Some(path) = &self.trust else {
            let genesis = self.genesis.as_deref().ok_or_else(nothing_believed)?;
            return from_genesis(genesis);
        };
        let source = Source { genesis: self.genesis.clone(), pin: self.pin };
        source.check_file(path, None)
    }
}

fn nothing_believed() -> Failure {
    Failure::usage(
        "nothing_believed",
        "nothing says which chain to believe",
        "give --trust FILE (`symbolon trust-bundle get` writes one), or --genesis FILE",
    )
}

/// A pinned block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pin {
    pub(super) height: u64,
    pub(super) block: BlockHash,
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad =
            || "give HEIGHT:HASH, such as 1024:0f…, as `trust-bundle get` shows it".to_owned();
        let (height, block) = text.split_once(':').ok_or_else(bad)?;
        Ok(Self {
            height: height.parse().map_err(|_| bad())?,
            block: block.parse().map_err(|_| bad())?,
        })
    }
}

/// What a trust bundle is held against beside itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Source {
    pub(super) genesis: Option<PathBuf>,
    pub(super) pin: Option<Pin>,
}

impl Source {
    /// Whether there is any.
    pub(super) fn is_given(&self) -> bool {
        self.genesis.is_some() || self.pin.is_some()
    }

    /// Checks a bundle's bytes; `link` is the pinned block's inclusion under its head.
    ///
    /// # Errors
    ///
    /// When it is not believed.
    pub(super) fn check(&self, bytes: &[u8], link: Option<&[u8]>) -> Result<Trust, Failure> {
        let founding = self.genesis.as_deref().map(read_genesis).transpose()?;
        let anchor = match (&founding, self.pin) {
            (Some((header, _)), _) => Anchor::founding(header),
            (None, Some(Pin { height, block })) => Anchor::Pin { height, block, link },
            (None, None) => Anchor::Kept,
        };
        Trust::check(bytes, &anchor, clock::now_ms()).map_err(|e| not_believed(&e))
    }

    /// As [`Self::check`], of a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is not believed.
    pub(super) fn check_file(&self, path: &Path, link: Option<&[u8]>) -> Result<Trust, Failure> {
        let limit = MAX_TRUST_BUNDLE_BYTES as u64;
        let bytes = files::read(path, limit, "the trust bundle")?;
        self.check(&bytes, link).map_err(|failure| {
            let message = format!("{}: {}", path.display(), failure.message);
            Failure { message, ..failure }
        })
    }
}

/// Why a bundle is refused, and what to do.
pub(super) fn not_believed(error: &BundleError) -> Failure {
    let (code, hint) = match error {
        BundleError::Pin(PinError::Fork { .. }) => (
            "fork",
            "keep both files as evidence, tell the provinces, and rely on neither block until they have answered",
        ),
        BundleError::Pin(PinError::OtherBlock { .. }) => (
            "other_block",
            "either the pin or the bundle is of another chain, or the chain forked: compare both with a third source",
        ),
        BundleError::Pin(PinError::Backwards { .. }) => {
            ("older_bundle", "ask another node: this one is behind what is pinned already")
        }
        BundleError::Pin(PinError::NoLink { .. }) => (
            "no_inclusion",
            "`symbolon proof inclusion` asks a node for it; give it with --inclusion FILE",
        ),
        BundleError::Future(_) => {
            ("clock_behind", "set the clock of this machine; the bundle may be good")
        }
        BundleError::Encoding(_) => (
            "bad_trust_bundle",
            "this is no trust bundle, or not a whole one: `symbolon trust-bundle get --out FILE` writes one",
        ),
        _ => (
            "bad_trust_bundle",
            "ask another node for it, and check that the genesis or the pin is of the same chain",
        ),
    };
    Failure::refused(code, error.to_string(), hint)
}

/// What to do about a header that is not believed.
pub(super) fn header_hint(error: &HeaderError) -> String {
    match error {
        HeaderError::NewerValidators { .. } => {
            "extend the trust bundle: `symbolon trust-bundle get --out FILE`".to_owned()
        }
        HeaderError::NoInclusion { height, pin } => format!(
            "`symbolon proof inclusion {height} --head {pin} --out FILE` asks a node for it; give it with --inclusion FILE"
        ),
        HeaderError::Fork { .. } => {
            "keep both files as evidence, tell the provinces, and rely on neither block".to_owned()
        }
        _ => "ask another node for it; check that what you trust is of the same chain".to_owned(),
    }
}

/// What to do about a node whose answer its own proof does not show.
pub(super) const DISTRUST: &str = "do not rely on this node; ask another one";

/// What to do about a node's proof that does not hold. Where the chains differ, it is as likely that
/// what was given to believe is the wrong file.
pub(super) const fn proof_hint(error: &StateProofError) -> &'static str {
    match error {
        StateProofError::Header(
            HeaderError::OtherChain { .. } | HeaderError::OtherGenesis { .. },
        ) => {
            "the node, or the founding document or trust bundle that you gave, is of another chain: \
             compare both with the network that you mean"
        }
        _ => DISTRUST,
    }
}

/// Whether a header may well be good, and only more evidence is needed to say so.
pub(super) const fn is_unreached(error: &HeaderError) -> bool {
    matches!(error, HeaderError::NewerValidators { .. } | HeaderError::NoInclusion { .. })
}

/// Block 0 and the validators of a founding document.
fn read_genesis(path: &Path) -> Result<(Header, ValidatorSet), Failure> {
    let genesis = read_founding(path)?;
    let root = genesis.state_root();
    Ok((genesis.block_zero(root), genesis.validator_set()))
}

/// A founding document.
///
/// # Errors
///
/// When it cannot be read, or is none.
pub(super) fn read_founding(path: &Path) -> Result<Genesis, Failure> {
    let text = files::read_text(path, MAX_DOCUMENT_BYTES as u64, "the founding document")?;
    Genesis::parse(&text).map_err(|problems| {
        let first = problems.first().map(ToString::to_string).unwrap_or_default();
        no_founding(path, &first)
    })
}

fn no_founding(path: &Path, what: &str) -> Failure {
    Failure::usage(
        "bad_genesis",
        format!("{} is no founding document: {what}", path.display()),
        "`symbolon genesis check` lists everything that is wrong with it",
    )
}

/// What the founding document alone vouches for.
///
/// # Errors
///
/// When it cannot be read.
pub(super) fn from_genesis(path: &Path) -> Result<Trust, Failure> {
    let (header, validators) = read_genesis(path)?;
    Trust::founded(&header, validators).map_err(|e| {
        let what = format!("{} founds no chain: {e}", path.display());
        Failure::usage("bad_genesis", what, "check that it is whole")
    })
}

/// Inclusions at hand, to be found by the header that they are of.
#[derive(Debug, Default)]
pub(super) struct Inclusions(Vec<Vec<u8>>);

impl Inclusions {
    /// Reads files of inclusions.
    ///
    /// # Errors
    ///
    /// When one cannot be read.
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self, Failure> {
        let read = |path: &PathBuf| files::read(path, MAX_INCLUSION_BYTES as u64, "the inclusion");
        paths.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The only one, where one is expected.
    pub(super) fn first(&self) -> Option<&[u8]> {
        self.0.first().map(Vec::as_slice)
    }

    /// The inclusion of the block with this header; when there is none, the first one, so that
    /// its check says what is wrong with it.
    pub(super) fn of(&self, header: &[u8]) -> Option<&[u8]> {
        let fits = |bytes: &&Vec<u8>| {
            let read = symbolon_ledger::codec::decode::<Inclusion>(bytes, MAX_INCLUSION_BYTES);
            read.is_ok_and(|inclusion| inclusion.header[..] == *header)
        };
        self.0.iter().find(fits).map(Vec::as_slice).or(self.first())
    }
}

/// A block's height, time and age, for people.
pub(super) fn dated(height: u64, time_ms: u64) -> String {
    let age_ms = clock::now_ms().saturating_sub(time_ms);
    format!("height {height}, {}, {}", instant::text(time_ms), age(age_ms).en)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_a_height_and_a_hash() {
        let hash = "ab".repeat(32);
        let pin: Pin = format!("7:{hash}").parse().unwrap();
        assert_eq!((pin.height, pin.block.to_string()), (7, hash.clone()));
        for bad in ["", "7", "7:", ":ab", &format!("-1:{hash}"), &format!("7:{hash}0")] {
            assert!(bad.parse::<Pin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn without_a_bundle_or_a_founding_document_nothing_is_believed() {
        assert_eq!(Believed::default().trust().unwrap_err().code, "nothing_believed");
    }
}
