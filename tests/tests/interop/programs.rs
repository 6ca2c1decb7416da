//! Running what scripts/setup-interop.sh has installed: Node and Python with their packages.
//!
//! The programs get a file and answer with one line of JSON; everything else about them is in
//! `tests/interop/` and `docs/spec/verify.mjs`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn installed(program: &str) -> PathBuf {
    let path = root().join("target/interop").join(program);
    assert!(path.exists(), "{program} is not installed: run scripts/setup-interop.sh");
    path
}

/// Runs the JavaScript program at `script` (relative to the root).
pub(crate) fn node<S: AsRef<std::ffi::OsStr>>(script: &str, arguments: &[S]) -> Output {
    run(Command::new(installed("bin/node")).arg(root().join(script)).args(arguments))
}

fn python<S: AsRef<std::ffi::OsStr>>(script: &str, arguments: &[S]) -> Output {
    run(Command::new(installed("venv/bin/python")).arg(root().join(script)).args(arguments))
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

/// The stock software under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stock {
    /// npm: @sd-jwt/sd-jwt-vc and @sd-jwt/jwt-status-list.
    Node,
    /// PyPI: sd-jwt, with jwcrypto.
    Python,
}

impl Stock {
    /// Asks it for `what` about `given`.
    pub(crate) fn ask(self, what: &str, given: &Value) -> Value {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("cases.json");
        std::fs::write(&file, given.to_string()).unwrap();
        let arguments = [what.as_ref(), file.as_os_str()];
        let output = match self {
            Self::Node => node("tests/interop/stock.mjs", &arguments),
            Self::Python => python("tests/interop/stock.py", &arguments),
        };
        answer(&output)
    }
}

/// The line of JSON that a program wrote.
pub(crate) fn answer(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stdout);
    let read = serde_json::from_str(said.trim());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(read.is_ok(), "no line of JSON: {said}\n{error}");
    read.unwrap()
}
