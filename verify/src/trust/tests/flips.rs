//! One bit anywhere is enough: altered bytes are never believed to say something else.

use super::*;
use crate::samples::flips::for_every_bit;

/// One change of the set, since a bundle has some ten thousand bits with it, and each of them costs
/// a check of the whole.
#[test]
fn no_flipped_bit_of_a_bundle_is_believed() {
    let chain = Chain::with_changes(1, 1);
    let bundle = encode(&chain.bundle(chain.tip()));
    for_every_bit(&bundle, |place, bytes| {
        assert!(Trust::check(bytes, &chain.founding(), NOW).is_err(), "{place}");
    });
}

#[test]
fn an_extension_with_a_flipped_bit_says_nothing_else() {
    let chain = Chain::with_changes(1, 1);
    let (kept, whole) = (chain.pinned(2), chain.pinned(chain.tip()));
    let bundle = encode(&chain.bundle(chain.tip()));
    let link = encode(&chain.inclusion(2, chain.tip()));
    let mut taken = 0;
    for_every_bit(&bundle, |place, bytes| {
        // Certificates that were believed before are not read again.
        if let Ok(extended) = kept.extend(bytes, Some(&link), NOW) {
            assert_eq!(extended, whole, "{place}");
            taken += 1;
        }
    });
    assert!(taken > 0, "the certificate of the change that was believed before is not read");
    for_every_bit(&link, |place, bytes| {
        assert!(kept.extend(&bundle, Some(bytes), NOW).is_err(), "link, {place}");
    });
}

#[test]
fn no_flipped_bit_of_a_header_its_certificate_or_its_inclusion_is_believed() {
    let chain = Chain::with_changes(2, 1);
    let trust = chain.pinned(chain.tip());
    for height in [1, 2] {
        let header = encode(chain.header(height));
        let certificate = encode(&chain.certificate(height));
        let inclusion = encode(&chain.inclusion(height, chain.tip()));
        let check = |header: &[u8], certificate: &[u8], inclusion: &[u8]| {
            trust.check_header(header, Some(certificate), Some(inclusion))
        };
        assert!(check(&header, &certificate, &inclusion).is_ok());
        for_every_bit(&inclusion, |place, bytes| {
            assert!(check(&header, &certificate, bytes).is_err(), "inclusion, {place}");
        });
        for_every_bit(&certificate, |place, bytes| {
            assert!(check(&header, bytes, &inclusion).is_err(), "certificate, {place}");
        });
        for_every_bit(&header, |place, bytes| {
            assert!(check(bytes, &certificate, &inclusion).is_err(), "header, {place}");
        });
    }
}

proptest! {
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
