//! The offline verdict as its evidence ages, contradicts itself, or is missing; `flips` has it as
//! one bit of it is another.

mod flips;

use symbolon_credential::{
    sd_jwt::IssuerName,
    status_list::{self, Expected, LedgerPoint, ListAddress, NewToken, lst},
};
use symbolon_ledger::{
    codec::encode,
    hash::{Digest, sha256},
    keys::SecretKey,
    operation::{Actor, RevocationClass},
    records::{LicenceStatus, RecognitionRecord},
};

use super::*;
use crate::{
    judge::judge,
    samples::{
        FRESH_MS, Scene,
        chain::{Chain, FOUNDED_MS},
        map::Map,
    },
    state_proof,
    verdict::{LedgerStatus, Outcome, Reason, RecognitionReason},
};

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;
/// The licence's slot.
const SLOT: usize = 7;
/// The age up to which a pin is relied on here.
const MAX_AGE: u64 = 7 * DAY;

/// A licence on a chain, with what proves it.
struct Desk {
    scene: Scene,
    chain: Chain,
    map: Map,
    /// Height of the newest state.
    at: u64,
}

impl Desk {
    fn new() -> Self {
        Self::of(Scene::new())
    }

    fn of(scene: Scene) -> Self {
        let mut map = Map::default();
        let parsed = Parsed::parse(&scene.credential).unwrap();
        let IssuerName { agency: uscc, .. } = parsed.claimed_issuer().unwrap();
        let view = &scene.view;
        if let Some(licence) = &view.licence {
            map.put(StateKey::Licence(parsed.claimed_cid().unwrap()), licence);
        }
        map.put(StateKey::Agency(uscc), view.agency.as_ref().unwrap());
        let key = |id| StateKey::Key(Actor::Agency(uscc), id);
        map.put(key(3), view.key.as_deref().unwrap());
        map.put(key(1), view.transaction_key.as_deref().unwrap());
        for province in [&view.province, &view.asking_province] {
            let province = province.as_ref().unwrap();
            map.put(StateKey::Province(province.code), province);
        }
        let licence_type = view.licence_type.as_deref().unwrap();
        map.put(StateKey::LicenceType(licence_type.code.clone()), licence_type);
        let mut chain = Chain::with_changes(2, 2);
        let at = chain.block_of(sha256(b""), map.root());
        Self { scene, chain, map, at }
    }

    fn with_status(status: LicenceStatus) -> Self {
        let mut scene = Scene::new();
        scene.view.licence.as_mut().unwrap().status = status;
        Self::of(scene)
    }

    fn without_licence() -> Self {
        let mut scene = Scene::new();
        scene.view.licence = None;
        Self::of(scene)
    }

    fn presentation(&self) -> Parsed {
        Parsed::parse(&self.scene.shown()).unwrap()
    }

    /// Every place that a verdict rests on.
    fn keys(&self) -> Vec<StateKey> {
        let parsed = self.presentation();
        let uscc = parsed.claimed_issuer().unwrap().agency;
        let code = parsed.claimed_type().unwrap().0;
        let (asking, home) = ("11".parse().unwrap(), "44".parse().unwrap());
        vec![
            StateKey::Licence(parsed.claimed_cid().unwrap()),
            StateKey::Agency(uscc),
            StateKey::Key(Actor::Agency(uscc), 3),
            StateKey::Key(Actor::Agency(uscc), 1),
            StateKey::LicenceType(code.clone()),
            StateKey::Province(home),
            StateKey::Province(asking),
            StateKey::Recognition(asking, home, code),
        ]
    }

    fn prove(&self, keys: &[StateKey]) -> CheckedState {
        let proof = encode(&self.map.proof(&self.chain, self.at, keys));
        state_proof::check(&proof, &self.chain.pinned(self.at - 1)).unwrap()
    }

    /// When the newest state was made.
    fn made(&self) -> u64 {
        self.chain.header(self.at).time_ms
    }

    /// A list made `later` milliseconds after the state, and the word in it; it ends a day after.
    fn list(&self, word: u8, later: u64) -> Checked {
        let state_root = if later == 0 { self.map.root() } else { sha256(b"later") };
        let ledger = LedgerPoint { height: self.at + later / 1_000, state_root };
        self.signed(("44", 0), (SLOT, word), (self.made() + later) / 1_000, ledger)
    }

