//! The node's configuration file: TOML, unknown keys refused, every error with its line.

use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use symbolon_genesis::{Genesis, peer_id::PeerId};
use symbolon_ledger::{
    codes::ProvinceCode,
    keys::{PublicKey, SecretKey},
};
use thiserror::Error;

use crate::http::{NotAnOrigin, PublicOrigin};

/// Most bytes of a configuration file.
const MAX_CONFIG_BYTES: u64 = 1024 * 1024;
/// Most bytes of a genesis file.
const MAX_GENESIS_BYTES: u64 = 8 * 1024 * 1024;
/// Most bytes of a key file.
const MAX_KEY_BYTES: u64 = 16 * 1024;
/// Permissions of anybody but the owner.
const OTHERS: u32 = 0o077;

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
    /// A private key that others may read.
    #[error("the {what} {0} can be read by other users of this machine; run `chmod 600 {0}`, and change the key if somebody may have read it", .path.display())]
    Exposed {
        /// Which key.
        what: &'static str,
        /// Its file.
        path: PathBuf,
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
    /// Key of its peer id.
    pub network_key: SecretKey,
    /// Under which address outsiders reach it, if configured.
    pub public_origin: Option<PublicOrigin>,
    /// Key of its province's status lists. Whether it is the current one is the chain's to say.
    pub status_key: Option<SecretKey>,
}

/// Reads a configuration file and everything that it names. Paths in it are relative to it.
///
/// # Errors
///
/// [`ConfigError`], naming the file or the key.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    let text = read("configuration", path, MAX_CONFIG_BYTES)?;
    let mut config: NodeConfig = toml::from_str(&text).map_err(|error| ConfigError::Config {
        path: path.to_owned(),
        message: error.to_string(),
    })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    for relative in [&mut config.genesis, &mut config.data_dir, &mut config.network_key]
        .into_iter()
        .chain(&mut config.validator_key)
        .chain(&mut config.status_key)
        .chain(&mut config.http.tls_certificate)
        .chain(&mut config.http.tls_key)
    {
        *relative = folder.join(&*relative);
    }
    let genesis = read_genesis(&config.genesis)?;
    let province = config
        .province
        .parse()
        .map_err(|e| ConfigError::Value { key: "province", problem: format!("{e}") })?;
    check_province(&config, &genesis, province)?;
    let identity = identity(&config, &genesis, province)?;
    let network_key = read_key("network key", &config.network_key)?;
    check_network_key(&config, &genesis, province, &network_key)?;
    let public_origin = config.http.public_origin.as_deref().map(str::parse).transpose();
    let public_origin = public_origin.map_err(|e: NotAnOrigin| ConfigError::Value {
        key: "http.public_origin",
        problem: e.to_string(),
    })?;
    let status_key =
        config.status_key.as_deref().map(|path| read_key("status key", path)).transpose()?;
    Ok(Loaded { config, genesis, province, identity, network_key, public_origin, status_key })
}

/// Reads a founding document.
///
/// # Errors
///
/// [`ConfigError::Read`], or [`ConfigError::Genesis`] with all its problems.
pub fn read_genesis(path: &Path) -> Result<Genesis, ConfigError> {
    let text = read("genesis", path, MAX_GENESIS_BYTES)?;
    Genesis::parse(&text).map_err(|problems| ConfigError::Genesis {
        path: path.to_owned(),
        problems: problems.iter().map(ToString::to_string).collect(),
    })
}

/// Refuses a province that the chain does not have, and a validator for which nobody counts votes:
/// it would run, and never vote.
fn check_province(
    config: &NodeConfig,
    genesis: &Genesis,
    province: ProvinceCode,
) -> Result<(), ConfigError> {
    let refuse = |problem: String| Err(ConfigError::Value { key: "province", problem });
    let listed = |codes: Vec<&str>| codes.join(" ");
    if !genesis.provinces.iter().any(|p| p.code == province) {
        let known = listed(genesis.provinces.iter().map(|p| p.code.as_str()).collect());
        return refuse(format!("genesis has no province {province}; it has: {known}"));
    }
    if config.role == Role::Validator && genesis.validator_set().get(province).is_none() {
        let voting = listed(genesis.validators.iter().map(|v| v.province.as_str()).collect());
        return refuse(format!(
            "genesis gives province {province} no vote; set role = \"observer\", or name the province of the validator key: one of {voting}"
        ));
    }
    Ok(())
}

fn identity(
    config: &NodeConfig,
    genesis: &Genesis,
    province: ProvinceCode,
) -> Result<Option<(ProvinceCode, SecretKey)>, ConfigError> {
    let refuse = |problem: String| ConfigError::Value { key: "validator_key", problem };
    match (config.role, &config.validator_key) {
        (Role::Observer, None) => Ok(None),
        (Role::Observer, Some(_)) => {
            Err(refuse("an observer never votes; remove it, or set role = \"validator\"".into()))
        }
        (Role::Validator, None) => {
            Err(refuse("a validator needs it; make one with symbolon keys new".into()))
        }
        (Role::Validator, Some(path)) => {
            let key = read_key("validator key", path)?;
            let set = genesis.validator_set();
            let founded: Option<PublicKey> = set.get(province).map(|v| v.key);
            if founded.is_some_and(|founded| founded != key.public_key()) {
                return Err(refuse(format!(
                    "{} is not the key that genesis names for province {province}",
                    path.display()
                )));
            }
            Ok(Some((province, key)))
        }
    }
}

fn check_network_key(
    config: &NodeConfig,
    genesis: &Genesis,
    province: ProvinceCode,
    key: &SecretKey,
) -> Result<(), ConfigError> {
    if config.role == Role::Observer {
        return Ok(());
    }
    let peer_id = PeerId::of(&key.public_key());
    let set = genesis.validator_set();
    match set.get(province) {
        Some(founded) if founded.peer_id != peer_id.as_bytes() => Err(ConfigError::Value {
            key: "network_key",
            problem: format!(
                "its peer id {peer_id} is not the one that genesis names for province {province}; the others would refuse this node"
            ),
        }),
        _ => Ok(()),
    }
}

fn read_key(what: &'static str, path: &Path) -> Result<SecretKey, ConfigError> {
    let fail = |source| ConfigError::Read { what, path: path.to_owned(), source };
    let mode = std::fs::metadata(path).map_err(fail)?.permissions().mode();
    if mode & OTHERS != 0 {
        return Err(ConfigError::Exposed { what, path: path.to_owned() });
    }
    let pem = read(what, path, MAX_KEY_BYTES)?;
    SecretKey::from_pem(&pem)
        .map_err(|error| ConfigError::Config { path: path.to_owned(), message: error.to_string() })
}

fn read(what: &'static str, path: &Path, limit: u64) -> Result<String, ConfigError> {
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
