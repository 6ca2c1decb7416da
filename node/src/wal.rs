//! The consensus log on disk: what this node must see again after a crash so that it never
//! contradicts what it has signed.
//!
//! The file format and its checksums are `arc-malachitebft-wal`'s. A torn last entry was never
//! flushed, so nothing was sent on its strength, and it is dropped when the log is opened.

use std::{fs::File, io, path::Path};

use malachite_wal::Log;

/// Name of the log in the data folder.
const FILE: &str = "consensus.wal";

/// The log of the current height.
pub struct Wal {
    log: Log,
}

impl std::fmt::Debug for Wal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wal").field("height", &self.log.sequence()).finish()
    }
}

impl Wal {
    /// Opens the log in `folder`, or begins one.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let log = Log::open(folder.join(FILE))?;
        // A new file is durable only when its folder is.
        File::open(folder)?.sync_all()?;
        Ok(Self { log })
    }

    /// The height to which the entries belong.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.log.sequence()
    }

    /// All entries, oldest first.
    ///
    /// # Errors
    ///
    /// What the system says, or a checksum that does not match.
    pub fn entries(&mut self) -> io::Result<Vec<Vec<u8>>> {
        if self.log.is_empty() {
            return Ok(Vec::new());
        }
        self.log.iter()?.collect()
    }

    /// Forgets all entries; the log belongs to `height` from now on.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn reset(&mut self, height: u64) -> io::Result<()> {
        self.log.reset(height)
    }

    /// Appends an entry. It is durable after [`Wal::flush`].
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn append(&mut self, entry: &[u8]) -> io::Result<()> {
        self.log.append(entry)
    }

    /// Host contract 2: returns when all entries are on the disk.
    ///
    /// # Errors
    ///
    /// What the system says; the node must stop.
    pub fn flush(&mut self) -> io::Result<()> {
        self.log.flush()
    }
}
