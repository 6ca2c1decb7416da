//! `symbolon keys`: makes private keys and shows what is public of them.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;
use symbolon_genesis::peer_id::PeerId;
use symbolon_ledger::keys::SecretKey;

use crate::{
    args::Context,
    keyfile,
    output::{Answer, Failure, Outcome},
    passphrase,
};

/// Make or show keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a new Ed25519 key; an existing file is never overwritten
    New {
        /// Where to write it (PKCS#8 PEM, mode 0600)
        file: PathBuf,
        /// Under a passphrase: from SYMBOLON_PASSPHRASE_FILE, SYMBOLON_PASSPHRASE or the terminal
        #[arg(long)]
        encrypt: bool,
    },
    /// Show the public key and the peer id of a private key
    Show {
        /// The private key; --key does as well
        file: Option<PathBuf>,
    },
}

/// Runs one command.
///
/// # Errors
///
/// When a key cannot be read or written.
pub(crate) fn run(command: KeysCommand, context: &Context) -> Outcome {
    match command {
        KeysCommand::New { file, encrypt } => {
            let key = keyfile::generate()?;
            if encrypt {
                keyfile::write_new_encrypted(&file, &key, &passphrase::new()?)?;
            } else {
                keyfile::write_new(&file, &key)?;
            }
            Ok(describe(&file, &key))
        }
        KeysCommand::Show { file } => {
            let file = file.or_else(|| context.global.key.clone()).ok_or_else(|| {
                Failure::usage("no_key", "no key was named", "give its file: keys show FILE")
            })?;
            Ok(describe(&file, &keyfile::read(&file)?))
        }
    }
}

fn describe(file: &Path, key: &SecretKey) -> Answer {
    let public = key.public_key();
    let peer_id = PeerId::of(&public);
    let text =
        format!("file        {}\npublic key  {public}\npeer id     {peer_id}", file.display());
    let json = json!({
        "file": file,
        "public_key": public.to_string(),
        "peer_id": peer_id.to_string(),
    });
    Answer::new(text, json)
}
