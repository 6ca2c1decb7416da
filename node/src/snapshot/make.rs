//! Writes a snapshot from a view of the database, in bounded memory.
//!
//! The records lie in the database in the order of their own keys, the chunks hold them in the
//! order of their places in the tree. So they are written to a file first, which is halved by one
//! bit of the place after the other until a part fits into memory. Where a chunk ends follows from
//! the records alone: a place is one chunk if all of it is at most [`CHUNK_BYTES`] long, and two
//! halves otherwise.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use symbolon_ledger::{
    codec::{self, local},
    hash::{DIGEST_LEN, Digest, sha256},
    state::map_key,
    tree::whole::{KEY_BITS, Leaf, Subtree, bit, subtree},
};
use thiserror::Error;

use super::{
    CHUNK_BYTES, MAX_PART_BYTES, first_header,
    folder::{BUNDLE_FILE, CHUNKS_FILE, MANIFEST_FILE},
    manifest::{
        CarriedBlock, CarriedRecord, HistoryPart, LIST_FRAME, MANIFEST_VERSION, Manifest,
        PAIR_FRAME, StatePart,
    },
};
use crate::storage::{StorageError, View};

/// Most bytes of records that are sorted in memory at once.
const IN_MEMORY: u64 = 32 * 1024 * 1024;
/// Bytes of a record's two lengths in a file of records.
const LENGTHS: usize = 8;

