//! Single headers under a trust: above its pin, at it, below it with their inclusions.

use super::*;

#[test]
fn a_quorum_is_enough_and_less_is_not() {
    let network = Network::new();
    let header = network.header(7, Digest([3; 32]), Digest([4; 32]));
    let trust = network.trust();
    let check = |signers: &[usize]| {
        let certificate = encode(&network.certify(&header, signers));
        trust.check_header(&encode(&header), Some(&certificate), None)
    };
    for signers in [&[0, 1, 2, 3][..], &[0, 1, 2], &[1, 2, 3]] {
        assert_eq!(check(signers).unwrap().hash(), header.hash());
    }
    for signers in [&[0, 1][..], &[3], &[]] {
        let expected = CertificateError::NoQuorum { signed: signers.len(), quorum: 3 };
        assert_eq!(check(signers), Err(HeaderError::Certificate(expected)));
    }
    let twice = CertificateError::Order;
    assert_eq!(check(&[0, 1, 1]), Err(HeaderError::Certificate(twice.clone())));
    assert_eq!(check(&[2, 1, 0]), Err(HeaderError::Certificate(twice)));
}

#[test]
fn every_way_to_fail_has_its_own_error() {
    let network = Network::new();
    let trust = network.trust();
    let header = network.header(7, Digest([3; 32]), Digest([4; 32]));
    let good = network.certify(&header, &[0, 1, 2]);
    let check = |header: &Header, certificate: Option<&Certificate>| {
        let certificate = certificate.map(encode);
        trust.check_header(&encode(header), certificate.as_deref(), None).unwrap_err()
    };
    assert_eq!(check(&header, None), HeaderError::NoCertificate);

    let newer = Header { version: 2, ..header.clone() };
    assert_eq!(check(&newer, Some(&good)), HeaderError::Version(2));
    let found = Digest([9; 32]);
    let foreign = Header { chain_id: found, ..header.clone() };
    let trusted = trust.chain_id();
    assert_eq!(check(&foreign, Some(&good)), HeaderError::OtherChain { found, trusted });
    let changed = Header { state_root: found, ..header.clone() };
    assert!(matches!(check(&changed, Some(&good)), HeaderError::OtherBlock { .. }));
    let moved = Certificate { height: 8, ..good.clone() };
    let expected = HeaderError::OtherHeight { certified: 8, header: 7 };
    assert_eq!(check(&header, Some(&moved)), expected);
    let other_set = Header { validators_hash: found, ..header.clone() };
    let signed = network.certify(&other_set, &[0, 1, 2]);
    let expected = HeaderError::NewerValidators { found, pin: 0 };
    assert_eq!(check(&other_set, Some(&signed)), expected);

    let mut forged = good.clone();
    forged.signatures[1].signature = Signature([1; 64]);
    let bad = CertificateError::BadSignature("31".parse().unwrap());
    assert_eq!(check(&header, Some(&forged)), HeaderError::Certificate(bad.clone()));
    let mut exchanged = good.clone();
    exchanged.signatures[1].signature = good.signatures[0].signature;
    assert_eq!(check(&header, Some(&exchanged)), HeaderError::Certificate(bad));
    let later = Certificate { round: 1, ..good.clone() };
    assert!(matches!(check(&header, Some(&later)), HeaderError::Certificate(_)));
    let mut stranger = good.clone();
    stranger.signatures[2].province = "65".parse().unwrap();
    let unknown = CertificateError::UnknownSigner("65".parse().unwrap());
    assert_eq!(check(&header, Some(&stranger)), HeaderError::Certificate(unknown));

    let bytes = encode(&header);
    let refused = trust.check_header(&bytes, Some(&[0xff]), None);
    assert!(matches!(refused, Err(HeaderError::CertificateEncoding(_))));
    let refused = trust.check_header(&bytes[1..], None, None);
    assert!(matches!(refused, Err(HeaderError::Header(_))));
}

