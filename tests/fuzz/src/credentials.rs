//! Texts that a holder shows: whoever cannot sign shows nothing but what the vectors' issuer signed.

use std::sync::LazyLock;

use serde_json::Value;
use symbolon_credential::sd_jwt::{MAX_PRESENTATION_LEN, Parsed};
use symbolon_ledger::keys::PublicKey;

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
