//! `symbolon genesis`: the founding document and the ceremony that makes it.
//!
//! Files, keys and the clock are here; what a document means and how parts are joined is the
//! `symbolon-genesis` crate's. Private keys are made in a folder of the province's own and never
//! leave it: what a province hands on is its part, which holds public keys only.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde_json::{Value, json};
use symbolon_genesis::{
    Genesis, Problem,
    ceremony::{self, Draft, Part},
    document::{
        Chain, DEFAULT_BUNDLE_MAX_AGE_MS, DEFAULT_IDLE_BLOCK_INTERVAL_MS, DEFAULT_MAX_STALENESS_MS,
        MAX_DOCUMENT_BYTES,
    },
    presets,
};

mod join;
mod show;

use crate::{
    args::Context,
    clock, files,
    output::{Answer, Failure, Outcome, Status},
};

/// The ceremony: new, then join in every province, then finish, check and show.
#[derive(Debug, Subcommand)]
pub(crate) enum GenesisCommand {
    /// Write a draft: the network's name, founding time and catalogue
    New(NewArgs),
    /// Write a province's part of a draft, and make its keys where none are yet
    Join(join::JoinArgs),
    /// Join a draft and the parts of all provinces into the founding document
    Finish {
        /// The draft
        draft: PathBuf,
        /// The parts, in any order
        #[arg(required = true)]
        parts: Vec<PathBuf>,
        /// Where to write the document
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Check a founding document, and that it says what the parts of all provinces said and no more
    Check {
        /// The document
        file: PathBuf,
        /// The parts of all provinces
        #[arg(long = "part", value_name = "FILE", num_args = 1..)]
        parts: Vec<PathBuf>,
    },
    /// Show a founding document, a draft or a part in words, with its chain id, digest or fingerprint
    Show {
        /// The document, the draft or the part
        file: PathBuf,
    },
}

/// Which licence types a draft begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    /// The national catalogue
    National,
    /// No licence type: add your own to the draft
    Empty,
}

/// Arguments of `genesis new`.
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// The network's name
    #[arg(long)]
    name: String,
    /// The founding block's time (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME")]
    time: Option<Timestamp>,
    /// The catalogue
    #[arg(long, value_enum, default_value_t = Preset::National)]
    preset: Preset,
    /// Where to write the draft
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs one command.
///
/// # Errors
///
/// When a file cannot be read or written, or says what cannot be.
pub(crate) fn run(command: GenesisCommand, _: &Context) -> Outcome {
    match command {
        GenesisCommand::New(args) => new(&args),
        GenesisCommand::Join(args) => join::run(&args),
        GenesisCommand::Finish { draft, parts, out } => finish(&draft, &parts, &out),
        GenesisCommand::Check { file, parts } => check(&file, &parts),
        GenesisCommand::Show { file } => show::run(&file),
    }
}

fn new(args: &NewArgs) -> Outcome {
    let name = args.name.parse().map_err(|e| {
        Failure::usage(
            "bad_name",
            format!("the name cannot stand in a document: {e}"),
            "shorten it",
        )
    })?;
    let given = args.time.map(|time| u64::try_from(time.as_millisecond()));
    let genesis_time_ms = given.unwrap_or_else(|| Ok(clock::now_ms())).map_err(|_| {
        Failure::usage("bad_time", "the founding time is before 1970", "give --time a later one")
    })?;
    let chain = Chain {
        name,
        genesis_time_ms,
        idle_block_interval_ms: DEFAULT_IDLE_BLOCK_INTERVAL_MS,
        max_staleness_ms: DEFAULT_MAX_STALENESS_MS,
        bundle_max_age_ms: DEFAULT_BUNDLE_MAX_AGE_MS,
    };
    let licence_types = match args.preset {
        Preset::National => presets::catalogue(),
        Preset::Empty => Vec::new(),
    };
    let text = Draft { chain, licence_types }.to_toml();
    // What is written is what will be read: a time of the year 12000 fails here, not later.
    let draft = Draft::parse(&text).map_err(|problems| refuse(&args.out, &problems))?;
    write_new(&args.out, &text)?;
    let text = format!(
        "draft   {}\ndigest  {}\n\nChange it if you must, then send it to every province. Each one runs:\n  \
         symbolon genesis join {} --province CODE --keys DIR --origin URL --address MULTIADDR --out PART",
        args.out.display(),
        draft.digest(),
        args.out.display(),
    );
    Ok(Answer::new(text, json!({"file": args.out, "digest": draft.digest().to_string()})))
}

