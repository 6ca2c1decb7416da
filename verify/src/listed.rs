//! What a status list adds to a licence's record: the newer word, or until when an older one may
//! be relied on.
//!
//! A list is the word of a province's status key, not of the ledger: it moves nothing but the
//! status of a licence that the records prove to be there, and a final status in the records
//! stands whatever a list says. Whether a list is genuine was checked by whoever brought it.

use symbolon_credential::status_list::{Checked, ListedStatus};
use symbolon_ledger::records::slot_list;

use crate::{
    status_list::Made,
    trust::MAX_CLOCK_LAG_MS,
    verdict::{LedgerStatus, Reason, Verdict},
    view::{AsOf, LedgerView, StatusEvidence},
};

/// A word that decides a licence's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listed {
    status: ListedStatus,
    /// The list's block, when it is newer than the licence's record; else that of the records.
    as_of: AsOf,
    height: u64,
}

/// How a check of the status goes by a list.
pub(crate) enum Ruling {
    Pass(String),
    Fail(Reason, String),
    Doubt(Reason, String),
}

/// The word of the view's status list, where it decides: it is newer than the licence's record, or
/// the records are `stale` and it confirms them until its end.
pub(crate) fn listed(view: &LedgerView, now_ms: u64, stale: bool) -> Option<Listed> {
    let licence = view.licence.as_ref().filter(|licence| !licence.status.is_final())?;
    let list = view.listed_at(now_ms)?;
    let status = list.status;
    let newer = list.height > view.licence_as_of.height;
    let confirms = stale && status == ListedStatus::of(licence.status.list_value());
    let as_of = if newer { list.as_of() } else { view.as_of };
    (newer || confirms).then_some(Listed { status, as_of, height: list.height })
}

impl Listed {
    /// The block on which the answer rests.
    pub(crate) fn as_of(&self) -> AsOf {
        self.as_of
    }

    pub(crate) fn ruling(&self) -> Ruling {
        let of = format!("by the province's status list of height {}", self.height);
        match self.status {
            ListedStatus::Valid => Ruling::Pass(format!("active {of}")),
            ListedStatus::Invalid => {
                Ruling::Fail(Reason::Revoked, format!("revoked or superseded {of}"))
            }
            ListedStatus::Suspended => {
                Ruling::Fail(Reason::Suspended, format!("suspended or in transfer {of}"))
            }
            ListedStatus::Other(_) => {
                let detail = format!("a status without a meaning {of}");
                Ruling::Doubt(Reason::LedgerUnavailable, detail)
            }
        }
    }

    /// Puts the list's word into the verdict.
    pub(crate) fn name(&self, verdict: &mut Verdict) {
        verdict.as_of = Some(crate::naming::as_of_block(&self.as_of));
        verdict.ledger_status = match self.status {
            ListedStatus::Valid => LedgerStatus::Active,
            ListedStatus::Invalid => LedgerStatus::Revoked,
            ListedStatus::Suspended => LedgerStatus::Suspended,
            ListedStatus::Other(_) => return,
        };
    }
}

impl StatusEvidence {
    /// What `list` says of a slot of its province; none when the slot is on another list, or past
    /// the end of this one.
    #[must_use]
    pub fn of(list: &Checked, slot: u32) -> Option<Self> {
        let (number, index) = slot_list(slot);
        let (address, ledger) = (list.address(), list.ledger());
        if number != address.list {
            return None;
        }
        Some(Self {
            province: address.province,
            slot,
            status: list.status(index.into()).ok()?,
            issued_at: list.issued_at(),
            expires: list.expires(),
            height: ledger.height,
            state_root: ledger.state_root,
        })
    }

    /// Of which block the list says that it was made, and when.
    pub(crate) fn made(&self) -> Made {
        Made { height: self.height, state_root: self.state_root, issued_at: self.issued_at }
    }

    /// The block that the list names.
    #[must_use]
    pub fn as_of(&self) -> AsOf {
        let time_ms = self.issued_at.saturating_mul(1_000);
        AsOf { height: self.height, time_ms, state_root: self.state_root }
    }

    /// Whether it may be relied on at `now_ms`: made, and not past its end.
    #[must_use]
    pub fn counts_at(&self, now_ms: u64) -> bool {
        let made = self.issued_at.saturating_mul(1_000);
        made <= now_ms.saturating_add(MAX_CLOCK_LAG_MS)
            && now_ms < self.expires.saturating_mul(1_000)
    }
}

impl LedgerView {
    /// The status list, where it counts at `now_ms` and has this licence's place.
    #[must_use]
    pub fn listed_at(&self, now_ms: u64) -> Option<&StatusEvidence> {
        let (licence, agency) = (self.licence.as_ref()?, self.agency.as_ref()?);
        let own =
            |list: &&StatusEvidence| list.slot == licence.slot && list.province == agency.province;
        self.listed.as_ref().filter(own).filter(|list| list.counts_at(now_ms))
    }
}
