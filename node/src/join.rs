//! Joining by snapshot: a node that is far behind copies the state of a recent height from its
//! peers, instead of executing everything since the founding.
//!
//! On a thread of its own. It asks who has what, takes the bundle and the manifest of the newest
//! height from whoever has it, and then the chunks, many at a time, from all that have them. Each
//! part is checked when it comes; a bad one costs its sender a blame, and nothing comes from that
//! peer again. Good ones lie on the disk in their order, so that a start after a crash goes on
//! behind the last. When all are there a database is made of them beside the running one, and the
//! node starts again on it. Until then it goes on with what it has. Block sync gives it a head start and
//! then goes on as well: so peers that give parts slowly, or that name what nobody can give, cost the
//! node no more than that.
//!
//! The trust anchor is the founding document; `docs/spec/snapshot.md` says what follows from it. A
//! snapshot in whose chain this node's own blocks are not is refused ([`crate::snapshot::own`]).

mod error;
mod here;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::OpenOptions,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::{Duration, Instant},
};

use symbolon_genesis::Genesis;
use symbolon_ledger::hash::{Digest, sha256};
use tokio::sync::watch;

use crate::{
    network::{NetworkHandle, PeerIndex},
    snapshot::{
        BUNDLE, Checked, FIRST_CHUNK, Flaw, MANIFEST, Snapshot,
        folder::{BUNDLE_FILE, CHUNKS_FILE, MANIFEST_FILE, sync},
        own::{OWN_BLOCK, Own},
        trust::{Followed, follow},
    },
    storage::{Incoming, Store},
};
use error::JoinError;
use here::{read_bounded, sound};

/// A node joins by snapshot when it is so many distances of two snapshots behind: less is sooner
/// executed than copied.
const BEHIND: u64 = 2;
/// How long peers may take to say which snapshots they have.
const OFFERS_WAIT: Duration = Duration::from_secs(3);
/// Chunks fetched at once, and kept in memory while one before them is still missing: 8 MiB.
const WINDOW: u64 = 16;
/// Pause before a part is asked for again that nobody could give.
const AGAIN: Duration = Duration::from_secs(2);
/// How often in a row nobody may be able to give any part before the attempt is given up.
const MOST_MISSES: u32 = 10;
/// Pause before the next attempt.
const PAUSE: Duration = Duration::from_secs(60);
/// How long block sync waits for an attempt. Most are done by then; it is no longer than [`PAUSE`], so
/// that attempts which come to nothing leave it half of the time at least.
pub const HEAD_START: Duration = Duration::from_secs(60);
/// How long an attempt may take without a byte: some requests that end without an answer,
const PATIENCE: Duration = Duration::from_secs(300);
/// and a second more for so many bytes that have come: 1 Mbit/s. Who gives less delays for no longer.
const SLOWEST: u64 = 128 * 1024;
/// How often it is looked whether an attempt has become vain while nothing comes.
const LOOK: Duration = Duration::from_secs(1);
/// File of the proof that the own chain is the snapshot's, until it was looked at.
const OWN_FILE: &str = "own";

/// A part of a snapshot and who gave it; none when nobody could.
type Found = Option<(Vec<u8>, PeerIndex)>;

/// What a node joins with.
#[derive(Debug)]
pub struct JoinParts {
    /// The data folder.
    pub data: PathBuf,
    /// The founding document.
    pub genesis: Arc<Genesis>,
    /// The network.
    pub network: NetworkHandle,
    /// The chain so far. The thread does not keep it open.
    pub store: Weak<Store>,
    /// Height of the newest block.
    pub commits: watch::Receiver<u64>,
    /// Distance of two snapshots.
    pub snapshot_every: u64,
}

/// A clock that never goes back.
pub type Ticks = Arc<dyn Fn() -> Instant + Send + Sync>;

/// A snapshot by its height and the hash of its manifest.
pub type Offer = (u64, Digest);

