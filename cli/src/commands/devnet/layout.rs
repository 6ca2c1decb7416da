//! What lies where in a network's folder, and the configuration of its nodes.
//!
//! ```text
//! DIR/devnet.json            what the network is (crate::devnet_file)
//! DIR/genesis.toml           its founding document
//! DIR/keys/province-44.pem   a province's authority; agency-44.pem and agency-44.credential.pem
//! DIR/node-1/                config.toml, validator.pem, network.pem, status.pem, data/, log, pid
//! ```
//!
//! The folder may hold other files; nothing here touches them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    thread,
};

use serde::Serialize;
use symbolon_genesis::Genesis;

use super::{ports::Ports, process};
use crate::{devnet_file, files, output::Failure};

/// A network's folder, by its absolute path.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// The network in a folder, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made.
    pub(super) fn create(dir: &Path) -> Result<Self, Failure> {
        files::make_folder(dir)?;
        let dir = dir.canonicalize().map_err(|e| no_network(dir, &e))?;
        Ok(Self { dir })
    }

    /// The network that was founded in a folder. Nothing is written into a folder without one.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(super) fn existing(dir: &Path) -> Result<Self, Failure> {
        let layout = Self { dir: dir.canonicalize().map_err(|e| no_network(dir, &e))? };
        if layout.genesis().is_file() || !layout.node_numbers().is_empty() {
            return Ok(layout);
        }
        Err(no_network(dir, &"it holds no founding document"))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn genesis(&self) -> PathBuf {
        self.dir.join("genesis.toml")
    }

    /// Waits until no other command changes what runs here, and keeps others from it until the
    /// value is dropped. The file stays for ever: removed, it would let two in.
    ///
    /// # Errors
    ///
    /// When `interrupted` says so meanwhile, or the file cannot be made.
    pub(super) fn lock(&self, interrupted: &dyn Fn() -> bool) -> Result<File, Failure> {
        loop {
            match files::lock(&self.dir.join(".devnet.lock"), false) {
                Err(failure) if failure.code == "locked" => {
                    if interrupted() {
                        let hint = "another devnet command works on this folder; wait for its end";
                        return Err(Failure { hint: hint.to_owned(), ..failure });
                    }
                    thread::sleep(process::GLANCE);
                }
                taken => return taken,
            }
        }
    }

    pub(super) fn keys(&self) -> PathBuf {
        self.dir.join("keys")
    }

    pub(super) fn authority_key(&self, province: &str) -> PathBuf {
        self.keys().join(format!("province-{province}.pem"))
    }

    pub(super) fn agency_key(&self, province: &str) -> PathBuf {
        self.keys().join(format!("agency-{province}.pem"))
    }

    pub(super) fn node(&self, number: usize) -> PathBuf {
        self.dir.join(format!("node-{number}"))
    }

    pub(super) fn config(&self, number: usize) -> PathBuf {
        self.node(number).join("config.toml")
    }

    pub(super) fn data(&self, number: usize) -> PathBuf {
        self.node(number).join("data")
    }

    pub(super) fn validator_key(&self, number: usize) -> PathBuf {
        self.node(number).join("validator.pem")
    }

    pub(super) fn network_key(&self, number: usize) -> PathBuf {
        self.node(number).join("network.pem")
    }

    pub(super) fn status_key(&self, number: usize) -> PathBuf {
        self.node(number).join("status.pem")
    }

    pub(super) fn log(&self, number: usize) -> PathBuf {
        self.node(number).join("log")
    }

    pub(super) fn pid_file(&self, number: usize) -> PathBuf {
        self.node(number).join("pid")
    }

    /// The process of a node, if it is alive and really that node.
    pub(super) fn pid_of(&self, number: usize) -> Option<u32> {
        let pid = fs::read_to_string(self.pid_file(number)).ok()?.trim().parse().ok()?;
        process::is_node(pid, &self.config(number)).then_some(pid)
    }

    /// Notes that the nodes were stopped on purpose: their processes are no longer listed.
    ///
    /// # Errors
    ///
    /// When a list cannot be removed.
    pub(super) fn note_stopped(&self) -> Result<(), Failure> {
        self.node_numbers().into_iter().try_for_each(|n| files::remove(&self.pid_file(n)))
    }

    /// Whether [`Layout::note_stopped`] said so since the nodes were started.
    pub(super) fn were_stopped(&self) -> bool {
        !self.node_numbers().into_iter().any(|number| self.pid_file(number).exists())
    }

    /// Number and process of every node that is alive.
    pub(super) fn running(&self) -> Vec<(usize, u32)> {
        self.node_numbers().into_iter().filter_map(|n| Some((n, self.pid_of(n)?))).collect()
    }

    /// The numbers of the nodes that have a folder here, ascending.
    fn node_numbers(&self) -> Vec<usize> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return Vec::new() };
        let mut numbers: Vec<usize> = entries
            .flatten()
            .filter_map(|e| e.file_name().to_str()?.strip_prefix("node-")?.parse().ok())
            .filter(|number| self.config(*number).is_file())
            .collect();
        numbers.sort_unstable();
        numbers
    }

    /// Removes what this program made, and nothing else that lies beside it; gives the names.
    ///
    /// # Errors
    ///
    /// When something cannot be removed.
    pub(super) fn remove(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut ours = self.key_files();
        for number in self.node_numbers() {
            ours.extend([self.data(number), self.log(number), self.pid_file(number)]);
            ours.extend([self.validator_key(number), self.network_key(number)]);
            ours.push(self.status_key(number));
            ours.push(self.config(number));
        }
        ours.extend([self.dir.join(devnet_file::FILE_NAME), self.genesis()]);
        ours.retain(|path| path.exists());
        let folders: Vec<PathBuf> = self.node_numbers().into_iter().map(|n| self.node(n)).collect();
        for path in &ours {
            let removed =
                if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            removed.map_err(|e| {
                let message = format!("{} cannot be removed: {e}", path.display());
                Failure::refused("cannot_remove", message, "remove it yourself")
            })?;
        }
        for folder in folders.iter().chain([&self.keys()]) {
            // A folder in which somebody keeps something else stays, with that in it.
            let _ = fs::remove_dir(folder);
        }
        Ok(ours)
    }

    /// The keys of provinces and agencies, and what lies beside an agency's key.
    fn key_files(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.keys()) else { return Vec::new() };
        let is_ours = |path: &PathBuf| {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let key = ["province-", "agency-"].iter().any(|kind| name.starts_with(kind));
            let beside = [".secret", ".slots", ".lock"].iter().any(|end| name.ends_with(end));
            key && name.ends_with(".pem") || beside
        };
        entries.flatten().map(|e| e.path()).filter(is_ours).collect()
    }

    /// Writes the configuration of node `number`, the validator of `province`. `moved` says that
    /// the network's ports are not those of its founding document, so that the node must be told
    /// where the others are.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn write_config(
        &self,
        genesis: &Genesis,
        provinces: &[&str],
        number: usize,
        base: u16,
        moved: bool,
    ) -> Result<(), Failure> {
        let ports = Ports::of(base, number);
        let peer = |(i, province): (usize, &&str)| {
            let validator = genesis.validators.iter().find(|v| v.province.as_str() == *province)?;
            let port = Ports::of(base, i + 1).p2p;
            let wanted = moved && i + 1 != number;
            wanted.then(|| format!("{}/p2p/{}", p2p_address(port), validator.peer_id))
        };
        let config = NodeConfig {
            genesis: self.genesis(),
            data_dir: self.data(number),
            role: "validator",
            province: provinces.get(number - 1).copied().unwrap_or_default(),
            validator_key: self.validator_key(number),
            network_key: self.network_key(number),
            // A network founded by an earlier version has none; its provinces may name one later.
            status_key: Some(self.status_key(number)).filter(|path| path.is_file()),
            http: Listen { listen: format!("127.0.0.1:{}", ports.http) },
            admin: Listen { listen: format!("127.0.0.1:{}", ports.admin) },
            network: Network {
                listen: vec![p2p_address(ports.p2p)],
                peers: provinces.iter().enumerate().filter_map(peer).collect(),
                observers: Vec::new(),
            },
        };
        let text = toml::to_string(&config).map_err(|e| {
            let message = format!("the configuration cannot be written: {e}");
            Failure::usage("bad_path", message, "choose a --dir whose path is UTF-8 text")
        })?;
        files::write(&self.config(number), text.as_bytes())
    }
}

fn no_network(dir: &Path, why: &dyn std::fmt::Display) -> Failure {
    let dir = dir.display();
    Failure::usage(
        "no_devnet",
        format!("{dir} is not the folder of a network: {why}"),
        format!("start one there: symbolon devnet up --dir {dir}"),
    )
}

/// Where a node of a development network listens for the others.
pub(super) fn p2p_address(port: u16) -> String {
    format!("/ip4/127.0.0.1/tcp/{port}")
}

/// What `symbolon-node run --config` reads.
#[derive(Debug, Serialize)]
struct NodeConfig<'a> {
    genesis: PathBuf,
    data_dir: PathBuf,
    role: &'static str,
    province: &'a str,
    validator_key: PathBuf,
    network_key: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_key: Option<PathBuf>,
    http: Listen,
    admin: Listen,
    network: Network,
}

#[derive(Debug, Serialize)]
struct Listen {
    listen: String,
}

#[derive(Debug, Serialize)]
struct Network {
    listen: Vec<String>,
    peers: Vec<String>,
    observers: Vec<String>,
}
