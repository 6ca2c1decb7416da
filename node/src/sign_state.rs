//! The mark on disk: the newest thing that the validator's key has signed, in a file beside the
//! key, so that it outlives the database and the log.
//!
//! The rule stands in [`symbolon_consensus::mark`]; moving the file with the key is [`handover`],
//! and changing to another key `next`.
//! Here the mark is kept: one sector is overwritten and synced before a message leaves, the two
//! slots in turn, so that the one before stays whole whatever becomes of the write. Two processes
//! cannot hold one file. A file that is missing or cannot be read says nothing, and nothing is
//! not "never signed": the validator then looks on before it votes.

pub mod handover;
mod next;

use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use bincode::{Decode, Encode};
use symbolon_consensus::{
    Signed,
    mark::{WATCHED_HEIGHTS, place},
};
use symbolon_ledger::{
    codec::local,
    codes::ProvinceCode,
    hash::{ChainId, DIGEST_LEN, sha256},
    keys::{PUBLIC_KEY_LEN, PublicKey},
    vote::Statement,
};
use thiserror::Error;

use crate::storage::StorageError;

/// What is added to the name of the key's file.
pub const SUFFIX: &str = ".signed";
/// Bytes of a slot: one sector, which a disk writes whole or not at all.
const SLOT: usize = 512;
/// Distance of the two slots: a page, so that no block of the file system holds both.
const DISTANCE: u64 = 4_096;
/// Bytes before a record: its length (2) and its SHA-256.
const HEAD: usize = 2 + DIGEST_LEN;
/// Version of the record.
const VERSION: u8 = 1;
/// Only its owner reads and writes it, as with the key.
const MODE: u32 = 0o600;

/// Why the sign state cannot be used.
#[derive(Debug, Error)]
pub enum SignStateError {
    /// What the system says.
    #[error("sign state {}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process holds it.
    #[error("sign state {} is in use by another process; stop that node first", .path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is of another key, province or chain.
    #[error(
        "sign state {} belongs to another {what}; put the file of this key there, or move it away",
        .path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// It was exported, and the key votes elsewhere.
    #[error(
        "sign state {} was handed over or given up, so this key votes elsewhere; bring it back with symbolon-node sign-state import, or run as an observer",
        .path.display()
    )]
    HandedOver {
        /// The file.
        path: PathBuf,
    },
    /// One is to be made where there is one.
    #[error(
        "sign state {} is there already; move it away only if you know what this key has signed",
        .path.display()
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// There is none.
    #[error(
        "there is no sign state {}; if this key ever voted, just start the node: it looks on before it votes; only for a key that never voted: symbolon-node sign-state new",
        .path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing to hand over: what was signed is not known.
    #[error(
        "sign state {} does not know what was signed; let the validator run until it votes again, then export",
        .path.display()
    )]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// It is to be said that the key signed nothing, and the database has heights at which it had a vote.
    #[error(
        "the database in {} has blocks up to height {height}, and this key had a vote there; if it ever voted, just start the node: it looks on before it votes; only if you know that it signed nothing above a height H, which is {height} or more: symbolon-node sign-state new --signed-up-to H",
        .data.display()
    )]
    Voted {
        /// The data folder.
        data: PathBuf,
        /// Height of its newest block.
        height: u64,
    },
    /// The database does not tell whether the key had a vote.
    #[error(
        "whether this key has voted is to be seen from the database, and that cannot be read: {0}; mend it, or move data_dir away"
    )]
    Database(#[from] StorageError),
    /// An export would replace a file.
    #[error(
        "{} is there already, and an export replaces nothing; name a new file with --out",
        .path.display()
    )]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing to import.
    #[error(
        "there is no file {}; name the one that symbolon-node sign-state export has written on the other machine",
        .path.display()
    )]
    NoExport {
        /// The file.
        path: PathBuf,
    },
    /// An exported mark of another key, province or chain.
    #[error(
        "{} is the mark of another {what}; import the file that was exported for this node's key",
        .path.display()
    )]
    ForeignExport {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// An exported file that is older than what is known here.
    #[error(
        "the exported mark is at height {exported}, and this key has signed at height {known}; import the newest export"
    )]
    Older {
        /// Height of the exported mark.
        exported: u64,
        /// Height of the mark here.
        known: u64,
    },
    /// Not an exported sign state.
    #[error(
        "{} is not an exported sign state: {problem}; name the file that symbolon-node sign-state export has written",
        .path.display()
    )]
    Export {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// Whose mark it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The chain.
    pub chain: ChainId,
    /// The province.
    pub province: ProvinceCode,
    /// The validator's public key.
    pub key: PublicKey,
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing above this was signed; without a mark, nothing at all.
    Known(Option<Statement>),
    /// It is not known; the validator looks on. What was signed is at least as high as the mark, if
    /// there is one: nothing older is taken for the newest again.
    Unknown(Option<Statement>),
    /// The key votes elsewhere. The mark is the one that was exported.
    HandedOver(Option<Statement>),
}

