//! What a node refuses to open, and what it refuses to write.

use symbolon_genesis::presets;
use symbolon_ledger::{
    block::{Block, Header},
    certificate::{CERTIFICATE_VERSION, Certificate},
    codec,
    inclusion::Inclusion,
    log,
    state::StateKey,
    state_proof::StateProof,
    tree,
    validators::ValidatorSet,
};
use tempfile::TempDir;

use super::*;
use crate::{
    execution,
    verify_chain::{VerifyError, verify_chain},
};

fn genesis(seed: u8) -> Genesis {
    presets::devnet_from_seed(4, &[seed; 32], 1_700_000_000_000, 1).0
}

fn refusal(folder: &Path, genesis: &Genesis) -> String {
    match Store::open(folder, genesis) {
        Ok(_) => panic!("the database was opened"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_founded_chain_opens_again_with_block_0_of_genesis() {
    let (folder, genesis) = (TempDir::new().unwrap(), genesis(1));
    let root = genesis.state_root();
    for _ in 0..2 {
        let store = Store::open(folder.path(), &genesis).unwrap();
        let view = store.view().unwrap();
        assert_eq!(view.tip().header, genesis.block_zero(root));
    }
}

#[test]
fn a_second_process_is_kept_out() {
    let (folder, genesis) = (TempDir::new().unwrap(), genesis(1));
    let _first = Store::open(folder.path(), &genesis).unwrap();
    assert!(refusal(folder.path(), &genesis).contains("in use by another process"));
}

#[test]
fn a_database_of_another_chain_is_refused() {
    let folder = TempDir::new().unwrap();
    drop(Store::open(folder.path(), &genesis(1)).unwrap());
    let error = refusal(folder.path(), &genesis(2));
    assert!(error.contains("belongs to chain"), "{error}");
}

#[test]
fn a_database_of_a_newer_schema_is_refused() {
    let (folder, genesis) = (TempDir::new().unwrap(), genesis(1));
    let store = Store::open(folder.path(), &genesis).unwrap();
    let newer = [&MAGIC[..], &(SCHEMA_VERSION + 1).to_be_bytes()].concat();
    store.db.put_cf(store.cf(cf::META), meta::SCHEMA, newer).unwrap();
    drop(store);
    let error = refusal(folder.path(), &genesis);
    assert!(error.contains(&format!("schema version {}", SCHEMA_VERSION + 1)), "{error}");
}

#[test]
fn a_newer_schema_with_another_table_is_refused_as_newer() {
    let (folder, genesis) = (TempDir::new().unwrap(), genesis(1));
    let mut store = Store::open(folder.path(), &genesis).unwrap();
    let newer = [&MAGIC[..], &9u32.to_be_bytes()].concat();
    store.db.put_cf(store.cf(cf::META), meta::SCHEMA, newer).unwrap();
    store.db.create_cf("a later idea", &Options::default()).unwrap();
    drop(store);
    let error = refusal(folder.path(), &genesis);
    assert!(error.contains("schema version 9"), "{error}");
}

#[test]
fn a_foreign_database_is_refused_and_left_alone() {
    let (folder, genesis) = (TempDir::new().unwrap(), genesis(1));
    let path = folder.path().join(DATABASE);
    let mut options = Options::default();
    options.create_if_missing(true);
    let foreign = DB::open(&options, &path).unwrap();
    foreign.put(b"somebody's", b"data").unwrap();
    drop(foreign);
    let error = refusal(folder.path(), &genesis);
    assert!(error.contains("not Symbolon's"), "{error}");
    let foreign = DB::open(&options, &path).unwrap();
    assert_eq!(foreign.get(b"somebody's").unwrap().as_deref(), Some(&b"data"[..]));
}

#[test]
fn a_chain_that_vanished_is_not_founded_again() {
    let (folder, genesis) = (TempDir::new().unwrap(), genesis(1));
    drop(Store::open(folder.path(), &genesis).unwrap());
    std::fs::remove_dir_all(folder.path().join(DATABASE)).unwrap();
    let error = refusal(folder.path(), &genesis);
    assert!(error.contains("founded before"), "{error}");
}

#[test]
fn a_database_without_one_of_its_files_is_refused_before_it_is_read() {
    let (folder, genesis) = (TempDir::new().unwrap(), genesis(1));
    let store = Store::open(folder.path(), &genesis).unwrap();
    grow(&store, None);
    // RocksDB looks at its first 16 files by itself.
    for _ in 0..2 {
        for family in cf::ALL {
            store.db.put_cf(store.cf(family), b"\xff of this test", b"").unwrap();
            store.db.flush_cf(store.cf(family)).unwrap();
        }
    }
    let mut files = store.db.live_files().unwrap();
    assert!(files.len() > 16, "{} files", files.len());
    files.sort_by(|a, b| a.name.cmp(&b.name));
    drop(store);
    let (mut found_by_us, aside) = (0, folder.path().join("aside"));
    for file in files.iter().step_by(3) {
        let name = file.name.trim_start_matches('/');
        let place = folder.path().join(DATABASE).join(name);
        std::fs::rename(&place, &aside).unwrap();
        let gone = refusal(folder.path(), &genesis);
        assert!(gone.contains(name), "{gone}");
        if gone.contains("is damaged") {
            found_by_us += 1;
            std::fs::write(&place, &std::fs::read(&aside).unwrap()[1..]).unwrap();
            let short = refusal(folder.path(), &genesis);
            assert!(short.contains(&format!("bytes instead of {}", file.size)), "{short}");
        }
        std::fs::rename(&aside, &place).unwrap();
    }
    assert!(found_by_us > 0);
    assert_eq!(Store::open(folder.path(), &genesis).unwrap().view().unwrap().tip().height, 1);
}

#[test]
fn a_block_that_does_not_follow_the_tip_is_never_written() {
    let (folder, genesis) = (TempDir::new().unwrap(), genesis(1));
    let store = Store::open(folder.path(), &genesis).unwrap();
    let view = store.view().unwrap();
    let executed = execution::execute(&view, &[]).unwrap();
    let tip = view.tip().clone();
    drop(view);
    let commit = |height: u64, parent| {
        let header = Header { height, parent, ..tip.header.clone() };
        let block = Block { header, transactions: Vec::new() };
        let certificate = Certificate {
            version: CERTIFICATE_VERSION,
            height,
            round: 0,
            block: block.hash(),
            signatures: Vec::new(),
        };
        store.commit(&Commit { block: &block, certificate: &certificate, executed: &executed })
    };
    assert!(commit(2, tip.hash).is_err());
    assert!(commit(1, Digest::ZERO).is_err());
    assert_eq!(store.view().unwrap().tip().height, 0);
    assert!(commit(1, tip.hash).is_ok());
    assert_eq!(store.view().unwrap().tip().height, 1);
}

/// Commits an empty block, which makes `next` the validators of the one after it if there are any.
pub(super) fn grow(store: &Store, next: Option<&ValidatorSet>) -> u64 {
    let view = store.view().unwrap();
    let mut executed = execution::execute(&view, &[]).unwrap();
    executed.next_validators = next.cloned().unwrap_or(executed.next_validators);
    let tip = view.tip();
    let header = Header {
        height: tip.height + 1,
        parent: tip.hash,
        history_root: view.frontier().unwrap().root(),
        state_root: executed.state_root(),
        validators_hash: tip.header.next_validators_hash,
        next_validators_hash: next.map_or(tip.header.next_validators_hash, ValidatorSet::hash),
        ..tip.header.clone()
    };
    let block = Block { header, transactions: Vec::new() };
    let certificate = Certificate {
        version: CERTIFICATE_VERSION,
        height: block.header.height,
        round: 0,
        block: block.hash(),
        signatures: Vec::new(),
    };
    drop(view);
    let commit = Commit { block: &block, certificate: &certificate, executed: &executed };
    store.commit(&commit).unwrap();
    block.header.height
}

#[test]
fn every_block_is_in_the_history_of_every_later_one() {
    const BLOCKS: u64 = 37;
    let (folder, genesis) = (TempDir::new().unwrap(), genesis(1));
    let store = Store::open(folder.path(), &genesis).unwrap();
    for _ in 0..BLOCKS {
        grow(&store, None);
    }
    let view = store.view().unwrap();
    for head in 0..=BLOCKS {
        let later = Header::decode(&view.header_bytes(head).unwrap().unwrap()).unwrap();
        for height in 0..head {
            let bytes = view.inclusion(height, head).unwrap().unwrap();
            let inclusion: Inclusion = codec::decode(&bytes, 4_096).unwrap();
            let header = view.header_bytes(height).unwrap().unwrap();
            assert_eq!((&inclusion.header[..], inclusion.size), (&header[..], head));
            let leaf = log::leaf_hash(Header::decode(&header).unwrap().hash().as_bytes());
            let root = log::root_from_path(leaf, height, head, &inclusion.path);
            assert_eq!(root, Some(later.history_root), "{height} under {head}");
        }
        assert_eq!(view.inclusion(head, head).unwrap(), None);
    }
    assert_eq!(view.inclusion(0, BLOCKS + 1).unwrap(), None);
    let entries = view.entries(cf::HISTORY_TREE, &[]).count() as u64;
    assert!(entries <= BLOCKS, "{entries} entries for {BLOCKS} blocks");
}

#[test]
fn a_history_with_a_missing_or_altered_subtree_is_damage() {
    let (folder, genesis) = (TempDir::new().unwrap(), genesis(1));
    let store = Store::open(folder.path(), &genesis).unwrap();
    for _ in 0..5 {
        grow(&store, None);
    }
    let key = [1, 0, 0, 0, 0, 0, 0, 0, 0];
    store.db.put_cf(store.cf(cf::HISTORY_TREE), key, [7; 32]).unwrap();
    let refused = |view: View<'_>| view.inclusion(2, 4).unwrap_err().to_string();
    let error = refused(store.view().unwrap());
    assert!(error.contains("does not lead to its history_root"), "{error}");
    store.db.delete_cf(store.cf(cf::HISTORY_TREE), key).unwrap();
    let error = refused(store.view().unwrap());
    assert!(error.contains("subtree 0 of level 1"), "{error}");
}

#[test]
fn every_validator_set_is_kept_with_the_block_that_made_it() {
    let (folder, genesis) = (TempDir::new().unwrap(), genesis(1));
    let store = Store::open(folder.path(), &genesis).unwrap();
    let founding = store.view().unwrap().trust_bundle().unwrap();
    assert_eq!(founding.validators, genesis.validator_set());
    assert_eq!((founding.changes.len(), founding.head.certificate), (0, None));

    let other = presets::devnet_from_seed(4, &[9; 32], 1_700_000_000_000, 1).0.validator_set();
    grow(&store, None);
    let at = grow(&store, Some(&other));
    grow(&store, None);
    let bundle = store.view().unwrap().trust_bundle().unwrap();
    assert_eq!(bundle.validators, genesis.validator_set());
    let view = store.view().unwrap();
    assert_eq!(bundle.changes.len(), 1);
    assert_eq!(bundle.changes[0].validators, other);
    assert_eq!(&bundle.changes[0].header[..], view.header_bytes(at).unwrap().unwrap());
    assert_eq!(&bundle.changes[0].certificate[..], view.certificate_bytes(at).unwrap().unwrap());
    assert_eq!(&bundle.head.header[..], view.header_bytes(3).unwrap().unwrap());
    assert!(bundle.head.certificate.is_some());
}

#[test]
fn a_state_tree_without_its_root_stops_execution() {
    let (folder, genesis) = (TempDir::new().unwrap(), genesis(1));
    let store = Store::open(folder.path(), &genesis).unwrap();
    for item in store.db.iterator_cf(store.cf(cf::PAGES), rocksdb::IteratorMode::Start) {
        let (key, _) = item.unwrap();
        store.db.delete_cf(store.cf(cf::PAGES), key).unwrap();
    }
    let view = store.view().unwrap();
    let error = execution::execute(&view, &[]).unwrap_err().to_string();
    assert!(error.contains("state tree"), "{error}");
    assert!(view.state_proof(&[StateKey::Parameters]).is_err());
}

#[test]
fn an_undecided_block_is_kept_until_its_height_is_decided() {
    let (folder, genesis) = (TempDir::new().unwrap(), genesis(1));
    let store = Store::open(folder.path(), &genesis).unwrap();
    let hash = Digest([1; 32]);
    store.keep_undecided(1, &hash, b"body").unwrap();
    assert_eq!(store.undecided(1).unwrap(), [b"body".to_vec()]);
    assert_eq!(store.body(&hash).unwrap().as_deref(), Some(&b"body"[..]));
    assert!(store.undecided(2).unwrap().is_empty());
}

#[test]
fn a_status_page_that_no_block_made_is_found() {
    let (folder, genesis) = (TempDir::new().unwrap(), genesis(1));
    let store = Store::open(folder.path(), &genesis).unwrap();
    assert!(verify_chain(&store, &genesis, |_, _| {}).is_ok());
    for (family, key, value) in [
        (cf::STATUS_PAGES, &b"44\0\0\0\0"[..], &[1; 1_024][..]),
        (cf::STATUS_CHANGES, b"44\0\0\0\0\0\0\0\0\0\0\x01", &[0, 0, 4]),
    ] {
        store.db.put_cf(store.cf(family), key, value).unwrap();
        let found = verify_chain(&store, &genesis, |_, _| {});
        assert!(
            matches!(found, Err(VerifyError::Differs { family: f, .. }) if f == family),
            "{family}: {found:?}"
        );
        store.db.delete_cf(store.cf(family), key).unwrap();
    }
}

#[test]
fn lists_of_long_ago_are_not_shown() {
    let (folder, genesis) = (TempDir::new().unwrap(), genesis(1));
    let store = Store::open(folder.path(), &genesis).unwrap();
    let header = store.view().unwrap().tip().header.clone();
    let height = REWIND_BLOCKS + 7;
    let bytes = symbolon_ledger::codec::encode(&Header { height, ..header });
    store.db.put_cf(store.cf(cf::HEADERS), schema::height_key(height), bytes).unwrap();
    store.db.put_cf(store.cf(cf::META), meta::TIP, schema::height_key(height)).unwrap();
    let view = store.view().unwrap();
    let list = |height| view.status_list_at("44".parse().unwrap(), 0, height);
    assert!(matches!(list(6), Err(RewindError::TooOld { oldest: 7 })));
    assert!(list(7).is_ok());
    // More changes than are read at once, though none of them is old.
    let change = [&b"44\0\0\0"[..], &height.to_be_bytes()].concat();
    let many = vec![0; MAX_REWIND_BYTES + 1];
    store.db.put_cf(store.cf(cf::STATUS_CHANGES), change, many).unwrap();
    let view = store.view().unwrap();
    let list = view.status_list_at("44".parse().unwrap(), 0, height - 1);
    assert!(matches!(list, Err(RewindError::TooMuch)), "{list:?}");
}

#[test]
fn what_is_not_in_memory_is_an_error_and_never_an_absence() {
    let (folder, genesis) = (TempDir::new().unwrap(), genesis(1));
    let store = Store::open(folder.path(), &genesis).unwrap();
    grow(&store, None);
    drop(store);
    // What was in memory is in files now, and none of it was read again.
    let store = Store::open(folder.path(), &genesis).unwrap();
    let absent = StateKey::Licence(Digest([3; 32]));
    let keys: Vec<_> = genesis.changes().into_keys().collect();
    // Nothing when it was not in memory, be it the tip or the record.
    let glance = |key: &StateKey| {
        let view = store.view_of_memory().ok()?;
        let found = view.raw(key);
        assert_eq!(found.is_err(), view.has_missed(), "{key:?}: {found:?}");
        found.ok()
    };
    let (mut missed, mut held) = (0, 0);
    for key in keys.iter().chain([&absent]) {
        let first = glance(key);
        let expected = store.view().unwrap().raw(key).unwrap();
        assert_eq!(expected.is_none(), *key == absent);
        // What was read once is in memory, unless the database has moved it meanwhile: after a start it
        // writes each small file anew, behind its readers.
        let again = glance(key);
        missed += usize::from(first.is_none());
        held += usize::from(again.is_some());
        for found in [first, again].into_iter().flatten() {
            assert_eq!(found, expected, "{key:?}");
        }
    }
    assert!(held > 0, "nothing of it stayed in memory");
    assert!(missed > 0, "all of it was in memory");
}

#[test]
fn a_reader_stays_at_its_height_and_the_next_one_is_at_the_newest() {
    let (folder, genesis) = (TempDir::new().unwrap(), genesis(1));
    let store = Store::open(folder.path(), &genesis).unwrap();
    let keys = [StateKey::Parameters, StateKey::Province("44".parse().unwrap())];
    let check = |view: &View<'_>, height: u64| {
        assert_eq!(view.tip().height, height);
        let proof: StateProof = codec::decode(&view.state_proof(&keys).unwrap(), 65_536).unwrap();
        assert_eq!(&proof.header[..], view.header_bytes(height).unwrap().unwrap());
        assert_eq!(proof.certificate.is_some(), height > 0);
        for (entry, key) in proof.entries.iter().zip(&keys) {
            assert_eq!(&entry.key[..], key.encode());
            let record = view.raw(key).unwrap().unwrap();
            assert_eq!(entry.record.as_ref().map(|bytes| &bytes[..]), Some(&record[..]));
            let path = tree::prove(view, view.tip().header.state_root, key.map_key()).unwrap();
            assert_eq!(entry.path, path, "{key:?}");
        }
        view.mark()
    };
    let (first, early) = (store.view().unwrap(), store.view().unwrap());
    let mark = check(&first, 0);
    grow(&store, None);
    let second = store.view().unwrap();
    assert_ne!(check(&second, 1), mark);
    // Whoever has read nothing so far reads as of its own height, too.
    assert_eq!(check(&early, 0), mark);
    grow(&store, None);
    check(&second, 1);
    check(&store.view().unwrap(), 2);
}
