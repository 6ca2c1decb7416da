//! Issuing, driven by `symbolon load`: the client that users have, with its checks and its bounds.
//!
//! Arrivals are open-loop, so latencies count from when a transaction was to be begun. A highest rate
//! is what is committed when far more is offered than can be, with a bounded number of transactions in
//! flight; what was dropped for that bound is no latency. Every province's agency loads its own
//! province's node.

use serde_json::Value;

use crate::devnet::{Devnet, json_of};

use super::{
    ISSUER, Scale,
    limits::Limits,
    machine::{cpu_seconds, disk_bytes},
    peers::Peers,
    report::{Figure, Section, Target},
};

/// Single transactions a second that are offered to find the highest rate: more than signature checks
/// alone would allow on any machine of few cores.
const OFFERED_SINGLES: u32 = 20_000;
/// How many of them are in flight.
const SINGLES_IN_FLIGHT: u32 = 256;
/// Full transactions a second that are offered: 102,400 licences.
const OFFERED_BATCHES: u32 = 400;
/// How many of them are in flight.
const BATCHES_IN_FLIGHT: u32 = 32;
/// Licences of a full transaction.
const BATCH: u32 = 256;
/// A light load, in transactions a second.
const LIGHT: u32 = 50;
/// A load as a province has it at its busiest hour.
const STEADY: u32 = 1_000;

/// Least share of what signature checks allow.
const LEAST_OF_CHECKS: f64 = 0.45;
/// Least times what an etcd of three members puts.
const LEAST_OF_ETCD: f64 = 1.5;
/// Licences a second in full transactions, at least.
const LEAST_LICENCES: f64 = 20_000.0;
/// Least share of the rate of an empty ledger that a full one keeps.
const LEAST_KEPT: f64 = 0.7;
/// Most times the synced append that a receipt may take under a light load.
const MOST_APPENDS: f64 = 30.0;
/// Most times its median that the slowest hundredth may take under a light load.
const MOST_TAIL: f64 = 5.0;
/// Most milliseconds to a receipt: slowest hundredth at the steady load; median and slowest hundredth
/// at the share of the highest rate.
const MOST_STEADY_MS: f64 = 100.0;
const MOST_BUSY_MS: f64 = 250.0;
const MOST_BUSY_TAIL_MS: f64 = 1_000.0;
/// The share of the highest rate.
const BUSY: f64 = 0.7;

/// A network and what is held against it.
#[derive(Debug)]
pub struct Bench<'n> {
    /// The network.
    pub net: &'n Devnet,
    /// How much is done.
    pub scale: &'n Scale,
    /// What the machine can do.
    pub limits: &'n Limits,
    /// What others do.
    pub peers: &'n Peers,
}

/// What is offered in one run.
#[derive(Debug, Clone, Copy)]
struct Offer {
    rate: u32,
    batch: u32,
    /// How many in flight, unless as many as by default.
    in_flight: Option<u32>,
    /// How many transactions end it, unless time does.
    count: Option<u64>,
}

/// What several runs of one offer gave.
struct Runs {
    offer: Offer,
    said: Vec<Value>,
    /// Processor seconds and bytes on disk of all nodes, run by run.
    cpu_seconds: Vec<f64>,
    disk_bytes: Vec<f64>,
}

