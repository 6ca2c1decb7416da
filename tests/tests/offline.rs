//! Verifying with every node stopped: what was fetched while there was a network still answers,
//! says how old it is, and never takes a doubt for an invalid licence.
//!
//! Not here: the rules by which evidence ages (unit tests of `symbolon_verify::offline`, which turn
//! the clock), and what a node serves (`http/trust.rs`).

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use symbolon_credential::encoding::from_base64url;
use symbolon_genesis::presets::devnet_from_seed;
use symbolon_tests::devnet::{Devnet, binary, json_of};

const DRIVING: &str = "local:driving-licence";
/// A licence without an end, so that it is valid whenever the test runs.
const CLAIMS: &str = r#"{"姓名":"陆园琼","性别":"女","国籍":"中国","住址":"广东省深圳市南山区文明里335号",
 "出生日期":"2000-04-21","初次领证日期":"2020-02-05","准驾车型":"C1","有效期起":"2022-11-11",
 "有效期止":"长期","证号":"449999200004216907","档案编号":"440007126037"}"#;
/// The default of the chain's `max_staleness_ms`, which a development network has.
const MAX_STALENESS_MS: u64 = 60_000;

/// A network, and a folder for what is fetched from it.
struct Bench {
    net: Devnet,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { net: Devnet::start(4) };
        fs::write(bench.net.folder().join("claims.json"), CLAIMS).unwrap();
        bench
    }

    fn run(&self, line: &str) -> Output {
        let command = Command::new(binary("symbolon"))
            .args(line.split_whitespace())
            .current_dir(self.net.folder())
            .stdin(Stdio::null())
            .output();
        command.unwrap()
    }

    /// Runs `symbolon --json`; asserts its status and its one line.
    fn ask(&self, line: &str, status: i32) -> Value {
        let output = self.run(&format!("--json {line}"));
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "{line}\n{out}\n{err}");
        assert_eq!(out.lines().count(), 1, "{line}: {out}");
        json_of(&output)
    }

    /// As [`Self::ask`] of the network, until every node has the answer's height.
    fn sign(&self, line: &str) -> Value {
        let answer = self.ask(&format!("--devnet . {line}"), 0);
        self.net.await_height(answer["height"].as_u64().unwrap());
        answer
    }

    fn issue(&self) -> (String, String) {
        let issued = self.sign(&format!("issue --as 44 --type {DRIVING} --out gd claims.json"));
        let cid = issued["cid"].as_str().unwrap().to_owned();
        (cid, issued["transaction"].as_str().unwrap().to_owned())
    }

    /// Judges a licence in Beijing without a node: exit status and answer.
    fn verify(&self, cid: &str, more: &str) -> (Option<i32>, Value) {
        let files = format!("gd/{cid}.sdjwt --offline --trust trust.bin {more}");
        let output = self.run(&format!("--json verify {files} --province 11"));
        (output.status.code(), json_of(&output))
    }

    fn write(&self, name: &str, change: impl FnOnce(&mut Vec<u8>), from: &str) {
        let mut bytes = fs::read(self.net.folder().join(from)).unwrap();
        change(&mut bytes);
        fs::write(self.net.folder().join(name), bytes).unwrap();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn with_every_node_stopped_the_same_verdicts_are_given_with_their_age() {
    let bench = Bench::new();
    let (active, transaction) = bench.issue();
    let (revoked, _) = bench.issue();
    bench.ask(&format!("--devnet . receipt get {transaction} --out receipt.bin"), 0);
    let first = bench.ask("--devnet . trust-bundle get --out trust.bin --genesis genesis.toml", 0);
    assert_eq!(first["done"], "pinned for the first time");
    let pin = first["height"].as_u64().unwrap();
    for cid in [&active, &revoked] {
        let line = format!("--staple {cid}.staple --province 11,44 --out {cid}.txt");
        let shown = bench.ask(&format!("--devnet . present gd/{cid}.sdjwt {line}"), 0);
        assert!(shown["staple"]["height"].as_u64().unwrap() >= pin, "{shown}");
    }
    bench.sign(&format!("revoke {revoked} --as 44"));
    bench.ask("--devnet . status-list get 44/0 --out list.jwt", 0);
    let gone = bench.ask(&format!("--devnet . verify gd/{revoked}.sdjwt --province 11"), 1);
    for cid in [&active, &revoked] {
        let line = format!("proof get gd/{cid}.sdjwt --province 11,44 --out {cid}.proof");
        bench.ask(&format!("--devnet . {line}"), 0);
    }
    let below = bench.ask("receipt verify receipt.bin --genesis genesis.toml", 0);
    let height = below["height"].as_u64().unwrap();
    assert!(height < pin, "the receipt is from below the pin");
    let line = format!("proof inclusion {height} --trust trust.bin --out receipt.inclusion");
    bench.ask(&format!("--devnet . {line}"), 0);

    a_nodes_verdict_is_held_against_its_proof(&bench, &active, &revoked);
    bench.net.stop();
    let verify = |cid: &str, more: &str| bench.verify(cid, more);
    let (status, verdict) = verify(&active, &format!("--proof {active}.proof"));
    let age = verdict["evidence"]["proofs"][0]["age_ms"].as_u64().unwrap();
    let expected = if age <= MAX_STALENESS_MS { (0, "valid") } else { (5, "undetermined") };
    assert_eq!((status, verdict["outcome"].as_str()), (Some(expected.0), Some(expected.1)));
    assert!(verdict["message"]["en"].as_str().unwrap().contains(" ago."), "{verdict}");
    assert_eq!(verdict["evidence"]["trust"]["height"], pin);

    let (status, verdict) = verify(&revoked, &format!("--proof {revoked}.proof"));
    assert_eq!((status, &verdict["reason"]), (Some(1), &"revoked".into()));
    assert_eq!(verdict["checks"][6], gone["checks"][6]);
    assert_eq!(verdict["ledger_status"], "revoked");

    // Another licence's proof, or none at all, decides nothing.
    for more in ["", &format!("--proof {revoked}.proof")] {
        let (status, verdict) = verify(&active, more);
        assert_eq!((status, &verdict["outcome"]), (Some(5), &"undetermined".into()), "{more}");
    }
    with_a_status_list(&bench, &active, &revoked);
    let shown = bench.run(&format!(
        "verify gd/{revoked}.sdjwt --offline --trust trust.bin --proof {revoked}.proof --province 11"
    ));
    let shown = text(&shown.stdout);
    for part in
        ["INVALID  无效", "evidence 核验依据", "trust bundle  height", "state proof   height"]
    {
        assert!(shown.contains(part), "{part:?} in\n{shown}");
    }

    let refused = bench.ask("receipt verify receipt.bin --trust trust.bin", 5);
    assert_eq!(refused["error"]["code"], "more_needed");
    assert!(refused["error"]["message"].as_str().unwrap().contains("cannot be checked yet"));
    let hint = refused["error"]["hint"].as_str().unwrap();
    assert!(hint.contains(&format!("proof inclusion {height} --head {pin}")), "{hint}");
    let line = "receipt verify receipt.bin --trust trust.bin --inclusion receipt.inclusion";
    let held = bench.ask(line, 0);
    assert_eq!((&held["transaction"], &held["height"]), (&transaction.into(), &height.into()));
}

/// A staple from before the revocation, and the province's status list from after it.
fn with_a_status_list(bench: &Bench, active: &str, revoked: &str) {
    for (cid, expected) in [(active, (0, None)), (revoked, (1, Some("revoked")))] {
        let staple = format!("--proof {cid}.staple --genesis genesis.toml");
        let (status, verdict) = bench.verify(cid, &format!("{staple} --status-list list.jwt"));
        let found = (status.unwrap(), verdict["reason"].as_str());
        assert_eq!(found, expected, "{verdict}");
        assert!(verdict["evidence"]["status_list"].is_object(), "{verdict}");
        let (status, verdict) = bench.verify(cid, &staple);
        assert_ne!(status, Some(1), "{verdict}");
    }
    let (status, refused) = bench.verify(active, "--status-list list.jwt");
    assert_eq!((status, &refused["error"]["code"]), (Some(5), &"bad_status_list".into()));
}

#[test]
fn a_kept_trust_bundle_is_extended_and_never_replaced() {
    let bench = Bench::new();
    let get = "--devnet . trust-bundle get --out trust.bin";
    let unanchored = bench.run(&format!("--json {get}"));
    assert_eq!(unanchored.status.code(), Some(0));
    assert!(text(&unanchored.stderr).contains("warning: believed as the node gave it"));
    let first = json_of(&unanchored);
    let height = first["height"].as_u64().unwrap();
    bench.net.await_height(height + 1);
    let second = bench.ask(get, 0);
    assert_eq!(second["done"], format!("extended from height {height}"));
    assert_eq!(bench.ask("trust-bundle verify trust.bin --genesis genesis.toml", 0)["valid"], true);
    let pin = second["pin"].as_str().unwrap();
    let by_pin = bench.ask(&format!("trust-bundle verify trust.bin --pin {pin}"), 0);
    assert_eq!(by_pin["block"], second["block"]);

    // An older block as the pin, shown to be in the history of the newer one.
    let old = first["pin"].as_str().unwrap();
    let line = format!("trust-bundle verify trust.bin --pin {old}");
    assert_eq!(bench.ask(&line, 1)["error"]["code"], "no_inclusion");
    let inclusion = format!("proof inclusion {height} --trust trust.bin --out link.bin");
    bench.ask(&format!("--devnet . {inclusion}"), 0);
    bench.ask(&format!("{line} --inclusion link.bin"), 0);

    let other = format!("{height}:{}", "ab".repeat(32));
    let line = format!("trust-bundle verify trust.bin --pin {other} --inclusion link.bin");
    assert_eq!(bench.ask(&line, 1)["error"]["code"], "other_block");
    let later = second["height"].as_u64().unwrap() + 1_000;
    let line = format!("trust-bundle verify trust.bin --pin {later}:{}", "ab".repeat(32));
    assert_eq!(bench.ask(&line, 1)["error"]["code"], "older_bundle");

    // What was kept stays as it is when the chain at the node is another one.
    let kept = fs::read(bench.net.folder().join("trust.bin")).unwrap();
    let foreign = Devnet::start(4);
    let line = format!("--node {} trust-bundle get --out trust.bin", foreign.node("11").http);
    let refused = bench.ask(&line, 1);
    assert_eq!(refused["error"]["code"], "bad_trust_bundle", "{refused}");
    assert_eq!(fs::read(bench.net.folder().join("trust.bin")).unwrap(), kept);
}

/// Evidence that is damaged, cut short, or of a province that is not there.
fn spoil_evidence(bench: &Bench) {
    let flip = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1;
    bench.write("flipped.proof", flip, "good.proof");
    bench.write("short.proof", |bytes| bytes.truncate(100), "good.proof");
    bench.write("flipped.trust", flip, "trust.bin");
    bench.write("empty", |bytes| bytes.clear(), "good.proof");
    let (_, absent) = bench.net.get("11", "/v1/provinces/99?proof=true").unwrap();
    let absent = from_base64url(absent["proof"].as_str().unwrap()).unwrap();
    fs::write(bench.net.folder().join("no-99.proof"), absent).unwrap();
}

fn a_proof_for_another_province_says_nothing_of_agreements(bench: &Bench, cid: &str) {
    bench.ask(&format!("--devnet . proof get gd/{cid}.sdjwt --province 51 --out for-51.proof"), 0);
    let evidence = "--offline --trust trust.bin --proof for-51.proof --province 11";
    let shown = text(&bench.run(&format!("verify gd/{cid}.sdjwt {evidence}")).stdout);
    assert!(shown.contains("\nrecognised  not determined\n"), "{shown}");
}

fn a_nodes_verdict_is_held_against_its_proof(bench: &Bench, active: &str, revoked: &str) {
    let (other, _) = devnet_from_seed(4, &[0x77; 32], 1_795_392_000_000, 20_000);
    fs::write(bench.net.folder().join("other.toml"), other.to_toml()).unwrap();
    let ask = |cid: &str, believed: &str, status: i32| {
        bench.ask(&format!("--devnet . verify gd/{cid}.sdjwt {believed}"), status)
    };
    for believed in ["--genesis genesis.toml", "--trust trust.bin", "--trust trust.bin --as 31"] {
        let verdict = ask(active, believed, 0);
        assert_eq!(verdict["evidence"]["proofs"][0]["height"], verdict["as_of"]["height"]);
        assert_eq!(ask(revoked, believed, 1)["reason"], "revoked");
    }
    // The proof is good, and of a chain that is not the one believed.
    assert_eq!(ask(active, "--genesis other.toml", 5)["error"]["code"], "bad_proof");
}

#[test]
fn evidence_that_cannot_be_used_says_why_and_never_ends_like_an_invalid_licence() {
    let bench = Bench::new();
    let (cid, transaction) = bench.issue();
    let old = bench.ask(&format!("--devnet . proof get {cid} --out old.proof"), 0);
    bench.net.await_height(old["height"].as_u64().unwrap() + 1);
    bench.ask("--devnet . trust-bundle get --out trust.bin --genesis genesis.toml", 0);
    let at = bench.net.height("11").unwrap();
    bench.net.await_height(at + 1);
    bench.ask(&format!("--devnet . proof get {cid} --out good.proof"), 0);
    spoil_evidence(&bench);
    let verify = format!("verify gd/{cid}.sdjwt --offline");
    let (good, old) =
        ("--trust trust.bin --proof good.proof", "--trust trust.bin --proof old.proof");
    let rows = [
        (format!("{verify} --trust trust.bin --proof flipped.proof --province 11"), 2, "bad_proof"),
        (format!("{verify} --trust trust.bin --proof short.proof --province 11"), 2, "bad_proof"),
        (format!("{verify} --trust trust.bin --proof none --province 11"), 2, "unreadable_file"),
        (format!("{verify} --trust trust.bin --proof empty --province 11"), 2, "empty_file"),
        (format!("{verify} --trust flipped.trust --province 11"), 2, "bad_trust_bundle"),
        (format!("{verify} --trust good.proof --province 11"), 2, "bad_trust_bundle"),
        (format!("{verify} --trust trust.bin --proof good.proof"), 2, "no_province"),
        (format!("{verify} --province 11"), 2, "usage"),
        (format!("verify gd/{cid}.sdjwt --trust trust.bin"), 2, "no_node"),
        (format!("{verify} --trust trust.bin --province 11 --at never"), 2, "bad_at"),
        (format!("{verify} {old} --province 11"), 5, "more_needed"),
        (format!("{verify} {good} --proof no-99.proof --province 99"), 2, "no_such_province"),
        (format!("--devnet . proof get {cid} --province 99"), 1, "bad_province"),
        (format!("--devnet . proof get {cid} --out gd/{cid}.sdjwt"), 2, "would_overwrite"),
        (format!("--devnet . proof get {cid} --out gd/{cid}.holder.pem"), 2, "would_overwrite"),
        (
            format!("--devnet . proof inclusion 1 --head {at} --out good.proof"),
            2,
            "would_overwrite",
        ),
        (format!("--devnet . receipt get {transaction} --out good.proof"), 2, "would_overwrite"),
        (format!("--devnet . status-list get 44/0 --out gd/{cid}.sdjwt"), 2, "would_overwrite"),
        (
            "verify a~b --offline --trust trust.bin --province 11".to_owned(),
            1,
            "malformed_presentation",
        ),
        ("verify empty --offline --trust trust.bin --province 11".to_owned(), 2, "empty_file"),
        ("receipt verify good.proof".to_owned(), 2, "nothing_believed"),
        ("receipt verify good.proof --trust trust.bin".to_owned(), 1, "bad_receipt"),
        ("trust-bundle verify trust.bin".to_owned(), 2, "usage"),
        ("trust-bundle verify trust.bin --pin 1".to_owned(), 2, "usage"),
        ("trust-bundle verify none --genesis genesis.toml".to_owned(), 2, "unreadable_file"),
        ("trust-bundle verify trust.bin --genesis claims.json".to_owned(), 2, "bad_genesis"),
        (format!("--devnet . proof inclusion {} --head 0", at + 1_000), 1, "unknown_block"),
        ("--devnet . proof inclusion 1 --head 1".to_owned(), 1, "bad_query"),
        ("--devnet . proof get 12".to_owned(), 2, "bad_cid"),
    ];
    for (line, status, code) in rows {
        let error = bench.ask(&line, status)["error"].clone();
        assert_eq!(error["code"], code, "{line}: {error}");
        for part in ["message", "hint"] {
            assert!(!error[part].as_str().unwrap().is_empty(), "{line}: no {part}");
        }
    }
    a_proof_for_another_province_says_nothing_of_agreements(&bench, &cid);
    let nobody = "0".repeat(64);
    let absent = bench.ask(&format!("--devnet . proof get {nobody} --out absent.proof"), 4);
    assert_eq!(absent["is_there"], false);
}
