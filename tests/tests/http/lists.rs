//! Lists: whole whatever the size of a page, and proven within what a verifier reads.

use serde_json::{Value, json};
use symbolon_ledger::{
    codes::{Day, TypeCode},
    keys::SecretKey,
    operation::{Actor, Interval, KeyPurpose, NewKey, Operation, RevocationClass},
    records::{AgencyIndexRecord, KeyRecord, ProvinceRecord, Record as _, SlotBlockRecord},
    state::StateKey,
};
use symbolon_verify::state_proof::{CheckedState, check};

use crate::support::{Node, TYPE, bytes};

/// The items of all pages of `path`, and in how many pages they came.
fn all_pages(node: &Node, path: &str, limit: usize) -> (Vec<Value>, usize) {
    let (mut items, mut pages) = (Vec::new(), 0);
    let (path, mut after) = match path.split_once("after=") {
        Some((path, after)) => (path.trim_end_matches(['?', '&']), format!("&after={after}")),
        None => (path, String::new()),
    };
    loop {
        let separator = if path.contains('?') { '&' } else { '?' };
        let page = node.get(&format!("{path}{separator}limit={limit}{after}")).json();
        items.extend(page["items"].as_array().unwrap_or_else(|| panic!("{page}")).clone());
        pages += 1;
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return (items, pages),
        }
    }
}

/// The proof of an answer, as our own verifier reads it.
fn proven(node: &Node, answer: &Value) -> CheckedState {
    check(&bytes(&answer["proof"]), &node.trust()).unwrap()
}

fn types(node: &Node) -> Vec<TypeCode> {
    node.genesis.licence_types.iter().map(|t| t.code.clone()).collect()
}

#[test]
fn every_item_of_a_list_is_on_exactly_one_of_its_pages() {
    let node = Node::start();
    let mut codes = types(&node);
    let lengths: std::collections::BTreeSet<_> = codes.iter().map(|c| c.as_str().len()).collect();
    assert!(lengths.len() > 2, "codes of one length tell nothing");
    for by in ["11", "51"] {
        let recognise = |code: &TypeCode| Operation::Recognise {
            licence_type: code.clone(),
            from_province: "44".parse().unwrap(),
            interval: Interval { from: Day(0), until: None },
        };
        node.apply(&node.by_province(by, codes.iter().map(recognise).collect()));
    }
    codes.sort();
    for limit in 1..=codes.len() + 1 {
        let (items, pages) = all_pages(&node, "/v1/licence-types", limit);
        let found: Vec<_> = items.iter().map(|t| t["code"].as_str().unwrap()).collect();
        assert_eq!(found, codes.iter().map(TypeCode::as_str).collect::<Vec<_>>(), "by {limit}");
        assert_eq!(pages, codes.len().div_ceil(limit));
        let (items, _) = all_pages(&node, "/v1/recognition", limit);
        let name =
            |r: &Value| (r["recognising_province"].to_string(), r["licence_type"].to_string());
        let mut found: Vec<_> = items.iter().map(name).collect();
        assert_eq!(found.len(), 2 * codes.len(), "by {limit}");
        found.dedup();
        assert_eq!(found.len(), 2 * codes.len(), "repeated, by {limit}");
    }
}

#[test]
fn an_agency_shows_every_key_that_it_ever_had() {
    let node = Node::start();
    let agency = node.agency("44");
    let add = |n: u32| {
        let mut seed = [1; 32];
        seed[..4].copy_from_slice(&n.to_be_bytes());
        let key = SecretKey::from_seed(&seed).public_key();
        let key = NewKey { key, purpose: KeyPurpose::Credential, valid_until: None };
        Operation::AddKey { agency, key }
    };
    let numbers: Vec<u32> = (0..300).collect();
    // A block takes no more operations on keys than this from one signer.
    for part in numbers.chunks(30) {
        node.apply(&node.by_province("44", part.iter().copied().map(add).collect()));
    }
    let shown = node.get(&format!("/v1/agencies/{agency}?proof=true")).json();
    let next = shown["next_key"].as_u64().unwrap();
    assert!(next >= 300, "{next}");
    let ids: Vec<_> = shown["keys"].as_array().unwrap().iter().map(|k| k["id"].clone()).collect();
    assert_eq!(ids, (0..next).map(|id| json!(id)).collect::<Vec<_>>());
    let proof = proven(&node, &shown);
    for key in shown["keys"].as_array().unwrap() {
        let id = u32::try_from(key["id"].as_u64().unwrap()).unwrap();
        let place = StateKey::Key(Actor::Agency(agency), id);
        let record: KeyRecord = proof.get(&place).unwrap().unwrap();
        assert_eq!(record.to_bytes(), bytes(&key["record"]), "key {id}");
    }
}

#[test]
fn a_proof_covers_all_that_its_answer_shows() {
    let node = Node::start();
    node.reserve_slots("44");
    let agency = node.agency("44");
    let home = "44".parse().unwrap();
    let of_agency = Actor::Agency(agency);
    let of_province = Actor::Province(home);
    for (path, places) in [
        (
            "/v1/provinces?proof=true".to_owned(),
            vec![StateKey::Province(home), StateKey::Validators, StateKey::Key(of_province, 0)],
        ),
        (
            "/v1/provinces/44?proof=true".to_owned(),
            vec![StateKey::Province(home), StateKey::Validators, StateKey::Key(of_province, 0)],
        ),
        (
            "/v1/agencies?proof=true".to_owned(),
            vec![StateKey::Agency(agency), StateKey::Province(home)],
        ),
        (
            format!("/v1/agencies/{agency}?proof=true"),
            vec![
                StateKey::Agency(agency),
                StateKey::Province(home),
                StateKey::Key(of_agency, 0),
                StateKey::Key(of_agency, 1),
            ],
        ),
        (
            format!("/v1/agencies/{agency}/slots?proof=true"),
            vec![StateKey::Agency(agency), StateKey::SlotBlock(home, 0)],
        ),
    ] {
        let proof = proven(&node, &node.get(&path).json());
        for place in places {
            assert!(proof.bytes_at(&place).unwrap().is_some(), "{path}: {place:?}");
        }
    }
}

