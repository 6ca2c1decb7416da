//! ELC1: a presentation as the text of a QR code, and back, byte for byte.
//!
//! ```text
//! "ELC1:" base45( varint(len Z) ‖ Z ‖ signatures ‖ side )
//! ```
//!
//! An SD-JWT spells its random bytes in base64url, twice for those in its JSON, and its JSON in
//! base64url again. ELC1 takes all that off: what repeats in every licence goes, as JSON, through
//! DEFLATE with a dictionary (Z); what is random stands as raw bytes behind it. That is a third
//! fewer characters, all of the alphabet that QR codes pack densest. It is a second spelling of
//! one credential and no second format: what [`decode`] gives is read by
//! [`crate::sd_jwt::Parsed`] like any other presentation, and nothing is believed before that.
//!
//! A presentation may have several ELC1 texts (DEFLATE leaves freedom), so the text is no name
//! for it. Drawing and finding QR codes is the command line's. The format for outsiders:
//! `docs/spec/elc1.md`; how the dictionary was made: `tests/src/elc1/dictionary.rs`.

use thiserror::Error;

use crate::sd_jwt::{MAX_DISCLOSURES, MAX_PRESENTATION_LEN};

mod deflate;
mod template;

use template::Template;

/// How every ELC1 text begins. The number names the format and its dictionary.
pub const PREFIX: &str = "ELC1:";
/// Longest text, in characters: what the largest QR code holds of this alphabet (version 40,
/// error correction level L).
pub const MAX_TEXT_LEN: usize = 4_296;
/// Longest template, in bytes. The longest that fits a text without being a bomb is about half.
pub const MAX_TEMPLATE_LEN: usize = 16 * 1024;
/// Dictionary 1, frozen with this format: the fixed parts of every catalogue entry and common
/// words, with what occurs most at the end.
pub const DICTIONARY: &[u8] = include_bytes!("elc1/dictionary-1.bin");

/// Longest varint: two bytes count to 16,383, and no text carries more than 2,861 bytes.
const MAX_VARINT_LEN: usize = 2;

/// Why a presentation has no ELC1 text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// More than can be carried.
    #[error("{what} is {actual}, more than the {limit} that a QR code can carry")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        actual: usize,
        /// The bound.
        limit: usize,
    },
    /// No `~`, or a JWT without two dots.
    #[error("not a presentation: a JWT, then disclosures and perhaps a key-binding JWT, after ~")]
    Parts,
    /// A part that is not canonical base64url.
    #[error("a part of the presentation is not canonical base64url")]
    Base64,
    /// A signature that is not one of Ed25519.
    #[error("a signature of the presentation does not have 64 bytes")]
    Signature,
    /// A header or payload that is not an object, or a disclosure that is not an array, from its
    /// first byte on: the decoder tells them apart by it.
    #[error("a part of the presentation does not begin as JSON written without spaces does")]
    Opening,
    /// One of the two bytes that the format itself uses, which no compact JSON contains.
    #[error("a part of the presentation contains a line break or the byte 01")]
    Reserved,
    /// The text would be read as another presentation.
    #[error("the presentation would not read back as it is")]
    NotExact,
}

/// Why a text is not ELC1. Nothing of it is quoted: it may be personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// More characters than a QR code holds.
    #[error("the text has more than the {MAX_TEXT_LEN} characters that a QR code holds")]
    TooLong,
    /// It does not begin with [`PREFIX`].
    #[error("the text does not begin with {PREFIX}")]
    Prefix,
    /// Not base45, or not its canonical spelling (RFC 9285).
    #[error("not canonical base45 after {PREFIX}")]
    Base45,
    /// The length of Z is absent, longer than needed, or of more than two bytes.
    #[error("the length of the compressed part is malformed")]
    Varint,
    /// It ends before Z, the signatures or a side entry does.
    #[error("the text is cut off")]
    Truncated,
    /// Z is not one DEFLATE stream.
    #[error("the compressed part is not a DEFLATE stream over dictionary 1")]
    Deflate,
    /// Z gives more than [`MAX_TEMPLATE_LEN`].
    #[error("the compressed part gives more than {MAX_TEMPLATE_LEN} bytes")]
    Inflated,
    /// Bytes of Z after its stream, or bytes after the last side entry.
    #[error("there are bytes after the end")]
    Trailing,
    /// The template's parts are not header, payload, disclosures and perhaps a key binding.
    #[error("the parts of the presentation are not in order")]
    Segments,
    /// More disclosures than a licence has.
    #[error("there are more than {MAX_DISCLOSURES} disclosures")]
    Disclosures,
    /// A side entry that is shorter or longer than what is taken out.
    #[error("a side entry does not have 16 to 64 bytes")]
    Side,
    /// It reads, but not as the format writes it: a string left in that belongs into the side
    /// entries, or a mark inside a string.
    #[error("the text is not written as the format demands")]
    NotCanonical,
}

