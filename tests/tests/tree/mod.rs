//! The source tree as tests see it: where it is and which files it has.
//!
//! Not a file watcher and not git: it walks the folders, so that it also works in an unpacked
//! archive. Used by `boundaries.rs` and `tidy.rs`.

use std::path::{Path, PathBuf};

/// Folders that hold nothing of ours.
const NOT_OURS: [&str; 4] = ["target", ".git", "node_modules", ".symbolon"];

/// The crates that promise purity: no async, clock, randomness, socket, file or hash order.
pub(crate) const PURE: [&str; 6] =
    ["ledger", "credential", "contracts", "genesis", "consensus", "verify"];

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests crate lies in a folder of the root").to_owned()
}

/// Every file of ours under `folder` (relative to the root) with one of the extensions, sorted,
/// as (path relative to the root, text).
pub(crate) fn files(folder: &str, extensions: &[&str]) -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut open = vec![root.join(folder)];
    while let Some(dir) = open.pop() {
        let entries = std::fs::read_dir(&dir).expect("a folder of the repository can be read");
        for entry in entries {
            let path = entry.expect("an entry of a folder can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !NOT_OURS.contains(&name.as_str()) {
                open.push(path);
            } else if path.is_file() && extensions.iter().any(|e| name.ends_with(e)) {
                let text = std::fs::read_to_string(&path).expect("our text files are UTF-8");
                let relative = path.strip_prefix(&root).expect("it was found under the root");
                found.push((relative.to_string_lossy().into_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// The text of one file, by its path relative to the root.
pub(crate) fn read(path: &str) -> String {
    let text = std::fs::read_to_string(root().join(path));
    assert!(text.is_ok(), "{path}: {text:?}");
    text.unwrap_or_default()
}

/// The lines that are shipped: all before the test module that ends the file, if it has one, and
/// none of a file that is itself a test module.
pub(crate) fn production<'a>(path: &str, text: &'a str) -> &'a str {
    if path.ends_with("tests.rs") || path.contains("/tests/") {
        return "";
    }
    let module = text.rfind("\n#[cfg(test)]\nmod ").filter(|at| {
        let line = text[at + 1..].lines().nth(1).unwrap_or_default();
        line.ends_with('{') // `mod name;` only declares a file, and code may follow it
    });
    module.map_or(text, |at| &text[..at])
}
