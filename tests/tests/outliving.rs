//! What was given at block 1 holds after everything: a receipt, a credential and a trust bundle from
//! then, after a hundred changes of the validators, a hundred rotations of the agency's keys, and a
//! restore from a backup.
//!
//! Real rules and a real database; consensus and network have no part in it (`disaster.rs`).

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use symbolon_credential::{
    claims, date,
    sd_jwt::{self, Parsed},
};
use symbolon_genesis::{
    Genesis,
    founding::{AUTHORITY_KEY_ID, CREDENTIAL_KEY_ID, TRANSACTION_KEY_ID},
    presets::{self, DevnetKeys},
};
use symbolon_ledger::{
    block::{Block, HEADER_VERSION, Header, MAX_BLOCK_BYTES, transactions_root},
    certificate::{CERTIFICATE_VERSION, Certificate, CommitSignature},
    codec,
    codes::{ProvinceCode, Uscc},
    governance::{Action, GovernanceRecord},
    hash::{TransactionId, sha256},
    keys::SecretKey,
    operation::{Actor, KeyPurpose, NewKey, NewLicence, Operation},
    state::StateKey,
    transaction::{PAYLOAD_VERSION, Payload, SignedTransaction, Verified},
    validators::{ED25519_PEER_ID, Validator},
    vote::{VoteKind, vote_bytes},
};
use symbolon_node::{
    backup::{create::create, restore::restore},
    config,
    execution::{self, Known},
    storage::{Commit, Store},
};
use symbolon_verify::{
    judge::Request,
    offline::{self, Evidence},
    receipt, state_proof,
    trust::{Anchor, Trust},
    verdict::Outcome,
    view::{AsOf, LedgerView},
};
use tempfile::TempDir;

/// When the chain was founded: 2026-11-23 in Beijing.
const FOUNDED_MS: u64 = 1_795_392_000_000;
/// Changes of the validators, and rotations of both keys of the agency.
const CHANGES: u32 = 100;
const PROVINCES: [&str; 4] = ["11", "31", "44", "51"];
const TYPE: &str = "local:driving-licence";
/// As parameters of the chain have them.
const FRESH_MS: u64 = 60_000;
const BUNDLE_MAX_AGE_MS: u64 = 7 * 24 * 3_600_000;

/// A chain whose keys change, and who has them.
struct World {
    folder: TempDir,
    store: Store,
    genesis: Genesis,
    founders: Vec<DevnetKeys>,
    validators: BTreeMap<ProvinceCode, SecretKey>,
    /// The agency's current keys with their numbers, and the number of its next one.
    transaction: (u32, SecretKey),
    credential: u32,
    next_key: u32,
    nonce: u64,
}

fn code(text: &str) -> ProvinceCode {
    text.parse().unwrap()
}

fn secret(name: &str) -> SecretKey {
    SecretKey::from_seed(&sha256(name.as_bytes()).0)
}

fn again(key: &SecretKey) -> SecretKey {
    SecretKey::from_seed(&key.to_seed())
}

fn agency() -> Uscc {
    presets::devnet_uscc(code("44"))
}

