//! `symbolon issue`, `supersede` and `transfer in`: one new licence.
//!
//! The three differ in what the new licence follows: nothing, a licence of the same agency that it
//! replaces, or one that another agency has released. All go the way of [`crate::issuing`], so a
//! kill in the middle loses no credential.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};
use symbolon_credential::{
    claims,
    encoding::parse_json,
    identifier::{IdentifierError, NationalIdentifier},
    sd_jwt::IDENTIFIER_CLAIM,
};
use symbolon_ledger::{
    codes::TypeCode,
    hash::Cid,
    operation::{NewLicence, Operation},
    records::{KeyRecord, LicenceRecord},
};

use super::{
    import::tag,
    licence::{parse_cid, read_credential},
};
use crate::{
    args::Context,
    client::Node,
    files,
    issuer::{Continues, Holder, Issuer, read_public_key},
    issuing::{self, Item},
    journal::{Entry, Journal},
    output::{Answer, Failure, Outcome},
    signing::Committed,
};

/// Most bytes of a file of claims.
const MAX_CLAIMS_BYTES: u64 = 256 * 1024;

/// What every new licence takes.
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// The claims as a JSON object, by key or Chinese label; - for standard input
    #[arg(value_name = "CLAIMS.json")]
    claims: Option<PathBuf>,
    /// One claim; may be repeated, and wins over the file
    #[arg(long = "claim", value_name = "KEY=VALUE", value_parser = parse_claim)]
    claim: Vec<(String, String)>,
    /// Where <cid>.sdjwt is written
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The agency's credential key [default: beside the transaction key]
    #[arg(long, value_name = "FILE")]
    credential_key: Option<PathBuf>,
    #[command(flatten)]
    holder: HolderArgs,
}

/// Whose key the credential is bound to.
#[derive(Debug, Args)]
pub(crate) struct HolderArgs {
    /// The holder's public key (PEM, JWK, or hexadecimal digits)
    #[arg(long, value_name = "FILE", conflicts_with = "new_holder_key")]
    pub(crate) holder_key: Option<PathBuf>,
    /// Make a key for the holder, written as <cid>.holder.pem (always done with --devnet)
    #[arg(long)]
    pub(crate) new_holder_key: bool,
}

/// Issue one licence
#[derive(Debug, Args)]
pub(crate) struct IssueArgs {
    /// The licence type, such as local:driving-licence
    #[arg(long = "type", value_name = "CODE", value_parser = parse_type)]
    licence_type: TypeCode,
    #[command(flatten)]
    new: NewArgs,
}

/// Replace a licence by a new one, in one step
#[derive(Debug, Args)]
pub(crate) struct SupersedeArgs {
    /// The licence that ends: its cid, or its .sdjwt file
    #[arg(long, value_name = "CID|FILE")]
    previous: String,
    #[command(flatten)]
    new: NewArgs,
}

/// Take over a licence that another agency has released to this one
#[derive(Debug, Args)]
pub(crate) struct TransferInArgs {
    /// The released licence: its cid, or its .sdjwt file
    #[arg(long, value_name = "CID|FILE")]
    previous: String,
    #[command(flatten)]
    new: NewArgs,
}

/// Reads a licence type's code.
pub(super) fn parse_type(code: &str) -> Result<TypeCode, String> {
    code.parse().map_err(|e: symbolon_ledger::codes::CodeError| e.to_string())
}

fn parse_claim(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("give --claim key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl HolderArgs {
    /// The holder's key: given, to be made, or none.
    pub(super) fn holder(&self, context: &Context) -> Result<Holder, Failure> {
        match &self.holder_key {
            Some(path) => Ok(Holder::Given(read_public_key(path)?)),
            None if self.new_holder_key || context.global.devnet.is_some() => Ok(Holder::New),
            None => Ok(Holder::None),
        }
    }
}

/// Said when a credential is bound to nobody.
pub(super) fn no_holder_note() -> &'static str {
    "note: no holder key: the credential proves the licence, not who holds it; give --holder-key or --new-holder-key"
}

/// `symbolon issue`.
pub(super) fn issue(args: &IssueArgs, context: &Context) -> Outcome {
    let node = Node::of(context)?;
    let given = read_claims(&args.new)?;
    let key = args.new.credential_key.as_deref();
    let issuer = Issuer::open(context, &node, &args.licence_type, key, &args.new.out)?;
    let operation = |licence| Operation::Issue { licence };
    make(&args.new, context, &issuer, &given, &Continues::Nothing, &operation)
}

