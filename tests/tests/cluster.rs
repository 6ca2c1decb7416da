//! Four real nodes under `kill -9`: nothing acknowledged is lost, the others go on, the killed
//! one comes back, and all agree on every block. What is said to several of them at once is in
//! [`races`].

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "cluster/races.rs"]
mod races;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use symbolon_genesis::Genesis;
use symbolon_ledger::hash::TransactionId;
use symbolon_tests::devnet::{Devnet, await_that, binary, get, json_of};
use symbolon_verify::{receipt, trust::Trust};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data");
const PROVINCES: [&str; 4] = ["11", "31", "44", "51"];

/// Who dies, blocks after the import began until it does, what is imported meanwhile, and how many
/// licences that is. Guangdong's node is the one that the import speaks to.
const DEATHS: [(&str, u64, &str, &str, u64); 4] = [
    ("11", 3, "driving-licences.csv", "local:driving-licence", 2_000),
    ("44", 1, "construction-safety.gb18030.csv", "11100000000013338W011", 500),
    ("31", 1, "business-licences.jsonl", "11100000MB0143028R001", 300),
    ("51", 2, "construction-safety.gb18030.csv", "11100000000013338W011", 500),
];

#[test]
fn an_import_survives_the_death_of_any_node_and_the_node_comes_back() {
    let net = Devnet::start(4);
    every_node_is_ready(&net);
    for (number, death) in DEATHS.iter().enumerate() {
        let (victim, after, file, licence_type, rows) = *death;
        let out = net.folder().join(format!("licences-{number}"));
        let before = net.height("44").unwrap();
        let import = start_import(&net, file, licence_type, &out);
        // In the middle of it, where it takes more blocks than that; else right behind it.
        await_that("the import is under way", || {
            net.height("31").is_some_and(|height| height > before + after)
        });
        net.kill(victim);
        if victim == "44" {
            net.restart(victim);
        }
        let output = import.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let summary = json_of(&output);
        assert_eq!(summary["issued"], rows, "{victim} died: {summary}");
        assert_eq!(summary["rejected"], 0, "{victim} died: {summary}");
        if victim != "44" {
            net.restart(victim);
        }
        let height = net.height("44").unwrap();
        net.await_height(height);
        let issued_at = every_row_has_a_receipt_that_holds(&net, &out, rows);
        every_acknowledged_licence_is_active_at(&net, victim, &out, &issued_at);
    }
    let height = net.height("44").unwrap();
    assert_all_agree(&net, height);
    a_second_import_issues_nothing(&net);

    net.stop();
    for province in PROVINCES {
        verify_chain(&net, province);
    }
}

#[test]
fn a_network_that_was_stopped_goes_on_where_it_stopped() {
    let net = Devnet::start(4);
    await_that("some blocks", || net.height("44").is_some_and(|h| h >= 1));
    for province in PROVINCES {
        net.kill(province);
    }
    let before = read_tip(&net);
    for province in PROVINCES {
        net.restart(province);
    }
    await_that("a block after the restart", || net.height("51").is_some_and(|h| h > before));
    assert_all_agree(&net, before);
}

fn start_import(net: &Devnet, file: &str, licence_type: &str, out: &Path) -> std::process::Child {
    Command::new(binary("symbolon"))
        .arg("--devnet")
        .arg(net.folder())
        .args(["--as", "44", "import", "--type", licence_type, "--json", "--out"])
        .arg(out)
        .arg(Path::new(DATA).join(file))
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap()
}

/// Height that the nodes had reached, from the chain of one that is down now.
fn read_tip(net: &Devnet) -> u64 {
    let output = verify_chain(net, "44");
    output["height"].as_u64().unwrap()
}

fn verify_chain(net: &Devnet, province: &str) -> Value {
    let config = net.node(province).data_dir.parent().unwrap().join("config.toml");
    let output = Command::new(binary("symbolon-node"))
        .args(["verify-chain", "--json", "--config"])
        .arg(config)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    json_of(&output)
}

