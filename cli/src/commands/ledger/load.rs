//! `symbolon load`: puts a load on a network, and says what the network made of it.
//!
//! Arrivals are open-loop: each transaction has an intended start, `--rate` of them a second, however
//! long earlier ones take, and its latency counts from there. So waiting is counted, in the network
//! and in this program. What cannot be begun, since `--in-flight` transactions wait already, is
//! counted as dropped and never left out in silence.
//!
//! Licences are real to the ledger (an `Issue` with random digests, slots of the agency's own) and to
//! nobody else: no credential is made, and what is issued means nothing. Signing is done on the go, at
//! the intended start and on the one thread of the client. Reading order: [`plan`] (what is asked
//! for), [`agency`] and [`stock`] (what is signed, on which slots), [`wire`] (HTTP), [`drive`] (the
//! loop), [`tally`] (what is counted), [`curve`] (as it goes), [`receipts`] (whether they hold).

mod plan;

mod agency;

mod stock;

mod wire;

mod drive;

mod tally;

mod curve;

mod receipts;

use std::{
    cell::RefCell,
    path::PathBuf,
    rc::Rc,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use clap::{Args, value_parser};
use signal_hook::consts::{SIGINT, SIGTERM};
use symbolon_ledger::codes::TypeCode;
use tokio::{
    runtime::{Builder, Runtime},
    task::LocalSet,
};

use self::{
    agency::Agency,
    curve::Curve,
    drive::Load,
    plan::{Kind, Plan, parse_span},
    stock::Feeders,
    tally::Totals,
    wire::Wire,
};
use super::{issue::parse_type, trusted::Believed};
use crate::{
    args::Context,
    output::{Answer, Failure, Outcome, Status},
};

/// Put a load on a network: licences issued and revoked at a fixed rate, whatever it answers
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Transactions to begin a second, whether earlier ones have ended or not
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=plan::MAX_RATE))]
    rate: u32,
    /// Licences in a transaction
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = value_parser!(u16).range(1..=plan::MAX_BATCH))]
    batch: u16,
    /// What the transactions do
    #[arg(long, value_enum, default_value_t = Kind::Issue)]
    kind: Kind,
    /// How long to begin transactions, such as 30s or 10m [default: 10s, without --count]
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    duration: Option<Duration>,
    /// How many transactions to submit; the first of --duration and --count ends the load
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=plan::MAX_TRANSACTIONS))]
    count: Option<u64>,
    /// What is begun in this time is not counted
    #[arg(long, value_name = "SPAN", default_value = "0s", value_parser = parse_span)]
    warm_up: Duration,
    /// With --devnet: so many provinces' agencies at once, each through its own province's node, or
    /// all through --node
    #[arg(long, value_name = "N", default_value_t = 1)]
    agencies: usize,
    /// Transactions that may wait for their receipts at once [default: 512 for each node]
    #[arg(long, value_name = "N",
        value_parser = value_parser!(u32).range(1..=plan::MAX_IN_FLIGHT))]
    in_flight: Option<u32>,
    /// How long a transaction may take, with all its attempts, before it counts as timed out
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = parse_span)]
    patience: Duration,
    /// The licence type
    #[arg(long = "type", value_name = "CODE", default_value = "local:driving-licence",
        value_parser = parse_type)]
    licence_type: TypeCode,
    /// Receipts to check afterwards, drawn at random from all; with --devnet or what is believed
    #[arg(long, value_name = "N", default_value_t = 200,
        value_parser = value_parser!(u32).range(0..=plan::MAX_CHECKED))]
    check: u32,
    #[command(flatten)]
    believed: Believed,
    /// Write a line of JSON here every --every: rates, latencies, the nodes' memory
    #[arg(long, value_name = "FILE")]
    curve: Option<PathBuf>,
    /// The time between two lines of --curve
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = parse_span)]
    every: Duration,
    /// Write the id and height of every committed transaction here, one a line
    #[arg(long, value_name = "FILE")]
    committed: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(args: &LoadArgs, context: &Context) -> Outcome {
    let plan = Plan::of(args, context)?;
    let trust = receipts::trust(&args.believed, context)?;
    let (agencies, urls) = agency::open(args, context, &plan)?;
    let mut curve = Curve::open(args, context)?;
    let stop = stop_flag()?;
    let (feeders, stocks) = Feeders::start(&agencies, &plan)?;
    let wires = urls.iter().map(|url| Wire::to(url)).collect::<Result<Rc<[Wire]>, _>>()?;
    let agencies: Rc<[RefCell<Agency>]> =
        agencies.into_iter().zip(stocks).map(|(a, stock)| RefCell::new(a.with(stock))).collect();
    let (runtime, local) = (runtime()?, LocalSet::new());
    let plan = Plan { in_flight: args.in_flight_over(wires.len()), ..plan };
    if plan.kind == Kind::Revoke {
        let prepared = Load::new(plan.preparing(), wires.clone(), agencies.clone());
        let work = drive::drive(&prepared, Arc::clone(&stop), None);
        let totals = local.block_on(&runtime, work)?;
        enough_prepared(&plan, &totals)?;
    }
    let load = Load::new(plan.clone(), wires, agencies.clone());
    let cpu = tally::cpu_seconds();
    let totals = local.block_on(&runtime, drive::drive(&load, stop, Some(&mut curve)))?;
    let cpu = tally::cpu_seconds() - cpu;
    curve.finish();
    for agency in agencies.iter() {
        agency.borrow_mut().give_back()?;
    }
    if let Some(failure) = feeders.stop() {
        context.output.note(format!("note: no more status slots: {}", failure.message));
    }
    let checked = receipts::check(totals.kept(), trust.as_ref());
    answer(&plan, &urls, &totals, &checked, cpu)
}

