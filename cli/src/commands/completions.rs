//! `symbolon completions`: what a shell needs to complete this program's commands and flags.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use serde_json::json;

use crate::{
    args::Cli,
    output::{Answer, Failure, Outcome},
};

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Makes the script.
///
/// # Errors
///
/// Never in practice: the script is text.
pub(crate) fn run(args: &CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "symbolon", &mut script);
    let script = String::from_utf8(script).map_err(|e| {
        Failure::refused("no_script", format!("the script is not text: {e}"), "try another shell")
    })?;
    let json = json!({"shell": args.shell.to_string(), "script": script});
    Ok(Answer::new(script.trim_end(), json))
}
