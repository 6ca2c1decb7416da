//! Snapshots and what is forgotten: a database made from a snapshot goes on as the one that grew,
//! whatever was altered on the way is refused, and a node that dropped its past still proves its
//! state and can be verified.
//!
//! Not here: how a snapshot is fetched (`joining.rs`, and `node/src/join.rs` with its tests).

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

use symbolon_ledger::{block::Header, codec::local, state::StateKey};
use symbolon_node::{
    snapshot::{
        BUNDLE, Checked, FIRST_CHUNK, Flaw, MANIFEST, Shelf, Snapshot,
        make::make,
        manifest::{CarriedBlock, CarriedRecord, Manifest},
        trust::follow,
    },
    storage::{RestoreError, StorageError, Store, schema::cf},
    verify_chain::{VerifyError, verify_chain},
};
use symbolon_tests::chain::{Chain, add_to};
use tempfile::TempDir;

/// Licences: enough for several chunks.
const LICENCES: usize = 12_000;

/// A chain with licences of which some are revoked, and the folder that it lies in.
fn grown(licences: usize) -> (Chain, TempDir) {
    let folder = TempDir::new().unwrap();
    let mut chain = Chain::founded(folder.path());
    let mut left = licences;
    while left > 0 {
        let batch = left.min(1_500);
        let operations: Vec<_> = (0..batch).map(|_| chain.issue()).collect();
        chain.commit(&operations);
        left -= batch;
    }
    let revocations: Vec<_> = (0..licences / 50).map(|_| chain.revoke()).collect();
    chain.commit(&revocations);
    chain.commit(&[]);
    (chain, folder)
}

/// A snapshot of the tip.
fn snapshot(store: &Store, beside: &Path) -> Snapshot {
    let path = beside.join("snapshot");
    make(&store.view().unwrap(), &path).unwrap();
    Snapshot::open(&path).unwrap()
}

/// Key and value.
type Pair = (Box<[u8]>, Box<[u8]>);

fn all(store: &Store, family: &str) -> Vec<Pair> {
    store.view().unwrap().entries(family, &[]).map(Result::unwrap).collect()
}

#[test]
fn a_database_from_a_snapshot_goes_on_as_the_one_that_grew() {
    let (mut chain, folder) = grown(LICENCES);
    let taken = snapshot(&chain.store, folder.path());
    let height = chain.height();
    assert_eq!(taken.height(), height);
    let other = TempDir::new().unwrap();
    let mut chunks = 0;
    let restored =
        Store::restore(other.path(), &chain.genesis, &taken, |_, of| chunks = of).unwrap();
    assert!(chunks > 3, "only {chunks} chunks");
    drop(restored);
    // Everything that a start looks at is there.
    let restored = Store::open(other.path(), &chain.genesis).unwrap();
    let (theirs, ours) = (chain.store.view().unwrap(), restored.view().unwrap());
    assert_eq!(ours.tip(), theirs.tip());
    assert_eq!(ours.frontier().unwrap(), theirs.frontier().unwrap());
    assert_eq!(ours.trust_bundle().unwrap(), theirs.trust_bundle().unwrap());
    // The records, those that no root vouches for included, and all that follows from them.
    for family in [cf::STATE, cf::TRANSACTIONS, cf::LEAVES, cf::VALIDATOR_SETS, cf::HISTORY_TREE] {
        assert_eq!(all(&restored, family), all(&chain.store, family), "{family}");
    }
    let province = "44".parse().unwrap();
    let list = ours.status_list(province, 0).unwrap();
    assert_eq!(list, theirs.status_list(province, 0).unwrap());
    assert!(list.iter().any(|byte| *byte != 0), "some licences are revoked");
    let places: Vec<_> = chain.licences.iter().take(5).map(|cid| StateKey::Licence(*cid)).collect();
    assert_eq!(ours.state_proof(&places).unwrap(), theirs.state_proof(&places).unwrap());
    for h in 0..height {
        assert_eq!(ours.inclusion(h, height).unwrap(), theirs.inclusion(h, height).unwrap());
    }
    let kept = ours.kept().unwrap();
    assert_eq!((kept.blocks, kept.headers, kept.events), (height + 1, 0, height + 1));
    drop((theirs, ours));
    // Both take the same blocks and come to the same states, byte for byte.
    for round in 0..3 {
        let mut operations = vec![chain.revoke(), chain.revoke()];
        operations.extend((0..40).map(|_| chain.issue()));
        let block = chain.block(&operations);
        chain.add(&block);
        add_to(&restored, &block);
        let (theirs, ours) = (chain.store.view().unwrap(), restored.view().unwrap());
        assert_eq!(ours.tip(), theirs.tip(), "round {round}");
        assert_eq!(ours.state_proof(&places).unwrap(), theirs.state_proof(&places).unwrap());
        let list = |view: &symbolon_node::storage::View<'_>| {
            (
                view.status_list(province, 0).unwrap(),
                view.status_list_at(province, 0, height).unwrap(),
            )
        };
        assert_eq!(list(&ours), list(&theirs), "round {round}");
        assert!(ours.status_list_at(province, 0, height - 1).is_err(), "that is not known here");
    }
    assert_eq!(all(&restored, cf::STATE), all(&chain.store, cf::STATE));
    // Both make the same snapshot of a later height, though one of them began at a snapshot.
    let again = |store: &Store| {
        let folder = TempDir::new().unwrap();
        let taken = snapshot(store, folder.path());
        (taken.hash(), taken.part(FIRST_CHUNK + 3).unwrap())
    };
    assert_eq!(again(&restored), again(&chain.store));
}

