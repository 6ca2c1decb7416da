//! Which claims are shown: what the holder asks for, as far as the catalogue allows it.
//!
//! A node is not believed here: it may be the verifier's, which would like to see more. What it says
//! of a type that this program does not know can forbid a claim and never show one.

use std::path::Path;

use serde_json::Value;
use symbolon_credential::{
    encoding::parse_json,
    sd_jwt::{DisclosureError, Parsed},
};
use symbolon_genesis::presets;
use symbolon_ledger::{
    catalogue::{Disclosure, LicenceTypeRecord},
    codes::TypeCode,
    records::Record as _,
};

use super::super::shared::plain;
use crate::{
    args::Context,
    client::{Node, from_base64url, text},
    files,
    output::Failure,
};

/// Longest file of a licence type: a node's answer about one, with its proof.
const MAX_TYPE_BYTES: u64 = 256 * 1024;

/// What the holder asks to show.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// What the catalogue names.
    Default,
    /// Everything that may be shown.
    All,
    /// These, by key or Chinese label.
    These(&'a [String]),
}

/// The catalogue entry of a credential.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    record: LicenceTypeRecord,
    /// Whether it may say what is shown when the holder does not. A node's word may not.
    is_believed: bool,
}

impl Entry {
    const fn believed(record: LicenceTypeRecord) -> Self {
        Self { record, is_believed: true }
    }
}

/// The catalogue entry of a credential.
///
/// The file that was named wins, then the catalogue that this program carries; a node is asked only
/// for a type that is in neither.
///
/// # Errors
///
/// When none of them knows the type: without the entry nobody could say which claims may be shown.
pub(super) fn licence_type(
    credential: &Parsed,
    file: Option<&Path>,
    context: &Context,
) -> Result<Entry, Failure> {
    let Some((code, _)) = credential.claimed_type() else {
        return Err(Failure::refused(
            "not_a_credential",
            "the credential's type is none of this network",
            "give a credential that was issued with symbolon",
        ));
    };
    if let Some(path) = file {
        return read_type(path, &code).map(Entry::believed);
    }
    if let Some(record) = presets::catalogue().into_iter().find(|entry| entry.code == code) {
        context.output.note(
            "note: what may be shown is as this program's catalogue says; no chain was asked",
        );
        return Ok(Entry::believed(record));
    }
    if context.global.node.is_none() && context.global.devnet.is_none() {
        return Err(unknown_type(&code));
    }
    let node = Node::of(context)?;
    let answer = node.get(&format!("/v1/licence-types/{code}"))?;
    let record: LicenceTypeRecord = node.record(&answer)?;
    if record.code != code {
        return Err(Failure::unreachable(
            "strange_answer",
            format!("{} gave another type than {code}", node.url()),
            "ask another node, or give the type with --licence-type-file",
        ));
    }
    Ok(Entry { record, is_believed: false })
}

/// A node's answer about a licence type, kept in a file.
fn read_type(path: &Path, code: &TypeCode) -> Result<LicenceTypeRecord, Failure> {
    let refuse = |what: String| {
        Failure::refused(
            "bad_licence_type_file",
            format!("{} {what}", path.display()),
            format!("keep a node's answer of GET /v1/licence-types/{code} in it"),
        )
    };
    let content = files::read_text(path, MAX_TYPE_BYTES, "the licence type")?;
    let answer: Value =
        parse_json(content.trim().as_bytes()).map_err(|e| refuse(format!("is not JSON: {e}")))?;
    let bytes = from_base64url(text(&answer, "record"));
    let entry = bytes.and_then(|bytes| LicenceTypeRecord::from_bytes(&bytes).ok());
    let entry = entry.ok_or_else(|| refuse("has no record of a licence type".to_owned()))?;
    if entry.code != *code {
        return Err(refuse(format!("is of {}, and the credential is of {code}", entry.code)));
    }
    Ok(entry)
}

