//! `symbolon receipt get` and `receipt verify`: the proof that a transaction is final.
//!
//! Verifying asks no node: the receipt is held against the founding document, or against a trust
//! bundle, which the verifier has from a source of its own.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use symbolon_credential::encoding::to_base64url;
use symbolon_ledger::{hash::TransactionId, receipt::MAX_RECEIPT_BYTES};
use symbolon_verify::receipt::{self, ReceiptError};

use super::trusted::{Believed, Inclusions, dated, header_hint, is_unreached};
use crate::{
    args::Context,
    client::{Node, NodeError, shown, text},
    files,
    output::{Answer, Failure, Outcome, Status},
    targets::{self, Kind},
};

/// What to do about a receipt that is none.
const ASK_AGAIN: &str = "ask for it again with `symbolon receipt get`";

/// Receipts: proofs that transactions are final
#[derive(Debug, Subcommand)]
pub(crate) enum ReceiptCommand {
    /// Ask a node for a transaction's receipt
    Get(GetArgs),
    /// Check a receipt without any node
    Verify(VerifyArgs),
}

/// What to ask for.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The transaction
    #[arg(value_name = "TRANSACTION", value_parser = parse_id)]
    id: TransactionId,
    /// Where the receipt is written
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What to check.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The receipt
    file: PathBuf,
    #[command(flatten)]
    believed: Believed,
    /// The inclusion of its block under the pinned one, for a receipt from below the pin
    #[arg(long, value_name = "FILE", requires = "trust")]
    inclusion: Option<PathBuf>,
}

fn parse_id(text: &str) -> Result<TransactionId, String> {
    text.parse().map_err(|e: symbolon_ledger::hash::NotADigest| e.to_string())
}

/// Runs the command.
pub(super) fn run(command: &ReceiptCommand, context: &Context) -> Outcome {
    match command {
        ReceiptCommand::Get(args) => get(args, context),
        ReceiptCommand::Verify(args) => verify(args),
    }
}

fn get(args: &GetArgs, context: &Context) -> Outcome {
    let node = Node::of(context)?;
    let bytes = node.receipt(&args.id).map_err(|error| not_there(&node, &args.id, error))?;
    let receipt = to_base64url(&bytes);
    let text = match &args.out {
        None => receipt.clone(),
        Some(path) => {
            targets::write(path, &bytes, Kind::Receipt)?;
            format!("{} bytes written to {}", bytes.len(), path.display())
        }
    };
    let answer = json!({"id": args.id.to_string(), "receipt": receipt, "file": args.out});
    Ok(Answer::new(text, answer))
}

/// Why there is no receipt: where the transaction stands, as the node sees it.
fn not_there(node: &Node, id: &TransactionId, error: NodeError) -> Failure {
    let failure = Failure::from(error);
    if !["not_committed", "unknown_transaction"].contains(&failure.code.as_str()) {
        return failure;
    }
    match node.transaction(id) {
        Ok(standing) => standing_in_words(&standing, failure),
        Err(_) => failure,
    }
}

fn standing_in_words(standing: &Value, failure: Failure) -> Failure {
    const WAIT: &str = "ask again after the next block; `symbolon doctor` says whether any is made";
    let height = |name: &str| standing[name].as_u64().unwrap_or_default();
    let (tip, known_from) = (height("tip"), height("known_from"));
    let last = &standing["last_failure"];
    let refusal = |of: &Value| shown(text(of, "code")).replace('_', " ");
    let (message, hint) = match text(standing, "state") {
        "pending" if last.is_null() => {
            (format!("the transaction waits, and is in no block up to height {tip}"), WAIT)
        }
        "pending" => (
            format!("the transaction waits, since the ledger refuses it now: {}", refusal(last)),
            text(last, "hint"),
        ),
        "rejected" => (
            format!("the transaction was refused, and this node dropped it: {}", refusal(standing)),
            text(standing, "hint"),
        ),
        "expired" => (
            "this node says that the transaction was not committed while it was valid, and never will be"
                .to_owned(),
            "where another node says so too, nothing of it happened: run its command again",
        ),
        "unknown" => (
            format!("the node knows no such transaction of the heights {known_from} to {tip}"),
            "ask the node to which it was submitted; what was refused at once is known nowhere",
        ),
        _ => return failure,
    };
    Failure { message, hint: shown(hint), ..failure }
}

fn refused(message: String, hint: impl Into<String>) -> Failure {
    Failure::refused("bad_receipt", message, hint)
}

fn verify(args: &VerifyArgs) -> Outcome {
    let trust = args.believed.trust()?;
    let bytes = files::read(&args.file, MAX_RECEIPT_BYTES as u64, "the receipt")?;
    let inclusions = Inclusions::read(args.inclusion.as_slice())?;
    let checked = receipt::check_included(&bytes, &trust, inclusions.first()).map_err(|e| {
        let name = args.file.display();
        match &e {
            ReceiptError::Header(error) if is_unreached(error) => {
                let message = format!("{name} cannot be checked yet: {e}");
                Failure::new(Status::Undetermined, "more_needed", message, header_hint(error))
            }
            ReceiptError::Header(error) => {
                refused(format!("{name} proves nothing: {e}"), header_hint(error))
            }
            _ => refused(format!("{name} proves nothing: {e}"), ASK_AGAIN),
        }
    })?;
    let header = checked.header().header();
    let (id, chain_id) = (checked.transaction(), trust.chain_id());
    let answer = json!({
        "valid": true,
        "transaction": id.to_string(),
        "height": header.height,
        "index": checked.index(),
        "block": checked.header().hash().to_string(),
        "chain_id": chain_id.to_string(),
        "time_ms": header.time_ms,
        "pinned_height": trust.pin().header().height,
    });
    let text = format!(
        "the receipt holds\ntransaction {id}\nis number {} of the block of {}, which the provinces of chain {chain_id} made final",
        checked.index(),
        dated(header.height, header.time_ms),
    );
    Ok(Answer::new(text, answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_without_a_receipt_is_told_by_where_it_stands() {
        let check = |standing: Value, message: &str, hint: &str| {
            let failure = Failure::refused("not_committed", "as the node says", "x");
            let told = standing_in_words(&standing, failure);
            assert_eq!(told.code, "not_committed");
            assert!(told.message.contains(message), "{standing}: {}", told.message);
            assert!(told.hint.contains(hint), "{standing}: {}", told.hint);
        };
        let refused = json!({"code": "slot_used", "hint": "take another"});
        check(json!({"state": "pending", "tip": 7}), "in no block up to height 7", "doctor");
        check(json!({"state": "pending", "last_failure": refused}), "slot used", "take another");
        let dropped = json!({"state": "rejected", "code": "slot_used", "hint": "take another"});
        check(dropped, "dropped it: slot used", "take another");
        check(json!({"state": "expired"}), "never will be", "run its command again");
        check(json!({"state": "unknown", "tip": 7, "known_from": 3}), "heights 3 to 7", "ask");
        check(json!({"state": "committed"}), "as the node says", "x");
    }
}