/// What the network has to say to it.
#[derive(Debug)]
pub enum Told {
    /// A peer has these snapshots: height, and hash of the manifest.
    Snapshots(PeerIndex, Vec<Offer>),
    /// A part, or that nobody has it.
    Part {
        /// Hash of the snapshot's manifest.
        manifest: Digest,
        /// Number of the part.
        part: u64,
        /// Its bytes and who sent them.
        found: Found,
    },
}

enum Order {
    Begin { next: u64 },
    Told(Told),
}

/// Where it stands.
#[derive(Debug, Clone, Copy)]
enum Standing {
    Idle,
    /// Since then.
    Running(Instant),
    PausedUntil(Instant),
    /// All is there; the node starts again.
    Joined,
}

/// Tells the joining thread what there is to know. Cheap to clone.
#[derive(Clone)]
pub struct Joiner {
    orders: Sender<Order>,
    standing: Arc<Mutex<Standing>>,
    far: u64,
    ticks: Ticks,
}

impl std::fmt::Debug for Joiner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Joiner").field("standing", &self.standing).finish_non_exhaustive()
    }
}

impl Joiner {
    /// Whether the node joins by snapshot, or begins to now: the next block is `next`, and more peers
    /// than may lie say that there is `claim`.
    pub fn considers(&self, next: u64, claim: u64) -> bool {
        let mut standing = lock(&self.standing);
        match *standing {
            Standing::Running(_) | Standing::Joined => return true,
            Standing::PausedUntil(until) if Instant::now() < until => return false,
            Standing::Idle | Standing::PausedUntil(_) => {}
        }
        if claim < next.saturating_add(self.far) || self.orders.send(Order::Begin { next }).is_err()
        {
            return false;
        }
        *standing = Standing::Running((self.ticks)());
        true
    }

    /// Whether block sync is to wait: for an attempt's head start, or for the start on a database that
    /// is ready.
    #[must_use]
    pub fn is_waited_for(&self) -> bool {
        match *lock(&self.standing) {
            Standing::Joined => true,
            Standing::Running(since) => {
                (self.ticks)().saturating_duration_since(since) < HEAD_START
            }
            Standing::Idle | Standing::PausedUntil(_) => false,
        }
    }

    /// Passes on what the network has to say.
    pub fn hear(&self, heard: Told) {
        // The thread is gone only when the node goes down.
        let _ = self.orders.send(Order::Told(heard));
    }
}

fn lock(standing: &Mutex<Standing>) -> MutexGuard<'_, Standing> {
    standing.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the thread. The receiver turns true when a database from a snapshot is ready, and the
/// node has to start again.
///
/// # Errors
///
/// When the system gives no thread.
pub fn start(parts: JoinParts) -> io::Result<(Joiner, watch::Receiver<bool>)> {
    start_with(parts, Arc::new(Instant::now))
}

/// As [`start`], with another clock for how long an attempt may take.
///
/// # Errors
///
/// When the system gives no thread.
pub fn start_with(parts: JoinParts, ticks: Ticks) -> io::Result<(Joiner, watch::Receiver<bool>)> {
    let (orders, received) = channel();
    let (ready, joined) = watch::channel(false);
    let standing = Arc::new(Mutex::new(Standing::Idle));
    let joiner = Joiner {
        orders,
        standing: standing.clone(),
        far: parts.snapshot_every.max(1).saturating_mul(BEHIND),
        ticks: ticks.clone(),
    };
    let work = Work {
        incoming: Incoming::of(&parts.data),
        parts,
        orders: received,
        avoid: BTreeSet::new(),
        misses: 0,
        backlog: VecDeque::new(),
        begun: ticks(),
        ticks,
        gained: 0,
        manifest_from: None,
        givers: BTreeSet::new(),
    };
    std::thread::Builder::new().name("join".into()).spawn(move || work.run(&standing, &ready))?;
    Ok((joiner, joined))
}

