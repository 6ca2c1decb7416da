//! `make bench-wan`: what a network of many provinces takes over long lines, from the simulation of
//! [`symbolon_sim::wan`]: finality, bytes, work, and where it saturates.
//!
//! `--json` gives one line of JSON for each run, `--quick` only sees that everything works, and
//! `--sync-us N` says what a synced write takes instead of measuring it (a busy machine has no quiet
//! disk). `docs/operating/national-load.md` plans with these figures.

use std::{
    fs,
    io::{self, Write},
    process::ExitCode,
    time::Instant,
};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};
use serde_json::{Value, json};
use symbolon_ledger::{keys::SecretKey, validators::MAX_VALIDATORS};
use symbolon_sim::wan::{
    Costs, Figures, Plan,
    figures::{KINDS, Kind, quantile},
    pipes::{PIECE_BYTES, SECOND_NS},
    run, sizes,
};

/// Validators: a nation's, and as many as a set may have; with the feature `wide-sets` that is 100.
const SIZES: [usize; 2] = [32, MAX_VALIDATORS];
/// Delays of the lines, one way, in milliseconds: a province, a country, a continent.
const DELAYS_MS: [u64; 3] = [5, 30, 80];
/// Bandwidth of a validator's line, each way.
const BITS_PER_SECOND: u64 = 100_000_000;
/// Licences a second of the first run with load. Each further run has twice as many, until finality
/// grows without bound; the last has half as many more as the last that kept up.
const FIRST_OFFERED: u64 = 250;
/// Most runs of a ladder.
const MOST_RUNS: usize = 8;
/// Simulated seconds of a run without load.
const LIGHT_SECONDS: u64 = 60;
/// Simulated seconds of a run with load, and of one with more than 50 validators. At the lowest load
/// there is a transaction a second, at random moments: a dozen of them do not tell chance from load.
const LOADED_SECONDS: [u64; 2] = [60, 40];
/// Licences of a transaction that an import makes.
const IMPORT: u64 = 256;
/// The delay at which transactions of one licence are tried as well.
const SINGLES_AT_MS: u64 = 30;
/// Any seed does.
const SEED: u64 = 7;
/// Signatures that are checked, and appends that are synced, to see what one takes.
const SAMPLES: usize = 200;
/// Licences a second of the run that shows what executing one takes.
const SAMPLE_OFFERED: u64 = 2_000;

/// What is assumed; printed above the figures.
const ASSUMED: &[&str] = &[
    "every validator is connected with every other; the delay is the same between any two",
    "a message takes its bytes / bandwidth on its sender's way out and on its receiver's way in;",
    "  streams take turns on the way out in pieces of 16 KiB, as yamux does",
    "bytes are those of the wire: gossipsub's envelope with author and signature, yamux, noise, TCP/IP",
    "connections are open and warm: no slow start, no windows, no loss, no acknowledgements",
    "own messages go to everybody (flood publish); votes and proposals are passed on to a mesh of 3",
    "  to 6 when their height lasts longer than 500 ms, transactions never; repeated ones are counted",
    "bodies up to 1 MiB are sent along by the proposer, larger ones fetched from whoever has them",
    "transactions come at random moments (open loop) at random validators, in batches every 10 to",
    "  20 ms, and are offered again by the node that took them after 5 heights, then after 10, 20, …",
    "blocks are as large as the last ones were in time (symbolon_consensus::reach)",
    "bytes a licence are those of transactions and bodies, bytes a height all of them",
    "synced writes: before each own message the log and the mark, each body, each block",
    "checks of signatures, of transactions and of blocks are one thread each",
    "not simulated: observers, HTTP, reads of the database",
];

#[derive(Debug)]
struct Options {
    json: bool,
    quick: bool,
    sync_ns: Option<u64>,
}

fn main() -> io::Result<ExitCode> {
    let Some(options) = options(std::env::args().skip(1)) else {
        writeln!(io::stderr(), "usage: wan [--json] [--quick] [--sync-us N]")?;
        return Ok(ExitCode::from(2));
    };
    match all(&options, &mut io::stdout()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(Stopped::Out(error)) => Err(error),
        Err(Stopped::Run(what)) => {
            writeln!(io::stderr(), "error: {what}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options { json: false, quick: false, sync_ns: None };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => options.json = true,
            "--quick" => options.quick = true,
            "--sync-us" => options.sync_ns = Some(arguments.next()?.parse::<u64>().ok()? * 1_000),
            _ => return None,
        }
    }
    Some(options)
}

/// Why it ends early.
#[derive(Debug)]
enum Stopped {
    /// Nobody reads any more.
    Out(io::Error),
    /// The network did what it must not.
    Run(String),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Out(error)
    }
}

