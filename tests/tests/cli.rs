//! The command line against a real network: a licence's life, imports and their bad rows, agencies
//! and recognition, receipts, bad input. What it prints, writes, and with which status it ends.
//!
//! Not here: nodes that die during an import (`cluster.rs`), and what the ledger allows to whom
//! (`contracts/`).

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use base64::Engine as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use symbolon_genesis::presets::devnet_from_seed;
use symbolon_tests::devnet::{Devnet, await_that, binary, json_of};

#[path = "cli/load.rs"]
mod load;
#[path = "cli/refused.rs"]
mod refused;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data");
const DRIVING: &str = "local:driving-licence";
const GUANGDONG: &str = "11449999MB00000448";
const SHANGHAI: &str = "11319999MB0000031T";
/// A licence without an end, so that it is valid whenever the test runs.
const CLAIMS: &str = r#"{"姓名":"陆园琼","性别":"女","国籍":"中国","住址":"广东省深圳市南山区文明里335号",
 "出生日期":"2000-04-21","初次领证日期":"2020-02-05","准驾车型":"C1","有效期起":"2022-11-11",
 "有效期止":"长期","证号":"449999200004216907","档案编号":"440007126037"}"#;

/// A network, and a folder for what its agencies keep.
struct Bench {
    net: Devnet,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { net: Devnet::start(4) };
        fs::write(bench.path("claims.json"), CLAIMS).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.net.folder().join(name)
    }

    /// Runs `symbolon` in the network's folder.
    fn run(&self, line: &str) -> Output {
        let command = Command::new(binary("symbolon"))
            .args(line.split_whitespace())
            .current_dir(self.net.folder())
            .stdin(Stdio::null())
            .output();
        command.unwrap()
    }

    /// Runs `symbolon --json --devnet .` and asserts its status and its one line.
    fn ask(&self, line: &str, status: i32) -> Value {
        let output = self.run(&format!("--json --devnet . {line}"));
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "{line}\n{out}\n{err}");
        assert_eq!(out.lines().count(), 1, "{line}: {out}");
        json_of(&output)
    }

    /// As [`Self::ask`] for a command that signs, until every province's node has its block.
    fn sign(&self, line: &str) -> Value {
        let answer = self.ask(line, 0);
        self.net.await_height(answer["height"].as_u64().unwrap());
        answer
    }

    /// Issues the sample licence at Guangdong's agency; gives its cid.
    fn issue(&self, out: &str) -> String {
        cid_of(&self.sign(&format!("issue --as 44 --type {DRIVING} --out {out} claims.json")))
    }

    /// Status slots that Guangdong's agency has used: one for each licence on the ledger.
    fn licences(&self) -> u64 {
        let agency = self.ask(&format!("agency show {GUANGDONG}"), 0);
        let slots = &agency["slots"];
        slots["blocks"].as_u64().unwrap() * 4_096 - slots["free"].as_u64().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn cid_of(answer: &Value) -> String {
    answer["cid"].as_str().unwrap().to_owned()
}

/// Files in `folder` whose names end in `suffix`.
fn count(folder: &Path, suffix: &str) -> usize {
    let names = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(suffix)).count()
}

