//! What a person gets wrong: each is answered with what, where and a hint.

use super::*;

/// The same claims again make another licence, and that is said.
fn issuing_again_is_noticed(bench: &Bench, cid: &str) {
    let line = format!("--devnet . issue --as {GUANGDONG} --type {DRIVING} --out gd claims.json");
    let twice = bench.run(&line);
    assert!(twice.status.success(), "{}", text(&twice.stderr));
    let note = format!("note: {cid} in gd was issued with the same claims");
    assert!(text(&twice.stderr).contains(&note), "{}", text(&twice.stderr));
}

/// Every command, whatever it is about to say, notices that nobody can read it.
fn an_answer_that_cannot_be_written_is_an_error(bench: &Bench, cid: &str) {
    let run = |program: &str, line: &str| {
        let output = Command::new(binary(program))
            .args(line.split_whitespace())
            .current_dir(bench.net.folder())
            .stdin(Stdio::null())
            .stdout(fs::File::options().write(true).open("/dev/full").unwrap())
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
        let wanted = "error: the answer cannot be written to standard output: No space left";
        assert!(said.lines().any(|l| l.starts_with(wanted)), "{line}: {said}");
    };
    let mut lines = vec!["--help", "--version", "import --help", "completions bash"];
    let keys = ["keys new full.pem", "genesis show genesis.toml", "doctor", "agency list"];
    lines.extend(keys);
    let of_it = ["status", "history", "verify", "present"].map(|c| format!("{c} gd/{cid}.sdjwt"));
    lines.extend(of_it.iter().map(String::as_str));
    for line in lines {
        run("symbolon", &format!("{line} --devnet ."));
    }
    for line in [format!("--json --devnet . status {cid}"), "keys show full.pem --json".to_owned()]
    {
        run("symbolon", &line);
    }
    run("symbolon-node", "check-config --config node-1/config.toml");
}

fn write_bad_files(bench: &Bench, cid: &str) {
    let credential = fs::read(bench.path(&format!("gd/{cid}.sdjwt"))).unwrap();
    let files: [(&str, &[u8]); 9] = [
        ("tabs.csv", "姓名\t性别\n1\t2\n".as_bytes()),
        ("empty.csv", b""),
        ("book.csv", b"PK\x03\x04"),
        ("unknown.csv", "姓名,乱\n1,2\n".as_bytes()),
        ("few.csv", "姓名,性别\n1,2\n".as_bytes()),
        ("binary.sdjwt", b"\xff\xfe\x00"),
        ("short.sdjwt", &credential[..credential.len() / 2]),
        ("long.sdjwt", &[b'a'; 66_000]),
        ("claims.txt", b"[1]"),
    ];
    for (name, bytes) in files {
        fs::write(bench.path(name), bytes).unwrap();
    }
}

fn governance_that_cannot_be() -> Vec<(String, i32, &'static str)> {
    let propose = |change: &str| format!("gov propose {change} --dry-run");
    vec![
        (propose("remove-validator 31"), 1, "too_few_validators"),
        (propose("remove-validator 77"), 1, "unknown_province"),
        (propose("parameters --max-staleness-ms 1"), 1, "bad_parameters"),
        (
            propose("province-key 44 --key-id 0 --public-key keys/province-51.pem"),
            1,
            "key_registered",
        ),
        (propose("province-key 44 --key-id 9 --public-key full.pem"), 1, "unknown_target_key"),
        (propose("rotate-validator 44 --validator-key node-1/validator.pem"), 1, "bad_validator"),
        (propose("feature 9 --at 900"), 1, "unknown_feature"),
        (propose("feature 1 --at 900 --expires-in 9"), 2, "usage"),
        ("gov show --genesis genesis.toml".to_owned(), 2, "no_proposal_named"),
        ("gov approve 0 --key node-1/validator.pem".to_owned(), 1, "unknown_key"),
        ("gov approve 0 --key keys/province-51.pem --as 44".to_owned(), 2, "other_province"),
        ("gov approve 0 --key .".to_owned(), 2, "key_unreadable"),
    ]
}