impl From<String> for Stopped {
    fn from(what: String) -> Self {
        Self::Run(what)
    }
}

fn all(options: &Options, out: &mut impl Write) -> Result<(), Stopped> {
    let costs = measured(options)?;
    head(options, &costs, out)?;
    let sizes: &[usize] = if options.quick { &[4] } else { &SIZES };
    for validators in sizes {
        for delay_ms in DELAYS_MS {
            let plan = Plan {
                seed: SEED,
                validators: *validators,
                delay_ms,
                bits_per_second: BITS_PER_SECOND,
                offered: 0,
                batch: 1,
                seconds: if options.quick { 3 } else { LIGHT_SECONDS },
                eager_streams: true,
                costs,
            };
            light(options, &plan, out)?;
            ladder(options, &Plan { batch: IMPORT, ..plan }, out)?;
            if delay_ms == SINGLES_AT_MS {
                ladder(options, &Plan { batch: 1, ..plan }, out)?;
            }
        }
    }
    Ok(())
}

/// Processor time of this thread, in nanoseconds.
fn processor_ns() -> u64 {
    let nanos = |time: TimeVal| {
        u64::try_from(time.tv_sec()).unwrap_or(0) * SECOND_NS
            + u64::try_from(time.tv_usec()).unwrap_or(0) * 1_000
    };
    getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |u| nanos(u.user_time()) + nanos(u.system_time()))
}

/// What work takes on this machine, in this run.
fn measured(options: &Options) -> Result<Costs, Stopped> {
    let key = SecretKey::from_seed(&[7; 32]);
    let (message, public) = ([0; 128], key.public_key());
    let signature = key.sign(&message);
    let begun = processor_ns();
    for _ in 0..SAMPLES {
        public.verify(&message, &signature).map_err(|error| error.to_string())?;
    }
    let check_ns = (processor_ns() - begun) / SAMPLES as u64;
    let sample = Plan {
        seed: SEED,
        validators: 4,
        delay_ms: 5,
        bits_per_second: BITS_PER_SECOND,
        offered: SAMPLE_OFFERED,
        batch: IMPORT,
        seconds: 3,
        eager_streams: true,
        costs: Costs::NONE,
    };
    let work = run(&sample, processor_ns)?.processor;
    let execute_ns = work.build_ns / work.built.max(1);
    let sync_ns = match options.sync_ns {
        Some(sync_ns) => sync_ns,
        None => append_ns()?,
    };
    Ok(Costs { check_ns, sync_ns, execute_ns })
}

