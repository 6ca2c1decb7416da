//! One row for each thing that stock SD-JWT software must accept or refuse.
//!
//! A row says who refuses: the package, or the checks that the package leaves to its caller, which
//! stand in `tests/interop/stock.mjs` and `stock.py` and are listed in `tests/interop/README.md`.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use symbolon_credential::{
    encoding::to_base64url,
    sd_jwt::{KeyBinding, Parsed},
};

use crate::{
    lists::{altered, full_token, packed, token, token_parts},
    material::{
        AUDIENCE, EXPIRES, INDEX, NONCE, NOT_BEFORE, NOW, SHOWN, bound, credential, holder, issuer,
        jwk, jws, list_uri, parts, private_jwk, shown, status_key, stranger, with_header,
    },
    programs::Stock,
};

/// Who says what about a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Say {
    Accept,
    /// The package refuses.
    Library,
    /// A check refuses that the package leaves to its caller.
    Caller,
}

use Say::{Accept, Caller, Library};

/// A presentation, and what its verifier has and wants.
struct Case {
    name: &'static str,
    presentation: String,
    list: String,
    audience: Option<&'static str>,
    nonce: Option<&'static str>,
    now: u64,
    node: Say,
    python: Say,
}

impl Case {
    /// A presentation without key binding, of a licence that stands.
    fn open(name: &'static str, presentation: String, node: Say, python: Say) -> Self {
        let (list, now) = (token(0), NOW);
        Self { name, presentation, list, audience: None, nonce: None, now, node, python }
    }

    /// A presentation of which key binding is asked.
    fn asked(name: &'static str, presentation: String, node: Say, python: Say) -> Self {
        let (audience, nonce) = (Some(AUDIENCE), Some(NONCE));
        Self { audience, nonce, ..Self::open(name, presentation, node, python) }
    }

    fn json(&self) -> Value {
        let mut case = json!({
            "name": self.name, "presentation": self.presentation, "now": self.now,
            "lists": {(list_uri()): self.list},
        });
        if let (Some(audience), Some(nonce)) = (self.audience, self.nonce) {
            (case["audience"], case["nonce"]) = (json!(audience), json!(nonce));
        }
        case
    }
}

/// What must be accepted.
fn good() -> Vec<Case> {
    let whole = credential(true);
    let two = shown(&whole);
    vec![
        Case::open("the credential", whole.clone(), Accept, Accept),
        Case::open("a credential for paper", credential(false), Accept, Accept),
        Case::open("a presentation of two claims", two.clone(), Accept, Accept),
        Case::open("one of none", format!("{}~", jwt_of(&whole)), Accept, Accept),
        Case::asked("a bound presentation", bound(&two, NOW, &holder()), Accept, Accept),
        Case::asked("all of it, bound", bound(&whole, NOW, &holder()), Accept, Accept),
        Case {
            now: EXPIRES - 1,
            list: altered(
                0,
                |_, p| (p["iat"], p["exp"]) = (json!(EXPIRES - 9), json!(EXPIRES + 9)),
                &status_key(),
            ),
            ..Case::open("in its last second", two, Accept, Accept)
        },
    ]
}

fn jwt_of(sd_jwt: &str) -> &str {
    sd_jwt.split('~').next().unwrap()
}

/// What its status list says, most of it against it.
fn status() -> Vec<Case> {
    let presentation = || bound(&shown(&credential(true)), NOW, &holder());
    let case =
        |name, list, node, python| Case { list, ..Case::asked(name, presentation(), node, python) };
    let key = status_key();
    let short = token_parts(&packed(INDEX as usize / 4 * 4, &[]), NOW);
    vec![
        case("a list of a million", full_token(0), Accept, Accept),
        case("revoked, in a list of a million", full_token(1), Library, Caller),
        case("revoked", token(1), Library, Caller),
        case("suspended", token(2), Library, Caller),
        case("a status that has no name", token(3), Library, Caller),
        case("a list signed by another key", altered(0, |_, _| {}, &stranger()), Library, Library),
        case(
            "a list of another type",
            altered(0, |h, _| h["typ"] = json!("JWT"), &key),
            Caller,
            Caller,
        ),
        case(
            "a list of another algorithm",
            altered(0, |h, _| h["alg"] = json!("EdDSA"), &key),
            Caller,
            Caller,
        ),
        case(
            "an expired list",
            altered(0, |_, p| p["exp"] = json!(NOW - 1), &key),
            Library,
            Caller,
        ),
        case(
            "a list of another address",
            altered(0, |_, p| p["sub"] = json!(format!("{}0", list_uri())), &key),
            Caller,
            Caller,
        ),
        case("a list that ends before it", jws(&short.0, &short.1, &key), Library, Library),
    ]
}

