//! The nodes' processes: finding the program, starting, asking, stopping.
//!
//! A process is known by its number *and* by the configuration that its command line names, since
//! numbers are used again: nothing is ever signalled that is not that node.

use std::{
    env, fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, unistd::Pid};
use ureq::Agent;

use super::layout::Layout;
use crate::{files, output::Failure};

/// Names the node's program when it does not lie beside this one.
const PROGRAM_VARIABLE: &str = "SYMBOLON_NODE";
/// How long nodes may take until all are ready; generous, since a machine may be busy.
const READY_PATIENCE: Duration = Duration::from_secs(120);
/// How long a node may take to stop: it finishes the block that it is writing.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// How often something is looked at again.
pub(super) const GLANCE: Duration = Duration::from_millis(50);
/// How often a process without a command line is looked at before it is taken for another one.
const EXEC_LOOKS: usize = 5;
/// How long one question to a node may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// Lines of a node's log that are shown when it fails.
const LOG_LINES: usize = 8;

/// The node's program: the one that the environment names, or the one beside this program.
///
/// # Errors
///
/// When it is not there.
pub(super) fn program() -> Result<PathBuf, Failure> {
    let named = env::var_os(PROGRAM_VARIABLE).map(PathBuf::from);
    let beside = || Some(env::current_exe().ok()?.parent()?.join("symbolon-node"));
    let program = named.or_else(beside).unwrap_or_default();
    if program.is_file() {
        return Ok(program);
    }
    Err(Failure::usage(
        "no_node_program",
        format!("the node's program is not at {}", program.display()),
        format!("build it beside this one (make build), or name it: {PROGRAM_VARIABLE}=FILE"),
    ))
}

/// Starts node `number`, which writes to its log, and notes its process.
///
/// It gets a process group of its own: Ctrl-C in the terminal reaches this program only, which
/// then stops the nodes in its own way.
///
/// # Errors
///
/// When it cannot be started.
pub(super) fn spawn(program: &Path, layout: &Layout, number: usize) -> Result<u32, Failure> {
    let log = files::open_log(&layout.log(number))?;
    let cannot = |e: std::io::Error| {
        let message = format!("{} cannot be started: {e}", program.display());
        Failure::usage("cannot_start", message, "is it a program for this machine?")
    };
    let errors = log.try_clone().map_err(cannot)?;
    let mut command = Command::new(program);
    command.args(["run", "--config"]).arg(layout.config(number)).process_group(0);
    command.stdin(Stdio::null()).stdout(log).stderr(errors);
    // Not waited for by this value: a detached network outlives this program, and an attached one
    // is watched by its process number.
    let pid = command.spawn().map_err(cannot)?.id();
    files::write(&layout.pid_file(number), format!("{pid}\n").as_bytes())?;
    Ok(pid)
}

/// Says to a node that its validator has never voted.
///
/// # Errors
///
/// When the node's program refuses.
pub(super) fn begin_sign_state(
    program: &Path,
    layout: &Layout,
    number: usize,
) -> Result<(), Failure> {
    let mut command = Command::new(program);
    command.args(["sign-state", "new", "--config"]).arg(layout.config(number));
    let why = match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    let message = format!("the sign state of node {number} cannot be made: {why}");
    Err(Failure::refused("no_sign_state", message, "is the node's program of this release?"))
}

/// Whether `pid` is alive and is the node with this configuration.
pub(super) fn is_node(pid: u32, config: &Path) -> bool {
    let wanted = config.as_os_str().as_encoded_bytes();
    for _ in 0..EXEC_LOOKS {
        let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
        if !line.is_empty() || has_ended(pid) {
            return line.split(|byte| *byte == 0).any(|argument| argument == wanted);
        }
        // Empty and alive: it is just becoming another program.
        thread::sleep(GLANCE);
    }
    false
}

/// Whether a process has ended and was only not yet collected: state Z or X of `/proc/PID/stat`,
/// behind the program's name in parentheses, and no other thread left. That is the state of its first
/// thread, and the last one closes its files and ports.
fn has_ended(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    let is_last = || fs::read_dir(format!("/proc/{pid}/task")).map_or(true, |t| t.count() <= 1);
    matches!(state, None | Some("Z" | "X")) && is_last()
}

/// Whether a process has no memory any more, and so no command line, and still has its files and their
/// locks: a large one takes a while to end.
fn is_ending(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.is_empty()) && !has_ended(pid)
}

/// Sends a signal. That the process has just ended is no error.
pub(super) fn signal(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = nix::sys::signal::kill(Pid::from_raw(pid), signal);
    }
}

/// Waits until a node has ended; `false` when it does not.
pub(super) fn wait_for_end(layout: &Layout, number: usize, pid: u32) -> bool {
    let begun = Instant::now();
    let config = layout.config(number);
    while is_node(pid, &config) || is_ending(pid) {
        if begun.elapsed() > STOP_PATIENCE {
            return false;
        }
        thread::sleep(GLANCE);
    }
    true
}

/// Waits until each of the nodes (number, admin origin, process) says that it is ready.
///
/// # Errors
///
/// When one ends, when it takes too long, or when `interrupted` says so.
pub(super) fn wait_until_ready(
    layout: &Layout,
    nodes: &[(usize, String, u32)],
    interrupted: &dyn Fn() -> bool,
) -> Result<(), Failure> {
    let agent = asker();
    let begun = Instant::now();
    let mut waiting: Vec<&(usize, String, u32)> = nodes.iter().collect();
    loop {
        waiting.retain(|(_, admin, _)| !is_ready(&agent, admin));
        if waiting.is_empty() {
            return Ok(());
        }
        if interrupted() {
            return Err(Failure::refused("interrupted", "stopped before it was ready", ""));
        }
        for (number, _, pid) in &waiting {
            if !is_node(*pid, &layout.config(*number)) {
                return Err(failed(layout, *number, "has ended"));
            }
        }
        if begun.elapsed() > READY_PATIENCE {
            let seconds = READY_PATIENCE.as_secs();
            return Err(failed(layout, waiting[0].0, &format!("is not ready after {seconds} s")));
        }
        thread::sleep(GLANCE);
    }
}

fn failed(layout: &Layout, number: usize, what: &str) -> Failure {
    let log = layout.log(number);
    let text = fs::read(&log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().rev().take(LOG_LINES).collect();
    let end: String = lines.iter().rev().map(|line| format!("\n  | {line}")).collect();
    let message = format!("node {number} {what}; the end of its log:{end}");
    Failure::refused("node_failed", message, format!("the whole log: {}", log.display()))
}

/// Asks nodes of this machine: never through a proxy, and never for long.
pub(super) fn asker() -> Agent {
    let config = Agent::config_builder()
        .timeout_global(Some(ASK_TIMEOUT))
        .http_status_as_error(false)
        .proxy(None)
        .build();
    Agent::new_with_config(config)
}

/// Whether a node says that it is ready.
fn is_ready(agent: &Agent, admin: &str) -> bool {
    agent.get(format!("{admin}/readyz")).call().is_ok_and(|answer| answer.status() == 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_command_line_and_not_by_its_number_alone() {
        assert!(!is_node(std::process::id(), Path::new("/nowhere/node-1/config.toml")));
        let own = env::args_os().next().map(PathBuf::from).expect("a program has a name");
        assert!(is_node(std::process::id(), &own));
        assert!(!is_node(u32::MAX, &own));
    }
}
