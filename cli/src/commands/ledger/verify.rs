//! `symbolon verify`: one clear answer about a presented licence.
//!
//! The node judges; this shows its verdict in English and Chinese, and ends with the outcome's own
//! exit status: 0 valid, 1 invalid, 4 unknown, 5 undetermined. Without a verdict it is 1 only for a
//! presentation that is malformed. Marks are words, not colours. Claims are shown masked, as the
//! catalogue's classes demand, unless `--show-all` is given.
//!
//! Beside it: [`headline`] (the first line), [`picture`] (a QR code is found here and sent as the
//! text that it is), [`challenge`] (a nonce for the holder to sign), [`ticket`] (a presentation
//! behind a link) and [`offline`] (the verdict without a node).

use std::path::Path;

use clap::Args;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use symbolon_credential::{elc1, sd_jwt::MAX_PRESENTATION_LEN};
use symbolon_ledger::codes::ProvinceCode;
use symbolon_verify::verdict::Outcome as Judged;

use super::{
    licence::refuse_cid,
    shared::{parse_province, plain},
};
use crate::{
    args::Context,
    client::{Node, text},
    files,
    output::{Answer, Failure, Outcome, Status},
};

mod picture;

mod challenge;

mod ticket;

mod offline;

mod headline;

/// Verify a presented licence
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// A file (text, or a PNG or JPEG of a QR code), the presented text itself, the link of a
    /// ticket, or - for standard input
    #[arg(value_name = "FILE|TEXT|IMAGE|URL|-", required_unless_present = "challenge")]
    presentation: Option<String>,
    /// Judge dates and recognition at this time: YYYY-MM-DD, or an RFC 3339 instant
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Judge recognition for this province [default: the answering node's]
    #[arg(long, value_name = "CODE", value_parser = parse_province)]
    province: Option<ProvinceCode>,
    /// The audience that the presentation must be made for [default: whoever scans it]
    #[arg(long, value_name = "TEXT")]
    audience: Option<String>,
    /// The nonce that the presentation must carry: of --challenge at this node, or one's own
    #[arg(long, value_name = "TEXT")]
    nonce: Option<String>,
    /// Show sensitive claims whole
    #[arg(long)]
    show_all: bool,
    #[command(flatten)]
    challenge: challenge::ChallengeArgs,
    #[command(flatten)]
    offline: offline::OfflineArgs,
}

/// Runs the command.
pub(super) fn run(args: &VerifyArgs, context: &Context) -> Outcome {
    answer(args, context).map_err(no_verdict)
}

/// A failure as `verify` may end with it. Status 1 is said of licences: of one that was judged
/// invalid, and of a presentation of which the rules say without a ledger that it is none. What
/// shows no licence, or no longer, leaves the question open; anything else is a wrong command line
/// or file.
fn no_verdict(failure: Failure) -> Failure {
    let status = match (failure.status, failure.code.as_str()) {
        (Status::Refused, "malformed_presentation") => Status::Refused,
        (Status::Refused, "no_code" | "several_codes" | "unknown_ticket") => Status::Undetermined,
        (Status::Refused, _) => Status::Usage,
        (status, _) => status,
    };
    Failure { status, ..failure }
}

fn answer(args: &VerifyArgs, context: &Context) -> Outcome {
    let Some(presentation) = &args.presentation else {
        return challenge::run(args.audience.as_deref(), context);
    };
    let presentation = read(presentation, args.offline.is_asked())?;
    if args.offline.is_asked() {
        return without_node(args, &presentation, context);
    }
    let mut body = Map::new();
    body.insert("presentation".to_owned(), json!(presentation));
    let optional = [
        ("at", args.at.clone()),
        ("recognising_province", args.province.map(|p| p.to_string())),
        ("audience", args.audience.clone()),
        ("nonce", args.nonce.clone()),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            body.insert(name.to_owned(), json!(value));
        }
    }
    let node = Node::of(context)?;
    let verdict = node.post("/v1/verify", &Value::Object(body))?;
    if args.offline.holds() {
        let held = args.offline.hold(&node, verdict, &presentation, question(args), context)?;
        return Ok(with_evidence(args, held));
    }
    let Ok(outcome) = Judged::deserialize(&verdict["outcome"]) else {
        return Err(Failure::unreachable(
            "strange_answer",
            format!("{} gave no verdict", node.url()),
            "check that --node names a symbolon node of this version",
        ));
    };
    let status = outcome.into();
    Ok(Answer::new(show(&verdict, args.show_all), verdict).with_status(status))
}

/// Judges without a node.
fn without_node(args: &VerifyArgs, presentation: &str, context: &Context) -> Outcome {
    Ok(with_evidence(args, args.offline.judge(presentation, &question(args), context)?))
}

fn question(args: &VerifyArgs) -> offline::Question<'_> {
    offline::Question {
        at: args.at.as_deref(),
        province: args.province,
        audience: args.audience.as_deref(),
        nonce: args.nonce.as_deref(),
    }
}