/// `symbolon supersede`.
pub(super) fn supersede(args: &SupersedeArgs, context: &Context) -> Outcome {
    let node = Node::of(context)?;
    let given = read_claims(&args.new)?;
    let (previous, file) = previous(&args.previous, &args.new.out)?;
    let (code, record) = licence(&node, &previous)?;
    let key = args.new.credential_key.as_deref();
    let issuer = Issuer::open(context, &node, &code, key, &args.new.out)?;
    let identifier = match file {
        _ if code.is_local() => None,
        Some(file) => Some(identifier_of(&node, &file)?),
        None => {
            return Err(Failure::usage(
                "no_previous_file",
                "the identifier of the earlier licence is needed, and it stands in its credential",
                format!("give --previous with its file, or put {previous}.sdjwt into --out"),
            ));
        }
    };
    let continues = Continues::Licence { lineage: record.lineage, identifier };
    let operation = |licence| Operation::Supersede { previous, licence };
    make(&args.new, context, &issuer, &given, &continues, &operation)
}

/// `symbolon transfer in`.
pub(super) fn transfer_in(args: &TransferInArgs, context: &Context) -> Outcome {
    let node = Node::of(context)?;
    let given = read_claims(&args.new)?;
    let (previous, _) = previous(&args.previous, &args.new.out)?;
    let (code, _) = licence(&node, &previous)?;
    let key = args.new.credential_key.as_deref();
    let issuer = Issuer::open(context, &node, &code, key, &args.new.out)?;
    let operation = |licence| Operation::TransferIn { previous, licence };
    make(&args.new, context, &issuer, &given, &Continues::Nothing, &operation)
}

fn make(
    args: &NewArgs,
    context: &Context,
    issuer: &Issuer<'_>,
    given: &BTreeMap<String, String>,
    continues: &Continues,
    operation: &dyn Fn(NewLicence) -> Operation,
) -> Outcome {
    let claims = claims::validate(&issuer.licence_type, given).map_err(|e| bad_claims(&e))?;
    let holder = args.holder.holder(context)?;
    if matches!(holder, Holder::None) {
        context.output.note(no_holder_note());
    }
    let journal = Journal::open(&args.out, issuer, true)?;
    let tag = tag(&issuer.secret, &claims);
    for mut report in issuing::resume(issuer, &journal)? {
        let count = report.issued.len();
        context.output.note(format!("note: {count} licences of an interrupted run are now issued"));
        // What this very command was asked for was signed by a run that did not see its end: that
        // one is the answer, and a second licence would be one too many.
        if let Some(entry) = report.issued.into_iter().find(|entry| entry.tag == tag) {
            return Ok(answer(&journal, &entry, report.transactions.pop().as_ref()));
        }
    }
    if let (Continues::Nothing, Some(earlier)) = (continues, journal.issued(&tag)) {
        context.output.note(format!(
            "note: {earlier} in {} was issued with the same claims, and this makes a second licence; to replace one, `symbolon supersede`",
            args.out.display()
        ));
    }
    let item = || -> Result<Item, Failure> {
        let slot = issuer.take_slots(1)?.into_iter().next().unwrap_or_default();
        let draft = issuer.draft(&claims, holder, continues, slot)?;
        let operation = operation(draft.licence.clone());
        Ok(Item { row: 0, entry: Entry::of(draft, tag), operation })
    };
    let exchange = |refused: &Item| {
        refused.leave_block(issuer)?;
        item().map(Some)
    };
    let mut report = issuing::issue(issuer, &journal, vec![item()?], &exchange)?;
    if let Some(refused) = report.refused.pop() {
        return Err((*refused.problem).into());
    }
    let Some(entry) = report.issued.pop() else {
        return Err(Failure::refused("not_issued", "nothing was issued", "run the command again"));
    };
    Ok(answer(&journal, &entry, report.transactions.pop().as_ref()))
}

/// What is said of an issued licence, and of the transaction that brought it if this run saw it.
fn answer(journal: &Journal, entry: &Entry, committed: Option<&Committed>) -> Answer {
    let file = journal.credential_path(&entry.cid);
    let key = entry.holder_key.is_some().then(|| journal.holder_key_path(&entry.cid));
    let receipt = committed.map(|c| journal.receipt_path(&c.id));
    let mut lines =
        vec![format!("issued {}", entry.cid), format!("credential  {}", file.display())];
    lines.extend(key.as_ref().map(|key| format!("holder key  {}", key.display())));
    if let Some(committed) = committed {
        lines.push(format!("transaction {} at height {}", committed.id, committed.height));
    }
    let answer = json!({
        "cid": entry.cid.to_string(),
        "file": file,
        "holder_key_file": key,
        "transaction": committed.map(|c| c.id.to_string()),
        "height": committed.map(|c| c.height),
        "receipt_file": receipt,
    });
    Answer::new(lines.join("\n"), answer)
}

