//! Four real nodes, of which two drop their past, and an observer that joins by snapshot.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rand::RngExt as _;
use serde_json::Value;
use symbolon_genesis::peer_id::PeerId;
use symbolon_ledger::{
    codes::Day,
    keys::SecretKey,
    operation::{Actor, Interval, Operation},
    transaction::{PAYLOAD_VERSION, Payload, SignedTransaction},
};
use symbolon_tests::devnet::{
    Devnet, agent, await_that, binary, free_base_port, get, json_of, symbolon,
};
use tempfile::TempDir;

/// Distance of two snapshots.
const EVERY: u64 = 10;
/// Blocks kept by those that do not keep all.
const KEEP: u64 = 20;
const PROVINCES: [&str; 4] = ["11", "31", "44", "51"];

fn config(net: &Devnet, province: &str) -> PathBuf {
    net.node(province).data_dir.parent().unwrap().join("config.toml")
}

/// Has all make snapshots and admit the observer, and two of them drop what is old.
fn configure(net: &Devnet, key: &SecretKey) {
    let peer_id = PeerId::of(&key.public_key()).to_string();
    for province in PROVINCES {
        net.kill(province);
        let path = config(net, province);
        let text = std::fs::read_to_string(&path).unwrap();
        let admitted = text.replace("observers = []", &format!("observers = [{peer_id:?}]"));
        assert_ne!(text, admitted);
        let keep = match province {
            "44" | "51" => format!("keep_blocks = {KEEP}\n"),
            _ => String::new(),
        };
        let history = format!("\n[history]\nsnapshot_every = {EVERY}\n{keep}");
        std::fs::write(&path, admitted + &history).unwrap();
    }
    for province in PROVINCES {
        net.restart(province);
    }
}

/// Issues licences in Guangdong and gives the file of one of them.
fn import(net: &Devnet) -> PathBuf {
    let out = net.folder().join("licences");
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/business-licences.jsonl");
    let (kind, out_text) = ("11100000MB0143028R001", out.to_string_lossy());
    let done = net.symbolon(&["--as", "44", "import", "--type", kind, "--out", &out_text, data]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let files = std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == "sdjwt")).min().unwrap()
}

/// Makes one block after the other with a small transaction; gives the transactions' numbers.
fn grow(net: &Devnet, to: u64) -> Vec<String> {
    let file = std::fs::read_to_string(net.folder().join("devnet.json")).unwrap();
    let file: Value = serde_json::from_str(&file).unwrap();
    let provinces = file["provinces"].as_array().unwrap();
    let own = provinces.iter().find(|p| p["code"] == "11").unwrap();
    let key = std::fs::read_to_string(own["key_file"].as_str().unwrap()).unwrap();
    let key = SecretKey::from_pem(&key).unwrap();
    let url = format!("{}/v1/transactions?wait=commit&timeout_ms=60000", net.node("11").http);
    let mut ids = Vec::new();
    while net.height("11").unwrap() < to {
        let payload = Payload {
            version: PAYLOAD_VERSION,
            chain_id: net.file.chain_id.parse().unwrap(),
            actor: Actor::Province("11".parse().unwrap()),
            key_id: 0,
            nonce: rand::rng().random(),
            valid_until_height: net.height("11").unwrap() + 100,
            operations: vec![recognition(net.height("11").unwrap())],
        };
        let signed = SignedTransaction::sign(&payload, &key).unwrap();
        let post = agent().post(&url).header("content-type", "application/cose");
        let mut answer = post.send(signed.as_bytes()).unwrap();
        let body: Value = answer.body_mut().read_json().unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{body}");
        ids.push(signed.id().to_string());
    }
    ids
}

/// A day's recognition that none before it overlaps: at most 16 days fit into one record.
fn recognition(n: u64) -> Operation {
    let from = ["31", "44", "51"][usize::try_from(n % 3).unwrap()];
    let kind = ["local:driving-licence", "11100000MB0143028R001"];
    let kind = kind[usize::try_from(n / 3 % 2).unwrap()];
    let day = Day(20_000 + 3 * u32::try_from(n).unwrap());
    Operation::Recognise {
        from_province: from.parse().unwrap(),
        licence_type: kind.parse().unwrap(),
        interval: Interval { from: day, until: Some(day) },
    }
}

