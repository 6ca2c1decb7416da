//! What is passed on, and when: over three nodes in a line.

use symbolon_node::network::Acceptance;

use super::{TCP, config, line, line_over, peer};

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
async fn what_an_author_gave_is_everywhere_where_no_validator_is_missing_and_nobody_else_listens() {
    let of = |validators: &[u8], observers: &[u8]| {
        let validators: Vec<_> = validators.iter().map(|seed| (*seed, None)).collect();
        let mut config = config(2, TCP, &validators);
        config.observers = observers.iter().map(|seed| peer(*seed)).collect();
        config
    };
    let all = of(&[1, 3], &[]);
    let (one_is_missing, one_looks_on) = (of(&[1, 3, 4], &[]), of(&[1], &[3]));
    for (config, expected) in [(all, true), (one_is_missing, false), (one_looks_on, false)] {
        let (first, mut middle, mut last) = line_over(config).await;
        first.handle.publish_transactions(vec![vec![7]]);
        let transactions = middle.batch().await.id;
        first.handle.publish_consensus(b"vote".to_vec());
        let (_, vote) = middle.consensus().await;
        for id in [&transactions, &vote] {
            assert_eq!(id.is_everywhere(), expected);
        }
        // What somebody else has passed on need not have come to everybody.
        middle.handle.report(vote, Acceptance::Accept);
        let (bytes, passed_on) = last.consensus().await;
        assert_eq!(bytes, b"vote");
        assert!(!passed_on.is_everywhere());
    }
}
