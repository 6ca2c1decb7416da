//! Bundles that go on from a pin, those that do not, and forks.

use super::*;

/// The bundle that ends at `head`, held against the pin at `height` with its link.
fn linked(chain: &Chain, head: u64, height: u64, link: &[u8]) -> Result<Trust, PinError> {
    let block = chain.header(height).hash();
    let anchor = Anchor::Pin { height, block, link: Some(link) };
    Trust::check(&encode(&chain.bundle(head)), &anchor, NOW).map_err(of_pin)
}

fn of_pin(error: BundleError) -> PinError {
    match error {
        BundleError::Pin(error) => error,
        other => panic!("{other}"),
    }
}

fn of_extension(error: ExtendError) -> PinError {
    match error {
        ExtendError::Bundle(error) => of_pin(error),
        other => panic!("{other}"),
    }
}

#[test]
fn a_newer_bundle_goes_on_from_every_pin_and_never_back() {
    let chain = Chain::with_changes(3, 1);
    for from in 0..=chain.tip() {
        for to in 0..=chain.tip() {
            let newer = encode(&chain.bundle(to));
            let link = (from < to).then(|| encode(&chain.inclusion(from, to)));
            let extended = chain.pinned(from).extend(&newer, link.as_deref(), NOW);
            if to < from {
                let error = of_extension(extended.unwrap_err());
                assert_eq!(error, PinError::Backwards { head: to, pin: from });
                continue;
            }
            assert_eq!(extended, Ok(chain.pinned(to)), "{from} to {to}");
            if from < to {
                let error = chain.pinned(from).extend(&newer, None, NOW).unwrap_err();
                let expected = PinError::NoLink { head: to, pin: from };
                assert_eq!(of_extension(error), expected);
                let trust = linked(&chain, to, from, &link.unwrap()).unwrap();
                assert_eq!(trust.to_bytes(), newer);
            }
        }
    }
}

#[test]
fn the_founding_block_itself_is_extended() {
    let chain = Chain::with_changes(2, 2);
    let newer = encode(&chain.bundle(chain.tip()));
    let link = encode(&chain.inclusion(0, chain.tip()));
    let extended = chain.trust().extend(&newer, Some(&link), NOW).unwrap();
    assert_eq!(extended, chain.pinned(chain.tip()));
}

#[test]
fn another_node_has_other_certificates_and_the_first_ones_are_kept() {
    let chain = Chain::with_changes(2, 2);
    let kept = chain.pinned(4);
    let mut newer = chain.bundle(chain.tip());
    newer.changes[0].certificate =
        encode(&chain.members(3).sign(chain.header(3), &[1, 2, 3])).into();
    let link = encode(&chain.inclusion(4, chain.tip()));
    let extended = kept.extend(&encode(&newer), Some(&link), NOW).unwrap();
    assert_eq!(extended.to_bytes(), encode(&chain.bundle(chain.tip())));
}

/// A chain that is the same up to `height`, and another one from there on, by the same keys.
fn forked(height: u64) -> Chain {
    let mut fork = Chain::new();
    while fork.tip() + 1 < height {
        let next = fork.tip() + 1;
        if next.is_multiple_of(3) {
            let era = usize::try_from(next / 3).unwrap();
            fork.change(Members::new(era, 4 + era % 4));
        } else {
            fork.grow(1);
        }
    }
    fork.block_of(sha256(b"another"), sha256(b"other state"));
    fork.grow(4);
    fork
}

#[test]
fn a_different_block_at_the_pin_is_a_proven_fork() {
    let chain = Chain::with_changes(2, 2);
    let fork = forked(5);
    assert_eq!(fork.header(4), chain.header(4));
    assert_ne!(fork.header(5), chain.header(5));
    let trust = chain.pinned(5);
    let (pinned, found) = (chain.header(5).hash(), fork.header(5).hash());
    let expected = PinError::Fork { height: 5, pinned, found };
    for head in 5..=fork.tip() {
        let link = (head > 5).then(|| encode(&fork.inclusion(5, head)));
        let newer = encode(&fork.bundle(head));
        let error = trust.extend(&newer, link.as_deref(), NOW).unwrap_err();
        assert_eq!(of_extension(error), expected, "head {head}");
        // To whom only knows the pin it is just another chain.
        let anchor = Anchor::Pin { height: 5, block: pinned, link: link.as_deref() };
        let error = Trust::check(&newer, &anchor, NOW).unwrap_err();
        let expected = PinError::OtherBlock { height: 5, pinned, found };
        assert_eq!(of_pin(error), expected, "head {head}");
    }
    // A link of the kept chain does not lead into the other one.
    let link = encode(&chain.inclusion(5, chain.tip()));
    let newer = encode(&fork.bundle(chain.tip()));
    let error = trust.extend(&newer, Some(&link), NOW).unwrap_err();
    assert_eq!(of_extension(error), PinError::Link(InclusionError::NotInHistory));
}

