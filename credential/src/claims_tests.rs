//! What [`validate`] accepts and refuses, one row per rule.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::samples::{business, construction, driving};

fn rows(header: &str, row: &str) -> BTreeMap<String, String> {
    let pair = |(k, v): (&str, &str)| (k.to_owned(), v.to_owned());
    header.split(',').zip(row.split(',')).map(pair).collect()
}

const DRIVING: &str =
    "姓名,性别,国籍,住址,出生日期,初次领证日期,准驾车型,有效期起,有效期止,证号,档案编号";
const GOOD: &str = "陆园琼,女,中国,广东省深圳市南山区文明里335号9栋3079房,2000-04-21,2020-02-05,C1,2022-11-11,2028-11-11,449999200004216907,440007126037";

fn good() -> BTreeMap<String, String> {
    rows(DRIVING, GOOD)
}

fn faults(
    licence_type: &LicenceTypeRecord,
    given: &BTreeMap<String, String>,
) -> Vec<(String, ClaimErrorCode)> {
    match validate(licence_type, given) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.into_iter().map(|e| (e.label_zh, e.code)).collect(),
    }
}

#[test]
fn a_good_row_is_read_by_label_and_by_key() {
    let licence_type = driving();
    let by_label = validate(&licence_type, &good()).unwrap();
    let by_key: BTreeMap<String, String> =
        by_label.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    assert_eq!(validate(&licence_type, &by_key), Ok(by_label.clone()));
    assert_eq!(by_label.get("vehicle_class"), Some("C1"));
    assert_eq!(by_label.valid_until().unwrap().to_string(), "2028-11-11");
    assert_eq!(by_label.expiry_month(), Some(Month(2028 * 12 + 10)));
    assert_eq!(by_label.unique().collect::<Vec<_>>(), [("licence_number", "449999200004216907")]);
}

#[test]
fn every_rule_is_reported_on_its_own_claim() {
    use ClaimErrorCode as E;
    type Expected = &'static [(&'static str, E)];
    let cases: &[(&str, &str, Expected)] = &[
        ("姓名", "", &[("姓名", E::Missing)]),
        ("姓名", "章\t三", &[("姓名", E::ControlCharacter)]),
        ("姓名", "章\n三", &[("姓名", E::ControlCharacter)]),
        ("姓名", "章\u{202e}三", &[("姓名", E::InvisibleCharacter)]),
        ("姓名", "章\u{200b}三", &[("姓名", E::InvisibleCharacter)]),
        ("姓名", " 章三", &[("姓名", E::SurroundingSpace)]),
        ("姓名", "Jose\u{301}", &[("姓名", E::NotNormalised)]),
        ("姓名", "=HYPERLINK(\"x\")", &[("姓名", E::Formula)]),
        ("姓名", "+1", &[("姓名", E::Formula)]),
        ("姓名", "-1", &[("姓名", E::Formula)]),
        ("姓名", "@x", &[("姓名", E::Formula)]),
        ("性别", "人", &[("性别", E::NotInList)]),
        ("出生日期", "1988-02-30", &[("出生日期", E::NotADate)]),
        ("出生日期", "2000/04/21", &[("出生日期", E::DateForm)]),
        ("出生日期", "2000-04-22", &[("出生日期", E::BirthDateMismatch)]),
        ("初次领证日期", "长期", &[("初次领证日期", E::NotADate)]),
        ("准驾车型", "Z9", &[("准驾车型", E::NotInList)]),
        ("准驾车型", "C1Z9", &[("准驾车型", E::NotInList)]),
        ("准驾车型", "C1 E", &[("准驾车型", E::NotInList)]),
        ("准驾车型", "C1EC1", &[("准驾车型", E::RepeatedClass)]),
        ("有效期起", "2024/03/01", &[("有效期起", E::DateForm)]),
        ("有效期止", "2019-01-01", &[("有效期止", E::EndsBeforeItBegins)]),
        ("证号", "449999200004216908", &[("证号", E::CheckDigit)]),
        ("证号", "44999920000421690", &[("证号", E::BadForm)]),
        ("车牌", "粤A", &[("车牌", E::UnknownClaim)]),
        ("准驾车型", "C1E", &[]),
        ("准驾车型", "A1A2", &[]),
        ("准驾车型", "M", &[]),
        ("有效期止", "长期", &[]),
        ("有效期止", "2022-11-11", &[]),
        ("姓名", "买买提·艾力", &[]),
    ];
    for (name, value, expected) in cases {
        let mut given = good();
        given.insert((*name).to_owned(), (*value).to_owned());
        let expected: Vec<_> = expected.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect();
        assert_eq!(faults(&driving(), &given), expected, "{name} = {value:?}");
    }
}

