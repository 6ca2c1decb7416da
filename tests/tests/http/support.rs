//! One node's HTTP over real sockets, and a chain that grows when the test says so: blocks are
//! built, executed and certified by all four provinces as the engine would, without a network.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use symbolon_credential::{claims, sd_jwt};
use symbolon_genesis::{Genesis, presets};
use symbolon_ledger::{
    block::{Block, HEADER_VERSION, Header, MAX_BLOCK_BYTES, transactions_root},
    certificate::{CERTIFICATE_VERSION, Certificate, CommitSignature},
    codes::{ProvinceCode, Uscc},
    hash::{Cid, Digest, TransactionId, sha256},
    keys::SecretKey,
    operation::{Actor, NewLicence, Operation},
    transaction::{PAYLOAD_VERSION, Payload, SignedTransaction, Verified},
    vote::{VoteKind, vote_bytes},
};
use symbolon_node::{
    engine::EngineStatus,
    execution,
    http::{HttpAddresses, HttpContext, HttpLimits, HttpListeners, PublicOrigin, TlsFiles},
    metrics::Metrics,
    pool::{Pool, PoolOutlets},
    status_signer::StatusSigner,
    storage::{Commit, Store},
};
use symbolon_tests::personal::Secrets;
use symbolon_verify::trust::Trust;
use tokio::sync::{mpsc, watch};

pub(crate) const TYPE: &str = "local:driving-licence";
/// 2026-11-23T00:00:00Z.
pub(crate) const START_MS: u64 = 1_795_392_000_000;
const SEED: [u8; 32] = [7; 32];

/// A node that serves HTTP.
pub(crate) struct Node {
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) genesis: Genesis,
    pub(crate) keys: Vec<presets::DevnetKeys>,
    pub(crate) store: Arc<Store>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) status: watch::Sender<EngineStatus>,
    pub(crate) now_ms: Arc<AtomicU64>,
    nonce: AtomicU64,
    committing: Mutex<()>,
    stop: watch::Sender<bool>,
    runtime: Option<tokio::runtime::Runtime>,
    gossiped: Mutex<mpsc::Receiver<Arc<Verified>>>,
    _worked: mpsc::Receiver<()>,
    folder: tempfile::TempDir,
}

/// A licence issued by a test.
pub(crate) struct Licence {
    pub(crate) cid: Cid,
    pub(crate) text: String,
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The code of a problem document, whose form is checked.
    pub(crate) fn problem(&self) -> String {
        let json = self.json();
        assert_eq!(self.headers["content-type"], "application/problem+json", "{json}");
        assert_eq!(json["status"], self.status, "{json}");
        let code = json["code"].as_str().unwrap().to_owned();
        assert_eq!(json["type"], format!("urn:symbolon:problem:{code}"));
        for member in ["title", "detail", "hint"] {
            assert!(!json[member].as_str().unwrap().is_empty(), "{member} of {json}");
        }
        code
    }
}

impl Node {
    pub(crate) fn start() -> Self {
        Self::start_with(HttpLimits::default())
    }

    pub(crate) fn start_with(limits: HttpLimits) -> Self {
        Self::start_as(limits, None, None)
    }

    pub(crate) fn start_encrypted(tls: TlsFiles) -> Self {
        Self::start_as(HttpLimits::default(), Some(tls), None)
    }

    /// A node that was told under which origin outsiders reach it.
    pub(crate) fn start_at(origin: &str) -> Self {
        Self::start_as(HttpLimits::default(), None, Some(origin.parse().unwrap()))
    }

    /// A node of a network that was founded with other keys than those that [`Node::keys_of`] has.
    pub(crate) fn start_of(genesis: Genesis) -> Self {
        Self::start_whole(genesis, HttpLimits::default(), None, None)
    }

    fn start_as(
        limits: HttpLimits,
        tls: Option<TlsFiles>,
        public_origin: Option<PublicOrigin>,
    ) -> Self {
        let (genesis, _) = presets::devnet_from_seed(4, &SEED, START_MS, 20_000);
        Self::start_whole(genesis, limits, tls, public_origin)
    }

