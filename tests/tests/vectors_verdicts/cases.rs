//! The cases: what is changed in the scene, and what must come of it. In the order of the checks.

use symbolon_ledger::{
    hash::sha256,
    operation::{KeyPurpose, RevocationClass},
    records::{AgencyStatus, LicenceStatus},
    status_page::SLOTS_PER_LIST,
};

use crate::scene::{FRESH_MS, ISSUED_AT, NOW_MS, POLICE, Scene, holder, key};

/// One case.
pub(crate) struct Case {
    pub(crate) why: &'static str,
    pub(crate) presentation: &'static str,
    pub(crate) change: fn(&mut Scene),
    /// Outcome and reason.
    pub(crate) expected: (&'static str, &'static str),
}

const fn case(
    why: &'static str,
    presentation: &'static str,
    change: fn(&mut Scene),
    expected: (&'static str, &'static str),
) -> Case {
    Case { why, presentation, change, expected }
}

const VALID: (&str, &str) = ("valid", "");

const fn invalid(reason: &'static str) -> (&'static str, &'static str) {
    ("invalid", reason)
}

const fn undetermined(reason: &'static str) -> (&'static str, &'static str) {
    ("undetermined", reason)
}

const UNKNOWN: (&str, &str) = ("unknown", "not_on_ledger");

const STALE: fn(&mut Scene) = |s| s.header_ms = NOW_MS - FRESH_MS - 1;
const POLICE_ASKS: fn(&mut Scene) = |s| s.audience = Some(POLICE);
const CHALLENGED: fn(&mut Scene) = |s| {
    s.audience = Some(POLICE);
    s.nonce = Some("n1");
};
const REVOKED: fn(&mut Scene) =
    |s| s.status(LicenceStatus::Revoked { class: RevocationClass::Penalty });

