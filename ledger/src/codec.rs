//! The only two ways in which anything becomes bytes.
//!
//! [`encode`]/[`decode`]: deterministic CBOR (RFC 8949, section 4.2.1) for everything that is
//! signed, hashed into the state, or kept by outsiders. [`local`]: bincode for what only our own
//! nodes read. Both refuse trailing bytes and more bytes than the caller's bound.
//!
//! Determinism is checked the plain way: what was decoded is encoded again and must give the
//! same bytes. So overlong integers, indefinite lengths, unsorted or unknown map keys and
//! trailing bytes are all refused by one comparison.

use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::mutants::{self, Mutant};

/// Why bytes were refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// More bytes than this kind of object may have.
    #[error("{actual} bytes, more than the {limit} allowed")]
    TooLong {
        /// Bytes given.
        actual: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not the structure expected here.
    #[error("malformed encoding: {0}")]
    Malformed(String),
    /// A second spelling of something that has exactly one.
    #[error("not the deterministic encoding")]
    NotDeterministic,
}

/// The deterministic CBOR of `value`.
#[must_use]
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("writing to a vector cannot fail")
}

/// Decodes deterministic CBOR of at most `limit` bytes.
///
/// # Errors
///
/// [`DecodeError`] when the input is longer than `limit`, is not a `T`, or is not the one
/// deterministic encoding of it.
pub fn decode<T>(bytes: &[u8], limit: usize) -> Result<T, DecodeError>
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
{
    check_length(bytes, limit)?;
    let value: T = minicbor::decode(bytes).map_err(|e| DecodeError::Malformed(e.to_string()))?;
    let mut expected = Expected { rest: bytes };
    let differs = minicbor::encode(&value, &mut expected).is_err() || !expected.rest.is_empty();
    if differs && !mutants::is(Mutant::SecondSpellingTaken) {
        return Err(DecodeError::NotDeterministic);
    }
    Ok(value)
}

/// A writer that takes only what is expected, so that the second encoding is compared as it is
/// made and never kept.
struct Expected<'b> {
    rest: &'b [u8],
}

/// Something else was written than was expected.
struct Differs;

impl minicbor::encode::Write for Expected<'_> {
    type Error = Differs;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Differs> {
        self.rest = self.rest.strip_prefix(bytes).ok_or(Differs)?;
        Ok(())
    }
}

fn check_length(bytes: &[u8], limit: usize) -> Result<(), DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLong { actual: bytes.len(), limit });
    }
    Ok(())
}

/// bincode 2.0.1, for messages between our own nodes and for database values that are not hashed
/// into the state (docs/adr/0002-codec.md).
pub mod local {
    use bincode::{Decode, Encode, config};

    use super::{DecodeError, check_length};

    /// Upper bound of any allocation that a decoder makes on the word of its input.
    const ALLOCATION_LIMIT: usize = 16 * 1024 * 1024;

    fn configuration() -> impl config::Config {
        config::standard()
            .with_big_endian()
            .with_fixed_int_encoding()
            .with_limit::<ALLOCATION_LIMIT>()
    }

    /// The bytes of `value`.
    #[must_use]
    pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
        bincode::encode_to_vec(
            value,
            config::standard().with_big_endian().with_fixed_int_encoding(),
        )
        .expect("writing to a vector cannot fail")
    }

    /// Decodes at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the input is longer than `limit`, is not a `T`, or has bytes left.
    pub fn decode<T: Decode<()>>(bytes: &[u8], limit: usize) -> Result<T, DecodeError> {
        check_length(bytes, limit)?;
        let (value, used) = bincode::decode_from_slice(bytes, configuration())
            .map_err(|e| DecodeError::Malformed(e.to_string()))?;
        if used != bytes.len() {
            return Err(DecodeError::Malformed(format!("{} bytes left over", bytes.len() - used)));
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Encode, Decode)]
    #[cbor(map)]
    struct Pair {
        #[n(0)]
        a: u64,
        #[n(1)]
        b: Option<u64>,
    }

    #[test]
    fn only_the_deterministic_spelling_is_accepted() {
        let check = |hex: &[u8], expected: Result<Pair, DecodeError>| {
            assert_eq!(decode::<Pair>(hex, 64), expected, "{hex:02x?}");
        };
        check(&[0xa1, 0x00, 0x05], Ok(Pair { a: 5, b: None }));
        check(&[0xa2, 0x00, 0x05, 0x01, 0x06], Ok(Pair { a: 5, b: Some(6) }));
        let not = || Err(DecodeError::NotDeterministic);
        check(&[0xa1, 0x00, 0x18, 0x05], not()); // overlong integer
        check(&[0xa2, 0x01, 0x06, 0x00, 0x05], not()); // keys out of order
        check(&[0xa2, 0x00, 0x05, 0x07, 0x06], not()); // unknown key
        check(&[0xbf, 0x00, 0x05, 0xff], not()); // indefinite length
        check(&[0xa2, 0x00, 0x05, 0x01, 0xf6], not()); // absent spelt as null
        check(&[0xa1, 0x00, 0x05, 0x00], not()); // trailing byte
    }

    #[test]
    fn length_is_checked_before_anything_is_read() {
        let long = vec![0; 65];
        assert_eq!(decode::<Pair>(&long, 64), Err(DecodeError::TooLong { actual: 65, limit: 64 }));
        assert_eq!(
            local::decode::<u64>(&long, 64),
            Err(DecodeError::TooLong { actual: 65, limit: 64 })
        );
    }

    #[test]
    fn local_refuses_trailing_bytes() {
        let mut bytes = local::encode(&7u64);
        assert_eq!(local::decode::<u64>(&bytes, 64), Ok(7));
        bytes.push(0);
        assert!(local::decode::<u64>(&bytes, 64).is_err());
    }
}
