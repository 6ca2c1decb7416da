//! What one node answers a second: verdicts, and records with their proofs.

use std::time::{SystemTime, UNIX_EPOCH};

use hyper::{StatusCode, body::Bytes};
use serde_json::{Value, json};

use crate::devnet::{Devnet, binary};

use super::{
    Scale, VERIFIER,
    client::{Ask, body_of, per_second},
    constant::Constant,
    limits::Limits,
    peers::Peers,
    report::{Figure, Section, Target},
    wallet::Wallet,
};

/// Signatures that are checked for a verdict here: the holder's. One licence is shown again and again,
/// and a node remembers that its issuer's signature holds.
pub(super) const SIGNATURES: f64 = 1.0;
/// Connections of the client.
pub(super) const CONNECTIONS: usize = 32;
/// Presentations of a series that differ: those of all three series are no more than a node remembers
/// of one holder. Whatever is shown again is judged in full again, and only not remembered.
const DIFFERENT: usize = 20;
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
/// A licence that does not exist.
const ABSENT: &str = "00000000000000000000000000000000000000000000000000000000000000ab";

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
    let verify = format!("{}/v1/verify", net.node(VERIFIER).http);
    let licences = format!("{}/v1/licences", net.node(VERIFIER).http);
    let allowed = limits.checks_of_all_cores() / SIGNATURES;
    let checks = "what its signature checks alone allow, all cores";
    let constant = "a constant answer of that size";

    let shown = |first| show(wallet, first, scale.presentations);
    let bodies: Vec<Bytes> = shown(0).map(|text| body(&json!({ "presentation": text }))).collect();
    let verdicts =
        per_second(&verify, CONNECTIONS, Ask::Post(&bodies), StatusCode::OK, scale.phase);
    let items: Vec<Value> = shown(1).map(|text| json!({ "presentation": text })).collect();
    let bodies: Vec<Bytes> = items.chunks(BATCH).map(|c| body(&json!({ "items": c }))).collect();
    let of_batch = BATCH.min(items.len()) as f64;
    let batch = format!("{verify}/batch");
    let batches = per_second(&batch, BATCHES, Ask::Post(&bodies), StatusCode::OK, scale.phase);
    let (present, size) =
        beside_constant(&format!("{licences}/{}", wallet.cid), StatusCode::OK, scale);
    let (absent, _) =
        beside_constant(&format!("{licences}/{ABSENT}"), StatusCode::NOT_FOUND, scale);
    Section {
        name: "reading from one node",
        how: format!(
            "{CONNECTIONS} connections of one client beside the four nodes; one licence, whose issuer's signature the node \
             remembers; batches of {of_batch}; a record with its proof has {size} bytes"
        ),
        figures: vec![
            Figure::new("POST /v1/verify, a licence that was shown before", verdicts, "/s")
                .of(checks, allowed)
                .with(Target::AtLeast(LEAST_OF_CHECKS)),
            Figure::new("the same", verdicts, "/s")
                .beside("OpenSSL's OCSP responder", &peers.answers)
                .with(Target::AtLeast(LEAST_OF_OCSP)),
            Figure::new("POST /v1/verify/batch, verdicts", batches * of_batch, "/s")
                .of(checks, allowed),
            Figure::new("GET /v1/licences/{cid} with its proof", present.0, "/s")
                .of(constant, present.1)
                .with(Target::AtLeast(LEAST_OF_CONSTANT)),
            Figure::new("the same", present.0, "/s")
                .beside("PostgreSQL's prepared look-ups", &peers.lookups)
                .with(Target::AtLeast(LEAST_OF_LOOKUPS)),
            Figure::new("the same of a licence proven absent", absent.0, "/s")
                .of(constant, absent.1)
                .with(Target::AtLeast(LEAST_OF_CONSTANT)),
        ],
    }
}

/// Presentations made now, `count` of them and [`DIFFERENT`] different ones; another `series` gives
/// others.
pub(super) fn show(wallet: &Wallet, series: usize, count: usize) -> impl Iterator<Item = String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let texts: Vec<String> =
        (0..DIFFERENT).map(|number| wallet.present(now, series * DIFFERENT + number)).collect();
    texts.into_iter().cycle().take(count)
}

pub(super) fn body(value: &Value) -> Bytes {
    value.to_string().into()
}

/// How often `url` answers a second, how often a constant answer of the same size does, and the
/// size.
fn beside_constant(url: &str, status: StatusCode, scale: &Scale) -> ((f64, f64), usize) {
    let size = body_of(url).len();
    let server = Constant::start(&binary("bench"), size);
    let each = scale.phase / 2;
    let real = per_second(url, CONNECTIONS, Ask::Get, status, each);
    let constant = per_second(server.url(), CONNECTIONS, Ask::Get, StatusCode::OK, each);
    ((real, constant), size)
}
