//! How a database that was made from a snapshot takes the place of the one before.
//!
//! It is made in a folder of its own, `incoming/`, beside the running one, and a file says when it
//! is whole. The next start moves it, step by step, each of which may be the last before a crash:
//! whatever was done is seen by what is there. The snapshot moves as well, since others may ask
//! for it and `verify-chain` begins from it.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{DATABASE, StorageError};
use crate::snapshot::folder::{SNAPSHOTS, sync};

/// Folder of what is being fetched and made.
const INCOMING: &str = "incoming";
/// File that says that it is whole, with the snapshot's height.
const READY: &str = "ready";
/// Where the database before goes until the new one is in its place.
const REPLACED: &str = "rocksdb.replaced";

/// The folder in a data folder in which a snapshot is fetched and made into a database.
#[derive(Debug, Clone)]
pub struct Incoming {
    data: PathBuf,
}

impl Incoming {
    /// That of a data folder.
    #[must_use]
    pub fn of(data: &Path) -> Self {
        Self { data: data.to_owned() }
    }

    /// The folder, in which the new database lies.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.data.join(INCOMING)
    }

    /// Folder of the snapshot of a height.
    #[must_use]
    pub fn snapshot(&self, height: u64) -> PathBuf {
        self.folder().join(height.to_string())
    }

    /// Height of the snapshot of which parts are here already.
    #[must_use]
    pub fn begun(&self) -> Option<u64> {
        let entries = std::fs::read_dir(self.folder()).ok()?;
        let names = entries.flatten().map(|entry| entry.file_name());
        names.filter_map(|name| name.to_str()?.parse().ok()).max()
    }

    /// Begins, or goes on, with the snapshot of a height: whatever else is here goes.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn begin(&self, height: u64) -> io::Result<PathBuf> {
        let own = self.snapshot(height);
        if let Ok(entries) = std::fs::read_dir(self.folder()) {
            for entry in entries {
                let path = entry?.path();
                if path.is_dir() && path != own {
                    std::fs::remove_dir_all(&path)?;
                } else if path.is_file() {
                    std::fs::remove_file(&path)?;
                }
            }
        }
        std::fs::create_dir_all(&own)?;
        Ok(own)
    }

    /// Removes all that is here: it is of no use any more.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn abandon(&self) -> io::Result<()> {
        remove(&self.folder())
    }

    /// Says, durably, that database and snapshot are whole.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn ready(&self, height: u64) -> io::Result<()> {
        let path = self.folder().join(READY);
        std::fs::write(&path, height.to_string())?;
        sync(&path)?;
        sync(&self.folder())
    }

    /// Puts what is ready in its place, if anything is. Nothing else may have the data folder.
    ///
    /// # Errors
    ///
    /// [`StorageError::Folder`].
    pub(super) fn take_over(&self) -> Result<(), StorageError> {
        self.take_over_by_steps(&mut || Ok(()))
    }

    /// `then` stands between any two steps: a test ends the process there.
    fn take_over_by_steps(&self, then: Then<'_>) -> Result<(), StorageError> {
        let at = |source| StorageError::Folder { path: self.folder(), source };
        let ready = self.folder().join(READY);
        if !ready.exists() {
            return self.clear().map_err(at);
        }
        let height = std::fs::read_to_string(&ready).map_err(at)?;
        self.exchange(height.trim(), then).map_err(at)?;
        tracing::info!(height = height.trim(), "the database was made from a snapshot");
        Ok(())
    }

    /// The database before is of no use once another has its place, whatever became of the file
    /// that said so. Neither is one that was being made: it is made again of the parts.
    fn clear(&self) -> io::Result<()> {
        remove(&self.folder().join(DATABASE))?;
        if self.data.join(DATABASE).exists() { remove(&self.data.join(REPLACED)) } else { Ok(()) }
    }

    fn exchange(&self, height: &str, then: Then<'_>) -> io::Result<()> {
        let (fresh, own) = (self.folder().join(DATABASE), self.data.join(DATABASE));
        let (replaced, snapshots) = (self.data.join(REPLACED), self.data.join(SNAPSHOTS));
        if fresh.exists() {
            if own.exists() {
                remove(&replaced)?;
                then()?;
                std::fs::rename(&own, &replaced)?;
                then()?;
            }
            std::fs::rename(&fresh, &own)?;
            then()?;
            sync(&self.data)?;
        }
        let snapshot = self.folder().join(height);
        if snapshot.exists() {
            std::fs::create_dir_all(&snapshots)?;
            then()?;
            remove(&snapshots.join(height))?;
            then()?;
            std::fs::rename(&snapshot, snapshots.join(height))?;
            then()?;
            sync(&snapshots)?;
        }
        // Before the file that says that there is something to do.
        remove(&replaced)?;
        then()?;
        sync(&self.data)?;
        remove(&self.folder())?;
        then()?;
        sync(&self.data)
    }
}