#[test]
fn bad_input_is_answered_with_what_where_and_a_hint() {
    let bench = Bench::new();
    let cid = bench.issue("gd");
    issuing_again_is_noticed(&bench, &cid);
    an_answer_that_cannot_be_written_is_an_error(&bench, &cid);
    write_bad_files(&bench, &cid);
    let import = |file: &str| format!("import {file} --type {DRIVING} --out bad --as 44");
    let issue = |more: &str| format!("issue --type {DRIVING} --out bad --as 44 {more}");
    let nobody = "0".repeat(64);
    let admin = &bench.net.node("11").admin;
    for (line, status, code) in [
        (import("empty.csv"), 2, "empty_file"),
        (import("book.csv"), 2, "spreadsheet"),
        (import("unknown.csv"), 2, "unknown_column"),
        (import("few.csv"), 2, "missing_column"),
        (import("tabs.csv"), 2, "other_separator"),
        (import("none.csv"), 2, "unreadable_file"),
        (import("."), 2, "unreadable_file"),
        (
            "import few.csv --type local:nope --out bad --as 44".to_owned(),
            1,
            "unknown_licence_type",
        ),
        ("import few.csv --type NOPE --out bad --as 44".to_owned(), 2, "usage"),
        (issue(""), 2, "no_claims"),
        (issue("claims.txt"), 2, "bad_claims_file"),
        (issue("--claim name=x"), 1, "bad_claims"),
        (issue("claims.json --holder-key claims.txt"), 2, "bad_public_key"),
        (
            "issue --type local:driving-licence --out gd --as 31 claims.json".to_owned(),
            1,
            "foreign_journal",
        ),
        ("verify binary.sdjwt".to_owned(), 2, "not_utf8"),
        ("verify short.sdjwt".to_owned(), 1, "malformed_presentation"),
        ("verify long.sdjwt".to_owned(), 2, "file_too_large"),
        ("verify a~b".to_owned(), 1, "malformed_presentation"),
        ("verify eyJabc".to_owned(), 1, "malformed_presentation"),
        (format!("verify gd/{cid}.sdjwt --at never"), 2, "bad_at"),
        (format!("verify gd/{cid}.sdjwt --province 99"), 2, "bad_province"),
        (format!("verify gd/{cid}.sdjwt --node {admin}"), 2, "not_found"),
        ("verify claims.txt".to_owned(), 2, "no_presentation"),
        ("verify empty.csv".to_owned(), 2, "empty_file"),
        ("status 123".to_owned(), 2, "bad_cid"),
        (format!("history {nobody}"), 1, "unknown_licence"),
        (format!("revoke {nobody} --as 44"), 1, "unknown_licence"),
        (format!("revoke {nobody} --as 99"), 2, "no_such_province"),
        (format!("revoke {nobody}"), 2, "no_key"),
        (format!("receipt get {nobody}"), 1, "unknown_transaction"),
        (format!("agency show {}", "1".repeat(18)), 2, "usage"),
        ("agency list --node http://127.0.0.1:1".to_owned(), 3, "unreachable"),
    ]
    .into_iter()
    .chain(governance_that_cannot_be())
    {
        let error = bench.ask(&line, status)["error"].clone();
        assert_eq!(error["code"], code, "{line}: {error}");
        for part in ["message", "hint"] {
            assert!(!error[part].as_str().unwrap().is_empty(), "{line}: no {part}");
        }
        let plain = text(&bench.run(&format!("--devnet . {line}")).stderr);
        assert!(plain.contains("error: ") && plain.contains("\nhint: "), "{line}: {plain}");
    }
    assert!(!bench.path("bad").exists() || count(&bench.path("bad"), ".sdjwt") == 0);
}
