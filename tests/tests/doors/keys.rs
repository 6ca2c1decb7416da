//! Private keys: who may read their files, what opens an encrypted one, and where nothing of them
//! may ever be found.

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt, chown},
        process::ExitStatusExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use symbolon_genesis::presets::{DevnetKeys, devnet_from_seed};
use symbolon_ledger::keys::SecretKey;
use symbolon_tests::devnet::{agent, await_that, binary, free_base_port};
use tempfile::TempDir;

const PASSPHRASE: &str = "correct horse battery staple";
const FILE_VARIABLE: &str = "SYMBOLON_PASSPHRASE_FILE";
const VARIABLE: &str = "SYMBOLON_PASSPHRASE";
/// Files of the node's keys, with what errors call them.
const KEYS: [(&str, &str); 3] = [
    ("validator.pem", "validator key"),
    ("network.pem", "network key"),
    ("status.pem", "status key"),
];

/// A folder with everything that a node needs to run, alone.
struct Home {
    folder: TempDir,
    keys: DevnetKeys,
    port: u16,
}

impl Home {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let port = free_base_port(1) + 1;
        let (genesis, mut keys) = devnet_from_seed(4, &[0xd0; 32], 1_795_392_000_000, port + 300);
        fs::write(folder.path().join("genesis.toml"), genesis.to_toml()).unwrap();
        let home = Self { folder, keys: keys.remove(0), port };
        let own = [&home.keys.validator, &home.keys.network, &home.keys.status];
        for ((name, _), key) in KEYS.iter().zip(own) {
            home.write(name, &key.to_pem(), 0o600);
        }
        home.configure(|text| text);
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), PermissionsExt::from_mode(mode)).unwrap();
    }

    /// Writes the configuration as `change` has it.
    fn configure(&self, change: impl Fn(String) -> String) {
        let (http, admin, p2p) = (self.port, self.port + 100, self.port + 200);
        let text = format!(
            "genesis = \"genesis.toml\"\ndata_dir = \"data\"\nrole = \"validator\"\n\
             province = \"11\"\nvalidator_key = \"validator.pem\"\nnetwork_key = \"network.pem\"\n\
             status_key = \"status.pem\"\n[http]\nlisten = \"127.0.0.1:{http}\"\n\
             [admin]\nlisten = \"127.0.0.1:{admin}\"\n\
             [network]\nlisten = [\"/ip4/127.0.0.1/tcp/{p2p}\"]\n"
        );
        fs::write(self.path("config.toml"), change(text)).unwrap();
    }

    fn node(&self, verb: &str) -> Command {
        let mut command = Command::new(binary("symbolon-node"));
        command.args([verb, "--config"]).arg(self.path("config.toml"));
        command.env_remove(VARIABLE).env_remove(FILE_VARIABLE).stdin(Stdio::null());
        command
    }

    /// Runs a node until it answers; what it wrote is in the file `said`.
    fn run(&self, mut command: Command) -> Running {
        let said = fs::File::create(self.path("said")).unwrap();
        let child = command.current_dir(self.folder.path()).stderr(said).spawn().unwrap();
        let running = Running(child);
        await_that("the node answers", || self.get("/v1/status").is_some());
        running
    }

    fn get(&self, path: &str) -> Option<String> {
        let port = if path.starts_with("/v1") { self.port } else { self.port + 100 };
        let answer = agent().get(format!("http://127.0.0.1:{port}{path}")).call();
        answer.ok()?.body_mut().read_to_string().ok()
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn symbolon(arguments: &[&str], passphrase: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary("symbolon"));
    command.args(arguments).env_remove(VARIABLE).env_remove(FILE_VARIABLE);
    command.envs(passphrase.iter().copied()).stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn refused(output: &Output, expected: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{text}");
    assert!(text.contains(expected), "{expected}: {text}");
    assert!(!text.contains(PASSPHRASE), "{text}");
}

#[track_caller]
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let home = Home::new();
    done(&home.node("check-config").output().unwrap());
    for (name, what) in KEYS {
        let text = fs::read_to_string(home.path(name)).unwrap();
        for mode in [0o644, 0o640, 0o604, 0o620] {
            home.write(name, &text, mode);
            let path = home.path(name);
            refused(
                &home.node("check-config").output().unwrap(),
                &format!("{what} {}", path.display()),
            );
            refused(&home.node("run").output().unwrap(), "other users of this machine");
            let shown = symbolon(&["keys", "show", &path.to_string_lossy()], &[]);
            refused(&shown, "can be read by other users");
        }
        home.write(name, &text, 0o600);
    }
}

