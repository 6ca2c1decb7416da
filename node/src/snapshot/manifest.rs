//! The manifest of a snapshot, and how each part is held against the certified header.
//!
//! Blocks: their hashes after the frontier of the blocks before must give the header's
//! `history_root`. State: what the chunks cover, joined pairwise, must give its `state_root`.
//! That leaves open only where one chunk ends and the next begins. Honest nodes of one release
//! agree on that; a manifest that cuts otherwise is true and of no use, so chunks are only asked
//! of those that have named the same manifest by its hash.

use bincode::{Decode, Encode};
use symbolon_ledger::{
    block::{Header, header_hash},
    codec::{DecodeError, local},
    hash::{BlockHash, DIGEST_LEN, Digest, sha256},
    log::{self, Frontier},
    state::map_key,
    tree::whole::{KEY_BITS, Leaf, Subtree, join, subtree},
};
use thiserror::Error;

use super::{CHUNK_BYTES, MAX_PART_BYTES, first_header};

/// Version of the manifest's form.
pub const MANIFEST_VERSION: u32 = 1;
/// Bytes of a transaction's leaf: its number, and the hash of its signature.
pub const LEAF_BYTES: usize = 2 * DIGEST_LEN;
/// Bytes of framing of a list, of a record in a chunk (two lengths), and of a block in one.
pub(super) const LIST_FRAME: usize = 8;
pub(super) const PAIR_FRAME: usize = 16;

/// A manifest as it travels and rests. Nothing in it has been checked.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    pub version: u32,
    /// Height of the snapshot.
    pub height: u64,
    /// Roots of the complete subtrees over the blocks before the first one carried, largest first.
    pub peaks: Vec<[u8; DIGEST_LEN]>,
    /// Hashes of the blocks carried, the snapshot's own last.
    pub blocks: Vec<[u8; DIGEST_LEN]>,
    /// The chunks of headers, in order.
    pub history: Vec<HistoryPart>,
    /// The chunks of the state, in order.
    pub state: Vec<StatePart>,
}

/// A chunk of headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct HistoryPart {
    /// How many blocks it has.
    pub blocks: u32,
    /// Its length.
    pub bytes: u32,
}

/// A chunk of the state: all records whose keys begin with the same so many bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct StatePart {
    /// How many bits.
    pub depth: u16,
    /// Its length; 0 where nothing stands, and there is no such chunk to be fetched.
    pub bytes: u32,
    /// What stands there.
    pub place: Place,
}

/// What stands at a place of the state tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Place {
    /// Nothing.
    Empty,
    /// One record: its key in the map and its hash.
    Leaf([u8; DIGEST_LEN], [u8; DIGEST_LEN]),
    /// More than one, under this hash.
    Inner([u8; DIGEST_LEN]),
}

impl From<Subtree> for Place {
    fn from(place: Subtree) -> Self {
        match place {
            Subtree::Empty => Self::Empty,
            Subtree::Leaf(leaf) => Self::Leaf(leaf.key.0, leaf.value.0),
            Subtree::Inner(hash) => Self::Inner(hash.0),
        }
    }
}

impl From<Place> for Subtree {
    fn from(place: Place) -> Self {
        match place {
            Place::Empty => Self::Empty,
            Place::Leaf(key, value) => Self::Leaf(Leaf { key: Digest(key), value: Digest(value) }),
            Place::Inner(hash) => Self::Inner(Digest(hash)),
        }
    }
}

/// A header and the leaves of its transactions, as a chunk carries them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct CarriedBlock {
    /// The header's exact bytes.
    pub header: Vec<u8>,
    /// The leaves, [`LEAF_BYTES`] each.
    pub leaves: Vec<u8>,
}

/// Key and record, as a chunk carries them.
pub type CarriedRecord = (Vec<u8>, Vec<u8>);

