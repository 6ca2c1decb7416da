//! Nothing personal reaches the chain, the database, the logs or the metrics.
//!
//! Two thousand licences are issued and some are verified on a network that logs in detail; then
//! every block, every file of every node, and every metric is searched for every name, number and
//! address of the sample data. Credentials themselves belong to their holders and are not searched.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use symbolon_ledger::hash::sha256;
use symbolon_tests::devnet::{agent, binary, free_base_port, get, json_of};
use tempfile::TempDir;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/driving-licences.csv");
/// Columns that say who somebody is.
const PERSONAL: [&str; 4] = ["姓名", "住址", "证号", "档案编号"];
/// Licences that are verified, so that a verifying node has seen their claims.
const VERIFIED: usize = 20;
/// Bytes by which secrets are indexed; none is shorter (two Chinese characters).
const PREFIX: usize = 6;

/// A network that logs in detail; stopped when dropped.
struct Network {
    folder: TempDir,
}

impl Network {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let network = Self { folder };
        let port = free_base_port(4).to_string();
        network.symbolon(&["devnet", "up", "--detach", "--base-port", &port, "--dir", "."]);
        network
    }

    /// Runs `symbolon` in the network's folder; gives all it said.
    fn symbolon(&self, arguments: &[&str]) -> String {
        let output = Command::new(binary("symbolon"))
            .args(arguments)
            .arg("--json")
            .current_dir(self.folder.path())
            .env("SYMBOLON_LOG", "debug")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        format!("{said}{}", json_of(&output))
    }

    fn nodes(&self) -> Vec<Value> {
        let text = std::fs::read(self.folder.path().join("devnet.json")).unwrap();
        let file: Value = serde_json::from_slice(&text).unwrap();
        file["nodes"].as_array().unwrap().clone()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let down = ["devnet", "down", "--dir"];
        let _ = Command::new(binary("symbolon")).args(down).arg(self.folder.path()).output();
    }
}

/// What must not be found, by its first bytes.
struct Secrets {
    by_prefix: BTreeMap<[u8; PREFIX], Vec<Vec<u8>>>,
}

impl Secrets {
    /// Every personal value of the file, and for the numbers also their plain digests, which
    /// anybody could find by trying all numbers.
    fn of_sample_data() -> Self {
        let mut secrets = Self { by_prefix: BTreeMap::new() };
        let mut reader = csv::Reader::from_path(DATA).unwrap();
        let headers = reader.headers().unwrap().clone();
        for row in reader.records() {
            for (column, value) in headers.iter().zip(row.unwrap().iter()) {
                if PERSONAL.contains(&column) {
                    secrets.add(value.as_bytes());
                }
                if column == "证号" {
                    let digest = sha256(value.as_bytes());
                    secrets.add(digest.as_bytes());
                    secrets.add(digest.to_string().as_bytes());
                }
            }
        }
        secrets
    }

    fn add(&mut self, secret: &[u8]) {
        let prefix = secret.first_chunk::<PREFIX>().expect("no value is that short");
        self.by_prefix.entry(*prefix).or_default().push(secret.to_vec());
    }

    /// The first secret in `bytes`.
    fn find(&self, bytes: &[u8]) -> Option<String> {
        (0..bytes.len()).find_map(|at| {
            let candidates = self.by_prefix.get(bytes[at..].first_chunk::<PREFIX>()?)?;
            let found = candidates.iter().find(|secret| bytes[at..].starts_with(secret))?;
            Some(String::from_utf8_lossy(found).into_owned())
        })
    }

    fn check(&self, place: &str, bytes: &[u8]) {
        let found = self.find(bytes);
        assert!(found.is_none(), "{place} contains {found:?}");
    }
}

/// Every file under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn download(url: &str, accept: &str) -> Vec<u8> {
    let mut answer = agent().get(url).header("accept", accept).call().unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{url}");
    answer.body_mut().with_config().limit(64 << 20).read_to_vec().unwrap()
}

/// Leaves a presentation at a node, fetches it, and has it verified and compared, with all that a
/// node remembers of it for a while.
fn leave_and_compare(http: &str, presentation: &str, signed: &str) {
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
    let data = json!({"certTypeCode": "local:driving-licence", "certData": fields,
        "useCause": fields["姓名"], "presentation": presentation});
    let compared = post("/v1/compat/verifyCertInfo", json!({"data": data}));
    assert_eq!(compared["head"]["status"], 0);
    post("/v1/compat/queryCertInfo", json!({"data": {"presentation": presentation}}));
}

#[test]
fn nothing_personal_is_in_blocks_files_logs_or_metrics() {
    let secrets = Secrets::of_sample_data();
    assert!(secrets.find(&std::fs::read(DATA).unwrap()).is_some(), "the search finds nothing");

    let network = Network::start();
    let import = ["import", DATA, "--type", "local:driving-licence", "--out", "licences"];
    let devnet = ["--errors", "errors.csv", "--devnet", ".", "--as", "44"];
    secrets
        .check("what import says", network.symbolon(&[&import[..], &devnet].concat()).as_bytes());

    let nodes = network.nodes();
    let licences = files(&network.folder.path().join("licences"));
    let credentials = licences.iter().filter(|p| p.extension().is_some_and(|e| e == "sdjwt"));
    for (file, node) in credentials.take(VERIFIED).zip(nodes.iter().cycle()) {
        let verdict = network.symbolon(&[
            "verify",
            &file.to_string_lossy(),
            "--node",
            node["http"].as_str().unwrap(),
        ]);
        assert!(secrets.find(verdict.as_bytes()).is_some(), "the verdict shows the claims");
        let presentation = std::fs::read_to_string(file).unwrap();
        network.symbolon(&["present", &file.to_string_lossy(), "--all", "--out", "signed.txt"]);
        let signed = std::fs::read_to_string(network.folder.path().join("signed.txt")).unwrap();
        leave_and_compare(node["http"].as_str().unwrap(), presentation.trim(), &signed);
    }

    for node in &nodes {
        let (http, admin) = (node["http"].as_str().unwrap(), node["admin"].as_str().unwrap());
        let height = get(&format!("{http}/v1/status")).unwrap().1["height"].as_u64().unwrap();
        for h in 0..=height {
            let url = format!("{http}/v1/blocks/{h}");
            secrets.check(&url, &download(&url, "application/cbor"));
            secrets.check(&url, &download(&url, "application/json"));
        }
        secrets.check(admin, &download(&format!("{admin}/metrics"), "text/plain"));
        let folder = Path::new(node["data_dir"].as_str().unwrap()).parent().unwrap().to_owned();
        let files = files(&folder);
        assert!(files.len() > 5, "{}: {files:?}", folder.display());
        for file in files {
            // The database removes files while it runs; what is gone holds nothing.
            let Ok(bytes) = std::fs::read(&file) else { continue };
            secrets.check(&file.display().to_string(), &bytes);
        }
    }
}
