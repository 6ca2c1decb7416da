//! Four real nodes under `kill -9`: nothing acknowledged is lost, the others go on, the killed
//! one comes back, and all agree on every block.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::BTreeSet, path::Path, process::Command};

use serde_json::Value;
use symbolon_tests::devnet::{Devnet, await_that, binary, json_of};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data");
const PROVINCES: [&str; 4] = ["11", "31", "44", "51"];

#[test]
fn an_import_survives_the_death_of_any_node_and_the_node_comes_back() {
    let net = Devnet::start(4);
    let out = net.folder().join("licences");
    let import = start_import(&net, &out);
    // Beijing dies in the middle of it: some licences are committed, some are not.
    await_that("the import is under way", || net.height("44").is_some_and(|h| h > 3));
    net.kill("11");
    let output = import.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = json_of(&output);
    assert_eq!(summary["issued"], 2_000, "{summary}");
    assert_eq!(summary["rejected"], 0, "{summary}");

    net.restart("11");
    let height = net.height("44").unwrap();
    net.await_height(height);
    assert_all_agree(&net, height);
    every_acknowledged_licence_is_active_in_another_province(&net, &out);
    a_second_import_issues_nothing(&net, &out);

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

fn start_import(net: &Devnet, out: &Path) -> std::process::Child {
    Command::new(binary("symbolon"))
        .arg("--devnet")
        .arg(net.folder())
        .args(["--as", "44", "import", "--type", "local:driving-licence", "--json", "--out"])
        .arg(out)
        .arg(Path::new(DATA).join("driving-licences.csv"))
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

fn every_acknowledged_licence_is_active_in_another_province(net: &Devnet, out: &Path) {
    let mut seen = 0;
    for entry in std::fs::read_dir(out).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(cid) = name.strip_suffix(".sdjwt") else { continue };
        let (status, licence) = net.get("11", &format!("/v1/licences/{cid}")).unwrap();
        assert_eq!(status, 200, "{cid}: {licence}");
        assert_eq!(licence["status"], "active", "{cid}");
        seen += 1;
    }
    assert_eq!(seen, 2_000);
}

fn a_second_import_issues_nothing(net: &Devnet, out: &Path) {
    let summary = json_of(&start_import(net, out).wait_with_output().unwrap());
    assert_eq!(summary["issued"], 0, "{summary}");
    assert_eq!(summary["skipped"], 2_000, "{summary}");
}
