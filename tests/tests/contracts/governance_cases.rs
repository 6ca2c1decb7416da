//! One case for every rejection of governance and of evidence.

use symbolon_contracts::{MAX_BOUNDED_OPERATIONS, RejectionCode as Code};
use symbolon_ledger::{
    catalogue::LicenceTypeRecord,
    governance::{Action, Activation, FeaturesRecord, MAX_ACTION_BYTES, MAX_FEATURES, NewProvince},
    keys::PublicKey,
    operation::{KeyPurpose, NewKey, Operation},
    records::{CountersRecord, RECORD_VERSION, Record as _, ValidatorsRecord},
    state::StateKey,
    validators::{ED25519_PEER_ID, MAX_VALIDATORS, Validator, ValidatorSet},
};

use crate::{evidence::evidence_case, governance::*, world::*};

/// The answer to province 11 when it proposes `action`.
fn asks(world: &World, action: Action) -> &'static str {
    world.asks(of_province("11"), vec![proposing(world, action)])
}

fn adding(validator: Validator) -> Action {
    Action::AddValidator { validator: validator.into() }
}

fn rotating(validator: Validator) -> Action {
    Action::RotateValidator { validator: validator.into() }
}

/// These have a stage of their own.
pub(crate) fn governance_case(_: &mut World, code: Code) -> Option<&'static str> {
    let mut w = world();
    vote_case(&mut w, code)
        .or_else(|| validator_case(&mut w, code))
        .or_else(|| registry_case(&mut w, code))
        .or_else(|| evidence_case(code))
}

fn vote_case(w: &mut World, code: Code) -> Option<&'static str> {
    let living = |w: &World, life: u64| {
        let (action, expires_at_height) = (Box::new(parameters(500)), w.height + life);
        w.asks(of_province("11"), vec![Operation::Propose { action, expires_at_height }])
    };
    let asks_to_approve =
        |w: &World, proposal| w.asks(of_province("31"), vec![approving(w, proposal)]);
    Some(match code {
        Code::SignerRemoved => w.asks(of_province("65"), vec![proposing(w, parameters(500))]),
        Code::UnknownProposal => asks_to_approve(w, 99),
        Code::ProposalClosed => {
            let number = decide(w, parameters(500));
            asks_to_approve(w, number)
        }
        Code::ProposalExpired => {
            let number = propose(w, "11", parameters(500));
            w.height += LIFE + 1;
            asks_to_approve(w, number)
        }
        Code::BadExpiryHeight => {
            assert_eq!(living(w, 10), "ok");
            assert_eq!(living(w, 9), "bad_expiry_height");
            assert_eq!(living(w, 100_000), "ok");
            living(w, 100_001)
        }
        Code::TooManyProposals => {
            for _ in 0..8 {
                propose(w, "11", parameters(500));
            }
            let answer = asks(w, parameters(500));
            assert_eq!(w.asks(of_province("31"), vec![proposing(w, parameters(500))]), "ok");
            w.height += LIFE;
            assert_eq!(asks(w, parameters(500)), "ok", "the expired do not count");
            answer
        }
        Code::NoVote => {
            let proposal = propose(w, "11", parameters(500));
            w.asks(of_province("64"), vec![rejecting(w, proposal)])
        }
        Code::AlreadyVoted => {
            let proposal = propose(w, "11", parameters(500));
            w.asks(of_province("11"), vec![approving(w, proposal)])
        }
        Code::OtherAction => {
            let proposal = propose(w, "11", parameters(500));
            let action = parameters(501).digest();
            w.asks(of_province("31"), vec![Operation::Approve { proposal, action }])
        }
        Code::ActionTooLong => {
            let long = longest();
            asks(w, Action::SetLicenceType { entry: long.into() })
        }
        Code::GovernanceBusy => {
            let mark =
                |id| Operation::MarkCompromised { agency: uscc(1), key_id: 1, from_height: id };
            let most = u64::from(MAX_BOUNDED_OPERATIONS);
            // Operations on keys count too.
            let keys: Vec<Operation> = (1..most).rev().map(mark).collect();
            w.height = most;
            let with = |count: usize| {
                let proposals = (0..count).map(|_| proposing(w, parameters(500)));
                w.asks(of_province("44"), keys.iter().cloned().chain(proposals).collect())
            };
            assert_eq!(with(1), "ok");
            with(2)
        }
        _ => return None,
    })
}

