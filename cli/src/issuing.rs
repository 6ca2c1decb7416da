//! Getting signed credentials onto the ledger, whatever happens on the way.
//!
//! One loop serves the import, the single issue and the resumption after a kill. A transaction is
//! all or nothing, so when the ledger names an operation at fault, that one is taken out and the
//! rest is signed anew *with the same credentials*: even if the first transaction should still
//! apply, the second then cannot, because each licence has one name and one slot.

use std::{thread, time::Duration};

use symbolon_ledger::{hash::TransactionId, operation::Operation, records::slot_block};

use crate::{
    client::{NodeError, Problem, text},
    issuer::Issuer,
    journal::{Batch, Entry, Journal},
    output::{Failure, Status},
    signing::{self, Committed, NotCommitted, PATIENCE},
};

/// The refusal that another slot mends: another machine of the agency used this one.
const SLOT_USED: &str = "slot_used";
/// The refusal of a node that has not yet seen the block in which the slots were granted.
const SLOT_NOT_GRANTED: &str = "slot_not_granted";
/// How often such a node is asked again, [`CATCH_UP`] apart, before the slots count as not ours.
const MAX_CATCH_UPS: usize = 20;
/// Pause for a node to catch up.
const CATCH_UP: Duration = Duration::from_secs(1);
/// How often slots of one batch are exchanged: each time a whole block of them is left alone.
const MAX_EXCHANGES: usize = 8;

/// What to do when the node went away.
const GO_ON: &str =
    "run the same command again: it goes on where it stopped and issues nothing twice";

/// A credential, the operation that registers it, and the row it is of.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// The row's number in its file; 0 where there is none.
    pub(crate) row: usize,
    /// The credential.
    pub(crate) entry: Entry,
    /// The operation.
    pub(crate) operation: Operation,
}

impl Item {
    /// The status slot of its licence.
    fn slot(&self) -> Option<u32> {
        match &self.operation {
            Operation::Issue { licence }
            | Operation::Supersede { licence, .. }
            | Operation::TransferIn { licence, .. } => Some(licence.slot),
            _ => None,
        }
    }

    /// The block of status slots that its licence lies in.
    fn block(&self) -> Option<u32> {
        self.slot().map(|slot| slot_block(slot).0)
    }

    /// Draws no more from the block that its slot lies in: another machine of the agency does.
    ///
    /// # Errors
    ///
    /// When the list of slots cannot be kept.
    pub(crate) fn leave_block(&self, issuer: &Issuer<'_>) -> Result<(), Failure> {
        self.slot().map_or(Ok(()), |slot| issuer.forget_block_of(slot))
    }
}

/// A row that the ledger refused.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    /// The row's number.
    pub(crate) row: usize,
    /// The ledger's answer.
    pub(crate) problem: Box<Problem>,
}

/// What became of a batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    /// Licences that the ledger has, and whose credentials are written.
    pub(crate) issued: Vec<Entry>,
    /// Rows that it refused.
    pub(crate) refused: Vec<Refused>,
    /// The transactions that brought them.
    pub(crate) transactions: Vec<Committed>,
}

/// Issues `items`. `exchange` makes an item anew on another slot, or gives none to leave it out.
///
/// # Errors
///
/// When the node cannot be reached or the agency as a whole is refused. What was signed is in the
/// journal then, and [`resume`] takes it up.
pub(crate) fn issue(
    issuer: &Issuer<'_>,
    journal: &Journal,
    items: Vec<Item>,
    exchange: &dyn Fn(&Item) -> Result<Option<Item>, Failure>,
) -> Result<Report, Failure> {
    let batch = begin(issuer, journal, &items)?;
    pursue(issuer, journal, batch, items, false, exchange)
}

/// Takes up what an earlier run left behind: a report for each batch.
///
/// # Errors
///
/// As [`issue`].
pub(crate) fn resume(issuer: &Issuer<'_>, journal: &Journal) -> Result<Vec<Report>, Failure> {
    let mut reports = Vec::new();
    for batch in journal.pending()? {
        let operations = batch.transaction.payload().operations.clone();
        let items = batch.entries.iter().cloned().zip(operations);
        let items = items.map(|(entry, operation)| Item { row: 0, entry, operation }).collect();
        // A row that cannot be issued as it was signed is left to the run that follows.
        reports.push(pursue(issuer, journal, batch, items, true, &|_| Ok(None))?);
    }
    Ok(reports)
}

/// Signs the items' operations and makes them durable.
fn begin(issuer: &Issuer<'_>, journal: &Journal, items: &[Item]) -> Result<Batch, Failure> {
    let operations = items.iter().map(|i| i.operation.clone()).collect();
    let transaction = issuer.signer.sign(issuer.node, operations)?;
    let batch = Batch { transaction, entries: items.iter().map(|i| i.entry.clone()).collect() };
    journal.begin(&batch)?;
    Ok(batch)
}

