//! A chain in a real database that grows when a test or a bench says so: blocks are built,
//! executed and committed as the engine does, and certified by all provinces, without network or
//! consensus. The provinces are made for it, or those of a network that stands still.

use std::{path::Path, sync::Arc};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use symbolon_genesis::{Genesis, founding::TRANSACTION_KEY_ID, presets};
use symbolon_ledger::{
    block::{Block, HEADER_VERSION, Header, MAX_BLOCK_BYTES, transactions_root},
    certificate::{CERTIFICATE_VERSION, Certificate, CommitSignature, MAX_CERTIFICATE_BYTES},
    codec,
    codes::{ProvinceCode, Uscc, cid},
    hash::{Cid, Digest},
    keys::SecretKey,
    operation::{Actor, NewLicence, Operation, RevocationClass},
    records::{ProvinceRecord, SLOTS_PER_BLOCK},
    state::StateKey,
    transaction::{MAX_OPERATIONS, PAYLOAD_VERSION, Payload, SignedTransaction, Verified},
    vote::{VoteKind, vote_bytes},
};
use symbolon_node::{
    execution,
    storage::{Commit, Store},
};

/// When the chain was founded.
const FOUNDED_MS: u64 = 1_795_392_000_000;
/// Province whose agency issues.
const PROVINCE: &str = "44";
/// Blocks of status slots of one reservation.
const SLOT_BLOCKS: u16 = 16;

/// The chain.
#[derive(Debug)]
pub struct Chain {
    /// Its database.
    pub store: Arc<Store>,
    /// Its founding document.
    pub genesis: Genesis,
    /// The validators' keys.
    validators: Vec<(ProvinceCode, SecretKey)>,
    /// The key with which the agency signs transactions.
    transaction: SecretKey,
    /// Time from block to block.
    step_ms: u64,
    random: ChaCha8Rng,
    slots: std::ops::Range<u32>,
    /// Licences that are in force, oldest first.
    pub licences: Vec<Cid>,
}

impl Chain {
    /// Founds one in an empty folder.
    ///
    /// # Panics
    ///
    /// When the folder cannot be written.
    #[must_use]
    pub fn founded(folder: &Path) -> Self {
        let (genesis, keys) = presets::devnet_from_seed(4, &[3; 32], FOUNDED_MS, 20_000);
        let own = keys.iter().find(|keys| keys.province == province());
        let transaction = again(&own.expect("it is among the four").transaction);
        let validators = keys.iter().map(|keys| (keys.province, again(&keys.validator))).collect();
        Self { step_ms: 1_000, ..Self::over(folder, genesis, validators, transaction) }
    }

    /// One that stands in `folder`, or is founded there, of these validators and this key of the
    /// agency of province 44. Its blocks follow each other in a millisecond, so that nodes that go on
    /// with them do not find themselves in the past.
    ///
    /// # Panics
    ///
    /// When the folder holds another chain.
    #[must_use]
    pub fn over(
        folder: &Path,
        genesis: Genesis,
        validators: Vec<(ProvinceCode, SecretKey)>,
        transaction: SecretKey,
    ) -> Self {
        let store = Arc::new(Store::open(folder, &genesis).expect("a folder of this chain"));
        let random = ChaCha8Rng::seed_from_u64(4 + *store.commits().borrow());
        let (slots, licences) = (0..0, Vec::new());
        Self { store, genesis, validators, transaction, step_ms: 1, random, slots, licences }
    }

    /// The agency that issues.
    #[must_use]
    pub fn agency(&self) -> Uscc {
        presets::devnet_uscc(province())
    }

    /// Height of the newest block.
    #[must_use]
    pub fn height(&self) -> u64 {
        *self.store.commits().borrow()
    }

    /// An operation that issues a licence.
    pub fn issue(&mut self) -> Operation {
        if self.slots.is_empty() {
            let blocks = SLOT_BLOCKS;
            let first = self.next_slot_block();
            self.commit(&[Operation::ReserveSlots { agency: self.agency(), blocks }]);
            self.slots = first * SLOTS_PER_BLOCK..(first + u32::from(blocks)) * SLOTS_PER_BLOCK;
        }
        let slot = self.slots.next().expect("some were just reserved");
        let inner = Digest(self.random.random());
        self.licences.push(cid(&self.agency(), &inner));
        let licence = NewLicence {
            inner,
            licence_type: "local:driving-licence".parse().expect("a type"),
            credential_key: 1,
            slot,
            expiry: None,
            lineage: Digest(self.random.random()),
        };
        Operation::Issue { licence }
    }

