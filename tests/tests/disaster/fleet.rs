//! Four founded nodes that the test starts and ends itself, and a second site of one of them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rand::RngExt as _;
use serde_json::Value;
use symbolon_genesis::peer_id::PeerId;
use symbolon_ledger::{
    codes::{Day, TypeCode},
    keys::SecretKey,
    operation::{Actor, Interval, Operation},
    transaction::{PAYLOAD_VERSION, Payload, SignedTransaction},
};
use symbolon_tests::{
    devnet::{Devnet, agent, await_that, binary, free_base_port, get, json_of},
    faults::ear::Ear,
};

/// The founders.
pub(crate) const PROVINCES: [&str; 4] = ["11", "31", "44", "51"];
/// The second site, by the province whose it is.
pub(crate) const STANDBY: &str = "44 standby";

/// The nodes that run, by their names.
pub(crate) struct Fleet {
    /// How they were founded.
    pub(crate) net: Devnet,
    running: BTreeMap<String, Child>,
    standby_base: u16,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs `symbolon-node`, and gives its one line of JSON or, when it must fail, what it says.
pub(crate) fn symbolon_node(arguments: &[&str]) -> Output {
    Command::new(binary("symbolon-node")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// The same, which must do it.
pub(crate) fn done(arguments: &[&str]) -> String {
    let output = symbolon_node(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    if arguments.contains(&"--json") {
        return json_of(&output).to_string();
    }
    String::from_utf8(output.stdout).unwrap()
}

impl Fleet {
    /// Founds the network; all of its nodes admit the second site and an ear.
    pub(crate) fn founded() -> Self {
        let net = Devnet::start(4);
        net.stop();
        let standby_base = free_base_port(1) + 1;
        let mut fleet = Self { net, running: BTreeMap::new(), standby_base };
        let admitted: Vec<_> =
            [Ear::key(), standby_key()].map(|key| PeerId::of(&key.public_key()).to_string()).into();
        for province in PROVINCES {
            fleet.rewrite(province, "observers = []", &format!("observers = {admitted:?}"));
        }
        PROVINCES.iter().for_each(|province| fleet.start(province));
        fleet
    }

    /// The folder of a node.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        match name {
            STANDBY => self.net.folder().join("standby"),
            province => self.net.node(province).data_dir.parent().unwrap().to_owned(),
        }
    }

    /// A file in the folder of a node, as an argument.
    pub(crate) fn file(&self, name: &str, file: &str) -> String {
        self.folder(name).join(file).to_str().unwrap().to_owned()
    }

    /// A file beside the nodes, as an argument.
    pub(crate) fn beside(&self, file: &str) -> String {
        self.net.folder().join(file).to_str().unwrap().to_owned()
    }

    /// Where a node is asked.
    pub(crate) fn origin(&self, name: &str) -> String {
        match name {
            STANDBY => format!("http://127.0.0.1:{}", self.standby_base),
            province => self.net.node(province).http.clone(),
        }
    }

    /// Changes one thing in the configuration of a node.
    pub(crate) fn rewrite(&self, name: &str, from: &str, to: &str) {
        let path = self.file(name, "config.toml");
        let text = fs::read_to_string(&path).unwrap();
        let altered = text.replacen(from, to, 1);
        assert_ne!(text, altered, "{from} is not in the configuration of {name}");
        fs::write(path, altered).unwrap();
    }

    /// Starts a node, and waits until it answers.
    pub(crate) fn start(&mut self, name: &str) {
        self.launch(name);
        await_that("the node answers", || self.height(name).is_some());
    }

    /// Starts a node.
    pub(crate) fn launch(&mut self, name: &str) {
        let log = File::options().create(true).append(true).open(self.file(name, "log")).unwrap();
        let child = Command::new(binary("symbolon-node"))
            .args(["run", "--config", &self.file(name, "config.toml")])
            .env("SYMBOLON_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let before = self.running.insert(name.to_owned(), child);
        assert!(before.is_none(), "{name} runs already");
    }

    /// Sends a signal to a node.
    pub(crate) fn signal(&self, name: &str, signal: Signal) {
        let pid = i32::try_from(self.running[name].id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// Ends a node, and waits until it has.
    pub(crate) fn end(&mut self, name: &str, signal: Signal) {
        self.signal(name, signal);
        self.running.remove(name).unwrap().wait().unwrap();
    }

    /// Waits until a node ends by itself; what it said last.
    pub(crate) fn await_end(&mut self, name: &str) -> String {
        let mut child = self.running.remove(name).unwrap();
        await_that("the node ends by itself", || child.try_wait().unwrap().is_some());
        assert!(!child.wait().unwrap().success(), "it ended as if it had been told to");
        let log = fs::read_to_string(self.file(name, "log")).unwrap();
        log.lines().last().unwrap().to_owned()
    }

    /// Height of a node; none when it does not answer.
    pub(crate) fn height(&self, name: &str) -> Option<u64> {
        self.status(name)?["height"].as_u64()
    }

    /// Whether a node votes, in its own word.
    pub(crate) fn voting(&self, name: &str) -> Option<String> {
        self.status(name)?["voting"].as_str().map(str::to_owned)
    }

    fn status(&self, name: &str) -> Option<Value> {
        Some(get(&format!("{}/v1/status", self.origin(name))).ok()?.1)
    }

    /// What node 11 answers.
    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        self.net.get("11", path).unwrap()
    }

    /// Waits until all of these have a height.
    pub(crate) fn await_height(&self, names: &[&str], height: u64) {
        for name in names {
            let reached = || self.height(name).is_some_and(|h| h >= height);
            await_that(&format!("{name} reaches {height}"), reached);
        }
    }

    /// Makes one block with a small transaction by node 11; its number.
    pub(crate) fn grow(&self) -> String {
        let file = fs::read_to_string(self.net.folder().join("devnet.json")).unwrap();
        let file: Value = serde_json::from_str(&file).unwrap();
        let provinces = file["provinces"].as_array().unwrap();
        let own = provinces.iter().find(|p| p["code"] == "11").unwrap();
        let key = fs::read_to_string(own["key_file"].as_str().unwrap()).unwrap();
        let key = SecretKey::from_pem(&key).unwrap();
        let height = self.height("11").unwrap();
        let payload = Payload {
            version: PAYLOAD_VERSION,
            chain_id: self.net.file.chain_id.parse().unwrap(),
            actor: Actor::Province("11".parse().unwrap()),
            key_id: 0,
            nonce: rand::rng().random(),
            valid_until_height: height + 100,
            operations: recognised_and_withdrawn(),
        };
        let signed = SignedTransaction::sign(&payload, &key).unwrap();
        let url = format!("{}/v1/transactions?wait=commit&timeout_ms=60000", self.origin("11"));
        let post = agent().post(&url).header("content-type", "application/cose");
        let mut answer = post.send(signed.as_bytes()).unwrap();
        let body: Value = answer.body_mut().read_json().unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{body}");
        signed.id().to_string()
    }

    /// Makes blocks until something holds.
    pub(crate) fn grow_until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        await_that(what, || {
            self.grow();
            condition()
        });
    }

    /// Backs a node up, and gives height and folder.
    pub(crate) fn back_up(&self, name: &str, out: &str) -> (u64, String) {
        let (config, folder) = (self.file(name, "config.toml"), self.beside(out));
        let made = done(&["backup", "create", "--config", &config, "--out", &folder, "--json"]);
        let made: Value = serde_json::from_str(&made).unwrap();
        (made["height"].as_u64().unwrap(), folder)
    }

    /// Everything that a node has is gone, but its key and its configuration.
    pub(crate) fn lose(&self, province: &str) {
        fs::remove_dir_all(self.folder(province).join("data")).unwrap();
        fs::remove_file(self.folder(province).join("validator.pem.signed")).unwrap();
    }

    /// Brings a backup back into the folder of a node.
    pub(crate) fn restore(&self, province: &str, backup: &str) -> String {
        done(&["backup", "restore", backup, "--config", &self.file(province, "config.toml")])
    }

    /// Sets the second site of Guangdong up, as an observer.
    pub(crate) fn set_standby_up(&self) {
        let folder = self.folder(STANDBY);
        fs::create_dir(&folder).unwrap();
        let key_file = folder.join("network.pem");
        fs::write(&key_file, standby_key().to_pem().as_bytes()).unwrap();
        fs::set_permissions(&key_file, PermissionsExt::from_mode(0o600)).unwrap();
        let peers: Vec<_> = PROVINCES.iter().map(|p| self.net.node(p).p2p.clone()).collect();
        let base = self.standby_base;
        let text = format!(
            "genesis = {:?}\ndata_dir = \"data\"\nrole = \"observer\"\nprovince = \"44\"\n\
             network_key = \"network.pem\"\n[http]\nlisten = \"127.0.0.1:{base}\"\n\
             [admin]\nlisten = \"127.0.0.1:{}\"\n\
             [network]\nlisten = [\"/ip4/127.0.0.1/tcp/{}\"]\npeers = {peers:?}\n",
            self.net.folder().join("genesis.toml"),
            base + 100,
            base + 200,
        );
        fs::write(folder.join("config.toml"), text).unwrap();
    }

    /// An ear at the founders.
    pub(crate) fn ear(&self) -> Ear {
        let peer = |node: &symbolon_tests::devnet::Node| {
            let (address, id) = node.p2p.split_once("/p2p/").unwrap();
            (id.parse().unwrap(), address.to_owned())
        };
        let peers: Vec<_> = self.net.file.nodes.iter().map(peer).collect();
        Ear::open(None, self.net.file.chain_id.parse().unwrap(), &peers)
    }
}

fn standby_key() -> SecretKey {
    SecretKey::from_seed(&[0x5b; 32])
}

/// Recognises a day and takes it back: it changes nothing, so it may be done at every height.
fn recognised_and_withdrawn() -> Vec<Operation> {
    let from_province = "31".parse().unwrap();
    let licence_type: TypeCode = "local:driving-licence".parse().unwrap();
    let day = Day(20_000);
    let interval = Interval { from: day, until: Some(day) };
    let recognise =
        Operation::Recognise { from_province, licence_type: licence_type.clone(), interval };
    let withdraw = Operation::WithdrawRecognition { from_province, licence_type, effective: day };
    vec![recognise, withdraw]
}

/// The licences in a folder of credentials, by their cids.
pub(crate) fn cids(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name());
    let names = names.filter_map(|name| name.into_string().ok());
    let mut cids: Vec<_> =
        names.filter_map(|name| name.strip_suffix(".sdjwt").map(str::to_owned)).collect();
    cids.sort();
    cids
}