impl World {
    fn founded() -> Self {
        let folder = TempDir::new().unwrap();
        let (genesis, founders) = presets::devnet_from_seed(4, &[6; 32], FOUNDED_MS, 20_000);
        let store = Store::open(&folder.path().join("data"), &genesis).unwrap();
        fs::write(folder.path().join("genesis.toml"), genesis.to_toml()).unwrap();
        let validators = founders.iter().map(|f| (f.province, again(&f.validator))).collect();
        let own = founders.iter().find(|f| f.province == code("44")).unwrap();
        let transaction = (TRANSACTION_KEY_ID, again(&own.transaction));
        let (credential, next_key) = (CREDENTIAL_KEY_ID, CREDENTIAL_KEY_ID + 1);
        Self {
            folder,
            store,
            genesis,
            founders,
            validators,
            transaction,
            credential,
            next_key,
            nonce: 0,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn height(&self) -> u64 {
        *self.store.commits().borrow()
    }

    fn sign(
        &mut self,
        actor: Actor,
        (key_id, key): (u32, &SecretKey),
        operations: Vec<Operation>,
    ) -> Arc<Verified> {
        self.nonce += 1;
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.nonce.to_be_bytes());
        let payload = Payload {
            version: PAYLOAD_VERSION,
            chain_id: self.genesis.chain_id(),
            actor,
            key_id,
            nonce,
            valid_until_height: self.height() + 10,
            operations,
        };
        let signed = SignedTransaction::sign(&payload, key).unwrap();
        Arc::new(signed.verify(&key.public_key()).unwrap())
    }

    fn by_agency(&mut self, operations: Vec<Operation>) -> Arc<Verified> {
        let (id, key) = (self.transaction.0, again(&self.transaction.1));
        self.sign(Actor::Agency(agency()), (id, &key), operations)
    }

    fn by_province(&mut self, province: &str, operation: Operation) -> Arc<Verified> {
        let own = self.founders.iter().find(|f| f.province == code(province)).unwrap();
        let key = again(&own.authority);
        self.sign(Actor::Province(code(province)), (AUTHORITY_KEY_ID, &key), vec![operation])
    }

    /// Commits a block of these transactions, certified by whoever has the vote.
    fn commit(&self, transactions: Vec<Arc<Verified>>) {
        let view = self.store.view().unwrap();
        let tip = view.tip();
        let (transactions, executed, refused) =
            execution::select(&view, transactions, MAX_BLOCK_BYTES).unwrap();
        assert!(refused.is_empty(), "{refused:?}");
        let header = Header {
            version: HEADER_VERSION,
            chain_id: self.genesis.chain_id(),
            height: tip.height + 1,
            time_ms: tip.header.time_ms + 1_000,
            parent: tip.hash,
            history_root: view.frontier().unwrap().root(),
            transactions_root: transactions_root(&transactions),
            state_root: executed.state_root(),
            validators_hash: tip.header.next_validators_hash,
            next_validators_hash: executed.next_validators.hash(),
            proposer: Some(code("11")),
        };
        let block = Block { header, transactions };
        let executed = execution::execute_block(&view, &block, &Known::new()).unwrap();
        drop(view);
        let certificate = self.certify(&block);
        let commit = Commit { block: &block, certificate: &certificate, executed: &executed };
        self.store.commit(&commit).unwrap();
    }

    fn certify(&self, block: &Block) -> Certificate {
        let (height, hash) = (block.header.height, block.hash());
        let kind = VoteKind::Precommit;
        let message = vote_bytes(kind, &block.header.chain_id, height, 0, Some(&hash));
        let sign = |(province, key): (&ProvinceCode, &SecretKey)| CommitSignature {
            province: *province,
            signature: key.sign(&message),
        };
        let signatures = self.validators.iter().map(sign).collect();
        Certificate { version: CERTIFICATE_VERSION, height, round: 0, block: hash, signatures }
    }

    /// One province's validator gets another key, and the agency other keys for both purposes.
    fn change(&mut self, number: u32) {
        let province = PROVINCES[number as usize % PROVINCES.len()];
        let (vote, node) = (secret(&format!("vote {number}")), secret(&format!("node {number}")));
        let validator = Validator {
            province: code(province),
            key: vote.public_key(),
            peer_id: [&ED25519_PEER_ID[..], node.public_key().as_bytes()].concat(),
        };
        let action = Box::new(Action::RotateValidator { validator: Box::new(validator) });
        let meant = action.digest();
        let expires_at_height = self.height() + 20;
        let proposing = self.by_province("11", Operation::Propose { action, expires_at_height });
        let rotating = self.rotate_agency_keys(number);
        self.commit(vec![proposing, rotating]);
        let governance: Option<GovernanceRecord> =
            self.store.view().unwrap().record(&StateKey::Governance).unwrap();
        let proposal = governance.unwrap().next_proposal - 1;
        let approving = ["31", "44"]
            .map(|by| self.by_province(by, Operation::Approve { proposal, action: meant }));
        self.commit(approving.into());
        self.validators.insert(code(province), vote);
    }

    fn rotate_agency_keys(&mut self, number: u32) -> Arc<Verified> {
        let transaction = secret(&format!("transaction {number}"));
        let credential = secret(&format!("credential {number}"));
        let rotate = |key_id, key: &SecretKey, purpose| Operation::RotateKey {
            agency: agency(),
            key_id,
            key: NewKey { key: key.public_key(), purpose, valid_until: None },
        };
        let operations = vec![
            rotate(self.credential, &credential, KeyPurpose::Credential),
            rotate(self.transaction.0, &transaction, KeyPurpose::Transaction),
        ];
        let signed = self.by_agency(operations);
        self.credential = self.next_key;
        self.transaction = (self.next_key + 1, transaction);
        self.next_key += 2;
        signed
    }

    /// A licence of the first slot, and what registers it.
    fn licence(&self) -> (String, Operation) {
        let entry = self.genesis.licence_types.iter().find(|t| t.code.as_str() == TYPE).unwrap();
        let own = self.founders.iter().find(|f| f.province == code("44")).unwrap();
        let home = self.genesis.provinces.iter().find(|p| p.code == code("44")).unwrap();
        let claims = claims::validate(entry, &row()).unwrap();
        let count = sd_jwt::disclosure_count(entry, &claims, false);
        let salts: Vec<[u8; 16]> = (0..count).map(|i| [u8::try_from(i).unwrap() + 1; 16]).collect();
        let issue = sd_jwt::Issue {
            origin: &home.issuer_origin,
            agency: &agency(),
            key_id: CREDENTIAL_KEY_ID,
            licence_type: entry,
            claims: &claims,
            identifier: None,
            status_province: &code("44"),
            status_slot: 0,
            holder_key: None,
            issued_on: date::parse("2026-11-01").unwrap(),
        };
        let issued = sd_jwt::issue(&issue, &salts, &own.credential).unwrap();
        let licence = NewLicence {
            inner: issued.inner,
            licence_type: TYPE.parse().unwrap(),
            credential_key: CREDENTIAL_KEY_ID,
            slot: 0,
            expiry: claims.expiry_month(),
            lineage: sha256(b"lineage"),
        };
        (issued.text, Operation::Issue { licence })
    }

    /// Everything is lost but a backup, which another machine is filled from.
    fn recovered(self) -> Self {
        let text = "genesis = \"genesis.toml\"\ndata_dir = \"data\"\nrole = \"observer\"\n\
                    province = \"44\"\nnetwork_key = \"none\"\nhttp.listen = \"127.0.0.1:1\"\n\
                    admin.listen = \"127.0.0.1:1\"\nnetwork.listen = []\n";
        let (backup, config) = (self.path("backup"), self.path("node.toml"));
        fs::write(&config, text).unwrap();
        let (config, genesis) = config::read_without_keys(&config).unwrap();
        drop(self.store);
        create(&config, &genesis, &backup).unwrap();
        fs::remove_dir_all(&config.data_dir).unwrap();
        restore(&config, &genesis, &backup, true).unwrap();
        let store = Store::open_existing(&config.data_dir, &genesis).unwrap();
        Self { store, ..self }
    }
}

/// A row of the sample data without an end.
fn row() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/driving-licences.csv");
    let file = fs::read_to_string(path).unwrap();
    let mut reader = csv::Reader::from_reader(file.trim_start_matches('\u{feff}').as_bytes());
    let header = reader.headers().unwrap().clone();
    let mut rows = reader.records().map(Result::unwrap);
    let row = rows.find(|row| row.iter().any(|value| value == "长期")).unwrap();
    header.iter().zip(&row).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// What was given at block 1, byte by byte.
struct Given {
    transaction: TransactionId,
    receipt: Vec<u8>,
    bundle: Vec<u8>,
    header: Vec<u8>,
    credential: String,
}

impl Given {
    fn at_block_1(world: &mut World) -> Self {
        let (credential, issue) = world.licence();
        let reserve = Operation::ReserveSlots { agency: agency(), blocks: 1 };
        let transaction = world.by_agency(vec![reserve, issue]);
        let id = transaction.transaction().id();
        world.commit(vec![transaction]);
        let view = world.store.view().unwrap();
        assert_eq!(view.tip().height, 1);
        Self {
            transaction: id,
            receipt: view.receipt(&id).unwrap().unwrap(),
            bundle: codec::encode(&view.trust_bundle().unwrap()),
            header: view.header_bytes(1).unwrap().unwrap(),
            credential,
        }
    }

