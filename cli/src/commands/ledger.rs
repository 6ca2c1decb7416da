//! The commands that speak with the ledger: licences, agencies, recognition, proofs.

use clap::Subcommand;

use crate::{args::Context, output::Outcome};

/// What can be asked of the ledger.
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {}

/// Runs one command.
///
/// # Errors
///
/// As the command says.
pub(crate) fn run(command: LedgerCommand, _: &Context) -> Outcome {
    match command {}
}
