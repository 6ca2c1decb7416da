//! `symbolon-node sign-state`: what an operator does with the mark when a key moves, is new, or
//! has lost it.
//!
//! Export hands over: the file here says from then on that the key votes elsewhere, so two sites
//! cannot both go on from one mark by mistake. The exported file is JSON, for people to look at;
//! it is no secret and proves nothing.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use symbolon_consensus::mark::place;
use symbolon_ledger::vote::{Statement, Step};

use super::{MODE, Owner, SignState, SignStateError, Standing, VERSION};
use crate::storage::had_vote;

/// Most bytes of an exported file.
const MAX_EXPORT_BYTES: u64 = 4_096;

/// Arguments of `sign-state`.
#[derive(Debug, Args)]
pub struct SignStateArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say that the validator's key has never signed, or nothing above a height. Once, when a
    /// network is founded; later only by somebody who knows.
    New {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// The key may have signed up to this height, and has signed nothing above it.
        #[arg(long, value_name = "HEIGHT")]
        signed_up_to: Option<u64>,
    },
    /// Show what the validator's key has signed last. The node must be stopped.
    Show {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// Print one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Hand the mark over to another machine: the key does not vote here any more. The node must
    /// be stopped.
    Export {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// The new file.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Take the mark over that another machine has exported. The validator looks on for whole heights
    /// first, since no file says what was signed after it was made.
    Import {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// The exported file.
        file: PathBuf,
        /// The key has signed nothing since the export: it votes at once, above the mark.
        #[arg(long)]
        nothing_signed_since: bool,
    },
}

/// An exported mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exported {
    version: u8,
    chain_id: String,
    province: String,
    /// The validator's public key, in hexadecimal.
    key: String,
    /// Null when nothing was signed.
    signed: Option<ExportedMark>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportedMark {
    height: u64,
    round: u32,
    step: String,
    /// Null for a vote against all blocks.
    block: Option<String>,
    /// For a proposal that was made before: the round of its quorum.
    pol_round: Option<u32>,
}

impl SignStateArgs {
    /// The configuration that the command is about.
    #[must_use]
    pub fn config(&self) -> &Path {
        match &self.command {
            Command::New { config, .. }
            | Command::Show { config, .. }
            | Command::Export { config, .. }
            | Command::Import { config, .. } => config,
        }
    }

    /// Does it, and says what was done. `data` is the node's data folder.
    ///
    /// # Errors
    ///
    /// [`SignStateError`].
    pub fn run(&self, path: &Path, owner: Owner, data: &Path) -> Result<String, SignStateError> {
        match &self.command {
            Command::New { signed_up_to, .. } => new(path, owner, data, *signed_up_to),
            Command::Show { json, .. } => show(path, owner, *json),
            Command::Export { out, .. } => export(path, owner, out),
            Command::Import { file, nothing_signed_since, .. } => {
                import(path, owner, file, *nothing_signed_since)
            }
        }
    }
}

/// A file that is gone is not a key that never signed, and the database may know better.
fn new(
    path: &Path,
    owner: Owner,
    data: &Path,
    signed_up_to: Option<u64>,
) -> Result<String, SignStateError> {
    if let Some(height) = had_vote(data, owner.province, &owner.key)?
        && signed_up_to.is_none_or(|known| known < height)
    {
        return Err(SignStateError::Voted { data: data.to_owned(), height });
    }
    let mark = signed_up_to.map(|height| Statement {
        step: Step::Precommit,
        chain: owner.chain,
        height,
        // The end of that height, whatever was signed in it.
        round: u32::MAX,
        block: None,
        pol_round: None,
    });
    SignState::create(path, owner, Standing::Known(mark))?;
    let what = match signed_up_to {
        Some(height) => format!("nothing above height {height} was signed"),
        None => "nothing was ever signed".to_owned(),
    };
    Ok(format!("{}: {what}", path.display()))
}

fn show(path: &Path, owner: Owner, json: bool) -> Result<String, SignStateError> {
    let state = existing(path, owner)?;
    let (word, mark) = match state.standing() {
        Standing::Known(mark) => ("known", mark.as_ref()),
        Standing::Unknown(_) => ("unknown", None),
        Standing::HandedOver(mark) => ("handed_over", mark.as_ref()),
    };
    let exported = Exported::of(&owner, mark);
    if json {
        let value = serde_json::json!({
            "state": word,
            "chain_id": exported.chain_id,
            "province": exported.province,
            "key": exported.key,
            "signed": exported.signed,
        });
        return Ok(value.to_string());
    }
    let signed = match (state.standing(), exported.signed) {
        (Standing::Unknown(mark), _) => {
            let least =
                mark.as_ref().map(|mark| format!(", at least up to height {}", mark.height));
            let least = least.unwrap_or_default();
            format!("not known{least}; the validator looks on before it votes")
        }
        (_, None) => "nothing".to_owned(),
        (_, Some(m)) => {
            let block = m.block.unwrap_or_else(|| "no block".into());
            format!("{} at height {}, round {}, for {block}", m.step, m.height, m.round)
        }
    };
    let over = if word == "handed_over" { "\nhanded over: the key votes elsewhere" } else { "" };
    Ok(format!("province {}\nsigned last: {signed}{over}", owner.province))
}

/// The mark here is retired before the file that brings it elsewhere is written. A crash between
/// the two leaves no file, and exporting again gives the same mark.
fn export(path: &Path, owner: Owner, out: &Path) -> Result<String, SignStateError> {
    let mut state = existing(path, owner)?;
    let mark = match state.standing().clone() {
        Standing::Known(mark) | Standing::HandedOver(mark) => mark,
        Standing::Unknown(_) => return Err(SignStateError::Unknown { path: path.to_owned() }),
    };
    let fail = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AlreadyExists => SignStateError::Taken { path: out.to_owned() },
        _ => SignStateError::Io { path: out.to_owned(), source },
    };
    let mut options = File::options();
    let mut file = options.write(true).create_new(true).mode(MODE).open(out).map_err(fail)?;
    state.set(Standing::HandedOver(mark.clone()))?;
    let text = serde_json::to_string_pretty(&Exported::of(&owner, mark.as_ref()))
        .expect("text and numbers have a form in JSON");
    file.write_all(text.as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .map_err(fail)?;
    Ok(format!("{}: handed over; this key does not vote here any more", out.display()))
}

/// An exported file may be of any age: one that is newer than what is known here need not be the
/// newest. So the key may have signed since, elsewhere or here, and only its operator can know; the
/// mark is the least that it has. A file that says what is known of a key that votes here changes
/// nothing.
fn import(
    path: &Path,
    owner: Owner,
    file: &Path,
    nothing_signed_since: bool,
) -> Result<String, SignStateError> {
    let imported = read_export(file, &owner)?;
    let height = imported.as_ref().map_or(0, |mark| mark.height);
    let state = SignState::open(path, owner)?;
    let (known, votes_here) = match state.as_ref().map(SignState::standing) {
        Some(Standing::Known(mark)) => (mark.as_ref(), true),
        Some(Standing::HandedOver(mark) | Standing::Unknown(mark)) => (mark.as_ref(), false),
        None => (None, false),
    };
    if let Some(known) = known
        && imported.as_ref().is_none_or(|mark| place(mark) < place(known))
    {
        return Err(SignStateError::Older { exported: height, known: known.height });
    }
    let is_known = votes_here && imported.as_ref() == known;
    let (standing, what) = if is_known || nothing_signed_since {
        (Standing::Known(imported), format!("the key votes above height {height}"))
    } else {
        let what = "the validator looks on before it votes, since the key may have signed after this export; if it has not: --nothing-signed-since";
        (Standing::Unknown(imported), what.to_owned())
    };
    match state {
        Some(mut state) => state.set(standing)?,
        None => drop(SignState::create(path, owner, standing)?),
    }
    Ok(format!("{}: {what}", path.display()))
}

fn existing(path: &Path, owner: Owner) -> Result<SignState, SignStateError> {
    SignState::open(path, owner)?.ok_or_else(|| SignStateError::Missing { path: path.to_owned() })
}

impl Exported {
    fn of(owner: &Owner, mark: Option<&Statement>) -> Self {
        let signed = mark.map(|mark| ExportedMark {
            height: mark.height,
            round: mark.round,
            step: mark.step.name().to_owned(),
            block: mark.block.map(|block| block.to_string()),
            pol_round: mark.pol_round,
        });
        Self {
            version: VERSION,
            chain_id: owner.chain.to_string(),
            province: owner.province.to_string(),
            key: owner.key.to_string(),
            signed,
        }
    }
}

fn read_export(path: &Path, owner: &Owner) -> Result<Option<Statement>, SignStateError> {
    let fail = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => SignStateError::NoExport { path: path.to_owned() },
        _ => SignStateError::Io { path: path.to_owned(), source },
    };
    let bad = |problem: String| SignStateError::Export { path: path.to_owned(), problem };
    let mut text = Vec::new();
    let file = File::open(path).map_err(fail)?;
    file.take(MAX_EXPORT_BYTES + 1).read_to_end(&mut text).map_err(fail)?;
    if text.len() as u64 > MAX_EXPORT_BYTES {
        return Err(bad(format!("longer than {MAX_EXPORT_BYTES} bytes")));
    }
    let exported: Exported = serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
    let foreign = |what| SignStateError::ForeignExport { path: path.to_owned(), what };
    let ours = Exported::of(owner, None);
    let differs = [
        ("release", exported.version != ours.version),
        ("chain", exported.chain_id != ours.chain_id),
        ("province", exported.province != ours.province),
        ("key", exported.key != ours.key),
    ];
    if let Some((what, _)) = differs.into_iter().find(|(_, differs)| *differs) {
        return Err(foreign(what));
    }
    let Some(mark) = exported.signed else { return Ok(None) };
    let steps = [Step::Proposal, Step::Prevote, Step::Precommit];
    let step = steps.into_iter().find(|step| step.name() == mark.step);
    let step = step.ok_or_else(|| bad(format!("step {:?}", mark.step)))?;
    let block = mark.block.map(|text| text.parse()).transpose();
    let block = block.map_err(|error| bad(format!("block: {error}")))?;
    let ExportedMark { height, round, pol_round, .. } = mark;
    let statement = Statement { step, chain: owner.chain, height, round, block, pol_round };
    // What no validator signs is no mark.
    Statement::read(&statement.bytes()).map_err(|error| bad(error.to_string())).map(Some)
}