    /// A list of a province, with one word at one place, checked when it was made.
    fn signed(
        &self,
        (province, list): (&str, u32),
        (index, word): (usize, u8),
        issued_at: u64,
        at: LedgerPoint,
    ) -> Checked {
        let origin = self.scene.view.province.as_ref().unwrap().issuer_origin.clone();
        let address = ListAddress { origin, province: province.parse().unwrap(), list };
        let mut packed = vec![0; SLOT / 4 + 1];
        packed[index / 4] |= word << (2 * (index % 4));
        let key = SecretKey::from_seed(&[41; 32]);
        let lst = lst(&packed);
        let token = NewToken { address: &address, key_id: 2, issued_at, ledger: at, lst: &lst };
        let expected = Expected {
            uri: &address.uri(),
            key_id: 2,
            key: &key.public_key(),
            now_s: issued_at,
            seen: None,
        };
        status_list::Parsed::parse(&token.sign(&key)).unwrap().check(&expected).unwrap()
    }

    /// The verdict so long after the newest state.
    fn judge(&self, states: &[CheckedState], list: Option<&Checked>, age: u64) -> Verdict {
        let request = Request { now_ms: self.made() + age, ..self.scene.request.clone() };
        let evidence = Evidence { states, list };
        let trust = self.chain.pinned(self.at - 1);
        verify(&self.presentation(), &evidence, &trust, MAX_AGE, &request)
    }

    fn after(&self, age: u64, list: Option<&Checked>) -> Verdict {
        self.judge(&[self.prove(&self.keys())], list, age)
    }
}

fn answer(verdict: &Verdict) -> (Outcome, Option<Reason>) {
    (verdict.outcome, verdict.reason)
}

const REVOKED: LicenceStatus = LicenceStatus::Revoked { class: RevocationClass::Penalty };

#[test]
fn fresh_evidence_gives_the_verdict_of_a_node() {
    let changes: [fn(&mut Scene); 5] = [
        |_| {},
        |s| s.view.licence.as_mut().unwrap().status = LicenceStatus::Suspended,
        |s| s.view.licence.as_mut().unwrap().status = REVOKED,
        |s| s.view.licence.as_mut().unwrap().type_index = 6,
        |s| s.view.key.as_mut().unwrap().compromised_from = Some(1),
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut scene = Scene::new();
        change(&mut scene);
        let desk = Desk::of(scene);
        let offline = desk.after(1_000, None);
        let as_of = AsOf::of(desk.chain.header(desk.at));
        let view = LedgerView { as_of, licence_as_of: as_of, ..desk.scene.view.clone() };
        let request = Request { now_ms: desk.made() + 1_000, ..desk.scene.request.clone() };
        let online = judge(&desk.presentation(), &Ledger::At(Box::new(view)), &request);
        let added = " As of 2026-11-18 19:06 Beijing time, less than a minute ago.";
        assert_eq!(offline.message.en, format!("{}{added}", online.message.en), "row {i}");
        assert_eq!(Verdict { message: online.message.clone(), ..offline }, online, "row {i}");
    }
}

#[test]
fn a_state_counts_as_long_as_max_staleness_and_what_is_final_for_ever() {
    use Outcome::{Invalid, Undetermined, Valid};
    let old = FRESH_MS + 5 * MINUTE;
    let active = || Desk::new();
    let rows: [(Desk, u64, Outcome, Option<Reason>); 8] = [
        (active(), FRESH_MS, Valid, None),
        (active(), FRESH_MS + 1, Undetermined, Some(Reason::StaleLedger)),
        (Desk::with_status(LicenceStatus::Suspended), FRESH_MS, Invalid, Some(Reason::Suspended)),
        (Desk::with_status(LicenceStatus::Suspended), old, Undetermined, Some(Reason::StaleLedger)),
        (Desk::with_status(REVOKED), old, Invalid, Some(Reason::Revoked)),
        (Desk::with_status(REVOKED), MAX_AGE - DAY, Invalid, Some(Reason::Revoked)),
        (
            Desk::with_status(LicenceStatus::Superseded { by: Digest([8; 32]) }),
            old,
            Invalid,
            Some(Reason::Superseded),
        ),
        (Desk::without_licence(), old, Undetermined, Some(Reason::StaleLedger)),
    ];
    for (i, (desk, age, outcome, reason)) in rows.into_iter().enumerate() {
        assert_eq!(answer(&desk.after(age, None)), (outcome, reason), "row {i}");
    }
    let unknown = Desk::without_licence().after(1, None);
    assert_eq!(answer(&unknown), (Outcome::Unknown, Some(Reason::NotOnLedger)));
    let stale = active().after(old, None);
    let expected = "Not recognised in Beijing: there is no agreement. Cannot be decided offline: \
        the state proof is too old for what may have changed since. This does not mean that the \
        licence is invalid. Fetch a fresh state proof or status list, or ask a node. \
        As of 2026-11-18 19:06 Beijing time, 6 minutes ago.";
    assert_eq!(stale.message.en, expected);
    assert!(stale.message.zh.ends_with("依据北京时间2026-11-18 19:06的账本状态（6分钟前）。"));
    assert_eq!(stale.as_of.unwrap().height, active().at);
}

