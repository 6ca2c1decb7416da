//! Headers, bundles, pins and inclusions, right and wrong, over chains whose validators change.

mod bundles;
mod flips;
mod headers;
mod pins;

use proptest::prelude::*;
use symbolon_ledger::{
    certificate::{Certificate, CertificateError},
    codec::encode,
    hash::sha256,
    inclusion::Inclusion,
    keys::Signature,
};

use super::*;
use crate::samples::{
    Network,
    chain::{Chain, FOUNDED_MS, Members},
};

/// A time at which no chain of these tests is from the future.
const NOW: u64 = FOUNDED_MS + 10_000_000;

fn check(chain: &Chain, bundle: &TrustBundle) -> Result<Trust, BundleError> {
    Trust::check(&encode(bundle), &chain.founding(), NOW)
}

fn pin(chain: &Chain, height: u64) -> Anchor<'static> {
    Anchor::Pin { height, block: chain.header(height).hash(), link: None }
}
