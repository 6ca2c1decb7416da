//! One case for every rejection that there is. A code without a case fails the test, so none can
//! be added that nobody has seen.

use symbolon_contracts::{
    MAX_BOUNDED_OPERATIONS, RejectionCode as Code,
    keys::{MAX_KEYS, MAX_OWN_KEYS},
    slots::{BLOCKS_PER_PROVINCE, MAX_OPEN_BLOCKS},
};
use symbolon_ledger::{
    codes::{Day, LAST_DAY, Month},
    hash::Digest,
    keys::SecretKey,
    operation::{Interval, KeyPurpose, NewKey, NewLicence, Operation, RevocationClass},
    records::{CountersRecord, KeyRecord, ProvinceRecord, RECORD_VERSION, Record as _},
    state::StateKey,
    transaction::{Payload, VALIDITY_WINDOW},
};

use crate::{governance_cases::governance_case, world::*};

/// Agency 1 has the licence `old`; 2 is suspended; 3 deregistered; 4 lives in province 51.
fn stage() -> World {
    let mut world = World::founded();
    world.with_agency(1, "44", &[DRIVING, FIXED]);
    world.with_agency(2, "44", &[DRIVING]);
    world.with_agency(3, "44", &[DRIVING]);
    world.with_agency(4, "51", &[DRIVING]);
    let slot = world.first_slot(1);
    world.commits(of_agency(1), vec![issue("old", "old lineage", slot)]);
    world.commits(of_province("44"), vec![Operation::SuspendAgency { agency: uscc(2) }]);
    world.commits(of_province("44"), vec![Operation::DeregisterAgency { agency: uscc(3) }]);
    world
}

/// The answer to agency 1 when it issues a licence that differs from a good one in one way.
fn issuing(world: &World, change: impl FnOnce(&mut NewLicence)) -> &'static str {
    let mut licence = licence("new", "new lineage", world.first_slot(1) + 1);
    change(&mut licence);
    world.asks(of_agency(1), vec![Operation::Issue { licence }])
}

/// The answer to agency 1 when it supersedes its licence by one that differs in one way.
fn superseding(world: &World, change: impl FnOnce(&mut NewLicence)) -> &'static str {
    let mut licence = licence("new", "old lineage", world.first_slot(1) + 1);
    change(&mut licence);
    let previous = cid_of(1, "old");
    world.asks(of_agency(1), vec![Operation::Supersede { previous, licence }])
}

/// The answer to agency 1 for a payload that differs from a good one in one way.
fn saying(world: &World, change: impl FnOnce(&mut Payload), key: &SecretKey) -> &'static str {
    let suspend = Operation::Suspend { cid: cid_of(1, "old") };
    let mut payload = world.payload(of_agency(1), vec![suspend]);
    change(&mut payload);
    word(&world.attempt(&sign_with(&payload, key)))
}

fn first_key() -> SecretKey {
    secret(of_agency(1), 0)
}

/// The answer to agency 1 for one operation, after it has said `before`.
fn after(world: &mut World, before: Vec<Operation>, then: Operation) -> &'static str {
    world.commits(of_agency(1), before);
    world.asks(of_agency(1), vec![then])
}

/// The answer to province 44.
fn province_asks(world: &World, operation: Operation) -> &'static str {
    world.asks(of_province("44"), vec![operation])
}

fn agency_key(id: u32, purpose: KeyPurpose) -> NewKey {
    new_key(of_agency(1), id, purpose)
}

fn add(key: NewKey) -> Operation {
    Operation::AddKey { agency: uscc(1), key }
}

fn mark(key_id: u32, from_height: u64) -> Operation {
    Operation::MarkCompromised { agency: uscc(1), key_id, from_height }
}

fn registering(world: &World, change: impl FnOnce(&mut Vec<NewKey>)) -> &'static str {
    let mut operation = register(9, &[DRIVING]);
    if let Operation::RegisterAgency { keys, .. } = &mut operation {
        change(keys);
    }
    province_asks(world, operation)
}

fn recognise(world: &World, from: &str, code: &str, days: (u32, u32)) -> &'static str {
    let interval = Interval { from: Day(days.0), until: Some(Day(days.1)) };
    let (from_province, licence_type) = (province(from), type_code(code));
    province_asks(world, Operation::Recognise { from_province, licence_type, interval })
}

