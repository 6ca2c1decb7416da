//! A list's way from packed statuses to a verifier, and what may go wrong on it.

use proptest::prelude::*;
use serde_json::{Value, json};
use symbolon_ledger::{hash::Digest, keys::SecretKey, status_page::LIST_LEN};

use super::*;
use crate::sd_jwt::sign_with;

const URI: &str = "https://guangdong.province.example/status-lists/44/3";
/// 2026-11-23T00:00:00Z.
const ISSUED_AT: u64 = 1_795_392_000;
const KEY_ID: u32 = 1;

fn key() -> SecretKey {
    SecretKey::from_seed(&[9; 32])
}

/// Licence 1 is revoked, licence 2 suspended.
fn packed() -> Vec<u8> {
    let mut packed = vec![0; LIST_LEN];
    packed[0] = 0b10_01_00;
    packed
}

fn token_of(lst: &str, height: u64) -> String {
    let address = ListAddress::parse(URI).unwrap();
    let ledger = LedgerPoint { height, state_root: Digest([5; 32]) };
    let issued_at = ISSUED_AT + height;
    NewToken { address: &address, key_id: KEY_ID, issued_at, ledger, lst }.sign(&key())
}

fn token() -> String {
    token_of(&lst(&packed()), 0)
}

fn expected(key: &symbolon_ledger::keys::PublicKey) -> Expected<'_> {
    Expected { uri: URI, key_id: KEY_ID, key, now_s: ISSUED_AT + 10, seen: None }
}

