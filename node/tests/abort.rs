//! Host contract 7: a panic of consensus ends the process, whoever would catch it.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::{
    os::unix::process::ExitStatusExt as _,
    process::{Command, ExitStatus, Stdio},
};

use symbolon_node::engine::{THREAD, abort_on_panic};

/// Names the thread that panics in a process of its own.
const PANICS: &str = "SYMBOLON_TEST_PANICS";
/// What `abort` is to the system.
const SIGABRT: i32 = 6;
/// What the process ends with if it outlives the panic.
const OUTLIVED: i32 = 42;

/// Runs this test again in a process of its own, in which the thread of that name panics.
fn after_a_panic_of(thread: &str) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_panic_of_consensus_ends_the_process_and_no_other_does"])
        .env(PANICS, thread)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
}

#[test]
fn a_panic_of_consensus_ends_the_process_and_no_other_does() {
    if let Ok(name) = std::env::var(PANICS) {
        abort_on_panic();
        let thread = std::thread::Builder::new().name(name);
        let caught = thread.spawn(|| panic!("what cannot be")).unwrap().join();
        assert!(caught.is_err());
        std::process::exit(OUTLIVED);
    }
    assert_eq!(after_a_panic_of(THREAD).signal(), Some(SIGABRT));
    assert_eq!(after_a_panic_of("another").code(), Some(OUTLIVED));
}