/// What stands between two steps.
type Then<'a> = &'a mut dyn FnMut() -> io::Result<()>;

fn remove(folder: &Path) -> io::Result<()> {
    if folder.exists() { std::fs::remove_dir_all(folder) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a database and an older snapshot, and others that are ready for their places.
    fn ready() -> (tempfile::TempDir, Incoming) {
        let folder = tempfile::tempdir().unwrap();
        let incoming = Incoming::of(folder.path());
        let snapshot = incoming.begin(20).unwrap();
        for (place, text) in [
            (folder.path().join(DATABASE), "old"),
            (folder.path().join(SNAPSHOTS).join("20"), "old"),
            (incoming.folder().join(DATABASE), "new"),
            (snapshot, "new"),
        ] {
            std::fs::create_dir_all(&place).unwrap();
            std::fs::write(place.join("file"), text).unwrap();
        }
        incoming.ready(20).unwrap();
        (folder, incoming)
    }

    fn check_taken_over(folder: &Path) {
        for place in [folder.join(DATABASE), folder.join(SNAPSHOTS).join("20")] {
            assert_eq!(std::fs::read_to_string(place.join("file")).unwrap(), "new");
        }
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, [DATABASE, SNAPSHOTS], "nothing else is left");
    }

    /// Starts, and ends behind so many steps; whether it came so far.
    fn ends_behind(incoming: &Incoming, steps: usize) -> bool {
        let mut left = steps;
        let mut then = || {
            left = left.checked_sub(1).ok_or_else(|| io::Error::other("killed"))?;
            Ok(())
        };
        incoming.take_over_by_steps(&mut then).is_err()
    }

    /// Wherever the process ends, the new database is whole in one of its two places.
    fn check_nothing_is_lost(folder: &Path, steps: usize) {
        let read = |place: &str| std::fs::read_to_string(folder.join(place).join("file")).ok();
        let (own, fresh) = (read(DATABASE), read(&format!("{INCOMING}/{DATABASE}")));
        let whole = own.as_deref() == Some("new") || fresh.as_deref() == Some("new");
        assert!(whole, "behind {steps} steps: {own:?}, {fresh:?}");
    }

    #[test]
    fn a_crash_between_any_two_steps_leaves_the_new_database_and_nothing_else() {
        let mut crashes = 0;
        loop {
            let (folder, incoming) = ready();
            if !ends_behind(&incoming, crashes) {
                break;
            }
            check_nothing_is_lost(folder.path(), crashes);
            crashes += 1;
            incoming.take_over().unwrap();
            check_taken_over(folder.path());
        }
        assert_eq!(crashes, 8);
    }

    #[test]
    fn a_start_that_crashes_as_well_is_taken_up_by_the_next() {
        let mut starts = 0;
        for first in 0..8 {
            for second in 0.. {
                let (folder, incoming) = ready();
                assert!(ends_behind(&incoming, first));
                let again = ends_behind(&incoming, second);
                check_nothing_is_lost(folder.path(), first);
                incoming.take_over().unwrap();
                check_taken_over(folder.path());
                if !again {
                    break;
                }
                starts += 1;
            }
        }
        assert!(starts > 8, "{starts} starts were ended");
    }

    #[test]
    fn a_database_that_was_not_finished_goes_at_a_start_and_the_parts_stay() {
        let (folder, incoming) = ready();
        std::fs::remove_file(incoming.folder().join(READY)).unwrap();
        incoming.take_over().unwrap();
        assert!(!incoming.folder().join(DATABASE).exists());
        assert_eq!(incoming.begun(), Some(20));
        let own = folder.path().join(DATABASE).join("file");
        assert_eq!(std::fs::read_to_string(own).unwrap(), "old");
        incoming.abandon().unwrap();
        assert!(!incoming.folder().exists());
    }

    #[test]
    fn a_replaced_database_goes_when_its_successor_is_there_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let incoming = Incoming::of(folder.path());
        let (own, replaced) = (folder.path().join(DATABASE), folder.path().join(REPLACED));
        std::fs::create_dir_all(replaced.join("some")).unwrap();
        incoming.take_over().unwrap();
        assert!(replaced.exists(), "it may be the only one");
        std::fs::create_dir_all(&own).unwrap();
        incoming.take_over().unwrap();
        assert!(!replaced.exists() && own.exists());
    }
}
