//! Brings a backup back into the empty data folder of a node.
//!
//! Every file is hashed while it is copied, and nothing is a database before all of it is there. What
//! the validator's key has signed is not in a backup: this says what the node will do about it.

use std::path::{Path, PathBuf};

use symbolon_genesis::Genesis;

use super::{
    BackupError, GENESIS, Manifest,
    check::{Whole, check, check_stands, check_sum},
    copy::{copy, make_room, sync_folders},
};
use crate::{
    config::{NodeConfig, Role},
    sign_state,
    storage::{Vacant, stands},
};

/// What a node that was restored knows of what its key has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Voice {
    /// It never votes.
    Observer,
    /// There is a mark: it is silent up to it.
    Marked(PathBuf),
    /// There is none: it looks on before it votes.
    Unknown(PathBuf),
}

/// Fills the empty data folder of the node that is configured so.
///
/// # Errors
///
/// [`BackupError`]; the data folder is then as it was.
pub fn restore(
    config: &NodeConfig,
    genesis: &Genesis,
    backup: &Path,
) -> Result<(Manifest, Voice), BackupError> {
    let whole = check(backup, Some(genesis.chain_id()))?;
    fill(backup, &whole, &config.data_dir)?;
    Ok((whole.manifest, voice(config)))
}

/// Copies a backup into an empty folder, as a node has it.
pub(super) fn fill(backup: &Path, whole: &Whole, data: &Path) -> Result<(), BackupError> {
    let vacant = Vacant::take(data, whole.genesis.chain_id())?;
    let arriving = vacant.arriving();
    let files = whole.manifest.files.iter().filter(|file| file.path != GENESIS);
    let mut names = Vec::new();
    for file in files {
        let (from, to) = (backup.join(&file.path), arriving.join(&file.path));
        make_room(&to)?;
        check_sum(&from, file, copy(&from, &to)?)?;
        names.push(file.path.clone());
    }
    sync_folders(&arriving, &names)?;
    check_stands(&whole.stands, &stands(&arriving)?)?;
    Ok(vacant.settle()?)
}

fn voice(config: &NodeConfig) -> Voice {
    let beside = || config.validator_key.as_deref().map(sign_state::beside);
    match (config.role, config.sign_state.clone().or_else(beside)) {
        (Role::Validator, Some(path)) if path.exists() => Voice::Marked(path),
        (Role::Validator, Some(path)) => Voice::Unknown(path),
        _ => Voice::Observer,
    }
}