#[test]
fn a_list_keeps_the_status_fresh_until_its_end_and_not_a_second_longer() {
    use Outcome::{Invalid, Undetermined, Valid};
    let (hour, end) = (60 * MINUTE, DAY + 60 * MINUTE);
    let desk = Desk::new();
    let newer = |word| desk.list(word, hour);
    let rows = [
        (newer(0), 2 * hour, Valid, None),
        (newer(1), 2 * hour, Invalid, Some(Reason::Revoked)),
        (newer(2), 2 * hour, Invalid, Some(Reason::Suspended)),
        (newer(3), 2 * hour, Undetermined, Some(Reason::LedgerUnavailable)),
        (newer(0), end - 1, Valid, None),
        (newer(0), end, Undetermined, Some(Reason::StaleLedger)),
        (newer(1), end, Undetermined, Some(Reason::StaleLedger)),
        (newer(2), end, Undetermined, Some(Reason::StaleLedger)),
        // Newer than fresh records, it is still the newer word.
        (desk.list(1, 30_000), 40_000, Invalid, Some(Reason::Revoked)),
        // As old as the records, it confirms them until its end.
        (desk.list(0, 0), 2 * hour, Valid, None),
        (desk.list(1, 0), 2 * hour, Undetermined, Some(Reason::StaleLedger)),
        // Made in the future of this clock.
        (newer(0), hour - 20 * MINUTE, Undetermined, Some(Reason::StaleLedger)),
    ];
    for (i, (list, age, outcome, reason)) in rows.into_iter().enumerate() {
        assert_eq!(answer(&desk.after(age, Some(&list))), (outcome, reason), "row {i}");
    }
    let verdict = desk.after(2 * hour, Some(&newer(2)));
    assert_eq!(verdict.ledger_status, LedgerStatus::Suspended);
    assert_eq!(verdict.as_of.as_ref().unwrap().height, desk.at + hour / 1_000);
    assert!(verdict.message.en.ends_with(" 60 minutes ago."), "{}", verdict.message.en);
    let confirmed = desk.after(2 * hour, Some(&desk.list(0, 0)));
    assert_eq!(confirmed.as_of.unwrap().height, desk.at);
}

#[test]
fn a_list_moves_nothing_but_the_status_of_this_licence() {
    let later = 60 * MINUTE;
    let undetermined = (Outcome::Undetermined, Some(Reason::StaleLedger));
    let desk = Desk::new();
    let made = (desk.made() + later) / 1_000;
    let at = |height, root: &[u8]| LedgerPoint { height, state_root: sha256(root) };
    for other in [
        // Another list of the province, and another province's, with "valid" at the same place.
        desk.signed(("44", 1), (SLOT, 0), made, at(desk.at + 9, b"later")),
        desk.signed(("11", 0), (SLOT, 0), made, at(desk.at + 9, b"later")),
        // A list that names another root for a certified height was not made from this chain.
        desk.signed(("44", 0), (SLOT, 0), made, at(desk.at, b"another")),
        desk.signed(("44", 0), (SLOT, 0), made, at(desk.at - 1, b"another")),
        // A list of an old height that says it is new: its key was ended meanwhile.
        desk.signed(("44", 0), (SLOT, 0), made, at(desk.at - 3, b"old")),
        // A list of a later height from before the newest block.
        desk.signed(("44", 0), (SLOT, 0), desk.made() / 1_000 - 1, at(desk.at + 9, b"later")),
    ] {
        assert_eq!(answer(&desk.after(2 * later, Some(&other))), undetermined);
    }
    // What it says of the neighbours is nothing to this one.
    let neighbour = desk.signed(("44", 0), (SLOT - 1, 1), made, at(desk.at + 9, b"later"));
    assert_eq!(desk.after(2 * later, Some(&neighbour)).outcome, Outcome::Valid);
    // Places that no licence uses have the word "valid", too.
    let absent = Desk::without_licence();
    let verdict = absent.after(2 * later, Some(&absent.list(0, later)));
    assert_eq!(answer(&verdict), undetermined);
    let revoked = Desk::with_status(REVOKED);
    let verdict = revoked.after(2 * later, Some(&revoked.list(0, later)));
    assert_eq!(answer(&verdict), (Outcome::Invalid, Some(Reason::Revoked)));
    let suspended = Desk::with_status(LicenceStatus::Suspended);
    let resumed = suspended.after(2 * later, Some(&suspended.list(0, later)));
    assert_eq!((resumed.outcome, resumed.ledger_status), (Outcome::Valid, LedgerStatus::Active));
    let denied = suspended.after(2 * later, Some(&suspended.list(0, 0)));
    assert_eq!(answer(&denied), undetermined);
    let confirmed = suspended.after(2 * later, Some(&suspended.list(2, 0)));
    assert_eq!(answer(&confirmed), (Outcome::Invalid, Some(Reason::Suspended)));
}