fn suspend() -> Operation {
    Operation::Suspend { cid: cid_of(1, "old") }
}

fn release(to: u8) -> Operation {
    Operation::TransferOut { cid: cid_of(1, "old"), to: uscc(to) }
}

/// A licence of the type that can be neither suspended nor transferred.
fn fixed(world: &World) -> Operation {
    let mut licence = licence("fixed", "fixed lineage", world.first_slot(1) + 5);
    licence.licence_type = type_code(FIXED);
    Operation::Issue { licence }
}

fn transaction_case(w: &mut World, code: Code) -> Option<&'static str> {
    let height = w.height;
    Some(match code {
        Code::WrongChain => saying(w, |p| p.chain_id = Digest([8; 32]), &first_key()),
        Code::Expired => saying(w, |p| p.valid_until_height = height - 1, &first_key()),
        Code::TooFarAhead => {
            saying(w, |p| p.valid_until_height = height + VALIDITY_WINDOW + 1, &first_key())
        }
        Code::AlreadyCommitted => {
            let transaction = w.sign(of_agency(1), vec![suspend()]);
            assert!(w.commit_block(std::slice::from_ref(&transaction))[0].is_ok());
            word(&w.attempt(&transaction))
        }
        Code::UnknownActor => w.asks(of_agency(9), vec![suspend()]),
        Code::UnknownKey => saying(w, |p| p.key_id = 7, &first_key()),
        Code::WrongKey => saying(w, |_| {}, &secret(of_agency(1), 7)),
        Code::KeyNotForTransactions => {
            saying(w, |p| p.key_id = CREDENTIAL_KEY, &secret(of_agency(1), CREDENTIAL_KEY))
        }
        Code::KeyNotValid => {
            w.commits(of_province("44"), vec![mark(TRANSACTION_KEY, height)]);
            saying(w, |_| {}, &first_key())
        }
        Code::SignerSuspended => w.asks(of_agency(2), vec![suspend()]),
        Code::SignerDeregistered => w.asks(of_agency(3), vec![suspend()]),
        Code::NotActive => {
            let cancel = Operation::CancelTransfer { cid: cid_of(1, "old") };
            assert_eq!(province_asks(w, cancel), "not_active");
            province_asks(w, Operation::Resume { cid: cid_of(1, "old") })
        }
        Code::WrongActor => province_asks(w, release(2)),
        Code::UnknownAgency => province_asks(w, Operation::SuspendAgency { agency: uscc(9) }),
        Code::UnknownType => issuing(w, |l| l.licence_type = type_code("local:none")),
        Code::UnknownProvince => recognise(w, "99", DRIVING, (1, 2)),
        Code::NotItsProvince => province_asks(w, Operation::SuspendAgency { agency: uscc(4) }),
        Code::AgencyDeregistered => {
            province_asks(w, Operation::DeregisterAgency { agency: uscc(3) })
        }
        _ => return None,
    })
}

