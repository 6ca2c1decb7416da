//! Catalogue entries for this crate's own tests: a person's licence, one with a national code,
//! and an organisation's. The real ones are data of `symbolon-genesis`.

use symbolon_ledger::{
    catalogue::{ClaimRole, ClaimSpec, ClaimType, Disclosure, LicenceTypeRecord},
    codes::Label,
};

fn labels(texts: &[&str]) -> Vec<Label> {
    texts.iter().map(|t| t.parse().unwrap()).collect()
}

fn spec(key: &str, zh: &str, value: ClaimType, role: Option<ClaimRole>) -> ClaimSpec {
    ClaimSpec {
        key: key.parse().unwrap(),
        label_zh: zh.parse().unwrap(),
        label_en: key.parse().unwrap(),
        value,
        mandatory: true,
        disclosure: Disclosure::Allowed,
        sensitivity: 3,
        unique: false,
        role,
    }
}

fn text(key: &str, zh: &str) -> ClaimSpec {
    spec(key, zh, ClaimType::Text { max: 50 }, None)
}

fn record(code: &str, claims: Vec<ClaimSpec>) -> LicenceTypeRecord {
    LicenceTypeRecord {
        version: 1,
        index: 0,
        code: code.parse().unwrap(),
        schema_version: 1,
        name_zh: "证照".parse().unwrap(),
        name_en: "Licence".parse().unwrap(),
        authority: None,
        verified: false,
        source: "test".parse().unwrap(),
        national: false,
        public_subject: false,
        suspendable: true,
        transferable: true,
        claims,
        default_disclosure: Vec::new(),
    }
}

fn validity() -> [ClaimSpec; 2] {
    [
        spec("valid_from", "有效期起", ClaimType::Date, Some(ClaimRole::ValidFrom)),
        spec("valid_until", "有效期止", ClaimType::EndDate, Some(ClaimRole::ValidUntil)),
    ]
}

/// The driving licence.
pub(crate) fn driving() -> LicenceTypeRecord {
    let classes = "A1 A2 A3 B1 B2 C1 C2 C3 C4 C5 C6 D E F M N P".split(' ').collect::<Vec<_>>();
    let mut number =
        spec("licence_number", "证号", ClaimType::ResidentId, Some(ClaimRole::HolderNumber));
    number.unique = true;
    let [valid_from, valid_until] = validity();
    record(
        "local:driving-licence",
        vec![
            text("name", "姓名"),
            spec("sex", "性别", ClaimType::Choice { of: labels(&["男", "女"]) }, None),
            text("nationality", "国籍"),
            spec("address", "住址", ClaimType::Text { max: 200 }, None),
            spec("birth_date", "出生日期", ClaimType::Date, Some(ClaimRole::BirthDate)),
            spec("first_issue_date", "初次领证日期", ClaimType::Date, None),
            spec("vehicle_class", "准驾车型", ClaimType::Classes { of: labels(&classes) }, None),
            valid_from,
            valid_until,
            number,
            text("archive_number", "档案编号"),
        ],
    )
}

/// The construction safety certificate.
pub(crate) fn construction() -> LicenceTypeRecord {
    let posts = labels(&["A证", "B证", "C1证", "C2证", "C3证"]);
    let [valid_from, valid_until] = validity();
    record(
        "11100000000013338W011",
        vec![
            text("name", "姓名"),
            spec("sex", "性别", ClaimType::Choice { of: labels(&["男", "女"]) }, None),
            spec("id_number", "身份证号", ClaimType::ResidentId, Some(ClaimRole::HolderNumber)),
            text("employer", "企业名称"),
            spec("post_class", "岗位类别", ClaimType::Choice { of: posts }, None),
            text("certificate_number", "证书编号"),
            spec("first_issue_date", "初次领证日期", ClaimType::Date, None),
            valid_from,
            valid_until,
        ],
    )
}

/// The business licence: an organisation's, with its name always open.
pub(crate) fn business() -> LicenceTypeRecord {
    let mut name = text("name", "名称");
    name.disclosure = Disclosure::Always;
    let mut capital = text("registered_capital", "注册资本");
    capital.mandatory = false;
    record(
        "11100000MB0143028R001",
        vec![
            spec("uscc", "统一社会信用代码", ClaimType::Uscc, None),
            name,
            text("company_type", "类型"),
            text("legal_representative", "法定代表人"),
            capital,
            spec("established", "成立日期", ClaimType::Date, None),
            spec("address", "住所", ClaimType::Text { max: 200 }, None),
            spec("business_scope", "经营范围", ClaimType::Text { max: 1000 }, None),
        ],
    )
}
