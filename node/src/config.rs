//! The node's configuration file: TOML, unknown keys refused, every error with its line.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use symbolon_genesis::{Genesis, document::MAX_DOCUMENT_BYTES, peer_id::PeerId};
use symbolon_ledger::{codes::ProvinceCode, keys::SecretKey, validators::ValidatorSet};
use thiserror::Error;

use crate::{
    http::{MAX_HTTP_WORKERS, MAX_SHOWINGS, MIN_SHOWINGS, NotAnOrigin, PublicOrigin, SHOWINGS},
    key_files::{self, KeyFileError},
    sign_state::{self, Owner},
    snapshot::SNAPSHOTS_KEPT,
};

/// Most bytes of a configuration file.
const MAX_CONFIG_BYTES: u64 = 1024 * 1024;
/// Distance of two snapshots unless configured otherwise. At the idle pace of one block in ten
/// seconds that is a little more than a day.
const SNAPSHOT_EVERY: u64 = 10_000;

/// Whether the node votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It votes for its province.
    Validator,
    /// It follows and serves, and never votes.
    Observer,
}

impl Role {
    /// The word in configuration and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Validator => "validator",
            Self::Observer => "observer",
        }
    }
}

/// The file, as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// The founding document.
    pub genesis: PathBuf,
    /// Where the chain lies.
    pub data_dir: PathBuf,
    /// Whether the node votes.
    pub role: Role,
    /// The province of the node: the one it votes for, and the default asking province.
    pub province: String,
    /// Key of its votes; none for an observer.
    #[serde(default)]
    pub validator_key: Option<PathBuf>,
    /// Where the mark of what that key has signed is kept; beside the key when absent. That of the
    /// next key lies in the same folder then, under the name of its own key.
    #[serde(default)]
    pub sign_state: Option<PathBuf>,
    /// Key to which the provinces are about to rotate the validator: from the height on at which
    /// they do, the node votes with it.
    #[serde(default)]
    pub next_validator_key: Option<PathBuf>,
    /// Whether the validator's key is at a second site too, which may take over. Said at both.
    #[serde(default)]
    pub two_sites: bool,
    /// Key of its peer id.
    pub network_key: PathBuf,
    /// Key of its province's status lists; none where they are signed elsewhere.
    #[serde(default)]
    pub status_key: Option<PathBuf>,
    /// The public listener.
    pub http: HttpConfig,
    /// The operator's listener.
    pub admin: ListenConfig,
    /// The peer-to-peer network.
    pub network: PeerConfig,
    /// How much of the past it keeps.
    #[serde(default)]
    pub history: HistoryConfig,
}

/// How much of the past a node keeps, and how it joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryConfig {
    /// How many of the newest blocks are kept. None: an archive, which executes the chain from its
    /// founding and keeps all of it.
    #[serde(default)]
    pub keep_blocks: Option<u64>,
    /// A snapshot is made at each multiple of this height; 0 for none. Nodes can give each other
    /// the same snapshots only where this number is the same.
    #[serde(default = "snapshot_every")]
    pub snapshot_every: u64,
}

const fn snapshot_every() -> u64 {
    SNAPSHOT_EVERY
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self { keep_blocks: None, snapshot_every: SNAPSHOT_EVERY }
    }
}

impl HistoryConfig {
    /// Refuses what would leave a peer that is behind without a way to catch up: when it has
    /// fetched the older of two snapshots, the blocks after it must still be there.
    fn check(self) -> Result<(), ConfigError> {
        let refuse = |key, problem: String| Err(ConfigError::Value { key, problem });
        let (Some(keep), every) = (self.keep_blocks, self.snapshot_every) else { return Ok(()) };
        let least = every.saturating_mul(SNAPSHOTS_KEPT as u64);
        if every == 0 {
            let problem = "a node that drops old blocks must make snapshots, or nobody new can follow it; remove it, or give a number such as 10000";
            return refuse("history.snapshot_every", problem.into());
        }
        if keep < least {
            let problem = format!(
                "{keep} blocks are fewer than {SNAPSHOTS_KEPT} times snapshot_every; give at least {least}, or remove it to keep everything"
            );
            return refuse("history.keep_blocks", problem);
        }
        Ok(())
    }
}

/// The public listener.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Address and port.
    pub listen: SocketAddr,
    /// Certificate chain, PEM.
    #[serde(default)]
    pub tls_certificate: Option<PathBuf>,
    /// Private key, PEM.
    #[serde(default)]
    pub tls_key: Option<PathBuf>,
    /// Scheme, host and port under which outsiders reach the listener, for the links that this
    /// node gives out. Needed behind a proxy.
    #[serde(default)]
    pub public_origin: Option<String>,
    /// Threads that serve it and the operator's listener, 1 to [`MAX_HTTP_WORKERS`]; as many as the
    /// machine has cores when absent.
    #[serde(default)]
    pub workers: Option<usize>,
    /// Presentations with a holder's signature that are remembered at once, [`MIN_SHOWINGS`] to
    /// [`MAX_SHOWINGS`], each for six minutes and in some 450 bytes. So many and no more can be judged
    /// in six minutes.
    #[serde(default = "showings")]
    pub showings: usize,
}