fn licence_case(w: &mut World, code: Code) -> Option<&'static str> {
    let cid = cid_of(1, "old");
    let slot = w.first_slot(1);
    Some(match code {
        Code::UnknownLicence => {
            w.asks(of_agency(1), vec![Operation::Suspend { cid: digest("none") }])
        }
        Code::NotOwner => w.asks(of_agency(4), vec![suspend()]),
        Code::LicenceFinal => {
            let revoke = Operation::Revoke { cid, class: RevocationClass::Unspecified };
            after(w, vec![revoke.clone()], revoke)
        }
        Code::LicenceSuspended => after(w, vec![suspend()], suspend()),
        Code::TransferPending => after(w, vec![release(4)], release(4)),
        Code::NotSuspended => w.asks(of_agency(1), vec![Operation::Resume { cid }]),
        Code::NotReleased => w.asks(of_agency(1), vec![Operation::CancelTransfer { cid }]),
        Code::NotTransferTarget => {
            let licence = licence("new", "new lineage", slot + 1);
            after(w, vec![release(4)], Operation::TransferIn { previous: cid, licence })
        }
        Code::OutOfScope => issuing(w, |l| l.licence_type = type_code(RARE)),
        Code::TypeDiffers => superseding(w, |l| l.licence_type = type_code(FIXED)),
        Code::LineageDiffers => superseding(w, |l| l.lineage = digest("another")),
        Code::LineageInUse => issuing(w, |l| l.lineage = digest("old lineage")),
        Code::DuplicateLicence => issuing(w, |l| l.inner = digest("old")),
        Code::SlotNotGranted => {
            let others = w.first_slot(3);
            assert_eq!(issuing(w, |l| l.slot = others), "slot_not_granted");
            issuing(w, |l| l.slot = u32::MAX)
        }
        Code::SlotUsed => issuing(w, |l| l.slot = slot),
        Code::UnknownCredentialKey => issuing(w, |l| l.credential_key = 7),
        Code::KeyNotForCredentials => issuing(w, |l| l.credential_key = TRANSACTION_KEY),
        Code::CredentialKeyNotValid => {
            w.commits(of_province("44"), vec![mark(CREDENTIAL_KEY, w.height)]);
            issuing(w, |_| {})
        }
        Code::NotSuspendable => {
            let issue = fixed(w);
            after(w, vec![issue], Operation::Suspend { cid: cid_of(1, "fixed") })
        }
        Code::NotTransferable => {
            let issue = fixed(w);
            after(w, vec![issue], Operation::TransferOut { cid: cid_of(1, "fixed"), to: uscc(4) })
        }
        Code::TargetNotActive => {
            assert_eq!(w.asks(of_agency(1), vec![release(3)]), "target_not_active");
            w.asks(of_agency(1), vec![release(2)])
        }
        Code::TransferToItself => w.asks(of_agency(1), vec![release(1)]),
        Code::BadExpiry => {
            assert_eq!(issuing(w, |l| l.expiry = Some(Month(9999 * 12 + 11))), "ok");
            assert_eq!(issuing(w, |l| l.expiry = Some(Month(1970 * 12 - 1))), "bad_expiry");
            issuing(w, |l| l.expiry = Some(Month(10_000 * 12)))
        }
        _ => return None,
    })
}

fn agency_case(w: &mut World, code: Code) -> Option<&'static str> {
    let assign = |agency, successor| Operation::AssignSuccessor {
        agency: uscc(agency),
        successor: uscc(successor),
    };
    Some(match code {
        Code::AgencyExists => province_asks(w, register(1, &[])),
        Code::AgencyNotActive => {
            assert_eq!(province_asks(w, assign(3, 2)), "agency_not_active");
            province_asks(w, Operation::SuspendAgency { agency: uscc(2) })
        }
        Code::AgencyNotSuspended => province_asks(w, Operation::ResumeAgency { agency: uscc(1) }),
        Code::AgencyNotDeregistered => province_asks(w, assign(2, 1)),
        Code::SuccessorElsewhere => province_asks(w, assign(3, 4)),
        Code::BadScope => {
            let scope = vec![type_code(DRIVING), type_code(FIXED), type_code(DRIVING)];
            province_asks(w, Operation::SetScope { agency: uscc(1), scope })
        }
        Code::TooManyAgencies => {
            let full =
                CountersRecord { version: RECORD_VERSION, next_agency: u32::MAX, next_type: 3 };
            w.state.insert(StateKey::Counters, full.to_bytes());
            province_asks(w, register(9, &[]))
        }
        _ => return None,
    })
}

