//! What the simulated provinces and agencies want: transactions that mostly apply, sometimes
//! exclude each other, are sometimes handed in twice, and sometimes would wait for too long.

use std::sync::Arc;

use symbolon_genesis::{founding::TRANSACTION_KEY_ID, presets::devnet_uscc};
use symbolon_ledger::{
    codes::Day,
    keys::SecretKey,
    operation::{Actor, Interval, Operation},
    transaction::{NONCE_LEN, PAYLOAD_VERSION, Payload, SignedTransaction, VALIDITY_WINDOW},
};

use super::{dice::Dice, disk::Committed, founding::Founding};

/// First day that is ever recognised; any day does.
const FIRST_DAY: u32 = 20_000;
/// How long a transaction may be committed, in heights.
const PATIENCE: u64 = 50;
/// Of a hundred transactions, those that would wait for longer than is allowed.
const TOO_LONG: u64 = 10;
/// Most transactions that one proposer brings to one block.
const MOST: u64 = 3;

/// What the province of `seat` and its agency hand in after this chain.
pub fn wishes(
    founding: &Founding,
    seat: usize,
    chain: &[Arc<Committed>],
    dice: &mut Dice,
) -> Vec<SignedTransaction> {
    let height = chain.len() as u64 + 1;
    let new = dice.below(MOST);
    let mut wishes: Vec<_> = (0..new).map(|_| wish(founding, seat, height, dice)).collect();
    // Something that was committed already is handed in again.
    let before = chain.last().into_iter().chain(chain.get(dice.index(chain.len())));
    wishes.extend(before.filter_map(|committed| committed.block.transactions.first()).cloned());
    wishes
}

fn wish(founding: &Founding, seat: usize, height: u64, dice: &mut Dice) -> SignedTransaction {
    let keys = founding.keys(seat);
    let other = (seat + 1 + dice.index(founding.seats() - 1)) % founding.seats();
    let from_province = founding.province(other);
    let licence_type = founding.types[dice.index(founding.types.len())].clone();
    let day = Day(FIRST_DAY + u32::try_from(dice.below(40)).expect("small"));
    let agency = devnet_uscc(keys.province);
    let (actor, key, operation) = match dice.below(4) {
        0 => {
            let operation = Operation::ReserveSlots { agency, blocks: 1 };
            (Actor::Agency(agency), &keys.transaction, operation)
        }
        1 => {
            let effective = day;
            let operation =
                Operation::WithdrawRecognition { from_province, licence_type, effective };
            (Actor::Province(keys.province), &keys.authority, operation)
        }
        _ => {
            let interval = Interval { from: day, until: Some(day) };
            let operation = Operation::Recognise { from_province, licence_type, interval };
            (Actor::Province(keys.province), &keys.authority, operation)
        }
    };
    sign(founding, (actor, TRANSACTION_KEY_ID, key), operation, height, dice)
}

/// A transaction of one operation, for the block at `height` or one of the next; sometimes for one
/// that is too far ahead.
pub(super) fn sign(
    founding: &Founding,
    (actor, key_id, key): (Actor, u32, &SecretKey),
    operation: Operation,
    height: u64,
    dice: &mut Dice,
) -> SignedTransaction {
    let mut nonce = [0; NONCE_LEN];
    nonce[..8].copy_from_slice(&dice.roll().to_be_bytes());
    let patience = if dice.chance(TOO_LONG) { VALIDITY_WINDOW + 1 } else { PATIENCE };
    let payload = Payload {
        version: PAYLOAD_VERSION,
        chain_id: founding.chain_id,
        actor,
        key_id,
        nonce,
        valid_until_height: height + patience,
        operations: vec![operation],
    };
    SignedTransaction::sign(&payload, key).expect("one small operation")
}