const fn showings() -> usize {
    SHOWINGS
}

impl HttpConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key, problem| Err(ConfigError::Value { key, problem });
        if let Some(workers) = self.workers
            && !(1..=MAX_HTTP_WORKERS).contains(&workers)
        {
            let problem = format!(
                "{workers} is not from 1 to {MAX_HTTP_WORKERS}; give the number of threads that may serve HTTP, or remove it for one of each core"
            );
            return refuse("http.workers", problem);
        }
        if !(MIN_SHOWINGS..=MAX_SHOWINGS).contains(&self.showings) {
            let problem = format!(
                "{} is not from {MIN_SHOWINGS} to {MAX_SHOWINGS}; give the number of presentations that may be judged in six minutes, or remove it for {SHOWINGS}",
                self.showings
            );
            return refuse("http.showings", problem);
        }
        Ok(())
    }
}

/// A listener.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenConfig {
    /// Address and port.
    pub listen: SocketAddr,
}

/// The peer-to-peer network.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// Addresses to listen on, as multiaddrs.
    pub listen: Vec<String>,
    /// Addresses of peers beside those in genesis, each ending in `/p2p/<peer id>`.
    #[serde(default)]
    pub peers: Vec<String>,
    /// Peer ids of observers that this node admits.
    #[serde(default)]
    pub observers: Vec<String>,
}

/// Why the node cannot start with this configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {what} {}: {source}", .path.display())]
    Read {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A private key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// Not TOML, an unknown key, a wrong value.
    #[error("{}: {message}", .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        message: String,
    },
    /// The founding document has errors.
    #[error("genesis {} has {} errors:\n{}", .path.display(), .problems.len(), .problems.join("\n"))]
    Genesis {
        /// The file.
        path: PathBuf,
        /// All of them.
        problems: Vec<String>,
    },
    /// A value that does not fit the others.
    #[error("{key}: {problem}")]
    Value {
        /// The key in the file.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
}

/// Everything that a configuration file leads to, read and checked.
#[derive(Debug)]
pub struct Loaded {
    /// The file.
    pub config: NodeConfig,
    /// The founding document.
    pub genesis: Genesis,
    /// The province of the node.
    pub province: ProvinceCode,
    /// Province and key with which the node votes.
    pub identity: Option<(ProvinceCode, SecretKey)>,
    /// The key to which it changes when the provinces do.
    pub next_validator_key: Option<SecretKey>,
    /// Key of its peer id.
    pub network_key: SecretKey,
    /// Under which address outsiders reach it, if configured.
    pub public_origin: Option<PublicOrigin>,
    /// Key of its province's status lists. Whether it is the current one is the chain's to say.
    pub status_key: Option<SecretKey>,
}

impl Loaded {
    /// Where the validator's sign state lies, and whose it is; none for an observer.
    #[must_use]
    pub fn sign_state(&self) -> Option<(PathBuf, Owner)> {
        let (province, key) = self.identity.as_ref()?;
        let beside = || self.config.validator_key.as_deref().map(sign_state::beside);
        let path = self.config.sign_state.clone().or_else(beside)?;
        let chain = self.genesis.chain_id();
        Some((path, Owner { chain, province: *province, key: key.public_key() }))
    }

    /// The same of the key to which the node is to change; none when it is the same one.
    #[must_use]
    pub fn next_sign_state(&self) -> Option<(PathBuf, Owner)> {
        let (own, owner) = self.sign_state()?;
        let key = self.next_validator_key.as_ref()?.public_key();
        let beside = sign_state::beside(self.config.next_validator_key.as_deref()?);
        let path = match &self.config.sign_state {
            Some(configured) => configured.with_file_name(beside.file_name()?),
            None => beside,
        };
        (key != owner.key && path != own).then_some((path, Owner { key, ..owner }))
    }
}

/// Reads a configuration file and its founding document, and no key: for what needs none, and must
/// not ask anybody for a passphrase. Paths in it are relative to it.
///
/// # Errors
///
/// [`ConfigError`], naming the file or the key.
pub fn read_without_keys(path: &Path) -> Result<(NodeConfig, Genesis), ConfigError> {
    let config = read_config(path)?;
    config.history.check()?;
    config.http.check()?;
    let genesis = read_genesis(&config.genesis)?;
    Ok((config, genesis))
}

