//! A presentation, and the proof stapled to it, with each of their bits flipped in turn: none is
//! accepted. What is flipped is the presentation's text; its QR form has a test of its own.

use symbolon_credential::sd_jwt::{KeyBinding, SELF_PRESENTED, bind};

use super::*;
use crate::{
    samples::flips::for_every_bit,
    state_proof::{check, check_included},
};

#[test]
fn no_flipped_bit_of_a_presentation_is_accepted() {
    let desk = Desk::new();
    let now_ms = desk.made() + 1_000;
    let request = Request { now_ms, ..desk.scene.request.clone() };
    let nonce = "Zmxpcw".to_owned();
    let audience = SELF_PRESENTED.to_owned();
    let binding = KeyBinding { audience, nonce, issued_at: now_ms / 1_000 };
    let text = bind(&desk.scene.shown(), &binding, &desk.scene.holder);
    let (states, trust) = ([desk.prove(&desk.keys())], desk.chain.pinned(desk.at - 1));
    let evidence = Evidence { states: &states, list: None };
    // The records of the genuine one, whatever the altered text says of itself.
    let as_of = AsOf::of(desk.chain.header(desk.at));
    let view = LedgerView { as_of, licence_as_of: as_of, ..desk.scene.view.clone() };
    let ledger = Ledger::At(Box::new(view));
    let answers = |bytes: &[u8]| {
        let parsed = Parsed::parse(std::str::from_utf8(bytes).ok()?).ok()?;
        let offline = verify(&parsed, &evidence, &trust, MAX_AGE, &request);
        Some((offline, judge(&parsed, &ledger, &request)))
    };
    let (offline, online) = answers(text.as_bytes()).unwrap();
    assert_eq!((offline.outcome, online.outcome), (Outcome::Valid, Outcome::Valid));
    assert_eq!((offline.holder_bound, online.holder_bound), (Some(true), Some(true)));
    let mut judged = 0;
    for_every_bit(text.as_bytes(), |place, bytes| {
        let Some((offline, online)) = answers(bytes) else { return };
        assert_ne!(offline.outcome, Outcome::Valid, "{place}");
        assert_eq!(online.outcome, Outcome::Invalid, "{place}");
        judged += 1;
    });
    assert!(judged > text.len(), "only {judged} of the altered texts were judged");
}

#[test]
fn no_flipped_bit_of_a_stapled_proof_proves_an_untruth() {
    let mut desk = Desk::new();
    let below = desk.at;
    let proof = encode(&desk.map.proof(&desk.chain, below, &desk.keys()));
    desk.at = desk.chain.block_of(sha256(b""), desk.map.root());
    let link = encode(&desk.chain.inclusion(below, desk.at));
    let (above, trust) = (desk.chain.pinned(below - 1), desk.chain.pinned(desk.at));
    let whole = check(&proof, &above).unwrap();
    assert_eq!(check_included(&proof, &trust, Some(&link)).as_ref(), Ok(&whole));
    let mut other_keys = 0;
    for_every_bit(&proof, |place, bytes| {
        let Ok(checked) = check_included(bytes, &trust, Some(&link)) else { return };
        assert_eq!(checked.header(), whole.header(), "{place}");
        for (key, record) in checked.entries() {
            assert_eq!(record.as_ref(), desk.map.get(key), "{place}");
        }
        // Another key may be absent as well, by the same path; then the one asked for is not
        // covered, and nothing is decided on it.
        assert_ne!(checked.entries(), whole.entries(), "{place}");
        other_keys += 1;
    });
    assert!(other_keys < 64, "{other_keys} altered proofs hold");
    for_every_bit(&link, |place, bytes| {
        assert!(check_included(&proof, &trust, Some(bytes)).is_err(), "link, {place}");
    });
}
