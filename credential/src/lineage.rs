//! The lineage tag: how the ledger sees that a renewal continues a licence, without learning
//! which licence.
//!
//! The tag is HMAC-SHA256 under a secret of the agency over what all versions of a licence share.
//! Without the secret nobody can tell, from a licence number or an identifier, which tag is its.
//! Another agency's tag for the same licence differs, so a transfer is linked by `prev` instead.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use symbolon_ledger::{
    codes::{TypeCode, Uscc},
    hash::Digest,
};

use crate::{
    claims::ValidClaims,
    identifier::{IdentifierError, MAX_SERIAL_LEN, NationalIdentifier},
};

/// Version written into a local licence's name. It is the version of the first licence of the
/// lineage and stays through renewals: all of them share one tag.
const FIRST_VERSION: &str = "001";

/// A secret of an agency, or of one import, under which tags are made. It never leaves its owner
/// and is not a signing key: losing it breaks the link between renewals, not the licences.
#[derive(Clone)]
pub struct TagSecret([u8; 32]);

impl TagSecret {
    /// The secret made of 32 random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn tag(&self, parts: &[&[u8]]) -> Digest {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        for part in parts {
            mac.update(part);
        }
        Digest(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for TagSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TagSecret(..)")
    }
}

/// The lineage tag of a licence with a national identifier: HMAC over the identifier without
/// version and check character.
#[must_use]
pub fn national(secret: &TagSecret, identifier: &NationalIdentifier) -> Digest {
    secret.tag(&[identifier.stem().as_bytes()])
}

/// The lineage tag of a licence of a `local:` type: HMAC over `type.uscc.serial.001`.
///
/// # Errors
///
/// [`IdentifierError::Serial`] when the serial is not 1 to 32 digits and capital letters.
pub fn local(
    secret: &TagSecret,
    licence_type: &TypeCode,
    agency: &Uscc,
    serial: &str,
) -> Result<Digest, IdentifierError> {
    let known = serial.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
    if serial.is_empty() || serial.len() > MAX_SERIAL_LEN || !known {
        return Err(IdentifierError::Serial);
    }
    let name = format!("{licence_type}.{agency}.{serial}.{FIRST_VERSION}");
    Ok(secret.tag(&[name.as_bytes()]))
}

/// A tag by which an import recognises a row that it has issued before: HMAC over the type and
/// the values of the claims that the catalogue calls unique. `None` when the type has none.
#[must_use]
pub fn row(secret: &TagSecret, claims: &ValidClaims) -> Option<Digest> {
    let mut text = format!("row\0{}", claims.type_code());
    let mut any = false;
    for (key, value) in claims.unique() {
        any = true;
        // NUL cannot occur in a key or a value, so the parts cannot run into one another.
        text.push('\0');
        text.push_str(key);
        text.push('\0');
        text.push_str(value);
    }
    any.then(|| secret.tag(&[text.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U";
    const SECOND: &str =
        "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.002.S";

    #[test]
    fn versions_share_a_tag_and_agencies_do_not() {
        let (ours, theirs) = (TagSecret::from_bytes([1; 32]), TagSecret::from_bytes([2; 32]));
        let (first, second) = (FIRST.parse().unwrap(), SECOND.parse().unwrap());
        assert_eq!(national(&ours, &first), national(&ours, &second));
        assert_ne!(national(&ours, &first), national(&theirs, &first));
    }

    #[test]
    fn local_names_are_checked_and_distinct() {
        let secret = TagSecret::from_bytes([1; 32]);
        let licence_type = "local:driving-licence".parse().unwrap();
        let agency = "11410800MB18523953".parse().unwrap();
        let tag = |serial| local(&secret, &licence_type, &agency, serial);
        assert_ne!(tag("A1").unwrap(), tag("A2").unwrap());
        for bad in ["", "a", "A.1", &"1".repeat(33)] {
            assert_eq!(tag(bad), Err(IdentifierError::Serial), "{bad}");
        }
    }
}
