//! Reading a token, from bytes that nobody vouches for to statuses that a province signed.

use serde_json::{Map, Value};
use symbolon_ledger::keys::{PublicKey, SIGNATURE_LEN, Signature};
use thiserror::Error;

use super::{
    Bits, LIFETIME_S, LedgerPoint, ListAddress, ListError, ListedStatus, OutOfRange, StatusList,
    TOKEN_TYPE, members,
};
use crate::{
    encoding::{EncodingError, from_base64url},
    sd_jwt::{ALGORITHM, json_object, text_of},
};

/// How far `iat` may lie in a verifier's future, in seconds: what two clocks may differ by.
pub const MAX_AHEAD_S: u64 = 60;
/// Longest token, in bytes: a list of [`super::MAX_ENTRIES`] bytes that does not compress, in
/// base64url twice, takes 1.87 million.
pub const MAX_TOKEN_LEN: usize = 2 * 1024 * 1024;

/// Why a text is not a status list token of this network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseError {
    /// More than is read.
    #[error("the status list token has {actual} bytes, more than the {MAX_TOKEN_LEN} allowed")]
    TooLarge {
        /// Bytes given.
        actual: usize,
    },
    /// Not three parts.
    #[error("a status list token is a JWT: three parts of base64url with dots between them")]
    Parts,
    /// Header or payload is not base64url of a JSON object.
    #[error("the status list token is malformed: {0}")]
    Jwt(EncodingError),
    /// `alg` is another one.
    #[error("the status list token must have alg {ALGORITHM}")]
    Algorithm,
    /// `typ` is another one.
    #[error("the status list token must have typ {TOKEN_TYPE}")]
    Type,
    /// A critical extension that is not understood.
    #[error("the status list token has critical header parameters")]
    Critical,
    /// A part of header or payload is absent or not of the type that it must have.
    #[error("{0} is missing or malformed in the status list token")]
    Member(&'static str),
    /// It is meant for somebody in particular.
    #[error("the status list token has an aud; status lists are for everybody")]
    Audience,
    /// `sub` is not the address of a list.
    #[error(
        "sub must be the address of a status list: an origin, /status-lists/, a province, a number"
    )]
    Address,
    /// `iss` is not the issuer of lists at that address.
    #[error("iss is not the issuer of the list that sub names")]
    Issuer,
    /// `exp` is not after `iat`, or lies further ahead than lists of this network do.
    #[error("exp must lie after iat, by at most {LIFETIME_S} seconds")]
    Lifetime,
    /// `ttl` is zero, or longer than the list's life.
    #[error("ttl must be from 1 to {LIFETIME_S} seconds")]
    TimeToLive,
    /// `status_list` is not one.
    #[error(transparent)]
    List(ListError),
}

/// Why a token is not the list that a verifier needs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CheckError {
    /// It is another province's.
    #[error("the status list is of {found}, the credential names one of another issuer")]
    OtherIssuer {
        /// The issuer that it names.
        found: String,
    },
    /// It is another list of the same province.
    #[error("the status list is {found}, not the one that the credential names")]
    OtherList {
        /// The list that it is.
        found: String,
    },
    /// It names another key than the one given.
    #[error("the status list names key {found}, not key {expected}")]
    OtherKey {
        /// The number that it names.
        found: u32,
        /// The number of the key given.
        expected: u32,
    },
    /// The key did not sign it.
    #[error("the province's status key did not sign this list")]
    Signature,
    /// `iat` lies in the future.
    #[error(
        "the status list was issued {ahead_s} seconds after the verifier's time; check the clock"
    )]
    NotYetIssued {
        /// By how much, in seconds.
        ahead_s: u64,
    },
    /// `exp` has passed: it says nothing any more.
    #[error("the status list expired {ago_s} seconds ago; get a newer one")]
    Expired {
        /// How long ago, in seconds.
        ago_s: u64,
    },
    /// A newer one has been seen: somebody offers the past.
    #[error("the status list is of height {height}; one of height {seen} was seen before")]
    Older {
        /// Its height.
        height: u64,
        /// The height of the newest list seen.
        seen: u64,
    },
    /// What was signed is no list.
    #[error(transparent)]
    List(ListError),
}

/// What a verifier remembers of the newest list that it has seen at one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The list's address.
    pub uri: String,
    /// Its height.
    pub height: u64,
    /// Its `iat`.
    pub issued_at: u64,
}

/// What a list must be to count.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// `uri` of the credential's `status.status_list`.
    pub uri: &'a str,
    /// Number of the province's status key on the ledger.
    pub key_id: u32,
    /// The key.
    pub key: &'a PublicKey,
    /// The verifier's time, in seconds since 1970-01-01T00:00Z.
    pub now_s: u64,
    /// The newest list seen before; one of another address is left out of account.
    pub seen: Option<&'a Seen>,
}

