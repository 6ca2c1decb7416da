//! Transactions: signed statements, as COSE_Sign1 (RFC 9052, section 4.2), in exactly one
//! encoding.
//!
//! Three stages, three types. [`SignedTransaction`] has the right form and nothing is known about
//! its signature. [`Verified`] was checked under one named public key. Whether that is the key
//! registered for the actor is decided by the contracts at execution, against the state of that
//! moment: so a signature is checked once, in parallel and off the ordering path, and its result
//! never goes stale.
//!
//! Replay and malleability are closed here. The id covers the protected header, the domain and
//! the payload, and not the signature; the encoding is unique, strict Ed25519 verification
//! admits one `S`, and the leaf under `transactions_root` commits to the signature that was used.

use std::{ops::Range, sync::Arc};

use minicbor::{Decode, Decoder, Encode, Encoder, data::Tag};
use thiserror::Error;

use crate::{
    codec::{self, DecodeError},
    hash::{ChainId, Digest, TransactionId, domain, sha256},
    keys::{KeyError, PublicKey, SIGNATURE_LEN, SecretKey, Signature},
    operation::{Actor, Operation},
};

/// Most bytes of a transaction. 256 issues of a national type take about 30 KiB.
pub const MAX_TRANSACTION_BYTES: usize = 64 * 1024;
/// Most operations of a transaction.
pub const MAX_OPERATIONS: usize = 256;
/// How many heights past the current one `valid_until_height` may lie, and for how many blocks
/// transaction ids are remembered: the same number, so that a replay always meets its id.
pub const VALIDITY_WINDOW: u64 = 9_999;
/// Length of a transaction's nonce in bytes.
pub const NONCE_LEN: usize = 16;
/// Version of the payload's form.
pub const PAYLOAD_VERSION: u8 = 1;

/// COSE_Sign1's CBOR tag (RFC 9052, section 2).
const COSE_SIGN1_TAG: u64 = 18;
/// The protected header `{1: -19}`: algorithm Ed25519, and nothing else.
const PROTECTED: [u8; 3] = [0xa1, 0x01, 0x32];

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Payload {
    /// [`PAYLOAD_VERSION`].
    #[n(0)]
    pub version: u8,
    /// The chain it is meant for.
    #[n(1)]
    pub chain_id: ChainId,
    /// Whoever says it.
    #[n(2)]
    pub actor: Actor,
    /// Number of the actor's transaction key.
    #[n(3)]
    pub key_id: u32,
    /// 16 random bytes: two equal statements are two transactions.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub nonce: [u8; NONCE_LEN],
    /// Last height at which it may be committed.
    #[n(5)]
    pub valid_until_height: u64,
    /// What it says: 1 to 256 operations, of which all apply or none.
    #[n(6)]
    pub operations: Vec<Operation>,
}

/// Why bytes are not a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TransactionError {
    /// Too long, malformed, or not the deterministic encoding.
    #[error(transparent)]
    Encoding(#[from] DecodeError),
    /// The envelope is not the one form of COSE_Sign1 that is accepted.
    #[error(
        "not a tagged COSE_Sign1 with protected header {{1: -19}} and an empty unprotected header"
    )]
    Envelope,
    /// An unknown version of the payload.
    #[error("payload version {0} is unknown; this software knows version {PAYLOAD_VERSION}")]
    Version(u8),
    /// No operations, or too many.
    #[error("{0} operations; a transaction has 1 to {MAX_OPERATIONS}")]
    Operations(usize),
}

/// A transaction whose form is right and whose signature nobody has checked. A clone is the same
/// one: pool, block and execution share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTransaction(Arc<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    id: TransactionId,
    payload: Payload,
    signature: Signature,
    bytes: Vec<u8>,
    /// Where in the bytes the signed payload stands.
    signed: Range<usize>,
}

impl SignedTransaction {
    /// Signs `payload`.
    ///
    /// # Errors
    ///
    /// [`TransactionError`] when the payload has no or too many operations, or takes more than
    /// [`MAX_TRANSACTION_BYTES`].
    pub fn sign(payload: &Payload, key: &SecretKey) -> Result<Self, TransactionError> {
        let encoded = codec::encode(payload);
        let signature = key.sign(&sig_structure(&encoded));
        Self::decode(&seal(&encoded, &signature))
    }

