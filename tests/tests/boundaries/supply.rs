//! What comes into the build from outside, held against `deny.toml` without a download: sources,
//! licences, forbidden crates and versions.
//!
//! `cargo deny check` says more where it is installed: it knows the advisories and what was
//! withdrawn. Here is what `Cargo.lock` and `cargo tree` know on any machine that can build.

use std::{collections::BTreeSet, process::Command};

use toml::Value;

use crate::tree;

/// A crate of the build.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Built {
    name: String,
    version: String,
    licence: String,
}

fn cargo_tree(arguments: &[&str]) -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.current_dir(tree::root());
    command.args(["tree", "--offline", "--locked", "--workspace", "-e", "normal,build,dev"]);
    let output = command.args(["--prefix", "none"]).args(arguments).output();
    let output = output.expect("cargo runs, since it runs this test");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree {arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

/// All crates from outside that this machine builds.
fn built() -> BTreeSet<Built> {
    let lines = cargo_tree(&["--format", "{p}|{l}"]);
    let read = |line: &str| {
        // What was listed before is marked.
        let (package, licence) = line.trim_end_matches(" (*)").split_once('|')?;
        let mut words = package.split(' ');
        let (name, version) = (words.next()?.to_owned(), words.next()?[1..].to_owned());
        Some(Built { name, version, licence: licence.to_owned() })
    };
    let all: BTreeSet<Built> = lines.lines().filter_map(read).collect();
    assert!(all.len() > 100, "cargo tree gave {} crates", all.len());
    all.into_iter().filter(|one| !one.name.starts_with("symbolon-")).collect()
}

fn deny() -> Value {
    Value::Table(tree::read("deny.toml").parse().expect("deny.toml is TOML"))
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Whether an expression of SPDX (its specification, annex D; with the older `/` for `OR`) can be
/// met with licences that `allowed` takes.
fn is_met(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (met, rest) = either(&words, allowed);
    met && rest.is_empty()
}

fn either<'w, 't>(words: &'w [&'t str], allowed: &dyn Fn(&str) -> bool) -> (bool, &'w [&'t str]) {
    let (mut met, mut rest) = both(words, allowed);
    while let ["OR", more @ ..] = rest {
        let (other, left) = both(more, allowed);
        (met, rest) = (met || other, left);
    }
    (met, rest)
}

fn both<'w, 't>(words: &'w [&'t str], allowed: &dyn Fn(&str) -> bool) -> (bool, &'w [&'t str]) {
    let (mut met, mut rest) = one(words, allowed);
    while let ["AND", more @ ..] = rest {
        let (other, left) = one(more, allowed);
        (met, rest) = (met && other, left);
    }
    (met, rest)
}

fn one<'w, 't>(words: &'w [&'t str], allowed: &dyn Fn(&str) -> bool) -> (bool, &'w [&'t str]) {
    match words {
        ["(", inner @ ..] => match either(inner, allowed) {
            (met, [")", rest @ ..]) => (met, rest),
            (_, rest) => (false, rest),
        },
        [name, "WITH", exception, rest @ ..] => {
            (allowed(&format!("{name} WITH {exception}")), rest)
        }
        [name, rest @ ..] => (allowed(name), rest),
        [] => (false, words),
    }
}

#[test]
fn an_expression_of_licences_is_read_as_it_is_meant() {
    let check = |expression: &str, expected: bool| {
        let allowed = |name: &str| ["MIT", "ISC", "A WITH x"].contains(&name);
        assert_eq!(is_met(expression, &allowed), expected, "{expression}");
    };
    for met in ["MIT", "MIT OR GPL", "GPL/MIT", "GPL / ISC", "MIT AND ISC", "A WITH x OR GPL"] {
        check(met, true);
    }
    check("(GPL OR MIT) AND ISC", true);
    check("GPL OR MIT AND ISC", true);
    for unmet in ["", "GPL", "MIT AND GPL", "(MIT OR ISC) AND GPL", "A", "MIT MIT", "(MIT"] {
        check(unmet, false);
    }
}

