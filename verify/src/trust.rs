//! What a verifier believes before it reads anything, and headers checked against it.
//!
//! A header is believed when more than two thirds of the trusted validators signed its block. The
//! founding block alone needs no signatures: its hash is part of what is trusted. How the set
//! changes over time is the trust bundle's; a [`Trust`] holds one set.

use symbolon_ledger::{
    block::{HEADER_VERSION, Header, header_hash},
    certificate::{Certificate, CertificateError, MAX_CERTIFICATE_BYTES},
    codec::{self, DecodeError},
    hash::{BlockHash, ChainId, Digest},
    validators::ValidatorSet,
};
use thiserror::Error;

/// The facts that a verifier starts from. They come from the verifier's own keeping (the genesis
/// file), never from what is to be verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// The chain.
    pub chain_id: ChainId,
    /// Hash of its founding block.
    pub genesis: BlockHash,
    /// The provinces that vote.
    pub validators: ValidatorSet,
}

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
    /// The block was voted on by another set than the trusted one.
    #[error("the header names validator set {found}, the trusted set is {trusted}")]
    OtherValidators {
        /// Hash of the set that the header names.
        found: Digest,
        /// Hash of the trusted set.
        trusted: Digest,
    },
    /// The signatures do not make a quorum of the trusted validators.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// A header that the trusted validators made final. There is no other way to make one than
/// [`Trust::check_header`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedHeader {
    header: Header,
    hash: BlockHash,
}

impl CheckedHeader {
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
    /// Checks a header's exact bytes by its certificate's exact bytes.
    ///
    /// Form and names are compared before any signature is checked.
    ///
    /// ```
    /// use symbolon_ledger::{hash::Digest, keys::SecretKey, validators::{Validator, ValidatorSet}};
    /// use symbolon_verify::trust::{HeaderError, Trust};
    /// let key = SecretKey::from_seed(&[1; 32]).public_key();
    /// let validator = Validator { province: "44".parse()?, key, peer_id: vec![1] };
    /// let validators = ValidatorSet::new(vec![validator])?;
    /// let trust = Trust { chain_id: Digest([1; 32]), genesis: Digest([2; 32]), validators };
    /// assert!(matches!(trust.check_header(b"nonsense", None), Err(HeaderError::Header(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`HeaderError`].
    pub fn check_header(
        &self,
        header: &[u8],
        certificate: Option<&[u8]>,
    ) -> Result<CheckedHeader, HeaderError> {
        let hash = header_hash(header);
        let header = Header::decode(header).map_err(HeaderError::Header)?;
        if header.version != HEADER_VERSION {
            return Err(HeaderError::Version(header.version));
        }
        if header.chain_id != self.chain_id {
            return Err(HeaderError::OtherChain { found: header.chain_id, trusted: self.chain_id });
        }
        match (header.height, certificate) {
            (0, Some(_)) => return Err(HeaderError::GenesisCertificate),
            (0, None) if hash != self.genesis => {
                return Err(HeaderError::OtherGenesis { found: hash, trusted: self.genesis });
            }
            (0, None) => {}
            (_, None) => return Err(HeaderError::NoCertificate),
            (_, Some(bytes)) => self.check_certificate(&header, hash, bytes)?,
        }
        Ok(CheckedHeader { header, hash })
    }

    fn check_certificate(
        &self,
        header: &Header,
        hash: BlockHash,
        bytes: &[u8],
    ) -> Result<(), HeaderError> {
        let certificate: Certificate = codec::decode(bytes, MAX_CERTIFICATE_BYTES)
            .map_err(HeaderError::CertificateEncoding)?;
        if certificate.block != hash {
            return Err(HeaderError::OtherBlock { certified: certificate.block, header: hash });
        }
        if certificate.height != header.height {
            return Err(HeaderError::OtherHeight {
                certified: certificate.height,
                header: header.height,
            });
        }
        let trusted = self.validators.hash();
        if header.validators_hash != trusted {
            return Err(HeaderError::OtherValidators { found: header.validators_hash, trusted });
        }
        Ok(certificate.verify(&self.chain_id, &self.validators)?)
    }
}

#[cfg(test)]
mod tests {
    use symbolon_ledger::{codec::encode, keys::Signature};

    use super::*;
    use crate::samples::Network;

