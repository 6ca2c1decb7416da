//! `symbolon present` and `symbolon verify IMAGE` as a citizen and a clerk run them: no network to
//! present, and a node that gets exactly what the picture says.
//!
//! The node here only keeps what it was sent; what real nodes answer is tested in `http.rs` and
//! `cli.rs`, and pictures that are hard to read beside the code that reads them.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::mpsc,
    thread,
};

use serde_json::{Value, json};
use symbolon_credential::{elc1, encoding::to_base64url, sd_jwt::Parsed};
use symbolon_genesis::presets::catalogue;
use symbolon_ledger::catalogue::{Disclosure, LicenceTypeRecord};
use symbolon_tests::{
    devnet::{binary, json_of},
    elc1::samples::Sample,
    sim::dice::Dice,
};
use tempfile::TempDir;

const DRIVING: &str = "local:driving-licence";
const CONSTRUCTION: &str = "11100000000013338W011";

/// A citizen's folder with one credential, and its key if it has one.
struct Wallet {
    folder: TempDir,
    sample: Sample,
}

impl Wallet {
    fn new(code: &str, with_holder: bool) -> Self {
        let licence_type = catalogue().into_iter().find(|t| t.code.as_str() == code).unwrap();
        Self::of(&licence_type, with_holder)
    }

    fn of(licence_type: &LicenceTypeRecord, with_holder: bool) -> Self {
        let sample = Sample::new(licence_type, with_holder, &mut Dice::new(7));
        let wallet = Self { folder: tempfile::tempdir().unwrap(), sample };
        fs::write(wallet.path("a.sdjwt"), &wallet.sample.issued.text).unwrap();
        if let Some(key) = &wallet.sample.holder {
            wallet.private("a.holder.pem", key.to_pem().as_bytes());
        }
        wallet
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn private(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn run(&self, line: &str) -> Output {
        let command = Command::new(binary("symbolon"))
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output();
        command.unwrap()
    }

    /// Runs with `--json`; asserts the status, and that nothing of the holder's is said aside.
    fn ask(&self, line: &str, status: i32) -> Value {
        let output = self.run(&format!("--json {line}"));
        let said = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(output.status.code(), Some(status), "{line}: {said}");
        let parsed = Parsed::parse(&self.sample.issued.text).unwrap();
        let checked = parsed.check_signature(&self.sample.issuer.public_key()).unwrap();
        for value in checked.disclose().unwrap().claims().values().filter(|v| v.len() > 6) {
            assert!(!said.contains(value.as_str()), "{line}: {said}");
        }
        json_of(&output)
    }

    /// What a verifier with the keys reads: the keys of the claims, and audience and nonce.
    fn read(&self, presentation: &str) -> (Vec<String>, Option<(String, String)>) {
        let parsed = Parsed::parse(presentation).unwrap();
        let checked = parsed.check_signature(&self.sample.issuer.public_key()).unwrap();
        let keys = checked.disclose().unwrap().claims().keys().cloned().collect();
        let binding = checked.key_binding().unwrap();
        (keys, binding.map(|binding| (binding.audience, binding.nonce)))
    }
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
}

/// A node that answers each request for a path which contains one of these words with the status and
/// the JSON beside it, and anything else with 404; what it was sent comes out of the channel.
fn node(answers: Vec<(&'static str, u16, Value)>) -> (String, mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sent, received) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (asked, body) = read_request(&stream);
            let found = answers.iter().find(|(part, _, _)| asked.contains(part));
            let (status, answer) =
                found.map_or((404, json!({})), |(_, status, answer)| (*status, answer.clone()));
            let _ = sent.send(serde_json::from_slice(&body).unwrap_or(Value::Null));
            let answer = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n"
            );
            write!(stream, "{head}content-length: {}\r\n\r\n{answer}", answer.len()).unwrap();
        }
    });
    (url, received)
}

/// The first line of a request, and its body.
fn read_request(stream: &TcpStream) -> (String, Vec<u8>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (first, body)
}

