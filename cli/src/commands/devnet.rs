//! `symbolon devnet`: a network of several provinces on this machine.
//!
//! Every node is a `symbolon-node` process with a folder of its own; this program writes their
//! keys and configuration, starts them, waits until each says that it is ready, and stops them.
//! What lies where is in [`layout`], the processes in [`process`], the ports in [`ports`].

mod layout;
mod ports;
mod process;
mod up;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use nix::sys::signal::Signal;
use serde_json::json;

use self::layout::Layout;
use crate::{
    args::Context,
    devnet_file::DevnetFile,
    files,
    output::{Answer, Failure, Outcome},
};

/// Start, stop and shake a network of several provinces.
#[derive(Debug, Subcommand)]
pub(crate) enum DevnetCommand {
    /// Start a network, or go on with the one in --dir; Ctrl-C stops it
    Up(up::UpArgs),
    /// Stop the nodes of a network; its data stay
    Down(DirArgs),
    /// Stop the nodes of a network and remove its data
    Reset(DirArgs),
    /// Start one node that was stopped or killed: --node NUMBER
    Start(DirArgs),
    /// Stop one node: --node NUMBER
    StopNode(DirArgs),
    /// Kill one node without a warning (SIGKILL): --node NUMBER
    Kill(DirArgs),
}

/// Names a network.
#[derive(Debug, Args)]
pub(crate) struct DirArgs {
    /// The network's folder; --devnet does as well
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl DirArgs {
    fn layout(&self, context: &Context) -> Result<Layout, Failure> {
        let dir = self.dir.as_ref().or(context.global.devnet.as_ref()).ok_or_else(|| {
            Failure::usage("no_dir", "no network was named", "give its folder: --dir DIR")
        })?;
        Layout::existing(dir)
    }
}

/// Runs one command.
///
/// # Errors
///
/// When a network cannot be found, started or stopped.
pub(crate) fn run(command: DevnetCommand, context: &Context) -> Outcome {
    match command {
        DevnetCommand::Up(args) => up::run(&args, context),
        DevnetCommand::Down(args) => down(&args.layout(context)?, context),
        DevnetCommand::Reset(args) => reset(&args.layout(context)?, context),
        DevnetCommand::Start(args) => start(&args.layout(context)?, context),
        DevnetCommand::StopNode(args) => {
            stop_node(&args.layout(context)?, context, Signal::SIGTERM)
        }
        DevnetCommand::Kill(args) => stop_node(&args.layout(context)?, context, Signal::SIGKILL),
    }
}

fn down(layout: &Layout, context: &Context) -> Outcome {
    let _lock = layout.lock(&|| false)?;
    let stopped = stop_all(layout, context)?;
    layout.note_stopped()?;
    let text = match stopped.len() {
        0 => "no node of this network was running".to_owned(),
        count => format!("stopped {count} nodes; their data stay in {}", layout.dir().display()),
    };
    Ok(Answer::new(text, json!({"stopped": stopped, "dir": layout.dir()})))
}

/// Stops every node of a network; gives their numbers.
fn stop_all(layout: &Layout, context: &Context) -> Result<Vec<usize>, Failure> {
    let running: Vec<(usize, u32)> = layout.running();
    for (_, pid) in &running {
        process::signal(*pid, Signal::SIGTERM);
    }
    for (number, pid) in &running {
        if !process::wait_for_end(layout, *number, *pid) {
            context.output.note(format!("node {number} did not stop when asked; killing it"));
            process::signal(*pid, Signal::SIGKILL);
            if !process::wait_for_end(layout, *number, *pid) {
                return Err(Failure::refused(
                    "cannot_stop",
                    format!("node {number} (process {pid}) cannot be stopped"),
                    "it may wait for a broken disk; look at its log",
                ));
            }
        }
    }
    Ok(running.into_iter().map(|(number, _)| number).collect())
}

fn reset(layout: &Layout, context: &Context) -> Outcome {
    let _lock = layout.lock(&|| false)?;
    stop_all(layout, context)?;
    let removed = layout.remove()?;
    let text = format!("removed the network in {}", layout.dir().display());
    Ok(Answer::new(text, json!({"removed": removed, "dir": layout.dir()})))
}

fn start(layout: &Layout, context: &Context) -> Outcome {
    let _lock = layout.lock(&|| false)?;
    let (number, mut network) = chosen(layout, context)?;
    let node = &mut network.nodes[number - 1];
    if let Some(pid) = layout.pid_of(number) {
        let text = format!("node {number} runs already (process {pid})");
        return Ok(Answer::new(text, json!({"node": number, "pid": pid, "started": false})));
    }
    ports::refuse_taken(&ports::of_node(node)?, "stop that process, or use another --base-port")?;
    let program = process::program()?;
    node.pid = process::spawn(&program, layout, number)?;
    let (pid, http) = (node.pid, node.http.clone());
    let waiting = [(number, node.admin.clone(), pid)];
    let result = process::wait_until_ready(layout, &waiting, &|| false);
    network.write(layout.dir())?;
    result?;
    let text = format!("node {number} runs again at {http} (process {pid})");
    Ok(Answer::new(text, json!({"node": number, "pid": pid, "started": true})))
}

fn stop_node(layout: &Layout, context: &Context, signal: Signal) -> Outcome {
    let _lock = layout.lock(&|| false)?;
    let (number, _) = chosen(layout, context)?;
    let Some(pid) = layout.pid_of(number) else {
        let text = format!("node {number} does not run");
        return Ok(Answer::new(text, json!({"node": number, "stopped": false})));
    };
    process::signal(pid, signal);
    if !process::wait_for_end(layout, number, pid) {
        return Err(Failure::refused(
            "cannot_stop",
            format!("node {number} (process {pid}) did not stop"),
            format!(
                "symbolon devnet kill --dir {} --node {number}",
                files::in_command(layout.dir())
            ),
        ));
    }
    let word = if signal == Signal::SIGKILL { "killed" } else { "stopped" };
    let text = format!("{word} node {number} (process {pid})");
    Ok(Answer::new(text, json!({"node": number, "pid": pid, "stopped": true})))
}

/// The node that `--node` names by its number, and the network in which it is.
fn chosen(layout: &Layout, context: &Context) -> Result<(usize, DevnetFile), Failure> {
    let network = DevnetFile::read(layout.dir())?;
    let count = network.nodes.len();
    let number = context.global.node.as_deref().and_then(|text| text.parse::<usize>().ok());
    match number {
        Some(number) if (1..=count).contains(&number) => Ok((number, network)),
        _ => Err(Failure::usage(
            "no_such_node",
            "this command needs the number of a node",
            format!("give --node with a number from 1 to {count}"),
        )),
    }
}

/// What a person may try next, with the folder of the network.
fn to_try(dir: &Path) -> String {
    let dir = files::in_command(dir);
    format!(
        "try:\n  symbolon import data/driving-licences.csv --type local:driving-licence --out licences \
         --devnet {dir} --as 44\n  symbolon agency list --devnet {dir}\n  symbolon doctor --devnet {dir}"
    )
}
