//! A transaction: who says it, whether it may still be said, and all of its operations or none.
//!
//! Replay is closed by two facts that hold together: `valid_until_height` lies at most
//! [`VALIDITY_WINDOW`] heights ahead, and ids are remembered for as many blocks. The id does not
//! cover the signature, so a second signature over the same statement is the same transaction.
//!
//! A signature was checked under a public key before anything here runs ([`Verified`]); whether
//! that key is the signer's is decided here, against the state of this moment, so that the check
//! is made once and its result never goes stale. What each operation demands is in the modules
//! of the groups.

use std::sync::Arc;

use symbolon_ledger::{
    catalogue::LicenceTypeRecord,
    codes::{ProvinceCode, TypeCode, Uscc},
    hash::{ChainId, Cid},
    keys::PublicKey,
    mutants::{self, Mutant},
    operation::{Actor, KeyPurpose, Operation},
    records::{AddedBy, AgencyRecord, AgencyStatus, KeyRecord, LicenceRecord, ProvinceRecord},
    state::StateKey,
    transaction::{VALIDITY_WINDOW, Verified},
};

use crate::{
    agency,
    event::Event,
    governance, keys, licence, recognition,
    rejection::{ApplyError, Rejection, RejectionCode as Code, Stop, ensure},
    slots,
    view::{Overlay, StateFault, StateView},
};

/// Most bounded operations at one height that a province says, and that all of its agencies say
/// together, over all of their transactions.
pub const MAX_BOUNDED_OPERATIONS: u32 = 32;

/// Where execution stands. There is no time in it: no rule depends on a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockContext {
    /// The chain.
    pub chain_id: ChainId,
    /// Height of the block that is executed.
    pub height: u64,
}

/// Applies all operations of a transaction, or none: then the overlay is as before.
///
/// # Errors
///
/// [`ApplyError::Rejected`] when a rule refuses it, [`ApplyError::Fault`] when the state cannot
/// be read.
pub fn apply_transaction<V: StateView>(
    overlay: &mut Overlay<'_, V>,
    context: &BlockContext,
    transaction: &Verified,
) -> Result<Vec<Event>, ApplyError> {
    match run(overlay, context, transaction) {
        Ok(said) => {
            overlay.keep(transaction.transaction().id(), said.by, said.bounded_operations);
            Ok(said.events)
        }
        Err(error) => {
            overlay.undo();
            Err(error)
        }
    }
}

/// Whether a transaction would apply. It leaves nothing behind but the records that it has read, so
/// that the trial of the next one reads them no more.
///
/// # Errors
///
/// As [`apply_transaction`].
pub fn try_transaction<V: StateView>(
    overlay: &mut Overlay<'_, V>,
    context: &BlockContext,
    transaction: &Verified,
) -> Result<(), ApplyError> {
    let result = run(overlay, context, transaction);
    overlay.undo();
    result.map(|_| ())
}

/// The public key registered for a signer, to check a signature under before execution. Key
/// numbers are never used again, so an answer never goes stale.
///
/// # Errors
///
/// [`StateFault`] when the store cannot tell.
pub fn signer_key<V: StateView>(
    view: &V,
    actor: Actor,
    key_id: u32,
) -> Result<Option<PublicKey>, StateFault> {
    let record = view.shared::<KeyRecord>(&StateKey::Key(actor, key_id))?;
    Ok(record.map(|record| record.key))
}

/// Whether the work of one of these depends on the state or on a number in it: the bounded ones, and
/// reservations of slots. All others make little work, and the same in every state. Whoever tries
/// transactions that may not apply has to bound these, by what they did ([`Overlay::work`]).
#[must_use]
pub fn is_heavy(operations: &[Operation]) -> bool {
    let heavy = |o: &Operation| matches!(o, Operation::ReserveSlots { .. }) || busy(o).is_some();
    operations.iter().any(heavy)
}

/// What whoever says too many of these at one height is told: operations on keys, which may walk and
/// rewrite all keys of an actor, and those of governance, which may walk the provinces or a
/// province's keys, or check two signatures. They are bounded, so that the work in a block is.
fn busy(operation: &Operation) -> Option<Code> {
    use Operation as Op;
    match operation {
        Op::AddKey { .. }
        | Op::RotateKey { .. }
        | Op::RevokeKey { .. }
        | Op::MarkCompromised { .. }
        | Op::SetStatusKey { .. } => Some(Code::KeysBusy),
        Op::Propose { .. } | Op::Approve { .. } | Op::Reject { .. } | Op::Evidence { .. } => {
            Some(Code::GovernanceBusy)
        }
        _ => None,
    }
}

/// Who shares a count of bounded operations: a province alone, or all agencies of one.
///
/// An agency has none of its own, since a province registers as many as it likes; and no part in its
/// province's, so that whoever has stolen its key does not keep the province from ending that key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    Province(ProvinceCode),
    AgenciesOf(ProvinceCode),
}