#[test]
fn a_fork_below_the_pin_is_seen_in_the_changes() {
    let chain = Chain::with_changes(3, 2);
    let trust = chain.pinned(8);
    let mut other = Chain::with_changes(1, 2);
    other.change(Members::new(40, 4));
    other.grow(6);
    let newer = encode(&other.bundle(other.tip()));
    assert_eq!(trust.extend(&newer, None, NOW), Err(ExtendError::OldChange(1)));
    let mut fewer = chain.bundle(chain.tip());
    fewer.changes.truncate(1);
    assert_eq!(trust.extend(&encode(&fewer), None, NOW), Err(ExtendError::OldChange(1)));
}

#[test]
fn a_change_that_the_pin_denies_is_refused() {
    let chain = Chain::with_changes(1, 3);
    let trust = chain.pinned(6);
    // The keys of the pinned set rewrite the time just before the pin.
    let mut newer = chain.bundle(7);
    let header = Header {
        height: 6,
        next_validators_hash: Members::new(50, 4).set().hash(),
        ..chain.header(6).clone()
    };
    newer.changes.push(SetChange {
        header: encode(&header).into(),
        certificate: encode(&chain.members(6).certify(&header)).into(),
        validators: Members::new(50, 4).set().clone(),
    });
    let expected = ExtendError::ChangeBelowPin { change: 6, pin: 6 };
    assert_eq!(trust.extend(&encode(&newer), None, NOW), Err(expected));
}

#[test]
fn history_before_the_pin_cannot_be_rewritten_by_whoever_makes_the_next_block() {
    let chain = Chain::with_changes(1, 2);
    let at = 5;
    let trust = chain.pinned(at);
    // The pinned block stands where it stood, and the blocks before it are others.
    let mut leaves: Vec<Digest> =
        (0..at).map(|h| symbolon_ledger::log::leaf_hash(&h.to_be_bytes())).collect();
    leaves.push(symbolon_ledger::log::leaf_hash(chain.header(at).hash().as_bytes()));
    let lie = Header {
        height: at + 1,
        parent: chain.header(at).hash(),
        history_root: symbolon_ledger::log::root(&leaves),
        ..chain.header(at).clone()
    };
    let mut newer = chain.bundle(at);
    newer.head = BundleHead {
        header: encode(&lie).into(),
        certificate: Some(encode(&chain.members(at + 1).certify(&lie)).into()),
    };
    let link = Inclusion {
        path: symbolon_ledger::log::path(&leaves, 5).unwrap(),
        ..chain.inclusion(at, at + 1)
    };
    let error = trust.extend(&encode(&newer), Some(&encode(&link)), NOW).unwrap_err();
    assert_eq!(of_extension(error), PinError::Rewritten);
}

#[test]
fn a_link_of_another_height_and_sets_that_the_pin_does_not_name_are_refused() {
    let chain = Chain::with_changes(3, 2);
    let link = encode(&chain.inclusion(4, chain.tip()));
    let error = linked(&chain, chain.tip(), 5, &link).unwrap_err();
    let other = InclusionError::OtherHeight { found: 4, wanted: 5 };
    assert_eq!(error, PinError::Link(other));

    // A pin alone: an invented past of the sets must still meet the pinned block's own words.
    let mut bundle = chain.bundle(chain.tip());
    bundle.changes.clear();
    bundle.validators = chain.members(chain.tip()).set().clone();
    let link = encode(&chain.inclusion(5, chain.tip()));
    let block = chain.header(5).hash();
    let anchor = Anchor::Pin { height: 5, block, link: Some(&link) };
    let error = Trust::check(&encode(&bundle), &anchor, NOW).unwrap_err();
    assert!(matches!(of_pin(error), PinError::OtherSet { .. }));
}

#[test]
fn under_a_pin_alone_even_the_founding_block_needs_its_inclusion() {
    let chain = Chain::with_changes(1, 2);
    let at = chain.tip();
    let bytes = encode(&chain.bundle(at));
    let trust = Trust::check(&bytes, &pin(&chain, at), NOW).unwrap();
    let header = encode(chain.header(0));
    let refused = trust.check_header(&header, None, None);
    assert_eq!(refused, Err(HeaderError::NoInclusion { height: 0, pin: at }));
    let inclusion = encode(&chain.inclusion(0, at));
    assert!(trust.check_header(&header, None, Some(&inclusion)).is_ok());
}

#[test]
fn a_bundle_of_another_chain_extends_nothing() {
    let chain = Chain::with_changes(1, 2);
    let mut other = chain.bundle(chain.tip());
    other.genesis = Digest([3; 32]);
    let refused = chain.pinned(2).extend(&encode(&other), None, NOW);
    assert!(matches!(refused, Err(ExtendError::Bundle(BundleError::OtherGenesis { .. }))));
}