#[test]
fn an_encrypted_key_opens_with_its_passphrase_and_no_other() {
    let home = Home::new();
    let key = home.path("new.pem").to_string_lossy().into_owned();
    home.write("passphrase", &format!("{PASSPHRASE}\n"), 0o600);
    let file = home.path("passphrase").to_string_lossy().into_owned();
    let (from_file, from_variable) = ([(FILE_VARIABLE, file.as_str())], [(VARIABLE, PASSPHRASE)]);

    let new = ["keys", "new", "--encrypt", "--json", &key];
    refused(&symbolon(&new, &[]), "no terminal to ask");
    refused(&symbolon(&new, &[(VARIABLE, "")]), "the passphrase is empty");
    assert!(!home.path("new.pem").exists());
    let made = done(&symbolon(&new, &from_file));
    let pem = fs::read_to_string(&key).unwrap();
    assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{pem}");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);

    let show = ["keys", "show", "--json", &key];
    assert_eq!(done(&symbolon(&show, &from_variable)), made);
    refused(&symbolon(&show, &[]), "no terminal to ask");
    refused(&symbolon(&show, &[(VARIABLE, "wrong")]), "the passphrase does not open it");
    home.write("passphrase", PASSPHRASE, 0o644);
    refused(&symbolon(&show, &from_file), "can be read by other users");
}

