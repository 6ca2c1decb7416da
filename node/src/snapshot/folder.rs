//! Snapshots as they rest: a folder for each, in `snapshots/` of the data folder, under its height.
//!
//! `bundle` and `manifest` are what their names say; `chunks` holds all chunks, one after the other.
//! A folder that is being written has another name, so whatever has a height for a name is whole.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use symbolon_ledger::{
    codec::local,
    hash::{Digest, sha256},
};

use super::{BUNDLE, FIRST_CHUNK, MANIFEST, MAX_PART_BYTES, SNAPSHOTS_KEPT, manifest::Manifest};

/// Folder of the snapshots in the data folder.
pub const SNAPSHOTS: &str = "snapshots";
/// File of the bundle.
pub const BUNDLE_FILE: &str = "bundle";
/// File of the manifest.
pub const MANIFEST_FILE: &str = "manifest";
/// File of all chunks.
pub const CHUNKS_FILE: &str = "chunks";
/// What the name of a folder begins with that is being written.
const UNFINISHED: &str = "making-";

/// One snapshot on disk.
#[derive(Debug)]
pub struct Snapshot {
    path: PathBuf,
    height: u64,
    /// Hash of the manifest.
    hash: Digest,
    /// Where each chunk begins, and where the last one ends.
    begins: Vec<u64>,
}

impl Snapshot {
    /// Opens one. Its parts are checked by whoever reads them.
    ///
    /// # Errors
    ///
    /// What the system says, or that its manifest cannot be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let bytes = read_file(&path.join(MANIFEST_FILE))?;
        let manifest: Manifest = local::decode(&bytes, MAX_PART_BYTES).map_err(io::Error::other)?;
        let mut begins = vec![0];
        let mut end = 0u64;
        for length in manifest.lengths() {
            end = end.saturating_add(length as u64);
            begins.push(end);
        }
        Ok(Self { path: path.to_owned(), height: manifest.height, hash: sha256(&bytes), begins })
    }

    /// Its height.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.height
    }

    /// The hash of its manifest, which tells it from another of its height.
    #[must_use]
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of a part; none when it has no such part.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn part(&self, part: u64) -> io::Result<Option<Vec<u8>>> {
        match part {
            BUNDLE => read_file(&self.path.join(BUNDLE_FILE)).map(Some),
            MANIFEST => read_file(&self.path.join(MANIFEST_FILE)).map(Some),
            chunk => self.chunk(chunk - FIRST_CHUNK),
        }
    }

    fn chunk(&self, chunk: u64) -> io::Result<Option<Vec<u8>>> {
        let Ok(index) = usize::try_from(chunk) else { return Ok(None) };
        let (Some(begin), Some(end)) =
            (self.begins.get(index), index.checked_add(1).and_then(|next| self.begins.get(next)))
        else {
            return Ok(None);
        };
        let length = usize::try_from(end - begin).map_err(io::Error::other)?;
        let mut file = File::open(self.path.join(CHUNKS_FILE))?;
        file.seek(SeekFrom::Start(*begin))?;
        let mut bytes = vec![0; length.min(MAX_PART_BYTES)];
        file.read_exact(&mut bytes)?;
        Ok(Some(bytes))
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_PART_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Has a file or folder on the disk, not only on its way there.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The snapshots that this node has.
#[derive(Debug)]
pub struct Shelf {
    root: PathBuf,
    snapshots: Mutex<BTreeMap<u64, Arc<Snapshot>>>,
}

impl Shelf {
    /// Opens those in a data folder, and removes what was not finished.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn open(data: &Path) -> io::Result<Self> {
        let root = data.join(SNAPSHOTS);
        std::fs::create_dir_all(&root)?;
        let mut snapshots = BTreeMap::new();
        for entry in std::fs::read_dir(&root)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(UNFINISHED) {
                std::fs::remove_dir_all(&path)?;
            } else if let Ok(height) = name.parse::<u64>() {
                match Snapshot::open(&path) {
                    Ok(snapshot) if snapshot.height == height => {
                        snapshots.insert(height, Arc::new(snapshot));
                    }
                    Ok(_) => tracing::warn!(height, "a snapshot is of another height"),
                    Err(error) => tracing::warn!(height, %error, "a snapshot cannot be read"),
                }
            }
        }
        Ok(Self { root, snapshots: Mutex::new(snapshots) })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Snapshot>>> {
        // Every change below is complete before the lock can be poisoned.
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Heights of the snapshots, ascending.
    #[must_use]
    pub fn heights(&self) -> Vec<u64> {
        self.lock().keys().copied().collect()
    }

    /// Height and hash of the manifest of each.
    #[must_use]
    pub fn offers(&self) -> Vec<(u64, Digest)> {
        self.lock().iter().map(|(height, snapshot)| (*height, snapshot.hash())).collect()
    }

    /// The snapshot of a height.
    #[must_use]
    pub fn get(&self, height: u64) -> Option<Arc<Snapshot>> {
        self.lock().get(&height).cloned()
    }

    /// The bytes of a part; none when there is no such snapshot or part, or it cannot be read.
    #[must_use]
    pub fn part(&self, height: u64, part: u64) -> Option<Vec<u8>> {
        match self.get(height)?.part(part) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(height, part, %error, "a part of a snapshot cannot be read");
                None
            }
        }
    }

    /// Where the snapshot of a height is written, until it is [`Shelf::add`]ed.
    #[must_use]
    pub fn unfinished(&self, height: u64) -> PathBuf {
        self.root.join(format!("{UNFINISHED}{height}"))
    }

    /// Takes a finished snapshot in, durably, and drops the oldest beyond [`SNAPSHOTS_KEPT`].
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn add(&self, unfinished: &Path, height: u64) -> io::Result<()> {
        let path = self.root.join(height.to_string());
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        for name in [BUNDLE_FILE, MANIFEST_FILE, CHUNKS_FILE] {
            sync(&unfinished.join(name))?;
        }
        sync(unfinished)?;
        std::fs::rename(unfinished, &path)?;
        sync(&self.root)?;
        let snapshot = Arc::new(Snapshot::open(&path)?);
        let mut snapshots = self.lock();
        snapshots.insert(height, snapshot);
        while snapshots.len() > SNAPSHOTS_KEPT {
            let Some((_, oldest)) = snapshots.pop_first() else { break };
            std::fs::remove_dir_all(oldest.path())?;
        }
        Ok(())
    }
}
