//! Files of a backup, copied, hashed and listed.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    path::Path,
};

use sha2::{Digest as _, Sha256};
use symbolon_ledger::hash::Digest;

use super::{BackupError, at};

/// Bytes read at once.
const STEP: usize = 1024 * 1024;

/// Length and hash of a file that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) bytes: u64,
    pub(super) hash: Digest,
}

/// Reads a file to its end, and gives every part to `sink`.
fn read(path: &Path, mut sink: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<Sum> {
    let (mut file, mut hasher, mut bytes) = (File::open(path)?, Sha256::new(), 0u64);
    let mut part = vec![0; STEP];
    loop {
        let length = file.read(&mut part)?;
        if length == 0 {
            return Ok(Sum { bytes, hash: Digest(hasher.finalize().into()) });
        }
        hasher.update(&part[..length]);
        sink(&part[..length])?;
        bytes = bytes.saturating_add(length as u64);
    }
}

/// Length and hash of a file.
pub(super) fn sum(path: &Path) -> io::Result<Sum> {
    read(path, |_| Ok(()))
}

/// Copies a file to where there is none, durably, and gives what was read.
pub(super) fn copy(from: &Path, to: &Path) -> Result<Sum, BackupError> {
    let mut file = File::options().write(true).create_new(true).open(to).map_err(at(to))?;
    let mut unwritten = None;
    let sum = read(from, |part| {
        file.write_all(part).map_err(|error| {
            let again = io::Error::new(error.kind(), error.to_string());
            unwritten = Some(error);
            again
        })
    });
    match (sum, unwritten) {
        (_, Some(error)) => Err(at(to)(error)),
        (Err(error), None) if error.kind() == io::ErrorKind::NotFound => {
            Err(BackupError::Vanished(from.to_owned()))
        }
        (Err(error), None) => Err(at(from)(error)),
        (Ok(sum), None) => file.sync_all().map(|()| sum).map_err(at(to)),
    }
}

/// The files under a folder, as paths from it with `/` between the names, in no order.
pub(super) fn files_under(folder: &Path) -> Result<Vec<String>, BackupError> {
    let mut found = Vec::new();
    let mut left = vec![String::new()];
    while let Some(prefix) = left.pop() {
        let own = folder.join(&prefix);
        for entry in std::fs::read_dir(&own).map_err(at(&own))? {
            let entry = entry.map_err(at(&own))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            if entry.file_type().map_err(at(&own))?.is_dir() {
                left.push(path);
            } else {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Has the folders above these files on the disk, and not only on their way there.
pub(super) fn sync_folders(root: &Path, files: &[String]) -> Result<(), BackupError> {
    let parents = files.iter().flat_map(|path| Path::new(path).ancestors().skip(1));
    let folders: std::collections::BTreeSet<_> = parents.map(|parent| root.join(parent)).collect();
    for folder in folders {
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(at(&folder))?;
    }
    Ok(())
}

/// Makes the folder that a file is to lie in.
pub(super) fn make_room(path: &Path) -> Result<(), BackupError> {
    match path.parent() {
        Some(parent) => std::fs::create_dir_all(parent).map_err(at(parent)),
        None => Ok(()),
    }
}