/// What a transaction did that applies.
struct Said {
    by: Group,
    /// Bounded operations of the group at this height, this transaction's included.
    bounded_operations: u32,
    events: Vec<Event>,
}

/// Applies the operations one by one, up to the first that does not apply.
fn run<V: StateView>(
    overlay: &mut Overlay<'_, V>,
    context: &BlockContext,
    transaction: &Verified,
) -> Result<Said, ApplyError> {
    let payload = transaction.transaction().payload();
    let signer = admit(overlay, context, transaction).map_err(|stop| located(stop, None))?;
    let (chain_id, height) = (context.chain_id, context.height);
    let by = signer.group();
    let bounded_operations = overlay.bounded_operations(by);
    let (index, events) = (0, Vec::new());
    let mut run = Run { overlay, chain_id, height, signer, bounded_operations, index, events };
    for (index, operation) in payload.operations.iter().enumerate() {
        run.index = index;
        run.apply(operation).map_err(|stop| located(stop, Some(index)))?;
    }
    Ok(Said { by, bounded_operations: run.bounded_operations, events: run.events })
}

fn located(stop: Stop, operation_index: Option<usize>) -> ApplyError {
    match stop {
        Stop::Refused(code) => Rejection { code, operation_index }.into(),
        Stop::Fault(fault) => fault.into(),
    }
}

/// What holds for the transaction as a whole.
fn admit<V: StateView>(
    overlay: &mut Overlay<'_, V>,
    context: &BlockContext,
    transaction: &Verified,
) -> Result<Signer, Stop> {
    let payload = transaction.transaction().payload();
    ensure(payload.chain_id == context.chain_id, Code::WrongChain)?;
    // The window comes before the replay check: stores that remember longer than others must
    // not give another answer.
    let until = payload.valid_until_height;
    ensure(context.height <= until, Code::Expired)?;
    let in_window = until - context.height <= VALIDITY_WINDOW;
    ensure(in_window || mutants::is(Mutant::ReplayWindowIgnored), Code::TooFarAhead)?;
    let committed = overlay.is_committed(&transaction.transaction().id())?;
    ensure(!committed || mutants::is(Mutant::ReplayIgnored), Code::AlreadyCommitted)?;
    let who = who(overlay, payload.actor)?;
    let key: Arc<KeyRecord> =
        overlay.get(&StateKey::Key(payload.actor, payload.key_id))?.ok_or(Code::UnknownKey)?;
    let signed = key.key == *transaction.key();
    ensure(signed || mutants::is(Mutant::SignerIgnored), Code::WrongKey)?;
    ensure(key.purpose == KeyPurpose::Transaction, Code::KeyNotForTransactions)?;
    // No key lies ahead: it is valid from the block on that registers it. So what is not valid has
    // ended or is marked as compromised, and neither is ever taken back.
    let in_force = key.is_valid_at(context.height);
    ensure(in_force || mutants::is(Mutant::EndedKeysTaken), Code::KeyNotValid)?;
    if let Who::Agency(agency) = &who {
        ensure(agency.status != AgencyStatus::Suspended, Code::SignerSuspended)?;
        ensure(agency.status != AgencyStatus::Deregistered, Code::SignerDeregistered)?;
    }
    let home = match &who {
        Who::Province(code) => *code,
        Who::Agency(agency) => agency.province,
    };
    let province = overlay.must::<ProvinceRecord>(&StateKey::Province(home))?;
    ensure(province.removed_at.is_none(), Code::SignerRemoved)?;
    Ok(Signer { who, key: AddedBy { actor: payload.actor, key_id: payload.key_id } })
}

fn who<V: StateView>(overlay: &mut Overlay<'_, V>, actor: Actor) -> Result<Who, Stop> {
    match actor {
        Actor::Province(code) => {
            let province: Option<Arc<ProvinceRecord>> = overlay.get(&StateKey::Province(code))?;
            province.ok_or(Code::UnknownActor)?;
            Ok(Who::Province(code))
        }
        Actor::Agency(uscc) => {
            let agency: Arc<AgencyRecord> =
                overlay.get(&StateKey::Agency(uscc))?.ok_or(Code::UnknownActor)?;
            Ok(Who::Agency(agency))
        }
    }
}

/// Whoever signed: registered, allowed to act, and under a valid key.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    pub(crate) who: Who,
    /// The key that signed.
    pub(crate) key: AddedBy,
}

/// A signer's record. No operation of an agency changes its own number, province, scope or
/// status, so what was read before the first operation holds to the last.
#[derive(Debug, Clone)]
pub(crate) enum Who {
    Province(ProvinceCode),
    Agency(Arc<AgencyRecord>),
}