/// What the engine needs of it.
pub trait Marks: Send {
    /// Makes `statement` the mark, unless the mark is as high already. Durable when it returns.
    ///
    /// # Errors
    ///
    /// What the system says; the node must stop, and nothing may leave.
    fn keep(&mut self, statement: &Statement) -> io::Result<()>;

    /// Whether the key is at a second site too.
    fn is_shared(&self) -> bool {
        false
    }

    /// The key votes elsewhere: this mark is not to be voted on again before it was brought back.
    /// Durable when it returns.
    ///
    /// # Errors
    ///
    /// What the system says; the node must stop, and nothing may leave.
    fn give_up(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The open file.
#[derive(Debug)]
pub struct SignState {
    file: File,
    path: PathBuf,
    owner: Owner,
    standing: Standing,
    /// Whether the key is at a second site too.
    shared: bool,
    /// Counts the writes; it says which slot is newer and which one comes next.
    turn: u64,
    /// The file of the key that is to take over.
    next: Option<Box<SignState>>,
}

#[derive(Debug, Encode, Decode)]
struct Record {
    version: u8,
    turn: u64,
    chain: [u8; DIGEST_LEN],
    province: String,
    key: [u8; PUBLIC_KEY_LEN],
    /// 0 known, 1 not known, 2 handed over.
    standing: u8,
    /// The bytes that were signed, without the signature.
    mark: Option<Vec<u8>>,
}

/// Where the sign state of a key lies, unless the configuration says otherwise.
#[must_use]
pub fn beside(key: &Path) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push(SUFFIX);
    name.into()
}

impl SignState {
    /// Takes the file for a node that is about to vote. Where there is none, one is begun that
    /// knows nothing.
    ///
    /// # Errors
    ///
    /// [`SignStateError`]: the node must not start.
    pub fn take(path: &Path, owner: Owner) -> Result<Self, SignStateError> {
        let state = match Self::open(path, owner)? {
            Some(state) => state,
            None => Self::create(path, owner, Standing::Unknown(None))?,
        };
        let file = path.display();
        match &state.standing {
            Standing::HandedOver(_) => {
                return Err(SignStateError::HandedOver { path: path.to_owned() });
            }
            Standing::Known(mark) => {
                let height = mark.as_ref().map_or(0, |mark| mark.height);
                tracing::info!(%file, height, "what this validator signed last is known");
            }
            Standing::Unknown(_) => tracing::warn!(
                %file,
                heights = WATCHED_HEIGHTS,
                "it is not known what this validator has signed: it looks on for whole heights before it votes; only if its key never voted: symbolon-node sign-state new"
            ),
        }
        Ok(state)
    }

    /// Opens the file, if there is one.
    ///
    /// # Errors
    ///
    /// [`SignStateError`] when another process holds it, it is of somebody else, or it cannot be
    /// read. What it says being damaged is no error: then it is not known what was signed.
    pub fn open(path: &Path, owner: Owner) -> Result<Option<Self>, SignStateError> {
        let fail = |source| SignStateError::Io { path: path.to_owned(), source };
        let file = match File::options().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail(error)),
        };
        lock(&file, path)?;
        let slots = [read_slot(&file, 0).map_err(fail)?, read_slot(&file, 1).map_err(fail)?];
        for record in slots.iter().flatten() {
            record.check(path, &owner)?;
        }
        let newest = slots.iter().flatten().max_by_key(|record| record.turn);
        let turn = newest.map_or(0, |record| record.turn);
        let whole = slots.iter().all(Option::is_some);
        let standing = match newest.and_then(Record::standing) {
            Some(standing @ Standing::HandedOver(_)) => standing,
            Some(standing) if whole => standing,
            // The slot that cannot be read may have been the newer one.
            _ => {
                tracing::error!(file = %path.display(), "the sign state is damaged");
                Standing::Unknown(None)
            }
        };
        let path = path.to_owned();
        let (shared, next) = (false, None);
        Ok(Some(Self { file, path, owner, standing, shared, turn, next }))
    }

    /// Makes the file.
    ///
    /// # Errors
    ///
    /// [`SignStateError::Exists`], or what the system says.
    pub fn create(path: &Path, owner: Owner, standing: Standing) -> Result<Self, SignStateError> {
        let fail = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => SignStateError::Exists { path: path.to_owned() },
            _ => SignStateError::Io { path: path.to_owned(), source },
        };
        let mut options = File::options();
        options.read(true).write(true).create_new(true).mode(MODE);
        let file = options.open(path).map_err(fail)?;
        lock(&file, path)?;
        let path = path.to_owned();
        let (shared, next) = (false, None);
        let mut state = Self { file, path, owner, standing, shared, turn: 0, next };
        // Both slots, so that one that cannot be read is damage ever after.
        state.write().and_then(|()| state.write()).map_err(fail)?;
        // A new file is durable only when its folder is.
        let folder = state.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new("."))).map_err(fail)?;
        state.file.sync_all().and_then(|()| folder.sync_all()).map_err(fail)?;
        Ok(state)
    }

    /// What it says.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The same for a key that is at a second site too, or is not.
    #[must_use]
    pub fn shared(self, shared: bool) -> Self {
        Self { shared, ..self }
    }

    /// What consensus has to know of it, from `now_ms` (milliseconds since 1970) on.
    #[must_use]
    pub fn signed(&self, now_ms: u64) -> Signed {
        let next = self.next.as_ref().map(|next| &next.standing);
        match &self.standing {
            Standing::Known(mark) if matches!(next, None | Some(Standing::Known(_))) => {
                Signed::UpTo(mark.clone())
            }
            _ if self.shared => Signed::lost(now_ms).absent_from_two_sites(now_ms),
            _ => Signed::lost(now_ms),
        }
    }

    /// Says something else from now on. Durable when it returns.
    fn set(&mut self, standing: Standing) -> Result<(), SignStateError> {
        self.standing = standing;
        // Both slots: one that was damaged would go on to say that nothing is known.
        let written = self.write().and_then(|()| self.write());
        written.map_err(|source| SignStateError::Io { path: self.path.clone(), source })
    }

    /// Persist before anything is sent: the slot that is not the newest is overwritten and synced.
    fn write(&mut self) -> io::Result<()> {
        self.turn = self.turn.saturating_add(1);
        let record = local::encode(&Record::of(self));
        let length = u16::try_from(record.len()).expect("a record has a few hundred bytes");
        let mut slot = [length.to_be_bytes().as_slice(), &sha256(&record).0, &record].concat();
        assert!(slot.len() <= SLOT, "a record fits into its slot");
        slot.resize(SLOT, 0);
        self.file.write_all_at(&slot, self.turn % 2 * DISTANCE)?;
        self.file.sync_data()
    }
}

