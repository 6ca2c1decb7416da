//! The validator sets since the founding, kept because the state holds the newest one only: what
//! a trust bundle is made of.

use rocksdb::WriteBatch;
use symbolon_ledger::{
    block::header_hash,
    codec,
    records::MAX_RECORD_BYTES,
    trust_bundle::{BundleHead, SetChange, TRUST_BUNDLE_VERSION, TrustBundle},
    validators::ValidatorSet,
};

use super::{
    Entry, StorageError, Store, View,
    schema::{cf, height_key},
};

impl Store {
    /// Writes the set that the block at `height` made, and that votes on the next one.
    pub(super) fn put_validators(&self, batch: &mut WriteBatch, height: u64, set: &ValidatorSet) {
        batch.put_cf(self.cf(cf::VALIDATOR_SETS), height_key(height), codec::encode(set));
    }
}

impl View<'_> {
    /// All sets, each with the height of the block that made it, ascending.
    pub(super) fn validator_sets(
        &self,
    ) -> impl Iterator<Item = Result<(u64, ValidatorSet), StorageError>> {
        self.scan_prefix(cf::VALIDATOR_SETS, &[]).map(|entry| read_set(&entry?))
    }

    /// The trust bundle that ends at the tip, with this node's certificates.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn trust_bundle(&self) -> Result<TrustBundle, StorageError> {
        let missing = |height: u64| StorageError::damaged(format!("block {height} is incomplete"));
        let header = |height: u64| self.header_bytes(height)?.ok_or_else(|| missing(height));
        let mut sets = self.validator_sets();
        let (0, validators) = sets.next().ok_or_else(no_founding_set)?? else {
            return Err(no_founding_set());
        };
        let change = |(height, validators): (u64, ValidatorSet)| {
            let certificate = self.certificate_bytes(height)?.ok_or_else(|| missing(height))?;
            let (header, certificate) = (header(height)?.into(), certificate.into());
            Ok(SetChange { header, certificate, validators })
        };
        let changes =
            sets.map(|set| set.and_then(change)).collect::<Result<Vec<_>, StorageError>>()?;
        let tip = self.tip().height;
        Ok(TrustBundle {
            version: TRUST_BUNDLE_VERSION,
            chain_id: self.chain_id(),
            genesis: header_hash(&header(0)?),
            validators,
            changes,
            head: BundleHead {
                header: header(tip)?.into(),
                certificate: self.certificate_bytes(tip)?.map(Into::into),
            },
        })
    }
}

fn no_founding_set() -> StorageError {
    StorageError::damaged("the founding validator set is missing")
}

pub(super) fn read_set((key, bytes): &Entry) -> Result<(u64, ValidatorSet), StorageError> {
    let height: [u8; 8] =
        key[..].try_into().map_err(|_| StorageError::damaged("a key of the validator sets"))?;
    let height = u64::from_be_bytes(height);
    let set = codec::decode(bytes, MAX_RECORD_BYTES)
        .map_err(|e| StorageError::damaged(format!("validator set of block {height}: {e}")))?;
    Ok((height, set))
}
