//! Licence types as TOML: `[[licence_types]]` with their claims, read and written.
//!
//! The same text shows entries that were decided later ([`facts`]), and reads those that are to be
//! ([`parse`]). An entry is checked here for whatever would make it unusable later: a claim twice, a role on
//! a value of another form, a default that shows what may never be shown, or what only the holder
//! may decide to show. Whether a code is the nation's own is data (`verified`, `source`), not a rule.

use std::{collections::BTreeSet, fmt::Write as _};

use serde_json::json;
use symbolon_ledger::{
    catalogue::{
        ClaimRole, ClaimSpec, ClaimType, Disclosure, LicenceTypeRecord, MAX_CHOICES, MAX_CLAIMS,
        MAX_DEFAULT_SENSITIVITY, MAX_KEY_LEN, MAX_TEXT_CHARS, RESERVED_KEYS,
    },
    codec,
    codes::{Label, TypeCode},
    records::{MAX_RECORD_BYTES, RECORD_VERSION},
};

use crate::{
    document,
    reader::{Fields, Problem, Reader, Word},
};

/// Reads one `[[licence_types]]`.
pub(crate) fn read(reader: &Reader, fields: Fields<'_>) -> Option<LicenceTypeRecord> {
    let line = fields.line;
    let code = fields.parsed::<TypeCode>("code", "11100000000013338W011");
    let schema_version = fields.number("schema_version", Some(1), 1..=u64::from(u32::MAX));
    let name_zh = fields.parsed("name_zh", "机动车驾驶证");
    let name_en = fields.parsed("name_en", "Driving licence");
    let authority = fields.optional_word("authority", "11100000000013338W");
    let authority = authority.map(|word| word.parse(reader));
    let verified = fields.flag("verified", None);
    let source = fields.parsed("source", "where the code was read, or why there is none");
    let national = fields.flag("national", Some(false));
    let public_subject = fields.flag("public_subject", Some(false));
    let suspendable = fields.flag("suspendable", Some(true));
    let transferable = fields.flag("transferable", Some(true));
    let given = fields.tables("claims", MAX_CLAIMS);
    let count = given.len();
    let claims: Vec<ClaimSpec> = given.into_iter().filter_map(|f| read_claim(reader, f)).collect();
    let shown = fields.words("default_disclosure");
    fields.finish();
    if count == 0 {
        let hint = "add at least one: claims = [{ key = \"name\", … }]";
        reader.report(Some(line), "a licence type without claims", hint);
    }
    // What is wrong with a claim is told above; comparing the rest would only repeat it.
    let whole = claims.len() == count;
    let is_public = public_subject.unwrap_or(false);
    if whole {
        check_claims(reader, line, &claims);
        check_open_claims(reader, line, &claims, is_public);
    }
    let default_disclosure = read_defaults(reader, &shown, &claims, whole, is_public);
    let record = LicenceTypeRecord {
        version: RECORD_VERSION,
        index: 0,
        code: code?,
        schema_version: u32::try_from(schema_version?).ok()?,
        name_zh: name_zh?,
        name_en: name_en?,
        authority: authority.map_or(Some(None), |a| a.map(Some))?,
        verified: verified?,
        source: source?,
        national: national?,
        public_subject: public_subject?,
        suspendable: suspendable?,
        transferable: transferable?,
        claims,
        default_disclosure,
    };
    let size = codec::encode(&record).len();
    if size > MAX_RECORD_BYTES {
        let what = format!("the type {} takes {size} bytes of the state", record.code);
        reader.report(Some(line), what, format!("shorten it to {MAX_RECORD_BYTES}"));
    }
    Some(record)
}

