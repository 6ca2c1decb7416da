//! The key-binding JWT: the holder's signature over one presentation, for one verifier.
//!
//! [`SignatureChecked::key_binding`] says whether the holder's key signed exactly this
//! presentation. Whether it is fresh, and meant for this verifier, is judged by who knows the time
//! and the nonce: it gets [`KeyBinding`] and compares.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use symbolon_ledger::keys::{SIGNATURE_LEN, SecretKey, Signature};
use thiserror::Error;

use super::{
    ALGORITHM, KEY_BINDING_TYPE, SignatureChecked,
    issue::sign,
    parse::{json_object, text_of},
};
use crate::encoding::{from_base64url, to_base64url};

/// What a holder's signature says of a presentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyBinding {
    /// Whom it is meant for.
    pub audience: String,
    /// The verifier's challenge, or a random value of the holder's.
    pub nonce: String,
    /// When it was made, in seconds since 1970-01-01T00:00Z.
    pub issued_at: u64,
}

/// Why a key binding does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyBindingError {
    /// The credential names no holder key.
    #[error("the credential has no holder key that could have signed")]
    NoHolderKey,
    /// Not a compact JWS of two JSON objects and a signature.
    #[error("the key-binding JWT is malformed")]
    Malformed,
    /// `alg` or `typ` is another one.
    #[error("the key-binding JWT must have alg {ALGORITHM} and typ {KEY_BINDING_TYPE}")]
    Header,
    /// `iat`, `aud`, `nonce` or `sd_hash` is absent or of another type.
    #[error("the key-binding JWT must have iat, aud, nonce and sd_hash")]
    Payload,
    /// It was made for another presentation.
    #[error("sd_hash is not the digest of this presentation")]
    OtherPresentation,
    /// The holder's key did not sign it.
    #[error("the holder's key did not sign the key-binding JWT")]
    Signature,
}

#[derive(Serialize)]
struct Payload<'a> {
    iat: u64,
    aud: &'a str,
    nonce: &'a str,
    sd_hash: String,
}

fn sd_hash(sd_jwt: &str) -> String {
    to_base64url(&Sha256::digest(sd_jwt.as_bytes()))
}

/// Appends the holder's key-binding JWT to an SD-JWT text, which ends in `~`.
#[must_use]
pub fn bind(sd_jwt: &str, binding: &KeyBinding, holder: &SecretKey) -> String {
    let payload = Payload {
        iat: binding.issued_at,
        aud: &binding.audience,
        nonce: &binding.nonce,
        sd_hash: sd_hash(sd_jwt),
    };
    format!("{sd_jwt}{}", sign(KEY_BINDING_TYPE, None, &payload, holder))
}

impl SignatureChecked<'_> {
    /// Checks the key-binding JWT, if there is one, by the holder key that the issuer signed.
    ///
    /// # Errors
    ///
    /// [`KeyBindingError`].
    pub fn key_binding(&self) -> Result<Option<KeyBinding>, KeyBindingError> {
        let Some(jwt) = self.parsed().key_binding_jwt() else { return Ok(None) };
        let key = self.holder_key().ok_or(KeyBindingError::NoHolderKey)?;
        let (input, signature) = jwt.rsplit_once('.').ok_or(KeyBindingError::Malformed)?;
        let (header, payload) = input.split_once('.').ok_or(KeyBindingError::Malformed)?;
        let object = |part| json_object(part).map_err(|_| KeyBindingError::Malformed);
        let header = object(header)?;
        if text_of(&header, "alg") != Some(ALGORITHM)
            || text_of(&header, "typ") != Some(KEY_BINDING_TYPE)
            || header.contains_key("crit")
        {
            return Err(KeyBindingError::Header);
        }
        let payload = object(payload)?;
        let text = |name| text_of(&payload, name).ok_or(KeyBindingError::Payload);
        let issued_at = payload.get("iat").and_then(Value::as_u64);
        let binding = KeyBinding {
            audience: text("aud")?.to_owned(),
            nonce: text("nonce")?.to_owned(),
            issued_at: issued_at.ok_or(KeyBindingError::Payload)?,
        };
        if text("sd_hash")? != sd_hash(&self.parsed().sd_jwt()) {
            return Err(KeyBindingError::OtherPresentation);
        }
        let bytes: [u8; SIGNATURE_LEN] = from_base64url(signature)
            .ok()
            .and_then(|b| b.try_into().ok())
            .ok_or(KeyBindingError::Signature)?;
        key.verify(input.as_bytes(), &Signature(bytes)).map_err(|_| KeyBindingError::Signature)?;
        Ok(Some(binding))
    }
}
