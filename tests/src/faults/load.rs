//! A steady load: clients that issue licences and revoke some of them, each waiting for its
//! receipt before it goes on, and going to the next node when one does not answer.
//!
//! A transaction is sent again, byte for byte, until it is committed or refused. What was
//! acknowledged is written down: none of it may ever be lost (checked in [`super::checks`]).

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rand::RngExt as _;
use serde_json::Value;
use symbolon_genesis::presets::{DevnetKeys, devnet_uscc};
use symbolon_ledger::{
    codes::{TypeCode, Uscc, cid},
    hash::{ChainId, Cid, Digest, TransactionId},
    operation::{Actor, NewLicence, Operation, RevocationClass},
    transaction::{MAX_OPERATIONS, PAYLOAD_VERSION, Payload, SignedTransaction},
};

use super::{machine::HTTP, space::Space};

/// Clients.
pub const CLIENTS: usize = 6;
/// Every so many licences, a client revokes one that it issued before.
const REVOKE_EVERY: u64 = 4;
/// Blocks of 4,096 slots that are reserved before the load begins.
const SLOT_BLOCKS: u16 = 16;
/// How long a client lets a node wait for the commit.
const COMMIT_WAIT_MS: u64 = 4_000;
/// How long a client waits for a node's answer.
const PATIENCE: Duration = Duration::from_secs(6);
/// A client asks the next node after so long, if the load does not end before: a network that is
/// away is not asked as fast as a processor can.
const PAUSE: Duration = Duration::from_millis(50);
/// Credential key of a devnet's agency.
const CREDENTIAL_KEY: u32 = 1;

/// A committed transaction, as its submitter was told.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// The transaction.
    pub id: TransactionId,
    /// The height of its block.
    pub height: u64,
    /// The licence that it issued or revoked; none for slots.
    pub licence: Option<Cid>,
    /// Whether it revoked it.
    pub revoked: bool,
}

/// What the clients are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Go on.
    Work,
    /// Begin nothing new.
    Rest,
    /// End.
    Stop,
}

#[derive(Debug)]
struct Shared {
    spaces: Vec<Space>,
    chain: ChainId,
    agency: Uscc,
    seed: [u8; 32],
    licence_type: TypeCode,
    slots: AtomicU32,
    order: Mutex<Order>,
    /// The order has changed.
    changed: Condvar,
    done: AtomicU64,
    acknowledged: Mutex<Vec<Acknowledged>>,
    /// What must not have happened: refusals, and revoked licences that were shown as valid.
    wrongs: Mutex<Vec<String>>,
}

/// The load; ends when it is dropped.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins to load nodes in these namespaces, as the agency of the province of `keys`.
    #[must_use]
    pub fn start(spaces: Vec<Space>, chain: ChainId, keys: &DevnetKeys) -> Self {
        let shared = Arc::new(Shared::new(spaces, chain, keys));
        Client::new(shared.clone(), 0).reserve();
        let client = |n| {
            let shared = shared.clone();
            std::thread::spawn(move || Client::new(shared, n).run())
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { shared, clients }
    }

    /// How many transactions were acknowledged so far.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.shared.done.load(SeqCst)
    }

    /// Transactions a second while `window` passes. It is a span and no wait: what is measured is
    /// how much happens in it, which is nothing under some faults.
    #[must_use]
    pub fn rate(&self, window: Duration) -> f64 {
        let (begun, before) = (Instant::now(), self.done());
        self.shared.stopped_within(window);
        (self.done() - before) as f64 / begun.elapsed().as_secs_f64()
    }

    /// Has the clients begin nothing new until they are let go again.
    pub fn hold(&self, held: bool) {
        self.shared.say(if held { Order::Rest } else { Order::Work });
    }

    /// What was acknowledged since it was last asked for.
    #[must_use]
    pub fn acknowledged(&self) -> Vec<Acknowledged> {
        std::mem::take(&mut *self.shared.acknowledged.lock().expect("no panic while it is held"))
    }

    /// What must not have happened and did.
    #[must_use]
    pub fn wrongs(&self) -> Vec<String> {
        self.shared.wrongs.lock().expect("no panic while it is held").clone()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.say(Order::Stop);
        for client in self.clients.drain(..) {
            let _ = client.join();
        }
    }
}

impl Shared {
    fn new(spaces: Vec<Space>, chain: ChainId, keys: &DevnetKeys) -> Self {
        Self {
            spaces,
            chain,
            agency: devnet_uscc(keys.province),
            seed: *keys.transaction.to_seed(),
            licence_type: "local:driving-licence".parse().expect("a type of the devnet"),
            slots: AtomicU32::new(0),
            order: Mutex::new(Order::Work),
            changed: Condvar::new(),
            done: AtomicU64::new(0),
            acknowledged: Mutex::default(),
            wrongs: Mutex::default(),
        }
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, order: Order) {
        *self.order() = order;
        self.changed.notify_all();
    }

    /// Waits while the clients are to rest; false when they are to end.
    fn may_begin(&self) -> bool {
        let order = self.changed.wait_while(self.order(), |order| *order == Order::Rest);
        *order.unwrap_or_else(PoisonError::into_inner) != Order::Stop
    }

    /// Waits until the load ends, and no longer than this; whether it has ended.
    fn stopped_within(&self, longest: Duration) -> bool {
        let going = |order: &mut Order| *order != Order::Stop;
        let waited = self.changed.wait_timeout_while(self.order(), longest, going);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == Order::Stop
    }
}