/// An entry that is longer than an action may be.
fn longest() -> LicenceTypeRecord {
    let mut long = entry("local:long", 1);
    let claim = long.claims[0].clone();
    let label = |n: usize| format!("{}{n:02}", "长".repeat(98)).parse().unwrap();
    long.claims = (0..MAX_ACTION_BYTES / 600)
        .map(|n| {
            let mut claim = claim.clone();
            claim.key = format!("key_{n}").parse().unwrap();
            (claim.label_zh, claim.label_en) = (label(n), label(n));
            claim
        })
        .collect();
    long.default_disclosure.clear();
    long
}

fn validator_case(w: &mut World, code: Code) -> Option<&'static str> {
    let leave = |code| Action::RemoveValidator { province: province(code) };
    Some(match code {
        Code::TooFewValidators => {
            decide(w, leave("61"));
            let removal = Action::RemoveProvince { province: province("51") };
            assert_eq!(asks(w, removal), "too_few_validators");
            asks(w, leave("51"))
        }
        Code::NoQuorumLeft => {
            let few = |codes: &[&str]| {
                let mut world = World::founded_with(codes);
                world.found_province("64");
                world
            };
            let alone = few(&["11"]);
            assert_eq!(asks(&alone, rotating(validator("11", 1))), "no_quorum_left");
            assert_eq!(asks(&alone, adding(validator("64", 1))), "no_quorum_left");
            assert_eq!(asks(&few(&["11", "31"]), adding(validator("64", 1))), "no_quorum_left");
            let three = few(&["11", "31", "44"]);
            assert_eq!(asks(&three, adding(validator("64", 1))), "ok");
            assert_eq!(asks(&few(&FIVE[..4]), rotating(validator("11", 1))), "ok");
            asks(&three, rotating(validator("11", 1)))
        }
        Code::ValidatorsBusy => {
            let numbers = [
                propose(w, "11", adding(validator("64", 1))),
                propose(w, "11", rotating(validator("44", 1))),
            ];
            numbers.iter().for_each(|number| approve(w, &["31", "44"], *number));
            let approve = |number: &u32| approving(w, *number);
            w.asks(of_province("51"), numbers.iter().map(approve).collect())
        }
        Code::ProvinceRemoved => {
            assert_eq!(asks(w, adding(validator("65", 1))), "province_removed");
            asks(w, Action::RemoveProvince { province: province("65") })
        }
        Code::ValidatorExists => asks(w, adding(validator("44", 1))),
        Code::NoValidator => {
            assert_eq!(asks(w, rotating(validator("64", 1))), "no_validator");
            asks(w, leave("64"))
        }
        Code::ValidatorUnchanged => asks(w, rotating(set(w).validators()[0].clone())),
        Code::BadValidator => bad_validator(w),
        Code::TooManyValidators => {
            let old = set(w).validators().to_vec();
            let more = (0..100u32)
                .map(|n| format!("{n:02}"))
                .filter(|code| code != "64" && old.iter().all(|v| v.province != province(code)));
            let mut many: Vec<Validator> = more.map(|code| validator(&code, 0)).collect();
            many.truncate(MAX_VALIDATORS - old.len());
            many.extend(old);
            many.sort_by_key(|v| v.province);
            let set = ValidatorSet::new(many).unwrap();
            w.put(StateKey::Validators, &ValidatorsRecord { version: RECORD_VERSION, set });
            asks(w, adding(validator("64", 1)))
        }
        _ => return None,
    })
}

