//! `symbolon`: the command line of agencies, citizens and operators.
//!
//! This file only reads the arguments, runs one command and ends with its exit status. What a
//! command is given is in [`args`], what it may answer in [`output`], the commands themselves in
//! [`commands`]. The node is another program (`symbolon-node`): nothing here touches a database or
//! the peer-to-peer network.

mod args;

mod output;

mod commands;

mod devnet_file;

mod keyfile;

mod passphrase;

mod private_file;

mod clock;

mod files;

mod targets;

mod entropy;

mod client;

mod signing;

mod slots;

mod issuer;

mod journal;

mod issuing;

mod qr;

use std::process::ExitCode;

use clap::{Parser as _, error::ErrorKind};
use nix::sys::resource::{Resource, setrlimit};

use crate::{
    args::{Cli, Context},
    output::{Failure, Output},
};

fn main() -> ExitCode {
    // Private keys come into this process's memory: no core file of it is written. Lowering a
    // limit is always allowed; where there is no such limit, there are no core files either.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    match Cli::try_parse() {
        Ok(cli) => {
            let context = Context { output: Output::new(cli.global.json), global: cli.global };
            let outcome = commands::run(cli.command, &context);
            context.output.finish(outcome)
        }
        Err(error) => wrong_usage(&error),
    }
}

/// Help and version are answers; everything else that clap refuses is a usage error.
fn wrong_usage(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Output::new(false).printed(error.print());
    }
    let json = std::env::args_os().any(|argument| argument == "--json");
    let text = error.to_string();
    let message = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
    let hint = "`symbolon help COMMAND` lists what a command takes";
    Output::new(json).finish(Err(Failure::usage("usage", message, hint)))
}
