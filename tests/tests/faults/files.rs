//! Files that are torn, flipped, gone or old when a node starts again.
//!
//! A node whose files were harmed either says so and stays down, or has the same blocks as the
//! others. To heal, what was there before is put back, as from a disk that was mended.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::sys::signal::Signal;
use symbolon_tests::faults::{
    field::Field,
    table::{Meanwhile, Row, run},
};

use crate::NODES;

/// The node whose files are harmed.
const VICTIM: usize = 2;
/// What a node says of damage in its database.
const DATABASE: &[&str] = &["the database"];
/// Bytes that are flipped in one place: a sector's beginning.
const FLIPPED: usize = 16;

/// The database's files of one kind, by how their names begin or end.
fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let is = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with(kind) || name.ends_with(kind)
    };
    let mut found: Vec<PathBuf> = entries.filter(is).collect();
    found.sort();
    found
}

/// Flips the bits of some bytes, `at` so many thousandths of the way through the file.
fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    let begin = (bytes.len() * at / 1_000).min(bytes.len().saturating_sub(FLIPPED));
    let end = (begin + FLIPPED).min(bytes.len());
    bytes[begin..end].iter_mut().for_each(|byte| *byte ^= 0xff);
    fs::write(path, bytes).unwrap();
}

/// Stops the victim, keeps its data, does `harm` to its database, and starts it again.
fn harmed(field: &Field, harm: impl Fn(&Path)) {
    let node = &field.nodes[VICTIM];
    node.end(Signal::SIGTERM);
    node.keep();
    harm(&node.data().join("rocksdb"));
    node.spawn();
}

/// Flips bits in all files of a kind, in the three places.
fn flipped(field: &Field, kind: &str) {
    harmed(field, |database| {
        let found = files(database, kind);
        let filled = found.iter().any(|file| file.metadata().unwrap().len() > 0);
        assert!(filled, "no file {kind} in {}", database.display());
        for file in found {
            [0, 500, 1_000].iter().for_each(|at| flip(&file, *at));
        }
    });
}

fn put_back(field: &Field) {
    let node = &field.nodes[VICTIM];
    node.end(Signal::SIGKILL);
    node.put_back();
    field.start_all();
}

/// Cuts the last bytes off the consensus log, as a crash in the middle of a write does.
fn torn(field: &Field, bytes: u64) {
    let node = &field.nodes[VICTIM];
    node.end(Signal::SIGKILL);
    let file = fs::File::options().write(true).open(node.data().join("consensus.wal")).unwrap();
    file.set_len(file.metadata().unwrap().len().saturating_sub(bytes)).unwrap();
    node.spawn();
}

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "the consensus log is torn in its last entry",
        short: true,
        inject: |field| torn(field, 3),
        meanwhile: Meanwhile::OnBut(&[]),
        heal: |_| (),
        guilty: &[],
    },
    Row {
        name: "bits flipped in every table file (SST)",
        short: true,
        inject: |field| {
            // A database that was opened again has written its log into tables.
            field.nodes[VICTIM].end(Signal::SIGTERM);
            field.nodes[VICTIM].start();
            flipped(field, ".sst");
        },
        meanwhile: Meanwhile::EndsOrAgrees(VICTIM, DATABASE),
        heal: put_back,
        guilty: &[],
    },
    Row {
        name: "bits flipped in the middle of every table file (SST)",
        short: false,
        inject: |field| {
            harmed(field, |database| {
                files(database, ".sst").iter().for_each(|file| flip(file, 300));
            });
        },
        meanwhile: Meanwhile::EndsOrAgrees(VICTIM, DATABASE),
        heal: put_back,
        guilty: &[],
    },
    Row {
        name: "bits flipped in the database's log",
        short: false,
        inject: |field| flipped(field, ".log"),
        meanwhile: Meanwhile::EndsOrAgrees(VICTIM, DATABASE),
        heal: put_back,
        guilty: &[],
    },
    Row {
        name: "bits flipped in the middle of the database's log",
        short: false,
        inject: |field| {
            harmed(field, |database| {
                files(database, ".log").iter().for_each(|file| flip(file, 400));
            });
        },
        meanwhile: Meanwhile::EndsOrAgrees(VICTIM, DATABASE),
        heal: put_back,
        guilty: &[],
    },
    Row {
        name: "bits flipped in MANIFEST",
        short: false,
        inject: |field| flipped(field, "MANIFEST"),
        meanwhile: Meanwhile::EndsOrAgrees(VICTIM, DATABASE),
        heal: put_back,
        guilty: &[],
    },
    Row {
        name: "bits flipped in CURRENT",
        short: false,
        inject: |field| flipped(field, "CURRENT"),
        meanwhile: Meanwhile::EndsOrAgrees(VICTIM, DATABASE),
        heal: put_back,
        guilty: &[],
    },
    Row {
        name: "bits flipped in OPTIONS",
        short: false,
        inject: |field| flipped(field, "OPTIONS"),
        meanwhile: Meanwhile::EndsOrAgrees(VICTIM, DATABASE),
        heal: put_back,
        guilty: &[],
    },
    Row {
        name: "bits flipped in IDENTITY",
        short: false,
        inject: |field| flipped(field, "IDENTITY"),
        meanwhile: Meanwhile::EndsOrAgrees(VICTIM, DATABASE),
        heal: put_back,
        guilty: &[],
    },
    Row {
        name: "all table files (SST) gone",
        short: false,
        inject: |field| {
            harmed(field, |database| {
                files(database, ".sst").iter().for_each(|file| fs::remove_file(file).unwrap());
            });
        },
        meanwhile: Meanwhile::EndsOrAgrees(VICTIM, DATABASE),
        heal: put_back,
        guilty: &[],
    },
    Row {
        name: "the database's log gone",
        short: false,
        inject: |field| {
            harmed(field, |database| {
                files(database, ".log").iter().for_each(|file| fs::remove_file(file).unwrap());
            });
        },
        meanwhile: Meanwhile::EndsOrAgrees(VICTIM, DATABASE),
        heal: put_back,
        guilty: &[],
    },
    Row {
        name: "bits flipped in the consensus log",
        short: false,
        inject: |field| {
            let node = &field.nodes[VICTIM];
            node.end(Signal::SIGTERM);
            node.keep();
            [0, 400].iter().for_each(|at| flip(&node.data().join("consensus.wal"), *at));
            node.spawn();
        },
        meanwhile: Meanwhile::EndsOrAgrees(VICTIM, &["consensus log", "write-ahead log"]),
        heal: put_back,
        guilty: &[],
    },
    Row {
        name: "the database deleted, key and consensus log kept",
        short: false,
        inject: |field| harmed(field, |database| fs::remove_dir_all(database).unwrap()),
        meanwhile: Meanwhile::Ends(VICTIM, DATABASE),
        heal: put_back,
        guilty: &[],
    },
    Row {
        name: "an old backup restored under the same key",
        short: false,
        inject: |field| {
            let node = &field.nodes[VICTIM];
            node.end(Signal::SIGTERM);
            node.keep();
            node.start();
            let height = field.highest();
            field.await_height(height + 5);
            node.end(Signal::SIGKILL);
            node.put_back();
            node.spawn();
        },
        meanwhile: Meanwhile::OnBut(&[]),
        heal: |_| (),
        guilty: &[],
    },
];

#[test]
fn files_that_are_torn_flipped_gone_or_old() {
    let Some(field) = crate::in_the_whole_set(NODES) else { return };
    run("files", &field, ROWS);
}
