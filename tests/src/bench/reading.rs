//! What one node answers a second: verdicts, and records with their proofs.

use std::time::{SystemTime, UNIX_EPOCH};

use hyper::{StatusCode, Uri, body::Bytes};
use serde_json::{Value, json};
use symbolon_ledger::hash::sha256;

use crate::devnet::{Devnet, binary};

use super::{
    Scale, VERIFIER,
    client::{Ask, address, body_of, per_second},
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
/// Series of presentations, each with signatures of its own.
const NEW: usize = 0;
const SHOWN_BEFORE: usize = 1;
const IN_BATCHES: usize = 2;
pub(super) const WHILE_ISSUING: usize = 3;

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
    let bodies = of_one(wallet, SHOWN_BEFORE, scale);
    let again = repeated(scale, || verdicts(&verify, &bodies, scale));
    figures.push(
        Figure::of_runs("the same, licences judged before", &again, "/s")
            .of(alone, checks(SIGNATURES)),
    );
    let batch = address(&format!("{}/v1/verify/batch", net.node(VERIFIER).http));
    let (bodies, of_batch) = in_batches(wallet, scale);
    let ask = Ask::Post(&batch, &bodies);
    let batches =
        repeated(scale, || per_second(ask, BATCHES, StatusCode::OK, part(scale)) * of_batch);
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
            "{CONNECTIONS} connections of one client beside the four nodes; {shown} licences by turns, \
             shown first to three nodes, once to each; batches of {of_batch}; a record with its proof \
             has {size} bytes; {} runs of {:?}",
            scale.runs,
            part(scale)
        ),
        figures,
    }
}

/// Verdicts a second on licences that a node sees for the first time, at three nodes.
fn new(net: &Devnet, wallet: &Wallet) -> Vec<f64> {
    let nodes = net.file.nodes.iter().take(3);
    let judge = |node: &crate::devnet::Node| {
        let verify = address(&format!("{}/v1/verify", node.http));
        let bodies: Vec<Bytes> = show(wallet, NEW).collect();
        // Each is shown once, however long it takes.
        let ask = Ask::Post(&verify, &bodies);
        per_second(ask, CONNECTIONS, StatusCode::OK, std::time::Duration::MAX)
    };
    nodes.map(judge).collect()
}

/// Records with their proofs, and proofs of absence, each beside a constant answer of its size.
fn records(net: &Devnet, wallet: &Wallet, scale: &Scale, peers: &Peers) -> ([Figure; 5], usize) {
    let licences = licences(net, wallet);
    let base = format!("{}/v1/licences", net.node(VERIFIER).http);
    let made_up = |n: usize| address(&format!("{base}/{}", sha256(&n.to_be_bytes())));
    let absences: Vec<Uri> = (0..licences.len()).map(made_up).collect();
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

/// Each licence shown once, as the bodies of requests.
fn show(wallet: &Wallet, series: usize) -> impl Iterator<Item = Bytes> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    wallet.present(now, series).map(|text| body(&json!({ "presentation": text })))
}

/// Bodies of one presentation each, those of a series by turns. What is shown again is judged in full
/// again, and only not remembered.
pub(super) fn of_one(wallet: &Wallet, series: usize, scale: &Scale) -> Vec<Bytes> {
    let each: Vec<Bytes> = show(wallet, series).collect();
    each.into_iter().cycle().take(scale.presentations).collect()
}

/// Bodies of [`BATCH`] presentations each, and how many that is.
fn in_batches(wallet: &Wallet, scale: &Scale) -> (Vec<Bytes>, f64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let shown = wallet.present(now, IN_BATCHES);
    let items: Vec<Value> = shown.map(|text| json!({ "presentation": text })).collect();
    let each: Vec<Bytes> =
        items.chunks_exact(BATCH.min(items.len())).map(|c| body(&json!({ "items": c }))).collect();
    let of_batch = BATCH.min(items.len());
    let count = scale.presentations.div_ceil(of_batch);
    (each.into_iter().cycle().take(count).collect(), of_batch as f64)
}

fn body(value: &Value) -> Bytes {
    value.to_string().into()
}

fn verdicts(verify: &Uri, bodies: &[Bytes], scale: &Scale) -> f64 {
    per_second(Ask::Post(verify, bodies), CONNECTIONS, StatusCode::OK, part(scale))
}

/// Length of a run: all of them together take a phase.
fn part(scale: &Scale) -> std::time::Duration {
    scale.phase / u32::try_from(scale.runs).unwrap_or(1).max(1)
}

fn repeated(scale: &Scale, mut run: impl FnMut() -> f64) -> Vec<f64> {
    (0..scale.runs).map(|_| run()).collect()
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
        runs.real.push(per_second(Ask::Get(addresses), CONNECTIONS, status, each));
        let ask = Ask::Get(&constant);
        runs.constant.push(per_second(ask, CONNECTIONS, StatusCode::OK, each));
    }
    runs
}
