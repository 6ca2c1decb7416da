//! `symbolon genesis join`: a province makes its keys at home and writes its part.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use symbolon_genesis::{
    ceremony::{Draft, Part},
    document::{Agency, Province, Scope, ValidatorEntry},
    peer_id::PeerId,
    presets,
};
use symbolon_ledger::{
    codes::{Label, Origin, ProvinceCode, TypeCode, Uscc},
    keys::PublicKey,
};

use super::{read_text, refuse, write_new};
use crate::{
    files, keyfile,
    output::{Answer, Failure, Outcome, Status},
};

/// Arguments of `genesis join`.
#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// The draft that was sent to every province
    draft: PathBuf,
    /// The province's code, such as 44
    #[arg(long, value_name = "CODE")]
    province: ProvinceCode,
    /// Folder of the province's private keys; those that are missing are made
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    /// The HTTPS origin under which its agencies will issue, for ever
    #[arg(long, value_name = "URL")]
    origin: Origin,
    /// Where its node can be reached, such as /dns/node.example/tcp/9000; may be repeated.
    /// Without any, the province begins without a vote
    #[arg(long, value_name = "MULTIADDR")]
    address: Vec<String>,
    /// A first agency as CREDIT-CODE=NAME; may be repeated
    #[arg(long, value_name = "CODE=NAME", value_parser = parse_agency)]
    agency: Vec<(Uscc, Label)>,
    /// A licence type that these agencies may issue; may be repeated [default: all]
    #[arg(long, value_name = "TYPE")]
    scope: Vec<TypeCode>,
    /// Chinese name, for a province that the national list does not have
    #[arg(long)]
    name_zh: Option<Label>,
    /// English name, for a province that the national list does not have
    #[arg(long)]
    name_en: Option<Label>,
    /// Where to write the part
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

fn parse_agency(text: &str) -> Result<(Uscc, Label), String> {
    let (uscc, name) = text.split_once('=').ok_or("give it as CREDIT-CODE=NAME")?;
    let uscc = uscc.parse().map_err(|e| format!("{e}"))?;
    Ok((uscc, name.parse().map_err(|e| format!("{e}"))?))
}

/// Makes the keys and writes the part.
///
/// # Errors
///
/// When the draft is not one, or a file cannot be read or written.
pub(super) fn run(args: &JoinArgs) -> Outcome {
    let draft_text = read_text(&args.draft, "the draft")?;
    let draft = Draft::parse(&draft_text).map_err(|problems| refuse(&args.draft, &problems))?;
    check_scope(args, &draft)?;
    let part = Part {
        draft: draft.digest(),
        province: province(args)?,
        validator: validator(args)?,
        agencies: args.agency.iter().map(|a| agency(args, a)).collect::<Result<_, _>>()?,
    };
    let text = part.to_toml();
    // What is written is what will be read: wrong addresses are refused here, not at the end.
    let part = Part::parse(&text).map_err(|problems| {
        // The part is made of the command line alone, so that is what is wrong.
        Failure { status: Status::Usage, ..refuse(&args.out, &problems) }
    })?;
    write_new(&args.out, &text)?;
    let fingerprint = part.fingerprint().to_string();
    let (out, keys) = (args.out.display(), args.keys.display());
    let shown = format!(
        "part         {out}\nfingerprint  {fingerprint}\nkeys         {keys} (keep them; nobody else may have them)\n\n\
         Send the part to the other provinces and to whoever joins them, and tell them the fingerprint by another channel.\n\
         When the document comes back: symbolon genesis check DOCUMENT --part {out} THE-PARTS-OF-ALL-OTHERS"
    );
    let json = json!({
        "file": args.out,
        "fingerprint": fingerprint,
        "draft": part.draft.to_string(),
        "province": args.province.as_str(),
        "keys": args.keys,
    });
    Ok(Answer::new(shown, json))
}

fn check_scope(args: &JoinArgs, draft: &Draft) -> Result<(), Failure> {
    let known = |code: &&TypeCode| draft.licence_types.iter().any(|t| t.code == **code);
    let unknown: Vec<&str> =
        args.scope.iter().filter(|c| !known(c)).map(TypeCode::as_str).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(
        "unknown_type",
        format!("the draft has no licence type {}", unknown.join(", ")),
        format!("symbolon genesis show {} lists them", args.draft.display()),
    ))
}

fn province(args: &JoinArgs) -> Result<Province, Failure> {
    let listed = presets::provinces().into_iter().find(|p| p.code == args.province);
    let given = |name: &Option<Label>, listed: Option<&Label>, flag: &str| {
        name.as_ref().or(listed).cloned().ok_or_else(|| {
            Failure::usage(
                "unknown_province",
                format!("the national list has no province {}", args.province),
                format!("give its name: {flag}"),
            )
        })
    };
    let name_zh = given(&args.name_zh, listed.as_ref().map(|p| &p.name_zh), "--name-zh")?;
    let name_en = given(&args.name_en, listed.as_ref().map(|p| &p.name_en), "--name-en")?;
    let unlisted = || "named by the province itself".parse::<Label>().expect("a short text");
    Ok(Province {
        code: args.province,
        name_zh,
        name_en,
        issuer_origin: args.origin.clone(),
        authority_key: key(&args.keys, "authority.pem")?,
        verified: listed.as_ref().is_some_and(|p| p.verified),
        source: listed.map_or_else(unlisted, |p| p.source),
        status_key: Some(key(&args.keys, "status.pem")?),
    })
}

fn validator(args: &JoinArgs) -> Result<Option<ValidatorEntry>, Failure> {
    if args.address.is_empty() {
        return Ok(None);
    }
    let mut addresses = args.address.clone();
    addresses.sort();
    Ok(Some(ValidatorEntry {
        province: args.province,
        key: key(&args.keys, "validator.pem")?,
        peer_id: PeerId::of(&key(&args.keys, "network.pem")?),
        addresses,
    }))
}

fn agency(args: &JoinArgs, (uscc, name): &(Uscc, Label)) -> Result<Agency, Failure> {
    let file = format!("agency-{uscc}.pem");
    let credential = keyfile::credential_key_path(Path::new(&file));
    let mut types = args.scope.clone();
    types.sort();
    types.dedup();
    Ok(Agency {
        uscc: *uscc,
        name: name.clone(),
        province: args.province,
        scope: if types.is_empty() { Scope::All } else { Scope::Types(types) },
        transaction_key: key(&args.keys, &file)?,
        credential_key: key(&args.keys, &credential.to_string_lossy())?,
    })
}

/// The public key of a file in the keys' folder; the key is made when there is none yet, so that
/// the command can be run again after a mistake.
fn key(folder: &Path, name: &str) -> Result<PublicKey, Failure> {
    files::make_folder(folder)?;
    let path = folder.join(name);
    if !path.exists() {
        keyfile::write_new(&path, &keyfile::generate()?)?;
    }
    Ok(keyfile::read(&path)?.public_key())
}