/// What is wrong with the holder's signature.
fn binding() -> Vec<Case> {
    let (whole, key) = (credential(true), holder());
    let two = shown(&whole);
    let good = bound(&two, NOW, &key);
    let (front, jwt) = good.rsplit_once('~').unwrap();
    let (header, payload) = parts(jwt);
    let other_type = jws(&json!({"alg": "Ed25519", "typ": "JWT"}), &payload, &key);
    let other_algorithm = jws(&json!({"alg": "ES256", "typ": "kb+jwt"}), &payload, &key);
    let mut without_hash = payload.clone();
    without_hash["sd_hash"] = Value::Null;
    let asked = Case::asked;
    vec![
        Case {
            audience: Some("https://another.example"),
            ..asked("for another audience", good.clone(), Caller, Library)
        },
        Case { nonce: Some("another"), ..asked("another nonce", good.clone(), Library, Library) },
        asked("61 seconds old", bound(&two, NOW - 61, &key), Caller, Caller),
        asked("from the future", bound(&two, NOW + 11, &key), Caller, Caller),
        asked("none", two.clone(), Library, Library),
        asked("signed by another key", bound(&two, NOW, &stranger()), Library, Library),
        asked("for a paper credential", bound(&credential(false), NOW, &key), Library, Library),
        asked("a key binding of another type", format!("{front}~{other_type}"), Library, Library),
        asked(
            "a key binding of another algorithm",
            format!("{front}~{other_algorithm}"),
            Caller,
            Library,
        ),
        asked(
            "a key binding of no presentation",
            format!("{front}~{}", jws(&header, &without_hash, &key)),
            Library,
            Library,
        ),
    ]
}