#[test]
fn the_founding_block_is_pinned_by_its_hash() {
    let network = Network::new();
    let trust = network.trust();
    let genesis = network.genesis();
    let bytes = encode(&genesis);
    let checked = trust.check_header(&bytes, None, None).unwrap();
    assert_eq!(checked.hash(), trust.pin().hash());
    let certificate = encode(&network.certify(&genesis, &[0, 1, 2, 3]));
    let refused = trust.check_header(&bytes, Some(&certificate), None);
    assert_eq!(refused, Err(HeaderError::GenesisCertificate));
    let other = Header { time_ms: 5, ..genesis };
    let refused = trust.check_header(&encode(&other), None, None);
    assert!(matches!(refused, Err(HeaderError::OtherGenesis { .. })));
}

#[test]
fn only_a_block_of_height_0_with_its_own_set_founds_a_trust() {
    let chain = Chain::with_changes(1, 1);
    let set = || chain.members(1).set().clone();
    assert_eq!(Trust::founded(chain.header(1), set()), Err(FoundingError::Height(1)));
    let other = chain.members(chain.tip()).set().clone();
    let (named, given) = (set().hash(), other.hash());
    let refused = Trust::founded(chain.header(0), other);
    assert_eq!(refused, Err(FoundingError::OtherSet { named, given }));
}

/// Header, certificate and inclusion of one block under the pin.
fn presented(chain: &Chain, height: u64, pin: u64) -> [Option<Vec<u8>>; 3] {
    [
        Some(encode(chain.header(height))),
        (height > 0).then(|| encode(&chain.certificate(height))),
        (height < pin).then(|| encode(&chain.inclusion(height, pin))),
    ]
}

#[test]
fn headers_of_every_era_are_believed_with_their_inclusion_and_only_with_it() {
    let chain = Chain::with_changes(6, 2);
    let at = 12;
    let trust = chain.pinned(at);
    for height in 0..=chain.tip() {
        let [header, certificate, inclusion] = presented(&chain, height, at);
        let check = |inclusion: Option<&[u8]>| {
            let certificate = certificate.as_deref();
            trust.check_header(header.as_deref().unwrap(), certificate, inclusion)
        };
        let found = check(inclusion.as_deref()).map(|h| h.hash());
        // The pinned block is itself one that changes the set.
        if height > at + 3 {
            let refused = matches!(found, Err(HeaderError::NewerValidators { pin: 12, .. }));
            assert!(refused, "height {height}: {found:?}");
            continue;
        }
        assert_eq!(found, Ok(chain.header(height).hash()), "height {height}");
        let without = check(None);
        if (1..at).contains(&height) {
            assert_eq!(without, Err(HeaderError::NoInclusion { height, pin: at }));
        } else {
            assert!(without.is_ok(), "height {height}");
        }
    }
}

#[test]
fn another_certified_block_at_the_pin_is_a_proven_fork() {
    let chain = Chain::with_changes(2, 2);
    let at = 5;
    let trust = chain.pinned(at);
    let twin = Header { state_root: Digest([7; 32]), ..chain.header(at).clone() };
    let signed = encode(&chain.members(at).certify(&twin));
    let (pinned, found) = (chain.header(at).hash(), twin.hash());
    let refused = trust.check_header(&encode(&twin), Some(&signed), None);
    assert_eq!(refused, Err(HeaderError::Fork { height: at, pinned, found }));
    // Uncertified it proves nothing about anybody.
    let unsigned = encode(&chain.members(at).sign(&twin, &[0, 1]));
    let refused = trust.check_header(&encode(&twin), Some(&unsigned), None);
    assert!(matches!(refused, Err(HeaderError::Certificate(_))));
}