    /// Reads a transaction in the one encoding that is accepted.
    ///
    /// # Errors
    ///
    /// [`TransactionError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, TransactionError> {
        Self::decode_unless_known(bytes, |_| None)
    }

    /// The same, unless `known` has it: then only its envelope and its id are read. It is taken for
    /// known only when its bytes are the same, since one statement can have two signatures.
    ///
    /// # Errors
    ///
    /// [`TransactionError`].
    pub fn decode_unless_known(
        bytes: &[u8],
        known: impl FnOnce(&TransactionId) -> Option<Self>,
    ) -> Result<Self, TransactionError> {
        if bytes.len() > MAX_TRANSACTION_BYTES {
            return Err(
                DecodeError::TooLong { actual: bytes.len(), limit: MAX_TRANSACTION_BYTES }.into()
            );
        }
        let (signed, signature) = open_envelope(bytes)?;
        let encoded = &bytes[signed.clone()];
        let id = sha256(&sig_structure(encoded));
        if let Some(known) = known(&id)
            && known.0.bytes == bytes
        {
            return Ok(known);
        }
        check_payload_head(encoded)?;
        let payload = codec::decode(encoded, MAX_TRANSACTION_BYTES)?;
        Ok(Self(Arc::new(Parts { id, payload, signature, bytes: bytes.to_vec(), signed })))
    }

    /// Its id: SHA-256 of the `Sig_structure`, which covers everything but the signature.
    #[must_use]
    pub fn id(&self) -> TransactionId {
        self.0.id
    }

    /// What it says.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.0.payload
    }

    /// Its exact bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// Its leaf under `transactions_root`: id, then SHA-256 of the signature.
    #[must_use]
    pub fn leaf(&self) -> [u8; 64] {
        transaction_leaf(&self.0.id, &self.signature_hash())
    }

    /// SHA-256 of the signature.
    #[must_use]
    pub fn signature_hash(&self) -> Digest {
        sha256(&self.0.signature.0)
    }

    /// Checks the signature under `key`. That `key` is the actor's is for the contracts to say.
    ///
    /// # Errors
    ///
    /// [`KeyError::BadSignature`].
    pub fn verify(self, key: &PublicKey) -> Result<Verified, KeyError> {
        let parts = &*self.0;
        key.verify(&sig_structure(&parts.bytes[parts.signed.clone()]), &parts.signature)?;
        Ok(Verified { transaction: self, key: *key })
    }
}

/// The leaf of a transaction under `transactions_root`.
#[must_use]
pub fn transaction_leaf(id: &TransactionId, signature_hash: &Digest) -> [u8; 64] {
    let mut leaf = [0; 64];
    leaf[..32].copy_from_slice(id.as_bytes());
    leaf[32..].copy_from_slice(signature_hash.as_bytes());
    leaf
}

/// A transaction whose signature holds under the key it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    transaction: SignedTransaction,
    key: PublicKey,
}

impl Verified {
    /// The key under which the signature was checked.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The transaction.
    #[must_use]
    pub fn transaction(&self) -> &SignedTransaction {
        &self.transaction
    }
}

/// RFC 9052, section 4.4: `["Signature1", protected, external_aad, payload]`.
fn sig_structure(payload: &[u8]) -> Vec<u8> {
    let mut e = Encoder::new(Vec::with_capacity(payload.len() + 40));
    e.array(4)
        .and_then(|e| e.str("Signature1"))
        .and_then(|e| e.bytes(&PROTECTED))
        .and_then(|e| e.bytes(domain::TRANSACTION.as_bytes()))
        .and_then(|e| e.bytes(payload))
        .expect("writing to a vector cannot fail");
    e.into_writer()
}

/// Fields of a payload; the last are the operations.
const PAYLOAD_FIELDS: u8 = 7;

