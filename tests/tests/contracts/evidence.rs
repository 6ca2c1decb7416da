//! Evidence of equivocation: what proves it, against whom, and how often it is heard.

use symbolon_contracts::{RejectionCode as Code, evidence::EVIDENCE_WINDOW};
use symbolon_ledger::{
    governance::{Action, EvidenceRecord},
    hash::{BlockHash, Digest, sha256},
    keys::SecretKey,
    operation::Operation,
    records::ValidatorsRecord,
    state::StateKey,
    vote::{SignedStatement, Statement, Step},
};

use crate::{
    governance::{decide, validator, validator_secret},
    world::*,
};

/// The key of a founding validator.
fn founding(code: &str) -> SecretKey {
    secret(of_province(code), 99)
}

fn statement(height: u64, step: Step, block: Option<BlockHash>) -> Statement {
    Statement { step, chain: CHAIN, height, round: 3, block, pol_round: None }
}

fn signed(key: &SecretKey, statement: &Statement) -> SignedStatement {
    SignedStatement::new(statement, key.sign(&statement.bytes()))
}

/// Two statements as evidence, in the order of their bytes.
fn against(code: &str, a: SignedStatement, b: SignedStatement) -> Operation {
    let (first, second) = if a.statement < b.statement { (a, b) } else { (b, a) };
    Operation::Evidence { province: province(code), first, second }
}

/// Two different prevotes for `height` under this key.
fn prevotes(code: &str, key: &SecretKey, height: u64) -> Operation {
    let vote = |block| signed(key, &statement(height, Step::Prevote, block));
    against(code, vote(None), vote(Some(sha256(b"block"))))
}

fn world() -> World {
    let mut world = World::founded_with(&crate::governance::FIVE);
    world.found_province("64");
    world.with_agency(1, "44", &[DRIVING]);
    world.height = 40;
    world
}

fn asks(world: &World, operation: Operation) -> &'static str {
    world.asks(of_province("11"), vec![operation])
}

pub(crate) fn evidence_case(code: Code) -> Option<&'static str> {
    let mut w = world();
    let key = founding("44");
    Some(match code {
        Code::NotEquivocation => not_equivocation(&w),
        Code::EvidenceOutOfWindow => {
            w.height = EVIDENCE_WINDOW + 2;
            assert_eq!(asks(&w, prevotes("44", &key, 2)), "ok");
            assert_eq!(asks(&w, prevotes("44", &key, 1)), "evidence_out_of_window");
            assert_eq!(asks(&w, prevotes("44", &key, w.height)), "ok");
            asks(&w, prevotes("44", &key, w.height + 1))
        }
        Code::NoValidatorThen => {
            assert_eq!(asks(&w, prevotes("44", &key, 0)), "no_validator_then");
            assert_eq!(asks(&w, prevotes("99", &key, 5)), "no_validator_then");
            asks(&w, prevotes("64", &key, 5))
        }
        Code::EvidenceKnown => {
            w.commits(of_province("31"), vec![prevotes("44", &key, 5)]);
            let proposal =
                |block: &[u8]| signed(&key, &statement(5, Step::Proposal, Some(sha256(block))));
            // Another pair of the same height says nothing new about the key.
            assert_eq!(asks(&w, against("44", proposal(b"a"), proposal(b"b"))), "evidence_known");
            asks(&w, prevotes("44", &key, 5))
        }
        Code::BadEvidenceSignature => {
            assert_eq!(asks(&w, prevotes("44", &founding("31"), 5)), "bad_evidence_signature");
            let good = signed(&key, &statement(5, Step::Prevote, None));
            let others = signed(&founding("31"), &statement(5, Step::Prevote, Some(sha256(b"b"))));
            asks(&w, against("44", good, others))
        }
        _ => return None,
    })
}