/// Sends `batch` and, as long as the ledger finds fault with some of it, the rest anew. `resumed`:
/// an earlier run signed it, perhaps with a key that has ended since.
fn pursue(
    issuer: &Issuer<'_>,
    journal: &Journal,
    mut batch: Batch,
    mut items: Vec<Item>,
    mut resumed: bool,
    exchange: &dyn Fn(&Item) -> Result<Option<Item>, Failure>,
) -> Result<Report, Failure> {
    let mut report = Report::default();
    let (mut exchanges, mut catch_ups) = (0, 0);
    loop {
        let old = batch.transaction.id();
        let mut may_linger = false;
        match signing::settle(issuer.node, &batch.transaction, PATIENCE) {
            Ok(committed) => {
                journal.finish(&batch, &committed)?;
                report.issued.append(&mut batch.entries);
                report.transactions.push(committed);
                return Ok(report);
            }
            Err(NotCommitted::Expired) => {}
            Err(NotCommitted::Unsettled(failure)) => return Err(resumable(failure)),
            Err(NotCommitted::Refused(refusal)) => {
                let problem = refusal.problem;
                may_linger = refusal.may_linger;
                if problem.code == SLOT_NOT_GRANTED && catch_ups < MAX_CATCH_UPS {
                    catch_ups += 1;
                    thread::sleep(CATCH_UP);
                    continue;
                }
                match problem.operation_index.filter(|at| *at < items.len()) {
                    None if resumed => resumed = false,
                    None => {
                        if !may_linger {
                            journal.forget(&old)?;
                        }
                        return Err((*problem).into());
                    }
                    Some(at) => {
                        if let Some(entry) = already_there(issuer, journal, &items[at])? {
                            report.issued.push(entry);
                            items.remove(at);
                        } else if is_slot_fault(&problem) && exchanges < MAX_EXCHANGES {
                            exchanges += 1;
                            items = exchange_block(items, at, exchange)?;
                        } else {
                            let row = items.remove(at).row;
                            report.refused.push(Refused { row, problem });
                        }
                    }
                }
            }
        }
        if items.is_empty() {
            // What may still be tried somewhere is kept for the next run, which settles it.
            if !may_linger {
                journal.forget(&old)?;
            }
            return Ok(report);
        }
        batch = begin(issuer, journal, &items)?;
        journal.forget(&old)?;
    }
}

fn is_slot_fault(problem: &Problem) -> bool {
    [SLOT_USED, SLOT_NOT_GRANTED].contains(&problem.code.as_str())
}

/// Exchanges every item whose slot lies in the same block as that of the item `at`: one refusal
/// tells that another machine draws from it too. The transaction with the old ones can never
/// apply: a used slot stays used.
fn exchange_block(
    items: Vec<Item>,
    at: usize,
    exchange: &dyn Fn(&Item) -> Result<Option<Item>, Failure>,
) -> Result<Vec<Item>, Failure> {
    let block = items[at].block();
    let mut kept = Vec::with_capacity(items.len());
    for item in items {
        if item.block() == block {
            kept.extend(exchange(&item)?);
        } else {
            kept.push(item);
        }
    }
    Ok(kept)
}

/// Hands out the credential if the ledger has it: an earlier transaction brought this very one,
/// for its name covers every byte that was signed, and the agency's code.
fn already_there(
    issuer: &Issuer<'_>,
    journal: &Journal,
    item: &Item,
) -> Result<Option<Entry>, Failure> {
    let cid = item.entry.cid;
    let history = match issuer.node.get(&format!("/v1/licences/{cid}/history")) {
        Ok(history) => history,
        Err(NodeError::Problem(problem)) if problem.code == "unknown_licence" => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let first = history.get("items").and_then(|items| items.get(0));
    let id: Option<TransactionId> = first.and_then(|e| text(e, "transaction").parse().ok());
    let id = id.ok_or_else(|| {
        Failure::unreachable(
            "strange_answer",
            format!("{} has the licence {cid} and not its history", issuer.node.url()),
            "run the command again, or ask another node",
        )
    })?;
    let receipt = issuer.node.receipt(&id)?;
    journal.hand_out(std::slice::from_ref(&item.entry), &id, &receipt)?;
    Ok(Some(item.entry.clone()))
}

/// What is signed is in the journal, so the mending is to run the command again.
pub(crate) fn resumable(failure: Failure) -> Failure {
    if failure.status != Status::Unreachable || failure.hint.contains(GO_ON) {
        return failure;
    }
    let hint = format!("{}; then {GO_ON}", failure.hint);
    Failure { hint, ..failure }
}
