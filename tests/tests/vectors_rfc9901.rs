//! The examples of RFC 9901, read by our code.
//!
//! They sign with ES256 and nest their disclosures, which this network's profile refuses
//! (docs/spec/credential.md). What must hold all the same: digests and `sd_hash` come out as the RFC
//! has them, the text falls into the same parts, and each step towards the profile is refused for
//! the one reason that is left.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use serde_json::{Value, json};
use symbolon_credential::{
    encoding::{from_base64url, parse_json, to_base64url},
    sd_jwt::{DisclosureError, KeyBinding, ParseError, Parsed, bind, digest},
};
use symbolon_ledger::keys::SecretKey;

fn rfc() -> Value {
    serde_json::from_str(include_str!("../vectors/rfc9901.json")).unwrap()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap()
}

fn issuer() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

fn holder() -> SecretKey {
    SecretKey::from_seed(&[2; 32])
}

fn decoded(part: &str) -> Value {
    parse_json(&from_base64url(part).unwrap()).unwrap()
}

#[test]
fn digests_are_those_of_the_rfc() {
    let rfc = rfc();
    for example in rfc["disclosures"].as_array().unwrap() {
        let disclosure = text(example, "disclosure");
        assert_eq!(digest(disclosure), text(example, "digest"), "{example}");
        let json = from_base64url(disclosure).unwrap();
        assert_eq!(String::from_utf8(json).unwrap(), text(example, "json"));
    }
    let payload = decoded(text(&rfc, "sd_jwt").split('.').nth(1).unwrap());
    let known = |found: &Value| {
        rfc["disclosures"].as_array().unwrap().iter().any(|d| d["digest"] == *found)
    };
    assert!(payload["_sd"].as_array().unwrap().iter().all(known), "section 5.1 lists them all");
}

#[test]
fn sd_hash_is_that_of_the_rfc() {
    let rfc = rfc();
    let presentation = &rfc["presentation"];
    let binding = KeyBinding {
        audience: text(presentation, "aud").to_owned(),
        nonce: text(presentation, "nonce").to_owned(),
        issued_at: presentation["iat"].as_u64().unwrap(),
    };
    let ours = bind(text(presentation, "sd_jwt"), &binding, &holder());
    let ours = ours.rsplit_once('~').unwrap().1;
    let theirs = text(presentation, "key_binding_jwt");
    let payload = |jwt: &str| decoded(jwt.split('.').nth(1).unwrap());
    assert_eq!(payload(ours), payload(theirs));
    assert_eq!(payload(ours)["sd_hash"], presentation["sd_hash"]);
}

/// The example of section 5.1 with another header and payload, signed by our issuer.
fn changed(sd_jwt: &str, change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let (jwt, disclosures) = sd_jwt.split_once('~').unwrap();
    let mut parts = jwt.split('.').take(2).map(decoded);
    let (mut header, mut payload) = (parts.next().unwrap(), parts.next().unwrap());
    change(&mut header, &mut payload);
    let part = |value: &Value| to_base64url(value.to_string().as_bytes());
    let input = format!("{}.{}", part(&header), part(&payload));
    let signature = issuer().sign(input.as_bytes());
    format!("{input}.{}~{disclosures}", to_base64url(&signature.0))
}

#[test]
fn each_step_towards_the_profile_leaves_one_reason_less() {
    let rfc = rfc();
    type Change = fn(&mut Value, &mut Value);
    let steps: [(Change, ParseError); 7] = [
        (|_, _| (), ParseError::Algorithm),
        (|h, _| h["alg"] = json!("Ed25519"), ParseError::Type),
        (|h, _| h["typ"] = json!("dc+sd-jwt"), ParseError::Member("kid")),
        (|h, _| h["kid"] = json!("3"), ParseError::NestedDisclosure),
        (|_, p| p["nationalities"] = json!([]), ParseError::Member("vct")),
        (|_, p| p["vct"] = json!("urn:elic:local:example:1"), ParseError::Member("cnf")),
        (|_, p| p["_sd_alg"] = json!("sha-512"), ParseError::Member("_sd_alg")),
    ];
    for example in [text(&rfc, "sd_jwt"), text(&rfc["presentation"], "sd_jwt")] {
        let mut given = example.to_owned();
        assert_eq!(Parsed::parse(&given).unwrap_err(), ParseError::Algorithm, "as it stands");
        for (change, expected) in &steps {
            given = changed(&given, *change);
            assert_eq!(Parsed::parse(&given).unwrap_err(), *expected);
        }
    }
}

