//! Issuing through one province's node: single licences and full transactions.
//!
//! Closed loop: a fixed number of clients, each waiting for its receipt before it submits again, so
//! latencies are those that a patient client sees, and not those of an overload.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use rand::RngExt as _;
use symbolon_ledger::{
    codes::{TypeCode, Uscc},
    hash::{ChainId, Digest},
    keys::SecretKey,
    operation::{Actor, NewLicence, Operation},
    records::SLOTS_PER_BLOCK,
    transaction::{MAX_OPERATIONS, PAYLOAD_VERSION, Payload, SignedTransaction},
};

use crate::devnet::{Devnet, agent, get};

use super::{
    ISSUER, Scale,
    limits::Limits,
    machine::{cpu_seconds, disk_bytes},
    report::{Figure, Section, quantile},
};

/// Clients that submit single operations.
const SINGLE_CLIENTS: usize = 32;
/// Clients that submit full transactions.
const BATCH_CLIENTS: usize = 8;
/// Blocks of slots of one reservation: an agency may hold 64 that are not half used.
const BLOCKS: u16 = 16;
/// Most single licences of a phase: one reservation.
const SINGLES: u64 = BLOCKS as u64 * SLOTS_PER_BLOCK as u64;
/// Heights within which a transaction must be committed.
const LIFETIME: u64 = 5_000;
/// Times that a client submits the same transaction before it gives up.
const ATTEMPTS: usize = 30;

/// An agency and its keys.
#[derive(Debug)]
pub struct Issuer<'n> {
    net: &'n Devnet,
    chain: ChainId,
    agency: Uscc,
    key: SecretKey,
    licence_type: TypeCode,
    /// Numbers of the transaction key and the credential key.
    key_ids: (u32, u32),
    slots: AtomicU32,
    end_of_slots: AtomicU32,
}

/// What a phase took.
struct Took {
    /// Time to each receipt, in milliseconds.
    receipts: Vec<f64>,
    licences: f64,
    seconds: f64,
    cpu_seconds: f64,
    disk_bytes: f64,
}