fn read_claim(reader: &Reader, fields: Fields<'_>) -> Option<ClaimSpec> {
    let key = fields.word("key", "name").and_then(|word| read_key(reader, word));
    let label_zh = fields.parsed("label_zh", "姓名");
    let label_en = fields.parsed("label_en", "Name");
    let value = read_form(reader, &fields);
    let mandatory = fields.flag("mandatory", Some(true));
    let disclosure = one_of(reader, fields.optional_word("disclosure", "allowed"), &DISCLOSURES);
    let sensitivity = fields.number("sensitivity", None, 1..=4);
    let unique = fields.flag("unique", Some(false));
    let role = one_of(reader, fields.optional_word("role", "valid_from"), &ROLES);
    let line = fields.line;
    fields.finish();
    let claim = ClaimSpec {
        key: key?,
        label_zh: label_zh?,
        label_en: label_en?,
        value: value?,
        mandatory: mandatory?,
        disclosure: disclosure?.unwrap_or(Disclosure::Allowed),
        sensitivity: u8::try_from(sensitivity?).ok()?,
        unique: unique?,
        role: role?,
    };
    check_role(reader, line, &claim);
    Some(claim)
}

const DISCLOSURES: [(&str, Disclosure); 3] = [
    ("allowed", Disclosure::Allowed),
    ("always", Disclosure::Always),
    ("never", Disclosure::Never),
];

const ROLES: [(&str, ClaimRole); 4] = [
    ("valid_from", ClaimRole::ValidFrom),
    ("valid_until", ClaimRole::ValidUntil),
    ("birth_date", ClaimRole::BirthDate),
    ("holder_number", ClaimRole::HolderNumber),
];

const FORMS: [&str; 7] = ["text", "date", "end_date", "choice", "classes", "uscc", "resident_id"];

/// The meaning of a word in a list; `Some(None)` when no word was given.
fn one_of<T: Copy>(
    reader: &Reader,
    word: Option<Word<'_>>,
    list: &[(&str, T)],
) -> Option<Option<T>> {
    let Some(word) = word else { return Some(None) };
    let found = list.iter().find(|(name, _)| *name == word.text);
    if found.is_none() {
        let names: Vec<&str> = list.iter().map(|(name, _)| *name).collect();
        let what = format!("{} cannot stand here", json!(word.text));
        reader.report(Some(word.line), what, format!("give one of: {}", names.join(", ")));
    }
    found.map(|(_, meaning)| Some(*meaning))
}

fn read_key(reader: &Reader, word: Word<'_>) -> Option<Label> {
    let form = word.text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    let why = if !form || !(1..=MAX_KEY_LEN).contains(&word.text.len()) {
        format!("a claim's key has 1 to {MAX_KEY_LEN} of a-z, 0-9 and _")
    } else if RESERVED_KEYS.contains(&word.text) {
        "this name has another meaning in a credential; choose another".to_owned()
    } else {
        return word.parse(reader);
    };
    reader.report(Some(word.line), format!("{} cannot be a claim's key", json!(word.text)), why);
    None
}

fn read_form(reader: &Reader, fields: &Fields<'_>) -> Option<ClaimType> {
    let word = fields.word("type", "text")?;
    let form = match word.text {
        "text" => {
            let max = fields.number("max", None, 1..=u64::from(MAX_TEXT_CHARS))?;
            ClaimType::Text { max: u32::try_from(max).ok()? }
        }
        "date" => ClaimType::Date,
        "end_date" => ClaimType::EndDate,
        "choice" => ClaimType::Choice { of: read_choices(reader, fields)? },
        "classes" => ClaimType::Classes { of: read_choices(reader, fields)? },
        "uscc" => ClaimType::Uscc,
        "resident_id" => ClaimType::ResidentId,
        other => {
            let what = format!("{} is no form of a claim", json!(other));
            reader.report(Some(word.line), what, format!("give one of: {}", FORMS.join(", ")));
            return None;
        }
    };
    Some(form)
}

fn read_choices(reader: &Reader, fields: &Fields<'_>) -> Option<Vec<Label>> {
    let words = fields.words("of");
    let choices: Vec<Label> = words.iter().filter_map(|word| word.parse(reader)).collect();
    let different: BTreeSet<&Label> = choices.iter().collect();
    if !(1..=MAX_CHOICES).contains(&words.len()) || different.len() != choices.len() {
        let hint = format!("give of = [\"…\"] with 1 to {MAX_CHOICES} different texts");
        reader.report(Some(fields.line), "this claim's values are not a list of choices", hint);
    }
    (choices.len() == words.len()).then_some(choices)
}

