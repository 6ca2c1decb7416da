//! A credential's way from an agency to a verifier, and what may go wrong on it.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use proptest::prelude::*;
use serde_json::{Value, json};
use symbolon_ledger::{
    catalogue::LicenceTypeRecord,
    codes::{Origin, ProvinceCode, Uscc},
    hash::Digest,
    keys::SecretKey,
};

use super::*;
use crate::{
    claims::{ValidClaims, validate},
    date,
    encoding::from_base64url,
    identifier::NationalIdentifier,
    samples,
};

const SLOT: u32 = (3 << 20) | 77;

struct Desk {
    origin: Origin,
    agency: Uscc,
    province: ProvinceCode,
    licence_type: LicenceTypeRecord,
    claims: ValidClaims,
    identifier: Option<NationalIdentifier>,
    issuer: SecretKey,
    holder: SecretKey,
}

fn claims_of(licence_type: &LicenceTypeRecord, given: &[(&str, &str)]) -> ValidClaims {
    let given: BTreeMap<_, _> =
        given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    validate(licence_type, &given).unwrap()
}

fn driving_desk() -> Desk {
    let licence_type = samples::driving();
    let claims = claims_of(
        &licence_type,
        &[
            ("name", "陆园琼"),
            ("sex", "女"),
            ("nationality", "中国"),
            ("address", "广东省深圳市南山区文明里335号"),
            ("birth_date", "2000-04-21"),
            ("first_issue_date", "2020-02-05"),
            ("vehicle_class", "C1"),
            ("valid_from", "2022-11-11"),
            ("valid_until", "2028-11-11"),
            ("licence_number", "449999200004216907"),
            ("archive_number", "440007126037"),
        ],
    );
    desk(licence_type, claims, None)
}

fn business_desk() -> Desk {
    let licence_type = samples::business();
    let claims = claims_of(
        &licence_type,
        &[
            ("uscc", "91449999G2HB5KX2MH"),
            ("name", "深圳启明餐饮有限公司"),
            ("company_type", "有限责任公司"),
            ("legal_representative", "侯寒秋"),
            ("established", "2014-08-11"),
            ("address", "广东省湛江市赤坎区文明里51号"),
            ("business_scope", "软件开发"),
        ],
    );
    let agency: Uscc = "11410800MB18523953".parse().unwrap();
    let identifier = NationalIdentifier::new(&licence_type.code, &agency, "7K2Q", 1).unwrap();
    desk(licence_type, claims, Some(identifier))
}

fn desk(
    licence_type: LicenceTypeRecord,
    claims: ValidClaims,
    identifier: Option<NationalIdentifier>,
) -> Desk {
    Desk {
        origin: "https://guangdong.province.example".parse().unwrap(),
        agency: "11410800MB18523953".parse().unwrap(),
        province: "44".parse().unwrap(),
        licence_type,
        claims,
        identifier,
        issuer: SecretKey::from_seed(&[1; 32]),
        holder: SecretKey::from_seed(&[2; 32]),
    }
}

impl Desk {
    fn salts(&self) -> Vec<[u8; SALT_LEN]> {
        let count = disclosure_count(&self.licence_type, &self.claims, self.identifier.is_some());
        (0..count).map(|i| [u8::try_from(i).unwrap(); SALT_LEN]).collect()
    }

    fn issue_with(&self, salts: &[[u8; SALT_LEN]], bound: bool) -> Result<Issued, IssueError> {
        let holder = self.holder.public_key();
        let licence = Issue {
            origin: &self.origin,
            agency: &self.agency,
            key_id: 3,
            licence_type: &self.licence_type,
            claims: &self.claims,
            identifier: self.identifier.as_ref(),
            status_province: &self.province,
            status_slot: SLOT,
            holder_key: bound.then_some(&holder),
            issued_on: date::parse("2026-11-23").unwrap(),
        };
        issue(&licence, salts, &self.issuer)
    }

    fn issue(&self) -> Issued {
        self.issue_with(&self.salts(), true).unwrap()
    }
}

fn payload_of(text: &str) -> Value {
    let part = text.split('.').nth(1).unwrap();
    serde_json::from_slice(&from_base64url(part).unwrap()).unwrap()
}

