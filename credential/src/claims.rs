//! What a licence says, checked against its type's catalogue entry before it is signed.
//!
//! [`validate`] reports *every* claim at fault at once, each with a stable code and a hint, so that
//! an agency mends a file in one pass. It knows single licences only: duplicate rows and missing
//! columns are the importer's to find. No error and no `Debug` form shows a value.
//!
//! Values are kept byte for byte as the agency gave them; nothing is trimmed or normalised
//! silently, because what is signed must be what the agency's register says.

use std::{collections::BTreeMap, fmt};

use symbolon_ledger::{
    catalogue::{ClaimRole, ClaimSpec, ClaimType, LicenceTypeRecord},
    codes::{CodeError, Label, Month, TypeCode, Uscc, is_invisible},
};
use thiserror::Error;
use unicode_normalization::is_nfc;

use crate::{
    date::{self, Date, NO_EXPIRY},
    identifier::{ResidentIdError, birth_date},
};

/// What is wrong with a claim. The text form is stable: programs compare it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClaimErrorCode {
    /// Mandatory and absent or empty.
    Missing,
    /// The type has no such claim.
    UnknownClaim,
    /// The same claim twice, under its key and its label.
    DuplicateClaim,
    /// A control character, such as a line break or a tab.
    ControlCharacter,
    /// A character that does not show or that reorders others.
    InvisibleCharacter,
    /// Not in Unicode NFC.
    NotNormalised,
    /// White space at the beginning or the end.
    SurroundingSpace,
    /// Begins with `=`, `+`, `-` or `@`: a spreadsheet would run it.
    Formula,
    /// More characters than the claim may have.
    TooLong,
    /// No such day, or no date at all.
    NotADate,
    /// A date, but not as `YYYY-MM-DD`.
    DateForm,
    /// Not in the catalogue's list.
    NotInList,
    /// A class named twice.
    RepeatedClass,
    /// Not the form of an identity number or credit code.
    BadForm,
    /// The check character is wrong.
    CheckDigit,
    /// The last day is before the first.
    EndsBeforeItBegins,
    /// The birth date is not the one in the holder's number.
    BirthDateMismatch,
}

impl ClaimErrorCode {
    /// The stable text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::UnknownClaim => "unknown_claim",
            Self::DuplicateClaim => "duplicate_claim",
            Self::ControlCharacter => "control_character",
            Self::InvisibleCharacter => "invisible_character",
            Self::NotNormalised => "not_normalised",
            Self::SurroundingSpace => "surrounding_space",
            Self::Formula => "formula",
            Self::TooLong => "too_long",
            Self::NotADate => "not_a_date",
            Self::DateForm => "date_form",
            Self::NotInList => "not_in_list",
            Self::RepeatedClass => "repeated_class",
            Self::BadForm => "bad_form",
            Self::CheckDigit => "check_digit",
            Self::EndsBeforeItBegins => "ends_before_it_begins",
            Self::BirthDateMismatch => "birth_date_mismatch",
        }
    }
}

impl fmt::Display for ClaimErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One claim at fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{key}: {code}: {hint}")]
pub struct ClaimError {
    /// The claim's key; for an unknown claim, the name that was given.
    pub key: String,
    /// The claim's Chinese label; for an unknown claim, the name that was given.
    pub label_zh: String,
    /// What is wrong.
    pub code: ClaimErrorCode,
    /// How to mend it. Never contains the value.
    pub hint: String,
}

/// The claims of one licence, in catalogue order, all of them valid.
#[derive(Clone, PartialEq, Eq)]
pub struct ValidClaims {
    type_code: TypeCode,
    values: Vec<(Label, String)>,
    unique: Vec<Label>,
    valid_from: Option<Date>,
    valid_until: Option<Date>,
}

impl ValidClaims {
    /// The type that they are valid for.
    #[must_use]
    pub fn type_code(&self) -> &TypeCode {
        &self.type_code
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    /// Every claim present, key and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// The claims that together name one licence.
    pub fn unique(&self) -> impl Iterator<Item = (&str, &str)> {
        let unique = |key: &str| self.unique.iter().any(|u| u.as_str() == key);
        self.iter().filter(move |(key, _)| unique(key))
    }

    /// The first day of validity, if the type has such a claim.
    #[must_use]
    pub fn valid_from(&self) -> Option<Date> {
        self.valid_from
    }

    /// The last day of validity; `None` for no expiry.
    #[must_use]
    pub fn valid_until(&self) -> Option<Date> {
        self.valid_until
    }

    /// The month of expiry that the ledger records; `None` for no expiry.
    #[must_use]
    pub fn expiry_month(&self) -> Option<Month> {
        self.valid_until.map(date::month_of)
    }
}

impl fmt::Debug for ValidClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = self.iter().map(|(k, _)| k).collect();
        write!(f, "ValidClaims({} {keys:?})", self.type_code)
    }
}

