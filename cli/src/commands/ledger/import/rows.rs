//! Which rows of a file may be issued, and what is wrong with the others.
//!
//! Every row is checked before the first is issued: by itself (the credential crate's rules), and
//! against the rows before it. Values are checked and forgotten; a good row is remembered as its
//! place in the file and its tag. Faults name rows, columns and rules, never values.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use symbolon_credential::{
    claims::{self, ClaimError, ValidClaims},
    lineage,
};
use symbolon_ledger::{catalogue::LicenceTypeRecord, hash::Digest};

use super::source::{Format, Place, Source};
use crate::{issuer::Secret, output::Failure};

/// A row that may be issued.
#[derive(Debug, Clone)]
pub(crate) struct GoodRow {
    /// Where it stands.
    pub(crate) place: Place,
    /// By which an import recognises it.
    pub(crate) tag: Digest,
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    /// The row.
    pub(crate) row: usize,
    /// The column as the file names it; empty for the whole row.
    pub(crate) column: String,
    /// A stable word.
    pub(crate) code: String,
    /// How to mend it.
    pub(crate) hint: String,
}

/// All rows of a file.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// How many there are.
    pub(crate) total: usize,
    /// Those that may be issued.
    pub(crate) good: Vec<GoodRow>,
    /// What is wrong with the others, in order of row.
    pub(crate) faults: Vec<Fault>,
}

impl Checked {
    /// How many rows are at fault: one row may have several faults.
    pub(crate) fn rejected(&self) -> usize {
        self.total - self.good.len()
    }
}

/// Refuses a CSV whose header does not fit the type: every row would be wrong.
///
/// # Errors
///
/// When a column is unknown or named twice, or a mandatory claim has none.
pub(crate) fn check_header(
    source: &Source,
    licence_type: &LicenceTypeRecord,
) -> Result<(), Failure> {
    if source.format != Format::Csv {
        return Ok(());
    }
    let labels: Vec<&str> = licence_type.claims.iter().map(|c| c.label_zh.as_str()).collect();
    let accepted = format!("the columns of {} are: {}", licence_type.code, labels.join(","));
    let refuse = |code: &str, what: String| Err(Failure::usage(code, what, accepted.clone()));
    let mut keys = Vec::new();
    for column in &source.columns {
        let Some(spec) = claims::find(licence_type, column) else {
            if source.columns.len() == 1 && column.contains(['\t', ';']) {
                return Err(Failure::usage(
                    "other_separator",
                    "row 1: the columns are separated by tabs or semicolons, not by commas",
                    "save the file as CSV with commas between the columns",
                ));
            }
            let shown: String = column.chars().filter(|c| !c.is_control()).take(40).collect();
            return refuse("unknown_column", format!("row 1: no claim is called \"{shown}\""));
        };
        if keys.contains(&&spec.key) {
            return refuse("duplicate_column", format!("row 1: {} stands twice", spec.label_zh));
        }
        keys.push(&spec.key);
    }
    let missing = licence_type.claims.iter().find(|c| c.mandatory && !keys.contains(&&c.key));
    match missing {
        Some(spec) => refuse(
            "missing_column",
            format!("row 1: the mandatory column {} ({}) is missing", spec.label_zh, spec.key),
        ),
        None => Ok(()),
    }
}

/// Checks every row.
pub(crate) fn check(source: &Source, licence_type: &LicenceTypeRecord, secret: &Secret) -> Checked {
    let mut checked = Checked::default();
    let mut seen: BTreeMap<Digest, usize> = BTreeMap::new();
    for place in source.rows() {
        checked.total += 1;
        let row = place.row;
        match read(source, licence_type, &place) {
            Err(faults) => checked.faults.extend(faults),
            Ok(claims) => {
                let tag = tag(secret, &claims);
                if let Some(first) = seen.get(&tag) {
                    checked.faults.push(Fault {
                        row,
                        column: unique_column(source, licence_type),
                        code: "duplicate_row".to_owned(),
                        hint: format!("the same licence as row {first}; remove one of the two"),
                    });
                } else {
                    seen.insert(tag, row);
                    checked.good.push(GoodRow { place, tag });
                }
            }
        }
    }
    checked
}

