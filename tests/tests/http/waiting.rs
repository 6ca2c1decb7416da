//! Transactions that wait: what is offered to the other nodes, when again, and what gives way.

use symbolon_ledger::{operation::Operation, transaction::SignedTransaction};
use symbolon_node::pool::{
    MAX_FAILED_HEIGHTS, MAX_POOL_TRANSACTIONS, MAX_POOL_TRANSACTIONS_OF_ONE, OFFER_AGAIN_AFTER,
    Offerer, PoolStatus, SubmitErrorKind,
};

use super::support::Node;

/// Blocks in which nothing of the pool's is: those of proposers that have not heard of it.
fn pass_blocks(node: &Node, count: u64) {
    for _ in 0..count {
        node.commit_nothing();
        node.pool.revisit().unwrap();
    }
}

#[test]
fn a_transaction_whose_message_was_lost_is_offered_again() {
    let node = Node::start();
    let agency = node.agency("44");
    let transaction = node.by_agency("44", vec![Operation::ReserveSlots { agency, blocks: 1 }]);
    let id = transaction.id();
    node.pool.submit(transaction.as_bytes()).unwrap();
    assert_eq!(node.offered(), [id]);
    pass_blocks(&node, OFFER_AGAIN_AFTER - 1);
    assert_eq!(node.offered(), []);
    pass_blocks(&node, 1);
    assert_eq!(node.offered(), [id]);
    // And once more, twice as late.
    pass_blocks(&node, 2 * OFFER_AGAIN_AFTER - 1);
    assert_eq!(node.offered(), []);
    pass_blocks(&node, 1);
    assert_eq!(node.offered(), [id]);
    // Its submitter asks again before that.
    node.pool.submit(transaction.as_bytes()).unwrap();
    assert_eq!(node.offered(), [id]);
    node.commit();
    pass_blocks(&node, 2 * OFFER_AGAIN_AFTER);
    assert_eq!(node.offered(), []);
}

/// Where more wait than a few.
#[test]
fn what_everybody_heard_from_the_node_that_took_it_is_offered_again_by_that_one_only() {
    let node = Node::start();
    let agency = node.agency("44");
    let reserve = || node.by_agency("44", vec![Operation::ReserveSlots { agency, blocks: 1 }]);
    let mut elsewhere: Vec<_> = (0..8).map(|_| reserve()).collect();
    let receive = |transaction: &SignedTransaction, offerer| {
        node.pool.receive(&[transaction.as_bytes().to_vec()], offerer)
    };
    for transaction in &elsewhere {
        receive(transaction, Offerer::Elsewhere);
    }
    pass_blocks(&node, OFFER_AGAIN_AFTER);
    assert_eq!(node.offered().len(), 8, "next to nothing waits");
    let here = reserve();
    receive(&here, Offerer::Here);
    elsewhere.extend([reserve(), reserve()]);
    for transaction in &elsewhere[8..] {
        receive(transaction, Offerer::Elsewhere);
    }
    pass_blocks(&node, 2 * OFFER_AGAIN_AFTER);
    assert_eq!(node.offered(), [here.id()]);
    assert_eq!(node.pool.len(), 11, "the others wait for this node's turn");
    // Whoever took it may be gone: its submitter comes to this node.
    let moved = &elsewhere[9];
    node.pool.submit(moved.as_bytes()).unwrap();
    assert_eq!(node.offered(), [moved.id()]);
    pass_blocks(&node, 4 * OFFER_AGAIN_AFTER);
    assert!(node.offered().contains(&moved.id()));
}

#[test]
fn what_begins_to_fail_late_is_offered_again_as_soon_as_it_applies() {
    let node = Node::start();
    node.reserve_slots("44");
    let cid = node.issue("44", 7).cid;
    node.offered();
    let suspend = || node.by_agency("44", vec![Operation::Suspend { cid }]);
    let waits = suspend();
    node.pool.submit(waits.as_bytes()).unwrap();
    pass_blocks(&node, 7 * OFFER_AGAIN_AFTER);
    assert_eq!(node.offered(), [waits.id(); 4], "at once, and after 5, 15 and 35 heights");
    // Its next try would be at 75, and it fails after the first of these.
    node.commit_only(&suspend());
    node.commit();
    node.commit_only(&node.by_agency("44", vec![Operation::Resume { cid }]));
    assert_eq!(node.offered(), []);
    pass_blocks(&node, OFFER_AGAIN_AFTER);
    assert_eq!(node.offered(), [waits.id()]);
}

