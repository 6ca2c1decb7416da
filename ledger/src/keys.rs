//! Ed25519 keys and signatures (RFC 8032), checked in one strict way everywhere.
//!
//! `verify_strict` refuses small-order points and non-canonical encodings, and weak public keys
//! are refused when a key is made from bytes, so that two verifiers never disagree about a
//! signature. SM2 has a reserved place in [`Algorithm`] and no implementation.

use std::fmt;

use ed25519_dalek::{
    Signer as _, SigningKey, VerifyingKey,
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _},
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::mutants::{self, Mutant};

/// Length of a public key in bytes.
pub const PUBLIC_KEY_LEN: usize = 32;
/// Length of a signature in bytes.
pub const SIGNATURE_LEN: usize = 64;

/// COSE algorithm identifier of Ed25519, fully specified (RFC 9864). The polymorphic `EdDSA`
/// (-8) is refused.
pub const COSE_ED25519: i32 = -19;

/// A signature algorithm, by its COSE number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// Ed25519, COSE -19.
    Ed25519,
}

impl Algorithm {
    /// The COSE number.
    #[must_use]
    pub const fn cose(self) -> i32 {
        match self {
            Self::Ed25519 => COSE_ED25519,
        }
    }
}

/// Why bytes are not a usable key, or a signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Not 32 bytes, or not a point of the curve.
    #[error("not an Ed25519 public key")]
    NotAKey,
    /// A point of small order: anyone could sign for it.
    #[error("weak Ed25519 public key (small order)")]
    Weak,
    /// The signature does not verify under `verify_strict`.
    #[error("the signature does not match")]
    BadSignature,
    /// Not a PKCS#8 Ed25519 private key in PEM.
    #[error("not a PKCS#8 Ed25519 private key in PEM")]
    NotPem,
}

/// A public key that is not weak.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads a raw public key.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotAKey`] or [`KeyError::Weak`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: &[u8; PUBLIC_KEY_LEN] = bytes.try_into().map_err(|_| KeyError::NotAKey)?;
        // `from_bytes` takes a second encoding of a point and keeps its bytes. The bytes are the
        // identity of a key here, so only the canonical ones are let in.
        if !is_reduced(bytes) {
            return Err(KeyError::NotAKey);
        }
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAKey)?;
        if key.is_weak() && !mutants::is(Mutant::WeakKeysTaken) {
            return Err(KeyError::Weak);
        }
        Ok(Self(key))
    }

    /// The raw key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY_LEN] {
        self.0.as_bytes()
    }

    /// The key's algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        Algorithm::Ed25519
    }

    /// Checks `signature` over `message`, strictly.
    ///
    /// # Errors
    ///
    /// [`KeyError::BadSignature`].
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), KeyError> {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        if mutants::is(Mutant::LooseSignatures) {
            let loose = ed25519_dalek::Verifier::verify(&self.0, message, &signature);
            return loose.map_err(|_| KeyError::BadSignature);
        }
        self.0.verify_strict(message, &signature).map_err(|_| KeyError::BadSignature)
    }
}

/// Whether the coordinate `y` of an encoded point is below the field's prime, 2^255 - 19 (RFC 8032,
/// section 5.1.3). The highest bit is the sign of `x`; the points with `x` = 0, which have a second
/// encoding by it, are weak.
fn is_reduced(point: &[u8; PUBLIC_KEY_LEN]) -> bool {
    let [lowest, middle @ .., highest] = point;
    *lowest < 0xed || highest & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff)
}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl<C> Encode<C> for PublicKey {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.map(2)?.u8(1)?.i32(self.algorithm().cose())?.u8(2)?.bytes(self.as_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for PublicKey {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let refuse = |why: &str| decode::Error::message(why).at(at);
        if d.map()? != Some(2) || d.u8()? != 1 {
            return Err(refuse("a key is a map of 1: algorithm and 2: bytes"));
        }
        if d.i32()? != COSE_ED25519 {
            return Err(refuse("unsupported key algorithm"));
        }
        if d.u8()? != 2 {
            return Err(refuse("a key is a map of 1: algorithm and 2: bytes"));
        }
        Self::from_bytes(d.bytes()?).map_err(|e| refuse(&e.to_string()))
    }
}

/// A signature: bytes, meaningful only after [`PublicKey::verify`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; SIGNATURE_LEN]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({}…)", data_encoding::HEXLOWER.encode(&self.0[..4]))
    }
}

impl<C> Encode<C> for Signature {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Signature {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let bytes = d.bytes()?;
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| decode::Error::message("a signature has 64 bytes").at(at))
    }
}

/// A private key. Its bytes are wiped when it is dropped, and never shown.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key made from 32 bytes of entropy.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads a PKCS#8 PEM, as OpenSSL writes it.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotPem`].
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        SigningKey::from_pkcs8_pem(pem).map(Self).map_err(|_| KeyError::NotPem)
    }

    /// The PKCS#8 PEM of this key, readable by OpenSSL.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        // Version 1 of the structure, without the public key: OpenSSL refuses version 2.
        ed25519_dalek::pkcs8::KeypairBytes { secret_key: self.0.to_bytes(), public_key: None }
            .to_pkcs8_pem(Default::default())
            .expect("an Ed25519 key always has a PKCS#8 form")
    }

    /// The 32 secret bytes, for those who must hand the key to another library.
    #[must_use]
    pub fn to_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_reads_back() {
        let key = SecretKey::from_seed(&[7; 32]);
        let read = SecretKey::from_pem(&key.to_pem()).unwrap();
        assert_eq!(read.public_key(), key.public_key());
        assert_eq!(SecretKey::from_pem("nonsense").unwrap_err(), KeyError::NotPem);
    }

    /// A point whose `y` is below 19 can also be written with `y` + 2^255 - 19.
    #[test]
    fn a_key_has_one_encoding() {
        let mut tried = 0;
        for y in 0..19u8 {
            for sign in [0, 0x80] {
                let mut canonical = [0; PUBLIC_KEY_LEN];
                (canonical[0], canonical[31]) = (y, sign);
                let mut other = [0xff; PUBLIC_KEY_LEN];
                (other[0], other[31]) = (0xed + y, 0x7f | sign);
                assert_eq!(PublicKey::from_bytes(&other), Err(KeyError::NotAKey), "{y}");
                if PublicKey::from_bytes(&canonical).is_ok() {
                    assert!(VerifyingKey::from_bytes(&other).is_ok(), "{y} is on the curve");
                    tried += 1;
                }
            }
        }
        assert!(tried >= 2, "{tried}");
    }

    #[test]
    fn weak_and_malformed_keys_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(PublicKey::from_bytes(&identity), Err(KeyError::Weak));
        assert_eq!(PublicKey::from_bytes(&[0; 31]), Err(KeyError::NotAKey));
        // y = p + k, for every k that fits into 255 bits, with either sign of x.
        for (k, sign) in (0..19u8).flat_map(|k| [(k, 0x7f), (k, 0xff)]) {
            let mut second = [0xff; 32];
            (second[0], second[31]) = (0xed + k, sign);
            assert!(PublicKey::from_bytes(&second).is_err(), "p + {k}");
        }
        let encoded = crate::codec::encode(&SecretKey::from_seed(&[7; 32]).public_key());
        let mut deprecated = encoded.clone();
        deprecated[2] = 0x27; // EdDSA, -8
        assert!(crate::codec::decode::<PublicKey>(&encoded, 64).is_ok());
        assert!(crate::codec::decode::<PublicKey>(&deprecated, 64).is_err());
    }
}
