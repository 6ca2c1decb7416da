//! Trust bundles from the founding block, whole and with one thing wrong.

use super::*;

#[test]
fn a_hundred_rotations_of_all_keys_are_followed_and_pinned() {
    let chain = Chain::with_changes(100, 2);
    let trust = chain.pinned(chain.tip());
    assert_eq!(trust.set_changes(), 100);
    assert_eq!(trust.pin().hash(), chain.header(chain.tip()).hash());
    assert_eq!(trust.validators(), chain.members(chain.tip()).set());
    let bytes = trust.to_bytes();
    assert_eq!(bytes, encode(&chain.bundle(chain.tip())));
    assert_eq!(Trust::check(&bytes, &Anchor::Kept, NOW), Ok(trust));
}

#[test]
fn a_bundle_of_every_length_is_believed_from_genesis_from_its_pin_and_as_kept() {
    let chain = Chain::with_changes(4, 1);
    for head in 0..=chain.tip() {
        let bytes = encode(&chain.bundle(head));
        let trust = Trust::check(&bytes, &chain.founding(), NOW).unwrap();
        assert_eq!(trust.pin().header().height, head);
        assert_eq!(trust.validators(), chain.members(head + 1).set());
        assert_eq!(Trust::check(&bytes, &Anchor::Kept, NOW), Ok(trust.clone()));
        let pinned = Trust::check(&bytes, &pin(&chain, head), NOW).unwrap();
        assert_eq!((pinned.pin(), pinned.to_bytes()), (trust.pin(), bytes));
    }
}

/// Three changes of the set, at heights 3, 6 and 9; the tip is at 11.
struct Bench {
    chain: Chain,
}

impl Bench {
    fn new() -> Self {
        Self { chain: Chain::with_changes(3, 2) }
    }

    /// Why the bundle of the tip is refused after `change`.
    fn refused(&self, change: impl FnOnce(&mut TrustBundle)) -> BundleError {
        let mut bundle = self.chain.bundle(self.chain.tip());
        change(&mut bundle);
        check(&self.chain, &bundle).unwrap_err()
    }

    /// Why change `index` is refused after `change`.
    fn refused_change(&self, index: usize, change: impl FnOnce(&mut TrustBundle)) -> ChangeError {
        match self.refused(change) {
            BundleError::Change { index: at, source } if at == index => source,
            other => panic!("{other}"),
        }
    }

    /// An altered header of `height`, certified by the validators of that height.
    fn recertified(&self, height: u64, change: impl FnOnce(&mut Header)) -> (Header, Certificate) {
        let mut header = self.chain.header(height).clone();
        change(&mut header);
        let certificate = self.chain.members(height).certify(&header);
        (header, certificate)
    }
}

fn put((header, certificate): (Header, Certificate), change: &mut SetChange) {
    (change.header, change.certificate) = (encode(&header).into(), encode(&certificate).into());
}

#[test]
fn every_fault_of_a_whole_bundle_has_its_own_error() {
    use BundleError as E;
    let bench = Bench::new();
    let chain = &bench.chain;
    let (x, genesis) = (Digest([9; 32]), chain.header(0));
    assert_eq!(bench.refused(|b| b.version = 2), E::Version(2));
    let expected = E::OtherChain { found: x, trusted: genesis.chain_id };
    assert_eq!(bench.refused(|b| b.chain_id = x), expected);
    let expected = E::OtherGenesis { found: x, trusted: genesis.hash() };
    assert_eq!(bench.refused(|b| b.genesis = x), expected);
    let other = chain.members(9).set();
    let expected = E::OtherFoundingSet { found: other.hash(), trusted: genesis.validators_hash };
    assert_eq!(bench.refused(|b| b.validators = other.clone()), expected);

    let (found, trusted) = (chain.members(11).set().hash(), chain.members(9).set().hash());
    let expected = E::Head(HeaderError::OtherValidators { found, trusted });
    assert_eq!(bench.refused(|b| _ = b.changes.pop()), expected);
    let below = bench.refused(|b| b.head = chain.bundle(8).head);
    assert_eq!(below, E::ChangeAboveHead { change: 9, head: 8 });
    let (header, certificate) = bench.recertified(11, |h| h.next_validators_hash = x);
    let (header, certificate) = (encode(&header).into(), Some(encode(&certificate).into()));
    let expected = E::HeadSet { named: x, found };
    assert_eq!(bench.refused(|b| b.head = BundleHead { header, certificate }), expected);
    let bare = bench.refused(|b| b.head.certificate = None);
    assert_eq!(bare, E::Head(HeaderError::NoCertificate));
}

