//! What is passed on, and when: over three nodes in a line.

use std::sync::atomic::Ordering::Relaxed;

use symbolon_node::network::{Acceptance, NetworkEvent};

use super::{line, line_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_forwarded_before_it_is_accepted() {
    let (first, mut middle, mut last) = line().await;
    first.handle.publish_consensus(b"unjudged".to_vec());
    let (bytes, unjudged) = middle.consensus().await;
    assert_eq!(bytes, b"unjudged");
    first.handle.publish_consensus(b"rejected".to_vec());
    let (_, rejected) = middle.consensus().await;
    middle.handle.report(rejected, Acceptance::Reject);
    first.handle.publish_consensus(b"ignored".to_vec());
    let (_, ignored) = middle.consensus().await;
    middle.handle.report(ignored, Acceptance::Ignore);
    first.handle.publish_consensus(b"accepted".to_vec());
    let (_, accepted) = middle.consensus().await;
    middle.handle.report(accepted, Acceptance::Accept);
    // Had anything been forwarded before, it would have come first.
    assert_eq!(last.consensus().await.0, b"accepted");
    middle.handle.report(unjudged, Acceptance::Accept);
    assert_eq!(last.consensus().await.0, b"unjudged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_are_passed_on_where_a_validator_is_missing() {
    for (peers, is_missing) in
        [(&[(1, None), (3, None), (4, None)][..], true), (&[(1, None), (3, None)], false)]
    {
        let (first, mut middle, mut last) = line_of(peers).await;
        first.handle.publish_transactions(vec![vec![7]]);
        let id = middle.until(|event| match event {
            NetworkEvent::Transactions { id, .. } => Some(id),
            _ => None,
        });
        let id = id.await;
        middle.handle.report(id, Acceptance::Accept);
        if is_missing {
            assert_eq!(last.transactions().await, vec![vec![7]]);
        }
        // What is passed on is ahead of the second of these at the latest.
        for word in [&b"first"[..], b"second"] {
            middle.handle.publish_consensus(word.to_vec());
            assert_eq!(last.consensus().await.0, word);
        }
        let batches = last.handle.counters().batches_received.load(Relaxed);
        assert_eq!(batches, u64::from(is_missing), "a validator is missing: {is_missing}");
    }
}
