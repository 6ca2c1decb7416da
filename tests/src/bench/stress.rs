//! `make bench-stress`: more than the network can take, from clients of which some hang up, then one
//! slow disk of four, then one paused validator; and after the load and after the faults, whether all
//! is as it was.
//!
//! Every load is `symbolon load`. Its lines of rates, latencies and the nodes' memory are left in the
//! folder that `SYMBOLON_BENCH_OUT` names. The disk is slow because a library in front of the node's
//! own delays its syncs ([`crate::faults::preload`]); without a C compiler that part is left out, and
//! said.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    net::TcpStream,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::Value;
use symbolon_ledger::transaction::SignedTransaction;

use super::report::{Figure, Section, Target};
use crate::{
    agency::{Agency, any, commit},
    devnet::{Devnet, get, json_of},
    faults::preload::{self, Deed, Page},
};

/// Name of the variable that names the folder for curves and figures.
pub const OUT: &str = "SYMBOLON_BENCH_OUT";
/// The province whose node is slowed and paused. Its agency is that of the clients that hang up.
const FAULTY: &str = "51";
/// The first of the three provinces whose agencies load their own nodes.
const FIRST: &str = "11";
const LOADING: &str = "3";
/// Transactions a second of a calm minute, under faults, and of the flood: many times what is possible.
const CALM: u32 = 50;
const UNDER_FAULTS: u32 = 200;
const FLOOD: u32 = 20_000;
/// Transactions in flight at most, as three nodes let wait for a commit.
const IN_FLIGHT: u32 = 1_536;
/// Transactions of the flood in flight: four times those that the nodes let wait.
const FLOOD_IN_FLIGHT: u32 = 6_000;
/// How long each sync of the slow disk takes longer.
const SYNC_DELAY_MS: i64 = 50;
/// Clients that hang up, and how long each rests in between.
const HANGING_UP: usize = 4;
const REST: Duration = Duration::from_millis(20);
/// Blocks of slots for what they sign.
const BLOCKS: u16 = 16;
/// Rows of a curve that are printed.
const ROWS: usize = 20;
/// Most times what it was before that latencies may be in the minute after.
const MOST_TIMES: f64 = 2.0;
/// Least share of a calm minute's transactions that are committed afterwards.
const LEAST_COMMITTED: f64 = 0.99;

/// How long each part takes.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    calm: Duration,
    flood: Duration,
    fault: Duration,
}

impl Scale {
    /// Seventeen minutes.
    pub const FULL: Self = Self {
        calm: Duration::from_secs(60),
        flood: Duration::from_secs(600),
        fault: Duration::from_secs(120),
    };
    /// Enough to see that it works.
    pub const QUICK: Self = Self {
        calm: Duration::from_secs(2),
        flood: Duration::from_secs(3),
        fault: Duration::from_secs(2),
    };
}

/// A part of the run.
#[derive(Debug, Clone, Copy)]
struct Part {
    name: &'static str,
    file: &'static str,
    rate: u32,
    in_flight: u32,
    length: Duration,
}

/// What a part came to.
struct Lap {
    said: Value,
    curve: Vec<Value>,
}

/// A run under way.
struct Stress {
    net: Devnet,
    /// Of the faulty node; none where that cannot be done.
    page: Option<Page>,
    out: PathBuf,
    /// Transactions that were acknowledged, by their heights.
    acknowledged: BTreeMap<u64, BTreeSet<String>>,
    /// The processes of all nodes.
    pids: Vec<i32>,
}

/// Runs all parts; `show` is given each chapter, `say` the table of each curve. Whether nothing was
/// lost, no node ended, and the network came back by itself.
///
/// # Panics
///
/// When the network does not start, or a curve cannot be kept.
pub fn run(scale: &Scale, mut show: impl FnMut(&Section), mut say: impl FnMut(&str)) -> bool {
    let (show, say) = (&mut show, &mut say);
    let mut stress = Stress::start();
    let part = |name, file, rate, length| Part { name, file, rate, in_flight: IN_FLIGHT, length };
    let calm = part("before", "1-before", CALM, scale.calm);
    let before = stress.load(&calm);
    tell(show, say, &calm, &before, Vec::new());

    let flood = Part {
        in_flight: FLOOD_IN_FLIGHT,
        ..part("above what it can take, with clients that hang up", "2-flood", FLOOD, scale.flood)
    };
    let hangers = Hangers::start(&stress.net);
    let lap = stress.load(&flood);
    let hung_up = Figure::new("requests that were hung up on", hangers.stop() as f64, "");
    tell(show, say, &flood, &lap, vec![hung_up]);
    let calm = part("the minute after", "3-after", CALM, scale.calm);
    let after = stress.load(&calm);
    tell(show, say, &calm, &after, after.beside(&before));

    let slow = part("one slow disk of four", "4-slow-disk", UNDER_FAULTS, scale.fault);
    match stress.slow(SYNC_DELAY_MS) {
        false => say("one slow disk of four: left out, for want of a C compiler\n"),
        true => {
            let lap = stress.load(&slow);
            stress.slow(0);
            tell(show, say, &slow, &lap, Vec::new());
        }
    }
    let paused = part("one paused validator of four", "5-paused", UNDER_FAULTS, scale.fault);
    stress.net.signal(FAULTY, Signal::SIGSTOP);
    let lap = stress.load(&paused);
    stress.net.signal(FAULTY, Signal::SIGCONT);
    tell(show, say, &paused, &lap, Vec::new());
    let calm = part("at the end", "6-end", CALM, scale.calm);
    let end = stress.load(&calm);
    tell(show, say, &calm, &end, end.beside(&before));

    let (lost, ended) = (stress.lost(), stress.ended());
    show(&Section {
        name: "what must hold",
        how: format!("curves in {}", stress.out.display()),
        figures: vec![
            Figure::new("transactions acknowledged", stress.acknowledged() as f64, ""),
            Figure::new("of them missing on a node", lost as f64, ""),
            Figure::new("nodes that ended", ended as f64, ""),
        ],
    });
    lost == 0 && ended == 0 && [&after, &end].iter().all(|lap| lap.share() >= LEAST_COMMITTED)
}

