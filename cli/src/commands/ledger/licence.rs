//! `symbolon suspend`, `resume`, `revoke`, `transfer out` and `transfer cancel`: what happens to a
//! licence after its issue; `status` and `history`: what is known of it.
//!
//! A licence is named by its cid or by its `.sdjwt` file, of which the cid is computed.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use symbolon_credential::sd_jwt::{MAX_PRESENTATION_LEN, Parsed};
use symbolon_genesis::document::DEFAULT_MAX_STALENESS_MS;
use symbolon_ledger::{
    codes::Uscc,
    hash::Cid,
    operation::{Operation, RevocationClass},
    records::LicenceRecord,
    state::StateKey,
};
use symbolon_verify::{instant, state_proof};

use super::{
    shared::{committed_answer, plain},
    trusted::{DISTRUST, dated, from_genesis, proof_hint},
};
use crate::{
    args::Context,
    client::{Node, NodeError, from_base64url, text},
    clock, files,
    output::{Answer, Failure, Outcome, Status},
    signing::{self, Signer},
};

/// Which licence, and who says so.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// The licence: its cid, or its .sdjwt file
    #[arg(value_name = "CID|FILE")]
    licence: String,
    /// Sign as the province's authority instead of the agency
    #[arg(long)]
    by_province: bool,
}

/// Which licence was suspended or released, and who takes that back.
#[derive(Debug, Args)]
pub(crate) struct ReverseArgs {
    /// The licence: its cid, or its .sdjwt file
    #[arg(value_name = "CID|FILE")]
    licence: String,
    /// Sign as the province's authority instead of the agency: possible once feature 1 holds
    #[arg(long)]
    by_province: bool,
}

/// End a licence for good
#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// The class of the revocation; its cause stays with the issuer
    #[arg(long, value_enum, default_value_t = Reason::Unspecified)]
    reason: Reason,
}

/// Class of a revocation.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// Not said
    Unspecified,
    /// 注销: given up, or ended in the ordinary way
    Cancelled,
    /// 撤销: the grant itself is withdrawn
    Withdrawn,
    /// 吊销: a penalty
    Penalty,
    /// It should never have been issued
    IssuedInError,
}

impl Reason {
    const fn class(self) -> RevocationClass {
        match self {
            Self::Unspecified => RevocationClass::Unspecified,
            Self::Cancelled => RevocationClass::Cancelled,
            Self::Withdrawn => RevocationClass::Withdrawn,
            Self::Penalty => RevocationClass::Penalty,
            Self::IssuedInError => RevocationClass::IssuedInError,
        }
    }
}

/// Release a licence to another agency
#[derive(Debug, Args)]
pub(crate) struct TransferOutArgs {
    /// The licence: its cid, or its .sdjwt file
    #[arg(value_name = "CID|FILE")]
    licence: String,
    /// The agency that may take it over
    #[arg(long, value_name = "USCC", value_parser = super::shared::parse_uscc)]
    to: Uscc,
}

/// Show where a licence stands
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The licence: its cid, or its .sdjwt file
    #[arg(value_name = "CID|FILE")]
    licence: String,
    /// Check the node's proof with the founding document, instead of believing the node
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
}

/// Show everything that happened to a licence
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The licence: its cid, or its .sdjwt file
    #[arg(value_name = "CID|FILE")]
    licence: String,
}

/// The cid of what names a licence on the command line.
///
/// # Errors
///
/// When it is neither a cid nor a credential.
pub(super) fn parse_cid(given: &str) -> Result<Cid, Failure> {
    if let Ok(cid) = given.parse() {
        return Ok(cid);
    }
    let path = Path::new(given);
    if given != files::STDIN && !path.exists() {
        return Err(Failure::usage(
            "bad_cid",
            format!("{} is neither a cid nor a file", plain(given)),
            "a cid has 64 digits of 0-9 and a-f; a credential's file ends in .sdjwt",
        ));
    }
    let cid = read_credential(path)?.claimed_cid();
    cid.ok_or_else(|| {
        Failure::usage(
            "not_a_credential",
            format!("{}: its issuer is no agency of this ledger", path.display()),
            "give a credential that was issued with symbolon",
        )
    })
}

