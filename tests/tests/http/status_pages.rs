//! The projection of the licences into status pages, over a real database: it follows every
//! operation, is the same on every node, and can be shown as it was.

use std::collections::BTreeMap;

use proptest::prelude::*;
use symbolon_ledger::{
    codes::ProvinceCode,
    hash::{Cid, sha256},
    operation::{NewLicence, Operation, RevocationClass},
    records::{AgencyIndexRecord, AgencyRecord, LicenceRecord, slot_list},
    state::StateKey,
    status_page::{INVALID, LIST_LEN, SUSPENDED, VALID, set_status, status_at},
};
use symbolon_node::{
    execution::{self, Known},
    storage::{Commit, RewindError, Store, View},
};

use super::support::Node;

/// Number of the kind of [`StateKey::Licence`].
const LICENCE: u8 = 9;
/// Slots in which these tests issue: neighbours in a byte, and two far apart.
const SLOTS: [u32; 5] = [0, 1, 2, 3, 4_095];

fn code(province: &str) -> ProvinceCode {
    province.parse().unwrap()
}

/// Checks the pages against all licence records, of which they must follow and of nothing else.
fn pages_are_those_of_the_licences(view: &View<'_>) {
    let mut lists: BTreeMap<String, (ProvinceCode, u32, Vec<u8>)> = BTreeMap::new();
    for (_, licence) in view.scan::<LicenceRecord>(LICENCE).unwrap() {
        let number = StateKey::AgencyByIndex(licence.agency_index);
        let number: AgencyIndexRecord = view.record(&number).unwrap().unwrap();
        let agency: AgencyRecord = view.record(&StateKey::Agency(number.uscc)).unwrap().unwrap();
        let (list, index) = slot_list(licence.slot);
        let empty = || (agency.province, list, vec![0; LIST_LEN]);
        let name = format!("{}/{list}", agency.province);
        let (.., packed) = lists.entry(name).or_insert_with(empty);
        set_status(packed, index, licence.status.list_value()).unwrap();
    }
    for (name, (province, list, expected)) in lists {
        let found = view.status_list(province, list).unwrap();
        assert!(found == expected, "list {name} at height {}", view.tip().height);
    }
}

/// The licence that would stand in `slot`, of the lineage of another slot.
fn successor(node: &Node, province: &str, slot: u32, of: (&str, u32)) -> NewLicence {
    let (_, operation) = node.prepare_licence(province, slot);
    let Operation::Issue { licence } = operation else { unreachable!("it is an Issue") };
    NewLicence { lineage: sha256(format!("lineage {} {}", of.0, of.1).as_bytes()), ..licence }
}

#[test]
fn a_page_follows_every_operation() {
    let node = Node::start();
    node.reserve_slots("44");
    node.reserve_slots("51");
    let check = |height: u64, province: &str, slot: u32, expected: u8| {
        let view = node.store.view().unwrap();
        assert_eq!(view.tip().height, height);
        let list = view.status_list(code(province), 0).unwrap();
        assert_eq!(status_at(&list, slot), Some(expected), "slot {slot} at height {height}");
        pages_are_those_of_the_licences(&view);
    };
    let agency = |operation| node.apply(&node.by_agency("44", vec![operation]));
    let cid = node.issue("44", 6).cid;
    check(3, "44", 6, VALID);
    check(agency(Operation::Suspend { cid }), "44", 6, SUSPENDED);
    check(agency(Operation::Resume { cid }), "44", 6, VALID);
    let suspend = vec![Operation::Suspend { cid }];
    check(node.apply(&node.by_province("44", suspend)), "44", 6, SUSPENDED);
    check(agency(Operation::Resume { cid }), "44", 6, VALID);
    let to = node.agency("51");
    check(agency(Operation::TransferOut { cid, to }), "44", 6, SUSPENDED);
    check(agency(Operation::CancelTransfer { cid }), "44", 6, VALID);

    // Superseded: the old slot is invalid, the new one is not.
    let licence = successor(&node, "44", 7, ("44", 6));
    let height = agency(Operation::Supersede { previous: cid, licence });
    check(height, "44", 6, INVALID);
    check(height, "44", 7, VALID);
    let (renewed, _) = node.prepare_licence("44", 7);

    // Transferred: the old slot is on its province's list, the new one on the other's.
    check(agency(Operation::TransferOut { cid: renewed.cid, to }), "44", 7, SUSPENDED);
    let licence = successor(&node, "51", 7, ("51", 7));
    let transfer = Operation::TransferIn { previous: renewed.cid, licence };
    let height = node.apply(&node.by_agency("51", vec![transfer]));
    check(height, "44", 7, INVALID);
    check(height, "51", 7, VALID);

    let (moved, _) = node.prepare_licence("51", 7);
    let revoke = Operation::Revoke { cid: moved.cid, class: RevocationClass::Penalty };
    check(node.apply(&node.by_agency("51", vec![revoke])), "51", 7, INVALID);
}