/// Tells of one part.
fn tell(
    show: &mut impl FnMut(&Section),
    say: &mut impl FnMut(&str),
    part: &Part,
    lap: &Lap,
    more: Vec<Figure>,
) {
    show(&lap.section(part, more));
    say(&lap.table());
}

impl Stress {
    fn start() -> Self {
        let net = Devnet::start(4);
        let page = preload::build(net.folder()).ok().map(|library| {
            let page = Page::new(net.folder().join("page")).expect("a page");
            net.kill(FAULTY);
            let environment =
                [("LD_PRELOAD", library.as_path()), ("SYMBOLON_FAULTS_PAGE", page.path())];
            net.restart_with(FAULTY, &environment);
            page
        });
        let out = std::env::var_os(OUT).map(PathBuf::from);
        let out = out.unwrap_or_else(|| net.folder().join("bench-stress"));
        fs::create_dir_all(&out).expect("a folder for the curves");
        let pids = net.file.nodes.iter().map(|node| net.pid(&node.province)).collect();
        Self { net, page, out, acknowledged: BTreeMap::new(), pids }
    }

    /// Delays every sync of the faulty node; false where that cannot be done.
    fn slow(&self, ms: i64) -> bool {
        self.page.as_ref().is_some_and(|page| page.set(Deed::SyncDelay, ms).is_ok())
    }

    fn load(&mut self, part: &Part) -> Lap {
        let curve = self.out.join(part.file).with_extension("jsonl");
        let committed = self.net.folder().join(part.file).with_extension("committed");
        // The curve of an earlier run.
        let _ = fs::remove_file(&curve);
        let (rate, in_flight) = (part.rate.to_string(), part.in_flight.to_string());
        let length = format!("{}ms", part.length.as_millis());
        let (lines, list) = (curve.to_string_lossy(), committed.to_string_lossy());
        let output = self.net.symbolon(&[
            "--json",
            "--as",
            FIRST,
            "load",
            "--agencies",
            LOADING,
            "--rate",
            &rate,
            "--in-flight",
            &in_flight,
            "--duration",
            &length,
            "--patience",
            "2m",
            "--curve",
            &lines,
            "--committed",
            &list,
        ]);
        let said = json_of(&output);
        let read = |path: &PathBuf| fs::read_to_string(path).expect("the load wrote it");
        for line in read(&committed).lines() {
            let (id, height) = line.split_once(' ').expect("an id and its height");
            let height = height.parse().expect("a height");
            self.acknowledged.entry(height).or_default().insert(id.to_owned());
        }
        let line = |line: &str| serde_json::from_str(line).expect("a line of JSON");
        Lap { said, curve: read(&curve).lines().map(line).collect() }
    }

    fn acknowledged(&self) -> usize {
        self.acknowledged.values().map(BTreeSet::len).sum()
    }

    /// How many acknowledged transactions are not in their block on some node.
    fn lost(&self) -> usize {
        let Some(highest) = self.acknowledged.keys().next_back() else { return 0 };
        self.net.await_height(*highest);
        let mut lost = 0;
        for node in &self.net.file.nodes {
            for (height, ids) in &self.acknowledged {
                let block =
                    get(&format!("{}/v1/blocks/{height}", node.http)).expect("it answers").1;
                let there = block["transactions"].as_array().cloned().unwrap_or_default();
                let there: BTreeSet<&str> = there.iter().filter_map(Value::as_str).collect();
                lost += ids.iter().filter(|id| !there.contains(id.as_str())).count();
            }
        }
        lost
    }

    /// How many nodes are not the processes any more that they were at the start.
    fn ended(&self) -> usize {
        let runs = |pid: &&i32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
            state.is_some_and(|state| !['Z', 'X'].contains(&state))
        };
        self.pids.len() - self.pids.iter().filter(runs).count()
    }
}

