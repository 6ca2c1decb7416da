//! Signatures of the ten kinds of `tests/vectors/ed25519-speccheck.json`, over messages of our own.
//!
//! The published ones sign fixed messages, so they can be put before a function that checks a
//! signature, but not before one that checks a certificate or a credential. These can. Who signs
//! knows the scalar of the key and adds a point of small order where the kind wants one.

use curve25519_dalek::{EdwardsPoint, Scalar, constants::EIGHT_TORSION, traits::IsIdentity as _};
use sha2::{Digest as _, Sha512};
use symbolon_ledger::hash::domain;

/// How many kinds there are.
pub(crate) const KINDS: usize = 10;
/// The kind that every verifier of this network accepts.
pub(crate) const GOOD_KIND: usize = 3;
/// Tries for a signature or a message; each is right with a chance of about one in eight.
const TRIES: u32 = 1_000;
/// y = p: the second spelling of y = 0, where two points of order 4 are.
const SECOND_ZERO: [u8; 32] = {
    let mut bytes = [0xff; 32];
    (bytes[0], bytes[31]) = (0xed, 0x7f);
    bytes
};
/// The group order, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// Somebody who signs in one of the ten kinds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OddSigner {
    kind: usize,
    scalar: Scalar,
    /// What is added to the public key.
    small: EdwardsPoint,
}

/// A message and its signature.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    /// The number with which the message was made.
    pub(crate) salt: u32,
    /// R and S.
    pub(crate) signature: [u8; 64],
}

impl OddSigner {
    /// The signer of a kind, always the same.
    pub(crate) fn new(kind: usize) -> Self {
        let scalar = match kind {
            0 | 1 => Scalar::ZERO,
            _ => Scalar::from_bytes_mod_order([7; 32]),
        };
        let small = match kind {
            6 | 7 => EIGHT_TORSION[0],
            _ => EIGHT_TORSION[1],
        };
        Self { kind, scalar, small }
    }

    /// The public key's bytes.
    pub(crate) fn public_key(&self) -> [u8; 32] {
        (EdwardsPoint::mul_base(&self.scalar) + self.small).compress().to_bytes()
    }

    /// Signs one of the messages that `message` makes of a number.
    pub(crate) fn sign(&self, message: impl Fn(u32) -> Vec<u8>) -> Signed {
        let try_salt = |salt| {
            let signature = self.attempt(salt, &message(salt))?;
            Some(Signed { salt, signature })
        };
        (0..TRIES).find_map(try_salt).unwrap_or_else(|| unreachable!("one in eight will do"))
    }

    fn attempt(&self, salt: u32, message: &[u8]) -> Option<[u8; 64]> {
        // The secret number of the signature; the kinds with a small R have none.
        let r = Scalar::from_bytes_mod_order([salt.to_le_bytes()[0].wrapping_add(9); 32]);
        let zero = || EIGHT_TORSION.into_iter().find(|p| p.compress().to_bytes() == [0; 32]);
        let (r, add, written) = match self.kind {
            0 | 2 => (Scalar::ZERO, EIGHT_TORSION[salt as usize % 8], None),
            8 | 9 => (Scalar::ZERO, zero()?, Some(SECOND_ZERO)),
            1 | 3 | 4 => (r, EIGHT_TORSION[1 + salt as usize % 7], None),
            _ => (r, EIGHT_TORSION[0], None),
        };
        let point = (EdwardsPoint::mul_base(&r) + add).compress().to_bytes();
        let hashed = if self.kind == 9 { SECOND_ZERO } else { point };
        let k = self.challenge(&hashed, message);
        // Without a cofactor, what was added to R and to the key must cancel.
        let cancels = (add + self.small * k).is_identity();
        let wanted = !matches!(self.kind, 4 | 5);
        if cancels != wanted {
            return None;
        }
        let s = self.lifted((r + k * self.scalar).to_bytes());
        Some([written.unwrap_or(point), s].concat().try_into().expect("32 bytes twice"))
    }

    fn challenge(&self, r: &[u8; 32], message: &[u8]) -> Scalar {
        let hash = Sha512::new().chain_update(r).chain_update(self.public_key());
        Scalar::from_bytes_mod_order_wide(&hash.chain_update(message).finalize().into())
    }

    /// S, or the same with the group order added once or many times.
    fn lifted(&self, s: [u8; 32]) -> [u8; 32] {
        let times = match self.kind {
            6 => 1,
            7 => 8,
            _ => 0,
        };
        (0..times).fold(s, |sum, _| add(sum, ORDER))
    }
}

/// What a transaction's signature is over: `["Signature1", protected, external_aad, payload]` of
/// docs/spec/transaction.md.
pub(crate) fn transaction_message(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    minicbor::Encoder::new(&mut bytes)
        .array(4)
        .and_then(|e| e.str("Signature1"))
        .and_then(|e| e.bytes(&[0xa1, 0x01, 0x32]))
        .and_then(|e| e.bytes(domain::TRANSACTION.as_bytes()))
        .and_then(|e| e.bytes(payload))
        .unwrap();
    bytes
}

fn add(a: [u8; 32], b: [u8; 32]) -> [u8; 32] {
    let mut carry = 0;
    std::array::from_fn(|i| {
        let sum = u16::from(a[i]) + u16::from(b[i]) + carry;
        carry = sum >> 8;
        (sum & 0xff) as u8
    })
}