impl<'n> Issuer<'n> {
    /// The agency of the issuing province.
    ///
    /// # Panics
    ///
    /// When the network does not know it.
    #[must_use]
    pub fn new(net: &'n Devnet) -> Self {
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

    /// The chapter of transactions with one licence.
    ///
    /// # Panics
    ///
    /// When the network refuses a licence.
    #[must_use]
    pub fn singles(&self, scale: &Scale, limits: &Limits) -> Section {
        self.reserve(SINGLES);
        let enough = |elapsed, begun| elapsed > scale.phase || begun >= SINGLES;
        let took = self.drive(SINGLE_CLIENTS, 1, enough);
        let nodes = self.net.file.nodes.len() as f64;
        let mut section = took.section("issuing, one licence a transaction", SINGLE_CLIENTS, nodes);
        let rate = took.licences / took.seconds;
        section.figures[0] = Figure::new("licences committed", rate, "/s").of(
            "what one signature check a node allows, all cores",
            limits.checks_of_all_cores() / nodes,
        );
        section
    }

    /// The chapter of full transactions.
    ///
    /// # Panics
    ///
    /// When the network refuses a licence.
    #[must_use]
    pub fn batches(&self, scale: &Scale) -> Section {
        let in_flight = BATCH_CLIENTS as u64 * MAX_OPERATIONS as u64;
        self.reserve(scale.batch_licences + in_flight);
        let enough = |_, begun| begun >= scale.batch_licences;
        let took = self.drive(BATCH_CLIENTS, MAX_OPERATIONS, enough);
        let nodes = self.net.file.nodes.len() as f64;
        took.section("issuing, 256 licences a transaction", BATCH_CLIENTS, nodes)
    }

    /// Reserves slots until `count` more are free. Nobody else reserves meanwhile, so the blocks are
    /// consecutive.
    fn reserve(&self, count: u64) {
        let free = || self.end_of_slots.load(Ordering::SeqCst) - self.slots.load(Ordering::SeqCst);
        while u64::from(free()) < count {
            let operation = Operation::ReserveSlots { agency: self.agency, blocks: BLOCKS };
            let bytes = self.sign(vec![operation], self.height());
            self.submit(&agent(), &bytes);
            self.end_of_slots.fetch_add(u32::from(BLOCKS) * SLOTS_PER_BLOCK, Ordering::SeqCst);
        }
    }

    /// `clients` threads submit transactions of `size` licences until `enough` says so, of the time
    /// and of the licences begun.
    fn drive(
        &self,
        clients: usize,
        size: usize,
        enough: impl Fn(Duration, u64) -> bool + Sync,
    ) -> Took {
        let (cpu, disk) = (cpu_seconds(self.net), disk_bytes(self.net));
        let (begun, height) = (Instant::now(), self.height());
        let started = AtomicU64::new(0);
        let client = || {
            let (client, mut receipts) = (agent(), Vec::new());
            while !enough(begun.elapsed(), started.fetch_add(size as u64, Ordering::SeqCst)) {
                let bytes = self.sign((0..size).map(|_| self.issue()).collect(), height);
                let submitted = Instant::now();
                self.submit(&client, &bytes);
                receipts.push(submitted.elapsed().as_secs_f64() * 1e3);
            }
            receipts
        };
        let receipts: Vec<f64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
            threads.into_iter().flat_map(|t| t.join().expect("a client ends")).collect()
        });
        Took {
            licences: (receipts.len() * size) as f64,
            receipts,
            seconds: begun.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds(self.net) - cpu,
            disk_bytes: disk_bytes(self.net) - disk,
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

    fn height(&self) -> u64 {
        self.net.height(ISSUER).expect("the node answers")
    }

    fn sign(&self, operations: Vec<Operation>, height: u64) -> Vec<u8> {
        let payload = Payload {
            version: PAYLOAD_VERSION,
            chain_id: self.chain,
            actor: Actor::Agency(self.agency),
            key_id: self.key_ids.0,
            nonce: rand::rng().random(),
            valid_until_height: height + LIFETIME,
            operations,
        };
        SignedTransaction::sign(&payload, &self.key).expect("it fits").as_bytes().to_vec()
    }

    /// Submits until there is a receipt. A node that is busy (503) or not done in time (202) is
    /// given the same bytes again, which is harmless: the wait counts.
    #[expect(clippy::panic, reason = "a benchmark whose licence is refused has failed")]
    fn submit(&self, client: &ureq::Agent, bytes: &[u8]) {
        let node = &self.net.node(ISSUER).http;
        let url = format!("{node}/v1/transactions?wait=commit&timeout_ms=20000");
        for _ in 0..ATTEMPTS {
            let request = client.post(&url).header("content-type", "application/cose");
            let mut answer = request.send(bytes).expect("the node answers");
            match answer.status().as_u16() {
                200 => return,
                202 => {}
                503 => {
                    let after = answer.headers().get("retry-after").and_then(|v| v.to_str().ok());
                    let seconds = after.and_then(|v| v.parse().ok()).unwrap_or(1);
                    std::thread::sleep(Duration::from_secs(seconds));
                }
                status => {
                    let text = answer.body_mut().read_to_string().unwrap_or_default();
                    panic!("a licence is refused with {status}: {text}")
                }
            }
        }
        panic!("a licence is not committed after {ATTEMPTS} attempts")
    }
}

impl Took {
    fn section(&self, name: &'static str, clients: usize, nodes: f64) -> Section {
        let mut receipts = self.receipts.clone();
        let thousands = self.licences / 1e3;
        Section {
            name,
            how: format!(
                "{clients} clients that wait for their receipts; {} licences in {:.1} s; {nodes} nodes",
                self.licences, self.seconds
            ),
            figures: vec![
                Figure::new("licences committed", self.licences / self.seconds, "/s"),
                Figure::new("submit to receipt, p50", quantile(&mut receipts, 0.5), "ms"),
                Figure::new("submit to receipt, p99", quantile(&mut receipts, 0.99), "ms"),
                Figure::new(
                    "processor time for 1,000 licences, a node",
                    self.cpu_seconds / thousands / nodes,
                    "s",
                ),
                Figure::new(
                    "disk for a licence, a node",
                    self.disk_bytes / self.licences / nodes,
                    "B",
                ),
            ],
        }
    }
}
