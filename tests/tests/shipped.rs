//! What is shipped cannot break itself: the feature `mutants` (ledger/src/mutants.rs) is in no
//! program but the test that is made for it. Nor does it take other validator sets: the feature
//! `wide-sets` (ledger/src/validators.rs) is in no program but the simulation that is.

use std::process::Command;

use symbolon_tests::devnet::binary;

/// What stands in a program that can break itself; `ledger/src/mutants.rs` has the same words.
const MARKER: &str = "deliberate breaks are compiled into this program";

/// The features' names.
const FEATURES: [&str; 2] = ["mutants", "wide-sets"];

/// The packages below one, each with the features that it is built with, as `cargo tree` tells them.
fn features(arguments: &[&str]) -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    command.args(["tree", "--offline", "--locked", "-e", "normal,build", "-f", "{p} [{f}]"]);
    let output = command.args(arguments).output().expect("cargo runs, since it runs this test");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree {arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

#[test]
fn no_shipped_program_is_built_with_the_features() {
    let [node, cli] = ["symbolon-node", "symbolon-cli"].map(|package| features(&["-p", package]));
    for (what, tree) in [("the node", node), ("the command line", cli)] {
        assert!(tree.contains("symbolon-ledger"), "{what}: {tree}");
        for feature in FEATURES {
            assert!(!tree.contains(feature), "{what} is built with {feature}");
        }
    }
    let whole = features(&["--workspace"]);
    for feature in FEATURES {
        assert!(!whole.contains(feature), "the workspace is built with {feature}");
        // And this is how it would look.
        let with = features(&["-p", "symbolon-sim", "--features", feature]);
        assert!(with.contains(feature), "cargo tree does not show the feature: {with}");
    }
}

#[test]
fn no_shipped_program_contains_the_marker() {
    let source = include_str!("../../ledger/src/mutants.rs");
    assert!(source.contains(MARKER), "the marker has other words");
    for name in ["symbolon-node", "symbolon"] {
        let bytes = std::fs::read(binary(name)).expect("a program can be read");
        let found = bytes.windows(MARKER.len()).any(|window| window == MARKER.as_bytes());
        assert!(!found, "{name} can break itself");
    }
}