/// The claim that a column or a JSON key names: by its key or by its Chinese label.
#[must_use]
pub fn find<'t>(licence_type: &'t LicenceTypeRecord, name: &str) -> Option<&'t ClaimSpec> {
    let named = |c: &&ClaimSpec| c.key.as_str() == name || c.label_zh.as_str() == name;
    licence_type.claims.iter().find(named)
}

/// Checks the claims of one licence, given by key or by Chinese label. An empty value counts as
/// absent.
///
/// # Errors
///
/// Every claim at fault: first by itself, in catalogue order, with the first rule that it breaks;
/// then those that disagree with another; then the unknown ones.
pub fn validate(
    licence_type: &LicenceTypeRecord,
    given: &BTreeMap<String, String>,
) -> Result<ValidClaims, Vec<ClaimError>> {
    let mut errors = Vec::new();
    let mut values = Vec::new();
    let mut dates = Dates::default();
    for spec in &licence_type.claims {
        match read(spec, given) {
            Ok(Some(value)) => {
                dates.note(spec, value);
                values.push((spec.key.clone(), value.to_owned()));
            }
            Ok(None) => {}
            Err((code, hint)) => errors.push(error_of(spec, code, hint)),
        }
    }
    dates.compare(&mut errors);
    let unknown = given.keys().filter(|name| find(licence_type, name).is_none());
    errors.extend(unknown.map(|name| ClaimError {
        key: name.clone(),
        label_zh: name.clone(),
        code: ClaimErrorCode::UnknownClaim,
        hint: format!("{} has no such claim; remove it", licence_type.code),
    }));
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(ValidClaims {
        type_code: licence_type.code.clone(),
        values,
        unique: licence_type.claims.iter().filter(|c| c.unique).map(|c| c.key.clone()).collect(),
        valid_from: dates.valid_from.map(|(_, d)| d),
        valid_until: dates.valid_until.map(|(_, d)| d),
    })
}

fn error_of(spec: &ClaimSpec, code: ClaimErrorCode, hint: String) -> ClaimError {
    ClaimError { key: spec.key.to_string(), label_zh: spec.label_zh.to_string(), code, hint }
}

type Fault = (ClaimErrorCode, String);

/// The value given for `spec`, checked; `None` when it is absent and may be.
fn read<'g>(
    spec: &ClaimSpec,
    given: &'g BTreeMap<String, String>,
) -> Result<Option<&'g str>, Fault> {
    let by_key = given.get(spec.key.as_str());
    let by_label = given.get(spec.label_zh.as_str());
    if by_key.is_some() && by_label.is_some() && spec.key != spec.label_zh {
        let hint = format!("give it once, as {} or as {}", spec.key, spec.label_zh);
        return Err((ClaimErrorCode::DuplicateClaim, hint));
    }
    match by_key.or(by_label).map(String::as_str).filter(|v| !v.is_empty()) {
        Some(value) => check_value(&spec.value, value).map(|()| Some(value)),
        None if spec.mandatory => {
            Err((ClaimErrorCode::Missing, "mandatory; give a value".to_owned()))
        }
        None => Ok(None),
    }
}

/// Checks one value against its claim's form.
fn check_value(form: &ClaimType, value: &str) -> Result<(), Fault> {
    check_characters(value)?;
    match form {
        ClaimType::Text { max } => check_text(value, *max),
        ClaimType::Date => check_date(value),
        ClaimType::EndDate if value == NO_EXPIRY => Ok(()),
        ClaimType::EndDate => check_date(value),
        ClaimType::Choice { of } => check_choice(value, of),
        ClaimType::Classes { of } => check_classes(value, of),
        ClaimType::Uscc => check_uscc(value),
        ClaimType::ResidentId => check_resident_id(value),
    }
}

fn fault<T>(code: ClaimErrorCode, hint: impl Into<String>) -> Result<T, Fault> {
    Err((code, hint.into()))
}

/// What no value may contain, whatever its form.
fn check_characters(value: &str) -> Result<(), Fault> {
    if value.chars().any(char::is_control) {
        return fault(
            ClaimErrorCode::ControlCharacter,
            "remove line breaks, tabs and other control characters",
        );
    }
    if value.chars().any(is_invisible) {
        return fault(
            ClaimErrorCode::InvisibleCharacter,
            "remove zero-width, bidirectional and private-use characters",
        );
    }
    if value.trim() != value {
        return fault(ClaimErrorCode::SurroundingSpace, "remove the spaces around the value");
    }
    if !is_nfc(value) {
        return fault(ClaimErrorCode::NotNormalised, "write the value in Unicode NFC");
    }
    Ok(())
}