struct Work {
    parts: JoinParts,
    incoming: Incoming,
    orders: Receiver<Order>,
    /// Those that sent a bad part, or gave a snapshot too slowly.
    avoid: BTreeSet<PeerIndex>,
    misses: u32,
    /// What came while it waited for something else.
    backlog: VecDeque<Told>,
    ticks: Ticks,
    /// When this attempt began.
    begun: Instant,
    /// Bytes of the snapshot that are here, as far as this attempt knows.
    gained: u64,
    /// Who gave the manifest; none when it lay here.
    manifest_from: Option<PeerIndex>,
    /// Who has named this snapshot.
    givers: BTreeSet<PeerIndex>,
}

impl Work {
    fn run(mut self, standing: &Mutex<Standing>, ready: &watch::Sender<bool>) {
        while let Ok(order) = self.orders.recv() {
            let Order::Begin { next } = order else { continue };
            match self.join(next) {
                Ok(height) => {
                    tracing::info!(height, "joined by snapshot; the node starts again on it");
                    *lock(standing) = Standing::Joined;
                    ready.send_replace(true);
                    return;
                }
                Err(JoinError::Stopped) => return,
                Err(error) => {
                    tracing::warn!(%error, "not joined by snapshot; block sync goes on");
                    *lock(standing) = Standing::PausedUntil(Instant::now() + PAUSE);
                }
            }
        }
    }

    /// Tries one snapshot after the other, until one is whole.
    fn join(&mut self, next: u64) -> Result<u64, JoinError> {
        self.avoid.clear();
        let mut outcome = Err(JoinError::NoOffer);
        for (offer, givers) in self.offers(next)? {
            if givers.is_subset(&self.avoid) {
                continue;
            }
            self.givers.clone_from(&givers);
            outcome = self.take(offer);
            match &outcome {
                // What only liars have is given up for the next one.
                Err(JoinError::Nobody(_) | JoinError::Unproved(_)) => {}
                Err(JoinError::TooSlow) => self.avoid.extend(givers),
                Err(JoinError::Fork(fork)) => {
                    tracing::error!(height = offer.0, %fork, "a snapshot of another chain is refused");
                    self.incoming.abandon()?;
                }
                Err(error) if error.is_flaw() => {
                    tracing::warn!(height = offer.0, %error, "no database can be made of a snapshot");
                    self.blame_manifest();
                    self.incoming.abandon()?;
                }
                Err(JoinError::Overtaken) => {
                    self.incoming.abandon()?;
                    break;
                }
                _ => break,
            }
        }
        outcome
    }

    fn take(&mut self, offer: Offer) -> Result<u64, JoinError> {
        let (height, _) = offer;
        (self.misses, self.gained, self.begun) = (0, 0, (self.ticks)());
        self.manifest_from = None;
        self.backlog.clear();
        let folder = self.incoming.begin(height)?;
        let followed = self.bundle(offer, &folder)?;
        let checked = self.manifest(offer, &followed, &folder)?;
        self.check_own(offer, &followed, &checked, &folder)?;
        let (chunks, bytes) = (checked.chunks(), checked.total_bytes());
        tracing::info!(height, chunks, bytes, "joining by snapshot");
        self.chunks(offer, &checked, &folder)?;
        tracing::info!(height, "all chunks are here; making the database");
        let snapshot = Snapshot::open(&folder)?;
        let (into, genesis) = (self.incoming.folder(), self.parts.genesis.clone());
        drop(Store::restore(&into, &genesis, &snapshot, |_, _| {})?);
        // The node has gone on meanwhile.
        self.check_own(offer, &followed, &checked, &folder)?;
        self.check_overtaken(offer)?;
        self.incoming.ready(height)?;
        Ok(height)
    }

    fn check_overtaken(&self, offer: Offer) -> Result<(), JoinError> {
        if *self.parts.commits.borrow() >= offer.0 { Err(JoinError::Overtaken) } else { Ok(()) }
    }

