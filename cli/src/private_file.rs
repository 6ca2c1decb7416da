//! Files that nobody may read but their owner: private keys and passphrases.
//!
//! Opened once, and looked at through what was opened, so that nobody exchanges the file in
//! between. The node reads its own in the same way (`node/src/key_files.rs`), and
//! `tests/tests/doors/keys.rs` holds both against one table.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use zeroize::Zeroizing;

/// Which group may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// None.
    Nobody,
    /// That of the superuser, who reads everything: systemd hands credentials out like this, with
    /// an access list that shows as the group's bits.
    Root,
}

/// Why a file is not read. Nothing of what it holds is in it.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// The system says no, or it is not UTF-8.
    Unreadable(io::Error),
    /// It is a folder.
    Folder,
    /// Other users of the machine may read or write it.
    Exposed,
    /// It has more bytes than are read.
    Long,
}

/// Reads a file that nobody may read but its owner and `group`: at most `limit` bytes of text.
///
/// # Errors
///
/// [`Unfit`].
pub(crate) fn read(path: &Path, limit: u64, group: Group) -> Result<Zeroizing<String>, Unfit> {
    let file = File::open(path).map_err(Unfit::Unreadable)?;
    let metadata = file.metadata().map_err(Unfit::Unreadable)?;
    if metadata.is_dir() {
        return Err(Unfit::Folder);
    }
    let others = if group == Group::Root && metadata.gid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & others != 0 {
        return Err(Unfit::Exposed);
    }
    let mut text = Zeroizing::new(String::new());
    file.take(limit.saturating_add(1)).read_to_string(&mut text).map_err(Unfit::Unreadable)?;
    if text.len() as u64 > limit {
        return Err(Unfit::Long);
    }
    Ok(text)
}
