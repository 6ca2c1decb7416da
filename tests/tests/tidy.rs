//! The tree keeps its own house rules: sizes, heads, words, links, targets, sample data.
//!
//! Not here: what clippy and rustfmt already check (`make lint`), and the borders between the
//! crates (`boundaries.rs`). A rule that cannot be checked by a machine is in CONTRIBUTING.md.

mod tree;

use std::collections::BTreeSet;

use tree::{PURE, files, production, read, root};

/// A file longer than this is two files. Lines before the test module count.
const LONGEST_FILE: usize = 600;

/// Files that are longer, with the length that they may not exceed. It only ever gets shorter.
const LONGER_FILES: [(&str, usize); 0] = [];

/// More commands than this, and nobody remembers them.
const MOST_TARGETS: usize = 16;

/// Asserts that nothing was found, and otherwise shows all of it.
fn none(found: &[String]) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// A file's length: without its test module, unless it is nothing but tests.
fn counted(path: &str, text: &str) -> usize {
    match production(path, text) {
        "" => text.lines().count(),
        shipped => shipped.lines().count(),
    }
}

#[test]
fn no_file_is_longer_than_one_can_read() {
    let mut found = Vec::new();
    for (path, text) in files(".", &[".rs"]) {
        let known = LONGER_FILES.iter().find(|(name, _)| *name == path);
        let limit = known.map_or(LONGEST_FILE, |(_, lines)| *lines);
        let lines = counted(&path, &text);
        if lines > limit {
            found.push(format!("{path} has {lines} lines, the limit is {limit}: split it"));
        }
        if known.is_some() && lines <= LONGEST_FILE {
            found.push(format!("{path} is short enough now: take it out of LONGER_FILES"));
        }
    }
    none(&found);
}

#[test]
fn no_function_in_a_crate_is_excused_from_its_length() {
    for (path, text) in files(".", &[".rs"]).into_iter().filter(|(path, _)| path.contains("/src/"))
    {
        let excused = production(&path, &text).contains("allow(clippy::too_many_lines");
        assert!(!excused, "{path} allows functions longer than the threshold of clippy.toml");
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for (path, text) in files(".", &[".rs"]) {
        assert!(text.starts_with("//!"), "{path} does not begin with its //! head");
    }
}

/// Each word is put together here, so that this file does not contain it.
#[test]
fn nothing_unfinished_is_left_in_the_tree() {
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
    ];
    let mut found = Vec::new();
    for (path, text) in files(".", &[".rs", ".sh", ".md", ".toml", "Makefile"]) {
        let words = words.iter().filter(|word| text.contains(**word));
        found.extend(words.map(|word| format!("{path} contains {word}")));
    }
    none(&found);
}

#[test]
fn nothing_in_the_tree_is_bound_to_one_machine() {
    let words = [
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("crates", ".io"),
        concat!("pypi", ".org"),
        concat!("npmjs", ".org"),
    ];
    let mut found = Vec::new();
    for (path, text) in files(".", &[".rs", ".sh", ".md", ".toml", ".json", "Makefile"]) {
        let words = words.iter().filter(|word| text.contains(**word));
        found.extend(words.map(|word| format!("{path} contains {word}")));
    }
    none(&found);
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    for (path, text) in files(".", &["Cargo.toml"]) {
        if text.contains("[package]") {
            assert!(text.contains("[lints]\nworkspace = true"), "{path} has no [lints] of ours");
        }
    }
}

#[test]
fn pure_crates_have_the_same_stricter_lints() {
    let root_settings = read("clippy.toml");
    let first = read(&format!("{}/clippy.toml", PURE[0]));
    for folder in PURE {
        let settings = read(&format!("{folder}/clippy.toml"));
        assert_eq!(settings, first, "{folder}/clippy.toml is not that of {}", PURE[0]);
        for line in root_settings.lines().filter(|l| !l.starts_with('#')) {
            assert!(settings.contains(line), "{folder}/clippy.toml lacks the root's `{line}`");
        }
    }
    assert!(root_settings.contains("too-many-lines-threshold = 70"));
}

#[test]
fn the_makefile_stays_small_and_explains_itself() {
    let makefile = read("Makefile");
    let is_target = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default();
        !name.is_empty()
            && line.contains(':')
            && !line.contains(":=")
            && name.chars().all(|c| c.is_ascii_lowercase() || c == '-')
    };
    let targets: Vec<&str> = makefile.lines().filter(is_target).collect();
    assert!((5..=MOST_TARGETS).contains(&targets.len()), "the targets are {targets:?}");
    for target in targets {
        assert!(target.contains("## "), "`make help` cannot explain: {target}");
    }
}

