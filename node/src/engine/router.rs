//! Between the network and the engine: every gossiped message is checked here before it is
//! passed on to the engine or to other peers.
//!
//! Consensus messages are checked on a thread of their own, so that no flood of transactions or
//! questions keeps a vote waiting. Batches of transactions are checked on the worker threads, a
//! few at once; the others wait in the network.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::{Duration, Instant},
};

use symbolon_consensus::{
    HeightStart, Peer,
    edge::{Edge, Passage},
    evidence::Equivocation,
    wire::Message,
};
use tokio::sync::mpsc;

use super::{
    Event,
    queue::{Gone, Place, Places, Queue},
    withheld::Withheld,
};
use crate::{
    network::{
        Acceptance, GossipId, NetworkEvent, NetworkHandle, PeerIndex, Receivers, TransactionBatch,
    },
    pool::{Offerer, Pool, Received},
    storage::{EVIDENCE_KEPT_FOR, StorageError, Store},
    workers,
};

/// Most consensus messages that wait to be checked. Past it they are neither checked nor
/// forwarded; consensus repeats what it needs.
const MAX_MESSAGES_IN_CHECK: usize = 512;
/// Most batches of transactions that are checked at once: a full one of 1,024 takes 50 ms of a
/// worker that is also needed for blocks. The others wait in the network, where peers take turns:
/// what is not heard of here would wait for another proposer, and be checked while its block waits.
pub(super) const MAX_BATCHES_IN_CHECK: usize = 4;
/// Longest wait of the thread that checks consensus messages while it keeps nothing back.
const LONG: Duration = Duration::from_secs(3_600);
/// Name of that thread.
const CHECKER: &str = "consensus-check";

/// What the thread that checks consensus messages has to hear.
pub(super) enum ToCheck {
    /// A message, and the place that it takes.
    Gossiped { bytes: Vec<u8>, from: Peer, id: GossipId, _place: Place },
    /// The height that this governs begins.
    Moved(HeightStart),
    /// A round begins.
    Entered { height: u64, round: u32 },
}

/// Tells the checks where consensus stands.
#[derive(Debug, Clone)]
pub(super) struct Checks(Sender<ToCheck>);

impl Checks {
    pub(super) fn new() -> (Self, Receiver<ToCheck>) {
        let (sender, receiver) = channel();
        (Self(sender), receiver)
    }

    pub(super) fn move_to(&self, start: HeightStart) {
        // Without the router's threads nothing is checked any more, and the node stops.
        let _ = self.0.send(ToCheck::Moved(start));
    }

    pub(super) fn enter(&self, height: u64, round: u32) {
        let _ = self.0.send(ToCheck::Entered { height, round });
    }
}

#[derive(Clone)]
pub(super) struct Router {
    pub(super) events: Queue,
    pub(super) checks: Checks,
    pub(super) pool: Arc<Pool>,
    pub(super) store: Arc<Store>,
    pub(super) network: NetworkHandle,
}

