//! Nothing personal reaches the chain, the database, the logs, the metrics, the addresses that are
//! asked, or what a node says of a fault.
//!
//! All sample data is issued, and some of it verified, on a network that logs everything it can;
//! then every block, event and metric is searched for every name, number and address, and so is
//! every file of every node, and its database's content. Credentials themselves belong to their
//! holders and are not searched. What other tests' networks leave is searched when they end
//! (`symbolon_tests::personal`).

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "privacy/recorder.rs"]
mod recorder;

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use symbolon_genesis::Genesis;
use symbolon_ledger::hash::sha256;
use symbolon_node::storage::Store;
use symbolon_tests::{
    devnet::{agent, binary, free_base_port, get, json_of},
    personal::{Secrets, data},
};
use tempfile::TempDir;

use recorder::Recorder;

/// File, licence type, and the exit status of an import: 1 when rows were refused.
const IMPORTS: [(&str, &str, i32); 4] = [
    ("driving-licences.csv", "local:driving-licence", 0),
    ("driving-with-bad-rows.csv", "local:driving-licence", 1),
    ("construction-safety.gb18030.csv", "11100000000013338W011", 0),
    ("business-licences.jsonl", "11100000MB0143028R001", 0),
];
/// Licences of each file that are verified, so that a verifying node has seen their claims.
const VERIFIED: usize = 10;
/// A person of the sample data.
const PERSON: (&str, &str) = ("陆园琼", "449999200004216907");

/// A network that logs everything; stopped when dropped.
struct Network {
    folder: TempDir,
    nodes: Vec<Value>,
    recorder: Recorder,
}

impl Network {
    /// A network whose `devnet.json`, from which the command line knows the nodes, names listeners
    /// before them.
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let mut network = Self { folder, nodes: Vec::new(), recorder: Recorder::new() };
        let port = free_base_port(4).to_string();
        network.symbolon(&["devnet", "up", "--detach", "--base-port", &port, "--dir", "."], 0);
        let path = network.path("devnet.json");
        let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        network.nodes = file["nodes"].as_array().unwrap().clone();
        for node in file["nodes"].as_array_mut().unwrap() {
            node["http"] = network.recorder.before(node["http"].as_str().unwrap()).into();
        }
        std::fs::write(&path, file.to_string()).unwrap();
        network
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `symbolon` in the network's folder; gives all it said.
    fn symbolon(&self, arguments: &[&str], expected: i32) -> String {
        let output = Command::new(binary("symbolon"))
            .args(arguments)
            .arg("--json")
            .current_dir(self.folder.path())
            .env("SYMBOLON_LOG", "trace")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(expected), "{arguments:?}: {said}");
        format!("{said}{}", json_of(&output))
    }

    /// Issues a file's licences; the credentials.
    fn import(&self, secrets: &Secrets, file: &str, licence_type: &str, exit: i32) -> Vec<PathBuf> {
        let (source, out) = (data(file), format!("{file}.d"));
        let source = source.to_string_lossy();
        let import = ["import", &*source, "--type", licence_type, "--out", &out];
        let errors = format!("{file}.errors");
        let devnet = ["--errors", &errors, "--devnet", ".", "--as", "44"];
        let said = self.symbolon(&[&import[..], &devnet].concat(), exit);
        secrets.check(&format!("what the import of {file} says"), said.as_bytes());
        let entries = std::fs::read_dir(self.path(&out)).unwrap().map(|e| e.unwrap().path());
        entries.filter(|p| p.extension().is_some_and(|e| e == "sdjwt")).collect()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let down = ["devnet", "down", "--dir"];
        let _ = Command::new(binary("symbolon")).args(down).arg(self.folder.path()).output();
    }
}

fn download(url: &str, accept: &str) -> Vec<u8> {
    let mut answer = agent().get(url).header("accept", accept).call().unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{url}");
    answer.body_mut().with_config().limit(64 << 20).read_to_vec().unwrap()
}