/// The targets of the Markdown links of one text, without web addresses and anchors.
fn links(text: &str) -> Vec<String> {
    let ends = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let local = ends.filter(|link| !link.contains("://") && !link.starts_with("mailto:"));
    let paths = local.map(|link| link.split('#').next().unwrap_or_default().to_owned());
    paths.filter(|path| !path.is_empty()).collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut found = Vec::new();
    for (path, text) in files(".", &[".md"]) {
        let folder = root().join(&path).parent().expect("a file has a folder").to_owned();
        let broken = links(&text).into_iter().filter(|link| !folder.join(link).exists());
        found.extend(broken.map(|link| format!("{path} links to {link}, which is not there")));
    }
    none(&found);
}

/// Names of documents such as `docs/adr/0002-codec.md`, wherever they stand.
fn documents_named(text: &str) -> Vec<&str> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let words = text.split(|c: char| !is_path(c)).map(|word| word.trim_end_matches('.'));
    words.filter(|word| word.starts_with("docs/") && word.ends_with(".md")).collect()
}

#[test]
fn documents_that_the_code_names_exist() {
    let mut found = Vec::new();
    for (path, text) in files(".", &[".rs", ".sh", ".toml", ".md", "Makefile"]) {
        let missing = documents_named(&text).into_iter().filter(|name| !root().join(name).exists());
        found.extend(missing.map(|name| format!("{path} names {name}, which is not there")));
    }
    none(&found);
}

/// Names in backticks of four parts or more: those of tests, above all. Those of metrics are put
/// together from parts.
fn long_names(text: &str) -> impl Iterator<Item = &str> {
    let is_of_a_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let spans = text.split('`').skip(1).step_by(2);
    spans
        .filter(move |span| span.matches('_').count() >= 3 && span.chars().all(is_of_a_name))
        .filter(|span| !span.starts_with("symbolon_"))
}

#[test]
fn tests_that_the_documents_name_exist() {
    let code: Vec<_> = files(".", &[".rs"]).into_iter().map(|(_, text)| text).collect();
    let mut found = Vec::new();
    // The change log names what is no more.
    for (path, text) in files(".", &[".md"]).into_iter().filter(|(path, _)| path != "CHANGELOG.md")
    {
        let names: BTreeSet<_> = text.lines().flat_map(long_names).collect();
        let gone = names.into_iter().filter(|name| !code.iter().any(|text| text.contains(name)));
        found.extend(gone.map(|name| format!("{path} names {name}, which is nowhere in the code")));
    }
    none(&found);
}

#[test]
fn the_codemap_names_only_what_exists() {
    let text = read("ARCHITECTURE.md");
    let is_path = |word: &&str| {
        word.contains('/')
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
            && !word.starts_with('/')
    };
    for name in text.split('`').skip(1).step_by(2).filter(is_path) {
        assert!(root().join(name).exists(), "ARCHITECTURE.md names {name}, which is not there");
    }
}

#[test]
fn every_decision_is_in_the_index() {
    let index = read("docs/adr/README.md");
    for (path, _) in files("docs/adr", &[".md"]) {
        let name = path.rsplit('/').next().unwrap_or_default();
        let listed = name == "README.md" || index.contains(&format!("({name})"));
        assert!(listed, "docs/adr/README.md does not list {name}");
    }
}

/// One row of the table in data/README.md that names a file: (file, rows).
fn promised(line: &str) -> Option<(String, usize)> {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let name = cells.get(1)?.strip_prefix('`')?.strip_suffix('`')?;
    let number =
        cells.get(2)?.split(&[' ', ';'][..]).next()?.trim_end_matches(',').replace(',', "");
    Some((name.to_owned(), number.parse().ok()?))
}

#[test]
fn the_sample_data_is_what_its_readme_says() {
    let table = read("data/README.md");
    let promised: Vec<(String, usize)> = table.lines().filter_map(promised).collect();
    let named: BTreeSet<String> = promised.iter().map(|(name, _)| name.clone()).collect();
    let folder = std::fs::read_dir(root().join("data")).expect("data/ can be read");
    let there: BTreeSet<String> = folder
        .map(|entry| {
            entry.expect("an entry can be read").file_name().to_string_lossy().into_owned()
        })
        // An import leaves its errors file beside the file that it read.
        .filter(|name| name != "README.md" && !name.ends_with(".errors.csv"))
        .collect();
    assert_eq!(there, named, "data/README.md and data/ do not agree");
    for (name, rows) in promised {
        let bytes = std::fs::read(root().join("data").join(&name)).expect("it was just listed");
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        let header = usize::from(name.ends_with(".csv"));
        assert_eq!(lines - header, rows, "rows of data/{name}");
    }
}

/// The demo shows a licence that must still be valid when this is read in some years.
#[test]
fn the_demo_data_has_licences_without_an_end() {
    let text = read("data/driving-licences.csv");
    let unending = text.lines().filter(|line| line.contains(",长期,")).count();
    assert!(unending > 100, "only {unending} licences have no end date");
}