fn check_with(token: &str, change: impl FnOnce(&mut Expected<'_>)) -> Result<Checked, CheckError> {
    let public = key().public_key();
    let mut expected = expected(&public);
    change(&mut expected);
    Parsed::parse(token).unwrap().check(&expected)
}

/// Header and payload of the good token.
fn parts() -> (Value, Value) {
    let token = token();
    let mut parts = token.split('.').map(|part| {
        serde_json::from_slice(&from_base64url(part).unwrap_or_default()).unwrap_or_default()
    });
    (parts.next().unwrap(), parts.next().unwrap())
}

/// The good token with another header or payload, signed by the same key.
fn resigned(change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let (mut header, mut payload) = parts();
    change(&mut header, &mut payload);
    sign_with(&header, &payload, &key())
}

#[test]
fn a_token_says_what_the_draft_and_the_ledger_ask_for() {
    let (header, payload) = parts();
    assert_eq!(header, json!({"alg": "Ed25519", "typ": "statuslist+jwt", "kid": "1"}));
    let expected = json!({
        "iss": "https://guangdong.province.example/status-lists/44",
        "sub": URI,
        "iat": ISSUED_AT,
        "exp": ISSUED_AT + 86_400,
        "ttl": 300,
        "status_list": {"bits": 2, "lst": lst(&packed())},
        "ledger": {"height": 0, "state_root": "05".repeat(32)},
    });
    assert_eq!(payload, expected);
    assert_eq!(token(), token());
}

#[test]
fn a_checked_list_answers_for_every_licence_on_it() {
    let checked = check_with(&token(), |_| {}).unwrap();
    let status = |index| checked.status(index);
    assert_eq!(status(0), Ok(ListedStatus::Valid));
    assert_eq!(status(1), Ok(ListedStatus::Invalid));
    assert_eq!(status(2), Ok(ListedStatus::Suspended));
    assert_eq!(status(MAX_ENTRIES - 1), Ok(ListedStatus::Valid));
    for past in [MAX_ENTRIES, u64::MAX] {
        assert_eq!(status(past), Err(OutOfRange { entries: MAX_ENTRIES }));
    }
    assert_eq!((checked.uri(), checked.key_id()), (URI, KEY_ID));
    assert_eq!(checked.ledger().height, 0);
    assert_eq!(checked.age_s(ISSUED_AT + 299), 299);
    assert!(!checked.is_due(ISSUED_AT + 299) && checked.is_due(ISSUED_AT + 300));
}

#[test]
fn every_way_in_which_a_token_is_malformed_has_its_own_error() {
    use ParseError as E;
    let check = |text: &str, expected: ParseError| {
        assert_eq!(Parsed::parse(text).unwrap_err(), expected, "{}", &text[..text.len().min(80)]);
    };
    let header = |change: &dyn Fn(&mut Value)| resigned(|header, _| change(header));
    let payload = |change: &dyn Fn(&mut Value)| resigned(|_, payload| change(payload));
    for alg in ["none", "EdDSA", "ES256", "HS256"] {
        check(&header(&|h| h["alg"] = json!(alg)), E::Algorithm);
    }
    check(&header(&|h| h["typ"] = json!("JWT")), E::Type);
    check(&header(&|h| h["crit"] = json!(["b64"])), E::Critical);
    for kid in [json!("01"), json!(1), Value::Null] {
        check(&header(&|h| h["kid"] = kid.clone()), E::Member("kid"));
    }
    for name in ["iat", "exp", "ttl", "sub", "iss", "status_list", "ledger"] {
        check(&payload(&|p| p[name] = Value::Null), E::Member(name));
    }
    check(&payload(&|p| p["nbf"] = json!("soon")), E::Member("nbf"));
    check(&payload(&|p| p["aud"] = json!("https://a.example")), E::Audience);
    check(&payload(&|p| p["sub"] = json!("https://a.example/lists/1")), E::Address);
    check(&payload(&|p| p["iss"] = json!("https://a.example/status-lists/44")), E::Issuer);
    for exp in [ISSUED_AT - 1, ISSUED_AT, ISSUED_AT + LIFETIME_S + 1] {
        check(&payload(&|p| p["exp"] = json!(exp)), E::Lifetime);
    }
    for ttl in [0, LIFETIME_S + 1] {
        check(&payload(&|p| p["ttl"] = json!(ttl)), E::TimeToLive);
    }
    for bits in [json!(0), json!(3), json!(16), json!("2")] {
        check(&payload(&|p| p["status_list"]["bits"] = bits.clone()), E::List(ListError::Bits));
    }
    check(&payload(&|p| p["status_list"]["lst"] = Value::Null), E::List(ListError::Json));
    check(&payload(&|p| p["ledger"]["height"] = json!(-1)), E::Member("ledger"));
    check(&payload(&|p| p["ledger"]["state_root"] = json!("05")), E::Member("ledger"));
    let good = token();
    check(&good[..good.rfind('.').unwrap()], E::Parts);
    check(&format!("{good}.x"), E::Parts);
    check("", E::Parts);
    assert!(matches!(Parsed::parse(&format!(" {good}")).unwrap_err(), E::Jwt(_)));
    assert!(matches!(Parsed::parse(&good.replacen('.', "=.", 1)).unwrap_err(), E::Jwt(_)));
    let long = "a".repeat(MAX_TOKEN_LEN + 1);
    check(&long, E::TooLarge { actual: MAX_TOKEN_LEN + 1 });
}

#[test]
fn fractional_times_are_refused() {
    let text = resigned(|_, payload| payload["iat"] = json!(1.5));
    assert!(matches!(Parsed::parse(&text).unwrap_err(), ParseError::Jwt(_)));
}

#[test]
fn every_reason_not_to_rely_on_a_list_has_its_own_error() {
    use CheckError as E;
    let good = token();
    let fails = |change: fn(&mut Expected<'_>)| check_with(&good, change).unwrap_err();
    let found = "https://guangdong.province.example/status-lists/44".to_owned();
    for other in [
        "https://sichuan.province.example/status-lists/44/3",
        "https://guangdong.province.example/status-lists/51/3",
        "3",
    ] {
        let error = check_with(&good, |e| e.uri = other).unwrap_err();
        assert_eq!(error, E::OtherIssuer { found: found.clone() }, "{other}");
    }
    let other_list = fails(|e| e.uri = "https://guangdong.province.example/status-lists/44/4");
    assert_eq!(other_list, E::OtherList { found: URI.to_owned() });
    assert_eq!(fails(|e| e.key_id = 7), E::OtherKey { found: KEY_ID, expected: 7 });
    let stranger = SecretKey::from_seed(&[8; 32]).public_key();
    let mut other_key = expected(&stranger);
    other_key.key = &stranger;
    assert_eq!(Parsed::parse(&good).unwrap().check(&other_key), Err(E::Signature));
    assert_eq!(fails(|e| e.now_s = ISSUED_AT - 61), E::NotYetIssued { ahead_s: 61 });
    assert!(check_with(&good, |e| e.now_s = ISSUED_AT - 60).is_ok());
    assert_eq!(fails(|e| e.now_s = ISSUED_AT + 86_400), E::Expired { ago_s: 0 });
    assert!(check_with(&good, |e| e.now_s = ISSUED_AT + 86_399).is_ok());
    let later = resigned(|_, payload| payload["nbf"] = json!(ISSUED_AT + 1_000));
    let error = check_with(&later, |_| {}).unwrap_err();
    assert_eq!(error, E::NotYetIssued { ahead_s: 990 });
    let damaged = resigned(|_, payload| payload["status_list"]["lst"] = json!("AAAA"));
    assert_eq!(check_with(&damaged, |_| {}), Err(E::List(ListError::Zlib)));
}

#[test]
fn a_verifier_that_has_seen_a_newer_list_refuses_an_older_one() {
    let list = lst(&packed());
    let lists: Vec<Checked> =
        [5, 9].iter().map(|h| check_with(&token_of(&list, *h), |_| {}).unwrap()).collect();
    let (old, new) = (&lists[0], &lists[1]);
    let seen = new.seen();
    assert!(old.is_older_than(&seen));
    assert!(!new.is_older_than(&old.seen()) && !old.is_older_than(&old.seen()));
    let again = |seen: &Seen| {
        let public = key().public_key();
        let expected = Expected { seen: Some(seen), ..expected(&public) };
        Parsed::parse(&token_of(&list, 5)).unwrap().check(&expected).map(|_| ())
    };
    assert_eq!(again(&seen), Err(CheckError::Older { height: 5, seen: 9 }));
    assert_eq!(again(&old.seen()), Ok(()));
    // Of the same height, but with an earlier time: one of the two lies.
    let same = Seen { height: 5, ..seen.clone() };
    assert_eq!(again(&same), Err(CheckError::Older { height: 5, seen: 5 }));
    let elsewhere = Seen { uri: URI.replace("/3", "/4"), ..seen };
    assert_eq!(again(&elsewhere), Ok(()));
}

#[test]
fn a_list_inflates_whole_or_not_at_all() {
    let good = deflate(&packed());
    let check = |bytes: &[u8], expected: ListError| {
        let text = to_base64url(bytes);
        assert_eq!(StatusList::inflate(Bits::Two, &text), Err(expected), "{} bytes", bytes.len());
    };
    check(&good[..good.len() - 1], ListError::Zlib);
    check(&good[..1], ListError::Zlib);
    check(&[], ListError::Zlib);
    check(&[&good[..], &[0]].concat(), ListError::TrailingBytes);
    let mut sum = good.clone();
    *sum.last_mut().unwrap() ^= 1;
    check(&sum, ListError::Zlib);
    // Without the ZLIB format around it.
    check(&good[2..good.len() - 4], ListError::Zlib);
    // A preset dictionary that nobody has.
    check(&[0x78, 0xbb, 0, 0, 0, 1, 3, 0], ListError::Zlib);
    assert_eq!(StatusList::inflate(Bits::Two, "eNo="), Err(ListError::Base64));
}

#[test]
fn a_list_that_would_inflate_without_end_is_cut_short() {
    for bits in [Bits::One, Bits::Two, Bits::Four, Bits::Eight] {
        let limit = bits.max_len();
        let full = lst(&vec![0xff; limit]);
        assert_eq!(StatusList::inflate(bits, &full).unwrap().entries(), MAX_ENTRIES);
        for bomb in [limit + 1, 64 * 1024 * 1024] {
            let bomb = lst(&vec![0; bomb]);
            assert_eq!(StatusList::inflate(bits, &bomb), Err(ListError::TooLong { limit }));
        }
    }
}

#[test]
fn the_object_of_a_list_is_read_as_the_draft_has_it() {
    let read = |text: &str| StatusList::from_json(text.as_bytes());
    // The two examples of section 4.1, one bit and two bits an entry.
    let one = read(r#"{"bits": 1, "lst": "eNrbuRgAAhcBXQ"}"#).unwrap();
    let values = |list: &StatusList| -> Vec<u8> {
        (0..list.entries()).map(|index| list.value(index).unwrap()).collect()
    };
    assert_eq!(values(&one), [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]);
    let two = read(r#"{"bits": 2, "lst": "eNo76fITAAPfAgc", "aggregation_uri": "x"}"#).unwrap();
    assert_eq!(values(&two), [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]);
    assert_eq!(ListedStatus::of(two.value(3).unwrap()), ListedStatus::Other(3));
    for (text, expected) in [
        ("[]", ListError::Json),
        (r#"{"bits": 2}"#, ListError::Json),
        (r#"{"bits": 2, "bits": 1, "lst": ""}"#, ListError::Json),
        (r#"{"bits": 5, "lst": ""}"#, ListError::Bits),
        (r#"{"bits": 2, "lst": "+"}"#, ListError::Base64),
    ] {
        assert_eq!(read(text), Err(expected), "{text}");
    }
}

proptest! {
    #[test]
    fn no_flipped_bit_of_a_token_is_accepted(
        at in any::<prop::sample::Index>(),
        bit in 0..8u32,
    ) {
        let mut bytes = token().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let public = key().public_key();
        if let Ok(text) = String::from_utf8(bytes)
            && let Ok(parsed) = Parsed::parse(&text)
        {
            prop_assert!(parsed.check(&expected(&public)).is_err());
        }
    }

    #[test]
    fn what_is_packed_reads_back(
        packed in proptest::collection::vec(any::<u8>(), 0..4_096),
        bits in prop::sample::select(vec![Bits::One, Bits::Two, Bits::Four, Bits::Eight]),
    ) {
        let list = StatusList::inflate(bits, &lst(&packed)).unwrap();
        prop_assert_eq!(list.packed(), &packed);
        let count = u64::from(bits.count());
        prop_assert_eq!(list.entries() * count, packed.len() as u64 * 8);
        for index in 0..list.entries() {
            let place = index * count;
            let byte = packed[usize::try_from(place / 8).unwrap()];
            let mask = u8::try_from((1u16 << count) - 1).unwrap();
            prop_assert_eq!(list.value(index), Ok(byte >> (place % 8) & mask));
        }
        prop_assert!(list.value(list.entries()).is_err());
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in "\\PC{0,200}") {
        prop_assert!(Parsed::parse(&text).is_err());
        let _ = StatusList::from_json(&bytes);
        let _ = inflate(&bytes, 64);
    }
}
