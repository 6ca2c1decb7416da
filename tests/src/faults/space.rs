//! Network namespaces: a machine of its own for every node, as far as the network is concerned.
//!
//! A namespace lives as long as its [`Space`] or a process in it, and has no name, so nothing is
//! left behind when a test is killed. What happens on the cables is in [`super::wires`]. Making
//! one takes the right to administer networks; where that is missing, tests say so and skip.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::AsRawFd as _,
    process::{Command, Stdio},
    sync::Arc,
};

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace.
#[derive(Debug, Clone)]
pub struct Space(Arc<File>);

impl Space {
    /// A new one, with nothing in it but its loopback.
    ///
    /// # Errors
    ///
    /// When this user may not make one, or the machine has no `ip` (iproute2).
    pub fn new() -> io::Result<Self> {
        // Only the thread moves, and ends; the file keeps the namespace.
        let file = on_a_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        })?;
        let space = Self(Arc::new(file));
        space.tell("ip", &["link", "set", "lo", "up"], "")?;
        Ok(space)
    }

    /// Moves the calling thread into it, for good.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn enter(&self) -> io::Result<()> {
        Ok(setns(self.0.as_ref(), CloneFlags::CLONE_NEWNET)?)
    }

    /// Does `work` in it, on a thread of its own. Sockets made and processes started there stay
    /// there.
    ///
    /// # Panics
    ///
    /// When `work` does, or the namespace cannot be entered.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        on_a_thread(|| {
            self.enter().expect("a namespace that is open can be entered");
            work()
        })
    }

    /// Runs `program` in it, with `input` on its standard input.
    ///
    /// # Errors
    ///
    /// When it is not installed, or what it says when it fails.
    pub fn tell(&self, program: &str, arguments: &[&str], input: &str) -> io::Result<()> {
        self.within(|| {
            let mut child = Command::new(program)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .map_err(|e| io::Error::new(e.kind(), format!("{program}: {e}")))?;
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(input.as_bytes())?;
            }
            let output = child.wait_with_output()?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let command = format!("{program} {}", arguments.join(" "));
            let failed = || io::Error::other(format!("{command}: {said}{input}"));
            output.status.success().then_some(()).ok_or_else(failed)
        })
    }

    /// Where other programs find it, as long as this process lives.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
