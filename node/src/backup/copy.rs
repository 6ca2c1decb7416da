//! Files of a backup, copied, hashed and listed.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use nix::{errno::Errno, fcntl::OFlag};
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

/// What is said of a path at which there is no regular file. Nothing else here says it.
pub(super) const NOT_REGULAR: io::ErrorKind = io::ErrorKind::InvalidInput;

/// Opens a regular file, and nothing else: behind a link may be a file that whoever made the link could
/// not read, and a device may have no end.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    open_unlinked(path, File::options().read(true))
}

/// The same with these options.
pub(super) fn open_unlinked(path: &Path, options: &mut std::fs::OpenOptions) -> io::Result<File> {
    let refused = || io::Error::from(NOT_REGULAR);
    // Without waiting, should it be a pipe.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let opened = options.custom_flags(flags.bits()).open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        Some(code) if code == Errno::ELOOP as i32 => refused(),
        _ => error,
    })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(refused()) }
}

/// Reads a file to its end, but no more than `most` bytes, and gives every part to `sink`.
fn read(path: &Path, most: u64, mut sink: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<Sum> {
    let file = open_regular(path)?;
    let whole = file.metadata()?.len();
    let (mut file, mut hasher, mut bytes) = (file.take(most), Sha256::new(), 0u64);
    let mut part = vec![0; STEP];
    loop {
        let length = file.read(&mut part)?;
        if length == 0 {
            // What is longer than anybody wants has its whole length said.
            let bytes = if bytes == most { bytes.max(whole) } else { bytes };
            return Ok(Sum { bytes, hash: Digest(hasher.finalize().into()) });
        }
        hasher.update(&part[..length]);
        sink(&part[..length])?;
        bytes = bytes.saturating_add(length as u64);
    }
}

/// Length and hash of a file; of one that is longer than `expected`, no more than that it is.
pub(super) fn sum(path: &Path, expected: u64) -> io::Result<Sum> {
    read(path, expected.saturating_add(1), |_| Ok(()))
}

/// Copies a file to where there is none, durably, and gives what was read: no more than `most` bytes.
pub(super) fn copy(from: &Path, to: &Path, most: u64) -> Result<Sum, BackupError> {
    let mut file = File::options().write(true).create_new(true).open(to).map_err(at(to))?;
    let mut unwritten = None;
    let sum = read(from, most, |part| {
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
        (Err(error), None) if error.kind() == NOT_REGULAR => {
            Err(BackupError::NotRegular(from.to_owned()))
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
