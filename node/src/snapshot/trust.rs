//! From the founding document to the certified header of a snapshot, along the changes of the
//! validator set.
//!
//! As an offline verifier does (`symbolon-verify`), and with the same bundle; here the anchor is
//! always the founding document that the node is configured with, and the clock has no part.

use symbolon_genesis::Genesis;
use symbolon_ledger::{
    block::{Header, header_hash},
    certificate::{Certificate, MAX_CERTIFICATE_BYTES},
    codec,
    trust_bundle::{MAX_SET_CHANGES, SetChange, TRUST_BUNDLE_VERSION, TrustBundle},
    validators::ValidatorSet,
};

use super::{MAX_PART_BYTES, manifest::Flaw};

/// A bundle that leads from the founding to its head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// The bundle.
    pub bundle: TrustBundle,
    /// The header at its end.
    pub header: Header,
}

/// Follows a bundle from the founding.
///
/// # Errors
///
/// [`Flaw`]: what does not hold.
pub fn follow(bytes: &[u8], genesis: &Genesis) -> Result<Followed, Flaw> {
    let bundle: TrustBundle = codec::decode(bytes, MAX_PART_BYTES)?;
    if bundle.version != TRUST_BUNDLE_VERSION {
        return Err(Flaw::Version(bundle.version.into()));
    }
    let refuse = |why: &str| Err(Flaw::Bundle(why.to_owned()));
    let founding = genesis.validator_set();
    let root = genesis.state_root();
    let begins = bundle.chain_id == genesis.chain_id()
        && bundle.genesis == genesis.block_zero(root).hash()
        && bundle.validators == founding;
    if !begins {
        return refuse("it begins with another founding");
    }
    if bundle.changes.len() > MAX_SET_CHANGES {
        return refuse("it has more changes of the validator set than are read");
    }
    let (mut set, mut height) = (founding, 0);
    let mut last: &[u8] = &[];
    for change in &bundle.changes {
        let header = check_change(genesis, &set, change)?;
        if header.height <= height {
            return refuse("the changes of the validator set are out of order");
        }
        (set, height, last) = (change.validators.clone(), header.height, &change.header);
    }
    let header = Header::decode(&bundle.head.header)?;
    if header.height == height && height > 0 {
        if bundle.head.header[..] != *last {
            return refuse("the last change and the head are two blocks of one height");
        }
    } else {
        let Some(certificate) = &bundle.head.certificate else {
            return refuse("the head has no certificate");
        };
        check_certified(genesis, &set, &bundle.head.header, &header, certificate)?;
        if header.height < height || header.next_validators_hash != set.hash() {
            return refuse("the head names another validator set than the changes lead to");
        }
    }
    Ok(Followed { bundle, header })
}

fn check_change(genesis: &Genesis, set: &ValidatorSet, change: &SetChange) -> Result<Header, Flaw> {
    let header = Header::decode(&change.header)?;
    check_certified(genesis, set, &change.header, &header, &change.certificate)?;
    if header.next_validators_hash != change.validators.hash() {
        return Err(Flaw::Bundle("a change names another set than it brings".into()));
    }
    Ok(header)
}

fn check_certified(
    genesis: &Genesis,
    set: &ValidatorSet,
    bytes: &[u8],
    header: &Header,
    certificate: &[u8],
) -> Result<(), Flaw> {
    let certificate: Certificate = codec::decode(certificate, MAX_CERTIFICATE_BYTES)?;
    let about = certificate.block == header_hash(bytes)
        && certificate.height == header.height
        && header.chain_id == genesis.chain_id()
        && header.validators_hash == set.hash();
    if !about {
        return Err(Flaw::Bundle(format!("the certificate of block {}", header.height)));
    }
    certificate
        .verify(&genesis.chain_id(), set)
        .map_err(|e| Flaw::Bundle(format!("the certificate of block {}: {e}", header.height)))
}
