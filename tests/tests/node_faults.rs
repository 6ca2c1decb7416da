//! A node that cannot do its work says why in one line and stops: it never serves or votes on
//! doubtful data.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    fs::Permissions,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
    time::Duration,
};

use symbolon_tests::{
    devnet::{Devnet, await_that, binary, free_base_port, symbolon},
    faults::agent_of,
};
use tempfile::TempDir;

#[path = "node_faults/strangers.rs"]
mod strangers;

/// A network that ran and was stopped, copied for each test that harms a node's folder.
fn stopped_network() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let net = Devnet::start(4);
            await_that("a second block", || net.height("11").is_some_and(|h| h >= 2));
            net.stop();
            let copy = TempDir::new().unwrap();
            copy_folder(&net.folder().join("node-1"), &copy.path().join("node-1"));
            copy_folder(&net.folder().join("genesis.toml"), &copy.path().join("genesis.toml"));
            copy
        })
        .path()
}

fn copy_folder(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

/// A node's folder of its own, with ports of its own and nobody to talk to.
struct Lone {
    folder: TempDir,
    http: u16,
}

impl Lone {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        copy_folder(&stopped_network().join("node-1"), &folder.path().join("node-1"));
        copy_folder(&stopped_network().join("genesis.toml"), &folder.path().join("genesis.toml"));
        let http = free_base_port(1) + 1;
        let lone = Self { folder, http };
        lone.rewrite_config(&lone.folder.path().join("node-1/data"));
        lone
    }

    fn rewrite_config(&self, data: &Path) {
        let node = self.folder.path().join("node-1");
        let text = format!(
            "genesis = {:?}\ndata_dir = {data:?}\nrole = \"validator\"\nprovince = \"11\"\n\
             validator_key = {:?}\nnetwork_key = {:?}\n[http]\nlisten = \"127.0.0.1:{}\"\n\
             [admin]\nlisten = \"127.0.0.1:{}\"\n[network]\nlisten = [\"/ip4/127.0.0.1/tcp/{}\"]\n",
            self.folder.path().join("genesis.toml"),
            node.join("validator.pem"),
            node.join("network.pem"),
            self.http,
            self.http + 100,
            self.http + 200,
        );
        std::fs::write(self.config(), text).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("node-1/config.toml")
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("node-1/data/rocksdb")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary("symbolon-node"));
        command.args(["run", "--config"]).arg(self.config()).env("SYMBOLON_LOG", "off");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Answer, what is said beside it, and status of `check-config`.
    fn check(&self) -> (String, String, i32) {
        let mut command = Command::new(binary("symbolon-node"));
        command.args(["check-config", "--config"]).arg(self.config()).env("SYMBOLON_LOG", "off");
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr), output.status.code().unwrap())
    }

    /// Runs a node that is expected to stop by itself.
    fn run(&self) -> Output {
        self.command().output().unwrap()
    }

    /// The same node with a limit of open files, in the words of the shell's `ulimit`.
    fn command_with_files(&self, limit: &str) -> Command {
        let mut command = Command::new("sh");
        let script = format!("ulimit {limit}; exec \"$0\" run --config \"$1\"");
        command.args(["-c", &script]).arg(binary("symbolon-node")).arg(self.config());
        command.env("SYMBOLON_LOG", "off").stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn answers(&self) -> bool {
        let url = format!("http://127.0.0.1:{}/v1/status", self.http);
        agent_of(QUICK).get(url).call().is_ok()
    }
}

/// A node without a free file takes the connection and says nothing: so long is looked for more.
const QUICK: Duration = Duration::from_secs(1);

/// Names and contents of all files.
fn folder_as_it_is(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(folder_as_it_is(&path));
        } else {
            found.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// The node failed, and said so in one line that contains `expected`.
fn assert_refused(output: &Output, expected: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "the node ran: {text}");
    assert!(output.status.code().is_some(), "the node was killed: {text}");
    assert_eq!(text.lines().count(), 1, "more than one line: {text}");
    assert!(text.starts_with("error: ") && text.contains(expected), "{text}");
}

#[test]
fn a_taken_port_is_named() {
    let lone = Lone::new();
    let _taken = TcpListener::bind(("127.0.0.1", lone.http)).unwrap();
    assert_refused(&lone.run(), &format!("cannot listen on 127.0.0.1:{}", lone.http));
}