/// A role tells the program how to read a value, so the value must have that form.
fn check_role(reader: &Reader, line: usize, claim: &ClaimSpec) {
    let fits = match claim.role {
        None => true,
        Some(ClaimRole::ValidFrom | ClaimRole::BirthDate) => claim.value == ClaimType::Date,
        Some(ClaimRole::ValidUntil) => matches!(claim.value, ClaimType::Date | ClaimType::EndDate),
        Some(ClaimRole::HolderNumber) => claim.value == ClaimType::ResidentId,
    };
    if !fits {
        let hint = "valid_from and birth_date need type date; valid_until date or end_date; \
                    holder_number resident_id";
        reader.report(Some(line), format!("the role of {} does not fit its type", claim.key), hint);
    }
}

/// What must hold between the claims of one type.
fn check_claims(reader: &Reader, line: usize, claims: &[ClaimSpec]) {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for claim in claims {
        // A column is named by key or by label, so none of them may mean two claims.
        let both = [claim.key.as_str(), claim.label_zh.as_str()];
        let new = names.insert(both[0]) & (both[0] == both[1] || names.insert(both[1]));
        if !new {
            let what = format!("the key or label of {} names two claims", claim.key);
            reader.report(Some(line), what, "give each claim its own key and Chinese label");
        }
    }
    for (name, role) in ROLES {
        if claims.iter().filter(|c| c.role == Some(role)).count() > 1 {
            reader.report(Some(line), format!("two claims have the role {name}"), "keep one");
        }
    }
}

/// A claim that nobody can withhold is shown by default too.
fn check_open_claims(reader: &Reader, line: usize, claims: &[ClaimSpec], public_subject: bool) {
    let sensitive = |c: &&ClaimSpec| {
        c.disclosure == Disclosure::Always && c.sensitivity > MAX_DEFAULT_SENSITIVITY
    };
    for claim in claims.iter().filter(sensitive).filter(|_| !public_subject) {
        let what = format!("{} is always shown, and its sensitivity is 3 or 4", claim.key);
        let hint = "let the holder choose (disclosure = \"allowed\"); only types with a public \
                    subject may show it always";
        reader.report(Some(line), what, hint);
    }
}