fn unknown_type(code: &TypeCode) -> Failure {
    Failure::refused(
        "unknown_licence_type",
        format!("the catalogue of this program has no type {code}"),
        "name a node with --node, or give the type it gave you with --licence-type-file",
    )
}

/// The keys of the claims to show, in the credential's order; open claims are always among them.
///
/// # Errors
///
/// When the credential has no such claim, the catalogue forbids it, or only a node says what would
/// be shown.
pub(super) fn choose(
    credential: &Parsed,
    entry: &Entry,
    wanted: &Wanted<'_>,
) -> Result<Vec<String>, Failure> {
    let Entry { record: licence_type, is_believed } = entry;
    let names = credential.claimed_names().map_err(|e| faulty(&e))?;
    let rule = |key: &str| match licence_type.claim(key).map(|claim| claim.disclosure) {
        None => Disclosure::Allowed,
        Some(Disclosure::Always) if !is_believed => Disclosure::Allowed,
        Some(rule) => rule,
    };
    let showable: Vec<&String> =
        names.iter().filter(|name| rule(name) != Disclosure::Never).collect();
    let listed =
        || -> String { showable.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ") };
    let chosen: Vec<&str> = match wanted {
        Wanted::All | Wanted::Default if !is_believed => {
            return Err(Failure::usage(
                "unproven_licence_type",
                format!(
                    "this program's catalogue has no type {}, and a node does not say what is shown",
                    licence_type.code
                ),
                format!("name the claims with --disclose, among: {}", listed()),
            ));
        }
        Wanted::All => showable.iter().map(|name| name.as_str()).collect(),
        Wanted::Default => {
            licence_type.shown_by_default().map(|claim| claim.key.as_str()).collect()
        }
        Wanted::These(given) => {
            let mut keys = Vec::new();
            for name in given.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
                // A node could put a label on another claim.
                let labelled = licence_type
                    .claims
                    .iter()
                    .find(|c| *is_believed && c.label_zh.as_str() == name);
                let key = labelled.map_or(name, |claim| claim.key.as_str());
                if rule(key) == Disclosure::Never {
                    return Err(Failure::refused(
                        "never_disclosed",
                        format!("{} may never be shown", plain(key)),
                        format!("choose among: {}", listed()),
                    ));
                }
                if !names.iter().any(|name| name == key) {
                    return Err(Failure::refused(
                        "no_such_claim",
                        format!("this credential has no claim {}", plain(name)),
                        format!("choose among: {}", listed()),
                    ));
                }
                keys.push(key);
            }
            keys
        }
    };
    let open: Vec<&str> = credential.claimed_open_names().collect();
    let shown = |name: &&&String| {
        let name = name.as_str();
        chosen.contains(&name) || open.contains(&name) || rule(name) == Disclosure::Always
    };
    Ok(showable.iter().filter(shown).map(|name| (*name).clone()).collect())
}