    /// Holds all of it against a chain on which so many changes were made since.
    fn holds(&self, world: &World, changes: u32) {
        let view = world.store.view().unwrap();
        let tip = view.tip();
        let now_ms = tip.header.time_ms + 1_000;
        assert_eq!(view.receipt(&self.transaction).unwrap().as_ref(), Some(&self.receipt));
        assert_eq!(view.header_bytes(1).unwrap().as_ref(), Some(&self.header));

        // The bundle as it was kept, and whoever has nothing else.
        let root = world.genesis.state_root();
        let founding = world.genesis.block_zero(root);
        let anchor = Anchor::founding(&founding);
        let pinned = Trust::check(&self.bundle, &anchor, now_ms).unwrap();
        assert_eq!((pinned.to_bytes(), pinned.pin().header().height), (self.bundle.clone(), 1));
        let checked = receipt::check(&self.receipt, &pinned).unwrap();
        assert_eq!(checked.transaction(), self.transaction);

        // Led on to what is there now.
        let newest = codec::encode(&view.trust_bundle().unwrap());
        let link = (tip.height > 1).then(|| view.inclusion(1, tip.height).unwrap().unwrap());
        let trust = match link.as_deref() {
            Some(link) => pinned.extend(&newest, Some(link), now_ms).unwrap(),
            None => pinned,
        };
        assert_eq!(trust.set_changes(), changes as usize);
        assert_eq!(trust.to_bytes(), newest);
        let checked = receipt::check_included(&self.receipt, &trust, link.as_deref()).unwrap();
        assert_eq!(checked.header().header().height, 1);
        self.credential_is_valid(world, &trust, now_ms);
    }