#[test]
fn stolen_keys_of_a_former_set_cannot_rewrite_its_time() {
    let chain = Chain::with_changes(5, 3);
    let at = chain.tip();
    let trust = chain.pinned(at);
    for height in 1..at {
        let forged = Header { state_root: sha256(b"a lie"), ..chain.header(height).clone() };
        let certificate = encode(&chain.members(height).certify(&forged));
        let header = encode(&forged);
        let check = |inclusion: Option<&[u8]>| {
            trust.check_header(&header, Some(&certificate), inclusion).unwrap_err()
        };
        assert_eq!(check(None), HeaderError::NoInclusion { height, pin: at });
        let real = chain.inclusion(height, at);
        let (found, wanted) = (chain.header(height).hash(), forged.hash());
        let other = HeaderError::Inclusion(InclusionError::OtherBlock { found, wanted });
        assert_eq!(check(Some(&encode(&real))), other);
        let swapped = Inclusion { header: header.clone().into(), ..real };
        let nowhere = HeaderError::Inclusion(InclusionError::NotInHistory);
        assert_eq!(check(Some(&encode(&swapped))), nowhere);
    }
}

#[test]
fn a_header_of_one_era_is_not_made_by_the_keys_of_another() {
    let chain = Chain::with_changes(4, 3);
    let at = chain.tip();
    let trust = chain.pinned(at);
    for (height, signers) in [(2, 6), (6, 2), (10, 1), (6, at)] {
        let header = chain.header(height);
        let certificate = encode(&chain.members(signers).certify(header));
        let inclusion = encode(&chain.inclusion(height, at));
        let refused = trust.check_header(&encode(header), Some(&certificate), Some(&inclusion));
        assert!(matches!(refused, Err(HeaderError::Certificate(_))), "{height} {signers}");
        // Nor does it help to name the other set.
        let set = chain.members(signers).set().hash();
        let named = Header { validators_hash: set, ..header.clone() };
        let certificate = encode(&chain.members(signers).certify(&named));
        let refused = trust.check_header(&encode(&named), Some(&certificate), None);
        assert!(matches!(refused, Err(HeaderError::OtherValidators { .. })));
    }
}

#[test]
fn every_way_in_which_an_inclusion_fails_has_its_own_error() {
    let chain = Chain::with_changes(3, 3);
    let (height, at) = (5, 11);
    let trust = chain.pinned(at);
    let good = chain.inclusion(height, at);
    let fails = |bytes: &[u8]| {
        let header = encode(chain.header(height));
        let certificate = encode(&chain.certificate(height));
        match trust.check_header(&header, Some(&certificate), Some(bytes)).unwrap_err() {
            HeaderError::Inclusion(error) => error,
            other => panic!("{other}"),
        }
    };
    let altered = |change: &dyn Fn(&mut Inclusion)| {
        let mut inclusion = good.clone();
        change(&mut inclusion);
        fails(&encode(&inclusion))
    };
    assert!(matches!(fails(b""), InclusionError::Encoding(_)));
    assert!(matches!(fails(&[0; MAX_INCLUSION + 1]), InclusionError::Encoding(_)));
    assert_eq!(altered(&|i| i.version = 2), InclusionError::Version(2));
    assert!(matches!(altered(&|i| i.header = vec![1].into()), InclusionError::Header(_)));
    let expected = InclusionError::OtherHead { size: 10, pin: 11 };
    assert_eq!(fails(&encode(&chain.inclusion(height, 10))), expected);
    let misfit = InclusionError::Path { index: 5, size: 11 };
    assert_eq!(altered(&|i| _ = i.path.pop()), misfit);
    assert_eq!(altered(&|i| i.path.push(Digest::ZERO)), misfit);
    assert_eq!(altered(&|i| i.path = vec![Digest::ZERO; 70]), misfit);
    assert_eq!(altered(&|i| i.path[0] = Digest::ZERO), InclusionError::NotInHistory);
    let other = fails(&encode(&chain.inclusion(6, at)));
    assert!(matches!(other, InclusionError::OtherBlock { .. }));
    let later = Header { height: 12, ..chain.header(5).clone() };
    let beyond = altered(&|i| i.header = encode(&later).into());
    assert_eq!(beyond, InclusionError::Path { index: 12, size: 11 });
}

const MAX_INCLUSION: usize = symbolon_ledger::inclusion::MAX_INCLUSION_BYTES;