/// Why a snapshot was not made.
#[derive(Debug, Error)]
pub enum MakeError {
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The folder of the snapshot.
    #[error("cannot write the snapshot: {0}")]
    Write(#[from] io::Error),
    /// A bundle or a manifest that no peer would take.
    #[error("its {what} has {bytes} bytes, more than the {MAX_PART_BYTES} that a peer takes")]
    TooLarge {
        /// Which.
        what: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// What was written does not lead to the header: the database is damaged.
    #[error("the state does not have the root that the header of block {0} names")]
    WrongRoot(u64),
    /// The leaves of a block that the window needs are not in the database yet.
    #[error("the transactions of block {0} are not kept here")]
    NoLeaves(u64),
}

/// Writes the snapshot of the view's height into `folder`, which must not exist.
///
/// # Errors
///
/// [`MakeError`]; the folder is then of no use.
pub fn make(view: &View<'_>, folder: &Path) -> Result<(), MakeError> {
    std::fs::create_dir(folder)?;
    let height = view.tip().height;
    let bundle = fitting("bundle", codec::encode(&view.trust_bundle()?))?;
    std::fs::write(folder.join(BUNDLE_FILE), bundle)?;
    let mut writer = Writer {
        chunks: BufWriter::new(File::create(folder.join(CHUNKS_FILE))?),
        manifest: Manifest {
            version: MANIFEST_VERSION,
            height,
            peaks: Vec::new(),
            blocks: Vec::new(),
            history: Vec::new(),
            state: Vec::new(),
        },
        folder: folder.to_owned(),
        files: 0,
    };
    writer.history(view)?;
    let records = writer.records(view)?;
    let root = writer.state(&records, 0)?;
    if root.hash() != view.tip().header.state_root {
        return Err(MakeError::WrongRoot(height));
    }
    writer.chunks.flush()?;
    let manifest = fitting("manifest", local::encode(&writer.manifest))?;
    std::fs::write(folder.join(MANIFEST_FILE), manifest)?;
    Ok(())
}

fn fitting(what: &'static str, bytes: Vec<u8>) -> Result<Vec<u8>, MakeError> {
    if bytes.len() > MAX_PART_BYTES {
        return Err(MakeError::TooLarge { what, bytes: bytes.len() });
    }
    Ok(bytes)
}

/// A file of records that all lie under one place.
struct Records {
    path: PathBuf,
    bytes: u64,
}

struct Entry {
    place: Digest,
    record: CarriedRecord,
}

impl Entry {
    fn carried(&self) -> usize {
        PAIR_FRAME + self.record.0.len() + self.record.1.len()
    }
}

struct Writer {
    chunks: BufWriter<File>,
    manifest: Manifest,
    folder: PathBuf,
    files: u64,
}

impl Writer {
    /// Headers and leaves, as many blocks to a chunk as fit.
    fn history(&mut self, view: &View<'_>) -> Result<(), MakeError> {
        let height = view.tip().height;
        let first = first_header(height);
        let before = view.frontier_at(first)?;
        self.manifest.peaks = before.peaks().iter().map(|peak| peak.0).collect();
        let (mut chunk, mut bytes) = (Vec::new(), LIST_FRAME);
        for height in first..=height {
            let missing = || StorageError::damaged(format!("header {height} is missing"));
            let header = view.header_bytes(height)?.ok_or_else(missing)?;
            let leaves = match view.leaves(height)? {
                Some(leaves) => leaves,
                // The founding block has no transactions.
                None if height == 0 => Vec::new(),
                None => return Err(MakeError::NoLeaves(height)),
            };
            self.manifest.blocks.push(symbolon_ledger::block::header_hash(&header).0);
            let length = PAIR_FRAME + header.len() + leaves.len();
            if !chunk.is_empty() && bytes + length > CHUNK_BYTES {
                self.history_chunk(&std::mem::take(&mut chunk))?;
                bytes = LIST_FRAME;
            }
            bytes += length;
            chunk.push(CarriedBlock { header, leaves });
        }
        self.history_chunk(&chunk)
    }

    fn history_chunk(&mut self, blocks: &Vec<CarriedBlock>) -> Result<(), MakeError> {
        let bytes = local::encode(blocks);
        self.chunks.write_all(&bytes)?;
        self.manifest.history.push(HistoryPart {
            blocks: u32::try_from(blocks.len()).map_err(io::Error::other)?,
            bytes: u32::try_from(bytes.len()).map_err(io::Error::other)?,
        });
        Ok(())
    }

    /// Writes all authenticated records into a file, in the order of the database.
    fn records(&mut self, view: &View<'_>) -> Result<Records, MakeError> {
        let (mut file, mut records) = self.file()?;
        for entry in view.records() {
            let (key, record) = entry?;
            let entry = Entry { place: map_key(&key), record: (key.into(), record.into()) };
            records.bytes += put(&mut file, &entry)?;
        }
        file.flush()?;
        Ok(records)
    }

    fn file(&mut self) -> io::Result<(BufWriter<File>, Records)> {
        let path = self.folder.join(format!("records-{}", self.files));
        self.files += 1;
        Ok((BufWriter::new(File::create(&path)?), Records { path, bytes: 0 }))
    }

    /// Writes the chunks of all records under the place at `depth`.
    fn state(&mut self, records: &Records, depth: usize) -> Result<Subtree, MakeError> {
        if records.bytes <= IN_MEMORY || depth >= KEY_BITS {
            let mut entries = Vec::new();
            let mut file = BufReader::new(File::open(&records.path)?);
            let mut left = records.bytes;
            while left > 0 {
                let (entry, bytes) = take(&mut file)?;
                left = left.saturating_sub(bytes);
                entries.push(entry);
            }
            std::fs::remove_file(&records.path)?;
            entries.sort_unstable_by_key(|entry| entry.place);
            return self.sorted(entries, depth);
        }
        let (left, right) = self.halve(records, depth)?;
        let left = self.state(&left, depth + 1)?;
        Ok(symbolon_ledger::tree::whole::join(left, self.state(&right, depth + 1)?))
    }

    fn halve(&mut self, records: &Records, depth: usize) -> io::Result<(Records, Records)> {
        let (mut left_file, mut left) = self.file()?;
        let (mut right_file, mut right) = self.file()?;
        let mut file = BufReader::new(File::open(&records.path)?);
        let mut rest = records.bytes;
        while rest > 0 {
            let (entry, bytes) = take(&mut file)?;
            rest = rest.saturating_sub(bytes);
            if bit(&entry.place, depth) {
                right.bytes += put(&mut right_file, &entry)?;
            } else {
                left.bytes += put(&mut left_file, &entry)?;
            }
        }
        left_file.flush()?;
        right_file.flush()?;
        std::fs::remove_file(&records.path)?;
        Ok((left, right))
    }

    fn sorted(&mut self, mut entries: Vec<Entry>, depth: usize) -> Result<Subtree, MakeError> {
        let bytes = LIST_FRAME + entries.iter().map(Entry::carried).sum::<usize>();
        if bytes > CHUNK_BYTES && depth < KEY_BITS {
            let middle = entries.partition_point(|entry| !bit(&entry.place, depth));
            let right = entries.split_off(middle);
            let left = self.sorted(entries, depth + 1)?;
            return Ok(symbolon_ledger::tree::whole::join(left, self.sorted(right, depth + 1)?));
        }
        let leaf = |entry: &Entry| Leaf { key: entry.place, value: sha256(&entry.record.1) };
        let place = subtree(&entries.iter().map(leaf).collect::<Vec<_>>(), depth);
        let records: Vec<_> = entries.into_iter().map(|entry| entry.record).collect();
        let chunk = if records.is_empty() { Vec::new() } else { local::encode(&records) };
        self.chunks.write_all(&chunk)?;
        self.manifest.state.push(StatePart {
            depth: u16::try_from(depth).map_err(io::Error::other)?,
            bytes: u32::try_from(chunk.len()).map_err(io::Error::other)?,
            place: place.into(),
        });
        Ok(place)
    }
}

/// Appends a record: its place, two lengths, key, record.
fn put(file: &mut impl Write, entry: &Entry) -> io::Result<u64> {
    let (key, record) = &entry.record;
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(io::Error::other);
    file.write_all(entry.place.as_bytes())?;
    file.write_all(&length(key)?.to_be_bytes())?;
    file.write_all(&length(record)?.to_be_bytes())?;
    file.write_all(key)?;
    file.write_all(record)?;
    Ok((DIGEST_LEN + LENGTHS + key.len() + record.len()) as u64)
}

/// Reads what [`put`] has written, from a file of our own.
fn take(file: &mut impl Read) -> io::Result<(Entry, u64)> {
    let mut place = [0; DIGEST_LEN];
    file.read_exact(&mut place)?;
    let mut length = || -> io::Result<usize> {
        let mut bytes = [0; LENGTHS / 2];
        file.read_exact(&mut bytes)?;
        usize::try_from(u32::from_be_bytes(bytes)).map_err(io::Error::other)
    };
    let (key, record) = (length()?, length()?);
    let (mut key, mut record) = (vec![0; key], vec![0; record]);
    file.read_exact(&mut key)?;
    file.read_exact(&mut record)?;
    let bytes = (DIGEST_LEN + LENGTHS + key.len() + record.len()) as u64;
    Ok((Entry { place: Digest(place), record: (key, record) }, bytes))
}