fn key_case(w: &mut World, code: Code) -> Option<&'static str> {
    let height = w.height;
    Some(match code {
        Code::KeyRegistered => province_asks(w, add(agency_key(0, KeyPurpose::Credential))),
        Code::TooManyKeys => {
            fill_keys(w, MAX_KEYS);
            province_asks(w, add(agency_key(MAX_KEYS, KeyPurpose::Credential)))
        }
        Code::BadFirstKeys => {
            assert_eq!(registering(w, Vec::clear), "bad_first_keys");
            assert_eq!(registering(w, |keys| keys.push(keys[0].clone())), "bad_first_keys");
            let many = |keys: &mut Vec<NewKey>| {
                keys.extend((2..9).map(|id| agency_key(id, KeyPurpose::Transaction)));
            };
            assert_eq!(registering(w, many), "bad_first_keys");
            registering(w, |keys| keys.retain(|k| k.purpose != KeyPurpose::Transaction))
        }
        Code::BadPurpose => {
            let key = new_key(of_province("44"), 1, KeyPurpose::Transaction);
            assert_eq!(province_asks(w, Operation::SetStatusKey { key }), "bad_purpose");
            province_asks(w, add(agency_key(7, KeyPurpose::Status)))
        }
        Code::KeyOver => {
            let mut key = agency_key(7, KeyPurpose::Credential);
            key.valid_until = Some(height);
            assert_eq!(province_asks(w, add(key.clone())), "ok");
            key.valid_until = Some(height - 1);
            province_asks(w, add(key))
        }
        Code::UnknownTargetKey => province_asks(w, mark(7, 1)),
        Code::KeyEnded => {
            let revoke = Operation::RevokeKey { agency: uscc(1), key_id: TRANSACTION_KEY };
            w.asks(of_province("44"), vec![revoke.clone(), revoke])
        }
        Code::PurposeDiffers => {
            let key = agency_key(7, KeyPurpose::Credential);
            let key_id = TRANSACTION_KEY;
            province_asks(w, Operation::RotateKey { agency: uscc(1), key_id, key })
        }
        Code::RotationsUsedUp => rotations_used_up(w),
        Code::KeyOutlives => key_outlives(w),
        Code::KeysBusy => {
            let add = |id| add(agency_key(id, KeyPurpose::Credential));
            let many = |count| (2..2 + count).map(add).collect();
            assert_eq!(w.asks(of_province("44"), many(MAX_BOUNDED_OPERATIONS)), "ok");
            w.asks(of_province("44"), many(MAX_BOUNDED_OPERATIONS + 1))
        }
        Code::CompromiseInFuture => province_asks(w, mark(0, height + 1)),
        Code::CompromiseNotEarlier => w.asks(of_province("44"), vec![mark(0, 3), mark(0, 3)]),
        _ => return None,
    })
}

fn rotations_used_up(w: &mut World) -> &'static str {
    fill_keys(w, MAX_OWN_KEYS - 1);
    let rotate = |id| {
        let key = agency_key(id, KeyPurpose::Credential);
        Operation::RotateKey { agency: uscc(1), key_id: CREDENTIAL_KEY, key }
    };
    w.commits(of_agency(1), vec![rotate(MAX_OWN_KEYS - 1)]);
    let next = Operation::RotateKey {
        agency: uscc(1),
        key_id: MAX_OWN_KEYS - 1,
        key: agency_key(MAX_OWN_KEYS, KeyPurpose::Credential),
    };
    assert_eq!(province_asks(w, next.clone()), "ok");
    w.asks(of_agency(1), vec![next])
}

fn key_outlives(w: &mut World) -> &'static str {
    let until =
        |id, until| NewKey { valid_until: until, ..agency_key(id, KeyPurpose::Transaction) };
    let end = w.height + 100;
    let add = Operation::AddKey { agency: uscc(1), key: until(2, Some(end)) };
    w.commits(of_province("44"), vec![add]);
    let rotate = |until| Operation::RotateKey { agency: uscc(1), key_id: 2, key: until };
    let mut longer = "ok";
    for (key, expected) in [
        (until(3, Some(end)), "ok"),
        (until(3, Some(end - 1)), "ok"),
        (until(3, Some(end + 1)), "key_outlives"),
        (until(3, None), "key_outlives"),
    ] {
        assert_eq!(province_asks(w, rotate(key.clone())), "ok");
        longer = w.asks(of_agency(1), vec![rotate(key)]);
        assert_eq!(longer, expected);
    }
    longer
}

/// Gives agency 1 `count` keys, straight in the state.
fn fill_keys(world: &mut World, count: u32) {
    let actor = of_agency(1);
    let mut agency = world.agency(1);
    for id in agency.next_key..count {
        let record = KeyRecord {
            version: RECORD_VERSION,
            key: secret(actor, id).public_key(),
            purpose: KeyPurpose::Credential,
            valid_from: 1,
            valid_until: None,
            added_by: None,
            compromised_from: None,
        };
        world.state.insert(StateKey::Key(actor, id), record.to_bytes());
    }
    agency.next_key = count;
    world.state.insert(StateKey::Agency(uscc(1)), agency.to_bytes());
}

