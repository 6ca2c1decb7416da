//! What a status list costs: 2^20 slots taken from the database and compressed, beside merely
//! compressing the same bytes, and the memory that it takes.
//!
//! The database is a real one: licences are issued and revoked in blocks, as the engine commits
//! them, with neither network nor consensus. Part of `make bench`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use symbolon_credential::status_list::{LedgerPoint, ListAddress, NewToken, lst};
use symbolon_genesis::{
    Genesis,
    presets::{self, DevnetKeys},
};
use symbolon_ledger::{
    block::{Block, HEADER_VERSION, Header, transactions_root},
    certificate::{CERTIFICATE_VERSION, Certificate},
    codes::{Uscc, cid},
    hash::Digest,
    operation::{Actor, NewLicence, Operation, RevocationClass},
    records::SLOTS_PER_BLOCK,
    status_page::{PAGES_PER_LIST, SLOTS_PER_LIST},
    transaction::{PAYLOAD_VERSION, Payload, SignedTransaction, Verified},
};
use symbolon_node::{
    execution,
    storage::{Commit, Store},
};

/// Licences that are issued and revoked: one slot in a hundred of the list.
const REVOKED: u32 = SLOTS_PER_LIST / 100;
/// Operations of a transaction.
const BATCH: usize = 256;
/// Province of the list.
const PROVINCE: &str = "44";
/// How long each figure is measured.
const SPAN: Duration = Duration::from_secs(2);
/// Bounds of the figures.
const MOST_TIMES_COMPRESSING: f64 = 3.0;
const MOST_MIB: f64 = 64.0;

/// Builds lists and measures.
///
/// # Panics
///
/// When the database cannot be made or a block does not apply.
#[must_use]
pub fn run() -> Value {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let chain = Chain::founded(folder.path());
    chain.fill();
    let province = PROVINCE.parse().expect("a code");
    let view = chain.store.view().expect("a view");
    let origin = "https://guangdong.province.example".parse().expect("an origin");
    let address = ListAddress { origin, province, list: 0 };
    let header = view.tip().header.clone();
    let build = || {
        let packed = view.status_list(province, 0).expect("a list");
        let ledger = LedgerPoint { height: header.height, state_root: header.state_root };
        let issued_at = header.time_ms / 1_000;
        let lst = lst(&packed);
        NewToken { address: &address, key_id: 1, issued_at, ledger, lst: &lst }
            .sign(&chain.keys.status)
    };
    let peak = peak_growth_mib(&build);
    let packed = view.status_list(province, 0).expect("a list");
    let compressing = millis(&|| drop(lst(&packed)));
    let building = millis(&|| drop(build()));
    let rewinding = millis(&|| drop(view.status_list_at(province, 0, 1).expect("a list")));
    json!({
        "name": "status list of 1,048,576 slots",
        "revoked": REVOKED,
        "token_bytes": build().len(),
        "build_and_sign_ms": building,
        "compress_alone_ms": compressing,
        "times_compressing": round(building / compressing),
        "times_compressing_limit": MOST_TIMES_COMPRESSING,
        "peak_growth_mib": peak,
        "peak_growth_mib_limit": MOST_MIB,
        "rewind_to_block_1_ms": rewinding,
    })
}

/// Mean time of `work`, in milliseconds.
fn millis(work: &dyn Fn()) -> f64 {
    let (begun, mut done) = (Instant::now(), 0u32);
    while begun.elapsed() < SPAN {
        work();
        done += 1;
    }
    round(begun.elapsed().as_secs_f64() * 1e3 / f64::from(done))
}

/// By how much the process grew at most while it did `work`, in MiB. Linux counts a process's peak
/// anew after a 5 is written to `clear_refs`.
fn peak_growth_mib(work: &dyn Fn() -> String) -> f64 {
    let status = |name: &str| {
        let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        let kib = line.split_whitespace().nth(1).and_then(|k| k.parse::<f64>().ok());
        kib.unwrap_or(0.0) / 1_024.0
    };
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = status("VmRSS:");
    drop(work());
    round(status("VmHWM:") - before)
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// A chain of one province's licences.
struct Chain {
    store: Store,
    genesis: Genesis,
    keys: DevnetKeys,
    agency: Uscc,
}

impl Chain {
    fn founded(folder: &std::path::Path) -> Self {
        let (genesis, keys) = presets::devnet_from_seed(4, &[3; 32], 1_795_392_000_000, 20_000);
        let store = Store::open(folder, &genesis).expect("an empty folder");
        let own = |k: &DevnetKeys| k.province.as_str() == PROVINCE;
        let keys = keys.into_iter().find(own).expect("it is among the four");
        let agency = presets::devnet_uscc(keys.province);
        Self { store, genesis, keys, agency }
    }

    /// Grants a whole list, issues licences in random slots of it, and revokes them.
    fn fill(&self) {
        let mut random = ChaCha8Rng::seed_from_u64(4);
        let blocks = u16::try_from(PAGES_PER_LIST).expect("256");
        assert_eq!(PAGES_PER_LIST * SLOTS_PER_BLOCK, SLOTS_PER_LIST);
        self.commit(&mut random, vec![Operation::ReserveSlots { agency: self.agency, blocks }]);
        let mut licences = std::collections::BTreeMap::new();
        while licences.len() < REVOKED as usize {
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
            self.commit(&mut random, operations.to_vec());
        }
    }

    /// Commits one block with one transaction. Its certificate is empty: nobody reads it here.
    fn commit(&self, random: &mut ChaCha8Rng, operations: Vec<Operation>) {
        let view = self.store.view().expect("a view");
        let tip = view.tip();
        let payload = Payload {
            version: PAYLOAD_VERSION,
            chain_id: self.genesis.chain_id(),
            actor: Actor::Agency(self.agency),
            key_id: 0,
            nonce: random.random(),
            valid_until_height: tip.height + 100,
            operations,
        };
        let key = &self.keys.transaction;
        let signed = SignedTransaction::sign(&payload, key).expect("it fits");
        let verified: Verified = signed.verify(&key.public_key()).expect("its own signature");
        let (transactions, executed, refused) =
            execution::select(&view, vec![Arc::new(verified)]).expect("it executes");
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