/// What a token says beside its list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claims {
    key_id: u32,
    address: ListAddress,
    issued_at: u64,
    expires: u64,
    ttl: u64,
    ledger: LedgerPoint,
}

/// A well-formed token. Nothing in it is believed yet: what it *claims* serves to find the key
/// that it is then checked with.
#[derive(Clone, PartialEq, Eq)]
pub struct Parsed {
    jwt: String,
    claims: Claims,
    not_before: u64,
    bits: Bits,
    lst: String,
}

impl std::fmt::Debug for Parsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Claims { address, ledger, .. } = &self.claims;
        write!(f, "Parsed({} at height {})", address.uri(), ledger.height)
    }
}

impl Parsed {
    /// Reads the text form. Nothing around it is trimmed.
    ///
    /// ```
    /// use symbolon_credential::status_list::{ParseError, Parsed};
    /// assert_eq!(Parsed::parse("a.b").unwrap_err(), ParseError::Parts);
    /// ```
    ///
    /// # Errors
    ///
    /// [`ParseError`]. The list is not inflated and the signature not looked at here.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.len() > MAX_TOKEN_LEN {
            return Err(ParseError::TooLarge { actual: text.len() });
        }
        let parts: Vec<&str> = text.splitn(4, '.').collect();
        let [header, payload, _signature] = parts.as_slice() else {
            return Err(ParseError::Parts);
        };
        let key_id = read_header(&json_object(header).map_err(ParseError::Jwt)?)?;
        read_payload(text, key_id, &json_object(payload).map_err(ParseError::Jwt)?)
    }

    /// The number of the province's status key that it names.
    #[must_use]
    pub fn claimed_key_id(&self) -> u32 {
        self.claims.key_id
    }

    /// The list that it claims to be.
    #[must_use]
    pub fn claimed_address(&self) -> &ListAddress {
        &self.claims.address
    }

    /// The block whose state it claims to show.
    #[must_use]
    pub fn claimed_ledger(&self) -> LedgerPoint {
        self.claims.ledger
    }

    /// The `iat` that it claims, in seconds since 1970-01-01T00:00Z. Checked at this time, a list that
    /// has expired still shows what was signed.
    #[must_use]
    pub fn claimed_issued_at(&self) -> u64 {
        self.claims.issued_at
    }

    /// Checks everything that a verifier must know before it looks up a status: that it is the
    /// list of the credential, signed by the province's key, in force, and not older than one
    /// seen before.
    ///
    /// # Errors
    ///
    /// [`CheckError`].
    pub fn check(&self, expected: &Expected<'_>) -> Result<Checked, CheckError> {
        let claims = &self.claims;
        let (issuer, uri) = (claims.address.issuer(), claims.address.uri());
        if expected.uri.rsplit_once('/').map(|(issuer, _)| issuer) != Some(issuer.as_str()) {
            return Err(CheckError::OtherIssuer { found: issuer });
        }
        if expected.uri != uri {
            return Err(CheckError::OtherList { found: uri });
        }
        if expected.key_id != claims.key_id {
            let (found, expected) = (claims.key_id, expected.key_id);
            return Err(CheckError::OtherKey { found, expected });
        }
        self.check_signature(expected.key)?;
        let ahead_s = self.not_before.max(claims.issued_at).saturating_sub(expected.now_s);
        if ahead_s > MAX_AHEAD_S {
            return Err(CheckError::NotYetIssued { ahead_s });
        }
        if claims.expires <= expected.now_s {
            return Err(CheckError::Expired { ago_s: expected.now_s - claims.expires });
        }
        let list = StatusList::inflate(self.bits, &self.lst).map_err(CheckError::List)?;
        let checked = Checked { claims: claims.clone(), key: *expected.key, uri, list };
        match expected.seen {
            Some(seen) if checked.is_older_than(seen) => {
                Err(CheckError::Older { height: claims.ledger.height, seen: seen.height })
            }
            _ => Ok(checked),
        }
    }

    fn check_signature(&self, key: &PublicKey) -> Result<(), CheckError> {
        let (input, signature) = self.jwt.rsplit_once('.').ok_or(CheckError::Signature)?;
        let bytes: [u8; SIGNATURE_LEN] = from_base64url(signature)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(CheckError::Signature)?;
        key.verify(input.as_bytes(), &Signature(bytes)).map_err(|_| CheckError::Signature)
    }
}

/// A list that a province's key signed. There is no other way to make one than [`Parsed::check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    claims: Claims,
    key: PublicKey,
    uri: String,
    list: StatusList,
}

impl Checked {
    /// What the list says of the licence at `index`, which is `idx` of its credential.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`]: then nothing can be said.
    pub fn status(&self, index: u64) -> Result<ListedStatus, OutOfRange> {
        self.list.value(index).map(ListedStatus::of)
    }

