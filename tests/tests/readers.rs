//! What the readers of a height share, and what whoever reads memory alone leaves to others.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use symbolon_ledger::{
    hash::TransactionId,
    operation::Actor,
    records::{KeyRecord, ProvinceRecord},
    state::StateKey,
};
use symbolon_node::storage::{Store, View};
use symbolon_tests::chain::Chain;
use tempfile::TempDir;

/// More blocks than the trees of the newest are kept of.
const LATER: usize = 20;
/// More keys than a height remembers places.
const MADE_UP: u32 = 3_000;

fn grown() -> (Chain, TempDir) {
    let folder = TempDir::new().unwrap();
    (Chain::founded(folder.path()), folder)
}

/// Commits a licence; the id of its transaction.
fn issue(chain: &mut Chain) -> TransactionId {
    let operation = chain.issue();
    let block = chain.block(&[operation]);
    chain.add(&block);
    block.0.transactions[0].id()
}

fn receipt(view: &View<'_>, id: &TransactionId) -> Vec<u8> {
    view.receipt(id).unwrap().unwrap()
}

#[test]
fn a_receipt_stays_the_same_and_only_the_newest_are_read_from_memory_alone() {
    let (mut chain, folder) = grown();
    let id = issue(&mut chain);
    let first = receipt(&chain.store.view().unwrap(), &id);
    let memory = chain.store.view_of_memory().unwrap();
    assert_eq!(receipt(&memory, &id), first);
    drop(memory);
    let later: Vec<_> = (0..LATER).map(|_| issue(&mut chain)).collect();
    assert_eq!(receipt(&chain.store.view().unwrap(), &id), first);
    let memory = chain.store.view_of_memory().unwrap();
    assert!(memory.receipt(&id).is_err() && memory.has_missed());
    let newest = chain.store.view_of_memory().unwrap();
    assert_eq!(newest.transaction(&later[LATER - 1]).unwrap().unwrap().height, chain.height());
    assert!(newest.receipt(&later[LATER - 1]).is_ok() && !newest.has_missed());
    drop((memory, newest));
    let Chain { store, genesis, .. } = chain;
    drop(store);
    let again = Store::open(folder.path(), &genesis).unwrap();
    assert_eq!(receipt(&again.view().unwrap(), &id), first);
}

#[test]
fn what_a_block_changes_is_read_anew_and_who_holds_the_record_of_before_keeps_it() {
    let (mut chain, _folder) = grown();
    let key = StateKey::Province("44".parse().unwrap());
    let store = chain.store.clone();
    let shared = |view: &View<'_>| view.shared::<ProvinceRecord>(&key).unwrap().unwrap();
    let before = store.view().unwrap();
    let (held, blocks) = (shared(&before), shared(&before).next_slot_block);
    // Its first licence makes the agency reserve slots, which the province counts.
    issue(&mut chain);
    let after = store.view().unwrap();
    assert!(shared(&after).next_slot_block > blocks);
    assert_eq!((held.next_slot_block, shared(&before).next_slot_block), (blocks, blocks));
}

#[test]
fn keys_that_somebody_made_up_leave_room_for_records() {
    let (chain, _folder) = grown();
    let view = chain.store.view().unwrap();
    let province = "44".parse().unwrap();
    for id in 0..MADE_UP {
        let key = StateKey::Key(Actor::Province(province), 1_000 + id);
        assert!(view.shared::<KeyRecord>(&key).unwrap().is_none());
    }
    let shared = || view.shared::<ProvinceRecord>(&StateKey::Province(province)).unwrap().unwrap();
    assert!(Arc::ptr_eq(&shared(), &shared()), "the record was decoded twice");
}
