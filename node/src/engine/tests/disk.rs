//! A disk that knows what is durable, may fail, and forgets the rest when the power goes.

use std::{
    io::{self, Cursor, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{Arc, Mutex},
};

use malachite_wal::{Storage, log::Log};

use crate::wal::Wal;

#[derive(Debug, Default)]
struct State {
    written: Cursor<Vec<u8>>,
    durable: Vec<u8>,
    /// An old copy of it.
    kept: Vec<u8>,
    /// So many more syncs succeed.
    syncs_left: Option<u64>,
    /// So many more writes succeed.
    writes_left: Option<u64>,
}

/// One file of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

fn spend(left: &mut Option<u64>) -> io::Result<()> {
    match left {
        Some(0) => Err(io::Error::other("the disk of this test fails")),
        Some(left) => {
            *left -= 1;
            Ok(())
        }
        None => Ok(()),
    }
}

impl Disk {
    /// The log on it.
    pub(super) fn wal(&self) -> Wal<Self> {
        Wal::from(Log::open_with("", self.clone()).unwrap())
    }

    /// Everything that was not synced is gone; the disk works again.
    pub(super) fn lose_power(&self) {
        let mut state = self.0.lock().unwrap();
        let (durable, kept) = (state.durable.clone(), state.kept.clone());
        *state = State { written: Cursor::new(durable.clone()), durable, kept, ..State::default() };
    }

    /// Keeps a copy of what is durable.
    pub(super) fn back_up(&self) {
        let mut state = self.0.lock().unwrap();
        state.kept = state.durable.clone();
    }

    /// Brings that copy back.
    pub(super) fn restore(&self) {
        let mut state = self.0.lock().unwrap();
        let durable = state.kept.clone();
        *state = State { written: Cursor::new(durable.clone()), durable, ..State::default() };
    }

    /// Nothing is on it any more.
    pub(super) fn wipe(&self) {
        *self.0.lock().unwrap() = State::default();
    }

    pub(super) fn fail_after_syncs(&self, syncs: u64) {
        self.0.lock().unwrap().syncs_left = Some(syncs);
    }

    pub(super) fn fail_after_writes(&self, writes: u64) {
        self.0.lock().unwrap().writes_left = Some(writes);
    }

    /// Whether these bytes are on the disk for good.
    pub(super) fn keeps(&self, bytes: &[u8]) -> bool {
        self.0.lock().unwrap().durable.windows(bytes.len()).any(|window| window == bytes)
    }
}

impl Read for Disk {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.lock().unwrap().written.read(buffer)
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock().unwrap();
        spend(&mut state.writes_left)?;
        state.written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Disk {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.lock().unwrap().written.seek(to)
    }
}

impl Storage for Disk {
    type OpenOptions = Self;

    fn open_with(_: impl AsRef<Path>, disk: Self) -> io::Result<Self> {
        disk.0.lock().unwrap().written.set_position(0);
        Ok(disk)
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().written.get_ref().len() as u64)
    }

    fn truncate_to(&mut self, size: u64) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.written.get_mut().resize(usize::try_from(size).unwrap(), 0);
        Ok(())
    }

    fn sync_all(&mut self) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        spend(&mut state.syncs_left)?;
        state.durable = state.written.get_ref().clone();
        Ok(())
    }
}