/// The parts of a snapshot, and what they are checked against.
struct Parts {
    bundle: Vec<u8>,
    manifest: Vec<u8>,
    chunks: Vec<Vec<u8>>,
    header: Header,
    checked: Checked,
}

fn parts(chain: &Chain, snapshot: &Snapshot) -> Parts {
    let bundle = snapshot.part(BUNDLE).unwrap().unwrap();
    let manifest = snapshot.part(MANIFEST).unwrap().unwrap();
    let header = follow(&bundle, &chain.genesis).unwrap().header;
    let checked = Checked::new(&manifest, &header).unwrap();
    let chunk = |n| snapshot.part(FIRST_CHUNK + n).unwrap().unwrap();
    let chunks = (0..checked.chunks()).map(chunk).collect();
    Parts { bundle, manifest, chunks, header, checked }
}

#[test]
fn no_byte_of_a_chunk_or_a_bundle_can_be_altered() {
    let (chain, folder) = grown(6_000);
    let taken = snapshot(&chain.store, folder.path());
    let Parts { bundle, chunks, checked, .. } = parts(&chain, &taken);
    for (n, good) in (0..).zip(&chunks) {
        assert!(checked.chunk(n, good).is_ok(), "chunk {n}");
        let step = (good.len() / 40).max(1);
        for at in (0..good.len()).step_by(step) {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(checked.chunk(n, &bad).is_err(), "chunk {n}, byte {at}");
        }
        for bad in [&good[..good.len().saturating_sub(1)], &[&good[..], &[0]].concat()] {
            assert!(matches!(checked.chunk(n, bad), Err(Flaw::Length { .. })) || good.is_empty());
        }
        // Another chunk of the same snapshot is not this one.
        let other = &chunks[(n as usize + 1) % chunks.len()];
        assert!(other == good || checked.chunk(n, other).is_err());
    }
    assert_eq!(checked.chunk(checked.chunks(), &[]), Err(Flaw::NoSuchChunk(checked.chunks())));
    // Each look at a bundle makes the founding state again, so not every byte has its turn.
    for at in (0..bundle.len()).step_by(5) {
        let mut bad = bundle.clone();
        bad[at] ^= 1;
        assert!(follow(&bad, &chain.genesis).is_err(), "byte {at} of the bundle");
    }
}

#[test]
fn records_and_blocks_cannot_be_added_left_out_or_moved() {
    let (chain, folder) = grown(6_000);
    let taken = snapshot(&chain.store, folder.path());
    let Parts { chunks, checked, manifest, .. } = parts(&chain, &taken);
    let manifest: Manifest = local::decode(&manifest, usize::MAX).unwrap();
    let first_state = manifest.history.len();
    let records: Vec<CarriedRecord> = local::decode(&chunks[first_state], usize::MAX).unwrap();
    let check = |what: &str, change: &dyn Fn(&mut Vec<CarriedRecord>)| {
        let mut bad = records.clone();
        change(&mut bad);
        // The length is made to fit, so that it is the tree which refuses.
        let mut bytes = local::encode(&bad);
        let pad = chunks[first_state].len().saturating_sub(bytes.len());
        if let Some((_, record)) = bad.last_mut() {
            record.extend(std::iter::repeat_n(0, pad));
            bytes = local::encode(&bad);
        }
        assert!(checked.chunk(first_state as u64, &bytes).is_err(), "{what}");
    };
    check("left out", &|records| drop(records.remove(1)));
    check("moved", &|records| records.swap(0, 1));
    check("twice", &|records| records[1] = records[0].clone());
    check("under another key", &|records| {
        let key = records[0].0.clone();
        records[0].0 = std::mem::replace(&mut records[1].0, key);
    });
    let blocks: Vec<CarriedBlock> = local::decode(&chunks[0], usize::MAX).unwrap();
    let full = blocks.iter().position(|block| block.leaves.len() >= 128).unwrap();
    let mut bad = blocks.clone();
    bad[full].leaves.rotate_left(64);
    assert_eq!(checked.chunk(0, &local::encode(&bad)), Err(Flaw::Leaves(full)));
    let mut bad = blocks.clone();
    bad.swap(0, 1);
    assert!(matches!(
        checked.chunk(0, &local::encode(&bad)),
        Err(Flaw::Header(0) | Flaw::Length { .. })
    ));
}

