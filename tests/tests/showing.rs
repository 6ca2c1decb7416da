//! A licence shown in one province and verified in another, on the command line and real nodes: a
//! code, a challenge, a ticket, and what is said the second time.
//!
//! Not here: what depends on the clock (`http/presenting.rs`, which has its own), and `present` by
//! itself (`present.rs`).

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use symbolon_tests::devnet::{Devnet, binary, json_of};

/// A licence without an end, so that it is valid whenever the test runs.
const CLAIMS: &str = r#"{"姓名":"陆园琼","性别":"女","国籍":"中国","住址":"广东省深圳市南山区文明里335号",
 "出生日期":"2000-04-21","初次领证日期":"2020-02-05","准驾车型":"C1","有效期起":"2022-11-11",
 "有效期止":"长期","证号":"449999200004216907","档案编号":"440007126037"}"#;

/// A network, and the folder of a citizen of Guangdong with one licence.
struct Street {
    net: Devnet,
    cid: String,
}

impl Street {
    fn new() -> Self {
        let net = Devnet::start(4);
        fs::write(net.folder().join("claims.json"), CLAIMS).unwrap();
        let mut street = Self { net, cid: String::new() };
        let line = "issue --as 44 --type local:driving-licence --out . claims.json";
        let issued = street.ask(line, 0);
        street.net.await_height(issued["height"].as_u64().unwrap());
        street.cid = issued["cid"].as_str().unwrap().to_owned();
        street
    }

    fn path(&self, name: &str) -> PathBuf {
        self.net.folder().join(name)
    }

    fn run(&self, line: &str) -> Output {
        let command = Command::new(binary("symbolon"))
            .args(line.split_whitespace())
            .args(["--devnet", "."])
            .current_dir(self.net.folder())
            .stdin(Stdio::null())
            .output();
        command.unwrap()
    }

    /// Runs with `--json` and asserts the status.
    fn ask(&self, line: &str, status: i32) -> Value {
        let output = self.run(&format!("--json {line}"));
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{line}\n{}\n{said}", text(&output.stdout));
        json_of(&output)
    }

    /// What the holder's wallet does.
    fn present(&self, arguments: &str) -> Value {
        self.ask(&format!("present {}.sdjwt {arguments}", self.cid), 0)
    }

    /// Verifies at the node of `province`: outcome, reason, whether the holder is bound.
    fn verify(&self, what: &str, province: &str, status: i32) -> (String, String, Value) {
        let verdict = self.ask(&format!("verify {what} --as {province}"), status);
        let text = |name: &str| verdict[name].as_str().unwrap_or_default().to_owned();
        (text("outcome"), text("reason"), verdict["holder_bound"].clone())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn valid() -> (String, String, Value) {
    ("valid".to_owned(), String::new(), json!(true))
}

fn invalid(reason: &str, bound: bool) -> (String, String, Value) {
    ("invalid".to_owned(), reason.to_owned(), json!(bound))
}

#[test]
fn a_code_is_read_in_another_province_once_and_refused_after_revocation() {
    let street = Street::new();
    let shown = street.present("--qr code.png --out shown.txt");
    assert_eq!(shown["level"], "A");
    assert_eq!(street.verify("code.png", "51", 0), valid());
    assert_eq!(street.verify("code.png", "51", 1), invalid("replayed", false));
    assert_eq!(street.verify("shown.txt", "51", 1), invalid("replayed", false), "another spelling");
    // Nodes do not tell each other what was shown: docs/spec/presentation.md says so.
    assert_eq!(street.verify("code.png", "31", 0), valid());

    let revoked = street.ask(&format!("revoke {} --as 44", street.cid), 0);
    street.net.await_height(revoked["height"].as_u64().unwrap());
    street.present("--qr fresh.png");
    assert_eq!(street.verify("fresh.png", "51", 1), invalid("revoked", true));
}

#[test]
fn a_challenge_is_asked_for_signed_and_answered_once() {
    let street = Street::new();
    let challenge = street.ask("verify --challenge --audience https://police.example --as 51", 0);
    let (nonce, audience) =
        (challenge["nonce"].as_str().unwrap(), challenge["audience"].as_str().unwrap());
    assert_eq!(audience, "https://police.example");
    let asked = format!("--nonce {nonce} --audience {audience}");
    assert_eq!(street.present(&format!("{asked} --qr code.png"))["level"], "B");
    let answer = format!("code.png {asked}");
    assert_eq!(street.verify(&answer, "31", 1), invalid("bad_holder_binding", false), "elsewhere");
    assert_eq!(street.verify("code.png", "51", 1), invalid("bad_holder_binding", false), "as A");
    let other = format!("verify code.png --nonce {nonce} --audience urn:other --as 51");
    assert_eq!(street.ask(&other, 2)["error"]["code"], "bad_audience");
    assert_eq!(street.verify(&answer, "51", 0), valid());
    assert_eq!(street.verify(&answer, "51", 1), invalid("replayed", false));

    let said = text(&street.run("verify --challenge --as 51").stdout);
    for part in
        ["nonce       elic", "audience    urn:elic:verifier:51", "symbolon present FILE --nonce"]
    {
        assert!(said.contains(part), "{part:?} in\n{said}");
    }
    for line in ["verify --challenge code.png", "verify --challenge --nonce x", "verify"] {
        assert_eq!(street.run(line).status.code(), Some(2), "{line}");
    }
}

#[test]
fn a_ticket_is_left_at_one_node_and_verified_at_another() {
    let street = Street::new();
    let left = street.present("--ticket --qr ticket.png --as 44");
    assert_eq!(left["level"], "C");
    let version = left["qr_version"].as_u64().unwrap();
    assert!(version <= 6, "a link needs a code of version {version}");
    assert_eq!(street.verify("ticket.png", "51", 0), valid());
    let link = left["ticket"]["url"].as_str().unwrap();
    for used in ["ticket.png", link] {
        let error = street.ask(&format!("verify {used} --as 51"), 5);
        assert_eq!(error["error"]["code"], "unknown_ticket", "{used}");
    }

    let said = street.run(&format!("present {}.sdjwt --ticket --as 44", street.cid));
    let link = text(&said.stdout).lines().next().unwrap().replace("link", "").trim().to_owned();
    assert_eq!(street.verify(&link, "11", 0), valid());
    let elsewhere = street.ask("verify http://licences.example/t/AAAAAAAAAAAAAAAAAAAAAA", 2);
    assert_eq!(elsewhere["error"]["code"], "no_ticket_link");
}

#[test]
fn sensitive_claims_are_shown_masked_unless_asked_for() {
    let street = Street::new();
    let file = format!("{}.sdjwt", street.cid);
    assert!(street.path(&file).exists());
    let masked = text(&street.run(&format!("verify {file} --as 51")).stdout);
    assert!(masked.contains("姓名 Name: 陆园琼\n"), "{masked}");
    assert!(masked.contains("住址 Address: 广东省深圳***\n"), "{masked}");
    assert!(masked.contains(": 449999********6907\n"), "{masked}");
    assert!(!masked.contains("文明里") && !masked.contains("449999200004216907"), "{masked}");
    let whole = text(&street.run(&format!("verify {file} --show-all --as 51")).stdout);
    assert!(whole.contains("住址 Address: 广东省深圳市南山区文明里335号\n"), "{whole}");
    assert!(whole.contains(": 449999200004216907\n"), "{whole}");
}