/// A verdict that was judged here, and what it rests on.
fn with_evidence(args: &VerifyArgs, judged: offline::Offline) -> Answer {
    let mut lines =
        vec![show(&judged.verdict, args.show_all), String::new(), "evidence 核验依据".to_owned()];
    lines.extend(judged.evidence.iter().map(|line| format!("  {line}")));
    Answer::new(lines.join("\n"), judged.verdict).with_status(judged.status)
}

/// The presentation that the argument is, or that the file or the ticket which it names holds or
/// shows. A ticket lies at a node, so none is fetched `offline`.
fn read(argument: &str, offline: bool) -> Result<String, Failure> {
    let fetch = |link: &str| if offline { Err(not_offline()) } else { ticket::fetch(link) };
    if ticket::is_link(argument) {
        return fetch(argument);
    }
    let path = Path::new(argument);
    if is_like_one(argument) && !path.exists() {
        return Ok(argument.trim().to_owned());
    }
    refuse_cid(path)?;
    if !path.exists() && is_code_in_small_letters(argument) {
        return Err(Failure::usage(
            "no_presentation",
            "this is no code of a licence: its text begins with ELC1: in capitals",
            "give it as it was scanned, since every capital counts; scan the code again",
        ));
    }
    let what = "the presentation";
    let bytes = files::read(path, picture::MAX_BYTES, what)?;
    if picture::form(&bytes).is_some() {
        let code = picture::read(&bytes)?;
        return if ticket::is_link(&code) { fetch(&code) } else { Ok(code) };
    }
    files::within(&bytes, MAX_PRESENTATION_LEN as u64 + 2, path, what)?;
    let content = files::utf8(bytes, path, what)?;
    let content = content.trim_start_matches('\u{feff}').trim();
    if !is_like_one(content) {
        return Err(Failure::usage(
            "no_presentation",
            format!(
                "{} is neither the text of a licence nor a picture of its code",
                path.display()
            ),
            "a licence's text begins with eyJ, or with ELC1: in capitals",
        ));
    }
    Ok(content.to_owned())
}

/// Whether a text has the outward form of a presentation, whole or not.
fn is_like_one(text: &str) -> bool {
    ["eyJ", elc1::PREFIX].iter().any(|start| text.starts_with(start)) || text.contains('~')
}

/// Whether a text begins as a code's, but for its capitals.
fn is_code_in_small_letters(text: &str) -> bool {
    let start = text.get(..elc1::PREFIX.len()).unwrap_or_default();
    start.eq_ignore_ascii_case(elc1::PREFIX)
}

fn not_offline() -> Failure {
    Failure::usage(
        "link_offline",
        "this is a link to a presentation, which lies at a node, and --offline asks none",
        "ask the holder for a code that holds the licence itself, or leave --offline out",
    )
}

/// A verdict for people: claims masked, or with `show_all` whole.
fn show(verdict: &Value, show_all: bool) -> String {
    let mut lines = vec![plain(&headline::headline(verdict))];
    lines.extend(headline::binding_fault(verdict).map(|why| plain(&format!("Why 原因: {why}"))));
    let message = &verdict["message"];
    lines.extend([plain(text(message, "en")), plain(text(message, "zh")), String::new()]);
    let mut line = |label: &str, value: String| {
        if !value.trim().is_empty() {
            lines.push(format!("{label:<12}{}", plain(&value)));
        }
    };
    line("reason", text(verdict, "reason").replace('_', " "));
    let (kind, issuer) = (&verdict["licence_type"], &verdict["issuer"]);
    line("type", format!("{} {}", text(kind, "name_en"), text(kind, "name_zh")));
    if let Some(name) = issuer["name"].as_str() {
        line("issuer", format!("{name}, province {}", text(issuer, "province")));
    }
    line("from", text(verdict, "valid_from").to_owned());
    line("until", text(verdict, "valid_until").to_owned());
    line("ledger", text(verdict, "ledger_status").replace('_', " "));
    line("recognised", headline::recognised(&verdict["recognised"]));
    line("holder", holder(&verdict["holder_bound"]));
    line("replaced by", text(verdict, "superseded_by").to_owned());
    line("licence", text(verdict, "cid").to_owned());
    let as_of = &verdict["as_of"];
    if as_of.is_object() {
        line("as of", format!("height {}, {}", as_of["height"], text(as_of, "time")));
    }
    let (shown, title) = match show_all {
        true => ("value", "claims 证照内容"),
        false => ("display", "claims 证照内容 (sensitive ones masked 已脱敏: --show-all)"),
    };
    list(&mut lines, title, &verdict["claims"], |claim| {
        format!("{} {}: {}", text(claim, "label_zh"), text(claim, "label_en"), text(claim, shown))
    });
    list(&mut lines, "checks 核验项目", &verdict["checks"], |check| {
        let mark = match text(check, "result") {
            "pass" => "pass",
            "fail" => "FAIL",
            _ => "skipped",
        };
        format!("{mark:<8} {:<12} {}", text(check, "name").replace('_', " "), text(check, "detail"))
    });
    lines.join("\n")
}

