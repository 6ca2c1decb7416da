//! The node's private keys: PKCS#8 PEM, plain or encrypted, in files that only their owner reads.
//!
//! A node is started without a person, so a passphrase comes from the environment or from a file,
//! such as one that the service manager hands out; it is asked for only at a terminal. All keys of
//! a node that are encrypted have the same.

use std::{
    env,
    fs::File,
    io::{self, IsTerminal as _, Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use symbolon_ledger::{
    encrypted_key::{self, EncryptedKeyError},
    keys::{KeyError, SecretKey},
};
use thiserror::Error;
use zeroize::Zeroizing;

/// Most bytes of a key file.
const MAX_KEY_BYTES: u64 = 16 * 1024;
/// Most bytes of a passphrase: longer ones are files that were named by mistake.
const MAX_PASSPHRASE_BYTES: u64 = 1_024;
/// Holds the passphrase itself.
const VARIABLE: &str = "SYMBOLON_PASSPHRASE";
/// Names a file that holds it in its first line.
const FILE_VARIABLE: &str = "SYMBOLON_PASSPHRASE_FILE";

/// Why a key cannot be used. Nothing of the key or the passphrase is in it.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("cannot read {what} {}: {source}", .path.display())]
    Read {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others may read it.
    #[error(
        "{what} {}: other users of this machine may read it; run chmod 600, and change it if somebody may have",
        .path.display()
    )]
    Exposed {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Too long to be what it should be.
    #[error("{what} {}: longer than {limit} bytes", .path.display())]
    Long {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// Not a key.
    #[error("{what} {}: {source}", .path.display())]
    Key {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: KeyError,
    },
    /// An encrypted key that does not open.
    #[error("{what} {}: {source}", .path.display())]
    Encrypted {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: EncryptedKeyError,
    },
    /// An encrypted key, and no passphrase.
    #[error(
        "{what} {} is encrypted: set {FILE_VARIABLE} to a file that only this user may read, or {VARIABLE}",
        .path.display()
    )]
    NoPassphrase {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
}

/// Which group may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    /// None.
    Nobody,
    /// That of the superuser, who reads everything: systemd hands credentials out like this, with
    /// an access list that shows as the group's bits.
    Root,
}

/// Reads a private key.
///
/// # Errors
///
/// [`KeyFileError`], naming the file.
pub fn read(what: &'static str, path: &Path) -> Result<SecretKey, KeyFileError> {
    let pem = read_private(what, path, MAX_KEY_BYTES, Group::Nobody)?;
    if !encrypted_key::is_encrypted(&pem) {
        let wrong = |source| KeyFileError::Key { what, path: path.to_owned(), source };
        return SecretKey::from_pem(&pem).map_err(wrong);
    }
    let passphrase = passphrase(what, path)?;
    let wrong = |source| KeyFileError::Encrypted { what, path: path.to_owned(), source };
    encrypted_key::decrypt(&pem, &passphrase).map_err(wrong)
}

fn passphrase(what: &'static str, key: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    if let Some(path) = env::var_os(FILE_VARIABLE) {
        let path = Path::new(&path);
        let text = read_private("passphrase", path, MAX_PASSPHRASE_BYTES, Group::Root)?;
        return Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()));
    }
    if let Ok(text) = env::var(VARIABLE) {
        return Ok(Zeroizing::new(text));
    }
    let none = || KeyFileError::NoPassphrase { what, path: key.to_owned() };
    if !io::stdin().is_terminal() {
        return Err(none());
    }
    let _ = write!(io::stderr(), "passphrase of {what} {}: ", key.display());
    rpassword::read_password().map(Zeroizing::new).map_err(|_| none())
}

/// Reads a file that nobody may read but its owner and `group`.
fn read_private(
    what: &'static str,
    path: &Path,
    limit: u64,
    group: Group,
) -> Result<Zeroizing<String>, KeyFileError> {
    let fail = |source| KeyFileError::Read { what, path: path.to_owned(), source };
    let file = File::open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    let others = if group == Group::Root && metadata.gid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & others != 0 {
        return Err(KeyFileError::Exposed { what, path: path.to_owned() });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(limit + 1).read_to_string(&mut text).map_err(fail)?;
    if text.len() as u64 > limit {
        return Err(KeyFileError::Long { what, path: path.to_owned(), limit });
    }
    Ok(text)
}