    /// Refuses a snapshot in whose chain this node's own blocks are not.
    fn check_own(
        &mut self,
        offer: Offer,
        followed: &Followed,
        checked: &Checked,
        folder: &Path,
    ) -> Result<(), JoinError> {
        self.check_overtaken(offer)?;
        let store = self.parts.store.upgrade().ok_or(JoinError::Stopped)?;
        let own = Own::of(&store.view()?)?;
        drop(store);
        own.check_changes(followed)?;
        if let Some(carried) = own.carried(checked) {
            return Ok(carried?);
        }
        let (path, part) = (folder.join(OWN_FILE), OWN_BLOCK.saturating_add(own.height()));
        let read =
            self.whole(offer, part, &path, |bytes| own.read_inclusion(bytes, &followed.header));
        let (hash, _) = match read {
            Err(JoinError::Nobody(_)) => return Err(JoinError::Unproved(own.height())),
            read => read?,
        };
        own.check_block(hash)?;
        std::fs::remove_file(&path)?;
        // Those that could not prove it may have the chunks all the same.
        self.parts.network.ask_snapshots();
        Ok(())
    }

    /// Its giver is to blame when all parts are those that the manifest names and yet of no use.
    fn blame_manifest(&mut self) {
        if let Some(from) = self.manifest_from.take() {
            self.parts.network.blame(from);
            self.avoid.insert(from);
        }
    }

    /// What peers have above this node's height, and who: first what most of them have; among
    /// such, that of which parts are here already, then the newest. Parts that are here say nothing
    /// by themselves: whoever gave them may give no more.
    fn offers(&mut self, next: u64) -> Result<Vec<(Offer, BTreeSet<PeerIndex>)>, JoinError> {
        self.parts.network.ask_snapshots();
        let until = Instant::now() + OFFERS_WAIT;
        let mut offered: BTreeMap<Offer, BTreeSet<PeerIndex>> = BTreeMap::new();
        while let Some(heard) = self.hear_until(until)? {
            if let Told::Snapshots(from, offers) = heard {
                for offer in offers.into_iter().filter(|(height, _)| *height >= next) {
                    offered.entry(offer).or_default().insert(from);
                }
            }
        }
        let begun = self.incoming.begun();
        let mut offers: Vec<_> = offered.into_iter().collect();
        offers.sort_by_key(|((height, _), peers)| (peers.len(), begun == Some(*height), *height));
        offers.reverse();
        Ok(offers)
    }

    fn bundle(&mut self, offer: Offer, folder: &Path) -> Result<Followed, JoinError> {
        let (genesis, expected) = (self.parts.genesis.clone(), offer.0);
        let read = self.whole(offer, BUNDLE, &folder.join(BUNDLE_FILE), move |bytes| {
            let followed = follow(bytes, &genesis)?;
            let found = followed.header.height;
            if found == expected { Ok(followed) } else { Err(Flaw::Height { found, expected }) }
        });
        Ok(read?.0)
    }

    fn manifest(
        &mut self,
        offer: Offer,
        followed: &Followed,
        folder: &Path,
    ) -> Result<Checked, JoinError> {
        let read = self.whole(offer, MANIFEST, &folder.join(MANIFEST_FILE), |bytes| {
            if sha256(bytes) != offer.1 {
                return Err(Flaw::OtherManifest);
            }
            Checked::new(bytes, &followed.header)
        });
        let (checked, from) = read?;
        self.manifest_from = from;
        Ok(checked)
    }

    /// A part that is a file of its own: as it lies here, or fetched and then kept here; and who gave
    /// it.
    fn whole<T>(
        &mut self,
        offer: Offer,
        part: u64,
        path: &Path,
        check: impl Fn(&[u8]) -> Result<T, Flaw>,
    ) -> Result<(T, Option<PeerIndex>), JoinError> {
        if let Some(good) = read_bounded(path).ok().and_then(|bytes| check(&bytes).ok()) {
            return Ok((good, None));
        }
        self.fetch(offer, part);
        loop {
            let (answered, found) = self.part(offer)?;
            if answered != part {
                continue;
            }
            match found {
                None => self.missed(offer, part)?,
                Some((bytes, from)) => match check(&bytes) {
                    Ok(good) => {
                        self.gained = self.gained.saturating_add(bytes.len() as u64);
                        std::fs::write(path, bytes)?;
                        sync(path)?;
                        return Ok((good, Some(from)));
                    }
                    Err(flaw) => {
                        self.blame(offer, part, from, &flaw);
                        self.fetch(offer, part);
                    }
                },
            }
        }
    }

