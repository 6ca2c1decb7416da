//! Status pages: what follows of the licences for the status lists, two bits a slot.
//!
//! A page is the statuses of one block of slots, packed as a Token Status List packs them
//! (draft-ietf-oauth-status-list, section 4.1: from the least significant bit on), so that a list is
//! its pages one after another. Pages are derived from the licence records: they are no part of the
//! authenticated state. Keeping them is the node's (`node/src/storage/status_pages.rs`), the signed
//! list is `symbolon-credential`'s; docs/spec/status-list.md is for outsiders.

use crate::records::{SLOTS_PER_BLOCK, SLOTS_PER_LIST_BITS};

/// In force, or no licence at all: the list does not tell the two apart.
pub const VALID: u8 = 0;
/// Ended for good: superseded or revoked.
pub const INVALID: u8 = 1;
/// Not in force now: suspended, or released to another agency.
pub const SUSPENDED: u8 = 2;

/// Bits of one status. The fourth value is not used.
pub const STATUS_BITS: u32 = 2;
/// Slots of a status list: 2^20.
pub const SLOTS_PER_LIST: u32 = 1 << SLOTS_PER_LIST_BITS;
/// Status lists that a province can have, since slots are numbered in 32 bits: 4,096.
pub const LISTS_PER_PROVINCE: u32 = 1 << (u32::BITS - SLOTS_PER_LIST_BITS);
/// Pages of a status list: 256.
pub const PAGES_PER_LIST: u32 = SLOTS_PER_LIST / SLOTS_PER_BLOCK;
/// Bytes of a page: 1,024.
pub const PAGE_LEN: usize = (SLOTS_PER_BLOCK * STATUS_BITS / 8) as usize;
/// Bytes of a status list before it is compressed: 262,144.
pub const LIST_LEN: usize = PAGE_LEN * PAGES_PER_LIST as usize;

/// Statuses of one byte.
const PER_BYTE: u32 = 8 / STATUS_BITS;
const MASK: u8 = (1 << STATUS_BITS) - 1;

/// The status at `index` of packed statuses; none past their end.
#[must_use]
pub fn status_at(packed: &[u8], index: u32) -> Option<u8> {
    let byte = packed.get((index / PER_BYTE) as usize)?;
    Some(byte >> (index % PER_BYTE * STATUS_BITS) & MASK)
}

/// Writes the status at `index` of packed statuses and gives the one before; `None`, and nothing
/// written, past their end.
pub fn set_status(packed: &mut [u8], index: u32, status: u8) -> Option<u8> {
    let before = status_at(packed, index)?;
    let shift = index % PER_BYTE * STATUS_BITS;
    let byte = packed.get_mut((index / PER_BYTE) as usize)?;
    *byte = *byte & !(MASK << shift) | (status & MASK) << shift;
    Some(before)
}

/// Every index at which two packed lists of one length differ, with both statuses.
pub fn differences<'p>(
    left: &'p [u8],
    right: &'p [u8],
) -> impl Iterator<Item = (u32, u8, u8)> + 'p {
    let bytes = (0u32..).zip(left.iter().zip(right)).filter(|(_, (l, r))| l != r);
    bytes.flat_map(|(at, (left, right))| {
        (0..PER_BYTE).filter_map(move |place| {
            let status = |byte: &u8| byte >> (place * STATUS_BITS) & MASK;
            let (left, right) = (status(left), status(right));
            (left != right).then_some((at * PER_BYTE + place, left, right))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_packed_from_the_least_significant_bit_on() {
        // The twelve statuses of the draft's example in its section 4.1.
        let statuses = [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3];
        let mut packed = [0; 3];
        for (index, status) in (0..).zip(statuses) {
            assert_eq!(set_status(&mut packed, index, status), Some(0));
        }
        assert_eq!(packed, [0xc9, 0x44, 0xf9]);
        for (index, status) in (0..).zip(statuses) {
            assert_eq!(status_at(&packed, index), Some(status));
        }
        assert_eq!(set_status(&mut packed, 3, INVALID), Some(3));
        assert_eq!((status_at(&packed, 3), packed[1]), (Some(INVALID), 0x44));
        assert_eq!(status_at(&packed, 12), None);
        assert_eq!(set_status(&mut packed, 12, 1), None);
    }

    #[test]
    fn a_list_is_256_pages_of_one_kibibyte() {
        assert_eq!((PAGE_LEN, PAGES_PER_LIST, LIST_LEN), (1_024, 256, 256 * 1_024));
        assert_eq!(SLOTS_PER_LIST, 1_048_576);
    }

    #[test]
    fn every_difference_is_found_and_nothing_else() {
        let (left, mut right) = ([0u8; 8], [0u8; 8]);
        set_status(&mut right, 0, INVALID);
        set_status(&mut right, 31, SUSPENDED);
        let found: Vec<_> = differences(&left, &right).collect();
        assert_eq!(found, [(0, VALID, INVALID), (31, VALID, SUSPENDED)]);
        assert_eq!(differences(&right, &right).count(), 0);
    }
}
