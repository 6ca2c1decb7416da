//! The invariants, checked from outside: over HTTP, by what was heard between the nodes, and by
//! what the system says of the processes.
//!
//! Each is a function named by the sentence that it checks, with its number in the fault matrix.
//! That a chain executes again to the same roots (I4) is `symbolon-node verify-chain`, for which
//! the nodes are stopped: [`super::field::Field::verify_all`].

use std::{collections::BTreeSet, path::Path};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;
use symbolon_verify::{state_proof, trust::Trust};

use super::{ear::Ear, load::Acknowledged, machine::Machine};

/// Most memory of a node under these loads, in KiB: several times what it takes at rest.
const MOST_RESIDENT_KIB: u64 = 1024 * 1024;
/// Most open files of a node: the database's, two listeners, its peers and some callers.
const MOST_FILES: usize = 512;
/// Most bytes of a node's data: the database sets some tens of MiB aside, the load adds little.
const MOST_DISK: u64 = 1024 * 1024 * 1024;
/// Proofs that are verified of one node after one fault.
const PROOFS: usize = 3;

/// I1 and, header by header, I4: all nodes have one block at every height of `heights`.
pub fn every_height_has_one_block(nodes: &[Machine], heights: std::ops::RangeInclusive<u64>) {
    for height in heights {
        let path = format!("/v1/blocks/{height}");
        let blocks: BTreeSet<String> =
            nodes.iter().map(|node| read(node, &path).to_string()).collect();
        assert_eq!(blocks.len(), 1, "I1: block {height} differs: {blocks:?}");
    }
}

/// I2: what was acknowledged is committed at every node, at the height that was told.
pub fn nothing_acknowledged_is_lost(nodes: &[Machine], told: &[Acknowledged]) {
    for node in nodes {
        for one in told {
            let standing = read(node, &format!("/v1/transactions/{}", one.id));
            assert_eq!(standing["state"], "committed", "I2: node {}: {standing}", node.number);
            assert_eq!(standing["height"], one.height, "I2: node {}: {standing}", node.number);
        }
    }
}

/// I3: nobody proposed or voted twice in one place but those whose key two processes have, and
/// they did.
pub fn nobody_contradicts_himself_but(ear: &Ear, guilty: &BTreeSet<String>) {
    assert_eq!(ear.contradicting(), *guilty, "I3: {}", ear.contradictions());
    assert!(ear.statements() > 0, "I3: nothing was heard");
}

/// I9: the evidence of every node names them, and nobody else.
pub fn evidence_names_nobody_but(nodes: &[Machine], guilty: &BTreeSet<String>) {
    for node in nodes {
        let named = accused(node).expect("a node that runs shows its evidence");
        assert!(named.is_subset(guilty), "I9: node {} accuses {named:?}", node.number);
    }
}

/// The provinces against which a node has evidence; none when it does not answer.
pub fn accused(node: &Machine) -> Option<BTreeSet<String>> {
    let (_, shown) = node.get("/v1/evidence").filter(|(status, _)| *status == 200)?;
    let items = shown["items"].as_array()?;
    items.iter().map(|item| item["province"].as_str().map(str::to_owned)).collect()
}

/// I6 and I7: every node shows the last licences as they are, with proofs that an independent
/// verifier takes.
pub fn licences_are_shown_as_they_are(nodes: &[Machine], told: &[Acknowledged], trust: &Trust) {
    let revoked: BTreeSet<_> =
        told.iter().filter(|t| t.revoked).filter_map(|t| t.licence).collect();
    let mut last: Vec<_> = told.iter().rev().filter_map(|t| t.licence).take(PROOFS).collect();
    last.extend(revoked.iter().take(1));
    for node in nodes {
        for licence in &last {
            let shown = read(node, &format!("/v1/licences/{licence}"));
            // A licence may be revoked whose revocation was not told before the load was held.
            let status = shown["status"].as_str().unwrap_or_default();
            let right = status == "revoked" || status == "active" && !revoked.contains(licence);
            assert!(right, "I6: node {}: {licence} is shown as {status}", node.number);
            let proof = shown["proof"].as_str().and_then(|p| BASE64_URL_SAFE_NO_PAD.decode(p).ok());
            let checked = state_proof::check(&proof.unwrap_or_default(), trust);
            assert!(checked.is_ok(), "I7: node {}: {licence}: {checked:?}", node.number);
        }
    }
}

/// I8: the nodes take a bounded part of the machine.
pub fn the_nodes_stay_small(nodes: &[Machine]) {
    for node in nodes {
        let pid = node.pid().expect("all nodes run");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
        let status = status.expect("the system says what a process holds");
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap_or_default();
        let kib = line.split_whitespace().nth(1).and_then(|k| k.parse::<u64>().ok());
        let kib = kib.expect("a process that runs has memory");
        assert!(kib < MOST_RESIDENT_KIB, "I8: node {} holds {kib} KiB", node.number);
        let files = std::fs::read_dir(format!("/proc/{pid}/fd"));
        let files = files.expect("the system says what a process has open").count();
        assert!(files < MOST_FILES, "I8: node {} has {files} files open", node.number);
        let disk = size(&node.data());
        assert!(disk > 0 && disk < MOST_DISK, "I8: node {} has {disk} bytes on disk", node.number);
    }
}

/// Bytes of all files of a folder. The database removes files while one looks.
fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => size(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

/// I10: what a harmed node shows is what the others show; false when it does not answer with it.
///
/// # Panics
///
/// When it shows something else.
#[must_use]
pub fn it_shows_what_the_others_show(
    (harmed, other): (&Machine, &Machine),
    height: u64,
    told: &[Acknowledged],
) -> bool {
    let blocks = (1..=height).map(|height| format!("/v1/blocks/{height}"));
    let transactions = told.iter().map(|one| format!("/v1/transactions/{}", one.id));
    blocks.chain(transactions).all(|path| {
        let shown = harmed.get(&path).filter(|(status, _)| *status < 500);
        let Some((_, mut shown)) = shown else { return false };
        let mut expected = read(other, &path);
        // How far each of them is, which changes meanwhile.
        [&mut shown, &mut expected].into_iter().for_each(|answer| answer["tip"] = Value::Null);
        assert_eq!(shown, expected, "I10: node {}: {path}", harmed.number);
        true
    })
}

/// I10: a node that ended by itself ended in order, and its last line says why in words that
/// contain one of `expected`.
pub fn it_says_why_it_stopped(node: &Machine, ended: std::process::ExitStatus, expected: &[&str]) {
    let said = node.said();
    let last = said.lines().last().unwrap_or_default();
    assert_eq!(ended.code(), Some(1), "I10: node {} ended with {ended}: {said}", node.number);
    let named = last.starts_with("error: ") && expected.iter().any(|word| last.contains(word));
    assert!(named, "I10: node {} said: {said}", node.number);
}

fn read(node: &Machine, path: &str) -> Value {
    let answer = node.get(path);
    let (status, body) = answer.unwrap_or((0, Value::Null));
    assert_eq!(status, 200, "node {}: {path}: {body}", node.number);
    body
}
