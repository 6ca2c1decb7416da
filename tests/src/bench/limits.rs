//! What this machine can do at all, in this run.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use symbolon_ledger::{hash::sha256, keys::SecretKey};
use symbolon_node::storage::Measured;

use super::report::{Figure, Section, quantile};

/// Length of the message that is signed, in bytes: about a transaction with one licence.
const MESSAGE: usize = 300;
/// Synced appends that are timed.
const APPENDS: usize = 200;
/// Synced batches of the database that are timed, the records of one, and the bytes of a record:
/// about a licence's.
const BATCHES: u64 = 50;
const RECORDS: u64 = 1_000;
const RECORD: usize = 110;

/// The machine's limits.
#[derive(Debug)]
pub struct Limits {
    /// Strict Ed25519 checks a second on one core.
    pub checks_per_second: f64,
    /// Cores.
    pub cores: f64,
    /// Median time of a synced append of 4 KiB, in milliseconds.
    pub append_ms: f64,
    /// Median time of a synced batch of new records in RocksDB, in milliseconds.
    pub batch_ms: f64,
}

impl Limits {
    /// Measures them.
    ///
    /// # Panics
    ///
    /// When the disk of the temporary folder takes no file.
    #[must_use]
    pub fn measure(span: Duration) -> Self {
        let key = SecretKey::from_seed(&[7; 32]);
        let (message, public) = ([0; MESSAGE], key.public_key());
        let signature = key.sign(&message);
        let check = || public.verify(&message, &signature).expect("its own signature holds");
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            checks_per_second: 1e3 / millis(span, check),
            cores: cores as f64,
            append_ms: append_ms(),
            batch_ms: batch_ms(),
        }
    }

    /// Strict checks a second that all cores could do.
    #[must_use]
    pub fn checks_of_all_cores(&self) -> f64 {
        self.checks_per_second * self.cores
    }

    /// Records a second that synced batches of the database take.
    #[must_use]
    pub fn records_per_second(&self) -> f64 {
        RECORDS as f64 * 1e3 / self.batch_ms
    }

    /// The chapter.
    #[must_use]
    pub fn section(&self) -> Section {
        Section {
            name: "limits of this machine",
            how: format!(
                "checkout at {}; {}; {} cores; {MESSAGE}-byte messages; {APPENDS} appends; {BATCHES} batches of \
                 {RECORDS} new keys with {RECORD} bytes each, with the node's own settings",
                commit(),
                machine(),
                self.cores
            ),
            figures: vec![
                Figure::new("strict signature checks, one core", self.checks_per_second, "/s"),
                Figure::new("synced append of 4 KiB, p50", self.append_ms, "ms"),
                Figure::new("synced batch of RocksDB, p50", self.batch_ms, "ms"),
            ],
        }
    }
}

/// The commit of the checkout, and whether anything was changed since. `make` builds from it first.
fn commit() -> String {
    let git = ["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty", "--exclude=*"];
    let said = Command::new("git").args(git).stderr(Stdio::null()).output().ok();
    let said = said.filter(|said| said.status.success()).map(|said| said.stdout);
    said.map_or("unknown".to_owned(), |said| String::from_utf8_lossy(&said).trim().to_owned())
}

/// The processor, the memory and the kernel, as Linux names them.
fn machine() -> String {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let line = |path: &str, name: &str| {
        let text = file(path);
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or("", |(_, value)| value).trim().to_owned()
    };
    let (processor, memory) =
        (line("/proc/cpuinfo", "model name"), line("/proc/meminfo", "MemTotal"));
    format!("{processor}, {memory}, Linux {}", file("/proc/sys/kernel/osrelease").trim())
}

/// Mean time of `work` over `span`, in milliseconds.
pub fn millis<T>(span: Duration, mut work: impl FnMut() -> T) -> f64 {
    let (begun, mut done) = (Instant::now(), 0u32);
    while done == 0 || begun.elapsed() < span {
        std::hint::black_box(work());
        done += 1;
    }
    begun.elapsed().as_secs_f64() * 1e3 / f64::from(done)
}

fn append_ms() -> f64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut file = fs::File::create(folder.path().join("log")).expect("a file");
    let append = |_| {
        let begun = Instant::now();
        file.write_all(&[1; 4_096]).and_then(|()| file.sync_data()).expect("a synced append");
        begun.elapsed().as_secs_f64() * 1e3
    };
    let mut times: Vec<f64> = (0..APPENDS).map(append).collect();
    quantile(&mut times, 0.5)
}

fn batch_ms() -> f64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let table = Measured::open(folder.path()).expect("an empty folder");
    let record = |n: u64| (sha256(&n.to_be_bytes()).0.to_vec(), vec![7_u8; RECORD]);
    let batch = |n: u64| {
        let records: Vec<_> = (n * RECORDS..(n + 1) * RECORDS).map(record).collect();
        let begun = Instant::now();
        table.write(records, Vec::new()).expect("a synced batch");
        begun.elapsed().as_secs_f64() * 1e3
    };
    let mut times: Vec<f64> = (0..BATCHES).map(batch).collect();
    quantile(&mut times, 0.5)
}
