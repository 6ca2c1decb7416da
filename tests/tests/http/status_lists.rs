//! Signed status lists over HTTP: who signs, when anew, and how a lie is told from the truth.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use symbolon_credential::{
    encoding::from_base64url,
    sd_jwt::Parsed as Presentation,
    status_list::{
        Bits, Checked, Expected, LedgerPoint, ListAddress, ListedStatus, NewToken, Parsed,
        StatusList, lst,
    },
};
use symbolon_ledger::{
    hash::Digest,
    keys::{PublicKey, SecretKey},
    operation::{KeyPurpose, NewKey, Operation, RevocationClass},
    status_page::{INVALID, LIST_LEN, VALID, set_status},
};
use symbolon_verify::{
    state_proof::{self, CheckedState},
    status_list::{self as proofs, Contradiction, NoContradiction, StatusListError},
};

use super::support::{Answer, Licence, Node, bytes};

/// The first list of the province of the node under test.
const LIST: &str = "/status-lists/44/0";
const UNSIGNED: &str = "/v1/status-lists/44/0";

impl Node {
    fn now_s(&self) -> u64 {
        self.now_ms.load(Ordering::SeqCst) / 1_000
    }

    /// Lets time pass, and a block of that time come.
    fn pass(&self, seconds: u64) {
        self.now_ms.fetch_add(seconds * 1_000, Ordering::SeqCst);
        self.commit();
    }

    /// The province's status key, from where stock software looks for it.
    fn published_key(&self, kid: &str) -> PublicKey {
        let metadata = self.get("/.well-known/jwt-vc-issuer/status-lists/44").json();
        let keys = metadata["jwks"]["keys"].as_array().unwrap();
        let key = keys.iter().find(|key| key["kid"] == kid).unwrap();
        PublicKey::from_bytes(&bytes(&key["x"])).unwrap()
    }

    fn token(&self) -> String {
        let answer = self.get(LIST);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        String::from_utf8(answer.body).unwrap()
    }

    /// The list, checked as a verifier does who knows the credential and nothing of the ledger.
    fn list_for(&self, licence: &Licence) -> (Checked, u64) {
        let status = Presentation::parse(&licence.text).unwrap();
        let issuer = self.keys_of("44").credential.public_key();
        let checked = status.check_signature(&issuer).unwrap();
        let reference = checked.status().unwrap();
        let token = Parsed::parse(&self.token()).unwrap();
        let key_id = token.claimed_key_id();
        let key = self.published_key(&key_id.to_string());
        let uri = reference.uri.as_str();
        let expected = Expected { uri, key_id, key: &key, now_s: self.now_s(), seen: None };
        (token.check(&expected).unwrap(), reference.index)
    }

    /// Both proofs that show a lie about a licence.
    fn proofs_of(&self, licence: &Licence) -> Vec<CheckedState> {
        let licence = self.get(&format!("/v1/licences/{}", licence.cid)).json();
        let province = self.get("/v1/provinces/44?proof=true").json();
        let check =
            |answer: &Value| state_proof::check(&bytes(&answer["proof"]), &self.trust()).unwrap();
        vec![check(&licence), check(&province)]
    }

    /// A list that says what it likes, signed by the province's own key.
    fn signed(&self, packed: &[u8], issued_at: u64, ledger: LedgerPoint) -> Parsed {
        let address = ListAddress::parse(&self.uri()).unwrap();
        let lst = lst(packed);
        let new = NewToken { address: &address, key_id: 1, issued_at, ledger, lst: &lst };
        Parsed::parse(&new.sign(&self.keys_of("44").status)).unwrap()
    }

    fn uri(&self) -> String {
        let province = self.genesis.provinces.iter().find(|p| p.code.as_str() == "44").unwrap();
        province.issuer_origin.status_list(&province.code, 0)
    }

    fn projection(&self, query: &str) -> (Value, StatusList) {
        let answer = self.get(&format!("{UNSIGNED}{query}")).json();
        let bits = Bits::of(answer["bits"].as_u64().unwrap()).unwrap();
        let list = StatusList::inflate(bits, answer["lst"].as_str().unwrap()).unwrap();
        (answer, list)
    }

    fn point(&self, height: u64) -> (u64, LedgerPoint) {
        let header = self.get(&format!("/v1/blocks/{height}")).json()["header"].clone();
        let state_root: Digest = header["state_root"].as_str().unwrap().parse().unwrap();
        (header["time_ms"].as_u64().unwrap() / 1_000, LedgerPoint { height, state_root })
    }
}

fn payload(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&from_base64url(part).unwrap()).unwrap()
}

fn refused(answer: &Answer, status: u16, code: &str) -> Value {
    assert_eq!((answer.status, answer.problem().as_str()), (status, code));
    answer.json()
}

