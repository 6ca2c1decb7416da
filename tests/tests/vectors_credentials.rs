//! The vectors of identifiers and credentials: the code still makes and reads exactly these bytes.
//!
//! `credential.json` is made by this file from fixed keys, salts and claims. A change of its bytes
//! is a change of the format; `UPDATE_EXPECT=1` writes it anew. An outsider reads it with
//! `docs/spec/credential.md` beside it.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;

use expect_test::expect_file;
use serde_json::{Value, json};
use symbolon_credential::{
    claims::validate,
    date,
    encoding::{from_base64url, to_base64url},
    identifier::{NationalIdentifier, birth_date, mod_37_36},
    lineage::{self, TagSecret},
    sd_jwt::{Issue, Issued, KeyBinding, Parsed, SALT_LEN, bind, digest, issue},
};
use symbolon_ledger::{
    catalogue::{ClaimRole, ClaimSpec, ClaimType, Disclosure, LicenceTypeRecord},
    codes::{Origin, ProvinceCode, TypeCode, Uscc},
    keys::SecretKey,
};

const IDENTIFIERS: &str = include_str!("../vectors/identifiers.json");

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().unwrap().iter().map(|v| v["text"].as_str().or(v.as_str()).unwrap())
}

#[test]
fn identifiers_are_accepted_and_refused_as_the_vectors_say() {
    let vectors: Value = serde_json::from_str(IDENTIFIERS).unwrap();
    for vector in vectors["mod_37_36"].as_array().unwrap() {
        let check = mod_37_36(vector["body"].as_str().unwrap()).unwrap();
        assert_eq!(check.to_string(), vector["check"].as_str().unwrap(), "{vector}");
    }
    let ours = &vectors["e_licence_identifiers"];
    for vector in ours["valid"].as_array().unwrap() {
        let text = vector["text"].as_str().unwrap();
        let read: NationalIdentifier = text.parse().unwrap();
        assert_eq!(read.to_string(), text);
        assert_eq!(read.type_code(), vector["type"]);
        assert_eq!(read.issuer(), vector["issuer"]);
        assert_eq!(read.serial(), vector["serial"]);
        assert_eq!(read.version(), vector["version"].as_u64().unwrap() as u16);
    }
    for text in texts(&ours["invalid"]) {
        assert!(text.parse::<NationalIdentifier>().is_err(), "{text}");
    }
    for text in texts(&vectors["credit_codes"]["valid"]) {
        assert_eq!(text.parse::<Uscc>().unwrap().as_str(), text);
    }
    for text in texts(&vectors["credit_codes"]["invalid"]) {
        assert!(text.parse::<Uscc>().is_err(), "{text}");
    }
    for vector in vectors["resident_numbers"]["valid"].as_array().unwrap() {
        let date = birth_date(vector["text"].as_str().unwrap()).unwrap();
        assert_eq!(date.to_string(), vector["birth_date"].as_str().unwrap());
    }
    for text in texts(&vectors["resident_numbers"]["invalid"]) {
        assert!(birth_date(text).is_err(), "{text}");
    }
}

fn claim(key: &str, zh: &str, value: ClaimType, role: Option<ClaimRole>) -> ClaimSpec {
    ClaimSpec {
        key: key.parse().unwrap(),
        label_zh: zh.parse().unwrap(),
        label_en: key.parse().unwrap(),
        value,
        mandatory: true,
        disclosure: if key == "name" { Disclosure::Always } else { Disclosure::Allowed },
        sensitivity: 3,
        unique: false,
        role,
    }
}

fn licence_type() -> LicenceTypeRecord {
    let text = ClaimType::Text { max: 50 };
    LicenceTypeRecord {
        version: 1,
        index: 0,
        code: "11100000MB0143028R001".parse().unwrap(),
        schema_version: 1,
        name_zh: "营业执照".parse().unwrap(),
        name_en: "Business licence".parse().unwrap(),
        authority: None,
        verified: true,
        source: "vectors".parse().unwrap(),
        national: true,
        public_subject: true,
        suspendable: false,
        transferable: true,
        claims: vec![
            claim("uscc", "统一社会信用代码", ClaimType::Uscc, None),
            claim("name", "名称", text.clone(), None),
            claim("legal_representative", "法定代表人", text, None),
            claim("valid_from", "有效期起", ClaimType::Date, Some(ClaimRole::ValidFrom)),
            claim("valid_until", "有效期止", ClaimType::EndDate, Some(ClaimRole::ValidUntil)),
        ],
        default_disclosure: Vec::new(),
    }
}