/// Reads the file itself, and makes its paths whole.
fn read_config(path: &Path) -> Result<NodeConfig, ConfigError> {
    let text = read_text("configuration", path, MAX_CONFIG_BYTES)?;
    let mut config: NodeConfig = toml::from_str(&text).map_err(|error| ConfigError::Config {
        path: path.to_owned(),
        message: error.to_string(),
    })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    for relative in [&mut config.genesis, &mut config.data_dir, &mut config.network_key]
        .into_iter()
        .chain(&mut config.validator_key)
        .chain(&mut config.sign_state)
        .chain(&mut config.next_validator_key)
        .chain(&mut config.status_key)
        .chain(&mut config.http.tls_certificate)
        .chain(&mut config.http.tls_key)
    {
        *relative = folder.join(&*relative);
    }
    Ok(config)
}

/// Reads a configuration file and everything that it names. Paths in it are relative to it.
///
/// # Errors
///
/// [`ConfigError`], naming the file or the key: the first one of all.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    let first = |problems: Vec<ConfigError>| {
        problems.into_iter().next().expect("what could not be read is among the problems")
    };
    read(path)?.loaded().map_err(first)
}

/// A configuration file, and what could be read of that which it names.
#[derive(Debug)]
pub struct Read {
    /// The file.
    pub config: NodeConfig,
    /// The founding document.
    pub genesis: Option<Genesis>,
    province: Option<ProvinceCode>,
    validator_key: Option<Option<SecretKey>>,
    next_validator_key: Option<Option<SecretKey>>,
    network_key: Option<SecretKey>,
    public_origin: Option<Option<PublicOrigin>>,
    status_key: Option<Option<SecretKey>>,
    /// Why something could not be read, or does not fit.
    problems: Vec<ConfigError>,
}

/// Reads a configuration file, and as much of what it names as can be read.
///
/// # Errors
///
/// [`ConfigError`], when the file itself cannot be read.
pub fn read(path: &Path) -> Result<Read, ConfigError> {
    let config = read_config(path)?;
    let mut problems = Vec::new();
    problems.extend(config.history.check().err());
    problems.extend(config.http.check().err());
    let genesis = noting(&mut problems, read_genesis(&config.genesis));
    let province = config
        .province
        .parse()
        .map_err(|e| ConfigError::Value { key: "province", problem: format!("{e}") });
    let province = noting(&mut problems, province);
    let validator_key = noting(&mut problems, validator_key(&config));
    let next_validator_key = noting(&mut problems, next_key(&config));
    let network_key = key_files::read("network key", &config.network_key);
    let network_key = noting(&mut problems, network_key.map_err(ConfigError::from));
    let public_origin = config.http.public_origin.as_deref().map(str::parse).transpose();
    let public_origin = public_origin.map_err(|e: NotAnOrigin| ConfigError::Value {
        key: "http.public_origin",
        problem: e.to_string(),
    });
    let public_origin = noting(&mut problems, public_origin);
    let status_key =
        config.status_key.as_deref().map(|path| key_files::read("status key", path)).transpose();
    let status_key = noting(&mut problems, status_key.map_err(ConfigError::from));
    Ok(Read {
        config,
        genesis,
        province,
        validator_key,
        next_validator_key,
        network_key,
        public_origin,
        status_key,
        problems,
    })
}

/// What was read; why not is among the problems otherwise.
fn noting<T>(problems: &mut Vec<ConfigError>, read: Result<T, ConfigError>) -> Option<T> {
    read.map_err(|problem| problems.push(problem)).ok()
}

impl Read {
    /// All of it, with which a node can run.
    ///
    /// # Errors
    ///
    /// Every [`ConfigError`]; at least one.
    pub fn loaded(self) -> Result<Loaded, Vec<ConfigError>> {
        let Self { config, problems, .. } = self;
        let (
            true,
            Some(genesis),
            Some(province),
            Some(validator_key),
            Some(next_validator_key),
            Some(network_key),
            Some(public_origin),
            Some(status_key),
        ) = (
            problems.is_empty(),
            self.genesis,
            self.province,
            self.validator_key,
            self.next_validator_key,
            self.network_key,
            self.public_origin,
            self.status_key,
        )
        else {
            return Err(problems);
        };
        let identity = validator_key.map(|key| (province, key));
        Ok(Loaded {
            config,
            genesis,
            province,
            identity,
            next_validator_key,
            network_key,
            public_origin,
            status_key,
        })
    }
}

impl Loaded {
    /// That genesis does not have this node's province, in words. It may be one that the provinces
    /// have taken in since, or will.
    #[must_use]
    pub fn unfounded_province(&self) -> Option<String> {
        let founded = &self.genesis.provinces;
        if founded.iter().any(|province| province.code == self.province) {
            return None;
        }
        let codes: Vec<&str> = founded.iter().map(|province| province.code.as_str()).collect();
        Some(format!(
            "there is no province {}; it has: {}. Until the provinces take it in, nothing is recognised for it",
            self.province,
            codes.join(" ")
        ))
    }

