//! Joining by snapshot: a node that is far behind copies the state of a recent height from its
//! peers, instead of executing everything since the founding.
//!
//! On a thread of its own. It asks who has what, takes the bundle and the manifest of the newest
//! height from whoever has it, and then the chunks, many at a time, from all that have them. Each
//! part is checked when it comes; a bad one costs its sender a blame, and nothing comes from that
//! peer again. Good ones lie on the disk in their order, so that a start after a crash goes on
//! behind the last. When all are there a database is made of them beside the running one, and the
//! node starts again on it. Until then it goes on with what it has, but for block sync, which waits.
//!
//! The trust anchor is the founding document; `docs/spec/snapshot.md` says what follows from it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::{File, OpenOptions},
    io::{self, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::{Duration, Instant},
};

use symbolon_genesis::Genesis;
use symbolon_ledger::{
    block::Header,
    hash::{Digest, sha256},
};
use thiserror::Error;
use tokio::sync::watch;

use crate::{
    network::{NetworkHandle, PeerIndex},
    snapshot::{
        BUNDLE, Checked, FIRST_CHUNK, Flaw, MANIFEST, MAX_PART_BYTES, Snapshot,
        folder::{BUNDLE_FILE, CHUNKS_FILE, MANIFEST_FILE, sync},
        trust::follow,
    },
    storage::{Incoming, RestoreError, Store},
};

/// A node joins by snapshot when it is so many distances of two snapshots behind: less is sooner
/// executed than copied.
const BEHIND: u64 = 2;
/// How long peers may take to say which snapshots they have.
const OFFERS_WAIT: Duration = Duration::from_secs(3);
/// Chunks fetched at once, and kept in memory while one before them is still missing: 8 MiB.
const WINDOW: u64 = 16;
/// Pause before a part is asked for again that nobody could give.
const AGAIN: Duration = Duration::from_secs(2);
/// How often nobody may be able to give any part before the attempt is given up.
const MOST_MISSES: u32 = 10;
/// Pause before the next attempt. Block sync goes on meanwhile.
const PAUSE: Duration = Duration::from_secs(60);

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
    /// Height of the newest block.
    pub commits: watch::Receiver<u64>,
    /// Distance of two snapshots.
    pub snapshot_every: u64,
}

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
    Running,
    PausedUntil(Instant),
    /// All is there; the node starts again.
    Joined,
}

/// Tells the joining thread what there is to know. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Joiner {
    orders: Sender<Order>,
    standing: Arc<Mutex<Standing>>,
    far: u64,
}