#[test]
fn the_list_of_a_licence_is_named_by_what_is_proven() {
    let desk = Desk::new();
    let presentation = desk.presentation();
    let address = list_of(&presentation, &[desk.prove(&desk.keys())]).unwrap();
    assert_eq!(address.uri(), "https://guangdong.province.example/status-lists/44/0");
    assert_eq!(list_of(&presentation, &[desk.prove(&desk.keys()[1..])]), None);
    assert_eq!(list_of(&presentation, &[]), None);
}

#[test]
fn past_its_age_a_trust_bundle_decides_nothing_and_condemns_nobody() {
    let desk = Desk::with_status(REVOKED);
    let pinned = desk.chain.header(desk.at - 1).time_ms;
    let last = pinned + MAX_AGE - desk.made();
    assert_eq!(desk.after(last, None).outcome, Outcome::Invalid);
    let verdict = desk.after(last + 1, None);
    assert_eq!(answer(&verdict), (Outcome::Undetermined, Some(Reason::LedgerUnavailable)));
    assert!(verdict.message.en.contains("the trust bundle is too old"), "{}", verdict.message.en);
    assert!(verdict.message.zh.contains("信任包已过期"));
    assert!(verdict.cid.is_some() && verdict.as_of.is_none());
}

#[test]
fn a_clock_that_is_behind_the_pin_decides_nothing() {
    let desk = Desk::new();
    let states = [desk.prove(&desk.keys())];
    let request = Request { now_ms: FOUNDED_MS - DAY, ..desk.scene.request.clone() };
    let evidence = Evidence { states: &states, list: None };
    let trust = desk.chain.pinned(desk.at - 1);
    let verdict = verify(&desk.presentation(), &evidence, &trust, MAX_AGE, &request);
    assert_eq!(answer(&verdict), (Outcome::Undetermined, Some(Reason::LedgerUnavailable)));
    assert!(verdict.message.en.contains("clock"), "{}", verdict.message.en);
}

#[test]
fn what_the_proofs_do_not_cover_is_undetermined_and_never_absent() {
    let desk = Desk::new();
    let keys = desk.keys();
    let nothing = desk.judge(&[], None, 1);
    assert_eq!(answer(&nothing), (Outcome::Undetermined, Some(Reason::LedgerUnavailable)));
    for left_out in 0..keys.len() {
        let mut some = keys.clone();
        some.remove(left_out);
        let verdict = desk.judge(&[desk.prove(&some)], None, 1);
        match keys[left_out] {
            // Only for its name.
            StateKey::Province(province) if province.as_str() == "11" => {
                assert_eq!(verdict.outcome, Outcome::Valid);
            }
            StateKey::Recognition(..) => {
                assert_eq!(verdict.outcome, Outcome::Valid);
                assert_eq!(verdict.recognised.reason, RecognitionReason::NotDetermined);
                assert!(verdict.message.en.starts_with("The licence is valid"));
            }
            _ => {
                let expected = (Outcome::Undetermined, Some(Reason::LedgerUnavailable));
                assert_eq!(answer(&verdict), expected, "{:?}", keys[left_out]);
            }
        }
    }
}