/// The claims of the file, then those of `--claim`.
fn read_claims(args: &NewArgs) -> Result<BTreeMap<String, String>, Failure> {
    let mut given = BTreeMap::new();
    if let Some(path) = &args.claims {
        let text = files::read_text(path, MAX_CLAIMS_BYTES, "the file of claims")?;
        let bad = |what: String| {
            Failure::usage(
                "bad_claims_file",
                format!("{}: {what}", path.display()),
                "write one JSON object of texts, such as {\"name\": \"...\", \"sex\": \"...\"}",
            )
        };
        let value = parse_json(text.trim_start_matches('\u{feff}').trim().as_bytes());
        let Value::Object(members) = value.map_err(|e| bad(e.to_string()))? else {
            return Err(bad("not a JSON object".to_owned()));
        };
        for (name, value) in members {
            match value {
                Value::String(text) => {
                    given.insert(name, text);
                }
                Value::Null => {}
                _ => return Err(bad(format!("the value of {name} is not a text"))),
            }
        }
    }
    given.extend(args.claim.iter().cloned());
    if given.is_empty() {
        return Err(Failure::usage(
            "no_claims",
            "the licence has no claims",
            "name a JSON file of claims, or give --claim key=value",
        ));
    }
    Ok(given)
}

fn bad_claims(errors: &[claims::ClaimError]) -> Failure {
    let lines: Vec<String> = errors
        .iter()
        .map(|e| format!("  {} ({}): {}: {}", e.label_zh, e.key, e.code, e.hint))
        .collect();
    let json: Vec<Value> = errors
        .iter()
        .map(
            |e| json!({"key": e.key, "label": e.label_zh, "code": e.code.as_str(), "hint": e.hint}),
        )
        .collect();
    let count = match errors.len() {
        1 => "one claim is at fault".to_owned(),
        count => format!("{count} claims are at fault"),
    };
    let message = format!("{count}\n{}", lines.join("\n"));
    let hint = "mend these claims and run the command again; nothing was issued";
    let error = json!({"code": "bad_claims", "message": "claims are at fault", "hint": hint, "claims": json});
    Failure::refused("bad_claims", message, hint).with_json(json!({ "error": error }))
}

/// The licence that a new one follows, and its credential's file if there is one.
fn previous(given: &str, out: &Path) -> Result<(Cid, Option<PathBuf>), Failure> {
    if let Ok(cid) = given.parse::<Cid>() {
        let file = out.join(format!("{cid}.sdjwt"));
        return Ok((cid, file.exists().then_some(file)));
    }
    let path = PathBuf::from(given);
    Ok((parse_cid(given)?, Some(path)))
}

/// A licence's type and record, as the ledger has them.
fn licence(node: &Node, cid: &Cid) -> Result<(TypeCode, LicenceRecord), Failure> {
    let answer = node.get(&format!("/v1/licences/{cid}"))?;
    let code = answer["licence_type"]["code"].as_str().and_then(|code| code.parse().ok());
    let code = code.ok_or_else(|| {
        Failure::unreachable(
            "strange_answer",
            format!("{} does not say the licence's type", node.url()),
            "check that --node names a symbolon node of this version",
        )
    })?;
    Ok((code, node.record(&answer)?))
}

/// The national identifier in a credential, read with the key of the issuer that signed it.
fn identifier_of(node: &Node, path: &Path) -> Result<NationalIdentifier, Failure> {
    let refuse = |what: &dyn std::fmt::Display| {
        Failure::refused(
            "no_identifier",
            format!("{}: {what}", path.display()),
            "give the credential as it was issued, with all its disclosures",
        )
    };
    let parsed = read_credential(path)?;
    let issuer = parsed.claimed_issuer().ok_or_else(|| refuse(&"it names no agency"))?;
    let agency = node.get(&format!("/v1/agencies/{}", issuer.agency))?;
    let is_it = |key: &&Value| key["id"].as_u64() == Some(u64::from(parsed.key_id()));
    let key = agency["keys"].as_array().and_then(|keys| keys.iter().find(is_it));
    let key: KeyRecord = node.record(key.ok_or_else(|| refuse(&"its key is unknown"))?)?;
    let checked = parsed.check_signature(&key.key).map_err(|e| refuse(&e))?;
    let disclosed = checked.disclose().map_err(|e| refuse(&e))?;
    let text = disclosed.claims().get(IDENTIFIER_CLAIM);
    let text = text.ok_or_else(|| refuse(&"it does not show its identifier"))?;
    text.parse().map_err(|e: IdentifierError| refuse(&e))
}