/// The claims of a row.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn read(
    source: &Source,
    licence_type: &LicenceTypeRecord,
    place: &Place,
) -> Result<ValidClaims, Vec<Fault>> {
    let row = place.row;
    let cells = source.cells(place).map_err(|fault| {
        let code = fault.code.to_owned();
        vec![Fault { row, column: fault.column, code, hint: fault.hint }]
    })?;
    claims::validate(licence_type, &cells).map_err(|errors| {
        let fault = |error: ClaimError| Fault {
            row,
            column: column_of(cells.keys(), licence_type, &error),
            code: error.code.to_string(),
            hint: error.hint,
        };
        errors.into_iter().map(fault).collect()
    })
}

/// The column of a claim as the file names it, or its label where the file has none.
fn column_of<'c>(
    mut columns: impl Iterator<Item = &'c String>,
    licence_type: &LicenceTypeRecord,
    error: &ClaimError,
) -> String {
    let is_it = |column: &&String| {
        claims::find(licence_type, column).is_some_and(|spec| spec.key.as_str() == error.key)
    };
    columns.find(is_it).cloned().unwrap_or_else(|| error.label_zh.clone())
}

/// The column that tells licences apart.
fn unique_column(source: &Source, licence_type: &LicenceTypeRecord) -> String {
    let Some(spec) = licence_type.claims.iter().find(|c| c.unique) else { return String::new() };
    let named = |column: &&String| claims::find(licence_type, column) == Some(spec);
    source.columns.iter().find(named).cloned().unwrap_or_else(|| spec.label_zh.to_string())
}

/// A row's tag: an HMAC over the claims that the catalogue calls unique, or over all claims of a
/// type that has none.
pub(crate) fn tag(secret: &Secret, claims: &ValidClaims) -> Digest {
    if let Some(tag) = lineage::row(&secret.tags, claims) {
        return tag;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes.as_slice())
        .expect("HMAC takes a key of any length");
    mac.update(b"row of all claims\0");
    mac.update(claims.type_code().as_str().as_bytes());
    for (key, value) in claims.iter() {
        // NUL cannot occur in a key or a value, so the parts cannot run into one another.
        for part in ["\0", key, "\0", value] {
            mac.update(part.as_bytes());
        }
    }
    Digest(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    use symbolon_credential::lineage::TagSecret;
    use symbolon_genesis::presets;
    use zeroize::Zeroizing;

    use super::super::source::Declared;

    /// The sample files, and what is wrong with them: total rows, then the faults.
    fn sample(name: &str, code: &str) -> (usize, Vec<Fault>) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data").join(name);
        let source = Source::read(&path, Declared { format: None, encoding: None }).unwrap();
        let catalogue = presets::catalogue();
        let licence_type = catalogue.iter().find(|t| t.code.as_str() == code).unwrap();
        check_header(&source, licence_type).unwrap();
        let bytes = Zeroizing::new([7; 32]);
        let secret = Secret { tags: TagSecret::from_bytes(*bytes), bytes };
        let checked = check(&source, licence_type, &secret);
        assert_eq!(checked.rejected(), checked.total - checked.good.len());
        (checked.total, checked.faults)
    }

    #[test]
    fn the_good_sample_files_have_no_fault() {
        for (name, code, rows) in [
            ("driving-licences.csv", "local:driving-licence", 2_000),
            ("construction-safety.gb18030.csv", "11100000000013338W011", 500),
            ("business-licences.jsonl", "11100000MB0143028R001", 300),
        ] {
            assert_eq!(sample(name, code), (rows, Vec::new()), "{name}");
        }
    }

    #[test]
    fn the_bad_rows_are_found_where_they_are() {
        let (total, faults) = sample("driving-with-bad-rows.csv", "local:driving-licence");
        assert_eq!(total, 200);
        let expected = include_str!("../../../../../data/driving-with-bad-rows.expected.csv");
        let wanted: Vec<(String, String)> = expected
            .lines()
            .skip(1)
            .map(|line| line.split(',').take(2).map(str::to_owned).collect::<Vec<_>>())
            .map(|parts| (parts[0].clone(), parts[1].clone()))
            .collect();
        let found: Vec<_> = faults.iter().map(|f| (f.row.to_string(), f.column.clone())).collect();
        assert_eq!(found, wanted);
        let codes: Vec<&str> = faults.iter().map(|f| f.code.as_str()).collect();
        assert_eq!(
            codes,
            [
                "missing",
                "check_digit",
                "not_a_date",
                "ends_before_it_begins",
                "not_in_list",
                "date_form",
                "too_long",
                "control_character",
                "formula",
                "duplicate_row",
                "missing_columns",
                "birth_date_mismatch",
            ]
        );
    }
}
