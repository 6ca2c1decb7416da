//! Looks whether a backup is whole, and what it holds.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use symbolon_genesis::Genesis;
use symbolon_ledger::hash::ChainId;

use super::{
    BackupError, Flaw, GENESIS, Manifest, at,
    copy::{NOT_REGULAR, Sum, files_under, sum},
    manifest::{self, Entry},
    restore,
};
use crate::{
    config::read_genesis,
    storage::{Stands, Store, stands},
    verify_chain::{self, verify_chain},
};

/// Where a backup is put to be executed again, beside the process's number.
const SCRATCH: &str = "backup-check";

/// A backup that is whole.
#[derive(Debug)]
pub struct Whole {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Its founding document.
    pub genesis: Genesis,
    /// Where its database stands.
    pub stands: Stands,
}

/// Reads every file of a backup and holds it against the manifest, and the manifest against the
/// database and the founding document. `expected` is the chain that it must be of, if that is known.
///
/// # Errors
///
/// [`BackupError`], for the first thing that does not hold.
pub fn check(backup: &Path, expected: Option<ChainId>) -> Result<Whole, BackupError> {
    let (manifest, said) = Manifest::read(backup)?;
    check_chain(said.chain, expected)?;
    for file in &manifest.files {
        let path = backup.join(&file.path);
        match sum(&path, file.bytes) {
            Ok(sum) => check_sum(&path, file, sum)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BackupError::Damaged { path, flaw: Flaw::Missing });
            }
            Err(error) if error.kind() == NOT_REGULAR => {
                return Err(BackupError::Damaged { path, flaw: Flaw::NotRegular });
            }
            Err(source) => return Err(BackupError::File { path, source }),
        }
    }
    check_nothing_else(backup, &manifest)?;
    let genesis = read_genesis(&backup.join(GENESIS))?;
    check_chain(said.chain, Some(genesis.chain_id()))?;
    check_stands(&said, &stands(backup)?)?;
    Ok(Whole { manifest, genesis, stands: said })
}

/// Brings a backup back into a folder of its own under `work`, and executes all of it again.
///
/// # Errors
///
/// [`BackupError`].
pub fn execute(
    backup: &Path,
    whole: &Whole,
    work: &Path,
) -> Result<verify_chain::Report, BackupError> {
    let scratch = Scratch(work.join(format!("{SCRATCH}.{}", std::process::id())));
    restore::fill(backup, whole, &scratch.0, false)?;
    let store = Store::open_existing(&scratch.0, &whole.genesis)?;
    Ok(verify_chain(&store, &whole.genesis, |_, _| {})?)
}

pub(super) fn check_chain(found: ChainId, expected: Option<ChainId>) -> Result<(), BackupError> {
    match expected {
        Some(expected) if expected != found => Err(BackupError::OtherChain { found, expected }),
        _ => Ok(()),
    }
}

/// Holds what was read of a file against the manifest.
pub(super) fn check_sum(path: &Path, file: &Entry, sum: Sum) -> Result<(), BackupError> {
    let hash = sum.hash.to_string();
    let flaw = if sum.bytes != file.bytes {
        Flaw::Length { found: sum.bytes, expected: file.bytes }
    } else if hash != file.sha256 {
        Flaw::Hash { found: hash, expected: file.sha256.clone() }
    } else {
        return Ok(());
    };
    Err(BackupError::Damaged { path: path.to_owned(), flaw })
}

/// A file more could change what the database says when it is opened.
fn check_nothing_else(backup: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let named: BTreeSet<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
    for path in files_under(backup)? {
        if path != manifest::FILE && !named.contains(path.as_str()) {
            let path = backup.join(path);
            return Err(BackupError::Damaged { path, flaw: Flaw::Extra });
        }
    }
    Ok(())
}

/// Holds a database against what was said of it.
pub(super) fn check_stands(said: &Stands, found: &Stands) -> Result<(), BackupError> {
    let text = |stands: &Stands| {
        [
            ("chain", stands.chain.to_string()),
            ("height", stands.height.to_string()),
            ("block", stands.block.to_string()),
            ("state root", stands.state_root.to_string()),
            ("blocks from", stands.blocks_from.to_string()),
        ]
    };
    for ((what, said), (_, found)) in text(said).into_iter().zip(text(found)) {
        if said != found {
            return Err(BackupError::Differs { what, said, found });
        }
    }
    Ok(())
}

/// A folder that goes when it is no longer needed.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The folder that a backup lies in, where there is room for a second one.
pub(super) fn beside(backup: &Path) -> Result<PathBuf, BackupError> {
    let own = backup.canonicalize().map_err(at(backup))?;
    Ok(own.parent().map_or_else(|| own.clone(), Path::to_owned))
}

#[cfg(test)]
mod tests {
    use symbolon_genesis::presets;

    use super::*;
    use crate::{backup::create::create, config::read_without_keys, storage::schema::cf};

    #[test]
    fn executed_again_a_backup_of_a_forged_state_does_not_hold() {
        let (genesis, _) = presets::devnet_from_seed(4, &[1; 32], 1_700_000_000_000, 1);
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("genesis.toml"), genesis.to_toml()).unwrap();
        let text = "genesis = \"genesis.toml\"\ndata_dir = \"data\"\nrole = \"observer\"\n\
                    province = \"44\"\nnetwork_key = \"none\"\n\
                    http.listen = \"127.0.0.1:1\"\nadmin.listen = \"127.0.0.1:1\"\n\
                    network.listen = []\n";
        std::fs::write(path("node.toml"), text).unwrap();
        let (config, genesis) = read_without_keys(&path("node.toml")).unwrap();
        let store = Store::open(&config.data_dir, &genesis).unwrap();
        store.put_for_a_test(cf::STATE, b"\xff", b"made up");
        drop(store);
        create(&config, &genesis, &path("backup")).unwrap();
        // Its files are what they were when it was made.
        let whole = check(&path("backup"), Some(genesis.chain_id())).unwrap();
        let forged = execute(&path("backup"), &whole, folder.path()).unwrap_err();
        assert!(matches!(forged, BackupError::Execution(_)), "{forged}");
        let fresh = path("fresh");
        let forged = restore::fill(&path("backup"), &whole, &fresh, true).unwrap_err();
        assert!(matches!(forged, BackupError::Execution(_)), "{forged}");
        assert_eq!(std::fs::read_dir(&fresh).unwrap().count(), 0, "something is left");
        restore::fill(&path("backup"), &whole, &fresh, false).unwrap();
    }
}
