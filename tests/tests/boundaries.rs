//! The borders between the crates, and what may not lie behind them.
//!
//! `cargo tree` says what each crate is really built from; a scan of the sources says what it
//! names. Not here: what the code does behind a border. The arrows are those of ARCHITECTURE.md.

mod tree;

use std::collections::BTreeSet;
use std::process::Command;

use tree::{PURE, files, production};

/// What each crate may take from the workspace: (crate, crates).
const ARROWS: [(&str, &[&str]); 8] = [
    ("ledger", &[]),
    ("credential", &["ledger"]),
    ("contracts", &["ledger"]),
    ("genesis", &["ledger", "contracts"]),
    ("consensus", &["ledger"]),
    ("verify", &["ledger", "credential"]),
    ("cli", &["ledger", "credential", "verify", "genesis"]),
    ("node", &["ledger", "credential", "contracts", "genesis", "consensus", "verify"]),
];

/// The names of the packages that `package` is built from, itself left out.
fn built_from(package: &str, depth: Option<u32>) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.current_dir(tree::root());
    command.args(["tree", "--offline", "--locked", "-e", "normal,build", "--prefix", "none"]);
    command.args(["--format", "{p}", "-p", package]);
    if let Some(depth) = depth {
        command.args(["--depth", &depth.to_string()]);
    }
    let output = command.output().expect("cargo runs, since it runs this test");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree -p {package}: {said}");
    let lines = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let names = lines.lines().filter_map(|line| line.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != package).map(str::to_owned).collect()
}

fn crate_name(folder: &str) -> String {
    format!("symbolon-{folder}")
}

/// Asserts that none of `forbidden` is anywhere under the crate.
fn check_without(folder: &str, forbidden: &[&str]) {
    let all = built_from(&crate_name(folder), None);
    assert!(all.len() > 3, "{folder}: cargo tree gave {all:?}");
    for name in forbidden {
        assert!(
            !all.contains(*name),
            "{name} lies under {folder}: cargo tree -p symbolon-{folder} -i {name}"
        );
    }
}

#[test]
fn arrows_point_only_upwards() {
    for (folder, allowed) in ARROWS {
        let allowed: BTreeSet<String> = allowed.iter().map(|f| crate_name(f)).collect();
        let direct = built_from(&crate_name(folder), Some(1));
        let ours: BTreeSet<String> =
            direct.into_iter().filter(|name| name.starts_with("symbolon-")).collect();
        let extra: Vec<&String> = ours.difference(&allowed).collect();
        assert!(extra.is_empty(), "{folder} may not depend on {extra:?}");
    }
}

#[test]
fn every_member_of_the_workspace_has_its_arrows_written_here() {
    let manifest = tree::read("Cargo.toml");
    let members = manifest.lines().find(|l| l.starts_with("members = ")).unwrap_or_default();
    let members: BTreeSet<&str> = members.split('"').skip(1).step_by(2).collect();
    let mut known: BTreeSet<&str> = ARROWS.iter().map(|(folder, _)| *folder).collect();
    known.insert("tests"); // it sees everything, and nothing is built from it
    assert_eq!(members, known);
}

#[test]
fn a_third_party_gets_no_runtime_database_or_network() {
    check_without(
        "verify",
        &["tokio", "rocksdb", "librocksdb-sys", "libp2p", "axum", "jmt", "mio"],
    );
}

#[test]
fn the_command_line_gets_no_database_and_no_peer_to_peer_network() {
    check_without("cli", &["rocksdb", "librocksdb-sys", "libp2p", "symbolon-node"]);
}

#[test]
fn pure_crates_are_built_without_runtime_database_network_or_entropy() {
    for folder in PURE {
        check_without(folder, &["rocksdb", "libp2p", "axum", "ureq", "mio", "futures-timer"]);
        // Malachite's core lists tokio, without features, and uses nothing of it.
        if folder != "consensus" {
            check_without(folder, &["tokio"]);
        }
        let direct = built_from(&crate_name(folder), Some(1));
        for name in ["getrandom", "rand", "tempfile", "nix", "fs4", "tokio"] {
            assert!(!direct.contains(name), "{folder} may not depend on {name}: it is an argument");
        }
    }
}

#[test]
fn only_consensus_names_malachite() {
    for (folder, _) in ARROWS {
        let direct = built_from(&crate_name(folder), Some(1));
        let malachite: Vec<&String> =
            direct.iter().filter(|name| name.starts_with("arc-malachitebft-")).collect();
        match folder {
            "consensus" => assert!(!malachite.is_empty(), "consensus is built on Malachite's core"),
            // The log file of the round is IO, so it is the node's.
            "node" => assert_eq!(malachite, ["arc-malachitebft-wal"], "node has the log only"),
            _ => assert!(malachite.is_empty(), "{folder} names {malachite:?}"),
        }
    }
}

#[test]
fn there_is_one_libp2p_and_one_rocksdb() {
    let lock = tree::read("Cargo.lock");
    for name in ["libp2p", "libp2p-gossipsub", "yamux", "rocksdb", "librocksdb-sys"] {
        let count = lock.matches(&format!("\nname = \"{name}\"\n")).count();
        assert_eq!(count, 1, "{name} is locked {count} times");
    }
}

/// The node uses what is made for outsiders only where it faces them.
#[test]
fn in_the_node_only_http_knows_credentials() {
    for (path, text) in files("node/src", &[".rs"]) {
        let faces_outsiders = ["node/src/http", "node/src/web"].iter().any(|p| path.starts_with(p));
        for name in ["symbolon_credential", "symbolon_verify"] {
            let named = production(&path, &text).contains(name);
            assert!(faces_outsiders || !named, "{path} names {name}: only http/ and web/ may");
        }
    }
}

/// Clippy refuses the functions (clippy.toml of each pure crate); this also refuses the words,
/// and `async`, which no lint knows.
#[test]
fn pure_crates_name_no_clock_file_socket_thread_or_hash_order() {
    let words = [
        "HashMap",
        "HashSet",
        "RandomState",
        "std::time::Instant",
        "SystemTime",
        "std::fs",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "ToSocketAddrs",
        "std::thread",
        "std::process",
        "std::env",
        "getrandom",
        "thread_rng",
        "async fn",
        "async move",
        ".await",
    ];
    let mut found = Vec::new();
    for folder in PURE {
        for (path, text) in files(&format!("{folder}/src"), &[".rs"]) {
            for (number, line) in production(&path, &text).lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                for word in words.iter().filter(|word| code.contains(**word)) {
                    found.push(format!("{path}:{}: {word}", number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "in pure crates:\n{}", found.join("\n"));
}