#[test]
fn a_node_without_files_to_open_ends_in_order_or_serves() {
    let lone = Lone::new();
    // What it cannot open is another thing each time: the threads, the lock, the database.
    for files in [8, 12, 20] {
        let output = lone.command_with_files(&format!("-n {files}")).output().unwrap();
        assert_refused(&output, ": Too many open files");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.starts_with("error: Too many"), "it does not say what it cannot open");
    }
    const FILES: usize = 64;
    let mut node = lone.command_with_files(&format!("-n {FILES}")).spawn().unwrap();
    await_that("it serves", || lone.answers());
    let callers: Vec<_> =
        (0..FILES).map(|_| TcpStream::connect(("127.0.0.1", lone.http)).unwrap()).collect();
    await_that("its callers have every file", || !lone.answers());
    drop(callers);
    await_that("it serves again", || lone.answers());
    assert!(node.try_wait().unwrap().is_none(), "it ended");
    node.kill().unwrap();
    node.wait().unwrap();
}

#[test]
fn a_node_takes_as_many_files_as_it_may() {
    let lone = Lone::new();
    let mut node = lone.command_with_files("-Sn 256").spawn().unwrap();
    await_that("it serves", || lone.answers());
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", node.id())).unwrap();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let [soft, hard] = [0, 1].map(|n| files.split_whitespace().nth(n).unwrap().parse().ok());
    let hard: u64 = hard.unwrap_or(u64::MAX);
    assert_eq!(soft, Some(hard.min(4_096)), "{files}");
    node.kill().unwrap();
    node.wait().unwrap();
}

