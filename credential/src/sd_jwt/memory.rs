//! Remembering which issuers' signatures were found to hold, so that a verifier to whom a licence
//! is shown often checks it once.
//!
//! Only that is remembered: who the issuer is, whether its key was valid, is in other hands or is
//! ended, and how the licence stands, whoever judges looks up anew each time.

use symbolon_ledger::{
    hash::{Digest, tagged_hash},
    keys::PublicKey,
};

use super::{Parsed, SignatureChecked, SignatureError};

/// What the name of a signature begins with. It stays in a verifier's memory: no wire format.
const SIGNATURE: &str = "symbolon/issuer-signature/1";

/// A verifier's memory of signatures that hold, by their names. A name is a digest over the key and
/// all that it signed with the signature itself, so what it says yes to is that the strict check of
/// exactly these bytes by exactly this key came out well before; made again, it could not come out
/// otherwise. Nothing is remembered of a check that failed, so nobody can fill a memory without an
/// issuer's key. A name tells nothing of a person: it is made of what a licence's name on the ledger
/// is made of, which salted digests stand before.
pub trait SignatureMemory {
    /// Whether the signature of this name was found to hold.
    fn holds(&self, name: &Digest) -> bool;

    /// The signature of this name holds.
    fn keep(&self, name: Digest);
}

/// The memory of a verifier that remembers nothing.
#[derive(Debug, Clone, Copy)]
pub struct NoMemory;

impl SignatureMemory for NoMemory {
    fn holds(&self, _: &Digest) -> bool {
        false
    }

    fn keep(&self, _: Digest) {}
}

impl Parsed {
    /// As [`Parsed::check_signature`], unless `memory` knows that the signature holds.
    ///
    /// # Errors
    ///
    /// [`SignatureError`], which is remembered nowhere.
    pub fn check_signature_once(
        &self,
        key: &PublicKey,
        memory: &dyn SignatureMemory,
    ) -> Result<SignatureChecked<'_>, SignatureError> {
        let name = tagged_hash(SIGNATURE, &[key.as_bytes(), self.inner().as_bytes()]);
        if memory.holds(&name) {
            return Ok(self.held());
        }
        let checked = self.check_signature(key)?;
        memory.keep(name);
        Ok(checked)
    }
}