#[test]
fn stock_software_reads_the_status_of_a_licence_from_its_list() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 77);
    let status = || {
        let (list, index) = node.list_for(&licence);
        list.status(index).unwrap()
    };
    assert_eq!(status(), ListedStatus::Valid);
    let cid = licence.cid;
    node.apply(&node.by_agency("44", vec![Operation::Suspend { cid }]));
    assert_eq!(status(), ListedStatus::Suspended);
    node.apply(&node.by_agency("44", vec![Operation::Resume { cid }]));
    assert_eq!(status(), ListedStatus::Valid);
    let revoke = Operation::Revoke { cid, class: RevocationClass::Penalty };
    node.apply(&node.by_agency("44", vec![revoke]));
    assert_eq!(status(), ListedStatus::Invalid);

    let answer = node.get_with(LIST, &[("origin", "https://wallet.example")]);
    assert_eq!(answer.headers["content-type"], "application/statuslist+jwt");
    assert_eq!(answer.headers["cache-control"], "public, max-age=300");
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    let tag = answer.headers["etag"].clone();
    let again = node.get_with(LIST, &[("if-none-match", &format!("\"x\", W/{tag}"))]);
    assert_eq!((again.status, again.body.len(), &again.headers["etag"]), (304, 0, &tag));
}

#[test]
fn a_list_is_there_from_the_founding_block_on() {
    let node = Node::start();
    let token = payload(&node.token());
    assert_eq!(token["ledger"]["height"], 0);
    assert_eq!((&token["sub"], &token["iat"]), (&json!(node.uri()), &json!(node.now_s())));
    let (projection, list) = node.projection("");
    assert_eq!(projection["state_root"], token["ledger"]["state_root"]);
    assert_eq!((list.entries(), projection["height"].as_u64()), (1 << 20, Some(0)));
}

#[test]
fn a_list_is_signed_anew_when_it_changes_or_half_its_time_has_passed() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    let first = node.token();
    assert_eq!(node.token(), first);
    // Blocks that change nothing on it.
    node.pass(149);
    node.issue("44", 1);
    assert_eq!(node.token(), first);
    node.pass(1);
    let second = node.token();
    assert_eq!(payload(&second)["iat"], json!(payload(&first)["iat"].as_u64().unwrap() + 150));
    assert_eq!(payload(&second)["status_list"], payload(&first)["status_list"]);
    let suspend = Operation::Suspend { cid: licence.cid };
    let height = node.apply(&node.by_agency("44", vec![suspend]));
    let third = node.token();
    assert_eq!(payload(&third)["ledger"]["height"], height);
    assert_ne!(payload(&third)["status_list"], payload(&second)["status_list"]);
}

#[test]
fn who_does_not_sign_says_who_does_and_where_the_list_is_unsigned() {
    let node = Node::start();
    let problem = refused(&node.get("/status-lists/11/0"), 404, "not_signed_here");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("https://beijing.province.example/status-lists/11/0"), "{detail}");
    assert!(problem["hint"].as_str().unwrap().contains("/v1/status-lists/11/0"), "{problem}");
    assert_eq!(node.get("/v1/status-lists/11/0").status, 200);
}

