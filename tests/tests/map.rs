//! The authenticated map against the `jmt` crate, which defines its hashing: a million changes in
//! batches of any size give the same roots, and proofs of places are the same byte for byte. Beside
//! that, the pages of the tree stay those that the leaves alone lead to.
//!
//! A history follows from its seed, which is printed; `SYMBOLON_SEED` plays one history again. That
//! altered proofs are refused by both is `state_proofs.rs`; the pages themselves have their tests in
//! `ledger/src/tree/tests.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(clippy::print_stdout, reason = "the seed of a history is printed")]

use std::{collections::BTreeMap, thread};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use symbolon_ledger::{
    codec,
    hash::{Digest, sha256},
    state_proof::PLACEHOLDER,
    tree::{
        self, Change, Memory, Page,
        whole::{Builder, Leaf},
    },
};
use symbolon_oracle::Oracle;

/// Changes of all histories together.
const CHANGES: usize = 1_000_000;
/// Histories, each from its own seed. Every fourth one is crowded.
const HISTORIES: u64 = 8;
const CROWDED: u64 = 4;
/// Most changes of a batch; most batches are much smaller.
const LARGEST_BATCH: usize = 8_192;
/// Keys among which a history chooses. Half of them are there, so that about as many places are
/// filled as are emptied.
const KEYS: u32 = 10_000;
/// Places that are proven after each batch.
const PROOFS: usize = 4;
/// Batches between two looks at all pages.
const LOOKS: usize = 32;

struct History {
    rng: ChaCha8Rng,
    crowded: bool,
    ours: Memory,
    root: Digest,
    oracle: Oracle,
    records: BTreeMap<Digest, Digest>,
    changes: usize,
}

impl History {
    fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            crowded: seed.is_multiple_of(CROWDED),
            ours: Memory::default(),
            root: PLACEHOLDER,
            oracle: Oracle::default(),
            records: BTreeMap::new(),
            changes: 0,
        }
    }

    /// One of the keys. Of crowded ones, every eighth shares up to 31 bytes with others.
    fn key(&mut self) -> Digest {
        let mut key = sha256(&self.rng.random_range(0..KEYS).to_be_bytes());
        if self.crowded && key.0[29].is_multiple_of(8) {
            let deep = usize::from(key.0[31] % 32);
            let side = key.0[30] % 2;
            key.0[..deep].fill(side);
        }
        key
    }

    fn batch(&mut self) -> Vec<(Digest, Option<Vec<u8>>)> {
        // As many small ones as large ones.
        let most = 1usize << self.rng.random_range(2..=LARGEST_BATCH.ilog2());
        let count = self.rng.random_range(1..=most);
        let mut changes = BTreeMap::new();
        for _ in 0..count {
            let key = self.key();
            // The crate has no version without a root, which an empty map would be.
            let stays = self.records.is_empty() || self.rng.random_bool(0.6);
            let record = stays.then(|| self.rng.random::<[u8; 5]>().to_vec());
            changes.insert(key, record);
        }
        changes.into_iter().collect()
    }

    fn grow(&mut self) {
        let changes = self.batch();
        self.changes += changes.len();
        for (key, record) in &changes {
            match record {
                Some(record) => self.records.insert(*key, sha256(record)),
                None => self.records.remove(key),
            };
        }
        let ours = changes.iter().map(|(key, record)| Change::new(*key, record.as_deref()));
        let update = tree::update(&self.ours, self.root, ours.collect()).unwrap();
        let expected = self.oracle.apply(changes).unwrap();
        assert_eq!(update.root, expected, "after {} changes", self.changes);
        self.ours.apply(&update);
        self.root = expected;
    }

    /// Places that are filled and places that are not.
    fn prove(&mut self) {
        for _ in 0..PROOFS {
            let key = self.key();
            let path = tree::prove(&self.ours, self.root, key).unwrap();
            let expected = self.oracle.prove(key).unwrap();
            assert_eq!(codec::encode(&path), codec::encode(&expected), "{key}");
        }
    }

    /// The pages are those of the leaves, and their bytes say all of them.
    fn look(&self) {
        let mut builder = Builder::default();
        for (key, value) in &self.records {
            builder.push(Leaf { key: *key, value: *value }).unwrap();
        }
        let (root, pages) = builder.finish();
        assert_eq!(root, self.root);
        let pages: BTreeMap<_, _> = pages.into_iter().collect();
        assert!(pages == *self.ours.pages(), "after {} changes the pages differ", self.changes);
        for (at, page) in &pages {
            assert_eq!(Page::decode(at, &page.encode()).as_ref(), Ok(page), "{at}");
        }
    }

    fn run(seed: u64) -> usize {
        println!("SYMBOLON_SEED={seed}");
        let mut history = Self::new(seed);
        let mut batches = 0;
        while history.changes < CHANGES / HISTORIES as usize {
            history.grow();
            history.prove();
            batches += 1;
            if batches % LOOKS == 0 {
                history.look();
            }
        }
        history.look();
        batches
    }
}

#[test]
fn a_million_changes_give_the_roots_and_the_proofs_of_the_crate() {
    if let Ok(seed) = std::env::var("SYMBOLON_SEED") {
        History::run(seed.parse().expect("SYMBOLON_SEED is a number"));
        return;
    }
    let batches: usize = thread::scope(|scope| {
        let runs: Vec<_> =
            (0..HISTORIES).map(|seed| scope.spawn(move || History::run(seed))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).sum()
    });
    assert!(batches > 300, "{batches} batches");
}
