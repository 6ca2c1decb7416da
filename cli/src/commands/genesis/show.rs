//! A founding document, a draft or a part in words.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use symbolon_genesis::{
    Genesis,
    ceremony::{Draft, Part},
    document::{Chain, Scope},
};
use symbolon_ledger::catalogue::LicenceTypeRecord;
use symbolon_verify::instant;

use super::{read_genesis, read_text};
use crate::output::{Answer, Outcome};

/// Shows the document, the draft or the part in `file`.
///
/// # Errors
///
/// When it is none of them.
pub(super) fn run(file: &Path) -> Outcome {
    let text = read_text(file, "the document")?;
    match (Draft::parse(&text), Part::parse(&text)) {
        (Ok(draft), _) => Ok(draft_answer(file, &draft)),
        (_, Ok(part)) => Ok(part_answer(file, &part)),
        _ => Ok(document(file, &read_genesis(file)?)),
    }
}

/// A document's answer with the parts that it was held against, each with the fingerprint that the
/// provinces compare; or with a warning that there were none.
pub(super) fn with_parts(mut answer: Answer, parts: &[(PathBuf, Part)]) -> Answer {
    if parts.is_empty() {
        answer
            .text
            .push_str("\nwarning: held against no part: give those of all provinces after --part");
    } else {
        answer.text.push_str("\n\nsays what these parts said");
    }
    for (_, part) in parts {
        answer.text.push_str(&format!("\n  {} {}", part.province.code, part.fingerprint()));
    }
    let as_json = |(file, part): &(PathBuf, Part)| {
        let (province, fingerprint) = (part.province.code.as_str(), part.fingerprint().to_string());
        json!({"file": file, "province": province, "fingerprint": fingerprint})
    };
    answer.json["parts"] = parts.iter().map(as_json).collect();
    answer
}

fn part_answer(file: &Path, part: &Part) -> Answer {
    let Part { draft, province, validator, agencies } = part;
    let fingerprint = part.fingerprint().to_string();
    let vote = validator.as_ref().map_or_else(|| "no vote".to_owned(), |v| v.addresses.join(" "));
    let mut text = format!(
        "part            {}\nfingerprint     {fingerprint}\nof the draft    {draft}\n\n\
         province        {} {} {}\norigin          {}\nauthority       {}\nnode            {vote}",
        file.display(),
        province.code,
        province.name_zh,
        province.name_en,
        province.issuer_origin,
        province.authority_key,
    );
    for agency in agencies {
        text.push_str(&format!("\nagency          {} {}", agency.uscc, agency.name));
    }
    let json = json!({
        "file": file, "fingerprint": fingerprint, "draft": draft.to_string(),
        "province": province.code.as_str(), "validator": validator.is_some(),
        "agencies": agencies.iter().map(|a| a.uscc.as_str()).collect::<Vec<_>>(),
    });
    Answer::new(text, json)
}

/// A founding document in words.
pub(super) fn document(file: &Path, genesis: &Genesis) -> Answer {
    let chain_id = genesis.chain_id();
    let mut text = format!("file            {}\nchain id        {chain_id}\n", file.display());
    text.push_str(&chain_text(&genesis.chain));
    text.push_str("\n\nprovinces");
    for p in &genesis.provinces {
        let vote = genesis.validators.iter().find(|v| v.province == p.code);
        let vote = vote.map_or_else(|| "no vote".to_owned(), |v| v.addresses.join(" "));
        let extension = if p.verified { "" } else { " (code unverified)" };
        text.push_str(&format!("\n  {} {} {}{extension}", p.code, p.name_zh, p.name_en));
        text.push_str(&format!(
            "\n     origin     {}\n     authority  {}",
            p.issuer_origin, p.authority_key
        ));
        let status = p.status_key.map_or_else(|| "named later".to_owned(), |key| key.to_string());
        text.push_str(&format!("\n     status     {status}\n     node       {vote}"));
    }
    text.push_str("\n\nagencies");
    for a in &genesis.agencies {
        let scope = match &a.scope {
            Scope::All => "all types".to_owned(),
            Scope::Types(types) => format!("{} types", types.len()),
        };
        text.push_str(&format!("\n  {} {} {} ({scope})", a.province, a.uscc, a.name));
    }
    text.push_str(&types_text(&genesis.licence_types));
    let set = genesis.validator_set();
    let quorum = format!("{} of {}", set.quorum(), set.validators().len());
    text.push_str(&format!("\n\n{quorum} validators decide"));
    for warning in genesis.warnings() {
        text.push_str(&format!("\nwarning: {warning}"));
    }
    Answer::new(text, document_json(file, genesis))
}

fn document_json(file: &Path, genesis: &Genesis) -> Value {
    let provinces: Vec<Value> = genesis
        .provinces
        .iter()
        .map(|p| {
            json!({
                "code": p.code.as_str(), "name_zh": p.name_zh.as_str(), "name_en": p.name_en.as_str(),
                "issuer_origin": p.issuer_origin.as_str(), "authority_key": p.authority_key.to_string(),
                "status_key": p.status_key.map(|key| key.to_string()), "verified": p.verified,
            })
        })
        .collect();
    let validators: Vec<Value> = genesis
        .validators
        .iter()
        .map(|v| {
            json!({
                "province": v.province.as_str(), "key": v.key.to_string(),
                "peer_id": v.peer_id.to_string(), "addresses": v.addresses,
            })
        })
        .collect();
    let agencies: Vec<Value> = genesis
        .agencies
        .iter()
        .map(|a| json!({"uscc": a.uscc.as_str(), "name": a.name.as_str(), "province": a.province.as_str()}))
        .collect();
    let types: Vec<&str> = genesis.licence_types.iter().map(|t| t.code.as_str()).collect();
    json!({
        "file": file,
        "chain_id": genesis.chain_id().to_string(),
        "name": genesis.chain.name.as_str(),
        "genesis_time": instant::text(genesis.chain.genesis_time_ms),
        "provinces": provinces,
        "validators": validators,
        "agencies": agencies,
        "licence_types": types,
        "quorum": genesis.validator_set().quorum(),
        "warnings": genesis.warnings(),
    })
}

fn draft_answer(file: &Path, draft: &Draft) -> Answer {
    let digest = draft.digest();
    let chain = chain_text(&draft.chain);
    let types = types_text(&draft.licence_types);
    let text =
        format!("draft           {}\ndigest          {digest}\n{chain}{types}", file.display());
    let json = json!({
        "file": file,
        "digest": digest.to_string(),
        "name": draft.chain.name.as_str(),
        "genesis_time": instant::text(draft.chain.genesis_time_ms),
        "licence_types": draft.licence_types.iter().map(|t| t.code.as_str()).collect::<Vec<_>>(),
    });
    Answer::new(text, json)
}

fn chain_text(chain: &Chain) -> String {
    format!(
        "name            {}\nfounding time   {}\nidle interval   {} ms\nmax staleness   {} ms\nbundle max age  {} ms",
        chain.name,
        instant::text(chain.genesis_time_ms),
        chain.idle_block_interval_ms,
        chain.max_staleness_ms,
        chain.bundle_max_age_ms,
    )
}

fn types_text(types: &[LicenceTypeRecord]) -> String {
    let mut text = "\n\nlicence types".to_owned();
    for t in types {
        let claims = t.claims.len();
        let unverified = if t.verified { "" } else { ", code unverified" };
        let national = if t.national { ", recognised everywhere" } else { "" };
        text.push_str(&format!(
            "\n  {} {} / {} ({claims} claims{national}{unverified})",
            t.code, t.name_zh, t.name_en
        ));
    }
    text
}