impl LoadArgs {
    /// How many transactions may wait at once where they go to so many nodes.
    fn in_flight_over(&self, nodes: usize) -> usize {
        let asked = self.in_flight.and_then(|n| usize::try_from(n).ok());
        asked.unwrap_or(plan::IN_FLIGHT_A_NODE.saturating_mul(nodes))
    }
}

fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread().enable_all().build().map_err(|e| {
        let hint = "try again where processes may open files and sockets";
        Failure::refused("no_runtime", format!("the system gives no event loop: {e}"), hint)
    })
}

/// A flag that an interrupt sets: nothing more is begun then, what waits is waited for, and what was
/// counted is printed. A second interrupt ends the program.
fn stop_flag() -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let second = signal_hook::flag::register_conditional_shutdown(signal, 130, flag.clone());
        second.and_then(|_| signal_hook::flag::register(signal, flag.clone())).map_err(|e| {
            let message = format!("interrupts cannot be caught: {e}");
            Failure::refused("no_signals", message, "start the program in an ordinary session")
        })?;
    }
    Ok(flag)
}

/// Revoking needs the licences that it revokes.
fn enough_prepared(plan: &Plan, prepared: &Totals) -> Result<(), Failure> {
    let (there, wanted) = (prepared.counts().issued, plan.operations());
    if there >= wanted {
        return Ok(());
    }
    Err(Failure::refused(
        "not_prepared",
        format!("only {there} of the {wanted} licences to revoke could be issued before"),
        "give a lower --count, or a shorter --duration; `symbolon doctor` looks for the cause",
    ))
}

/// What the command says, and with which status it ends: a bad receipt or a refusal is wrong, a
/// network that commits nothing is out of reach; what is dropped or told to come back is the finding.
fn answer(
    plan: &Plan,
    nodes: &[String],
    totals: &Totals,
    checked: &receipts::Checked,
    cpu_seconds: f64,
) -> Outcome {
    let report = tally::Report { plan, nodes, totals, checked, cpu_seconds };
    let (text, json) = (report.text(), report.json());
    if let Some(wrong) = &checked.wrong {
        let hint = "keep what --committed wrote, and tell the operators of the node";
        return Err(Failure::refused("bad_receipt", wrong, hint).with_json(json));
    }
    let all = totals.all();
    let status = match (all.committed, all.refused) {
        (0, 0) => Status::Unreachable,
        (_, 0) => Status::Done,
        _ => Status::Refused,
    };
    Ok(Answer::new(text, json).with_status(status))
}
