//! What a backup says of itself: `manifest.json`, written last, so that a backup which has one is
//! whole.
//!
//! The form is `docs/spec/backup.md`. Nothing in it is signed: it finds what a disk or a line has
//! altered, and whoever must not trust the keeper of a backup executes it again.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read as _, Write as _},
    path::Path,
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use symbolon_ledger::hash::Digest;

use super::{
    BackupError, GENESIS, at,
    copy::{NOT_REGULAR, open_regular},
};
use crate::storage::Stands;

/// Name of the manifest in a backup.
pub const FILE: &str = "manifest.json";
/// Its name until it is whole.
const UNFINISHED: &str = "manifest.json.part";
/// What a manifest of ours says first.
const FORMAT: &str = "symbolon-backup";
/// Version of the form.
pub const VERSION: u32 = 1;
/// Most bytes of a manifest: 100,000 files of 64 MiB are six terabytes of database.
const MAX_BYTES: u64 = 32 * 1024 * 1024;
/// Longest name of a file or folder in a backup. `RocksDB`'s have some 20 characters.
const MAX_NAME: usize = 64;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: String,
    version: u32,
    chain_id: String,
    /// Height of the newest block.
    pub height: u64,
    block: String,
    state_root: String,
    /// The first block that is in it besides the founding block; 0 when all are.
    pub blocks_from: u64,
    /// When it was begun, in milliseconds since 1970 by the clock of whoever made it.
    pub taken_ms: u64,
    /// Its files, in the order of their paths.
    pub files: Vec<Entry>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Where it is, from the backup's folder, with `/` between the names.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// That of a backup with these files, whose database stands there.
    #[must_use]
    pub fn new(stands: &Stands, taken_ms: u64, mut files: Vec<Entry>) -> Self {
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            chain_id: stands.chain.to_string(),
            height: stands.height,
            block: stands.block.to_string(),
            state_root: stands.state_root.to_string(),
            blocks_from: stands.blocks_from,
            taken_ms,
            files,
        }
    }

    /// Where its database stands.
    ///
    /// # Errors
    ///
    /// Which member is no digest.
    fn read_stands(&self) -> Result<Stands, String> {
        let read = |name: &str, text: &str| {
            Digest::from_str(text).map_err(|error| format!("{name}: {error}"))
        };
        Ok(Stands {
            chain: read("chain_id", &self.chain_id)?,
            height: self.height,
            block: read("block", &self.block)?,
            state_root: read("state_root", &self.state_root)?,
            blocks_from: self.blocks_from,
        })
    }

    /// The chain.
    #[must_use]
    pub fn chain_id(&self) -> &str {
        &self.chain_id
    }

    /// Hash of the newest block.
    #[must_use]
    pub fn block(&self) -> &str {
        &self.block
    }

    /// Root of the state after it.
    #[must_use]
    pub fn state_root(&self) -> &str {
        &self.state_root
    }

    /// The bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// Reads the manifest of a backup, and where its database stands.
    ///
    /// # Errors
    ///
    /// [`BackupError`]: there is none, or it is not one of ours.
    pub fn read(backup: &Path) -> Result<(Self, Stands), BackupError> {
        let path = backup.join(FILE);
        let bad = |problem: String| BackupError::Manifest { path: path.clone(), problem };
        let file = open_regular(&path).map_err(|source| match source.kind() {
            NOT_REGULAR => BackupError::NotRegular(path.clone()),
            std::io::ErrorKind::NotFound => BackupError::NoManifest(backup.to_owned()),
            _ => BackupError::File { path: path.clone(), source },
        })?;
        let mut text = String::new();
        file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(at(&path))?;
        if text.len() as u64 > MAX_BYTES {
            return Err(bad(format!("longer than {MAX_BYTES} bytes")));
        }
        check_version(&text).map_err(|found| match found {
            Some(found) => BackupError::Version { found },
            None => bad("it is no manifest of a backup".to_owned()),
        })?;
        let manifest: Self = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
        let stands = manifest.read_stands().map_err(bad)?;
        manifest.check_files().map_err(bad)?;
        Ok((manifest, stands))
    }

    /// Refuses names that lead out of the backup, and anything that no backup has.
    fn check_files(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for Entry { path, sha256, .. } in &self.files {
            if !is_ours(path) {
                return Err(format!("{path:?} is no file of a backup"));
            }
            if !seen.insert(path) {
                return Err(format!("it names {path} twice"));
            }
            Digest::from_str(sha256).map_err(|error| format!("sha256 of {path}: {error}"))?;
        }
        if !seen.iter().any(|path| *path == GENESIS) {
            return Err(format!("it does not name {GENESIS}"));
        }
        Ok(())
    }

    /// Writes it into a backup, durably. Before, the backup is not whole; after, it is.
    ///
    /// # Errors
    ///
    /// [`BackupError::File`].
    pub fn write(&self, backup: &Path) -> Result<(), BackupError> {
        let (part, path) = (backup.join(UNFINISHED), backup.join(FILE));
        let text = serde_json::to_string_pretty(self).expect("text and numbers have a form");
        let write = || {
            let mut file = File::create(&part)?;
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::rename(&part, &path)?;
            File::open(backup)?.sync_all()
        };
        write().map_err(at(&path))
    }
}

