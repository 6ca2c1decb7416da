//! Licences as their holders have them: issued through the command line, with the files that an
//! offline verifier needs.

use std::{fs, path::PathBuf};

use serde_json::Value;
use symbolon_credential::sd_jwt::{KeyBinding, SELF_PRESENTED, bind};
use symbolon_ledger::{hash::sha256, keys::SecretKey};

use crate::devnet::{Devnet, json_of};

use super::{ISSUER, VERIFIER};

/// Licences that are issued for it.
const LICENCES: usize = 10;

/// A licence and what its holder keeps beside it.
#[derive(Debug)]
pub struct Wallet {
    /// Its name on the chain.
    pub cid: String,
    /// The credential.
    pub credential: String,
    holder: SecretKey,
    folder: PathBuf,
}

impl Wallet {
    /// Issues some licences of the sample data, and takes the first.
    ///
    /// # Panics
    ///
    /// When a command refuses.
    #[must_use]
    pub fn fill(net: &Devnet) -> Self {
        let folder = net.folder().join("bench");
        fs::create_dir_all(&folder).expect("a folder");
        let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/driving-licences.csv");
        let text = fs::read_to_string(data).expect("the sample data");
        let first: String = text.split_inclusive('\n').take(LICENCES + 1).collect();
        let rows = folder.join("rows.csv");
        fs::write(&rows, first).expect("a file");
        let (rows, out) = (rows.to_string_lossy(), folder.to_string_lossy());
        let import = ["import", "--as", ISSUER, "--type", "local:driving-licence"];
        done(net, &[&import[..], &["--out", &out, &rows]].concat());
        let entries = fs::read_dir(&folder).expect("the import wrote credentials");
        let mut credentials: Vec<PathBuf> = entries
            .filter_map(|e| e.ok().map(|e| e.path()))
            .filter(|p| p.extension().is_some_and(|e| e == "sdjwt"))
            .collect();
        credentials.sort();
        let path = credentials.first().expect("a credential");
        let read = |path: &std::path::Path| fs::read_to_string(path).expect("a file of the import");
        let holder = read(&path.with_extension("holder.pem"));
        let stem = path.file_stem().expect("a file name").to_string_lossy();
        Self {
            cid: stem.into_owned(),
            credential: read(path).trim().to_owned(),
            holder: SecretKey::from_pem(&holder).expect("a key"),
            folder,
        }
    }

    /// The credential shown by its holder at `now_s` (seconds since 1970); `number` makes it another
    /// presentation each time.
    #[must_use]
    pub fn present(&self, now_s: u64, number: usize) -> String {
        let nonce = sha256(&[&self.holder.to_seed()[..], &number.to_be_bytes()].concat());
        let binding = KeyBinding {
            audience: SELF_PRESENTED.to_owned(),
            nonce: nonce.to_string(),
            issued_at: now_s,
        };
        bind(&self.credential, &binding, &self.holder)
    }

    /// Fetches a state proof of the licence from the verifying node.
    ///
    /// # Panics
    ///
    /// When the node gives none.
    #[must_use]
    pub fn proof(&self, net: &Devnet) -> Vec<u8> {
        let credential = self.folder.join(format!("{}.sdjwt", self.cid));
        let credential = credential.to_string_lossy();
        self.fetched(net, &["proof", "get", &credential, "--province", VERIFIER])
    }

    /// Fetches the trust bundle from the verifying node.
    ///
    /// # Panics
    ///
    /// When the node gives none.
    #[must_use]
    pub fn trust_bundle(&self, net: &Devnet) -> Vec<u8> {
        self.fetched(net, &["trust-bundle", "get"])
    }

    fn fetched(&self, net: &Devnet, command: &[&str]) -> Vec<u8> {
        let file = self.folder.join(command[0]);
        let path = file.to_string_lossy();
        done(net, &[command, &["--as", VERIFIER, "--out", &path]].concat());
        fs::read(&file).expect("the command wrote it")
    }
}

fn done(net: &Devnet, command: &[&str]) -> Value {
    let output = net.symbolon(&[&["--json"], command].concat());
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stdout));
    json_of(&output)
}