/// The failure of a credential that its own issuer could not have made.
pub(super) fn faulty(error: &DisclosureError) -> Failure {
    Failure::refused(
        "faulty_credential",
        format!("the credential cannot be presented: {error}"),
        "give the .sdjwt file as it was issued; ask its issuer if it is",
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use symbolon_credential::{claims::validate, date, sd_jwt};
    use symbolon_ledger::keys::SecretKey;

    use super::*;

    fn business(never: &str) -> (Entry, Parsed) {
        let catalogue = presets::catalogue();
        let code = "11100000MB0143028R001";
        let mut entry = catalogue.into_iter().find(|t| t.code.as_str() == code).unwrap();
        let given = [
            ("uscc", "91449999G2HB5KX2MH"),
            ("name", "深圳启明餐饮有限公司"),
            ("company_type", "有限责任公司"),
            ("legal_representative", "侯寒秋"),
            ("established", "2014-08-11"),
            ("address", "广东省湛江市赤坎区文明里51号"),
            ("business_scope", "软件开发"),
        ];
        let given: BTreeMap<String, String> =
            given.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let claims = validate(&entry, &given).unwrap();
        let licence = sd_jwt::Issue {
            origin: &"https://guangdong.province.example".parse().unwrap(),
            agency: &"11449999MB00000448".parse().unwrap(),
            key_id: 0,
            licence_type: &entry,
            claims: &claims,
            identifier: None,
            status_province: &"44".parse().unwrap(),
            status_slot: 1,
            holder_key: None,
            issued_on: date::parse("2026-11-23").unwrap(),
        };
        let count = sd_jwt::disclosure_count(&entry, &claims, false);
        let salts: Vec<[u8; 16]> = (0..count).map(|i| [u8::try_from(i).unwrap(); 16]).collect();
        let issued = sd_jwt::issue(&licence, &salts, &SecretKey::from_seed(&[1; 32])).unwrap();
        for claim in entry.claims.iter_mut().filter(|claim| claim.key.as_str() == never) {
            claim.disclosure = Disclosure::Never;
        }
        (Entry::believed(entry), Parsed::parse(&issued.text).unwrap())
    }

    #[test]
    fn claims_are_chosen_by_the_holder_within_the_catalogue() {
        let (entry, credential) = business("legal_representative");
        let check = |wanted: &[&str], expected: Result<&str, &str>| {
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            let chosen = choose(&credential, &entry, &Wanted::These(&wanted));
            let chosen = chosen.map(|keys| keys.join(" ")).map_err(|failure| failure.code);
            assert_eq!(chosen.as_deref().map_err(String::as_str), expected, "{wanted:?}");
        };
        check(&[], Ok("name uscc"));
        check(&["address"], Ok("name uscc address"));
        check(&[" 住所 ", "established"], Ok("name uscc established address"));
        check(&["uscc"], Ok("name uscc"));
        check(&["zzbs"], Err("no_such_claim"));
        check(&["registered_capital"], Err("no_such_claim"));
        check(&["legal_representative"], Err("never_disclosed"));
        check(&["法定代表人"], Err("never_disclosed"));
        let of = |wanted| choose(&credential, &entry, &wanted).unwrap().join(" ");
        let most = "name uscc company_type established address business_scope";
        assert_eq!(of(Wanted::All), most);
        assert_eq!(of(Wanted::Default), most);
    }

    #[test]
    fn a_nodes_entry_can_forbid_a_claim_and_never_show_one() {
        let (mut entry, credential) = business("legal_representative");
        entry.is_believed = false;
        for claim in entry.record.claims.iter_mut().filter(|c| c.key.as_str() == "address") {
            claim.disclosure = Disclosure::Always;
        }
        let check = |wanted: Wanted<'_>, expected: Result<&str, &str>| {
            let chosen = choose(&credential, &entry, &wanted);
            let chosen = chosen.map(|keys| keys.join(" ")).map_err(|failure| failure.code);
            assert_eq!(chosen.as_deref().map_err(String::as_str), expected, "{wanted:?}");
        };
        let these = |name: &str| [name.to_owned()];
        check(Wanted::Default, Err("unproven_licence_type"));
        check(Wanted::All, Err("unproven_licence_type"));
        check(Wanted::These(&these("established")), Ok("name uscc established"));
        check(Wanted::These(&these("住所")), Err("no_such_claim"));
        check(Wanted::These(&these("legal_representative")), Err("never_disclosed"));
    }

    #[test]
    fn what_is_sensitive_is_not_shown_by_default() {
        let (mut entry, credential) = business("");
        entry.record.public_subject = false;
        for claim in entry.record.claims.iter_mut().filter(|claim| claim.key.as_str() == "address")
        {
            claim.sensitivity = 3;
        }
        let shown = choose(&credential, &entry, &Wanted::Default).unwrap();
        assert!(!shown.iter().any(|key| key == "address"), "{shown:?}");
        let failure = choose(&credential, &entry, &Wanted::These(&["nobody".to_owned()]));
        let hint = failure.unwrap_err().hint;
        assert!(
            hint.ends_with("legal_representative, established, address, business_scope"),
            "{hint}"
        );
    }
}
