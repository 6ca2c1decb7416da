//! A whole node: its parts, started in the order in which they may rely on each other, and
//! stopped in the reverse one.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use libp2p::Multiaddr;
use symbolon_consensus::{Signed, Timing, timing::CLOCK_TOLERANCE_MS};
use symbolon_genesis::{Genesis, peer_id::PeerId};
use symbolon_ledger::{
    codes::ProvinceCode,
    hash::{BlockHash, Digest},
    keys::SecretKey,
    transaction::{MAX_TRANSACTION_BYTES, Verified},
};
use thiserror::Error;
use tokio::{
    runtime::Builder,
    sync::{mpsc, watch},
    task::JoinHandle,
};

use crate::{
    config::{Loaded, NodeConfig},
    engine::{self, Clock, EngineError, EngineHandle, EngineParts, Outside},
    execution,
    http::{
        HttpAddresses, HttpContext, HttpError, HttpLimits, HttpListeners, HttpThreads, TlsFiles,
    },
    join::{self, JoinParts, Joiner},
    keeper::Keeper,
    metrics::Metrics,
    network::{
        self, ChainReader, Network, NetworkConfig, NetworkCounters, NetworkError, NetworkHandle,
    },
    pool::{Pool, PoolOutlets},
    sign_state::{Marks, SignState, SignStateError},
    snapshot::{Shelf, own},
    status_signer::StatusSigner,
    storage::{StorageError, Store},
    verify_chain,
    wal::Wal,
};

/// Threads that serve the network. Heavy work and HTTP are done on other threads, and four nodes
/// share a small machine in the demonstration network.
const WORKER_THREADS: usize = 2;
/// Longest wait for what still reads the database when the node ends: a snapshot that is being made
/// of a large state takes longer, and is made anew.
const CLOSING: Duration = Duration::from_secs(5);
/// How often is looked whether the database is closed.
const CLOSED_LOOK: Duration = Duration::from_millis(1);
/// Transactions that wait to be gossiped.
const GOSSIP_QUEUE: usize = 4_096;
/// Most transactions of one gossiped message.
const GOSSIP_BATCH: usize = 64;
/// Most bytes of one gossiped message.
const GOSSIP_BYTES: usize = 2 * MAX_TRANSACTION_BYTES;

/// Why a node did not start, or stopped.
#[derive(Debug, Error)]
pub enum NodeError {
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The peer-to-peer network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The database failed while the node ran.
    #[error("{0}")]
    Fault(String),
    /// HTTP.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The system gives no threads.
    #[error("the threads that serve cannot be started: {0}")]
    Threads(std::io::Error),
    /// The consensus log.
    #[error("consensus log: {0}")]
    Wal(std::io::Error),
    /// What the validator's key has signed.
    #[error(transparent)]
    SignState(#[from] SignStateError),
    /// The folder of snapshots.
    #[error("the snapshots in data_dir: {0}; mend or remove that folder")]
    Snapshots(std::io::Error),
    /// An address in the configuration or in genesis.
    #[error("{key}: {address} is not a multiaddr such as /ip4/127.0.0.1/tcp/8301")]
    Address {
        /// Where it stands.
        key: &'static str,
        /// The address.
        address: String,
    },
    /// A peer's address without the peer.
    #[error(
        "network.peers: {0} does not say whose address it is; end it in /p2p/ and the peer id of that node, as in {0}/p2p/12D3KooW…"
    )]
    NoPeerId(String),
    /// The chain begins later than now.
    #[error(
        "genesis: the chain is founded at {founded}, and this machine's clock says {now}; start the node then, or set the clock"
    )]
    NotFounded {
        /// The founding time.
        founded: jiff::Timestamp,
        /// The machine's clock.
        now: jiff::Timestamp,
    },
    /// Only one of certificate and key is configured.
    #[error("http: tls_certificate and tls_key belong together; give both or none")]
    HalfTls,
    /// A peer id in the configuration.
    #[error("{key}: {id} is not a peer id such as 12D3KooW…")]
    PeerId {
        /// Where it stands.
        key: &'static str,
        /// What stands there.
        id: String,
    },
}

/// Why a node has stopped without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Told,
    /// It has joined by snapshot: it is to be started again, on the database that was made.
    Joined,
}

