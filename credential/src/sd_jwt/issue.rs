//! Writing a credential: deterministic for the salts, keys and times that it is given.

use std::collections::BTreeMap;

use serde::Serialize;
use symbolon_ledger::{
    catalogue::{ClaimSpec, Disclosure, LicenceTypeRecord},
    codes::{Origin, ProvinceCode, Uscc, cid},
    hash::{Cid, Digest, sha256},
    keys::{PublicKey, SecretKey},
};
use thiserror::Error;

use super::{
    ALGORITHM, DIGEST_ALGORITHM, IDENTIFIER_CLAIM, MAX_DISCLOSURE_LEN, MAX_DISCLOSURES,
    MAX_JWT_LEN, MAX_PRESENTATION_LEN, RESERVED_NAMES, SALT_LEN, TYPE, digest,
};
use crate::{
    claims::ValidClaims,
    date::{self, Date},
    encoding::to_base64url,
    identifier::NationalIdentifier,
};

/// Everything that a credential says.
#[derive(Debug, Clone, Copy)]
pub struct Issue<'a> {
    /// The HTTPS origin of the issuing agency's province.
    pub origin: &'a Origin,
    /// The issuing agency.
    pub agency: &'a Uscc,
    /// The agency's credential key, by its number on the ledger.
    pub key_id: u32,
    /// The catalogue entry, at the version on the ledger.
    pub licence_type: &'a LicenceTypeRecord,
    /// The claims, validated against that entry.
    pub claims: &'a ValidClaims,
    /// The national identifier; `None` for a `local:` type.
    pub identifier: Option<&'a NationalIdentifier>,
    /// The province whose status list the licence is on.
    pub status_province: &'a ProvinceCode,
    /// The licence's slot in that province: list in the upper 12 bits, index in the lower 20.
    pub status_slot: u32,
    /// The holder's key, fresh for each credential; `None` for a paper licence, which then
    /// proves the document and not the holder.
    pub holder_key: Option<&'a PublicKey>,
    /// First day of validity of a type that has no such claim.
    pub issued_on: Date,
}

/// A credential with all its disclosures.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The SD-JWT text, ending in `~`. Holds personal data.
    pub text: String,
    /// SHA-256 of the issuer-signed JWT: what the issue transaction carries.
    pub inner: Digest,
    /// The licence's name on the ledger.
    pub cid: Cid,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Issued({})", self.cid)
    }
}

/// Why no credential was made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IssueError {
    /// The claims were validated against another type.
    #[error("the claims are those of {claims}, not of {licence_type}")]
    OtherType {
        /// The type of the claims.
        claims: String,
        /// The type to be issued.
        licence_type: String,
    },
    /// The catalogue names a claim that has a meaning in an SD-JWT VC.
    #[error("the catalogue's claim {0} has a reserved name; rename it in the catalogue")]
    ReservedName(String),
    /// The number of salts is not [`disclosure_count`].
    #[error("{given} salts for {needed} disclosures")]
    SaltCount {
        /// Salts needed.
        needed: usize,
        /// Salts given.
        given: usize,
    },
    /// Two salts are the same: whatever made them is not random.
    #[error("two salts are equal; they must be fresh random bytes")]
    RepeatedSalt,
    /// The identifier names another type or agency.
    #[error("the national identifier is of another type or agency")]
    OtherIdentifier,
    /// More than verifiers read.
    #[error("{what} is {actual}, more than the {limit} that verifiers read")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        actual: usize,
        /// The bound.
        limit: usize,
    },
}

/// The payload, in the order in which it is written.
#[derive(Serialize)]
struct Payload<'a> {
    iss: String,
    vct: String,
    nbf: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
    status: Status,
    #[serde(flatten)]
    open: BTreeMap<&'a str, &'a str>,
    _sd_alg: &'static str,
    _sd: Vec<String>,
}

#[derive(Serialize)]
struct Confirmation {
    jwk: Jwk,
}

#[derive(Serialize)]
struct Jwk {
    kty: &'static str,
    crv: &'static str,
    x: String,
}

#[derive(Serialize)]
struct Status {
    status_list: StatusList,
}

#[derive(Serialize)]
struct StatusList {
    idx: u32,
    uri: String,
}

/// Bits of a slot that number its place in a list; the rest number the list.
const INDEX_BITS: u32 = 20;

/// How many salts [`issue`] needs for these claims: one for each that may be withheld.
#[must_use]
pub fn disclosure_count(
    licence_type: &LicenceTypeRecord,
    claims: &ValidClaims,
    with_identifier: bool,
) -> usize {
    withheld(licence_type, claims).count() + usize::from(with_identifier)
}

fn is_open(licence_type: &LicenceTypeRecord, key: &str) -> bool {
    licence_type.claim(key).is_some_and(|c: &ClaimSpec| c.disclosure == Disclosure::Always)
}

fn withheld<'a>(
    licence_type: &'a LicenceTypeRecord,
    claims: &'a ValidClaims,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    claims.iter().filter(|(key, _)| !is_open(licence_type, key))
}

