//! What a status list costs: 2^20 slots taken from the database and compressed, beside merely
//! compressing the same bytes, and the memory that it takes. The memory is measured in a process of
//! its own: in this one the allocator has kept what filling the database took, and would give of it.
//!
//! The database is a real one: licences are issued and revoked in blocks, as the engine commits
//! them, with neither network nor consensus. Part of `make bench`.

use std::{path::Path, process::Command, sync::Arc};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use symbolon_credential::status_list::{LedgerPoint, ListAddress, NewToken, lst};
use symbolon_genesis::{
    Genesis,
    presets::{self, DevnetKeys},
};
use symbolon_ledger::{
    block::{Block, HEADER_VERSION, Header, MAX_BLOCK_BYTES, transactions_root},
    certificate::{CERTIFICATE_VERSION, Certificate},
    codes::{Uscc, cid},
    hash::Digest,
    keys::SecretKey,
    operation::{Actor, NewLicence, Operation, RevocationClass},
    records::SLOTS_PER_BLOCK,
    status_page::{PAGES_PER_LIST, SLOTS_PER_LIST},
    transaction::{PAYLOAD_VERSION, Payload, SignedTransaction, Verified},
};
use symbolon_node::{
    execution,
    storage::{Commit, Store, View},
};

use super::{
    Scale,
    limits::millis,
    machine::peak_growth_mib,
    report::{Figure, Section, Target},
};

/// The first argument that makes the program tell what memory one list takes, of the database in
/// the folder that is the second.
pub const ROLE: &str = "status-list-memory";

/// Operations of a transaction.
const BATCH: usize = 256;
/// Province of the list.
const PROVINCE: &str = "44";
/// Bounds of the figures.
const MOST_TIMES_COMPRESSING: f64 = 3.0;
const MOST_MIB: f64 = 64.0;

/// The chapter.
///
/// # Panics
///
/// When the database cannot be made or a block does not apply.
#[must_use]
pub fn section(scale: &Scale) -> Section {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let chain = Chain::open(folder.path());
    chain.fill(scale.revoked);
    // The other process opens the database, which only one may have open.
    drop(chain);
    let peak = peak_of_another_process(folder.path());
    let chain = Chain::open(folder.path());
    let view = chain.store.view().expect("a view");
    let province = PROVINCE.parse().expect("a code");
    let build = || chain.build(&view);
    let token = build().len();
    let packed = view.status_list(province, 0).expect("a list");
    let compressing = millis(scale.phase, || lst(&packed));
    let rewinding = millis(scale.phase, || view.status_list_at(province, 0, 1).expect("a list"));
    Section {
        name: "status list",
        how: format!(
            "{SLOTS_PER_LIST} slots, {} of them revoked; a token of {token} bytes",
            scale.revoked
        ),
        figures: vec![
            Figure::new("build, compress and sign", millis(scale.phase, build), "ms")
                .of("compressing it alone", compressing)
                .with(Target::AtMost(MOST_TIMES_COMPRESSING)),
            Figure::new("memory that it takes", peak, "MiB")
                .of("allowed", MOST_MIB)
                .with(Target::AtMost(1.0)),
            Figure::new("rewind to block 1", rewinding, "ms"),
        ],
    }
}

/// By how much a fresh process grows at most while it builds one list, in MiB.
///
/// # Panics
///
/// When there is no such database in `folder`.
#[must_use]
pub fn memory_mib(folder: &Path) -> f64 {
    let chain = Chain::open(folder);
    let view = chain.store.view().expect("a view");
    peak_growth_mib(|| chain.build(&view))
}

