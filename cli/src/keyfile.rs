//! Private keys as files: PKCS#8 PEM, plain or encrypted, readable by their owner only, never
//! overwritten. Where a passphrase comes from is in [`crate::passphrase`].

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use symbolon_ledger::{
    encrypted_key::{self, EncryptedKeyError},
    keys::SecretKey,
};
use zeroize::Zeroizing;

use crate::{
    entropy, files,
    output::Failure,
    passphrase,
    private_file::{self, Group, Unfit},
};

/// Longest key file that is read: a PEM of an Ed25519 key has about 120 bytes, an encrypted one
/// 350, and comments may stand before it.
const MAX_KEY_FILE_BYTES: u64 = 16 * 1024;

/// Only the owner reads and writes.
const OWNER_ONLY: u32 = 0o600;

/// Reads a private key; of an encrypted one, the passphrase is looked for or asked for.
///
/// # Errors
///
/// When the file cannot be read, is readable by others, is not such a key, or is not opened by
/// the passphrase.
pub(crate) fn read(path: &Path) -> Result<SecretKey, Failure> {
    let shown = path.display();
    let cannot = |why: &dyn std::fmt::Display| {
        Failure::usage(
            "key_unreadable",
            format!("the key {shown} cannot be read: {why}"),
            "name a file made by `symbolon keys new`, or by `openssl genpkey -algorithm ed25519`",
        )
    };
    let text =
        private_file::read(path, MAX_KEY_FILE_BYTES, Group::Nobody).map_err(|why| match why {
            Unfit::Unreadable(error) => cannot(&error),
            Unfit::Folder => cannot(&"it is a folder"),
            Unfit::Long => cannot(&format!("it has more than {MAX_KEY_FILE_BYTES} bytes")),
            Unfit::Exposed => Failure::usage(
                "key_exposed",
                format!("the key {shown} can be read by other users of this machine"),
                format!(
                    "run `chmod 600 {}`, and change the key if somebody may have read it",
                    files::in_command(path)
                ),
            ),
        })?;
    if !encrypted_key::is_encrypted(&text) {
        return SecretKey::from_pem(&text).map_err(|e| cannot(&e));
    }
    encrypted_key::decrypt(&text, &passphrase::of(path)?).map_err(|why| match why {
        EncryptedKeyError::NotAKey => cannot(&why),
        EncryptedKeyError::Passphrase => Failure::usage(
            "wrong_passphrase",
            format!("the key {shown} cannot be read: {why}"),
            "give the passphrase with which it was encrypted; nobody can tell it from the file",
        ),
    })
}

/// Writes a private key where no file is yet, with mode 0600.
///
/// # Errors
///
/// When a file of that name exists, or the folder cannot be written.
pub(crate) fn write_new(path: &Path, key: &SecretKey) -> Result<(), Failure> {
    write_pem(path, &key.to_pem())
}

/// As [`write_new`], under a passphrase.
///
/// # Errors
///
/// As [`write_new`]; or the system has no random bytes.
pub(crate) fn write_new_encrypted(
    path: &Path,
    key: &SecretKey,
    passphrase: &str,
) -> Result<(), Failure> {
    let entropy = entropy::bytes::<{ encrypted_key::ENTROPY_LEN }>()?;
    write_pem(path, &encrypted_key::encrypt(key, passphrase, &entropy))
}

fn write_pem(path: &Path, pem: &str) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| {
        let shown = path.display();
        if error.kind() == ErrorKind::AlreadyExists {
            return Failure::usage(
                "key_exists",
                format!("{shown} exists already, and keys are never overwritten"),
                "choose another name, or move the old key away yourself",
            );
        }
        Failure::usage(
            "key_unwritable",
            format!("the key {shown} cannot be written: {error}"),
            "choose a folder that exists and that you may write to",
        )
    };
    write_whole(path, pem.as_bytes()).map_err(cannot)
}

/// The name appears only when all of the key is on the disk, so a kill leaves no half of it; a
/// link, unlike a renaming, never replaces what stands there.
fn write_whole(path: &Path, pem: &[u8]) -> io::Result<()> {
    let draft = files::suffixed(path, ".new");
    files::discard(&draft)?; // of a run that was cut off, with whatever mode it has
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&draft)?;
    let linked = file
        .write_all(pem)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    linked?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// A new key from the system's entropy.
///
/// # Errors
///
/// When the system has none to give.
pub(crate) fn generate() -> Result<SecretKey, Failure> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(|e| {
        Failure::refused(
            "no_entropy",
            format!("the system gives no random bytes: {e}"),
            "a key made without them could be guessed; try again on a healthy system",
        )
    })?;
    Ok(SecretKey::from_seed(&seed))
}

/// Where an agency's credential key lies: beside its transaction key, `x.pem` and
/// `x.credential.pem`.
pub(crate) fn credential_key_path(key_file: &Path) -> PathBuf {
    key_file.with_extension("credential.pem")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_whole_and_never_over_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pem");
        // What a kill left behind is in nobody's way.
        fs::write(files::suffixed(&path, ".new"), "half").unwrap();
        let (first, second) = (generate().unwrap(), generate().unwrap());
        write_new(&path, &first).unwrap();
        assert_eq!(write_new(&path, &second).unwrap_err().code, "key_exists");
        assert_eq!(read(&path).unwrap().public_key(), first.public_key());
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(names, [path]);
    }

    #[test]
    fn the_credential_key_lies_beside_the_transaction_key() {
        assert_eq!(
            credential_key_path(Path::new("keys/agency-44.pem")),
            Path::new("keys/agency-44.credential.pem")
        );
    }
}
