//! The licence as an SD-JWT VC (RFC 9901), in its text form.
//!
//! ```text
//! <issuer-signed JWT> ~ <disclosure> ~ ... ~ [key-binding JWT]
//! ```
//!
//! The profile is narrow on purpose: one algorithm, one type, flat disclosures of text claims.
//! What it writes, stock SD-JWT software reads; what stock software must refuse, it refuses.
//!
//! Reading is a path of types, and each step can be taken only from the one before:
//! [`Parsed`] (well formed, nothing believed) → [`SignatureChecked`] (the issuer's key signed it)
//! → [`Disclosed`] (these claims are among the signed ones). The key-binding JWT is read after the
//! issuer's signature, because the holder's key is in the part that the issuer signed.
//!
//! Times are compared with nothing here, and no status is asked for: see `symbolon-verify`.

use sha2::{Digest as _, Sha256};

use crate::encoding::to_base64url;

mod issue;
mod key_binding;
mod memory;
mod parse;

pub(crate) use issue::sign;
#[cfg(test)]
pub(crate) use issue::sign_with;
pub use issue::{Issue, IssueError, Issued, disclosure_count, issue};
pub use key_binding::{KeyBinding, KeyBindingError, bind};
pub use memory::{NoMemory, SignatureMemory};
pub use parse::{
    Disclosed, DisclosureError, IssuerName, ParseError, Parsed, SignatureChecked, SignatureError,
    StatusReference,
};
pub(crate) use parse::{json_object, text_of};

/// JOSE algorithm, fully specified (RFC 9864). The polymorphic `EdDSA` is refused.
pub const ALGORITHM: &str = "Ed25519";
/// `typ` of the issuer-signed JWT.
pub const TYPE: &str = "dc+sd-jwt";
/// `typ` of a key-binding JWT.
pub const KEY_BINDING_TYPE: &str = "kb+jwt";
/// `_sd_alg`.
pub const DIGEST_ALGORITHM: &str = "sha-256";
/// Claim that carries the national e-licence identifier, withheld unless the holder shows it.
pub const IDENTIFIER_CLAIM: &str = "zzbs";

/// `aud` of a presentation that its holder makes for whoever scans it (level A).
pub const SELF_PRESENTED: &str = "urn:elic:qr";

/// Length of a salt, in bytes: the 128 bits that RFC 9901 recommends.
pub const SALT_LEN: usize = 16;
/// Longest presentation, in bytes. A licence with every claim of the catalogue's largest type
/// shown takes about 20 KiB.
pub const MAX_PRESENTATION_LEN: usize = 64 * 1024;
/// Longest issuer-signed JWT, in bytes: [`MAX_DIGESTS`] digests take 8 KiB of it.
pub const MAX_JWT_LEN: usize = 16 * 1024;
/// Most disclosures: the most claims that a licence type may have.
pub const MAX_DISCLOSURES: usize = 64;
/// Longest disclosure, in bytes: 2,000 characters of four bytes each, in base64.
pub const MAX_DISCLOSURE_LEN: usize = 12 * 1024;
/// Most digests in `_sd`: as many decoys as claims.
pub const MAX_DIGESTS: usize = 128;
/// Longest key-binding JWT, in bytes: an audience and a nonce of some hundred characters.
pub const MAX_KEY_BINDING_LEN: usize = 4 * 1024;

/// Names with a meaning in a JWT, an SD-JWT or an SD-JWT VC. No claim of a licence may bear one,
/// and none may be in a disclosure.
pub const RESERVED_NAMES: [&str; 14] = [
    "...",
    "_sd",
    "_sd_alg",
    "aud",
    "cnf",
    "exp",
    "iat",
    "iss",
    "jti",
    "nbf",
    "status",
    "sub",
    "vct",
    "vct#integrity",
];

/// The digest of a disclosure: SHA-256 of its base64url *text*, in base64url (RFC 9901, 4.2.3).
///
/// ```
/// use symbolon_credential::sd_jwt::digest;
/// // The example of RFC 9901, section 4.2.3.
/// let disclosure = "WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsICJmYW1pbHlfbmFtZSIsICJNw7ZiaXVzIl0";
/// assert_eq!(digest(disclosure), "X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC0");
/// ```
#[must_use]
pub fn digest(disclosure: &str) -> String {
    to_base64url(&Sha256::digest(disclosure.as_bytes()))
}

#[cfg(test)]
#[path = "sd_jwt/tests.rs"]
mod tests;