impl DecodeError {
    /// The stable word for it, as in the test vectors.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Prefix => "prefix",
            Self::Base45 => "base45",
            Self::Varint => "varint",
            Self::Truncated => "truncated",
            Self::Deflate => "deflate",
            Self::Inflated => "inflated",
            Self::Trailing => "trailing",
            Self::Segments => "segments",
            Self::Disclosures => "disclosures",
            Self::Side => "side",
            Self::NotCanonical => "not_canonical",
        }
    }
}

/// Writes a presentation (an SD-JWT text) as ELC1.
///
/// The text is read back before it is given: it is never that of another presentation. Nothing
/// else is judged, neither signatures nor what the JSON says.
///
/// # Errors
///
/// [`EncodeError`], when the presentation is none, or is one that ELC1 cannot carry.
pub fn encode(presentation: &str) -> Result<String, EncodeError> {
    bound("the presentation in bytes", presentation.len(), MAX_PRESENTATION_LEN)?;
    let parts = Template::of(presentation)?;
    bound(
        "the presentation without its random parts, in bytes",
        parts.json.len(),
        MAX_TEMPLATE_LEN,
    )?;
    let compressed = deflate::deflate(&parts.json).ok_or(EncodeError::NotExact)?;
    let mut bytes = varint(compressed.len());
    bytes.extend_from_slice(&compressed);
    bytes.extend_from_slice(&parts.signatures);
    bytes.extend_from_slice(&parts.side);
    let text = format!("{PREFIX}{}", base45::encode(&bytes));
    bound("the text in characters", text.len(), MAX_TEXT_LEN)?;
    match decode(&text) {
        Ok(read) if read == presentation => Ok(text),
        _ => Err(EncodeError::NotExact),
    }
}

/// Reads an ELC1 text back to the presentation (an SD-JWT text). Nothing around it is trimmed.
///
/// Costs little whatever the text: its length and that of what it inflates to are bounded.
///
/// ```
/// use symbolon_credential::elc1::{DecodeError, decode};
/// assert_eq!(decode("https://a.example/"), Err(DecodeError::Prefix));
/// assert_eq!(decode("ELC1:elc1"), Err(DecodeError::Base45));
/// ```
///
/// # Errors
///
/// [`DecodeError`]. A presentation that is given may still be anything that
/// [`crate::sd_jwt::Parsed::parse`] refuses.
pub fn decode(text: &str) -> Result<String, DecodeError> {
    if text.len() > MAX_TEXT_LEN {
        return Err(DecodeError::TooLong);
    }
    let body = text.strip_prefix(PREFIX).ok_or(DecodeError::Prefix)?;
    let bytes = base45::decode(body).map_err(|_| DecodeError::Base45)?;
    // The crate lets the last two characters stand for more than a byte; there is one spelling.
    if base45::encode(&bytes) != body {
        return Err(DecodeError::Base45);
    }
    let (length, rest) = read_varint(&bytes)?;
    let (compressed, rest) = rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
    let json = deflate::inflate(compressed)?;
    let template = Template::read(json, rest)?;
    let presentation = template.text()?;
    match Template::of(&presentation) {
        Ok(written) if written == template => Ok(presentation),
        _ => Err(DecodeError::NotCanonical),
    }
}

fn bound(what: &'static str, actual: usize, limit: usize) -> Result<(), EncodeError> {
    if actual > limit {
        return Err(EncodeError::TooLarge { what, actual, limit });
    }
    Ok(())
}

/// An unsigned LEB128 number: seven bits a byte, the lowest first, the top bit set on all but the
/// last.
fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MAX_VARINT_LEN);
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits fit a byte");
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// The number at the beginning of `bytes`, in its shortest form, and what follows it.
fn read_varint(bytes: &[u8]) -> Result<(usize, &[u8]), DecodeError> {
    match bytes {
        [low @ 0..0x80, rest @ ..] => Ok((usize::from(*low), rest)),
        [low, high @ 1..0x80, rest @ ..] => {
            Ok((usize::from(*low & 0x7f) | usize::from(*high) << 7, rest))
        }
        _ => Err(DecodeError::Varint),
    }
}

#[cfg(test)]
#[path = "elc1/tests.rs"]
mod tests;