/// The example of section 5.1, with all that the profile wants and nothing that it refuses.
fn profiled(sd_jwt: &str) -> String {
    let key = to_base64url(holder().public_key().as_bytes());
    changed(sd_jwt, |header, payload| {
        *header = json!({"alg": "Ed25519", "typ": "dc+sd-jwt", "kid": "3"});
        payload["vct"] = json!("urn:elic:local:example:1");
        payload["cnf"] = json!({"jwk": {"kty": "OKP", "crv": "Ed25519", "x": key}});
        payload["nationalities"] = json!([]);
    })
}

#[test]
fn the_parts_are_those_of_the_rfc() {
    let rfc = rfc();
    let whole = profiled(text(&rfc, "sd_jwt"));
    let (jwt, disclosures) = whole.split_once('~').unwrap();
    let disclosures: Vec<&str> = disclosures.split_terminator('~').collect();
    assert_eq!(disclosures.len(), 10, "section 5.1");
    let shown = |disclosures: &[&str]| {
        let text: String = disclosures.iter().map(|d| format!("{d}~")).collect();
        let parsed = Parsed::parse(&format!("{jwt}~{text}")).unwrap();
        let key = issuer().public_key();
        let checked = parsed.check_signature(&key).unwrap();
        checked.disclose().map(|shown| (shown.claims().clone(), shown.withheld()))
    };
    // Texts are claims of a licence: given_name, family_name, email, phone_number, birthdate.
    let texts = [0, 1, 2, 3, 6].map(|i| disclosures[i]);
    let (claims, withheld) = shown(&texts).unwrap();
    let found: Vec<(&str, &str)> = claims.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let expected = [
        ("birthdate", "1940-01-01"),
        ("email", "johndoe@example.com"),
        ("family_name", "Doe"),
        ("given_name", "John"),
        ("phone_number", "+1-202-555-0101"),
    ];
    assert_eq!(found, expected);
    assert_eq!(withheld, 8 - 5, "section 5.1 has eight digests in _sd");
    // true, an object, a number; then the elements of the array, whose digests are gone.
    for (which, expected) in [
        (4, DisclosureError::Malformed),
        (5, DisclosureError::Malformed),
        (7, DisclosureError::Malformed),
        (8, DisclosureError::NotSigned),
        (9, DisclosureError::NotSigned),
    ] {
        assert_eq!(shown(&[disclosures[which]]), Err(expected), "disclosure {which}");
    }
    assert_eq!(shown(&[texts[0], texts[0]]), Err(DisclosureError::Repeated));
}

#[test]
fn a_key_binding_of_the_rfc_is_cut_off_where_the_rfc_does() {
    let rfc = rfc();
    let presentation = &rfc["presentation"];
    let profiled = profiled(text(presentation, "sd_jwt"));
    let both = format!("{profiled}{}", text(presentation, "key_binding_jwt"));
    let parsed = Parsed::parse(&both).unwrap();
    assert_eq!(parsed.sd_jwt(), profiled);
    assert_eq!(parsed.key_binding_jwt(), presentation["key_binding_jwt"].as_str());
    let key = issuer().public_key();
    let refused = parsed.check_signature(&key).unwrap().key_binding();
    assert_eq!(refused, Err(symbolon_credential::sd_jwt::KeyBindingError::Header), "ES256");
}
