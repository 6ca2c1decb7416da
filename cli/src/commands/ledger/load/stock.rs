//! Status slots for a load: taken in time, so that no transaction waits for a reservation.
//!
//! Slots are those of the agency's list (`crate::slots`), which all its processes of a machine share,
//! so several loads and an import never use one twice. Of each agency one thread takes slots, and
//! another has blocks reserved on the ledger before they run out. What was taken and not used is
//! given back at the end.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use symbolon_ledger::records::SLOTS_PER_BLOCK;

use super::{
    agency::{Identity, Opened},
    plan::Plan,
};
use crate::{
    issuer::{MAX_BLOCKS_AT_ONCE, reserve_blocks},
    output::{Failure, Status},
};

/// Slots taken at once: sixteen full transactions, for one writing of the list.
const SLOTS_AT_ONCE: u64 = 4_096;
/// Blocks that are reserved are to last for so many seconds.
const AHEAD_SECONDS: u64 = 20;
/// Most slots that are reserved ahead: half of what an agency may leave unused.
const MAX_AHEAD: u64 = 32 * SLOTS_PER_BLOCK as u64;
/// The failure of a list that has not so many free slots now.
const NOT_YET: &str = "slots_not_yet";

/// Slots at hand.
#[derive(Debug)]
pub(super) struct Stock {
    ready: VecDeque<u32>,
    /// None when it was closed.
    more: Option<Receiver<Vec<u32>>>,
    closed: Arc<AtomicBool>,
}

impl Stock {
    /// So many slots; none while there are not so many.
    pub(super) fn take(&mut self, count: usize) -> Option<Vec<u32>> {
        while self.ready.len() < count {
            self.ready.extend(self.more.as_ref()?.try_recv().ok()?);
        }
        Some(self.ready.drain(..count).collect())
    }

    /// Takes no more; what is left.
    pub(super) fn close(&mut self) -> Vec<u32> {
        self.closed.store(true, Relaxed);
        if let Some(more) = self.more.take() {
            self.ready.extend(more.try_iter().flatten());
        }
        self.ready.drain(..).collect()
    }
}

/// The threads that fill the stocks.
#[derive(Debug)]
pub(super) struct Feeders(Vec<JoinHandle<Result<(), Failure>>>);

impl Feeders {
    /// Reserves what is needed at first, and begins to fill a stock for each agency.
    ///
    /// # Errors
    ///
    /// When the ledger grants no slots.
    pub(super) fn start(agencies: &[Opened], plan: &Plan) -> Result<(Self, Vec<Stock>), Failure> {
        let (mut threads, mut stocks) = (Vec::new(), Vec::new());
        let needed = plan.slots_of_one();
        let at_once = needed.min(SLOTS_AT_ONCE);
        let lasting = plan.rate_of_one().saturating_mul(AHEAD_SECONDS).min(MAX_AHEAD);
        let ahead = usize::try_from(lasting.min(needed).max(at_once)).unwrap_or(usize::MAX);
        for agency in agencies {
            let identity = agency.identity.clone();
            let first = first(&identity, ahead, at_once)?;
            let needed = needed.saturating_sub(first.len() as u64);
            let (out, more) = sync_channel(1);
            let (look, looked) = sync_channel(1);
            let (say, granted) = sync_channel(1);
            let closed = Arc::new(AtomicBool::new(false));
            let (keeper, feed) =
                (identity.clone(), Feed { needed, out, look, granted, closed: closed.clone() });
            threads.push(thread::spawn(move || keep_ahead(&keeper, ahead, &looked, &say)));
            threads.push(thread::spawn(move || feed.run(&identity)));
            stocks.push(Stock { ready: first.into(), more: Some(more), closed });
        }
        Ok((Self(threads), stocks))
    }

    /// Waits for the threads, whose stocks were closed; why slots ran out, if they did.
    pub(super) fn stop(self) -> Option<Failure> {
        // A thread that panicked has said so itself.
        self.0.into_iter().fold(None, |first, thread| {
            let failure = thread.join().ok().and_then(Result::err);
            first.or(failure)
        })
    }
}

/// Has blocks reserved until there are so many slots, and takes the first.
fn first(identity: &Identity, ahead: usize, at_once: u64) -> Result<Vec<u32>, Failure> {
    let count = usize::try_from(at_once).unwrap_or(usize::MAX);
    loop {
        while identity.slots.free()? < ahead {
            grant(identity, ahead)?;
        }
        match identity.slots.take(count, |_| Err(not_yet())) {
            // Another load took them meanwhile.
            Err(failure) if failure.code == NOT_YET => {}
            taken => return taken,
        }
    }
}

/// Reserves some of the blocks that are missing.
fn grant(identity: &Identity, ahead: usize) -> Result<(), Failure> {
    let missing = ahead.saturating_sub(identity.slots.free()?).div_ceil(SLOTS_PER_BLOCK as usize);
    let Ok(blocks @ 1..) = u16::try_from(missing.min(MAX_BLOCKS_AT_ONCE.into())) else {
        return Ok(());
    };
    let Identity { node, signer, province, slots, .. } = identity;
    slots.add(&reserve_blocks(node, signer, province, blocks)?)
}

/// Whenever it is told to look, has blocks reserved until so many slots are free. A network that
/// does not answer now is asked again at the next look; what the ledger refuses ends it.
fn keep_ahead(
    identity: &Identity,
    ahead: usize,
    look: &Receiver<()>,
    granted: &SyncSender<()>,
) -> Result<(), Failure> {
    for () in look {
        match grant(identity, ahead) {
            Err(failure) if failure.status != Status::Unreachable => return Err(failure),
            _ => {}
        }
        let _ = granted.try_send(());
    }
    Ok(())
}

/// What fills one stock.
struct Feed {
    needed: u64,
    out: SyncSender<Vec<u32>>,
    look: SyncSender<()>,
    granted: Receiver<()>,
    closed: Arc<AtomicBool>,
}

impl Feed {
    /// Takes slots until as many were taken as are needed, or nobody wants any.
    fn run(self, identity: &Identity) -> Result<(), Failure> {
        let mut left = self.needed;
        while left > 0 && !self.closed.load(Relaxed) {
            let count = usize::try_from(left.min(SLOTS_AT_ONCE)).unwrap_or(usize::MAX);
            let _ = self.look.try_send(());
            match identity.slots.take(count, |_| Err(not_yet())) {
                Ok(taken) => {
                    left = left.saturating_sub(taken.len() as u64);
                    if let Err(unwanted) = self.out.send(taken) {
                        return identity.slots.give_back(&unwanted.0);
                    }
                }
                Err(failure) if failure.code == NOT_YET => {
                    // The other thread says why it ended.
                    let Ok(()) = self.granted.recv() else { return Ok(()) };
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }
}

fn not_yet() -> Failure {
    Failure::refused(NOT_YET, "not so many slots are free now", "wait for the reservation")
}