/// A licence type as a node gives it.
fn entry_answer(entry: &LicenceTypeRecord) -> Value {
    let record = to_base64url(&symbolon_ledger::records::Record::to_bytes(entry));
    json!({"code": entry.code.as_str(), "record": record})
}

#[test]
fn a_licence_is_shown_and_its_picture_read_elsewhere() {
    let wallet = Wallet::new(DRIVING, true);
    let shown = wallet.ask("present a.sdjwt --qr code.png", 0);
    assert_eq!((&shown["level"], &shown["file"]), (&json!("A"), &json!("code.png")));
    assert_eq!(shown["cid"], wallet.sample.issued.cid.to_string());
    assert_eq!(strings(&shown["disclosed"]), ["name", "vehicle_class", "valid_until"]);
    assert!(shown["qr_version"].as_u64().unwrap() <= 24 && shown["qr_correction"] == "L");
    assert!(shown["expires_at"].as_str().unwrap().ends_with('Z'), "{shown}");
    let presentation = shown["presentation"].as_str().unwrap();
    assert_eq!(elc1::decode(shown["elc1"].as_str().unwrap()).as_deref(), Ok(presentation));
    let (keys, binding) = wallet.read(presentation);
    assert_eq!(keys, ["name", "valid_until", "vehicle_class"]);
    let (audience, nonce) = binding.unwrap();
    assert_eq!((audience.as_str(), nonce.len()), ("urn:elic:qr", 22));
    let mode = fs::metadata(wallet.path("code.png")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let valid = json!({"outcome": "valid", "message": {"en": "good", "zh": "有效"}});
    let (url, sent) = node(vec![("/v1/verify", 200, valid)]);
    let verdict = wallet.ask(&format!("verify code.png --node {url}"), 0);
    assert_eq!(verdict["outcome"], "valid");
    assert_eq!(sent.recv().unwrap()["presentation"], shown["elc1"]);

    let again = wallet.ask("present a.sdjwt --qr code.png", 0);
    assert_ne!(again["presentation"], shown["presentation"], "the nonce is fresh each time");
}

#[test]
fn the_holder_chooses_what_is_seen_and_answers_challenges() {
    let wallet = Wallet::new(CONSTRUCTION, true);
    let keys = |line: &str| {
        let shown = wallet.ask(&format!("present a.sdjwt {line}"), 0);
        let (mut read, _) = wallet.read(shown["presentation"].as_str().unwrap());
        let mut said = strings(&shown["disclosed"]);
        read.sort_unstable();
        said.sort_unstable();
        assert_eq!(read, said);
        read.join(" ")
    };
    assert_eq!(keys(""), "name post_class valid_until");
    assert_eq!(keys("--disclose employer,姓名"), "employer name");
    assert_eq!(
        keys("--all"),
        "certificate_number employer first_issue_date id_number name post_class sex valid_from valid_until zzbs"
    );
    let nonce = "n-0S6_WzA2Mj";
    let line =
        format!("present a.sdjwt --nonce {nonce} --audience https://counter.example --out p.sdjwt");
    let shown = wallet.ask(&line, 0);
    assert_eq!((&shown["level"], &shown["expires_at"]), (&json!("B"), &Value::Null));
    let written = fs::read_to_string(wallet.path("p.sdjwt")).unwrap();
    assert_eq!(shown["presentation"], written);
    let binding = wallet.read(&written).1.unwrap();
    assert_eq!(binding, ("https://counter.example".to_owned(), nonce.to_owned()));
}

#[test]
fn what_is_printed_is_the_text_or_the_code_and_nothing_else() {
    let wallet = Wallet::new(DRIVING, true);
    let text = wallet.run("present a.sdjwt");
    let out = String::from_utf8(text.stdout).unwrap();
    let presentation = elc1::decode(out.strip_suffix('\n').unwrap()).unwrap();
    assert!(wallet.read(&presentation).1.is_some());
    let drawn = wallet.run("present a.sdjwt --qr -");
    let drawn = String::from_utf8(drawn.stdout).unwrap();
    let lines: Vec<&str> = drawn.lines().collect();
    assert!(lines[0].chars().all(|c| c == '█') && lines[1] == lines[0], "a quiet zone: {drawn}");
    assert!(!drawn.contains('\u{1b}'), "no colours where nobody looks: {drawn}");
    wallet.ask("present a.sdjwt --qr code.svg", 0);
    assert!(fs::read_to_string(wallet.path("code.svg")).unwrap().starts_with("<svg "));
}

#[test]
fn a_licence_without_a_key_is_for_paper() {
    let wallet = Wallet::new(DRIVING, false);
    let shown = wallet.ask("present a.sdjwt --qr code.png", 0);
    assert_eq!((&shown["level"], &shown["expires_at"]), (&json!("D"), &Value::Null));
    assert!(["M", "Q"].contains(&shown["qr_correction"].as_str().unwrap()), "{shown}");
    assert_eq!(wallet.read(shown["presentation"].as_str().unwrap()).1, None);
    let said = String::from_utf8(wallet.run("present a.sdjwt").stderr).unwrap();
    assert!(said.contains("not who shows it"), "{said}");
    assert!(said.contains("this program's catalogue says; no chain was asked"), "{said}");
    let refused = wallet.ask("present a.sdjwt --nonce abc", 1);
    assert_eq!(refused["error"]["code"], "no_holder_binding");
}

#[test]
fn an_entry_that_the_program_does_not_know_comes_from_a_file() {
    let wallet = Wallet::new(DRIVING, true);
    let mut entry = wallet.sample.licence_type.clone();
    entry.claims[1].disclosure = Disclosure::Never;
    fs::write(wallet.path("type.json"), entry_answer(&entry).to_string()).unwrap();
    let line = "present a.sdjwt --licence-type-file type.json";
    let all = wallet.ask(&format!("{line} --all"), 0);
    assert!(!strings(&all["disclosed"]).contains(&"sex".to_owned()), "{all}");
    let refused = wallet.ask(&format!("{line} --disclose sex"), 1);
    assert_eq!(refused["error"]["code"], "never_disclosed");
    let hint = refused["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("vehicle_class") && !hint.contains("sex"), "{hint}");
}

/// The node may be the verifier's, who would like to see more.
#[test]
fn the_node_that_is_named_does_not_choose_what_is_shown() {
    let wallet = Wallet::new(DRIVING, true);
    let greedy = |mut entry: LicenceTypeRecord| {
        for claim in &mut entry.claims {
            claim.disclosure = Disclosure::Always;
            claim.sensitivity = 1;
        }
        entry
    };
    let ticket = json!({"url": "https://node.example/t/AAAAAAAAAAAAAAAAAAAAAA", "expires_at": "x"});
    let serve = |entry: LicenceTypeRecord| {
        let answers =
            vec![("licence-types", 200, entry_answer(&entry)), ("tickets", 200, ticket.clone())];
        node(answers).0
    };
    let url = serve(greedy(wallet.sample.licence_type.clone()));
    let plain = wallet.ask("present a.sdjwt", 0);
    for line in ["", "--ticket"] {
        let shown = wallet.ask(&format!("present a.sdjwt {line} --node {url}"), 0);
        assert_eq!(shown["disclosed"], plain["disclosed"], "{line}");
        let (mut read, _) = wallet.read(shown["presentation"].as_str().unwrap());
        read.sort_unstable();
        assert_eq!(read, ["name", "valid_until", "vehicle_class"], "{line}");
    }

    // A type that only the node knows: the holder names each claim, and what is forbidden stays so.
    let mut entry = wallet.sample.licence_type.clone();
    entry.code = "local:fishing-licence".parse().unwrap();
    let wallet = Wallet::of(&entry, true);
    let mut told = greedy(entry);
    told.claims[1].disclosure = Disclosure::Never;
    let url = serve(told);
    for line in ["", "--all"] {
        let refused = wallet.ask(&format!("present a.sdjwt {line} --node {url}"), 2);
        assert_eq!(refused["error"]["code"], "unproven_licence_type", "{line}");
    }
    let shown = wallet.ask(&format!("present a.sdjwt --disclose vehicle_class --node {url}"), 0);
    let (read, _) = wallet.read(shown["presentation"].as_str().unwrap());
    assert_eq!(read, ["vehicle_class"]);
    let refused = wallet.ask(&format!("present a.sdjwt --disclose sex --node {url}"), 1);
    assert_eq!(refused["error"]["code"], "never_disclosed");
}

#[test]
fn a_strangers_link_gives_the_terminal_no_orders_and_is_not_followed_offline() {
    let wallet = Wallet::new(DRIVING, true);
    let forged = "\u{1b}[2J\u{1b}[H\u{1b}[32mVALID  有效\r\n\u{202e}";
    let problem = json!({"code": forged, "detail": forged, "hint": forged.repeat(1_000)});
    let named = json!({"status": "active\u{1b}[2J", "height": 1, "issued_at": 1, "changed_at": 1,
        "licence_type": {"name_en": forged, "name_zh": forged, "code": forged},
        "issuer": {"name": forged, "uscc": forged, "province": forged}});
    let (url, sent) = node(vec![("/t/", 404, problem), ("/v1/licences/", 200, named)]);
    let link = format!("{url}/t/AAAAAAAAAAAAAAAAAAAAAA");
    let status = format!("status {} --node {url}", "ab".repeat(32));
    for (line, ends) in [(format!("verify {link} --node {url}"), 2), (status, 0)] {
        let output = wallet.run(&line);
        assert_eq!(output.status.code(), Some(ends), "{line}");
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let moves = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!said.contains(moves), "{said:?}");
        assert!(said.contains("\\u{1b}[2J") && said.len() < 32 * 1024, "{said:?}");
        sent.recv().unwrap();
    }

    fs::write(wallet.path("trust.bin"), b"x").unwrap();
    let offline = "--offline --trust trust.bin --province 11";
    let refused = wallet.ask(&format!("verify {link} {offline}"), 2);
    assert_eq!(refused["error"]["code"], "link_offline");
    assert!(sent.try_recv().is_err(), "the link was followed");
}

#[test]
fn what_lies_in_the_way_of_a_presentation_neither_opens_it_nor_is_written_to() {
    let wallet = Wallet::new(DRIVING, true);
    fs::write(wallet.path("victim"), b"precious").unwrap();
    fs::write(wallet.path("p.txt.new"), b"prepared").unwrap();
    fs::set_permissions(wallet.path("p.txt.new"), fs::Permissions::from_mode(0o666)).unwrap();
    std::os::unix::fs::symlink(wallet.path("victim"), wallet.path("q.txt.new")).unwrap();
    for name in ["p.txt", "q.txt"] {
        wallet.ask(&format!("present a.sdjwt --out {name}"), 0);
        let metadata = fs::symlink_metadata(wallet.path(name)).unwrap();
        assert!(metadata.is_file(), "{name}");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
        assert!(wallet.read(&fs::read_to_string(wallet.path(name)).unwrap()).1.is_some());
    }
    assert_eq!(fs::read(wallet.path("victim")).unwrap(), b"precious");
}

#[test]
fn what_is_written_never_replaces_a_credential_a_key_or_anything_of_another_kind() {
    let wallet = Wallet::new(DRIVING, true);
    fs::write(wallet.path("renamed.png"), &wallet.sample.issued.text).unwrap();
    fs::write(wallet.path("notes.txt"), "notes").unwrap();
    let names = ["a.sdjwt", "a.holder.pem", "renamed.png", "notes.txt"];
    let before = names.map(|name| fs::read(wallet.path(name)).unwrap());
    // Nobody is asked for a staple, nor is anything shown, before this is known.
    let staple = "--node http://127.0.0.1:1 --staple";
    for more in [
        "--out a.sdjwt",
        "--out a.holder.pem",
        "--out renamed.png",
        "--out notes.txt",
        "--qr renamed.png",
        &format!("{staple} a.sdjwt"),
        &format!("{staple} a.holder.pem"),
        &format!("{staple} notes.txt"),
    ] {
        let refused = wallet.ask(&format!("present a.sdjwt {more}"), 2);
        assert_eq!(refused["error"]["code"], "would_overwrite", "{more}");
        assert_eq!(names.map(|name| fs::read(wallet.path(name)).unwrap()), before, "{more}");
    }
    for _ in [1, 2] {
        wallet.ask("present a.sdjwt --out shown.txt --qr code.png", 0);
        wallet.ask("present a.sdjwt --qr code.svg", 0);
    }
}

#[test]
fn bad_input_is_answered_with_what_where_and_a_hint() {
    let wallet = Wallet::new(DRIVING, true);
    let other = Wallet::new(CONSTRUCTION, true);
    wallet.private("other.pem", other.sample.holder.as_ref().unwrap().to_pem().as_bytes());
    fs::write(wallet.path("b.sdjwt"), &wallet.sample.issued.text).unwrap();
    let mut dice = Dice::new(3);
    let noise: Vec<u8> = (0..4_096).map(|_| dice.roll().to_le_bytes()[0] | 0x80).collect();
    let png = [b"\x89PNG\r\n\x1a\n".as_slice(), &noise].concat();
    for (name, bytes) in [
        ("noise", noise.as_slice()),
        ("noise.png", &png),
        ("a.gif", b"GIF89a"),
        ("code.svg", b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>"),
        ("type.json", b"{}"),
    ] {
        fs::write(wallet.path(name), bytes).unwrap();
    }
    for (line, status, code) in [
        ("present none.sdjwt", 2, "unreadable_file"),
        ("present noise", 2, "not_utf8"),
        ("present type.json", 2, "malformed_presentation"),
        ("present a.sdjwt --qr code.gif", 2, "unknown_picture_form"),
        ("present a.sdjwt --disclose name,age", 1, "no_such_claim"),
        ("present a.sdjwt --disclose name --all", 2, "usage"),
        ("present a.sdjwt --audience x", 2, "usage"),
        ("present a.sdjwt --holder-key other.pem", 1, "other_holder_key"),
        ("present a.sdjwt --holder-key none.pem", 2, "key_unreadable"),
        ("present b.sdjwt", 2, "no_holder_key"),
        ("present a.sdjwt --licence-type-file type.json", 1, "bad_licence_type_file"),
        ("present a.sdjwt --qr no/such/folder.png", 2, "unwritable_file"),
        ("verify noise --node http://127.0.0.1:1", 2, "not_utf8"),
        ("verify noise.png --node http://127.0.0.1:1", 2, "bad_picture"),
        ("verify a.gif --node http://127.0.0.1:1", 2, "picture_form"),
        ("verify code.svg --node http://127.0.0.1:1", 2, "picture_form"),
        ("verify type.json --node http://127.0.0.1:1", 2, "no_presentation"),
        ("verify - --node http://127.0.0.1:1", 2, "empty_file"),
        ("verify a.sdjwt --node http://127.0.0.1:1", 3, "unreachable"),
    ] {
        let error = wallet.ask(line, status)["error"].clone();
        assert_eq!(error["code"], code, "{line}: {error}");
        for part in ["message", "hint"] {
            assert!(!error[part].as_str().unwrap().is_empty(), "{line}: no {part}");
        }
    }
    // A node that is away does not keep a citizen from presenting.
    let shown = wallet.ask("present a.sdjwt --node http://127.0.0.1:1", 0);
    assert_eq!(shown["level"], "A");
}
