//! `symbolon present`: a licence as its holder shows it, on a screen or on paper.
//!
//! Works without a network: what it needs is the credential, the holder's key beside it, and the
//! catalogue that this program carries. Level A (fresh, for whoever scans it) is made when nothing
//! is asked for, level B when a verifier gave a nonce, level D when the credential has no holder's
//! key. Level C leaves one of these at a node ([`ticket`]), which needs a network, and shows the
//! link. What each level proves, and what it does not: `docs/citizen/README.md`.
//!
//! The presentation itself is the holder's data: it goes to standard output or to a file, and
//! nothing of it but the claims' keys is ever said on standard error.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use symbolon_credential::{
    elc1,
    encoding::to_base64url,
    sd_jwt::{KeyBinding, Parsed, SELF_PRESENTED, bind},
};
use symbolon_ledger::{codes::ProvinceCode, keys::SecretKey};
use symbolon_verify::{instant, judge::MAX_PRESENTATION_AGE_S};

use super::{
    licence::{read_credential, refuse_cid},
    shared::{parse_province, plain},
    staple::{self, Subject},
};
use crate::{
    args::Context,
    client::Node,
    clock, entropy, keyfile,
    output::{Answer, Failure, Outcome},
    qr::Code,
    targets::{self, Kind},
};

mod choice;
mod drawing;
mod ticket;

use choice::Wanted;
use drawing::Drawing;
use ticket::Ticket;

/// Longest audience or nonce, in bytes: what nodes accept.
const MAX_BINDING_TEXT: usize = 512;
/// Random bytes of a nonce that the holder makes.
const NONCE_LEN: usize = 16;

/// Show a licence: its claims of choice, bound to its holder, as a QR code
#[derive(Debug, Args)]
pub(crate) struct PresentArgs {
    /// The credential, as it was issued: <cid>.sdjwt
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The claims to show, by key or Chinese label [default: those that the catalogue names]
    #[arg(long, value_name = "KEY,KEY…", value_delimiter = ',', conflicts_with = "all")]
    disclose: Option<Vec<String>>,
    /// Show every claim that may be shown
    #[arg(long)]
    all: bool,
    /// The nonce that the verifier asks for
    #[arg(long, value_name = "TEXT", value_parser = parse_binding_text)]
    nonce: Option<String>,
    /// Whom the presentation is for, as the verifier says
    #[arg(long, value_name = "TEXT", requires = "nonce", value_parser = parse_binding_text)]
    audience: Option<String>,
    /// The holder's private key [default: <cid>.holder.pem beside the credential]
    #[arg(long, value_name = "FILE")]
    holder_key: Option<PathBuf>,
    /// Draw the QR code: a .png, an .svg, or - for the terminal
    #[arg(long, value_name = "FILE|-")]
    qr: Option<PathBuf>,
    /// Write the presentation as SD-JWT text
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Leave the presentation at the node of --node for a minute, and show the link to it
    #[arg(long)]
    ticket: bool,
    /// Beside it, write a proof of how the licence stands now, for verifiers without a network; asks
    /// a node for it
    #[arg(long, value_name = "FILE")]
    staple: Option<PathBuf>,
    /// The provinces whose recognition the staple proves, too [default: the answering node's]
    #[arg(long, value_name = "CODE,CODE…", value_delimiter = ',', requires = "staple", value_parser = parse_province)]
    province: Vec<ProvinceCode>,
    /// The licence type as a node gives it, where this program's catalogue lacks it
    #[arg(long, value_name = "FILE.json")]
    licence_type_file: Option<PathBuf>,
}

fn parse_binding_text(text: &str) -> Result<String, String> {
    match text.len() {
        1..=MAX_BINDING_TEXT => Ok(text.to_owned()),
        _ => Err(format!("give 1 to {MAX_BINDING_TEXT} bytes, as the verifier shows them")),
    }
}

/// What a presentation proves of who shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// The holder made it within the last minute.
    SelfPresented,
    /// The holder made it for this verifier's challenge.
    Challenge,
    /// Nothing: a document that can be copied.
    Paper,
}

impl Level {
    const fn letter(self) -> &'static str {
        match self {
            Self::SelfPresented => "A",
            Self::Challenge => "B",
            Self::Paper => "D",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::SelfPresented => "level A: bound to the holder, fresh for 60 seconds",
            Self::Challenge => "level B: bound to the holder and to the verifier's nonce",
            Self::Paper => {
                "level D: the credential has no holder's key, so this proves the document and not who shows it"
            }
        }
    }
}