/// Runs a node until `told` resolves, or until it has joined by snapshot. When this returns, the
/// database is closed, unless a snapshot or a backup is just being made of it.
///
/// # Errors
///
/// [`NodeError`]: why it did not start, or why it stopped by itself.
pub fn run(
    loaded: Loaded,
    insecure_public: bool,
    told: impl Future<Output = ()> + Send + 'static,
) -> Result<Ended, NodeError> {
    check_founded(loaded.genesis.chain.genesis_time_ms, unix_ms())?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .build()
        .map_err(NodeError::Threads)?;
    // From here on, whoever stops the node is heard.
    let mut told = runtime.spawn(told);
    // First, so that a taken port or a faulty certificate stops the node before it takes part.
    let listeners = HttpListeners::bind(&http_addresses(&loaded.config, insecure_public)?)?;
    let store = open_store(&loaded)?;
    let database = store.commits();
    let outcome = runtime.block_on(serve(loaded, store, listeners, &mut told));
    // Of a node that is to start again: nobody would hear it after this.
    let is_told = told.is_finished();
    let deadline = Instant::now() + CLOSING;
    runtime.shutdown_timeout(CLOSING);
    await_closed(&database, deadline);
    match outcome {
        Ok(Ended::Joined) if is_told => Ok(Ended::Told),
        outcome => outcome,
    }
}

/// Waits for whoever still reads the database. A process that ends while another thread is just closing
/// it may abort in RocksDB's own exit.
fn await_closed(database: &watch::Receiver<u64>, deadline: Instant) {
    // The store drops its end of this when the database is closed.
    while database.has_changed().is_ok() {
        if Instant::now() > deadline {
            tracing::warn!("the database is still being read; the node ends all the same");
            return;
        }
        thread::sleep(CLOSED_LOOK);
    }
}

async fn serve(
    loaded: Loaded,
    store: Arc<Store>,
    listeners: HttpListeners,
    told: &mut JoinHandle<()>,
) -> Result<Ended, NodeError> {
    let threads = HttpThreads::start(loaded.config.http.workers)?;
    let wal = Wal::open(&loaded.config.data_dir).map_err(NodeError::Wal)?;
    let (signed, marks) = sign_state(&loaded)?;
    let metrics = Arc::new(Metrics::default());
    let (gossip, to_gossip) = mpsc::channel(GOSSIP_QUEUE);
    let (work, work_events) = mpsc::channel(1);
    let pool = Arc::new(Pool::new(store.clone(), PoolOutlets { gossip, work }));
    let counters = Arc::new(NetworkCounters::default());
    let network = network::prepare(network_config(&loaded)?, counters.clone())?;
    metrics.watch_network(counters);
    let mut helpers = Helpers::start(to_gossip, network.handle(), &pool, &store);
    let mut database = store.fault();
    let Past { shelf, keeper, joiner, mut joined } =
        past(&loaded, &store, &metrics, network.handle())?;
    let clock: Clock = Arc::new(unix_ms);
    let parts = EngineParts {
        store: store.clone(),
        pool: pool.clone(),
        wal: Box::new(wal),
        network: network.handle(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        identity: loaded.identity,
        next_key: loaded.next_validator_key,
        signed,
        marks,
        timing: Timing::default(),
        keeper: Some(Arc::new(keeper)),
        joiner,
    };
    let engine = start(parts, network, Reader(store.clone(), shelf), work_events).await?;
    announce(&loaded.config, &store);
    let signer = status_signer(loaded.status_key, loaded.province, &store)?;
    let context = HttpContext {
        store,
        pool,
        status: engine.status(),
        province: Some(loaded.province),
        role: loaded.config.role.name(),
        clock,
        metrics,
        status_signer: signer,
        limits: HttpLimits::default().remembering(loaded.config.http.showings),
        public_origin: loaded.public_origin,
    };
    let (stop_http, http_stopped) = watch::channel(false);
    let mut server = threads.serve(listeners, context, http_stopped);
    let (mut status, mut serving) = (engine.status(), true);
    let outcome = tokio::select! {
        result = &mut server => {
            serving = false;
            result.map(|()| Ended::Told).map_err(NodeError::from)
        }
        _ = told => Ok(Ended::Told),
        () = has_joined(&mut joined) => Ok(Ended::Joined),
        () = faulted(&mut status) => Ok(Ended::Told),
        fault = failed(&mut database) => Err(NodeError::Fault(fault)),
        gone = helpers.gone() => Err(gone.into()),
    };
    let _ = stop_http.send(true);
    if serving {
        // Open requests get their answers; those who wait or listen are let go.
        let _ = server.await;
    }
    stop_engine(engine).await?;
    outcome
}

/// Opens the database, and says what by its state keeps this node from voting.
fn open_store(loaded: &Loaded) -> Result<Arc<Store>, NodeError> {
    let folder = &loaded.config.data_dir;
    let store = Store::open(folder, &loaded.genesis)?;
    verify_chain::clear(folder)
        .map_err(|source| StorageError::Folder { path: folder.clone(), source })?;
    for doubt in loaded.doubts(&execution::validators(&store.view()?)?.set) {
        tracing::warn!("{doubt}");
    }
    Ok(Arc::new(store))
}

/// Refuses to run before the founding time: a chain that begins in the future would stamp every
/// block with it, and verdicts would be given for days that have not come.
pub(crate) fn check_founded(founded_ms: u64, now_ms: u64) -> Result<(), NodeError> {
    if founded_ms <= now_ms.saturating_add(CLOCK_TOLERANCE_MS) {
        return Ok(());
    }
    let instant = |ms: u64| {
        let ms = i64::try_from(ms).unwrap_or(i64::MAX);
        jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX)
    };
    Err(NodeError::NotFounded { founded: instant(founded_ms), now: instant(now_ms) })
}

