//! A network of four provinces and one licence, for this crate's own tests; [`chain`] has one
//! whose validators change, [`map`] a state with its proofs, [`flips`] what is wrong by one bit.

pub(crate) mod chain;
pub(crate) mod flips;
pub(crate) mod map;

use std::collections::BTreeMap;

use symbolon_credential::{
    claims::validate,
    date,
    sd_jwt::{Issue, Parsed, issue},
};
use symbolon_ledger::{
    block::{HEADER_VERSION, Header},
    catalogue::{ClaimRole, ClaimSpec, ClaimType, Disclosure, LicenceTypeRecord},
    certificate::{CERTIFICATE_VERSION, Certificate, CommitSignature},
    codes::{Label, Origin, ProvinceCode, Uscc},
    hash::{ChainId, Digest, sha256},
    keys::SecretKey,
    operation::KeyPurpose,
    records::{
        AgencyRecord, AgencyStatus, KeyRecord, LicenceRecord, LicenceStatus, ProvinceRecord,
    },
    validators::{Validator, ValidatorSet},
    vote::{VoteKind, vote_bytes},
};

use crate::{
    judge::Request,
    trust::Trust,
    view::{AsOf, LedgerView},
};

const PROVINCES: [&str; 4] = ["11", "31", "44", "51"];

/// Four validators.
pub(crate) struct Network {
    keys: Vec<SecretKey>,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self { keys: (1..=4).map(|i| SecretKey::from_seed(&[i; 32])).collect() }
    }

    fn chain_id() -> ChainId {
        sha256(b"a chain for tests")
    }

    fn validators(&self) -> ValidatorSet {
        let validator = |(i, key): (usize, &SecretKey)| Validator {
            province: PROVINCES[i].parse().unwrap(),
            key: key.public_key(),
            peer_id: vec![u8::try_from(i).unwrap(); 38],
        };
        ValidatorSet::new(self.keys.iter().enumerate().map(validator).collect()).unwrap()
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::founded(&self.genesis(), self.validators()).unwrap()
    }

    pub(crate) fn genesis(&self) -> Header {
        let none = sha256(b"");
        Header { parent: Digest::ZERO, proposer: None, ..self.header(0, none, Digest([4; 32])) }
    }

    pub(crate) fn header(&self, height: u64, transactions: Digest, state: Digest) -> Header {
        let set = self.validators().hash();
        Header {
            version: HEADER_VERSION,
            chain_id: Self::chain_id(),
            height,
            time_ms: 1_000 + height,
            parent: Digest([1; 32]),
            history_root: Digest([2; 32]),
            transactions_root: transactions,
            state_root: state,
            validators_hash: set,
            next_validators_hash: set,
            proposer: Some("44".parse().unwrap()),
        }
    }

    /// Precommits of these validators, in the order given, right or wrong.
    pub(crate) fn certify(&self, header: &Header, signers: &[usize]) -> Certificate {
        let (height, round, block) = (header.height, 0, header.hash());
        let message =
            vote_bytes(VoteKind::Precommit, &Self::chain_id(), height, round, Some(&block));
        let sign = |i: &usize| CommitSignature {
            province: PROVINCES[*i].parse().unwrap(),
            signature: self.keys[*i].sign(&message),
        };
        let signatures = signers.iter().map(sign).collect();
        Certificate { version: CERTIFICATE_VERSION, height, round, block, signatures }
    }
}

/// 2026-11-23T12:00:00+08:00.
pub(crate) const NOW_MS: u64 = 1_795_406_400_000;
/// Height of issue.
pub(crate) const ISSUED_AT: u64 = 100;
/// The greatest age of a fresh header.
pub(crate) const FRESH_MS: u64 = 60_000;

/// A licence of Guangdong, shown in Beijing, with everything in order.
pub(crate) struct Scene {
    pub(crate) credential: String,
    pub(crate) view: LedgerView,
    pub(crate) request: Request,
    pub(crate) issuer: SecretKey,
    pub(crate) holder: SecretKey,
}

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

fn claim(key: &str, zh: &str, value: ClaimType, role: Option<ClaimRole>) -> ClaimSpec {
    ClaimSpec {
        key: label(key),
        label_zh: label(zh),
        label_en: label(key),
        value,
        mandatory: true,
        disclosure: Disclosure::Allowed,
        sensitivity: 3,
        unique: false,
        role,
    }
}

fn licence_type() -> LicenceTypeRecord {
    LicenceTypeRecord {
        version: 1,
        index: 5,
        code: "local:driving-licence".parse().unwrap(),
        schema_version: 1,
        name_zh: label("机动车驾驶证"),
        name_en: label("Driving licence"),
        authority: None,
        verified: false,
        source: label("test"),
        national: false,
        public_subject: false,
        suspendable: true,
        transferable: true,
        claims: vec![
            claim("name", "姓名", ClaimType::Text { max: 50 }, None),
            claim("class", "准驾车型", ClaimType::Text { max: 9 }, None),
            claim("valid_from", "有效期起", ClaimType::Date, Some(ClaimRole::ValidFrom)),
            claim("valid_until", "有效期止", ClaimType::EndDate, Some(ClaimRole::ValidUntil)),
        ],
        default_disclosure: Vec::new(),
    }
}

