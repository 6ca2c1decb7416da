//! Headers checked against what is trusted.

use symbolon_ledger::{
    block::{HEADER_VERSION, Header, header_hash},
    certificate::{Certificate, CertificateError, MAX_CERTIFICATE_BYTES},
    codec::{self, DecodeError},
    hash::{BlockHash, ChainId, Digest},
};
use thiserror::Error;

use super::{
    Start, Trust,
    eras::{Era, Eras},
    inclusion::{self, InclusionError},
};

/// Why a header is not believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// Not a header.
    #[error("the header cannot be read: {0}")]
    Header(DecodeError),
    /// A form that this program does not know.
    #[error("header version {0} is unknown; a newer verifier is needed")]
    Version(u8),
    /// A header of another chain.
    #[error("the header is of chain {found}, not of {trusted}")]
    OtherChain {
        /// The chain that the header names.
        found: ChainId,
        /// The chain that is trusted.
        trusted: ChainId,
    },
    /// At height 0, but not the trusted founding block.
    #[error("the founding block is {found}, not the trusted {trusted}")]
    OtherGenesis {
        /// Hash of the header given.
        found: BlockHash,
        /// The trusted hash.
        trusted: BlockHash,
    },
    /// A certificate for the founding block, which nobody signed.
    #[error("the founding block has no certificate, but one was given")]
    GenesisCertificate,
    /// No certificate for any other block.
    #[error("a certificate is missing; only the founding block has none")]
    NoCertificate,
    /// Not a certificate.
    #[error("the certificate cannot be read: {0}")]
    CertificateEncoding(DecodeError),
    /// The certificate names another block.
    #[error("the certificate is for block {certified}, the header is of block {header}")]
    OtherBlock {
        /// The block that was signed.
        certified: BlockHash,
        /// The header's hash.
        header: BlockHash,
    },
    /// The certificate names another height.
    #[error("the certificate is for height {certified}, the header has {header}")]
    OtherHeight {
        /// The height that was signed.
        certified: u64,
        /// The header's.
        header: u64,
    },
    /// Above the pin, and voted on by a set that is not known yet.
    #[error(
        "the header names validator set {found}, which is not the one in force at the pinned block {pin}; extend the trust bundle"
    )]
    NewerValidators {
        /// Hash of the set that the header names.
        found: Digest,
        /// Height of the pinned block.
        pin: u64,
    },
    /// At or below the pin, and voted on by another set than the one of that time.
    #[error("the header names validator set {found}, the set of its time is {trusted}")]
    OtherValidators {
        /// Hash of the set that the header names.
        found: Digest,
        /// Hash of the set of that time.
        trusted: Digest,
    },
    /// The signatures do not make a quorum of the trusted validators.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// At the height of the pin, certified, and another block.
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
    /// Below the pin, and nothing shows that it is in the pin's history.
    #[error(
        "block {height} is below the pinned block {pin}; its inclusion under block {pin} is needed"
    )]
    NoInclusion {
        /// The header's height.
        height: u64,
        /// Height of the pinned block.
        pin: u64,
    },
    /// The inclusion does not hold.
    #[error(transparent)]
    Inclusion(#[from] InclusionError),
}

/// A header that the validators of its height made final. There is no other way to make one than
/// [`Trust::check_header`] and the ways to a [`Trust`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedHeader {
    header: Header,
    hash: BlockHash,
}

impl CheckedHeader {
    pub(super) fn new(header: Header, hash: BlockHash) -> Self {
        Self { header, hash }
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The block's name.
    #[must_use]
    pub fn hash(&self) -> BlockHash {
        self.hash
    }

    /// How old it is at `now_ms`; 0 when it is from the future of that clock.
    #[must_use]
    pub fn age_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.header.time_ms)
    }
}

