//! The vectors of status lists: the code reads what other software compressed, signs exactly these
//! tokens, and refuses those that must be refused, each for its reason.
//!
//! `status-list.json` is written by this file under `UPDATE_EXPECT=1`; an outsider reads it with
//! docs/spec/status-list.md beside it. What DEFLATE makes of a list is not fixed by any format, so
//! the compressed lists below were made once, by zlib 1.3, and are only read here.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use expect_test::expect_file;
use serde_json::{Value, json};
use symbolon_credential::{
    encoding::{from_base64url, to_base64url},
    status_list::{
        Bits, Checked, Expected, LedgerPoint, ListAddress, MAX_ENTRIES, NewToken, Parsed, Seen,
        StatusList, lst,
    },
};
use symbolon_ledger::{
    hash::{Digest, sha256},
    keys::SecretKey,
    operation::RevocationClass,
    records::LicenceStatus,
    status_page::{LIST_LEN, set_status},
};

/// Lists of 2^20 entries by [`statuses`], compressed by zlib at level 9.
const COMPRESSED: [(u64, &str); 4] = [
    (
        1,
        "eNrt3LENACAMA0GQGICRMhqj09O7AO5G-CKNpfQGAAAAxEwJAAAAIKxLADhzAAAAAADwjSEBAFzH8A0AAAAAAAAAAAAAAAAAAAAARHlSBgAAAFElAQAAAMSZvgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA4GklAQBcZkoAAAAAAACnkgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAL63NlzYAXE",
    ),
    (
        2,
        "eNrt2jERwCAUBUHgG0ACEvBfIS0GMpOK4k12JVx9vQEAAAAAAABApCEBAAAAAAAAANlKAgCAYEZGAAAAAAAAAAAAAADeLQkAAADgui4BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEGtLAAAAAAAAAECuKQEAAAAAAAAA-ZYEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACQakoAAAAAV5UEAAAAAAAAAAAAAAB82hIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAMDvnQcxbAGN",
    ),
    (
        4,
        "eNrt0AkNgDAQADD-McC_TiSgYQm5Y6GV0HEAAAAAAAAAAAAAAAAAAAAgzqoAAAAAAAAAAAAAAAAAAAAgUVUAAAAAACkmBQAAAAAAAAAAAAAAAAAAAAAAAAAAAABAi10BAAAAAAAAAP07FAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAxJsVAAAAAAAAAAAAAAAAAAAAJCgKAAAAAAAAAAAAAAAAAAAAPuBUAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAwRYFAAAAAAAAAPRrUwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAvOFSAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAv3c_gpEBPw",
    ),
    (
        8,
        "eNrt0IkNgCAQADAf_ID919WEHYiEa0fougAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAMCcDgUAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE9SgAAAAAAAAAAAAgkE0BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA0M2tAAAAAAAAAAAAAAAAAAAAYABZAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAh7AoAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAI4lIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAATVEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAMDkkgIAAAAAAAAAAAAAAAAAAIAfnAoAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACAYVQFAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAADA-wEEUAFO",
    ),
];
/// The list by [`TOKEN_STATUSES`], likewise.
const TOKEN_LST: &str = "eNrt0EENAAAIBCC_trpoRreGmxCBLoBjogAAAAAAAAAAAAAAAAAAgHdGAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAHBMFgfpAQo";
const TOKEN_STATUSES: [(u32, u8); 5] = [(0, 1), (1, 2), (4_711, 1), (65_535, 2), (1_048_575, 1)];
const KEY_SEED: [u8; 32] = [9; 32];
const KEY_ID: u32 = 1;
const URI: &str = "https://guangdong.province.example/status-lists/44/1";
/// 2026-11-23T00:00:00Z.
const ISSUED_AT: u64 = 1_795_392_000;
const HEIGHT: u64 = 4_711;