/// What is wrong with what is shown.
fn disclosures() -> Vec<Case> {
    let whole = credential(true);
    let good = bound(&shown(&whole), NOW, &holder());
    let pieces: Vec<&str> = good.split('~').collect();
    let forged = to_base64url(r#"["AQEBAQEBAQEBAQEBAQEBAQ","name","another"]"#.as_bytes());
    let rejoined = |pieces: &[&str]| pieces.join("~");
    let [jwt, first, second, binding] = pieces[..] else { unreachable!("two claims are shown") };
    let other = whole.split('~').nth(2).unwrap();
    let asked = |name, pieces: &[&str]| Case::asked(name, rejoined(pieces), Library, Library);
    vec![
        asked("a dropped disclosure", &[jwt, first, binding]),
        asked("all dropped", &[jwt, binding]),
        asked("a forged disclosure in its place", &[jwt, &forged, second, binding]),
        asked("a forged disclosure more", &[jwt, first, second, &forged, binding]),
        asked("one more of the same credential", &[jwt, first, second, other, binding]),
        asked("in another order", &[jwt, second, first, binding]),
        // Without key binding nothing covers the set: what is forged is left out, not shown.
        Case::open("forged, unbound", rejoined(&[jwt, &forged, ""]), Accept, Accept),
    ]
}

/// What is wrong with the issuer's token.
fn token_itself() -> Vec<Case> {
    let whole = credential(true);
    let (jwt, rest) = whole.split_once('~').unwrap();
    let (_, payload) = parts(jwt);
    let unsigned =
        jws(&json!({"alg": "none", "typ": "dc+sd-jwt", "kid": "3"}), &payload, &issuer());
    let unsigned = format!("{}.~{rest}", unsigned.rsplit_once('.').unwrap().0);
    let signature = jwt.rsplit_once('.').unwrap().1;
    let renamed = with_header(&whole, "alg", "ES256", &issuer());
    let renamed_front = jwt_of(&renamed).rsplit_once('.').unwrap().0;
    let typed = |value| with_header(&whole, "typ", value, &issuer());
    let open = Case::open;
    vec![
        open("alg none without a signature", unsigned, Library, Library),
        open("alg HS256 under the public key", hs256(&payload, rest), Library, Library),
        open(
            "alg renamed, signature kept",
            format!("{renamed_front}.{signature}~{rest}"),
            Library,
            Library,
        ),
        open("alg ES256, signed with Ed25519", renamed.clone(), Caller, Library),
        open("alg EdDSA", with_header(&whole, "alg", "EdDSA", &issuer()), Caller, Caller),
        open("typ vc+sd-jwt", typed("vc+sd-jwt"), Caller, Caller),
        open("typ JWT", typed("JWT"), Caller, Caller),
        open(
            "signed by another key",
            with_header(&whole, "kid", "3", &stranger()),
            Library,
            Library,
        ),
        Case { now: EXPIRES + 1, ..open("expired", whole.clone(), Library, Caller) },
        Case { now: NOT_BEFORE - 1, ..open("not yet valid", whole.clone(), Library, Caller) },
    ]
}

/// The old trick: an HMAC whose secret is the issuer's public key.
fn hs256(payload: &Value, rest: &str) -> String {
    let header = json!({"alg": "HS256", "typ": "dc+sd-jwt", "kid": "3"});
    let part = |value: &Value| to_base64url(value.to_string().as_bytes());
    let input = format!("{}.{}", part(&header), part(payload));
    let mut mac = Hmac::<Sha256>::new_from_slice(issuer().public_key().as_bytes()).unwrap();
    mac.update(input.as_bytes());
    format!("{input}.{}~{rest}", to_base64url(&mac.finalize().into_bytes()))
}

/// Asks `stock` about all cases at once, and holds each answer against its row.
fn check(stock: Stock, cases: &[Case], expected: impl Fn(&Case) -> Say) {
    let given = json!({
        "issuer_key": jwk(&issuer()), "status_key": jwk(&status_key()),
        "cases": cases.iter().map(Case::json).collect::<Vec<_>>(),
    });
    let answers = stock.ask("verify", &given);
    assert_eq!(answers.as_array().unwrap().len(), cases.len());
    let mut wrong = Vec::new();
    for (case, answer) in cases.iter().zip(answers.as_array().unwrap()) {
        let said = match (answer["accepted"].as_bool(), answer["by"].as_str()) {
            (Some(true), None) => Accept,
            (_, Some("library")) => Library,
            _ => Caller,
        };
        if said != expected(case) {
            wrong.push(format!("{}: {said:?}, not {:?}: {answer}", case.name, expected(case)));
        }
        if said == Accept {
            shows_only_what_was_signed(case, &answer["claims"]);
        }
    }
    assert!(wrong.is_empty(), "{stock:?}\n{}", wrong.join("\n"));
}

fn shows_only_what_was_signed(case: &Case, claims: &Value) {
    assert_eq!(claims["iss"], "https://shanghai.province.example/a/11310000MB2F30170G");
    let named = |name: &str| case.presentation.split('~').skip(1).any(|d| name_of(d) == name);
    let name = claims.get("name").and_then(Value::as_str);
    let signed = named("name") && case.name != "forged, unbound";
    assert_eq!(name, signed.then_some("侯寒秋"), "{}", case.name);
    assert_eq!(claims.get("address").is_some(), named("address"), "{}", case.name);
}

/// The name of the claim in a disclosure.
fn name_of(disclosure: &str) -> String {
    let bytes = symbolon_credential::encoding::from_base64url(disclosure).unwrap_or_default();
    let read: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    read[1].as_str().unwrap_or_default().to_owned()
}

fn cases() -> Vec<Case> {
    [good(), status(), binding(), disclosures(), token_itself()].into_iter().flatten().collect()
}

#[test]
fn npm_packages_accept_and_refuse_what_we_do() {
    check(Stock::Node, &cases(), |case| case.node);
}

#[test]
fn pypi_packages_accept_and_refuse_what_we_do() {
    check(Stock::Python, &cases(), |case| case.python);
}

#[test]
fn presentations_of_stock_wallets_are_read_here() {
    let given = json!({
        "credential": credential(true), "show": SHOWN, "holder_key": private_jwk(&holder()),
        "audience": AUDIENCE, "nonce": NONCE, "now": NOW,
    });
    for stock in [Stock::Node, Stock::Python] {
        let answer = stock.ask("present", &given);
        let parsed = Parsed::parse(answer.as_str().unwrap()).unwrap();
        let checked = parsed.check_signature(&issuer().public_key()).unwrap();
        let claims = checked.disclose().unwrap();
        assert_eq!(claims.claims().keys().collect::<Vec<_>>(), SHOWN, "{stock:?}");
        let KeyBinding { audience, nonce, .. } = checked.key_binding().unwrap().unwrap();
        assert_eq!((audience.as_str(), nonce.as_str()), (AUDIENCE, NONCE), "{stock:?}");
    }
}

#[test]
fn every_value_is_read_at_its_place() {
    let values: Vec<(u32, u8)> = (0..32).map(|i| (i, (i % 4) as u8)).collect();
    let last = [(4_096 - 1, 3)];
    let (header, payload) = token_parts(&packed(4_096, &[&values[..], &last].concat()), NOW);
    let places: Vec<u32> = (0..40).chain([4_095]).collect();
    let given = json!({"token": jws(&header, &payload, &status_key()), "places": places});
    let expected: Vec<u8> = (0..40).map(|i| if i < 32 { i % 4 } else { 0 }).chain([3]).collect();
    for stock in [Stock::Node, Stock::Python] {
        assert_eq!(stock.ask("statuses", &given), json!(expected), "{stock:?}");
    }
}