impl Signer {
    fn group(&self) -> Group {
        match &self.who {
            Who::Province(code) => Group::Province(*code),
            Who::Agency(agency) => Group::AgenciesOf(agency.province),
        }
    }

    /// The signing agency.
    pub(crate) fn agency(&self) -> Result<Arc<AgencyRecord>, Code> {
        match &self.who {
            Who::Agency(agency) => Ok(agency.clone()),
            Who::Province(_) => Err(Code::WrongActor),
        }
    }

    /// The signing province.
    pub(crate) fn province(&self) -> Result<ProvinceCode, Code> {
        match &self.who {
            Who::Province(code) => Ok(*code),
            Who::Agency(_) => Err(Code::WrongActor),
        }
    }
}

/// A transaction that is being executed.
pub(crate) struct Run<'r, 'a, V: StateView> {
    pub(crate) overlay: &'r mut Overlay<'a, V>,
    pub(crate) chain_id: ChainId,
    pub(crate) height: u64,
    pub(crate) signer: Signer,
    bounded_operations: u32,
    index: usize,
    events: Vec<Event>,
}

impl<V: StateView> Run<'_, '_, V> {
    fn apply(&mut self, operation: &Operation) -> Result<(), Stop> {
        use Operation as Op;
        if let Some(busy) = busy(operation) {
            self.bounded_operations = self.bounded_operations.saturating_add(1);
            ensure(self.bounded_operations <= MAX_BOUNDED_OPERATIONS, busy)?;
        }
        match operation {
            Op::Issue { .. }
            | Op::Supersede { .. }
            | Op::TransferIn { .. }
            | Op::Suspend { .. }
            | Op::Resume { .. }
            | Op::Revoke { .. }
            | Op::TransferOut { .. }
            | Op::CancelTransfer { .. } => return licence::apply(self, operation),
            Op::RegisterAgency { .. }
            | Op::SetScope { .. }
            | Op::SuspendAgency { .. }
            | Op::ResumeAgency { .. }
            | Op::DeregisterAgency { .. }
            | Op::AssignSuccessor { .. } => agency::apply(self, operation)?,
            Op::ReserveSlots { agency, blocks } => slots::reserve(self, agency, *blocks)?,
            Op::AddKey { .. }
            | Op::RotateKey { .. }
            | Op::RevokeKey { .. }
            | Op::MarkCompromised { .. }
            | Op::SetStatusKey { .. } => keys::apply(self, operation)?,
            Op::Recognise { .. } | Op::WithdrawRecognition { .. } => {
                recognition::apply(self, operation)?;
            }
            Op::Propose { .. } | Op::Approve { .. } | Op::Reject { .. } | Op::Evidence { .. } => {
                governance::apply(self, operation)?;
            }
        }
        self.happened(operation, None, None, None);
        Ok(())
    }

    /// Notes what an operation did.
    pub(crate) fn happened(
        &mut self,
        operation: &Operation,
        cid: Option<Cid>,
        licence_after: Option<LicenceRecord>,
        related: Option<Cid>,
    ) {
        let (operation_index, name) = (self.index, operation.name());
        self.events.push(Event { operation_index, name, cid, licence_after, related });
    }

    /// Notes that an action took effect.
    pub(crate) fn note(&mut self, name: &'static str) {
        let (operation_index, cid, licence_after, related) = (self.index, None, None, None);
        self.events.push(Event { operation_index, name, cid, licence_after, related });
    }

    /// A registered agency.
    pub(crate) fn agency(&mut self, uscc: &Uscc) -> Result<Arc<AgencyRecord>, Stop> {
        Ok(self.overlay.get(&StateKey::Agency(*uscc))?.ok_or(Code::UnknownAgency)?)
    }

    /// An agency of the signing province.
    pub(crate) fn own_agency(&mut self, uscc: &Uscc) -> Result<Arc<AgencyRecord>, Stop> {
        let province = self.signer.province()?;
        let agency = self.agency(uscc)?;
        ensure(agency.province == province, Code::NotItsProvince)?;
        Ok(agency)
    }

    /// The agency itself when it signs, or an agency of the signing province.
    pub(crate) fn itself_or_own_agency(&mut self, uscc: &Uscc) -> Result<Arc<AgencyRecord>, Stop> {
        match &self.signer.who {
            Who::Province(_) => self.own_agency(uscc),
            Who::Agency(signer) => {
                ensure(signer.uscc == *uscc, Code::WrongActor)?;
                self.agency(uscc)
            }
        }
    }

    /// A type of the catalogue.
    pub(crate) fn licence_type(&mut self, code: &TypeCode) -> Result<Arc<LicenceTypeRecord>, Stop> {
        Ok(self.overlay.get(&StateKey::LicenceType(code.clone()))?.ok_or(Code::UnknownType)?)
    }
}