fn slot_case(w: &mut World, code: Code) -> Option<&'static str> {
    let reserve = |blocks| Operation::ReserveSlots { agency: uscc(1), blocks };
    Some(match code {
        Code::BadBlockCount => {
            assert_eq!(province_asks(w, reserve(0)), "bad_block_count");
            assert_eq!(province_asks(w, reserve(256)), "ok");
            province_asks(w, reserve(257))
        }
        Code::SlotsBusy => w.asks(of_province("44"), vec![reserve(200), reserve(57)]),
        Code::SlotsUnused => {
            // One block is open since the beginning.
            let most = u16::try_from(MAX_OPEN_BLOCKS).unwrap();
            assert_eq!(w.asks(of_agency(1), vec![reserve(most - 1)]), "ok");
            w.asks(of_agency(1), vec![reserve(most)])
        }
        Code::SlotsExhausted => {
            let key = StateKey::Province(province("44"));
            let mut record: ProvinceRecord = w.record(&key).unwrap();
            record.next_slot_block = BLOCKS_PER_PROVINCE - 1;
            w.state.insert(key, record.to_bytes());
            assert_eq!(province_asks(w, reserve(1)), "ok");
            province_asks(w, reserve(2))
        }
        _ => return None,
    })
}

fn recognition_case(w: &mut World, code: Code) -> Option<&'static str> {
    let spans = |w: &mut World, count: u32| {
        for n in 0..count {
            let interval = Interval { from: Day(n), until: Some(Day(n)) };
            let (from_province, licence_type) = (province("51"), type_code(DRIVING));
            let recognise = Operation::Recognise { from_province, licence_type, interval };
            w.commits(of_province("44"), vec![recognise]);
        }
    };
    Some(match code {
        Code::OwnProvince => recognise(w, "44", DRIVING, (1, 2)),
        Code::BadInterval => {
            assert_eq!(recognise(w, "51", DRIVING, (1, LAST_DAY.0)), "ok");
            assert_eq!(recognise(w, "51", DRIVING, (1, LAST_DAY.0 + 1)), "bad_interval");
            recognise(w, "51", DRIVING, (2, 1))
        }
        Code::IntervalOverlaps => {
            spans(w, 1);
            recognise(w, "51", DRIVING, (0, 5))
        }
        Code::TooManyIntervals => {
            spans(w, 16);
            recognise(w, "51", DRIVING, (50, 50))
        }
        Code::NothingToWithdraw => {
            let (from_province, licence_type) = (province("51"), type_code(DRIVING));
            let effective = Day(0);
            let withdraw =
                Operation::WithdrawRecognition { from_province, licence_type, effective };
            province_asks(w, withdraw)
        }
        _ => return None,
    })
}

#[test]
fn every_rejection_is_given_and_by_its_name() {
    let groups = [
        transaction_case,
        licence_case,
        agency_case,
        key_case,
        slot_case,
        recognition_case,
        governance_case,
    ];
    for code in Code::ALL {
        let answers: Vec<_> =
            groups.iter().filter_map(|group| group(&mut stage(), *code)).collect();
        assert_eq!(answers, [code.name()], "{code:?}");
    }
}

#[test]
fn a_rejection_names_the_operation_that_was_refused() {
    use symbolon_contracts::{ApplyError, Overlay, Rejection, apply_transaction};
    let world = stage();
    let refused = |operations| {
        let transaction = world.sign(of_agency(1), operations);
        apply_transaction(&mut Overlay::new(&world), &world.context(), &transaction).unwrap_err()
    };
    let why = Rejection { code: Code::LicenceSuspended, operation_index: Some(1) };
    assert_eq!(refused(vec![suspend(), suspend()]), ApplyError::Rejected(why));
    assert_eq!(why.to_string(), "operation 1: the licence is suspended");
    let mut payload = world.payload(of_agency(1), vec![suspend()]);
    payload.valid_until_height = world.height - 1;
    let late = sign_with(&payload, &first_key());
    let outcome = apply_transaction(&mut Overlay::new(&world), &world.context(), &late);
    let why = Rejection { code: Code::Expired, operation_index: None };
    assert_eq!(outcome, Err(ApplyError::Rejected(why)));
}