/// A transaction with as many licences as one may hold, of the agency of the province of `keys`: no
/// node has it yet. Slots for them are reserved, so nobody else may sign for this agency.
pub(super) fn large(spaces: Vec<Space>, chain: ChainId, keys: &DevnetKeys) -> SignedTransaction {
    let mut client = Client::new(Arc::new(Shared::new(spaces, chain, keys)), 0);
    client.reserve();
    let issues = (0..MAX_OPERATIONS).map(|_| Operation::Issue { licence: client.licence() });
    client.sign(issues.collect())
}

struct Client {
    shared: Arc<Shared>,
    /// The node that it asks first.
    at: usize,
    /// Connections stay in the namespace where they were made.
    agents: BTreeMap<usize, ureq::Agent>,
    height: u64,
    valid: Vec<Cid>,
}

impl Client {
    fn new(shared: Arc<Shared>, n: usize) -> Self {
        let at = n % shared.spaces.len();
        Self { shared, at, agents: BTreeMap::new(), height: 0, valid: Vec::new() }
    }

    /// The load has slots of its own from the start of the agency's lists.
    fn reserve(&mut self) {
        std::thread::scope(|scope| {
            let agency = self.shared.agency;
            let operation = Operation::ReserveSlots { agency, blocks: SLOT_BLOCKS };
            scope.spawn(|| self.commit(operation, None, false));
        });
    }

    fn run(mut self) {
        let mut made = 0u64;
        while self.shared.may_begin() {
            made += 1;
            if made.is_multiple_of(REVOKE_EVERY)
                && let Some(licence) = self.valid.pop()
            {
                let class = RevocationClass::Unspecified;
                let revoke = Operation::Revoke { cid: licence, class };
                if self.commit(revoke, Some(licence), true) {
                    self.is_shown_as_revoked(licence);
                }
                continue;
            }
            let licence = self.licence();
            let cid = cid(&self.shared.agency, &licence.inner);
            if self.commit(Operation::Issue { licence }, Some(cid), false) {
                self.valid.push(cid);
            }
        }
    }

    fn licence(&self) -> NewLicence {
        let mut random = rand::rng();
        NewLicence {
            inner: Digest(random.random()),
            licence_type: self.shared.licence_type.clone(),
            credential_key: CREDENTIAL_KEY,
            slot: self.shared.slots.fetch_add(1, SeqCst),
            expiry: None,
            lineage: Digest(random.random()),
        }
    }

    fn sign(&self, operations: Vec<Operation>) -> SignedTransaction {
        let payload = Payload {
            version: PAYLOAD_VERSION,
            chain_id: self.shared.chain,
            actor: Actor::Agency(self.shared.agency),
            key_id: 0,
            nonce: rand::rng().random(),
            valid_until_height: self.height + 5_000,
            operations,
        };
        let key = symbolon_ledger::keys::SecretKey::from_seed(&self.shared.seed);
        SignedTransaction::sign(&payload, &key).expect("it fits")
    }

    /// Has an operation committed; false when the load was stopped first, or it was refused.
    fn commit(&mut self, operation: Operation, licence: Option<Cid>, revoked: bool) -> bool {
        let transaction = self.sign(vec![operation]);
        let id = transaction.id();
        while !self.shared.stopped_within(Duration::ZERO) {
            match self.submit(transaction.as_bytes()) {
                Ok((200, answer)) => {
                    self.height = answer["height"].as_u64().unwrap_or(self.height);
                    let told = Acknowledged { id, height: self.height, licence, revoked };
                    self.shared.acknowledged.lock().expect("no panic while it is held").push(told);
                    self.shared.done.fetch_add(1, SeqCst);
                    return true;
                }
                // A revocation may come to a node that has not seen the licence yet.
                Ok((422, answer)) if !revoked => {
                    self.wrong(format!("{id} was refused: {answer}"));
                    return false;
                }
                _ => {
                    self.at = (self.at + 1) % self.shared.spaces.len();
                    self.shared.stopped_within(PAUSE);
                }
            }
        }
        false
    }

    fn submit(&mut self, bytes: &[u8]) -> Result<(u16, Value), ureq::Error> {
        let url = format!("{HTTP}/v1/transactions?wait=commit&timeout_ms={COMMIT_WAIT_MS}");
        let post = self.agent().post(url).header("content-type", "application/cose");
        let mut answer = post.send(bytes)?;
        Ok((answer.status().as_u16(), answer.body_mut().read_json().unwrap_or(Value::Null)))
    }

    /// The node that acknowledged a revocation says so at once.
    fn is_shown_as_revoked(&mut self, licence: Cid) {
        let url = format!("{HTTP}/v1/licences/{licence}");
        let Ok(mut answer) = self.agent().get(url).call() else { return };
        let read = answer.body_mut().read_json::<Value>().unwrap_or(Value::Null);
        if answer.status() == 200 && read["status"] != "revoked" {
            self.wrong(format!("{licence} is revoked and shown as {}", read["status"]));
        }
    }

    fn wrong(&self, what: String) {
        self.shared.wrongs.lock().expect("no panic while it is held").push(what);
    }

    /// The agent for the node that is asked, with the calling thread in its namespace.
    fn agent(&mut self) -> ureq::Agent {
        self.shared.spaces[self.at].enter().expect("a namespace that is open can be entered");
        self.agents.entry(self.at).or_insert_with(|| super::agent_of(PATIENCE)).clone()
    }
}
