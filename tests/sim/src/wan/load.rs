//! What agencies hand in: real licences, signed, of one agency in each province, at moments that do
//! not depend on how busy the network is (open loop), so that waiting is counted.

use symbolon_genesis::{
    founding::{CREDENTIAL_KEY_ID, TRANSACTION_KEY_ID},
    presets::devnet_uscc,
};
use symbolon_ledger::{
    codes::TypeCode,
    hash::Digest,
    operation::{Actor, NewLicence, Operation},
    records::SLOTS_PER_BLOCK,
    transaction::{NONCE_LEN, PAYLOAD_VERSION, Payload, SignedTransaction},
};

use super::pipes::SECOND_NS;
use crate::{dice::Dice, founding::Founding};

/// Blocks of status slots that each agency reserves before the load: 262,144 licences.
const SLOT_BLOCKS: u16 = 64;
/// Heights within which a transaction must be committed: longer than any run here.
const LIFETIME: u64 = 9_000;
/// Pause between two licences of a network without load, on average: an eternity beside a height.
const LIGHT_PAUSE_NS: u64 = SECOND_NS;

/// The agencies, and how much they want.
#[derive(Debug)]
pub(super) struct Load {
    licence_type: TypeCode,
    /// Licences a second; 0 for single ones now and then.
    offered: u64,
    batch: u64,
    next_slot: Vec<u32>,
}

impl Load {
    pub(super) fn new(founding: &Founding, offered: u64, batch: u64) -> Self {
        let licence_type = founding.types.first().expect("the catalogue is not empty").clone();
        // Blocks are granted in order, and each province has one agency here.
        let next_slot = vec![0; founding.seats()];
        Self { licence_type, offered, batch: if offered == 0 { 1 } else { batch }, next_slot }
    }

    /// How long until the next transaction: random, and on average as often as is offered.
    pub(super) fn pause_ns(&self, dice: &mut Dice) -> u64 {
        let mean = match self.offered {
            0 => LIGHT_PAUSE_NS,
            offered => SECOND_NS * self.batch / offered,
        };
        // The logarithm of a uniform number makes the pauses of a Poisson process.
        let uniform = (dice.below(1 << 52) + 1) as f64 / (1u64 << 52) as f64;
        (-uniform.ln() * mean as f64) as u64
    }

    /// What has to be committed before the first licence: the agency's status slots.
    pub(super) fn reservation(founding: &Founding, seat: usize) -> SignedTransaction {
        let agency = devnet_uscc(founding.province(seat));
        let operation = Operation::ReserveSlots { agency, blocks: SLOT_BLOCKS };
        sign(founding, seat, vec![operation], [0; NONCE_LEN])
    }

    /// The next transaction of the agency in a seat's province.
    pub(super) fn licences(
        &mut self,
        founding: &Founding,
        seat: usize,
        dice: &mut Dice,
    ) -> SignedTransaction {
        let operations = (0..self.batch).map(|_| self.licence(seat, dice)).collect();
        let mut nonce = [0; NONCE_LEN];
        nonce[..8].copy_from_slice(&dice.roll().to_be_bytes());
        nonce[8..].copy_from_slice(&dice.roll().to_be_bytes());
        sign(founding, seat, operations, nonce)
    }

    fn licence(&mut self, seat: usize, dice: &mut Dice) -> Operation {
        let slot = self.next_slot[seat];
        assert!(slot < u32::from(SLOT_BLOCKS) * SLOTS_PER_BLOCK, "a run is short");
        self.next_slot[seat] += 1;
        let licence = NewLicence {
            inner: digest(dice),
            licence_type: self.licence_type.clone(),
            credential_key: CREDENTIAL_KEY_ID,
            slot,
            expiry: None,
            lineage: digest(dice),
        };
        Operation::Issue { licence }
    }
}

fn digest(dice: &mut Dice) -> Digest {
    let mut bytes = [0; 32];
    for eight in bytes.chunks_mut(8) {
        eight.copy_from_slice(&dice.roll().to_be_bytes());
    }
    Digest(bytes)
}

fn sign(
    founding: &Founding,
    seat: usize,
    operations: Vec<Operation>,
    nonce: [u8; NONCE_LEN],
) -> SignedTransaction {
    let keys = founding.keys(seat);
    let payload = Payload {
        version: PAYLOAD_VERSION,
        chain_id: founding.chain_id,
        actor: Actor::Agency(devnet_uscc(keys.province)),
        key_id: TRANSACTION_KEY_ID,
        nonce,
        valid_until_height: LIFETIME,
        operations,
    };
    SignedTransaction::sign(&payload, &keys.transaction).expect("it fits")
}
