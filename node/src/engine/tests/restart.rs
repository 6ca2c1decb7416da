//! Restarts: what was signed is said again and nothing else, and before the network is open.

use std::time::{Duration, Instant};

use symbolon_consensus::{evidence::Equivocation, wire::Message};
use tokio::sync::mpsc;

use super::{
    super::{EngineError, Event, start},
    rig::{PEER, Rig},
};
use crate::network::{NetworkEvent, Receivers};

/// A hang, not a slow machine.
const HANG: Duration = Duration::from_secs(60);

/// An engine that has prevoted the block of round 0, and its vote.
fn prevoted() -> (Rig, Vec<u8>) {
    let mut rig = Rig::begun();
    let block = rig.block(0, rig.now());
    rig.hear(rig.proposal(0, block.hash()));
    rig.receive(&block);
    rig.work();
    let published = rig.wishes().published;
    assert_eq!(published.len(), 1);
    (rig, published[0].clone())
}

/// A peer has come.
fn connected(peer_id: Vec<u8>) -> Event {
    Event::Network(NetworkEvent::Connected { peer: PEER, peer_id })
}

#[test]
fn a_validator_that_comes_is_told_what_was_said_before() {
    // Said by a node that is just started, to nobody.
    let (mut rig, vote) = prevoted();
    let validators = rig.engine.host.start().validators.clone();
    for validator in validators.validators() {
        rig.engine.handle(connected(validator.peer_id.clone())).unwrap();
    }
    let begun = Instant::now();
    loop {
        rig.engine.fire_due().unwrap();
        let again = rig.wishes().published;
        if !again.is_empty() {
            assert_eq!(again, [vote], "those that come together share one repetition");
            break;
        }
        assert!(begun.elapsed() < HANG, "a peer that came late hears nothing");
        std::thread::yield_now();
    }
}

#[test]
fn a_restarted_node_publishes_the_same_bytes_and_no_second_vote() {
    let (rig, vote) = prevoted();
    let mut rig = rig.restart().unwrap();
    assert_eq!(rig.wishes().published, std::slice::from_ref(&vote));
    // The proposer shows another block now. It is too late.
    let other = rig.block(0, rig.now() + 1);
    rig.hear(rig.proposal(0, other.hash()));
    rig.receive(&other);
    rig.work();
    // It has signed two proposals; that is all there is to say.
    let said = rig.wishes().published;
    let of_a_round: Vec<_> = said.iter().filter_map(|m| Message::decode(m).ok()).collect();
    assert!(of_a_round.is_empty(), "{of_a_round:?}");
    let proposer = rig.keys[rig.turn(0)].province;
    let found: Vec<_> = said.iter().filter_map(|m| Equivocation::decode(m).ok()).collect();
    assert_eq!(found.iter().map(|e| e.province).collect::<Vec<_>>(), [proposer]);
}

#[test]
fn replay_is_over_before_there_is_a_network() {
    let (rig, vote) = prevoted();
    let (parts, network, _folder) = rig.end();
    let (engine, _outside) = start(parts).unwrap();
    // No network was opened and nothing was let in, and the vote waits to be sent.
    assert_eq!(network.wishes().published, [vote]);
    engine.stop().unwrap();
}

#[test]
fn the_engine_stops_when_the_network_does() {
    let (parts, _network, _folder) = Rig::new().end();
    let (engine, outside) = start(parts).unwrap();
    let (gossip, events) = mpsc::channel(1);
    let (_batches, transactions) = mpsc::channel(1);
    let (_work, from_pool) = mpsc::channel(1);
    outside.listen(Receivers { events, transactions }, from_pool).unwrap();
    assert!(engine.status().borrow().fault.is_none());
    // The task of the network ends, as by a panic.
    drop(gossip);
    let begun = Instant::now();
    while !engine.is_finished() {
        assert!(begun.elapsed() < HANG, "the engine goes on without a network");
        std::thread::yield_now();
    }
    assert!(engine.status().borrow().fault.is_some());
    assert!(matches!(engine.stop(), Err(EngineError::HelperGone("the network"))));
}

#[test]
fn the_status_is_published_however_busy_the_engine_is() {
    let (parts, _network, _folder) = Rig::new().end();
    let (engine, outside) = start(parts).unwrap();
    let mut status = engine.status();
    let queue = outside.queue();
    status.mark_unchanged();
    queue.answer(connected(Vec::new()));
    let begun = Instant::now();
    // Never idle: an event is always there before the engine looks.
    while status.borrow_and_update().peers_connected == 0 {
        assert!(begun.elapsed() < HANG, "a busy engine says nothing of itself");
        for _ in 0..64 {
            queue.offer(Event::Work);
        }
    }
    engine.stop().unwrap();
}
