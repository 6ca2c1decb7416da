//! The commit certificate: the precommits that made a block final.
//!
//! The one in a node's `Decide` batch is kept beside the block and never extended. Two nodes may
//! hold different certificates of one block; both verify.

use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::{
    codes::ProvinceCode,
    hash::{BlockHash, ChainId},
    keys::Signature,
    validators::{MAX_VALIDATORS, ValidatorSet},
    vote::{VoteKind, vote_bytes},
};

/// Version of the certificate's form.
pub const CERTIFICATE_VERSION: u8 = 1;
/// Most bytes of a certificate: a signature with its province takes 70.
pub const MAX_CERTIFICATE_BYTES: usize = 128 + 80 * MAX_VALIDATORS;

/// One precommit.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct CommitSignature {
    /// Whose vote it is.
    #[n(0)]
    pub province: ProvinceCode,
    /// The signature over the precommit's bytes.
    #[n(1)]
    pub signature: Signature,
}

/// Precommits of one round for one block, in ascending order of province.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Certificate {
    /// [`CERTIFICATE_VERSION`].
    #[n(0)]
    pub version: u8,
    /// Height of the block.
    #[n(1)]
    pub height: u64,
    /// Round in which it was committed.
    #[n(2)]
    pub round: u32,
    /// Hash of the block.
    #[n(3)]
    pub block: BlockHash,
    /// The precommits.
    #[n(4)]
    pub signatures: Vec<CommitSignature>,
}

/// Why a certificate proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// An unknown version.
    #[error("certificate version {0} is unknown")]
    Version(u8),
    /// Signatures out of order, or a province twice.
    #[error("the signatures are not in ascending order of province")]
    Order,
    /// A province that is not in the validator set.
    #[error("province {0} is no validator of this set")]
    UnknownSigner(ProvinceCode),
    /// Not more than two thirds of the votes.
    #[error("{signed} signatures, fewer than the quorum of {quorum}")]
    NoQuorum {
        /// Signatures given.
        signed: usize,
        /// Signatures needed.
        quorum: usize,
    },
    /// A signature does not match.
    #[error("the signature of province {0} does not match")]
    BadSignature(ProvinceCode),
}

impl Certificate {
    /// Checks that more than two thirds of `validators` signed this block.
    ///
    /// Every signature is checked; one bad one refuses the whole. Form is checked before any
    /// cryptography.
    ///
    /// # Errors
    ///
    /// [`CertificateError`].
    pub fn verify(
        &self,
        chain: &ChainId,
        validators: &ValidatorSet,
    ) -> Result<(), CertificateError> {
        if self.version != CERTIFICATE_VERSION {
            return Err(CertificateError::Version(self.version));
        }
        if !self.signatures.is_sorted_by(|a, b| a.province < b.province) {
            return Err(CertificateError::Order);
        }
        let (signed, quorum) = (self.signatures.len(), validators.quorum());
        if signed < quorum {
            return Err(CertificateError::NoQuorum { signed, quorum });
        }
        let message =
            vote_bytes(VoteKind::Precommit, chain, self.height, self.round, Some(&self.block));
        for CommitSignature { province, signature } in &self.signatures {
            let signer =
                validators.get(*province).ok_or(CertificateError::UnknownSigner(*province))?;
            signer
                .key
                .verify(&message, signature)
                .map_err(|_| CertificateError::BadSignature(*province))?;
        }
        Ok(())
    }
}