#[test]
fn every_fault_of_the_signatures_on_a_change_has_its_own_error() {
    let bench = Bench::new();
    let chain = &bench.chain;
    // Block 6 is voted on by five validators, of whom four are a quorum.
    let refused = |certificate: Certificate| {
        let certificate = encode(&certificate).into();
        match bench.refused_change(1, |b| b.changes[1].certificate = certificate) {
            ChangeError::Header(HeaderError::Certificate(error)) => error,
            other => panic!("{other}"),
        }
    };
    let header = chain.header(6);
    let sign = |signers: &[usize]| refused(chain.members(6).sign(header, signers));
    let too_few = CertificateError::NoQuorum { signed: 3, quorum: 4 };
    assert_eq!(sign(&[0, 1, 2]), too_few);
    assert_eq!(sign(&[0, 1, 2, 2]), CertificateError::Order);
    let stranger = CertificateError::UnknownSigner("65".parse().unwrap());
    assert_eq!(refused(Members::new(1, 7).sign(header, &[0, 1, 2, 6])), stranger);
    let foreign = CertificateError::BadSignature("11".parse().unwrap());
    assert_eq!(refused(Members::new(80, 5).certify(header)), foreign);
    // The set that a change makes cannot make the change.
    assert_eq!(refused(chain.members(7).certify(header)), foreign);
}

#[test]
fn every_other_fault_of_a_change_has_its_own_error() {
    let bench = Bench::new();
    let chain = &bench.chain;
    let x = Digest([9; 32]);
    let set = |height| chain.members(height).set();
    let stale = |height, at| {
        let (found, trusted) = (set(height).hash(), set(at).hash());
        ChangeError::Header(HeaderError::OtherValidators { found, trusted })
    };
    assert_eq!(bench.refused_change(1, |b| _ = b.changes.remove(1)), stale(9, 6));
    let twice = bench.refused_change(1, |b| b.changes.insert(1, b.changes[0].clone()));
    assert_eq!(twice, stale(3, 6));
    let expected = ChangeError::OtherSet { named: set(10).hash(), given: set(1).hash() };
    let other = bench.refused_change(2, |b| b.changes[2].validators = set(1).clone());
    assert_eq!(other, expected);

    let same = bench.recertified(6, |h| h.next_validators_hash = set(6).hash());
    let unchanged = bench.refused_change(1, |b| {
        put(same, &mut b.changes[1]);
        b.changes[1].validators = set(6).clone();
    });
    assert_eq!(unchanged, ChangeError::NoChange);
    let early = bench.recertified(6, |h| h.height = 3);
    let early = bench.refused_change(1, |b| put(early, &mut b.changes[1]));
    assert_eq!(early, ChangeError::Order { height: 3, before: 3 });
    let foreign = bench.recertified(3, |h| h.chain_id = x);
    let foreign = bench.refused_change(0, |b| put(foreign, &mut b.changes[0]));
    let trusted = chain.header(0).chain_id;
    let expected = HeaderError::OtherChain { found: x, trusted };
    assert_eq!(foreign, ChangeError::Header(expected));
}

#[test]
fn a_head_and_a_change_of_one_height_are_one_block() {
    let chain = Chain::with_changes(2, 2);
    let mut bundle = chain.bundle(6);
    let twin = Header { state_root: Digest([7; 32]), ..chain.header(6).clone() };
    bundle.head = BundleHead {
        header: encode(&twin).into(),
        certificate: Some(encode(&chain.members(6).certify(&twin)).into()),
    };
    assert_eq!(check(&chain, &bundle), Err(BundleError::TwoHeads(6)));
}

#[test]
fn length_and_number_of_changes_are_bounded() {
    let chain = Chain::with_changes(1, 1);
    let long = vec![0; MAX_TRUST_BUNDLE_BYTES + 1];
    let refused = Trust::check(&long, &chain.founding(), NOW);
    assert!(matches!(refused, Err(BundleError::Encoding(DecodeError::TooLong { .. }))));
    let mut bundle = chain.bundle(2);
    bundle.changes = vec![bundle.changes[0].clone(); MAX_SET_CHANGES + 1];
    let expected = Err(BundleError::TooManyChanges(MAX_SET_CHANGES + 1));
    assert_eq!(check(&chain, &bundle), expected);
    let mut trailing = encode(&chain.bundle(2));
    trailing.push(0);
    let refused = Trust::check(&trailing, &chain.founding(), NOW);
    assert!(matches!(refused, Err(BundleError::Encoding(_))));
}

#[test]
fn a_pin_from_the_future_shows_that_the_clock_is_wrong() {
    let chain = Chain::with_changes(1, 1);
    let bytes = encode(&chain.bundle(2));
    let made = chain.header(2).time_ms;
    let at = |now| Trust::check(&bytes, &chain.founding(), now).map(drop);
    assert_eq!(at(made - MAX_CLOCK_LAG_MS), Ok(()));
    let early = made - MAX_CLOCK_LAG_MS - 1;
    assert_eq!(at(early), Err(BundleError::Future(MAX_CLOCK_LAG_MS + 1)));

    let trust = chain.pinned(2);
    assert_eq!(trust.standing(early, 100), Standing::ClockBehind);
    assert_eq!(trust.standing(made - 1, 100), Standing::Current);
    assert_eq!(trust.standing(made + 100, 100), Standing::Current);
    assert_eq!(trust.standing(made + 101, 100), Standing::TooOld { age_ms: 101 });
}