#[test]
fn every_licence_is_allowed_and_every_allowed_one_is_borne() {
    let (deny, built) = (deny(), built());
    let allowed = texts(&deny["licenses"]["allow"]);
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for one in &built {
        let exceptions = deny["licenses"]["exceptions"].as_array().into_iter().flatten();
        let of_its_own: Vec<&str> = exceptions
            .filter(|e| e["crate"].as_str() == Some(&one.name))
            .flat_map(|e| texts(&e["allow"]))
            .collect();
        let may = |name: &str| allowed.contains(&name) || of_its_own.contains(&name);
        let (name, version) = (&one.name, &one.version);
        assert!(is_met(&one.licence, &may), "{name} {version} is under {:?}", one.licence);
        used.extend(allowed.iter().copied().filter(|name| one.licence.contains(name)));
    }
    let unused: Vec<_> = allowed.iter().filter(|name| !used.contains(**name)).collect();
    assert!(unused.is_empty(), "deny.toml allows what no crate bears: {unused:?}");
}

#[test]
fn all_crates_come_from_one_registry_with_a_checksum_and_none_from_git() {
    let lock: Value = Value::Table(tree::read("Cargo.lock").parse().expect("it is TOML"));
    let mut registries = BTreeSet::new();
    for package in lock["package"].as_array().expect("packages are locked") {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(source) = package.get("source").and_then(Value::as_str) else {
            assert!(name.starts_with("symbolon-"), "{name} has no source and is not ours");
            continue;
        };
        assert!(source.starts_with("registry+"), "{name} comes from {source}");
        let checksum = package.get("checksum").and_then(Value::as_str).unwrap_or_default();
        assert_eq!(checksum.len(), 64, "{name} has no checksum");
        registries.insert(source.to_owned());
    }
    assert_eq!(registries.len(), 1, "{registries:?}");
    let deny = deny();
    for kind in ["unknown-registry", "unknown-git"] {
        assert_eq!(deny["sources"][kind].as_str(), Some("deny"), "{kind}");
        assert!(deny["sources"].get("allow-git").is_none());
    }
}

/// Major, minor, patch; what follows them is left out.
fn numbers(version: &str) -> Vec<u64> {
    let plain = version.split(['-', '+']).next().unwrap_or_default();
    plain.split('.').map(|n| n.parse().expect("a version is made of numbers")).collect()
}

#[test]
fn forbidden_crates_and_versions_are_not_built_and_the_others_by_whom_they_may() {
    let (deny, built) = (deny(), built());
    for rule in deny["bans"]["deny"].as_array().expect("crates are forbidden") {
        let named = rule["crate"].as_str().expect("a rule names a crate");
        let (name, below) = match named.split_once(":<") {
            Some((name, below)) => (name, Some(below)),
            None => (named, None),
        };
        let wrappers = rule.get("wrappers").map(texts);
        for one in built.iter().filter(|one| one.name == name) {
            match (below, &wrappers) {
                (Some(below), _) => {
                    let fine = numbers(&one.version) >= numbers(below);
                    assert!(fine, "{name} {} is built: {named} is forbidden", one.version);
                }
                (None, Some(wrappers)) => check_wrapped(name, wrappers),
                (None, None) => assert_eq!(one.name, "", "{name} is forbidden"),
            }
        }
        let is_named = built.iter().any(|one| one.name == name);
        assert!(is_named || wrappers.is_none(), "{name} may be used by {wrappers:?} and is not");
    }
}

fn check_wrapped(name: &str, wrappers: &[&str]) {
    let lines = cargo_tree(&["-i", name, "--depth", "1", "--format", "{p}"]);
    let users = lines.lines().skip(1).filter_map(|line| line.split(' ').next());
    for user in users.filter(|user| *user != name && !user.is_empty()) {
        // Siblings of a crate that is made of several.
        let sibling =
            user.starts_with("arc-malachitebft-") && name.starts_with("arc-malachitebft-");
        assert!(wrappers.contains(&user) || sibling, "{user} names {name}: deny.toml forbids it");
    }
}
