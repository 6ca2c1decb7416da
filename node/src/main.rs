//! `symbolon-node`: runs a province's node, or looks at its chain.

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand, error::ErrorKind};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use symbolon_node::{
    backup::command::BackupArgs,
    check::{self, AnyError as Failure},
    config, engine,
    failure::Failed,
    key_files,
    log::OneLine,
    node,
    sign_state::handover::SignStateArgs,
    storage::Store,
    verify_chain,
};
use tracing_subscriber::EnvFilter;

/// Files that a node may want open at once: those of its database (512), its callers (1,024), the
/// connections of its peers and those that knock (768), and some to spare. `symbolon doctor` looks
/// for as many.
const FILES: u64 = 4_096;

/// What the log says when there are fewer.
const FEW_FILES: &str = "few files may be open at once: callers can take them all, and a database that cannot open one stops the node; raise the limit (ulimit -n 4096, or LimitNOFILE=4096 of systemd)";

/// What is logged unless `SYMBOLON_LOG` says otherwise. The consensus core tells every vote at
/// `info`.
const DEFAULT_LOG: &str =
    "info,arc_malachitebft_core_consensus=warn,arc_malachitebft_core_driver=warn";

/// A node of the Symbolon licence ledger.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the node until it is told to stop (SIGTERM or Ctrl-C).
    Run {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// Listen on addresses other than loopback without TLS, behind a proxy that has it.
        #[arg(long)]
        insecure_public: bool,
    },
    /// Read the configuration and all files that it names, and say what is wrong with them.
    CheckConfig {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// As for `run`: allow addresses other than loopback without TLS.
        #[arg(long)]
        insecure_public: bool,
    },
    /// Execute the whole chain again from genesis and compare every root. The node must be
    /// stopped.
    VerifyChain {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// Print one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make, check or bring back a backup of the chain.
    Backup(BackupArgs),
    /// Make, show, hand over or take over what the validator's key has signed last.
    SignState(SignStateArgs),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return wrong_usage(&error),
    };
    // Private keys are in this process's memory: no core file of it is written, whatever limits
    // it was started with.
    if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        say_error(&format!("core files cannot be turned off: {error}"));
        return ExitCode::FAILURE;
    }
    let filter =
        EnvFilter::try_from_env("SYMBOLON_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT_LOG));
    let has_colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(has_colours)
        .with_writer(move || OneLine::new(std::io::stderr(), has_colours))
        .init();
    engine::abort_on_panic();
    let result = match arguments.command {
        Command::Run { config, insecure_public } => run(&config, insecure_public),
        Command::CheckConfig { config, insecure_public } => {
            return check_config(&config, insecure_public);
        }
        Command::VerifyChain { config, json } => verify(&config, json),
        Command::Backup(args) => args.run().map_err(Failure::from).and_then(|text| say(&text)),
        Command::SignState(args) => sign_state(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&Failed::of(&*error)),
    }
}

/// Says why the command failed: on standard error for people, and with `--json` in one line for
/// programs.
fn fail(failed: &Failed) -> ExitCode {
    if wants_json() {
        // Its status stays, and what went wrong is said on the other stream.
        let _ = say(&failed.json());
    }
    say_error(&failed.text);
    ExitCode::from(failed.status)
}

fn wants_json() -> bool {
    std::env::args_os().any(|argument| argument == "--json")
}

/// Help and version are answers; everything else that clap refuses is a usage error.
fn wrong_usage(error: &clap::Error) -> ExitCode {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if !asked && wants_json() {
        let text = error.to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        let _ = say(&Failed::usage(text).json());
    }
    // Nobody can be told where that fails.
    let _ = error.print();
    if asked { ExitCode::SUCCESS } else { ExitCode::from(Failed::USAGE) }
}

fn run(path: &std::path::Path, insecure_public: bool) -> Result<(), Failure> {
    allow_files();
    let loaded = config::load(path)?;
    match node::run(loaded, insecure_public, told_to_stop())? {
        node::Ended::Told => Ok(()),
        node::Ended::Joined => Err(start_again().into()),
    }
}