impl Bench<'_> {
    /// Full transactions on what is there; the rate of licences, too. `before` is that of an empty
    /// ledger, where this one is not.
    ///
    /// # Panics
    ///
    /// When the network refuses a licence.
    #[must_use]
    pub fn batches(&self, name: &'static str, before: Option<f64>) -> (Section, f64) {
        let in_flight = Some(BATCHES_IN_FLIGHT);
        let offer = Offer { rate: OFFERED_BATCHES, batch: BATCH, in_flight, count: None };
        let runs = self.runs(offer, self.scale.runs);
        let rate = runs.figure("licences committed", &["licences_per_second"], "/s");
        let value = rate.value();
        let rate = match before {
            Some(before) => {
                rate.of("the same on an empty ledger", before).with(Target::AtLeast(LEAST_KEPT))
            }
            None => rate.of("asked for", LEAST_LICENCES).with(Target::AtLeast(1.0)),
        };
        let others = Figure::new("the same", value, "/s")
            .beside("PostgreSQL's synced inserts", &self.peers.inserts)
            .with(Target::AtLeast(1.0));
        let mut figures = vec![rate];
        figures.extend(before.is_none().then_some(others));
        figures.extend(runs.latencies());
        figures.extend(runs.costs(self.nodes()));
        (Section { name, how: self.how(&runs), figures }, value)
    }

    /// Single transactions, as many as are committed; their rate, too.
    ///
    /// # Panics
    ///
    /// When the network refuses a licence.
    #[must_use]
    pub fn singles(&self) -> (Section, f64) {
        let in_flight = Some(SINGLES_IN_FLIGHT);
        let offer = Offer { rate: OFFERED_SINGLES, batch: 1, in_flight, count: None };
        let runs = self.runs(offer, self.scale.runs);
        let rate = runs.figure("licences committed", &["licences_per_second"], "/s");
        let value = rate.value();
        let mut figures = vec![
            rate.of(
                "what one signature check a node allows, all cores",
                self.limits.checks_of_all_cores() / self.nodes(),
            )
            .with(Target::AtLeast(LEAST_OF_CHECKS)),
            Figure::new("the same", value, "/s")
                .beside("etcd's puts", &self.peers.puts)
                .with(Target::AtLeast(LEAST_OF_ETCD)),
        ];
        figures.extend(runs.latencies());
        figures.extend(runs.costs(self.nodes()));
        let how = self.how(&runs);
        (Section { name: "issuing, one licence a transaction", how, figures }, value)
    }

    /// A light load: what a clerk waits.
    ///
    /// # Panics
    ///
    /// When the network refuses a licence.
    #[must_use]
    pub fn light(&self) -> Section {
        let runs = self.at(LIGHT);
        let [p50, p99] = runs.latencies();
        let median = p50.value();
        let figures = vec![
            runs.share(),
            p50.of("a synced append of 4 KiB", self.limits.append_ms)
                .with(Target::AtMost(MOST_APPENDS)),
            p99.of("its p50", median).with(Target::AtMost(MOST_TAIL)),
            runs.late(),
        ];
        Section { name: "waiting, 50 transactions a second", how: self.how(&runs), figures }
    }

    /// A steady load.
    ///
    /// # Panics
    ///
    /// When the network refuses a licence.
    #[must_use]
    pub fn steady(&self) -> Section {
        let runs = self.at(STEADY);
        let [p50, p99] = runs.latencies();
        let p99 = p99.of("allowed", MOST_STEADY_MS).with(Target::AtMost(1.0));
        let figures = vec![runs.share(), p50, p99, runs.late()];
        Section { name: "waiting, 1,000 transactions a second", how: self.how(&runs), figures }
    }

    /// A share of the highest rate.
    ///
    /// # Panics
    ///
    /// When the network refuses a licence.
    #[must_use]
    pub fn busy(&self, highest: f64) -> Section {
        let runs = self.at(((highest * BUSY) as u32).max(LIGHT));
        let [p50, p99] = runs.latencies();
        let figures = vec![
            runs.share(),
            p50.of("allowed", MOST_BUSY_MS).with(Target::AtMost(1.0)),
            p99.of("allowed", MOST_BUSY_TAIL_MS).with(Target::AtMost(1.0)),
            runs.late(),
        ];
        Section { name: "waiting, at 70 % of the highest rate", how: self.how(&runs), figures }
    }

    /// Issues in full transactions until the ledger holds as many licences as the scale says.
    ///
    /// # Panics
    ///
    /// When the network refuses a licence.
    #[must_use]
    pub fn fill(&self) -> Section {
        let there = self.licences();
        let missing = self.scale.licences.saturating_sub(there).div_ceil(BATCH.into());
        let in_flight = Some(BATCHES_IN_FLIGHT);
        let count = Some(missing.max(1));
        let runs = self.runs(Offer { rate: OFFERED_BATCHES, batch: BATCH, in_flight, count }, 1);
        let rate = runs.figure("licences committed", &["licences_per_second"], "/s");
        let mut figures =
            vec![rate, Figure::new("licences on the ledger", self.licences() as f64, "")];
        figures.extend(runs.costs(self.nodes()));
        Section { name: "filling the ledger", how: self.how(&runs), figures }
    }

    /// Licences on the ledger: slots that are used.
    pub(super) fn licences(&self) -> u64 {
        let used = |uscc: &str| {
            let output = self.net.symbolon(&["--json", "--as", ISSUER, "agency", "show", uscc]);
            let slots = json_of(&output)["slots"].clone();
            let number = |name: &str| slots[name].as_u64().expect("a number of slots");
            number("blocks") * 4_096 - number("free")
        };
        self.net.file.agencies.iter().map(|agency| used(&agency.uscc)).sum()
    }

    fn at(&self, rate: u32) -> Runs {
        self.runs(Offer { rate, batch: 1, in_flight: None, count: None }, self.scale.runs)
    }

    fn runs(&self, offer: Offer, count: usize) -> Runs {
        let mut runs =
            Runs { offer, said: Vec::new(), cpu_seconds: Vec::new(), disk_bytes: Vec::new() };
        for _ in 0..count {
            let (cpu, disk) = (cpu_seconds(self.net), disk_bytes(self.net));
            runs.said.push(self.load(offer));
            runs.cpu_seconds.push(cpu_seconds(self.net) - cpu);
            runs.disk_bytes.push(disk_bytes(self.net) - disk);
        }
        runs
    }

    /// One run.
    fn load(&self, offer: Offer) -> Value {
        let millis = |span: std::time::Duration| format!("{}ms", span.as_millis());
        let agencies = self.net.file.agencies.len().to_string();
        let mut line: Vec<String> =
            ["--json", "load", "--agencies", &agencies].map(str::to_owned).into();
        let mut flag = |name: &str, value: String| line.extend([name.to_owned(), value]);
        flag("--rate", offer.rate.to_string());
        flag("--batch", offer.batch.to_string());
        if let Some(in_flight) = offer.in_flight {
            flag("--in-flight", in_flight.to_string());
        }
        match offer.count {
            Some(count) => flag("--count", count.to_string()),
            None => {
                flag("--duration", millis(self.scale.warm_up + self.scale.load));
                flag("--warm-up", millis(self.scale.warm_up));
            }
        }
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let output = self.net.symbolon(&line);
        let said = json_of(&output);
        assert!(output.status.success(), "{line:?}: {said}");
        said
    }

    fn nodes(&self) -> f64 {
        self.net.file.nodes.len() as f64
    }

    fn how(&self, runs: &Runs) -> String {
        let sum = |name: &str| runs.said.iter().filter_map(|said| said[name].as_u64()).sum::<u64>();
        let checked: u64 =
            runs.said.iter().filter_map(|said| said["receipts"]["checked"].as_u64()).sum();
        let span = match runs.offer.count {
            Some(count) => format!("--count {count}"),
            None => {
                let (warm_up, load) = (self.scale.warm_up, self.scale.load);
                format!("--duration {:?} --warm-up {warm_up:?}", warm_up + load)
            }
        };
        format!(
            "symbolon load --rate {} --batch {} {span}, {} in flight at most, {} agencies, each \
             through its own node; {} runs: {} transactions committed, {} dropped, {} answers of \
             503, {} timed out; {checked} receipts checked",
            runs.offer.rate,
            runs.offer.batch,
            runs.said.first().map_or(0, |said| said["in_flight"].as_u64().unwrap_or(0)),
            self.net.file.agencies.len(),
            runs.said.len(),
            sum("committed"),
            sum("dropped"),
            sum("busy"),
            sum("timed_out"),
        )
    }
}

