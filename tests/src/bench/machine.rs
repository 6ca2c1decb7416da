//! What the nodes' processes take of the machine, as Linux counts it in `/proc`.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use crate::devnet::Devnet;

use super::{
    growth::MOST_MIB,
    report::{Figure, Section, Target},
};

/// Longest start of a network, in seconds.
const START_SECONDS: f64 = 10.0;
/// Most of a core that an idle node may use, in percent.
const IDLE_PERCENT: f64 = 1.0;
/// Clock ticks a second, as `sysconf(_SC_CLK_TCK)` says on every Linux.
const TICKS: f64 = 100.0;

/// A network of four, and how long it took from the command until each node was ready.
#[must_use]
pub fn start() -> (Devnet, Section) {
    let begun = Instant::now();
    let net = Devnet::start(4);
    let seconds = begun.elapsed().as_secs_f64();
    let figures = vec![
        Figure::new("devnet up, until every node is ready", seconds, "s")
            .of("allowed", START_SECONDS)
            .with(Target::AtMost(1.0)),
    ];
    let how = format!("{} nodes, keys and founding document made anew", net.file.nodes.len());
    (net, Section { name: "starting a network", how, figures })
}

/// What four nodes cost that have nothing to do.
#[must_use]
pub fn idle(net: &Devnet, span: Duration) -> Section {
    let nodes = &net.file.nodes;
    let cpu = cpu_seconds(net);
    std::thread::sleep(span);
    let used = (cpu_seconds(net) - cpu) / span.as_secs_f64() / nodes.len() as f64;
    let most =
        |name| nodes.iter().map(|n| memory_mib(net.pid(&n.province), name)).fold(0.0, f64::max);
    let height = net.height(super::ISSUER).unwrap_or(0);
    Section {
        name: "idle network",
        how: format!("{} nodes at height {height} for {span:?}", nodes.len()),
        figures: vec![
            Figure::new("processor time of a node", used * 100.0, "%")
                .of("of a core allowed", IDLE_PERCENT)
                .with(Target::AtMost(1.0)),
            Figure::new("resident memory, largest node", most("VmRSS:"), "MiB")
                .of("allowed with five million licences", MOST_MIB)
                .with(Target::AtMost(1.0)),
            Figure::new("its peak so far, under load", most("VmHWM:"), "MiB"),
        ],
    }
}

/// Processor seconds that all nodes have used.
#[must_use]
pub fn cpu_seconds(net: &Devnet) -> f64 {
    let used = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // After the name in parentheses, the 12th and 13th fields are user and system time.
        let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = after.split_whitespace().skip(11).take(2);
        ticks.filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / TICKS
    };
    net.file.nodes.iter().map(|n| used(net.pid(&n.province))).sum()
}

/// Bytes in all nodes' data folders.
#[must_use]
pub fn disk_bytes(net: &Devnet) -> f64 {
    net.file.nodes.iter().map(|n| folder_bytes(&n.data_dir)).sum()
}

/// A line of `/proc/PID/status`, in MiB; `pid` may be `self`.
#[must_use]
pub fn memory_mib(pid: impl std::fmt::Display, name: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    let kib = line.split_whitespace().nth(1).and_then(|k| k.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1_024.0
}

/// By how much this process grows at most while it does `work`, in MiB. Linux counts a process's
/// peak anew after a 5 is written to `clear_refs`.
#[must_use]
pub fn peak_growth_mib<T>(work: impl FnOnce() -> T) -> f64 {
    let _ = fs::write("/proc/self/clear_refs", "5");
    let before = memory_mib("self", "VmRSS:");
    drop(work());
    memory_mib("self", "VmHWM:") - before
}

fn folder_bytes(path: &Path) -> f64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => folder_bytes(&entry.path()),
            Ok(meta) => meta.len() as f64,
            // A file that RocksDB removed meanwhile.
            Err(_) => 0.0,
        })
        .sum()
}
