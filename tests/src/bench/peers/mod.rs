//! What a user might pick instead, measured on the same machine in the same run.
//!
//! Each peer is started in a temporary folder, on loopback or a socket of its own, with its own
//! defaults of durability, and ended by its process number. One that is not installed or does not
//! start is `not measured`, and says why: `scripts/setup-bench.sh` installs them where it may.

mod postgres;

mod etcd;

pub mod ocsp;

use std::{
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    Scale,
    report::{Figure, Measured, Section},
};

/// How long a peer may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks at it.
const LOOK: Duration = Duration::from_millis(50);

/// What the peers do.
#[derive(Debug)]
pub struct Peers {
    /// PostgreSQL's synced single-row inserts a second.
    pub inserts: Measured,
    /// PostgreSQL's prepared look-ups by key a second, over its socket.
    pub lookups: Measured,
    /// Puts a second of an etcd of three members.
    pub puts: Measured,
    /// Signed answers a second of OpenSSL's OCSP responder.
    pub answers: Measured,
}

impl Peers {
    /// Measures them, one after the other.
    #[must_use]
    pub fn measure(scale: &Scale) -> Self {
        let Some(span) = scale.peer else {
            let none = || Err("this run leaves peers out".to_owned());
            return Self { inserts: none(), lookups: none(), puts: none(), answers: none() };
        };
        let (inserts, lookups) = postgres::measure(scale.runs, span);
        let puts = etcd::measure(scale.runs, span);
        Self { inserts, lookups, puts, answers: ocsp::measure(scale.runs, span) }
    }

    /// The chapter.
    #[must_use]
    pub fn section(&self) -> Section {
        Section {
            name: "what others do on this machine",
            how: "each alone, with its load beside it; what they promise differs: see docs/performance.md"
                .to_owned(),
            figures: vec![
                Figure::of_peer("PostgreSQL, synced inserts, 32 clients", &self.inserts, "/s"),
                Figure::of_peer("PostgreSQL, prepared look-ups, 16 clients", &self.lookups, "/s"),
                Figure::of_peer("etcd, three members, puts of 300 bytes", &self.puts, "/s"),
                Figure::of_peer("OpenSSL's OCSP responder, answers", &self.answers, "/s"),
            ],
        }
    }
}

/// A peer's process; it ends with this value.
#[derive(Debug)]
struct Process {
    child: Child,
    /// How it is told to end.
    signal: Signal,
}

impl Process {
    fn start(command: &mut Command, signal: Signal) -> Result<Self, String> {
        let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = silent.spawn().map_err(|e| format!("{:?}: {e}", command.get_program()))?;
        Ok(Self { child, signal })
    }

    /// Waits until it is ready.
    fn await_ready(&mut self, ready: impl Fn() -> bool) -> Result<(), String> {
        let begun = Instant::now();
        while !ready() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended at its start: {status}"));
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("it is not ready after {PATIENCE:?}"));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), self.signal);
        }
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(LOOK);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command says when all went well.
fn said(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output: Output =
        command.stdin(Stdio::null()).output().map_err(|e| format!("{name}: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let error = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name}: {}", error.lines().last().unwrap_or("it failed")))
}

/// Whether this program runs as root.
fn is_root() -> bool {
    said(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// A program in one of the places where the system keeps such.
fn program(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path).chain(sbin).map(|d| d.join(name)).find(|p| p.exists());
    found.ok_or_else(|| format!("{name} is not installed"))
}

/// Free ports, all different.
fn free_ports<const N: usize>() -> Result<[u16; N], String> {
    let listen = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners = [(); N].map(listen);
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(listeners) {
        let address = listener.and_then(|l| l.local_addr());
        *port = address.map_err(|e| format!("no free port: {e}"))?.port();
    }
    Ok(ports)
}

/// The results of several runs, or why one of them failed.
fn repeated(runs: usize, mut run: impl FnMut() -> Result<f64, String>) -> Measured {
    (0..runs).map(|_| run()).collect()
}
