//! How much work the trials of this node may make between two blocks, so that nobody keeps its
//! threads busy with transactions that never apply, or waits behind somebody who tries.
//!
//! Only what may make much work is counted ([`is_heavy`](symbolon_contracts::is_heavy)), after what it
//! did: a transaction under a key that has ended does nothing, and takes nothing from the key's owner.
//! What did not apply is not tried again before the next block, whoever sends it again.

use std::{collections::BTreeMap, sync::Arc};

use symbolon_contracts::{ApplyError, Rejection};
use symbolon_ledger::{
    codes::ProvinceCode, hash::TransactionId, operation::Actor, records::AgencyRecord,
    state::StateKey,
};

use crate::storage::{StorageError, View};

/// Most work of one signer, in records looked up or written: eight walks over all the keys that an
/// actor may have, or half a block's slots. Reading one from the disk takes some five microseconds.
/// What is being tried when the bound is passed is tried to its end.
pub(super) const MAX_WORK_OF_ONE: u64 = 8_192;
/// Most work of all agencies of a province together, since it registers as many as it likes. It has no
/// part in what the province says itself, so that no stolen key of an agency keeps the province from
/// ending that key.
const MAX_WORK_OF_AGENCIES: u64 = 4 * MAX_WORK_OF_ONE;
/// Work that is not counted: more than it takes to find that a signer may not act.
pub(super) const FREE_WORK: u64 = 16;

/// Why it is not known that a transaction applies.
pub(super) enum NotTried {
    /// A rule refuses it.
    Rejected(Rejection),
    /// It was not tried: there was enough of its signer's since the last block.
    Enough,
    /// The state cannot be read.
    Fault(StorageError),
}

impl From<ApplyError> for NotTried {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Rejected(why) => Self::Rejected(why),
            ApplyError::Fault(fault) => Self::Fault(StorageError::Damaged(fault.0)),
        }
    }
}

/// What was tried since the last block.
#[derive(Debug, Default)]
pub(super) struct Trials {
    /// Height of the newest tip that was tried at.
    height: u64,
    of_signer: BTreeMap<Actor, u64>,
    of_agencies: BTreeMap<ProvinceCode, u64>,
    /// What was counted and did not apply. There is no more of it than there is work.
    refused: BTreeMap<TransactionId, Rejection>,
}

impl Trials {
    /// Whether a transaction may be tried.
    pub(super) fn allow(
        &mut self,
        height: u64,
        id: &TransactionId,
        signer: Actor,
        home: ProvinceCode,
    ) -> Result<(), NotTried> {
        self.move_to(height);
        if height == self.height
            && let Some(why) = self.refused.get(id)
        {
            return Err(NotTried::Rejected(*why));
        }
        let enough = self.of_signer.get(&signer).is_some_and(|work| *work >= MAX_WORK_OF_ONE)
            || (matches!(signer, Actor::Agency(_))
                && self.of_agencies.get(&home).is_some_and(|work| *work >= MAX_WORK_OF_AGENCIES));
        if enough { Err(NotTried::Enough) } else { Ok(()) }
    }

    /// Counts what was tried, and remembers why it did not apply.
    pub(super) fn note(
        &mut self,
        height: u64,
        id: TransactionId,
        signer: Actor,
        home: ProvinceCode,
        work: u64,
        why: Option<Rejection>,
    ) {
        let counted = work.saturating_sub(FREE_WORK);
        // What was found at an older tip says nothing of this one.
        if counted == 0 || height < self.height {
            return;
        }
        *self.of_signer.entry(signer).or_default() += counted;
        if matches!(signer, Actor::Agency(_)) {
            *self.of_agencies.entry(home).or_default() += counted;
        }
        if let Some(why) = why {
            self.refused.insert(id, why);
        }
    }

    /// There is a block of this height: everything may apply now, and everybody has as much again.
    pub(super) fn move_to(&mut self, height: u64) {
        if height > self.height {
            *self = Self { height, ..Self::default() };
        }
    }
}

/// The province that a signer belongs to. It is registered: its signature was checked.
pub(super) fn home_of(view: &View<'_>, signer: Actor) -> Result<ProvinceCode, NotTried> {
    match signer {
        Actor::Province(code) => Ok(code),
        Actor::Agency(uscc) => {
            let agency: Option<Arc<AgencyRecord>> =
                view.shared(&StateKey::Agency(uscc)).map_err(NotTried::Fault)?;
            let missing = || StorageError::damaged("a signer has a key and no record");
            Ok(agency.ok_or_else(|| NotTried::Fault(missing()))?.province)
        }
    }
}