impl Lap {
    fn number(&self, path: [&str; 2]) -> f64 {
        path.iter().fold(&self.said, |said, name| &said[*name]).as_f64().unwrap_or(0.0)
    }

    fn count(&self, name: &str) -> f64 {
        self.said[name].as_f64().unwrap_or(0.0)
    }

    /// Which part of what was offered was committed.
    fn share(&self) -> f64 {
        self.count("committed") / self.count("offered").max(1.0)
    }

    /// The latencies beside those of another part.
    fn beside(&self, before: &Self) -> Vec<Figure> {
        let row = |what, name| {
            let path = ["latency_ms", name];
            Figure::new(what, self.number(path), "ms")
                .of("before", before.number(path))
                .with(Target::AtMost(MOST_TIMES))
        };
        vec![row("p50 again", "p50"), row("p99 again", "p99")]
    }

    fn section(&self, part: &Part, more: Vec<Figure>) -> Section {
        let memory = self.curve.iter().map(memory_mib).fold(0.0, f64::max);
        let mut figures = vec![
            Figure::new("transactions committed", self.count("committed_per_second"), "/s"),
            Figure::new("submit to receipt, p50", self.number(["latency_ms", "p50"]), "ms"),
            Figure::new("submit to receipt, p99", self.number(["latency_ms", "p99"]), "ms"),
            Figure::new("dropped", self.count("dropped"), ""),
            Figure::new("answers of 503", self.count("busy"), ""),
            Figure::new("timed out", self.count("timed_out"), ""),
            Figure::new("resident memory, largest node", memory, "MiB"),
        ];
        figures.extend(more);
        let Part { rate, in_flight, length, .. } = part;
        let refused = &self.said["refused"];
        Section {
            name: part.name,
            how: format!(
                "symbolon load --rate {rate} --in-flight {in_flight}, {LOADING} agencies, {length:?}; \
                 refused {refused}"
            ),
            figures,
        }
    }

    /// Some rows of the curve, evenly spaced.
    fn table(&self) -> String {
        let mut table =
            "      at s  committed/s      p50 ms      p99 ms       503   in flight    MiB\n"
                .to_owned();
        let step = self.curve.len().div_ceil(ROWS).max(1);
        for line in self.curve.iter().step_by(step) {
            let number = |value: &Value| value.as_f64().unwrap_or(0.0);
            table += &format!(
                "{:>10.0}  {:>11.0}  {:>10.1}  {:>10.1}  {:>8}  {:>10}  {:>5.0}\n",
                number(&line["at_s"]),
                number(&line["per_second"]),
                number(&line["latency_ms"]["p50"]),
                number(&line["latency_ms"]["p99"]),
                number(&line["busy"]),
                number(&line["in_flight"]),
                memory_mib(line),
            );
        }
        table
    }
}

/// Of the node that holds most.
fn memory_mib(line: &Value) -> f64 {
    let nodes = line["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    let kib = nodes.iter().filter_map(|node| node["resident_kib"].as_f64());
    kib.fold(0.0, f64::max) / 1_024.0
}

/// Clients that hang up: in the middle of a request's head, of its body, or while they should wait.
struct Hangers {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Hangers {
    fn start(net: &Devnet) -> Self {
        let agency = Arc::new(Agency::of(net, FAULTY));
        commit(&net.node(FAULTY).http, &agency.reserve(BLOCKS));
        let origins: Arc<Vec<String>> =
            Arc::new(net.file.nodes.iter().map(|n| n.http.clone()).collect());
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let hang_up = |_| {
            let (agency, origins) = (agency.clone(), origins.clone());
            let (stop, done) = (stop.clone(), done.clone());
            thread::spawn(move || {
                while !stop.load(Relaxed) {
                    let number = done.fetch_add(1, Relaxed);
                    let transaction = agency.sign(vec![agency.issue(any())]);
                    let origin = &origins[number as usize % origins.len()];
                    send_part(origin, &transaction, number);
                    thread::sleep(REST);
                }
            })
        };
        let threads = (0..HANGING_UP).map(hang_up).collect();
        Self { stop, done, threads }
    }

    /// How often one hung up.
    fn stop(self) -> u64 {
        self.stop.store(true, Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
        self.done.load(Relaxed)
    }
}

/// Sends the head of a request up to its middle, or its body up to its middle, or all of it; and goes.
fn send_part(origin: &str, transaction: &SignedTransaction, number: u64) {
    let authority = origin.trim_start_matches("http://");
    let body = transaction.as_bytes();
    let head = format!(
        "POST /v1/transactions?wait=commit HTTP/1.1\r\nHost: {authority}\r\n\
         Content-Type: application/cose\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let whole = [head.as_bytes(), body].concat();
    let end = match number % 3 {
        0 => head.len() / 2,
        1 => head.len() + body.len() / 2,
        _ => whole.len(),
    };
    // A node that is full takes no connection, or ends it.
    if let Ok(mut stream) = TcpStream::connect(authority) {
        let _ = stream.write_all(&whole[..end]);
    }
}
