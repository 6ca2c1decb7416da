//! The chain that a run begins with: a development network of the founding presets, made once
//! for each size and shared by all runs of a process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use symbolon_genesis::{
    Genesis,
    presets::{DevnetKeys, ListedProvince, MAX_DEVNET, devnet, devnet_from_seed, devnet_provinces},
};
use symbolon_ledger::{
    block::Header,
    codes::{Label, ProvinceCode, TypeCode},
    hash::{ChainId, tagged_hash},
    keys::SecretKey,
    state::StateKey,
    state_proof::PLACEHOLDER,
    tree::{self, Change, Memory},
    validators::{Validator, ValidatorSet},
};

use super::plan::EPOCH_MS;

/// All keys of all simulated networks come from it.
const KEYS: [u8; 32] = [0x5e; 32];
/// Names the second voting keys.
const NEXT_KEY_DOMAIN: &str = "simulation next validator";

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
    pub(super) pages: Memory,
    keys: Vec<DevnetKeys>,
    next: Vec<SecretKey>,
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
        let (genesis, keys) = network(validators);
        let changes = genesis.changes();
        let mut pages = Memory::default();
        let authenticated = changes.iter().filter(|(key, _)| key.is_authenticated());
        let authenticated =
            authenticated.map(|(key, record)| Change::new(key.map_key(), record.as_deref()));
        let tree = tree::update(&pages, PLACEHOLDER, authenticated.collect())
            .expect("a new tree in memory");
        let set = genesis.validator_set();
        let block_zero = genesis.block_zero(tree.root);
        pages.apply(&tree);
        Self {
            chain_id: genesis.chain_id(),
            block_zero,
            types: genesis.licence_types.iter().map(|t| t.code.clone()).collect(),
            records: changes.into_iter().filter_map(|(key, r)| Some((key, r?))).collect(),
            pages,
            next: keys.iter().map(|keys| next_key(keys.province)).collect(),
            keys,
            set,
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

    /// One of the two keys that a seat votes with: that of the founding, or the next.
    #[must_use]
    pub fn voting_key(&self, seat: usize, next: bool) -> &SecretKey {
        if next { &self.next[seat] } else { &self.keys[seat].validator }
    }

    /// The seat's validator, with the one key or the other.
    ///
    /// # Panics
    ///
    /// Never: every seat is in the set of the founding.
    #[must_use]
    pub fn validator(&self, seat: usize, next: bool) -> Validator {
        let founded = self.set.get(self.province(seat)).expect("a seat of the founding");
        Validator { key: self.voting_key(seat, next).public_key(), ..founded.clone() }
    }

    /// The set that votes on block 1.
    #[must_use]
    pub fn set(&self) -> &ValidatorSet {
        &self.set
    }
}

/// The founding document and all private keys: a development network of the presets, or, with more
/// seats than they name provinces, one with provinces that are made up.
fn network(validators: usize) -> (Genesis, Vec<DevnetKeys>) {
    if validators <= MAX_DEVNET {
        return devnet_from_seed(validators, &KEYS, EPOCH_MS, 9_000);
    }
    let mut provinces = devnet_provinces(MAX_DEVNET);
    let all = (0..100).map(|n| format!("{n:02}").parse().expect("two digits"));
    let free: Vec<ProvinceCode> =
        all.filter(|code| provinces.iter().all(|known| known.code != *code)).collect();
    provinces.extend(free.into_iter().map(made_up).take(validators - MAX_DEVNET));
    let keys: Vec<DevnetKeys> =
        provinces.iter().map(|p| DevnetKeys::from_seed(&KEYS, p.code)).collect();
    let members: Vec<_> =
        provinces.iter().zip(&keys).map(|(p, keys)| keys.member(p, Vec::new())).collect();
    (devnet(EPOCH_MS, &members), keys)
}

fn made_up(code: ProvinceCode) -> ListedProvince {
    let label = |text: String| text.parse::<Label>().expect("a short name");
    ListedProvince {
        code,
        name_zh: label(format!("省{code}")),
        name_en: label(format!("Province {code}")),
        slug: format!("province-{code}"),
        verified: false,
        source: label("made up".to_owned()),
    }
}

fn next_key(province: ProvinceCode) -> SecretKey {
    let seed = tagged_hash(NEXT_KEY_DOMAIN, &[&KEYS, province.as_str().as_bytes()]);
    SecretKey::from_seed(seed.as_bytes())
}