#[test]
fn proofs_of_several_heights_are_as_old_as_the_oldest_that_is_used() {
    let mut desk = Desk::new();
    let keys = desk.keys();
    let (licence, others) = keys.split_first().unwrap();
    // The verifier proved the registries an hour ago, the holder the licence just now.
    let registries = desk.prove(others);
    let old = desk.at;
    desk.chain.wait(60 * MINUTE);
    desk.at = desk.chain.block_of(sha256(b""), desk.map.root());
    let fresh = desk.prove(std::slice::from_ref(licence));
    let verdict = desk.judge(&[registries.clone(), fresh.clone()], None, 1_000);
    assert_eq!(answer(&verdict), (Outcome::Undetermined, Some(Reason::StaleLedger)));
    assert_eq!(verdict.as_of.unwrap().height, old);
    // A list of now makes it good.
    let list = desk.list(0, 0);
    let verdict = desk.judge(&[registries.clone(), fresh], Some(&list), 1_000);
    assert_eq!(answer(&verdict), (Outcome::Valid, None));

    // An absence in an old proof is no absence now: an agreement may have come since.
    let verdict = desk.judge(&[registries, desk.prove(&keys[..7])], None, 1_000);
    assert_eq!(verdict.outcome, Outcome::Valid);
    assert_eq!(verdict.recognised.reason, RecognitionReason::NotDetermined);
    // What stood there then is known.
    let agreement = keys[7].clone();
    let interval =
        symbolon_ledger::operation::Interval { from: symbolon_ledger::codes::Day(0), until: None };
    let record = RecognitionRecord { version: 1, intervals: vec![interval] };
    desk.map.put(agreement.clone(), &record);
    desk.at = desk.chain.block_of(sha256(b""), desk.map.root());
    let proven = desk.prove(&[agreement]);
    desk.at = desk.chain.block_of(sha256(b""), desk.map.root());
    let verdict = desk.judge(&[proven, desk.prove(&keys[..7])], None, 1_000);
    assert_eq!(verdict.recognised.reason, RecognitionReason::Agreement);
}

#[test]
fn a_list_older_than_the_proof_of_the_licence_does_not_overrule_it() {
    let rows = [
        (LicenceStatus::Suspended, 0, (Outcome::Invalid, Some(Reason::Suspended))),
        (LicenceStatus::Active, 2, (Outcome::Valid, None)),
    ];
    for (status, word, expected) in rows {
        let mut desk = Desk::new();
        let keys = desk.keys();
        let (licence, others) = keys.split_first().unwrap();
        let registries = desk.prove(others);
        // The list lies between the two proofs: what it says was so, and is not any more.
        desk.chain.wait(10_000);
        desk.at = desk.chain.block_of(sha256(b""), desk.map.root());
        let list = desk.list(word, 0);
        let mut record = desk.scene.view.licence.clone().unwrap();
        record.status = status;
        desk.map.put(licence.clone(), &record);
        desk.chain.wait(10_000);
        desk.at = desk.chain.block_of(sha256(b""), desk.map.root());
        let states = [registries, desk.prove(std::slice::from_ref(licence))];
        assert_eq!(answer(&desk.judge(&states, Some(&list), 1_000)), expected, "word {word}");
        assert_eq!(answer(&desk.judge(&states, None, 1_000)), expected, "without a list");
    }
}

#[test]
fn a_clock_that_is_behind_a_proof_decides_nothing() {
    let mut desk = Desk::with_status(REVOKED);
    desk.chain.wait(60 * MINUTE);
    desk.at = desk.chain.block_of(sha256(b""), desk.map.root());
    let states = [desk.prove(&desk.keys())];
    let trust = desk.chain.pinned(desk.at - 1);
    let evidence = Evidence { states: &states, list: None };
    let verdict = |now_ms| {
        let request = Request { now_ms, ..desk.scene.request.clone() };
        answer(&verify(&desk.presentation(), &evidence, &trust, MAX_AGE, &request))
    };
    let first = desk.made() - MAX_CLOCK_LAG_MS;
    assert_eq!(verdict(first), (Outcome::Invalid, Some(Reason::Revoked)));
    assert_eq!(verdict(first - 1), (Outcome::Undetermined, Some(Reason::LedgerUnavailable)));
}

#[test]
fn records_older_than_the_bundle_may_be_take_no_list() {
    let mut desk = Desk::new();
    let states = [desk.prove(&desk.keys())];
    let old = desk.made();
    desk.chain.wait(8 * DAY);
    desk.chain.grow(1);
    desk.at = desk.chain.block_of(sha256(b""), desk.map.root());
    assert!(desk.made() - old > MAX_AGE);
    let verdict = desk.judge(&states, Some(&desk.list(0, 0)), 1_000);
    assert_eq!(answer(&verdict), (Outcome::Undetermined, Some(Reason::StaleLedger)));
}