/// Checks a payload's version and its number of operations before anything is made of it: an
/// operation takes far more memory than the few bytes that it may be written in.
fn check_payload_head(payload: &[u8]) -> Result<(), TransactionError> {
    let mut d = Decoder::new(payload);
    let fields = d.map().map_err(|e| malformed(&e))?;
    for expected in 0..PAYLOAD_FIELDS {
        let key = d.u8().map_err(|e| malformed(&e))?;
        if key != expected {
            let why = format!("field {expected} of the payload is expected, not {key}");
            return Err(malformed(&minicbor::decode::Error::message(why)));
        }
        if key == 0 {
            let version = d.u8().map_err(|e| malformed(&e))?;
            if version != PAYLOAD_VERSION {
                return Err(TransactionError::Version(version));
            }
        } else if key < PAYLOAD_FIELDS - 1 {
            d.skip().map_err(|e| malformed(&e))?;
        }
    }
    if fields != Some(PAYLOAD_FIELDS.into()) {
        return Err(DecodeError::NotDeterministic.into());
    }
    let count = d.array().map_err(|e| malformed(&e))?.ok_or(DecodeError::NotDeterministic)?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if (1..=MAX_OPERATIONS).contains(&count) {
        Ok(())
    } else {
        Err(TransactionError::Operations(count))
    }
}

fn malformed(error: &minicbor::decode::Error) -> TransactionError {
    DecodeError::Malformed(error.to_string()).into()
}

/// Where the payload of an envelope stands, and the signature. The envelope must be byte for byte
/// the one that [`seal`] makes of them.
fn open_envelope(bytes: &[u8]) -> Result<(Range<usize>, Signature), TransactionError> {
    let mut d = Decoder::new(bytes);
    let mut read = || -> Result<(Range<usize>, Signature), minicbor::decode::Error> {
        d.tag()?;
        d.array()?;
        d.bytes()?;
        d.map()?;
        let length = d.bytes()?.len();
        let payload = d.position() - length..d.position();
        let signature: [u8; SIGNATURE_LEN] = d
            .bytes()?
            .try_into()
            .map_err(|_| minicbor::decode::Error::message("a signature has 64 bytes"))?;
        Ok((payload, Signature(signature)))
    };
    let (payload, signature) = read().map_err(|_| TransactionError::Envelope)?;
    if seal(&bytes[payload.clone()], &signature) == bytes {
        Ok((payload, signature))
    } else {
        Err(TransactionError::Envelope)
    }
}

