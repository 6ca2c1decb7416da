//! An etcd of three members on loopback: Raft, each put on the disk of two members before it is
//! acknowledged, over its JSON gateway at one member. It survives crashes; it trusts its members.

use std::{process::Command, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::body::Bytes;
use nix::sys::signal::Signal;
use rand::RngExt as _;
use serde_json::json;
use tempfile::TempDir;

use super::{Process, free_ports, program, repeated};
use crate::{
    bench::{
        client::{Ask, Expected, address, per_second},
        report::Measured,
    },
    devnet::get,
};

const MEMBERS: usize = 3;
/// Connections of the client: with more, it was no faster.
const CONNECTIONS: usize = 256;
/// Bytes of a value: about a transaction with one licence.
const VALUE: usize = 300;
/// Puts a second that are prepared: more than two cores do.
const PREPARED: u64 = 10_000;

/// Puts a second.
pub(super) fn measure(runs: usize, span: Duration) -> Measured {
    let etcd = program("etcd").map_err(|why| format!("{why} (Debian: etcd-server)"))?;
    let folder = TempDir::new().map_err(|e| e.to_string())?;
    let ports = free_ports::<{ 2 * MEMBERS }>()?;
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let (peers, clients) = ports.split_at(MEMBERS);
    let name = |member: usize| format!("m{member}");
    let all: Vec<String> =
        peers.iter().enumerate().map(|(m, port)| format!("{}={}", name(m), url(*port))).collect();
    let mut members = Vec::new();
    for (member, (peer, client)) in peers.iter().zip(clients).enumerate() {
        let (peer, client) = (url(*peer), url(*client));
        let mut command = Command::new(&etcd);
        command.args(["--name", &name(member), "--data-dir"]).arg(folder.path().join(name(member)));
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--initial-cluster", &all.join(","), "--initial-cluster-state", "new"]);
        command.env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH);
        members.push(Process::start(&mut command, Signal::SIGTERM)?);
    }
    for (member, client) in members.iter_mut().zip(clients) {
        let health = format!("{}/health", url(*client));
        member.await_ready(|| get(&health).is_ok_and(|(_, said)| said["health"] == "true"))?;
    }
    let put = address(&format!("{}/v3/kv/put", url(clients[0])));
    repeated(runs, || {
        let bodies = bodies(span);
        let put_each_once = Ask::Post(&put, &bodies);
        Ok(per_second(put_each_once, CONNECTIONS, Expected::OK, span))
    })
}

/// More puts, each of a key of its own, than can be done in the time.
fn bodies(span: Duration) -> Vec<Bytes> {
    let mut random = rand::rng();
    let count = PREPARED.saturating_mul(span.as_secs().max(1));
    let mut body = |_| {
        let (key, value): ([u8; 32], [u8; 32]) = (random.random(), random.random());
        let value: Vec<u8> = value.iter().copied().cycle().take(VALUE).collect();
        let body = json!({ "key": STANDARD.encode(key), "value": STANDARD.encode(value) });
        Bytes::from(body.to_string())
    };
    (0..count).map(&mut body).collect()
}