impl Trust {
    /// Checks a header's exact bytes by its certificate's exact bytes and, below the pin, by the
    /// exact bytes of its inclusion under the pinned block. Above the pin an inclusion says
    /// nothing and is not read.
    ///
    /// Form and names are compared before any signature is checked.
    ///
    /// ```
    /// # use symbolon_ledger::{block::Header, validators::ValidatorSet};
    /// use symbolon_verify::trust::{HeaderError, Trust};
    /// # fn f(genesis: &Header, validators: ValidatorSet) -> Result<(), Box<dyn std::error::Error>> {
    /// let trust = Trust::founded(genesis, validators)?;
    /// let refused = trust.check_header(b"nonsense", None, None);
    /// assert!(matches!(refused, Err(HeaderError::Header(_))));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`HeaderError`].
    pub fn check_header(
        &self,
        header: &[u8],
        certificate: Option<&[u8]>,
        inclusion: Option<&[u8]>,
    ) -> Result<CheckedHeader, HeaderError> {
        let pin = &self.pin;
        let read = Read::of(header)?;
        let (height, pinned_at) = (read.header.height, pin.header.height);
        let checked = if height == 0 {
            check_founding(&self.chain_id, self.genesis, read, certificate)?
        } else {
            let certificate = certificate.ok_or(HeaderError::NoCertificate)?;
            let era = self.eras.at(height);
            let found = check_certified(&self.chain_id, era, read, certificate);
            let (header, hash) = found.map_err(|error| match error {
                HeaderError::OtherValidators { found, .. } if height > pinned_at => {
                    HeaderError::NewerValidators { found, pin: pinned_at }
                }
                error => error,
            })?;
            CheckedHeader { header, hash }
        };
        if height > pinned_at || (height == 0 && self.founding_known) {
            return Ok(checked);
        }
        if height == pinned_at {
            let (pinned, found) = (pin.hash, checked.hash);
            let same = pinned == found;
            return if same {
                Ok(checked)
            } else {
                Err(HeaderError::Fork { height, pinned, found })
            };
        }
        let no_inclusion = HeaderError::NoInclusion { height, pin: pinned_at };
        let included = inclusion::check(inclusion.ok_or(no_inclusion)?, pin)?;
        if included.hash != checked.hash {
            let (found, wanted) = (included.hash, checked.hash);
            return Err(InclusionError::OtherBlock { found, wanted }.into());
        }
        Ok(checked)
    }
}

/// Checks a bundle's head by the sets that the bundle leads to.
pub(super) fn check_head(
    start: &Start,
    eras: &Eras,
    header: &[u8],
    certificate: Option<&[u8]>,
) -> Result<CheckedHeader, HeaderError> {
    let read = Read::of(header)?;
    let height = read.header.height;
    if height == 0 {
        return check_founding(&start.chain_id, start.genesis, read, certificate);
    }
    let certificate = certificate.ok_or(HeaderError::NoCertificate)?;
    let era = eras.at(height);
    let (header, hash) = check_certified(&start.chain_id, era, read, certificate)?;
    Ok(CheckedHeader { header, hash })
}

/// Reads a header of a known form.
pub(super) fn decode(bytes: &[u8]) -> Result<Header, HeaderError> {
    let header = Header::decode(bytes).map_err(HeaderError::Header)?;
    if header.version != HEADER_VERSION {
        return Err(HeaderError::Version(header.version));
    }
    Ok(header)
}

/// A header that was read, with its exact bytes: read once, since its height says by which set it
/// is to be checked.
pub(super) struct Read<'b> {
    header: Header,
    bytes: &'b [u8],
}

impl<'b> Read<'b> {
    pub(super) fn of(bytes: &'b [u8]) -> Result<Self, HeaderError> {
        Ok(Self { header: decode(bytes)?, bytes })
    }

    fn of_chain(self, chain: &ChainId) -> Result<(Header, BlockHash), HeaderError> {
        let header = self.header;
        if header.chain_id != *chain {
            return Err(HeaderError::OtherChain { found: header.chain_id, trusted: *chain });
        }
        Ok((header, header_hash(self.bytes)))
    }
}

fn check_founding(
    chain: &ChainId,
    genesis: BlockHash,
    header: Read<'_>,
    certificate: Option<&[u8]>,
) -> Result<CheckedHeader, HeaderError> {
    let (header, hash) = header.of_chain(chain)?;
    if certificate.is_some() {
        return Err(HeaderError::GenesisCertificate);
    }
    if hash != genesis {
        return Err(HeaderError::OtherGenesis { found: hash, trusted: genesis });
    }
    Ok(CheckedHeader { header, hash })
}

/// Checks that more than two thirds of the set of `era` made the block of this header final.
pub(super) fn check_certified(
    chain: &ChainId,
    era: &Era,
    header: Read<'_>,
    certificate: &[u8],
) -> Result<(Header, BlockHash), HeaderError> {
    let (header, hash) = header.of_chain(chain)?;
    let certificate: Certificate = codec::decode(certificate, MAX_CERTIFICATE_BYTES)
        .map_err(HeaderError::CertificateEncoding)?;
    if certificate.block != hash {
        return Err(HeaderError::OtherBlock { certified: certificate.block, header: hash });
    }
    if certificate.height != header.height {
        let (certified, header) = (certificate.height, header.height);
        return Err(HeaderError::OtherHeight { certified, header });
    }
    let (found, trusted) = (header.validators_hash, era.hash());
    if found != trusted {
        return Err(HeaderError::OtherValidators { found, trusted });
    }
    certificate.verify(chain, era.set())?;
    Ok((header, hash))
}