pub(crate) fn key_record(key: &SecretKey, purpose: KeyPurpose) -> KeyRecord {
    KeyRecord {
        version: 1,
        key: key.public_key(),
        purpose,
        valid_from: 10,
        valid_until: None,
        added_by: None,
        compromised_from: None,
    }
}

fn province(code: &str, zh: &str, en: &str) -> ProvinceRecord {
    ProvinceRecord {
        version: 1,
        code: code.parse().unwrap(),
        name_zh: label(zh),
        name_en: label(en),
        issuer_origin: format!("https://{}.province.example", en.to_lowercase()).parse().unwrap(),
        next_key: 1,
        status_key: None,
        next_slot_block: 1,
        removed_at: None,
    }
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with_holder(true)
    }

    /// The same with or without a holder's key in the credential.
    pub(crate) fn with_holder(bound: bool) -> Self {
        let issuer = SecretKey::from_seed(&[21; 32]);
        let holder = SecretKey::from_seed(&[22; 32]);
        let agency: Uscc = "11410800MB18523953".parse().unwrap();
        let home = province("44", "广东省", "Guangdong");
        let credential =
            credential(&home.issuer_origin, &agency, &issuer, bound.then_some(&holder));
        let as_of = AsOf { height: 200, time_ms: NOW_MS - 5_000, state_root: Digest([9; 32]) };
        let view = LedgerView {
            as_of,
            licence_as_of: as_of,
            keys: Vec::new(),
            licence: Some(licence()),
            agency: Some(agency_record(agency)),
            province: Some(home),
            key: Some(key_record(&issuer, KeyPurpose::Credential).into()),
            transaction_key: Some(
                key_record(&SecretKey::from_seed(&[23; 32]), KeyPurpose::Transaction).into(),
            ),
            licence_type: Some(licence_type().into()),
            asking_province: Some(province("11", "北京市", "Beijing")),
            recognition: None,
            recognition_known: true,
            listed: None,
        };
        let request = Request {
            recognising_province: "11".parse().unwrap(),
            audience: None,
            nonce: None,
            now_ms: NOW_MS,
            at_ms: None,
            earliest_at_ms: None,
            max_staleness_ms: FRESH_MS,
        };
        Self { credential, view, request, issuer, holder }
    }

    /// Name and class shown, the rest withheld.
    pub(crate) fn shown(&self) -> String {
        Parsed::parse(&self.credential).unwrap().present(&["name", "class"]).unwrap()
    }
}

fn credential(
    origin: &Origin,
    agency: &Uscc,
    issuer: &SecretKey,
    holder: Option<&SecretKey>,
) -> String {
    let licence_type = licence_type();
    let given: BTreeMap<String, String> = [
        ("name", "陆园琼"),
        ("class", "C1"),
        ("valid_from", "2024-01-01"),
        ("valid_until", "2027-12-31"),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .into();
    let claims = validate(&licence_type, &given).unwrap();
    let status_province: ProvinceCode = "44".parse().unwrap();
    let holder_key = holder.map(SecretKey::public_key);
    let licence = Issue {
        origin,
        agency,
        key_id: 3,
        licence_type: &licence_type,
        claims: &claims,
        identifier: None,
        status_province: &status_province,
        status_slot: 7,
        holder_key: holder_key.as_ref(),
        issued_on: date::parse("2024-01-01").unwrap(),
    };
    let salts: Vec<[u8; 16]> = (0..4).map(|i| [i; 16]).collect();
    issue(&licence, &salts, issuer).unwrap().text
}

fn licence() -> LicenceRecord {
    LicenceRecord {
        version: 1,
        type_index: 5,
        agency_index: 8,
        credential_key: 3,
        transaction_key: 1,
        slot: 7,
        expiry: Some(date::month_of(date::parse("2027-12-31").unwrap())),
        lineage: Digest([6; 32]),
        previous: None,
        status: LicenceStatus::Active,
        issued_at: ISSUED_AT,
        changed_at: ISSUED_AT,
    }
}

fn agency_record(uscc: Uscc) -> AgencyRecord {
    AgencyRecord {
        version: 1,
        index: 8,
        uscc,
        name: label("广东省公安厅交通管理局"),
        province: "44".parse().unwrap(),
        status: AgencyStatus::Active,
        scope: vec!["local:driving-licence".parse().unwrap()],
        next_key: 4,
        successor: None,
        registered_at: 1,
        changed_at: 1,
        open_blocks: 1,
    }
}