/// An observer that keeps a window, and so may join by snapshot.
struct Observer {
    child: Child,
    origin: String,
    config: PathBuf,
    log: PathBuf,
}

impl Observer {
    fn start(net: &Devnet, folder: &Path, key: &SecretKey) -> Self {
        let key_file = folder.join("network.pem");
        std::fs::write(&key_file, key.to_pem().as_bytes()).unwrap();
        std::fs::set_permissions(&key_file, Permissions::from_mode(0o600)).unwrap();
        let base = free_base_port(1) + 1;
        let peers: Vec<_> = PROVINCES.iter().map(|p| net.node(p).p2p.clone()).collect();
        let text = format!(
            "genesis = {:?}\ndata_dir = {:?}\nrole = \"observer\"\nprovince = \"11\"\n\
             network_key = {key_file:?}\n[http]\nlisten = \"127.0.0.1:{base}\"\n\
             [admin]\nlisten = \"127.0.0.1:{}\"\n\
             [network]\nlisten = [\"/ip4/127.0.0.1/tcp/{}\"]\npeers = {peers:?}\n\
             [history]\nkeep_blocks = {KEEP}\nsnapshot_every = {EVERY}\n",
            net.folder().join("genesis.toml"),
            folder.join("data"),
            base + 100,
            base + 200,
        );
        let (config, log) = (folder.join("config.toml"), folder.join("log"));
        std::fs::write(&config, text).unwrap();
        let child = Command::new(binary("symbolon-node"))
            .args(["run", "--config"])
            .arg(&config)
            .env("SYMBOLON_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, origin: format!("http://127.0.0.1:{base}"), config, log }
    }

    fn get(&self, path: &str) -> (u16, Value) {
        get(&format!("{}{path}", self.origin)).unwrap()
    }

    fn height(&self) -> Option<u64> {
        get(&format!("{}/v1/status", self.origin)).ok().and_then(|(_, s)| s["height"].as_u64())
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn verify_chain(config: &Path) -> Value {
    let output = Command::new(binary("symbolon-node"))
        .args(["verify-chain", "--json", "--config"])
        .arg(config)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    json_of(&output)
}

#[test]
fn an_observer_joins_by_snapshot_a_network_of_which_half_has_dropped_its_past() {
    let net = Devnet::start(4);
    let key = SecretKey::from_seed(&[0x0d; 32]);
    configure(&net, &key);
    await_that("they go on", || net.height("11").is_some_and(|h| h >= 1));
    let licence = import(&net);
    let ids = grow(&net, 5 * EVERY + 3);
    let kept_from = |province: &str| {
        net.get(province, "/v1/status").unwrap().1["history"]["blocks_from"].as_u64().unwrap()
    };
    await_that("old blocks are dropped", || kept_from("44") > EVERY && kept_from("51") > EVERY);
    what_was_dropped_is_gone_and_the_rest_is_answered(&net, &ids);
    assert_eq!(kept_from("11"), 0, "an archive keeps all");

    let folder = TempDir::new().unwrap();
    let mut observer = Observer::start(&net, folder.path(), &key);
    let reached = net.height("11").unwrap();
    await_that("the observer is there", || observer.height().is_some_and(|h| h >= reached));
    let log = std::fs::read_to_string(&observer.log).unwrap();
    assert!(log.contains("the database was made from a snapshot"), "{log}");
    let history = observer.get("/v1/status").1["history"].clone();
    let base = history["events_from"].as_u64().unwrap();
    assert!(base > EVERY && base <= reached + 1, "{history}");
    grow(&net, reached + 3);
    await_that("it follows", || observer.height().is_some_and(|h| h >= reached + 3));
    it_answers_from_where_it_began(&net, &observer, base, &ids);
    it_knows_the_licence_and_not_its_history(&observer, &licence);

    observer.stop();
    net.stop();
    let report = verify_chain(&observer.config);
    assert!(report["base"].as_u64().unwrap() + 1 >= base, "{report}");
    let report = verify_chain(&config(&net, "44"));
    assert!(report["base"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(verify_chain(&config(&net, "31"))["base"], 0);
}

fn what_was_dropped_is_gone_and_the_rest_is_answered(net: &Devnet, ids: &[String]) {
    let receipt = format!("/v1/transactions/{}/receipt", ids[0]);
    for path in ["/v1/blocks/1", "/v1/blocks/1/certificate", "/v1/events?from=1", &receipt] {
        let (status, problem) = net.get("44", path).unwrap();
        assert_eq!((status, problem["code"].as_str()), (410, Some("pruned")), "{path}");
        if path != "/v1/events?from=1" {
            assert_eq!(net.get("11", path).unwrap().0, 200, "{path} on an archive");
        }
    }
    let standing = net.get("44", &format!("/v1/transactions/{}", ids[0])).unwrap().1;
    assert_eq!(standing["state"], "committed", "{standing}");
    for path in ["/v1/blocks/1/inclusion?head=30", "/v1/blocks?after=5", "/v1/blocks/0"] {
        let (own, archive) = (net.get("44", path).unwrap(), net.get("11", path).unwrap());
        assert_eq!(own.0, 200, "{path}: {}", own.1);
        for member in ["inclusion", "items", "hash"] {
            assert_eq!(own.1[member], archive.1[member], "{path}");
        }
    }
    assert_eq!(net.get("44", "/v1/trust-bundle").unwrap().0, 200);
    let last = ids.last().unwrap();
    let receipt = format!("/v1/transactions/{last}/receipt");
    assert_eq!(net.get("44", &receipt).unwrap().0, 200);
}

fn it_answers_from_where_it_began(net: &Devnet, observer: &Observer, base: u64, ids: &[String]) {
    for (path, expected) in [
        ("/v1/blocks/1".to_owned(), 410),
        (format!("/v1/blocks/{}", base - 1), 410),
        (format!("/v1/blocks/{base}"), 200),
        ("/v1/blocks/1/inclusion".into(), 200),
        ("/v1/trust-bundle".into(), 200),
        (format!("/v1/status-lists/44/0?height={}", base - 2), 410),
        (format!("/v1/status-lists/44/0?height={base}"), 200),
        (format!("/v1/transactions/{}/receipt", ids[0]), 410),
    ] {
        let (status, answer) = observer.get(&path);
        assert_eq!(status, expected, "{path}: {answer}");
        assert!(status != 410 || answer["code"] == "pruned", "{path}: {answer}");
    }
    // The transactions of the window are known, so none of them is taken a second time.
    let standing = observer.get(&format!("/v1/transactions/{}", ids[0])).1;
    assert_eq!(standing["state"], "committed", "{standing}");
    let path = "/v1/recognition?recognising=11";
    let (own, archive) = (observer.get(path).1, net.get("11", path).unwrap().1);
    assert_eq!(own["items"], archive["items"]);
    assert!(own["items"].as_array().is_some_and(|items| items.len() >= 6), "{own}");
}

fn it_knows_the_licence_and_not_its_history(observer: &Observer, licence: &Path) {
    let cid = licence.file_stem().unwrap().to_str().unwrap();
    let (status, record) = observer.get(&format!("/v1/licences/{cid}"));
    assert_eq!((status, record["status"].as_str()), (200, Some("active")), "{record}");
    let (status, problem) = observer.get(&format!("/v1/licences/{cid}/history"));
    assert_eq!((status, problem["code"].as_str()), (410, Some("pruned")), "{problem}");
    let height = record["height"].as_u64().unwrap();
    let (status, since) = observer.get(&format!("/v1/licences/{cid}/history?after={height}.0.0"));
    assert_eq!((status, since["items"].as_array().map(Vec::len)), (200, Some(0)), "{since}");
    let verified = symbolon(["--node", &observer.origin, "verify", &licence.to_string_lossy()]);
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stderr));
}
