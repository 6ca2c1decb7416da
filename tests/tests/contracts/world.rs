//! A small state in memory: three provinces, three licence types, and helpers to act on it.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    collections::BTreeMap,
    sync::Arc,
};

use symbolon_contracts::{
    ApplyError, BlockContext, Changes, Event, Overlay, RejectionCode, StateFault, StateView,
    apply_transaction, invariants, read,
};
use symbolon_ledger::{
    catalogue::LicenceTypeRecord,
    codes::{CodeError, ProvinceCode, TypeCode, Uscc, cid},
    hash::{ChainId, Cid, Digest, TransactionId, sha256},
    keys::SecretKey,
    operation::{Actor, KeyPurpose, NewKey, NewLicence, Operation},
    records::{
        AgencyRecord, CountersRecord, KeyRecord, LicenceRecord, ParametersRecord, ProvinceRecord,
        RECORD_VERSION, Record, SLOTS_PER_BLOCK, TypeIndexRecord, ValidatorsRecord,
    },
    state::StateKey,
    transaction::{PAYLOAD_VERSION, Payload, SignedTransaction, VALIDITY_WINDOW, Verified},
    validators::{Validator, ValidatorSet},
};

pub(crate) const CHAIN: ChainId = Digest([7; 32]);
/// May be suspended and transferred.
pub(crate) const DRIVING: &str = "local:driving-licence";
/// May be neither suspended nor transferred.
pub(crate) const FIXED: &str = "local:fixed";
/// In nobody's scope.
pub(crate) const RARE: &str = "local:rare";
/// Numbers of an agency's first keys.
pub(crate) const TRANSACTION_KEY: u32 = 0;
pub(crate) const CREDENTIAL_KEY: u32 = 1;

pub(crate) fn province(code: &str) -> ProvinceCode {
    code.parse().unwrap()
}

pub(crate) fn of_province(code: &str) -> Actor {
    Actor::Province(province(code))
}

pub(crate) fn type_code(code: &str) -> TypeCode {
    code.parse().unwrap()
}

/// The credit code of the agency number `n` of these tests.
pub(crate) fn uscc(n: u8) -> Uscc {
    let first = format!("114400000000000{n:02}");
    match format!("{first}0").parse::<Uscc>() {
        Ok(uscc) => uscc,
        Err(CodeError::UsccCheck { expected }) => format!("{first}{expected}").parse().unwrap(),
        Err(other) => panic!("{other}"),
    }
}

pub(crate) fn of_agency(n: u8) -> Actor {
    Actor::Agency(uscc(n))
}

/// The secret of an actor's key number `id`.
pub(crate) fn secret(actor: Actor, id: u32) -> SecretKey {
    SecretKey::from_seed(&sha256(format!("{actor} {id}").as_bytes()).0)
}

pub(crate) fn new_key(actor: Actor, id: u32, purpose: KeyPurpose) -> NewKey {
    NewKey { key: secret(actor, id).public_key(), purpose, valid_until: None }
}

pub(crate) fn digest(text: &str) -> Digest {
    sha256(text.as_bytes())
}

/// A licence to be: `name` makes its digest, `lineage` its lineage.
pub(crate) fn licence(name: &str, lineage: &str, slot: u32) -> NewLicence {
    NewLicence {
        inner: digest(name),
        licence_type: type_code(DRIVING),
        credential_key: CREDENTIAL_KEY,
        slot,
        expiry: None,
        lineage: digest(lineage),
    }
}

pub(crate) fn issue(name: &str, lineage: &str, slot: u32) -> Operation {
    Operation::Issue { licence: licence(name, lineage, slot) }
}

/// The identifier of the licence `name` of agency `n`.
pub(crate) fn cid_of(n: u8, name: &str) -> Cid {
    cid(&uscc(n), &digest(name))
}

/// The registration of agency `n` with its two first keys.
pub(crate) fn register(n: u8, scope: &[&str]) -> Operation {
    let actor = of_agency(n);
    Operation::RegisterAgency {
        agency: uscc(n),
        name: format!("Agency {n}").parse().unwrap(),
        scope: scope.iter().map(|code| type_code(code)).collect(),
        keys: vec![
            new_key(actor, TRANSACTION_KEY, KeyPurpose::Transaction),
            new_key(actor, CREDENTIAL_KEY, KeyPurpose::Credential),
        ],
    }
}

/// The answer in one word: `ok`, or the name of the rejection.
pub(crate) fn word<T>(outcome: &Result<T, RejectionCode>) -> &'static str {
    match outcome {
        Ok(_) => "ok",
        Err(code) => code.name(),
    }
}

/// The state after some block.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) state: BTreeMap<StateKey, Vec<u8>>,
    pub(crate) committed: BTreeMap<TransactionId, u64>,
    /// Height of the next block.
    pub(crate) height: u64,
    nonces: Cell<u128>,
    shared: RefCell<BTreeMap<StateKey, Shared>>,
}