#[test]
fn a_node_opens_its_encrypted_keys_and_says_nothing_of_them() {
    let home = Home::new();
    for ((name, _), key) in KEYS.iter().zip([&home.keys.validator, &home.keys.network]) {
        let entropy = [7; symbolon_ledger::encrypted_key::ENTROPY_LEN];
        let pem = symbolon_ledger::encrypted_key::encrypt(key, PASSPHRASE, &entropy);
        home.write(name, &pem, 0o600);
    }
    let check = |passphrase: &[(&str, &str)]| {
        home.node("check-config").envs(passphrase.iter().copied()).output().unwrap()
    };
    refused(&check(&[]), "is encrypted: set SYMBOLON_PASSPHRASE_FILE");
    refused(&check(&[(VARIABLE, "wrong")]), "the passphrase does not open it");
    done(&check(&[(VARIABLE, PASSPHRASE)]));
    done(&through_a_pipe(home.node("check-config")));
    home.write("passphrase", PASSPHRASE, 0o644);
    let file = home.path("passphrase").to_string_lossy().into_owned();
    refused(&check(&[(FILE_VARIABLE, &file)]), "other users of this machine");
    home.write("passphrase", PASSPHRASE, 0o600);

    let mut command = home.node("run");
    command.env(FILE_VARIABLE, &file).env("SYMBOLON_LOG", "trace");
    let running = home.run(command);
    let mut places: Vec<(String, Vec<u8>)> =
        ["/v1/status", "/v1/validators", "/metrics", "/version"]
            .iter()
            .map(|path| ((*path).to_owned(), home.get(path).unwrap().into_bytes()))
            .collect();
    drop(running);
    assert!(fs::read(home.path("said")).unwrap().len() > 1_000, "it logs in detail");
    let mut found = vec![home.path("said"), home.path("data")];
    while let Some(path) = found.pop() {
        if path.is_dir() {
            found.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            places.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    let keys = [&home.keys.validator, &home.keys.network, &home.keys.status];
    for secret in keys.into_iter().flat_map(spellings).chain([PASSPHRASE.as_bytes().to_vec()]) {
        for (place, bytes) in &places {
            let there = bytes.windows(secret.len()).any(|window| window == secret);
            assert!(!there, "{place} tells {:?}", String::from_utf8_lossy(&secret));
        }
    }
}

/// How a passphrase is given, and what becomes of it: nothing, or words of the refusal that both
/// programs have.
struct Given {
    /// What is in the file, its mode and, where it matters, its group; none for no file.
    file: Option<(&'static [u8], u32, Option<u32>)>,
    variable: Option<&'static [u8]>,
    refused: Option<&'static str>,
}

/// Group of the superuser, and one of nobody in particular.
const ROOT: Option<u32> = Some(0);
const OTHERS: Option<u32> = Some(12_345);

fn file(
    text: &'static [u8],
    mode: u32,
    group: Option<u32>,
    refused: Option<&'static str>,
) -> Given {
    Given { file: Some((text, mode, group)), variable: None, refused }
}

#[test]
fn node_and_command_line_take_a_passphrase_from_the_same_places() {
    let (home, good, read) = (Home::new(), PASSPHRASE.as_bytes(), "other users of this machine");
    let entropy = [7; symbolon_ledger::encrypted_key::ENTROPY_LEN];
    let pem = symbolon_ledger::encrypted_key::encrypt(&home.keys.validator, PASSPHRASE, &entropy);
    home.write("validator.pem", &pem, 0o600);
    let key = home.path("validator.pem");
    let wrong = Some("the passphrase does not open it");
    let long: &'static [u8] = &[b'x'; 1_025];
    let variable = |text, refused| Given { file: None, variable: Some(text), refused };
    for given in [
        file(good, 0o600, None, None),
        file(good, 0o440, ROOT, None),
        file(good, 0o440, OTHERS, Some(read)),
        file(good, 0o460, ROOT, Some(read)),
        file(good, 0o604, None, Some(read)),
        file(b"correct horse battery staple\nand more", 0o600, None, None),
        file(b"\xff\xfe", 0o600, None, Some("UTF-8")),
        file(long, 0o600, None, Some("than 1024 bytes")),
        file(b"", 0o600, None, wrong),
        Given { variable: Some(b"wrong"), ..file(good, 0o600, None, None) },
        variable(good, None),
        variable(b"", wrong),
        variable(b"\xff", Some("is encrypted")),
        Given { file: None, variable: None, refused: Some("is encrypted") },
    ] {
        let path = home.path("passphrase");
        if let Some((text, mode, group)) = given.file {
            let _ = fs::remove_file(&path);
            fs::write(&path, text).unwrap();
            // Only the superuser may give a file to another group.
            let own = Some(fs::metadata(&path).unwrap().gid());
            if group.is_some() && group != own && chown(&path, None, group).is_err() {
                continue;
            }
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        }
        let mut show = Command::new(binary("symbolon"));
        show.args(["keys", "show"]).arg(&key).stdin(Stdio::null());
        for (program, mut command) in [("node", home.node("check-config")), ("symbolon", show)] {
            command.env_remove(VARIABLE).env_remove(FILE_VARIABLE);
            command.envs(given.file.map(|_| (FILE_VARIABLE, &path)));
            command.envs(given.variable.map(|v| (VARIABLE, OsStr::from_bytes(v))));
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            let (file, words) = (given.file, given.refused.unwrap_or(""));
            let case = format!("{program}: {file:?} {:?}: {said}", given.variable);
            assert_eq!(output.status.success(), given.refused.is_none(), "{case}");
            assert!(said.contains(words) && !said.contains(PASSPHRASE), "{case}");
        }
    }
}

#[test]
fn a_folder_is_no_key_whoever_may_read_it() {
    let home = Home::new();
    fs::remove_file(home.path("validator.pem")).unwrap();
    fs::create_dir(home.path("validator.pem")).unwrap();
    let shown = symbolon(&["keys", "show", &home.path("validator.pem").to_string_lossy()], &[]);
    for output in [shown, home.node("check-config").output().unwrap()] {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("a folder") || said.contains("is a directory"), "{said}");
        refused(&output, "");
    }
}

/// Gives the passphrase once, as a node does that starts itself again; two keys need it.
fn through_a_pipe(mut command: Command) -> Output {
    command.env(FILE_VARIABLE, "/dev/stdin").stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(PASSPHRASE.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// How a private key may be written.
fn spellings(key: &SecretKey) -> Vec<Vec<u8>> {
    let seed = key.to_seed();
    let hex: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    let list: Vec<String> = seed.iter().map(ToString::to_string).collect();
    vec![
        seed.to_vec(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
        // As `{:?}` writes the beginning of an array.
        list[..8].join(", ").into_bytes(),
        BASE64_STANDARD.encode(&seed[..24]).into_bytes(),
        key.to_pem().lines().nth(1).unwrap().as_bytes().to_vec(),
    ]
}

#[test]
fn a_node_that_is_aborted_leaves_no_core_file() {
    let home = Home::new();
    let mut command = Command::new("bash");
    // What it is started with allows core files of any size, where the machine does.
    let script = "ulimit -c unlimited 2>/dev/null; exec \"$0\" run --config config.toml";
    command.args(["-c", script]).arg(binary("symbolon-node")).env("SYMBOLON_LOG", "off");
    let mut running = home.run(command);
    let pid = running.0.id();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let numbers: Vec<&str> = line.split_whitespace().skip(4).take(2).collect();
    assert_eq!(numbers, ["0", "0"], "{line}");
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGABRT).unwrap();
    let status = running.0.wait().unwrap();
    assert_eq!(status.signal(), Some(Signal::SIGABRT as i32));
    assert!(!status.core_dumped(), "{status}");
    let names = fs::read_dir(home.folder.path()).unwrap().map(|e| e.unwrap().file_name());
    let cores: Vec<_> = names.filter(|n| n.to_string_lossy().starts_with("core")).collect();
    assert!(cores.is_empty(), "{cores:?}");
}

#[test]
fn the_operators_interface_is_for_this_machine_only_whatever_is_asked_for() {
    let home = Home::new();
    let admin = format!("127.0.0.1:{}", home.port + 100);
    for address in ["0.0.0.0", "[::]", "192.0.2.1"] {
        let open = format!("{address}:{}", home.port + 100);
        home.configure(|text| text.replace(&admin, &open));
        for verb in ["check-config", "run"] {
            let output = home.node(verb).arg("--insecure-public").output().unwrap();
            refused(&output, "refusing to offer the operator's interface");
        }
    }
}

#[test]
fn openssl_and_the_command_line_read_each_others_encrypted_keys() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let openssl =
        |arguments: &[&str]| Command::new("openssl").args(arguments).stdin(Stdio::null()).output();
    if openssl(&["version"]).is_err() {
        symbolon_tests::faults::say("skipped: openssl is not installed");
        return;
    }
    let (password, given) = (format!("pass:{PASSPHRASE}"), [(VARIABLE, PASSPHRASE)]);
    let public = |shown: &str| {
        let json: serde_json::Value = serde_json::from_str(shown).unwrap();
        json["public_key"].as_str().unwrap().to_owned()
    };

    let ours = path("ours.pem");
    let made = done(&symbolon(&["keys", "new", "--encrypt", "--json", &ours], &given));
    let read = ["pkey", "-in", &ours, "-passin", &password, "-pubout", "-outform", "DER"];
    let der = openssl(&read).unwrap();
    assert!(der.status.success(), "{}", String::from_utf8_lossy(&der.stderr));
    let hex: String =
        der.stdout[der.stdout.len() - 32..].iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, public(&made));

    let (plain, theirs) = (path("plain.pem"), path("theirs.pem"));
    assert!(
        openssl(&["genpkey", "-algorithm", "ed25519", "-out", &plain]).unwrap().status.success()
    );
    for more in [&[][..], &["-scrypt"]] {
        let write = ["pkcs8", "-topk8", "-in", &plain, "-passout", &password, "-out", &theirs];
        assert!(openssl(&[&write, more].concat()).unwrap().status.success());
        for file in [&plain, &theirs] {
            fs::set_permissions(Path::new(file), PermissionsExt::from_mode(0o600)).unwrap();
        }
        let encrypted = done(&symbolon(&["keys", "show", "--json", &theirs], &given));
        let open = done(&symbolon(&["keys", "show", "--json", &plain], &[]));
        assert_eq!(public(&encrypted), public(&open));
    }
}