#[test]
fn length_is_counted_in_characters() {
    let mut given = good();
    given.insert("住址".to_owned(), "很".repeat(200));
    assert_eq!(faults(&driving(), &given), []);
    given.insert("住址".to_owned(), "很".repeat(201));
    assert_eq!(faults(&driving(), &given), [("住址".to_owned(), ClaimErrorCode::TooLong)]);
}

#[test]
fn all_faults_of_a_row_are_reported_at_once() {
    let mut given = good();
    for (name, value) in [("姓名", ""), ("准驾车型", "Z9"), ("有效期止", "soon"), ("x", "1")]
    {
        given.insert(name.to_owned(), value.to_owned());
    }
    let labels: Vec<String> = faults(&driving(), &given).into_iter().map(|(l, _)| l).collect();
    assert_eq!(labels, ["姓名", "准驾车型", "有效期止", "x"]);
}

#[test]
fn a_claim_given_twice_is_refused() {
    let mut given = good();
    given.insert("name".to_owned(), "章三".to_owned());
    assert_eq!(faults(&driving(), &given), [("姓名".to_owned(), ClaimErrorCode::DuplicateClaim)]);
}

#[test]
fn other_types_have_their_own_rules() {
    let construction_row = rows(
        "姓名,性别,身份证号,企业名称,岗位类别,证书编号,初次领证日期,有效期起,有效期止",
        "戴菁咏,男,449999199102211354,岭南建设工程有限公司,B证,粤建安B（2026）0000000,2016-03-16,2026-05-22,2029-05-22",
    );
    assert_eq!(faults(&construction(), &construction_row), []);

    let mut firm = rows(
        "统一社会信用代码,名称,类型,法定代表人,成立日期,住所,经营范围",
        "91449999G2HB5KX2MH,深圳启明餐饮有限公司,有限责任公司,侯寒秋,2014-08-11,广东省湛江市赤坎区文明里51号,软件开发",
    );
    let claims = validate(&business(), &firm).unwrap();
    assert_eq!((claims.valid_from(), claims.valid_until()), (None, None));
    assert_eq!(claims.get("registered_capital"), None);
    let code = "统一社会信用代码";
    firm.insert(code.to_owned(), "91449999G2HB5KX2MA".to_owned());
    assert_eq!(faults(&business(), &firm), [(code.to_owned(), ClaimErrorCode::CheckDigit)]);
    firm.insert(code.to_owned(), "91449999G2HB5KX2MI".to_owned());
    assert_eq!(faults(&business(), &firm), [(code.to_owned(), ClaimErrorCode::BadForm)]);
}

#[test]
fn nothing_shows_a_value() {
    let claims = validate(&driving(), &good()).unwrap();
    let mut bad = good();
    bad.insert("证号".to_owned(), "449999200004216908".to_owned());
    bad.insert("有效期止".to_owned(), "2019-01-01".to_owned());
    let errors = validate(&driving(), &bad).unwrap_err();
    let shown = format!("{claims:?} {errors:?} {}", errors[0]);
    for value in ["陆园琼", "449999200004", "2000-04-21", "文明里", "2019-01-01"] {
        assert!(!shown.contains(value), "{shown}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(key in "[a-z_]{1,12}|.{0,6}", value in ".{0,40}") {
        let mut given = good();
        for name in ["姓名", "出生日期", "准驾车型", "有效期止", "证号"] {
            given.insert(name.to_owned(), value.clone());
        }
        given.insert(key, value);
        let _ = validate(&driving(), &given);
    }
}