fn peak_of_another_process(folder: &Path) -> f64 {
    let program = std::env::current_exe().expect("a running program has a path");
    let output = Command::new(program).arg(ROLE).arg(folder).output();
    let output = output.expect("the program starts itself");
    let said = String::from_utf8_lossy(&output.stdout).trim().parse::<f64>();
    said.unwrap_or_else(|_| unreachable!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// A chain of one province's licences.
struct Chain {
    store: Store,
    genesis: Genesis,
    keys: DevnetKeys,
    agency: Uscc,
}

impl Chain {
    /// Founds it when the folder is empty.
    fn open(folder: &Path) -> Self {
        let (genesis, keys) = presets::devnet_from_seed(4, &[3; 32], 1_795_392_000_000, 20_000);
        let store = Store::open(folder, &genesis).expect("a folder of this chain");
        let own = |k: &DevnetKeys| k.province.as_str() == PROVINCE;
        let keys = keys.into_iter().find(own).expect("it is among the four");
        let agency = presets::devnet_uscc(keys.province);
        Self { store, genesis, keys, agency }
    }

    /// Builds, compresses and signs the list.
    fn build(&self, view: &View<'_>) -> String {
        let province = self.keys.province;
        let packed = view.status_list(province, 0).expect("a list");
        let origin = "https://guangdong.province.example".parse().expect("an origin");
        let address = ListAddress { origin, province, list: 0 };
        let header = &view.tip().header;
        let ledger = LedgerPoint { height: header.height, state_root: header.state_root };
        let issued_at = header.time_ms / 1_000;
        let lst = lst(&packed);
        NewToken { address: &address, key_id: 1, issued_at, ledger, lst: &lst }
            .sign(&self.keys.status)
    }

    /// Grants a whole list, issues licences in random slots of it, and revokes them. The province
    /// reserves: an agency by itself may not hold so many slots that it does not use.
    fn fill(&self, count: u32) {
        let mut random = ChaCha8Rng::seed_from_u64(4);
        let blocks = u16::try_from(PAGES_PER_LIST).expect("256");
        assert_eq!(PAGES_PER_LIST * SLOTS_PER_BLOCK, SLOTS_PER_LIST);
        let reserve = Operation::ReserveSlots { agency: self.agency, blocks };
        let province = (Actor::Province(self.keys.province), &self.keys.authority);
        self.commit(&mut random, province, vec![reserve]);
        let mut licences = std::collections::BTreeMap::new();
        while licences.len() < count as usize {
            let slot = random.random_range(0..SLOTS_PER_LIST);
            licences.insert(slot, (Digest(random.random()), Digest(random.random())));
        }
        let issue = |(slot, (inner, lineage)): (&u32, &(Digest, Digest))| Operation::Issue {
            licence: NewLicence {
                inner: *inner,
                licence_type: "local:driving-licence".parse().expect("a type"),
                credential_key: 1,
                slot: *slot,
                expiry: None,
                lineage: *lineage,
            },
        };
        let issues: Vec<Operation> = licences.iter().map(issue).collect();
        let revoke = |(inner, _): &(Digest, Digest)| Operation::Revoke {
            cid: cid(&self.agency, inner),
            class: RevocationClass::Unspecified,
        };
        let revocations: Vec<Operation> = licences.values().map(revoke).collect();
        for operations in issues.chunks(BATCH).chain(revocations.chunks(BATCH)) {
            let agency = (Actor::Agency(self.agency), &self.keys.transaction);
            self.commit(&mut random, agency, operations.to_vec());
        }
    }

    /// Commits one block with one transaction. Its certificate is empty: nobody reads it here.
    fn commit(
        &self,
        random: &mut ChaCha8Rng,
        (actor, key): (Actor, &SecretKey),
        operations: Vec<Operation>,
    ) {
        let view = self.store.view().expect("a view");
        let tip = view.tip();
        let payload = Payload {
            version: PAYLOAD_VERSION,
            chain_id: self.genesis.chain_id(),
            actor,
            key_id: 0,
            nonce: random.random(),
            valid_until_height: tip.height + 100,
            operations,
        };
        let signed = SignedTransaction::sign(&payload, key).expect("it fits");
        let verified: Verified = signed.verify(&key.public_key()).expect("its own signature");
        let (transactions, executed, refused) =
            execution::select(&view, vec![Arc::new(verified)], MAX_BLOCK_BYTES)
                .expect("it executes");
        assert!(refused.is_empty(), "{refused:?}");
        let header = Header {
            version: HEADER_VERSION,
            chain_id: self.genesis.chain_id(),
            height: tip.height + 1,
            time_ms: tip.header.time_ms + 1_000,
            parent: tip.hash,
            history_root: view.frontier().expect("a frontier").root(),
            transactions_root: transactions_root(&transactions),
            state_root: executed.state_root(),
            validators_hash: tip.header.next_validators_hash,
            next_validators_hash: executed.next_validators.hash(),
            proposer: Some(self.keys.province),
        };
        let block = Block { header, transactions };
        let certificate = Certificate {
            version: CERTIFICATE_VERSION,
            height: block.header.height,
            round: 0,
            block: block.hash(),
            signatures: Vec::new(),
        };
        drop(view);
        let commit = Commit { block: &block, certificate: &certificate, executed: &executed };
        self.store.commit(&commit).expect("the disk takes it");
    }
}
