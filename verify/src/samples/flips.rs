//! Bytes with one bit flipped, each in turn: the tests of "no flipped bit is believed" walk the
//! whole of what they check, and sample nothing.

use std::fmt;

/// Where a bit was flipped, for a test to name.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) byte: usize,
    pub(crate) bit: u8,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}, bit {}", self.byte, self.bit)
    }
}

/// Hands `check` the bytes with each of their bits flipped alone.
pub(crate) fn for_every_bit(bytes: &[u8], mut check: impl FnMut(Place, &[u8])) {
    let mut changed = bytes.to_vec();
    for byte in 0..bytes.len() {
        for bit in 0..8 {
            changed[byte] ^= 1 << bit;
            check(Place { byte, bit }, &changed);
            changed[byte] ^= 1 << bit;
        }
    }
    assert_eq!(changed, bytes, "every bit was flipped back");
}