fn bad_validator(w: &mut World) -> &'static str {
    let good = || validator("64", 1);
    let node_of = |key: PublicKey| Validator {
        peer_id: [&ED25519_PEER_ID[..], key.as_bytes()].concat(),
        ..good()
    };
    let other = set(w).validators()[0].clone();
    let mut answer = "ok";
    for bad in [
        Validator { key: other.key, ..good() },
        Validator { peer_id: other.peer_id.clone(), ..good() },
        Validator { peer_id: vec![0; 38], ..good() },
        Validator { key: good().node_key().unwrap(), ..good() },
        Validator { key: secret(of_province("64"), 0).public_key(), ..good() },
        Validator { key: secret(of_province("31"), 0).public_key(), ..good() },
        node_of(secret(of_province("31"), 0).public_key()),
        node_of(other.key),
    ] {
        answer = asks(w, adding(bad));
        assert_eq!(answer, "bad_validator");
    }
    answer
}

fn registry_case(w: &mut World, code: Code) -> Option<&'static str> {
    let join = |code, origin| Action::AddProvince { province: new_province(code, origin).into() };
    let set_entry = |w: &World, change: fn(&mut LicenceTypeRecord)| {
        let mut entry = entry(DRIVING, 1);
        change(&mut entry);
        asks(w, Action::SetLicenceType { entry: entry.into() })
    };
    Some(match code {
        Code::ProvinceExists => {
            assert_eq!(asks(w, join("62", "https://p62.example")), "ok");
            assert_eq!(asks(w, join("65", "https://p65.example")), "province_exists");
            asks(w, join("44", "https://new.example"))
        }
        Code::OriginTaken => asks(w, join("62", "https://p65.example")),
        Code::BadCatalogueEntry => bad_entry(w),
        Code::EntryNotNewer => {
            assert_eq!(set_entry(w, |e| e.schema_version = 2), "ok");
            set_entry(w, |_| {})
        }
        Code::TooManyTypes => {
            let mut counters: CountersRecord = w.record(&StateKey::Counters).unwrap();
            counters.next_type = 256;
            w.put(StateKey::Counters, &counters);
            asks(w, Action::SetLicenceType { entry: entry("local:new", 1).into() })
        }
        Code::BadParameters => {
            assert_eq!(asks(w, parameters(100)), "ok");
            assert_eq!(asks(w, parameters(99)), "bad_parameters");
            asks(w, parameters(60_000))
        }
        Code::FeatureDecided => {
            let height = w.height + 30;
            decide(w, Action::ActivateFeature { feature: 1, height });
            asks(w, Action::ActivateFeature { feature: 1, height: height + 30 })
        }
        Code::ActivationTooEarly => {
            // Possible when it is proposed, too early when it is decided.
            let height = w.height + 1;
            let number = propose(w, "11", Action::ActivateFeature { feature: 1, height });
            approve(w, &["31", "44"], number);
            w.asks(of_province("51"), vec![approving(w, number)])
        }
        Code::TooManyFeatures => {
            let many = (1..=u32::try_from(MAX_FEATURES).unwrap())
                .map(|n| Activation { feature: 1_000 + n, from: 1 });
            let features = FeaturesRecord { version: RECORD_VERSION, features: many.collect() };
            w.state.insert(StateKey::Features, features.to_bytes());
            let height = w.height + 30;
            asks(w, Action::ActivateFeature { feature: 1, height })
        }
        _ => return None,
    })
}

fn bad_entry(w: &World) -> &'static str {
    use symbolon_ledger::catalogue::{ClaimRole, ClaimType, Disclosure};
    let changes: [fn(&mut LicenceTypeRecord); 14] = [
        |e| e.index = 7,
        |e| e.version = 2,
        |e| e.schema_version = 0,
        |e| e.claims.clear(),
        |e| e.claims.push(e.claims[0].clone()),
        |e| e.claims[0].key = "Name".parse().unwrap(),
        |e| e.claims[0].key = "iss".parse().unwrap(),
        |e| e.claims[0].value = ClaimType::Text { max: 0 },
        |e| e.claims[0].value = ClaimType::Choice { of: vec![] },
        |e| e.claims[0].role = Some(ClaimRole::BirthDate),
        |e| e.claims[0].sensitivity = 5,
        |e| e.claims[0].sensitivity = 3,
        |e| (e.claims[0].sensitivity, e.claims[0].disclosure) = (3, Disclosure::Always),
        |e| e.default_disclosure = vec!["none".parse().unwrap()],
    ];
    let mut answer = "ok";
    assert_eq!(asks(w, Action::SetLicenceType { entry: entry("local:new", 1).into() }), "ok");
    for (n, change) in changes.into_iter().enumerate() {
        let mut entry = entry("local:new", 1);
        change(&mut entry);
        answer = asks(w, Action::SetLicenceType { entry: entry.into() });
        assert_eq!(answer, "bad_catalogue_entry", "{n}");
    }
    answer
}

