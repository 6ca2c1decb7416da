//! The borders between the crates, and what may not lie behind them.
//!
//! `cargo tree` says what each crate is really built from; a scan of the sources says what it
//! names; [`supply`] says what may come from outside. Not here: what the code does behind a border.
//! The arrows are those of ARCHITECTURE.md.

#[path = "boundaries/supply.rs"]
mod supply;
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
    ("cli", &["ledger", "credential", "contracts", "verify", "genesis"]),
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
    // They see everything, and nothing is built from them.
    known.extend(["tests", "tests/oracle", "tests/sim"]);
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
fn the_oracle_of_the_map_is_in_nothing_that_is_shipped() {
    for folder in ["node", "cli"] {
        check_without(folder, &["jmt", "symbolon-oracle"]);
    }
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

/// The node uses what is made for outsiders only where it faces them, and where it is one itself: a
/// node that joins by a snapshot believes a header as a verifier does.
#[test]
fn in_the_node_only_http_knows_credentials() {
    const JOINS: &str = "node/src/snapshot/trust.rs";
    for (path, text) in files("node/src", &[".rs"]) {
        let faces_outsiders = path.starts_with("node/src/http");
        for (name, is_one) in [("symbolon_credential", false), ("symbolon_verify", path == JOINS)] {
            let named = production(&path, &text).contains(name);
            assert!(faces_outsiders || is_one || !named, "{path} names {name}: only http/ may");
        }
    }
}

/// HTTP, the pool, the network and the router hold the same database, and only read it. What makes
/// another one (`verify-chain`, a join) writes that.
#[test]
fn in_the_node_only_engine_and_keeper_write_the_chain() {
    const ENGINE: &[&str] = &["node/src/engine/"];
    const KEEPER: &[&str] = &["node/src/keeper.rs"];
    for (write, writers) in [
        (".commit(&Commit", &["node/src/engine/", "node/src/verify_chain.rs"][..]),
        (".keep_undecided(", ENGINE),
        (".keep_evidence(", ENGINE),
        (".prune(", KEEPER),
        (".trim_leaves(", KEEPER),
        ("Store::restore(", &["node/src/join.rs", "node/src/verify_chain.rs"]),
    ] {
        let mut seen = 0;
        for (path, text) in files("node/src", &[".rs"]) {
            let test = path.ends_with("tests.rs") || path.contains("/tests/");
            if test || path.starts_with("node/src/storage/") {
                continue;
            }
            if code_of(production(&path, &text)).contains(write) {
                assert!(writers.iter().any(|w| path.starts_with(w)), "{path} calls {write}");
                seen += 1;
            }
        }
        assert!(seen > 0, "nobody calls {write}: has its name changed?");
    }
}

/// `credential` takes the nouns that a credential is made of, and nothing of how the chain works.
#[test]
fn credentials_know_of_the_ledger_only_keys_codes_hashes_the_catalogue_and_status_pages() {
    let allowed = ["catalogue", "codes", "hash", "keys", "status_page"];
    for (path, text) in files("credential/src", &[".rs"]) {
        for named in paths_under("symbolon_ledger", &code_of(production(&path, &text))) {
            let module = named.split("::").nth(1).unwrap_or_default();
            assert!(allowed.contains(&module), "{path} names {named}");
        }
    }
}

/// Modules and types of the standard library through which the world comes in. A whole module is
/// forbidden, or all of it but what is listed: pure values that happen to be defined there.
const IMPURE: [(&str, &[&str]); 10] = [
    ("fs", &[]),
    ("env", &[]),
    ("os", &[]),
    ("process", &[]),
    ("random", &[]),
    ("thread", &[]),
    ("io", &["Result", "Error", "ErrorKind"]),
    ("net", &["IpAddr", "Ipv4Addr", "Ipv6Addr"]),
    ("time", &["Duration"]),
    ("*", &[]),
];

/// Words that stand for the same, of the standard library and of crates that are in use.
const IMPURE_WORDS: [&str; 15] = [
    "HashMap",
    "HashSet",
    "RandomState",
    "DefaultHasher",
    "ToSocketAddrs",
    "getrandom",
    "thread_rng",
    "OsRng",
    "SysRng",
    "Timestamp::now",
    "Zoned::now",
    "async fn",
    "async move",
    "async {",
    ".await",
];

/// What is impure in `code`.
fn impurities(code: &str) -> Vec<String> {
    let code = code_of(code);
    let mut found: Vec<String> = IMPURE_WORDS
        .iter()
        .filter(|word| code.contains(**word))
        .map(|word| (*word).to_owned())
        .collect();
    for path in paths_under("std", &code) {
        let mut names = path.split("::").skip(1);
        let (module, item) = (names.next().unwrap_or("*"), names.next().unwrap_or("*"));
        let rule = IMPURE.iter().find(|(name, _)| *name == module);
        if rule.is_some_and(|(_, pure)| !pure.contains(&item)) {
            found.push(path);
        }
    }
    found
}

/// The code without its comments, on one line.
fn code_of(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default().trim());
    lines.collect::<Vec<_>>().join(" ")
}

