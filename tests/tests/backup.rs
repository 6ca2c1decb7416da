//! Backups as files: what is copied is the whole chain and goes on as the original, whatever was
//! altered is refused by name, and nothing is ever put over anything.
//!
//! Not here: a backup of a running node, and what a network does with one (`disaster.rs`).

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use symbolon_genesis::{Genesis, presets};
use symbolon_node::{
    backup::{
        BackupError,
        check::{Whole, check, execute},
        create::create,
        restore::{Voice, restore},
    },
    config::{self, NodeConfig},
    snapshot::{Shelf, make::make},
    storage::{StorageError, Store},
    verify_chain::verify_chain,
};
use symbolon_tests::chain::{Chain, add_to};
use tempfile::TempDir;

/// Licences of the chain: enough for several files of each kind.
const LICENCES: usize = 1_200;

/// A node's folder: configuration, founding document, data.
struct Node {
    folder: TempDir,
}

impl Node {
    /// One whose founding document is this one, and whose data folder is not there yet.
    fn new(genesis: &Genesis, role: &str) -> Self {
        let node = Self { folder: TempDir::new().unwrap() };
        fs::write(node.path("genesis.toml"), genesis.to_toml()).unwrap();
        let key = if role == "validator" { "validator_key = \"validator.pem\"\n" } else { "" };
        // Nobody listens on the admin port, and no key is read.
        let text = format!(
            "genesis = \"genesis.toml\"\ndata_dir = \"data\"\nrole = \"{role}\"\nprovince = \"44\"\n\
             network_key = \"network.pem\"\n{key}[http]\nlisten = \"127.0.0.1:1\"\n\
             [admin]\nlisten = \"127.0.0.1:1\"\n[network]\nlisten = []\n"
        );
        fs::write(node.path("node.toml"), text).unwrap();
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    fn read(&self) -> (NodeConfig, Genesis) {
        config::read_without_keys(&self.path("node.toml")).unwrap()
    }

    fn back_up(&self, name: &str) -> Result<PathBuf, BackupError> {
        let (config, genesis) = self.read();
        create(&config, &genesis, &self.path(name)).map(|_| self.path(name))
    }

    fn restore(&self, backup: &Path) -> Result<Voice, BackupError> {
        let (config, genesis) = self.read();
        restore(&config, &genesis, backup, false).map(|restored| restored.voice)
    }
}

/// A chain with licences, and the node whose data it is.
fn grown() -> (Chain, Node) {
    let (genesis, _) = presets::devnet_from_seed(4, &[3; 32], 1_795_392_000_000, 20_000);
    let node = Node::new(&genesis, "validator");
    let mut chain = Chain::founded(&node.data());
    assert_eq!(chain.genesis.chain_id(), node.read().1.chain_id());
    let issued: Vec<_> = (0..LICENCES).map(|_| chain.issue()).collect();
    chain.commit(&issued);
    let revoked: Vec<_> = (0..20).map(|_| chain.revoke()).collect();
    chain.commit(&revoked);
    (chain, node)
}

/// Closes a chain's database; what is left is its folder.
fn close(chain: Chain) -> Genesis {
    let genesis = chain.genesis.clone();
    drop(chain);
    genesis
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

#[test]
fn a_backup_is_the_whole_chain_and_what_is_restored_goes_on_as_the_original() {
    let (mut chain, node) = grown();
    let (height, tip) = (chain.height(), chain.store.view().unwrap().tip().clone());
    let block = chain.block(&[]);
    let genesis = close(chain);
    let backup = node.back_up("backup").unwrap();
    assert!(!node.data().join("checkpoint").exists(), "what it was copied from is left");

    let whole: Whole = check(&backup, Some(genesis.chain_id())).unwrap();
    assert_eq!((whole.manifest.height, whole.stands.block), (height, tip.hash));
    assert_eq!(whole.stands.state_root, tip.header.state_root);
    let work = TempDir::new().unwrap();
    let report = execute(&backup, &whole, work.path()).unwrap();
    assert_eq!((report.base, report.height, report.state_root), (0, height, tip.header.state_root));
    assert!(is_empty(work.path()), "what it was executed in is left");

    let other = Node::new(&genesis, "validator");
    // An empty folder will do, as a new disk has it.
    fs::create_dir_all(other.data().join("lost+found")).unwrap();
    let voice = other.restore(&backup).unwrap();
    assert_eq!(voice, Voice::Unknown(other.path("validator.pem.signed")));
    // Checking and restoring have left the backup as it was.
    check(&backup, None).unwrap();
    let original = Store::open_existing(&node.data(), &genesis).unwrap();
    let restored = Store::open_existing(&other.data(), &genesis).unwrap();
    assert_eq!(restored.view().unwrap().tip(), &tip);
    let report = verify_chain(&original, &genesis, |_, _| {}).unwrap();
    assert_eq!(verify_chain(&restored, &genesis, |_, _| {}).unwrap(), report);
    add_to(&original, &block);
    add_to(&restored, &block);
    assert_eq!(restored.view().unwrap().tip(), original.view().unwrap().tip());
}

#[test]
fn a_node_that_dropped_blocks_is_backed_up_with_what_it_can_be_executed_from() {
    let (mut chain, node) = grown();
    let base = chain.height();
    let shelf = Shelf::open(&node.data()).unwrap();
    make(&chain.store.view().unwrap(), &shelf.unfinished(base)).unwrap();
    shelf.add(&shelf.unfinished(base), base).unwrap();
    let revoked = [chain.revoke()];
    chain.commit(&revoked);
    chain.store.prune(base + 1).unwrap().unwrap();
    let genesis = close(chain);
    let backup = node.back_up("backup").unwrap();
    let whole = check(&backup, None).unwrap();
    assert_eq!(whole.manifest.blocks_from, base + 1);
    let report = execute(&backup, &whole, node.folder.path()).unwrap();
    assert_eq!((report.base, report.height), (base, base + 1));
    let other = Node::new(&genesis, "observer");
    assert_eq!(other.restore(&backup).unwrap(), Voice::Observer);
    assert_eq!(Shelf::open(&other.data()).unwrap().heights(), [base]);
}

/// The first file of a backup whose name ends so.
fn file(backup: &Path, folder: &str, ending: &str) -> PathBuf {
    let entries = fs::read_dir(backup.join(folder)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let ends = |path: &&PathBuf| path.to_string_lossy().ends_with(ending);
    paths.iter().find(ends).unwrap_or_else(|| panic!("no {ending}: {paths:?}")).clone()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at % bytes.len();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn rewrite(backup: &Path, from: &str, to: &str) {
    let path = backup.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    let altered = text.replacen(from, to, 1);
    assert_ne!(text, altered, "{from} is not in the manifest");
    fs::write(path, altered).unwrap();
}

#[test]
fn whatever_is_altered_in_a_backup_is_refused_by_name_and_restores_nothing() {
    let (chain, node) = grown();
    let genesis = close(chain);
    let good = node.back_up("backup").unwrap();
    let height = check(&good, None).unwrap().manifest.height;
    let target = Node::new(&genesis, "validator");
    let refuse = |what: &str, harm: &dyn Fn(&Path), expected: &str| {
        let folder = TempDir::new().unwrap();
        let mut copy = std::process::Command::new("cp");
        assert!(copy.arg("-r").arg(&good).arg(folder.path()).status().unwrap().success());
        let bad = folder.path().join("backup");
        harm(&bad);
        let found = check(&bad, None).unwrap_err().to_string();
        assert!(found.contains(expected), "{what}: {found}");
        let found = target.restore(&bad).unwrap_err().to_string();
        assert!(found.contains(expected), "{what}, restored: {found}");
        assert!(is_empty(&target.data()), "{what}: something was left in data_dir");
    };
    for at in [0, 40, 5_000] {
        refuse("a bit of a table", &|b| flip(&file(b, "rocksdb", ".sst"), at), "its SHA-256 is");
    }
    refuse("CURRENT", &|b| flip(&b.join("rocksdb/CURRENT"), 3), "its SHA-256 is");
    refuse("genesis", &|b| flip(&b.join("genesis.toml"), 9), "its SHA-256 is");
    let shorter = |b: &Path| {
        let path = file(b, "rocksdb", ".sst");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    };
    refuse("a table that is torn", &shorter, "the manifest says");
    let gone = |b: &Path| fs::remove_file(file(b, "rocksdb", ".sst")).unwrap();
    refuse("a table that is gone", &gone, "it is missing");
    let more = |b: &Path| fs::write(b.join("rocksdb/000999.log"), b"x").unwrap();
    refuse("a log more", &more, "the manifest does not name it");
    let link = |b: &Path, to: &Path| {
        fs::remove_file(b.join("rocksdb/CURRENT")).unwrap();
        std::os::unix::fs::symlink(to, b.join("rocksdb/CURRENT")).unwrap();
    };
    let same = good.join("rocksdb/CURRENT");
    refuse("a link to the very bytes", &|b| link(b, &same), "it is a link");
    refuse("a link without an end", &|b| link(b, Path::new("/dev/zero")), "it is a link");
    let longer = |b: &Path| {
        let file = fs::File::options().write(true).open(b.join("rocksdb/CURRENT")).unwrap();
        file.set_len(1 << 40).unwrap();
    };
    refuse("more than anybody could read", &longer, "it has 1099511627776 bytes");
    let unfinished = |b: &Path| {
        fs::rename(b.join("manifest.json"), b.join("manifest.json.part")).unwrap();
    };
    refuse("one that was not finished", &unfinished, "holds no whole backup");
    let altered = |from: &'static str, to: &'static str| move |b: &Path| rewrite(b, from, to);
    refuse("a later form", &altered("\"version\": 1", "\"version\": 2"), "has version 2");
    refuse("no manifest", &altered("symbolon-backup", "another-backup"), "no manifest of a backup");
    refuse("a way out", &altered("rocksdb/CURRENT", "../../CURRENT"), "is no file of a backup");
    let said = format!("\"height\": {height},");
    let raised = format!("\"height\": {},", height + 1);
    refuse("another height", &|b| rewrite(b, &said, &raised), "the manifest says height");
    let chain = genesis.chain_id().to_string();
    let other = "0".repeat(64);
    refuse("another chain", &|b| rewrite(b, &chain, &other), &format!("is of chain {other}"));
    // And the one that nobody has touched.
    target.restore(&good).unwrap();
}

#[test]
fn nothing_is_put_over_anything_and_every_refusal_says_what_to_do() {
    let (chain, node) = grown();
    // The database is open here, and no node answers for it.
    let away = node.back_up("backup").unwrap_err();
    assert!(matches!(away, BackupError::NoAnswer { .. }), "{away}");
    assert!(!node.path("backup").exists());
    let genesis = close(chain);
    let inside = node.back_up("data/backup").unwrap_err();
    assert!(matches!(inside, BackupError::Inside(_)), "{inside}");
    let unmounted = node.back_up("disk/backup").unwrap_err();
    assert!(matches!(unmounted, BackupError::NoParent(_)), "{unmounted}");
    assert!(!node.path("disk").exists());
    // The lock is no way to empty or to lock another's file.
    let (lock, victim) = (node.data().join("backup.lock"), node.path("victim"));
    fs::remove_file(&lock).unwrap();
    fs::write(&victim, b"precious").unwrap();
    std::os::unix::fs::symlink(&victim, &lock).unwrap();
    let linked = node.back_up("backup").unwrap_err();
    assert!(matches!(linked, BackupError::NotRegular(_)), "{linked}");
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    fs::remove_file(&lock).unwrap();
    let backup = node.back_up("backup").unwrap();
    let taken = node.back_up("backup").unwrap_err();
    assert!(matches!(taken, BackupError::Taken(_)), "{taken}");

    let before = fs::read_dir(node.data()).unwrap().count();
    let full = node.restore(&backup).unwrap_err();
    assert!(matches!(full, BackupError::Storage(StorageError::NotEmpty(_))), "{full}");
    assert_eq!(fs::read_dir(node.data()).unwrap().count(), before);
    let (foreign, _) = presets::devnet_from_seed(4, &[9; 32], 1_795_392_000_000, 20_000);
    let stranger = Node::new(&foreign, "observer");
    let other = stranger.restore(&backup).unwrap_err();
    assert!(matches!(other, BackupError::OtherChain { .. }), "{other}");
    assert!(!stranger.data().exists());
    let none = stranger.back_up("none").unwrap_err();
    assert!(matches!(none, BackupError::Storage(StorageError::Absent(_))), "{none}");
    let missing = stranger.restore(&stranger.path("nothing")).unwrap_err();
    assert!(matches!(missing, BackupError::NoManifest(_)), "{missing}");

    // A start in the middle of a restore founds no second chain.
    let half = Node::new(&genesis, "validator");
    fs::create_dir_all(half.data().join("restoring/rocksdb")).unwrap();
    fs::write(half.data().join("founded"), genesis.chain_id().to_string()).unwrap();
    let started = Store::open(&half.data(), &genesis).unwrap_err();
    assert!(matches!(started, StorageError::Damaged(_)), "{started}");
    // A key that has a mark is silent up to it; the mark is not touched.
    let marked = Node::new(&genesis, "validator");
    fs::write(marked.path("validator.pem.signed"), b"a mark").unwrap();
    let mark = marked.path("validator.pem.signed");
    assert_eq!(marked.restore(&backup).unwrap(), Voice::Marked(mark.clone()));
    assert_eq!(fs::read(mark).unwrap(), b"a mark");
}