    fn start_whole(
        genesis: Genesis,
        limits: HttpLimits,
        tls: Option<TlsFiles>,
        public_origin: Option<PublicOrigin>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (_, keys) = presets::devnet_from_seed(4, &SEED, START_MS, 20_000);
        let store = Arc::new(Store::open(folder.path(), &genesis).unwrap());
        let (gossip, gossiped) = mpsc::channel(64);
        let (work, worked) = mpsc::channel(1);
        let pool = Arc::new(Pool::new(store.clone(), PoolOutlets { gossip, work }));
        let (status, status_receiver) = watch::channel(EngineStatus::default());
        let now_ms = Arc::new(AtomicU64::new(START_MS));
        let clock = now_ms.clone();
        let own = keys.iter().find(|k| k.province.as_str() == "44").unwrap();
        let status_key = SecretKey::from_seed(&own.status.to_seed());
        let context = HttpContext {
            store: store.clone(),
            pool: pool.clone(),
            status: status_receiver,
            province: Some("44".parse().unwrap()),
            role: "validator",
            clock: Arc::new(move || clock.load(Ordering::SeqCst)),
            metrics: Arc::new(Metrics::new()),
            status_signer: Some(Arc::new(StatusSigner::new(own.province, status_key))),
            limits,
            public_origin,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let addresses = HttpAddresses { public: any, admin: any, tls, insecure_public: false };
        let listeners = HttpListeners::bind(&addresses).unwrap();
        let (public, admin) =
            (listeners.public_address().unwrap(), listeners.admin_address().unwrap());
        let (stop, stopped) = watch::channel(false);
        runtime.spawn(listeners.serve(context, stopped));
        Self {
            public,
            admin,
            genesis,
            keys,
            store,
            pool,
            status,
            now_ms,
            nonce: AtomicU64::new(0),
            committing: Mutex::new(()),
            stop,
            runtime: Some(runtime),
            gossiped: Mutex::new(gossiped),
            _worked: worked,
            folder,
        }
    }

    pub(crate) fn trust(&self) -> Trust {
        let view = self.store.view().unwrap();
        let header = Header::decode(&view.header_bytes(0).unwrap().unwrap()).unwrap();
        Trust::founded(&header, self.genesis.validator_set()).unwrap()
    }

    pub(crate) fn keys_of(&self, province: &str) -> &presets::DevnetKeys {
        self.keys.iter().find(|k| k.province.as_str() == province).unwrap()
    }

    pub(crate) fn agency(&self, province: &str) -> Uscc {
        presets::devnet_uscc(province.parse().unwrap())
    }

    /// Builds, executes, certifies and commits one block of what waits; its height.
    pub(crate) fn commit(&self) -> u64 {
        self.commit_of(self.pool.candidates(1_000))
    }

    /// A block of a proposer whose pool is empty.
    pub(crate) fn commit_nothing(&self) -> u64 {
        self.commit_of(Vec::new())
    }

    /// A block of a proposer that knows only `transaction`.
    pub(crate) fn commit_only(&self, transaction: &SignedTransaction) -> u64 {
        let actor = transaction.payload().actor;
        let view = self.store.view().unwrap();
        let key = symbolon_contracts::signer_key(&view, actor, transaction.payload().key_id);
        let verified = transaction.clone().verify(&key.unwrap().unwrap()).unwrap();
        drop(view);
        self.commit_of(vec![Arc::new(verified)])
    }

    fn commit_of(&self, candidates: Vec<Arc<Verified>>) -> u64 {
        let _one_at_a_time = self.committing.lock().unwrap();
        let view = self.store.view().unwrap();
        let tip = view.tip();
        let (transactions, executed, refused) =
            execution::select(&view, candidates, MAX_BLOCK_BYTES).unwrap();
        let now = self.now_ms.load(Ordering::SeqCst);
        let header = Header {
            version: HEADER_VERSION,
            chain_id: view.chain_id(),
            height: tip.height + 1,
            time_ms: now.max(tip.header.time_ms + 1),
            parent: tip.hash,
            history_root: view.frontier().unwrap().root(),
            transactions_root: transactions_root(&transactions),
            state_root: executed.state_root(),
            validators_hash: tip.header.next_validators_hash,
            next_validators_hash: executed.next_validators.hash(),
            proposer: Some("11".parse().unwrap()),
        };
        let block = Block { header, transactions };
        let certificate = self.certify(&block);
        drop(view);
        let commit = Commit { block: &block, certificate: &certificate, executed: &executed };
        self.pool.refused(block.header.height, refused);
        self.store.commit(&commit).unwrap();
        let height = block.header.height;
        self.pool.committed(height, block.transactions.iter().map(SignedTransaction::id));
        height
    }

    fn certify(&self, block: &Block) -> Certificate {
        let (height, hash) = (block.header.height, block.hash());
        let message =
            vote_bytes(VoteKind::Precommit, &block.header.chain_id, height, 0, Some(&hash));
        let sign = |keys: &presets::DevnetKeys| CommitSignature {
            province: keys.province,
            signature: keys.validator.sign(&message),
        };
        let mut signatures: Vec<_> = self.keys.iter().map(sign).collect();
        signatures.sort_by_key(|s| s.province);
        Certificate { version: CERTIFICATE_VERSION, height, round: 0, block: hash, signatures }
    }

    /// The transactions that were offered to the other nodes since the last call.
    pub(crate) fn offered(&self) -> Vec<TransactionId> {
        let mut gossiped = self.gossiped.lock().unwrap();
        std::iter::from_fn(|| gossiped.try_recv().ok()).map(|t| t.transaction().id()).collect()
    }

    /// A signed transaction.
    pub(crate) fn sign(
        &self,
        actor: Actor,
        key: &SecretKey,
        operations: Vec<Operation>,
    ) -> SignedTransaction {
        SignedTransaction::sign(&self.payload(actor, operations), key).unwrap()
    }

    pub(crate) fn payload(&self, actor: Actor, operations: Vec<Operation>) -> Payload {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.nonce.fetch_add(1, Ordering::SeqCst).to_be_bytes());
        Payload {
            version: PAYLOAD_VERSION,
            chain_id: self.store.chain_id(),
            actor,
            key_id: 0,
            nonce,
            valid_until_height: *self.store.commits().borrow() + 100,
            operations,
        }
    }