/// Starts the threads that drain the network's events and the pool's wake-ups. They end when
/// their channels close; while the engine runs, it stops with them. Votes and proposals that
/// everybody has are kept back for `withheld`.
///
/// # Errors
///
/// When the system gives no more threads.
pub(super) fn start(
    router: Router,
    edge: Edge,
    to_check: Receiver<ToCheck>,
    receivers: Receivers,
    mut work: mpsc::Receiver<()>,
    withheld: Duration,
) -> std::io::Result<()> {
    let (events, watch) = (router.events.clone(), router.watch("the pool's wake-up"));
    let thread = |name: &str| std::thread::Builder::new().name(name.into());
    thread("work").spawn(move || {
        let _watch = watch;
        while work.blocking_recv().is_some() {
            if events.bring(Event::Work).is_err() {
                return;
            }
        }
    })?;
    let mut checker = Checker {
        events: router.events.clone(),
        network: router.network.clone(),
        store: router.store.clone(),
        edge,
        started: Instant::now(),
        withheld: Withheld::new(withheld),
    };
    let watch = router.watch("the check of consensus messages");
    thread(CHECKER).spawn(move || {
        let _watch = watch;
        checker.run(&to_check);
    })?;
    let Receivers { events: mut network, transactions } = receivers;
    let (pool, reports, watch) =
        (router.pool.clone(), router.network.clone(), router.watch("the network"));
    thread("transactions").spawn(move || {
        let _watch = watch;
        check_batches(transactions, &pool, &reports);
    })?;
    let messages = Places::new(MAX_MESSAGES_IN_CHECK);
    let watch = router.watch("the network");
    thread("router").spawn(move || {
        let _watch = watch;
        while let Some(event) = network.blocking_recv() {
            if router.route(event, &messages).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// Tells the engine when the thread that holds it ends, by a panic too.
struct Watch(Queue, &'static str);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.answer(Event::HelperGone(self.1));
    }
}

impl Router {
    fn watch(&self, what: &'static str) -> Watch {
        Watch(self.events.clone(), what)
    }

    fn route(&self, event: NetworkEvent, messages: &Places) -> Result<(), Gone> {
        match event {
            NetworkEvent::Consensus { bytes, from, id } => {
                let Some(_place) = messages.try_take() else {
                    self.network.report(id, Acceptance::Ignore);
                    return Ok(());
                };
                let message = ToCheck::Gossiped { bytes, from: Peer(from.0), id, _place };
                self.checks.0.send(message).map_err(|_| Gone)
            }
            other => self.events.bring(Event::Network(other)),
        }
    }
}

/// Has the workers check what is gossiped, a few batches at once, until the network ends.
fn check_batches(
    mut transactions: mpsc::Receiver<TransactionBatch>,
    pool: &Arc<Pool>,
    network: &NetworkHandle,
) {
    let batches = Places::new(MAX_BATCHES_IN_CHECK);
    loop {
        let place = batches.take();
        let Some(batch) = transactions.blocking_recv() else { return };
        let (pool, network) = (pool.clone(), network.clone());
        workers::spawn(move || {
            let verdict = judge_batch(&pool, &batch);
            network.report(batch.id, verdict);
            drop(place);
        });
    }
}

/// Takes transactions into the pool, and says whether others are to hear of them from here.
fn judge_batch(pool: &Pool, batch: &TransactionBatch) -> Acceptance {
    let offerer = if batch.id.is_of_validator() { Offerer::Elsewhere } else { Offerer::Here };
    match pool.receive(&batch.txs, offerer) {
        // Whoever did not hear of it leaves it out of the block of its turn, and the next who has it
        // does not.
        Received::PassOn if batch.id.is_everywhere() => Acceptance::Ignore,
        Received::PassOn => Acceptance::Accept,
        Received::OfNoUse => Acceptance::Ignore,
        Received::Bad => Acceptance::Reject,
    }
}

/// The thread that checks consensus messages. It ends when nobody is left to give it any.
struct Checker {
    events: Queue,
    network: NetworkHandle,
    store: Arc<Store>,
    edge: Edge,
    started: Instant,
    withheld: Withheld,
}

impl Checker {
    fn run(&mut self, to_check: &Receiver<ToCheck>) {
        loop {
            let deadline = self.withheld.deadline();
            let wait = deadline.map_or(LONG, |at| at.saturating_duration_since(Instant::now()));
            match to_check.recv_timeout(wait) {
                Ok(next) => self.check(next),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while let Some(id) = self.withheld.due(Instant::now()) {
                self.network.report(id, Acceptance::Accept);
            }
        }
    }

    fn check(&mut self, next: ToCheck) {
        match next {
            ToCheck::Gossiped { bytes, from, id, _place } => self.judge(&bytes, from, id),
            ToCheck::Moved(start) => {
                for id in self.withheld.clear() {
                    self.network.report(id, Acceptance::Ignore);
                }
                for (message, from) in self.edge.move_to(self.now_ms(), &start) {
                    self.events.offer(Event::Checked { message, from });
                }
            }
            ToCheck::Entered { height, round } => self.edge.enter(height, round),
        }
    }

    /// Not the wall clock, which may be set back.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn judge(&mut self, bytes: &[u8], from: Peer, id: GossipId) {
        let (verdict, may_wait) = match Message::decode(bytes) {
            Ok(message) => {
                let may_wait = matches!(message, Message::Vote(_) | Message::Proposal(_));
                (self.check_message(message, from), may_wait)
            }
            Err(_) => (self.check_evidence(bytes), false),
        };
        if verdict != Acceptance::Accept || !may_wait || !id.is_everywhere() {
            self.network.report(id, verdict);
        } else if let Some(id) = self.withheld.keep(Instant::now(), id) {
            self.network.report(id, Acceptance::Accept);
        }
    }

    fn check_message(&mut self, message: Message, from: Peer) -> Acceptance {
        match self.edge.weigh(self.now_ms(), message, from) {
            Passage::Pass(message) => {
                self.events.offer(Event::Checked { message, from });
                Acceptance::Accept
            }
            // Nobody forwards what cannot be checked.
            Passage::Ahead { height } => {
                self.events.offer(Event::Ahead { peer: PeerIndex(from.0), height });
                Acceptance::Ignore
            }
            Passage::OfNoUse => Acceptance::Ignore,
            Passage::Bad(error) => {
                tracing::warn!(peer = from.0, %error, "a consensus message does not hold");
                Acceptance::Reject
            }
        }
    }

    /// The other thing that travels with consensus: evidence. Only what is new and would be kept is
    /// passed on, so that a guilty validator cannot keep its peers busy with its guilt.
    fn check_evidence(&self, bytes: &[u8]) -> Acceptance {
        let Ok(evidence) = Equivocation::decode(bytes) else { return Acceptance::Reject };
        let verdict = self.weigh(&evidence).unwrap_or_else(|error| {
            self.store.note_fault(&error);
            Acceptance::Ignore
        });
        if verdict == Acceptance::Accept {
            self.events.offer(Event::Evidence(Box::new(evidence)));
        }
        verdict
    }

    fn weigh(&self, evidence: &Equivocation) -> Result<Acceptance, StorageError> {
        let chain = self.store.chain_id();
        let Ok((first, _)) = evidence.statements(&chain) else { return Ok(Acceptance::Reject) };
        let (height, view) = (first.height, self.store.view()?);
        let tip = view.tip().height;
        // Of later heights the set is not known here yet; nobody is to blame.
        let in_reach =
            height <= tip.saturating_add(1) && tip <= height.saturating_add(EVIDENCE_KEPT_FOR);
        if !in_reach || !view.wants_evidence(evidence.province, height)? {
            return Ok(Acceptance::Ignore);
        }
        let Some(set) = view.validators_at(height)? else { return Ok(Acceptance::Ignore) };
        Ok(match evidence.check(&chain, &set) {
            Ok(_) => Acceptance::Accept,
            Err(error) => {
                tracing::warn!(%error, "evidence does not hold");
                Acceptance::Reject
            }
        })
    }
}
