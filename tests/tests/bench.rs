//! The benchmark still runs: every chapter gives its figures. What they are is not asserted, since
//! speed is no matter of a test; `docs/performance.md` has them.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::process::{Command, Stdio};

use serde_json::Value;
use symbolon_node::{engine::WITHHELD, network::limits, pool};
use symbolon_sim::wan;
use symbolon_tests::devnet::binary;

#[test]
fn every_chapter_of_the_benchmark_gives_its_figures() {
    let mut bench = Command::new(binary("bench"));
    let output = bench.args(["--quick", "--json"]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let chapters: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = chapters.iter().map(|c| c["name"].as_str().unwrap()).collect();
    let expected = [
        "limits of this machine",
        "what others do on this machine",
        "QR text (ELC1)",
        "status list",
        "authenticated map",
        "starting a network",
        "issuing, 256 licences a transaction",
        "issuing, one licence a transaction",
        "waiting, 50 transactions a second",
        "waiting, 1,000 transactions a second",
        "waiting, at 70 % of the highest rate",
        "filling the ledger",
        "the same on a full ledger",
        "idle network",
        "reading from one node",
        "reading while 2,000 licences a second are issued",
        "verifying offline",
        "disk",
    ];
    assert_eq!(names, expected);
    for figure in chapters.iter().flat_map(|c| c["figures"].as_array().unwrap()) {
        // A quick run leaves the peers out, and says so.
        let is_number = figure["value"].as_f64().is_some_and(|value| value >= 0.0);
        assert!(is_number || figure["not_measured"].is_string(), "{figure}");
        let is_share = figure["share"].as_f64().is_none_or(|share| share.is_finite());
        assert!(is_share, "{figure}");
    }
}

/// What the simulation of long lines (`make bench-wan`) does is what the node does.
#[test]
fn the_wide_network_has_the_limits_of_the_node() {
    let mesh = [wan::mesh::LOW, wan::mesh::DEGREE, wan::mesh::HIGH];
    assert_eq!(mesh, [limits::GOSSIP_MESH_LOW, limits::GOSSIP_MESH, limits::GOSSIP_MESH_HIGH]);
    assert_eq!(wan::PUSH_BYTES, limits::PUSH_BYTES as u64);
    assert_eq!(wan::HAVE_IDS, limits::GOSSIP_CONTROL_IDS as u64);
    let nanos = |time: std::time::Duration| time.as_nanos() as u64;
    assert_eq!(wan::PUSHED_NS, nanos(limits::FETCH_PUSHED));
    assert_eq!(wan::BATCH_NS, nanos(limits::BATCH_INTERVAL));
    assert_eq!(wan::BATCH_SHORTEST_NS, nanos(limits::BATCH_SHORTEST));
    assert_eq!(wan::BATCH_BYTES, limits::BATCH_BYTES as u64);
    assert_eq!(wan::BATCH_TRANSACTIONS, limits::BATCH_TRANSACTIONS);
    assert_eq!(wan::OFFER_AGAIN_AFTER, pool::OFFER_AGAIN_AFTER);
    assert_eq!(wan::WITHHELD_NS, nanos(WITHHELD));
}
