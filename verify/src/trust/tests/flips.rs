//! One bit anywhere is enough: altered bytes are never believed to say something else.

use super::*;

fn flip(bytes: &[u8], at: prop::sample::Index, bit: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = at.index(bytes.len());
    bytes[at] ^= 1 << bit;
    bytes
}

proptest! {
    #[test]
    fn no_flipped_bit_of_a_bundle_is_believed(at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let chain = Chain::with_changes(2, 1);
        let bytes = flip(&encode(&chain.bundle(chain.tip())), at, bit);
        prop_assert!(Trust::check(&bytes, &chain.founding(), NOW).is_err());
    }

    #[test]
    fn an_extension_with_a_flipped_bit_says_nothing_else(
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let chain = Chain::with_changes(2, 1);
        let bytes = flip(&encode(&chain.bundle(chain.tip())), at, bit);
        let link = encode(&chain.inclusion(2, chain.tip()));
        // Certificates that were believed before are not read again.
        if let Ok(extended) = chain.pinned(2).extend(&bytes, Some(&link), NOW) {
            prop_assert_eq!(extended, chain.pinned(chain.tip()));
        }
    }

    #[test]
    fn no_flipped_bit_of_an_inclusion_is_believed(
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
        height in 1..9u64,
    ) {
        let chain = Chain::with_changes(3, 2);
        let trust = chain.pinned(9);
        let bytes = flip(&encode(&chain.inclusion(height, 9)), at, bit);
        let (header, certificate) =
            (encode(chain.header(height)), encode(&chain.certificate(height)));
        prop_assert!(trust.check_header(&header, Some(&certificate), Some(&bytes)).is_err());
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let chain = Chain::with_changes(1, 1);
        let trust = chain.pinned(2);
        prop_assert!(Trust::check(&bytes, &Anchor::Kept, NOW).is_err());
        prop_assert!(trust.extend(&bytes, Some(&bytes), NOW).is_err());
        prop_assert!(trust.check_header(&bytes, Some(&bytes), Some(&bytes)).is_err());
        let (header, certificate) = (encode(chain.header(1)), encode(&chain.certificate(1)));
        let included = trust.check_header(&header, Some(&certificate), Some(&bytes));
        prop_assert!(included.is_err());
    }
}
