//! Control groups of the kernel around a node's process: so much memory, or so much of a processor,
//! and no more. Whoever asks for memory beyond is killed by the kernel, as on a machine that has none
//! left; only what a process was given in the group is counted.
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
/// A share of which that would be less than the kernel gives at a time is so much of every second,
/// the longest span that it takes.
const LONG_PERIOD_US: u64 = 1_000_000;
/// What the kernel gives at least at a time.
const LEAST_US: u64 = 1_000;

/// A bound of memory is lowered by so many bytes at a time.
const STEP: u64 = 256 * 1024;

/// What a cage bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Memory, in bytes.
    Memory,
    /// Time of one processor, in thousandths.
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
        let share_of = |period: u64| amount.saturating_mul(period) / 1_000;
        let is_little = share_of(PERIOD_US) < LEAST_US;
        let period = if is_little { LONG_PERIOD_US } else { PERIOD_US };
        let quota = share_of(period);
        let text = match (self.unified, self.kind) {
            (_, Kind::Memory) => amount.to_string(),
            (true, Kind::Processor) => format!("{quota} {period}"),
            (false, Kind::Processor) => {
                fs::write(self.folder.join("cpu.cfs_period_us"), period.to_string())?;
                quota.to_string()
            }
        };
        fs::write(self.file(), text)
    }

    /// Leaves what is in it the memory that it has, and no more: the bound is lowered until the
    /// kernel can take nothing back, or has killed somebody for it.
    ///
    /// # Errors
    ///
    /// When it cannot be read how much that is.
    pub fn tighten(&self) -> io::Result<()> {
        let used = if self.unified { "memory.current" } else { "memory.usage_in_bytes" };
        let used = fs::read_to_string(self.folder.join(used))?;
        let mut bound: u64 = used.trim().parse().map_err(io::Error::other)?;
        while bound > STEP && self.allow(bound).is_ok() {
            bound -= STEP;
        }
        Ok(())
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