    fn credential_is_valid(&self, world: &World, trust: &Trust, now_ms: u64) {
        let view = world.store.view().unwrap();
        let shown = Parsed::parse(&self.credential).unwrap();
        let asking = code("11");
        let as_of = AsOf::of(&view.tip().header);
        let read = LedgerView::read(as_of, &shown, asking, |key| view.raw(key)).unwrap();
        let proof = view.state_proof(&read.keys).unwrap();
        let states = [state_proof::check(&proof, trust).unwrap()];
        let request = Request {
            recognising_province: asking,
            audience: None,
            nonce: None,
            now_ms,
            at_ms: None,
            earliest_at_ms: None,
            max_staleness_ms: FRESH_MS,
        };
        let evidence = Evidence { states: &states, list: None };
        let verdict = offline::verify(&shown, &evidence, trust, BUNDLE_MAX_AGE_MS, &request);
        assert_eq!(verdict.outcome, Outcome::Valid, "{verdict:?}");
    }
}

#[test]
fn what_was_given_at_block_1_outlives_a_hundred_changes_and_a_restore() {
    let mut world = World::founded();
    let given = Given::at_block_1(&mut world);
    given.holds(&world, 0);
    for number in 0..CHANGES {
        world.change(number);
    }
    given.holds(&world, CHANGES);
    let mut world = world.recovered();
    given.holds(&world, CHANGES);
    // And the chain goes on from there.
    for number in CHANGES..CHANGES + 4 {
        world.change(number);
    }
    given.holds(&world, CHANGES + 4);
}