fn list(lines: &mut Vec<String>, title: &str, items: &Value, show: impl Fn(&Value) -> String) {
    let items = items.as_array().map(Vec::as_slice).unwrap_or_default();
    if !items.is_empty() {
        lines.extend([String::new(), title.to_owned()]);
        lines.extend(items.iter().map(|item| format!("  {}", plain(show(item).trim_end()))));
    }
}

fn holder(value: &Value) -> String {
    match value.as_bool() {
        Some(true) => "shown by its holder",
        Some(false) => "NOT shown by its holder",
        None => "not verified: check the person by other means",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_reads_well_without_colour() {
        let verdict = json!({
            "outcome": "invalid", "reason": "revoked", "ledger_status": "revoked",
            "recognised": {"value": false, "reason": "no_agreement"}, "holder_bound": null,
            "message": {"zh": "此证照已被吊销", "en": "this licence has been revoked"},
            "licence_type": {"code": "local:x", "name_zh": "驾驶证", "name_en": "Driving licence"},
            "issuer": {"uscc": "1", "name": "某局", "province": "44"},
            "claims": [{"key": "name", "label_zh": "姓名", "label_en": "Name",
                "value": "某\u{1b}某\u{202e}", "display": "某***\u{200b}"}],
            "checks": [{"name": "status", "result": "fail", "detail": "revoked at height 9"}],
            "as_of": {"height": 12, "time": "2026-11-23T00:00:00Z"},
        });
        let shown = show(&verdict, false);
        for part in [
            "INVALID  无效",
            "此证照已被吊销",
            "recognised  NO (no agreement)",
            "issuer      某局, province 44",
            "  姓名 Name: 某***\\u{200b}\n",
            "  FAIL     status       revoked at height 9",
            "as of       height 12",
        ] {
            assert!(shown.contains(part), "{part:?} in\n{shown}");
        }
        let whole = show(&verdict, true);
        assert!(whole.contains("  姓名 Name: 某\\u{1b}某\\u{202e}\n"), "{whole}");
        assert!(!whole.contains("***"), "{whole}");
    }

    /// Status 1 without a verdict would look like a verdict.
    #[test]
    fn without_a_verdict_the_status_is_that_of_an_invalid_licence_only_for_what_is_malformed() {
        for (status, code, expected) in [
            (Status::Refused, "malformed_presentation", Status::Refused),
            (Status::Refused, "no_code", Status::Undetermined),
            (Status::Refused, "several_codes", Status::Undetermined),
            (Status::Refused, "unknown_ticket", Status::Undetermined),
            (Status::Refused, "foreign_code", Status::Usage),
            (Status::Refused, "picture_too_large", Status::Usage),
            (Status::Refused, "bad_audience", Status::Usage),
            (Status::Refused, "anything_else", Status::Usage),
            (Status::Unreachable, "unreachable", Status::Unreachable),
            (Status::Undetermined, "more_needed", Status::Undetermined),
        ] {
            let failure = no_verdict(Failure::new(status, code, "x", "y"));
            assert_eq!((failure.status, failure.code.as_str()), (expected, code));
        }
    }

    #[test]
    fn what_is_wrong_with_a_holders_signature_stands_above() {
        let detail = "this node gave no such challenge";
        let check = |reason: &str, expected: bool| {
            let verdict = json!({"outcome": "invalid", "reason": reason,
                "checks": [{"name": "holder_binding", "result": "fail", "detail": detail}]});
            let shown = show(&verdict, false);
            let second = shown.lines().nth(1).unwrap_or_default();
            assert_eq!(second == format!("Why 原因: {detail}"), expected, "{shown}");
        };
        check("bad_holder_binding", true);
        check("revoked", false);
    }

    #[test]
    fn text_is_told_from_files() {
        assert_eq!(read("ELC1:ABC", false).unwrap(), "ELC1:ABC");
        assert_eq!(read("a.b.c~d~", true).unwrap(), "a.b.c~d~");
        assert_eq!(read("no-such-file", false).unwrap_err().code, "unreadable_file");
        assert_eq!(read(&"0a".repeat(32), false).unwrap_err().code, "cid_given");
        assert_eq!(read("elc1:abc", false).unwrap_err().code, "no_presentation");
        assert_eq!(read("https://a.example/x", false).unwrap_err().code, "no_ticket_link");
        let link = "http://127.0.0.1:1/t/AAAAAAAAAAAAAAAAAAAAAA";
        assert_eq!(read(link, true).unwrap_err().code, "link_offline");
    }
}
