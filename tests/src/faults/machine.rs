//! One node as a process: its folder, its namespace, its disk and its clock, and what can be done
//! to it from outside.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Mutex,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use symbolon_genesis::presets::DevnetKeys;
use symbolon_ledger::{hash::TransactionId, keys::SecretKey, transaction::SignedTransaction};

use super::{preload::Page, space::Space, wires::PEER_PORT};
use crate::devnet::{PATIENCE, await_that, binary, get, json_of};

/// Where every node serves, in its own namespace.
pub const HTTP: &str = "http://127.0.0.1:8100";
/// Where every node answers its operator, in its own namespace.
pub const ADMIN: &str = "http://127.0.0.1:8200";

/// A node.
#[derive(Debug)]
pub struct Machine {
    /// Its place among the others, from 0.
    pub number: usize,
    /// Province code.
    pub province: String,
    /// Its folder: configuration, keys, what it says.
    pub folder: PathBuf,
    /// Its network.
    pub space: Space,
    /// What is done to its disk and clock; none where that cannot be done.
    pub page: Option<Page>,
    preload: Option<PathBuf>,
    child: Mutex<Option<Child>>,
}

impl Machine {
    /// Writes its folder, and says that its key never voted; it does not run yet.
    pub(super) fn new(
        (number, folder): (usize, PathBuf),
        space: Space,
        keys: &DevnetKeys,
        (genesis, observers): (&Path, &[String]),
        preload: Option<&Path>,
    ) -> Self {
        fs::create_dir_all(&folder).expect("a folder for the node");
        write_key(&folder.join("validator.pem"), &keys.validator);
        write_key(&folder.join("network.pem"), &keys.network);
        let province = keys.province.as_str().to_owned();
        let config = format!(
            "genesis = {genesis:?}\ndata_dir = \"data\"\nrole = \"validator\"\n\
             province = {province:?}\nvalidator_key = \"validator.pem\"\n\
             network_key = \"network.pem\"\n[http]\nlisten = \"127.0.0.1:8100\"\n\
             [admin]\nlisten = \"127.0.0.1:8200\"\n[network]\n\
             listen = [\"/ip4/0.0.0.0/tcp/{PEER_PORT}\"]\nobservers = {observers:?}\n"
        );
        fs::write(folder.join("config.toml"), config).expect("a configuration");
        let page = preload.map(|_| Page::new(folder.join("page")).expect("a page"));
        let preload = preload.map(Path::to_owned);
        let machine =
            Self { number, province, folder, space, page, preload, child: Mutex::new(None) };
        // Without it every node would look on before it votes, and nobody would make a block.
        let output = machine.command(&["sign-state", "new"]).output();
        let output = output.expect("the node's program starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "the sign state of node {number}: {said}");
        machine
    }

    /// Where its chain lies.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A command of the node's program, in its namespace, with its page.
    fn command(&self, verbs: &[&str]) -> Command {
        let mut command = Command::new(binary("symbolon-node"));
        command.args(verbs).arg("--config").arg(self.folder.join("config.toml"));
        command.env("SYMBOLON_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::null());
        if let (Some(library), Some(page)) = (&self.preload, &self.page) {
            command.env("LD_PRELOAD", library).env("SYMBOLON_FAULTS_PAGE", page.path());
        }
        command
    }

    /// Starts its process, and does not wait for it.
    ///
    /// # Panics
    ///
    /// When it runs, or cannot be started.
    pub fn spawn(&self) {
        let said = File::create(self.folder.join("said")).expect("a file for what it says");
        let mut child = self.child.lock().expect("no panic while it is held");
        assert!(child.is_none(), "node {} runs already", self.number);
        let mut command = self.command(&["run"]);
        command.stderr(said);
        *child = Some(self.space.within(|| command.spawn()).expect("the node starts"));
    }

    /// Starts it and waits until it answers.
    ///
    /// # Panics
    ///
    /// When it ends instead.
    pub fn start(&self) {
        self.spawn();
        await_that(&format!("node {} answers", self.number), || {
            let ended = self.ended();
            assert!(ended.is_none(), "node {}: {ended:?}: {}", self.number, self.said());
            self.height().is_some()
        });
    }

    /// Sends its process a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Ends its process with a signal, and waits for the end.
    pub fn end(&self, signal: Signal) {
        self.signal(signal);
        let child = self.child.lock().expect("no panic while it is held").take();
        if let Some(mut child) = child {
            let _ = child.wait();
        }
    }

    /// Its process, while there is one.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        let child = self.child.lock().expect("no panic while it is held");
        child.as_ref().and_then(|child| i32::try_from(child.id()).ok())
    }

    /// How it ended by itself, if it did.
    #[must_use]
    pub fn ended(&self) -> Option<ExitStatus> {
        let mut child = self.child.lock().expect("no panic while it is held");
        let status = child.as_mut()?.try_wait().ok()??;
        *child = None;
        Some(status)
    }

    /// What it said since it was last started.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(self.folder.join("said")).unwrap_or_default()
    }