const CLAIMS: [(&str, &str); 5] = [
    ("uscc", "91449999G2HB5KX2MH"),
    ("name", "深圳启明餐饮有限公司"),
    ("legal_representative", "侯寒秋"),
    ("valid_from", "2024-01-01"),
    ("valid_until", "2027-12-31"),
];
const ISSUER_SEED: [u8; 32] = [1; 32];
const HOLDER_SEED: [u8; 32] = [2; 32];
const AGENCY: &str = "11310000MB2F30170G";
const ORIGIN: &str = "https://shanghai.province.example";
const IDENTIFIER: &str =
    "1.2.156.3005.2.11100000MB0143028R001.11310000MB2F30170G.0A1B2C3D4E5F6G7H8J9K.002.Z";
const SLOT: u32 = (1 << 20) | 4_711;

fn salts() -> Vec<[u8; SALT_LEN]> {
    (1..=5).map(|i| [i; SALT_LEN]).collect()
}

fn issued() -> Issued {
    let licence_type = licence_type();
    let given: BTreeMap<String, String> = CLAIMS.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let claims = validate(&licence_type, &given).unwrap();
    let (origin, agency): (Origin, Uscc) = (ORIGIN.parse().unwrap(), AGENCY.parse().unwrap());
    let province: ProvinceCode = "31".parse().unwrap();
    let licence = Issue {
        origin: &origin,
        agency: &agency,
        key_id: 3,
        licence_type: &licence_type,
        claims: &claims,
        identifier: Some(&IDENTIFIER.parse().unwrap()),
        status_province: &province,
        status_slot: SLOT,
        holder_key: Some(&SecretKey::from_seed(&HOLDER_SEED).public_key()),
        issued_on: date::parse("2026-11-23").unwrap(),
    };
    issue(&licence, &salts(), &SecretKey::from_seed(&ISSUER_SEED)).unwrap()
}

