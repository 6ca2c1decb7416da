//! What one node answers while the network issues.

use std::process::{Command, Stdio};

use hyper::{StatusCode, body::Bytes};
use serde_json::json;

use crate::devnet::{Devnet, binary, json_of};

use super::{
    Scale, VERIFIER,
    client::{Ask, body_of, per_second},
    constant::Constant,
    limits::Limits,
    reading::{CONNECTIONS, SIGNATURES, body, show},
    report::{Figure, Section, Target},
    wallet::Wallet,
};

/// Transactions a second, and licences of each: 2,000 licences a second.
const RATE: &str = "8";
const BATCH: &str = "250";
/// Least share of a constant answer on the idle network that a record with its proof comes to.
const LEAST_OF_CONSTANT: f64 = 0.4;
/// A series of presentations after the two of the idle network.
const SERIES: usize = 2;

/// The chapter.
///
/// # Panics
///
/// When the network refuses a licence, or the node what it must answer.
#[must_use]
pub fn section(net: &Devnet, wallet: &Wallet, scale: &Scale, limits: &Limits) -> Section {
    let node = &net.node(VERIFIER).http;
    let record = format!("{node}/v1/licences/{}", wallet.cid);
    let size = body_of(&record).len();
    let constant = {
        let server = Constant::start(&binary("bench"), size);
        per_second(server.url(), CONNECTIONS, Ask::Get, StatusCode::OK, scale.phase / 2)
    };
    let length = format!("{}ms", (scale.phase * 5 / 2).as_millis());
    let load = Command::new(binary("symbolon"))
        .args(["--json", "--devnet"])
        .arg(net.folder())
        .args(["load", "--agencies", &net.file.agencies.len().to_string(), "--duration", &length])
        .args(["--rate", RATE, "--batch", BATCH])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let records = per_second(&record, CONNECTIONS, Ask::Get, StatusCode::OK, scale.phase);
    let shown = show(wallet, SERIES, scale.presentations);
    let bodies: Vec<Bytes> = shown.map(|text| body(&json!({ "presentation": text }))).collect();
    let verify = format!("{node}/v1/verify");
    let ask = Ask::Post(&bodies);
    let verdicts = per_second(&verify, CONNECTIONS, ask, StatusCode::OK, scale.phase);
    let output = load.wait_with_output().expect("the load ends");
    let said = json_of(&output);
    assert!(output.status.success(), "{said}");
    let allowed = limits.checks_of_all_cores() / SIGNATURES;
    Section {
        name: "reading while 2,000 licences a second are issued",
        how: format!(
            "{CONNECTIONS} connections of one client beside symbolon load --rate {RATE} --batch {BATCH}"
        ),
        figures: vec![
            Figure::new("GET /v1/licences/{cid} with its proof", records, "/s")
                .of("a constant answer of that size, nothing else running", constant)
                .with(Target::AtLeast(LEAST_OF_CONSTANT)),
            Figure::new("POST /v1/verify, a licence that was shown before", verdicts, "/s")
                .of("what its signature checks alone allow, all cores", allowed),
            Figure::new(
                "licences committed meanwhile",
                said["licences_per_second"].as_f64().unwrap_or(0.0),
                "/s",
            ),
        ],
    }
}