/// Each operation has two faults or more; the answer names the one that comes first.
#[test]
fn of_several_faults_the_first_in_the_order_of_the_specification_is_named() {
    let mut w = stage();
    w.commits(of_agency(1), vec![release(4)]);
    let by = |actor, operation| w.asks(actor, vec![operation]);
    let check = |answer: &str, expected: &str| assert_eq!(answer, expected);
    let (home, elsewhere) = (of_province("44"), of_province("51"));
    let over = NewKey { valid_until: Some(0), ..agency_key(7, KeyPurpose::Status) };
    let reserve = |n| Operation::ReserveSlots { agency: uscc(n), blocks: 0 };
    check(by(home, reserve(9)), "unknown_agency");
    check(by(elsewhere, reserve(1)), "not_its_province");
    check(by(home, reserve(3)), "agency_deregistered");
    let add = |n| Operation::AddKey { agency: uscc(n), key: over.clone() };
    let rotate = |n| Operation::RotateKey { agency: uscc(n), key_id: 99, key: over.clone() };
    for keys in [&add as &dyn Fn(u8) -> Operation, &rotate] {
        check(by(home, keys(9)), "unknown_agency");
        check(by(elsewhere, keys(1)), "not_its_province");
        check(by(home, keys(3)), "agency_deregistered");
        check(by(home, keys(1)), "bad_purpose");
    }
    let mut twice = register(1, &[RARE, RARE]);
    if let Operation::RegisterAgency { keys, .. } = &mut twice {
        keys.clear();
    }
    check(by(home, twice.clone()), "agency_exists");
    check(by(of_agency(1), twice), "wrong_actor");
    let late = |licence_type: &str| {
        let mut licence = licence("new", "old lineage", u32::MAX);
        (licence.licence_type, licence.expiry) = (type_code(licence_type), Some(Month(0)));
        licence
    };
    let take = |code| Operation::TransferIn { previous: cid_of(1, "old"), licence: late(code) };
    check(by(of_agency(1), take(FIXED)), "not_transfer_target");
    check(by(of_agency(4), take("local:none")), "unknown_type");
    check(by(of_agency(4), take(FIXED)), "type_differs");
    let issue = |code| Operation::Issue { licence: late(code) };
    check(by(of_agency(1), issue("local:none")), "unknown_type");
    check(by(of_agency(1), issue(RARE)), "out_of_scope");
    check(by(of_agency(1), issue(DRIVING)), "lineage_in_use");
    check(recognise(&w, "99", "local:none", (2, 1)), "unknown_province");
    check(recognise(&w, "44", "local:none", (2, 1)), "unknown_type");
    check(recognise(&w, "44", DRIVING, (2, 1)), "own_province");
    // The transaction as a whole: in the order of the numbers.
    let whole = |actor: u8, key_id, key: u32| {
        let mut payload = w.payload(of_agency(actor), vec![reserve(9)]);
        payload.key_id = key_id;
        word(&w.attempt(&sign_with(&payload, &secret(of_agency(actor), key))))
    };
    check(whole(2, 9, 9), "unknown_key");
    check(whole(2, 0, 9), "wrong_key");
    check(whole(2, CREDENTIAL_KEY, CREDENTIAL_KEY), "key_not_for_transactions");
    check(whole(2, 0, 0), "signer_suspended");
    check(whole(3, 0, 0), "signer_deregistered");
}

#[test]
fn the_window_is_inclusive_at_both_ends() {
    let world = stage();
    let height = world.height;
    assert_eq!(saying(&world, |p| p.valid_until_height = height, &first_key()), "ok");
    let last = height + VALIDITY_WINDOW;
    assert_eq!(saying(&world, |p| p.valid_until_height = last, &first_key()), "ok");
}

#[test]
fn the_specification_lists_every_rejection_as_the_code_has_it() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/spec/operations.md");
    let text = std::fs::read_to_string(path).unwrap();
    for code in Code::ALL {
        let row = format!("| {} | `{}` | {} |", code.number(), code.name(), code.message());
        assert!(text.contains(&row), "docs/spec/operations.md lacks\n{row}");
    }
    let rows = text.lines().filter(|line| {
        let number = line.strip_prefix("| ").and_then(|rest| rest.split_once(" | `"));
        number.is_some_and(|(number, _)| number.parse::<u16>().is_ok())
            && line.matches('|').count() == 4
    });
    assert_eq!(rows.count(), Code::ALL.len(), "the specification lists a code that does not exist");
}
