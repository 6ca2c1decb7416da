//! Disks that are full, read-only, slow or failing while the node runs.
//!
//! A full and a read-only disk are real ones: a small file system is mounted for the data of two
//! nodes. What a healthy kernel does not do by itself is done by the preloaded library.

use std::{
    fs::{self, File},
    io::Write as _,
    path::PathBuf,
    process::Command,
};

use nix::sys::signal::Signal;
use symbolon_tests::faults::{
    field::Field,
    preload::{Deed, EIO, ENOSPC, EROFS},
    say,
    table::{Meanwhile, Row, run},
};

use crate::NODES;

/// Size of a small disk: a node's data take about a third of it in these tests.
const DISK: &str = "size=160m";
/// A slow disk takes so much longer for every sync.
const SLOW_MS: i64 = 250;

fn harm(field: &Field, n: usize, deed: Deed, value: i64) {
    field.nodes[n].page.as_ref().unwrap().set(deed, value).unwrap();
}

fn heal(field: &Field) {
    field.nodes.iter().for_each(|node| node.page.as_ref().unwrap().clear().unwrap());
    field.start_all();
}

fn filler(field: &Field, n: usize) -> PathBuf {
    field.nodes[n].data().join("filler")
}

fn fill(field: &Field, n: usize) {
    let mut file = File::create(filler(field, n)).unwrap();
    while file.write_all(&[0; 4_096]).is_ok() {}
}

fn make_room(field: &Field) {
    fs::remove_file(filler(field, 0)).unwrap();
    field.start_all();
}

fn remount(field: &Field, n: usize, how: &str) {
    let disk = field.nodes[n].data();
    let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(disk).status();
    assert!(done.is_ok_and(|d| d.success()), "the disk of node {n} cannot be remounted {how}");
}

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "every sync of one node fails (EIO)",
        short: true,
        inject: |field| harm(field, 1, Deed::SyncError, EIO),
        meanwhile: Meanwhile::Ends(1, &["Input/output error", "IO error"]),
        heal,
        guilty: &[],
    },
    Row {
        name: "every write of one node fails (EIO)",
        short: false,
        inject: |field| harm(field, 2, Deed::WriteError, EIO),
        meanwhile: Meanwhile::Ends(2, &["Input/output error", "IO error"]),
        heal,
        guilty: &[],
    },
    Row {
        name: "one node's disk turns read-only under it (EROFS)",
        short: false,
        inject: |field| harm(field, 2, Deed::WriteError, EROFS),
        meanwhile: Meanwhile::Ends(2, &["Read-only file system"]),
        heal,
        guilty: &[],
    },
    Row {
        name: "one node starts on a read-only disk",
        short: false,
        inject: |field| {
            field.nodes[0].end(Signal::SIGTERM);
            remount(field, 0, "ro");
            field.nodes[0].spawn();
        },
        meanwhile: Meanwhile::Ends(0, &["Read-only file system"]),
        heal: |field| {
            remount(field, 0, "rw");
            field.start_all();
        },
        guilty: &[],
    },
    Row {
        name: "one node's disk is full: every write fails (ENOSPC)",
        short: false,
        inject: |field| harm(field, 2, Deed::WriteError, ENOSPC),
        meanwhile: Meanwhile::Ends(2, &["No space left"]),
        heal,
        guilty: &[],
    },
    Row {
        name: "all disks are full at once: every write fails (ENOSPC)",
        short: false,
        inject: |field| (0..NODES).for_each(|n| harm(field, n, Deed::WriteError, ENOSPC)),
        meanwhile: Meanwhile::AllEnd(&["No space left"]),
        heal,
        guilty: &[],
    },
    Row {
        name: "one node starts on a full disk",
        short: false,
        inject: |field| {
            field.nodes[0].end(Signal::SIGTERM);
            fill(field, 0);
            field.nodes[0].spawn();
        },
        meanwhile: Meanwhile::Ends(0, &["No space left"]),
        heal: make_room,
        guilty: &[],
    },
    Row {
        // It goes on in the room that its database has set aside, and ends when that is used up.
        name: "one node's disk fills up under it",
        short: false,
        inject: |field| fill(field, 0),
        meanwhile: Meanwhile::EndsOrAgrees(0, &["No space left"]),
        heal: make_room,
        guilty: &[],
    },
    Row {
        name: "one node's disk is slow: 250 ms more for every sync",
        short: false,
        inject: |field| harm(field, 3, Deed::SyncDelay, SLOW_MS),
        meanwhile: Meanwhile::OnBut(&[]),
        heal,
        guilty: &[],
    },
    Row {
        name: "all disks are slow: 250 ms more for every sync",
        short: false,
        inject: |field| (0..NODES).for_each(|n| harm(field, n, Deed::SyncDelay, SLOW_MS)),
        meanwhile: Meanwhile::OnBut(&[]),
        heal,
        guilty: &[],
    },
    Row {
        name: "every sync fails on all nodes",
        short: false,
        inject: |field| (0..NODES).for_each(|n| harm(field, n, Deed::SyncError, EIO)),
        meanwhile: Meanwhile::AllEnd(&["Input/output error", "IO error"]),
        heal,
        guilty: &[],
    },
];

/// A small disk under a node's data; gone when it is dropped.
struct Disk(PathBuf);

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Moves the data of node `n` to a small disk.
fn onto_a_small_disk(field: &Field, n: usize) -> Option<Disk> {
    let node = &field.nodes[n];
    node.end(Signal::SIGTERM);
    let (data, aside) = (node.data(), node.folder.join("aside"));
    fs::rename(&data, &aside).unwrap();
    fs::create_dir(&data).unwrap();
    let mount = ["-t", "tmpfs", "-o", DISK, "tmpfs"];
    let mounted = Command::new("mount").args(mount).arg(&data).status();
    let copied = Command::new("cp").arg("-a").arg(aside.join(".")).arg(&data).status();
    assert!(copied.is_ok_and(|c| c.success()));
    node.start();
    mounted.is_ok_and(|m| m.success()).then(|| Disk(data))
}

#[test]
fn disks_that_are_full_read_only_slow_or_failing() {
    let Some(field) = crate::in_the_whole_set(NODES) else { return };
    if !field.has_pages() {
        return;
    }
    let Some(_disk) = onto_a_small_disk(&field, 0) else {
        say("skipped: this user may not mount a small disk");
        return;
    };
    run("disk", &field, ROWS);
}
