//! `devnet.json`: what a development network is, for commands and scripts.
//!
//! It is written by `devnet up` once all nodes are ready, and renamed into place, so whoever sees
//! it sees all of it. Private keys are named by their files and never stand in it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{files, output::Failure};

/// The file's name in the network's folder.
pub(crate) const FILE_NAME: &str = "devnet.json";

/// A development network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DevnetFile {
    /// The chain, 64 hexadecimal digits.
    pub(crate) chain_id: String,
    /// Its nodes, in the order of their numbers from 1.
    pub(crate) nodes: Vec<DevnetNode>,
    /// One agency a province.
    pub(crate) agencies: Vec<DevnetAgency>,
    /// The provinces' authorities.
    pub(crate) provinces: Vec<DevnetProvince>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DevnetNode {
    /// Two digits.
    pub(crate) province: String,
    /// Origin of its HTTP, without a final slash.
    pub(crate) http: String,
    /// Origin of its admin listener.
    pub(crate) admin: String,
    /// Its multiaddr.
    pub(crate) p2p: String,
    /// Where its database lies.
    pub(crate) data_dir: PathBuf,
    /// Its process.
    pub(crate) pid: u32,
}

/// An agency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DevnetAgency {
    /// Its credit code.
    pub(crate) uscc: String,
    /// Its name.
    pub(crate) name: String,
    /// Its province.
    pub(crate) province: String,
    /// Its transaction key; the credential key lies beside it.
    pub(crate) key_file: PathBuf,
}

/// A province's authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DevnetProvince {
    /// Two digits.
    pub(crate) code: String,
    /// Its English name.
    pub(crate) name: String,
    /// Its authority key.
    pub(crate) key_file: PathBuf,
}

impl DevnetFile {
    /// The file of the network in the folder `dir`.
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join(FILE_NAME)
    }

    /// Reads the file of the network in the folder `dir`.
    ///
    /// # Errors
    ///
    /// When there is none, or it is damaged.
    pub(crate) fn read(dir: &Path) -> Result<Self, Failure> {
        let path = Self::path(dir);
        let text = fs::read_to_string(&path).map_err(|e| {
            Failure::usage(
                "no_devnet",
                format!("{} cannot be read: {e}", path.display()),
                format!(
                    "start a network first: symbolon devnet up --dir {}",
                    files::in_command(dir)
                ),
            )
        })?;
        serde_json::from_str(&text).map_err(|e| {
            Failure::usage(
                "damaged_devnet",
                format!("{} is not the file of a network: {e}", path.display()),
                format!("write it again: symbolon devnet up --dir {}", files::in_command(dir)),
            )
        })
    }

    /// Writes the file of the network in the folder `dir`, whole or not at all.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).expect("strings and numbers have JSON");
        let (path, draft) = (Self::path(dir), dir.join(".devnet.json.new"));
        fs::write(&draft, format!("{text}\n")).and_then(|()| fs::rename(&draft, &path)).map_err(
            |e| {
                Failure::usage(
                    "devnet_unwritable",
                    format!("{} cannot be written: {e}", path.display()),
                    "choose a folder that you may write to, on a disk that is not full",
                )
            },
        )
    }
}
