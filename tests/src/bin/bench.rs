//! `make bench`: four co-located validators over loopback, driven through their public HTTP.
//!
//! Closed loop: a fixed number of clients, each waiting for its receipt before it submits again,
//! so latencies are those a patient client sees, not those of an overload. Every figure stands
//! beside limits measured in the same run, since the machine's own speed varies. Prints a table,
//! and with `--json` one line of JSON.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rand::RngExt as _;
use serde_json::{Value, json};
use symbolon_ledger::{
    codes::{TypeCode, Uscc},
    hash::{ChainId, Digest},
    keys::SecretKey,
    operation::{Actor, NewLicence, Operation},
    transaction::{PAYLOAD_VERSION, Payload, SignedTransaction},
};
use symbolon_tests::{
    devnet::{Devnet, agent, get, json_of},
    status_bench,
};

/// Clients that submit single operations.
const SINGLE_CLIENTS: usize = 32;
/// Clients that submit transactions of 256 operations.
const BATCH_CLIENTS: usize = 8;
/// Clients that verify.
const VERIFY_CLIENTS: usize = 8;
/// Length of each phase bounded by time.
const PHASE: Duration = Duration::from_secs(15);
/// Licences issued in batches.
const BATCH_LICENCES: u64 = 100_000;
/// Operations of a full transaction.
const BATCH: u32 = 256;
/// Quiet time over which an idle network is measured.
const IDLE: Duration = Duration::from_secs(30);
/// Province whose agency issues, and whose node takes the transactions.
const ISSUER: &str = "44";
/// Province whose node verifies.
const VERIFIER: &str = "11";
/// Blocks of slots of one reservation.
const BLOCKS: u16 = 16;

fn main() {
    let as_json = std::env::args().any(|a| a == "--json");
    let net = Devnet::start(4);
    let bench = Bench::new(&net);
    let mut results = vec![limits(), status_bench::run()];
    results.push(bench.singles());
    results.push(bench.batches());
    results.push(bench.verification());
    results.push(bench.idle());
    let all = json!(results);
    say(&if as_json { all.to_string() } else { table(&all) });
}

#[expect(clippy::print_stdout, reason = "the figures are the program's output")]
fn say(text: &str) {
    println!("{text}");
}

/// What the machine can do at all, in this run.
fn limits() -> Value {
    let key = SecretKey::from_seed(&[7; 32]);
    let (message, public) = ([0; 300], key.public_key());
    let signature = key.sign(&message);
    let begun = Instant::now();
    let mut checks = 0u64;
    while begun.elapsed() < Duration::from_secs(2) {
        public.verify(&message, &signature).expect("its own signature holds");
        checks += 1;
    }
    let rate = checks as f64 / begun.elapsed().as_secs_f64();
    json!({ "name": "limits", "strict_checks_per_second_one_core": rate.round(), "fsync_4k_ms_p50": fsync_p50() })
}