#[test]
fn only_the_key_that_the_province_has_named_signs() {
    let node = Node::start();
    node.token();
    let other = SecretKey::from_seed(&[77; 32]).public_key();
    let key = NewKey { key: other, purpose: KeyPurpose::Status, valid_until: None };
    node.apply(&node.by_province("44", vec![Operation::SetStatusKey { key }]));
    let problem = refused(&node.get(LIST), 404, "not_signed_here");
    assert!(problem["detail"].as_str().unwrap().contains("this node's key is not"), "{problem}");
    // The old key checks lists that are still about, for a day.
    let published = || {
        let metadata = node.get("/.well-known/jwt-vc-issuer/status-lists/44").json();
        let keys = metadata["jwks"]["keys"].as_array().unwrap().clone();
        keys.iter().map(|k| k["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(published(), ["1", "2"]);
    node.pass(86_399);
    assert_eq!(published(), ["1", "2"]);
    node.pass(2);
    assert_eq!(published(), ["2"]);
}

#[test]
fn wrong_addresses_and_times_are_refused_by_name() {
    let node = Node::start();
    for list in ["01", "-1", "4096", "x", "%20", "4294967296"] {
        for path in ["/status-lists/44", "/v1/status-lists/44"] {
            refused(&node.get(&format!("{path}/{list}")), 400, "bad_list");
        }
    }
    refused(&node.get("/status-lists/4/0"), 400, "bad_province");
    refused(&node.get("/status-lists/12/0"), 404, "unknown_province");
    refused(&node.get("/status-lists/44/1"), 404, "unknown_status_list");
    refused(&node.get("/v1/status-lists/44/1"), 404, "unknown_status_list");
    let problem = refused(&node.get(&format!("{LIST}?time=1795392000")), 501, "no_signed_history");
    assert!(problem["hint"].as_str().unwrap().contains(UNSIGNED), "{problem}");
    refused(&node.get(&format!("{LIST}?height=0")), 400, "bad_query");
    refused(&node.get(&format!("{UNSIGNED}?height=1")), 404, "unknown_block");
    refused(&node.get(&format!("{UNSIGNED}?height=x")), 400, "bad_query");
}

#[test]
fn any_height_of_late_can_be_asked_for() {
    let node = Node::start();
    node.reserve_slots("44");
    let cid = node.issue("44", 3).cid;
    let suspended = node.apply(&node.by_agency("44", vec![Operation::Suspend { cid }]));
    let resumed = node.apply(&node.by_agency("44", vec![Operation::Resume { cid }]));
    node.commit();
    for (height, expected) in [(0, 0), (suspended - 1, 0), (suspended, 2), (resumed, 0)] {
        let (answer, list) = node.projection(&format!("?height={height}"));
        assert_eq!(list.value(3), Ok(expected), "height {height}");
        let (time_s, point) = node.point(height);
        assert_eq!(answer["state_root"], json!(point.state_root.to_string()));
        assert_eq!(answer["time_ms"].as_u64().unwrap() / 1_000, time_s);
    }
    let (newest, _) = node.projection("");
    let tip = resumed + 1;
    assert_eq!(node.projection(&format!("?height={tip}")).0, newest);
}

#[test]
fn a_list_that_tells_the_truth_agrees_with_every_proof() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 3);
    let revoke = Operation::Revoke { cid: licence.cid, class: RevocationClass::Penalty };
    node.apply(&node.by_agency("44", vec![revoke]));
    let states = node.proofs_of(&licence);
    let token = Parsed::parse(&node.token()).unwrap();
    let list = proofs::check(&token, &node.uri(), &states, node.now_s(), None).unwrap();
    let held = proofs::contradiction(&list, &licence.cid, &states);
    assert_eq!(held, Err(NoContradiction::Agreement));
    node.pass(20);
    let later = node.proofs_of(&licence);
    assert_eq!(proofs::contradiction(&list, &licence.cid, &later), Err(NoContradiction::Agreement));
}

#[test]
fn every_lie_is_proven_from_the_list_and_state_proofs_alone() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 3);
    let revoke = Operation::Revoke { cid: licence.cid, class: RevocationClass::Penalty };
    let revoked = node.apply(&node.by_agency("44", vec![revoke]));
    node.pass(5);
    let tip = revoked + 1;
    let states = node.proofs_of(&licence);
    let cid = licence.cid;
    let (truth, empty) = (node.projection("").1, vec![0; LIST_LEN]);
    let held = |packed: &[u8], issued_at: u64, ledger: LedgerPoint| {
        let token = node.signed(packed, issued_at, ledger);
        let list = proofs::check(&token, &node.uri(), &states, issued_at, None).unwrap();
        proofs::contradiction(&list, &cid, &states)
    };
    let (issued_at, point) = node.point(tip);
    assert_eq!(held(truth.packed(), issued_at, point), Err(NoContradiction::Agreement));

    // Says valid of a revoked licence.
    let (listed, proven) = (ListedStatus::of(VALID), ListedStatus::of(INVALID));
    let expected = Contradiction::Status { cid, listed, proven };
    assert_eq!(held(&empty, issued_at, point), Ok(expected.clone()));
    // Of an earlier height, when it was revoked already.
    let (then, earlier) = node.point(revoked);
    assert_eq!(held(&empty, then, earlier), Ok(expected));
    // Says invalid before anybody had the slot.
    let (founded, founding) = node.point(0);
    let mut early = empty.clone();
    set_status(&mut early, 3, INVALID);
    let expected = Contradiction::Status { cid, listed: proven, proven: listed };
    assert_eq!(held(&early, founded, founding), Ok(expected));

    // Names a state that never was.
    let named = Digest([7; 32]);
    let forged = LedgerPoint { state_root: named, ..point };
    let certified = point.state_root;
    let expected = Contradiction::StateRoot { height: tip, named, certified };
    assert_eq!(held(truth.packed(), issued_at, forged), Ok(expected));
    // Says that it is newer than its block.
    let (named_s, certified_s) = (issued_at + 30, issued_at);
    let expected = Contradiction::IssuedAt { height: tip, named_s, certified_s };
    assert_eq!(held(truth.packed(), issued_at + 30, point), Ok(expected));
    // Shows the state before the revocation, long after it.
    let (_, before) = node.point(revoked - 1);
    let expected = Contradiction::Outdated { height: revoked - 1, certified_height: tip };
    assert_eq!(held(&empty, issued_at + 60, before), Ok(expected));
}