/// Refuses a licence's name where its text is wanted.
///
/// # Errors
///
/// When `path` is a cid, and no file has that name.
pub(super) fn refuse_cid(path: &Path) -> Result<(), Failure> {
    let cid = path.to_str().and_then(|text| text.parse::<Cid>().ok());
    let Some(cid) = cid.filter(|_| !path.exists()) else { return Ok(()) };
    Err(Failure::usage(
        "cid_given",
        format!("{cid} is a cid, which names a licence and does not show it"),
        "`symbolon status CID` looks it up; give the licence's .sdjwt file here",
    ))
}

/// Reads a credential or presentation.
///
/// # Errors
///
/// When it is none.
pub(super) fn read_credential(path: &Path) -> Result<Parsed, Failure> {
    // A line end after the text is an editor's doing.
    let limit = MAX_PRESENTATION_LEN as u64 + 2;
    let text = files::read_text(path, limit, "the credential")?;
    Parsed::parse(text.trim()).map_err(|e| {
        Failure::usage(
            "malformed_presentation",
            format!("{} is not a credential: {e}", path.display()),
            "give the .sdjwt file as it was issued or presented",
        )
    })
}

/// Commits one operation on a licence.
fn change(
    context: &Context,
    cid: Cid,
    by_province: bool,
    done: &str,
    operation: Operation,
) -> Outcome {
    let node = Node::of(context)?;
    let signer = if by_province {
        Signer::authority(context, &node)?
    } else {
        Signer::agency(context, &node)?
    };
    let suspends = matches!(operation, Operation::Suspend { .. });
    let committed = signing::commit(&node, &signer, vec![operation])
        .map_err(|failure| if suspends { or_already_suspended(failure) } else { failure })?;
    let first = format!("{done} {cid}");
    Ok(committed_answer(&committed, &first, json!({ "cid": cid.to_string() })))
}

/// The ledger's refusal to suspend a licence twice, in the words of who wanted it suspended. The
/// hint of the other operations, to resume it first, would make the licence valid.
fn or_already_suspended(failure: Failure) -> Failure {
    if failure.code != "licence_suspended" {
        return failure;
    }
    let message = "the licence is suspended already".to_owned();
    Failure { message, hint: "nothing to do: it stays suspended".to_owned(), ..failure }
}

/// `symbolon suspend`.
pub(super) fn suspend(args: &ChangeArgs, context: &Context) -> Outcome {
    let cid = parse_cid(&args.licence)?;
    change(context, cid, args.by_province, "suspended", Operation::Suspend { cid })
}

/// `symbolon resume`.
pub(super) fn resume(args: &ReverseArgs, context: &Context) -> Outcome {
    let cid = parse_cid(&args.licence)?;
    change(context, cid, args.by_province, "resumed", Operation::Resume { cid })
}

/// `symbolon revoke`.
pub(super) fn revoke(args: &RevokeArgs, context: &Context) -> Outcome {
    let cid = parse_cid(&args.change.licence)?;
    let class = args.reason.class();
    let operation = Operation::Revoke { cid, class };
    let mut answer = change(context, cid, args.change.by_province, "revoked", operation)?;
    let class = class.name();
    answer.text.push_str(&format!("\nunder the class {class} (--reason); a revocation is final"));
    answer.json["revocation_class"] = class.into();
    Ok(answer)
}

/// `symbolon transfer out`.
pub(super) fn transfer_out(args: &TransferOutArgs, context: &Context) -> Outcome {
    let cid = parse_cid(&args.licence)?;
    let operation = Operation::TransferOut { cid, to: args.to };
    change(context, cid, false, &format!("released to {}:", args.to), operation)
}

/// `symbolon transfer cancel`.
pub(super) fn transfer_cancel(args: &ReverseArgs, context: &Context) -> Outcome {
    let cid = parse_cid(&args.licence)?;
    change(context, cid, args.by_province, "took back", Operation::CancelTransfer { cid })
}