/// Tasks that end with the node and not before.
struct Helpers {
    gossiping: JoinHandle<()>,
    revisiting: JoinHandle<()>,
}

impl Helpers {
    fn start(
        to_gossip: mpsc::Receiver<Arc<Verified>>,
        network: NetworkHandle,
        pool: &Arc<Pool>,
        store: &Arc<Store>,
    ) -> Self {
        Self {
            gossiping: tokio::spawn(gossip_transactions(to_gossip, network)),
            revisiting: tokio::spawn(revisit_pool(pool.clone(), store.clone())),
        }
    }

    /// Resolves when one has ended.
    async fn gone(&mut self) -> EngineError {
        tokio::select! {
            _ = &mut self.gossiping => EngineError::HelperGone("the gossip of transactions"),
            _ = &mut self.revisiting => EngineError::HelperGone("the pool's revision"),
        }
    }
}

/// Starts the engine, then the network: host contract 4, consensus is where it stopped before
/// anybody hears of this node again.
async fn start(
    parts: EngineParts,
    network: Network,
    reader: Reader,
    work: mpsc::Receiver<()>,
) -> Result<EngineHandle, NodeError> {
    let (engine, outside) = engine::start(parts)?;
    if let Err(error) = open(network, outside, reader, work) {
        stop_engine(engine).await?;
        return Err(error);
    }
    Ok(engine)
}

/// What signs the province's status lists, if this node has the key.
fn status_signer(
    key: Option<SecretKey>,
    province: ProvinceCode,
    store: &Store,
) -> Result<Option<Arc<StatusSigner>>, NodeError> {
    let signer = key.map(|key| Arc::new(StatusSigner::new(province, key)));
    signer.as_ref().map_or(Ok(()), |signer| signer.announce(store))?;
    Ok(signer)
}

/// What the validator's key has signed, and where it is kept.
fn sign_state(loaded: &Loaded) -> Result<(Signed, Option<Box<dyn Marks>>), NodeError> {
    let Some((path, owner)) = loaded.sign_state() else { return Ok((Signed::default(), None)) };
    let mut state = SignState::take(&path, owner)?.shared(loaded.config.two_sites);
    if let Some((path, owner)) = loaded.next_sign_state() {
        state = state.with_next(&path, owner)?;
    }
    let signed = state.signed(unix_ms());
    Ok((signed, Some(Box::new(state))))
}

/// The parts that deal with the past.
struct Past {
    shelf: Arc<Shelf>,
    keeper: Keeper,
    joiner: Option<Joiner>,
    joined: watch::Receiver<bool>,
}

