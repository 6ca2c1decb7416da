//! What one node answers a second: verdicts, and records with their proofs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::{StatusCode, Uri, body::Bytes};
use serde_json::{Value, json};
use symbolon_ledger::hash::sha256;

use crate::devnet::{Devnet, binary};

use super::{
    Scale, VERIFIER,
    client::{Ask, Expected, address, body_of, per_second},
    constant::Constant,
    limits::Limits,
    peers::Peers,
    report::{Figure, Section, Target, quantile},
    wallet::Wallet,
};

/// Signatures that are checked for the verdict on a licence that a node has not judged before: its
/// issuer's and its holder's. Of one that it has, it remembers that its issuer's holds.
const SIGNATURES_OF_NEW: f64 = 2.0;
pub(super) const SIGNATURES: f64 = 1.0;
/// Connections of the client.
pub(super) const CONNECTIONS: usize = 32;
/// Presentations of one batch.
const BATCH: usize = 200;
/// Batches that are asked for at once: as many as a node of two cores works on.
const BATCHES: usize = 2;
/// Least share of what its signature checks allow that a node judges.
const LEAST_OF_CHECKS: f64 = 0.6;
/// Least times what an OCSP responder answers.
const LEAST_OF_OCSP: f64 = 2.0;
/// Least share of a constant answer that a record with its proof comes to.
const LEAST_OF_CONSTANT: f64 = 0.5;
/// Least times what a database looks up without a proof.
const LEAST_OF_LOOKUPS: f64 = 1.0;
/// Where the presentations of a part begin among those of each licence. A part has some for each of its
/// runs, and all together are fewer than a node remembers of one holder: each is shown once to a node.
const NEW: usize = 0;
const JUDGED_BEFORE: usize = 1_000;
const IN_BATCHES: usize = 2_000;
pub(super) const WHILE_ISSUING: usize = 3_000;

/// The chapter.
///
/// # Panics
///
/// When the node refuses what it must accept.
#[must_use]
pub fn section(
    net: &Devnet,
    wallet: &Wallet,
    scale: &Scale,
    limits: &Limits,
    peers: &Peers,
) -> Section {
    let checks = |signatures| limits.checks_of_all_cores() / signatures;
    let alone = "what its signature checks alone allow, all cores";
    let new =
        Figure::of_runs("POST /v1/verify, licences not judged before", &new(net, wallet), "/s");
    let value = new.value();
    let mut figures = vec![
        new.of(alone, checks(SIGNATURES_OF_NEW)).with(Target::AtLeast(LEAST_OF_CHECKS)),
        Figure::new("the same", value, "/s")
            .beside("OpenSSL's OCSP responder", &peers.answers)
            .with(Target::AtLeast(LEAST_OF_OCSP)),
    ];
    let verify = address(&format!("{}/v1/verify", net.node(VERIFIER).http));
    let again =
        repeated(scale, |run| verdicts(&verify, &of_one(wallet, JUDGED_BEFORE + run, scale)));
    figures.push(
        Figure::of_runs("the same, licences judged before", &again, "/s")
            .of(alone, checks(SIGNATURES)),
    );
    let batch = address(&format!("{}/v1/verify/batch", net.node(VERIFIER).http));
    let of_batch = BATCH.min(wallet.cids().count());
    let batches = repeated(scale, |run| {
        let bodies = in_batches(wallet, IN_BATCHES + run, scale);
        let ask = Ask::Post(&batch, &bodies);
        per_second(ask, BATCHES, Expected::VALID, Duration::MAX) * of_batch as f64
    });
    figures.push(
        Figure::of_runs("POST /v1/verify/batch, licences judged before", &batches, "/s")
            .of(alone, checks(SIGNATURES)),
    );
    let (records, size) = records(net, wallet, scale, peers);
    figures.extend(records);
    let shown = wallet.cids().count();
    Section {
        name: "reading from one node",
        how: format!(
            "{CONNECTIONS} connections of one client beside the four nodes; {shown} licences by turns, the \
             newest on the ledger, so all of it is warm; each presentation is shown once; licences not \
             judged before are {shown} verdicts at each of three nodes, the others {} runs of {}; batches \
             of {of_batch}; records in runs of {:?}, one with its proof has {size} bytes",
            scale.runs,
            scale.presentations,
            part(scale)
        ),
        figures,
    }
}

/// Verdicts a second on licences that a node sees for the first time, at three nodes.
fn new(net: &Devnet, wallet: &Wallet) -> Vec<f64> {
    let judge = |node: &crate::devnet::Node| {
        let verify = address(&format!("{}/v1/verify", node.http));
        let bodies: Vec<Bytes> = show(wallet, NEW).map(|item| body(&item)).collect();
        verdicts(&verify, &bodies)
    };
    net.file.nodes.iter().take(3).map(judge).collect()
}

