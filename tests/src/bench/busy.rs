//! What one node answers while the network issues.

use std::process::{Command, Stdio};

use crate::devnet::{Devnet, binary, json_of};

use super::{
    Scale, VERIFIER,
    client::{Ask, Expected, address, body_of, per_second},
    constant::Constant,
    limits::Limits,
    reading::{CONNECTIONS, SIGNATURES, WHILE_ISSUING, licences, of_one, verdicts},
    report::{Figure, Section, Target},
    wallet::Wallet,
};

/// Transactions a second, and licences of each.
const RATE: &str = "8";
const BATCH: &str = "250";
/// Licences a second that this comes to, and the least share of them that must be committed.
const ISSUED: f64 = 2_000.0;
const LEAST_ISSUED: f64 = 0.99;
/// Least share of a constant answer on the idle network that a record with its proof comes to.
const LEAST_OF_CONSTANT: f64 = 0.4;

/// The chapter.
///
/// # Panics
///
/// When the network refuses a licence, or the node what it must answer.
#[must_use]
pub fn section(net: &Devnet, wallet: &Wallet, scale: &Scale, limits: &Limits) -> Section {
    let records = licences(net, wallet);
    let constant = {
        let server = Constant::start(&binary("bench"), body_of(&records[0]).len());
        let answer = [address(server.url())];
        per_second(Ask::Get(&answer), CONNECTIONS, Expected::OK, scale.phase / 2)
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
    let records = per_second(Ask::Get(&records), CONNECTIONS, Expected::OK, scale.phase);
    let verify = address(&format!("{}/v1/verify", net.node(VERIFIER).http));
    let verdicts = verdicts(&verify, &of_one(wallet, WHILE_ISSUING, scale));
    let output = load.wait_with_output().expect("the load ends");
    let said = json_of(&output);
    assert!(output.status.success(), "{said}");
    let allowed = limits.checks_of_all_cores() / SIGNATURES;
    Section {
        name: "reading while 2,000 licences a second are issued",
        how: format!(
            "{CONNECTIONS} connections of one client, {} licences by turns, {:?} of records and {} \
             verdicts; beside symbolon load --agencies {} --rate {RATE} --batch {BATCH} --duration {length}",
            wallet.cids().count(),
            scale.phase,
            scale.presentations,
            net.file.agencies.len()
        ),
        figures: vec![
            Figure::new("GET /v1/licences/{cid} with its proof", records, "/s")
                .of("a constant answer of that size, nothing else running", constant)
                .with(Target::AtLeast(LEAST_OF_CONSTANT)),
            Figure::new("POST /v1/verify, licences judged before", verdicts, "/s")
                .of("what its signature checks alone allow, all cores", allowed),
            Figure::new(
                "licences committed meanwhile",
                said["licences_per_second"].as_f64().unwrap_or(0.0),
                "/s",
            )
            .of("asked for", ISSUED)
            .with(Target::AtLeast(LEAST_ISSUED)),
        ],
    }
}