/// Every path that begins with `root`, with the groups of `use` written out: `std::{fmt, io::Read}`
/// is `std::fmt` and `std::io::Read`. A root that stands alone, or under another name, is `root`.
fn paths_under(root: &str, code: &str) -> Vec<String> {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut paths = Vec::new();
    for (at, _) in code.match_indices(root) {
        let (before, after) = (&code[..at], &code[at + root.len()..]);
        // `::std` is the root itself, `x::std` another one.
        let begins = !before.strip_suffix("::").unwrap_or(before).ends_with(part_of_name);
        let lone = before.ends_with("use ") && (after.starts_with(';') || after.starts_with(" as"));
        match after.trim_start().strip_prefix("::") {
            Some(rest) if begins => {
                write_out(root, rest, &mut paths);
            }
            None if begins && lone => paths.push(root.to_owned()),
            _ => {}
        }
    }
    paths
}

/// Writes out the path or the group at the beginning of `rest`; gives what follows it.
fn write_out<'c>(prefix: &str, rest: &'c str, paths: &mut Vec<String>) -> &'c str {
    let rest = rest.trim_start();
    if let Some(mut group) = rest.strip_prefix('{') {
        loop {
            group = group.trim_start().trim_start_matches(',').trim_start();
            match group.strip_prefix('}') {
                Some(rest) => return rest,
                None if group.is_empty() => return group,
                None => group = write_out(prefix, group, paths),
            }
        }
    }
    let end = rest.find(|c: char| !(c.is_alphanumeric() || "_*".contains(c)));
    let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
    let path = format!("{prefix}::{name}");
    match rest.strip_prefix("::") {
        Some(rest) => write_out(&path, rest, paths),
        None => {
            paths.push(path);
            // Past another name, or whatever else stands before the next of the group.
            &rest[rest.find([',', '}']).unwrap_or(rest.len())..]
        }
    }
}

/// Clippy refuses the functions (clippy.toml of each pure crate); this also refuses the words,
/// and `async`, which no lint knows.
#[test]
fn pure_crates_name_no_clock_file_socket_thread_or_hash_order() {
    for folder in PURE {
        for (path, text) in files(&format!("{folder}/src"), &[".rs"]) {
            let found = impurities(production(&path, &text));
            assert!(found.is_empty(), "{path}: {found:?}");
        }
    }
}

#[test]
fn an_impurity_is_seen_however_it_is_spelt() {
    let check = |code: &str, expected: &[&str]| assert_eq!(impurities(code), expected, "{code}");
    check("use std::{fmt, str::FromStr};", &[]);
    check("fn f() -> std::io::Result<()> { std::mem::take(x) }", &[]);
    check("use std::net::{Ipv4Addr, Ipv6Addr}; use std::time::Duration;", &[]);
    check("// std::fs::read would be wrong", &[]);
    check("use std::{fs, env, thread};", &["std::fs", "std::env", "std::thread"]);
    check(
        "use std::{\n    fmt, // std::x\n    fs as files,\n    io::{self, Read},\n};",
        &["std::fs", "std::io::self", "std::io::Read"],
    );
    check("use std::fs::metadata;", &["std::fs::metadata"]);
    check("std::thread::Builder::new()", &["std::thread::Builder::new"]);
    check("std::env::args_os()", &["std::env::args_os"]);
    check("use std::net::{IpAddr, TcpStream};", &["std::net::TcpStream"]);
    check("use std::time::{Duration, Instant};", &["std::time::Instant"]);
    check("let e = std::io::stdin();", &["std::io::stdin"]);
    check("use std as s;", &["std"]);
    check("use std::*;", &["std::*"]);
    check("use ::std::{collections::{BTreeMap, HashMap}};", &["HashMap"]);
    check("use ::std::fs; use x::std::fs;", &["std::fs"]);
    check("jiff::Timestamp::now()", &["Timestamp::now"]);
    check("OsRng.fill(bytes)", &["OsRng"]);
}

/// The kinds of value that an operation on a licence may have. None of them takes free text: a
/// name, a number of a person or of a document cannot be said.
#[test]
fn operations_on_licences_have_no_field_into_which_text_fits() {
    let source = tree::read("ledger/src/operation.rs");
    let rows = source.split("\noperations! {\n").nth(1).expect("the operations are listed");
    let fields = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
        let kinds = lines.filter_map(|line| line.split_once(": ")).map(|(_, kind)| kind);
        kinds.map(|kind| kind.trim_end_matches(',').to_owned()).collect()
    };
    let set = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect();
    let licences = rows.split("    /// Register an agency").next().unwrap_or_default();
    for name in ["issue", "cancel_transfer"] {
        assert!(licences.contains(&format!("\"{name}\"")), "{name} is not where it is looked for");
    }
    let expected: BTreeSet<String> = set(&["Cid", "NewLicence", "RevocationClass", "Uscc"]);
    assert_eq!(fields(licences), expected);
    let licence = source.split("pub struct NewLicence {").nth(1).and_then(|s| s.split('}').next());
    let expected: BTreeSet<String> = set(&["Digest", "Option<Month>", "TypeCode", "u32"]);
    assert_eq!(fields(licence.expect("its fields are listed")), expected);
    // Elsewhere there is one label, the name of an institution.
    assert_eq!(rows.matches("Label").count(), 1);
    assert_eq!(rows.matches("String").count() + rows.matches("str,").count(), 0);
}
