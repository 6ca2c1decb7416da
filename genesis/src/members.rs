//! Who takes part: provinces, their validators and agencies, read and compared with each other.
//!
//! They may stand in one document or in the parts of several provinces, so each carries the place
//! where it was read. Checked here: nothing stands twice, everything that is named exists, and no
//! key serves two purposes.

use std::collections::{BTreeMap, BTreeSet};

use symbolon_ledger::{catalogue::LicenceTypeRecord, codes::TypeCode, keys::PublicKey};

use crate::{
    document::{
        Agency, MAX_ADDRESSES, MAX_AGENCIES, MOST_VALIDATORS, Province, Scope, ValidatorEntry,
    },
    multiaddr,
    reader::{Fields, Reader},
};

/// Where something was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    /// The number of the text, for whoever reads several.
    pub(crate) file: usize,
    /// The line, from 1.
    pub(crate) line: usize,
}

/// Provinces, validators and agencies with their places.
#[derive(Debug, Clone, Default)]
pub(crate) struct Members {
    pub(crate) provinces: Vec<(At, Province)>,
    pub(crate) validators: Vec<(At, ValidatorEntry)>,
    pub(crate) agencies: Vec<(At, Agency)>,
    /// Whether an entry was left out because something is wrong with it: then what names it is
    /// not reported as well.
    pub(crate) incomplete: bool,
}

impl Members {
    /// Adds those of another text.
    pub(crate) fn extend(&mut self, more: Self) {
        self.provinces.extend(more.provinces);
        self.validators.extend(more.validators);
        self.agencies.extend(more.agencies);
        self.incomplete |= more.incomplete;
    }
}

/// Reads `[[provinces]]`, `[[validators]]` and `[[agencies]]` of text number `file`.
pub(crate) fn read(reader: &Reader, fields: &Fields<'_>, file: usize) -> Members {
    let provinces =
        located(fields.tables("provinces", MOST_VALIDATORS), file, |f| read_province(reader, f));
    let validators =
        located(fields.tables("validators", MOST_VALIDATORS), file, |f| read_validator(reader, f));
    let agencies =
        located(fields.tables("agencies", MAX_AGENCIES), file, |f| read_agency(reader, f));
    let incomplete = provinces.1 | validators.1 | agencies.1;
    Members { provinces: provinces.0, validators: validators.0, agencies: agencies.0, incomplete }
}

/// Reads each table; also says whether one was left out.
fn located<'t, T>(
    tables: Vec<Fields<'t>>,
    file: usize,
    mut read: impl FnMut(Fields<'t>) -> Option<T>,
) -> (Vec<(At, T)>, bool) {
    let count = tables.len();
    let at = |fields: &Fields<'_>| At { file, line: fields.line };
    let items: Vec<_> = tables.into_iter().filter_map(|f| Some((at(&f), read(f)?))).collect();
    let incomplete = items.len() < count;
    (items, incomplete)
}

fn read_province(reader: &Reader, fields: Fields<'_>) -> Option<Province> {
    let code = fields.parsed("code", "44");
    let name_zh = fields.parsed("name_zh", "广东省");
    let name_en = fields.parsed("name_en", "Guangdong");
    let issuer_origin = fields.parsed("issuer_origin", "https://licences.guangdong.example");
    let authority_key = read_key(&fields, "authority_key");
    let verified = fields.flag("verified", None);
    let source = fields.parsed("source", "GB/T 2260");
    let status_key = read_optional_key(reader, &fields, "status_key");
    fields.finish();
    Some(Province {
        code: code?,
        name_zh: name_zh?,
        name_en: name_en?,
        issuer_origin: issuer_origin?,
        authority_key: authority_key?,
        verified: verified?,
        source: source?,
        status_key: status_key?,
    })
}

