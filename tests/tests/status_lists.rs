//! Status lists of a real network: signed in every province from the first block on, followed by
//! the command line, and a lie of a province that any other province's node shows.
//!
//! Not here: when a list is signed anew, and what each check refuses (`http/status_lists.rs`).

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::path::PathBuf;

use serde_json::{Value, json};
use symbolon_credential::status_list::{LedgerPoint, ListAddress, NewToken, Parsed, lst};
use symbolon_ledger::{keys::SecretKey, status_page::LIST_LEN};
use symbolon_tests::devnet::{Devnet, agent, json_of};

/// Runs a command; its exit status and its line of JSON.
fn run(net: &Devnet, arguments: &[&str]) -> (i32, Value) {
    let output = net.symbolon(&[&["--json"], arguments].concat());
    (output.status.code().unwrap(), json_of(&output))
}

fn file(net: &Devnet, name: &str) -> (PathBuf, String) {
    let path = net.folder().join(name);
    let text = path.to_string_lossy().into_owned();
    (path, text)
}

/// Issues one licence in province 44; its cid and its slot.
fn issue(net: &Devnet) -> (String, u64) {
    let (rows, rows_text) = file(net, "rows.csv");
    let (_, out) = file(net, "issued");
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/driving-licences.csv");
    let data = std::fs::read_to_string(data).unwrap();
    std::fs::write(rows, data.split_inclusive('\n').take(2).collect::<String>()).unwrap();
    let import = ["import", "--as", "44", "--type", "local:driving-licence", "--out", &out];
    let (status, summary) = run(net, &[&import[..], &[&rows_text]].concat());
    assert_eq!((status, &summary["issued"]), (0, &json!(1)), "{summary}");
    let name = std::fs::read_dir(net.folder().join("issued")).unwrap();
    let name =
        name.flatten().map(|e| e.path()).find(|p| p.extension().is_some_and(|e| e == "sdjwt"));
    let cid = name.unwrap().file_stem().unwrap().to_string_lossy().into_owned();
    let (_, licence) = net.get("44", &format!("/v1/licences/{cid}")).unwrap();
    (cid, licence["status_list"]["index"].as_u64().unwrap())
}

#[test]
fn a_network_signs_its_lists_and_shows_who_lies() {
    let net = Devnet::start(4);
    for province in ["11", "31", "44", "51"] {
        let list = format!("{province}/0");
        let (status, got) = run(&net, &["status-list", "get", &list]);
        assert_eq!(status, 0, "{got}");
        assert!(Parsed::parse(got["token"].as_str().unwrap()).is_ok(), "{got}");
    }
    let (cid, index) = issue(&net);
    let (status, _) = run(&net, &["revoke", &cid, "--as", "44"]);
    assert_eq!(status, 0);

    // By the address in a credential, whose name is reserved: the folder says where the node is.
    let (_, path) = file(&net, "list.jwt");
    let uri = "https://guangdong.province.example/status-lists/44/0";
    let (status, got) = run(&net, &["status-list", "get", uri, "--out", &path]);
    assert_eq!((status, &got["uri"]), (0, &json!(uri)), "{got}");
    net.await_height(got["height"].as_u64().unwrap());
    for asked in ["11", "44"] {
        let (status, found) = run(&net, &["status-list", "verify", &path, "--as", asked]);
        assert_eq!((status, &found["honest"]), (0, &json!(true)), "{found}");
    }

    an_older_list_does_not_replace_a_newer_one(&net, &got, &path);
    lie_about(&net, &got, index);
    a_node_of_another_province_signs_nothing(&net);
}

/// What is kept says more than what the node gives.
fn an_older_list_does_not_replace_a_newer_one(net: &Devnet, served: &Value, path: &str) {
    let token = Parsed::parse(served["token"].as_str().unwrap()).unwrap();
    let ledger = LedgerPoint { height: u64::MAX, ..token.claimed_ledger() };
    let newer = NewToken {
        address: token.claimed_address(),
        key_id: token.claimed_key_id(),
        issued_at: token.claimed_issued_at(),
        ledger,
        lst: &lst(&[0; LIST_LEN]),
    };
    let newer = newer.sign(&SecretKey::from_seed(&[1; 32]));
    std::fs::write(path, &newer).unwrap();
    let (status, refused) = run(net, &["status-list", "get", "44/0", "--out", path]);
    assert_eq!((status, &refused["error"]["code"]), (1, &json!("older_list")), "{refused}");
    assert_eq!(std::fs::read_to_string(path).unwrap(), newer);
    std::fs::remove_file(path).unwrap();
    let (status, got) = run(net, &["status-list", "get", "44/0", "--out", path]);
    assert_eq!(status, 0, "{got}");
}

/// The province's own key signs that nothing was ever revoked.
fn lie_about(net: &Devnet, truth: &Value, index: u64) {
    let (path, text) = file(net, "lie.jwt");
    let number = 1 + net.file.nodes.iter().position(|n| n.province == "44").unwrap();
    let key = net.folder().join(format!("node-{number}/status.pem"));
    let key = SecretKey::from_pem(&std::fs::read_to_string(key).unwrap()).unwrap();
    let token = Parsed::parse(truth["token"].as_str().unwrap()).unwrap();
    let ledger: LedgerPoint = token.claimed_ledger();
    let lie = NewToken {
        address: &ListAddress::parse(truth["uri"].as_str().unwrap()).unwrap(),
        key_id: token.claimed_key_id(),
        issued_at: token.claimed_issued_at(),
        ledger,
        lst: &lst(&[0; LIST_LEN]),
    };
    std::fs::write(path, lie.sign(&key)).unwrap();
    let (status, found) = run(net, &["status-list", "verify", &text, "--as", "11"]);
    assert_eq!((status, &found["honest"]), (1, &json!(false)), "{found}");
    let slot = json!({"index": index, "listed": "valid", "ledger": "invalid"});
    assert_eq!((&found["differing"], &found["slots"]), (&json!(1), &json!([slot])), "{found}");

    // A list that somebody else signed is not the province's, whatever it says.
    let (path, text) = file(net, "stranger.jwt");
    std::fs::write(path, lie.sign(&SecretKey::from_seed(&[1; 32]))).unwrap();
    let (status, found) = run(net, &["status-list", "verify", &text, "--as", "11"]);
    assert_eq!((status, &found["error"]["code"]), (1, &json!("bad_status_list")), "{found}");
}

fn a_node_of_another_province_signs_nothing(net: &Devnet) {
    let url = format!("{}/status-lists/44/0", net.node("11").http);
    let mut answer = agent().get(&url).call().unwrap();
    let problem: Value = answer.body_mut().read_json().unwrap();
    assert_eq!((answer.status().as_u16(), &problem["code"]), (404, &json!("not_signed_here")));
    let node = net.node("11").http.clone();
    let (status, refused) = run(net, &["status-list", "get", "44/0", "--node", &node]);
    assert_eq!((status, &refused["error"]["code"]), (1, &json!("not_signed_here")), "{refused}");
}