fn decoded(part: &str) -> String {
    String::from_utf8(from_base64url(part).unwrap()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn good(issued: &Issued) -> Value {
    let parsed = Parsed::parse(&issued.text).unwrap();
    let jwt = issued.text.split('~').next().unwrap();
    let mut parts = jwt.split('.');
    let disclosures: Vec<Value> = issued
        .text
        .split('~')
        .skip(1)
        .filter(|d| !d.is_empty())
        .map(|d| json!({"text": d, "json": decoded(d), "digest": digest(d)}))
        .collect();
    let shown = parsed.present(&["uscc"]).unwrap();
    let binding = KeyBinding {
        audience: "https://verifier.example".to_owned(),
        nonce: "n-0S6_WzA2Mj".to_owned(),
        issued_at: 1_795_406_400,
    };
    let key = |seed| hex(SecretKey::from_seed(seed).public_key().as_bytes());
    json!({
        "issuer": {"seed": hex(&ISSUER_SEED), "public_key": key(&ISSUER_SEED), "key_id": 3,
            "uscc": AGENCY, "origin": ORIGIN},
        "holder": {"seed": hex(&HOLDER_SEED), "public_key": key(&HOLDER_SEED)},
        "salts": salts().iter().map(|s| hex(s)).collect::<Vec<_>>(),
        "claims": CLAIMS.map(|(k, v)| json!([k, v])),
        "identifier": IDENTIFIER,
        "status": {"province": "31", "slot": SLOT},
        "header": decoded(parts.next().unwrap()),
        "payload": decoded(parts.next().unwrap()),
        "disclosures": disclosures,
        "credential": issued.text,
        "inner": issued.inner.to_string(),
        "cid": issued.cid.to_string(),
        "presentation": {"shown": ["uscc"], "text": shown},
        "bound_presentation": {
            "audience": binding.audience, "nonce": binding.nonce, "issued_at": binding.issued_at,
            "text": bind(&shown, &binding, &SecretKey::from_seed(&HOLDER_SEED)),
        },
    })
}

/// The credential with another header or payload, signed by the same key.
fn resigned(issued: &Issued, change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let (jwt, rest) = issued.text.split_once('~').unwrap();
    let mut parts = jwt.split('.').map(decoded_value);
    let (mut header, mut payload) = (parts.next().unwrap(), parts.next().unwrap());
    change(&mut header, &mut payload);
    // The order of members must not depend on the features that others switch on in serde_json.
    header.sort_all_objects();
    payload.sort_all_objects();
    let part = |v: &Value| to_base64url(v.to_string().as_bytes());
    let input = format!("{}.{}", part(&header), part(&payload));
    let signature = SecretKey::from_seed(&ISSUER_SEED).sign(input.as_bytes());
    format!("{input}.{}~{rest}", to_base64url(&signature.0))
}

fn decoded_value(part: &str) -> Value {
    from_base64url(part).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default()
}

fn bad(issued: &Issued) -> Vec<(&'static str, &'static str, String)> {
    let text = &issued.text;
    let (jwt, rest) = text.split_once('~').unwrap();
    let (first, _) = rest.split_once('~').unwrap();
    let shown = Parsed::parse(text).unwrap().present(&["uscc"]).unwrap();
    let holder = SecretKey::from_seed(&HOLDER_SEED);
    let binding =
        KeyBinding { audience: "a".to_owned(), nonce: "n".to_owned(), issued_at: 1_795_406_400 };
    let bound = bind(&shown, &binding, &holder);
    let forged = to_base64url(r#"["AAAA","uscc","91449999G2HB5KX2MH"]"#.as_bytes());
    let duplicate = decoded(jwt.split('.').nth(1).unwrap()).replacen('{', "{\"iss\":\"x\",", 1);
    let mut parts = jwt.split('.');
    let (header, signature) = (parts.next().unwrap(), parts.nth(1).unwrap());
    let alg = |alg: &str| resigned(issued, |h, _| h["alg"] = json!(alg));
    vec![
        ("parse", "no ~ after the JWT", jwt.to_owned()),
        ("parse", "white space", format!("{text}\n")),
        ("parse", "padding", text.replacen('.', "=.", 1)),
        ("parse", "an empty disclosure", format!("{jwt}~~")),
        ("parse", "alg none", alg("none")),
        ("parse", "the polymorphic alg EdDSA", alg("EdDSA")),
        ("parse", "alg ES256", alg("ES256")),
        ("parse", "typ vc+sd-jwt", resigned(issued, |h, _| h["typ"] = json!("vc+sd-jwt"))),
        ("parse", "crit", resigned(issued, |h, _| h["crit"] = json!(["x"]))),
        ("parse", "_sd_alg sha-512", resigned(issued, |_, p| p["_sd_alg"] = json!("sha-512"))),
        ("parse", "no iss", resigned(issued, |_, p| p["iss"] = Value::Null)),
        ("parse", "a digest twice", resigned(issued, |_, p| p["_sd"][0] = p["_sd"][1].clone())),
        (
            "parse",
            "a duplicate key in the payload",
            format!("{header}.{}.{signature}~{rest}", to_base64url(duplicate.as_bytes())),
        ),
        ("signature", "another signature", text.replacen(signature, &"A".repeat(86), 1)),
        ("signature", "a short signature", text.replacen(signature, "AAAA", 1)),
        ("disclosures", "a disclosure twice", format!("{text}{first}~")),
        ("disclosures", "a forged disclosure", format!("{jwt}~{forged}~")),
        ("disclosures", "a shortened disclosure", format!("{jwt}~{}~", &first[..first.len() - 1])),
        (
            "key_binding",
            "made for another presentation",
            format!("{text}{}", &bound[shown.len()..]),
        ),
        (
            "key_binding",
            "signed by another key",
            bind(&shown, &binding, &SecretKey::from_seed(&ISSUER_SEED)),
        ),
    ]
}

/// The step at which a text is refused.
fn refused_at(text: &str) -> &'static str {
    let key = SecretKey::from_seed(&ISSUER_SEED).public_key();
    let Ok(parsed) = Parsed::parse(text) else { return "parse" };
    let Ok(checked) = parsed.check_signature(&key) else { return "signature" };
    match (checked.disclose(), checked.key_binding()) {
        (Err(_), _) => "disclosures",
        (Ok(_), Err(_)) => "key_binding",
        (Ok(_), Ok(_)) => "accepted",
    }
}

#[test]
fn credentials_are_made_and_read_as_the_vectors_say() {
    let issued = issued();
    let valid = good(&issued);
    for text in [&valid["credential"], &valid["presentation"]["text"]] {
        assert_eq!(refused_at(text.as_str().unwrap()), "accepted");
    }
    assert_eq!(refused_at(valid["bound_presentation"]["text"].as_str().unwrap()), "accepted");
    let refused: Vec<Value> = bad(&issued)
        .into_iter()
        .map(|(step, why, text)| {
            assert_eq!(refused_at(&text), step, "{why}");
            json!({"refused_at": step, "why": why, "text": text})
        })
        .collect();
    let secret = TagSecret::from_bytes([7; 32]);
    let local: TypeCode = "local:driving-licence".parse().unwrap();
    let agency: Uscc = AGENCY.parse().unwrap();
    let lineage = json!({
        "secret": hex(&[7; 32]),
        "national": {"identifier": IDENTIFIER,
            "tag": lineage::national(&secret, &IDENTIFIER.parse().unwrap()).to_string()},
        "local": {"type": local.as_str(), "uscc": AGENCY, "serial": "7K2Q9X4M1B8ZP3T6R5VA",
            "tag": lineage::local(&secret, &local, &agency, "7K2Q9X4M1B8ZP3T6R5VA")
                .unwrap().to_string()},
    });
    let mut vectors = json!({
        "description": "One credential from fixed keys and salts, and texts that must be refused. \
            docs/spec/credential.md",
        "valid": valid,
        "refused": refused,
        "lineage": lineage,
    });
    vectors.sort_all_objects();
    let text = format!("{}\n", serde_json::to_string_pretty(&vectors).unwrap());
    expect_file!["../vectors/credential.json"].assert_eq(&text);
}
