//! Many runs at once: on every processor, until one of them fails.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::{
    plan::Plan,
    world::{Failure, Report, run},
};

/// What a sweep has met, so that a sweep in which nothing goes wrong is noticed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sum {
    /// Runs.
    pub runs: u64,
    /// Heights decided.
    pub heights: u64,
    /// The lowest height that any run came to.
    pub lowest: u64,
    /// The highest round of all.
    pub round: u32,
    /// Of all runs together, see [`Report`].
    pub events: u64,
    /// Likewise.
    pub packets: u64,
    /// Likewise.
    pub transactions: u64,
    /// Likewise.
    pub crashes: u64,
    /// Likewise.
    pub torn: u64,
    /// Likewise.
    pub replays: u64,
    /// Likewise.
    pub refused: u64,
    /// Likewise.
    pub flips: u64,
    /// Likewise.
    pub anew: u64,
    /// Likewise.
    pub pauses: u64,
    /// Likewise.
    pub jumps: u64,
    /// Likewise.
    pub synced: u64,
    /// Likewise.
    pub evidence: u64,
    /// Likewise.
    pub blamed: u64,
    /// Likewise.
    pub held: u64,
    /// Likewise.
    pub changes: u64,
    /// Likewise.
    pub restored: u64,
    /// Likewise.
    pub convicted: u64,
}

impl From<&Report> for Sum {
    fn from(report: &Report) -> Self {
        Self {
            runs: 1,
            heights: report.height,
            lowest: report.height,
            round: report.round,
            events: report.events,
            packets: report.packets,
            transactions: report.transactions,
            crashes: report.crashes,
            torn: report.torn,
            replays: report.replays,
            refused: report.refused,
            flips: report.flips,
            anew: report.anew,
            pauses: report.pauses,
            jumps: report.jumps,
            synced: report.synced,
            evidence: report.evidence,
            blamed: report.blamed,
            held: report.held,
            changes: report.changes,
            restored: report.restored,
            convicted: report.convicted,
        }
    }
}

impl Sum {
    /// Takes another sweep into account.
    pub fn join(&mut self, other: &Self) {
        self.lowest = if self.runs == 0 { other.lowest } else { self.lowest.min(other.lowest) };
        self.runs += other.runs;
        self.heights += other.heights;
        self.round = self.round.max(other.round);
        self.events += other.events;
        self.packets += other.packets;
        self.transactions += other.transactions;
        self.crashes += other.crashes;
        self.torn += other.torn;
        self.replays += other.replays;
        self.refused += other.refused;
        self.flips += other.flips;
        self.anew += other.anew;
        self.pauses += other.pauses;
        self.jumps += other.jumps;
        self.synced += other.synced;
        self.evidence += other.evidence;
        self.blamed += other.blamed;
        self.held += other.held;
        self.changes += other.changes;
        self.restored += other.restored;
        self.convicted += other.convicted;
    }
}

/// Runs all plans.
///
/// # Errors
///
/// The first [`Failure`]; what has not begun by then is left out.
pub fn sweep<P>(plans: P) -> Result<Sum, Failure>
where
    P: IntoIterator<Item = Plan>,
    P::IntoIter: Send,
{
    let plans = Mutex::new(plans.into_iter());
    let next = || plans.lock().unwrap_or_else(PoisonError::into_inner).next();
    let (sum, failed, failure) =
        (Mutex::new(Sum::default()), AtomicBool::new(false), Mutex::new(None));
    let work = || {
        while !failed.load(Ordering::Relaxed)
            && let Some(plan) = next()
        {
            match run(&plan) {
                Ok(report) => {
                    sum.lock().unwrap_or_else(PoisonError::into_inner).join(&(&report).into())
                }
                Err(broken) => {
                    failed.store(true, Ordering::Relaxed);
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(broken);
                }
            }
        }
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(work);
        }
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None => Ok(sum.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}
