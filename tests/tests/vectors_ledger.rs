//! Golden vectors of everything the ledger signs or hashes: what an outsider implements from,
//! and what tells us when a byte has changed. `UPDATE_EXPECT=1` writes the file anew; that is a
//! change of the wire format and belongs into the changelog.

#![allow(clippy::unwrap_used, clippy::panic)]

use expect_test::expect_file;
use serde_json::{Value, json};
use symbolon_ledger::{
    block::{Block, HEADER_VERSION, Header, transactions_root},
    catalogue::{ClaimSpec, ClaimType, Disclosure, LicenceTypeRecord},
    certificate::{CERTIFICATE_VERSION, Certificate, CommitSignature},
    codec,
    codes::{Day, Month, Uscc, cid},
    governance::{
        Action, Activation, EvidenceRecord, FeaturesRecord, GovernanceRecord, NewProvince,
        OpenProposal, ProposalRecord, ProposalStatus, ProposalVote, Term, TermsRecord,
    },
    hash::{Digest, sha256},
    keys::SecretKey,
    log,
    operation::{Actor, Interval, KeyPurpose, NewKey, NewLicence, Operation, RevocationClass},
    records::{
        AddedBy, AgencyRecord, AgencyStatus, KeyRecord, LicenceRecord, LicenceStatus,
        ParametersRecord, ProvinceRecord, RECORD_VERSION, RecognitionRecord, Record,
        SlotBlockRecord, ValidatorsRecord,
    },
    state::StateKey,
    transaction::{PAYLOAD_VERSION, Payload, SignedTransaction},
    validators::{ED25519_PEER_ID, Validator, ValidatorSet},
    vote::{SignedStatement, Statement, Step, VoteKind, proposal_bytes, vote_bytes},
};

#[test]
fn the_bytes_of_the_ledger_are_those_of_the_vectors() {
    let computed = serde_json::to_string_pretty(&vectors()).unwrap() + "\n";
    expect_file!["../vectors/ledger.json"].assert_eq(&computed);
}