    /// What keeps this node from voting while `set` has the vote, in words. None of it is a mistake
    /// for certain: the provinces may be about to let it in, or to rotate to its keys.
    #[must_use]
    pub fn doubts(&self, set: &ValidatorSet) -> Vec<String> {
        let Some((province, key)) = &self.identity else { return Vec::new() };
        let Some(validator) = set.get(*province) else {
            return vec![format!(
                "province {province} has no validator; this node follows, and votes when the provinces have let it in"
            )];
        };
        let mut doubts = Vec::new();
        let mut keys = [Some(key), self.next_validator_key.as_ref()].into_iter().flatten();
        if !keys.any(|key| key.public_key() == validator.key) {
            doubts.push(format!(
                "neither validator_key nor next_validator_key is the one that votes for province {province}; this node follows, and votes when the provinces have rotated to one of them"
            ));
        }
        let peer_id = PeerId::of(&self.network_key.public_key());
        if validator.peer_id != peer_id.as_bytes() {
            doubts.push(format!(
                "the peer id {peer_id} of network_key is not that of the validator of province {province}; the others let this node in only where their network.observers names it"
            ));
        }
        doubts
    }
}

/// Reads a founding document.
///
/// # Errors
///
/// [`ConfigError::Read`], or [`ConfigError::Genesis`] with all its problems.
pub fn read_genesis(path: &Path) -> Result<Genesis, ConfigError> {
    let text = read_text("genesis", path, MAX_DOCUMENT_BYTES as u64)?;
    Genesis::parse(&text).map_err(|problems| ConfigError::Genesis {
        path: path.to_owned(),
        problems: problems.iter().map(ToString::to_string).collect(),
    })
}

fn validator_key(config: &NodeConfig) -> Result<Option<SecretKey>, ConfigError> {
    let refuse =
        |problem: &str| ConfigError::Value { key: "validator_key", problem: problem.into() };
    match (config.role, &config.validator_key) {
        (Role::Observer, None) => Ok(None),
        (Role::Observer, Some(_)) => {
            Err(refuse("an observer never votes; remove it, or set role = \"validator\""))
        }
        (Role::Validator, None) => {
            Err(refuse("a validator needs it; make one with symbolon keys new"))
        }
        // Whether it is the one that has the vote is the state's to say, see `Loaded::doubts`.
        (Role::Validator, Some(path)) => Ok(Some(key_files::read("validator key", path)?)),
    }
}

fn next_key(config: &NodeConfig) -> Result<Option<SecretKey>, ConfigError> {
    let Some(path) = &config.next_validator_key else { return Ok(None) };
    if config.role == Role::Observer {
        let problem = "an observer never votes; remove it, or set role = \"validator\"".into();
        return Err(ConfigError::Value { key: "next_validator_key", problem });
    }
    Ok(Some(key_files::read("next validator key", path)?))
}

fn read_text(what: &'static str, path: &Path, limit: u64) -> Result<String, ConfigError> {
    use std::io::Read as _;
    let fail = |source| ConfigError::Read { what, path: path.to_owned(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(fail)?;
    file.take(limit + 1).read_to_string(&mut text).map_err(fail)?;
    if text.len() as u64 > limit {
        return Err(ConfigError::Config {
            path: path.to_owned(),
            message: format!("longer than {limit} bytes"),
        });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_drops_blocks_makes_snapshots_often_enough() {
        let check = |text: &str, good: bool| {
            let config: HistoryConfig = toml::from_str(text).unwrap();
            assert_eq!(config.check().is_ok(), good, "{text}");
        };
        check("", true);
        check("snapshot_every = 0", true);
        check("keep_blocks = 20000", true);
        check("keep_blocks = 19999", false);
        check("keep_blocks = 40\nsnapshot_every = 20", true);
        check("keep_blocks = 40\nsnapshot_every = 21", false);
        check("keep_blocks = 40\nsnapshot_every = 0", false);
        assert!(toml::from_str::<HistoryConfig>("keep = 1").is_err());
    }

    #[test]
    fn http_has_some_threads_and_some_memory_and_not_any_number_of_them() {
        let check = |text: &str, good: bool| {
            let text = format!("listen = \"127.0.0.1:1\"\n{text}");
            let config: HttpConfig = toml::from_str(&text).unwrap();
            assert_eq!(config.check().is_ok(), good, "{text}");
        };
        check("", true);
        check("workers = 1", true);
        check("workers = 256", true);
        check("workers = 0", false);
        check("workers = 257", false);
        check("showings = 8000", true);
        check("showings = 8388608", true);
        check("showings = 7999", false);
        check("showings = 8388609", false);
    }
}
