//! Restarts: what was signed is said again and nothing else, and before the network is open.

use symbolon_consensus::wire::Message;

use super::{super::start, rig::Rig};

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
    let said = rig.wishes().published;
    assert!(said.is_empty(), "{:?}", said.iter().map(|m| Message::decode(m)).collect::<Vec<_>>());
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