fn fsync_p50() -> f64 {
    use std::io::Write as _;
    let mut file = tempfile::tempfile().expect("a temporary file");
    let mut times: Vec<f64> = (0..200)
        .map(|_| {
            let begun = Instant::now();
            file.write_all(&[1; 4096]).and_then(|()| file.sync_data()).expect("a write");
            begun.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    quantile(&mut times, 0.5)
}

fn quantile(times: &mut [f64], q: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let last = times.len().saturating_sub(1) as f64;
    times.get((last * q).round() as usize).copied().map_or(0.0, |t| (t * 100.0).round() / 100.0)
}

struct Bench<'a> {
    net: &'a Devnet,
    chain: ChainId,
    agency: Uscc,
    key: SecretKey,
    licence_type: TypeCode,
    key_ids: (u32, u32),
    slots: AtomicU32,
    end_of_slots: AtomicU32,
}

impl<'a> Bench<'a> {
    fn new(net: &'a Devnet) -> Self {
        let agency = net.agency(ISSUER);
        let pem = std::fs::read_to_string(&agency.key_file).expect("the agency's key");
        let url = format!("{}/v1/agencies/{}", net.node(ISSUER).http, agency.uscc);
        let (_, registered) = get(&url).expect("the node answers");
        let key_of = |purpose: &str| {
            let keys = registered["keys"].as_array().expect("keys");
            let key = keys.iter().find(|k| k["purpose"] == purpose).expect("a key of the purpose");
            key["id"].as_u64().and_then(|id| u32::try_from(id).ok()).expect("a number")
        };
        Self {
            net,
            chain: net.file.chain_id.parse().expect("a digest"),
            agency: agency.uscc.parse().expect("a credit code"),
            key: SecretKey::from_pem(&pem).expect("a key"),
            licence_type: "local:driving-licence".parse().expect("a type"),
            key_ids: (key_of("transaction"), key_of("credential")),
            slots: AtomicU32::new(0),
            end_of_slots: AtomicU32::new(0),
        }
    }

    /// Reserves slots until `count` more are free. The benchmark alone reserves, so the blocks
    /// are consecutive.
    fn reserve(&self, count: u32) {
        while self.end_of_slots.load(Ordering::SeqCst) - self.slots.load(Ordering::SeqCst) < count {
            let operation = Operation::ReserveSlots { agency: self.agency, blocks: BLOCKS };
            let bytes = self.sign(vec![operation]);
            self.submit(&agent(), &bytes).expect("slots are granted");
            self.end_of_slots.fetch_add(u32::from(BLOCKS) * 4_096, Ordering::SeqCst);
        }
    }

    fn issue(&self) -> Operation {
        let mut random = rand::rng();
        let licence = NewLicence {
            inner: Digest(random.random()),
            licence_type: self.licence_type.clone(),
            credential_key: self.key_ids.1,
            slot: self.slots.fetch_add(1, Ordering::SeqCst),
            expiry: None,
            lineage: Digest(random.random()),
        };
        Operation::Issue { licence }
    }

    fn sign(&self, operations: Vec<Operation>) -> Vec<u8> {
        let (_, status) = self.net.get(ISSUER, "/v1/status").expect("the node answers");
        self.sign_at(operations, status["height"].as_u64().expect("a height"))
    }

    fn sign_at(&self, operations: Vec<Operation>, height: u64) -> Vec<u8> {
        let payload = Payload {
            version: PAYLOAD_VERSION,
            chain_id: self.chain,
            actor: Actor::Agency(self.agency),
            key_id: self.key_ids.0,
            nonce: rand::rng().random(),
            valid_until_height: height + 5_000,
            operations,
        };
        SignedTransaction::sign(&payload, &self.key).expect("it fits").as_bytes().to_vec()
    }

    fn submit(&self, client: &ureq::Agent, bytes: &[u8]) -> Result<Duration, String> {
        let begun = Instant::now();
        let url =
            format!("{}/v1/transactions?wait=commit&timeout_ms=20000", self.net.node(ISSUER).http);
        let answer = client.post(&url).header("content-type", "application/cose").send(bytes);
        let mut answer = answer.map_err(|e| e.to_string())?;
        if answer.status() == 200 {
            return Ok(begun.elapsed());
        }
        Err(answer.body_mut().read_to_string().unwrap_or_default())
    }

    /// `clients` threads submit what `make` gives until `enough` says so.
    fn drive(
        &self,
        clients: usize,
        operations: u32,
        enough: impl Fn(Duration, u64) -> bool + Sync,
    ) -> (Vec<f64>, u64, Duration) {
        let (begun, done) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let (_, status) = self.net.get(ISSUER, "/v1/status").expect("the node answers");
        let height = status["height"].as_u64().expect("a height");
        let times = std::thread::scope(|scope| {
            let client = || {
                let client = agent();
                let mut times = Vec::new();
                while !enough(begun.elapsed(), done.load(Ordering::SeqCst)) {
                    let issues = (0..operations).map(|_| self.issue()).collect();
                    let bytes = self.sign_at(issues, height);
                    let took = self.submit(&client, &bytes).expect("a licence is issued");
                    times.push(took.as_secs_f64() * 1e3);
                    done.fetch_add(u64::from(operations), Ordering::SeqCst);
                }
                times
            };
            let threads: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
            threads.into_iter().flat_map(|t| t.join().expect("a client ends")).collect()
        });
        (times, done.load(Ordering::SeqCst), begun.elapsed())
    }

    fn phase(
        &self,
        name: &str,
        clients: usize,
        operations: u32,
        enough: impl Fn(Duration, u64) -> bool + Sync,
    ) -> Value {
        let (cpu, disk) = (self.cpu_seconds(), self.disk_bytes());
        let (mut times, done, took) = self.drive(clients, operations, enough);
        let nodes = self.net.file.nodes.len() as f64;
        let thousand = done as f64 / 1e3;
        json!({
            "name": name,
            "clients": clients,
            "licences": done,
            "licences_per_second": (done as f64 / took.as_secs_f64()).round(),
            "receipt_ms_p50": quantile(&mut times, 0.5),
            "receipt_ms_p99": quantile(&mut times, 0.99),
            "cpu_seconds_per_1000_licences_per_node": round3((self.cpu_seconds() - cpu) / thousand / nodes),
            "disk_bytes_per_licence_per_node": ((self.disk_bytes() - disk) / done as f64 / nodes).round(),
        })
    }

    fn singles(&self) -> Value {
        self.reserve(200_000);
        self.phase("single operations", SINGLE_CLIENTS, 1, |elapsed, _| elapsed > PHASE)
    }

    fn batches(&self) -> Value {
        self.reserve(u32::try_from(BATCH_LICENCES).unwrap_or(u32::MAX) + 20_000);
        self.phase("256 operations", BATCH_CLIENTS, BATCH, |_, done| done >= BATCH_LICENCES)
    }

    /// Verifies one real credential, again and again, against one node.
    fn verification(&self) -> Value {
        let out = self.net.folder().join("bench");
        let rows = self.net.folder().join("bench.csv");
        let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/driving-licences.csv");
        let text = std::fs::read_to_string(data).expect("the sample data");
        let first: String = text.split_inclusive('\n').take(11).collect();
        std::fs::write(&rows, first).expect("a file");
        let (rows, out_text) = (rows.to_string_lossy(), out.to_string_lossy());
        let import = self.net.symbolon(&[
            "--as",
            ISSUER,
            "import",
            "--type",
            "local:driving-licence",
            "--json",
            "--out",
            &out_text,
            &rows,
        ]);
        let summary = json_of(&import);
        let issued = summary["issued"].as_u64().unwrap_or(0);
        let credential = first_credential(&out);
        let cid = credential.0;
        let verify = json!({ "presentation": credential.1 }).to_string();
        let node = &self.net.node(VERIFIER).http;
        json!({
            "name": "reading",
            "clients": VERIFY_CLIENTS,
            "imported": issued,
            "verifications_per_second": repeat(|client| {
                let answer = client.post(format!("{node}/v1/verify")).header("content-type", "application/json").send(&verify);
                answer.is_ok_and(|a| a.status() == 200)
            }),
            "licences_with_proof_per_second": repeat(|client| {
                client.get(format!("{node}/v1/licences/{cid}")).call().is_ok_and(|a| a.status() == 200)
            }),
            "status_answers_per_second": repeat(|client| {
                client.get(format!("{node}/v1/status")).call().is_ok_and(|a| a.status() == 200)
            }),
        })
    }

    /// What four nodes cost that have nothing to do.
    fn idle(&self) -> Value {
        std::thread::sleep(Duration::from_secs(5));
        let cpu = self.cpu_seconds();
        std::thread::sleep(IDLE);
        let nodes = self.net.file.nodes.len() as f64;
        let used = (self.cpu_seconds() - cpu) / IDLE.as_secs_f64() / nodes;
        let memory: Vec<_> = self.net.file.nodes.iter().map(|n| resident_mib(n.pid)).collect();
        json!({
            "name": "idle",
            "core_percent_per_node": round3(used * 100.0),
            "resident_mib_per_node": memory,
        })
    }

    fn cpu_seconds(&self) -> f64 {
        self.net.file.nodes.iter().map(|n| cpu_seconds(n.pid)).sum()
    }

    fn disk_bytes(&self) -> f64 {
        self.net.file.nodes.iter().map(|n| folder_bytes(&n.data_dir) as f64).sum()
    }
}

/// How often a second `request` succeeds, by [`VERIFY_CLIENTS`] clients.
fn repeat(request: impl Fn(&ureq::Agent) -> bool + Sync) -> f64 {
    let begun = Instant::now();
    let done = std::thread::scope(|scope| {
        let client = || {
            let client = agent();
            let mut done = 0u64;
            while begun.elapsed() < PHASE / 3 {
                assert!(request(&client), "a request failed");
                done += 1;
            }
            done
        };
        let threads: Vec<_> = (0..VERIFY_CLIENTS).map(|_| scope.spawn(client)).collect();
        threads.into_iter().map(|t| t.join().expect("a client ends")).sum::<u64>()
    });
    (done as f64 / begun.elapsed().as_secs_f64()).round()
}

fn first_credential(out: &std::path::Path) -> (String, String) {
    let entries = std::fs::read_dir(out).expect("the import wrote credentials");
    let path = entries
        .filter_map(|e| e.ok().map(|e| e.path()))
        .find(|p| p.extension().is_some_and(|e| e == "sdjwt"))
        .expect("a credential");
    let cid = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    (cid, std::fs::read_to_string(&path).expect("a credential").trim().to_owned())
}

fn cpu_seconds(pid: i32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Fields after the name in parentheses: 12th and 13th are user and system time in ticks.
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn resident_mib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap_or_default();
    let kib = line.split_whitespace().nth(1).and_then(|k| k.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn folder_bytes(path: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => folder_bytes(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

fn round3(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn table(results: &Value) -> String {
    let mut lines = Vec::new();
    for result in results.as_array().into_iter().flatten() {
        lines.push(result["name"].as_str().unwrap_or_default().to_owned());
        for (key, value) in result.as_object().into_iter().flatten().filter(|(k, _)| *k != "name") {
            lines.push(format!("  {:<48} {value}", key.replace('_', " ")));
        }
    }
    lines.join("\n")
}