/// Twelve statuses of every width, and the last entry with all bits set.
fn statuses(bits: u64) -> Vec<(u64, u64)> {
    let most = (1 << bits) - 1;
    let place = |k: u64| ((k * k * 65_537 + 7_919 * k) % MAX_ENTRIES, 1 + k % most);
    (0..12).map(place).chain([(MAX_ENTRIES - 1, most)]).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn key() -> SecretKey {
    SecretKey::from_seed(&KEY_SEED)
}

fn point() -> LedgerPoint {
    LedgerPoint { height: HEIGHT, state_root: Digest([5; 32]) }
}

fn token() -> String {
    let address = ListAddress::parse(URI).unwrap();
    let new = NewToken {
        address: &address,
        key_id: KEY_ID,
        issued_at: ISSUED_AT,
        ledger: point(),
        lst: TOKEN_LST,
    };
    new.sign(&key())
}

fn decoded(part: &str) -> Value {
    from_base64url(part).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default()
}

/// The token with another header or payload, signed by the same key. Members stand in the order of
/// their names, whatever features others switch on in serde_json.
fn resigned(change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let token = token();
    let mut parts = token.split('.').map(decoded);
    let (mut header, mut payload) = (parts.next().unwrap(), parts.next().unwrap());
    change(&mut header, &mut payload);
    header.sort_all_objects();
    payload.sort_all_objects();
    let part = |v: &Value| to_base64url(v.to_string().as_bytes());
    let input = format!("{}.{}", part(&header), part(&payload));
    format!("{input}.{}", to_base64url(&key().sign(input.as_bytes()).0))
}

/// What a verifier of the vectors asks for, ten seconds after the block.
fn check(token: &str) -> Result<Checked, String> {
    let public = key().public_key();
    let uri = URI.to_owned();
    let seen = Seen { uri, height: HEIGHT, issued_at: ISSUED_AT };
    let (now_s, seen) = (ISSUED_AT + 10, Some(&seen));
    let expected = Expected { uri: URI, key_id: KEY_ID, key: &public, now_s, seen };
    let parsed = Parsed::parse(token).map_err(|e| e.to_string())?;
    parsed.check(&expected).map_err(|e| e.to_string())
}

fn refused() -> Vec<(&'static str, String)> {
    let good = token();
    let (input, _) = good.rsplit_once('.').unwrap();
    let header = |change: fn(&mut Value)| resigned(|header, _| change(header));
    let payload = |change: fn(&mut Value)| resigned(|_, payload| change(payload));
    let list = |lst: String| resigned(|_, payload| payload["status_list"]["lst"] = json!(lst));
    let zlib = from_base64url(TOKEN_LST).unwrap();
    let stranger = SecretKey::from_seed(&[8; 32]).sign(input.as_bytes());
    vec![
        ("alg none", header(|h| h["alg"] = json!("none"))),
        ("the polymorphic alg EdDSA", header(|h| h["alg"] = json!("EdDSA"))),
        ("typ JWT", header(|h| h["typ"] = json!("JWT"))),
        ("crit", header(|h| h["crit"] = json!(["x"]))),
        ("a key number with a leading zero", header(|h| h["kid"] = json!("01"))),
        ("another key's number", header(|h| h["kid"] = json!("2"))),
        ("no ledger", payload(|p| p["ledger"] = Value::Null)),
        ("an audience", payload(|p| p["aud"] = json!("https://verifier.example"))),
        ("three bits", payload(|p| p["status_list"]["bits"] = json!(3))),
        ("a life of a second too long", payload(|p| p["exp"] = json!(ISSUED_AT + 86_401))),
        ("no time to live", payload(|p| p["ttl"] = json!(0))),
        ("another province's", {
            payload(|p| {
                p["iss"] = json!("https://sichuan.province.example/status-lists/51");
                p["sub"] = json!("https://sichuan.province.example/status-lists/51/1");
            })
        }),
        ("another list of the province", {
            payload(|p| p["sub"] = json!("https://guangdong.province.example/status-lists/44/2"))
        }),
        ("an iss that is not the issuer of sub", {
            payload(|p| p["iss"] = json!("https://guangdong.province.example/status-lists/51"))
        }),
        (
            "expired",
            payload(|p| {
                p["iat"] = json!(ISSUED_AT - 86_400);
                p["exp"] = json!(ISSUED_AT);
            }),
        ),
        (
            "from the future",
            payload(|p| {
                p["iat"] = json!(ISSUED_AT + 71);
                p["exp"] = json!(ISSUED_AT + 86_471);
            }),
        ),
        ("older than one seen", payload(|p| p["ledger"]["height"] = json!(HEIGHT - 1))),
        ("signed by another key", format!("{input}.{}", to_base64url(&stranger.0))),
        ("a shortened signature", good[..good.len() - 4].to_owned()),
        ("a list cut off", list(to_base64url(&zlib[..zlib.len() - 1]))),
        ("bytes after the list", list(to_base64url(&[&zlib[..], &[0]].concat()))),
        ("a list without the ZLIB format", list(to_base64url(&zlib[2..zlib.len() - 4]))),
        ("an entry too many", list(lst(&vec![0; LIST_LEN + 1]))),
    ]
}

#[test]
fn lists_of_every_width_that_other_software_compressed_are_read() {
    for (bits, text) in COMPRESSED {
        let list = StatusList::inflate(Bits::of(bits).unwrap(), text).unwrap();
        let expected = statuses(bits);
        assert_eq!(list.entries(), MAX_ENTRIES);
        for index in 0..MAX_ENTRIES {
            let status = expected.iter().find(|(at, _)| *at == index).map_or(0, |(_, s)| *s);
            assert_eq!(list.value(index).map(u64::from), Ok(status), "{bits} bits, {index}");
        }
        assert!(list.value(MAX_ENTRIES).is_err());
        // What we compress ourselves need not be the same bytes, but reads the same.
        let again = StatusList::inflate(list.bits(), &lst(list.packed())).unwrap();
        assert_eq!(again, list);
    }
}

#[test]
fn tokens_are_signed_and_refused_as_the_vectors_say() {
    let token = token();
    let checked = check(&token).unwrap();
    let mut packed = vec![0; LIST_LEN];
    for (index, status) in TOKEN_STATUSES {
        set_status(&mut packed, index, status);
    }
    assert_eq!(checked.list().packed(), packed);
    let refused: Vec<Value> = refused()
        .into_iter()
        .map(|(why, token)| {
            let error = check(&token).expect_err(why);
            json!({"why": why, "error": error, "token": token})
        })
        .collect();
    let mut parts = token.split('.').map(|part| from_base64url(part).unwrap());
    let mut text = || String::from_utf8(parts.next().unwrap()).unwrap();
    let mut vectors = json!({
        "description": "Statuses of a ledger, lists of all widths, one signed list, and texts that \
            a verifier refuses who asks ten seconds after iat for the list named in verifier, and \
            has seen one of its height. docs/spec/status-list.md",
        "mapping": mapping(),
        "lists": COMPRESSED.map(|(bits, lst)| {
            let packed = StatusList::inflate(Bits::of(bits).unwrap(), lst).unwrap();
            json!({"bits": bits, "entries": MAX_ENTRIES, "statuses_other_than_zero": statuses(bits),
                "packed_sha256": sha256(packed.packed()).to_string(), "lst": lst})
        }),
        "verifier": {"uri": URI, "key_id": KEY_ID, "public_key": hex(key().public_key().as_bytes()),
            "now": ISSUED_AT + 10, "seen": {"height": HEIGHT, "iat": ISSUED_AT}},
        "signed": {"seed": hex(&KEY_SEED), "header": text(), "payload": text(),
            "statuses_other_than_zero": TOKEN_STATUSES, "token": token},
        "refused": refused,
    });
    vectors.sort_all_objects();
    let text = format!("{}\n", serde_json::to_string_pretty(&vectors).unwrap());
    expect_file!["../vectors/status-list.json"].assert_eq(&text);
}

/// Every status of a licence record, with its value in a list.
fn mapping() -> Value {
    let all = [
        LicenceStatus::Active,
        LicenceStatus::Suspended,
        LicenceStatus::TransferPending { to: 1 },
        LicenceStatus::Superseded { by: Digest([1; 32]) },
        LicenceStatus::Revoked { class: RevocationClass::Penalty },
    ];
    all.iter().map(|s| json!({"status": s.name(), "value": s.list_value()})).collect()
}
