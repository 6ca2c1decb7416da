//! Those who wait for one transaction. They are told when something became of it, and of no other:
//! a crowd that waits costs a block nothing but what the block itself says.

use symbolon_ledger::hash::TransactionId;
use tokio::sync::watch;

use super::{Inner, Pool};

/// Waits for something to become of a transaction: it was committed, did not apply, or was dropped.
#[derive(Debug)]
pub struct Watcher<'p> {
    pool: &'p Pool,
    id: TransactionId,
    told: watch::Receiver<()>,
}

impl Pool {
    /// From now on, what becomes of a transaction is told to the watcher. What it is, the chain and
    /// [`Pool::status`] say: look after this call, and after each change.
    #[must_use]
    pub fn watch(&self, id: TransactionId) -> Watcher<'_> {
        let mut inner = self.lock();
        let sender = inner.watched.entry(id).or_insert_with(|| watch::Sender::new(()));
        Watcher { pool: self, id, told: sender.subscribe() }
    }
}

impl Watcher<'_> {
    /// Resolves when something became of the transaction since the last call.
    pub async fn changed(&mut self) {
        if self.told.changed().await.is_err() {
            // The sender goes with its last watcher, which is this one or a later one.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        let mut inner = self.pool.lock();
        // This one still counts.
        if inner.watched.get(&self.id).is_some_and(|sender| sender.receiver_count() <= 1) {
            inner.watched.remove(&self.id);
        }
    }
}

impl Inner {
    pub(super) fn tell(&self, id: &TransactionId) {
        if let Some(sender) = self.watched.get(id) {
            sender.send_replace(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future as _,
        pin::pin,
        sync::Arc,
        task::{Context, Poll, Waker},
    };

    use symbolon_genesis::presets::devnet_from_seed;
    use symbolon_ledger::hash::sha256;
    use tokio::sync::mpsc;

    use super::{super::PoolOutlets, *};
    use crate::storage::Store;

    fn was_told(watcher: &mut Watcher<'_>) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        pin!(watcher.changed()).poll(&mut context) == Poll::Ready(())
    }

    #[test]
    fn whoever_waits_is_told_of_its_own_transaction_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let (genesis, _) = devnet_from_seed(4, &[5; 32], 1_800_000_000_000, 1);
        let store = Arc::new(Store::open(folder.path(), &genesis).unwrap());
        let (gossip, _) = mpsc::channel(1);
        let (work, _) = mpsc::channel(1);
        let pool = Pool::new(store, PoolOutlets { gossip, work });
        let (one, other) = (sha256(b"one"), sha256(b"other"));
        let (mut first, mut second) = (pool.watch(one), pool.watch(one));
        let mut third = pool.watch(other);
        // Not in this pool, and in a block all the same: whoever waits hears of it.
        pool.committed(1, [one].into_iter());
        assert!(was_told(&mut first) && was_told(&mut second));
        assert!(!was_told(&mut first) && !was_told(&mut third));
        drop(first);
        pool.committed(2, [one].into_iter());
        assert!(was_told(&mut second));
        drop((second, third));
        assert!(pool.lock().watched.is_empty());
    }
}
