//! Two real nodes that are asked at once for what excludes each other, and a key that is declared
//! stolen while it signs under load: one order, the same on all nodes.

use std::{
    collections::BTreeSet,
    sync::{
        Barrier, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use serde_json::Value;
use symbolon_ledger::{
    codes::cid,
    hash::{Cid, Digest, TransactionId},
    operation::{Operation, RevocationClass},
    transaction::SignedTransaction,
};
use symbolon_tests::{
    agency::{Agency, any, commit, submit},
    devnet::{Devnet, await_that, json_of},
};

use crate::{PROVINCES, assert_all_agree};

/// Licences, and as many credentials, over which two nodes are brought to race.
const RACES: usize = 8;
/// Acknowledged transactions of every node before the key is declared stolen.
const BEFORE: usize = 3;
/// Heights after it for which the thief goes on.
const AFTER: u64 = 3;

fn origin<'n>(net: &'n Devnet, at: &str) -> &'n str {
    &net.node(at).http
}

fn height_of(net: &Devnet, at: &str, id: TransactionId) -> Option<u64> {
    symbolon_tests::agency::height_of(origin(net, at), id)
}

#[test]
fn two_nodes_asked_at_once_come_to_one_order_and_a_stolen_key_ends_on_all() {
    let net = Devnet::start(4);
    what_excludes_each_other_has_one_order(&net);
    a_stolen_key_signs_nothing_behind_its_end(&net);
    assert_all_agree(&net, net.height("11").unwrap().min(net.height("51").unwrap()));
}

/// Two transactions for two nodes.
type Race = [SignedTransaction; 2];

/// Suspension and revocation of one licence, and two issues of one credential, each said to two
/// nodes at the same moment.
fn what_excludes_each_other_has_one_order(net: &Devnet) {
    let agency = Agency::of(net, "44");
    commit(origin(net, "44"), &agency.reserve(1));
    let inners: Vec<Digest> = (0..RACES).map(|_| any()).collect();
    let all = inners.iter().map(|inner| agency.issue(*inner)).collect();
    commit(origin(net, "44"), &agency.sign(all));
    let revoked: Vec<(Cid, Race)> = inners.iter().map(|i| ending(&agency, *i)).collect();
    let issued: Vec<(Cid, Race)> = (0..RACES).map(|_| twice(&agency)).collect();
    let (asked, barrier) = (revoked.iter().chain(&issued), Barrier::new(2));
    let asked: Vec<&Race> = asked.map(|(_, race)| race).collect();
    std::thread::scope(|scope| {
        for (side, nodes) in [["11", "51"], ["31", "44"]].into_iter().enumerate() {
            let (asked, barrier) = (&asked, &barrier);
            scope.spawn(move || {
                for (n, race) in asked.iter().enumerate() {
                    barrier.wait();
                    // Which of the two goes where changes.
                    let _ = submit(origin(net, nodes[n / 2 % 2]), "", &race[(n + side) % 2]);
                }
            });
        }
    });
    for (cid, [suspend, revoke]) in &revoked {
        let events = events_everywhere(net, *cid, "revoked", &[revoke]);
        let first = PROVINCES.map(|at| height_of(net, at, suspend.id()).is_some());
        let expected =
            if first[0] { &["issue", "suspend", "revoke"][..] } else { &["issue", "revoke"] };
        assert_eq!(
            (events, first),
            (expected.iter().map(|e| (*e).to_owned()).collect(), [first[0]; 4])
        );
    }
    for (cid, race) in &issued {
        let events = events_everywhere(net, *cid, "active", &[&race[0], &race[1]]);
        assert_eq!(events, ["issue"], "{cid}");
        for at in PROVINCES {
            let taken = race.iter().filter(|t| height_of(net, at, t.id()).is_some()).count();
            assert_eq!(taken, 1, "{cid} is issued {taken} times at {at}");
        }
    }
}

fn ending(agency: &Agency, inner: Digest) -> (Cid, Race) {
    let cid = cid(&agency.code, &inner);
    let class = RevocationClass::Unspecified;
    let ends = [Operation::Suspend { cid }, Operation::Revoke { cid, class }];
    (cid, ends.map(|operation| agency.sign(vec![operation])))
}

fn twice(agency: &Agency) -> (Cid, Race) {
    let inner = any();
    let issues = [agency.issue(inner), agency.issue(inner)];
    (cid(&agency.code, &inner), issues.map(|operation| agency.sign(vec![operation])))
}

/// Waits until every node has one of `any`, and gives the events of the licence, which are the
/// same at all of them, as is its record.
fn events_everywhere(
    net: &Devnet,
    cid: Cid,
    status: &str,
    any: &[&SignedTransaction],
) -> Vec<String> {
    let mut seen = BTreeSet::new();
    for at in PROVINCES {
        await_that("every node has decided the race", || {
            any.iter().any(|one| height_of(net, at, one.id()).is_some())
        });
        let licence = net.get(at, &format!("/v1/licences/{cid}")).unwrap().1;
        assert_eq!(licence["status"], status, "{at}: {licence}");
        let history = net.get(at, &format!("/v1/licences/{cid}/history")).unwrap().1;
        seen.insert((licence["record"].to_string(), history["items"].to_string()));
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
    let items: Value = serde_json::from_str(&seen.first().unwrap().1).unwrap();
    let events = items.as_array().unwrap().iter();
    events.map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

/// The thief asks all nodes at once, without pause; the province says meanwhile that its key is
/// stolen.
fn a_stolen_key_signs_nothing_behind_its_end(net: &Devnet) {
    let stolen = Agency::of(net, "31");
    commit(origin(net, "31"), &stolen.reserve(1));
    let (over, said) = (AtomicBool::new(false), PROVINCES.map(|_| Mutex::new(Vec::new())));
    let ended = std::thread::scope(|scope| {
        for (at, said) in PROVINCES.iter().zip(&said) {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    let transaction = stolen.sign(vec![stolen.issue(any())]);
                    let how = "?wait=commit&timeout_ms=1000";
                    let answer = submit(origin(net, at), how, &transaction);
                    said.lock().unwrap().push((transaction.id(), answer));
                }
            });
        }
        let acknowledged = |said: &Mutex<Vec<(TransactionId, (u16, Value))>>| {
            said.lock().unwrap().iter().filter(|(_, (status, _))| *status == 200).count() >= BEFORE
        };
        await_that("it signs everywhere", || said.iter().all(acknowledged));
        let ended = declare_stolen(net, &stolen);
        net.await_height(ended + AFTER);
        over.store(true, SeqCst);
        ended
    });
    for (at, said) in PROVINCES.iter().zip(said) {
        let said = said.into_inner().unwrap();
        let (_, (status, last)) = said.last().unwrap();
        assert_eq!((*status, &last["code"]), (422, &"key_not_valid".into()), "{at}: {last}");
        for (id, _) in said {
            let heights = PROVINCES.map(|at| height_of(net, at, id));
            assert!(heights[0].is_none_or(|height| height <= ended), "{id}: {heights:?}, {ended}");
            assert_eq!(heights, [heights[0]; 4], "{id}");
        }
    }
}

/// The height from which on nothing is taken of it.
fn declare_stolen(net: &Devnet, stolen: &Agency) -> u64 {
    let (code, from) = (stolen.code.to_string(), net.height("31").unwrap().to_string());
    let words = ["--as", "31", "--json", "agency", "key", "compromise", &code, "--key-id", "0"];
    let output = net.symbolon(&[&words[..], &["--from-height", &from]].concat());
    let answer = json_of(&output);
    assert!(output.status.success(), "{answer}");
    answer["height"].as_u64().unwrap()
}