    #[test]
    fn a_quorum_is_enough_and_less_is_not() {
        let network = Network::new();
        let header = network.header(7, Digest([3; 32]), Digest([4; 32]));
        let trust = network.trust();
        let check = |signers: &[usize]| {
            trust.check_header(&encode(&header), Some(&encode(&network.certify(&header, signers))))
        };
        for signers in [&[0, 1, 2, 3][..], &[0, 1, 2], &[1, 2, 3]] {
            assert_eq!(check(signers).unwrap().hash(), header.hash());
        }
        for signers in [&[0, 1][..], &[3], &[]] {
            let expected = CertificateError::NoQuorum { signed: signers.len(), quorum: 3 };
            assert_eq!(check(signers), Err(HeaderError::Certificate(expected)));
        }
        let twice = CertificateError::Order;
        assert_eq!(check(&[0, 1, 1]), Err(HeaderError::Certificate(twice.clone())));
        assert_eq!(check(&[2, 1, 0]), Err(HeaderError::Certificate(twice)));
    }

    #[test]
    fn every_way_to_fail_has_its_own_error() {
        let network = Network::new();
        let trust = network.trust();
        let header = network.header(7, Digest([3; 32]), Digest([4; 32]));
        let good = network.certify(&header, &[0, 1, 2]);
        let check = |header: &Header, certificate: Option<&Certificate>| {
            let certificate = certificate.map(encode);
            trust.check_header(&encode(header), certificate.as_deref()).unwrap_err()
        };
        assert_eq!(check(&header, None), HeaderError::NoCertificate);

        let newer = Header { version: 2, ..header.clone() };
        assert_eq!(check(&newer, Some(&good)), HeaderError::Version(2));
        let found = Digest([9; 32]);
        let foreign = Header { chain_id: found, ..header.clone() };
        let trusted = trust.chain_id;
        assert_eq!(check(&foreign, Some(&good)), HeaderError::OtherChain { found, trusted });
        let changed = Header { state_root: found, ..header.clone() };
        assert!(matches!(check(&changed, Some(&good)), HeaderError::OtherBlock { .. }));
        let moved = Certificate { height: 8, ..good.clone() };
        let expected = HeaderError::OtherHeight { certified: 8, header: 7 };
        assert_eq!(check(&header, Some(&moved)), expected);
        let other_set = Header { validators_hash: found, ..header.clone() };
        let signed = network.certify(&other_set, &[0, 1, 2]);
        assert!(matches!(check(&other_set, Some(&signed)), HeaderError::OtherValidators { .. }));

        let mut forged = good.clone();
        forged.signatures[1].signature = Signature([1; 64]);
        let bad = CertificateError::BadSignature("31".parse().unwrap());
        assert_eq!(check(&header, Some(&forged)), HeaderError::Certificate(bad.clone()));
        let mut exchanged = good.clone();
        exchanged.signatures[1].signature = good.signatures[0].signature;
        assert_eq!(check(&header, Some(&exchanged)), HeaderError::Certificate(bad));
        let later = Certificate { round: 1, ..good.clone() };
        assert!(matches!(check(&header, Some(&later)), HeaderError::Certificate(_)));
        let mut stranger = good.clone();
        stranger.signatures[2].province = "65".parse().unwrap();
        let unknown = CertificateError::UnknownSigner("65".parse().unwrap());
        assert_eq!(check(&header, Some(&stranger)), HeaderError::Certificate(unknown));

        let bytes = encode(&header);
        let refused = trust.check_header(&bytes, Some(&[0xff]));
        assert!(matches!(refused, Err(HeaderError::CertificateEncoding(_))));
        let refused = trust.check_header(&bytes[1..], None);
        assert!(matches!(refused, Err(HeaderError::Header(_))));
    }

    #[test]
    fn the_founding_block_is_pinned_by_its_hash() {
        let network = Network::new();
        let trust = network.trust();
        let genesis = network.genesis();
        let bytes = encode(&genesis);
        assert_eq!(trust.check_header(&bytes, None).unwrap().hash(), trust.genesis);
        let certificate = encode(&network.certify(&genesis, &[0, 1, 2, 3]));
        let refused = trust.check_header(&bytes, Some(&certificate));
        assert_eq!(refused, Err(HeaderError::GenesisCertificate));
        let other = Header { time_ms: 5, ..genesis };
        let refused = trust.check_header(&encode(&other), None);
        assert!(matches!(refused, Err(HeaderError::OtherGenesis { .. })));
    }
}