/// A credential with this payload and header, signed by the desk's key.
fn signed(header: &Value, payload: &Value) -> String {
    let input = format!(
        "{}.{}",
        to_base64url(header.to_string().as_bytes()),
        to_base64url(payload.to_string().as_bytes())
    );
    let signature = SecretKey::from_seed(&[1; 32]).sign(input.as_bytes());
    format!("{input}.{}~", to_base64url(&signature.0))
}

fn header() -> Value {
    json!({"alg": "Ed25519", "typ": "dc+sd-jwt", "kid": "3"})
}

#[test]
fn the_payload_is_what_the_specification_says() {
    let issued = driving_desk().issue();
    let mut payload = payload_of(&issued.text);
    let digests = payload["_sd"].as_array().unwrap().clone();
    assert_eq!(digests.len(), 11);
    let mut sorted: Vec<&str> = digests.iter().map(|d| d.as_str().unwrap()).collect();
    sorted.sort_unstable();
    assert!(sorted.iter().zip(&digests).all(|(a, b)| *a == b.as_str().unwrap()));
    payload["_sd"] = json!([]);
    let expected = json!({
        "iss": "https://guangdong.province.example/a/11410800MB18523953",
        "vct": "urn:elic:local:driving-licence:1",
        "nbf": 1_668_096_000, // 2022-11-11T00:00:00+08:00
        "exp": 1_857_571_200, // 2028-11-12T00:00:00+08:00
        "cnf": {"jwk": {"kty": "OKP", "crv": "Ed25519",
            "x": to_base64url(SecretKey::from_seed(&[2; 32]).public_key().as_bytes())}},
        "status": {"status_list": {"idx": 77,
            "uri": "https://guangdong.province.example/status-lists/44/3"}},
        "_sd_alg": "sha-256",
        "_sd": [],
    });
    assert_eq!(payload, expected);
    let head = issued.text.split('.').next().unwrap();
    let head = String::from_utf8(from_base64url(head).unwrap()).unwrap();
    assert_eq!(head, r#"{"alg":"Ed25519","typ":"dc+sd-jwt","kid":"3"}"#);
}

#[test]
fn a_licence_without_end_has_no_exp_and_open_claims_stand_open() {
    let desk = business_desk();
    let issued = desk.issue_with(&desk.salts(), false).unwrap();
    let payload = payload_of(&issued.text);
    assert!(payload.get("exp").is_none() && payload.get("cnf").is_none());
    assert_eq!(payload["nbf"], date::not_before(date::parse("2026-11-23").unwrap()));
    assert_eq!(payload["name"], "深圳启明餐饮有限公司");
    assert!(payload.get("legal_representative").is_none());
    let parsed = Parsed::parse(&issued.text).unwrap();
    let checked = parsed.check_signature(&desk.issuer.public_key()).unwrap();
    let disclosed = checked.disclose().unwrap();
    assert_eq!(disclosed.claims()["zzbs"], desk.identifier.as_ref().unwrap().to_string());
    assert_eq!(disclosed.claims()["name"], "深圳启明餐饮有限公司");
    assert_eq!(checked.key_binding(), Ok(None));
}

#[test]
fn what_is_issued_reads_back() {
    let desk = driving_desk();
    let issued = desk.issue();
    let parsed = Parsed::parse(&issued.text).unwrap();
    assert_eq!(parsed.inner(), issued.inner);
    assert_eq!(parsed.claimed_cid(), Some(issued.cid));
    assert_eq!(parsed.key_id(), 3);
    assert_eq!(parsed.claimed_type(), Some((desk.licence_type.code.clone(), 1)));
    let issuer = parsed.claimed_issuer().unwrap();
    assert_eq!((issuer.origin, issuer.agency), (desk.origin.clone(), desk.agency));
    assert_eq!(parsed.sd_jwt(), issued.text);
    let checked = parsed.check_signature(&desk.issuer.public_key()).unwrap();
    let disclosed = checked.disclose().unwrap();
    let shown: Vec<_> = disclosed.claims().iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let mut expected: Vec<_> = desk.claims.iter().collect();
    expected.sort_unstable();
    assert_eq!(shown, expected);
    assert_eq!(disclosed.withheld(), 0);
    assert_eq!(checked.status().unwrap().index, 77);
    assert_eq!(desk.issue(), issued, "the same arguments give the same bytes");
}

#[test]
fn the_holder_chooses_what_to_show() {
    let desk = driving_desk();
    let parsed = Parsed::parse(&desk.issue().text).unwrap();
    let shown = parsed.present(&["name", "vehicle_class"]).unwrap();
    let shown = Parsed::parse(&shown).unwrap();
    let checked = shown.check_signature(&desk.issuer.public_key()).unwrap();
    let disclosed = checked.disclose().unwrap();
    assert_eq!(disclosed.claims().keys().collect::<Vec<_>>(), ["name", "vehicle_class"]);
    assert_eq!(disclosed.withheld(), 9);
    assert_eq!(shown.claimed_cid(), parsed.claimed_cid());
    assert_eq!(parsed.present(&["plate"]), Err(DisclosureError::NoSuchClaim));
}

#[test]
fn disclosures_that_the_issuer_did_not_sign_are_refused() {
    let desk = driving_desk();
    let text = desk.issue().text;
    let jwt = text.split('~').next().unwrap();
    let genuine = text.split('~').nth(1).unwrap();
    let check = |tail: &str, expected: DisclosureError| {
        let parsed = Parsed::parse(&format!("{jwt}~{tail}~")).unwrap();
        let checked = parsed.check_signature(&desk.issuer.public_key()).unwrap();
        assert_eq!(checked.disclose().unwrap_err(), expected, "{tail}");
    };
    check(&format!("{genuine}~{genuine}"), DisclosureError::Repeated);
    check(&to_base64url(br#"["AAAA","name","X"]"#), DisclosureError::NotSigned);
    check("AAAA", DisclosureError::NotSigned);
    check(&genuine[1..], DisclosureError::NotSigned);
}

#[test]
fn what_the_issuer_signed_amiss_is_refused() {
    let key = SecretKey::from_seed(&[1; 32]).public_key();
    let check = |content: &str, expected: DisclosureError| {
        let disclosure = to_base64url(content.as_bytes());
        let payload = json!({"iss": "i", "vct": "v", "open": "here", "_sd": [digest(&disclosure)]});
        let text = format!("{}{disclosure}~", signed(&header(), &payload));
        let parsed = Parsed::parse(&text).unwrap();
        assert_eq!(
            parsed.check_signature(&key).unwrap().disclose().unwrap_err(),
            expected,
            "{content}"
        );
    };
    check(r#"["s","exp","1"]"#, DisclosureError::Name);
    check(r#"["s","_sd","1"]"#, DisclosureError::Name);
    check(r#"["s","open","1"]"#, DisclosureError::Name);
    check(r#"["s","1"]"#, DisclosureError::Malformed);
    check(r#"["s","a",1]"#, DisclosureError::Malformed);
    check(r#"["s","a",{"x":1,"x":2}]"#, DisclosureError::Malformed);
    check(r#"{"s":1}"#, DisclosureError::Malformed);
    check("\"", DisclosureError::Malformed);
}

#[test]
fn malformed_texts_are_refused_with_the_reason() {
    let desk = driving_desk();
    let text = desk.issue().text;
    let jwt = text.split('~').next().unwrap();
    let check = |text: &str, expected: ParseError| {
        assert_eq!(Parsed::parse(text).unwrap_err(), expected, "{text:.60}");
    };
    let too_large = |what, actual, limit| ParseError::TooLarge { what, actual, limit };
    check("", ParseError::Parts);
    check("{}", ParseError::Characters);
    check(jwt, ParseError::Parts);
    check(&format!("{jwt}~~"), ParseError::Parts);
    check(&format!("{text} "), ParseError::Characters);
    check(&format!("{text}AAAA"), ParseError::Parts); // a disclosure without its ~
    check(&format!("{jwt}~a.b.c~"), ParseError::Parts);
    check("a.b~", ParseError::JwtParts);
    check(
        &"A".repeat(MAX_PRESENTATION_LEN + 1),
        too_large("the presentation in bytes", MAX_PRESENTATION_LEN + 1, MAX_PRESENTATION_LEN),
    );
    check(
        &format!("{}~", "A".repeat(MAX_JWT_LEN + 1)),
        too_large("the issuer-signed JWT in bytes", MAX_JWT_LEN + 1, MAX_JWT_LEN),
    );
    check(
        &format!("{jwt}~{}", "AAAA~".repeat(MAX_DISCLOSURES + 1)),
        too_large("the number of disclosures", MAX_DISCLOSURES + 1, MAX_DISCLOSURES),
    );
}

#[test]
fn headers_and_payloads_outside_the_profile_are_refused() {
    let payload = json!({"iss": "i", "vct": "v"});
    let check = |header: &Value, payload: &Value, expected: ParseError| {
        assert_eq!(Parsed::parse(&signed(header, payload)).unwrap_err(), expected, "{payload}");
    };
    let with = |name: &str, value: Value| {
        let mut header = header();
        header[name] = value;
        header
    };
    for alg in ["none", "EdDSA", "ES256", "HS256", "ed25519"] {
        check(&with("alg", json!(alg)), &payload, ParseError::Algorithm);
    }
    for typ in ["vc+sd-jwt", "JWT", "kb+jwt"] {
        check(&with("typ", json!(typ)), &payload, ParseError::Type);
    }
    check(&with("crit", json!(["x"])), &payload, ParseError::Critical);
    for kid in [json!(3), json!("03"), json!(""), json!("-1"), json!("4294967296")] {
        check(&with("kid", kid), &payload, ParseError::Member("kid"));
    }
    let member = |name: &str, value: Value, expected: ParseError| {
        let mut payload = payload.clone();
        payload[name] = value;
        check(&header(), &payload, expected);
    };
    member("iss", json!(1), ParseError::Member("iss"));
    member("vct", Value::Null, ParseError::Member("vct"));
    member("nbf", json!("1"), ParseError::Member("nbf"));
    member("exp", json!(-1), ParseError::Member("exp"));
    member("_sd_alg", json!("sha-384"), ParseError::Member("_sd_alg"));
    member("_sd", json!("x"), ParseError::Member("_sd"));
    member("_sd", json!(["a", "a"]), ParseError::RepeatedDigest);
    member("address", json!({"_sd": ["a"]}), ParseError::NestedDisclosure);
    member("list", json!([{"...": "a"}]), ParseError::NestedDisclosure);
    member("cnf", json!({"jwk": {"kty": "EC"}}), ParseError::Member("cnf"));
    let weak = to_base64url(&[0; 32]);
    let jwk = json!({"jwk": {"kty": "OKP", "crv": "Ed25519", "x": weak}});
    member("cnf", jwk, ParseError::Member("cnf"));
    member("status", json!({}), ParseError::Member("status"));
    let digests: Vec<String> = (0..=MAX_DIGESTS).map(|i| i.to_string()).collect();
    let large = ParseError::TooLarge {
        what: "the number of digests",
        actual: MAX_DIGESTS + 1,
        limit: MAX_DIGESTS,
    };
    member("_sd", json!(digests), large);
}

#[test]
fn only_the_issuers_key_will_do() {
    let desk = driving_desk();
    let text = desk.issue().text;
    let parsed = Parsed::parse(&text).unwrap();
    assert_eq!(parsed.check_signature(&desk.holder.public_key()).unwrap_err(), SignatureError);
    // The last character of 64 bytes holds four spare bits: the other spelling is not accepted.
    let end = text.find('~').unwrap();
    for to in ["A", "B", "Q", "g", "w", "_"] {
        let mut changed = text.clone();
        changed.replace_range(end - 1..end, to);
        if changed != text {
            let parsed = Parsed::parse(&changed).unwrap();
            assert!(parsed.check_signature(&desk.issuer.public_key()).is_err(), "{to}");
        }
    }
}

#[test]
fn names_of_other_networks_are_not_taken_for_ours() {
    let check = |iss: &str, vct: &str, issuer: bool, licence_type: bool| {
        let parsed = Parsed::parse(&signed(&header(), &json!({"iss": iss, "vct": vct}))).unwrap();
        assert_eq!(parsed.claimed_issuer().is_some(), issuer, "{iss}");
        assert_eq!(parsed.claimed_type().is_some(), licence_type, "{vct}");
    };
    let ours = "https://gd.province.example/a/11410800MB18523953";
    check(ours, "urn:elic:local:driving-licence:1", true, true);
    check(ours, "urn:elic:11100000000013338W011:12", true, true);
    check("https://gd.province.example/11410800MB18523953", "urn:elic:x:1", false, false);
    check("http://gd.province.example/a/11410800MB18523953", "urn:elic:local:x:01", false, false);
    check("https://gd.province.example/a/11410800MB18523954", "https://x.example", false, false);
}

fn binding() -> KeyBinding {
    KeyBinding {
        audience: "https://police.example".to_owned(),
        nonce: "n1".to_owned(),
        issued_at: 9,
    }
}

#[test]
fn a_key_binding_holds_for_its_presentation_and_key_only() {
    let desk = driving_desk();
    let whole = Parsed::parse(&desk.issue().text).unwrap();
    let shown = whole.present(&["name"]).unwrap();
    let check = |text: &str, expected: Result<Option<KeyBinding>, KeyBindingError>| {
        let parsed = Parsed::parse(text).unwrap();
        let checked = parsed.check_signature(&desk.issuer.public_key()).unwrap();
        assert_eq!(checked.key_binding(), expected);
    };
    let bound = bind(&shown, &binding(), &desk.holder);
    check(&bound, Ok(Some(binding())));
    check(&shown, Ok(None));
    check(&bind(&shown, &binding(), &desk.issuer), Err(KeyBindingError::Signature));
    let jwt = &bound[shown.len()..];
    check(&format!("{}{jwt}", whole.sd_jwt()), Err(KeyBindingError::OtherPresentation));
    check(&format!("{shown}a.b.c"), Err(KeyBindingError::Malformed));
    let part = |v: Value| to_base64url(v.to_string().as_bytes());
    let made = |h: Value, p: Value| format!("{shown}{}.{}.AAAA", part(h), part(p));
    let good = json!({"alg": "Ed25519", "typ": "kb+jwt"});
    check(&made(json!({"alg": "none", "typ": "kb+jwt"}), json!({})), Err(KeyBindingError::Header));
    check(&made(json!({"alg": "Ed25519", "typ": "JWT"}), json!({})), Err(KeyBindingError::Header));
    let no_hash = json!({"iat": 1, "aud": "a", "nonce": "n"});
    check(&made(good.clone(), no_hash), Err(KeyBindingError::Payload));
    check(&made(good, json!({"aud": "a", "nonce": "n"})), Err(KeyBindingError::Payload));
    let paper = desk.issue_with(&desk.salts(), false).unwrap().text;
    check(&bind(&paper, &binding(), &desk.holder), Err(KeyBindingError::NoHolderKey));
}

#[test]
fn nothing_is_issued_amiss() {
    let desk = driving_desk();
    let salts = desk.salts();
    let fails = |salts: &[[u8; SALT_LEN]]| desk.issue_with(salts, true).unwrap_err();
    assert_eq!(fails(&salts[1..]), IssueError::SaltCount { needed: 11, given: 10 });
    let mut repeated = salts.clone();
    repeated[3] = repeated[7];
    assert_eq!(fails(&repeated), IssueError::RepeatedSalt);

    let mut other = driving_desk();
    other.licence_type = samples::construction();
    assert!(matches!(other.issue_with(&salts, true), Err(IssueError::OtherType { .. })));

    let mut wrong = business_desk();
    let else_where: Uscc = "11370800MB28559184".parse().unwrap();
    let code = wrong.licence_type.code.clone();
    wrong.identifier = Some(NationalIdentifier::new(&code, &else_where, "7K2Q", 1).unwrap());
    assert_eq!(wrong.issue_with(&wrong.salts(), true), Err(IssueError::OtherIdentifier));

    let mut reserved = driving_desk();
    reserved.licence_type.claims[0].key = "exp".parse().unwrap();
    let given: BTreeMap<String, String> = desk
        .claims
        .iter()
        .map(|(k, v)| (if k == "name" { "exp" } else { k }.to_owned(), v.to_owned()))
        .collect();
    reserved.claims = validate(&reserved.licence_type, &given).unwrap();
    let refused = reserved.issue_with(&salts, true);
    assert_eq!(refused, Err(IssueError::ReservedName("exp".to_owned())));
}

#[test]
fn nothing_shows_a_claim() {
    let desk = driving_desk();
    let issued = desk.issue();
    let parsed = Parsed::parse(&issued.text).unwrap();
    let checked = parsed.check_signature(&desk.issuer.public_key()).unwrap();
    let disclosed = checked.disclose().unwrap();
    let shown = format!("{issued:?} {parsed:?} {checked:?} {disclosed:?} {:?}", desk.claims);
    for (key, value) in desk.claims.iter().filter(|(_, v)| v.chars().count() > 2) {
        assert!(!shown.contains(value), "{key}: {shown}");
    }
    let disclosure = issued.text.split('~').nth(1).unwrap();
    assert!(!shown.contains(disclosure));
}

proptest! {
    #[test]
    fn any_choice_of_claims_reads_back(mask in 0u32..2048, salt in any::<[u8; 16]>()) {
        let desk = driving_desk();
        let salts: Vec<[u8; 16]> = (0..11u8)
            .map(|i| { let mut s = salt; s[0] = s[0].wrapping_add(i); s })
            .collect();
        let issued = desk.issue_with(&salts, true).unwrap();
        let chosen: Vec<&str> = desk
            .claims
            .iter()
            .enumerate()
            .filter(|(i, _)| mask & (1 << i) != 0)
            .map(|(_, (key, _))| key)
            .collect();
        let shown = Parsed::parse(&issued.text).unwrap().present(&chosen).unwrap();
        let parsed = Parsed::parse(&shown).unwrap();
        let checked = parsed.check_signature(&desk.issuer.public_key()).unwrap();
        let disclosed = checked.disclose().unwrap();
        prop_assert_eq!(disclosed.claims().len(), chosen.len());
        for key in chosen {
            prop_assert_eq!(disclosed.claims()[key].as_str(), desk.claims.get(key).unwrap());
        }
        prop_assert_eq!(parsed.claimed_cid(), Some(issued.cid));
    }

    #[test]
    fn a_changed_byte_is_refused_or_judged(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_~.-]") {
        let desk = driving_desk();
        let text = desk.issue().text;
        let at = at.index(text.len());
        prop_assume!(text[at..=at] != to);
        let mut changed = text.clone();
        changed.replace_range(at..=at, &to);
        let holds = Parsed::parse(&changed).is_ok_and(|parsed| {
            parsed
                .check_signature(&desk.issuer.public_key())
                .is_ok_and(|checked| checked.disclose().is_ok() && checked.key_binding().is_ok())
        });
        prop_assert!(!holds);
    }

    #[test]
    fn nothing_panics(text in "[A-Za-z0-9_.~-]{0,200}|.{0,60}") {
        if let Ok(parsed) = Parsed::parse(&text) {
            let key = SecretKey::from_seed(&[1; 32]).public_key();
            let _ = parsed.check_signature(&key).map(|c| (c.disclose().is_ok(), c.key_binding()));
        }
    }
}

/// Names of signatures that hold.
#[derive(Default)]
struct Names(RefCell<BTreeSet<Digest>>);

impl SignatureMemory for Names {
    fn holds(&self, name: &Digest) -> bool {
        self.0.borrow().contains(name)
    }

    fn keep(&self, name: Digest) {
        self.0.borrow_mut().insert(name);
    }
}

#[test]
fn a_remembered_signature_vouches_for_no_other_text_and_no_other_key() {
    let desk = driving_desk();
    let text = desk.issue().text;
    let (key, other) = (desk.issuer.public_key(), desk.holder.public_key());
    let memory = Names::default();
    let check = |text: &str, key| {
        let parsed = Parsed::parse(text).unwrap();
        let once = parsed.check_signature_once(key, &memory).is_ok();
        assert_eq!(once, parsed.check_signature(key).is_ok(), "{text}");
        once
    };
    assert!(!check(&text, &other));
    assert!(memory.0.borrow().is_empty(), "a signature that does not hold is remembered");
    for _ in 0..2 {
        assert!(check(&text, &key));
        assert!(!check(&text, &other));
    }
    // Each character of what was signed and of the signature, where that leaves a credential.
    let (mut tried, end) = (0, text.find('~').unwrap());
    for at in 0..end {
        let letter = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
        let mut changed = text.clone();
        changed.replace_range(at..=at, letter);
        if Parsed::parse(&changed).is_ok() {
            assert!(!check(&changed, &key), "character {at}");
            tried += 1;
        }
    }
    assert!(tried > 80, "only {tried} of them were credentials");
    assert_eq!(memory.0.borrow().len(), 1);
}
