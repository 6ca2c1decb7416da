//! Proposals over HTTP, with their proofs; and what a stolen key did.

use serde_json::{Value, json};
use symbolon_ledger::{
    governance::{Action, NewProvince, ProposalRecord, ProposalStatus},
    hash::Digest,
    keys::SecretKey,
    operation::{KeyPurpose, NewKey, Operation},
    records::{Record as _, ValidatorsRecord},
    state::StateKey,
    validators::Validator,
};
use symbolon_verify::state_proof::check;

use crate::support::{Node, bytes};

/// The four provinces of the node's network.
const PROVINCES: [&str; 4] = ["11", "31", "44", "51"];

fn propose(node: &Node, by: &str, action: Action) -> u64 {
    let expires_at_height = node.store.view().unwrap().tip().height + 100;
    let operation = Operation::Propose { action: Box::new(action), expires_at_height };
    node.apply(&node.by_province(by, vec![operation]))
}

/// The digest of the action of a proposal.
fn about(node: &Node, number: u32) -> Digest {
    let view = node.store.view().unwrap();
    let record: Option<ProposalRecord> = view.record(&StateKey::Proposal(number)).unwrap();
    record.unwrap().action.digest()
}

fn approving(node: &Node, proposal: u32) -> Operation {
    Operation::Approve { proposal, action: about(node, proposal) }
}

fn rejecting(node: &Node, proposal: u32) -> Operation {
    Operation::Reject { proposal, action: about(node, proposal) }
}

fn parameters(idle: u64) -> Action {
    Action::SetParameters {
        idle_block_interval_ms: idle,
        max_staleness_ms: 60_000,
        bundle_max_age_ms: 600_000,
    }
}

fn numbers(list: &Value) -> Vec<u64> {
    list["items"].as_array().unwrap().iter().map(|p| p["number"].as_u64().unwrap()).collect()
}

/// One of every kind that is possible in a network of four.
pub(crate) fn actions(node: &Node) -> Vec<Action> {
    let key = |seed: u8| SecretKey::from_seed(&[seed; 32]).public_key();
    let set = node.genesis.validator_set();
    let rotated = Validator { key: key(0x51), ..set.validators()[2].clone() };
    let entry = node.genesis.licence_types[0].clone();
    let entry = symbolon_ledger::catalogue::LicenceTypeRecord {
        index: 0,
        schema_version: entry.schema_version + 1,
        ..entry
    };
    vec![
        Action::AddProvince {
            province: Box::new(NewProvince {
                code: "62".parse().unwrap(),
                name_zh: "甘肃省".parse().unwrap(),
                name_en: "Gansu".parse().unwrap(),
                issuer_origin: "https://gansu.province.example".parse().unwrap(),
                authority_key: key(0x52),
                status_key: None,
            }),
        },
        Action::RotateValidator { validator: Box::new(rotated) },
        Action::SetLicenceType { entry: Box::new(entry) },
        Action::RotateProvinceKey {
            province: "44".parse().unwrap(),
            key_id: 0,
            key: Box::new(NewKey {
                key: key(0x53),
                purpose: KeyPurpose::Transaction,
                valid_until: None,
            }),
        },
        parameters(5_000),
        Action::ActivateFeature { feature: 1, height: 500 },
        Action::ActivateFeature { feature: 99, height: 900 },
    ]
}

#[test]
fn proposals_are_listed_shown_counted_and_proven() {
    let node = Node::start();
    let names: Vec<&str> = actions(&node)
        .into_iter()
        .map(|action| {
            let name = action.name();
            propose(&node, "11", action);
            name
        })
        .collect();
    let list = node.get("/v1/proposals").json();
    let shown = list["items"].as_array().unwrap().iter().map(|p| p["action"]["name"].clone());
    assert_eq!(shown.collect::<Vec<_>>(), names);
    for number in [4, 5] {
        for by in &PROVINCES[1..3] {
            node.apply(&node.by_province(by, vec![approving(&node, number)]));
        }
    }
    node.apply(&node.by_province("31", vec![rejecting(&node, 0)]));

    let executed = node.get("/v1/proposals/4").json();
    let counted = ["state", "approvals", "needed"].map(|field| executed[field].clone());
    assert_eq!(counted, [json!("executed"), json!(3), json!(3)]);
    // A height, where `expires_at` of challenges and tickets is a time.
    let life = executed["expires_at_height"].as_u64().zip(executed["proposed_at"].as_u64());
    assert_eq!(life.map(|(end, begin)| end - begin), Some(99));
    assert_eq!((&executed["silent"], &executed["proposer"]), (&json!(["51"]), &json!("11")));
    let parameters = node.get("/v1/parameters").json();
    assert_eq!(parameters["idle_block_interval_ms"], 5_000);
    let feature =
        json!([{"feature": 1, "name": "province_reversal", "from": 500, "active": false}]);
    assert_eq!(parameters["features"], feature);

    let open = node.get("/v1/proposals/0?proof=true").json();
    let vote =
        json!({"province": "31", "approves": false, "at": open["votes"][1]["at"], "counts": true});
    assert_eq!((&open["state"], &open["votes"][1]), (&json!("open"), &vote));
    assert_eq!(open["action"]["issuer_origin"], "https://gansu.province.example");
    assert_eq!(node.get("/v1/proposals/6").json()["action"]["feature_name"], Value::Null);
    let proof = check(&bytes(&open["proof"]), &node.trust()).unwrap();
    let record: ProposalRecord = proof.get(&StateKey::Proposal(0)).unwrap().unwrap();
    assert_eq!(record.to_bytes(), bytes(&open["record"]));
    assert_eq!(record.status, ProposalStatus::Open);
    assert!(proof.get::<ValidatorsRecord>(&StateKey::Validators).unwrap().is_some());
}

