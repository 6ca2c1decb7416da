//! One agency, one holder, one driving licence, and what a forger makes of it.
//!
//! All from fixed keys and salts: the same bytes in every run. What is good is made by
//! `symbolon-credential`; what is bad is signed here, where the library would refuse to write it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use symbolon_credential::{
    claims::validate,
    date,
    encoding::{from_base64url, to_base64url},
    sd_jwt::{Issue, KeyBinding, Parsed, bind, disclosure_count, issue},
};
use symbolon_genesis::presets;
use symbolon_ledger::{
    codes::{Origin, ProvinceCode, Uscc},
    keys::SecretKey,
};

/// When everything here happens: 2026-11-23T12:00:00+08:00.
pub(crate) const NOW: u64 = 1_795_406_400;
/// The first second at which the licence is no longer valid: 2028-01-01T00:00:00+08:00.
pub(crate) const EXPIRES: u64 = 1_830_268_800;
/// The first at which it is: 2024-01-01T00:00:00+08:00.
pub(crate) const NOT_BEFORE: u64 = 1_704_038_400;
/// Whom presentations are for.
pub(crate) const AUDIENCE: &str = "https://verifier.example";
/// The verifier's challenge.
pub(crate) const NONCE: &str = "n-0S6_WzA2Mj";
/// What the holder shows.
pub(crate) const SHOWN: [&str; 2] = ["name", "vehicle_class"];
/// The licence's place in its list.
pub(crate) const INDEX: u32 = 4_711;

const LIST: u32 = 1;
const AGENCY: &str = "11310000MB2F30170G";
const ORIGIN: &str = "https://shanghai.province.example";
const CLAIMS: [(&str, &str); 11] = [
    ("name", "侯寒秋"),
    ("sex", "女"),
    ("nationality", "中国"),
    ("address", "广东省深圳市南山区文明里335号"),
    ("birth_date", "2000-04-21"),
    ("first_issue_date", "2020-02-05"),
    ("vehicle_class", "C1"),
    ("valid_from", "2024-01-01"),
    ("valid_until", "2027-12-31"),
    ("licence_number", "449999200004216907"),
    ("archive_number", "440007126037"),
];

/// The agency's credential key.
pub(crate) fn issuer() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

/// The holder's key.
pub(crate) fn holder() -> SecretKey {
    SecretKey::from_seed(&[2; 32])
}

/// The province's status key.
pub(crate) fn status_key() -> SecretKey {
    SecretKey::from_seed(&[3; 32])
}

/// A key that nobody trusts.
pub(crate) fn stranger() -> SecretKey {
    SecretKey::from_seed(&[4; 32])
}

/// The public half as a JWK.
pub(crate) fn jwk(key: &SecretKey) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": to_base64url(key.public_key().as_bytes())})
}

/// Both halves as a JWK.
pub(crate) fn private_jwk(key: &SecretKey) -> Value {
    let mut jwk = jwk(key);
    jwk["d"] = json!(to_base64url(&key.to_seed()[..]));
    jwk
}

/// The credential with all its disclosures; without a holder's key it is one for paper.
pub(crate) fn credential(with_holder: bool) -> String {
    let types = presets::catalogue();
    let licence_type = types.iter().find(|t| t.code.as_str() == "local:driving-licence").unwrap();
    let given: BTreeMap<String, String> = CLAIMS.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let claims = validate(licence_type, &given).unwrap();
    let (origin, agency): (Origin, Uscc) = (ORIGIN.parse().unwrap(), AGENCY.parse().unwrap());
    let province: ProvinceCode = "31".parse().unwrap();
    let key = holder().public_key();
    let licence = Issue {
        origin: &origin,
        agency: &agency,
        key_id: 3,
        licence_type,
        claims: &claims,
        identifier: None,
        status_province: &province,
        status_slot: LIST << 20 | INDEX,
        holder_key: with_holder.then_some(&key),
        issued_on: date::parse("2026-11-23").unwrap(),
    };
    let count = u8::try_from(disclosure_count(licence_type, &claims, false)).unwrap();
    let salts: Vec<_> = (1..=count).map(|i| [i; 16]).collect();
    issue(&licence, &salts, &issuer()).unwrap().text
}

/// What the holder shows of it, without key binding.
pub(crate) fn shown(credential: &str) -> String {
    Parsed::parse(credential).unwrap().present(&SHOWN).unwrap()
}

/// The same with key binding, made at `issued_at`.
pub(crate) fn bound(sd_jwt: &str, issued_at: u64, key: &SecretKey) -> String {
    let (audience, nonce) = (AUDIENCE.to_owned(), NONCE.to_owned());
    bind(sd_jwt, &KeyBinding { audience, nonce, issued_at }, key)
}

/// A compact JWS that no library of ours would make.
pub(crate) fn jws(header: &Value, payload: &Value, key: &SecretKey) -> String {
    let part = |value: &Value| to_base64url(value.to_string().as_bytes());
    let input = format!("{}.{}", part(header), part(payload));
    let signature = key.sign(input.as_bytes());
    format!("{input}.{}", to_base64url(&signature.0))
}

/// Header and payload of a compact JWS.
pub(crate) fn parts(jws: &str) -> (Value, Value) {
    let mut parts = jws.split('.').map(|part| {
        serde_json::from_slice(&from_base64url(part).unwrap_or_default()).unwrap_or_default()
    });
    (parts.next().unwrap(), parts.next().unwrap())
}

/// The credential with another header, signed by `key` again.
pub(crate) fn with_header(credential: &str, member: &str, value: &str, key: &SecretKey) -> String {
    let (jwt, rest) = credential.split_once('~').unwrap();
    let (mut header, payload) = parts(jwt);
    header[member] = json!(value);
    format!("{}~{rest}", jws(&header, &payload, key))
}

/// The address of the licence's list.
pub(crate) fn list_uri() -> String {
    format!("{ORIGIN}/status-lists/31/{LIST}")
}