fn read_defaults(
    reader: &Reader,
    shown: &[Word<'_>],
    claims: &[ClaimSpec],
    whole: bool,
    public_subject: bool,
) -> Vec<Label> {
    let mut defaults: Vec<Label> = Vec::new();
    for word in shown {
        let claim = claims.iter().find(|c| c.key.as_str() == word.text);
        let why = match claim {
            None if whole => "no claim has this key",
            None => continue,
            Some(c) if c.disclosure == Disclosure::Never => "this claim may never be shown",
            Some(c) if !public_subject && c.sensitivity > MAX_DEFAULT_SENSITIVITY => {
                "its sensitivity is 3 or 4, and the type has no public subject"
            }
            Some(c) if defaults.contains(&c.key) => "it stands here twice",
            Some(c) => {
                defaults.push(c.key.clone());
                continue;
            }
        };
        let what = format!("{} cannot be shown by default: {why}", json!(word.text));
        reader.report(Some(word.line), what, "correct or remove it");
    }
    defaults
}

/// Reads a text of `[[licence_types]]` and nothing else, in ascending order of their codes. They
/// have no number: the chain gives it.
///
/// # Errors
///
/// Everything that is wrong with it, by line; never an empty list.
pub fn parse(text: &str) -> Result<Vec<LicenceTypeRecord>, Vec<Problem>> {
    let reader = document::open(text)?;
    let table = reader.parse(text);
    let fields = Fields::new(&reader, &table, "the catalogue");
    let (mut types, _) = document::read_types(&reader, &fields);
    fields.finish();
    if types.is_empty() {
        reader.report(None, "no licence type", "add at least one [[licence_types]]");
    }
    let problems = reader.into_problems();
    types.iter_mut().for_each(|record| record.index = 0);
    if problems.is_empty() { Ok(types) } else { Err(problems) }
}

/// What an entry says, each thing with its name: the lines of its text.
#[must_use]
pub fn facts(record: &LicenceTypeRecord) -> Vec<(String, String)> {
    let mut text = String::new();
    write(&mut text, record);
    let plain = text.lines().filter(|line| !line.starts_with("    "));
    let plain =
        plain.filter_map(|line| line.split_once(" = ")).filter(|(name, _)| *name != "claims");
    let mut facts: Vec<_> = plain.map(|(name, value)| (name.into(), value.into())).collect();
    let claim = |c: &ClaimSpec| (format!("claim {}", c.key), claim_text(c));
    facts.extend(record.claims.iter().map(claim));
    facts
}

/// Writes one `[[licence_types]]`, as [`read`] reads it.
pub(crate) fn write(out: &mut String, record: &LicenceTypeRecord) {
    let mut line = |text: std::fmt::Arguments<'_>| {
        out.write_fmt(text).and_then(|()| out.write_char('\n')).expect("a string takes any text");
    };
    line(format_args!("\n[[licence_types]]"));
    line(format_args!("code = {}", json!(record.code.as_str())));
    line(format_args!("schema_version = {}", record.schema_version));
    line(format_args!("name_zh = {}", json!(record.name_zh.as_str())));
    line(format_args!("name_en = {}", json!(record.name_en.as_str())));
    if let Some(authority) = &record.authority {
        line(format_args!("authority = {}", json!(authority.as_str())));
    }
    line(format_args!("verified = {}", record.verified));
    line(format_args!("source = {}", json!(record.source.as_str())));
    line(format_args!("national = {}", record.national));
    line(format_args!("public_subject = {}", record.public_subject));
    line(format_args!("suspendable = {}", record.suspendable));
    line(format_args!("transferable = {}", record.transferable));
    let shown: Vec<&str> = record.default_disclosure.iter().map(Label::as_str).collect();
    line(format_args!("default_disclosure = {}", json!(shown)));
    line(format_args!("claims = ["));
    for claim in &record.claims {
        line(format_args!("    {{ {} }},", claim_text(claim)));
    }
    line(format_args!("]"));
}

fn claim_text(claim: &ClaimSpec) -> String {
    let mut parts = vec![
        format!("key = {}", json!(claim.key.as_str())),
        format!("label_zh = {}", json!(claim.label_zh.as_str())),
        format!("label_en = {}", json!(claim.label_en.as_str())),
    ];
    let choices = |of: &[Label]| json!(of.iter().map(Label::as_str).collect::<Vec<_>>());
    let form = match &claim.value {
        ClaimType::Text { max } => format!("\"text\", max = {max}"),
        ClaimType::Date => "\"date\"".to_owned(),
        ClaimType::EndDate => "\"end_date\"".to_owned(),
        ClaimType::Choice { of } => format!("\"choice\", of = {}", choices(of)),
        ClaimType::Classes { of } => format!("\"classes\", of = {}", choices(of)),
        ClaimType::Uscc => "\"uscc\"".to_owned(),
        ClaimType::ResidentId => "\"resident_id\"".to_owned(),
    };
    parts.push(format!("type = {form}"));
    if !claim.mandatory {
        parts.push("mandatory = false".to_owned());
    }
    for (name, disclosure) in DISCLOSURES {
        if claim.disclosure == disclosure && disclosure != Disclosure::Allowed {
            parts.push(format!("disclosure = \"{name}\""));
        }
    }
    parts.push(format!("sensitivity = {}", claim.sensitivity));
    if claim.unique {
        parts.push("unique = true".to_owned());
    }
    for (name, role) in ROLES {
        if claim.role == Some(role) {
            parts.push(format!("role = \"{name}\""));
        }
    }
    parts.join(", ")
}
