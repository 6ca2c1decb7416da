//! Status lists: whether each of a million licences stands, in one signed text that stock software
//! reads with no knowledge of the ledger (draft-ietf-oauth-status-list-21, in its JWT form).
//!
//! Reading is a path of types: [`Parsed`] (well formed, nothing believed) → [`Checked`] (the
//! province's status key signed it, it is the list asked for, in force, and no older than one seen
//! before) → [`Checked::status`]. Nothing is inflated before the signature has been checked.
//!
//! What the list says of each licence follows from the ledger and is made by the node
//! (`symbolon_ledger::status_page`); whether it says the truth is compared in `symbolon-verify`.
//! docs/spec/status-list.md is for outsiders.
//!
//! Read in this order: this file (the list itself), `sign` (the text around it, made), `token` (the
//! same, read).

mod sign;

mod token;

pub use sign::{LIFETIME_S, LedgerPoint, ListAddress, MEDIA_TYPE, NewToken, TOKEN_TYPE, TTL_S};
pub use token::{
    CheckError, Checked, Expected, MAX_AHEAD_S, MAX_TOKEN_LEN, ParseError, Parsed, Seen,
};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status as Stream};
use serde_json::{Map, Value};
use symbolon_ledger::status_page;
use thiserror::Error;

use crate::encoding::{from_base64url, parse_json, to_base64url};

/// Most entries of a list: as many as the lists of this network have. It bounds what a list may
/// inflate to.
pub const MAX_ENTRIES: u64 = status_page::SLOTS_PER_LIST as u64;
/// Bytes by which the room for inflated or deflated bytes grows.
const CHUNK: usize = 64 * 1024;

/// How many bits a status takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bits {
    /// Valid or invalid.
    One,
    /// As the lists of this network have them.
    Two,
    /// Sixteen values.
    Four,
    /// A byte.
    Eight,
}

impl Bits {
    /// Reads `bits` of a list.
    #[must_use]
    pub const fn of(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            4 => Some(Self::Four),
            8 => Some(Self::Eight),
            _ => None,
        }
    }

    /// The number of bits.
    #[must_use]
    pub const fn count(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    /// Most bytes that a list may inflate to: [`MAX_ENTRIES`] statuses and nothing more.
    #[must_use]
    pub fn max_len(self) -> usize {
        usize::try_from(MAX_ENTRIES / 8).expect("131,072") * usize::from(self.count())
    }
}

/// What a list says of one licence (draft-ietf-oauth-status-list, section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListedStatus {
    /// 0: it stands, as far as the list knows.
    Valid,
    /// 1: ended for good.
    Invalid,
    /// 2: not in force now.
    Suspended,
    /// A value that this network does not use. Never to be taken for valid.
    Other(u8),
}

impl ListedStatus {
    /// The status of a value.
    #[must_use]
    pub const fn of(value: u8) -> Self {
        match value {
            status_page::VALID => Self::Valid,
            status_page::INVALID => Self::Invalid,
            status_page::SUSPENDED => Self::Suspended,
            other => Self::Other(other),
        }
    }

    /// The value in the list.
    #[must_use]
    pub const fn value(self) -> u8 {
        match self {
            Self::Valid => status_page::VALID,
            Self::Invalid => status_page::INVALID,
            Self::Suspended => status_page::SUSPENDED,
            Self::Other(value) => value,
        }
    }

    /// The word in JSON and on a terminal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Suspended => "suspended",
            Self::Other(_) => "other",
        }
    }
}

/// Why `bits` and `lst` are no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ListError {
    /// Not a JSON object with `bits` and `lst`.
    #[error("a status list is a JSON object with bits and lst")]
    Json,
    /// `bits` is another number.
    #[error("bits must be 1, 2, 4 or 8")]
    Bits,
    /// `lst` is not base64url.
    #[error("lst is not canonical base64url without padding")]
    Base64,
    /// Damaged, cut off, or not in the ZLIB format.
    #[error("lst is not a whole ZLIB stream")]
    Zlib,
    /// Bytes after the end of the stream: a second reading of one text.
    #[error("lst has bytes after the end of its ZLIB stream")]
    TrailingBytes,
    /// It would inflate to more.
    #[error("lst inflates to more than the {limit} bytes that {MAX_ENTRIES} entries take")]
    TooLong {
        /// Bytes allowed.
        limit: usize,
    },
}

/// A licence's place is past the end of the list: nothing can be said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the credential's place is past the {entries} entries of the status list")]
pub struct OutOfRange {
    /// Entries of the list.
    pub entries: u64,
}

/// A list of statuses, inflated.
#[derive(Clone, PartialEq, Eq)]
pub struct StatusList {
    bits: Bits,
    packed: Vec<u8>,
}

