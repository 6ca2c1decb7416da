//! From the founding document to the certified header of a snapshot, along the changes of the
//! validator set: as an offline verifier goes, with the same bundle and the same checks
//! ([`Trust::check`]). The anchor is always the founding document that the node is configured with.

use symbolon_genesis::Genesis;
use symbolon_ledger::{block::Header, codec, trust_bundle::TrustBundle};
use symbolon_verify::trust::{Anchor, Trust};

use super::{MAX_PART_BYTES, manifest::Flaw};

/// The clock has no part in this: a header that a quorum signed was made, whatever this machine's
/// clock says.
const WHENEVER: u64 = u64::MAX;

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
    let founding = genesis.block_zero(genesis.state_root());
    let trust = Trust::check(bytes, &Anchor::founding(&founding), WHENEVER)
        .map_err(|error| Flaw::Bundle(error.to_string()))?;
    Ok(Followed { bundle, header: trust.pin().header().clone() })
}
