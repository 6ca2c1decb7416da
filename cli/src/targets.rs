//! Files that a command was told to write: never over something of another kind.
//!
//! `--out` may name any file, also the citizen's only credential or key. So a file that is there
//! is looked at first, and is replaced only by a newer one of its own kind. What lies in devices
//! and pipes is not looked at. How files are written is [`crate::files`]'s.

use std::{
    fs::{self, File},
    io::Read as _,
    path::Path,
};

use symbolon_credential::{
    sd_jwt::{self, MAX_PRESENTATION_LEN},
    status_list::{self, MAX_TOKEN_LEN},
};
use symbolon_ledger::{
    codec,
    inclusion::{Inclusion, MAX_INCLUSION_BYTES},
    receipt::{MAX_RECEIPT_BYTES, Receipt},
    state_proof::{MAX_STATE_PROOF_BYTES, StateProof},
};

use crate::{files, output::Failure};

/// Endings of the files that nobody can make again: credentials and private keys.
const IRREPLACEABLE: [&str; 2] = ["sdjwt", "pem"];
/// Most bytes of a file that are looked at: no kind is longer.
const MAX_LOOKED_AT: u64 = MAX_TOKEN_LEN as u64 + 2;

/// What a command writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A presentation as SD-JWT text.
    Presentation,
    /// A QR code as PNG or SVG.
    Picture,
    /// A state proof.
    StateProof,
    /// The inclusion of a block.
    Inclusion,
    /// A transaction's receipt.
    Receipt,
    /// A signed status list.
    StatusList,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Presentation => "presentation that its holder signed",
            Self::Picture => "picture of a code",
            Self::StateProof => "state proof",
            Self::Inclusion => "inclusion",
            Self::Receipt => "receipt",
            Self::StatusList => "status list",
        }
    }

    /// Whether `bytes` are such a thing. A presentation without a holder's signature looks like a
    /// credential, so it counts as one.
    fn is(self, bytes: &[u8]) -> bool {
        let text = || std::str::from_utf8(bytes).unwrap_or_default().trim();
        match self {
            Self::Presentation => {
                let parsed = sd_jwt::Parsed::parse(text());
                text().len() <= MAX_PRESENTATION_LEN && parsed.is_ok() && !text().ends_with('~')
            }
            Self::Picture => {
                let starts: [&[u8]; 3] = [b"\x89PNG\r\n\x1a\n", b"<svg", b"<?xml"];
                starts.iter().any(|start| bytes.starts_with(start))
            }
            Self::StateProof => codec::decode::<StateProof>(bytes, MAX_STATE_PROOF_BYTES).is_ok(),
            Self::Inclusion => codec::decode::<Inclusion>(bytes, MAX_INCLUSION_BYTES).is_ok(),
            Self::Receipt => codec::decode::<Receipt>(bytes, MAX_RECEIPT_BYTES).is_ok(),
            Self::StatusList => status_list::Parsed::parse(text()).is_ok(),
        }
    }
}

/// Refuses a `path` at which something else than a `kind` lies.
///
/// # Errors
///
/// When there is a credential, a key, or any other file that is neither empty nor of that kind.
pub(crate) fn check(path: &Path, kind: Kind) -> Result<(), Failure> {
    let Ok(metadata) = fs::metadata(path) else { return Ok(()) };
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok(());
    }
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|f| f.take(MAX_LOOKED_AT).read_to_end(&mut bytes));
    if !IRREPLACEABLE.iter().any(|name| ending == *name) && read.is_ok() && kind.is(&bytes) {
        return Ok(());
    }
    Err(Failure::usage(
        "would_overwrite",
        format!(
            "{} is there already and is no {}: nothing was written",
            path.display(),
            kind.name()
        ),
        "name another file; a file is replaced only by one of its kind, and a .sdjwt or .pem never",
    ))
}

/// Writes `bytes`, which are a `kind`, to `path`.
///
/// # Errors
///
/// As [`check`], and when it cannot be written.
pub(crate) fn write(path: &Path, bytes: &[u8], kind: Kind) -> Result<(), Failure> {
    check(path, kind)?;
    files::write(path, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_of_the_same_kind_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let check = |name: &str, there: &[u8], kind: Kind, allowed: bool| {
            let path = dir.path().join(name);
            fs::write(&path, there).unwrap();
            let written = write(&path, b"new", kind).map_err(|failure| failure.code);
            let (expected, left) = match allowed {
                true => (Ok(()), &b"new"[..]),
                false => (Err("would_overwrite".to_owned()), there),
            };
            assert_eq!(written, expected, "{name}");
            assert_eq!(fs::read(&path).unwrap(), left, "{name}");
        };
        let kinds = [
            Kind::Presentation,
            Kind::Picture,
            Kind::StateProof,
            Kind::Inclusion,
            Kind::Receipt,
            Kind::StatusList,
        ];
        for kind in kinds {
            check("notes.txt", b"notes", kind, false);
            check("credential.txt", b"eyJhbGciOiJFZERTQSJ9.e30.AA~", kind, false);
            check("key", b"-----BEGIN PRIVATE KEY-----\n", kind, false);
            check("empty", b"", kind, true);
        }
        check("a.png", b"\x89PNG\r\n\x1a\n..", Kind::Picture, true);
        check("a.svg", b"<svg xmlns=", Kind::Picture, true);
        check("a.PEM", b"\x89PNG\r\n\x1a\n..", Kind::Picture, false);
        check("a.sdjwt", b"\x89PNG\r\n\x1a\n..", Kind::Picture, false);
        assert!(write(&dir.path().join("new.sdjwt"), b"x", Kind::Presentation).is_ok());
    }
}
