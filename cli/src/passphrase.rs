//! Where the passphrase of an encrypted key comes from: the environment, a file, or a person at a
//! terminal. Never the command line, which every user of the machine can read.

use std::{
    env,
    io::{self, IsTerminal as _},
    path::Path,
};

use zeroize::Zeroizing;

use crate::{
    files,
    output::Failure,
    private_file::{self, Group, Unfit},
};

/// Holds the passphrase itself.
const VARIABLE: &str = "SYMBOLON_PASSPHRASE";
/// Names a file that holds it in its first line.
const FILE_VARIABLE: &str = "SYMBOLON_PASSPHRASE_FILE";
/// Longest passphrase: longer ones are files that were named by mistake.
const MAX_BYTES: u64 = 1_024;

/// The passphrase that opens `key`.
///
/// # Errors
///
/// When none is given and nobody can be asked.
pub(crate) fn of(key: &Path) -> Result<Zeroizing<String>, Failure> {
    if let Some(given) = given()? {
        return Ok(given);
    }
    ask(&format!("passphrase of {}: ", key.display()))
}

/// A passphrase for a new key. A person is asked twice.
///
/// # Errors
///
/// When none is given and nobody can be asked, it is empty, or the person typed two different
/// ones.
pub(crate) fn new() -> Result<Zeroizing<String>, Failure> {
    let chosen = match given()? {
        Some(given) => given,
        None => {
            let first = ask("passphrase of the new key: ")?;
            if first != ask("the same again: ")? {
                let hint = "nothing was written; try again";
                return Err(Failure::usage("passphrases_differ", "the two differ", hint));
            }
            first
        }
    };
    if chosen.is_empty() {
        let hint = "choose one of several words, or make a key without --encrypt";
        return Err(Failure::usage("empty_passphrase", "the passphrase is empty", hint));
    }
    Ok(chosen)
}

fn given() -> Result<Option<Zeroizing<String>>, Failure> {
    if let Some(path) = env::var_os(FILE_VARIABLE) {
        return from_file(Path::new(&path)).map(Some);
    }
    // What is not UTF-8 opens no key, and is passed over: the node does so, too.
    Ok(env::var(VARIABLE).ok().map(Zeroizing::new))
}

fn from_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let shown = path.display();
    let cannot = |why: &dyn std::fmt::Display| {
        Failure::usage(
            "passphrase_unreadable",
            format!("the passphrase file {shown} cannot be read: {why}"),
            format!("{FILE_VARIABLE} names a file whose first line is the passphrase"),
        )
    };
    let text = private_file::read(path, MAX_BYTES, Group::Root).map_err(|why| match why {
        Unfit::Unreadable(error) => cannot(&error),
        Unfit::Folder => cannot(&"it is a folder"),
        Unfit::Long => cannot(&format!("it has more than {MAX_BYTES} bytes")),
        Unfit::Exposed => Failure::usage(
            "passphrase_exposed",
            format!("the passphrase file {shown} can be read by other users of this machine"),
            format!(
                "run `chmod 600 {}`, and change the passphrase if somebody may have read it",
                files::in_command(path)
            ),
        ),
    })?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

fn ask(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "no_passphrase",
            "the key is encrypted, and there is no terminal to ask for its passphrase",
            format!("set {FILE_VARIABLE} to a file that only you may read, or {VARIABLE}"),
        ));
    }
    rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(|e| {
        let message = format!("the passphrase cannot be asked for: {e}");
        Failure::usage("no_passphrase", message, format!("set {FILE_VARIABLE} or {VARIABLE}"))
    })
}