#[test]
fn the_proof_of_a_licence_covers_its_status_list_and_its_transfer() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    let to = node.agency("11");
    node.apply(&node.by_agency("44", vec![Operation::TransferOut { cid: licence.cid, to }]));
    let shown = node.get(&format!("/v1/licences/{}", licence.cid)).json();
    assert_eq!(shown["transfer_to"], json!(to.to_string()), "{shown}");
    let proof = proven(&node, &shown);
    let home: ProvinceRecord =
        proof.get(&StateKey::Province("44".parse().unwrap())).unwrap().unwrap();
    let uri = shown["status_list"]["uri"].as_str().unwrap();
    assert!(uri.starts_with(&home.issuer_origin.to_string()), "{uri}");
    let index = node.get(&format!("/v1/agencies/{to}")).json()["index"].as_u64().unwrap();
    let place = StateKey::AgencyByIndex(u32::try_from(index).unwrap());
    let target: AgencyIndexRecord = proof.get(&place).unwrap().unwrap();
    assert_eq!(target.uscc, to);
}

#[test]
fn a_page_ends_before_its_proof_is_too_large_to_be_read() {
    let node = Node::start();
    let agency = node.agency("44");
    for _ in 0..3 {
        let reserve = Operation::ReserveSlots { agency, blocks: 256 };
        node.apply(&node.by_province("44", vec![reserve]));
    }
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/v1/agencies/{agency}/slots?proof=true&limit=1000{after}");
        let page = node.get(&path).json();
        let proof = proven(&node, &page);
        for item in page["items"].as_array().unwrap() {
            let number = u32::try_from(item["block"].as_u64().unwrap()).unwrap();
            let place = StateKey::SlotBlock("44".parse().unwrap(), number);
            let record: SlotBlockRecord = proof.get(&place).unwrap().unwrap();
            assert_eq!(record.to_bytes(), bytes(&item["record"]), "block {number}");
            seen.push(number);
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert!(!after.is_empty(), "one proof had room for all, which tells nothing");
    assert_eq!(seen, (0..768).collect::<Vec<_>>());
}

#[test]
fn the_slots_of_one_agency_are_found_among_those_of_others() {
    let node = Node::start();
    let (one, other) = (node.agency("44"), "11100000000013127D".parse().unwrap());
    let key = SecretKey::from_seed(&[9; 32]).public_key();
    let register = Operation::RegisterAgency {
        agency: other,
        name: "某局".parse().unwrap(),
        scope: vec![TYPE.parse().unwrap()],
        keys: vec![NewKey { key, purpose: KeyPurpose::Transaction, valid_until: None }],
    };
    node.apply(&node.by_province("44", vec![register]));
    for (agency, blocks) in [(one, 30), (other, 250), (one, 3), (other, 30), (one, 1)] {
        node.apply(&node.by_province("44", vec![Operation::ReserveSlots { agency, blocks }]));
    }
    let numbers = |path: &str, limit| {
        let (items, _) = all_pages(&node, path, limit);
        items.iter().map(|i| i["block"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let of_one: Vec<_> = (0..30).chain(280..283).chain([313]).collect();
    for limit in [1, 7, 33, 34, 40] {
        assert_eq!(numbers(&format!("/v1/agencies/{one}/slots"), limit), of_one, "by {limit}");
    }
    let later = format!("/v1/agencies/{other}/slots?after=260");
    assert_eq!(numbers(&later, 10), (261..280).chain(283..313).collect::<Vec<_>>());
    assert!(numbers(&format!("/v1/agencies/{other}/slots?after=4294967295"), 10).is_empty());
    assert!(numbers("/v1/agencies/11100000000013127D/slots?free=true&after=312", 10).is_empty());
}

#[test]
fn the_newest_event_of_a_licence_is_never_cut_off() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    let cid = licence.cid;
    for _ in 0..5 {
        let pair = [Operation::Suspend { cid }, Operation::Resume { cid }];
        node.apply(&node.by_agency("44", pair.iter().cycle().take(256).cloned().collect()));
    }
    let last = Operation::Revoke { cid, class: RevocationClass::Penalty };
    node.apply(&node.by_agency("44", vec![last]));
    let path = format!("/v1/licences/{cid}/history");
    for limit in [1_000, 256, 7] {
        let (items, pages) = all_pages(&node, &path, limit);
        assert_eq!((items.len(), pages), (1_282, 1_282_usize.div_ceil(limit)), "by {limit}");
        let events: Vec<_> = items.iter().map(|e| e["event"].as_str().unwrap()).collect();
        assert_eq!((events[0], events[1], events[1_281]), ("issue", "suspend", "revoke"));
        let place = |e: &Value| (e["height"].as_u64(), e["operation_index"].as_u64());
        assert!(items.windows(2).all(|pair| place(&pair[0]) < place(&pair[1])), "by {limit}");
    }
    for wrong in ["x", "1", "1.2", "1.2.x", "-1.0.0", "1.0.0.0"] {
        let answer = node.get(&format!("{path}?after={wrong}"));
        assert_eq!((answer.status, answer.problem().as_str()), (400, "bad_query"), "{wrong}");
    }
}
