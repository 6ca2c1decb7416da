//! Digests, and the one list of domain tags that keeps what is hashed or signed for the chain for
//! one purpose from meaning anything for another. What never leaves a program's memory has its tag
//! where it is used.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// Domain tags. Each is used for exactly one purpose; a change of the bytes behind it takes a
/// new number at its end.
pub mod domain {
    /// `external_aad` of a transaction's signature.
    pub const TRANSACTION: &str = "symbolon/tx/1";
    /// Prefix of a licence's identifier, [`crate::codes::cid`].
    pub const CID: &str = "symbolon/cid/1";
    /// Prefix of a block's hash.
    pub const BLOCK: &str = "symbolon/block/1";
    /// Prefix of a key in the authenticated map.
    pub const STATE: &str = "symbolon/state/1";
    /// Prefix of the hash of a validator set.
    pub const VALIDATORS: &str = "symbolon/validators/1";
    /// Prefix of the hash of the founding document.
    pub const CHAIN: &str = "symbolon/chain/1";
    /// Prefix of the digest by which a vote names the action that it is about.
    pub const ACTION: &str = "symbolon/action/1";
    /// First element of a signed proposal.
    pub const PROPOSAL: &str = "symbolon/proposal/1";
    /// First element of a signed prevote.
    pub const PREVOTE: &str = "symbolon/prevote/1";
    /// First element of a signed precommit.
    pub const PRECOMMIT: &str = "symbolon/precommit/1";
}

/// Length of a digest in bytes.
pub const DIGEST_LEN: usize = 32;

/// A SHA-256 digest. Shown and read as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; DIGEST_LEN]);

/// The name of a chain: the digest of its founding document.
pub type ChainId = Digest;
/// The name of a block: the digest of its header.
pub type BlockHash = Digest;
/// The name of a transaction: the digest of its `Sig_structure`.
pub type TransactionId = Digest;
/// The name of a licence on the ledger, see [`crate::codes::cid`].
pub type Cid = Digest;

impl Digest {
    /// Thirty-two zero bytes: the parent of block 0.
    pub const ZERO: Self = Self([0; DIGEST_LEN]);

    /// The digest's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; DIGEST_LEN] {
        &self.0
    }
}

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// SHA-256 of `domain` followed by `parts`.
///
/// The parts are not delimited: call it with parts of fixed length, or with one part only.
#[must_use]
pub fn tagged_hash(domain: &str, parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update(domain.as_bytes());
    for part in parts {
        hasher.update(part);
    }
    Digest(hasher.finalize().into())
}

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected 64 lower-case hexadecimal digits")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        if text.len() != 2 * DIGEST_LEN {
            return Err(NotADigest);
        }
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| NotADigest)?;
        bytes.try_into().map(Self).map_err(|_| NotADigest)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl<C> Encode<C> for Digest {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Digest {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let bytes = d.bytes()?;
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| decode::Error::message("a digest has 32 bytes").at(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_reads_back_and_refuses_other_spellings() {
        let digest = sha256(b"abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse(), Ok(digest));
        assert_eq!(text.to_uppercase().parse::<Digest>(), Err(NotADigest));
        assert_eq!(text[1..].parse::<Digest>(), Err(NotADigest));
        assert_eq!("".parse::<Digest>(), Err(NotADigest));
    }
}
