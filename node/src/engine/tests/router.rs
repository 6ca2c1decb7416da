//! The router: what is checked where, what is passed on, and who is blamed.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    time::{Duration, Instant},
};

use symbolon_consensus::{edge::Edge, evidence::Equivocation, wire::Message};
use symbolon_ledger::vote::VoteKind;

use super::{
    super::{
        Event,
        queue::{Queue, Queued},
        router::{self, Checks, MAX_BATCHES_IN_CHECK, Router},
        withheld::WITHHELD,
    },
    evidence::evidence,
    rig::{PEER, Rig},
};
use crate::network::{
    Acceptance, GossipId, NetworkEvent, NetworkHandle, Receivers, TransactionBatch, detached,
};
use crate::workers;

/// A hang, not a slow machine.
const HANG: Duration = Duration::from_secs(60);

struct Routed {
    network: NetworkHandle,
    gossip: tokio::sync::mpsc::Sender<NetworkEvent>,
    batches: tokio::sync::mpsc::Sender<TransactionBatch>,
    events: mpsc::Receiver<Queued>,
    checks: Checks,
    _work: tokio::sync::mpsc::Sender<()>,
}

/// A router over the rig's chain.
fn routed(rig: &Rig) -> Routed {
    routed_keeping_back(rig, WITHHELD)
}

fn routed_keeping_back(rig: &Rig, withheld: Duration) -> Routed {
    let (queue, events) = Queue::new();
    let (gossip, from_network) = tokio::sync::mpsc::channel(64);
    let (batches, transactions) = tokio::sync::mpsc::channel(64);
    let incoming = Receivers { events: from_network, transactions };
    let (work, from_pool) = tokio::sync::mpsc::channel(1);
    let network = NetworkHandle::detached();
    let (checks, to_check) = Checks::new();
    let router = Router {
        events: queue,
        checks: checks.clone(),
        pool: rig.engine.parts.pool.clone(),
        store: rig.engine.parts.store.clone(),
        network: network.clone(),
    };
    let edge = Edge::new(rig.engine.parts.store.chain_id(), rig.engine.host.start());
    router::start(router, edge, to_check, incoming, from_pool, withheld).unwrap();
    Routed { network, gossip, batches, events, checks, _work: work }
}

impl Routed {
    fn gossip(&self, message: &Message) {
        self.gossip_bytes(message.encode());
    }

    fn gossip_bytes(&self, bytes: Vec<u8>) {
        self.gossip_as(bytes, detached::gossip_id());
    }

    fn gossip_as(&self, bytes: Vec<u8>, id: GossipId) {
        self.gossip.blocking_send(NetworkEvent::Consensus { bytes, from: PEER, id }).unwrap();
    }

    fn gossip_batch(&self, txs: Vec<Vec<u8>>) {
        let batch = TransactionBatch { txs, from: PEER, id: detached::gossip_id() };
        self.batches.blocking_send(batch).unwrap();
    }

    /// The next verdict on a gossiped message.
    fn verdict(&self) -> Acceptance {
        self.verdicts().pop().expect("there is one")
    }

    /// The next ones, in their order.
    fn verdicts(&self) -> Vec<Acceptance> {
        let begun = Instant::now();
        loop {
            let verdicts = self.network.wishes().verdicts;
            if !verdicts.is_empty() {
                return verdicts;
            }
            assert!(begun.elapsed() < HANG, "no verdict");
            std::thread::yield_now();
        }
    }
}

/// Does something while no worker has time for anything.
fn while_every_worker_is_busy(something: impl FnOnce()) {
    let (busy, release) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(())));
    let held = release.lock().unwrap();
    for _ in 0..workers::count() {
        let (busy, release) = (busy.clone(), release.clone());
        workers::spawn(move || {
            busy.fetch_add(1, SeqCst);
            drop(release.lock());
        });
    }
    let begun = Instant::now();
    while busy.load(SeqCst) < workers::count() {
        assert!(begun.elapsed() < HANG, "the workers take the work");
        std::thread::yield_now();
    }
    something();
    drop(held);
}

#[test]
fn transactions_wait_while_every_worker_is_busy_and_none_is_lost() {
    const BATCHES: u8 = 32;
    let rig = Rig::begun();
    let routed = routed(&rig);
    while_every_worker_is_busy(|| {
        for nonce in 0..BATCHES {
            routed.gossip_batch(vec![rig.transaction(nonce, &rig.keys[1].authority)]);
        }
        let waiting = || routed.batches.max_capacity() - routed.batches.capacity();
        let (begun, left) = (Instant::now(), usize::from(BATCHES) - MAX_BATCHES_IN_CHECK);
        while waiting() > left {
            assert!(begun.elapsed() < HANG, "a few are taken at once");
            std::thread::yield_now();
        }
        assert!(routed.network.wishes().verdicts.is_empty(), "none is thrown away");
        assert_eq!(waiting(), left, "the others wait");
    });
    let mut verdicts = Vec::new();
    while verdicts.len() < usize::from(BATCHES) {
        verdicts.extend(routed.verdicts());
    }
    assert!(verdicts.iter().all(|verdict| *verdict == Acceptance::Accept), "{verdicts:?}");
    assert_eq!(rig.engine.parts.pool.len(), usize::from(BATCHES));
}