/// An archive executes the chain from its founding, so only a node with a window joins by
/// snapshot.
fn past(
    loaded: &Loaded,
    store: &Arc<Store>,
    metrics: &Arc<Metrics>,
    network: NetworkHandle,
) -> Result<Past, NodeError> {
    let (data, config) = (&loaded.config.data_dir, loaded.config.history);
    let shelf = Arc::new(Shelf::open(data).map_err(NodeError::Snapshots)?);
    let keeper = Keeper::new(store.clone(), shelf.clone(), config, metrics.clone())?;
    if config.keep_blocks.is_none() {
        let (_, joined) = watch::channel(false);
        return Ok(Past { shelf, keeper, joiner: None, joined });
    }
    let parts = JoinParts {
        data: data.clone(),
        genesis: Arc::new(loaded.genesis.clone()),
        network,
        store: Arc::downgrade(store),
        commits: store.commits(),
        snapshot_every: config.snapshot_every,
    };
    let (joiner, joined) = join::start(parts).map_err(EngineError::Thread)?;
    Ok(Past { shelf, keeper, joiner: Some(joiner), joined })
}

/// Opens the network, and lets what it hears in.
fn open(
    network: Network,
    outside: Outside,
    reader: Reader,
    work: mpsc::Receiver<()>,
) -> Result<(), NodeError> {
    let events = network.open(Arc::new(reader))?;
    Ok(outside.listen(events, work).map_err(EngineError::Thread)?)
}

/// All that [`run`] would refuse of the addresses that are configured: half a TLS pair, a TLS file that
/// is not what it must be, plain HTTP for other machines, what is no multiaddr or peer id.
#[must_use]
pub fn check_addresses(
    config: &NodeConfig,
    genesis: Option<&Genesis>,
    insecure_public: bool,
) -> Vec<NodeError> {
    let http = http_addresses(config, insecure_public)
        .and_then(|addresses| Ok(addresses.check().map(|_| ())?));
    let network = &config.network;
    let listen = network.listen.iter().map(|a| multiaddr("network.listen", a).map(|_| ()));
    let observers = network.observers.iter().map(|id| observer(id).map(|_| ()));
    let peers = network.peers.iter().map(|address| extra_peer(address).map(|_| ()));
    let founded = genesis.map(|genesis| founded_peers(genesis).map(|_| ()));
    let all = std::iter::once(http).chain(listen).chain(observers).chain(peers).chain(founded);
    all.filter_map(Result::err).collect()
}

fn http_addresses(config: &NodeConfig, insecure_public: bool) -> Result<HttpAddresses, NodeError> {
    let http = &config.http;
    let tls = match (http.tls_certificate.clone(), http.tls_key.clone()) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
        (None, None) => None,
        _ => return Err(NodeError::HalfTls),
    };
    let (public, admin) = (http.listen, config.admin.listen);
    Ok(HttpAddresses { public, admin, tls, insecure_public })
}

/// Resolves when the node is to start again on the database that was made from a snapshot.
async fn has_joined(joined: &mut watch::Receiver<bool>) {
    if joined.wait_for(|joined| *joined).await.is_err() {
        // An archive, or one whose joining thread has ended with the engine.
        std::future::pending::<()>().await;
    }
}

/// Resolves when the engine has stopped by itself.
async fn faulted(status: &mut watch::Receiver<engine::EngineStatus>) {
    let _ = status.wait_for(|status| status.fault.is_some()).await;
}

/// Resolves when somebody found that the database cannot be trusted any more.
async fn failed(database: &mut watch::Receiver<Option<String>>) -> String {
    match database.wait_for(Option::is_some).await {
        Ok(fault) => fault.clone().unwrap_or_default(),
        // The store is gone, and with it the node.
        Err(_) => std::future::pending().await,
    }
}

/// After each block, tries again what waits, so that a transaction whose message was lost or that
/// came too early is not forgotten.
async fn revisit_pool(pool: Arc<Pool>, store: Arc<Store>) {
    let mut commits = store.commits();
    while commits.changed().await.is_ok() {
        let (pool, store) = (pool.clone(), store.clone());
        let work = move || pool.revisit().map_err(|error| store.note_fault(&error));
        if tokio::task::spawn_blocking(work).await.is_err() {
            return;
        }
    }
}

async fn stop_engine(engine: EngineHandle) -> Result<(), NodeError> {
    tokio::task::spawn_blocking(move || engine.stop())
        .await
        .unwrap_or(Ok(()))
        .map_err(NodeError::from)
}

fn announce(config: &NodeConfig, store: &Store) {
    let (role, http, admin) = (config.role.name(), config.http.listen, config.admin.listen);
    let chain = store.chain_id();
    let height = *store.commits().borrow();
    tracing::info!(role, %http, %admin, %chain, height, "the node is up");
}

