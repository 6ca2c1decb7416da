//! A look at the chain of a data folder that nobody has open: what a node that is started there would
//! find. Nothing is written, not even a log of the database.

use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
};

use rocksdb::{DB, Options};
use symbolon_genesis::Genesis;
use symbolon_ledger::hash::ChainId;

use super::{
    DATABASE, FOUNDED_FILE, Incoming, LOCK_FILE, StorageError, Store, check_columns, schema::cf,
};

impl Store {
    /// Opens the chain of `genesis` in `folder` to read it; none when a node would found it there, or
    /// has a newer one ready beside it.
    ///
    /// # Errors
    ///
    /// [`StorageError`]: what [`Store::open`] would refuse, as far as reading shows it.
    pub fn look(folder: &Path, genesis: &Genesis) -> Result<Option<Self>, StorageError> {
        let at = |source| StorageError::Folder { path: folder.to_owned(), source };
        if !folder.exists() {
            return Ok(None);
        }
        let lock = hold(folder)?;
        let founded = folder.join(FOUNDED_FILE);
        let founded = match std::fs::read_to_string(&founded) {
            Ok(chain) => chain.trim().parse::<ChainId>().ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(at(error)),
        };
        let expected = genesis.chain_id();
        if let Some(found) = founded.filter(|found| *found != expected) {
            return Err(StorageError::OtherChain { found, expected });
        }
        let path = folder.join(DATABASE);
        if !path.join("CURRENT").exists() {
            // A node that was killed while it put a newer database in the place of this one.
            let exchanged = Incoming::of(folder).folder().exists();
            return match founded {
                Some(_) if !exchanged => {
                    Err(StorageError::damaged("it is empty, and it was founded before"))
                }
                _ => Ok(None),
            };
        }
        check_columns(&path, founded.is_some())?;
        let db = DB::open_cf_for_read_only(&Options::default(), &path, cf::ALL, false)?;
        let store = Self::around(db, genesis, folder, lock);
        store.check_schema(&path)?;
        Ok(Some(store))
    }
}

/// Keeps a node from starting on `folder` meanwhile. Where none ever ran, nothing is to be held.
fn hold(folder: &Path) -> Result<File, StorageError> {
    let at = |source| StorageError::Folder { path: folder.to_owned(), source };
    let file = match File::open(folder.join(LOCK_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => File::open(folder),
        other => other,
    };
    let file = file.map_err(at)?;
    match file.try_lock_shared() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StorageError::Locked(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(at(source)),
    }
}
