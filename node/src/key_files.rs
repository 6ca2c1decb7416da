//! The node's private keys: PKCS#8 PEM, plain or encrypted, in files that only their owner reads.
//!
//! A node is started without a person, so a passphrase comes from the environment or from a file,
//! such as one that the service manager hands out; it is asked for only at a terminal, and once.
//! All keys of a node that are encrypted have the same. A node that starts itself again hands on
//! what it was given once, so that nobody is asked a second time.

use std::{
    env,
    fs::File,
    io::{self, IsTerminal as _, Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
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
/// Where a process that was handed the passphrase finds it.
const HANDED_ON: &str = "/dev/stdin";

/// The passphrase that was typed or came through a pipe: it cannot be had a second time.
static GIVEN_ONCE: Mutex<Option<Zeroizing<String>>> = Mutex::new(None);

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

/// Lets `next`, which takes the place of this process, have the passphrase that was given once: on
/// its standard input, where no list of processes shows it.
///
/// # Errors
///
/// What the system says, or that the passphrase is too long to be taken from there.
pub fn hand_on(next: &mut Command) -> io::Result<()> {
    match &*GIVEN_ONCE.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(passphrase) => hand(passphrase, next),
        None => Ok(()),
    }
}

fn hand(passphrase: &str, next: &mut Command) -> io::Result<()> {
    if passphrase.len() as u64 > MAX_PASSPHRASE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the passphrase is too long"));
    }
    // A pipe holds more than that, so nobody need read yet.
    let (reader, mut writer) = io::pipe()?;
    writer.write_all(passphrase.as_bytes())?;
    next.stdin(reader).env(FILE_VARIABLE, HANDED_ON);
    Ok(())
}

fn passphrase(what: &'static str, key: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let mut given = GIVEN_ONCE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(passphrase) = &*given {
        return Ok(passphrase.clone());
    }
    if let Some(path) = env::var_os(FILE_VARIABLE) {
        let path = Path::new(&path);
        let text = read_private("passphrase", path, MAX_PASSPHRASE_BYTES, Group::Root)?;
        let passphrase = Zeroizing::new(text.lines().next().unwrap_or_default().to_owned());
        if !path.is_file() {
            *given = Some(passphrase.clone());
        }
        return Ok(passphrase);
    }
    if let Ok(text) = env::var(VARIABLE) {
        return Ok(Zeroizing::new(text));
    }
    let none = || KeyFileError::NoPassphrase { what, path: key.to_owned() };
    if !io::stdin().is_terminal() {
        return Err(none());
    }
    let _ = write!(io::stderr(), "passphrase of {what} {}: ", key.display());
    let typed = rpassword::read_password().map(Zeroizing::new).map_err(|_| none())?;
    *given = Some(typed.clone());
    Ok(typed)
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
    if metadata.is_dir() {
        return Err(fail(io::ErrorKind::IsADirectory.into()));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_takes_over_has_the_passphrase_on_its_standard_input() {
        let mut next = Command::new("sh");
        next.args(["-c", "cat \"$SYMBOLON_PASSPHRASE_FILE\""]);
        hand("correct horse battery staple", &mut next).unwrap();
        let output = next.output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "correct horse battery staple");
        let long = "x".repeat(usize::try_from(MAX_PASSPHRASE_BYTES).unwrap() + 1);
        assert!(hand(&long, &mut Command::new("true")).is_err());
    }
}
