//! The commands that speak with the ledger: licences, agencies, recognition, governance, proofs.
//!
//! What they share lies above this folder: [`crate::client`] (HTTP), [`crate::signing`] (who signs,
//! and how a transaction becomes final), [`crate::issuer`] (credentials), [`crate::journal`] and
//! [`crate::issuing`] (onto the ledger without loss).

mod agency;
mod gov;
mod import;
mod issue;
mod licence;
mod load;
mod present;
mod receipt;
mod recognition;
mod shared;
mod staple;
mod status_list;
mod trust_bundle;
mod trusted;
mod verify;

use clap::Subcommand;

use crate::{args::Context, output::Outcome};

/// What can be asked of the ledger.
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    Issue(issue::IssueArgs),
    Import(import::ImportArgs),
    Supersede(issue::SupersedeArgs),
    /// Suspend an active licence
    Suspend(licence::ChangeArgs),
    /// End a licence's suspension
    Resume(licence::ReverseArgs),
    Revoke(licence::RevokeArgs),
    /// Move a licence to another agency
    #[command(subcommand)]
    Transfer(TransferCommand),
    Status(licence::StatusArgs),
    History(licence::HistoryArgs),
    Present(present::PresentArgs),
    Verify(verify::VerifyArgs),
    #[command(subcommand)]
    Receipt(receipt::ReceiptCommand),
    #[command(subcommand)]
    Proof(staple::ProofCommand),
    #[command(subcommand)]
    TrustBundle(trust_bundle::TrustBundleCommand),
    #[command(subcommand)]
    StatusList(status_list::StatusListCommand),
    #[command(subcommand)]
    Agency(agency::AgencyCommand),
    #[command(subcommand)]
    Recognition(recognition::RecognitionCommand),
    #[command(subcommand)]
    Gov(gov::GovCommand),
    Load(Box<load::LoadArgs>),
}

/// The three steps of a transfer.
#[derive(Debug, Subcommand)]
pub(crate) enum TransferCommand {
    Out(licence::TransferOutArgs),
    /// Take a release back
    Cancel(licence::ReverseArgs),
    In(issue::TransferInArgs),
}

/// Runs one command.
///
/// # Errors
///
/// As the command says.
pub(crate) fn run(command: LedgerCommand, context: &Context) -> Outcome {
    match command {
        LedgerCommand::Issue(args) => issue::issue(&args, context),
        LedgerCommand::Import(args) => import::run(&args, context),
        LedgerCommand::Supersede(args) => issue::supersede(&args, context),
        LedgerCommand::Suspend(args) => licence::suspend(&args, context),
        LedgerCommand::Resume(args) => licence::resume(&args, context),
        LedgerCommand::Revoke(args) => licence::revoke(&args, context),
        LedgerCommand::Transfer(TransferCommand::Out(args)) => {
            licence::transfer_out(&args, context)
        }
        LedgerCommand::Transfer(TransferCommand::Cancel(args)) => {
            licence::transfer_cancel(&args, context)
        }
        LedgerCommand::Transfer(TransferCommand::In(args)) => issue::transfer_in(&args, context),
        LedgerCommand::Status(args) => licence::status(&args, context),
        LedgerCommand::History(args) => licence::history(&args, context),
        LedgerCommand::Present(args) => present::run(&args, context),
        LedgerCommand::Verify(args) => verify::run(&args, context),
        LedgerCommand::Receipt(command) => receipt::run(&command, context),
        LedgerCommand::Proof(command) => staple::run(&command, context),
        LedgerCommand::TrustBundle(command) => trust_bundle::run(&command, context),
        LedgerCommand::StatusList(command) => status_list::run(&command, context),
        LedgerCommand::Agency(command) => agency::run(&command, context),
        LedgerCommand::Recognition(command) => recognition::run(&command, context),
        LedgerCommand::Gov(command) => gov::run(&command, context),
        LedgerCommand::Load(args) => load::run(&args, context),
    }
}
