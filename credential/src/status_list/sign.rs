//! Making a token: deterministic for the block, the list and the key that it is given.
//!
//! `iat` is the time of the block whose state the list shows, so the same block and key give the
//! same token on every node, and a node that is behind cannot make its list look newer than it is.
//! Which block and list, and when to sign anew, is the node's to say.

use serde::Serialize;
use symbolon_ledger::{
    codes::{Origin, ProvinceCode},
    hash::Digest,
    keys::SecretKey,
    status_page,
};

use crate::sd_jwt::sign;

/// `typ` of a status list token.
pub const TOKEN_TYPE: &str = "statuslist+jwt";
/// Its media type over HTTP.
pub const MEDIA_TYPE: &str = "application/statuslist+jwt";
/// `ttl`, in seconds: how long a verifier may keep a list before it asks for a newer one.
pub const TTL_S: u64 = 300;
/// `exp` minus `iat`, in seconds: how long a list may be relied on where no newer one can be had.
/// A list that claims more is refused.
pub const LIFETIME_S: u64 = 24 * 3_600;

/// The address of a list of this network: `{origin}/status-lists/{province}/{list}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListAddress {
    /// The province's origin.
    pub origin: Origin,
    /// The province.
    pub province: ProvinceCode,
    /// The list's number.
    pub list: u32,
}

impl ListAddress {
    /// Reads the one spelling of an address.
    ///
    /// ```
    /// use symbolon_credential::status_list::ListAddress;
    /// let text = "https://guangdong.province.example/status-lists/44/0";
    /// let read = ListAddress::parse(text).unwrap();
    /// assert_eq!((read.province.as_str(), read.list, read.uri().as_str()), ("44", 0, text));
    /// for bad in ["00", "4096", "-1", ""] {
    ///     assert_eq!(ListAddress::parse(&format!("https://a.example/status-lists/44/{bad}")), None);
    /// }
    /// ```
    #[must_use]
    pub fn parse(uri: &str) -> Option<Self> {
        let (issuer, number) = uri.rsplit_once('/')?;
        let (origin, province) = issuer.rsplit_once("/status-lists/")?;
        let list: u32 = number.parse().ok()?;
        if list >= status_page::LISTS_PER_PROVINCE || list.to_string() != number {
            return None;
        }
        Some(Self { origin: origin.parse().ok()?, province: province.parse().ok()?, list })
    }

    /// The address: `sub` of the token, `uri` in a credential.
    #[must_use]
    pub fn uri(&self) -> String {
        self.origin.status_list(&self.province, self.list)
    }

    /// `iss` of the token: the address under which the province's status keys are published.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.origin.status_issuer(&self.province)
    }
}

/// The block whose state a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerPoint {
    /// Its height.
    pub height: u64,
    /// The root of the state after it.
    pub state_root: Digest,
}

/// Everything that a token of this network says.
#[derive(Debug, Clone, Copy)]
pub struct NewToken<'a> {
    /// Which list it is.
    pub address: &'a ListAddress,
    /// The province's status key, by its number on the ledger.
    pub key_id: u32,
    /// Time of the block, in whole seconds since 1970-01-01T00:00Z.
    pub issued_at: u64,
    /// The block.
    pub ledger: LedgerPoint,
    /// [`super::lst`] of the list, two bits an entry.
    pub lst: &'a str,
}

/// The payload, in the order in which it is written.
#[derive(Serialize)]
struct Payload<'a> {
    iss: String,
    sub: String,
    iat: u64,
    exp: u64,
    ttl: u64,
    status_list: List<'a>,
    ledger: Ledger,
}

#[derive(Serialize)]
struct List<'a> {
    bits: u32,
    lst: &'a str,
}

#[derive(Serialize)]
struct Ledger {
    height: u64,
    state_root: String,
}

impl NewToken<'_> {
    /// Signs the token. The same arguments give the same bytes.
    #[must_use]
    pub fn sign(&self, key: &SecretKey) -> String {
        let payload = Payload {
            iss: self.address.issuer(),
            sub: self.address.uri(),
            iat: self.issued_at,
            exp: self.issued_at.saturating_add(LIFETIME_S),
            ttl: TTL_S,
            status_list: List { bits: status_page::STATUS_BITS, lst: self.lst },
            ledger: Ledger {
                height: self.ledger.height,
                state_root: self.ledger.state_root.to_string(),
            },
        };
        sign(TOKEN_TYPE, Some(self.key_id), &payload, key)
    }
}