/// The version of a manifest of another release; none when it is no manifest at all.
fn check_version(text: &str) -> Result<(), Option<u32>> {
    #[derive(Deserialize)]
    struct Head {
        format: String,
        version: u32,
    }
    match serde_json::from_str::<Head>(text) {
        Ok(head) if head.format != FORMAT => Err(None),
        Ok(head) if head.version != VERSION => Err(Some(head.version)),
        Ok(_) => Ok(()),
        Err(_) => Err(None),
    }
}

/// Whether a path may be one of a backup's files.
fn is_ours(path: &str) -> bool {
    let names: Vec<&str> = path.split('/').collect();
    let plain = |name: &&str| {
        (1..=MAX_NAME).contains(&name.len())
            && !name.starts_with('.')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let known = match names[..] {
        [name] => name == GENESIS,
        [folder, _] => folder == "rocksdb",
        [folder, height, _] => folder == "snapshots" && height.parse::<u64>().is_ok(),
        _ => false,
    };
    known && names.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_a_backup_has_are_read() {
        let check = |path: &str, good: bool| assert_eq!(is_ours(path), good, "{path}");
        check("genesis.toml", true);
        check("rocksdb/000012.sst", true);
        check("rocksdb/MANIFEST-000005", true);
        check("snapshots/10000/chunks", true);
        check("validator.pem", false);
        check("../genesis.toml", false);
        check("rocksdb/../../authorized_keys", false);
        check("rocksdb/..", false);
        check("rocksdb/", false);
        check("/rocksdb/CURRENT", false);
        check("rocksdb/a/b", false);
        check("snapshots/x/chunks", false);
        check("snapshots/1/2/chunks", false);
        check("rocksdb/a b", false);
        check(&format!("rocksdb/{}", "x".repeat(MAX_NAME + 1)), false);
        check("", false);
    }

    /// The form of `docs/spec/backup.md`: a change here is a new [`VERSION`].
    #[test]
    fn the_manifest_has_the_form_of_the_specification() {
        let folder = tempfile::tempdir().unwrap();
        let stands = Stands {
            chain: Digest([1; 32]),
            height: 7,
            block: Digest([2; 32]),
            state_root: Digest([3; 32]),
            blocks_from: 0,
        };
        let entry = |path: &str, bytes, byte| Entry {
            path: path.into(),
            bytes,
            sha256: Digest([byte; 32]).to_string(),
        };
        let files = vec![entry("rocksdb/CURRENT", 16, 5), entry("genesis.toml", 900, 4)];
        let manifest = Manifest::new(&stands, 1_795_392_000_000, files);
        manifest.write(folder.path()).unwrap();
        let text = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        let spec = include_str!("../../../docs/spec/backup.md");
        assert!(spec.contains(text.trim_end()), "not in docs/spec/backup.md:\n{text}");
        assert_eq!(Manifest::read(folder.path()).unwrap(), (manifest, stands));
    }
}
