//! The commands, one module each. A command takes its own arguments and the [`Context`], and
//! returns an [`Outcome`]; it does not print.

pub(crate) mod completions;
pub(crate) mod devnet;
pub(crate) mod doctor;
pub(crate) mod genesis;
pub(crate) mod keys;
pub(crate) mod ledger;

use clap::Subcommand;

use crate::{args::Context, output::Outcome};

/// What the program can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make or show keys
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Found a network: its document and the ceremony that makes it
    #[command(subcommand)]
    Genesis(genesis::GenesisCommand),
    /// Run a development network on this machine
    #[command(subcommand)]
    Devnet(devnet::DevnetCommand),
    #[command(flatten)]
    Ledger(ledger::LedgerCommand),
    /// Look for what commonly goes wrong
    Doctor(doctor::DoctorArgs),
    /// Print the completions of a shell
    Completions(completions::CompletionsArgs),
}

/// Runs one command.
///
/// # Errors
///
/// As the command says.
pub(crate) fn run(command: Command, context: &Context) -> Outcome {
    match command {
        Command::Keys(command) => keys::run(command, context),
        Command::Genesis(command) => genesis::run(command, context),
        Command::Devnet(command) => devnet::run(command, context),
        Command::Ledger(command) => ledger::run(command, context),
        Command::Doctor(args) => doctor::run(&args, context),
        Command::Completions(args) => completions::run(&args),
    }
}
