//! What one key can do at most: however long a stolen one is used, the others go on.

use symbolon_contracts::{
    MAX_BOUNDED_OPERATIONS,
    keys::{MAX_KEYS, MAX_OWN_KEYS},
    slots::MAX_OPEN_BLOCKS,
};
use symbolon_ledger::{
    operation::{Actor, KeyPurpose, Operation},
    records::{ProvinceRecord, SLOTS_PER_BLOCK},
    state::StateKey,
};

use crate::world::*;

/// The agency whose key is in other hands.
const ROBBED: u8 = 1;
/// Another one of its province.
const NEIGHBOUR: u8 = 2;

/// Heights for which a thief goes on.
const HEIGHTS: usize = 40;

fn world() -> World {
    let mut world = World::founded();
    world.with_agency(ROBBED, "44", &[DRIVING]);
    world.with_agency(NEIGHBOUR, "44", &[DRIVING]);
    world
}

fn reserve(n: u8, blocks: u16) -> Operation {
    Operation::ReserveSlots { agency: uscc(n), blocks }
}

fn granted(world: &World) -> u32 {
    world.record::<ProvinceRecord>(&StateKey::Province(province("44"))).unwrap().next_slot_block
}

/// Commits one block in which agency `n` issues on all slots of `slots`.
fn issue_all(world: &mut World, n: u8, slots: std::ops::Range<u32>) {
    let slots: Vec<u32> = slots.collect();
    let name = |slot: &u32| format!("licence {slot}");
    let transactions: Vec<_> = slots
        .chunks(256)
        .map(|chunk| chunk.iter().map(|s| issue(&name(s), &name(s), *s)).collect())
        .map(|operations| world.sign(of_agency(n), operations))
        .collect();
    assert!(world.commit_block(&transactions).iter().all(Result::is_ok));
}

#[test]
fn a_stolen_key_takes_no_more_slots_than_the_bound_and_leaves_its_province_to_the_others() {
    let mut world = world();
    for _ in 0..HEIGHTS {
        for blocks in [256, 64, 16, 1] {
            let transaction = world.sign(of_agency(ROBBED), vec![reserve(ROBBED, blocks); 2]);
            let alone = world.sign(of_agency(ROBBED), vec![reserve(ROBBED, blocks)]);
            let neighbour = world.sign(of_agency(NEIGHBOUR), vec![reserve(NEIGHBOUR, 1)]);
            world.commit_block(&[transaction, alone]);
            assert_eq!(word(&world.attempt(&neighbour)), "ok");
        }
    }
    assert_eq!(world.agency(ROBBED).open_blocks, MAX_OPEN_BLOCKS);
    // The neighbour's block is the one that is no thief's.
    assert_eq!(granted(&world), MAX_OPEN_BLOCKS + 1);
    world.assert_sound();
}

#[test]
fn an_agency_goes_on_when_it_has_used_half_of_a_block_and_its_province_may_grant_more() {
    let mut world = world();
    let first = world.first_slot(ROBBED);
    let rest = u16::try_from(MAX_OPEN_BLOCKS).unwrap() - 1;
    world.commits(of_agency(ROBBED), vec![reserve(ROBBED, rest)]);
    let asks = |world: &World, actor: Actor| world.asks(actor, vec![reserve(ROBBED, 1)]);
    assert_eq!(asks(&world, of_agency(ROBBED)), "slots_unused");
    assert_eq!(asks(&world, of_province("44")), "ok");
    issue_all(&mut world, ROBBED, first..first + SLOTS_PER_BLOCK / 2 - 1);
    assert_eq!(asks(&world, of_agency(ROBBED)), "slots_unused");
    issue_all(&mut world, ROBBED, first + SLOTS_PER_BLOCK / 2 - 1..first + SLOTS_PER_BLOCK / 2);
    assert_eq!(world.agency(ROBBED).open_blocks, MAX_OPEN_BLOCKS - 1);
    assert_eq!(asks(&world, of_agency(ROBBED)), "ok");
    world.assert_sound();
    // The other half changes nothing.
    let last = first + SLOTS_PER_BLOCK;
    issue_all(&mut world, ROBBED, first + SLOTS_PER_BLOCK / 2..last);
    assert_eq!(world.agency(ROBBED).open_blocks, MAX_OPEN_BLOCKS - 1);
    world.assert_sound();
}

fn rotate(key_id: u32, next: u32) -> Operation {
    rotation(ROBBED, key_id, next)
}

fn rotation(n: u8, key_id: u32, next: u32) -> Operation {
    let key = new_key(of_agency(n), next, KeyPurpose::Transaction);
    Operation::RotateKey { agency: uscc(n), key_id, key }
}

