//! Brings a backup back into the empty data folder of a node.
//!
//! Every file is hashed while it is copied, and nothing is a database before all of it is there and,
//! unless the backup is trusted, every block in it was executed again: hashes find accidents, and not
//! what somebody has made who could write to where the backup lay. What the validator's key has signed
//! is not in a backup: this says what the node will do about it.

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
    storage::{Store, Vacant, stands},
    verify_chain::{Report, verify_chain},
};

/// What a node that was restored knows of what its key has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Voice {
    /// It never votes.
    Observer,
    /// There is a sign state, and the node goes by what that says.
    Marked(PathBuf),
    /// There is none: it looks on before it votes.
    Unknown(PathBuf),
}

/// What was brought back.
#[derive(Debug)]
pub struct Restored {
    /// What the backup says of itself.
    pub manifest: Manifest,
    /// What the node knows of what its key has signed.
    pub voice: Voice,
    /// What was executed again; none of a backup that is trusted.
    pub report: Option<Report>,
}

/// Fills the empty data folder of the node that is configured so, and executes all of it again unless
/// the backup is `trusted`.
///
/// # Errors
///
/// [`BackupError`]; the data folder is then as it was.
pub fn restore(
    config: &NodeConfig,
    genesis: &Genesis,
    backup: &Path,
    trusted: bool,
) -> Result<Restored, BackupError> {
    let whole = check(backup, Some(genesis.chain_id()))?;
    let report = fill(backup, &whole, &config.data_dir, !trusted)?;
    Ok(Restored { manifest: whole.manifest, voice: voice(config), report })
}

/// Copies a backup into an empty folder, as a node has it; executes it there if `again`.
pub(super) fn fill(
    backup: &Path,
    whole: &Whole,
    data: &Path,
    again: bool,
) -> Result<Option<Report>, BackupError> {
    let vacant = Vacant::take(data, whole.genesis.chain_id())?;
    let arriving = vacant.arriving();
    let files = whole.manifest.files.iter().filter(|file| file.path != GENESIS);
    let mut names = Vec::new();
    for file in files {
        let (from, to) = (backup.join(&file.path), arriving.join(&file.path));
        make_room(&to)?;
        check_sum(&from, file, copy(&from, &to, file.bytes.saturating_add(1))?)?;
        names.push(file.path.clone());
    }
    check_stands(&whole.stands, &stands(&arriving)?)?;
    let mut report = None;
    if again {
        let store = Store::open_existing(&arriving, &whole.genesis)?;
        report = Some(verify_chain(&store, &whole.genesis, |_, _| {})?);
    }
    sync_folders(&arriving, &names)?;
    vacant.settle()?;
    Ok(report)
}

fn voice(config: &NodeConfig) -> Voice {
    let beside = || config.validator_key.as_deref().map(sign_state::beside);
    match (config.role, config.sign_state.clone().or_else(beside)) {
        (Role::Validator, Some(path)) if path.exists() => Voice::Marked(path),
        (Role::Validator, Some(path)) => Voice::Unknown(path),
        _ => Voice::Observer,
    }
}
