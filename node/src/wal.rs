//! The consensus log on disk: what this node must see again after a crash so that it never
//! contradicts what it has signed.
//!
//! The file format and its checksums are `arc-malachitebft-wal`'s. That library drops whatever
//! is too short at the end and trusts the rest, so the file is looked over before it is opened.
//! A last entry that is torn, wrong or full of zeros was never flushed: nothing was sent on its
//! strength, and it is dropped. An entry that is wrong with whole ones after it is damage: this
//! node may have signed what it cannot read any more, and stays down.

use std::{fs::File, io, path::Path};

use malachite_wal::{
    Storage,
    constants::{ENTRY_HEADER_SIZE, FIRST_ENTRY_OFFSET},
    log::Log,
};
use symbolon_consensus::MAX_ENTRY_LEN;

/// Name of the log in the data folder.
const FILE: &str = "consensus.wal";

/// What the engine needs of a log.
pub trait Journal: Send {
    /// All entries, oldest first.
    ///
    /// # Errors
    ///
    /// What the system says, or a checksum that does not match.
    fn entries(&mut self) -> io::Result<Vec<Vec<u8>>>;

    /// Forgets all entries; the log belongs to `height` from now on.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn reset(&mut self, height: u64) -> io::Result<()>;

    /// Appends an entry. It is durable after [`Journal::flush`].
    ///
    /// # Errors
    ///
    /// What the system says.
    fn append(&mut self, entry: &[u8]) -> io::Result<()>;

    /// Host contract 2: returns when all entries are on the disk.
    ///
    /// # Errors
    ///
    /// What the system says; the node must stop.
    fn flush(&mut self) -> io::Result<()>;
}

/// The log of the current height.
pub struct Wal<S = File> {
    log: Log<S>,
}

impl<S> std::fmt::Debug for Wal<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wal").finish_non_exhaustive()
    }
}

impl Wal {
    /// Opens the log in `folder`, or begins one.
    ///
    /// # Errors
    ///
    /// What the system says; or that the log is damaged.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE);
        drop_torn_end(&path)?;
        let log = Log::open(&path)?;
        // A new file is durable only when its folder is.
        File::open(folder)?.sync_all()?;
        Ok(Self { log })
    }
}

impl<S> From<Log<S>> for Wal<S> {
    fn from(log: Log<S>) -> Self {
        Self { log }
    }
}

impl<S: Storage + Send> Journal for Wal<S> {
    fn entries(&mut self) -> io::Result<Vec<Vec<u8>>> {
        if self.log.is_empty() {
            return Ok(Vec::new());
        }
        self.log.iter()?.collect()
    }

    fn reset(&mut self, height: u64) -> io::Result<()> {
        self.log.reset(height)
    }

    fn append(&mut self, entry: &[u8]) -> io::Result<()> {
        self.log.append(entry)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.log.flush()
    }
}

/// Cuts off what was being written when the machine stopped.
fn drop_torn_end(path: &Path) -> io::Result<()> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let sound = sound_length(&bytes)?;
    if sound == bytes.len() {
        return Ok(());
    }
    tracing::warn!(
        dropped = bytes.len() - sound,
        "the consensus log ends in an entry that was never flushed; it is dropped"
    );
    let file = File::options().write(true).open(path)?;
    file.set_len(sound as u64)?;
    file.sync_all()
}

/// How many of these bytes are a log: its head and whole entries.
fn sound_length(bytes: &[u8]) -> io::Result<usize> {
    let head = usize::try_from(FIRST_ENTRY_OFFSET).expect("a dozen");
    // The head is flushed when the log is made, before any entry is.
    if bytes.len() < head || bytes.iter().all(|byte| *byte == 0) {
        return Ok(0);
    }
    let mut sound = head;
    while let Some(end) = end_of_entry(bytes, sound) {
        sound = end;
    }
    match (sound + 1..bytes.len()).find(|at| end_of_entry(bytes, *at).is_some()) {
        None => Ok(sound),
        Some(at) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "{FILE} is damaged at byte {sound}, and a whole entry follows at byte {at}: this node may have signed what it cannot read any more; move the file away, and the node is silent up to the height of its sign state, which must not be an old copy (docs/operating/recovery.md)"
            ),
        )),
    }
}