    /// A transaction of the agency of `province`.
    pub(crate) fn by_agency(
        &self,
        province: &str,
        operations: Vec<Operation>,
    ) -> SignedTransaction {
        let actor = Actor::Agency(self.agency(province));
        self.sign(actor, &self.keys_of(province).transaction, operations)
    }

    /// A transaction of the authority of `province`.
    pub(crate) fn by_province(
        &self,
        province: &str,
        operations: Vec<Operation>,
    ) -> SignedTransaction {
        let actor = Actor::Province(province.parse().unwrap());
        self.sign(actor, &self.keys_of(province).authority, operations)
    }

    /// Commits `transaction` in a block of its own.
    pub(crate) fn apply(&self, transaction: &SignedTransaction) -> u64 {
        self.pool.submit(transaction.as_bytes()).unwrap();
        let height = self.commit();
        let at = self.store.view().unwrap().transaction(&transaction.id()).unwrap();
        let why = self.pool.status(&transaction.id());
        assert_eq!(at.map(|at| at.height), Some(height), "not committed: {why:?}");
        height
    }

    /// Reserves the first slot block of the agency of `province`.
    pub(crate) fn reserve_slots(&self, province: &str) {
        let agency = self.agency(province);
        self.apply(&self.by_agency(province, vec![Operation::ReserveSlots { agency, blocks: 1 }]));
    }

    /// A driving licence of the agency of `province` in `slot`, and the operation that registers
    /// it.
    pub(crate) fn prepare_licence(&self, province: &str, slot: u32) -> (Licence, Operation) {
        self.prepare_for(province, slot, None)
    }

    /// The same with a holder's key in it.
    fn prepare_for(
        &self,
        province: &str,
        slot: u32,
        holder: Option<&SecretKey>,
    ) -> (Licence, Operation) {
        let code: ProvinceCode = province.parse().unwrap();
        let entry = self.genesis.licence_types.iter().find(|t| t.code.as_str() == TYPE).unwrap();
        let claims = claims::validate(entry, &sample_row(slot)).unwrap();
        let origin = &self.genesis.provinces.iter().find(|p| p.code == code).unwrap().issuer_origin;
        let agency = self.agency(province);
        let count = sd_jwt::disclosure_count(entry, &claims, false);
        let salts: Vec<[u8; 16]> = (0..count)
            .map(|i| {
                let salt = sha256(format!("salt {province} {slot} {i}").as_bytes());
                salt.0[..16].try_into().unwrap()
            })
            .collect();
        let key_id = 1;
        let issued = sd_jwt::issue(
            &sd_jwt::Issue {
                origin,
                agency: &agency,
                key_id,
                licence_type: entry,
                claims: &claims,
                identifier: None,
                status_province: &code,
                status_slot: slot,
                holder_key: holder.map(SecretKey::public_key).as_ref(),
                issued_on: symbolon_credential::date::parse("2026-11-01").unwrap(),
            },
            &salts,
            &self.keys_of(province).credential,
        )
        .unwrap();
        let licence = NewLicence {
            inner: issued.inner,
            licence_type: TYPE.parse().unwrap(),
            credential_key: key_id,
            slot,
            expiry: claims.expiry_month(),
            lineage: sha256(format!("lineage {province} {slot}").as_bytes()),
        };
        (Licence { cid: issued.cid, text: issued.text }, Operation::Issue { licence })
    }