/// Why a part of a snapshot is not believed. Whoever sent it is to blame.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Flaw {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Encoding(#[from] DecodeError),
    /// A form that this program does not know.
    #[error("snapshot version {0} is unknown; a newer release is needed")]
    Version(u32),
    /// The bundle does not lead from the founding to a certified header.
    #[error("the bundle: {0}")]
    Bundle(String),
    /// Another manifest than the sender has named.
    #[error("it is not the manifest that its sender had named by its hash")]
    OtherManifest,
    /// The manifest is of another height than its header.
    #[error("the manifest is of height {found}, the header of {expected}")]
    Height {
        /// The manifest's.
        found: u64,
        /// The header's.
        expected: u64,
    },
    /// The blocks named do not lead to the header's `history_root`.
    #[error("the blocks named are not those before the certified header")]
    Blocks,
    /// The chunks of headers are too many, too few or too long.
    #[error(
        "the chunks of headers do not cover the blocks named, or are cut otherwise than all cut"
    )]
    History,
    /// The chunks of the state do not lead to the header's `state_root`.
    #[error("the chunks of the state do not lead to the certified state root")]
    State,
    /// A chunk is longer or shorter than the manifest says.
    #[error("the chunk has {found} bytes, the manifest says {expected}")]
    Length {
        /// Its length.
        found: usize,
        /// What it should be.
        expected: usize,
    },
    /// A header is not the one named.
    #[error("header {0} of the chunk is not the one that the manifest names")]
    Header(usize),
    /// Leaves are not those of their header.
    #[error("the transactions of block {0} of the chunk are not those of its header")]
    Leaves(usize),
    /// The records are not those under the certified root.
    #[error("the records of the chunk are not those under the certified state root")]
    Records,
    /// There is no such chunk.
    #[error("there is no chunk {0}")]
    NoSuchChunk(u64),
    /// An inclusion that does not lead from a block of this height to the certified header.
    #[error("it does not prove a block {0} under the certified header")]
    Inclusion(u64),
}

/// A manifest that leads to a certified header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    manifest: Manifest,
    /// The frontier of the blocks before the first one carried.
    before: Frontier,
}

/// What a good chunk holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// Blocks from a height on.
    History {
        /// The first height.
        first: u64,
        /// Headers and leaves.
        blocks: Vec<(Header, CarriedBlock)>,
    },
    /// Records, in the order of their keys in the map.
    State {
        /// The leaves of the tree.
        leaves: Vec<Leaf>,
        /// The records.
        records: Vec<CarriedRecord>,
    },
}

impl Checked {
    /// Checks a manifest against the certified header of its height.
    ///
    /// # Errors
    ///
    /// [`Flaw`].
    pub fn new(bytes: &[u8], header: &Header) -> Result<Self, Flaw> {
        let manifest: Manifest = local::decode(bytes, MAX_PART_BYTES)?;
        if manifest.version != MANIFEST_VERSION {
            return Err(Flaw::Version(manifest.version));
        }
        if manifest.height != header.height {
            return Err(Flaw::Height { found: manifest.height, expected: header.height });
        }
        let before = check_blocks(&manifest, header)?;
        check_history(&manifest)?;
        check_state(&manifest, header)?;
        Ok(Self { manifest, before })
    }

