//! `symbolon-node backup`: what an operator says, and what is answered.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    BackupError, Manifest,
    check::{Whole, beside, check, execute},
    create::create,
    restore::{Restored, Voice, restore},
};
use crate::{config, verify_chain::Report};

/// What is said when a node that is to have all blocks gets a backup that has not.
const NO_ARCHIVE: &str = "warning: this node is configured as an archive, and will have no older blocks than the backup; restore an archive's backup for that, or set history.keep_blocks";

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Copy the chain of a node, running or stopped, into a new folder. No key is in it.
    Create {
        /// The node's configuration file.
        #[arg(long)]
        config: PathBuf,
        /// The new folder.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// Print one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Read every file of a backup and compare it with its hash.
    Verify {
        /// The folder of the backup.
        backup: PathBuf,
        /// Configuration of a node whose chain it must be of.
        #[arg(long)]
        config: Option<PathBuf>,
        /// Bring it back into a folder of its own as well, and execute every block again.
        #[arg(long)]
        execute: bool,
        /// Where that folder is made, for as long as it takes; beside the backup when absent.
        #[arg(long, value_name = "FOLDER", requires = "execute")]
        work: Option<PathBuf>,
        /// Print one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Fill the empty data folder of a stopped node from a backup, and execute every block again.
    Restore {
        /// The folder of the backup.
        backup: PathBuf,
        /// The node's configuration file.
        #[arg(long)]
        config: PathBuf,
        /// Execute nothing: the backup is one's own, and nobody else could write to where it lay.
        #[arg(long)]
        trusted: bool,
        /// Print one line of JSON.
        #[arg(long)]
        json: bool,
    },
}

impl BackupArgs {
    /// Does it, and says what was done.
    ///
    /// # Errors
    ///
    /// [`BackupError`].
    pub fn run(&self) -> Result<String, BackupError> {
        match &self.command {
            Command::Create { config, out, json } => {
                let (config, genesis) = config::read_without_keys(config)?;
                let manifest = create(&config, &genesis, out)?;
                Ok(say(*json, &manifest, "backed up", out, &[], None))
            }
            Command::Verify { backup, config, execute, work, json } => {
                verify(backup, config.as_deref(), *execute, work.as_deref(), *json)
            }
            Command::Restore { backup, config, trusted, json } => {
                let (config, genesis) = config::read_without_keys(config)?;
                let restored = restore(&config, &genesis, backup, *trusted)?;
                let Restored { manifest, voice, report } = &restored;
                let mut said: Vec<_> = report.iter().map(executed).collect();
                if manifest.blocks_from > 0 && config.history.keep_blocks.is_none() {
                    said.push(NO_ARCHIVE.to_owned());
                }
                said.push(describe(voice));
                Ok(say(*json, manifest, "restored", &config.data_dir, &said, Some(voice)))
            }
        }
    }
}

fn verify(
    backup: &Path,
    config: Option<&Path>,
    again: bool,
    work: Option<&Path>,
    json: bool,
) -> Result<String, BackupError> {
    let expected = config.map(config::read_without_keys).transpose()?;
    let whole: Whole = check(backup, expected.map(|(_, genesis)| genesis.chain_id()))?;
    let mut said = Vec::new();
    if again {
        let work = work.map_or_else(|| beside(backup), |work| Ok(work.to_owned()))?;
        said.push(executed(&execute(backup, &whole, &work)?));
    }
    Ok(say(json, &whole.manifest, "whole", backup, &said, None))
}

fn executed(report: &Report) -> String {
    let Report { base, transactions, records, .. } = report;
    format!(
        "executed again from block {base}: {transactions} transactions, {records} records compared"
    )
}

/// What a restored node does before it votes.
fn describe(voice: &Voice) -> String {
    match voice {
        Voice::Observer => "this node never votes; start it".to_owned(),
        Voice::Marked(path) => format!(
            "{} is there: the node goes by what it says of what the key has signed (symbolon-node sign-state show). If that file was set back too, move it away before the start",
            path.display()
        ),
        Voice::Unknown(path) => format!(
            "there is no {}: the node looks on for two whole heights before it votes. If too many validators have lost theirs for a block to be made: docs/operating/recovery.md",
            path.display()
        ),
    }
}

fn say(
    json: bool,
    manifest: &Manifest,
    done: &str,
    folder: &Path,
    more: &[String],
    voice: Option<&Voice>,
) -> String {
    let (files, bytes) = (manifest.files.len(), manifest.bytes());
    if json {
        let mut value = json!({
            "folder": folder,
            "chain_id": manifest.chain_id(),
            "height": manifest.height,
            "block": manifest.block(),
            "state_root": manifest.state_root(),
            "blocks_from": manifest.blocks_from,
            "taken_ms": manifest.taken_ms,
            "files": files,
            "bytes": bytes,
        });
        if let Some(voice) = voice {
            value["sign_state"] = match voice {
                Voice::Observer => Value::Null,
                Voice::Marked(_) => "there".into(),
                Voice::Unknown(_) => "unknown".into(),
            };
        }
        return value.to_string();
    }
    let first = format!(
        "{}: {done}, height {}, block {}, {files} files, {bytes} bytes",
        folder.display(),
        manifest.height,
        manifest.block(),
    );
    let from = manifest.blocks_from;
    let window =
        (from > 0).then(|| format!("blocks from {from}: no archive's, older ones are not in it"));
    let mut lines = vec![first];
    lines.extend(window);
    lines.extend_from_slice(more);
    lines.join("\n")
}