/// `symbolon status`.
pub(super) fn status(args: &StatusArgs, context: &Context) -> Outcome {
    let cid = parse_cid(&args.licence)?;
    let node = Node::of(context)?;
    let (mut answer, found) = match node.get(&format!("/v1/licences/{cid}")) {
        Ok(answer) => (answer, true),
        Err(NodeError::Problem(problem)) if problem.code == "unknown_licence" => {
            let body = problem.body;
            let height = body["height"].as_u64().unwrap_or_default();
            // The absence names its height alone.
            let block = node.get(&format!("/v1/blocks/{height}")).unwrap_or_default();
            let as_of = json!({"height": height, "time": block["header"]["time"]});
            (
                json!({"cid": cid.to_string(), "status": "none", "height": height, "as_of": as_of, "proof": body["proof"]}),
                false,
            )
        }
        Err(error) => return Err(error.into()),
    };
    let mut lines = vec![format!("{cid}"), format!("status      {}", text(&answer, "status"))];
    if found {
        lines.extend(status_lines(&answer));
    } else {
        lines.push("the ledger proves that it has no such licence".to_owned());
    }
    let proven = args
        .genesis
        .as_ref()
        .map(|genesis| check_proof(&answer, &cid, found, genesis))
        .transpose()?;
    let as_of = proven.or_else(|| said_as_of(&answer));
    lines.extend(as_of.map(|(height, time_ms)| format!("as of       {}", dated(height, time_ms))));
    let old = as_of.and_then(|(_, time_ms)| old_line(time_ms, staleness(&node), clock::now_ms()));
    answer["is_old"] = as_of.map(|_| old.is_some()).into();
    lines.extend(old);
    if let Some((height, _)) = proven {
        answer["proof_checked"] = json!(true);
        lines.push(format!("proof       holds: certified by the provinces at height {height}"));
    }
    let answer = Answer::new(lines.join("\n"), answer);
    Ok(if found { answer } else { answer.with_status(Status::Unknown) })
}

/// Height and time of the block that an answer says it rests on.
fn said_as_of(answer: &Value) -> Option<(u64, u64)> {
    Some((answer["height"].as_u64()?, instant::read(text(&answer["as_of"], "time"))?))
}

/// How old a block may be, in milliseconds, before an answer that rests on it says little of now: what
/// the node says its chain allows. That is one node's word, so it never makes the bound longer than
/// the default.
fn staleness(node: &Node) -> u64 {
    let parameters = node.get("/v1/parameters").unwrap_or_default();
    let said = parameters["max_staleness_ms"].as_u64().unwrap_or(DEFAULT_MAX_STALENESS_MS);
    said.min(DEFAULT_MAX_STALENESS_MS)
}

/// What is said of a block that is older than `bound`.
fn old_line(time_ms: u64, bound: u64, now_ms: u64) -> Option<String> {
    (now_ms.saturating_sub(time_ms) > bound).then(|| {
        format!(
            "WARNING     that is old: the node has no block since {}. The licence may have changed; \
             the network may stand still (symbolon doctor)",
            instant::text(time_ms)
        )
    })
}

fn status_lines(answer: &Value) -> Vec<String> {
    let (kind, issuer) = (&answer["licence_type"], &answer["issuer"]);
    let mut lines = vec![
        format!(
            "type        {} {} ({})",
            text(kind, "name_en"),
            text(kind, "name_zh"),
            text(kind, "code")
        ),
        format!(
            "issuer      {} ({}), province {}",
            text(issuer, "name"),
            text(issuer, "uscc"),
            text(issuer, "province")
        ),
    ];
    for (label, name) in [
        ("class     ", "revocation_class"),
        ("replaced by", "superseded_by"),
        ("released to", "transfer_to"),
        ("expires   ", "expiry"),
        ("replaces  ", "previous"),
    ] {
        if let Some(value) = answer[name].as_str() {
            lines.push(format!("{label:<11} {}", plain(value)));
        }
    }
    lines.push(format!(
        "issued      at height {}, last changed at {}",
        answer["issued_at"], answer["changed_at"]
    ));
    lines
}