/// A record that was decoded, as a node keeps it for many transactions.
#[derive(Debug, Clone)]
struct Shared {
    bytes: Vec<u8>,
    record: Arc<dyn Any + Send + Sync>,
    encode: fn(&dyn Any) -> Vec<u8>,
}

impl Shared {
    fn of<R: Record + Send + Sync + 'static>(bytes: Vec<u8>) -> Result<Self, StateFault> {
        let record = R::from_bytes(&bytes).map_err(|e| StateFault(e.to_string()))?;
        let encode = |record: &dyn Any| record.downcast_ref::<R>().unwrap().to_bytes();
        Ok(Self { bytes, record: Arc::new(record), encode })
    }
}

impl StateView for World {
    fn get(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StateFault> {
        Ok(self.state.get(key).cloned())
    }

    fn shared<R>(&self, key: &StateKey) -> Result<Option<Arc<R>>, StateFault>
    where
        R: Record + Send + Sync + 'static,
    {
        let Some(bytes) = self.state.get(key) else { return Ok(None) };
        let mut shared = self.shared.borrow_mut();
        if let Some(known) = shared.get(key).filter(|known| known.bytes == *bytes)
            && let Ok(record) = known.record.clone().downcast()
        {
            return Ok(Some(record));
        }
        let known = Shared::of::<R>(bytes.clone())?;
        let record = known.record.clone().downcast().unwrap();
        shared.insert(key.clone(), known);
        Ok(Some(record))
    }

    fn committed_at(&self, id: &TransactionId) -> Result<Option<u64>, StateFault> {
        Ok(self.committed.get(id).copied())
    }
}

impl World {
    /// Provinces 11, 44 and 51, the catalogue, and no agency.
    pub(crate) fn founded() -> Self {
        Self::founded_with(&["11", "44", "51"])
    }

    /// These provinces, each with a validator; the catalogue, and no agency.
    pub(crate) fn founded_with(codes: &[&str]) -> Self {
        let (state, committed) = (BTreeMap::new(), BTreeMap::new());
        let (nonces, shared) = (Cell::new(0), RefCell::default());
        let mut world = Self { state, committed, height: 1, nonces, shared };
        world.put(
            StateKey::Parameters,
            &ParametersRecord {
                version: RECORD_VERSION,
                idle_block_interval_ms: 10_000,
                max_staleness_ms: 60_000,
                bundle_max_age_ms: 60_000,
            },
        );
        world.put(
            StateKey::Counters,
            &CountersRecord { version: RECORD_VERSION, next_agency: 0, next_type: 3 },
        );
        let set = codes.iter().map(|code| Validator {
            province: province(code),
            key: secret(of_province(code), 99).public_key(),
            peer_id: code.as_bytes().to_vec(),
        });
        let set = ValidatorSet::new(set.collect()).unwrap();
        world.put(StateKey::Validators, &ValidatorsRecord { version: RECORD_VERSION, set });
        codes.iter().for_each(|code| world.found_province(code));
        for (index, code) in (0..).zip([DRIVING, FIXED, RARE]) {
            world.found_type(index, code);
        }
        world
    }

    /// A province without a validator.
    pub(crate) fn found_province(&mut self, code: &str) {
        let actor = of_province(code);
        self.put(
            StateKey::Province(province(code)),
            &ProvinceRecord {
                version: RECORD_VERSION,
                code: province(code),
                name_zh: code.parse().unwrap(),
                name_en: code.parse().unwrap(),
                issuer_origin: format!("https://p{code}.example").parse().unwrap(),
                next_key: 1,
                status_key: None,
                next_slot_block: 0,
                removed_at: None,
            },
        );
        self.put(
            StateKey::Key(actor, 0),
            &KeyRecord {
                version: RECORD_VERSION,
                key: secret(actor, 0).public_key(),
                purpose: KeyPurpose::Transaction,
                valid_from: 0,
                valid_until: None,
                added_by: None,
                compromised_from: None,
            },
        );
    }

    fn found_type(&mut self, index: u16, code: &str) {
        self.put(
            StateKey::LicenceType(type_code(code)),
            &LicenceTypeRecord {
                version: RECORD_VERSION,
                index,
                code: type_code(code),
                schema_version: 1,
                name_zh: "证".parse().unwrap(),
                name_en: "Licence".parse().unwrap(),
                authority: None,
                verified: false,
                source: "these tests".parse().unwrap(),
                national: false,
                public_subject: false,
                suspendable: code != FIXED,
                transferable: code != FIXED,
                claims: Vec::new(),
                default_disclosure: Vec::new(),
            },
        );
        let record = TypeIndexRecord { version: RECORD_VERSION, code: type_code(code) };
        self.put(StateKey::LicenceTypeByIndex(index), &record);
    }

    pub(crate) fn put<R: Record>(&mut self, key: StateKey, record: &R) {
        self.state.insert(key, record.to_bytes());
    }

