//! Between the network and the engine: every gossiped message is checked here before it is
//! passed on to the engine or to other peers.
//!
//! Consensus messages are checked on a thread of their own, so that no flood of transactions or
//! questions keeps a vote waiting. Batches of transactions are checked on the worker threads, a
//! few at once.

use std::sync::{
    Arc, Mutex, PoisonError,
    mpsc::{SyncSender, TrySendError, sync_channel},
};

use symbolon_consensus::{Peer, Verified, wire::Message};
use symbolon_ledger::{hash::ChainId, validators::ValidatorSet};
use tokio::sync::mpsc::Receiver;

use super::{
    Event,
    queue::{Gone, Places, Queue},
};
use crate::{
    network::{Acceptance, GossipId, NetworkEvent, NetworkHandle},
    pool::{Pool, SubmitErrorKind},
};

/// Most consensus messages that wait to be checked. Past it they are neither checked nor
/// forwarded; consensus repeats what it needs.
const MAX_MESSAGES_IN_CHECK: usize = 512;
/// Most batches of transactions that are checked at once: a full one of 1,024 takes 50 ms of a
/// worker that is also needed for blocks. Past it they are neither checked nor forwarded; a
/// proposer hears of a transaction from the node that took it.
const MAX_BATCHES_IN_CHECK: usize = 4;
/// Code of a signature that does not hold under a key which the chain knows. Key numbers are
/// never given twice, so it holds nowhere, and no honest node passes it on.
const BAD_SIGNATURE: &str = "bad_signature";
/// Name of the thread that checks consensus messages.
const CHECKER: &str = "consensus-check";

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
    pub(super) events: Queue,
    pub(super) validators: SharedValidators,
    pub(super) chain_id: ChainId,
    pub(super) pool: Arc<Pool>,
    pub(super) network: NetworkHandle,
}

/// A consensus message to be checked.
struct Gossiped {
    bytes: Vec<u8>,
    from: Peer,
    id: GossipId,
}

/// Starts the threads that drain the network's events and the pool's wake-ups. They end when
/// their channels close.
///
/// # Errors
///
/// When the system gives no more threads.
pub(super) fn start(
    router: Router,
    mut network: Receiver<NetworkEvent>,
    mut work: Receiver<()>,
) -> std::io::Result<()> {
    let events = router.events.clone();
    let thread = |name: &str| std::thread::Builder::new().name(name.into());
    thread("work").spawn(move || {
        while work.blocking_recv().is_some() {
            if events.bring(Event::Work).is_err() {
                return;
            }
        }
    })?;
    let (messages, to_check) = sync_channel::<Gossiped>(MAX_MESSAGES_IN_CHECK);
    let checker = router.clone();
    thread(CHECKER).spawn(move || {
        for Gossiped { bytes, from, id } in to_check {
            let verdict = checker.check_message(&bytes, from);
            checker.network.report(id, verdict);
        }
    })?;
    let batches = Places::new(MAX_BATCHES_IN_CHECK);
    thread("router").spawn(move || {
        while let Some(event) = network.blocking_recv() {
            if router.route(event, &messages, &batches).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

impl Router {
    fn route(
        &self,
        event: NetworkEvent,
        messages: &SyncSender<Gossiped>,
        batches: &Places,
    ) -> Result<(), Gone> {
        match event {
            NetworkEvent::Consensus { bytes, from, id } => {
                match messages.try_send(Gossiped { bytes, from: Peer(from.0), id }) {
                    Ok(()) => Ok(()),
                    Err(TrySendError::Full(message)) => {
                        self.network.report(message.id, Acceptance::Ignore);
                        Ok(())
                    }
                    Err(TrySendError::Disconnected(_)) => Err(Gone),
                }
            }
            NetworkEvent::Transactions { txs, id, .. } => {
                let Some(place) = batches.try_take() else {
                    self.network.report(id, Acceptance::Ignore);
                    return Ok(());
                };
                let router = self.clone();
                rayon::spawn(move || {
                    let verdict = router.check_transactions(&txs);
                    drop(place);
                    router.network.report(id, verdict);
                });
                Ok(())
            }
            other => self.events.bring(Event::Network(other)),
        }
    }

    fn check_message(&self, bytes: &[u8], from: Peer) -> Acceptance {
        let Ok(message) = Message::decode(bytes) else { return Acceptance::Reject };
        let (height, set) = self.validators.get();
        if message.height() != height {
            // Nobody forwards what cannot be checked; the host only learns that it is behind.
            if message.height() > height {
                self.events.offer(Event::Unchecked { message, from });
            }
            return Acceptance::Ignore;
        }
        match Verified::check(&self.chain_id, &set, message) {
            Ok(message) => {
                self.events.offer(Event::Checked { message, from });
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
                Err(error)
                    if error.kind == SubmitErrorKind::Malformed || error.code == BAD_SIGNATURE =>
                {
                    return Acceptance::Reject;
                }
                Err(_) => {}
            }
        }
        if forward { Acceptance::Accept } else { Acceptance::Ignore }
    }
}
