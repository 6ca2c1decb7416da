//! `symbolon receipt get` and `receipt verify`: the proof that a transaction is final.
//!
//! Verifying asks no node: the receipt is held against the founding document, which the verifier
//! has from a source of its own.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use symbolon_credential::encoding::to_base64url;
use symbolon_genesis::Genesis;
use symbolon_ledger::{hash::TransactionId, receipt::MAX_RECEIPT_BYTES};
use symbolon_verify::{receipt, trust::Trust};

use crate::{
    args::Context,
    client::Node,
    files,
    output::{Answer, Failure, Outcome},
};

/// Most bytes of a founding document.
const MAX_GENESIS_BYTES: u64 = 4 * 1024 * 1024;

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
    /// The founding document of the chain, from a source that you trust
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
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
            files::write(path, &bytes)?;
            format!("{} bytes written to {}", bytes.len(), path.display())
        }
    };
    let answer = json!({"id": args.id.to_string(), "receipt": receipt, "file": args.out});
    Ok(Answer::new(text, answer))
}

fn verify(args: &VerifyArgs) -> Outcome {
    let trust = read_trust(&args.genesis)?;
    let bytes = files::read(&args.file, MAX_RECEIPT_BYTES as u64, "the receipt")?;
    let checked = receipt::check(&bytes, &trust).map_err(|e| {
        Failure::refused(
            "bad_receipt",
            format!("{} proves nothing: {e}", args.file.display()),
            "ask for it again with `symbolon receipt get`; check that the founding document is of the same chain",
        )
    })?;
    let header = checked.header().header();
    let (id, height) = (checked.transaction(), header.height);
    let answer = json!({
        "valid": true,
        "transaction": id.to_string(),
        "height": height,
        "index": checked.index(),
        "block": checked.header().hash().to_string(),
        "chain_id": trust.chain_id.to_string(),
        "time_ms": header.time_ms,
    });
    let text = format!(
        "the receipt holds\ntransaction {id}\nis number {} of block {height}, which the provinces of chain {} made final",
        checked.index(),
        trust.chain_id
    );
    Ok(Answer::new(text, answer))
}

/// What the founding document vouches for.
///
/// # Errors
///
/// When it cannot be read.
pub(super) fn read_trust(path: &Path) -> Result<Trust, Failure> {
    let text = files::read_text(path, MAX_GENESIS_BYTES, "the founding document")?;
    let refuse = |what: String| {
        Failure::usage(
            "bad_genesis",
            format!("{} is no founding document: {what}", path.display()),
            "`symbolon genesis check` lists everything that is wrong with it",
        )
    };
    let genesis = Genesis::parse(&text).map_err(|problems| {
        refuse(problems.first().map(ToString::to_string).unwrap_or_default())
    })?;
    let root = genesis.state_root().map_err(|e| refuse(e.to_string()))?;
    Ok(Trust {
        chain_id: genesis.chain_id(),
        genesis: genesis.block_zero(root).hash(),
        validators: genesis.validator_set(),
    })
}
