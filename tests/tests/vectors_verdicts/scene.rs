//! A licence of Guangdong, shown in Beijing, with everything in order, and presentations of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use symbolon_credential::{
    claims::validate,
    date,
    encoding::{from_base64url, to_base64url},
    sd_jwt::{Issue, KeyBinding, Parsed, bind, digest, issue},
};
use symbolon_ledger::{
    catalogue::{ClaimRole, ClaimSpec, ClaimType, Disclosure, LicenceTypeRecord},
    codes::{Day, Label, Month, ProvinceCode, TypeCode, Uscc, cid},
    hash::{Cid, sha256},
    keys::SecretKey,
    operation::{Actor, Interval, KeyPurpose},
    records::{
        AgencyRecord, AgencyStatus, KeyRecord, LicenceRecord, LicenceStatus, ProvinceRecord,
        RecognitionRecord, Record as _,
    },
    state::StateKey,
};

/// 2026-11-23T12:00:00+08:00.
pub(crate) const NOW_MS: u64 = 1_795_406_400_000;
/// Height of issue.
pub(crate) const ISSUED_AT: u64 = 100;
/// The greatest age of a fresh header.
pub(crate) const FRESH_MS: u64 = 60_000;
pub(crate) const POLICE: &str = "https://police.example";
const TYPE: &str = "local:driving-licence";
const AGENCY: &str = "11410800MB18523953";
const CREDENTIAL_KEY: u32 = 3;
const TRANSACTION_KEY: u32 = 1;

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

pub(crate) fn issuer() -> SecretKey {
    SecretKey::from_seed(&[21; 32])
}

pub(crate) fn holder() -> SecretKey {
    SecretKey::from_seed(&[22; 32])
}

/// Everything that a case may change.
pub(crate) struct Scene {
    pub(crate) licence: Option<LicenceRecord>,
    pub(crate) agency: Option<AgencyRecord>,
    pub(crate) home: ProvinceRecord,
    pub(crate) key: Option<KeyRecord>,
    pub(crate) transaction_key: KeyRecord,
    pub(crate) licence_type: LicenceTypeRecord,
    pub(crate) recognition: Option<RecognitionRecord>,
    pub(crate) header_ms: u64,
    pub(crate) unavailable: bool,
    pub(crate) recognising: &'static str,
    pub(crate) audience: Option<&'static str>,
    pub(crate) nonce: Option<&'static str>,
    pub(crate) at_ms: Option<u64>,
    pub(crate) earliest_at_ms: Option<u64>,
    pub(crate) seen: &'static str,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self {
            licence: Some(licence()),
            agency: Some(agency()),
            home: province("44", "广东省", "Guangdong"),
            key: Some(key(&issuer(), KeyPurpose::Credential)),
            transaction_key: key(&SecretKey::from_seed(&[23; 32]), KeyPurpose::Transaction),
            licence_type: licence_type(),
            recognition: None,
            header_ms: NOW_MS - 5_000,
            unavailable: false,
            recognising: "11",
            audience: None,
            nonce: None,
            at_ms: None,
            earliest_at_ms: None,
            seen: "first",
        }
    }

    pub(crate) fn status(&mut self, status: LicenceStatus) {
        let licence = self.licence.as_mut().unwrap();
        licence.status = status;
        licence.changed_at = 150;
    }

    /// Beijing recognises such licences from one day to another, counted from that of the scene.
    pub(crate) fn recognise(&mut self, from: i32, until: Option<i32>) {
        let today = i64::from(Day::of_instant(NOW_MS).0);
        let day = |days: i32| Day(u32::try_from(today + i64::from(days)).unwrap());
        let intervals = vec![Interval { from: day(from), until: until.map(day) }];
        self.recognition = Some(RecognitionRecord { version: 1, intervals });
    }

    /// The records, by the hexadecimal digits of their keys.
    pub(crate) fn records(&self) -> BTreeMap<String, String> {
        let uscc: Uscc = AGENCY.parse().unwrap();
        let (ours, theirs): (ProvinceCode, ProvinceCode) =
            ("11".parse().unwrap(), "44".parse().unwrap());
        let code: TypeCode = TYPE.parse().unwrap();
        let beijing = province("11", "北京市", "Beijing");
        let key = |id| StateKey::Key(Actor::Agency(uscc), id);
        let bound = self.licence.as_ref().map(|l| l.to_bytes());
        let all = [
            (StateKey::Licence(cid_of(&bound_credential())), bound.clone()),
            (StateKey::Licence(cid_of(&paper_credential())), bound.clone()),
            (StateKey::Licence(cid_of(&hostile_credential())), bound),
            (StateKey::Agency(uscc), self.agency.as_ref().map(|a| a.to_bytes())),
            (StateKey::Province(theirs), Some(self.home.to_bytes())),
            (StateKey::Province(ours), Some(beijing.to_bytes())),
            (key(CREDENTIAL_KEY), self.key.as_ref().map(|k| k.to_bytes())),
            (key(TRANSACTION_KEY), Some(self.transaction_key.to_bytes())),
            (StateKey::LicenceType(code.clone()), Some(self.licence_type.to_bytes())),
            (
                StateKey::Recognition(ours, theirs, code),
                self.recognition.as_ref().map(|r| r.to_bytes()),
            ),
        ];
        let there = all.into_iter().filter_map(|(key, record)| Some((key, record?)));
        there.map(|(key, record)| (hex(&key.encode()), hex(&record))).collect()
    }

    pub(crate) fn request(&self) -> Value {
        json!({
            "recognising_province": self.recognising, "audience": self.audience,
            "nonce": self.nonce, "now_ms": NOW_MS, "at_ms": self.at_ms,
            "earliest_at_ms": self.earliest_at_ms, "max_staleness_ms": FRESH_MS,
        })
    }

    pub(crate) fn as_of(&self) -> Value {
        let root = sha256(b"a state for vectors").to_string();
        json!({"height": 200, "time_ms": self.header_ms, "state_root": root})
    }
}

