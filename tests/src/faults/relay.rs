//! A relay that is late: what it is given on one side leaves on the other after a while, in
//! order, and no faster than it is told.
//!
//! It stands in the hub, at an address for every node, and does in user space what a kernel
//! without packet delay cannot. Every connection through it is delayed in both directions. It is
//! there only while it is wanted: a way around every other fault, otherwise.

use std::{io, time::Duration};

use rand::RngExt as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::mpsc,
    time::Instant,
};

use super::{
    space::Space,
    wires::{PEER_PORT, address, relayed_address},
};

/// Bytes taken at once: what an Ethernet line carries in ten packets.
const CHUNK: usize = 15_000;
/// Chunks on their way in one direction of one connection; more wait at the sender.
const ON_THE_WAY: usize = 512;

/// How late the relay is: so much each way, and up to so much more.
#[derive(Debug, Clone, Copy)]
pub struct Lateness {
    /// At least.
    pub delay_ms: u64,
    /// At most so much more.
    pub jitter_ms: u64,
}

impl Lateness {
    fn draw(self) -> Duration {
        Duration::from_millis(self.delay_ms + rand::rng().random_range(0..=self.jitter_ms))
    }
}

/// The relay. When it is dropped, nobody listens at its addresses and its connections end.
#[derive(Debug)]
pub struct Relay {
    _runtime: Runtime,
}

impl Relay {
    /// Begins to lead to `nodes` nodes, each by its relayed address.
    ///
    /// # Errors
    ///
    /// When an address cannot be listened on.
    pub fn start(hub: &Space, nodes: usize, lateness: Lateness) -> io::Result<Self> {
        let inside = hub.clone();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .on_thread_start(move || inside.enter().expect("the hub can be entered"))
            .enable_all()
            .build()?;
        for n in 0..nodes {
            let address = (relayed_address(n), PEER_PORT);
            let listener = hub.within(|| std::net::TcpListener::bind(address))?;
            listener.set_nonblocking(true)?;
            runtime.spawn(async move {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                while let Ok((from, _)) = listener.accept().await {
                    tokio::spawn(lead(from, n, lateness));
                }
            });
        }
        Ok(Self { _runtime: runtime })
    }
}

async fn lead(from: TcpStream, n: usize, lateness: Lateness) {
    let Ok(to) = TcpStream::connect((address(n), PEER_PORT)).await else { return };
    let _ = (from.set_nodelay(true), to.set_nodelay(true));
    let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
    // When one direction ends, so does the other: both ends see a closed connection.
    tokio::select! {
        () = carry(from_read, to_write, lateness) => {}
        () = carry(to_read, from_write, lateness) => {}
    }
}

/// Carries bytes from one side to the other, each no sooner than its time.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    lateness: Lateness,
) {
    let (put, mut get) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let take = async move {
        let mut due = Instant::now();
        let mut chunk = vec![0; CHUNK];
        while let Ok(read @ 1..) = from.read(&mut chunk).await {
            // TCP keeps the order, so nothing overtakes what came before it.
            due = due.max(Instant::now() + lateness.draw());
            if put.send((due, chunk[..read].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let give = async move {
        while let Some((due, bytes)) = get.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    // What was taken is given before the line ends; a receiver that is gone ends it at once.
    tokio::select! {
        () = give => {}
        () = async { take.await; std::future::pending().await } => {}
    }
}
