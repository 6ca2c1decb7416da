//! What happens to the past while the chain grows: snapshots at fixed heights, and blocks that go.
//!
//! The engine tells of each block that it has committed. Work is done on threads of its own, one
//! job of each kind at a time; a snapshot's view of the database is taken before the engine goes on, so that it
//! is of exactly its height. Blocks go only when an own snapshot stands at or above them, so that
//! whoever asks for what is gone can begin there.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    mpsc,
};

use crate::{
    config::HistoryConfig,
    metrics::Metrics,
    snapshot::{
        Shelf,
        make::{MakeError, make},
    },
    storage::{StorageError, Store, View},
};

/// Blocks are forgotten an eighth of the window at a time, since each time costs a compaction,
const STEPS: u64 = 8;
/// but at most so many.
const LARGEST_STEP: u64 = 4_096;
/// How often leaves that no snapshot carries any more are removed, in blocks.
const TRIM_EVERY: u64 = 1_024;

/// Makes snapshots and forgets blocks.
#[derive(Debug, Clone)]
pub struct Keeper {
    store: Arc<Store>,
    shelf: Arc<Shelf>,
    config: HistoryConfig,
    metrics: Arc<Metrics>,
    making: Arc<AtomicBool>,
    forgetting: Arc<AtomicBool>,
    /// The first block that is kept.
    first: Arc<AtomicU64>,
}

/// What one job leaves behind: whoever holds it is the only one.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn begin(with: &Arc<AtomicBool>) -> Option<Self> {
        let taken = with.swap(true, SeqCst);
        (!taken).then(|| Self(with.clone()))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, SeqCst);
    }
}

impl Keeper {
    /// One that has done nothing yet.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub fn new(
        store: Arc<Store>,
        shelf: Arc<Shelf>,
        config: HistoryConfig,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StorageError> {
        let first = store.view()?.kept()?.blocks;
        let keeper = Self {
            store,
            shelf,
            config,
            metrics,
            making: Arc::default(),
            forgetting: Arc::default(),
            first: Arc::new(AtomicU64::new(first)),
        };
        keeper.tell(keeper.store.disk_bytes()?);
        Ok(keeper)
    }

    /// A block was committed. Returns when everything that must be seen of this height is seen.
    pub fn committed(&self, height: u64) {
        if self.config.snapshot_every > 0 && height.is_multiple_of(self.config.snapshot_every) {
            self.snapshot(height);
            return;
        }
        let from = self.due(height);
        if from.is_some() || height.is_multiple_of(TRIM_EVERY) {
            self.forget(from);
        }
    }

    fn snapshot(&self, height: u64) {
        let Some(busy) = Busy::begin(&self.making) else {
            tracing::warn!(height, "no snapshot: the one before is still being made");
            return;
        };
        let (store, shelf, keeper) = (self.store.clone(), self.shelf.clone(), self.clone());
        let (taken, viewed) = mpsc::channel();
        let job = move || {
            let _busy = busy;
            let view = store.view();
            let _ = taken.send(());
            match view {
                Ok(view) if view.tip().height == height => keeper.write(&view, &shelf),
                Ok(_) => {}
                Err(error) => store.note_fault(&error),
            }
        };
        if spawn(job) {
            // The view is of this height because no block can follow before it is taken.
            let _ = viewed.recv();
        }
    }

    fn write(&self, view: &View<'_>, shelf: &Shelf) {
        let height = view.tip().height;
        let folder = shelf.unfinished(height);
        let made = remove_old(&folder)
            .and_then(|()| make(view, &folder))
            .and_then(|()| Ok(shelf.add(&folder, height)?));
        match made {
            Ok(()) => {
                tracing::info!(height, "snapshot made");
                self.metrics.snapshot_height.set(i64::try_from(height).unwrap_or(i64::MAX));
            }
            // The disk may be full for a while; the next height is another chance.
            Err(error) => {
                tracing::warn!(height, %error, "no snapshot was made");
                let _ = std::fs::remove_dir_all(&folder);
                if let MakeError::Storage(error) = error {
                    self.store.note_fault(&error);
                }
            }
        }
    }

    /// Before which block everything may go; none when it is not worth it yet.
    fn due(&self, height: u64) -> Option<u64> {
        let keep = self.config.keep_blocks?;
        let oldest = self.shelf.heights().first().copied()?;
        let from = height.saturating_add(1).checked_sub(keep)?.min(oldest.saturating_add(1));
        let step = (keep / STEPS).clamp(1, LARGEST_STEP);
        (from >= self.first.load(SeqCst).max(1).saturating_add(step)).then_some(from)
    }

    fn forget(&self, from: Option<u64>) {
        let Some(busy) = Busy::begin(&self.forgetting) else { return };
        let keeper = self.clone();
        spawn(move || {
            let _busy = busy;
            if let Err(error) = keeper.forget_now(from) {
                keeper.store.note_fault(&error);
            }
        });
    }

    fn forget_now(&self, from: Option<u64>) -> Result<(), StorageError> {
        self.store.trim_leaves()?;
        let Some(from) = from else { return Ok(()) };
        if let Some(pruned) = self.store.prune(from)? {
            self.first.store(pruned.from, SeqCst);
            let freed = pruned.bytes_before.saturating_sub(pruned.bytes_after);
            self.metrics.pruned_blocks.inc_by(pruned.blocks);
            self.metrics.pruned_bytes.inc_by(freed);
            self.tell(pruned.bytes_after);
            let (blocks, from) = (pruned.blocks, pruned.from);
            tracing::info!(blocks, from, freed, "old blocks forgotten");
        }
        Ok(())
    }

    fn tell(&self, bytes: u64) {
        let first = self.first.load(SeqCst);
        self.metrics.blocks_from.set(i64::try_from(first).unwrap_or(i64::MAX));
        self.metrics.database_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        let newest = self.shelf.heights().last().copied().unwrap_or(0);
        self.metrics.snapshot_height.set(i64::try_from(newest).unwrap_or(i64::MAX));
    }
}

fn remove_old(folder: &std::path::Path) -> Result<(), MakeError> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    Ok(())
}

/// Runs a job on a thread of its own; false when the system gives none.
fn spawn(job: impl FnOnce() + Send + 'static) -> bool {
    let spawned = std::thread::Builder::new().name("history".into()).spawn(job);
    if let Err(error) = &spawned {
        tracing::warn!(%error, "no thread for the work on the past");
    }
    spawned.is_ok()
}
