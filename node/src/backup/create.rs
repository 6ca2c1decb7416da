//! Makes a backup, of a running node too.
//!
//! Only one process may have a database open to write. So whoever makes a backup of a running node
//! has the node itself hold its database fast, by its admin listener, and copies that; of a stopped
//! node it does both itself. What is copied is hashed on the way and synced, the manifest comes
//! last.

use std::{
    fs::{File, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Deserialize;
use symbolon_genesis::Genesis;

use super::{
    BackupError, GENESIS, Manifest, at,
    copy::{NOT_REGULAR, copy, files_under, make_room, open_unlinked, sync_folders},
    manifest::Entry,
};
use crate::{
    config::NodeConfig,
    http::{CHECKPOINT_PATH, CHECKPOINT_TIMEOUT, operator_authorization},
    storage::{StorageError, Store, checkpoint_folder, remove_checkpoint, stands},
};

/// File in the data folder whose lock keeps a second backup out.
const LOCK: &str = "backup.lock";
/// What the node may take on top of its own limit to answer.
const ANSWER_SLACK: Duration = Duration::from_secs(10);
/// How often a checkpoint that somebody else has asked for is removed before this gives up.
const ATTEMPTS: usize = 3;

/// Copies the chain of the node that is configured so into `out`, which must not be there.
///
/// # Errors
///
/// [`BackupError`]; `out` is then not there.
pub fn create(config: &NodeConfig, genesis: &Genesis, out: &Path) -> Result<Manifest, BackupError> {
    let data = &config.data_dir;
    check_place(data, out)?;
    let _alone = lock(data)?;
    let taken_ms = unix_ms();
    let held = Held::take(config, genesis)?;
    let target = Target::new(out)?;
    // Where the founding document lies is the operator's choice, links included.
    let founding = config.genesis.canonicalize().map_err(at(&config.genesis))?;
    let mut files = vec![entry(&founding, out, GENESIS)?];
    let from = checkpoint_folder(&held.data);
    for path in files_under(&from)? {
        files.push(entry(&from.join(&path), out, &path)?);
    }
    let names: Vec<_> = files.iter().map(|file| file.path.clone()).collect();
    sync_folders(out, &names)?;
    let stands = stands(out)?;
    if stands.chain != genesis.chain_id() {
        let (found, expected) = (stands.chain, genesis.chain_id());
        return Err(BackupError::OtherChain { found, expected });
    }
    let manifest = Manifest::new(&stands, taken_ms, files);
    manifest.write(out)?;
    target.keep();
    Ok(manifest)
}

/// Copies one file to where the backup has it.
fn entry(from: &Path, out: &Path, path: &str) -> Result<Entry, BackupError> {
    let to = out.join(path);
    make_room(&to)?;
    let sum = copy(from, &to, u64::MAX)?;
    Ok(Entry { path: path.to_owned(), bytes: sum.bytes, sha256: sum.hash.to_string() })
}

/// Refuses a folder that is there, that has no place, or that would go with the data folder.
fn check_place(data: &Path, out: &Path) -> Result<(), BackupError> {
    if std::fs::symlink_metadata(out).is_ok() {
        return Err(BackupError::Taken(out.to_owned()));
    }
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
        // A disk that is not mounted must not be filled beside where it should be.
        return Err(BackupError::NoParent(parent.to_owned()));
    }
    let above = out.ancestors().skip(1).find_map(|folder| {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        folder.canonicalize().ok()
    });
    match (data.canonicalize(), above) {
        (Ok(data), Some(above)) if above.starts_with(&data) => {
            Err(BackupError::Inside(out.to_owned()))
        }
        _ => Ok(()),
    }
}

/// Keeps every other backup of `data` out until it is dropped.
pub(crate) fn lock(data: &Path) -> Result<File, BackupError> {
    if !data.is_dir() {
        return Err(StorageError::Absent(data.to_owned()).into());
    }
    let path = data.join(LOCK);
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    let file = open_unlinked(&path, &mut options).map_err(|source| match source.kind() {
        NOT_REGULAR => BackupError::NotRegular(path.clone()),
        _ => BackupError::File { path: path.clone(), source },
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BackupError::Busy(data.to_owned())),
        Err(TryLockError::Error(source)) => Err(BackupError::File { path, source }),
    }
}

/// The database, held fast until it is copied.
struct Held {
    data: PathBuf,
    /// Of a stopped node, which cannot be started meanwhile.
    _store: Option<Store>,
}

impl Held {
    fn take(config: &NodeConfig, genesis: &Genesis) -> Result<Self, BackupError> {
        let data = config.data_dir.clone();
        match Store::open_existing(&data, genesis) {
            Ok(store) => {
                store.checkpoint()?;
                Ok(Self { data, _store: Some(store) })
            }
            Err(StorageError::Locked(_)) => {
                // Whatever the node makes goes again when nothing comes of this.
                let held = Self { data, _store: None };
                ask_node(config)?;
                Ok(held)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // At its next start the node does the same.
        let _ = remove_checkpoint(&self.data);
    }
}

/// Has the running node hold its database fast. What an earlier backup left behind goes first: this
/// one is alone.
fn ask_node(config: &NodeConfig) -> Result<(), BackupError> {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let address = format!("http://{}{CHECKPOINT_PATH}", config.admin.listen);
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(CHECKPOINT_TIMEOUT + ANSWER_SLACK))
        // A node of this machine, whatever the environment says.
        .proxy(None)
        .build()
        .into();
    let mut refused = String::new();
    for _ in 0..ATTEMPTS {
        let folder = checkpoint_folder(&config.data_dir);
        remove_checkpoint(&config.data_dir).map_err(at(&folder))?;
        let away = |error: ureq::Error| BackupError::NoAnswer {
            address: address.clone(),
            problem: error.to_string(),
        };
        let who = operator_authorization(&config.data_dir).map_err(|(path, source)| {
            match source.kind() {
                // Made at every start, before the first answer.
                ErrorKind::NotFound => BackupError::NoAnswer {
                    address: address.clone(),
                    problem: format!("there is no {}", path.display()),
                },
                _ => BackupError::File { path, source },
            }
        })?;
        let request = agent.post(&address).header("authorization", who);
        let mut answer = request.send_empty().map_err(away)?;
        let status = answer.status().as_u16();
        if answer.status().is_success() {
            let made = std::fs::symlink_metadata(&folder).is_ok_and(|folder| folder.is_dir());
            return if made { Ok(()) } else { Err(BackupError::OtherNode { address }) };
        }
        let problem = answer.body_mut().read_json::<Problem>().map(|problem| problem.detail);
        refused = problem.unwrap_or_else(|_| format!("it answers {status}"));
    }
    Err(BackupError::Refused(refused))
}

/// The folder of a new backup, which goes again when nothing comes of it.
struct Target(Option<PathBuf>);

impl Target {
    fn new(out: &Path) -> Result<Self, BackupError> {
        std::fs::create_dir(out).map_err(at(out))?;
        Ok(Self(Some(out.to_owned())))
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(out) = &self.0 {
            let _ = std::fs::remove_dir_all(out);
        }
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
