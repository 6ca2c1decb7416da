//! The edge: what passes, how often, and what is kept for later.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use support::*;
use symbolon_consensus::{
    Message, Peer,
    edge::{AGAIN_MS, Edge, Passage},
};
use symbolon_ledger::{hash::sha256, keys::Signature};

fn edge() -> Edge {
    Edge::new(chain(), &first())
}

fn passes(edge: &mut Edge, now_ms: u64, message: Message) -> bool {
    match edge.weigh(now_ms, message, PEER) {
        Passage::Pass(_) => true,
        Passage::OfNoUse => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_claim_passes_once_and_again_when_its_author_repeats_it() {
    let block = sha256(b"block");
    for message in [
        prevote(0, 1, 0, None),
        precommit(0, 1, 0, Some(block)),
        proposal(turn(1, 0), 1, 0, block, None),
        polka(&[0, 1, 2], 1, 0, block),
        nil_round(&[0, 1, 2], 1, 0),
    ] {
        let mut edge = edge();
        assert!(passes(&mut edge, NOW, message.clone()));
        for ms in [0, 1, AGAIN_MS - 1] {
            assert!(!passes(&mut edge, NOW + ms, message.clone()), "{message:?}");
        }
        assert!(passes(&mut edge, NOW + AGAIN_MS, message.clone()));
        assert!(!passes(&mut edge, NOW + AGAIN_MS + 1, message));
    }
}

#[test]
fn certificates_of_other_signers_say_nothing_new() {
    let (mut edge, block) = (edge(), sha256(b"block"));
    assert!(passes(&mut edge, NOW, polka(&[0, 1, 2], 1, 0, block)));
    assert!(!passes(&mut edge, NOW, polka(&[1, 2, 3], 1, 0, block)));
}

#[test]
fn a_liar_is_heard_twice_in_a_round_and_in_no_round_out_of_sight() {
    let mut edge = edge();
    let heard = |edge: &mut Edge, round| {
        let vote = |n: u64| prevote(0, 1, round, Some(sha256(&n.to_be_bytes())));
        (0..100).filter(|n| passes(edge, NOW, vote(*n))).count()
    };
    assert_eq!(heard(&mut edge, 0), 2);
    assert_eq!(heard(&mut edge, 10), 2);
    assert_eq!(heard(&mut edge, 11), 0);
    edge.enter(1, 5);
    assert_eq!(heard(&mut edge, 15), 2);
    assert_eq!(heard(&mut edge, 16), 0);
    // A quorum carries a node that was away to any round.
    assert!(passes(&mut edge, NOW, nil_round(&[0, 1, 2], 1, 1_000)));
}

#[test]
fn what_is_wrong_is_named_and_takes_no_place() {
    let mut edge = edge();
    let Message::Vote(mut forged) = prevote(0, 1, 0, None) else { panic!("a vote") };
    forged.signature = Signature([1; 64]);
    for _ in 0..3 {
        let passage = edge.weigh(NOW, Message::Vote(forged.clone()), PEER);
        assert!(matches!(passage, Passage::Bad(_)), "{passage:?}");
    }
    let usurper = (turn(1, 0) + 1) % 4;
    let passage = edge.weigh(NOW, proposal(usurper, 1, 0, sha256(b"block"), None), PEER);
    assert!(matches!(passage, Passage::Bad(_)), "{passage:?}");
    assert!(passes(&mut edge, NOW, prevote(0, 1, 0, None)));
}

#[test]
fn what_comes_early_is_kept_checked_and_bounded() {
    let mut edge = edge();
    let ahead = |edge: &mut Edge, message: Message, from| {
        let height = message.height();
        assert_eq!(edge.weigh(NOW, message, from), Passage::Ahead { height });
    };
    // A liar fills its own share, with forgeries too, and nobody else's.
    for n in 0..1_000u64 {
        let Message::Vote(mut vote) = prevote(0, 2, 0, Some(sha256(&n.to_be_bytes()))) else {
            panic!("a vote")
        };
        vote.signature = Signature([1; 64]);
        ahead(&mut edge, Message::Vote(vote), Peer(1));
    }
    ahead(&mut edge, prevote(2, 2, 0, None), Peer(2));
    ahead(&mut edge, prevote(3, 9, 0, None), Peer(3));
    let start = start_after(&[genesis(), block(&first(), turn(1, 0), NOW)]);
    let heard = edge.move_to(NOW, &start);
    let heard: Vec<_> = heard.iter().map(|(m, from)| (m.message().clone(), *from)).collect();
    assert_eq!(heard, [(prevote(2, 2, 0, None), Peer(2))]);
    assert!(!passes(&mut edge, NOW, prevote(2, 2, 0, None)), "it has passed");
    assert!(!passes(&mut edge, NOW, prevote(2, 1, 0, None)), "it is over");
}