/// Checks the proof in an answer against the founding document; gives the height that it is of, and
/// the time of that block.
fn check_proof(
    answer: &Value,
    cid: &Cid,
    found: bool,
    genesis: &Path,
) -> Result<(u64, u64), Failure> {
    let refuse = |what: String| Failure::refused("bad_proof", what, DISTRUST);
    let trust = from_genesis(genesis)?;
    let proof = from_base64url(text(answer, "proof"));
    let proof = proof.ok_or_else(|| refuse("the answer has no proof".to_owned()))?;
    let checked = state_proof::check(&proof, &trust)
        .map_err(|e| Failure::refused("bad_proof", e.to_string(), proof_hint(&e)))?;
    let key = StateKey::Licence(*cid);
    let proven = checked.get::<LicenceRecord>(&key).map_err(|e| refuse(e.to_string()))?;
    let fits = match proven {
        Some(record) => found && record.status.name() == text(answer, "status"),
        None => !found,
    };
    let header = checked.header().header();
    if !fits || answer["height"].as_u64() != Some(header.height) {
        return Err(refuse("the answer says otherwise than its proof".to_owned()));
    }
    Ok((header.height, header.time_ms))
}

/// `symbolon history`.
pub(super) fn history(args: &HistoryArgs, context: &Context) -> Outcome {
    let cid = parse_cid(&args.licence)?;
    let (node, path) = (Node::of(context)?, format!("/v1/licences/{cid}/history"));
    let mut answer = node.get(&path)?;
    if answer["next"].is_string() {
        answer["items"] = node.list(&path)?.into();
        answer["next"] = serde_json::Value::Null;
    }
    let mut lines = vec![format!("{cid}")];
    lines.extend(answer["items"].as_array().into_iter().flatten().map(event_line));
    Ok(Answer::new(lines.join("\n"), answer))
}

/// When, what, how the licence stood then, and who said so.
fn event_line(event: &Value) -> String {
    let class = event["revocation_class"].as_str().map(|class| format!(" ({})", plain(class)));
    let status = format!("{}{}", plain(text(event, "status")), class.unwrap_or_default());
    let actor = &event["actor"];
    let by = match actor["uscc"].as_str() {
        Some(uscc) => format!("agency {}", plain(uscc)),
        None => format!("province {}", plain(text(actor, "province"))),
    };
    let related = event["related"].as_str().map(|cid| format!("  {}", plain(cid)));
    format!(
        "  height {:<8} {}  {:<16} {status:<16} by {by} {}{}",
        event["height"].to_string(),
        plain(text(event, "time")),
        plain(text(event, "event")),
        plain(text(actor, "name")),
        related.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_is_named_by_its_cid_or_a_file_that_exists() {
        let cid = "00".repeat(32);
        assert_eq!(parse_cid(&cid).unwrap().to_string(), cid);
        for bad in ["", "00", &"0G".repeat(32), "no-such-file.sdjwt"] {
            assert_eq!(parse_cid(bad).unwrap_err().code, "bad_cid", "{bad}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.sdjwt");
        let code = |bytes: &[u8]| {
            files::write(&path, bytes).unwrap();
            parse_cid(path.to_str().unwrap()).unwrap_err().code
        };
        assert_eq!(code(b""), "empty_file");
        assert_eq!(code(b"\xff\xfe"), "not_utf8");
        assert_eq!(code(b"a~b~"), "malformed_presentation");
        assert_eq!(code(&vec![b'a'; MAX_PRESENTATION_LEN + 3]), "file_too_large");
    }

    #[test]
    fn a_block_is_called_old_once_no_verdict_may_rest_on_it() {
        let said = |age: u64| old_line(1_795_449_600_000, 60_000, 1_795_449_600_000 + age);
        assert_eq!(said(60_000), None);
        let line = said(60_001).unwrap();
        assert!(line.contains("no block since 2026-11-23T16:00:00Z."), "{line}");
        assert!(line.contains("symbolon doctor"), "{line}");
    }

    #[test]
    fn the_reasons_of_the_command_line_are_those_of_the_ledger() {
        for class in RevocationClass::ALL {
            let reason = Reason::from_str(class.name(), false).unwrap();
            assert_eq!(reason.class(), class);
        }
    }
}
