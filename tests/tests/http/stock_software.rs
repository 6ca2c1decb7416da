//! What SD-JWT VC software asks for that does not know the ledger: issuers' keys and types.

use serde_json::{Value, json};
use symbolon_credential::sd_jwt::Parsed;
use symbolon_ledger::{
    keys::{PublicKey, SecretKey},
    operation::{KeyPurpose, NewKey, Operation},
};

use super::support::{Node, TYPE, bytes};

fn credential_key(seed: u8) -> NewKey {
    let key = SecretKey::from_seed(&[seed; 32]).public_key();
    NewKey { key, purpose: KeyPurpose::Credential, valid_until: None }
}

fn kids(metadata: &Value) -> Vec<&str> {
    let keys = metadata["jwks"]["keys"].as_array().unwrap();
    keys.iter().map(|key| key["kid"].as_str().unwrap()).collect()
}

#[test]
fn the_keys_of_an_issuer_are_where_its_iss_says() {
    let node = Node::start();
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    let parsed = Parsed::parse(&licence.text).unwrap();
    // The place is the iss with the well-known words after its host; any node has all of them.
    let iss = parsed.claimed_iss();
    let path = iss.strip_prefix("https://guangdong.province.example").unwrap();
    let answer = node.get(&format!("/.well-known/jwt-vc-issuer{path}"));
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["cache-control"], "public, max-age=300");
    let metadata = answer.json();
    assert_eq!(metadata["issuer"], iss);
    assert_eq!(kids(&metadata), ["1"]);
    let key = &metadata["jwks"]["keys"][0];
    let expected = json!({"kty": "OKP", "crv": "Ed25519", "alg": "Ed25519", "use": "sig",
        "kid": parsed.key_id().to_string(), "x": key["x"]});
    assert_eq!(*key, expected);
    let key = PublicKey::from_bytes(&bytes(&key["x"])).unwrap();
    assert!(parsed.check_signature(&key).is_ok());

    let abroad = node.agency("11");
    let path = format!("/.well-known/jwt-vc-issuer/a/{abroad}");
    let issuer = format!("https://beijing.province.example/a/{abroad}");
    assert_eq!(node.get(&path).json()["issuer"], issuer);
}

#[test]
fn replaced_keys_stay_and_compromised_ones_go() {
    let node = Node::start();
    let agency = node.agency("44");
    let metadata = || node.get(&format!("/.well-known/jwt-vc-issuer/a/{agency}")).json();
    let rotate = Operation::RotateKey { agency, key_id: 1, key: credential_key(31) };
    node.apply(&node.by_agency("44", vec![rotate]));
    node.commit();
    assert_eq!(kids(&metadata()), ["1", "2"]);
    let stolen = Operation::MarkCompromised { agency, key_id: 1, from_height: 1 };
    node.apply(&node.by_province("44", vec![stolen]));
    assert_eq!(kids(&metadata()), ["2"]);
    // Keys for transactions are nobody's business here.
    let transaction = NewKey { purpose: KeyPurpose::Transaction, ..credential_key(32) };
    let add = Operation::AddKey { agency, key: transaction };
    node.apply(&node.by_province("44", vec![add]));
    assert_eq!(kids(&metadata()), ["2"]);
}

#[test]
fn a_type_is_described_as_its_credentials_are_written() {
    let node = Node::start();
    let answer = node.get(&format!("/vct/{TYPE}"));
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["cache-control"], "public, max-age=3600");
    let metadata = answer.json();
    assert_eq!(metadata["vct"], "urn:elic:local:driving-licence:1");
    assert_eq!(node.get(&format!("/vct/{TYPE}:1")).json(), metadata);
    let display = json!([{"locale": "zh-CN", "name": "机动车驾驶证"},
        {"locale": "en", "name": "Driving licence"}]);
    assert_eq!(metadata["display"], display);
    let name = json!({"path": ["name"], "mandatory": true, "sd": "always", "display": [
        {"locale": "zh-CN", "label": "姓名"}, {"locale": "en", "label": "Name"}]});
    assert_eq!(metadata["claims"][0], name);

    // What a credential has behind a digest and what stands open in it is what the metadata say.
    node.reserve_slots("44");
    let licence = node.issue("44", 0);
    let parsed = Parsed::parse(&licence.text).unwrap();
    assert_eq!(parsed.claimed_vct(), metadata["vct"]);
    let key = node.keys_of("44").credential.public_key();
    let disclosed = parsed.check_signature(&key).unwrap().disclose().unwrap();
    for claim in metadata["claims"].as_array().unwrap() {
        let key = claim["path"][0].as_str().unwrap();
        let shown = disclosed.claims().contains_key(key);
        assert!(shown || claim["mandatory"] == false, "{key} is nowhere");
    }
}

#[test]
fn open_claims_and_the_national_identifier_are_marked() {
    let node = Node::start();
    let metadata = node.get("/vct/11100000MB0143028R001").json();
    let sd = |key: &str| {
        let claims = metadata["claims"].as_array().unwrap();
        let claim = claims.iter().find(|claim| claim["path"] == json!([key])).unwrap();
        claim["sd"].as_str().unwrap().to_owned()
    };
    assert_eq!(sd("name"), "never");
    assert_eq!(sd("address"), "always");
    assert_eq!(sd("zzbs"), "always");
    let local = node.get(&format!("/vct/{TYPE}")).json();
    let claims = local["claims"].as_array().unwrap();
    assert!(claims.iter().all(|claim| claim["path"] != json!(["zzbs"])));
}

#[test]
fn who_is_not_there_is_said_by_name() {
    let node = Node::start();
    for (path, status, code) in [
        ("/.well-known/jwt-vc-issuer/a/11100000000013127D", 404, "unknown_issuer"),
        ("/.well-known/jwt-vc-issuer/a/11100000000013127E", 400, "bad_uscc"),
        ("/.well-known/jwt-vc-issuer/status-lists/12", 404, "unknown_issuer"),
        ("/.well-known/jwt-vc-issuer/status-lists/1", 400, "bad_province"),
        ("/.well-known/jwt-vc-issuer", 404, "not_found"),
        ("/vct/local:none", 404, "unknown_licence_type"),
        ("/vct/local:driving-licence:2", 404, "unknown_type_version"),
        ("/vct/nonsense", 400, "bad_licence_type"),
    ] {
        let answer = node.get(path);
        assert_eq!((answer.status, answer.problem().as_str()), (status, code), "{path}");
    }
}