    fn next_slot_block(&self) -> u32 {
        let view = self.store.view().expect("a view");
        let record = view.record::<ProvinceRecord>(&StateKey::Province(province()));
        record.expect("it can be read").expect("a founding province").next_slot_block
    }

    /// An operation that revokes the oldest licence in force.
    pub fn revoke(&mut self) -> Operation {
        let cid = self.licences.remove(0);
        Operation::Revoke { cid, class: RevocationClass::Unspecified }
    }

    /// Commits a block of these operations, in as many transactions as they need; its height.
    ///
    /// # Panics
    ///
    /// When they do not apply.
    pub fn commit(&mut self, operations: &[Operation]) -> u64 {
        let block = self.block(operations);
        self.add(&block)
    }

    /// A block on the tip.
    ///
    /// # Panics
    ///
    /// When the operations do not apply.
    pub fn block(&mut self, operations: &[Operation]) -> (Block, Certificate) {
        let transactions: Vec<_> =
            operations.chunks(MAX_OPERATIONS).map(|chunk| self.sign(chunk.to_vec())).collect();
        let view = self.store.view().expect("a view");
        let tip = view.tip();
        let (transactions, executed, refused) =
            execution::select(&view, transactions, MAX_BLOCK_BYTES).expect("it executes");
        assert!(refused.is_empty(), "{refused:?}");
        let header = Header {
            version: HEADER_VERSION,
            chain_id: self.genesis.chain_id(),
            height: tip.height + 1,
            time_ms: tip.header.time_ms + self.step_ms,
            parent: tip.hash,
            history_root: view.frontier().expect("a frontier").root(),
            transactions_root: transactions_root(&transactions),
            state_root: executed.state_root(),
            validators_hash: tip.header.next_validators_hash,
            next_validators_hash: executed.next_validators.hash(),
            proposer: Some(province()),
        };
        let block = Block { header, transactions };
        let certificate = self.certify(&block);
        (block, certificate)
    }

    /// A block that was committed, as it lies in the database.
    ///
    /// # Panics
    ///
    /// When there is none at this height.
    #[must_use]
    pub fn committed(&self, height: u64) -> (Block, Certificate) {
        let view = self.store.view().expect("a view");
        let block = view.block(height).expect("it can be read").expect("it was committed");
        let certificate = view.certificate_bytes(height).expect("it can be read");
        let certificate = certificate.expect("it was certified");
        (block, codec::decode(&certificate, MAX_CERTIFICATE_BYTES).expect("a certificate"))
    }

    /// Commits a block to this chain's database; its height.
    ///
    /// # Panics
    ///
    /// When it does not follow.
    pub fn add(&self, block: &(Block, Certificate)) -> u64 {
        add_to(&self.store, block)
    }

    fn sign(&mut self, operations: Vec<Operation>) -> Arc<Verified> {
        let payload = Payload {
            version: PAYLOAD_VERSION,
            chain_id: self.genesis.chain_id(),
            actor: Actor::Agency(self.agency()),
            key_id: TRANSACTION_KEY_ID,
            nonce: self.random.random(),
            valid_until_height: self.height() + 100,
            operations,
        };
        let signed = SignedTransaction::sign(&payload, &self.transaction).expect("it fits");
        Arc::new(signed.verify(&self.transaction.public_key()).expect("its own signature"))
    }

    fn certify(&self, block: &Block) -> Certificate {
        let (height, hash) = (block.header.height, block.hash());
        let chain = &block.header.chain_id;
        let message = vote_bytes(VoteKind::Precommit, chain, height, 0, Some(&hash));
        let sign = |(province, key): &(ProvinceCode, SecretKey)| CommitSignature {
            province: *province,
            signature: key.sign(&message),
        };
        let mut signatures: Vec<_> = self.validators.iter().map(sign).collect();
        signatures.sort_by_key(|s| s.province);
        Certificate { version: CERTIFICATE_VERSION, height, round: 0, block: hash, signatures }
    }
}

fn province() -> ProvinceCode {
    PROVINCE.parse().expect("a code")
}

fn again(key: &SecretKey) -> SecretKey {
    SecretKey::from_seed(&key.to_seed())
}

/// Executes a block on a database and commits it there, as block sync does; its height.
///
/// # Panics
///
/// When it does not follow, or execution gives another state.
pub fn add_to(store: &Store, (block, certificate): &(Block, Certificate)) -> u64 {
    let view = store.view().expect("a view");
    let executed = execution::execute_block(&view, block, &execution::Known::new());
    let executed = executed.expect("it executes");
    assert!(execution::agrees(&block.header, &executed), "another state at {}", view.tip().height);
    drop(view);
    store.commit(&Commit { block, certificate, executed: &executed }).expect("the disk takes it");
    block.header.height
}