fn read_validator(reader: &Reader, fields: Fields<'_>) -> Option<ValidatorEntry> {
    let line = fields.line;
    let province = fields.parsed("province", "44");
    let key = read_key(&fields, "key");
    let peer_id = fields.parsed("peer_id", "12D3KooW…");
    let words = fields.words("addresses");
    fields.finish();
    if !(1..=MAX_ADDRESSES).contains(&words.len()) {
        let what = format!("{} addresses of a validator", words.len());
        let hint = format!("give 1 to {MAX_ADDRESSES}: addresses = [\"/ip4/192.0.2.7/tcp/9000\"]");
        reader.report(Some(line), what, hint);
    }
    let mut addresses: Vec<String> = Vec::new();
    for word in &words {
        if let Err(why) = multiaddr::check(word.text, peer_id.as_ref()) {
            reader.report(Some(word.line), "an address of a validator is wrong", why);
        }
        addresses.push(word.text.to_owned());
    }
    addresses.sort();
    addresses.dedup();
    Some(ValidatorEntry { province: province?, key: key?, peer_id: peer_id?, addresses })
}

fn read_agency(reader: &Reader, fields: Fields<'_>) -> Option<Agency> {
    let uscc = fields.parsed("uscc", "11440000006939836Y");
    let name = fields.parsed("name", "广东省公安厅交通管理局");
    let province = fields.parsed("province", "44");
    let scope = read_scope(reader, &fields);
    let transaction_key = read_key(&fields, "transaction_key");
    let credential_key = read_key(&fields, "credential_key");
    fields.finish();
    Some(Agency {
        uscc: uscc?,
        name: name?,
        province: province?,
        scope: scope?,
        transaction_key: transaction_key?,
        credential_key: credential_key?,
    })
}

/// `scope = "all"`, or a list of codes.
fn read_scope(reader: &Reader, fields: &Fields<'_>) -> Option<Scope> {
    if !fields.is_list("scope") {
        let word = fields.word("scope", "all")?;
        if word.text == "all" {
            return Some(Scope::All);
        }
        let what = format!("the scope {:?} is neither \"all\" nor a list", word.text);
        reader.report(Some(word.line), what, "give \"all\", or a list of licence types' codes");
        return None;
    }
    let words = fields.words("scope");
    let mut types: Vec<TypeCode> = words.iter().filter_map(|word| word.parse(reader)).collect();
    types.sort();
    types.dedup();
    (types.len() == words.len()).then_some(Scope::Types(types)).or_else(|| {
        reader.report(
            Some(fields.line),
            "the scope of an agency is not a list of different codes",
            "name each licence type once",
        );
        None
    })
}

const KEY_EXAMPLE: &str = "64 hexadecimal digits, from `symbolon keys show`";

/// A public key as 64 hexadecimal digits.
fn read_key(fields: &Fields<'_>, name: &'static str) -> Option<PublicKey> {
    fields.parsed::<HexKey>(name, KEY_EXAMPLE).map(|k| k.0)
}

/// A public key that may be absent; `None` when it is there and wrong, which is reported.
fn read_optional_key(
    reader: &Reader,
    fields: &Fields<'_>,
    name: &'static str,
) -> Option<Option<PublicKey>> {
    match fields.optional_word(name, KEY_EXAMPLE) {
        None => Some(None),
        Some(word) => word.parse::<HexKey>(reader).map(|key| Some(key.0)),
    }
}

struct HexKey(PublicKey);

impl std::str::FromStr for HexKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digest: symbolon_ledger::hash::Digest = text
            .parse()
            .map_err(|_| "a public key is 64 lower-case hexadecimal digits".to_owned())?;
        PublicKey::from_bytes(digest.as_bytes()).map(Self).map_err(|e| e.to_string())
    }
}

/// Told of each problem: its place (none for the whole), what, how to mend it.
pub(crate) type Report<'r> = dyn FnMut(Option<At>, String, &str) + 'r;

