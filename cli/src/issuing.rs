//! Getting signed credentials onto the ledger, whatever happens on the way.
//!
//! One loop serves the import, the single issue and the resumption after a kill. A transaction is
//! all or nothing, so when the ledger names an operation at fault, that one is taken out and the
//! rest is signed anew *with the same credentials*: even if the first transaction should still
//! apply, the second then cannot, because each licence has one name and one slot.

use serde_json::Value;
use symbolon_ledger::{
    hash::{Cid, TransactionId},
    operation::Operation,
};

use crate::{
    client::{Problem, text},
    issuer::Issuer,
    journal::{Batch, Entry, Journal},
    output::Failure,
    signing::{self, Committed, NotCommitted, PATIENCE},
};

/// The refusal that says: the ledger has this licence already.
const EXISTS: &str = "licence_exists";
/// The refusals that another slot mends.
const SLOT_FAULTS: [&str; 2] = ["slot_used", "slot_not_reserved"];
/// How many slots of one batch are exchanged before the machine's list of slots counts as wrong.
const MAX_EXCHANGES: usize = 64;

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

/// A row that the ledger refused.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    /// The row's number.
    pub(crate) row: usize,
    /// The ledger's answer.
    pub(crate) problem: Problem,
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
    pursue(issuer, journal, batch, items, exchange)
}

/// Takes up what an earlier run left behind.
///
/// # Errors
///
/// As [`issue`].
pub(crate) fn resume(issuer: &Issuer<'_>, journal: &Journal) -> Result<Report, Failure> {
    let mut all = Report::default();
    for batch in journal.pending()? {
        let operations = batch.transaction.payload().operations.clone();
        let items = batch.entries.iter().cloned().zip(operations);
        let items = items.map(|(entry, operation)| Item { row: 0, entry, operation }).collect();
        // A row that cannot be issued as it was signed is left to the run that follows.
        let report = pursue(issuer, journal, batch, items, &|_| Ok(None))?;
        all.issued.extend(report.issued);
        all.transactions.extend(report.transactions);
    }
    Ok(all)
}

/// Signs the items' operations and makes them durable.
fn begin(issuer: &Issuer<'_>, journal: &Journal, items: &[Item]) -> Result<Batch, Failure> {
    let operations = items.iter().map(|i| i.operation.clone()).collect();
    let transaction = issuer.signer.sign(issuer.node, operations)?;
    let batch = Batch { transaction, entries: items.iter().map(|i| i.entry.clone()).collect() };
    journal.begin(&batch)?;
    Ok(batch)
}

fn pursue(
    issuer: &Issuer<'_>,
    journal: &Journal,
    mut batch: Batch,
    mut items: Vec<Item>,
    exchange: &dyn Fn(&Item) -> Result<Option<Item>, Failure>,
) -> Result<Report, Failure> {
    let mut report = Report::default();
    let mut exchanges = 0;
    loop {
        match signing::settle(issuer.node, &batch.transaction, PATIENCE) {
            Ok(committed) => {
                journal.finish(&batch, &committed)?;
                report.issued.append(&mut batch.entries);
                report.transactions.push(committed);
                return Ok(report);
            }
            Err(NotCommitted::Expired) => {}
            Err(NotCommitted::Unsettled(failure)) => return Err(resumable(failure)),
            Err(NotCommitted::Refused(problem)) => {
                let Some(at) = problem.operation_index.filter(|at| *at < items.len()) else {
                    return Err(problem.into());
                };
                let fault = items.remove(at);
                if problem.code == EXISTS {
                    report.issued.push(already_there(issuer, journal, &fault)?);
                } else if SLOT_FAULTS.contains(&problem.code.as_str()) && exchanges < MAX_EXCHANGES
                {
                    exchanges += 1;
                    items.extend(exchange(&fault)?);
                } else {
                    report.refused.push(Refused { row: fault.row, problem });
                }
            }
        }
        let old = batch.transaction.id();
        if items.is_empty() {
            journal.forget(&old)?;
            return Ok(report);
        }
        batch = begin(issuer, journal, &items)?;
        journal.forget(&old)?;
    }
}

/// An earlier transaction brought this very credential: its name covers every byte that was
/// signed, and the agency's code.
fn already_there(issuer: &Issuer<'_>, journal: &Journal, item: &Item) -> Result<Entry, Failure> {
    let cid: Cid = item.entry.cid;
    let history = issuer.node.get(&format!("/v1/licences/{cid}/history"))?;
    let first = history.get("items").and_then(|items| items.get(0));
    let id: Option<TransactionId> =
        first.map(|e: &Value| text(e, "transaction")).and_then(|id| id.parse().ok());
    let id = id.ok_or_else(|| {
        Failure::unreachable(
            "strange_answer",
            format!("{} has the licence {cid} and not its history", issuer.node.url()),
            "run the command again, or ask another node",
        )
    })?;
    journal.hand_out(std::slice::from_ref(&item.entry), &id)?;
    Ok(item.entry.clone())
}

/// What is signed is in the journal, so the mending is to run the command again.
fn resumable(failure: Failure) -> Failure {
    let hint = format!(
        "{}; then run the same command again: it goes on where it stopped and issues nothing twice",
        failure.hint
    );
    Failure { hint, ..failure }
}