/// Leaves a presentation at a node, fetches it, and has it verified and compared, with all that a
/// node remembers of it for a while.
fn leave_and_compare(http: &str, code: &str, presentation: &str, signed: &str) {
    let post = |path: &str, body: Value| {
        let key = format!("\"{}\"", sha256(body.to_string().as_bytes()));
        let url = format!("{http}{path}");
        let mut answer =
            agent().post(&url).header("idempotency-key", key).send_json(&body).unwrap();
        assert!(answer.status().is_success(), "{url}");
        answer.body_mut().read_json::<Value>().unwrap()
    };
    let left = post("/v1/tickets", json!({"presentation": signed}));
    let fetched = download(left["url"].as_str().unwrap(), "application/dc+sd-jwt");
    assert_eq!(fetched, signed.as_bytes());
    assert_eq!(post("/v1/verify", json!({"presentation": signed}))["holder_bound"], true);
    let verdict = post("/v1/verify", json!({"presentation": presentation}));
    let claims = verdict["claims"].as_array().unwrap();
    let fields: BTreeMap<&str, &str> = claims
        .iter()
        .map(|c| (c["label_zh"].as_str().unwrap(), c["value"].as_str().unwrap()))
        .collect();
    let cause = fields.get("姓名").or(fields.get("法定代表人"));
    let data = json!({"certTypeCode": code, "certData": fields,
        "useCause": cause, "presentation": presentation});
    let compared = post("/v1/compat/verifyCertInfo", json!({"data": data}));
    assert_eq!(compared["head"]["status"], 0, "{compared}");
    post("/v1/compat/queryCertInfo", json!({"data": {"presentation": presentation}}));
}

/// Shows some credentials to the nodes, one after the other.
fn show(network: &Network, secrets: &Secrets, code: &str, credentials: &[PathBuf]) {
    for (file, node) in credentials.iter().take(VERIFIED).zip(network.nodes.iter().cycle()) {
        let http = node["http"].as_str().unwrap();
        let before = network.recorder.before(http);
        let path = file.to_string_lossy();
        let output = Command::new(binary("symbolon"))
            .args(["verify", &path, "--json", "--node", &before])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(secrets.find(&output.stdout).is_some(), "the verdict shows the claims");
        network.symbolon(&["present", &path, "--all", "--out", "signed.txt"], 0);
        let signed = std::fs::read_to_string(network.path("signed.txt")).unwrap();
        let presentation = std::fs::read_to_string(file).unwrap();
        leave_and_compare(http, code, presentation.trim(), &signed);
    }
}

/// Requests with somebody's name or number in the place of another value: the answer says what is
/// wrong and does not repeat it, nor does the log. (The name of a member or parameter that is not
/// known is repeated, to whoever sent it.)
fn misplace(secrets: &Secrets, http: &str) {
    let (name, number) = PERSON;
    let coded = "%E9%99%86%E5%9B%AD%E7%90%BC";
    let mut addresses = Vec::new();
    for word in [coded, number] {
        for path in [
            "nowhere/{}",
            "v1/licences/{}",
            "v1/licences/{}/history",
            "v1/agencies/{}",
            "v1/agencies?province={}",
            "v1/provinces/{}",
            "v1/licence-types/{}",
            "v1/recognition?type={}",
            "v1/provinces?limit={}",
            "v1/transactions/{}",
            "v1/transactions/{}/receipt",
            "v1/blocks/{}",
            "v1/events?from={}",
            "v1/tickets/{}",
            "status-lists/44/{}",
        ] {
            // A number is a height and a limit, too, and is answered as one.
            let takes_numbers = ["blocks/", "from=", "limit="].iter().any(|p| path.contains(p));
            if word == number && takes_numbers {
                continue;
            }
            addresses.push(format!("{http}/{}", path.replace("{}", word)));
        }
    }
    let check = |what: &str, mut answer: axum::http::Response<ureq::Body>| {
        assert!(answer.status().as_u16() >= 400, "{what}: {}", answer.status());
        secrets.check(what, format!("{:?}", answer.headers()).as_bytes());
        secrets.check(what, &answer.body_mut().read_to_vec().unwrap());
    };
    for address in addresses {
        check(&address, agent().get(&address).call().unwrap());
    }
    for word in [name, number] {
        let bodies = [
            ("verify", json!({"presentation": word})),
            ("verify", json!({"presentation": "x~", "recognising_province": word})),
            ("verify", json!({"presentation": "x~", "at": word})),
            ("challenges", json!({"audience": [word]})),
            ("tickets", json!({"presentation": word})),
            ("compat/verifyCertInfo", json!({"data": {"certTypeCode": word}})),
            ("compat/queryCertInfo", json!({"data": word})),
            ("transactions", json!({"payload": word})),
        ];
        for (path, body) in bodies {
            let what = format!("POST /v1/{path} {body}");
            let mut answer = agent().post(format!("{http}/v1/{path}")).send_json(&body).unwrap();
            secrets.check(&what, &answer.body_mut().read_to_vec().unwrap());
        }
        for kind in ["application/cbor", "application/cose", "application/json", "text/plain"] {
            let post = agent().post(format!("{http}/v1/transactions")).content_type(kind);
            check(kind, post.send(word.as_bytes()).unwrap());
        }
        let url = format!("{http}/v1/challenges");
        let key = axum::http::HeaderValue::from_bytes(word.as_bytes()).unwrap();
        let mut answer =
            agent().post(&url).header("idempotency-key", key).send_json(json!({})).unwrap();
        secrets.check("an odd idempotency key", &answer.body_mut().read_to_vec().unwrap());
    }
}