    /// Height of the snapshot.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.manifest.height
    }

    /// How many chunks it has, those without bytes included.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        (self.manifest.history.len() + self.manifest.state.len()) as u64
    }

    /// Length of a chunk, counted from 0; 0 for one that need not be fetched. None past the end.
    #[must_use]
    pub fn chunk_bytes(&self, chunk: u64) -> Option<usize> {
        self.manifest.lengths().nth(usize::try_from(chunk).ok()?)
    }

    /// Bytes of all chunks.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.manifest.lengths().map(|bytes| bytes as u64).sum()
    }

    /// Hash of the block at a height, if it is one of those carried.
    #[must_use]
    pub fn block(&self, height: u64) -> Option<BlockHash> {
        let index = height.checked_sub(first_header(self.height()))?;
        self.manifest.blocks.get(usize::try_from(index).ok()?).copied().map(Digest)
    }

    /// The frontier of the blocks before the first one carried.
    #[must_use]
    pub fn before(&self) -> &Frontier {
        &self.before
    }

    /// Reads a chunk and checks that it is the one that the manifest names.
    ///
    /// # Errors
    ///
    /// [`Flaw`].
    pub fn chunk(&self, chunk: u64, bytes: &[u8]) -> Result<Chunk, Flaw> {
        let expected = self.chunk_bytes(chunk).ok_or(Flaw::NoSuchChunk(chunk))?;
        if bytes.len() != expected {
            return Err(Flaw::Length { found: bytes.len(), expected });
        }
        let index = usize::try_from(chunk).map_err(|_| Flaw::NoSuchChunk(chunk))?;
        match index.checked_sub(self.manifest.history.len()) {
            None => self.history(index, bytes),
            Some(index) => self.state(index, bytes),
        }
    }

    fn history(&self, index: usize, bytes: &[u8]) -> Result<Chunk, Flaw> {
        let parts = &self.manifest.history;
        let skipped: usize = parts[..index].iter().map(|part| part.blocks as usize).sum();
        let names = &self.manifest.blocks[skipped..skipped + parts[index].blocks as usize];
        let carried: Vec<CarriedBlock> = local::decode(bytes, CHUNK_BYTES)?;
        if carried.len() != names.len() || !begins_where_it_must(parts, index, &carried) {
            return Err(Flaw::History);
        }
        let blocks = carried.into_iter().zip(names).enumerate();
        let blocks = blocks
            .map(|(i, (block, name))| Ok((check_block(i, &block, name)?, block)))
            .collect::<Result<_, Flaw>>()?;
        Ok(Chunk::History { first: first_header(self.height()) + skipped as u64, blocks })
    }

    fn state(&self, index: usize, bytes: &[u8]) -> Result<Chunk, Flaw> {
        let part = self.manifest.state[index];
        if part.bytes == 0 {
            return Ok(Chunk::State { leaves: Vec::new(), records: Vec::new() });
        }
        let records: Vec<CarriedRecord> = local::decode(bytes, CHUNK_BYTES)?;
        let leaf =
            |(key, record): &CarriedRecord| Leaf { key: map_key(key), value: sha256(record) };
        let leaves: Vec<_> = records.iter().map(leaf).collect();
        let ascending = leaves.windows(2).all(|pair| pair[0].key < pair[1].key);
        let found = ascending.then(|| subtree(&leaves, part.depth.into()).hash());
        if found != Some(Subtree::from(part.place).hash()) {
            return Err(Flaw::Records);
        }
        Ok(Chunk::State { leaves, records })
    }
}

impl Manifest {
    /// Lengths of the chunks, in order.
    pub(super) fn lengths(&self) -> impl Iterator<Item = usize> {
        let history = self.history.iter().map(|part| part.bytes as usize);
        history.chain(self.state.iter().map(|part| part.bytes as usize))
    }
}

fn check_block(index: usize, block: &CarriedBlock, name: &[u8]) -> Result<Header, Flaw> {
    if header_hash(&block.header).as_bytes() != name {
        return Err(Flaw::Header(index));
    }
    let header = Header::decode(&block.header)?;
    let (leaves, rest) = block.leaves.as_chunks::<LEAF_BYTES>();
    let leaves: Vec<_> = leaves.iter().map(|leaf| log::leaf_hash(leaf)).collect();
    if !rest.is_empty() || log::root(&leaves) != header.transactions_root {
        return Err(Flaw::Leaves(index));
    }
    Ok(header)
}

