//! Control groups of the kernel around a node's process: so much memory, or so much of a processor,
//! and no more. What a process has already is not taken away; what it asks for beyond is refused,
//! and of memory the kernel then kills it.
//!
//! Both hierarchies are known, the old one with a folder for each kind and the unified one. Making
//! a group takes the right to; where that is missing, tests say so and skip.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// Where systems mount the groups.
const ROOT: &str = "/sys/fs/cgroup";
/// A share of a processor is so much of every tenth of a second (the kernel's own default).
const PERIOD_US: u64 = 100_000;

/// What a cage bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Memory, in bytes.
    Memory,
    /// Time of one processor, in hundredths.
    Processor,
}

/// A control group; gone when it is dropped, if no process is in it any more.
#[derive(Debug)]
pub struct Cage {
    folder: PathBuf,
    kind: Kind,
    unified: bool,
}

impl Cage {
    /// A new one, without a bound yet.
    ///
    /// # Errors
    ///
    /// When this user may not make one, or the kernel does not bound this kind here.
    pub fn new(kind: Kind) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let root = Path::new(ROOT);
        let unified = root.join("cgroup.controllers").exists();
        let parent = match (unified, kind) {
            (true, _) => root.to_owned(),
            (false, Kind::Memory) => root.join("memory"),
            (false, Kind::Processor) => root.join("cpu"),
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("symbolon-faults-{}-{number}", std::process::id()));
        fs::create_dir(&folder)?;
        let cage = Self { folder, kind, unified };
        // It is a file of the kernel's only where this kind is bounded.
        fs::metadata(cage.file())?;
        Ok(cage)
    }

    /// Whether cages of both kinds can be made here.
    ///
    /// # Errors
    ///
    /// What stands in the way.
    pub fn permitted() -> io::Result<()> {
        [Kind::Memory, Kind::Processor].into_iter().try_for_each(|kind| Self::new(kind).map(drop))
    }

    fn file(&self) -> PathBuf {
        self.folder.join(match (self.unified, self.kind) {
            (true, Kind::Memory) => "memory.max",
            (true, Kind::Processor) => "cpu.max",
            (false, Kind::Memory) => "memory.limit_in_bytes",
            (false, Kind::Processor) => "cpu.cfs_quota_us",
        })
    }

    /// Puts a process in it.
    ///
    /// # Errors
    ///
    /// When there is no such process.
    pub fn take(&self, pid: i32) -> io::Result<()> {
        fs::write(self.folder.join("cgroup.procs"), pid.to_string())
    }

    /// Allows all that is in it this much together, from now on.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it as too little.
    pub fn allow(&self, amount: u64) -> io::Result<()> {
        let quota = amount.saturating_mul(PERIOD_US) / 100;
        let text = match (self.unified, self.kind) {
            (_, Kind::Memory) => amount.to_string(),
            (true, Kind::Processor) => format!("{quota} {PERIOD_US}"),
            (false, Kind::Processor) => quota.to_string(),
        };
        fs::write(self.file(), text)
    }

    /// Takes the bound away.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn open(&self) -> io::Result<()> {
        fs::write(self.file(), if self.unified { "max" } else { "-1" })
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}
