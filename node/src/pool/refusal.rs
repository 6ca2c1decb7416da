//! Why a transaction is not taken, in words for its submitter.
//!
//! When it is refused is [`super::Pool`]'s to decide, but for what a transaction's own window
//! says.

use symbolon_contracts::{Rejection, RejectionCode};
use symbolon_ledger::{
    hash::TransactionId,
    operation::Actor,
    transaction::{SignedTransaction, TransactionError, VALIDITY_WINDOW},
};

use crate::storage::View;

/// The kind of a refusal, for the status of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubmitErrorKind {
    /// The bytes are wrong.
    Malformed,
    /// The bytes are right and what they say cannot be done.
    Rejected,
    /// No room: try again later.
    Full,
    /// The node has a fault.
    Fault,
}

/// Why a transaction was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitError {
    /// Stable code.
    pub code: &'static str,
    /// What is wrong.
    pub detail: String,
    /// How to mend it.
    pub hint: String,
    /// The operation that does not apply.
    pub operation_index: Option<usize>,
    /// The transaction, when it could be read.
    pub id: Option<TransactionId>,
    /// Its kind.
    pub kind: SubmitErrorKind,
}

pub(super) fn check_window(
    view: &View<'_>,
    transaction: &SignedTransaction,
) -> Result<(), SubmitError> {
    let payload = transaction.payload();
    let refuse = |code: RejectionCode, detail: String| {
        Err(SubmitError {
            code: code.name(),
            detail,
            hint: code.hint().into(),
            operation_index: None,
            id: Some(transaction.id()),
            kind: SubmitErrorKind::Rejected,
        })
    };
    if payload.chain_id != view.chain_id() {
        let detail =
            format!("it is meant for chain {}, this is {}", payload.chain_id, view.chain_id());
        return refuse(RejectionCode::WrongChain, detail);
    }
    let (height, until) = (view.tip().height + 1, payload.valid_until_height);
    if until < height {
        let detail = format!("it was valid until height {until}, the next block is {height}");
        return refuse(RejectionCode::Expired, detail);
    }
    if until - height > VALIDITY_WINDOW {
        let latest = height.saturating_add(VALIDITY_WINDOW);
        let detail = format!("it is valid until height {until}, the latest now is {latest}");
        return refuse(RejectionCode::TooFarAhead, detail);
    }
    Ok(())
}

pub(super) fn malformed(error: &TransactionError) -> SubmitError {
    SubmitError {
        code: "malformed_transaction",
        detail: error.to_string(),
        hint: "see docs/spec/transaction.md for the one encoding that is accepted".into(),
        operation_index: None,
        id: None,
        kind: SubmitErrorKind::Malformed,
    }
}

pub(super) fn rejected(id: TransactionId, why: &Rejection) -> SubmitError {
    SubmitError {
        code: why.code.name(),
        detail: why.to_string(),
        hint: why.code.hint().into(),
        operation_index: why.operation_index,
        id: Some(id),
        kind: SubmitErrorKind::Rejected,
    }
}

pub(super) fn tried_enough(id: TransactionId, actor: Actor) -> SubmitError {
    SubmitError {
        code: "pool_full",
        detail: format!(
            "{actor}, or its province, had as many keys and slots looked through since the last block as a node does for one"
        ),
        hint: "submit the same bytes again after the next block".into(),
        operation_index: None,
        id: Some(id),
        kind: SubmitErrorKind::Full,
    }
}