/// Where the entry ends that begins at `at`, if a whole one does.
fn end_of_entry(bytes: &[u8], at: usize) -> Option<usize> {
    // Not compressed (1 byte), length (8), checksum (4), data.
    let (head, rest) =
        bytes.get(at..)?.split_at_checked(usize::try_from(ENTRY_HEADER_SIZE).ok()?)?;
    let length = usize::try_from(u64::from_be_bytes(head[1..9].try_into().ok()?)).ok()?;
    let checksum = u32::from_be_bytes(head[9..13].try_into().ok()?);
    if head[0] != 0 || length == 0 || length > MAX_ENTRY_LEN {
        return None;
    }
    let whole = crc32fast::hash(rest.get(..length)?) == checksum;
    whole.then_some(at + head.len() + length)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const HEAD: usize = FIRST_ENTRY_OFFSET as usize;
    const ENTRY_HEAD: usize = ENTRY_HEADER_SIZE as usize;
    const ENTRIES: [&[u8]; 3] = [b"the first entry", b"the second entry", b"the third entry"];

    /// Writes three entries, harms the file, and opens it again.
    fn opened(harm: impl Fn(&mut Vec<u8>)) -> io::Result<Vec<Vec<u8>>> {
        let folder = TempDir::new().unwrap();
        let mut wal = Wal::open(folder.path()).unwrap();
        wal.reset(7).unwrap();
        for entry in ENTRIES {
            wal.append(entry).unwrap();
        }
        wal.flush().unwrap();
        drop(wal);
        let path = folder.path().join(FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        harm(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        let mut wal = Wal::open(folder.path())?;
        let entries = wal.entries()?;
        // What is left can be written on.
        wal.append(b"one more").unwrap();
        drop(wal);
        let after = Wal::open(folder.path()).unwrap().entries().unwrap();
        assert_eq!(after[..entries.len()], entries);
        assert_eq!(after[entries.len()..], [b"one more"]);
        Ok(entries)
    }

    /// Where the entry with this number begins.
    fn place(n: usize) -> usize {
        HEAD + ENTRIES[..n].iter().map(|entry| ENTRY_HEAD + entry.len()).sum::<usize>()
    }

    #[test]
    fn an_end_that_was_never_flushed_is_dropped() {
        let check = |left: usize, harm: &dyn Fn(&mut Vec<u8>)| {
            assert_eq!(opened(harm).unwrap(), ENTRIES[..left]);
        };
        check(3, &|_| {});
        for cut in [1, ENTRIES[2].len(), ENTRIES[2].len() + ENTRY_HEAD - 1] {
            check(2, &|bytes| bytes.truncate(bytes.len() - cut));
        }
        check(2, &|bytes| *bytes.last_mut().unwrap() ^= 1);
        check(2, &|bytes| bytes[place(2) + 8] ^= 0x40);
        check(2, &|bytes| bytes[place(2)..].fill(0));
        check(3, &|bytes| bytes.extend([0; 4_096]));
        check(0, &|bytes| bytes.truncate(HEAD - 1));
        check(0, &|bytes| bytes.fill(0));
    }

    #[test]
    fn damage_with_whole_entries_after_it_is_named() {
        let check = |harm: &dyn Fn(&mut Vec<u8>)| {
            let error = opened(harm).unwrap_err().to_string();
            assert!(error.contains("damaged at byte"), "{error}");
        };
        check(&|bytes| bytes[place(1) + ENTRY_HEAD] ^= 1);
        // A length: too long by far, by one, too short, none.
        check(&|bytes| bytes[place(1) + 1] = 0xff);
        check(&|bytes| bytes[place(1) + 8] += 1);
        check(&|bytes| bytes[place(1) + 8] -= 1);
        check(&|bytes| bytes[place(1) + 8] = 0);
        check(&|bytes| bytes[place(0)..place(1)].fill(0));
    }
}