/// Median time of a synced append of 4 KiB.
fn append_ns() -> io::Result<u64> {
    let folder = tempfile::tempdir()?;
    let mut file = fs::File::create(folder.path().join("log"))?;
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        let begun = Instant::now();
        file.write_all(&[1; 4_096]).and_then(|()| file.sync_data())?;
        times.push(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    times.sort_unstable();
    Ok(quantile(&times, 0.5))
}

fn head(options: &Options, costs: &Costs, out: &mut impl Write) -> io::Result<()> {
    let us = |ns: u64| ns as f64 / 1e3;
    let Costs { check_ns, sync_ns, execute_ns } = *costs;
    if options.json {
        let line = json!({
            "name": "assumed",
            "assumed": ASSUMED,
            "bits_per_second": BITS_PER_SECOND,
            "piece_bytes": PIECE_BYTES,
            "check_us": us(check_ns),
            "sync_us": us(sync_ns),
            "sync_given": options.sync_ns.is_some(),
            "execute_us": us(execute_ns),
        });
        return writeln!(out, "{line}");
    }
    writeln!(out, "what is simulated")?;
    for line in ASSUMED {
        writeln!(out, "  {line}")?;
    }
    let how = if options.sync_ns.is_some() { "given" } else { "measured now" };
    writeln!(out, "lines of {} Mbit/s each way", BITS_PER_SECOND / 1_000_000)?;
    writeln!(out, "a strict check of a signature {:.1} us, measured now", us(check_ns))?;
    writeln!(out, "a synced append of 4 KiB      {:.1} us, {how}", us(sync_ns))?;
    writeln!(out, "executing a licence           {:.1} us, measured now\n", us(execute_ns))
}

/// A network without load, once as it is and once with streams that wait for the other side.
fn light(options: &Options, plan: &Plan, out: &mut impl Write) -> Result<(), Stopped> {
    if !options.json {
        let Plan { validators, delay_ms, .. } = plan;
        writeln!(out, "{validators} validators, {delay_ms} ms one way")?;
    }
    for eager_streams in [true, false] {
        let plan = Plan { eager_streams, ..*plan };
        let figures = run(&plan, processor_ns)?;
        if options.json {
            writeln!(out, "{}", row(&plan, &figures))?;
        } else {
            show_light(&plan, &figures, out)?;
        }
    }
    Ok(())
}

/// More and more load, until finality grows without bound.
fn ladder(options: &Options, plan: &Plan, out: &mut impl Write) -> Result<(), Stopped> {
    if !options.json {
        show_columns(plan, out)?;
    }
    let seconds = LOADED_SECONDS[usize::from(plan.validators > 50)].min(plan.seconds);
    let mut rung = |offered: u64| -> Result<bool, Stopped> {
        let plan = Plan { offered, seconds, ..*plan };
        let figures = run(&plan, processor_ns)?;
        if options.json {
            writeln!(out, "{}", row(&plan, &figures))?;
        } else {
            show_loaded(&plan, &figures, out)?;
        }
        Ok(figures.keeps_up())
    };
    let (mut offered, mut kept) = (FIRST_OFFERED, 0);
    for _ in 0..if options.quick { 1 } else { MOST_RUNS } {
        if !rung(offered)? {
            break;
        }
        (kept, offered) = (offered, 2 * offered);
    }
    if !options.quick && kept > 0 && rung(kept * 3 / 2)? {
        kept = kept * 3 / 2;
    }
    if !options.json {
        writeln!(out, "    the most that it keeps up with: {kept} licences a second\n")?;
    }
    Ok(())
}

/// Shares of time, and which of them bounds the network.
fn shares(plan: &Plan, figures: &Figures) -> [(&'static str, f64); 5] {
    let seconds = figures.span_ns as f64 / 1e9;
    let copies = (plan.validators - 1) as f64 * figures.heights as f64;
    let body_bits = sizes::request(figures.block_bytes) as f64 * 8.0;
    let spreading = copies * body_bits / plan.bits_per_second as f64 / seconds;
    [
        ("ways out", figures.way_out),
        ("the proposer's way out", spreading),
        ("executing blocks", figures.executing),
        ("admitting transactions", figures.admitting),
        ("checking votes", figures.checking),
    ]
}

/// What bounds it: whatever is in use for more than half of the time and most of all, or else the
/// round trips.
fn bound(plan: &Plan, figures: &Figures) -> &'static str {
    let busiest = shares(plan, figures).into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
    busiest.filter(|(_, share)| *share > 0.5).map_or("round trips", |(name, _)| name)
}

fn ms(ns: u64) -> f64 {
    (ns as f64 / 1e4).round() / 100.0
}

fn per_second(count: u64, figures: &Figures) -> f64 {
    (count as f64 * 1e11 / figures.span_ns as f64).round() / 100.0
}

/// Of each kind of bytes, so many for each of `units`.
fn bytes_for(plan: &Plan, figures: &Figures, units: u64) -> Value {
    let each = (plan.validators as u64 * units).max(1);
    let sent = &figures.counts.sent;
    KINDS.iter().map(|kind| (kind.name().to_owned(), json!(sent.of(*kind) / each))).collect()
}

/// Processor time of a node and height, in microseconds, as it was measured.
fn work(plan: &Plan, figures: &Figures) -> [(&'static str, f64); 3] {
    let node_heights = (plan.validators as u64 * figures.heights).max(1) as f64;
    let processor = &figures.processor;
    let step = processor.step_ns as f64 / figures.whole.steps.max(1) as f64;
    let edge = processor.edge_ns as f64 / processor.edge_messages.max(1) as f64;
    let us = |ns: f64| (ns / 1e2).round() / 10.0;
    [
        ("steps", us(step * figures.counts.steps as f64 / node_heights)),
        ("edge", us(edge * figures.counts.weighed as f64 / node_heights)),
        ("envelopes", us(plan.costs.check_ns as f64 * figures.counts.copies as f64 / node_heights)),
    ]
}

/// For programs: one object a run.
fn row(plan: &Plan, figures: &Figures) -> Value {
    let named = |of: &[(&'static str, f64)]| -> Value {
        of.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
    };
    let node_heights = (plan.validators as u64 * figures.heights).max(1);
    let spread = |times: &[u64]| json!({ "p50": ms(quantile(times, 0.5)), "p99": ms(quantile(times, 0.99)) });
    json!({
        "name": "run",
        "validators": plan.validators,
        "delay_ms": plan.delay_ms,
        "offered_per_s": plan.offered,
        "batch": plan.batch,
        "eager_streams": plan.eager_streams,
        "committed_per_s": per_second(figures.committed, figures),
        "heights_per_s": per_second(figures.heights, figures),
        "finality_ms": spread(&figures.finality_ns),
        "decision_ms": spread(&figures.decision_ns),
        "round": figures.round,
        "unfinished": figures.unfinished,
        "keeps_up": figures.keeps_up(),
        "block_bytes": figures.block_bytes,
        "bytes_a_validator_and_height": bytes_for(plan, figures, figures.heights),
        "bytes_a_validator_and_licence": bytes_for(plan, figures, figures.committed),
        "repeated_vote_share": figures.counts.repeated.of(KINDS[0]) as f64
            / figures.counts.received.of(KINDS[0]).max(1) as f64,
        "copies_a_node_and_height": figures.counts.copies / node_heights,
        "checks_a_node_and_height": figures.counts.weighed / node_heights,
        "batches_ignored": figures.counts.batches_ignored,
        "offered_again": figures.counts.offered_again,
        "processor_us_a_node_and_height": named(&work(plan, figures)),
        "shares": named(&shares(plan, figures)),
        "bound": bound(plan, figures),
        "history": figures.history.to_string(),
    })
}

fn show_light(plan: &Plan, figures: &Figures, out: &mut impl Write) -> io::Result<()> {
    let p = |times: &[u64], q| ms(quantile(times, q));
    let Figures { finality_ns, decision_ns, .. } = figures;
    if !plan.eager_streams {
        return writeln!(
            out,
            "    with streams that wait for the other side: submit to commit {} / {} ms, proposal to commit {} / {} ms",
            p(finality_ns, 0.5),
            p(finality_ns, 0.99),
            p(decision_ns, 0.5),
            p(decision_ns, 0.99),
        );
    }
    writeln!(out, "  without load (a licence a second; p50 / p99)")?;
    writeln!(
        out,
        "    submit to commit {} / {} ms, proposal to commit {} / {} ms",
        p(finality_ns, 0.5),
        p(finality_ns, 0.99),
        p(decision_ns, 0.5),
        p(decision_ns, 0.99),
    )?;
    let sent = bytes_for(plan, figures, figures.heights);
    let all = figures.counts.sent.sum() / (plan.validators as u64 * figures.heights).max(1);
    writeln!(out, "    bytes sent a validator and height: {all}, of which {sent}")?;
    let counts = &figures.counts;
    let votes = KINDS[0];
    let share = counts.repeated.of(votes) * 100 / counts.received.of(votes).max(1);
    writeln!(out, "    of the bytes of votes, {share} % were had already")?;
    let [steps, edge, envelopes] = work(plan, figures).map(|(_, us)| us);
    writeln!(
        out,
        "    processor time a node and height: Host::step {steps} us, edge with signatures {edge} us, envelopes of gossip {envelopes} us"
    )
}

fn show_columns(plan: &Plan, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "  {} licences a transaction", plan.batch)?;
    writeln!(
        out,
        "    offered/s committed/s heights/s  submit-commit p50/p99 ms  proposal-commit p50/p99 ms  block KiB  kB/validator/height  B/validator/licence  bound"
    )
}

fn show_loaded(plan: &Plan, figures: &Figures, out: &mut impl Write) -> io::Result<()> {
    let p = |times: &[u64], q| ms(quantile(times, q)).round();
    let sent = &figures.counts.sent;
    let carrying = sent.of(Kind::Transactions) + sent.of(Kind::Bodies);
    let of = |bytes: u64, units: u64| bytes / (plan.validators as u64 * units).max(1);
    let keeps_up = if figures.keeps_up() { "" } else { " (does not keep up)" };
    writeln!(
        out,
        "    {:>9} {:>11.0} {:>9.1} {:>17} / {:<6} {:>17} / {:<8} {:>9} {:>20.1} {:>20}  {}{keeps_up}",
        plan.offered,
        per_second(figures.committed, figures),
        per_second(figures.heights, figures),
        p(&figures.finality_ns, 0.5),
        p(&figures.finality_ns, 0.99),
        p(&figures.decision_ns, 0.5),
        p(&figures.decision_ns, 0.99),
        figures.block_bytes / 1_024,
        of(sent.sum(), figures.heights) as f64 / 1e3,
        of(carrying, figures.committed),
        bound(plan, figures),
    )
}