impl Runs {
    /// The median of a number that each run says at this path.
    fn figure(&self, what: &'static str, path: &[&str], unit: &'static str) -> Figure {
        let number = |said: &Value| {
            let value = path.iter().fold(said, |value, name| &value[*name]);
            value.as_f64().unwrap_or(0.0)
        };
        Figure::of_runs(what, &self.said.iter().map(number).collect::<Vec<_>>(), unit)
    }

    fn latencies(&self) -> [Figure; 2] {
        [
            self.figure("submit to receipt, p50", &["latency_ms", "p50"], "ms"),
            self.figure("submit to receipt, p99", &["latency_ms", "p99"], "ms"),
        ]
    }

    /// How much of what was offered was committed.
    fn share(&self) -> Figure {
        self.figure("transactions committed", &["committed_per_second"], "/s")
            .of("offered", self.offer.rate.into())
    }

    /// How late the client itself began.
    fn late(&self) -> Figure {
        self.figure("of it begun late by the client, p99", &["late_ms", "p99"], "ms")
    }

    /// What a licence costs a node, and the client.
    fn costs(&self, nodes: f64) -> [Figure; 3] {
        // What was issued in the warm-up cost something, too.
        let whole = |said: &Value| said["with_warm_up"]["issued"].as_f64().unwrap_or(0.0).max(1.0);
        let per = |all: &[f64], many: f64| -> Vec<f64> {
            // A folder may shrink meanwhile.
            let one = |(value, said): (&f64, &Value)| value.max(0.0) * many / whole(said) / nodes;
            all.iter().zip(&self.said).map(one).collect()
        };
        let client =
            |said: &Value| said["client_cpu_seconds"].as_f64().unwrap_or(0.0) * 1e3 / whole(said);
        let client: Vec<f64> = self.said.iter().map(client).collect();
        [
            Figure::of_runs(
                "processor time for 1,000 licences, a node",
                &per(&self.cpu_seconds, 1e3),
                "s",
            ),
            Figure::of_runs("the same, the client", &client, "s"),
            Figure::of_runs("disk for a licence, a node", &per(&self.disk_bytes, 1.0), "B"),
        ]
    }
}