#[test]
fn a_data_folder_in_use_is_named() {
    let lone = Lone::new();
    let mut first = lone.command().spawn().unwrap();
    let url = format!("http://127.0.0.1:{}/v1/status", lone.http);
    await_that("the first node answers", || symbolon_tests::devnet::get(&url).is_ok());
    let output = Command::new(binary("symbolon-node"))
        .args(["verify-chain", "--config"])
        .arg(lone.config())
        .env("SYMBOLON_LOG", "off")
        .output()
        .unwrap();
    assert_refused(&output, "in use by another process");
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn a_validator_without_its_sign_state_looks_on_and_its_key_is_in_one_place() {
    let lone = Lone::new();
    let sign_state = lone.folder.path().join("node-1/validator.pem.signed");
    std::fs::remove_file(&sign_state).unwrap();
    let mut first = lone.command().spawn().unwrap();
    let url = format!("http://127.0.0.1:{}/v1/status", lone.http);
    let status = || symbolon_tests::devnet::get(&url).ok().map(|(_, status)| status);
    await_that("it looks on", || status().is_some_and(|s| s["voting"] == "looks_on"));
    // A second folder and other ports, with the same key.
    let other = free_base_port(1) + 1;
    let mut text = std::fs::read_to_string(lone.config()).unwrap();
    for (ours, others) in (lone.http..).step_by(100).zip((other..).step_by(100)).take(3) {
        text = text.replace(&ours.to_string(), &others.to_string());
    }
    let second = lone.folder.path().join("node-1/second.toml");
    std::fs::write(&second, text.replace("node-1/data", "node-1/second")).unwrap();
    let mut command = Command::new(binary("symbolon-node"));
    command.args(["run", "--config"]).arg(&second).env("SYMBOLON_LOG", "off");
    assert_refused(&command.output().unwrap(), "validator.pem.signed is in use");
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn a_folder_without_a_chain_is_not_given_one_by_whoever_verifies_it() {
    let lone = Lone::new();
    let empty = lone.folder.path().join("mistyped");
    lone.rewrite_config(&empty);
    let output = Command::new(binary("symbolon-node"))
        .args(["verify-chain", "--config"])
        .arg(lone.config())
        .env("SYMBOLON_LOG", "off")
        .output()
        .unwrap();
    assert_refused(&output, "holds no chain");
    assert!(!empty.exists());
}

#[test]
fn a_foreign_genesis_is_refused() {
    let lone = Lone::new();
    let path = lone.folder.path().join("genesis.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let other = text.replacen("idle_block_interval_ms = 10000", "idle_block_interval_ms = 9000", 1);
    assert_ne!(text, other, "the devnet's genesis has an idle interval of 10 s");
    std::fs::write(&path, other).unwrap();
    assert_refused(&lone.run(), "belongs to chain");
}

#[test]
fn comments_and_line_endings_do_not_found_another_chain() {
    let lone = Lone::new();
    let path = lone.folder.path().join("genesis.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("# a comment\r\n{}", text.replace('\n', "\r\n"))).unwrap();
    let output = Command::new(binary("symbolon-node"))
        .args(["verify-chain", "--config"])
        .arg(lone.config())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_damaged_database_is_named_and_nothing_is_served() {
    for damage in [
        |db: &Path| std::fs::write(db.join("CURRENT"), b"garbage\n").unwrap(),
        |db: &Path| {
            let manifest = newest(db, "MANIFEST");
            std::fs::write(manifest, b"garbage").unwrap();
        },
        |db: &Path| {
            for file in files(db, ".log").into_iter().chain(files(db, ".sst")) {
                flip_the_middle(&file);
            }
        },
    ] {
        let lone = Lone::new();
        damage(&lone.database());
        assert_refused(&lone.run(), "error: the database");
    }
}

#[test]
fn a_full_disk_stops_the_node_with_a_named_error() {
    let lone = Lone::new();
    let disk = lone.folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"]).arg(&disk).output();
    if !mounted.is_ok_and(|m| m.status.success()) {
        let mut err = std::io::stderr();
        let _ = writeln!(err, "skipped: this user may not mount a small disk to fill it");
        return;
    }
    copy_folder(&lone.folder.path().join("node-1/data"), &disk.join("data"));
    lone.rewrite_config(&disk.join("data"));
    let mut filler = std::fs::File::create(disk.join("filler")).unwrap();
    while filler.write_all(&[0; 65_536]).is_ok() {}
    let output = lone.run();
    let _ = Command::new("umount").arg(&disk).status();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("No space left") || text.contains("no space"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn a_bad_configuration_is_named_with_its_line() {
    let lone = Lone::new();
    let text = std::fs::read_to_string(lone.config()).unwrap();
    std::fs::write(lone.config(), text.replacen("role =", "rolle =", 1)).unwrap();
    let output = lone.run();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && text.contains("rolle") && text.contains("line 3"),
        "{text}"
    );
}

#[test]
fn check_config_refuses_what_run_refuses() {
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http/tls");
    let (certificate, key) = (tls.join("certificate.pem"), tls.join("key.pem"));
    let lone = Lone::new();
    let good = std::fs::read_to_string(lone.config()).unwrap();
    let check = || {
        let mut command = Command::new(binary("symbolon-node"));
        command.args(["check-config", "--config"]).arg(lone.config()).env("SYMBOLON_LOG", "off");
        command.output().unwrap()
    };
    assert!(check().status.success());
    let listen = format!("listen = \"127.0.0.1:{}\"", lone.http);
    for (with, expected) in [
        (format!("tls_certificate = {certificate:?}"), "belong together"),
        (format!("tls_key = {key:?}"), "belong together"),
        (format!("tls_certificate = \"/no/such.pem\"\ntls_key = {key:?}"), "/no/such.pem"),
        (format!("tls_certificate = {key:?}\ntls_key = {key:?}"), "TLS file"),
        (format!("tls_certificate = {certificate:?}\ntls_key = {certificate:?}"), "TLS file"),
    ] {
        let text = good.replacen(&listen, &format!("{listen}\n{with}"), 1);
        std::fs::write(lone.config(), text).unwrap();
        assert_refused(&check(), expected);
        assert_refused(&lone.run(), expected);
    }
    for name in ["validator.pem", "network.pem"] {
        let key = lone.folder.path().join("node-1").join(name);
        let mode = |mode| std::fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        for exposed in [0o644, 0o640, 0o602] {
            mode(exposed);
            let expected = format!("{}: other users of this machine may read it", key.display());
            std::fs::write(lone.config(), &good).unwrap();
            assert_refused(&check(), &expected);
            assert_refused(&lone.run(), "chmod 600");
        }
        mode(0o600);
    }
    assert!(check().status.success());
    let open = listen.replace("127.0.0.1", "0.0.0.0");
    let p2p = format!("[\"/ip4/127.0.0.1/tcp/{}\"]", lone.http + 200);
    for (from, to, expected) in [
        (listen.as_str(), open.as_str(), "plain HTTP"),
        (p2p.as_str(), "[\"foo\"]", "foo is not a multiaddr"),
        (p2p.as_str(), &format!("{p2p}\npeers = [\"zzz\"]"), "zzz is not a multiaddr"),
        (p2p.as_str(), &format!("{p2p}\nobservers = [\"zzz\"]"), "zzz is not a peer id"),
        (
            p2p.as_str(),
            &format!("{p2p}\npeers = [\"/ip4/192.0.2.1/tcp/9000\"]"),
            "192.0.2.1/tcp/9000 does not say whose address it is; end it in /p2p/",
        ),
        (
            p2p.as_str(),
            &format!("{p2p}\npeers = [\"/ip4/192.0.2.1/tcp/9000/p2p/zzz\"]"),
            "network.peers: zzz is not a peer id",
        ),
    ] {
        assert!(good.contains(from), "{from}");
        std::fs::write(lone.config(), good.replacen(from, to, 1)).unwrap();
        assert_refused(&check(), expected);
        assert_refused(&lone.run(), expected);
    }
}

/// A validator whose mark is handed over, damaged or gone, and a folder of another chain or in use.
#[test]
fn check_config_looks_at_the_mark_and_at_the_chain_that_is_there() {
    let lone = Lone::new();
    let check = || lone.check();
    let (node, sound) = (lone.folder.path().join("node-1"), "ok, chain ");
    let before = folder_as_it_is(&node);
    assert!(check().1.is_empty(), "{}", check().1);
    assert_eq!(folder_as_it_is(&node), before, "it wrote something");
    let mark = node.join("validator.pem.signed");
    let kept = std::fs::read(&mark).unwrap();

    std::fs::remove_file(&mark).unwrap();
    let (out, said, status) = check();
    assert!(out.contains(sound) && said.contains("there is no sign state"), "{said}");
    assert!(said.contains("looks on") && status == 0, "{said}");
    assert!(!mark.exists(), "it made one");
    std::fs::write(&mark, &kept[..100]).unwrap();
    let (_, said, status) = check();
    assert!(said.contains("is damaged, or does not know") && status == 0, "{said}");
    std::fs::write(&mark, &kept).unwrap();

    let data = node.join("data");
    let holder = std::fs::File::open(data.join("node.lock")).unwrap();
    holder.lock().unwrap();
    let (out, said, _) = check();
    assert!(out.contains(sound) && said.contains("is in use by another process"), "{said}");
    drop(holder);

    let founded = data.join("founded");
    let chain = std::fs::read_to_string(&founded).unwrap();
    std::fs::write(&founded, "ab".repeat(32)).unwrap();
    let (_, said, status) = check();
    assert!(said.contains("the database belongs to chain abab") && status == 1, "{said}");
    std::fs::write(&founded, chain).unwrap();

    let out = lone.folder.path().join("exported.json");
    let mut export = Command::new(binary("symbolon-node"));
    export.args(["sign-state", "export", "--out"]).arg(&out).arg("--config").arg(lone.config());
    assert!(export.output().unwrap().status.success());
    let (_, said, status) = check();
    assert!(said.contains("was handed over") && status == 1, "{said}");
    assert_refused(&lone.run(), "was handed over");

    // All that is wrong, not the first of it; and what cannot be read ends with 2.
    std::fs::remove_file(node.join("network.pem")).unwrap();
    std::fs::write(node.join("validator.pem"), "no key").unwrap();
    let text = std::fs::read_to_string(lone.config()).unwrap();
    std::fs::write(lone.config(), text.replacen("listen = [\"", "listen = [\"foo", 1)).unwrap();
    let (_, said, status) = check();
    for wrong in ["network.pem", "validator.pem", "is not a multiaddr"] {
        assert!(said.contains(wrong), "{wrong}: {said}");
    }
    assert_eq!((said.lines().count(), status), (3, 2), "{said}");
}

/// With `--json` a failure is one line as well, and a file that cannot be used ends with 2.
#[test]
fn a_failure_is_told_as_that_of_the_other_program_is() {
    let lone = Lone::new();
    for (arguments, status, code) in [
        (&["verify-chain", "--config", "no-such.toml", "--json"][..], 2, "bad_configuration"),
        (
            &["backup", "create", "--config", "no-such.toml", "--out", "x", "--json"],
            2,
            "bad_configuration",
        ),
        (&["verify-chain", "--json"], 2, "usage"),
        (&["backup", "verify", "no-such-folder", "--json"], 2, "bad_folder"),
    ] {
        let mut command = Command::new(binary("symbolon-node"));
        let output = command.args(arguments).current_dir(lone.folder.path()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["error"]["code"], code, "{line}");
        for member in ["message", "hint"] {
            assert!(!line["error"][member].as_str().unwrap().is_empty(), "{line}");
        }
        assert!(!output.stderr.is_empty(), "{arguments:?}: nothing for people");
    }
}

#[test]
fn check_config_warns_of_a_province_that_genesis_does_not_have_or_that_has_no_vote() {
    let lone = Lone::new();
    let good = std::fs::read_to_string(lone.config()).unwrap();
    // The mark is that of province 11.
    std::fs::remove_file(lone.folder.path().join("node-1/validator.pem.signed")).unwrap();
    let check = |by: &str| {
        for (province, expected) in [
            ("12", "warning: by genesis, there is no province 12; it has: 11 31 44 51".to_owned()),
            ("12", format!("warning: {by}, province 12 has no validator")),
            ("31", format!("warning: {by}, neither validator_key nor next_validator_key")),
        ] {
            let text = good.replacen("province = \"11\"", &format!("province = {province:?}"), 1);
            std::fs::write(lone.config(), text).unwrap();
            let (_, said, status) = lone.check();
            assert!(status == 0 && said.contains(&expected), "{province}: {said}");
        }
    };
    let (_, said, _) = lone.check();
    let height = said.split("at height ").nth(1);
    assert_eq!(height, None, "nothing is doubtful of province 11: {said}");
    let tip = tip_of(&lone);
    check(&format!("at height {tip}, to which data_dir has the chain"));
    std::fs::remove_dir_all(lone.folder.path().join("node-1/data")).unwrap();
    check("by genesis");
}

#[test]
fn a_node_remembers_as_many_showings_as_it_is_configured_to() {
    let lone = Lone::new();
    let text = std::fs::read_to_string(lone.config()).unwrap();
    std::fs::write(lone.config(), text.replace("[admin]", "showings = 9000\n[admin]")).unwrap();
    let mut node = lone.command().spawn().unwrap();
    await_that("the node answers", || lone.answers());
    let url = format!("http://127.0.0.1:{}/metrics", lone.http + 100);
    let text = agent_of(QUICK).get(url).call().unwrap().body_mut().read_to_string().unwrap();
    node.kill().unwrap();
    node.wait().unwrap();
    assert!(text.contains("\nsymbolon_showings_limit 9000\n"), "{text}");
}

/// Height of the chain in a node's folder, as the node itself reads it.
fn tip_of(lone: &Lone) -> u64 {
    let mut command = Command::new(binary("symbolon-node"));
    command.args(["verify-chain", "--json", "--config"]).arg(lone.config());
    let output = command.env("SYMBOLON_LOG", "off").output().unwrap();
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    line["height"].as_u64().unwrap()
}

#[test]
fn a_chain_that_is_founded_in_the_future_is_not_started() {
    let lone = Lone::new();
    let document = lone.folder.path().join("genesis.toml");
    let text = std::fs::read_to_string(&document).unwrap();
    let time = text.lines().find(|line| line.starts_with("genesis_time")).unwrap();
    let later = text.replacen(time, "genesis_time = \"2100-01-01T00:00:00Z\"", 1);
    std::fs::write(&document, later).unwrap();
    std::fs::remove_dir_all(lone.folder.path().join("node-1/data")).unwrap();
    assert_refused(&lone.run(), "founded at 2100-01-01T00:00:00Z");
}

#[test]
fn a_second_network_on_the_same_ports_is_told_who_holds_them() {
    let net = Devnet::start(4);
    let base: u16 = net.file.nodes[0].http.rsplit(':').next().unwrap().parse().unwrap();
    let other = TempDir::new().unwrap();
    let dir = other.path().to_string_lossy().into_owned();
    let base = (base - 1).to_string();
    let output = symbolon(["devnet", "up", "--detach", "--dir", &dir, "--base-port", &base]);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("symbolon-node"), "{text}");
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.filter(|p| p.to_string_lossy().ends_with(ending)).collect()
}

fn newest(folder: &Path, beginning: &str) -> PathBuf {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let named = |p: &PathBuf| p.file_name().unwrap().to_string_lossy().starts_with(beginning);
    entries.filter(named).max().unwrap()
}

fn flip_the_middle(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    if bytes.is_empty() {
        return;
    }
    let middle = bytes.len() / 2;
    let end = (middle + 64).min(bytes.len());
    for byte in &mut bytes[middle..end] {
        *byte ^= 0xff;
    }
    std::fs::write(file, bytes).unwrap();
}