/// The thief rotates from key to key for as long as it can; gives the last one.
fn rotate_for_ever(world: &mut World) -> u32 {
    let actor = of_agency(ROBBED);
    let mut key_id = TRANSACTION_KEY;
    loop {
        let next = world.agency(ROBBED).next_key;
        let mut payload = world.payload(actor, vec![rotate(key_id, next)]);
        payload.key_id = key_id;
        let transaction = sign_with(&payload, &secret(actor, key_id));
        match world.commit_block(&[transaction]).remove(0) {
            Ok(_) => key_id = next,
            Err(code) => {
                assert_eq!(code.name(), "rotations_used_up");
                return key_id;
            }
        }
    }
}

#[test]
fn a_stolen_key_cannot_use_up_the_keys_with_which_its_province_replaces_it() {
    let mut world = world();
    let (agency, province) = (uscc(ROBBED), of_province("44"));
    let last = rotate_for_ever(&mut world);
    assert_eq!((last, world.agency(ROBBED).next_key), (MAX_OWN_KEYS - 1, MAX_OWN_KEYS));
    let mark = Operation::MarkCompromised { agency, key_id: TRANSACTION_KEY, from_height: 1 };
    let key = new_key(of_agency(ROBBED), MAX_OWN_KEYS, KeyPurpose::Transaction);
    world.commits(province, vec![mark, Operation::AddKey { agency, key }]);
    let asks = |key_id| {
        let mut payload = world.payload(of_agency(ROBBED), vec![reserve(ROBBED, 1)]);
        payload.key_id = key_id;
        word(&world.attempt(&sign_with(&payload, &secret(of_agency(ROBBED), key_id))))
    };
    assert_eq!(asks(last), "key_not_valid");
    assert_eq!(asks(MAX_OWN_KEYS), "ok");
    const { assert!(MAX_OWN_KEYS < MAX_KEYS) };
    world.assert_sound();
}

#[test]
fn a_block_holds_so_many_operations_on_keys_of_one_province_however_they_are_spread() {
    let mut world = world();
    let province = of_province("44");
    // Each mark falls below the one before, so that each would be one more walk.
    world.height += 1_000;
    let top = world.height;
    let mark = |n: u8, step: u32| Operation::MarkCompromised {
        agency: uscc(n),
        key_id: CREDENTIAL_KEY,
        from_height: top - u64::from(step),
    };
    let marks = |world: &World, n, steps: std::ops::Range<u32>| {
        world.sign(province, steps.map(|step| mark(n, step)).collect())
    };
    let outcomes = world.commit_block(&[
        marks(&world, ROBBED, 0..MAX_BOUNDED_OPERATIONS - 2),
        // What is refused is not counted.
        marks(&world, NEIGHBOUR, 0..3),
        marks(&world, NEIGHBOUR, 0..2),
        marks(&world, ROBBED, 500..501),
        // Its agencies have their own count, and other operations go on.
        world.sign(of_agency(ROBBED), vec![rotate(TRANSACTION_KEY, 2)]),
        world.sign(province, vec![reserve(NEIGHBOUR, 1)]),
    ]);
    let words: Vec<&str> = outcomes.iter().map(word).collect();
    assert_eq!(words, ["ok", "keys_busy", "ok", "keys_busy", "ok", "ok"]);
    assert_eq!(world.asks(province, vec![mark(ROBBED, 500)]), "ok");
    world.assert_sound();
}

#[test]
fn a_block_holds_so_many_operations_on_keys_of_all_agencies_of_a_province_together() {
    let mut world = world();
    // From the first key on, each to the next.
    let rotations = |world: &World, n: u8, count: u32| {
        let next = world.agency(n).next_key;
        let old = std::iter::once(TRANSACTION_KEY).chain(next..);
        let operations = old.zip(next..next + count).map(|(old, new)| rotation(n, old, new));
        world.sign(of_agency(n), operations.collect())
    };
    let outcomes = world.commit_block(&[
        rotations(&world, ROBBED, MAX_BOUNDED_OPERATIONS - 1),
        rotations(&world, NEIGHBOUR, 2),
        rotations(&world, NEIGHBOUR, 1),
        // The province has its own count, so that it can end whatever was stolen.
        world.sign(
            of_province("44"),
            vec![Operation::RevokeKey { agency: uscc(ROBBED), key_id: TRANSACTION_KEY + 1 }],
        ),
    ]);
    let words: Vec<&str> = outcomes.iter().map(word).collect();
    assert_eq!(words, ["ok", "keys_busy", "ok", "ok"]);
    world.assert_sound();
}