    /// Issues a driving licence in `slot`, committed.
    pub(crate) fn issue(&self, province: &str, slot: u32) -> Licence {
        let (licence, operation) = self.prepare_licence(province, slot);
        self.apply(&self.by_agency(province, vec![operation]));
        licence
    }

    /// Issues one to `holder`, committed.
    pub(crate) fn issue_to(&self, province: &str, slot: u32, holder: &SecretKey) -> Licence {
        let (licence, operation) = self.prepare_for(province, slot, Some(holder));
        self.apply(&self.by_agency(province, vec![operation]));
        licence
    }

    /// Lets `seconds` pass on this node's clock.
    pub(crate) fn wait(&self, seconds: u64) {
        self.now_ms.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }

    /// The same, and a block in the end, so that what the ledger says is fresh.
    pub(crate) fn wait_and_commit(&self, seconds: u64) {
        self.wait(seconds);
        self.commit();
    }

    /// The claims `shown` of a licence, signed by `holder` now for `audience` and `nonce`.
    pub(crate) fn present(
        &self,
        licence: &Licence,
        (shown, holder): (&[&str], &SecretKey),
        (audience, nonce): (&str, &str),
    ) -> String {
        let shown = sd_jwt::Parsed::parse(&licence.text).unwrap().present(shown).unwrap();
        let binding = sd_jwt::KeyBinding {
            audience: audience.to_owned(),
            nonce: nonce.to_owned(),
            issued_at: self.now_ms.load(Ordering::SeqCst) / 1_000,
        };
        sd_jwt::bind(&shown, &binding, holder)
    }

    /// Tells it to go down.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        request(self.public, "GET", path, &[], b"")
    }

    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        request(self.public, "GET", path, headers, b"")
    }

    pub(crate) fn post_json(&self, path: &str, body: &Value) -> Answer {
        let body = serde_json::to_vec(body).unwrap();
        request(self.public, "POST", path, &[("content-type", "application/json")], &body)
    }

    pub(crate) fn post_cose(&self, path: &str, body: &[u8]) -> Answer {
        request(self.public, "POST", path, &[("content-type", "application/cose")], body)
    }

    pub(crate) fn verify(&self, body: &Value) -> Answer {
        self.post_json("/v1/verify", body)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
        // A test that failed already says why.
        if !std::thread::panicking() {
            Secrets::of_fixtures().check_files(self.folder.path());
            Secrets::of_fixtures().check_store(&self.store);
        }
    }
}

/// A row of a driving licence without an end date; `n` tells rows apart.
fn sample_row(n: u32) -> BTreeMap<String, String> {
    let file = include_str!("../../../data/driving-licences.csv").trim_start_matches('\u{feff}');
    let mut reader = csv::Reader::from_reader(file.as_bytes());
    let header = reader.headers().unwrap().clone();
    let long_term = |record: &csv::StringRecord| record.iter().any(|value| value == "长期");
    let rows = reader.records().map(Result::unwrap).filter(long_term);
    let rows: Vec<_> = rows.collect();
    let row = &rows[n as usize % rows.len()];
    header.iter().zip(row).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// One request on a connection of its own, byte for byte as given.
pub(crate) fn request(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || method == "POST" {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    // A server that has seen enough may answer and close before it has read everything.
    let _ = stream.write_all(body);
    read_answer(&mut stream)
}

/// Sends these bytes on a connection of their own.
pub(crate) fn exchange(to: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let _ = stream.write_all(bytes);
    read_answer(&mut stream)
}

/// Reads an answer up to the end of the connection.
pub(crate) fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a whole head");
    let head = std::str::from_utf8(&bytes[..end]).unwrap().to_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in lines.map(|line| line.split_once(": ").unwrap()) {
        // What stands in several lines is one list.
        let list = headers.entry(name.to_ascii_lowercase()).or_default();
        list.push_str(if list.is_empty() { "" } else { ", " });
        list.push_str(value);
    }
    let body = bytes[end + 4..].to_vec();
    let chunked = headers.get("transfer-encoding").is_some_and(|v| v == "chunked");
    Answer { status, headers, body: if chunked { unchunk(&body) } else { body } }
}

fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|w| w == b"\r\n") {
        let size = std::str::from_utf8(&body[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 2 + size + 2..];
    }
    whole
}

/// Bytes written as base64url in JSON.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    BASE64_URL_SAFE_NO_PAD.decode(value.as_str().unwrap()).unwrap()
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn digest(value: &Value) -> Digest {
    value.as_str().unwrap().parse().unwrap()
}