/// The one envelope of a payload and its signature.
fn seal(payload: &[u8], signature: &Signature) -> Vec<u8> {
    let mut e = Encoder::new(Vec::with_capacity(payload.len() + 80));
    e.tag(Tag::new(COSE_SIGN1_TAG))
        .and_then(|e| e.array(4))
        .and_then(|e| e.bytes(&PROTECTED))
        .and_then(|e| e.map(0))
        .and_then(|e| e.bytes(payload))
        .and_then(|e| e.bytes(&signature.0))
        .expect("writing to a vector cannot fail");
    e.into_writer()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Digest;

    fn payload() -> Payload {
        Payload {
            version: PAYLOAD_VERSION,
            chain_id: Digest([1; 32]),
            actor: Actor::Agency("11100000000013127D".parse().unwrap()),
            key_id: 0,
            nonce: [2; 16],
            valid_until_height: 100,
            operations: vec![Operation::Suspend { cid: Digest([3; 32]) }],
        }
    }

    #[test]
    fn what_was_signed_reads_back_and_verifies() {
        let key = SecretKey::from_seed(&[9; 32]);
        let signed = SignedTransaction::sign(&payload(), &key).unwrap();
        let read = SignedTransaction::decode(signed.as_bytes()).unwrap();
        assert_eq!(read, signed);
        assert!(read.clone().verify(&key.public_key()).is_ok());
        let other = SecretKey::from_seed(&[8; 32]).public_key();
        assert_eq!(read.verify(&other), Err(KeyError::BadSignature));
    }

    #[test]
    fn no_byte_can_change_unnoticed() {
        let key = SecretKey::from_seed(&[9; 32]);
        let signed = SignedTransaction::sign(&payload(), &key).unwrap();
        for at in 0..signed.as_bytes().len() {
            let mut bytes = signed.as_bytes().to_vec();
            bytes[at] ^= 1;
            let refused = SignedTransaction::decode(&bytes)
                .map(|t| t.verify(&key.public_key()).is_err())
                .unwrap_or(true);
            assert!(refused, "byte {at}");
        }
        let mut longer = signed.as_bytes().to_vec();
        longer.push(0);
        assert_eq!(SignedTransaction::decode(&longer), Err(TransactionError::Envelope));
    }

    #[test]
    fn what_is_known_is_taken_for_the_same_bytes_only() {
        let key = SecretKey::from_seed(&[9; 32]);
        let known = SignedTransaction::sign(&payload(), &key).unwrap();
        let knows = |_: &TransactionId| Some(known.clone());
        let same = SignedTransaction::decode_unless_known(known.as_bytes(), knows).unwrap();
        assert!(Arc::ptr_eq(&same.0, &known.0));
        // Another signature of the same statement, and one that is none.
        let mut bytes = known.as_bytes().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        let other = SignedTransaction::decode_unless_known(&bytes, knows).unwrap();
        assert_eq!((other.id(), other.as_bytes()), (known.id(), &bytes[..]));
        assert_eq!(other.verify(&key.public_key()), Err(KeyError::BadSignature));
    }

    #[test]
    fn a_transaction_has_between_1_and_256_operations() {
        let key = SecretKey::from_seed(&[9; 32]);
        let mut none = payload();
        none.operations.clear();
        assert_eq!(SignedTransaction::sign(&none, &key), Err(TransactionError::Operations(0)));
        let mut many = payload();
        many.operations = vec![many.operations[0].clone(); 257];
        assert_eq!(SignedTransaction::sign(&many, &key), Err(TransactionError::Operations(257)));
    }

    /// An envelope of these payload bytes, whatever they are.
    fn sealed(payload: &[u8]) -> Vec<u8> {
        seal(payload, &Signature([0; SIGNATURE_LEN]))
    }

    #[test]
    fn operations_are_counted_before_any_is_read() {
        let mut start = payload();
        start.operations = vec![Operation::Approve { proposal: 7, action: Digest([4; 32]) }];
        let bytes = codec::encode(&start);
        // The last 42 bytes are the array's head and its one operation, `[49, {0: 7, 1: digest}]`.
        let head = &bytes[..bytes.len() - 42];
        let check = |array: &[u8], expected: TransactionError| {
            let refused = SignedTransaction::decode(&sealed(&[head, array].concat()));
            assert_eq!(refused, Err(expected), "{array:02x?}");
        };
        // What follows is no operation at all: it is not looked at.
        check(&[0x80], TransactionError::Operations(0));
        check(&[0x99, 0x01, 0x01], TransactionError::Operations(257));
        check(&[0x9a, 0x00, 0x00, 0xff, 0xff, 0xf6], TransactionError::Operations(65_535));
        check(
            &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            TransactionError::Operations(usize::MAX),
        );
        check(&[0x9f, 0xff], DecodeError::NotDeterministic.into());
    }

    #[test]
    fn a_payload_of_another_version_is_told_so_whatever_its_form() {
        let mut other = payload();
        other.version = 2;
        let version = |bytes: &[u8]| SignedTransaction::decode(&sealed(bytes)).unwrap_err();
        assert_eq!(version(&codec::encode(&other)), TransactionError::Version(2));
        assert_eq!(version(&[0xa2, 0x00, 0x02, 0x09, 0xf6]), TransactionError::Version(2));
        assert!(matches!(version(&[0xa1, 0x01, 0x00]), TransactionError::Encoding(_)));
        assert!(matches!(version(&[]), TransactionError::Encoding(_)));
    }

    /// A second form of what was decoded would be checked in the place of what was signed.
    #[test]
    fn what_is_checked_is_what_was_signed() {
        let key = SecretKey::from_seed(&[9; 32]);
        let mut signed = SignedTransaction::sign(&payload(), &key).unwrap();
        Arc::make_mut(&mut signed.0).payload.nonce = [0xff; NONCE_LEN];
        assert!(signed.clone().verify(&key.public_key()).is_ok());
        let last = signed.0.signed.end - 1;
        Arc::make_mut(&mut signed.0).bytes[last] ^= 1;
        assert_eq!(signed.verify(&key.public_key()), Err(KeyError::BadSignature));
    }
}