fn check_blocks(manifest: &Manifest, header: &Header) -> Result<Frontier, Flaw> {
    let first = first_header(header.height);
    let peaks = manifest.peaks.iter().map(|peak| Digest(*peak)).collect();
    let before = Frontier::from_peaks(first, peaks).ok_or(Flaw::Blocks)?;
    let (last, earlier) = manifest.blocks.split_last().ok_or(Flaw::Blocks)?;
    let mut frontier = before.clone();
    for block in earlier {
        frontier.push(log::leaf_hash(block));
    }
    let fits = frontier.size() == header.height
        && frontier.root() == header.history_root
        && *last == header.hash().0;
    if fits { Ok(before) } else { Err(Flaw::Blocks) }
}

/// A chunk holds as many blocks as fit. So none is empty, and two neighbours are together longer
/// than one may be: there cannot be many of them, whatever their sender says.
fn check_history(manifest: &Manifest) -> Result<(), Flaw> {
    let parts = &manifest.history;
    let blocks: u64 = parts.iter().map(|part| u64::from(part.blocks)).sum();
    let bounded = parts.iter().all(|part| part.blocks > 0 && part.bytes as usize <= CHUNK_BYTES);
    let full = parts.windows(2).all(|pair| {
        pair[0].bytes as usize + (pair[1].bytes as usize).saturating_sub(LIST_FRAME) > CHUNK_BYTES
    });
    let covered = blocks == manifest.blocks.len() as u64;
    if bounded && full && covered { Ok(()) } else { Err(Flaw::History) }
}

/// Whether the first block of a chunk had no room in the chunk before.
fn begins_where_it_must(parts: &[HistoryPart], index: usize, carried: &[CarriedBlock]) -> bool {
    let before = index.checked_sub(1).and_then(|before| parts.get(before));
    let (Some(before), Some(first)) = (before, carried.first()) else { return true };
    let length = PAIR_FRAME + first.header.len() + first.leaves.len();
    before.bytes as usize + length > CHUNK_BYTES
}

fn check_state(manifest: &Manifest, header: &Header) -> Result<(), Flaw> {
    let fits = |part: &StatePart| {
        part.bytes as usize <= CHUNK_BYTES && (part.bytes == 0) == (part.place == Place::Empty)
    };
    let mut parts = manifest.state.iter();
    let (root, _) = fold(&mut parts, 0).ok_or(Flaw::State)?;
    let whole = parts.next().is_none() && manifest.state.iter().all(fits);
    if whole && root.hash() == header.state_root { Ok(()) } else { Err(Flaw::State) }
}