fn not_equivocation(w: &World) -> &'static str {
    let key = founding("44");
    let vote = |statement: &Statement| signed(&key, statement);
    let nil = statement(5, Step::Prevote, None);
    let block = statement(5, Step::Prevote, Some(sha256(b"block")));
    let check = |a: SignedStatement, b: SignedStatement| {
        assert_eq!(asks(w, against("44", a, b)), "not_equivocation");
    };
    check(vote(&nil), vote(&nil));
    check(vote(&nil), vote(&Statement { height: 6, ..block.clone() }));
    check(vote(&nil), vote(&Statement { round: 4, ..block.clone() }));
    check(vote(&nil), vote(&Statement { step: Step::Precommit, ..block.clone() }));
    let elsewhere = |s: &Statement| vote(&Statement { chain: Digest([8; 32]), ..s.clone() });
    check(elsewhere(&nil), elsewhere(&block));
    check(elsewhere(&nil), vote(&block));
    let other = SignedStatement { statement: b"no statement".to_vec().into(), ..vote(&nil) };
    check(vote(&nil), other);
    // The greater bytes first: a second spelling of good evidence.
    let Operation::Evidence { province, first, second } = against("44", vote(&nil), vote(&block))
    else {
        panic!("evidence");
    };
    asks(w, Operation::Evidence { province, first: second, second: first })
}

#[test]
fn two_statements_of_every_step_convict_the_key_and_change_nothing_else() {
    for (height, step) in (5..).zip([Step::Proposal, Step::Prevote, Step::Precommit]) {
        let mut world = world();
        let key = founding("44");
        let say = |block: &[u8]| signed(&key, &statement(height, step, Some(sha256(block))));
        let (before, set) = (world.state.len(), world.state[&StateKey::Validators].clone());
        world.commits(of_province("31"), vec![against("44", say(b"a"), say(b"b"))]);
        let place = StateKey::Evidence(province("44"), height);
        let record: EvidenceRecord = world.record(&place).unwrap();
        assert_eq!(
            (record.key, record.round, record.step, record.reported_at),
            (key.public_key(), 3, step, 40)
        );
        assert_eq!(world.state.len(), before + 1, "one record, and no other");
        assert_eq!(world.state[&StateKey::Validators], set, "its vote is not taken away by this");
        world.assert_sound();
    }
}

/// The same block proposed again under another claim of a lock is another proposal.
#[test]
fn two_proposals_of_one_block_with_different_locks_exclude_each_other() {
    let (world, key) = (world(), founding("44"));
    let say = |pol_round| {
        signed(&key, &Statement { pol_round, ..statement(5, Step::Proposal, Some(sha256(b"a"))) })
    };
    assert_eq!(asks(&world, against("44", say(Some(1)), say(Some(2)))), "ok");
    assert_eq!(asks(&world, against("44", say(None), say(Some(2)))), "ok");
}

#[test]
fn only_provinces_bring_evidence_also_against_themselves_and_one_without_a_vote() {
    let world = world();
    let evidence = || vec![prevotes("44", &founding("44"), 5)];
    for code in ["44", "64"] {
        assert_eq!(world.asks(of_province(code), evidence()), "ok");
    }
    assert_eq!(world.asks(of_agency(1), evidence()), "wrong_actor");
}

/// The key that had the vote at the height is judged, whoever has it now.
#[test]
fn evidence_is_held_against_the_key_of_its_height() {
    let mut world = world();
    let rotation = Action::RotateValidator { validator: validator("44", 1).into() };
    decide(&mut world, rotation);
    let rotated = world.height - 1;
    decide(&mut world, Action::RemoveValidator { province: province("44") });
    let removed = world.height - 1;
    world.height += 5;
    let (old, new) = (founding("44"), validator_secret("44", 1));
    let check = |key: &SecretKey, height, expected: &str| {
        assert_eq!(asks(&world, prevotes("44", key, height)), expected, "{height}");
    };
    check(&old, 1, "ok");
    check(&old, rotated, "ok");
    check(&new, rotated, "bad_evidence_signature");
    check(&old, rotated + 1, "bad_evidence_signature");
    check(&new, rotated + 1, "ok");
    check(&new, removed, "ok");
    check(&new, removed + 1, "no_validator_then");
    let set = world.record::<ValidatorsRecord>(&StateKey::Validators).unwrap().set;
    assert_eq!(set.validators().len(), 4);
    world.commits(of_province("11"), vec![prevotes("44", &new, rotated + 1)]);
    world.assert_sound();
}