/// Whoever finds a speaker by its key finds one: no province gets a key that another one, its
/// validator or a node has, and what was registered for a province serves no validator.
#[test]
fn no_key_of_a_province_a_validator_or_a_node_is_registered_for_another() {
    let mut w = world();
    let status = NewKey {
        key: secret(of_province("51"), 9).public_key(),
        purpose: KeyPurpose::Status,
        valid_until: None,
    };
    w.commits(of_province("51"), vec![Operation::SetStatusKey { key: status.clone() }]);
    let rotated = validator("61", 1);
    decide(&mut w, rotating(rotated.clone()));
    let foreign = [
        ("authority", secret(of_province("51"), 0).public_key()),
        ("of a province that was removed", secret(of_province("65"), 0).public_key()),
        ("status", status.key),
        ("vote", set(&w).validators()[0].key),
        ("vote, rotated", rotated.key),
        ("node", rotated.node_key().unwrap()),
    ];
    for (what, key) in foreign {
        let new = |purpose| NewKey { key, purpose, valid_until: None };
        let rotate = Action::RotateProvinceKey {
            province: province("44"),
            key_id: 0,
            key: new(KeyPurpose::Transaction).into(),
        };
        assert_eq!(asks(&w, rotate), "key_registered", "{what}");
        let join = |change: fn(&mut NewProvince, PublicKey)| {
            let mut joining = new_province("62", "https://p62.example");
            change(&mut joining, key);
            asks(&w, Action::AddProvince { province: joining.into() })
        };
        assert_eq!(join(|new, key| new.authority_key = key), "key_registered", "{what}");
        assert_eq!(join(|new, key| new.status_key = Some(key)), "key_registered", "{what}");
        let set_status = Operation::SetStatusKey { key: new(KeyPurpose::Status) };
        assert_eq!(w.asks(of_province("44"), vec![set_status]), "key_registered", "{what}");
    }
    // A key that two proposals give away goes to the one that is decided first.
    let join = |code: &str, origin| {
        let mut new = new_province(code, origin);
        new.authority_key = secret(of_province("62"), 7).public_key();
        Action::AddProvince { province: new.into() }
    };
    let second = propose(&mut w, "11", join("63", "https://p63.example"));
    decide(&mut w, join("62", "https://p62.example"));
    approve(&mut w, &["31", "44"], second);
    assert_eq!(w.asks(of_province("51"), vec![approving(&w, second)]), "key_registered");
    w.assert_sound();
}

/// What is said of a province's key has the words of an agency's.
#[test]
fn a_key_of_a_province_is_refused_for_what_is_wrong_with_it() {
    let w = world();
    let home = of_province("44");
    let rotate = |code, key_id, key| {
        asks(&w, Action::RotateProvinceKey { province: province(code), key_id, key: Box::new(key) })
    };
    let good = || new_key(home, 5, KeyPurpose::Transaction);
    let check = |answer: &str, expected: &str| assert_eq!(answer, expected);
    check(rotate("44", 0, good()), "ok");
    check(rotate("99", 0, good()), "unknown_province");
    check(rotate("65", 0, good()), "province_removed");
    check(rotate("44", 7, good()), "unknown_target_key");
    check(rotate("44", 0, new_key(home, 5, KeyPurpose::Status)), "bad_purpose");
    check(rotate("44", 0, new_key(home, 0, KeyPurpose::Transaction)), "key_registered");
    let mut over = good();
    over.valid_until = Some(w.height - 1);
    check(rotate("44", 0, over), "key_over");
    let same = secret(of_province("62"), 0).public_key();
    let mut twice = new_province("62", "https://p62.example");
    (twice.authority_key, twice.status_key) = (same, Some(same));
    check(asks(&w, Action::AddProvince { province: twice.into() }), "key_registered");
}