fn vectors() -> Value {
    json!({
        "about": "Made by tests/tests/vectors_ledger.rs. Hexadecimal bytes. Keys are Ed25519 from 32 equal seed bytes.",
        "transaction": transaction_vector(),
        "operations": operation_vectors(),
        "validator_set": { "cbor": hex(&codec::encode(&set())), "hash": set().hash().to_string() },
        "header": header_vector(),
        "votes": vote_vectors(),
        "certificate": hex(&codec::encode(&certificate())),
        "block": hex(&block().encode()),
        "state_keys": state_key_vectors(),
        "records": record_vectors(),
        "actions": action_vectors(),
        "governance": governance_vectors(),
        "cid": cid_vector(),
        "log": log_vectors(),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn agency() -> Uscc {
    "11100000000013127D".parse().unwrap()
}

fn chain() -> Digest {
    sha256(b"chain")
}

fn licence() -> NewLicence {
    NewLicence {
        inner: sha256(b"jwt"),
        licence_type: "local:driving-licence".parse().unwrap(),
        credential_key: 1,
        slot: 4_097,
        expiry: Some(Month(24_312)),
        lineage: sha256(b"lineage"),
    }
}

fn transaction() -> SignedTransaction {
    let payload = Payload {
        version: PAYLOAD_VERSION,
        chain_id: chain(),
        actor: Actor::Agency(agency()),
        key_id: 0,
        nonce: [7; 16],
        valid_until_height: 1_000,
        operations: vec![Operation::Issue { licence: licence() }],
    };
    SignedTransaction::sign(&payload, &key(1)).unwrap()
}

fn transaction_vector() -> Value {
    let transaction = transaction();
    json!({
        "seed": hex(&[1; 32]),
        "public_key": key(1).public_key().to_string(),
        "payload": hex(&codec::encode(transaction.payload())),
        "bytes": hex(transaction.as_bytes()),
        "id": transaction.id().to_string(),
        "leaf": hex(&transaction.leaf()),
    })
}

/// Every operation: the last assertion fails when one is missing.
fn operation_vectors() -> Value {
    let vectors: Vec<Value> = licence_operations()
        .into_iter()
        .chain(agency_operations())
        .chain(other_operations())
        .map(|o| json!({ "name": o.name(), "cbor": hex(&codec::encode(&o)) }))
        .collect();
    let specification = include_str!("../../docs/spec/operations.md");
    let numbered = specification.lines().filter(|l| l.starts_with("| ") && l.contains(" | `"));
    let named = |name: &str| vectors.iter().any(|v| v["name"] == name);
    for line in numbered.take_while(|l| !l.contains("`wrong_chain`")) {
        let name = line.split('`').nth(1).unwrap();
        assert!(named(name), "{name} has no vector");
    }
    vectors.into()
}

fn licence_operations() -> Vec<Operation> {
    let cid = sha256(b"cid");
    vec![
        Operation::Issue { licence: licence() },
        Operation::Supersede { previous: cid, licence: licence() },
        Operation::TransferIn { previous: cid, licence: licence() },
        Operation::Suspend { cid },
        Operation::Resume { cid },
        Operation::Revoke { cid, class: RevocationClass::Penalty },
        Operation::TransferOut { cid, to: agency() },
        Operation::CancelTransfer { cid },
    ]
}

fn agency_operations() -> Vec<Operation> {
    let agency = agency();
    let new_key =
        |seed, purpose, valid_until| NewKey { key: key(seed).public_key(), purpose, valid_until };
    let scope = vec!["local:driving-licence".parse().unwrap()];
    vec![
        Operation::RegisterAgency {
            agency,
            name: "某市公安局".parse().unwrap(),
            scope: scope.clone(),
            keys: vec![
                new_key(2, KeyPurpose::Transaction, None),
                new_key(3, KeyPurpose::Credential, Some(900_000)),
            ],
        },
        Operation::SetScope { agency, scope },
        Operation::SuspendAgency { agency },
        Operation::ResumeAgency { agency },
        Operation::DeregisterAgency { agency },
        Operation::AssignSuccessor { agency, successor: agency },
        Operation::ReserveSlots { agency, blocks: 2 },
        Operation::AddKey { agency, key: new_key(4, KeyPurpose::Credential, None) },
        Operation::RotateKey { agency, key_id: 1, key: new_key(5, KeyPurpose::Credential, None) },
        Operation::RevokeKey { agency, key_id: 1 },
        Operation::MarkCompromised { agency, key_id: 1, from_height: 77 },
        Operation::SetStatusKey { key: new_key(6, KeyPurpose::Status, None) },
    ]
}

fn other_operations() -> Vec<Operation> {
    let from_province = "44".parse().unwrap();
    let licence_type: symbolon_ledger::codes::TypeCode = "11100000000013338W011".parse().unwrap();
    vec![
        Operation::Recognise {
            from_province,
            licence_type: licence_type.clone(),
            interval: Interval { from: Day(20_000), until: None },
        },
        Operation::WithdrawRecognition { from_province, licence_type, effective: Day(20_100) },
        propose(actions().remove(0)),
        Operation::Approve { proposal: 7, action: actions()[0].digest() },
        Operation::Reject { proposal: 7, action: actions()[0].digest() },
        evidence(),
    ]
}

fn propose(action: Action) -> Operation {
    Operation::Propose { action: Box::new(action), expires_at_height: 900 }
}

/// Two prevotes of one round, the lesser bytes first.
fn evidence() -> Operation {
    let say = |block| {
        let (step, chain, height, round, pol_round) = (Step::Prevote, chain(), 7, 0, None);
        let statement = Statement { step, chain, height, round, block, pol_round };
        SignedStatement::new(&statement, key(44).sign(&statement.bytes()))
    };
    let (first, second) = (say(Some(header().hash())), say(None));
    assert!(first.statement < second.statement);
    Operation::Evidence { province: "44".parse().unwrap(), first, second }
}

/// One of each; the catalogue entry is the shortest that is sound.
fn actions() -> Vec<Action> {
    let province = "62".parse().unwrap();
    let validator = || {
        let node = key(21).public_key();
        let peer_id = [&ED25519_PEER_ID[..], node.as_bytes()].concat();
        Box::new(Validator { province, key: key(20).public_key(), peer_id })
    };
    let new = NewProvince {
        code: province,
        name_zh: "甘肃省".parse().unwrap(),
        name_en: "Gansu".parse().unwrap(),
        issuer_origin: "https://gansu.province.example".parse().unwrap(),
        authority_key: key(22).public_key(),
        status_key: Some(key(23).public_key()),
    };
    let authority =
        NewKey { key: key(24).public_key(), purpose: KeyPurpose::Transaction, valid_until: None };
    vec![
        Action::AddProvince { province: new.into() },
        Action::RemoveProvince { province },
        Action::AddValidator { validator: validator() },
        Action::RemoveValidator { province },
        Action::RotateValidator { validator: validator() },
        Action::SetLicenceType { entry: entry().into() },
        Action::RotateProvinceKey { province, key_id: 0, key: authority.into() },
        Action::SetParameters {
            idle_block_interval_ms: 5_000,
            max_staleness_ms: 60_000,
            bundle_max_age_ms: 604_800_000,
        },
        Action::ActivateFeature { feature: 1, height: 5_000 },
    ]
}

fn entry() -> LicenceTypeRecord {
    let claim = ClaimSpec {
        key: "name".parse().unwrap(),
        label_zh: "姓名".parse().unwrap(),
        label_en: "Name".parse().unwrap(),
        value: ClaimType::Text { max: 100 },
        mandatory: true,
        disclosure: Disclosure::Allowed,
        sensitivity: 2,
        unique: true,
        role: None,
    };
    let entry = LicenceTypeRecord {
        version: RECORD_VERSION,
        index: 0,
        code: "local:new".parse().unwrap(),
        schema_version: 1,
        name_zh: "新证".parse().unwrap(),
        name_en: "New licence".parse().unwrap(),
        authority: None,
        verified: false,
        source: "a vector".parse().unwrap(),
        national: false,
        public_subject: false,
        suspendable: true,
        transferable: true,
        claims: vec![claim],
        default_disclosure: Vec::new(),
    };
    assert!(entry.is_sound());
    entry
}

fn action_vectors() -> Value {
    let vector = |a: Action| {
        let digest = a.digest().to_string();
        json!({ "name": a.name(), "cbor": hex(&codec::encode(&a)), "digest": digest })
    };
    actions().into_iter().map(vector).collect()
}

/// The records of governance. A proposal stands here in each of its states.
fn governance_vectors() -> Value {
    let province = "44".parse().unwrap();
    let vote = |(code, approves, at): (&str, bool, u64)| ProposalVote {
        province: code.parse().unwrap(),
        approves,
        at,
    };
    let proposal = |status| {
        let votes = [("11", true, 20), ("31", false, 22), ("44", true, 21)];
        let record = ProposalRecord {
            version: RECORD_VERSION,
            proposer: "11".parse().unwrap(),
            action: actions().remove(3),
            proposed_at: 20,
            expires_at: 900,
            votes: votes.into_iter().map(vote).collect(),
            status,
        };
        hex(&record.to_bytes())
    };
    let counted = OpenProposal { number: 7, proposer: province, expires_at: 900 };
    let governance = GovernanceRecord {
        version: RECORD_VERSION,
        next_proposal: 8,
        open: vec![counted],
        validators_changed_at: 24,
    };
    let term = |seed, from, until| Term { key: key(seed).public_key(), from, until };
    let terms = vec![term(44, 1, Some(24)), term(20, 25, None)];
    let features = vec![Activation { feature: 1, from: 5_000 }];
    let evidence = EvidenceRecord {
        version: RECORD_VERSION,
        key: key(44).public_key(),
        round: 0,
        step: Step::Prevote,
        reported_at: 30,
    };
    json!({
        "proposal_open": proposal(ProposalStatus::Open),
        "proposal_executed": proposal(ProposalStatus::Executed { at: 24 }),
        "proposal_rejected": proposal(ProposalStatus::Rejected { at: 24 }),
        "governance": hex(&governance.to_bytes()),
        "terms": hex(&TermsRecord { version: RECORD_VERSION, terms }.to_bytes()),
        "features": hex(&FeaturesRecord { version: RECORD_VERSION, features }.to_bytes()),
        "evidence": hex(&evidence.to_bytes()),
        "province_removed": hex(&ProvinceRecord { removed_at: Some(90), ..province_record() }.to_bytes()),
    })
}

fn set() -> ValidatorSet {
    let validator = |(seed, province): (u8, &str)| Validator {
        province: province.parse().unwrap(),
        key: key(seed).public_key(),
        peer_id: vec![seed; 38],
    };
    let provinces = [(11, "11"), (31, "31"), (44, "44"), (51, "51")];
    ValidatorSet::new(provinces.into_iter().map(validator).collect()).unwrap()
}

fn header() -> Header {
    Header {
        version: HEADER_VERSION,
        chain_id: chain(),
        height: 1,
        time_ms: 1_700_000_000_000,
        parent: sha256(b"parent"),
        history_root: log::root(&[log::leaf_hash(sha256(b"parent").as_bytes())]),
        transactions_root: transactions_root(&[transaction()]),
        state_root: sha256(b"state"),
        validators_hash: set().hash(),
        next_validators_hash: set().hash(),
        proposer: Some("31".parse().unwrap()),
    }
}

fn header_vector() -> Value {
    json!({ "cbor": hex(&codec::encode(&header())), "hash": header().hash().to_string() })
}

fn block() -> Block {
    let block = Block { header: header(), transactions: vec![transaction()] };
    assert_eq!(Block::decode(&block.encode()).unwrap(), block);
    block
}

fn vote_vectors() -> Value {
    let hash = header().hash();
    json!({
        "prevote_nil": hex(&vote_bytes(VoteKind::Prevote, &chain(), 1, 0, None)),
        "precommit": hex(&vote_bytes(VoteKind::Precommit, &chain(), 1, 2, Some(&hash))),
        "proposal": hex(&proposal_bytes(&chain(), 1, 0, &hash, None)),
        "proposal_again": hex(&proposal_bytes(&chain(), 1, 3, &hash, Some(2))),
    })
}

fn certificate() -> Certificate {
    let block = header().hash();
    let message = vote_bytes(VoteKind::Precommit, &chain(), 1, 0, Some(&block));
    let sign = |(seed, province): (u8, &str)| CommitSignature {
        province: province.parse().unwrap(),
        signature: key(seed).sign(&message),
    };
    let signatures = [(11, "11"), (31, "31"), (44, "44")].into_iter().map(sign).collect();
    let certificate =
        Certificate { version: CERTIFICATE_VERSION, height: 1, round: 0, block, signatures };
    certificate.verify(&chain(), &set()).unwrap();
    certificate
}

fn state_key_vectors() -> Value {
    let (province, other) = ("11".parse().unwrap(), "44".parse().unwrap());
    let code: symbolon_ledger::codes::TypeCode = "local:driving-licence".parse().unwrap();
    let keys = [
        StateKey::Parameters,
        StateKey::Validators,
        StateKey::Counters,
        StateKey::Province(province),
        StateKey::Agency(agency()),
        StateKey::AgencyByIndex(3),
        StateKey::Key(Actor::Agency(agency()), 1),
        StateKey::LicenceType(code.clone()),
        StateKey::LicenceTypeByIndex(2),
        StateKey::Licence(sha256(b"cid")),
        StateKey::SlotBlock(province, 7),
        StateKey::Recognition(province, other, code),
        StateKey::Governance,
        StateKey::Proposal(300),
        StateKey::Terms(other),
        StateKey::Features,
        StateKey::Evidence(other, 300),
    ];
    let vector = |k: &StateKey| json!({ "key": format!("{k:?}"), "cbor": hex(&k.encode()), "map_key": k.map_key().to_string() });
    keys.iter().map(vector).collect()
}

fn record_vectors() -> Value {
    let [active, suspended, pending, superseded, revoked] = [
        LicenceStatus::Active,
        LicenceStatus::Suspended,
        LicenceStatus::TransferPending { to: 4 },
        LicenceStatus::Superseded { by: sha256(b"successor") },
        LicenceStatus::Revoked { class: RevocationClass::Penalty },
    ]
    .map(|status| hex(&licence_record(status).to_bytes()));
    let interval = Interval { from: Day(20_000), until: Some(Day(20_365)) };
    let recognition = RecognitionRecord { version: RECORD_VERSION, intervals: vec![interval] };
    let mut slots = SlotBlockRecord::new(3);
    // The first slot, the last of its byte, the first of the next one, and the very last.
    for offset in [0, 7, 8, 4_095] {
        assert!(slots.take(offset));
    }
    let parameters = ParametersRecord {
        version: RECORD_VERSION,
        idle_block_interval_ms: 10_000,
        max_staleness_ms: 60_000,
        bundle_max_age_ms: 604_800_000,
    };
    json!({
        "parameters": hex(&parameters.to_bytes()),
        "validators": hex(&ValidatorsRecord { version: RECORD_VERSION, set: set() }.to_bytes()),
        "province": hex(&province_record().to_bytes()),
        "agency": hex(&agency_record().to_bytes()),
        "compromised_key": hex(&compromised_key().to_bytes()),
        "licence_active": active,
        "licence_suspended": suspended,
        "licence_transfer_pending": pending,
        "licence_superseded": superseded,
        "licence": revoked,
        "slot_block_0_7_8_4095": hex(&slots.to_bytes()),
        "recognition": hex(&recognition.to_bytes()),
    })
}

fn licence_record(status: LicenceStatus) -> LicenceRecord {
    LicenceRecord {
        version: RECORD_VERSION,
        type_index: 2,
        agency_index: 3,
        credential_key: 1,
        transaction_key: 0,
        slot: 4_097,
        expiry: Some(Month(24_312)),
        lineage: sha256(b"lineage"),
        previous: None,
        status,
        issued_at: 10,
        changed_at: 20,
    }
}

fn province_record() -> ProvinceRecord {
    ProvinceRecord {
        version: RECORD_VERSION,
        code: "44".parse().unwrap(),
        name_zh: "广东省".parse().unwrap(),
        name_en: "Guangdong".parse().unwrap(),
        issuer_origin: "https://guangdong.province.example".parse().unwrap(),
        next_key: 2,
        status_key: Some(1),
        next_slot_block: 16,
        removed_at: None,
    }
}

fn agency_record() -> AgencyRecord {
    AgencyRecord {
        version: RECORD_VERSION,
        index: 3,
        uscc: agency(),
        name: "某市公安局".parse().unwrap(),
        province: "44".parse().unwrap(),
        status: AgencyStatus::Suspended,
        scope: vec!["local:driving-licence".parse().unwrap()],
        next_key: 2,
        successor: None,
        registered_at: 5,
        changed_at: 30,
        open_blocks: 2,
    }
}

fn compromised_key() -> KeyRecord {
    KeyRecord {
        version: RECORD_VERSION,
        key: key(3).public_key(),
        purpose: KeyPurpose::Credential,
        valid_from: 6,
        valid_until: Some(900_000),
        added_by: Some(AddedBy { actor: Actor::Province("44".parse().unwrap()), key_id: 0 }),
        compromised_from: Some(77),
    }
}

fn cid_vector() -> Value {
    let inner = sha256(b"jwt");
    json!({ "issuer": agency().to_string(), "inner": inner.to_string(), "cid": cid(&agency(), &inner).to_string() })
}

fn log_vectors() -> Value {
    let leaves: Vec<_> = (0u8..7).map(|i| log::leaf_hash(&[i])).collect();
    let path = log::path(&leaves, 5).unwrap();
    json!({
        "about": "leaves are the single bytes 00 to 06",
        "roots_of_0_to_7_leaves": (0..=7).map(|n| log::root(&leaves[..n]).to_string()).collect::<Vec<_>>(),
        "path_of_leaf_5_of_7": path.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
