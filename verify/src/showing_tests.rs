//! The holder's part of a verdict: levels, freshness, and what a memory adds.

use symbolon_credential::sd_jwt::{KeyBinding, Parsed, bind};
use symbolon_ledger::{operation::RevocationClass, records::LicenceStatus};

use super::*;
use crate::{
    judge::{Ledger, hear, judge},
    samples::{FRESH_MS, NOW_MS, Scene},
};

const POLICE: &str = "https://police.example";

fn binding(audience: &str, nonce: &str, age: i64) -> KeyBinding {
    let now = NOW_MS / 1_000;
    KeyBinding {
        audience: audience.to_owned(),
        nonce: nonce.to_owned(),
        issued_at: now.saturating_add_signed(-age),
    }
}

/// A scene in which these were asked for.
fn asking(audience: Option<&str>, nonce: Option<&str>) -> Scene {
    let mut scene = Scene::new();
    scene.request.audience = audience.map(str::to_owned);
    scene.request.nonce = nonce.map(str::to_owned);
    scene
}

fn ledger(scene: &Scene) -> Ledger {
    Ledger::At(Box::new(scene.view.clone()))
}

fn judged(scene: &Scene, text: &str) -> Judged {
    hear(&Parsed::parse(text).unwrap(), &ledger(scene), &scene.request)
}

fn verdict(scene: &Scene, text: &str) -> Verdict {
    let presentation = Parsed::parse(text).unwrap();
    let verdict = judge(&presentation, &ledger(scene), &scene.request);
    assert_eq!(judged(scene, text).verdict(Seen::First), verdict, "no memory is a first showing");
    verdict
}

#[test]
fn the_holders_signature_is_judged_when_there_is_one() {
    use Reason::{BadHolderBinding as Bad, StalePresentation as Stale};
    let (own, police, bank) = (SELF_PRESENTED, Some(POLICE), Some("https://bank.example"));
    let rows = [
        // Nothing asked: made for whoever scans it, within a minute.
        (None, None, own, 0, None),
        (None, None, own, 60, None),
        (None, None, own, 61, Some(Stale)),
        (None, None, own, -10, None),
        (None, None, own, -11, Some(Stale)),
        (None, None, POLICE, 0, Some(Bad)),
        (None, None, "", 0, Some(Bad)),
        // An audience: for this verifier only, within a minute.
        (police, None, POLICE, 60, None),
        (police, None, POLICE, 61, Some(Stale)),
        (police, None, own, 5, Some(Bad)),
        (bank, None, POLICE, 5, Some(Bad)),
        (Some(own), None, own, 5, None),
        // A challenge: within five minutes, which its own life may shorten.
        (police, Some("n1"), POLICE, 5, None),
        (police, Some("n1"), POLICE, 300, None),
        (police, Some("n1"), POLICE, 301, Some(Stale)),
        (police, Some("n1"), POLICE, -11, Some(Stale)),
        (police, Some("n2"), POLICE, 5, Some(Bad)),
        (police, Some("n2"), POLICE, 301, Some(Bad)),
        (bank, Some("n1"), POLICE, 5, Some(Bad)),
        (None, Some("n1"), own, 5, None),
        (None, Some("n1"), POLICE, 5, Some(Bad)),
    ];
    for (i, (audience, nonce, signed_for, age, reason)) in rows.into_iter().enumerate() {
        let scene = asking(audience, nonce);
        let text = bind(&scene.shown(), &binding(signed_for, "n1", age), &scene.holder);
        let verdict = verdict(&scene, &text);
        assert_eq!(verdict.reason, reason, "row {i}");
        assert_eq!(verdict.holder_bound, Some(reason.is_none()), "row {i}");
        assert_eq!(judged(&scene, &text).showing().is_some(), reason.is_none(), "row {i}");
    }
}

#[test]
fn freshness_of_a_presentation_is_not_moved_by_at() {
    let mut scene = Scene::new();
    scene.request.at_ms = Some(NOW_MS - 3_600_000);
    let text = bind(&scene.shown(), &binding(SELF_PRESENTED, "n1", 3_600), &scene.holder);
    assert_eq!(verdict(&scene, &text).reason, Some(Reason::StalePresentation));
}

