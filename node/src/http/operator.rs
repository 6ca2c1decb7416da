//! Who may have the database held fast: whoever can read a file that only the node's user can read.
//!
//! The operator's listener is for this machine, and every user of a machine reaches its loopback. What
//! is only read there is no secret; a checkpoint takes room on the disk. The file is made anew at each
//! start, and `symbolon-node backup create` reads it ([`crate::backup`]).

use std::{
    fs::File,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use axum::http::{HeaderMap, StatusCode, header};
use symbolon_ledger::hash::{Digest, sha256};

use super::{HttpError, error::Problem};

/// Name of the file in the data folder.
const TOKEN_FILE: &str = "operator.token";
/// How the header of a request begins; the token follows.
const SCHEME: &str = "Bearer ";
/// Random bytes of a token: 256 bits, so that none is ever guessed.
const TOKEN_LEN: usize = 32;
/// Only the node's user reads and writes it.
const MODE: u32 = 0o600;

/// What is known of the token: enough to tell it.
#[derive(Debug)]
pub(super) struct OperatorToken(Digest);

/// Where the token of a data folder lies.
fn token_file(data: &Path) -> PathBuf {
    data.join(TOKEN_FILE)
}

/// What a request of the operator has in its `authorization` header, for the node that runs on `data`.
///
/// # Errors
///
/// The file, and what the system says: there is none, or this is another user.
pub fn operator_authorization(data: &Path) -> Result<String, (PathBuf, io::Error)> {
    let path = token_file(data);
    match std::fs::read_to_string(&path) {
        Ok(token) => Ok(format!("{SCHEME}{}", token.trim())),
        Err(error) => Err((path, error)),
    }
}

impl OperatorToken {
    /// Makes a new one in `data`, in the place of what an earlier start has left there.
    pub(super) fn make(data: &Path) -> Result<Self, HttpError> {
        let path = token_file(data);
        let made = || {
            let mut random = [0; TOKEN_LEN];
            getrandom::fill(&mut random).map_err(io::Error::other)?;
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            // A digest of the random bytes is as random, and a text.
            let token = sha256(&random).to_string();
            let mut file = File::options().write(true).create_new(true).mode(MODE).open(&path)?;
            file.write_all(token.as_bytes())?;
            Ok(token)
        };
        let token = made().map_err(|source| HttpError::Token { path: path.clone(), source })?;
        Ok(Self(of_header(&format!("{SCHEME}{token}"))))
    }

    /// Refuses whoever has not read the file.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        // Digests, so that the time which this takes tells nothing of the token.
        if given.is_some_and(|given| of_header(given) == self.0) {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "no_operator_token",
            format!(
                "this takes the token in {TOKEN_FILE} of data_dir, which the node's user can read"
            ),
            "use symbolon-node backup create, as the user that runs the node",
        ))
    }
}

fn of_header(text: &str) -> Digest {
    sha256(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn only_who_can_read_the_file_is_let_through_and_each_start_makes_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        assert!(operator_authorization(folder.path()).is_err());
        let headers =
            |text: &str| HeaderMap::from_iter([(header::AUTHORIZATION, text.parse().unwrap())]);
        let first = OperatorToken::make(folder.path()).unwrap();
        let mode = std::fs::metadata(token_file(folder.path())).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        let right = operator_authorization(folder.path()).unwrap();
        assert!(first.check(&headers(&right)).is_ok());
        for wrong in ["", "Bearer ", &right[7..], &right[..right.len() - 1], &format!("{right}0")] {
            assert_eq!(
                first.check(&headers(wrong)).unwrap_err().code,
                "no_operator_token",
                "{wrong}"
            );
        }
        assert!(first.check(&HeaderMap::new()).is_err());
        let second = OperatorToken::make(folder.path()).unwrap();
        assert!(second.check(&headers(&right)).is_err());
        assert!(second.check(&headers(&operator_authorization(folder.path()).unwrap())).is_ok());
    }
}
