//! Parts of the simulator by themselves: the disk, the names of runs, the enumerated cases.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use symbolon_sim::{
    Plan, Vice,
    dice::Dice,
    disk::{Damaged, Disk, Mark, Refused, Trouble},
    founding::Founding,
    machine::Machine,
    twins::{Case, ENUMERATED, SEATS},
};

fn disk() -> Disk {
    Disk::new(Machine::founded(Founding::of(4)), Mark::NotKept, false)
}

#[test]
fn a_crash_keeps_what_was_flushed_and_never_half_an_entry() {
    for seed in 0..200 {
        let (mut disk, mut dice) = (disk(), Dice::new(seed));
        disk.append(b"flushed").unwrap();
        disk.flush().unwrap();
        disk.append(b"written").unwrap();
        disk.append(b"and more").unwrap();
        disk.lose(&mut dice);
        let all: [&[u8]; 3] = [b"flushed", b"written", b"and more"];
        let kept = disk.entries().unwrap();
        assert!((1..=3).contains(&kept.len()) && kept == all[..kept.len()], "{kept:?}");
    }
}

#[test]
fn a_turned_bit_before_the_last_entry_is_damage() {
    for seed in 0..200 {
        let (mut disk, mut dice) = (disk(), Dice::new(seed));
        for entry in [b"one", b"two", b"six"] {
            disk.append(entry).unwrap();
        }
        disk.flush().unwrap();
        disk.flip(&mut dice);
        assert_eq!(disk.entries(), Err(Damaged), "seed {seed}");
    }
}

#[test]
fn a_disk_in_trouble_refuses() {
    let mut disk = disk();
    disk.trouble = Some(Trouble::Full);
    assert_eq!(disk.append(b"entry"), Err(Refused));
    disk.trouble = Some(Trouble::FailingSync);
    assert_eq!((disk.append(b"entry"), disk.flush()), (Ok(()), Err(Refused)));
}

#[test]
fn a_name_is_enough_to_run_a_plan_again() {
    for plan in [
        Plan::calm(3, 7),
        Plan::rough(44, 10),
        Plan::stuck(2),
        Plan::with_vice(Vice::ALL[5], 9, 4),
        Plan::crash_at(2, 77),
        Case::enumerated(1_234).plan(),
        Case::sampled(5).plan(),
    ] {
        assert_eq!(Plan::named(&plan.name), Some(plan));
    }
    for name in ["", "rough", "rough/4", "rough/4/x", "rough/3/1", "other/4/1", "rough/4/1/1"] {
        assert_eq!(Plan::named(name), None, "{name}");
    }
}

#[test]
fn all_enumerated_cases_differ() {
    let cases: BTreeSet<_> = (0..ENUMERATED).map(|i| Case::enumerated(i).sides).collect();
    assert_eq!(cases.len() as u64, ENUMERATED - (SEATS as u64 - 1), "all whole is one case");
}