#[test]
fn a_wrong_holders_signature_is_invalid_and_none_is_null() {
    let scene = Scene::new();
    let signed = |by| bind(&scene.shown(), &binding(SELF_PRESENTED, "n1", 0), by);
    let forged = verdict(&scene, &signed(&scene.issuer));
    let expected = (Outcome::Invalid, Some(Reason::BadHolderBinding), Some(false));
    assert_eq!((forged.outcome, forged.reason, forged.holder_bound), expected);
    assert_eq!(judged(&scene, &signed(&scene.issuer)).showing(), None, "noise is not remembered");

    let unbound = verdict(&scene, &scene.shown());
    assert_eq!((unbound.outcome, unbound.holder_bound), (Outcome::Valid, None));
    assert!(unbound.message.en.contains("compare the person"), "{}", unbound.message.en);
    assert!(unbound.message.zh.ends_with("未核验持证人，请核对本人。"), "{}", unbound.message.zh);

    let challenged = asking(None, Some("n1"));
    let ignored = verdict(&challenged, &challenged.shown());
    assert_eq!((ignored.reason, ignored.holder_bound), (Some(Reason::BadHolderBinding), None));
}

#[test]
fn a_paper_licence_is_valid_and_says_that_the_holder_is_not_verified() {
    let paper = Scene::with_holder(false);
    let printed = verdict(&paper, &paper.shown());
    assert_eq!((printed.outcome, printed.holder_bound), (Outcome::Valid, None));
    let check = printed.check(CheckName::HolderBinding).unwrap();
    assert_eq!(check.result, CheckResult::Skipped);
    assert!(check.detail.starts_with("a paper licence"), "{}", check.detail);
    for (text, part) in [
        (&printed.message.en, "A paper licence has no holder's key"),
        (&printed.message.en, "compare the person"),
        (&printed.message.zh, "纸质版不含持证人密钥，未核验持证人，请核对本人。"),
    ] {
        assert!(text.contains(part), "{text}");
    }
    let pasted = bind(&paper.shown(), &binding(SELF_PRESENTED, "n1", 0), &paper.holder);
    assert_eq!(verdict(&paper, &pasted).reason, Some(Reason::BadHolderBinding));
}

/// A showing, with what a memory says of it.
fn seen(scene: &Scene, seen: Seen) -> Verdict {
    let audience = scene.request.audience.as_deref().unwrap_or(SELF_PRESENTED);
    let text = bind(&scene.shown(), &binding(audience, "n1", 0), &scene.holder);
    judged(scene, &text).verdict(seen)
}

/// A change of the scene, and what comes of it at a first showing.
type Change = (fn(&mut Scene), Outcome, Option<Reason>);

#[test]
fn what_a_memory_says_fails_the_last_check_and_no_other() {
    let revoked = |s: &mut Scene| {
        let class = RevocationClass::Penalty;
        s.view.licence.as_mut().unwrap().status = LicenceStatus::Revoked { class };
    };
    let stale = |s: &mut Scene| s.view.as_of.time_ms = NOW_MS - FRESH_MS - 1;
    let absent = |s: &mut Scene| s.view.licence = None;
    let changes: [Change; 4] = [
        (|_| {}, Outcome::Valid, None),
        (revoked, Outcome::Invalid, Some(Reason::Revoked)),
        (stale, Outcome::Undetermined, Some(Reason::StaleLedger)),
        (absent, Outcome::Unknown, Some(Reason::NotOnLedger)),
    ];
    let memories = [
        (Seen::Before, Outcome::Invalid, Reason::Replayed),
        (Seen::ChallengeOver, Outcome::Invalid, Reason::StalePresentation),
        (Seen::ChallengeUnknown, Outcome::Invalid, Reason::BadHolderBinding),
        (Seen::Forgotten, Outcome::Undetermined, Reason::StalePresentation),
        (Seen::ChallengeForgotten, Outcome::Undetermined, Reason::StalePresentation),
    ];
    for (i, (change, outcome, reason)) in changes.into_iter().enumerate() {
        let mut scene = asking(Some(POLICE), Some("n1"));
        change(&mut scene);
        let first = seen(&scene, Seen::First);
        assert_eq!((first.outcome, first.reason), (outcome, reason), "row {i}");
        assert_eq!(first.holder_bound, Some(true), "row {i}");
        for (memory, fault, why) in memories {
            let verdict = seen(&scene, memory);
            // What was proven wrong before stays the reason, and so does one doubt beside another;
            // everything else gives way.
            let stays = outcome == Outcome::Invalid || outcome == fault;
            let expected = if stays { (outcome, reason) } else { (fault, Some(why)) };
            assert_eq!((verdict.outcome, verdict.reason), expected, "row {i}");
            let fails = fault == Outcome::Invalid;
            assert_eq!(verdict.holder_bound, fails.then_some(false), "row {i}");
            let check = verdict.check(CheckName::HolderBinding).unwrap();
            assert_eq!(check.result == CheckResult::Fail, fails, "row {i}");
            assert_ne!(check.result, CheckResult::Pass, "row {i}");
            let Message { zh, en } = &verdict.message;
            assert!(en.starts_with("Not recognised in Beijing: "), "row {i}");
            let invalid = verdict.outcome == Outcome::Invalid;
            assert_eq!(en.contains("Invalid: "), invalid, "row {i}: {en}");
            assert_eq!(zh.contains("无效："), invalid, "row {i}: {zh}");
            assert_eq!(en.contains("Cannot be decided now: "), !invalid, "row {i}: {en}");
            let others = |v: &Verdict| v.checks[..8].to_vec();
            assert_eq!(others(&verdict), others(&first), "row {i}");
            assert_eq!((&verdict.claims, &verdict.cid), (&first.claims, &first.cid), "row {i}");
        }
    }
}

