//! The key with which a node signs the status lists of its own province.
//!
//! Which key counts is the chain's to say, block by block: the province names it with
//! `SetStatusKey`. A node that holds another one signs nothing and says so. What is signed, and
//! when, stands in `http/status_lists.rs`.

use symbolon_ledger::{
    codes::ProvinceCode,
    keys::SecretKey,
    operation::Actor,
    records::{KeyRecord, ProvinceRecord},
    state::StateKey,
};

use crate::storage::{StorageError, Store, View};

/// A province and a key of its status lists.
#[derive(Debug)]
pub struct StatusSigner {
    province: ProvinceCode,
    key: SecretKey,
}

/// Where a key stands on the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is the province's status key, under this number.
    Current(u32),
    /// The province has named none.
    NoneNamed,
    /// The province has named another one, under this number.
    Other(u32),
    /// It is the one named, and its last height has passed.
    Over(u32),
}

impl StatusSigner {
    /// A key of `province`.
    #[must_use]
    pub fn new(province: ProvinceCode, key: SecretKey) -> Self {
        Self { province, key }
    }

    /// The province.
    #[must_use]
    pub fn province(&self) -> ProvinceCode {
        self.province
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &SecretKey {
        &self.key
    }

    /// Where the key stands at the view's tip.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn standing(&self, view: &View<'_>) -> Result<Standing, StorageError> {
        let province: Option<ProvinceRecord> = view.record(&StateKey::Province(self.province))?;
        let Some(id) = province.and_then(|p| p.status_key) else {
            return Ok(Standing::NoneNamed);
        };
        let place = StateKey::Key(Actor::Province(self.province), id);
        let record: KeyRecord = view
            .record(&place)?
            .ok_or_else(|| StorageError::damaged(format!("{place:?} is missing")))?;
        Ok(if record.key != self.key.public_key() {
            Standing::Other(id)
        } else if record.is_valid_at(view.tip().height) {
            Standing::Current(id)
        } else {
            Standing::Over(id)
        })
    }

    /// Says in the log whether this node will sign.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn announce(&self, store: &Store) -> Result<(), StorageError> {
        let standing = self.standing(&store.view()?)?;
        let (province, key) = (self.province, self.key.public_key());
        match standing {
            Standing::Current(key_id) => {
                tracing::info!(%province, key_id, "this node signs its province's status lists");
            }
            other => tracing::warn!(
                %province, %key, standing = ?other,
                "status_key is not the status key that the province has named on the chain; nothing is signed until it is: symbolon agency status-key names it"
            ),
        }
        Ok(())
    }
}
