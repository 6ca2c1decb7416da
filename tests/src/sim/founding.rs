//! The chain that a run begins with: a development network of the founding presets, made once
//! for each size and shared by all runs of a process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use symbolon_genesis::presets::{DevnetKeys, devnet_from_seed};
use symbolon_ledger::{
    block::Header,
    codes::{ProvinceCode, TypeCode},
    hash::ChainId,
    keys::SecretKey,
    state::StateKey,
    tree,
    validators::ValidatorSet,
};

use super::{
    machine::Nodes,
    plan::{EPOCH_MS, Plan},
};

/// All keys of all simulated networks come from it.
const KEYS: [u8; 32] = [0x5e; 32];
/// Blocks between two changes of a rotating validator set.
const TERM: u64 = 5;

static FOUNDED: Mutex<BTreeMap<usize, Arc<Founding>>> = Mutex::new(BTreeMap::new());

/// Block 0 and what belongs to it.
#[derive(Debug)]
pub struct Founding {
    /// The chain.
    pub chain_id: ChainId,
    /// Block 0.
    pub block_zero: Header,
    /// The licence types that can be recognised.
    pub types: Vec<TypeCode>,
    pub(super) records: BTreeMap<StateKey, Vec<u8>>,
    pub(super) nodes: Nodes,
    keys: Vec<DevnetKeys>,
    set: ValidatorSet,
}

impl Founding {
    /// The founding of a network with so many seats.
    #[must_use]
    pub fn of(validators: usize) -> Arc<Self> {
        let mut founded = FOUNDED.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(Self::make(validators));
        founded.entry(validators).or_insert_with(make).clone()
    }

    fn make(validators: usize) -> Self {
        let (genesis, keys) = devnet_from_seed(validators, &KEYS, EPOCH_MS, 9_000);
        let changes = genesis.changes();
        let mut nodes = Nodes::default();
        let authenticated = changes.iter().filter(|(key, _)| key.is_authenticated());
        let authenticated = authenticated.map(|(key, record)| (key.map_key(), record.clone()));
        let tree = tree::update(&nodes, 0, None, authenticated).expect("a new tree in memory");
        let block_zero = genesis.block_zero(tree.root);
        nodes.apply(tree);
        Self {
            chain_id: genesis.chain_id(),
            block_zero,
            types: genesis.licence_types.iter().map(|t| t.code.clone()).collect(),
            records: changes.into_iter().filter_map(|(key, r)| Some((key, r?))).collect(),
            nodes,
            keys,
            set: genesis.validator_set(),
        }
    }

    /// How many seats there are.
    #[must_use]
    pub fn seats(&self) -> usize {
        self.keys.len()
    }

    /// The province of a seat.
    #[must_use]
    pub fn province(&self, seat: usize) -> ProvinceCode {
        self.keys[seat].province
    }

    /// The seat of a province.
    #[must_use]
    pub fn seat(&self, province: ProvinceCode) -> Option<usize> {
        self.keys.iter().position(|keys| keys.province == province)
    }

    /// All private keys of a seat.
    #[must_use]
    pub fn keys(&self, seat: usize) -> &DevnetKeys {
        &self.keys[seat]
    }

    /// A copy of the key that a seat votes with.
    #[must_use]
    pub fn voting_key(&self, seat: usize) -> SecretKey {
        SecretKey::from_seed(&self.keys[seat].validator.to_seed())
    }

    /// The set that votes on the block after `height`. Nobody proposes anything here, so a rotating
    /// plan takes the part of the provinces.
    ///
    /// # Panics
    ///
    /// Never: a set without one of several is a set.
    #[must_use]
    pub fn set_after(&self, plan: &Plan, height: u64) -> ValidatorSet {
        if !plan.rotates || height < TERM {
            return self.set.clone();
        }
        let out = usize::try_from(height / TERM % self.keys.len() as u64).expect("a seat");
        let out = self.province(out);
        let left = self.set.validators().iter().filter(|v| v.province != out).cloned().collect();
        ValidatorSet::new(left).expect("a set without one of its members")
    }
}