pub(crate) const CASES: &[Case] = &[
    case("everything holds", "self_presented", |_| {}, VALID),
    case("a paper licence: the holder is not verified", "paper", |_| {}, VALID),
    case("a holder's key, and nobody signed", "unsigned", |_| {}, VALID),
    case("not a presentation", "no_presentation", |_| {}, invalid("malformed_presentation")),
    case(
        "the ledger cannot be read",
        "self_presented",
        |s| s.unavailable = true,
        undetermined("ledger_unavailable"),
    ),
    // Issuer and key.
    case(
        "the agency is not registered",
        "self_presented",
        |s| {
            s.agency = None;
            s.key = None;
            s.licence = None;
        },
        invalid("issuer_not_authorised"),
    ),
    case(
        "iss has another origin than the agency's province",
        "self_presented",
        |s| s.home.issuer_origin = "https://x.example".parse().unwrap(),
        invalid("issuer_not_authorised"),
    ),
    case(
        "no key of that number",
        "self_presented",
        |s| s.key = None,
        invalid("issuer_not_authorised"),
    ),
    case(
        "a key for transactions",
        "self_presented",
        |s| s.key.as_mut().unwrap().purpose = KeyPurpose::Transaction,
        invalid("issuer_not_authorised"),
    ),
    case(
        "the key was registered after the licence",
        "self_presented",
        |s| s.key.as_mut().unwrap().valid_from = ISSUED_AT + 1,
        invalid("issuer_not_authorised"),
    ),
    case(
        "the key ended before the licence",
        "self_presented",
        |s| s.key.as_mut().unwrap().valid_until = Some(ISSUED_AT - 1),
        invalid("issuer_not_authorised"),
    ),
    case(
        "the key ended with the block of the licence",
        "self_presented",
        |s| s.key.as_mut().unwrap().valid_until = Some(ISSUED_AT),
        VALID,
    ),
    case(
        "the agency is suspended: what it issued stands",
        "self_presented",
        |s| s.agency.as_mut().unwrap().status = AgencyStatus::Suspended,
        VALID,
    ),
    case(
        "the agency is deregistered: what it issued stands",
        "self_presented",
        |s| s.agency.as_mut().unwrap().status = AgencyStatus::Deregistered,
        VALID,
    ),
    // Signature and disclosures.
    case(
        "another key of that number",
        "self_presented",
        |s| s.key = Some(key(&holder(), KeyPurpose::Credential)),
        invalid("bad_signature"),
    ),
    case("a disclosure that nobody signed", "forged_disclosure", |_| {}, invalid("bad_disclosure")),
    case(
        "a claim that the catalogue forbids to show",
        "forbidden_claim",
        |_| {},
        invalid("bad_disclosure"),
    ),
    case("claims with characters that hide and reorder", "hostile_characters", |_| {}, VALID),
    // Ledger.
    case("the ledger has no such licence", "self_presented", |s| s.licence = None, UNKNOWN),
    case(
        "registered by another agency",
        "self_presented",
        |s| s.licence.as_mut().unwrap().agency_index = 9,
        invalid("ledger_mismatch"),
    ),
    case(
        "registered with another key",
        "self_presented",
        |s| s.licence.as_mut().unwrap().credential_key = 4,
        invalid("ledger_mismatch"),
    ),
    case(
        "registered as another type",
        "self_presented",
        |s| s.licence.as_mut().unwrap().type_index = 6,
        invalid("ledger_mismatch"),
    ),
    case(
        "registered with another place in the status list",
        "self_presented",
        |s| s.licence.as_mut().unwrap().slot = 8,
        invalid("ledger_mismatch"),
    ),
    case(
        "registered with that place in another status list",
        "self_presented",
        |s| s.licence.as_mut().unwrap().slot += SLOTS_PER_LIST,
        invalid("ledger_mismatch"),
    ),
    case(
        "registered without an end",
        "self_presented",
        |s| s.licence.as_mut().unwrap().expiry = None,
        invalid("ledger_mismatch"),
    ),
    // Compromise.
    case(
        "the credential key was lost at the height of issue",
        "self_presented",
        |s| s.key.as_mut().unwrap().compromised_from = Some(ISSUED_AT),
        invalid("issuer_key_compromised"),
    ),
    case(
        "the credential key was lost after the height of issue",
        "self_presented",
        |s| s.key.as_mut().unwrap().compromised_from = Some(ISSUED_AT + 1),
        VALID,
    ),
    case(
        "the transaction key was lost before the height of issue",
        "self_presented",
        |s| s.transaction_key.compromised_from = Some(ISSUED_AT - 1),
        invalid("issuer_key_compromised"),
    ),
    case(
        "the transaction key was lost after the height of issue",
        "self_presented",
        |s| s.transaction_key.compromised_from = Some(ISSUED_AT + 1),
        VALID,
    ),
    case(
        "not registered, and the credential key was lost at some time",
        "self_presented",
        |s| {
            s.licence = None;
            s.key.as_mut().unwrap().compromised_from = Some(ISSUED_AT + 1);
        },
        invalid("issuer_key_compromised"),
    ),
    // Status.
    case(
        "suspended",
        "self_presented",
        |s| s.status(LicenceStatus::Suspended),
        invalid("suspended"),
    ),
    case(
        "released to another agency",
        "self_presented",
        |s| s.status(LicenceStatus::TransferPending { to: 2 }),
        invalid("transfer_pending"),
    ),
    case(
        "superseded, or taken over by another agency",
        "self_presented",
        |s| s.status(LicenceStatus::Superseded { by: sha256(b"the successor") }),
        invalid("superseded"),
    ),
    case("revoked", "self_presented", REVOKED, invalid("revoked")),
    case(
        "revoked and with a lost key: the first check that fails is the reason",
        "self_presented",
        |s| {
            REVOKED(s);
            s.key.as_mut().unwrap().compromised_from = Some(ISSUED_AT);
        },
        invalid("issuer_key_compromised"),
    ),
    // Dates, in days of Beijing.
    case(
        "the second before the first day",
        "self_presented",
        |s| s.at_ms = Some(1_704_038_399_999),
        invalid("not_yet_valid"),
    ),
    case(
        "the first second of the first day",
        "self_presented",
        |s| s.at_ms = Some(1_704_038_400_000),
        VALID,
    ),
    case(
        "the last second of the last day",
        "self_presented",
        |s| s.at_ms = Some(1_830_268_799_999),
        VALID,
    ),
    case(
        "the first second after the last day",
        "self_presented",
        |s| s.at_ms = Some(1_830_268_800_000),
        invalid("expired"),
    ),
    case(
        "expired and not on the ledger",
        "self_presented",
        |s| {
            s.licence = None;
            s.at_ms = Some(1_830_268_800_000);
        },
        invalid("expired"),
    ),
    case(
        "a time before what is kept",
        "self_presented",
        |s| {
            s.at_ms = Some(NOW_MS - 2_000);
            s.earliest_at_ms = Some(NOW_MS - 1_000);
        },
        undetermined("before_retained_window"),
    ),
    // Holder.
    case("sixty seconds old", "self_presented_60_s_ago", |_| {}, VALID),
    case("sixty-one seconds old", "self_presented_61_s_ago", |_| {}, invalid("stale_presentation")),
    case("ten seconds ahead", "self_presented_10_s_ahead", |_| {}, VALID),
    case(
        "eleven seconds ahead",
        "self_presented_11_s_ahead",
        |_| {},
        invalid("stale_presentation"),
    ),
    case("for the verifier who asks", "for_the_police", POLICE_ASKS, VALID),
    case(
        "for another verifier",
        "for_the_police",
        |s| s.audience = Some("https://bank.example"),
        invalid("bad_holder_binding"),
    ),
    case(
        "for one verifier, and none is named",
        "for_the_police",
        |_| {},
        invalid("bad_holder_binding"),
    ),
    case(
        "for whoever scans it, and one verifier asks",
        "self_presented",
        POLICE_ASKS,
        invalid("bad_holder_binding"),
    ),
    case("signed by another key", "signed_by_another", |_| {}, invalid("bad_holder_binding")),
    case("on the challenge", "for_the_police_300_s_ago", CHALLENGED, VALID),
    case(
        "on the challenge, too long ago",
        "for_the_police_301_s_ago",
        CHALLENGED,
        invalid("stale_presentation"),
    ),
    case(
        "on another challenge",
        "for_the_police",
        |s| {
            s.audience = Some(POLICE);
            s.nonce = Some("n2");
        },
        invalid("bad_holder_binding"),
    ),
    case("a challenge, and nobody signed", "unsigned", CHALLENGED, invalid("bad_holder_binding")),
    case("shown here before", "self_presented", |s| s.seen = "before", invalid("replayed")),
    case(
        "shown here before, and revoked since",
        "self_presented",
        |s| {
            REVOKED(s);
            s.seen = "before";
        },
        invalid("revoked"),
    ),
    case(
        "on a challenge of this node's that is over",
        "for_the_police",
        |s| {
            CHALLENGED(s);
            s.seen = "challenge_over";
        },
        invalid("stale_presentation"),
    ),
    case(
        "on a challenge that this node never gave",
        "for_the_police",
        |s| {
            CHALLENGED(s);
            s.seen = "challenge_unknown";
        },
        invalid("bad_holder_binding"),
    ),
    // An old header.
    case("active as of an old block", "self_presented", STALE, undetermined("stale_ledger")),
    case(
        "suspended as of an old block",
        "self_presented",
        |s| {
            STALE(s);
            s.status(LicenceStatus::Suspended);
        },
        undetermined("stale_ledger"),
    ),
    case(
        "absent as of an old block",
        "self_presented",
        |s| {
            STALE(s);
            s.licence = None;
        },
        undetermined("stale_ledger"),
    ),
    case(
        "revoked as of an old block: for good",
        "self_presented",
        |s| {
            STALE(s);
            REVOKED(s);
        },
        invalid("revoked"),
    ),
    // Recognition, which never changes the outcome.
    case("asked in its own province", "self_presented", |s| s.recognising = "44", VALID),
    case(
        "a type that is recognised everywhere",
        "self_presented",
        |s| s.licence_type.national = true,
        VALID,
    ),
    case("the last day of an agreement", "self_presented", |s| s.recognise(-30, Some(0)), VALID),
    case(
        "an agreement withdrawn yesterday",
        "self_presented",
        |s| s.recognise(-30, Some(-1)),
        VALID,
    ),
    case("an agreement from tomorrow on", "self_presented", |s| s.recognise(1, None), VALID),
    case(
        "a withdrawn agreement, held against the day asked for",
        "self_presented",
        |s| {
            s.recognise(-30, Some(-1));
            s.at_ms = Some(NOW_MS - 86_400_000);
        },
        VALID,
    ),
];