/// Compares the members with each other and with the catalogue.
pub(crate) fn check(members: &Members, types: &[LicenceTypeRecord], report: &mut Report<'_>) {
    if members.provinces.is_empty() && !members.incomplete {
        report(None, "there is no province".to_owned(), "add at least one [[provinces]]");
    }
    if members.validators.is_empty() && !members.incomplete {
        report(None, "there is no validator".to_owned(), "add at least one [[validators]]");
    }
    // Each text is bounded when it is read; several together are bounded here.
    let mut at_most = |what: &str, count: usize, most: usize| {
        if count > most {
            report(
                None,
                format!("{count} {what} in all, more than the {most} allowed"),
                "remove some",
            );
        }
    };
    at_most("provinces", members.provinces.len(), MOST_VALIDATORS);
    at_most("validators", members.validators.len(), MOST_VALIDATORS);
    at_most("agencies", members.agencies.len(), MAX_AGENCIES);
    let once = "remove or correct one of the two";
    twice(members.provinces.iter().map(|(at, p)| (*at, p.code)), |at, code| {
        report(Some(at), format!("the province {code} stands here twice"), once);
    });
    twice(members.provinces.iter().map(|(at, p)| (*at, p.issuer_origin.clone())), |at, origin| {
        report(Some(at), format!("two provinces have the origin {origin}"), once);
    });
    twice(members.validators.iter().map(|(at, v)| (*at, v.province)), |at, code| {
        report(Some(at), format!("the province {code} has two validators"), once);
    });
    twice(members.validators.iter().map(|(at, v)| (*at, v.peer_id)), |at, id| {
        report(Some(at), format!("two validators have the peer id {id}"), once);
    });
    twice(members.agencies.iter().map(|(at, a)| (*at, a.uscc)), |at, uscc| {
        report(Some(at), format!("the agency {uscc} stands here twice"), once);
    });
    twice(keys(members).into_iter(), |at, key| {
        let hint = "each key has one purpose and one owner; make another with `symbolon keys new`";
        report(Some(at), format!("the key {key} is used twice"), hint);
    });
    check_names(members, types, report);
}

/// Calls `found` for every value that was there before.
fn twice<T: Ord + Clone>(items: impl Iterator<Item = (At, T)>, mut found: impl FnMut(At, T)) {
    let mut seen: BTreeMap<T, At> = BTreeMap::new();
    for (at, value) in items {
        if seen.insert(value.clone(), at).is_some() {
            found(at, value);
        }
    }
}

/// Every key of every member. A peer id holds a key too: that of the node's connections.
fn keys(members: &Members) -> Vec<(At, PublicKey)> {
    let mut keys = Vec::new();
    keys.extend(members.provinces.iter().map(|(at, p)| (*at, p.authority_key)));
    keys.extend(members.provinces.iter().filter_map(|(at, p)| Some((*at, p.status_key?))));
    keys.extend(members.validators.iter().map(|(at, v)| (*at, v.key)));
    keys.extend(members.agencies.iter().map(|(at, a)| (*at, a.transaction_key)));
    keys.extend(members.agencies.iter().map(|(at, a)| (*at, a.credential_key)));
    let own: BTreeSet<PublicKey> = keys.iter().map(|(_, key)| *key).collect();
    // Two equal peer ids are told by themselves.
    let mut nodes: Vec<_> =
        members.validators.iter().map(|(at, v)| (*at, *v.peer_id.public_key())).collect();
    nodes.retain(|(_, key)| own.contains(key));
    keys.extend(nodes);
    keys
}

/// Whatever is named must be there.
fn check_names(members: &Members, types: &[LicenceTypeRecord], report: &mut Report<'_>) {
    if members.incomplete {
        return;
    }
    let codes: BTreeSet<_> = members.provinces.iter().map(|(_, p)| p.code).collect();
    let named = members.validators.iter().map(|(at, v)| (*at, v.province));
    for (at, code) in named.chain(members.agencies.iter().map(|(at, a)| (*at, a.province))) {
        if !codes.contains(&code) {
            let hint = "add its [[provinces]], or correct the code";
            report(Some(at), format!("the province {code} is not in this document"), hint);
        }
    }
    for (at, agency) in &members.agencies {
        let Scope::Types(scope) = &agency.scope else { continue };
        for code in scope.iter().filter(|code| !types.iter().any(|t| t.code == **code)) {
            let what = format!("the agency {} may issue {code}, which is not here", agency.uscc);
            report(Some(*at), what, "add its [[licence_types]], or remove it from the scope");
        }
    }
}