#[test]
fn a_showing_is_named_by_holder_audience_and_nonce_and_by_nothing_else() {
    let named = |audience: &str, nonce: &str, age: i64, shown: &[&str]| {
        let scene = asking(Some(audience), None);
        let shown = Parsed::parse(&scene.credential).unwrap().present(shown).unwrap();
        let text = bind(&shown, &binding(audience, nonce, age), &scene.holder);
        judged(&scene, &text).showing().copied().unwrap()
    };
    let first = named("a", "n", 0, &["name"]);
    assert_eq!(named("a", "n", 0, &["class"]).digest, first.digest, "another selection");
    assert_eq!(named("a", "n", 9, &["name"]).digest, first.digest, "signed again");
    assert_ne!(named("a", "m", 0, &["name"]).digest, first.digest);
    assert_ne!(named("b", "n", 0, &["name"]).digest, first.digest);
    assert_ne!(named("an", "", 0, &["name"]).digest, first.digest, "parts do not run together");
    let now = NOW_MS / 1_000;
    assert_eq!((first.signed_at_s, first.fresh_until_s), (now, now + MAX_CHALLENGE_AGE_S));
    assert_eq!(named("a", "n", 9, &["name"]).fresh_until_s, now - 9 + MAX_CHALLENGE_AGE_S);
}

#[test]
fn a_memory_is_not_asked_about_what_is_not_signed_for_this_request() {
    let scene = Scene::new();
    let of = |text: &str| judged(&scene, text).showing().copied();
    assert_eq!(of(&scene.shown()), None, "nobody signed");
    let mut other_issuer = Scene::new();
    other_issuer.view.key.as_mut().unwrap().key = scene.holder.public_key();
    let text = bind(&scene.shown(), &binding(SELF_PRESENTED, "n1", 0), &scene.holder);
    assert!(of(&text).is_some());
    assert_eq!(judged(&other_issuer, &text).showing(), None, "the issuer's signature fails");
    assert_eq!(
        judged(&other_issuer, &text).verdict(Seen::Before).reason,
        Some(Reason::BadSignature)
    );
}

#[test]
fn no_byte_of_a_presentation_can_change_unnoticed() {
    let scene = Scene::new();
    let text = bind(&scene.shown(), &binding(SELF_PRESENTED, "n1", 0), &scene.holder);
    assert_eq!(verdict(&scene, &text).outcome, Outcome::Valid);
    for at in 0..text.len() {
        let old = text.as_bytes()[at];
        // One bit, and another character of the alphabet, which no parser refuses.
        for new in [old ^ 1, if old == b'A' { b'B' } else { b'A' }] {
            let mut changed = text.clone().into_bytes();
            changed[at] = new;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            let Ok(presentation) = Parsed::parse(&changed) else { continue };
            let verdict = judge(&presentation, &ledger(&scene), &scene.request);
            assert_eq!(verdict.outcome, Outcome::Invalid, "byte {at}: {verdict:?}");
        }
    }
    for end in 0..text.len() {
        let Ok(presentation) = Parsed::parse(&text[..end]) else { continue };
        let cut = judge(&presentation, &ledger(&scene), &scene.request);
        assert_ne!(cut.holder_bound, Some(true), "the first {end} bytes");
    }
}
