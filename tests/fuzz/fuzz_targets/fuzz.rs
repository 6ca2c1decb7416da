//! The program that libFuzzer runs: one of the targets of `symbolon_fuzz`, named by `FUZZ_TARGET`.
//!
//! With `FUZZ_SEEDS` set it only writes that target's seeds into this folder. scripts/fuzz.sh is the
//! way to call it.
#![no_main]

use std::{path::Path, sync::OnceLock};

use symbolon_fuzz::{TARGETS, Target};

static TARGET: OnceLock<Target> = OnceLock::new();

fn choose() -> Target {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.into_iter().find(|target| target.name == name);
    let target = found.unwrap_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        panic!("FUZZ_TARGET is {name:?}, not one of {names:?}")
    });
    if let Ok(folder) = std::env::var("FUZZ_SEEDS") {
        write_seeds(&target, Path::new(&folder));
    }
    target
}

fn write_seeds(target: &Target, folder: &Path) -> ! {
    for (number, seed) in (target.seeds)().iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), seed)
            .expect("the folder is writable");
    }
    std::process::exit(0)
}

libfuzzer_sys::fuzz_target!(
    init: {
        TARGET.get_or_init(choose);
    },
    |bytes: &[u8]| {
        let target = TARGET.get().expect("chosen at the start");
        (target.entry)(bytes);
    }
);