#[test]
fn what_happens_within_one_block_leaves_the_last_status() {
    let node = Node::start();
    node.reserve_slots("44");
    let (first, issue_first) = node.prepare_licence("44", 8);
    let (second, issue_second) = node.prepare_licence("44", 9);
    let operations = vec![
        issue_first,
        Operation::Suspend { cid: first.cid },
        Operation::Resume { cid: first.cid },
        issue_second,
        Operation::Suspend { cid: second.cid },
        Operation::Revoke { cid: second.cid, class: RevocationClass::Unspecified },
    ];
    node.apply(&node.by_agency("44", operations));
    let view = node.store.view().unwrap();
    let list = view.status_list(code("44"), 0).unwrap();
    assert_eq!((status_at(&list, 8), status_at(&list, 9)), (Some(VALID), Some(INVALID)));
    pages_are_those_of_the_licences(&view);
    // Before the block there was neither, and nothing of it is seen there.
    let before = view.status_list_at(code("44"), 0, view.tip().height - 1).unwrap();
    assert!(before.iter().all(|byte| *byte == 0));
}

#[test]
fn a_list_says_when_it_last_changed() {
    let node = Node::start();
    node.reserve_slots("44");
    let changed = || {
        let view = node.store.view().unwrap();
        view.status_list_changed_at(code("44"), 0).unwrap()
    };
    let cid = node.issue("44", 5).cid;
    // A new licence is as valid as an unused slot.
    assert_eq!(changed(), 0);
    let height = node.apply(&node.by_agency("44", vec![Operation::Suspend { cid }]));
    assert_eq!(changed(), height);
    node.commit();
    assert_eq!(changed(), height);
    let height = node.apply(&node.by_agency("44", vec![Operation::Resume { cid }]));
    assert_eq!(changed(), height);
    let view = node.store.view().unwrap();
    assert_eq!(view.status_list_changed_at(code("51"), 0).unwrap(), 0);
    assert_eq!(view.status_list_changed_at(code("44"), 1).unwrap(), 0);
}

/// One step of a random history: what to do to the licence in a slot.
#[derive(Debug, Clone, Copy)]
enum Step {
    Suspend(usize),
    Resume(usize),
    Revoke(usize),
    Release(usize),
    TakeBack(usize),
    Nothing,
}

fn steps() -> impl Strategy<Value = Step> {
    let slot = 0..SLOTS.len();
    prop_oneof![
        3 => slot.clone().prop_map(Step::Suspend),
        3 => slot.clone().prop_map(Step::Resume),
        1 => slot.clone().prop_map(Step::Revoke),
        2 => slot.clone().prop_map(Step::Release),
        2 => slot.prop_map(Step::TakeBack),
        1 => Just(Step::Nothing),
    ]
}

fn operation(node: &Node, cids: &[Cid], step: Step) -> Option<Operation> {
    Some(match step {
        Step::Suspend(at) => Operation::Suspend { cid: cids[at] },
        Step::Resume(at) => Operation::Resume { cid: cids[at] },
        Step::Revoke(at) => Operation::Revoke { cid: cids[at], class: RevocationClass::Cancelled },
        Step::Release(at) => Operation::TransferOut { cid: cids[at], to: node.agency("51") },
        Step::TakeBack(at) => Operation::CancelTransfer { cid: cids[at] },
        Step::Nothing => return None,
    })
}

/// Executes the blocks of `node` on a database of its own, as a node that catches up does.
fn follow(node: &Node) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let other = Store::open(folder.path(), &node.genesis).unwrap();
    let view = node.store.view().unwrap();
    for height in 1..=view.tip().height {
        let block = view.block(height).unwrap().unwrap();
        let certificate = view.certificate_bytes(height).unwrap().unwrap();
        let certificate = symbolon_ledger::codec::decode(&certificate, 1 << 20).unwrap();
        let executed = {
            let parent = other.view().unwrap();
            execution::execute_block(&parent, &block, &Known::new()).unwrap()
        };
        let commit = Commit { block: &block, certificate: &certificate, executed: &executed };
        other.commit(&commit).unwrap();
    }
    (folder, other)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn every_node_has_the_same_lists_and_shows_every_height_as_it_was(
        history in proptest::collection::vec(proptest::collection::vec(steps(), 1..4), 8..24),
    ) {
        let node = Node::start();
        node.reserve_slots("44");
        let cids: Vec<Cid> = SLOTS.iter().map(|slot| node.issue("44", *slot).cid).collect();
        let mut seen: Vec<Vec<u8>> = Vec::new();
        for block in history {
            for step in block {
                // What does not apply is left out of the block, as a proposer does.
                if let Some(operation) = operation(&node, &cids, step) {
                    let transaction = node.by_agency("44", vec![operation]);
                    let _ = node.pool.submit(transaction.as_bytes());
                }
            }
            node.commit();
            let view = node.store.view().unwrap();
            pages_are_those_of_the_licences(&view);
            seen.push(view.status_list(code("44"), 0).unwrap());
        }
        let (_folder, other) = follow(&node);
        let (ours, theirs) = (node.store.view().unwrap(), other.view().unwrap());
        let tip = ours.tip().height;
        for (back, expected) in (0u64..).zip(seen.iter().rev()) {
            for view in [&ours, &theirs] {
                let found = view.status_list_at(code("44"), 0, tip - back).unwrap();
                prop_assert!(found == *expected, "{back} blocks before {tip}");
            }
        }
        let changed = |view: &View<'_>| view.status_list_changed_at(code("44"), 0).unwrap();
        prop_assert_eq!(changed(&ours), changed(&theirs));
        let first: Result<_, RewindError> = ours.status_list_at(code("44"), 0, 0);
        prop_assert!(first.unwrap().iter().all(|byte| *byte == 0));
    }
}
