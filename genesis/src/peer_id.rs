//! The libp2p peer id of an Ed25519 key, without libp2p.
//!
//! A peer id is the identity multihash of the key's protobuf form: `00 24` (identity, 36 bytes),
//! `08 01` (type Ed25519), `12 20` (32 bytes), key. Its text is base58btc and begins `12D3KooW`.
//! Source: libp2p specification, `peer-ids/peer-ids.md`.

use std::{fmt, str::FromStr};

use minicbor::{Encode, Encoder, encode};
use symbolon_ledger::{
    keys::{KeyError, PublicKey},
    validators::ED25519_PEER_ID as PREFIX,
};
use thiserror::Error;

/// Length of a peer id in bytes.
pub const PEER_ID_LEN: usize = 38;
/// Longest text that is looked at; a peer id has 52 characters.
const MAX_TEXT_LEN: usize = 64;

/// Why a text or bytes are not a peer id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PeerIdError {
    /// Not base58, or not of this form.
    #[error("not the peer id of an Ed25519 key, which has 52 characters and begins 12D3KooW")]
    Form,
    /// The key in it cannot be used.
    #[error("the key in this peer id cannot be used: {0}")]
    Key(#[from] KeyError),
}

/// The peer id of a node with an Ed25519 key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerId {
    bytes: [u8; PEER_ID_LEN],
    key: PublicKey,
}

impl PeerId {
    /// The peer id of whoever holds this key.
    #[must_use]
    pub fn of(key: &PublicKey) -> Self {
        let mut bytes = [0; PEER_ID_LEN];
        bytes[..PREFIX.len()].copy_from_slice(&PREFIX);
        bytes[PREFIX.len()..].copy_from_slice(key.as_bytes());
        Self { bytes, key: *key }
    }

    /// Reads the multihash.
    ///
    /// # Errors
    ///
    /// [`PeerIdError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PeerIdError> {
        let key = bytes.strip_prefix(&PREFIX).ok_or(PeerIdError::Form)?;
        Ok(Self::of(&PublicKey::from_bytes(key)?))
    }

    /// The multihash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; PEER_ID_LEN] {
        &self.bytes
    }

    /// The key in it.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.key
    }
}

impl FromStr for PeerId {
    type Err = PeerIdError;

    fn from_str(text: &str) -> Result<Self, PeerIdError> {
        // Base58 takes quadratic time, so the length is looked at first.
        if text.len() > MAX_TEXT_LEN {
            return Err(PeerIdError::Form);
        }
        let bytes = bs58::decode(text).into_vec().map_err(|_| PeerIdError::Form)?;
        Self::from_bytes(&bytes)
    }
}

impl<C> Encode<C> for PeerId {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.bytes)?.ok()
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.bytes).into_string())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

#[cfg(test)]
mod tests {
    use symbolon_ledger::keys::SecretKey;

    use super::*;

    /// The Ed25519 example of the libp2p specification (peer-ids.md, "Test vectors"): the
    /// protobuf of the public key, hence the multihash behind `00 24`.
    #[test]
    fn the_specification_s_public_key_has_its_form() {
        let key = "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e";
        let key: Vec<u8> =
            (0..32).map(|i| u8::from_str_radix(&key[2 * i..2 * i + 2], 16).unwrap()).collect();
        let id = PeerId::of(&PublicKey::from_bytes(&key).unwrap());
        assert_eq!(id.as_bytes()[..6], [0x00, 0x24, 0x08, 0x01, 0x12, 0x20]);
        assert!(id.to_string().starts_with("12D3KooW"));
        assert_eq!(id.to_string().len(), 52);
    }

    #[test]
    fn text_reads_back_and_other_texts_are_refused() {
        let id = PeerId::of(&SecretKey::from_seed(&[3; 32]).public_key());
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(PeerId::from_bytes(id.as_bytes()), Ok(id));
        let changed = id.to_string().replace("12D3KooW", "12D3KooX");
        for bad in ["", "Qm", "12D3KooW", "0OIl", &changed, &"1".repeat(65)] {
            assert!(bad.parse::<PeerId>().is_err(), "{bad}");
        }
    }
}