#[test]
fn pages_of_proposals_are_whole_and_the_open_ones_are_told_apart() {
    let node = Node::start();
    assert_eq!(node.get("/v1/proposals").json()["items"], json!([]));
    for by in ["11", "11", "44", "44", "31"] {
        propose(&node, by, parameters(700));
    }
    for by in &PROVINCES[..3] {
        let words = vec![rejecting(&node, 1)];
        if *by != "44" {
            node.apply(&node.by_province(by, words));
        }
    }
    let first = node.get("/v1/proposals?limit=2&proof=true").json();
    assert_eq!((numbers(&first), &first["next"]), (vec![0, 1], &json!("1")));
    let proof = check(&bytes(&first["proof"]), &node.trust()).unwrap();
    assert!(proof.bytes_at(&StateKey::Proposal(1)).unwrap().is_some());
    let rest = node.get("/v1/proposals?limit=9&after=1").json();
    assert_eq!((numbers(&rest), &rest["next"]), (vec![2, 3, 4], &Value::Null));
    assert_eq!(node.get("/v1/proposals/1").json()["state"], "rejected");
    let open = node.get("/v1/proposals?open=true&limit=3").json();
    assert_eq!((numbers(&open), &open["next"]), (vec![0, 2, 3], &json!("3")));
    assert_eq!(numbers(&node.get("/v1/proposals?open=true&after=3").json()), vec![4]);
    assert_eq!(node.get("/v1/proposals?after=4294967295").json()["items"], json!([]));

    let none = node.get("/v1/proposals/77?proof=true");
    assert_eq!((none.status, none.problem().as_str()), (404, "unknown_proposal"));
    let proof = check(&bytes(&none.json()["proof"]), &node.trust()).unwrap();
    assert_eq!(proof.get::<ProposalRecord>(&StateKey::Proposal(77)).unwrap(), None);
    for bad in ["07", "-1", "x", "4294967296"] {
        let answer = node.get(&format!("/v1/proposals/{bad}"));
        assert_eq!((answer.status, answer.problem().as_str()), (400, "bad_number"), "{bad}");
    }
}

/// A suspension before the theft, one that is ended since, and one of another key are not reversed.
#[test]
fn what_a_stolen_key_suspended_and_released_is_listed_with_how_it_stands_now() {
    let node = Node::start();
    node.reserve_slots("44");
    let licences: Vec<_> = (0..4).map(|slot| node.issue("44", slot)).collect();
    let [before, suspended, resumed, released] = &licences[..] else { panic!("four") };
    let say = |operation| node.apply(&node.by_agency("44", vec![operation]));
    let suspend = |cid| Operation::Suspend { cid };
    say(suspend(before.cid));
    let (agency, to) = (node.agency("44"), node.agency("51"));
    let path = format!("/v1/agencies/{agency}/reversals?key_id=0");
    let two = vec![suspend(suspended.cid), suspend(resumed.cid)];
    let stolen = node.apply(&node.by_agency("44", two));
    say(Operation::TransferOut { cid: released.cid, to });
    say(Operation::Resume { cid: resumed.cid });
    let mark = Operation::MarkCompromised { agency, key_id: 0, from_height: stolen };
    node.apply(&node.by_province("44", vec![mark]));

    let all = node.get(&path).json();
    assert_eq!((&all["from_height"], &all["next"]), (&json!(stolen), &Value::Null));
    let shown: Vec<_> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            let text = |name: &str| item[name].as_str().unwrap().to_owned();
            (text("operation"), text("cid"), text("status"), item["reversible"] == json!(true))
        })
        .collect();
    let expected = [
        ("suspend", suspended, "suspended", true),
        ("suspend", resumed, "active", false),
        ("transfer_out", released, "transfer_pending", true),
    ]
    .map(|(done, licence, status, open)| {
        (done.to_owned(), licence.cid.to_string(), status.to_owned(), open)
    });
    assert_eq!(shown, expected);
    // Page by page it is the same, and an earlier height finds more.
    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let page = node.get(&format!("{path}&limit=1{after}")).json();
        paged.extend(page["items"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(json!(paged), all["items"]);
    let earlier = node.get(&format!("{path}&from_height=0")).json();
    assert_eq!(earlier["items"].as_array().unwrap().len(), 4);
    let other_key = node.get(&path.replace("key_id=0", "key_id=1")).json();
    assert_eq!(other_key["items"], json!([]));
    for (path, status, code) in [
        (path.replace("key_id=0", "key_id=9"), 404, "unknown_key"),
        (format!("{path}&after=x"), 400, "bad_query"),
        ("/v1/agencies/11100000000013127D/reversals?key_id=0".into(), 404, "unknown_agency"),
    ] {
        let answer = node.get(&path);
        assert_eq!((answer.status, answer.problem().as_str()), (status, code), "{path}");
    }
}
