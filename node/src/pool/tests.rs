//! Whose transactions wait, which are passed on, and how much work one signer makes.

use symbolon_contracts::slots::MAX_OPEN_BLOCKS;
use symbolon_genesis::{
    founding::{CREDENTIAL_KEY_ID, TRANSACTION_KEY_ID},
    presets::{DevnetKeys, devnet_from_seed, devnet_uscc},
};
use symbolon_ledger::{
    block::MAX_BLOCK_BYTES,
    codes::Uscc,
    hash::Digest,
    keys::SecretKey,
    operation::{Actor, Operation},
    transaction::{PAYLOAD_VERSION, Payload},
};

use super::Offerer;
use super::{
    trials::{FREE_WORK, MAX_WORK_OF_ONE, Trials},
    *,
};
use crate::execution::select;

struct Pooled {
    _folder: tempfile::TempDir,
    store: Arc<Store>,
    keys: Vec<DevnetKeys>,
    pool: Pool,
    worked: mpsc::Receiver<()>,
}

/// An empty pool over a new chain.
fn pooled() -> Pooled {
    let folder = tempfile::tempdir().unwrap();
    let (genesis, keys) = devnet_from_seed(4, &[5; 32], 1_800_000_000_000, 1);
    let store = Arc::new(Store::open(folder.path(), &genesis).unwrap());
    let (gossip, _) = mpsc::channel(1);
    let (work, worked) = mpsc::channel(1);
    let pool = Pool::new(store.clone(), PoolOutlets { gossip, work });
    Pooled { _folder: folder, store, keys, pool, worked }
}

fn reservation(store: &Store, keys: &DevnetKeys, key: &SecretKey, nonce: u8) -> Vec<u8> {
    signed(store, keys, key, nonce, 10)
}

/// A reservation of slots by the agency of these keys' province, signed with `key`.
fn signed(
    store: &Store,
    keys: &DevnetKeys,
    key: &SecretKey,
    nonce: u8,
    valid_until_height: u64,
) -> Vec<u8> {
    let agency = devnet_uscc(keys.province);
    let operations = vec![Operation::ReserveSlots { agency, blocks: 1 }];
    saying(store, agency, (TRANSACTION_KEY_ID, key), nonce.into(), valid_until_height, operations)
}

/// Reservations of slots that make much work and do not apply: the last one is too much.
fn fruitless(store: &Store, keys: &DevnetKeys, nonce: u8) -> Vec<u8> {
    let agency = devnet_uscc(keys.province);
    let reserve = |blocks| Operation::ReserveSlots { agency, blocks };
    let open = u16::try_from(MAX_OPEN_BLOCKS).unwrap();
    let operations = vec![reserve(open), reserve(1)];
    saying(store, agency, (TRANSACTION_KEY_ID, &keys.transaction), nonce.into(), 10, operations)
}

fn saying(
    store: &Store,
    agency: Uscc,
    (key_id, key): (u32, &SecretKey),
    number: u64,
    valid_until_height: u64,
    operations: Vec<Operation>,
) -> Vec<u8> {
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&number.to_be_bytes());
    let payload = Payload {
        version: PAYLOAD_VERSION,
        chain_id: store.chain_id(),
        actor: Actor::Agency(agency),
        key_id,
        nonce,
        valid_until_height,
        operations,
    };
    SignedTransaction::sign(&payload, key).unwrap().as_bytes().to_vec()
}

#[test]
fn what_is_bad_in_a_batch_keeps_nobody_from_what_came_before_it() {
    let Pooled { store, keys, pool, mut worked, .. } = pooled();
    let own = &keys[0];
    let good = reservation(&store, own, &own.transaction, 1);
    let forged = reservation(&store, own, &keys[1].transaction, 2);
    assert_eq!(pool.receive(&[good.clone(), forged], Offerer::Here), Received::Bad);
    assert_eq!((pool.len(), worked.try_recv()), (1, Ok(())));
    // Again, or no transaction at all.
    assert_eq!(pool.receive(std::slice::from_ref(&good), Offerer::Here), Received::OfNoUse);
    assert_eq!(pool.receive(&[good, vec![0]], Offerer::Here), Received::Bad);
    assert!(worked.try_recv().is_err());
}

#[test]
fn no_batch_is_passed_on_with_a_signature_that_was_not_checked_here() {
    let Pooled { store, keys, pool, .. } = pooled();
    let (own, other) = (&keys[0], &keys[1].transaction);
    let known = reservation(&store, own, &own.transaction, 1);
    assert_eq!(pool.receive(std::slice::from_ref(&known), Offerer::Here), Received::PassOn);
    let fresh = |nonce| reservation(&store, own, &own.transaction, nonce);
    // The very bytes that wait here are vouched for.
    assert_eq!(pool.receive(&[known, fresh(2)], Offerer::Here), Received::PassOn);
    // The name of what waits, over another signature; and two whose signatures this node does
    // not look at, while another one may. What is good beside them waits here.
    let renamed = reservation(&store, own, other, 1);
    let over = signed(&store, own, other, 3, 0);
    let far = signed(&store, own, other, 4, u64::MAX);
    for (nonce, unchecked) in [(10, renamed), (11, over), (12, far)] {
        let fresh = fresh(nonce);
        let before = pool.len();
        assert_eq!(pool.receive(&[unchecked, fresh], Offerer::Here), Received::OfNoUse);
        assert_eq!(pool.len(), before + 1);
    }
}