fn assert_all_agree(net: &Devnet, height: u64) {
    for h in 0..=height {
        let blocks: BTreeSet<String> = PROVINCES
            .iter()
            .map(|p| net.get(p, &format!("/v1/blocks/{h}")).unwrap().1.to_string())
            .collect();
        assert_eq!(blocks.len(), 1, "block {h} differs: {blocks:?}");
    }
}

/// `devnet up` has ended, so nothing is waited for.
fn every_node_is_ready(net: &Devnet) {
    assert_eq!(net.file.nodes.len(), PROVINCES.len());
    for node in &net.file.nodes {
        let (status, said) = get(&format!("{}/readyz", node.admin)).unwrap();
        assert_eq!(status, 200, "{}: {said}", node.province);
    }
}

/// Each row has its licence, each licence the transaction that brought it, and of each transaction
/// the receipt that the import kept and the one that another province gives hold. The height of
/// issue of each licence, by the receipts.
fn every_row_has_a_receipt_that_holds(
    net: &Devnet,
    out: &Path,
    rows: u64,
) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(net.folder().join("genesis.toml")).unwrap();
    let genesis = Genesis::parse(&text).unwrap();
    let header = genesis.block_zero(genesis.state_root());
    let trust = Trust::founded(&header, genesis.validator_set()).unwrap();
    let read = |name: &str| fs::read_to_string(out.join(".import").join(name)).unwrap();
    let (log, listed) = (read("issued.log"), read("rows.csv"));
    let listed: BTreeSet<&str> =
        listed.lines().filter_map(|l| Some(l.split_once(',')?.1)).collect();
    let (mut heights, mut issued_at) = (BTreeMap::new(), BTreeMap::new());
    for line in log.lines() {
        let mut words = line.split(' ').skip(1);
        let (cid, id) = (words.next().unwrap(), words.next().unwrap());
        assert!(listed.contains(cid), "{cid} is of no row");
        let height = *heights.entry(id).or_insert_with(|| receipt_height(net, out, id, &trust));
        assert_eq!(issued_at.insert(cid.to_owned(), height), None, "{cid} twice");
    }
    assert_eq!((issued_at.len() as u64, listed.len() as u64), (rows, rows + 1));
    issued_at
}

fn receipt_height(net: &Devnet, out: &Path, id: &str, trust: &Trust) -> u64 {
    let kept = fs::read(out.join(".import/receipts").join(format!("{id}.receipt"))).unwrap();
    let given = net.get("11", &format!("/v1/transactions/{id}/receipt")).unwrap().1;
    let given = URL_SAFE_NO_PAD.decode(given["receipt"].as_str().unwrap()).unwrap();
    let heights = [kept, given].map(|bytes| {
        let checked = receipt::check(&bytes, trust).unwrap();
        assert_eq!(checked.transaction(), id.parse::<TransactionId>().unwrap());
        checked.header().header().height
    });
    assert_eq!(heights[0], heights[1], "{id}");
    heights[0]
}

fn every_acknowledged_licence_is_active_at(
    net: &Devnet,
    province: &str,
    out: &Path,
    issued_at: &BTreeMap<String, u64>,
) {
    let mut seen = 0;
    for entry in fs::read_dir(out).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(cid) = name.strip_suffix(".sdjwt") else { continue };
        let (status, licence) = net.get(province, &format!("/v1/licences/{cid}")).unwrap();
        assert_eq!(status, 200, "{cid}: {licence}");
        assert_eq!(licence["status"], "active", "{cid}");
        assert_eq!(licence["issued_at"].as_u64(), issued_at.get(cid).copied(), "{cid}");
        seen += 1;
    }
    assert_eq!(seen, issued_at.len());
}

fn a_second_import_issues_nothing(net: &Devnet) {
    let (_, _, file, licence_type, rows) = DEATHS[0];
    let out = net.folder().join("licences-0");
    let again = start_import(net, file, licence_type, &out).wait_with_output().unwrap();
    let summary = json_of(&again);
    assert_eq!((&summary["issued"], &summary["transactions"]), (&0.into(), &0.into()), "{summary}");
    assert_eq!(summary["skipped"], rows, "{summary}");
}