impl Joiner {
    /// Whether block sync is to wait because the node joins by snapshot, or begins to now: the
    /// next block is `next`, and a peer claims to have `claim`.
    #[must_use]
    pub fn considers(&self, next: u64, claim: u64) -> bool {
        let mut standing = lock(&self.standing);
        match *standing {
            Standing::Running | Standing::Joined => return true,
            Standing::PausedUntil(until) if Instant::now() < until => return false,
            Standing::Idle | Standing::PausedUntil(_) => {}
        }
        if claim < next.saturating_add(self.far) || self.orders.send(Order::Begin { next }).is_err()
        {
            return false;
        }
        *standing = Standing::Running;
        true
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
    let (orders, received) = channel();
    let (ready, joined) = watch::channel(false);
    let standing = Arc::new(Mutex::new(Standing::Idle));
    let joiner = Joiner {
        orders,
        standing: standing.clone(),
        far: parts.snapshot_every.max(1).saturating_mul(BEHIND),
    };
    let work = Work {
        incoming: Incoming::of(&parts.data),
        parts,
        orders: received,
        avoid: BTreeSet::new(),
        misses: 0,
        backlog: VecDeque::new(),
    };
    std::thread::Builder::new().name("join".into()).spawn(move || work.run(&standing, &ready))?;
    Ok((joiner, joined))
}

/// Why an attempt came to nothing.
#[derive(Debug, Error)]
enum JoinError {
    #[error("the node goes down")]
    Stopped,
    #[error("no peer has a snapshot above this node's height")]
    NoOffer,
    #[error("nobody could give part {0} of the snapshot")]
    Nobody(u64),
    #[error("this node has come as far by itself")]
    Overtaken,
    #[error("cannot write the snapshot: {0}")]
    Write(#[from] io::Error),
    #[error(transparent)]
    Restore(#[from] RestoreError),
}

struct Work {
    parts: JoinParts,
    incoming: Incoming,
    orders: Receiver<Order>,
    /// Those that sent a bad part.
    avoid: BTreeSet<PeerIndex>,
    misses: u32,
    /// What came while it waited for something else.
    backlog: VecDeque<Told>,
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
        for offer in self.offers(next)? {
            outcome = self.take(offer);
            // A manifest that only liars have is given up for the next one.
            if !matches!(outcome, Err(JoinError::Nobody(_))) {
                break;
            }
        }
        outcome
    }

    fn take(&mut self, offer: Offer) -> Result<u64, JoinError> {
        let (height, _) = offer;
        self.misses = 0;
        self.backlog.clear();
        let folder = self.incoming.begin(height)?;
        let header = self.bundle(offer, &folder)?;
        let checked = self.manifest(offer, &header, &folder)?;
        let (chunks, bytes) = (checked.chunks(), checked.total_bytes());
        tracing::info!(height, chunks, bytes, "joining by snapshot");
        self.chunks(offer, &checked, &folder)?;
        tracing::info!(height, "all chunks are here; making the database");
        let snapshot = Snapshot::open(&folder)?;
        let (into, genesis) = (self.incoming.folder(), self.parts.genesis.clone());
        drop(Store::restore(&into, &genesis, &snapshot, |_, _| {})?);
        if *self.parts.commits.borrow() >= height {
            return Err(JoinError::Overtaken);
        }
        self.incoming.ready(height)?;
        Ok(height)
    }

    /// What peers have above this node's height: first that of which parts are here already, then
    /// what most of them have, then the newest.
    fn offers(&mut self, next: u64) -> Result<Vec<Offer>, JoinError> {
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
        offers.sort_by_key(|((height, _), peers)| (begun == Some(*height), peers.len(), *height));
        Ok(offers.into_iter().rev().map(|(offer, _)| offer).collect())
    }

    fn bundle(&mut self, offer: Offer, folder: &Path) -> Result<Header, JoinError> {
        let (genesis, expected) = (self.parts.genesis.clone(), offer.0);
        self.whole(offer, BUNDLE, &folder.join(BUNDLE_FILE), move |bytes| {
            let header = follow(bytes, &genesis)?.header;
            let found = header.height;
            if found == expected { Ok(header) } else { Err(Flaw::Height { found, expected }) }
        })
    }

    fn manifest(
        &mut self,
        offer: Offer,
        header: &Header,
        folder: &Path,
    ) -> Result<Checked, JoinError> {
        self.whole(offer, MANIFEST, &folder.join(MANIFEST_FILE), |bytes| {
            if sha256(bytes) != offer.1 {
                return Err(Flaw::OtherManifest);
            }
            Checked::new(bytes, header)
        })
    }

    /// A part that is a file of its own: as it lies here, or fetched and then kept here.
    fn whole<T>(
        &mut self,
        offer: Offer,
        part: u64,
        path: &Path,
        check: impl Fn(&[u8]) -> Result<T, Flaw>,
    ) -> Result<T, JoinError> {
        if let Some(good) = read_bounded(path).ok().and_then(|bytes| check(&bytes).ok()) {
            return Ok(good);
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
                        std::fs::write(path, bytes)?;
                        sync(path)?;
                        return Ok(good);
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
        if self.misses > MOST_MISSES {
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

    /// The next answer about a part of this snapshot.
    fn part(&mut self, of: Offer) -> Result<(u64, Found), JoinError> {
        loop {
            let heard = match self.backlog.pop_front() {
                Some(heard) => heard,
                None => match self.orders.recv() {
                    Ok(Order::Told(heard)) => heard,
                    Ok(Order::Begin { .. }) => continue,
                    Err(_) => return Err(JoinError::Stopped),
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

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_PART_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// How many chunks at the beginning of the file are what they must be, and their length together.
fn sound(checked: &Checked, path: &Path) -> io::Result<(u64, u64)> {
    let mut file = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, 0)),
        Err(error) => return Err(error),
    };
    let mut length = 0;
    for chunk in 0..checked.chunks() {
        let mut bytes = vec![0; checked.chunk_bytes(chunk).unwrap_or(0)];
        if file.read_exact(&mut bytes).is_err() || checked.chunk(chunk, &bytes).is_err() {
            return Ok((chunk, length));
        }
        length += bytes.len() as u64;
    }
    Ok((checked.chunks(), length))
}