fn finish(draft: &Path, parts: &[PathBuf], out: &Path) -> Outcome {
    let files: Vec<&Path> =
        std::iter::once(draft).chain(parts.iter().map(PathBuf::as_path)).collect();
    let draft_text = read_text(draft, "the draft")?;
    let texts = parts.iter().map(|p| read_text(p, "the part")).collect::<Result<Vec<_>, _>>()?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let genesis = ceremony::finish(&draft_text, &texts).map_err(|problems| {
        let problems: Vec<(&Path, Problem)> = problems
            .into_iter()
            .map(|(file, problem)| (files.get(file).copied().unwrap_or(draft), problem))
            .collect();
        refuse_all(&problems)
    })?;
    write_new(out, &genesis.to_toml())?;
    let read = |(file, text): (&PathBuf, &&str)| {
        let part = Part::parse(text).map_err(|problems| refuse(file, &problems))?;
        Ok((file.clone(), part))
    };
    let parts = parts.iter().zip(&texts).map(read).collect::<Result<Vec<_>, Failure>>()?;
    Ok(show::with_parts(show::document(out, &genesis), &parts))
}

fn check(file: &Path, part_files: &[PathBuf]) -> Outcome {
    let genesis = read_genesis(file)?;
    let mut parts = Vec::new();
    for part_file in part_files {
        let text = read_text(part_file, "the part")?;
        let part = Part::parse(&text).map_err(|problems| refuse(part_file, &problems))?;
        let missing = part.missing_from(&genesis);
        if !missing.is_empty() {
            let (part, document) = (part_file.display(), file.display());
            let what = format!("{document} does not say what {part} says");
            let hint = "do not run a node with this document; ask whoever joined the parts";
            return Err(disagrees("part_differs", &what, hint, &missing));
        }
        parts.push(part);
    }
    let named = part_files.iter().cloned().zip(parts.iter().cloned()).collect::<Vec<_>>();
    let strangers = ceremony::strangers(&genesis, &parts);
    if parts.is_empty() || strangers.is_empty() {
        return Ok(show::with_parts(show::document(file, &genesis), &named));
    }
    let what = format!("{} has members that none of these parts brought", file.display());
    let hint = "give the parts of all provinces after --part, each from the province itself; whom \
                nobody knows does not belong into the document";
    Err(disagrees("unknown_members", &what, hint, &strangers))
}

/// The document and the parts do not agree, in each of `problems`.
fn disagrees(code: &'static str, what: &str, hint: &'static str, problems: &[String]) -> Failure {
    let message = format!("{what}:\n  {}", problems.join("\n  "));
    let error = json!({"code": code, "message": what, "hint": hint, "problems": problems});
    Failure::refused(code, message, hint).with_json(json!({ "error": error }))
}

/// Reads a founding document.
///
/// # Errors
///
/// When it cannot be read, with everything that is wrong with it.
pub(crate) fn read_genesis(file: &Path) -> Result<Genesis, Failure> {
    let text = read_text(file, "the founding document")?;
    Genesis::parse(&text).map_err(|problems| refuse(file, &problems))
}

fn read_text(file: &Path, what: &str) -> Result<String, Failure> {
    files::read_text(file, MAX_DOCUMENT_BYTES as u64, what)
}

/// Writes a text that holds no secret where no file is yet.
fn write_new(file: &Path, text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    let options = std::fs::OpenOptions::new().write(true).create_new(true).open(file);
    let written =
        options.and_then(|mut f| f.write_all(text.as_bytes()).and_then(|()| f.sync_all()));
    written.map_err(|e| {
        Failure::usage(
            "unwritable_file",
            format!("{} cannot be written: {e}", file.display()),
            "nothing is overwritten: name a new file in a folder that you may write to",
        )
    })
}

fn refuse(file: &Path, problems: &[Problem]) -> Failure {
    let located: Vec<(&Path, Problem)> = problems.iter().map(|p| (file, p.clone())).collect();
    refuse_all(&located)
}

/// All problems at once, each with its file and line.
fn refuse_all(problems: &[(&Path, Problem)]) -> Failure {
    let place = |file: &Path, problem: &Problem| match problem.line {
        Some(line) => format!("{}:{line}", file.display()),
        None => file.display().to_string(),
    };
    let count = match problems.len() {
        1 => "one problem".to_owned(),
        count => format!("{count} problems"),
    };
    let mut message = format!("{count}:");
    for (file, problem) in problems {
        message.push_str(&format!("\n  {}: {}", place(file, problem), problem.what));
        if !problem.hint.is_empty() {
            message.push_str(&format!("\n      {}", problem.hint));
        }
    }
    let as_json = |(file, p): &(&Path, Problem)| -> Value {
        json!({"file": file, "line": p.line, "what": p.what, "hint": p.hint})
    };
    let list: Vec<Value> = problems.iter().map(as_json).collect();
    let hint = "mend what is listed, and run the command again";
    let error = json!({"code": "bad_document", "message": count, "hint": hint, "problems": list});
    Failure::new(Status::Refused, "bad_document", message, hint)
        .with_json(json!({ "error": error }))
}