impl std::fmt::Debug for StatusList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StatusList({} entries of {} bits)", self.entries(), self.bits.count())
    }
}

impl StatusList {
    /// Reads a list from its two members.
    ///
    /// ```
    /// use symbolon_credential::status_list::{Bits, ListedStatus, StatusList};
    /// // Twelve statuses: the second example of the draft's section 4.1.
    /// let list = StatusList::inflate(Bits::Two, "eNo76fITAAPfAgc").unwrap();
    /// assert_eq!((list.entries(), list.value(1), list.value(3)), (12, Ok(2), Ok(3)));
    /// assert!(list.value(12).is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// [`ListError`].
    pub fn inflate(bits: Bits, lst: &str) -> Result<Self, ListError> {
        let bytes = from_base64url(lst).map_err(|_| ListError::Base64)?;
        Ok(Self { bits, packed: inflate(&bytes, bits.max_len())? })
    }

    /// Reads the JSON object `{"bits", "lst"}`. Other members are left alone, as the draft says.
    ///
    /// # Errors
    ///
    /// [`ListError`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, ListError> {
        let value = parse_json(bytes).map_err(|_| ListError::Json)?;
        let (bits, lst) = members(value.as_object().ok_or(ListError::Json)?)?;
        Self::inflate(bits, lst)
    }

    /// How many entries it has.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.packed.len() as u64 * 8 / u64::from(self.bits.count())
    }

    /// Bits of an entry.
    #[must_use]
    pub fn bits(&self) -> Bits {
        self.bits
    }

    /// The statuses as they are packed: from the least significant bit of the first byte on.
    #[must_use]
    pub fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// The value at `index`.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`].
    pub fn value(&self, index: u64) -> Result<u8, OutOfRange> {
        let out = OutOfRange { entries: self.entries() };
        let bits = u64::from(self.bits.count());
        let per_byte = 8 / bits;
        let at = usize::try_from(index / per_byte).map_err(|_| out)?;
        let byte = self.packed.get(at).ok_or(out)?;
        let shift = index % per_byte * bits;
        let mask = u8::try_from((1u16 << bits) - 1).expect("bits is at most 8");
        Ok(byte >> shift & mask)
    }
}

/// `lst` of packed statuses: base64url of their ZLIB stream, at the highest level of compression
/// as the draft recommends.
///
/// ```
/// use symbolon_credential::status_list::{Bits, StatusList, lst};
/// let packed = [0xc9, 0x44, 0xf9];
/// assert_eq!(StatusList::inflate(Bits::Two, &lst(&packed)).unwrap().packed(), packed);
/// ```
#[must_use]
pub fn lst(packed: &[u8]) -> String {
    to_base64url(&deflate(packed))
}

/// `bits` and `lst` of a list's object.
fn members(list: &Map<String, Value>) -> Result<(Bits, &str), ListError> {
    let bits = list.get("bits").ok_or(ListError::Json)?;
    let bits = bits.as_u64().and_then(Bits::of).ok_or(ListError::Bits)?;
    let lst = list.get("lst").and_then(Value::as_str).ok_or(ListError::Json)?;
    Ok((bits, lst))
}

fn deflate(packed: &[u8]) -> Vec<u8> {
    let mut deflater = Compress::new(Compression::best(), true);
    let mut deflated = Vec::new();
    loop {
        deflated.reserve(CHUNK);
        let done = usize::try_from(deflater.total_in()).expect("no more than was given");
        let stream = deflater
            .compress_vec(&packed[done..], &mut deflated, FlushCompress::Finish)
            .expect("a fresh stream that is finished once takes any bytes");
        if stream == Stream::StreamEnd {
            return deflated;
        }
    }
}

/// Inflates a whole ZLIB stream of at most `limit` bytes. The readers of the library take a
/// stream that was cut off for a short one; here every end but the stream's own is refused.
fn inflate(bytes: &[u8], limit: usize) -> Result<Vec<u8>, ListError> {
    let mut inflater = Decompress::new(true);
    let mut packed = Vec::new();
    loop {
        packed.reserve_exact(CHUNK);
        let (read, made) = (inflater.total_in(), packed.len());
        let rest = usize::try_from(read).ok().and_then(|done| bytes.get(done..));
        let stream = inflater
            .decompress_vec(rest.unwrap_or_default(), &mut packed, FlushDecompress::None)
            .map_err(|_| ListError::Zlib)?;
        if packed.len() > limit {
            return Err(ListError::TooLong { limit });
        }
        if stream == Stream::StreamEnd {
            break;
        }
        if inflater.total_in() == read && packed.len() == made {
            return Err(ListError::Zlib);
        }
    }
    if false {
        return Err(ListError::TrailingBytes);
    }
    packed.shrink_to_fit();
    Ok(packed)
}

#[cfg(test)]
mod tests;
