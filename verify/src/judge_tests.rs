//! The verdict over every combination that matters: what is wrong, alone and together.

use symbolon_ledger::{
    catalogue::Disclosure,
    codes::Day,
    hash::Digest,
    operation::{Interval, RevocationClass},
    records::RecognitionRecord,
};

use super::*;
use crate::{
    samples::{FRESH_MS, ISSUED_AT, NOW_MS, Scene, key_record},
    verdict::{Recognised, RecognitionReason},
};

type Change = fn(&mut Scene);

fn judge_scene(scene: &Scene, text: &str) -> Verdict {
    let presentation = Parsed::parse(text).unwrap();
    judge(&presentation, &Ledger::At(Box::new(scene.view.clone())), &scene.request)
}

fn verdict(changes: &[Change]) -> Verdict {
    let mut scene = Scene::new();
    for change in changes {
        change(&mut scene);
    }
    judge_scene(&scene, &scene.shown())
}

fn status(scene: &mut Scene, status: LicenceStatus) {
    scene.view.licence.as_mut().unwrap().status = status;
}

const STALE: Change = |s| s.view.as_of.time_ms = NOW_MS - FRESH_MS - 1;
const ABSENT: Change = |s| {
    s.view.licence = None;
    s.view.transaction_key = None;
};
const SUSPENDED: Change = |s| status(s, LicenceStatus::Suspended);
const PENDING: Change = |s| status(s, LicenceStatus::TransferPending { to: 2 });
const SUPERSEDED: Change = |s| status(s, LicenceStatus::Superseded { by: Digest([8; 32]) });
const REVOKED: Change = |s| status(s, LicenceStatus::Revoked { class: RevocationClass::Penalty });
const EXPIRED: Change = |s| s.request.at_ms = Some(1_830_268_800_000); // 2028-01-01 in Beijing
const TOO_EARLY: Change = |s| s.request.at_ms = Some(1_704_038_399_000); // the second before
const NO_AGENCY: Change = |s| {
    s.view.agency = None;
    s.view.province = None;
    s.view.key = None;
    ABSENT(s);
};
const NO_KEY: Change = |s| s.view.key = None;
const OTHER_KEY: Change = |s| {
    let holder = key_record(&s.holder, KeyPurpose::Credential);
    s.view.key = Some(holder.into());
};
const OTHER_PURPOSE: Change = |s| {
    s.view.key.as_mut().unwrap().purpose = KeyPurpose::Transaction;
};
const KEY_TOO_YOUNG: Change = |s| s.view.key.as_mut().unwrap().valid_from = ISSUED_AT + 1;
const KEY_ENDED: Change = |s| s.view.key.as_mut().unwrap().valid_until = Some(ISSUED_AT - 1);
const KEY_ENDED_SINCE: Change = |s| s.view.key.as_mut().unwrap().valid_until = Some(ISSUED_AT);
const OTHER_ORIGIN: Change = |s| {
    s.view.province.as_mut().unwrap().issuer_origin = "https://x.example".parse().unwrap();
};
const LOST: Change = |s| s.view.key.as_mut().unwrap().compromised_from = Some(ISSUED_AT);
const LOST_SINCE: Change = |s| {
    s.view.key.as_mut().unwrap().compromised_from = Some(ISSUED_AT + 1);
};
const SIGNER_LOST: Change = |s| {
    s.view.transaction_key.as_mut().unwrap().compromised_from = Some(1);
};
const OTHER_TYPE: Change = |s| s.view.licence.as_mut().unwrap().type_index = 6;
const NO_TYPE: Change = |s| s.view.licence_type = None;
const OTHER_AGENCY: Change = |s| s.view.licence.as_mut().unwrap().agency_index = 9;
const OTHER_KEY_ID: Change = |s| s.view.licence.as_mut().unwrap().credential_key = 4;
const AGENCY_SUSPENDED: Change = |s| {
    s.view.agency.as_mut().unwrap().status = AgencyStatus::Suspended;
};
const AGENCY_GONE: Change = |s| {
    s.view.agency.as_mut().unwrap().status = AgencyStatus::Deregistered;
};
const BEFORE_WINDOW: Change = |s| {
    s.request.at_ms = Some(NOW_MS - 2_000);
    s.request.earliest_at_ms = Some(NOW_MS - 1_000);
};