impl Marks for SignState {
    fn keep(&mut self, statement: &Statement) -> io::Result<()> {
        if let Some(next) = &mut self.next {
            next.keep(statement)?;
        }
        if let Standing::Known(Some(mark)) | Standing::Unknown(Some(mark)) = &self.standing
            && place(mark) >= place(statement)
        {
            return Ok(());
        }
        self.standing = Standing::Known(Some(statement.clone()));
        self.write()
    }

    fn is_shared(&self) -> bool {
        self.shared
    }

    fn give_up(&mut self) -> io::Result<()> {
        if let Some(next) = &mut self.next {
            next.give_up()?;
        }
        // Whoever knows no mark looks on at its next start as well.
        let Standing::Known(mark) = &self.standing else { return Ok(()) };
        self.standing = Standing::HandedOver(mark.clone());
        // Both slots: with one of them damaged it would only not be known what was signed.
        self.write()?;
        self.write()
    }
}

impl Record {
    fn of(state: &SignState) -> Self {
        let (standing, mark) = match &state.standing {
            Standing::Known(mark) => (0, mark.as_ref()),
            Standing::Unknown(mark) => (1, mark.as_ref()),
            Standing::HandedOver(mark) => (2, mark.as_ref()),
        };
        Self {
            version: VERSION,
            turn: state.turn,
            chain: state.owner.chain.0,
            province: state.owner.province.to_string(),
            key: *state.owner.key.as_bytes(),
            standing,
            mark: mark.map(Statement::bytes),
        }
    }

    fn check(&self, path: &Path, owner: &Owner) -> Result<(), SignStateError> {
        let differs = [
            ("release", self.version != VERSION),
            ("chain", self.chain != owner.chain.0),
            ("province", self.province != owner.province.as_str()),
            ("key", self.key != *owner.key.as_bytes()),
        ];
        match differs.into_iter().find(|(_, differs)| *differs) {
            Some((what, _)) => Err(SignStateError::Foreign { path: path.to_owned(), what }),
            None => Ok(()),
        }
    }

    /// What it says; none when it says nothing that this release understands.
    fn standing(&self) -> Option<Standing> {
        let mark = self.mark.as_deref().map(Statement::read).transpose().ok()?;
        match self.standing {
            0 => Some(Standing::Known(mark)),
            1 => Some(Standing::Unknown(mark)),
            2 => Some(Standing::HandedOver(mark)),
            _ => None,
        }
    }
}

fn lock(file: &File, path: &Path) -> Result<(), SignStateError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(SignStateError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => {
            Err(SignStateError::Io { path: path.to_owned(), source })
        }
    }
}

/// The record in a slot, if there is a whole one.
fn read_slot(file: &File, number: u64) -> io::Result<Option<Record>> {
    let mut slot = [0; SLOT];
    match file.read_exact_at(&mut slot, number * DISTANCE) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = usize::from(u16::from_be_bytes([slot[0], slot[1]]));
    let Some(record) = slot.get(HEAD..HEAD + length) else { return Ok(None) };
    if sha256(record).0 != slot[2..HEAD] {
        return Ok(None);
    }
    Ok(local::decode(record, SLOT).ok())
}

#[cfg(test)]
mod tests;
