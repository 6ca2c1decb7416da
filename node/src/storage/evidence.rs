//! Evidence of validators that signed against themselves, as this node knows it: no part of the
//! chain, and bounded, since a guilty validator can make as much of it as it likes.

use symbolon_consensus::evidence::{Equivocation, MAX_EVIDENCE_BYTES};
use symbolon_ledger::{codec, codes::ProvinceCode, validators::ValidatorSet};

use super::{
    StorageError, Store, View,
    schema::{cf, evidence_key},
    synced,
};

/// Most heights of one province for which evidence is kept. One convicts; a few more show whether
/// it was a slip.
pub const EVIDENCE_PER_PROVINCE: usize = 4;
/// Evidence that is so many heights old makes room for newer: the chain hears it no more, and
/// eleven days of idle blocks were time enough to look.
pub const EVIDENCE_KEPT_FOR: u64 = symbolon_contracts::evidence::EVIDENCE_WINDOW;

impl Store {
    /// Keeps evidence that was checked, durably. Whether it is new and there was room for it.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn keep_evidence(
        &self,
        height: u64,
        evidence: &Equivocation,
    ) -> Result<bool, StorageError> {
        let province = evidence.province;
        let known = self.view()?.evidence_heights(province)?;
        if known.contains(&height) {
            return Ok(false);
        }
        let tip = *self.commits.borrow();
        let old = |h: &&u64| h.saturating_add(EVIDENCE_KEPT_FOR) < tip;
        let mut batch = rocksdb::WriteBatch::default();
        if known.len() >= EVIDENCE_PER_PROVINCE {
            let Some(oldest) = known.iter().min().filter(old) else { return Ok(false) };
            batch.delete_cf(self.cf(cf::EVIDENCE), evidence_key(province, *oldest));
        }
        batch.put_cf(self.cf(cf::EVIDENCE), evidence_key(province, height), evidence.encode());
        self.db.write_opt(batch, &synced())?;
        Ok(true)
    }
}

impl View<'_> {
    /// All evidence that is kept, by province and height.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn evidence(&self) -> Result<Vec<Equivocation>, StorageError> {
        let read = |entry: Result<super::Entry, StorageError>| {
            let (_, bytes) = entry?;
            codec::decode(&bytes, MAX_EVIDENCE_BYTES)
                .map_err(|error| StorageError::damaged(format!("evidence: {error}")))
        };
        self.scan_prefix(cf::EVIDENCE, &[]).map(read).collect()
    }

    /// Whether evidence of this province for this height would be kept.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn wants_evidence(
        &self,
        province: ProvinceCode,
        height: u64,
    ) -> Result<bool, StorageError> {
        let known = self.evidence_heights(province)?;
        let room = known.len() < EVIDENCE_PER_PROVINCE
            || known.iter().any(|h| h.saturating_add(EVIDENCE_KEPT_FOR) < self.tip().height);
        Ok(room && !known.contains(&height))
    }

    /// The set that had the vote at `height`: the one that the newest block below it with a change
    /// has made.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn validators_at(&self, height: u64) -> Result<Option<ValidatorSet>, StorageError> {
        let mut found = None;
        for set in self.validator_sets() {
            let (made, set) = set?;
            if made < height {
                found = Some(set);
            }
        }
        Ok(found)
    }

    fn evidence_heights(&self, province: ProvinceCode) -> Result<Vec<u64>, StorageError> {
        let height = |entry: Result<super::Entry, StorageError>| {
            let (key, _) = entry?;
            let bytes = key.last_chunk::<8>();
            let bytes = bytes.ok_or_else(|| StorageError::damaged("a key of the evidence"))?;
            Ok(u64::from_be_bytes(*bytes))
        };
        self.scan_prefix(cf::EVIDENCE, province.as_str().as_bytes()).map(height).collect()
    }
}