/// This machine's clock, in milliseconds since 1970-01-01T00:00Z.
#[must_use]
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn network_config(loaded: &Loaded) -> Result<NetworkConfig, NodeError> {
    let config = &loaded.config.network;
    let listen =
        config.listen.iter().map(|a| multiaddr("network.listen", a)).collect::<Result<_, _>>()?;
    let mut peers = founded_peers(&loaded.genesis)?;
    let mut observers =
        config.observers.iter().map(|id| observer(id)).collect::<Result<Vec<_>, _>>()?;
    for address in &config.peers {
        let (peer_id, addresses) = extra_peer(address)?;
        // Whom the operator names stays admitted, also when it is not, or not yet, in the set.
        observers.push(peer_id.clone());
        peers.push((peer_id, addresses));
    }
    Ok(NetworkConfig {
        chain_id: loaded.genesis.chain_id(),
        keypair_seed: *loaded.network_key.to_seed(),
        listen,
        peers,
        observers,
    })
}

/// A peer id, and where it may be found.
type Peer = (Vec<u8>, Vec<Multiaddr>);

fn multiaddr(key: &'static str, address: &str) -> Result<Multiaddr, NodeError> {
    address.parse().map_err(|_| NodeError::Address { key, address: address.to_owned() })
}

/// The validators of the founding document.
fn founded_peers(genesis: &Genesis) -> Result<Vec<Peer>, NodeError> {
    let peer = |(peer_id, addresses): (Vec<u8>, Vec<String>)| {
        let addresses: Result<_, _> =
            addresses.iter().map(|a| multiaddr("genesis validators", a)).collect();
        Ok((peer_id, addresses?))
    };
    genesis.validator_addresses().into_iter().map(peer).collect()
}

fn observer(id: &str) -> Result<Vec<u8>, NodeError> {
    let bad = |_| NodeError::PeerId { key: "network.observers", id: id.to_owned() };
    Ok(id.parse::<PeerId>().map_err(bad)?.as_bytes().to_vec())
}

/// A configured address, which names its peer at the end.
fn extra_peer(address: &str) -> Result<Peer, NodeError> {
    let key = "network.peers";
    let Some((_, id)) = address.rsplit_once("/p2p/") else {
        multiaddr(key, address)?;
        return Err(NodeError::NoPeerId(address.to_owned()));
    };
    let peer: PeerId = id.parse().map_err(|_| NodeError::PeerId { key, id: id.to_owned() })?;
    Ok((peer.as_bytes().to_vec(), vec![multiaddr(key, address)?]))
}

/// Sends new transactions on, as many as are there in one message.
async fn gossip_transactions(mut queue: mpsc::Receiver<Arc<Verified>>, network: NetworkHandle) {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, GOSSIP_BATCH).await > 0 {
        let mut message = Vec::new();
        let mut bytes = 0;
        for transaction in batch.drain(..) {
            let next = transaction.transaction().as_bytes();
            if bytes + next.len() > GOSSIP_BYTES {
                network.publish_transactions(std::mem::take(&mut message));
                bytes = 0;
            }
            bytes += next.len();
            message.push(next.to_vec());
        }
        network.publish_transactions(message);
    }
}

/// What the network may read to answer its peers.
#[derive(Debug)]
struct Reader(Arc<Store>, Arc<Shelf>);

impl Reader {
    /// What was read; a fault stops the node, and the peer gets nothing.
    fn noting<T>(&self, read: Result<Option<T>, StorageError>) -> Option<T> {
        read.unwrap_or_else(|error| {
            self.0.note_fault(&error);
            None
        })
    }
}

impl ChainReader for Reader {
    fn tip(&self) -> (u64, BlockHash) {
        let tip = self.0.view().map(|view| Some((view.tip().height, view.tip().hash)));
        self.noting(tip).unwrap_or((0, BlockHash::ZERO))
    }

    fn block_with_certificate(&self, height: u64) -> Option<(Vec<u8>, Vec<u8>)> {
        self.noting(self.0.view().and_then(|view| {
            let block = view.block_bytes(height)?;
            Ok(block.zip(view.certificate_bytes(height)?))
        }))
    }

    fn body(&self, block: &BlockHash) -> Option<Vec<u8>> {
        self.noting(self.0.body(block))
    }

    fn snapshots(&self) -> Vec<(u64, Digest)> {
        self.1.offers()
    }

    fn snapshot_part(&self, height: u64, part: u64) -> Option<Vec<u8>> {
        own::part(&self.0, &self.1, height, part)
    }
}