/// Has the system let this process open as many files as it may want, where it may: systems begin
/// with fewer than they permit.
fn allow_files() {
    let files = Resource::RLIMIT_NOFILE;
    let allowed = getrlimit(files).and_then(|(soft, hard)| {
        let wanted = FILES.min(hard);
        if soft < wanted {
            setrlimit(files, wanted, hard)?;
        }
        Ok(soft.max(wanted))
    });
    match allowed {
        Ok(allowed) if allowed >= FILES => {}
        Ok(allowed) => tracing::warn!(allowed, "{FEW_FILES}"),
        Err(error) => tracing::warn!(%error, "{FEW_FILES}"),
    }
}

/// Becomes the same program anew: nothing of the chain that this process has in memory, or has
/// open, may outlive it. Comes back only when that is not possible.
fn start_again() -> String {
    use std::os::unix::process::CommandExt as _;
    let error = match again() {
        Ok(mut again) => again.exec(),
        Err(error) => error,
    };
    format!("joined by snapshot, and cannot start again by itself: {error}; start the node again")
}

/// The same command line, with the passphrase of the keys if that was given once.
fn again() -> std::io::Result<std::process::Command> {
    let mut again = std::process::Command::new(std::env::current_exe()?);
    again.args(std::env::args_os().skip(1));
    key_files::hand_on(&mut again)?;
    Ok(again)
}

/// Resolves when the process is told to stop.
async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Says all that is wrong. What would only be a warning is told once nothing else is in the way.
fn check_config(path: &std::path::Path, insecure_public: bool) -> ExitCode {
    let findings = check::check(path, insecure_public, node::unix_ms());
    let failed: Vec<Failed> = findings.errors.iter().map(|error| Failed::of(&**error)).collect();
    if let Some(status) = failed.iter().map(|failed| failed.status).max() {
        failed.iter().for_each(|failed| say_error(&failed.text));
        return ExitCode::from(status);
    }
    findings.warnings.iter().for_each(|warning| say_warning(warning));
    let chain = findings.chain.map(|chain| format!(", chain {chain}")).unwrap_or_default();
    match say(&format!("{}: ok{chain}", path.display())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&Failed::of(&*error)),
    }
}

fn verify(path: &std::path::Path, json: bool) -> Result<(), Failure> {
    let loaded = config::load(path)?;
    let store = Store::open_existing(&loaded.config.data_dir, &loaded.genesis)?;
    let report = verify_chain::verify_chain(&store, &loaded.genesis, |_, _| {})?;
    let verify_chain::Report { base, height, transactions, records, state_root } = report;
    say(&if json {
        serde_json::json!({
            "base": base,
            "height": height,
            "transactions": transactions,
            "records": records,
            "state_root": state_root.to_string(),
        })
        .to_string()
    } else if base > 0 {
        format!(
            "the snapshot of block {base} and all blocks from there to {height} hold: {transactions} transactions executed again, {records} records compared, state root {state_root}"
        )
    } else {
        format!(
            "all {height} blocks hold: {transactions} transactions executed again, {records} records compared, state root {state_root}"
        )
    })
}

fn sign_state(args: &SignStateArgs) -> Result<(), Failure> {
    let loaded = config::load(args.config())?;
    let none = "an observer never votes and has no sign state; use the validator's configuration";
    let (path, owner) = loaded.sign_state().ok_or(none)?;
    say(&args.run(&path, owner, &loaded.config.data_dir)?)
}

/// The answer of a command. A closed pipe is the reader's choice, and no error.
fn say(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("the answer cannot be written to standard output: {error}").into())
        }
        _ => Ok(()),
    }
}

#[expect(clippy::print_stderr, reason = "what a person should look at, beside the answer")]
fn say_warning(text: &str) {
    eprintln!("warning: {text}");
}

#[expect(clippy::print_stderr, reason = "the one line that says why the command failed")]
fn say_error(text: &str) {
    eprintln!("error: {text}");
}
