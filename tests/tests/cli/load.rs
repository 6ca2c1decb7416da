//! `symbolon load`: what it counts, that its slots meet nobody else's, that its receipts hold, and what
//! it refuses. How fast anything is, is not asked here.

use std::{
    collections::BTreeSet,
    fs,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use symbolon_tests::devnet::{binary, json_of};

use super::{Bench, text};

/// Everything, on a network that another test started.
pub(super) fn is_counted_and_checked(bench: &Bench) {
    bad_arguments_are_refused(bench);
    each_transaction_is_committed_and_its_receipt_holds(bench);
    what_was_issued_before_is_revoked(bench);
    what_is_over_the_bound_is_counted(bench);
    two_loads_of_one_agency_use_no_slot_twice(bench);
}

fn number(said: &Value, name: &str) -> u64 {
    said[name].as_u64().unwrap_or_else(|| unreachable!("no number {name}: {said}"))
}

fn bad_arguments_are_refused(bench: &Bench) {
    fs::write(bench.path("kept"), "a key").unwrap();
    for (arguments, code) in [
        ("--rate 0", "usage"),
        ("--rate 100001", "usage"),
        ("--rate 5 --batch 257", "usage"),
        ("--rate 5 --batch 0", "usage"),
        ("--rate 5 --kind nonsense", "usage"),
        ("--rate 5 --count 0", "usage"),
        ("--rate 5 --duration 10", "usage"),
        ("--rate 5 --duration 0s", "bad_duration"),
        ("--rate 5 --duration 2s --warm-up 2s", "bad_warm_up"),
        ("--rate 5 --every 0s", "bad_every"),
        ("--rate 5 --agencies 0", "bad_agencies"),
        ("--rate 5 --agencies 5", "bad_agencies"),
        ("--rate 50 --kind revoke --batch 256 --duration 1h", "too_many_to_revoke"),
        ("--rate 5 --curve kept", "would_overwrite"),
        ("--rate 5 --node https://127.0.0.1:1", "unreachable"),
        ("--rate 5 --node http://127.0.0.1:1", "unreachable"),
    ] {
        let status = if code == "unreachable" { 3 } else { 2 };
        let said = bench.ask(&format!("load --as 44 {arguments}"), status);
        assert_eq!(said["error"]["code"], code, "{arguments}: {said}");
        assert_ne!(said["error"]["hint"], "", "{arguments}");
    }
}

fn each_transaction_is_committed_and_its_receipt_holds(bench: &Bench) {
    let before = bench.licences();
    let line = "load --as 44 --agencies 2 --rate 100 --batch 3 --count 20 --check 5";
    let said = bench.ask(&format!("{line} --curve curve.jsonl --committed list --every 200ms"), 0);
    for name in ["offered", "submitted", "committed"] {
        assert_eq!(number(&said, name), 20, "{name}: {said}");
    }
    assert_eq!(number(&said, "issued"), 60, "{said}");
    assert_eq!(number(&said["receipts"], "checked"), 5, "{said}");
    assert_eq!(said["nodes"].as_array().unwrap().len(), 2, "{said}");
    let latency = |name: &str| said["latency_ms"][name].as_f64().unwrap();
    assert!(latency("p50") <= latency("p99") && latency("p99") <= latency("max"), "{said}");

    let list = fs::read_to_string(bench.path("list")).unwrap();
    let listed: BTreeSet<&str> = list.lines().collect();
    assert_eq!(listed.len(), 20, "{list}");
    for line in listed {
        let (id, height) = line.split_once(' ').unwrap();
        bench.net.await_height(height.parse().unwrap());
        let (_, standing) = bench.net.get("11", &format!("/v1/transactions/{id}")).unwrap();
        assert_eq!(standing["height"].to_string(), height, "{standing}");
    }
    assert_eq!(bench.licences() - before, 30, "half of them are the other agency's");
    let curve = fs::read_to_string(bench.path("curve.jsonl")).unwrap();
    let lines: Vec<Value> = curve.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| number(line, "committed")).sum::<u64>(), 20, "{curve}");
    let memory = &lines[0]["nodes"][0];
    assert!(memory["resident_kib"].as_u64().unwrap() > 0, "{memory}");
}

fn what_was_issued_before_is_revoked(bench: &Bench) {
    let said = bench.ask("load --as 44 --kind revoke --rate 50 --batch 2 --count 4", 0);
    assert_eq!((number(&said, "revoked"), number(&said, "issued")), (8, 0), "{said}");
    let said = bench.ask("load --as 44 --kind mixed --rate 40 --count 12", 0);
    assert_eq!(number(&said, "revoked") + number(&said, "issued"), 12, "{said}");
}

fn what_is_over_the_bound_is_counted(bench: &Bench) {
    let said = bench.ask("load --as 44 --rate 1000 --in-flight 1 --duration 300ms", 0);
    let begun = number(&said, "submitted") + number(&said, "dropped");
    assert_eq!(begun, number(&said, "offered"), "{said}");
    assert_eq!(number(&said, "offered"), 300, "{said}");
    assert!(number(&said, "dropped") > 0, "{said}");
    let shown = text(&bench.run("--devnet . load --as 44 --rate 9 --count 1").stdout);
    assert!(shown.contains("\ncommitted    1\n"), "{shown}");
}

fn two_loads_of_one_agency_use_no_slot_twice(bench: &Bench) {
    let start = |_| -> Child {
        Command::new(binary("symbolon"))
            .args(["--json", "--devnet", ".", "load", "--as", "44", "--rate", "20"])
            .args(["--batch", "64", "--count", "10"])
            .current_dir(bench.net.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let loads: Vec<Child> = (0..2).map(start).collect();
    for load in loads {
        let output = load.wait_with_output().unwrap();
        let said = json_of(&output);
        assert_eq!(said["refused"], serde_json::json!({}), "{said}");
        assert_eq!(number(&said, "issued"), 640, "{said}");
    }
}
