//! The sample licences against the national catalogue: every good row is accepted, and every bad
//! row is refused in the column that the expected file names.
//!
//! Not here: what only a whole file can show, duplicate rows and missing columns. That is the
//! import's, and is tested with the command line.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;

use symbolon_credential::claims::{ClaimError, ClaimErrorCode, validate};
use symbolon_genesis::presets;
use symbolon_ledger::catalogue::LicenceTypeRecord;

const DRIVING: &[u8] = include_bytes!("../../data/driving-licences.csv");
const CONSTRUCTION: &[u8] = include_bytes!("../../data/construction-safety.gb18030.csv");
const BUSINESS: &str = include_str!("../../data/business-licences.jsonl");
const BAD: &[u8] = include_bytes!("../../data/driving-with-bad-rows.csv");
const EXPECTED: &[u8] = include_bytes!("../../data/driving-with-bad-rows.expected.csv");

type Row = BTreeMap<String, String>;

fn licence_type(code: &str) -> LicenceTypeRecord {
    presets::catalogue().into_iter().find(|t| t.code.as_str() == code).unwrap()
}

/// Rows by number (the header is row 1), without those that have too few columns.
fn rows(text: &str) -> BTreeMap<usize, Row> {
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let named = |record: csv::StringRecord| -> Option<Row> {
        let pair = |(k, v): (&str, &str)| (k.to_owned(), v.to_owned());
        (record.len() == header.len()).then(|| header.iter().zip(&record).map(pair).collect())
    };
    let records = reader.records().map(|r| named(r.unwrap()));
    records.enumerate().filter_map(|(i, row)| row.map(|r| (i + 2, r))).collect()
}

fn refused(licence_type: &LicenceTypeRecord, row: &Row) -> Vec<ClaimError> {
    validate(licence_type, row).err().unwrap_or_default()
}

#[test]
fn every_good_row_is_accepted() {
    let (gb18030, _, wrong) = encoding_rs::GB18030.decode(CONSTRUCTION);
    assert!(!wrong);
    let business: BTreeMap<usize, Row> =
        BUSINESS.lines().map(|l| serde_json::from_str(l).unwrap()).enumerate().collect();
    let files = [
        ("local:driving-licence", rows(std::str::from_utf8(DRIVING).unwrap()), 2_000),
        ("11100000000013338W011", rows(&gb18030), 500),
        ("11100000MB0143028R001", business, 300),
    ];
    for (code, rows, count) in files {
        assert_eq!(rows.len(), count, "{code}");
        let licence_type = licence_type(code);
        for (number, row) in &rows {
            assert_eq!(refused(&licence_type, row), [], "{code} row {number}");
        }
    }
}

#[test]
fn every_bad_row_is_refused_in_its_column() {
    use ClaimErrorCode as E;
    let why = |words: &str| match words {
        "empty mandatory field" => E::Missing,
        "check digit wrong" => E::CheckDigit,
        "not a date" => E::NotADate,
        "ends before it begins" => E::EndsBeforeItBegins,
        "not in the list of classes" => E::NotInList,
        "date in another form" => E::DateForm,
        "too long" => E::TooLong,
        "control character" => E::ControlCharacter,
        "formula" => E::Formula,
        other => {
            assert_eq!(other, "birth date and number disagree");
            E::BirthDateMismatch
        }
    };
    let expected: BTreeMap<usize, (String, E)> = csv::Reader::from_reader(EXPECTED)
        .records()
        .map(Result::unwrap)
        .filter(|r| !r[2].contains("same licence") && !r[2].contains("missing"))
        .map(|r| (r[0].parse().unwrap(), (r[1].to_owned(), why(&r[2]))))
        .collect();
    assert_eq!(expected.len(), 10);
    let licence_type = licence_type("local:driving-licence");
    for (number, row) in rows(std::str::from_utf8(BAD).unwrap()) {
        let found: Vec<_> =
            refused(&licence_type, &row).into_iter().map(|e| (e.label_zh, e.code)).collect();
        let expected: Vec<_> = expected.get(&number).cloned().into_iter().collect();
        assert_eq!(found, expected, "row {number}");
    }
}
