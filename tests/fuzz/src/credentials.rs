//! Texts that a holder shows, and the lists of what has become of licences: whoever cannot sign shows
//! nothing but what was signed here and in the vectors.

use std::sync::LazyLock;

use serde_json::Value;
use symbolon_credential::{
    elc1::{self as codes, EncodeError, MAX_TEXT_LEN},
    sd_jwt::{MAX_PRESENTATION_LEN, Parsed},
    status_list::{self as lists, Expected, LedgerPoint, ListAddress, NewToken, StatusList, lst},
};
use symbolon_ledger::{
    hash::sha256,
    keys::{PublicKey, SecretKey},
};

use super::{from_hex, list_at, text_at, vectors};

static CREDENTIAL: LazyLock<Value> =
    LazyLock::new(|| vectors(include_str!("../../vectors/credential.json")));

static ISSUER: LazyLock<PublicKey> = LazyLock::new(|| {
    let key = from_hex(text_at(&CREDENTIAL, "/valid/issuer/public_key"));
    PublicKey::from_bytes(&key).expect("the vectors have a key")
});

/// A presentation falls into parts that make the same text again; when its signature holds, it is
/// the vectors' credential, its claims are that credential's, and its binding is the vectors' own.
pub(super) fn sd_jwt(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(parsed) = Parsed::parse(text) else { return false };
    assert!(text.len() <= MAX_PRESENTATION_LEN, "longer than what is read");
    let again = format!("{}{}", parsed.sd_jwt(), parsed.key_binding_jwt().unwrap_or_default());
    assert_eq!(again, text, "the parts make another text");
    let Ok(checked) = parsed.check_signature(&ISSUER) else { return false };
    let inner = parsed.inner().to_string();
    assert_eq!(inner, text_at(&CREDENTIAL, "/valid/inner"), "a credential that nobody signed");
    let Ok(disclosed) = checked.disclose() else { return false };
    for (name, value) in disclosed.claims() {
        assert_eq!(signed_value(name), Some(value.as_str()), "a claim that nobody signed");
        assert!(!format!("{parsed:?} {disclosed:?}").contains(value), "a claim in a debug form");
    }
    match checked.key_binding() {
        Ok(None) => true,
        Ok(Some(_)) => {
            let known = text_at(&CREDENTIAL, "/valid/bound_presentation/text");
            assert_eq!(text, known, "a binding that the holder did not sign");
            true
        }
        Err(_) => false,
    }
}

fn signed_value(name: &str) -> Option<&'static str> {
    if name == "zzbs" {
        return Some(text_at(&CREDENTIAL, "/valid/identifier"));
    }
    let claims = list_at(&CREDENTIAL, "/valid/claims").iter();
    claims.filter(|c| c[0] == name).find_map(|c| c[1].as_str())
}

/// The vectors' credential, and two presentations of it.
pub(super) fn sd_jwt_seeds() -> Vec<Vec<u8>> {
    ["/valid/credential", "/valid/presentation/text", "/valid/bound_presentation/text"]
        .map(|pointer| text_at(&CREDENTIAL, pointer).as_bytes().to_vec())
        .to_vec()
}

/// The text of a QR code carries one presentation, of a bounded length, and what it carries is
/// carried again by what is written anew.
pub(super) fn elc1(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(presentation) = codes::decode(text) else { return false };
    assert!(text.len() <= MAX_TEXT_LEN, "longer than what is read");
    assert!(presentation.len() <= MAX_PRESENTATION_LEN, "a bomb");
    match codes::encode(&presentation) {
        Ok(again) => assert_eq!(codes::decode(&again), Ok(presentation.clone()), "not exact"),
        // Written by somebody who packs more densely than this program.
        Err(EncodeError::TooLarge { .. }) => {}
        Err(other) => unreachable!("what was read cannot be written: {other}"),
    }
    sd_jwt(presentation.as_bytes());
    true
}

/// The vectors' presentations as QR texts.
pub(super) fn elc1_seeds() -> Vec<Vec<u8>> {
    let encode = |text: Vec<u8>| {
        let text = String::from_utf8(text).expect("the vectors are text");
        codes::encode(&text).expect("the vectors fit a code").into_bytes()
    };
    sd_jwt_seeds().into_iter().map(encode).collect()
}

const LIST: &str = "https://guangdong.province.example/status-lists/44/0";
/// Number of the province's status key.
const STATUS_KEY_ID: u32 = 1;
/// `iat` of the lists, in seconds since 1970-01-01T00:00Z.
const LISTED_AT: u64 = 1_795_406_400;

static STATUS_KEY: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::from_seed(&[3; 32]));

/// Lists that the province signed.
static LISTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let address = ListAddress::parse(LIST).expect("an address");
    let sign = |packed: &[u8]| {
        let ledger = LedgerPoint { height: 9, state_root: sha256(b"state") };
        let lst = &lst(packed);
        NewToken { address: &address, key_id: STATUS_KEY_ID, issued_at: LISTED_AT, ledger, lst }
            .sign(&STATUS_KEY)
    };
    vec![sign(&[0; 1_024]), sign(&[0xc9, 0x44, 0xf9])]
});

/// A token that holds is one that was signed; a list inflates to its bound at most, has a value at
/// each of its places and none beyond, and packs to itself.
pub(super) fn status_list(bytes: &[u8]) -> bool {
    if bytes.starts_with(b"{") {
        return StatusList::from_json(bytes).is_ok_and(|list| has_its_values(&list));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(parsed) = lists::Parsed::parse(text) else { return false };
    let key = STATUS_KEY.public_key();
    let (uri, key_id, now_s) = (LIST, STATUS_KEY_ID, LISTED_AT + 60);
    let expected = Expected { uri, key_id, key: &key, now_s, seen: None };
    let Ok(checked) = parsed.check(&expected) else { return false };
    assert!(LISTS.iter().any(|signed| signed == text), "a list that nobody signed");
    has_its_values(checked.list())
}

fn has_its_values(list: &StatusList) -> bool {
    assert!(list.packed().len() <= list.bits().max_len(), "a bomb");
    assert!(list.value(list.entries()).is_err(), "a value beyond the end");
    if let Some(last) = list.entries().checked_sub(1) {
        assert!(list.value(last).is_ok() && list.value(0).is_ok(), "a place without a value");
    }
    let again = StatusList::inflate(list.bits(), &lst(list.packed()));
    assert_eq!(again.as_ref(), Ok(list), "a list that does not read back");
    true
}

/// Signed tokens, and the two examples of the draft's section 4.1.
pub(super) fn status_list_seeds() -> Vec<Vec<u8>> {
    let examples =
        [r#"{"bits":1,"lst":"eNrbuRgAAhcBXQ"}"#, r#"{"bits":2,"lst":"eNo76fITAAPfAgc"}"#];
    LISTS.iter().map(String::as_str).chain(examples).map(|text| text.as_bytes().to_vec()).collect()
}
