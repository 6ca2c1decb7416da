//! Real networks for tests and benches: `symbolon devnet up` on free ports in a folder of their
//! own, stopped when they are dropped. What their nodes leave is searched for personal strings of
//! the sample data then ([`Secrets`]): no test that runs a network may bring one there.
//!
//! The binaries are those that `cargo build --release --workspace` leaves beside the test's own
//! executable; `make test` builds them first.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::personal::Secrets;

/// How long a condition may take to come true on a busy machine before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Time between two looks at a condition.
const LOOK: Duration = Duration::from_millis(50);

/// Ports from here on are tried: above those of the documented networks, below those that the
/// system gives to clients.
const LOWEST_PORT: u16 = 12_000;
/// Regions of ports, one after the other for one call each.
const REGIONS: u16 = 20;
/// Ports of a region; a network of 32 takes 233.
const REGION: u16 = 900;
/// Distance of two bases that are tried.
const PORT_STEP: u16 = 300;
static NEXT_REGION: AtomicU16 = AtomicU16::new(0);
/// The base ports that this process has taken.
static HELD: Mutex<Vec<TcpListener>> = Mutex::new(Vec::new());

/// `devnet.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct DevnetFile {
    /// The chain.
    pub chain_id: String,
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// Its agencies.
    pub agencies: Vec<Agency>,
}

/// A node of the network.
#[derive(Debug, Clone, Deserialize)]
pub struct Node {
    /// Province code.
    pub province: String,
    /// Public origin.
    pub http: String,
    /// Operator's origin.
    pub admin: String,
    /// Where the others reach it, with its peer id.
    pub p2p: String,
    /// Data folder.
    pub data_dir: PathBuf,
    /// Process.
    pub pid: i32,
}

/// An agency of the network.
#[derive(Debug, Clone, Deserialize)]
pub struct Agency {
    /// Credit code.
    pub uscc: String,
    /// Province code.
    pub province: String,
    /// Transaction key.
    pub key_file: PathBuf,
}

/// A running network.
#[derive(Debug)]
pub struct Devnet {
    folder: TempDir,
    /// What `devnet.json` said at the start.
    pub file: DevnetFile,
}

/// A binary of the project, built by `cargo build --release --workspace`.
///
/// # Panics
///
/// When it has not been built.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    let found = own.ancestors().skip(1).take(2).map(|d| d.join(name)).find(|p| p.exists());
    found.unwrap_or_else(|| {
        unavailable(&format!("{name} is not built: run cargo build --release --workspace"))
    })
}

#[expect(clippy::panic, reason = "a test without its network has failed")]
fn unavailable(why: &str) -> ! {
    panic!("{why}")
}

/// Runs `symbolon` with `arguments`.
#[must_use]
pub fn symbolon<I, S>(arguments: I) -> Output
where
    I: IntoIterator<Item = S>,
    S: AsRef<std::ffi::OsStr>,
{
    Command::new(binary("symbolon"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts")
}

/// The one line of JSON on standard output.
#[must_use]
pub fn json_of(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.trim()).unwrap_or_else(|e| {
        let err = String::from_utf8_lossy(&output.stderr);
        unavailable(&format!("no JSON on stdout ({e}): {text}\nstderr: {err}"))
    })
}

/// Waits until `condition` holds.
///
/// # Panics
///
/// After [`PATIENCE`], naming `what`.
pub fn await_that(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        if begun.elapsed() > PATIENCE {
            unavailable(&format!("gave up waiting: {what}"));
        }
        std::thread::sleep(LOOK);
    }
}

/// A base port with `nodes` free ports above it, and above it plus 100 and plus 200. It is this
/// process's until it ends.
#[must_use]
pub fn free_base_port(nodes: u16) -> u16 {
    let listen = |port: u16| TcpListener::bind(("127.0.0.1", port)).ok();
    let free = |port: u16| listen(port).is_some();
    // Another test program may look at the same time, so the base itself is held: no node has it.
    let held = |base: u16| {
        let hold = listen(base)?;
        let all = (1..=nodes).all(|i| [0, 100, 200].iter().all(|o| free(base + o + i)));
        all.then(|| HELD.lock().unwrap_or_else(PoisonError::into_inner).push(hold))
    };
    // Tests of one process run side by side, so each call looks in a region of its own.
    let first = NEXT_REGION.fetch_add(1, Ordering::Relaxed) % REGIONS * REGION;
    (0..REGIONS * REGION / PORT_STEP)
        .map(|step| LOWEST_PORT + (first + step * PORT_STEP) % (REGIONS * REGION))
        .find(|base| held(*base).is_some())
        .unwrap_or_else(|| unavailable("no free ports"))
}

