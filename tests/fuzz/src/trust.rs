//! Trust bundles and inclusions: whoever cannot sign leads nobody to another block.

use std::sync::LazyLock;

use serde_json::Value;
use symbolon_ledger::hash::Digest;
use symbolon_verify::trust::{Anchor, Trust};

use super::{from_hex, list_at, text_at, vectors};

static VECTORS: LazyLock<Value> =
    LazyLock::new(|| vectors(include_str!("../../vectors/trust-bundles.json")));

fn digest(text: &str) -> Digest {
    text.parse().expect("the vectors have digests")
}

fn anchor() -> Anchor<'static> {
    let named = |name: &str| digest(text_at(&VECTORS, &format!("/anchor/{name}")));
    let (chain_id, block) = (named("chain_id"), named("genesis"));
    Anchor::Genesis { chain_id, block, validators: named("validators_hash") }
}

fn now_ms() -> u64 {
    VECTORS["now_ms"].as_u64().expect("the vectors have a time")
}

/// A bundle that holds has one spelling and ends at a block of the vectors, whether it stands
/// alone or extends a kept one.
pub(super) fn trust_bundle(bytes: &[u8]) -> bool {
    static BLOCKS: LazyLock<Vec<Digest>> = LazyLock::new(|| {
        list_at(&VECTORS, "/valid").iter().map(|v| digest(text_at(v, "/block"))).collect()
    });
    static KEPT: LazyLock<(Trust, Vec<u8>)> = LazyLock::new(|| {
        let kept = from_hex(text_at(&VECTORS, "/extensions/0/kept"));
        let trust = Trust::check(&kept, &anchor(), now_ms()).expect("the vectors' bundle holds");
        (trust, from_hex(text_at(&VECTORS, "/extensions/0/link")))
    });
    let (kept, link) = &*KEPT;
    if let Ok(extended) = kept.extend(bytes, Some(link), now_ms()) {
        assert!(BLOCKS.contains(&extended.pin().hash()), "extended to a block that nobody made");
    }
    let Ok(trust) = Trust::check(bytes, &anchor(), now_ms()) else { return false };
    assert!(BLOCKS.contains(&trust.pin().hash()), "a pin that nobody made");
    assert_eq!(trust.to_bytes(), bytes, "a second spelling");
    true
}

/// Every bundle of the vectors that holds.
pub(super) fn trust_bundle_seeds() -> Vec<Vec<u8>> {
    list_at(&VECTORS, "/valid").iter().map(|v| from_hex(text_at(v, "/cbor"))).collect()
}

/// A header of the vectors with the one inclusion under which it is believed.
struct Included {
    header: Vec<u8>,
    certificate: Vec<u8>,
    inclusion: Vec<u8>,
}

static INCLUDED: LazyLock<Vec<Included>> = LazyLock::new(|| {
    let believed = |case: &&Value| case["block"].is_string() && case["inclusion"].is_string();
    let cases = list_at(&VECTORS, "/headers/cases").iter().filter(believed);
    let read = |case: &Value| Included {
        header: from_hex(text_at(case, "/header")),
        certificate: from_hex(text_at(case, "/certificate")),
        inclusion: from_hex(text_at(case, "/inclusion")),
    };
    cases.map(read).collect()
});

/// An inclusion is believed for its own block, in one spelling.
pub(super) fn inclusion(bytes: &[u8]) -> bool {
    static TRUST: LazyLock<Trust> = LazyLock::new(|| {
        let bundle = from_hex(text_at(&VECTORS, "/headers/bundle"));
        Trust::check(&bundle, &anchor(), now_ms()).expect("the vectors' bundle holds")
    });
    let mut accepted = false;
    for Included { header, certificate, inclusion } in INCLUDED.iter() {
        if TRUST.check_header(header, Some(certificate), Some(bytes)).is_ok() {
            assert_eq!(bytes, inclusion, "another inclusion of the same block");
            accepted = true;
        }
    }
    accepted
}

/// Every inclusion of the vectors that holds.
pub(super) fn inclusion_seeds() -> Vec<Vec<u8>> {
    INCLUDED.iter().map(|case| case.inclusion.clone()).collect()
}