#[test]
fn what_is_tried_for_one_signer_between_two_blocks_is_bounded() {
    let Pooled { store, keys, pool, .. } = pooled();
    let (busy, other) = (&keys[0], &keys[1]);
    let kind = |bytes: &[u8]| pool.submit(bytes).map_err(|error| error.kind);
    let enough = Err(SubmitErrorKind::Full);
    // The same one again is not tried again, so it takes nothing.
    for _ in 0..2 * MAX_WORK_OF_ONE / u64::from(MAX_OPEN_BLOCKS) {
        assert_ne!(kind(&fruitless(&store, busy, 0)), enough);
    }
    let bounded = (1..=u8::MAX).find(|nonce| kind(&fruitless(&store, busy, *nonce)) == enough);
    // Each writes so many blocks of slots, and little else.
    let expected = MAX_WORK_OF_ONE / u64::from(MAX_OPEN_BLOCKS);
    let bounded = bounded.expect("so much work is too much");
    assert!((expected / 2..=2 * expected).contains(&bounded.into()), "after {bounded}");
    let more = fruitless(&store, busy, bounded);
    let waiting = pool.len();
    assert_eq!(pool.receive(std::slice::from_ref(&more), Offerer::Here), Received::OfNoUse);
    assert_eq!(pool.len(), waiting);
    // What makes little work is taken as before, and another signer has its own measure.
    assert_ne!(kind(&fruitless(&store, other, 1)), enough);
    // The next block gives as much again.
    pool.committed(1, std::iter::empty());
    assert_ne!(kind(&more), enough);
}

#[test]
fn a_key_that_has_ended_takes_nothing_from_its_owner() {
    let Pooled { store, keys, pool, .. } = pooled();
    let own = &keys[0];
    let agency = devnet_uscc(own.province);
    // A key of another purpose is refused where one that has ended is. However little were counted of
    // each, so many would be too much.
    let key = (CREDENTIAL_KEY_ID, &own.credential);
    for number in 0..MAX_WORK_OF_ONE {
        let operations = vec![Operation::ReserveSlots { agency, blocks: 1 }];
        let useless = saying(&store, agency, key, number, 10, operations);
        assert_eq!(pool.submit(&useless).unwrap_err().kind, SubmitErrorKind::Rejected);
    }
    assert!(pool.submit(&reservation(&store, own, &own.transaction, 1)).is_ok());
}

#[test]
fn what_a_proposer_wastes_on_one_signer_keeps_nobody_else_out_of_its_block() {
    let Pooled { store, keys, .. } = pooled();
    let verified = |bytes: Vec<u8>, keys: &DevnetKeys| {
        let transaction = SignedTransaction::decode(&bytes).unwrap();
        Arc::new(transaction.verify(&keys.transaction.public_key()).unwrap())
    };
    let (busy, other) = (&keys[0], &keys[1]);
    let mut candidates: Vec<_> =
        (0..=u8::MAX).map(|nonce| verified(fruitless(&store, busy, nonce), busy)).collect();
    let last = verified(reservation(&store, other, &other.transaction, 1), other);
    candidates.push(last.clone());
    let (chosen, _, refused) = select(&store.view().unwrap(), candidates, MAX_BLOCK_BYTES).unwrap();
    assert_eq!(chosen, [last.transaction().clone()]);
    // The rest of the busy one's was not looked at, and waits.
    assert!((1..usize::from(u8::MAX)).contains(&refused.len()), "{}", refused.len());
}

#[test]
fn a_block_is_no_larger_than_its_proposer_wants_it() {
    let Pooled { store, keys, .. } = pooled();
    let own = &keys[0];
    let candidates: Vec<_> = (1..=3)
        .map(|nonce| {
            let bytes = reservation(&store, own, &own.transaction, nonce);
            let transaction = SignedTransaction::decode(&bytes).unwrap();
            Arc::new(transaction.verify(&own.transaction.public_key()).unwrap())
        })
        .collect();
    let chosen_of = |most_bytes| {
        select(&store.view().unwrap(), candidates.clone(), most_bytes).unwrap().0.len()
    };
    assert_eq!(chosen_of(MAX_BLOCK_BYTES), 3);
    let chosen: Vec<_> = (0..4_096).map(chosen_of).collect();
    assert!(chosen.is_sorted() && chosen.contains(&2), "{chosen:?}");
}

#[test]
fn agencies_of_a_province_share_a_measure_in_which_the_province_has_no_part() {
    let [home, other] = ["44", "11"].map(|code| code.parse().unwrap());
    let [first @ .., last] = ["11", "31", "44", "51", "12"]
        .map(|code| Actor::Agency(devnet_uscc(code.parse().unwrap())));
    let (mut trials, id) = (Trials::default(), Digest([1; 32]));
    for agency in first {
        assert!(trials.allow(1, &id, agency, home).is_ok(), "{agency}");
        trials.note(1, id, agency, home, MAX_WORK_OF_ONE + FREE_WORK, None);
    }
    assert!(trials.allow(1, &id, last, home).is_err());
    assert!(trials.allow(1, &id, last, other).is_ok());
    assert!(trials.allow(1, &id, Actor::Province(home), home).is_ok());
}

#[test]
fn what_was_refused_at_one_tip_is_not_refused_at_another() {
    let (signer, home) = (Actor::Province("44".parse().unwrap()), "44".parse().unwrap());
    let why = Rejection { code: RejectionCode::KeysBusy, operation_index: Some(1) };
    let (mut trials, id) = (Trials::default(), Digest([1; 32]));
    assert!(trials.allow(1, &id, signer, home).is_ok());
    trials.note(1, id, signer, home, MAX_WORK_OF_ONE / 2, Some(why));
    assert!(trials.allow(1, &id, signer, home).is_err());
    assert!(trials.allow(0, &id, signer, home).is_ok());
    assert!(trials.allow(2, &id, signer, home).is_ok());
    // It was begun before that block.
    trials.note(1, id, signer, home, MAX_WORK_OF_ONE / 2, Some(why));
    assert!(trials.allow(2, &id, signer, home).is_ok());
}