/// A presentation with what is to be said of it.
struct Presented {
    level: Level,
    text: String,
    shown: Vec<String>,
    issued_at: u64,
}

/// Runs the command.
pub(super) fn run(args: &PresentArgs, context: &Context) -> Outcome {
    let drawing = args.qr.as_deref().map(Drawing::parse).transpose()?;
    refuse_cid(&args.file)?;
    let credential = read_credential(&args.file)?;
    check_targets(args, drawing.as_ref())?;
    let presented = present(args, context, &credential)?;
    let packed = match packed(&presented) {
        Err(failure) if !args.ticket && (drawing.is_some() || args.out.is_none()) => {
            return Err(failure);
        }
        packed => packed.ok(),
    };
    let staple = args.staple.as_deref().map(|path| fetch_staple(path, args, &credential, context));
    let staple = staple.transpose()?;
    let ticket = args.ticket.then(|| ticket::leave(&presented.text, context)).transpose()?;
    // A link is short: it takes all the correction that there is.
    let link = ticket.as_ref().and_then(|ticket| drawing::code(&ticket.url, true));
    let code = if args.ticket { link.as_ref() } else { packed.as_ref().map(|(_, code)| code) };
    if let Some(path) = &args.out {
        targets::write(path, presented.text.as_bytes(), Kind::Presentation)?;
    }
    let drawn = match (&drawing, code) {
        (Some(drawing), Some(code)) => drawing.draw(code)?,
        _ => None,
    };
    context.output.note(format!("note: {}", presented.level.words()));
    if ticket.is_some() {
        context.output.note("note: level C: whoever has the link can fetch this, once");
    }
    if let Some(code) = code
        && drawing.is_some()
        && code.version() > drawing::MAX_READABLE_VERSION
    {
        context.output.note(format!(
            "note: the code has version {}; above {} many cameras fail: show fewer claims",
            code.version(),
            drawing::MAX_READABLE_VERSION
        ));
    }
    let answer = json!({
        "cid": credential.claimed_cid().map(|cid| cid.to_string()),
        "level": if ticket.is_some() { "C" } else { presented.level.letter() },
        "presentation": presented.text,
        "elc1": packed.as_ref().map(|(text, _)| text),
        "qr_version": code.map(crate::qr::Code::version),
        "qr_correction": code.map(|code| code.correction().letter()),
        "file": drawing.as_ref().and_then(Drawing::path),
        "presentation_file": args.out,
        "disclosed": presented.shown,
        "expires_at": expires_at(&presented),
        "ticket": ticket.as_ref().map(Ticket::json),
        "staple": staple.map(|height| json!({"file": args.staple, "height": height})),
    });
    let elc1 = packed.map(|(text, _)| text);
    let mut text = text(&presented, elc1, args, drawing.as_ref());
    if let Some(ticket) = &ticket {
        text = match drawing.is_some() || args.out.is_some() {
            true => format!("{text}\n{}", ticket.lines()),
            false => ticket.lines(),
        };
    }
    Ok(Answer::new(text, answer).with_drawing(drawn))
}

/// Refuses, before anything is shown to a node, to write over what cannot be made again.
fn check_targets(args: &PresentArgs, drawing: Option<&Drawing>) -> Result<(), Failure> {
    let targets = [
        (args.out.as_deref(), Kind::Presentation),
        (drawing.and_then(Drawing::path), Kind::Picture),
        (args.staple.as_deref(), Kind::StateProof),
    ];
    let named = targets.into_iter().filter_map(|(path, kind)| Some((path?, kind)));
    named.into_iter().try_for_each(|(path, kind)| targets::check(path, kind))
}

/// Writes the proof of how the licence stands now; gives the height that it is of.
fn fetch_staple(
    path: &Path,
    args: &PresentArgs,
    credential: &Parsed,
    context: &Context,
) -> Result<u64, Failure> {
    let subject = Subject::of_credential(credential).ok_or_else(|| {
        Failure::refused(
            "foreign_issuer",
            "the credential's issuer is no agency of this ledger, so nothing can be proven of it",
            "present it without --staple",
        )
    })?;
    let staple = staple::fetch(&Node::of(context)?, &subject, &args.province)?;
    staple::write(path, &staple, &subject, context)?;
    Ok(staple.height)
}