impl Devnet {
    /// Starts a network of `validators` provinces and waits until all are ready.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    #[must_use]
    pub fn start(validators: u16) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let base = free_base_port(validators);
        let output = Self::up(
            folder.path(),
            &["--base-port", &base.to_string(), "--validators", &validators.to_string()],
        );
        if !output.status.success() {
            unavailable(&format!("devnet up: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let file = read_file(folder.path());
        Self { folder, file }
    }

    fn up(folder: &Path, more: &[&str]) -> Output {
        let folder = folder.to_string_lossy();
        symbolon(["devnet", "up", "--detach", "--json", "--dir", &folder].iter().chain(more))
    }

    /// The network's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The node of `province`.
    #[must_use]
    pub fn node(&self, province: &str) -> &Node {
        self.file
            .nodes
            .iter()
            .find(|n| n.province == province)
            .unwrap_or_else(|| unavailable("no such province"))
    }

    /// The agency of `province`.
    #[must_use]
    pub fn agency(&self, province: &str) -> &Agency {
        self.file
            .agencies
            .iter()
            .find(|a| a.province == province)
            .unwrap_or_else(|| unavailable("no such province"))
    }

    /// Runs `symbolon --devnet D` with `arguments`.
    #[must_use]
    pub fn symbolon(&self, arguments: &[&str]) -> Output {
        let folder = self.folder.path().to_string_lossy().into_owned();
        symbolon(["--devnet", &folder].iter().chain(arguments))
    }

    /// The process of a node, as it was last started.
    #[must_use]
    pub fn pid(&self, province: &str) -> i32 {
        let nodes = read_file(self.folder.path()).nodes;
        let node = nodes.iter().find(|n| n.province == province);
        node.map(|n| n.pid).unwrap_or_else(|| unavailable("no such province"))
    }

    /// Sends a node's process a signal.
    pub fn signal(&self, province: &str, signal: Signal) {
        let _ = kill(Pid::from_raw(self.pid(province)), signal);
    }

    /// Ends a node without warning, and waits until it is gone.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub fn kill(&self, province: &str) {
        self.end(province, "kill");
    }

    /// Ends a node by a command of `symbolon devnet`, which waits until it is gone.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub fn end(&self, province: &str, command: &str) {
        let folder = self.folder.path().to_string_lossy().into_owned();
        let number = self.number(province).to_string();
        let output = symbolon(["devnet", command, "--dir", &folder, "--node", &number]);
        if !output.status.success() {
            unavailable(&format!("{command}: {}", String::from_utf8_lossy(&output.stderr)));
        }
    }

    /// The node's number, from 1.
    fn number(&self, province: &str) -> usize {
        let place = self.file.nodes.iter().position(|n| n.province == province);
        1 + place.unwrap_or_else(|| unavailable("no such province"))
    }

    /// Starts a node again that was killed.
    pub fn restart(&self, province: &str) {
        self.restart_with(province, &[]);
    }

    /// The same, with these variables in the node's environment.
    pub fn restart_with(&self, province: &str, environment: &[(&str, &Path)]) {
        let number = self.number(province);
        let folder = self.folder.path().to_string_lossy().into_owned();
        let output = Command::new(binary("symbolon"))
            .args(["devnet", "start", "--dir", &folder, "--node", &number.to_string()])
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .expect("the binary starts");
        if !output.status.success() {
            unavailable(&format!("devnet start: {}", String::from_utf8_lossy(&output.stderr)));
        }
    }

    /// Starts all nodes again that were stopped, and waits until all are ready.
    ///
    /// # Panics
    ///
    /// When they do not come up.
    pub fn start_again(&self) {
        let output = Self::up(self.folder.path(), &[]);
        if !output.status.success() {
            unavailable(&format!("devnet up: {}", String::from_utf8_lossy(&output.stderr)));
        }
    }

    /// Stops all nodes; the data stays until the network is dropped.
    pub fn stop(&self) {
        let folder = self.folder.path().to_string_lossy().into_owned();
        let _ = symbolon(["devnet", "down", "--dir", &folder]);
    }

    /// The answer of a node to `GET path`, whatever its status.
    ///
    /// # Errors
    ///
    /// What the connection says.
    pub fn get(&self, province: &str, path: &str) -> Result<(u16, Value), ureq::Error> {
        get(&format!("{}{path}", self.node(province).http))
    }

    /// Whether the node answers at all.
    #[must_use]
    pub fn answers(&self, province: &str) -> bool {
        self.get(province, "/v1/status").is_ok()
    }

    /// Height of a node; none when it does not answer.
    #[must_use]
    pub fn height(&self, province: &str) -> Option<u64> {
        self.get(province, "/v1/status").ok().and_then(|(_, status)| status["height"].as_u64())
    }

    /// Waits until all nodes have `height`.
    pub fn await_height(&self, height: u64) {
        for node in &self.file.nodes {
            await_that(&format!("{} reaches {height}", node.province), || {
                self.height(&node.province).is_some_and(|h| h >= height)
            });
        }
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        self.stop();
        // A test that failed already says why.
        if !std::thread::panicking() {
            Secrets::of_fixtures().check_network(self.folder.path());
        }
    }
}

/// The answer to `GET url`, whatever its status.
///
/// # Errors
///
/// What the connection says.
pub fn get(url: &str) -> Result<(u16, Value), ureq::Error> {
    let mut answer = agent().get(url).call()?;
    let status = answer.status().as_u16();
    Ok((status, answer.body_mut().read_json().unwrap_or(Value::Null)))
}

/// A client that reports every status as an answer.
#[must_use]
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(30)))
        // Nodes of this machine, whatever the environment says.
        .proxy(None)
        .build()
        .into()
}

fn read_file(folder: &Path) -> DevnetFile {
    let text = std::fs::read_to_string(folder.join("devnet.json")).expect("devnet.json is there");
    serde_json::from_str(&text).expect("devnet.json has its documented form")
}