#[test]
fn a_manifest_leads_to_the_certified_header_or_nowhere() {
    let (chain, folder) = grown(6_000);
    let taken = snapshot(&chain.store, folder.path());
    let Parts { manifest, header, .. } = parts(&chain, &taken);
    let good: Manifest = local::decode(&manifest, usize::MAX).unwrap();
    let check = |expected: &str, change: &dyn Fn(&mut Manifest)| {
        let mut bad = good.clone();
        change(&mut bad);
        let flaw = Checked::new(&local::encode(&bad), &header).unwrap_err();
        assert!(format!("{flaw:?}").starts_with(expected), "{flaw:?}, not {expected}");
    };
    check("Version", &|m| m.version = 2);
    check("Height", &|m| m.height += 1);
    check("Blocks", &|m| m.peaks.push([1; 32]));
    check("Blocks", &|m| m.blocks[1] = [1; 32]);
    check("Blocks", &|m| {
        let _ = m.blocks.pop();
    });
    check("Blocks", &|m| m.blocks.clear());
    check("History", &|m| m.history[0].blocks += 1);
    check("History", &|m| m.history[0].bytes = u32::MAX);
    check("State", &|m| {
        let _ = m.state.pop();
    });
    check("State", &|m| m.state.clear());
    check("State", &|m| m.state[0].depth += 1);
    check("State", &|m| m.state[0].bytes = 0);
    check("State", &|m| m.state.swap(0, 1));
    assert!(Checked::new(&manifest[..manifest.len() - 1], &header).is_err());
    // A snapshot of another chain's founding is nobody's here.
    let other = symbolon_genesis::presets::devnet_from_seed(4, &[9; 32], 1, 1).0;
    let refused = Store::restore(&folder.path().join("other"), &other, &taken, |_, _| {});
    assert!(matches!(refused, Err(RestoreError::Flaw { part: BUNDLE, .. })), "{refused:?}");
}

/// Makes a snapshot of the tip where a node keeps its own.
fn shelve(chain: &Chain, folder: &Path) -> u64 {
    let shelf = Shelf::open(folder).unwrap();
    let unfinished: PathBuf = shelf.unfinished(chain.height());
    make(&chain.store.view().unwrap(), &unfinished).unwrap();
    shelf.add(&unfinished, chain.height()).unwrap();
    chain.height()
}

#[test]
fn a_node_that_dropped_its_past_is_verified_from_its_snapshot() {
    let (mut chain, folder) = grown(600);
    let whole = verify_chain(&chain.store, &chain.genesis, |_, _| {}).unwrap();
    assert_eq!(whole.base, 0);
    let base = shelve(&chain, folder.path());
    for _ in 0..4 {
        let mut operations = vec![chain.revoke()];
        operations.extend((0..20).map(|_| chain.issue()));
        chain.commit(&operations);
    }
    chain.store.prune(base + 1).unwrap().unwrap();
    let report = verify_chain(&chain.store, &chain.genesis, |_, _| {}).unwrap();
    assert_eq!((report.base, report.height), (base, chain.height()));
    assert_eq!(report.transactions, 4);
    // A block between the snapshot and the first that is kept is missing: there is no way.
    chain.store.prune(base + 3).unwrap().unwrap();
    let refused = verify_chain(&chain.store, &chain.genesis, |_, _| {}).unwrap_err();
    assert!(matches!(refused, VerifyError::NoBase { .. }), "{refused}");
    shelve(&chain, folder.path());
    chain.commit(&[]);
    assert!(verify_chain(&chain.store, &chain.genesis, |_, _| {}).is_ok());
}

#[test]
fn a_damaged_snapshot_makes_no_database() {
    let (chain, folder) = grown(600);
    let taken = snapshot(&chain.store, folder.path());
    let path = folder.path().join("snapshot").join("chunks");
    let good = std::fs::read(&path).unwrap();
    let into = |n: usize| folder.path().join(format!("into-{n}"));
    let refuse = |n: usize, bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let refused = Store::restore(&into(n), &chain.genesis, &taken, |_, _| {}).unwrap_err();
        // What was begun is no database that a node would open.
        let opened = Store::open(&into(n), &chain.genesis);
        assert!(matches!(opened, Err(StorageError::Damaged(_))), "{opened:?}");
        refused
    };
    let mut bad = good.clone();
    let last = bad.len() - 1;
    bad[last] ^= 1;
    assert!(matches!(refuse(0, &bad), RestoreError::Flaw { .. }));
    assert!(matches!(refuse(1, &good[..last]), RestoreError::Read(_)));
    std::fs::write(&path, &good).unwrap();
    assert!(Store::restore(&into(2), &chain.genesis, &taken, |_, _| {}).is_ok());
}