#[test]
fn what_cannot_be_compared_is_no_lie() {
    let node = Node::start();
    node.reserve_slots("44");
    node.reserve_slots("51");
    let licence = node.issue("44", 3);
    let elsewhere = node.issue("51", 3);
    let cid = licence.cid;
    let suspended = node.apply(&node.by_agency("44", vec![Operation::Suspend { cid }]));
    let states = node.proofs_of(&licence);
    let list_of = |height: u64| {
        let (issued_at, point) = node.point(height);
        let token = node.signed(&vec![0; LIST_LEN], issued_at, point);
        proofs::check(&token, &node.uri(), &states, issued_at, None).unwrap()
    };
    let compare = |list: &Checked, licence: &Licence, states: &[CheckedState]| {
        proofs::contradiction(list, &licence.cid, states).unwrap_err()
    };
    // Between issue and suspension it may have been anything, as far as the proof says.
    let listed = suspended - 1;
    let expected = NoContradiction::OtherTime { proven: suspended, listed };
    assert_eq!(compare(&list_of(listed), &licence, &states), expected);
    // A list newer than the proof.
    node.commit();
    let listed = suspended + 1;
    let expected = NoContradiction::OtherTime { proven: suspended, listed };
    assert_eq!(compare(&list_of(listed), &licence, &states), expected);
    // A licence of another province, and one that is not on the ledger.
    let foreign = node.proofs_of(&elsewhere);
    let newest = list_of(listed);
    assert_eq!(compare(&newest, &elsewhere, &foreign), NoContradiction::OtherList);
    let (never, _) = node.prepare_licence("44", 9);
    let absent = node.get(&format!("/v1/licences/{}", never.cid)).json();
    let absent = state_proof::check(&bytes(&absent["proof"]), &node.trust()).unwrap();
    assert_eq!(compare(&newest, &never, &[absent]), NoContradiction::NoLicence);
    // Without the proof that says whose licence it is.
    let province = &states[1..];
    assert!(matches!(compare(&newest, &licence, province), NoContradiction::Lookup(_)));
    assert!(matches!(compare(&newest, &licence, &[]), NoContradiction::Lookup(_)));
}

#[test]
fn a_list_is_checked_by_the_key_on_the_ledger_and_by_no_other() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 3);
    let states = node.proofs_of(&licence);
    let (issued_at, point) = node.point(2);
    let check = |token: &str, states: &[CheckedState]| {
        let token = Parsed::parse(token).unwrap();
        proofs::check(&token, &token.claimed_address().uri(), states, issued_at, None)
    };
    let address = ListAddress::parse(&node.uri()).unwrap();
    let lst = lst(&[0; LIST_LEN]);
    let sign = |address: &ListAddress, key_id: u32, key: &SecretKey| {
        NewToken { address, key_id, issued_at, ledger: point, lst: &lst }.sign(key)
    };
    let keys = node.keys_of("44");
    assert!(check(&sign(&address, 1, &keys.status), &states).is_ok());
    let authority = check(&sign(&address, 0, &keys.authority), &states);
    assert_eq!(authority, Err(StatusListError::Purpose { key_id: 0 }));
    let foreign =
        ListAddress { origin: "https://elsewhere.example".parse().unwrap(), ..address.clone() };
    let elsewhere = check(&sign(&foreign, 1, &keys.status), &states);
    assert_eq!(elsewhere, Err(StatusListError::Province));
    let agency = check(&sign(&address, 1, &keys.credential), &states).unwrap_err();
    assert!(matches!(agency, StatusListError::Check(_)), "{agency}");
    let unproven = check(&sign(&address, 2, &keys.status), &states).unwrap_err();
    assert!(matches!(unproven, StatusListError::Lookup(_)), "{unproven}");
    let nothing = check(&sign(&address, 1, &keys.status), &[]).unwrap_err();
    assert!(matches!(nothing, StatusListError::Lookup(_)), "{nothing}");

    // The key ends at height 3: what it signs of height 4 counts no more.
    let other = SecretKey::from_seed(&[77; 32]).public_key();
    let key = NewKey { key: other, purpose: KeyPurpose::Status, valid_until: None };
    let ended = node.apply(&node.by_province("44", vec![Operation::SetStatusKey { key }]));
    node.commit();
    let states = node.proofs_of(&licence);
    let token = |height: u64| {
        let (issued_at, ledger) = node.point(height);
        let new = NewToken { address: &address, key_id: 1, issued_at, ledger, lst: &lst };
        check(&new.sign(&keys.status), &states)
    };
    assert!(token(ended).is_ok());
    let over = StatusListError::KeyNotValid { key_id: 1, height: ended + 1 };
    assert_eq!(token(ended + 1), Err(over));
}