fn licence() -> LicenceRecord {
    LicenceRecord {
        version: 1,
        type_index: 5,
        agency_index: 8,
        credential_key: CREDENTIAL_KEY,
        transaction_key: TRANSACTION_KEY,
        slot: 7,
        expiry: Some(Month(2027 * 12 + 11)),
        lineage: sha256(b"lineage"),
        previous: None,
        status: LicenceStatus::Active,
        issued_at: ISSUED_AT,
        changed_at: ISSUED_AT,
    }
}

fn agency() -> AgencyRecord {
    AgencyRecord {
        version: 1,
        index: 8,
        uscc: AGENCY.parse().unwrap(),
        name: label("广东省公安厅交通管理局"),
        province: "44".parse().unwrap(),
        status: AgencyStatus::Active,
        scope: vec![TYPE.parse().unwrap()],
        next_key: 4,
        successor: None,
        registered_at: 1,
        changed_at: 1,
        open_blocks: 1,
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

pub(crate) fn key(key: &SecretKey, purpose: KeyPurpose) -> KeyRecord {
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

fn claim(key: &str, zh: &str, value: ClaimType, sensitivity: u8) -> ClaimSpec {
    ClaimSpec {
        key: label(key),
        label_zh: label(zh),
        label_en: label(&key.replace('_', " ")),
        value,
        mandatory: true,
        disclosure: Disclosure::Allowed,
        sensitivity,
        unique: false,
        role: None,
    }
}

fn licence_type() -> LicenceTypeRecord {
    let text = ClaimType::Text { max: 80 };
    let mut claims = vec![
        claim("name", "姓名", text.clone(), 2),
        claim("address", "住址", text.clone(), 3),
        claim("birth_date", "出生日期", ClaimType::Date, 3),
        claim("vehicle_class", "准驾车型", text.clone(), 1),
        claim("licence_number", "证号", ClaimType::ResidentId, 4),
        claim("note", "备注", text, 4),
        claim("valid_from", "有效期起", ClaimType::Date, 1),
        claim("valid_until", "有效期止", ClaimType::EndDate, 1),
    ];
    claims[5].disclosure = Disclosure::Never;
    claims[6].role = Some(ClaimRole::ValidFrom);
    claims[7].role = Some(ClaimRole::ValidUntil);
    LicenceTypeRecord {
        version: 1,
        index: 5,
        code: TYPE.parse().unwrap(),
        schema_version: 1,
        name_zh: label("机动车驾驶证"),
        name_en: label("Driving licence"),
        authority: None,
        verified: false,
        source: label("vectors"),
        national: false,
        public_subject: false,
        suspendable: true,
        transferable: true,
        claims,
        default_disclosure: Vec::new(),
    }
}

fn credential(holder: Option<&SecretKey>) -> String {
    let licence_type = licence_type();
    let given: BTreeMap<String, String> = [
        ("name", "陆园琼"),
        ("address", "广东省广州市天河区体育西路一百零三号"),
        ("birth_date", "1988-05-12"),
        ("vehicle_class", "C1"),
        ("licence_number", "440106198805120010"),
        ("note", "器官捐献者"),
        ("valid_from", "2024-01-01"),
        ("valid_until", "2027-12-31"),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .into();
    let holder_key = holder.map(SecretKey::public_key);
    let licence = Issue {
        origin: &province("44", "广东省", "Guangdong").issuer_origin,
        agency: &AGENCY.parse().unwrap(),
        key_id: CREDENTIAL_KEY,
        licence_type: &licence_type,
        claims: &validate(&licence_type, &given).unwrap(),
        identifier: None,
        status_province: &"44".parse().unwrap(),
        status_slot: 7,
        holder_key: holder_key.as_ref(),
        issued_on: date::parse("2024-01-01").unwrap(),
    };
    let salts: Vec<[u8; 16]> = (0..8).map(|i| [i; 16]).collect();
    issue(&licence, &salts, &issuer()).unwrap().text
}

fn bound_credential() -> String {
    credential(Some(&holder()))
}

fn paper_credential() -> String {
    credential(None)
}

/// A credential that no honest issuer makes: claims with characters that hide and reorder, and
/// one that the catalogue does not know.
fn hostile_credential() -> String {
    let disclosures: Vec<String> = [
        r#"["AAAAAAAAAAAAAAAAAAAAAA","name","王\u202e五\u200b"]"#,
        r#"["AQAAAAAAAAAAAAAAAAAAAA","vehicle_class","C1\r\n\u001b[31mA1"]"#,
        r#"["AgAAAAAAAAAAAAAAAAAAAA","blood\u2066_type","AB 型 Rh 阴性，见附页"]"#,
    ]
    .iter()
    .map(|json| to_base64url(json.as_bytes()))
    .collect();
    let paper = paper_credential();
    let mut parts = paper.split('~').next().unwrap().split('.');
    let (header, payload) = (parts.next().unwrap(), parts.next().unwrap());
    let mut payload: Value = serde_json::from_slice(&from_base64url(payload).unwrap()).unwrap();
    payload["_sd"] = json!(disclosures.iter().map(|d| digest(d)).collect::<Vec<_>>());
    // The order of members must not depend on the features that others switch on in serde_json.
    payload.sort_all_objects();
    let input = format!("{header}.{}", to_base64url(payload.to_string().as_bytes()));
    let signature = to_base64url(&issuer().sign(input.as_bytes()).0);
    format!("{input}.{signature}~{}~", disclosures.join("~"))
}

fn cid_of(credential: &str) -> Cid {
    let inner = Parsed::parse(credential).unwrap().inner();
    cid(&AGENCY.parse().unwrap(), &inner)
}

/// Every presentation that a case may name.
pub(crate) fn presentations() -> BTreeMap<&'static str, String> {
    let (credential, paper) = (bound_credential(), paper_credential());
    let parsed = Parsed::parse(&credential).unwrap();
    let shown = parsed.present(&["name", "vehicle_class", "licence_number", "address"]).unwrap();
    let printed = Parsed::parse(&paper).unwrap().present(&["name", "vehicle_class"]).unwrap();
    let signed = |audience: &str, nonce: &str, age: i64, by: &SecretKey| {
        let issued_at = (NOW_MS / 1_000).saturating_add_signed(-age);
        let (audience, nonce) = (audience.to_owned(), nonce.to_owned());
        bind(&shown, &KeyBinding { audience, nonce, issued_at }, by)
    };
    let own = |age| signed("urn:elic:qr", "n1", age, &holder());
    BTreeMap::from([
        ("self_presented", own(5)),
        ("self_presented_60_s_ago", own(60)),
        ("self_presented_61_s_ago", own(61)),
        ("self_presented_10_s_ahead", own(-10)),
        ("self_presented_11_s_ahead", own(-11)),
        ("for_the_police", signed(POLICE, "n1", 5, &holder())),
        ("for_the_police_300_s_ago", signed(POLICE, "n1", 300, &holder())),
        ("for_the_police_301_s_ago", signed(POLICE, "n1", 301, &holder())),
        ("signed_by_another", signed("urn:elic:qr", "n1", 5, &issuer())),
        ("unsigned", shown.clone()),
        ("paper", printed.clone()),
        ("forged_disclosure", format!("{printed}WyJBQUFBIiwibmFtZSIsIlgiXQ~")),
        ("forbidden_claim", parsed.present(&["note"]).unwrap()),
        ("hostile_characters", hostile_credential()),
        ("no_presentation", "no licence".to_owned()),
    ])
}
