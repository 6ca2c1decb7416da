//! Every combination of a key's state and what may be said about it or signed with it.

use symbolon_ledger::{
    operation::{Actor, KeyPurpose, NewKey, Operation},
    transaction::Verified,
};

use crate::world::*;

/// One row: what is done, the state of the key, and the answer to the agency's province and to the
/// agency itself. A province signs nothing with an agency's key.
///
/// `ending` and `marking`: an earlier transaction of the same block has ended the key, or marked
/// it. `last`: this is the last height of its life; `over`: the one after.
const TABLE: &str = "
done             state       province               itself

rotate_key       valid       ok                     ok
rotate_key       last        key_ended              key_ended
rotate_key       over        key_ended              key_ended
rotate_key       ending      key_ended              key_ended
rotate_key       ended       key_ended              key_ended
rotate_key       marking     key_ended              key_ended
rotate_key       compromised key_ended              key_ended
rotate_key       unknown     unknown_target_key     unknown_target_key

revoke_key       valid       ok                     wrong_actor
revoke_key       last        key_ended              wrong_actor
revoke_key       over        key_ended              wrong_actor
revoke_key       ending      key_ended              wrong_actor
revoke_key       ended       key_ended              wrong_actor
revoke_key       marking     key_ended              wrong_actor
revoke_key       compromised key_ended              wrong_actor
revoke_key       unknown     unknown_target_key     wrong_actor

mark_compromised valid       ok                     wrong_actor
mark_compromised last        ok                     wrong_actor
mark_compromised over        ok                     wrong_actor
mark_compromised ending      ok                     wrong_actor
mark_compromised ended       ok                     wrong_actor
mark_compromised marking     compromise_not_earlier wrong_actor
mark_compromised compromised compromise_not_earlier wrong_actor
mark_compromised unknown     unknown_target_key     wrong_actor

transaction      valid       -                      ok
transaction      last        -                      ok
transaction      over        -                      key_not_valid
transaction      ending      -                      ok
transaction      ended       -                      key_not_valid
transaction      marking     -                      key_not_valid
transaction      compromised -                      key_not_valid
transaction      unknown     -                      unknown_key

credential       valid       -                      ok
credential       last        -                      ok
credential       over        -                      credential_key_not_valid
credential       ending      -                      ok
credential       ended       -                      credential_key_not_valid
credential       marking     -                      credential_key_not_valid
credential       compromised -                      credential_key_not_valid
credential       unknown     -                      unknown_credential_key
";

const DONE: [&str; 5] =
    ["rotate_key", "revoke_key", "mark_compromised", "transaction", "credential"];
const STATES: [&str; 8] =
    ["valid", "last", "over", "ending", "ended", "marking", "compromised", "unknown"];

/// Number of the key in question.
const KEY: u32 = 2;

fn agency() -> Actor {
    of_agency(1)
}

fn home() -> Actor {
    of_province("44")
}

/// A world in which the key is in `state`, and what its block holds already.
fn world_with(state: &str, purpose: KeyPurpose) -> (World, Vec<Verified>) {
    let mut world = World::founded();
    world.with_agency(1, "44", &[DRIVING]);
    let added = world.height;
    let valid_until = match state {
        "last" => Some(added + 1),
        "over" => Some(added),
        _ => None,
    };
    let key = NewKey { valid_until, ..new_key(agency(), KEY, purpose) };
    world.commits(home(), vec![Operation::AddKey { agency: uscc(1), key }]);
    let end = || vec![Operation::RevokeKey { agency: uscc(1), key_id: KEY }];
    let mark = || vec![mark(KEY, added)];
    let mut block = Vec::new();
    match state {
        "ending" => block.push(world.sign(home(), end())),
        "marking" => block.push(world.sign(home(), mark())),
        "ended" => world.commits(home(), end()),
        "compromised" => world.commits(home(), mark()),
        _ => {}
    }
    (world, block)
}

fn mark(key_id: u32, from_height: u64) -> Operation {
    Operation::MarkCompromised { agency: uscc(1), key_id, from_height }
}

/// The transaction that does what the row says, signed by `signer`.
fn doing(world: &World, done: &str, signer: Actor, purpose: KeyPurpose, id: u32) -> Verified {
    let agency_code = uscc(1);
    let issue = |credential_key| {
        let mut licence = licence("new", "lineage", world.first_slot(1));
        licence.credential_key = credential_key;
        vec![Operation::Issue { licence }]
    };
    let operations = match done {
        "rotate_key" => {
            let key = new_key(agency(), 50, purpose);
            vec![Operation::RotateKey { agency: agency_code, key_id: id, key }]
        }
        "revoke_key" => vec![Operation::RevokeKey { agency: agency_code, key_id: id }],
        "mark_compromised" => vec![mark(id, world.agency(1).registered_at + 2)],
        "credential" => issue(id),
        "transaction" => {
            let mut payload = world.payload(signer, issue(CREDENTIAL_KEY));
            payload.key_id = id;
            return sign_with(&payload, &secret(signer, id));
        }
        other => panic!("{other}"),
    };
    world.sign(signer, operations)
}

fn purposes(done: &str) -> &'static [KeyPurpose] {
    match done {
        "transaction" => &[KeyPurpose::Transaction],
        "credential" => &[KeyPurpose::Credential],
        _ => &[KeyPurpose::Transaction, KeyPurpose::Credential],
    }
}

#[test]
fn every_state_of_a_key_has_the_answer_of_the_table() {
    let mut rows = TABLE.lines().filter(|line| !line.is_empty()).skip(1).map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        <[&str; 4]>::try_from(words).unwrap()
    });
    let mut wrong = Vec::new();
    for done in DONE {
        for state in STATES {
            let [row_done, row_state, province, itself] = rows.next().unwrap();
            assert_eq!((row_done, row_state), (done, state));
            for (signer, expected) in [(home(), province), (agency(), itself)] {
                if expected == "-" {
                    continue;
                }
                for purpose in purposes(done) {
                    let (mut world, mut block) = world_with(state, *purpose);
                    let id = if state == "unknown" { 9 } else { KEY };
                    block.push(doing(&world, done, signer, *purpose, id));
                    let answer = word(world.commit_block(&block).last().unwrap());
                    if answer != expected {
                        let what = format!("{done} {state} {signer} {purpose:?}");
                        wrong.push(format!("{what}: {answer}, not {expected}"));
                    }
                    world.assert_sound();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(rows.next().is_none());
}