/// Joins the parts that lie under one place at `depth`, and gives the bytes of their records; none
/// when they do not cover it exactly, or would all fit into one chunk.
fn fold(parts: &mut std::slice::Iter<'_, StatePart>, depth: usize) -> Option<(Subtree, usize)> {
    let next = parts.as_slice().first()?;
    if usize::from(next.depth) == depth {
        parts.next();
        return Some((next.place.into(), (next.bytes as usize).saturating_sub(LIST_FRAME)));
    }
    if usize::from(next.depth) < depth || depth >= KEY_BITS {
        return None;
    }
    let (left, left_bytes) = fold(parts, depth + 1)?;
    let (right, right_bytes) = fold(parts, depth + 1)?;
    let bytes = left_bytes.saturating_add(right_bytes);
    let needed = LIST_FRAME.saturating_add(bytes) > CHUNK_BYTES;
    needed.then(|| (join(left, right), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of `docs/spec/snapshot.md`: a change here is a new [`MANIFEST_VERSION`].
    #[test]
    fn the_forms_have_the_bytes_of_the_specification() {
        let long = |n: u64| n.to_be_bytes();
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            height: 7,
            peaks: vec![[1; 32]],
            blocks: vec![[2; 32], [3; 32]],
            history: vec![HistoryPart { blocks: 2, bytes: 700 }],
            state: vec![
                StatePart { depth: 1, bytes: 900, place: Place::Inner([4; 32]) },
                StatePart { depth: 2, bytes: 300, place: Place::Leaf([5; 32], [6; 32]) },
                StatePart { depth: 2, bytes: 0, place: Place::Empty },
            ],
        };
        let parts: [&[u8]; 16] = [
            &[0, 0, 0, 1],
            &long(7),
            &long(1),
            &[1; 32],
            &long(2),
            &[2; 32],
            &[3; 32],
            &long(1),
            &[0, 0, 0, 2, 0, 0, 0x02, 0xbc],
            &long(3),
            &[0, 1, 0, 0, 0x03, 0x84, 0, 0, 0, 2],
            &[4; 32],
            &[0, 2, 0, 0, 0x01, 0x2c, 0, 0, 0, 1],
            &[5; 32],
            &[6; 32],
            &[0, 2, 0, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(local::encode(&manifest), parts.concat());
        let blocks = vec![CarriedBlock { header: vec![0xa1; 3], leaves: vec![7; LEAF_BYTES] }];
        let parts: [&[u8]; 5] = [&long(1), &long(3), &[0xa1; 3], &long(64), &[7; 64]];
        assert_eq!(local::encode(&blocks), parts.concat());
        let records: Vec<CarriedRecord> = vec![(vec![0x82, 0, 0x80], vec![0xa1, 0, 1])];
        let parts: [&[u8]; 5] = [&long(1), &long(3), &[0x82, 0, 0x80], &long(3), &[0xa1, 0, 1]];
        assert_eq!(local::encode(&records), parts.concat());
    }

    #[test]
    fn parts_that_do_not_cover_the_tree_exactly_are_refused() {
        let bytes = u32::try_from(CHUNK_BYTES).unwrap();
        let part = |depth| StatePart { depth, bytes, place: Place::Inner([1; 32]) };
        let check = |depths: &[u16], good: bool| {
            let parts: Vec<_> = depths.iter().map(|depth| part(*depth)).collect();
            let mut left = parts.iter();
            let covered = fold(&mut left, 0).is_some() && left.next().is_none();
            assert_eq!(covered, good, "{depths:?}");
        };
        check(&[0], true);
        check(&[1, 1], true);
        check(&[2, 2, 1], true);
        check(&[1, 3, 3, 2], true);
        check(&[], false);
        check(&[0, 0], false);
        check(&[1], false);
        check(&[1, 2], false);
        check(&[2, 1], false);
        check(&[2, 2, 1, 1], false);
        check(&[u16::MAX], false);
    }

    #[test]
    fn parts_that_are_cut_finer_than_they_must_be_are_refused() {
        let full = u32::try_from(CHUNK_BYTES).unwrap();
        let history = |parts: &[(u32, u32)], good: bool| {
            let blocks: u32 = parts.iter().map(|(blocks, _)| blocks).sum();
            let manifest = Manifest {
                version: MANIFEST_VERSION,
                height: 7,
                peaks: Vec::new(),
                blocks: vec![[0; 32]; blocks as usize],
                history: parts
                    .iter()
                    .map(|&(blocks, bytes)| HistoryPart { blocks, bytes })
                    .collect(),
                state: Vec::new(),
            };
            assert_eq!(check_history(&manifest).is_ok(), good, "{parts:?}");
        };
        history(&[(3, 900)], true);
        history(&[(3, full), (1, 300)], true);
        history(&[(3, full - 200), (1, 300)], true);
        history(&[(3, 900), (0, 8)], false);
        history(&[(0, 8), (3, 900)], false);
        history(&[(3, full), (0, full)], false);
        history(&[(3, full + 1)], false);
        // Each of two neighbours would have had room in the other.
        history(&[(1, 300), (1, 300)], false);
        history(&[(3, full - 300), (1, 300)], false);
        let state = |bytes: &[u32], good: bool| {
            let part =
                |bytes: &u32| StatePart { depth: 1, bytes: *bytes, place: Place::Inner([1; 32]) };
            let parts: Vec<_> = bytes.iter().map(part).collect();
            assert_eq!(fold(&mut parts.iter(), 0).is_some(), good, "{bytes:?}");
        };
        state(&[full, 300], true);
        state(&[300, full], true);
        state(&[300, 300], false);
        state(&[full - 300, 300], false);
    }
}