    /// The answer to `GET path`; none when there is none.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<(u16, Value)> {
        self.space.within(|| get(&format!("{HTTP}{path}"))).ok()
    }

    /// Gives it a transaction, and does not wait for the commit.
    ///
    /// # Panics
    ///
    /// When it does not take it.
    pub fn take(&self, transaction: &SignedTransaction) {
        let post = || {
            let post = super::agent_of(PATIENCE).post(format!("{HTTP}/v1/transactions"));
            let sent = post.header("content-type", "application/cose").send(transaction.as_bytes());
            sent.map(|answer| answer.status().as_u16())
        };
        let status = self.space.within(post).expect("the node answers");
        assert_eq!(status, 202, "node {} does not take a transaction", self.number);
    }

    /// Whether it says that a transaction is `state`: "pending", "committed".
    #[must_use]
    pub fn says_of(&self, id: TransactionId, state: &str) -> bool {
        self.get(&format!("/v1/transactions/{id}")).is_some_and(|(_, said)| said["state"] == state)
    }

    /// Its height; none when it does not answer.
    #[must_use]
    pub fn height(&self) -> Option<u64> {
        self.status()?["height"].as_u64()
    }

    /// What it says of itself; none when it does not answer.
    #[must_use]
    pub fn status(&self) -> Option<Value> {
        // A paused process takes connections and never answers.
        let quick = || {
            let answer = super::quick_agent().get(format!("{HTTP}/v1/status")).call();
            answer.ok()?.body_mut().read_json::<Value>().ok()
        };
        self.space.within(quick)
    }

    /// Executes its chain again while it is stopped, and compares; the height.
    ///
    /// # Panics
    ///
    /// When something differs.
    #[must_use]
    pub fn verify_chain(&self) -> u64 {
        let output = self.command(&["verify-chain"]).arg("--json").stdout(Stdio::piped()).output();
        let output = output.expect("the node's program starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "the chain of node {}: {said}", self.number);
        json_of(&output)["height"].as_u64().expect("a height")
    }

    /// Copies its data beside it, to be put back by [`Self::put_back`].
    pub fn keep(&self) {
        let kept = self.folder.join("kept");
        let _ = fs::remove_dir_all(&kept);
        copy(&self.data(), &kept);
    }

    /// Puts back the data that were kept, in place of whatever is there.
    pub fn put_back(&self) {
        let _ = fs::remove_dir_all(self.data());
        copy(&self.folder.join("kept"), &self.data());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.signal(Signal::SIGCONT);
        self.end(Signal::SIGKILL);
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.is_ok_and(|c| c.success()), "cannot copy {}", from.display());
}

/// Writes a private key that only its owner may read.
pub(super) fn write_key(path: &Path, key: &SecretKey) {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut f| f.write_all(key.to_pem().as_bytes())).expect("a key file");
}