#[test]
fn a_licence_is_issued_suspended_renewed_moved_and_revoked() {
    let bench = Bench::new();
    let cid = bench.issue("gd");
    for name in [format!("gd/{cid}.sdjwt"), format!("gd/{cid}.holder.pem")] {
        let mode = fs::metadata(bench.path(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let file = format!("gd/{cid}.sdjwt");
    assert_eq!(bench.ask(&format!("status {file}"), 0)["status"], "active");
    bench.sign(&format!("suspend {cid} --as 44"));
    let verdict = bench.ask(&format!("verify {file} --as 51"), 1);
    assert_eq!(verdict["reason"], "suspended");
    let twice = bench.ask(&format!("suspend {cid} --as 44"), 1)["error"].clone();
    assert_eq!(twice["code"], "licence_suspended");
    assert!(!twice.to_string().contains("resume"), "that would make it valid: {twice}");
    let not_yet = bench.ask(&format!("resume {cid} --by-province --as 44"), 1);
    assert_eq!(not_yet["error"]["code"], "not_active");
    bench.sign(&format!("resume {file} --as 44"));
    assert_eq!(bench.ask(&format!("verify {file} --as 51"), 0)["outcome"], "valid");
    let again = bench.ask(&format!("resume {cid} --as 44"), 1);
    assert_eq!(again["error"]["code"], "not_suspended");

    let renewal = format!("supersede --as 44 --previous {file} --out gd claims.json");
    let renewed = cid_of(&bench.sign(&renewal));
    let old = bench.ask(&format!("status {cid} --genesis genesis.toml"), 0);
    assert_eq!(
        (old["status"].as_str(), &old["superseded_by"]),
        (Some("superseded"), &renewed.clone().into())
    );
    assert_eq!(old["proof_checked"], true);

    bench.sign(&format!("transfer out {renewed} --to {SHANGHAI} --as 44"));
    bench.sign(&format!("transfer cancel {renewed} --as 44"));
    bench.sign(&format!("transfer out {renewed} --to {SHANGHAI} --as 44"));
    let taken = format!("transfer in --as 31 --previous {renewed} --out sh claims.json");
    let moved = cid_of(&bench.sign(&taken));
    let refused = bench.ask(&format!("revoke {moved} --as 44"), 1);
    assert_eq!(refused["error"]["code"], "not_owner");
    bench.sign(&format!("revoke {moved} --reason penalty --by-province --as 31"));
    let status = bench.ask(&format!("status {moved} --as 11"), 0);
    assert_eq!(status["revocation_class"], "penalty");
    let history = bench.ask(&format!("history {renewed}"), 0);
    let events: Vec<&str> =
        history["items"].as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap()).collect();
    let wanted = ["supersede", "transfer_out", "cancel_transfer", "transfer_out", "transfer_in"];
    assert_eq!(events, wanted);
    let said = text(&bench.run(&format!("--devnet . --as 11 history {moved}")).stdout);
    let lines: Vec<&str> = said.lines().skip(1).collect();
    assert!(lines[0].contains(&format!(" by agency {SHANGHAI} 上海市示范发证局")), "{said}");
    assert!(lines[1].contains(" revoked (penalty) by province 31 上海市"), "{said}");

    let nobody = "0".repeat(64);
    let none = bench.ask(&format!("status {nobody} --genesis genesis.toml"), 4);
    assert_eq!((&none["status"], &none["proof_checked"]), (&"none".into(), &true.into()));
    a_province_takes_back_what_its_agency_did_once_feature_1_holds(&bench);
}

fn a_province_takes_back_what_its_agency_did_once_feature_1_holds(bench: &Bench) {
    let height = || bench.net.height("11").unwrap();
    // The proposal and two approvals make a block each, and it begins after the last of them.
    let from = height() + 8;
    let number =
        bench.sign(&format!("gov propose feature 1 --at {from} --as 11"))["proposal"].clone();
    let shown = bench.ask(&format!("gov show {number} --genesis genesis.toml"), 0);
    assert_eq!(
        (&shown["proof_checked"], &shown["approvals"]),
        (&true.into(), &1.into()),
        "{shown}"
    );
    let (strange, _) = devnet_from_seed(4, &[9; 32], 1_795_392_000_000, 9_000);
    fs::write(bench.path("strange.toml"), strange.to_toml()).unwrap();
    let approve = format!("--json --devnet . gov approve {number}");
    let unproven = bench.run(&format!("{approve} --genesis strange.toml --as 31"));
    assert_eq!(json_of(&unproven)["error"]["code"], "bad_proof", "nothing was signed");
    let approved = bench.run(&format!("{approve} --genesis genesis.toml --as 31"));
    assert!(approved.status.success(), "{}", text(&approved.stderr));
    let told = format!("+ feature 1 (province_reversal)  from height {from} on\n");
    assert!(text(&approved.stderr).contains(&told), "{}", text(&approved.stderr));
    bench.sign(&format!("gov approve {number} --as 44"));
    let decided = text(&bench.run(&format!("--devnet . gov show {number}")).stdout);
    assert!(decided.ends_with(&told.replace("+ ", "  ")), "{decided}");
    let mut cid = bench.issue("gd");
    while height() < from {
        cid = bench.issue("gd");
    }
    bench.sign(&format!("suspend {cid} --as 44"));
    bench.sign(&format!("resume {cid} --by-province --as 44"));
    bench.sign(&format!("transfer out {cid} --to {SHANGHAI} --as 44"));
    bench.sign(&format!("transfer cancel {cid} --by-province --as 44"));
    assert_eq!(bench.ask(&format!("status {cid}"), 0)["status"], "active");
}

#[test]
fn renewing_a_national_type_keeps_its_identifier() {
    let bench = Bench::new();
    let line = fs::read_to_string(Path::new(DATA).join("business-licences.jsonl")).unwrap();
    fs::write(bench.path("firm.json"), line.lines().next().unwrap()).unwrap();
    let issue = "issue --as 44 --type 11100000MB0143028R001 --out firms firm.json";
    let cid = cid_of(&bench.sign(issue));
    let identifier = |cid: &str| {
        let verdict = bench.ask(&format!("verify firms/{cid}.sdjwt"), 0);
        let claims = verdict["claims"].as_array().unwrap().clone();
        let claim = claims.into_iter().find(|c| c["key"] == "zzbs").unwrap();
        claim["value"].as_str().unwrap().to_owned()
    };
    let first = identifier(&cid);
    let renewal = format!("supersede --as 44 --previous {cid} --out firms firm.json");
    let second = identifier(&cid_of(&bench.sign(&renewal)));
    let stem = |identifier: &str| identifier.rsplitn(3, '.').last().unwrap().to_owned();
    assert_eq!(stem(&first), stem(&second));
    assert!(first.contains(".001.") && second.contains(".002."), "{first} {second}");
}

#[test]
fn every_sample_file_is_imported_and_bad_rows_are_named() {
    let bench = Bench::new();
    for (name, code, rows) in [
        ("construction-safety.gb18030.csv", "11100000000013338W011", 500),
        ("business-licences.jsonl", "11100000MB0143028R001", 300_usize),
    ] {
        let line = format!("import {DATA}/{name} --as 44 --type {code} --out {code}");
        let summary = bench.ask(&line, 0);
        assert_eq!(
            (&summary["issued"], &summary["rows"]),
            (&rows.into(), &rows.into()),
            "{summary}"
        );
        assert_eq!(summary["errors_file"], Value::Null);
        // Full transactions, and of each its receipt.
        let transactions = rows.div_ceil(256);
        assert_eq!(summary["transactions"], transactions, "{summary}");
        let receipts = count(&bench.path(code).join(".import/receipts"), ".receipt");
        assert_eq!(receipts, transactions, "{name}");
    }
    fs::copy(format!("{DATA}/driving-with-bad-rows.csv"), bench.path("bad.csv")).unwrap();
    let line = format!("import bad.csv --as 44 --type {DRIVING} --out bad");
    let summary = bench.ask(&line, 1);
    let wanted = serde_json::json!({"rows": 200, "issued": 188, "skipped": 0, "changed": 0,
        "missing": 0, "rejected": 12, "transactions": 1, "errors_file": "bad.csv.errors.csv"});
    assert_eq!(summary, wanted);
    assert_eq!(count(&bench.path("bad"), ".sdjwt"), 188);
    let places = |file: String| -> Vec<String> {
        let place = |l: &str| l.split(',').take(2).collect::<Vec<_>>().join(",");
        fs::read_to_string(file).unwrap().lines().map(place).collect()
    };
    let errors = bench.path("bad.csv.errors.csv").display().to_string();
    assert_eq!(places(errors), places(format!("{DATA}/driving-with-bad-rows.expected.csv")));

    // Which credential is of which row, and nothing else.
    let rows = fs::read_to_string(bench.path("bad/.import/rows.csv")).unwrap();
    let mut rows = rows.lines();
    assert_eq!(rows.next(), Some("row,cid"));
    let cids: BTreeSet<String> = rows
        .map(|line| {
            let (row, cid) = line.split_once(',').unwrap();
            assert!((2..=201).contains(&row.parse::<u32>().unwrap()), "{line}");
            assert!(bench.path(&format!("bad/{cid}.sdjwt")).exists(), "{line}");
            cid.to_owned()
        })
        .collect();
    assert_eq!(cids.len(), 188);
    let shown = text(&bench.run(&format!("--devnet . {line}")).stdout);
    assert!(shown.contains("\n  and 2 more\n"), "{shown}");

    let again = bench.ask(&line, 1);
    assert_eq!((&again["issued"], &again["skipped"]), (&0.into(), &188.into()), "{again}");
    assert_eq!(again["rejected"], 12);
    assert_eq!((&again["changed"], &again["missing"]), (&0.into(), &0.into()), "{again}");
    what_a_skipped_row_hides_is_told(&bench, &line);
}

/// That it was corrected since, or that its credential is gone. Nothing is issued again.
fn what_a_skipped_row_hides_is_told(bench: &Bench, line: &str) {
    let path = bench.path("bad.csv");
    let file = fs::read_to_string(&path).unwrap();
    let name = file.lines().nth(1).unwrap().split(',').next().unwrap();
    fs::write(&path, file.replacen(name, "另名", 1)).unwrap();
    let rows = fs::read_to_string(bench.path("bad/.import/rows.csv")).unwrap();
    let of_row_3 = rows.lines().find_map(|line| line.strip_prefix("3,")).unwrap();
    fs::remove_file(bench.path(&format!("bad/{of_row_3}.sdjwt"))).unwrap();
    let again = bench.ask(line, 1);
    assert_eq!((&again["issued"], &again["skipped"]), (&0.into(), &188.into()), "{again}");
    assert_eq!((&again["changed"], &again["missing"]), (&1.into(), &1.into()), "{again}");
    let notes = text(&bench.run(&format!("--devnet . {line}")).stderr);
    assert!(notes.contains(": 1 (row 2); replace each licence by `symbolon supersede`"), "{notes}");
}

#[test]
fn an_import_that_is_killed_again_and_again_issues_each_row_once() {
    let bench = Bench::new();
    let before = bench.licences();
    let seed: u64 = rand::rng().random();
    eprintln!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let start = || {
        Command::new(binary("symbolon"))
            .args(["--json", "--devnet", ".", "--as", "44", "import", "--type", DRIVING])
            .args(["--out", "killed", &format!("{DATA}/driving-licences.csv")])
            .current_dir(bench.net.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    for _ in 0..6 {
        let mut import = start();
        // Each is killed once so many licences more are on the ledger: at another point each time.
        let goal = bench.licences() + random.random_range(0..600);
        await_that("the import gets on, or ends", || {
            bench.licences() >= goal || import.try_wait().unwrap().is_some()
        });
        let _ = import.kill();
        import.wait().unwrap();
    }
    let output = start().wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stdout));
    let summary = json_of(&output);
    assert_eq!(summary["rejected"], 0, "{summary}");
    assert_eq!(bench.licences() - before, 2_000);
    let out = bench.path("killed");
    assert_eq!((count(&out, ".sdjwt"), count(&out, ".holder.pem")), (2_000, 2_000));
    let log = fs::read_to_string(out.join(".import/issued.log")).unwrap();
    let tags: BTreeSet<&str> = log.lines().filter_map(|l| l.split(' ').next()).collect();
    assert_eq!(tags.len(), 2_000);
    assert_eq!(count(&out.join(".import/pending"), ".json"), 0);
}

#[test]
fn a_copied_list_of_slots_costs_a_retry_and_nothing_else() {
    let bench = Bench::new();
    bench.issue("gd");
    let slots = bench.net.agency("44").key_file.with_file_name(format!("{GUANGDONG}.slots"));
    let copy = fs::read(&slots).unwrap();
    let first: BTreeSet<String> = (0..3).map(|_| bench.issue("gd")).collect();
    // A second machine that was given the file draws from the same slots. With a block in which
    // all but a few slots count as used, they must meet.
    let mut file: Value = serde_json::from_slice(&copy).unwrap();
    let used = bench.ask(&format!("status {}", first.iter().next().unwrap()), 0);
    let offset = used["slot"].as_u64().unwrap() % 4_096;
    file["blocks"][0]["used"] = bitmap_with_one_free(usize::try_from(offset).unwrap()).into();
    fs::write(&slots, serde_json::to_vec(&file).unwrap()).unwrap();
    let before = bench.licences();
    let cid = bench.issue("gd2");
    assert_eq!(bench.licences() - before, 1);
    let other = bench.ask(&format!("status {cid}"), 0);
    assert_ne!(other["slot"], used["slot"]);
    assert_eq!(count(&bench.path("gd2"), ".sdjwt"), 1);
}

fn hex_bytes(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// A block's bitmap, base64url, in which only the slot at `offset` is free.
fn bitmap_with_one_free(offset: usize) -> String {
    let mut used = [0xff_u8; 512];
    used[offset / 8] &= !(1 << (offset % 8));
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(used)
}

#[test]
fn provinces_keep_their_agencies_and_what_they_recognise() {
    let bench = Bench::new();
    let uscc = "11449999MB0000099W";
    for name in ["t.pem", "t.credential.pem", "t2.pem"] {
        let made = bench.run(&format!("keys new {name}"));
        assert!(made.status.success(), "{}", text(&made.stderr));
    }
    // The public half is shown the same, whichever file is named.
    let secret = fs::read_to_string(bench.path("t.pem")).unwrap();
    let public = symbolon_ledger::keys::SecretKey::from_pem(&secret).unwrap().public_key();
    let spki = hex_bytes("302a300506032b6570032100").into_iter().chain(*public.as_bytes());
    let pem = base64::engine::general_purpose::STANDARD.encode(spki.collect::<Vec<u8>>());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{pem}\n-----END PUBLIC KEY-----\n");
    fs::write(bench.path("t.pub.pem"), pem).unwrap();
    let shown = ["t.pem", "t.pub.pem"].map(|f| bench.ask(&format!("keys show {f}"), 0));
    assert_eq!(shown[0]["public_key"], shown[1]["public_key"]);
    let register = format!(
        "agency register {uscc} --name 测试局 --type {DRIVING} --transaction-key t.pem --credential-key t.credential.pem --as 44"
    );
    bench.sign(&register);
    assert_eq!(bench.ask(&register, 1)["error"]["code"], "agency_exists");
    let node = bench.net.node("11").http.clone();
    let issue = |key: &str, status: i32| {
        let line = format!(
            "--json --node {node} --key {key} issue --type {DRIVING} --out t --credential-key t.credential.pem claims.json"
        );
        let output = bench.run(&line);
        assert_eq!(output.status.code(), Some(status), "{}", text(&output.stderr));
        json_of(&output)
    };
    let issued = issue("t.pem", 0);
    assert_eq!(issued["holder_key_file"], Value::Null, "nobody asked for a holder key");
    let rotate = format!(
        "--json --node {node} --key t.pem agency key rotate {uscc} --key-id 0 --public-key t2.pem"
    );
    assert!(bench.run(&rotate).status.success());
    // Until the next block the old key still counts as valid at the node's height.
    let code = issue("t.pem", 1)["error"]["code"].as_str().unwrap().to_owned();
    assert!(["unknown_key", "key_not_valid"].contains(&code.as_str()), "{code}");
    issue("t2.pem", 0);
    bench.sign(&format!("agency scope {uscc} --type local:marriage-certificate --as 44"));
    assert_eq!(issue("t2.pem", 1)["error"]["code"], "out_of_scope");
    let without = bench.ask(&format!("agency scope {uscc} --as 44"), 2);
    assert_eq!(without["error"]["code"], "usage");
    let shown = || text(&bench.run(&format!("--devnet . --as 44 agency show {uscc}")).stdout);
    assert!(shown().contains("issues     local:marriage-certificate\n"), "{}", shown());
    bench.sign(&format!("agency scope {uscc} --none --as 44"));
    assert!(shown().contains("issues     nothing\n"), "{}", shown());
    bench.sign(&format!("agency suspend {uscc} --as 44"));
    bench.sign(&format!("agency resume {uscc} --as 44"));
    bench.sign(&format!("agency deregister {uscc} --as 44"));
    bench.sign(&format!("agency successor {uscc} --successor {GUANGDONG} --as 44"));
    let refused = bench.ask(&format!("agency suspend {GUANGDONG} --as 31"), 1);
    assert_eq!(refused["error"]["code"], "not_its_province");

    let cid = bench.issue("gd");
    let recognised = |status: i32| {
        let verdict = bench.ask(&format!("verify gd/{cid}.sdjwt --as 11"), status);
        (verdict["outcome"].clone(), verdict["recognised"]["value"].clone())
    };
    assert_eq!(recognised(0), ("valid".into(), false.into()));
    let first = || {
        let output = bench.run(&format!("--devnet . verify gd/{cid}.sdjwt --as 11"));
        text(&output.stdout).lines().next().unwrap().to_owned()
    };
    assert_eq!(first(), "VALID  有效, NOT RECOGNISED in Beijing 北京市不承认");
    let of = format!("--from-province 44 --type {DRIVING} --as 11");
    bench.sign(&format!("recognition recognise {of}"));
    assert_eq!(recognised(0), ("valid".into(), true.into()));
    assert_eq!(first(), "VALID  有效");
    let list = bench.ask("recognition list --recognising 11", 0);
    assert_eq!(list["recognition"].as_array().unwrap().len(), 1);
    bench.sign(&format!("recognition withdraw {of}"));
    assert_eq!(recognised(0), ("valid".into(), false.into()));
}

#[test]
fn receipts_verify_without_a_node() {
    let bench = Bench::new();
    let issue = format!("issue --as 44 --type {DRIVING} --out gd claims.json");
    let issued = bench.sign(&issue);
    let transaction = issued["transaction"].as_str().unwrap();
    bench.ask(&format!("receipt get {transaction} --out r.bin --as 11"), 0);
    load::is_counted_and_checked(&bench);
    bench.net.stop();
    let kept = issued["receipt_file"].as_str().unwrap();
    for file in [kept, "r.bin"] {
        let output = bench.run(&format!("--json receipt verify {file} --genesis genesis.toml"));
        let answer = json_of(&output);
        assert_eq!((&answer["valid"], &answer["transaction"]), (&true.into(), &transaction.into()));
    }
    let mut bytes = fs::read(bench.path("r.bin")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(bench.path("r.bin"), bytes).unwrap();
    let output = bench.run("--json receipt verify r.bin --genesis genesis.toml");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json_of(&output)["error"]["code"], "bad_receipt");

    // What a network leaves behind is removed; what else lies there stays.
    assert!(bench.run("devnet reset --dir .").status.success());
    let left: Vec<_> =
        fs::read_dir(bench.net.folder()).unwrap().map(|e| e.unwrap().file_name()).collect();
    let ours =
        |name: &str| ["node-", "keys", "genesis", "devnet"].iter().any(|n| name.starts_with(n));
    assert!(!left.iter().any(|name| ours(&name.to_string_lossy())), "{left:?}");
    assert!(bench.path("gd").exists() && bench.path("r.bin").exists());
}