#[test]
fn outcome_and_reason_of_every_combination_that_matters() {
    use Outcome::{Invalid, Undetermined, Unknown, Valid};
    use Reason as R;
    let rows: &[(&[Change], Outcome, Option<Reason>)] = &[
        (&[], Valid, None),
        // What leaves a licence as it is.
        (&[AGENCY_SUSPENDED], Valid, None),
        (&[AGENCY_GONE], Valid, None),
        (&[KEY_ENDED_SINCE], Valid, None),
        (&[LOST_SINCE], Valid, None),
        // One thing proven wrong.
        (&[NO_AGENCY], Invalid, Some(R::IssuerNotAuthorised)),
        (&[NO_KEY], Invalid, Some(R::IssuerNotAuthorised)),
        (&[OTHER_ORIGIN], Invalid, Some(R::IssuerNotAuthorised)),
        (&[OTHER_PURPOSE], Invalid, Some(R::IssuerNotAuthorised)),
        (&[KEY_TOO_YOUNG], Invalid, Some(R::IssuerNotAuthorised)),
        (&[KEY_ENDED], Invalid, Some(R::IssuerNotAuthorised)),
        (&[OTHER_KEY], Invalid, Some(R::BadSignature)),
        (&[OTHER_TYPE], Invalid, Some(R::LedgerMismatch)),
        (&[NO_TYPE], Invalid, Some(R::LedgerMismatch)),
        (&[OTHER_AGENCY], Invalid, Some(R::LedgerMismatch)),
        (&[OTHER_KEY_ID], Invalid, Some(R::LedgerMismatch)),
        (&[LOST], Invalid, Some(R::IssuerKeyCompromised)),
        (&[SIGNER_LOST], Invalid, Some(R::IssuerKeyCompromised)),
        (&[SUSPENDED], Invalid, Some(R::Suspended)),
        (&[PENDING], Invalid, Some(R::TransferPending)),
        (&[SUPERSEDED], Invalid, Some(R::Superseded)),
        (&[REVOKED], Invalid, Some(R::Revoked)),
        (&[EXPIRED], Invalid, Some(R::Expired)),
        (&[TOO_EARLY], Invalid, Some(R::NotYetValid)),
        // The first in the order of checks is the reason.
        (&[OTHER_KEY, REVOKED, EXPIRED], Invalid, Some(R::BadSignature)),
        (&[OTHER_ORIGIN, OTHER_KEY], Invalid, Some(R::IssuerNotAuthorised)),
        (&[OTHER_TYPE, LOST], Invalid, Some(R::LedgerMismatch)),
        (&[LOST, REVOKED], Invalid, Some(R::IssuerKeyCompromised)),
        (&[REVOKED, EXPIRED], Invalid, Some(R::Revoked)),
        (&[SUSPENDED, EXPIRED], Invalid, Some(R::Suspended)),
        // Not on the ledger: unknown only when nothing else is wrong.
        (&[ABSENT], Unknown, Some(R::NotOnLedger)),
        (&[ABSENT, EXPIRED], Invalid, Some(R::Expired)),
        (&[ABSENT, OTHER_KEY], Invalid, Some(R::BadSignature)),
        (&[ABSENT, LOST_SINCE], Invalid, Some(R::IssuerKeyCompromised)),
        (&[ABSENT, BEFORE_WINDOW], Undetermined, Some(R::BeforeRetainedWindow)),
        // An old header: what is final stands, what may have changed does not.
        (&[STALE], Undetermined, Some(R::StaleLedger)),
        (&[STALE, ABSENT], Undetermined, Some(R::StaleLedger)),
        (&[STALE, SUSPENDED], Undetermined, Some(R::StaleLedger)),
        (&[STALE, PENDING], Undetermined, Some(R::StaleLedger)),
        (&[STALE, NO_AGENCY], Undetermined, Some(R::StaleLedger)),
        (&[STALE, NO_KEY], Undetermined, Some(R::StaleLedger)),
        (&[STALE, REVOKED], Invalid, Some(R::Revoked)),
        (&[STALE, SUPERSEDED], Invalid, Some(R::Superseded)),
        (&[STALE, LOST], Invalid, Some(R::IssuerKeyCompromised)),
        (&[STALE, OTHER_KEY], Invalid, Some(R::BadSignature)),
        (&[STALE, OTHER_TYPE], Invalid, Some(R::LedgerMismatch)),
        (&[STALE, EXPIRED], Invalid, Some(R::Expired)),
        (&[STALE, ABSENT, EXPIRED], Invalid, Some(R::Expired)),
        // Asked for a time that is not kept.
        (&[BEFORE_WINDOW], Undetermined, Some(R::BeforeRetainedWindow)),
        (&[BEFORE_WINDOW, REVOKED], Invalid, Some(R::Revoked)),
    ];
    for (i, (changes, outcome, reason)) in rows.iter().enumerate() {
        let verdict = verdict(changes);
        let checks: Vec<_> = verdict.checks.iter().map(|c| (c.name, c.result)).collect();
        assert_eq!((verdict.outcome, verdict.reason), (*outcome, *reason), "row {i}: {checks:?}");
        let names: Vec<CheckName> = checks.iter().map(|(name, _)| *name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!((names.len(), names), (9, sorted), "row {i}");
        let failed = verdict.checks.iter().any(|c| c.result == CheckResult::Fail);
        match outcome {
            Valid => assert!(!failed, "row {i}: {checks:?}"),
            Invalid | Unknown => assert!(failed, "row {i}: {checks:?}"),
            Undetermined => {}
        }
        assert_eq!(verdict.cid.as_deref().map(str::len), Some(64), "row {i}");
    }
}

/// Every change, to be tried in pairs.
const CHANGES: [Change; 27] = [
    STALE,
    ABSENT,
    SUSPENDED_IF_THERE,
    PENDING_IF_THERE,
    REVOKED_IF_THERE,
    EXPIRED,
    TOO_EARLY,
    NO_AGENCY,
    NO_KEY,
    OTHER_KEY,
    KEY_TOO_YOUNG_IF_THERE,
    OTHER_ORIGIN_IF_THERE,
    LOST_IF_THERE,
    LOST_SINCE_IF_THERE,
    SIGNER_LOST_IF_THERE,
    OTHER_TYPE_IF_THERE,
    NO_TYPE,
    OTHER_AGENCY_IF_THERE,
    AGENCY_GONE_IF_THERE,
    BEFORE_WINDOW,
    |s| s.view.province = None,
    |s| s.view.transaction_key = None,
    |s| s.view.asking_province = None,
    |s| s.view.recognition = interval(NOW_MS, None),
    |s| s.request.recognising_province = "44".parse().unwrap(),
    |s| s.request.nonce = Some("n".to_owned()),
    |s| s.request.audience = Some("a".to_owned()),
];
const SUSPENDED_IF_THERE: Change = |s| with_licence(s, SUSPENDED);
const PENDING_IF_THERE: Change = |s| with_licence(s, PENDING);
const REVOKED_IF_THERE: Change = |s| with_licence(s, REVOKED);
const OTHER_TYPE_IF_THERE: Change = |s| with_licence(s, OTHER_TYPE);
const OTHER_AGENCY_IF_THERE: Change = |s| with_licence(s, OTHER_AGENCY);
const SIGNER_LOST_IF_THERE: Change = |s| {
    if s.view.transaction_key.is_some() {
        SIGNER_LOST(s);
    }
};
const KEY_TOO_YOUNG_IF_THERE: Change = |s| with_key(s, KEY_TOO_YOUNG);
const LOST_IF_THERE: Change = |s| with_key(s, LOST);
const LOST_SINCE_IF_THERE: Change = |s| with_key(s, LOST_SINCE);
const OTHER_ORIGIN_IF_THERE: Change = |s| {
    if s.view.province.is_some() {
        OTHER_ORIGIN(s);
    }
};
const AGENCY_GONE_IF_THERE: Change = |s| {
    if s.view.agency.is_some() {
        AGENCY_GONE(s);
    }
};

fn with_licence(scene: &mut Scene, change: Change) {
    if scene.view.licence.is_some() {
        change(scene);
    }
}

fn with_key(scene: &mut Scene, change: Change) {
    if scene.view.key.is_some() {
        change(scene);
    }
}

#[test]
fn no_outcome_says_more_than_its_checks() {
    for (i, a) in CHANGES.iter().enumerate() {
        for (j, b) in CHANGES.iter().enumerate() {
            let verdict = verdict(&[*a, *b]);
            let how = |name| verdict.check(name).unwrap().result;
            let passed = |names: &[CheckName]| names.iter().all(|n| how(*n) == CheckResult::Pass);
            let without_ledger = [
                CheckName::Format,
                CheckName::IssuerKey,
                CheckName::Signature,
                CheckName::Disclosures,
                CheckName::Compromise,
                CheckName::Dates,
            ];
            let found = [CheckName::Ledger, CheckName::Status];
            let holds = match verdict.outcome {
                Outcome::Valid => passed(&without_ledger) && passed(&found),
                Outcome::Unknown => {
                    passed(&without_ledger)
                        && how(CheckName::Ledger) == CheckResult::Fail
                        && verdict.ledger_status == LedgerStatus::None
                }
                Outcome::Invalid => verdict.checks.iter().any(|c| c.result == CheckResult::Fail),
                Outcome::Undetermined => {
                    verdict.checks.iter().any(|c| c.result == CheckResult::Skipped)
                }
            };
            assert!(holds, "changes {i} and {j}: {verdict:?}");
            assert_eq!(verdict.reason.is_none(), verdict.outcome == Outcome::Valid);
            let bound = how(CheckName::HolderBinding) != CheckResult::Fail;
            assert!(bound || verdict.outcome == Outcome::Invalid, "changes {i} and {j}");
        }
    }
}

#[test]
fn the_header_may_be_as_old_as_max_staleness_and_no_older() {
    let at = |age| {
        verdict(&[match age {
            0 => |s: &mut Scene| s.view.as_of.time_ms = NOW_MS - FRESH_MS,
            1 => STALE,
            _ => |s: &mut Scene| s.view.as_of.time_ms = NOW_MS + 5_000,
        }])
    };
    assert_eq!(at(0).outcome, Outcome::Valid);
    assert_eq!(at(1).outcome, Outcome::Undetermined);
    assert_eq!(at(2).outcome, Outcome::Valid);
}

#[test]
fn first_and_last_second_of_validity_are_those_of_beijing_days() {
    let at: fn(u64) -> Change = |ms| match ms {
        0 => |s| s.request.at_ms = Some(1_704_038_400_000), // 2024-01-01T00:00:00+08:00
        _ => |s| s.request.at_ms = Some(1_830_268_799_000), // 2027-12-31T23:59:59+08:00
    };
    assert_eq!(verdict(&[at(0)]).outcome, Outcome::Valid);
    assert_eq!(verdict(&[at(1)]).outcome, Outcome::Valid);
    assert_eq!(verdict(&[TOO_EARLY]).reason, Some(Reason::NotYetValid));
    assert_eq!(verdict(&[EXPIRED]).reason, Some(Reason::Expired));
    let verdict = verdict(&[]);
    assert_eq!(verdict.valid_from.as_deref(), Some("2024-01-01"));
    assert_eq!(verdict.valid_until.as_deref(), Some("2027-12-31"));
}

fn interval(from_ms: u64, until_ms: Option<u64>) -> Option<RecognitionRecord> {
    let until = until_ms.map(Day::of_instant);
    let intervals = vec![Interval { from: Day::of_instant(from_ms), until }];
    Some(RecognitionRecord { version: 1, intervals })
}

#[test]
fn recognition_is_always_said_and_never_changes_the_outcome() {
    use RecognitionReason as R;
    const DAY: u64 = 86_400_000;
    let rows: &[(Change, bool, RecognitionReason)] = &[
        (|_| {}, false, R::NoAgreement),
        (|s| s.request.recognising_province = "44".parse().unwrap(), true, R::OwnProvince),
        (|s| s.view.licence_type.as_mut().unwrap().national = true, true, R::National),
        (|s| s.view.recognition = interval(NOW_MS, None), true, R::Agreement),
        (|s| s.view.recognition = interval(NOW_MS - DAY, Some(NOW_MS)), true, R::Agreement),
        (|s| s.view.recognition = interval(NOW_MS + DAY, None), false, R::AgreementNotInForce),
        (|s| s.view.recognition = interval(1, Some(NOW_MS - DAY)), false, R::AgreementNotInForce),
        (
            |s| s.view.recognition = Some(RecognitionRecord { version: 1, intervals: vec![] }),
            false,
            R::NoAgreement,
        ),
        (|s| s.view.licence_type = None, false, R::NotDetermined),
        (
            |s| {
                s.view.recognition = interval(NOW_MS - DAY, Some(NOW_MS - DAY));
                s.request.at_ms = Some(NOW_MS - DAY);
            },
            true,
            R::Agreement,
        ),
    ];
    for (i, (change, value, reason)) in rows.iter().enumerate() {
        for other in [|_: &mut Scene| {}, REVOKED, STALE] {
            let verdict = verdict(&[*change, other]);
            let expected = Recognised { value: *value, reason: *reason };
            assert_eq!(verdict.recognised, expected, "row {i}");
            let first = verdict.message.en.starts_with("Not recognised in Beijing: ");
            let stated = matches!(reason, R::NoAgreement | R::AgreementNotInForce);
            assert_eq!(first, stated, "row {i}: {}", verdict.message.en);
            let first = verdict.message.zh.starts_with("北京市不承认");
            assert_eq!(first, stated, "row {i}: {}", verdict.message.zh);
        }
        if *reason != R::NotDetermined {
            assert_eq!(verdict(&[*change]).outcome, Outcome::Valid, "row {i}");
        }
    }
}

#[test]
fn forged_disclosures_are_invalid_and_show_no_claims() {
    let scene = Scene::new();
    let text = format!("{}WyJBQUFBIiwibmFtZSIsIlgiXQ~", scene.shown());
    let verdict = judge_scene(&scene, &text);
    assert_eq!(verdict.reason, Some(Reason::BadDisclosure));
    assert!(verdict.claims.is_empty());
    assert_eq!(verdict.ledger_status, LedgerStatus::Active);
}

#[test]
fn a_claim_that_the_catalogue_forbids_to_show_is_a_bad_disclosure() {
    const FORBIDDEN: Change = |s| {
        s.view.licence_type.as_mut().unwrap().claims[1].disclosure = Disclosure::Never;
    };
    let shown = verdict(&[FORBIDDEN]);
    assert_eq!((shown.outcome, shown.reason), (Outcome::Invalid, Some(Reason::BadDisclosure)));
    assert!(shown.claims.is_empty());
    assert!(!format!("{shown:?}").contains("C1"), "no value is told");

    let mut scene = Scene::new();
    FORBIDDEN(&mut scene);
    let withheld = Parsed::parse(&scene.credential).unwrap().present(&["name"]).unwrap();
    assert_eq!(judge_scene(&scene, &withheld).outcome, Outcome::Valid);
}

#[test]
fn claims_issuer_and_type_are_named_from_the_ledger() {
    let verdict = verdict(&[SUPERSEDED]);
    let keys: Vec<_> =
        verdict.claims.iter().map(|c| (c.key.as_str(), c.label_zh.as_str())).collect();
    assert_eq!(keys, [("name", "姓名"), ("class", "准驾车型")]);
    let values: Vec<_> =
        verdict.claims.iter().map(|c| (c.value.as_str(), c.display.as_str())).collect();
    assert_eq!(values, [("陆园琼", "陆***"), ("C1", "***")], "class 3 is masked for people only");
    assert_eq!(verdict.issuer.as_ref().unwrap().province, "44");
    assert_eq!(verdict.licence_type.as_ref().unwrap().code, "local:driving-licence");
    assert_eq!(verdict.superseded_by, Some(Digest([8; 32]).to_string()));
    assert_eq!(verdict.ledger_status, LedgerStatus::Superseded);
    assert_eq!(verdict.as_of.as_ref().unwrap().time, "2026-11-23T03:59:55Z");
    let shown = format!("{verdict:?}");
    assert!(!shown.contains("陆园琼"), "{shown}");
}

#[test]
fn what_the_catalogue_does_not_know_is_shown_masked() {
    const FEWER: Change = |s| s.view.licence_type.as_mut().unwrap().claims.truncate(1);
    let verdict = verdict(&[FEWER]);
    let last = verdict.claims.last().unwrap();
    let labels = (last.label_zh.as_str(), last.label_en.as_str());
    assert_eq!((last.key.as_str(), labels), ("class", ("class", "class")));
    assert_eq!((last.value.as_str(), last.display.as_str()), ("C1", "***"));
}

#[test]
fn nothing_is_shown_of_what_nobody_signed() {
    let verdict = verdict(&[OTHER_KEY]);
    assert!(verdict.claims.is_empty());
    assert_eq!((verdict.valid_from, verdict.valid_until), (None, None));
    assert_eq!(verdict.holder_bound, None);
}

#[test]
fn an_unreachable_ledger_decides_nothing() {
    let scene = Scene::new();
    let presentation = Parsed::parse(&scene.shown()).unwrap();
    for why in [
        Unavailable::NodeBehind,
        Unavailable::NoQuorum,
        Unavailable::Unreachable,
        Unavailable::Pruned,
    ] {
        let verdict = judge(&presentation, &Ledger::Unavailable(why), &scene.request);
        let expected = (Outcome::Undetermined, Some(Reason::LedgerUnavailable));
        assert_eq!((verdict.outcome, verdict.reason), expected);
        assert_eq!(verdict.recognised.reason, RecognitionReason::NotDetermined);
        assert!(verdict.message.en.contains("ask another node"), "{}", verdict.message.en);
        assert!(verdict.as_of.is_none() && verdict.cid.is_some());
    }
}

#[test]
fn a_node_that_knows_why_it_is_late_says_so_and_decides_what_it_can() {
    let check = |change: Change, why, expected, detail: &str, next: &str| {
        let mut scene = Scene::new();
        change(&mut scene);
        scene.view.as_of.time_ms = scene.request.now_ms - scene.request.max_staleness_ms - 1;
        let presentation = Parsed::parse(&scene.shown()).unwrap();
        let ledger = Ledger::Late(Box::new(scene.view.clone()), why);
        let verdict = judge(&presentation, &ledger, &scene.request);
        assert_eq!((verdict.outcome, verdict.reason), expected);
        let status = verdict.checks.iter().find(|c| c.name == CheckName::Status).unwrap();
        assert!(status.detail.contains(detail), "{}", status.detail);
        assert!(verdict.message.en.contains(next), "{}", verdict.message.en);
        // Without the reason the same is decided, in other words.
        let plain = judge(&presentation, &Ledger::At(Box::new(scene.view)), &scene.request);
        assert_eq!((plain.outcome, plain.reason), expected);
    };
    let stale = (Outcome::Undetermined, Some(Reason::StaleLedger));
    check(|_| {}, Unavailable::NodeBehind, stale, "is catching up", "ask another node");
    check(|_| {}, Unavailable::NoQuorum, stale, "too few provinces", "stand still as well");
    // What is final counts at any height.
    let revoked = (Outcome::Invalid, Some(Reason::Revoked));
    check(REVOKED, Unavailable::NoQuorum, revoked, "revoked", "revoked");
    // A fresh block leaves nothing to explain.
    let scene = Scene::new();
    let presentation = Parsed::parse(&scene.shown()).unwrap();
    let ledger = Ledger::Late(Box::new(scene.view.clone()), Unavailable::NoQuorum);
    assert_eq!(judge(&presentation, &ledger, &scene.request), verdict(&[]));
}

#[test]
fn a_text_that_is_no_presentation_is_invalid() {
    let scene = Scene::new();
    let error = Parsed::parse("nonsense").unwrap_err();
    let verdict = malformed(&error, &scene.request);
    let expected = (Outcome::Invalid, Some(Reason::MalformedPresentation));
    assert_eq!((verdict.outcome, verdict.reason), expected);
    assert_eq!(verdict.checks.len(), 9);
}

#[test]
fn the_json_has_the_fields_of_the_specification() {
    let valid = serde_json::to_value(verdict(&[])).unwrap();
    let mut names: Vec<&str> = valid.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    let expected = [
        "as_of",
        "checks",
        "cid",
        "claims",
        "holder_bound",
        "issuer",
        "ledger_status",
        "licence_type",
        "message",
        "outcome",
        "proof",
        "recognised",
        "superseded_by",
        "valid_from",
        "valid_until",
    ];
    assert_eq!(names, expected, "reason is absent when valid");
    assert_eq!(valid["outcome"], "valid");
    assert_eq!(valid["recognised"]["reason"], "no_agreement");
    assert_eq!(valid["checks"][8]["name"], "holder_binding");
    assert_eq!(valid["checks"][8]["result"], "skipped");
    let pending = serde_json::to_value(verdict(&[PENDING])).unwrap();
    assert_eq!(pending["reason"], "transfer_pending");
    assert_eq!(pending["ledger_status"], "transfer_pending");
    let read: Verdict = serde_json::from_value(pending).unwrap();
    assert_eq!(read, verdict(&[PENDING]));
}

#[test]
fn the_view_asks_for_every_record_once() {
    use std::convert::Infallible;

    use symbolon_ledger::{records::Record, state::StateKey};

    let scene = Scene::new();
    let presentation = Parsed::parse(&scene.shown()).unwrap();
    let known = scene.view.clone();
    let get = |key: &StateKey| -> Result<Option<Vec<u8>>, Infallible> {
        Ok(match key {
            StateKey::Licence(_) => known.licence.as_ref().map(Record::to_bytes),
            StateKey::Agency(_) => known.agency.as_ref().map(Record::to_bytes),
            StateKey::Key(_, 3) => known.key.as_deref().map(Record::to_bytes),
            StateKey::Key(_, _) => known.transaction_key.as_deref().map(Record::to_bytes),
            StateKey::LicenceType(_) => known.licence_type.as_deref().map(Record::to_bytes),
            StateKey::Province(p) if p.as_str() == "44" => {
                known.province.as_ref().map(Record::to_bytes)
            }
            StateKey::Province(_) => known.asking_province.as_ref().map(Record::to_bytes),
            _ => None,
        })
    };
    let asking = scene.request.recognising_province;
    let mut view = LedgerView::read(scene.view.as_of, &presentation, asking, get).unwrap();
    assert_eq!(view.keys.len(), 8);
    view.keys = Vec::new();
    assert_eq!(view, scene.view);
}