#[test]
fn what_came_too_early_is_offered_once_it_applies_and_what_never_applies_is_dropped() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 7);
    let cid = licence.cid;
    node.offered();
    let resume = |node: &Node| node.by_agency("44", vec![Operation::Resume { cid }]);
    let (early, never) = (resume(&node), resume(&node));
    for transaction in [&early, &never] {
        node.pool.submit(transaction.as_bytes()).unwrap();
    }
    assert_eq!(node.offered(), []);
    node.commit_only(&node.by_agency("44", vec![Operation::Suspend { cid }]));
    pass_blocks(&node, OFFER_AGAIN_AFTER);
    // Both apply now, each by itself; the second no longer does when the first is in.
    let mut offered = node.offered();
    offered.sort();
    let mut both = [early.id(), never.id()];
    both.sort();
    assert_eq!(offered, both);
    node.commit_only(&early);
    pass_blocks(&node, OFFER_AGAIN_AFTER + MAX_FAILED_HEIGHTS);
    assert!(matches!(node.pool.status(&never.id()), Some(PoolStatus::Rejected(_))));
    assert_eq!(node.offered(), []);
}

#[test]
fn one_agency_never_takes_every_place_and_what_fails_gives_way() {
    let node = Node::start();
    let failing = |province: &str| {
        let cid = symbolon_ledger::hash::sha256(b"no such licence");
        node.by_agency(province, vec![Operation::Resume { cid }])
    };
    let submit = |transaction: &SignedTransaction| node.pool.submit(transaction.as_bytes());
    let oldest = failing("44");
    submit(&oldest).unwrap();
    let first = oldest.id();
    for _ in 1..MAX_POOL_TRANSACTIONS_OF_ONE {
        submit(&failing("44")).unwrap();
    }
    let refused = submit(&failing("44")).unwrap_err();
    assert_eq!((refused.code, refused.kind), ("pool_full", SubmitErrorKind::Full));
    // Whoever asks over HTTP is told when to come again.
    let answer = node.post_cose("/v1/transactions", failing("44").as_bytes());
    assert_eq!((answer.status, answer.problem().as_str()), (503, "pool_full"));
    assert!(answer.headers["retry-after"].parse::<u64>().unwrap() > 0, "{answer:?}");
    // What applies finds a place in its signer's own share, the oldest that fails gives it up.
    let agency = node.agency("44");
    let good = node.by_agency("44", vec![Operation::ReserveSlots { agency, blocks: 1 }]);
    submit(&good).unwrap();
    assert_eq!(node.pool.len(), MAX_POOL_TRANSACTIONS_OF_ONE);
    assert!(matches!(node.pool.status(&first), Some(PoolStatus::Rejected(_))));
    // Four of them together do.
    for province in ["51", "31", "11"] {
        for _ in 0..MAX_POOL_TRANSACTIONS_OF_ONE {
            submit(&failing(province)).unwrap();
        }
    }
    let cid = symbolon_ledger::hash::sha256(b"no such licence");
    let failing = node.by_province("11", vec![Operation::Suspend { cid }]);
    assert_eq!(submit(&failing).unwrap_err().code, "pool_full");
    // What applies finds a place all the same, and the places stay as many.
    let agency = node.agency("11");
    let good = node.by_province("11", vec![Operation::ReserveSlots { agency, blocks: 1 }]);
    submit(&good).unwrap();
    assert_eq!(node.pool.len(), MAX_POOL_TRANSACTIONS);
    assert_eq!(node.pool.candidates(1)[0].transaction().id(), good.id());
}