/// For people: the text, or where the files are.
fn text(
    presented: &Presented,
    elc1: Option<String>,
    args: &PresentArgs,
    drawing: Option<&Drawing>,
) -> String {
    let files = [
        ("QR code", drawing.and_then(Drawing::path)),
        ("SD-JWT", args.out.as_deref()),
        ("staple", args.staple.as_deref()),
    ];
    if drawing.is_none() && args.out.is_none() {
        return elc1.unwrap_or_default();
    }
    let mut lines: Vec<String> = Vec::new();
    for (what, path) in files {
        lines.extend(path.map(|path| format!("{what:<8} {}", path.display())));
    }
    lines.push(match presented.shown.is_empty() {
        true => {
            "shows    nothing beyond type, issuer, dates and where its status stands".to_owned()
        }
        false => format!("shows    {}", plain(&presented.shown.join(", "))),
    });
    lines.join("\n")
}

fn present(
    args: &PresentArgs,
    context: &Context,
    credential: &Parsed,
) -> Result<Presented, Failure> {
    let licence_type =
        choice::licence_type(credential, args.licence_type_file.as_deref(), context)?;
    let wanted = match (&args.disclose, args.all) {
        (Some(wanted), _) => Wanted::These(wanted),
        (None, true) => Wanted::All,
        (None, false) => Wanted::Default,
    };
    let shown = choice::choose(credential, &licence_type, &wanted)?;
    let keys: Vec<&str> = shown.iter().map(String::as_str).collect();
    let sd_jwt = credential.present(&keys).map_err(|e| choice::faulty(&e))?;
    let issued_at = clock::now_ms() / 1_000;
    let Some(key) = holder_key(args, credential)? else {
        return Ok(Presented { level: Level::Paper, text: sd_jwt, shown, issued_at });
    };
    let nonce = match &args.nonce {
        Some(nonce) => nonce.clone(),
        None => to_base64url(&entropy::bytes::<NONCE_LEN>()?),
    };
    let audience = args.audience.clone().unwrap_or_else(|| SELF_PRESENTED.to_owned());
    let level = if args.nonce.is_some() { Level::Challenge } else { Level::SelfPresented };
    let text = bind(&sd_jwt, &KeyBinding { audience, nonce, issued_at }, &key);
    Ok(Presented { level, text, shown, issued_at })
}

/// The private half of the key that the credential names; `None` when it names none.
fn holder_key(args: &PresentArgs, credential: &Parsed) -> Result<Option<SecretKey>, Failure> {
    let Some(public) = credential.claimed_holder_key() else {
        if args.holder_key.is_some() || args.nonce.is_some() {
            return Err(Failure::refused(
                "no_holder_binding",
                "this credential names no holder's key, so nobody can sign for its holder",
                "present it without --nonce and --holder-key, or ask its issuer for one with a key",
            ));
        }
        return Ok(None);
    };
    let beside = args.file.with_extension("holder.pem");
    let path: &Path = match &args.holder_key {
        Some(path) => path,
        None if beside.exists() => &beside,
        None => {
            return Err(Failure::usage(
                "no_holder_key",
                format!("the holder's key is not at {}", beside.display()),
                "name it with --holder-key FILE",
            ));
        }
    };
    let key = keyfile::read(path)?;
    if key.public_key() != *public {
        return Err(Failure::refused(
            "other_holder_key",
            format!("{} is not the key that this credential names", path.display()),
            "give the key that was made with this credential; each has its own",
        ));
    }
    Ok(Some(key))
}

/// Until when a verifier that gave no nonce accepts it.
fn expires_at(presented: &Presented) -> Option<String> {
    if presented.level != Level::SelfPresented {
        return None;
    }
    let end = presented.issued_at.saturating_add(MAX_PRESENTATION_AGE_S);
    Some(instant::text(end.saturating_mul(1_000)))
}

/// The text of the presentation's QR code, and the code.
fn packed(presented: &Presented) -> Result<(String, Code), Failure> {
    let refuse = |why: &dyn std::fmt::Display| {
        Failure::refused(
            "no_qr",
            format!("this presentation does not fit a QR code: {why}"),
            "show fewer claims with --disclose, or write it as text with --out FILE",
        )
    };
    let text = elc1::encode(&presented.text).map_err(|e| refuse(&e))?;
    let code = drawing::code(&text, presented.level == Level::Paper);
    let code = code.ok_or_else(|| refuse(&"no code is large enough"))?;
    Ok((text, code))
}
