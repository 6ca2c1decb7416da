//! Licences as their holders have them: issued through the command line, with the files that an
//! offline verifier needs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use symbolon_credential::sd_jwt::{KeyBinding, SELF_PRESENTED, bind};
use symbolon_ledger::{hash::sha256, keys::SecretKey};

use crate::devnet::{Devnet, json_of};

use super::{ISSUER, VERIFIER};

/// Licences, each with what its holder keeps beside it.
#[derive(Debug)]
pub struct Wallet {
    licences: Vec<Licence>,
    folder: PathBuf,
}

#[derive(Debug)]
struct Licence {
    cid: String,
    credential: String,
    holder: SecretKey,
}

impl Wallet {
    /// Issues so many licences of the sample data, which has 2,000.
    ///
    /// # Panics
    ///
    /// When a command refuses.
    #[must_use]
    pub fn fill(net: &Devnet, licences: usize) -> Self {
        let folder = net.folder().join("bench");
        fs::create_dir_all(&folder).expect("a folder");
        let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/driving-licences.csv");
        let text = fs::read_to_string(data).expect("the sample data");
        let first: String = text.split_inclusive('\n').take(licences + 1).collect();
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
        let licences: Vec<Licence> = credentials.iter().map(|path| Licence::read(path)).collect();
        assert!(!licences.is_empty(), "the import wrote credentials");
        Self { licences, folder }
    }

    /// The licences' names on the chain.
    pub fn cids(&self) -> impl Iterator<Item = &str> {
        self.licences.iter().map(|licence| licence.cid.as_str())
    }

    /// Each credential shown by its holder at `now_s` (seconds since 1970); each `series` has
    /// other presentations.
    pub fn present(&self, now_s: u64, series: usize) -> impl Iterator<Item = String> {
        self.licences.iter().map(move |licence| licence.present(now_s, series))
    }

    /// Fetches a state proof of the first licence from the verifying node.
    ///
    /// # Panics
    ///
    /// When the node gives none.
    #[must_use]
    pub fn proof(&self, net: &Devnet) -> Vec<u8> {
        let credential = self.folder.join(format!("{}.sdjwt", self.licences[0].cid));
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

impl Licence {
    /// That of the import's file at `path`.
    fn read(path: &Path) -> Self {
        let read = |path: &Path| fs::read_to_string(path).expect("a file of the import");
        let holder = read(&path.with_extension("holder.pem"));
        let stem = path.file_stem().expect("a file name").to_string_lossy();
        Self {
            cid: stem.into_owned(),
            credential: read(path).trim().to_owned(),
            holder: SecretKey::from_pem(&holder).expect("a key"),
        }
    }

    fn present(&self, now_s: u64, series: usize) -> String {
        let nonce = sha256(&[&self.holder.to_seed()[..], &series.to_be_bytes()].concat());
        let binding = KeyBinding {
            audience: SELF_PRESENTED.to_owned(),
            nonce: nonce.to_string(),
            issued_at: now_s,
        };
        bind(&self.credential, &binding, &self.holder)
    }
}

fn done(net: &Devnet, command: &[&str]) -> Value {
    let output = net.symbolon(&[&["--json"], command].concat());
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stdout));
    json_of(&output)
}
