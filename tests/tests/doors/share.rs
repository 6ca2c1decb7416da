//! One agency against the others: however much it sends, it delays nobody but itself.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use symbolon_genesis::founding::{CREDENTIAL_KEY_ID, TRANSACTION_KEY_ID};
use symbolon_ledger::{
    hash::sha256,
    operation::{Actor, NewLicence, Operation},
    transaction::SignedTransaction,
};
use symbolon_node::pool::{MAX_POOL_BYTES_OF_ONE, SubmitErrorKind};

use crate::support::{Node, TYPE};

/// More than the next block of these tests takes.
const MANY: u32 = 1_500;

/// An issue that applies, of few bytes.
fn issue(n: u32) -> Operation {
    let licence = NewLicence {
        inner: sha256(format!("inner {n}").as_bytes()),
        licence_type: TYPE.parse().unwrap(),
        credential_key: 1,
        slot: n,
        expiry: None,
        lineage: sha256(format!("lineage {n}").as_bytes()),
    };
    Operation::Issue { licence }
}

fn reserve(node: &Node, province: &str) -> SignedTransaction {
    let agency = node.agency(province);
    node.by_agency(province, vec![Operation::ReserveSlots { agency, blocks: 1 }])
}

#[test]
fn an_agency_that_sends_thousands_does_not_delay_another() {
    let node = Node::start();
    node.reserve_slots("44");
    for n in 0..MANY {
        node.pool.submit(node.by_agency("44", vec![issue(n)]).as_bytes()).unwrap();
    }
    let few: Vec<_> = ["11", "31", "51"].map(|province| reserve(&node, province)).into();
    for one in &few {
        assert_eq!(node.post_cose("/v1/transactions", one.as_bytes()).status, 202);
    }
    // The block is full of the one agency's, and still each other has its turn in it.
    let height = node.commit();
    let view = node.store.view().unwrap();
    for one in &few {
        let at = view.transaction(&one.id()).unwrap();
        assert_eq!(at.map(|at| at.height), Some(height), "{} waits", one.payload().actor);
    }
    assert!(node.pool.len() > 500, "all of the many were in the block: nothing was shown");
}

#[test]
fn what_waits_is_offered_to_the_others_by_turns_too() {
    let node = Node::start();
    node.reserve_slots("44");
    for n in 0..MANY {
        node.pool.submit(node.by_agency("44", vec![issue(n)]).as_bytes()).unwrap();
    }
    let one = reserve(&node, "51");
    node.pool.submit(one.as_bytes()).unwrap();
    let order = node.pool.candidates(4);
    let place = order.iter().position(|waiting| waiting.transaction().id() == one.id());
    assert_eq!(place, Some(1), "behind the oldest of each other signer, and no further");
}

#[test]
fn no_agency_fills_the_pool_with_bytes() {
    let node = Node::start();
    node.reserve_slots("44");
    let large = |n: u32| node.by_agency("44", (0..256).map(|i| issue(256 * n + i)).collect());
    let mut bytes = 0;
    let refused = (0..).find_map(|n| {
        let transaction = large(n % 16);
        bytes += transaction.as_bytes().len();
        node.pool.submit(transaction.as_bytes()).err()
    });
    let refused = refused.unwrap();
    assert_eq!((refused.code, refused.kind), ("pool_full", SubmitErrorKind::Full));
    assert!(refused.detail.contains("bytes"), "{}", refused.detail);
    assert!(bytes > MAX_POOL_BYTES_OF_ONE - 65_536 && bytes <= MAX_POOL_BYTES_OF_ONE + 65_536);
    node.pool.submit(reserve(&node, "51").as_bytes()).unwrap();
}

/// Else a thief who was found out shuts the owner out of the pool all the same.
#[test]
fn what_a_key_that_may_not_sign_has_signed_takes_no_place() {
    let node = Node::start();
    let agency = node.agency("44");
    let refused = |transaction: &SignedTransaction, code: &str| {
        let error = node.pool.submit(transaction.as_bytes()).unwrap_err();
        assert_eq!((error.code, error.kind), (code, SubmitErrorKind::Rejected));
    };
    let mut payload = node.payload(Actor::Agency(agency), vec![issue(0)]);
    payload.key_id = CREDENTIAL_KEY_ID;
    let other_purpose = SignedTransaction::sign(&payload, &node.keys_of("44").credential).unwrap();
    refused(&other_purpose, "key_not_for_transactions");
    // It waits for its slots, until the key ends.
    node.pool.submit(node.by_agency("44", vec![issue(1)]).as_bytes()).unwrap();
    let revoke = Operation::RevokeKey { agency, key_id: TRANSACTION_KEY_ID };
    node.apply(&node.by_province("44", vec![revoke]));
    node.commit();
    assert_eq!(node.pool.len(), 0);
    refused(&node.by_agency("44", vec![issue(2)]), "key_not_valid");
    assert_eq!(node.pool.len(), 0);
}

#[test]
fn over_http_a_flood_of_one_agency_leaves_another_its_block() {
    let node = Node::start();
    node.reserve_slots("44");
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    let n = u32::try_from(sent.fetch_add(1, SeqCst)).unwrap() % 4_096;
                    let transaction = node.by_agency("44", vec![issue(n)]);
                    node.post_cose("/v1/transactions", transaction.as_bytes());
                }
            });
        }
        while sent.load(SeqCst) < 200 {
            std::thread::yield_now();
        }
        for province in ["11", "31", "51"] {
            let one = reserve(&node, province);
            assert_eq!(
                node.post_cose("/v1/transactions", one.as_bytes()).status,
                202,
                "{province}"
            );
            let height = node.commit();
            let at = node.store.view().unwrap().transaction(&one.id()).unwrap();
            assert_eq!(at.map(|at| at.height), Some(height), "{province} waits");
        }
        stop.store(true, SeqCst);
    });
}
