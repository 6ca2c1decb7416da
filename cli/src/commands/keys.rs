//! `symbolon keys`: makes private keys and shows what is public of them.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;
use symbolon_credential::encoding::to_base64url;
use symbolon_genesis::peer_id::PeerId;
use symbolon_ledger::keys::PublicKey;

use crate::{
    args::Context,
    files,
    issuer::read_public_key,
    keyfile,
    output::{Answer, Failure, Outcome},
    passphrase,
};

/// What the PEM of a public key begins with.
const PUBLIC_PEM: &[u8] = b"-----BEGIN PUBLIC KEY-----";

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
    /// Show the public key and the peer id of a key
    Show {
        /// The private key, or the public one (PEM); --key does as well
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
            Ok(describe(&file, &key.public_key()))
        }
        KeysCommand::Show { file } => {
            let file = file.or_else(|| context.global.key.clone()).ok_or_else(|| {
                Failure::usage("no_key", "no key was named", "give its file: keys show FILE")
            })?;
            // A public key may be read by anybody, and is no private key that went wrong.
            let public = match files::begins_with(&file, PUBLIC_PEM) {
                true => read_public_key(&file)?,
                false => keyfile::read(&file)?.public_key(),
            };
            Ok(describe(&file, &public))
        }
    }
}

fn describe(file: &Path, public: &PublicKey) -> Answer {
    let peer_id = PeerId::of(public);
    // As the nodes' JSON spells it, so that the two can be compared by eye.
    let spelt = to_base64url(public.as_bytes());
    let text = format!(
        "file        {}\npublic key  {public}\nbase64url   {spelt}\npeer id     {peer_id}",
        file.display()
    );
    let json = json!({
        "file": file,
        "public_key": public.to_string(),
        "public_key_base64url": spelt,
        "peer_id": peer_id.to_string(),
    });
    Answer::new(text, json)
}