/// Records with their proofs, and proofs of absence, each beside a constant answer of its size.
fn records(net: &Devnet, wallet: &Wallet, scale: &Scale, peers: &Peers) -> ([Figure; 5], usize) {
    let licences = licences(net, wallet);
    let absences = absences(net, licences.len());
    let constant = "a constant answer of that size";
    let beside = |what, runs: &Constants| {
        Figure::of_runs(what, &runs.real, "/s")
            .of(constant, quantile(&mut runs.constant.clone(), 0.5))
            .with(Target::AtLeast(LEAST_OF_CONSTANT))
    };
    let present = beside_constant(&licences, StatusCode::OK, scale);
    let absent = beside_constant(&absences, StatusCode::NOT_FOUND, scale);
    let there = beside("GET /v1/licences/{cid} with its proof", &present);
    let gone = beside("the same of licences proven absent", &absent);
    let (rate, of_absent) = (there.value(), gone.value());
    let lookups = |rate| {
        Figure::new("the same", rate, "/s")
            .beside("PostgreSQL's prepared look-ups", &peers.lookups)
            .with(Target::AtLeast(LEAST_OF_LOOKUPS))
    };
    let as_fast = Figure::new("the same", of_absent, "/s").of("licences that are there", rate);
    let figures = [there, lookups(rate), gone, lookups(of_absent), as_fast];
    (figures, present.size)
}

/// The licences' addresses at the verifying node.
pub(super) fn licences(net: &Devnet, wallet: &Wallet) -> Vec<Uri> {
    let node = &net.node(VERIFIER).http;
    wallet.cids().map(|cid| address(&format!("{node}/v1/licences/{cid}"))).collect()
}

/// So many addresses at the verifying node of licences that are not there.
pub(super) fn absences(net: &Devnet, many: usize) -> Vec<Uri> {
    let node = &net.node(VERIFIER).http;
    let made_up = |n: usize| address(&format!("{node}/v1/licences/{}", sha256(&n.to_be_bytes())));
    (0..many).map(made_up).collect()
}

/// Each licence shown once more.
fn show(wallet: &Wallet, number: usize) -> impl Iterator<Item = Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    wallet.present(now, number).map(|text| json!({ "presentation": text }))
}

/// The presentations of a run, no two of them equal, nor to those of another run.
fn run_of(wallet: &Wallet, run: usize, scale: &Scale) -> impl Iterator<Item = Value> {
    let passes = scale.presentations.div_ceil(wallet.cids().count());
    (0..passes).flat_map(move |pass| show(wallet, run * passes + pass)).take(scale.presentations)
}

/// Bodies of one presentation each.
pub(super) fn of_one(wallet: &Wallet, run: usize, scale: &Scale) -> Vec<Bytes> {
    run_of(wallet, run, scale).map(|item| body(&item)).collect()
}

/// Bodies of [`BATCH`] presentations each.
fn in_batches(wallet: &Wallet, run: usize, scale: &Scale) -> Vec<Bytes> {
    let items: Vec<Value> = run_of(wallet, run, scale).collect();
    let of_batch = BATCH.min(wallet.cids().count());
    items.chunks_exact(of_batch).map(|c| body(&json!({ "items": c }))).collect()
}

fn body(value: &Value) -> Bytes {
    value.to_string().into()
}

/// Verdicts a second, until each body was sent.
pub(super) fn verdicts(verify: &Uri, bodies: &[Bytes]) -> f64 {
    per_second(Ask::Post(verify, bodies), CONNECTIONS, Expected::VALID, Duration::MAX)
}

/// Length of a run of reading: all of them together take a phase.
fn part(scale: &Scale) -> Duration {
    scale.phase / u32::try_from(scale.runs).unwrap_or(1).max(1)
}

fn repeated(scale: &Scale, run: impl FnMut(usize) -> f64) -> Vec<f64> {
    (0..scale.runs).map(run).collect()
}

/// How often something was answered a second, and a constant answer of that size, run by run.
struct Constants {
    real: Vec<f64>,
    constant: Vec<f64>,
    size: usize,
}

fn beside_constant(addresses: &[Uri], status: StatusCode, scale: &Scale) -> Constants {
    let size = body_of(&addresses[0]).len();
    let server = Constant::start(&binary("bench"), size);
    let constant = [address(server.url())];
    let mut runs = Constants { real: Vec::new(), constant: Vec::new(), size };
    for _ in 0..scale.runs {
        let each = part(scale);
        let expected = Expected { status, says: "" };
        runs.real.push(per_second(Ask::Get(addresses), CONNECTIONS, expected, each));
        let ask = Ask::Get(&constant);
        runs.constant.push(per_second(ask, CONNECTIONS, Expected::OK, each));
    }
    runs
}
