//! `symbolon receipt get` and `receipt verify`: the proof that a transaction is final.
//!
//! Verifying asks no node: the receipt is held against the founding document, or against a trust
//! bundle, which the verifier has from a source of its own.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use symbolon_credential::encoding::to_base64url;
use symbolon_ledger::{hash::TransactionId, receipt::MAX_RECEIPT_BYTES};
use symbolon_verify::receipt::{self, ReceiptError};

use super::trusted::{Believed, Inclusions, dated, header_hint, is_unreached};
use crate::{
    args::Context,
    client::Node,
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
    let bytes = Node::of(context)?.receipt(&args.id)?;
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
