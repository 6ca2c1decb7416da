//! OpenSSL's OCSP responder: "is this certificate revoked", answered with a signature of P-256 from
//! an index of 100,000 certificates.
//!
//! The responder listens on every address, so it and its client run in a network namespace of their
//! own, in which there is nothing but loopback: this program starts itself there ([`ROLE`]).

use std::{
    fs::{self, File},
    io::{BufWriter, Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{Process, is_root, program, repeated, said};
use crate::{bench::report::Measured, devnet::binary};

/// The first argument that makes the program load a responder, in the folder that is the second,
/// for as many milliseconds as the third says.
pub const ROLE: &str = "ocsp-peer";

/// Certificates of the index.
const CERTIFICATES: u32 = 100_000;
/// Clients.
const CLIENTS: usize = 4;
/// Where the responder listens, in a namespace of its own.
const PORT: u16 = 8_888;
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Answers a second.
pub(super) fn measure(runs: usize, span: Duration) -> Measured {
    let (unshare, ip) = (program("unshare")?, program("ip")?);
    let folder = TempDir::new().map_err(|e| e.to_string())?;
    prepare(folder.path())?;
    let inside = "\"$1\" link set lo up && shift && exec \"$@\"";
    repeated(runs, || {
        let mut command = Command::new(&unshare);
        // Whoever is not root becomes it inside.
        command.args(if is_root() { &["--net"][..] } else { &["--map-root-user", "--net"] });
        command.args(["sh", "-c", inside, "sh"]).arg(&ip);
        command.arg(binary("bench")).arg(ROLE).arg(folder.path());
        let rate = said(command.arg(span.as_millis().to_string()))?;
        rate.trim().parse().map_err(|_| format!("the client says {rate}"))
    })
}

/// Makes an authority, its index, and a request.
fn prepare(folder: &Path) -> Result<(), String> {
    let openssl = |arguments: &[&str]| {
        said(Command::new("openssl").current_dir(folder).args(arguments)).map(|_| ())
    };
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "30",
        "-subj",
        "/CN=peer",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
    ])?;
    let index = File::create(folder.join("index.txt")).map_err(|e| e.to_string())?;
    let mut index = BufWriter::new(index);
    for serial in 1..=CERTIFICATES {
        let line = writeln!(index, "V\t491231235959Z\t\t{serial:08X}\tunknown\t/CN={serial}");
        line.map_err(|e| e.to_string())?;
    }
    index.flush().map_err(|e| e.to_string())?;
    openssl(&["ocsp", "-issuer", "ca.pem", "-serial", "0x1234", "-no_nonce", "-reqout", "request"])
}

/// Loads a responder over the files of `folder`, in a namespace without any other network; answers a
/// second.
///
/// # Errors
///
/// When it does not start, or gives something else than an answer.
pub fn load(folder: &Path, span: Duration) -> Result<f64, String> {
    let port = PORT.to_string();
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(["ocsp", "-index", "index.txt", "-port", &port]);
    command.args(["-rsigner", "ca.pem", "-rkey", "ca.key", "-CA", "ca.pem"]);
    let mut responder = Process::start(&mut command, Signal::SIGTERM)?;
    let request = fs::read(folder.join("request")).map_err(|e| e.to_string())?;
    responder.await_ready(|| ask(&request).is_ok())?;
    let (begun, done) = (Instant::now(), AtomicU64::new(0));
    let client = || -> Result<(), String> {
        while begun.elapsed() < span {
            ask(&request)?;
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().try_for_each(|c| c.join().map_err(|_| "a client ended".to_owned())?)
    })?;
    Ok(done.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64())
}

/// Asks once, on a connection of its own: the responder keeps none open.
fn ask(request: &[u8]) -> Result<(), String> {
    let fault = |e: std::io::Error| e.to_string();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).map_err(fault)?;
    stream.set_read_timeout(Some(ANSWER)).map_err(fault)?;
    let head = format!(
        "POST / HTTP/1.0\r\nContent-Type: application/ocsp-request\r\nContent-Length: {}\r\n\r\n",
        request.len()
    );
    stream.write_all(&[head.as_bytes(), request].concat()).map_err(fault)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(fault)?;
    let is_good = answer.starts_with(b"HTTP/1.0 200") && answer.len() > 200;
    if is_good { Ok(()) } else { Err(String::from_utf8_lossy(&answer).into_owned()) }
}