/// Makes and signs a credential. `salts` are [`disclosure_count`] fresh random values; the same
/// arguments give the same bytes.
///
/// `nbf` and `exp` are whole days in Beijing (see [`crate::date`]); `exp` is absent when the
/// licence has no end.
///
/// # Errors
///
/// [`IssueError`]; nothing is signed then.
pub fn issue(
    licence: &Issue<'_>,
    salts: &[[u8; SALT_LEN]],
    key: &SecretKey,
) -> Result<Issued, IssueError> {
    check(licence, salts)?;
    let shown = withheld(licence.licence_type, licence.claims).map(|(k, v)| (k, v.to_owned()));
    let identifier = licence.identifier.map(|i| (IDENTIFIER_CLAIM, i.to_string()));
    let disclosures: Vec<String> = shown
        .chain(identifier)
        .zip(salts)
        .map(|((name, value), salt)| disclosure(salt, name, &value))
        .collect();
    let payload = payload(licence, &disclosures);
    let jwt = sign(TYPE, Some(licence.key_id), &payload, key);
    bound("the issuer-signed JWT in bytes", jwt.len(), MAX_JWT_LEN)?;
    let inner = sha256(jwt.as_bytes());
    let mut text = jwt;
    text.push('~');
    for disclosure in &disclosures {
        bound("a disclosure in bytes", disclosure.len(), MAX_DISCLOSURE_LEN)?;
        text.push_str(disclosure);
        text.push('~');
    }
    bound("the credential in bytes", text.len(), MAX_PRESENTATION_LEN)?;
    Ok(Issued { text, inner, cid: cid(licence.agency, &inner) })
}

fn check(licence: &Issue<'_>, salts: &[[u8; SALT_LEN]]) -> Result<(), IssueError> {
    if licence.claims.type_code() != &licence.licence_type.code {
        return Err(IssueError::OtherType {
            claims: licence.claims.type_code().to_string(),
            licence_type: licence.licence_type.code.to_string(),
        });
    }
    let reserved = |key: &str| RESERVED_NAMES.contains(&key) || key == IDENTIFIER_CLAIM;
    if let Some((key, _)) = licence.claims.iter().find(|(key, _)| reserved(key)) {
        return Err(IssueError::ReservedName(key.to_owned()));
    }
    if let Some(identifier) = licence.identifier
        && (identifier.type_code() != licence.licence_type.code.as_str()
            || identifier.issuer() != licence.agency.as_str())
    {
        return Err(IssueError::OtherIdentifier);
    }
    let needed =
        disclosure_count(licence.licence_type, licence.claims, licence.identifier.is_some());
    bound("the number of disclosures", needed, MAX_DISCLOSURES)?;
    if salts.len() != needed {
        return Err(IssueError::SaltCount { needed, given: salts.len() });
    }
    let mut sorted = salts.to_vec();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(IssueError::RepeatedSalt);
    }
    Ok(())
}

fn bound(what: &'static str, actual: usize, limit: usize) -> Result<(), IssueError> {
    if actual > limit {
        return Err(IssueError::TooLarge { what, actual, limit });
    }
    Ok(())
}

fn payload<'a>(licence: &Issue<'a>, disclosures: &[String]) -> Payload<'a> {
    let claims = licence.claims;
    let mut digests: Vec<String> = disclosures.iter().map(|d| digest(d)).collect();
    // Sorted, so that the order says nothing of which claims there are.
    digests.sort_unstable();
    let jwk = |key: &PublicKey| Jwk { kty: "OKP", crv: ALGORITHM, x: to_base64url(key.as_bytes()) };
    let (list, idx) =
        (licence.status_slot >> INDEX_BITS, licence.status_slot & ((1 << INDEX_BITS) - 1));
    Payload {
        iss: licence.origin.issuer(licence.agency),
        vct: licence.licence_type.vct(),
        nbf: date::not_before(claims.valid_from().unwrap_or(licence.issued_on)),
        exp: claims.valid_until().map(date::expires),
        cnf: licence.holder_key.map(|key| Confirmation { jwk: jwk(key) }),
        status: Status {
            status_list: StatusList {
                idx,
                uri: licence.origin.status_list(licence.status_province, list),
            },
        },
        open: claims.iter().filter(|(key, _)| is_open(licence.licence_type, key)).collect(),
        _sd_alg: DIGEST_ALGORITHM,
        _sd: digests,
    }
}

fn disclosure(salt: &[u8; SALT_LEN], name: &str, value: &str) -> String {
    to_base64url(json(&(to_base64url(salt), name, value)).as_bytes())
}

/// The protected header of every JWS that is made here, in the order in which it is written.
#[derive(Serialize)]
struct Header {
    alg: &'static str,
    typ: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
}

/// A compact JWS of `payload`, signed by `key`, which a verifier finds by its number if it has one.
pub(crate) fn sign<P: Serialize>(
    typ: &'static str,
    key_id: Option<u32>,
    payload: &P,
    key: &SecretKey,
) -> String {
    sign_with(&Header { alg: ALGORITHM, typ, kid: key_id.map(|id| id.to_string()) }, payload, key)
}

/// A compact JWS with any header.
pub(crate) fn sign_with<H: Serialize, P: Serialize>(
    header: &H,
    payload: &P,
    key: &SecretKey,
) -> String {
    let part = |text: String| to_base64url(text.as_bytes());
    let input = format!("{}.{}", part(json(header)), part(json(payload)));
    let signature = key.sign(input.as_bytes());
    format!("{input}.{}", to_base64url(&signature.0))
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("strings and numbers always have a JSON form")
}
