//! What a test does to a node's disk and clock while the node runs.
//!
//! `preload.c` is compiled with the machine's C compiler and loaded into the node; a page of
//! memory that both see says what it does. Works for any process of the C library, so for
//! RocksDB too. The other disk faults, of which the system itself is capable (a full disk, one
//! that is mounted read-only), are in the tests that want them.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// A read or write failed in the device.
pub const EIO: i64 = 5;
/// No space is left in the file system.
pub const ENOSPC: i64 = 28;
/// The file system may only be read.
pub const EROFS: i64 = 30;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/faults/preload.c");

/// What is done, by its place in the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// The wall clock is wrong by so many milliseconds.
    Clock = 0,
    /// Every sync takes so many milliseconds longer.
    SyncDelay = 1,
    /// Every sync fails with this error number.
    SyncError = 2,
    /// Every write to a file fails with this error number.
    WriteError = 3,
}

const DEEDS: usize = 4;

/// Compiles the library into `folder`.
///
/// # Errors
///
/// When the machine has no C compiler, or what it says.
pub fn build(folder: &Path) -> io::Result<PathBuf> {
    let library = folder.join("preload.so");
    let output = Command::new("cc")
        .args(["-O1", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .args([SOURCE, "-ldl"])
        .output()
        .map_err(|e| io::Error::new(e.kind(), format!("cc: {e}")))?;
    let said = || io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned());
    output.status.success().then_some(library).ok_or_else(said)
}

/// The page of one node.
#[derive(Debug)]
pub struct Page {
    path: PathBuf,
    file: File,
}

impl Page {
    /// A page that does nothing.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn new(path: PathBuf) -> io::Result<Self> {
        let file = File::options().write(true).create(true).truncate(true).open(&path)?;
        let page = Self { path, file };
        page.clear()?;
        Ok(page)
    }

    /// Where the node finds it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has `deed` done from now on.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set(&self, deed: Deed, value: i64) -> io::Result<()> {
        self.file.write_all_at(&value.to_ne_bytes(), 8 * deed as u64)
    }

    /// Does nothing any more.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn clear(&self) -> io::Result<()> {
        self.file.write_all_at(&[0; 8 * DEEDS], 0)
    }
}
