//! Between the network and the engine: every message is checked here, on the worker threads,
//! before it is passed on to the engine or to other peers.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
    mpsc::SyncSender,
};

use symbolon_consensus::{Peer, Verified, wire::Message};
use symbolon_ledger::{hash::ChainId, validators::ValidatorSet};
use tokio::sync::mpsc::Receiver;

use super::Event;
use crate::{
    network::{Acceptance, GossipId, NetworkEvent, NetworkHandle},
    pool::{Pool, SubmitErrorKind},
};

/// Most gossiped messages that are checked at once. Past it they are neither checked nor
/// forwarded; consensus repeats what it needs, and a proposer hears of a transaction from the
/// node that took it.
const MAX_IN_CHECK: usize = 512;

/// The running height and its validator set, shared with the checks.
#[derive(Debug, Clone)]
pub struct SharedValidators(Arc<Mutex<(u64, Arc<ValidatorSet>)>>);

impl SharedValidators {
    pub(super) fn new(height: u64, set: ValidatorSet) -> Self {
        Self(Arc::new(Mutex::new((height, Arc::new(set)))))
    }

    pub(super) fn set(&self, height: u64, set: ValidatorSet) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (height, Arc::new(set));
    }

    fn get(&self) -> (u64, Arc<ValidatorSet>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Clone)]
pub(super) struct Router {
    pub(super) events: SyncSender<Event>,
    pub(super) validators: SharedValidators,
    pub(super) chain_id: ChainId,
    pub(super) pool: Arc<Pool>,
    pub(super) network: NetworkHandle,
}

/// Starts the threads that drain the network's events and the pool's wake-ups. They end when
/// their channels close.
pub(super) fn start(router: Router, mut network: Receiver<NetworkEvent>, mut work: Receiver<()>) {
    let events = router.events.clone();
    std::thread::spawn(move || {
        while work.blocking_recv().is_some() {
            if events.send(Event::Work).is_err() {
                return;
            }
        }
    });
    let in_check = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        while let Some(event) = network.blocking_recv() {
            if router.route(event, &in_check).is_err() {
                return;
            }
        }
    });
}

/// The engine is gone.
struct Gone;

impl Router {
    fn route(&self, event: NetworkEvent, in_check: &Arc<AtomicUsize>) -> Result<(), Gone> {
        match event {
            NetworkEvent::Consensus { bytes, from, id } => {
                self.in_parallel(in_check, id, move |router| {
                    router.check_message(&bytes, Peer(from.0))
                });
                Ok(())
            }
            NetworkEvent::Transactions { txs, id, .. } => {
                self.in_parallel(in_check, id, move |router| router.check_transactions(&txs));
                Ok(())
            }
            other => self.events.send(Event::Network(other)).map_err(|_| Gone),
        }
    }

    fn in_parallel(
        &self,
        in_check: &Arc<AtomicUsize>,
        id: GossipId,
        check: impl FnOnce(&Self) -> Acceptance + Send + 'static,
    ) {
        if in_check.fetch_add(1, Ordering::Relaxed) >= MAX_IN_CHECK {
            in_check.fetch_sub(1, Ordering::Relaxed);
            self.network.report(id, Acceptance::Ignore);
            return;
        }
        let (router, in_check) = (self.clone(), in_check.clone());
        rayon::spawn(move || {
            let verdict = check(&router);
            in_check.fetch_sub(1, Ordering::Relaxed);
            router.network.report(id, verdict);
        });
    }

    fn check_message(&self, bytes: &[u8], from: Peer) -> Acceptance {
        let Ok(message) = Message::decode(bytes) else { return Acceptance::Reject };
        let (height, set) = self.validators.get();
        if message.height() != height {
            // Nobody forwards what cannot be checked; the host only learns that it is behind.
            if message.height() > height {
                let _ = self.events.try_send(Event::Unchecked { message, from });
            }
            return Acceptance::Ignore;
        }
        match Verified::check(&self.chain_id, &set, message) {
            Ok(message) => {
                let _ = self.events.try_send(Event::Checked { message, from });
                Acceptance::Accept
            }
            Err(error) => {
                tracing::warn!(peer = from.0, %error, "a consensus message does not hold");
                Acceptance::Reject
            }
        }
    }

    fn check_transactions(&self, transactions: &[Vec<u8>]) -> Acceptance {
        let mut forward = false;
        for bytes in transactions {
            match self.pool.receive(bytes) {
                Ok(applies) => forward |= applies,
                Err(error) if error.kind == SubmitErrorKind::Malformed => {
                    return Acceptance::Reject;
                }
                Err(_) => {}
            }
        }
        if forward { Acceptance::Accept } else { Acceptance::Ignore }
    }
}