    /// The list.
    #[must_use]
    pub fn list(&self) -> &StatusList {
        &self.list
    }

    /// Which list it is.
    #[must_use]
    pub fn address(&self) -> &ListAddress {
        &self.claims.address
    }

    /// Its address as text.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Number of the key that signed it.
    #[must_use]
    pub fn key_id(&self) -> u32 {
        self.claims.key_id
    }

    /// The key that signed it.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The block whose state it shows.
    #[must_use]
    pub fn ledger(&self) -> LedgerPoint {
        self.claims.ledger
    }

    /// `iat`, in seconds since 1970-01-01T00:00Z: the time of that block.
    #[must_use]
    pub fn issued_at(&self) -> u64 {
        self.claims.issued_at
    }

    /// `exp`: the first second at which it says nothing any more.
    #[must_use]
    pub fn expires(&self) -> u64 {
        self.claims.expires
    }

    /// How old it is at `now_s`, in seconds; 0 when it is from the future of that clock.
    #[must_use]
    pub fn age_s(&self, now_s: u64) -> u64 {
        now_s.saturating_sub(self.claims.issued_at)
    }

    /// Whether a verifier that can should ask for a newer one: `ttl` has passed since `iat`.
    #[must_use]
    pub fn is_due(&self, now_s: u64) -> bool {
        self.age_s(now_s) >= self.claims.ttl
    }

    /// What to remember, so that an older list is refused from now on.
    #[must_use]
    pub fn seen(&self) -> Seen {
        Seen {
            uri: self.uri.clone(),
            height: self.claims.ledger.height,
            issued_at: self.claims.issued_at,
        }
    }

    /// Whether this is an earlier list of the same address than the one seen. Heights and times
    /// grow together, so one that goes back in either is older.
    #[must_use]
    pub fn is_older_than(&self, seen: &Seen) -> bool {
        let earlier =
            self.claims.ledger.height < seen.height || self.claims.issued_at < seen.issued_at;
        self.uri == seen.uri && earlier
    }
}

/// Checks a header; gives the key's number.
fn read_header(header: &Map<String, Value>) -> Result<u32, ParseError> {
    if text_of(header, "alg") != Some(ALGORITHM) {
        return Err(ParseError::Algorithm);
    }
    if text_of(header, "typ") != Some(TOKEN_TYPE) {
        return Err(ParseError::Type);
    }
    if header.contains_key("crit") {
        return Err(ParseError::Critical);
    }
    let kid = text_of(header, "kid").ok_or(ParseError::Member("kid"))?;
    let number = kid.parse::<u32>().ok().filter(|id| id.to_string() == kid);
    number.ok_or(ParseError::Member("kid"))
}

fn read_payload(
    text: &str,
    key_id: u32,
    payload: &Map<String, Value>,
) -> Result<Parsed, ParseError> {
    let number = |name| payload.get(name).and_then(Value::as_u64).ok_or(ParseError::Member(name));
    if payload.contains_key("aud") {
        return Err(ParseError::Audience);
    }
    let sub = text_of(payload, "sub").ok_or(ParseError::Member("sub"))?;
    let address = ListAddress::parse(sub).ok_or(ParseError::Address)?;
    let iss = text_of(payload, "iss").ok_or(ParseError::Member("iss"))?;
    if iss != address.issuer() {
        return Err(ParseError::Issuer);
    }
    let (issued_at, expires, ttl) = (number("iat")?, number("exp")?, number("ttl")?);
    let not_before = if payload.contains_key("nbf") { number("nbf")? } else { 0 };
    if !(1..=LIFETIME_S).contains(&expires.checked_sub(issued_at).ok_or(ParseError::Lifetime)?) {
        return Err(ParseError::Lifetime);
    }
    if !(1..=LIFETIME_S).contains(&ttl) {
        return Err(ParseError::TimeToLive);
    }
    let list = payload.get("status_list").and_then(Value::as_object);
    let (bits, lst) =
        members(list.ok_or(ParseError::Member("status_list"))?).map_err(ParseError::List)?;
    let ledger = read_ledger(payload).ok_or(ParseError::Member("ledger"))?;
    Ok(Parsed {
        jwt: text.to_owned(),
        claims: Claims { key_id, address, issued_at, expires, ttl, ledger },
        not_before,
        bits,
        lst: lst.to_owned(),
    })
}

fn read_ledger(payload: &Map<String, Value>) -> Option<LedgerPoint> {
    let ledger = payload.get("ledger")?.as_object()?;
    let height = ledger.get("height")?.as_u64()?;
    Some(LedgerPoint { height, state_root: text_of(ledger, "state_root")?.parse().ok()? })
}