/// Every block, all events, and the metrics of a node.
fn check_answers(secrets: &Secrets, node: &Value) {
    let (http, admin) = (node["http"].as_str().unwrap(), node["admin"].as_str().unwrap());
    let height = get(&format!("{http}/v1/status")).unwrap().1["height"].as_u64().unwrap();
    for h in 0..=height {
        let url = format!("{http}/v1/blocks/{h}");
        secrets.check(&url, &download(&url, "application/cbor"));
        secrets.check(&url, &download(&url, "application/json"));
    }
    secrets.check(admin, &download(&format!("{admin}/metrics"), "text/plain"));
    let stream = agent().get(format!("{http}/v1/events?from=0")).call().unwrap();
    let last = format!("id: {height}");
    let mut lines = BufReader::new(stream.into_body().into_reader()).lines();
    for line in &mut lines {
        let line = line.unwrap();
        secrets.check("the events", line.as_bytes());
        if line.replace("id:", "id: ").replace("  ", " ") == last {
            return;
        }
    }
    unreachable!("the stream has every block");
}

#[test]
fn nothing_personal_is_in_blocks_files_logs_metrics_addresses_or_problems() {
    let secrets = Secrets::of_fixtures();
    let network = Network::start();
    for (file, code, exit) in IMPORTS {
        let credentials = network.import(secrets, file, code, exit);
        show(&network, secrets, code, &credentials);
    }
    let nodes = &network.nodes;
    misplace(secrets, nodes[0]["http"].as_str().unwrap());
    for node in nodes {
        check_answers(secrets, node);
    }
    let noted = network.recorder.noted();
    for (method, path) in [("POST", "/v1/verify"), ("POST", "/v1/transactions"), ("GET", "/v1/")] {
        let wanted = format!("{method} {path}");
        assert!(noted.iter().any(|line| line.starts_with(&wanted)), "{wanted} in {noted:?}");
    }
    secrets.check("what the command line asks", noted.join("\n").as_bytes());

    let folder = |node: &Value| Path::new(node["data_dir"].as_str().unwrap()).to_owned();
    for node in nodes {
        // As it is while the node runs.
        let files = secrets.check_files(folder(node).parent().unwrap());
        assert!(files > 5, "{files} files of {node}");
    }
    network.symbolon(&["devnet", "down", "--dir", "."], 0);
    let genesis = std::fs::read_to_string(network.path("genesis.toml")).unwrap();
    let genesis = Genesis::parse(&genesis).unwrap();
    for node in nodes {
        secrets.check_files(folder(node).parent().unwrap());
        secrets.check_store(&Store::open_existing(&folder(node), &genesis).unwrap());
    }
}