    /// Fetches the chunks that are not here yet, into one file, in their order.
    fn chunks(&mut self, offer: Offer, checked: &Checked, folder: &Path) -> Result<(), JoinError> {
        let path = folder.join(CHUNKS_FILE);
        let (mut next, length) = sound(checked, &path)?;
        self.gained = self.gained.saturating_add(length);
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
        file.set_len(length)?;
        io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
        let (mut asked, mut under_way) = (next, 0u64);
        let mut early: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        while next < checked.chunks() {
            while asked < checked.chunks().min(next + WINDOW) {
                if checked.chunk_bytes(asked) == Some(0) {
                    early.insert(asked, Vec::new());
                } else {
                    self.fetch(offer, FIRST_CHUNK + asked);
                    under_way += 1;
                }
                asked += 1;
            }
            while let Some(bytes) = early.remove(&next) {
                file.write_all(&bytes)?;
                next += 1;
            }
            if under_way == 0 {
                continue;
            }
            let (part, found) = self.part(offer)?;
            let Some(chunk) = part.checked_sub(FIRST_CHUNK).filter(|chunk| *chunk < asked) else {
                continue;
            };
            match found {
                None => self.missed(offer, part)?,
                Some((bytes, from)) => match checked.chunk(chunk, &bytes) {
                    Ok(_) => {
                        under_way -= 1;
                        self.misses = 0;
                        self.gained = self.gained.saturating_add(bytes.len() as u64);
                        early.insert(chunk, bytes);
                    }
                    Err(flaw) => {
                        self.blame(offer, part, from, &flaw);
                        self.fetch(offer, part);
                    }
                },
            }
        }
        Ok(file.sync_all()?)
    }

    fn fetch(&self, offer: Offer, part: u64) {
        let avoid = self.avoid.iter().copied().collect();
        self.parts.network.fetch_part(offer, part, avoid);
    }

    fn blame(&mut self, offer: Offer, part: u64, from: PeerIndex, flaw: &Flaw) {
        let (height, _) = offer;
        tracing::warn!(peer = from.0, height, part, %flaw, "a peer sent a bad part of a snapshot");
        self.parts.network.blame(from);
        self.avoid.insert(from);
    }

    /// Nobody has the part: perhaps a peer is on its way back.
    fn missed(&mut self, offer: Offer, part: u64) -> Result<(), JoinError> {
        self.misses += 1;
        // After a blame nothing comes from that peer, and perhaps there was no other.
        if self.misses > MOST_MISSES || self.givers.is_subset(&self.avoid) {
            return Err(JoinError::Nobody(part));
        }
        self.parts.network.ask_snapshots();
        let until = Instant::now() + AGAIN;
        while let Some(heard) = self.hear_until(until)? {
            self.backlog.push_back(heard);
        }
        self.fetch(offer, part);
        Ok(())
    }

    /// The next answer about a part of this snapshot, for as long as it is of use.
    fn part(&mut self, of: Offer) -> Result<(u64, Found), JoinError> {
        loop {
            self.check_overtaken(of)?;
            let late = PATIENCE.saturating_add(Duration::from_secs(self.gained / SLOWEST));
            if (self.ticks)().saturating_duration_since(self.begun) > late {
                return Err(JoinError::TooSlow);
            }
            let heard = match self.backlog.pop_front() {
                Some(heard) => heard,
                None => match self.orders.recv_timeout(LOOK) {
                    Ok(Order::Told(heard)) => heard,
                    Ok(Order::Begin { .. }) | Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => return Err(JoinError::Stopped),
                },
            };
            if let Told::Part { manifest, part, found } = heard
                && manifest == of.1
            {
                return Ok((part, found));
            }
        }
    }

    fn hear_until(&mut self, until: Instant) -> Result<Option<Told>, JoinError> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.orders.recv_timeout(left) {
                Ok(Order::Told(heard)) => return Ok(Some(heard)),
                Ok(Order::Begin { .. }) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => return Err(JoinError::Stopped),
            }
        }
    }
}