fn check_text(value: &str, max: u32) -> Result<(), Fault> {
    // Verifiers paste what they read into spreadsheets, which run a cell that begins like this.
    if value.starts_with(['=', '+', '-', '@']) {
        return fault(ClaimErrorCode::Formula, "a text must not begin with =, +, - or @");
    }
    let count = value.chars().count();
    if count > usize::try_from(max).unwrap_or(usize::MAX) {
        let hint = format!("{count} characters, more than the {max} allowed; shorten it");
        return fault(ClaimErrorCode::TooLong, hint);
    }
    Ok(())
}

fn check_date(value: &str) -> Result<(), Fault> {
    if date::parse(value).is_some() {
        Ok(())
    } else if date::is_another_form(value) {
        fault(ClaimErrorCode::DateForm, "write dates as YYYY-MM-DD, such as 2024-03-01")
    } else {
        fault(ClaimErrorCode::NotADate, "no such day; give one as YYYY-MM-DD, such as 2024-03-01")
    }
}

fn listed(of: &[Label]) -> String {
    of.iter().map(Label::as_str).collect::<Vec<_>>().join(" ")
}

fn check_choice(value: &str, of: &[Label]) -> Result<(), Fault> {
    if of.iter().any(|label| label.as_str() == value) {
        return Ok(());
    }
    fault(ClaimErrorCode::NotInList, format!("one of: {}", listed(of)))
}

/// Classes stand one after another without a separator. The longest name that fits is taken, so
/// that `A1A2` is two classes whatever else the list holds.
fn check_classes(value: &str, of: &[Label]) -> Result<(), Fault> {
    let mut rest = value;
    let mut seen: Vec<&str> = Vec::new();
    while !rest.is_empty() {
        let fits = of.iter().map(Label::as_str).filter(|class| rest.starts_with(class));
        let Some(class) = fits.max_by_key(|class| class.len()) else {
            let hint = format!("one or more, joined without a separator, of: {}", listed(of));
            return fault(ClaimErrorCode::NotInList, hint);
        };
        if seen.contains(&class) {
            return fault(ClaimErrorCode::RepeatedClass, "name each class once");
        }
        seen.push(class);
        rest = &rest[class.len()..];
    }
    Ok(())
}

fn check_uscc(value: &str) -> Result<(), Fault> {
    match value.parse::<Uscc>() {
        Ok(_) => Ok(()),
        Err(e @ CodeError::UsccCheck { .. }) => fault(ClaimErrorCode::CheckDigit, e.to_string()),
        Err(e) => fault(ClaimErrorCode::BadForm, e.to_string()),
    }
}

fn check_resident_id(value: &str) -> Result<(), Fault> {
    match birth_date(value) {
        Ok(_) => Ok(()),
        Err(e @ ResidentIdError::Check) => {
            fault(ClaimErrorCode::CheckDigit, format!("{e}; compare it with the document"))
        }
        Err(e) => fault(ClaimErrorCode::BadForm, e.to_string()),
    }
}

/// The dates that are compared with one another once each is valid by itself.
#[derive(Default)]
struct Dates<'t> {
    valid_from: Option<(&'t ClaimSpec, Date)>,
    valid_until: Option<(&'t ClaimSpec, Date)>,
    birth_date: Option<(&'t ClaimSpec, Date)>,
    in_number: Option<(&'t ClaimSpec, Date)>,
}

impl<'t> Dates<'t> {
    fn note(&mut self, spec: &'t ClaimSpec, value: &str) {
        let day = date::parse(value).map(|d| (spec, d));
        match spec.role {
            Some(ClaimRole::ValidFrom) => self.valid_from = day,
            Some(ClaimRole::ValidUntil) => self.valid_until = day,
            Some(ClaimRole::BirthDate) => self.birth_date = day,
            Some(ClaimRole::HolderNumber) => {
                self.in_number = birth_date(value).ok().map(|d| (spec, d));
            }
            None => {}
        }
    }

    fn compare(&self, errors: &mut Vec<ClaimError>) {
        if let (Some((from, first)), Some((until, last))) = (self.valid_from, self.valid_until)
            && last < first
        {
            let hint = format!("must not be before {}", from.label_zh);
            errors.push(error_of(until, ClaimErrorCode::EndsBeforeItBegins, hint));
        }
        if let (Some((birth, stated)), Some((number, inside))) = (self.birth_date, self.in_number)
            && stated != inside
        {
            let hint = format!("must be the date of birth in {}", number.label_zh);
            errors.push(error_of(birth, ClaimErrorCode::BirthDateMismatch, hint));
        }
    }
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