#[test]
fn votes_are_checked_while_every_worker_is_busy() {
    let rig = Rig::begun();
    let routed = routed(&rig);
    while_every_worker_is_busy(|| {
        routed.gossip(&Message::Vote(rig.vote(1, VoteKind::Prevote, 0, None)));
        let queued = routed.events.recv_timeout(HANG).expect("the vote is checked");
        assert!(matches!(queued.event, Event::Checked { .. }));
        assert_eq!(routed.verdict(), Acceptance::Accept);
    });
}

#[test]
fn a_batch_with_a_bad_signature_is_held_against_whoever_passed_it_on() {
    let rig = Rig::begun();
    let routed = routed(&rig);
    let keys = &rig.keys[1];
    let (good, bad) = (rig.transaction(1, &keys.authority), rig.transaction(2, &keys.network));
    for (txs, expected) in
        [(vec![good.clone()], Acceptance::Accept), (vec![good, bad], Acceptance::Reject)]
    {
        routed.gossip_batch(txs);
        assert_eq!(routed.verdict(), expected);
    }
}

#[test]
fn an_old_vote_wrapped_anew_is_not_passed_on_again() {
    let rig = Rig::begun();
    let routed = routed(&rig);
    let vote = Message::Vote(rig.vote(1, VoteKind::Prevote, 0, None));
    let verdicts: Vec<_> = (0..50)
        .map(|_| {
            routed.gossip(&vote);
            routed.verdict()
        })
        .collect();
    assert_eq!(verdicts[0], Acceptance::Accept);
    assert!(verdicts[1..].iter().all(|v| *v == Acceptance::Ignore), "{verdicts:?}");
    assert_eq!(routed.events.try_iter().count(), 1);
}

#[test]
fn what_everybody_has_is_passed_on_only_when_its_height_lasts() {
    let rig = Rig::begun();
    let vote = Message::Vote(rig.vote(1, VoteKind::Prevote, 0, None)).encode();
    let routed = routed_keeping_back(&rig, Duration::ZERO);
    routed.gossip_as(vote.clone(), detached::gossip_id_of_everybody());
    assert_eq!(routed.verdict(), Acceptance::Accept);

    let routed = routed_keeping_back(&rig, Duration::from_secs(3_600));
    routed.gossip_as(vote, detached::gossip_id_of_everybody());
    let queued = routed.events.recv_timeout(HANG).expect("the engine hears of it at once");
    assert!(matches!(queued.event, Event::Checked { .. }));
    // Behind it, so that its verdict would have come first.
    routed.gossip(&Message::Vote(rig.vote(2, VoteKind::Prevote, 0, None)));
    assert_eq!(routed.verdicts(), [Acceptance::Accept]);
    routed.checks.move_to(rig.engine.host.start().clone());
    assert_eq!(routed.verdicts(), [Acceptance::Ignore]);
}

#[test]
fn evidence_is_passed_on_while_it_is_new_and_only_when_it_holds() {
    let mut rig = Rig::new();
    rig.grow();
    let routed = routed(&rig);
    let verdict = |evidence: &Equivocation| {
        routed.gossip_bytes(evidence.encode());
        routed.verdict()
    };
    let good = evidence(&rig, 1, 1);
    assert_eq!(verdict(&good), Acceptance::Accept);
    match routed.events.recv_timeout(HANG).unwrap().event {
        Event::Evidence(shown) => {
            assert_eq!(*shown, good);
            rig.engine.keep_evidence(&shown).unwrap();
        }
        _ => panic!("evidence"),
    }
    assert_eq!(verdict(&good), Acceptance::Ignore, "it is known");
    assert_eq!(verdict(&evidence(&rig, 1, 2)), Acceptance::Accept, "of the running height");
    assert_eq!(verdict(&evidence(&rig, 1, 3)), Acceptance::Ignore, "of a height to come");
    // Somebody else's signatures.
    let mut forged = evidence(&rig, 2, 1);
    forged.province = rig.keys[3].province;
    assert_eq!(verdict(&forged), Acceptance::Reject);
    let Equivocation { province, first, second } = evidence(&rig, 2, 1);
    let turned = Equivocation { province, first: second, second: first };
    assert_eq!(verdict(&turned), Acceptance::Reject);
    routed.gossip_bytes(b"neither".to_vec());
    assert_eq!(routed.verdict(), Acceptance::Reject);
}