    /// A statement that nobody has signed yet.
    pub(crate) fn payload(&self, actor: Actor, operations: Vec<Operation>) -> Payload {
        self.nonces.set(self.nonces.get() + 1);
        Payload {
            version: PAYLOAD_VERSION,
            chain_id: CHAIN,
            actor,
            key_id: 0,
            nonce: self.nonces.get().to_be_bytes(),
            valid_until_height: self.height + VALIDITY_WINDOW,
            operations,
        }
    }

    /// The statement, signed with the actor's key number 0.
    pub(crate) fn sign(&self, actor: Actor, operations: Vec<Operation>) -> Verified {
        sign_with(&self.payload(actor, operations), &secret(actor, 0))
    }

    pub(crate) fn context(&self) -> BlockContext {
        BlockContext { chain_id: CHAIN, height: self.height }
    }

    /// What the next block would do that consists of these transactions alone.
    pub(crate) fn execute(
        &self,
        transactions: &[Verified],
    ) -> (Changes, Vec<Result<Vec<Event>, RejectionCode>>) {
        let mut overlay = Overlay::new(self);
        let outcomes = transactions
            .iter()
            .map(|t| match apply_transaction(&mut overlay, &self.context(), t) {
                Ok(events) => Ok(events),
                Err(ApplyError::Rejected(why)) => Err(why.code),
                Err(ApplyError::Fault(fault)) => panic!("{fault}"),
            })
            .collect();
        let changes = overlay.into_changes();
        for (key, Shared { bytes, record, encode }) in &*self.shared.borrow() {
            assert_eq!(encode(&**record), *bytes, "{key:?} was changed where others read it");
        }
        (changes, outcomes)
    }

    /// The answer to one transaction, which is not committed.
    pub(crate) fn attempt(&self, transaction: &Verified) -> Result<Vec<Event>, RejectionCode> {
        self.execute(std::slice::from_ref(transaction)).1.remove(0)
    }

    /// The answer to one transaction of `actor`, which is not committed.
    pub(crate) fn asks(&self, actor: Actor, operations: Vec<Operation>) -> &'static str {
        word(&self.attempt(&self.sign(actor, operations)))
    }

    /// Commits a block of these transactions, of which some may be refused.
    pub(crate) fn commit_block(
        &mut self,
        transactions: &[Verified],
    ) -> Vec<Result<Vec<Event>, RejectionCode>> {
        let (changes, outcomes) = self.execute(transactions);
        for (transaction, outcome) in transactions.iter().zip(&outcomes) {
            if outcome.is_ok() {
                self.committed.insert(transaction.transaction().id(), self.height);
            }
        }
        for (key, record) in changes {
            match record {
                Some(bytes) => self.state.insert(key, bytes),
                None => self.state.remove(&key),
            };
        }
        self.height += 1;
        outcomes
    }

    /// Commits a block of one transaction, which must apply.
    pub(crate) fn commits(&mut self, actor: Actor, operations: Vec<Operation>) {
        let transaction = self.sign(actor, operations);
        let outcome = self.commit_block(&[transaction]).remove(0);
        assert!(outcome.is_ok(), "{actor}: {outcome:?}");
    }

    /// Registers agency `n` in `code`, with one block of slots.
    pub(crate) fn with_agency(&mut self, n: u8, code: &str, scope: &[&str]) {
        self.commits(of_province(code), vec![register(n, scope)]);
        let reserve = Operation::ReserveSlots { agency: uscc(n), blocks: 1 };
        self.commits(of_agency(n), vec![reserve]);
    }

    pub(crate) fn record<R: Record>(&self, key: &StateKey) -> Option<R> {
        read(self, key).unwrap()
    }

    pub(crate) fn agency(&self, n: u8) -> AgencyRecord {
        self.record(&StateKey::Agency(uscc(n))).unwrap()
    }

    pub(crate) fn key(&self, actor: Actor, id: u32) -> KeyRecord {
        self.record(&StateKey::Key(actor, id)).unwrap()
    }

    pub(crate) fn licence(&self, cid: &Cid) -> Option<LicenceRecord> {
        self.record(&StateKey::Licence(*cid))
    }

    /// The first slot of the first block of agency `n`.
    pub(crate) fn first_slot(&self, n: u8) -> u32 {
        let (index, home) = (self.agency(n).index, self.agency(n).province);
        let block = |b: &u32| {
            let key = StateKey::SlotBlock(home, *b);
            let block: Option<symbolon_ledger::records::SlotBlockRecord> = self.record(&key);
            block.is_some_and(|block| block.agency_index == index)
        };
        (0..64).find(block).unwrap() * SLOTS_PER_BLOCK
    }

    /// Asserts everything that must hold of any state.
    pub(crate) fn assert_sound(&self) {
        let records = self.state.iter().map(|(key, bytes)| (key.clone(), bytes.clone()));
        assert_eq!(invariants::check(records), Vec::new());
    }
}

/// The statement, signed with `key`.
pub(crate) fn sign_with(payload: &Payload, key: &SecretKey) -> Verified {
    SignedTransaction::sign(payload, key).unwrap().verify(&key.public_key()).unwrap()
}
